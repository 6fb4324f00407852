"""A grammar for one request: read-only queries over the retrieved tables, in the Lark syntax of llguidance.

The state that walks through the rules is a set of tables, one bit each. While the select list is written, each column
adds the bit of its table; FROM then offers the joins that hold all of them; behind it every column must belong to a
table joined. So a name that does not exist, or whose table is not joined, cannot be written.

Left out: WITH, set operations, derived tables, correlated subqueries and output names. Columns are written bare where
one table is read, else as table.column or with the table's initials as alias.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlgen.catalog.naming import natural_name
from sqlgen.sql.form.render import is_reserved
from sqlgen.types import Dialect, ForeignKey, RetrievedContext, Table

__all__ = ["MAX_TABLES", "sql_grammar"]

MAX_TABLES = 50
"""Tables beyond these, the worst of the retrieved, are left out of the grammar."""

_MAX_JOINED = 4
_MAX_SCOPES = 60
# Beyond this many tables joins have one order, and their columns are written as table.column only.
_MAX_FREE = 20
# Above the table bits: how columns are qualified, and how many items stand.
_BARE, _ALIAS, _ITEMS = 60, 61, "[54:57]"
_MAX_ITEMS = 8

_PLAIN = {"postgres": re.compile(r"[a-z_][a-z0-9_]*")}
_ANY_CASE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_VALUE = 80
_VALUE = re.compile(r"[^'\\\x00-\x1f\x7f]+")

_YEAR: dict[Dialect, tuple[str, str]] = {
    "sqlite": ("CAST(STRFTIME('%Y', ", ") AS INTEGER)"),
    "duckdb": ("EXTRACT(YEAR FROM ", ")"),
    "postgres": ("EXTRACT(YEAR FROM ", ")"),
    "mysql": ("YEAR(", ")"),
}
_MONTH: dict[Dialect, tuple[str, str]] = {
    "sqlite": ("CAST(STRFTIME('%m', ", ") AS INTEGER)"),
    "duckdb": ("EXTRACT(MONTH FROM ", ")"),
    "postgres": ("EXTRACT(MONTH FROM ", ")"),
    "mysql": ("MONTH(", ")"),
}

# The rules that do not depend on the schema. ``number::_`` and its like are columns of that kind among the tables of
# the set; ``has_number::_`` is empty and there only if the set has one.
_RULES = r"""
operand::_: number::_ | NUMBER
part::_: has_date::_ YEAR_OPEN date::_ YEAR_CLOSE | has_date::_ MONTH_OPEN date::_ MONTH_CLOSE
aggregate::_: COUNT_OPEN any::_ ")"
  | EXTREME any::_ ")"
  | has_number::_ TOTAL number::_ (OPERATOR operand::_)? ")"
tail::_: where::_ groups::_ order::_ limit
where::_: "" | " WHERE " conditions::_
conditions::_: condition::_ (" AND " condition::_){0,4} | condition::_ (" OR " condition::_){1,3}
condition::_: plain::_ | "(" plain::_ (" OR " plain::_){1,2} ")" | member::_ | above::_
inner::_: "" | " WHERE " plain::_ (" AND " plain::_){0,2}
plain::_: any::_ NULLNESS
  | has_number::_ number::_ (OPERATOR operand::_)? COMPARISON (NUMBER | number::_)
  | has_number::_ number::_ " BETWEEN " NUMBER " AND " NUMBER
  | has_number::_ number::_ NOT? " IN (" NUMBER (", " NUMBER){0,7} ")"
  | has_text::_ text::_ COMPARISON (STRING | text::_)
  | has_text::_ TEXT_OPEN text::_ ")" COMPARISON STRING
  | has_text::_ text::_ NOT? " LIKE " STRING
  | has_text::_ text::_ NOT? " IN (" STRING (", " STRING){0,7} ")"
  | has_date::_ date::_ COMPARISON (DATE | date::_)
  | has_date::_ date::_ " BETWEEN " DATE " AND " DATE
  | part::_ COMPARISON INTEGER
  | part::_ " IN (" INTEGER (", " INTEGER){0,7} ")"
  | has_bool::_ bool::_ " = " TRUTH
