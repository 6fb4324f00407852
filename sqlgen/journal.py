"""One SQLite file that several processes write and that a crash leaves whole.

Write-ahead logging, a busy timeout, one transaction per change. A file that is damaged is set aside under
another name, never deleted, and the caller is told.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlgen.errors import StoreUnusable

__all__ = ["Journal"]

_BUSY_S = 15.0


def write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    """Turn write-ahead logging on; SQLite itself doesn't wait for another that does the same at this moment."""
    until = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.005)


class Journal:
    """The file at ``path``, made with ``schema`` on the first write. Safe to share between threads.

    ``mark`` is the file's application id, so that another program's database is never written.
    """

    def __init__(self, path: Path, *, schema: str, mark: int, what: str) -> None:
        self.path = path
        self._schema = schema
        self._mark = mark
        self._what = what
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0

    def close(self) -> None:
        """Free the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection to read with; None where there is no file yet."""
        with self._lock, self._guarded():
            yield self._open() if self.path.exists() else None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction that is kept when the block ends, else taken back."""
        with self._lock, self._guarded():
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "no such" in str(error) or "has no column" in str(error):
                raise self._set_aside(str(error)) from error
            raise StoreUnusable(f"{self._what} {self.path} cannot be used: {error}") from error
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise self._set_aside(str(error)) from error
        except OSError as error:
            raise StoreUnusable(f"{self._what} {self.path} cannot be used: {error.strerror}") from error

    def _open(self) -> sqlite3.Connection:
        # A connection does not survive a fork.
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._process = connection, os.getpid()
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # In this order: who makes the tables at this moment commits the mark with them.
        tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        mark = connection.execute("PRAGMA application_id").fetchone()[0]
        if mark != self._mark and tables:
            raise StoreUnusable(f"{self.path} is another program's database; move it away")
        connection.execute("PRAGMA synchronous = NORMAL")
        if mark == self._mark:
            return
        write_ahead(connection, _BUSY_S)
        connection.execute("BEGIN IMMEDIATE")
        # Whoever was first made the tables; the mark comes last, in the same transaction.
        if connection.execute("PRAGMA application_id").fetchone()[0] != self._mark:
            for statement in self._schema.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {self._mark}")
        connection.execute("COMMIT")

    def _set_aside(self, why: str) -> StoreUnusable:
        self.close()
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        with suppress(OSError):
            os.replace(self.path, aside)
            for tail in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.replace(f"{self.path}{tail}", f"{aside}{tail}")
        return StoreUnusable(
            f"{self._what} {self.path} is damaged ({why}); it is kept as {aside.name}, and a new one begins now"
        )
