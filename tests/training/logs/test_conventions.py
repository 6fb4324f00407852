"""Thresholds that a log without questions repeats, and the adjectives that stand for them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.knowledge import Term
from sqlgen.training.logs.conventions import find_conventions, find_habits, said_by, said_by_habit
from sqlgen.training.pairs import Pair, by_convention
from sqlgen.types import Catalog, Column, ForeignKey, Table

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
        pytest.param(log(*["population > 150000"] * 2), id="twice with other values is chance"),
        pytest.param(["SELECT name FROM cities WHERE population > 150000"] * 5, id="one statement that runs often"),
        pytest.param(log(*[f"population > {n}" for n in (1, 1, 1, 2, 3)]), id="other thresholds are as usual"),
        pytest.param([f"DELETE FROM cities WHERE population > 9 AND {c}" for c in ("state = 'Ohio'", "founded < 9")], id="no queries"),
        pytest.param(log(*["founded > 1900"] * 4), id="no measure that English has an adjective for"),
        pytest.param(log(*["population = 5"] * 4), id="no threshold"),
        pytest.param(log(*["population > 5 OR state = 'Ohio'"] * 4), id="a condition that need not hold"),
    ],
)  # fmt: skip
def test_what_is_no_convention(statements: list[str]) -> None:
    assert found(statements) == {}


def test_two_statements_are_enough_when_they_differ_in_more_than_values() -> None:
    other = "SELECT state FROM cities WHERE population > 150000 AND founded > 1900"
    assert found([*log("population > 150000"), other]) == {"major city": "population > 150000"}
    assert found([*log("population > 150000", "population > 9000"), other]) == {}


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
        assert all("major" in pair.question.lower() and "Ohio" in pair.question for pair in made)
        assert not any("150000" in pair.question for pair in made)
        assert list(by_convention(database, pairs[2:], [convention])) == []
        other = "SELECT name FROM cities WHERE state = 'Ohio'"
        assert list(said_by(convention, other, database.catalog, "sqlite", ["cities"])) == []


SHOWN = frozenset({"cities.name", "cities.founded"})


def listings(columns: str, *conditions: str) -> list[str]:
    return [f"SELECT {columns} FROM cities WHERE {c}" for c in conditions]


def test_columns_that_are_listed_together_are_a_habit_in_any_order() -> None:
    statements = listings("name, founded", "state = 'Ohio'", "population > 5")
    statements += listings("c.founded, c.name", "state IS NULL")
    assert find_habits([s.replace("FROM cities", "FROM cities c") for s in statements], WORLD, "sqlite") == (
        SHOWN,
    )


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(listings("name, founded", "state = 'Ohio'", "state = 'Utah'", "state = 'Iowa'"), id="one report"),
        pytest.param(listings("name", "state = 'Ohio'", "population > 5", "founded < 9"), id="one column"),
        pytest.param(listings("COUNT(*), name", "state = 'Ohio'", "population > 5", "founded < 9"), id="a number among them"),
        pytest.param(
            listings("name, founded", "state = 'Ohio'", "population > 5", "founded < 9")
            + listings("founded, population", "name = 'Rome'", "founded > 5", "state > 'A'", "state < 'Z'"),
            id="one of them as often with others",
        ),
        pytest.param(listings("nothing, known", "state = 'Ohio'", "population > 5", "founded < 9"), id="unknown columns"),
    ],
)  # fmt: skip
def test_what_is_no_habit(statements: list[str]) -> None:
    assert find_habits(statements, WORLD, "sqlite") == ()


def test_what_is_shown_by_habit_goes_unsaid() -> None:
    (sql,) = listings("founded, name", "state = 'Ohio'")
    said = said_by_habit([SHOWN], sql, WORLD, "sqlite", ["cities"])
    assert "What are the cities of Ohio?" in said
    assert not any("founded" in question or "name" in question for question in said)
    assert said_by_habit([frozenset({"cities.name", "cities.state"})], sql, WORLD, "sqlite", ["cities"]) == ()


def test_an_address_by_habit_stands_for_what_lies_there() -> None:
    key = ForeignKey(("spot_id",), "spots", ("id",))
    spots = Table(
        "spots",
        (
            Column("id", "INTEGER", "number", primary_key=True),
            Column("name", "TEXT", "text"),
            Column("rating", "REAL", "number"),
        ),
    )
    places = Table(
        "places",
        (
            Column("spot_id", "INTEGER", "number"),
            Column("house", "INTEGER", "number"),
            Column("city", "TEXT", "text"),
        ),
        foreign_keys=(key,),
    )
    world = Catalog("sqlite", (spots, places))
    sql = "SELECT p.house, s.name FROM places p JOIN spots s ON s.id = p.spot_id WHERE p.city = 'Rome' AND s.rating > 2.5"
    habit = frozenset({"places.house", "spots.name"})
    said = said_by_habit([habit], sql, world, "sqlite", ["spots", "places"])
    assert "Show me all spots in Rome whose rating is more than 2.5." in said
    (good,) = find_conventions([f"{sql} LIMIT {n}" for n in range(3)], world, "sqlite")
    assert "Good spots in Rome" in list(said_by(good, sql, world, "sqlite", ["spots", "places"], [habit]))
