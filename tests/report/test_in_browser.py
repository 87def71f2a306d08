"""The page in a real browser: what a person sees after a click, a search, an opened question."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.browser import browser
from support.framed_page import run_in_page
from support.reports import made_up, many_examples

from qa.data.examples import Example
from qa.report.content import Report
from qa.report.page import make_page
from qa.report.scores import report_scores

pytestmark = pytest.mark.browser

FRONT = "\U0001f600</script>\U0001f1f0\U0001f1f7 "  # characters of two UTF-16 units before answers
LOOK = """
const visible = (card) => card.checkVisibility();
const cards = () => [...document.querySelectorAll("article")].filter(visible).map((card) => ({
  id: card.querySelector("details > small").textContent.replace("id ", ""),
  question: card.querySelector("h3").textContent,
  context: card.querySelector(".context").textContent,
  gold: [...card.querySelectorAll(".context .gold")].map((each) => each.textContent).join(""),
  said: [...card.querySelectorAll(".context .said")].map((each) => each.textContent).join(""),
  overlap: card.querySelector(".answers small").textContent.trim().split(",")[0],
  candidates: [...card.querySelectorAll("li")].map((each) => each.firstChild.textContent),
}));
const seen = () => ({ found: document.getElementById("found").textContent, cards: cards(),
  pressed: [...document.querySelectorAll("[aria-pressed=true]")].map((each) => each.dataset.tag) });
const click = (tag) => document.querySelector(`[data-tag="${tag}"]`).click();
const type = (text) => { const search = document.getElementById("search");
  search.value = text; search.dispatchEvent(new Event("input")); };
"""
NUMBERS = [*(100 * i / 32 for i in range(-32, 33)), *(i / 8 for i in range(30)), 33.335, 0.05, 1e-9]
ACTIONS = """
const texts = (selector) => [...document.querySelectorAll(selector)].map((e) => e.textContent);
const told = { scores: texts("[data-score]"), titles: texts("h2"),
  rounded: NUMBERS.map((value) => [one(value), two(value), signed(value)]),
  first: seen(), width: document.documentElement.scrollWidth, window: innerWidth,
  asked: performance.getEntriesByType("resource").length };
const wide = document.createElement("table"); wide.style.width = "3000px";
document.querySelector("#figures > section").append(wide);
told.wide = document.documentElement.scrollWidth; wide.remove();
click("kind:too_wide"); told.kind = seen();
click("word:none"); told.both = seen();
click("word:none"); click("kind:too_wide"); told.none = seen();
const focused = () => document.activeElement.closest("[id], article");
document.getElementById("more").focus();
document.getElementById("more").click(); told.next = cards().findIndex((card) =>
  card.id === focused().querySelector("details > small").textContent.replace("id ", ""));
for (let i = 0; i < 6; i++) document.getElementById("more").click();
told.all = cards().length;
click("kind:right"); const chip = document.querySelector("#filters button");
chip.focus(); chip.click(); told.place = focused().id;
type("한여울"); told.searched = seen();
document.querySelector("article summary").click();
setTimeout(() => { told.opened = cards()[0]; tell(told); }, 100);
"""


def examples() -> list[Example]:
    return [
        replace(
            each,
            question=each.question + " </script>",
            context=FRONT + each.context,
            answer_starts=tuple(len(FRONT) + start for start in each.answer_starts),
        )
        for each in many_examples(15)
    ]


@pytest.fixture(scope="module", params=[1280, 390])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What was seen in windows of two widths."""
    folder = tmp_path_factory.mktemp("page")
    numbers = f"const NUMBERS = {json.dumps(NUMBERS)};"
    return run_in_page(make_page(content()), numbers + LOOK + ACTIONS, request.param, folder)


def content() -> dict[str, Any]:
    found = examples()
    return Report([made_up(found)], found, report_scores(found), "data.json").content()


CONTENT = content()
QUESTIONS = {each["id"]: each for each in CONTENT["questions"]}
PAGE = 25


def ids_with(*tags: str) -> list[str]:
    numbers = {CONTENT["tags"].index(tag) for tag in tags}
    return [i for i, each in QUESTIONS.items() if numbers <= set(each["tags"])]


def shown(seen: Any) -> list[str]:
    return [card["id"] for card in seen["cards"]]


def test_the_figures_are_there(told: Any) -> None:
    values = [row["value"] for row in CONTENT["scores"][0][:2]]
    assert told["scores"] == [f"{value:.2f}" for value in values]
    assert [title.split()[0] for title in told["titles"]] == ["What", "Where", "Does", "How"]


def test_numbers_are_rounded_as_the_command_lines_round(told: Any) -> None:
    """An exact half to the even neighbour: of 32 questions 5 are 15.625 %."""
    for value, (one, two, signed) in zip(NUMBERS, told["rounded"], strict=True):
        assert (one, two) == (f"{value:.1f}", f"{value:.2f}")
        assert signed.lstrip("+") == f"{value:.2f}"


def test_it_fits_the_window_and_asks_for_nothing(told: Any) -> None:
    assert told["width"] <= told["window"] in (1280, 390)
    assert told["wide"] == told["width"]  # a wide table scrolls in its section
    assert told["asked"] == 0


