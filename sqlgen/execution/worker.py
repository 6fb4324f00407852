"""The program of the worker process: runs one query at a time and can be killed at any moment.

SQLite and DuckDB have functions that no engine limit interrupts; only the end of their process
does. So both run here, away from the caller, and the kernel ends the process a third of a second after
a query's time is up, even if the caller is gone by then.

Run as a script with the standard library alone; the caller imports the same file for the frames.
A frame is eight bytes of length and a ``marshal`` value. What marshal doesn't know (dates,
decimals, maps) travels as a ``(tag, payload)`` tuple; no plain value is ever a tuple.
"""

from __future__ import annotations

import marshal
import os
import sys
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # spares the start-up the import of typing
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, BinaryIO

PLAIN = frozenset({type(None), bool, int, float, str, bytes})
GRACE_S = 0.35
DUCKDB_IDLE_S = 0.5
SQLITE_LENGTH = 20_000_000
SQLITE_SQL_LENGTH = 200_000
DENIED_SQLITE_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "fts5"})
MEBIBYTE = 2**20


# -- frames ------------------------------------------------------------------------------------


def write_frame(stream: BinaryIO, value: Any) -> None:
    """Write one value and flush."""
    body = marshal.dumps(value)
    stream.write(len(body).to_bytes(8, "little") + body)
    stream.flush()


