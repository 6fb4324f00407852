"""A small shop with orders of two regions, and a policy that shows each caller one of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import sqlgen
from sqlgen.generation.scripted import ScriptedGenerator
from sqlgen.policy import read_policy
from sqlgen.registry import ADAPTER_FILE
from sqlgen.serve.app import create_app
from sqlgen.serve.settings import ServeSettings, read_serve

Open = Callable[..., Any]

SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) AS n FROM orders"],
    "Show all orders": ["SELECT id, region, total FROM orders ORDER BY id"],
    "Orders of the US?": ["SELECT id FROM orders WHERE region = 'US' OR 1 = 1"],
    "Who earns what?": ["SELECT name, salary FROM staff"],
    "Break it": ["DELETE FROM orders"],
    "Total by region?": ["SELECT region, SUM(total) AS total FROM orders GROUP BY region"],
    "What is odd?": ["SELECT note FROM orders ORDER BY id"],
}


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """The URL of a database with four orders: three of the EU, one of the US."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE orders (id INTEGER PRIMARY KEY, region TEXT, total REAL, note TEXT);
            CREATE TABLE staff (name TEXT, salary INTEGER);
            INSERT INTO orders VALUES (1, 'EU', 10.5, 'a'), (2, 'EU', 20, '<img src=x onerror=alert(1)>'),
                                      (3, 'EU', 30, '=1+1'), (4, 'US', 400, NULL);
            INSERT INTO staff VALUES ('Ann', 1000);
            """
        )
    connection.close()
    return f"sqlite:///{path}"


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(SCRIPT)


@pytest.fixture
def policy() -> Mapping[str, object]:
    return {"row_filters": {"orders": "region = :region"}, "deny_columns": ["staff.salary"]}


@pytest.fixture
def opened(shop: str, generator: Any, tmp_path: Path) -> Open:
    """A function that opens a client of a service with other settings."""

    @contextmanager
    def open_client(
        serve: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        policy: Mapping[str, object] | None = None,
        **settings: Any,
    ) -> Iterator[TestClient]:
        made = sqlgen.Settings(home=tmp_path / "home", policy=read_policy(policy or {}), **settings)
        opening = partial(sqlgen.connect, shop, settings=made, generator=generator)
        app = create_app(opening, made, read_serve(serve) if serve else ServeSettings())
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        with TestClient(
            app, base_url="http://localhost", headers=headers, raise_server_exceptions=False
        ) as client:
            yield client

    return open_client


@pytest.fixture
def adapter(shop: str, tmp_path: Path) -> str:
    """The id of an adapter of the shop's registry, with the report of the gate that it passed."""
    won = {"question": "How many parcels?", "gold": "SELECT 1", "before": "SELECT 2", "after": "SELECT 1"}
    one_set = {
        "name": "own", "count": 40, "before": 0.4, "after": 0.55, "gain": 0.15, "chance": 0.01, "interval_90": [0.05, 0.25],
        "compared_as_sql": 0, "won": [won], "lost": [],
    }  # fmt: skip
    gate = {"passed": True, "reasons": [], "margin": 0.02, "doubtful": None, "sets": [one_set]}
    settings = sqlgen.Settings(home=tmp_path / "home")
    with (
        sqlgen.connect(shop, settings=settings, generator=ScriptedGenerator({})) as database,
        database.adapters.scratch() as made,
    ):
        (made / ADAPTER_FILE).write_bytes(b"weights")
        (made / "weights").mkdir()
        (made / "weights" / "manifest.json").write_text("{}")
        return database.adapters.add(made, {"base": {"name": "m", "version": "1"}}, gate).id
