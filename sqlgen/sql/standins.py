"""Stand-ins: columns that no table has, which a definition replaces in the query that a model wrote.

A metric or a term with SQL is shown to the model as one more column of the table that it is about. What the
model writes with that column is then rewritten, in the tree: the sum of ``revenue`` becomes the
sum that defines revenue. The model need not understand the definition, and can't get it wrong. Where the rewriting
could change what is counted (rows multiplied by a join, an average of a ratio), it is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlglot import exp

from sqlgen.sql.parse import Statement, Unreadable, nodes, parse, render, scan
from sqlgen.types import Catalog, Dialect, Table

__all__ = ["Definition", "NotExpressible", "Shape", "StandIn", "expand", "read_definition"]

Shape = Literal["test", "row", "sum", "figure", "members", "whole"]

_AGGREGATES = frozenset(
    "sum avg min max count total median stddev stddev_pop stddev_samp variance var_pop var_samp group_concat string_agg "
    "array_agg count_if approx_count_distinct mode quantile_cont quantile_disc bool_or bool_and arg_max arg_min".split()
)
_PREDICATES = (exp.Predicate, exp.And, exp.Or, exp.Not, exp.Xor)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
YES = "yes"


class NotExpressible(Exception):
    """Why a definition cannot be used as asked; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The SQL of a term, understood: what it is, and the tables that it reads, the one it is about first.

    ``shape``: a test of one row; a figure of one row; the sum of one; another aggregate; the members of
    a set, by key (``key`` is the column of the table that they identify); a whole query with one figure.
    """

    sql: str
    shape: Shape
    tables: tuple[str, ...]
    key: str = ""
    filters: tuple[str, ...] = ()

    def probe(self) -> str:
        """A query that reads all that the definition reads, for validation; it is never run."""
        if self.shape in ("members", "whole"):
            return self.sql
        sources = ", ".join(self.tables)
        condition = " AND ".join(f"({f})" for f in self.filters)
        if self.shape == "test":
            return f"SELECT 1 FROM {sources} WHERE {self.sql}"
        return f"SELECT {self.sql} FROM {sources}" + (f" WHERE {condition}" if condition else "")


@dataclass(frozen=True, slots=True)
class StandIn:
    """``column`` of ``table`` (a table key) stands for ``definition``; ``name`` is what people call it."""

    name: str
    table: str
    column: str
    definition: Definition


def read_definition(
    sql: str, catalog: Catalog, dialect: Dialect, tables: Sequence[str] = (), filters: Sequence[str] = ()
) -> Definition:
    """What the SQL of a term is and is about; raises NotExpressible where it can't be used, or read.

    >>> from sqlgen.types import Column
    >>> shop = Catalog("sqlite", (Table("orders", (Column("total", "REAL", "number"),)),))
    >>> read_definition("SUM(orders.total)", shop, "sqlite").shape, read_definition("total > 5", shop, "sqlite").tables
    ('sum', ('orders',))
    """
    tree = _expression(sql, dialect)
    known = [_table(name, catalog) for name in tables]
    if isinstance(tree, exp.Select):
        return _of_query(tree, sql, catalog, known)
    if isinstance(tree, (exp.SetOperation, exp.Subquery)):
        raise NotExpressible("a definition by a query needs a plain SELECT")
    outer = [c for c in _columns(tree) if _select_of(c) is None]
    for column in outer:
        if column.table:
            known.append(_table(column.table, catalog))
    known = list({t.key: t for t in known}.values())
    for column in outer:
        if not column.table and not any(_has(t, column.name) for t in known):
            holders = [t for t in catalog.tables if _has(t, column.name)]
            if len(holders) != 1:
                raise NotExpressible(
                    f"{column.name} is a column of {'several tables' if holders else 'no table'}; write table.column"
                )
            known.append(holders[0])
    if not known:
        raise NotExpressible("the definition names no column, so it is about no table; name one with --table")
    if not tables:
        # It is about the table whose rows have at most one row of each of the others.
        known = sorted(known, key=lambda t: sum(o.key not in _reachable(t, catalog) for o in known))
    keys = tuple(dict.fromkeys(t.key for t in known))
    plain = _bare(tree)
    if isinstance(plain, _PREDICATES):
        shape: Shape = "test"
    elif not any(_is_aggregate(n) for n in _own_nodes(tree)):
        shape = "row"
    elif _call_name(plain) == "sum" and not _has_distinct(plain):
        shape = "sum"
    else:
        shape = "figure"
    if any(isinstance(n, exp.Window) for n in _own_nodes(tree)):
        raise NotExpressible("a window function cannot define a term")
    for condition in filters:
        _expression(condition, dialect)
    return Definition(sql, shape, keys, filters=tuple(filters))


def _of_query(tree: exp.Select, sql: str, catalog: Catalog, known: list[Table]) -> Definition:
    if len(tree.expressions) != 1:
        raise NotExpressible(
            "a definition by a query has one column: the figure, or the key of the rows meant"
        )
    item = _bare(tree.expressions[0].unalias())
    origin = tree.args.get("from_")
    if origin is None or not isinstance(origin.this, exp.Table):
        if known:
            return Definition(sql, "whole", tuple(t.key for t in known))
        raise NotExpressible("the query names no table; name the one that it is about with --table")
    base = _table(origin.this.name, catalog)
    if not isinstance(item, exp.Column):
        return Definition(sql, "whole", tuple(dict.fromkeys([*(t.key for t in known), base.key])))
    sources = {
        t.alias_or_name.casefold(): _table(t.name, catalog)
        for t in _sources(tree)
        if isinstance(t, exp.Table)
    }
    owner = (
        sources.get(item.table.casefold(), base)
        if item.table
        else next((t for t in sources.values() if _has(t, item.name)), base)
    )
    column = next((c.name for c in owner.columns if c.name.casefold() == item.name.casefold()), "")
    for key in owner.foreign_keys:
        if key.columns == (column,):
            return Definition(sql, "members", (key.target,), key=key.target_columns[0])
    if [c.name for c in owner.columns if c.primary_key] == [column]:
        return Definition(sql, "members", (owner.key,), key=column)
    raise NotExpressible(f"{item.name} identifies no row; select a primary key or a foreign key")


def expand(
    sql: str, stand_ins: Sequence[StandIn], catalog: Catalog, dialect: Dialect
) -> tuple[str, frozenset[str]]:
    """``sql`` with every stand-in replaced by its definition, and the names of those that it used.

    Raises NotExpressible where that would not mean what was asked, and Unreadable for a text that is no query.

    >>> from sqlgen.types import Column
    >>> shop = Catalog("sqlite", (Table("orders", (Column("total", "REAL", "number"), Column("city", "TEXT", "text"))),))
    >>> figure = read_definition("SUM(CASE WHEN city <> 'x' THEN total END)", shop, "sqlite")
    >>> stand_in = StandIn("revenue", "orders", "revenue", figure)
    >>> expand("SELECT city, SUM(revenue) FROM orders GROUP BY city", [stand_in], shop, "sqlite")[0]
    "SELECT city, SUM(CASE WHEN orders.city != 'x' THEN orders.total END) FROM orders GROUP BY city"
    """
    statement = parse(scan(sql, dialect))
    used: set[str] = set()
    for stand_in in stand_ins:
        places = list(_places(statement.tree, stand_in, catalog))
        if not places:
            continue
        used.add(stand_in.name)
        if stand_in.definition.shape == "whole":
            statement = _whole(statement, stand_in, places, dialect)
            continue
        for column, select, alias in places:
            _replace(column, select, alias, stand_in, catalog, dialect)
    return render(statement), frozenset(used)


# -- reading -------------------------------------------------------------------------------------


def _expression(sql: str, dialect: Dialect) -> exp.Expr:
    text = sql.strip().rstrip(";").strip()
    is_query = text[:6].upper() == "SELECT"
    try:
        tree = parse(scan(text if is_query else f"SELECT {text}", dialect)).tree
    except Unreadable as fault:
        raise NotExpressible(f"{sql!r} is not readable as {dialect}: {fault.message}") from fault
    if is_query:
        return tree
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or tree.args.get("from_"):
        raise NotExpressible(f"{sql!r} is not one expression")
    found: exp.Expr = tree.expressions[0].unalias()
    found.pop()
    return found


def _bare(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _table(name: str, catalog: Catalog) -> Table:
    wanted = name.casefold()
    for table in catalog.tables:
        if table.key.casefold() == wanted:
            return table
    for table in catalog.tables:
        if table.name.casefold() == wanted:
            return table
    raise NotExpressible(f"there is no table {name}")


def _has(table: Table, column: str) -> bool:
    return any(c.name.casefold() == column.casefold() for c in table.columns)


def _call_name(node: exp.Expr) -> str:
    if isinstance(node, (exp.Anonymous, exp.AnonymousAggFunc)):
        return str(node.name).lower()
    return node.sql_name().lower() if isinstance(node, exp.AggFunc) else ""


def _is_aggregate(node: exp.Expr) -> bool:
    return isinstance(node, exp.AggFunc) or _call_name(node) in _AGGREGATES


def _has_distinct(call: exp.Expr) -> bool:
    return any(isinstance(a, exp.Distinct) for a in call.expressions)


def _columns(tree: exp.Expr) -> list[exp.Column]:
    return [n for n in nodes(tree) if isinstance(n, exp.Column)]


def _own_nodes(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Every node of an expression outside of the queries in it."""
    return (n for n in nodes(tree) if _select_of(n) is None)


