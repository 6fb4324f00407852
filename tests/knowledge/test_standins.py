"""What a definition makes of a query, on the shop's catalog, and when it is refused."""

from __future__ import annotations

import pytest

from sqlgen.sql.ddl import catalog_from_ddl
from sqlgen.sql.standins import NotExpressible, StandIn, expand, read_definition
from sqlgen.types import Catalog, Dialect, ValidatedQuery
from sqlgen.validation import validate

DDL = """
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT, country TEXT);
CREATE TABLE products (product_id INTEGER PRIMARY KEY, name TEXT, brand TEXT, cost NUMERIC);
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (customer_id),
    status TEXT, channel TEXT, total NUMERIC);
CREATE TABLE order_lines (line_id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (order_id),
    product_id INTEGER REFERENCES products (product_id), quantity INTEGER, line_total NUMERIC);
"""
REVENUE = "SUM(CASE WHEN orders.status <> 'cancelled' THEN orders.total END)"


@pytest.fixture(scope="module")
def shop() -> Catalog:
    return catalog_from_ddl(DDL, "sqlite")


def stand_in(catalog: Catalog, sql: str, column: str = "figure", filters: tuple[str, ...] = ()) -> StandIn:
    definition = read_definition(sql, catalog, "sqlite", (), filters)
    return StandIn(column, definition.tables[0], column, definition)


def expanded(catalog: Catalog, sql: str, *stand_ins: StandIn) -> str:
    text, used = expand(sql, stand_ins, catalog, "sqlite")
    assert used == {s.name for s in stand_ins}
    outcome = validate(text, catalog, "sqlite")
    assert isinstance(outcome, ValidatedQuery), outcome
    return outcome.sql


@pytest.mark.parametrize(
    ("sql", "shape", "tables"),
    [
        ("orders.status = 'open'", "test", ("orders",)),
        ("status = 'open' OR total > 5", "test", ("orders",)),
        ("line_total - quantity * products.cost", "row", ("order_lines", "products")),
        ("SUM(orders.total)", "sum", ("orders",)),
        ("AVG(total)", "figure", ("orders",)),
        ("COUNT(DISTINCT orders.customer_id)", "figure", ("orders",)),
        ("SUM(total) / COUNT(*)", "figure", ("orders",)),
        ("SELECT customer_id FROM orders WHERE total > 5", "members", ("customers",)),
        ("SELECT order_id FROM orders", "members", ("orders",)),
        ("SELECT COUNT(*) FROM orders", "whole", ("orders",)),
    ],
)
def test_definitions_are_understood(shop: Catalog, sql: str, shape: str, tables: tuple[str, ...]) -> None:
    definition = read_definition(sql, shop, "sqlite")
    assert (definition.shape, definition.tables) == (shape, tables)
    assert isinstance(validate(definition.probe(), shop, "sqlite"), ValidatedQuery)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SUM(", "not readable"),
        ("nope = 1", "column of no table"),
        ("name = 'x'", "several tables"),
        ("nowhere.x = 1", "no table nowhere"),
        ("1 + 1", "names no column"),
        ("SUM(total) OVER ()", "window"),
        ("SELECT name, brand FROM products", "one column"),
        ("SELECT name FROM products", "identifies no row"),
        ("total; DROP TABLE orders", "not readable"),
        ("total FROM orders", "not one expression"),
    ],
)
def test_definitions_that_cannot_be_used_say_why(shop: Catalog, sql: str, reason: str) -> None:
    with pytest.raises(NotExpressible, match=reason):
        read_definition(sql, shop, "sqlite")


def test_a_sum_replaces_any_aggregate_of_its_stand_in(shop: Catalog) -> None:
    revenue = stand_in(shop, REVENUE)
    case = "CASE WHEN orders.status != 'cancelled' THEN orders.total END"
    for call in ("SUM", "AVG", "MAX", "MIN"):
        sql = expanded(shop, f"SELECT channel, {call}(figure) FROM orders GROUP BY channel", revenue)
        assert sql == f"SELECT channel, {call}({case}) FROM orders GROUP BY channel"
    bare = expanded(shop, "SELECT channel, figure FROM orders GROUP BY channel ORDER BY figure DESC", revenue)
    assert bare == f"SELECT channel, SUM({case}) FROM orders GROUP BY channel ORDER BY SUM({case}) DESC"
    assert expanded(shop, "SELECT figure FROM orders", revenue) == f"SELECT SUM({case}) FROM orders"
    row = expanded(shop, "SELECT order_id FROM orders WHERE figure > 5", revenue)
    assert row == f"SELECT order_id FROM orders WHERE {case} > 5"


