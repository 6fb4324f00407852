"""SQLite and DuckDB: what only a process of their own can promise."""

from __future__ import annotations

import datetime as dt
import gc
import math
import os
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlgen.errors import ConnectionFailed, DatabaseError, LimitReached, QueryFailed
from sqlgen.execution import open_driver, worker
from sqlgen.execution.process import WorkerDriver
from sqlgen.types import Limits, Result, ValidatedQuery

SECOND = Limits(timeout_s=1.0)


def sqlite_driver(path: Path) -> WorkerDriver:
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
    driver = open_driver(engine, "sqlite")
    assert isinstance(driver, WorkerDriver)
    return driver


def run(driver: Any, sql: str, limits: Limits | None = None) -> Result:
    result: Result = driver.execute(
        ValidatedQuery(sql, driver.dialect, (), ()), limits or Limits(timeout_s=20.0)
    )
    return result


def worker_pids(driver: WorkerDriver) -> list[int]:
    return [w.process.pid for w in driver._workers.idle]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.execute("INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    connection.close()
    return path


# -- frames --------------------------------------------------------------------------------------

plain_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.dates(),
    st.datetimes().map(lambda moment: moment.replace(fold=0)),
    st.datetimes(timezones=st.just(dt.UTC)).map(lambda moment: moment.replace(fold=0)),
    st.times().map(lambda time: time.replace(fold=0)),
    st.timedeltas(),
    st.decimals(),
)


@settings(deadline=None)
@given(plain_values | st.lists(plain_values) | st.dictionaries(st.text(), st.lists(plain_values, max_size=2)))
def test_every_value_survives_the_pipe(value: Any) -> None:
    import io

    stream = io.BytesIO()
    worker.write_frame(stream, worker.encode(value))
    stream.seek(0)
    assert repr(worker.decode(worker.read_frame(stream))) == repr(value)


def test_a_cut_frame_is_the_end() -> None:
    import io

    stream = io.BytesIO()
    worker.write_frame(stream, [1, 2, 3])
    with pytest.raises(EOFError):
        worker.read_frame(io.BytesIO(stream.getvalue()[:-1]))


def test_an_eighth_of_a_querys_memory_is_for_pages_of_the_file(
    small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("_limit_memory", "_limit_files"):
        monkeypatch.setattr(worker, bound, lambda size: None)
    session = worker.SqliteSession(f"file:{small_file}?mode=ro")
    for memory_mib in (32, 384):
        with session.query("SELECT a FROM t", 1.0, memory_mib) as (cursor, _, _):
            assert cursor.fetchall() == [(1,), (2,)]
        session.connection.set_authorizer(None)
        assert session.connection.execute("PRAGMA cache_size").fetchone() == (-memory_mib * 128,)
        session.connection.set_authorizer(worker.sqlite_authorizer)


# -- values --------------------------------------------------------------------------------------


def test_odd_sqlite_values(small_file: Path) -> None:
    with sqlite_driver(small_file) as driver:
        sql = (
            "SELECT 9e999, -9e999, x'00ff', NULL, 9223372036854775807, CAST(x'ff41' AS TEXT), char(0) || 'é'"
        )
        result = run(driver, sql)
        assert result.rows == ((math.inf, -math.inf, b"\x00\xff", None, 2**63 - 1, "\\xffA", "\0é"),)
        assert [c.type for c in result.columns] == ["REAL", "REAL", "BLOB", "", "INTEGER", "TEXT", "TEXT"]


def test_odd_duckdb_values(duckdb_shop: Any) -> None:
    sql = """SELECT (2::HUGEINT ** 100)::HUGEINT, 'nan'::DOUBLE, 1.50::DECIMAL(10, 2), DATE '10000-01-01',
        TIMESTAMP '2024-01-02 03:04:05.000006', TIMESTAMPTZ '2024-01-02 03:04:05+02', TIME '10:11:12',
        INTERVAL '1 day 2 hours', {'a': DATE '2024-01-01', 'b': [1, NULL]}, MAP {'k': [1]}, 'ab'::BLOB, TRUE,
        '00000000-0000-0000-0000-000000000001'::UUID"""
    row = duckdb_shop.run(sql).rows[0]
    assert row[0] == 2**100
    assert math.isnan(row[1])
    assert row[2:5] == (Decimal("1.50"), "10000-01-01", dt.datetime(2024, 1, 2, 3, 4, 5, 6))
    assert row[5] == dt.datetime(2024, 1, 2, 1, 4, 5, tzinfo=dt.UTC)
    assert row[6:8] == (dt.time(10, 11, 12), dt.timedelta(days=1, hours=2))
    assert row[8:12] == ({"a": dt.date(2024, 1, 1), "b": [1, None]}, {"k": [1]}, b"ab", True)
    assert row[12] == "00000000-0000-0000-0000-000000000001"


# -- what no engine limit stops ------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT printf('%.*c', 1000000000, 'x')",
        "SELECT COUNT(*) FROM t a WHERE printf('%.*c', 2000000000, 'x') = a.b",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT * FROM r ORDER BY n",
        "SELECT hex(zeroblob(9000000)) || a.a FROM t a, t b, t c, t d ORDER BY random()",
    ],
)
def test_sqlite_hogs_end_in_time(small_file: Path, sql: str) -> None:
    with sqlite_driver(small_file) as driver:
        run(driver, "SELECT 1")
        started = time.monotonic()
        with pytest.raises(LimitReached):
            run(driver, sql, Limits(timeout_s=1.0, max_memory_mib=256))
        assert time.monotonic() - started < 2.5
        assert run(driver, "SELECT a FROM t").rows == ((1,), (2,))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT repeat('x', 4000000000)",
        "SELECT length(repeat('x', 4000000000))",
        "SELECT length(rpad('x', 2000000000, 'y'))",
        "SELECT levenshtein(repeat('a', 1000000), repeat('b', 1000000))",
        "SELECT list(range) FROM range(1000000000000)",
    ],
)
def test_duckdb_hogs_end_in_time(duckdb_shop: Any, sql: str) -> None:
    started = time.monotonic()
    with pytest.raises(LimitReached) as caught:
        duckdb_shop.run(sql, timeout_s=1.0, max_memory_mib=512)
    assert caught.value.limit in ("time", "memory")
    assert time.monotonic() - started < 2.5
    assert duckdb_shop.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


