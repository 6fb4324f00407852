"""Spans of time as people write them, turned into half-open ranges of dates."""

from __future__ import annotations

import re
from datetime import date, timedelta

__all__ = ["parse_period"]

_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = {name[:n]: i + 1 for i, name in enumerate(_MONTHS) for n in (3, len(name))} | {"sept": 9}
_ORDINAL = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}
_NUMBER = {
    w: i for i, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_MONTH_RE = "|".join(sorted(_MONTH, key=len, reverse=True))
_ORDINAL_RE = "|".join(_ORDINAL)
_NUMBER_RE = "|".join(_NUMBER)


def _month_start(year: int, month: int) -> date:
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


def _unit_range(unit: str, today: date, shift: int) -> tuple[date, date]:
    if unit == "day":
        start = today + timedelta(days=shift)
        return start, start + timedelta(days=1)
    if unit == "week":
        start = today - timedelta(days=today.weekday()) + timedelta(weeks=shift)
        return start, start + timedelta(weeks=1)
    size = {"month": 1, "quarter": 3, "year": 12}[unit]
    month = today.year * 12 + (today.month - 1) // size * size + shift * size
    return date(month // 12, month % 12 + 1, 1), date((month + size) // 12, (month + size) % 12 + 1, 1)


def _back(today: date, count: int, unit: str) -> date:
    if unit in ("day", "week"):
        return today - timedelta(days=count * (7 if unit == "week" else 1))
    months = today.year * 12 + today.month - 1 - count * {"month": 1, "quarter": 3, "year": 12}[unit]
    year, month = divmod(months, 12)
    last = (_month_start(year, month + 2) - timedelta(days=1)).day
    return date(year, month + 1, min(today.day, last))


def parse_period(text: str, today: date) -> tuple[date, date] | None:
    """The half-open range [start, end) that ``text`` names, or None.

    ``today`` is the reference date of "last month" and its like; "last 30 days" ends with today.

    >>> parse_period("March 2024", date(2025, 1, 1))
    (datetime.date(2024, 3, 1), datetime.date(2024, 4, 1))
    >>> parse_period("last quarter", date(2025, 2, 10))
    (datetime.date(2024, 10, 1), datetime.date(2025, 1, 1))
    >>> parse_period("Paris", date(2025, 1, 1)) is None
    True
    """
    try:
        return _parse(re.sub(r"[\s,]+", " ", text.strip().lower()).removeprefix("the "), today)
    except (ValueError, OverflowError):
        return None


def _parse(text: str, today: date) -> tuple[date, date] | None:
    def match(pattern: str) -> re.Match[str] | None:
        return re.fullmatch(pattern, text)

    if m := match(r"(?:year )?((?:19|20)\d\d)"):
        return date(int(m[1]), 1, 1), date(int(m[1]) + 1, 1, 1)
    if m := match(r"((?:19|20)\d\d)-(\d\d?)"):
        start = date(int(m[1]), int(m[2]), 1)
        return start, _month_start(start.year, start.month + 1)
    if m := match(r"((?:19|20)\d\d)[-/](\d\d?)[-/](\d\d?)(?:[ t].*)?"):
        start = date(int(m[1]), int(m[2]), int(m[3]))
        return start, start + timedelta(days=1)
    if m := match(rf"(?:month of )?({_MONTH_RE})\.? (?:of )?((?:19|20)\d\d)"):
        start = date(int(m[2]), _MONTH[m[1]], 1)
        return start, _month_start(start.year, start.month + 1)
    if (m := match(rf"({_MONTH_RE})\.? (\d\d?)(?:st|nd|rd|th)? ((?:19|20)\d\d)")) or (
        m := match(rf"(\d\d?)(?:st|nd|rd|th)? (?:of )?({_MONTH_RE})\.? ((?:19|20)\d\d)")
    ):
        day, month = (m[2], m[1]) if m[1] in _MONTH else (m[1], m[2])
        start = date(int(m[3]), _MONTH[month], int(day))
        return start, start + timedelta(days=1)
    if m := match(r"q([1-4])(?: of)? ((?:19|20)\d\d)"):
        return _unit_range("quarter", date(int(m[2]), int(m[1]) * 3, 1), 0)
    if m := match(r"((?:19|20)\d\d) ?-?q([1-4])"):
        return _unit_range("quarter", date(int(m[1]), int(m[2]) * 3, 1), 0)
    if m := match(rf"({_ORDINAL_RE}) (quarter|half) of ((?:19|20)\d\d)"):
        number, year = _ORDINAL[m[1]], int(m[3])
        if m[2] == "quarter":
            return _unit_range("quarter", date(year, number * 3, 1), 0)
        return _month_start(year, number * 6 - 5), _month_start(year, number * 6 + 1)
    if text in ("today", "yesterday"):
        return _unit_range("day", today, 0 if text == "today" else -1)
    if m := match(r"(this|current|last|previous|prior|past) (day|week|month|quarter|year)"):
        return _unit_range(m[2], today, 0 if m[1] in ("this", "current") else -1)
    if m := match(rf"(?:last|past|previous|prior) (\d{{1,4}}|{_NUMBER_RE}) (day|week|month|quarter|year)s"):
        count = _NUMBER[m[1]] if m[1] in _NUMBER else int(m[1])
        return _back(today, count, m[2]) + timedelta(days=1), today + timedelta(days=1)
    if m := match(rf"(?:last )?({_MONTH_RE})"):
        month = _MONTH[m[1]]
        year = today.year if month <= today.month else today.year - 1
        return date(year, month, 1), _month_start(year, month + 1)
    return None
