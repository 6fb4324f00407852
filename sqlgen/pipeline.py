"""The one file that knows the order: retrieve, generate, validate, execute.

``connect`` makes a ``Database``; its ``ask`` walks a question through all stages. Nothing heavy is imported
before the first use.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import tempfile
import threading
import time
import unicodedata
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from sqlgen.audit import AuditLog, audited, current_entry
from sqlgen.config import Settings, load_settings, nearest
from sqlgen.enforcement import Enforcement
from sqlgen.errors import (
    IndexUnusable,
    LimitReached,
    ModelUnavailable,
    QueryFailed,
    SchemaFileError,
    SqlgenError,
    StoreUnusable,
    UsageError,
)
from sqlgen.export import answer_document, to_arrow, to_pandas, to_polars
from sqlgen.history import History, Line, line_of
from sqlgen.policy import Protection
from sqlgen.types import (
    Answer,
    Candidate,
    Catalog,
    Citation,
    Column,
    Dialect,
    Finding,
    Limits,
    ModelInfo,
    Question,
    Rejection,
    Result,
    RetrievedContext,
    Table,
    ValidatedQuery,
    VerifiedQuery,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.catalog import SchemaWatch
    from sqlgen.drift import Broken
    from sqlgen.execution import Driver, RowStream
    from sqlgen.execution.login import LoginReport
    from sqlgen.generation import Generator
    from sqlgen.generation.choice import Chooser, Trial
    from sqlgen.knowledge import Description, Item, Knowledge, Term
    from sqlgen.registry import Registry
    from sqlgen.retrieval import Index, SharedStore
    from sqlgen.retrieval.embedder import Embedder
    from sqlgen.retrieval.recall import Recalled
    from sqlgen.retrieval.standins import Scene

__all__ = ["MAX_QUESTION_BYTES", "Confirm", "Database", "Progress", "Reply", "confidence_of", "connect"]

MAX_QUESTION_BYTES = 8192
_log = logging.getLogger("sqlgen.pipeline")
VERIFIED = "verified query"
_CATALOG_FILE = "catalog.json"
_KNOWLEDGE_FILE = "knowledge.sqlite"
# How sure an answer is that somebody vouched for, as it stands or with a literal exchanged.
_VOUCHED, _ADAPTED = 0.99, 0.9
_INDEX_FILE = "index.sqlite"
_RENAMES_FILE = "renames.json"
_TABLES_FOR_MODEL = 10
_EXECUTIONS = 4
# Seconds for all candidates after the first that ran.
_RIVALS_S = 0.5
# Below this, 30 % of the answers on unseen training databases were right (MODEL_CARD.md).
_SURE = 0.3
# Above the first, or above the second with a confidence below the third, the database does not hold it:
# on eight training databases kept from training, 1 and 5 of 421 questions that it does hold are above them.
_ABSENT, _DOUBTED, _POOR = 0.5, 0.3, 0.15
_UNSURE = "the model is not sure of this one; read the SQL before you use the rows, or ask more precisely"
_NOT_HERE = "this database does not seem to hold what the question asks for"
Verdict = Literal["allow", "reject"]


class Progress(Protocol):
    """Is told how far a long piece of work is: ``done`` of ``total`` steps, and what the step is."""

    def __call__(self, done: int, total: int, label: str, /) -> None: ...


class Confirm(Protocol):
    """Is asked, in one line, whether a costly query shall run."""

    def __call__(self, question: str, /) -> bool: ...


class Reply(Answer):
    """An ``Answer`` in the hands of whoever asked: it turns itself into documents and frames, and takes a verdict."""

    __slots__ = ("_database", "_written")

    def accept(self) -> None:
        """Say that this answer is right: from now on its question is answered by its SQL, and retraining learns it.

        UsageError for an answer without SQL.
        """
        self._home().accept(self._line())

    def reject(self) -> None:
        """Say that this answer is wrong; a verified query that it was taken from is removed (``undo`` brings it back)."""
        self._home().reject(self._line())

    def correct(self, sql: str) -> ValidatedQuery | Rejection:
        """Give the right SQL: from now on it answers the question. A Rejection says why it may not, and keeps nothing."""
        return self._home().correct(self._line(), sql)

    def _home(self) -> Database:
        database: Database | None = getattr(self, "_database", None)
        if database is None:
            raise UsageError(
                "this answer was copied from its database; give the verdict with sqlgen feedback"
            )
        return database

    def _line(self) -> Line:
        return line_of(self, database=self._home().identity, written=getattr(self, "_written", self.sql))

    def to_dict(self) -> dict[str, Any]:
        """The document that ``sqlgen ask --format json`` prints."""
        return answer_document(self)

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``; UsageError without rows or without pandas."""
        return to_pandas(self._rows())

    def to_arrow(self) -> Any:
        """The rows as a ``pyarrow.Table``; UsageError without rows or without pyarrow."""
        return to_arrow(self._rows())

    def to_polars(self) -> Any:
        """The rows as a ``polars.DataFrame``; UsageError without rows or without polars."""
        return to_polars(self._rows())

    def _rows(self) -> Result:
        if self.result is None:
            raise UsageError(
                f"this answer has no rows (status {self.status}): {self.message or 'not executed'}"
            )
        return self.result


def connect(
    url: str | Engine | None = None,
    *,
    schema_file: str | Path | None = None,
    dialect: Dialect | None = None,
    settings: Settings | None = None,
    generator: Generator | None = None,
    terms: Iterable[Term] = (),
    progress: Progress | None = None,
    policy_context: Mapping[str, Any] | None = None,
    confirm: Confirm | None = None,
    user: str | None = None,
) -> Database:
    """Open a database to ask: a URL or a SQLAlchemy engine, or DDL text alone with ``schema_file``.

    Without ``url`` the setting ``db`` counts. ``settings`` default to what sqlgen.toml and the environment
    say. With ``schema_file`` there is no database: answers carry SQL in ``dialect`` (default sqlite) and no
    rows. ``terms`` are the words of the business; ``policy_context`` gives values for the names in the policy's row
    filters. ``confirm`` is asked about a query over the planner's
    limits where the setting ``on_estimate`` is ask. ``user`` is who asks, for the audit log. Raises
    ConnectionFailed, UsageError or SchemaFileError.
    """
    settings = load_settings() if settings is None else settings
    if schema_file is not None:
        if url is not None:
            raise UsageError("give a database or a schema file, not both")
        catalog, views = _catalog_of_file(Path(schema_file), check_dialect(dialect or "sqlite"))
        return Database(
            settings,
            catalog=catalog,
            views=views,
            generator=generator,
            terms=terms,
            progress=progress,
            policy_context=policy_context,
            user=user,
        )
    target = settings.db if url is None else url
    if target is None:
        raise UsageError('no database; give --db URL, set SQLGEN_DB, or write db = "…" into sqlgen.toml')
    if dialect is not None:
        check_dialect(dialect)
    from sqlgen.catalog import open_engine

    engine = open_engine(target)
    database = Database(
        settings,
        engine=engine,
        owns_engine=isinstance(target, str),
        generator=generator,
        terms=terms,
        progress=progress,
        policy_context=policy_context,
        confirm=confirm,
        user=user,
    )
    if dialect is not None and dialect != database.dialect:
        database.close()
        raise UsageError(f"this database speaks {database.dialect}, not {dialect}")
    return database


