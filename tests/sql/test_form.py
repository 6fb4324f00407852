"""The form: round trips through SQL, executed, in every dialect it renders."""

from __future__ import annotations

import sqlite3
from datetime import date

import pytest
import sqlglot

from sqlgen.sql.form import (
    KEYWORDS,
    Inexpressible,
    form_to_sql,
    form_to_tree,
    needed_tables,
    number_said,
    tree_to_form,
)
from sqlgen.types import Column, ForeignKey, RetrievedContext, Table, TableSlice, ValueMatch

CUSTOMERS = Table(
    "customers",
    (
        Column("id", "INTEGER", "number", primary_key=True),
        Column("name", "TEXT", "text"),
        Column("country", "TEXT", "text"),
        Column("signup", "DATE", "date"),
    ),
)
ORDERS = Table(
    "orders",
    (
        Column("id", "INTEGER", "number", primary_key=True),
        Column("customer_id", "INTEGER", "number"),
        Column("placed", "DATE", "date"),
        Column("total", "REAL", "number"),
        Column("paid", "BOOLEAN", "bool"),
    ),
    foreign_keys=(ForeignKey(("customer_id",), "customers", ("id",)),),
)
LINES = Table(
    "order lines",
    (
        Column("order_id", "INTEGER", "number"),
        Column("Unit Price", "REAL", "number"),
        Column("quantity", "INTEGER", "number"),
        Column("select", "TEXT", "text"),
    ),
    foreign_keys=(ForeignKey(("order_id",), "orders", ("id",)),),
)
CONTEXT = RetrievedContext(
    tuple(TableSlice(t, 1.0, "") for t in (CUSTOMERS, ORDERS, LINES)),
    (ValueMatch("customers", "country", "Côte d'Ivoire", 0, 5),),
)


@pytest.fixture(scope="module")
def database() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.executescript(
        """
        CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, country TEXT, signup DATE);
        CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, placed DATE, total REAL, paid BOOLEAN);
        CREATE TABLE "order lines" (order_id INTEGER, "Unit Price" REAL, quantity INTEGER, "select" TEXT);
        INSERT INTO customers VALUES (1,'Ann','France','2023-01-05'),(2,'Bob','Spain','2024-02-01'),
          (3,'Cy','Côte d''Ivoire',NULL);
        INSERT INTO orders VALUES (1,1,'2024-01-10',10.5,1),(2,1,'2024-03-31',20,0),(3,2,'2025-02-01',7,1);
        INSERT INTO "order lines" VALUES (1,2.5,3,'a'),(1,3,1,'b'),(2,20,1,'a'),(3,7,1,NULL);
        """
    )
    return db


