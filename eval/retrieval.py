"""Measure retrieval alone: are the tables and columns that the gold SQL reads among those found?

Per question, at depth k: *recall* is the share of gold tables among the first k tables found, *complete
recall* whether all of them are, *precision* the share of the tables found that are gold, and *column
recall* the share of gold columns among the columns kept of those tables. Figures are means over questions.
The depths are measured without a token budget; ``in_budget`` is what the model would have been handed.
``STAGES`` are the steps of ranking, each measured with all before it.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.config import Settings
from sqlgen.errors import EmptyDatabase
from sqlgen.eval.metrics import percentile, wilson
from sqlgen.eval.report import provenance
from sqlgen.eval.runner import Progress, scratch_home, suite_url
from sqlgen.eval.suite import Suite
from sqlgen.retrieval.ranking import Weights
from sqlgen.sql.exact_match import ClauseSets, clause_sets
from sqlgen.types import Catalog, Column, Dialect, Table, TableSlice, ValidatedQuery

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.retrieval import Embedder, Index

__all__ = ["STAGES", "gold_reads", "open_each", "open_union", "run_retrieval", "union_catalog", "union_index"]

_DEPTHS = (3, 5, 10, 20)
_WORDS = Weights(cell=0.0, vector=0.0, neighbour=0.0, schema_mate=0.0, seed=math.inf)
_WHOLE = Weights()
STAGES: tuple[tuple[str, Weights, bool], ...] = (
    ("words", _WORDS, False),
    ("+ cell values", replace(_WORDS, cell=_WHOLE.cell), False),
    ("+ vectors", replace(_WORDS, cell=_WHOLE.cell, vector=_WHOLE.vector), False),
    ("+ foreign keys", replace(_WHOLE, schema_mate=0.0), False),
    ("+ schema mates", _WHOLE, False),
    ("+ reranker", _WHOLE, True),
)
"""Name, weights, and whether the reranker runs: words (BM25 over names, comments and sampled values) alone,
then what each further step adds. The last is what a question gets."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What retrieval gave for one question: tables best first with their columns, and the same in budget."""

    gold_tables: frozenset[str]
    gold_columns: frozenset[str]
    tables: tuple[tuple[str, frozenset[str]], ...]
    stages: tuple[tuple[tuple[str, frozenset[str]], ...], ...]
    handed: tuple[tuple[str, frozenset[str]], ...]
    latency_ms: float


