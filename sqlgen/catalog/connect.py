"""The way to a database: a URL or a file name becomes a SQLAlchemy engine, or one clear line of error."""

from __future__ import annotations

import importlib.util
import os
import re
import sqlite3
import sys
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, unquote

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sqlgen.errors import ConnectionFailed
from sqlgen.types import Dialect

__all__ = ["connection_failed", "dialect_of", "driver_message", "masked_url", "open_engine"]

CONNECT_TIMEOUT_S = 4

_DIALECTS: dict[str, Dialect] = {
    "sqlite": "sqlite",
    "duckdb": "duckdb",
    "postgresql": "postgres",
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_KNOWN = "sqlite, duckdb, postgresql, mysql and mariadb"
_EXAMPLES = "sqlite:///file.db, duckdb:///file.duckdb, postgresql://user@host/name or mysql://user@host/name"
_PRODUCT = {"sqlite": "SQLite", "duckdb": "DuckDB", "postgres": "PostgreSQL", "mysql": "MySQL or MariaDB"}
_EXTRA = {"duckdb": "duckdb", "postgres": "postgres", "mysql": "mysql"}
_DRIVER_MODULES = {"duckdb": ("duckdb", "duckdb_engine"), "postgres": ("psycopg",), "mysql": ("pymysql",)}
_FILE_SUFFIXES = (".sqlite", ".sqlite3", ".db", ".db3", ".duckdb", ".ddb")
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)
_SQLITE_MAGIC = b"SQLite format 3\x00"


def dialect_of(engine: Engine) -> Dialect:
    """Which of our dialects an engine speaks; ``ConnectionFailed`` for any other.

    >>> import sqlalchemy
    >>> dialect_of(sqlalchemy.create_engine("sqlite://"))
    'sqlite'
    """
    name = engine.dialect.name
    if name not in _DIALECTS:
        raise ConnectionFailed(f"unknown database {name!r}; sqlgen knows {_KNOWN}")
    return _DIALECTS[name]


def masked_url(url: URL) -> str:
    """The URL as text with the password and every secret-looking option replaced by ``***``.

    >>> masked_url(make_url("postgresql://ann:geheim@db/sales?sslpassword=x&sslmode=require"))
    'postgresql://ann:***@db/sales?sslmode=require&sslpassword=***'
    """
    hidden = {key: "***" for key in url.query if _SECRET_KEY.search(key)}
    return url.update_query_dict(hidden).render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def driver_message(error: BaseException, url: URL | None = None) -> str:
    """The first line of what a driver said, at most 200 characters, without any secret of the URL."""
    cause = getattr(error, "orig", None) or error
    args: tuple[object, ...] = getattr(cause, "args", ())
    # PyMySQL: (code, message)
    text = str(args[-1]) if len(args) == 2 and isinstance(args[0], int) else str(cause)
    line = next((part.strip() for part in text.splitlines() if part.strip()), type(cause).__name__)
    if url is not None:
        secrets = [str(url.password)] if url.password else []
        secrets += [str(v) for k, v in url.query.items() if _SECRET_KEY.search(k)]
        for secret in secrets:
            line = line.replace(quote(secret, safe=""), "***").replace(secret, "***")
    return line[:200]


def connection_failed(url: URL, error: BaseException) -> ConnectionFailed:
    """The one line that says why the database behind ``url`` cannot be reached, and what to do."""
    dialect = _DIALECTS.get(url.get_backend_name())
    shown = masked_url(url)
    said = driver_message(error, url)
    if dialect in ("sqlite", "duckdb"):
        return _file_failed(dialect, str(url.database), said)
    product = _PRODUCT[dialect] if dialect else url.get_backend_name()
    cause = getattr(error, "orig", None) or error
    code = next((a for a in getattr(cause, "args", ())[:1] if isinstance(a, int)), 0)
    lower = said.lower()
    if code in (1045, 1698) or "authentication failed" in lower or "no password supplied" in lower:
        return ConnectionFailed(f"{product} refused the user or password of {shown}; correct them in the URL")
    if code == 1044:
        return ConnectionFailed(f"the user of {shown} may not use this database; ask for SELECT rights")
    if code == 1049 or re.search(r'database ".*" does not exist', said):
        return ConnectionFailed(f"the server of {shown} has no database {url.database!r}; correct the URL")
    place = f"{url.host or 'localhost'}:{url.port}" if url.port else (url.host or "localhost")
    return ConnectionFailed(
        f"cannot reach {product} at {place} ({said}); is the server running? URL: {shown}"
    )


