"""Cut what was found to the number of word pieces that the model reads, never inside an item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlgen.catalog.naming import natural_name
from sqlgen.types import ForeignKey, RetrievedContext, Table, TableSlice, ValueMatch

__all__ = ["Costs", "Found", "cut_to_budget", "fits_whole", "without_far"]

_MAX_CACHED = 200_000
_CORE_HITS = 8
_GOOD_SHARE = 0.3
_ALWAYS = 3
_NEAR_SHARE = 0.7
_Item = TypeVar("_Item")


class Costs:
    """Word pieces of items: a name is its pieces and one marker. Remembers what it counted."""

    def __init__(self, count_tokens: Callable[[str], int]) -> None:
        self.count_tokens = count_tokens
        self._counted: dict[str, int] = {}

    def text(self, text: str) -> int:
        """Pieces of a value and its marker."""
        cost = self._counted.get(text)
        if cost is None:
            if len(self._counted) > _MAX_CACHED:
                self._counted.clear()
            cost = self._counted[text] = self.count_tokens(text) + 1
        return cost

    def name(self, identifier: str) -> int:
        """Pieces of an identifier as people would say it, and its marker."""
        return self.text(natural_name(identifier))


@dataclass(frozen=True, slots=True)
class Found:
    """A table with its score, reason, and the scores of its columns by name."""

    table: Table
    score: float
    reason: str
    columns: Mapping[str, float]


def fits_whole(tables: Sequence[Table], costs: Costs, budget: int) -> bool:
    """True when all tables with all columns cost at most ``budget``."""
    if 2 * sum(1 + len(table.columns) for table in tables) > budget:
        return False
    return sum(costs.name(t.name) + sum(costs.name(c.name) for c in t.columns) for t in tables) <= budget


def _slice(found: Found, kept: Mapping[str, set[str]]) -> TableSlice:
    table = found.table
    columns = tuple(c for c in table.columns if c.name in kept[table.key])

    def stays(key: ForeignKey) -> bool:
        there = kept.get(key.target, set())
        return set(key.columns) <= kept[table.key] and set(key.target_columns) <= there

    keys = tuple(key for key in table.foreign_keys if stays(key))
    if len(columns) != len(table.columns) or len(keys) != len(table.foreign_keys):
        table = replace(table, columns=columns, foreign_keys=keys)
    return TableSlice(table, found.score, found.reason)


def _core(found: Found, others: Mapping[str, Table], matched: set[tuple[str, str]]) -> list[str]:
    """Columns that a table is of little use without: keys, join columns, what the question names."""
    table = found.table
    wanted = [c.name for c in table.columns if c.primary_key]
    for key in table.foreign_keys:
        if key.target in others and key.target != table.key:
            wanted += key.columns
    for other in others.values():
        if other.key != table.key:
            for key in other.foreign_keys:
                if key.target == table.key:
                    wanted += key.target_columns
    wanted += [c.name for c in table.columns if (table.key, c.name) in matched]
    wanted += sorted(found.columns, key=lambda name: -found.columns[name])[:_CORE_HITS]
    names = {c.name for c in table.columns}
    return [name for name in dict.fromkeys(wanted) if name in names]


def without_far(found: Sequence[Found]) -> list[Found]:
    """The best three tables of ``found`` (best first), and the others that score at least 0.7 of the best."""
    top = max((f.score for f in found), default=0.0)
    return [f for place, f in enumerate(found) if place < _ALWAYS or f.score >= _NEAR_SHARE * top]


def cut_to_budget(
    found: Sequence[Found],
    budget: int,
    costs: Costs,
    choose_values: Callable[[Mapping[str, set[str]]], Sequence[ValueMatch]],
) -> RetrievedContext:
    """Keep the most useful items of ``found`` (best table first) that cost at most ``budget``.

    First each good table with its keys, join columns and columns that the question names, then the
    other columns of the good tables, then the tables that scored far below the best.
    ``choose_values`` picks matches among kept columns, given as table key -> column names.
    """
    everything = {f.table.key: {c.name for c in f.table.columns} for f in found}
    matches = choose_values(everything)
    matched = {(m.table, m.column) for m in matches}
    # A value comes with its column, so its pieces are reserved with it.
    value_cost: dict[tuple[str, str], int] = {}
    for m in matches:
        value_cost[m.table, m.column] = value_cost.get((m.table, m.column), 0) + costs.text(m.value)
    kept: dict[str, set[str]] = {}
    left = budget

    def column_cost(table: Table, name: str) -> int:
        return costs.name(name) + value_cost.get((table.key, name), 0)

    def open_table(f: Found, core: Sequence[str]) -> int:
        """Add a table with what fits of its core; returns what it cost, 0 when nothing fits."""
        spent = costs.name(f.table.name)
        chosen = set()
        names = core or [c.name for c in f.table.columns[:1]]
        for name in names:
            cost = column_cost(f.table, name)
            if spent + cost <= left:
                chosen.add(name)
                spent += cost
        if spent > left or (f.table.columns and not chosen):
            return 0
        kept[f.table.key] = chosen
        return spent

    top = max((f.score for f in found), default=0.0)
    good = [f for f in found if f.score >= _GOOD_SHARE * top]
    poor = [f for f in found if f.score < _GOOD_SHARE * top]
    for some in (good, poor):
        others = {f.table.key: f.table for f in found if f.table.key in kept or f in some}
        for f in some:
            left -= open_table(f, _core(f, others, matched))
        for f in some:
            if f.table.key not in kept:
                continue
            chosen = kept[f.table.key]
            rest = [c.name for c in f.table.columns if c.name not in chosen]
            rest.sort(key=lambda name: -f.columns.get(name, 0.0))
            for name in rest:
                cost = column_cost(f.table, name)
                if cost <= left:
                    chosen.add(name)
                    left -= cost
    slices = tuple(_slice(f, kept) for f in found if f.table.key in kept)
    values, value_tokens = _values_that_fit(
        choose_values(kept),
        left + sum(value_cost.get((t, c), 0) for t, names in kept.items() for c in names),
        costs,
    )
    schema_tokens = sum(
        costs.name(s.table.name) + sum(costs.name(c.name) for c in s.table.columns) for s in slices
    )
    omitted = []
    for f in found:
        if f.table.key not in kept:
            omitted.append(f.table.key)
        else:
            lost = (c.name for c in f.table.columns if c.name not in kept[f.table.key])
            omitted += [f"{f.table.key}.{name}" for name in lost]
    return RetrievedContext(slices, values, token_count=schema_tokens + value_tokens, omitted=tuple(omitted))


def _values_that_fit(
    matches: Sequence[ValueMatch], left: int, costs: Costs
) -> tuple[tuple[ValueMatch, ...], int]:
    values = []
    spent = 0
    for match in matches:
        cost = costs.text(match.value)
        if spent + cost <= left:
            values.append(match)
            spent += cost
    return tuple(values), spent