def _select_of(node: exp.Expr) -> exp.Select | None:
    """The query that a node stands in; the query itself for its own clauses."""
    above = node.parent
    while above is not None and not isinstance(above, exp.Select):
        above = above.parent
    return above


def _sources(select: exp.Select) -> list[exp.Expr]:
    origin = select.args.get("from_")
    first = [origin.this] if origin is not None else []
    return [*first, *(join.this for join in select.args.get("joins") or [])]


def _aliases(select: exp.Select, table: Table) -> list[str]:
    """The names under which a query reads a table itself."""
    return [
        source.alias_or_name
        for source in _sources(select)
        if isinstance(source, exp.Table)
        and source.name.casefold() == table.name.casefold()
        and (not source.db or not table.schema or source.db.casefold() == table.schema.casefold())
    ]


# -- replacing -----------------------------------------------------------------------------------


def _places(
    tree: exp.Expr, stand_in: StandIn, catalog: Catalog
) -> Iterator[tuple[exp.Column, exp.Select, str]]:
    """Where a stand-in is used: the column, the query that reads its table, and the table's name there."""
    table = _table(stand_in.table, catalog)
    for column in _columns(tree):
        if column.name.casefold() != stand_in.column.casefold():
            continue
        select = _select_of(column)
        while select is not None:
            found = [
                a
                for a in _aliases(select, table)
                if not column.table or a.casefold() == column.table.casefold()
            ]
            if found:
                if select is not _select_of(column):
                    raise NotExpressible(
                        f"{stand_in.name} is used in a query inside the one that reads {table.name}"
                    )
                yield column, select, found[0]
                break
            select = _select_of(select)


