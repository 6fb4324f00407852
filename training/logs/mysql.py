"""The general and the slow query log of MySQL and MariaDB."""

from __future__ import annotations

import re
from typing import Any

from sqlgen.training.logs.events import Event, Found, bad_bytes, moment

__all__ = ["MysqlGeneral", "MysqlSlow"]

_HEADER = re.compile(rb"(?:\S+, Version: |Tcp port: |Time\s+Id Command)")
_OLD_TIME = re.compile(rb"(\d\d)(\d\d)(\d\d) +(\d\d?):(\d\d:\d\d)")


def _time(text: bytes) -> bytes:
    """``240301  9:05:00`` (MariaDB) or ISO text, as ISO text to the second."""
    if old := _OLD_TIME.match(text):
        return b"20%s-%s-%s %s:%s" % (old[1], old[2], old[3], old[4].rjust(2, b"0"), old[5])
    return moment(text.decode("latin-1"))


def _complete(block: bytes, start: re.Pattern[bytes], final: bool) -> int:
    if final:
        return len(block)
    at = len(block)
    while at > 0:
        at = block.rfind(b"\n", 0, at)
        if at >= 0 and start.match(block, at + 1):
            return at + 1
    return 0


class MysqlGeneral:
    """``general_log``: written before a statement runs, so it can't say which of them failed."""

    _ENTRY = re.compile(
        rb"^(?P<at>\d{4}-\d\d-\d\dT[\d:]{8}[\d.]*(?:Z|[+-][\d:]+)|\d{6} +\d?\d:\d\d:\d\d|\t)?\t *(?P<id>\d+) "
        rb"(?P<what>[A-Z][A-Za-z_]+(?: [A-Za-z]+)?)(?:\t|[ \t]*$)",
        re.M,
    )

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state: dict[str, Any] = state or {}

    def resume(self, block: bytes) -> int:
        """Where the next entry begins."""
        found = self._ENTRY.search(block)
        return found.start() if found else -1

    def read(self, block: bytes, final: bool) -> tuple[int, Found]:
        """See ``Reader``."""
        found = Found()
        end = _complete(block, self._ENTRY, final)
        users: dict[str, str] = self.state.setdefault("users", {})
        at = self.state.get("at", "").encode()
        matches = list(self._ENTRY.finditer(block, 0, end))
        lead = block[: matches[0].start() if matches else end]
        _gap(lead, found)
        for match, following in zip(matches, [*matches[1:], None], strict=False):
            found.entries += 1
            if match["at"] and match["at"] != b"\t":
                at = _time(match["at"])
            body = block[match.end() : following.start() if following else end].rstrip(b"\r\n")
            if (header := re.search(rb"\n(?=\S+, Version: )", body)) is not None:
                body = body[: header.start()]
            session = match["id"].decode()
            if reason := bad_bytes(body):
                found.bad.append((match.start(), reason, body))
            elif match["what"] == b"Connect":
                users[session] = body.split(b"@")[0].decode("utf-8", "replace").strip()[:80]
                found.skipped["not a statement"] += 1
            elif match["what"] in (b"Query", b"Execute"):
                found.events.append(Event(body, users.get(session, "").encode(), at))
            else:
                if match["what"] == b"Quit":
                    users.pop(session, None)
                found.skipped["not a statement"] += 1
        self.state["at"] = at.decode()
        return end, found


class MysqlSlow:
    """The slow query log: comments with user and time, ``use`` and ``SET timestamp``, then the statement."""

    _START = re.compile(rb"^# (?:Time|User@Host): ", re.M)
    _STAMP = re.compile(rb"^SET timestamp=(\d+)[\d.]*;[ \t]*\r?$\n?", re.M)

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self.state: dict[str, Any] = state or {}

    def resume(self, block: bytes) -> int:
        """Where the next entry begins."""
        found = self._START.search(block)
        return found.start() if found else -1

    def read(self, block: bytes, final: bool) -> tuple[int, Found]:
        """See ``Reader``."""
        found = Found()
        end = _complete(block, self._START, final)
        starts = [m.start() for m in self._START.finditer(block, 0, end)]
        _gap(block[: starts[0] if starts else end], found)
        for start, stop in zip(starts, [*starts[1:], end], strict=False):
            text = block[start:stop]
            head, _, rest = text.partition(b"\n")
            if head.startswith(b"# Time: "):
                self.state["at"] = _time(head[8:].strip()).decode()
                _gap(rest, found, start + len(head) + 1)
                continue
            found.entries += 1
            if reason := bad_bytes(text):
                found.bad.append((start, reason, text))
                continue
            user = head[len(b"# User@Host: ") :].split(b"[")[0].strip()
            at = self.state.get("at", "").encode()
            if stamp := self._STAMP.search(rest):
                at = moment(int(stamp[1]))
                rest = rest[stamp.end() :]
            lines = rest.split(b"\n")
            while lines and (
                lines[0].startswith(b"#") or re.match(rb"use [^;]+;\s*$", lines[0]) or not lines[0].strip()
            ):
                lines.pop(0)
            lines = [line for line in lines if not _HEADER.match(line)]
            sql = b"\n".join(lines).strip()
            if sql:
                found.events.append(Event(sql, user, at))
            else:
                found.skipped["not a statement"] += 1
        return end, found


def _gap(text: bytes, found: Found, offset: int = 0) -> None:
    at = offset
    for line in text.split(b"\n"):
        if line.strip() and not _HEADER.match(line) and not line.startswith(b"#"):
            found.bad.append((at, "no entry begins here", line))
        at += len(line) + 1
