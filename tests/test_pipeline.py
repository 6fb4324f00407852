"""The walk of a question, with a scripted model and a real database."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import sqlgen
from sqlgen.errors import SqlgenError, UsageError
from sqlgen.generation import ScriptedGenerator
from sqlgen.pipeline import MAX_QUESTION_BYTES, confidence_of
from sqlgen.types import Candidate, Question

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), total NUMERIC, ordered_on DATE
);
INSERT INTO customers VALUES (1, 'Ann', 'Oslo'), (2, 'Bo', 'Rome'), (3, 'Cy', NULL);
INSERT INTO orders VALUES (1, 1, 10.5, '2025-01-02'), (2, 1, 4, '2025-02-03'), (3, 2, 99, '2025-02-04');
"""
SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) AS n FROM orders"],
    "Who lives in Oslo?": ["SELECT name FROM customers WHERE city = 'Oslo'"],
    "Margin?": ["SELECT margin FROM orders", "SELECT profit FROM orders"],
    "Second try?": ["SELECT margin FROM orders", "SELECT SUM(total) FROM orders"],
    "Delete all": ["DELETE FROM orders"],
    "Everyone?": ["SELECT name FROM customers ORDER BY id"],
    "Regions?": ["SELECT region FROM customers"],
    "Who lives in oslo?": [
        "SELECT name FROM customers WHERE city = 'oslo'",
        "SELECT name FROM customers WHERE city = 'Oslo'",
    ],
    "Total of Cy?": [
        "SELECT SUM(total) FROM orders WHERE customer_id = 3",
        "SELECT COUNT(*) FROM orders WHERE customer_id = 2",
    ],
    "Who lives nowhere?": [
        "SELECT name FROM customers WHERE city = ''",
        "SELECT name FROM customers WHERE city = '-'",
    ],
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return path


@pytest.fixture
def db(shop: Path) -> Iterator[sqlgen.Database]:
    with sqlgen.connect(f"sqlite:///{shop}", generator=ScriptedGenerator(SCRIPT)) as database:
        yield database


