"""The one question that splits two readings which look equally right and find different things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlgen.errors import LimitReached, QueryFailed
from sqlgen.types import Alternative, Catalog, Limits, Result

if TYPE_CHECKING:
    from sqlgen.pipeline.choose import Allowed, Contest

__all__ = ["alternatives"]

# Two readings are equally right when the model holds neither for three times as likely as the other.
_NEAR = 1.1
_RIVAL_S = 2.0


def alternatives(
    contest: Contest,
    chosen: Allowed,
    result: Result,
    allowed: Sequence[Allowed],
    limits: Limits,
    catalog: Catalog,
) -> tuple[str, tuple[Alternative, ...]]:
    """The question to ask, and the two answers, ``chosen`` first; "" and nothing where no other reading is as good.

    Only what a person can decide in one word is asked: which of two columns, or each row against each different one.
    """
    from sqlgen.execution.compare import results_equal
    from sqlgen.sql.difference import one_difference
    from sqlgen.sql.parse import Unreadable

    mine = chosen.written or chosen.candidate.sql
    for rival in allowed:
        theirs = rival.written or rival.candidate.sql
        if theirs == mine or abs(rival.candidate.logprob - chosen.candidate.logprob) > _NEAR:
            continue
        try:
            pair = one_difference(mine, theirs, catalog, catalog.dialect)
            if pair is None:
                continue
            timeout_s = min(limits.timeout_s, _RIVAL_S)
            other = contest.run_again(rival.query, replace(limits, timeout_s=timeout_s))
        except (Unreadable, QueryFailed, LimitReached):
            continue
        if results_equal(result, other):
            continue
        labels = _labels(pair)
        return (
            f"{labels[0]} or {labels[1]}?",
            (Alternative(labels[0], mine, result), Alternative(labels[1], theirs, other)),
        )
    return "", ()


def _labels(pair: tuple[str, str]) -> tuple[str, str]:
    from sqlgen.catalog import natural_name
    from sqlgen.sql.difference import EACH, EACH_DIFFERENT

    spoken = {EACH: "each row", EACH_DIFFERENT: "each different value"}
    if pair[0] in spoken:
        return spoken[pair[0]], spoken[pair[1]]
    names = [natural_name(origin.rpartition(".")[2]) for origin in pair]
    if names[0] == names[1]:
        names = [
            f"{natural_name(origin.rpartition('.')[0].rpartition('.')[2])} {name}"
            for origin, name in zip(pair, names, strict=True)
        ]
    return names[0], names[1]
