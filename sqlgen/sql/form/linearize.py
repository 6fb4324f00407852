"""SQL to form: what training material and logged queries go through."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import ClassVar, cast

from sqlglot import exp

from sqlgen.sql.form.idioms import date_part, days_between, is_today, years_between
from sqlgen.sql.form.joins import Place, connect_twice, foreign_keys
from sqlgen.sql.form.outer import without_conditions
from sqlgen.sql.form.words import NUMBERS, FormToken, Inexpressible, number_said
from sqlgen.sql.periods import parse_between, parse_period
from sqlgen.types import Column, RetrievedContext

__all__ = ["tree_to_form"]

_AGGREGATE_NODES: dict[type[exp.Expr], str] = {
    exp.Count: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
}
_COMPARE_NODES: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.GT: ">",
    exp.LTE: "<=",
    exp.GTE: ">=",
}
_FLIPPED = {"=": "=", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_NEGATED = {"=": "!=", "!=": "=", "<": ">=", ">": "<=", "<=": ">", ">=": "<"}
_ARITHMETIC_NODES: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_RANK_NODES: dict[type[exp.Expr], str] = {
    exp.RowNumber: "row_number",
    exp.Rank: "rank",
    exp.DenseRank: "dense_rank",
}
_UNARY_NODES: dict[type[exp.Expr], str] = {
    exp.Lower: "lower",
    exp.Upper: "upper",
    exp.Length: "length",
    exp.Abs: "abs",
}
_NUMERIC_TYPES = ("INT", "BIGINT", "SMALLINT", "DOUBLE", "FLOAT", "DECIMAL", "REAL")


def tree_to_form(
    tree: exp.Expr, context: RetrievedContext, question: str, *, today: date | None = None
) -> list[FormToken]:
    """The form of a query over ``context`` as an answer to ``question``, asked on ``today``.

    Without ``today`` a period such as "last month" is not looked for.
    Raises Inexpressible, naming the construct, where the form has no way to say it.

    >>> import sqlglot
    >>> from sqlgen.types import Column, Table, TableSlice
    >>> pets = Table("pets", (Column("name", "TEXT", "text"), Column("age", "INT", "number")))
    >>> context = RetrievedContext((TableSlice(pets, 1.0, ""),))
    >>> tree_to_form(sqlglot.parse_one("SELECT name FROM pets WHERE age > 30"), context, "older than 30")
    ['select', ('c', 0, 0), 'where', ('c', 0, 1), '>', ('q', 11, 13)]
    """
    return _Linearizer(context, question, today or _NEVER).query(tree, None)


@dataclass(slots=True)
class _End:
    """A column of one instance of a table in scope."""

    table: int
    column: int
    second: bool


@dataclass(slots=True)
class _Scope:
    parent: _Scope | None
    aliases: dict[str, tuple[int, bool]] = field(default_factory=dict)
    tables: list[int] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    used_seconds: list[int] = field(default_factory=list)
    select: dict[str, exp.Expr] = field(default_factory=dict)
    derived: str = ""
    items: dict[str, int] = field(default_factory=dict)
    sources: list[Place | None] = field(default_factory=list)
    preserved: int | None = None


_Edge = tuple[_End, _End]


class _Linearizer:
    def __init__(self, context: RetrievedContext, question: str, today: date) -> None:
        self.context = context
        self.today = today
        self.question = question
        self.lowered = question.lower()
        self.tables = {s.table.name.lower(): i for i, s in enumerate(context.tables)}
        self.columns = [{c.name.lower(): j for j, c in enumerate(s.table.columns)} for s in context.tables]
        self.ctes: dict[str, exp.Expr] = {}

    # -- queries ---------------------------------------------------------------------------------

    def query(self, node: exp.Expr, parent: _Scope | None) -> list[FormToken]:
        while isinstance(node, exp.Subquery) and not node.args.get("alias"):
            node = node.this
        if with_ := node.args.get("with_"):
            if with_.args.get("recursive"):
                raise Inexpressible("recursive WITH")
            self.ctes = self.ctes | {c.alias.lower(): c.this for c in with_.expressions}
            for cte in with_.expressions:
                self.rename_items(cte)
        if isinstance(node, exp.SetOperation):
            return self.set_operation(node, parent)
        if not isinstance(node, exp.Select):
            raise Inexpressible(type(node).__name__)
        return self.core(without_conditions(node, self.column_names), parent)

    def column_names(self, table: exp.Table) -> dict[str, bool]:
        """Whether each column is the primary key, by name in lower case."""
        number = self.tables.get(table.name.lower())
        columns = () if number is None else self.context.tables[number].table.columns
        return {column.name.lower(): column.primary_key for column in columns}

    def rename_items(self, cte: exp.Expr) -> None:
        """WITH d(a, b) AS (SELECT x, y ...): the names outside are a and b."""
        alias = cte.args.get("alias")
        names = alias.columns if isinstance(alias, exp.TableAlias) else []
        query = cte.this
        while isinstance(query, exp.SetOperation):
            query = query.left
        if names and isinstance(query, exp.Select):
            query.set(
                "expressions",
                [
                    exp.alias_(item.unalias(), name.name)
                    for item, name in zip(query.expressions, names, strict=False)
                ],
            )

    def set_operation(self, node: exp.SetOperation, parent: _Scope | None) -> list[FormToken]:
        name = type(node).__name__.lower()
        if node.args.get("distinct") is False:
            if name != "union":
                raise Inexpressible("set operation with ALL")
            name = "union_all"
        right = node.right
        while isinstance(right, exp.Subquery) and not right.args.get("alias"):
            right = right.this
        if isinstance(right, exp.SetOperation) or right.args.get("order") or right.args.get("limit"):
            raise Inexpressible("nested set operation")
        left = node.left
        while isinstance(left, exp.Subquery) and not left.args.get("alias"):
            left = left.this
        if left.args.get("order") or left.args.get("limit"):
            raise Inexpressible("ORDER BY inside a set operation")
        first = left
        while isinstance(first, exp.SetOperation):
            first = first.left
        out = [*self.query(left, parent), name, *self.query(right, parent)]
        if order := node.args.get("order"):
            items = [item.unalias() for item in right.expressions]
            names = [item.alias_or_name.lower() for item in first.expressions]
            scope = self.scope_of(right, parent)
            out.append("order")
            for part in order.expressions:
                key = part.this
                if isinstance(key, exp.Literal) and key.is_int:
                    key = items[int(key.this) - 1]
                elif isinstance(key, exp.Column) and not key.table and key.name.lower() in names:
                    key = items[names.index(key.name.lower())]
                out += [*self.expr(key, scope), "desc" if part.args.get("desc") else "asc"]
        return [*out, *self.limits(node)]

    def limits(self, node: exp.Expr) -> list[FormToken]:
        out: list[FormToken] = []
        if limit := node.args.get("limit"):
            if not isinstance(limit, exp.Limit):
                raise Inexpressible("FETCH")
            out += ["limit", *self.count(limit.expression)]
        if offset := node.args.get("offset"):
            if not out:
                raise Inexpressible("OFFSET without LIMIT")
            out += ["offset", *self.count(offset.expression)]
        return out

    def count(self, node: exp.Expr) -> list[FormToken]:
        if not isinstance(node, exp.Literal):
            raise Inexpressible("LIMIT of an expression")
        return self.literal(node.name, None, is_number=True)

    def scope_of(self, node: exp.Expr, parent: _Scope | None) -> _Scope:
        """The scope of a SELECT, without looking at its conditions."""
        scope = _Scope(parent)
        source = node.args.get("from_")
        for join in [source, *(node.args.get("joins") or [])] if source else []:
            self.enter(join.this, scope)
        return scope

    def core(self, node: exp.Select, parent: _Scope | None) -> list[FormToken]:
        source = node.args.get("from_")
        if source is None:
            raise Inexpressible("no FROM")
        joins = node.args.get("joins") or []
        if source.this.args.get("joins"):
            raise Inexpressible("nested joins")
        scope = _Scope(parent)
        head: list[FormToken] = []
        for relation in [source.this, *(j.this for j in joins)]:
            if query := self.enter(relation, scope):
                head = ["with", "[", *self.query(query, parent), "]"]
                self.describe(query, scope)
        edges: list[_Edge] = []
        rest = self.join_conditions(source.this, joins, scope, edges)
        where = node.args.get("where")
        condition = where.this if where else None
        if condition is not None:
            condition = self.take_edges(condition, scope, edges)
        for projection in node.expressions:
            if projection.alias:
                scope.select[projection.alias.lower()] = projection.unalias()

        for unsupported in ("windows", "qualify", "laterals", "pivots", "match", "connect"):
            if node.args.get(unsupported):
                raise Inexpressible(unsupported)
        out: list[FormToken] = ["select"]
        if distinct := node.args.get("distinct"):
            if distinct.args.get("on"):
                raise Inexpressible("DISTINCT ON")
            out.append("distinct")
        for projection in node.expressions:
            out += self.item(projection, scope)
        tail: list[FormToken] = []
        if group := node.args.get("group"):
            if any(v for k, v in group.args.items() if k != "expressions"):
                raise Inexpressible("grouping sets")
            tail.append("group")
            for part in group.expressions:
                tail += self.expr(self.target(part, scope, node), scope)
        if having := node.args.get("having"):
            tail += ["having", *self.condition(self.unaliased(having.this, scope), scope)]
        if order := node.args.get("order"):
            tail.append("order")
            for part in order.expressions:
                tail += self.expr(self.target(part.this, scope, node), scope)
                tail.append("desc" if part.args.get("desc") else "asc")
        tail += self.limits(node)
        predicates: list[FormToken] = []
        if condition is not None:
            predicates = self.condition(condition, scope)
        for part in rest:
            predicates = self.both(predicates, self.condition(part, scope))
        sources, loose = self.sources(scope, edges)
        for a, b in loose:
            predicates = self.both(predicates, [*self.end(a), "=", *self.end(b)])
        return [*head, *out, *sources, *(["where", *predicates] if predicates else []), *tail]

    @staticmethod
    def both(first: list[FormToken], second: list[FormToken]) -> list[FormToken]:
        if not first:
            return second
        depth = 0
        for token in first:
            depth += token in ("(", "[") if isinstance(token, str) else 0
            depth -= token in (")", "]") if isinstance(token, str) else 0
            if token == "or" and depth == 0:
                first = ["(", *first, ")"]
                break
        return [*first, "and", *second]

    # -- FROM ------------------------------------------------------------------------------------

    def enter(self, relation: exp.Expr, scope: _Scope) -> exp.Expr | None:
        """Add a relation to the scope; the query of a derived table or CTE is returned."""
        if isinstance(relation, exp.Subquery):
            if scope.derived:
                raise Inexpressible("two derived tables")
            scope.derived = relation.alias.lower() or "derived"
            return cast("exp.Expr", relation.this)
        if not isinstance(relation, exp.Table):
            raise Inexpressible("derived table")
        name = relation.name.lower()
        if name in self.ctes:
            alias = (relation.alias or relation.name).lower()
            outer = scope.parent
            while outer is not None:
                if outer.derived == name:
                    scope.derived, scope.items, scope.sources = alias, outer.items, outer.sources
                    return None
                outer = outer.parent
            if scope.derived:
                raise Inexpressible("two derived tables")
            scope.derived = alias
            if alias != name:
                self.ctes.setdefault(alias, self.ctes[name])
            return self.ctes[name]
        table = self.tables.get(name)
        if table is None:
            raise Inexpressible(f"unknown table {relation.name}")
        alias = (relation.alias or relation.name).lower()
        second = table in scope.tables
        if second:
            if table in scope.seconds:
                raise Inexpressible("a table three times")
            scope.seconds.append(table)
        else:
            scope.tables.append(table)
            scope.aliases.setdefault(name, (table, False))
        scope.aliases[alias] = (table, second)
        return None

    def describe(self, query: exp.Expr, scope: _Scope) -> None:
        """Which names the items of a derived table have outside."""
        while isinstance(query, exp.SetOperation | exp.Subquery):
            query = query.left if isinstance(query, exp.SetOperation) else query.this
        inner = self.scope_of(query, None)
        for number, item in enumerate(query.expressions, 1):
            if item.is_star:
                raise Inexpressible("a star in a derived table")
            scope.items.setdefault(item.alias_or_name.lower(), number)
            bare = item.unalias()
            try:
                end = self.resolve(bare, inner) if isinstance(bare, exp.Column) else None
            except Inexpressible:
                end = None
            scope.sources.append((end.table, end.column) if end else None)
        if len(query.expressions) > 8:
            raise Inexpressible("a derived table with more than eight columns")

    def join_conditions(
        self, first: exp.Expr, joins: Sequence[exp.Join], scope: _Scope, edges: list[_Edge]
    ) -> list[exp.Expr]:
        """Collect the equalities of ON; what else it says is returned."""
        rest: list[exp.Expr] = []
        sides = {join.side for join in joins} - {""}
        if sides and sides != {"LEFT"}:
            raise Inexpressible("outer join")
        if sides:
            if scope.seconds or scope.derived or not isinstance(first, exp.Table):
                raise Inexpressible("outer self-join")
            scope.preserved = scope.tables[0]
        inner: list[_Edge] = []
        for join in joins:
            for name in join.args.get("using") or []:
                edges.append(self.using(name.name.lower(), scope))
            if join.method == "NATURAL":
                raise Inexpressible("natural join")
            condition = join.args.get("on")
            parts = (
                condition.flatten() if isinstance(condition, exp.And) else [condition] if condition else []
            )
            for part in parts:
                while isinstance(part, exp.Paren):
                    part = part.this
                if isinstance(part, exp.Boolean) and part.this:
                    continue
                if (edge := self.edge(part, scope)) is not None:
                    edges.append(edge)
                    if not join.side:
                        inner.append(edge)
                elif sides:
                    raise Inexpressible("outer join on a condition")
                elif not (isinstance(part, exp.EQ) and self.derived_edge(part, scope)):
                    rest.append(part)
        if sides and (kept := [join for join in joins if not join.side]):
            scope.preserved = self.kept_by_all([first, *(join.this for join in kept)], inner, scope)
        return rest

    def kept_by_all(self, relations: Sequence[exp.Expr], edges: Sequence[_Edge], scope: _Scope) -> int:
        """The one of the tables joined by INNER JOIN that has a single row of each of the others.

        Keeping all its rows keeps what the inner joins keep, as long as its keys are set.
        """
        tables = [scope.aliases[relation.alias_or_name.lower()][0] for relation in relations]
        parents = []
        for a, b in edges:
            keys = [e for e in (a, b) if self.context.tables[e.table].table.columns[e.column].primary_key]
            if len(keys) != 1 or not {a.table, b.table} <= set(tables):
                raise Inexpressible("inner and outer joins together")
            parents.append(keys[0].table)
        children = [table for table in tables if table not in parents]
        if len(children) != 1 or len(edges) != len(tables) - 1:
            raise Inexpressible("inner and outer joins together")
        return children[0]

    def using(self, name: str, scope: _Scope) -> _Edge:
        ends = [_End(t, self.columns[t][name], False) for t in scope.tables if name in self.columns[t]]
        if len(ends) < 2:
            raise Inexpressible("USING")
        return ends[0], ends[-1]

    def edge(self, part: exp.Expr, scope: _Scope) -> _Edge | None:
        if (
            isinstance(part, exp.EQ)
            and isinstance(part.left, exp.Column)
            and isinstance(part.right, exp.Column)
        ):
            try:
                a, b = self.resolve(part.left, scope), self.resolve(part.right, scope)
            except Inexpressible:
                return None
            if (a.table, a.second) != (b.table, b.second):
                return a, b
        return None

    def derived_edge(self, part: exp.EQ, scope: _Scope) -> bool:
        """Whether an equality is the one that joins the derived table to the others by itself."""
        if not scope.derived:
            return False
        for mine, theirs in ((part.left, part.right), (part.right, part.left)):
            if not (isinstance(mine, exp.Column) and isinstance(theirs, exp.Column)):
                return False
            number = self.derived_item(mine, scope)
            if number is None or self.derived_item(theirs, scope) is not None:
                continue
            end = self.resolve(theirs, scope)
            scope.used.append(end.table)
            source = scope.sources[number - 1] if number <= len(scope.sources) else None
            return source is not None and derived_join(scope.sources, [end.table], self.context) == (
                number,
                (end.table, end.column),
            )
        return False

    def derived_item(self, node: exp.Column, scope: _Scope) -> int | None:
        if not scope.derived or (node.table and node.table.lower() != scope.derived):
            return None
        if not node.table and any(node.name.lower() in self.columns[t] for t in scope.tables):
            return None
        return scope.items.get(node.name.lower())

    def take_edges(self, condition: exp.Expr, scope: _Scope, edges: list[_Edge]) -> exp.Expr | None:
        if len(edges) >= len(scope.tables) + len(scope.seconds) - 1:
            return condition
        kept: list[exp.Expr] = []
        for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            edge = self.edge(part, scope)
            if edge is not None:
                edges.append(edge)
            else:
                kept.append(part)
        return exp.and_(*kept, copy=True) if kept else None

    def sources(self, scope: _Scope, edges: list[_Edge]) -> tuple[list[FormToken], list[_Edge]]:
        """FROM as far as the columns don't imply it, and the equalities that it can't say."""
        keys = {
            frozenset(((owner, a), (target, b)))
            for owner, target, pairs, _ in foreign_keys(self.context)
            for a, b in pairs
        }
        plain = [
            (_place(a), _place(b)) for a, b in edges if not (a.second or b.second) and a.table != b.table
        ]
        strange = [pair for pair in plain if frozenset(pair) not in keys]
        tries: list[list[tuple[Place, Place]]] = [[], strange, plain]
        for number, on in enumerate(tries):
            try:
                return self.walk(scope, edges, on)
            except Inexpressible:
                if on == tries[-1] or number == len(tries) - 1:
                    raise
        raise AssertionError

    def walk(
        self, scope: _Scope, edges: list[_Edge], on: list[tuple[Place, Place]]
    ) -> tuple[list[FormToken], list[_Edge]]:
        """``sources`` with the equalities of ``on`` spelt out."""
        gold, used = set(scope.tables), list(dict.fromkeys(scope.used))
        named: list[int] = []
        rest = [t for t in scope.tables if t not in used]
        if scope.preserved is not None:
            named.append(scope.preserved)
            rest = [t for t in rest if t != scope.preserved]
        elif scope.seconds:
            used += [t for t in scope.seconds if t not in used]
            rest = [t for t in rest if t not in scope.seconds]
        said = {frozenset(pair) for pair in on}
        unsaid = [e for e in edges if frozenset((_place(e[0]), _place(e[1]))) not in said]
        via, other_via = self.double_keys(unsaid)
        seconds = list(dict.fromkeys(scope.seconds))
        if set(seconds) - set(scope.used_seconds):
            raise Inexpressible("an unused instance of a table")
        while True:
            tables = [*named[:1], *used, *named[1:]] if scope.preserved is not None else [*used, *named]
            steps = connect_twice(tables, seconds, self.context, via, other_via, on)
            reached = {s.table for s in steps}
            missing = [t for t in rest if t not in reached and t not in named]
            if reached == gold:
                break
            if missing:
                named.append(missing[0])
            elif reached - gold and (more := [t for t in rest if t not in named]):
                named.append(more[0])
            else:
                break
        spare = list(edges)
        for step in steps:
            if step.other is None:
                continue
            ends = [((step.table, a, step.second), (step.other, b, step.other_second)) for a, b in step.pairs]
            mine = [e for e in edges if any({_key(e[0]), _key(e[1])} == set(pair) for pair in ends)]
            theirs = [e for e in edges if {e[0].table, e[1].table} == {step.table, step.other}]
            # A query that forgets a join (or equates a column with itself) means the key.
            if len(mine) < len(ends) and (theirs or len(edges) >= len(steps) - 1):
                raise Inexpressible("a join that the query doesn't make")
            spare = [e for e in spare if e not in mine]
        if scope.preserved is not None and (spare or reached != gold):
            raise Inexpressible("outer join that no foreign key says")
        if reached != gold:
            raise Inexpressible("tables that the keys don't connect in this way")
        out: list[FormToken] = []
        for table in named:
            out += ["all", ("t", table)] if table == scope.preserved else [("t", table)]
        for place in via:
            out += ["via", ("c", *place)]
        for first, second in on:
            out += ["on", ("c", *first), ("c", *second)]
        for place in other_via:
            out += ["other", ("c", *place)]
        return (["from", *out] if out else []), spare

    def double_keys(self, edges: list[_Edge]) -> tuple[list[Place], list[Place]]:
        """The foreign key columns to name: where two keys lead to one table, or the instances say so."""
        keys = foreign_keys(self.context)
        via: list[Place] = []
        other: list[Place] = []
        for a, b in edges:
            if a.table == b.table:
                own = self.own_key(a, b)
                if own is None:
                    if a.column != b.column:
                        raise Inexpressible("self-join without a key")
                    other.append((a.table, a.column))
                elif own.second:
                    raise Inexpressible("the second instance is the child")
                else:
                    mine = [k for k in self.context.tables[a.table].table.foreign_keys
                            if k.target == self.context.tables[a.table].table.key]  # fmt: skip
                    if len(mine) > 1:
                        other.append((own.table, own.column))
                continue
            owners = [
                (owner, pairs) for owner, target, pairs, _ in keys if {owner, target} == {a.table, b.table}
            ]
            if len(owners) < 2 and not (a.second or b.second):
                continue
            end = next(
                (
                    e
                    for e in (a, b)
                    for owner, pairs in owners
                    if e.table == owner and e.column == pairs[0][0]
                ),
                None,
            )
            if end is None:
                continue
            if end.second:
                raise Inexpressible("the second instance owns the key")
            (other if a.second or b.second else via).append((end.table, end.column))
        return list(dict.fromkeys(via)), list(dict.fromkeys(other))

    def own_key(self, a: _End, b: _End) -> _End | None:
        """The end that is the foreign key, when the equality is a table's key to itself."""
        table = self.context.tables[a.table].table
        for key in table.foreign_keys:
            if key.target == table.key and len(key.columns) == 1:
                for child, parent in ((a, b), (b, a)):
                    if (
                        table.columns[child.column].name == key.columns[0]
                        and table.columns[parent.column].name == key.target_columns[0]
                    ):
                        return child
        return None

    def end(self, end: _End) -> list[FormToken]:
        return [*(["other"] if end.second else []), ("c", end.table, end.column)]

    # -- names -----------------------------------------------------------------------------------

    def target(self, node: exp.Expr, scope: _Scope, select: exp.Select) -> exp.Expr:
        """What a key of GROUP BY or ORDER BY means: an alias, a position, or itself."""
        if isinstance(node, exp.Literal) and node.is_int and 0 < int(node.this) <= len(select.expressions):
            return cast("exp.Expr", select.expressions[int(node.this) - 1].unalias())
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in scope.select:
            return scope.select[node.name.lower()]
        return self.unaliased(node, scope)

    def unaliased(self, node: exp.Expr, scope: _Scope) -> exp.Expr:
        """``node`` with the SELECT's aliases replaced by what they stand for."""
        names = [
            c for c in node.find_all(exp.Column)
            if not c.table and c.name.lower() in scope.select and not self.known(c, scope)
        ]  # fmt: skip
        if not names:
            return node
        if names[0] is node:
            return scope.select[node.name.lower()]
        copy = node.copy()
        for column in list(copy.find_all(exp.Column)):
            if not column.table and column.name.lower() in scope.select and not self.known(column, scope):
                column.replace(exp.Paren(this=scope.select[column.name.lower()].copy()))
        return copy

    def known(self, node: exp.Column, scope: _Scope) -> bool:
        return any(node.name.lower() in self.columns[t] for t in scope.tables)

    def resolve(self, node: exp.Column, scope: _Scope) -> _End:
        name = node.name.lower()
        if node.table:
            found = scope.aliases.get(node.table.lower())
            if found is None:
                raise Inexpressible("correlated column")
            if name not in self.columns[found[0]]:
                raise Inexpressible(f"unknown column {node.name}")
            return _End(found[0], self.columns[found[0]][name], found[1])
        for table in scope.tables:
            if name in self.columns[table]:
                return _End(table, self.columns[table][name], False)
        raise Inexpressible(f"unknown column {node.name}")

    def column(self, node: exp.Column, scope: _Scope, column: Column | None) -> list[FormToken]:
        number = self.derived_item(node, scope)
        if number is not None:
            return [f"#{number}"]
        try:
            end = self.resolve(node, scope)
        except Inexpressible:
            if not node.table and node.this.args.get("quoted") and '"' in node.sql():
                return self.literal(node.name, column)
            if scope.parent is None:
                raise
            if self.derived_item(node, scope.parent) is not None:
                raise Inexpressible("correlated item") from None
            end = self.resolve(node, scope.parent)
            if end.second:
                raise Inexpressible("correlated second instance") from None
            scope.parent.used.append(end.table)
            return ["outer", ("c", end.table, end.column)]
        (scope.used_seconds if end.second else scope.used).append(end.table)
        return self.end(end)

    # -- expressions -----------------------------------------------------------------------------

    def item(self, node: exp.Expr, scope: _Scope) -> list[FormToken]:
        node = node.unalias()
        if isinstance(node, exp.Star):
            if scope.derived:
                raise Inexpressible("star of a derived table")
            return ["*"]
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            found = scope.aliases.get(node.table.lower())
            if found is None or found[1]:
                raise Inexpressible("star of an unknown table")
            scope.used.append(found[0])
            return [("t", found[0])]
        return self.expr(node, scope)

    def expr(self, node: exp.Expr, scope: _Scope, column: Column | None = None) -> list[FormToken]:
        if isinstance(node, exp.Alias):
            node = node.this
        if isinstance(node, exp.Binary) and type(node) in _ARITHMETIC_NODES:
            if part := date_part(node):
                return [part[0], *self.argument(part[1], scope)]
            if span := self.days(node, scope):
                return span
            op = _ARITHMETIC_NODES[type(node)]
            return [*self.term(node.left, scope, op, False), op, *self.term(node.right, scope, op, True)]
        return self.prim(node, scope, column)

    def days(self, node: exp.Expr, scope: _Scope) -> list[FormToken] | None:
        ends = days_between(node)
        if ends is None:
            return None
        return ["days_between", *self.argument(ends[0], scope), *self.argument(ends[1], scope)]

    def term(self, node: exp.Expr, scope: _Scope, op: str, right: bool) -> list[FormToken]:
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Cast) and node.to.this.name in ("DOUBLE", "FLOAT", "DECIMAL", "REAL"):
            node = node.this
            while isinstance(node, exp.Paren):
                node = node.this
        if isinstance(node, exp.Nullif) and op == "/" and right:
            node = node.this
        if type(node) in _ARITHMETIC_NODES and (right or op in "*/"):
            return ["{", *self.expr(node, scope), "}"]
        return self.expr(node, scope)

    def prim(self, node: exp.Expr, scope: _Scope, column: Column | None = None) -> list[FormToken]:
        while isinstance(node, exp.Paren) and type(node.this) not in _ARITHMETIC_NODES:
            node = node.this
        if isinstance(node, exp.Paren):
            return ["{", *self.expr(node.this, scope), "}"]
        if isinstance(node, exp.Subquery | exp.Select | exp.SetOperation):
            return ["[", *self.query(node, scope), "]"]
        if type(node) in _AGGREGATE_NODES:
            return self.aggregate(node, scope)
        if isinstance(node, exp.Column):
            return self.column(node, scope, column)
        if isinstance(node, exp.Literal):
            return self.literal(node.this, column, is_number=not node.is_string)
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            return self.literal("-" + node.this.this, column)
        if isinstance(node, exp.Boolean):
            return ["1" if node.this else "0"]
        if isinstance(node, exp.Window):
            return self.window(node, scope)
        return self.function(node, scope)

    def function(self, node: exp.Expr, scope: _Scope) -> list[FormToken]:
        if part := date_part(node):
            word, inner = part
            return [word, *self.argument(inner, scope)]
        if is_today(node):
            return ["today"]
        if type(node) in _UNARY_NODES:
            return [_UNARY_NODES[type(node)], *self.argument(node.this, scope)]
        if isinstance(node, exp.Round):
            digits = node.args.get("decimals")
            return [
                "round",
                *self.argument(node.this, scope),
                *(self.literal(digits.name, None) if digits else ["0"]),
            ]
        if isinstance(node, exp.Cast):
            if ends := years_between(node):
                return ["years_between", *self.argument(ends[0], scope), *self.argument(ends[1], scope)]
            bare = self.argument(node.this, scope)
            name = node.to.this.name
            if (
                name in ("DATE", "TEXT", "VARCHAR", "DATETIME", "TIMESTAMP")
                or self.kind(node.this, scope) == "number"
            ):
                return bare
            if name in _NUMERIC_TYPES:
                numeric = bare[0] in ("year", "month", "day", "hour", "weekday", "quarter")
                return bare if numeric else ["to_number", *bare]
        if isinstance(node, exp.Coalesce) and len(node.expressions) == 1:
            return ["coalesce", *self.argument(node.this, scope), *self.argument(node.expressions[0], scope)]
        if isinstance(node, exp.If):
            return self.case([node], node.args.get("false"), scope)
        if isinstance(node, exp.Case):
            return self.case(self.branches(node), node.args.get("default"), scope)
        if isinstance(node, exp.Substring | exp.Left):
            start = node.args.get("start")
            length = node.args.get("length") if isinstance(node, exp.Substring) else node.expression
            if (start is None or start.name == "1") and length is not None:
                return ["left", *self.argument(node.this, scope), *self.literal(length.name, None)]
        if isinstance(node, exp.DPipe | exp.Concat):
            parts = list(node.flatten()) if isinstance(node, exp.DPipe) else node.expressions
            words = [p for p in parts if not (isinstance(p, exp.Literal) and not p.this.strip())]
            if len(words) > 1 and len(parts) == 2 * len(words) - 1:
                tail = self.argument(words[-1], scope)
                for word in reversed(words[:-1]):
                    tail = ["concat", *self.argument(word, scope), *tail]
                return tail
        raise Inexpressible(type(node).__name__)

    def branches(self, node: exp.Case) -> list[exp.If]:
        """The branches of a CASE; those of CASE x WHEN y get their condition spelt out."""
        if node.this is None:
            return list(node.args["ifs"])
        return [
            exp.If(this=exp.EQ(this=node.this.copy(), expression=b.this.copy()), true=b.args["true"].copy())
            for b in node.args["ifs"]
        ]

    def case(self, branches: Sequence[exp.Expr], default: exp.Expr | None, scope: _Scope) -> list[FormToken]:
        out: list[FormToken] = ["case"]
        for branch in branches:
            out += [
                "when",
                *self.condition(branch.this, scope),
                "then",
                *self.expr(branch.args["true"], scope),
            ]
        if default is not None and not isinstance(default, exp.Null):
            out += ["else", *self.expr(default, scope)]
        return [*out, "end"]

    def aggregate(self, node: exp.Expr, scope: _Scope) -> list[FormToken]:
        name, inner = _AGGREGATE_NODES[type(node)], node.this
        while isinstance(inner, exp.Paren):
            inner = inner.this
        if isinstance(inner, exp.Star):
            return [name, "*"]
        if node.args.get("expressions"):
            raise Inexpressible("aggregate of several arguments")
        distinct: list[FormToken] = []
        if isinstance(inner, exp.Distinct):
            if len(inner.expressions) != 1:
                raise Inexpressible("COUNT DISTINCT of several columns")
            distinct, inner = ["distinct"], inner.expressions[0]
        if isinstance(inner, exp.Literal) and name == "count" and not distinct:
            return ["count", "*"]
        if isinstance(inner, exp.Predicate | exp.Connector | exp.Not) and name == "sum":
            return ["count", "if", "(", *self.condition(inner, scope), ")", "*"]
        if (only := self.conditional(inner)) is not None:
            condition, value, default = only
            plain = isinstance(value, exp.Literal)
            zero = default is None or isinstance(default, exp.Null) or default.name == "0"
            # COUNT counts the zeros of ELSE 0 as well, AVG divides by them.
            if zero and (name == "sum" or default is None or isinstance(default, exp.Null)):
                test: list[FormToken] = ["if", "(", *self.condition(condition, scope), ")"]
                if plain and value.name == "1" and name in ("sum", "count") and not distinct:
                    return ["count", *test, "*"]
                if not plain:
                    return [name, *test, *distinct, *self.argument(value, scope)]
        return [name, *distinct, *self.argument(inner, scope)]

    def conditional(self, node: exp.Expr) -> tuple[exp.Expr, exp.Expr, exp.Expr | None] | None:
        """(condition, value, default) of a CASE with one branch or an IF."""
        if isinstance(node, exp.If):
            return node.this, node.args["true"], node.args.get("false")
        if isinstance(node, exp.Case) and len(branches := self.branches(node)) == 1:
            return branches[0].this, branches[0].args["true"], node.args.get("default")
        return None

    def window(self, node: exp.Window, scope: _Scope) -> list[FormToken]:
        inner = node.this
        if type(inner) in _RANK_NODES:
            head: list[FormToken] = [_RANK_NODES[type(inner)]]
        elif isinstance(inner, exp.Lag | exp.Lead):
            if inner.args.get("default") or (inner.args.get("offset") and inner.args["offset"].name != "1"):
                raise Inexpressible("LAG by more than one")
            head = [type(inner).__name__.lower(), *self.argument(inner.this, scope)]
        elif isinstance(inner, exp.Ntile):
            head = ["ntile", *self.literal(inner.this.name, None)]
        elif type(inner) in _AGGREGATE_NODES:
            head = self.aggregate(inner, scope)
        else:
            raise Inexpressible("window function")
        out: list[FormToken] = [*head, "over", "("]
        if parts := node.args.get("partition_by"):
            out.append("per")
            for part in parts:
                out += self.expr(self.unaliased(part, scope), scope)
        if order := node.args.get("order"):
            out.append("order")
            for part in order.expressions:
                out += [
                    *self.expr(self.unaliased(part.this, scope), scope),
                    "desc" if part.args.get("desc") else "asc",
                ]
        if spec := node.args.get("spec"):
            start, start_side, end = (spec.args.get(k) for k in ("start", "start_side", "end"))
            if (
                str(spec.args.get("kind")).upper() != "ROWS"
                or end not in (None, "CURRENT ROW")
                or start_side != "PRECEDING"
            ):
                raise Inexpressible("window frame")
            if start != "UNBOUNDED":
                out += ["rows", *self.literal(str(int(start.name) + 1), None)]
        return [*out, ")"]

    def argument(self, node: exp.Expr, scope: _Scope) -> list[FormToken]:
        while isinstance(node, exp.Paren):
            node = node.this
        if type(node) in _ARITHMETIC_NODES:
            if part := date_part(node):
                return [part[0], *self.argument(part[1], scope)]
            return self.days(node, scope) or ["{", *self.expr(node, scope), "}"]
        return self.prim(node, scope)

    def kind(self, node: exp.Expr, scope: _Scope) -> str | None:
        column = self.column_of(node, scope)
        if column is not None:
            return column.kind
        if type(node) in _AGGREGATE_NODES or type(node) in _ARITHMETIC_NODES:
            return "number"
        return None

    # -- conditions ------------------------------------------------------------------------------

    def condition(self, node: exp.Expr, scope: _Scope, negated: bool = False) -> list[FormToken]:
        if isinstance(node, exp.Paren):
            inner = node.this
            body = self.condition(inner, scope, negated)
            while isinstance(inner, exp.Paren):
                inner = inner.this
            return ["(", *body, ")"] if isinstance(inner, exp.And | exp.Or) and body[0] != "(" else body
        if isinstance(node, exp.Not):
            inner = node.this
            while isinstance(inner, exp.Paren):
                inner = inner.this
            body = self.condition(inner, scope, not negated)
            return (
                ["(", *body, ")"]
                if isinstance(inner, exp.And | exp.Or | exp.Between) and "or" in body
                else body
            )
        if isinstance(node, exp.And) and not negated and (merged := self.merged(node)) is not None:
            node = merged
        if isinstance(node, _Within):
            return [*self.expr(node.this, scope), *node.args["said"]]
        if isinstance(node, exp.And | exp.Or):
            word = "and" if isinstance(node, exp.And) != negated else "or"
            return [
                *self.part(node.left, scope, negated, word), word, *self.part(node.right, scope, negated, word)
            ]  # fmt: skip
        return self.predicate(node, scope, negated)

    def merged(self, node: exp.And) -> exp.Expr | None:
        """x >= start AND x < end as one comparison with the period that the question names."""
        parts = list(node.flatten())
        for i, low in enumerate(parts):
            if not (isinstance(low, exp.GTE) and isinstance(low.expression, exp.Literal)):
                continue
            for j, high in enumerate(parts):
                if not (isinstance(high, exp.LT | exp.LTE) and isinstance(high.expression, exp.Literal)):
                    continue
                start, end = _day(low.expression.name), _day(high.expression.name)
                if start is None or end is None or low.this != high.this:
                    continue
                end = end if isinstance(high, exp.LT) else end + timedelta(days=1)
                if said := self.said_as_time(start, end):
                    within = _Within(this=low.this.copy(), said=said)
                    rest = [p for k, p in enumerate(parts) if k not in (i, j)]
                    found: exp.Expr = within
                    for other in rest:
                        found = exp.And(this=found, expression=other.copy())
                    return found
        return None

    def said_as_time(self, start: date, end: date) -> list[FormToken] | None:
        """The comparison with what the question calls the days from ``start`` up to ``end``."""
        if span := self.periods.get((start, end)):
            return ["=", span]
        if both := self.stretches.get((start, end)):
            return ["between", *both]
        return None

    @cached_property
    def periods(self) -> dict[tuple[date, date], FormToken]:
        """The periods that the question names, by their half-open range."""
        found: dict[tuple[date, date], FormToken] = {}
        words = [(m.start(), m.end()) for m in re.finditer(r"[\w/-]+", self.question)]
        for i, (start, _) in enumerate(words):
            for _, end in words[i : i + 6]:
                period = parse_period(self.question[start:end], self.today)
                if period:
                    found.setdefault(period, ("q", start, end))
        return found

    @cached_property
    def stretches(self) -> dict[tuple[date, date], tuple[FormToken, FormToken]]:
        """What lies between two periods of the question, by its half-open range: June to August 2024."""
        found: dict[tuple[date, date], tuple[FormToken, FormToken]] = {}
        words = [(m.start(), m.end()) for m in re.finditer(r"[\w/-]+", self.question)]
        for k, (start, end) in enumerate(words):
            if self.lowered[start:end] not in ("to", "and", "through", "until", "till"):
                continue
            firsts = [(begin, words[k - 1][1]) for begin, _ in reversed(words[max(0, k - 4) : k])]
            lasts = [(words[k + 1][0], stop) for _, stop in words[k + 1 : k + 5]]
            for a in firsts:
                for b in lasts:
                    both = parse_between(self.question[slice(*a)], self.question[slice(*b)], self.today)
                    if both:
                        found.setdefault(both, (("q", *a), ("q", *b)))
        return found

    def bound(self, op: str, text: str) -> list[FormToken] | None:
        """(comparison, span) where a date is the first day or the last of a period in the question."""
        day = _day(text)
        if day is None:
            return None
        for (start, end), span in self.periods.items():
            if op in ("=", "!=") and (start, end) == (day, day + timedelta(days=1)):
                return [op, span]
            if op in (">=", "<") and day == start:
                return [op, span]
            if op in (">=", "<") and day == end:
                return [">" if op == ">=" else "<=", span]
            if op in (">", "<=") and day + timedelta(days=1) == end:
                return [op, span]
        return None

    def part(self, node: exp.Expr, scope: _Scope, negated: bool, word: str) -> list[FormToken]:
        """One side of a connective; negation turns AND into OR, which then needs parentheses."""
        body = self.condition(node, scope, negated)
        inner = node
        while isinstance(inner, exp.Paren):
            inner = inner.this
        turned = negated and isinstance(inner, exp.And | exp.Between) and word == "and" and body[0] != "("
        return ["(", *body, ")"] if turned else body

    def predicate(self, node: exp.Expr, scope: _Scope, negated: bool) -> list[FormToken]:
        if isinstance(node, exp.Binary) and type(node) in _COMPARE_NODES:
            op = _COMPARE_NODES[type(node)]
            left, right = node.left, node.right
            if self.is_literal(left, scope) and not self.is_literal(right, scope):
                left, right, op = right, left, _FLIPPED[op]
            if negated:
                op = _NEGATED[op]
            column = self.column_of(left, scope)
            try:
                return [*self.expr(left, scope), op, *self.expr(right, scope, column)]
            except Inexpressible:
                dated = self.bound(op, right.name) if isinstance(right, exp.Literal) else None
                if dated is None:
                    raise
                return [*self.expr(left, scope), *dated]
        if isinstance(node, exp.Like | exp.ILike):
            if not self.is_literal(node.expression, scope):
                raise Inexpressible("LIKE of an expression")
            negated ^= bool(node.args.get("negate"))
            left = node.this
            while isinstance(left, exp.Lower | exp.Upper):
                left = left.this
            return [*self.expr(left, scope), *self.like(node.expression.name, negated)]
        if isinstance(node, exp.Between):
            start, last = (_day(node.args[k].name) for k in ("low", "high"))
            if (
                start
                and last
                and not negated
                and (said := self.said_as_time(start, last + timedelta(days=1)))
            ):
                return [*self.expr(node.this, scope), *said]
            column = self.column_of(node.this, scope)
            low, high = (self.expr(node.args[k], scope, column) for k in ("low", "high"))
            left_form = self.expr(node.this, scope)
            if negated:
                return [*left_form, "<", *low, "or", *left_form, ">", *high]
            return [*left_form, "between", *low, *high]
        if isinstance(node, exp.In):
            head = [*self.expr(node.this, scope), "not_in" if negated else "in"]
            if query := node.args.get("query"):
                return [*head, "[", *self.query(query, scope), "]"]
            column = self.column_of(node.this, scope)
            for part in node.expressions:
                head += self.expr(part, scope, column)
            return head
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return [*self.expr(node.this, scope), "not_null" if negated else "is_null"]
        if isinstance(node, exp.Exists):
            return ["not_exists" if negated else "exists", "[", *self.query(node.this, scope), "]"]
        if isinstance(node, exp.Column) and self.kind(node, scope) == "bool":
            return [*self.expr(node, scope), "=", "0" if negated else "1"]
        raise Inexpressible(type(node).__name__)

    def is_literal(self, node: exp.Expr, scope: _Scope) -> bool:
        if isinstance(node, exp.Column) and not node.table and node.this.args.get("quoted"):
            return not any(node.name.lower() in self.columns[t] for t in scope.tables) and (
                node.name.lower() not in scope.items
            )
        return isinstance(node, exp.Literal)

    def column_of(self, node: exp.Expr, scope: _Scope) -> Column | None:
        if isinstance(node, exp.Column):
            try:
                end = self.resolve(node, scope)
            except Inexpressible:
                return None
            return self.context.tables[end.table].table.columns[end.column]
        return None

    def like(self, pattern: str, negated: bool) -> list[FormToken]:
        inner = pattern.strip("%")
        if "%" in inner or "_" in inner:
            raise Inexpressible("LIKE pattern")
        start, end = pattern.startswith("%"), pattern.endswith("%")
        name = "contains" if start and end else "starts" if end else "ends" if start else "like"
        if negated:
            if name not in ("contains", "like"):
                raise Inexpressible("NOT LIKE with one wildcard")
            name = f"not_{name}"
        return [name, *self.literal(inner, None)]

    def literal(self, text: str, column: Column | None, *, is_number: bool = False) -> list[FormToken]:
        """A matched cell of ``column``, else the question's own words, a constant, or another cell."""
        folded = text.strip().lower()
        found = [k for k, match in enumerate(self.context.values) if match.value.strip().lower() == folded]
        same = [k for k in found if column is not None and self.context.values[k].column == column.name]
        if same:
            return [("v", next((k for k in same if self.context.values[k].value == text), same[0]))]
        for variant in (folded, folded.removesuffix(".0"), folded.rstrip("%")):
            if variant and (m := re.search(rf"(?<!\w){re.escape(variant)}(?!\w)", self.lowered)):
                return [("q", m.start(), m.end())]
        if is_number and (said := number_said(self.lowered, folded)):
            return [("q", *said)]
        if _day(folded) == self.today:
            return ["today"]
        number = folded.removesuffix(".0")
        if number in NUMBERS:
            return [number]
        if len(folded) > 1 and (at := self.lowered.find(folded)) >= 0:
            return [("q", at, at + len(folded))]
        # A code of another column (its span is -1) only looks the same.
        if other := [k for k in found if self.context.values[k].start >= 0]:
            return [("v", other[0])]
        raise Inexpressible(f"literal {text!r} not in the question")


def derived_join(
    sources: Sequence[Place | None], tables: Sequence[int], context: RetrievedContext
) -> tuple[int, Place] | None:
    """(item number, column) on which a derived table is joined to one of ``tables``.

    An item that is a column of one of the tables joins to that column, one that is a foreign key
    to (or the target of) a column of theirs to its counterpart.
    """
    for number, source in enumerate(sources, 1):
        if source is None:
            continue
        for table in tables:
            if source[0] == table:
                return number, source
            for owner, target, pairs, _ in foreign_keys(context):
                if (owner, target) == (source[0], table) and pairs[0][0] == source[1]:
                    return number, (table, pairs[0][1])
                if (owner, target) == (table, source[0]) and pairs[0][1] == source[1]:
                    return number, (table, pairs[0][0])
    return None


class _Within(exp.Expression, exp.Predicate):
    """A date inside a period that the question names; lives only while a tree is read."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "said": True}


# Relative periods ("last month") mean nothing in a statement that stands alone.
_NEVER = date(1, 6, 1)


def _day(text: str) -> date | None:
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[ T]00:00(?::00)?)?", text)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def _place(end: _End) -> Place:
    return end.table, end.column


def _key(end: _End) -> tuple[int, int, bool]:
    return end.table, end.column, end.second
