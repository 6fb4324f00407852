"""Following names: what is read, and what leads nowhere."""

from __future__ import annotations

import pytest

from sqlgen.sql.parse import parse, scan
from sqlgen.sql.scope import CatalogNames, Reads, nearest, resolve
from sqlgen.types import Catalog, Column, Dialect, Table


def table(name: str, *columns: str, schema: str | None = None) -> Table:
    return Table(name, tuple(Column(c, "TEXT", "text") for c in columns), schema=schema)


TABLES = (table("a", "id", "x"), table("b", "id", "y"), table("c", "z", schema="s"), table("Mixed", "Col"))


def reads(sql: str, dialect: Dialect = "postgres") -> Reads:
    return resolve(parse(scan(sql, dialect)), CatalogNames(Catalog(dialect, TABLES), dialect))


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT x FROM a", {"a.x"}),
        ("SELECT * FROM a", {"a.id", "a.x"}),
        ("SELECT t.y FROM b AS t", {"b.y"}),
        ("SELECT a.x FROM a JOIN b USING (id)", {"a.x", "a.id", "b.id"}),
        ("SELECT x FROM a WHERE EXISTS (SELECT 1 FROM b WHERE y = x)", {"a.x", "b.y"}),
        ("SELECT q.k FROM (SELECT x AS k FROM a) AS q", {"a.x"}),
        ("WITH w(k) AS (SELECT x FROM a) SELECT k FROM w", {"a.x"}),
        ("SELECT x FROM a UNION SELECT y FROM b ORDER BY x", {"a.x", "b.y"}),
        ("SELECT s.c.z FROM s.c", {"s.c.z"}),
        ('SELECT "Col" FROM "Mixed"', {"Mixed.Col"}),
        ("SELECT l.m FROM a, LATERAL (SELECT a.x AS m) AS l", {"a.x"}),
        ("SELECT x AS k FROM a ORDER BY k", {"a.x"}),
        ("SELECT SUM(id) OVER w FROM a WINDOW w AS (PARTITION BY x)", {"a.id", "a.x"}),
        ("SELECT g FROM generate_series(1, 2) AS g", set()),
    ],
)
def test_columns_read(sql: str, columns: set[str]) -> None:
    found = reads(sql)
    assert found.faults == ()
    assert set(found.columns) == columns


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("SELECT y FROM a", "unknown_column"),
        ("SELECT b.x FROM a", "unknown_table"),
        ("SELECT 1 FROM nowhere", "unknown_table"),
        ("SELECT 1 FROM s.a", "unknown_table"),
        ("SELECT 1 FROM c", "unknown_table"),
        ("SELECT id FROM a JOIN b ON a.id = b.id", "ambiguous_column"),
        ("SELECT Col FROM Mixed", "unknown_table"),
        ("SELECT x AS k FROM a WHERE k = 'v'", "unknown_column"),
        ("SELECT (SELECT k FROM b) FROM (SELECT x AS j FROM a) AS q", "unknown_column"),
        ("SELECT * FROM (SELECT 1 FROM b WHERE b.y = a.x) AS q, a", "unknown_table"),
        ("WITH w AS (SELECT x FROM a) SELECT y FROM w", "unknown_column"),
        ("WITH w AS (SELECT x FROM w) SELECT x FROM w", "unknown_table"),
        ("(WITH w AS (SELECT x FROM a) SELECT x FROM w) UNION SELECT x FROM w", "unknown_table"),
        ("SELECT * FROM pg_class", "system_table"),
        ("SELECT * FROM information_schema.columns", "system_table"),
        ("SELECT x FROM a TABLESAMPLE SYSTEM ((SELECT 1 FROM pg_class))", "unsupported"),
    ],
)
def test_faults(sql: str, rule: str) -> None:
    assert rule in {f.rule for f in reads(sql).faults}


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "mysql"])
def test_case_is_ignored_outside_postgres(dialect: Dialect) -> None:
    found = reads("SELECT A.X, MIXED.col FROM a, mixed", dialect)
    assert found.faults == ()
    assert found.columns == ("a.x", "Mixed.Col")


def test_aliases_where_the_dialect_lets_them_stand() -> None:
    assert reads("SELECT x AS k FROM a WHERE k = 'v'", "sqlite").faults == ()
    assert reads("SELECT x AS k, k || '!' FROM a", "duckdb").faults == ()
    assert reads("SELECT x AS k FROM a HAVING k = 'v'", "mysql").faults == ()
    assert reads("SELECT x AS k, k FROM a", "sqlite").faults != ()


def test_nearest_names() -> None:
    assert nearest("unitprice", ["unit_price", "cost", "id"], 1) == ["unit_price"]
    assert nearest("zzz", ["unit_price"]) == []
