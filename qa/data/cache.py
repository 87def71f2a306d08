"""Windows on disk: built once, memory-mapped afterwards, found again by their fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qa.data.examples import Example
from qa.data.windows import WindowOptions, example_blocks, iterate_windows
from qa.engine.errors import UserError

CACHE_VERSION = 3  # raise it when the same input gives other windows


def cached_windows(
    examples: list[Example],
    tokenizer: Any,
    options: WindowOptions,
    cache_dir: str | Path | None = None,
) -> Any:
    """The windows of `iterate_windows` as a `datasets.Dataset` with numpy columns.

    Any change of an example, the tokenizer or an option gives another fingerprint and so other
    windows; the same input is read back without tokenising. cache_dir: `datasets`' own by default.
    """
    import datasets  # late: takes a second to import

    fingerprint = windows_fingerprint(examples, tokenizer, options)
    directory = Path(cache_dir or datasets.config.HF_DATASETS_CACHE) / "qa-windows"
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{directory}: the cache of windows cannot be made there ({error.strerror}); set"
            " HF_DATASETS_CACHE to a directory that can be written"
        ) from error
    features = window_features("token_type_ids" in tokenizer.model_input_names)
    schema = features.arrow_schema

    def build(firsts: list[int], ends: list[int]) -> Any:
        """The windows of one block of the examples, as an Arrow table."""
        import pyarrow

        (first,), (end,) = firsts, ends
        rows = list(iterate_windows(examples[first:end], tokenizer, options))
        columns = {name: [row[name] for row in rows] for name in schema.names}
        columns["example_index"] = [first + index for index in columns["example_index"]]
        return pyarrow.table(columns, schema=schema)

    blocks = list(example_blocks(examples))
    bars = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()  # tens of lines in a redirected log, for a few seconds' work
    try:
        # `map` writes to a temporary file, renames it when complete, and finds it by its name.
        dataset = datasets.Dataset.from_dict(
            {"first": [first for first, _ in blocks], "end": [end for _, end in blocks]}
        ).map(
            build,
            input_columns=["first", "end"],
            batched=True,
            batch_size=1,
            remove_columns=["first", "end"],
            features=features,
            cache_file_name=str(directory / f"{fingerprint}.arrow"),
            load_from_cache_file=True,
            new_fingerprint=fingerprint,
        )
    finally:
        if bars:
            datasets.enable_progress_bars()
    return dataset.with_format("numpy")


def window_features(with_token_type_ids: bool) -> Any:
    """Column types of the windows on disk; see `iterate_windows` for their meaning."""
    import datasets

    integers = datasets.List(datasets.Value("int32"))
    columns = {
        "example_index": datasets.Value("int32"),
        "input_ids": integers,
        "offset_starts": integers,
        "offset_ends": integers,
        "start_position": datasets.Value("int32"),
        "end_position": datasets.Value("int32"),
        "start_trim": datasets.Value("int32"),
        "end_trim": datasets.Value("int32"),
        "has_answer": datasets.Value("bool"),
        "question_was_cut": datasets.Value("bool"),
        "length": datasets.Value("int32"),
    }
    if with_token_type_ids:
        columns["token_type_ids"] = integers
    return datasets.Features(columns)


def windows_fingerprint(examples: list[Example], tokenizer: Any, options: WindowOptions) -> str:
    """Hex digest of everything the windows depend on."""
    digest = hashlib.sha256()
    settings = [
        CACHE_VERSION,
        asdict(options),
        sorted(tokenizer.model_input_names),
        # Not the tokenizer's hash by pickle: it changes with the padding state of its last call.
        tokenizer_content(tokenizer),
    ]
    digest.update(json.dumps(settings).encode())
    contexts: dict[str, str] = {}  # most stand under several questions
    for e in examples:
        if e.context not in contexts:
            contexts[e.context] = hashlib.sha256(e.context.encode()).hexdigest()
        row = (e.id, e.question, contexts[e.context], e.answers, e.answer_starts)
        digest.update(repr(row).encode())
    return digest.hexdigest()[:32]


def tokenizer_content(tokenizer: Any) -> dict[str, Any]:
    """The tokenizer's definition without its truncation and padding state."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    return {k: v for k, v in content.items() if k not in ("truncation", "padding")}
