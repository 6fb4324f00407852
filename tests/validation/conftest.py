"""One small schema for four engines, its catalog, and the statements kept as data."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sqlgen.types import Catalog, Column, ColumnKind, Dialect, Table

FIXTURES = Path(__file__).parent.parent / "fixtures" / "validation"
DIALECTS: tuple[Dialect, ...] = ("sqlite", "duckdb", "postgres", "mysql")

# name: columns as (name, kind of type); "json" and "list" differ per engine.
SCHEMA: dict[str, list[tuple[str, str]]] = {
    "customers": [
        ("id", "int"), ("name", "text"), ("email", "text"), ("country", "text"), ("city", "text"),
        ("balance", "number"), ("active", "int"),
    ],
    "orders": [
        ("id", "int"), ("customer_id", "int"), ("status", "text"), ("ordered_at", "time"), ("total", "number"),
        ("note", "text"),
    ],
    "order_items": [
        ("order_id", "int"), ("product_id", "int"), ("quantity", "int"), ("unit_price", "number"),
        ("discount", "number"),
    ],
    "returns": [("order_id", "int"), ("product_id", "int"), ("reason", "text")],
    "products": [
        ("id", "int"), ("name", "text"), ("category", "text"), ("price", "number"), ("cost", "number"),
        ("attrs", "json"),
    ],
    "employees": [("id", "int"), ("name", "text"), ("manager_id", "int"), ("salary", "number")],
    "suppliers": [("id", "int"), ("country", "text")],
    "Weird Table": [("select", "int"), ("a b", "text"), ("CamelCase", "text")],
}  # fmt: skip
EXTRA: dict[Dialect, dict[str, list[tuple[str, str]]]] = {
    "sqlite": {},
    "duckdb": {"events": [("id", "int"), ("tags", "list"), ("info", "struct")]},
    "postgres": {
        "docs": [("id", "int"), ("body", "text"), ("tags", "list"), ("mood", "mood")],
        "sales.deals": [("id", "int"), ("amount", "number"), ("stage", "text")],
    },
    "mysql": {},
}
TYPES: dict[Dialect, dict[str, str]] = {
    "sqlite": {"int": "INTEGER", "text": "TEXT", "number": "REAL", "time": "TEXT", "json": "TEXT"},
    "duckdb": {
        "int": "INTEGER", "text": "VARCHAR", "number": "DOUBLE", "time": "TIMESTAMP", "json": "JSON",
        "list": "VARCHAR[]", "struct": "STRUCT(a INTEGER, b VARCHAR)",
    },
    "postgres": {
        "int": "integer", "text": "text", "number": "numeric", "time": "timestamp", "json": "jsonb",
        "list": "text[]", "mood": "mood",
    },
    "mysql": {
        "int": "INT", "text": "VARCHAR(100)", "number": "DOUBLE", "time": "DATETIME", "json": "JSON",
    },
}  # fmt: skip
ROWS: dict[str, list[tuple[object, ...]]] = {
    "customers": [
        (1, "Ann", "ann@example.com", "DE", "Berlin", 10.5, 1),
        (2, "Bob", "bob@example.org", "FR", "Paris", None, 0),
        (3, "Cid", "cid@example.org", "DE", None, 200, 1),
    ],
    "orders": [
        (1, 1, "paid", "2024-01-03 10:00:00", 60.0, ":ref"),
        (2, 1, "open", "2024-02-03 11:00:00", 5.0, "100%"),
        (3, 3, "paid", "2024-01-04 12:00:00", 99.5, None),
    ],
    "order_items": [(1, 1, 2, 30.0, 0.0), (3, 2, 1, 99.5, 0.1)],
    "returns": [(3, 2, "broken")],
    "products": [
        (1, "Pen", "office", 30.0, 10.0, json.dumps({"color": "red", "size": 1})),
        (2, "Desk", "home", 99.5, 50.0, json.dumps({"color": "blue"})),
    ],
    "employees": [(1, "Zoe", None, 5000.0), (2, "Yan", 1, 4000.0)],
    "suppliers": [(1, "DE")],
    "Weird Table": [(1, "x", "y")],
}
KINDS: dict[str, ColumnKind] = {"int": "number", "number": "number", "text": "text", "time": "date"}


def quote(name: str, dialect: Dialect) -> str:
    return f"`{name}`" if dialect == "mysql" else f'"{name}"'


def ddl(dialect: Dialect) -> list[str]:
    """Statements that create and fill the schema."""
    made = (
        ["CREATE SCHEMA sales", "CREATE TYPE mood AS ENUM ('happy', 'sad')"] if dialect == "postgres" else []
    )
    for key, columns in {**SCHEMA, **EXTRA[dialect]}.items():
        name = ".".join(quote(p, dialect) for p in key.split("."))
        body = ", ".join(f"{quote(c, dialect)} {TYPES[dialect][t]}" for c, t in columns)
        # An index hint needs an index to name.
        body += ", PRIMARY KEY (id)" if key == "customers" else ""
        made.append(f"CREATE TABLE {name} ({body})")
        for row in ROWS.get(key, []):
            values = ", ".join("NULL" if v is None else repr(v) for v in row)
            made.append(f"INSERT INTO {name} VALUES ({values})")
    made.append("CREATE VIEW big_orders AS SELECT * FROM orders WHERE total > 50")
    return made


def build_catalog(dialect: Dialect) -> Catalog:
    tables = []
    for key, columns in {**SCHEMA, **EXTRA[dialect], "big_orders": SCHEMA["orders"]}.items():
        schema, _, name = key.rpartition(".")
        tables.append(
            Table(
                name,
                tuple(Column(c, TYPES[dialect][t], KINDS.get(t, "other")) for c, t in columns),
                schema=schema or None,
                is_view=key == "big_orders",
            )
        )
    database = "guard" if dialect == "mysql" else ""
    return Catalog(dialect, tuple(tables), fingerprint="fixture", database=database)


CATALOGS = {dialect: build_catalog(dialect) for dialect in DIALECTS}


def cases(name: str) -> list[tuple[str, str]]:
    """(why, sql) pairs of a fixture file: a case begins with a line ``#: why``."""
    found: list[tuple[str, str]] = []
    for block in ("\n" + (FIXTURES / name).read_text("utf-8")).split("\n#: ")[1:]:
        why, _, sql = block.partition("\n")
        found.append(
            (why, json.loads(f'"{sql.strip()[5:]}"') if sql.startswith("json ") else sql.rstrip("\n"))
        )
    return found


