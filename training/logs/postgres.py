"""PostgreSQL's server logs: stderr, csvlog and jsonlog.

A statement counts once it succeeded. ``duration: ... statement:`` says so; one that was logged before it ran waits
until its session logs the next entry, and an ERROR of that session takes it back.
"""

from __future__ import annotations

import csv
import json
import re
from itertools import pairwise
from typing import Any

from sqlgen.training.logs.events import MAX_RECORD, Event, Found, bad_bytes

__all__ = ["PostgresCsv", "PostgresJson", "PostgresStderr", "bind"]

_SEVERITIES = (
    "LOG|STATEMENT|DETAIL|ERROR|FATAL|HINT|CONTEXT|WARNING|NOTICE|INFO|PANIC|QUERY|LOCATION|DEBUG[1-5]?"
)
_MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
# The prefix is free text; most begin with the time, and the process stands in brackets.
_HEADS = (
    rf"^(?P<at>{_MOMENT})(?:\.\d+)?(?: [A-Z][\w+/-]*| [+-]\d[\d:]*)?(?: \[(?P<pid>\d+)\])?(?P<rest>[^\n]{{0,300}}?)",
    r"^(?!\t)(?P<rest>[^\n]{0,300}?)",
)
_TAIL = (
    rf"(?P<severity>{_SEVERITIES}):  (?P<timed>duration: [\d.]+ ms(?:  )?)?"
    r"(?:(?P<what>statement|execute|parse|bind)(?: [^:\n]{0,80})?: )?(?P<body>[^\n]*(?:\n\t[^\n]*)*)"
)
_MESSAGE = re.compile(
    rb"(?P<timed>duration: [\d.]+ ms(?:  )?)?(?:(?P<what>statement|execute|parse|bind)(?: [^:\n]{0,80})?: )?(?P<body>.*)",
    re.S,
)
_USER = re.compile(rb"user=([^,\s\]]+)|([^\s@,\[\]=:]+)@[^\s,\[\]]")
_PID = re.compile(rb"(?:pid=|\[)(\d+)")
_AT = re.compile(_MOMENT.encode())
_EPOCH = re.compile(rb"\b(1\d{9})\.\d{3}\b")
_FAILED = (b"ERROR", b"FATAL", b"PANIC")
_ESCAPES = {
    "m": rf"(?P<at>{_MOMENT})(?:\.\d+)?(?: \S+)?",
    "t": rf"(?P<at>{_MOMENT})(?: \S+)?",
    "p": r"(?P<pid>\d+)",
    "u": r"(?P<user>[^\n]*?)",
    "%": "%",
    "q": "",
}
_PARAMETERS = re.compile(rb"\$(\d+) = (NULL|'(?:[^']|'')*')")
_NUMBER = re.compile(rb"'-?(?:0|[1-9]\d{0,15})(?:\.\d+)?'")
_USES = re.compile(rb"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\d+)")


def _pattern(head: str) -> re.Pattern[bytes]:
    return re.compile((head + _TAIL).encode(), re.M)


def prefix_pattern(prefix: str) -> re.Pattern[bytes]:
    """What finds the entries of a log with this ``log_line_prefix``.

    >>> bool(prefix_pattern("%t [%p] %u@%d ").search(b"2024-03-01 10:00:00 UTC [7] ann@shop LOG:  statement: SELECT 1"))
    True
    """
    out, seen = "", set()
    optional = False
    for literal, escape in re.findall(r"([^%]+)|%-?\d*(.)", prefix):
        if literal:
            out += re.escape(literal)
        elif escape == "q" and not optional:
            out, optional = out + "(?:", True
        elif escape in _ESCAPES and escape not in seen:
            seen.add("m" if escape == "t" else escape)
            out += _ESCAPES[escape]
        else:
            out += r"[^\n]*?"
    return _pattern(f"^{out}{')?' if optional else ''}")


