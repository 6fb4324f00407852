"""Renames between two catalogs: found where one thing explains them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sqlgen.catalog.drift import (
    Renames,
    before,
    find_renames,
    read_renames,
    remember_renames,
    successors,
)
from sqlgen.sql.renaming import renamed
from sqlgen.types import Catalog, Column, Dialect, Table


def column(name: str, kind: str = "TEXT", *values: str, comment: str = "") -> Column:
    return Column(name, kind, "text" if kind == "TEXT" else "number", comment, values=values)


ORDERS = Table(
    "orders", (column("id", "INTEGER"), column("state", "TEXT", "open", "paid"), column("total", "REAL"))
)
CUSTOMERS = Table("customers", (column("id", "INTEGER"), column("name", "TEXT", "Ann"), column("city")))
SHOP = Catalog("sqlite", (ORDERS, CUSTOMERS), "1")


def with_columns(table: Table, *columns: Column) -> Catalog:
    return replace(
        SHOP, tables=tuple(replace(table, columns=columns) if t is table else t for t in SHOP.tables)
    )


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (SHOP, Renames()),
        (
            with_columns(
                ORDERS, ORDERS.columns[0], column("status", "TEXT", "open", "paid"), ORDERS.columns[2]
            ),
            Renames((), (("orders", "state", "status"),)),
        ),
        # moved to the end, but the cells tell
        (
            with_columns(
                ORDERS, ORDERS.columns[0], ORDERS.columns[2], column("status", "TEXT", "open", "paid")
            ),
            Renames((), (("orders", "state", "status"),)),
        ),
        # other cells: another thing
        (
            with_columns(
                ORDERS, ORDERS.columns[0], column("note", "TEXT", "late", "wrong"), ORDERS.columns[2]
            ),
            Renames(),
        ),
        # another type: another thing
        (with_columns(ORDERS, ORDERS.columns[0], column("state2", "INTEGER"), ORDERS.columns[2]), Renames()),
        # two at once, each told by its cells or place
        (
            with_columns(
                CUSTOMERS, column("id", "INTEGER"), column("full_name", "TEXT", "Ann"), column("town")
            ),
            Renames((), (("customers", "name", "full_name"), ("customers", "city", "town"))),
        ),
        # dropped, nothing came
        (with_columns(ORDERS, *ORDERS.columns[:2]), Renames()),
        (
            replace(SHOP, tables=(replace(ORDERS, name="purchases"), CUSTOMERS)),
            Renames((("orders", "purchases"),), ()),
        ),
        # two tables that could be it
        (
            replace(SHOP, tables=(replace(ORDERS, name="a"), replace(ORDERS, name="b"), CUSTOMERS)),
            Renames(),
        ),
        (replace(SHOP, tables=(Table("x", (column("y"),)), CUSTOMERS)), Renames()),
    ],
)
def test_a_rename_is_found_where_it_explains_the_change(new: Catalog, expected: Renames) -> None:
    assert find_renames(SHOP, new) == expected


def test_a_table_and_its_column_at_once() -> None:
    columns = (*ORDERS.columns[:1], column("status", "TEXT", "open", "paid"), ORDERS.columns[2])
    wider = tuple(column(f"c{n}") for n in range(6))
    old = Catalog("sqlite", (replace(ORDERS, columns=(*ORDERS.columns, *wider)),))
    new = Catalog("sqlite", (Table("sales", (*columns, *wider)),))
    assert find_renames(old, new) == Renames((("orders", "sales"),), (("sales", "state", "status"),))


def test_names_are_followed_forth_and_back() -> None:
    steps = [
        Renames((("a", "b"),), (("b", "x", "y"),)),
        Renames((("b", "c"),), (("c", "y", "z"), ("c", "k", "l"))),
    ]
    assert successors(steps) == ({"a": "c"}, {("a", "x"): "z", ("a", "k"): "l"})
    now = Catalog("sqlite", (Table("c", (column("z"), column("l"), column("m"))),))
    first = before(now, steps)
    assert [t.key for t in first.tables] == ["a"]
    assert [c.name for c in first.tables[0].columns] == ["x", "k", "m"]


def test_what_is_kept_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "renames.json"
    assert read_renames(path) == []
    steps = [Renames((("a", f"b{n}"),), ((f"b{n}", "é", "y"),)) for n in range(205)]
    for one in steps:
        remember_renames(path, one)
    assert read_renames(path) == steps[5:]
    path.write_text("{")
    assert read_renames(path) == []
    assert "cannot be read" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["renames.json"]


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "postgres", "mysql"])
@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT state FROM orders", "SELECT status FROM sales"),
        ("SELECT orders.state FROM orders", "SELECT sales.status FROM sales"),
        (
            "SELECT o.state, c.name FROM orders AS o JOIN customers AS c ON c.id = o.id",
            "SELECT o.status, c.name FROM sales AS o JOIN customers AS c ON c.id = o.id",
        ),
        (
            "SELECT name FROM customers WHERE id IN (SELECT id FROM orders WHERE state = 'state')",
            "SELECT name FROM customers WHERE id IN (SELECT id FROM sales WHERE status = 'state')",
        ),
        (
            "WITH x AS (SELECT state AS s FROM orders) SELECT s FROM x GROUP BY s",
            "WITH x AS (SELECT status AS s FROM sales) SELECT s FROM x GROUP BY s",
        ),
        # what is around a query knows its outputs by their names
        (
            "SELECT state FROM (SELECT id, state FROM orders) AS o WHERE state = 'new'",
            "SELECT state FROM (SELECT id, status AS state FROM sales) AS o WHERE state = 'new'",
        ),
        (
            "WITH x AS (SELECT orders.state FROM orders) SELECT x.state FROM x",
            "WITH x AS (SELECT sales.status AS state FROM sales) SELECT x.state FROM x",
        ),
        (
            "SELECT name FROM customers UNION SELECT state FROM orders ORDER BY name",
            "SELECT name FROM customers UNION SELECT status AS state FROM sales ORDER BY name",
        ),
        (
            "SELECT state FROM orders UNION SELECT name FROM customers ORDER BY state",
            "SELECT status AS state FROM sales UNION SELECT name FROM customers ORDER BY state",
        ),
        ("SELECT state FROM orders ORDER BY state", "SELECT status FROM sales ORDER BY status"),
        (
            "SELECT state, COUNT(*) FROM orders GROUP BY state HAVING state <> 'new'",
            "SELECT status, COUNT(*) FROM sales GROUP BY status HAVING status != 'new'",
        ),
        ("SELECT name FROM customers", "SELECT name FROM customers"),
        # joined by a name that only one side keeps
        (
            "SELECT name FROM customers JOIN orders USING (id)",
            "SELECT name FROM customers JOIN sales USING (id)",
        ),
        ("SELECT nothing FROM orders", None),
        ("SELECT state FROM", None),
    ],
)
def test_a_query_is_written_with_the_new_names(dialect: Dialect, sql: str, expected: str | None) -> None:
    old = replace(SHOP, dialect=dialect)
    assert renamed(sql, dialect, old, {"orders": "sales"}, {("orders", "state"): "status"}) == expected


def test_a_key_joined_by_its_name_is_not_renamed() -> None:
    sql = "SELECT name FROM customers JOIN orders USING (id)"
    assert renamed(sql, "sqlite", SHOP, {}, {("orders", "id"): "order_id"}) is None
