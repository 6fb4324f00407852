"""Knowledge in answers: with a scripted model over a small shop."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import load_settings
from sqlgen.errors import StoreUnusable, UsageError
from sqlgen.generation import ScriptedGenerator
from sqlgen.types import Candidate, ModelInfo, Question, Rejection, RetrievedContext, ValidatedQuery

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), total NUMERIC, status TEXT
);
INSERT INTO customers VALUES (1, 'Ann', 'Oslo'), (2, 'Bo', 'Rome'), (3, 'Cy', 'Rome');
INSERT INTO orders VALUES (1, 1, 10, 'paid'), (2, 1, 4, 'void'), (3, 2, 99, 'paid'), (4, 3, 1, 'open');
"""
JOINED = "FROM customers JOIN orders ON customers.id = orders.customer_id GROUP BY city"


class Scribe:
    """A model that writes what a script says and remembers what it was shown."""

    def __init__(self, script: dict[str, list[str]]) -> None:
        self.script = script
        self.info = ModelInfo("scripted", "1")
        self.seen: list[tuple[Question, RetrievedContext]] = []

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        self.seen.append((question, context))
        sqls = self.script.get(question.text, [])
        return tuple(Candidate(sql, -0.1 - n, "scripted", "1") for n, sql in enumerate(sqls[:beams]))

    def count_tokens(self, text: str) -> int:
        return len(text.split())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


@pytest.fixture
def scribe() -> Scribe:
    return Scribe(
        {
            "Takings by city": [
                f"SELECT city, SUM(orders.takings) {JOINED} ORDER BY city",
            ],
            "How many open ones?": ["SELECT COUNT(*) FROM orders"],
            "How many pending orders?": [
                "SELECT COUNT(*) FROM orders",
                "SELECT COUNT(*) FROM orders WHERE pending_order = 'yes'",
            ],
            "Who lives in Oslo?": ["SELECT name FROM customers"],
            "Basket rate by city": [f"SELECT city, MAX(orders.basket_rate) {JOINED}"],
            "score by city": [f"SELECT city, AVG(orders.score) {JOINED} ORDER BY city"],
            "Visits by city": [f"SELECT city, SUM(customers.visits) {JOINED}"],
        }
    )


@pytest.fixture
def db(path: Path, scribe: Scribe) -> Iterator[sqlgen.Database]:
    with sqlgen.connect(f"sqlite:///{path}", generator=scribe) as database:
        yield database


def rows(answer: sqlgen.Reply) -> list[tuple[object, ...]]:
    assert answer.result is not None, answer.message
    return list(answer.result.rows)


def test_a_metric_reaches_the_sql_from_the_next_question_on(db: sqlgen.Database, scribe: Scribe) -> None:
    assert db.ask("Takings by city").status == "rejected"
    kept = db.knowledge.add_metric("takings", "SUM(orders.total)", filters=["orders.status = 'paid'"])
    assert kept == "metric:takings"
    answer = db.ask("Takings by city")
    assert rows(answer) == [("Oslo", 10), ("Rome", 99)]
    assert "CASE WHEN orders.status = 'paid' THEN orders.total END" in answer.sql
    assert [(c.kind, c.name, c.source) for c in answer.citations if c.kind == "metric"] == [
        ("metric", "takings", "added")
    ]
    shown = next(p.table for p in scribe.seen[-1][1].tables if p.table.name == "orders")
    assert shown.columns[-1].name == "takings"
    # The answer speaks of the database as it is.
    assert answer.context is not None
    assert all(p.table.column("takings") is None for p in answer.context.tables)
    db.knowledge.add_metric("takings", "SUM(orders.total)")
    assert rows(db.ask("Takings by city")) == [("Oslo", 14), ("Rome", 100)]
    db.knowledge.undo()
    assert rows(db.ask("Takings by city")) == [("Oslo", 10), ("Rome", 99)]


def test_a_term_with_sql_is_a_test_and_a_candidate_without_it_gives_way(
    db: sqlgen.Database, scribe: Scribe
) -> None:
    db.knowledge.add_term("pending order", "not settled", sql="orders.status = 'open'")
    answer = db.ask("How many pending orders?")
    assert rows(answer) == [(1,)]
    assert [v for _, v in answer.candidates] == ["allow", "allow"]
    (term,) = scribe.seen[-1][1].terms
    assert term.hint == "pending orders refers to pending_order = 'yes'"


def test_a_term_without_sql_is_a_hint(db: sqlgen.Database, scribe: Scribe) -> None:
    db.knowledge.add_term("open one", "status is open")
    db.ask("How many open ones?")
    assert [t.hint for t in scribe.seen[-1][1].terms] == ["open one refers to status is open"]


def test_a_definition_that_no_candidate_uses_is_told(db: sqlgen.Database) -> None:
    db.knowledge.add_term("open one", "…", sql="orders.status = 'open'")
    answer = db.ask("How many open ones?")
    assert answer.status == "answered"
    assert "the definition of open one was not used" in answer.message