def open_engine(url: str | Engine) -> Engine:
    """Open a database for reading and check that it answers.

    ``url`` is ``sqlite:///path``, ``duckdb:///path``, ``postgresql://…`` (psycopg 3), ``mysql://…`` or
    ``mariadb://…`` (PyMySQL), the path of a SQLite or DuckDB file, or a SQLAlchemy ``Engine``, which is taken
    as it is. Files open read-only and are never created; no connection to a file stays open between uses, so
    that other programs can write. Servers get 4 seconds to answer. Raises ``ConnectionFailed`` with one line
    that names what is wrong; no password ever enters it.

    >>> open_engine("missing.db")
    Traceback (most recent call last):
    sqlgen.errors.ConnectionFailed: no such file: missing.db; sqlgen reads databases and never creates one
    """
    if isinstance(url, Engine):
        dialect_of(url)
        return url
    text = os.fspath(url).strip()
    if "://" not in text:
        path = Path(text).expanduser()
        if not text or (not path.exists() and path.suffix.lower() not in _FILE_SUFFIXES):
            raise ConnectionFailed(f"{text!r} is neither a file nor a database URL; use {_EXAMPLES}")
        return _open_file(_sniffed(path), path)
    parsed = _parsed(text)
    dialect = _DIALECTS[parsed.get_backend_name()]
    if dialect == "sqlite" or dialect == "duckdb":
        return _open_file(dialect, _file_of(parsed, dialect))
    return _open_server(dialect, parsed)


def _parsed(text: str) -> URL:
    scheme = text.split("://", 1)[0].split("+", 1)[0].lower()
    if scheme not in _DIALECTS:
        raise ConnectionFailed(f"unknown database {scheme!r}; sqlgen knows {_KNOWN}")
    # an unescaped '@' or '/' in a password would otherwise end up in the host, and in messages
    authority = re.split(r"[/?]", text.split("://", 1)[1], maxsplit=1)[0]
    if authority.count("@") > 1:
        raise ConnectionFailed(f"the password in the {scheme} URL holds an unescaped '@'; write it as %40")
    try:
        parsed = make_url(text.split("://", 1)[0].lower() + "://" + text.split("://", 1)[1])
    except (ArgumentError, ValueError):
        raise ConnectionFailed(f"the {scheme} URL cannot be read; write {_EXAMPLES}") from None
    if parsed.drivername.split("+")[0] == "postgres":
        parsed = parsed.set(drivername="postgresql")
    return parsed


