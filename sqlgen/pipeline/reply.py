"""An answer in the hands of whoever asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlgen.errors import UsageError
from sqlgen.export import answer_document, to_arrow, to_pandas, to_polars
from sqlgen.history import Line, line_of
from sqlgen.types import Answer, Rejection, Result, ValidatedQuery

if TYPE_CHECKING:
    from sqlgen.pipeline.database import Database

__all__ = ["Reply"]


class Reply(Answer):
    """An ``Answer`` in the hands of whoever asked: it turns itself into documents and frames, and takes a verdict."""

    __slots__ = ("_database", "_written")

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """The conversation up to this answer, as ``Database.ask`` takes it; an answer without SQL adds nothing."""
        before = self.question.history
        sql = getattr(self, "_written", "") or self.sql
        if self.status != "answered" or not sql:
            return before
        return (*before, (self.question.in_full or self.question.text, sql))

    def ask(self, text: str, **options: Any) -> Reply:
        """Go on from this answer: "only in Germany", "by month instead", "and for 2024?", "how many are there?".

        What can be changed in the query by rule is; else the model reads the question with what it refers to. A
        question that stands alone is answered alone. ``options`` are those of ``Database.ask``.
        """
        return self._home().ask(text, history=self.turns, **options)

    def pick(self, number: int) -> Reply:
        """Settle which of the ``alternatives`` was meant, counted from 1: it answers this question from now on."""
        if not 1 <= number <= len(self.alternatives):
            offered = f"1 to {len(self.alternatives)}" if self.alternatives else "none"
            raise UsageError(f"readings to pick from: {offered}")
        self.correct(self.alternatives[number - 1].sql)
        return self._home().ask(self.question.text, history=self.question.history)

    def accept(self) -> None:
        """Say that this answer is right: from now on its question is answered by its SQL, and retraining learns it.

        UsageError for an answer without SQL.
        """
        self._home().accept(self._line())

    def reject(self) -> None:
        """Say that this answer is wrong; a verified query that it was taken from is removed (``undo`` brings it back)."""
        self._home().reject(self._line())

    def correct(self, sql: str) -> ValidatedQuery | Rejection:
        """Give the right SQL: from now on it answers the question. A Rejection says why it may not, and keeps nothing."""
        return self._home().correct(self._line(), sql)

    def _home(self) -> Database:
        database: Database | None = getattr(self, "_database", None)
        if database is None:
            raise UsageError(
                "this answer was copied from its database; give the verdict with sqlgen feedback"
            )
        return database

    def _line(self) -> Line:
        return line_of(self, database=self._home().identity, written=getattr(self, "_written", self.sql))

    def to_dict(self) -> dict[str, Any]:
        """The document that ``sqlgen ask --format json`` prints."""
        return answer_document(self)

    def chart(self) -> dict[str, Any] | None:
        """A Vega-Lite specification of the chart that fits this answer, its data included; None where none does."""
        from sqlgen.presentation import vega_lite

        return None if self.result is None else vega_lite(self.result, self.columns, self.question.text)

    def _repr_html_(self) -> str:
        """What notebooks show of it."""
        from sqlgen.presentation.html import answer_html

        return answer_html(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows = "" if self.result is None else f"({len(self.result.rows):,} rows)"
        said = (
            [self.reading, self.sql, rows]
            if self.status == "answered"
            else [f"{self.status}: {self.message}"]
        )
        return {"text/html": self._repr_html_(), "text/plain": "\n".join(filter(None, said))}

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``; UsageError without rows or without pandas."""
        return to_pandas(self._rows())

    def to_arrow(self) -> Any:
        """The rows as a ``pyarrow.Table``; UsageError without rows or without pyarrow."""
        return to_arrow(self._rows())

    def to_polars(self) -> Any:
        """The rows as a ``polars.DataFrame``; UsageError without rows or without polars."""
        return to_polars(self._rows())

    def _rows(self) -> Result:
        if self.result is None:
            raise UsageError(
                f"this answer has no rows (status {self.status}): {self.message or 'not executed'}"
            )
        return self.result
