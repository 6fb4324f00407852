"""A small shop with odd corners, and catalogs of any size."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from sqlgen.types import Catalog, Column, ForeignKey, Table

_WORDS = """
account asset batch branch budget campaign carrier category city claim client contract course crew
customer delivery device driver employee event flight grade hotel invoice item journal lease ledger
line loan machine member meter order owner parcel patient payment plan plant player policy product
project region rental report review room route sale school season sensor shift site stock student
supplier task team ticket trip unit user vehicle vendor visit voucher warehouse zone
"""


def number(name: str, **kw: object) -> Column:
    """A numeric column."""
    return replace(Column(name, "INTEGER", "number"), **kw)  # type: ignore[arg-type]


def text(name: str, *values: str, comment: str = "") -> Column:
    """A text column with sampled values."""
    return Column(name, "TEXT", "text", comment=comment, values=values)


def count_words(some: str) -> int:
    """A stand-in for a tokenizer."""
    return len(some.split())


@pytest.fixture
def shop() -> Catalog:
    """Five tables; order_lines joins orders and products; notes stands apart."""
    key = number("id", primary_key=True)
    return Catalog(
        "sqlite",
        (
            Table("customers", (key, text("name", "Ann Lee", "Bob"), text("city", "Paris", "Oslo"))),
            Table(
                "orders",
                (
                    key,
                    number("customer_id"),
                    Column("placed_on", "DATE", "date"),
                    text("status", "open", "paid"),
                ),
                foreign_keys=(ForeignKey(("customer_id",), "customers", ("id",)),),
            ),
            Table(
                "order_lines",
                (number("order_id"), number("product_id"), number("quantity")),
                foreign_keys=(
                    ForeignKey(("order_id",), "orders", ("id",)),
                    ForeignKey(("product_id",), "products", ("id",), inferred=True),
                ),
            ),
            Table(
                "products",
                (key, text("title", "Red Lamp"), number("unit_price")),
                comment="goods that we sell",
            ),
            Table("notes", (key, text("body"))),
        ),
        fingerprint="shop-1",
    )


@pytest.fixture
def make_catalog() -> Callable[[int], Catalog]:
    """A generated catalog of n tables, about 12 columns each, every table joined to an earlier one."""

    def make(tables: int) -> Catalog:
        rng = random.Random(7)
        words = _WORDS.split()
        made: list[Table] = []
        for i in range(tables):
            name = f"{rng.choice(words)}_{rng.choice(words)}_{i}"
            columns = [number("id", primary_key=True)]
            keys = []
            if made:
                target = rng.choice(made)
                columns.append(number(f"{target.name}_id"))
                keys = [ForeignKey((f"{target.name}_id",), target.key, ("id",))]
            for j in range(10):
                columns.append(
                    text(f"{rng.choice(words)}_{rng.choice(('name', 'code', 'date', 'kind'))}_{j}")
                )
            made.append(Table(name, tuple(columns), foreign_keys=tuple(keys)))
        return Catalog("sqlite", tuple(made), fingerprint=f"made-{tables}")

    return make
