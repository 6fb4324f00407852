"""An index in a PostgreSQL database that servers share: full-text search for words, pgvector for vectors.

Everything lies in the schema ``sqlgen_index``. A build has tables of its own (``doc_7``, ``cell_7`` …), written in
one transaction whose last step points the database's row at them: readers see the old build or the new one.
An update adds rows to the tables of the build and replaces slots, in one transaction as well. One writer at a
time, by an advisory lock that ends with its transaction, so also with its process. A replaced build is
dropped by a later writer, an hour on, for readers that still hold it.
"""

from __future__ import annotations

import json
import logging
import re
import struct
import threading
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlgen.errors import ConnectionFailed, IndexUnusable
from sqlgen.retrieval.sqlite_store import open_memory
from sqlgen.retrieval.store import (
    COLUMN_NAME,
    FORMAT_VERSION,
    BrokenStore,
    IndexStore,
    Meta,
    Slot,
    Source,
    build,
    can_update,
    plan_update,
    serves,
    update,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Engine

__all__ = ["PostgresStore", "SharedBuilder", "drop_replaced", "open_shared", "shown_url"]

_log = logging.getLogger("sqlgen.retrieval")
_LOCKS = 0x53514C47
_KIND_SHIFT = 40
_NUMBER_MASK = (1 << _KIND_SHIFT) - 1
_POOL = 8
_WAIT = "900s"
_KEPT = "1 hour"
_NO_WORD = re.compile(r"[\W_]+")

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS sqlgen_index;
CREATE TABLE IF NOT EXISTS sqlgen_index.build (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, meta jsonb NOT NULL,
    replaced_at timestamptz);
CREATE UNIQUE INDEX IF NOT EXISTS build_in_force ON sqlgen_index.build (name) WHERE replaced_at IS NULL;
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_ts_config c JOIN pg_catalog.pg_namespace n ON n.oid = c.cfgnamespace
                   WHERE n.nspname = 'sqlgen_index' AND c.cfgname = 'words') THEN
        CREATE TEXT SEARCH DICTIONARY sqlgen_index.stem (TEMPLATE = snowball, LANGUAGE = porter);
        CREATE TEXT SEARCH CONFIGURATION sqlgen_index.words (PARSER = default);
        ALTER TEXT SEARCH CONFIGURATION sqlgen_index.words
            ADD MAPPING FOR asciiword, word, numword, int, uint, float, sfloat WITH sqlgen_index.stem;
    END IF;
END $$;
"""

# $ stands for the number of the build.
_TABLES = """
CREATE TABLE sqlgen_index.doc_$ (id bigint PRIMARY KEY, words tsvector NOT NULL);
CREATE TABLE sqlgen_index.cell_$ (normal text COLLATE "C" NOT NULL, number integer NOT NULL, value text NOT NULL);
CREATE TABLE sqlgen_index.near_$ (key bigint NOT NULL, word text COLLATE "C" NOT NULL);
CREATE TABLE sqlgen_index.slot_$ (key text COLLATE "C" PRIMARY KEY, digest bytea NOT NULL, number integer NOT NULL,
    first_column integer NOT NULL, columns integer NOT NULL, vals integer NOT NULL);
"""
_INDEXES = """
CREATE INDEX ON sqlgen_index.doc_$ USING gin (words);
CREATE INDEX ON sqlgen_index.cell_$ (normal);
CREATE INDEX ON sqlgen_index.near_$ (key);
ANALYZE sqlgen_index.doc_$; ANALYZE sqlgen_index.cell_$; ANALYZE sqlgen_index.near_$;
"""
_VECTORS = """
CREATE TABLE sqlgen_index.vector_$ (kind smallint NOT NULL, number integer NOT NULL, data vector NOT NULL,
    PRIMARY KEY (kind, number));
"""
_PARTS = ("doc", "cell", "near", "slot", "vector")


def shown_url(url: str) -> str:
    """The URL without its password."""
    from sqlalchemy import make_url

    from sqlgen.catalog.connect import masked_url

    return masked_url(make_url(url))


def _folded(text: str) -> str:
    """Words of letters and digits, without accents: what the other store's tokenizer makes of a text."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _NO_WORD.sub(" ", bare.lower()).strip()