def bind(sql: bytes, detail: bytes) -> bytes:
    """A prepared statement with the values that its DETAIL line gives.

    >>> bind(b"SELECT a FROM t WHERE b = $1 AND c = '$2'", b"parameters: $1 = 'it''s'")
    b"SELECT a FROM t WHERE b = 'it''s' AND c = '$2'"
    """
    values = {int(m[1]): _plain(m[2]) for m in _PARAMETERS.finditer(detail)}
    if not values:
        return sql
    return _USES.sub(lambda m: values.get(int(m[1]), m[0]) if m[1] else m[0], sql)


def _plain(value: bytes) -> bytes:
    """A number in quotes is a number: the log quotes every value."""
    return value[1:-1] if _NUMBER.fullmatch(value) else value


class _Sessions:
    """What each session ran and didn't fail yet; the state of all three readers."""

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.state: dict[str, Any] = state or {}
        self._waiting: dict[bytes, Event] = {
            key.encode("latin-1"): Event(*(part.encode("latin-1") for part in parts))
            for key, parts in self.state.pop("waiting", {}).items()
        }

    def keep(self) -> None:
        self.state["waiting"] = {
            key.decode("latin-1"): [part.decode("latin-1") for part in event[:3]]
            for key, event in self._waiting.items()
        }

    def started(self, session: bytes, event: Event, found: Found) -> None:
        before = self._waiting.get(session)
        if before is not None:
            found.events.append(before)
        self._waiting[session] = event

    def bound(self, session: bytes, detail: bytes) -> None:
        event = self._waiting.get(session)
        if event is not None:
            self._waiting[session] = event._replace(sql=bind(event.sql, detail))

    def failed(self, session: bytes, found: Found, sql: bytes | None = None) -> None:
        event = self._waiting.get(session)
        if event is not None and (sql is None or event.sql.strip() == sql.strip()):
            del self._waiting[session]
            found.skipped["failed"] += 1

    def flush(self, found: Found) -> None:
        found.events.extend(self._waiting.values())
        self._waiting.clear()

    def message(
        self, session: bytes, user: bytes, at: bytes, text: bytes, detail: bytes, found: Found
    ) -> None:
        """A whole LOG entry, as csvlog and jsonlog have it."""
        parts = _MESSAGE.match(text)
        assert parts is not None
        if parts["what"] not in (b"statement", b"execute"):
            found.skipped["not a statement"] += 1
            return
        sql = bind(parts["body"], detail) if detail else parts["body"]
        if parts["timed"]:
            found.events.append(Event(sql, user, at))
        else:
            self.started(session, Event(sql, user, at), found)


