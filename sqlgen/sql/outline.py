"""What a query says, as plain data: its outputs, filters, groups and order, every column followed to its table.

``sqlgen.presentation`` puts it into words and chooses charts by it; sqlglot's nodes stay in this package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal, TypeAlias

from sqlglot import exp

from sqlgen.sql.form.render import _TEMPLATES
from sqlgen.sql.parse import nodes, parse, scan
from sqlgen.sql.scope import CatalogNames
from sqlgen.sql.trace import trace
from sqlgen.types import Catalog, Dialect

__all__ = ["BUCKETS", "Condition", "Outline", "Term", "outline_of"]

TermKind: TypeAlias = Literal[
    "column", "star", "aggregate", "bucket", "value", "query", "arithmetic", "call", "case", "window", "other"
]

BUCKETS = ("year", "quarter", "month", "week", "day", "weekday", "hour")
_AGGREGATES = frozenset("count sum avg min max total group_concat string_agg".split())
_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "!=", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
    exp.Like: "like", exp.ILike: "like", exp.NullSafeEQ: "=", exp.NullSafeNEQ: "!=",
}  # fmt: skip
_TURNED = {"=": "=", "!=": "!=", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
_OPPOSITE = {
    "=": "!=", "!=": "=", ">": "<=", ">=": "<", "<": ">=", "<=": ">", "like": "not like", "in": "not in",
    "is null": "not null", "exists": "not exists", "between": "not between",
}  # fmt: skip
_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%", exp.DPipe: "||"}


@dataclass(frozen=True, slots=True)
class Term:
    """One expression. ``text`` is its SQL; ``origins`` are the columns (``table_key.column``) that it reads.

    ``name`` is the aggregate or function, the operator of an arithmetic, the bucket (``month``; ``name`` of a
    repeating part such as the month of any year is ``month of year``), or the text of a value. A ``case`` that keeps
    one expression under one condition has it in ``parts`` and the condition in ``only``.
    """

    kind: TermKind
    text: str
    name: str = ""
    origins: tuple[str, ...] = ()
    parts: tuple[Term, ...] = ()
    distinct: bool = False
    is_text: bool = False
    alias: str = ""
    query: Outline | None = None
    only: Condition | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: a comparison ``left op right``, or ``and``/``or`` over ``parts``; ``other`` for what has no words."""

    op: str
    text: str
    left: Term | None = None
    right: tuple[Term, ...] = ()
    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """A query. ``tables`` are table keys in the order of FROM; ``optional`` those that may lack a partner.

    ``order`` holds (term, descending). ``combined`` is (``union``, ``intersect`` or ``except``, the other query).
    ``sources`` are the queries that stand in FROM or WITH, by name.
    """

    outputs: tuple[Term, ...]
    tables: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    filters: tuple[Condition, ...] = ()
    groups: tuple[Term, ...] = ()
    having: tuple[Condition, ...] = ()
    order: tuple[tuple[Term, bool], ...] = ()
    limit: int | None = None
    offset: int | None = None
    distinct: bool = False
    combined: tuple[str, Outline] | None = None
    sources: tuple[tuple[str, Outline], ...] = field(default=())

    @property
    def is_single(self) -> bool:
        """Whether the query gives one row whatever the data: aggregates without groups."""
        return (
            not self.groups
            and not self.combined
            and bool(self.outputs)
            and all(_has_aggregate(t) for t in self.outputs)
        )


def _has_aggregate(term: Term) -> bool:
    return term.kind == "aggregate" or (term.kind != "query" and any(map(_has_aggregate, term.parts)))