def test_memory_is_bounded_and_named(small_file: Path) -> None:
    hog = (
        "SELECT group_concat(hex(zeroblob(4000000))) OVER (ORDER BY a.a) || b.a FROM t a, t b, t c ORDER BY 1"
    )
    with sqlite_driver(small_file) as driver:
        with pytest.raises(LimitReached) as caught:
            run(driver, hog, Limits(timeout_s=20.0, max_memory_mib=16))
        assert caught.value.limit == "memory"
        assert "16 MiB" in str(caught.value)
        assert run(driver, "SELECT 1").rows == ((1,),)


def test_a_killed_worker_leaves_no_process_behind(small_file: Path) -> None:
    with sqlite_driver(small_file) as driver:
        run(driver, "SELECT 1")
        (before,) = worker_pids(driver)
        with pytest.raises(LimitReached):
            run(driver, "SELECT printf('%.*c', 1000000000, 'x')", Limits(timeout_s=0.2))
        assert not alive(before)
        run(driver, "SELECT 1")
        (after,) = worker_pids(driver)
    assert not alive(after)


def test_the_worker_ends_itself_when_its_caller_is_gone(small_file: Path) -> None:
    script = (
        "import os, sys, threading, time, sqlalchemy as sa\n"
        "from sqlgen.execution import open_driver\n"
        "from sqlgen.types import Limits, ValidatedQuery\n"
        "driver = open_driver(sa.create_engine('sqlite:///' + sys.argv[1]), 'sqlite')\n"
        "q = ValidatedQuery(\"SELECT printf('%.*c', 1000000000, 'x')\", 'sqlite', (), ())\n"
        "print(driver._workers.idle[0].process.pid, flush=True)\n"
        "threading.Timer(0.3, os.kill, (os.getpid(), 9)).start()\n"
        "driver.execute(q, Limits(timeout_s=1.0))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(worker.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", script, str(small_file)], capture_output=True, timeout=30, env=environment
    )
    assert done.returncode == -9
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        # an orphan may stay a zombie where nobody reaps it
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not alive(pid)


def test_a_worker_killed_from_outside_is_a_typed_error(small_file: Path) -> None:
    with sqlite_driver(small_file) as driver:
        run(driver, "SELECT 1")
        (pid,) = worker_pids(driver)
        threading.Timer(0.3, os.kill, (pid, 15)).start()
        with pytest.raises(ConnectionFailed):
            run(
                driver,
                "SELECT COUNT(*) FROM " + ", ".join(["t"] * 30),
            )
        assert run(driver, "SELECT 1").rows == ((1,),)
        os.kill(worker_pids(driver)[0], 9)
        time.sleep(0.1)
        assert run(driver, "SELECT 2").rows == ((2,),)


