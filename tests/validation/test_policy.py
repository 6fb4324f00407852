"""What a policy closes stays closed, and what it leaves open still gives the right rows, on four engines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlgen.policy import Mask, Policy, bind, read_policy
from sqlgen.sql.views import views_closed
from sqlgen.types import Catalog, Column, Dialect, Rejection, Table, ValidatedQuery
from sqlgen.validation import validate
from tests.conftest import NewDatabase
from tests.validation.policy_shop import (
    CANARY,
    POLICY,
    VIEWS,
    Twins,
    catalog,
    duckdb_twins,
    protection,
    server_twins,
    sqlite_twins,
)

FIXTURES = Path(__file__).parent.parent / "fixtures" / "policy"
DIALECTS: tuple[Dialect, ...] = ("sqlite", "duckdb", "postgres", "mysql")
PROTECTIONS = {dialect: protection(dialect) for dialect in DIALECTS}


def lines(name: str) -> list[str]:
    text = (FIXTURES / name).read_text("utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("# ")]


def judge(sql: str, dialect: Dialect = "sqlite", **changes: Any) -> ValidatedQuery | Rejection:
    rules = protection(dialect, **changes) if changes else PROTECTIONS[dialect]
    return validate(sql, rules.visible, dialect, protection=rules)


def accept(sql: str, dialect: Dialect = "sqlite", **changes: Any) -> str:
    verdict = judge(sql, dialect, **changes)
    assert isinstance(verdict, ValidatedQuery), verdict.findings
    return verdict.sql


def refuse(sql: str, dialect: Dialect = "sqlite", **changes: Any) -> str:
    verdict = judge(sql, dialect, **changes)
    assert isinstance(verdict, Rejection), verdict.sql
    return verdict.findings[0].rule


REFUSED = [(d, sql) for d in DIALECTS for sql in lines("refuse_common.sql") + lines(f"refuse_{d}.sql")]
ACCEPTED = lines("accept_common.sql")


def test_the_suites_are_as_wide_as_promised() -> None:
    assert len(set(REFUSED)) == len(REFUSED) >= 120
    assert len(ACCEPTED) == len(set(ACCEPTED)) >= 40


@pytest.mark.parametrize(("dialect", "sql"), REFUSED, ids=lambda v: str(v)[:60])
def test_every_evasion_is_refused(dialect: Dialect, sql: str) -> None:
    verdict = judge(sql, dialect)
    assert isinstance(verdict, Rejection), verdict.sql
    for finding in verdict.findings:
        assert CANARY not in finding.message
        assert "\n" not in finding.message


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Twins]:
    yield from sqlite_twins()


@pytest.fixture(scope="module")
def duckdb() -> Iterator[Twins]:
    pytest.importorskip("duckdb")
    yield from duckdb_twins()


@pytest.fixture(scope="module")
def postgres(new_postgres_database: NewDatabase) -> Iterator[Twins]:
    yield from server_twins("postgres", [new_postgres_database(), new_postgres_database()])


@pytest.fixture(scope="module")
def mysql(new_mariadb_database: NewDatabase) -> Iterator[Twins]:
    yield from server_twins("mysql", [new_mariadb_database(), new_mariadb_database()])


@pytest.fixture(params=DIALECTS)
def twins(request: pytest.FixtureRequest) -> Twins:
    found: Twins = request.getfixturevalue(request.param)
    return found


def test_what_is_open_runs_and_depends_on_nothing_hidden(twins: Twins) -> None:
    for sql in ACCEPTED:
        found = twins.found(accept(sql, twins.dialect))
        assert not found or not found[0].startswith("error"), (sql, found)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT COUNT(*) FROM orders", ["(6,)"]),
        ("SELECT SUM(total) FROM orders WHERE region <> 'EU' OR 1 = 1", None),
        ("SELECT DISTINCT region FROM orders", ["('EU',)"]),
        ("SELECT COUNT(*) FROM v_orders", ["(6,)"]),
        ("SELECT COUNT(*) FROM v_over", ["(3,)"]),
        ("SELECT o.id FROM cities c LEFT JOIN orders o ON o.id = c.id + 30", ["(None,)", "(None,)"]),
        ("SELECT phone FROM customers WHERE id = 1", ["(None,)"]),
        ("SELECT email FROM customers WHERE id = 1", ["('An***',)"]),
        ("SELECT mail FROM v_mails WHERE id = 1", ["('an***',)"]),
        ("SELECT phone, email FROM v_customers WHERE id = 2", ["(None, 'Bo***')"]),
        ("SELECT COUNT(*) FROM (SELECT 1 AS n FROM orders UNION ALL SELECT 2 FROM orders) u", ["(12,)"]),
    ],
)
def test_rows_and_cells_are_those_of_the_policy(twins: Twins, sql: str, expected: list[str] | None) -> None:
    found = twins.found(accept(sql, twins.dialect))
    if expected is None:
        assert "210" in found[0]
    else:
        assert found == expected


@pytest.mark.parametrize(
    "condition",
    [
        "CAST(region AS INTEGER) > 3",
        "1 / (total - 987654) > 0",
        "CAST(note AS INTEGER) = 1",
        "CAST('2024-01-' || id AS DATE) IS NULL",
    ],
)
def test_a_condition_that_fails_is_not_tried_on_rows_that_are_filtered_out(
    twins: Twins, condition: str
) -> None:
    verdict = judge(f"SELECT id FROM orders WHERE {condition}", twins.dialect)
    if isinstance(verdict, ValidatedQuery):
        twins.found(verdict.sql)


def test_each_dialect_masks_in_its_own_words(twins: Twins) -> None:
    masks = (("customers.email", Mask("text", text="it's \\ hidden")), ("customers.city", Mask("hash")))
    sql = "SELECT email, city FROM customers ORDER BY id"
    if twins.dialect == "sqlite":
        assert refuse(sql, "sqlite", masks=masks) == "policy"
        return
    found = twins.found(accept(sql, twins.dialect, masks=masks))
    assert all(row.count("it's \\\\ hidden") == 1 for row in found)
    cities = [row.split(", ")[1].rstrip(")").strip("'") for row in found]
    assert sorted(len(c) for c in cities if c != "None") == [64, 64, 64]
    assert len(set(cities)) == 3


@pytest.mark.parametrize(
    "value",
    ["EU", "x' OR '1'='1", "x\\' OR 1=1 -- ", "''", "\\", "%", ":region", "a\nb", "é😀", "/* */", "x'); --"],
)
def test_a_value_of_the_context_is_only_ever_a_literal(twins: Twins, value: str) -> None:
    sql = accept("SELECT COUNT(*) FROM orders", twins.dialect, context=(("region", value),))
    assert twins.found(sql) == ["(6,)" if value == "EU" else "(0,)"]


@pytest.mark.parametrize(
    ("condition", "context", "count"),
    [
        ("region IN (:regions)", {"regions": ["EU", "US"]}, 6),
        ("region IN (:regions)", {"regions": []}, 0),
        ("region = :region AND total > :least", {"region": "EU", "least": 30}, 3),
        ("region = :region AND total > :least", {"region": "EU", "least": -5}, 6),
        ("region = :region AND total * 1.0 > :least", {"region": "EU", "least": 29.5}, 4),
        ("region = :region OR total < 0", {"region": "EU"}, 6),
        ("customer_id IN (SELECT id FROM customers WHERE ssn = :ssn) AND region = 'EU'", {"ssn": "no"}, 0),
        ("cost = 1 OR region = 'EU'", {}, 6),
    ],
)
def test_filters_take_values_of_every_kind(
    twins: Twins, condition: str, context: dict[str, Any], count: int
) -> None:
    read = read_policy({"row_filters": {"orders": condition}, "context": context})
    rules = views_closed(
        bind(replace(POLICY, row_filters=read.row_filters, context=read.context), catalog(twins.dialect)),
        VIEWS,
    )
    verdict = validate("SELECT COUNT(*) FROM orders", rules.visible, twins.dialect, protection=rules)
    assert isinstance(verdict, ValidatedQuery), verdict
    assert twins.found(verdict.sql) == [f"({count},)"]


def test_several_filters_on_one_table_all_hold(twins: Twins) -> None:
    filters = (("orders", "region = :region OR 1 = 0"), ("ord*", "total > 20 OR total < 0"))
    assert twins.found(accept("SELECT COUNT(*) FROM orders", twins.dialect, row_filters=filters)) == ["(4,)"]


def test_a_missing_value_refuses() -> None:
    assert refuse("SELECT COUNT(*) FROM orders", context=()) == "policy_context"
    assert "region" in str(judge("SELECT COUNT(*) FROM orders", context=()))
    assert accept("SELECT COUNT(*) FROM cities", context=())
    assert refuse("SELECT COUNT(*) FROM v_over", context=()) == "policy_context"


@pytest.mark.parametrize(
    "condition",
    ["regoin = :region", "region = :region LIMIT 3", "region = ?", "1 = 1) OR (1 = 1", "region ="],
)
def test_a_filter_that_makes_no_sense_refuses(condition: str) -> None:
    assert refuse("SELECT COUNT(*) FROM orders", row_filters=(("orders", condition),)) == "policy"


def test_a_name_of_the_query_catches_no_table_of_a_filter() -> None:
    filters = (("orders", "region IN (SELECT name FROM cities)"),)
    stolen = "WITH cities AS (SELECT 'x' AS name) SELECT COUNT(*) FROM orders, cities"
    assert refuse(stolen, row_filters=filters) == "policy"
    assert accept(
        "WITH towns AS (SELECT 'x' AS name) SELECT COUNT(*) FROM orders, towns", row_filters=filters
    )


def test_a_name_of_the_query_catches_no_table_of_a_view() -> None:
    assert refuse("WITH orders AS (SELECT 1 AS id) SELECT * FROM v_orders, orders") == "policy"


def test_masked_columns_may_be_compared_when_the_policy_is_not_strict(twins: Twins) -> None:
    for sql in (
        "SELECT COUNT(*) FROM customers WHERE email LIKE 'An%'",
        "SELECT COUNT(*) FROM customers WHERE phone IS NULL",
        "SELECT email, COUNT(*) FROM customers GROUP BY email ORDER BY email",
    ):
        assert refuse(sql, twins.dialect) == "masked_column"
        twins.found(accept(sql, twins.dialect, strict=False))


def test_excluding_what_is_hidden_leaves_the_rest(duckdb: Twins) -> None:
    found = duckdb.found(accept("SELECT * EXCLUDE (ssn, phone) FROM customers WHERE id = 2", "duckdb"))
    assert found == ["(2, 'Bob', 'Bo***', 'Rome')"]


def test_a_primary_key_still_stands_for_its_row_in_postgres(postgres: Twins) -> None:
    sql = "SELECT s.name, COUNT(*) FROM staff s GROUP BY s.id HAVING s.city IS NOT NULL ORDER BY s.city"
    assert len(postgres.found(accept(sql, "postgres"))) == 3


def test_a_table_may_be_read_by_a_query_of_its_name(duckdb: Twins) -> None:
    sql = "WITH orders AS (SELECT id FROM orders) SELECT COUNT(*) FROM orders"
    assert duckdb.found(accept(sql, "duckdb")) == ["(6,)"]


def test_schema_qualified_names_follow_the_derived_table(postgres: Twins) -> None:
    sql = "SELECT public.orders.id FROM public.orders WHERE public.orders.total > 30"
    assert postgres.found(accept(sql, "postgres")) == ["(4,)", "(5,)", "(6,)"]


def test_a_plan_tells_nothing_of_filtered_rows() -> None:
    assert refuse("EXPLAIN SELECT id FROM orders WHERE total > 5", "postgres") == "policy"
    assert accept("EXPLAIN SELECT name FROM staff", "postgres").startswith("EXPLAIN ")


def test_an_answer_from_some_of_the_rows_says_so() -> None:
    verdict = judge("SELECT COUNT(*) FROM orders o JOIN v_over v ON v.customer_id = o.customer_id, customers")
    assert isinstance(verdict, ValidatedQuery)
    assert [(w.rule, w.message.split("`")[1]) for w in verdict.warnings] == [
        ("narrowed", "orders"),
        ("narrowed", "v_over"),
    ]


def test_a_sample_tells_nothing_of_filtered_rows() -> None:
    assert refuse("SELECT id FROM orders TABLESAMPLE SYSTEM (50)", "postgres") == "policy"
    assert accept("SELECT name FROM staff TABLESAMPLE SYSTEM (50)", "postgres")


def test_findings_name_the_rule() -> None:
    assert refuse("SELECT ssn FROM customers") == "denied_column"
    assert refuse("SELECT what FROM audit") == "denied_table"
    verdict = judge("SELECT name, ssn FROM customers")
    assert isinstance(verdict, Rejection)
    assert verdict.findings[0].span == (13, 16)


def test_what_is_closed_is_not_even_suggested() -> None:
    for sql in ("SELECT salry FROM staff", "SELECT id FROM audits", "SELECT sssn FROM customers"):
        verdict = judge(sql)
        assert isinstance(verdict, Rejection)
        assert not any(word in verdict.findings[0].message for word in ("`salary`", "`audit`", "`ssn`"))


# --- the policy itself -------------------------------------------------------------------------------------


def shown(
    policy: Policy, *tables: Table, dialect: Dialect = "postgres", schema: str | None = None
) -> dict[str, list[str]]:
    visible = bind(policy, Catalog(dialect, tables), schema).visible
    return {t.key: [c.name for c in t.columns] for t in visible.tables}


USERS = Table("users", (Column("id", "INT", "number"), Column("Pass Word", "TEXT", "text")))
PAY = Table("pay", (Column("id", "INT", "number"), Column("iban", "TEXT", "text")), schema="hr")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(deny_schemas=("hr",)), {"users": ["id", "Pass Word"]}),
        (Policy(deny_schemas=("public",)), {"hr.pay": ["id", "iban"]}),
        (Policy(deny_tables=("PAY",)), {"users": ["id", "Pass Word"]}),
        (Policy(deny_tables=("hr.*",)), {"users": ["id", "Pass Word"]}),
        (Policy(deny_tables=("public.users",)), {"hr.pay": ["id", "iban"]}),
        (Policy(deny_columns=("pass*",)), {"users": ["id"], "hr.pay": ["id", "iban"]}),
        (Policy(deny_columns=("*.iban",)), {"users": ["id", "Pass Word"], "hr.pay": ["id"]}),
        (Policy(deny_columns=("hr.pay.iban",)), {"users": ["id", "Pass Word"], "hr.pay": ["id"]}),
        (Policy(deny_columns=("public.users.id",)), {"users": ["Pass Word"], "hr.pay": ["id", "iban"]}),
        (Policy(deny_columns=("users.*",)), {"hr.pay": ["id", "iban"]}),
        (Policy(allow_tables=("users",)), {"users": ["id", "Pass Word"]}),
        (Policy(allow_tables=("pay",)), {}),
        (Policy(allow_tables=("hr.pay",)), {"hr.pay": ["id", "iban"]}),
        (Policy(allow_schemas=("hr",)), {"hr.pay": ["id", "iban"]}),
        (Policy(allow_columns=("id",)), {"users": ["id"], "hr.pay": ["id"]}),
        (Policy(allow_tables=("*",), deny_tables=("users",)), {"hr.pay": ["id", "iban"]}),
    ],
)
def test_patterns_close_and_open(policy: Policy, expected: dict[str, list[str]]) -> None:
    assert shown(policy, USERS, PAY) == expected


def test_the_default_schema_goes_by_its_own_name() -> None:
    assert shown(Policy(deny_schemas=("shop",)), USERS, PAY, dialect="mysql", schema="shop") == {
        "hr.pay": ["id", "iban"]
    }


def test_patterns_that_fit_nothing_are_told() -> None:
    bound = bind(
        Policy(deny_columns=("users.ssn", "id"), masks=(("x.y", Mask("null")),)), Catalog("sqlite", (USERS,))
    )
    assert bound.unmatched == ("deny_columns: users.ssn", "masks: x.y")


def test_keys_to_what_is_closed_disappear() -> None:
    rules = bind(Policy(deny_tables=("customers",)), catalog("sqlite"))
    orders = rules.visible.table("orders")
    assert orders is not None
    assert orders.foreign_keys == ()
    rules = bind(Policy(deny_columns=("order_id",)), catalog("sqlite"))
    items = rules.visible.table("items")
    assert items is not None
    assert items.foreign_keys == ()


def test_views_stay_closed_until_somebody_says_what_they_read() -> None:
    rules = bind(POLICY, catalog("sqlite"))
    assert not any(t.is_view for t in rules.visible.tables)
    verdict = validate("SELECT * FROM v_cities", rules.visible, "sqlite", protection=rules)
    assert isinstance(verdict, Rejection)
    unknown = views_closed(rules, {k: v for k, v in VIEWS.items() if k != "v_cities"})
    assert unknown.visible.table("v_cities") is None
    assert views_closed(rules, VIEWS).visible.table("v_cities") is not None


@pytest.mark.parametrize(
    ("definition", "columns"),
    [
        ("SELECT id, name FROM staff", ["id", "name"]),
        ("SELECT id, salary AS name FROM staff", ["id"]),
        ("SELECT s.id, s.name FROM staff s JOIN items i ON i.salary = s.salary", None),
        ("SELECT id, name FROM staff ORDER BY salary", None),
        ("SELECT id, (SELECT MAX(salary) FROM items) AS name FROM staff", ["id"]),
        ("SELECT id, name FROM (SELECT id, name, salary FROM staff) x", None),
        ("SELECT DISTINCT id, salary AS name FROM staff", None),
        ("SELECT id, name FROM staff UNION SELECT id, salary FROM items", None),
        ("WITH t AS (SELECT id, salary FROM staff) SELECT id, salary AS name FROM t", None),
        ("SELECT id, name FROM nowhere", None),
        ("SELECT id, name FROM v_new", None),
        ("SELECT id, name", None),
        ("DELETE FROM staff", None),
        ("CREATE VIEW v_new AS SELECT id, name FROM staff;", ["id", "name"]),
    ],
)
def test_a_view_shows_what_its_definition_may(definition: str, columns: list[str] | None) -> None:
    view = Table("v_new", (Column("id", "INT", "number"), Column("name", "TEXT", "text")), is_view=True)
    base = catalog("sqlite")
    rules = views_closed(
        bind(POLICY, replace(base, tables=(*base.tables, view))), {**VIEWS, "v_new": definition}
    )
    visible = rules.visible.table("v_new")
    assert (None if visible is None else [c.name for c in visible.columns]) == columns


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"deny_column": ["a"]}, "nearest: 'deny_columns'"),
        ({"deny_columns": "ssn"}, "list of patterns"),
        ({"deny_columns": [""]}, "list of patterns"),
        ({"masks": {"a.b": "blur"}}, "is one of"),
        ({"masks": {"a.b": {"first": 0}}}, "is one of"),
        ({"row_filters": {"orders": ""}}, "needs a condition"),
        ({"row_filters": ["orders"]}, r"\[policy.row_filters\]"),
        ({"context": {"a b": 1}}, "no name"),
        ({"context": {"a": {"b": 1}}}, "holds a dict"),
        ({"context": {"a": float("nan")}}, "finite"),
        ({"strict": "yes"}, "true or false"),
        (["deny_tables"], "table like"),
    ],
)
def test_a_policy_that_makes_no_sense_says_so(raw: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_policy(raw)
