"""A part of the fuzzing that `python -m tests.validation.fuzz` does in whole, on all four engines."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from sqlgen.types import Dialect
from tests.conftest import NewDatabase
from tests.validation.conftest import DIALECTS
from tests.validation.fuzz import (
    DuckdbTarget,
    Grammar,
    ServerTarget,
    SqliteTarget,
    Target,
    fuzz,
    mutate,
    statements,
)
from tests.validation.fuzz_atheris import one

# Statements of each dialect in this part; the whole run has 200,000.
COUNT = 600


@pytest.fixture
def target(dialect: Dialect, request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if dialect == "sqlite":
        return SqliteTarget(tmp_path)
    if dialect == "duckdb":
        pytest.importorskip("duckdb")
        return DuckdbTarget(tmp_path)
    fixture = "new_postgres_database" if dialect == "postgres" else "new_mariadb_database"
    new: NewDatabase = request.getfixturevalue(fixture)
    return ServerTarget(new(), dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_crashes_stalls_or_changes_a_database(dialect: Dialect, target: Target) -> None:
    found = fuzz(dialect, COUNT, seed=7, target=target, every=100)
    target.close()
    assert found.faults == []
    assert found.statements == COUNT
    assert found.accepted > COUNT // 10
    assert found.outcomes["rows"] > COUNT // 20
    assert len(found.rules) > 5


def test_a_seed_gives_the_same_statements() -> None:
    assert list(statements("sqlite", 50, 3)) == list(statements("sqlite", 50, 3))
    assert list(statements("sqlite", 50, 3)) != list(statements("sqlite", 50, 4))
    assert mutate("SELECT 1", "SELECT 2", random.Random(1)) == mutate(
        "SELECT 1", "SELECT 2", random.Random(1)
    )


def test_a_change_is_seen(tmp_path: Path, new_postgres_database: NewDatabase) -> None:
    for target in (SqliteTarget(tmp_path), ServerTarget(new_postgres_database(), "postgres")):
        before = target.state()
        assert target.state() == before
        target.run("UPDATE customers SET name = 'x' WHERE id = 1")
        assert target.state() != before
        target.close()


@pytest.mark.parametrize(
    "data", [b"", b"\x00SELECT 1", b"\x01SELECT \xff\xfe", b"\x02DELETE FROM t", b"\x03/*!"]
)
def test_the_target_of_coverage_guided_fuzzing_takes_any_bytes(data: bytes) -> None:
    one(data)


def test_coverage_guided_fuzzing_of_a_few_seconds() -> None:
    pytest.importorskip("atheris", reason="atheris is not installed; pip install atheris")
    command = [sys.executable, "-m", "tests.validation.fuzz_atheris", "-runs=300", "-max_total_time=10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_grammar_writes_what_must_be_refused_too() -> None:
    made = [Grammar("postgres", random.Random(i)).statement() for i in range(200)]
    assert sum(m.startswith(("SELECT", "WITH")) for m in made) > 100
    assert any("DELETE" in m for m in made)
