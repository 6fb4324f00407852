"""MySQL and MariaDB through PyMySQL: a READ ONLY transaction per query, rows taken as they come."""

from __future__ import annotations

import re
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, NoReturn

from sqlgen.errors import ConnectionFailed, QueryFailed, UsageError
from sqlgen.execution.driver import Closing, check_limits, one_line, raise_failure, require_query
from sqlgen.execution.server import GONE, Sessions, Watch
from sqlgen.types import Dialect, Limits, Result, ResultColumn, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["MysqlDriver"]

LOCK_TIMEOUT_S = 5.0
DRAINED_ROWS = 200
# modes that change how the text of a query is read, against what was validated
_READING_MODES = frozenset(
    {"ANSI", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT", "IGNORE_SPACE", "HIGH_NOT_PRECEDENCE"}
    | {"ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL"}
)
_TIMEOUT_CODES = frozenset({1317, 1969, 3024})  # interrupted, MariaDB's and MySQL's statement timeout
_GONE_CODES = frozenset({1053, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031})
_FULL_CODES = frozenset({1021, 1037, 1038, 1041, 1114})  # disk, memory, sort buffer, memory, temporary table
_LOCK_CODES = frozenset({1205, 1213, 3572})
# keeps out what is no query and yet passes a read-only session: SET, COMMIT, FLUSH, ANALYZE TABLE
_QUERY_START = re.compile(
    r"(?:\s|\(|--\s[^\n]*(?:\n|$)|/\*(?![!M]).*?\*/)*(?:SELECT|WITH|VALUES|TABLE|EXPLAIN)\b",
    re.IGNORECASE | re.DOTALL,
)


class MysqlDriver(Closing):
    """Runs queries on connections of its own, made the way the engine makes them."""

    dialect: Dialect = "mysql"

    def __init__(self, engine: Engine) -> None:
        if engine.driver != "pymysql":
            raise UsageError(
                "MySQL and MariaDB are queried through PyMySQL; use a URL that starts with mysql+pymysql://"
            )
        self._sessions = Sessions(engine)
        # apart, so that a full pool never keeps a query from being killed
        self._killers = Sessions(engine)
        self._closed = False
        self._finalizers = [weakref.finalize(self, s.close) for s in (self._sessions, self._killers)]

    def execute(self, query: ValidatedQuery, limits: Limits) -> Result:
        """See ``Driver.execute``."""
        sql = require_query(query, self.dialect)
        check_limits(limits)
        if not _QUERY_START.match(sql):
            raise QueryFailed("only queries run: a statement that starts with SELECT, WITH, VALUES or TABLE")
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
        import pymysql  # type: ignore[import-untyped,unused-ignore]

        pooled = self._sessions.take()
        fresh = "sqlgen_limits" not in pooled.info
        connection: Any = pooled.driver_connection
        clean = begun = False
        watch = Watch(limits.timeout_s, lambda: self._kill(connection.thread_id()), lambda: _cut(connection))
        try:
            with watch:
                _begin(connection, pooled.info, limits)
                begun = True
                columns, rows, truncated, ended = _run(connection, sql, limits, started)
                clean = ended and _rollback(connection)
            if not ended:
                # the server may still be working towards rows that nobody will take
                threading.Thread(target=self._kill, args=(connection.thread_id(),), daemon=True).start()
            return columns, rows, truncated
        except pymysql.Error as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            # a query that failed before its first row leaves a clean connection; later the rest is unread
            clean = code not in _GONE_CODES | _TIMEOUT_CODES and _rollback(connection)
            if not (begun or fresh or clean or watch.expired):
                raise _StaleSession from None
            _raise(error, code, watch.expired, limits)
        finally:
            if clean and not watch.expired:
                pooled.close()
            else:
                pooled.detach()
                _abandon(connection)

    def _kill(self, thread_id: int) -> None:
        import pymysql  # type: ignore[import-untyped,unused-ignore]

        try:
            pooled = self._killers.take()
        except ConnectionFailed:
            return
        try:
            cursor = pooled.cursor()
            cursor.execute(f"KILL QUERY {int(thread_id)}")
            cursor.close()
            pooled.close()
        except pymysql.Error:
            pooled.invalidate()

    def close(self) -> None:
        """Close this driver's connections; the engine stays open, it is the caller's."""
        self._closed = True
        for finalizer in self._finalizers:
            finalizer()


class _StaleSession(Exception):
    """A pooled connection turned out to be dead before anything was asked of it."""


_Rows = tuple[tuple[ResultColumn, ...], tuple[tuple[Any, ...], ...], bool]


def _begin(connection: Any, info: dict[Any, Any], limits: Limits) -> None:
    """Set up the session, once per connection and set of limits, and begin the transaction."""
    from pymysql.constants import CLIENT  # type: ignore[import-untyped,unused-ignore]

    if connection.client_flag & CLIENT.MULTI_STATEMENTS:
        raise UsageError(
            "the connection allows several statements in one call; connect without MULTI_STATEMENTS"
        )
    with connection.cursor() as cursor:
        if info.get("sqlgen_limits") != (limits.timeout_s, limits.max_memory_mib):
            cursor.execute("SELECT @@sql_mode")
            (modes,) = cursor.fetchone()
            kept = ",".join(mode for mode in modes.split(",") if mode and mode not in _READING_MODES)
            lock_s = max(1, int(min(limits.timeout_s, LOCK_TIMEOUT_S)))
            if "MariaDB" in connection.get_server_info():
                # by default MariaDB cuts a recursion after 1,000 rounds and calls the result complete
                timeout = (
                    f"max_statement_time={limits.timeout_s:.6f}, "
                    f"SESSION max_recursive_iterations=4294967295, SESSION tmp_disk_table_size={2 * limits.max_memory_mib * 2**20}"
                )
            else:
                timeout = f"max_execution_time={max(1, int(limits.timeout_s * 1000))}"
            cursor.execute(
                f"SET SESSION {timeout}, SESSION lock_wait_timeout={lock_s}, "
                f"SESSION innodb_lock_wait_timeout={lock_s}, SESSION sql_mode='{kept}'"
            )
            # DDL commits a read-only transaction and then runs; in a read-only session it is refused
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            info["sqlgen_limits"] = (limits.timeout_s, limits.max_memory_mib)
        cursor.execute("START TRANSACTION READ ONLY")


def _run(connection: Any, sql: str, limits: Limits, started: float) -> tuple[*_Rows, bool]:
    """Columns, rows, truncated, and whether all rows of the server have been read."""
    from pymysql.cursors import SSCursor  # type: ignore[import-untyped,unused-ignore]

    cursor = SSCursor(connection)
    cursor.execute(sql)
    if cursor.description is None:
        raise QueryFailed("the statement returns no rows")
    columns = tuple(ResultColumn(column[0], _type_name(column[1])) for column in cursor.description)
    rows: list[tuple[Any, ...]] = []
    used = 0
    while (row := cursor.fetchone()) is not None:
        used += sum([len(v) + 50 if type(v) in (str, bytes) else 32 for v in row])
        if used > limits.max_bytes and not rows:
            raise_failure("bytes", "", limits)
        if len(rows) == limits.max_rows or used > limits.max_bytes:
            # closing the cursor would read every row that is left, so only a few are
            ended = any(cursor.fetchone() is None for _ in range(DRAINED_ROWS))
            if not ended:
                # PyMySQL's cursors close when they are deleted
                cursor.connection = None
            return columns, tuple(rows), True, ended
        rows.append(row)
        if not len(rows) % 256 and time.perf_counter() - started > limits.timeout_s:
            raise_failure("time", "", limits)
    return columns, tuple(rows), False, True


def _rollback(connection: Any) -> bool:
    """Leave the transaction; False when the connection is of no more use."""
    import pymysql  # type: ignore[import-untyped,unused-ignore]

    if not connection.open or (connection._result is not None and connection._result.unbuffered_active):
        return False
    try:
        connection.rollback()
    except pymysql.Error:
        return False
    return True


def _abandon(connection: Any) -> None:
    """Drop the connection without reading what is left, which PyMySQL would do even on deletion."""
    connection._force_close()
    result = connection._result
    if result is not None:
        result.unbuffered_active = False
        result.connection = None


_TYPE_NAMES: dict[int, str] = {}


def _type_name(code: int) -> str:
    if not _TYPE_NAMES:
        from pymysql.constants import FIELD_TYPE  # type: ignore[import-untyped,unused-ignore]

        names = {
            "NEWDECIMAL": "DECIMAL",
            "VAR_STRING": "VARCHAR",
            "STRING": "CHAR",
            "LONG": "INT",
            "LONGLONG": "BIGINT",
        }
        names |= {"SHORT": "SMALLINT", "TINY": "TINYINT", "INT24": "MEDIUMINT", "NEWDATE": "DATE"}
        for name, value in vars(FIELD_TYPE).items():
            if name.isupper() and isinstance(value, int) and name not in ("CHAR", "INTERVAL"):
                _TYPE_NAMES.setdefault(value, names.get(name, name))
    return _TYPE_NAMES.get(code, "")


def _cut(connection: Any) -> None:
    """End the socket, so that the thread that waits on it wakes with an error."""
    sock = connection._sock
    if sock is None:
        return
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _raise(error: Any, code: int, expired: bool, limits: Limits) -> NoReturn:
    if expired or code in _TIMEOUT_CODES - {1317}:
        raise_failure("time", "", limits)
    if code == 1317:
        raise QueryFailed("the query was cancelled on the server") from None
    if code in _GONE_CODES or code == 0:
        raise ConnectionFailed(GONE) from None
    if code in _LOCK_CODES:
        raise_failure("lock", "", limits)
    if code in _FULL_CODES:
        raise_failure("memory", "", limits)
    message = error.args[1] if len(error.args) > 1 else str(error)
    raise QueryFailed(one_line(str(message))) from None
