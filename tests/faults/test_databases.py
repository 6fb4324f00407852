"""Faults of the databases that are asked: gone, dropped, locked, slow, hogging, damaged, odd, empty, changed."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import sqlgen
from sqlgen.errors import ConnectionFailed, LimitReached
from sqlgen.generation import ScriptedGenerator

SCRIPT = {
    "How many?": ["SELECT COUNT(*) AS n FROM orders"],
    "All?": ["SELECT id, note FROM orders ORDER BY id"],
    "Slow?": [
        "SELECT COUNT(*) FROM orders AS a JOIN orders AS b ON a.id < b.id JOIN orders AS c ON b.id < c.id "
        "JOIN orders AS d ON c.id <> d.id"
    ],
}


def connect(url: str) -> sqlgen.Database:
    return sqlgen.connect(url, generator=ScriptedGenerator(SCRIPT))


def answer(db: sqlgen.Database, text: str = "How many?") -> Any:
    reply = db.ask(text, timeout_s=20.0)
    assert reply.status == "answered", reply.message
    assert reply.result is not None
    return reply.result.rows


# -- 1, 2, 3: gone before, during, half open -----------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_1_a_server_that_is_down(sqlgen_process: Any, scheme: str) -> None:
    started = time.monotonic()
    outcome = sqlgen_process("ask", "--db", f"{scheme}://ann:geheim@127.0.0.1:1/sales", "How many?")
    outcome.require_one_line(5, "cannot reach", "127.0.0.1")
    assert "geheim" not in outcome.err
    assert time.monotonic() - started < 10


def test_1_a_file_that_was_removed_while_another_database_works(sqlite_shop: Path, duckdb_shop: Path) -> None:
    with connect(f"sqlite:///{sqlite_shop}") as gone, connect(f"duckdb:///{duckdb_shop}") as other:
        assert answer(gone) == ((2000,),)
        sqlite_shop.unlink()
        with pytest.raises(ConnectionFailed) as caught:
            gone.ask("How many?")
        assert "\n" not in str(caught.value)
        assert answer(other) == ((20000,),)
    assert not sqlite_shop.exists()


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL server that a test may stop; (url, stop, start)."""
    pgserver = pytest.importorskip("pgserver")
    folder = tmp_path_factory.mktemp("pg")
    (folder / "data").mkdir()
    server = pgserver.PostgresServer(folder / "data", cleanup_mode="stop")
    url = sa.make_url(server.get_uri("postgres")).set(drivername="postgresql+psycopg")
    binary = Path(pgserver.__file__).parent / "pginstall" / "bin" / "pg_ctl"
    yield url.render_as_string(hide_password=False), binary, folder / "data"
    server.cleanup()


