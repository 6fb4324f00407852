"""When a verified query answers a question, as it stands or with one literal exchanged."""

from __future__ import annotations

from datetime import date

import pytest

from sqlgen.knowledge import Verified
from sqlgen.retrieval.recall import recall
from sqlgen.types import ValueMatch

CITY = "SELECT COUNT(*) FROM customers WHERE city = 'New York'"
TOP = "SELECT name FROM customers ORDER BY total DESC LIMIT 5"
YEAR = "SELECT SUM(total) FROM orders WHERE day >= '2024-01-01' AND day < '2025-01-01'"
MONTH = "SELECT SUM(total) FROM orders WHERE day BETWEEN '2024-03-01' AND '2024-03-31'"
HELD = [
    ("city", Verified("How many customers live in New York?", CITY, ("customers of New York",))),
    ("top", Verified("Top 5 customers by total", TOP)),
    ("year", Verified("Sales in 2024", YEAR)),
    ("month", Verified("Turnover of March 2024", MONTH)),
    ("twice", Verified("5 customers with 5 orders", "SELECT id FROM t WHERE n = 5 LIMIT 5")),
]
TODAY = date(2026, 1, 1)


def cell(question: str, said: str, value: str, column: str = "city") -> ValueMatch:
    start = question.index(said)
    return ValueMatch("customers", column, value, start, start + len(said))


def recalled(question: str, *values: ValueMatch) -> str | None:
    found = recall(question, HELD, values, "sqlite", TODAY)
    return None if found is None else found.sql


@pytest.mark.parametrize(
    "question",
    [
        "how many customers LIVE in new york",
        "How many customers live in the New York ?",
        "Customers of New-York!",
        "please list customers of New York",
    ],
)
def test_the_same_question_in_other_dress(question: str) -> None:
    assert recalled(question) == CITY


@pytest.mark.parametrize(
    "question",
    [
        "How many suppliers live in New York?",
        "How many customers do not live in New York?",
        "customers of Old York",
        "New York",
        "top customers by total",
    ],
)
def test_another_question_is_not_the_same(question: str) -> None:
    assert recalled(question) is None


def test_a_cell_of_the_same_column_is_exchanged() -> None:
    question = "How many customers live in Rome?"
    assert recalled(question) is None
    assert recalled(question, cell(question, "Rome", "Rome", "birthplace")) is None
    assert recalled(question, cell(question, "Rome", "ROME", "City")) == CITY.replace("New York", "ROME")
    wording = "customers of sao paulo"
    assert recalled(wording, cell(wording, "sao paulo", "São Paulo")) == CITY.replace("New York", "São Paulo")


def test_two_cells_that_the_word_could_mean_are_ambiguous() -> None:
    question = "customers of rome"
    assert recalled(question, cell(question, "rome", "Rome"), cell(question, "rome", "ROME")) is None


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("top 10 customers by total", TOP.replace("5", "10")),
        ("Top three customers by total", TOP.replace("5", "3")),
        ("Top 2.5 customers by total", None),
        ("Top Berlin customers by total", None),
        ("Sales in 2025", YEAR.replace("2025", "2026").replace("2024", "2025")),
        ("Sales in March 2025", None),
        (
            "Turnover of February 2025",
            MONTH.replace("2024-03-01", "2025-02-01").replace("2024-03-31", "2025-02-28"),
        ),
        ("Turnover of 2025", None),
        ("7 customers with 5 orders", None),
    ],
)
def test_numbers_and_periods_are_exchanged_where_it_is_clear(question: str, sql: str | None) -> None:
    assert recalled(question) == sql


def test_what_was_exchanged_is_told() -> None:
    found = recall("top 10 customers by total", HELD, (), "sqlite", TODAY)
    assert found is not None
    assert (found.id, found.exchanged) == ("top", (("5", "10"),))


def test_the_latest_of_two_counts_and_unreadable_sql_is_passed_over() -> None:
    held = [
        ("a", Verified("n?", "SELECT 1")),
        ("b", Verified("N", "SELECT 2")),
        ("c", Verified("top 5 of it", "SELECT (")),
    ]
    found = recall("n", held, (), "sqlite", TODAY)
    assert found is not None
    assert found.id == "b"
    assert recall("top 6 of it", held, (), "sqlite", TODAY) is None
