"""The words of the form and the tokens it is made of."""

from __future__ import annotations

import re
from typing import TypeAlias

__all__ = [
    "AGGREGATES", "COMPARISONS", "DATE_PARTS", "ITEMS", "KEYWORDS", "NUMBERS", "RANKS", "SET_OPERATIONS",
    "SHIFTS", "SPANS", "UNARY", "FormToken", "Inexpressible", "is_number", "number_of",
    "number_said",
]  # fmt: skip

FormToken: TypeAlias = "str | tuple[str, int] | tuple[str, int, int]"

AGGREGATES = ("count", "sum", "avg", "min", "max")
DATE_PARTS = (
    "year", "month", "day", "weekday", "quarter", "hour", "by_quarter", "by_month", "by_week", "by_day"
)  # fmt: skip
COMPARISONS = (
    "=", "!=", "<", ">", "<=", ">=", "like", "not_like", "contains", "not_contains", "starts", "ends"
)  # fmt: skip
SET_OPERATIONS = ("union", "union_all", "intersect", "except")
RANKS = ("rank", "dense_rank", "row_number")
SHIFTS = ("lag", "lead", "change", "growth")
UNARY = ("lower", "upper", "length", "abs", "to_number")
SPANS = ("days_between", "years_between")
ITEMS = tuple(f"#{n}" for n in range(1, 9))
NUMBERS = (*(str(n) for n in range(21)), "24", "30", "50", "60", "90", "100", "365", "1000")
KEYWORDS: tuple[str, ...] = (
    "<s>", "</s>", "select", "distinct", "from", "via", "where", "group", "having", "order", "limit",
    "asc", "desc", "and", "or", "(", ")", "[", "]", "{", "}", "*", "+", "-", "/",
    *COMPARISONS, "between", "in", "not_in", "is_null", "not_null", "exists", "not_exists",
    "union", "intersect", "except", *AGGREGATES,
    "year", "month", "day", "weekday", "by_quarter", "by_month", "by_week", "by_day", *NUMBERS[:21],
    "unanswerable", "with", "offset", "per", "all", "on", "other", "outer", "if", "over", "rows",
    "case", "when", "then", "else", "end", *RANKS, "ntile", *SHIFTS, "share", "quarter", "hour", "today",
    *SPANS, *UNARY, "round", "left", "coalesce", "concat", "union_all", *ITEMS, *NUMBERS[21:],
)  # fmt: skip


class Inexpressible(ValueError):
    """SQL that the form cannot say, or a form that is no SQL; the message says which part."""


_NUMBER_WORDS = {
    word: i
    for i, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split()
    )
} | {"once": 1, "twice": 2, "dozen": 12, "hundred": 100, "thousand": 1000, "million": 1000000}
_SCALE = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "billion": 1e9, "hundred": 1e2, "%": 1}


_DIGITS = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s?(?:k|m|thousand|million|billion|hundred))?(?!\w|,\d)"
)


def number_said(text: str, number: str) -> tuple[int, int] | None:
    """Where ``text`` says ``number`` in digits, with separators and scale, as a span of characters; None where it doesn't.

    >>> text = "Orders over 1,500 or 2.5k"
    >>> [text[slice(*number_said(text, number))] for number in ("1500", "2500")], number_said(text, "15")
    (['1,500', '2.5k'], None)
    """
    for found in _DIGITS.finditer(text.lower()):
        said = number_of(found[0])
        if said is not None and _is_same(said, number):
            return found.span()
    return None


def _is_same(one: str, other: str) -> bool:
    try:
        return float(one) == float(other)
    except ValueError:
        return False


def is_number(text: str) -> bool:
    """Whether a span of a question says a number.

    >>> is_number("1,500"), is_number("twelve"), is_number("Paris")
    (True, True, False)
    """
    return number_of(text) is not None


def number_of(text: str) -> str | None:
    """The number that ``text`` says, in SQL's spelling, or None.

    >>> number_of("1,500"), number_of("three"), number_of("$2.5k"), number_of("many")
    ('1500', '3', '2500', None)
    """
    folded = text.strip().lower().lstrip("$€£").replace(",", "")
    if folded in _NUMBER_WORDS:
        return str(_NUMBER_WORDS[folded])
    m = re.fullmatch(r"([-+]?\d+(?:\.\d+)?|[-+]?\.\d+)\s*(k|thousand|m|million|billion|hundred|%)?", folded)
    if m is None:
        return None
    if m[2] is None or m[2] == "%":
        return m[1].lstrip("+")
    value = float(m[1]) * _SCALE[m[2]]
    return str(int(value)) if value.is_integer() else str(value)