class _Engines:
    """One pool of connections per URL and process, however many indexes are open; closed with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[Engine, int]] = {}

    def take(self, url: str) -> Engine:
        """The engine for ``url``; give it back with ``free``. Raises IndexUnusable."""
        with self._lock:
            engine, users = self._open.get(url) or (_new_engine(url), 0)
            self._open[url] = (engine, users + 1)
        return engine

    def free(self, url: str) -> None:
        """Close the engine when nobody else uses it."""
        with self._lock:
            engine, users = self._open.pop(url)
            if users > 1:
                self._open[url] = (engine, users - 1)
                return
        engine.dispose()


_engines = _Engines()


def _new_engine(url: str) -> Engine:
    from sqlalchemy import create_engine

    from sqlgen.catalog import open_engine

    if not url.startswith(("postgresql:", "postgresql+psycopg:", "postgres:")):
        raise IndexUnusable("an index store is a PostgreSQL database; write postgresql://user@host/name")
    try:
        probe = open_engine(url)
    except ConnectionFailed as error:
        raise IndexUnusable(f"the index store cannot be used: {error}") from error
    probe.dispose()
    return create_engine(probe.url, pool_size=_POOL, max_overflow=0, pool_timeout=60, pool_pre_ping=True)


@contextmanager
def _cursor(engine: Engine) -> Iterator[Any]:
    """A cursor of psycopg in a transaction that commits at the end; what fails is told in one line."""
    import psycopg
    from sqlalchemy.exc import SQLAlchemyError

    from sqlgen.catalog.connect import driver_message

    try:
        with engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            with raw.cursor() as cursor:
                yield cursor
            raw.commit()
    except psycopg.errors.UndefinedTable as error:
        raise BrokenStore(f"the index is gone: {driver_message(error, engine.url)}") from error
    except psycopg.errors.InsufficientPrivilege:
        raise
    except (psycopg.Error, SQLAlchemyError) as error:
        said = driver_message(error, engine.url)
        raise IndexUnusable(f"the index store {shown_url(str(engine.url))} failed: {said}") from error


def _rows(cursor: Any, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
    return list(cursor.execute(statement, parameters).fetchall())


def open_shared(url: str, name: str) -> PostgresStore | None:
    """The index of ``name`` as it is; None where there is none."""
    engine = _engines.take(url)
    try:
        if _in_force(engine, name) is not None:
            return PostgresStore(url, name)
    finally:
        _engines.free(url)
    return None


class SharedBuilder:
    """Gets a serving store for one database's catalog, named ``name`` in the store."""

    def __init__(self, source: Source, url: str, name: str) -> None:
        self.source = source
        self.url = url
        self.name = name

    def open(self, *, rebuild: bool = False) -> IndexStore:
        """Open what serves, else update, else build it; in memory for who may only read."""
        import psycopg

        engine = _engines.take(self.url)
        try:
            found = None if rebuild else _in_force(engine, self.name)
            if found is None or not serves(found[1], self.source):
                self._write(engine, rebuild)
            return PostgresStore(self.url, self.name)
        except psycopg.errors.InsufficientPrivilege as error:
            _log.warning("the index store may not be written (%s); the index is kept in memory", error)
            return open_memory(lambda writer: build(writer, self.source))
        finally:
            _engines.free(self.url)

    def _write(self, engine: Engine, rebuild: bool) -> None:
        _prepare(engine, with_vectors=self.source.embedder is not None)
        with _cursor(engine) as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_WAIT}'")
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCKS, _lock_of(self.name)))
            found = _find(cursor, self.name)
            # Whoever held the lock before may have built just this.
            if found is not None and not rebuild and serves(found[1], self.source):
                return
            if found is not None and not rebuild and can_update(found[1], self.source):
                number, meta = found
                plan = plan_update(_slots(cursor, number), meta, self.source)
                if plan is not None:
                    update(_PostgresWriter(cursor, number), self.source, plan, meta)
                    return
            cursor.execute(
                "UPDATE sqlgen_index.build SET replaced_at = now() WHERE name = %s AND replaced_at IS NULL",
                (self.name,),
            )
            number = _rows(
                cursor,
                "INSERT INTO sqlgen_index.build (name, meta) VALUES (%s, '{}') RETURNING id",
                (self.name,),
            )[0][0]
            cursor.execute(_TABLES.replace("$", str(number)))
            if self.source.embedder is not None:
                cursor.execute(_VECTORS.replace("$", str(number)))
            build(_PostgresWriter(cursor, number), self.source)
            cursor.execute(_INDEXES.replace("$", str(number)))
        drop_replaced(engine)


def _prepare(engine: Engine, *, with_vectors: bool) -> None:
    with _cursor(engine) as cursor:
        ready = _rows(
            cursor,
            "SELECT to_regclass('sqlgen_index.build') IS NOT NULL, "
            "EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'vector')",
        )[0]
        if ready[0] and (ready[1] or not with_vectors):
            return
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_LOCKS,))
        if with_vectors and not ready[1]:
            available = _rows(
                cursor, "SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'vector'"
            )
            if not available:
                raise IndexUnusable(
                    "the index store needs pgvector; install it on the server (package postgresql-…-pgvector)"
                )
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        cursor.execute(_SCHEMA)


