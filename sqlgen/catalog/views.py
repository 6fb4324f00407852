"""The definitions of a database's views, as the engine keeps them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Engine

from sqlgen.catalog.connect import dialect_of
from sqlgen.catalog.introspect import separate_reads
from sqlgen.types import Dialect

__all__ = ["read_views"]

# (default schema), then (schema, name, definition) of every view that the user's schemas hold.
_STATEMENTS: Mapping[Dialect, tuple[str, str]] = {
    "sqlite": ("SELECT 'main'", "SELECT 'main', name, sql FROM sqlite_master WHERE type = 'view'"),
    "duckdb": (
        "SELECT 'main'",
        "SELECT schema_name, view_name, sql FROM duckdb_views() "
        "WHERE database_name = current_database() AND NOT internal",
    ),
    "postgres": (
        "SELECT coalesce(current_schema(), 'public')",
        "SELECT n.nspname::text, c.relname::text, pg_get_viewdef(c.oid) FROM pg_catalog.pg_class c "
        "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') "
        "AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'",
    ),
    "mysql": (
        "SELECT DATABASE()",
        "SELECT table_schema, table_name, view_definition FROM information_schema.views "
        "WHERE table_schema = DATABASE()",
    ),
}


def read_views(engine: Engine) -> tuple[str, dict[str, str]]:
    """The name of the default schema, and the text of each view's definition by table key.

    A view whose definition the user may not see is left out. Raises DatabaseError when the engine fails.

    >>> import sqlalchemy
    >>> engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    >>> with engine.begin() as connection:
    ...     _ = connection.exec_driver_sql("CREATE VIEW one AS SELECT 1 AS n")
    >>> read_views(engine)
    ('main', {'one': 'CREATE VIEW one AS SELECT 1 AS n'})
    """
    first, second = _STATEMENTS[dialect_of(engine)]
    with separate_reads(engine) as run:
        default = str(run(first)[0][0] or "")
        found = {
            str(name) if schema == default else f"{schema}.{name}": str(text)
            for schema, name, text in run(second)
            if text
        }
    return default, found