groups::_: "" | " GROUP BY " key::_ (", " key::_){0,3} having::_
key::_: any::_ | part::_
having::_: "" | " HAVING " measure::_ COMPARISON NUMBER
measure::_: "COUNT(*)" | aggregate::_
order::_: "" | " ORDER BY " sort::_ (", " sort::_){0,2}
sort::_: (any::_ | measure::_ | part::_) DIRECTION?
limit: "" | " LIMIT " INTEGER
JOIN: " JOIN " | " LEFT JOIN "
EXTREME: "MIN(" | "MAX("
TOTAL: "SUM(" | "AVG(" | "SUM(DISTINCT " | "AVG(DISTINCT "
COUNT_OPEN: "COUNT(" | "COUNT(DISTINCT "
CASE_OPEN: "SUM(CASE WHEN " | "AVG(CASE WHEN "
TEXT_OPEN: "LOWER(" | "UPPER(" | "LENGTH("
RANK_OPEN: "RANK() OVER (ORDER BY " | "DENSE_RANK() OVER (ORDER BY " | "ROW_NUMBER() OVER (ORDER BY "
RANK_CLOSE: ")" | " DESC)" | " ASC)"
PERCENT: "100.0 * " | "1.0 * "
ROUND_CLOSE: /, [0-6]\)/
NULLNESS: " IS NULL" | " IS NOT NULL"
DIRECTION: " ASC" | " DESC"
NOT: " NOT"
COMPARISON: " = " | " <> " | " != " | " < " | " <= " | " > " | " >= "
OPERATOR: " + " | " - " | " * " | " / "
INTEGER: /[1-9][0-9]{0,5}/
NUMBER: /-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,4})?/
DATE: /'(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])'/
"""


def sql_grammar(context: RetrievedContext, dialect: Dialect) -> str:
    """The grammar of the queries that may be written from ``context``; "" when it holds no column.

    >>> from sqlgen.types import Column, TableSlice
    >>> orders = Table("orders", (Column("id", "INTEGER", "number"),))
    >>> '" FROM orders"' in sql_grammar(RetrievedContext((TableSlice(orders, 1.0, ""),)), "sqlite")
    True
    """
    tables = [piece.table for piece in context.tables if piece.table.columns][:MAX_TABLES]
    if not tables:
        return ""
    return "\n".join(_Writer(tables, context, dialect).rules())


@dataclass(frozen=True, slots=True)
class _Join:
    """One way from a table (its number) to another: the pairs of columns to be equal."""

    left: int
    right: int
    pairs: tuple[tuple[str, str], ...]


class _Writer:
    """Writes the rules of one schema."""

    def __init__(self, tables: Sequence[Table], context: RetrievedContext, dialect: Dialect) -> None:
        self.tables = tables
        self.dialect = dialect
        self.context = context
        names = [table.name.lower() for table in tables]
        self.aliases = _aliases(tables)
        self.joins = _joins(tables)
        self.scopes = [scope for scope in _scopes(len(tables), self.joins) if len(scope) > 1]
        self.reached = sorted({k for scope in self.scopes for k in scope})
        # Rules that differ by style begin with its mark: n for names, a for aliases.
        self.styles: dict[str, int] = {}
        if self.scopes and (len(tables) <= _MAX_FREE or len(set(names)) < len(names)):
            self.styles["a"] = 1 << _ALIAS
        # Two tables of one name in different schemas can only be told apart by an alias.
        if self.scopes and len(set(names)) == len(names):
            self.styles["n"] = 0
        self.having = {
            kind: [k for k, t in enumerate(tables) if any(kind in ("any", c.kind) for c in t.columns)]
            for kind in ("any", "number", "text", "date", "bool")
        }

    def rules(self) -> Iterator[str]:
        starts = [f"bare_{k}" for k in range(len(self.tables))]
        starts += [f"{mark}items::{style}" for mark, style in self.styles.items()]
        yield "start: " + "\n  | ".join(f'"SELECT " "DISTINCT "? {start}' for start in starts)
        yield from self._single()
        for mark, style in self.styles.items():
            yield from self._joined(mark, style)
        yield from self._may()
        yield from self._columns()
        yield from self._subqueries()
        yield _RULES
        yield from self._terminals()

    def _single(self) -> Iterator[str]:
        """Queries of one table, whose columns are written bare."""
        for k in range(len(self.tables)):
            yield (
                f"bare_{k}: " + f'bitem_{k} (", " bitem_{k}){{0,{_MAX_ITEMS - 1}}} btail_{k} | "*" btail_{k}'
            )
            yield f"btail_{k}: {_quoted(f' FROM {self._table(k)}')} tail::{1 << k | 1 << _BARE}"
            yield f'bitem_{k}: "COUNT(*)" | {self._item(k, "b", "")}'
            yield from self._parts_of_item(k, "b", "")

    def _joined(self, mark: str, style: int) -> Iterator[str]:
        """Queries of several tables: the set of them grows with each item, never beyond what can be joined."""
        yield f'{mark}items::_: "COUNT(*)" {mark}more::_ | {mark}item::_'
        first, second = [], [f'NUMBER ")" {mark}more::_']
        for k in self.reached:
            prefix = _quoted(self._prefix(k, style)) + " "
            yield f"{mark}item_{k}: {self._item(k, mark, prefix)}"
            yield from self._parts_of_item(k, mark, prefix)
            first.append(f"may_{k}::_ {mark}item_{k} {mark}more::set_bit({k})")
            if k in self.having["number"]:
                number = f"{prefix}NUMBER_{k}"
                first.append(f'may_{k}::_ "SUM(" {number} " * " {mark}times::set_bit({k})')
                second.append(f'may_{k}::_ {number} ")" {mark}more::set_bit({k})')
        yield f"{mark}item::_: " + "\n  | ".join(first)
        yield f"{mark}times::_: " + "\n  | ".join(second)
        yield f'{mark}more::_: ", " {mark}items::incr({_ITEMS}) %if lt({_ITEMS}, {_MAX_ITEMS - 1})'
        yield f'  | " FROM " {mark}source::_'
        ways = list(dict.fromkeys((join.left, join.right) for join in self.joins))
        sources = []
        for scope in self.scopes:
            roots = scope if len(self.tables) <= _MAX_FREE else scope[:1]
            walks = [(root, _spanning(root, scope, ways)) for root in roots]
            texts = [
                " ".join([f"{mark}table_{root}", *(f"{mark}join_{a}_{b}" for a, b in walk)])
                for root, walk in walks
            ]
            mask = sum(1 << k for k in scope)
            sources.append(f"({' | '.join(texts)}) tail::bit_or({mask}){_if_within(scope, len(self.tables))}")
        yield f"{mark}source::_: " + "\n  | ".join(sources)
        for left, right in ways:
            conditions = " | ".join(
                f"{mark}on_{i}" for i, j in enumerate(self.joins) if (j.left, j.right) == (left, right)
            )
            yield f'{mark}join_{left}_{right}: JOIN {mark}table_{right} " ON " ({conditions})'
        for i, join in enumerate(self.joins):
            sides = [
                (
                    f"{_quoted(self._prefix(join.left, style))} {self._word(own)}",
                    f"{_quoted(self._prefix(join.right, style))} {self._word(other)}",
                )
                for own, other in join.pairs
            ]
            forward = ' " AND " '.join(f'{left} " = " {right}' for left, right in sides)
            backward = ' " AND " '.join(f'{right} " = " {left}' for left, right in sides)
            yield f"{mark}on_{i}: {forward} | {backward}"
        for k in self.reached:
            alias = f" AS {self.aliases[k]}" if style else ""
            yield f"{mark}table_{k}: {_quoted(self._table(k) + alias)}"

    def _item(self, k: int, mark: str, prefix: str) -> str:
        """The alternatives of an item of the select list over one table."""
        own = f"{mark}figure_{k}"
        found = [f"{prefix}ANY_{k}", own, f'{own} " / " {own}', f'PERCENT {own} " / " {own}']
        found += [f'"ROUND(" {own} ROUND_CLOSE', f"RANK_OPEN {prefix}ANY_{k} RANK_CLOSE"]
        if k in self.having["number"]:
            found.append(f"{prefix}NUMBER_{k} OPERATOR {mark}operand_{k}")
        if k in self.having["text"]:
            found.append(f'TEXT_OPEN {prefix}TEXT_{k} ")"')
        if k in self.having["date"]:
            found += [f"{part}_OPEN {prefix}DATE_{k} {part}_CLOSE" for part in ("YEAR", "MONTH")]
        return "\n  | ".join(found)

    def _parts_of_item(self, k: int, mark: str, prefix: str) -> Iterator[str]:
        figures = [f'COUNT_OPEN {prefix}ANY_{k} ")"', f'EXTREME {prefix}ANY_{k} ")"']
        tests = [f"{prefix}ANY_{k} NULLNESS"]
        if k in self.having["number"]:
            number = f"{prefix}NUMBER_{k}"
            yield f"{mark}operand_{k}: {number} | NUMBER"
            figures += [f'TOTAL {number} ")"', f'TOTAL {number} OPERATOR {mark}operand_{k} ")"']
            tests.append(f"{number} COMPARISON NUMBER")
        if k in self.having["text"]:
            tests.append(f"{prefix}TEXT_{k} COMPARISON STRING")
        figures.append(f'CASE_OPEN {mark}test_{k} " THEN 1 ELSE 0 END)"')
        yield f"{mark}figure_{k}: " + "\n  | ".join(figures)
        yield f"{mark}test_{k}: " + " | ".join(tests)

    def _may(self) -> Iterator[str]:
        """Per table a rule that is empty, and there only if some join holds the tables so far and this one."""
        for k in self.reached:
            masks = set()
            for scope in self.scopes:
                if k in scope:
                    for size in range(len(scope) + 1):
                        masks |= {sum(1 << n for n in some) for some in itertools.combinations(scope, size)}
            yield f"may_{k}::_: " + _any(f"eq([0:{MAX_TABLES}], {mask})" for mask in sorted(masks))

    def _columns(self) -> Iterator[str]:
        """The columns of each table by kind, and the rules that choose among the tables of the set."""
        for k in range(len(self.tables)):
            prefixes = [f'"" %if bit_set({_BARE})']
            for style in self.styles.values():
                has_style = f"bit_{'set' if style else 'clear'}({_ALIAS})"
                prefixes.append(f"{_quoted(self._prefix(k, style))} %if and(bit_clear({_BARE}), {has_style})")
            yield f"dot_{k}::_: " + " | ".join(prefixes)
        for kind, tables in self.having.items():
            for k in tables:
                names = [c.name for c in self.tables[k].columns if kind in ("any", c.kind)]
                yield f"{kind.upper()}_{k}: " + " | ".join(map(self._word, names))
            parts = [f"dot_{k}::_ {kind.upper()}_{k} %if bit_set({k})" for k in tables]
            yield f"{kind}::_: " + ("\n  | ".join(parts) or _any([]))
            yield f"has_{kind}::_: " + _any(f"bit_set({k})" for k in tables)

    def _subqueries(self) -> Iterator[str]:
        """Membership along a key, in either direction, and comparison with a figure; never nested twice."""
        member, above = [], []
        for join in self.joins:
            own, other = join.pairs[0]
            if len(join.pairs) == 1:
                inner = _quoted(f"{self._bare(other)} FROM {self._table(join.right)}")
                alone = 1 << join.right | 1 << _BARE
                member.append(
                    f'dot_{join.left}::_ {self._word(own)} NOT? " IN (SELECT " {inner} inner::{alone} ")" '
                    f"%if bit_set({join.left})"
                )
        for k in self.having["number"]:
            alone, inner = 1 << k | 1 << _BARE, _quoted(f") FROM {self._table(k)}")
            above.append(
                f'number::_ COMPARISON "(SELECT " (TOTAL | EXTREME) NUMBER_{k} {inner} inner::{alone} ")" '
                f"%if bit_set({k})"
            )
        yield "member::_: " + ("\n  | ".join(member) or _any([]))
        yield "above::_: " + ("\n  | ".join(above) or _any([]))

    def _terminals(self) -> Iterator[str]:
        values = [m.value for m in self.context.values]
        known = [
            v for v in dict.fromkeys(values) if len(v) <= _MAX_VALUE and _VALUE.fullmatch(v.replace("'", ""))
        ]
        literals = [_quoted("'" + v.replace("'", "''") + "'") for v in known]
        free = r"/'([\p{L}\p{N} .,:%&@()+_\/#!?-]|''){0,40}'/"
        yield "STRING: " + " | ".join([free, *literals])
        year, month = _YEAR[self.dialect], _MONTH[self.dialect]
        for name, text in zip(
            ("YEAR_OPEN", "YEAR_CLOSE", "MONTH_OPEN", "MONTH_CLOSE"), (*year, *month), strict=True
        ):
            yield f"{name}: {_quoted(text)}"
        yield "TRUTH: " + ('"1" | "0"' if self.dialect in ("sqlite", "mysql") else '"TRUE" | "FALSE"')

    def _bare(self, name: str) -> str:
        plain = _PLAIN.get(self.dialect, _ANY_CASE)
        if plain.fullmatch(name) and not is_reserved(name):
            return name
        mark = "`" if self.dialect in ("mysql", "sqlite") else '"'
        return mark + name.replace(mark, mark * 2) + mark

    def _table(self, k: int) -> str:
        table = self.tables[k]
        return ".".join(self._bare(part) for part in (table.schema, table.name) if part)

    def _prefix(self, k: int, style: int) -> str:
        return (self.aliases[k] if style else self._bare(self.tables[k].name)) + "."

    def _word(self, name: str) -> str:
        return _quoted(self._bare(name))


def _any(conditions: Iterable[str]) -> str:
    """The body of a rule that is empty, and there only if one of the conditions holds."""
    alternatives = [f'"" %if {condition}' for condition in conditions]
    return "\n  | ".join(alternatives) or f'"" %if and(bit_set({_BARE}), bit_clear({_BARE}))'


def _if_within(scope: Iterable[int], count: int) -> str:
    """The condition of an alternative: no table outside ``scope`` is in the set."""
    edges = [-1, *sorted(scope), count]
    gaps = [f"is_zeros([{a + 1}:{b}])" for a, b in itertools.pairwise(edges) if b > a + 1]
    if not gaps:
        return ""
    text = gaps[0]
    for gap in gaps[1:]:
        text = f"and({text}, {gap})"
    return f" %if {text}"


def _quoted(text: str) -> str:
    """A string of the grammar."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _aliases(tables: Sequence[Table]) -> list[str]:
    """For each table the initials of its words, with a number where they are taken or reserved."""
    taken = {table.name.lower() for table in tables}
    found = []
    for table in tables:
        letters = [
            w[0] for w in natural_name(table.name).lower().split() if w[0].isascii() and w[0].isalpha()
        ]
        initials = "".join(letters)[:4] or "t"
        names = itertools.chain([initials], (f"{initials}{n}" for n in itertools.count(2)))
        alias = next(name for name in names if name not in taken and not is_reserved(name))
        taken.add(alias)
        found.append(alias)
    return found


