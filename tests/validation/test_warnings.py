"""Each warning with a query that deserves it and one that does not, and none on sound queries."""

from __future__ import annotations

import pytest

from sqlgen.types import Catalog, Column, Dialect, ForeignKey, Table, ValidatedQuery
from sqlgen.validation import validate

KEY = Column("id", "INTEGER", "number", nullable=False, primary_key=True)


def number(name: str, type_: str = "INTEGER", *, nullable: bool = True) -> Column:
    return Column(name, type_, "number", nullable=nullable)


def catalog(dialect: Dialect) -> Catalog:
    stamp = "TIMESTAMP" if dialect in ("postgres", "duckdb") else "DATETIME"
    return Catalog(
        dialect,
        (
            Table(
                "customers",
                (
                    KEY,
                    Column("name", "TEXT", "text", nullable=False),
                    number("age"),
                    number("credit", "NUMERIC(10, 2)"),
                ),
            ),
            Table(
                "orders",
                (
                    KEY,
                    number("customer_id"),
                    number("shipping", "NUMERIC(10, 2)"),
                    number("pieces"),
                    number("discount_rate", "NUMERIC(4, 2)"),
                    Column("placed_at", stamp, "date"),
                    Column("due_on", "DATE", "date"),
                    Column("seen_at", stamp, "date", minimum="2024-01-01", maximum="2024-12-31"),
                    Column("status", "TEXT", "text"),
                ),
                foreign_keys=(ForeignKey(("customer_id",), "customers", ("id",)),),
            ),
            Table(
                "items",
                (
                    number("order_id", nullable=False),
                    number("product_id", nullable=False),
                    number("quantity"),
                    number("price", "NUMERIC(10, 2)"),
                ),
                foreign_keys=(
                    ForeignKey(("order_id",), "orders", ("id",)),
                    ForeignKey(("product_id",), "products", ("id",)),
                ),
            ),
            Table("products", (KEY, Column("name", "TEXT", "text"), number("list_price", "NUMERIC(10, 2)"))),
            Table(
                "payments",
                (KEY, number("order_id"), number("amount", "NUMERIC(10, 2)")),
                foreign_keys=(ForeignKey(("order_id",), "orders", ("id",)),),
            ),
            Table(
                "rates",
                (
                    Column("day", "DATE", "date", nullable=False, primary_key=True),
                    Column("currency", "TEXT", "text", nullable=False, primary_key=True),
                    number("factor", "NUMERIC(10, 4)"),
                ),
            ),
        ),
    )


def warned(sql: str, dialect: Dialect = "sqlite") -> list[str]:
    verdict = validate(sql, catalog(dialect), dialect)
    assert isinstance(verdict, ValidatedQuery), verdict.findings
    assert all(w.message and "\n" not in w.message for w in verdict.warnings)
    return [w.rule for w in verdict.warnings]


