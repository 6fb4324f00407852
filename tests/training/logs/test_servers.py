"""Logs that a real PostgreSQL and a real MariaDB wrote just now."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.training.logs.ingest import import_log
from sqlgen.training.logs.store import LogStore

SETUP = (
    "CREATE TABLE pets (name VARCHAR(40), age INTEGER)",
    "INSERT INTO pets VALUES ('Rex', 3), ('Mia', 12)",
)
QUERIES = (
    "SELECT name FROM pets WHERE age > 5",
    "SELECT count(*)\nFROM pets\n\nWHERE name = 'O''Hara, \"x\"' -- how many",
    "/* title: The oldest pet */ SELECT name FROM pets ORDER BY age DESC LIMIT 1",
    "SELECT 'ümlaut €' AS word FROM pets",
)  # fmt: skip


@pytest.fixture(scope="module")
def postgres_logs() -> Iterator[Path]:
    """A folder where one server wrote the same work as stderr, csv and json."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pgserver
            from pgserver._commands import pg_ctl
    except ImportError:
        pytest.skip("PostgreSQL: the package pgserver is not installed")
    folder = Path(tempfile.mkdtemp(prefix="sqlgen-pg-"))
    (folder / "data").mkdir()
    server: Any = pgserver.PostgresServer(folder / "data", cleanup_mode="stop")
    try:
        for setting in (
            "fsync = off", "logging_collector = on", "log_directory = 'logs'", "log_filename = 'server.log'",
            "log_destination = 'stderr,csvlog,jsonlog'", "log_statement = 'all'", "log_duration = on",
            "log_line_prefix = '%m [%p] %u@%d '", "log_file_mode = 0644",
        ):  # fmt: skip
            server.psql(f"ALTER SYSTEM SET {setting};")
        pg_ctl(["-w", "stop"], pgdata=server.pgdata, user=server.system_user)
        server.ensure_postgres_running()
        url = sa.make_url(server.get_uri("postgres")).set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            for sql in (*SETUP, *QUERIES, QUERIES[0]):
                connection.exec_driver_sql(sql)
            raw: Any = connection.connection.driver_connection
            raw.execute("SELECT age FROM pets WHERE name = %s AND age > %s", ("it's \\ Rex", 2), prepare=True)
            for wrong in ("SELECT nope FROM pets", "SELECT 1 / (age - 3) FROM pets"):
                with pytest.raises(sa.exc.SQLAlchemyError):
                    connection.exec_driver_sql(wrong)
        time.sleep(0.5)
        copy = folder / "copy"
        shutil.copytree(folder / "data" / "logs", copy)
        yield copy
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def plain(sql: str) -> str:
    return " ".join(re.sub(r"--[^\n]*", "", sql).rstrip("; \n").split())


@pytest.mark.parametrize("name", ["server.log", "server.csv", "server.json"])
def test_postgres(postgres_logs: Path, store: LogStore, name: str) -> None:
    done = import_log(store, postgres_logs / name, dialect="postgres")
    assert done.format == {
        "server.log": "postgres-stderr",
        "server.csv": "postgres-csv",
        "server.json": "postgres-json",
    }[name]  # fmt: skip
    assert done.bad == 0, list(store.malformed())
    found = Counter({plain(e.sql): e.count for e in store.examples() if "pets" in e.sql})
    assert found == Counter(
        {**{plain(sql): 1 for sql in QUERIES[1:]}, QUERIES[0]: 2,
         "SELECT age FROM pets WHERE name = 'it''s \\ Rex' AND age > 2": 1}
    )  # fmt: skip
    assert done.skipped["failed"] >= 2
    assert done.skipped["not a query"] >= 2
    today = time.strftime("%Y")
    assert all(e.last_at.startswith(today) and e.users == 1 for e in store.examples())


@pytest.fixture(scope="module")
def mariadb_logs(
    _mariadb_server: tuple[str, bool], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A general and a slow log, and the name of the database in which the work was done."""
    url, is_private = _mariadb_server
    if not is_private:
        pytest.skip("MariaDB: only a private server may log to files of ours")
    folder = tmp_path_factory.mktemp("maria")
    folder.chmod(0o777)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    settings = {
        "log_output": "'FILE'", "general_log_file": f"'{folder / 'general.log'}'",
        "slow_query_log_file": f"'{folder / 'slow.log'}'", "long_query_time": "0",
    }  # fmt: skip
    name = "sqlgen_test_logged"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        for key, value in settings.items():
            connection.exec_driver_sql(f"SET GLOBAL {key} = {value}")
        connection.exec_driver_sql("SET GLOBAL general_log = ON, GLOBAL slow_query_log = ON")
    try:
        other = sa.create_engine(
            sa.make_url(url).set(database=name, query={"charset": "utf8mb4"}),
            isolation_level="AUTOCOMMIT",
            poolclass=sa.pool.NullPool,
        )
        with other.connect() as connection:
            for sql in (*SETUP, *QUERIES, QUERIES[0]):
                connection.exec_driver_sql(sql)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET GLOBAL general_log = OFF, GLOBAL slow_query_log = OFF")
            connection.exec_driver_sql(f"DROP DATABASE {name}")
    return folder, name


@pytest.mark.parametrize("name", ["general.log", "slow.log"])
def test_mariadb(mariadb_logs: tuple[Path, str], store: LogStore, name: str) -> None:
    done = import_log(store, mariadb_logs[0] / name, dialect="mysql")
    assert done.format == f"mysql-{name.removesuffix('.log')}"
    assert done.bad == 0, list(store.malformed())
    found = Counter({plain(e.sql): e.count for e in store.examples() if "pets" in e.sql})
    assert found == Counter({**{plain(sql): 1 for sql in QUERIES[1:]}, QUERIES[0]: 2})
    assert all(e.users == 1 for e in store.examples() if "pets" in e.sql)
    today = time.gmtime().tm_year
    assert all(abs(int(e.last_at[:4]) - today) <= 1 for e in store.examples())
