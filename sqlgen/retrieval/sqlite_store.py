"""An index as one SQLite file: written whole or not at all, then only read.

The header's application id marks the file as ours, its user version is a CRC-32 of all other bytes: a
flipped bit anywhere is seen when the file is opened. A finished file never changes: a build writes a new one,
an update a changed copy, and either is moved over the old one, so readers keep the file that they opened.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlgen.errors import IndexUnusable
from sqlgen.retrieval.store import COLUMN_NAME, FORMAT_VERSION, Meta, Slot, Writer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "SqliteStore",
    "is_ours",
    "open_file",
    "open_memory",
    "remove_leftovers",
    "write_file",
]

_APPLICATION_ID = 0x53514C47
_KIND_SHIFT = 40
_NUMBER_MASK = (1 << _KIND_SHIFT) - 1
_HEADER = b"SQLite format 3\x00"
_USER_VERSION = slice(60, 64)
_APPLICATION = slice(68, 72)
_CHUNK_BYTES = 1 << 20
_MARKS = 500
_CONNECTIONS = 8

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE doc USING fts5(text, content='', columnsize=0,
                                    tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE cell (normal TEXT NOT NULL, number INTEGER NOT NULL, value TEXT NOT NULL,
                   PRIMARY KEY (normal, number, value)) WITHOUT ROWID;
CREATE TABLE near (key INTEGER NOT NULL, word TEXT NOT NULL, PRIMARY KEY (key, word)) WITHOUT ROWID;
CREATE TABLE vector (kind INTEGER NOT NULL, first INTEGER NOT NULL, scales BLOB NOT NULL, codes BLOB NOT NULL);
CREATE TABLE slot (key TEXT PRIMARY KEY, digest BLOB NOT NULL, number INTEGER NOT NULL,
                   first_column INTEGER NOT NULL, columns INTEGER NOT NULL, vals INTEGER NOT NULL) WITHOUT ROWID;
"""

Fill = Callable[[Writer], None]


def _doc_id(kind: int, number: int) -> int:
    return (kind << _KIND_SHIFT) | number


class _SqliteWriter:
    """Writes into a file that nobody else sees yet."""

    def __init__(self, connection: sqlite3.Connection, *, is_new: bool) -> None:
        self._connection = connection
        self._is_new = is_new
        if is_new:
            connection.executescript(_SCHEMA)
            connection.execute("CREATE TEMP TABLE raw (normal TEXT, number INTEGER, value TEXT)")
        connection.execute("BEGIN")

    def add_docs(self, docs: Sequence[tuple[int, int, str]]) -> None:
        self._connection.executemany(
            "INSERT INTO doc(rowid, text) VALUES (?, ?)", ((_doc_id(k, n), text) for k, n, text in docs)
        )

    def add_cells(self, cells: Sequence[tuple[str, int, str]]) -> None:
        # A new file gets them sorted, at the end: a tree that grows in order is written once.
        into = "temp.raw" if self._is_new else "cell"
        self._connection.executemany(f"INSERT OR IGNORE INTO {into} VALUES (?, ?, ?)", cells)

    def add_words(self, keys: Sequence[tuple[int, str]]) -> None:
        self._connection.executemany("INSERT OR IGNORE INTO near VALUES (?, ?)", keys)

    def add_vectors(self, kind: int, first: int, rows: NDArray[np.float32]) -> None:
        import numpy as np

        scales = (np.abs(rows).max(axis=1) / 127.0).astype("<f4")
        codes = np.rint(rows / np.where(scales > 0, scales, 1.0)[:, None]).astype(np.int8)
        self._connection.execute(
            "INSERT INTO vector VALUES (?, ?, ?, ?)", (kind, first, scales.tobytes(), codes.tobytes())
        )

    def put_slots(self, slots: Sequence[Slot], gone: Sequence[str]) -> None:
        self._connection.executemany("DELETE FROM slot WHERE key = ?", ((key,) for key in gone))
        self._connection.executemany(
            "INSERT OR REPLACE INTO slot VALUES (?, ?, ?, ?, ?, ?)",
            ((s.key, s.digest, s.number, s.first_column, s.columns, s.values) for s in slots),
        )

    def put_meta(self, meta: Mapping[str, str]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())

    def finish(self) -> None:
        if self._is_new:
            self._connection.execute(
                "INSERT OR IGNORE INTO cell SELECT normal, number, value FROM temp.raw ORDER BY 1, 2, 3"
            )
        self._connection.execute("COMMIT")


