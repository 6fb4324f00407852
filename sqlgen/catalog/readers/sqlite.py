"""SQLite: sqlite_master and the pragma functions."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from sqlgen.catalog.connect import driver_message
from sqlgen.catalog.kinds import sqlite_kind
from sqlgen.catalog.readers.common import Run, Structure, TableBuilder, assemble, digest, literal
from sqlgen.types import Column

__all__ = ["fingerprint", "read"]

_COLUMNS = 'name, type, "notnull", pk, hidden'


def read(run: Run) -> Structure:
    """Tables, views and virtual tables of the main database; shadow tables of virtual ones are left out."""
    shadows = {name for (name,) in run("SELECT name FROM pragma_table_list WHERE type = 'shadow'")}
    objects = [
        (name, kind, sql)
        for name, kind, sql in run(
            "SELECT name, type, sql FROM sqlite_master WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
        )
        if name not in shadows
    ]
    columns: dict[str, list[Any]] = {}
    for name, *rest in run(
        'SELECT m.name, c.name, c.type, c."notnull", c.pk, c.hidden FROM sqlite_master m '
        "JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' ORDER BY m.rowid, c.cid"
    ):
        columns.setdefault(name, []).append(rest)
    keys: dict[str, dict[int, list[Any]]] = {}
    for name, number, target, source, to in run(
        'SELECT m.name, f.id, f."table", f."from", f."to" FROM sqlite_master m '
        "JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY m.rowid, f.id, f.seq"
    ):
        keys.setdefault(name, {}).setdefault(number, []).append((target, source, to))

    builders: list[TableBuilder] = []
    skipped: list[str] = []
    for name, kind, _ in objects:
        if kind == "view":
            # one broken view must not hide the others, so each is asked alone
            try:
                columns[name] = [
                    list(r) for r in run(f"SELECT {_COLUMNS} FROM pragma_table_xinfo({literal(name)})")
                ]
            except SQLAlchemyError as error:
                skipped.append(f"view {name!r}: {driver_message(error)}")
                continue
        builder = TableBuilder(name, is_view=kind == "view")
        for column, type_name, not_null, primary, hidden in columns.get(name, []):
            if hidden == 1:
                continue
            words = str(type_name or "")
            builder.columns.append(
                Column(column, words, sqlite_kind(words), "", not (not_null or primary), bool(primary))
            )
        ordered = sorted((row for row in columns.get(name, []) if row[3]), key=lambda row: int(row[3]))
        builder.primary_key = [row[0] for row in ordered]
        for parts in keys.get(name, {}).values():
            to = tuple(p[2] for p in parts if p[2] is not None)
            builder.foreign_keys.append((tuple(p[1] for p in parts), None, parts[0][0], to))
        if builder.columns:
            builders.append(builder)
    structure = assemble(builders, skipped, fold_case=True)
    for name, column in run(
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_index_list(m.name) i "
        "JOIN pragma_index_info(i.name) c WHERE m.type = 'table' AND i.partial = 0 AND c.seqno = 0"
    ):
        structure.indexed.add((name, column))
    virtual_or_keyed = {
        name for (name,) in run("SELECT name FROM pragma_table_list WHERE wr = 1 OR type = 'virtual'")
    }
    for table in structure.tables:
        if not table.is_view and table.name not in virtual_or_keyed:
            structure.row_order[table.key] = "rowid"
        primary_columns = [c for c in table.columns if c.primary_key]
        if len(primary_columns) == 1 and primary_columns[0].kind == "number":
            structure.indexed.add((table.key, primary_columns[0].name))
    return structure


def fingerprint(run: Run) -> str:
    """A hash of the definitions in sqlite_master: survives VACUUM and copies, unlike schema_version."""
    return digest(
        run(
            "SELECT type, CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_master "
            "WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name"
        )
    )