def _whole(
    statement: Statement,
    stand_in: StandIn,
    places: Sequence[tuple[exp.Column, exp.Select, str]],
    dialect: Dialect,
) -> Statement:
    tree = statement.tree
    is_alone = (
        isinstance(tree, exp.Select)
        and len(places) == 1
        and len(tree.expressions) == 1
        and not any(tree.args.get(part) for part in ("where", "group", "having", "joins", "with_"))
    )
    if not is_alone:
        raise NotExpressible(
            f"{stand_in.name} is defined by a whole query, which cannot be filtered or broken down; "
            "define it by an expression to do that"
        )
    return parse(scan(stand_in.definition.sql.strip().rstrip(";"), dialect))


def _replace(
    column: exp.Column, select: exp.Select, alias: str, stand_in: StandIn, catalog: Catalog, dialect: Dialect
) -> None:
    definition = stand_in.definition
    if definition.shape in ("test", "members"):
        _replace_test(column, _condition(select, alias, stand_in, catalog, dialect), stand_in)
        return
    value = _qualified(_expression(definition.sql, dialect), select, alias, definition, catalog)
    for text in definition.filters:
        condition = _qualified(_expression(text, dialect), select, alias, definition, catalog)
        value = _filtered(value, condition, definition.shape)
    call = _aggregate_above(column, select)
    clause = _clause(column, select)
    if definition.shape == "row":
        column.replace(exp.Paren(this=value) if isinstance(value, exp.Binary) else value)
        if call is not None and _call_name(call) not in ("min", "max"):
            _refuse_fan_out(select, alias, stand_in, catalog)
        return
    if definition.shape == "sum":
        _replace_sum(column, value, call, clause, select, stand_in)
        if call is None or _call_name(call) not in ("min", "max"):
            _refuse_fan_out(select, alias, stand_in, catalog)
        return
    _replace_figure(column, value, call, clause, select, stand_in)
    _refuse_fan_out(select, alias, stand_in, catalog)


