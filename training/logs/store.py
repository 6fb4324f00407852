"""The log store of a database: one SQLite file of statements with counts, a few examples of each, and decisions.

Nothing personal is kept on purpose: users are counted by salted hash, examples are redacted before they are written.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal

from sqlgen.journal import Journal
from sqlgen.training.logs.redact import redact

__all__ = ["Action", "Checkpoint", "Example", "LogStore", "Tally"]

Action = Literal["accept", "edit", "reject"]

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE source (id INTEGER PRIMARY KEY, name TEXT NOT NULL, format TEXT NOT NULL, dialect TEXT NOT NULL,
    bytes INTEGER NOT NULL DEFAULT 0, lines INTEGER NOT NULL DEFAULT 0, entries INTEGER NOT NULL DEFAULT 0,
    kept INTEGER NOT NULL DEFAULT 0, bad INTEGER NOT NULL DEFAULT 0, skipped TEXT NOT NULL DEFAULT '{}',
    at REAL NOT NULL);
CREATE TABLE checkpoint (source INTEGER NOT NULL REFERENCES source (id), bytes INTEGER NOT NULL, digest BLOB NOT NULL,
    lines INTEGER NOT NULL, state TEXT NOT NULL, tail INTEGER NOT NULL, taken TEXT NOT NULL,
    PRIMARY KEY (source, bytes)) WITHOUT ROWID;
CREATE TABLE aside (source INTEGER NOT NULL REFERENCES source (id), line INTEGER NOT NULL, reason TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE TABLE statement (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, dialect TEXT NOT NULL,
    count INTEGER NOT NULL, first_at TEXT NOT NULL, last_at TEXT NOT NULL);
CREATE TABLE example (id INTEGER PRIMARY KEY, statement INTEGER NOT NULL REFERENCES statement (id),
    digest BLOB NOT NULL UNIQUE, sql TEXT NOT NULL, question TEXT NOT NULL, verdict TEXT NOT NULL);
CREATE INDEX example_statement ON example (statement);
CREATE TABLE reader (statement INTEGER NOT NULL, user BLOB NOT NULL, PRIMARY KEY (statement, user)) WITHOUT ROWID;
CREATE TABLE mined (example INTEGER PRIMARY KEY, catalog TEXT NOT NULL, outcome TEXT NOT NULL);
CREATE TABLE decision (id INTEGER PRIMARY KEY, pair TEXT NOT NULL, action TEXT NOT NULL, question TEXT NOT NULL,
    sql TEXT NOT NULL, at REAL NOT NULL);
CREATE INDEX decision_pair ON decision (pair);
"""
_MARK = 0x53514C4C
MAX_EXAMPLES = 5
"""How many texts of one statement without a question are kept; of those with one, ten times as many."""
MAX_ASIDE = 1000
"""How many malformed lines of one file are kept with their text; all are counted."""
MAX_USERS = 100
"""How many users of one statement are told apart."""


