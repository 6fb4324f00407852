"""The second look at the best tables: boosted trees over what ranking found out about each of them.

The first ranking adds up; it cannot say "this table explains a word that none before it explains" or "the
best table of a schema that explains half of what another one does". The trees can. They are fitted by
``sqlgen.training.rerank`` to questions of training databases.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sqlgen.trees import Trees

if TYPE_CHECKING:
    from sqlgen.retrieval.ranking import CatalogView
    from sqlgen.retrieval.words import Term

__all__ = ["CANDIDATES", "FEATURES", "Evidence", "Reranker", "features_of", "load_reranker"]

CANDIDATES = 25


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the first ranking knows, by table and column numbers of ``view``.

    ``order`` and ``scores`` are its result; ``own`` the scores before neighbours and schemas shared theirs;
    ``fields`` the weight of the best field of a table that holds a word (by the word's position in ``terms``);
    ``names`` and ``columns`` which words the names of tables and columns hold; ``cells`` which words
    the cells of a table hold; ``rarity`` what each word is worth, all that was asked adding up to
    about 1; ``nearness`` how near a table is in meaning (0 to 1); ``schemas`` the share of the question that
    each schema explains; ``joined`` the neighbours of a table in the join tree of the best hits.
    """

    view: CatalogView
    terms: Sequence[Term]
    order: Sequence[int]
    scores: Mapping[int, float]
    own: Mapping[int, float]
    fields: Mapping[int, Mapping[int, float]]
    names: Mapping[int, set[int]]
    columns: Mapping[int, set[int]]
    cells: Mapping[int, set[int]]
    rarity: Sequence[float]
    nearness: Mapping[int, float]
    schemas: Mapping[str | None, float]
    joined: Mapping[int, Sequence[int]]


