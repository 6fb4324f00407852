"""What an answer says: its query in words, its assumptions, and what each of its columns means."""

from __future__ import annotations

import decimal
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlgen.catalog.naming import natural_name
from sqlgen.presentation.reading import assumptions_of, labelled, read
from sqlgen.sql.outline import Outline, Term, outline_of
from sqlgen.sql.parse import Unreadable
from sqlgen.types import Catalog, Column, Dialect, Meaning, OutputColumn, Result, ValueMatch

__all__ = ["Description", "columns_of", "described"]

_MONEY = re.compile(
    r"\b(price|amount|revenue|cost|costs|salary|wage|wages|budget|fee|fees|income|expense|expenses|turnover|profit|"
    r"discount amount|payment|balance|spend|spending|subtotal|earnings|sales amount|credit limit|money|usd|eur|gbp)\b"
)
_NO_MONEY = re.compile(
    r"\b(number|count|quantity|id|code|type|method|date|status|name|year|rate|percent|currency)\b"
)
_PERCENT = re.compile(r"\b(percent|percentage|pct)\b|%")
_RATIO = re.compile(r"\b(ratio|share|rate|fraction)\b")
_IDENTIFIER = re.compile(r"\b(id|code|number|no|key|zip|zip code|postal code|postcode|phone|isbn|ean|sku)$")
_YEAR = re.compile(r"\byear$")
_CURRENCY = (
    ("€", re.compile(r"€|\beur(os?)?\b", re.I)),
    ("$", re.compile(r"\$|\busd\b|\b(us )?dollars?\b", re.I)),
    ("£", re.compile(r"£|\bgbp\b|\bpounds sterling\b", re.I)),
    ("¥", re.compile(r"¥|\b(jpy|yen)\b", re.I)),
    ("CHF", re.compile(r"\bchf\b|\bswiss francs?\b", re.I)),
)


@dataclass(frozen=True, slots=True)
class Description:
    """An answer's query in words, what it settles that was left open, and what its columns are."""

    reading: str
    assumptions: tuple[str, ...]
    columns: tuple[OutputColumn, ...]


def described(
    sql: str,
    catalog: Catalog,
    dialect: Dialect,
    result: Result | None = None,
    *,
    question: str = "",
    values: Sequence[ValueMatch] = (),
    today: date | None = None,
) -> Description:
    """The description of a query and of its result; an empty one for what does not parse.

    ``values`` are the cells that ``question`` was matched with.

    >>> from sqlgen.types import Table
    >>> orders = Table("orders", (Column("status", "TEXT", "text"), Column("total_eur", "NUMERIC", "number")))
    >>> found = described("SELECT SUM(total_eur) FROM orders WHERE status = 'paid'", Catalog("sqlite", (orders,)), "sqlite")
    >>> found.reading, found.columns[0].meaning, found.columns[0].unit
    ("adds up total eur of orders, only status 'paid'", 'money', '€')
    """
    try:
        outline = outline_of(sql, catalog, dialect)
    except Unreadable:
        return Description("", (), ())
    return Description(
        read(outline, catalog),
        assumptions_of(outline, catalog, question, values, today),
        columns_of(outline, catalog, result),
    )


def columns_of(outline: Outline, catalog: Catalog, result: Result | None) -> tuple[OutputColumn, ...]:
    """What each output is. With a result the stars are written out and the cells help to tell."""
    terms = list(outline.outputs)
    if result is not None and any(term.kind == "star" for term in terms):
        terms = _written_out(terms, outline, catalog)
        if len(terms) != len(result.columns):
            return tuple(
                OutputColumn(c.name, natural_name(c.name), _of_cells(_cells(result, i)), "dimension")
                for i, c in enumerate(result.columns)
            )
    elif result is not None and len(terms) != len(result.columns):
        return ()
    described_columns = []
    for position, term in enumerate(terms):
        cells = _cells(result, position) if result is not None else []
        name = result.columns[position].name if result is not None else term.alias or term.text
        meaning, unit = _meaning(term, catalog, cells)
        described_columns.append(
            OutputColumn(name, _label(term), meaning, _role(term, meaning), unit, term.origins)
        )
    return tuple(described_columns)


def _cells(result: Result, position: int) -> list[Any]:
    return [row[position] for row in result.rows[:200] if row[position] is not None]


def _label(term: Term) -> str:
    return natural_name(term.alias) if term.alias else labelled(term)


def _written_out(terms: Sequence[Term], outline: Outline, catalog: Catalog) -> list[Term]:
    found: list[Term] = []
    for term in terms:
        if term.kind != "star":
            found.append(term)
            continue
        for key in outline.tables:
            table = catalog.table(key)
            if table is not None and any(o.startswith(f"{key}.") for o in term.origins):
                found += [Term("column", c.name, c.name, (f"{key}.{c.name}",)) for c in table.columns]
    return found


