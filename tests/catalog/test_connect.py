"""Opening a database: what works, and the one clear line for what doesn't."""

from __future__ import annotations

import importlib.util
import socket
import sqlite3
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from sqlgen.catalog import connect, dialect_of, load_catalog, open_engine
from sqlgen.catalog.connect import driver_message, masked_url
from sqlgen.errors import ConnectionFailed


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    return path


@pytest.fixture
def duckdb_file(tmp_path: Path) -> Path:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "shop.duckdb"
    connection = duckdb.connect(str(path))
    connection.execute("CREATE TABLE t (a INTEGER)")
    connection.close()
    return path


def failure(url: str) -> str:
    with pytest.raises(ConnectionFailed) as caught:
        open_engine(url)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 5
    return message


def test_urls_and_paths_of_files(sqlite_file: Path, duckdb_file: Path, tmp_path: Path) -> None:
    assert dialect_of(open_engine(f"sqlite:///{sqlite_file}")) == "sqlite"
    assert dialect_of(open_engine(f"sqlite+pysqlite:///{sqlite_file}")) == "sqlite"
    assert dialect_of(open_engine(f"sqlite:///file:{sqlite_file}?mode=ro&uri=true")) == "sqlite"
    assert dialect_of(open_engine(str(sqlite_file))) == "sqlite"
    assert dialect_of(open_engine(f"duckdb:///{duckdb_file}")) == "duckdb"
    assert dialect_of(open_engine(str(duckdb_file))) == "duckdb"
    either = tmp_path / "either.db"
    either.write_bytes(duckdb_file.read_bytes())
    assert dialect_of(open_engine(str(either))) == "duckdb"


def test_relative_path_and_odd_folder(
    sqlite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "o?d #1 %41"
    folder.mkdir()
    (folder / "s.db").write_bytes(sqlite_file.read_bytes())
    monkeypatch.chdir(folder)
    engine = open_engine("s.db")
    monkeypatch.chdir(tmp_path)
    assert [t.name for t in load_catalog(engine).tables] == ["t"]


def test_an_engine_is_taken_as_it_is() -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (word TEXT)")
        connection.exec_driver_sql("INSERT INTO t VALUES ('here')")
    assert open_engine(engine) is engine
    assert load_catalog(engine).tables[0].columns[0].values == ("here",)
    engine.dispose()


def test_files_open_read_only_and_are_never_created(sqlite_file: Path, tmp_path: Path) -> None:
    engine = open_engine(str(sqlite_file))
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="readonly"):
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
    missing = tmp_path / "missing.db"
    for url in (f"sqlite:///{missing}", f"duckdb:///{missing}", str(missing)):
        assert failure(url).startswith(f"no such file: {missing}")
    assert not missing.exists()


def test_a_writer_is_not_locked_out(duckdb_file: Path) -> None:
    import duckdb

    engine = open_engine(str(duckdb_file))
    load_catalog(engine)
    writer = duckdb.connect(str(duckdb_file))
    writer.execute("CREATE TABLE second (b INTEGER)")
    writer.close()
    assert {t.name for t in load_catalog(engine).tables} == {"t", "second"}


def test_duckdb_open_for_writing_in_this_process(duckdb_file: Path) -> None:
    import duckdb

    writer = duckdb.connect(str(duckdb_file))
    assert "already open for writing in this process" in failure(str(duckdb_file))
    writer.close()


def test_sqlite_locked_by_a_writer(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_TIMEOUT_S", 0.1)
    writer = sqlite3.connect(sqlite_file, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert failure(str(sqlite_file)) == (
        f"{sqlite_file} is locked by another program that writes to it; close it and try again"
    )
    writer.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("oracle://scott:tiger@db/x", "unknown database 'oracle'; sqlgen knows sqlite, duckdb, postgresql"),
        ("", "neither a file nor a database URL"),
        ("sales", "'sales' is neither a file nor a database URL"),
        ("sqlite://", "an in-memory SQLite database is empty"),
        ("sqlite:///:memory:", "an in-memory SQLite database is empty"),
        ("duckdb:///:memory:", "an in-memory DuckDB database is empty"),
        ("sqlite://shop.db", "three slashes"),
        ("postgresql://ann@db:port/x", "the postgresql URL cannot be read"),
        ("postgresql://ann@localhost", "names no database; write postgresql://ann@localhost/NAME"),
        ("mysql://ann:p@ss@localhost/x", "unescaped '@'; write it as %40"),
    ],
)
def test_bad_urls(url: str, says: str) -> None:
    assert says in failure(url)


