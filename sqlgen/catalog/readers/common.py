"""What the readers share: running SQL as it is, quoting, and the shape that they fill."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlgen.types import Column, Dialect, ForeignKey, Table

__all__ = ["Run", "Structure", "TableBuilder", "assemble", "digest", "literal", "quote", "quoted_table"]

Run = Callable[[str], Sequence[Any]]
"""Runs one statement byte for byte and returns its rows; raises SQLAlchemyError."""


@dataclass(slots=True)
class TableBuilder:
    """A table while it is read."""

    name: str
    schema: str | None = None
    comment: str = ""
    is_view: bool = False
    row_estimate: int | None = None
    columns: list[Column] = field(default_factory=list)
    foreign_keys: list[tuple[tuple[str, ...], str | None, str, tuple[str, ...]]] = field(default_factory=list)
    """(columns, schema, table, target columns); no target columns means the target's primary key."""
    primary_key: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Structure:
    """What a reader found. ``indexed`` holds (table key, column) where an index starts with the column."""

    tables: list[Table] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    indexed: set[tuple[str, str]] = field(default_factory=set)
    row_order: dict[str, str] = field(default_factory=dict)
    """Table key -> an expression whose descending order is cheap: the tail of a large table."""


def literal(text: str) -> str:
    """A standard SQL string literal (not for MySQL, whose backslash escapes)."""
    return "'" + text.replace("'", "''") + "'"


def quote(name: str, dialect: Dialect) -> str:
    """An identifier, always quoted.

    Backticks in SQLite too: there a double-quoted name that does not exist silently becomes a string.
    """
    if dialect in ("mysql", "sqlite"):
        return "`" + name.replace("`", "``") + "`"
    return '"' + name.replace('"', '""') + '"'


def quoted_table(table: Table, dialect: Dialect) -> str:
    """The table as FROM takes it."""
    name = quote(table.name, dialect)
    return name if table.schema is None else f"{quote(table.schema, dialect)}.{name}"


def digest(rows: Iterable[Sequence[Any]]) -> str:
    """A short hash of rows, in their order.

    >>> digest([("a", 1)]) == digest([("a", 1)]) != digest([("a", 2)])
    True
    """
    state = hashlib.blake2b(digest_size=16)
    for row in rows:
        state.update(repr(tuple(row)).encode("utf-8", "backslashreplace"))
    return state.hexdigest()


def assemble(builders: Sequence[TableBuilder], skipped: list[str], *, fold_case: bool) -> Structure:
    """Resolve the foreign keys among the tables read; keys that lead outside are left out.

    ``fold_case`` for engines where a key may name its target in another case.
    """

    def fold(name: str) -> str:
        return name.lower() if fold_case else name

    structure = Structure(skipped=skipped)
    by_name = {(b.schema, fold(b.name)): b for b in builders}
    seen: set[str] = set()
    for builder in builders:
        own = {fold(c.name): c.name for c in builder.columns}
        keys: list[ForeignKey] = []
        for columns, schema, target_name, target_columns in builder.foreign_keys:
            target = by_name.get((schema, fold(target_name)))
            if target is None:
                continue
            theirs = {fold(c.name): c.name for c in target.columns}
            wanted = target_columns or tuple(target.primary_key)
            if len(wanted) != len(columns):
                continue
            if not (all(fold(c) in own for c in columns) and all(fold(c) in theirs for c in wanted)):
                continue
            key = ForeignKey(
                tuple(own[fold(c)] for c in columns),
                Table(target.name, (), schema=target.schema).key,
                tuple(theirs[fold(c)] for c in wanted),
            )
            if key not in keys:
                keys.append(key)
        table = Table(
            builder.name,
            tuple(builder.columns),
            builder.schema,
            tuple(keys),
            builder.comment,
            builder.is_view,
            builder.row_estimate,
        )
        if table.key in seen:
            skipped.append(f"table {table.key!r}: another table of this name exists in the default schema")
            continue
        seen.add(table.key)
        structure.tables.append(table)
    return structure
