"""What the engine may know: torch, numpy, tqdm and tensorboard, and nothing about the task."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.runs import ROOT

import qa.engine

SOURCES = sorted((ROOT / "qa" / "engine").glob("*.py"))
ALLOWED = {"torch", "numpy", "tqdm", "tensorboard", "qa", "__future__"}
TASK_WORD = re.compile(r"(?<![a-z])(span|answer|tokenizer|question)s?(?![a-z])", re.IGNORECASE)


def modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `code`."""
    report = (
        "import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_whole_engine_loads_without_transformers_and_datasets() -> None:
    code = "import qa.engine\nfor name in qa.engine.__all__: getattr(qa.engine, name)"
    modules = modules_after(code)
    assert {"torch", "tqdm", "tensorboard"} <= modules  # so it was really loaded
    assert not {"transformers", "datasets", "tokenizers", "accelerate"} & modules


def test_a_configuration_loads_without_torch() -> None:
    code = "import qa.engine\nfrom qa.engine import TrainConfig, UserError\nTrainConfig()"
    assert not {"torch", "numpy", "tqdm", "tensorboard"} & modules_after(code)


def test_every_public_name_resolves_to_its_own_object() -> None:
    for name in qa.engine.__all__:
        assert getattr(qa.engine, name).__name__ == name
    assert sorted(qa.engine.__all__) == list(qa.engine.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = qa.engine.nonsense


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_imports_stay_inside_the_engine(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            assert top in ALLOWED or top in sys.stdlib_module_names, name
            assert top != "qa" or name.startswith("qa.engine."), name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_word_of_the_task(path: Path) -> None:
    """In comments neither, so that a search for the task's words finds nothing here."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    found = [f"{path.name}:{i}: {line.strip()}" for i, line in lines if TASK_WORD.search(line)]
    assert not found
