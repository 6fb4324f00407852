"""A chart for an answer, as a Vega-Lite specification: chosen from what the columns mean, never from code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlgen.export import json_cell
from sqlgen.types import OutputColumn, Result

__all__ = ["MOST_BARS", "SCHEMA", "Plan", "plan_chart", "vega_lite"]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
MOST_BARS = 50
_MOST_POINTS = 5_000
_MOST_LINES = 12
_FORMATS = {"money": ",.2f", "percent": ",.1f", "ratio": ".1%", "count": ",d", "number": ",~r"}
_TIMES = {
    "date": "%Y-%m-%d",
    "time": "%Y-%m-%d %H:%M",
    "month": "%b %Y",
    "week": "%Y-%m-%d",
    "day": "%Y-%m-%d",
}


class Plan:
    """Which columns of a result go where: ``mark`` over ``x`` and ``y`` (positions), parted by ``parts``."""

    __slots__ = ("mark", "parts", "x", "y")

    def __init__(self, mark: str, x: int, y: tuple[int, ...], parts: int | None = None) -> None:
        self.mark = mark
        self.x = x
        self.y = y
        self.parts = parts


def plan_chart(result: Result, columns: Sequence[OutputColumn]) -> Plan | None:
    """The chart that fits, or None where a table says it better: one row, only text, only identifiers.

    A measure over a period is a line, over a category bars; a second category parts them; two measures of single
    rows are points, one is a histogram.
    """
    if len(columns) != len(result.columns) or len(result.rows) < 2:
        return None
    by_role: dict[str, list[int]] = {"measure": [], "dimension": [], "period": [], "identifier": []}
    for i, column in enumerate(columns):
        by_role[column.role].append(i)
    measures = [i for i in by_role["measure"] if _is_numeric(result, i)]
    periods = [i for i in by_role["period"] if _distinct(result, i) > 1]
    categories = [
        i for i in by_role["dimension"] if _distinct(result, i) > 1 or len(by_role["dimension"]) == 1
    ]
    if not measures:
        return None
    same = tuple(i for i in measures if columns[i].meaning == columns[measures[0]].meaning)[:4]
    if periods:
        x = periods[0]
        parts = next((i for i in categories if _distinct(result, i) <= _MOST_LINES), None)
        if _is_unique(result, [x] if parts is None else [x, parts]):
            mark = "line" if _distinct(result, x) > 2 else "bar"
            return Plan(mark, x, same if parts is None else same[:1], parts)
        return None
    names = categories or by_role["identifier"]
    if names:
        if len(measures) > 1 and len(result.rows) > MOST_BARS:
            return Plan("point", measures[0], (measures[1],))
        if (
            len(names) > 1
            and _distinct(result, names[1]) <= _MOST_LINES
            and not _is_unique(result, names[:1])
        ):
            return Plan("bar", names[0], same[:1], names[1]) if _is_unique(result, names[:2]) else None
        return Plan("bar", names[0], same) if _is_unique(result, names[:1]) else None
    if len(measures) > 1 and len(result.rows) > 2:
        return Plan("point", measures[0], (measures[1],))
    return Plan("histogram", measures[0], (measures[0],)) if len(result.rows) > 4 else None


def vega_lite(result: Result, columns: Sequence[OutputColumn], title: str = "") -> dict[str, Any] | None:
    """The chart of a result with its data, as a Vega-Lite specification; None where no chart fits.

    Fields are named by their place (``c0``), because names of columns may hold what Vega reads as a path.

    >>> from sqlgen.types import ResultColumn
    >>> columns = (OutputColumn("m", "month", "month", "period"), OutputColumn("n", "orders", "count", "measure"))
    >>> rows = (("2025-01", 5), ("2025-02", 7), ("2025-03", 6))
    >>> spec = vega_lite(Result((ResultColumn("m"), ResultColumn("n")), rows), columns)
    >>> spec["mark"]["type"], spec["encoding"]["x"]["type"], spec["encoding"]["y"]["title"]
    ('line', 'temporal', 'orders')
    """
    plan = plan_chart(result, columns)
    if plan is None:
        return None
    rows = result.rows[: MOST_BARS if plan.mark == "bar" and plan.parts is None else _MOST_POINTS]
    used = sorted({plan.x, *plan.y, *([] if plan.parts is None else [plan.parts])})
    spec: dict[str, Any] = {
        "$schema": SCHEMA,
        "data": {"values": [{f"c{i}": _cell(row[i], columns[i]) for i in used} for row in rows]},
        "width": "container",
    }
    said = title
    if len(rows) < len(result.rows):
        said = f"{title} (the first {len(rows):,} of {len(result.rows):,})".strip()
    if said:
        spec["title"] = said
    if plan.mark == "histogram":
        only = columns[plan.x]
        spec["mark"] = {"type": "bar", "tooltip": True}
        spec["encoding"] = {
            "x": {"field": f"c{plan.x}", "type": "quantitative", "bin": True, "title": only.label},
            "y": {"aggregate": "count", "type": "quantitative", "title": "rows"},
        }
        return spec
    measure = columns[plan.y[0]]
    folded = len(plan.y) > 1
    field = "value" if folded else f"c{plan.y[0]}"
    amount = {
        "field": field,
        "type": "quantitative",
        "title": "value" if folded else _with_unit(measure),
        "axis": {"format": _FORMATS.get(measure.meaning, ",~r")},
    }
    if folded:
        names = {f"c{i}": columns[i].label for i in plan.y}
        spec["transform"] = [
            {"fold": list(names), "as": ["series", "value"]},
            {"calculate": " : ".join(f"datum.series == '{k}' ? {_quoted(v)}" for k, v in names.items()) + " : ''", "as": "series"},
        ]  # fmt: skip
    spec["mark"] = {"type": plan.mark, "tooltip": True, **({"point": True} if plan.mark == "line" else {})}
    along = _axis(columns[plan.x], f"c{plan.x}", plan.mark)
    if plan.mark == "bar" and along["type"] == "nominal":
        # Names are read more easily beside their bars; the rows keep the order of the query.
        spec["encoding"] = {"y": {**along, "sort": None}, "x": amount}
        beside = "yOffset"
    else:
        spec["encoding"] = {"x": along, "y": amount}
        beside = "xOffset"
    if folded or plan.parts is not None:
        name = "series" if folded else f"c{plan.parts}"
        title_of = "" if folded or plan.parts is None else columns[plan.parts].label
        spec["encoding"]["color"] = {"field": name, "type": "nominal", "title": title_of or None}
        if plan.mark == "bar":
            spec["encoding"][beside] = {"field": name, "type": "nominal"}
    return spec


def _axis(column: OutputColumn, field: str, mark: str) -> dict[str, Any]:
    if mark == "point":
        return {"field": field, "type": "quantitative", "title": _with_unit(column), "scale": {"zero": False}}
    if column.role == "period" and column.meaning in _TIMES:
        if mark == "bar":
            return {"field": field, "type": "ordinal", "title": column.label}
        return {
            "field": field,
            "type": "temporal",
            "title": column.label,
            "axis": {"format": _TIMES[column.meaning]},
        }
    kind = "ordinal" if column.role == "period" else "nominal"
    return {"field": field, "type": kind, "title": column.label}


def _with_unit(column: OutputColumn) -> str:
    unit = column.unit or ("%" if column.meaning == "percent" else "")
    return f"{column.label} ({unit})" if unit else column.label


def _quoted(text: str) -> str:
    """Text as a literal of Vega's expressions."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ") + "'"


def _cell(value: Any, column: OutputColumn) -> Any:
    if value is None:
        return None
    if column.role == "period":
        return str(json_cell(value)) if column.meaning != "month" else str(json_cell(value))[:7]
    if column.role in ("dimension", "identifier"):
        return str(json_cell(value))
    return json_cell(value)


def _is_numeric(result: Result, position: int) -> bool:
    from numbers import Number

    cells = [row[position] for row in result.rows if row[position] is not None]
    return bool(cells) and all(isinstance(cell, Number) and not isinstance(cell, bool) for cell in cells)


def _distinct(result: Result, position: int) -> int:
    return len({str(row[position]) for row in result.rows})


def _is_unique(result: Result, positions: Sequence[int]) -> bool:
    return len({tuple(str(row[i]) for i in positions) for row in result.rows}) == len(result.rows)
