"""Thresholds that a log without questions repeats, and the adjectives that stand for them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.knowledge import Term
from sqlgen.training.logs.conventions import find_conventions, said_by
from sqlgen.training.pairs import Pair, by_convention
from sqlgen.types import Catalog, Column, Table

CITY = Table(
    "cities",
    (
        Column("name", "TEXT", "text"),
        Column("state", "TEXT", "text"),
        Column("population", "INTEGER", "number"),
        Column("founded", "INTEGER", "number"),
    ),
)
RIVER = Table("rivers", (Column("name", "TEXT", "text"), Column("length", "INTEGER", "number")))
SHOP = Table("shops", (Column("name", "TEXT", "text"), Column("rating", "REAL", "number")))
CAFE = Table("cafes", (Column("name", "TEXT", "text"), Column("rating", "REAL", "number")))
WORLD = Catalog("sqlite", (CITY, RIVER, SHOP, CAFE))


def log(*conditions: str, table: str = "cities") -> list[str]:
    return [f"SELECT name FROM {table} WHERE {c} LIMIT {n + 1}" for n, c in enumerate(conditions)]


def found(statements: list[str], *known: Term) -> dict[str, str]:
    return {c.term.name: c.term.definition for c in find_conventions(statements, WORLD, "sqlite", known)}


def test_a_threshold_that_is_repeated_gets_its_adjective() -> None:
    statements = log(*["population > 150000"] * 3, "population > 150000 AND state = 'Ohio'")
    (convention,) = find_conventions(statements, WORLD, "sqlite")
    assert convention.term.name == "major city"
    # Alone these words are in too many questions that mean something else: rivers are major too.
    assert convention.term.synonyms == ("big city", "large city")
    assert found(log(*["rating > 3"] * 3, table="shops")) == {"good": "shops.rating > 3"}
    assert found(log(*["length > 750"] * 3, table="rivers")) == {"long river": "length > 750"}
    assert found(log(*["population <= 9000"] * 3)) == {"minor city": "population <= 9000"}


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(log(*["population > 150000"] * 2), id="twice is chance"),
        pytest.param(["SELECT name FROM cities WHERE population > 150000"] * 5, id="one statement that runs often"),
        pytest.param(log(*[f"population > {n}" for n in (1, 1, 1, 2, 3)]), id="other thresholds are as usual"),
        pytest.param(log(*["founded > 1900"] * 4), id="no measure that English has an adjective for"),
        pytest.param(log(*["population = 5"] * 4), id="no threshold"),
        pytest.param(log(*["population > 5 OR state = 'Ohio'"] * 4), id="a condition that need not hold"),
    ],
)  # fmt: skip
def test_what_is_no_convention(statements: list[str]) -> None:
    assert found(statements) == {}


def test_two_tables_share_an_adjective_only_with_their_nouns() -> None:
    statements = log(*["rating > 3"] * 3, table="shops") + log(*["rating > 4"] * 3, table="cafes")
    assert found(statements) == {"good shop": "shops.rating > 3", "good cafe": "cafes.rating > 4"}


def test_what_people_defined_stands() -> None:
    statements = log(*["population > 150000"] * 3)
    assert found(statements, Term("Major city", "population > 5")) == {"big city": "population > 150000"}


def test_written_questions_say_it_too(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "w.db")) as db:
        db.executescript("CREATE TABLE cities (name TEXT, state TEXT, population INTEGER);")
    sql = "SELECT name FROM cities WHERE state = 'Ohio' AND population > 150000"
    with sqlgen.connect(
        f"sqlite:///{tmp_path / 'w.db'}", settings=Settings(home=tmp_path / "home")
    ) as database:
        (convention,) = find_conventions([f"{sql} LIMIT {n}" for n in range(3)], database.catalog, "sqlite")
        pairs = [Pair("q", sql, 0.5, "k", is_written=written) for written in (True, True, False)]
        made = list(by_convention(database, pairs, [convention]))
        assert made
        assert {(pair.sql, pair.weight, pair.key) for pair in made} == {(sql, 0.5, "k")}
        assert all("major" in pair.question and "Ohio" in pair.question for pair in made)
        assert not any("150000" in pair.question for pair in made)
        assert list(by_convention(database, pairs[2:], [convention])) == []
        other = "SELECT name FROM cities WHERE state = 'Ohio'"
        assert list(said_by(convention, other, database.catalog, "sqlite", ["cities"])) == []