def execute(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def test_an_answer_carries_all_that_it_rests_on(db: sqlgen.Database) -> None:
    answer = db.ask("Who lives in Oslo?")
    assert answer.status == "answered"
    assert answer.result is not None
    assert answer.result.rows == (("Ann",),)
    cited = {(c.kind, c.name) for c in answer.citations}
    assert {("table", "customers"), ("column", "customers.city"), ("value", "Oslo")} <= cited
    assert ("table", "orders") not in cited
    assert next(c for c in answer.citations if c.kind == "value").source == "customers.city"
    assert answer.confidence == pytest.approx(0.9048, abs=1e-3)
    assert answer.model.name == "scripted"
    assert len(answer.id) == 32
    assert set(answer.timings_ms) == {"retrieve", "generate", "validate", "execute", "total"}
    assert answer.timings_ms["total"] >= answer.timings_ms["retrieve"] > 0


def test_the_document_has_the_promised_keys(db: sqlgen.Database) -> None:
    document = json.loads(json.dumps(db.ask("How many orders?").to_dict(), allow_nan=False))
    assert document["status"] == "answered"
    assert document["rows"] == [[3]]
    assert document["row_count"] == 1
    assert document["columns"][0]["name"] == "n"
    assert set(document["columns"][0]) == {"name", "type", "label", "meaning", "role", "unit", "sources"}
    assert (document["columns"][0]["label"], document["columns"][0]["meaning"]) == ("n", "count")
    assert set(document) >= {
        "question", "status", "sql", "dialect", "columns", "rows", "row_count", "truncated", "confidence",
        "citations", "candidates", "findings", "model", "timings_ms", "answer_id",
    }  # fmt: skip
    assert document["candidates"][0]["verdict"] == "allow"
    assert document["model"] == {"name": "scripted", "version": "1", "adapter": None}


def test_a_rejected_candidate_gives_way_to_the_next(db: sqlgen.Database) -> None:
    answer = db.ask("Second try?")
    assert answer.status == "answered"
    assert [verdict for _, verdict in answer.candidates] == ["reject", "allow"]
    assert answer.result is not None
    assert answer.result.rows == ((113.5,),)
    assert answer.confidence == pytest.approx(0.3329, abs=1e-3)


def test_nothing_left_is_a_rejection_with_findings(db: sqlgen.Database) -> None:
    answer = db.ask("Margin?")
    assert answer.status == "rejected"
    assert answer.result is None
    assert any("margin" in finding.message for finding in answer.findings)
    assert "margin" in answer.message


def test_a_write_never_runs(db: sqlgen.Database, shop: Path) -> None:
    assert db.ask("Delete all").status == "rejected"
    with closing(sqlite3.connect(shop)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM orders").fetchone() == (3,)


def test_a_question_the_model_has_no_query_for_is_abstained(db: sqlgen.Database) -> None:
    answer = db.ask("What is the meaning of it all?")
    assert answer.status == "abstained"
    assert answer.sql == ""
    assert answer.message


def test_a_question_without_a_word_is_abstained(db: sqlgen.Database) -> None:
    assert db.ask("?!?").status == "abstained"


def test_an_unsure_answer_says_so(shop: Path) -> None:
    class Unsure(ScriptedGenerator):
        def generate(self, *arguments: Any, **options: Any) -> tuple[Candidate, ...]:
            found = super().generate(*arguments, **options)
            return tuple(replace(candidate, logprob=candidate.logprob - 2) for candidate in found)

    with sqlgen.connect(f"sqlite:///{shop}", generator=Unsure(SCRIPT)) as database:
        assert "not sure" in database.ask("How many orders?").message
    with sqlgen.connect(f"sqlite:///{shop}", generator=ScriptedGenerator(SCRIPT)) as database:
        assert database.ask("How many orders?").message == ""


def test_below_the_wanted_confidence_it_abstains_and_executes_nothing(shop: Path) -> None:
    settings = sqlgen.Settings(min_confidence=0.5)
    with sqlgen.connect(
        f"sqlite:///{shop}", settings=settings, generator=ScriptedGenerator(SCRIPT)
    ) as database:
        assert database.ask("How many orders?").status == "answered"
        answer = database.ask("Second try?")
    assert answer.status == "abstained"
    assert answer.result is None
    assert answer.sql == ""
    assert "0.33" in answer.message


def test_the_reference_day_reaches_the_model(shop: Path) -> None:
    asked: list[Question] = []

    class Listening(ScriptedGenerator):
        def generate(self, question: Question, *arguments: Any, **options: Any) -> tuple[Candidate, ...]:
            asked.append(question)
            return super().generate(question, *arguments, **options)

    settings = sqlgen.Settings(today=date(2025, 3, 1))
    with sqlgen.connect(f"sqlite:///{shop}", settings=settings, generator=Listening(SCRIPT)) as database:
        database.ask("How many orders?")
    assert [question.today for question in asked] == [date(2025, 3, 1)]


def test_without_execution_there_is_sql_and_no_result(db: sqlgen.Database) -> None:
    answer = db.ask("How many orders?", execute=False)
    assert answer.status == "answered"
    assert "orders" in answer.sql
    assert answer.result is None
    assert answer.to_dict()["row_count"] is None
    with pytest.raises(sqlgen.UsageError, match="no rows"):
        answer.to_pandas()


def test_more_rows_than_allowed_are_cut_and_marked(db: sqlgen.Database) -> None:
    answer = db.ask("Everyone?", max_rows=2)
    assert answer.result is not None
    assert [row[0] for row in answer.result.rows] == ["Ann", "Bo"]
    assert answer.result.truncated
    assert answer.to_dict()["truncated"] is True


def test_a_query_that_the_database_refuses_gives_way_to_the_next(shop: Path) -> None:
    overflow = "SELECT ABS(-9223372036854775807 - id) FROM orders"
    script = {"Q?": [overflow, "SELECT COUNT(*) FROM orders"], "R?": [overflow]}
    with sqlgen.connect(f"sqlite:///{shop}", generator=ScriptedGenerator(script)) as database:
        one = database.ask("R?")
        assert one.status == "error"
        assert one.findings[0].rule == "execution"
        assert one.to_dict()["rows"] == []
        assert one.to_dict()["row_count"] is None
        two = database.ask("Q?")
    assert two.status == "answered"
    assert two.result is not None
    assert two.result.rows == ((3,),)


@pytest.mark.parametrize(
    ("question", "chosen"), [("Who lives in oslo?", 1), ("Total of Cy?", 0), ("Who lives nowhere?", 0)]
)
def test_a_query_that_finds_nothing_gives_way_to_one_that_does(
    db: sqlgen.Database, question: str, chosen: int
) -> None:
    answer = db.ask(question)
    assert answer.status == "answered"
    assert answer.sql == SCRIPT[question][chosen]


def test_retrieve_hands_over_all_that_fits_or_k_tables(db: sqlgen.Database) -> None:
    assert {t.table.key for t in db.retrieve("orders in Oslo").tables} == {"customers", "orders"}
    cut = db.retrieve("orders placed on a day", 1)
    assert [t.table.key for t in cut.tables] == ["orders"]
    assert "customers" in cut.omitted
    assert 0 < cut.token_count < db.retrieve("orders placed on a day").token_count
    assert db.retrieve("orders placed on a day in Oslo", 1).values == ()


def test_a_changed_schema_is_seen_by_the_next_question(db: sqlgen.Database, shop: Path) -> None:
    assert db.ask("Regions?").status == "rejected"
    execute(shop, "ALTER TABLE customers ADD COLUMN region TEXT; UPDATE customers SET region = 'North'")
    answer = db.ask("Regions?")
    assert answer.status == "answered"
    assert any(c.name == "region" for t in db.retrieve("region").tables for c in t.table.columns)
    execute(shop, "ALTER TABLE customers DROP COLUMN region")
    assert db.ask("Regions?").status == "rejected"


def test_a_second_connection_reads_the_kept_catalog(
    db: sqlgen.Database, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = db.catalog

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the catalog was read from the database again")

    monkeypatch.setattr("sqlgen.catalog.load_catalog", refuse)
    with sqlgen.connect(f"sqlite:///{shop}", generator=ScriptedGenerator(SCRIPT)) as again:
        assert again.catalog == first


@pytest.mark.parametrize("damage", [b"", b"\x00\xff not json", b'{"version": 1}', b"[]"])
def test_a_damaged_catalog_or_index_is_made_anew(shop: Path, damage: bytes) -> None:
    generator = ScriptedGenerator(SCRIPT)
    with sqlgen.connect(f"sqlite:///{shop}", generator=generator) as database:
        database.ask("How many orders?")
        folder = Path(str(database.index_status()["path"])).parent
    (folder / "catalog.json").write_bytes(damage)
    (folder / "index.sqlite").write_bytes(damage * 999)
    with sqlgen.connect(f"sqlite:///{shop}", generator=generator) as database:
        assert database.ask("How many orders?").status == "answered"
        assert database.index_status()["state"] == "current"


def test_the_index_status_builds_nothing(db: sqlgen.Database, shop: Path) -> None:
    assert db.index_status()["state"] == "missing"
    assert db.refresh()["tables"] == 2
    assert db.index_status()["state"] == "current"
    execute(shop, "CREATE TABLE returns (id INTEGER PRIMARY KEY)")
    assert db.index_status()["state"] == "stale"
    assert db.refresh(rebuild=False)["tables"] == 3


def test_refresh_takes_in_new_values(db: sqlgen.Database, shop: Path) -> None:
    assert not db.retrieve("people in Quito").values
    execute(shop, "INSERT INTO customers VALUES (9, 'Zoe', 'Quito')")
    db.refresh()
    assert [match.value for match in db.retrieve("people in Quito").values] == ["Quito"]


def test_check_says_allow_or_why_not(db: sqlgen.Database) -> None:
    assert isinstance(db.check("SELECT name FROM customers"), sqlgen.ValidatedQuery)
    rejection = db.check("SELECT nope FROM customers")
    assert isinstance(rejection, sqlgen.Rejection)
    assert "nope" in rejection.findings[0].message
    assert isinstance(db.check("SELECT 1", dialect="postgres"), sqlgen.Rejection)


def test_a_schema_file_needs_no_database(tmp_path: Path) -> None:
    ddl = tmp_path / "schema.sql"
    ddl.write_text("CREATE TABLE orders (id INTEGER PRIMARY KEY, total NUMERIC(10, 2));")
    generator = ScriptedGenerator({"Total?": ["SELECT SUM(total) FROM orders"]})
    with sqlgen.connect(schema_file=ddl, dialect="postgres", generator=generator) as database:
        answer = database.ask("Total?")
        assert answer.status == "answered"
        assert answer.dialect == "postgres"
        assert answer.result is None
        assert isinstance(database.check("SELECT id FROM orders", dialect="duckdb"), sqlgen.ValidatedQuery)


def test_an_engine_of_the_caller_stays_open(shop: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{shop}")
    try:
        with sqlgen.connect(engine, generator=ScriptedGenerator(SCRIPT)) as database:
            assert database.ask("How many orders?").status == "answered"
        with engine.connect() as connection:
            assert connection.execute(sa.text("SELECT COUNT(*) FROM orders")).scalar() == 3
    finally:
        engine.dispose()


def test_an_engine_in_memory_is_asked_in_place() -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    try:
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
            connection.execute(sa.text("INSERT INTO orders VALUES (1), (2)"))
        with sqlgen.connect(engine, generator=ScriptedGenerator(SCRIPT)) as database:
            answer = database.ask("How many orders?")
        assert answer.result is not None
        assert answer.result.rows == ((2,),)
    finally:
        engine.dispose()


def test_many_threads_share_one_database(db: sqlgen.Database) -> None:
    questions = ["How many orders?", "Who lives in Oslo?", "Everyone?", "Margin?"] * 10
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(db.ask, questions))
    for question, answer in zip(questions, answers, strict=True):
        assert answer.question.text == question
    assert [a.status for a in answers[:4]] == ["answered", "answered", "answered", "rejected"]
    assert len({a.id for a in answers}) == len(answers)
    assert all(a.to_dict()["rows"] == [[3]] for a in answers[::4])


def test_closing_twice_is_fine_and_a_closed_one_says_so(shop: Path) -> None:
    before = threading.active_count()
    database = sqlgen.connect(f"sqlite:///{shop}", generator=ScriptedGenerator(SCRIPT))
    database.ask("How many orders?")
    database.close()
    database.close()
    with pytest.raises(sqlgen.UsageError, match="closed"):
        database.ask("How many orders?")
    assert threading.active_count() <= before + 1


def test_the_password_never_shows(shop: Path) -> None:
    settings = sqlgen.Settings(db="postgresql://ann:geheim@db/sales")
    assert "geheim" not in repr(settings)
    with sqlgen.connect(f"sqlite:///{shop}", generator=ScriptedGenerator({})) as database:
        assert "sqlite" in repr(database)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("x" * 100_000, f"{MAX_QUESTION_BYTES:,}"),
        ("how many \x00 orders", "no text"),
        ("how many " + chr(0xDCFF), "no text"),
        ("how many \ufffd orders", "no text"),
    ],
)
def test_what_is_no_question_is_refused(db: sqlgen.Database, text: str, says: str) -> None:
    with pytest.raises(sqlgen.UsageError, match=says):
        db.ask(text)


def test_a_missing_model_is_reported_and_tried_again(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> ScriptedGenerator:
        raise sqlgen.ModelUnavailable("the weights are missing; install sqlgen again")

    monkeypatch.setattr("sqlgen.generation.load_generator", missing)
    with sqlgen.connect(f"sqlite:///{shop}") as database:
        with pytest.raises(sqlgen.ModelUnavailable, match="missing"):
            database.ask("How many orders?")
        assert database.retrieve("orders").tables
        monkeypatch.setattr("sqlgen.generation.load_generator", lambda _: ScriptedGenerator(SCRIPT))
        assert database.ask("How many orders?").status == "answered"


@pytest.mark.parametrize(
    "arguments",
    [
        lambda: sqlgen.connect(),
        lambda: sqlgen.connect("sqlite:///x.db", schema_file="x.sql"),
        lambda: sqlgen.connect(schema_file="x.sql", dialect="oracle"),  # type: ignore[arg-type]
    ],
)
def test_connect_refuses_what_makes_no_sense(arguments: Callable[[], sqlgen.Database]) -> None:
    with pytest.raises(sqlgen.UsageError):
        arguments()


def test_confidence_is_the_models_probability() -> None:
    def candidate(logprob: float) -> Candidate:
        return Candidate("SELECT 1", logprob, "m", "1")

    assert confidence_of(candidate(-0.5)) == pytest.approx(0.6065, abs=1e-3)
    assert confidence_of(candidate(1e-9)) == 1.0
    assert confidence_of(candidate(float("-inf"))) == 0.0
    assert confidence_of(candidate(float("nan"))) == 0.0


def test_terms_of_the_business_are_cited(shop: Path) -> None:
    from sqlgen.knowledge import Term

    terms = [Term("order", "what a customer buys", source="glossary.toml"), Term("churn", "…")]
    with sqlgen.connect(f"sqlite:///{shop}", generator=ScriptedGenerator(SCRIPT), terms=terms) as database:
        answer = database.ask("How many orders?")
    assert [(c.name, c.source) for c in answer.citations if c.kind == "term"] == [("order", "glossary.toml")]


def test_many_questions_come_back_in_order_and_a_bad_one_ends_nothing(db: sqlgen.Database) -> None:
    asked = ["How many orders?", "", "Who lives in Oslo?"] * 7
    found = list(db.ask_many(iter(asked), workers=3))
    assert [isinstance(f, UsageError) for f in found] == [False, True, False] * 7
    assert [f.result.rows[0][0] for f in found if not isinstance(f, SqlgenError) and f.result] == [
        3,
        "Ann",
    ] * 7
    with pytest.raises(UsageError, match="give 1 or more"):
        next(db.ask_many(["How many orders?"], workers=0))