def test_files_that_are_no_database(tmp_path: Path, sqlite_file: Path, duckdb_file: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database at all, only text" * 40)
    assert failure(str(garbage)) == f"{garbage} is not a SQLite database file"
    assert failure(f"duckdb:///{garbage}") == f"{garbage} is not a DuckDB database file"
    empty = tmp_path / "empty.duckdb"
    empty.touch()
    assert failure(str(empty)) == f"{empty} is not a DuckDB database file"
    assert f"write duckdb:///{duckdb_file}" in failure(f"sqlite:///{duckdb_file}")
    assert f"write sqlite:///{sqlite_file}" in failure(f"duckdb:///{sqlite_file}")
    assert "is a folder" in failure(f"sqlite:///{tmp_path}")


def test_damaged_files(tmp_path: Path, sqlite_file: Path, duckdb_file: Path) -> None:
    cut = tmp_path / "cut.db"
    cut.write_bytes(sqlite_file.read_bytes()[:60])
    assert str(cut) in failure(str(cut))
    short = tmp_path / "short.duckdb"
    short.write_bytes(duckdb_file.read_bytes()[:5000])
    assert str(short) in failure(str(short))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_server_down(scheme: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = time.monotonic()
    message = failure(f"{scheme}://ann:geheim42@127.0.0.1:{port}/sales")
    assert time.monotonic() - started < 5
    assert f"at 127.0.0.1:{port}" in message
    assert "is the server running?" in message
    assert "geheim42" not in message
    assert "ann:***@" in message


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_server_that_never_answers(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_TIMEOUT_S", 2)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        accepted: list[socket.socket] = []
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()[0]), daemon=True)
        thread.start()
        started = time.monotonic()
        message = failure(f"{scheme}://ann:geheim42@127.0.0.1:{listener.getsockname()[1]}/sales")
        took = time.monotonic() - started
        thread.join(1)
        for held in accepted:
            held.close()
    assert took < 10
    assert "cannot reach" in message
    assert "geheim42" not in message


def test_postgres_password_and_database(postgres_url: str) -> None:
    url = sa.make_url(postgres_url)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    for given in (postgres_url, plain, plain.replace("postgresql", "postgres", 1)):
        engine = open_engine(given)
        assert (dialect_of(engine), engine.dialect.driver) == ("postgres", "psycopg")
        engine.dispose()
    absent = url.set(database="no_such_db").render_as_string(hide_password=False)
    assert "has no database 'no_such_db'" in failure(absent)
    stranger = url.set(username="no_such_role", password="geheim42").render_as_string(hide_password=False)
    message = failure(stranger)
    assert "geheim42" not in message
    assert "no_such_role" in message


def test_mariadb_password_and_database(mariadb_url: str) -> None:
    url = sa.make_url(mariadb_url)
    for scheme in ("mysql", "mariadb", "mariadb+pymysql"):
        engine = open_engine(url.set(drivername=scheme).render_as_string(hide_password=False))
        assert (dialect_of(engine), engine.dialect.driver) == ("mysql", "pymysql")
        engine.dispose()
    wrong = url.set(password="geheim42").render_as_string(hide_password=False)
    message = failure(wrong)
    assert message.startswith("MySQL or MariaDB refused the user or password of mysql+pymysql://root:***@")
    assert "geheim42" not in message
    absent = url.set(database="no_such_db").render_as_string(hide_password=False)
    assert "has no database 'no_such_db'" in failure(absent)


def test_driver_not_installed(monkeypatch: pytest.MonkeyPatch, duckdb_file: Path) -> None:
    real = importlib.util.find_spec

    def without_drivers(name: str, package: str | None = None) -> object:
        return None if name in ("psycopg", "pymysql", "duckdb", "duckdb_engine") else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_drivers)
    for module in ("psycopg", "pymysql", "duckdb", "duckdb_engine"):
        monkeypatch.delitem(__import__("sys").modules, module, raising=False)
    assert failure("postgresql://db/x").endswith("run: pip install 'sqlgen[postgres]'")
    assert failure("mysql://db/x").endswith("run: pip install 'sqlgen[mysql]'")
    assert failure(str(duckdb_file)).endswith("run: pip install 'sqlgen[duckdb]'")


def test_secrets_are_masked() -> None:
    url = sa.make_url("postgresql://ann:ge%2Fheim@db/sales?password=zwei&sslmode=require&api_token=drei")
    shown = masked_url(url)
    assert not any(secret in shown for secret in ("ge%2Fheim", "ge/heim", "zwei", "drei"))
    assert "sslmode=require" in shown
    said = driver_message(ValueError("bad dsn password=zwei ge/heim ge%2Fheim drei\nsecond line"), url)
    assert said == "bad dsn password=*** *** *** ***"


def test_only_files_of_this_database_are_known_to_the_url(sqlite_file: Path) -> None:
    assert open_engine(str(sqlite_file)).url.database == str(sqlite_file)
