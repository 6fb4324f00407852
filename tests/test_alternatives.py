"""Two readings that look equally right: asked about where their results differ, silent where they agree."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import sqlgen
from sqlgen.cli import terminal
from sqlgen.config import Settings
from sqlgen.errors import UsageError
from tests.conftest import Beams

ORDERED = "SELECT COUNT(*) FROM orders WHERE order_date >= '2025-02-01'"
SHIPPED = ORDERED.replace("order_date", "shipped_date")


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, order_date DATE, shipped_date DATE, paid_date DATE);"
            "INSERT INTO orders VALUES (1, 'a', '2025-01-30', '2025-02-02', '2025-01-30'),"
            "(2, 'a', '2025-02-01', '2025-02-02', '2025-02-01'), (3, 'b', '2025-02-03', '2025-02-04', '2025-02-03');"
        )
    return f"sqlite:///{path}"


def ask(url: str, tmp_path: Path, *held: tuple[str, float]) -> sqlgen.Reply:
    settings = Settings(home=tmp_path / "home")
    return sqlgen.connect(url, settings=settings, generator=Beams(*held)).ask("Orders since February?")


def test_two_dates_are_offered_side_by_side(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = ask(url, tmp_path, (ORDERED, 0.4), (SHIPPED, 0.3))
    assert reply.choice == "order date or shipped date?"
    assert [(a.label, a.sql, a.result.rows) for a in reply.alternatives] == [
        ("order date", ORDERED, ((2,),)),
        ("shipped date", SHIPPED, ((3,),)),
    ]
    assert reply.alternatives[0].result == reply.result
    assert reply.to_dict()["alternatives"][1]["rows"] == [[3]]
    terminal.print_answer(reply)
    printed = capsys.readouterr().out
    assert "1. order date    2. shipped date" in printed.splitlines()


def test_what_is_picked_answers_from_then_on(url: str, tmp_path: Path) -> None:
    reply = ask(url, tmp_path, (ORDERED, 0.4), (SHIPPED, 0.3))
    picked = reply.pick(2)
    assert picked.sql == SHIPPED
    assert picked.alternatives == ()
    assert picked.model.name == "verified query"
    with pytest.raises(UsageError, match="1 to 2"):
        reply.pick(3)


def test_each_row_or_each_different_value(url: str, tmp_path: Path) -> None:
    one, other = "SELECT COUNT(customer) FROM orders", "SELECT COUNT(DISTINCT customer) FROM orders"
    assert ask(url, tmp_path, (one, 0.4), (other, 0.3)).choice == "each row or each different value?"


@pytest.mark.parametrize(
    ("rival", "likely"),
    [
        (ORDERED.replace("order_date", "paid_date"), 0.3),  # the same result
        (SHIPPED, 0.01),  # far less likely
        ("SELECT COUNT(*) FROM orders WHERE order_date >= '2025-02-02'", 0.3),  # another literal
        ("SELECT MAX(id) + 7 FROM orders", 0.3),  # another thing altogether
        ("SELECT COUNT(*) FROM orders WHERE customer >= '2025-02-01'", 0.3),  # no date
        ("SELECT COUNT(*) FROM orders WHERE nothing >= '2025-02-01'", 0.39),  # rejected
    ],
)
def test_it_stays_silent(rival: str, likely: float, url: str, tmp_path: Path) -> None:
    reply = ask(url, tmp_path, (ORDERED, 0.4), (rival, likely))
    assert reply.status == "answered"
    assert (reply.choice, reply.alternatives) == ("", ())
