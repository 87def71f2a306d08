"""The plan of the house: who may import whom, and what must load without torch.

A room is a package of `qa/`, or a file that lies flat in it. Imports inside functions and under
TYPE_CHECKING count too: they are ties all the same.
"""

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

DATA = {"qa.data", "qa.engine"}
READING = DATA | {"qa.models", "qa.answering"}
SCORING = READING | {"qa.outputs", "qa.evaluation", "qa.metrics"}

# A room may always import itself, and every file qa.engine.errors. The longest name that fits a
# file tells its room. "qa" is the version.
ALLOWED: dict[str, set[str]] = {
    "qa": {"qa.answering"},  # Reader, imported when it is asked for
    "qa.engine": set(),  # torch, numpy, tqdm, tensorboard: no word of the task
    "qa.metrics": set(),
    "qa.models": {"qa.engine"},
    "qa.data": {"qa.engine"},
    "qa.data.doctor": DATA | {"qa.metrics"},  # the scores that a tokenizer can reach
    "qa.answering": {"qa.models"} | DATA,
    "qa.open_domain": {"qa.retrieval"} | READING,
    # Beside answering, what is said of answers with known right ones.
    "qa.open_domain.measure": {"qa.open_domain", "qa.retrieval", "qa.metrics"} | READING,
    "qa.open_domain.fit": {"qa.open_domain", "qa.evaluation"} | READING,
    "qa.outputs": {"qa.answering"} | DATA,
    "qa.evaluation": {"qa.answering", "qa.outputs", "qa.metrics"} | DATA,
    "qa.report": {"qa.answering", "qa.outputs", "qa.evaluation", "qa.metrics"} | DATA,
    "qa.export": SCORING,
    # Only where options are declared.
    "qa.config": {
        "qa.engine",
        "qa.answering.options",
        "qa.data.windows.options",
        "qa.data.batches.evaluation_batches",
    },
    "qa.recipes": {"qa.config"},
    "qa.serving": {"qa", "qa.answering", "qa.open_domain"} | DATA,
    "qa.retrieval": {"qa.models"} | DATA,
    "qa.training": SCORING | {"qa", "qa.config", "qa.report"},
    # A search confuses contexts with the right one: what to learn from.
    "qa.training.hard_negatives": {"qa.retrieval"} | DATA,
    "qa.cli": SCORING
    | {"qa.config", "qa.export", "qa.open_domain", "qa.recipes", "qa.report", "qa.retrieval"},
    "qa.cli.train": {"qa.cli", "qa.training", "qa.engine", "qa.outputs", "qa.recipes"},  # train.py
    "qa.cli.serve": {
        "qa.cli",
        "qa.serving",
        "qa.open_domain",
        "qa.retrieval",
        "qa.answering",
        "qa.engine",
    },
    "qa.cli.index": {"qa.cli", "qa.retrieval", "qa.engine"},
    "qa.cli.extract": SCORING | {"qa.cli", "qa.config", "qa.training"},  # what a run started from
    "qa.__main__": {"qa.cli", "qa.engine"},
}

# In a fresh interpreter; the commands' first words come from these.
LIGHT = (
    "qa",
    "qa.__main__",
    "qa.config",
    "qa.recipes",
    "qa.cli.parser",
    "qa.cli.startup",
    "qa.cli.train_flags",
    "qa.engine",
    "qa.cli.train",
    "qa.cli.serve",
    "qa.cli.ask",
    "qa.cli.index",
)
HEAVY = {
    "torch",
    "numpy",
    "transformers",
    "datasets",
    "tokenizers",
    "tqdm",
    "tensorboard",
    "starlette",
    "uvicorn",
}
ENGINE_PACKAGES = {"torch", "numpy", "tqdm", "tensorboard"}

FILES = sorted((ROOT / "qa").rglob("*.py"))
IMPORTS = (ast.Import, ast.ImportFrom)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
ENGINE_FILES = [path for path in FILES if path.parent.name == "engine"]
PROGRAM = "verify_resume.py"  # of the engine, with flags of its own


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The longest name of the table that a module belongs to."""
    names = [name for name in ALLOWED if is_in(module, name)]
    return max(names, key=len)


def is_in(module: str, name: str) -> bool:
    """Whether a module is that package or module, or in it; only "qa" itself is in "qa"."""
    return module == name or (name != "qa" and module.startswith(name + "."))


def imported(path: Path) -> list[str]:
    """Every module that a file imports, wherever in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            module = node.module or ""
            # `from qa.models import loss` imports a module, `from qa.models.loss import x` a name.
            for alias in node.names:
                inner = ROOT.joinpath(*module.split("."), alias.name)
                is_module = inner.with_suffix(".py").is_file() or inner.is_dir()
                names.append(f"{module}.{alias.name}" if is_module else module)
    return names


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_line_stands_in_the_right_room(path: Path) -> None:
    room = room_of(module_of(path))
    for name in imported(path):
        if name.partition(".")[0] == "qa" and name != "qa.engine.errors":
            assert is_in(name, room) or any(is_in(name, other) for other in ALLOWED[room]), (
                f"{module_of(path)} (room {room}) may not import {name}"
            )