def _condition(
    select: exp.Select, alias: str, stand_in: StandIn, catalog: Catalog, dialect: Dialect
) -> exp.Expr:
    definition = stand_in.definition
    if definition.shape == "members":
        query = _expression(definition.sql, dialect)
        key = exp.column(exp.to_identifier(definition.key), table=exp.to_identifier(alias))
        return exp.In(this=key, query=exp.Subquery(this=query))
    return _qualified(_expression(definition.sql, dialect), select, alias, definition, catalog)


def _replace_test(column: exp.Column, condition: exp.Expr, stand_in: StandIn) -> None:
    above = column.parent
    place = above.parent if above is not None else None
    literal = None
    if isinstance(above, (exp.EQ, exp.NEQ)):
        other = above.expression if above.this is column else above.this
        literal = other.name if isinstance(other, exp.Literal) else None
    elif isinstance(above, exp.In) and above.this is column and len(above.expressions) == 1:
        literal = above.expressions[0].name
    if above is None or literal != YES:
        raise NotExpressible(f"{stand_in.name} is a test of a row, and the query uses it as something else")
    negated = isinstance(above, exp.NEQ)
    # A row for which the test is unknown is none of those meant: NOT would lose it.
    if negated or isinstance(place, exp.Not):
        chosen = exp.Case(
            ifs=[exp.If(this=condition, true=exp.Literal.number(1))], default=exp.Literal.number(0)
        )
        test = exp.EQ(this=chosen, expression=exp.Literal.number(0 if negated else 1))
        above.replace(test if negated else exp.Paren(this=test))
        return
    above.replace(exp.Paren(this=condition) if isinstance(condition, (exp.Or, exp.And)) else condition)


def _replace_sum(
    column: exp.Column,
    value: exp.Expr,
    call: exp.Expr | None,
    clause: str,
    select: exp.Select,
    stand_in: StandIn,
) -> None:
    row = value.expressions[0] if isinstance(value, exp.Anonymous) else value.this
    if call is not None:
        if _call_name(call) not in ("sum", "avg", "min", "max"):
            raise NotExpressible(f"{stand_in.name} is a sum; {_call_name(call).upper()} of it says nothing")
        column.replace(
            exp.Paren(this=row) if isinstance(row, exp.Binary) and column.parent is not call else row
        )
        return
    if clause == "group":
        raise NotExpressible(f"{stand_in.name} is a sum, and the query groups by it")
    is_alone = len(select.expressions) == 1 and select.args.get("order") is None
    if clause == "having" or (clause in ("expressions", "order") and (select.args.get("group") or is_alone)):
        column.replace(value)
    else:
        column.replace(exp.Paren(this=row) if isinstance(row, exp.Binary) else row)


def _replace_figure(
    column: exp.Column,
    value: exp.Expr,
    call: exp.Expr | None,
    clause: str,
    select: exp.Select,
    stand_in: StandIn,
) -> None:
    target: exp.Expr = column
    if call is not None:
        if _call_name(call) not in ("sum", "avg") or call.expressions != [column]:
            raise NotExpressible(f"{stand_in.name} is an aggregate of its own; the query makes another of it")
        target = call
    if clause not in ("expressions", "order", "having"):
        raise NotExpressible(
            f"{stand_in.name} is a figure of many rows, and the query tests single rows by it"
        )
    others = [
        e
        for e in select.expressions
        if target not in list(nodes(e)) and not any(map(_is_aggregate, nodes(e)))
    ]
    if call is None and select.args.get("group") is None and (others or clause != "expressions"):
        raise NotExpressible(f"{stand_in.name} is a figure of many rows, and the query lists single rows")
    above = target.parent
    while above is not None and above is not select:
        if isinstance(above, (*_ARITHMETIC, exp.Window, exp.Case)):
            raise NotExpressible(
                f"{stand_in.name} is a finished figure; the query goes on to calculate with it"
            )
        above = above.parent
    target.replace(exp.Paren(this=value) if isinstance(above, exp.Binary) else value)


