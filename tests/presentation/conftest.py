"""A small shop's catalog, to describe queries over."""

from __future__ import annotations

import pytest

from sqlgen.sql.ddl import catalog_from_ddl
from sqlgen.types import Catalog

DDL = """
CREATE TABLE customers (customer_id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT, credit_rate REAL);
CREATE TABLE orders (
    order_id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (customer_id), status TEXT,
    order_date DATE, shipped_date DATE, total_amount NUMERIC, rating INTEGER
);
"""


@pytest.fixture
def catalog() -> Catalog:
    return catalog_from_ddl(DDL, "sqlite")