class PostgresStderr:
    """``log_destination = stderr``; ``prefix`` is the server's ``log_line_prefix`` where the usual ones don't fit."""

    def __init__(self, state: dict[str, Any] | None = None, prefix: str | None = None) -> None:
        self._sessions = _Sessions(state)
        self.state = self._sessions.state
        if prefix is not None:
            self.state["prefix"] = prefix
        self._entry: re.Pattern[bytes] | None = None
        self._users: dict[bytes, bytes] = {}

    def _pattern(self, block: bytes) -> re.Pattern[bytes]:
        if self._entry is None:
            if "prefix" in self.state:
                self._entry = prefix_pattern(self.state["prefix"])
            else:
                if "head" not in self.state:
                    counts = [sum(1 for _ in _pattern(head).finditer(block[:200_000])) for head in _HEADS]
                    if not any(counts):
                        return _pattern(_HEADS[0])
                    self.state["head"] = int(counts[1] > counts[0])
                self._entry = _pattern(_HEADS[self.state["head"]])
        return self._entry

    def resume(self, block: bytes) -> int:
        """Where the next entry begins."""
        found = self._pattern(block).search(block)
        return found.start() if found else -1

    def read(self, block: bytes, final: bool) -> tuple[int, Found]:
        """See ``Reader``; the last entry waits for what may follow it."""
        found = Found()
        if b"\r" in block:
            block_ = block.replace(b"\r\n", b" \n")  # as long as before: positions count
            if not final and block_.endswith(b"\r"):
                block_ = block_[:-1]
            block = block_
        entry = self._pattern(block)
        end = len(block) if final else _last_start(block, entry)
        clean = not bad_bytes(block[:end])
        sessions = self._sessions
        groups = entry.groupindex
        at_, pid_, user_, rest_ = (groups.get(name, 0) for name in ("at", "pid", "user", "rest"))
        severity_, timed_, what_, body_ = (groups[name] for name in ("severity", "timed", "what", "body"))
        last = 0
        last_kind = str(self.state.get("last", "")).encode()
        was_statement = bool(self.state.get("detail"))
        for match in entry.finditer(block, 0, end):
            start = match.start()
            if start > last:
                self._gap(block, last, start, found)
            last = match.end() + 1
            found.entries += 1
            severity = match[severity_]
            what = match[what_]
            if severity == b"LOG" and what is None:
                found.skipped["not a statement"] += 1
                last_kind = b""
                continue
            if not clean and (reason := bad_bytes(match[0])):
                found.bad.append((start, reason, match[0]))
                last_kind = b""
                continue
            rest = match[rest_] if rest_ else b""
            pid = match[pid_] if pid_ else None
            if pid is None:
                pid = m[1] if (m := _PID.search(rest)) else b""
            body = match[body_]
            if severity == b"LOG":
                if what == b"parse" or what == b"bind":
                    found.skipped["not a statement"] += 1
                    was_statement = False
                    last_kind = severity
                    continue
                if b"\n\t" in body:
                    body = body.replace(b"\n\t", b"\n")
                user = match[user_] if user_ else self._user(rest) if rest else b""
                at = match[at_] if at_ else self._at(rest)
                # Also what ran already waits: its parameters may stand in the next entry.
                timed = match[timed_] is not None
                if timed and what == b"statement":
                    found.events.append(Event(body, user or b"", at or b""))
                else:
                    sessions.started(
                        pid + (b"+" if timed else b""), Event(body, user or b"", at or b""), found
                    )
                was_statement = True
            elif severity == b"DETAIL":
                if was_statement and body[1:11] == b"arameters:":
                    sessions.bound(pid + b"+" if pid + b"+" in sessions._waiting else pid, body)
            elif severity in _FAILED:
                was_statement = False
                found.skipped["messages"] += 1
                if pid:
                    sessions.failed(pid, found)
            elif severity == b"STATEMENT" and last_kind in _FAILED:
                sessions.failed(pid, found, body.replace(b"\n\t", b"\n"))
            if severity not in (b"DETAIL", b"HINT", b"CONTEXT", b"QUERY", b"LOCATION"):
                last_kind = severity
        if last < end:
            self._gap(block, last, end, found)
        if final:
            sessions.flush(found)
        sessions.keep()
        self.state |= {"last": last_kind.decode(), "detail": was_statement}
        return end, found

    def _user(self, rest: bytes) -> bytes:
        user = self._users.get(rest)
        if user is None:
            match = _USER.search(rest)
            user = (match[1] or match[2]) if match else b""
            if len(self._users) > 10_000:
                self._users.clear()
            self._users[rest] = user
        return user

    @staticmethod
    def _at(rest: bytes) -> bytes:
        if match := _AT.search(rest):
            return match[0]
        if match := _EPOCH.search(rest):
            from sqlgen.training.logs.events import moment

            return moment(int(match[1]))
        return b""

    @staticmethod
    def _gap(block: bytes, start: int, end: int, found: Found) -> None:
        at = start
        for line in block[start:end].split(b"\n"):
            if line.strip():
                found.bad.append((at, "no entry begins here", line))
            at += len(line) + 1


def _last_start(block: bytes, entry: re.Pattern[bytes]) -> int:
    """Where the last entry of ``block`` begins; everything before it is complete."""
    at = len(block)
    while at > 0:
        at = block.rfind(b"\n", 0, at)
        # A line that is cut short does not match, and belongs to the next block.
        if at >= 0 and entry.match(block, at + 1):
            return at + 1
    return 0


