"""What REST and MCP both hand out: one caller's request to one database, as a document.

Every method blocks; ``room`` runs them. SQL reaches the database through ``Database.ask`` and ``Database.run``
alone, which check it under the caller's policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.export import context_document, finding_document, json_cell
from sqlgen.history import Line
from sqlgen.knowledge import Description, Document, Entry, Term, Verified
from sqlgen.pipeline import Database, Reply
from sqlgen.pipeline.walk import OnStage
from sqlgen.serve import metrics
from sqlgen.serve.keys import Caller
from sqlgen.serve.traces import describe, span
from sqlgen.types import Rejection, Table, ValidatedQuery

__all__ = ["NotFound", "Service"]


class NotFound(UsageError):
    """There is no such thing, or not for this caller."""


class Service:
    """The requests that callers may make of ``database``. Safe to share between threads."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self._settings = settings

    def warm(self) -> None:
        """Make all that the first question would wait for."""
        self.database.warm()
        self.database.retrieve("ready")

    def ask(
        self,
        caller: Caller,
        question: str,
        *,
        execute: bool = True,
        max_rows: int | None = None,
        timeout_s: float | None = None,
        on_stage: OnStage | None = None,
        follows: Sequence[str] = (),
    ) -> Reply:
        """The answer to a question; limits only become narrower than the settings'.

        ``follows`` are the ids of the caller's own answers that it goes on from, oldest first; NotFound for others.
        """
        turns = [
            (line.question, line.written or line.sql) for line in (self._own_line(caller, i) for i in follows)
        ]
        with span("sqlgen.ask") as note:
            reply = self._for(caller).ask(
                question,
                execute=execute,
                max_rows=self._rows(max_rows),
                timeout_s=self._time_s(timeout_s),
                on_stage=on_stage,
                history=[turn for turn in turns if turn[1]],
            )
            describe(note, reply)
        metrics.count_answer(reply)
        return reply

    def run(
        self, caller: Caller, sql: str, *, max_rows: int | None = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        """What SQL finds, or why it may not run: the fields of an answer that make sense without a question."""
        with span("sqlgen.run") as note:
            ran = self._for(caller).run(sql, max_rows=self._rows(max_rows), timeout_s=self._time_s(timeout_s))
            note("sqlgen.status", "rejected" if isinstance(ran, Rejection) else "answered")
        if isinstance(ran, Rejection):
            return {
                "status": "rejected",
                "sql": ran.sql,
                "dialect": self.database.dialect,
                "columns": [],
                "rows": [],
                "row_count": None,
                "truncated": False,
                "findings": [finding_document(f) for f in ran.findings],
                "warnings": [],
                "message": "; ".join(f.message for f in ran.findings),
                "elapsed_ms": 0.0,
            }
        query, result = ran
        return {
            "status": "answered",
            "sql": query.sql,
            "dialect": query.dialect,
            "columns": [{"name": c.name, "type": c.type} for c in result.columns],
            "rows": [[json_cell(cell) for cell in row] for row in result.rows],
            "row_count": len(result.rows),
            "truncated": result.truncated,
            "findings": [finding_document(f) for f in result.notes],
            "warnings": [finding_document(f) for f in query.warnings],
            "message": "",
            "elapsed_ms": round(1000 * result.elapsed_s, 1),
        }

    def check(self, caller: Caller, sql: str) -> dict[str, Any]:
        """May this SQL run? The document of ``sqlgen check --format json``."""
        outcome = self._for(caller).check(sql)
        if isinstance(outcome, Rejection):
            return {
                "verdict": "reject",
                "findings": [finding_document(f) for f in outcome.findings],
                "sql": outcome.sql,
                "dialect": self.database.dialect,
            }
        return {
            "verdict": "allow",
            "findings": [],
            "warnings": [{"rule": w.rule, "message": w.message} for w in outcome.warnings],
            "sql": outcome.sql,
            "dialect": outcome.dialect,
            "tables": list(outcome.tables),
            "columns": list(outcome.columns),
        }

    def retrieve(self, caller: Caller, question: str, k: int | None = None) -> dict[str, Any]:
        """What the model would be handed: the document of ``sqlgen retrieve --format json``."""
        return context_document(self._for(caller).retrieve(question, k))

    def feedback(
        self, caller: Caller, answer_id: str, *, verdict: str | None = None, sql: str | None = None
    ) -> dict[str, Any]:
        """Take a verdict, or the right SQL, for one of the caller's own answers.

        Raises NotFound for an answer of somebody else, UsageError where the holder of this key may not judge.
        """
        if not caller.may_judge:
            raise UsageError("this key may not give feedback (feedback = false)")
        if (verdict is None) == (sql is None):
            raise UsageError('give a verdict ("right" or "wrong") or the right sql, one of the two')
        theirs = self._for(caller)
        line = self._own_line(caller, answer_id)
        if sql is not None:
            outcome: ValidatedQuery | Rejection = theirs.correct(line, sql)
            if isinstance(outcome, Rejection):
                return {
                    "answer_id": line.id,
                    "verdict": "rejected",
                    "findings": [finding_document(f) for f in outcome.findings],
                }
        elif verdict == "right":
            theirs.accept(line)
        else:
            theirs.reject(line)
        return {"answer_id": line.id, "question": line.question, "verdict": verdict or "corrected"}

    def history(self, caller: Caller, limit: int) -> list[dict[str, Any]]:
        """The caller's own answers, newest first; without keys those of everybody to this database."""
        lines = self.database.history.lines(
            limit=limit, database=self.database.identity, user=caller.name or None
        )
        return [line.to_dict() for line in lines]

    def models(self, caller: Caller) -> dict[str, Any]:
        """The adapters of this database and which one is in force; a key's holder sees no questions of others."""
        registry = self.database.adapters
        current = registry.current()
        return {
            "model": self._settings.model,
            "current": current.id if current else None,
            "adapters": [
                {
                    "id": entry.id,
                    "in_force": current is not None and entry.id == current.id,
                    "created": datetime.fromtimestamp(entry.created, UTC).isoformat(timespec="seconds"),
                    "base": " ".join(entry.base),
                    "gate": entry.gate if entry.gate is None or not caller.name else _figures(entry.gate),
                }
                for entry in registry.entries()
            ],
        }

    def schema(self, caller: Caller) -> dict[str, Any]:
        """The tables and columns that may be seen, without any cell."""
        catalog = self._for(caller).catalog
        return {"dialect": catalog.dialect, "tables": [_table_document(table) for table in catalog.tables]}

    def knowledge(self, caller: Caller) -> list[dict[str, Any]]:
        """Terms, metrics, documents, descriptions and verified queries, but for those that the policy closes."""
        theirs = self._for(caller)
        catalog = theirs.catalog
        names = {name for table in catalog.tables for name in _names_of(table)}

        def is_seen(entry: Entry) -> bool:
            item = entry.item
            if isinstance(item, Description):
                return item.name.casefold() in names
            return not isinstance(item, Verified) or theirs.may_be_seen(item.sql)

        return [_entry_document(entry) for entry in theirs.knowledge.entries() if is_seen(entry)]

    def _for(self, caller: Caller) -> Database:
        return self.database.on_behalf_of(caller.name, dict(caller.context)) if caller.name else self.database

    def _own_line(self, caller: Caller, answer_id: str) -> Line:
        missing = NotFound(f"no answer of yours has the id {answer_id!r}; GET /history lists them")
        try:
            line = self.database.history.find(answer_id)
        except UsageError:
            raise missing from None
        is_own = not caller.name or line.user == caller.name
        if answer_id == "last" or line.database != self.database.identity or not is_own:
            raise missing
        return line

    def _rows(self, wanted: int | None) -> int:
        return min(self._settings.max_rows, wanted or self._settings.max_rows)

    def _time_s(self, wanted: float | None) -> float:
        return min(self._settings.timeout_s, wanted or self._settings.timeout_s)


def _figures(gate: Mapping[str, Any]) -> dict[str, Any]:
    """A gate report without the questions and queries that it was measured on."""
    sets = [{k: v for k, v in one.items() if k not in ("won", "lost")} for one in gate.get("sets", ())]
    return {"passed": gate.get("passed"), "margin": gate.get("margin"), "sets": sets}


def _table_document(table: Table) -> dict[str, Any]:
    return {
        "name": table.key,
        "comment": table.comment,
        "is_view": table.is_view,
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "kind": column.kind,
                "comment": column.comment,
                "nullable": column.nullable,
                "primary_key": column.primary_key,
            }
            for column in table.columns
        ],
        "foreign_keys": [
            {
                "columns": list(key.columns),
                "target": key.target,
                "target_columns": list(key.target_columns),
                "inferred": key.inferred,
            }
            for key in table.foreign_keys
        ],
    }


def _names_of(table: Table) -> list[str]:
    own = [table.key.casefold(), table.name.casefold()]
    return own + [f"{name}.{column.name.casefold()}" for name in own for column in table.columns]


def _entry_document(entry: Entry) -> dict[str, Any]:
    item = entry.item
    if isinstance(item, Term):
        kind = "metric" if item.is_metric else "term"
        said = {"name": item.name, "text": item.definition, "sql": item.sql, "synonyms": list(item.synonyms)}
    elif isinstance(item, Document):
        kind, said = "document", {"name": item.name, "text": item.text}
    elif isinstance(item, Verified):
        kind, said = "query", {"name": item.question, "text": "", "sql": item.sql}
    else:
        kind, said = "description", {"name": item.name, "text": item.says}
    return {"id": entry.id, "kind": kind, **said, "source": item.source}
