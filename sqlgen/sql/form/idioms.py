"""Expressions that say one thing in many ways: parts of dates, quarters, spans of days and years."""

from __future__ import annotations

from typing import cast

from sqlglot import exp

__all__ = ["date_part", "days_between", "is_today", "years_between"]

_DATE_FORMATS = {
    "%Y": "year",
    "%m": "month",
    "%d": "day",
    "%w": "weekday",
    "%H": "hour",
    "%Y-%m": "by_month",
    "%Y-%m-%d": "by_day",
}
_EXTRACTS = {"YEAR": "year", "MONTH": "month", "DAY": "day", "QUARTER": "quarter", "HOUR": "hour"}
_EXTRACT_NODES: dict[type[exp.Expr], str] = {
    exp.Year: "year",
    exp.Month: "month",
    exp.Day: "day",
    exp.Quarter: "quarter",
    exp.Hour: "hour",
}
_DAYS_IN_YEAR = ("365.25", "365.2425", "365")


def date_part(node: exp.Expr) -> tuple[str, exp.Expr] | None:
    """(word, argument) when ``node`` takes a part of a date."""
    if (day := _quarter(node)) is not None:
        return "quarter", day
    if isinstance(node, exp.DPipe) and (day := _year_and_quarter(node)) is not None:
        return "by_quarter", day
    if isinstance(node, exp.Extract) and node.name.upper() in _EXTRACTS:
        return _EXTRACTS[node.name.upper()], node.expression
    if type(node) in _EXTRACT_NODES:
        return _EXTRACT_NODES[type(node)], node.this
    if isinstance(node, exp.TimeToStr):
        word = _DATE_FORMATS.get(node.args["format"].name)
        inner = node.this
        while isinstance(inner, exp.TsOrDsToTimestamp | exp.Cast | exp.TsOrDsToDate):
            inner = inner.this
        return (word, exp.CurrentDate() if is_today(inner) else inner) if word else None
    if (
        isinstance(node, exp.Date | exp.TsOrDsToDate)
        and not node.args.get("expressions")
        and not is_today(node)
    ):
        return "by_day", node.this
    return None


def _quarter(node: exp.Expr) -> exp.Expr | None:
    """The date d of (month(d) + 2) / 3 and of (month(d) - 1) / 3 + 1."""
    node = _bare(node)
    kind: type[exp.Expr]
    if isinstance(node, exp.Add) and _is_number(node.expression, "1"):
        third, kind, shift = _bare(node.this), exp.Sub, "1"
    else:
        third, kind, shift = node, exp.Add, "2"
    if not isinstance(third, exp.Div | exp.IntDiv) or not _is_number(third.expression, "3"):
        return None
    month = _bare(third.this)
    if not isinstance(month, kind) or not _is_number(month.expression, shift):
        return None
    part = date_part(_uncast(month.this))
    return part[1] if part is not None and part[0] == "month" else None


def _year_and_quarter(node: exp.DPipe) -> exp.Expr | None:
    """The date d of year(d) || '-Q' || quarter(d)."""
    parts = list(node.flatten())
    if len(parts) != 3 or not (
        isinstance(parts[1], exp.Literal) and parts[1].name.strip(" -").upper() == "Q"
    ):
        return None
    year, quarter = date_part(_uncast(parts[0])), date_part(_uncast(parts[2]))
    if (
        year is None
        or quarter is None
        or (year[0], quarter[0]) != ("year", "quarter")
        or year[1] != quarter[1]
    ):
        return None
    return year[1]


def days_between(node: exp.Expr) -> tuple[exp.Expr, exp.Expr] | None:
    """(a, b) of JULIANDAY(b) - JULIANDAY(a): the days from a to b."""
    node = _bare(node)
    if not isinstance(node, exp.Sub):
        return None
    end, start = _julian(node.this), _julian(node.expression)
    return None if start is None or end is None else (start, end)


def years_between(node: exp.Expr) -> tuple[exp.Expr, exp.Expr] | None:
    """(a, b) where ``node`` is the number of full years from a to b, as people write it for SQLite."""
    if not isinstance(node, exp.Cast) or node.to.this.name not in ("INT", "BIGINT"):
        return None
    quotient = _bare(node.this)
    if not isinstance(quotient, exp.Div):
        return None
    if isinstance(quotient.expression, exp.Literal) and quotient.expression.name in _DAYS_IN_YEAR:
        return days_between(quotient.this)
    difference = _bare(quotient.this)
    if not (_is_number(quotient.expression, "10000") and isinstance(difference, exp.Sub)):
        return None
    end, start = _compact_day(difference.this), _compact_day(difference.expression)
    return None if start is None or end is None else (start, end)


def _compact_day(node: exp.Expr) -> exp.Expr | None:
    """The date d of STRFTIME('%Y%m%d', d)."""
    node = _uncast(node)
    if isinstance(node, exp.TimeToStr) and node.args["format"].name == "%Y%m%d":
        inner = node.this
        while isinstance(inner, exp.TsOrDsToTimestamp | exp.Cast | exp.TsOrDsToDate):
            inner = inner.this
        return cast("exp.Expr", inner)
    return None


def _julian(node: exp.Expr) -> exp.Expr | None:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Anonymous) and node.name.upper() == "JULIANDAY" and len(node.expressions) == 1:
        return cast("exp.Expr", node.expressions[0])
    return None


def is_today(node: exp.Expr) -> bool:
    """True for what an engine calls the current day or moment."""
    if isinstance(node, exp.CurrentDate | exp.CurrentTimestamp | exp.CurrentTime):
        return True
    if isinstance(node, exp.Literal):
        return node.name.lower() == "now"
    return isinstance(node, exp.Date | exp.TsOrDsToDate) and node.this is not None and is_today(node.this)


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _uncast(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    return node


def _is_number(node: exp.Expr, text: str) -> bool:
    return isinstance(node, exp.Literal) and node.name == text
