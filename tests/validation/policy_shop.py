"""A shop on four engines, twice: alike in all that the policy shows, different in all that it hides.

A query that passes must find the same in both, and nothing with a canary in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from sqlgen.policy import Mask, Policy, Protection, bind
from sqlgen.sql.views import views_closed
from sqlgen.types import Catalog, Column, ColumnKind, Dialect, ForeignKey, Table

CANARY = "canary"
NUMBER = 987654
POLICY = Policy(
    deny_tables=("audit",),
    deny_columns=("customers.ssn", "salary", "orders.cost"),
    masks=(("customers.email", Mask("first", length=2)), ("customers.phone", Mask("null"))),
    row_filters=(("orders", "region = :region"),),
    context=(("region", "EU"),),
)
TABLES: dict[str, list[tuple[str, str]]] = {
    "customers": [
        ("id", "INTEGER PRIMARY KEY"), ("name", "VARCHAR(40)"), ("ssn", "VARCHAR(40)"), ("email", "VARCHAR(40)"),
        ("phone", "VARCHAR(40)"), ("city", "VARCHAR(40)"),
    ],
    "orders": [
        ("id", "INTEGER PRIMARY KEY"), ("customer_id", "INTEGER"), ("total", "INTEGER"), ("region", "VARCHAR(40)"),
        ("cost", "INTEGER"), ("note", "VARCHAR(40)"),
    ],
    "staff": [
        ("id", "INTEGER PRIMARY KEY"), ("name", "VARCHAR(40)"), ("salary", "INTEGER"), ("boss_id", "INTEGER"),
        ("city", "VARCHAR(40)"),
    ],
    "audit": [("id", "INTEGER PRIMARY KEY"), ("what", "VARCHAR(40)")],
    "items": [("id", "INTEGER PRIMARY KEY"), ("order_id", "INTEGER"), ("quantity", "INTEGER"), ("salary", "INTEGER")],
    "cities": [("id", "INTEGER PRIMARY KEY"), ("name", "VARCHAR(40)"), ("people", "INTEGER")],
}  # fmt: skip
VIEWS = {
    "v_customers": "SELECT * FROM customers",
    "v_names": "SELECT id, name, city FROM customers",
    "v_renamed": "SELECT id, name AS who, ssn AS badge FROM customers",
    "v_orders": "SELECT id, customer_id, total, region FROM orders",
    "v_costs": "SELECT id, total, cost * 2 AS twice FROM orders",
    "v_sums": "SELECT customer_id, SUM(total) AS total FROM orders GROUP BY customer_id",
    "v_over": "SELECT customer_id, total FROM v_sums WHERE total > 0",
    "v_rich": "SELECT id, name FROM staff WHERE salary > 100",
    "v_audit": "SELECT id, what FROM audit",
    "v_mails": "SELECT id, LOWER(email) AS mail FROM customers",
    "v_cities": "SELECT id, name FROM cities",
}
VIEW_COLUMNS = {
    "v_customers": ["id", "name", "ssn", "email", "phone", "city"],
    "v_names": ["id", "name", "city"],
    "v_renamed": ["id", "who", "badge"],
    "v_orders": ["id", "customer_id", "total", "region"],
    "v_costs": ["id", "total", "twice"],
    "v_sums": ["customer_id", "total"],
    "v_over": ["customer_id", "total"],
    "v_rich": ["id", "name"],
    "v_audit": ["id", "what"],
    "v_mails": ["id", "mail"],
    "v_cities": ["id", "name"],
}


def rows(table: str, other: bool) -> list[tuple[object, ...]]:
    """The cells of a table; ``other`` changes every cell and row that the policy hides, and nothing else."""
    hidden = (lambda n: f"other {n}") if other else (lambda n: f"{CANARY} {n}")
    amount = (lambda n: 11 * n) if other else (lambda n: NUMBER + n)
    if table == "customers":
        return [
            (i, name, hidden(-i), f"{name[:2]}{hidden(i)}", None if other else hidden(i), city)
            for i, (name, city) in enumerate(
                [("Ann", "Oslo"), ("Bob", "Rome"), ("Cid", None), ("Dee", "Oslo")], 1
            )
        ]
    if table == "orders":
        shown = [(i, 1 + i % 3, 10 * i, "EU", amount(i), "late" if i % 2 else None) for i in range(1, 7)]
        first, count = (40, 3) if other else (20, 9)
        return shown + [
            (first + i, 1 + i % 4, amount(i), hidden("row"), amount(-i), hidden(i)) for i in range(count)
        ]
    if table == "staff":
        names = [("Zoe", None, "Oslo"), ("Yan", 1, "Rome"), ("Xia", 1, "Oslo"), ("Wim", 2, None)]
        return [(i, n, amount((i * 7) % 4), b, c) for i, (n, b, c) in enumerate(names, 1)]
    if table == "audit":
        return [(i, hidden(i)) for i in range(2 if other else 5)]
    if table == "items":
        return [(i, 1 + i % 6, i % 4, amount(-i)) for i in range(1, 10)]
    return [(1, "Oslo", 700), (2, "Rome", 2800)]


def statements(other: bool) -> list[str]:
    made = []
    for name, columns in TABLES.items():
        made.append(f"CREATE TABLE {name} ({', '.join(f'{c} {t}' for c, t in columns)})")
        for row in rows(name, other):
            cells = ", ".join("NULL" if c is None else repr(c) for c in row)
            made.append(f"INSERT INTO {name} VALUES ({cells})")
    return made + [f"CREATE VIEW {name} AS {query}" for name, query in VIEWS.items()]


def catalog(dialect: Dialect) -> Catalog:
    def column(name: str, type_: str) -> Column:
        kind: ColumnKind = "number" if type_.startswith("INT") else "text"
        return Column(name, type_.split()[0], kind, primary_key="PRIMARY" in type_)

    keys = {
        "orders": (ForeignKey(("customer_id",), "customers", ("id",)),),
        "items": (ForeignKey(("order_id",), "orders", ("id",)),),
    }
    tables = [
        Table(name, tuple(column(c, t) for c, t in columns), foreign_keys=keys.get(name, ()))
        for name, columns in TABLES.items()
    ]
    views = [
        Table(
            name, tuple(column(c, "INTEGER" if c.endswith("id") else "TEXT") for c in columns), is_view=True
        )
        for name, columns in VIEW_COLUMNS.items()
    ]
    return Catalog(dialect, (*tables, *views), fingerprint="policy-shop")


def protection(dialect: Dialect, **changes: Any) -> Protection:
    bound = bind(replace(POLICY, **changes), catalog(dialect))
    return views_closed(bound, VIEWS)


Runner = Callable[[str], list[tuple[object, ...]]]


@dataclass(frozen=True)
class Twins:
    """The two databases of one engine."""

    dialect: Dialect
    one: Runner
    other: Runner

    def found(self, sql: str) -> list[str]:
        """What ``sql`` finds in the first; fails where the second gives anything else, or where a canary is in it."""
        here, there = outcome(self.one, sql), outcome(self.other, sql)
        failed = [bool(found) and found[0].startswith("error") for found in (here, there)]
        # DuckDB plans by row counts, and a plan may end before it comes to a cell, in plain sight, that fails a cast.
        assert failed[0] == failed[1] or self.dialect == "duckdb", (
            f"{sql} fails by what is hidden: {here} {there}"
        )
        assert any(failed) or here == there, f"{sql} depends on what is hidden: {here[:4]} {there[:4]}"
        text = " ".join(here + there).lower()
        assert CANARY not in text, f"{sql} shows what is hidden"
        assert str(NUMBER)[:4] not in text, f"{sql} shows what is hidden"
        assert "other row" not in text, f"{sql} shows what is hidden"
        return here


def outcome(run: Runner, sql: str) -> list[str]:
    """The rows as sorted text, or the error in its first words; none of them may tell more."""
    try:
        return sorted(map(repr, run(sql)))
    except Exception as error:  # noqa: BLE001  whatever the driver raises is an outcome
        return [f"error {' '.join(str(error).split())[:300]}"]


def sqlite_twins() -> Iterator[Twins]:
    made: list[sqlite3.Connection] = []
    for other in (False, True):
        connection = sqlite3.connect(":memory:", check_same_thread=False)
        for statement in statements(other):
            connection.execute(statement)
        made.append(connection)
    yield Twins("sqlite", *(_sqlite_runner(c) for c in made))
    for connection in made:
        connection.close()


def _sqlite_runner(connection: sqlite3.Connection) -> Runner:
    return lambda sql: connection.execute(sql).fetchall()


def duckdb_twins() -> Iterator[Twins]:
    import duckdb

    made = []
    for other in (False, True):
        connection = duckdb.connect(":memory:")
        for statement in statements(other):
            connection.execute(statement)
        made.append(connection)
    yield Twins("duckdb", *(_duckdb_runner(c) for c in made))
    for connection in made:
        connection.close()


def _duckdb_runner(connection: Any) -> Runner:
    return lambda sql: connection.execute(sql).fetchall()


def server_twins(dialect: Dialect, urls: Sequence[str]) -> Iterator[Twins]:
    engines = [sa.create_engine(url, isolation_level="AUTOCOMMIT") for url in urls]
    connections = [engine.connect().execution_options(no_parameters=True) for engine in engines]
    for connection, other in zip(connections, (False, True), strict=True):
        for statement in statements(other):
            connection.exec_driver_sql(statement)
    yield Twins(dialect, *(_server_runner(c) for c in connections))
    for connection in connections:
        connection.close()
    for engine in engines:
        engine.dispose()


def _server_runner(connection: Any) -> Runner:
    return lambda sql: [tuple(row) for row in connection.exec_driver_sql(sql).fetchall()]