def _checksum(path: Path) -> tuple[int, int, bool]:
    """(CRC-32 of the file but for its user version, the user version, whether the id is ours)."""
    with path.open("rb") as file:
        head = bytearray(file.read(100))
        if len(head) < 100 or head[:16] != _HEADER:
            return 0, -1, False
        stored = struct.unpack(">I", head[_USER_VERSION])[0]
        ours = struct.unpack(">I", head[_APPLICATION])[0] == _APPLICATION_ID
        if not ours:
            return 0, stored, False
        head[_USER_VERSION] = bytes(4)
        crc = zlib.crc32(head)
        while chunk := file.read(_CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc, stored, True


def is_ours(path: Path) -> bool:
    """True when the file carries our mark, whole or damaged; False for anything else."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError:
        return False
    return head[:16] == _HEADER and head[_APPLICATION] == struct.pack(">I", _APPLICATION_ID)


def _temporary_prefix(path: Path) -> str:
    return f".{path.name}.building-"


def remove_leftovers(path: Path) -> None:
    """Delete what killed builds of ``path`` left beside it. Call it only while holding the lock."""
    prefix = _temporary_prefix(path)
    for entry in path.parent.iterdir():
        if entry.name.startswith(prefix):
            entry.unlink(missing_ok=True)


def write_file(path: Path, fill: Fill, *, changes: bool = False) -> None:
    """Let ``fill`` write a new file and move it to ``path``: all of it or nothing.

    With ``changes`` it begins with a copy of what is at ``path``. Raises OSError or
    sqlite3.OperationalError when the folder cannot be written.
    """
    temporary = path.with_name(f"{_temporary_prefix(path)}{os.getpid()}-{os.urandom(4).hex()}")
    try:
        # Values of the database are in it: for its owner alone.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if changes:
            shutil.copyfile(path, temporary)
        connection = sqlite3.connect(temporary, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            writer = _SqliteWriter(connection, is_new=not changes)
            fill(writer)
            writer.finish()
        finally:
            connection.close()
        crc, _, _ = _checksum(temporary)
        with temporary.open("r+b") as file:
            file.seek(_USER_VERSION.start)
            file.write(struct.pack(">I", crc))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    try:
        fd = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # Windows opens no folders, and needs no such thing.
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)


def open_file(path: Path) -> SqliteStore:
    """Open a finished index. Raises IndexUnusable when it is not one, or not whole, or of another version."""
    # immutable: no locks and no journal, as nobody writes to a finished file.
    uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
    while True:
        try:
            before = _identity(path)
            crc, stored, ours = _checksum(path)
        except OSError as error:
            raise IndexUnusable(f"the index {path} cannot be read: {error.strerror or error}") from error
        if not ours:
            raise IndexUnusable(f"{path} is no index of sqlgen")
        if crc != stored and _identity(path) == before:
            raise IndexUnusable(f"the index {path} is damaged")
        # All at once: one opened later by its name could be that of a newer file.
        connections = [
            sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            for _ in range(_CONNECTIONS)
        ]
        if _identity(path) == before:
            return SqliteStore(connections, place=str(path), size_bytes=before[1])
        for connection in connections:
            connection.close()


def _identity(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def open_memory(fill: Fill) -> SqliteStore:
    """An index that lives in this process alone."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    writer = _SqliteWriter(connection, is_new=True)
    fill(writer)
    writer.finish()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    size = pages * connection.execute("PRAGMA page_size").fetchone()[0]
    return SqliteStore([connection], place=None, size_bytes=size)


class SqliteStore:
    """Reads an index. Safe between threads: each takes a connection of the pool for the time of one search."""

    def __init__(
        self, connections: Sequence[sqlite3.Connection], *, place: str | None, size_bytes: int
    ) -> None:
        self.place = place
        self.size_bytes = size_bytes
        self._idle = list(connections)
        self._freed = threading.Condition()
        self._closed = False
        try:
            with self._reading() as connection:
                raw = dict(connection.execute("SELECT key, value FROM meta").fetchall())
            version = raw.get("format_version", "none")
            if version != str(FORMAT_VERSION):
                raise IndexUnusable(f"the index {place} has format {version}, not {FORMAT_VERSION}")
            self.meta = Meta.read(raw)
        except IndexUnusable:
            self.close()
            raise
        except (sqlite3.Error, KeyError, ValueError) as error:
            self.close()
            raise IndexUnusable(f"the index {place or 'in memory'} cannot be read: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._freed:
            self._freed.wait_for(lambda: self._idle or self._closed)
            if self._closed:
                raise IndexUnusable("the index was closed; open it again")
            connection = self._idle.pop()
        try:
            yield connection
        finally:
            with self._freed:
                is_kept = not self._closed
                if is_kept:
                    self._idle.append(connection)
                    self._freed.notify()
            if not is_kept:
                connection.close()

    def close(self) -> None:
        """Close all connections; those in use close when their reading ends."""
        with self._freed:
            self._closed = True
            idle, self._idle = self._idle, []
            self._freed.notify_all()
        for connection in idle:
            connection.close()

    def slots(self) -> list[Slot]:
        """The tables that are there."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT key, digest, number, first_column, columns, vals FROM slot"
            ).fetchall()
        return [Slot(*row) for row in rows]

    def search(self, words: Sequence[str], limit: int) -> list[list[tuple[int, int]]]:
        """For each word the (kind, number) of the texts that hold it."""
        found = []
        with self._reading() as connection:
            for word in words:
                rows = connection.execute(
                    "SELECT rowid FROM doc WHERE doc MATCH ? ORDER BY rowid LIMIT ?", (_quoted(word), limit)
                ).fetchall()
                found.append([(row >> _KIND_SHIFT, row & _NUMBER_MASK) for (row,) in rows])
        return found

    def search_columns(self, word: str, first: int, last: int) -> list[int]:
        """The numbers of the columns from ``first`` to ``last`` whose names hold ``word``."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT rowid FROM doc WHERE doc MATCH ? AND rowid BETWEEN ? AND ?",
                (_quoted(word), _doc_id(COLUMN_NAME, first), _doc_id(COLUMN_NAME, last)),
            ).fetchall()
        return [row & _NUMBER_MASK for (row,) in rows]

    def cells(self, normals: Sequence[str], limit: int) -> list[tuple[str, int, str]]:
        """(normal form, column number, value) of cells with one of these normal forms."""
        rows: list[tuple[str, int, str]] = []
        with self._reading() as connection:
            for first in range(0, len(normals), _MARKS):
                some = normals[first : first + _MARKS]
                marks = ",".join("?" * len(some))
                rows += connection.execute(
                    f"SELECT normal, number, value FROM cell WHERE normal IN ({marks}) LIMIT ?",
                    (*some, limit - len(rows)),
                ).fetchall()
                if len(rows) >= limit:
                    break
        return rows

    def near_words(self, keys: Sequence[int]) -> list[tuple[int, str]]:
        """(key, word) for the words of cells that are kept under one of these keys."""
        rows: list[tuple[int, str]] = []
        with self._reading() as connection:
            for first in range(0, len(keys), _MARKS):
                some = keys[first : first + _MARKS]
                marks = ",".join("?" * len(some))
                rows += connection.execute(
                    f"SELECT key, word FROM near WHERE key IN ({marks})", some
                ).fetchall()
        return rows

    def vectors(self, kind: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers and vectors of tables (TABLE_NAME) or columns (COLUMN_NAME)."""
        import numpy as np

        with self._reading() as connection:
            blocks = connection.execute(
                "SELECT first, scales, codes FROM vector WHERE kind = ? ORDER BY first", (kind,)
            ).fetchall()
        if not blocks:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
        numbers, rows = [], []
        for first, raw_scales, raw_codes in blocks:
            scales = np.frombuffer(raw_scales, dtype="<f4")
            codes = np.frombuffer(raw_codes, dtype=np.int8).reshape(len(scales), -1)
            numbers.append(np.arange(first, first + len(scales), dtype=np.int64))
            rows.append(codes * scales[:, None])
        return np.concatenate(numbers), np.concatenate(rows)


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
