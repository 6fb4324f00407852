"""MySQL and MariaDB: information_schema of the current database."""

from __future__ import annotations

import re

from sqlalchemy.exc import SQLAlchemyError

from sqlgen.catalog.connect import driver_message
from sqlgen.catalog.kinds import kind_of_type
from sqlgen.catalog.readers.common import Run, Structure, TableBuilder, assemble, digest, quote
from sqlgen.types import Column

__all__ = ["fingerprint", "read", "revision"]

_SCHEMA_WORDS = ("alter", "create", "drop", "rename", "grant", "revoke", "set_role", "restore")
_UPTIMES = ("Uptime", "Uptime_since_flush_status")
_STARTED = " OR ".join(f"Variable_name = '{name}'" for name in _UPTIMES)
_LABEL = re.compile(r"'((?:[^']|'')*)'")


def read(run: Run) -> Structure:
    """Tables and views of the current database; information_schema shows only what the user has rights on."""
    builders: dict[str, TableBuilder] = {}
    skipped: list[str] = []
    for name, kind, rows, comment in run(
        "SELECT table_name, table_type, table_rows, table_comment FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'VIEW', 'SYSTEM VERSIONED') "
        "ORDER BY table_type, create_time, table_name"
    ):
        if kind == "VIEW":
            builders[name] = TableBuilder(name, is_view=True)
        else:
            builders[name] = TableBuilder(name, None, comment or "", False, int(rows) if rows else None)
    primary: dict[str, list[str]] = {}
    foreign: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for name, constraint, column, schema_matches, target, target_column in run(
        "SELECT table_name, constraint_name, column_name, referenced_table_schema = DATABASE(), "
        "referenced_table_name, referenced_column_name FROM information_schema.key_column_usage "
        "WHERE table_schema = DATABASE() ORDER BY table_name, constraint_name, ordinal_position"
    ):
        if constraint == "PRIMARY":
            primary.setdefault(name, []).append(column)
        elif target and schema_matches:
            foreign.setdefault((name, constraint), []).append((column, target, target_column))
    hidden: set[str] = set()
    for name, column, words, nullable, comment, rights in run(
        "SELECT table_name, column_name, column_type, is_nullable, column_comment, privileges "
        "FROM information_schema.columns WHERE table_schema = DATABASE() "
        "ORDER BY table_name, ordinal_position"
    ):
        builder = builders.get(name)
        if builder is None:
            continue
        if "select" not in (rights or "").lower():
            hidden.add(name)
            continue
        values: tuple[str, ...] = ()
        if words.lower().startswith(("enum(", "set(")):
            values = tuple(label.replace("''", "'") for label in _LABEL.findall(words))
        is_key = column in primary.get(name, ())
        kind = kind_of_type(words)
        builder.columns.append(Column(column, words, kind, comment or "", nullable == "YES", is_key, values))
    for name, builder in list(builders.items()):
        builder.primary_key = primary.get(name, [])
        if builder.is_view:
            try:
                selected = ", ".join(quote(c.name, "mysql") for c in builder.columns) or "*"
                run(f"SELECT {selected} FROM {quote(name, 'mysql')} LIMIT 0")
            except SQLAlchemyError as error:
                skipped.append(f"view {name!r}: {driver_message(error)}")
                del builders[name]
                continue
        if not builder.columns:
            reason = "no permission to select" if name in hidden else "no readable column"
            skipped.append(f"table {name!r}: {reason}")
            del builders[name]
    for (name, _), parts in foreign.items():
        if name in builders:
            columns = tuple(p[0] for p in parts)
            builders[name].foreign_keys.append((columns, None, parts[0][1], tuple(p[2] for p in parts)))
    structure = assemble(list(builders.values()), skipped, fold_case=False)
    for name, column in run(
        "SELECT table_name, column_name FROM information_schema.statistics "
        "WHERE table_schema = DATABASE() AND seq_in_index = 1 AND index_type = 'BTREE'"
    ):
        structure.indexed.add((name, column))
    for table in structure.tables:
        keys = [c for c in table.columns if c.primary_key]
        if len(keys) == 1 and len(primary.get(table.name, ())) == 1:
            structure.row_order[table.key] = quote(keys[0].name, "mysql")
    return structure


def revision(run: Run) -> str:
    """How many statements on schemas and rights this server has run since when: it counts them all.

    The time of the start is rounded, as it comes in whole seconds from two clocks.
    """
    counted = " OR ".join(f"Variable_name LIKE 'Com!_{word}%' ESCAPE '!'" for word in _SCHEMA_WORDS)
    counts = {name: int(value) for name, value in run(f"SHOW GLOBAL STATUS WHERE {counted} OR {_STARTED}")}
    (host, port, database, now), *_ = run("SELECT @@hostname, @@port, DATABASE(), UNIX_TIMESTAMP()")
    started = [round((int(now) - counts.pop(name, 0)) / 10) for name in _UPTIMES]
    return digest([(host, port, database, *started), *sorted(counts.items())])


def fingerprint(run: Run) -> str:
    """A hash of columns, types, index membership, rights and comments, and of table comments; one query.

    The server hashes, as sending every row costs more than reading it; the order of rows plays no part.
    Foreign keys enter through the index that each of them brings along.
    """
    columns = (
        "CONCAT_WS(CHAR(9), table_name, ordinal_position, column_name, column_type, is_nullable, "
        "column_comment, column_key, privileges)"
    )
    tables = "CONCAT_WS(CHAR(9), table_name, table_type, table_comment)"
    return digest(
        run(
            f"SELECT {_hash_of(columns)} FROM information_schema.columns WHERE table_schema = DATABASE() "
            f"UNION ALL SELECT {_hash_of(tables)} FROM information_schema.tables "
            "WHERE table_schema = DATABASE()"
        )
    )


def _hash_of(text: str) -> str:
    return (
        f"COUNT(*), BIT_XOR(CAST(CONV(LEFT(MD5({text}), 15), 16, 10) AS UNSIGNED)), "
        f"BIT_XOR(CAST(CONV(RIGHT(MD5({text}), 15), 16, 10) AS UNSIGNED))"
    )
