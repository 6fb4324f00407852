"""Cells as text for a person, by what their column means."""

from __future__ import annotations

import decimal
import math
from datetime import date, datetime, time
from typing import Any

from sqlgen.types import OutputColumn

__all__ = ["figure"]

_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_BEFORE = ("$", "£", "€", "¥")


def figure(value: Any, column: OutputColumn) -> str | None:
    """A cell by what its column means; None where the meaning says nothing of its form.

    >>> money = OutputColumn("total", "total", "money", "measure", "€")
    >>> figure(1234567.5, money), figure(-3, money), figure("n/a", money)
    ('€1,234,567.50', '-€3.00', None)
    >>> from dataclasses import replace
    >>> figure(0.1234, replace(money, meaning="ratio")), figure("2025-03", replace(money, meaning="month"))
    ('12.3 %', 'Mar 2025')
    >>> figure(1250, replace(money, meaning="count")), figure(2025, replace(money, meaning="year"))
    ('1,250', '2025')
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, (int, float, decimal.Decimal)):
        return _number(value, column)
    if isinstance(value, str) and column.meaning == "month":
        return _month(value)
    if isinstance(value, (date, datetime)):
        return _date(value, column)
    return None


def _number(value: int | float | decimal.Decimal, column: OutputColumn) -> str | None:
    if not math.isfinite(value):
        return None
    meaning = column.meaning
    if meaning == "money":
        sign = "-" if value < 0 else ""
        digits = f"{abs(value):,.2f}"
        if not column.unit:
            return sign + digits
        return f"{sign}{column.unit}{digits}" if column.unit in _BEFORE else f"{sign}{column.unit} {digits}"
    if meaning in ("percent", "ratio"):
        shown = float(value) * (100 if meaning == "ratio" else 1)
        return f"{shown:,.1f} %"
    if meaning in ("identifier", "year", "other"):
        return None if not isinstance(value, int) else str(value)
    if meaning in ("count", "number"):
        if isinstance(value, int) or value == int(value):
            return f"{int(value):,}"
        size = abs(float(value))
        places = 2 if size >= 1 else 4
        return f"{value:,.{places}f}".rstrip("0").rstrip(".") if size >= 1e-4 else None
    return None


def _month(text: str) -> str | None:
    year, _, month = text.partition("-")
    if len(text) == 7 and year.isdigit() and month.isdigit() and 1 <= int(month) <= 12:
        return f"{_MONTHS[int(month) - 1]} {year}"
    return None


def _date(value: date | datetime, column: OutputColumn) -> str:
    day = value.date() if isinstance(value, datetime) else value
    if column.meaning == "month":
        return f"{_MONTHS[day.month - 1]} {day.year}"
    if column.meaning == "year":
        return str(day.year)
    if column.meaning == "quarter":
        return f"{day.year}-Q{(day.month + 2) // 3}"
    if isinstance(value, datetime) and value.time().replace(tzinfo=None) != time(0):
        return value.isoformat(" ", "seconds")
    return day.isoformat()
