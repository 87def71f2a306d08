"""What a resumed run must share with the run that it continues, and what it may change."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from qa.config import OLD_VALUES, config_fields
from qa.engine.errors import UserError, require
from qa.engine.loop import TrainingRun
from qa.training.build import Job

# What older checkpoints do not name: they were trained as the defaults of these settings say, or
# as OLD_VALUES do.
ADDED_SETTINGS = (
    *("warmup_steps", "adam_beta1", "adam_beta2", "adam_epsilon"),
    *("freeze", "compile", "deterministic"),
    *("reader", "decoder_layers", "span_loss_weight", "decoding", "hard_negatives"),
)


def run_identity(job: Job) -> dict[str, Any]:
    """Return the values that a resumed run must share with its checkpoint, by name."""
    values = job.config.flat()
    architecture = job.reader.model.model.config.to_dict()
    # These depend on where the model was loaded from, and by which version, not on what it is.
    for name in ("_name_or_path", "transformers_version", "dtype", "torch_dtype"):
        architecture.pop(name, None)
    identity = {
        "model": digest(architecture),
        **job.data_fingerprints,
        # Not in the fingerprint, since windows do not depend on gold answers that stand apart.
        "held-out gold answers": digest([e.gold_answers for e in job.eval_examples]),
        "precision": job.run.precision.name,
        "packed windows": job.reader.model.is_packed,
        "new heads": ", ".join(name.strip(".") for name in job.reader.model.new_weights),
        "global batch (micro-batches per step)": job.run.micro_batches.per_step,
    }
    same = [n for n, field in config_fields().items() if field.metadata["resume"] == "same"]
    return {**identity, **{name: values[name] for name in same}}


def require_same_run(saved: dict[str, Any], current: dict[str, Any]) -> None:
    """Raise UserError, with a table of the differences, unless both identities are the same."""
    fields = config_fields()
    saved = {**{name: fields[name].default for name in ADDED_SETTINGS}, **OLD_VALUES, **saved}
    require(
        current.keys() <= saved.keys(),
        "the checkpoint was made by an older qa, whose runs this one does not continue exactly:"
        " finish the run there, or start a new one in another --output-dir",
    )
    different = [
        name for name in current if json.dumps(saved.get(name)) != json.dumps(current[name])
    ]
    if not different:
        return
    width = max(len(name) for name in different)
    rows = [f"  {'':<{width}}  {'checkpoint':<32}  now"]
    rows += [f"  {n:<{width}}  {saved.get(n)!s:<32}  {current[n]}" for n in different]
    raise UserError(
        "--resume would continue another run than the checkpoint's; use the checkpoint's settings,"
        " or start a new run in another --output-dir\n" + "\n".join(rows)
    )


def describe_new_length(saved_total: int, run: TrainingRun) -> str | None:
    """Return a sentence on what another number of steps does to the schedule, if it is another."""
    if run.is_finished:
        return f"the run has made {run.global_step} steps: nothing is left to train"
    if saved_total == run.total_steps:
        return None
    rate = run.learning_rate(run.global_step)
    return (
        f"the run now has {run.total_steps} steps instead of {saved_total}: from here the learning"
        f" rate follows the schedule of {run.total_steps} steps ({rate:.2e} at step"
        f" {run.global_step + 1}); a run planned for that many steps from the start would end"
        " differently"
    )


def digest(value: Any) -> str:
    """Return a short digest of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
