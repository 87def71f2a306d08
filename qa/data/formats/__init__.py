"""Reading examples from files and hub data sets.

Every format becomes the same flat list of `Example`: nested SQuAD/KorQuAD JSON, KorQuAD 2.x, KLUE-
MRC, MRQA, flat JSON and JSONL, CSV, Parquet, Arrow, a folder or an archive of them, hub data sets.
`files.py` finds the files and opens them, with the help of `splits.py` (which of them), `saved.py`
(folders of `save_to_disk`), `archives.py` and `kinds.py` (what a file is by its content).
`json_rows.py`, `tables.py`, `arrow.py` and `hub.py` make rows of them, `row_to_example.py` makes an
Example of a row, and `checks.py` checks the examples of a source together. `sources.py` calls them
for one or several sources.
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
