"""Limits that hold: endless queries on all engines, what they leave behind, memory, cells, planner estimates."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.errors import LimitReached, QueryFailed
from sqlgen.execution import Driver, RowStream, open_driver
from sqlgen.execution.process import WorkerDriver
from sqlgen.types import Limits, Result, ValidatedQuery

MEMORY_MIB = 500
ENDLESS = {
    "cartesian join": {"": "SELECT COUNT(*) FROM item a, item b, item c, item d WHERE a.name < d.name"},
    "sorted product": {
        "": "SELECT a.name, b.name, c.name FROM item a, item b, item c ORDER BY a.price + b.id * c.id"
    },
    "grouped product": {
        "": "SELECT a.name, b.name, c.id, COUNT(*) FROM item a, item b, item c GROUP BY a.name, b.name, c.id"
    },
    "recursion": {
        "": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r"
    },
    "growing recursion": {
        "": "WITH RECURSIVE r(n, s) AS (SELECT 1, CAST('x' AS CHAR(1000)) UNION ALL SELECT n + 1, s FROM r) "
        "SELECT MAX(n), MAX(s) FROM r",
    },
    "series": {
        "sqlite": "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s WHERE v < 1000000000000) "
        "SELECT SUM(v) FROM s",
        "duckdb": "SELECT COUNT(*) FROM generate_series(1, 1000000000000) t(g) WHERE g % 7 = 3",
        "postgres": "SELECT COUNT(*) FROM generate_series(1, 1000000000000) g WHERE g % 7 = 3",
        "mysql": "WITH RECURSIVE s(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM s WHERE v < 1000000000000) "
        "SELECT SUM(v) FROM s",
    },
    "huge repeat": {
        "sqlite": "SELECT printf('%.*c', 1000000000, 'x')",
        "duckdb": "SELECT repeat('x', 4000000000)",
        "postgres": "SELECT repeat('x', 1000000000)",
        "mysql": "SELECT SUM(LENGTH(MD5(REPEAT(name, 1000000)))) FROM item",
    },
    "many large cells": {
        "sqlite": "SELECT hex(zeroblob(9000000)) || a.id FROM item a, item b ORDER BY random()",
        "duckdb": "SELECT repeat(name, 1000000) FROM item ORDER BY 1",
        "postgres": "SELECT repeat(a.name, 10000000) FROM item a, item b ORDER BY 1",
        "mysql": "SELECT a.id, REPEAT(a.name, 1000000) AS r FROM item a, item b ORDER BY r",
    },
}


def resident_mib(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


class Peak:
    """The most memory that the worker had, and that this process grew by, within the block."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self.worker_mib, self.own_mib = driver, 0.0, 0.0
        self._done = threading.Event()
        self._base = resident_mib(os.getpid())
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self.own_mib = max(self.own_mib, resident_mib(os.getpid()) - self._base)
            if isinstance(self.driver, WorkerDriver):
                for worker in list(self.driver._workers.busy):
                    self.worker_mib = max(self.worker_mib, resident_mib(worker.process.pid))

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def busy_sessions(shop: Any) -> list[Any]:
    statement = {
        "postgres": "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND state <> 'idle'",
        "mysql": "SELECT id, info FROM information_schema.processlist WHERE db = DATABASE() "
        "AND id <> CONNECTION_ID() AND command <> 'Sleep'",
    }[shop.dialect]
    with shop.engine.connect() as connection:
        return list(connection.execute(sa.text(statement)))


def assert_nothing_runs(shop: Any) -> None:
    if shop.dialect in ("postgres", "mysql"):
        deadline = time.monotonic() + 2.0
        while busy_sessions(shop) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert busy_sessions(shop) == []
    else:
        assert not shop.driver._workers.busy


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("name", ENDLESS)
def test_endless_queries_end_within_a_second_of_the_limit(shop: Any, name: str) -> None:
    sql = ENDLESS[name].get(shop.dialect) or ENDLESS[name][""]
    if shop.dialect == "postgres":
        sql = sql.replace("CAST('x' AS CHAR(1000))", "repeat('x', 1000)").replace("CHAR(1000)", "TEXT")
    shop.run("SELECT 1")
    started = time.monotonic()
    with Peak(shop.driver) as peak, pytest.raises((LimitReached, QueryFailed)) as caught:
        shop.run(sql, timeout_s=1.0)
    took = time.monotonic() - started
    assert took < 2.0, f"{took:.2f} s"
    assert isinstance(caught.value, LimitReached), caught.value
    assert peak.worker_mib < MEMORY_MIB, f"{peak.worker_mib:.0f} MiB in the worker"
    assert peak.own_mib < MEMORY_MIB / 2, f"{peak.own_mib:.0f} MiB more in this process"
    assert_nothing_runs(shop)
    assert shop.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


