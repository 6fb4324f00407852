"""Cells and rows as text, whatever they hold."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sqlgen.cli.present import (
    break_lines,
    cell_text,
    csv_text,
    json_text,
    markdown_text,
    one_line,
    plain_table,
    safe_text,
)
from sqlgen.export import json_cell

CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(),
    st.binary(max_size=50),
    st.text(st.characters()),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
    st.lists(st.integers(), max_size=3),
)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
@example([(None, "\r0")])
@example([("a\r\nb", "c\n")])
def test_any_cell_can_be_printed_in_every_format(rows: list[tuple[Any, Any]]) -> None:
    names = ["a", "b\x1b"]
    json.loads(json_text([[json_cell(cell) for cell in row] for row in rows]))
    for text in (csv_text(names, rows), markdown_text(names, rows), plain_table(names, rows)):
        assert "\x1b" not in text
        text.encode("utf-8")
    assert len(plain_table(names, rows).splitlines()) == 2 + len(rows)
    assert len(markdown_text(names, rows).splitlines()) == 2 + len(rows)
    assert len(list(csv.reader(io.StringIO(csv_text(names, rows), newline="")))) == 1 + len(rows)


@given(st.text(st.characters()))
def test_safe_text_is_printable_on_one_line(text: str) -> None:
    for safe in (safe_text(text), one_line(text)):
        assert len(safe.splitlines()) <= 1
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in safe)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (decimal.Decimal("10.00"), 10.0),
        (decimal.Decimal("7"), 7),
        (decimal.Decimal("1E+3"), 1000),
        (decimal.Decimal("12345678901234567890"), 12345678901234567890),
        (decimal.Decimal("NaN"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (b"\x00\xff", "0x00ff"),
        (datetime.datetime(2025, 1, 2, 3, 4), "2025-01-02T03:04:00"),
        (datetime.time(3, 4), "03:04:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": decimal.Decimal("1.5"), 2: [b"x"]}, {"a": 1.5, "2": ["0x78"]}),
        (True, True),
        (2**70, 2**70),
    ],
)
def test_json_cells(value: Any, expected: Any) -> None:
    got = json_cell(value)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("=SUM(A1)", True), ("@cmd", True), ("+1+2", True), ("-2+3", True), ("\t=1", True),
        ("-5", False), ("+3.5", False), ("plain", False), ("", False),
    ],
)  # fmt: skip
def test_csv_guards_formulas(text: str, guarded: bool) -> None:
    cell = next(csv.reader(io.StringIO(csv_text(["a"], [[text]]).split("\n", 1)[1])), [""])[0]
    assert cell == ("'" + text if guarded else text)


def test_wide_characters_are_aligned() -> None:
    lines = plain_table(["name", "n"], [["東京", 1], ["Ann", 22]]).splitlines()
    assert lines[2].startswith("東京   1") or lines[2] == "東京   1"
    assert lines[3] == "Ann   22"


def test_long_bytes_are_cut_and_marked() -> None:
    assert cell_text(b"x" * 100).endswith("… (100 bytes)")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT a FROM t WHERE b = ' WHERE ''x'' FROM ' AND \"GROUP BY\" = (SELECT 1 FROM u) LIMIT 5",
        "SELECT a FROM t NATURAL LEFT JOIN u UNION ALL SELECT b FROM v",
        "SELECT `x FROM` FROM t",
    ],
)
def test_breaking_lines_changes_nothing_but_spaces(sql: str) -> None:
    broken = break_lines(sql)
    assert broken.replace("\n", " ") == sql
    assert break_lines(broken.replace("\n", " ")) == broken


def test_breaking_lines_keeps_quotes_and_parentheses_whole() -> None:
    sql = (
        "SELECT a FROM t LEFT OUTER JOIN u ON t.x = u.x WHERE b IN (SELECT c FROM d WHERE e) AND f = ' FROM '"
    )
    assert break_lines(sql).splitlines() == [
        "SELECT a",
        "FROM t",
        "LEFT OUTER JOIN u ON t.x = u.x",
        "WHERE b IN (SELECT c FROM d WHERE e) AND f = ' FROM '",
    ]