ROUND_TRIPS = [
    ("How many customers are there?", "SELECT COUNT(*) FROM customers"),
    ("names from France", "SELECT name FROM customers WHERE country = 'France'"),
    ("orders above 8", "SELECT id FROM orders WHERE total > 8"),
    ("orders from January to March 2024", "SELECT id FROM orders WHERE placed >= '2024-01-01' AND placed < '2024-04-01'"),
    ("orders placed between 2024 and 2025", "SELECT id FROM orders WHERE placed BETWEEN '2024-01-01' AND '2025-12-31'"),
    ("orders from 2024-01-10 until 2024-03-31 in France", "SELECT T2.id FROM customers T1 JOIN orders T2 ON T1.id = T2.customer_id "
     "WHERE T1.country = 'France' AND T2.placed >= '2024-01-10' AND T2.placed <= '2024-03-31'"),
    ("orders under 1,500", "SELECT id FROM orders WHERE total < 1500"),
    ("orders between 0.01k and $1,000.5", "SELECT id FROM orders WHERE total BETWEEN 10 AND 1000.5"),
    ("customers and how many orders each has", "SELECT T1.name, COUNT(*) FROM customers AS T1 JOIN orders AS T2 "
     "ON T1.id = T2.customer_id GROUP BY T1.name"),
    ("who ordered most", "SELECT T1.name FROM customers AS T1 JOIN orders AS T2 ON T1.id = T2.customer_id "
     "GROUP BY T1.id ORDER BY COUNT(*) DESC LIMIT 1"),
    ("customers with at least 2 orders", "SELECT T1.name FROM customers T1 JOIN orders T2 ON T1.id = "
     "T2.customer_id GROUP BY T1.id HAVING COUNT(*) >= 2"),
    ("customers without orders", "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)"),
    ("orders above the average", "SELECT id FROM orders WHERE total > (SELECT AVG(total) FROM orders)"),
    ("countries of Ann and Bob", "SELECT country FROM customers WHERE name = 'Ann' UNION SELECT country FROM "
     "customers WHERE name = 'Bob'"),
    ("what customers bought a", "SELECT T1.name FROM customers T1 JOIN orders T2 ON T1.id = T2.customer_id JOIN "
     "\"order lines\" T3 ON T2.id = T3.order_id WHERE T3.\"select\" = 'a'"),
    ("total value", "SELECT SUM(\"Unit Price\" * quantity) FROM \"order lines\""),
    ("spread of totals", "SELECT MAX(total) - MIN(total) FROM orders"),
    ("different countries", "SELECT COUNT(DISTINCT country) FROM customers"),
    ("between 5 and 15", "SELECT id FROM orders WHERE total BETWEEN 5 AND 15"),
    ("starting with A", "SELECT name FROM customers WHERE name LIKE 'A%'"),
    ("no select", "SELECT order_id FROM \"order lines\" WHERE \"select\" IS NULL"),
    ("Ann or Bob from Spain", "SELECT id FROM customers WHERE (name = 'Ann' OR name = 'Bob') AND country = 'Spain'"),
    ("everything on customers", "SELECT * FROM customers"),
    ("customers and orders above 15 each", "SELECT c.name, COUNT(o.id) FROM customers c LEFT JOIN orders o ON "
     "o.customer_id = c.id AND o.total > 15 GROUP BY c.id, c.name"),
    ("per customer the total of paid orders", "SELECT c.name, COALESCE(SUM(o.total), 0) FROM customers c LEFT JOIN "
     "orders o ON o.customer_id = c.id AND o.paid = 1 GROUP BY c.id, c.name"),
    ("customers without an order above 15", "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id "
     "AND o.total > 15 WHERE o.id IS NULL"),
    ("orders with customer and lines of more than 1", "SELECT o.id, c.name, COUNT(l.quantity) FROM customers c JOIN "
     "orders o ON c.id = o.customer_id LEFT JOIN \"order lines\" l ON l.order_id = o.id AND l.quantity > 1 GROUP BY o.id, c.name"),
    ("name, country and signup", "SELECT name || ' ' || country || ' ' || signup FROM customers"),
    ("days since each order", "SELECT id, CAST(JULIANDAY('2025-03-01') - JULIANDAY(placed) AS INTEGER) FROM orders"),
    ("years since signup", "SELECT name, CAST((JULIANDAY('2025-03-01') - JULIANDAY(signup)) / 365.25 AS INTEGER) FROM customers"),
    ("years since signup", "SELECT name, CAST((STRFTIME('%Y%m%d', '2025-03-01') - STRFTIME('%Y%m%d', signup)) / 10000 AS INTEGER) "
     "FROM customers"),
    ("orders by quarter", "SELECT (CAST(STRFTIME('%m', placed) AS INTEGER) - 1) / 3 + 1, COUNT(*) FROM orders GROUP BY 1"),
    ("orders by quarter", "SELECT STRFTIME('%Y', placed) || '-Q' || ((CAST(STRFTIME('%m', placed) AS INTEGER) + 2) / 3), COUNT(*) "
     "FROM orders GROUP BY 1"),
    ("countries except of Ann", "SELECT country FROM customers EXCEPT SELECT country FROM customers WHERE name = 'Ann'"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "sql"), ROUND_TRIPS)
def test_round_trip_executes_equally(question: str, sql: str, database: sqlite3.Connection) -> None:
    today = date(2025, 3, 1)
    form = tree_to_form(sqlglot.parse_one(sql, dialect="sqlite"), CONTEXT, question, today=today)
    back = form_to_sql(form, CONTEXT, question, "sqlite", today=today)
    rows = sorted(map(repr, database.execute(sql)))
    assert rows
    assert sorted(map(repr, database.execute(back))) == rows


