"""Which families of encoders qa trains, and which it refuses: a table from tiny random models.

    python -m benchmarks.families [FAMILY ...]

For each family: a tiny model is saved as its checkpoints are published, loaded, trained for three
steps, saved, and loaded again by qa and by transformers. docs/models.md says what the columns mean.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import family_models
from qa.data.examples import Example
from qa.data.quickstart.passages import make_quickstart
from qa.data.quickstart.tokenizer import train_tokenizer
from qa.engine.errors import UserError
from qa.models.loss import reader_loss
from qa.models.span_reader import SpanReader

STEPS = 3
# Share of the largest score: fp32 in another order makes 1e-6 of it, padding in sight 5e-5.
CLOSE = 2e-5
Batch = dict[str, Any]


@dataclass
class Result:
    """What became of one family."""

    family: str
    checkpoint: str = ""
    windows: str = ""  # packed, padded, alone
    head: str = ""
    in_transformers: str = ""
    in_reader: str = ""
    padding: str = ""
    verdict: str = "right"  # right, refused, wrong
    reason: str = ""

    def row(self) -> str:
        """The row of the table."""
        cells = (self.checkpoint, self.verdict, self.windows, self.head, self.in_transformers)
        rest = (self.in_reader, self.padding, self.reason)
        return "| " + " | ".join((self.family, *cells, *rest)) + " |"


HEADER = (
    "| family | checkpoint | verdict | windows | head | transformers reloads | qa reloads |"
    " padding exact | why |\n|---|---|---|---|---|---|---|---|---|"
)


def try_family(family: str, tokenizer: Any, directory: Path) -> Result:
    """Build, load, train, save and load again; nothing is raised."""
    result = Result(family)
    try:
        result.checkpoint = family_models.save(family, tokenizer, directory / "start")
        with contextlib.redirect_stderr(io.StringIO()):
            reader = SpanReader.from_pretrained(str(directory / "start"))
        result.windows = "packed" if reader.is_packed else "alone" if reader.is_alone else "padded"
        result.head = type(reader.model).__name__
        is_own = result.head.endswith("WithSpanHead")
        batch = make_batch(tokenizer)
        train(reader, batch)
        reader.save_pretrained(directory / "end")
        tokenizer.save_pretrained(directory / "end")
        reader.eval()
        checks = {
            "in_transformers": None if is_own else in_transformers(reader, batch, directory),
            "in_reader": in_reader(reader, batch, directory),
            "padding": padding_is_exact(reader, batch),
        }
        for name, is_right in checks.items():
            setattr(result, name, "–" if is_right is None else "yes" if is_right else "NO")
        if False in checks.values():
            result.verdict = "wrong"
    except UserError as error:
        result.verdict = "refused"
        result.reason = str(error).replace(f"{directory / 'start'}: ", "").replace("|", "/")
    except Exception as error:  # any: the table goes on
        result.verdict = "wrong"
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        result.reason = f"{type(error).__name__} at {where}: " + " ".join(str(error).split())[:200]
    return result


def make_batch(tokenizer: Any) -> Batch:
    """Windows of questions and contexts, of different lengths, with answers."""
    examples = training_examples()[:6]
    encoded = [
        tokenizer(example.question, example.context[: 20 + 14 * i])
        for i, example in enumerate(examples)
    ]
    return collate(encoded)


def collate(encoded: list[Any]) -> Batch:
    """These windows as the arguments of a SpanReader, and labels."""
    ids = [torch.tensor(each["input_ids"][:120]) for each in encoded]
    types = [torch.tensor(each["token_type_ids"][:120]) for each in encoded]
    lengths = [len(each) for each in ids]
    width = max(lengths)
    slots = [row * width + column for row, n in enumerate(lengths) for column in range(n)]
    ends = torch.tensor(lengths) - 2
    return {
        "input_ids": torch.cat(ids),
        "token_type_ids": torch.cat(types),
        "num_characters": torch.ones(sum(lengths), dtype=torch.long),
        "slots": torch.tensor(slots),
        "lengths": lengths,
        "shape": (len(lengths), width),
        "start_positions": ends - 2,
        "end_positions": ends,
    }


def train(reader: SpanReader, batch: Batch) -> None:
    """Three steps; an error unless they are finite, and change the encoder too."""
    reader.train()
    before = {name: weight.clone() for name, weight in reader.state_dict().items()}
    optimizer = torch.optim.AdamW(reader.parameters(), lr=1e-3)
    for _ in range(STEPS):
        loss = reader_loss(reader, batch)
        assert loss.isfinite(), "the loss is not finite"
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    after = reader.state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    heads = tuple(f"model.{part}." for part in reader.head)
    assert any(name.startswith(heads) for name in moved), "the head did not learn"
    assert any(not name.startswith(heads) for name in moved), "the encoder did not learn"


@torch.no_grad()
def scores(reader: SpanReader, batch: Batch) -> list[torch.Tensor]:
    """(2, t) logits of each window of a batch."""
    labels = ("start_positions", "end_positions")
    out = reader(**{name: value for name, value in batch.items() if name not in labels})
    logits = torch.stack((out.start_logits, out.end_logits))
    return [logits[:, i, :n] for i, n in enumerate(batch["lengths"])]


def are_close(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    """Whether scores are the same within rounding, where transformers rules no token out."""
    largest = max(float(each.abs().max()) for each in ours)
    return all(
        bool(((a - b).abs()[b > -1e5] <= CLOSE * largest).all())
        for a, b in zip(ours, theirs, strict=True)
    )


def windows_of(batch: Batch) -> list[dict[str, torch.Tensor]]:
    """Each window's ids and types, (t,)."""
    names = ("input_ids", "token_type_ids")
    parts = [torch.split(batch[name], batch["lengths"]) for name in names]
    return [dict(zip(names, each, strict=True)) for each in zip(*parts, strict=True)]