# -- notes ---------------------------------------------------------------------------------------


def rules(result: Result) -> list[str]:
    return [note.rule for note in result.notes if note.rule != "superuser"]


def test_every_limit_that_was_met_is_said(shop: Any) -> None:
    assert rules(shop.run("SELECT id FROM item WHERE id < 5")) == []
    rows = shop.run("SELECT id FROM item", max_rows=10)
    assert (rules(rows), rows.truncated) == (["rows"], True)
    assert "10 rows" in next(n.message for n in rows.notes if n.rule == "rows")
    heavy = shop.run("SELECT id, name, price, made FROM item", max_bytes=20_000, max_rows=5000)
    assert (rules(heavy), heavy.truncated) == (["bytes"], True)
    assert "20,000 bytes" in next(n.message for n in heavy.notes if n.rule == "bytes")


def test_long_cells_are_cut_and_marked(shop: Any) -> None:
    long = "hex(zeroblob(50000))" if shop.dialect == "sqlite" else "REPEAT('0', 100000)"
    result = shop.run(
        f"SELECT id, {long} AS doc, name FROM item WHERE id < 2 ORDER BY id", max_cell_bytes=1000
    )
    assert rules(result) == ["cells"]
    assert result.truncated
    assert [(row[0], row[2]) for row in result.rows] == [(0, "item 0"), (1, "item 1")]
    assert {row[1] for row in result.rows} == {"0" * 1000 + "… (100000 characters)"}
    assert "2 cells" in next(n.message for n in result.notes if n.rule == "cells")


def test_a_ten_megabyte_cell_comes_back_cut(shop: Any) -> None:
    long = "hex(zeroblob(5000000))" if shop.dialect == "sqlite" else "REPEAT('0', 10000000)"
    if shop.dialect == "mysql":
        shop.run("SELECT 1")
    ((cell,),) = shop.run(f"SELECT {long} FROM item WHERE id = 1").rows
    assert cell.startswith("0" * 2**20)
    assert cell.endswith("… (10000000 characters)")


# -- estimates -----------------------------------------------------------------------------------

PRODUCT = "SELECT COUNT(*) FROM item a, item b, item c, item d WHERE a.name < d.name"


def estimate(shop: Any, sql: str) -> Any:
    return shop.driver.estimate(ValidatedQuery(sql, shop.dialect, (), ()), Limits(timeout_s=5.0))


def test_planners_tell_what_a_query_takes(shop: Any) -> None:
    if shop.dialect in ("postgres", "mysql"):
        with shop.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE item" if shop.dialect == "postgres" else "ANALYZE TABLE item")
            connection.commit()
    small, large = estimate(shop, "SELECT name FROM item WHERE id = 7"), estimate(shop, PRODUCT)
    if shop.dialect == "sqlite":
        assert small is large is None
        return
    assert small.rows is not None
    assert small.rows <= 3100
    assert large.rows > 1e9
    if shop.dialect == "postgres":
        assert small.cost < 1000 < large.cost


def test_an_estimate_runs_nothing(shop: Any) -> None:
    if shop.dialect == "sqlite":
        assert estimate(shop, "SELECT 1") is None
        return
    started = time.monotonic()
    estimate(shop, PRODUCT)
    assert time.monotonic() - started < 1.5
    for sql in ("SELECT 1; DROP TABLE item", "DELETE FROM item", "SELECT nosuch FROM item"):
        with pytest.raises(QueryFailed):
            estimate(shop, sql)
    assert estimate(shop, "EXPLAIN SELECT 1") is None
    assert shop.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


# -- streams -------------------------------------------------------------------------------------

