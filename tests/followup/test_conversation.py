"""Follow-up questions through the whole product, with the model scripted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.generation import ScriptedGenerator

SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) FROM orders"],
    "Who is there?": ["SELECT name FROM customers WHERE city = 'Oslo'"],
    "Who is there, what is the sum of their orders?": ["SELECT 1 AS wrong FROM orders LIMIT 1"],
    "What is the sum of customers orders?": [
        "SELECT SUM(orders.total) FROM orders JOIN customers ON orders.customer_id = customers.id"
    ],
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlgen.Database]:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);"
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), total NUMERIC);"
            "INSERT INTO customers VALUES (1, 'Ann', 'Oslo'), (2, 'Bo', 'Rome'), (3, 'Cy', 'Oslo');"
            "INSERT INTO orders VALUES (1, 1, 10), (2, 1, 4), (3, 2, 99);"
        )
    settings = Settings(home=tmp_path / "home")
    with sqlgen.connect(
        f"sqlite:///{path}", settings=settings, generator=ScriptedGenerator(SCRIPT)
    ) as opened:
        yield opened


def test_a_conversation_goes_on_from_its_last_answer(database: sqlgen.Database) -> None:
    first = database.ask("How many orders?")
    second = first.ask("only in Oslo")
    assert second.result is not None
    assert second.result.rows == ((2,),)
    assert second.question.text == "only in Oslo"
    assert second.question.in_full == "How many orders, only in Oslo?"
    third = second.ask("what about Rome?")
    assert third.result is not None
    assert third.result.rows == ((1,),)
    assert len(third.turns) == 3


def test_the_model_is_asked_about_the_rows_found_before(database: sqlgen.Database) -> None:
    reply = database.ask("Who is there?").ask("What is the sum of their orders?")
    assert reply.result is not None
    assert reply.result.rows == ((14,),)
    assert "city = 'Oslo'" in reply.sql


def test_a_reason_is_declined_and_the_conversation_stays(database: sqlgen.Database) -> None:
    first = database.ask("How many orders?")
    declined = first.ask("why so few?")
    assert declined.status == "abstained"
    assert "not why" in declined.message
    again = declined.ask("only in Oslo")
    assert again.result is not None
    assert again.result.rows == ((2,),)


def test_a_follow_up_is_kept_and_corrected_as_a_question_in_full(database: sqlgen.Database) -> None:
    first = database.ask("How many orders?")
    second = first.ask("only in Oslo")
    line = next(iter(database.history.lines(limit=1)))
    assert line.question == "How many orders, only in Oslo?"
    second.correct("SELECT 42 FROM orders LIMIT 1")
    assert first.ask("only in Oslo").model.name == "verified query"
    alone = database.ask("only in Oslo")
    assert alone.model.name != "verified query"


def test_an_edit_that_validation_refuses_never_runs(
    database: sqlgen.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlgen.followup import turn

    def bad(*_: object, **__: object) -> turn.Turn:
        return turn.Turn("How many orders, drop them?", sql="DELETE FROM orders")

    monkeypatch.setattr("sqlgen.followup.understand", bad)
    reply = database.ask("How many orders?").ask("drop them")
    assert reply.status != "answered"
    assert "DELETE" not in reply.sql
