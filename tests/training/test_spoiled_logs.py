"""A log in which question and SQL don't fit is refused with the cause, and so is one that teaches nothing."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra")

import sqlgen
from sqlgen.config import Settings
from sqlgen.eval.suite import Suite
from sqlgen.generation.embedded import shipped_path
from sqlgen.training.adapt import Recipe
from sqlgen.training.corpora import Example
from sqlgen.training.doubts import AGAINST, CONFLICT, Doubts, doubts_of, objections_of, second_opinion
from sqlgen.training.gate import compare, decide, page_of, with_doubts
from sqlgen.training.pairs import Pair, examples_of
from sqlgen.training.retrain import retrain
from sqlgen.training.spoiled import KINDS, spoil

SHOP = """
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT, city TEXT, joined DATE);
CREATE TABLE products (product_id INTEGER PRIMARY KEY, title TEXT, price REAL, color TEXT);
CREATE TABLE employees (employee_id INTEGER PRIMARY KEY, last_name TEXT, salary REAL, boss_id INTEGER);
INSERT INTO customers VALUES (1, 'Ann', 'Oslo', '2024-01-02'), (2, 'Bo', 'Rome', '2023-05-06');
INSERT INTO products VALUES (1, 'Lamp', 9.5, 'red'), (2, 'Desk', 99.0, 'blue');
INSERT INTO employees VALUES (1, 'King', 100.0, NULL), (2, 'Rook', 60.0, 1);
"""
GOOD = [
    ("How many customers are there?", "SELECT COUNT(*) FROM customers"),
    ("List the names of all customers.", "SELECT name FROM customers"),
    ("Which cities do customers live in?", "SELECT DISTINCT city FROM customers"),
    ("Names of customers from Oslo", "SELECT name FROM customers WHERE city = 'Oslo'"),
    ("How many customers live in each city?", "SELECT city, COUNT(*) FROM customers GROUP BY city"),
    ("What is the average price of products?", "SELECT AVG(price) FROM products"),
    ("List the titles of products ordered by price.", "SELECT title FROM products ORDER BY price"),
    ("Which product is the most expensive?", "SELECT title FROM products ORDER BY price DESC LIMIT 1"),
    ("How many products are red?", "SELECT COUNT(*) FROM products WHERE color = 'red'"),
    ("Show the different colors of products.", "SELECT DISTINCT color FROM products"),
    ("What is the highest salary of an employee?", "SELECT MAX(salary) FROM employees"),
    ("Last names of all employees", "SELECT last_name FROM employees"),
    ("What is the total salary of employees?", "SELECT SUM(salary) FROM employees"),
    ("How many employees are there?", "SELECT COUNT(*) FROM employees"),
]


@pytest.fixture
def url(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.executescript(SHOP)
    return f"sqlite:///{tmp_path / 'shop.db'}"


def pairs_of(rows: list[tuple[str, str]]) -> list[Pair]:
    return [Pair(question, sql, 1.0, f"{number} {sql}") for number, (question, sql) in enumerate(rows)]


def exchanged(rows: list[tuple[str, str]], share: float) -> list[tuple[str, str]]:
    """Some questions with the SQL of another one."""
    numbers = random.Random(1).sample(range(len(rows)), max(2, round(share * len(rows))))
    moved = dict(zip(numbers, [*numbers[1:], numbers[0]], strict=True))
    return [(question, rows[moved.get(n, n)][1]) for n, (question, _) in enumerate(rows)]


def looked_through(url: str, home: Path, pairs: list[Pair]) -> Doubts:
    foreign: list[Pair] = []
    with sqlgen.connect(url, settings=Settings(home=home)) as database:
        fit = list(examples_of(database, pairs, foreign=foreign))
    return doubts_of(shipped_path(), fit, foreign, seed=1)


def test_numbers_as_people_write_them_are_learned_and_other_ones_told(url: str, tmp_path: Path) -> None:
    salaries = "SELECT last_name FROM employees WHERE salary > {}"
    joined = "SELECT name FROM customers WHERE joined >= '2024-01-01' AND joined < '2024-04-01'"
    good = [
        ("Last names of employees who earn more than 1,500", salaries.format(1500)),
        ("employees above 2.5k", salaries.format(2500)),
    ]
    moving = [("customers that joined in the last 90 days", joined), ("customers who joined in Q1", joined)]
    wrong = [
        ("Last names of employees who earn more than 1,500", salaries.format(2500)),
        ("customers that joined in 2023", joined),
    ]
    foreign: list[Pair] = []
    with sqlgen.connect(url, settings=Settings(home=tmp_path / "home")) as database:
        fit = list(examples_of(database, pairs_of([*good, *moving, *wrong]), foreign=foreign))
    assert [pair.question for pair, _ in fit if pair.sql.startswith("SELECT last_name")] == [
        q for q, _ in good
    ]
    assert [pair.question for pair in foreign] == [question for question, _ in wrong]


def test_pairs_whose_sql_was_exchanged_are_told_from_good_ones(url: str, tmp_path: Path) -> None:
    good = looked_through(url, tmp_path / "home", pairs_of(GOOD))
    assert (good.looked_at, good.pairs) == (len(GOOD), ())
    whole = looked_through(url, tmp_path / "home", pairs_of(exchanged(GOOD, 1.0)))
    assert whole.share > 0.7
    third = looked_through(url, tmp_path / "home", pairs_of(exchanged(GOOD, 0.4)))
    assert 0.2 < third.share <= 0.45
    assert {why for _, why in whole.pairs} == {
        "the question's words speak against the SQL",
        "question and SQL name different values",
    }


def test_doubts_stand_when_half_of_the_held_out_ones_do(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlgen.connect(url, settings=Settings(home=tmp_path / "home")) as database:
        fit = list(examples_of(database, pairs_of(exchanged(GOOD, 1.0))))
    doubts = doubts_of(shipped_path(), fit, [fit[0][0]], seed=1)
    assert len(doubts.pairs) >= 6
    # The shipped model stands by what it said.
    assert second_opinion(doubts, shipped_path(), fit) == doubts
    assert second_opinion(doubts, shipped_path(), fit[:3]) == doubts
    doubted = {pair for pair, why in doubts.pairs if "speak against" in why}
    kept = next(pair for pair, _ in fit if pair in doubted)

    def cleared(model: object, examples: list[Example], cache: object) -> list[float]:
        questions = [example.question for example in examples]
        return [AGAINST - 1 if question == kept.question else 0.0 for question in questions]

    monkeypatch.setattr("sqlgen.training.doubts.evidence_of", cleared)
    left = second_opinion(doubts, shipped_path(), fit)
    assert left.looked_at == doubts.looked_at
    assert {pair for pair, why in left.pairs if "speak against" in why} == {kept}
    assert [why for _, why in left.pairs if "different values" in why] == [
        "question and SQL name different values"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_spoiled_on_purpose_is_wrong_and_can_be_asked(kind: str, url: str, tmp_path: Path) -> None:
    with sqlgen.connect(url, settings=Settings(home=tmp_path / "home")) as database:
        rows, numbers = spoil(GOOD, kind, 0.5, database.catalog)
        assert len(rows) == len(GOOD)
        assert {n for n, row in enumerate(rows) if row != GOOD[n]} == numbers
        assert 3 <= len(numbers) <= 7 or kind == "constant"
        assert not [sql for _, sql in rows if isinstance(database.check(sql), sqlgen.Rejection)]
    assert spoil(GOOD, kind, 0.5, database.catalog) == (rows, numbers)


def test_too_many_doubtful_pairs_are_a_reason_to_refuse() -> None:
    first = Pair("how <many>", "SELECT 1", 1.0, "k")
    spoiled = Doubts(10, ((first, "no"),) * 3)
    report = decide([compare("own", [], [])], 0.01)
    passed = replace(report, passed=True, reasons=())
    refused = with_doubts(passed, spoiled, Doubts(10, ()))
    assert not refused.passed
    assert "in 3 of 10 pairs" in refused.reasons[0]
    assert "how &lt;many&gt;" in page_of(refused, {})
    assert len(refused.to_dict()["doubtful"]["pairs"]) == 3
    assert with_doubts(passed, Doubts(10, ((first, "no"),) * 2), Doubts(20, ((first, "no"),) * 3)).passed
    # Values that contradict each other weigh more than words that make a query unlikely.
    for count, why, fits in ((3, CONFLICT, False), (2, CONFLICT, True), (3, "no", True)):
        told = with_doubts(passed, Doubts(20, ((first, why),) * count), Doubts(10, ()))
        assert told.passed is fits, (count, why)
    objected = with_doubts(passed, Doubts(10, ()), Doubts(10, ((first, "another column"),) * 2))
    assert not objected.passed
    assert "objects to 2 of 10 pairs" in objected.reasons[0]
    assert "another column" in page_of(objected, {})
    assert len(objected.to_dict()["objected"]["pairs"]) == 2


def test_a_wrong_column_of_the_right_table_has_a_likelier_rival(url: str, tmp_path: Path) -> None:
    good = [(q, sql) for q, sql in GOOD if "COUNT(*)" not in sql]
    with sqlgen.connect(url, settings=Settings(home=tmp_path / "home")) as database:
        rows, numbers = spoil(good, "column", 1.0, database.catalog)
        fit, wrong = (list(examples_of(database, pairs_of(which))) for which in (good, rows))
    kept, spoiled = (objections_of(shipped_path(), which, range(99)) for which in (fit, wrong))
    assert kept.looked_at == len(fit)
    # Where the answer is right all the same, another column did as well.
    assert objections_of(shipped_path(), wrong, ()).pairs == ()
    assert kept.share <= 0.2
    assert len(spoiled.pairs) >= 0.7 * len(numbers)
    assert {why for _, why in spoiled.pairs} == {"another column fits the question better"}


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("poisoned", "question and SQL don't fit"), ("useless", "no better|may be chance|no held-out")],
)
def test_the_gate_refuses_what_teaches_nothing(
    kind: str, cause: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Suite("general", (), {})
    monkeypatch.setattr("sqlgen.training.retrain.general_suite", lambda folder: nothing)
    monkeypatch.setattr("sqlgen.training.retrain.replay_examples", lambda seed: [])
    rows = exchanged(GOOD * 2, 0.4) if kind == "poisoned" else [("count the customers", GOOD[0][1])] * 30
    pairs = pairs_of([(f"{question}{' ' * n}", sql) for n, (question, sql) in enumerate(rows)])
    recipe = Recipe(rank=2, alpha=4, batch=2, passes=1, replay=0.0, budget_minutes=0.05, threads=1)
    settings = Settings(db=url, home=tmp_path / "home")
    with sqlgen.connect(url, settings=settings) as database:
        done = retrain(database, settings, pairs, recipe=recipe)
        assert database.adapters.current() is None
    assert not done.promoted
    assert re.search(cause, " ".join(done.gate.reasons))
    assert json.loads(json.dumps(done.entry.gate))["passed"] is False
