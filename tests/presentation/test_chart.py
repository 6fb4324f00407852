"""Charts are chosen from what the columns mean; Altair's schema accepts each of them."""

from __future__ import annotations

import re
from typing import Any

import altair
import pytest

from sqlgen.presentation import bar_lines, described, figure, vega_lite
from sqlgen.presentation.bars import _width
from sqlgen.presentation.chart import MOST_BARS, SCHEMA
from sqlgen.types import Catalog, OutputColumn, Result, ResultColumn

JOIN = "FROM customers AS c JOIN orders AS o ON o.customer_id = c.customer_id"
MONTH = "STRFTIME('%Y-%m', order_date)"
THREE_MONTHS_TWICE = [(m, s, 1.5) for m in ("2025-01", "2025-02", "2025-03") for s in ("paid", "open")]
LOW_AND_HIGH = [("2025-01", 1, 9), ("2025-02", 2, 8), ("2025-03", 2, 7)]
BY_COUNTRY = [("Italy", "paid", 1), ("Italy", "open", 2), ("Spain", "paid", 3)]
CASES = [
    ("line", f"SELECT {MONTH}, COUNT(*) FROM orders GROUP BY 1", [("2025-01", 3), ("2025-02", 5), ("2025-03", 4)]),
    ("bar", f"SELECT {MONTH}, COUNT(*) FROM orders GROUP BY 1", [("2025-01", 3), ("2025-02", 5)]),
    ("bar", "SELECT status, COUNT(*) FROM orders GROUP BY status", [("paid", 3), ("it's\n</script>", 5)]),
    ("bar", f"SELECT c.country, o.status, COUNT(*) {JOIN} GROUP BY 1, 2", BY_COUNTRY),
    ("line", f"SELECT {MONTH}, status, SUM(total_amount) FROM orders GROUP BY 1, 2", THREE_MONTHS_TWICE),
    ("line", f"SELECT {MONTH}, MIN(total_amount), MAX(total_amount) FROM orders GROUP BY 1", LOW_AND_HIGH),
    ("point", "SELECT total_amount, rating FROM orders", [(1.5, 3), (2.5, 4), (9.5, 5), (1.0, None)]),
    ("bar", "SELECT total_amount FROM orders", [(1.5,), (2.0,), (3.0,), (4.0,), (9.0,)]),
    ("bar", "SELECT order_id, total_amount FROM orders", [(1, 2.5), (2, 3.5)]),
    (None, "SELECT COUNT(*) FROM orders", [(7,)]),
    (None, "SELECT name, country FROM customers", [("Ann", "Italy"), ("Bo", "Spain")]),
    (None, "SELECT status, total_amount FROM orders", [("paid", 3), ("paid", 5), ("open", 1)]),
]  # fmt: skip


def made(sql: str, rows: list[tuple[Any, ...]], catalog: Catalog) -> tuple[Result, tuple[OutputColumn, ...]]:
    result = Result(tuple(ResultColumn(f"a.b[{i}]") for i in range(len(rows[0]))), tuple(rows))
    return result, described(sql, catalog, "sqlite", result).columns


@pytest.mark.parametrize(("mark", "sql", "rows"), CASES, ids=lambda value: str(value)[:60])
def test_the_chart_fits_the_columns(
    mark: str | None, sql: str, rows: list[tuple[Any, ...]], catalog: Catalog
) -> None:
    result, columns = made(sql, rows, catalog)
    spec = vega_lite(result, columns, "a question")
    assert (None if spec is None else spec["mark"]["type"]) == mark
    if spec is not None:
        altair.Chart.from_dict(spec)
        assert len(spec["data"]["values"]) == len(rows)
        used = {e["field"] for e in spec["encoding"].values() if "field" in e}
        given = set(spec["data"]["values"][0]) | {n for t in spec.get("transform", []) for n in [*t["as"]]}
        assert used <= given


def test_the_schema_is_the_one_that_altair_knows() -> None:
    mine, known = (re.search(r"/v(\d+)", url) for url in (SCHEMA, altair.SCHEMA_URL))
    assert mine
    assert known
    assert mine[1] == known[1]


def test_a_long_list_is_cut_and_says_so(catalog: Catalog) -> None:
    rows = [(f"n{i}", i) for i in range(200)]
    result, columns = made("SELECT status, COUNT(*) FROM orders GROUP BY 1", rows, catalog)
    spec = vega_lite(result, columns, "t")
    assert spec is not None
    assert len(spec["data"]["values"]) == MOST_BARS
    assert spec["title"] == f"t (the first {MOST_BARS} of 200)"


@pytest.mark.parametrize("width", [80, 40, 20])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_bars_fit_the_terminal(width: int, ascii_only: bool, catalog: Catalog) -> None:
    rows = [("日本の長い名前の会社 " * 3, 12345), ("\x1b[31mred", -400), (None, 0), ("ü" * 50, 99999.5)]
    result, columns = made("SELECT status, SUM(total_amount) FROM orders GROUP BY 1", rows, catalog)
    lines = bar_lines(result, columns, width, ascii_only=ascii_only)
    assert len(lines) == 5
    assert all(_width(line) <= width for line in lines), lines
    assert not any("\x1b" in line for line in lines)
    assert "99,999.50" in lines[4]


def test_bars_grow_with_their_numbers_and_to_the_left_below_zero(catalog: Catalog) -> None:
    result, columns = made(
        "SELECT status, COUNT(*) FROM orders GROUP BY 1", [("a", 8), ("b", 4), ("c", -8)], catalog
    )
    shown = [line[3:-3] for line in bar_lines(result, columns, 40, ascii_only=True)[1:]]
    longest, half, below = (line.count("#") for line in shown)
    assert abs(longest - 2 * half) <= 1
    assert abs(longest - below) <= 1
    assert shown[2].rstrip().endswith("#")
    assert len(shown[2].rstrip()) <= shown[0].index("#")


@pytest.mark.parametrize(
    ("meaning", "unit", "value", "text"),
    [
        ("money", "$", 1234.5, "$1,234.50"),
        ("money", "CHF", -2, "-CHF 2.00"),
        ("percent", "", 12.345, "12.3 %"),
        ("ratio", "", 0.125, "12.5 %"),
        ("identifier", "", 12345, "12345"),
        ("year", "", 2025, "2025"),
        ("number", "", 1234567.891, "1,234,567.89"),
        ("number", "", float("nan"), None),
        ("month", "", "2025-11", "Nov 2025"),
        ("month", "", "2025-13", None),
        ("text", "", "x", None),
    ],
)
def test_figures_are_written_as_they_are_meant(meaning: Any, unit: str, value: Any, text: str | None) -> None:
    assert figure(value, OutputColumn("c", "c", meaning, "measure", unit)) == text


def test_rates_below_one_are_shares_and_above_are_not(catalog: Catalog) -> None:
    sql = "SELECT name, credit_rate FROM customers"
    assert made(sql, [("a", 0.2), ("b", 0.9)], catalog)[1][1].meaning == "ratio"
    assert made(sql, [("a", 2.2), ("b", 0.9)], catalog)[1][1].meaning == "number"
