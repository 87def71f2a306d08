"""What reading a source decides by itself and a person should know: said once, with the count."""

from __future__ import annotations

from qa.engine.errors import UserError, first_few, notice

MADE_ID = "questions have no id; each got one that is made from its question and context"
JOINED = (
    "rows repeat the id, question and context of another row; they became one question with the"
    " answers of all"
)
NUMBERED = "questions have no id and stand in the data before; their made ids got a number"
PLACED = (
    "answers have no answer_start; each was placed where its text stands, which is once in its"
    " context"
)
SEVERAL_PLACES = (
    "answers have no answer_start and stand several times in their context; the first place counts"
)
WRITTEN = "answers stand nowhere in their context; they are learned and scored as texts"
NO_ANSWER = "questions have empty answers only, so they count as questions without an answer"
NO_FIELD = (
    "questions have no field of a known name with answers (answers, answer, answer_text, 정답,"
    " ...), so they count as questions without an answer"
)
EMPTY_ANSWER = "empty answers beside others were left out"
NUMBER = "answers are numbers; they were read as their digits"
SENTENCES = "contexts are lists of sentences; they were joined by blanks"
NOT_ANNOTATED = "tasks have no annotation, so they count as questions without an answer"
NOT_MARKED = "questions have no marked answer, so they count as questions without an answer"

KEPT = 4  # ids of a kind: those that `first_few` shows, and one more


class Findings:
    """What was decided in one source: kinds of decisions, each with the ids it concerns.

    Args:
        source: Its name, for the notices.
        by_text: Answers need no place: they are for a reader that writes them, or to score with.
    """

    def __init__(self, source: str, by_text: bool = False) -> None:
        self.source = source
        self.by_text = by_text
        self.ids: dict[str, list[str]] = {}
        self.unplaced: dict[str, list[str]] = {}

    def add(self, kind: str, example_id: str) -> None:
        """Count one decision of a kind, one of the sentences above, about a question."""
        self.ids.setdefault(kind, []).append(example_id)

    def add_unplaced(self, where_it_stands: str, example_id: str) -> None:
        """Count an answer without answer_start whose text stands in no place, or in several."""
        self.unplaced.setdefault(where_it_stands, []).append(example_id)

    def give(self) -> None:
        """Give one `Notice` for each kind."""
        for kind, ids in self.ids.items():
            if ids:
                notice(f"{self.source}: {self.count(kind):,} {kind} ({first_few(ids)})")

    def count(self, kind: str) -> int:
        """Return how many decisions of a kind there were."""
        return len(self.ids[kind])

    def require_places(self) -> None:
        """Raise UserError if there are answers without answer_start whose place is not certain."""
        if not self.unplaced:
            return
        number = sum(map(len, self.unplaced.values()))
        kinds = [
            f"the text of {len(ids):,} stands {place} in its context ({first_few(ids)})"
            for place, ids in self.unplaced.items()
        ]
        raise UserError(
            f"{self.source}: {number:,} answers need an answer_start: {', '.join(kinds)}; add the"
            " character at which each begins, counted from 0 (python -m qa doctor FILE"
            " --write-fixed OUT leaves them out)"
        )


class CountedFindings(Findings):
    """The same for data that need not fit into memory: only the first ids of a kind are kept."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        self.number: dict[str, int] = {}

    def add(self, kind: str, example_id: str) -> None:
        """Count one decision of a kind about a question."""
        self.number[kind] = self.number.get(kind, 0) + 1
        if self.number[kind] <= KEPT:
            super().add(kind, example_id)

    def count(self, kind: str) -> int:
        """Return how many decisions of a kind there were."""
        return self.number.get(kind, 0)
