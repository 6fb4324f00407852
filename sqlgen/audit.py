"""The audit log: one line of JSON for every question, check and run; appended to, never changed, no values.

A line says when, who, of which database, what was asked, what ran, what came of it, how long it took and
how many rows there were. Several processes may write to one file: it is opened for appending, and a line is
one write. Where a line cannot be written nothing is answered.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlgen.errors import AuditFailed, SqlgenError

__all__ = ["AuditLog", "Entry", "audited", "current_entry"]


@dataclass(slots=True)
class Entry:
    """What one line will say. ``ran`` holds a document for every statement that reached the database."""

    fields: dict[str, Any] = field(default_factory=dict)
    ran: list[dict[str, Any]] = field(default_factory=list)

    def add_run(self, sql: str, outcome: str, rows: int | None, duration_s: float) -> None:
        """Note a statement that ran: ``outcome`` is ok, or the name of the error that ended it."""
        self.ran.append(
            {"sql": sql, "outcome": outcome, "rows": rows, "duration_ms": round(1000 * duration_s, 1)}
        )


_entry: ContextVar[Entry | None] = ContextVar("sqlgen_audit_entry", default=None)


def current_entry() -> Entry:
    """The entry of the question being walked in this context; outside of any, one that nobody reads."""
    return _entry.get() or Entry()


class AuditLog:
    """The file at ``path``, made when absent, readable by its owner alone.

    With ``hash_questions`` a line holds the SHA-256 of a question and not its text. ``user`` is who asks;
    None: the login name of this process.
    """

    def __init__(self, path: Path, *, hash_questions: bool = False, user: str | None = None) -> None:
        self.path = path
        self._hash_questions = hash_questions
        self._user = user

    def __repr__(self) -> str:
        return f"AuditLog({str(self.path)!r})"

    def require(self) -> None:
        """Raise AuditFailed unless the file can be written to now."""
        os.close(self._open())

    def write(self, document: dict[str, Any]) -> None:
        """Append one line. Raises AuditFailed; the line is then whole or cut, and what follows is not harmed."""
        line = json.dumps(document, ensure_ascii=True, default=str).encode("ascii") + b"\n"
        handle = self._open()
        try:
            # a line that was cut by a full disk stays on a line of its own
            if _lacks_line_end(handle):
                line = b"\n" + line
            written = os.write(handle, line)
        except OSError as error:
            raise self._failed(error.strerror) from error
        finally:
            os.close(handle)
        if written < len(line):
            raise self._failed("only a part of the line was written; is the disk full?")

    def question_fields(self, text: str) -> dict[str, str]:
        """The question as the log may hold it."""
        if self._hash_questions:
            return {"question_sha256": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()}
        return {"question": text}

    def user(self) -> str:
        """Who asks, as far as this process can tell."""
        if self._user is not None:
            return self._user
        try:
            return getpass.getuser()
        except (KeyError, OSError):
            return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        try:
            return os.open(self.path, flags, 0o600)
        except OSError as error:
            raise self._failed(error.strerror) from error

    def _failed(self, reason: str | None) -> AuditFailed:
        return AuditFailed(
            f"cannot write the audit log {self.path} ({reason}); nothing is answered without it: "
            "make it writable, or change the setting audit_log"
        )


def _lacks_line_end(handle: int) -> bool:
    size = os.fstat(handle).st_size
    return size > 0 and hasattr(os, "pread") and os.pread(handle, 1, size - 1) != b"\n"


@contextmanager
def audited(log: AuditLog | None, event: str, database: str, text: str | None = None) -> Iterator[Entry]:
    """An entry to fill within the block, written when the block ends, also with an error.

    Without a log nothing is written. Raises AuditFailed before the block when the log cannot be written, and
    after it instead of what the block made.
    """
    if log is not None:
        log.require()
    entry = Entry()
    token = _entry.set(entry)
    began = time.perf_counter()
    try:
        yield entry
    except BaseException as error:
        # the message may quote a value, the name of the error doesn't
        name = type(error).__name__
        entry.fields |= {"status": name if isinstance(error, SqlgenError) else "failed", "error": name}
        raise
    finally:
        _entry.reset(token)
        if log is not None:
            log.write(
                {
                    "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "event": event,
                    "user": log.user(),
                    "pid": os.getpid(),
                    "database": database,
                    **({} if text is None else log.question_fields(text)),
                    **entry.fields,
                    "ran": entry.ran,
                    "duration_ms": round(1000 * (time.perf_counter() - began), 1),
                }
            )