def _sniffed(path: Path) -> Dialect:
    """SQLite or DuckDB, from the first bytes; an unreadable or empty file goes by its name."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        head = b""
    if head[8:12] == b"DUCK":
        return "duckdb"
    if not head and path.suffix.lower() in (".duckdb", ".ddb"):
        return "duckdb"
    return "sqlite"


def _file_of(url: URL, dialect: Dialect) -> Path:
    database = url.database or ""
    if url.host:
        raise ConnectionFailed(
            f"write {dialect}:/// with three slashes before a relative path, four before /"
        )
    if database.startswith("file:"):
        database = unquote(database[5:].split("?", 1)[0])
        database = "/" + database.lstrip("/") if database.startswith("//") else database
    if not database or database == ":memory:":
        raise ConnectionFailed(
            f"an in-memory {_PRODUCT[dialect]} database is empty; name a file, or pass a SQLAlchemy Engine"
        )
    return Path(database).expanduser()


def _file_failed(dialect: Dialect, path: str, said: str) -> ConnectionFailed:
    product = _PRODUCT[dialect]
    lower = said.lower()
    if "different configuration" in lower:
        return ConnectionFailed(
            f"{path} is already open for writing in this process; close that connection, or pass its Engine"
        )
    if "locked" in lower or "could not set lock" in lower or "conflicting lock" in lower:
        return ConnectionFailed(
            f"{path} is locked by another program that writes to it; close it and try again"
        )
    if "not a database" in lower or "not a valid duckdb" in lower:
        return ConnectionFailed(f"{path} is not a {product} database file")
    if "malformed" in lower or "checksum" in lower or "corrupt" in lower:
        return ConnectionFailed(f"the {product} file {path} is damaged ({said}); restore it from a backup")
    return ConnectionFailed(f"cannot open the {product} file {path} ({said})")


def _open_file(dialect: Dialect, path: Path) -> Engine:
    product = _PRODUCT[dialect]
    try:
        if path.is_dir():
            raise ConnectionFailed(f"{path} is a folder, not a {product} database file")
        if not path.exists():
            raise ConnectionFailed(f"no such file: {path}; sqlgen reads databases and never creates one")
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise ConnectionFailed(f"cannot read {path}: {error.strerror or error}") from None
    if head.startswith(_SQLITE_MAGIC) and dialect == "duckdb":
        raise ConnectionFailed(f"{path} is a SQLite file; write sqlite:///{path}")
    if head[8:12] == b"DUCK" and dialect == "sqlite":
        raise ConnectionFailed(f"{path} is a DuckDB file; write duckdb:///{path}")
    if (head or dialect == "duckdb") and not (head.startswith(_SQLITE_MAGIC) or head[8:12] == b"DUCK"):
        raise ConnectionFailed(f"{path} is not a {product} database file")
    path = path.absolute()
    engine = _sqlite_engine(path) if dialect == "sqlite" else _duckdb_engine(path)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").fetchall()
    except SQLAlchemyError as error:
        failure = _file_failed(dialect, str(path), driver_message(error))
        engine.dispose()
        raise failure from None
    return engine


def _sqlite_engine(path: Path) -> Engine:
    plain = f"file:{quote(str(path))}?mode=ro"
    beside = Path(f"{path}-wal")

    def connect() -> sqlite3.Connection:
        uri = plain
        # a WAL database in a folder that we may not write opens only as immutable; safe while no log exists
        if not os.access(path.parent, os.W_OK) and not beside.exists():
            uri += "&immutable=1"
        connection = sqlite3.connect(uri, uri=True, timeout=CONNECT_TIMEOUT_S, check_same_thread=False)
        connection.text_factory = _lenient_text
        return connection

    return create_engine(URL.create("sqlite", database=str(path)), creator=connect, poolclass=NullPool)


def _lenient_text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _duckdb_engine(path: Path) -> Engine:
    _require_driver("duckdb")
    # NullPool: an idle handle would lock every writer out
    return create_engine(
        URL.create("duckdb", database=str(path)),
        connect_args={
            "read_only": True,
            "config": {"autoinstall_known_extensions": "false", "enable_external_access": "false"},
        },
        poolclass=NullPool,
    )


def _open_server(dialect: Dialect, url: URL) -> Engine:
    _require_driver(dialect)
    if not url.database:
        example = masked_url(url.set(database="NAME"))
        raise ConnectionFailed(f"the URL names no database; write {example}")
    driver = "postgresql+psycopg" if dialect == "postgres" else "mysql+pymysql"
    url = url.set(drivername=driver)
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S}
    if dialect == "mysql":
        arguments["charset"] = "utf8mb4"
    arguments = {key: value for key, value in arguments.items() if key not in url.query}
    try:
        _probe(dialect, url, arguments)
        engine = create_engine(url, connect_args=arguments, pool_pre_ping=True, pool_recycle=1800)
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1").fetchall()
    except (SQLAlchemyError, OSError, ValueError, TypeError) as error:
        raise connection_failed(url, error) from None
    return engine


def _probe(dialect: Dialect, url: URL, arguments: dict[str, Any]) -> None:
    """Connect once with a read timeout: PyMySQL's own connect timeout does not cover the handshake."""
    if dialect != "mysql":
        return
    timed = {**arguments, "read_timeout": CONNECT_TIMEOUT_S, "write_timeout": CONNECT_TIMEOUT_S}
    engine = create_engine(url, connect_args=timed, poolclass=NullPool)
    with engine.connect():
        pass


def _require_driver(dialect: Dialect) -> None:
    for module in _DRIVER_MODULES[dialect]:
        if module not in sys.modules and importlib.util.find_spec(module) is None:
            _no_driver(dialect, module)


def _no_driver(dialect: Dialect, module: str) -> NoReturn:
    raise ConnectionFailed(
        f"{_PRODUCT[dialect]} needs the Python package {module}; run: pip install 'sqlgen[{_EXTRA[dialect]}]'"
    )
