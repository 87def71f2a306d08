"""The page, in a real browser."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.browser import Browser, browser
from support.runs import wait_until
from support.serving import Site, SlowReader, serving

from qa.answering.nbest import Answer
from qa.serving.reading import Asked, Found

pytestmark = pytest.mark.browser

ENTER = "\ue007"  # keys, as WebDriver names them
TAB = "\ue004"
CONTEXT = "🏛️ 강나루는 1921년에 <b>푸른섬</b>에서 태어났다.\n👩‍🚀 그는 1952년에 솔빛마을로 옮겼다."


def find_words(batch: list[Asked], check: Callable[[], None]) -> list[Found]:
    """Answers a question by the words that stand in it, each where the context has it."""
    asked = [each.example for each in batch]
    return [Found(find(each.question, each.context), "길" in each.question) for each in asked]


def find(question: str, context: str) -> list[Answer]:
    """The words of the question that the context has, the first the likeliest."""
    words = [word for word in question.split() if word in context]
    return [
        Answer(word, context.index(word), context.index(word) + len(word), -float(i), 0.8 / 4**i)
        for i, word in enumerate(words)
    ]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A server that finds words."""
    with serving(find_words, max_context_length=200) as site:
        yield site


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that prefers Korean."""
    with browser(tmp_path_factory.mktemp("profile"), "ko") as session:
        yield session


@pytest.fixture
def page(session: Browser, site: Site) -> Browser:
    """The page, freshly loaded, on a desktop."""
    session.resize(1280, 800)
    session.open(f"http://127.0.0.1:{site.port}/")
    wait_until(lambda: text_of(session, "#model") == "tiny")
    return session


def text_of(page: Browser, selector: str) -> Any:
    """The text of an element; None if there is none."""
    return page.run("return document.querySelector(arguments[0])?.textContent", selector)


def ask(page: Browser, question: str, context: str = CONTEXT) -> None:
    """Fill in both, press Enter in the question, and wait for what comes of it."""
    fill = "document.getElementById('context').value = arguments[0]"
    page.run(fill, context)  # ChromeDriver types no emoji
    page.run("document.getElementById('question').value = ''")
    page.run("document.getElementById('status').textContent = '…'")  # as while it asks
    page.type("#question", question + ENTER)
    wait_until(lambda: "…" not in text_of(page, "#status"))


def marked(page: Browser) -> tuple[str, str, str]:
    """What stands before the mark, in it, and behind it."""
    nodes = "return [...document.getElementById('text').childNodes].map((n) => n.textContent)"
    before, mark, behind = page.run(nodes)
    assert text_of(page, "#text mark") == mark
    return before, mark, behind


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_korean_question_marks_its_answer_in_the_text(form: Any, page: Browser) -> None:
    """Behind characters of two units, and of several characters each."""
    context = unicodedata.normalize(form, CONTEXT)
    word = unicodedata.normalize(form, "솔빛마을")
    ask(page, f"{word} 로?", context)
    place = context.index(word)
    assert marked(page) == (context[:place], word, context[place + len(word) :])
    assert text_of(page, "#answers li:first-child .answer") == word
    assert text_of(page, "#answers .share") == "80 %"
    assert "찾았습니다" in text_of(page, "#status")


def test_another_answer_is_chosen_with_the_keyboard(page: Browser) -> None:
    ask(page, "1952년에 1921년에 무엇?")
    assert marked(page)[1] == "1952년에"
    for key in (TAB, TAB, TAB, ENTER):  # the button, the first answer, the second
        page.press(key)
    assert marked(page)[1] == "1921년에"
    pressed = "return [...document.querySelectorAll('#answers button')].map((b) => b.ariaPressed)"
    assert page.run(pressed) == ["false", "true"]


def test_text_is_shown_as_text(page: Browser) -> None:
    """Whatever is in it: in answers, in the text, and in the server's sentences."""
    evil = "<img/src=x/onerror=document.title='gone'>"
    ask(page, f"{evil} 무엇?", f"가 {evil} 나")
    assert marked(page) == ("가 ", evil, " 나")
    assert page.run("return document.querySelectorAll('img').length") == 0
    assert page.run("return document.title") == "qa"


