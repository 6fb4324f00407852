"""The guard's own promises: limits, names, spans, literals, and that nothing crashes or stalls it."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sqlgen
from sqlgen.types import Dialect, Rejection, ValidatedQuery
from sqlgen.validation import RULES, validate
from tests.validation.conftest import CATALOGS, DIALECTS, Runner, cases


def accept(sql: str, dialect: Dialect = "sqlite", max_rows: int | None = None) -> ValidatedQuery:
    verdict = validate(sql, CATALOGS[dialect], dialect, max_rows=max_rows)
    assert isinstance(verdict, ValidatedQuery), verdict
    return verdict


def refuse(sql: str, dialect: Dialect = "sqlite") -> Rejection:
    verdict = validate(sql, CATALOGS[dialect], dialect)
    assert isinstance(verdict, Rejection), verdict
    assert verdict.sql == sql
    return verdict


def test_only_validation_builds_a_validated_query() -> None:
    root = Path(sqlgen.__file__).parent

    def builds(path: Path) -> bool:
        calls = (n.func for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call))
        return any(getattr(f, "id", getattr(f, "attr", "")) == "ValidatedQuery" for f in calls)

    built = [p.relative_to(root).as_posix() for p in sorted(root.rglob("*.py")) if builds(p)]
    assert built == ["validation/__init__.py"]


def test_rules_are_functions_with_one_file_each() -> None:
    names = [rule.__name__ for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(rule.__module__ == f"sqlgen.validation.rules.{rule.__name__}" for rule in RULES)


@pytest.mark.parametrize(
    ("sql", "limited"),
    [
        ("SELECT name FROM customers", "SELECT name FROM customers LIMIT 11"),
        ("SELECT name FROM customers LIMIT 5", "SELECT name FROM customers LIMIT 5"),
        ("SELECT name FROM customers LIMIT 5000", "SELECT name FROM customers LIMIT 11"),
        ("SELECT name FROM customers LIMIT 99999999999999999999", "SELECT name FROM customers LIMIT 11"),
        (
            "SELECT name FROM customers ORDER BY id LIMIT 50 OFFSET 3",
            "SELECT name FROM customers ORDER BY id LIMIT 11 OFFSET 3",
        ),
        ("SELECT 1 UNION SELECT 2 ORDER BY 1", "SELECT 1 UNION SELECT 2 ORDER BY 1 LIMIT 11"),
        (
            "WITH a AS (SELECT 1 AS x LIMIT 3) SELECT x FROM a",
            "WITH a AS (SELECT 1 AS x LIMIT 3) SELECT x FROM a LIMIT 11",
        ),
        ("EXPLAIN SELECT 1", "EXPLAIN SELECT 1"),
    ],
)
def test_row_limit(sql: str, limited: str) -> None:
    assert accept(sql, max_rows=10).sql == limited


def test_a_parenthesised_query_is_limited_from_outside() -> None:
    assert (
        accept("(SELECT name FROM customers LIMIT 50)", "postgres", 10).sql
        == "(SELECT name FROM customers LIMIT 50) LIMIT 11"
    )


def test_limit_keeps_the_order(sqlite_runner: Runner) -> None:
    query = accept(
        "SELECT name FROM customers UNION SELECT name FROM employees ORDER BY name DESC", max_rows=2
    )
    assert sqlite_runner(query.sql) == [("Zoe",), ("Yan",), ("Cid",)]


def test_reads_are_what_is_really_read() -> None:
    query = accept(
        "WITH big AS (SELECT o.customer_id, o.total FROM orders o WHERE o.status = 'paid') "
        "SELECT c.name FROM customers c JOIN big ON big.customer_id = c.id"
    )
    assert set(query.tables) == {"orders", "customers"}
    assert set(query.columns) == {
        "orders.customer_id",
        "orders.total",
        "orders.status",
        "customers.name",
        "customers.id",
    }
    assert query.warnings == ()


def test_star_and_whole_rows_read_every_column() -> None:
    every = {f"suppliers.{c}" for c in ("id", "country")}
    assert set(accept("SELECT * FROM suppliers").columns) == every
    assert set(accept("SELECT s.* FROM suppliers s").columns) == every
    assert set(accept("SELECT to_jsonb(s) FROM suppliers s", "postgres").columns) == every
    assert set(accept("SELECT s FROM suppliers s", "duckdb").columns) == every
    assert set(accept("SELECT COLUMNS(*) FROM suppliers", "duckdb").columns) == every


def test_unknown_names_are_explained_with_their_place() -> None:
    sql = "SELECT custmer_id FROM orders"
    (finding,) = refuse(sql).findings
    assert finding.rule == "unknown_column"
    assert finding.message.startswith("no column `custmer_id`; nearest: `customer_id`")
    assert finding.span is not None
    assert sql[slice(*finding.span)] == "custmer_id"
    (finding,) = refuse("SELECT 1 FROM product").findings
    assert finding.message.startswith("no table `product`; nearest: `products`")


def test_span_counts_from_the_text_as_given() -> None:
    sql = "  EXPLAIN QUERY PLAN SELECT nope FROM orders"
    (finding,) = refuse(sql).findings
    assert finding.span is not None
    assert sql[slice(*finding.span)] == "nope"


def test_postgres_case_rules() -> None:
    accept("SELECT NAME FROM Customers", "postgres")
    assert refuse('SELECT name FROM "Customers"', "postgres").findings[0].rule == "unknown_table"


def test_mysql_names_get_the_case_of_the_catalog() -> None:
    query = accept("SELECT ORDERS.ID, O.total FROM Orders JOIN orders AS o ON o.id = Orders.id", "mysql")
    assert query.sql == "SELECT orders.ID, o.total FROM orders JOIN orders AS o ON o.id = orders.id"


def test_double_quoted_text_becomes_a_literal_in_sqlite() -> None:
    query = accept('SELECT name FROM customers WHERE country = "DE" AND name LIKE "%O\'Neil%"')
    assert query.sql == "SELECT name FROM customers WHERE country = 'DE' AND name LIKE '%O''Neil%'"


def test_executable_comments_never_reach_the_text_that_runs() -> None:
    for dialect in DIALECTS:
        assert refuse("SELECT 1 /*! + 1 */", dialect).findings[0].rule == "executable_comment"
        assert "/*" not in accept("SELECT /* note */ 1 -- end", dialect).sql


def test_literals_keep_their_value(sqlite_runner: Runner, duckdb_runner: Runner) -> None:
    for text in ("it's", "back\\slash", "\\'", "tab\tnew\nline", 'say "x"', "%s :x ?", "--", "/*!", "é😀"):
        literal = "'" + text.replace("'", "''") + "'"
        assert sqlite_runner(accept(f"SELECT {literal}").sql) == [(text,)]
        assert duckdb_runner(accept(f"SELECT {literal}", "duckdb").sql) == [(text,)]


def test_mysql_literals_keep_their_value(mysql_runner: Runner) -> None:
    for text in ("it's", "back\\slash", "\\'", 'say "x"', "%s :x ?", "--", "/*!", "é"):
        literal = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        assert mysql_runner(accept(f"SELECT {literal}", "mysql").sql) == [(text,)]


def test_postgres_literals_keep_their_value(postgres_runner: Runner) -> None:
    for text in ("it's", "back\\slash", "\\'", "%s :x ?", "--", "é😀"):
        plain = "'" + text.replace("'", "''") + "'"
        escaped = "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        assert postgres_runner(accept(f"SELECT {plain}", "postgres").sql) == [(text,)]
        assert postgres_runner(accept(f"SELECT {escaped}", "postgres").sql) == [(text,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 5000 + "1" + ")" * 5000,
        "SELECT " + "CASE WHEN 1=1 THEN " * 500 + "1" + " END" * 500,
        "SELECT " + "NOT " * 20_000 + "1",
        "SELECT " + "- " * 20_000 + "1",
        "SELECT " + "date(" * 39 + "'now'" + ")" * 39,
        "SELECT " + "array[" * 39 + "1" + "]" * 39,
        "SELECT " + "+".join("1" for _ in range(20_000)),
        "SELECT 'a" + "a" * 200_000 + "'",
        "SELECT " + "[" * 90_000,
        "SELECT * FROM " + "(SELECT * FROM " * 35 + "customers" + ") AS t" * 35,
        "/*" * 40_000,
    ],
    ids=lambda sql: sql[:20],
)
def test_no_text_crashes_or_stalls_the_guard(sql: str) -> None:
    for dialect in DIALECTS:
        begun = time.process_time()
        verdict = validate(sql, CATALOGS[dialect], dialect)
        assert isinstance(verdict, Rejection | ValidatedQuery)
        # A stall takes minutes; half a second is usual, more on a slow machine that measures coverage.
        assert time.process_time() - begun < 5.0


def test_a_deep_caller_does_not_change_the_verdict() -> None:
    sql = "SELECT " + "(" * 20 + "1" + ")" * 20

    def down(levels: int) -> ValidatedQuery | Rejection:
        return down(levels - 1) if levels else validate(sql, CATALOGS["sqlite"], "sqlite")

    assert isinstance(down(800), ValidatedQuery)


WORDS = sorted(
    {
        word
        for dialect in DIALECTS
        for name in (
            "common_accept.sql",
            "common_refuse.sql",
            f"{dialect}_accept.sql",
            f"{dialect}_refuse.sql",
        )
        for _, sql in cases(name)
        for word in re.findall(r"\w+|[^\w\s]|'[^']*'", sql)
    }
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from(DIALECTS), st.lists(st.sampled_from(WORDS), min_size=1, max_size=40))
def test_any_words_get_a_verdict(dialect: Dialect, words: list[str]) -> None:
    check_verdict("SELECT " + " ".join(words), dialect)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sampled_from(DIALECTS), st.text(max_size=60))
def test_any_text_gets_a_verdict(dialect: Dialect, text: str) -> None:
    check_verdict(text, dialect)


ACCEPTED = {d: [sql for _, sql in cases("common_accept.sql") + cases(f"{d}_accept.sql")] for d in DIALECTS}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    st.sampled_from(DIALECTS),
    st.integers(0, 10_000),
    st.integers(0, 400),
    st.integers(0, 6),
    st.sampled_from(WORDS),
)
def test_mutated_statements_get_a_verdict(dialect: Dialect, which: int, at: int, cut: int, word: str) -> None:
    sql = ACCEPTED[dialect][which % len(ACCEPTED[dialect])]
    check_verdict(sql[:at] + " " + word + " " + sql[at + cut :], dialect)


def check_verdict(sql: str, dialect: Dialect) -> None:
    begun = time.process_time()
    verdict = validate(sql, CATALOGS[dialect], dialect)
    assert time.process_time() - begun < 1.0
    if isinstance(verdict, ValidatedQuery):
        again = validate(verdict.sql, CATALOGS[dialect], dialect)
        assert isinstance(again, ValidatedQuery), (verdict, again)
        assert again.sql == verdict.sql
    else:
        assert verdict.findings