def test_a_name_that_misleads_the_model_is_asked_again_in_plain_words(
    db: sqlgen.Database, scribe: Scribe
) -> None:
    db.knowledge.add_metric("basket rate", "1.0 * SUM(orders.total) / COUNT(*)")
    answer = db.ask("Basket rate by city")
    assert [q.text for q, _ in scribe.seen] == ["Basket rate by city", "score by city"]
    assert rows(answer) == [("Oslo", 7), ("Rome", 50)]


def test_a_wrong_way_to_use_a_definition_is_refused_with_the_reason(db: sqlgen.Database) -> None:
    db.knowledge.add_metric("visits", "SUM(customers.id)")
    answer = db.ask("Visits by city")
    assert answer.status == "rejected"
    assert "the join with orders would count them more than once" in answer.message


def test_a_verified_query_answers_its_question_without_the_model(db: sqlgen.Database, scribe: Scribe) -> None:
    sql = "SELECT COUNT(*) FROM customers WHERE city = 'Oslo'"
    assert db.knowledge.add_query("Who lives in Oslo?", sql, wordings=["people of Oslo"]) is not None
    for question in ("who lives in OSLO", "People of Oslo!"):
        answer = db.ask(question)
        assert rows(answer) == [(1,)]
        assert answer.confidence == 0.99
        assert answer.model.name == "verified query"
        assert ("query", "Who lives in Oslo?", "added") in {
            (c.kind, c.name, c.source) for c in answer.citations
        }
    assert scribe.seen == []
    adapted = db.ask("who lives in Rome")
    assert rows(adapted) == [(2,)]
    assert adapted.confidence == 0.9
    assert "oslo → rome" in adapted.message
    assert db.ask("Who lives in Oslo and works?").status == "abstained"


def test_a_verified_query_is_validated_again_and_never_trusted(db: sqlgen.Database, path: Path) -> None:
    refused = db.knowledge.add_query("Who lives in Oslo?", "DELETE FROM customers")
    assert isinstance(refused, Rejection)
    assert isinstance(db.knowledge.add_query("Q?", "SELECT margin FROM orders"), Rejection)
    assert db.knowledge.entries() == []
    db.knowledge.add_query("Who lives in Oslo?", "SELECT city FROM customers WHERE city = 'Oslo'")
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("ALTER TABLE customers RENAME COLUMN city TO town")
    answer = db.ask("Who lives in Oslo?")
    assert answer.sql == "SELECT name FROM customers"
    assert "no longer fits this database" in answer.message
    assert answer.model.name == "scripted"


def test_corrections_and_verdicts_act_at_once(db: sqlgen.Database) -> None:
    answer = db.ask("Who lives in Oslo?")
    assert isinstance(answer.correct("DROP TABLE customers"), Rejection)
    assert isinstance(answer.correct("SELECT nobody FROM customers"), Rejection)
    assert db.ask("Who lives in Oslo?").model.name == "scripted"
    assert isinstance(answer.correct("SELECT name FROM customers WHERE city = 'Oslo';"), ValidatedQuery)
    again = db.ask("who lives in oslo")
    assert rows(again) == [("Ann",)]
    again.reject()
    assert db.ask("Who lives in Oslo?").model.name == "scripted"
    db.ask("Who lives in Oslo?").accept()
    assert db.ask("who lives in Oslo").confidence == 0.99
    (kept,) = db.knowledge.entries("query")
    assert kept.item.source == "accepted answer"
    with pytest.raises(UsageError, match="no SQL to accept"):
        db.ask("Nonsense of nothing").accept()


def test_every_answer_is_a_line_without_rows(db: sqlgen.Database) -> None:
    answer = db.ask("Who lives in Oslo?")
    answer.correct("SELECT name FROM customers WHERE city = 'Oslo'")
    db.ask("Nonsense of nothing")
    last, first = list(db.history.lines())
    assert (last.question, last.status, last.verdict) == ("Nonsense of nothing", "abstained", None)
    assert (first.id, first.question, first.sql) == (answer.id, "Who lives in Oslo?", answer.sql)
    assert (first.verdict, first.final_sql) == ("corrected", "SELECT name FROM customers WHERE city = 'Oslo'")
    assert first.tables == ("customers",)
    assert first.model == "scripted 1"
    assert first.context == db.catalog.fingerprint
    assert set(first.timings_ms) == {"retrieve", "generate", "validate", "execute", "total"}
    assert b"Ann" not in db.history.path.read_bytes()