def check_dialect(name: str) -> Dialect:
    """``name`` as a dialect; UsageError names the nearest one.

    >>> check_dialect("duckdb")
    'duckdb'
    """
    for known in get_args(Dialect):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(f"unknown dialect {name!r}; {nearest(name, get_args(Dialect))}")


def check_question(text: str) -> str:
    """The question without surrounding space; UsageError when it cannot be one.

    >>> check_question("  how many orders? ")
    'how many orders?'
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_QUESTION_BYTES:
        raise UsageError(
            f"the question has {size:,} bytes; the limit is {MAX_QUESTION_BYTES:,} (8 kB): ask in fewer words"
        )
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n\r" for c in text) or "\ufffd" in text:
        raise UsageError("the question holds bytes that are no text; write it in plain words, UTF-8")
    text = text.strip()
    if not text:
        raise UsageError('the question is empty; ask something like "How many orders came in last month?"')
    return text


def confidence_of(candidate: Candidate) -> float:
    """How likely the model holds this very query for right: its probability, 0 to 1.

    On training databases that the model had not seen, that figure told right from wrong better than
    the candidate's share among its rivals did, and matched the share of right answers.

    >>> confidence_of(Candidate("SELECT 1", 0.0, "m", "1"))
    1.0
    """
    return 0.0 if math.isnan(candidate.logprob) else math.exp(min(0.0, candidate.logprob))


@dataclass(frozen=True, slots=True)
class _Allowed:
    """A candidate that validation let pass; ``doubt`` says what speaks against it, if anything."""

    candidate: Candidate
    query: ValidatedQuery
    confidence: float
    doubt: str = ""
    # The query as the model wrote it, with stand-ins, is what the chooser was fitted to judge.
    seen: ValidatedQuery | None = None
    used: frozenset[str] = frozenset()
    written: str = ""


class _Once:
    """A value made once, in the background when asked to; a failure is raised and tried anew next time."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._future: Future[Any] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to make it in the background."""
        future, is_new = self._claim()
        if not is_new:
            return
        try:
            threading.Thread(target=self._run, args=(future,), daemon=True).start()
        except RuntimeError:
            # No memory, or no room for one more thread: whoever asks for it makes it, or is told why not.
            self._run(future)

    def get(self) -> Any:
        """The value, made here and now unless that has begun already."""
        future, is_new = self._claim()
        if is_new:
            self._run(future)
        try:
            return future.result()
        except Exception:
            with self._lock:
                if self._future is future:
                    self._future = None
            raise

    def made(self) -> Any:
        """The value if it was ever begun and came to be, else None."""
        with self._lock:
            future = self._future
        return None if future is None or future.exception() is not None else future.result()

    def _claim(self) -> tuple[Future[Any], bool]:
        with self._lock:
            is_new = self._future is None
            if self._future is None:
                self._future = Future()
            return self._future, is_new

    def _run(self, future: Future[Any]) -> None:
        try:
            future.set_result(self._make())
        except BaseException as error:  # noqa: BLE001  raised again by get() in the asker's thread
            future.set_exception(error)


class _Model:
    """The generator in force: a given one, a named one, or the shipped one with the adapter of the registry.

    A promotion or a rollback is taken up by the next question; a question keeps the generator it began with.
    """

    def __init__(self, given: Generator | None, name: str, registry: Callable[[], Registry]) -> None:
        self._fixed = given is not None or name != "shipped"
        self._registry = registry
        self._stamp: tuple[int, int] | None = None
        self._lock = threading.Lock()
        self._once = _Once(lambda: given if given is not None else _load_model(name))

    def start(self) -> None:
        """Begin to load it in the background."""
        self._in_force().start()

    def get(self) -> Any:
        """The generator, loaded here and now unless that has begun already."""
        return self._in_force().get()

    def _in_force(self) -> _Once:
        if self._fixed:
            return self._once
        with self._lock:
            stamp = self._registry().stamp()
            if stamp != self._stamp:
                self._once = _Once(lambda: _load_shipped(self._registry()))
                self._stamp = stamp
            return self._once


