"""Long HTML documents, as KorQuAD 2.x has them: training and evaluation, and their peak memory.

    python -m benchmarks.long_documents [--model DIR] [--characters 50000 200000]

Writes documents of embedded passages as KorQuAD 2.x JSON, HTML and all, trains a few steps on them
with train.py, evaluates the held-out questions, and prints the peak of memory for each length.
"""

from __future__ import annotations

import argparse
import html
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import train
from benchmarks import alternate, material
from qa.data.examples import Example
from qa.data.quickstart.passages import make_quickstart

NUM_DOCUMENTS = 6
QUESTIONS_PER_DOCUMENT = 3


def main() -> None:
    """Measure and print, or, called by itself, run one length."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_documents")
    parser.add_argument("--model", help="directory or hub id; by default a small new BERT")
    parser.add_argument("--characters", type=int, nargs="+", default=[50_000, 200_000])
    parser.add_argument("--max-steps", type=int, default=20)
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        alternate.report(run(options))
        return
    with material.temporary_folder() as folder:
        if options.model is None:
            small = argparse.Namespace(model=None, data=None)
            material.complete(small, Path(folder))
            options.model = small.model
        arguments = material.arguments_for_runs(options, ["model", "max_steps"])
        names = [str(length) for length in options.characters]
        results = alternate.measure("benchmarks.long_documents", names, arguments)
    print(alternate.table(results, ["seconds", "exact_match", "peak_gib"]))
    first, last = results[names[0]], results[names[-1]]
    print(
        f"documents {int(names[-1]) / int(names[0]):.1f} x as long:"
        f" {last['peak_gib'] / first['peak_gib']:.3f} x peak memory"
    )


def run(options: argparse.Namespace) -> alternate.Run:
    """Train and evaluate on documents of one length."""
    with material.temporary_folder() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        for number in range(NUM_DOCUMENTS):
            content = {"data": [make_document(number, int(options.contestant))]}
            (data / f"{number}.json").write_text(json.dumps(content), encoding="utf-8")
        output = Path(folder) / "run"
        started = time.perf_counter()
        code = train.main(
            [
                *("--model", options.model, "--train-data", str(data), "--holdout", "0.33"),
                *("--negative-window-ratio", "0.1", "--max-steps", str(options.max_steps)),
                *("--output-dir", str(output), "--eval-steps", str(options.max_steps)),
            ]
        )
        if code != 0:
            sys.exit(code)
        seconds = time.perf_counter() - started
        metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    return {"seconds": seconds, "exact_match": metrics["best"]["exact_match"]}


def make_document(number: int, num_characters: int) -> dict[str, Any]:
    """A KorQuAD 2.x document of about so many characters, with questions about its passages."""
    passages, _ = make_quickstart(number, 2000, 10)
    rng = random.Random(number)
    by_context: dict[str, list[Example]] = {}
    for example in passages:
        by_context.setdefault(example.context, []).append(example)
    contexts = list(by_context)
    parts, length, starts = ["<html><body>"], 12, {}
    while length < num_characters:
        context = contexts[len(starts) % len(contexts)]
        body = html.escape(context, quote=False)
        head = f'<div class="section"><h2>{len(starts) + 1}</h2><p>'
        starts.setdefault(context, length + len(head))
        parts += [head, body, "</p></div>\n"]
        length += len(head) + len(body) + len("</p></div>\n")
    parts.append("</body></html>")
    document = "".join(parts)
    qas = []
    for context in rng.sample(list(starts), QUESTIONS_PER_DOCUMENT):
        example = by_context[context][0]
        start = starts[context] + example.answer_starts[0]
        text = example.answers[0]
        if document[start : start + len(text)] != text:
            continue  # escaped characters stand before it
        answer = {"text": text, "answer_start": start}
        qas.append({"id": f"{number}-{start}", "question": example.question, "answer": answer})
    return {"title": str(number), "context": document, "qas": qas}


if __name__ == "__main__":
    main()