@dataclass(slots=True)
class Tally:
    """What a batch holds of one statement: ``texts`` are (sql, question, verdict)."""

    count: int = 0
    first_at: str = ""
    last_at: str = ""
    users: set[bytes] = field(default_factory=set)
    texts: dict[tuple[str, str, str], None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a file was read: ``size`` bytes of it, whose ``digest`` tells it apart, and ``lines``.

    ``tail`` is where reading goes on when the file has grown: the last entry may go on as well, so what was ``taken``
    from there on, counts by statement key, is taken back first.
    """

    source: int
    size: int
    digest: bytes
    lines: int
    state: dict[str, Any]
    tail: int
    taken: dict[str, int]


@dataclass(frozen=True, slots=True)
class Example:
    """One text of a statement, with what is known of the statement as a whole."""

    id: int
    statement: int
    sql: str
    question: str
    verdict: str
    dialect: str
    count: int
    users: int
    last_at: str


class LogStore:
    """The file at ``path``; see ``sqlgen.journal`` for what a crash or a second process does to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal = Journal(path, schema=_SCHEMA, mark=_MARK, what="the log store")

    def __enter__(self) -> LogStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()

    # -- import ------------------------------------------------------------------------------------------

    def salt(self) -> bytes:
        """What user names are hashed with; made once per store."""
        with self._journal.writing() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('salt', ?)", (os.urandom(16),))
            row = db.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()
        return bytes(row[0])

    def checkpoints(self) -> list[Checkpoint]:
        """All of them, by file and then by size."""
        with self._journal.reading() as db:
            rows = (
                [] if db is None else db.execute("SELECT * FROM checkpoint ORDER BY source, bytes").fetchall()
            )
        return [
            Checkpoint(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5], json.loads(row[6]))
            for row in rows
        ]

    def new_source(self, name: str, format: str, dialect: str) -> int:
        """A row for a file not seen before."""
        with self._journal.writing() as db:
            made = db.execute(
                "INSERT INTO source (name, format, dialect, at) VALUES (?, ?, ?, ?)",
                (name, format, dialect, time.time()),
            )
            assert made.lastrowid is not None
            return made.lastrowid

    def source(self, number: int) -> tuple[str, str]:
        """Format and dialect of a file seen before."""
        with self._journal.reading() as db:
            assert db is not None
            row = db.execute("SELECT format, dialect FROM source WHERE id = ?", (number,)).fetchone()
        return row[0], row[1]

    def add(
        self,
        point: Checkpoint,
        dialect: str,
        tallies: dict[bytes, Tally],
        *,
        entries: int = 0,
        bad: list[tuple[int, str, str]] | None = None,
        bad_count: int = 0,
        skipped: Counter[str] | None = None,
        undo: Checkpoint | None = None,
    ) -> None:
        """Keep a batch together with how far it came, in one transaction."""
        with self._journal.writing() as db:
            if undo is not None:
                self._take_back(db, undo)
            kept = sum(self._add_statement(db, key, dialect, tally) for key, tally in tallies.items())
            held = db.execute("SELECT COUNT(*) FROM aside WHERE source = ?", (point.source,)).fetchone()[0]
            db.executemany(
                "INSERT INTO aside VALUES (?, ?, ?, ?)",
                [(point.source, *row) for row in (bad or [])[: max(0, MAX_ASIDE - held)]],
            )
            before = db.execute("SELECT skipped FROM source WHERE id = ?", (point.source,)).fetchone()[0]
            counts = Counter(json.loads(before)) + (skipped or Counter())
            db.execute(
                "UPDATE source SET bytes = ?, lines = ?, entries = entries + ?, kept = kept + ?, bad = bad + ?,"
                " skipped = ?, at = ? WHERE id = ?",
                (
                    point.size,
                    point.lines,
                    entries,
                    kept,
                    bad_count,
                    json.dumps(counts),
                    time.time(),
                    point.source,
                ),
            )
            db.execute(
                "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?, ?, ?)",
                (point.source, point.size, point.digest, point.lines, json.dumps(point.state), point.tail,
                 json.dumps(point.taken)),
            )  # fmt: skip

    def _take_back(self, db: Connection, point: Checkpoint) -> None:
        counts = {key: number for key, number in point.taken.items() if not key.startswith("#")}
        for key, number in counts.items():
            db.execute(
                "UPDATE statement SET count = MAX(0, count - ?) WHERE key = ?", (number, bytes.fromhex(key))
            )
        line = point.taken.get("#line", point.lines)
        db.execute("DELETE FROM aside WHERE source = ? AND line > ?", (point.source, line))
        db.execute(
            "UPDATE source SET kept = kept - ?, entries = entries - ?, bad = bad - ? WHERE id = ?",
            (sum(counts.values()), point.taken.get("#entries", 0), point.taken.get("#bad", 0), point.source),
        )
        db.execute("DELETE FROM checkpoint WHERE source = ? AND bytes = ?", (point.source, point.size))

    def _add_statement(self, db: Connection, key: bytes, dialect: str, tally: Tally) -> int:
        number = db.execute(
            "INSERT INTO statement (key, dialect, count, first_at, last_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET count = count + excluded.count,"
            " first_at = CASE WHEN excluded.first_at <> '' AND (first_at = '' OR excluded.first_at < first_at)"
            " THEN excluded.first_at ELSE first_at END, last_at = MAX(last_at, excluded.last_at) RETURNING id",
            (key, dialect, tally.count, tally.first_at, tally.last_at),
        ).fetchone()[0]
        known = {user for (user,) in db.execute("SELECT user FROM reader WHERE statement = ?", (number,))}
        fresh = sorted(tally.users - known)[: MAX_USERS - len(known)]
        db.executemany("INSERT INTO reader VALUES (?, ?)", [(number, user) for user in fresh])
        plain, asked = db.execute(
            "SELECT COALESCE(SUM(question = ''), 0), COALESCE(SUM(question <> ''), 0) FROM example WHERE statement = ?",
            (number,),
        ).fetchone()
        for sql, question, verdict in tally.texts:
            if (asked if question else plain) >= (10 * MAX_EXAMPLES if question else MAX_EXAMPLES):
                continue
            safe_sql, safe_question = redact(sql), redact(question)
            digest = hashlib.blake2b(
                f"{dialect}\0{safe_sql}\0{safe_question}\0{verdict}".encode(), digest_size=16
            ).digest()
            made = db.execute(
                "INSERT OR IGNORE INTO example (statement, digest, sql, question, verdict) VALUES (?, ?, ?, ?, ?)",
                (number, digest, safe_sql, safe_question, verdict),
            )
            if made.rowcount:
                plain, asked = (plain, asked + 1) if question else (plain + 1, asked)
        return tally.count

    # -- what pairs are made of --------------------------------------------------------------------------

    def examples(self) -> list[Example]:
        """All examples of statements that ran, the most frequent statement first."""
        with self._journal.reading() as db:
            rows = [] if db is None else db.execute(
                "SELECT e.id, s.id, e.sql, e.question, e.verdict, s.dialect, s.count,"
                " (SELECT COUNT(*) FROM reader AS r WHERE r.statement = s.id), s.last_at"
                " FROM example AS e JOIN statement AS s ON s.id = e.statement WHERE s.count > 0"
                " ORDER BY s.count DESC, s.id, e.id"
            ).fetchall()  # fmt: skip
        return [Example(*row) for row in rows]

    def mined(self, catalog: str) -> dict[int, dict[str, Any]]:
        """What was already made of the examples under this catalog and these rules."""
        with self._journal.reading() as db:
            rows = [] if db is None else db.execute(
                "SELECT example, outcome FROM mined WHERE catalog = ?", (catalog,)
            ).fetchall()  # fmt: skip
        return {number: json.loads(outcome) for number, outcome in rows}

    def keep_mined(self, catalog: str, outcomes: Iterable[tuple[int, dict[str, Any]]]) -> None:
        """Keep what was made of examples."""
        with self._journal.writing() as db:
            db.executemany(
                "INSERT OR REPLACE INTO mined VALUES (?, ?, ?)",
                [(number, catalog, json.dumps(outcome)) for number, outcome in outcomes],
            )

    # -- decisions ---------------------------------------------------------------------------------------

    def decide(self, pair: str, action: Action, question: str = "", sql: str = "") -> int:
        """Keep a decision about a pair; the latest counts. Returns its number, for ``undo``."""
        with self._journal.writing() as db:
            made = db.execute(
                "INSERT INTO decision (pair, action, question, sql, at) VALUES (?, ?, ?, ?, ?)",
                (pair, action, redact(question), redact(sql), time.time()),
            )
            assert made.lastrowid is not None
            return made.lastrowid

    def undo(self) -> str | None:
        """Take the last decision back; the pair that it was about, or None."""
        with self._journal.writing() as db:
            row = db.execute(
                "DELETE FROM decision WHERE id = (SELECT MAX(id) FROM decision) RETURNING pair"
            ).fetchone()
        return row[0] if row else None

    def decisions(self) -> dict[str, tuple[Action, str, str]]:
        """(action, question, sql) by pair."""
        with self._journal.reading() as db:
            rows = (
                []
                if db is None
                else db.execute("SELECT pair, action, question, sql FROM decision ORDER BY id").fetchall()
            )
        return {pair: (action, question, sql) for pair, action, question, sql in rows}

    # -- status ------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Files read, statements kept, and decisions, as plain data."""
        with self._journal.reading() as db:
            if db is None:
                return {"files": [], "statements": 0, "runs": 0, "examples": 0, "decisions": {}}
            files = [
                dict(zip(("name", "format", "bytes", "lines", "entries", "kept", "malformed", "skipped"), row, strict=True))
                for row in db.execute("SELECT name, format, bytes, lines, entries, kept, bad, skipped FROM source ORDER BY id")
            ]  # fmt: skip
            statements, runs = db.execute(
                "SELECT COUNT(*), COALESCE(SUM(count), 0) FROM statement WHERE count > 0"
            ).fetchone()
            examples = db.execute("SELECT COUNT(*) FROM example").fetchone()[0]
        for file in files:
            file["skipped"] = json.loads(file["skipped"])
        decisions = Counter(action for action, _, _ in self.decisions().values())
        return {
            "files": files,
            "statements": statements,
            "runs": runs,
            "examples": examples,
            "decisions": dict(decisions),
        }

    def malformed(self) -> Iterator[tuple[str, int, str, str]]:
        """(file, line, reason, text) of what could not be read, as far as it is kept."""
        with self._journal.reading() as db:
            rows = [] if db is None else db.execute(
                "SELECT s.name, a.line, a.reason, a.text FROM aside AS a JOIN source AS s ON s.id = a.source ORDER BY a.rowid"
            ).fetchall()  # fmt: skip
        yield from rows
