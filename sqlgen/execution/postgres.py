"""PostgreSQL through psycopg: a READ ONLY transaction per query, a server-side cursor, always rolled back."""

from __future__ import annotations

import os
import socket
import sys
import time
import weakref
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from sqlgen.errors import ConnectionFailed, LimitReached, QueryFailed, UsageError
from sqlgen.execution.cost import Estimate, estimate_postgres
from sqlgen.execution.driver import Closing, check_limits, one_line, raise_failure, require_query, result_of
from sqlgen.execution.server import GONE, ROW_BYTES, Sessions, Watch
from sqlgen.execution.worker import cut_cell, is_long
from sqlgen.types import Dialect, Finding, Limits, Result, ResultColumn, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["PostgresDriver"]

LOCK_TIMEOUT_S = 5.0
CHUNK_BYTES = 4 * 2**20
FIRST_ROWS = 8
# how long the reader of a stream may take between two batches
PAUSE_S = 3600.0
# reads every table, but no file and no password, and may neither signal nor configure the server
LESSER_ROLE = "pg_read_all_data"
LESSER_ROLE_SINCE = 140000
_SUPERUSER = Finding(
    "superuser",
    "this login is a superuser; connect with one that may only SELECT (sqlgen check --connection)",
)


class PostgresDriver(Closing):
    """Runs queries on connections of its own, made the way the engine makes them.

    A pool apart from the engine's keeps the caller's sessions untouched. What a query could leave
    in a session is undone by ROLLBACK, but for advisory locks, which are released; DISCARD ALL would
    undo the caller's own settings of the session as well. A superuser's rights are put down to reading.
    """

    dialect: Dialect = "postgres"

    def __init__(self, engine: Engine) -> None:
        if engine.driver != "psycopg":
            raise UsageError(
                "PostgreSQL is queried through psycopg 3; use a URL that starts with postgresql+psycopg://"
            )
        self._sessions = Sessions(engine)
        self._closed = self._warned = self._is_superuser = False
        self._finalizer = weakref.finalize(self, self._sessions.close)

    def execute(self, query: ValidatedQuery, limits: Limits) -> Result:
        """See ``Driver.execute``."""
        sql = require_query(query, self.dialect)
        check_limits(limits)
        if self._closed:
            raise UsageError("this connection is closed; open a new one")
        started = time.perf_counter()
        columns, rows, truncated, cut_cells = self._do(
            lambda connection: _run(connection, sql, limits, started), limits
        )
        result = result_of(columns, rows, truncated, cut_cells, time.perf_counter() - started, limits)
        if self._is_superuser and not self._warned:
            self._warned = True
            result = replace(result, notes=(*result.notes, _SUPERUSER))
        return result

    def estimate(self, query: ValidatedQuery, limits: Limits) -> Estimate | None:
        """See ``Driver.estimate``."""
        sql = require_query(query, self.dialect)
        if sql.lstrip().upper().startswith("EXPLAIN"):
            return None
        # prepared: the extended protocol takes one statement and no more
        return self._do(
            lambda connection: estimate_postgres(
                connection.execute(f"EXPLAIN (FORMAT JSON) {sql}", prepare=True).fetchone()[0]
            ),
            limits,
        )

    def _do(self, work: Callable[[Any], _T], limits: Limits) -> _T:
        """Do the work in a read-only transaction on a session; again on a new one if an idle one had died."""
        with self._sessions.slot(limits):
            try:
                return self._attempt(work, limits)
            except _StaleSession:
                # nothing of the query was sent
                self._sessions.renew()
                return self._attempt(work, limits)

    def _attempt(self, work: Callable[[Any], _T], limits: Limits) -> _T:
        import psycopg

        pooled = self._sessions.take()
        fresh = "sqlgen_superuser" not in pooled.info
        connection: Any = pooled.driver_connection
        healthy = begun = False
        watch = _watch(connection, limits)
        try:
            with watch:
                self._begin(pooled, limits)
                begun = True
                done = work(connection)
                connection.execute(_END)
            healthy = True
            return done
        except psycopg.Error as error:
            healthy = not watch.expired and _reset(connection)
            if not (begun or fresh or healthy or watch.expired):
                raise _StaleSession from None
            self._raise(error, healthy, watch, limits)
        except (LimitReached, QueryFailed):
            healthy = not watch.expired and _reset(connection)
            raise
        except UnicodeError:
            healthy = not watch.expired and _reset(connection)
            raise QueryFailed("the result holds text that is not valid in the database's encoding") from None
        finally:
            _give_back(pooled, connection, healthy)

    def _parts(self, query: ValidatedQuery, limits: Limits) -> Generator[Any, None, None]:
        import psycopg

        sql = require_query(query, self.dialect)
        if self._closed:
            raise UsageError("this connection is closed; open a new one")
        with self._sessions.slot(limits):
            pooled = self._sessions.take()
            connection: Any = pooled.driver_connection
            cursor = None
            watch = _watch(connection, limits)
            try:
                with watch:
                    self._begin(pooled, limits, pause_s=PAUSE_S)
                    cursor = _open_cursor(connection)
                    cursor.execute(sql)
                watch.require_in_time(limits)
                yield _columns(cursor)
                size = min(FIRST_ROWS, limits.max_rows)
                while True:
                    watch = _watch(connection, limits)
                    with watch:
                        rows = [_plain_row(row, limits)[0] for row in cursor.fetchmany(size)]
                    watch.require_in_time(limits)
                    if not rows:
                        break
                    yield tuple(rows)
                    used = sum([weight(v) for row in rows for v in row])
                    size = max(1, min(size * 8, limits.max_rows, CHUNK_BYTES * len(rows) // max(used, 1)))
            except psycopg.Error as error:
                self._raise(error, not (watch.expired or connection.broken), watch, limits)
            finally:
                _give_back(pooled, connection, not watch.expired and _reset(connection, cursor))
                if cursor is not None:
                    cursor.close()

    def _begin(self, pooled: Any, limits: Limits, pause_s: float = 5.0) -> None:
        """Open the transaction that can only read, with its time limits, as no superuser."""
        connection = pooled.driver_connection
        if "sqlgen_superuser" not in pooled.info:
            pooled.info["sqlgen_superuser"] = connection.pgconn.parameter_status(b"is_superuser") == b"on"
        self._is_superuser = pooled.info["sqlgen_superuser"]
        if connection.autocommit is False:
            # transactions are opened and ended in words here; a pooled connection is never inside one
            connection.autocommit = True
        timeout_ms = max(1, int(limits.timeout_s * 1000))
        lock_ms = max(1, int(min(limits.timeout_s, LOCK_TIMEOUT_S) * 1000))
        lesser = ""
        if self._is_superuser and connection.info.server_version >= LESSER_ROLE_SINCE:
            # row_security off: a policy that a superuser is exempt from ends the query instead of hiding rows
            lesser = (
                f"SET LOCAL temp_file_limit={4 * 1024 * limits.max_memory_mib};"
                f"{_KEEP_PATH};SET LOCAL row_security=off;SET LOCAL ROLE {LESSER_ROLE};"
            )
        connection.execute(
            "BEGIN READ ONLY;"
            "SET LOCAL standard_conforming_strings=on;"
            f"SET LOCAL lock_timeout={lock_ms};"
            f"SET LOCAL idle_in_transaction_session_timeout={timeout_ms + int(pause_s * 1000)};"
            f"{lesser}SET LOCAL statement_timeout={timeout_ms}"
        )

    def _raise(self, error: Any, healthy: bool, watch: Watch, limits: Limits) -> NoReturn:
        from psycopg import errors

        message = error.diag.message_primary or str(error)
        if watch.swollen:
            raise_failure("bytes", "", limits)
        if watch.expired or (isinstance(error, errors.QueryCanceled) and "user request" not in message):
            raise_failure("time", "", limits)
        if isinstance(error, errors.LockNotAvailable):
            raise_failure("lock", self._lock_holder(), limits)
        if isinstance(error, errors.OutOfMemory):
            raise QueryFailed("the database server ran out of memory for this query; narrow it") from None
        if isinstance(error, errors.ConfigurationLimitExceeded):
            raise_failure("memory", "", limits)
        if isinstance(error, (errors.AdminShutdown, errors.CrashShutdown)) or not healthy:
            raise ConnectionFailed(GONE) from None
        if isinstance(error, errors.QueryCanceled):
            raise QueryFailed("the query was cancelled on the server") from None
        hint = error.diag.message_hint
        raise QueryFailed(one_line(f"{message} ({hint})" if hint else message)) from None

    def _lock_holder(self) -> str:
        """Which session keeps others from reading in this database, '' if that cannot be told."""
        import psycopg

        try:
            pooled = self._sessions.take()
        except ConnectionFailed:
            return ""
        connection: Any = pooled.driver_connection
        found = None
        try:
            with Watch(1.0, lambda: _cancel(connection), lambda: _cut(connection)):
                found = connection.execute(_WHO_LOCKS, prepare=False).fetchone()
        except psycopg.Error:
            found = None
        finally:
            _give_back(pooled, connection, found is not None and _reset(connection))
        return f"session {found[0]} ({', '.join(filter(None, found[1:]))})" if found else ""

    def close(self) -> None:
        """Close this driver's connections; the engine stays open, it is the caller's."""
        self._closed = True
        self._finalizer()


class _StaleSession(Exception):
    """A pooled connection turned out to be dead before anything was asked of it."""


_T = TypeVar("_T")
_Rows = tuple[tuple[ResultColumn, ...], tuple[tuple[Any, ...], ...], bool, int]
# a search path with "$user" in it would mean another schema once the role has changed
_KEEP_PATH = (
    "SELECT set_config('search_path', coalesce(string_agg(quote_ident(s), ',' ORDER BY n), ''), true) "
    "FROM unnest(current_schemas(false)) WITH ORDINALITY AS path(s, n)"
)
_WHO_LOCKS = (
    "SELECT a.pid, a.usename, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE l.granted AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' "
    "AND a.datname = current_database() AND a.pid <> pg_backend_pid() ORDER BY a.xact_start LIMIT 1"
)
# what ROLLBACK doesn't undo in a session that only read
_END = "ROLLBACK; SELECT pg_advisory_unlock_all()"


def _watch(connection: Any, limits: Limits) -> Watch:
    return Watch(
        limits.timeout_s,
        lambda: _cancel(connection),
        lambda: _cut(connection),
        max_growth=limits.max_bytes + ROW_BYTES,
    )


def _give_back(pooled: Any, connection: Any, healthy: bool) -> None:
    if healthy:
        pooled.close()
    else:
        pooled.detach()
        connection.close()


def _open_cursor(connection: Any) -> Any:
    # a named cursor goes through the extended protocol, which takes one statement and no more
    cursor = connection.cursor(name="sqlgen")
    _register_loaders(cursor)
    return cursor


def _columns(cursor: Any) -> tuple[ResultColumn, ...]:
    if cursor.description is None:
        raise QueryFailed("the statement returns no rows")
    types = cursor.adapters.types
    return tuple(
        ResultColumn(c.name, c.type_display if types.get(c.type_code) else "") for c in cursor.description
    )


def _plain_row(row: Any, limits: Limits) -> tuple[tuple[Any, ...], int]:
    """A row of plain Python, and how many of its cells were cut."""
    values = tuple([v if type(v) in _PLAIN else plain(v) for v in row])
    cut_cells = sum([is_long(v, limits.max_cell_bytes) for v in values])
    return tuple([cut_cell(v, limits.max_cell_bytes) for v in values]) if cut_cells else values, cut_cells


def _run(connection: Any, sql: str, limits: Limits, started: float) -> _Rows:
    with _open_cursor(connection) as cursor:
        cursor.execute(sql)
        columns = _columns(cursor)
        rows: list[tuple[Any, ...]] = []
        used = cut_cells = 0
        size = FIRST_ROWS
        while True:
            wanted = min(size, limits.max_rows + 1 - len(rows))
            chunk = cursor.fetchmany(wanted)
            for row in chunk:
                if len(rows) == limits.max_rows:
                    return columns, tuple(rows), True, cut_cells
                values, cut_here = _plain_row(row, limits)
                used += sum([weight(v) for v in values])
                if used > limits.max_bytes:
                    if not rows:
                        raise_failure("bytes", "", limits)
                    return columns, tuple(rows), True, cut_cells
                cut_cells += cut_here
                rows.append(values)
            if len(chunk) < wanted:
                return columns, tuple(rows), False, cut_cells
            if time.perf_counter() - started > limits.timeout_s:
                raise_failure("time", "", limits)
            size = max(1, min(size * 8, 4096, CHUNK_BYTES * len(rows) // max(used, 1)))


_PLAIN = frozenset({type(None), bool, int, float, str, bytes})


def plain(value: Any) -> Any:
    """A value of plain Python: the types of a ``Result``; anything else becomes its text.

    >>> import uuid
    >>> plain((1, uuid.UUID(int=0)))
    [1, '00000000-0000-0000-0000-000000000000']
    """
    import datetime
    import decimal

    kind = type(value)
    if kind in _PLAIN or kind in (
        decimal.Decimal,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
    ):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return str(value)


def weight(value: Any) -> int:
    """About how many bytes a value takes in memory.

    >>> weight("x" * 1000) > 1000
    True
    """
    if isinstance(value, (list, tuple)):
        return 56 + sum(weight(item) for item in value)
    if isinstance(value, dict):
        return 64 + sum(weight(key) + weight(item) for key, item in value.items())
    return sys.getsizeof(value)


def _register_loaders(cursor: Any) -> None:
    for name, loader in _loaders().items():
        cursor.adapters.register_loader(name, loader)


_LOADERS: dict[str, Any] = {}


def _loaders() -> dict[str, Any]:
    """psycopg's loaders, but for a value that Python has no object for they give the server's text."""
    if not _LOADERS:
        import psycopg
        from psycopg.adapt import Loader
        from psycopg.types import datetime as times

        class LooseText(Loader):
            def load(self, data: Any) -> str:
                return str(bytes(data), "utf-8", "backslashreplace")

        def or_text(strict: type[Any]) -> type[Any]:
            class Loose(strict):  # type: ignore[misc]
                def load(self, data: Any) -> Any:
                    try:
                        return super().load(data)
                    except (psycopg.DataError, ValueError, OverflowError):
                        return str(bytes(data), "utf-8", "backslashreplace")

            return Loose

        for name, strict in (
            ("date", times.DateLoader),
            ("time", times.TimeLoader),
            ("timetz", times.TimetzLoader),
            ("timestamp", times.TimestampLoader),
            ("timestamptz", times.TimestamptzLoader),
            ("interval", times.IntervalLoader),
        ):
            _LOADERS[name] = or_text(strict)
        for name in ("text", "varchar", "bpchar", "name"):
            _LOADERS[name] = LooseText
    return _LOADERS


def _cancel(connection: Any) -> None:
    import psycopg

    try:
        connection.cancel_safe(timeout=0.5)
    except psycopg.Error:
        return


def _cut(connection: Any) -> None:
    """End the socket under libpq, so that the thread that waits on it wakes with an error."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as twin:
            twin.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    except _psycopg_error():
        return


def _psycopg_error() -> type[Exception]:
    import psycopg

    return psycopg.Error


def _reset(connection: Any, cursor: Any = None) -> bool:
    """Leave the transaction; False when the connection is of no more use."""
    if connection.closed or connection.broken:
        return False
    try:
        with Watch(2.0, lambda: None, lambda: _cut(connection)):
            if cursor is not None:
                cursor.close()
            connection.execute(_END)
    except _psycopg_error():
        return False
    return True
