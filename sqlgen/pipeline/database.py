"""``connect`` makes a ``Database``: what people hold in their hands, and what they may say of its answers."""

from __future__ import annotations

import copy
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from sqlgen.audit import AuditLog, audited
from sqlgen.config import Settings, load_settings
from sqlgen.errors import ModelUnavailable, SchemaFileError, SqlgenError, StoreUnusable, UsageError
from sqlgen.generation.cascade import Cascade
from sqlgen.history import History, Line
from sqlgen.pipeline.choose import Confirm, Contest
from sqlgen.pipeline.model import Model, load_chooser, load_embedder
from sqlgen.pipeline.once import Once
from sqlgen.pipeline.question import check_dialect, check_question
from sqlgen.pipeline.reply import Reply
from sqlgen.pipeline.schema import LiveSchema, Progress
from sqlgen.pipeline.walk import VERIFIED, OnStage, Walk, first_message
from sqlgen.types import (
    Catalog,
    Dialect,
    Limits,
    Rejection,
    Result,
    RetrievedContext,
    ValidatedQuery,
    VerifiedQuery,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from sqlgen.drift import Broken
    from sqlgen.execution import Driver, RowStream
    from sqlgen.execution.login import LoginReport
    from sqlgen.generation import Generator
    from sqlgen.knowledge import Knowledge, Term
    from sqlgen.registry import Registry

__all__ = ["Database", "connect"]

_log = logging.getLogger("sqlgen.pipeline")


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
        self._audit = (
            None
            if settings.audit_log is None
            else AuditLog(settings.audit_log, hash_questions=settings.audit_question == "hash", user=user)
        )
        self._closed = False
        self._user = user or ""
        self._context: Mapping[str, Any] = {}
        self._adapters: Registry | None = None
        self._history = History(settings.home)
        self._generator = Model(generator, settings.model, lambda: self.adapters)
        self._driver = Once(self._open_driver)
        self._embedder = Once(lambda: load_embedder(settings.embedder))
        self._schema = LiveSchema(
            settings,
            engine=engine,
            catalog=catalog,
            views=views,
            policy_context=policy_context,
            embedder=self._embedder,
            terms=terms,
            progress=progress,
            user=self._user,
        )
        chooser = Once(lambda: load_chooser(self._generator.get().info))
        self.contest = Contest(settings, self._driver, chooser, confirm)
        self.walk = Walk(settings, self._schema, self._generator, self.contest)

    def __repr__(self) -> str:
        what = (
            "schema file" if self._engine is None else self._engine.url.render_as_string(hide_password=True)
        )
        return f"<sqlgen.Database {what} ({self._schema.dialect})>"

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def dialect(self) -> Dialect:
        """The SQL dialect that answers are written in."""
        return self._schema.dialect

    @property
    def adapters(self) -> Registry:
        """The adapters of the shipped model that were trained for this database."""
        from sqlgen.registry import Registry

        if self._adapters is None:
            self._adapters = Registry(self._schema.folder() / "models")
        return self._adapters

    @property
    def knowledge(self) -> Knowledge:
        """Terms, metrics, documents and verified queries of this database."""
        return self._schema.knowledge

    @property
    def history(self) -> History:
        """The answers and verdicts of all databases under the same ``home``."""
        return self._history

    @property
    def keeps_history(self) -> bool:
        """Whether answers and verdicts are kept under ``home``."""
        return self._settings.history

    @property
    def identity(self) -> str:
        """What tells this database apart in the history."""
        return "memory" if self._schema.is_in_memory() else self._schema.folder().name

    @property
    def catalog(self) -> Catalog:
        """The description of what may be seen of the schema, up to date."""
        return self._schema.described_catalog(self._schema.current_catalog())

    def warm(self, *, execute: bool = True) -> None:
        """Begin in the background what the first question waits for: the model and the driver."""
        self._check_open()
        self._generator.start()
        self._embedder.start()
        # A database in memory may belong to one thread, so its driver is opened by whoever asks.
        if execute and self._engine is not None and not self._schema.is_in_memory():
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
        on_stage: OnStage | None = None,
        history: Sequence[tuple[str, str]] = (),
    ) -> Reply:
        """Answer a question in plain words.

        The status tells what came of it: ``answered``; ``rejected`` (nothing the model wrote passed
        validation); ``abstained`` (not sure enough, or nothing in this database to answer from);
        ``error`` (the database refused every query that passed). With ``execute=False``, or without a
        database, an answered question has SQL and no result. ``policy_context`` gives values for the names in
        the policy's row filters, for this question. ``on_stage`` is told the name of each stage as it begins.
        ``history`` holds the earlier (question, SQL) turns of a conversation, oldest first: "only in Germany" then goes on
        from the last one. ``Reply.ask`` and ``Reply.turns`` make it.
        Raises UsageError for a text that is no question, ConnectionFailed, EmptyDatabase, LimitReached, ModelUnavailable.
        """
        self._check_open()
        limits = self._limits(timeout_s, max_rows)
        execute = execute and self._engine is not None
        beams = self._settings.beams if beams is None else beams
        with audited(self._audit, "ask", self._name(), text) as entry:
            text = check_question(text)
            self.warm(execute=execute)
            context = self._schema.enforcement.context(self._bound(policy_context))
            reply = self.walk.answer(text, limits, beams, execute, context, on_stage, history)
            # A schema that changed between reading it and running the query deserves one fresh attempt.
            if reply.status == "error" and self._schema.has_drifted():
                reply = self.walk.answer(text, limits, beams, execute, context, on_stage, history)
            bigger = self._bigger_walk(reply)
            if bigger is not None:
                reply = bigger.answer(text, limits, beams, execute, context, on_stage, history)
            entry.fields |= _audited_fields(reply)
        object.__setattr__(reply, "_database", self)
        self._keep(reply)
        return reply

    def _bigger_walk(self, reply: Reply) -> Walk | None:
        """The walk with the bigger model of a cascade, where the first one's answer is not sure enough."""
        generator = self._generator.get()
        if not isinstance(generator, Cascade) or not generator.asks_bigger(reply.status, reply.confidence):
            return None
        bigger = generator.bigger
        chooser = Once(lambda: load_chooser(bigger.info))
        contest = Contest(self._settings, self._driver, chooser, self.contest.confirm)
        model = Model(bigger, self._settings.model, lambda: self.adapters)
        return Walk(self._settings, self._schema, model, contest)

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
            outcome = self._schema.checked(sql, policy_context=self._bound(policy_context))
            entry.fields |= _verdict_fields(outcome, sql)
            if isinstance(outcome, Rejection):
                return outcome
            driver: Driver = self._driver.get()
            self.contest.require_cheap(driver, outcome, limits)
            began = time.perf_counter()
            rows = driver.stream(outcome, limits)
            entry.add_run(outcome.sql, "streaming", None, time.perf_counter() - began)
        return rows

    def run(
        self,
        sql: str,
        *,
        max_rows: int | None = None,
        timeout_s: float | None = None,
        policy_context: Mapping[str, Any] | None = None,
    ) -> tuple[ValidatedQuery, Result] | Rejection:
        """Run SQL that passes validation: what ran and what it found, or why it may not run.

        Raises UsageError without a database, QueryFailed and LimitReached.
        """
        self._check_open()
        if self._engine is None:
            raise UsageError("a schema file has no rows; connect to a database")
        limits = self._limits(timeout_s, max_rows)
        with audited(self._audit, "run", self._name()) as entry:
            outcome = self._schema.checked(sql, policy_context=self._bound(policy_context))
            entry.fields |= _verdict_fields(outcome, sql)
            if isinstance(outcome, Rejection):
                return outcome
            return outcome, self.contest.run(self._driver.get(), outcome, limits)

    def on_behalf_of(self, user: str, policy_context: Mapping[str, Any] | None = None) -> Database:
        """This database in the hands of ``user``: what is asked through it is theirs in history and audit log.

        ``policy_context`` counts for all of it. Everything else is shared, and only the original has to be closed.
        """
        theirs = copy.copy(self)
        theirs._user = user
        theirs._context = dict(self._bound(policy_context))
        if self._settings.audit_log is not None:
            hashed = self._settings.audit_question == "hash"
            theirs._audit = AuditLog(self._settings.audit_log, hash_questions=hashed, user=user)
        return theirs

    def _bound(self, policy_context: Mapping[str, Any] | None) -> Mapping[str, Any]:
        return {**self._context, **(policy_context or {})}

    def inspect_login(self) -> LoginReport:
        """What the login of this connection could do beyond reading; UsageError without a database."""
        self._check_open()
        if self._engine is None:
            raise UsageError("a schema file has no login; connect to a database")
        from sqlgen.execution.login import inspect_login

        return inspect_login(self._engine, self._schema.dialect)

    def ask_many(
        self, texts: Iterable[str], *, workers: int | None = None, execute: bool = True
    ) -> Iterator[Reply | SqlgenError]:
        """Answers to many questions, in their order, ``workers`` at a time (default: one a core).

        What ``ask`` would raise for a question comes in its place, so that one bad question does not end
        the others. At most four questions a worker are read ahead of what was taken.
        """
        self._check_open()
        count = 1 if self._schema.is_in_memory() else (os.cpu_count() or 1) if workers is None else workers
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

        With ``k`` that many tables, if there are so many and the budget holds them; without it those near the best.
        """
        self._check_open()
        text = check_question(text)
        try:
            generator = self._generator.get()
            count_tokens, learned = generator.count_tokens, self._generator.terms_of(generator.info)
        except ModelUnavailable:
            count_tokens, learned = _estimate_tokens, ()
        context = self._schema.retrieve(text, k, count_tokens, learned)[1].found
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
            outcome = self._schema.checked(sql, dialect, self._bound(policy_context))
            entry.fields |= _verdict_fields(outcome, sql)
        return outcome

    def may_be_seen(self, sql: str) -> bool:
        """False for SQL that names what the policy closes; it need not be right otherwise."""
        self._check_open()
        self._schema.current_catalog()
        return self._schema.may_be_seen(VerifiedQuery("", sql, ""))

    def refresh(self, *, rebuild: bool = True) -> dict[str, object]:
        """Read the schema and its values anew and build the index from them; returns its status.

        With ``rebuild=False`` nothing is read again that still fits the schema.
        """
        self._check_open()
        return self._schema.refresh(rebuild=rebuild)

    def index_status(self) -> dict[str, object]:
        """What the index on disk is like; nothing is built.

        ``state`` is missing, current, stale or unreadable.
        """
        self._check_open()
        return self._schema.index_status()

    def drift(self, queries: Iterable[tuple[str, str]] = ()) -> list[Broken]:
        """What people vouched for and the schema no longer allows: verified queries, terms and metrics.

        ``queries``, each (id, SQL), are looked at as well: golden questions, say. Where a rename explains it,
        ``proposal`` is the query under the new names, checked.
        """
        self._check_open()
        return self._schema.drift(queries)

    def renamed(self, sql: str) -> str:
        """A query that the schema broke, under its new names and checked; "" where no rename explains it."""
        self._check_open()
        return self._schema.renamed(sql)

    def close(self) -> None:
        """Give back the driver's worker, the connections and the index. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        driver = self._driver.made()
        if driver is not None:
            driver.close()
        self._schema.close()
        self._history.close()
        if self._engine is not None and self._owns_engine:
            self._engine.dispose()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("this database is closed; call sqlgen.connect() again")

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
            raise UsageError(f"its SQL no longer fits this database: {first_message(refused.findings)}")
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
                context=self._schema.index_fingerprint,
                written=getattr(reply, "_written", ""),
                user=self._user,
            )
        except StoreUnusable as error:
            # An answer is worth more than its line in the history.
            _log.warning("%s", error)

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

    def _open_driver(self) -> Driver:
        from sqlgen.execution import open_driver

        assert self._engine is not None
        return open_driver(self._engine, self._schema.dialect)


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
