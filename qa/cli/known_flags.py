"""Flags of transformers' run_qa.py and Trainer, and what each of them is here.

A flag is taken only if it means exactly the same here; otherwise a line says what to do instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias


class Same(NamedTuple):
    """Another name for a flag of ours, with the same values."""

    flag: str


class Switch(NamedTuple):
    """A flag that is on by itself or with `true`; `false` is what is so without it."""

    flags: str  # ours, with their values


class Choice(NamedTuple):
    """A flag whose values are flags of ours; for any other value there is an answer."""

    flags: Mapping[str, str]  # by value; "": nothing to do
    answer: str
    needs: str = ""  # the flag of ours without which there is something to do, and the answer says


class Answer(NamedTuple):
    """A flag that is not taken, and what to do instead."""

    line: str


Known: TypeAlias = Same | Switch | Choice | Answer

NO_NEED = "leave it out: "
PACKED = Answer(NO_NEED + "windows are packed without padding, or sorted by length")
WHERE_CURVES_ARE = Answer(
    NO_NEED + "the curves are in tensorboard/ and curves.jsonl of --output-dir"
)
SCALED = Answer(NO_NEED + "--precision bf16 or fp16 is torch's own autocast")
SHARDED = Answer("use --sharding fsdp, started with torchrun")
LAST_STEP = "the last step is evaluated and saved in any case; "

EVERY_STEPS = Choice(
    {"epoch": "--eval-steps epoch", "steps": ""},
    LAST_STEP + "use --eval-steps N or epoch",
    needs="--eval-steps",
)

KNOWN_FLAGS: dict[str, Known] = {
    # model and data
    "--model-name-or-path": Same("--model"),
    "--tokenizer-name": Answer(NO_NEED + "--model brings its own tokenizer"),
    "--config-name": Answer(NO_NEED + "--model brings its own configuration"),
    "--model-revision": Answer("`hf download ID --revision R`, then --model DIRECTORY"),
    "--cache-dir": Answer("set the environment variable HF_HOME instead"),
    "--token": Answer("`hf auth login`, or set HF_TOKEN"),
    "--use-auth-token": Answer("`hf auth login`, or set HF_TOKEN"),
    "--train-file": Same("--train-data"),
    "--validation-file": Same("--eval-data"),
    "--test-file": Answer("after the training run `qa evaluate RUN/best --data FILE`"),
    "--dataset-name": Answer("use --train-data hub:NAME, and --eval-data hub:NAME"),
    "--dataset-config-name": Answer("use --train-data hub:NAME:CONFIG:SPLIT"),
    "--doc-stride": Same("--window-overlap"),
    "--max-train-samples": Same("--max-train-examples"),
    "--max-eval-samples": Same("--max-eval-examples"),
    "--max-predict-samples": Answer("`qa evaluate` answers all questions of its --data"),
    "--overwrite-cache": Answer(NO_NEED + "other texts, tokenizer or options make other windows"),
    "--preprocessing-num-workers": Answer(NO_NEED + "the tokenizer uses all cores by itself"),
    "--pad-to-max-length": PACKED,
    "--group-by-length": PACKED,
    "--length-column-name": PACKED,
    "--remove-unused-columns": Answer(NO_NEED + "only what a format names is read"),
    "--version-2-with-negative": Answer(
        NO_NEED + "questions without an answer are found in the data"
    ),
    # what is done
    "--do-train": Answer(NO_NEED + "train.py always trains"),
    "--do-eval": Answer(NO_NEED + "--eval-data FILE or --holdout 0.2 says what is evaluated"),
    "--do-predict": Answer("after the training run `qa evaluate RUN/best --data FILE`"),
    "--overwrite-output-dir": Switch("--overwrite"),
    "--resume-from-checkpoint": Same("--resume"),
    # steps of the optimizer
    "--lr": Same("--learning-rate"),
    "--lr-scheduler-type": Choice(
        {
            "cosine": "--lr-scheduler cosine",
            "linear": "--lr-scheduler linear",
            "constant": "--lr-scheduler constant --warmup-ratio 0",
            "constant_with_warmup": "--lr-scheduler constant",
        },
        "use --lr-scheduler cosine, linear or constant",
    ),
    "--lr-scheduler-kwargs": Answer(NO_NEED + "--lr-scheduler has no settings of its own"),
    "--optim": Answer(NO_NEED + "the optimizer is AdamW, fused where torch can"),
    "--optim-args": Answer("use --adam-beta1, --adam-beta2, --adam-epsilon, --weight-decay"),
    "--adafactor": Answer(NO_NEED + "the optimizer is AdamW"),
    "--per-gpu-train-batch-size": Same("--per-device-train-batch-size"),
    "--per-gpu-eval-batch-size": Same("--per-device-eval-batch-size"),
    "--auto-find-batch-size": Answer(
        "choose --per-device-train-batch-size, --gradient-accumulation-steps makes up for it"
    ),
    "--eval-accumulation-steps": Answer(NO_NEED + "an evaluation keeps no logits"),
    "--label-smoothing-factor": Answer("label smoothing is not offered; leave it out"),
    "--neftune-noise-alpha": Answer("NEFTune is not offered; leave it out"),
    "--data-seed": Answer("use --seed, which also decides the order of the data"),
    "--full-determinism": Switch("--deterministic"),
    # numbers and machines
    "--bf16": Switch("--precision bf16"),
    "--fp16": Switch("--precision fp16"),
    "--fp16-opt-level": SCALED,
    "--fp16-backend": SCALED,
    "--half-precision-backend": SCALED,
    "--bf16-full-eval": Answer(NO_NEED + "evaluations use --precision too"),
    "--fp16-full-eval": Answer(NO_NEED + "evaluations use --precision too"),
    "--tf32": Answer(
        "--precision fp32 is full fp32; --precision bf16 is faster, and the environment variable"
        " TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 lets torch multiply fp32 by TF32"
    ),
    "--no-cuda": Switch("--device cpu"),
    "--use-cpu": Switch("--device cpu"),
    "--use-mps-device": Switch("--device mps"),
    "--dataloader-num-workers": Same("--num-workers"),
    "--dataloader-pin-memory": Answer(NO_NEED + "memory is pinned where that helps"),
    "--dataloader-drop-last": Answer(NO_NEED + "the last batch of an epoch is trained on too"),
    "--gradient-checkpointing-kwargs": Answer(NO_NEED + "use_reentrant is False"),
    "--torch-compile": Switch("--compile"),
    "--local-rank": Answer(NO_NEED + "torchrun says it in the environment"),
    "--ddp-backend": Answer(NO_NEED + "NCCL on GPUs, gloo on CPUs"),
    "--ddp-find-unused-parameters": Answer("not offered; leave it out"),
    "--deepspeed": SHARDED,
    "--fsdp": SHARDED,
    "--fsdp-config": SHARDED,
    # evaluations, checkpoints, curves
    "--eval-strategy": EVERY_STEPS,
    "--evaluation-strategy": EVERY_STEPS,
    "--save-strategy": Choice(
        {"epoch": "--save-steps epoch", "steps": ""},
        LAST_STEP + "use --save-steps N or epoch",
        needs="--save-steps",
    ),
    "--logging-strategy": Choice({"steps": ""}, "use --logging-steps N"),
    "--logging-first-step": Answer("use --logging-steps 1"),
    "--logging-dir": WHERE_CURVES_ARE,
    "--report-to": WHERE_CURVES_ARE,
    "--run-name": Answer("use --output-dir, whose name TensorBoard shows"),
    "--disable-tqdm": Answer(NO_NEED + "add `2>run.log` to keep the progress bar out of sight"),
    "--log-level": Answer(NO_NEED + "the program prints a few lines only"),
    "--load-best-model-at-end": Answer(NO_NEED + "best/ is the best model, whatever the last is"),
    "--greater-is-better": Answer(NO_NEED + "--metric-for-best-model knows it"),
    "--save-safetensors": Answer(NO_NEED + "models are saved so"),
    "--save-only-model": Answer(NO_NEED + "best/ is the model alone, checkpoints/ can be resumed"),
    "--hub-model-id": Answer("use --push-to-hub OWNER/NAME"),
    "--hub-token": Answer("`hf auth login`, or set HF_TOKEN"),
    "--hub-strategy": Answer(NO_NEED + "best/ is uploaded once, after the run"),
    "--hub-private-repo": Switch("--push-private"),
    "--hub-always-push": Answer(NO_NEED + "best/ is uploaded once, after the run"),
}
