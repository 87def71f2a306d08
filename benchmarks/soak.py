"""Kill short real trainings again and again, and compare each with an uninterrupted one.

    python -m benchmarks.soak [--kills 13]

Runs `qa verify-resume` on the embedded data for data workers 0 and 2 and accumulation 1 and 3, in
bf16 with dropout on: 52 SIGKILLs by default. Exit code 1 at the first difference.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from qa.cli import verify_resume
from qa.data.examples import Example
from qa.data.quickstart.passages import make_quickstart
from qa.data.quickstart.tokenizer import train_tokenizer
from qa.engine.json_files import write_json


def main() -> int:
    """Run the four configurations; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--kills", type=int, default=13, help="per configuration (default 13)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        flags = make_job(root)
        for seed, (workers, accumulation) in enumerate(((0, 1), (0, 3), (2, 1), (2, 3))):
            started = time.perf_counter()
            print(f"workers {workers}, accumulation {accumulation}", flush=True)
            command = [*flags, "--num-workers", str(workers)]
            command += ["--gradient-accumulation-steps", str(accumulation)]
            command += ["--output-dir", str(root / f"run-{workers}-{accumulation}")]
            command += ["--kills", str(options.kills), "--kill-seed", str(seed)]
            if verify_resume.main(command):
                return 1
            print(f"  {time.perf_counter() - started:.0f} s", flush=True)
    return 0


def make_job(root: Path) -> list[str]:
    """Write data and a small BERT with dropout into `root`; returns the flags to train it."""
    import torch
    from transformers import BertConfig, BertModel

    train, held_out = make_quickstart(0, 100, 20)
    for name, examples in (("train", train), ("held-out", held_out)):
        write_json(root / f"{name}.json", [as_row(example) for example in examples])
    tokenizer = train_tokenizer(text for e in train for text in (e.question, e.context))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    BertModel(config, add_pooling_layer=False).save_pretrained(root / "encoder")
    tokenizer.save_pretrained(root / "encoder")
    flags = (
        f"--model {root}/encoder --train-data {root}/train.json --eval-data {root}/held-out.json"
    )
    flags += " --max-seq-length 96 --window-overlap 16 --max-question-length 32 --precision bf16"
    flags += " --hidden-dropout 0.1 --attention-dropout 0.1 --max-steps 40 --learning-rate 1e-3"
    return flags.split()


def as_row(example: Example) -> dict[str, object]:
    """An example in flat JSON form."""
    return {
        "id": example.id,
        "title": example.title,
        "context": example.context,
        "question": example.question,
        "answers": {"text": list(example.answers), "answer_start": list(example.answer_starts)},
    }


if __name__ == "__main__":
    sys.exit(main())
