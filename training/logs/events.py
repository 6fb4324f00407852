"""What a log holds: one event per executed statement, and what was wrong with the rest."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

__all__ = ["MAX_RECORD", "Event", "Found", "Reader", "bad_bytes", "moment"]

MAX_RECORD = 16 * 2**20
"""The longest record that is waited for, in bytes; a longer one is counted as malformed and passed over."""


class Event(NamedTuple):
    """A statement that ran: ``at`` is ISO text to the second in the log's own time zone, or empty; bytes as logged."""

    sql: bytes
    user: bytes = b""
    at: bytes = b""
    runs: int = 1
    question: str = ""
    verdict: str = ""


@dataclass(slots=True)
class Found:
    """What one block of a log held. ``bad`` is (position in the block, reason, text); ``skipped`` counts by cause."""

    events: list[Event] = field(default_factory=list)
    bad: list[tuple[int, str, bytes]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    entries: int = 0


class Reader(Protocol):
    """A format. ``state`` is what it needs to go on later, as JSON; it changes with every call."""

    state: dict[str, Any]

    def read(self, block: bytes, final: bool) -> tuple[int, Found]:
        """(bytes used, what they held): the rest is handed in again, with more after it unless ``final``."""
        ...

    def resume(self, block: bytes) -> int:
        """Where a record begins after bytes that were passed over; -1 where none does."""
        ...


def bad_bytes(text: bytes) -> str:
    """Why these bytes are no text, or an empty string.

    >>> bad_bytes(b"SELECT 1"), bad_bytes(b"a\\0b"), bad_bytes(b"\\xff")
    ('', 'a NUL byte', 'not UTF-8')
    """
    if b"\0" in text:
        return "a NUL byte"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    return ""


_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d))?")


def moment(value: Any) -> bytes:
    """A time as logs write it (ISO text, seconds, milli- or microseconds since 1970), to the second; else empty.

    >>> moment("2024-03-01T12:30:05.123Z"), moment(1709296205000), moment("2024-03-01"), moment("soon")
    (b'2024-03-01 12:30:05', b'2024-03-01 12:30:05', b'2024-03-01 00:00:00', b'')
    """
    text = str(value).strip()
    if found := _MOMENT.match(text):
        return f"{found[1]} {found[2] or '00:00:00'}".encode()
    try:
        number = float(text)
        while number > 1e11:
            number /= 1000
        return str(datetime.fromtimestamp(number, UTC))[:19].encode() if number > 1e8 else b""
    except (ValueError, OverflowError, OSError):
        return b""
