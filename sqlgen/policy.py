"""What may be read: tables and columns closed or open, row filters, column masks; and what that means for a catalog.

A ``Policy`` is what somebody wrote into ``sqlgen.toml``; a ``Protection`` is that policy laid on one catalog. The
rewriting itself is in ``sqlgen.sql.rewrite``, the refusals are in ``sqlgen.validation.rules.policy``.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Literal

from sqlgen.types import Catalog, Column, Dialect, Table

__all__ = ["Mask", "Policy", "Protection", "bind", "bound_values", "read_policy"]

_DEFAULT_SCHEMA: Mapping[Dialect, str] = {
    "sqlite": "main",
    "duckdb": "main",
    "postgres": "public",
    "mysql": "",
}
"""The schema of tables that have none in the catalog, where the connection does not say."""

_LISTS = (
    "deny_schemas",
    "deny_tables",
    "deny_columns",
    "allow_schemas",
    "allow_tables",
    "allow_columns",
)
_KEYS = (*_LISTS, "row_filters", "masks", "context", "strict")
_Scalar = str | int | float | Decimal | date | datetime | bool
Value = _Scalar | tuple[_Scalar, ...]


@dataclass(frozen=True, slots=True)
class Mask:
    """What stands in place of a cell: NULL, a SHA-256 in hexadecimal, its first ``length`` letters, or ``text``."""

    kind: Literal["null", "hash", "first", "text"]
    length: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy as written. Patterns ignore case; ``*`` and ``?`` stand for any characters.

    A column pattern is ``column``, ``table.column`` or ``schema.table.column``, a table pattern ``table`` or
    ``schema.table``. Where an allow list is given, what it does not name is closed; a deny always wins.

    >>> Policy(deny_columns=("customers.ssn",)).is_empty, Policy().is_empty
    (False, True)
    """

    deny_schemas: tuple[str, ...] = ()
    deny_tables: tuple[str, ...] = ()
    deny_columns: tuple[str, ...] = ()
    allow_schemas: tuple[str, ...] = ()
    allow_tables: tuple[str, ...] = ()
    allow_columns: tuple[str, ...] = ()
    row_filters: tuple[tuple[str, str], ...] = ()
    masks: tuple[tuple[str, Mask], ...] = ()
    context: tuple[tuple[str, Value], ...] = field(default=(), repr=False)
    strict: bool = True

    @property
    def is_empty(self) -> bool:
        """True when it closes, filters and masks nothing."""
        return not (any(getattr(self, name) for name in _LISTS) or self.row_filters or self.masks)

    @property
    def digest(self) -> str:
        """A mark that changes with all that decides what may be sampled and indexed; empty for no policy.

        >>> Policy().digest, Policy(deny_tables=("a",)).digest == Policy(deny_tables=("b",)).digest
        ('', False)
        """
        if self.is_empty:
            return ""
        said = repr(replace(self, context=()))
        return hashlib.sha256(said.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def read_policy(raw: Any) -> Policy:
    """The policy of a ``[policy]`` table; ValueError names what is wrong with it.

    >>> read_policy({"deny_columns": ["customers.ssn"], "masks": {"customers.email": "hash"}}).masks
    (('customers.email', Mask(kind='hash', length=0, text='')),)
    """
    if not isinstance(raw, Mapping):
        raise ValueError("it is a table like [policy] with deny_columns = [...]")
    for key in raw:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            raise ValueError(
                f"unknown key {key!r}; {f'nearest: {close[0]!r}' if close else f'known: {_KEYS}'}"
            )
    strict = raw.get("strict", True)
    if not isinstance(strict, bool):
        raise ValueError(f"strict is true or false, not {strict!r}")
    lists = {name: _patterns(name, raw.get(name, [])) for name in _LISTS}
    filters = _table("row_filters", raw.get("row_filters", {}))
    for name, condition in filters.items():
        if not isinstance(condition, str) or not condition.strip():
            raise ValueError(f'row_filters: {name!r} needs a condition like "region = :user_region"')
    masks = {name: _mask(name, value) for name, value in _table("masks", raw.get("masks", {})).items()}
    return Policy(
        **lists,
        row_filters=tuple(filters.items()),
        masks=tuple(masks.items()),
        context=bound_values(_table("context", raw.get("context", {}))),
        strict=strict,
    )


def bound_values(context: Mapping[str, Any]) -> tuple[tuple[str, Value], ...]:
    """Values for the names of row filters; ValueError for one that no literal can say.

    >>> bound_values({"regions": ["EU", "US"]})
    (('regions', ('EU', 'US')),)
    """
    found: list[tuple[str, Value]] = []
    for name, value in context.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"context: {name!r} is no name like user_region")
        items = tuple(value) if isinstance(value, (list, tuple, set, frozenset)) else (value,)
        for item in items:
            if not isinstance(item, (str, int, float, Decimal, date)):
                raise ValueError(
                    f"context: {name!r} holds a {type(item).__name__}, not a text, number or date"
                )
            if isinstance(item, (float, Decimal)) and not math.isfinite(item):
                raise ValueError(f"context: {name!r} is no finite number")
        found.append((name, items if items != (value,) else value))
    return tuple(found)


