"""Hard negatives: questions beside the context that a search takes for theirs.

A reader that has only seen contexts with the answer marks something in any of them, and scores a
wrong one's best candidate as high as the right one's. Reading what a search finds (`qa ask`), it
meets such contexts at every question.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from qa.data.examples import Example
from qa.engine.distributed import SINGLE_PROCESS, World
from qa.engine.progress import progress_bar
from qa.retrieval.bigrams import letters
from qa.retrieval.documents import Document
from qa.retrieval.index import Index
from qa.retrieval.sqlite_file import naming
from qa.retrieval.writer import IndexWriter

LOOKED_AT = 10  # contexts that are found for a question; those below hardly fit it


def hard_negatives(examples: Sequence[Example], world: World = SINGLE_PROCESS) -> list[Example]:
    """Return each question that has answers with the best wrong context, and without an answer.

    The search is BM25 over the contexts with their titles, as in an index of them. Wrong is a
    context beside which the question has no answer in the data and that holds none of its gold
    answers, whatever their case, blanks and marks. A question for which the search finds none gets
    none; one that stands several times gets one each time. Ids are those of the questions.

    Args:
        examples: All of the training data: contexts of other data must not be learned from.
        world: The processes that train together: the main one searches for all.
    """
    titles: dict[str, str] = {}
    for example in examples:
        titles.setdefault(example.context, example.title)
    found = world.from_main(find_wrong(examples, titles) if world.is_main else {})
    contexts = list(titles)
    return [
        replace(
            example,
            context=contexts[found[example.id]],
            title=titles[contexts[found[example.id]]],
            answers=(),
            answer_starts=(),
            reference_answers=(),
        )
        for example in examples
        if example.id in found
    ]


def find_wrong(examples: Sequence[Example], titles: dict[str, str]) -> dict[str, int]:
    """Return the number of each question's best wrong context, by id.

    Args:
        examples: The training data.
        titles: Of all contexts.
    """
    asked = {example.id: example for example in examples if example.gold_answers}
    answered = {(example.question, example.context) for example in asked.values()}
    documents = (
        Document(str(number), title, context, is_passage=True)
        for number, (context, title) in enumerate(titles.items())
    )
    found = {}
    with TemporaryDirectory() as folder, naming(folder):
        with IndexWriter(Path(folder) / "index") as writer:
            writer.add(documents)
        with (
            closing(Index.open(Path(folder) / "index")) as index,
            progress_bar(len(asked), unit="search") as bar,
        ):
            for example in asked.values():
                for hit in index.search(example.question, LOOKED_AT):
                    text = hit.passage.text
                    if (example.question, text) not in answered and not holds(text, example):
                        found[example.id] = int(hit.passage.document)
                        break
                bar.update()
    return found


def holds(text: str, example: Example) -> bool:
    """Return whether a text holds an answer to a question, in any spelling."""
    line = letters(text)
    for answer in (*example.answers, *example.reference_answers):
        wanted = letters(answer)
        if (wanted in line) if wanted else (answer in text):  # one of marks alone has no letters
            return True
    return False
