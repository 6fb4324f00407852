"""The one file that knows the order: retrieve, generate, validate, execute.

``connect`` makes a ``Database``; its ``ask`` walks a question through all stages. Nothing heavy is imported
before the first use.
"""

from __future__ import annotations

import math
import os
import tempfile
import threading
import time
import unicodedata
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from sqlgen.config import Settings, load_settings, nearest
from sqlgen.errors import (
    IndexUnusable,
    LimitReached,
    ModelUnavailable,
    QueryFailed,
    SchemaFileError,
    SqlgenError,
    UsageError,
)
from sqlgen.export import answer_document, to_arrow, to_pandas, to_polars
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
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.execution import Driver
    from sqlgen.generation import Generator
    from sqlgen.generation.choice import Chooser, Trial
    from sqlgen.knowledge import Term
    from sqlgen.registry import Registry
    from sqlgen.retrieval import Index
    from sqlgen.retrieval.embedder import Embedder

__all__ = ["MAX_QUESTION_BYTES", "Database", "Progress", "Reply", "confidence_of", "connect"]

MAX_QUESTION_BYTES = 8192
_CATALOG_FILE = "catalog.json"
_INDEX_FILE = "index.sqlite"
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


class Reply(Answer):
    """An ``Answer`` in the hands of whoever asked: it turns itself into documents and frames."""

    __slots__ = ()

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
) -> Database:
    """Open a database to ask: a URL or a SQLAlchemy engine, or DDL text alone with ``schema_file``.

    Without ``url`` the setting ``db`` counts. ``settings`` default to what sqlgen.toml and the environment
    say. With ``schema_file`` there is no database: answers carry SQL in ``dialect`` (default sqlite) and no
    rows. ``terms`` are the words of the business. Raises ConnectionFailed, UsageError or SchemaFileError.
    """
    settings = load_settings() if settings is None else settings
    if schema_file is not None:
        if url is not None:
            raise UsageError("give a database or a schema file, not both")
        catalog = _catalog_of_file(Path(schema_file), check_dialect(dialect or "sqlite"))
        return Database(settings, catalog=catalog, generator=generator, terms=terms, progress=progress)
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