def drop_replaced(engine: Engine, *, older_than: str = _KEPT) -> int:
    """Drop the tables of builds that were replaced so long ago (a PostgreSQL interval); returns how many."""
    with _cursor(engine) as cursor:
        old = _rows(
            cursor,
            "DELETE FROM sqlgen_index.build WHERE replaced_at < now() - %s::interval RETURNING id",
            (older_than,),
        )
        for (number,) in old:
            for part in _PARTS:
                cursor.execute(f"DROP TABLE IF EXISTS sqlgen_index.{part}_{int(number)}")
        return len(old)


def _lock_of(name: str) -> int:
    # 0 is the lock of the schema itself.
    return (zlib.crc32(name.encode()) & 0x7FFFFFFF) or 1


def _find(cursor: Any, name: str) -> tuple[int, Meta] | None:
    rows = _rows(
        cursor,
        "SELECT id, meta FROM sqlgen_index.build WHERE name = %s AND replaced_at IS NULL",
        (name,),
    )
    if not rows or rows[0][1].get("format_version") != str(FORMAT_VERSION):
        return None
    return rows[0][0], Meta.read(rows[0][1])


def _in_force(engine: Engine, name: str) -> tuple[int, Meta] | None:
    with _cursor(engine) as cursor:
        if not _rows(cursor, "SELECT to_regclass('sqlgen_index.build') IS NOT NULL")[0][0]:
            return None
        return _find(cursor, name)


def _slots(cursor: Any, number: int) -> list[Slot]:
    statement = f"SELECT key, digest, number, first_column, columns, vals FROM sqlgen_index.slot_{number}"
    return [Slot(*row) for row in _rows(cursor, statement)]


