"""Families of questions about time, ranks and comparisons, by name with their weights."""

from __future__ import annotations

from collections.abc import Callable

from sqlgen.training.synthesis.durations import ages, durations, firsts_and_lasts, inactive
from sqlgen.training.synthesis.timelines import periods, time_buckets, two_periods
from sqlgen.training.synthesis.windows import first_of_each, over_time, ranked, shares_within
from sqlgen.training.synthesis.writer import Piece, Writer

__all__ = ["ANALYTICS"]

ANALYTICS: dict[str, tuple[float, Callable[[Writer], tuple[str, list[Piece]]]]] = {
    "time buckets": (3.0, time_buckets),
    "periods": (2.6, periods),
    "two periods": (1.4, two_periods),
    "durations": (1.4, durations),
    "ages": (0.8, ages),
    "first of each": (2.2, first_of_each),
    "ranked": (1.4, ranked),
    "over time": (2.4, over_time),
    "shares within": (1.0, shares_within),
    "firsts and lasts": (1.8, firsts_and_lasts),
    "inactive": (1.0, inactive),
}
