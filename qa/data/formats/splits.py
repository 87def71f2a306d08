"""Which files, parts of a file or sheets are for training, which for validation, which for tests.

Names tell it as they do to the library `datasets`: words such as `train`, `dev` or `test` between
marks, digits or ends, in the name of a file (`data/train-00000-of-00001.parquet`) or of a folder
above it (`2.Validation/a.json`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath
from unicodedata import normalize

from qa.engine.errors import first_few, notice, require

WORDS = {  # TL_1.zip, VL_1.zip: labels as AI-Hub packs them; tl in small letters is a language
    "train": "train(?:ing)?|(?-i:TL)|학습|훈련",
    "validation": "validation|valid|val|dev|(?-i:VL)|검증",
    "test": "test(?:ing)?|eval(?:uation)?|시험|평가|테스트",
}
AFTER = "용?(?:data|set|dataset|데이터|셋|데이터셋)?"  # testset, 검증용데이터
SPLIT_WORD = re.compile(
    r"(?<![^\W\d_])(?:"  # no letter before it
    + "|".join(f"(?P<{split}>{words})" for split, words in WORDS.items())
    + rf"){AFTER}(?![^\W\d_])",
    re.IGNORECASE,
)
NO_SPLITS = "has no parts that are called after splits; leave the name of a split out"
PART = re.compile(r"(.*-)(\d{5})(-of-\d{5})(?![0-9])")


def split_of(name: str) -> str | None:
    """Return the split that a path names, `train`, `validation` or `test`; None if it names none.

    The nearest name counts: the file's own, then that of its folder, and so on. A name with words
    of two splits, as `train_dev.json`, tells nothing.
    """
    for part in reversed(PurePosixPath(normalize("NFC", name)).parts):  # macOS decomposes names
        found = {match.lastgroup for match in SPLIT_WORD.finditer(part)}
        if len(found) == 1:
            return found.pop()
    return None


def is_bare_split(name: str) -> bool:
    """Return whether a name is a word for a split and nothing else, as an id hardly is."""
    return SPLIT_WORD.fullmatch(normalize("NFC", name)) is not None


def choose(
    names: Sequence[str],
    where: str,
    split: str,
    is_named: bool = False,
    kind: str = "files",
) -> list[str]:
    """Return the names of what is to be read, in their order; a `Notice` says which are left.

    All are read if no name tells a split. Names that tell none are training data if no other name
    is.

    Args:
        names: Paths below a folder or archive, or the names of the parts or sheets of a file.
        where: The folder, archive or file, for messages.
        split: `train`, `validation` or `test`.
        is_named: Whether somebody named this split. Otherwise tests may stand in for a validation
            split, and the only split that there is for any.
        kind: What the names are those of, for messages.

    Raises:
        UserError: Nothing is of this split.
    """
    splits: dict[str | None, list[str]] = defaultdict(list)
    for name in names:
        splits[split_of(name)].append(name)
    if "train" not in splits and len(splits) > 1 and None in splits:
        splits["train"] = splits.pop(None)
    told = [name for name in WORDS if name in splits]
    read = split
    if not is_named and split not in told:
        if not told:
            read = ""
        elif len(splits) == 1:
            read = told[0]
        elif split == "validation" and "test" in told:
            read = "test"
        if told and read != split:
            notice(f"{where}: has no split {split}; {read} is read in its place")
    require(
        not read or read in told,
        f"{where}: has no split {read}, only {', '.join(told) or f'{kind} that name none'}"
        + (f"; {where}:{told[-1]} reads one" if told else ""),
    )
    chosen = splits[read] if read else list(names)
    left = sorted(set(names) - set(chosen), key=list(names).index)
    if left:
        notice(
            f"{where}: {len(chosen):,} of {len(names):,} {kind} are read, the split {read}"
            f" ({first_few(chosen)}), and these are not: {first_few(left)}"
        )
    missing = missing_parts(chosen)
    if missing:
        notice(f"{where}: {len(missing):,} parts of its files are missing ({first_few(missing)})")
    return chosen


def missing_parts(names: Sequence[str]) -> list[str]:
    """Return the names of parts as `train-00001-of-00002` that are not there though others are."""
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for match in filter(None, map(PART.match, names)):
        found[match[1], match[3]].add(int(match[2]))
    return [
        f"{before}{number:05d}{total}"
        for (before, total), numbers in found.items()
        for number in range(int(total[-5:]))
        if number not in numbers
    ]