def _table(name: str, raw: Any) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise ValueError(f"{name} is a table like [policy.{name}]")
    return raw


def _patterns(name: str, raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, (list, tuple)) or not all(isinstance(p, str) and p.strip() for p in raw):
        raise ValueError(f'{name} is a list of patterns like ["customers", "audit_*"]')
    return tuple(p.strip() for p in raw)


def _mask(name: str, raw: Any) -> Mask:
    if raw in ("null", "hash"):
        return Mask(raw)
    if isinstance(raw, Mapping) and len(raw) == 1:
        (kind, value) = next(iter(raw.items()))
        if kind == "first" and isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 100:
            return Mask("first", length=value)
        if kind == "text" and isinstance(value, str):
            return Mask("text", text=value)
    raise ValueError(f'masks: {name!r} is one of "null", "hash", {{first = 2}}, {{text = "hidden"}}')


@dataclass(frozen=True, slots=True)
class Protection:
    """A policy laid on one catalog. All keys are table keys, all column names the catalog's own.

    ``catalog`` holds everything, ``visible`` what may be seen: no closed table, no hidden column, and no value of a
    masked column or a filtered table. ``pending`` are views of which nobody has told yet what they read: closed until
    ``sql.views.views_closed`` does. ``inlined`` gives the definitions of views that are read through them.
    """

    catalog: Catalog
    visible: Catalog
    closed: frozenset[str] = frozenset()
    pending: frozenset[str] = frozenset()
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict)
    masks: Mapping[str, Mapping[str, Mask]] = field(default_factory=dict)
    filters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inlined: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, Value] = field(default_factory=dict)
    default_schema: str = ""
    strict: bool = True
    unmatched: tuple[str, ...] = ()

    def is_closed(self, key: str) -> bool:
        """True if nothing of this table may be read."""
        return key in self.closed or key in self.pending

    def guards(self, key: str) -> bool:
        """True if a scan of this table has to be rewritten."""
        return any(key in part for part in (self.hidden, self.masks, self.filters, self.inlined))

    def narrows(self, key: str) -> bool:
        """True if a query may find fewer rows of this table than there are, without being refused."""
        return key in self.filters or key in self.inlined

    def part_of(self, origin: str) -> tuple[str, str]:
        """The table key and the column of ``key.column`` where that column is hidden or masked, else empty names."""
        # Either name may hold a dot.
        for part in (self.hidden, self.masks):
            for key, columns in part.items():
                if origin.startswith(f"{key}.") and origin[len(key) + 1 :] in columns:
                    return key, origin[len(key) + 1 :]
        return "", ""

    def unsampled(self, table: Table) -> frozenset[str]:
        """The columns of ``table`` whose cells nobody may look at: hidden or masked ones; all where rows are filtered."""
        key = table.key
        if self.is_closed(key) or key in self.filters or key in self.inlined:
            return frozenset(c.name for c in table.columns)
        return self.hidden.get(key, frozenset()) | self.masks.get(key, {}).keys()

    def settled(self) -> Protection:
        """This protection with ``catalog`` cleared of what nobody may see, and ``visible`` made from it."""
        tables = tuple(self._cleared(table) for table in self.catalog.tables)
        catalog = replace(self.catalog, tables=tables)
        open_columns = {
            t.key: {c.name for c in t.columns} - self.hidden.get(t.key, frozenset())
            for t in tables
            if not self.is_closed(t.key)
        }
        shown = tuple(self._shown(table, open_columns) for table in tables if table.key in open_columns)
        shut = self.closed | self.pending
        said = tuple(s for s in self.catalog.skipped if not any(repr(key) in s for key in shut))
        return replace(self, catalog=catalog, visible=replace(catalog, tables=shown, skipped=said))

    def _cleared(self, table: Table) -> Table:
        unsampled = self.unsampled(table)
        if not unsampled:
            return table
        hidden = unsampled if self.is_closed(table.key) else self.hidden.get(table.key, frozenset())
        columns = tuple(_blank(c, c.name in hidden) if c.name in unsampled else c for c in table.columns)
        is_whole = any(c.name not in unsampled for c in table.columns)
        return replace(table, columns=columns, row_estimate=table.row_estimate if is_whole else None)

    def _shown(self, table: Table, open_columns: Mapping[str, set[str]]) -> Table:
        own = open_columns[table.key]
        keys = tuple(
            k
            for k in table.foreign_keys
            if own.issuperset(k.columns) and open_columns.get(k.target, set()).issuperset(k.target_columns)
        )
        return replace(table, columns=tuple(c for c in table.columns if c.name in own), foreign_keys=keys)


