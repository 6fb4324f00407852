"""Turns of a conversation: what each changes of the query before it."""

from __future__ import annotations

from datetime import date

import pytest

from sqlgen.followup import merged, understand
from sqlgen.sql.ddl import catalog_from_ddl
from sqlgen.types import Catalog, Dialect, ValueMatch
from sqlgen.validation import validate

DDL = """
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT, age INTEGER);
CREATE TABLE orders (
    order_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (customer_id), status TEXT,
    order_date DATE, shipped_date DATE, total_amount NUMERIC
);
"""
CELLS = (("customers", "country", "Germany"), ("customers", "country", "Italy"), ("orders", "status", "paid"))
MONTH = "STRFTIME('%Y-%m', order_date)"
QUARTER = "STRFTIME('%Y', order_date) || '-Q' || ((CAST(STRFTIME('%m', order_date) AS INTEGER) + 2) / 3)"
MONTHLY = f"SELECT {MONTH}, COUNT(*) FROM orders WHERE order_date >= '2025-01-01' AND order_date < '2026-01-01' GROUP BY {MONTH}"


def monthly(where: str) -> str:
    return f"SELECT {MONTH}, COUNT(*) FROM orders WHERE {where} GROUP BY {MONTH}"


COUNTRIES = "SELECT c.country, SUM(o.total_amount) FROM customers AS c JOIN orders AS o ON o.customer_id = c.customer_id GROUP BY c.country"
PEOPLE = "SELECT name FROM customers WHERE age > 30"
TURNS = [
    (
        MONTHLY,
        "only in Germany",
        "SELECT STRFTIME('%Y-%m', orders.order_date), COUNT(*) FROM orders JOIN customers ON orders.customer_id = customers.customer_id "
        "WHERE orders.order_date >= '2025-01-01' AND orders.order_date < '2026-01-01' AND customers.country = 'Germany' "
        "GROUP BY STRFTIME('%Y-%m', orders.order_date)",
    ),
    (MONTHLY, "by quarter instead", MONTHLY.replace(MONTH, QUARTER)),
    (MONTHLY, "and for 2024?", monthly("order_date >= '2024-01-01' AND order_date < '2025-01-01'")),
    (MONTHLY, "since March 2025", monthly("order_date >= '2025-03-01'")),
    (MONTHLY, "what about last month?", monthly("order_date >= '2025-05-01' AND order_date < '2025-06-01'")),
    (MONTHLY, "just the top 3", MONTHLY + " ORDER BY COUNT(*) DESC LIMIT 3"),
    (MONTHLY, "the lowest 2", MONTHLY + " ORDER BY COUNT(*) ASC LIMIT 2"),
    (MONTHLY, "only the paid ones", MONTHLY.replace(" GROUP", " AND status = 'paid' GROUP")),
    (MONTHLY, "without paid", MONTHLY.replace(" GROUP", " AND status != 'paid' GROUP")),
    (MONTHLY, "by status too", MONTHLY.replace(f"{MONTH}, COUNT", f"{MONTH}, status, COUNT") + ", status"),
    (MONTHLY, "only those above 20", MONTHLY + " HAVING COUNT(*) > 20"),
    (MONTHLY, "which one has the most?", MONTHLY + " ORDER BY COUNT(*) DESC LIMIT 1"),
    (COUNTRIES, "except Germany", COUNTRIES.replace(" GROUP", " WHERE c.country != 'Germany' GROUP")),
    (COUNTRIES, "only Germany and Italy", COUNTRIES.replace(" GROUP", " WHERE c.country IN ('Germany', 'Italy') GROUP")),
    (COUNTRIES, "sort by the highest", COUNTRIES + " ORDER BY SUM(o.total_amount) DESC"),
    (COUNTRIES, "sort by country descending", COUNTRIES + " ORDER BY c.country DESC"),
    (COUNTRIES, "by month instead", COUNTRIES.replace("c.country", "STRFTIME('%Y-%m', o.order_date)")),
    (PEOPLE, "how many are there?", "SELECT COUNT(*) FROM customers WHERE age > 30"),
    (PEOPLE, "sort by name", PEOPLE + " ORDER BY name ASC"),
    (PEOPLE, "show their country too", "SELECT name, country FROM customers WHERE age > 30"),
    (PEOPLE, "what are their ages?", "SELECT age FROM customers WHERE age > 30"),
    (PEOPLE, "only those older than 50", "SELECT name FROM customers WHERE age > 50"),
    (PEOPLE, "Of those, which are from Italy?", "SELECT name FROM customers WHERE age > 30 AND country = 'Italy'"),
    ("SELECT DISTINCT country FROM customers", "how many are there?", "SELECT COUNT(DISTINCT country) FROM customers"),
    (
        COUNTRIES + " ORDER BY SUM(o.total_amount) DESC",
        "in reverse order",
        COUNTRIES + " ORDER BY SUM(o.total_amount) ASC",
    ),
    ("SELECT order_id FROM orders WHERE status = 'open' OR total_amount > 5", "only in 2024",
     "SELECT order_id FROM orders WHERE (status = 'open' OR total_amount > 5) "
     "AND order_date >= '2024-01-01' AND order_date < '2025-01-01'"),
]  # fmt: skip


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return catalog_from_ddl(DDL, "sqlite")


