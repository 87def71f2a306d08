"""The page with a collection, in a real browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.browser import Browser, browser
from support.runs import wait_until
from support.serving import Site, found_all, serving

from qa.open_domain.answers import OpenAnswer
from qa.serving.options import Collection
from qa.serving.reading import Asked, Found

pytestmark = pytest.mark.browser

ENTER = "\ue007"  # as WebDriver names it
PASSAGE = "🏛️ 강나루는 1921년에 <b>푸른섬</b>에서 태어났다. 👩‍🚀 그는 1952년에 솔빛마을로 옮겼다."
START = 1200  # of the passage in its document


def find(batch: list[Asked], check: Callable[[], None]) -> list[Found]:
    """Answers by the words of the question that the passage has; a context with all of it."""
    found = []
    for asked in batch:
        words = [word for word in asked.example.question.split() if word in PASSAGE]
        places = [(word, PASSAGE.index(word)) for word in words]
        answers = [
            OpenAnswer(
                text=word,
                document="글/강나루.txt",
                title="<i>강나루</i>",
                start=START + place,
                end=START + place + len(word),
                score=-float(i),
                probability=0.8 / 4**i,
                passage=PASSAGE,
                start_in_passage=place,
                end_in_passage=place + len(word),
            )
            for i, (word, place) in enumerate(places)
        ]
        is_open = not asked.example.context
        found.append(Found(answers, False) if is_open else found_all(asked.example.context))
    return found


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A server with a collection of 1,234 passages."""
    with serving(find, collection=Collection(1234, 5)) as site:
        yield site


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[Browser]:
    """The page, in a browser that prefers Korean."""
    with browser(tmp_path_factory.mktemp("profile"), "ko") as session:
        session.resize(1280, 800)
        session.open(f"http://127.0.0.1:{site.port}/")
        wait_until(lambda: text_of(session, "#model") == "tiny")
        yield session


def text_of(page: Browser, selector: str) -> Any:
    """The text of an element; None if there is none."""
    return page.run("return document.querySelector(arguments[0])?.textContent", selector)


def is_seen(page: Browser, selector: str) -> Any:
    """Whether an element takes any room."""
    return page.run("return document.querySelector(arguments[0]).offsetHeight > 0", selector)


def ask(page: Browser, question: str) -> None:
    """Type a question, press Enter and wait for what comes of it."""
    page.run("document.getElementById('question').value = ''")
    page.run("document.getElementById('status').textContent = '…'")  # as while it asks
    page.type("#question", question + ENTER)
    wait_until(lambda: "…" not in text_of(page, "#status"))


def test_the_collection_is_asked_without_a_text(page: Browser) -> None:
    """The answer is marked in its passage, behind characters of two units, as text."""
    assert text_of(page, "#status") == "질문하면 1,234개 단락에서 답을 찾습니다."
    assert not is_seen(page, "#context")
    ask(page, "솔빛마을 1921년에 ?")
    nodes = "return [...document.getElementById('text').childNodes].map((n) => n.textContent)"
    place = PASSAGE.index("솔빛마을")
    assert page.run(nodes) == [PASSAGE[:place], "솔빛마을", PASSAGE[place + 4 :]]
    source = f"<i>강나루</i> · 글/강나루.txt, 글자 {START + place}~{START + place + 4}"
    assert text_of(page, "#source") == source
    assert text_of(page, "#answers .from") == "<i>강나루</i> · 글/강나루.txt"
    page.click("#answers li:nth-child(2) button")
    assert text_of(page, "#text mark") == "1921년에"
    assert text_of(page, "#source").endswith(str(START + PASSAGE.index("1921년에") + 6))
    page.click("#language")
    assert "characters 12" in text_of(page, "#source")
    page.click("#language")


def test_no_answer_and_no_question_are_said(page: Browser) -> None:
    ask(page, "없는 낱말?")
    assert text_of(page, "#status") == "문서 모음에 답이 없습니다."
    assert not is_seen(page, "#source")
    ask(page, " ")
    assert text_of(page, "#status") == "질문을 입력하세요."


def test_a_text_of_ones_own_is_one_choice_away(page: Browser) -> None:
    ask(page, "1921년에 ?")
    page.click("#own")
    assert text_of(page, "#status").startswith("본문을 붙여 넣고")
    assert is_seen(page, "#context")
    assert not is_seen(page, "#source")
    page.run("document.getElementById('context').value = '내 글'")
    ask(page, "무엇?")
    assert text_of(page, "#text mark") == "내 글"
    assert not is_seen(page, "#source")
    page.click("#open")
    assert not is_seen(page, "#context")
    assert not is_seen(page, "#text")


@pytest.mark.parametrize("width", [390, 320])
def test_nothing_is_wider_than_a_phone(width: int, page: Browser) -> None:
    page.resize(width, 700)
    ask(page, "1921년에 1952년에 " + "가" * 90)
    assert page.run("return document.documentElement.scrollWidth") <= width
    place = "return document.querySelector('#answers button').getBoundingClientRect().top"
    assert 0 <= page.run(place) < 500  # the answer is in sight