def _aggregate_above(column: exp.Column, select: exp.Select) -> exp.Expr | None:
    node = column.parent
    while node is not None and node is not select:
        if _is_aggregate(node):
            return node
        node = node.parent
    return None


def _clause(column: exp.Expr, select: exp.Select) -> str:
    """The clause of a query that a node stands in."""
    node = column
    while node.parent is not None and node.parent is not select:
        node = node.parent
    return str(node.arg_key or "")


def _filtered(value: exp.Expr, condition: exp.Expr, shape: Shape) -> exp.Expr:
    """A figure of only those rows that meet a condition."""

    def chosen(inner: exp.Expr) -> exp.Expr:
        return exp.Case(ifs=[exp.If(this=condition.copy(), true=inner)])

    if shape == "row":
        return chosen(value)
    for call in [n for n in _own_nodes(value) if _is_aggregate(n)]:
        arguments = call.expressions
        first = arguments[0] if arguments else call.this
        if isinstance(first, exp.Distinct):
            inner = first.expressions[0]
            inner.replace(chosen(inner.copy()))
        elif isinstance(first, exp.Star):
            first.replace(chosen(exp.Literal.number(1)))
        elif isinstance(first, exp.Expr):
            first.replace(chosen(first.copy()))
    return value


# -- joins ---------------------------------------------------------------------------------------


def _qualified(
    value: exp.Expr, select: exp.Select, alias: str, definition: Definition, catalog: Catalog
) -> exp.Expr:
    """A definition's expression with every column under the name that its table has in the query."""
    grain = _table(definition.tables[0], catalog)
    others = [_table(key, catalog) for key in definition.tables[1:]]
    names = {grain.name.casefold(): alias, grain.key.casefold(): alias}
    for column in _columns(value):
        inner = _select_of(column)
        if inner is not None:
            held = {s.alias_or_name.casefold() for s in _sources(inner)}
            if column.table and column.table.casefold() in names and column.table.casefold() not in held:
                column.set("table", exp.to_identifier(names[column.table.casefold()]))
            continue
        owner = (
            _table(column.table, catalog)
            if column.table
            else next((t for t in (grain, *others) if _has(t, column.name)), grain)
        )
        if owner.name.casefold() not in names:
            there = _reached(select, alias, grain, owner, catalog)
            names[owner.name.casefold()] = names[owner.key.casefold()] = there
        column.set("db", None)
        column.set("table", exp.to_identifier(names[owner.name.casefold()]))
    return value


def _reachable(
    grain: Table, catalog: Catalog
) -> dict[str, tuple[Table, Table, tuple[str, ...], tuple[str, ...]] | None]:
    """The tables of which each row of a table has at most one, with the last step along foreign keys to them."""
    before: dict[str, tuple[Table, Table, tuple[str, ...], tuple[str, ...]] | None] = {grain.key: None}
    queue = [grain]
    for here in queue:
        for key in here.foreign_keys:
            target = catalog.table(key.target)
            if target is not None and target.key not in before:
                before[target.key] = (here, target, key.columns, key.target_columns)
                queue.append(target)
    return before


def _way(
    grain: Table, wanted: Table, catalog: Catalog
) -> list[tuple[Table, Table, tuple[str, ...], tuple[str, ...]]]:
    """The steps along foreign keys from a table to one that each of its rows has one row of."""
    before = _reachable(grain, catalog)
    if wanted.key not in before:
        raise NotExpressible(
            f"no foreign key leads from {grain.name} to {wanted.name}, so they cannot be joined"
        )
    steps = []
    step = before[wanted.key]
    while step is not None:
        steps.append(step)
        step = before[step[0].key]
    return steps[::-1]


