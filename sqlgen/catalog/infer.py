"""Foreign keys that nobody declared, from names, types and what the sample says. Precision before recall."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlgen.catalog.naming import natural_name
from sqlgen.types import Catalog, Column, ForeignKey, Table

__all__ = ["infer_foreign_keys"]

_KEY_WORDS = frozenset(str.split("id ids key code no nr num number uuid guid fk sk"))
_VAGUE = _KEY_WORDS | frozenset(str.split("name title type status date year value index idx rowid row pk"))
_PARENT = frozenset(str.split("parent superior supervisor manager root previous next original"))
_PREFIXES = frozenset(str.split("tbl t tab table dim fact fct stg raw vw v ref lu lkp mst"))
_LONGER = {"sses": 2, "shes": 2, "ches": 2, "xes": 2}


def infer_foreign_keys(catalog: Catalog) -> Catalog:
    """The catalog with inferred keys added to the declared ones, each marked ``inferred=True``.

    A pure function of the catalog, so it works on a schema read from DDL alone. A column becomes a key when
    its name names one table (``customer_id``, ``billing_customer_id``, ``customerId`` for ``customers``, or
    the unmistakable name of another table's primary key), that table has one column to point at, both are of
    one kind, and nothing sampled contradicts it: values outside the target's, or numbers outside its range.
    Two possible targets mean none. Views neither own nor receive keys, and a column has at most one.

    >>> from sqlgen.types import Catalog, Column, Table
    >>> key = Column("id", "INTEGER", "number", primary_key=True)
    >>> orders = Table("orders", (key, Column("customer_id", "INTEGER", "number")))
    >>> inferred = infer_foreign_keys(Catalog("sqlite", (Table("customers", (key,)), orders)))
    >>> inferred.tables[1].foreign_keys
    (ForeignKey(columns=('customer_id',), target='customers', target_columns=('id',), inferred=True),)
    """
    targets = [target for table in catalog.tables if (target := _target(table)) is not None]
    by_stem: dict[tuple[str, ...], list[_Target]] = defaultdict(list)
    by_key_name: dict[tuple[str, ...], list[_Target]] = defaultdict(list)
    for target in targets:
        for stem in _stems(target.table):
            by_stem[stem].append(target)
        by_key_name[_words(target.column.name)].append(target)
    tables = []
    for table in catalog.tables:
        keys = () if table.is_view else tuple(_inferred(table, by_stem, by_key_name))
        tables.append(replace(table, foreign_keys=table.foreign_keys + keys) if keys else table)
    return replace(catalog, tables=tuple(tables))


class _Target:
    """A table and the one column that a key to it would name."""

    __slots__ = ("column", "is_declared", "table")

    def __init__(self, table: Table, column: Column, is_declared: bool) -> None:
        self.table = table
        self.column = column
        self.is_declared = is_declared


def _target(table: Table) -> _Target | None:
    if table.is_view:
        return None
    primary = [c for c in table.columns if c.primary_key]
    if len(primary) == 1:
        return _Target(table, primary[0], True)
    if primary or not table.columns:
        return None
    # no declared key: only a first column called id, or named after the table
    first = table.columns[0]
    words = _words(first.name)
    if words == ("id",) or (words[-1] in _KEY_WORDS and words[:-1] in _stems(table)):
        return _Target(table, first, False)
    return None


def _words(name: str) -> tuple[str, ...]:
    words = natural_name(name).split() or [name.lower()]
    # "customerid" is one word to the eye of a splitter
    if len(words) == 1 and len(words[0]) >= 5 and words[0].endswith("id"):
        words = [words[0][:-2], "id"]
    return tuple(words)


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    for ending, cut in _LONGER.items():
        if word.endswith(ending):
            return word[:-cut]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _stems(table: Table) -> set[tuple[str, ...]]:
    words = tuple(natural_name(table.name).split())
    if not words:
        return set()
    forms = {words, (*words[:-1], _singular(words[-1]))}
    if len(words) > 1 and words[0] in _PREFIXES:
        forms |= {form[1:] for form in list(forms)}
    return {form for form in forms if form} | {("".join(form),) for form in forms}


def _inferred(
    table: Table,
    by_stem: Mapping[tuple[str, ...], Sequence[_Target]],
    by_key_name: Mapping[tuple[str, ...], Sequence[_Target]],
) -> list[ForeignKey]:
    taken = {column for key in table.foreign_keys for column in key.columns}
    primary = [c.name for c in table.columns if c.primary_key]
    own = _target(table)
    found = []
    for column in table.columns:
        if column.name in taken or primary == [column.name]:
            continue
        if own is not None and own.column.name == column.name:
            continue
        target = _best(table, column, own, by_stem, by_key_name)
        if target is not None:
            found.append(ForeignKey((column.name,), target.table.key, (target.column.name,), True))
    return found


def _best(
    table: Table,
    column: Column,
    own: _Target | None,
    by_stem: Mapping[tuple[str, ...], Sequence[_Target]],
    by_key_name: Mapping[tuple[str, ...], Sequence[_Target]],
) -> _Target | None:
    words = _words(column.name)
    # from the surest reason to the least: the first that has any fitting target decides
    reasons: list[Sequence[_Target]] = []
    may_be_own = False
    if len(words) > 1 and words[-1] in _KEY_WORDS:
        stem = words[:-1]
        named = [t for t in by_stem.get(stem, ()) if _key_fits(t, words)]
        reasons.append(named)
        if not (len(words) == 2 and words[0] in _VAGUE):
            reasons.append([t for t in by_key_name.get(words, ()) if t.is_declared])
        if own is not None and stem[-1] in _PARENT and len(stem) == 1:
            reasons.append([own])
            may_be_own = True
        may_be_own = may_be_own or stem[0] in _PARENT
        # billing_customer_id: the longest end of the name that is a table
        for start in range(1, len(stem)):
            reasons.append([t for t in by_stem.get(stem[start:], ()) if _key_fits(t, words[start:])])
    elif words[-1] not in _VAGUE:
        # a bare name such as "customer" is a key only when the numbers prove it
        reasons.append([t for t in by_stem.get(words, ()) if _is_proven(column, t)])
        # sku, isbn: the primary key of one table, and the cells agree
        reasons.append([t for t in by_key_name.get(words, ()) if t.is_declared and _is_measured(column, t)])
    for candidates in reasons:
        fitting = [t for t in candidates if may_be_own or t.table.key != table.key]
        fitting = [t for t in fitting if _is_possible(column, t)]
        unique = {t.table.key: t for t in fitting}
        same_schema = {k: t for k, t in unique.items() if t.table.schema == table.schema}
        unique = same_schema or unique
        if len(unique) == 1:
            return next(iter(unique.values()))
        if unique:
            return None
    return None


def _key_fits(target: _Target, words: tuple[str, ...]) -> bool:
    """Whether the target's column is what the last word of the name says: an id is no code."""
    ending = _words(target.column.name)[-1]
    return ending == words[-1] or {ending, words[-1]} <= {"id", "key", "fk", "sk", "ids", "pk"}


def _is_possible(column: Column, target: _Target) -> bool:
    other = target.column
    if column.kind != other.kind or column.kind not in ("number", "text"):
        return False
    if column.kind == "number":
        if _is_below(column.minimum, other.minimum) or _is_below(other.maximum, column.maximum):
            return False
        has_rows = isinstance(column.minimum, int | float)
        return not (has_rows and target.table.row_estimate == 0)
    rows = target.table.row_estimate
    if not column.values or rows is None or rows > len(other.values):
        return True
    # the sample holds the whole target: one stray value in twenty is dirt, more is another thing
    known = set(other.values)
    return sum(v in known for v in column.values) >= 0.95 * len(column.values)


def _is_below(low: str | float | int | None, high: str | float | int | None) -> bool:
    return isinstance(low, int | float) and isinstance(high, int | float) and low < high


def _is_measured(column: Column, target: _Target) -> bool:
    """Whether cells of both sides were seen, so that agreement means something."""
    other = target.column
    if column.kind == "text":
        return bool(column.values and other.values)
    ranges = (column.minimum, column.maximum, other.minimum, other.maximum)
    return all(isinstance(v, int) for v in ranges)


def _is_proven(column: Column, target: _Target) -> bool:
    return column.kind == "number" and target.is_declared and _is_measured(column, target)
