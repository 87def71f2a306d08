"""One contestant of `benchmarks.evaluate`, in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
from pathlib import Path
from typing import Any

from benchmarks import alternate, material
from benchmarks.usual_post_processing import usual_post_processing
from qa.metrics import DEFAULT_METRICS, Score


def main() -> None:
    """Be the contestant, and print its figures."""
    parser = argparse.ArgumentParser()
    material.add_arguments(parser)
    parser.add_argument("--precision")
    parser.add_argument("--batch-size", type=int)
    alternate.report(run(parser.parse_args()))


def run(options: argparse.Namespace) -> alternate.Run:
    """Evaluate as one contestant; its figures."""
    logging.disable(logging.WARNING)
    evaluate = evaluate_with_qa if options.contestant == "qa" else evaluate_with_trainer
    laps = alternate.Laps()
    with material.temporary_folder() as folder:
        figures = evaluate(options, Path(folder), laps)
    return {
        "seconds": sum(laps.seconds.values()),
        **{f"{part}_s": seconds for part, seconds in laps.seconds.items()},
        "windows_per_s": figures["windows"] / laps.seconds["model"],
        **figures,
    }


def evaluate_with_qa(
    options: argparse.Namespace, folder: Path, laps: alternate.Laps
) -> alternate.Run:
    """As `qa.cli.evaluate.evaluate_model` does it."""
    from qa.cli import evaluate

    line = [options.model, "--data", options.data, "--precision", options.precision]
    line += ["--device", "cpu", "--batch-size", str(options.batch_size)]
    examples, reader = evaluate.load(evaluate.make_parser().parse_args(line))
    laps.end("load")
    scores = [Score(name) for name in DEFAULT_METRICS]
    result = evaluate.score_reader(reader, examples, folder, scores, None, tunes=False)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluate.report(result, examples, folder, scores)
    laps.end("model")
    # They alternate, block by block.
    laps.seconds["model"] -= result.decode_seconds
    laps.seconds["post"] = result.decode_seconds
    return {"questions": len(examples), "windows": result.num_windows, **result.scores["korquad1"]}


def evaluate_with_trainer(
    options: argparse.Namespace, folder: Path, laps: alternate.Laps
) -> alternate.Run:
    """As transformers' question-answering script does it."""
    import datasets
    from transformers import (
        AutoModelForQuestionAnswering,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        default_data_collator,
    )

    from qa.data.formats import read_examples

    examples = read_examples(options.data)
    is_best = options.contestant == "best"
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForQuestionAnswering.from_pretrained(options.model)
    laps.end("load")

    def cut(batch: dict[str, list[str]]) -> Any:
        """The windows of a batch of questions."""
        windows = tokenizer(
            batch["question"],
            batch["context"],
            truncation="only_second",
            max_length=options.max_seq_length,
            stride=options.window_overlap,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding=False if is_best else "max_length",
        )
        rows = windows.pop("overflow_to_sample_mapping")
        windows["example_id"] = [batch["id"][row] for row in rows]
        windows["offset_mapping"] = [
            [
                span if part == 1 else None
                for span, part in zip(spans, windows.sequence_ids(i), strict=True)
            ]
            for i, spans in enumerate(windows["offset_mapping"])
        ]
        return windows

    datasets.disable_progress_bars()
    texts = [{"id": e.id, "question": e.question, "context": e.context} for e in examples]
    windows = datasets.Dataset.from_list(texts).map(
        cut,
        batched=True,
        remove_columns=["id", "question", "context"],
        cache_file_name=str(folder / "windows.arrow"),
    )
    laps.end("windows")
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            per_device_eval_batch_size=32 if is_best else 8,
            bf16_full_eval=is_best and options.precision == "bf16",
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        ),
        data_collator=(
            DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)
            if is_best
            else default_data_collator
        ),
    )
    predictions = trainer.predict(windows).predictions
    laps.end("model")
    texts_found = usual_post_processing(examples, windows, predictions, folder)
    score = Score("korquad1")
    for example in examples:
        score.add(texts_found[example.id], example.answers)
    scores = score.compute()
    laps.end("post")
    return {"questions": len(examples), "windows": len(windows), **scores}


if __name__ == "__main__":
    main()
