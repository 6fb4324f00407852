"""What a cascade costs and brings: accuracy and the share of questions that reach the bigger model, by threshold.

``python -m sqlgen.eval.cascade SUITE FIRST BIGGER`` asks every question of both models once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlgen.eval.report import Outcome
from sqlgen.eval.runner import run_suite
from sqlgen.eval.suite import load_suite
from sqlgen.generation import load_generator

__all__ = ["Point", "cost_curve", "main"]

THRESHOLDS = tuple(step / 20 for step in range(21))


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold: the share asked of the bigger model, execution accuracy, and the mean wall time in ms."""

    threshold: float
    asked: float
    accuracy: float
    latency_ms: float


def cost_curve(
    first: Sequence[Outcome], bigger: Sequence[Outcome], thresholds: Sequence[float] = THRESHOLDS
) -> list[Point]:
    """The points of a cascade whose models answered the same questions alone.

    A question that goes on costs the time of both. Raises ValueError when the questions differ.
    """
    if [o.id for o in first] != [o.id for o in bigger] or not first:
        raise ValueError("both models must have answered the same questions")
    points = []
    for threshold in thresholds:
        goes_on = [o.status != "answered" or o.confidence < threshold for o in first]
        right = [b.correct if on else a.correct for a, b, on in zip(first, bigger, goes_on, strict=True)]
        spent = [a.latency_ms + on * b.latency_ms for a, b, on in zip(first, bigger, goes_on, strict=True)]
        count = len(first)
        points.append(Point(threshold, sum(goes_on) / count, sum(right) / count, sum(spent) / count))
    return points


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON line for each threshold."""
    parser = argparse.ArgumentParser(prog="python -m sqlgen.eval.cascade", description=__doc__)
    parser.add_argument("suite")
    parser.add_argument("first")
    parser.add_argument("bigger")
    parser.add_argument("--limit", type=int)
    options = parser.parse_args(arguments)
    suite = load_suite(options.suite)
    first, bigger = (
        run_suite(suite, generator=load_generator(name), limit=options.limit).outcomes
        for name in (options.first, options.bigger)
    )
    for p in cost_curve(first, bigger):
        print(
            json.dumps(
                {
                    "threshold": p.threshold,
                    "asked_bigger": round(p.asked, 4),
                    "execution_accuracy": round(p.accuracy, 4),
                    "mean_ms": round(p.latency_ms, 1),
                }
            )
        )


if __name__ == "__main__":
    main()