@pytest.mark.filterwarnings("ignore")
def test_1_a_server_that_stops_at_once(own_postgres: Any, sqlite_shop: Path) -> None:
    url, pg_ctl, data = own_postgres
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE orders AS SELECT generate_series(1, 10) AS id")
    engine.dispose()
    with connect(url) as db, connect(f"sqlite:///{sqlite_shop}") as other:
        assert answer(db) == ((10,),)
        owner = data.owner()
        stop = [str(pg_ctl), "stop", "-m", "immediate", "-D", str(data)]
        done = subprocess.run(
            ["runuser", "-u", owner, "--", *stop] if owner != "root" and os.geteuid() == 0 else stop,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        started = time.monotonic()
        with pytest.raises(ConnectionFailed) as caught:
            db.ask("How many?")
        assert time.monotonic() - started < 5
        assert "\n" not in str(caught.value)
        assert answer(other) == ((2000,),)


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_2_a_session_ended_mid_query(request: pytest.FixtureRequest, server: str) -> None:
    url = request.getfixturevalue(f"{server}_shop")
    engine = sa.create_engine(url)
    find, end = {
        "postgres": (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
            "AND pid <> pg_backend_pid()",
            "SELECT pg_terminate_backend({})",
        ),
        "mariadb": (
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND command = 'Query' "
            "AND id <> CONNECTION_ID() AND info LIKE '%%JOIN%%'",
            "KILL {}",
        ),
    }[server]

    def kill() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with engine.connect() as connection:
                ids = [row[0] for row in connection.exec_driver_sql(find)]
                for number in ids:
                    connection.exec_driver_sql(end.format(number))
            if ids:
                return
            time.sleep(0.1)

    with connect(url) as db:
        assert answer(db) == ((2000,),)
        killer = threading.Timer(0.5, kill)
        killer.start()
        with pytest.raises(ConnectionFailed, match="gone"):
            db.ask("Slow?", timeout_s=30.0)
        killer.join()
        assert answer(db) == ((2000,),)
    engine.dispose()


class Proxy:
    """A TCP proxy that stops after so many bytes of answers: it closes, or it keeps silent."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target, self.room, self.closes = target, 10**12, True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.target)
            self.ends += [client, upstream]
            threading.Thread(target=self._pass, args=(client, upstream, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(upstream, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(4096):
                if counted:
                    self.room -= len(data)
                    if self.room < 0:
                        if self.closes:
                            break
                        continue
                sink.sendall(data)
        except OSError:
            return
        finally:
            if self.closes:
                for end in (source, sink):
                    end.close()

    def close(self) -> None:
        self.listener.close()
        for end in self.ends:
            end.close()


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "silent"])
def test_3_a_connection_that_stops_in_the_middle_of_the_rows(mariadb_shop: str, closes: bool) -> None:
    url = sa.make_url(mariadb_shop)
    proxy = Proxy((url.host or "127.0.0.1", url.port or 3306))
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    with connect(through) as db:
        assert len(answer(db, "All?")) == 1000
        proxy.room, proxy.closes = 20_000, closes
        started = time.monotonic()
        with pytest.raises((ConnectionFailed, LimitReached)):
            db.ask("All?", timeout_s=2.0)
        assert time.monotonic() - started < 9
        proxy.room, proxy.closes = 10**12, True
        assert len(answer(db, "All?")) == 1000
    proxy.close()


# -- 4: locks ------------------------------------------------------------------------------------


def test_4_a_sqlite_file_locked_by_a_writer(sqlgen_process: Any, sqlite_shop: Path) -> None:
    assert sqlgen_process("ask", "--db", f"sqlite:///{sqlite_shop}", "How many?").code == 0
    with closing(sqlite3.connect(sqlite_shop, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        outcome = sqlgen_process("ask", "--db", f"sqlite:///{sqlite_shop}", "How many?", "--timeout", "1")
    outcome.require_one_line(5, "lock", "try again")


def test_4_a_duckdb_file_open_elsewhere_names_who(sqlgen_process: Any, duckdb_shop: Path) -> None:
    script = (
        "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(duckdb_shop)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        outcome = sqlgen_process("ask", "--db", f"duckdb:///{duckdb_shop}", "How many?")
        writer.kill()
    outcome.require_one_line(5, "lock", "try again")


def test_4_a_locked_table_names_the_session_that_locks(postgres_shop: str) -> None:
    engine = sa.create_engine(postgres_shop, connect_args={"application_name": "nightly-load"})
    with connect(postgres_shop) as db:
        assert answer(db) == ((2000,),)
        with engine.connect() as connection:
            connection.exec_driver_sql("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
            reply = db.ask("How many?", timeout_s=12.0)
        assert reply.status == "error"
        assert "nightly-load" in reply.message
        assert "try again" in reply.message
    engine.dispose()


def test_4_a_locked_mariadb_table(mariadb_shop: str) -> None:
    engine = sa.create_engine(mariadb_shop)
    with connect(mariadb_shop) as db:
        assert answer(db) == ((2000,),)
        with engine.connect() as connection:
            connection.exec_driver_sql("LOCK TABLES orders WRITE")
            started = time.monotonic()
            try:
                reply = db.ask("How many?", timeout_s=3.0)
                assert reply.status == "error"
            except LimitReached:
                pass
            assert time.monotonic() - started < 6
            connection.exec_driver_sql("UNLOCK TABLES")
        assert answer(db) == ((2000,),)
    engine.dispose()


# -- 5, 6: slow and hogging ----------------------------------------------------------------------


def test_5_a_slow_query_ends_with_six(sqlgen_process: Any, shop_url: str) -> None:
    outcome = sqlgen_process("ask", "--db", shop_url, "--timeout", "0.5", "Slow?")
    outcome.require_one_line(6, "0.5 s")


def test_6_a_memory_hog_in_little_memory(sqlgen_process: Any, sqlite_shop: Path, duckdb_shop: Path) -> None:
    hogs = {
        "sqlite": [
            "SELECT a.note, b.note, c.id FROM orders a, orders b, orders c ORDER BY a.note || b.note || c.note"
        ],
        "duckdb": ["SELECT a.note || b.note AS s, c.id FROM orders a, orders b, orders c ORDER BY s"],
    }
    for name, path in (("sqlite", sqlite_shop), ("duckdb", duckdb_shop)):
        outcome = sqlgen_process(
            "ask", "--db", f"{name}:///{path}", "--timeout", "20", "Hog?",
            script={"Hog?": hogs[name]}, before="ulimit -v 4000000", SQLGEN_MAX_MEMORY_MIB="64",
        )  # fmt: skip
        outcome.require_one_line(6)
        assert "memory" in outcome.err or "20 s" in outcome.err
        assert sqlgen_process("ask", "--db", f"{name}:///{path}", "How many?").code == 0


# -- 7: damaged files ----------------------------------------------------------------------------


def damaged(path: Path, how: str) -> bytes:
    body = bytearray(path.read_bytes())
    if how == "cut":
        body = body[:9000]
    elif how == "page":
        body[8192:12288] = bytes(range(256)) * 16
    else:
        body = bytearray(b"Dear diary, this is no database.\n" * 300)
    path.write_bytes(bytes(body))
    return bytes(body)


@pytest.mark.parametrize("how", ["cut", "page", "text"])
@pytest.mark.parametrize("name", ["sqlite", "duckdb"])
def test_7_a_damaged_file_is_named_and_left_as_it_is(
    sqlgen_process: Any, request: pytest.FixtureRequest, name: str, how: str
) -> None:
    path: Path = request.getfixturevalue(f"{name}_shop")
    body = damaged(path, how)
    outcome = sqlgen_process("ask", "--db", f"{name}:///{path}", "All?")
    # a damaged page may be one that this question never reads
    if not (how == "page" and outcome.code in (0, 6)):
        # reading its values for the index may have said so before
        last = replace(outcome, err=outcome.err.splitlines()[-1])
        last.require_one_line(5, path.name)
    assert path.read_bytes() == body


# -- 17 to 20: reflection, identifiers, emptiness, values ----------------------------------------


def test_17_duckdb_times_with_zones(sqlgen_process: Any, tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "zones.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE events AS SELECT TIMESTAMPTZ '2024-01-02 03:04:05+02' AS at")
    outcome = sqlgen_process(
        "ask",
        "--db",
        f"duckdb:///{path}",
        "--format",
        "json",
        "When?",
        script={"When?": ["SELECT at FROM events"]},
    )
    assert outcome.code == 0
    assert json.loads(outcome.out)["rows"] == [["2024-01-02T01:04:05+00:00"]]


NAMES = [
    "two words", 'quo"te', "it's", "semi;colon", "-- dash", "per%cent", "co:lon", "ünïcode", "emoji 🦊", "\u202ertl",
    "select", "1st", "a" * 63, "line\nbreak", "back\\slash", "tab\tbed", "esc\x1b[31m",
]  # fmt: skip


@pytest.mark.parametrize("engine_name", ["sqlite", "duckdb", "postgres", "mariadb"])
def test_18_weird_names_are_quoted_and_shown_safely(
    sqlgen_process: Any, request: pytest.FixtureRequest, tmp_path: Path, engine_name: str
) -> None:
    if engine_name in ("postgres", "mariadb"):
        url = request.getfixturevalue(f"new_{engine_name}_database")()
    else:
        url = f"{engine_name}:///{tmp_path / 'weird'}.db"
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    quote = (lambda n: "`" + n.replace("`", "``") + "`") if engine_name == "mariadb" else (
        lambda n: '"' + n.replace('"', '""') + '"'
    )  # fmt: skip
    names = [n for n in NAMES if not (engine_name == "mariadb" and ("🦊" in n or "\x1b" in n))]
    with engine.begin() as connection:
        columns = ", ".join(f"{quote(n)} INTEGER" for n in names)
        if engine_name in ("postgres", "mariadb"):
            columns = columns.replace("%", "%%")
        values = ", ".join(str(i) for i in range(len(names)))
        connection.exec_driver_sql(f"CREATE TABLE {quote('my; table')} ({columns})")
        connection.exec_driver_sql(f"INSERT INTO {quote('my; table')} VALUES ({values})")
    asked = [n for n in names if "\x1b" not in n]  # validation refuses control characters in SQL
    sql = f"SELECT {', '.join(quote(n) for n in asked)} FROM {quote('my; table')}"
    outcome = sqlgen_process("ask", "--db", url, "--format", "json", "All?", script={"All?": [sql]})
    assert outcome.code == 0, outcome
    document = json.loads(outcome.out)
    assert document["rows"] == [[names.index(n) for n in asked]]
    assert [c["name"] for c in document["columns"]] == asked
    shown = sqlgen_process("ask", "--db", url, "All?", script={"All?": [sql]})
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out


def test_19_nothing_to_ask_about(sqlgen_process: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (a); DROP TABLE t;")
    sqlgen_process("ask", "--db", f"sqlite:///{path}", "How many?").require_one_line(5, "table")
    for ddl in (
        "CREATE TABLE orders (id INTEGER, note TEXT)",
        "CREATE TABLE orders (id, note); INSERT INTO orders VALUES (NULL, NULL), (NULL, NULL)",
        "CREATE TABLE orders (id)",
        "CREATE TABLE base (id); CREATE VIEW orders AS SELECT id FROM base",
        "CREATE TABLE orders (id); CREATE VIEW broken AS SELECT nosuch FROM gone",
    ):
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(ddl)
        outcome = sqlgen_process("ask", "--db", f"sqlite:///{path}", "--format", "json", "How many?")
        assert outcome.code == 0, outcome
        assert json.loads(outcome.out)["row_count"] == 1


ODD = {
    "sqlite": "SELECT CAST(x'ff41' AS TEXT), 9e999, -9e999, x'00ff', char(0) || 'a', '=cmd', hex(zeroblob(3000000))",
    "duckdb": "SELECT 'nan'::DOUBLE, 'inf'::DOUBLE, DATE '10000-01-01', (2::HUGEINT ** 100)::HUGEINT, "
    "{'a': [1, NULL]}, '=cmd', 'ab'::BLOB, repeat('x', 3000000)",
    "postgres": "SELECT 'NaN'::float8, '-Infinity'::float8, DATE '0044-03-15 BC', TIMESTAMP 'infinity', "
    "'NaN'::numeric, '=cmd', '{\"a\": [1]}'::jsonb, REPEAT('x', 3000000)",
    "mariadb": "SELECT CAST('838:59:59' AS TIME), '=cmd', x'00ff', REPEAT('x', 3000000)",
}


@pytest.mark.parametrize("name", ODD)
def test_20_odd_values_leave_json_and_csv_whole(request: pytest.FixtureRequest, name: str) -> None:
    from sqlgen.cli.present import csv_text, json_text
    from sqlgen.execution import open_driver
    from sqlgen.export import json_cell
    from sqlgen.types import Limits, ValidatedQuery

    shop = request.getfixturevalue(f"{name}_shop")
    engine = sa.create_engine(
        shop if isinstance(shop, str) else f"{name}:///{shop}",
        poolclass=sa.pool.NullPool,
        connect_args={"read_only": True} if name == "duckdb" else {},
    )
    dialect: Any = {"mariadb": "mysql"}.get(name, name)
    with open_driver(engine, dialect) as driver:
        result = driver.execute(ValidatedQuery(ODD[name], dialect, (), ()), Limits())
    (row,) = result.rows
    text = json_text([json_cell(cell) for cell in row])
    assert len(json.loads(text)) == len(row)
    assert not {"NaN,", "Infinity,"} & set(text.split())
    csv = csv_text(["c"] * len(row), result.rows)
    assert "'=cmd" in csv
    assert "\x00" not in csv
    assert [note.rule for note in result.notes if note.rule != "superuser"] == ["cells"]
    engine.dispose()


# -- 24: many at once ----------------------------------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc")
def test_24_many_threads_on_four_databases_keep_their_rows_apart(
    sqlite_shop: Path, duckdb_shop: Path, postgres_shop: str, mariadb_shop: str
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    script = {f"Row {i}?": [f"SELECT id, note FROM orders WHERE id = {i}"] for i in range(100)} | SCRIPT
    generator = ScriptedGenerator(script | {"Hostile?": ["DELETE FROM orders"]})
    urls = [f"sqlite:///{sqlite_shop}", f"duckdb:///{duckdb_shop}", postgres_shop, mariadb_shop]
    databases = [sqlgen.connect(url, generator=generator) for url in urls]
    for db in databases:
        db.ask("Row 1?")
    before = open_files()

    def work(n: int) -> str:
        db = databases[n % 4]
        if n % 20 == 7:
            with pytest.raises(LimitReached):
                db.ask("Slow?", timeout_s=0.3)
            return "slow"
        if n % 20 == 13:
            assert db.ask("Hostile?").status == "rejected"
            return "hostile"
        reply = db.ask(f"Row {n % 100}?", timeout_s=60.0)
        assert reply.result is not None, reply.message
        assert [(row[0], row[1].split()[2]) for row in reply.result.rows] == [(n % 100, str(n % 100))]
        return "row"

    with ThreadPoolExecutor(16) as pool:
        done = list(pool.map(work, range(240)))
    assert done.count("row") == 216
    assert open_files() <= before + 40
    for db in databases:
        assert answer(db)[0][0] in (2000, 20000)
        db.close()


# -- 25: a schema that changes -------------------------------------------------------------------


def test_25_a_column_renamed_between_two_questions(sqlite_shop: Path) -> None:
    script = {"Notes?": ["SELECT note FROM orders LIMIT 1", "SELECT remark FROM orders LIMIT 1"]}
    with sqlgen.connect(f"sqlite:///{sqlite_shop}", generator=ScriptedGenerator(script)) as db:
        assert db.ask("Notes?").sql.startswith("SELECT note")
        with closing(sqlite3.connect(sqlite_shop)) as connection, connection:
            connection.execute("ALTER TABLE orders RENAME COLUMN note TO remark")
        reply = db.ask("Notes?")
        assert reply.status == "answered"
        assert "remark" in reply.sql
