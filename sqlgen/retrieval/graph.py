"""The foreign-key graph: which tables join which, and by what way."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from sqlgen.types import Catalog

__all__ = ["JoinGraph"]

_DECLARED = 1.0
_INFERRED = 1.3
_SCORE_DISCOUNT = 0.5


class JoinGraph:
    """Undirected, over table numbers (positions in ``catalog.tables``), inferred keys included."""

    def __init__(self, catalog: Catalog) -> None:
        number = {table.key: i for i, table in enumerate(catalog.tables)}
        self.neighbours: list[dict[int, float]] = [{} for _ in catalog.tables]
        for i, table in enumerate(catalog.tables):
            for key in table.foreign_keys:
                j = number.get(key.target)
                if j is None or i == j:
                    continue
                cost = _INFERRED if key.inferred else _DECLARED
                for a, b in ((i, j), (j, i)):
                    self.neighbours[a][b] = min(cost, self.neighbours[a].get(b, cost))

    def path(
        self, start: int, goals: set[int], scores: Mapping[int, float], *, max_edges: int = 3
    ) -> tuple[int, ...]:
        """The cheapest way from ``start`` to any of ``goals``, both ends included; () when too far.

        Every join costs one, a little more when inferred; a table that the question itself speaks
        for (``scores``, from 0 to 1) costs less to pass through.
        """
        best = {(start, 0): 0.0}
        queue: list[tuple[float, int, tuple[int, ...]]] = [(0.0, 0, (start,))]
        while queue:
            cost, edges, way = heapq.heappop(queue)
            here = way[-1]
            if here in goals:
                return way
            if edges == max_edges:
                continue
            for there, step in self.neighbours[here].items():
                if there in way:
                    continue
                total = cost + step - _SCORE_DISCOUNT * min(1.0, scores.get(there, 0.0))
                if total < best.get((there, edges + 1), float("inf")):
                    best[(there, edges + 1)] = total
                    heapq.heappush(queue, (total, edges + 1, (*way, there)))
        return ()

    def connect(
        self, seeds: Sequence[int], scores: Mapping[int, float], *, max_edges: int = 3
    ) -> list[tuple[int, ...]]:
        """The ways that join ``seeds`` (best first) together, each with both its ends.

        A Steiner tree grown seed by seed: each is tied to what is already connected by its cheapest
        way. Seeds that no short way reaches stay apart.
        """
        ways: list[tuple[int, ...]] = []
        connected = set(seeds[:1])
        for seed in seeds[1:]:
            if seed in connected:
                continue
            way = self.path(seed, connected, scores, max_edges=max_edges)
            if way:
                ways.append(way)
            connected.update(way or (seed,))
        return ways
