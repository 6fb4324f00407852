"""Form to SQL: a sqlglot tree for any dialect."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlglot
from sqlglot import exp

from sqlgen.sql.form.joins import Place, Step, connect_twice, foreign_keys
from sqlgen.sql.form.linearize import derived_join
from sqlgen.sql.form.words import (
    AGGREGATES,
    COMPARISONS,
    DATE_PARTS,
    ITEMS,
    NUMBERS,
    RANKS,
    SET_OPERATIONS,
    SHIFTS,
    SPANS,
    UNARY,
    FormToken,
    Inexpressible,
    number_of,
)
from sqlgen.sql.periods import parse_between, parse_period
from sqlgen.types import ColumnKind, Dialect, RetrievedContext

__all__ = ["form_to_sql", "form_to_tree", "is_reserved"]

_SAFE = re.compile(r"[a-z_][a-z0-9_]*")
# Words that one of the four engines reserves; quoting them everywhere costs nothing.
_RESERVED = frozenset(
    """
    accessible action add all alter analyse analyze and any array as asc asensitive asymmetric at
    authorization before begin between bigint binary blob both by call cascade case cast change char character
    check collate column commit concurrently condition connect constraint continue convert create cross cube
    current_catalog current_date current_role current_schema current_time current_timestamp current_user cursor
    database databases day_hour day_minute dec decimal declare default deferrable delayed delete desc describe
    deterministic distinct distinctrow div do double drop dual each else elseif empty enclosed end escape escaped
    except exclude exists exit explain false fetch first_value float for force foreign freeze from full fulltext
    function generated get glob grant group grouping groups having high_priority if ignore ilike in index inner
    inout insensitive insert int integer intersect interval into is isnull iterate join json_table key keys kill
    lag lambda last_value lateral lead leading leave left like limit linear lines list load localtime
    localtimestamp lock long loop low_priority map match merge mod natural not notnull nth_value ntile null
    numeric of offset on only open optimize option optionally or order out outer outfile over overlaps partition
    percent_rank pivot placing position positional precision primary procedure purge qualify range rank read
    reads real recursive references regexp release rename repeat replace require restrict return returning
    revoke right rlike rollback row row_number rows schema schemas select semi sensitive separator session_user
    set show similar smallint some spatial specific sql starting struct summarize symmetric system table
    tablesample then to trailing transaction trigger true undo union unique unlock unpivot unsigned update usage
    use user using utc_date utc_time utc_timestamp values varchar variadic varying verbose view virtual when
    where while window with write xor year_month zerofill
    """.split()
)
_TEMPLATES: dict[str, dict[str, str]] = {
    "sqlite": {
        "year": "CAST(STRFTIME('%Y', x) AS INTEGER)",
        "month": "CAST(STRFTIME('%m', x) AS INTEGER)",
        "day": "CAST(STRFTIME('%d', x) AS INTEGER)",
        "weekday": "CAST(STRFTIME('%w', x) AS INTEGER)",
        "quarter": "(CAST(STRFTIME('%m', x) AS INTEGER) + 2) / 3",
        "hour": "CAST(STRFTIME('%H', x) AS INTEGER)",
        "by_quarter": "STRFTIME('%Y', x) || '-Q' || ((CAST(STRFTIME('%m', x) AS INTEGER) + 2) / 3)",
        "by_month": "STRFTIME('%Y-%m', x)",
        "by_week": "DATE(x, 'weekday 0', '-6 days')",
        "by_day": "DATE(x)",
        "days_between": "CAST(JULIANDAY(DATE(y)) - JULIANDAY(DATE(x)) AS INTEGER)",
        "years_between": "CAST((STRFTIME('%Y%m%d', y) - STRFTIME('%Y%m%d', x)) / 10000 AS INTEGER)",
        "length": "LENGTH(x)",
        "to_number": "CAST(x AS REAL)",
        "round": "ROUND(x, y)",
        "concat": "x || ' ' || y",
    },
    "duckdb": {
        "year": "YEAR(x)",
        "month": "MONTH(x)",
        "day": "DAY(x)",
        "weekday": "DAYOFWEEK(x)",
        "quarter": "QUARTER(x)",
        "hour": "HOUR(x)",
        "by_quarter": "STRFTIME(x, '%Y') || '-Q' || QUARTER(x)",
        "by_month": "STRFTIME(x, '%Y-%m')",
        "by_week": "STRFTIME(DATE_TRUNC('WEEK', x), '%Y-%m-%d')",
        "by_day": "STRFTIME(x, '%Y-%m-%d')",
        "days_between": "DATE_DIFF('day', CAST(x AS DATE), CAST(y AS DATE))",
        "years_between": "DATE_SUB('year', CAST(x AS DATE), CAST(y AS DATE))",
        "length": "LENGTH(x)",
        "to_number": "CAST(x AS DOUBLE)",
        "round": "ROUND(x, y)",
        "concat": "x || ' ' || y",
    },
    "postgres": {
        "year": "CAST(EXTRACT(YEAR FROM x) AS INT)",
        "month": "CAST(EXTRACT(MONTH FROM x) AS INT)",
        "day": "CAST(EXTRACT(DAY FROM x) AS INT)",
        "weekday": "CAST(EXTRACT(DOW FROM x) AS INT)",
        "quarter": "CAST(EXTRACT(QUARTER FROM x) AS INT)",
        "hour": "CAST(EXTRACT(HOUR FROM x) AS INT)",
        "by_quarter": "TO_CHAR(x, 'YYYY-\"Q\"Q')",
        "by_month": "TO_CHAR(x, 'YYYY-MM')",
        "by_week": "TO_CHAR(DATE_TRUNC('WEEK', x), 'YYYY-MM-DD')",
        "by_day": "TO_CHAR(x, 'YYYY-MM-DD')",
        "days_between": "CAST(y AS DATE) - CAST(x AS DATE)",
        "years_between": "CAST(EXTRACT(YEAR FROM AGE(CAST(y AS DATE), CAST(x AS DATE))) AS INT)",
        "length": "LENGTH(x)",
        "to_number": "CAST(x AS DOUBLE PRECISION)",
        "round": "ROUND(CAST(x AS DECIMAL), y)",
        "concat": "x || ' ' || y",
    },
    "mysql": {
        "year": "YEAR(x)",
        "month": "MONTH(x)",
        "day": "DAYOFMONTH(x)",
        "weekday": "DAYOFWEEK(x) - 1",
        "quarter": "QUARTER(x)",
        "hour": "HOUR(x)",
        "by_quarter": "CONCAT(YEAR(x), '-Q', QUARTER(x))",
        "by_month": "DATE_FORMAT(x, '%Y-%m')",
        "by_week": "DATE_FORMAT(DATE_SUB(x, INTERVAL WEEKDAY(x) DAY), '%Y-%m-%d')",
        "by_day": "DATE_FORMAT(x, '%Y-%m-%d')",
        "days_between": "DATEDIFF(y, x)",
        "years_between": "TIMESTAMPDIFF(YEAR, x, y)",
        "length": "CHAR_LENGTH(x)",
        "to_number": "CAST(x AS DOUBLE)",
        "round": "ROUND(x, y)",
        "concat": "CONCAT(x, ' ', y)",
    },
}


def is_reserved(name: str) -> bool:
    """Whether one of the engines reserves this word, so that as a name it needs quotes.

    >>> is_reserved("Order"), is_reserved("orders")
    (True, False)
    """
    return name.lower() in _RESERVED


def form_to_sql(
    tokens: Sequence[FormToken],
    context: RetrievedContext,
    question: str,
    dialect: Dialect,
    *,
    today: date | None = None,
) -> str:
    """The SQL text of a form; raises Inexpressible when the form is none.

    >>> from sqlgen.types import Column, Table, TableSlice
    >>> pets = Table("pets", (Column("name", "TEXT", "text"), Column("age", "INT", "number")))
    >>> context = RetrievedContext((TableSlice(pets, 1.0, ""),))
    >>> form_to_sql(["select", "count", "*", "from", ("t", 0)], context, "how many pets?", "sqlite")
    'SELECT COUNT(*) FROM pets'
    """
    return form_to_tree(tokens, context, question, dialect, today=today).sql(dialect=dialect)


def form_to_tree(
    tokens: Sequence[FormToken],
    context: RetrievedContext,
    question: str,
    dialect: Dialect,
    *,
    today: date | None = None,
) -> exp.Query:
    """The sqlglot tree of a form. ``today`` is what "last month" refers to (default: the clock)."""
    builder = _Builder(tokens, context, question, dialect, today or date.today())
    tree = builder.query()
    if builder.at < len(tokens):
        raise Inexpressible(f"trailing {tokens[builder.at]!r}")
    return tree


class _Core:
    """What one SELECT uses while it is being read."""

    def __init__(self, parent: _Core | None) -> None:
        self.parent = parent
        self.used: list[int] = []
        self.seconds: list[int] = []
        self.via: list[Place] = []
        self.other_via: list[Place] = []
        self.on: list[tuple[Place, Place]] = []
        self.preserved: int | None = None
        self.columns: list[exp.Column] = []
        self.outer_tables: set[int] = set()
        self.derived = ""
        self.items: list[_Item] = []
        self.reads: _Core | None = None


@dataclass(frozen=True, slots=True)
class _Item:
    """One column of a derived table: its name, kind, and the column that it passes on."""

    name: str
    kind: ColumnKind
    source: Place | None


@dataclass(frozen=True, slots=True)
class _Home:
    """Whose column a node is: of a core's table, or of its derived table (``table`` None)."""

    core: _Core
    table: int | None
    second: bool
    qualified: bool


