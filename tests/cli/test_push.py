"""`qa push` and `train.py --push-to-hub`, against a hub on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.fake_hub import TOKEN, FakeHub, fake_hub
from support.files import as_flags, write_squad
from support.runs import ROOT, Launcher, free_port

from qa.cli.train_flags import parse_arguments
from qa.engine.errors import UserError
from qa.models.part_files import PART_FILES

BEST = Path(__file__).parents[1] / "outputs" / "golden" / "answerable" / "run" / "best"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as running:
        yield running


def push(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process: huggingface_hub reads its variables when it is imported."""
    with TemporaryDirectory() as home:  # without a token; it makes folders there
        return subprocess.run(
            [sys.executable, "-m", "qa", "push", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "HF_HOME": home, **environment},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.parametrize("private", [False, True])
def test_all_files_of_a_reader_arrive(private: bool, hub: FakeHub) -> None:
    done = push(BEST, "me/reader", *["--private"] * private, **hub.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"uploaded: {hub.url}/me/reader"
    assert hub.repos == {"me/reader": private}
    assert hub.files == {path.name: path.read_bytes() for path in BEST.iterdir()}
    assert hub.tokens == {f"Bearer {TOKEN}"}
    again = push(BEST, "me/reader", **hub.environment)  # into the one that is there
    assert again.returncode == 0, again.stderr
    assert hub.repos == {"me/reader": private}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "401: the hub does not know the token; `hf auth login` stores one"),
        (403, "403: the token may not write there"),
        (404, "404: "),
    ],
)
def test_a_refusal_is_a_line_that_says_how_to_try_again(
    status: int, expected: str, hub: FakeHub
) -> None:
    hub.status = status
    done = push(BEST, "me/reader", "--private", **hub.environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"error: me/reader: the upload failed ({expected}" in done.stderr
    assert f"{BEST} is safe on disk, and this tries again:" in done.stderr
    assert done.stderr.endswith(f"python -m qa push {BEST} me/reader --private\n")


def test_no_network_is_a_line(hub: FakeHub) -> None:
    """Nobody listens at this port."""
    environment = {**hub.environment, "HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    done = push(BEST, "me/reader", **environment)
    assert done.returncode == 2
    assert "error: me/reader: the upload failed (" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_of_an_earlier_reader_stays(hub: FakeHub, tmp_path: Path) -> None:
    """A head of another model would be taken for this one's. What a person put there stays."""
    older = Path(shutil.copytree(BEST, tmp_path / "older"))
    for name in (*PART_FILES, "model.onnx", "export.json", "LICENSE"):
        (older / name).write_text("of another model")
    (older / "large").mkdir()
    (older / "large" / "model.safetensors").write_text("of another model")
    assert push(older, "me/reader", **hub.environment).returncode == 0
    assert "decoder.safetensors" in hub.files
    done = push(BEST, "me/reader", **hub.environment)
    assert done.returncode == 0, done.stderr
    expected = {path.name: path.read_bytes() for path in BEST.iterdir()}
    others = dict.fromkeys(("LICENSE", "large/model.safetensors"), b"of another model")
    assert hub.files == {**expected, **others}


def test_what_cannot_work_is_refused_at_once(hub: FakeHub, tmp_path: Path) -> None:
    scores = tmp_path / "scores"
    scores.mkdir()
    (scores / "config.json").write_text("{}")
    refused: list[tuple[list[str | Path], str]] = [
        ([BEST, "reader"], "'reader': is no id of the hub; pass OWNER/NAME"),
        ([BEST, "me/re ader"], "'me/re ader': is no id of the hub"),
        ([BEST, "a/b/c"], "'a/b/c': is no id of the hub"),
        ([tmp_path, "me/reader"], f"{tmp_path}: no config.json in this model directory"),
        ([BEST.parent, "me/reader"], f"{BEST.parent}: is the directory of a run; its model is in"),
        ([scores, "me/reader"], f"{scores}: is not the directory of a reader"),
    ]
    for arguments, expected in refused:
        done = push(*arguments, **hub.environment)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {expected}")
        assert done.stderr.count("\n") == 1
    done = push(BEST, "me/reader", **{**hub.environment, "HF_TOKEN": ""})
    assert done.returncode == 2
    assert "there is no token of the hub to upload with; `hf auth login` stores one" in done.stderr
    assert hub.repos == {}


# train.py


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--push-to-hub", "'': is no id of the hub"),
        ("--push_to_hub true", "'true': is no id of the hub"),
        ("--push-to-hub me/reader", "me/reader: there is no token"),
        ("--push-private", "--push-private needs --push-to-hub"),
        ("--hub-private-repo --push-to-hub me/reader", "me/reader: there is no token"),
        ("--hub-model-id me/reader", "use --push-to-hub OWNER/NAME"),
        ("--hub-token x", "`hf auth login`, or set HF_TOKEN"),
    ],
)
def test_a_run_is_refused_before_it_begins(
    flags: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError) as error:
        parse_arguments(flags.split())
    assert expected in str(error.value)


@pytest.mark.parametrize("status", [200, 403])
def test_a_run_uploads_its_best(
    status: int, hub: FakeHub, launcher: Launcher, encoder_dir: Path, tmp_path: Path
) -> None:
    hub.status = status
    values = {
        "model": encoder_dir,
        "train-data": write_squad(tmp_path / "squad.json"),
        "max-seq-length": 32,
        "window-overlap": 6,
        "max-question-length": 16,
        "max-steps": 1,
        "precision": "fp32",
        "device": "cpu",
        "output-dir": tmp_path / "run",
        "push-to-hub": "me/reader",
    }
    prelude = (
        "import os, huggingface_hub.constants as constants\n"
        f"os.environ['HF_TOKEN'] = {TOKEN!r}\n"
        f"constants.ENDPOINT, constants.HF_HUB_OFFLINE = {hub.url!r}, False\n"
    )
    run = launcher.run(as_flags(values), prelude)
    best = tmp_path / "run" / "best"
    if status == 200:
        assert run.code == 0, run.stderr
        assert run.stdout.splitlines()[-1] == f"uploaded: {hub.url}/me/reader"
        assert hub.files == {path.name: path.read_bytes() for path in best.iterdir()}
        assert "README.md" in hub.files
    else:
        assert run.code == 2
        assert f"this tries again: python -m qa push {best} me/reader\n" in run.stderr
        assert "Traceback" not in run.stderr
        assert (best / "model.safetensors").is_file()
