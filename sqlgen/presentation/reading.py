"""A query in plain words, from its outline, and what it settles that the question left open."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from sqlgen.catalog.naming import natural_name
from sqlgen.sql.outline import Condition, Outline, Term
from sqlgen.types import Catalog, ValueMatch

__all__ = ["assumptions_of", "condition_words", "labelled", "period_words", "read"]

_VERB = {"count": "counts", "sum": "adds up", "total": "adds up", "avg": "averages"}
_NOUN = {
    "count": "number of",
    "sum": "sum of",
    "total": "sum of",
    "avg": "average",
    "min": "lowest",
    "max": "highest",
}
_DATED = {"min": "earliest", "max": "latest"}
_OPS = {
    "!=": "not",
    ">": "above",
    ">=": "at least",
    "<": "below",
    "<=": "at most",
    "like": "like",
    "not like": "not like",
}
_AFTER = {">": "after", ">=": "from", "<": "before", "<=": "until"}
_COMBINED = {"union": "together with", "intersect": "and of these only what also", "except": "without what"}
_MONTHS = "January February March April May June July August September October November December".split()
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[ T]00:00:00(?:\.0+)?)?$")


def read(outline: Outline, catalog: Catalog | None = None) -> str:
    """What the query does, in one line of plain words.

    >>> from sqlgen.sql.outline import outline_of
    >>> from sqlgen.types import Column, Table
    >>> orders = Table("orders", (Column("placed", "DATE", "date"), Column("status", "TEXT", "text")))
    >>> sql = ("SELECT STRFTIME('%Y-%m', placed), COUNT(*) FROM orders WHERE status = 'paid' AND placed >= '2025-01-01' "
    ...        "AND placed < '2026-01-01' GROUP BY STRFTIME('%Y-%m', placed)")
    >>> catalog = Catalog("sqlite", (orders,))
    >>> read(outline_of(sql, catalog, "sqlite"), catalog)
    "counts orders by month of placed, only status 'paid', in 2025"
    """
    parts = [_core(outline, catalog)]
    if outline.combined is not None:
        kind, other = outline.combined
        parts.append(f"{_COMBINED.get(kind, 'and')}: {read(other, catalog)}")
    steps = [
        f"{natural_name(name) or 'step'} = ({read(query, catalog)})"
        for name, query in outline.sources
        if query.outputs
    ]
    if steps:
        parts.append("where " + " and ".join(steps))
    return "; ".join(parts)


def _core(outline: Outline, catalog: Catalog | None) -> str:
    ranked = bool(outline.order) and outline.limit is not None
    head = _head(outline, catalog)
    words = [head]
    groups = _groups(outline)
    if groups:
        words[0] += f" by {_listed(groups)}"
    elif outline.groups and not any(_has_aggregate(term) for term in outline.outputs) and not outline.having:
        words[0] += ", each once"
    if outline.filters:
        words += _filters(outline.filters, outline)
    if outline.having:
        words += [f"only groups with {condition_words(c)}" for c in outline.having]
    if ranked:
        words.append(_ranked(outline))
    else:
        if outline.order:
            words.append(
                "sorted by "
                + _listed([f"{labelled(t)}{', highest first' if d else ''}" for t, d in outline.order])
            )
        if outline.limit is not None:
            words.append(f"the first {outline.limit:,} only")
    if outline.offset:
        words.append(f"leaving out the first {outline.offset:,}")
    return ", ".join(words)


def _head(outline: Outline, catalog: Catalog | None) -> str:
    tables = _subject(outline, catalog)
    aggregates = [t for t in outline.outputs if _has_aggregate(t)]
    plain = [t for t in outline.outputs if not _has_aggregate(t)]
    if len(aggregates) == 1 and aggregates[0].kind == "aggregate" and (outline.groups or not plain):
        return _verb(aggregates[0], tables)
    if aggregates and (outline.groups or not plain):
        return f"computes {_listed([labelled(t) for t in aggregates])} of {tables}"
    if any(t.kind == "star" for t in outline.outputs):
        return f"lists all of {tables}"
    once = "each different " if outline.distinct else ""
    return f"lists {once}{_listed([labelled(t) for t in outline.outputs])} of {tables}"


def _verb(term: Term, tables: str) -> str:
    if term.name == "count":
        inner = term.parts[0] if term.parts else None
        if inner is None or inner.kind in ("star", "value"):
            return f"counts {tables}"
        return f"counts {'different ' if term.distinct else ''}{labelled(inner)} of {tables}"
    inner_words = _listed([labelled(part) for part in term.parts])
    if term.name in _VERB:
        return f"{_VERB[term.name]} {inner_words} of {tables}"
    return f"finds the {labelled(term)} of {tables}"


def _groups(outline: Outline) -> list[str]:
    """What the figures are broken down by; a key stands for what is shown beside it."""
    if (
        not any(_has_aggregate(t) for t in (*outline.outputs, *(t for t, _ in outline.order)))
        and not outline.having
    ):
        return []
    shown = [
        t
        for t in outline.outputs
        if not _has_aggregate(t) and t.kind not in ("value", "star", "query", "window")
    ]
    wanted = shown or list(outline.groups) if outline.groups else []
    if any(_has_aggregate(t) for t in outline.outputs):
        return [labelled(t) for t in wanted]
    return []


def _ranked(outline: Outline) -> str:
    term, descending = outline.order[0]
    limit = outline.limit or 0
    dated = "date" in labelled(term).split() or term.kind == "bucket"
    pair = ("latest", "earliest") if dated else ("highest", "lowest")
    what = f"the {pair[0] if descending else pair[1]} {labelled(term)}"
    return f"only the one with {what}" if limit == 1 else f"only the {limit:,} with {what}"


def _subject(outline: Outline, catalog: Catalog | None = None) -> str:
    """The table that the rows are of: the one that refers to the others, or the one that a figure is taken from."""
    if outline.tables:
        figures = [
            t for t in outline.outputs if t.kind == "aggregate" and t.name != "count" and len(t.origins) == 1
        ]
        key = figures[0].origins[0].rpartition(".")[0] if figures else outline.tables[0]
        if catalog is not None and any(t.kind == "aggregate" and t.name == "count" for t in outline.outputs):
            known = [table for k in outline.tables if (table := catalog.table(k)) is not None]
            referred = {f.target for t in known for f in t.foreign_keys if f.target != t.key}
            key = next((t.key for t in known if t.key not in referred), key)
        return natural_name(key.rpartition(".")[2])
    return natural_name(outline.sources[0][0]) if outline.sources and outline.sources[0][0] else "the rows"


def labelled(term: Term) -> str:
    """What an expression is called: ``number of orders``, ``month of order date``.

    >>> labelled(Term("aggregate", "COUNT(*)", "count")), labelled(Term("bucket", "…", "month", ("orders.order_date",)))
    ('count', 'month of order date')
    """
    if term.alias:
        return natural_name(term.alias)
    if term.kind == "column":
        return natural_name(term.name)
    if term.kind == "bucket":
        return f"{term.name} of {_origin(term)}"
    if term.kind == "aggregate":
        inner = term.parts[0] if term.parts else None
        if term.name == "count" and (inner is None or inner.kind in ("star", "value")):
            return "count"
        noun = _DATED.get(term.name, "") if inner is not None and "date" in labelled(inner).split() else ""
        noun = noun or _NOUN.get(term.name, term.name)
        return f"{noun} {'different ' if term.distinct else ''}{labelled(inner) if inner else ''}".strip()
    if term.kind == "case" and term.only is not None:
        what = term.parts[0]
        where = f"where {condition_words(term.only)}"
        return where if what.kind == "value" else f"{labelled(what)} {where}"
    if term.kind in ("case", "window", "other") or (term.kind == "arithmetic" and _is_involved(term)):
        return "computed figure"
    if term.kind == "arithmetic":
        signs = {"/": "per", "*": "times", "-": "minus", "+": "plus", "||": "with"}
        left, right = (labelled(part) for part in term.parts)
        return f"{left} {signs.get(term.name, term.name)} {right}"
    if term.kind == "value":
        return f"'{term.name}'" if term.is_text else term.name
    if term.kind == "call" and term.parts:
        plain = {"round", "coalesce", "ifnull", "nullif", "lower", "upper", "trim", "date"}
        return (
            labelled(term.parts[0])
            if term.name in plain
            else f"{term.name} of {_listed([labelled(p) for p in term.parts])}"
        )
    if term.kind == "star":
        return "all columns"
    if term.kind == "query" and term.query is not None and len(term.query.outputs) == 1:
        return f"the {labelled(term.query.outputs[0])} of {_subject(term.query)}"
    return term.text


def _is_involved(term: Term) -> bool:
    """Whether an arithmetic has more to it than words can follow."""
    return (
        any(
            p.kind in ("case", "window", "other") or (p.kind == "arithmetic" and _is_involved(p))
            for p in term.parts
        )
        or sum(p.kind == "arithmetic" for p in term.parts) > 1
    )


def _origin(term: Term) -> str:
    return _listed([natural_name(origin.rpartition(".")[2]) for origin in term.origins]) or "the date"


def _filters(filters: Sequence[Condition], outline: Outline) -> list[str]:
    """The conditions in words; two that bound one date as the period between them."""
    words: list[str] = []
    left = list(filters)
    while left:
        condition = left.pop(0)
        if _is_absence(condition, outline):
            key = condition.left.origins[0].rpartition(".")[0] if condition.left else ""
            words.append(f"only those without {natural_name(key.rpartition('.')[2])}")
            continue
        other = next((c for c in left if _bounds(condition, c)), None)
        if other is not None:
            left.remove(other)
            low, high = (condition, other) if condition.op in (">", ">=") else (other, condition)
            words.append(_range_words(low, high))
            continue
        words.append(f"only {condition_words(condition)}")
    return words


def _is_absence(condition: Condition, outline: Outline) -> bool:
    term = condition.left
    return (
        condition.op == "is null"
        and term is not None
        and len(term.origins) == 1
        and term.origins[0].rpartition(".")[0] in outline.optional
    )


def _bounds(one: Condition, other: Condition) -> bool:
    sides = {one.op[:1], other.op[:1]}
    return (
        sides == {"<", ">"}
        and one.left is not None
        and other.left is not None
        and one.left.text == other.left.text
        and one.right[0].kind == other.right[0].kind == "value"
    )


def _range_words(low: Condition, high: Condition) -> str:
    begins, ends = _day(low.right[0]), _day(high.right[0])
    assert low.left is not None
    if begins is None or ends is None:
        return f"only {labelled(low.left)} {_OPS[low.op]} {labelled(low.right[0])} and {_OPS[high.op]} {labelled(high.right[0])}"
    if low.op == ">":
        begins += timedelta(days=1)
    if high.op == "<=":
        ends += timedelta(days=1)
    return period_words(begins, ends)


def _day(term: Term) -> date | None:
    m = _DAY.match(term.name) if term.kind == "value" and term.is_text else None
    try:
        return date(int(m[1]), int(m[2]), int(m[3])) if m else None
    except ValueError:
        return None


def period_words(begins: date, ends: date) -> str:
    """A half-open range of days in words.

    >>> period_words(date(2025, 1, 1), date(2026, 1, 1)), period_words(date(2025, 3, 1), date(2025, 4, 1))
    ('in 2025', 'in March 2025')
    >>> period_words(date(2025, 4, 1), date(2025, 7, 1)), period_words(date(2025, 4, 2), date(2025, 4, 9))
    ('in the second quarter of 2025', 'from 2025-04-02 to 2025-04-08')
    """
    last = ends - timedelta(days=1)
    months = (ends.year - begins.year) * 12 + ends.month - begins.month
    if begins.day == ends.day == 1:
        if months == 12 and begins.month == 1:
            return f"in {begins.year}"
        if months == 1:
            return f"in {_MONTHS[begins.month - 1]} {begins.year}"
        if months == 3 and begins.month % 3 == 1:
            return (
                f"in the {('first', 'second', 'third', 'fourth')[begins.month // 3]} quarter of {begins.year}"
            )
        if months % 12 == 0 and begins.month == 1:
            return f"from {begins.year} to {last.year}"
        return f"from {_MONTHS[begins.month - 1]} {begins.year} to {_MONTHS[last.month - 1]} {last.year}"
    return f"on {begins}" if begins == last else f"from {begins} to {last}"


def condition_words(condition: Condition) -> str:
    """One condition in words.

    >>> status = Term("column", "status", "status", ("orders.status",))
    >>> paid = Term("value", "'paid'", "paid", is_text=True)
    >>> condition_words(Condition("=", "status = 'paid'", status, (paid,)))
    "status 'paid'"
    """
    if condition.op in ("and", "or"):
        return f" {condition.op} ".join(condition_words(part) for part in condition.parts)
    if condition.op in ("exists", "not exists"):
        inner = condition.right[0].query if condition.right else None
        some = "some" if condition.op == "exists" else "no"
        return f"those with {some} {_subject(inner)}{_within(inner)}" if inner else condition.text
    if condition.left is None or condition.op == "other":
        return condition.text
    left = labelled(condition.left)
    if condition.op in ("is null", "not null"):
        return f"{left} {'missing' if condition.op == 'is null' else 'known'}"
    if condition.op in ("in", "not in") and condition.right and condition.right[0].kind == "query":
        inner = condition.right[0].query
        some = "in" if condition.op == "in" else "not in"
        return f"{left} {some} ({read(inner)})" if inner else condition.text
    if condition.op in ("in", "not in"):
        values = " or ".join(labelled(v) for v in condition.right)
        return f"{left} {'not ' if condition.op == 'not in' else ''}{values}"
    if condition.op in ("between", "not between"):
        days = [_day(v) for v in condition.right]
        if days[0] and days[1] and condition.op == "between":
            return period_words(days[0], days[1] + timedelta(days=1))
        return f"{left} {condition.op} {labelled(condition.right[0])} and {labelled(condition.right[1])}"
    right = condition.right[0]
    if condition.op == "=" and right.kind == "value":
        return f"{left} {labelled(right)}"
    if condition.op in ("like", "not like") and right.kind == "value":
        return f"{left} {_pattern(right.name, condition.op)}"
    if _day(right) is not None and condition.op in _AFTER:
        return f"{left} {_AFTER[condition.op]} {right.name}"
    return f"{left} {_OPS.get(condition.op, 'equal to')} {labelled(right)}"


def _pattern(pattern: str, op: str) -> str:
    bare = pattern.strip("%")
    no = "not " if op == "not like" else ""
    if "%" in bare or "_" in bare:
        return f"{no}like '{pattern}'"
    if pattern.startswith("%") and pattern.endswith("%"):
        return f"{no}containing '{bare}'"
    return f"{no}beginning with '{bare}'" if pattern.endswith("%") else f"{no}ending in '{bare}'"


def _within(outline: Outline | None) -> str:
    if outline is None:
        return ""
    held = [c for c in outline.filters if not (c.right and c.right[0].kind == "column")]
    return f" ({', '.join(_filters(held, outline))})" if held else ""


def _listed(items: Sequence[str]) -> str:
    items = list(dict.fromkeys(items))
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def _has_aggregate(term: Term) -> bool:
    return term.kind == "aggregate" or (
        term.kind not in ("query", "window") and any(map(_has_aggregate, term.parts))
    )


# --- assumptions -------------------------------------------------------------------------------------------


def assumptions_of(
    outline: Outline, catalog: Catalog, question: str, values: Sequence[ValueMatch], today: date | None
) -> tuple[str, ...]:
    """What the query settles that the question left open, one line each."""
    return tuple(dict.fromkeys([
        *_of_values(outline, question, values),
        *_of_dates(outline, catalog, question),
        *_of_relative_days(outline, question, today),
        *_of_joins(outline, catalog),
        *_of_ties(outline),
        *_of_missing(outline, catalog),
    ]))  # fmt: skip


def _all_conditions(outline: Outline) -> Iterator[Condition]:
    stack = [*outline.filters, *outline.having]
    while stack:
        condition = stack.pop(0)
        yield condition
        stack += condition.parts
        for term in condition.right:
            if term.query is not None:
                stack += [*term.query.filters, *term.query.having]


def _of_values(outline: Outline, question: str, values: Sequence[ValueMatch]) -> Iterator[str]:
    used = {
        (origin, term.name)
        for c in _all_conditions(outline)
        if c.left is not None
        for origin in c.left.origins
        for term in c.right
        if term.kind == "value"
    }
    for match in values:
        said = question[match.start : match.end]
        origin = f"{match.table}.{match.column}"
        if (origin, match.value) not in used or not said:
            continue
        others = [
            f"{m.table}.{m.column}"
            for m in values
            if (m.start, m.end, m.value, m.column) == (match.start, match.end, match.value, match.column)
            and m.table != match.table
        ]
        if others:
            yield f'"{said}" is looked for in {origin}, not {" or ".join(others[:3])}'
        elif said != match.value:
            yield f"\"{said}\" is read as {origin} = '{match.value}'"


def _of_dates(outline: Outline, catalog: Catalog, question: str) -> Iterator[str]:
    """Which of a table's dates counts, where it has several and the question names none."""
    terms = [c.left for c in _all_conditions(outline) if c.left is not None]
    terms += [*outline.groups, *outline.outputs]
    asked = question.lower()
    for term in terms:
        if term.kind not in ("column", "bucket") or len(term.origins) != 1:
            continue
        key, _, name = term.origins[0].rpartition(".")
        table = catalog.table(key)
        column = table.column(name) if table else None
        if (
            table is None
            or column is None
            or column.kind != "date"
            or (term.kind == "column" and term in outline.outputs)
        ):
            continue
        others = [c.name for c in table.columns if c.kind == "date" and c.name != name]
        said = natural_name(name).removesuffix(" date").removesuffix(" at").removesuffix(" on")
        if others and said not in asked:
            yield f"time is taken from {key}.{name}, not {' or '.join(others[:3])}"


