"""What clients send, checked before anything waits: the body's bytes to questions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qa.answering.questions import check_top_k, kind, make_example, make_question
from qa.data.examples import Example
from qa.engine.errors import UserError, first_few, require
from qa.serving.options import MAX_QUESTION_LENGTH, ServingOptions
from qa.serving.reading import Asked

EXPECTED = 'expected {"question": ..., "context": ..., "top_k": 1} or a list of such objects'


class TooLarge(UserError):
    """Well-formed, but more than the server takes."""


def parse(
    body: bytes, options: ServingOptions, max_top_k: int, has_collection: bool = False
) -> tuple[list[Asked], bool]:
    """Return what is asked, and whether as a list, even if as one of a single question.

    Args:
        body: What was sent.
        options: How much is taken.
        max_top_k: Answers that may be wanted of a question.
        has_collection: Questions without a context are asked to a collection.

    Raises:
        TooLarge: There is more in it than the options allow.
        UserError: It is not what was expected; says where and what else it is.
    """
    sent = _load(body)
    is_list = isinstance(sent, list)
    pairs = sent if is_list else [sent]
    require(pairs, f"the list is empty; {EXPECTED}")
    if len(pairs) > options.max_pairs:
        raise TooLarge(f"{len(pairs)} questions; a request takes {options.max_pairs} at most")
    asked = [
        _parse_pair(pair, f"pair {number}: " if is_list else "", max_top_k, has_collection)
        for number, pair in enumerate(pairs)
    ]
    characters = sum(len(each.example.context) for each in asked)
    if characters > options.max_context_length:
        raise TooLarge(
            f"{characters:,} characters of context; a request takes"
            f" {options.max_context_length:,} at most"
        )
    return asked, is_list


def _load(body: bytes) -> Any:
    """Return the value of a JSON text."""
    require(body.strip(), f"the body is empty; {EXPECTED}")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise UserError(f"the body is nested too deeply; {EXPECTED}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"the body is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise UserError(f"the body is not JSON ({place})") from error
    except ValueError as error:  # Python takes no number of more than 4,300 digits
        raise UserError("the body holds a number of too many digits") from error


def _parse_pair(pair: Any, place: str, max_top_k: int, has_collection: bool) -> Asked:
    """Return one question; `place` begins the messages."""
    if not isinstance(pair, Mapping):
        raise UserError(f"{place}{EXPECTED}, not {kind(pair)}")
    needed = ("question",) if has_collection else ("question", "context")
    missing = [name for name in needed if name not in pair]
    require(not missing, f"{place}has no {' and no '.join(missing)}; {EXPECTED}")
    if "context" not in pair:  # which may be there under another name: not a case for a collection
        others = [name for name in pair if name not in ("question", "top_k")]
        require(not others, f"{place}has no context, but {first_few(others)}; {EXPECTED}")
    example = (
        make_example(pair["question"], pair["context"], place)
        if "context" in pair
        else Example("0", make_question(pair["question"], place), "")
    )
    if len(example.question) > MAX_QUESTION_LENGTH:
        raise TooLarge(
            f"{place}the question has {len(example.question):,} characters; at most"
            f" {MAX_QUESTION_LENGTH:,} are taken"
        )
    top_k = pair.get("top_k", 1)
    try:
        check_top_k(top_k, True)
    except UserError as error:
        raise UserError(f"{place}{error}") from error
    require(top_k <= max_top_k, f"{place}top_k must be at most {max_top_k}, not {top_k}")
    return Asked(example, top_k)