_ARITHMETIC = {"+": exp.Add, "-": exp.Sub, "*": exp.Mul}
_AGGREGATE_NODES = {"count": exp.Count, "sum": exp.Sum, "avg": exp.Avg, "min": exp.Min, "max": exp.Max}
_RANK_NODES = {"rank": exp.Rank, "dense_rank": exp.DenseRank, "row_number": exp.RowNumber}
_AFTER_SELECT = {"</s>", "]", "where", "group", "having", "order", "limit", *SET_OPERATIONS}
_AFTER_ITEMS = {*_AFTER_SELECT, "from"}
_AFTER_GROUP = {"</s>", "]", "having", "order", "limit", *SET_OPERATIONS}
_AFTER_ORDER = {"</s>", "]", ")", "limit", "rows", *SET_OPERATIONS}
_AFTER_PER = {"</s>", "]", ")", "order", "rows", *SET_OPERATIONS}


class _Builder:
    def __init__(
        self,
        tokens: Sequence[FormToken],
        context: RetrievedContext,
        question: str,
        dialect: Dialect,
        today: date,
    ) -> None:
        self.tokens = tokens
        self.context = context
        self.question = question
        self.dialect: Dialect = dialect
        self.today = today
        self.at = 0
        self.cores: list[_Core] = []
        self.homes: dict[int, _Home] = {}
        self.shape: list[tuple[ColumnKind, Place | None]] = []
        self.shifting = 0
        self.taken = {s.table.name.lower() for s in context.tables}

    # -- tokens ----------------------------------------------------------------------------------

    def peek(self) -> FormToken:
        return self.tokens[self.at] if self.at < len(self.tokens) else "</s>"

    def take(self, *expected: str) -> FormToken:
        token = self.peek()
        if expected and token not in expected:
            raise Inexpressible(f"{token!r} where {' or '.join(expected)} belongs")
        self.at += 1
        return token

    def accept(self, *words: str) -> str | None:
        token = self.peek()
        if isinstance(token, str) and token in words:
            self.at += 1
            return token
        return None

    def until(self, words: set[str]) -> bool:
        """Whether more expressions follow before one of ``words``."""
        token = self.peek()
        return not (isinstance(token, str) and token in words)

    def pointer(self, kind: str) -> Place:
        token = self.take()
        if not isinstance(token, tuple) or token[0] != kind:
            raise Inexpressible(f"{token!r} where a pointer belongs")
        return (token[1], token[2] if len(token) > 2 else 0)

    def starts_value(self) -> bool:
        token = self.peek()
        return token in NUMBERS if isinstance(token, str) else token[0] in "vq"

    # -- names -----------------------------------------------------------------------------------

    def name(self, text: str) -> exp.Identifier:
        safe = bool(_SAFE.fullmatch(text) if self.dialect == "postgres" else _SAFE.fullmatch(text.lower()))
        return exp.to_identifier(text, quoted=not safe or is_reserved(text))

    def fresh(self, text: str) -> str:
        """A name for a derived table that no table of the context has."""
        number, found = 1, text
        while found.lower() in self.taken:
            number += 1
            found = f"{text}_{number}"
        self.taken.add(found.lower())
        return found

    def table(self, i: int) -> exp.Table:
        table = self.context.tables[i].table
        return exp.Table(this=self.name(table.name), db=self.name(table.schema) if table.schema else None)

    def settle(self, node: exp.Column, home: _Home) -> exp.Column:
        self.homes[id(node)] = home
        home.core.columns.append(node)
        return node

    def twin(self, node: exp.Expr) -> exp.Expr:
        """A copy whose columns belong where the original's do."""
        twin = node.copy()
        for mine, copy in zip(node.find_all(exp.Column), twin.find_all(exp.Column), strict=True):
            if home := self.homes.get(id(mine)):
                self.settle(copy, home)
        return twin

    # -- queries ---------------------------------------------------------------------------------

    def query(self) -> exp.Query:
        shifting, self.shifting = self.shifting, 0
        tree: exp.Query = self.core()
        shape = self.shape
        while word := self.accept(*SET_OPERATIONS):
            node = {"intersect": exp.Intersect, "except": exp.Except}.get(word, exp.Union)
            right = self.core()
            if tree.args.get("order") or tree.args.get("limit"):
                raise Inexpressible("ORDER BY inside a set operation")
            tree = node(this=tree, expression=right, distinct=word != "union_all")
            for part in ("order", "limit", "offset"):
                if value := right.args.get(part):
                    right.set(part, None)
                    tree.set(part, value)
            if order := tree.args.get("order"):
                self.by_position(order, right)
        self.shape, self.shifting = shape, shifting
        return tree

    @staticmethod
    def by_position(order: exp.Order, right: exp.Select) -> None:
        """Over a set operation engines take only the items themselves: by their numbers."""
        said = [item.sql() for item in right.expressions]
        for part in order.expressions:
            if part.this.sql() not in said:
                raise Inexpressible("ORDER BY of a set operation over something that it does not select")
            part.set("this", exp.Literal.number(said.index(part.this.sql()) + 1))

    def core(self) -> exp.Select:
        core = _Core(self.cores[-1] if self.cores else None)
        ctes: list[exp.CTE] = []
        if self.accept("with"):
            self.take("[")
            inner = self.query()
            self.take("]")
            core.derived = self.fresh("derived")
            core.items = self.name_items(inner)
            ctes.append(self.cte(inner, core.derived))
        self.take("select")
        self.cores.append(core)
        select = exp.Select()
        if self.accept("distinct"):
            select.set("distinct", exp.Distinct())
        items: list[exp.Expr] = []
        shape: list[tuple[ColumnKind, Place | None]] = []
        while self.until(_AFTER_ITEMS):
            token = self.peek()
            node, kind = self.item(core)
            items.append(node)
            place = (token[1], token[2]) if isinstance(token, tuple) and len(token) == 3 else None
            shape.append((kind, place if isinstance(node, exp.Column) and token[0] == "c" else None))
        if not items:
            raise Inexpressible("nothing selected")
        if self.accept("from"):
            self.sources(core)
        if self.accept("where"):
            select.set("where", exp.Where(this=self.condition()))
        groups: list[exp.Expr] = []
        if self.accept("group"):
            while self.until(_AFTER_GROUP):
                groups.append(self.expr()[0])
        if self.accept("having"):
            select.set("having", exp.Having(this=self.condition()))
        orders = self.orders() if self.accept("order") else []
        limit: exp.Expr | None = None
        offset: exp.Expr | None = None
        pers: list[exp.Expr] = []
        if self.accept("limit"):
            limit = self.value("number")
            if self.accept("offset"):
                offset = self.value("number")
            if self.accept("per"):
                while self.until(_AFTER_PER):
                    pers.append(self.expr()[0])
        if groups:
            self.complete(groups, [*items, *(o.this for o in orders), *pers])
            select.set("group", exp.Group(expressions=groups))
        select.set("expressions", items)
        self.cores.pop()
        if pers and limit is not None:
            return self.ranked(select, core, ctes, (orders, pers, limit, offset), shape)
        if orders:
            select.set("order", exp.Order(expressions=orders))
        if limit is not None:
            select.set("limit", exp.Limit(expression=limit))
        if offset is not None:
            select.set("offset", exp.Offset(expression=offset))
        self.attach(select, core)
        if ctes:
            select.set("with_", exp.With(expressions=ctes))
        self.shape = shape
        return select

    def cte(self, query: exp.Query, name: str) -> exp.CTE:
        return exp.CTE(this=query, alias=exp.TableAlias(this=self.name(name)))

    def name_items(self, query: exp.Query) -> list[_Item]:
        """Give each item of a derived table a name of its own."""
        first: exp.Expr = query
        while isinstance(first, exp.SetOperation):
            first = first.left
        if any(item.is_star for item in first.expressions) or len(first.expressions) != len(self.shape):
            raise Inexpressible("a star in a derived table")
        found: list[_Item] = []
        named: list[exp.Expr] = []
        for item, (kind, source) in zip(first.expressions, self.shape, strict=True):
            bare = item.unalias()
            text = item.alias or (bare.name if isinstance(bare, exp.Column) else _title(bare))
            number, name = 1, text
            while name.lower() in {i.name.lower() for i in found}:
                number += 1
                name = f"{text}_{number}"
            found.append(_Item(name, kind, source))
            same = isinstance(bare, exp.Column) and bare.name == name
            named.append(bare if same else exp.Alias(this=bare, alias=self.name(name)))
        first.set("expressions", named)
        return found

    def ranked(
        self,
        select: exp.Select,
        core: _Core,
        ctes: list[exp.CTE],
        tail: tuple[list[exp.Ordered], list[exp.Expr], exp.Expr, exp.Expr | None],
        shape: list[tuple[ColumnKind, Place | None]],
    ) -> exp.Select:
        """The first rows of each group: numbered in a derived table, cut outside."""
        orders, pers, limit, offset = tail
        if select.args.get("distinct") or not orders:
            raise Inexpressible("the first of each group need an order")
        said = [item.sql() for item in select.expressions]
        leading = [said.index(p.sql()) for p in pers if p.sql() in said] or [0]
        self.attach(select, core)
        self.shape = shape
        items = self.name_items(select)
        window = exp.Window(
            this=exp.RowNumber(), partition_by=pers, order=exp.Order(expressions=orders), over="OVER"
        )
        select.append("expressions", exp.Alias(this=window, alias=self.name("place")))
        name = self.fresh("ranked")

        def column(text: str) -> exp.Column:
            return exp.Column(this=self.name(text))

        last = limit if offset is None else exp.Add(this=offset, expression=limit)
        test: exp.Expr = exp.LTE(this=column("place"), expression=last)
        if offset is not None:
            test = exp.and_(exp.GT(this=column("place"), expression=offset.copy()), test, copy=False)
        self.shape = shape
        return exp.Select(
            expressions=[column(i.name) for i in items],
            from_=exp.From(this=exp.Table(this=self.name(name))),
            where=exp.Where(this=test),
            order=exp.Order(
                expressions=[
                    exp.Ordered(this=column(text), desc=False, nulls_first=True)
                    for text in (*(items[k].name for k in leading), "place")
                ]
            ),
            with_=exp.With(expressions=[*ctes, self.cte(select, name)]),
        )

    def sources(self, core: _Core) -> None:
        while True:
            if self.accept("via"):
                core.via.append(self.pointer("c"))
            elif self.accept("on"):
                core.on.append((self.pointer("c"), self.pointer("c")))
            elif self.accept("other"):
                core.other_via.append(self.pointer("c"))
            elif self.accept("all"):
                core.preserved = self.pointer("t")[0]
            elif isinstance(self.peek(), tuple) and self.peek()[0] == "t":
                core.used.append(self.pointer("t")[0])
            else:
                return

    def orders(self) -> list[exp.Ordered]:
        found: list[exp.Ordered] = []
        while self.until(_AFTER_ORDER):
            key = self.expr()[0]
            desc = self.take("asc", "desc") == "desc"
            found.append(exp.Ordered(this=key, desc=desc, nulls_first=not desc))
        if not found:
            raise Inexpressible("ORDER BY nothing")
        return found

    def complete(self, groups: list[exp.Expr], parts: list[exp.Expr]) -> None:
        """An engine that holds to the standard refuses bare columns beside a GROUP BY.

        SQLite takes those that the grouping determines, and then breaks ties as people expect.
        """
        said = {g.sql() for g in groups}
        known = self.determined(groups) if self.dialect == "sqlite" else set()
        for part in parts:
            if part.is_star or not part.find(exp.Column):
                continue
            if not part.find(exp.AggFunc):
                bare: list[exp.Expr] = [] if part.find(exp.Window) else [part]
            else:
                bare = []
            if part.find(exp.Window):
                bare = [c for c in part.find_all(exp.Column) if not _covered(c, part, said)]
            for node in bare:
                if all(
                    home.table in known for c in node.find_all(exp.Column) if (home := self.homes.get(id(c)))
                ):
                    continue
                if node.sql() not in said and not node.find(exp.Subquery):
                    said.add(node.sql())
                    groups.append(self.twin(node))

    def determined(self, groups: list[exp.Expr]) -> set[int | None]:
        """Tables of whose rows each group holds at most one: grouped by their primary key, or by a key to it."""
        found: set[int | None] = set()
        for group in groups:
            home = self.homes.get(id(group))
            if home is None or home.table is None or home.second:
                continue
            table = self.context.tables[home.table].table
            if [c.name for c in table.columns if c.primary_key] == [group.name]:
                found.add(home.table)
            for owner, target, pairs, _ in foreign_keys(self.context):
                theirs = self.context.tables[target].table
                if (
                    owner == home.table
                    and table.columns[pairs[0][0]].name == group.name
                    and (
                        [c.name for c in theirs.columns if c.primary_key]
                        == [theirs.columns[pairs[0][1]].name]
                    )
                ):
                    found.add(target)
        return found

    # -- FROM ------------------------------------------------------------------------------------

    def attach(self, select: exp.Select, core: _Core) -> None:
        used = core.used
        if core.preserved is not None:
            used = [core.preserved, *used]
        seconds = list(dict.fromkeys(core.seconds))
        steps = connect_twice(used, seconds, self.context, core.via, core.other_via, core.on)
        if core.derived and not steps:
            core.reads = core
        reads = core.reads
        if not steps and reads is None:
            raise Inexpressible("no table")
        names = self.instance_names(steps, core)
        joins = [self.join(step, names, core) for step in steps[1:]]
        derived = exp.Table(this=self.name(reads.derived)) if reads else None
        if steps:
            first = self.instance(steps[0].table, names[steps[0].table, False])
            select.set("from_", exp.From(this=first))
            if reads is not None:
                found = derived_join([i.source for i in reads.items], [s.table for s in steps], self.context)
                on = None
                if found is not None:
                    number, (table, place) = found
                    item = exp.column(self.name(reads.items[number - 1].name), table=self.name(reads.derived))
                    on = exp.EQ(this=self.qualified(table, place, names[table, False]), expression=item)
                joins.append(exp.Join(this=derived, on=on, kind=None if on else "CROSS"))
        else:
            select.set("from_", exp.From(this=derived))
        if joins:
            select.set("joins", joins)
        several = bool(joins) or bool(core.outer_tables)
        for column in core.columns:
            home = self.homes[id(column)]
            if home.table is None:
                if several and reads is not None:
                    column.set("table", self.name(reads.derived))
            elif several or home.qualified:
                alias = names.get((home.table, home.second))
                source = self.table(home.table)
                column.set("table", self.name(alias) if alias else source.this)
                column.set("db", None if alias else source.args.get("db"))

    def instance_names(self, steps: Sequence[Step], core: _Core) -> dict[tuple[int, bool], str | None]:
        """An alias where a table stands twice, or stands around this SELECT as well."""
        names: dict[tuple[int, bool], str | None] = {}
        for step in steps:
            text = self.context.tables[step.table].table.name
            twice = step.second or step.table in core.outer_tables
            names[step.table, step.second] = self.fresh(f"{text}_2") if twice else None
        return names

    def instance(self, table: int, alias: str | None) -> exp.Table:
        node = self.table(table)
        if alias:
            node.set("alias", exp.TableAlias(this=self.name(alias)))
        return node

    def join(self, step: Step, names: dict[tuple[int, bool], str | None], core: _Core) -> exp.Join:
        target = self.instance(step.table, names[step.table, step.second])
        if step.other is None:
            return exp.Join(this=target, kind="CROSS")
        theirs = names[step.other, step.other_second]
        on = exp.and_(
            *(
                exp.EQ(
                    this=self.qualified(step.other, b, theirs),
                    expression=self.qualified(step.table, a, names[step.table, step.second]),
                )
                for a, b in step.pairs
            )
        )
        return exp.Join(this=target, on=on, side="LEFT" if core.preserved is not None else None)

    def qualified(self, table: int, column: int, alias: str | None) -> exp.Column:
        source = self.table(table)
        name = self.name(self.context.tables[table].table.columns[column].name)
        if alias:
            return exp.Column(this=name, table=self.name(alias))
        return exp.Column(this=name, table=source.this, db=source.args.get("db"))

    # -- expressions -----------------------------------------------------------------------------

    def item(self, core: _Core) -> tuple[exp.Expr, ColumnKind]:
        if self.accept("*"):
            return exp.Star(), "other"
        token = self.peek()
        if isinstance(token, tuple) and token[0] == "t":
            table = self.pointer("t")[0]
            core.used.append(table)
            return exp.Column(this=exp.Star(), table=self.table(table).this), "other"
        return self.expr()

    def expr(self) -> tuple[exp.Expr, ColumnKind]:
        left, kind = self.prim()
        while op := self.accept("+", "-", "*", "/"):
            right, _ = self.prim()
            kind = "number"
            left = _ratio(left, right) if op == "/" else _ARITHMETIC[op](this=left, expression=right)
        return left, kind

    def prim(self) -> tuple[exp.Expr, ColumnKind]:
        token = self.peek()
        if isinstance(token, tuple):
            if token[0] == "c":
                return self.column()
            number = token[0] == "q" and number_of(self.spoken(token)) is not None
            return (self.value("number"), "number") if number else (self.value("text"), "text")
        if token in NUMBERS:
            return self.value("number"), "number"
        if word := self.accept(*AGGREGATES):
            return self.windowed(*self.aggregate(word))
        if word := self.accept(*DATE_PARTS):
            node = self.template(word, self.prim()[0])
            if word.startswith("by_"):
                node.meta["bucket"] = word
            return node, "text" if word.startswith("by_") else "number"
        if token in ITEMS:
            return self.derived_item()
        if self.accept("other"):
            return self.column(second=True)
        if self.accept("outer"):
            return self.outer()
        if self.accept("{"):
            node_, kind = self.expr()
            self.take("}")
            return exp.Paren(this=node_), kind
        if self.accept("["):
            tree = self.query()
            kind = self.shape[0][0] if self.shape else "number"
            self.take("]")
            return exp.Subquery(this=tree), kind
        return self.function()

    def function(self) -> tuple[exp.Expr, ColumnKind]:
        if self.accept("today"):
            text = exp.Literal.string(self.today.isoformat())
            return (text if self.dialect == "sqlite" else exp.cast(text, "date")), "date"
        if word := self.accept(*SPANS):
            first, second = self.prim()[0], self.prim()[0]
            return self.template(word, first, second), "number"
        if word := self.accept(*UNARY):
            inner, _ = self.prim()
            if word in ("length", "to_number"):
                return self.template(word, inner), "number"
            node = {"lower": exp.Lower, "upper": exp.Upper, "abs": exp.Abs}[word](this=inner)
            return node, "number" if word == "abs" else "text"
        if self.accept("round"):
            inner, _ = self.prim()
            return self.template("round", inner, self.value("number")), "number"
        if self.accept("left"):
            inner, _ = self.prim()
            length = self.value("number")
            return exp.Substring(this=inner, start=exp.Literal.number(1), length=length), "text"
        if self.accept("coalesce"):
            inner, kind = self.prim()
            default = self.value(kind) if self.starts_value() else self.prim()[0]
            return exp.Coalesce(this=inner, expressions=[default]), kind
        if self.accept("concat"):
            first, second = self.prim()[0], self.prim()[0]
            return self.template("concat", first, second), "text"
        if self.accept("case"):
            return self.case()
        if word := self.accept(*RANKS):
            return self.over(_RANK_NODES[word]()), "number"
        if self.accept("ntile"):
            return self.over(exp.Ntile(this=self.value("number"))), "number"
        if word := self.accept(*SHIFTS):
            return self.shift(word)
        if self.accept("share"):
            inner, _ = self.argument()
            total: exp.Expr = exp.Sum(this=self.twin(inner))
            total = self.over(total) if self.peek() == "over" else exp.Window(this=total, over="OVER")
            return exp.Mul(this=exp.Literal.number("100.0"), expression=_ratio(inner, total)), "number"
        raise Inexpressible(f"{self.peek()!r} where an expression belongs")

    def column(self, second: bool = False) -> tuple[exp.Expr, ColumnKind]:
        table, place = self.pointer("c")
        if not self.cores:
            raise Inexpressible("column outside a query")
        core = self.cores[-1]
        column = self.context.tables[table].table.columns[place]
        node = exp.Column(this=self.name(column.name))
        if second:
            core.seconds.append(table)
        core.used.append(table)
        return self.settle(node, _Home(core, table, second, False)), column.kind

    def outer(self) -> tuple[exp.Expr, ColumnKind]:
        table, place = self.pointer("c")
        if len(self.cores) < 2:
            raise Inexpressible("a column of an enclosing query where there is none")
        parent = self.cores[-2]
        column = self.context.tables[table].table.columns[place]
        self.cores[-1].outer_tables.add(table)
        parent.used.append(table)
        node = exp.Column(this=self.name(column.name))
        return self.settle(node, _Home(parent, table, False, True)), column.kind

    def derived_item(self) -> tuple[exp.Expr, ColumnKind]:
        number = ITEMS.index(str(self.take()))
        owner = next((c for c in reversed(self.cores) if c.derived), None)
        if owner is None or number >= len(owner.items):
            raise Inexpressible("an item of no derived table")
        self.cores[-1].reads = owner
        item = owner.items[number]
        node = exp.Column(this=self.name(item.name))
        return self.settle(node, _Home(self.cores[-1], None, False, False)), item.kind

    def template(self, word: str, first: exp.Expr, second: exp.Expr | None = None) -> exp.Expr:
        """The dialect's way to say ``word``, with the arguments in place of x and y."""
        tree = sqlglot.parse_one(_TEMPLATES[self.dialect][word], dialect=self.dialect)
        for name, argument in (("x", first), ("y", second)):
            holes = [c for c in tree.find_all(exp.Column) if c.name == name and id(c) not in self.homes]
            for k, hole in enumerate(holes):
                if argument is None:
                    raise Inexpressible(f"{word} of one argument")
                node = self.twin(argument) if k < len(holes) - 1 else argument
                if isinstance(node, exp.Binary):
                    node = exp.Paren(this=node)
                if hole is tree:
                    tree = node
                else:
                    hole.replace(node)
        return exp.Paren(this=tree) if isinstance(tree, exp.Binary) else tree

    def case(self) -> tuple[exp.Expr, ColumnKind]:
        branches: list[exp.If] = []
        kind: ColumnKind = "text"
        while self.accept("when"):
            condition = self.condition()
            self.take("then")
            value, found = self.expr()
            kind = kind if branches else found
            branches.append(exp.If(this=condition, true=value))
        default = self.expr()[0] if self.accept("else") else None
        self.take("end")
        if not branches:
            raise Inexpressible("CASE without a branch")
        return exp.Case(ifs=branches, default=default), kind

    def aggregate(self, word: str) -> tuple[exp.Expr, ColumnKind]:
        node = _AGGREGATE_NODES[word]
        condition: exp.Expr | None = None
        if self.accept("if"):
            self.take("(")
            condition = self.condition()
            self.take(")")
        if word == "count" and self.accept("*"):
            if condition is None:
                return exp.Count(this=exp.Star(), big_int=True), "number"
            return exp.Count(this=_when(condition, exp.Literal.number(1)), big_int=True), "number"
        distinct = self.accept("distinct")
        inner, kind = self.argument()
        if isinstance(inner, exp.Paren):
            inner = inner.this
        if condition is not None:
            inner = _when(condition, inner)
            if word == "sum":
                inner.set("default", exp.Literal.number(0))
        body = exp.Distinct(expressions=[inner]) if distinct else inner
        return node(this=body), kind if word in ("min", "max") else "number"

    def argument(self) -> tuple[exp.Expr, ColumnKind]:
        """What a window function works on: a window that follows an aggregate here is not its own."""
        self.shifting += 1
        node, kind = self.aggregate(str(self.take())) if self.peek() in AGGREGATES else self.prim()
        self.shifting -= 1
        return node, kind

    def windowed(self, node: exp.Expr, kind: ColumnKind) -> tuple[exp.Expr, ColumnKind]:
        return (self.over(node), kind) if self.peek() == "over" and not self.shifting else (node, kind)

    def over(self, node: exp.Expr) -> exp.Window:
        """OVER (...) around a window function or an aggregate."""
        self.take("over")
        self.take("(")
        window = exp.Window(this=node, over="OVER")
        if self.accept("per"):
            pers: list[exp.Expr] = []
            while self.until(_AFTER_PER):
                pers.append(self.expr()[0])
            window.set("partition_by", pers)
        if self.accept("order"):
            window.set("order", exp.Order(expressions=self.orders()))
        before: str | exp.Expr = "UNBOUNDED"
        if self.accept("rows"):
            size = self.value("number")
            if not size.name.isdigit() or int(size.name) < 1:
                raise Inexpressible("a window of no rows")
            before = exp.Literal.number(int(size.name) - 1)
        if window.args.get("order") and isinstance(node, exp.AggFunc) and type(node) in _FRAMED:
            spec = exp.WindowSpec(kind="ROWS", start=before, start_side="PRECEDING", end="CURRENT ROW")
            window.set("spec", spec)
        self.take(")")
        return window

    def shift(self, word: str) -> tuple[exp.Expr, ColumnKind]:
        inner, kind = self.argument()
        if word in ("lag", "lead"):
            node = exp.Lag if word == "lag" else exp.Lead
            return self.over(node(this=inner)), kind
        before = self.over(exp.Lag(this=self.twin(inner)))
        change = exp.Sub(this=inner, expression=before)
        if word == "change":
            return exp.Paren(this=change), "number"
        ratio = _ratio(exp.Paren(this=change), self.twin(before))
        return exp.Mul(this=exp.Literal.number("100.0"), expression=ratio), "number"

    # -- conditions and values -------------------------------------------------------------------

    def condition(self) -> exp.Expr:
        ors = [[self.predicate()]]
        while word := self.accept("and", "or"):
            if word == "or":
                ors.append([])
            ors[-1].append(self.predicate())
        groups = [exp.and_(*part, copy=False) if len(part) > 1 else part[0] for part in ors]
        return exp.or_(*groups, copy=False) if len(groups) > 1 else groups[0]

    def predicate(self) -> exp.Expr:
        if self.accept("("):
            inner = self.condition()
            self.take(")")
            return exp.Paren(this=inner)
        if negation := self.accept("exists", "not_exists"):
            self.take("[")
            test: exp.Expr = exp.Exists(this=self.query())
            self.take("]")
            return exp.Not(this=test) if negation == "not_exists" else test
        left, kind = self.expr()
        word = str(self.take(*COMPARISONS, "between", "in", "not_in", "is_null", "not_null"))
        if word in ("is_null", "not_null"):
            test = exp.Is(this=left, expression=exp.Null())
            return exp.Not(this=test) if word == "not_null" else test
        if word in ("in", "not_in"):
            test = self.membership(left, kind)
            return exp.Not(this=test) if word == "not_in" else test
        if word == "between":
            return self.between(left, kind)
        if word in ("like", "not_like", "contains", "not_contains", "starts", "ends"):
            return self.like(left, str(word))
        return self.compare(left, str(word), kind)

    def membership(self, left: exp.Expr, kind: ColumnKind) -> exp.Expr:
        if self.accept("["):
            test = exp.In(this=left, query=exp.Subquery(this=self.query()))
            self.take("]")
            return test
        values = []
        while self.starts_value():
            values.append(self.value(kind))
        if not values:
            raise Inexpressible("IN of nothing")
        return exp.In(this=left, expressions=values)

    def between(self, left: exp.Expr, kind: ColumnKind) -> exp.Expr:
        if kind == "date" and isinstance(self.peek(), tuple) and self.peek()[0] in "vq":
            first, second = self.text(), self.text()
            if period := parse_between(first, second, self.today):
                return self.range(left, *period)
            bounds: list[exp.Expr] = [exp.Literal.string(first), exp.Literal.string(second)]
        else:
            bounds = [self.operand(kind), self.operand(kind)]
        return exp.Between(this=left, low=bounds[0], high=bounds[1])

    def range(self, left: exp.Expr, start: date, end: date) -> exp.Expr:
        twin = self.twin(left)
        return exp.and_(
            exp.GTE(this=left, expression=exp.Literal.string(start.isoformat())),
            exp.LT(this=twin, expression=exp.Literal.string(end.isoformat())),
            copy=False,
        )

    def compare(self, left: exp.Expr, op: str, kind: ColumnKind) -> exp.Expr:
        token = self.peek()
        bucket = left.meta.get("bucket")
        if isinstance(token, tuple) and token[0] in "vq" and (kind == "date" or bucket):
            text = self.text()
            period = parse_period(text, self.today)
            if period and kind == "date":
                return self.compare_period(left, op, *period)
            if period and bucket:
                text = _bucket_text(str(bucket), period[0])
            right: exp.Expr = exp.Literal.string(text)
        else:
            right = self.operand(kind)
        node = {"=": exp.EQ, "!=": exp.NEQ, "<": exp.LT, ">": exp.GT, "<=": exp.LTE, ">=": exp.GTE}[op]
        return node(this=left, expression=right)

    def compare_period(self, left: exp.Expr, op: str, start: date, end: date) -> exp.Expr:
        if op == "=":
            return self.range(left, start, end)
        if op == "!=":
            return exp.Not(this=exp.Paren(this=self.range(left, start, end)))
        node, bound = {
            "<": (exp.LT, start),
            ">=": (exp.GTE, start),
            ">": (exp.GTE, end),
            "<=": (exp.LT, end),
        }[op]
        return node(this=left, expression=exp.Literal.string(bound.isoformat()))

    def like(self, left: exp.Expr, word: str) -> exp.Expr:
        text = self.text()
        if word.endswith("contains"):
            text = f"%{text}%"
        elif word == "starts":
            text = f"{text}%"
        elif word == "ends":
            text = f"%{text}"
        node = exp.ILike if self.dialect in ("postgres", "duckdb") else exp.Like
        if self.dialect == "mysql":
            # Its collation decides what LIKE folds; the other engines' forms fold case.
            left, text = exp.Lower(this=left), text.lower()
        test = node(this=left, expression=exp.Literal.string(text))
        return exp.Not(this=test) if word.startswith("not_") else test

    def operand(self, kind: ColumnKind) -> exp.Expr:
        if self.starts_value():
            began = self.at
            value = self.value(kind)
            if self.peek() not in ("+", "-", "*", "/"):
                return value
            self.at = began
        return self.expr()[0]

    def text(self) -> str:
        token = self.take()
        if token in NUMBERS:
            return str(token)
        if isinstance(token, tuple):
            return self.spoken(token)
        raise Inexpressible(f"{token!r} where a value belongs")

    def spoken(self, token: FormToken) -> str:
        if isinstance(token, tuple) and token[0] == "v":
            return self.context.values[token[1]].value
        if isinstance(token, tuple) and token[0] == "q" and len(token) == 3:
            return self.question[token[1] : token[2]]
        raise Inexpressible(f"{token!r} where a value belongs")

    def value(self, kind: ColumnKind) -> exp.Expr:
        matched = isinstance(self.peek(), tuple) and self.peek()[0] == "v"
        text = self.text()
        if kind == "text" or matched:
            if kind == "number" and (number := number_of(text)) is not None:
                return exp.Literal.number(number)
            return exp.Literal.string(text)
        if kind == "bool":
            truth = text.strip().lower() in ("1", "true", "yes", "t", "y")
            return exp.Boolean(this=truth) if self.dialect != "sqlite" else exp.Literal.number(int(truth))
        number = number_of(text)
        if number is not None and kind in ("number", "other"):
            return exp.Literal.number(number)
        return exp.Literal.string(text)