class _Once:
    """A value made once, in the background when asked to; a failure is raised and tried anew next time."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._future: Future[Any] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to make it in the background."""
        future, is_new = self._claim()
        if is_new:
            threading.Thread(target=self._run, args=(future,), daemon=True).start()

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
        generator: Generator | None = None,
        terms: Iterable[Term] = (),
        progress: Progress | None = None,
    ) -> None:
        if (engine is None) == (catalog is None):
            raise UsageError("a Database is made by sqlgen.connect(url) or sqlgen.connect(schema_file=…)")
        self._settings = settings
        self._engine = engine
        self._owns_engine = owns_engine
        self._progress = progress
        self._catalog = catalog
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
        if engine is None:
            assert catalog is not None
            self._dialect = catalog.dialect
        else:
            from sqlgen.catalog import dialect_of

            self._dialect = dialect_of(engine)

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
    def catalog(self) -> Catalog:
        """The description of the schema, up to date."""
        return self._current_catalog()

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
    ) -> Reply:
        """Answer a question in plain words.

        The status tells what came of it: ``answered``; ``rejected`` (nothing the model wrote passed
        validation); ``abstained`` (not sure enough, or nothing in this database to answer from);
        ``error`` (the database refused every query that passed). With ``execute=False``, or without a
        database, an answered question has SQL and no result. Raises UsageError for a text that is no
        question, ConnectionFailed, EmptyDatabase, LimitReached, ModelUnavailable.
        """
        self._check_open()
        text = check_question(text)
        limits = Limits(
            timeout_s=self._settings.timeout_s if timeout_s is None else timeout_s,
            max_rows=self._settings.max_rows if max_rows is None else max_rows,
        )
        execute = execute and self._engine is not None
        beams = self._settings.beams if beams is None else beams
        self.warm(execute=execute)
        reply = self._walk(text, limits, beams, execute)
        # A schema that changed between reading it and running the query deserves one fresh attempt.
        if reply.status == "error" and self._has_drifted():
            reply = self._walk(text, limits, beams, execute)
        return reply

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
        context = self._retrieve(text, k or _TABLES_FOR_MODEL, count_tokens)[1]
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

    def check(self, sql: str, *, dialect: Dialect | None = None) -> ValidatedQuery | Rejection:
        """Only the validation: may this SQL run here?

        ``dialect`` is what the SQL is written in, when a schema file stands for databases of several;
        a live database takes its own only.
        """
        self._check_open()
        from sqlgen.validation import validate

        dialect = self._dialect if dialect is None else check_dialect(dialect)
        if dialect != self._dialect and self._engine is not None:
            message = f"this database speaks {self._dialect}, not {dialect}"
            return Rejection(sql, (Finding("dialect", message),))
        catalog = replace(self._current_catalog(), dialect=dialect)
        return validate(sql, catalog, dialect)

    def refresh(self, *, rebuild: bool = True) -> dict[str, object]:
        """Read the schema and its values anew and build the index from them; returns its status.

        With ``rebuild=False`` nothing is read again that still fits the schema.
        """
        self._check_open()
        with self._schema_lock:
            if rebuild:
                (self._folder() / _CATALOG_FILE).unlink(missing_ok=True)
                self._drop_index()
                if self._engine is not None:
                    self._catalog = None
            _, index = self._current_index(rebuild=rebuild)
            return {"state": "current", **index.status()}

    def index_status(self) -> dict[str, object]:
        """What the index on disk is like; nothing is built.

        ``state`` is missing, current, stale or unreadable.
        """
        self._check_open()
        from sqlgen.retrieval.store import open_file

        path = self._folder() / _INDEX_FILE
        if not path.exists():
            return {"state": "missing", "path": str(path)}
        fingerprint = self._fingerprint()
        try:
            with closing(open_file(path)) as store:
                meta = store.meta
                size = store.size_bytes
        except IndexUnusable as error:
            return {"state": "unreadable", "path": str(path), "reason": str(error)}
        return {
            "state": "current" if meta.fingerprint == fingerprint else "stale",
            "path": str(path),
            "tables": meta.tables,
            "columns": meta.columns,
            "values": meta.values,
            "built_at": meta.built_at,
            "fingerprint": meta.fingerprint,
            "bytes": size,
        }

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
        if self._engine is not None and self._owns_engine:
            self._engine.dispose()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("this database is closed; call sqlgen.connect() again")

    # The walk of one question.

    def _walk(self, text: str, limits: Limits, beams: int, execute: bool) -> Reply:
        clock = _Clock()
        generator: Generator = self._generator.get()
        with clock("retrieve"):
            catalog, context = self._retrieve(text, _TABLES_FOR_MODEL, generator.count_tokens)
        question = Question(text, self._dialect, id=uuid.uuid4().hex, today=self._settings.today)

        def reply(status: Literal["answered", "rejected", "abstained", "error"], **rest: Any) -> Reply:
            return Reply(
                question=question,
                status=status,
                dialect=self._dialect,
                model=generator.info,
                id=question.id,
                context=context,
                timings_ms=clock.timings_ms(),
                **{"sql": "", **rest},
            )

        if not any(map(str.isalnum, text)):
            return reply("abstained", message="the question holds no word; say what you want to know")
        if not context.tables:
            return reply(
                "abstained",
                message="nothing in this database seems to be about that; name a table or column it holds",
            )
        with clock("generate"):
            candidates, p_unanswerable = _part(generator.generate(question, context, beams=beams))
        if not candidates:
            return reply(
                "abstained",
                message=_NOT_HERE
                if p_unanswerable
                else "the model found no query for this question; say it another way, "
                "naming the things and the figures you want",
            )
        with clock("validate"):
            allowed, verdicts, findings = self._judge(candidates, catalog)
        judged = tuple(zip(candidates, verdicts, strict=True))
        if not allowed:
            return reply(
                "rejected",
                sql=candidates[0].sql,
                candidates=judged,
                findings=findings,
                message="no query that the model wrote passed validation: " + _first(findings),
            )
        with clock("execute"):
            chosen, result, failures = self._choose(text, context, allowed, limits, execute, p_unanswerable)
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
        return reply(
            "answered",
            sql=chosen.query.sql,
            result=result,
            confidence=chosen.confidence,
            candidates=judged,
            findings=chosen.query.warnings,
            citations=_cite(chosen.query, context),
            message=_UNSURE + _because(chosen.doubt) if chosen.confidence < _SURE else "",
        )

    def _judge(
        self, candidates: Sequence[Candidate], catalog: Catalog
    ) -> tuple[list[_Allowed], list[Verdict], tuple[Finding, ...]]:
        from sqlgen.validation import validate

        allowed: list[_Allowed] = []
        verdicts: list[Verdict] = []
        findings: dict[str, Finding] = {}
        for candidate in candidates:
            outcome = validate(candidate.sql, catalog, self._dialect)
            if isinstance(outcome, Rejection):
                verdicts.append("reject")
                findings.update({f.message: f for f in outcome.findings if f.message not in findings})
            else:
                verdicts.append("allow")
                allowed.append(_Allowed(candidate, outcome, confidence_of(candidate)))
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
                attempt.query,
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
                found.append(driver.execute(attempt.query, replace(limits, timeout_s=timeout_s)))
                began, is_rival = began if is_rival else time.perf_counter(), True
            except QueryFailed as error:
                found.append(Finding("execution", str(error)))
            except LimitReached as error:
                if not is_rival:
                    raise
                found.append(Finding("execution", str(error)))
        return found

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
                result = driver.execute(attempt.query, limits)
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

    def _retrieve(
        self, text: str, k: int, count_tokens: Callable[[str], int]
    ) -> tuple[Catalog, RetrievedContext]:
        from sqlgen.knowledge import match_terms

        with self._schema_lock:
            catalog, index = self._current_index()
            context = index.retrieve(
                text, k=k, token_budget=self._settings.token_budget, count_tokens=count_tokens
            )
        if self._terms:
            context = replace(context, terms=(*context.terms, *match_terms(text, self._terms)))
        return catalog, context

    # What is made on first use, and made again when the schema changed.

    def _current_catalog(self) -> Catalog:
        if self._engine is None:
            assert self._catalog is not None
            return self._catalog
        from sqlgen.catalog import load_catalog

        fingerprint = self._fingerprint()
        with self._schema_lock:
            if self._catalog is not None and self._catalog.fingerprint == fingerprint:
                return self._catalog
            from sqlgen.store import read_catalog, write_catalog

            path = self._folder() / _CATALOG_FILE
            catalog = read_catalog(path, fingerprint)
            if catalog is None:
                catalog = load_catalog(self._engine, progress=self._progress)
                # A schema that changes while it is read: the older mark makes the next question look again.
                catalog = replace(catalog, fingerprint=fingerprint)
                write_catalog(path, catalog)
            self._catalog = catalog
            return catalog

    def _current_index(self, *, rebuild: bool = False) -> tuple[Catalog, Index]:
        with self._schema_lock:
            catalog = self._current_catalog()
            if self._index is None or self._index_fingerprint != catalog.fingerprint:
                from sqlgen.retrieval import open_index

                self._drop_index()
                self._index = open_index(
                    catalog,
                    self._folder() / _INDEX_FILE,
                    values=self._values if self._engine is not None else None,
                    progress=self._progress,
                    embedder=self._embedder.get(),
                    rebuild=rebuild,
                )
                self._index_fingerprint = catalog.fingerprint
            return catalog, self._index

    def _drop_index(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            index.close()

    def _values(self, table: Table, column: Column, limit: int) -> Iterator[str]:
        from sqlgen.catalog import distinct_values

        assert self._engine is not None
        return iter(distinct_values(self._engine, table, column, limit))

    def _open_driver(self) -> Driver:
        from sqlgen.execution import open_driver

        assert self._engine is not None
        return open_driver(self._engine, self._dialect)

    def _fingerprint(self) -> str:
        from sqlgen.catalog import schema_fingerprint

        if self._engine is None:
            assert self._catalog is not None
            return self._catalog.fingerprint
        return schema_fingerprint(self._engine)

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


def _part(candidates: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], float]:
    """The candidates that are queries, and the probability of the one that says there is none."""
    queries = tuple(c for c in candidates if c.finish_reason != "unanswerable")
    return queries, max((confidence_of(c) for c in candidates if c not in queries), default=0.0)


def _because(doubt: str) -> str:
    return f": {doubt}" if doubt else ""


def _catalog_of_file(path: Path, dialect: Dialect) -> Catalog:
    from sqlgen.catalog import infer_foreign_keys
    from sqlgen.sql.ddl import catalog_from_ddl

    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise SchemaFileError(f"cannot read the schema file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SchemaFileError(f"the schema file {path} is not UTF-8 text") from error
    try:
        return infer_foreign_keys(catalog_from_ddl(text, dialect))
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