def _joins(tables: Sequence[Table]) -> list[_Join]:
    """Every foreign key between two of the tables, in both directions."""
    number = {table.key: k for k, table in enumerate(tables)}
    found: list[_Join] = []
    for k, table in enumerate(tables):
        for key in table.foreign_keys:
            other = number.get(key.target)
            if other is None or other == k or not _is_there(key, table, tables[other]):
                continue
            pairs = tuple(zip(key.columns, key.target_columns, strict=True))
            found += [_Join(k, other, pairs), _Join(other, k, tuple((b, a) for a, b in pairs))]
    return list(dict.fromkeys(found))


def _is_there(key: ForeignKey, own: Table, target: Table) -> bool:
    return all(own.column(name) for name in key.columns) and all(
        target.column(name) for name in key.target_columns
    )


def _scopes(count: int, joins: Sequence[_Join]) -> list[tuple[int, ...]]:
    """The sets of tables that keys connect: smaller ones first, then those of better tables, up to a bound."""
    beside: dict[int, set[int]] = {k: set() for k in range(count)}
    for join in joins:
        beside[join.left].add(join.right)
    layer: set[tuple[int, ...]] = {(k,) for k in range(count)}
    found = sorted(layer)
    for _ in range(_MAX_JOINED - 1):
        grown = {
            tuple(sorted({*scope, k})) for scope in layer for own in scope for k in beside[own] - {*scope}
        }
        layer = set(sorted(grown, key=lambda scope: (sum(scope), scope))[:_MAX_SCOPES])
        found += sorted(layer, key=lambda scope: (sum(scope), scope))
    return found[: count + _MAX_SCOPES]


def _spanning(root: int, scope: Sequence[int], ways: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs of tables by which every table of ``scope`` is reached from ``root``, each once."""
    reached, walk = {root}, list[tuple[int, int]]()
    while len(reached) < len(scope):
        left, right = next((a, b) for a, b in ways if a in reached and b in scope and b not in reached)
        walk.append((left, right))
        reached.add(right)
    return walk
