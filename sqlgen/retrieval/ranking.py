"""Which tables and columns a question speaks of: BM25 over fields, cell values, vectors, and the join graph.

The share of the question that a table explains: every word counts by its rarity (BM25's idf) times
the best field that holds it, a name above a column above a comment; a field's weight falls with its
length as in BM25. Names and comments hold a word once, so BM25's term frequency has nothing to say.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import nlargest
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from sqlgen.catalog.naming import natural_name
from sqlgen.retrieval.graph import JoinGraph
from sqlgen.retrieval.rerank import Evidence, Reranker
from sqlgen.retrieval.store import (
    COLUMN_COMMENT,
    COLUMN_NAME,
    COLUMN_VALUES,
    SCHEMA_NAME,
    TABLE_COMMENT,
    TABLE_NAME,
    Store,
)
from sqlgen.retrieval.values import question_ngrams
from sqlgen.retrieval.words import Term, question_terms
from sqlgen.types import Catalog

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DEFAULT_WEIGHTS", "CatalogView", "CellHit", "Ranking", "Weights", "rank_tables"]

# A word in more texts than half the tables tells little: only names of tables count for it.
_POSTINGS_MIN = 400
_POSTINGS_MAX = 1000
_CELLS_PER_QUESTION = 2000
_NGRAMS_PER_QUESTION = 3000
_SEEDS = 5
_COLUMNS_LOOKED_UP = 10
_TABLES_LOOKED_AT = 500
_SHOWN = 3
_OF_COLUMNS = frozenset((COLUMN_NAME, COLUMN_COMMENT, COLUMN_VALUES))
# A table with less than this share of the best score lends its neighbours nothing worth having.
_LENDS = 0.1
_NEAREST = 50
_NEAREST_COLUMNS = 200
_SIMILAR = 10


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each field and step counts; chosen on training questions, never on a measured set."""

    table_name: float = 1.0
    column_name: float = 0.7
    comment: float = 0.45
    schema_name: float = 0.35
    column_values: float = 0.3
    cell: float = 0.6
    coverage: float = 0.85
    length: float = 0.1
    vector: float = 0.4
    neighbour: float = 0.3
    schema_mate: float = 0.9
    seed: float = 0.5


DEFAULT_WEIGHTS = Weights()


@dataclass(frozen=True, slots=True)
class CellHit:
    """A cell whose normal form the question holds at [start:end]."""

    table: int
    column: int
    value: str
    start: int
    end: int


@dataclass(slots=True)
class Ranking:
    """Table numbers best first with their scores, scores of columns by number, and the cells hit.

    Scores are 0 and more, 1 about where the names alone explain the question. ``explain`` says in
    words why a table of ``order`` came.
    """

    order: list[int]
    scores: dict[int, float]
    column_scores: dict[int, float]
    cells: list[CellHit]
    explain: Callable[[int], str]


