"""Figures from outcomes: shares with their intervals, percentiles, and why an answer was wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlgen.execution.compare import results_equal
from sqlgen.types import Result

__all__ = ["calibration", "percentile", "risk_coverage", "share", "why_wrong", "wilson"]


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


def calibration(answers: Sequence[tuple[float, bool]], bins: int = 10) -> dict[str, Any]:
    """How well confidences (0 to 1) match the share of right answers: expected calibration error and bins.

    Bins are of equal width; the error is the mean gap between confidence and accuracy, weighted by their
    counts (Naeini et al. 2015). None without answers.

    >>> calibration([(0.9, True), (0.9, True), (0.9, True), (0.9, False)])["ece"]
    0.15
    """
    filled: list[dict[str, Any]] = []
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [a for a in answers if low <= a[0] < high or (number == bins - 1 and a[0] >= high)]
        if not inside:
            continue
        said = sum(c for c, _ in inside) / len(inside)
        right = sum(ok for _, ok in inside) / len(inside)
        error += abs(said - right) * len(inside) / len(answers)
        filled.append(
            {
                "from": round(low, 3),
                "to": round(high, 3),
                "count": len(inside),
                "confidence": round(said, 4),
                "accuracy": round(right, 4),
            }
        )
    return {"ece": round(error, 4) if answers else None, "bins": filled}


def risk_coverage(answers: Sequence[tuple[float, bool]], points: int = 20) -> dict[str, Any]:
    """Accuracy over the most confident answers, from a few to all, and the area under the risk's curve.

    Ties in confidence are counted as a whole would be: with their mean accuracy. ``accuracy_at_80`` is
    the accuracy of the most confident 80 %.

    >>> curve = risk_coverage([(0.9, True), (0.8, True), (0.7, True), (0.6, True), (0.2, False)])
    >>> curve["accuracy_at_80"], curve["curve"][-1]["accuracy"]
    (1.0, 0.8)
    """
    if not answers:
        return {"accuracy_at_80": None, "aurc": None, "curve": []}
    by_confidence: dict[float, list[bool]] = {}
    for confidence, ok in answers:
        by_confidence.setdefault(confidence, []).append(ok)
    right = [0.0]
    thresholds: list[float] = []
    for confidence in sorted(by_confidence, reverse=True):
        mean = sum(by_confidence[confidence]) / len(by_confidence[confidence])
        for _ in by_confidence[confidence]:
            right.append(right[-1] + mean)
            thresholds.append(confidence)
    count = len(answers)

    def accuracy(taken: int) -> float:
        return right[taken] / taken

    taken = sorted({max(1, round(count * k / points)) for k in range(1, points + 1)})
    return {
        "accuracy_at_80": round(accuracy(max(1, round(0.8 * count))), 6),
        "aurc": round(sum(1 - accuracy(n) for n in range(1, count + 1)) / count, 6),
        "curve": [
            {
                "coverage": round(n / count, 4),
                "accuracy": round(accuracy(n), 4),
                "threshold": round(thresholds[n - 1], 4),
            }
            for n in taken
        ],
    }


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
