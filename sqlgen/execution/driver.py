"""The seam between a checked query and an engine, and the errors all drivers share."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self

from sqlgen.errors import ConnectionFailed, DatabaseError, LimitReached, QueryFailed, UsageError
from sqlgen.types import Dialect, Finding, Limits, Result, ResultColumn, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.execution.cost import Estimate

__all__ = ["Driver", "RowStream", "open_driver"]

Rows = tuple[tuple[Any, ...], ...]


class RowStream:
    """The rows of one query in batches, taken from the engine as they are asked for; a context manager.

    Whatever the number of rows, a batch or two are in memory. The time limit counts for each batch.
    Iterate once; leaving the block, or ``close``, ends the query where it stands.
    """

    def __init__(self, parts: Generator[Any, None, None]) -> None:
        self._parts = parts
        self.columns: tuple[ResultColumn, ...] = next(parts)

    def __iter__(self) -> Iterator[Rows]:
        yield from self._parts

    def close(self) -> None:
        """End the query and give the connection back. Can be called twice."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Driver(Protocol):
    """Runs checked queries read-only within limits. Safe to share between threads.

    ``execute`` takes a ``ValidatedQuery`` and nothing else. It raises

    - ``LimitReached`` for time, memory, or a single row larger than ``max_bytes``; more rows than
      ``max_rows`` or ``max_bytes`` allow are no error but a ``Result`` that is ``truncated``;
    - ``QueryFailed`` when the engine refuses the query or breaks it off;
    - ``ConnectionFailed`` when the database is gone. The next call connects anew; a query is
      never repeated on its own.

    >>> import sqlalchemy
    >>> from sqlgen.types import Limits, ValidatedQuery
    >>> with open_driver(sqlalchemy.create_engine("sqlite://"), "sqlite") as driver:
    ...     driver.execute(ValidatedQuery("SELECT 1 AS one", "sqlite", (), ()), Limits()).rows
    ((1,),)
    """

    dialect: Dialect

    def execute(self, query: ValidatedQuery, limits: Limits) -> Result:
        """Run one query; at most ``limits.timeout_s`` and a second pass before it returns or raises."""
        ...

    def stream(self, query: ValidatedQuery, limits: Limits) -> RowStream:
        """Run one query and hand out all of its rows in batches; ``max_rows`` bounds a batch, not their sum."""
        ...

    def estimate(self, query: ValidatedQuery, limits: Limits) -> Estimate | None:
        """What the engine's planner expects of a query, which is not run; None where it doesn't tell."""
        ...

    def close(self) -> None:
        """Stop the workers and close the connections that this driver opened. Can be called twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_driver(engine: Engine, dialect: Dialect) -> Driver:
    """The driver for an engine. Connects lazily; for files, the worker process starts right away.

    An engine whose database lives in the memory of this process (SQLite or DuckDB), or whose DuckDB
    file this process holds open for writing, is queried in this process: reads only and with the
    time limit, but without a memory limit and without a process that could be killed.

    Raises UsageError for a database driver that is not supported.
    """
    if dialect == "sqlite":
        from sqlgen.execution.sqlite import open_sqlite

        return open_sqlite(engine)
    if dialect == "duckdb":
        from sqlgen.execution.duckdb import open_duckdb

        return open_duckdb(engine)
    if dialect == "postgres":
        from sqlgen.execution.postgres import PostgresDriver

        return PostgresDriver(engine)
    if dialect == "mysql":
        from sqlgen.execution.mysql import MysqlDriver

        return MysqlDriver(engine)
    raise UsageError(f"no driver for the dialect {dialect!r}; use sqlite, duckdb, postgres or mysql")


class Closing:
    """What the drivers share: ``with driver:`` closes it, ``stream`` wraps its ``_parts``."""

    def close(self) -> None:
        raise NotImplementedError

    def _parts(self, query: ValidatedQuery, limits: Limits) -> Generator[Any, None, None]:
        """The columns, then batches of rows."""
        raise NotImplementedError

    def stream(self, query: ValidatedQuery, limits: Limits) -> RowStream:
        """See ``Driver.stream``."""
        check_limits(limits)
        return RowStream(self._parts(query, limits))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def require_query(query: object, dialect: Dialect) -> str:
    """The SQL of a checked query; TypeError for anything else, whatever the type checker was told."""
    if type(query) is not ValidatedQuery:
        raise TypeError(
            f"a driver runs a ValidatedQuery, not {type(query).__name__}; pass the text to validate() first"
        )
    if query.dialect != dialect:
        raise UsageError(f"this query was checked for {query.dialect}, the database is {dialect}")
    if "\0" in query.sql:
        raise QueryFailed("the query holds a NUL character")
    return query.sql


def check_limits(limits: Limits) -> None:
    """UsageError for limits that would allow nothing."""
    for name in ("timeout_s", "max_rows", "max_bytes", "max_cell_bytes", "max_memory_mib"):
        value = getattr(limits, name)
        if not value > 0:
            raise UsageError(f"{name} must be above zero, got {value}")


_PATH = re.compile(r"(?:file:)?(?:[A-Za-z]:\\|(?<![\w/.])/)[^\s'\"`,;()]*[/\\][^\s'\"`,;()]*")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
_ECHO = re.compile(r"\n\s*LINE \d+:.*", re.DOTALL)


def one_line(message: str, limit: int = 300) -> str:
    """An engine's message without paths, addresses, control characters and the echoed query.

    >>> one_line('IO Error: cannot read "/srv/data/x.db"\\n\\nLINE 1: SELECT 1')
    'IO Error: cannot read "…"'
    """
    text = _ECHO.sub("", message)
    text = _URL.sub("…", text)
    text = _PATH.sub("…", text)
    text = " ".join(_CONTROL.sub(" ", text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def raise_failure(kind: str, message: str, limits: Limits) -> NoReturn:
    """Raise the typed error for what an engine reported."""
    if kind == "time":
        raise LimitReached(
            f"the query was stopped after {limits.timeout_s:g} s; narrow it or raise the time limit", "time"
        )
    if kind == "memory":
        raise LimitReached(
            f"the query needed more than {limits.max_memory_mib} MiB of memory; narrow it or raise the limit",
            "memory",
        )
    if kind == "bytes":
        raise LimitReached(
            f"a single row is larger than {limits.max_bytes} bytes; select fewer columns or raise the limit",
            "bytes",
        )
    if kind == "lock":
        raise QueryFailed(
            f"{_holder(message)} holds a lock on what the query reads; try again when it is done"
        )
    if kind == "damaged":
        raise DatabaseError(f"the database file is damaged or of another kind: {one_line(message)}")
    if kind == "unreachable":
        raise ConnectionFailed(f"the database cannot be opened: {one_line(message)}")
    raise QueryFailed(one_line(message) or "the engine refused the query")


def _holder(message: str) -> str:
    """Who holds a lock, as far as a message tells: DuckDB names the process, PostgreSQL's sessions we name."""
    process = re.search(r"\(PID (\d+)\)", message)
    if process:
        return f"process {process.group(1)}"
    return one_line(message) if message.startswith("session ") else "another connection"


