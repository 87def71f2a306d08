"""How much a server takes on, and how long an answer may take. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from qa.engine.config import option, require_at_least
from qa.engine.errors import require

MAX_PAIRS = 32  # in one request
MAX_QUESTION_LENGTH = 2000  # characters, far more than a reader reads of a question
BATCH_CHARACTERS = 32_768  # of context, so that a long document does not hold up short ones
PASSAGE_CHARACTERS = 500  # of a passage of the collection, about
ESCAPED = 12  # bytes of JSON that one character takes at most: two \uXXXX


@dataclass(frozen=True)
class Collection:
    """What the routes need to know of a collection."""

    passages: int  # that it holds
    passages_read: int  # for a question


@dataclass(frozen=True)
class ServingOptions:
    """The limits of a server; the options' help texts say what each is."""

    max_queue: int = option(
        64, "questions that may wait; one more is answered 503 with Retry-After", resume="free"
    )
    max_batch: int = option(
        16, "questions that the model reads together, of those that wait", resume="free"
    )
    timeout: float = option(
        30.0, "seconds from a request's arrival to its answer, or else 504", resume="free"
    )
    max_context_length: int = option(
        100_000, "characters of a request's contexts together; 413 above", resume="free"
    )

    allowed_hosts: str | None = option(
        None,
        "names under which it may be asked, between commas; * for any (default: any, or those of"
        " this machine if it listens here only)",
        resume="free",
    )

    def __post_init__(self) -> None:
        for name in ("max_queue", "max_batch", "max_context_length"):
            require_at_least(self, name, 1)
        require(
            0 < self.timeout <= 86_400,
            f"timeout must be above 0 and at most 86400 seconds, not {self.timeout}",
        )

    @property
    def max_pairs(self) -> int:
        """Questions of one request."""
        return min(MAX_PAIRS, self.max_queue)

    @property
    def max_body(self) -> int:
        """Bytes of a request's body, in which all that the other limits allow has room."""
        return ESCAPED * (self.max_context_length + self.max_pairs * (MAX_QUESTION_LENGTH + 64))