def line_cases(name: str, dialect: Dialect) -> list[tuple[str, str]]:
    """(why, sql) pairs of a fixture file with one statement a line behind the dialects it is for."""
    found: list[tuple[str, str]] = []
    for number, line in enumerate((FIXTURES / name).read_text("utf-8").splitlines(), 1):
        named, _, sql = line.partition(" | ")
        if sql and not line.startswith("#") and (named == "all" or dialect in named.split()):
            found.append((f"{name}:{number}", sql.replace("\\n", "\n")))
    return found


Runner = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture(scope="session")
def sqlite_runner() -> Iterator[Runner]:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    for statement in ddl("sqlite"):
        connection.execute(statement)
    connection.commit()
    yield lambda sql: connection.execute(sql).fetchall()
    connection.close()


@pytest.fixture(scope="session")
def duckdb_runner() -> Iterator[Runner]:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect(":memory:")
    for statement in ddl("duckdb"):
        connection.execute(statement)
    yield lambda sql: connection.execute(sql).fetchall()
    connection.close()


def server_runner(url: str, dialect: Dialect) -> Iterator[Runner]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect().execution_options(no_parameters=True) as connection:
        schema = "guard"
        if dialect == "postgres":
            connection.exec_driver_sql("DROP SCHEMA IF EXISTS sales CASCADE")
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        else:
            connection.exec_driver_sql(f"CREATE DATABASE IF NOT EXISTS {schema}")
            connection.exec_driver_sql(f"USE {schema}")
            connection.exec_driver_sql("DROP VIEW IF EXISTS big_orders")
            for name in SCHEMA:
                connection.exec_driver_sql(f"DROP TABLE IF EXISTS {quote(name, dialect)}")
        for statement in ddl(dialect):
            connection.exec_driver_sql(statement)
        yield lambda sql: [tuple(row) for row in connection.exec_driver_sql(sql).fetchall()]
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_runner(postgres_url: str) -> Iterator[Runner]:
    yield from server_runner(postgres_url, "postgres")


@pytest.fixture(scope="session")
def mysql_runner(mariadb_url: str) -> Iterator[Runner]:
    yield from server_runner(mariadb_url, "mysql")