def result_of(
    columns: Sequence[ResultColumn],
    rows: Rows,
    truncated: bool,
    cut_cells: int,
    elapsed_s: float,
    limits: Limits,
) -> Result:
    """The result, with a note for every limit that it met."""
    notes = []
    if truncated and len(rows) >= limits.max_rows:
        notes.append(Finding("rows", f"only the first {len(rows):,} rows are here; more exist"))
    elif truncated:
        notes.append(
            Finding(
                "bytes", f"only the first {len(rows):,} rows fit into {limits.max_bytes:,} bytes; more exist"
            )
        )
    if cut_cells:
        cells = "1 cell was" if cut_cells == 1 else f"{cut_cells:,} cells were"
        notes.append(Finding("cells", f"{cells} longer than {limits.max_cell_bytes:,} bytes and got cut"))
    return Result(tuple(columns), rows, truncated or bool(cut_cells), elapsed_s, tuple(notes))


def inferred_columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> tuple[ResultColumn, ...]:
    """Columns typed by their values: INTEGER, REAL, TEXT, BLOB, or '' when empty or mixed.

    >>> [c.type for c in inferred_columns(["a", "b", "c"], [(1, "x", None), (2.5, "y", None)])]
    ['REAL', 'TEXT', '']
    """
    columns = []
    for index, name in enumerate(names):
        kinds = {type(row[index]) for row in rows} - {type(None)}
        if kinds == {int, float}:
            kinds = {float}
        kind = kinds.pop() if len(kinds) == 1 else None
        columns.append(ResultColumn(name, _SQLITE_TYPES.get(kind, "")))
    return tuple(columns)


_SQLITE_TYPES: dict[type | None, str] = {int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}