class _PostgresWriter:
    """Writes the rows of one build, inside the transaction of ``cursor``."""

    def __init__(self, cursor: Any, number: int) -> None:
        self._cursor = cursor
        self._number = number

    def _copy(self, into: str, rows: Iterable[Sequence[Any]]) -> None:
        with self._cursor.copy(f"COPY {into} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def add_docs(self, docs: Sequence[tuple[int, int, str]]) -> None:
        self._cursor.execute("CREATE TEMP TABLE raw_doc (id bigint, body text) ON COMMIT DROP")
        self._copy("raw_doc", (((k << _KIND_SHIFT) | n, _folded(text)) for k, n, text in docs))
        self._cursor.execute(
            f"INSERT INTO sqlgen_index.doc_{self._number} "
            "SELECT id, to_tsvector('sqlgen_index.words', body) FROM raw_doc ORDER BY id"
        )

    def add_cells(self, cells: Sequence[tuple[str, int, str]]) -> None:
        self._copy(f"sqlgen_index.cell_{self._number}", dict.fromkeys(cells))

    def add_words(self, keys: Sequence[tuple[int, str]]) -> None:
        self._copy(f"sqlgen_index.near_{self._number}", dict.fromkeys(keys))

    def add_vectors(self, kind: int, first: int, rows: NDArray[np.float32]) -> None:
        self._copy(
            f"sqlgen_index.vector_{self._number}",
            (
                (kind, number, "[" + ",".join(map(repr, row)) + "]")
                for number, row in enumerate(rows.tolist(), start=first)
            ),
        )

    def put_slots(self, slots: Sequence[Slot], gone: Sequence[str]) -> None:
        table = f"sqlgen_index.slot_{self._number}"
        away = [*gone, *(slot.key for slot in slots)]
        self._cursor.execute(f"DELETE FROM {table} WHERE key = ANY(%s)", (away,))
        self._copy(table, ((s.key, s.digest, s.number, s.first_column, s.columns, s.values) for s in slots))

    def put_meta(self, meta: Mapping[str, str]) -> None:
        self._cursor.execute(
            "UPDATE sqlgen_index.build SET meta = %s::jsonb WHERE id = %s", (json.dumps(meta), self._number)
        )


class PostgresStore:
    """Reads the build that was in force when it was opened. Safe between threads."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._engine = _engines.take(url)
        self._lock = threading.Lock()
        self._closed = False
        self.place: str | None = shown_url(url)
        try:
            self._load(name)
        except BaseException:
            self.close()
            raise

    def _load(self, name: str) -> None:
        with _cursor(self._engine) as cursor:
            # One snapshot: a build or update that ends meanwhile gives the whole old or the whole new.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            found = _find(cursor, name)
            if found is None:
                raise BrokenStore("the index is gone")
            self._number, self.meta = found
            self._all_slots = _slots(cursor, self._number)
            self.size_bytes = _rows(
                cursor,
                "SELECT coalesce(sum(pg_total_relation_size(to_regclass('sqlgen_index.' || part || '_' || %s))), 0)"
                "::bigint FROM unnest(%s::text[]) AS part",
                (self._number, list(_PARTS)),
            )[0][0]

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        if self._closed:
            raise IndexUnusable("the index was closed; open it again")
        with _cursor(self._engine) as cursor:
            yield cursor

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        _engines.free(self._url)

    def slots(self) -> list[Slot]:
        """The tables that were there when the store was opened."""
        return self._all_slots

    def search(self, words: Sequence[str], limit: int) -> list[list[tuple[int, int]]]:
        """For each word the (kind, number) of the texts that hold it."""
        found: list[list[tuple[int, int]]] = [[] for _ in words]
        # Found first, sorted then: else the planner may walk all documents in the order wanted.
        statement = (
            "SELECT w.n, array(WITH hit AS MATERIALIZED (SELECT id FROM sqlgen_index.doc_$ WHERE words @@ "
            "plainto_tsquery('sqlgen_index.words', w.word)) SELECT id FROM hit ORDER BY id LIMIT %s) "
            "FROM unnest(%s::text[]) WITH ORDINALITY AS w(word, n)"
        ).replace("$", str(self._number))
        with self._reading() as cursor:
            for n, ids in _rows(cursor, statement, (limit, [_folded(word) for word in words])):
                found[n - 1] = self._held(ids)
        return found

    def _held(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """The (kind, number) of documents, without those that an update added since the store was opened."""
        tables, columns = self.meta.next_table, self.meta.next_column
        pairs = ((row >> _KIND_SHIFT, row & _NUMBER_MASK) for row in ids)
        return [(kind, n) for kind, n in pairs if n < (tables if kind < COLUMN_NAME else columns)]

    def search_columns(self, word: str, first: int, last: int) -> list[int]:
        """The numbers of the columns from ``first`` to ``last`` whose names hold ``word``."""
        low, high = ((COLUMN_NAME << _KIND_SHIFT) | number for number in (first, last))
        with self._reading() as cursor:
            rows = _rows(
                cursor,
                f"SELECT id FROM sqlgen_index.doc_{self._number} WHERE id BETWEEN %s AND %s "
                "AND words @@ plainto_tsquery('sqlgen_index.words', %s) ORDER BY id",
                (low, high, _folded(word)),
            )
        return [row & _NUMBER_MASK for (row,) in rows]

    def cells(self, normals: Sequence[str], limit: int) -> list[tuple[str, int, str]]:
        """(normal form, column number, value) of cells with one of these normal forms."""
        with self._reading() as cursor:
            return _rows(
                cursor,
                f"SELECT normal, number, value FROM sqlgen_index.cell_{self._number} "
                "WHERE normal = ANY(%s) AND number < %s LIMIT %s",
                ([normal for normal in normals if "\x00" not in normal], self.meta.next_column, limit),
            )

    def near_words(self, keys: Sequence[int]) -> list[tuple[int, str]]:
        """(key, word) for the words of cells that are kept under one of these keys."""
        with self._reading() as cursor:
            return _rows(
                cursor,
                f"SELECT DISTINCT key, word FROM sqlgen_index.near_{self._number} WHERE key = ANY(%s)",
                (list(keys),),
            )

    def vectors(self, kind: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers and vectors of tables (TABLE_NAME) or columns (COLUMN_NAME)."""
        import numpy as np

        if not self.meta.embedder:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
        with self._reading() as cursor:
            rows = _rows(
                cursor,
                f"SELECT number, vector_send(data) FROM sqlgen_index.vector_{self._number} WHERE kind = %s "
                "AND number < %s ORDER BY number",
                (kind, self.meta.next_table if kind < COLUMN_NAME else self.meta.next_column),
            )
        if not rows:
            return np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)
        # As pgvector sends it: two 16-bit numbers, the first of them the width, then 32-bit floats.
        (width,) = struct.unpack(">H", rows[0][1][:2])
        raw = np.frombuffer(b"".join(bytes(data)[4:] for _, data in rows), dtype=">f4")
        numbers = np.array([number for number, _ in rows], dtype=np.int64)
        return numbers, raw.reshape(len(rows), width).astype(np.float32)
