"""Figures against values worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sqlgen.eval.metrics import percentile, share, why_wrong, wilson
from sqlgen.types import Result, ResultColumn


def result(*rows: tuple[Any, ...], width: int | None = None, truncated: bool = False) -> Result:
    width = len(rows[0]) if width is None else width
    return Result(tuple(ResultColumn(f"c{n}") for n in range(width)), rows, truncated)


def test_wilson_against_known_intervals() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(620, 1034) == pytest.approx((0.5694, 0.6290), abs=1e-3)


def test_percentiles() -> None:
    assert percentile([5.0], 95) == 5.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([3.0, 1.0], 95) == pytest.approx(2.9)
    assert percentile([], 50) == 0.0


def test_a_share_of_nothing_is_zero() -> None:
    assert share(0, 0) == 0.0
    assert share(1, 8) == 0.125


@pytest.mark.parametrize(
    ("gold", "predicted", "ordered", "reason"),
    [
        (result((1, 2)), result((1,)), False, "wrong columns"),
        (result((1,), (2,)), result((2,), (1,)), True, "wrong order"),
        (result((1,), (2,)), result((1,)), False, "missing rows"),
        (result((1,)), result((1,), (2,)), False, "extra rows"),
        (result((1,)), result((1,), (1,)), False, "wrong duplicates"),
        (result((1,), (1,), (2,)), result((1,), (2,)), False, "wrong duplicates"),
        (result((1,)), result((2,)), False, "wrong rows"),
        (result((1, "a")), result(("b", 1)), False, "wrong rows"),
        (result((1, "a"), (2, "b")), result(("a", 1)), False, "missing rows"),
        (result(width=1), result((1,)), False, "extra rows"),
        (result((1,)), result(width=1), False, "missing rows"),
        (result((1,)), result((1,), truncated=True), False, "truncated"),
    ],
)
def test_why_an_answer_is_wrong(gold: Result, predicted: Result, ordered: bool, reason: str) -> None:
    assert why_wrong(gold, predicted, ordered=ordered) == reason
