"""DuckDB: a read-only file in a worker process, or the caller's own connection otherwise."""

from __future__ import annotations

import marshal
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy.exc

from sqlgen.errors import ConnectionFailed, UsageError
from sqlgen.execution import worker as program
from sqlgen.execution.driver import Closing, check_limits, raise_failure, require_query
from sqlgen.execution.process import WorkerDriver
from sqlgen.types import Dialect, Limits, Result, ResultColumn, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.execution.driver import Driver

__all__ = ["SharedDuckdbDriver", "open_duckdb"]


def open_duckdb(engine: Engine) -> Driver:
    """A worker for a file that this process doesn't write to; else the engine's own connection."""
    try:
        with engine.connect() as connection:
            listed = connection.exec_driver_sql(
                "SELECT path, readonly FROM duckdb_databases() WHERE NOT internal"
            ).all()
    except sqlalchemy.exc.DBAPIError:
        raise ConnectionFailed("the DuckDB database cannot be opened; check that the file is one") from None
    if len(listed) != 1 or not listed[0][0] or not listed[0][1]:
        return SharedDuckdbDriver(engine)
    path = os.path.abspath(listed[0][0])
    return WorkerDriver("duckdb", path, path)


class SharedDuckdbDriver(Closing):
    """Queries through a cursor of the engine, one at a time: single queries only and the time limit."""

    dialect: Dialect = "duckdb"

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
                # under duckdb-engine's wrapper; a cursor is a second connection to the same database
                cursor = getattr(connection, "_ConnectionWrapper__c", connection).cursor()
                try:
                    named, chunks, truncated = program.run_duckdb(
                        cursor, sql, limits.timeout_s, limits.max_rows, limits.max_bytes
                    )
                finally:
                    cursor.close()
            except program.Failure as failure:
                raise_failure(failure.kind, str(failure), limits)
            finally:
                pooled.close()
        rows = tuple(
            tuple([program.decode(v) if type(v) in (tuple, list) else v for v in row])
            for chunk in chunks
            for row in marshal.loads(chunk)
        )
        columns = tuple(ResultColumn(name, kind) for name, kind in named)
        return Result(columns, rows, truncated, time.perf_counter() - started)

    def close(self) -> None:
        """The engine stays open: it is the caller's."""
        self._closed = True
