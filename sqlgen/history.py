"""What was asked, what was answered, and what people said of it: an append-only file, the raw material of retraining.

One line per answer and one per verdict, in SQLite under the settings' ``home``. Rows of results are never kept.
The setting ``history = false`` switches it off.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlgen.errors import UsageError
from sqlgen.journal import Journal
from sqlgen.types import Answer

__all__ = ["FILE", "History", "Line", "Verdict", "line_of"]

FILE = "history.sqlite"
Verdict = Literal["right", "wrong", "corrected"]

_MARK = 0x53474831
_SHORTEST_ID = 4
_SCHEMA = """
CREATE TABLE answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, at REAL NOT NULL, database TEXT NOT NULL,
    url TEXT NOT NULL, dialect TEXT NOT NULL, question TEXT NOT NULL, status TEXT NOT NULL, sql TEXT NOT NULL,
    confidence REAL NOT NULL, model TEXT NOT NULL, written TEXT NOT NULL, tables TEXT NOT NULL, context TEXT NOT NULL,
    timings TEXT NOT NULL, user TEXT NOT NULL
);
CREATE TABLE verdicts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, answer TEXT NOT NULL, at REAL NOT NULL, verdict TEXT NOT NULL,
    sql TEXT NOT NULL, user TEXT NOT NULL
);
CREATE INDEX verdict_of ON verdicts (answer)
"""
_LINES = """
SELECT a.id, a.at, a.database, a.url, a.dialect, a.question, a.status, a.sql, a.confidence, a.model, a.written, a.tables, a.context,
       a.timings, a.user, v.verdict, v.sql, v.at
FROM answers AS a
LEFT JOIN verdicts AS v ON v.number = (SELECT MAX(number) FROM verdicts WHERE answer = a.id)
"""


def _storable(text: str) -> str:
    """What a model wrote may hold half a character, which no file takes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class Line:
    """One answer with the last verdict on it.

    ``written`` is the SQL before a policy added to it; ``context`` the fingerprint of the schema that it was
    written for; ``final_sql`` what somebody vouched for, "" when nobody did. Times are in seconds since
    1970, ``timings_ms`` in milliseconds.
    """

    id: str
    at: float
    database: str
    url: str
    dialect: str
    question: str
    status: str
    sql: str
    confidence: float
    model: str
    written: str
    tables: tuple[str, ...]
    context: str
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    user: str = ""
    verdict: Verdict | None = None
    final_sql: str = ""
    judged_at: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The document of one line of ``sqlgen history list --format json``."""
        return {
            "answer_id": self.id,
            "at": datetime.fromtimestamp(self.at).astimezone().isoformat("T", "seconds"),
            "database": self.database,
            "question": self.question,
            "status": self.status,
            "sql": self.sql,
            "confidence": round(self.confidence, 4),
            "model": self.model,
            "tables": list(self.tables),
            "context": self.context,
            "timings_ms": dict(self.timings_ms),
            "user": self.user,
            "verdict": self.verdict,
            "final_sql": self.final_sql,
        }


class History:
    """The history under ``home``; nothing is made before the first line. Safe across threads and processes."""

    def __init__(self, home: Path) -> None:
        self.path = home / FILE
        self._journal = Journal(self.path, schema=_SCHEMA, mark=_MARK, what="the history")

    def close(self) -> None:
        """Free the file."""
        self._journal.close()

    def add(
        self, answer: Answer, *, database: str, url: str, context: str, written: str = "", user: str = ""
    ) -> None:
        """Keep an answer: the question, its SQL and what is known of both, no rows.

        ``database`` tells databases apart, ``url`` has no password, ``context`` is the schema's fingerprint.
        """
        line = line_of(answer, database=database, url=url, context=context, written=written, user=user)
        with self._journal.writing() as connection:
            connection.execute(
                "INSERT INTO answers (id, at, database, url, dialect, question, status, sql, confidence, model, written, tables, "
                "context, timings, user) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    line.id,
                    line.at,
                    line.database,
                    line.url,
                    line.dialect,
                    _storable(line.question),
                    line.status,
                    _storable(line.sql),
                    line.confidence,
                    line.model,
                    _storable(line.written),
                    json.dumps(line.tables, ensure_ascii=False),
                    line.context,
                    json.dumps(line.timings_ms),
                    line.user,
                ),
            )

    def judge(self, answer_id: str, verdict: Verdict, sql: str = "", *, user: str = "") -> None:
        """Keep what somebody said of an answer; the last verdict counts."""
        with self._journal.writing() as connection:
            connection.execute(
                "INSERT INTO verdicts (answer, at, verdict, sql, user) VALUES (?, ?, ?, ?, ?)",
                (answer_id, time.time(), verdict, sql, user),
            )

    def find(self, answer_id: str) -> Line:
        """The line of an answer by its id or the beginning of it, or the latest for ``last``; UsageError for none."""
        if answer_id == "last":
            found = list(self.lines(limit=1))
            if not found:
                raise UsageError("the history is empty; ask something first")
            return found[0]
        wanted = answer_id.strip().lower()
        if len(wanted) < _SHORTEST_ID or not wanted.isalnum():
            raise UsageError(f"{answer_id!r} is no answer id; sqlgen history list shows them")
        found = self._read(f"{_LINES} WHERE a.id >= ? AND a.id < ? LIMIT 2", (wanted, wanted + "\uffff"))
        if len(found) != 1:
            what = "several answers begin" if found else "no answer begins"
            raise UsageError(f"{what} with {answer_id!r}; sqlgen history list shows them")
        return found[0]

    def lines(
        self,
        *,
        limit: int | None = None,
        database: str | None = None,
        user: str | None = None,
        judged: bool = False,
    ) -> Iterator[Line]:
        """Answers, newest first; of one database, of one user, or only those with a verdict."""
        wanted = {"a.database = ?": database, "a.user = ?": user}
        values: list[Any] = [value for value in wanted.values() if value is not None]
        conditions = [said for said, value in wanted.items() if value is not None]
        conditions += ["v.verdict IS NOT NULL"] * judged
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        yield from self._read(
            f"{_LINES} {where} ORDER BY a.number DESC LIMIT ?", (*values, -1 if limit is None else limit)
        )

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[Line]:
        with self._journal.reading() as connection:
            rows = [] if connection is None else connection.execute(sql, values).fetchall()
        return [_line(row) for row in rows]


def line_of(
    answer: Answer, *, database: str, url: str = "", context: str = "", written: str = "", user: str = ""
) -> Line:
    """The line that an answer made now would be."""
    adapter = f"+{answer.model.adapter}" if answer.model.adapter else ""
    return Line(
        answer.id,
        time.time(),
        database,
        url,
        answer.dialect,
        answer.question.in_full or answer.question.text,
        answer.status,
        answer.sql,
        answer.confidence,
        f"{answer.model.name} {answer.model.version}{adapter}",
        written,
        tuple(c.name for c in answer.citations if c.kind == "table"),
        context,
        {name: round(ms, 1) for name, ms in answer.timings_ms.items()},
        user,
    )


def _line(row: tuple[Any, ...]) -> Line:
    values = dict(zip((f.name for f in fields(Line)), row, strict=True))
    values["tables"] = tuple(json.loads(values["tables"]))
    values["timings_ms"] = json.loads(values["timings_ms"])
    values["final_sql"] = values["final_sql"] if values["verdict"] in ("right", "corrected") else ""
    return Line(**values)
