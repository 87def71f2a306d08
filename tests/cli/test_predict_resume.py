"""`qa predict --output FILE.jsonl`: killed at any point, resumed, shared; always the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.articles import article_examples
from support.runs import Launcher, Run, as_rank, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("one_thread")]

BEST = Path(__file__).parents[1] / "outputs" / "golden" / "answerable" / "run" / "best"
SMALL_BLOCKS = "import qa.answering.blocks\nqa.answering.blocks.WINDOWS_PER_BLOCK = 3\n"
# Where the second block's writing ends, as SIGKILL ends it.
KILLS = {
    "before a block": "kill()",
    "in the middle of a line": 'lines._lines.write(b\'{"id": "0\'); lines._lines.flush(); kill()',
    "before the block is told": (
        "lines._lines.write(''.join(f'{x}\\n' for x in content).encode())\n"
        "        lines._lines.flush(); kill()"
    ),
    "while it is told": "add(lines, content, unanswered); lines._progress.truncate("
    "lines._progress.tell() - 3); kill()",
    "behind it": "add(lines, content, unanswered); kill()",
}
KILLING = """
import os, signal
from qa.outputs.partial_lines import PartialLines
add = PartialLines.add
def kill():
    os.kill(os.getpid(), signal.SIGKILL)
def add_or_die(lines, content, unanswered):
    if lines.done.questions:
        HOW
    add(lines, content, unanswered)
PartialLines.add = add_or_die
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 questions as JSON lines; each stands in the file once."""
    path = tmp_path_factory.mktemp("data") / "test.jsonl"
    rows = [
        {"id": f"{copy}-{e.id}", "question": e.question, "context": f"{copy} {e.context}"}
        for copy in range(3)
        for e in article_examples()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def start(launcher: Launcher, data: Path, output: Path, *flags: str, before: str = "") -> Run:
    """Start the command, in small blocks."""
    given = [str(BEST), "--data", str(data), "--output", str(output), "--device", "cpu"]
    given += ["--precision", "fp32", *flags]
    call = f"import sys\nfrom qa.cli.predict import main\nsys.exit(main({given!r}))\n"
    return launcher.start([], before + SMALL_BLOCKS + call)


def predict(launcher: Launcher, data: Path, output: Path, *flags: str, before: str = "") -> Run:
    """Run the command until it ends."""
    run = start(launcher, data, output, *flags, before=before)
    run.wait()
    return run


@pytest.fixture(scope="module")
def whole(launcher: Launcher, data: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What an uninterrupted run writes."""
    output = tmp_path_factory.mktemp("whole") / "p.jsonl"
    run = predict(launcher, data, output)
    assert run.code == 0, run.stderr
    assert [path.name for path in output.parent.iterdir()] == ["p.jsonl"]
    content = output.read_bytes()
    assert len(content.splitlines()) == 36
    return content