def _of_relative_days(outline: Outline, question: str, today: date | None) -> Iterator[str]:
    relative = re.search(
        r"\b(?:(?:last|this|next|past|previous|current)\s(?:\d+\s)?(?:day|week|month|quarter|year)s?|today|yesterday|ytd|ago)\b",
        question.lower(),
    )
    if relative and any(_day(t) for c in _all_conditions(outline) for t in c.right):
        day = today or date.today()
        yield f'"{relative[0]}" is seen from {day}'


def _of_joins(outline: Outline, catalog: Catalog) -> Iterator[str]:
    """What an inner join leaves out of a list, and keys that nobody declared."""
    keys = set(outline.tables)
    for key in outline.tables:
        table = catalog.table(key)
        for foreign in table.foreign_keys if table else ():
            if foreign.target not in keys or foreign.target == key:
                continue
            if foreign.inferred:
                columns = ", ".join(foreign.columns)
                yield f"{key}.{columns} is taken to mean a row of {foreign.target}; no key declares it"
            by_target = any(o.startswith(f"{foreign.target}.") for t in outline.groups for o in t.origins)
            counts = any(_has_aggregate(t) for t in outline.outputs)
            if by_target and counts and key not in outline.optional:
                yield f"{natural_name(foreign.target)} without {natural_name(key)} are left out"


def _of_ties(outline: Outline) -> Iterator[str]:
    if outline.order and outline.limit == 1 and not outline.is_single:
        yield "of several that are equal, one is shown"


def _of_missing(outline: Outline, catalog: Catalog) -> Iterator[str]:
    """Averages and exclusions pass over what is not known."""
    for term in outline.outputs:
        if (
            term.kind == "aggregate"
            and term.name == "avg"
            and term.parts
            and _may_miss(term.parts[0], catalog)
        ):
            yield f"rows without {labelled(term.parts[0])} do not count in the average"
    for condition in outline.filters:
        if (
            condition.op in ("!=", "not in", "not like")
            and condition.left
            and _may_miss(condition.left, catalog)
        ):
            yield f"rows without {labelled(condition.left)} are left out"


def _may_miss(term: Term, catalog: Catalog) -> bool:
    if term.kind != "column" or len(term.origins) != 1:
        return False
    key, _, name = term.origins[0].rpartition(".")
    table = catalog.table(key)
    column = table.column(name) if table else None
    return column is not None and column.nullable and not column.primary_key
