"""What `datasets` raises for a hub data set ends in one line that names what helps."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import datasets
import pytest

from qa.data.formats import read_examples
from qa.engine.errors import UserError


def message_of(source: str) -> str:
    with pytest.raises(UserError) as caught:
        read_examples(source)
    message = str(caught.value)
    assert message.startswith(f"{source}: ")
    assert "\n" not in message
    assert len(message) < 500
    assert caught.value.__cause__ is not None  # a library caller sees where it came from
    return message


def test_a_directory_with_a_loading_script(tmp_path: Path) -> None:
    folder = tmp_path / "mrc"
    folder.mkdir()
    (folder / "mrc.py").write_text("import datasets\n")
    message = message_of(f"hub:{folder}")
    assert "is a data set with a loading script, which `datasets` no longer runs" in message
    assert "pass the files that the script reads, or save the data as JSON, CSV" in message
    assert "hf download" not in message


class Unknown(Exception):
    """Of a library that only a builder knows."""


NOT_FOUND = datasets.exceptions.DatasetNotFoundError


def generation_error() -> Exception:
    error: Exception = datasets.exceptions.DatasetGenerationError(
        "An error occurred while generating"
    )
    error.__cause__ = OSError("a.parquet: footer missing")
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            RuntimeError("Dataset scripts are no longer supported, but found mrc.py"),
            "is a data set with a loading script, which `datasets` no longer runs; the hub keeps"
            " most of them as Parquet: hf download some/mrc --repo-type dataset --revision"
            " refs/convert/parquet --local-dir DIR, then pass DIR, or DIR/CONFIG",
        ),
        (
            NOT_FOUND(
                "Dataset 'some/mrc' is a gated dataset on the Hub. You must be authenticated to"
                " access it."
            ),
            "Dataset 'some/mrc' is a gated dataset on the Hub; ask for access on its page at the"
            " hub, then log in (hf auth login), or download it and pass the path of its files",
        ),
        (
            NOT_FOUND("Dataset 'some/mrc' doesn't exist on the Hub or cannot be accessed."),
            "the data set cannot be loaded from the hub (DatasetNotFoundError: Dataset 'some/mrc'"
            " doesn't exist on the Hub or cannot be accessed); check the name and the network, or"
            " download it and pass the path of its files",
        ),
        (ImportError("To load it, install py7zr."), "To load it, install py7zr; install what it"),
        (generation_error(), "its files cannot be read (a.parquet: footer missing)"),
        (Unknown("line 1\nline 2"), "cannot be loaded from the hub (Unknown: line 1); check"),
        (TypeError(""), "cannot be loaded from the hub (TypeError); check"),
        (ConnectionError("Couldn't reach\nit"), "(ConnectionError: Couldn't reach); check"),
        (ValueError('Unknown split "x".\nShould be "a".\nMore'), 'Unknown split "x". Should be'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_of_datasets(
    error: Exception, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    assert expected in message_of("hub:some/mrc")


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_what_is_no_fault_of_the_data_set_passes(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(type(error)):
        read_examples("hub:some/mrc")


def test_the_parquet_copy_of_the_hub_is_read_from_its_folder(tmp_path: Path) -> None:
    """The files that `hf download` leaves, as the message says: CONFIG/SPLIT/0000.parquet."""
    from support.data_files import flat_rows, parquet_bytes

    for split, rows in (("train", flat_rows()[:8]), ("validation", flat_rows()[8:])):
        (tmp_path / "default" / split).mkdir(parents=True)
        (tmp_path / "default" / split / "0000.parquet").write_bytes(parquet_bytes(rows))
    (tmp_path / ".cache").mkdir()
    with pytest.warns(UserWarning, match="1 of 2 files are read, the split validation"):
        found = read_examples(str(tmp_path), "validation")
    assert [e.id for e in found] == ["4-0", "4-1", "5-0", "5-1"]
