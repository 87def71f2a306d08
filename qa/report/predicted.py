"""What one run, or any program, predicted: read from its files."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from qa.data.examples import check_characters
from qa.engine.errors import UserError, require, shown
from qa.engine.json_files import read_json
from qa.outputs.nbest_file import Candidate, nbest_path, parse_answers
from qa.outputs.prediction_files import NBEST_FILE, PREDICTIONS_FILE
from qa.outputs.read_predictions import read_prediction_file


@dataclass(frozen=True)
class Predicted:
    """The predictions of one reader.

    Args:
        name: Where they are from.
        texts: Id -> predicted text, "" if the question was left unanswered.
        candidates: Id -> candidates, best first; {} if only texts are known.
    """

    name: str
    texts: Mapping[str, str]
    candidates: Mapping[str, list[Candidate]] = field(default_factory=dict)


def read_predicted(name: str, nfc: bool = False) -> Predicted:
    """Read a run's directory, an n-best file, or a file of texts from any program.

    `nfc`: compose the texts to Unicode NFC, as the data's are.
    """
    path = Path(name)
    require(path.exists(), f"{name}: no such run or file")
    candidates: dict[str, list[Candidate]] = {}
    if path.is_dir() or path.name == NBEST_FILE:
        candidates = read_candidates(nbest_path(name))
        texts = {i: answers[0].text if answers else "" for i, answers in candidates.items()}
        beside = nbest_path(name).parent / PREDICTIONS_FILE  # knows what is left unanswered
        if path.is_dir() and beside.is_file():
            texts = read_prediction_file(str(beside))
        elif beside.is_file():
            with suppress(UserError):  # it is a file of something else
                chosen = read_prediction_file(str(beside))
                texts = chosen if is_choice(chosen, texts) else texts
    else:
        texts = read_prediction_file(name)
    require(texts, f"{name}: holds no predictions")
    for example_id, text in texts.items():
        check_characters(text, f"{name}: {shown(example_id)!r}")
    if nfc:
        texts = {i: normalize("NFC", text) for i, text in texts.items()}
        candidates = {
            i: [each._replace(text=normalize("NFC", each.text)) for each in own]
            for i, own in candidates.items()
        }
    return Predicted(name, texts, candidates)


def is_choice(chosen: Mapping[str, str], firsts: Mapping[str, str]) -> bool:
    """Return whether texts are the first candidates of all questions, but for those left out."""
    return chosen.keys() == firsts.keys() and all(
        text in ("", firsts[example_id]) for example_id, text in chosen.items()
    )


def read_candidates(path: Path) -> dict[str, list[Candidate]]:
    """Return the candidates of each question of an n-best file; UserError if it is none."""
    found: dict[str, list[Candidate]] = {}
    for example_id, answers in read_json(path, "{id: candidates}").items():
        found[example_id] = parse_answers(answers, f"{path}: {shown(example_id)!r}")
    return found
