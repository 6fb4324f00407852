"""Reading text: bounds, statements counted on tokens, faithful writing."""

from __future__ import annotations

import pytest

from sqlgen.sql.parse import MAX_DEPTH, Unreadable, limit_rows, parse, render, same_words, scan
from sqlgen.types import Dialect


def written(sql: str, dialect: Dialect) -> str:
    return render(parse(scan(sql, dialect)))


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("", "empty"),
        ("-- nothing", "empty"),
        ("SELECT 1\0", "control_character"),
        ("SELECT " + "x" * 100_001, "too_long"),
        ("SELECT " + "1," * 20_000 + "1", "too_long"),
        ("SELECT " + "(" * (MAX_DEPTH + 1), "too_deep"),
        ("SELECT 'abc", "syntax"),
    ],
)
def test_scan_refuses(sql: str, rule: str) -> None:
    with pytest.raises(Unreadable) as caught:
        scan(sql, "sqlite")
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("sql", "count"),
    [("SELECT 1", 1), ("SELECT 1;", 1), ("SELECT 1; -- x", 1), ("SELECT ';'", 1), ("a; b", 2), (";", 0)],
)
def test_statements(sql: str, count: int) -> None:
    assert scan(sql, "postgres").statements() == count


@pytest.mark.parametrize(
    ("sql", "dialect", "prefix"),
    [
        ("EXPLAIN SELECT 1", "sqlite", "EXPLAIN"),
        ("explain query plan SELECT 1", "sqlite", "EXPLAIN QUERY PLAN"),
        ("EXPLAIN (COSTS OFF) SELECT 1", "postgres", "EXPLAIN (COSTS OFF)"),
        ("EXPLAIN FORMAT=JSON SELECT 1", "mysql", "EXPLAIN FORMAT=JSON"),
        ("explained", "sqlite", ""),
    ],
)
def test_explain_is_read_off(sql: str, dialect: Dialect, prefix: str) -> None:
    assert scan(sql, dialect).explain == prefix


def test_syntax_errors_name_a_place() -> None:
    sql = "SELECT a FROM t WHERE (a = 1"
    with pytest.raises(Unreadable) as caught:
        parse(scan(sql, "postgres"))
    assert caught.value.rule == "syntax"
    assert caught.value.span is not None
    assert 0 <= caught.value.span[0] < caught.value.span[1] <= len(sql)