class Database:
    """One database to ask, made by ``connect``. Safe to share between threads; a context manager.

    The catalog, the index, the driver and the model are made on first use. The schema's fingerprint is
    compared on every question, so that the next question sees a changed schema.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: Engine | None = None,
        owns_engine: bool = False,
        catalog: Catalog | None = None,
        views: Mapping[str, str] | None = None,
        generator: Generator | None = None,
        terms: Iterable[Term] = (),
        progress: Progress | None = None,
        policy_context: Mapping[str, Any] | None = None,
        confirm: Confirm | None = None,
        user: str | None = None,
    ) -> None:
        if (engine is None) == (catalog is None):
            raise UsageError("a Database is made by sqlgen.connect(url) or sqlgen.connect(schema_file=…)")
        self._settings = settings
        self._engine = engine
        self._owns_engine = owns_engine
        self._progress = progress
        self._confirm = confirm
        self._audit = (
            None
            if settings.audit_log is None
            else AuditLog(settings.audit_log, hash_questions=settings.audit_question == "hash", user=user)
        )
        self._catalog = catalog
        self._enforcement = Enforcement(settings, policy_context, views)
        self._protection: Protection | None = None
        self._index: Index | None = None
        self._index_fingerprint = ""
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._schema_lock = threading.RLock()
        self._closed = False
        self._adapters: Registry | None = None
        self._generator = _Model(generator, settings.model, lambda: self.adapters)
        self._chooser = _Once(lambda: _load_chooser(self._generator.get().info))
        self._driver = _Once(self._open_driver)
        self._embedder = _Once(_load_embedder)
        self._terms = tuple(terms)
        self._user = user or ""
        self._knowledge: Knowledge | None = None
        self._history = History(settings.home)
        self._described: tuple[Catalog, tuple[Description, ...], Catalog] | None = None
        self._sampled: Catalog | None = None
        self._earlier: Catalog | None = None
        self._watch: SchemaWatch | None = None
        if engine is None:
            assert catalog is not None
            self._dialect = catalog.dialect
        else:
            from sqlgen.catalog import SchemaWatch, dialect_of

            self._dialect = dialect_of(engine)
            self._watch = SchemaWatch(engine)

    def __repr__(self) -> str:
        what = (
            "schema file" if self._engine is None else self._engine.url.render_as_string(hide_password=True)
        )
        return f"<sqlgen.Database {what} ({self._dialect})>"

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect that answers are written in."""
        return self._dialect

    @property
    def adapters(self) -> Registry:
        """The adapters of the shipped model that were trained for this database."""
        from sqlgen.registry import Registry

        if self._adapters is None:
            self._adapters = Registry(self._folder() / "models")
        return self._adapters

    @property
    def knowledge(self) -> Knowledge:
        """Terms, metrics, documents and verified queries of this database."""
        from sqlgen.knowledge import Knowledge

        with self._schema_lock:
            if self._knowledge is None:
                self._knowledge = Knowledge(
                    self._folder() / _KNOWLEDGE_FILE,
                    judge=self._objection,
                    given=self._terms,
                    folder=self._settings.knowledge,
                    who=self._user,
                )
            return self._knowledge

    @property
    def history(self) -> History:
        """The answers and verdicts of all databases under the same ``home``."""
        return self._history

    @property
    def identity(self) -> str:
        """What tells this database apart in the history."""
        return "memory" if self._is_in_memory() else self._folder().name

    @property
    def catalog(self) -> Catalog:
        """The description of what may be seen of the schema, up to date."""
        return self._with_descriptions(self._current_catalog())

    def warm(self, *, execute: bool = True) -> None:
        """Begin in the background what the first question waits for: the model and the driver."""
        self._check_open()
        self._generator.start()
        self._embedder.start()
        # A database in memory may belong to one thread, so its driver is opened by whoever asks.
        if execute and self._engine is not None and not self._is_in_memory():
            self._driver.start()

    def ask(
        self,
        text: str,
        *,
        execute: bool = True,
        beams: int | None = None,
        max_rows: int | None = None,
        timeout_s: float | None = None,
        policy_context: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Answer a question in plain words.

        The status tells what came of it: ``answered``; ``rejected`` (nothing the model wrote passed
        validation); ``abstained`` (not sure enough, or nothing in this database to answer from);
        ``error`` (the database refused every query that passed). With ``execute=False``, or without a
        database, an answered question has SQL and no result. ``policy_context`` gives values for the names in
        the policy's row filters, for this question. Raises UsageError for a text that is no
        question, ConnectionFailed, EmptyDatabase, LimitReached, ModelUnavailable.
        """
        self._check_open()
        limits = self._limits(timeout_s, max_rows)
        execute = execute and self._engine is not None
        beams = self._settings.beams if beams is None else beams
        with audited(self._audit, "ask", self._name(), text) as entry:
            text = check_question(text)
            self.warm(execute=execute)
            context = self._enforcement.context(policy_context)
            reply = self._walk(text, limits, beams, execute, context)
            # A schema that changed between reading it and running the query deserves one fresh attempt.
            if reply.status == "error" and self._has_drifted():
                reply = self._walk(text, limits, beams, execute, context)
            entry.fields |= _audited_fields(reply)
        self._keep(reply)
        return reply

    def stream(
        self,
        sql: str,
        *,
        batch_rows: int = 10_000,
        timeout_s: float | None = None,
        policy_context: Mapping[str, Any] | None = None,
    ) -> RowStream | Rejection:
        """Run SQL that passes validation and hand out all of its rows in batches, or say why it may not run.

        Memory stays constant whatever the number of rows: a batch has at most ``batch_rows`` rows and about a
        mebibyte. The time limit counts for each batch. Use it in a ``with`` block.
        """
        self._check_open()
        if self._engine is None:
            raise UsageError("a schema file has no rows; connect to a database")
        limits = self._limits(timeout_s, batch_rows)
        with audited(self._audit, "stream", self._name()) as entry:
            outcome = self._checked(sql, policy_context=policy_context)
            entry.fields |= _verdict_fields(outcome, sql)
            if isinstance(outcome, Rejection):
                return outcome
            driver: Driver = self._driver.get()
            self._require_cheap(driver, outcome, limits)
            began = time.perf_counter()
            rows = driver.stream(outcome, limits)
            entry.add_run(outcome.sql, "streaming", None, time.perf_counter() - began)
        return rows

    def inspect_login(self) -> LoginReport:
        """What the login of this connection could do beyond reading; UsageError without a database."""
        self._check_open()
        if self._engine is None:
            raise UsageError("a schema file has no login; connect to a database")
        from sqlgen.execution.login import inspect_login

        return inspect_login(self._engine, self._dialect)

    def ask_many(
        self, texts: Iterable[str], *, workers: int | None = None, execute: bool = True
    ) -> Iterator[Reply | SqlgenError]:
        """Answers to many questions, in their order, ``workers`` at a time (default: one a core).

        What ``ask`` would raise for a question comes in its place, so that one bad question does not end
        the others. At most four questions a worker are read ahead of what was taken.
        """
        self._check_open()
        count = 1 if self._is_in_memory() else (os.cpu_count() or 1) if workers is None else workers
        if count < 1:
            raise UsageError(f"workers is {workers}; give 1 or more")

        def one(text: str) -> Reply | SqlgenError:
            try:
                return self.ask(text, execute=execute)
            except SqlgenError as error:
                return error

        if count == 1:
            yield from map(one, texts)
            return
        waiting: deque[Future[Reply | SqlgenError]] = deque()
        with ThreadPoolExecutor(count, thread_name_prefix="sqlgen-ask") as pool:
            for text in texts:
                waiting.append(pool.submit(one, text))
                if len(waiting) >= 4 * count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def retrieve(self, text: str, k: int | None = None) -> RetrievedContext:
        """What the model would be handed for this question, best table first.

        With ``k`` at most that many tables; without it all that the budget holds.
        """
        self._check_open()
        text = check_question(text)
        try:
            count_tokens = self._generator.get().count_tokens
        except ModelUnavailable:
            count_tokens = _estimate_tokens
        context = self._retrieve(text, k or _TABLES_FOR_MODEL, count_tokens)[1].found
        if k is None or len(context.tables) <= k:
            return context
        from sqlgen.catalog import natural_name

        kept = {piece.table.key for piece in context.tables[:k]}
        values = tuple(match for match in context.values if match.table in kept)
        tables = [piece.table for piece in context.tables[:k]]
        names = [natural_name(name) for t in tables for name in (t.name, *(c.name for c in t.columns))]
        return replace(
            context,
            tables=context.tables[:k],
            values=values,
            token_count=sum(1 + count_tokens(text) for text in [*names, *(m.value for m in values)]),
            omitted=(*context.omitted, *(piece.table.key for piece in context.tables[k:])),
        )

    def check(
        self,
        sql: str,
        *,
        dialect: Dialect | None = None,
        policy_context: Mapping[str, Any] | None = None,
    ) -> ValidatedQuery | Rejection:
        """Only the validation: may this SQL run here?

        ``dialect`` is what the SQL is written in, when a schema file stands for databases of several;
        a live database takes its own only. ``policy_context`` is as for ``ask``.
        """
        self._check_open()
        with audited(self._audit, "check", self._name()) as entry:
            outcome = self._checked(sql, dialect, policy_context)
            entry.fields |= _verdict_fields(outcome, sql)
        return outcome

    def _checked(
        self, sql: str, dialect: Dialect | None = None, policy_context: Mapping[str, Any] | None = None
    ) -> ValidatedQuery | Rejection:
        from sqlgen.validation import validate

        dialect = self._dialect if dialect is None else check_dialect(dialect)
        if dialect != self._dialect and self._engine is not None:
            message = f"this database speaks {self._dialect}, not {dialect}"
            return Rejection(sql, (Finding("dialect", message),))
        catalog, protection = self._current_catalog(), self._protection
        if protection is None:
            return validate(sql, replace(catalog, dialect=dialect), dialect)
        if dialect != self._dialect:
            protection = self._enforcement.protection(replace(protection.catalog, dialect=dialect))
        if protection is not None:
            protection = replace(protection, context=self._enforcement.context(policy_context))
        return validate(sql, catalog, dialect, protection=protection)

    def refresh(self, *, rebuild: bool = True) -> dict[str, object]:
        """Read the schema and its values anew and build the index from them; returns its status.

        With ``rebuild=False`` nothing is read again that still fits the schema.
        """
        self._check_open()
        from sqlgen.store import read_catalog

        with self._schema_lock:
            if rebuild:
                path = self._folder() / _CATALOG_FILE
                # Nothing of it is used again, but that a name was another one is still seen.
                self._earlier = self._sampled or read_catalog(path, None)
                path.unlink(missing_ok=True)
                self._drop_index()
                if self._engine is not None:
                    self._catalog = self._sampled = None
            _, index = self._current_index(rebuild=rebuild)
            return {"state": "current", **index.status()}

    def index_status(self) -> dict[str, object]:
        """What the index on disk is like; nothing is built.

        ``state`` is missing, current, stale or unreadable.
        """
        self._check_open()
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
        self._check_open()
        from sqlgen.catalog.drift import read_renames
        from sqlgen.drift import Broken, broken_queries
        from sqlgen.knowledge import Term, Verified

        catalog = self._current_catalog()
        entries = self.knowledge.entries()
        held = [(e.id, "verified query", e.item.sql) for e in entries if isinstance(e.item, Verified)]
        held += [(identity, "query", sql) for identity, sql in queries]
        renames = read_renames(self._folder() / _RENAMES_FILE)
        broken = broken_queries(held, self._checked, catalog, self._dialect, renames)
        for entry in entries:
            objection = self._objection(entry.item) if isinstance(entry.item, Term) else None
            if objection is not None:
                kind = "metric" if getattr(entry.item, "is_metric", False) else "term"
                broken.append(Broken(entry.id, kind, objection.sql, objection.findings[0].message))
        return broken

    def close(self) -> None:
        """Give back the driver's worker, the connections and the index. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        driver = self._driver.made()
        if driver is not None:
            driver.close()
        with self._schema_lock:
            self._drop_index()
            if self._knowledge is not None:
                self._knowledge.close()
        self._history.close()
        if self._engine is not None and self._owns_engine:
            self._engine.dispose()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("this database is closed; call sqlgen.connect() again")

    # The walk of one question.

    def _walk(
        self, text: str, limits: Limits, beams: int, execute: bool, policy_context: Mapping[str, Any]
    ) -> Reply:
        clock = _Clock()
        generator: Generator = self._generator.get()
        with clock("retrieve"):
            catalog, scene = self._retrieve(text, _TABLES_FOR_MODEL, generator.count_tokens)
            context = scene.found
            recalled = self._recall(text, context)
        question = Question(text, self._dialect, id=uuid.uuid4().hex, today=self._settings.today)

        def reply(status: Literal["answered", "rejected", "abstained", "error"], **rest: Any) -> Reply:
            made = Reply(
                question=question,
                status=status,
                dialect=self._dialect,
                model=generator.info if recalled is None else ModelInfo(VERIFIED, recalled.id),
                id=question.id,
                context=context,
                timings_ms=clock.timings_ms(),
                **{"sql": "", **rest},
            )
            object.__setattr__(made, "_database", self)
            return made

        if not any(map(str.isalnum, text)):
            return reply("abstained", message="the question holds no word; say what you want to know")
        if not context.tables:
            return reply(
                "abstained",
                message="nothing in this database seems to be about that; name a table or column it holds",
            )
        notes = list(scene.notes)
        if recalled is not None:
            with clock("validate"):
                answer = self._reuse(recalled, catalog, policy_context)
            if isinstance(answer, _Allowed):
                with clock("execute"):
                    chosen, result, failures = self._take_likeliest([answer], limits, execute)
                reused: tuple[tuple[Candidate, Verdict]] = ((answer.candidate, "allow"),)
                if chosen is None:
                    return reply(
                        "error",
                        sql=answer.query.sql,
                        candidates=reused,
                        findings=failures,
                        message="the database refused the verified query: " + _first(failures),
                    )
                return _written(
                    reply(
                        "answered",
                        sql=answer.query.sql,
                        result=result,
                        confidence=answer.confidence,
                        candidates=reused,
                        findings=result.notes if result else (),
                        warnings=answer.query.warnings,
                        citations=(_cite_query(recalled), *_cite(answer.query, context)),
                        message=answer.doubt,
                    ),
                    answer.candidate.sql,
                )
            notes.append(answer)
            recalled = None
        with clock("generate"):
            candidates, p_unanswerable = _part(
                generator.generate(replace(question, text=scene.text), scene.context, beams=beams)
            )
        if not candidates:
            return reply(
                "abstained",
                message=_NOT_HERE
                if p_unanswerable
                else "the model found no query for this question; say it another way, "
                "naming the things and the figures you want",
            )
        with clock("validate"):
            allowed, verdicts, findings = self._judge(candidates, catalog, policy_context, scene)
        plain = self._plainer(scene) if scene.stand_ins and not _uses_all(allowed, scene) else None
        if plain is not None:
            # The name of a figure may lead the model astray; a plain word in its place does not.
            with clock("generate"):
                more, _ = _part(
                    generator.generate(replace(question, text=plain.text), plain.context, beams=beams)
                )
            with clock("validate"):
                others, other_verdicts, other_findings = self._judge(more, catalog, policy_context, plain)
            if _uses_all(others, plain):
                scene, p_unanswerable = plain, 0.0
                candidates, allowed, verdicts, findings = more, others, other_verdicts, other_findings
        written = {attempt.candidate: attempt.written for attempt in allowed}
        judged = tuple(
            (replace(c, sql=written.get(c, c.sql)), verdict)
            for c, verdict in zip(candidates, verdicts, strict=True)
        )
        if scene.stand_ins:
            allowed, missed = _of_definitions(allowed, scene, findings)
            if missed:
                notes.append(missed)
            findings = tuple(sorted(findings, key=lambda f: f.rule != "definition"))
        if not allowed:
            return reply(
                "rejected",
                sql=candidates[0].sql,
                candidates=judged,
                findings=findings,
                message="no query that the model wrote passed validation: " + _first(findings),
            )
        with clock("execute"):
            chosen, result, failures = self._choose(
                scene.text, scene.context, allowed, limits, execute, p_unanswerable
            )
        if chosen is None:
            return reply(
                "error",
                sql=allowed[0].query.sql,
                candidates=judged,
                findings=failures,
                message="the database refused every query that passed validation: " + _first(failures),
            )
        wanted = self._wanted_confidence()
        absent = p_unanswerable > _ABSENT or (p_unanswerable > _DOUBTED and chosen.confidence < _POOR)
        if chosen.confidence < wanted or absent:
            return reply(
                "abstained",
                candidates=judged,
                confidence=chosen.confidence,
                message=_NOT_HERE + _because(chosen.doubt)
                if absent
                else f"not sure enough (confidence {chosen.confidence:.2f}, wanted {wanted:.2f})"
                f"{_because(chosen.doubt)}; say the question more precisely",
            )
        if chosen.confidence < _SURE:
            notes.append(_UNSURE + _because(chosen.doubt))
        return _written(
            reply(
                "answered",
                sql=chosen.query.sql,
                result=result,
                confidence=chosen.confidence,
                candidates=judged,
                findings=result.notes if result else (),
                warnings=chosen.query.warnings,
                citations=_cite(chosen.query, context),
                message="; ".join(notes),
            ),
            chosen.written or chosen.candidate.sql,
        )

    def _plainer(self, scene: Scene) -> Scene | None:
        from sqlgen.knowledge import find_named
        from sqlgen.retrieval.standins import neutral_scene

        return neutral_scene(scene, find_named(scene.text, self.knowledge.snapshot().terms))

    def _recall(self, text: str, context: RetrievedContext) -> Recalled | None:
        """A verified query for this very question, if there is one."""
        verified = self.knowledge.snapshot().verified
        if not verified:
            return None
        from sqlgen.retrieval.recall import recall

        return recall(text, verified, context.values, self._dialect, self._settings.today)

    def _reuse(
        self, recalled: Recalled, catalog: Catalog, policy_context: Mapping[str, Any]
    ) -> _Allowed | str:
        """The verified query as a candidate that validation let pass, or in words why it can't be used any more."""
        sure = _VOUCHED if not recalled.exchanged else _ADAPTED
        candidate = Candidate(recalled.sql, math.log(sure), VERIFIED, recalled.id)
        allowed, _, findings = self._judge((candidate,), catalog, policy_context)
        if not allowed:
            return f"the verified query {recalled.id} no longer fits this database: {_first(findings)}"
        changed = ", ".join(f"{old} → {new}" for old, new in recalled.exchanged)
        doubt = (
            f'adapted from the verified query "{recalled.verified.question}": {changed}' if changed else ""
        )
        return replace(allowed[0], confidence=sure, doubt=doubt)

    # What people say of answers.

    def accept(self, line: Line) -> None:
        """Take an answer of the history for right: ``Reply.accept`` and ``sqlgen feedback --right``."""
        sql = line.written or line.sql
        if not sql or line.status != "answered":
            raise UsageError(f"this answer has no SQL to accept (status {line.status}); give it with --sql")
        self._vouch(line, sql, "right", "accepted answer")

    def reject(self, line: Line) -> None:
        """Take an answer of the history for wrong."""
        self._check_mine(line)
        if line.model.startswith(VERIFIED):
            used = line.model.removeprefix(VERIFIED).strip()
            if any(entry.id == used and entry.is_stored for entry in self.knowledge.entries("query")):
                self.knowledge.remove(used)
        if self._settings.history:
            self._history.judge(line.id, "wrong", user=self._user)

    def correct(self, line: Line, sql: str) -> ValidatedQuery | Rejection:
        """Give the right SQL for an answer of the history; it answers the question from now on."""
        self._check_mine(line)
        outcome = self.check(sql)
        if isinstance(outcome, ValidatedQuery):
            self._vouch(line, sql.strip().rstrip("; \n"), "corrected", "correction")
        return outcome

    def _vouch(self, line: Line, sql: str, verdict: Literal["right", "corrected"], source: str) -> None:
        self._check_mine(line)
        refused = self.knowledge.add_query(line.question, sql, source=source, why=f"feedback {line.id[:8]}")
        if isinstance(refused, Rejection):
            raise UsageError(f"its SQL no longer fits this database: {_first(refused.findings)}")
        if self._settings.history:
            self._history.judge(line.id, verdict, sql, user=self._user)

    def _check_mine(self, line: Line) -> None:
        self._check_open()
        if line.database != self.identity:
            raise UsageError(f"that answer was about another database ({line.url}); give it with --db")

    def _keep(self, reply: Reply) -> None:
        if not self._settings.history:
            return
        try:
            self._history.add(
                reply,
                database=self.identity,
                url=self._name(),
                context=self._index_fingerprint,
                written=getattr(reply, "_written", ""),
                user=self._user,
            )
        except StoreUnusable as error:
            # An answer is worth more than its line in the history.
            _log.warning("%s", error)

    def _objection(self, item: Item) -> Rejection | None:
        """Why an item cannot be used with this database, or None."""
        from sqlgen.knowledge import Description, Term, Verified
        from sqlgen.sql.standins import NotExpressible, read_definition
        from sqlgen.validation import validate

        catalog = self._current_catalog()
        if isinstance(item, Verified):
            outcome = self._checked(item.sql)
            return outcome if isinstance(outcome, Rejection) else None
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
        if not isinstance(item, Term) or not item.sql_for(self._dialect):
            return None
        sql = item.sql_for(self._dialect)
        try:
            definition = read_definition(sql, catalog, self._dialect, item.tables, item.filters)
        except NotExpressible as reason:
            return Rejection(sql, (Finding("definition", str(reason)),))
        outcome = validate(definition.probe(), catalog, self._dialect, protection=self._protection)
        return outcome if isinstance(outcome, Rejection) else None

    def _may_be_seen(self, query: VerifiedQuery) -> bool:
        """False for a query that names what the policy closes."""
        if self._protection is None:
            return True
        from sqlgen.validation import validate

        outcome = validate(query.sql, self._protection.visible, self._dialect, protection=self._protection)
        found = outcome.findings if isinstance(outcome, Rejection) else ()
        return not any(finding.rule in ("denied_table", "denied_column") for finding in found)

    def _judge(
        self,
        candidates: Sequence[Candidate],
        catalog: Catalog,
        policy_context: Mapping[str, Any],
        scene: Scene | None = None,
    ) -> tuple[list[_Allowed], list[Verdict], tuple[Finding, ...]]:
        from sqlgen.validation import validate

        protection = self._protection
        if protection is not None:
            protection = replace(protection, context=policy_context)
        allowed: list[_Allowed] = []
        verdicts: list[Verdict] = []
        findings: dict[str, Finding] = {}
        for candidate in candidates:
            written, used = _expanded(candidate.sql, scene, catalog)
            if isinstance(written, Finding):
                verdicts.append("reject")
                findings.setdefault(written.message, written)
                continue
            outcome = validate(written, catalog, self._dialect, protection=protection)
            if isinstance(outcome, Rejection):
                verdicts.append("reject")
                findings.update({f.message: f for f in outcome.findings if f.message not in findings})
            else:
                verdicts.append("allow")
                seen: ValidatedQuery | Rejection = outcome
                if scene and used:
                    seen = validate(candidate.sql, scene.catalog, self._dialect)
                elif protection is not None:
                    # The chooser knows queries as models write them, not as a policy rewrites them.
                    seen = validate(written, catalog, self._dialect)
                seen = outcome if isinstance(seen, Rejection) else seen
                allowed.append(
                    _Allowed(candidate, outcome, confidence_of(candidate), "", seen, used, written)
                )
        return allowed, verdicts, tuple(findings.values())

    def _choose(
        self,
        text: str,
        context: RetrievedContext,
        allowed: Sequence[_Allowed],
        limits: Limits,
        execute: bool,
        p_unanswerable: float,
    ) -> tuple[_Allowed | None, Result | None, tuple[Finding, ...]]:
        """The allowed candidate to answer with, its confidence settled, and its result."""
        chooser = self._chooser.get()
        if chooser is None:
            return self._take_likeliest(allowed, limits, execute)
        trials, outcomes = self._compare(allowed, limits, execute)
        if execute and not any(isinstance(outcome, Result) for outcome in outcomes):
            return None, None, tuple(outcome for outcome in outcomes if isinstance(outcome, Finding))
        choice = chooser.choose(text, context, trials, p_unanswerable)
        chosen = replace(allowed[choice.index], confidence=choice.confidence, doubt=choice.doubt)
        outcome = outcomes[choice.index]
        return chosen, outcome if isinstance(outcome, Result) else None, ()

    def _compare(
        self, allowed: Sequence[_Allowed], limits: Limits, execute: bool, rivals_s: float = _RIVALS_S
    ) -> tuple[list[Trial], list[Result | Finding | None]]:
        """The candidates as a chooser sees them, and what each found, or why it failed."""
        from sqlgen.generation.choice import trial_of

        outcomes: list[Result | Finding | None] = [None] * len(allowed)
        if execute:
            outcomes = self._run_rivals(allowed, limits, rivals_s)
        results = [outcome if isinstance(outcome, Result) else None for outcome in outcomes]
        trials = [
            trial_of(
                attempt.seen or attempt.query,
                attempt.candidate.logprob,
                result,
                group=group,
                state="failed" if isinstance(outcome, Finding) else "not run",
            )
            for attempt, result, outcome, group in zip(
                allowed, results, outcomes, _groups(results), strict=True
            )
        ]
        return trials, outcomes

    def _wanted_confidence(self) -> float:
        """Below this an answer is kept back: what the user set, else what was measured for this model."""
        if self._settings.min_confidence is not None:
            return self._settings.min_confidence
        chooser: Chooser | None = self._chooser.get()
        return 0.0 if chooser is None else chooser.threshold

    def _run_rivals(
        self, allowed: Sequence[_Allowed], limits: Limits, rivals_s: float
    ) -> list[Result | Finding | None]:
        """What each candidate finds, or why it failed; None for those that there was no time for.

        The first that runs has all the time it was given. The others are only there to compare with.
        """
        driver: Driver = self._driver.get()
        found: list[Result | Finding | None] = []
        began, is_rival = time.perf_counter(), False
        for attempt in allowed:
            if is_rival and time.perf_counter() - began > rivals_s:
                found.append(None)
                continue
            timeout_s = min(limits.timeout_s, rivals_s) if is_rival else limits.timeout_s
            try:
                found.append(self._run(driver, attempt.query, replace(limits, timeout_s=timeout_s)))
                began, is_rival = began if is_rival else time.perf_counter(), True
            except QueryFailed as error:
                found.append(Finding("execution", str(error)))
            except LimitReached as error:
                if not is_rival:
                    raise
                found.append(Finding("execution", str(error)))
        return found

    def _run(self, driver: Driver, query: ValidatedQuery, limits: Limits) -> Result:
        """The query's rows, if its planner lets it run; what ran is noted for the audit log."""
        note = self._require_cheap(driver, query, limits)
        began = time.perf_counter()
        try:
            result = driver.execute(query, limits)
        except SqlgenError as error:
            current_entry().add_run(query.sql, type(error).__name__, None, time.perf_counter() - began)
            raise
        current_entry().add_run(query.sql, "ok", len(result.rows), result.elapsed_s)
        return replace(result, notes=(*result.notes, note)) if note else result

    def _require_cheap(self, driver: Driver, query: ValidatedQuery, limits: Limits) -> Finding | None:
        """LimitReached for a query that the planner finds too costly; a note when it may run all the same."""
        settings = self._settings
        if settings.max_estimated_rows is None and settings.max_cost is None:
            return None
        from sqlgen.execution.cost import excess

        estimate = driver.estimate(query, limits)
        if estimate is None:
            return None
        over = excess(estimate, settings.max_estimated_rows, settings.max_cost)
        if not over:
            return None
        if settings.on_estimate == "run" or (
            settings.on_estimate == "ask" and self._confirm is not None and self._confirm(f"{over}; run it?")
        ):
            return Finding("cost", over)
        raise LimitReached(f"{over}; narrow the question, or raise the limit", "cost")

    def _limits(self, timeout_s: float | None, max_rows: int | None) -> Limits:
        settings = self._settings
        return Limits(
            timeout_s=settings.timeout_s if timeout_s is None else timeout_s,
            max_rows=settings.max_rows if max_rows is None else max_rows,
            max_bytes=settings.max_bytes,
            max_cell_bytes=settings.max_cell_bytes,
            max_memory_mib=settings.max_memory_mib,
        )

    def _name(self) -> str:
        """The database in a line of the audit log, without any secret."""
        if self._engine is None:
            return "schema file"
        from sqlgen.catalog import masked_url

        return masked_url(self._engine.url)

    def _take_likeliest(
        self, allowed: Sequence[_Allowed], limits: Limits, execute: bool
    ) -> tuple[_Allowed | None, Result | None, tuple[Finding, ...]]:
        """The likeliest candidate that runs: the rule for models that no chooser was fitted to.

        People mostly ask about what is there: a candidate that finds nothing gives way to the next one
        that finds something, if the model holds that for nearly as likely.
        """
        if not execute or allowed[0].confidence < (self._settings.min_confidence or 0.0):
            return allowed[0], None, ()
        driver: Driver = self._driver.get()
        failures: list[Finding] = []
        best: tuple[float, _Allowed, Result] | None = None
        for attempt in allowed[:_EXECUTIONS]:
            if best is not None and attempt.confidence <= best[0]:
                break
            try:
                result = self._run(driver, attempt.query, limits)
            except QueryFailed as error:
                failures.append(Finding("execution", str(error)))
                continue
            except LimitReached:
                if best is None:
                    raise
                continue
            weight = attempt.confidence * _found(result)
            if best is None or weight > best[0]:
                best = (weight, attempt, result)
        if best is None:
            return None, None, tuple(failures)
        return best[1], best[2], ()

    def _retrieve(self, text: str, k: int, count_tokens: Callable[[str], int]) -> tuple[Catalog, Scene]:
        from sqlgen.knowledge import find_named, match_documents, similar_queries
        from sqlgen.retrieval.standins import set_scene

        known = self.knowledge.snapshot()
        with self._schema_lock:
            catalog, index = self._current_index()
            context = index.retrieve(
                text, k=k, token_budget=self._settings.token_budget, count_tokens=count_tokens
            )
        context = replace(
            context,
            terms=(*context.terms, *match_documents(text, known.passages)),
            queries=tuple(
                filter(self._may_be_seen, similar_queries(text, [item for _, item in known.verified]))
            ),
        )
        return catalog, set_scene(text, find_named(text, known.terms), context, catalog)

    # What is made on first use, and made again when the schema changed.

    def _current_catalog(self) -> Catalog:
        from sqlgen.catalog import load_catalog

        fingerprint = self._fingerprint()
        with self._schema_lock:
            if self._engine is None:
                assert self._catalog is not None
                whole = replace(self._catalog, fingerprint=fingerprint)
                if self._protection is None or self._protection.visible.fingerprint != fingerprint:
                    self._protection = self._enforcement.protection(whole)
                return self._catalog if self._protection is None else self._protection.visible
            if self._catalog is not None and self._catalog.fingerprint == fingerprint:
                return self._catalog
            from sqlgen.store import read_catalog, write_catalog

            path = self._folder() / _CATALOG_FILE
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
                laid = self._enforcement.protection(catalog)
                write_catalog(path, catalog if laid is None else laid.catalog)
            self._protection = self._enforcement.protection(catalog)
            self._sampled = catalog
            self._catalog = catalog if self._protection is None else self._protection.visible
            return self._catalog

    def _note_renames(self, old: Catalog, new: Catalog) -> None:
        """Keep what has another name now, for descriptions and for queries that people vouched for."""
        from sqlgen.catalog.drift import find_renames, remember_renames

        found = find_renames(old, new)
        if found:
            try:
                remember_renames(self._folder() / _RENAMES_FILE, found)
            except OSError as error:
                _log.warning("renames cannot be kept (%s)", error.strerror)
            self._described = None

    def _unsampled(self, catalog: Catalog) -> dict[str, frozenset[str]]:
        """Columns by table key that no cell may be read of: by policy, or because the user said so."""
        closed = dict(self._enforcement.unsampled(catalog))
        for table in catalog.tables:
            skipped = {column.name for column in table.columns if self._is_skipped(table, column)}
            if skipped:
                closed[table.key] = closed.get(table.key, frozenset()) | skipped
        return closed

    def _is_skipped(self, table: Table, column: Column) -> bool:
        name = f"{table.key}.{column.name}".lower()
        return any(fnmatchcase(name, pattern.lower()) for pattern in self._settings.skip_values)

    def _is_closed(self, table: Table, column: Column) -> bool:
        laid = self._protection
        return self._is_skipped(table, column) or (laid is not None and column.name in laid.unsampled(table))

    def _current_index(self, *, rebuild: bool = False) -> tuple[Catalog, Index]:
        with self._schema_lock:
            catalog = self._with_descriptions(self._current_catalog())
            # Descriptions change what is indexed, not the schema's fingerprint.
            is_current = self._index is not None and self._index.catalog is catalog
            if self._index is None or not is_current or self._index_fingerprint != catalog.fingerprint:
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
                self._index_fingerprint = catalog.fingerprint
            return catalog, self._index

    def _with_descriptions(self, catalog: Catalog) -> Catalog:
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

            renames = successors(read_renames(self._folder() / _RENAMES_FILE))
            known = [*carried(descriptions, catalog, *renames), *descriptions]
            self._described = (catalog, descriptions, describe(catalog, known))
        return self._described[2]

    def _drop_index(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            index.close()

    def _index_place(self) -> Path | SharedStore:
        from sqlgen.retrieval import SharedStore

        folder, url = self._folder(), self._settings.index_store
        if url is None or self._is_in_memory():
            return folder / _INDEX_FILE
        return SharedStore(url, folder.name)

    def _open_driver(self) -> Driver:
        from sqlgen.execution import open_driver

        assert self._engine is not None
        return open_driver(self._engine, self._dialect)

    def _fingerprint(self) -> str:
        skipped = _skip_mark(self._settings.skip_values)
        if self._watch is None:
            assert self._catalog is not None
            return self._catalog.fingerprint + self._enforcement.mark(None)
        return self._watch.fingerprint() + self._enforcement.mark(self._engine) + skipped

    def _has_drifted(self) -> bool:
        catalog = self._catalog
        return catalog is not None and self._fingerprint() != catalog.fingerprint

    def _is_in_memory(self) -> bool:
        if self._engine is None or self._dialect not in ("sqlite", "duckdb"):
            return False
        return self._engine.url.database in (None, "", ":memory:")

    def _folder(self) -> Path:
        from sqlgen.store import store_folder

        if self._engine is None:
            assert self._catalog is not None
            return store_folder(self._settings.home, f"ddl-{self._dialect}", self._catalog.fingerprint)
        url = self._engine.url
        if self._is_in_memory():
            self._scratch = self._scratch or tempfile.TemporaryDirectory(prefix="sqlgen-")
            return Path(self._scratch.name)
        if self._dialect in ("sqlite", "duckdb"):
            path = Path((url.database or "").removeprefix("file:").partition("?")[0]).absolute()
            return store_folder(self._settings.home, path.stem, f"{self._dialect}:{path}")
        identity = url.set(password=None).render_as_string(hide_password=False)
        return store_folder(self._settings.home, url.database or self._dialect, identity)


class _Clock:
    """Adds up wall time per stage, in milliseconds."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._spent = dict.fromkeys(("retrieve", "generate", "validate", "execute"), 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._spent[stage] += 1000 * (time.perf_counter() - began)

    def timings_ms(self) -> dict[str, float]:
        return {**self._spent, "total": 1000 * (time.perf_counter() - self._began)}


def _same_scope(catalog: Catalog | None, fingerprint: str) -> bool:
    return catalog is not None and _scope(catalog) == ":".join(fingerprint.split(":")[2:])


def _skip_mark(patterns: Sequence[str]) -> str:
    """What a fingerprint gains by columns whose values are left alone; nothing when there are none."""
    return f":{hashlib.sha256(repr(sorted(patterns)).encode()).hexdigest()[:16]}" if patterns else ""


def _scope(catalog: Catalog) -> str:
    """What of a fingerprint speaks of the policy (``Enforcement.mark``): nothing of an index outlives it."""
    return ":".join(catalog.fingerprint.split(":")[2:])


def _load_embedder() -> Embedder | None:
    """The word vectors that ship; without them the index works by words alone."""
    from sqlgen.generation.embedded import shipped_path
    from sqlgen.retrieval.embedder import StaticEmbedder

    try:
        return StaticEmbedder(shipped_path())
    except ModelUnavailable:
        return None


def _groups(results: Sequence[Result | None]) -> list[int]:
    """A number for each result that equal ones share; -1 for None."""
    from sqlgen.execution.compare import results_equal

    seen: list[Result] = []
    numbers = []
    for result in results:
        if result is None:
            numbers.append(-1)
            continue
        number = next((k for k, other in enumerate(seen) if results_equal(other, result)), len(seen))
        if number == len(seen):
            seen.append(result)
        numbers.append(number)
    return numbers


def _found(result: Result) -> float:
    """How much a result counts: less when it is empty, or one row of nothing but NULL and zero.

    Both figures were chosen on training databases that the model had not seen.
    """
    if not result.rows:
        return 0.3
    return 0.5 if len(result.rows) == 1 and not any(result.rows[0]) else 1.0


def _load_model(name: str) -> Generator:
    from sqlgen.generation import load_generator

    return load_generator(name)


def _load_shipped(registry: Registry) -> Generator:
    entry = registry.current()
    return _load_model("shipped" if entry is None else str(entry.weights))


def _load_chooser(info: ModelInfo) -> Chooser | None:
    from sqlgen.generation.choice import load_chooser

    return load_chooser(info)


def _expanded(sql: str, scene: Scene | None, catalog: Catalog) -> tuple[str | Finding, frozenset[str]]:
    """The SQL with its stand-ins replaced and their names, or why that cannot be."""
    if scene is None or not scene.stand_ins:
        return sql, frozenset()
    from sqlgen.sql.parse import Unreadable
    from sqlgen.sql.standins import NotExpressible, expand

    try:
        return expand(sql, scene.stand_ins, catalog, catalog.dialect)
    except NotExpressible as reason:
        return Finding("definition", str(reason)), frozenset()
    except Unreadable:
        # Validation says what is wrong with it.
        return sql, frozenset()


def _uses_all(allowed: Sequence[_Allowed], scene: Scene) -> bool:
    return any(len(attempt.used) == len(scene.stand_ins) for attempt in allowed)


def _of_definitions(
    allowed: list[_Allowed], scene: Scene, findings: Sequence[Finding]
) -> tuple[list[_Allowed], str]:
    """The candidates that use most of the definitions that the question names, and in words what none uses.

    Where a definition could only be used in a way that is wrong, none is left that does without it.
    """
    most = max((len(attempt.used) for attempt in allowed), default=0)
    best = [attempt for attempt in allowed if len(attempt.used) == most]
    unused = [s.name for s in scene.stand_ins if all(s.name not in attempt.used for attempt in best)]
    if not unused:
        return best, ""
    if any(finding.rule == "definition" for finding in findings):
        return [], ""
    return best, f"the definition of {', '.join(unused)} was not used"


def _written(reply: Reply, sql: str) -> Reply:
    """The reply, remembering the SQL before a policy rewrote it."""
    object.__setattr__(reply, "_written", sql)
    return reply


def _cite_query(recalled: Recalled) -> Citation:
    score = 1.0 if not recalled.exchanged else 0.9
    return Citation("query", recalled.verified.question, recalled.verified.source, score)


def _part(candidates: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], float]:
    """The candidates that are queries, and the probability of the one that says there is none."""
    queries = tuple(c for c in candidates if c.finish_reason != "unanswerable")
    return queries, max((confidence_of(c) for c in candidates if c not in queries), default=0.0)


def _audited_fields(reply: Reply) -> dict[str, Any]:
    """What the audit log says of an answer: no value of its rows."""
    result = reply.result
    return {
        "status": reply.status,
        "answer_id": reply.id,
        "model": f"{reply.model.name} {reply.model.version}",
        "sql": reply.sql,
        "findings": [f.rule for f in reply.findings],
        "rows": None if result is None else len(result.rows),
        "truncated": result.truncated if result else False,
    }


def _verdict_fields(outcome: ValidatedQuery | Rejection, sql: str) -> dict[str, Any]:
    if isinstance(outcome, Rejection):
        return {"status": "rejected", "sql": sql, "findings": [f.rule for f in outcome.findings]}
    return {"status": "allowed", "sql": outcome.sql, "findings": [f.rule for f in outcome.warnings]}


def _because(doubt: str) -> str:
    return f": {doubt}" if doubt else ""


def _catalog_of_file(path: Path, dialect: Dialect) -> tuple[Catalog, dict[str, str]]:
    """The catalog of a schema file, and the definitions of its views."""
    from sqlgen.catalog import infer_foreign_keys
    from sqlgen.sql.ddl import catalog_from_ddl, views_of_ddl

    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise SchemaFileError(f"cannot read the schema file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SchemaFileError(f"the schema file {path} is not UTF-8 text") from error
    try:
        return infer_foreign_keys(catalog_from_ddl(text, dialect)), views_of_ddl(text, dialect)
    except SchemaFileError as error:
        raise SchemaFileError(f"{path}: {error}", error.line, error.column) from error


def _estimate_tokens(text: str) -> int:
    return len(text) // 4 + 1


def _first(findings: Sequence[Finding]) -> str:
    return findings[0].message if findings else "no reason given"


def _cite(query: ValidatedQuery, context: RetrievedContext) -> tuple[Citation, ...]:
    """What the chosen query rests on: tables and columns read, values it names, terms of the question."""
    pieces = {piece.table.key: piece for piece in context.tables}
    cited: list[Citation] = []
    for key in query.tables:
        piece = pieces.get(key)
        source = "the question's words" if piece is None else piece.reason
        cited.append(Citation("table", key, source, 0.0 if piece is None else piece.score))
    for name in query.columns:
        piece = pieces.get(name.rpartition(".")[0])
        cited.append(Citation("column", name, "catalog", 0.0 if piece is None else piece.score))
    for match in context.values:
        literal = match.value.replace("'", "''")
        if match.table in query.tables and f"'{literal}'" in query.sql:
            cited.append(Citation("value", match.value, f"{match.table}.{match.column}", match.score))
    cited += [Citation(term.kind, term.name, term.source, term.score) for term in context.terms]
    return tuple(dict.fromkeys(cited))
