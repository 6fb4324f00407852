"""Spans of time as people write them, turned into half-open ranges of dates."""

from __future__ import annotations

import re
from datetime import date, timedelta

__all__ = ["parse_between", "parse_period", "without_moving"]

_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = {name[:n]: i + 1 for i, name in enumerate(_MONTHS) for n in (3, len(name))} | {"sept": 9}
_ORDINAL = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4, "4th": 4}
_NUMBER = {
    w: i for i, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_MONTH_RE = "|".join(sorted(_MONTH, key=len, reverse=True))
_ORDINAL_RE = "|".join(_ORDINAL)
_NUMBER_RE = "|".join(_NUMBER)
_UNIT_RE = "day|week|month|quarter|year"
_WEEKDAY = {
    name: i for i, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())
}
_TO_DATE = {"ytd": "year", "qtd": "quarter", "mtd": "month", "wtd": "week"}
_LONGEST = 6
# No period that is seen from the day is the same on both.
_TWO_DAYS = (date(2020, 6, 16), date(2023, 1, 4))


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


def parse_between(first: str, last: str, today: date) -> tuple[date, date] | None:
    """The half-open range from the start of one period to the end of another, or None.

    A month or quarter without a year shares the other's: "between March and June 2024".

    >>> parse_between("March", "June 2024", date(2030, 1, 1))
    (datetime.date(2024, 3, 1), datetime.date(2024, 7, 1))
    >>> parse_between("2023", "2024", date(2030, 1, 1))
    (datetime.date(2023, 1, 1), datetime.date(2025, 1, 1))
    """
    years = [re.findall(r"\b(?:19|20)\d\d\b", text) for text in (first, last)]
    begins, ends = first, last
    if years[1] and not years[0]:
        begins = f"{first} {years[1][-1]}"
    elif years[0] and not years[1]:
        ends = f"{last} {years[0][-1]}"
    low = parse_period(begins, today) or parse_period(first, today)
    high = parse_period(ends, today) or parse_period(last, today)
    return (low[0], high[1]) if low and high else None


