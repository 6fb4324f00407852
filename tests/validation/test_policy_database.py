"""A policy in sqlgen.toml, from the file to the answer: nothing closed is sampled, indexed, shown or run."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

import sqlgen
from sqlgen.cli import main
from sqlgen.config import load_settings
from sqlgen.generation import ScriptedGenerator
from sqlgen.types import Dialect, Limits, Rejection, ValidatedQuery
from tests.conftest import NewDatabase
from tests.validation.policy_shop import CANARY, statements

POLICY = """
[policy]
deny_tables = ["audit"]
deny_columns = ["customers.ssn", "salary", "orders.cost"]

[policy.row_filters]
orders = "region = :region"

[policy.masks]
"customers.email" = { first = 2 }
"customers.phone" = "null"
"""
SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) AS n FROM orders"],
    "Who earns most?": ["SELECT name FROM staff ORDER BY salary DESC LIMIT 1"],
    "Which mails?": ["SELECT email FROM customers ORDER BY id"],
    "Which customers?": ["SELECT name FROM customers LIMIT 2"],
    f"Who has the number {CANARY} -1?": [f"SELECT name FROM customers WHERE name = '{CANARY}'"],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection:
        for statement in statements(other=False):
            connection.execute(statement)
        connection.commit()
    (tmp_path / "sqlgen.toml").write_text(f'db = "sqlite:///shop.sqlite"\nhome = "home"\n{POLICY}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def db(folder: Path) -> Iterator[sqlgen.Database]:
    with sqlgen.connect(generator=ScriptedGenerator(SCRIPT), policy_context={"region": "EU"}) as database:
        yield database


def test_what_is_closed_is_absent_from_the_catalog(db: sqlgen.Database) -> None:
    shown = {t.key: [c.name for c in t.columns] for t in db.catalog.tables}
    assert "audit" not in shown
    assert "v_audit" not in shown
    assert shown["customers"] == ["id", "name", "email", "phone", "city"]
    assert shown["v_renamed"] == ["id", "who"]
    assert shown["items"] == ["id", "order_id", "quantity"]


def test_nothing_closed_is_sampled_indexed_or_kept(db: sqlgen.Database, folder: Path) -> None:
    for question in SCRIPT:
        db.ask(question)
        db.retrieve(question)
    customers = db.catalog.table("customers")
    assert customers is not None
    assert dict.fromkeys(["Ann", "Bob"]).keys() <= set(customers.columns[1].values)
    found = [path for path in (folder / "home").rglob("*") if path.is_file()]
    assert any(path.name == "catalog.json" for path in found)
    for path in found:
        text = (
            path.read_bytes()
            .lower()
            .replace(f"number {CANARY}".encode(), b"")
            .replace(f"'{CANARY}'".encode(), b"")
        )
        assert CANARY.encode() not in text, path


def test_a_question_gets_the_rows_of_its_own_context(db: sqlgen.Database) -> None:
    assert db.ask("How many orders?").to_dict()["rows"] == [[6]]
    assert db.ask("How many orders?", policy_context={"region": "nowhere"}).to_dict()["rows"] == [[0]]
    assert db.ask("How many orders?").to_dict()["rows"] == [[6]]
    assert db.ask("Which mails?").to_dict()["rows"][0] == ["An***"]


def test_a_candidate_that_the_policy_refuses_is_no_answer(db: sqlgen.Database) -> None:
    answer = db.ask("Who earns most?")
    assert answer.status == "rejected"
    assert answer.findings[0].rule == "denied_column"
    assert answer.result is None


def test_warnings_come_with_the_answer(db: sqlgen.Database, capsys: pytest.CaptureFixture[str]) -> None:
    answer = db.ask("Which customers?")
    assert [w.rule for w in answer.warnings] == ["limit_without_order"]
    assert answer.to_dict()["warnings"] == [{"rule": w.rule, "message": w.message} for w in answer.warnings]
    assert answer.findings == ()
    from sqlgen.cli.terminal import print_answer

    print_answer(answer)
    assert "warning  LIMIT without ORDER BY" in capsys.readouterr().out


def test_check_honours_the_policy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "SELECT ssn FROM customers", "--format", "json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["findings"][0]["rule"] == "denied_column"
    assert main(["check", "SELECT COUNT(*) FROM orders", "--format", "json"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["findings"][0]["rule"] == "policy_context"
    assert main(["check", "SELECT name FROM customers LIMIT 2", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["findings"] == []
    assert document["warnings"][0]["rule"] == "limit_without_order"


def test_a_batch_honours_the_policy(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLGEN_POLICY_REGION", "EU")
    queries = [
        "SELECT * FROM staff",
        "SELECT name FROM staff",
        "SELECT id FROM orders",
        "SELECT id FROM audit",
    ]
    lines = [json.dumps({"id": i, "sql": sql, "dialect": "sqlite"}) for i, sql in enumerate(queries)]
    (folder / "batch.jsonl").write_text("\n".join(lines))
    assert main(["check", "--batch", "batch.jsonl"]) == 3
    verdicts = [json.loads(line)["verdict"] for line in capsys.readouterr().out.splitlines()]
    assert verdicts == ["reject", "allow", "allow", "reject"]


def test_a_schema_file_has_the_policy_too(folder: Path) -> None:
    made = [s for s in statements(other=False) if s.startswith("CREATE")]
    (folder / "shop.sql").write_text(";\n".join(made))
    with sqlgen.connect(schema_file=folder / "shop.sql", settings=load_settings()) as database:
        context = {"region": "EU"}
        assert database.catalog.table("audit") is None
        for dialect in ("sqlite", "postgres", "duckdb", "mysql"):
            for sql in (
                "SELECT ssn FROM customers",
                "SELECT badge FROM v_renamed",
                "SELECT name FROM v_rich",
            ):
                verdict = database.check(sql, dialect=dialect, policy_context=context)  # type: ignore[arg-type]
                assert isinstance(verdict, Rejection), sql
            verdict = database.check("SELECT who FROM v_renamed", dialect=dialect)  # type: ignore[arg-type]
            assert isinstance(verdict, ValidatedQuery)
            verdict = database.check("SELECT id FROM v_orders", dialect=dialect, policy_context=context)  # type: ignore[arg-type]
            assert isinstance(verdict, ValidatedQuery)
            assert "region = 'EU'" in verdict.sql


def test_a_changed_policy_acts_on_the_next_question(db: sqlgen.Database, folder: Path) -> None:
    assert isinstance(db.check("SELECT city FROM customers"), ValidatedQuery)
    assert any(match.value == "Oslo" for match in db.retrieve("customers in Oslo").values)
    text = (folder / "sqlgen.toml").read_text()
    changed = text.replace('"salary"', '"salary", "*.city"').replace('"audit"', '"audit", "cities"')
    (folder / "sqlgen.toml").write_text(changed)
    os.utime(folder / "sqlgen.toml", (1, 1))
    assert isinstance(db.check("SELECT city FROM customers"), Rejection)
    assert not any(match.value == "Oslo" for match in db.retrieve("customers in Oslo").values)
    index = next(p for p in (folder / "home").rglob("catalog.json"))
    assert "Oslo" not in index.read_text()
    (folder / "sqlgen.toml").write_text("[policy]\nnonsense = 1\n")
    with pytest.raises(sqlgen.ConfigError, match="nonsense"):
        db.check("SELECT name FROM customers")
    (folder / "sqlgen.toml").unlink()
    with pytest.raises(sqlgen.ConfigError, match="cannot read the policy"):
        db.ask("How many orders?")


def test_a_view_that_changes_is_looked_at_again(db: sqlgen.Database, folder: Path) -> None:
    assert isinstance(db.check("SELECT name FROM v_names"), ValidatedQuery)
    with closing(sqlite3.connect(folder / "shop.sqlite")) as connection:
        connection.execute("DROP VIEW v_names")
        connection.execute("CREATE VIEW v_names AS SELECT id, ssn AS name, city FROM customers")
        connection.commit()
    verdict = db.check("SELECT name FROM v_names")
    assert isinstance(verdict, Rejection)
    assert verdict.findings[0].rule == "denied_column"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\ndeny_column = ['a']\n", "nearest: 'deny_columns'"),
        ("policy = 'all'\n", "table like"),
        ("[policy.masks]\n'a.b' = 'blur'\n", "is one of"),
    ],
)
def test_a_bad_policy_stops_at_the_door(folder: Path, text: str, said: str) -> None:
    (folder / "sqlgen.toml").write_text(text)
    with pytest.raises(sqlgen.ConfigError, match=said):
        load_settings()


def test_values_of_the_context_come_from_the_nearest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sqlgen.toml").write_text(POLICY + '\n[policy.context]\nregion = "file"\nother = 3\n')
    assert dict(load_settings().policy.context) == {"region": "file", "other": 3}
    monkeypatch.setenv("SQLGEN_POLICY_REGION", "environment")
    settings = load_settings()
    assert dict(settings.policy.context)["region"] == "environment"
    assert "environment" not in repr(settings)
    with sqlgen.connect("sqlite:///shop.sqlite", settings=settings) as database:
        verdict = database.check("SELECT id FROM orders")
        assert isinstance(verdict, ValidatedQuery)
        assert "'environment'" in verdict.sql
        verdict = database.check("SELECT id FROM orders", policy_context={"region": "call"})
        assert isinstance(verdict, ValidatedQuery)
        assert "'call'" in verdict.sql
    with pytest.raises(sqlgen.UsageError, match="policy_context"):
        sqlgen.connect("sqlite:///shop.sqlite", settings=settings, policy_context={"region": object()})


# --- the other engines -------------------------------------------------------------------------------------


def _duckdb(folder: Path, request: pytest.FixtureRequest) -> str:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(folder / "shop.duckdb")) as connection:
        for statement in statements(other=False):
            connection.execute(statement)
    return f"duckdb:///{folder / 'shop.duckdb'}"


def _server(folder: Path, request: pytest.FixtureRequest, fixture: str) -> str:
    new: NewDatabase = request.getfixturevalue(fixture)
    url = new()
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements(other=False):
            connection.exec_driver_sql(statement)
    engine.dispose()
    return url


OPENERS: dict[Dialect, Callable[[Path, pytest.FixtureRequest], str]] = {
    "duckdb": _duckdb,
    "postgres": lambda folder, request: _server(folder, request, "new_postgres_database"),
    "mysql": lambda folder, request: _server(folder, request, "new_mariadb_database"),
}


@pytest.mark.parametrize("dialect", list(OPENERS))
def test_views_are_followed_by_the_engines_own_definitions(
    folder: Path, request: pytest.FixtureRequest, dialect: Dialect
) -> None:
    url = OPENERS[dialect](folder, request)
    generator = ScriptedGenerator(SCRIPT)
    with sqlgen.connect(url, generator=generator, policy_context={"region": "EU"}) as database:
        shown = {t.key for t in database.catalog.tables if t.is_view}
        assert shown == {
            "v_customers", "v_names", "v_renamed", "v_orders", "v_costs", "v_sums", "v_over", "v_mails", "v_cities",
        }  # fmt: skip
        for sql in ("SELECT ssn FROM v_customers", "SELECT twice FROM v_costs", "SELECT id FROM v_rich"):
            assert isinstance(database.check(sql), Rejection), sql
        for sql, rows in (
            ("SELECT COUNT(*) FROM v_orders", [(6,)]),
            ("SELECT COUNT(*) FROM v_over", [(3,)]),
            ("SELECT mail FROM v_mails WHERE id = 1", [("an***",)]),
            ("SELECT email, phone FROM v_customers WHERE id = 1", [("An***", None)]),
            ("SELECT id, total FROM v_costs WHERE id < 3 ORDER BY id", [(1, 10), (2, 20)]),
        ):
            verdict = database.check(sql)
            assert isinstance(verdict, ValidatedQuery), (sql, verdict)
            found = database._driver.get().execute(verdict, Limits())
            assert [tuple(row) for row in found.rows] == rows, sql
        assert database.ask("How many orders?").to_dict()["rows"] == [[6]]
        values = {v for t in database.catalog.tables for c in t.columns for v in c.values}
        assert "Ann" in values
        assert not any(CANARY in value for value in values)


def test_the_documented_policy_is_one(folder: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "policies.md").read_text("utf-8")
    block = text.split("```toml\n")[1].split("```")[0]
    (folder / "sqlgen.toml").write_text(block)
    policy = load_settings().policy
    assert policy.deny_schemas == ("hr",)
    assert len(policy.masks) == 4
    assert dict(policy.context) == {"user_region": "EU"}
