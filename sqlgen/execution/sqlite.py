"""SQLite: a read-only file in a worker process, or the caller's own connection for one in memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy.exc

from sqlgen.errors import ConnectionFailed, UsageError
from sqlgen.execution import worker as program
from sqlgen.execution.cost import Estimate
from sqlgen.execution.driver import (
    Closing,
    Rows,
    check_limits,
    inferred_columns,
    raise_failure,
    require_query,
    result_of,
)
from sqlgen.execution.process import WorkerDriver, unpack
from sqlgen.types import Dialect, Limits, Result, ResultColumn, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.execution.driver import Driver

__all__ = ["SharedSqliteDriver", "batches", "open_sqlite"]

BATCH_ROWS = 1000


def open_sqlite(engine: Engine) -> Driver:
    """A worker for a plain file; the engine's own connection for memory or attached databases."""
    try:
        with engine.connect() as connection:
            listed = connection.exec_driver_sql("PRAGMA database_list").all()
    except sqlalchemy.exc.DBAPIError:
        raise ConnectionFailed("the SQLite database cannot be opened; check that the file is one") from None
    files = {name: file for _, name, file in listed if name != "temp"}
    path = files.get("main")
    if len(files) > 1 or not path:
        return SharedSqliteDriver(engine)
    path = os.path.abspath(path)
    target = "file:" + quote(path) + "?mode=ro"
    # a WAL database in a folder that we may not write opens only as immutable; safe while no log exists
    if not os.access(os.path.dirname(path), os.W_OK) and not os.path.exists(path + "-wal"):
        target += "&immutable=1"
    return WorkerDriver("sqlite", path, target)


def batches(cursor: Any, clock: program.Clock, limits: Limits, *, plain: bool) -> Iterator[Rows]:
    """The rows of an open cursor of this process, batch by batch."""
    while True:
        clock.restart()
        rows = cursor.fetchmany(min(limits.max_rows, BATCH_ROWS))
        clock.stop()
        if not rows:
            return
        yield unpack([program.pack(rows, limits.max_cell_bytes, plain)[0]], plain)


class SharedSqliteDriver(Closing):
    """Queries through a connection of the engine, one at a time: authorizer and limits, nothing to kill."""

    dialect: Dialect = "sqlite"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._closed = False

    def execute(self, query: ValidatedQuery, limits: Limits) -> Result:
        """See ``Driver.execute``."""
        sql = require_query(query, self.dialect)
        check_limits(limits)
        started = time.perf_counter()
        with (
            self._connection(limits) as connection,
            program.sqlite_query(connection, sql, limits.timeout_s) as (cursor, names, _),
        ):
            chunks, truncated, cut_cells = program.fetch(
                cursor, limits.max_rows, limits.max_bytes, limits.max_cell_bytes, plain=True
            )
        rows = unpack(chunks, True)
        columns = inferred_columns([name for name, _ in names], rows)
        return result_of(columns, rows, truncated, cut_cells, time.perf_counter() - started, limits)

    def estimate(self, query: ValidatedQuery, limits: Limits) -> Estimate | None:
        """See ``Driver.estimate``; SQLite's planner tells no figures."""
        require_query(query, self.dialect)
        return None

    def _parts(self, query: ValidatedQuery, limits: Limits) -> Generator[Any, None, None]:
        sql = require_query(query, self.dialect)
        with (
            self._connection(limits) as connection,
            program.sqlite_query(connection, sql, limits.timeout_s) as (cursor, names, clock),
        ):
            yield tuple(ResultColumn(name, kind) for name, kind in names)
            yield from batches(cursor, clock, limits, plain=True)

    @contextmanager
    def _connection(self, limits: Limits) -> Iterator[Any]:
        """A connection of the engine with authorizer and limits on, for one query; failures are typed."""
        import sqlite3

        if self._closed:
            raise UsageError("this connection is closed; open a new one")
        with self._lock:
            pooled = self._engine.raw_connection()
            connection: Any = pooled.driver_connection
            factory, isolation = connection.text_factory, connection.isolation_level
            length = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, program.SQLITE_LENGTH)
            connection.text_factory = program.sqlite_text
            connection.set_authorizer(program.sqlite_authorizer)
            try:
                yield connection
            except program.Failure as failure:
                raise_failure(failure.kind, str(failure), limits)
            finally:
                connection.set_authorizer(None)
                connection.text_factory = factory
                connection.isolation_level = isolation
                connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)
                pooled.close()

    def close(self) -> None:
        """The engine stays open: it is the caller's."""
        self._closed = True
