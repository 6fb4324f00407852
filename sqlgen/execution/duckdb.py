"""DuckDB: a read-only file in a worker process, or the caller's own connection otherwise."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy.exc

from sqlgen.errors import ConnectionFailed, UsageError
from sqlgen.execution import worker as program
from sqlgen.execution.cost import Estimate, estimate_duckdb
from sqlgen.execution.driver import Closing, check_limits, raise_failure, require_query, result_of
from sqlgen.execution.process import WorkerDriver, unpack
from sqlgen.execution.sqlite import batches
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
        started = time.perf_counter()
        with (
            self._connection(limits) as connection,
            program.duckdb_query(connection, sql, limits.timeout_s) as (cursor, named, _),
        ):
            chunks, truncated, cut_cells = program.fetch(
                cursor, limits.max_rows, limits.max_bytes, limits.max_cell_bytes, plain=False
            )
        columns = tuple(ResultColumn(name, kind) for name, kind in named)
        rows = unpack(chunks, False)
        return result_of(columns, rows, truncated, cut_cells, time.perf_counter() - started, limits)

    def estimate(self, query: ValidatedQuery, limits: Limits) -> Estimate | None:
        """See ``Driver.estimate``."""

        def explain(sql: str) -> Any:
            with (
                self._connection(limits) as connection,
                program.duckdb_query(connection, sql, limits.timeout_s) as (cursor, _, _),
            ):
                return cursor.fetchone()[-1]

        return estimate_duckdb(explain, require_query(query, self.dialect))

    def _parts(self, query: ValidatedQuery, limits: Limits) -> Generator[Any, None, None]:
        sql = require_query(query, self.dialect)
        with (
            self._connection(limits) as connection,
            program.duckdb_query(connection, sql, limits.timeout_s) as (cursor, named, clock),
        ):
            yield tuple(ResultColumn(name, kind) for name, kind in named)
            yield from batches(cursor, clock, limits, plain=False)

    @contextmanager
    def _connection(self, limits: Limits) -> Iterator[Any]:
        """A second connection to the engine's database, for one query; failures are typed."""
        if self._closed:
            raise UsageError("this connection is closed; open a new one")
        with self._lock:
            pooled = self._engine.raw_connection()
            try:
                own: Any = pooled.driver_connection
                # under duckdb-engine's wrapper; a cursor is a second connection to the same database
                cursor = getattr(own, "_ConnectionWrapper__c", own).cursor()
                try:
                    yield cursor
                finally:
                    cursor.close()
            except program.Failure as failure:
                raise_failure(failure.kind, str(failure), limits)
            finally:
                pooled.close()

    def close(self) -> None:
        """The engine stays open: it is the caller's."""
        self._closed = True
