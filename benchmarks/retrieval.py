"""How well and how fast an index finds passages, and what it takes.

python -m benchmarks.retrieval FILE.json [--korean] [--dense MODEL] [--no-tantivy] [--plain]
python -m benchmarks.retrieval FILE.json --made 20000

FILE is question-answering data whose contexts are the passages. Questions whose contexts are the
same share a passage. `--made` builds an index of that many passages of shuffled sentences.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from qa.data.formats import read_examples
from qa.retrieval.documents import Document
from qa.retrieval.files import Input, read_documents
from qa.retrieval.index import Index
from qa.retrieval.sentences import sentence_ends
from qa.retrieval.settings import IndexSettings
from qa.retrieval.writer import IndexWriter

DEPTH = 20


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--korean", action="store_true")
    parser.add_argument("--dense")
    parser.add_argument("--no-tantivy", action="store_true")
    parser.add_argument("--plain", action="store_true", help="without titles")
    parser.add_argument("--every", type=int, default=1, help="take every n-th question")
    parser.add_argument("--made", type=int)
    options = parser.parse_args()
    if options.no_tantivy:
        sys.modules["tantivy"] = None  # type: ignore[assignment]
    settings = IndexSettings(korean=options.korean, dense=options.dense)
    documents = list(read_documents([Input(options.data, "data")]))
    if options.plain:
        documents = [Document(each.id, "", each.text, is_passage=True) for each in documents]
    questions = [(each.question, each.context) for each in read_examples(options.data)]
    with TemporaryDirectory() as folder:
        measure(Path(folder), documents, questions[:: options.every], settings, options.made)


def measure(
    folder: Path,
    documents: Sequence[Document],
    questions: Sequence[tuple[str, str]],
    settings: IndexSettings,
    made: int | None,
) -> None:
    """Build an index, print what that took, and search it for all questions."""
    passages = documents if made is None else shuffled(documents, made)
    start, start_cpu = time.perf_counter(), time.process_time()
    with IndexWriter(folder / "index", settings) as writer:
        writer.add(passages)
    wall, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    size = sum(path.stat().st_size for path in (folder / "index").rglob("*") if path.is_file())
    print(f"built in {wall:.1f} s ({cpu:.1f} s of CPU), {size / 1e6:.1f} MB on disk", flush=True)
    before = memory()
    index = Index.open(folder / "index")
    index.search(questions[0][0], DEPTH)  # loads what is loaded once
    ranks, walls, cpus = [], [], []
    for question, context in questions[: 500 if made else None]:
        start, start_cpu = time.perf_counter(), time.process_time()
        hits = index.search(question, DEPTH)
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - start_cpu)
        texts = [hit.passage.text for hit in hits]
        ranks.append(texts.index(context) if context in texts else DEPTH)
    print(f"{len(index):,} passages, {len(ranks):,} questions, top {DEPTH}")
    for name, seconds in (("wall", walls), ("CPU", cpus)):
        p50, p95 = np.percentile(seconds, [50, 95]) * 1000
        print(f"a search, {name}: p50 {p50:.2f} ms, p95 {p95:.2f} ms")
    print(f"memory: {before:.0f} MB before it was opened, {memory():.0f} MB after the searches")
    if made is None:
        found = np.array(ranks)
        gain = np.where(found < 10, 1 / np.log2(found + 2.0), 0).mean()
        shares = ", ".join(f"R@{n} {100 * (found < n).mean():.2f}" for n in (1, 5, DEPTH))
        print(f"{shares}, nDCG@10 {100 * gain:.2f}")


def shuffled(documents: Sequence[Document], number: int) -> Iterator[Document]:
    """Yield passages of about the same length, made of sentences drawn from all documents."""
    draw = random.Random(0)
    sentences: list[str] = []
    for document in documents:
        begin = 0
        for end in sentence_ends(document.text):
            sentences.append(document.text[begin:end].strip())
            begin = end
    for n in range(number):
        model = draw.choice(documents)
        parts: list[str] = []
        while sum(map(len, parts)) < len(model.text):
            parts.append(draw.choice(sentences))
        yield Document(f"made-{n}", model.title, " ".join(parts), is_passage=True)


def memory() -> float:
    """Return the memory of this process now, without what is only mapped from files, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
