"""The pages about the engine: their code runs, their tables are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runs import ROOT

from qa import engine

PAGES = ("docs/engine.md", "docs/engine-recipes.md")
BLOCKS = {
    f"{page}-{number}": code
    for page in PAGES
    for number, code in enumerate(
        re.findall(
            r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL
        ),
        start=1,
    )
}
PROGRAM = BLOCKS.pop("docs/engine.md-1") + BLOCKS.pop("docs/engine.md-2")

pytestmark = pytest.mark.usefixtures("one_thread", "in_folder")


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own for what the pages write, and the random generators put back."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        yield


def execute(code: str, names: dict[str, Any]) -> dict[str, Any]:
    """The names after a piece of code."""
    exec(compile(code, "page", "exec"), names)
    return names


def section(title: str) -> str:
    """A section of engine.md."""
    text = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names after the whole program, without its checkpoints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("program"))
        return execute(PROGRAM, {})


def test_the_program_goes_on_exactly(
    program: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at step 32 of 60, and started again."""

    def stop(self: engine.TensorBoard, values: dict[str, float], step: int) -> None:
        if step == 35:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(engine.TensorBoard, "scalars", stop)
        with pytest.raises(KeyboardInterrupt):
            execute(PROGRAM, {})
    assert engine.list_checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000028"
    resumed = execute(PROGRAM, {})
    assert resumed["run"].global_step == 60
    for name, weights in program["run"].weights().items():
        assert torch.equal(resumed["run"].weights()[name], weights), name
    assert resumed["loss"] == program["loss"]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_snippet_trains(block: str, program: dict[str, Any]) -> None:
    """Its runs make steps, in it or after it."""
    names = execute(BLOCKS[block], dict(program))
    runs = [value for value in names.values() if isinstance(value, engine.TrainingRun)]
    for run in runs:
        before = run.global_step
        made = [float(out.loss) for out in islice(run.steps(), 2)]
        assert run.is_finished or (run.global_step == before + 2 and made[0] != made[1])


def recipe(first_line: str, program: dict[str, Any]) -> dict[str, Any]:
    """The names after the snippet that begins so."""
    (code,) = [code for code in BLOCKS.values() if code.startswith(first_line)]
    return execute(code, dict(program))


def test_a_contrastive_batch_in_chunks_is_the_whole_one(program: dict[str, Any]) -> None:
    names = recipe("from torch.utils.checkpoint", program)
    tower, batch = names["run"].model, names["run"].to_device({"x": program["x"][:64]})
    names["contrast"](tower, batch).backward()
    in_chunks, tower.weight.grad = tower.weight.grad, None
    a, b = (torch.nn.functional.normalize(tower(batch["x"] + far)) for far in (0.0, 0.1))
    own = torch.log_softmax(a @ b.T / 0.05, dim=1).diagonal()
    (-own.sum()).backward()
    torch.testing.assert_close(in_chunks, tower.weight.grad)


def test_clipping_by_value_clips_by_value(program: dict[str, Any]) -> None:
    run = recipe("def clipped", program)["run"]
    before = torch.cat([each.detach().flatten().clone() for each in run.model.parameters()])
    out = next(iter(run.steps()))
    after = torch.cat([each.detach().flatten() for each in run.model.parameters()])
    largest = (before - after).abs().max()
    torch.testing.assert_close(largest, torch.tensor(0.5 * out.learning_rate), rtol=0, atol=1e-6)


def test_a_compiled_model_keeps_its_names(program: dict[str, Any]) -> None:
    run = recipe("model = make_model()\nmodel.compile", program)["run"]
    assert run.weights().keys() == program["run"].weights().keys()


def test_settings_are_those_of_the_dataclass() -> None:
    told: dict[str, str] = {}
    for cells in re.findall(r"^\| (`.*?) \| (.*?) \|", section("Settings"), flags=re.MULTILINE):
        left, right = (re.findall(r"`(.*?)`", cell) for cell in cells)
        told.update(zip(left, right, strict=True))
    assert told == {each.name: repr(each.default) for each in fields(engine.TrainConfig)}


def test_public_names_are_those_that_are_exported() -> None:
    rows = re.findall(r"^\| .*? \| (.*) \|$", section("What is public"), flags=re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(engine.__all__)


def test_what_a_run_and_a_step_have_is_there(program: dict[str, Any]) -> None:
    of_a_run, of_a_step = section("What is public").partition("Of a run:")[2].split("Of what")
    run = engine.TrainingRun(
        *(program[name] for name in ("model", "loss_fn", "train", "order", "collate", "config"))
    )
    out = next(iter(run.steps()))
    for owner, text in ((run, of_a_run), (out, of_a_step)):
        names = re.findall(r"`(\w+)", text.partition("\n\n")[0])
        assert len(names) > 5
        assert [name for name in names if not hasattr(owner, name)] == []