def test_it_begins_with_what_is_wrong(told: Any) -> None:
    wrong = ids_with("result:wrong")
    assert told["first"]["found"] == f"{len(wrong)} of 180 questions"
    assert shown(told["first"]) == wrong[:PAGE]


def test_a_question_says_how_far_its_answer_overlaps(told: Any) -> None:
    for card in told["first"]["cards"]:
        assert card["overlap"] == f"F1 {QUESTIONS[card['id']]['overlap']:.2f}"


def test_a_click_on_a_kind_shows_its_questions(told: Any) -> None:
    expected = ids_with("kind:too_wide")
    assert told["kind"]["found"] == f"{len(expected)} of 180 questions"
    assert shown(told["kind"]) == expected[:PAGE]
    assert told["kind"]["pressed"] == ["kind:too_wide"]
    assert len(expected) > 5


def test_a_group_narrows_it_and_a_second_click_takes_a_filter_away(told: Any) -> None:
    assert shown(told["both"]) == ids_with("kind:too_wide", "word:none")[:PAGE]
    assert set(told["both"]["pressed"]) == {"kind:too_wide", "word:none"}
    assert told["none"]["found"] == "180 of 180 questions"
    assert shown(told["none"]) == list(QUESTIONS)[:PAGE]
    assert told["none"]["pressed"] == []
    assert told["all"] == 180


def test_a_keyboard_goes_on_where_a_button_has_gone(told: Any) -> None:
    assert told["next"] == PAGE  # the first of the questions that "More questions" adds
    assert told["place"] == "list"  # behind a filter that was removed


def test_search(told: Any) -> None:
    found = [
        i
        for i, each in QUESTIONS.items()
        if any("한여울" in text for text in (each["question"], each["prediction"], *each["gold"]))
    ]
    assert 10 < len(found) < 60
    assert told["searched"]["found"] == f"{len(found)} of 180 questions"
    assert shown(told["searched"]) == found[:PAGE]


def test_gold_and_prediction_are_marked_at_their_places(told: Any) -> None:
    contexts = {each.id: each.context for each in examples()}
    for card in [*told["kind"]["cards"], *told["none"]["cards"], *told["searched"]["cards"]]:
        question, context = QUESTIONS[card["id"]], contexts[card["id"]]
        (gold,), span = question["golds"], question["span"]
        assert card["gold"] == context[slice(*gold)] == question["gold"][0]
        assert card["said"] == context[slice(*span)] == question["prediction"]
        assert card["question"].endswith("</script>")
        assert card["context"].replace(" … ", "") in context


def test_an_opened_question_shows_candidates_and_the_whole_context(told: Any) -> None:
    opened = told["opened"]
    texts = [text for text, _ in QUESTIONS[opened["id"]]["candidates"]]
    assert opened["candidates"] == texts
    assert opened["context"] == next(e.context for e in examples() if e.id == opened["id"])


def test_a_printout_holds_all_questions_that_are_chosen_opened(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(make_page(CONTENT), encoding="utf-8")
    with browser(tmp_path / "browser") as session:
        session.open(page.as_uri())
        session.devtools("Emulation.setEmulatedMedia", media="print")
        session.click("#more")
        session.click("article:nth-child(2) summary")
        session.run(f"""{LOOK}
        const look = () => ({{ cards: cards(), opened: [...document.querySelectorAll("article")]
          .filter(visible).map((card) => card.querySelector("details").open) }});
        window.told = {{ before: look() }};
        addEventListener("beforeprint", () => {{ told.printed = look(); }});
        addEventListener("afterprint", () => {{ told.after = look(); }});""")
        session.call("POST", "/print")
        told = session.run("return told")
    contexts = {each.id: each.context for each in examples()}
    wrong = ids_with("result:wrong")
    assert len(wrong) > 2 * PAGE
    assert shown(told["printed"]) == wrong
    assert [card["context"] for card in told["printed"]["cards"]] == [contexts[i] for i in wrong]
    assert told["printed"]["opened"] == [True] * len(wrong)
    assert told["after"] == told["before"]
    assert shown(told["after"]) == wrong[: 2 * PAGE]
    assert told["after"]["opened"] == [i == 1 for i in range(2 * PAGE)]


def test_two_readers_and_questions_without_an_answer(tmp_path: Path) -> None:
    found = many_examples(10, unanswerable=4)
    files = [made_up(found, seed, threshold=-1.5) for seed in (0, 1)]
    report = Report(files, found, report_scores(found), "data.json").content()
    actions = """
    const told = { titles: [...document.querySelectorAll("h2")].map((each) => each.textContent) };
    click("flip:won"); told.won = seen();
    click("outcome:no answer, unanswered"); told.left = seen();
    tell(told);"""
    told = run_in_page(make_page(report), LOOK + actions, 1000, tmp_path)
    assert told["titles"][0] == "What changed"
    assert told["titles"][-1] == "Questions without an answer"
    flips, left = report["comparison"]["flips"], report["no_answer"]["no_answer"]["unanswered"]
    assert told["won"]["found"] == f"{flips['won']} of 120 questions"
    assert told["left"]["found"] == f"{left} of 120 questions"
    assert min(left, flips["won"]) > 3
