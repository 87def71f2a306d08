"""Reading examples from files and hub data sets.

Every format becomes the same flat list of `Example`. `files.py` finds the files and opens them,
with `saved.py` (folders of `save_to_disk`), `archives.py` and `kinds.py` (what a file is by its
content); `splits.py` says which of them are read, and which parts and sheets of one. `json_rows.py`
(with `json_shapes.py`), `tables.py` (CSV, with `delimited.py`), `excel.py`, `columnar.py` (Parquet,
Arrow) and `hub.py` make rows of them. `names.py` is the table of the fields' names.
`row_to_example.py` makes an Example of a row, whose answers `answers.py` (with `literals.py` and
`place.py`), `mrqa.py` and `annotations.py` read; `collect.py` joins the rows of a source,
`findings.py` says what was decided about it, and `checks.py` checks its examples together.
`sources.py` calls them for one or several sources.
"""

from __future__ import annotations

from qa.data.formats.checks import check_examples, require_answers
from qa.data.formats.sources import read_examples, read_training, read_unchecked

__all__ = [
    "check_examples",
    "read_examples",
    "read_training",
    "read_unchecked",
    "require_answers",
]