def test_aliases_are_followed(shop: Catalog) -> None:
    sql = expanded(
        shop,
        "SELECT c.country, SUM(o.figure) FROM customers AS c JOIN orders AS o ON o.customer_id = c.customer_id GROUP BY c.country",
        stand_in(shop, "SUM(orders.total)"),
    )
    assert "SUM(o.total)" in sql


def test_filters_choose_the_rows_of_every_aggregate(shop: Catalog) -> None:
    ratio = stand_in(shop, "SUM(total) / COUNT(*)", filters=("orders.status = 'paid'",))
    sql = expanded(shop, "SELECT AVG(figure) FROM orders", ratio)
    paid = "CASE WHEN orders.status = 'paid' THEN"
    assert sql == f"SELECT SUM({paid} orders.total END) / COUNT({paid} 1 END) FROM orders"
    buyers = stand_in(shop, "COUNT(DISTINCT orders.customer_id)", filters=("status = 'paid'",))
    sql = expanded(shop, "SELECT channel, SUM(figure) FROM orders GROUP BY channel", buyers)
    assert f"COUNT(DISTINCT {paid} orders.customer_id END)" in sql


def test_a_table_that_the_definition_needs_is_joined_along_the_key(shop: Catalog) -> None:
    margin = stand_in(shop, "SUM(order_lines.line_total - order_lines.quantity * products.cost)")
    sql = expanded(shop, "SELECT order_id, SUM(figure) FROM order_lines GROUP BY order_id", margin)
    assert "LEFT JOIN products ON order_lines.product_id = products.product_id" in sql
    there = (
        "SELECT products.brand, SUM(order_lines.figure) FROM products "
        "JOIN order_lines ON products.product_id = order_lines.product_id GROUP BY products.brand"
    )
    assert expanded(shop, there, margin).count("JOIN") == 1


def test_a_join_that_would_count_twice_is_refused(shop: Catalog) -> None:
    sql = (
        "SELECT products.brand, {} FROM orders JOIN order_lines ON orders.order_id = order_lines.order_id "
        "JOIN products ON order_lines.product_id = products.product_id GROUP BY products.brand"
    )
    for call in ("SUM", "AVG"):
        with pytest.raises(NotExpressible, match="more than once"):
            expand(sql.format(f"{call}(orders.figure)"), [stand_in(shop, REVENUE)], shop, "sqlite")
    # The largest of repeated rows is the largest.
    assert "MAX(CASE" in expanded(shop, sql.format("MAX(orders.figure)"), stand_in(shop, REVENUE))
    crossed = "SELECT SUM(orders.figure) FROM orders CROSS JOIN customers"
    with pytest.raises(NotExpressible, match="more than once"):
        expand(crossed, [stand_in(shop, REVENUE)], shop, "sqlite")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT MAX(figure) FROM orders",
        "SELECT 100 * AVG(figure) FROM orders",
        "SELECT order_id FROM orders WHERE figure > 5",
        "SELECT order_id, figure FROM orders",
        "SELECT order_id FROM orders ORDER BY figure DESC LIMIT 1",
        "SELECT channel FROM orders GROUP BY channel, figure",
        "SELECT channel, SUM(SUM(figure)) OVER (ORDER BY channel) FROM orders GROUP BY channel",
    ],
)
def test_a_finished_figure_is_not_calculated_with(shop: Catalog, sql: str) -> None:
    with pytest.raises(NotExpressible):
        expand(sql, [stand_in(shop, "SUM(total) / COUNT(*)")], shop, "sqlite")