def outline_of(sql: str, catalog: Catalog, dialect: Dialect) -> Outline:
    """The outline of a query; raises Unreadable for what does not parse.

    >>> from sqlgen.types import Column, Table
    >>> t = Table("orders", (Column("placed", "DATE", "date"), Column("total", "REAL", "number")))
    >>> o = outline_of("SELECT STRFTIME('%Y-%m', placed), SUM(total) FROM orders GROUP BY 1", Catalog("sqlite", (t,)), "sqlite")
    >>> [(term.kind, term.name, term.origins) for term in o.outputs]
    [('bucket', 'month', ('orders.placed',)), ('aggregate', 'sum', ('orders.total',))]
    >>> o.groups == o.outputs[:1]
    True
    """
    statement = parse(scan(sql, dialect))
    walk = trace(statement, CatalogNames(catalog, dialect))
    origins: dict[int, list[str]] = {}
    for origin, readers in walk.uses.items():
        for reader in readers:
            if reader is not None:
                origins.setdefault(id(reader), []).append(origin)
    keys = {id(node): key for node, key in walk.scans}
    return _Reader(dialect, origins, keys).query(statement.tree)


class _Reader:
    """Turns a tree into an outline."""

    def __init__(self, dialect: Dialect, origins: dict[int, list[str]], keys: dict[int, str]) -> None:
        self.dialect = dialect
        self.origins = origins
        self.keys = keys

    def query(self, tree: exp.Expr) -> Outline:
        sources = self._sources(tree)
        while isinstance(tree, (exp.Subquery, exp.Paren)):
            tree = tree.this
        if isinstance(tree, exp.SetOperation):
            left, right = self.query(tree.this), self.query(tree.expression)
            kind = type(tree).__name__.lower()
            order, limit, offset = self._tail(tree, left.outputs)
            return Outline(
                left.outputs,
                left.tables,
                left.optional,
                left.filters,
                left.groups,
                left.having,
                order,
                limit,
                offset,
                left.distinct,
                (kind, right),
                (*sources, *left.sources),
            )
        if not isinstance(tree, exp.Select):
            return Outline((), sources=sources)
        outputs = tuple(self.term(node) for node in tree.expressions)
        joins = tree.args.get("joins") or []
        group = tree.args.get("group")
        groups = [self._named(node, outputs) for node in (group.expressions if group else [])]
        order, limit, offset = self._tail(tree, outputs)
        return Outline(
            outputs,
            tuple(dict.fromkeys(self._tables(tree))),
            tuple(
                self.keys[id(join.this)]
                for join in joins
                if join.side == "LEFT" and id(join.this) in self.keys
            ),
            tuple(self.condition(node) for node in _conjuncts(_inner(tree.args.get("where")))),
            tuple(groups),
            tuple(self.condition(node) for node in _conjuncts(_inner(tree.args.get("having")))),
            order,
            limit,
            offset,
            tree.args.get("distinct") is not None,
            None,
            sources,
        )

    def _sources(self, tree: exp.Expr) -> tuple[tuple[str, Outline], ...]:
        found = []
        with_ = tree.args.get("with_")
        for cte in with_.expressions if with_ is not None else []:
            found.append((cte.alias, self.query(cte.this)))
        if isinstance(tree, exp.Select):
            for node in _from(tree):
                if isinstance(node, exp.Subquery):
                    found.append((node.alias, self.query(node)))
        return tuple(found)

    def _tables(self, tree: exp.Select) -> Iterator[str]:
        for node in _from(tree):
            if id(node) in self.keys:
                yield self.keys[id(node)]

    def _tail(
        self, tree: exp.Expr, outputs: tuple[Term, ...]
    ) -> tuple[tuple[tuple[Term, bool], ...], int | None, int | None]:
        order = tree.args.get("order")
        keys = [
            (self._named(o.this, outputs), bool(o.args.get("desc")))
            for o in (order.expressions if order else [])
        ]
        return tuple(keys), _count(tree.args.get("limit")), _count(tree.args.get("offset"))

    def _named(self, node: exp.Expr, outputs: tuple[Term, ...]) -> Term:
        """A term of GROUP BY or ORDER BY: the output that it names by place or by alias."""
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            place = int(node.name) - 1
            if 0 <= place < len(outputs):
                return outputs[place]
        if isinstance(node, exp.Column) and not node.table:
            for output in outputs:
                if output.alias and output.alias.casefold() == node.name.casefold():
                    return output
        term = self.term(node)
        return next((o for o in outputs if o.text == term.text), term)

    def term(self, node: exp.Expr) -> Term:
        alias = ""
        if isinstance(node, exp.Alias):
            alias, node = node.alias, node.this
        while isinstance(node, exp.Paren):
            node = node.this
        term = self._term(node)
        return _with_alias(term, alias) if alias else term

    def _term(self, node: exp.Expr) -> Term:
        text = node.sql(dialect=self.dialect)
        origins = tuple(dict.fromkeys(o for part in nodes(node) for o in self.origins.get(id(part), ())))
        bucket = self._bucket(node)
        if bucket:
            return Term("bucket", text, bucket, origins)
        if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            return Term("column", text, node.name, origins)
        if isinstance(node, (exp.Star, exp.Column)):
            return Term("star", text, "*", origins)
        if isinstance(node, exp.Literal):
            return Term("value", text, node.name, is_text=bool(node.is_string))
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            return Term("value", text, f"-{node.this.name}")
        if isinstance(node, (exp.Boolean, exp.Null)):
            return Term("value", text, text.lower())
        if isinstance(node, (exp.Subquery, exp.Select, exp.SetOperation)):
            return Term("query", text, "", origins, query=self.query(node))
        if isinstance(node, exp.Window):
            return Term("window", text, _call_name(node.this), origins, self._arguments(node.this))
        name = _call_name(node)
        if name in _AGGREGATES:
            inside = _argument(node)
            distinct = isinstance(inside, exp.Distinct)
            parts = (
                inside.expressions
                if isinstance(inside, exp.Distinct)
                else [inside]
                if inside is not None
                else []
            )
            return Term("aggregate", text, name, origins, tuple(self.term(p) for p in parts), distinct)
        for kind, sign in _ARITHMETIC.items():
            if type(node) is kind:
                return Term(
                    "arithmetic", text, sign, origins, (self.term(node.this), self.term(node.expression))
                )
        if isinstance(node, (exp.Case, exp.If)):
            return self._case(node, text, origins)
        if isinstance(node, (exp.Cast, exp.TryCast)):
            inner = self.term(node.this)
            return Term(
                inner.kind, text, inner.name, inner.origins, inner.parts, inner.distinct, query=inner.query
            )
        if name:
            return Term("call", text, name, origins, self._arguments(node))
        return Term("other", text, "", origins)

    def _case(self, node: exp.Expr, text: str, origins: tuple[str, ...]) -> Term:
        whens = node.args.get("ifs") or []
        default = node.args.get("default")
        nothing = default is None or isinstance(default, exp.Null) or default.name == "0"
        if len(whens) != 1 or node.args.get("this") is not None or not nothing:
            return Term("case", text, "case", origins)
        only = self.condition(whens[0].this)
        return Term("case", text, "case", origins, (self.term(whens[0].args["true"]),), only=only)

    def _arguments(self, node: exp.Expr) -> tuple[Term, ...]:
        return tuple(
            self.term(part) for part in node.args.get("expressions") or [] if isinstance(part, exp.Expr)
        )

    def _bucket(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Column) or len({c.sql() for c in node.find_all(exp.Column)}) != 1:
            return ""
        shape = node.copy()
        for column in list(shape.find_all(exp.Column)):
            column.replace(exp.column("x"))
        return _bucket_shapes(self.dialect).get(_folded(shape.sql(dialect=self.dialect)), "")

    def condition(self, node: exp.Expr) -> Condition:
        while isinstance(node, exp.Paren):
            node = node.this
        text = node.sql(dialect=self.dialect)
        if isinstance(node, (exp.And, exp.Or)):
            kind = type(node)
            return Condition(
                kind.__name__.lower(), text, parts=tuple(self.condition(p) for p in _flat(node, kind))
            )
        if isinstance(node, exp.Not):
            inner = self.condition(node.this)
            opposite = _OPPOSITE.get(inner.op)
            if opposite is None:
                return Condition("other", text)
            return Condition(opposite, text, inner.left, inner.right)
        if isinstance(node, exp.Is):
            return Condition(
                "is null" if isinstance(node.expression, exp.Null) else "=",
                text,
                self.term(node.this),
                (self.term(node.expression),),
            )
        if isinstance(node, exp.In):
            query = node.args.get("query")
            held = [query] if query is not None else node.expressions
            return Condition("in", text, self.term(node.this), tuple(self.term(v) for v in held))
        if isinstance(node, exp.Between):
            return Condition(
                "between",
                text,
                self.term(node.this),
                (self.term(node.args["low"]), self.term(node.args["high"])),
            )
        if isinstance(node, exp.Exists):
            return Condition("exists", text, None, (self.term(node.this),))
        op = _COMPARISONS.get(type(node))
        if op is None:
            return Condition("other", text)
        left, right = self.term(node.this), self.term(node.expression)
        if left.kind == "value" and op in _TURNED:
            left, right, op = right, left, _TURNED[op]
        return Condition(op, text, left, (right,))


