"""The one definition of equal answers: properties, and cases by hand."""

from __future__ import annotations

import datetime as dt
import random
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlgen.execution.compare import results_equal
from sqlgen.types import Result, ResultColumn


def table(*rows: tuple[Any, ...], width: int | None = None, truncated: bool = False) -> Result:
    width = len(rows[0]) if width is None else width
    return Result(tuple(ResultColumn(f"c{i}") for i in range(width)), rows, truncated)


NOON = dt.datetime(2024, 1, 2, 12, 0)

EQUAL = [
    (1, 1.0),
    (1, Decimal("1.000")),
    (True, 1),
    (0.1 + 0.2, 0.3),
    (0.3, Decimal("0.3")),
    (1e-17, 0),
    (1 / 3, Decimal("0.33333333")),
    (10**18, Decimal(10**18)),
    (float("nan"), float("nan")),
    (float("nan"), Decimal("NaN")),
    (float("inf"), Decimal("Infinity")),
    (2**60, float(2**60)),
    (0.0, -0.0),
    (dt.date(2024, 1, 2), "2024-01-02"),
    (dt.date(2024, 1, 2), dt.datetime(2024, 1, 2)),
    (dt.date(2024, 1, 2), "2024-01-02 00:00:00"),
    (NOON, "2024-01-02 12:00:00"),
    (NOON, "2024-01-02T12:00"),
    (NOON, "2024-01-02 12:00:00.000"),
    (NOON.replace(tzinfo=dt.UTC), "2024-01-02 14:00:00+02"),
    (NOON.replace(tzinfo=dt.UTC), NOON.astimezone(dt.timezone(dt.timedelta(hours=-5)))),
    (dt.time(10, 11, 12), "10:11:12"),
    (dt.time(10, 11, 12), dt.timedelta(hours=10, minutes=11, seconds=12)),
    (b"ab", bytearray(b"ab")),
    ([1, 2.0], [1.0, 2]),
    ({"a": 1, "b": 2}, {"b": 2.0, "a": True}),
    (None, None),
    ("", ""),
]
DIFFERENT = [
    (1, "1"),
    (1, 2),
    (1_000_000_000, 1_000_000_001),
    (1_000_000.0, 1_000_001.0),
    (0.5, 0.50001),
    (1, None),
    (0, None),
    ("", None),
    (0, ""),
    (float("nan"), None),
    (float("inf"), float("-inf")),
    (1e300, float("inf")),
    ("a", "A"),
    ("a", "a "),
    (b"a", "a"),
    (dt.date(2024, 1, 2), "2024-01-03"),
    (dt.date(2024, 1, 2), "2024-1-2"),
    (NOON, dt.date(2024, 1, 2)),
    (NOON, "2024-01-02 12:00:01"),
    (dt.date(2024, 1, 2), 20240102),
    (dt.time(10, 11, 12), "10:11"),
    ([1, 2], [2, 1]),
    ({"a": 1}, {"a": 2}),
    ("2024-13-45 99:99:99", dt.date(2024, 1, 1)),
]


@pytest.mark.parametrize(("a", "b"), EQUAL)
@pytest.mark.parametrize("ordered", [False, True])
def test_values_that_are_equal(a: Any, b: Any, ordered: bool) -> None:
    assert results_equal(table((a,)), table((b,)), ordered=ordered)
    assert results_equal(table((b,)), table((a,)), ordered=ordered)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
@pytest.mark.parametrize("ordered", [False, True])
def test_values_that_differ(a: Any, b: Any, ordered: bool) -> None:
    assert not results_equal(table((a,)), table((b,)), ordered=ordered)
    assert not results_equal(table((b,)), table((a,)), ordered=ordered)


def test_duplicates_count() -> None:
    assert results_equal(table((1,), (1,), (2,)), table((2,), (1,), (1,)))
    assert not results_equal(table((1,), (1,), (2,)), table((1,), (2,), (2,)))
    assert not results_equal(table((1,), (1,)), table((1,)))


def test_order_counts_only_when_asked_for() -> None:
    forth, back = table((1, "a"), (2, "b")), table((2, "b"), (1, "a"))
    assert results_equal(forth, back)
    assert not results_equal(forth, back, ordered=True)
    assert results_equal(forth, table(("a", 1), ("b", 2)), ordered=True)


def test_columns_move_as_wholes() -> None:
    assert results_equal(table((1, 2), (3, 4)), table((2, 1), (4, 3)))
    # each column holds the right values, but the rows pair them wrongly
    assert not results_equal(table((1, 2), (3, 4)), table((1, 4), (3, 2)))
    assert not results_equal(table((1, 1), (2, 2)), table((1, 2), (2, 1)))


def test_duplicated_columns() -> None:
    assert results_equal(table((1, 1, 2), (5, 5, 6)), table((2, 1, 1), (6, 5, 5)))
    assert not results_equal(table((1, 1, 2), (5, 5, 6)), table((1, 2, 2), (5, 6, 6)))


def test_width_counts_even_without_rows() -> None:
    assert results_equal(table(width=2), table(width=2))
    assert not results_equal(table(width=2), table(width=1))
    assert not results_equal(table(width=1), table((None,)))
    assert not results_equal(table((1,)), table((1, 1)))


