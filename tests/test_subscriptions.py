"""The second domain: its rows hold together, and its golden questions agree on four engines."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.catalog import load_catalog, open_engine
from sqlgen.demo import DOMAINS, END_DATE, RETAIL, SUBSCRIPTIONS, GoldenQuestion, build_domain, build_retail
from sqlgen.errors import DatabaseError, UsageError
from sqlgen.eval.suite import load_suite
from sqlgen.execution.compare import results_equal
from sqlgen.types import Catalog, Dialect, Result, ResultColumn, ValidatedQuery
from sqlgen.validation import validate
from tests.conftest import NewDatabase

ROWS_SHA256 = "0fccb6c33df8e26aa00bc12efbef99e21ff6913e514e7b824f8f78cc9ff9a8d2"
FOREIGN_KEYS = 20
TABLES = list(SUBSCRIPTIONS.descriptions())
GOLDENS = SUBSCRIPTIONS.goldens()


def run(cursor: Any, sql: str) -> Result:
    cursor.execute(sql)
    columns = tuple(ResultColumn(entry[0]) for entry in cursor.description)
    return Result(columns, tuple(map(tuple, cursor.fetchall())))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("subscriptions") / "subscriptions.sqlite"
    build_domain("subscriptions", built)
    return built


@pytest.fixture(scope="module")
def company(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        yield connection


@pytest.fixture(scope="module")
def gold(company: sqlite3.Connection) -> dict[str, Result]:
    return {golden.id: run(company.cursor(), golden.sql) for golden in GOLDENS}


@pytest.fixture(scope="module")
def catalog(path: Path) -> Catalog:
    engine = open_engine(str(path))
    try:
        return load_catalog(engine)
    finally:
        engine.dispose()


def one(company: sqlite3.Connection, sql: str) -> Any:
    return company.execute(sql).fetchone()[0]


# --- rows --------------------------------------------------------------------------------------------------


def test_rows_are_the_same_everywhere() -> None:
    rows = SUBSCRIPTIONS.generate(scale=0.1)
    assert list(rows) == TABLES
    assert hashlib.sha256(json.dumps(rows).encode()).hexdigest() == ROWS_SHA256
    assert rows == SUBSCRIPTIONS.generate(scale=0.1)
    assert rows != SUBSCRIPTIONS.generate(scale=0.1, seed=8)


@pytest.mark.parametrize("seed", range(8))
def test_every_table_has_rows_and_every_key_holds_at_the_smallest_size(seed: int, tmp_path: Path) -> None:
    rows = SUBSCRIPTIONS.generate(scale=0.001, seed=seed)
    assert all(rows.values())
    build_domain("subscriptions", tmp_path / "small.sqlite", scale=0.001, seed=seed)
    with closing(sqlite3.connect(tmp_path / "small.sqlite")) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("arguments", [{"scale": 0}, {"scale": float("nan")}, {"scale": 1e6}, {"seed": -1}])
def test_senseless_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"scale|seed"):
        SUBSCRIPTIONS.generate(**arguments)


def test_keys_hold(company: sqlite3.Connection) -> None:
    assert company.execute("PRAGMA foreign_key_check").fetchall() == []
    assert one(company, "PRAGMA integrity_check") == "ok"
    counts = {t: len(company.execute(f"PRAGMA foreign_key_list({t})").fetchall()) for t in TABLES}
    assert sum(counts.values()) == FOREIGN_KEYS


@pytest.mark.parametrize(
    "violations",
    [
        "SELECT COUNT(*) FROM subscriptions JOIN accounts ON accounts.id = account_id"
        " WHERE started_on < created_on",
        "SELECT COUNT(*) FROM subscriptions WHERE (ended_on IS NULL)"
        " <> (status IN ('trialing', 'active', 'past_due')) OR ended_on < started_on",
        "SELECT COUNT(*) FROM subscriptions WHERE (mrr = 0) <> (status IN ('trialing', 'expired'))",
        "SELECT COUNT(*) FROM subscriptions WHERE cancel_reason IS NOT NULL AND status <> 'cancelled'",
        "SELECT COUNT(*) FROM subscriptions WHERE status = 'expired' AND ended_on <> trial_ends_on",
        "SELECT COUNT(*) FROM subscriptions WHERE (status = 'past_due') <> (ended_on IS NULL AND EXISTS"
        " (SELECT 1 FROM invoices WHERE subscription_id = subscriptions.id AND invoices.status = 'overdue'))",
        "SELECT COUNT(*) FROM subscriptions a JOIN subscriptions b ON a.account_id = b.account_id"
        " AND a.id < b.id WHERE a.ended_on IS NULL OR a.ended_on > b.started_on",
        "SELECT COUNT(*) FROM subscriptions JOIN plans ON plans.id = plan_id WHERE started_on < introduced_on",
        "SELECT COUNT(*) FROM accounts JOIN accounts p ON p.id = accounts.parent_account_id"
        " WHERE p.created_on > accounts.created_on OR p.industry <> accounts.industry",
        "SELECT COUNT(*) FROM accounts WHERE (acquisition_channel = 'referral')"
        " <> (referred_by_account_id IS NOT NULL)",
        "SELECT COUNT(*) - COUNT(DISTINCT name || country) FROM accounts",
        "SELECT COUNT(*) FROM users WHERE activated_on < invited_on OR deactivated_on < activated_on"
        " OR last_login_at < activated_on OR (activated_on IS NULL AND last_login_at IS NOT NULL)",
        "SELECT ABS((SELECT COUNT(*) FROM accounts) - (SELECT COUNT(*) FROM users WHERE role = 'owner'))",
        "SELECT COUNT(*) FROM plan_changes WHERE from_plan_id = to_plan_id"
        " OR (change_type = 'upgrade') <> (mrr_change > 0)",
        "SELECT COUNT(*) FROM plan_changes JOIN subscriptions ON subscriptions.id = subscription_id"
        " WHERE changed_on <= started_on OR changed_on > ended_on",
        "SELECT COUNT(*) FROM subscription_addons JOIN subscriptions ON subscriptions.id = subscription_id"
        " JOIN addons ON addons.id = addon_id WHERE added_on < started_on OR removed_on <= added_on"
        " OR added_on < introduced_on",
        "SELECT COUNT(*) FROM invoices WHERE ABS(total - (SELECT SUM(amount) FROM invoice_lines"
        " WHERE invoice_id = invoices.id)) > 0.001 OR total <= 0",
        "SELECT COUNT(*) FROM invoice_lines WHERE ABS(amount - quantity * unit_price) > 0.001"
        " OR (line_type = 'addon') <> (addon_id IS NOT NULL) OR (line_type = 'discount') <> (amount < 0)",
        "SELECT COUNT(*) FROM invoices JOIN subscriptions ON subscriptions.id = subscription_id"
        " WHERE invoices.account_id <> subscriptions.account_id OR issued_on < started_on",
        "SELECT COUNT(*) FROM invoices WHERE (status = 'paid') <> EXISTS (SELECT 1 FROM payments"
        " WHERE invoice_id = invoices.id AND payments.status <> 'failed')",
        f"SELECT COUNT(*) FROM invoices WHERE (status = 'overdue' AND due_on >= '{END_DATE}')"
        f" OR (status = 'open' AND due_on < '{END_DATE}')",
        "SELECT COUNT(*) FROM payments WHERE (status = 'failed') <> (failure_reason IS NOT NULL)"
        " OR (status = 'refunded') <> (refunded_amount > 0) OR refunded_amount > amount",
        "SELECT COUNT(*) FROM payments JOIN invoices ON invoices.id = invoice_id"
        " WHERE amount <> total OR attempted_at < issued_on",
        "SELECT COUNT(*) FROM usage_daily WHERE NOT EXISTS (SELECT 1 FROM subscriptions WHERE"
        " account_id = usage_daily.account_id AND started_on <= usage_date AND active_users <= seats"
        " AND (ended_on IS NULL OR ended_on >= usage_date)) OR active_users < 1",
        "SELECT COUNT(*) FROM tickets JOIN agents ON agents.id = agent_id"
        " WHERE opened_at < hired_on OR opened_at > left_on",
        "SELECT COUNT(*) FROM tickets JOIN users ON users.id = user_id"
        " WHERE users.account_id <> tickets.account_id OR opened_at < activated_on",
        "SELECT COUNT(*) FROM tickets WHERE (status = 'new') <> (first_response_at IS NULL)"
        " OR (status = 'solved') <> (closed_at IS NOT NULL) OR (status = 'new') <> (agent_id IS NULL)"
        " OR first_response_at < opened_at OR closed_at < first_response_at"
        " OR (satisfaction IS NOT NULL AND status <> 'solved') OR satisfaction NOT BETWEEN 1 AND 5",
    ],
)
def test_the_business_makes_sense(company: sqlite3.Connection, violations: str) -> None:
    assert one(company, violations) == 0


@pytest.mark.parametrize(
    "column",
    [
        "accounts.created_on",
        "users.invited_on",
        "users.activated_on",
        "users.last_login_at",
        "users.deactivated_on",
        "subscriptions.started_on",
        "subscriptions.ended_on",
        "plan_changes.changed_on",
        "subscription_addons.removed_on",
        "invoices.issued_on",
        "payments.attempted_at",
        "usage_daily.usage_date",
        "tickets.opened_at",
        "tickets.closed_at",
    ],
)
def test_nothing_happens_after_the_last_day(company: sqlite3.Connection, column: str) -> None:
    table, name = column.split(".")
    assert one(company, f"SELECT MAX(SUBSTR({name}, 1, 10)) FROM {table}") <= END_DATE.isoformat()


def test_the_history_has_what_real_ones_have(company: sqlite3.Connection) -> None:
    by_status = dict(company.execute("SELECT status, COUNT(*) FROM subscriptions GROUP BY status"))
    assert set(by_status) == {"trialing", "active", "past_due", "cancelled", "expired"}
    assert by_status["cancelled"] > 100
    returned = one(
        company, "SELECT COUNT(*) FROM (SELECT 1 FROM subscriptions GROUP BY account_id HAVING COUNT(*) > 1)"
    )
    assert returned > 10
    namesakes = one(
        company, "SELECT COUNT(*) FROM (SELECT 1 FROM accounts GROUP BY name HAVING COUNT(*) > 1)"
    )
    assert namesakes > 20
    years = [n for (n,) in company.execute("SELECT COUNT(*) FROM accounts GROUP BY SUBSTR(created_on, 1, 4)")]
    assert years == sorted(years)
    assert len(years) == 3
    for column in (
        "accounts.employee_count",
        "accounts.account_manager_id",
        "users.activated_on",
        "users.last_login_at",
        "subscriptions.cancel_reason",
        "usage_daily.api_calls",
        "tickets.user_id",
        "tickets.satisfaction",
    ):
        table, name = column.split(".")
        assert 0.005 < one(company, f"SELECT AVG({name} IS NULL) FROM {table}") < 0.995, column


# --- golden questions --------------------------------------------------------------------------------------


def test_goldens_are_sixty_and_nobody_elses() -> None:
    assert len(GOLDENS) == 60
    assert len({golden.id for golden in GOLDENS}) == 60
    assert len({golden.sql for golden in GOLDENS}) == 60
    questions = {golden.question.lower() for golden in GOLDENS}
    assert len(questions) == 60
    assert not questions & {golden.question.lower() for golden in RETAIL.goldens()}
    difficulty = Counter(golden.difficulty for golden in GOLDENS)
    assert difficulty == {"easy": 20, "medium": 20, "hard": 14, "extra": 6}
    assert len({golden.family for golden in GOLDENS}) >= 15


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda golden: golden.id)
def test_golden_has_a_telling_answer(
    golden: GoldenQuestion, gold: dict[str, Result], catalog: Catalog
) -> None:
    result = gold[golden.id]
    assert 1 <= len(result.rows) <= 100
    assert len(set(result.rows)) == len(result.rows)
    cells = [cell for row in result.rows for cell in row]
    assert not all(cell in (None, 0) for cell in cells)
    outermost = golden.sql
    while "(" in outermost:
        outermost = re.sub(r"\([^()]*\)", "", outermost)
    assert golden.ordered == (" ORDER BY " in outermost)
    for dialect in ("sqlite", *golden.dialects):
        known = Catalog(dialect, catalog.tables)
        assert isinstance(validate(golden.sql_for(dialect), known, dialect), ValidatedQuery), dialect


@pytest.mark.parametrize("golden", [g for g in GOLDENS if " LIMIT " in g.sql], ids=lambda golden: golden.id)
def test_no_tie_at_the_cut(golden: GoldenQuestion, company: sqlite3.Connection) -> None:
    sql, _, limit = golden.sql.rpartition(" LIMIT ")
    measure = company.execute(sql).fetchall()
    assert measure[int(limit) - 1][-1] != measure[int(limit)][-1]


def differing_goldens(cursor: Any, dialect: Dialect, gold: dict[str, Result]) -> list[str]:
    return [
        golden.id
        for golden in GOLDENS
        if not results_equal(gold[golden.id], run(cursor, golden.sql_for(dialect)), ordered=golden.ordered)
    ]


def test_goldens_on_duckdb(tmp_path: Path, gold: dict[str, Result]) -> None:
    duckdb = pytest.importorskip("duckdb")
    build_domain("subscriptions", tmp_path / "subscriptions.duckdb")
    with closing(duckdb.connect(str(tmp_path / "subscriptions.duckdb"), read_only=True)) as connection:
        assert differing_goldens(connection, "duckdb", gold) == []


@pytest.mark.parametrize(
    ("dialect", "server"), [("postgres", "new_postgres_database"), ("mysql", "new_mariadb_database")]
)
@pytest.mark.timeout(900)
def test_goldens_on_servers(
    dialect: Dialect, server: str, gold: dict[str, Result], request: pytest.FixtureRequest
) -> None:
    new_database: NewDatabase = request.getfixturevalue(server)
    url = new_database()
    build_domain("subscriptions", url)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        assert differing_goldens(connection.connection.cursor(), dialect, gold) == []
    inspector = sa.inspect(engine)
    about = SUBSCRIPTIONS.descriptions()["tickets"][0]
    assert inspector.get_table_comment("tickets") == {"text": about}
    assert all(column["comment"] for table in TABLES for column in inspector.get_columns(table))
    assert sum(len(inspector.get_foreign_keys(table)) for table in TABLES) == FOREIGN_KEYS
    with pytest.raises(DatabaseError, match="plans"):
        build_domain("subscriptions", engine, scale=0.01)


def each_engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Dialect, str]]:
    yield "sqlite", f"sqlite:///{tmp_path / 'company.sqlite'}"
    pytest.importorskip("duckdb_engine")
    yield "duckdb", f"duckdb:///{tmp_path / 'company.duckdb'}"
    yield "postgres", request.getfixturevalue("new_postgres_database")()
    yield "mysql", request.getfixturevalue("new_mariadb_database")()


def test_rows_arrive_unchanged_and_the_glossary_runs_on_every_engine(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rows = SUBSCRIPTIONS.generate(scale=0.1)
    terms = SUBSCRIPTIONS.glossary()
    answers: dict[str, list[Result]] = {term.name: [] for term in terms}
    for dialect, url in each_engine(tmp_path, request):
        build_domain("subscriptions", url, scale=0.1)
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            for table in TABLES:
                header = tuple(ResultColumn("") for _ in rows[table][0])
                got = connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                arrived = Result(header, tuple(map(tuple, got)))
                assert results_equal(
                    Result(header, tuple(rows[table])), arrived, ordered=True, tolerance=0
                ), (dialect, table)
            for term in terms:
                sql = term.sql_for(dialect)
                if term.kind == "metric":
                    sql = f"SELECT {sql} FROM {', '.join(term.tables)}"
                elif term.kind == "filter":
                    sql = f"SELECT COUNT(*) FROM {term.tables[0]} WHERE {sql}"
                got = connection.exec_driver_sql(sql).fetchall()
                answers[term.name].append(Result((ResultColumn(""),), tuple(map(tuple, got))))
        engine.dispose()
    for name, results in answers.items():
        assert results[0].rows, name
        assert results[0].rows[0][0] not in (None, 0), name
        assert all(results_equal(results[0], other, tolerance=1e-5) for other in results[1:]), name


# --- files and the suite -----------------------------------------------------------------------------------


def test_descriptions_name_every_column_and_nothing_else(company: sqlite3.Connection) -> None:
    found = {t: [entry[1] for entry in company.execute(f"PRAGMA table_info({t})")] for t in TABLES}
    described = {table: list(columns) for table, (_, columns) in SUBSCRIPTIONS.descriptions().items()}
    assert described == found
    texts = [
        text
        for about, columns in SUBSCRIPTIONS.descriptions().values()
        for text in (about, *columns.values())
    ]
    assert all(texts)


def test_glossary_names_are_unique() -> None:
    terms = SUBSCRIPTIONS.glossary()
    assert len(terms) >= 15
    names = [name.lower() for term in terms for name in (term.name, *term.synonyms)]
    assert len(set(names)) == len(names)


def test_the_suite_asks_the_goldens_of_this_domain() -> None:
    suite = load_suite("subscriptions")
    assert [question.id for question in suite.questions] == [golden.id for golden in GOLDENS]
    assert suite.databases["subscriptions"].demo in DOMAINS
    assert suite.terms()


def test_a_file_of_another_domain_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "demo.sqlite"
    build_domain("subscriptions", target, scale=0.01)
    before = target.read_bytes()
    with pytest.raises(UsageError, match="choose another file"):
        build_retail(target, scale=0.005)
    assert target.read_bytes() == before
    build_domain("subscriptions", target, scale=0.01, seed=8)
    assert target.read_bytes() != before
