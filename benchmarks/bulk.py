"""Memory and time of `qa predict --data` over more and more questions: python -m benchmarks.bulk.

Each file is answered in a process of its own. The copies of a question differ in id and context.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.memory import AnonymousMemory
from qa.data.formats import read_examples


def main() -> None:
    """Write the copies, answer them, print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--growth", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--suffix", default=".jsonl", help=".json: the same as an array")
    parser.add_argument("--one", action="store_true", help="answer --data itself, in this process")
    options = parser.parse_args()
    if options.one:
        answer(options.model, options.data)
        return
    examples = read_examples(options.data, labelled=False)
    for copies in options.growth:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"questions{options.suffix}")
            rows = (
                {"id": f"{i}-{e.id}", "question": e.question, "context": f"{i} {e.context}"}
                for i in range(copies)
                for e in examples
            )
            is_array = options.suffix == ".json"
            with path.open("w", encoding="utf-8") as file:
                file.write("[" * is_array)
                for number, row in enumerate(rows):
                    file.write("," * (is_array and number > 0) + json.dumps(row) + "\n")
                file.write("]" * is_array)
            command = [sys.executable, "-m", "benchmarks.bulk", options.model, "--one"]
            done = subprocess.run([*command, "--data", path], stdout=subprocess.PIPE, check=True)
            line = done.stdout.decode().splitlines()[-1]
            print(f"{copies} x {len(examples)} questions, {path.stat().st_size:,} bytes: {line}")


def answer(model: str, data: str) -> None:
    """Answer a file with `qa predict`, and print what it took."""
    from qa.cli.predict import main as predict

    memory, started = AnonymousMemory(), time.perf_counter()
    output = str(Path(data).with_name("answers.jsonl"))
    code = predict([model, "--data", data, "--output", output, "--precision", "fp32"])
    seconds = time.perf_counter() - started
    print(f"code {code}, {seconds:.1f} s, anonymous memory {memory.peak():.3f} GiB at its peak")


if __name__ == "__main__":
    main()
