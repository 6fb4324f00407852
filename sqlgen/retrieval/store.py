"""The index file: what is in it, how it is written whole or not at all, and how it is read.

One SQLite file:

- ``meta``: format version, fingerprints, embedder, counts, time of the build;
- ``doc``: an FTS5 table of names, comments and sampled values; the row id says which text of
  which table or column it is (``doc_id``), numbers being positions in the catalog;
- ``cell``: normal form of a value -> column, original spelling;
- ``vector``: int8 vectors of tables and columns, where an embedder was given.

The header's application id marks the file as ours, its user version is a CRC-32 of all other
bytes: a flipped bit anywhere is seen when the file is opened. A finished file never changes; a
new build is written beside it and moved over it, so readers keep the file that they opened.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sqlgen.catalog.naming import natural_name
from sqlgen.errors import DatabaseError, IndexUnusable
from sqlgen.retrieval.embedder import Embedder
from sqlgen.retrieval.values import MAX_VALUE_CHARS, normalise_value
from sqlgen.types import Catalog, Column, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "COLUMN_COMMENT",
    "COLUMN_NAME",
    "COLUMN_VALUES",
    "DEFAULT_BUDGET",
    "FORMAT_VERSION",
    "SCHEMA_NAME",
    "TABLE_COMMENT",
    "TABLE_NAME",
    "Budget",
    "Meta",
    "Progress",
    "Store",
    "Values",
    "content_digest",
    "fill",
    "is_ours",
    "open_file",
    "open_memory",
    "remove_leftovers",
    "write_file",
]

Progress = Callable[[int, int, str], None]
Values = Callable[[Table, Column, int], Iterable[str]]

FORMAT_VERSION: Final = 1
TABLE_NAME, TABLE_COMMENT, SCHEMA_NAME, COLUMN_NAME, COLUMN_COMMENT, COLUMN_VALUES = range(6)

_APPLICATION_ID = 0x53514C47
_KIND_SHIFT = 40
_NUMBER_MASK = (1 << _KIND_SHIFT) - 1
_HEADER = b"SQLite format 3\x00"
_USER_VERSION = slice(60, 64)
_APPLICATION = slice(68, 72)
_CHUNK_BYTES = 1 << 20
_COMMENT_CHARS = 1000
_SAMPLE_VALUES = 50
_SAMPLE_CHARS = 2000
_VECTOR_VALUES = 4
_EMBED_BATCH = 2048

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE doc USING fts5(text, content='', columnsize=0,
                                    tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE cell (normal TEXT NOT NULL, number INTEGER NOT NULL, value TEXT NOT NULL);
CREATE TABLE vector (kind INTEGER NOT NULL, number INTEGER NOT NULL, scale REAL NOT NULL, data BLOB NOT NULL,
                     PRIMARY KEY (kind, number)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a build may take from the database: distinct values per column, and in all.

    When the columns together would pass ``total_values``, each gets its share of what is left.
    """

    column_values: int = 20_000
    total_values: int = 2_000_000


DEFAULT_BUDGET: Final = Budget()


@dataclass(frozen=True, slots=True)
class Meta:
    """What an index file says about itself. ``content`` digests the catalog that it numbers."""

    format_version: int
    fingerprint: str
    content: str
    embedder: str
    values_read: bool
    tables: int
    columns: int
    values: int
    built_at: str