def parse_period(text: str, today: date) -> tuple[date, date] | None:
    """The half-open range [start, end) that ``text`` names, or None.

    ``today`` is the reference date of "last month" and its like; "last 30 days" and "the past month"
    end with today, "next 30 days" begins with it, "year to date" ends with it.

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


def without_moving(text: str) -> str:
    """``text`` without the periods in it that move with the day on which it is said.

    >>> without_moving("orders over 50 in the last 30 days"), without_moving("signed in Q2 2024")
    ('orders over 50 in ', 'signed in Q2 2024')
    """
    words = [(m.start(), m.end()) for m in re.finditer(r"[\w/-]+", text)]
    kept, done, i = "", 0, 0
    while i < len(words):
        start = words[i][0]
        for length in range(min(_LONGEST, len(words) - i), 0, -1):
            end = words[i + length - 1][1]
            said = {parse_period(text[start:end], day) for day in _TWO_DAYS}
            if None not in said:
                # The longest reading counts: "Q2" alone moves, "Q2 2024" doesn't.
                if len(said) > 1:
                    kept, done = kept + text[done:start], end
                i += length
                break
        else:
            i += 1
    return kept + text[done:]


def _count(text: str) -> int:
    return 2 if text == "couple of" else _NUMBER[text] if text in _NUMBER else int(text)


def _parse(text: str, today: date) -> tuple[date, date] | None:
    return _absolute(text) or _relative(text, today)


def _absolute(text: str) -> tuple[date, date] | None:
    """Periods that name their year."""

    def match(pattern: str) -> re.Match[str] | None:
        return re.fullmatch(pattern, text)

    if m := match(r"(?:year )?((?:19|20)\d\d)"):
        return date(int(m[1]), 1, 1), date(int(m[1]) + 1, 1, 1)
    if m := match(r"((?:19|20)\d0)'?s"):
        return date(int(m[1]), 1, 1), date(int(m[1]) + 10, 1, 1)
    if (m := match(r"((?:19|20)\d\d)-(\d\d?)")) or (m := match(r"(\d\d?)[/.]((?:19|20)\d\d)")):
        year, month = (m[1], m[2]) if len(m[1]) == 4 else (m[2], m[1])
        start = date(int(year), int(month), 1)
        return start, _month_start(start.year, start.month + 1)
    if m := match(r"((?:19|20)\d\d)[-/](\d\d?)[-/](\d\d?)(?:[ t].*)?"):
        start = date(int(m[1]), int(m[2]), int(m[3]))
        return start, start + timedelta(days=1)
    if m := match(r"(\d\d?)([/.])(\d\d?)\2((?:19|20)\d\d)"):
        # Points put the day first; of two numbers around a slash the month comes first where it can.
        day_first = m[2] == "." or int(m[1]) > 12
        day, month = (m[1], m[3]) if day_first else (m[3], m[1])
        start = date(int(m[4]), int(month), int(day))
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
    if m := match(r"(q|h)([1-4])(?: of)? ((?:19|20)\d\d)"):
        return _part(m[1], int(m[2]), int(m[3]))
    if m := match(r"((?:19|20)\d\d) ?-?(q|h)([1-4])"):
        return _part(m[2], int(m[3]), int(m[1]))
    if m := match(rf"({_ORDINAL_RE}) (quarter|half) of ((?:19|20)\d\d)"):
        return _part(m[2][0], _ORDINAL[m[1]], int(m[3]))
    if (m := match(r"(?:calendar )?week (\d\d?)(?: of| in)? ((?:19|20)\d\d)")) or (
        m := match(r"((?:19|20)\d\d) ?-?w(\d\d?)")
    ):
        week, year = (m[2], m[1]) if len(m[1]) == 4 else (m[1], m[2])
        start = date.fromisocalendar(int(year), int(week), 1)
        return start, start + timedelta(weeks=1)
    if m := match(r"week (?:of|starting|beginning) (.+)"):
        named = _absolute(m[1].removeprefix("the "))
        return _unit_range("week", named[0], 0) if named and (named[1] - named[0]).days == 1 else None
    return None


def _part(letter: str, number: int, year: int) -> tuple[date, date]:
    """A quarter or a half of a year."""
    size = 3 if letter == "q" else 6
    if number * size > 12:
        raise ValueError("no such half")
    return _month_start(year, (number - 1) * size + 1), _month_start(year, number * size + 1)


def _relative(text: str, today: date) -> tuple[date, date] | None:
    """Periods that are seen from ``today``."""

    def match(pattern: str) -> re.Match[str] | None:
        return re.fullmatch(pattern, text)

    tomorrow = today + timedelta(days=1)
    days = {"today": 0, "yesterday": -1, "tomorrow": 1, "day before yesterday": -2}
    if text in days:
        return _unit_range("day", today, days[text])
    if m := match(
        r"(?:this )?(week|month|quarter|year)(?: to date| so far)|so far this (week|month|quarter|year)"
    ):
        return _unit_range(m[1] or m[2], today, 0)[0], tomorrow
    if text in _TO_DATE:
        return _unit_range(_TO_DATE[text], today, 0)[0], tomorrow
    exact = "(?:calendar |full |complete |entire |whole )?"
    if m := match(rf"(this|current|last|previous|prior|next|coming|upcoming) {exact}({_UNIT_RE})"):
        shift = {"this": 0, "current": 0, "next": 1, "coming": 1, "upcoming": 1}.get(m[1], -1)
        return _unit_range(m[2], today, shift)
    if m := match(rf"(?:this )?past ({_UNIT_RE})"):
        return _back(today, 1, m[1]) + timedelta(days=1), tomorrow
    if m := match(rf"({_UNIT_RE}) before last"):
        return _unit_range(m[1], today, -2)
    if m := match(
        rf"(?:last|past|previous|prior) (\d{{1,4}}|{_NUMBER_RE}) (?:calendar|full|complete|whole) ({_UNIT_RE})s"
    ):
        count = _count(m[1])
        return (_unit_range(m[2], today, -count)[0], _unit_range(m[2], today, 0)[0]) if count else None
    if m := match(
        rf"(?:this )?(?:last|past|previous|prior|trailing|rolling|most recent) (\d{{1,4}}|{_NUMBER_RE}|couple of) ({_UNIT_RE})s?"
    ):
        return _back(today, _count(m[1]), m[2]) + timedelta(days=1), tomorrow
    if m := match(rf"(?:next|coming|upcoming|following) (\d{{1,4}}|{_NUMBER_RE}|couple of) ({_UNIT_RE})s?"):
        return today, _back(today, -_count(m[1]), m[2])
    if m := match(rf"(\d{{1,4}}|{_NUMBER_RE}) ({_UNIT_RE})s? ago"):
        return _unit_range(m[2], today, -_count(m[1]))
    if m := match(
        rf"(q[1-4]|h[12]|(?:{_ORDINAL_RE}) (?:quarter|half)|{_MONTH_RE})(?: of)? (last|this|previous|current|next) year"
    ):
        year = today.year + {"last": -1, "previous": -1, "next": 1}.get(m[2], 0)
        return _absolute(f"{m[1]} of {year}" if " " in m[1] else f"{m[1]} {year}")
    if m := match(rf"(last|this|next) ({'|'.join(_WEEKDAY)})|({'|'.join(_WEEKDAY)})"):
        ahead = (_WEEKDAY[m[2] or m[3]] - today.weekday()) % 7
        shift = ahead if m[1] == "next" else ahead - 7 if ahead or m[1] == "last" else 0
        shift = (
            _WEEKDAY[m[2]] - today.weekday()
            if m[1] == "this"
            else 7
            if m[1] == "next" and not ahead
            else shift
        )
        return _unit_range("day", today, shift)
    if m := match(rf"(last |this |previous )?({_MONTH_RE})"):
        month = _MONTH[m[2]]
        this_year = month < today.month or (month == today.month and m[1] != "last ")
        year = today.year if this_year or m[1] == "this " else today.year - 1
        return date(year, month, 1), _month_start(year, month + 1)
    if m := match(r"(?:last |this )?(q[1-4])"):
        year = today.year if int(m[1][1]) * 3 - 2 <= today.month else today.year - 1
        return _absolute(f"{m[1]} {year}")
    return None
