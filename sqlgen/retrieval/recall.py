"""Verified queries that answer a question as they stand, or with one literal exchanged for another."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise

from sqlgen.knowledge import Verified, normal_question
from sqlgen.sql.literals import QueryLiteral, literals_of, with_literals
from sqlgen.sql.parse import Unreadable
from sqlgen.sql.periods import parse_period
from sqlgen.types import Dialect, ValueMatch

__all__ = ["Recalled", "recall"]

_LONGEST = 6
_ADAPTED_AT_MOST = 12
_PERIOD = re.compile(
    "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|q[1-4]|first|second|third|fourth|last|this|next|"
    "year|quarter|month|week|day|today|yesterday"
)
_WORDS = {
    w: str(i)
    for i, w in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Recalled:
    """SQL that somebody vouched for, and what was exchanged in it: (of the question verified, of this one)."""

    id: str
    verified: Verified
    sql: str
    exchanged: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Slot:
    """A run of words of a verified question that literals of its SQL say: which, and as what."""

    start: int
    end: int
    kind: str
    literals: tuple[QueryLiteral, ...]


def recall(
    question: str,
    verified: Sequence[tuple[str, Verified]],
    values: Sequence[ValueMatch],
    dialect: Dialect,
    today: date | None = None,
) -> Recalled | None:
    """The verified query for this question, the latest added first; None when there is none.

    The question must be the same but for case, punctuation and idle words, or differ in matched
    literals only: a number, a period, or a cell of the very column (one of ``values``) that the SQL compares with it.

    >>> held = [("q1", Verified("Orders from Oslo above 5?", "SELECT id FROM o WHERE city = 'Oslo' AND total > 5"))]
    >>> recall("orders from oslo above 5", held, (), "sqlite").exchanged
    ()
    >>> rome = ValueMatch("o", "city", "Rome", 12, 16)
    >>> recall("Orders from Rome above 7.5?", held, (rome,), "sqlite").sql
    "SELECT id FROM o WHERE city = 'Rome' AND total > 7.5"
    >>> recall("Orders to Oslo above 5?", held, (), "sqlite") is None
    True
    """
    asked = normal_question(question)
    latest = list(reversed(verified))
    for identity, item in latest:
        if any(normal_question(wording) == asked for wording in (item.question, *item.wordings)):
            return Recalled(identity, item, item.sql)
    cells = _cells(question, values)
    near = sorted(_near(latest, asked), key=lambda found: found[0])
    for _, identity, item, told in near[:_ADAPTED_AT_MOST]:
        adapted = _adapt(item.sql, told, asked, cells, dialect, today or date.today())
        if adapted is not None:
            return Recalled(identity, item, *adapted)
    return None


def _near(
    verified: Sequence[tuple[str, Verified]], asked: tuple[str, ...]
) -> Iterator[tuple[int, str, Verified, tuple[str, ...]]]:
    """Verified questions that could differ in literals alone, with how many of their words are not asked.

    A word that is not asked must be one that the SQL could say: part of a literal, a number, a period.
    """
    words = set(asked)
    for identity, item in verified:
        for wording in (item.question, *item.wordings):
            told = normal_question(wording)
            missing = set(told) - words
            if abs(len(told) - len(asked)) > _LONGEST or 3 * len(missing) > 2 * len(told):
                continue
            sql = item.sql.casefold()
            if all(word in sql or word in _WORDS or _PERIOD.match(word) for word in missing):
                yield len(missing), identity, item, told


@lru_cache(maxsize=5_000)
def _literals(sql: str, dialect: Dialect) -> tuple[QueryLiteral, ...]:
    return literals_of(sql, dialect)


def _cells(question: str, values: Sequence[ValueMatch]) -> dict[tuple[str, ...], dict[str, set[str]]]:
    """For words of the question the cells that they mean: column name -> values."""
    found: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for match in values:
        for words in {normal_question(question[match.start : match.end]), normal_question(match.value)}:
            found.setdefault(words, {}).setdefault(match.column.casefold(), set()).add(match.value)
    return found


def _adapt(
    sql: str,
    told: tuple[str, ...],
    asked: tuple[str, ...],
    cells: Mapping[tuple[str, ...], Mapping[str, set[str]]],
    dialect: Dialect,
    today: date,
) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    try:
        slots = _slots(told, _literals(sql, dialect), today)
    except Unreadable:
        return None
    if not slots:
        return None
    ways = list(_alignments(told, asked, slots))
    if len(ways) != 1:
        return None
    others: dict[tuple[str, bool], str] = {}
    exchanged = []
    for slot, (start, end) in zip(slots, ways[0], strict=True):
        old, new = told[slot.start : slot.end], asked[start:end]
        if old == new:
            continue
        exchange = _exchange(slot, old, new, cells, today)
        if exchange is None or any(others.get(k, v) != v for k, v in exchange.items()):
            return None
        others.update(exchange)
        exchanged.append((" ".join(old), " ".join(new)))
    return with_literals(sql, dialect, others), tuple(exchanged)


def _slots(told: tuple[str, ...], literals: Sequence[QueryLiteral], today: date) -> list[_Slot]:
    """Where the question says the literals of its SQL; what it says twice, or two ways, is no slot."""
    found: list[_Slot] = []
    texts = {literal.text for literal in literals if literal.is_string}
    for start in range(len(told)):
        for end in range(start + 1, min(len(told), start + _LONGEST) + 1):
            words = told[start:end]
            period = parse_period(" ".join(words), today)
            if period is not None and (bounds := _bounds(period, texts)):
                said = tuple(x for x in literals if x.is_string and x.text in bounds)
                found.append(_Slot(start, end, "period", said))
                continue
            strings = tuple(x for x in literals if x.is_string and normal_question(x.text) == words)
            if strings and len({x.column.casefold() for x in strings}) == 1:
                found.append(_Slot(start, end, "cell", strings))
            elif len(words) == 1:
                number = _WORDS.get(words[0], words[0])
                numbers = tuple(x for x in literals if not x.is_string and x.text == number)
                # One number of the question for two of the SQL could mean either.
                if len(numbers) == 1:
                    found.append(_Slot(start, end, "number", numbers))
    # The longest reading of a place counts.
    found.sort(key=lambda s: s.start - s.end)
    kept: list[_Slot] = []
    for slot in found:
        if all(slot.end <= k.start or k.end <= slot.start for k in kept):
            kept.append(slot)
    spoken = [told[s.start : s.end] for s in kept]
    return sorted((s for s in kept if spoken.count(told[s.start : s.end]) == 1), key=lambda s: s.start)


def _bounds(period: tuple[date, date], texts: set[str]) -> dict[str, str]:
    """Literals that are the bounds of a period: text -> which bound."""
    first, after = period
    last = after - timedelta(days=1)
    if first.isoformat() not in texts:
        return {}
    ends = {
        day.isoformat(): name for name, day in (("after", after), ("last", last)) if day.isoformat() in texts
    }
    return {**ends, first.isoformat(): "first"} if ends else {}


def _alignments(
    told: tuple[str, ...], asked: tuple[str, ...], slots: Sequence[_Slot]
) -> Iterator[list[tuple[int, int]]]:
    """Every way in which ``asked`` is ``told`` with other words in the slots: their places."""
    fixed = [told[a.end : b.start] for a, b in pairwise(slots)]
    head, tail = told[: slots[0].start], told[slots[-1].end :]
    if asked[: len(head)] != head or (tail and asked[-len(tail) :] != tail):
        return
    end_of_all = len(asked) - len(tail)

    def grow(place: int, k: int) -> Iterator[list[tuple[int, int]]]:
        if k == len(slots) - 1:
            if 1 <= end_of_all - place <= _LONGEST:
                yield [(place, end_of_all)]
            return
        for end in range(place + 1, min(end_of_all, place + _LONGEST) + 1):
            after = end + len(fixed[k])
            if asked[end:after] == fixed[k]:
                for rest in grow(after, k + 1):
                    yield [(place, end), *rest]

    yield from grow(len(head), 0)


def _exchange(
    slot: _Slot,
    old: tuple[str, ...],
    new: tuple[str, ...],
    cells: Mapping[tuple[str, ...], Mapping[str, set[str]]],
    today: date,
) -> dict[tuple[str, bool], str] | None:
    """The literals to exchange in one slot, or None where what stands there now is not of its kind."""
    if slot.kind == "number":
        number = _WORDS.get(new[0], new[0]) if len(new) == 1 else ""
        literal = slot.literals[0]
        fits = number.isdigit() if literal.is_limit else _NUMBER.fullmatch(number)
        return {(literal.text, False): number} if fits else None
    if slot.kind == "period":
        period = parse_period(" ".join(new), today)
        before = parse_period(" ".join(old), today)
        # A year may stand for a year, not for a month: the SQL may group by its months.
        if period is None or before is None or _span(period) != _span(before):
            return None
        named = _bounds(before, {x.text for x in slot.literals})
        day = {"first": period[0], "after": period[1], "last": period[1] - timedelta(days=1)}
        return {(text, True): day[which].isoformat() for text, which in named.items()}
    found = {}
    for literal in slot.literals:
        known = cells.get(new, {}).get(literal.column.casefold(), set())
        if not literal.column or len(known) != 1:
            return None
        found[literal.text, True] = next(iter(known))
    return found


def _span(period: tuple[date, date]) -> str:
    days = (period[1] - period[0]).days
    return (
        "month"
        if 28 <= days <= 31
        else "quarter"
        if 89 <= days <= 92
        else "year"
        if days in (365, 366)
        else str(days)
    )
