"""SQLite: a read-only file in a worker process, or the caller's own connection for one in memory."""

from __future__ import annotations

import marshal
import os
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import sqlalchemy.exc

from sqlgen.errors import ConnectionFailed, UsageError
from sqlgen.execution import worker as program
from sqlgen.execution.driver import Closing, check_limits, inferred_columns, raise_failure, require_query
from sqlgen.execution.process import WorkerDriver
from sqlgen.types import Dialect, Limits, Result, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.execution.driver import Driver

__all__ = ["SharedSqliteDriver", "open_sqlite"]


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
    return WorkerDriver("sqlite", path, "file:" + quote(path) + "?mode=ro")


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
        if self._closed:
            raise UsageError("this connection is closed; open a new one")
        started = time.perf_counter()
        with self._lock:
            pooled = self._engine.raw_connection()
            connection: Any = pooled.driver_connection
            try:
                names, chunks, truncated = self._run(connection, sql, limits)
            except program.Failure as failure:
                raise_failure(failure.kind, str(failure), limits)
            finally:
                pooled.close()
        rows = tuple(row for chunk in chunks for row in marshal.loads(chunk))
        columns = inferred_columns([name for name, _ in names], rows)
        return Result(columns, rows, truncated, time.perf_counter() - started)

    def _run(self, connection: Any, sql: str, limits: Limits) -> tuple[list[Any], list[bytes], bool]:
        import sqlite3

        factory, isolation = connection.text_factory, connection.isolation_level
        length = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, program.SQLITE_LENGTH)
        connection.text_factory = program.sqlite_text
        connection.set_authorizer(program.sqlite_authorizer)
        try:
            return program.run_sqlite(connection, sql, limits.timeout_s, limits.max_rows, limits.max_bytes)
        finally:
            connection.set_authorizer(None)
            connection.text_factory = factory
            connection.isolation_level = isolation
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)

    def close(self) -> None:
        """The engine stays open: it is the caller's."""
        self._closed = True