def _role(term: Term, meaning: Meaning) -> Any:
    if term.kind == "bucket" or meaning in ("date", "time"):
        return "period"
    if meaning == "identifier":
        return "identifier"
    if meaning == "year" and term.kind == "column":
        return "period"
    return "measure" if meaning in ("money", "percent", "ratio", "count", "number") else "dimension"


def _meaning(term: Term, catalog: Catalog, cells: Sequence[Any]) -> tuple[Meaning, str]:
    """What the cells of an output mean, and the currency of money where it is known."""
    if term.kind == "bucket":
        if term.name in ("year", "quarter", "month", "week", "day"):
            return term.name, ""  # type: ignore[return-value]
        return "other", ""
    if term.kind == "aggregate":
        if term.name == "count":
            return "count", ""
        if term.name in ("group_concat", "string_agg"):
            return "text", ""
        inner = term.parts[0] if term.parts else term
        meaning, unit = _meaning(inner, catalog, cells)
        if term.name in ("sum", "avg", "total") and meaning in (
            "identifier",
            "year",
            "other",
            "text",
            "bool",
        ):
            return "number", ""
        return meaning, unit
    if term.kind == "column":
        return _of_column(term, catalog, cells)
    if term.kind == "arithmetic":
        return _of_arithmetic(term, catalog, cells)
    if term.kind == "call" and term.name in ("round", "abs", "coalesce", "ifnull", "nullif") and term.parts:
        return _meaning(term.parts[0], catalog, cells)
    said = natural_name(term.alias) if term.alias else ""
    if said and _PERCENT.search(said):
        return "percent", ""
    return _of_cells(cells), ""


def _of_column(term: Term, catalog: Catalog, cells: Sequence[Any]) -> tuple[Meaning, str]:
    column = column_of(term, catalog)
    if column is None:
        return _of_cells(cells), ""
    name = natural_name(column.name)
    if column.kind == "date":
        stamped = any(len(str(cell)) > 10 and not str(cell).endswith("00:00:00") for cell in cells[:50])
        return ("time" if stamped else "date"), ""
    if column.kind == "bool":
        return "bool", ""
    if column.kind != "number":
        return ("text" if column.kind == "text" else _of_cells(cells)), ""
    if column.primary_key or _is_key(term, catalog) or _IDENTIFIER.search(name):
        return "identifier", ""
    if _YEAR.search(name) and all(1000 <= _number(cell) <= 2999 for cell in cells):
        return "year", ""
    if _PERCENT.search(name) or _PERCENT.search(column.comment.lower()):
        return "percent", ""
    if _RATIO.search(name) and all(-1 <= _number(cell) <= 1 for cell in cells) and cells:
        return "ratio", ""
    unit = next((sign for sign, words in _CURRENCY if words.search(f"{name} {column.comment}")), "")
    if unit or (_MONEY.search(name) and not _NO_MONEY.search(name)):
        return "money", unit
    if name.split()[-1:] == ["total"] and any(isinstance(c, (float, decimal.Decimal)) for c in cells):
        return "money", ""
    return "number", ""


def _of_arithmetic(term: Term, catalog: Catalog, cells: Sequence[Any]) -> tuple[Meaning, str]:
    said = natural_name(term.alias) if term.alias else ""
    if _PERCENT.search(said) or (_divides(term) and _has_hundred(term)):
        return "percent", ""
    if term.name == "||":
        return "text", ""
    sides = [_meaning(part, catalog, ()) for part in term.parts]
    if term.name == "/":
        same = sides[0][0] == sides[1][0] and sides[0][0] in ("count", "money")
        if same and cells and all(0 <= _number(cell) <= 1 for cell in cells):
            return "ratio", ""
        return sides[0] if sides[0][0] == "money" and sides[1][0] != "money" else ("number", "")
    return next((side for side in sides if side[0] == "money"), ("number", ""))


def _divides(term: Term) -> bool:
    return (term.kind == "arithmetic" and term.name == "/") or any(map(_divides, term.parts))


def _has_hundred(term: Term) -> bool:
    return (term.kind == "value" and term.name in ("100", "100.0")) or any(map(_has_hundred, term.parts))


def _of_cells(cells: Sequence[Any]) -> Meaning:
    if cells and all(isinstance(c, bool) for c in cells):
        return "bool"
    if cells and all(isinstance(c, (int, float, decimal.Decimal)) for c in cells):
        return "number"
    if cells and all(isinstance(c, date) for c in cells):
        return "date"
    return "text" if cells and all(isinstance(c, str) for c in cells) else "other"


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return float("inf")


def column_of(term: Term, catalog: Catalog) -> Column | None:
    """The catalog's column that a term reads, if it is one."""
    if len(term.origins) != 1:
        return None
    key, _, name = term.origins[0].rpartition(".")
    table = catalog.table(key)
    return None if table is None else table.column(name)


def _is_key(term: Term, catalog: Catalog) -> bool:
    key, _, name = term.origins[0].rpartition(".")
    table = catalog.table(key)
    return table is not None and any(name in foreign.columns for foreign in table.foreign_keys)