def content_digest(catalog: Catalog) -> str:
    """A digest of all that the index takes from the catalog, sampled values apart.

    >>> a = Catalog("sqlite", (Table("t", (Column("a", "TEXT", "text"),)),))
    >>> b = Catalog("sqlite", (Table("t", (Column("b", "TEXT", "text"),)),))
    >>> content_digest(a) == content_digest(a), content_digest(a) == content_digest(b)
    (True, False)
    """
    digest = hashlib.blake2b(digest_size=16)
    for table in catalog.tables:
        columns = [(c.name, c.kind, c.comment) for c in table.columns]
        text = repr((table.key, table.schema, table.name, table.comment, columns))
        digest.update(text.encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def doc_id(kind: int, number: int) -> int:
    """The row id of one text of one table or column."""
    return (kind << _KIND_SHIFT) | number


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")


def _column_values(
    table: Table, column: Column, values: Values | None, limit: int, warn: Callable[[str], None]
) -> list[str]:
    """Distinct values worth a lookup, at most ``limit``; a column that cannot be read gives what it gave."""
    kept: list[str] = []
    reading = values is not None and column.kind == "text"
    try:
        source = values(table, column, limit) if values is not None and reading else column.values
        for value in islice(source, limit):
            if isinstance(value, str) and 0 < len(value) <= MAX_VALUE_CHARS:
                kept.append(value)
    except DatabaseError as error:
        warn(f"values of {table.key}.{column.name} were not all read: {error}")
    return kept


def fill(
    connection: sqlite3.Connection,
    catalog: Catalog,
    *,
    values: Values | None,
    embedder: Embedder | None,
    budget: Budget,
    progress: Progress | None,
    warn: Callable[[str], None],
) -> None:
    """Write the whole index of ``catalog`` into an empty database, in one transaction."""
    total = len(catalog.tables) + 1
    text_columns_left = sum(c.kind == "text" for t in catalog.tables for c in t.columns)
    values_left = budget.total_values
    values_kept = 0
    column_number = 0
    table_texts: list[str] = []
    column_texts: list[str] = []
    connection.executescript(_SCHEMA)
    connection.execute("BEGIN")

    def add_doc(kind: int, number: int, text: str) -> None:
        if text:
            connection.execute("INSERT INTO doc(rowid, text) VALUES (?, ?)", (doc_id(kind, number), text))

    # FTS5 takes rows fastest in the order of their ids: kind by kind.
    column_docs: list[tuple[int, int, str]] = []
    for i, table in enumerate(catalog.tables):
        if progress:
            progress(i, total, table.key)
        name = _clean(natural_name(table.name))
        schema = _clean(natural_name(table.schema)) if table.schema else ""
        comment = _clean(table.comment[:_COMMENT_CHARS])
        column_docs += [(TABLE_NAME, i, name), (TABLE_COMMENT, i, comment), (SCHEMA_NAME, i, schema)]
        names = []
        for column in table.columns:
            column_name = _clean(natural_name(column.name))
            column_comment = _clean(column.comment[:_COMMENT_CHARS])
            limit = budget.column_values
            if column.kind == "text":
                limit = min(limit, max(_SAMPLE_VALUES, values_left // max(1, text_columns_left)))
                text_columns_left -= 1
            sample: list[str] = []
            cells = []
            sample_chars = 0
            for value in _column_values(table, column, values, limit, warn):
                clean = _clean(value)
                if len(sample) < _SAMPLE_VALUES and sample_chars < _SAMPLE_CHARS:
                    sample.append(clean)
                    sample_chars += len(clean)
                normal = normalise_value(clean)
                # A value that does not survive the cleaning could not be found by its text again.
                if normal and clean == value:
                    cells.append((normal, column_number, value))
            connection.executemany("INSERT INTO cell VALUES (?, ?, ?)", cells)
            values_kept += len(cells)
            values_left = max(0, values_left - len(cells))
            column_docs += [
                (COLUMN_NAME, column_number, column_name),
                (COLUMN_COMMENT, column_number, column_comment),
                (COLUMN_VALUES, column_number, " ".join(sample)),
            ]
            if embedder:
                shown = " ".join(sample[:_VECTOR_VALUES])
                column_texts.append(f"{name} {column_name} {column_comment} {shown}".strip())
                names.append(column_name)
            column_number += 1
        if embedder:
            table_texts.append(f"{name} {comment} {' '.join(names)}".strip())
    if progress:
        progress(total - 1, total, "writing the index")
    for doc in sorted(column_docs, key=lambda doc: doc[:2]):
        add_doc(*doc)
    if embedder:
        for kind, texts in ((TABLE_NAME, table_texts), (COLUMN_NAME, column_texts)):
            _add_vectors(connection, kind, texts, embedder)
    connection.execute("CREATE INDEX cell_normal ON cell (normal)")
    meta = {
        "format_version": FORMAT_VERSION,
        "fingerprint": _clean(catalog.fingerprint),
        "content": content_digest(catalog),
        "embedder": embedder.id if embedder else "",
        "values_read": int(values is not None),
        "tables": len(catalog.tables),
        "columns": column_number,
        "values": values_kept,
        "built_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    connection.executemany("INSERT INTO meta VALUES (?, ?)", [(k, str(v)) for k, v in meta.items()])
    connection.execute("COMMIT")
    if progress:
        progress(total, total, "done")


def _add_vectors(connection: sqlite3.Connection, kind: int, texts: Sequence[str], embedder: Embedder) -> None:
    import numpy as np

    for first in range(0, len(texts), _EMBED_BATCH):
        rows = np.asarray(embedder.embed(texts[first : first + _EMBED_BATCH]), dtype=np.float32)
        scales = np.abs(rows).max(axis=1) / 127.0
        codes = np.rint(rows / np.where(scales > 0, scales, 1.0)[:, None]).astype(np.int8)
        connection.executemany(
            "INSERT INTO vector VALUES (?, ?, ?, ?)",
            [
                (kind, first + i, float(s), c.tobytes())
                for i, (s, c) in enumerate(zip(scales, codes, strict=True))
            ],
        )


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


def write_file(path: Path, fill_database: Callable[[sqlite3.Connection], None]) -> None:
    """Let ``fill_database`` write a new file and move it to ``path``: all of it or nothing.

    Raises OSError or sqlite3.OperationalError when the folder cannot be written.
    """
    temporary = path.with_name(f"{_temporary_prefix(path)}{os.getpid()}-{os.urandom(4).hex()}")
    try:
        # Values of the database are in it: for its owner alone.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection = sqlite3.connect(temporary, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            fill_database(connection)
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


def open_file(path: Path) -> Store:
    """Open a finished index. Raises IndexUnusable when it is not one, or not whole, or of another version."""
    try:
        crc, stored, ours = _checksum(path)
        size = path.stat().st_size
    except OSError as error:
        raise IndexUnusable(f"the index {path} cannot be read: {error.strerror or error}") from error
    if not ours:
        raise IndexUnusable(f"{path} is no index of sqlgen")
    if crc != stored:
        raise IndexUnusable(f"the index {path} is damaged")
    # immutable: no locks and no journal, as nobody writes to a finished file.
    uri = f"file:{quote(str(path))}?mode=ro&immutable=1"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    return Store(connect, path=path, size_bytes=size)


def open_memory(fill_database: Callable[[sqlite3.Connection], None]) -> Store:
    """An index that lives in this process alone."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    fill_database(connection)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    size = pages * connection.execute("PRAGMA page_size").fetchone()[0]
    return Store(None, path=None, size_bytes=size, shared=connection)


class Store:
    """The searches that ranking is made of. Safe between threads.

    A file is read through a pool of connections, one per reading thread at a time; an index in
    memory through one connection and a lock.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection] | None,
        *,
        path: Path | None,
        size_bytes: int,
        shared: sqlite3.Connection | None = None,
    ) -> None:
        self.path = path
        self.size_bytes = size_bytes
        self._connect = connect
        self._shared = shared
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False
        try:
            self.meta = self._read_meta()
        except IndexUnusable:
            self.close()
            raise
        except (sqlite3.Error, KeyError, ValueError) as error:
            self.close()
            raise IndexUnusable(f"the index {path or 'in memory'} cannot be read: {error}") from error

    def _read_meta(self) -> Meta:
        with self._reading() as connection:
            found = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        if int(found["format_version"]) != FORMAT_VERSION:
            raise IndexUnusable(
                f"the index {self.path} has format {found['format_version']}, not {FORMAT_VERSION}"
            )
        return Meta(
            format_version=int(found["format_version"]),
            fingerprint=found["fingerprint"],
            content=found["content"],
            embedder=found["embedder"],
            values_read=found["values_read"] == "1",
            tables=int(found["tables"]),
            columns=int(found["columns"]),
            values=int(found["values"]),
            built_at=found["built_at"],
        )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self._shared is not None:
            with self._lock:
                self._refuse_closed()
                yield self._shared
            return
        assert self._connect is not None
        with self._lock:
            self._refuse_closed()
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            yield connection
        finally:
            with self._lock:
                if not self._closed:
                    self._idle.append(connection)
                    connection = None
            if connection is not None:
                connection.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise IndexUnusable("the index was closed; open it again")

    def close(self) -> None:
        """Close all connections; those in use close when their reading ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            if self._shared is not None:
                idle.append(self._shared)
                self._shared = None
                self._connect = self._connect or _never
        for connection in idle:
            connection.close()

    def search(self, words: Sequence[str], limit: int) -> list[list[tuple[int, int]]]:
        """For each word the (kind, number) of the texts that hold it, names of tables first.

        A word brings at most ``limit`` texts. Words are letters and digits; they are quoted, so
        none is read as an operator.
        """
        found = []
        with self._reading() as connection:
            for word in words:
                quoted = '"' + word.replace('"', '""') + '"'
                rows = connection.execute(
                    "SELECT rowid FROM doc WHERE doc MATCH ? ORDER BY rowid LIMIT ?", (quoted, limit)
                ).fetchall()
                found.append([(row >> _KIND_SHIFT, row & _NUMBER_MASK) for (row,) in rows])
        return found

    def search_columns(self, word: str, first: int, last: int) -> list[int]:
        """The numbers of the columns from ``first`` to ``last`` whose names hold ``word``."""
        quoted = '"' + word.replace('"', '""') + '"'
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT rowid FROM doc WHERE doc MATCH ? AND rowid BETWEEN ? AND ?",
                (quoted, doc_id(COLUMN_NAME, first), doc_id(COLUMN_NAME, last)),
            ).fetchall()
        return [row & _NUMBER_MASK for (row,) in rows]

    def cells(self, normals: Sequence[str], limit: int) -> list[tuple[str, int, str]]:
        """(normal form, column number, value) of every cell with one of these normal forms."""
        if not normals or not self.meta.values:
            return []
        rows: list[tuple[str, int, str]] = []
        with self._reading() as connection:
            for first in range(0, len(normals), 500):
                some = normals[first : first + 500]
                marks = ",".join("?" * len(some))
                rows += connection.execute(
                    f"SELECT normal, number, value FROM cell WHERE normal IN ({marks}) LIMIT ?",
                    (*some, limit - len(rows)),
                ).fetchall()
                if len(rows) >= limit:
                    break
        return rows

    def vectors(self, kind: int) -> NDArray[np.float32]:
        """All vectors of tables (TABLE_NAME) or columns (COLUMN_NAME), shape (n, d)."""
        import numpy as np

        with self._reading() as connection:
            rows = connection.execute(
                "SELECT scale, data FROM vector WHERE kind = ? ORDER BY number", (kind,)
            ).fetchall()
        if not rows:
            return np.zeros((0, 0), dtype=np.float32)
        scales = np.array([scale for scale, _ in rows], dtype=np.float32)
        codes = np.frombuffer(b"".join(data for _, data in rows), dtype=np.int8)
        return codes.reshape(len(rows), -1).astype(np.float32) * scales[:, None]


def _never() -> sqlite3.Connection:
    raise IndexUnusable("the index was closed; open it again")