WIDE = "SELECT a.id, b.name, a.name FROM item a JOIN item b ON b.id < 200"


@contextmanager
def streaming(shop: Any, sql: str, **limits: Any) -> Iterator[RowStream]:
    limits.setdefault("timeout_s", 20.0)
    with shop.driver.stream(ValidatedQuery(sql, shop.dialect, (), ()), Limits(**limits)) as rows:
        yield rows


def test_a_stream_hands_out_every_row_in_batches(shop: Any) -> None:
    with streaming(shop, "SELECT id, name FROM item ORDER BY id", max_rows=700) as stream:
        assert [c.name for c in stream.columns] == ["id", "name"]
        batches = list(stream)
    assert max(map(len, batches)) <= 700
    assert [row for batch in batches for row in batch] == [(i, f"item {i}") for i in range(3000)]
    with streaming(shop, "SELECT id FROM item WHERE id < 0") as stream:
        assert list(stream) == []
    assert shop.run("SELECT 1").rows == ((1,),)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_stream_takes_constant_memory(shop: Any) -> None:
    with streaming(shop, "SELECT id FROM item", max_rows=10_000) as stream:
        list(stream)
    count = 0
    with Peak(shop.driver) as peak, streaming(shop, WIDE, max_rows=10_000) as stream:
        for batch in stream:
            count += len(batch)
    assert count == 600_000
    assert peak.own_mib < 60, f"{peak.own_mib:.0f} MiB more in this process"
    assert peak.worker_mib < 250, f"{peak.worker_mib:.0f} MiB in the worker"


def test_a_stream_left_early_leaves_nothing_running(shop: Any) -> None:
    with streaming(shop, WIDE) as stream:
        next(iter(stream))
    assert_nothing_runs(shop)
    assert shop.run("SELECT 1").rows == ((1,),)


def test_the_reader_of_a_stream_may_take_its_time(shop: Any) -> None:
    with streaming(shop, WIDE, timeout_s=0.5, max_rows=1000) as stream:
        batches = iter(stream)
        next(batches)
        time.sleep(1.2)
        assert next(batches)


def test_a_stream_keeps_the_time_limit_for_each_batch(shop: Any) -> None:
    shop.run("SELECT 1")
    started = time.monotonic()
    with pytest.raises(LimitReached), streaming(shop, PRODUCT, timeout_s=0.5) as stream:
        list(stream)
    assert time.monotonic() - started < 1.5
    assert shop.run("SELECT 1").rows == ((1,),)


def test_a_stream_writes_no_more_than_a_query_does(shop: Any) -> None:
    for sql in ("DELETE FROM item", "SELECT 1; DROP TABLE item"):
        with pytest.raises(QueryFailed), streaming(shop, sql) as stream:
            list(stream)
    assert shop.run("SELECT COUNT(*) FROM item").rows == ((3000,),)


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb"])
def test_databases_in_memory_stream_too(dialect: Any) -> None:
    url = "sqlite://" if dialect == "sqlite" else "duckdb:///:memory:"
    arguments = {"check_same_thread": False} if dialect == "sqlite" else {}
    engine = sa.create_engine(url, poolclass=sa.pool.StaticPool, connect_args=arguments)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t AS SELECT 1 AS a UNION ALL SELECT 2")
    with open_driver(engine, dialect) as driver:
        query = ValidatedQuery("SELECT a FROM t ORDER BY a", dialect, (), ())
        with driver.stream(query, Limits(max_rows=1)) as stream:
            assert list(stream) == [((1,),), ((2,),)]
        assert driver.execute(query, Limits()).rows == ((1,), (2,))
    engine.dispose()


def test_only_so_many_queries_run_at_once(shop: Any) -> None:
    if shop.dialect not in ("postgres", "mysql"):
        pytest.skip("files have four workers")
    sleep = "SELECT pg_sleep(1.2)" if shop.dialect == "postgres" else "SELECT SLEEP(1.2)"
    threads = [threading.Thread(target=shop.run, args=(sleep,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    with pytest.raises(LimitReached, match="8 queries"):
        shop.run("SELECT 1", timeout_s=0.3)
    for thread in threads:
        thread.join()
    assert shop.run("SELECT 1").rows == ((1,),)