def read_frame(stream: BinaryIO) -> Any:
    """Read one value; EOFError when the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    length = int.from_bytes(head, "little")
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    return marshal.loads(body)


def encode(value: Any) -> Any:
    """Make a value fit for a frame.

    >>> import datetime
    >>> encode(datetime.date(2024, 2, 29))
    ('date', '2024-02-29')
    """
    if type(value) in PLAIN:
        return value
    kind = type(value).__name__
    if kind in ("list", "tuple", "ndarray"):
        return [encode(item) for item in value]
    if kind == "dict":
        return ("map", [(encode(key), encode(item)) for key, item in value.items()])
    if kind in ("date", "datetime", "time"):
        return (kind, value.isoformat())
    if kind == "timedelta":
        return (kind, (value.days, value.seconds, value.microseconds))
    if kind == "Decimal":
        return (kind, str(value))
    if kind in ("bytearray", "memoryview"):
        return bytes(value)
    return str(value)


def decode(value: Any) -> Any:
    """The value that ``encode`` was given.

    >>> decode(encode({"a": [1.5, b"x"]}))
    {'a': [1.5, b'x']}
    """
    if type(value) is list:
        return [decode(item) for item in value]
    if type(value) is not tuple:
        return value
    import datetime
    import decimal

    kind, payload = value
    if kind == "map":
        return {_hashable(decode(key)): decode(item) for key, item in payload}
    if kind == "timedelta":
        return datetime.timedelta(*payload)
    if kind == "Decimal":
        return decimal.Decimal(payload)
    return getattr(datetime, kind).fromisoformat(payload)


def _hashable(key: Any) -> Any:
    if isinstance(key, list):
        return tuple(_hashable(item) for item in key)
    if isinstance(key, dict):
        return tuple((name, _hashable(item)) for name, item in key.items())
    return key


# -- shared by the engines -----------------------------------------------------------------------


class Failure(Exception):
    """A query that ended early: ``kind`` is time, memory, bytes, lock, damaged, unreachable or query."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Clock:
    """The time that a query has; a stream starts it anew for every batch and stops it in between."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.deadline = time.monotonic() + timeout_s

    def restart(self) -> None:
        self.deadline = time.monotonic() + self.timeout_s

    def stop(self) -> None:
        self.deadline = float("inf")


def fetch(
    cursor: Any, max_rows: int, max_bytes: int, max_cell_bytes: int, plain: bool
) -> tuple[list[bytes], bool, int]:
    """Marshalled chunks of at most ``max_rows`` rows and ``max_bytes`` bytes, whether more were there, and
    how many cells were cut to ``max_cell_bytes``.
    """
    chunks: list[bytes] = []
    count = used = cut = 0
    size = 4
    while True:
        rows = cursor.fetchmany(min(size, max_rows + 1 - count))
        if not rows:
            return chunks, False, cut
        truncated = count + len(rows) > max_rows
        if truncated:
            rows = rows[: max_rows - count]
        body, cut_here = pack(rows, max_cell_bytes, plain)
        cut += cut_here
        if used + len(body) > max_bytes:
            rows = marshal.loads(body)
            rows = _fitting(rows, max_bytes - used)
            if not rows and not count:
                raise Failure("bytes", "")
            truncated = True
            body = marshal.dumps(rows)
        count += len(rows)
        used += len(body)
        chunks.append(body)
        if truncated:
            return chunks, True, cut
        # about a mebibyte a chunk, so that wide rows don't pile up before they are weighed
        size = max(1, min(size * 8, 4096, MEBIBYTE * count // used))


def pack(rows: list[Any], max_cell_bytes: int, plain: bool) -> tuple[bytes, int]:
    """Rows ready for a frame, and how many cells had to be cut."""
    if not plain:
        rows = [tuple([v if type(v) in PLAIN else encode(v) for v in row]) for row in rows]
    body = marshal.dumps(rows)
    # a chunk that is smaller than one cell may be holds no cell that is too long
    if len(body) <= max_cell_bytes:
        return body, 0
    cut = sum([is_long(v, max_cell_bytes) for row in rows for v in row])
    if not cut:
        return body, 0
    rows = [tuple([cut_cell(v, max_cell_bytes) for v in row]) for row in rows]
    return marshal.dumps(rows), cut


def is_long(value: Any, max_cell_bytes: int) -> bool:
    return type(value) in (str, bytes) and len(value) > max_cell_bytes


def cut_cell(value: Any, max_cell_bytes: int) -> Any:
    """A text or bytes of at most this length; a text says where it was cut and how long it was.

    >>> cut_cell("abcdef", 3), cut_cell(b"abcdef", 3), cut_cell("abc", 3)
    ('abc… (6 characters)', b'abc', 'abc')
    """
    if not is_long(value, max_cell_bytes):
        return value
    return value[:max_cell_bytes] + (f"… ({len(value)} characters)" if type(value) is str else b"")


def stream(
    cursor: Any,
    clock: Clock,
    send: Callable[[tuple[Any, ...]], None],
    batch_rows: int,
    max_cell_bytes: int,
    plain: bool,
) -> None:
    """Send the rows in frames of at most ``batch_rows`` rows and about a mebibyte, at the reader's pace."""
    size = min(4, batch_rows)
    while True:
        clock.restart()
        _set_alarm(clock.timeout_s + GRACE_S)
        rows = cursor.fetchmany(size)
        _set_alarm(0)
        clock.stop()
        if not rows:
            return
        body, cut = pack(rows, max_cell_bytes, plain)
        send(("chunk", body, cut))
        size = max(1, min(size * 8, batch_rows, MEBIBYTE * len(rows) // len(body)))


def _fitting(rows: Sequence[Any], room: int) -> list[Any]:
    kept = []
    for row in rows:
        room -= len(marshal.dumps(row))
        if room < 0:
            break
        kept.append(row)
    return kept


def _virtual_size() -> int:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 512 * MEBIBYTE


def _limit_memory(size: int | None) -> None:
    """Bound the address space of this process; None lifts the bound as far as allowed."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if size is None or (hard != resource.RLIM_INFINITY and hard < size):
        size = hard
    # systems without address-space limits refuse; the time limit still holds there
    try:
        resource.setrlimit(resource.RLIMIT_AS, (size, hard))
    except (OSError, ValueError):
        return


def _limit_files(size: int) -> None:
    """Bound every file that this process writes; it only ever writes temporary ones."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    if hard == resource.RLIM_INFINITY or size < hard:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


# -- SQLite --------------------------------------------------------------------------------------


def sqlite_authorizer(
    action: int, first: str | None, second: str | None, schema: str | None, source: str | None
) -> int:
    """Allow reading, refuse the rest. SQLite asks this for every table, column and function it compiles."""
    if action in (20, 21, 33):  # READ, SELECT, RECURSIVE
        return 0
    if action == 31:  # FUNCTION: the name is the second argument
        return 1 if (second or "").lower() in DENIED_SQLITE_FUNCTIONS else 0
    # declaring a table-valued function (json_each) looks like an update of the schema; the file is read-only
    if action in (18, 23) and first in ("sqlite_master", "sqlite_schema"):
        return 0
    if action == 19 and first == "data_version" and second is None:  # full-text tables ask for it
        return 0
    return 1


def set_sqlite_limits(connection: Any) -> None:
    """Lower SQLite's own limits: cell and SQL length, depth of expressions, no attached files."""
    import sqlite3

    for name, value in (
        ("SQLITE_LIMIT_LENGTH", SQLITE_LENGTH),
        ("SQLITE_LIMIT_SQL_LENGTH", SQLITE_SQL_LENGTH),
        ("SQLITE_LIMIT_EXPR_DEPTH", 200),
        ("SQLITE_LIMIT_ATTACHED", 0),
        ("SQLITE_LIMIT_WORKER_THREADS", 0),
    ):
        connection.setlimit(getattr(sqlite3, name), value)


def sqlite_text(raw: bytes) -> str:
    """Text as UTF-8; bytes that aren't are shown escaped."""
    return str(raw, "utf-8", "backslashreplace")


@contextmanager
def sqlite_query(connection: Any, sql: str, timeout_s: float) -> Iterator[tuple[Any, list[Any], Clock]]:
    """The cursor of a running query, its columns as (name, type) pairs, and its clock. Raises Failure."""
    import sqlite3

    clock = Clock(timeout_s)
    # 4000 steps are about 0.1 ms: the limit is kept to the millisecond at no visible cost
    connection.set_progress_handler(lambda: time.monotonic() > clock.deadline, 4000)
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        if cursor.description is None:
            raise Failure("query", "the statement returns no rows")
        yield cursor, [(column[0], "") for column in cursor.description], clock
    except MemoryError:
        raise Failure("memory", "") from None
    except sqlite3.Error as error:
        raise Failure(_sqlite_kind(error), str(error)) from None
    finally:
        cursor.close()
        connection.set_progress_handler(None, 0)


def _sqlite_kind(error: Exception) -> str:
    extended = getattr(error, "sqlite_errorcode", 0)
    # the disk is full, or a temporary file has reached its bound
    if extended in (13, 778):
        return "memory"
    code = extended & 0xFF
    return {
        5: "lock",
        6: "lock",
        7: "memory",
        9: "time",
        10: "damaged",
        11: "damaged",
        14: "unreachable",
        26: "damaged",
    }.get(code, "query")


class SqliteSession:
    """One read-only connection to a SQLite file, named by a URI."""

    def __init__(self, target: str) -> None:
        import sqlite3

        try:
            self.connection = sqlite3.connect(
                target,
                uri=True,
                isolation_level=None,
                cached_statements=16,
                check_same_thread=False,
                timeout=1.0,
            )
            self.connection.execute("PRAGMA query_only=1")
            self.connection.execute("PRAGMA trusted_schema=0")
            self.connection.execute("PRAGMA cell_size_check=1")
        except sqlite3.Error as error:
            raise Failure(_sqlite_kind(error), str(error)) from None
        import functools

        self.connection.text_factory = functools.partial(str, encoding="utf-8", errors="backslashreplace")
        set_sqlite_limits(self.connection)
        self.busy_s = 1.0
        self.base = _virtual_size()
        self.memory_mib = 0
        self.connection.set_authorizer(sqlite_authorizer)

    plain = True

    def query(self, sql: str, timeout_s: float, memory_mib: int) -> Any:
        """See ``sqlite_query``."""
        busy_s = min(timeout_s, 5.0)
        if busy_s != self.busy_s:
            self.connection.set_authorizer(None)
            self.connection.execute(f"PRAGMA busy_timeout={int(busy_s * 1000)}")
            self.connection.set_authorizer(sqlite_authorizer)
            self.busy_s = busy_s
        if memory_mib != self.memory_mib:
            self._keep_pages(memory_mib * 1024 // 8)
            _limit_memory(self.base + memory_mib * MEBIBYTE)
            # what sorting puts on disk; a pipe has no size that this could bound
            _limit_files(4 * memory_mib * MEBIBYTE)
            self.memory_mib = memory_mib
        return sqlite_query(self.connection, sql, timeout_s)

    def _keep_pages(self, kib: int) -> None:
        """Keep pages of the file in so much memory; with SQLite's own 2 MiB a join reads them again and again."""
        import sqlite3

        self.connection.set_authorizer(None)
        try:
            self.connection.execute(f"PRAGMA cache_size=-{kib}")
        except sqlite3.Error as error:
            # it reads the file's head
            raise Failure(_sqlite_kind(error), str(error)) from None
        finally:
            self.connection.set_authorizer(sqlite_authorizer)

    def release(self) -> None:
        """A SQLite file may stay open: readers keep nobody from writing between queries."""

    idle_s: float | None = None


# -- DuckDB --------------------------------------------------------------------------------------


@contextmanager
def duckdb_query(connection: Any, sql: str, timeout_s: float) -> Iterator[tuple[Any, list[Any], Clock]]:
    """The cursor of a running query, its columns as (name, type) pairs, and its clock. Raises Failure."""
    import threading

    import duckdb

    clock = Clock(timeout_s)
    out_of_time = threading.Event()
    done = threading.Event()
    undo: list[str] = []

    def watch() -> None:
        # the deadline of a stream moves on with every batch
        while not done.wait(min(max(clock.deadline - time.monotonic(), 0.0), timeout_s)):
            if time.monotonic() >= clock.deadline:
                out_of_time.set()
                connection.interrupt()
                return

    alarm = threading.Thread(target=watch, daemon=True)
    alarm.start()
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1:
            raise Failure("query", f"one statement is allowed, got {len(statements)}")
        kind = statements[0].type.name
        # A PIVOT over values of the data is several statements to DuckDB: it makes a temporary type before it reads.
        pivots = kind == "MULTI" and _starts_a_query(sql)
        if kind not in ("SELECT", "EXPLAIN") and not pivots:
            raise Failure("query", f"only queries run, this is {kind}")
        if pivots:
            connection.execute("BEGIN")
            undo.append("ROLLBACK")
        cursor = connection.execute(statements[0])
        yield cursor, [(column[0], str(column[1])) for column in cursor.description], clock
    except MemoryError:
        raise Failure("memory", "") from None
    except duckdb.Error as error:
        raise Failure(_duckdb_kind(error, out_of_time.is_set()), str(error)) from None
    except RuntimeError as error:
        # the engine's own exceptions that have no class in its Python module
        raise Failure("time" if out_of_time.is_set() else "query", str(error)) from None
    finally:
        done.set()
        with suppress(duckdb.Error):
            for statement in undo:
                connection.execute(statement)


def _starts_a_query(sql: str) -> bool:
    words = sql.lstrip("( \t\r\n").split(None, 1)
    return bool(words) and words[0].upper() in ("SELECT", "WITH", "FROM", "PIVOT")


def _duckdb_kind(error: Exception, out_of_time: bool) -> str:
    name, text = type(error).__name__, str(error)
    if out_of_time or name == "InterruptException":
        return "time"
    if name == "OutOfMemoryException" or "bad_alloc" in text or "could not allocate" in text.lower():
        return "memory"
    if "Could not set lock" in text:
        return "lock"
    if "not a valid DuckDB database" in text or "orruption" in text or "checksum" in text:
        return "damaged"
    # a temporary file has reached its bound, or the disk is full
    if "File too large" in text or "No space left" in text:
        return "memory"
    if name == "IOException":
        return "unreachable"
    return "query"


class DuckdbSession:
    """A read-only connection to a DuckDB file, given back soon after the last query.

    DuckDB locks a file for as long as any process has it open, so an idle worker would keep
    every writer out.
    """

    idle_s: float | None = DUCKDB_IDLE_S

    def __init__(self, target: str, scratch: str) -> None:
        import duckdb  # noqa: F401  loaded before the first query, not within its time

        self.target = target
        self.scratch = scratch
        self.connection: Any = None
        self.memory_mib = 0

    plain = False

    def query(self, sql: str, timeout_s: float, memory_mib: int) -> Any:
        """See ``duckdb_query``."""
        if self.connection is None or memory_mib != self.memory_mib:
            self.release()
            self._open(memory_mib)
        return duckdb_query(self.connection, sql, timeout_s)

    def _open(self, memory_mib: int) -> None:
        import duckdb

        _limit_memory(None)
        config: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": f"{memory_mib}MiB",
            "threads": "2",
            "temp_directory": self.scratch,
            "max_temp_directory_size": f"{4 * memory_mib}MiB",
            "lock_configuration": "true",
        }
        try:
            self.connection = duckdb.connect(self.target, read_only=True, config=config)
        except duckdb.Error as error:
            raise Failure(_duckdb_kind(error, False), str(error)) from None
        self.memory_mib = memory_mib
        # the engine counts its buffers itself; this bounds what it doesn't count (long strings, the result)
        _limit_memory(_virtual_size() + (memory_mib + 256) * MEBIBYTE)
        _limit_files(4 * memory_mib * MEBIBYTE)

    def release(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


# -- the loop ------------------------------------------------------------------------------------


def _set_alarm(seconds: float) -> None:
    import signal

    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _input_within(stream: BinaryIO, seconds: float | None) -> bool:
    if seconds is None:
        return True
    if os.name == "nt":
        return False
    import select

    return bool(select.select([stream], [], [], seconds)[0])


def _prepare_process() -> None:
    """No core files, and the alarm ends the process even where the caller ignores it."""
    try:
        import resource
        import signal
    except ImportError:
        return
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def serve(
    session: SqliteSession | DuckdbSession, request: tuple[Any, ...], send: Callable[[tuple[Any, ...]], None]
) -> tuple[Any, ...]:
    """Run one query; the answer to send last. ``run`` answers with all rows, ``stream`` sends them first."""
    kind, sql, timeout_s, max_rows, max_bytes, max_cell_bytes, memory_mib = request
    _set_alarm(timeout_s + GRACE_S)
    try:
        with session.query(sql, timeout_s, memory_mib) as (cursor, names, clock):
            if kind == "run":
                found = fetch(cursor, max_rows, max_bytes, max_cell_bytes, session.plain)
                return ("rows", names, *found, session.plain)
            send(("columns", names, session.plain))
            stream(cursor, clock, send, max_rows, max_cell_bytes, session.plain)
            return ("end",)
    finally:
        _set_alarm(0)


def main() -> None:
    """Serve frames from standard input until it ends."""
    # what a library prints must not end up between the frames
    source = os.fdopen(os.dup(0), "rb", buffering=0)
    sink = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    _prepare_process()
    session: SqliteSession | DuckdbSession | None = None
    stream = _Whole(source)
    while True:
        if session is not None and not _input_within(source, session.idle_s):
            session.release()
        try:
            request = read_frame(stream)  # type: ignore[arg-type]
        except EOFError:
            break
        try:
            if request[0] == "open":
                _, engine, target, scratch, path = request
                if engine == "sqlite":
                    session = SqliteSession(target)
                else:
                    sys.path[:] = path
                    session = DuckdbSession(target, scratch)
                answer: tuple[Any, ...] = ("ready", os.getpid())
            else:
                assert session is not None
                answer = serve(session, request, lambda frame: write_frame(sink, frame))
        except Failure as failure:
            answer = ("failed", failure.kind, str(failure)[:2000])
        except MemoryError:
            answer = ("failed", "memory", "")
        write_frame(sink, answer)
    if session is not None:
        session.release()


class _Whole:
    """Reads of exactly n bytes from an unbuffered pipe, so that ``select`` sees what is waiting."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            part = self.raw.read(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


if __name__ == "__main__":
    main()
