"""MySQL and MariaDB through PyMySQL: a READ ONLY transaction per query, rows taken as they come."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from sqlgen.errors import ConnectionFailed, QueryFailed, UsageError
from sqlgen.execution.cost import Estimate, estimate_mysql
from sqlgen.execution.driver import Closing, check_limits, one_line, raise_failure, require_query, result_of
from sqlgen.execution.server import GONE, ROW_BYTES, Sessions, Watch
from sqlgen.execution.worker import cut_cell, is_long
from sqlgen.types import Dialect, Limits, Result, ResultColumn, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["MysqlDriver"]

LOCK_TIMEOUT_S = 5.0
DRAINED_ROWS = 200
BATCH_BYTES = 2**20
# how long the server lets a stream last, reader's pauses included
STREAM_S = 3600.0
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
# literals, quoted names and comments of a query; an executable comment stays, so that its words are seen
_INERT = re.compile(
    r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`|/\*(?![!M]).*?\*/|(?:--(?=\s|$)|\#)[^\n]*",
    re.DOTALL,
)
# a read-only transaction writes files and reads them, if the login may; INTO has no other use in a query
_FORBIDDEN = re.compile(r"\b(?:INTO|LOAD_FILE)\b|/\*[!M]|\bPROCEDURE\s+ANALYSE\b", re.IGNORECASE)


def _blank(inert: re.Match[str]) -> str:
    # a quoted name calls a function as well
    return "LOAD_FILE" if inert.group().lower() == "`load_file`" else " "


def require_no_files(sql: str) -> None:
    """QueryFailed for a query that would write or read a file, or hides words in an executable comment.

    >>> require_no_files("SELECT 'into the woods' -- into")
    >>> require_no_files("SELECT 1 INTO OUTFILE '/tmp/x'")
    Traceback (most recent call last):
    sqlgen.errors.QueryFailed: the query would use INTO; only queries that return rows to the caller run
    """
    found = _FORBIDDEN.search(_INERT.sub(_blank, sql))
    if found:
        raise QueryFailed(
            f"the query would use {found.group()}; only queries that return rows to the caller run"
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
        sql = self._require(query)
        check_limits(limits)
        started = time.perf_counter()
        (columns, rows, truncated, cut_cells), _ = self._do(
            lambda connection: _run(connection, sql, limits, started), limits
        )
        return result_of(columns, rows, truncated, cut_cells, time.perf_counter() - started, limits)

    def estimate(self, query: ValidatedQuery, limits: Limits) -> Estimate | None:
        """See ``Driver.estimate``."""
        sql = self._require(query)
        if sql.lstrip().upper().startswith("EXPLAIN"):
            return None

        def explain(connection: Any) -> tuple[Estimate, bool]:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN FORMAT=JSON {sql}")
                return estimate_mysql(json.loads(cursor.fetchone()[0])), True

        return self._do(explain, limits)[0]

    def _require(self, query: ValidatedQuery) -> str:
        sql = require_query(query, self.dialect)
        if not _QUERY_START.match(sql):
            raise QueryFailed("only queries run: a statement that starts with SELECT, WITH, VALUES or TABLE")
        require_no_files(sql)
        if self._closed:
            raise UsageError("this connection is closed; open a new one")
        return sql

    def _do(self, work: Callable[[Any], tuple[_T, bool]], limits: Limits) -> tuple[_T, bool]:
        """Do the work in a read-only transaction on a session; again on a new one if an idle one had died.

        The work says with its second value whether it has read all that the server sends.
        """
        with self._sessions.slot(limits):
            try:
                return self._attempt(work, limits)
            except _StaleSession:
                # nothing of the query was sent
                self._sessions.renew()
                return self._attempt(work, limits)

    def _attempt(self, work: Callable[[Any], tuple[_T, bool]], limits: Limits) -> tuple[_T, bool]:
        import pymysql  # type: ignore[import-untyped,unused-ignore]

        pooled = self._sessions.take()
        fresh = "sqlgen_limits" not in pooled.info
        connection: Any = pooled.driver_connection
        clean = begun = False
        watch = self._watch(connection, limits)
        try:
            with watch:
                _begin(connection, pooled.info, limits)
                begun = True
                done, ended = work(connection)
                clean = ended and _rollback(connection)
            if not ended:
                # the server may still be working towards rows that nobody will take
                threading.Thread(target=self._kill, args=(connection.thread_id(),), daemon=True).start()
            return done, ended
        except pymysql.Error as error:
            code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            # a query that failed before its first row leaves a clean connection; later the rest is unread
            clean = code not in _GONE_CODES | _TIMEOUT_CODES and _rollback(connection)
            if not (begun or fresh or clean or watch.expired):
                raise _StaleSession from None
            _raise(error, code, watch, limits)
        finally:
            if clean and not watch.expired:
                pooled.close()
            else:
                pooled.detach()
                _abandon(connection)

    def _parts(self, query: ValidatedQuery, limits: Limits) -> Generator[Any, None, None]:
        import pymysql
        from pymysql.cursors import SSCursor  # type: ignore[import-untyped,unused-ignore]

        sql = self._require(query)
        with self._sessions.slot(limits):
            pooled = self._sessions.take()
            connection: Any = pooled.driver_connection
            clean = False
            watch = self._watch(connection, limits)
            try:
                with watch:
                    _begin(
                        connection, pooled.info, replace(limits, timeout_s=max(STREAM_S, limits.timeout_s))
                    )
                    cursor = SSCursor(connection)
                    cursor.execute(sql)
                # a query that was stopped may still send its columns, and the error after them
                watch.require_in_time(limits)
                yield _columns(cursor)
                more = True
                while more:
                    watch = self._watch(connection, limits)
                    with watch:
                        rows, more = _batch(cursor, limits)
                    watch.require_in_time(limits)
                    if rows:
                        yield rows
                clean = _rollback(connection)
            except pymysql.Error as error:
                code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
                _raise(error, code, watch, limits)
            finally:
                if clean:
                    pooled.close()
                else:
                    number = connection.thread_id()
                    pooled.detach()
                    _abandon(connection)
                    self._kill(number)

    def _watch(self, connection: Any, limits: Limits) -> Watch:
        return Watch(
            limits.timeout_s,
            lambda: self._kill(connection.thread_id()),
            lambda: _cut(connection),
            max_growth=limits.max_bytes + ROW_BYTES,
        )

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


_T = TypeVar("_T")
_Rows = tuple[tuple[ResultColumn, ...], tuple[tuple[Any, ...], ...], bool, int]


def _begin(connection: Any, info: dict[Any, Any], limits: Limits) -> None:
    """Set up the session, once per connection and set of limits, and begin the transaction."""
    from pymysql.constants import CLIENT  # type: ignore[import-untyped,unused-ignore]

    if connection.client_flag & CLIENT.MULTI_STATEMENTS:
        raise UsageError(
            "the connection allows several statements in one call; connect without MULTI_STATEMENTS"
        )
    if connection.client_flag & CLIENT.LOCAL_FILES:
        raise UsageError(
            "the connection lets the server read files of this machine; connect without local_infile"
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


def _columns(cursor: Any) -> tuple[ResultColumn, ...]:
    if cursor.description is None:
        raise QueryFailed("the statement returns no rows")
    return tuple(ResultColumn(column[0], _type_name(column[1])) for column in cursor.description)


def _weight(row: tuple[Any, ...]) -> int:
    return sum([len(v) + 50 if type(v) in (str, bytes) else 32 for v in row])


def _cut_row(row: tuple[Any, ...], limits: Limits) -> tuple[tuple[Any, ...], int]:
    """The row, and how many of its cells were cut."""
    cut_cells = sum([is_long(v, limits.max_cell_bytes) for v in row])
    return tuple([cut_cell(v, limits.max_cell_bytes) for v in row]) if cut_cells else row, cut_cells


def _batch(cursor: Any, limits: Limits) -> tuple[tuple[tuple[Any, ...], ...], bool]:
    """The next rows of a stream, and whether there are more."""
    rows: list[tuple[Any, ...]] = []
    used = 0
    while len(rows) < limits.max_rows and used < BATCH_BYTES:
        row = cursor.fetchone()
        if row is None:
            return tuple(rows), False
        rows.append(_cut_row(row, limits)[0])
        used += _weight(rows[-1])
    return tuple(rows), True


def _run(connection: Any, sql: str, limits: Limits, started: float) -> tuple[_Rows, bool]:
    """Columns, rows, truncated, cut cells; and whether all rows of the server have been read."""
    from pymysql.cursors import SSCursor  # type: ignore[import-untyped,unused-ignore]

    cursor = SSCursor(connection)
    cursor.execute(sql)
    columns = _columns(cursor)
    rows: list[tuple[Any, ...]] = []
    used = cut_cells = 0
    while (row := cursor.fetchone()) is not None:
        used += _weight(row)
        if used > limits.max_bytes and not rows:
            raise_failure("bytes", "", limits)
        if len(rows) == limits.max_rows or used > limits.max_bytes:
            # closing the cursor would read every row that is left, so only a few are
            ended = any(cursor.fetchone() is None for _ in range(DRAINED_ROWS))
            if not ended:
                # PyMySQL's cursors close when they are deleted
                cursor.connection = None
            return (columns, tuple(rows), True, cut_cells), ended
        kept, cut_here = _cut_row(row, limits)
        cut_cells += cut_here
        rows.append(kept)
        if not len(rows) % 256 and time.perf_counter() - started > limits.timeout_s:
            raise_failure("time", "", limits)
    return (columns, tuple(rows), False, cut_cells), True


def _rollback(connection: Any) -> bool:
    """Leave the transaction and the locks by name; False when the connection is of no more use."""
    import pymysql  # type: ignore[import-untyped,unused-ignore]

    if not connection.open or (connection._result is not None and connection._result.unbuffered_active):
        return False
    try:
        connection.rollback()
        connection.query("DO RELEASE_ALL_LOCKS()")
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


def _raise(error: Any, code: int, watch: Watch, limits: Limits) -> NoReturn:
    if watch.swollen:
        raise_failure("bytes", "", limits)
    if watch.expired or code in _TIMEOUT_CODES - {1317}:
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
