"""The queries of TPC-H and TPC-DS validate, run as they were rendered, and are judged quickly."""

from __future__ import annotations

import statistics
import time
from functools import cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from sqlgen.sql.ddl import catalog_from_ddl
from sqlgen.types import Catalog, ValidatedQuery
from sqlgen.validation import validate
from tests.validation.conftest import cases

SUITES = {"tpch": 22, "tpcds": 99}


@cache
def suite(name: str) -> tuple[str, Catalog, dict[str, str]]:
    found = dict(cases(f"{name}.sql"))
    tables = found.pop("tables")
    return tables, catalog_from_ddl(tables, "duckdb"), found


@pytest.mark.parametrize("name", SUITES)
def test_every_query_validates_and_runs(name: str) -> None:
    duckdb = pytest.importorskip("duckdb")
    tables, catalog, queries = suite(name)
    assert len(queries) == SUITES[name]
    refused = []
    with duckdb.connect(":memory:") as connection:
        connection.execute(tables)
        for number, sql in queries.items():
            verdict = validate(sql, catalog, "duckdb", max_rows=1000)
            if isinstance(verdict, ValidatedQuery):
                connection.execute(verdict.sql).fetchall()
            else:
                refused.append((number, verdict.findings))
    assert refused == []


def times_ms() -> list[float]:
    """The shortest of three validations of each query, in milliseconds of the thread's own time."""
    taken = []
    for name in SUITES:
        _, catalog, queries = suite(name)
        for sql in queries.values():
            rounds = []
            for _ in range(3):
                started = time.thread_time()
                validate(sql, catalog, "duckdb", max_rows=1000)
                rounds.append(time.thread_time() - started)
            taken.append(min(rounds) * 1000)
    return taken


def test_no_query_takes_out_of_proportion() -> None:
    taken = times_ms()
    assert max(taken) <= 20 * statistics.median(taken)


def test_validation_of_all_of_them(benchmark: BenchmarkFixture) -> None:
    """Milliseconds stand in the benchmark's own report: ``pytest --benchmark-enable --benchmark-only``."""
    taken = benchmark.pedantic(times_ms, rounds=1)
    benchmark.extra_info |= {"median_ms": statistics.median(taken), "longest_ms": max(taken)}