def test_no_answer_and_a_cut_question_are_said_in_both_languages(page: Browser) -> None:
    ask(page, "없는 낱말?")
    assert text_of(page, "#status") == "이 본문에는 답이 없습니다."
    assert page.run("return document.getElementById('text').hidden")
    page.click("#language")
    assert text_of(page, "#status") == "No answer in this text."
    assert page.run("return document.documentElement.lang") == "en"
    assert text_of(page, "#ask") == "Ask"
    ask(page, "길 없는 낱말?")
    assert text_of(page, "#status").endswith("end of the question was read: it is too long.")
    page.click("#language")
    assert text_of(page, "#status").endswith("질문이 너무 길어 끝부분만 읽었습니다.")


def test_what_is_missing_or_too_long_is_said(page: Browser) -> None:
    ask(page, "무엇?", "")
    assert text_of(page, "#status") == "본문과 질문을 모두 입력하세요."
    assert page.run("return document.activeElement.id") == "context"
    ask(page, "무엇?", "가" * 201)
    assert text_of(page, "#status") == (
        "이 서버가 받기에는 너무 깁니다: 201 characters of context; a request takes 200 at most"
    )


def test_what_is_no_json_is_told_by_its_status(page: Browser) -> None:
    """As a server with too many connections answers, or a proxy."""
    for status, said in ((503, "너무 많습니다"), (418, "HTTP 418")):
        page.run(f"window.fetch = async () => new Response('<html>', {{status: {status}}})")
        ask(page, "무엇?")
        assert said in text_of(page, "#status"), text_of(page, "#status")


def test_nothing_can_be_typed_before_it_is_known_what_is_asked(page: Browser, site: Site) -> None:
    """The page asks /health, and may be for a text or for a collection."""
    _, _, content = site.send("GET", "/")
    assert b'<form id="form" novalidate hidden>' in content
    wait_until(lambda: page.run("return document.activeElement.id") == "context")
    assert page.run("return !document.getElementById('form').hidden")


def test_an_example_can_be_asked_at_once(page: Browser) -> None:
    page.click("#example")
    page.click("#ask")
    wait_until(lambda: "없습니다" in text_of(page, "#status"))  # this server finds only words
    assert text_of(page, "#count") == "89자"


@pytest.mark.parametrize("width", [390, 320, 1280])
def test_nothing_is_wider_than_the_screen(width: int, page: Browser) -> None:
    page.resize(width, 700)
    ask(page, "1921년에 1952년에 " + "가" * 90, f"1921년에 1952년에 {'가' * 90} {'x' * 90}")
    assert page.run("return document.documentElement.scrollWidth") <= width
    place = "return document.querySelector('#answers button').getBoundingClientRect().top"
    assert 0 <= page.run(place) < 500  # the answer is in sight


def test_the_page_asks_nobody_else(page: Browser, site: Site) -> None:
    ask(page, "1921년에?")
    names = "return performance.getEntriesByType('resource').map((e) => e.name)"
    found = page.run(names)
    assert {name.rsplit("/", 1)[1] for name in found} == {"page.css", "page.js", "health", "answer"}
    assert all(name.startswith(f"http://127.0.0.1:{site.port}/") for name in found)


def test_a_question_asked_meanwhile_takes_the_place_of_the_first(session: Browser) -> None:
    reader = SlowReader()
    with serving(reader) as site:
        session.open(f"http://127.0.0.1:{site.port}/")
        for context in ("first", "second"):
            session.run(f"document.getElementById('context').value = '{context}'")
            session.type("#question", "?" + ENTER)
            wait_until(lambda: len(reader.batches) + site.service.questions.num_waiting() >= 1)
        wait_until(lambda: site.service.questions.num_waiting() == 1)
        reader.go.set()
        wait_until(lambda: text_of(session, "#text mark"))
        assert marked(session) == ("", "second", "")
    session.click("#ask")
    wait_until(lambda: "서버가 응답하지 않습니다" in text_of(session, "#status"))


def test_an_answer_to_what_was_taken_back_is_not_shown(session: Browser) -> None:
    """Nor is its end taken for that of the server."""
    reader = SlowReader()
    with serving(reader) as site:
        session.open(f"http://127.0.0.1:{site.port}/")
        session.type("#context", "first")
        session.type("#question", "?" + ENTER)
        wait_until(lambda: reader.batches)
        session.run("document.getElementById('question').value = ''")
        session.click("#ask")
        wait_until(lambda: site.service.requests.counts["/answer", 499])
        reader.go.set()
        assert text_of(session, "#status") == "본문과 질문을 모두 입력하세요."
        assert session.run("return document.getElementById('text').hidden")