def test_the_history_can_be_switched_off_and_its_damage_costs_no_answer(
    path: Path, scribe: Scribe, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings({"history": False})
    with sqlgen.connect(f"sqlite:///{path}", settings=settings, generator=scribe) as db:
        answer = db.ask("Who lives in Oslo?")
        answer.accept()
        assert not db.history.path.exists()
        assert db.ask("Who lives in Oslo?").confidence == 0.99
    with sqlgen.connect(f"sqlite:///{path}", generator=scribe) as db:
        db.history.path.write_bytes(b"garbage " * 1000)
        assert db.ask("Who lives in Oslo?").status == "answered"
        assert "history.sqlite.damaged-1" in caplog.text
        db.ask("Who lives in Oslo?")
        assert len(list(db.history.lines())) == 1


def test_damaged_knowledge_is_an_error_not_a_silence(db: sqlgen.Database) -> None:
    db.knowledge.add_term("x", "y")
    db.close()
    (file,) = load_settings().home.rglob("knowledge.sqlite")
    file.write_bytes(b"garbage " * 1000)
    for tail in ("-wal", "-shm"):
        Path(f"{file}{tail}").unlink(missing_ok=True)
    with sqlgen.connect(f"sqlite:///{db._engine.url.database}", generator=ScriptedGenerator({})) as again:  # type: ignore[union-attr]
        with pytest.raises(StoreUnusable, match="damaged"):
            again.ask("Who lives in Oslo?")
        assert again.ask("Who lives in Oslo?").status == "abstained"


def test_documents_are_cited(db: sqlgen.Database) -> None:
    db.knowledge.add_document(
        "Handbook", "# Oslo office\nWho lives in Oslo may work from home.\n\n# Rome\nNothing."
    )
    answer = db.ask("Who lives in Oslo?")
    assert [(c.name, c.source) for c in answer.citations if c.kind == "document"] == [
        ("Handbook > Oslo office", "added")
    ]


def test_descriptions_become_comments_and_keys(db: sqlgen.Database, tmp_path: Path) -> None:
    schema = tmp_path / "schema.yml"
    schema.write_text(
        "models:\n- name: customers\n  description: People who buy\n  columns:\n  - {name: city, description: Home town}\n"
        "  - {name: nothing, description: not there}\n"
    )
    done = db.knowledge.import_from(schema)
    assert [i for i, _ in done.taken] == ["description:customers", "description:customers.city"]
    assert [s.why for s in done.skipped] == ["this database has no customers.nothing"]
    table = db.catalog.table("customers")
    assert table is not None
    assert (table.comment, table.columns[2].comment) == ("People who buy", "Home town")
    reasons = {p.table.name: p.reason for p in db.retrieve("home town of whom?").tables}
    assert "columns" in reasons["customers"] or "description" in reasons["customers"]
    db.knowledge.undo()
    assert db.catalog.table("customers").comment == ""  # type: ignore[union-attr]


def test_a_folder_counts_and_its_edits_act_on_the_next_question(
    path: Path, tmp_path: Path, scribe: Scribe
) -> None:
    folder = tmp_path / "domain"
    folder.mkdir()
    queries = folder / "queries.jsonl"
    queries.write_text(json.dumps({"question": "Who lives in Oslo?", "sql": "SELECT 1"}))
    settings = replace(load_settings(), knowledge=folder)
    with sqlgen.connect(f"sqlite:///{path}", settings=settings, generator=scribe) as db:
        assert rows(db.ask("Who lives in Oslo?")) == [(1,)]
        queries.write_text(json.dumps({"question": "Who lives in Oslo?", "sql": "SELECT 22"}))
        assert rows(db.ask("Who lives in Oslo?")) == [(22,)]
        db.knowledge.add_query("who lives in Oslo", "SELECT 333")
        assert rows(db.ask("Who lives in Oslo?")) == [(333,)]
        queries.unlink()
        (folder / "glossary.toml").write_text("broken")
        with pytest.raises(UsageError, match=r"glossary\.toml"):
            db.ask("Who lives in Oslo?")


def test_two_connections_see_each_others_changes(path: Path, scribe: Scribe) -> None:
    url = f"sqlite:///{path}"
    with sqlgen.connect(url, generator=scribe) as one, sqlgen.connect(url, generator=scribe) as two:
        assert two.ask("Who lives in Oslo?").model.name == "scripted"
        one.knowledge.add_query("Who lives in Oslo?", "SELECT 1")
        assert two.ask("Who lives in Oslo?").model.name == "verified query"


def test_wrong_items_are_refused_with_a_reason(db: sqlgen.Database) -> None:
    for attempt in (
        lambda: db.knowledge.add_term(" ", "x"),
        lambda: db.knowledge.add_term("!!", "x"),
        lambda: db.knowledge.add_metric("x", ""),
        lambda: db.knowledge.add_query("", "SELECT 1"),
        lambda: db.knowledge.add_document("x", " "),
    ):
        with pytest.raises(UsageError):
            attempt()
    for refused in (
        db.knowledge.add_metric("x", "SUM(orders.nothing)"),
        db.knowledge.add_metric("x", "SUM(load_extension('x'))", table="orders"),
        db.knowledge.add_term("x", "y", sql="SELECT name, city FROM customers"),
    ):
        assert isinstance(refused, Rejection)
        assert refused.findings[0].message
    assert db.knowledge.entries() == []
