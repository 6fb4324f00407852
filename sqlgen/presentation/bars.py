"""The chart of an answer for a terminal: bars, and a sparkline over a period."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from sqlgen.presentation.chart import MOST_BARS, plan_chart
from sqlgen.presentation.figures import figure
from sqlgen.types import OutputColumn, Result

__all__ = ["bar_lines", "sparkline"]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_SHORTEST_BAR = 4


def bar_lines(
    result: Result, columns: Sequence[OutputColumn], width: int = 80, *, ascii_only: bool = False
) -> list[str]:
    """A result as bars, each line at most ``width`` columns of a terminal wide; nothing where no chart fits.

    >>> from sqlgen.types import ResultColumn
    >>> columns = (OutputColumn("c", "city", "text", "dimension"), OutputColumn("n", "orders", "count", "measure"))
    >>> result = Result((ResultColumn("c"), ResultColumn("n")), (("Oslo", 4), ("Rome", 2)))
    >>> bar_lines(result, columns, 20, ascii_only=True)
    ['orders by city', 'Oslo  ############ 4', 'Rome  ######       2']
    """
    plan = plan_chart(result, columns)
    if plan is None or plan.mark in ("point", "histogram"):
        return []
    value, named = plan.y[0], plan.x
    rows = [row for row in result.rows[:MOST_BARS] if row[value] is not None]
    if not rows:
        return []
    names = []
    for row in rows:
        parts = [row[named]] if plan.parts is None else [row[named], row[plan.parts]]
        positions = [named] if plan.parts is None else [named, plan.parts]
        names.append(" ".join(_text(cell, columns[i]) for cell, i in zip(parts, positions, strict=True)))
    numbers = [float(row[value]) for row in rows]
    figures = [figure(row[value], columns[value]) or str(row[value]) for row in rows]
    beside = max(map(len, figures))
    label = min(max(map(_width, names)), max(6, width // 3))
    room = width - label - beside - 3
    lines = [_cut(f"{columns[value].label} by {columns[named].label}", width)]
    if columns[named].role == "period" and plan.parts is None and not ascii_only and len(numbers) <= width:
        lines.append(sparkline(numbers))
    low, high = min(0.0, *numbers), max(0.0, *numbers)
    for name, number, shown in zip(names, numbers, figures, strict=True):
        head = _padded(_cut(name, label), label)
        if room < _SHORTEST_BAR:
            lines.append(_cut(f"{head} {shown:>{beside}}", width))
            continue
        bar = _bar(number, low, high, room, ascii_only)
        lines.append(f"{head}  {bar} {shown:>{beside}}".rstrip())
    if len(result.rows) > MOST_BARS:
        lines.append(_cut(f"the first {MOST_BARS} of {len(result.rows):,}", width))
    return lines


def sparkline(numbers: Sequence[float]) -> str:
    """Numbers as one line of blocks, the lowest the lowest block.

    >>> sparkline([1, 5, 3]), sparkline([2, 2])
    ('▁█▅', '▄▄')
    """
    low, high = min(numbers), max(numbers)
    if low == high:
        return _HEIGHTS[3] * len(numbers)
    return "".join(_HEIGHTS[int((n - low) / (high - low) * 7 + 0.5)] for n in numbers)


def _bar(number: float, low: float, high: float, room: int, ascii_only: bool) -> str:
    """A bar from zero; what is below zero grows to the left of it."""
    span = high - low or 1.0
    zero = round(-low / span * room)
    size = abs(number) / span * room
    if ascii_only:
        blocks = "#" * round(size)
    else:
        whole = int(size)
        blocks = "█" * whole + (_EIGHTHS[int((size - whole) * 8)] if number >= 0 else "")
        blocks = blocks.rstrip()
    if number < 0:
        return " " * max(0, zero - len(blocks)) + blocks[:zero] + " " * (room - max(zero, len(blocks)))
    return (" " * zero + blocks)[:room].ljust(room)


def _text(cell: Any, column: OutputColumn) -> str:
    if cell is None:
        return "(none)"
    shown = figure(cell, column) or str(cell)
    return "".join(c if c.isprintable() else " " for c in shown)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