_FRAMED = (exp.Sum, exp.Avg, exp.Count, exp.Min, exp.Max)


def _when(condition: exp.Expr, value: exp.Expr) -> exp.Case:
    return exp.Case(ifs=[exp.If(this=condition, true=value)])


def _ratio(left: exp.Expr, right: exp.Expr) -> exp.Div:
    """A division that is neither one of integers nor by zero."""
    return exp.Div(
        this=exp.Cast(this=left, to=exp.DataType.build("double")),
        expression=exp.Nullif(this=right, expression=exp.Literal.number(0)),
    )


def _title(node: exp.Expr) -> str:
    """A name for the column that an expression makes."""
    aggregate = node if isinstance(node, exp.AggFunc) else None
    if aggregate is None:
        return "value"
    column = aggregate.find(exp.Column)
    word = {"Count": "count", "Sum": "sum", "Avg": "avg", "Min": "min", "Max": "max"}.get(
        type(aggregate).__name__, "value"
    )
    return f"{word}_{column.name}" if column is not None and word != "count" else word


def _covered(column: exp.Column, part: exp.Expr, said: set[str]) -> bool:
    """Whether a column stands inside an aggregate, a subquery, or an expression that is grouped by."""
    node: exp.Expr | None = column
    while node is not None:
        if isinstance(node, exp.Subquery) or node.sql() in said:
            return True
        if isinstance(node, exp.AggFunc) and not isinstance(node.parent, exp.Window):
            return True
        if node is part:
            return False
        node = node.parent
    return False


def _bucket_text(bucket: str, start: date) -> str:
    """How a bucket's text names the period that begins at ``start``."""
    if bucket == "by_quarter":
        return f"{start.year}-Q{(start.month + 2) // 3}"
    return f"{start:%Y-%m}" if bucket == "by_month" else start.isoformat()
