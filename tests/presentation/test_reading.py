"""Queries in plain words, and what they settle."""

from __future__ import annotations

from datetime import date

import pytest

from sqlgen.presentation import described
from sqlgen.sql.outline import outline_of
from sqlgen.types import Catalog, Dialect, ValueMatch

READINGS = [
    (
        "SELECT STRFTIME('%Y-%m', order_date), COUNT(*) FROM orders WHERE status = 'paid' AND order_date >= '2025-01-01' "
        "AND order_date < '2026-01-01' GROUP BY STRFTIME('%Y-%m', order_date)",
        "counts orders by month of order date, only status 'paid', in 2025",
    ),
    (
        "SELECT c.name, SUM(o.total_amount) FROM customers AS c JOIN orders AS o ON o.customer_id = c.customer_id "
        "GROUP BY c.customer_id ORDER BY SUM(o.total_amount) DESC LIMIT 5",
        "adds up total amount of orders by name, only the 5 with the highest sum of total amount",
    ),
    (
        "SELECT c.country, COUNT(*) FROM customers AS c JOIN orders AS o ON o.customer_id = c.customer_id GROUP BY c.country",
        "counts orders by country",
    ),
    (
        "SELECT name FROM customers WHERE customer_id NOT IN (SELECT customer_id FROM orders)",
        "lists name of customers, only customer id not in (lists customer id of orders)",
    ),
    (
        "SELECT c.name FROM customers AS c LEFT JOIN orders AS o ON o.customer_id = c.customer_id WHERE o.order_id IS NULL",
        "lists name of customers, only those without orders",
    ),
    (
        "SELECT AVG(CASE WHEN status != 'cancelled' THEN total_amount END) FROM orders",
        "averages total amount where status not 'cancelled' of orders",
    ),
    (
        "SELECT country FROM customers GROUP BY country HAVING COUNT(*) > 3",
        "lists country of customers, only groups with count above 3",
    ),
    ("SELECT MAX(order_date) FROM orders", "finds the latest order date of orders"),
    ("SELECT COUNT(DISTINCT status) FROM orders", "counts different status of orders"),
    (
        "SELECT name FROM customers WHERE name LIKE 'A%' OR country IN ('Italy', 'Spain')",
        "lists name of customers, only name beginning with 'A' or country 'Italy' or 'Spain'",
    ),
    (
        "SELECT name FROM customers WHERE country = 'Italy' EXCEPT SELECT name FROM customers WHERE country = 'Spain'",
        "lists name of customers, only country 'Italy'; without what: lists name of customers, only country 'Spain'",
    ),
    (
        "WITH paid AS (SELECT * FROM orders WHERE status = 'paid') SELECT COUNT(*) FROM paid",
        "counts paid; where paid = (lists all of orders, only status 'paid')",
    ),
    (
        "SELECT order_id FROM orders WHERE order_date BETWEEN '2025-04-01' AND '2025-06-30' ORDER BY total_amount DESC",
        "lists order id of orders, only in the second quarter of 2025, sorted by total amount, highest first",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "words"), READINGS, ids=[words for _, words in READINGS])
def test_a_query_is_read_in_words(sql: str, words: str, catalog: Catalog) -> None:
    assert described(sql, catalog, "sqlite").reading == words


MONTHS: list[tuple[Dialect, str]] = [
    ("duckdb", "STRFTIME(order_date, '%Y-%m')"),
    ("postgres", "TO_CHAR(order_date, 'YYYY-MM')"),
    ("postgres", "DATE_TRUNC('month', order_date)"),
    ("mysql", "DATE_FORMAT(order_date, '%Y-%m')"),
]


@pytest.mark.parametrize(("dialect", "month"), MONTHS)
def test_months_are_known_in_every_dialect(dialect: Dialect, month: str, catalog: Catalog) -> None:
    outline = outline_of(f"SELECT {month}, COUNT(*) FROM orders GROUP BY {month}", catalog, dialect)
    assert [(t.kind, t.name) for t in outline.groups] == [("bucket", "month")]


def test_minutes_are_no_months(catalog: Catalog) -> None:
    outline = outline_of("SELECT STRFTIME('%Y-%M', order_date) FROM orders", catalog, "sqlite")
    assert outline.outputs[0].kind == "call"


def test_what_the_question_left_open_is_named(catalog: Catalog) -> None:
    sql = (
        "SELECT c.country, AVG(o.rating) FROM customers AS c JOIN orders AS o ON o.customer_id = c.customer_id "
        "WHERE c.country = 'Germany' AND o.order_date >= '2025-05-01' AND o.order_date < '2025-06-01' GROUP BY c.country"
    )
    question = "average rating in germany last month"
    match = ValueMatch("customers", "country", "Germany", 18, 25)
    found = described(
        sql, catalog, "sqlite", question=question, values=[match], today=date(2025, 6, 3)
    ).assumptions
    assert found == (
        "\"germany\" is read as customers.country = 'Germany'",
        "time is taken from orders.order_date, not shipped_date",
        '"last month" is seen from 2025-06-03',
        "customers without orders are left out",
        "rows without rating do not count in the average",
    )


def test_a_value_that_several_tables_hold_is_named_with_the_one_taken(catalog: Catalog) -> None:
    sql = "SELECT COUNT(*) FROM customers WHERE country = 'Italy'"
    places = [ValueMatch(table, "country", "Italy", 10, 15) for table in ("suppliers", "customers")]
    found = described(sql, catalog, "sqlite", question="people in Italy", values=places).assumptions
    assert found == ('"Italy" is looked for in customers.country, not suppliers.country',)


def test_nothing_is_assumed_where_the_question_says_it(catalog: Catalog) -> None:
    sql = "SELECT COUNT(*) FROM orders WHERE shipped_date >= '2025-01-01'"
    assert described(sql, catalog, "sqlite", question="orders shipped since 2025").assumptions == ()


def test_a_text_that_is_no_sql_has_no_reading(catalog: Catalog) -> None:
    assert described("SELEC 1 FRM", catalog, "sqlite").reading == ""


def test_every_column_names_where_it_comes_from(catalog: Catalog) -> None:
    sql = "SELECT c.name, SUM(o.total_amount) AS spent FROM customers c JOIN orders o ON o.customer_id = c.customer_id GROUP BY 1"
    columns = described(sql, catalog, "sqlite").columns
    assert [(c.label, c.meaning, c.role, c.sources) for c in columns] == [
        ("name", "text", "dimension", ("customers.name",)),
        ("spent", "money", "measure", ("orders.total_amount",)),
    ]
