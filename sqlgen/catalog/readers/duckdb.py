"""DuckDB: the duckdb_*() functions of the current database."""

from __future__ import annotations

import re

from sqlalchemy.exc import SQLAlchemyError

from sqlgen.catalog.connect import driver_message
from sqlgen.catalog.kinds import kind_of_type
from sqlgen.catalog.readers.common import Run, Structure, TableBuilder, assemble, digest, quote
from sqlgen.types import Column

__all__ = ["fingerprint", "read"]

_HERE = "database_name = current_database() AND NOT internal"
_ENUM_LABEL = re.compile(r"'((?:[^']|'')*)'")


def read(run: Run) -> Structure:
    """Tables and views of every schema; ``main`` has no schema name."""
    builders: dict[tuple[str, str], TableBuilder] = {}
    skipped: list[str] = []
    for schema, name, comment, rows in run(
        f"SELECT schema_name, table_name, comment, estimated_size FROM duckdb_tables() WHERE {_HERE} "
        "ORDER BY schema_name <> 'main', schema_name, table_oid"
    ):
        builders[schema, name] = TableBuilder(name, _schema(schema), comment or "", False, int(rows))
    for schema, name, comment in run(
        f"SELECT schema_name, view_name, comment FROM duckdb_views() WHERE {_HERE} "
        "ORDER BY schema_name <> 'main', schema_name, view_oid"
    ):
        try:
            run(f"SELECT * FROM {quote(schema, 'duckdb')}.{quote(name, 'duckdb')} LIMIT 0")
        except SQLAlchemyError as error:
            said = driver_message(error)
            if "disabled by configuration" not in said:
                skipped.append(f"view {name!r}: {said}")
                continue
        builders[schema, name] = TableBuilder(name, _schema(schema), comment or "", True)
    targets: list[tuple[str, str, list[str], str, list[str]]] = []
    for schema, name, kind, columns, target, target_columns in run(
        "SELECT schema_name, table_name, constraint_type, constraint_column_names, referenced_table, "
        "referenced_column_names FROM duckdb_constraints() WHERE database_name = current_database() "
        "AND constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY') ORDER BY table_oid, constraint_index"
    ):
        if (schema, name) not in builders:
            continue
        if kind == "PRIMARY KEY":
            builders[schema, name].primary_key = list(columns)
        elif target:
            targets.append((schema, name, list(columns), target, list(target_columns)))
    for schema, name, columns, target, target_columns in targets:
        owner = schema if (schema, target) in builders else "main"
        builders[schema, name].foreign_keys.append(
            (tuple(columns), _schema(owner), target, tuple(target_columns))
        )
    for schema, name, column, type_name, nullable, comment in run(
        "SELECT schema_name, table_name, column_name, data_type, is_nullable, comment FROM duckdb_columns() "
        f"WHERE {_HERE} ORDER BY table_oid, column_index"
    ):
        builder = builders.get((schema, name))
        if builder is None:
            continue
        values: tuple[str, ...] = ()
        if type_name.startswith("ENUM("):
            values = tuple(label.replace("''", "'") for label in _ENUM_LABEL.findall(type_name))
        primary = column in builder.primary_key
        builder.columns.append(
            Column(column, type_name, kind_of_type(type_name), comment or "", nullable, primary, values)
        )
    structure = assemble([b for b in builders.values() if b.columns], skipped, fold_case=True)
    for table in structure.tables:
        if not table.is_view:
            structure.row_order[table.key] = "rowid"
    return structure


def _schema(name: str) -> str | None:
    return None if name == "main" else name


def fingerprint(run: Run) -> str:
    """A hash of columns, their types and comments, table comments, and keys."""
    return digest(
        run(
            "SELECT md5(coalesce(string_agg(part, chr(10) ORDER BY part), '')) FROM ("
            "SELECT concat_ws(chr(9), 'c', schema_name, table_name, column_index, column_name, data_type, "
            f"is_nullable, coalesce(comment, '')) AS part FROM duckdb_columns() WHERE {_HERE} UNION ALL "
            f"SELECT concat_ws(chr(9), 't', schema_name, table_name, comment) FROM duckdb_tables() "
            f"WHERE {_HERE} UNION ALL SELECT concat_ws(chr(9), 'v', schema_name, view_name, comment) "
            f"FROM duckdb_views() WHERE {_HERE} UNION ALL "
            "SELECT concat_ws(chr(9), 'k', schema_name, table_name, constraint_text) FROM duckdb_constraints() "
            "WHERE database_name = current_database() AND constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY'))"
        )
    )
