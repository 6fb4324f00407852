"""What a piece of SQL is worth: does it parse, does it pass validation, does it find what the gold finds.

The last is the product's own ``results_equal``: reward, evaluation and voting mean the same by "right".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlgen.config import Settings, load_settings
from sqlgen.errors import DatabaseError, LimitReached
from sqlgen.execution.compare import results_equal
from sqlgen.generation.prompt import Message, sql_of_reply
from sqlgen.sql.order import is_ordered
from sqlgen.sql.parse import Unreadable, parse, scan
from sqlgen.types import Rejection, Result

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = ["WEIGHTS", "Judge", "Worth"]

# Of parses, names and right: a wrong query that could run is worth less than a third of a right one.
WEIGHTS = (0.1, 0.2, 1.0)
_MAX_ROWS = 10_000
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Worth:
    """What was found of one reply."""

    parses: bool
    names: bool
    right: bool

    @property
    def reward(self) -> float:
        """The weighted sum.

        >>> Worth(True, True, False).reward
        0.3
        """
        return round(
            sum(w * t for w, t in zip(WEIGHTS, (self.parses, self.names, self.right), strict=True)), 6
        )


class Judge:
    """Judges replies against gold SQL on live databases, each text once; a context manager.

    ``parses``, ``names`` and ``right`` are reward functions of TRL over rows of ``sqlgen.training.prompts``.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        settings = load_settings() if settings is None else settings
        self._settings = replace(settings, timeout_s=_TIMEOUT_S, max_rows=_MAX_ROWS, history=False)
        self._stack = ExitStack()
        self._open = cache(self._connect)
        self.worth = cache(self._worth)
        self._result = cache(self._run)

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def parses(
        self, completions: Sequence[Sequence[Message]], gold: Sequence[str], db: Sequence[str], **_: Any
    ) -> list[float]:
        """1 for each reply whose SQL can be parsed."""
        return [float(worth.parses) for worth in self._worths(completions, gold, db)]

    def names(
        self, completions: Sequence[Sequence[Message]], gold: Sequence[str], db: Sequence[str], **_: Any
    ) -> list[float]:
        """1 for each reply that passes validation: every name is there, and it only reads."""
        return [float(worth.names) for worth in self._worths(completions, gold, db)]

    def right(
        self, completions: Sequence[Sequence[Message]], gold: Sequence[str], db: Sequence[str], **_: Any
    ) -> list[float]:
        """1 for each reply that finds what the gold finds."""
        return [float(worth.right) for worth in self._worths(completions, gold, db)]

    def _worths(
        self, completions: Sequence[Sequence[Message]], gold: Sequence[str], db: Sequence[str]
    ) -> list[Worth]:
        replies = [turns[-1]["content"] for turns in completions]
        return [self.worth(*case) for case in zip(replies, gold, db, strict=True)]

    def _worth(self, reply: str, gold: str, db: str) -> Worth:
        sql = sql_of_reply(reply)
        dialect = self._open(db).dialect
        try:
            parse(scan(sql, dialect))
        except Unreadable:
            return Worth(False, False, False)
        if isinstance(self._open(db).check(sql), Rejection):
            return Worth(True, False, False)
        wanted, found = self._result(gold, db), self._result(sql, db)
        right = (
            wanted is not None
            and found is not None
            and results_equal(wanted, found, ordered=is_ordered(gold, dialect))
        )
        return Worth(True, True, right)

    def _run(self, sql: str, db: str) -> Result | None:
        try:
            outcome = self._open(db).run(sql)
        except (DatabaseError, LimitReached):
            return None
        return None if isinstance(outcome, Rejection) else outcome[1]

    def _connect(self, db: str) -> Database:
        from sqlgen.pipeline import connect

        return self._stack.enter_context(connect(db, settings=self._settings))
