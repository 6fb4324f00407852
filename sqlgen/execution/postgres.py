"""PostgreSQL through psycopg: a READ ONLY transaction per query, a server-side cursor, always rolled back."""

from __future__ import annotations

import os
import socket
import sys
import time
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

from sqlgen.errors import ConnectionFailed, LimitReached, QueryFailed, UsageError
from sqlgen.execution.driver import Closing, check_limits, one_line, raise_failure, require_query
from sqlgen.execution.server import GONE, Sessions, Watch
from sqlgen.types import Dialect, Limits, Result, ResultColumn, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["PostgresDriver"]

LOCK_TIMEOUT_S = 5.0
CHUNK_BYTES = 4 * 2**20


class PostgresDriver(Closing):
    """Runs queries on connections of its own, made the way the engine makes them.

    A pool apart from the engine's keeps the caller's sessions untouched. What a query could leave
    in a session is undone by ROLLBACK, but for advisory locks, which are released.
    """

    dialect: Dialect = "postgres"

    def __init__(self, engine: Engine) -> None:
        if engine.driver != "psycopg":
            raise UsageError(
                "PostgreSQL is queried through psycopg 3; use a URL that starts with postgresql+psycopg://"
            )
        self._sessions = Sessions(engine)
        self._closed = False
        self._finalizer = weakref.finalize(self, self._sessions.close)

    def execute(self, query: ValidatedQuery, limits: Limits) -> Result:
        """See ``Driver.execute``."""
        sql = require_query(query, self.dialect)
        check_limits(limits)
        if self._closed:
            raise UsageError("this connection is closed; open a new one")
        started = time.perf_counter()
        try:
            columns, rows, truncated = self._attempt(sql, limits, started)
        except _StaleSession:
            # an idle connection had died, nothing of the query was sent: connect anew, once
            self._sessions.renew()
            columns, rows, truncated = self._attempt(sql, limits, started)
        return Result(columns, rows, truncated, time.perf_counter() - started)

    def _attempt(self, sql: str, limits: Limits, started: float) -> _Rows:
        import psycopg

        pooled = self._sessions.take()
        fresh = not pooled.info.get("sqlgen_used")
        pooled.info["sqlgen_used"] = True
        connection: Any = pooled.driver_connection
        healthy = begun = False
        watch = Watch(limits.timeout_s, lambda: _cancel(connection), lambda: _cut(connection))
        try:
            with watch:
                _begin(connection, limits)
                begun = True
                columns, rows, truncated = _run(connection, sql, limits, started)
                connection.execute(_END)
            healthy = True
            return columns, rows, truncated
        except psycopg.Error as error:
            healthy = not watch.expired and _reset(connection)
            if not (begun or fresh or healthy or watch.expired):
                raise _StaleSession from None
            _raise(error, healthy, watch.expired, limits)
        except (LimitReached, QueryFailed):
            healthy = not watch.expired and _reset(connection)
            raise
        except UnicodeError:
            healthy = not watch.expired and _reset(connection)
            raise QueryFailed("the result holds text that is not valid in the database's encoding") from None
        finally:
            if healthy:
                pooled.close()
            else:
                pooled.detach()
                connection.close()

    def close(self) -> None:
        """Close this driver's connections; the engine stays open, it is the caller's."""
        self._closed = True
        self._finalizer()


class _StaleSession(Exception):
    """A pooled connection turned out to be dead before anything was asked of it."""


_Rows = tuple[tuple[ResultColumn, ...], tuple[tuple[Any, ...], ...], bool]
# what ROLLBACK doesn't undo in a session that only read
_END = "ROLLBACK; SELECT pg_advisory_unlock_all()"


def _begin(connection: Any, limits: Limits) -> None:
    if connection.autocommit is False:
        # transactions are opened and ended in words here; a pooled connection is never inside one
        connection.autocommit = True
    timeout_ms = max(1, int(limits.timeout_s * 1000))
    lock_ms = max(1, int(min(limits.timeout_s, LOCK_TIMEOUT_S) * 1000))
    connection.execute(
        "BEGIN READ ONLY;"
        "SET LOCAL standard_conforming_strings=on;"
        f"SET LOCAL statement_timeout={timeout_ms};"
        f"SET LOCAL lock_timeout={lock_ms};"
        f"SET LOCAL idle_in_transaction_session_timeout={timeout_ms + 5000}"
    )


def _run(connection: Any, sql: str, limits: Limits, started: float) -> _Rows:
    # a named cursor goes through the extended protocol, which takes one statement and no more
    with connection.cursor(name="sqlgen") as cursor:
        _register_loaders(cursor)
        cursor.execute(sql)
        description = cursor.description
        if description is None:
            raise QueryFailed("the statement returns no rows")
        types = cursor.adapters.types
        columns = tuple(
            ResultColumn(c.name, c.type_display if types.get(c.type_code) else "") for c in description
        )
        rows: list[tuple[Any, ...]] = []
        used = 0
        size = 64
        while True:
            wanted = min(size, limits.max_rows + 1 - len(rows))
            chunk = cursor.fetchmany(wanted)
            for row in chunk:
                if len(rows) == limits.max_rows:
                    return columns, tuple(rows), True
                plain_row = tuple([v if type(v) in _PLAIN else plain(v) for v in row])
                used += sum([weight(v) for v in plain_row])
                if used > limits.max_bytes:
                    if not rows:
                        raise_failure("bytes", "", limits)
                    return columns, tuple(rows), True
                rows.append(plain_row)
            if len(chunk) < wanted:
                return columns, tuple(rows), False
            if time.perf_counter() - started > limits.timeout_s:
                raise_failure("time", "", limits)
            size = max(1, min(4096, CHUNK_BYTES * len(rows) // max(used, 1)))


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


def _reset(connection: Any) -> bool:
    """Leave the transaction; False when the connection is of no more use."""
    if connection.closed or connection.broken:
        return False
    try:
        with Watch(2.0, lambda: None, lambda: _cut(connection)):
            connection.execute(_END)
    except _psycopg_error():
        return False
    return True


def _raise(error: Any, healthy: bool, expired: bool, limits: Limits) -> NoReturn:
    from psycopg import errors

    message = error.diag.message_primary or str(error)
    if expired or (isinstance(error, errors.QueryCanceled) and "user request" not in message):
        raise_failure("time", "", limits)
    if isinstance(error, errors.LockNotAvailable):
        raise_failure("lock", "", limits)
    if isinstance(error, errors.OutOfMemory):
        raise QueryFailed("the database server ran out of memory for this query; narrow it") from None
    if isinstance(error, (errors.AdminShutdown, errors.CrashShutdown)) or not healthy:
        raise ConnectionFailed(GONE) from None
    if isinstance(error, errors.QueryCanceled):
        raise QueryFailed("the query was cancelled on the server") from None
    hint = error.diag.message_hint
    raise QueryFailed(one_line(f"{message} ({hint})" if hint else message)) from None
