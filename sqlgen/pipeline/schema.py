"""The schema as it is now, and what is kept about it: catalog, index, knowledge.

A fingerprint is compared on every question, so that the next question sees a changed schema.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlgen.config import Settings
from sqlgen.enforcement import Enforcement
from sqlgen.errors import IndexUnusable
from sqlgen.pipeline.once import Once
from sqlgen.pipeline.question import check_dialect
from sqlgen.policy import Protection
from sqlgen.types import (
    Catalog,
    Column,
    Dialect,
    Finding,
    Rejection,
    Table,
    ValidatedQuery,
    VerifiedQuery,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.catalog import SchemaWatch
    from sqlgen.drift import Broken
    from sqlgen.knowledge import Description, Item, Knowledge, Term
    from sqlgen.retrieval import Index, SharedStore
    from sqlgen.retrieval.standins import Scene

__all__ = ["LiveSchema", "Progress"]

_log = logging.getLogger("sqlgen.pipeline")
_CATALOG_FILE = "catalog.json"
_KNOWLEDGE_FILE = "knowledge.sqlite"
_INDEX_FILE = "index.sqlite"
_RENAMES_FILE = "renames.json"


class Progress(Protocol):
    """Is told how far a long piece of work is: ``done`` of ``total`` steps, and what the step is."""

    def __call__(self, done: int, total: int, label: str, /) -> None: ...


class LiveSchema:
    """The catalog, the index and the knowledge of one database, made on first use and again when the schema changed.

    Safe to share between threads. ``engine`` is None where ``catalog``, read from a schema file, is all there is.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine | None,
        catalog: Catalog | None,
        views: Mapping[str, str] | None,
        policy_context: Mapping[str, Any] | None,
        embedder: Once,
        terms: Iterable[Term],
        progress: Progress | None,
        user: str,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._progress = progress
        self._embedder = embedder
        self._terms = tuple(terms)
        self._user = user
        self._catalog = catalog
        self.enforcement = Enforcement(settings, policy_context, views)
        self.protection: Protection | None = None
        self._index: Index | None = None
        self.index_fingerprint = ""
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.RLock()
        self._knowledge: Knowledge | None = None
        self._described: tuple[Catalog, tuple[Description, ...], Catalog] | None = None
        self._sampled: Catalog | None = None
        self._earlier: Catalog | None = None
        self._watch: SchemaWatch | None = None
        if engine is None:
            assert catalog is not None
            self.dialect: Dialect = catalog.dialect
        else:
            from sqlgen.catalog import SchemaWatch, dialect_of

            self.dialect = dialect_of(engine)
            self._watch = SchemaWatch(engine)

    @property
    def knowledge(self) -> Knowledge:
        """Terms, metrics, documents and verified queries of this database."""
        from sqlgen.knowledge import Knowledge

        with self._lock:
            if self._knowledge is None:
                self._knowledge = Knowledge(
                    self.folder() / _KNOWLEDGE_FILE,
                    judge=self.objection,
                    given=self._terms,
                    folder=self._settings.knowledge,
                    who=self._user,
                )
            return self._knowledge

    def current_catalog(self) -> Catalog:
        """What may be seen of the schema, read anew if its fingerprint has changed."""
        from sqlgen.catalog import load_catalog

        fingerprint = self._fingerprint()
        with self._lock:
            if self._engine is None:
                assert self._catalog is not None
                whole = replace(self._catalog, fingerprint=fingerprint)
                if self.protection is None or self.protection.visible.fingerprint != fingerprint:
                    self.protection = self.enforcement.protection(whole)
                return self._catalog if self.protection is None else self.protection.visible
            if self._catalog is not None and self._catalog.fingerprint == fingerprint:
                return self._catalog
            from sqlgen.store import read_catalog, write_catalog

            path = self.folder() / _CATALOG_FILE
            catalog = read_catalog(path, fingerprint)
            if catalog is None:
                previous = self._sampled or read_catalog(path, None)
                catalog = load_catalog(
                    self._engine,
                    progress=self._progress,
                    unsampled=self._unsampled,
                    previous=previous if _same_scope(previous, fingerprint) else None,
                )
                earlier, self._earlier = previous or self._earlier, None
                if earlier is not None:
                    self._note_renames(earlier, catalog)
                # A schema that changes while it is read: the older mark makes the next question look again.
                catalog = replace(catalog, fingerprint=fingerprint)
                laid = self.enforcement.protection(catalog)
                write_catalog(path, catalog if laid is None else laid.catalog)
            self.protection = self.enforcement.protection(catalog)
            self._sampled = catalog
            self._catalog = catalog if self.protection is None else self.protection.visible
            return self._catalog

    def current_index(self, *, rebuild: bool = False) -> tuple[Catalog, Index]:
        """The catalog with its descriptions, and the index that fits both."""
        with self._lock:
            catalog = self.described_catalog(self.current_catalog())
            # Descriptions change what is indexed, not the schema's fingerprint.
            is_current = self._index is not None and self._index.catalog is catalog
            if self._index is None or not is_current or self.index_fingerprint != catalog.fingerprint:
                from sqlgen.catalog import ValueReader
                from sqlgen.retrieval import open_index

                self._drop_index()
                self._index = open_index(
                    catalog,
                    self._index_place(),
                    values=None if self._engine is None else ValueReader(self._engine, self._is_closed),
                    progress=self._progress,
                    embedder=self._embedder.get(),
                    scope=_scope(catalog),
                    rebuild=rebuild,
                )
                self.index_fingerprint = catalog.fingerprint
            return catalog, self._index

    def retrieve(
        self, text: str, k: int | None, count_tokens: Callable[[str], int], learned: Sequence[Term] = ()
    ) -> tuple[Catalog, Scene]:
        """The catalog, and what of it and of the knowledge the model shall see for a question.

        ``learned`` are terms that an adapter brings; what people say of the same words goes before them.
        """
        from sqlgen.knowledge import find_named, match_documents, similar_queries
        from sqlgen.retrieval.standins import set_scene

        known = self.knowledge.snapshot()
        with self._lock:
            catalog, index = self.current_index()
            context = index.retrieve(
                text, k=k, token_budget=self._settings.token_budget, count_tokens=count_tokens
            )
        context = replace(
            context,
            terms=(*context.terms, *match_documents(text, known.passages)),
            queries=tuple(
                filter(self.may_be_seen, similar_queries(text, [item for _, item in known.verified]))
            ),
        )
        return catalog, set_scene(text, find_named(text, (*learned, *known.terms)), context, catalog)

    def checked(
        self, sql: str, dialect: Dialect | None = None, policy_context: Mapping[str, Any] | None = None
    ) -> ValidatedQuery | Rejection:
        """May this SQL run here? ``dialect`` differs from the database's own for a schema file alone."""
        from sqlgen.validation import validate

        dialect = self.dialect if dialect is None else check_dialect(dialect)
        if dialect != self.dialect and self._engine is not None:
            message = f"this database speaks {self.dialect}, not {dialect}"
            return Rejection(sql, (Finding("dialect", message),))
        catalog, protection = self.current_catalog(), self.protection
        if protection is None:
            return validate(sql, replace(catalog, dialect=dialect), dialect)
        if dialect != self.dialect:
            protection = self.enforcement.protection(replace(protection.catalog, dialect=dialect))
        if protection is not None:
            protection = replace(protection, context=self.enforcement.context(policy_context))
        return validate(sql, catalog, dialect, protection=protection)

    def refresh(self, *, rebuild: bool = True) -> dict[str, object]:
        """Read the schema and its values anew and build the index from them; returns its status.

        With ``rebuild=False`` nothing is read again that still fits the schema.
        """
        from sqlgen.store import read_catalog

        with self._lock:
            if rebuild:
                path = self.folder() / _CATALOG_FILE
                # Nothing of it is used again, but that a name was another one is still seen.
                self._earlier = self._sampled or read_catalog(path, None)
                path.unlink(missing_ok=True)
                self._drop_index()
                if self._engine is not None:
                    self._catalog = self._sampled = None
            _, index = self.current_index(rebuild=rebuild)
            return {"state": "current", **index.status()}

    def index_status(self) -> dict[str, object]:
        """What the index on disk is like; nothing is built.

        ``state`` is missing, current, stale or unreadable.
        """
        from sqlgen.retrieval import read_status

        place = self._index_place()
        try:
            status = read_status(place)
        except IndexUnusable as error:
            return {"state": "unreadable", "path": str(place), "reason": str(error)}
        if status is None:
            return {"state": "missing", "path": str(place)}
        state = "current" if status["fingerprint"] == self._fingerprint() else "stale"
        return {"state": state, **status}

    def drift(self, queries: Iterable[tuple[str, str]] = ()) -> list[Broken]:
        """What people vouched for and the schema no longer allows: verified queries, terms and metrics.

        ``queries``, each (id, SQL), are looked at as well: golden questions, say. Where a rename explains it,
        ``proposal`` is the query under the new names, checked.
        """
        from sqlgen.catalog.drift import read_renames
        from sqlgen.drift import Broken, broken_queries, proposal_for
        from sqlgen.knowledge import Term, Verified

        catalog = self.current_catalog()
        entries = self.knowledge.entries()
        held = [(e.id, "verified query", e.item.sql) for e in entries if isinstance(e.item, Verified)]
        held += [(identity, "query", sql) for identity, sql in queries]
        renames = read_renames(self.folder() / _RENAMES_FILE)
        broken = broken_queries(held, self.checked, catalog, self.dialect, renames)
        for entry in entries:
            objection = self.objection(entry.item) if isinstance(entry.item, Term) else None
            if objection is not None:
                kind = "metric" if getattr(entry.item, "is_metric", False) else "term"
                why = objection.findings[0].message
                proposal = proposal_for(objection.sql, self.checked, catalog, self.dialect, renames)
                broken.append(Broken(entry.id, kind, objection.sql, why, proposal))
        return broken

    def renamed(self, sql: str) -> str:
        """``sql`` under the names that the schema has now, checked; "" where no rename explains it."""
        from sqlgen.catalog.drift import read_renames
        from sqlgen.drift import proposal_for

        renames = read_renames(self.folder() / _RENAMES_FILE)
        return proposal_for(sql, self.checked, self.current_catalog(), self.dialect, renames)

    def described_catalog(self, catalog: Catalog) -> Catalog:
        """The catalog with what people know of its tables and columns; the same object while nothing changes."""
        descriptions = self.knowledge.snapshot().descriptions
        if not descriptions:
            return catalog
        if (
            self._described is None
            or self._described[0] is not catalog
            or self._described[1] is not descriptions
        ):
            from sqlgen.catalog.drift import read_renames, successors
            from sqlgen.knowledge import carried, describe

            renames = successors(read_renames(self.folder() / _RENAMES_FILE))
            known = [*carried(descriptions, catalog, *renames), *descriptions]
            self._described = (catalog, descriptions, describe(catalog, known))
        return self._described[2]

    def objection(self, item: Item) -> Rejection | None:
        """Why an item cannot be used with this database, or None."""
        from sqlgen.knowledge import Description, Term, Verified
        from sqlgen.sql.standins import NotExpressible, read_definition
        from sqlgen.validation import validate

        catalog = self.current_catalog()
        if isinstance(item, Verified):
            outcome = self.checked(item.sql)
            if not isinstance(outcome, Rejection):
                return None
            # A value for a row filter comes with whoever asks.
            return outcome if any(f.rule != "policy_context" for f in outcome.findings) else None
        if isinstance(item, Description):
            names = {t.key.casefold() for t in catalog.tables} | {t.name.casefold() for t in catalog.tables}
            names |= {
                f"{name}.{c.name}".casefold()
                for t in catalog.tables
                for name in (t.key, t.name)
                for c in t.columns
            }
            if item.name.casefold() not in names:
                return Rejection("", (Finding("knowledge", f"this database has no {item.name}"),))
        if not isinstance(item, Term) or not item.sql_for(self.dialect):
            return None
        sql = item.sql_for(self.dialect)
        try:
            definition = read_definition(sql, catalog, self.dialect, item.tables, item.filters)
        except NotExpressible as reason:
            return Rejection(sql, (Finding("definition", str(reason)),))
        outcome = validate(definition.probe(), catalog, self.dialect, protection=self.protection)
        return outcome if isinstance(outcome, Rejection) else None

    def may_be_seen(self, query: VerifiedQuery) -> bool:
        """False for a query that names what the policy closes."""
        if self.protection is None:
            return True
        from sqlgen.validation import validate

        outcome = validate(query.sql, self.protection.visible, self.dialect, protection=self.protection)
        found = outcome.findings if isinstance(outcome, Rejection) else ()
        return not any(finding.rule in ("denied_table", "denied_column") for finding in found)

    def has_drifted(self) -> bool:
        """True if the schema changed since it was read."""
        catalog = self._catalog
        return catalog is not None and self._fingerprint() != catalog.fingerprint

    def is_in_memory(self) -> bool:
        """True for a database that ends with its connection, so that one thread must do everything."""
        if self._engine is None or self.dialect not in ("sqlite", "duckdb"):
            return False
        return self._engine.url.database in (None, "", ":memory:")

    def folder(self) -> Path:
        """Where everything about this database is kept."""
        from sqlgen.store import store_folder

        if self._engine is None:
            assert self._catalog is not None
            return store_folder(self._settings.home, f"ddl-{self.dialect}", self._catalog.fingerprint)
        url = self._engine.url
        if self.is_in_memory():
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="sqlgen-")
            return Path(self._scratch.name)
        if self.dialect in ("sqlite", "duckdb"):
            path = Path((url.database or "").removeprefix("file:").partition("?")[0]).absolute()
            return store_folder(self._settings.home, path.stem, f"{self.dialect}:{path}")
        identity = url.set(password=None).render_as_string(hide_password=False)
        return store_folder(self._settings.home, url.database or self.dialect, identity)

    def close(self) -> None:
        """Give back the index, the knowledge and what was kept for this connection alone."""
        with self._lock:
            self._drop_index()
            if self._knowledge is not None:
                self._knowledge.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _note_renames(self, old: Catalog, new: Catalog) -> None:
        """Keep what has another name now, for descriptions and for queries that people vouched for."""
        from sqlgen.catalog.drift import find_renames, remember_renames

        found = find_renames(old, new)
        if found:
            try:
                remember_renames(self.folder() / _RENAMES_FILE, found)
            except OSError as error:
                _log.warning("renames cannot be kept (%s)", error.strerror)
            self._described = None

    def _unsampled(self, catalog: Catalog) -> dict[str, frozenset[str]]:
        """Columns by table key that no cell may be read of: by policy, or because the user said so."""
        closed = dict(self.enforcement.unsampled(catalog))
        for table in catalog.tables:
            skipped = {column.name for column in table.columns if self._is_skipped(table, column)}
            if skipped:
                closed[table.key] = closed.get(table.key, frozenset()) | skipped
        return closed

    def _is_skipped(self, table: Table, column: Column) -> bool:
        name = f"{table.key}.{column.name}".lower()
        return any(fnmatchcase(name, pattern.lower()) for pattern in self._settings.skip_values)

    def _is_closed(self, table: Table, column: Column) -> bool:
        laid = self.protection
        return self._is_skipped(table, column) or (laid is not None and column.name in laid.unsampled(table))

    def _drop_index(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            index.close()

    def _index_place(self) -> Path | SharedStore:
        from sqlgen.retrieval import SharedStore

        folder, url = self.folder(), self._settings.index_store
        if url is None or self.is_in_memory():
            return folder / _INDEX_FILE
        return SharedStore(url, folder.name)

    def _fingerprint(self) -> str:
        skipped = _skip_mark(self._settings.skip_values)
        if self._watch is None:
            assert self._catalog is not None
            return self._catalog.fingerprint + self.enforcement.mark(None)
        return self._watch.fingerprint() + self.enforcement.mark(self._engine) + skipped


def _same_scope(catalog: Catalog | None, fingerprint: str) -> bool:
    return catalog is not None and _scope(catalog) == ":".join(fingerprint.split(":")[2:])


def _skip_mark(patterns: Sequence[str]) -> str:
    """What a fingerprint gains by columns whose values are left alone; nothing when there are none."""
    return f":{hashlib.sha256(repr(sorted(patterns)).encode()).hexdigest()[:16]}" if patterns else ""


def _scope(catalog: Catalog) -> str:
    """What of a fingerprint speaks of the policy (``Enforcement.mark``): nothing of an index outlives it."""
    return ":".join(catalog.fingerprint.split(":")[2:])
