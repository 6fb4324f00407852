"""Edits of a query: one filter, grouping, order, limit or list of columns in place of another, counting, and two queries as one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from sqlglot import exp

from sqlgen.sql.form.render import _TEMPLATES, is_reserved
from sqlgen.sql.outline import _bucket_shapes, _conjuncts, _folded
from sqlgen.sql.parse import nodes, parse, render, scan
from sqlgen.sql.scope import CatalogNames
from sqlgen.sql.standins import NotExpressible, _way
from sqlgen.sql.trace import trace
from sqlgen.types import Catalog, Dialect, Table

__all__ = ["NotEditable", "QueryEdit"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
_COMPARE = {
    "=": exp.EQ, "!=": exp.NEQ, ">": exp.GT, ">=": exp.GTE, "<": exp.LT, "<=": exp.LTE, "like": exp.Like
}  # fmt: skip
_AGGREGATE_NAMES = frozenset("count sum avg min max total group_concat string_agg".split())


class NotEditable(Exception):
    """An edit that this query does not take; the message says why."""


class QueryEdit:
    """A query to edit, in place; ``sql`` writes it. Columns go by ``table_key.column``. Raises Unreadable and NotEditable.

    >>> from sqlgen.types import Column
    >>> columns = (Column("city", "TEXT", "text"), Column("total", "REAL", "number"))
    >>> edit = QueryEdit("SELECT SUM(total) FROM orders", Catalog("sqlite", (Table("orders", columns),)), "sqlite")
    >>> edit.filter("orders.city", "=", ["Oslo"]); edit.group_by("orders.city"); edit.sql()
    "SELECT city, SUM(total) FROM orders WHERE city = 'Oslo' GROUP BY city"
    """

    def __init__(self, sql: str, catalog: Catalog, dialect: Dialect) -> None:
        self.catalog = catalog
        self.dialect: Dialect = dialect
        self.statement = parse(scan(sql.strip().rstrip(";"), dialect))
        self._trace()

    def _trace(self) -> None:
        walk = trace(self.statement, CatalogNames(self.catalog, self.dialect))
        self._origins: dict[int, str] = {}
        for origin, readers in walk.uses.items():
            for reader in readers:
                if isinstance(reader, exp.Column):
                    self._origins[id(reader)] = origin
        self._keys = {id(node): key for node, key in walk.scans}
        # Nodes that leave the tree stay alive, so that no other one gets their identity.
        self._alive: list[exp.Expr] = list(nodes(self.statement.tree))

    def sql(self) -> str:
        """The query as edited."""
        return render(self.statement)

    @property
    def select(self) -> exp.Select:
        """The query's one SELECT; NotEditable for set operations."""
        tree = self.statement.tree
        if not isinstance(tree, exp.Select):
            raise NotEditable("the query is put together from several")
        return tree

    @property
    def tables(self) -> tuple[str, ...]:
        """Keys of the tables that stand in FROM."""
        return tuple(self._keys[id(node)] for node in _from(self.select) if id(node) in self._keys)

    @property
    def has_figures(self) -> bool:
        """Whether the query shows an aggregate."""
        return any(_is_figure(node) for node in self.select.expressions)

    @property
    def has_groups(self) -> bool:
        """Whether the query groups."""
        return self.select.args.get("group") is not None

    def filtered_columns(self) -> list[str]:
        """The columns that a condition of WHERE is about."""
        found = []
        where = self.select.args.get("where")
        for condition in _conjuncts(where.this if where else None):
            found += sorted(self._read_by(condition))
        return list(dict.fromkeys(found))

    def read_columns(self) -> list[str]:
        """All columns that are read, the outputs' first."""
        found = [
            o
            for node in self.select.expressions
            for part in nodes(node)
            if (o := self._origins.get(id(part)))
        ]
        return list(dict.fromkeys([*found, *self._origins.values()]))

    def filter(self, column: str, op: str, values: Sequence[str | int | float]) -> None:
        """Keep only rows whose ``column`` compares so; what was asked of this very column before gives way."""
        self._drop_filters(column)
        reference = self._column(column)
        literals = [_literal(value) for value in values]
        if len(literals) > 1:
            condition: exp.Expr = exp.In(this=reference, expressions=literals)
            condition = exp.Not(this=condition) if op == "!=" else condition
        else:
            condition = _COMPARE[op](this=reference, expression=literals[0])
        self._add_condition(condition)

    def within(self, column: str, begins: date | None, ends: date | None) -> None:
        """Keep only rows whose date lies in a half-open range; an open end is None. The period before gives way."""
        self._drop_filters(column)
        for op, day in ((exp.GTE, begins), (exp.LT, ends)):
            if day is not None:
                self._add_condition(
                    op(this=self._column(column), expression=exp.Literal.string(day.isoformat()))
                )

    def figures_above(self, op: str, value: int | float) -> None:
        """Keep only groups whose one figure compares so."""
        figures = [_unaliased(node) for node in self.select.expressions if _is_figure(node)]
        if len(figures) != 1 or not self.has_groups:
            raise NotEditable("the query has not one figure to compare")
        condition = _COMPARE[op](this=figures[0].copy(), expression=_literal(value))
        having = self.select.args.get("having")
        self.select.set(
            "having",
            exp.Having(this=condition if having is None else exp.And(this=having.this, expression=condition)),
        )

    def limit(self, rows: int, *, lowest: bool = False) -> None:
        """The first ``rows`` rows, by the order that the query has or else by its one figure; ``lowest``: from the other end."""
        select = self.select
        order = select.args.get("order")
        if order is None:
            figures = [node for node in select.expressions if _is_figure(node)]
            if figures:
                self._order(_unaliased(figures[0]).copy(), descending=not lowest)
        elif lowest:
            for key in order.expressions:
                self._turned(key, not key.args.get("desc"))
        select.set("limit", exp.Limit(expression=exp.Literal.number(rows)))
        select.set("offset", None)

    def ranked(self) -> bool:
        """Whether the first rows are the best of something: the query has an order or a figure."""
        return self.is_sorted or any(map(_is_figure, self.select.expressions))

    def reverse(self) -> None:
        """The other way round."""
        order = self.select.args.get("order")
        if order is None:
            raise NotEditable("the query has no order")
        for key in order.expressions:
            self._turned(key, not key.args.get("desc"))

    def turn_order(self, *, descending: bool) -> None:
        """The first key of the order in this direction."""
        order = self.select.args.get("order")
        if order is None:
            self.order_by(None, descending=descending)
            return
        self._turned(order.expressions[0], descending)

    @property
    def is_sorted(self) -> bool:
        """Whether the query has an order."""
        return self.select.args.get("order") is not None

    @property
    def has_limit(self) -> bool:
        """Whether the query keeps some first rows."""
        return self.statement.tree.args.get("limit") is not None

    def order_by(self, column: str | None, *, descending: bool = False) -> None:
        """Sort by a column, or by the query's first figure where ``column`` is None."""
        figures = [_unaliased(node) for node in self.select.expressions if _is_figure(node)]
        if column is None:
            if not figures:
                raise NotEditable("the query shows no figure to sort by")
            self._order(figures[0].copy(), descending=descending)
            return
        shown = [f for f in figures if any(self._origins.get(id(part)) == column for part in nodes(f))]
        if self.has_figures and not self.has_groups:
            raise NotEditable("one figure has no order")
        self._order(shown[0].copy() if shown else self._column(column), descending=descending)

    def count(self) -> None:
        """How many rows the query gives, instead of the rows."""
        tree = self.statement.tree
        if isinstance(tree, exp.Select) and tree.args.get("limit") is None and not self.has_groups:
            if self.has_figures:
                raise NotEditable("the query is one figure already")
            if tree.args.get("having") is None and not any(isinstance(n, exp.Window) for n in nodes(tree)):
                shown = [_unaliased(node) for node in tree.expressions]
                counted: exp.Expr = exp.Star()
                if tree.args.get("distinct") is not None:
                    if len(shown) != 1 or isinstance(shown[0], exp.Star):
                        self._count_rows()
                        return
                    counted = exp.Distinct(expressions=[shown[0].copy()])
                    tree.set("distinct", None)
                tree.set("expressions", [exp.Anonymous(this="COUNT", expressions=[counted])])
                tree.set("order", None)
                return
        self._count_rows()

    def _count_rows(self) -> None:
        tree = self.statement.tree
        if not isinstance(tree, exp.Query):
            raise NotEditable("only a query can be counted")
        inner = tree.copy()
        if isinstance(inner, exp.Select):
            # Two outputs of one name would be ambiguous to some engines.
            inner.set(
                "expressions",
                [
                    exp.alias_(_unaliased(node).copy(), f"c{i}") if not _is_star(node) else node
                    for i, node in enumerate(inner.expressions)
                ],
            )
            if inner.args.get("limit") is None:
                inner.set("order", None)
        outer = exp.Select(expressions=[exp.Anonymous(this="COUNT", expressions=[exp.Star()])])
        outer.set(
            "from_",
            exp.From(this=exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier("found")))),
        )
        self.statement.tree = outer

    def group_by(self, column: str, bucket: str = "", *, also: bool = False) -> None:
        """Break the figures down by a column or a period of a date, instead of what they were broken down by or ``also``.

        A list becomes a count.
        """
        select = self.select
        if select.args.get("having") is not None or any(isinstance(n, exp.Window) for n in nodes(select)):
            raise NotEditable("the query compares groups")
        key: exp.Expr = self._column(column)
        if bucket:
            key = self._bucket(bucket, key)
        figures = [node for node in select.expressions if _is_figure(node)]
        if not figures:
            figures = [exp.Anonymous(this="COUNT", expressions=[exp.Star()])]
            select.set("distinct", None)
        group = select.args.get("group")
        kept: list[exp.Expr] = []
        if also and group is not None:
            kept = [node for node in select.expressions if not _is_figure(node)]
        self._drop_limit()
        groups = [*(n.copy() for n in (group.expressions if also and group is not None else [])), key.copy()]
        if any(isinstance(g, exp.Literal) for g in groups):
            groups = [*(_unaliased(n).copy() for n in kept), key.copy()]
        select.set("expressions", [*kept, key, *figures])
        select.set("group", exp.Group(expressions=groups))

    def _drop_limit(self) -> None:
        self.select.set("limit", None)
        self.select.set("offset", None)
        self.select.set("order", None)

    def bucketed_column(self) -> str:
        """The date that the query breaks its figures down by, or ""."""
        group = self.select.args.get("group")
        for node in group.expressions if group else []:
            if self._is_bucket(node):
                return next(iter(self._read_by(node)), "")
        return ""

    def show(self, columns: Sequence[str], *, also: bool = False) -> None:
        """Show other columns, or ``also`` these."""
        select = self.select
        if self.has_figures or self.has_groups:
            raise NotEditable("the query shows figures")
        new = [self._column(column) for column in columns]
        if also and not any(map(_is_star, select.expressions)):
            seen = {_unaliased(n).sql() for n in select.expressions}
            new = [*select.expressions, *(n for n in new if n.sql() not in seen)]
        select.set("expressions", new)

    def absorb(self, other: QueryEdit) -> None:
        """Lay what ``other`` asks on top: its rows must also pass this query's filters.

        The result shows what ``other`` shows, in its order; where ``other`` has none, a limit of this query stays.
        """
        mine, theirs = self.select, other.select
        if mine.args.get("having") is not None or mine.args.get("group") is not None:
            raise NotEditable("the query before groups")
        if any(isinstance(n, exp.Query) for n in _from(mine)) or any(
            isinstance(n, exp.Subquery) for n in _from(theirs)
        ):
            raise NotEditable("the query before stands on another one")
        if len(set(self.tables)) != len(self.tables) or len(set(other.tables)) != len(other.tables):
            raise NotEditable("a table stands twice in one of them")
        if not set(self.tables) & set(other.tables):
            raise NotEditable("the two are about different tables")
        wanted = _conjuncts(mine.args["where"].this) if mine.args.get("where") else []
        limit = mine.args.get("limit")
        ranked = limit is not None and mine.args.get("order") is not None and theirs.args.get("order") is None
        if limit is not None and (not ranked or other.has_figures):
            raise NotEditable("the query before has a limit")
        held = other.filtered_columns()
        for condition in wanted:
            columns = self._read_by(condition)
            if columns & set(held):
                continue
            other._add_condition(self._carried(condition, other))
        if ranked and limit is not None:
            keys = [self._carried(key, other) for key in mine.args["order"].expressions]
            theirs.set("order", exp.Order(expressions=keys))
            theirs.set("limit", limit.copy())
        self.statement.tree = other.statement.tree
        self._origins, self._keys = other._origins, other._keys
        self._alive += other._alive

    def _carried(self, node: exp.Expr, other: QueryEdit) -> exp.Expr:
        """A condition of this query with its columns under the names of another."""
        copy = node.copy()
        inner = {id(n) for q in copy.find_all(exp.Query) for n in nodes(q)}
        for old, new in zip(list(_in_order(node)), list(_in_order(copy)), strict=True):
            origin = self._origins.get(id(old))
            if origin is not None and id(new) not in inner:
                new.replace(other._column(origin))
        return copy

    def _read_by(self, node: exp.Expr) -> set[str]:
        return {origin for part in nodes(node) if (origin := self._origins.get(id(part)))}

    def _add_condition(self, condition: exp.Expr) -> None:
        where = self.select.args.get("where")
        if where is None:
            self.select.set("where", exp.Where(this=condition))
            return
        before = where.this
        if isinstance(before, exp.Or):
            before = exp.Paren(this=before)
        if isinstance(condition, exp.Or):
            condition = exp.Paren(this=condition)
        where.set("this", exp.And(this=before, expression=condition))

    def _drop_filters(self, column: str) -> None:
        where = self.select.args.get("where")
        if where is None:
            return
        kept = [
            c for c in _conjuncts(where.this) if self._read_by(c) != {column} or c.find(exp.Query) is not None
        ]
        self.select.set("where", None)
        for condition in kept:
            self._add_condition(condition)

    def _order(self, key: exp.Expr, *, descending: bool) -> None:
        self.select.set("order", exp.Order(expressions=[self._turned(exp.Ordered(this=key), descending)]))

    def _turned(self, key: exp.Expr, descending: bool) -> exp.Expr:
        """A key of ORDER BY in this direction, with NULL where the engine puts it by itself."""
        key.set("desc", descending)
        first = descending if self.dialect == "postgres" else self.dialect != "duckdb" and not descending
        key.set("nulls_first", first)
        return key

    def _column(self, column: str) -> exp.Column:
        """A column under the name that its table has in the query, joined along foreign keys where it is not there yet."""
        key, _, name = column.rpartition(".")
        table = self.catalog.table(key)
        if table is None or table.column(name) is None:
            raise NotEditable(f"no column {column}")
        alias = self._alias(table)
        qualified = len(_from(self.select)) > 1
        reference = exp.column(self._identifier(name), table=self._identifier(alias) if qualified else None)
        self._origins[id(reference)] = column
        self._alive.append(reference)
        return reference

    def _alias(self, table: Table) -> str:
        sources = _from(self.select)
        if not sources:
            raise NotEditable("the query reads no table")
        for node in sources:
            if self._keys.get(id(node)) == table.key:
                return str(node.alias_or_name)
        ways = []
        for node in sources:
            grain = self.catalog.table(self._keys.get(id(node), ""))
            if grain is not None:
                try:
                    ways.append((_way(grain, table, self.catalog), str(node.alias_or_name)))
                except NotExpressible:
                    continue
        if not ways:
            raise NotEditable(f"no key leads to {table.name}")
        steps, here = min(ways, key=lambda way: len(way[0]))
        self._qualify()
        for _, target, columns, target_columns in steps:
            there = next(
                (str(n.alias_or_name) for n in _from(self.select) if self._keys.get(id(n)) == target.key), ""
            )
            if not there:
                there = self._join(here, target, columns, target_columns)
            here = there
        return here

    def _join(self, here: str, target: Table, columns: Sequence[str], target_columns: Sequence[str]) -> str:
        taken = {str(n.alias_or_name).casefold() for n in _from(self.select)}
        if target.name.casefold() in taken:
            raise NotEditable(f"{target.name} stands in the query already")
        source = exp.Table(
            this=self._identifier(target.name), db=self._identifier(target.schema) if target.schema else None
        )
        pairs = [
            exp.EQ(
                this=exp.column(self._identifier(a), table=self._identifier(here)),
                expression=exp.column(self._identifier(b), table=self._identifier(target.name)),
            )
            for a, b in zip(columns, target_columns, strict=True)
        ]
        self.select.append("joins", exp.Join(this=source, on=exp.and_(*pairs)))
        self._keys[id(source)] = target.key
        self._alive.append(source)
        return target.name

    def _qualify(self) -> None:
        """Give every column of the outermost query its table's name, before another table comes in."""
        names = {self._keys[id(n)]: str(n.alias_or_name) for n in _from(self.select) if id(n) in self._keys}
        inner = {id(n) for q in self.select.find_all(exp.Query) if q is not self.select for n in nodes(q)}
        for node in list(nodes(self.select)):
            if not isinstance(node, exp.Column) or node.table or id(node) in inner:
                continue
            name = names.get(self._origins.get(id(node), "").rpartition(".")[0])
            if name is not None:
                node.set("table", self._identifier(name))
        for node in list(self.select.expressions):
            if isinstance(node, exp.Star) and len(names) == 1:
                node.replace(exp.Column(this=exp.Star(), table=self._identifier(next(iter(names.values())))))

    def _identifier(self, name: str) -> exp.Identifier:
        plain = _PLAIN.match(name) is not None and not is_reserved(name)
        if self.dialect == "postgres" and name != name.lower():
            plain = False
        return exp.to_identifier(name, quoted=not plain)

    def _is_bucket(self, node: exp.Expr) -> bool:
        if isinstance(node, exp.Column):
            return False
        shape = node.copy()
        for column in list(shape.find_all(exp.Column)):
            column.replace(exp.column("x"))
        return _folded(shape.sql(dialect=self.dialect)) in _bucket_shapes(self.dialect)

    def _bucket(self, bucket: str, column: exp.Expr) -> exp.Expr:
        template = _TEMPLATES[self.dialect]["year" if bucket == "year" else f"by_{bucket}"]
        tree = parse(scan(f"SELECT {template}", self.dialect)).tree.expressions[0]
        holder = exp.Paren(this=tree)
        self._alive.append(holder)
        for node in [n for n in nodes(holder) if isinstance(n, exp.Column) and n.name == "x"]:
            twin = column.copy()
            self._origins[id(twin)] = self._origins[id(column)]
            self._alive.append(twin)
            node.replace(twin)
        made: exp.Expr = holder.this
        made.pop()
        return made


def _in_order(node: exp.Expr) -> list[exp.Expr]:
    return [part for part in nodes(node) if isinstance(part, exp.Column)]


def _from(select: exp.Select) -> list[exp.Expr]:
    first = select.args.get("from_")
    return [*([first.this] if first else []), *(join.this for join in select.args.get("joins") or [])]


def _unaliased(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Alias) else node


def _is_star(node: exp.Expr) -> bool:
    return isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star))


def _is_figure(node: exp.Expr) -> bool:
    """Whether an output is an aggregate; one inside a subquery is that query's."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, exp.Query):
            continue
        named = (
            isinstance(part, (exp.Anonymous, exp.AnonymousAggFunc)) and part.name.lower() in _AGGREGATE_NAMES
        )
        if named or isinstance(part, exp.AggFunc):
            return True
        for value in part.args.values():
            stack += [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, exp.Expr)]
    return False


def _literal(value: str | int | float) -> exp.Expr:
    if isinstance(value, str):
        return exp.Literal.string(value)
    if value < 0:
        return exp.Neg(this=exp.Literal.number(-value))
    return exp.Literal.number(value)
