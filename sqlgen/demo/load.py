"""Put a domain's tables into a file, or into an empty database of one of the four engines."""

from __future__ import annotations

import csv
import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.demo.domain import Domain, Progress, Row, Rows, read_file
from sqlgen.errors import ConnectionFailed, DatabaseError, UsageError
from sqlgen.types import Dialect

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["build", "is_current", "is_ours"]

_STALE_AFTER_S = 600.0


def _header(path: Path) -> bytes:
    """The first 100 bytes of a SQLite file, fewer when it is shorter or cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(100)
    except OSError:
        return b""


def is_current(domain: Domain, path: Path) -> bool:
    """True for a whole SQLite file of this domain and of this version of its rows."""
    # Bytes 60 to 64 hold user_version, which is written last; 68 to 72 hold application_id.
    return is_ours(domain, path) and int.from_bytes(_header(path)[60:64], "big") == domain.version


def is_ours(domain: Domain, path: Path) -> bool:
    """True for a SQLite file of this domain, of any version."""
    return int.from_bytes(_header(path)[68:72], "big") == domain.application_id


def build(
    domain: Domain,
    target: Path | str | sa.Engine,
    *,
    seed: int,
    scale: float,
    progress: Progress | None = None,
) -> None:
    """Write the tables of ``domain``: into a file (Path), or into an empty database (Engine or URL).

    A path ending in ``.duckdb`` becomes a DuckDB file, any other a SQLite file. A file appears whole or
    not at all, and only an earlier database of this domain is replaced. A database server must not have
    any of the tables yet; SQLite, DuckDB and PostgreSQL roll back when the load breaks off, MySQL has its
    tables dropped unless the process is killed.

    ``progress`` is called as (done, total, what) with rows for done and total. Raises UsageError when the
    target cannot be used, DatabaseError when the engine refuses.
    """
    if isinstance(target, Path):
        _build_file(domain, target, seed=seed, scale=scale, progress=progress)
        return
    import sqlalchemy as sa

    if isinstance(target, str):
        try:
            engine = sa.create_engine(target, poolclass=sa.pool.NullPool)
        except (sa.exc.ArgumentError, ImportError) as error:
            raise UsageError(f"cannot use this database URL: {error}") from error
        try:
            _build_engine(domain, engine, seed=seed, scale=scale, progress=progress)
        finally:
            engine.dispose()
    else:
        _build_engine(domain, target, seed=seed, scale=scale, progress=progress)


def _build_file(domain: Domain, path: Path, *, seed: int, scale: float, progress: Progress | None) -> None:
    is_duckdb = path.suffix == ".duckdb"
    if path.exists() and (is_duckdb or not path.is_file() or not is_ours(domain, path)):
        raise UsageError(
            f"{path} exists and is not a demo database; choose another file or move this one away"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    rows = domain.generate(seed=seed, scale=scale)
    _remove_stale(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise UsageError(f"cannot write in {path.parent}: {error.strerror}") from error
    os.close(handle)
    part = Path(name)
    try:
        if is_duckdb:
            _fill_duckdb_file(domain, part, rows, progress)
        else:
            _fill_sqlite_file(domain, part, rows, progress)
        # mkstemp made it private; a database file is as readable as the user's other files.
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise DatabaseError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for leftover in (part, part.with_name(part.name + ".wal")):
            leftover.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Delete what builds that were killed left behind."""
    for leftover in path.parent.glob(f".{path.name}.*.part*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_AFTER_S:
                leftover.unlink()


def _fill_sqlite_file(domain: Domain, part: Path, rows: Rows, progress: Progress | None) -> None:
    try:
        with closing(sqlite3.connect(part, isolation_level=None)) as connection:
            # No journal: a broken file is thrown away, not rolled back.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("BEGIN")
            _load(domain, connection.cursor(), "sqlite", rows, progress)
            connection.execute("COMMIT")
            connection.execute("ANALYZE")
            connection.execute(f"PRAGMA application_id = {domain.application_id}")
            connection.execute(f"PRAGMA user_version = {domain.version}")
    except sqlite3.Error as error:
        raise DatabaseError(f"cannot write the demo database: {error}") from error


def _fill_duckdb_file(domain: Domain, part: Path, rows: Rows, progress: Progress | None) -> None:
    try:
        import duckdb
    except ImportError as error:
        raise UsageError("DuckDB is not installed; pip install 'sqlgen[duckdb]'") from error
    part.unlink()
    try:
        with closing(duckdb.connect(str(part))) as connection:
            connection.execute("BEGIN")
            _load(domain, connection, "duckdb", rows, progress)
            connection.execute("COMMIT")
            connection.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise DatabaseError(f"cannot write the demo database: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


_ENGINES: dict[str, Dialect] = {
    "sqlite": "sqlite",
    "duckdb": "duckdb",
    "postgresql": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
}


def _build_engine(
    domain: Domain, engine: sa.Engine, *, seed: int, scale: float, progress: Progress | None
) -> None:
    import sqlalchemy as sa

    dialect = _ENGINES.get(engine.dialect.name)
    if dialect is None:
        raise UsageError(
            f"cannot load the demo data into {engine.dialect.name}; known: {', '.join(_ENGINES)}"
        )
    rows = domain.generate(seed=seed, scale=scale)
    driver_error = engine.dialect.loaded_dbapi.Error
    try:
        connection = engine.raw_connection()
    except (driver_error, sa.exc.SQLAlchemyError) as error:
        raise ConnectionFailed(f"cannot connect to load the demo data: {_first_line(error)}") from error
    created: list[str] = []
    try:
        cursor = connection.cursor()
        if dialect in ("sqlite", "duckdb"):
            cursor.execute("BEGIN")
        try:
            _load(domain, cursor, dialect, rows, progress, created)
            if dialect == "duckdb":
                cursor.execute("COMMIT")
            else:
                connection.commit()
        except BaseException:
            # The first error is the one to report, even if the connection is gone.
            with suppress(driver_error):
                if dialect == "duckdb":
                    cursor.execute("ROLLBACK")
                else:
                    connection.rollback()
                if dialect == "mysql":
                    for table in reversed(created):
                        cursor.execute(f"DROP TABLE {table}")
            raise
    except driver_error as error:
        raise DatabaseError(f"cannot load the demo data: {_first_line(error)}") from error
    finally:
        connection.close()


def _load(
    domain: Domain,
    cursor: Any,
    dialect: Dialect,
    rows: Rows,
    progress: Progress | None,
    created: list[str] | None = None,
) -> None:
    """Create and fill all tables within the caller's transaction; note in ``created`` what was made."""
    creates, later = _statements(domain, dialect)
    total = sum(map(len, rows.values()))
    done = 0
    for table, create in creates.items():
        if progress is not None:
            progress(done, total, table)
        cursor.execute(create)
        if created is not None:
            created.append(table)
        if dialect == "duckdb" and f"REFERENCES {table} (" in create:
            # COPY does not see the earlier rows that a table's references to itself need.
            _insert_sqlite(cursor, table, rows[table])
        else:
            _INSERTERS[dialect](cursor, table, rows[table])
        done += len(rows[table])
    for statement in later:
        cursor.execute(statement)
    if progress is not None:
        progress(total, total, "done")


def _insert_sqlite(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    marks = ", ".join("?" * len(rows[0]))
    cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def _insert_duckdb(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    with tempfile.TemporaryDirectory(prefix="sqlgen-") as folder:
        path = Path(folder, f"{table}.csv")
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([[r"\N" if v is None else v for v in row] for row in rows])
        options = "FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR '\\N'"
        cursor.execute(f"COPY {table} FROM {_quoted(str(path))} ({options})")


def _insert_postgres(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    if not hasattr(cursor, "copy"):
        _insert_format_style(cursor, table, rows)
        return
    with cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _insert_format_style(cursor: Any, table: str, rows: Sequence[Row]) -> None:
    """Statements of 500 rows with ``%s`` marks, the style of the MySQL and older PostgreSQL drivers."""
    mark = "(" + ", ".join(["%s"] * len(rows[0])) + ")"
    for start in range(0, len(rows), 500):
        batch = rows[start : start + 500]
        marks = ", ".join([mark] * len(batch))
        cursor.execute(f"INSERT INTO {table} VALUES {marks}", tuple(chain.from_iterable(batch)))


_INSERTERS: dict[Dialect, Callable[[Any, str, Sequence[Row]], None]] = {
    "sqlite": _insert_sqlite,
    "duckdb": _insert_duckdb,
    "postgres": _insert_postgres,
    "mysql": _insert_format_style,
}


_COLUMN = re.compile(r"^ {4}([a-z_]+) (.+?)(,?)$")


def _statements(domain: Domain, dialect: Dialect) -> tuple[dict[str, str], list[str]]:
    """CREATE TABLE by table name in the order of the file, and what is to run after loading."""
    descriptions = domain.descriptions()
    creates: dict[str, str] = {}
    later: list[str] = []
    text = "\n".join(
        line for line in read_file(domain.name, "schema.sql").splitlines() if not line.startswith("--")
    )
    for statement in (part.strip() for part in text.split(";")):
        if not statement:
            continue
        if not statement.startswith("CREATE TABLE"):
            # DuckDB's scans don't need them, and it cannot index rows of the same transaction.
            if dialect != "duckdb":
                later.append(statement)
            continue
        table = statement.split()[2]
        about, columns = descriptions[table]
        lines = statement.splitlines()
        if dialect == "sqlite":
            lines = [re.sub(r"NUMERIC\(\d+, \d+\)", "REAL", line) for line in lines]
        elif dialect == "mysql":
            # MySQL's TIMESTAMP has a time zone and fewer years.
            lines = [_with_comment(line.replace(" TIMESTAMP", " DATETIME"), columns) for line in lines]
            # Binary comparison, as the other three engines compare text.
            lines[-1] += f" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin COMMENT={_quoted(about)}"
        else:
            later.append(f"COMMENT ON TABLE {table} IS {_quoted(about)}")
            later += [f"COMMENT ON COLUMN {table}.{c} IS {_quoted(d)}" for c, d in columns.items()]
        creates[table] = "\n".join(lines)
    return creates, later


def _with_comment(line: str, columns: Mapping[str, str]) -> str:
    """A line of CREATE TABLE; where it defines a column, with MySQL's COMMENT clause."""
    found = _COLUMN.match(line)
    if found is None:
        return line
    name, definition, comma = found.groups()
    return f"    {name} {definition} COMMENT {_quoted(columns[name])}{comma}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
