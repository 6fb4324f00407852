"""A log store, and a small shop with a database behind it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.pipeline import Database
from sqlgen.training.logs.store import LogStore

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, email TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), placed DATE, total NUMERIC);
INSERT INTO customers VALUES (1, 'Ann', 'Oslo', 'a@b.org'), (2, 'Bob', 'Rome', NULL), (3, 'Cy', 'Oslo', NULL);
INSERT INTO orders VALUES (1, 1, '2024-03-05', 10.5), (2, 1, '2024-04-01', 4), (3, 2, '2024-03-31', 99);
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LogStore]:
    with LogStore(tmp_path / "store" / "logs.sqlite") as opened:
        yield opened


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    with sqlgen.connect(f"sqlite:///{path}", settings=Settings(home=tmp_path / "home")) as database:
        yield database
