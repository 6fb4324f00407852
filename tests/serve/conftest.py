"""A small shop with orders of two regions, and a policy that shows each caller one of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from sqlgen.generation.scripted import ScriptedGenerator

SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) AS n FROM orders"],
    "Show all orders": ["SELECT id, region, total FROM orders ORDER BY id"],
    "Orders of the US?": ["SELECT id FROM orders WHERE region = 'US' OR 1 = 1"],
    "Who earns what?": ["SELECT name, salary FROM staff"],
    "Break it": ["DELETE FROM orders"],
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
