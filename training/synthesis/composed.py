"""Families of questions that put several constructs together, by name with their weights."""

from __future__ import annotations

from collections.abc import Callable

from sqlgen.training.synthesis.absent import missing_side, outer_joins, sets
from sqlgen.training.synthesis.brief import brief, talk
from sqlgen.training.synthesis.buckets import buckets
from sqlgen.training.synthesis.cells import distinct_counts, havings, missing, orderings, texts
from sqlgen.training.synthesis.nested import averages, ranks, versus
from sqlgen.training.synthesis.selves import hierarchies, pairs, two_roles
from sqlgen.training.synthesis.shares import (
    arithmetic_on_rows,
    counts_side_by_side,
    differences,
    rates,
    shares,
)
from sqlgen.training.synthesis.writer import Piece, Writer

__all__ = ["COMPOSED"]

Family = Callable[[Writer], tuple[str, list[Piece]]]


def _finished(family: Family) -> Family:
    """``family`` with the parentheses of its questions, which templates cannot hold, and all its tables."""

    def finished(w: Writer) -> tuple[str, list[Piece]]:
        text, form = family(w)
        # What subqueries read, and a table that meets itself, makes a question one of several tables.
        w.required |= {int(token[1]) for token in form if isinstance(token, tuple) and token[0] in "tc"}
        w.required |= {-1} if "other" in form else set()
        return text.replace("⟦", "(").replace("⟧", ")"), form

    return finished


COMPOSED: dict[str, tuple[float, Family]] = {
    name: (weight, _finished(family))
    for name, weight, family in (
        ("counts side by side", 1.0, counts_side_by_side),
        ("shares", 2.0, shares),
        ("rates", 0.6, rates),
        ("differences", 0.8, differences),
        ("row arithmetic", 0.8, arithmetic_on_rows),
        ("buckets", 1.0, buckets),
        ("averages", 2.0, averages),
        ("ranks", 1.6, ranks),
        ("versus", 0.8, versus),
        ("outer joins", 1.4, outer_joins),
        ("missing side", 1.4, missing_side),
        ("sets", 1.2, sets),
        ("hierarchies", 1.2, hierarchies),
        ("pairs", 0.5, pairs),
        ("two roles", 0.8, two_roles),
        ("missing", 1.2, missing),
        ("texts", 1.0, texts),
        ("distinct counts", 0.8, distinct_counts),
        ("havings", 1.0, havings),
        ("orderings", 0.8, orderings),
        ("brief", 2.0, brief),
        ("talk", 1.6, talk),
    )
}
