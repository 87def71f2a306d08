"""The model card of a reader, README.md as the Hugging Face hub shows it: facts of the run only.

The block of YAML at its top is what the hub reads: huggingface_hub makes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from qa.outputs.card_facts import SPAN_CLASS, CardFacts

CARD_FILE = "README.md"
MAIN_METRICS = ("exact_match", "f1")


def model_card(facts: CardFacts) -> str:
    """Return the text of the card."""
    sections = (
        ("Use", _use(facts)),
        ("Scores", _scores(facts)),
        ("Data", _data(facts)),
        ("Training", _training(facts)),
        ("Licence", [LICENCE]),
    )
    about = ABOUT_WRITING if facts.writes else ABOUT
    text = [f"---\n{_metadata(facts)}\n---\n", f"# {facts.name}\n", about]
    for title, lines in sections:
        text += [f"\n## {title}\n", *lines]
    return "\n".join(text) + "\n"


ABOUT = (
    "An extractive question-answering reader: it finds the answer to a question in a text.\n"
    "Trained with `qa`, which wrote this card from what it measured."
)
ABOUT_WRITING = (
    "A generative question-answering reader: it writes the answer to a question about a text.\n"
    "Trained with `qa`, which wrote this card from what it measured."
)
LICENCE = (
    "None is chosen yet. Whoever publishes this model must choose one and name it as `license:`\n"
    "in the block at the top; the licences of the data and of the model it started from may\n"
    "restrict the choice."
)


def _metadata(facts: CardFacts) -> str:
    """Return the YAML that the hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    source = facts.held_out.source if facts.held_out else ""
    results = [
        EvalResult(
            task_type="question-answering",
            task_name="Question answering",
            dataset_type=next((i for i in facts.hub_data if i == source), "held-out"),
            dataset_name=source,
            metric_type=name,
            metric_name=f"{facts.main_title} {name}",
            metric_value=facts.main[name],
        )
        for name in MAIN_METRICS
        if name in facts.main
    ]
    return ModelCardData(
        language="ko" if facts.is_korean else None,
        library_name="transformers",
        pipeline_tag="question-answering",
        tags=["generative-qa" if facts.writes else "extractive-qa", "qa"],
        base_model=facts.base if facts.base_is_on_hub else None,
        datasets=list(facts.hub_data) or None,
        metrics=list(MAIN_METRICS) if results else None,
        model_name=facts.name if results else None,
        eval_results=results or None,
    ).to_yaml()


def _use(facts: CardFacts) -> list[str]:
    """Return how to load it, and what transformers alone leaves out."""
    left_out = ["the merging of the windows of a long text"]
    if facts.auto_class != SPAN_CLASS:
        left_out.insert(0, "that answers are pieces of the text, with their places")
    if facts.has_boundary_head:
        left_out.insert(0, "the head that lets answers end inside tokens (they then end at tokens)")
    if facts.has_pair_head:
        left_out.insert(0, "the head that scores both ends of an answer together")
    if facts.writes and facts.auto_class == SPAN_CLASS:
        left_out.insert(
            0,
            "the decoder, which writes the answers (the span head that is left was trained only as"
            " far as `span_loss_weight` says)",
        )
    if facts.threshold is not None:
        left_out.append(f"the threshold ({facts.threshold:.3f}) above which it gives no answer")
    return [
        "```python",
        "from qa import Reader",
        "",
        'reader = Reader.from_pretrained("DIRECTORY_OR_HUB_ID")',
        'reader.answer(question="...", context="...")',
        "```",
        "",
        f"transformers' `{facts.auto_class}` and `AutoTokenizer` load it, too, without:",
        "",
        *(f"- {each}" for each in left_out),
    ]


def _scores(facts: CardFacts) -> list[str]:
    """Return the table of the official scores."""
    if facts.held_out is None:
        return ["Not scored: the run had no held-out data."]
    rows = []
    for score in facts.scores:
        for key, (low, high) in score.intervals.items():
            interval = f"{low:.2f} to {high:.2f}"
            rows.append((score.title, key, f"{score.values[key]:.2f}", interval))
    head = ("score", "measure", "%", "95 % interval (bootstrap over questions)")
    where = f"Of {facts.held_out.questions:,} held-out questions ({facts.held_out.source}):"
    return [where, "", *_table(head, rows, 4)]


def _data(facts: CardFacts) -> list[str]:
    """Return the table of the data, and what is missed of it."""
    parts = [("training", facts.training)]
    if facts.held_out is not None:
        parts.append(("held out", facts.held_out))
    rows = [
        (name, each.source, f"{each.questions:,}", f"{each.windows:,}", f"`{each.fingerprint}`")
        for name, each in parts
    ]
    missed = [f"- {name}: {line}" for name, each in parts for line in each.missed]
    lines = _table(("part", "source", "questions", "windows", "fingerprint"), rows, 5)
    return [*lines, *["", *missed] * bool(missed)]


def _training(facts: CardFacts) -> list[str]:
    """Return how, with what, and with which settings it was trained."""
    about = [f"- {name}: {value}" for name, value in facts.about.items()]
    lines = [*(f"- {line}" for line in facts.history), *about, ""]
    if not facts.settings:
        return [*lines, "All settings are the defaults of qa."]
    rows = [(f"`{k}`", f"`{json.dumps(v)}`") for k, v in facts.settings.items()]
    table = _table(("setting", "value"), rows, 2)
    return [*lines, "Settings that differ from the defaults:", "", *table]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], columns: int) -> list[str]:
    """Return the lines of a table of Markdown."""
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [" | ".join(row) for row in (head, ["---"] * columns, *cells)]
    return [f"| {line} |" for line in lines]