def run_retrieval(
    suite: Suite,
    *,
    per_database: bool = False,
    stages: bool = False,
    limit: int | None = None,
    settings: Settings | None = None,
    home: Path | None = None,
    count_tokens: Callable[[str], int] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure retrieval on ``suite``: over the union of all its databases, or with the right one known.

    With ``stages`` also after each of ``STAGES``, under that name.
    ``count_tokens`` is the model's; without it a token counts as four characters. A question whose gold
    SQL reads no table is left out and counted in ``without_tables``. Latency is the wall time of one
    retrieval as a question causes it, with the index open.
    """
    settings = Settings() if settings is None else settings
    count_tokens = _estimate_tokens if count_tokens is None else count_tokens
    questions = suite.sample(limit)
    by_database: dict[str, list[int]] = defaultdict(list)
    for position, question in enumerate(questions):
        by_database[question.db_id].append(position)
    found: list[_Found] = []
    without: list[str] = []
    refused: list[str] = []
    done = 0
    with nullcontext(home) if home is not None else scratch_home() as folder:
        settings = replace(settings, db=None, home=folder)
        opened = (
            open_each(suite, by_database, settings)
            if per_database
            else open_union(suite, by_database, settings, progress)
        )
        table_count = 0
        for db_id, catalog, index, prefix in opened:
            size = len(index.catalog.tables)
            table_count = table_count + size if per_database else size
            for position in by_database[db_id]:
                question = questions[position]
                if progress is not None:
                    progress(done, len(questions), db_id)
                done += 1
                sql = question.accepted(catalog.dialect)[0]
                tables, columns, passed = gold_reads(sql, catalog, catalog.dialect)
                if not passed:
                    refused.append(question.id)
                if not tables:
                    without.append(question.id)
                    continue
                gold = _prefixed(tables, prefix), _prefixed(columns, prefix)
                found.append(_retrieve(index, question.asked, *gold, settings, count_tokens, stages))
    figures: dict[str, Any] = {
        "suite": suite.name,
        "count": len(found),
        "scope": "each database apart" if per_database else "all databases as one catalog",
        "databases": len(by_database) if per_database else len(suite.databases),
        "tables": table_count,
    }
    figures |= _figures(found)
    if stages:
        figures["stages"] = _stage_figures(found)
    return {**figures, "without_tables": without, "gold_refused": refused} | {
        "provenance": provenance(
            suite.hashes(by_database),
            licence=suite.licence,
            source=suite.source,
            settings={"token_budget": settings.token_budget, "limit": limit},
        )
    }


def gold_reads(sql: str, catalog: Catalog, dialect: Dialect) -> tuple[frozenset[str], frozenset[str], bool]:
    """The table keys and ``table.column`` that a gold query reads, and whether validation let it pass.

    Where it does not pass, tables and columns are those that its clauses name.

    >>> gold_reads("SELECT 1", Catalog("sqlite", ()), "sqlite")[:2]
    (frozenset(), frozenset())
    """
    from sqlgen.validation import validate

    verdict = validate(sql, catalog, dialect)
    if isinstance(verdict, ValidatedQuery):
        return frozenset(verdict.tables), frozenset(verdict.columns), True
    query = clause_sets(sql, catalog, dialect)
    names = set(_names(query)) if query is not None else set()
    tables = frozenset(table.key for table in catalog.tables if table.key.lower() in names)
    columns = frozenset(
        f"{table.key}.{column.name}"
        for table in catalog.tables
        for column in table.columns
        if f"{table.key}.{column.name}".lower() in names
    )
    return tables, columns, False


def _names(query: ClauseSets) -> Iterator[str]:
    """Every table and column that a query names, nested queries included."""
    for table in query.tables:
        if isinstance(table, str):
            yield table.rpartition(" ")[2]
        else:
            yield from _names(table)
    uses = [item.value for item in query.select] + list(query.order_by)
    uses += [condition.value for condition in query.conditions()]
    for use in uses:
        yield use.left.column
        if use.right is not None:
            yield use.right.column
    yield from (use.column for use in query.group_by)
    for condition in query.conditions():
        for operand in condition.operands:
            if isinstance(operand, ClauseSets):
                yield from _names(operand)
            elif operand is not None:
                yield operand
    if query.then is not None:
        yield from _names(query.then[1])
    for _, inner in query.ctes:
        yield from _names(inner)


def union_catalog(catalogs: Iterable[tuple[str, Catalog]]) -> Catalog:
    """Several catalogs as one: every table goes into a schema that is called like its database.

    >>> one = Catalog("sqlite", (Table("singer", ()),), "a")
    >>> [table.key for table in union_catalog([("concert", one), ("opera", one)]).tables]
    ['concert.singer', 'opera.singer']
    """
    tables: list[Table] = []
    marks: list[str] = []
    dialect: Dialect = "sqlite"
    for db_id, catalog in catalogs:
        dialect = catalog.dialect
        marks.append(f"{db_id}:{catalog.fingerprint}")
        for table in catalog.tables:
            keys = tuple(replace(key, target=f"{db_id}.{key.target}") for key in table.foreign_keys)
            # A table that has a schema already keeps it in its name.
            tables.append(replace(table, name=table.key, schema=db_id, foreign_keys=keys))
    return Catalog(dialect, tuple(tables), "|".join(marks))


def _prefixed(names: Iterable[str], prefix: str) -> frozenset[str]:
    return frozenset(prefix + name for name in names)


def open_each(
    suite: Suite, by_database: Iterable[str], settings: Settings
) -> Iterator[tuple[str, Catalog, Index, str]]:
    """One database after the other: its name, its catalog, an index of it as the product makes it, and ""."""
    from sqlgen.catalog import distinct_values, load_catalog, open_engine
    from sqlgen.pipeline.model import load_embedder
    from sqlgen.retrieval import open_index

    embedder = load_embedder(settings.embedder)
    for number, db_id in enumerate(by_database):
        engine = open_engine(suite_url(suite.databases[db_id], settings.home))
        try:
            catalog = load_catalog(engine)
            values = partial(distinct_values, engine)
            place = settings.home / f"{number}.sqlite"
            with open_index(catalog, place, values=values, embedder=embedder) as index:
                yield db_id, catalog, index, ""
        finally:
            engine.dispose()


def open_union(
    suite: Suite,
    by_database: Iterable[str],
    settings: Settings,
    progress: Progress | None = None,
    embedder: Embedder | None = None,
) -> Iterator[tuple[str, Catalog, Index, str]]:
    """Every database asked for, with one index over all of the suite's, and its schema's name and a point.

    ``embedder`` goes before the one that ``settings`` name.
    """
    with union_index(suite, settings, progress, embedder) as (index, opened):
        for db_id in by_database:
            yield db_id, opened[db_id][1], index, f"{db_id}."


@contextmanager
def union_index(
    suite: Suite,
    settings: Settings,
    progress: Progress | None = None,
    embedder: Embedder | None = None,
) -> Iterator[tuple[Index, dict[str, tuple[Engine, Catalog]]]]:
    """One index over all databases of a suite, and the engine and the catalog of each that has tables."""
    from sqlgen.catalog import distinct_values, load_catalog, open_engine
    from sqlgen.pipeline.model import load_embedder
    from sqlgen.retrieval import open_index

    embedder = embedder or load_embedder(settings.embedder)
    with ExitStack() as stack:
        opened: dict[str, tuple[Engine, Catalog]] = {}
        for position, (db_id, place) in enumerate(suite.databases.items()):
            if progress is not None:
                progress(position, len(suite.databases), f"reading the catalog of {db_id}")
            engine = open_engine(suite_url(place, settings.home))
            stack.callback(engine.dispose)
            with suppress(EmptyDatabase):
                opened[db_id] = engine, load_catalog(engine)

        def values(table: Table, column: Column, limit: int) -> Iterable[str]:
            engine, catalog = opened[table.schema or ""]
            return distinct_values(engine, catalog.table(table.name) or table, column, limit)

        union = union_catalog((db_id, catalog) for db_id, (_, catalog) in opened.items())
        file = settings.home / "union.sqlite"
        with open_index(union, file, values=values, embedder=embedder, progress=progress) as index:
            yield index, opened


def _retrieve(
    index: Index,
    text: str,
    tables: frozenset[str],
    columns: frozenset[str],
    settings: Settings,
    count_tokens: Callable[[str], int],
    stages: bool,
) -> _Found:
    began = time.perf_counter()
    context = index.retrieve(text, k=10, token_budget=settings.token_budget, count_tokens=count_tokens)
    latency_ms = 1000 * (time.perf_counter() - began)
    ranked = index.rank(text, limit=max(_DEPTHS))
    each = (
        index.rank(text, limit=max(_DEPTHS), weights=weights, rerank=rerank)
        for _, weights, rerank in (STAGES if stages else ())
    )
    return _Found(
        tables,
        columns,
        _slices(ranked),
        tuple(_slices(some) for some in each),
        _slices(context.tables),
        latency_ms,
    )


def _slices(tables: Iterable[TableSlice]) -> tuple[tuple[str, frozenset[str]], ...]:
    return tuple(
        (s.table.key, frozenset(f"{s.table.key}.{column.name}" for column in s.table.columns)) for s in tables
    )


def _figures(found: Sequence[_Found]) -> dict[str, Any]:
    figures: dict[str, Any] = {"recall": {}, "complete_recall": {}, "precision": {}, "column_recall": {}}
    for depth in _DEPTHS:
        for name, value in _at_depth([(f, f.tables[:depth]) for f in found]).items():
            figures[name][str(depth)] = value
    complete = {
        str(depth): sum(f.gold_tables <= {key for key, _ in f.tables[:depth]} for f in found)
        for depth in _DEPTHS
    }
    figures["intervals"] = {
        "complete_recall": {depth: list(wilson(hits, len(found))) for depth, hits in complete.items()}
    }
    figures["in_budget"] = _at_depth([(f, f.handed) for f in found])
    times = [f.latency_ms for f in found]
    figures["latency_ms"] = {"p50": percentile(times, 50), "p95": percentile(times, 95)}
    return figures


def _stage_figures(found: Sequence[_Found]) -> list[dict[str, Any]]:
    rows = []
    for k, (name, _, _) in enumerate(STAGES):
        row: dict[str, Any] = {"stage": name}
        for depth in _DEPTHS:
            at_depth = _at_depth([(f, f.stages[k][:depth]) for f in found])
            for figure in ("recall", "complete_recall", "precision", "column_recall"):
                row.setdefault(figure, {})[str(depth)] = at_depth[figure]
        rows.append(row)
    return rows


def _at_depth(
    pairs: Sequence[tuple[_Found, Sequence[tuple[str, frozenset[str]]]]],
) -> dict[str, float]:
    sums = dict.fromkeys(("recall", "complete_recall", "precision", "column_recall"), 0.0)
    for found, tables in pairs:
        keys = {key for key, _ in tables}
        kept = frozenset().union(*(columns for _, columns in tables))
        hits = len(found.gold_tables & keys)
        sums["recall"] += hits / len(found.gold_tables)
        sums["complete_recall"] += found.gold_tables <= keys
        sums["precision"] += hits / len(keys) if keys else 0.0
        # A query like SELECT count(*) FROM t reads no column: there is none to miss.
        wanted = found.gold_columns
        sums["column_recall"] += len(wanted & kept) / len(wanted) if wanted else 1.0
    return {name: round(total / len(pairs), 6) if pairs else 0.0 for name, total in sums.items()}


def _estimate_tokens(text: str) -> int:
    return (len(text) + 3) // 4
