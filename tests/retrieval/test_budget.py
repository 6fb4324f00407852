"""What of a ranking the model is shown."""

from __future__ import annotations

from sqlgen.retrieval.budget import Found, without_far
from sqlgen.types import Table


def ranked(*scores: float) -> list[Found]:
    return [Found(Table(f"t{n}", ()), score, "", {}) for n, score in enumerate(scores)]


def names(found: list[Found]) -> list[str]:
    return [f.table.name for f in found]


def test_three_tables_come_however_far_behind() -> None:
    assert names(without_far(ranked(1.0, 0.1, 0.05, 0.04))) == ["t0", "t1", "t2"]


def test_more_come_while_they_score_nearly_as_well() -> None:
    assert names(without_far(ranked(1.0, 0.9, 0.8, 0.75, 0.7, 0.69))) == ["t0", "t1", "t2", "t3", "t4"]


def test_nothing_found_is_nothing_shown() -> None:
    assert without_far([]) == []