@pytest.mark.parametrize("nfc", [False, True])
@pytest.mark.parametrize("how", KILLS)
def test_killed_and_resumed_is_the_same_file(
    how: str, nfc: bool, launcher: Launcher, data: Path, whole: bytes, tmp_path: Path
) -> None:
    """The texts are composed already, so that --nfc changes no answer, but the blocks."""
    flags = ["--nfc"] * nfc
    output = tmp_path / "p.jsonl"
    before = KILLING.replace("HOW", KILLS[how])
    if nfc:
        before += "import qa.data.windows.tokens\nqa.data.windows.tokens.EXAMPLES_PER_CALL = 5\n"
    run = predict(launcher, data, output, *flags, before=before)
    assert run.code == -9, run.stderr
    assert not output.exists()
    part = tmp_path / "p.jsonl.part"
    done = part.read_bytes()
    assert done
    again = predict(launcher, data, output, *flags)
    assert (again.code, again.stdout) == (2, "")
    assert f"{part}: an earlier run left it; pass --resume to go on" in again.stderr
    run = predict(launcher, data, output, *flags, "--resume")
    assert run.code == 0, run.stderr
    assert run.stdout == f"36 questions, 0 left unanswered\noutput: {output}\n"
    assert [json.loads(line)["id"] for line in output.read_bytes().splitlines()] == [
        json.loads(line)["id"] for line in whole.splitlines()
    ]
    if not nfc:
        assert output.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_a_file_that_was_to_be_replaced_stays_until_the_new_one_is_whole(
    launcher: Launcher, data: Path, whole: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "p.jsonl"
    output.write_text("old")
    before = KILLING.replace("HOW", KILLS["behind it"])
    assert predict(launcher, data, output, "--overwrite", before=before).code == -9
    assert output.read_text() == "old"
    run = predict(launcher, data, output, "--resume")
    assert run.code == 0, run.stderr
    assert output.read_bytes() == whole


def test_what_is_there_is_not_answered_again(
    launcher: Launcher, data: Path, whole: bytes, tmp_path: Path
) -> None:
    """Seen by a reader's answer that was changed in what is there."""
    output, part = tmp_path / "p.jsonl", tmp_path / "p.jsonl.part"
    before = KILLING.replace("HOW", KILLS["behind it"])
    assert predict(launcher, data, output, before=before).code == -9
    changed = part.read_bytes().replace(b'"question"', b'"QUESTION"')
    part.write_bytes(changed)
    assert predict(launcher, data, output, "--resume").code == 0
    assert output.read_bytes() == changed + whole[len(changed) :]


@pytest.mark.parametrize("other", ["data", "--top-k", "decoding option", "model"])
def test_lines_of_something_else_are_refused(
    other: str, launcher: Launcher, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "p.jsonl"
    before = KILLING.replace("HOW", KILLS["behind it"])
    assert predict(launcher, data, output, before=before).code == -9
    kept = (tmp_path / "p.jsonl.part").read_bytes()
    flags, prelude = ["--resume"], ""
    if other == "data":
        rows = data.read_text(encoding="utf-8").replace("?", "!", 1)
        data = tmp_path / "other.jsonl"
        data.write_text(rows, encoding="utf-8")
    elif other == "--top-k":
        flags += ["--top-k", "2"]
    elif other == "decoding option":
        flags += ["--max-answer-length", "3"]
    else:
        prelude = "import qa.cli.predictions\nqa.cli.predictions._digest = lambda model: 'x'\n"
    run = predict(launcher, data, output, *flags, before=prelude)
    assert (run.code, run.stdout) == (2, "")
    assert f"p.jsonl.part: was written with another {other}; pass the same" in run.stderr
    assert (tmp_path / "p.jsonl.part").read_bytes() == kept
    assert predict(launcher, data, output, "--overwrite").code == 0
    assert [p.name for p in tmp_path.glob("p.*")] == ["p.jsonl"]


@pytest.mark.parametrize("killed", [False, True])
def test_two_processes_write_what_one_does(
    killed: bool, launcher: Launcher, data: Path, whole: bytes, tmp_path: Path
) -> None:
    """Also behind what one left."""
    output = tmp_path / "p.jsonl"
    if killed:
        before = KILLING.replace("HOW", KILLS["in the middle of a line"])
        assert predict(launcher, data, output, before=before).code == -9
    port, flags = free_port(), ["--resume"] * killed
    runs = [
        start(launcher, data, output, *flags, before=as_rank(rank, 2, port)) for rank in range(2)
    ]
    assert [run.wait() for run in runs] == [0, 0], runs[0].stderr
    assert output.read_bytes() == whole
    assert runs[1].stdout == ""


def test_two_processes_are_refused_in_one_line(
    launcher: Launcher, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "p.jsonl"
    before = KILLING.replace("HOW", KILLS["behind it"])
    assert predict(launcher, data, output, before=before).code == -9
    port = free_port()
    runs = [start(launcher, data, output, before=as_rank(rank, 2, port)) for rank in range(2)]
    assert [run.wait() for run in runs] == [2, 2]
    assert "pass --resume to go on" in runs[0].stderr
    assert "Traceback" not in runs[0].stderr + runs[1].stderr
    assert "error" not in runs[1].stderr


def test_a_failure_says_how_to_go_on(
    launcher: Launcher, data: Path, whole: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "p.jsonl"
    full = "raise OSError(28, 'No space left on device')"
    run = predict(launcher, data, output, before=KILLING.replace("HOW", full))
    assert run.code == 1
    assert "p.jsonl.part" in run.stderr
    assert "the same command with --resume, and without --overwrite, goes on" in run.stderr
    assert predict(launcher, data, output, "--resume").code == 0
    assert output.read_bytes() == whole
