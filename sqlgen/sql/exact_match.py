"""Exact set match and hardness, as defined for Spider (Yu et al. 2018).

A query is cut into its clauses; two queries match when every clause holds the same set of parts.
Literal values do not count, nor does DISTINCT at the top, nor which side of a declared foreign key
a column is read from. Three corners of the published definition are easy to overlook:

* a query nested in a condition is compared part by part in its written order, DISTINCT and LIMIT
  included, without the foreign-key rule;
* a query nested in FROM also has to have the same literals;
* at the top only the presence of LIMIT counts, and ORDER BY has one direction, the last one written.

What Spider's grammar leaves out (outer joins, CTEs, functions, windows) is compared as written,
with names resolved and in lower case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlgen.types import Catalog, Dialect

__all__ = ["ClauseSets", "Hardness", "clause_sets", "exact_set_match", "hardness"]

Hardness = Literal["easy", "medium", "hard", "extra"]


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """A column, possibly under an aggregate: ``count(DISTINCT singer.name)``."""

    aggregate: str
    column: str
    distinct: bool | None = False


@dataclass(frozen=True, slots=True)
class ValueUse:
    """One column, or two joined by an arithmetic operator."""

    operator: str
    left: ColumnUse
    right: ColumnUse | None = None


@dataclass(frozen=True, slots=True)
class SelectItem:
    """One entry of the select list, its outermost aggregate apart."""

    aggregate: str
    value: ValueUse


@dataclass(frozen=True, slots=True)
class Condition:
    """``value [NOT] operator operand [AND operand]``; an operand is a literal's text or a query."""

    negated: bool
    operator: str
    value: ValueUse
    operands: tuple[str | ClauseSets | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions in written order and the words between them."""

    items: tuple[Condition, ...] = ()
    connectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClauseSets:
    """A query cut into clauses. ``then`` is what a set operation appends: its word and the rest."""

    select: tuple[SelectItem, ...] = ()
    distinct: bool | None = False
    tables: tuple[str | ClauseSets, ...] = ()
    on: Conditions = Conditions()
    where: Conditions = Conditions()
    group_by: tuple[ColumnUse, ...] = ()
    having: Conditions = Conditions()
    order_by: tuple[ValueUse, ...] = ()
    direction: str = ""
    limit: str | None = None
    then: tuple[str, ClauseSets] | None = None
    ctes: tuple[tuple[str, ClauseSets], ...] = ()

    def conditions(self) -> tuple[Condition, ...]:
        """Every condition outside of nested queries: ON, WHERE, HAVING."""
        return self.on.items + self.where.items + self.having.items

    def connectors(self) -> tuple[str, ...]:
        """Every AND and OR between those conditions."""
        return self.on.connectors + self.where.connectors + self.having.connectors


class _Names:
    """What the tables and columns of one SELECT are called, in lower case."""

    def __init__(self, select: exp.Expr, columns: Mapping[str, tuple[str, ...]]) -> None:
        self.columns = columns
        self.tables: list[tuple[str, str]] = []  # alias, table
        self.aliases: dict[str, exp.Expr] = {}
        sources = [select.args.get("from_"), *(select.args.get("joins") or ())]
        for source in sources:
            table = source.this if source is not None else None
            if isinstance(table, exp.Table):
                self.tables.append((table.alias_or_name.lower(), _table_name(table)))
            elif table is not None:
                self.tables.append((table.alias_or_name.lower(), table.alias_or_name.lower()))
        for item in select.expressions:
            if isinstance(item, exp.Alias):
                self.aliases[item.alias.lower()] = item.this

    def resolve(self, column: exp.Column) -> str:
        name, owner = column.name.lower(), column.table.lower()
        if owner:
            table = next((t for alias, t in self.tables if alias == owner), owner)
        else:
            table = next((t for _, t in self.tables if name in self.columns.get(t, ())), "")
        return f"{table}.{name}" if table else name


def _table_name(table: exp.Table) -> str:
    return f"{table.db}.{table.name}".lower() if table.db else table.name.lower()


def _unwrap(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren | exp.Alias):
        node = node.this
    return node


_ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.Is: "is",
    exp.Like: "like",
    exp.ILike: "like",
}


class _Cutter:
    """Turns a tree into clause sets, for one catalog and dialect."""

    def __init__(self, columns: Mapping[str, tuple[str, ...]], dialect: Dialect) -> None:
        self.columns = columns
        self.dialect = dialect

    def query(self, node: exp.Expr) -> ClauseSets:
        if isinstance(node, exp.Subquery | exp.Paren) and not node.args.get("joins"):
            inner = self.query(node.this)
            return self._tail(inner, node)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node)
        if isinstance(node, exp.Select):
            return self._select(node)
        return ClauseSets(select=(SelectItem("", ValueUse("", ColumnUse("", self._text(node, None)))),))

    def _tail(self, query: ClauseSets, node: exp.Expr) -> ClauseSets:
        """ORDER BY and LIMIT written after parentheses belong to the last SELECT inside."""
        if node.args.get("order") is None and node.args.get("limit") is None:
            return query
        if query.then is not None:
            word, rest = query.then
            return replace(query, then=(word, self._tail(rest, node)))
        names = _Names(exp.Select(), self.columns)
        order, direction = self._order(node, names)
        limit = self._limit(node)
        return replace(
            query,
            order_by=order or query.order_by,
            direction=direction or query.direction,
            limit=limit or query.limit,
        )

    def _set_operation(self, node: exp.SetOperation) -> ClauseSets:
        # A op B op C is written left to right; as clauses it reads A op (B op C).
        chain: list[tuple[str, exp.Expr]] = []
        left: exp.Expr = node
        outer: list[exp.SetOperation] = []
        while isinstance(left, exp.SetOperation):
            word = left.key + ("" if left.args.get("distinct") else " all")
            chain.append((word, left.expression))
            outer.append(left)
            left = left.this
        first = self.query(left)
        rest: tuple[str, ClauseSets] | None = None
        for position, (word, right) in enumerate(chain):
            part = self.query(right)
            if position == 0:
                names = _Names(_last_select(right), self.columns)
                order, direction = self._order(node, names)
                if order:
                    part = replace(part, order_by=order, direction=direction)
                part = replace(part, limit=self._limit(node) or part.limit)
            if rest is not None:
                part = replace(part, then=rest)
            rest = (word, part)
        return replace(first, then=rest, ctes=self._ctes(node) + first.ctes)

    def _ctes(self, node: exp.Expr) -> tuple[tuple[str, ClauseSets], ...]:
        with_ = node.args.get("with_")
        if with_ is None:
            return ()
        return tuple((cte.alias.lower(), self.query(cte.this)) for cte in with_.expressions)

    def _select(self, node: exp.Select) -> ClauseSets:
        names = _Names(node, self.columns)
        tables: list[str | ClauseSets] = []
        on = Conditions()
        from_ = node.args.get("from_")
        if from_ is not None:
            tables.append(self._table(from_.this))
        for join in node.args.get("joins") or ():
            table = self._table(join.this)
            side = " ".join(filter(None, (join.method, join.side))).lower()
            tables.append(f"{side} {table}" if side and isinstance(table, str) else table)
            condition = join.args.get("on")
            if condition is not None:
                more = self._conditions(condition, names)
                on = _both(on, more)
            for column in join.args.get("using") or ():
                use = ValueUse("", ColumnUse("", names.resolve(exp.column(column.name))))
                on = _both(on, Conditions((Condition(False, "=", use, (column.name.lower(),)),)))
        where, group, having = node.args.get("where"), node.args.get("group"), node.args.get("having")
        order, direction = self._order(node, names)
        return ClauseSets(
            select=tuple(self._item(item, names) for item in node.expressions),
            distinct=node.args.get("distinct") is not None,
            tables=tuple(tables),
            on=on,
            where=self._conditions(where.this, names) if where is not None else Conditions(),
            group_by=tuple(self._column(e, names) for e in group.expressions) if group is not None else (),
            having=self._conditions(having.this, names) if having is not None else Conditions(),
            order_by=order,
            direction=direction,
            limit=self._limit(node),
            ctes=self._ctes(node),
        )

    def _table(self, node: exp.Expr) -> str | ClauseSets:
        if isinstance(node, exp.Table):
            return _table_name(node) if node.name else self._text(node, None)
        if isinstance(node, exp.Subquery):
            return self.query(node.this)
        return self._text(node, None)

    def _order(self, node: exp.Expr, names: _Names) -> tuple[tuple[ValueUse, ...], str]:
        order = node.args.get("order")
        if order is None:
            return (), ""
        written = [e.args.get("desc") for e in order.expressions if e.args.get("desc") is not None]
        direction = "desc" if written and written[-1] else "asc"
        return tuple(self._value(e.this, names) for e in order.expressions), direction

    def _limit(self, node: exp.Expr) -> str | None:
        limit = node.args.get("limit")
        if limit is None:
            return None
        text = cast(str, (limit.args.get("expression") or limit.args.get("count") or limit).sql(self.dialect))
        offset = node.args.get("offset")
        return text if offset is None else f"{text} offset {offset.expression.sql(self.dialect)}"

    def _item(self, node: exp.Expr, names: _Names) -> SelectItem:
        node = _unwrap(node)
        if isinstance(node, exp.AggFunc) and len(_arguments(node)) == 1:
            argument, distinct = _argument(node)
            value = self._value(argument, names)
            if distinct:
                value = replace(value, left=replace(value.left, distinct=True))
            return SelectItem(node.key, value)
        return SelectItem("", self._value(node, names))

    def _value(self, node: exp.Expr, names: _Names) -> ValueUse:
        node = _unwrap(self._alias(_unwrap(node), names))
        operator = _ARITHMETIC.get(type(node))
        if operator is not None:
            return ValueUse(operator, self._column(node.this, names), self._column(node.expression, names))
        return ValueUse("", self._column(node, names))

    def _column(self, node: exp.Expr, names: _Names) -> ColumnUse:
        node = _unwrap(self._alias(_unwrap(node), names))
        if isinstance(node, exp.AggFunc) and len(_arguments(node)) == 1:
            argument, distinct = _argument(node)
            return ColumnUse(node.key, self._name(_unwrap(argument), names), distinct)
        return ColumnUse("", self._name(node, names))

    def _alias(self, node: exp.Expr, names: _Names) -> exp.Expr:
        """What a bare name stands for when no table has it and the select list does."""
        if isinstance(node, exp.Column) and not node.table and "." not in names.resolve(node):
            return names.aliases.get(node.name.lower(), node)
        return node

    def _name(self, node: exp.Expr, names: _Names) -> str:
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            return "*"
        if isinstance(node, exp.Column):
            return names.resolve(node)
        return self._text(node, names)

    def _text(self, node: exp.Expr, names: _Names | None) -> str:
        def plain(part: exp.Expr) -> exp.Expr:
            if names is not None and isinstance(part, exp.Column) and not isinstance(part.this, exp.Star):
                return exp.Var(this=names.resolve(part))
            return part

        return node.copy().transform(plain).sql(self.dialect, normalize=True, comments=False)

    def _conditions(self, node: exp.Expr, names: _Names) -> Conditions:
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.And | exp.Or):
            left = self._conditions(node.this, names)
            right = self._conditions(node.expression, names)
            word = "and" if isinstance(node, exp.And) else "or"
            return Conditions(left.items + right.items, (*left.connectors, word, *right.connectors))
        return Conditions((self._condition(node, names),))

    def _condition(self, node: exp.Expr, names: _Names) -> Condition:
        negated = False
        while isinstance(node, exp.Not | exp.Paren):
            negated ^= isinstance(node, exp.Not)
            node = node.this
        negated ^= bool(node.args.get("negate"))
        operator = _COMPARISONS.get(type(node))
        if operator is not None:
            operand = self._operand(node.expression, names)
            return Condition(negated, operator, self._value(node.this, names), (operand,))
        if isinstance(node, exp.Between):
            operands = (self._operand(node.args["low"], names), self._operand(node.args["high"], names))
            return Condition(negated, "between", self._value(node.this, names), operands)
        if isinstance(node, exp.In):
            query = node.args.get("query")
            if query is not None:
                operand = self._operand(query, names)
            else:
                operand = ", ".join(sorted(self._text(e, names) for e in node.expressions))
            return Condition(negated, "in", self._value(node.this, names), (operand,))
        if isinstance(node, exp.Exists):
            everything = ValueUse("", ColumnUse("", "*"))
            return Condition(negated, "exists", everything, (self.query(node.this),))
        return Condition(negated, "", ValueUse("", ColumnUse("", self._text(node, names))))

    def _operand(self, node: exp.Expr, names: _Names) -> str | ClauseSets:
        node = _unwrap(node)
        if isinstance(node, exp.All | exp.Any):
            node = _unwrap(node.this)
        if isinstance(node, exp.Query):
            return self.query(node)
        if isinstance(node, exp.Column) and node.this.args.get("quoted") and "." not in names.resolve(node):
            # SQLite reads a quoted name that no column has as a text.
            node = exp.Literal.string(node.name)
        return self._text(node, names)


def _both(one: Conditions, other: Conditions) -> Conditions:
    if not one.items:
        return other
    return Conditions(one.items + other.items, (*one.connectors, "and", *other.connectors))


def _last_select(node: exp.Expr) -> exp.Expr:
    while not isinstance(node, exp.Select):
        inner = node.expression if isinstance(node, exp.SetOperation) else node.args.get("this")
        if not isinstance(inner, exp.Expr):
            return exp.Select()
        node = inner
    return node


def _arguments(node: exp.AggFunc) -> list[exp.Expr]:
    if isinstance(node.this, exp.Distinct):
        return list(node.this.expressions)
    rest = [v for k, v in node.args.items() if k != "this" and isinstance(v, exp.Expr)]
    more = [e for e in node.expressions if isinstance(e, exp.Expr)]
    return ([node.this] if isinstance(node.this, exp.Expr) else []) + rest + more


def _argument(node: exp.AggFunc) -> tuple[exp.Expr, bool]:
    if isinstance(node.this, exp.Distinct):
        return node.this.expressions[0], True
    return node.this, False


def clause_sets(sql: str, catalog: Catalog, dialect: Dialect) -> ClauseSets | None:
    """``sql`` cut into its clauses, names resolved against ``catalog``; None when it does not parse."""
    return _clause_sets(sql, _columns_of(catalog), dialect)


class _ColumnNames(dict[str, tuple[str, ...]]):
    """Columns of every table, hashable by identity so that a cache can hold it."""

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other


@lru_cache(maxsize=4096)
def _clause_sets(sql: str, columns: _ColumnNames, dialect: Dialect) -> ClauseSets | None:
    try:
        return _Cutter(columns, dialect).query(sqlglot.parse_one(sql, dialect=dialect))
    except (SqlglotError, RecursionError):
        return None


@lru_cache(maxsize=256)
def _columns_of(catalog: Catalog) -> _ColumnNames:
    names = _ColumnNames()
    for table in catalog.tables:
        columns = tuple(column.name.lower() for column in table.columns)
        names[table.key.lower()] = columns
        names.setdefault(table.name.lower(), columns)
    return names


@lru_cache(maxsize=256)
def _same_columns(catalog: Catalog) -> dict[str, str]:
    """Every column of a declared foreign key to one representative of all that it equals."""
    names = {table.key: table.name.lower() for table in catalog.tables}
    groups: list[set[str]] = []
    for table in catalog.tables:
        for key in table.foreign_keys:
            if key.inferred:
                continue
            target = names.get(key.target, key.target.lower())
            for column, target_column in zip(key.columns, key.target_columns, strict=False):
                pair = {f"{table.name.lower()}.{column.lower()}", f"{target}.{target_column.lower()}"}
                group = next((g for g in groups if g & pair), None)
                if group is None:
                    groups.append(pair)
                else:
                    group |= pair
    return {member: min(group) for group in groups for member in group}


def _without_values(query: ClauseSets) -> ClauseSets:
    """Literals dropped from every condition, also inside queries that conditions nest."""

    def strip(conditions: Conditions) -> Conditions:
        items = tuple(
            replace(
                item,
                operands=tuple(
                    _without_values(o) if isinstance(o, ClauseSets) else None for o in item.operands
                ),
            )
            for item in conditions.items
        )
        return replace(conditions, items=items)

    then = (query.then[0], _without_values(query.then[1])) if query.then is not None else None
    return replace(query, on=strip(query.on), where=strip(query.where), having=strip(query.having), then=then)


def _with_one_name(query: ClauseSets, same: Mapping[str, str], tables: frozenset[str]) -> ClauseSets:
    """Foreign-key columns renamed to their representative and DISTINCT dropped, outside of nested queries."""

    def column(use: ColumnUse) -> ColumnUse:
        name = use.column
        if name in same and name.rpartition(".")[0] in tables:
            name = same[name]
        return ColumnUse(use.aggregate, name, None)

    def value(use: ValueUse) -> ValueUse:
        return ValueUse(use.operator, column(use.left), None if use.right is None else column(use.right))

    def conditions(group: Conditions) -> Conditions:
        return replace(group, items=tuple(replace(i, value=value(i.value)) for i in group.items))

    return replace(
        query,
        select=tuple(SelectItem(item.aggregate, value(item.value)) for item in query.select),
        distinct=None,
        on=conditions(query.on),
        where=conditions(query.where),
        group_by=tuple(column(use) for use in query.group_by),
        having=conditions(query.having),
        order_by=tuple(value(use) for use in query.order_by),
        then=None if query.then is None else (query.then[0], _with_one_name(query.then[1], same, tables)),
    )


def _keywords(query: ClauseSets) -> frozenset[str]:
    present = {
        "where": query.where.items,
        "group": query.group_by,
        "having": query.having.items,
        "order": query.order_by,
        "limit": query.limit is not None,
        "or": "or" in query.connectors(),
        "not": any(c.negated for c in query.conditions()),
        "in": any(c.operator == "in" for c in query.conditions()),
        "like": any(c.operator == "like" for c in query.conditions()),
    }
    words = {word for word, there in present.items() if there}
    return frozenset(words | ({query.direction} if query.order_by else set()))


def _same_set(one: Iterable[object], other: Iterable[object]) -> bool:
    return Counter(one) == Counter(other)


def _matches(gold: ClauseSets, predicted: ClauseSets) -> bool:
    if (gold.then is None) != (predicted.then is None) or gold.ctes != predicted.ctes:
        return False
    if gold.then is not None and predicted.then is not None:
        same_word = gold.then[0] == predicted.then[0]
        if not same_word or not _matches(gold.then[1], predicted.then[1]):
            return False

    def bare(uses: Iterable[ColumnUse]) -> list[str]:
        return [use.column.rpartition(".")[2] for use in uses]

    ordered = gold.order_by == predicted.order_by and gold.direction == predicted.direction
    return (
        _same_set(gold.select, predicted.select)
        and _same_set(gold.where.items, predicted.where.items)
        and set(gold.where.connectors) == set(predicted.where.connectors)
        and _same_set(bare(gold.group_by), bare(predicted.group_by))
        and (
            not gold.group_by
            or (
                [use.column for use in gold.group_by] == [use.column for use in predicted.group_by]
                and gold.having == predicted.having
            )
        )
        and ordered
        and _keywords(gold) == _keywords(predicted)
        and _same_set(gold.tables, predicted.tables)
    )


def exact_set_match(gold: str, predicted: str, catalog: Catalog, dialect: Dialect) -> bool:
    """Whether both queries have the same clauses, as sets; False when either does not parse.

    >>> from sqlgen.types import Column, Table
    >>> singer = Table("singer", (Column("name", "TEXT", "text"), Column("age", "INT", "number")))
    >>> catalog = Catalog("sqlite", (singer,))
    >>> exact_set_match("SELECT name, age FROM singer", "SELECT age, name FROM singer", catalog, "sqlite")
    True
    >>> exact_set_match("SELECT name FROM singer", "SELECT age FROM singer", catalog, "sqlite")
    False
    """
    parts = [clause_sets(sql, catalog, dialect) for sql in (gold, predicted)]
    same = _same_columns(catalog)
    forms: list[ClauseSets] = []
    for part in parts:
        if part is None:
            return False
        tables = frozenset(table for table in part.tables if isinstance(table, str))
        forms.append(_with_one_name(_without_values(part), same, tables))
    return _matches(forms[0], forms[1])


def hardness(sql: str, catalog: Catalog, dialect: Dialect) -> Hardness | None:
    """How hard Spider's published rule calls ``sql``; None when it does not parse.

    >>> hardness("SELECT count(*) FROM singer", Catalog("sqlite", ()), "sqlite")
    'easy'
    >>> hardness("SELECT a, b FROM t WHERE c > 1 ORDER BY a LIMIT 1", Catalog("sqlite", ()), "sqlite")
    'hard'
    """
    query = clause_sets(sql, catalog, dialect)
    if query is None:
        return None
    clauses, nested, extras = _clause_count(query), _nested_count(query), _extra_count(query)
    if clauses <= 1 and not extras and not nested:
        return "easy"
    if not nested and ((extras <= 2 and clauses <= 1) or (clauses <= 2 and extras < 2)):
        return "medium"
    if (
        (extras > 2 and clauses <= 2 and not nested)
        or (2 < clauses <= 3 and extras <= 2 and not nested)
        or (clauses <= 1 and not extras and nested <= 1)
    ):
        return "hard"
    return "extra"


def _clause_count(query: ClauseSets) -> int:
    """WHERE, GROUP BY, ORDER BY, LIMIT, each JOIN, each OR, each LIKE."""
    present = (query.where.items, query.group_by, query.order_by, query.limit is not None)
    return (
        sum(1 for clause in present if clause)
        + max(len(query.tables) - 1, 0)
        + query.connectors().count("or")
        + sum(1 for condition in query.conditions() if condition.operator == "like")
    )


def _nested_count(query: ClauseSets) -> int:
    """Queries inside conditions, and the one behind a set operation."""
    operands = (operand for condition in query.conditions() for operand in condition.operands)
    inside = sum(1 for operand in operands if isinstance(operand, ClauseSets))
    return inside + (query.then is not None) + len(query.ctes)


def _extra_count(query: ClauseSets) -> int:
    """Of more than one aggregate, select column, condition and grouping column: how many there are.

    The published count of aggregates also takes every NOT of WHERE and HAVING and every connector
    of HAVING for one.
    """
    ordered = [use for value in query.order_by for use in (value.left, value.right) if use is not None]
    aggregates = (
        sum(1 for item in query.select if item.aggregate or item.value.left.aggregate)
        + sum(1 for use in (*query.group_by, *ordered) if use.aggregate)
        + sum(1 for condition in (*query.where.items, *query.having.items) if condition.negated)
        + len(query.having.connectors)
    )
    return sum(
        count > 1 for count in (aggregates, len(query.select), len(query.where.items), len(query.group_by))
    )