def test_a_test_becomes_its_condition_and_its_negation(shop: Catalog) -> None:
    test = stand_in(shop, "orders.status = 'open' OR orders.total IS NULL")
    sql = expanded(shop, "SELECT COUNT(*) FROM orders WHERE figure = 'yes' AND channel = 'web'", test)
    assert (
        sql
        == "SELECT COUNT(*) FROM orders WHERE (orders.status = 'open' OR orders.total IS NULL) AND channel = 'web'"
    )
    for negated in ("figure != 'yes'", "NOT figure = 'yes'"):
        sql = expanded(shop, f"SELECT COUNT(*) FROM orders WHERE {negated}", test)
        assert "CASE WHEN" in sql
    for misused in (
        "SELECT figure FROM orders",
        "SELECT 1 FROM orders WHERE figure = 'no'",
        "SELECT COUNT(figure) FROM orders",
    ):
        with pytest.raises(NotExpressible):
            expand(misused, [test], shop, "sqlite")


def test_members_are_chosen_by_key_in_a_query_of_their_table(shop: Catalog) -> None:
    loyal = stand_in(shop, "SELECT customer_id FROM orders GROUP BY customer_id HAVING COUNT(*) > 2")
    sql = expanded(shop, "SELECT COUNT(*) FROM customers WHERE figure = 'yes'", loyal)
    assert "customers.customer_id IN (SELECT customer_id FROM orders GROUP BY customer_id" in sql


def test_conditions_with_queries_in_them_follow_the_alias(shop: Catalog) -> None:
    empty = stand_in(
        shop,
        "orders.total > 0 AND NOT EXISTS (SELECT 1 FROM order_lines WHERE order_lines.order_id = orders.order_id)",
    )
    sql = expanded(shop, "SELECT COUNT(*) FROM orders AS o WHERE o.figure = 'yes'", empty)
    assert "order_lines.order_id = o.order_id" in sql
    assert "o.total > 0" in sql


def test_a_whole_query_stands_alone_or_not_at_all(shop: Catalog) -> None:
    whole = stand_in(shop, "SELECT COUNT(*) FROM orders WHERE status = 'open'")
    assert (
        expanded(shop, "SELECT SUM(figure) FROM orders", whole)
        == "SELECT COUNT(*) FROM orders WHERE status = 'open'"
    )
    with pytest.raises(NotExpressible, match="broken down"):
        expand("SELECT channel, SUM(figure) FROM orders GROUP BY channel", [whole], shop, "sqlite")


def test_two_definitions_in_one_query(shop: Catalog) -> None:
    revenue, open_ = (
        stand_in(shop, "SUM(orders.total)", "revenue"),
        stand_in(shop, "status = 'open'", "open_order"),
    )
    sql = expanded(shop, "SELECT SUM(revenue) FROM orders WHERE open_order = 'yes'", revenue, open_)
    assert sql == "SELECT SUM(orders.total) FROM orders WHERE orders.status = 'open'"


def test_what_names_no_stand_in_is_left_alone(shop: Catalog) -> None:
    text, used = expand("SELECT total FROM orders", [stand_in(shop, REVENUE)], shop, "sqlite")
    assert (text, used) == ("SELECT total FROM orders", frozenset())


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "postgres", "mysql"])
def test_every_dialect_reads_and_writes_definitions(dialect: Dialect) -> None:
    catalog = catalog_from_ddl(DDL, dialect)
    definitions = {
        "revenue": (REVENUE, ("orders.channel = 'web'",)),
        "buyers": ("COUNT(DISTINCT orders.customer_id)", ("orders.channel = 'web'",)),
        "open_order": ("orders.status IN ('open', 'sent')", ()),
        "loyal": ("SELECT customer_id FROM orders GROUP BY customer_id HAVING COUNT(*) > 2", ()),
    }
    held = []
    for name, (sql, filters) in definitions.items():
        definition = read_definition(sql, catalog, dialect, (), filters)
        held.append(StandIn(name, definition.tables[0], name, definition))
    sql = (
        "SELECT customers.country, SUM(orders.revenue), AVG(orders.buyers) FROM customers "
        "JOIN orders ON customers.customer_id = orders.customer_id "
        "WHERE orders.open_order = 'yes' AND customers.loyal != 'yes' GROUP BY customers.country"
    )
    text, used = expand(sql, held, catalog, dialect)
    assert used == set(definitions)
    outcome = validate(text, catalog, dialect)
    assert isinstance(outcome, ValidatedQuery), outcome
    assert set(outcome.tables) == {"customers", "orders"}
    assert "orders.channel" in outcome.columns