def test_no_rooms_import_each_other_in_a_circle() -> None:
    """Counted by folders and flat files, so that a row of the table cannot allow one."""
    ties: dict[str, set[str]] = {}
    for path in FILES:
        if path.is_symlink():  # train.py, which joins what stands on top
            continue
        room = ".".join(module_of(path).split(".")[:2])
        ties.setdefault(room, set()).update(
            ".".join(name.split(".")[:2]) for name in imported(path) if name.startswith("qa.")
        )
    rooms = dict(ties)
    while rooms:
        ground = [room for room, others in rooms.items() if not (others - {room}) & rooms.keys()]
        assert ground, f"a circle among {sorted(rooms)}"
        for room in ground:
            del rooms[room]


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {module_of(path): path for path in FILES if not path.is_symlink()}
    left = {name: set(imported(path)) & names.keys() - {name} for name, path in names.items()}
    while left:
        ground = [name for name, others in left.items() if not others & left.keys()]
        assert ground, f"a circle among {sorted(left)}"
        for name in ground:
            del left[name]


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


@pytest.mark.parametrize("module", LIGHT)
def test_what_comes_before_the_work_loads_nothing_heavy(module: str) -> None:
    modules = modules_after(f"import {module}")
    assert "qa" in modules
    assert not HEAVY & modules


def test_a_configuration_is_made_without_torch() -> None:
    code = "from qa.engine import TrainConfig, UserError\nTrainConfig()"
    assert not HEAVY & modules_after(code)


def test_reader_is_imported_when_it_is_asked_for() -> None:
    assert "torch" in modules_after("from qa import Reader")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = qa.nonsense


# The engine, which knows nothing of the task

TASK_WORD = re.compile(r"(?<![a-z])(span|answer|tokenizer|question)s?(?![a-z])", re.IGNORECASE)


def test_the_whole_engine_loads_without_transformers_and_datasets() -> None:
    code = "import qa.engine\nfor name in qa.engine.__all__: getattr(qa.engine, name)"
    modules = modules_after(code)
    assert {"torch", "tqdm", "tensorboard"} <= modules  # so it was really loaded
    assert not {"transformers", "datasets", "tokenizers", "accelerate"} & modules


def test_every_public_name_resolves_to_its_own_object() -> None:
    for name in qa.engine.__all__:
        assert getattr(qa.engine, name).__name__ == name
    assert sorted(qa.engine.__all__) == list(qa.engine.__all__)


def test_no_public_name_is_that_of_a_module() -> None:
    """Once such a module is imported, the name would stand for the module."""
    assert not {path.stem for path in ENGINE_FILES} & set(qa.engine.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = qa.engine.nonsense


@pytest.mark.parametrize("path", ENGINE_FILES, ids=module_of)
def test_the_engine_takes_no_other_packages(path: Path) -> None:
    for name in imported(path):
        top = name.partition(".")[0]
        assert top in {*ENGINE_PACKAGES, "qa", "__future__"} or top in sys.stdlib_module_names, name


@pytest.mark.parametrize("path", EXAMPLES, ids=module_of)
def test_an_example_uses_public_names_of_the_engine_only(path: Path) -> None:
    """As `engine.NAME`, after `from qa import engine`, the only import from qa."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lines = [ast.unparse(each) for each in ast.walk(tree) if isinstance(each, IMPORTS)]
    assert [line for line in lines if re.search(r"\bqa\b", line)] == ["from qa import engine"]
    used = {
        each.attr
        for each in ast.walk(tree)
        if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "engine"
    }
    assert {"TrainConfig", "TrainingRun"} <= used <= set(qa.engine.__all__)


@pytest.mark.parametrize("path", ENGINE_FILES, ids=module_of)
def test_no_word_of_the_task(path: Path) -> None:
    """In comments neither, so that a search for the task's words finds nothing here."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    found = [f"{path.name}:{i}: {line.strip()}" for i, line in lines if TASK_WORD.search(line)]
    assert not found


@pytest.mark.parametrize("path", [p for p in ENGINE_FILES if p.name != PROGRAM], ids=module_of)
def test_no_message_names_a_flag_of_a_program(path: Path) -> None:
    """The engine serves programs that have other flags, or none. Docstrings may name some."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node not in statements
    ]
    assert not [text for text in texts if isinstance(text, str) and re.search(r"--[a-z]", text)]
