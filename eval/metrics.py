"""Figures from outcomes: shares with their intervals, percentiles, and why an answer was wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlgen.execution.compare import results_equal
from sqlgen.types import Result

__all__ = ["percentile", "share", "why_wrong", "wilson"]


def share(hits: int, count: int) -> float:
    """``hits / count`` to six places; 0.0 of nothing.

    >>> share(2, 3), share(0, 0)
    (0.666667, 0.0)
    """
    return round(hits / count, 6) if count else 0.0


def wilson(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share, 95 % by default; the whole range when nothing was counted.

    >>> wilson(60, 100)
    (0.502003, 0.690599)
    >>> wilson(0, 0)
    (0.0, 1.0)
    """
    if not count:
        return (0.0, 1.0)
    p, zz = hits / count, z * z
    middle = (p + zz / (2 * count)) / (1 + zz / count)
    half = z * math.sqrt(p * (1 - p) / count + zz / (4 * count * count)) / (1 + zz / count)
    return (round(max(0.0, middle - half), 6), round(min(1.0, middle + half), 6))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of ``values`` lie, interpolated; 0.0 of nothing.

    >>> percentile([10.0, 20.0, 30.0, 40.0], 50)
    25.0
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 3)


def why_wrong(gold: Result, predicted: Result, *, ordered: bool) -> str:
    """Why two results that are not equal differ, in words.

    >>> from sqlgen.types import ResultColumn
    >>> one = Result((ResultColumn("a"),), ((1,), (2,)))
    >>> why_wrong(one, Result((ResultColumn("a"),), ((1,),)), ordered=False)
    'missing rows'
    """
    if len(gold.columns) != len(predicted.columns):
        return "wrong columns"
    if gold.truncated or predicted.truncated:
        return "truncated"
    if ordered and results_equal(gold, predicted, ordered=False):
        return "wrong order"
    expected, got = _bag(gold), _bag(predicted)
    if set(expected) == set(got) and len(gold.rows) != len(predicted.rows):
        return "wrong duplicates"
    if expected < got:
        return "extra rows"
    if got < expected:
        return "missing rows"
    return "wrong rows"


def _bag(result: Result) -> Counter[tuple[str, ...]]:
    return Counter(tuple(sorted(_cell(value) for value in row)) for row in result.rows)


def _cell(value: Any) -> str:
    if isinstance(value, bool | int | float) and math.isfinite(value):
        return f"{float(value):.6g}"
    return str(value)