def _with_alias(term: Term, alias: str) -> Term:
    return replace(term, alias=alias)


def _inner(clause: exp.Expr | None) -> exp.Expr | None:
    return None if clause is None else clause.this


def _conjuncts(node: exp.Expr | None) -> list[exp.Expr]:
    while isinstance(node, exp.Paren):
        node = node.this
    if node is None:
        return []
    if isinstance(node, exp.And):
        return [*_conjuncts(node.this), *_conjuncts(node.expression)]
    return [node]


def _flat(node: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
    if type(node) is kind:
        return [*_flat(node.this, kind), *_flat(node.args["expression"], kind)]
    return [node]


def _from(select: exp.Select) -> list[exp.Expr]:
    first = select.args.get("from_")
    return [*([first.this] if first else []), *(join.this for join in select.args.get("joins") or [])]


def _count(clause: exp.Expr | None) -> int | None:
    if clause is None:
        return None
    value = clause.args.get("expression")
    return int(value.name) if isinstance(value, exp.Literal) and value.name.isdigit() else None


def _call_name(node: exp.Expr) -> str:
    if isinstance(node, (exp.Anonymous, exp.AnonymousAggFunc)):
        return str(node.name).lower()
    if isinstance(node, exp.Func):
        return node.sql_name().lower()
    return ""


def _argument(node: exp.Expr) -> exp.Expr | None:
    held = node.args.get("expressions") or [node.args.get("this")]
    return held[0] if held and isinstance(held[0], exp.Expr) else None


@cache
def _bucket_shapes(dialect: Dialect) -> dict[str, str]:
    """How a dialect writes periods of a date ``x``, with the name of the period."""
    found = {}
    for name, template in _TEMPLATES[dialect].items():
        unit = name.removeprefix("by_")
        if unit in BUCKETS:
            said = unit if name.startswith("by_") or unit == "year" else f"{unit} of year"
            said = {"day of year": "day of month", "weekday of year": "weekday", "hour of year": "hour"}.get(
                said, said
            )
            found[_written(template, dialect)] = said
    found[_written("STRFTIME('%Y', x)", dialect)] = "year"
    found[_written("STRFTIME('%m', x)", dialect)] = "month of year"
    found[_written("EXTRACT(YEAR FROM x)", dialect)] = "year"
    found[_written("CAST(x AS DATE)", dialect)] = "day"
    for unit in ("year", "quarter", "month", "week", "day"):
        found[_written(f"DATE_TRUNC('{unit}', x)", dialect)] = unit
    return found


def _written(expression: str, dialect: Dialect) -> str:
    return _folded(parse(scan(f"SELECT {expression}", dialect)).tree.expressions[0].sql(dialect=dialect))


def _folded(sql: str) -> str:
    """Lower case but for what stands in quotes: %M is no %m."""
    return re.sub(r"'[^']*'|[^']+", lambda m: m[0] if m[0].startswith("'") else m[0].lower(), sql)