JOINED = "FROM orders o JOIN items i ON i.order_id = o.id"


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "postgres", "mysql"])
@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        ("double_counting", f"SELECT SUM(o.shipping) {JOINED}", f"SELECT SUM(i.price) {JOINED}"),
        (
            "double_counting",
            f"SELECT o.customer_id, SUM(shipping) {JOINED} GROUP BY o.customer_id",
            "SELECT o.customer_id, SUM(shipping) FROM orders o JOIN customers c ON c.id = o.customer_id "
            "GROUP BY o.customer_id",
        ),
        ("double_counting", f"SELECT AVG(o.shipping) {JOINED}", f"SELECT AVG(i.price * o.pieces) {JOINED}"),
        (
            "double_counting",
            "SELECT SUM(c.credit) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id",
            "SELECT SUM(c.credit) FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
        ),
        (
            "double_counting",
            "SELECT SUM(i.price) FROM items i JOIN orders o ON o.id = i.order_id JOIN payments p ON p.order_id = o.id",
            "SELECT SUM(i.price * p.list_price) FROM items i JOIN orders o ON o.id = i.order_id "
            "JOIN products p ON p.id = i.product_id",
        ),
        (
            "double_counting",
            "SELECT SUM(o.shipping) FROM orders o, payments p WHERE p.order_id = o.id",
            "SELECT SUM(o.shipping) FROM orders o JOIN (SELECT order_id, COUNT(*) AS n FROM items GROUP BY order_id) i "
            "ON i.order_id = o.id",
        ),
        (
            "double_counting",
            f"SELECT COUNT(o.id) {JOINED}",
            f"SELECT COUNT(DISTINCT o.id), SUM(DISTINCT o.shipping), MAX(o.shipping), COUNT(*) {JOINED}",
        ),
        (
            "double_counting",
            f"SELECT SUM(CASE WHEN i.quantity > 1 THEN o.shipping ELSE 0 END) {JOINED}",
            f"SELECT SUM(CASE WHEN o.status = 'paid' THEN 1 ELSE 0 END) {JOINED}",
        ),
        (
            "double_counting",
            f"SELECT SUM(o.shipping) {JOINED}",
            "SELECT SUM(o.shipping / r.factor) FROM orders o JOIN rates r ON r.day = o.due_on AND r.currency = 'EUR'",
        ),
        (
            "not_in_null",
            "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders)",
            "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL)",
        ),
        (
            "not_in_null",
            "SELECT name FROM customers WHERE NOT id IN (SELECT o.customer_id FROM orders o WHERE o.pieces > 3)",
            "SELECT name FROM products WHERE id NOT IN (SELECT product_id FROM items)",
        ),
        (
            "not_in_null",
            "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders LEFT JOIN items ON order_id = id)",
            "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders o JOIN products p "
            "ON p.id = o.customer_id)",
        ),
        (
            "not_in_null",
            "SELECT name FROM customers WHERE age NOT IN (SELECT pieces FROM orders)",
            "SELECT name FROM customers WHERE age IN (SELECT pieces FROM orders)",
        ),
        (
            "outer_join_undone",
            "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.status = 'paid'",
            "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.status = 'paid'",
        ),
        (
            "outer_join_undone",
            "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.pieces BETWEEN 1 AND 3",
            "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.id IS NULL",
        ),
        (
            "outer_join_undone",
            "SELECT c.name FROM orders o RIGHT JOIN customers c ON o.customer_id = c.id WHERE o.status LIKE 'p%'",
            "SELECT c.name FROM orders o RIGHT JOIN customers c ON o.customer_id = c.id WHERE c.name LIKE 'p%'",
        ),
        (
            "outer_join_undone",
            "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE o.pieces + 1 > 3",
            "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id WHERE COALESCE(o.pieces, 0) < 3",
        ),
        (
            "outer_join_undone",
            "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id "
            "WHERE c.age > 3 AND o.id IS NOT NULL",
            "SELECT c.name FROM customers c LEFT JOIN orders o ON o.customer_id = c.id "
            "WHERE o.status = 'paid' OR o.status IS NULL",
        ),
        (
            "date_range",
            "SELECT COUNT(*) FROM orders WHERE placed_at BETWEEN '2024-01-01' AND '2024-01-31'",
            "SELECT COUNT(*) FROM orders WHERE placed_at >= '2024-01-01' AND placed_at < '2024-02-01'",
        ),
        (
            "date_range",
            "SELECT COUNT(*) FROM orders WHERE placed_at <= '2024-01-31'",
            "SELECT COUNT(*) FROM orders WHERE due_on BETWEEN '2024-01-01' AND '2024-01-31'",
        ),
        (
            "date_range",
            "SELECT COUNT(*) FROM orders WHERE placed_at >= '2024-01-01' AND '2024-01-31' >= placed_at",
            "SELECT COUNT(*) FROM orders WHERE placed_at BETWEEN '2024-01-01' AND '2024-01-31 23:59:59'",
        ),
        (
            "date_range",
            "SELECT COUNT(*) FROM orders o WHERE o.placed_at BETWEEN '2024-01-01' AND CAST('2024-01-31' AS DATE)",
            "SELECT COUNT(*) FROM orders WHERE seen_at BETWEEN '2024-01-01' AND '2024-01-31'",
        ),
        (
            "sum_of_ratio",
            "SELECT SUM(discount_rate) FROM orders",
            "SELECT AVG(discount_rate), SUM(shipping * discount_rate) FROM orders",
        ),
        (
            "sum_of_ratio",
            "SELECT SUM(shipping / pieces) FROM orders",
            "SELECT SUM(shipping) / SUM(pieces), SUM(shipping / 100.0) FROM orders",
        ),
        (
            "sum_of_ratio",
            "SELECT SUM(a) FROM (SELECT AVG(shipping) AS a FROM orders GROUP BY status) t",
            "SELECT SUM(a) FROM (SELECT SUM(shipping) AS a FROM orders GROUP BY status) t",
        ),
        (
            "sum_of_ratio",
            "WITH t AS (SELECT status, AVG(shipping) AS a FROM orders GROUP BY status) SELECT SUM(t.a) FROM t",
            "WITH t AS (SELECT status, AVG(shipping) AS a FROM orders GROUP BY status) SELECT MAX(t.a) FROM t",
        ),
        (
            "limit_without_order",
            "SELECT name FROM customers LIMIT 5",
            "SELECT name FROM customers ORDER BY age LIMIT 5",
        ),
        (
            "limit_without_order",
            "SELECT name FROM customers WHERE age > 3 LIMIT 1",
            "SELECT name FROM customers WHERE id = 3 LIMIT 1",
        ),
        (
            "limit_without_order",
            "SELECT status, COUNT(*) FROM orders GROUP BY status LIMIT 3",
            "SELECT COUNT(*), MAX(pieces) FROM orders LIMIT 1",
        ),
        (
            "limit_without_order",
            "SELECT name FROM customers WHERE id IN (SELECT customer_id FROM (SELECT customer_id FROM orders LIMIT 3) t)",
            "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id LIMIT 1)",
        ),
        (
            "limit_without_order",
            "SELECT name FROM customers UNION SELECT name FROM products LIMIT 3",
            "SELECT name FROM customers UNION SELECT name FROM products ORDER BY name LIMIT 3",
        ),
    ],
)  # fmt: skip
def test_each_warning_has_its_pair(dialect: Dialect, rule: str, bad: str, good: str) -> None:
    assert warned(bad, dialect) == [rule]
    assert warned(good, dialect) == []


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        ("SELECT pieces / 4 FROM orders", "SELECT pieces / 4.0 FROM orders"),
        ("SELECT SUM(pieces) / COUNT(*) FROM orders", "SELECT 1.0 * SUM(pieces) / COUNT(*) FROM orders"),
        (
            "SELECT COUNT(*) / (SELECT COUNT(*) FROM customers WHERE age > 3 AND age / 2 > 1) FROM orders",
            "SELECT AVG(pieces) / COUNT(*) FROM orders",
        ),
        ("SELECT 100 * (pieces / age) FROM orders, customers", "SELECT shipping / pieces FROM orders"),
        ("SELECT COUNT(*) / 7 FROM orders", "SELECT age / 10 * 10 AS decade FROM customers"),
        (
            "SELECT SUM(CASE WHEN status = 'x' THEN 1 ELSE 0 END) / COUNT(*) FROM orders",
            "SELECT SUM(CASE WHEN status = 'x' THEN 1.0 ELSE 0 END) / COUNT(*) FROM orders",
        ),
        (
            "SELECT MAX(age) / COALESCE(MIN(age), 1) FROM customers",
            "SELECT age / 5, COUNT(*) FROM customers GROUP BY age / 5",
        ),
    ],
)
def test_whole_numbers_divide_to_whole_numbers_in_two_dialects(bad: str, good: str) -> None:
    for dialect in ("sqlite", "postgres"):
        assert set(warned(bad, dialect)) == {"integer_division"}  # type: ignore[arg-type]
        assert warned(good, dialect) == []  # type: ignore[arg-type]
    assert warned(bad, "duckdb") == warned(bad, "mysql") == []


def test_a_limit_that_the_guard_adds_is_no_warning() -> None:
    verdict = validate("SELECT name FROM customers", catalog("sqlite"), "sqlite", max_rows=5)
    assert isinstance(verdict, ValidatedQuery)
    assert verdict.sql.endswith("LIMIT 6")
    assert verdict.warnings == ()


def test_one_query_may_deserve_several() -> None:
    sql = f"SELECT SUM(o.shipping), SUM(o.pieces) / COUNT(*) {JOINED} WHERE o.placed_at <= '2024-01-31'"
    assert warned(sql) == ["double_counting", "double_counting", "integer_division", "date_range"]