def _reached(select: exp.Select, alias: str, grain: Table, wanted: Table, catalog: Catalog) -> str:
    """The name of a table in a query, joined along foreign keys where it is not there yet."""
    here = alias
    for _, target, columns, target_columns in _way(grain, wanted, catalog):
        pairs = list(zip(columns, target_columns, strict=True))
        there = next((a for a in _aliases(select, target) if _joined(select, here, a, pairs)), "")
        if not there:
            taken = {s.alias_or_name.casefold() for s in _sources(select)}
            there = target.name
            number = 2
            while there.casefold() in taken:
                there, number = f"{target.name}_{number}", number + 1
            source = exp.Table(
                this=exp.to_identifier(target.name),
                db=exp.to_identifier(target.schema) if target.schema else None,
            )
            if there != target.name:
                source.set("alias", exp.TableAlias(this=exp.to_identifier(there)))
            condition = exp.and_(
                *(
                    exp.EQ(
                        this=exp.column(exp.to_identifier(a), table=exp.to_identifier(here)),
                        expression=exp.column(exp.to_identifier(b), table=exp.to_identifier(there)),
                    )
                    for a, b in pairs
                )
            )
            # A row without a partner still counts in what does not read the partner.
            select.append("joins", exp.Join(this=source, side="LEFT", on=condition))
        here = there
    return here


def _equalities(select: exp.Select) -> Iterator[tuple[exp.Column, exp.Column]]:
    for join in select.args.get("joins") or []:
        condition = join.args.get("on")
        for node in nodes(condition) if condition is not None else ():
            if (
                isinstance(node, exp.EQ)
                and isinstance(node.this, exp.Column)
                and isinstance(node.expression, exp.Column)
            ):
                yield node.this, node.expression


def _joined(select: exp.Select, here: str, there: str, pairs: Sequence[tuple[str, str]]) -> bool:
    found = set()
    for left, right in _equalities(select):
        for a, b in ((left, right), (right, left)):
            if a.table.casefold() == here.casefold() and b.table.casefold() == there.casefold():
                found.add((a.name.casefold(), b.name.casefold()))
    return all((a.casefold(), b.casefold()) in found for a, b in pairs)


def _refuse_fan_out(select: exp.Select, alias: str, stand_in: StandIn, catalog: Catalog) -> None:
    """Raise NotExpressible when a join gives rows of the stand-in's table more than once."""
    sources: dict[str, Table | None] = {}
    for source in _sources(select):
        is_table = isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier)
        try:
            sources[source.alias_or_name.casefold()] = _table(source.name, catalog) if is_table else None
        except NotExpressible:
            sources[source.alias_or_name.casefold()] = None
    unique = _unique_columns(catalog)
    equal: dict[tuple[str, str], set[str]] = {}
    for left, right in _equalities(select):
        for a, b in ((left, right), (right, left)):
            equal.setdefault((a.table.casefold(), b.table.casefold()), set()).add(b.name.casefold())
    single = {alias.casefold()}
    grown = True
    while grown:
        grown = False
        for (here, there), columns in equal.items():
            table = sources.get(there)
            is_new = here in single and there not in single and table is not None
            if is_new and table and any(key <= columns for key in unique.get(table.key, ())):
                single.add(there)
                grown = True
    for name, table in sources.items():
        if name not in single:
            what = name if table is None else table.name
            raise NotExpressible(
                f"{stand_in.name} counts rows of {stand_in.table}, and the join with {what} would count them more than once"
            )


def _unique_columns(catalog: Catalog) -> Mapping[str, list[frozenset[str]]]:
    """Columns that identify a row: primary keys, and what foreign keys refer to."""
    unique: dict[str, list[frozenset[str]]] = {}
    for table in catalog.tables:
        primary = frozenset(c.name.casefold() for c in table.columns if c.primary_key)
        if primary:
            unique.setdefault(table.key, []).append(primary)
        for key in table.foreign_keys:
            unique.setdefault(key.target, []).append(frozenset(c.casefold() for c in key.target_columns))
    return unique
