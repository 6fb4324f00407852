"""Definitions that the shipped model never saw change what it answers about the demo shop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import sqlgen
from sqlgen import demo
from sqlgen.config import load_settings


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    demo.build_retail(path, scale=0.05)
    return path


@pytest.fixture
def db(shop: Path) -> Iterator[sqlgen.Database]:
    with sqlgen.connect(f"sqlite:///{shop}", settings=load_settings({"history": False})) as database:
        yield database


def truth(db: sqlgen.Database, sql: str) -> list[tuple[object, ...]]:
    with db.stream(sql) as batches:  # type: ignore[union-attr]
        return [row for batch in batches for row in batch]


def plain(rows: Iterable[tuple[object, ...]]) -> list[str]:
    """Rows in any order, figures to six digits: sums of floats depend on the order of the rows."""
    return sorted(repr(tuple(round(c, 6) if isinstance(c, float) else c for c in row)) for row in rows)


METRICS = [
    (
        "basket weight", "SUM(order_lines.quantity * products.weight_kg)",
        "What is the basket weight by channel?",
        "SELECT o.channel, SUM(l.quantity * p.weight_kg) FROM orders o JOIN order_lines l ON l.order_id = o.order_id "
        "JOIN products p ON p.product_id = l.product_id GROUP BY o.channel",
    ),
    (
        "zorp", "1.0 * SUM(orders.total_amount) / COUNT(DISTINCT orders.customer_id)",
        "zorp by channel",
        "SELECT channel, 1.0 * SUM(total_amount) / COUNT(DISTINCT customer_id) FROM orders GROUP BY channel",
    ),
    (
        "net takings", "SUM(CASE WHEN orders.status <> 'cancelled' THEN orders.total_amount END)",
        "What were the net takings in 2025?",
        "SELECT SUM(total_amount) FROM orders WHERE status <> 'cancelled' AND order_date >= '2025-01-01' AND order_date < '2026-01-01'",
    ),
]  # fmt: skip
TERMS = [
    (
        "quokka order", "orders.total_amount > 500 AND orders.channel = 'web'",
        "How many quokka orders are there?",
        "SELECT COUNT(*) FROM orders WHERE total_amount > 500 AND channel = 'web'",
    ),
    (
        "platinum buyer", "SELECT customer_id FROM orders GROUP BY customer_id HAVING SUM(total_amount) > 2000",
        "How many platinum buyers are there per country?",
        "SELECT country, COUNT(*) FROM customers WHERE customer_id IN "
        "(SELECT customer_id FROM orders GROUP BY customer_id HAVING SUM(total_amount) > 2000) GROUP BY country",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "sql", "question", "gold"), METRICS, ids=[m[0] for m in METRICS])
def test_a_metric_decides_the_figure(
    db: sqlgen.Database, name: str, sql: str, question: str, gold: str
) -> None:
    before = db.ask(question)
    db.knowledge.add_metric(name, sql)
    try:
        after = db.ask(question)
    finally:
        db.knowledge.remove(name)
    assert before.sql != after.sql
    assert after.status == "answered", after.message
    assert after.result is not None
    expected = truth(db, gold)
    assert plain(after.result.rows) == plain(expected)
    assert before.result is None or plain(before.result.rows) != plain(expected)
    assert any(c.kind == "metric" and c.name == name for c in after.citations)


@pytest.mark.parametrize(("name", "sql", "question", "gold"), TERMS, ids=[t[0] for t in TERMS])
def test_a_term_decides_the_rows(db: sqlgen.Database, name: str, sql: str, question: str, gold: str) -> None:
    before = db.ask(question)
    db.knowledge.add_term(name, "as the team says", sql=sql)
    try:
        after = db.ask(question)
    finally:
        db.knowledge.remove(name)
    assert after.status == "answered", after.message
    assert after.result is not None
    expected = truth(db, gold)
    assert expected not in ([], [(0,)])
    assert plain(after.result.rows) == plain(expected)
    assert before.result is None or plain(before.result.rows) != plain(expected)