@pytest.mark.parametrize(
    ("sql", "dialect", "expected"),
    [
        (
            "select Strftime('%Y', d), IIF(a, 1, 2) from t",
            "sqlite",
            "SELECT Strftime('%Y', d), IIF(a, 1, 2) FROM t",
        ),
        ("SELECT a FROM t WHERE a REGEXP 'x'", "mysql", "SELECT a FROM t WHERE a REGEXP 'x'"),
        ("SELECT 1 FROM DUAL", "mysql", "SELECT 1 FROM DUAL"),
        ("SELECT a->>'$.x' FROM t", "mysql", "SELECT JSON_UNQUOTE(JSON_EXTRACT(a, '$.x')) FROM t"),
        ("SELECT $$it's$$, E'a\\'b'", "postgres", "SELECT 'it''s', 'a''b'"),
        ("SELECT a /* x */ FROM t -- y", "duckdb", "SELECT a FROM t"),
        ("SELECT 5--1", "mysql", "SELECT 5 - -1"),
        ("SELECT 0x1F, x'1F', 1_000", "sqlite", "SELECT 0x1F, x'1F', 1000"),
        ("SELECT 0x1F, x'1F', 1_000", "duckdb", "SELECT 0x1F, x'1F', 1000"),
        ("SELECT 0x1F, b'01', 1_000", "postgres", "SELECT 0x1F, b'01', 1000"),
        ("SELECT 0x1F, 0b01, b'01'", "mysql", "SELECT 0x1F, 0b01, b'01'"),
        (
            "SELECT CAST(a AS DATE), CAST(a AS DECIMAL(5,2)) FROM t",
            "sqlite",
            "SELECT CAST(a AS DATE), CAST(a AS DECIMAL(5, 2)) FROM t",
        ),
        ("SELECT a FROM t, u JOIN v", "sqlite", "SELECT a FROM t, u JOIN v ON TRUE"),
        ("SELECT INTERVAL 1 DAY + '2024-01-01'", "mysql", "SELECT INTERVAL '1' DAY + '2024-01-01'"),
        ("SELECT INTERVAL(2, 1, 3), UTC_DATE", "mysql", "SELECT INTERVAL(2, 1, 3), UTC_DATE()"),
        (
            "SELECT @ a, CURRENT_TIME, 1 = SOME (SELECT 2)",
            "postgres",
            "SELECT ABS(a), CURRENT_TIME, 1 = ANY (SELECT 2)",
        ),
        ("SELECT `a` FROM `t`", "duckdb", 'SELECT "a" FROM "t"'),
        (
            "PIVOT t ON a USING SUM(b) ORDER BY c LIMIT 2",
            "duckdb",
            "SELECT * FROM (PIVOT t ON a USING SUM(b)) ORDER BY c LIMIT 2",
        ),
        (
            "SELECT j.a FROM JSON_TABLE('[]', '$' COLUMNS (n FOR ORDINALITY, a INT PATH '$.a' DEFAULT '0' ON EMPTY)) AS j",
            "mysql",
            "SELECT j.a FROM JSON_TABLE('[]', '$' COLUMNS(n FOR ORDINALITY, a INT PATH '$.a' DEFAULT '0' ON EMPTY)) AS j",
        ),
    ],
)
def test_written_as_read(sql: str, dialect: Dialect, expected: str) -> None:
    assert written(sql, dialect) == expected
    assert written(expected, dialect) == expected


def test_calls_are_found_wherever_they_stand() -> None:
    statement = parse(
        scan('SELECT a(1) FROM b(2), LATERAL c(3) WHERE pg_catalog.d(4) ORDER BY "E"(5)', "postgres")
    )
    calls = {c.name: (c.qualifier, c.is_source) for c in statement.calls}
    assert calls == {
        "a": ("", False),
        "b": ("", True),
        "c": ("", True),
        "d": ("pg_catalog", False),
        "E": ("", False),
    }


def test_a_number_does_not_run_into_a_word() -> None:
    with pytest.raises(Unreadable) as caught:
        scan("SELECT 1abc", "postgres")
    assert caught.value.rule == "syntax"
    assert scan("SELECT 1abc FROM t", "mysql").statements() == 1


def test_a_copy_is_equal_and_apart() -> None:
    statement = parse(scan("SELECT CAST(a AS INT), b FROM t WHERE a IN (1, 2) -- x", "sqlite"))
    twin = statement.copied()
    assert twin.tree == statement.tree
    assert render(twin) == render(statement)
    limit_rows(twin, 5)
    assert twin.tree != statement.tree


@pytest.mark.parametrize(
    ("given", "text", "same"),
    [
        ("SELECT a b FROM t u", "SELECT a AS b FROM t AS u", True),
        ("SELECT a FROM t", "SELECT a FROM t LIMIT 5", True),
        ("SELECT a FROM t", "SELECT a FROM t OFFSET 5", False),
        ("SELECT a FROM t WHERE b = 'X'", "SELECT a FROM t WHERE b = 'x'", False),
        ('SELECT "a" FROM t', "SELECT a FROM t", False),
        ("SELECT a FROM t", "SELECT a FROM u", False),
        ("SELECT a FROM t", "SELECT a FROM t; SELECT b", False),
    ],
)
def test_same_words(given: str, text: str, same: bool) -> None:
    assert same_words(scan(given, "postgres"), text) is same


def test_limit_is_given_to_the_outermost_query() -> None:
    statement = parse(scan("SELECT a FROM (SELECT a FROM t LIMIT 9000) AS x", "duckdb"))
    limit_rows(statement, 5)
    assert render(statement) == "SELECT a FROM (SELECT a FROM t LIMIT 9000) AS x LIMIT 5"
