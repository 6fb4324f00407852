"""Whether a schema changed since the last look, at the price of a file's time stamp or one small query.

The fingerprint itself reads the whole system catalog. Before it, each engine is asked for something cheap that
cannot stay the same when the schema changes: the size and time stamps of a database file, transaction numbers in
PostgreSQL's catalog, the count of schema statements that a MySQL or MariaDB server has run. It may change
without the schema, which costs one fingerprint.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from sqlgen.catalog.connect import dialect_of
from sqlgen.catalog.introspect import connected, fingerprint_of
from sqlgen.catalog.readers import mysql, postgres
from sqlgen.catalog.readers.common import Run
from sqlgen.catalog.sampling import bounded, in_one_message
from sqlgen.types import Dialect

__all__ = ["SchemaWatch"]

REVISION_TIMEOUT_S = 10.0
# Clocks of file systems are coarse (FAT: 2 s): a file written just now may be written again unseen.
_SETTLED_S = 2.5

_REVISIONS: dict[Dialect, Callable[[Run], str]] = {"postgres": postgres.revision, "mysql": mysql.revision}


class SchemaWatch:
    """The fingerprint of a database's schema, looked up again only when it may have changed.

    Safe between threads; each look raises what ``schema_fingerprint`` raises.

    >>> import sqlalchemy
    >>> engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    >>> watch = SchemaWatch(engine)
    >>> before = watch.fingerprint()
    >>> with engine.begin() as connection:
    ...     _ = connection.exec_driver_sql("CREATE TABLE t (a)")
    >>> before == watch.fingerprint()
    False
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._dialect = dialect_of(engine)
        self._file = _file_of(engine, self._dialect)
        self._lock = threading.Lock()
        self._known: tuple[object, str] | None = None

    def fingerprint(self) -> str:
        """What ``schema_fingerprint`` would say now."""
        # Before the look: what changes during it is seen by the next one.
        revision = self._revision()
        known = self._known_for(revision)
        if known is None:
            with connected(self._engine) as connection:
                known = fingerprint_of(connection, self._dialect)
            self._remember(revision, known)
        return known

    def _revision(self) -> object:
        """What cannot stay the same when the schema changes; None where nothing cheap is known."""
        if self._file is not None:
            return _signature(self._file)
        revise = _REVISIONS.get(self._dialect)
        if revise is None:
            return None
        with connected(self._engine) as connection:
            if connection.dialect.driver == "psycopg":
                return revise(in_one_message(connection, REVISION_TIMEOUT_S))
            with bounded(connection, self._dialect, REVISION_TIMEOUT_S) as run:
                return revise(run)

    def _known_for(self, revision: object) -> str | None:
        with self._lock:
            known = self._known
        return known[1] if known is not None and revision is not None and known[0] == revision else None

    def _remember(self, revision: object, fingerprint: str) -> None:
        with self._lock:
            self._known = (revision, fingerprint)


def _file_of(engine: Engine, dialect: Dialect) -> Path | None:
    """The file behind the engine, where the name says it plainly."""
    name = engine.url.database or ""
    if dialect not in ("sqlite", "duckdb") or not name or name.startswith(("file:", ":", "md:")):
        return None
    return Path(name)


def _signature(path: Path) -> tuple[tuple[int, ...] | None, ...] | None:
    """Identity, size and times of a database file and its logs; None when one was written just now."""
    found: list[tuple[int, ...] | None] = []
    newest = 0
    for suffix in ("", "-wal", "-journal", ".wal"):
        try:
            stat = os.stat(f"{path}{suffix}")
        except OSError:
            found.append(None)
            continue
        found.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
        newest = max(newest, stat.st_mtime_ns, stat.st_ctime_ns)
    if found[0] is None or time.time_ns() - newest < _SETTLED_S * 1e9:
        return None
    return tuple(found)
