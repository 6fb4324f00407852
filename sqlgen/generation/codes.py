"""Cells that no question spells out: the few codes of a small column."""

from __future__ import annotations

from dataclasses import replace

from sqlgen.types import Column, RetrievedContext, ValueMatch

__all__ = ["is_coded", "with_codes"]

_WORDS = frozenset("yes no true false male female".split())


def is_coded(column: Column) -> bool:
    """Whether a column holds two to four short codes, of which a question says the meaning at most.

    >>> is_coded(Column("sex", "TEXT", "text", values=("F", "M")))
    True
    >>> is_coded(Column("city", "TEXT", "text", values=("Ulm", "Bonn")))
    False
    """
    return (
        column.kind in ("text", "bool", "other")
        and 2 <= len(column.values) <= 4
        and all(len(v) <= 2 or v.strip().lower() in _WORDS for v in column.values)
    )


def with_codes(context: RetrievedContext) -> RetrievedContext:
    """The context with the codes of its coded columns as values that no question span matches.

    >>> from sqlgen.types import Table, TableSlice
    >>> people = Table("people", (Column("sex", "TEXT", "text", values=("F", "M")),))
    >>> [match.value for match in with_codes(RetrievedContext((TableSlice(people, 1.0, ""),))).values]
    ['F', 'M']
    """
    known = {(m.table, m.column, m.value) for m in context.values}
    extra = tuple(
        ValueMatch(piece.table.key, column.name, value, -1, -1, 0.0)
        for piece in context.tables
        for column in piece.table.columns
        if is_coded(column)
        for value in sorted(column.values)
        if (piece.table.key, column.name, value) not in known
    )
    return replace(context, values=(*context.values, *extra)) if extra else context
