"""One small shop on each engine, for tests that must hold on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.execution import Driver, open_driver
from sqlgen.types import Dialect, Limits, Result, ValidatedQuery

ITEMS = 3000


@dataclass
class Shop:
    """A database with the table ``item`` and a driver for it."""

    dialect: Dialect
    engine: sa.Engine
    driver: Driver

    def run(self, sql: str, **limits: Any) -> Result:
        limits.setdefault("timeout_s", 20.0)
        return self.driver.execute(query(sql, self.dialect), Limits(**limits))


def query(sql: str, dialect: Dialect) -> ValidatedQuery:
    """A query that nobody checked: what the driver itself must withstand."""
    return ValidatedQuery(sql, dialect, (), ())


def fill(engine: sa.Engine) -> None:
    rows = [
        {"id": i, "name": f"item {i}", "price": i / 4, "made": f"2024-01-{i % 28 + 1:02}"}
        for i in range(ITEMS)
    ]
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE item "
                "(id INTEGER PRIMARY KEY, name VARCHAR(50), price DECIMAL(10, 2), made DATE)"
            )
        )
        table = sa.table("item", *(sa.column(name) for name in ("id", "name", "price", "made")))
        connection.execute(sa.insert(table).values(rows[:1500]))
        connection.execute(sa.insert(table).values(rows[1500:]))


def _sqlite(request: pytest.FixtureRequest, folder: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{folder / 'its a shop?.db'}")
    with engine.begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price NUMERIC, made TEXT)")
        )
        for i in range(ITEMS):
            connection.exec_driver_sql(
                "INSERT INTO item VALUES (?, ?, ?, ?)", (i, f"item {i}", i / 4, f"2024-01-{i % 28 + 1:02}")
            )
    return engine


def _duckdb(request: pytest.FixtureRequest, folder: Path) -> sa.Engine:
    duckdb = pytest.importorskip("duckdb")
    path = folder / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"CREATE TABLE item AS SELECT range::INTEGER AS id, 'item ' || range AS name, "
            f"(range / 4)::DECIMAL(10, 2) AS price, DATE '2024-01-01' + (range % 28)::INTEGER AS made "
            f"FROM range({ITEMS})"
        )
    return sa.create_engine(f"duckdb:///{path}", connect_args={"read_only": True}, poolclass=sa.pool.NullPool)


def _postgres(request: pytest.FixtureRequest, folder: Path) -> sa.Engine:
    engine = sa.create_engine(request.getfixturevalue("new_postgres_database")())
    fill(engine)
    return engine


def _mariadb(request: pytest.FixtureRequest, folder: Path) -> sa.Engine:
    engine = sa.create_engine(request.getfixturevalue("new_mariadb_database")())
    fill(engine)
    return engine


_MAKERS: dict[Dialect, Callable[[pytest.FixtureRequest, Path], sa.Engine]] = {
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "postgres": _postgres,
    "mysql": _mariadb,
}


def _shop(
    dialect: Dialect, request: pytest.FixtureRequest, factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    engine = _MAKERS[dialect](request, factory.mktemp(dialect))
    with open_driver(engine, dialect) as driver:
        yield Shop(dialect, engine, driver)
    engine.dispose()


@pytest.fixture(scope="session", params=list(_MAKERS))
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop on every engine in turn."""
    yield from _shop(request.param, request, tmp_path_factory)


@pytest.fixture(scope="session")
def sqlite_shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from _shop("sqlite", request, tmp_path_factory)


@pytest.fixture(scope="session")
def duckdb_shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from _shop("duckdb", request, tmp_path_factory)


@pytest.fixture(scope="session")
def postgres_shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from _shop("postgres", request, tmp_path_factory)


@pytest.fixture(scope="session")
def mysql_shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    yield from _shop("mysql", request, tmp_path_factory)
