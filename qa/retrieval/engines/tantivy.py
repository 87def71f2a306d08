"""BM25 by tantivy (extra `qa[search]`), which looks only at passages that may be among the best."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import tantivy

from qa.engine.errors import cut
from qa.engine.json_files import read_json, write_json
from qa.retrieval.engines.engine import Found, State, Tokens

# Another format is not opened by every version; older versions of the package do not tell theirs.
_told = re.search(r"index_format v\d+", tantivy.__version__)
FORMAT = f"tantivy {_told[0] if _told else tantivy.__version__}"
STATE_FILE = "state.json"
MEMORY = 50_000_000  # bytes that hold what is not on disk yet


class TantivyEngine:
    """An `Engine` in a folder of its own."""

    def __init__(self, folder: Path, write: bool = False) -> None:
        self.folder = folder
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("tokens", tokenizer_name="whitespace", index_option="freq")
        builder.add_unsigned_field("key", indexed=True, fast=True)
        self.schema = builder.build()
        if write and not (folder / STATE_FILE).exists():
            tantivy.Index(self.schema, str(folder))
            write_json(folder / STATE_FILE, State()._asdict())
        self._links: TemporaryDirectory[str] | None = None
        if not write and not os.access(folder, os.W_OK):
            self._links = TemporaryDirectory()
            link_files(folder, Path(self._links.name))
            folder = Path(self._links.name)
        self.index = tantivy.Index.open(str(folder))
        self.searcher = self.index.searcher()
        self._state = State(**read_json(self.folder / STATE_FILE, "the state of a search index"))

    def state(self) -> State:
        """What is in it; what was added and not confirmed may be in it, too."""
        return self._state

    def apply(self, removed: Iterable[Tokens], added: Iterable[Tokens], state: State) -> None:
        """Take passages out and in, in one commit; OSError if that fails, as on a full disk."""
        try:
            self._write(removed, added)
        except ValueError as error:
            raise OSError(errno.EIO, cut(str(error)), str(self.folder)) from error
        write_json(self.folder / STATE_FILE, state._asdict())
        # tantivy lets the owner alone read its lists; whoever may read the state may search.
        mode = (self.folder / STATE_FILE).stat().st_mode
        for file in self.folder.glob("*.json"):
            if file.stat().st_mode != mode:
                file.chmod(stat.S_IMODE(mode))
        self._state = state
        self.index.reload()
        self.searcher = self.index.searcher()

    def _write(self, removed: Iterable[Tokens], added: Iterable[Tokens]) -> None:
        """Take passages out and in; ValueError if it fails."""
        writer = self.index.writer(MEMORY, 1)
        # Of a writer that was killed between the commit and the state.
        unconfirmed = tantivy.Query.range_query(
            self.schema,
            "key",
            tantivy.FieldType.Unsigned,
            lower_bound=self._state.key,
            include_lower=False,
        )
        writer.delete_documents_by_query(unconfirmed)
        for key, _ in removed:
            # Not by term: that takes the key for a signed number, and finds nothing.
            writer.delete_documents_by_query(tantivy.Query.term_query(self.schema, "key", key))
        for key, tokens in added:
            document = tantivy.Document()
            document.add_unsigned("key", key)
            document.add_text("tokens", " ".join(tokens))
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()

    def search(self, tokens: list[str], n: int) -> Found:
        """Return the `n` best passages; lengths above 40 count in steps of 2 to 12 %."""
        each = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self.schema, "tokens", token, "freq"))
            for token in tokens
        ]
        hits = self.searcher.search(tantivy.Query.boolean_query(each), n, count=False).hits
        keys = self.searcher.fast_field_values("key", [address for _, address in hits])
        found = [(key, score) for key, (score, _) in zip(keys, hits, strict=True)]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def beginning(self, start: str) -> list[str]:
        """Return the tokens that begin so."""
        return [term for term, _ in self.searcher.terms_with_prefix("tokens", start)]

    def close(self) -> None:
        """Let go of its files."""
        del self.searcher, self.index
        if self._links is not None:
            self._links.cleanup()


def link_files(folder: Path, to: Path) -> None:
    """Make a folder in which tantivy can take its lock, which a reader takes, too.

    Its lists of files are copied, since it watches them and would miss those that are new.
    """
    for file in folder.iterdir():
        if file.suffix == ".json":
            shutil.copyfile(file, to / file.name)
        elif file.suffix != ".lock":
            (to / file.name).symlink_to(file.absolute())
