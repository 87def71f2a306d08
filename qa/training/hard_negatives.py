"""Hard negatives: questions beside the paragraph that a search takes for theirs.

A reader that has only seen paragraphs with the answer marks something in any of them, and scores a
wrong paragraph's best guess as high as the right one's. Reading what a search finds (`qa ask`), it
meets such paragraphs for every question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unicodedata import normalize

from qa.data.examples import Example
from qa.retrieval.documents import Document
from qa.retrieval.index import Index
from qa.retrieval.passage import Search
from qa.retrieval.writer import IndexWriter

LOOKED_AT = 10  # passages that are found for a question; those below hardly fit it
SUFFIX = "#hard-negative"  # of the ids


def with_hard_negatives(examples: list[Example], report: Callable[[str], None]) -> list[Example]:
    """Return the examples and, behind them, their hard negatives; `report` gets how many."""
    negatives = hard_negatives(examples)
    report(
        f"training: {len(examples):,} questions, and {len(negatives):,} of them again beside the"
        " wrong context that a search finds first"
    )
    return examples + negatives


def hard_negatives(examples: Sequence[Example]) -> list[Example]:
    """Return each answerable question with the best wrong context of the others, and no answer.

    The search is BM25 over the contexts with their titles, as in an index of them. Wrong is a
    context that is another one and holds none of the gold answers. A question for which none is
    found gets none, and one that stands several times gets one each time.

    Args:
        examples: All of the training data: contexts of other data must not be learned from.
    """
    titles = {example.context: example.title for example in examples}
    documents = (
        Document(str(number), title, context, is_passage=True)
        for number, (context, title) in enumerate(titles.items())
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        with IndexWriter(path) as writer:
            writer.add(documents)
        index = Index.open(path)
        try:
            wrong = {e.id: wrong_context(index, e) for e in examples if e.answers}
        finally:
            index.close()
    return [
        Example(e.id + SUFFIX, e.question, context, title=titles[context])
        for e in examples
        if (context := wrong.get(e.id)) is not None
    ]


def wrong_context(search: Search, example: Example) -> str | None:
    """Return the best passage that does not answer a question; None if none of the best does."""
    answers = [normalize("NFC", answer) for answer in (*example.answers, *example.gold_answers)]
    for hit in search.search(example.question, LOOKED_AT):
        text = hit.passage.text
        composed = normalize("NFC", text)
        if text != example.context and not any(answer in composed for answer in answers):
            return text
    return None
