"""Folders that `save_to_disk` of the library `datasets` wrote: which .arrow files hold the data."""

from __future__ import annotations

import json
import os
from pathlib import PurePosixPath

from qa.data.formats.archives import Members
from qa.engine.errors import first_few, require

STATE = "state.json"  # lists the files of the data
DESCRIPTIONS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json")


def is_saved(folder: str) -> bool:
    """Return whether a folder is one that `save_to_disk` wrote: of one split, or of several."""
    found = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    return {STATE, DESCRIPTIONS[0]} <= found or DESCRIPTIONS[2] in found


def saved_only(members: Members, where: str) -> list[str]:
    """Return the names without descriptions, and of a saved folder only the files that it lists.

    Others in it are what `map` and `filter` keep there, copies of the data among them.

    Args:
        members: All files below a folder or in an archive.
        where: The folder or archive, for messages.

    Raises:
        UserError: A listed file is not there, or the list cannot be read: not all was written.
    """
    names, read = members
    gone = {name for name in names if PurePosixPath(name).name in DESCRIPTIONS}
    for state in [name for name in names if PurePosixPath(name).name == STATE]:
        folder = PurePosixPath(state).parent
        beside = {name for name in names if PurePosixPath(name).parent == folder}
        listed = _listed(read(state), folder)
        if listed is None and str(folder / DESCRIPTIONS[0]) not in beside:
            continue  # another program's
        missing = ["its list of files"] if listed is None else sorted(listed - beside)
        require(
            not missing,
            f"{where}/{state}: was written by save_to_disk, but not all is there, as"
            f" {first_few(missing)}; write or copy the folder again",
        )
        require(
            not _has_indices(read(state)),
            f"{where}/{state}: an old version of `datasets` wrote which rows count to a file of its"
            " own; call flatten_indices() in that version, then save_to_disk again",
        )
        gone |= beside - (listed or set())
    return [name for name in names if name not in gone]


def _has_indices(content: bytes) -> bool:
    """Return whether a state.json that can be read names files which say what rows count."""
    return bool(json.loads(content).get("_indices_data_files"))


def _listed(content: bytes, folder: PurePosixPath) -> set[str] | None:
    """Return the paths of the files that a state.json lists; None if it is not one."""
    try:
        entries = json.loads(content)["_data_files"]
        return {str(folder / entry["filename"]) for entry in entries}
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