def test_from_is_derived_through_the_join_table() -> None:
    sql = form_to_sql(["select", ("c", 0, 1), ("c", 2, 2)], CONTEXT, "q", "sqlite")
    tree = sqlglot.parse_one(sql, dialect="sqlite")
    assert {t.name for t in tree.find_all(sqlglot.exp.Table)} == {"customers", "orders", "order lines"}
    assert needed_tables(["select", ("c", 0, 1), ("c", 2, 2)], CONTEXT) == {0, 1, 2}


def test_join_does_not_depend_on_table_order() -> None:
    flipped = RetrievedContext(tuple(reversed(CONTEXT.tables)), CONTEXT.values)
    one = form_to_tree(["select", ("c", 0, 1), ("c", 2, 2)], CONTEXT, "q", "sqlite")
    two = form_to_tree(["select", ("c", 2, 1), ("c", 0, 2)], flipped, "q", "sqlite")
    assert one.sql() == two.sql()


def test_without_a_key_a_telling_shared_column_joins() -> None:
    a = Table("lists", (Column("classroom", "INT", "number"), Column("id", "INT", "number")))
    b = Table("teachers", (Column("classroom", "INT", "number"), Column("id", "INT", "number")))
    context = RetrievedContext((TableSlice(a, 1, ""), TableSlice(b, 1, "")))
    sql = form_to_sql(["select", ("c", 0, 1), ("c", 1, 1)], context, "q", "sqlite")
    assert "lists.classroom = teachers.classroom" in sql


def test_values_keep_the_database_spelling() -> None:
    form = ["select", ("c", 0, 1), "where", ("c", 0, 2), "=", ("v", 0)]
    assert form_to_sql(form, CONTEXT, "ivory coast", "sqlite").endswith("country = 'Côte d''Ivoire'")


@pytest.mark.parametrize(
    ("op", "words", "expected"),
    [
        ("=", "March 2024", {2}),
        ("=", "2024", {1, 2}),
        (">=", "March 2024", {2, 3}),
        (">", "2024", {3}),
        ("<", "March 2024", {1}),
        ("<=", "Q1 2024", {1, 2}),
        ("!=", "2024", {3}),
        ("=", "last year", {1, 2}),
    ],
)
def test_periods_become_half_open_ranges(
    op: str, words: str, expected: set[int], database: sqlite3.Connection
) -> None:
    form = ["select", ("c", 1, 0), "where", ("c", 1, 2), op, ("q", 0, len(words))]
    sql = form_to_sql(form, CONTEXT, words, "sqlite", today=date(2025, 6, 1))
    assert {row[0] for row in database.execute(sql)} == expected


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "postgres", "mysql"])
@pytest.mark.parametrize(
    "part", ["year", "month", "day", "weekday", "by_quarter", "by_month", "by_week", "by_day"]
)
def test_date_parts_parse_in_every_dialect(dialect: str, part: str) -> None:
    form = [
        "select",
        part,
        ("c", 1, 2),
        "count",
        "*",
        "group",
        part,
        ("c", 1, 2),
        "order",
        part,
        ("c", 1, 2),
        "asc",
    ]
    sql = form_to_sql(form, CONTEXT, "q", dialect)  # type: ignore[arg-type]
    tree = sqlglot.parse_one(sql, dialect=dialect)
    assert len(tree.args["group"].expressions) == 1
    assert {c.name.lower() for c in tree.find_all(sqlglot.exp.Column)} == {"placed"}


def test_bare_columns_join_the_group() -> None:
    form = ["select", ("c", 0, 1), "count", "*", "from", ("t", 1), "group", ("c", 0, 0)]
    sql = form_to_sql(form, CONTEXT, "q", "postgres")
    assert sql.endswith("GROUP BY customers.id, customers.name")


def test_group_takes_the_column_of_its_own_table() -> None:
    form = ["select", ("c", 1, 0), "count", "*", "where", ("c", 0, 0), "=", "1", "group", ("c", 1, 1)]
    sql = form_to_sql(form, CONTEXT, "q", "postgres")
    assert sql.endswith("WHERE customers.id = 1 GROUP BY orders.customer_id, orders.id")


