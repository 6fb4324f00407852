"""Conditions that questions take for granted."""

from __future__ import annotations

import pytest

from sqlgen.knowledge import Term
from sqlgen.training.logs.definitions import conditions_of, find_definitions
from sqlgen.types import Catalog, Column, ForeignKey, Table

CITY = Table(
    "city",
    (
        Column("name", "TEXT", "text", primary_key=True),
        Column("population", "INTEGER", "number"),
        Column("state", "TEXT", "text"),
    ),
    foreign_keys=(ForeignKey(("state",), "state", ("name",)),),
)
STATE = Table(
    "state", (Column("name", "TEXT", "text", primary_key=True), Column("population", "INTEGER", "number"))
)
WORLD = Catalog("sqlite", (CITY, STATE))
MAJOR = "SELECT name FROM city WHERE population > 150000"
PLAIN = "SELECT name FROM city"
OTHERS = [(f"cities number {n}", PLAIN) for n in range(20)]


def found(pairs: list[tuple[str, str]], *known: Term) -> dict[str, str]:
    return {t.name: t.definition for t in find_definitions([*pairs, *OTHERS], WORLD, "sqlite", known)}


def test_words_that_always_go_with_a_condition_mean_it() -> None:
    asked = ["what are the major cities", "major cities please", "how many major cities exist"]
    assert found([(question, MAJOR) for question in asked]) == {"major city": "city.population > 150000"}


def test_other_words_for_the_same_condition_are_synonyms() -> None:
    asked = [
        "big towns",
        "list the big ones",
        "name big places",
        "some major towns",
        "major places",
        "any major ones",
    ]
    plain = [(f"{size} {what}", PLAIN) for size in ("small", "all") for what in ("towns", "ones", "places")]
    (term,) = find_definitions([*((q, MAJOR) for q in asked), *plain, *OTHERS], WORLD, "sqlite")
    assert {term.name, *term.synonyms} == {"big", "major"}


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([("major cities", MAJOR), ("which major cities", MAJOR)], id="twice is chance"),
        pytest.param([(f"cities above 150000 {n}", MAJOR) for n in "abc"], id="the question names the value"),
        pytest.param(
            [(f"major cities {n}", MAJOR) for n in "abc"] + [(f"major cities {n}", PLAIN) for n in "defg"], id="they say otherwise too"
        ),
        pytest.param([(f"last year {n}", MAJOR) for n in "abcd"], id="another value tomorrow"),
        pytest.param([(f"{n} major cities", MAJOR.replace("WHERE", "WHERE 1 = 0 OR")) for n in "abcd"], id="not asked of every row"),
    ],
)  # fmt: skip
def test_no_definition_without_evidence(pairs: list[tuple[str, str]]) -> None:
    assert found(pairs) == {}


def test_a_habit_of_the_database_is_no_meaning_of_words() -> None:
    pairs = [(f"thing {n}", MAJOR) for n in "abcdefghijkl"] + [(f"major {n}", MAJOR) for n in "abc"]
    assert "major" not in found(pairs)


def test_what_people_defined_stays_theirs() -> None:
    asked = [(f"major cities {n}", MAJOR) for n in "abc"]
    assert found(asked, Term("Major City", "population over a million")) == {}


@pytest.mark.parametrize(
    ("sql", "conditions"),
    [
        ("SELECT 1 FROM city AS c JOIN state s ON s.name = c.state WHERE c.population > 5 AND (s.name = 'x')",
         {"city.population > 5", "state.name = 'x'"}),
        ("SELECT name FROM state WHERE name IN (SELECT state FROM city WHERE population >= 7)", {"city.population >= 7"}),
        ("SELECT state FROM city WHERE NOT population > 5 OR name = 'x'", set()),
        ("SELECT state FROM city GROUP BY state HAVING MAX(population) > 5", set()),
        ("SELECT (", set()),
    ],
)  # fmt: skip
def test_conditions_are_those_that_every_row_must_meet(sql: str, conditions: set[str]) -> None:
    assert {f"{c.column} {c.sign} " + (f"'{c.value}'" if c.is_text else c.value)
            for c in conditions_of(sql, WORLD, "sqlite")} == conditions  # fmt: skip