class CatalogView:
    """A catalog by numbers: tables in its order, columns counted through all tables."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.tables = catalog.tables
        self.graph = JoinGraph(catalog)
        counts = [len(table.columns) for table in catalog.tables]
        self.first_column = [0, *accumulate(counts)]
        self.owner = [i for i, count in enumerate(counts) for _ in range(count)]
        self.mean_columns = max(1.0, sum(counts) / max(1, len(counts)))
        self.schemas: dict[str | None, list[int]] = defaultdict(list)
        for i, table in enumerate(catalog.tables):
            self.schemas[table.schema].append(i)
        self._length_factors: dict[float, list[float]] = {}
        self._column_words = [0] * len(self.owner)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """``owner`` as an array."""
        import numpy as np

        return np.asarray(self.owner)

    def column_name(self, number: int) -> str:
        """The name of the column with this number."""
        table = self.owner[number]
        return self.tables[table].columns[number - self.first_column[table]].name

    def table_words(self, number: int) -> int:
        """How many words people would say for the name of a table."""
        return max(1, len(natural_name(self.tables[number].name).split()))

    def column_words(self, number: int) -> int:
        """How many words people would say for the name of a column."""
        count = self._column_words[number]
        if not count:
            count = max(1, len(natural_name(self.column_name(number)).split()))
            self._column_words[number] = count
        return count

    def length_factors(self, weight: float) -> list[float]:
        """For each table what a word found in one of its many columns is worth, at most 1."""
        if weight not in self._length_factors:
            shares = (len(table.columns) / self.mean_columns for table in self.tables)
            self._length_factors[weight] = [1 / max(1.0, 1 - weight + weight * share) for share in shares]
        return self._length_factors[weight]

    def by_connectivity(self) -> list[int]:
        """Table numbers, those that most others join first, then the larger ones."""
        tables = self.tables
        return sorted(
            range(len(tables)),
            key=lambda i: (-len(self.graph.neighbours[i]), -(tables[i].row_estimate or 0), i),
        )


def _find_cells(question: str, view: CatalogView, store: Store) -> list[CellHit]:
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for normal, start, end in question_ngrams(question)[:_NGRAMS_PER_QUESTION]:
        if not normal.replace(" ", "").isdigit():
            spans[normal].append((start, end))
    hits = []
    for normal, number, value in store.cells(list(spans), _CELLS_PER_QUESTION):
        hits += [CellHit(view.owner[number], number, value, start, end) for start, end in spans[normal]]
    return hits


def rank_tables(
    question: str,
    view: CatalogView,
    store: Store,
    *,
    query_vector: NDArray[np.float32] | None = None,
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    weights: Weights = DEFAULT_WEIGHTS,
    reranker: Reranker | None = None,
    study: Callable[[Evidence], object] | None = None,
) -> Ranking:
    """Rank the tables of a catalog for a question that is already cut to its bound.

    ``study`` is shown what the reranker is, to learn from it.
    """
    terms = question_terms(question)
    limit = min(_POSTINGS_MAX, max(_POSTINGS_MIN, len(view.tables) // 2))
    postings = store.search([term.text for term in terms], limit)
    cells = _find_cells(question, view, store)

    name_terms: dict[int, set[int]] = defaultdict(set)
    column_terms: dict[int, set[int]] = defaultdict(set)
    # (table, column or -1) -> word -> weight of the best field
    table_fields: dict[int, dict[int, float]] = defaultdict(dict)
    column_fields: dict[int, dict[int, float]] = defaultdict(dict)
    cut_words = []
    field_weights = {
        COLUMN_VALUES: weights.column_values,
        COLUMN_COMMENT: weights.comment,
        TABLE_COMMENT: weights.comment,
        SCHEMA_NAME: weights.schema_name,
    }
    for t, found in enumerate(postings):
        cut = len(found) == limit
        if cut:
            cut_words.append(t)
        for kind, number in found:
            # A word of thousands of columns tells no table from another; names of tables come first.
            if cut and kind >= COLUMN_NAME:
                break
            if kind == COLUMN_NAME:
                column_terms[number].add(t)
            elif kind == TABLE_NAME:
                name_terms[number].add(t)
            else:
                fields = (column_fields if kind in _OF_COLUMNS else table_fields)[number]
                weight = field_weights[kind]
                if weight > fields.get(t, 0.0):
                    fields[t] = weight
    for number, found_terms in name_terms.items():
        share = min(1.0, len(found_terms) / view.table_words(number))
        weight = weights.table_name * (1 - weights.coverage + weights.coverage * share)
        fields = table_fields[number]
        for t in found_terms:
            if weight > fields.get(t, 0.0):
                fields[t] = weight
    base, coverage = weights.column_name * (1 - weights.coverage), weights.column_name * weights.coverage
    for number, found_terms in column_terms.items():
        share = len(found_terms) / view.column_words(number)
        weight = base + coverage * share if share < 1 else base + coverage
        fields = column_fields[number]
        for t in found_terms:
            if weight > fields.get(t, 0.0):
                fields[t] = weight
    cell_terms: dict[int, set[int]] = defaultdict(set)
    said = {
        (start, end): (
            question[start:end].lower(),
            [t for t, term in enumerate(terms) if start <= term.start and term.end <= end],
        )
        for start, end in {(hit.start, hit.end) for hit in cells}
    }
    for hit in cells:
        spelling, held = said[hit.start, hit.end]
        weight = weights.cell if hit.value.lower() == spelling else 0.8 * weights.cell
        cell_terms[hit.table].update(held)
        fields = column_fields[hit.column]
        for t in held:
            if weight > fields.get(t, 0.0):
                fields[t] = weight

    owner, factors = view.owner, view.length_factors(weights.length)
    for number, fields in column_fields.items():
        table = owner[number]
        factor = factors[table]
        best = table_fields[table]
        for t, weight in fields.items():
            weight *= factor
            if weight > best.get(t, 0.0):
                best[t] = weight

    rarity = _rarity(table_fields, len(terms), len(view.tables), cut_words)
    # A joined spelling that nothing holds is no part of what was asked.
    asked = sum(r for t, r in enumerate(rarity) if _is_asked(terms, t, postings))
    scale = 1.0 / asked if asked > 0 else 0.0
    scores = {
        table: scale * sum(rarity[t] * weight for t, weight in fields.items())
        for table, fields in table_fields.items()
    }
    nearness, column_scores = _add_vector_scores(scores, view, query_vector, vectors, weights)
    similar = set(nlargest(_SIMILAR, nearness, key=nearness.__getitem__))
    own = dict(scores)
    schema_scores = _schema_scores(table_fields, rarity, scale, view)
    neighbour_of = _spread(scores, own, schema_scores, view, weights)
    order = sorted(sorted(scores), key=scores.__getitem__, reverse=True)
    order, joined = _bring_join_tables(order, scores, own, view, weights)
    if reranker is not None or study is not None:
        evidence = Evidence(
            view,
            terms,
            order,
            scores,
            own,
            table_fields,
            name_terms,
            column_terms,
            cell_terms,
            [scale * r for r in rarity],
            nearness,
            schema_scores,
            joined,
        )
        if study is not None:
            study(evidence)
        if reranker is not None:
            order = _take_places(reranker.reorder(evidence), scores)
    looked_at = set(order[:_TABLES_LOOKED_AT])
    for number, fields in column_fields.items():
        if owner[number] in looked_at:
            worth = scale * sum(rarity[t] * weight for t, weight in fields.items())
            column_scores[number] = column_scores.get(number, 0.0) + worth
    for t in cut_words:
        gain = scale * rarity[t] * weights.column_name
        for table in order[:_COLUMNS_LOOKED_UP]:
            first, last = view.first_column[table], view.first_column[table + 1] - 1
            for number in store.search_columns(terms[t].text, first, last):
                column_terms[number].add(t)
                column_scores[number] = column_scores.get(number, 0.0) + gain
    spoken = {t: question[term.start : term.end] for t, term in enumerate(terms)}

    def explain(table: int) -> str:
        return _reason(
            table,
            view,
            name_terms,
            column_terms,
            column_scores,
            cells,
            table_fields,
            spoken,
            similar,
            joined,
            neighbour_of,
        )

    return Ranking(order, scores, column_scores, cells, explain)


def _take_places(order: list[int], scores: dict[int, float]) -> list[int]:
    """``order`` as it is; a score then belongs to the place, so that scores never rise down the list."""
    for table, score in zip(order, sorted((scores[i] for i in order), reverse=True), strict=True):
        scores[table] = score
    return order


def _is_asked(terms: Sequence[Term], t: int, postings: Sequence[Sequence[tuple[int, int]]]) -> bool:
    return bool(postings[t]) or not any(
        other is not terms[t] and terms[t].start <= other.start and other.end <= terms[t].end
        for other in terms
    )


def _rarity(
    table_fields: dict[int, dict[int, float]], terms: int, tables: int, cut_words: Sequence[int]
) -> list[float]:
    held = [0] * terms
    for fields in table_fields.values():
        for t in fields:
            held[t] += 1
    for t in cut_words:
        held[t] = max(held[t], tables // 2)
    return [math.log(1 + (tables - n + 0.5) / (n + 0.5)) for n in held]


def _add_vector_scores(
    scores: dict[int, float],
    view: CatalogView,
    query_vector: NDArray[np.float32] | None,
    vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    weights: Weights,
) -> tuple[dict[int, float], dict[int, float]]:
    """Add how near in meaning tables are.

    Returns that nearness (0 to 1) of the nearest tables, and what it is worth of the nearest columns.
    """
    if query_vector is None or vectors is None or not weights.vector or not query_vector.any():
        return {}, {}
    import numpy as np

    table_vectors, column_vectors = vectors
    if not table_vectors.size:
        return {}, {}
    column_scores: dict[int, float] = {}
    nearness = table_vectors @ query_vector
    if column_vectors.size:
        column_nearness = column_vectors @ query_vector
        best = np.full(len(nearness), -1.0, dtype=np.float32)
        np.maximum.at(best, view.owners, column_nearness)
        nearness = np.maximum(nearness, 0.5 * (nearness + best))
        top = float(column_nearness.max())
        middle = float(column_nearness.mean())
        if top > middle:
            for number in _largest(column_nearness, _NEAREST_COLUMNS):
                gain = (float(column_nearness[number]) - middle) / (top - middle)
                column_scores[number] = weights.vector * max(0.0, gain)
    top, middle = float(nearness.max()), float(nearness.mean())
    nearest = _largest(nearness, _NEAREST)
    if top <= middle:
        return {}, column_scores
    shares = np.maximum(0.0, (nearness.astype(np.float64) - middle) / (top - middle))
    gains, worth = shares.tolist(), (weights.vector * shares**2).tolist()
    near = {*nearest, *scores}
    for table in near:
        scores[table] = scores.get(table, 0.0) + worth[table]
    return {table: gains[table] for table in near}, column_scores


def _largest(values: NDArray[np.float32], count: int) -> list[int]:
    """Where the ``count`` largest values are, in no order."""
    import numpy as np

    if len(values) <= count:
        return list(range(len(values)))
    found: list[int] = np.argpartition(-values, count)[:count].tolist()
    return found


def _schema_scores(
    table_fields: dict[int, dict[int, float]], rarity: Sequence[float], scale: float, view: CatalogView
) -> dict[str | None, float]:
    """The share of the question that each schema explains with all its tables, where there are several."""
    if len(view.schemas) < 2:
        return {}
    fields: dict[str | None, dict[int, float]] = defaultdict(dict)
    for table, own in table_fields.items():
        best = fields[view.tables[table].schema]
        for t, weight in own.items():
            if weight > best.get(t, 0.0):
                best[t] = weight
    return {
        schema: scale * sum(rarity[t] * weight for t, weight in best.items())
        for schema, best in fields.items()
    }


def _spread(
    scores: dict[int, float],
    own: dict[int, float],
    schema_scores: dict[str | None, float],
    view: CatalogView,
    weights: Weights,
) -> dict[int, int]:
    """Let tables share in the scores of neighbours and schema; returns the neighbour that helped most."""
    helper: dict[int, int] = {}
    gains: dict[int, float] = {}
    floor = _LENDS * max(own.values(), default=0.0)
    for table, score in own.items():
        if score < floor:
            continue
        for other in view.graph.neighbours[table]:
            if score > gains.get(other, 0.0):
                gains[other] = score
                helper[other] = table
    for table, gain in gains.items():
        scores[table] = scores.get(table, 0.0) + weights.neighbour * gain
    if schema_scores:
        for table in scores:
            scores[table] += weights.schema_mate * schema_scores.get(view.tables[table].schema, 0.0)
    return helper


def _bring_join_tables(
    order: list[int], scores: dict[int, float], own: dict[int, float], view: CatalogView, weights: Weights
) -> tuple[list[int], dict[int, list[int]]]:
    """Put tables that join the best hits right behind the later of the two that they join.

    Returns the order and, for each table of the join tree, its neighbours in it.
    """
    if not order:
        return order, {}
    floor = weights.seed * scores[order[0]]
    seeds = [table for table in order[:_SEEDS] if scores[table] >= floor and own.get(table, 0.0) > 0]
    joined: dict[int, list[int]] = defaultdict(list)
    for way in view.graph.connect(seeds, own):
        for table in way[1:-1]:
            scores[table] = max(scores.get(table, 0.0), min(scores[way[0]], scores[way[-1]]) * 0.999)
        for a, b in pairwise(way):
            joined[a].append(b)
            joined[b].append(a)
    known = set(order)
    order = sorted([*order, *(i for i in joined if i not in known)], key=lambda i: (-scores[i], i))
    return order, joined


def _reason(
    table: int,
    view: CatalogView,
    name_terms: dict[int, set[int]],
    column_terms: dict[int, set[int]],
    column_scores: dict[int, float],
    cells: Sequence[CellHit],
    table_fields: dict[int, dict[int, float]],
    spoken: dict[int, str],
    similar: set[int],
    joined: dict[int, list[int]],
    neighbour_of: dict[int, int],
) -> str:
    """Why a table came, in words."""

    def name(i: int) -> str:
        return view.tables[i].key

    parts = []
    if table in name_terms:
        words = dict.fromkeys(spoken[t] for t in sorted(name_terms[table]))
        parts.append("name matches " + ", ".join(f"'{word}'" for word in words))
    span = range(view.first_column[table], view.first_column[table + 1])
    columns = sorted((n for n in span if n in column_terms), key=lambda n: -column_scores.get(n, 0.0))
    if columns:
        shown = ", ".join(view.column_name(n) for n in columns[:_SHOWN])
        parts.append(f"{'columns' if len(columns) > 1 else 'column'} {shown}")
    values = dict.fromkeys((hit.value, hit.column) for hit in cells if hit.table == table)
    if values:
        shown = ", ".join(f"'{value}' in {view.column_name(n)}" for value, n in list(values)[:_SHOWN])
        parts.append(f"{'values' if len(values) > 1 else 'value'} {shown}")
    if not parts and table in table_fields:
        words = dict.fromkeys(spoken[t] for t in sorted(table_fields[table]))
        parts.append("description or sample matches " + ", ".join(f"'{word}'" for word in words))
    ends = [name(i) for i in joined.get(table, ())]
    if len(ends) > 1:
        parts.append(f"joins {', '.join(ends[:-1])} and {ends[-1]}")
    elif not parts and table in similar:
        parts.append("close in meaning")
    elif not parts and table in neighbour_of:
        parts.append(f"next to {name(neighbour_of[table])}")
    return "; ".join(parts) or "same schema as other hits"
