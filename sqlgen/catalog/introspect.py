"""Read a live database into a ``Catalog``, and tell cheaply whether it changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from sqlgen.catalog.connect import connection_failed, dialect_of, driver_message
from sqlgen.catalog.infer import infer_foreign_keys
from sqlgen.catalog.readers.common import Run, quote, quoted_table
from sqlgen.catalog.sampling import MAX_VALUE_CHARS, bounded, clean_value, fill, text_expression
from sqlgen.errors import DatabaseError, EmptyDatabase, QueryFailed
from sqlgen.types import Catalog, Column, Dialect, Table

__all__ = [
    "ValueReader",
    "connected",
    "distinct_values",
    "fingerprint_of",
    "load_catalog",
    "schema_fingerprint",
    "separate_reads",
]

READ_TIMEOUT_S = 60.0
FINGERPRINT_TIMEOUT_S = 10.0
DISTINCT_TIMEOUT_S = 5.0
DISTINCT_SCAN_ROWS = 200_000

_TIMED_OUT = ("57014", "1969", "3024", "interrupt", "timeout", "execution time", "max_statement_time")


def _reader(dialect: Dialect) -> ModuleType:
    from importlib import import_module

    return import_module(f"sqlgen.catalog.readers.{dialect}")


@contextmanager
def connected(engine: Engine) -> Iterator[Connection]:
    """A connection; what fails while it is open is told in one line. Raises ConnectionFailed, DatabaseError."""
    try:
        connection = engine.connect()
    except SQLAlchemyError as error:
        raise connection_failed(engine.url, error) from None
    try:
        yield connection
    except (OperationalError, InterfaceError) as error:
        if error.connection_invalidated:
            raise connection_failed(engine.url, error) from None
        raise DatabaseError(f"cannot read the schema: {driver_message(error, engine.url)}") from None
    except SQLAlchemyError as error:
        raise DatabaseError(f"cannot read the schema: {driver_message(error, engine.url)}") from None
    finally:
        connection.close()


def load_catalog(
    engine: Engine,
    *,
    sample_values: int = 50,
    progress: Callable[[int, int, str], None] | None = None,
    unsampled: Callable[[Catalog], Mapping[str, frozenset[str]]] | None = None,
    previous: Catalog | None = None,
) -> Catalog:
    """Read tables, views, columns, keys and comments, and a bounded sample of values.

    ``sample_values`` is the number of distinct values kept per text column, the most frequent first; 0 reads
    no cell at all, so there are no extremes either. ``progress(done, total, table_key)`` is called before
    each table is sampled. ``unsampled`` is asked once, with the bare structure, for the columns of each table key
    whose cells must not be looked at. ``sqlgen.catalog.sampling`` states the bounds. Foreign keys that nobody declared
    are inferred and marked. What could not be read stands in ``Catalog.skipped``, in words. A table that is
    built as in ``previous``, an earlier catalog of this database, keeps the sample that it has there.

    A SQLite column is what its cells are: a TEXT column that holds only ISO dates is of kind ``date``.

    Raises ``EmptyDatabase`` when there is no table or view, ``DatabaseError`` when the engine fails.

    >>> import sqlalchemy
    >>> engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    >>> with engine.begin() as connection:
    ...     _ = connection.exec_driver_sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, placed TEXT)")
    ...     _ = connection.exec_driver_sql("INSERT INTO orders VALUES (1, '2024-05-01')")
    >>> placed = load_catalog(engine).tables[0].columns[1]
    >>> placed.kind, placed.minimum
    ('date', '2024-05-01')
    """
    dialect = dialect_of(engine)
    reader = _reader(dialect)
    # the fingerprint comes first: a change while we read makes the next look differ, and read again
    fingerprint = schema_fingerprint(engine)
    with connected(engine) as connection:
        run = _separate_runs(connection, dialect)
        structure = reader.read(run)
        database = str(run(_DATABASE[dialect])[0][0] or "") if dialect in _DATABASE else ""
        if not structure.tables:
            raise EmptyDatabase(_empty_message(engine, structure.skipped))
        bare = Catalog(dialect, tuple(structure.tables), fingerprint)
        closed = unsampled(bare) if unsampled is not None else {}
        known = {} if previous is None else {table.key: table for table in previous.tables}
        tables = fill(connection, dialect, structure, sample_values, progress, closed, known)
    catalog = Catalog(dialect, tuple(tables), fingerprint, tuple(structure.skipped), database)
    return infer_foreign_keys(catalog)


_DATABASE: Mapping[Dialect, str] = {
    "duckdb": "SELECT current_database()",
    "postgres": "SELECT current_database()",
    "mysql": "SELECT DATABASE()",
}


def _separate_runs(connection: Connection, dialect: Dialect) -> Run:
    """Each statement in a transaction of its own, so that one that fails spoils no other."""

    def run(statement: str) -> Sequence[Any]:
        with bounded(connection, dialect, READ_TIMEOUT_S) as run_bounded:
            return run_bounded(statement)

    return run


@contextmanager
def separate_reads(engine: Engine) -> Iterator[Run]:
    """Runs statements on the system tables, each read-only and in a transaction of its own."""
    with connected(engine) as connection:
        yield _separate_runs(connection, dialect_of(engine))


def _empty_message(engine: Engine, skipped: Sequence[str]) -> str:
    name = engine.url.database or "the database"
    if skipped:
        return f"{name} has no table that can be read: {'; '.join(skipped[:3])}"
    return f"{name} has no tables; fill it first, or name another database"


def schema_fingerprint(engine: Engine) -> str:
    """A hash that changes when a table or column is added, renamed, dropped, retyped or commented.

    One query on the system catalog; rows don't enter it. The first letters name the dialect.

    >>> import sqlalchemy
    >>> schema_fingerprint(sqlalchemy.create_engine("sqlite://"))[:7]
    'sqlite:'
    """
    with connected(engine) as connection:
        return fingerprint_of(connection, dialect_of(engine))


def fingerprint_of(connection: Connection, dialect: Dialect) -> str:
    """``schema_fingerprint`` over a connection that is open."""
    with bounded(connection, dialect, FINGERPRINT_TIMEOUT_S) as run:
        return f"{dialect}:{_reader(dialect).fingerprint(run)}"


def distinct_values(engine: Engine, table: Table, column: Column, limit: int) -> list[str]:
    """At most ``limit`` distinct values of a column as text, the most frequent first.

    Looks at the first 200,000 rows and for 5 seconds; past that time, the values sampled into the column are
    returned. Values of more than 200 characters, with control characters or invalid UTF-8 are left out.
    Raises ``QueryFailed`` when the table or column is gone.
    """
    with connected(engine) as connection:
        return _distinct_values(connection, engine, table, column, limit)


class ValueReader:
    """``distinct_values`` of a database, over one connection while it is entered as a context manager.

    ``skips(table, column)`` names columns that are not to be read: they have no values.
    """

    def __init__(self, engine: Engine, skips: Callable[[Table, Column], bool] | None = None) -> None:
        self._engine = engine
        self._skips = skips
        self._open = ExitStack()
        self._connection: Connection | None = None

    def __enter__(self) -> ValueReader:
        self._connection = self._open.enter_context(connected(self._engine))
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection = None
        self._open.close()

    def __call__(self, table: Table, column: Column, limit: int) -> list[str]:
        """At most ``limit`` distinct values, as ``distinct_values`` says."""
        if self._skips is not None and self._skips(table, column):
            return []
        if self._connection is None:
            return distinct_values(self._engine, table, column, limit)
        return _distinct_values(self._connection, self._engine, table, column, limit)


def _distinct_values(
    connection: Connection, engine: Engine, table: Table, column: Column, limit: int
) -> list[str]:
    dialect = dialect_of(engine)
    name = quote(column.name, dialect)
    cell = text_expression(column.name, dialect, column.kind)
    where = f"{name} IS NOT NULL"
    if dialect == "sqlite":
        where = f"typeof({name}) <> 'blob' AND {where}"
    length = "octet_length" if dialect == "mysql" else "length"
    statement = (
        f"SELECT v FROM (SELECT {cell} AS v FROM {quoted_table(table, dialect)} WHERE {where} "
        f"LIMIT {DISTINCT_SCAN_ROWS}) AS scanned WHERE {length}(v) <= {4 * MAX_VALUE_CHARS} "
        f"GROUP BY v ORDER BY count(*) DESC, v LIMIT {int(limit)}"
    )
    try:
        with bounded(connection, dialect, DISTINCT_TIMEOUT_S) as run:
            rows = run(statement)
    except SQLAlchemyError as error:
        said = driver_message(error, engine.url)
        cause = getattr(error, "orig", None)
        code = f"{getattr(cause, 'sqlstate', '')} {next(iter(getattr(cause, 'args', ())), '')}"
        if any(mark in f"{code} {said}".lower() for mark in _TIMED_OUT):
            return list(column.values[:limit])
        raise QueryFailed(f"cannot read the values of {table.key}.{column.name}: {said}") from None
    return [value for value in (clean_value(row[0]) for row in rows) if value is not None]