class PostgresCsv:
    """``log_destination = csvlog`` of versions 9.0 to 17: 23, 24 or 26 columns, the first 23 alike."""

    _START = re.compile(rb"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ [^,\n]{1,40},", re.M)

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self._sessions = _Sessions(state)
        self.state = self._sessions.state

    def resume(self, block: bytes) -> int:
        """Where the next row begins."""
        found = self._START.search(block)
        return found.start() if found else -1

    def read(self, block: bytes, final: bool) -> tuple[int, Found]:
        """See ``Reader``. A row begins with a time; a quote that stays open joins it to the next."""
        found = Found()
        starts = [m.start() for m in self._START.finditer(block)]
        if final:
            starts.append(len(block))
        end = starts[-1] if starts else (len(block) if final else 0)
        if starts and starts[0] > 0:
            PostgresStderr._gap(block, 0, starts[0], found)
        held: list[int] = []
        for start, stop in pairwise(starts):
            row = block[start:stop]
            if held or row.count(b'"') % 2:
                held.append(start)
                whole = block[held[0] : stop]
                if whole.count(b'"') % 2:
                    # Two rows can't both lie inside the fields of one.
                    if len(held) < 20:
                        continue
                    found.bad.append((held[0], "a quote is never closed", whole))
                    held = []
                    continue
                start, row, held = held[0], whole, []
            self._row(start, row, found)
        if held:
            if final or end - held[0] > MAX_RECORD:
                found.bad.append((held[0], "a quote is never closed", block[held[0] : end]))
            else:
                end = held[0]
        if final:
            self._sessions.flush(found)
        self._sessions.keep()
        return end, found

    def _row(self, start: int, row: bytes, found: Found) -> None:
        found.entries += 1
        try:
            text = row.decode()
            if "\0" in text:
                raise ValueError("a NUL byte")
            (fields,) = csv.reader(
                [text.strip("\r\n")] if "\n" not in text.strip() else text.splitlines(True), strict=True
            )
            if len(fields) < 23:
                raise ValueError(f"{len(fields)} columns, 23 or more expected")
        except UnicodeDecodeError:
            found.bad.append((start, "not UTF-8", row))
            return
        except (ValueError, csv.Error) as error:
            found.bad.append((start, str(error).replace("\n", " "), row))
            return
        severity, session = fields[11], fields[3].encode()
        if severity == "LOG":
            self._sessions.message(
                session,
                fields[1].encode(),
                fields[0][:19].encode(),
                fields[13].encode(),
                fields[14].encode() if "arameters:" in fields[14][:11] else b"",
                found,
            )
        elif severity.encode() in _FAILED:
            self._sessions.failed(session, found)
            found.skipped["messages"] += 1
        else:
            found.skipped["messages"] += 1


class PostgresJson:
    """``log_destination = jsonlog`` (version 15 and later): one object a line."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self._sessions = _Sessions(state)
        self.state = self._sessions.state

    def resume(self, block: bytes) -> int:
        """Where the next line begins."""
        at = block.find(b"\n")
        return at + 1 if at >= 0 else -1

    def read(self, block: bytes, final: bool) -> tuple[int, Found]:
        """See ``Reader``."""
        found = Found()
        end = len(block) if final else block.rfind(b"\n") + 1
        at = 0
        for line in block[:end].split(b"\n"):
            start, at = at, at + len(line) + 1
            if not line.strip():
                continue
            found.entries += 1
            try:
                row = json.loads(line.decode())
                message = row["message"] if row.get("error_severity") == "LOG" else ""
                session = str(row.get("pid", "")).encode()
                text = message.encode()
                detail = row.get("detail") or ""
                at_, user = str(row.get("timestamp", ""))[:19].encode(), str(row.get("user") or "").encode()
            except UnicodeDecodeError:
                found.bad.append((start, "not UTF-8", line))
                continue
            except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
                found.bad.append((start, "not a JSON object of jsonlog", line))
                continue
            if text:
                details = detail.encode() if "arameters:" in detail[:11] else b""
                self._sessions.message(session, user, at_, text, details, found)
                continue
            found.skipped["messages"] += 1
            if str(row.get("error_severity")).encode() in _FAILED:
                self._sessions.failed(session, found)
        if final:
            self._sessions.flush(found)
        self._sessions.keep()
        return end, found
