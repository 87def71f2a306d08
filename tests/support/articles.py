"""The texts that tests read, and the paths of real data, which may be absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qa.data.examples import Example

SHARED = Path(__file__).resolve().parents[3] / "shared"
KORQUAD_FILE = SHARED / "data" / "KorQuAD_v1.0_dev.json"
BACKBONE = SHARED / "backbones" / "e5-small-ko"

ARTICLES: list[tuple[str, str, list[tuple[str, str]]]] = [
    (
        "강나루",
        "강나루는 1921년 푸른골에서 난 화가이다. 1947년에는 한여울로 이사하여 작업실을 열었다.",
        [("강나루가 태어난 해는?", "1921년"), ("강나루가 작업실을 연 곳은?", "한여울")],
    ),
    (
        "물빛 다리",
        "물빛 다리는 새벽강을 건너는 다리이다. 1903년에 놓였고 1950년에 무너져 이듬해 다시 놓였다.",
        [("물빛 다리는 어느 강을 건너는가?", "새벽강"), ("다리가 무너진 해는?", "1950년")],
    ),
    (
        "도하늘",
        "도하늘은 시집 《먼 불빛》을 쓴 시인이다. 은모래에서 자랐으며 은모래 문학상을 받았다.",
        [("도하늘의 시집은?", "먼 불빛"), ("도하늘이 자란 곳은?", "은모래")],
    ),
    (
        "솔뫼산",
        "솔뫼산은 높이가 812미터인 산이다. 서쪽에는 솔뫼사라는 절이 있고 동쪽에는 너른들이 있다.",
        [("솔뫼산의 높이는?", "812미터"), ("산의 서쪽에 있는 절은?", "솔뫼사")],
    ),
    (
        "윤가람",
        "윤가람은 첼로 연주자이다. 여덟 살에 첼로를 시작하여 1988년에 첫 음반을 냈다.",
        [("윤가람이 연주하는 악기는?", "첼로"), ("첫 음반을 낸 해는?", "1988년")],
    ),
    (
        "달맞이 축제",
        "달맞이 축제는 해마다 9월에 열린다. 등불을 강에 띄우는 행사로 시작하고 씨름으로 끝난다.",
        [("달맞이 축제가 열리는 달은?", "9월"), ("축제는 무엇으로 끝나는가?", "씨름")],
    ),
]
"""(title, context, (question, answer) pairs); an answer is its first occurrence in the context."""


def article_examples() -> list[Example]:
    """`ARTICLES` as examples with ids 0-0, 0-1, 1-0, ...: what every form of them is read as."""
    return [
        Example(f"{n}-{i}", question, context, (answer,), (context.index(answer),), title)
        for n, (title, context, pairs) in enumerate(ARTICLES)
        for i, (question, answer) in enumerate(pairs)
    ]


def squad_json() -> dict[str, Any]:
    """`ARTICLES` in nested SQuAD form: 6 articles, 12 questions."""
    data = []
    for number, (title, context, pairs) in enumerate(ARTICLES):
        qas = [
            {
                "id": f"{number}-{i}",
                "question": question,
                "answers": [{"text": answer, "answer_start": context.index(answer)}],
            }
            for i, (question, answer) in enumerate(pairs)
        ]
        data.append({"title": title, "paragraphs": [{"context": context, "qas": qas}]})
    return {"version": "test", "data": data}