def test_a_forgotten_driver_stops_its_worker(small_file: Path) -> None:
    driver = sqlite_driver(small_file)
    run(driver, "SELECT 1")
    (pid,) = worker_pids(driver)
    del driver
    gc.collect()
    assert not alive(pid)


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH 'other.db' AS other",
        "PRAGMA query_only = 0",
        "PRAGMA journal_mode = DELETE",
        "VACUUM INTO 'copy.db'",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
        "BEGIN IMMEDIATE",
        "SAVEPOINT s",
        "CREATE TEMP TABLE x (a)",
        "REINDEX",
        "ANALYZE",
        ";DELETE FROM t",
    ],
)
def test_sqlite_allows_nothing_but_reading(small_file: Path, sql: str) -> None:
    before = small_file.read_bytes()
    with sqlite_driver(small_file) as driver, pytest.raises(QueryFailed):
        run(driver, sql)
    assert small_file.read_bytes() == before
    assert [p.name for p in small_file.parent.iterdir()] == [small_file.name]


def test_json_full_text_and_views_work(small_file: Path) -> None:
    with sqlite3.connect(small_file) as connection:
        connection.execute("CREATE VIEW v AS SELECT a FROM t WHERE b = 'two'")
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(x)")
        connection.execute("INSERT INTO words VALUES ('hello world')")
    connection.close()
    with sqlite_driver(small_file) as driver:
        assert run(driver, "SELECT value FROM json_each('[1, 2]')").rows == ((1,), (2,))
        assert run(driver, "SELECT json_extract('{\"a\": 5}', '$.a')").rows == ((5,),)
        assert run(driver, "SELECT x FROM words WHERE words MATCH 'hello'").rows == (("hello world",),)
        assert run(driver, "SELECT a FROM v").rows == ((2,),)


def test_a_change_by_another_is_seen(small_file: Path) -> None:
    with sqlite_driver(small_file) as driver:
        assert run(driver, "SELECT COUNT(*) FROM t").rows == ((2,),)
        with sqlite3.connect(small_file) as connection:
            connection.execute("ALTER TABLE t ADD COLUMN c DEFAULT 7")
            connection.execute("INSERT INTO t VALUES (3, 'three', 8)")
        connection.close()
        assert run(driver, "SELECT a, c FROM t").rows == ((1, 7), (2, 7), (3, 8))


def test_a_replaced_file_is_seen(small_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'new' AS a")
    connection.close()
    with sqlite_driver(small_file) as driver:
        assert run(driver, "SELECT COUNT(*) FROM t").rows == ((2,),)
        os.replace(other, small_file)
        assert run(driver, "SELECT a FROM t").rows == (("new",),)


def test_a_removed_file_is_not_made_again(small_file: Path) -> None:
    with sqlite_driver(small_file) as driver:
        run(driver, "SELECT 1")
        small_file.unlink()
        with pytest.raises(ConnectionFailed, match="gone"):
            run(driver, "SELECT 1")
    assert not small_file.exists()


def test_a_locked_file_says_so(small_file: Path) -> None:
    with sqlite_driver(small_file) as driver:
        blocker = sqlite3.connect(small_file, isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        with pytest.raises(QueryFailed, match="lock"):
            run(driver, "SELECT * FROM t", SECOND)
        blocker.close()
        assert run(driver, "SELECT COUNT(*) FROM t").rows == ((2,),)


def test_a_damaged_file_is_a_database_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE t AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 9999) "
            "SELECT n FROM r"
        )
    connection.close()
    damaged = path.read_bytes()[:9000]
    path.write_bytes(damaged)
    with sqlite_driver(path) as driver, pytest.raises(DatabaseError) as caught:
        run(driver, "SELECT SUM(n) FROM t")
    assert str(tmp_path) not in str(caught.value)
    assert path.read_bytes() == damaged


def test_a_file_of_another_kind_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes and no database, long enough to look like a page\n" * 40)
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
    with pytest.raises(DatabaseError) as caught, open_driver(engine, "sqlite") as driver:
        run(driver, "SELECT 1 FROM sqlite_master")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY item TO 'out.csv'",
        "ATTACH 'other.duckdb' AS other",
        "SET threads = 8",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CREATE TEMP VIEW item AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "CHECKPOINT",
        "CALL pragma_version()",
        "PRAGMA database_size",
        "SELECT * FROM sys",
        "SELECT 1; SELECT 2",
    ],
)
def test_duckdb_allows_nothing_but_reading(duckdb_shop: Any, sql: str) -> None:
    with pytest.raises(QueryFailed):
        duckdb_shop.run(sql)