@torch.no_grad()
def in_transformers(reader: SpanReader, batch: Batch, directory: Path) -> bool:
    """Whether transformers loads every weight and scores each window, alone, as qa does."""
    from transformers import AutoModelForQuestionAnswering

    model, loading = AutoModelForQuestionAnswering.from_pretrained(
        directory / "end", output_loading_info=True
    )
    model.eval()
    theirs = []
    for window in windows_of(batch):
        if getattr(model.config, "type_vocab_size", 0) <= 1:
            del window["token_type_ids"]
        out = model(**{name: value[None] for name, value in window.items()})
        theirs.append(torch.cat((out.start_logits, out.end_logits)))
    return not any(loading.values()) and are_close(scores(reader, batch), theirs)


def in_reader(reader: SpanReader, batch: Batch, directory: Path) -> bool:
    """Whether qa loads it again, with its trained head, and scores the same."""
    # Not `Reader`, which would ask for a tokenizer of the family's own kind.
    again = SpanReader.from_pretrained(str(directory / "end"), require_head=True).eval()
    return are_close(scores(reader, batch), scores(again, batch))


def padding_is_exact(reader: SpanReader, batch: Batch) -> bool:
    """Whether each window alone scores as it does beside the others."""
    windows = [{name: value.tolist() for name, value in w.items()} for w in windows_of(batch)]
    alone = [scores(reader, collate([window]))[0] for window in windows]
    return are_close(scores(reader, batch), alone)


@functools.cache  # 2 s
def training_examples() -> list[Example]:
    """The quickstart's training part."""
    return make_quickstart()[0]


def make_tokenizer() -> Any:
    """The quickstart's tokenizer."""
    examples = training_examples()
    return train_tokenizer(text for e in examples for text in (e.question, e.context))


def main() -> None:
    """Print the table and how many families are right, refused and wrong."""
    import transformers

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=family_models.FAMILIES)
    families = parser.parse_args().families
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer = make_tokenizer()
    counts = dict.fromkeys(("right", "refused", "wrong"), 0)
    print(HEADER)
    for family in families:
        with tempfile.TemporaryDirectory() as directory:
            result = try_family(family, tokenizer, Path(directory))
        counts[result.verdict] += 1
        print(result.row(), flush=True)
    print(
        f"\n{counts['right']} families right, {counts['refused']} refused with a reason,"
        f" {counts['wrong']} wrong"
    )


if __name__ == "__main__":
    main()