def test_a_cut_result_is_not_a_whole_one() -> None:
    assert not results_equal(table((1,)), table((1,), truncated=True))
    assert results_equal(table((1,), truncated=True), table((1,), truncated=True))


def test_noise_in_sums_does_not_reorder_rows() -> None:
    gold = table((0.1 + 0.2, "b"), (0.3, "a"))
    assert results_equal(gold, table((0.3, "b"), (0.1 + 0.2, "a")))


def test_dense_numbers_do_not_all_become_one() -> None:
    steps = [1.0 + i * 5e-7 for i in range(100)]
    gold = table(*((v,) for v in steps))
    assert results_equal(gold, table(*((v + 1e-9,) for v in reversed(steps))))
    assert not results_equal(gold, table(*((v,) for v in [*steps[:-9], *steps[:9]])))
    assert not results_equal(gold, table(*((v,) for v in [*steps[:-9], *steps[:9]])), ordered=True)


def test_the_tolerance_can_be_chosen() -> None:
    assert not results_equal(table((3.3333,)), table((10 / 3,)))
    assert results_equal(table((3.3333,)), table((10 / 3,)), tolerance=1e-4)


def test_columns_that_only_their_rows_tell_apart() -> None:
    # every column holds the same values; a search over 12! orders would not end
    shuffled = random.Random(1)
    columns = []
    for _ in range(12):
        column = [0] * 30 + [1] * 30
        shuffled.shuffle(column)
        columns.append(column)
    gold = table(*zip(*columns, strict=True))
    moved = columns[:]
    shuffled.shuffle(moved)
    rows = list(zip(*moved, strict=True))
    shuffled.shuffle(rows)
    started = time.perf_counter()
    assert results_equal(gold, table(*rows))
    first, second = rows[0], rows[1]
    broken = [(1 - first[0], *first[1:]), (1 - second[0], *second[1:]), *rows[2:]]
    assert not results_equal(gold, table(*broken))
    assert time.perf_counter() - started < 5


def test_a_hundred_identical_columns_and_very_wide_rows() -> None:
    started = time.perf_counter()
    rows = [(i % 7,) * 100 for i in range(500)]
    assert results_equal(table(*rows), table(*reversed(rows)))
    wide = tuple(range(1500))
    assert results_equal(table(wide), table(tuple(reversed(wide))))
    assert time.perf_counter() - started < 5


def ten_thousand() -> tuple[Result, Result]:
    source = random.Random(7)
    rows = [
        (
            i,
            f"name {source.randrange(500)}",
            source.random() * 1000,
            f"2024-01-{i % 28 + 1:02}",
            source.choice("ab"),
        )
        for i in range(10_000)
    ]
    moved = [(d, b, c * (1 + 1e-12), e, a) for a, b, c, d, e in rows]
    source.shuffle(moved)
    return table(*rows), table(*moved)


def test_ten_thousand_rows_are_quick(benchmark: Any) -> None:
    gold, predicted = ten_thousand()
    started = time.perf_counter()
    assert benchmark.pedantic(results_equal, (gold, predicted), rounds=3)
    assert time.perf_counter() - started < 10


# -- properties ----------------------------------------------------------------------------------

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-2, 2, width=16),
    st.floats(),
    st.sampled_from([Decimal("1.5"), "1.5", "", "a", b"a", dt.date(2024, 1, 1), "2024-01-01", NOON]),
)


@st.composite
def results(draw: st.DrawFn) -> Result:
    width = draw(st.integers(1, 4))
    return table(*draw(st.lists(st.tuples(*[values] * width), max_size=8)), width=width)


@given(results(), st.booleans())
def test_reflexive(result: Result, ordered: bool) -> None:
    assert results_equal(result, result, ordered=ordered)


@given(results(), results(), st.booleans())
def test_symmetric(a: Result, b: Result, ordered: bool) -> None:
    assert results_equal(a, b, ordered=ordered) == results_equal(b, a, ordered=ordered)


@given(results(), st.randoms(use_true_random=False))
def test_rows_and_columns_may_be_permuted(result: Result, source: random.Random) -> None:
    width = len(result.columns)
    order = source.sample(range(width), width)
    rows = [tuple(row[j] for j in order) for row in result.rows]
    assert results_equal(result, table(*rows, width=width), ordered=True)
    source.shuffle(rows)
    assert results_equal(result, table(*rows, width=width))


@given(results(), st.data())
def test_one_more_copy_of_a_row_is_another_answer(result: Result, data: st.DataObject) -> None:
    if not result.rows:
        return
    row = data.draw(st.sampled_from(result.rows))
    assert not results_equal(result, table(*result.rows, row))


@given(results(), st.data())
def test_a_changed_cell_is_another_answer(result: Result, data: st.DataObject) -> None:
    if not result.rows:
        return
    at = data.draw(st.integers(0, len(result.rows) - 1))
    column = data.draw(st.integers(0, len(result.columns) - 1))
    rows = [list(row) for row in result.rows]
    rows[at][column] = "something else"
    assert not results_equal(result, table(*map(tuple, rows)))


@given(results(), results())
def test_ordered_equality_implies_the_other(a: Result, b: Result) -> None:
    if results_equal(a, b, ordered=True):
        assert results_equal(a, b)