def test_duckdb_pivots_over_values_of_the_data_and_keeps_nothing(duckdb_shop: Any) -> None:
    pivot = "PIVOT (SELECT id % 2 AS odd FROM item) ON odd USING COUNT(*)"
    for sql in (pivot, f"SELECT * FROM ({pivot}) AS p"):
        assert duckdb_shop.run(sql).rows == ((1500, 1500),)
    left = duckdb_shop.run("SELECT type_name FROM duckdb_types() WHERE type_name LIKE '%pivot%'")
    assert left.rows == ()
    for sql in (f"CREATE TEMP TABLE x AS {pivot}", f"INSERT INTO item {pivot}", f"COPY ({pivot}) TO 'x'"):
        with pytest.raises(QueryFailed):
            duckdb_shop.run(sql)


def test_duckdb_lets_writers_in_between_queries(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "busy.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    engine = sa.create_engine(
        f"duckdb:///{path}", connect_args={"read_only": True}, poolclass=sa.pool.NullPool
    )
    with open_driver(engine, "duckdb") as driver:
        assert isinstance(driver, WorkerDriver)
        assert run(driver, "SELECT a FROM t").rows == ((1,),)
        with duckdb.connect(str(path), read_only=True) as connection:
            assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
        time.sleep(worker.DUCKDB_IDLE_S + 0.5)
        with duckdb.connect(str(path)) as connection:
            connection.execute("INSERT INTO t VALUES (2)")
        assert run(driver, "SELECT SUM(a) FROM t").rows == ((3,),)
        script = f"import duckdb, time; c = duckdb.connect({str(path)!r}); print('open', flush=True); "
        script += "time.sleep(30)"
        time.sleep(worker.DUCKDB_IDLE_S + 0.5)
        writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(QueryFailed, match="lock"):
            run(driver, "SELECT 1")
        writer.kill()
        writer.wait()
        writer.stdout.close()
        assert run(driver, "SELECT SUM(a) FROM t").rows == ((3,),)


# -- databases in the memory of the caller -------------------------------------------------------


@pytest.fixture(params=["sqlite", "duckdb"])
def memory_driver(request: pytest.FixtureRequest) -> Any:
    if request.param == "duckdb":
        pytest.importorskip("duckdb")
        engine = sa.create_engine("duckdb:///:memory:")
    else:
        engine = sa.create_engine(
            "sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False}
        )
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a INTEGER, b VARCHAR)"))
        connection.execute(sa.text("INSERT INTO t VALUES (1, 'one'), (2, 'two')"))
    driver = open_driver(engine, request.param)
    assert not isinstance(driver, WorkerDriver)
    yield driver
    driver.close()
    engine.dispose()


def test_memory_databases_are_read_through_the_engine(memory_driver: Any) -> None:
    result = run(memory_driver, "SELECT a, b FROM t ORDER BY a")
    assert result.rows == ((1, "one"), (2, "two"))
    assert run(memory_driver, "SELECT a FROM t", Limits(max_rows=1)).truncated
    for sql in (
        "INSERT INTO t VALUES (3, 'x')",
        "DROP TABLE t",
        "SELECT 1; DROP TABLE t",
        "PRAGMA user_version=1",
    ):
        with pytest.raises(QueryFailed):
            run(memory_driver, sql)
    assert run(memory_driver, "SELECT COUNT(*) FROM t").rows == ((2,),)


def test_memory_databases_keep_the_time_limit_and_their_engine(memory_driver: Any) -> None:
    endless = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r"
    started = time.monotonic()
    with pytest.raises(LimitReached):
        run(memory_driver, endless, SECOND)
    assert time.monotonic() - started < 2.0
    with memory_driver._engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (3, 'three')"))
    assert run(memory_driver, "SELECT COUNT(*) FROM t").rows == ((3,),)


# -- speed, for the curious: pytest --benchmark-enable ---------------------------------------------


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb"])
def test_overhead_of_a_query(dialect: str, request: pytest.FixtureRequest, benchmark: Any) -> None:
    shop = request.getfixturevalue(f"{dialect}_shop")
    assert benchmark(shop.run, "SELECT 1").rows == ((1,),)


def test_start_of_a_worker(small_file: Path, benchmark: Any) -> None:
    def start() -> None:
        with sqlite_driver(small_file) as driver:
            run(driver, "SELECT 1")

    benchmark.pedantic(start, rounds=10)