def _blank(column: Column, entirely: bool) -> Column:
    if entirely:
        return Column(column.name, "", "other", nullable=column.nullable, primary_key=column.primary_key)
    return replace(column, values=(), minimum=None, maximum=None)


def bind(policy: Policy, catalog: Catalog, default_schema: str | None = None) -> Protection:
    """Lay ``policy`` on ``catalog``; ``default_schema`` names the schema of tables that have none there.

    >>> ssn, name = Column("ssn", "TEXT", "text", values=("1",)), Column("name", "TEXT", "text")
    >>> shop = Catalog("sqlite", (Table("customers", (ssn, name)), Table("audit", (name,))))
    >>> bound = bind(Policy(deny_columns=("ssn",), deny_tables=("audit*",)), shop)
    >>> [(t.key, [c.name for c in t.columns]) for t in bound.visible.tables]
    [('customers', ['name'])]
    >>> bound.catalog.tables[0].columns[0].values
    ()
    """
    default = _DEFAULT_SCHEMA[catalog.dialect] if default_schema is None else default_schema
    used: set[tuple[str, str]] = set()
    closed: set[str] = set()
    hidden: dict[str, frozenset[str]] = {}
    masks: dict[str, dict[str, Mask]] = {}
    filters: dict[str, tuple[str, ...]] = {}

    def matches(part: str, patterns: Iterable[str], names: Iterable[str]) -> bool:
        found = [p for p in patterns if any(fnmatchcase(name, _fold(p)) for name in names)]
        used.update((part, p) for p in found)
        return bool(found)

    for table in catalog.tables:
        schema = _fold(default if table.schema is None else table.schema)
        names = [_fold(table.name), f"{schema}.{_fold(table.name)}"]
        shut = [
            matches("deny_schemas", policy.deny_schemas, [schema]),
            matches("deny_tables", policy.deny_tables, names),
            bool(policy.allow_schemas) and not matches("allow_schemas", policy.allow_schemas, [schema]),
            # A bare name on an allow list opens the table of the default schema alone.
            bool(policy.allow_tables)
            and not matches(
                "allow_tables", policy.allow_tables, names if table.schema is None else names[1:]
            ),
        ]
        columns: set[str] = set()
        for column in table.columns:
            own = _fold(column.name)
            called = [own, *(f"{name}.{own}" for name in names)]
            denied = matches("deny_columns", policy.deny_columns, called)
            if policy.allow_columns and not matches("allow_columns", policy.allow_columns, called):
                denied = True
            if denied:
                columns.add(column.name)
            for pattern, mask in policy.masks:
                if matches("masks", (pattern,), called) and column.name not in masks.get(table.key, {}):
                    masks.setdefault(table.key, {})[column.name] = mask
        conditions = tuple(c for p, c in policy.row_filters if matches("row_filters", (p,), names))
        if any(shut) or len(columns) == len(table.columns):
            closed.add(table.key)
            continue
        if columns:
            hidden[table.key] = frozenset(columns)
        if conditions:
            filters[table.key] = conditions
    masks = {
        key: {c: m for c, m in found.items() if c not in hidden.get(key, ())}
        for key, found in masks.items()
        if key not in closed
    }
    written = [(part, p) for part in _LISTS for p in getattr(policy, part)]
    written += [("row_filters", p) for p, _ in policy.row_filters] + [("masks", p) for p, _ in policy.masks]
    return Protection(
        catalog,
        catalog,
        closed=frozenset(closed),
        pending=frozenset()
        if policy.is_empty
        else frozenset(t.key for t in catalog.tables if t.is_view) - closed,
        hidden=hidden,
        masks={key: found for key, found in masks.items() if found},
        filters=filters,
        context=dict(policy.context),
        default_schema=default,
        strict=policy.strict,
        unmatched=tuple(f"{part}: {p}" for part, p in written if (part, p) not in used),
    ).settled()


def _fold(text: str) -> str:
    return text.casefold()
