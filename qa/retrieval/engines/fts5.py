"""BM25 by FTS5 of Python's own SQLite: slower than tantivy, and there without an installation."""

from __future__ import annotations

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from qa.engine.errors import UserError
from qa.retrieval.engines.engine import Found, State, Tokens
from qa.retrieval.sqlite_file import connect

FORMAT = "fts5 1"
FILE = "fts5.db"
# `ascii` cuts at blanks only, since our tokens have no other ASCII but letters and digits;
# unicode61 would cut at letters that are younger than Unicode 6.1.
SCHEMA = """
    CREATE VIRTUAL TABLE tokens USING fts5(body, content='', tokenize='ascii');
    CREATE VIRTUAL TABLE terms USING fts5vocab(tokens, 'row');
    CREATE TABLE state (key INTEGER, removal INTEGER);
    INSERT INTO state VALUES (0, 0);
"""
LEAST_IDF = 1e-6  # FTS5's, of a token that half of the passages have
MOST_PARTS = 400  # of a compound SELECT in SQLite: 500


class Fts5Engine:
    """An `Engine` in a file of its own."""

    def __init__(self, folder: Path, write: bool = False) -> None:
        self.database = connect(folder / FILE, write)
        if write and not self.database.execute("SELECT 1 FROM sqlite_master").fetchone():
            try:
                self.database.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            except sqlite3.OperationalError as error:
                raise UserError(
                    f"this Python's SQLite has no FTS5 ({error}): pip install 'qa[search]'"
                ) from error

    def state(self) -> State:
        """What is in it."""
        return State(*self.database.execute("SELECT key, removal FROM state").fetchone())

    def apply(self, removed: Iterable[Tokens], added: Iterable[Tokens], state: State) -> None:
        """Take passages out and in, in one transaction."""
        with self.database:
            self.database.execute("BEGIN IMMEDIATE")
            # SQLite before 3.43 takes a row out only if it is told what is in it.
            self.database.executemany(
                "INSERT INTO tokens(tokens, rowid, body) VALUES ('delete', ?, ?)",
                ((key, " ".join(tokens)) for key, tokens in removed),
            )
            self.database.executemany(
                "INSERT INTO tokens(rowid, body) VALUES (?, ?)",
                ((key, " ".join(tokens)) for key, tokens in added),
            )
            self.database.execute("UPDATE state SET key = ?, removal = ?", state)

    def search(self, tokens: list[str], n: int) -> Found:
        """Return the `n` best passages.

        Every token is searched by itself, since FTS5's own sum has another idf, which all but
        vanishes for a token that half of the passages have: in a collection of a few passages on
        one matter that is most of the tokens.
        """
        total = self._passages()
        scores: defaultdict[int, float] = defaultdict(float)
        weighted = [(each, w) for each, w in self._weights(tokens, total).items()]
        for start in range(0, len(weighted), MOST_PARTS):
            part = weighted[start : start + MOST_PARTS]
            every = " UNION ALL ".join(
                ["SELECT rowid AS key, bm25(tokens) * ? AS score FROM tokens WHERE tokens MATCH ?"]
                * len(part)
                # A SELECT that is alone would become part of the outer one, where bm25 is refused.
                + ["SELECT 0, 0 WHERE 0"]
            )
            values = [value for token, weight in part for value in (-weight, f'"{token}"')]
            rows = self.database.execute(
                f"SELECT key, sum(score) AS s FROM ({every}) GROUP BY key"
                + " ORDER BY s DESC, key LIMIT ?" * (len(weighted) <= MOST_PARTS),
                values + [n] * (len(weighted) <= MOST_PARTS),
            )
            for key, score in rows:
                scores[key] += score
        return sorted(scores.items(), key=lambda each: (-each[1], each[0]))[:n]

    def _passages(self) -> int:
        """How many there are."""
        return int(self.database.execute("SELECT count(*) FROM tokens_docsize").fetchone()[0])

    def _weights(self, tokens: list[str], total: int) -> dict[str, float]:
        """What FTS5's score of each known token is multiplied by: Lucene's idf over its own."""
        weights = {}
        for token, times in Counter(tokens).items():
            row = self.database.execute("SELECT doc FROM terms WHERE term = ?", (token,)).fetchone()
            if row is not None:
                odds = (total - row[0] + 0.5) / (row[0] + 0.5)
                own = math.log(odds)
                weights[token] = times * math.log1p(odds) / (own if own > 0 else LEAST_IDF)
        return weights

    def beginning(self, start: str) -> list[str]:
        """Return the tokens that begin so."""
        rows = self.database.execute(
            "SELECT term FROM terms WHERE term >= ? AND term < ?", (start, start + "\U0010ffff")
        )
        return [term for (term,) in rows]

    def close(self) -> None:
        """Let go of its file."""
        self.database.close()
