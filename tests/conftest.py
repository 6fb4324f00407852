"""What every part shares: isolation of the environment, real database servers, an app on a port, a model of beams, parts of a catalog.

``postgres_url`` and ``mariadb_url`` are SQLAlchemy URLs of one fresh, empty database per session;
``new_postgres_database`` and ``new_mariadb_database`` are functions that make another one and return its URL.
A server that isn't there skips the test with a reason; under CI (environment variable ``CI``) it fails.

MariaDB: ``SQLGEN_TEST_MARIADB`` (a URL such as ``mysql+pymysql://root:secret@127.0.0.1:3306/`` or the path
of a socket) if set, else a private instance when ``mariadbd`` is on PATH, else one on 127.0.0.1:3306.
"""

from __future__ import annotations

import math
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from sqlgen.types import Candidate, Catalog, Column, ModelInfo, Question, RetrievedContext, Table

# A busy machine is no fault of what is tested.
settings.register_profile("sqlgen", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sqlgen")

NewDatabase = Callable[[], str]


def _unavailable(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HOME and XDG folders of its own for every test, and no SQLGEN_* variable but SQLGEN_TEST_*."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_STATE_HOME", ".local/state"),
    ):
        monkeypatch.setenv(name, str(home / folder))
    for name in list(os.environ):
        if name.startswith("SQLGEN_") and not name.startswith("SQLGEN_TEST_"):
            monkeypatch.delenv(name)
    return home


@contextmanager
def listening(app: Any, **options: Any) -> Iterator[str]:
    """The URL of an app that a thread serves; ``options`` are uvicorn's."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none", **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


class Beams:
    """A model that holds each of its queries for as likely as it is told."""

    info = ModelInfo("beams", "1")

    def __init__(self, *held: tuple[str, float]) -> None:
        self.held = held

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        return tuple(Candidate(sql, math.log(p), "beams", "1") for sql, p in self.held)


def table_of(catalog: Catalog, key: str) -> Table:
    table = catalog.table(key)
    assert table is not None, f"{key} not in {[t.key for t in catalog.tables]}"
    return table


def column_of(catalog: Catalog, key: str, name: str) -> Column:
    column = table_of(catalog, key).column(name)
    assert column is not None, f"{key}.{name} missing"
    return column


def create_database(server_url: str, *, suffix: str = "") -> str:
    """Make a fresh, empty database on the server of this URL and return the URL of the new database."""
    url = sa.make_url(server_url)
    name = f"sqlgen_test_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}{suffix}"))
    return url.set(database=name).render_as_string(hide_password=False)


def drop_database(database_url: str) -> None:
    """Remove a database that ``create_database`` made, its open sessions included."""
    url = sa.make_url(database_url)
    is_postgres = url.get_backend_name() == "postgresql"
    engine = sa.create_engine(
        url.set(database="postgres" if is_postgres else "mysql"),
        isolation_level="AUTOCOMMIT",
        poolclass=sa.pool.NullPool,
    )
    with engine.connect() as connection:
        force = " WITH (FORCE)" if is_postgres else ""
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {url.database}{force}"))


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import pgserver
        except ImportError:
            _unavailable("PostgreSQL: the package pgserver is not installed")
        folder = Path(tempfile.mkdtemp(prefix="sqlgen-pg-"))
        (folder / "data").mkdir()
        server: Any = pgserver.PostgresServer(folder / "data", cleanup_mode="stop")
        url = sa.make_url(server.get_uri("postgres")).set(drivername="postgresql+psycopg")
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def new_postgres_database(_postgres_server: str) -> NewDatabase:
    """A function that makes one more PostgreSQL database, empty, and returns its URL."""
    return lambda: create_database(_postgres_server)


@pytest.fixture(scope="session")
def postgres_url(new_postgres_database: NewDatabase) -> str:
    """The URL of a PostgreSQL database that was empty when the session began."""
    return new_postgres_database()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _answers(url: str) -> str | None:
    """None when a connection succeeds, else the reason it didn't."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, connect_args={"connect_timeout": 2})
    try:
        with engine.connect():
            return None
    except sa.exc.SQLAlchemyError as error:
        return str(getattr(error, "orig", error))


def _given_mariadb() -> str | None:
    given = os.environ.get("SQLGEN_TEST_MARIADB")
    if not given:
        return None
    if "://" in given:
        return given
    return f"mysql+pymysql://root@localhost/?unix_socket={given}"


def _start_mariadb(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    data, log = folder / "data", folder / "log"
    root = ["--user=root"] if os.geteuid() == 0 else []
    installer = shutil.which("mariadb-install-db") or "mariadb-install-db"
    subprocess.run(
        [
            installer,
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *root,
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    port = _free_port()
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [
                shutil.which("mariadbd") or "mariadbd",
                "--no-defaults",
                f"--datadir={data}",
                f"--socket={folder / 's'}",
                f"--pid-file={folder / 'pid'}",
                "--bind-address=127.0.0.1",
                f"--port={port}",
                "--innodb-buffer-pool-size=32M",
                "--innodb-flush-log-at-trx-commit=0",
                "--character-set-server=utf8mb4",
                *root,
            ],
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    url = f"mysql+pymysql://root@127.0.0.1:{port}/"
    deadline = time.monotonic() + 60
    while (reason := _answers(url)) is not None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError(f"mariadbd did not start ({reason}): {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.2)
    return process, url


@pytest.fixture(scope="session")
def _mariadb_server() -> Iterator[tuple[str, bool]]:
    """The URL of a server, and whether it is ours alone."""
    try:
        import pymysql  # noqa: F401
    except ImportError:
        _unavailable("MariaDB: the package PyMySQL is not installed")
    given = _given_mariadb()
    if given is None and shutil.which("mariadbd"):
        folder = Path(tempfile.mkdtemp(prefix="sqlgen-maria-"))
        try:
            process, url = _start_mariadb(folder)
            try:
                yield url, True
            finally:
                # its data goes with it, so no orderly shutdown
                process.kill()
                process.wait()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    url = given or "mysql+pymysql://root@127.0.0.1:3306/"
    reason = _answers(url)
    if reason is not None:
        _unavailable(f"MariaDB: {reason}; set SQLGEN_TEST_MARIADB or put mariadbd on PATH")
    yield url, False


@pytest.fixture(scope="session")
def new_mariadb_database(_mariadb_server: tuple[str, bool]) -> Iterator[NewDatabase]:
    """A function that makes one more MariaDB database, empty, and returns its URL."""
    server_url, is_private = _mariadb_server
    made: list[str] = []

    def new_database() -> str:
        made.append(create_database(server_url, suffix=" CHARACTER SET utf8mb4"))
        return made[-1]

    yield new_database
    if not is_private:
        for url in made:
            drop_database(url)


@pytest.fixture(scope="session")
def mariadb_url(new_mariadb_database: NewDatabase) -> str:
    """The URL of a MariaDB database that was empty when the session began."""
    return new_mariadb_database()