def features_of(evidence: Evidence, count: int = CANDIDATES) -> list[dict[str, float]]:
    """Of each of the best ``count`` tables what the trees see, under the names of ``FEATURES``."""
    view, rarity = evidence.view, evidence.rarity
    order = list(evidence.order[:count])
    if not order:
        return []
    place = {table: k for k, table in enumerate(order)}
    top = max(1e-9, evidence.scores[order[0]])
    best_own = max(1e-9, *(evidence.own.get(table, 0.0) for table in order))
    best_schema = max(1e-9, *evidence.schemas.values()) if evidence.schemas else 1.0
    schema_of = [view.tables[table].schema for table in order]
    namesakes = Counter(view.tables[table].name.lower() for table in order)
    # The weight that the best table of each schema gives a word.
    leading: dict[str | None, dict[int, float]] = defaultdict(dict)
    for table, schema in zip(order, schema_of, strict=True):
        best = leading[schema]
        for t, weight in evidence.fields.get(table, {}).items():
            if weight > best.get(t, 0.0):
                best[t] = weight
    whole_columns: dict[int, set[int]] = defaultdict(set)
    for number, held in evidence.columns.items():
        table = view.owner[number]
        if table in place and len(held) >= view.column_words(number):
            whole_columns[table] |= held
    ranked_schemas = sorted(set(schema_of), key=lambda name: -evidence.schemas.get(name, 0.0))
    rivals = {
        name: evidence.schemas.get(next((o for o in ranked_schemas if o != name), None), 0.0)
        for name in ranked_schemas
    }
    crowd = Counter(schema_of)
    schema_nearness: dict[str | None, float] = defaultdict(float)
    schema_names: dict[str | None, set[int]] = defaultdict(set)
    for table, schema in zip(order, schema_of, strict=True):
        schema_nearness[schema] = max(schema_nearness[schema], evidence.nearness.get(table, 0.0))
        schema_names[schema] |= evidence.names.get(table, set())
    last = max((term.end for term in evidence.terms), default=1) or 1
    covered: dict[str | None, dict[int, float]] = defaultdict(dict)
    schema_place: dict[str | None, int] = {}
    ahead: Counter[str | None] = Counter()
    rows = []
    for k, (table, schema) in enumerate(zip(order, schema_of, strict=True)):
        fields, named = evidence.fields.get(table, {}), evidence.names.get(table, set())
        before, lead = covered[schema], leading[schema]
        neighbours = view.graph.neighbours[table]
        nth = schema_place.setdefault(schema, len(schema_place))
        rows.append(
            {
                "score": evidence.scores[table],
                "score_share": evidence.scores[table] / top,
                "place": float(k),
                "own": evidence.own.get(table, 0.0),
                "own_share": evidence.own.get(table, 0.0) / best_own,
                "nearness": evidence.nearness.get(table, 0.0),
                "name_coverage": len(named) / view.table_words(table),
                "name_words": float(view.table_words(table)),
                "name_worth": sum(rarity[t] for t in named),
                "name_at": min((evidence.terms[t].start for t in named), default=last) / last,
                "columns_worth": sum(rarity[t] * w for t, w in fields.items() if t not in named),
                "whole_columns_worth": sum(rarity[t] for t in whole_columns.get(table, ())),
                "cells_worth": sum(rarity[t] for t in evidence.cells.get(table, ())),
                "led_worth": sum(rarity[t] * w for t, w in fields.items() if w >= lead[t]),
                "new_worth": sum(rarity[t] * max(0.0, w - before.get(t, 0.0)) for t, w in fields.items()),
                "new_name_worth": sum(
                    rarity[t] * max(0.0, fields.get(t, 0.0) - before.get(t, 0.0)) for t in named
                ),
                "schema_share": evidence.schemas.get(schema, best_schema) / best_schema,
                "schema_worth": evidence.schemas.get(schema, 1.0),
                "schema_margin": evidence.schemas.get(schema, 1.0) - rivals[schema],
                "schema_nearness": schema_nearness[schema],
                "schema_names_worth": sum(rarity[t] for t in schema_names[schema]),
                "schema_crowd": float(crowd[schema]),
                "schema_place": float(nth),
                "schema_ahead": float(ahead[schema]),
                "schema_tables": float(min(100, len(view.schemas[schema]))),
                "namesakes": float(namesakes[view.tables[table].name.lower()]),
                "neighbours": float(min(20, len(neighbours))),
                "neighbours_ahead": float(sum(place.get(other, count) < k for other in neighbours)),
                "neighbour_own": max((evidence.own.get(other, 0.0) for other in neighbours), default=0.0)
                / best_own,
                "neighbour_name_worth": max(
                    (sum(rarity[t] for t in evidence.names.get(other, ())) for other in neighbours),
                    default=0.0,
                ),
                "keys": float(len(view.tables[table].foreign_keys)),
                "tree": float(len(evidence.joined.get(table, ()))),
                "shared_by_names": sum(
                    rarity[t] for other in neighbours for t in evidence.names.get(other, ()) if t in fields
                ),
                "columns": float(min(100, len(view.tables[table].columns))),
                "words": float(len(evidence.terms)),
            }
        )
        ahead[schema] += 1
        for t, weight in fields.items():
            if weight > before.get(t, 0.0):
                before[t] = weight
    return rows


FEATURES = (
    "score score_share place own own_share nearness name_coverage name_words name_worth name_at columns_worth "
    "whole_columns_worth cells_worth led_worth new_worth new_name_worth schema_share schema_worth schema_margin "
    "schema_nearness schema_names_worth schema_crowd schema_place schema_ahead schema_tables namesakes neighbours "
    "neighbours_ahead neighbour_own neighbour_name_worth keys tree shared_by_names columns words"
).split()
"""What the trees see, in their order."""


class Reranker:
    """Trees that tell the tables that a question needs from those that only look like it."""

    def __init__(self, trees: Trees) -> None:
        self._trees = trees

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Reranker:
        """From what ``json`` reads; ValueError or KeyError when it is something else."""
        if document["features"] != FEATURES:
            raise ValueError("the reranker was fitted to other features; fit it again")
        return cls(Trees.of(document["tables"]))

    def reorder(self, evidence: Evidence) -> list[int]:
        """The order of all tables with the best of them in the trees' order."""
        import numpy as np

        rows = features_of(evidence)
        if len(rows) < 2:
            return list(evidence.order)
        scores = self._trees.score(np.array([list(row.values()) for row in rows]))
        best = np.argsort(-scores, kind="stable").tolist()
        return [evidence.order[k] for k in best] + list(evidence.order[len(rows) :])


@lru_cache(maxsize=1)
def load_reranker() -> Reranker:
    """The reranker that ships."""
    return Reranker.of(json.loads((files("sqlgen.retrieval") / "rerank.json").read_text("utf-8")))
