"""The retrieval index: built or refreshed when it is opened, then asked."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import sqlite3
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlgen.errors import IndexUnusable
from sqlgen.lock import exclusive
from sqlgen.retrieval.budget import Costs, Found, cut_to_budget, fits_whole, without_far
from sqlgen.retrieval.cells import find_cells
from sqlgen.retrieval.embedder import Embedder
from sqlgen.retrieval.ranking import DEFAULT_WEIGHTS, CatalogView, Ranking, Weights, rank_tables
from sqlgen.retrieval.rerank import Evidence, load_reranker
from sqlgen.retrieval.sqlite_store import is_ours, open_file, open_memory, remove_leftovers, write_file
from sqlgen.retrieval.store import (
    COLUMN_NAME,
    DEFAULT_BUDGET,
    TABLE_NAME,
    BrokenStore,
    Budget,
    IndexStore,
    Meta,
    Plan,
    Progress,
    Source,
    Values,
    Writer,
    build,
    can_update,
    plan_update,
    serves,
    slot_key,
    table_digests,
    update,
)
from sqlgen.retrieval.values import choose_matches
from sqlgen.retrieval.words import bound_question
from sqlgen.types import Catalog, RetrievedContext, TableSlice, ValueMatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Index", "SharedStore", "default_index_path", "open_index", "read_status"]

_MOST_TABLES = 10
_log = logging.getLogger("sqlgen.retrieval")


def default_index_path(database_identity: str) -> Path:
    """Where the index of a database belongs: under SQLGEN_HOME, else the user's cache folder.

    ``database_identity`` is any text that tells databases apart, a URL without its password; only
    its digest enters the name.

    >>> a, b = default_index_path("sqlite:////data/shop.db"), default_index_path("sqlite:////data/hr.db")
    >>> a.suffix, a.parent == b.parent, a == b
    ('.sqlite', True, False)
    """
    digest = hashlib.sha256(database_identity.encode("utf-8", "backslashreplace")).hexdigest()[:32]
    return _home() / "indexes" / f"{digest}.sqlite"


def _home() -> Path:
    home = os.environ.get("SQLGEN_HOME")
    if home:
        return Path(home)
    cache = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification has relative paths ignored.
    if cache and os.path.isabs(cache):
        return Path(cache) / "sqlgen"
    try:
        return Path.home() / ".cache" / "sqlgen"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / "sqlgen"


@dataclass(frozen=True, slots=True)
class SharedStore:
    """An index in a PostgreSQL database that servers share: its URL, and which database it is the index of."""

    url: str
    name: str

    def __str__(self) -> str:
        from sqlgen.retrieval.postgres_store import shown_url

        return shown_url(self.url)


def open_index(
    catalog: Catalog,
    place: Path | SharedStore,
    *,
    values: Values | None = None,
    progress: Progress | None = None,
    embedder: Embedder | None = None,
    budget: Budget = DEFAULT_BUDGET,
    scope: str = "",
    rebuild: bool = False,
) -> Index:
    """Open the index of ``catalog`` at ``place``, built or brought up to date first where it does not serve.

    An index serves when it is whole, of this format, of this catalog (its fingerprint and all names,
    kinds and comments), made with this embedder, and holds values when ``values`` is given. Where only
    the catalog differs, the tables that changed are read and embedded again, and no others. Anything else
    is built anew as a whole. Readers see the old index until the new one is complete, and a build
    or an update that dies leaves what was there. A file that is none of ours is kept as ``<name>.broken``.
    ``rebuild`` builds in any case, to take in new values. ``scope`` says in any words what may enter the
    index (a policy, columns opted out): an index of another scope never serves, nor does any part of it.

    ``values(table, column, limit)`` gives at most ``limit`` distinct values of a text column; without
    it the catalog's samples are indexed. ``progress(done, total, what)`` is called before each table.
    When the folder cannot be written, a warning is logged and the index lives in memory.
    Raises IndexUnusable when ``place`` is a folder or device, or a server that cannot be used.

    >>> from sqlgen.types import Column, Table
    >>> shop = Catalog("sqlite", (Table("orders", (Column("id", "INTEGER", "number"),)),), "f1")
    >>> def count_words(text): return len(text.split())
    >>> with tempfile.TemporaryDirectory() as folder, open_index(shop, Path(folder) / "shop.sqlite") as index:
    ...     context = index.retrieve("how many orders are there?", count_tokens=count_words)
    ...     [(s.table.key, s.reason) for s in context.tables], context.token_count
    ([('orders', "name matches 'orders'")], 4)
    """
    source = Source(catalog, values, embedder, budget, scope, progress, _log.warning, table_digests(catalog))
    builder: _Builder
    if isinstance(place, SharedStore):
        from sqlgen.retrieval.postgres_store import SharedBuilder

        builder = SharedBuilder(source, place.url, place.name)
    else:
        place = Path(os.path.realpath(place))
        if place.exists() and not place.is_file():
            raise IndexUnusable(f"the index {place} is not a file; give another path")
        builder = _FileBuilder(source, place)
    return Index(catalog, builder.open(rebuild=rebuild), embedder, reopen=builder.open)


def read_status(place: Path | SharedStore) -> dict[str, object] | None:
    """What an index holds, without building one: as ``Index.status``; None where there is none.

    Raises IndexUnusable when it cannot be read.
    """
    if isinstance(place, SharedStore):
        from sqlgen.retrieval.postgres_store import open_shared

        store: IndexStore | None = open_shared(place.url, place.name)
    else:
        store = open_file(place) if place.exists() else None
    if store is None:
        return None
    with closing(store):
        return _status(store)


def _status(store: IndexStore) -> dict[str, object]:
    meta = store.meta
    return {
        "path": store.place,
        "tables": meta.tables,
        "columns": meta.columns,
        "values": meta.values,
        "built_at": meta.built_at,
        "fingerprint": meta.fingerprint,
        "bytes": store.size_bytes,
        "format_version": meta.format_version,
        "embedder": meta.embedder,
    }


class _Builder(Protocol):
    """Knows how to get a serving store for one catalog."""

    def open(self, *, rebuild: bool = False) -> IndexStore:
        """Open what serves, else update, else build it."""
        ...


class _FileBuilder:
    """An index in a file; in memory where it cannot be written."""

    def __init__(self, source: Source, path: Path) -> None:
        self.source = source
        self.path = path

    def open(self, *, rebuild: bool = False) -> IndexStore:
        store = None if rebuild else self._existing()
        if store is not None and serves(store.meta, self.source):
            return store
        if store is not None:
            store.close()
        seen = self._signature()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with exclusive(self.path.with_name(self.path.name + ".lock")):
                # Whoever held the lock before may have built just this.
                if not rebuild or self._signature() != seen:
                    store = self._existing()
                    if store is not None and serves(store.meta, self.source):
                        return store
                remove_leftovers(self.path)
                self._write(None if rebuild else store)
            return open_file(self.path)
        except (OSError, sqlite3.OperationalError) as error:
            _log.warning("the index %s cannot be written (%s); it is kept in memory", self.path, error)
            return open_memory(self._build)

    def _write(self, store: IndexStore | None) -> None:
        plan = None
        if store is not None:
            meta = store.meta
            if can_update(meta, self.source):
                plan = plan_update(store.slots(), meta, self.source)
            store.close()
        if plan is not None:
            _log.info("updating %d tables of the index %s", len(plan.write) + len(plan.gone), self.path)
            write_file(self.path, partial(self._update, plan=plan, meta=meta), changes=True)
            return
        self._set_aside()
        _log.info("building the index %s", self.path)
        write_file(self.path, self._build)

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return (stat.st_ino, stat.st_size, stat.st_mtime_ns)

    def _existing(self) -> IndexStore | None:
        if not self.path.is_file():
            return None
        try:
            return open_file(self.path)
        except IndexUnusable as error:
            _log.warning("%s; it is built anew", error)
            return None

    def _set_aside(self) -> None:
        """Keep a file that somebody else wrote; ours hold nothing that cannot be built again."""
        if not self.path.is_file() or self.path.stat().st_size == 0 or is_ours(self.path):
            return
        for n in range(1, 1000):
            aside = self.path.with_name(f"{self.path.name}.broken{'' if n == 1 else f'-{n}'}")
            if not aside.exists():
                os.replace(self.path, aside)
                _log.warning("%s was no index; it is kept as %s", self.path, aside)
                return

    def _build(self, writer: Writer) -> None:
        build(writer, self.source)

    def _update(self, writer: Writer, plan: Plan, meta: Meta) -> None:
        update(writer, self.source, plan, meta)


class _Numbered:
    """A store in the catalog's own numbers: positions of tables, and of columns through all tables."""

    def __init__(self, store: IndexStore, catalog: Catalog) -> None:
        self.meta = store.meta
        self._store = store
        slots = {slot.key: slot for slot in store.slots()}
        first_column = [0, *accumulate(len(table.columns) for table in catalog.tables)]
        self._first = first_column
        self._table_of = [-1] * store.meta.next_table
        self._column_of = [-1] * store.meta.next_column
        self._stored_first: list[int] = []
        for position, table in enumerate(catalog.tables):
            slot = slots.get(slot_key(table))
            if slot is None or slot.columns != len(table.columns):
                raise IndexUnusable(f"the index {store.place or 'in memory'} does not hold {table.key}")
            first, last = first_column[position], first_column[position + 1]
            self._table_of[slot.number] = position
            self._column_of[slot.first_column : slot.first_column + slot.columns] = range(first, last)
            self._stored_first.append(slot.first_column)
        # A fresh build numbers in the catalog's order: then there is nothing to translate.
        self._same = self._column_of == list(range(first_column[-1])) and self._table_of == list(
            range(len(catalog.tables))
        )

    def search(self, words: Sequence[str], limit: int) -> list[list[tuple[int, int]]]:
        """As ``Store.search``."""
        found = self._store.search(words, limit)
        if self._same:
            return found
        tables, columns = self._table_of, self._column_of
        return [
            [
                (kind, position)
                for kind, number in postings
                if (position := columns[number] if kind >= COLUMN_NAME else tables[number]) >= 0
            ]
            for postings in found
        ]

    def search_columns(self, word: str, first: int, last: int) -> list[int]:
        """As ``Store.search_columns``, of the columns of one table."""
        shift = self._stored_first[bisect_right(self._first, first) - 1] - first
        return [number - shift for number in self._store.search_columns(word, first + shift, last + shift)]

    def cells(self, normals: Sequence[str], limit: int) -> list[tuple[str, int, str]]:
        """The cells that these n-grams mean, as spelt or not (``find_cells``)."""
        found = find_cells(self._store, normals, limit)
        if self._same:
            return found
        columns = self._column_of
        return [(normal, columns[number], value) for normal, number, value in found if columns[number] >= 0]

    def vectors(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The vectors of all tables, and of all columns, each in the catalog's order."""
        return self._placed(TABLE_NAME, self._table_of, len(self._stored_first)), self._placed(
            COLUMN_NAME, self._column_of, self._first[-1]
        )

    def _placed(self, kind: int, position_of: Sequence[int], count: int) -> NDArray[np.float32]:
        import numpy as np

        numbers, rows = self._store.vectors(kind)
        if not len(numbers):
            return rows
        if self._same:
            return rows
        positions = np.asarray(position_of)[numbers]
        placed = np.zeros((count, rows.shape[1]), dtype=np.float32)
        placed[positions[positions >= 0]] = rows[positions >= 0]
        return placed


@contextmanager
def _collection_put_off() -> Iterator[None]:
    """No garbage collection in here: ranking makes many small objects and no cycles.

    With the objects of a large catalog alive, they would set off a full collection every few questions, which
    takes three times as long as the ranking.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Index:
    """An open index. Safe to share between threads; close it, or use it as a context manager."""

    def __init__(
        self,
        catalog: Catalog,
        store: IndexStore,
        embedder: Embedder | None,
        *,
        reopen: Callable[[], IndexStore],
    ) -> None:
        self.catalog = catalog
        self._store = store
        self._numbered = _Numbered(store, catalog)
        self._embedder = embedder
        self._reopen = reopen
        self._view = CatalogView(catalog)
        # A name and its marker are two pieces at the least.
        self._least_cost = 2 * sum(1 + len(table.columns) for table in catalog.tables)
        self._lock = threading.Lock()
        self._costs: Costs | None = None
        self._vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._closed = False

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the file. Asking a closed index raises IndexUnusable."""
        with self._lock:
            self._closed = True
            self._store.close()

    def status(self) -> dict[str, object]:
        """What the index holds: sizes, time and format of the build; ``path`` is None in memory."""
        return _status(self._store)

    def rank(
        self,
        text: str,
        *,
        limit: int = 20,
        weights: Weights = DEFAULT_WEIGHTS,
        rerank: bool = True,
        study: Callable[[Evidence], object] | None = None,
    ) -> tuple[TableSlice, ...]:
        """The best ``limit`` tables, whole, best first, whatever the token budget.

        ``weights`` and ``rerank`` leave steps out, to measure what each is worth; ``study`` is shown what
        the reranker is.
        """
        ranking = self._rank(bound_question(text), weights, rerank, study)
        return tuple(self._table_slice(i, ranking) for i in self._full_order(ranking, limit))

    def retrieve(
        self,
        text: str,
        *,
        k: int | None = None,
        token_budget: int = 440,
        count_tokens: Callable[[str], int],
    ) -> RetrievedContext:
        """What a model should see of the database to answer ``text``, within ``token_budget``.

        A catalog that fits the budget comes whole, best table first, and ``k`` does not matter; else at
        most ``k`` tables come, wide ones cut to their keys and best columns. Without ``k`` it is the best three
        and up to seven more that score nearly as well: a table too many misleads a small model. A table costs the
        pieces of its natural name and one, so does a column, so does a matched value. ``omitted`` names
        the tables (among the best ``k``) and columns that the budget cut. Only the first
        2,000 characters of ``text`` are searched for. Raises ValueError when ``k`` or ``token_budget`` is
        below 1, IndexUnusable when the index was closed or cannot be read nor built again.
        """
        if (k is not None and k < 1) or token_budget < 1:
            raise ValueError("k and token_budget must be at least 1")
        costs = self._costs
        if costs is None or costs.count_tokens != count_tokens:
            costs = self._costs = Costs(count_tokens)
        question = bound_question(text)
        ranking = self._rank(question)
        view = self._view
        whole = self._least_cost <= token_budget and fits_whole(view.tables, costs, token_budget)
        order = self._full_order(ranking, len(view.tables) if whole else k or _MOST_TABLES)
        found = []
        for i in order:
            table = view.tables[i]
            first = view.first_column[i]
            scores = ranking.column_scores
            columns = {c.name: scores[first + n] for n, c in enumerate(table.columns) if first + n in scores}
            found.append(Found(table, self._score(i, ranking), self._reason(i, ranking, whole), columns))
        if k is None and not whole:
            found = without_far(found)

        def choose_values(kept: Mapping[str, set[str]]) -> tuple[ValueMatch, ...]:
            shown = {i: (key, kept[key]) for i in order if (key := view.tables[i].key) in kept}
            hits = []
            for cell in ranking.cells:
                if cell.table in shown:
                    key, names = shown[cell.table]
                    name = view.column_name(cell.column)
                    if name in names:
                        hits.append((key, name, cell.value, cell.start, cell.end))
            return choose_matches(hits, question)

        return cut_to_budget(found, token_budget, costs, choose_values)

    def _rank(
        self,
        question: str,
        weights: Weights = DEFAULT_WEIGHTS,
        rerank: bool = True,
        study: Callable[[Evidence], object] | None = None,
    ) -> Ranking:
        store, numbered = self._store, self._numbered
        reranker = load_reranker() if rerank else None
        how = partial(rank_tables, question, self._view, weights=weights, reranker=reranker, study=study)
        try:
            return self._rank_with(numbered, question, how)
        except (sqlite3.DatabaseError, BrokenStore) as error:
            _log.warning("the index broke while it was read (%s); it is built anew", error)
        with self._lock:
            if self._closed:
                raise IndexUnusable("the index was closed; open it again")
            if self._store is store:
                self._store = self._reopen()
                self._numbered = _Numbered(self._store, self.catalog)
                self._vectors = None
                store.close()
            store, numbered = self._store, self._numbered
        try:
            return self._rank_with(numbered, question, how)
        except (sqlite3.DatabaseError, BrokenStore) as error:
            raise IndexUnusable(f"the index {store.place} cannot be read: {error}; delete it") from error

    def _rank_with(self, numbered: _Numbered, question: str, how: Callable[..., Ranking]) -> Ranking:
        query_vector = None
        if self._embedder is not None and numbered.meta.embedder == self._embedder.id:
            query_vector = self._embedder.embed([question])[0]
            if self._vectors is None:
                self._vectors = numbered.vectors()
        with _collection_put_off():
            return how(numbered, query_vector=query_vector, vectors=self._vectors)

    def _full_order(self, ranking: Ranking, limit: int) -> list[int]:
        """The ranked tables; when they are fewer than wanted, the best connected others follow."""
        if len(ranking.order) >= limit or len(ranking.order) == len(self._view.tables):
            return ranking.order[:limit]
        ranked = set(ranking.order)
        others = [i for i in self._view.by_connectivity() if i not in ranked]
        return (ranking.order + others)[:limit]

    def _score(self, table: int, ranking: Ranking) -> float:
        return round(ranking.scores.get(table, 0.0), 4)

    def _reason(self, table: int, ranking: Ranking, whole: bool) -> str:
        if table in ranking.scores:
            return ranking.explain(table)
        return "the whole schema fits" if whole else "no match; among the most connected tables"

    def _table_slice(self, table: int, ranking: Ranking) -> TableSlice:
        return TableSlice(
            self._view.tables[table], self._score(table, ranking), self._reason(table, ranking, False)
        )
