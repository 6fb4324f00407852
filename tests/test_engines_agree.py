"""The same questions on the same shop, in four engines, give equal results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import sqlgen
from sqlgen.catalog import open_engine
from sqlgen.config import Settings
from sqlgen.demo import build_retail, retail_goldens, tour
from sqlgen.execution import open_driver
from sqlgen.execution.compare import results_equal
from sqlgen.generation import load_generator
from sqlgen.generation.protocol import Generator
from sqlgen.pipeline import Database, Reply
from sqlgen.types import Limits, ValidatedQuery

GOLDENS = {g.id: g for g in retail_goldens()}
# The tour, and every third of the other easy golden questions.
ASKED = [*tour(), *[g.id for g in retail_goldens() if g.difficulty == "easy" and g.id not in tour()][::3]]
SCALE = 0.04


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator()


@pytest.fixture(scope="module")
def answers(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reply]:
    folder = tmp_path_factory.mktemp("agree")
    path = folder / "retail.sqlite"
    build_retail(path, scale=SCALE)
    with sqlgen.connect(f"sqlite:///{path}", settings=Settings(home=folder), generator=generator) as db:
        return {name: db.ask(GOLDENS[name].question) for name in ASKED}


@pytest.mark.parametrize("name", tour())
def test_the_tour_is_answered_rightly(name: str, generator: Generator, tmp_path: Path) -> None:
    build_retail(tmp_path / "retail.sqlite")
    golden = GOLDENS[name]
    settings = Settings(home=tmp_path)
    with sqlgen.connect(
        f"sqlite:///{tmp_path / 'retail.sqlite'}", settings=settings, generator=generator
    ) as db:
        answer = db.ask(golden.question)
        gold = db.check(golden.sql)
        assert isinstance(gold, ValidatedQuery)
        with open_driver(open_engine(str(tmp_path / "retail.sqlite")), "sqlite") as driver:
            expected = driver.execute(gold, Limits())
    assert answer.result is not None
    assert results_equal(expected, answer.result, ordered=golden.ordered)


@pytest.fixture(scope="module", params=["duckdb", "postgres", "mysql"])
def other(
    request: pytest.FixtureRequest, generator: Generator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("agree")
    if request.param == "duckdb":
        build_retail(folder / "retail.duckdb", scale=SCALE)
        url = f"duckdb:///{folder / 'retail.duckdb'}"
    else:
        fixture = "new_postgres_database" if request.param == "postgres" else "new_mariadb_database"
        url = request.getfixturevalue(fixture)()
        build_retail(url, scale=SCALE)
    with sqlgen.connect(url, settings=Settings(home=folder), generator=generator) as db:
        yield db


@pytest.mark.timeout(600)
def test_same_answers(other: Database, answers: dict[str, Reply]) -> None:
    different = []
    for name in ASKED:
        ours, theirs = answers[name], other.ask(GOLDENS[name].question)
        assert ours.status == "answered", (name, ours.message)
        assert ours.result is not None
        if theirs.result is None or not results_equal(ours.result, theirs.result):
            different.append((name, ours.sql, theirs.status, theirs.sql, theirs.message))
    assert different == []
    assert len(ASKED) >= 20
