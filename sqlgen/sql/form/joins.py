"""How the tables of a form are connected: along the foreign keys, each at most twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlgen.sql.form.words import FormToken
from sqlgen.types import RetrievedContext

__all__ = ["Place", "Step", "connect", "connect_twice", "foreign_keys", "needed_tables"]

Place: TypeAlias = tuple[int, int]
"""A column: table and position, counted as in the context."""
Pair: TypeAlias = tuple[int, int]
"""Positions of two columns that are equal."""


@dataclass(frozen=True, slots=True)
class Step:
    """One table of a FROM, and the equalities (its column, the other's) that join it to an earlier one.

    ``second`` and ``other_second`` say whether the second instance of a table is meant; ``other``
    is None for the first table and where nothing joins.
    """

    table: int
    other: int | None
    pairs: tuple[Pair, ...] = ()
    second: bool = False
    other_second: bool = False


ForeignKey: TypeAlias = tuple[int, int, tuple[Pair, ...], bool]


def foreign_keys(context: RetrievedContext) -> list[ForeignKey]:
    """(owner, target, ((owner column, target column), ...), inferred), in an order free of table order."""
    places = {s.table.key: i for i, s in enumerate(context.tables)}
    names = [{c.name: j for j, c in enumerate(s.table.columns)} for s in context.tables]
    edges: list[tuple[tuple[bool, str, str, tuple[str, ...]], ForeignKey]] = []
    for i, piece in enumerate(context.tables):
        for key in piece.table.foreign_keys:
            t = places.get(key.target)
            if t is None or t == i:
                continue
            pairs = list(zip(key.columns, key.target_columns, strict=True))
            if all(a in names[i] and b in names[t] for a, b in pairs):
                columns = tuple((names[i][a], names[t][b]) for a, b in pairs)
                rank = (key.inferred, piece.table.key, key.target, key.columns)
                edges.append((rank, (i, t, columns, key.inferred)))
    return [edge for _, edge in sorted(edges, key=lambda e: e[0])]


def connect(
    tables: Sequence[int],
    context: RetrievedContext,
    via: Iterable[Place] = (),
    on: Iterable[tuple[Place, Place]] = (),
) -> list[Step]:
    """The steps of a tree over ``tables``.

    Each next table is reached over the shortest path of foreign keys from those already in; the
    equalities of ``on`` count as keys and come first.
    """
    preferred = set(via)
    edges = foreign_keys(context)
    edges.sort(key=lambda e: not any((e[0], a) in preferred for a, _ in e[2]))
    said: list[ForeignKey] = [(a[0], b[0], ((a[1], b[1]),), False) for a, b in on]
    steps: list[Step] = []
    inside: list[int] = []
    waiting = list(dict.fromkeys(tables))
    while waiting:
        if not inside:
            inside.append(waiting[0])
            steps.append(Step(waiting.pop(0), None))
            continue
        found, came = _reach(inside, waiting, said)
        if found is None:
            found, came = _reach(inside, waiting, [*said, *edges])
        if found is None:
            steps.append(
                next((s for t in waiting if (s := _namesake(t, inside, context))), Step(waiting[0], None))
            )
            inside.append(steps[-1].table)
            waiting.remove(steps[-1].table)
            continue
        path = []
        here = found
        while (hop := came[here]) is not None:
            path.append((here, hop[0], hop[1]))
            here = hop[0]
        for table, other, pairs in reversed(path):
            steps.append(Step(table, other, pairs))
            inside.append(table)
            if table in waiting:
                waiting.remove(table)
    return steps


def _reach(
    inside: Sequence[int], waiting: Sequence[int], edges: Sequence[ForeignKey]
) -> tuple[int | None, dict[int, tuple[int, tuple[Pair, ...]] | None]]:
    """The first of ``waiting`` that a shortest path reaches, and from where each table was come to."""
    came: dict[int, tuple[int, tuple[Pair, ...]] | None] = dict.fromkeys(inside)
    frontier = list(inside)
    while frontier:
        following: list[int] = []
        for here in frontier:
            for owner, target, pairs, _ in edges:
                if owner == here and target not in came:
                    came[target] = (here, tuple((b, a) for a, b in pairs))
                    following.append(target)
                elif target == here and owner not in came:
                    came[owner] = (here, pairs)
                    following.append(owner)
        if found := [t for t in waiting if t in came]:
            return found[0], came
        frontier = following
    return None, came


def _namesake(table: int, inside: Sequence[int], context: RetrievedContext) -> Step | None:
    """Without a foreign key: a column of the same telling name and kind, if there is just one."""
    mine = {c.name.lower(): (j, c.kind) for j, c in enumerate(context.tables[table].table.columns)}
    for other in inside:
        shared = [
            (mine[c.name.lower()][0], j)
            for j, c in enumerate(context.tables[other].table.columns)
            if c.name.lower() in mine and mine[c.name.lower()][1] == c.kind and c.name.lower() not in _GENERIC
        ]
        telling = [p for p in shared if context.tables[other].table.columns[p[1]].name.lower().endswith("id")]
        if len(shared) == 1 or len(telling) == 1:
            return Step(table, other, tuple((telling or shared)[:1]))
    return None


_GENERIC = frozenset("id name type status date year description comment note notes code title".split())


def connect_twice(
    used: Sequence[int],
    seconds: Sequence[int],
    context: RetrievedContext,
    via: Sequence[Place] = (),
    other_via: Sequence[Place] = (),
    on: Sequence[tuple[Place, Place]] = (),
) -> list[Step]:
    """The steps of a tree over ``used`` and a second instance of each of ``seconds``.

    A second instance hangs on the foreign key that ``other_via`` names, else on the table's key to
    itself, else on the second of two keys that one table has to it.
    """
    links = {table: _second_link(table, used, context, other_via) for table in seconds}
    first = list(dict.fromkeys([*used, *(link[0] for link in links.values() if link)]))
    steps = connect(first, context, via, on)
    for table, link in links.items():
        if link is None:
            steps.append(Step(table, None, second=True))
            continue
        owner, keys = link
        taken = {
            frozenset(s.pairs if s.table == owner else ((b, a) for a, b in s.pairs))
            for s in steps
            if {s.table, s.other} == {owner, table}
        }
        pairs = next((k for k in keys if frozenset(k) not in taken), keys[0])
        steps.append(Step(table, owner, tuple((b, a) for a, b in pairs), second=True))
    return steps


def _second_link(
    table: int, used: Sequence[int], context: RetrievedContext, other_via: Sequence[Place]
) -> tuple[int, list[tuple[Pair, ...]]] | None:
    """(the table whose key leads to the second instance of ``table``, the keys to choose from)."""
    own = _own_keys(table, context)
    by_owner: dict[int, list[tuple[Pair, ...]]] = {}
    for owner, target, pairs, _ in foreign_keys(context):
        if target == table:
            by_owner.setdefault(owner, []).append(pairs)
    for place in other_via:
        if place[0] == table:
            return table, [next((k for k in own if k[0][0] == place[1]), ((place[1], place[1]),))]
        for pairs in by_owner.get(place[0], ()):
            if pairs[0][0] == place[1]:
                return place[0], [pairs]
    if own:
        return table, own
    double = [o for o, keys in by_owner.items() if len(keys) > 1]
    nearest = next((o for o in double if o in used), double[0] if double else None)
    return None if nearest is None else (nearest, by_owner[nearest])


def _own_keys(table: int, context: RetrievedContext) -> list[tuple[Pair, ...]]:
    """The foreign keys of a table to itself, as ((key column, target column), ...)."""
    me = context.tables[table].table
    names = {c.name: j for j, c in enumerate(me.columns)}
    return [
        tuple((names[a], names[b]) for a, b in zip(key.columns, key.target_columns, strict=True))
        for key in sorted(me.foreign_keys, key=lambda k: (k.inferred, k.columns))
        if key.target == me.key and all(n in names for n in (*key.columns, *key.target_columns))
    ]


def needed_tables(form: Iterable[FormToken], context: RetrievedContext) -> set[int]:
    """The tables that a form names and those on the way between them.

    >>> needed_tables(["select", "count", "*", "from", ("t", 0)], RetrievedContext(()))
    {0}
    """
    named: dict[int, None] = {}
    seconds: dict[int, None] = {}
    before: FormToken = ""
    for token in form:
        if isinstance(token, tuple) and token[0] in "tc":
            named[token[1]] = None
            if before == "other":
                seconds[token[1]] = None
        before = token
    return {step.table for step in connect_twice(list(named), list(seconds), context)}