def test_nulls_sort_alike_everywhere() -> None:
    form = ["select", ("c", 0, 1), "order", ("c", 0, 3), "desc"]
    assert form_to_sql(form, CONTEXT, "q", "postgres").endswith("ORDER BY signup DESC NULLS LAST")
    assert form_to_sql(form, CONTEXT, "q", "sqlite").endswith("ORDER BY signup DESC")


@pytest.mark.parametrize(
    ("dialect", "test"),
    [
        ("sqlite", "name LIKE '%Ann%'"),
        ("duckdb", "name ILIKE '%Ann%'"),
        ("postgres", "name ILIKE '%Ann%'"),
        ("mysql", "LOWER(name) LIKE '%ann%'"),
    ],
)
def test_contains_folds_case_in_every_engine(dialect: str, test: str) -> None:
    form = ["select", ("c", 0, 0), "where", ("c", 0, 1), "contains", ("q", 5, 8)]
    assert form_to_sql(form, CONTEXT, "like Ann", dialect).endswith(test)  # type: ignore[arg-type]


def test_reserved_and_odd_names_are_quoted() -> None:
    form = ["select", ("c", 2, 3), ("c", 2, 1)]
    assert form_to_sql(form, CONTEXT, "q", "mysql") == "SELECT `select`, `Unit Price` FROM `order lines`"
    assert form_to_sql(form, CONTEXT, "q", "postgres") == 'SELECT "select", "Unit Price" FROM "order lines"'


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT a.id FROM orders a JOIN orders b ON a.id = b.customer_id", "self-join"),
        ("SELECT a.x FROM (SELECT id AS x FROM orders) a JOIN (SELECT id AS y FROM orders) b", "derived"),
        ("SELECT id FROM orders WHERE total > 12345", "literal"),
        (
            "SELECT c.name, o.id FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.paid = 1",
            "condition",
        ),
        (
            "SELECT c.name, COUNT(*) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.paid = 1 "
            "GROUP BY c.name",
            "condition",
        ),
        ("SELECT nothing FROM orders", "unknown column"),
        ("SELECT id FROM nowhere", "unknown table"),
        ("DELETE FROM orders", "Delete"),
    ],
)
def test_what_cannot_be_said_is_named(sql: str, why: str) -> None:
    with pytest.raises(Inexpressible, match=why):
        tree_to_form(sqlglot.parse_one(sql, dialect="sqlite"), CONTEXT, "orders")


def test_a_number_is_not_a_text_that_looks_alike() -> None:
    tree = sqlglot.parse_one("SELECT id FROM customers WHERE name = '1500'", dialect="sqlite")
    with pytest.raises(Inexpressible, match="not in the question"):
        tree_to_form(tree, CONTEXT, "customers named 1,500")


@pytest.mark.parametrize(
    ("text", "number", "said"),
    [
        ("paid 12,345.60 twice", "12345.6", "12,345.60"),
        ("over 2.5 million euros", "2500000", "2.5 million"),
        ("more than 3k", "3000", "3k"),
        ("March 3, 2025", "32025", None),
        ("a ratio of 1,5", "15", None),
        ("flat 12,3456", "12", None),
        ("3 km", "3000", None),
        ("1,500 a day", "a", None),
    ],
)
def test_where_a_number_is_said(text: str, number: str, said: str | None) -> None:
    found = number_said(text, number)
    assert (found and text[slice(*found)]) == said


@pytest.mark.parametrize(
    "form",
    [
        [],
        ["select"],
        ["select", "where"],
        ["select", ("t", 0), "]"],
        ["select", ("c", 0, 1), "where", ("c", 0, 1)],
        ["select", ("c", 0, 1), "where", ("c", 0, 1), "=", "sum"],
        ["select", ("c", 0, 1), "limit", ("t", 0)],
    ],
)
def test_nonsense_is_refused(form: list[object]) -> None:
    with pytest.raises(Inexpressible):
        form_to_sql(form, CONTEXT, "q", "sqlite")  # type: ignore[arg-type]


def test_keywords_are_distinct() -> None:
    assert len(set(KEYWORDS)) == len(KEYWORDS)
