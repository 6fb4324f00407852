"""When two results answer a question alike: one definition for evaluation, reward and voting.

It follows the execution accuracy of the Spider line of work (Yu et al. 2018; Zhong et al. 2020,
"Semantic Evaluation for Text-to-SQL with Distilled Test Suites"): the rows are bags, the columns
may come in any order under any name, and the row order counts only where the question asked for
one. What the values of four engines need beyond it is written at ``results_equal``.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from sqlgen.types import Result

__all__ = ["results_equal"]

Ids = list[int]

_ABSOLUTE_TOLERANCE = 1e-9
_EXACT_INTEGERS = 2**53
_SEARCH_STEPS = 20_000


def results_equal(gold: Result, predicted: Result, *, ordered: bool = False, tolerance: float = 1e-6) -> bool:
    """Whether two results are equal as answers.

    - Rows are a bag: duplicates count, order doesn't, unless ``ordered``.
    - Some one order of ``predicted``'s columns makes all rows equal; names don't matter. The
      number of columns must agree, for empty results too.
    - Numbers are equal across int, float, Decimal and bool: two whole numbers exactly, otherwise
      within the relative ``tolerance`` (or 1e-9 absolute). NaN equals NaN.
    - NULL equals only NULL. A number never equals text, bytes never equal text.
    - Dates and times equal their ISO text, and a date equals its midnight, because SQLite keeps
      dates as text. With a UTC offset they are compared in UTC. Times of day equal durations.
    - A truncated result equals only a truncated one; rows that were cut off aren't compared.

    >>> from sqlgen.types import ResultColumn
    >>> gold = Result((ResultColumn("name"), ResultColumn("n")), (("Ann", 2), ("Bo", 1)))
    >>> predicted = Result((ResultColumn("count"), ResultColumn("who")), ((1.0, "Bo"), (2.0, "Ann")))
    >>> results_equal(gold, predicted), results_equal(gold, predicted, ordered=True)
    (True, False)
    """
    width, height = len(gold.columns), len(gold.rows)
    if (
        width != len(predicted.columns)
        or height != len(predicted.rows)
        or gold.truncated != predicted.truncated
    ):
        return False
    if width == 0 or height == 0:
        return True
    left = [[_canonical(row[i]) for row in gold.rows] for i in range(width)]
    right = [[_canonical(row[i]) for row in predicted.rows] for i in range(width)]
    clusters = _Clusters([*left, *right], tolerance)
    left_ids = [clusters.ids(column) for column in left]
    right_ids = [clusters.ids(column) for column in right]
    for order in _column_orders(left_ids, right_ids, ordered):
        if not clusters.loose:
            return True
        if _close_rows(
            left, [right[j] for j in order], left_ids, [right_ids[j] for j in order], clusters, ordered
        ):
            return True
    return False


# -- values --------------------------------------------------------------------------------------

_DATE_TEXT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s?(Z|UTC|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_TIME_TEXT = re.compile(r"(-?)(\d{2,3}):(\d\d):(\d\d)(?:\.(\d{1,6}))?", re.ASCII)


def _canonical(value: Any) -> Hashable:
    """A value's own kind of key: int and float for numbers, tuples with a tag for the rest."""
    kind = type(value)
    if value is None or kind is int:
        return value  # type: ignore[no-any-return]
    if kind is str:
        return _text(value)
    if kind is float:
        return _number(value)
    if kind is bool:
        return int(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            return ("nan",) if value.is_nan() else float(value)
        if value == value.to_integral_value():
            return int(value) if value.adjusted() < 400 else ("text", str(value))
        return _number(float(value))
    if isinstance(value, dt.datetime):
        return _moment(value)
    if isinstance(value, dt.date):
        return ("date", value.isoformat())
    if isinstance(value, dt.time):
        day = dt.timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
        return ("time", day // dt.timedelta(microseconds=1))
    if isinstance(value, dt.timedelta):
        return ("time", value // dt.timedelta(microseconds=1))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ("bytes", bytes(value))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(_canonical(item) for item in value))
    if isinstance(value, dict):
        return ("map", frozenset((str(key), _canonical(item)) for key, item in value.items()))
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    return _text(str(value))


def _number(value: float) -> Hashable:
    if value != value:
        return ("nan",)
    if value.is_integer() and -_EXACT_INTEGERS < value < _EXACT_INTEGERS:
        return int(value)
    return value


def _text(value: str) -> Hashable:
    # most text is told from a date by one look at two characters
    if len(value) >= 10 and value[4] == "-" and value[0].isdigit():
        match = _DATE_TEXT.fullmatch(value)
        if match:
            day, minutes, seconds, fraction, zone = match.groups()
            if minutes is None:
                return ("date", day)
            clock = f"{day}T{minutes}:{seconds or '00'}.{(fraction or '0')[:6].ljust(6, '0')}"
            if zone:
                clock += "+00:00" if zone in ("Z", "UTC") else zone
            try:
                return _moment(dt.datetime.fromisoformat(clock))
            except ValueError:
                return ("text", value)
    elif 8 <= len(value) <= 17 and value[-1].isdigit():
        match = _TIME_TEXT.fullmatch(value)
        if match:
            sign, hours, minutes, seconds, fraction = match.groups()
            micros = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000_000
            micros += int((fraction or "0").ljust(6, "0"))
            return ("time", -micros if sign else micros)
    return ("text", value)


def _moment(value: dt.datetime) -> Hashable:
    if value.tzinfo is not None:
        try:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        except OverflowError:
            value = value.replace(tzinfo=None)
    if value.hour == value.minute == value.second == value.microsecond == 0:
        return ("date", value.date().isoformat())
    return ("moment", value.isoformat())


# -- numbers within tolerance --------------------------------------------------------------------


def _close(a: float, b: float, tolerance: float) -> bool:
    if a == b:
        return True
    if type(a) is int and type(b) is int:
        return False
    try:
        return abs(a - b) <= max(_ABSOLUTE_TOLERANCE, tolerance * max(abs(a), abs(b))) and not (
            math.isinf(a) or math.isinf(b)
        )
    except OverflowError:
        return False


class _Clusters:
    """Small ids for canonical values; numbers that chain within the tolerance share one.

    Closeness isn't transitive, so a chain may be longer than the tolerance. Such ids are ``loose``
    and only a first test; everything else is decided by equality of ids.
    """

    def __init__(self, columns: Sequence[Sequence[Hashable]], tolerance: float) -> None:
        self.tolerance = tolerance
        self.loose: set[int] = set()
        distinct: set[Hashable] = set()
        for column in columns:
            distinct.update(column)
        self._ids: dict[Hashable, int] = {}
        numbers = [value for value in distinct if type(value) is int or type(value) is float]
        if any(type(value) is float for value in numbers):
            self._chain(sorted(numbers))
        for value in distinct:
            self._ids.setdefault(value, len(self._ids))

    def _chain(self, numbers: list[Any]) -> None:
        first = numbers[0]
        previous = None
        current = -1
        for value in numbers:
            if previous is None or not _close(previous, value, self.tolerance):
                # no id of a later value can clash: each is at most the number of values before it
                current = len(self._ids)
                first = value
            elif not _close(first, value, self.tolerance):
                self.loose.add(current)
            self._ids[value] = current
            previous = value

    def ids(self, column: Sequence[Hashable]) -> Ids:
        table = self._ids
        return [table[value] for value in column]


def _close_rows(
    left: list[list[Any]],
    right: list[list[Any]],
    left_ids: list[Ids],
    right_ids: list[Ids],
    clusters: _Clusters,
    ordered: bool,
) -> bool:
    """Whether rows whose ids agree agree in their loose numbers as well."""
    height = len(left[0])
    loose = [i for i, ids in enumerate(left_ids) if not clusters.loose.isdisjoint(ids)]

    def numbers(columns: list[list[Any]], ids: list[Ids], r: int) -> tuple[Any, ...]:
        return tuple(columns[i][r] if ids[i][r] in clusters.loose else 0 for i in loose)

    if ordered:
        pairs = ((numbers(left, left_ids, r), numbers(right, right_ids, r)) for r in range(height))
        return all(_all_close(a, b, clusters.tolerance) for a, b in pairs)
    groups: dict[tuple[int, ...], tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for r in range(height):
        groups[tuple([ids[r] for ids in left_ids])][0].append(numbers(left, left_ids, r))
        groups[tuple([ids[r] for ids in right_ids])][1].append(numbers(right, right_ids, r))
    return all(
        len(a) == len(b)
        and all(_all_close(x, y, clusters.tolerance) for x, y in zip(sorted(a), sorted(b), strict=True))
        for a, b in groups.values()
    )


def _all_close(a: tuple[Any, ...], b: tuple[Any, ...], tolerance: float) -> bool:
    return all(_close(x, y, tolerance) for x, y in zip(a, b, strict=True))


# -- columns -------------------------------------------------------------------------------------


def _column_orders(left: list[Ids], right: list[Ids], ordered: bool) -> Iterator[tuple[int, ...]]:
    """Orders of the right columns under which the rows agree as bags (as lists when ordered).

    Matching columns and rows at once is as hard as graph isomorphism. Columns that differ in their
    values, or in the rows these stand in, are never tried together, which leaves one order in
    practice; the search gives up after 20,000 steps and then finds none.
    """
    if ordered:
        left_keys: list[Hashable] = [tuple(ids) for ids in left]
        right_keys: list[Hashable] = [tuple(ids) for ids in right]
    else:
        left_keys = [_bag(ids) for ids in left]
        right_keys = [_bag(ids) for ids in right]
    if Counter(left_keys) != Counter(right_keys):
        return
    if not ordered and len(set(left_keys)) < len(left_keys):
        left_rows, right_rows = _row_marks(left, left_keys), _row_marks(right, right_keys)
        left_keys = [_bag(list(zip(ids, left_rows, strict=True))) for ids in left]
        right_keys = [_bag(list(zip(ids, right_rows, strict=True))) for ids in right]
        if Counter(left_keys) != Counter(right_keys):
            return
    by_key: dict[Hashable, list[int]] = defaultdict(list)
    for j, key in enumerate(right_keys):
        by_key[key].append(j)
    # columns with few candidates first: they fix the rows for the others
    sequence = sorted(range(len(left)), key=lambda i: (len(by_key[left_keys[i]]), i))
    twins = _twins(right)
    steps = _SEARCH_STEPS

    def choices(depth: int) -> Iterator[int]:
        i = sequence[depth]
        tried: set[int] = set()
        # the same position first: most results have their columns in the same order
        for j in sorted(by_key[left_keys[i]], key=lambda j: j != i):
            if j not in used and twins[j] not in tried:
                tried.add(twins[j])
                yield j

    used: dict[int, int] = {}  # right column -> left column, in the order of choice
    start: tuple[Ids, Ids] = ([0] * len(left[0]), [0] * len(left[0]))
    trail = [(choices(0), start)]
    while trail and steps > 0:
        options, rows = trail[-1]
        j = next(options, -1)
        if j < 0:
            trail.pop()
            if trail:
                used.popitem()
            continue
        steps -= 1
        i = sequence[len(trail) - 1]
        refined = rows if ordered else _refine(rows[0], left[i], rows[1], right[j])
        if refined is None:
            continue
        used[j] = i
        if len(used) == len(left):
            place = {i: j for j, i in used.items()}
            yield tuple(place[i] for i in range(len(left)))
            used.popitem()
        else:
            trail.append((choices(len(trail)), refined))


def _bag(items: Sequence[Hashable]) -> Hashable:
    return frozenset(Counter(items).items())


def _row_marks(columns: list[Ids], keys: list[Hashable]) -> list[int]:
    """A mark per row that doesn't depend on the order of columns: equal rows have equal marks."""
    kinds = [hash(key) for key in keys]
    return [hash(tuple(sorted(zip(kinds, row, strict=True)))) for row in zip(*columns, strict=True)]


def _twins(columns: list[Ids]) -> list[int]:
    """For each column the first one that is the same row by row: trying one of them is enough."""
    first: dict[tuple[int, ...], int] = {}
    return [first.setdefault(tuple(ids), j) for j, ids in enumerate(columns)]


def _refine(rows_a: Ids, column_a: Ids, rows_b: Ids, column_b: Ids) -> tuple[Ids, Ids] | None:
    """Split the groups of equal rows by one more column; None when the two sides differ then."""
    names: dict[tuple[int, int], int] = {}
    a = [names.setdefault(pair, len(names)) for pair in zip(rows_a, column_a, strict=True)]
    counts = Counter(a)
    b: Ids = []
    for pair in zip(rows_b, column_b, strict=True):
        name = names.get(pair, -1)
        if not counts[name]:
            return None
        counts[name] -= 1
        b.append(name)
    return a, b