def values_in(text: str) -> list[ValueMatch]:
    found = []
    for table, column, value in CELLS:
        start = text.lower().find(value.lower())
        if start >= 0:
            found.append(ValueMatch(table, column, value, start, start + len(value)))
    return found


@pytest.mark.parametrize(("before", "text", "after"), TURNS, ids=[text for _, text, _ in TURNS])
def test_a_turn_edits_the_query_before(before: str, text: str, after: str, catalog: Catalog) -> None:
    turn = understand(
        text, [("Before?", before)], catalog, "sqlite", values=values_in(text), today=date(2025, 6, 15)
    )
    assert turn.sql == after
    assert not hasattr(validate(turn.sql, catalog, "sqlite"), "findings")
    assert turn.in_full.startswith("Before, ")


@pytest.mark.parametrize(
    "text",
    ["why so low in May?", "But why?", "how come", "What is the reason for this?", "will sales go up?", "can you explain why this fell"],
)  # fmt: skip
def test_reasons_and_forecasts_are_declined(text: str, catalog: Catalog) -> None:
    turn = understand(text, [("Before?", MONTHLY)], catalog, "sqlite")
    assert turn.declined
    assert not turn.sql


@pytest.mark.parametrize(
    "text",
    [
        "How many customers live in Italy?",
        "List the names of all customers",
        "What is the total amount of orders per status?",
        "Show all orders from Germany with an amount above 100",
    ],
)
def test_a_question_that_stands_alone_is_new(text: str, catalog: Catalog) -> None:
    turn = understand(text, [("Before?", MONTHLY)], catalog, "sqlite", values=values_in(text))
    assert turn.is_new
    assert (turn.in_full, turn.sql) == (text, "")


@pytest.mark.parametrize(
    "text",
    ["only the shiny ones", "sort by happiness", "by mood instead", "show their shoe size", "only in Germany with gift wrap"],
)  # fmt: skip
def test_what_no_rule_understands_wholly_is_left_to_the_model(text: str, catalog: Catalog) -> None:
    turn = understand(text, [("Before?", PEOPLE)], catalog, "sqlite", values=values_in(text))
    assert turn.sql == ""
    assert not turn.is_new
    assert turn.rewritten


@pytest.mark.parametrize(
    ("dialect", "before", "text", "after"),
    [
        ("postgres", "SELECT COUNT(*) FROM orders", "by month",
         "SELECT TO_CHAR(order_date, 'YYYY-MM'), COUNT(*) FROM orders GROUP BY TO_CHAR(order_date, 'YYYY-MM')"),
        ("duckdb", "SELECT COUNT(*) FROM orders", "by year", "SELECT YEAR(order_date), COUNT(*) FROM orders GROUP BY YEAR(order_date)"),
        ("mysql", "SELECT COUNT(*) FROM orders", "by month",
         "SELECT DATE_FORMAT(order_date, '%Y-%m'), COUNT(*) FROM orders GROUP BY DATE_FORMAT(order_date, '%Y-%m')"),
        ("postgres", "SELECT name FROM customers", "sort by age descending", "SELECT name FROM customers ORDER BY age DESC"),
        ("mysql", "SELECT name FROM customers", "sort by age", "SELECT name FROM customers ORDER BY age ASC"),
    ],
)  # fmt: skip
def test_turns_are_written_in_every_dialect(
    dialect: Dialect, before: str, text: str, after: str, catalog: Catalog
) -> None:
    turn = understand(text, [("Before?", before)], catalog, dialect)
    assert turn.sql.replace(" NULLS LAST", "") == after
    assert not hasattr(validate(turn.sql, catalog, dialect), "findings")


def test_the_rows_found_before_bound_what_is_asked_of_them(catalog: Catalog) -> None:
    asked = (
        "SELECT AVG(total_amount) FROM orders JOIN customers ON orders.customer_id = customers.customer_id"
    )
    assert merged(PEOPLE, asked, catalog, "sqlite") == asked + " WHERE customers.age > 30"
    best = "SELECT name FROM customers ORDER BY age DESC LIMIT 1"
    assert merged(best, "SELECT country FROM customers", catalog, "sqlite") == best.replace(
        "name", "country", 1
    )
    assert merged(COUNTRIES, asked, catalog, "sqlite") is None
    assert merged(PEOPLE, "SELECT status FROM orders", catalog, "sqlite") is None
    assert merged("no sql", asked, catalog, "sqlite") is None
