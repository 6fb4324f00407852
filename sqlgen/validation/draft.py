"""What the rules look at: one text on its way to becoming a validated query."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

from sqlgen.policy import Protection
from sqlgen.sql.parse import Scan, Statement, limit_rows, parse, render, scan
from sqlgen.sql.scope import CatalogNames, Reads, resolve
from sqlgen.sql.warnings import warnings_of
from sqlgen.types import Dialect, Finding

__all__ = ["Draft", "Rule"]


class Draft:
    """Text, then tokens, tree, names and canonical text, each made when a rule first asks.

    Asking may raise ``Unreadable``, which the examination turns into a finding. With a ``protection``, ``names`` are
    those that it leaves visible and ``whole`` those of the whole catalog.
    """

    def __init__(
        self,
        text: str,
        names: CatalogNames,
        dialect: Dialect,
        max_rows: int | None,
        protection: Protection | None = None,
        whole: CatalogNames | None = None,
    ) -> None:
        self.text = text
        self.names = names
        self.dialect: Dialect = dialect
        self.max_rows = max_rows
        self.protection = protection
        self.whole = whole

    @cached_property
    def scan(self) -> Scan:
        """The tokens."""
        return scan(self.text, self.dialect)

    @cached_property
    def statement(self) -> Statement:
        """The tree."""
        return parse(self.scan)

    @cached_property
    def reads(self) -> Reads:
        """What the names lead to."""
        return resolve(self.statement, self.names)

    @cached_property
    def warnings(self) -> tuple[Finding, ...]:
        """What may be wrong with the figures although the query may run."""
        narrowed = () if self.protection is None else filter(self.protection.narrows, self.reads.tables)
        notes = [
            Finding("narrowed", f"the policy shows only some rows or cells of `{key}`") for key in narrowed
        ]
        return (*warnings_of(self.statement, self.names), *notes)

    @cached_property
    def query(self) -> str:
        """The canonical query without its EXPLAIN: asked for when nothing changes the tree any more."""
        _ = self.reads
        if self.max_rows is not None and not self.scan.explain:
            limit_rows(self.statement, self.max_rows + 1)
        return render(self.statement)

    @property
    def canonical(self) -> str:
        """The text that runs."""
        return f"{self.scan.explain} {self.query}" if self.scan.explain else self.query


Rule = Callable[[Draft], Iterable[Finding]]
"""A rule reads a draft and says what it objects to."""
