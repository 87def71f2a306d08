"""Documents of files and folders."""

from __future__ import annotations

import gzip
import json
import os
import re
import warnings
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from support.articles import ARTICLES, squad_json
from support.indexes import fill

from qa.engine.errors import Notice, UserError
from qa.retrieval.documents import Document
from qa.retrieval.files import find_inputs, read_documents


def read(*paths: Path) -> list[Document]:
    return list(read_documents(find_inputs([str(path) for path in paths])))


def write(path: Path, content: Any) -> Path:
    """Write a text, bytes, or a list of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_texts_of_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "안내.txt", "환불은 7일 안에 된다.")
    write(tmp_path / "sub" / "b.md", "intro\n\n## The *title* ##\n\ntext")
    write(tmp_path / ".hidden" / "c.txt", "hidden")
    write(tmp_path / "utf16.txt", "열여섯".encode("utf-16"))
    assert read(tmp_path) == [
        Document("utf16.txt", "utf16", "열여섯"),
        Document("안내.txt", "안내", "환불은 7일 안에 된다."),
        Document("sub/b.md", "The *title*", "intro\n\n## The *title* ##\n\ntext"),
    ]


def test_names_of_macos_are_composed(tmp_path: Path) -> None:
    path = write(tmp_path / normalize("NFD", "안내.txt"), "글")
    assert read(path) == [Document("안내.txt", "안내", "글")]


HTML = """<!doctype html><html><head><title>약관 &amp; 안내</title><style>p {}</style></head>
<body><script>var a = "<p>no</p>";</script><h1>환불</h1>
<p>환불은   <b>7일</b> 안에<br>된다.</p><ul><li>하나<li>둘</ul>
<table><tr><td>값</td><td>3</td></tr></table><pre>a
 b</pre></body></html>"""


def test_html_without_its_tags(tmp_path: Path) -> None:
    text = "환불\n\n환불은 7일 안에\n된다.\n\n하나\n둘\n\n값 3\n\na\nb"
    for encoding in ("utf-8", "euc-kr"):
        page = HTML.replace("<head>", f'<head><meta charset="{encoding}">')
        (document,) = read(write(tmp_path / f"{encoding}.html", page.encode(encoding)))
        assert (document.title, document.text) == ("약관 & 안내", text)
    (document,) = read(write(tmp_path / "b.htm", "<h2>첫 <i>제목</i></h2><h2>둘째</h2>글"))
    assert (document.title, document.text) == ("첫 제목", "첫 제목\n\n둘째\n\n글")


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<h1>제목</h2><p>글</p>", "제목"),  # the end of any level ends a heading
        ("<h1>제목<p>글</p><div>더</div>", "제목"),
        ("<h1><div>제<br>목</div><div>둘째</div></h1>글", "제목"),
        ("<h1><img></h1><h2>둘째</h2>글", "둘째"),
        ("<title> </title><h3>제목</h3>글", "제목"),
        ("<title>이름</title><h1>제목</h2><p>글", "이름"),
    ],
)
def test_title_of_html_that_is_not_closed(page: str, title: str, tmp_path: Path) -> None:
    (document,) = read(write(tmp_path / "a.html", page + "<p>문단</p>" * 3))
    assert document.title == title
    assert document.text.endswith("문단\n\n문단\n\n문단")


def test_encodings_of_html(tmp_path: Path) -> None:
    page = '<meta charset="euc-kr">똠양꿍'
    for content in (page.encode("cp949"), b"\xef\xbb\xbf" + page.encode()):
        assert read(write(tmp_path / "a.html", content))[0].text == "똠양꿍"
    for name in ("UTF-16", "utf_16", "utf-16le", "utf-32", "UCS-2", "cp037"):  # says so in UTF-8
        for end in ("", " "):  # of an even number of bytes, and an odd one
            page = f'<meta charset="{name}"><p>글{end}</p>'
            assert read(write(tmp_path / "a.html", page))[0].text == "글"
    page = '<meta charset="ISO-8859-1">It’s “fine”'
    assert read(write(tmp_path / "a.html", page.encode("cp1252")))[0].text == "It’s “fine”"
    write(tmp_path / "odd.html", "<![odd[ 글")
    with pytest.warns(Notice, match=r"odd\.html: is no HTML that can be read"):
        assert len(read(tmp_path)) == 1


def test_charsets_that_no_browser_knows_are_passed_over(tmp_path: Path) -> None:
    """Some can spell half a surrogate pair."""
    for name, text in (("utf-7", "+2AA-"), ("unicode_escape", "\\ud800"), ("x" * 2000, "글")):
        page = f'<meta charset="{name}"><p>{text}</p>'
        assert read(write(tmp_path / "a.html", page))[0].text == text


def test_odd_pages_hide_no_other(tmp_path: Path) -> None:
    write(tmp_path / "a.html", f"<p>&#{'9' * 5000};</p>")
    write(tmp_path / "b.html", '<meta charset="utf-8"><p>\0</p>')
    write(tmp_path / "c.html", "<p>글</p>")
    with pytest.warns(Notice) as caught:
        assert [each.text for each in read(tmp_path)] == ["글"]
    told = [str(each.message) for each in caught]
    assert "a.html: is no HTML that can be read" in told[0]
    assert "b.html: is binary, no text" in told[1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders on this system")
def test_a_pipe_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    """Reading it would wait for ever."""
    write(tmp_path / "a.txt", "글")
    os.mkfifo(tmp_path / "b.txt")
    (tmp_path / "c.txt").symlink_to("none")
    with pytest.warns(Notice, match=r"^1 files of other kinds are passed over \(b\.txt\)$"):
        inputs = find_inputs([str(tmp_path)])
    assert [each.id for each in inputs] == ["a.txt", "c.txt"]
    with pytest.warns(Notice, match=r"c\.txt: No such file or directory"):
        assert [each.id for each in read_documents(inputs)] == ["a.txt"]


def test_names_of_korean_windows(tmp_path: Path) -> None:
    for name in ("안내".encode("cp949"), b"\xff"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + b".txt")).write_text("글")
    assert {each.id for each in read(tmp_path)} == {"안내.txt", "\\xff.txt"}


def test_an_index_among_the_documents_is_none_of_them(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "글")
    fill(tmp_path / "my.index")
    assert [each.id for each in read(tmp_path)] == ["a.txt"]


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "title": "제목", "text": "하나"},
        {"id": "x", "contents": "둘"},
        {"context": "셋"},
        {"context": "넷"},
    ]
    documents = read(write(tmp_path / "a.jsonl", rows))
    assert documents[:2] == [Document("7", "제목", "하나"), Document("x", "", "둘")]
    assert [each.text for each in documents] == ["하나", "둘", "셋", "넷"]
    content = (tmp_path / "a.jsonl").read_bytes()
    packed = read(write(tmp_path / "a.jsonl.gz", gzip.compress(content)))
    assert [each.text for each in packed] == [each.text for each in documents]
    # Without ids, the names stay the same when rows move.
    moved = read(write(tmp_path / "a.jsonl", [{"context": "새"}, *reversed(rows)]))
    assert {each.id for each in documents} < {each.id for each in moved}


@pytest.mark.parametrize("field", ["id", "title", "text"])
def test_half_a_character_in_a_row_is_told(field: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "글", field: "\ud800"}), encoding="utf-8")
    with pytest.raises(UserError, match="a.jsonl: line 1(: id)? holds half a surrogate pair"):
        read(path)


def test_contexts_of_question_answering_data(tmp_path: Path) -> None:
    """Each once and as it is, also one that nobody asks about."""
    content = squad_json()
    content["data"][0]["paragraphs"] += [
        {"context": "묻지 않은 글", "qas": []},
        {"context": ARTICLES[1][1], "qas": []},
    ]
    documents = read(write(tmp_path / "s.json", json.dumps(content)))
    contexts = [text for _, text, _ in ARTICLES]
    expected = [contexts[0], "묻지 않은 글", contexts[1], *contexts[2:]]
    assert [each.text for each in documents] == expected
    assert documents[0].title == ARTICLES[0][0]
    assert all(each.is_passage and each.id.startswith("s.json#") for each in documents)


def test_rows_of_questions(tmp_path: Path) -> None:
    rows = [{"id": str(i), "question": "?", "context": f"글 {i // 2}"} for i in range(4)]
    assert [each.text for each in read(write(tmp_path / "q.jsonl", rows))] == ["글 0", "글 1"]
    table = write(tmp_path / "q.csv", "id,question,context\n1,q,글 0\n2,q,글 0\n")
    assert [each.text for each in read(table)] == ["글 0"]


def test_what_cannot_be_read_is_passed_over_and_told(tmp_path: Path) -> None:
    write(tmp_path / "good.txt", "글")
    write(tmp_path / "bytes.txt", b"\x00\x01\xff\xfe\x00binary")
    write(tmp_path / "old.txt", "한글".encode("cp949"))
    lines = '{"text": "하나", "id": 1}\n{"text": 3}\n{"text": "둘", "id": 2.0}\n{"text"\n'
    write(tmp_path / "bad.jsonl", lines + '{"text": "셋", "id": " "}\n{"text": "넷", "id": [4]}')
    write(tmp_path / "settings.json", '{"a": 1}')
    write(tmp_path / "image.png", b"\x89PNG")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        documents = read(tmp_path)
    assert [each.text for each in documents] == ["하나", "둘", "셋", "글"]
    assert [each.id for each in documents][:2] == ["1", "2"]  # as pandas writes numbers
    told = "\n".join(str(each.message) for each in caught)
    assert "1 files of other kinds are passed over (image.png)" in told
    assert "bad.jsonl: line 2: text, context or contents must be there, and a text" in told
    assert "bad.jsonl: line 4 is not JSON" in told
    assert "3 rows that are no documents were passed over" in told
    assert "3 of 5 files could not be read as a whole" in told
    with pytest.raises(UserError, match="CP949"):
        read(tmp_path / "old.txt")


def test_rows_that_are_none_hide_no_file(tmp_path: Path) -> None:
    """A log of many lines, and articles of which a paragraph is broken."""
    write(tmp_path / "a_log.jsonl", [{"level": "info", "msg": str(n)} for n in range(99)])
    write(tmp_path / "old.txt", "한글".encode("cp949"))
    paragraphs = [{"context": "하나"}, None, {"context": 3}, {"context": "둘"}, {"context": "둘"}]
    write(tmp_path / "s.json", json.dumps({"data": [{"paragraphs": paragraphs}]}))
    write(tmp_path / "t.jsonl", '\n[\n{"question": "?", "context": "셋"}\n]\n')
    write(tmp_path / "u.jsonl", '{"text": "넷"}\n\ufeff{"text": "다섯"}\n')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        documents = read(tmp_path)
    assert [each.text for each in documents] == ["하나", "둘", "셋", "넷", "다섯"]
    told = [str(each.message) for each in caught if "have no id" not in str(each.message)]
    assert "CP949" in told[0]
    assert [line.partition("a_log.jsonl: ")[2][:6] for line in told[1:4]] == [
        "line 1",
        "line 2",
        "line 3",
    ]
    assert told[4:] == [
        "101 rows that are no documents were passed over",
        "1 of 5 files could not be read as a whole",
    ]


TEXTS = [None, {"text": "하나"}, None, 3, {"text": "둘"}]
PARAGRAPHS = [
    None,
    {"paragraphs": [{"context": "하나"}]},
    {"title": "u", "paragraphs": None},
    {"title": "v", "paragraphs": "x"},
    {"paragraphs": {"context": "둘"}},
]


@pytest.mark.parametrize(("name", "place"), [("a.json", "entry"), ("a.jsonl", "line")])
@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        (TEXTS, (0, 2, 3)),
        (PARAGRAPHS, (0, 2, 3)),
        (TEXTS[1:], (1, 2)),
        (PARAGRAPHS[1:], (1, 2)),
    ],
)
def test_a_bad_row_costs_no_other(
    name: str, place: str, rows: Any, bad: tuple[int, ...], tmp_path: Path
) -> None:
    shapes = [rows] if name == "a.jsonl" else [json.dumps(rows), json.dumps({"data": rows})]
    for content in shapes:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", Notice)
            documents = read(write(tmp_path / name, content))
        assert [each.text for each in documents] == ["하나", "둘"]
        told = [str(each.message) for each in caught]
        for line, number in zip(told[:-1], bad, strict=True):
            where = f"{name}: {place} {number + (place == 'line')}"
            assert re.search(rf"{where}(: a paragraph)? is not an object$", line)
        assert told[-1] == f"{len(bad)} rows that are no documents were passed over"


@pytest.mark.parametrize(
    "article",
    [
        {"title": "\ud800", "paragraphs": [{"context": "둘"}]},
        {"paragraphs": [{"title": "\ud800", "context": "둘"}]},
    ],
)
def test_half_a_character_in_a_title_is_told_with_its_place(
    article: dict[str, Any], tmp_path: Path
) -> None:
    content = [{"paragraphs": [{"context": "하나"}]}, article]
    path = write(tmp_path / "a.json", json.dumps(content))
    with pytest.warns(Notice, match=r"a\.json: entry 1: title holds half a surrogate pair"):
        assert [each.text for each in read(path)] == ["하나"]


def test_a_folder_that_cannot_be_opened_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.txt", "글")
    write(tmp_path / "closed" / "b.txt", "글")
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if "closed" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(Notice, match="passed over: .*closed: Permission denied"):
        assert [each.id for each in read(tmp_path)] == ["a.txt"]


def test_ids_that_repeat(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"id": 1, "text": "하나"}, {"id": 1, "text": "둘"}])
    with pytest.warns(Notice, match=r"1 documents are passed over.*same id \(1\)"):
        assert [each.text for each in read(tmp_path)] == ["하나"]


def test_names_that_would_collide(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a" / "x.txt", "하나"), write(tmp_path / "b" / "x.txt", "둘")
    with pytest.raises(UserError, match=r"would both be 'x.txt' in the index"):
        read(first, second)
    assert len(read(first, first.parent)) == 1
    with pytest.raises(UserError, match="no such file or folder"):
        read(tmp_path / "none")


def test_question_answering_data_in_every_form_that_is_trained_on(tmp_path: Path) -> None:
    """JSON lines in UTF-16, a whole file under that name, and tasks of Label Studio."""
    whole = squad_json()
    contexts = sorted({c for _, c, _ in ARTICLES})
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    assert sorted(each.text for each in read(path)) == contexts
    row = {"id": "1", "question": "몇?", "context": "열여섯 마을", "answers": []}
    path.write_bytes((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-16"))
    assert [each.text for each in read(path)] == ["열여섯 마을"]
    task = {"id": 1, "data": {"question": "몇?", "context": "열여섯 마을"}, "annotations": []}
    write(tmp_path / "b.json", json.dumps([task]))
    assert [each.text for each in read(tmp_path / "b.json")] == ["열여섯 마을"]
    path.write_text("no JSON", encoding="utf-8")
    with pytest.raises(UserError, match="line 1 is not JSON"):
        read(path)
