"""Queries that run but may say something else than was meant: read from the tree, the keys and the types.

Each rule warns only where the catalog gives evidence; a query that is sound by what is known gets no warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlglot import exp

from sqlgen.sql.parse import Statement, nodes, span_of
from sqlgen.sql.scope import CatalogNames
from sqlgen.sql.trace import Trace, trace
from sqlgen.types import Column, Finding, Table

__all__ = ["warnings_of"]

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.ILike, exp.In, exp.Between)
_NULL_PROOF = frozenset("coalesce ifnull nvl isnull concat concat_ws if iif".split())
_INTEGER = re.compile(r"(tiny|small|medium|big|huge)?int(eger)?(\d|\b)|u\w*int|(small|big)?serial", re.I)
_RATIO_NAME = re.compile(r"(^|_)(rate|ratio|pct|percent|percentage|share|avg|average|mean)(_|$)", re.I)
_FACTOR_NAME = re.compile(r"rate|factor|scale|fx|exchange", re.I)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}$")


def warnings_of(statement: Statement, names: CatalogNames) -> tuple[Finding, ...]:
    """What may be wrong with the figures of ``statement``, each as a finding with its rule.

    >>> from sqlgen.sql.parse import parse, scan
    >>> from sqlgen.types import Catalog
    >>> names = CatalogNames(Catalog("sqlite", (Table("t", (Column("a", "INTEGER", "number"),)),)), "sqlite")
    >>> [w.rule for w in warnings_of(parse(scan("SELECT a / 2 FROM t LIMIT 3", "sqlite")), names)]
    ['integer_division', 'limit_without_order']
    """
    reading = _Reading(statement, names)
    found = [finding for rule in _RULES for finding in rule(reading)]
    return tuple({f.message: f for f in found}.values())


class _Reading:
    """The tree with its columns followed to the catalog; copied, because following a name may change it."""

    def __init__(self, statement: Statement, names: CatalogNames) -> None:
        self.dialect = statement.dialect
        copy = statement.copied()
        self.walk: Trace = trace(copy, names)
        self.all = list(nodes(copy.tree))
        self.tables = {t.key: t for listed in names.tables.values() for t in listed}
        self.origins: dict[int, str] = {}
        for origin, readers in self.walk.uses.items():
            for reader in readers:
                if isinstance(reader, exp.Column):
                    self.origins.setdefault(id(reader), origin)
        self.keys = {id(node): key for node, key in self.walk.scans}

    def selects(self) -> Iterator[exp.Select]:
        for node in self.all:
            if isinstance(node, exp.Select):
                yield node

    def column(self, node: exp.Expr | None) -> Column | None:
        """The catalog's column that a bare column node reads."""
        node = _bare(node)
        origin = self.origins.get(id(node)) if isinstance(node, exp.Column) else None
        if origin is None:
            return None
        for key, table in self.tables.items():
            if origin.startswith(f"{key}."):
                column = table.column(origin[len(key) + 1 :])
                if column is not None:
                    return column
        return None


def _bare(node: exp.Expr | None) -> exp.Expr | None:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _within(node: exp.Expr, into: Callable[[exp.Expr], bool] = lambda _: True) -> Iterator[exp.Expr]:
    """Nodes under ``node`` that belong to the same query."""
    stack = [node]
    while stack:
        part = stack.pop()
        yield part
        if part is not node and isinstance(part, (exp.Query, exp.Subquery)):
            continue
        if not into(part):
            continue
        for value in part.args.values():
            stack += [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, exp.Expr)]


def _conjuncts(node: exp.Expr | None) -> list[exp.Expr]:
    node = _bare(node)
    if node is None:
        return []
    if isinstance(node, exp.And):
        return [*_conjuncts(node.this), *_conjuncts(node.expression)]
    return [node]


def _call(node: exp.Expr | None, *wanted: str) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.lower() in wanted


# --- double counting ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Edge:
    """An equality join: ``pairs`` of column names, of ``left`` and ``right`` (labels in FROM)."""

    left: str
    right: str
    pairs: frozenset[tuple[str, str]]


def _double_counting(reading: _Reading) -> Iterator[Finding]:
    for select in reading.selects():
        joins = select.args.get("joins") or []
        origin = select.args.get("from_")
        if not joins or origin is None:
            continue
        sources = {
            table.alias_or_name.lower(): reading.tables[reading.keys[id(table)]]
            for table in [origin.this, *(j.this for j in joins)]
            if id(table) in reading.keys
        }
        skipped = {
            j.this.alias_or_name.lower()
            for j in joins
            if str(j.args.get("kind") or "").upper() in ("SEMI", "ANTI")
        }
        sources = {label: table for label, table in sources.items() if label not in skipped}
        edges, fixed = _joined(select, sources)
        grouped = {
            owner
            for g in (select.args["group"].expressions if select.args.get("group") else [])
            for owner in [_owner(_bare(g), sources)]
        }
        for call in _aggregates(select):
            argument = call.expressions[0]
            if isinstance(argument, (exp.Distinct, exp.Star)):
                continue
            owners = {_owner(c, sources) for c in _values(argument)}
            if not owners or None in owners or (_call(call, "count") and owners & grouped):
                continue
            fans = [_fan(str(owner), edges, sources, fixed) for owner in owners]
            if all(fans):
                what = argument.sql(dialect=reading.dialect)
                yield Finding(
                    "double_counting",
                    f"{call.name.upper()}({what}) may count a row several times: each is joined to every matching "
                    f"row of `{fans[0]}`; aggregate before joining",
                    span_of(call),
                )


def _aggregates(select: exp.Select) -> Iterator[exp.Anonymous]:
    for part in (*select.expressions, *filter(None, (select.args.get("having"), select.args.get("order")))):
        for node in _within(part, lambda n: not isinstance(n, exp.Window)):
            if isinstance(node, exp.Anonymous) and _call(node, "sum", "avg", "count") and node.expressions:
                yield node


def _values(argument: exp.Expr) -> Iterator[exp.Column]:
    """The columns whose values are added up, without those that only decide whether."""
    stack = [argument]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Column):
            yield node
        elif isinstance(node, exp.Case):
            stack += [i.args["true"] for i in node.args["ifs"]]
            stack += [node.args["default"]] if node.args.get("default") is not None else []
        elif not isinstance(node, (*_COMPARISONS, exp.Is, exp.Not, exp.And, exp.Or, exp.Query, exp.Subquery)):
            parts = (p for v in node.args.values() for p in (v if isinstance(v, list) else [v]))
            stack += [p for p in parts if isinstance(p, exp.Expr)]


def _owner(node: exp.Expr | None, sources: dict[str, Table]) -> str | None:
    """The label of the table that a column belongs to, when that is certain."""
    if not isinstance(node, exp.Column):
        return None
    if node.table:
        label = node.table.lower()
        return label if label in sources else None
    name = node.name.lower()
    holders = [s for s, t in sources.items() if any(c.name.lower() == name for c in t.columns)]
    return holders[0] if len(holders) == 1 else None


def _joined(select: exp.Select, sources: dict[str, Table]) -> tuple[list[_Edge], dict[str, frozenset[str]]]:
    """The equality joins of a query, and the columns of each source that a condition fixes to one value."""
    pairs: dict[tuple[str, str], set[tuple[str, str]]] = {}
    fixed: dict[str, set[str]] = {}
    conditions = [select.args["where"].this] if select.args.get("where") else []
    before: list[str] = []
    origin = select.args["from_"].this
    if isinstance(origin, exp.Table):
        before.append(origin.alias_or_name.lower())
    for join in select.args.get("joins") or []:
        label = join.this.alias_or_name.lower() if isinstance(join.this, exp.Table) else ""
        if join.args.get("on") is not None:
            conditions.append(join.args["on"])
        for name in join.args.get("using") or []:
            for other in before:
                if other in sources and any(
                    c.name.lower() == name.name.lower() for c in sources[other].columns
                ):
                    pairs.setdefault((other, label), set()).add((name.name.lower(), name.name.lower()))
                    break
        before.append(label)
    for condition in (c for whole in conditions for c in _conjuncts(whole)):
        if not isinstance(condition, exp.EQ):
            continue
        left, right = _bare(condition.this), _bare(condition.expression)
        owners = _owner(left, sources), _owner(right, sources)
        if owners[0] and owners[1] and owners[0] != owners[1]:
            assert left is not None
            assert right is not None
            pairs.setdefault((owners[0], owners[1]), set()).add((left.name.lower(), right.name.lower()))
        for owner, cell, value in ((owners[0], left, right), (owners[1], right, left)):
            if owner and cell is not None and isinstance(value, (exp.Literal, exp.Boolean, exp.Subquery)):
                fixed.setdefault(owner, set()).add(cell.name.lower())
    edges = [_Edge(a, b, frozenset(p)) for (a, b), p in pairs.items() if a in sources and b in sources]
    return edges, {label: frozenset(names) for label, names in fixed.items()}


def _fan(start: str, edges: list[_Edge], sources: dict[str, Table], fixed: dict[str, frozenset[str]]) -> str:
    """The table that multiplies the rows of ``start``, or ''."""
    reached, waiting = {start}, [start]
    while waiting:
        label = waiting.pop()
        for edge in edges:
            if label == edge.left:
                other, own, theirs = edge.right, *_sides(edge.pairs)
            elif label == edge.right:
                other, theirs, own = edge.left, *_sides(edge.pairs)
            else:
                continue
            if other in reached:
                continue
            if _is_unique(sources[other], theirs | fixed.get(other, frozenset())):
                reached.add(other)
                waiting.append(other)
            elif _is_many(sources[label], own, sources[other], theirs):
                return sources[other].name
    return ""


def _sides(pairs: frozenset[tuple[str, str]]) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(a for a, _ in pairs), frozenset(b for _, b in pairs)


def _is_unique(table: Table, columns: frozenset[str]) -> bool:
    key = {c.name.lower() for c in table.columns if c.primary_key}
    return bool(key) and key <= columns


def _is_many(one: Table, own: frozenset[str], many: Table, theirs: frozenset[str]) -> bool:
    """True if keys say that a row of ``one`` has many of ``many``: these refer to it and are not unique."""
    refers = any(
        key.target == one.key
        and {c.lower() for c in key.columns} <= theirs
        and {c.lower() for c in key.target_columns} <= own
        for key in many.foreign_keys
    )
    has_key = any(c.primary_key for c in many.columns)
    return refers or (has_key and _is_unique(one, own))


# --- integer division --------------------------------------------------------------------------------------


def _integer_division(reading: _Reading) -> Iterator[Finding]:
    if reading.dialect not in ("sqlite", "postgres"):
        return
    for node in reading.all:
        if not isinstance(node, exp.Div) or not (
            _is_integer(node.this, reading) and _is_integer(node.expression, reading)
        ):
            continue
        outer = node.parent
        while isinstance(outer, exp.Paren):
            outer = outer.parent
        factor = _bare(outer.expression) if isinstance(outer, exp.Mul) else None
        if factor is not None and factor == _bare(node.expression):
            continue  # year / 10 * 10 means the decade
        if any(isinstance(n, exp.Cast) for n in _within(node.this)) or node in _groups(node):
            continue  # a quarter or another bucket, made on purpose
        if isinstance(outer, exp.Cast) and _INTEGER.match(outer.args["to"].sql()):
            continue
        yield Finding(
            "integer_division",
            f"`{node.sql(dialect=reading.dialect)}` divides whole numbers and drops the fraction; multiply by 1.0 first",
            span_of(node),
        )


def _groups(node: exp.Expr) -> list[exp.Expr]:
    select = node.find_ancestor(exp.Select)
    group = select.args.get("group") if select is not None else None
    return [part for part in map(_bare, group.expressions) if part is not None] if group is not None else []


def _is_integer(node: exp.Expr | None, reading: _Reading) -> bool:
    node = _bare(node)
    if isinstance(node, exp.Literal):
        return not node.is_string and node.name.isdigit()
    if isinstance(node, exp.Neg):
        return _is_integer(node.this, reading)
    if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
        return _is_integer(node.this, reading) and _is_integer(node.expression, reading)
    if isinstance(node, exp.Column):
        column = reading.column(node)
        return column is not None and bool(_INTEGER.match(column.type))
    if isinstance(node, exp.Cast):
        return bool(_INTEGER.match(node.args["to"].sql()))
    if isinstance(node, (exp.Filter, exp.Window)):
        return _is_integer(node.this, reading)
    if isinstance(node, exp.Case):
        results = [i.args["true"] for i in node.args["ifs"]]
        results += [node.args["default"]] if node.args.get("default") is not None else []
        return all(_is_integer(r, reading) for r in results if not isinstance(_bare(r), exp.Null))
    if _call(node, "count", "length", "row_number", "rank", "dense_rank"):
        return True
    if isinstance(node, exp.Anonymous) and _call(
        node, "sum", "min", "max", "abs", "coalesce", "nullif", "ifnull"
    ):
        parts = [p.expressions[0] if isinstance(p, exp.Distinct) else p for p in node.expressions]
        return bool(parts) and all(_is_integer(p, reading) for p in parts)
    if isinstance(node, exp.Coalesce):
        return all(_is_integer(p, reading) for p in (node.this, *node.expressions))
    return False


# --- NULL --------------------------------------------------------------------------------------------------


def _not_in_null(reading: _Reading) -> Iterator[Finding]:
    for node in reading.all:
        if not isinstance(node, exp.Not):
            continue
        inner = _bare(node.this)
        if not isinstance(inner, exp.In) or inner.args.get("query") is None:
            continue
        query = inner.args["query"].unnest()
        if not isinstance(query, exp.Select) or len(query.expressions) != 1:
            continue
        output = query.expressions[0]
        output = _bare(output.this if isinstance(output, exp.Alias) else output)
        column = reading.column(output)
        if not isinstance(output, exp.Column) or column is None or not column.nullable or column.primary_key:
            continue
        where = query.args.get("where")
        conditions = _conjuncts(where.this if where is not None else None)
        for join in query.args.get("joins") or []:
            if not join.side:
                conditions += _conjuncts(join.args.get("on"))
        own = reading.origins.get(id(output))
        if any(own in _needs_value(c, reading) for c in conditions):
            continue
        yield Finding(
            "not_in_null",
            f"NOT IN finds nothing at all when `{column.name}` of the inner query is NULL in any row; add "
            f"`{column.name} IS NOT NULL` there, or use NOT EXISTS",
            span_of(output),
        )


def _needs_value(condition: exp.Expr, reading: _Reading) -> set[str | None]:
    """The origins that must not be NULL for ``condition`` to hold."""
    return {reading.origins.get(id(c)) for c in _strict_columns(condition)}


def _strict_columns(condition: exp.Expr | None) -> list[exp.Column]:
    condition = _bare(condition)
    if isinstance(condition, exp.Not):
        inner = _bare(condition.this)
        if isinstance(inner, exp.Is):
            is_null = isinstance(inner.expression, exp.Null) and not inner.args.get("negate")
            return _plain_columns(inner.this) if is_null else []
        return _strict_columns(inner) if isinstance(inner, _COMPARISONS) else []
    if isinstance(condition, exp.Is) and condition.args.get("negate"):
        return _plain_columns(condition.this)  # how PostgreSQL's IS NOT NULL is read
    if isinstance(condition, exp.In):
        return _plain_columns(condition.this)
    if isinstance(condition, exp.Between):
        return [c for p in ("this", "low", "high") for c in _plain_columns(condition.args.get(p))]
    if isinstance(condition, _COMPARISONS):
        return _plain_columns(condition.this) + _plain_columns(condition.expression)
    return []


def _plain_columns(node: exp.Expr | None) -> list[exp.Column]:
    """Columns whose NULL makes the whole expression NULL."""
    if node is None:
        return []

    def hides(part: exp.Expr) -> bool:
        return (
            isinstance(
                part, (exp.Case, exp.Coalesce, exp.If, exp.Is, exp.Query, exp.Subquery, exp.Or, exp.And)
            )
            or type(part).__name__ in ("NullSafeEQ", "NullSafeNEQ", "Window", "Array", "Struct")
            or (isinstance(part, exp.Anonymous) and part.name.lower() in _NULL_PROOF)
        )

    return [c for c in _within(node, lambda n: not hides(n)) if isinstance(c, exp.Column)]


def _outer_join_undone(reading: _Reading) -> Iterator[Finding]:
    for select in reading.selects():
        where, origin = select.args.get("where"), select.args.get("from_")
        if where is None or origin is None:
            continue
        before = [origin.this.alias_or_name.lower()]
        optional: dict[str, str] = {}
        for join in select.args.get("joins") or []:
            label = join.this.alias_or_name.lower()
            if join.side.upper() == "LEFT" and str(join.args.get("kind") or "").upper() not in (
                "SEMI",
                "ANTI",
            ):
                optional[label] = "LEFT JOIN"
            elif join.side.upper() == "RIGHT":
                optional.update(dict.fromkeys(before, "RIGHT JOIN"))
            before.append(label)
        if not optional:
            continue
        sources = {
            t.alias_or_name.lower(): reading.tables[reading.keys[id(t)]]
            for t in [origin.this, *(j.this for j in select.args.get("joins") or [])]
            if id(t) in reading.keys
        }
        for condition in _conjuncts(where.this):
            for column in _strict_columns(condition):
                owner = column.table.lower() or _owner(column, sources) or ""
                if owner in optional:
                    yield Finding(
                        "outer_join_undone",
                        f"the {optional[owner]} keeps rows without a match in `{owner}`, but WHERE needs "
                        f"`{column.name}` of it and drops them again; put the condition into ON, or use a plain JOIN",
                        span_of(column),
                    )


# --- dates, ratios, limits ---------------------------------------------------------------------------------


def _date_range(reading: _Reading) -> Iterator[Finding]:
    for node in reading.all:
        if isinstance(node, exp.Between):
            subject, last = node.this, node.args["high"]
        elif isinstance(node, exp.LTE):
            subject, last = node.this, node.expression
        elif isinstance(node, exp.GTE):
            subject, last = node.expression, node.this
        else:
            continue
        column = reading.column(subject)
        day = _day_of(last)
        if column is not None and day and _has_time(column):
            yield Finding(
                "date_range",
                f"`{column.name}` holds times of day: up to '{day}' ends at its midnight and leaves out the rest of "
                "that day; use < the day after",
                span_of(subject),
            )


def _day_of(node: exp.Expr | None) -> str:
    node = _bare(node)
    if isinstance(node, exp.Cast):
        node = _bare(node.this)
    if isinstance(node, exp.Literal) and node.is_string and _DAY.match(node.name):
        return node.name
    return ""


def _has_time(column: Column) -> bool:
    if column.kind != "date":
        return False
    if isinstance(column.maximum, str) and isinstance(column.minimum, str):
        ends = {column.minimum[10:], column.maximum[10:]}
        return any(end.strip(" T0:.Z+") for end in ends) if re.match(r"\d{4}-", column.maximum) else False
    return bool(re.search(r"timestamp|datetime", column.type, re.I))


def _sum_of_ratio(reading: _Reading) -> Iterator[Finding]:
    for node in reading.all:
        if not isinstance(node, exp.Anonymous) or not _call(node, "sum") or not node.expressions:
            continue
        argument = _bare(node.expressions[0])
        name = _ratio_in(argument, reading)
        if name:
            yield Finding(
                "sum_of_ratio",
                f"SUM adds up `{name}`, a ratio or an average; divide the sums instead, or weigh it",
                span_of(node),
            )


def _ratio_in(node: exp.Expr | None, reading: _Reading) -> str:
    if isinstance(node, exp.Div):
        above = any(isinstance(n, exp.Column) for n in _within(node.this))
        below = [n for n in _within(node.expression) if isinstance(n, exp.Column)]
        if above and below and not any(_FACTOR_NAME.search(c.name) for c in below):
            return node.sql(dialect=reading.dialect)
        return ""
    if not isinstance(node, exp.Column):
        return ""
    if id(node) in reading.origins:
        return node.name if _RATIO_NAME.search(node.name) else ""
    made = _made_by(node)
    while isinstance(made, exp.Anonymous) and _call(made, "round", "coalesce") and made.expressions:
        made = _bare(made.expressions[0])
    is_ratio = isinstance(made, exp.Div) and any(isinstance(n, exp.Column) for n in _within(made.expression))
    return node.name if _call(made, "avg") or is_ratio else ""


def _made_by(column: exp.Column) -> exp.Expr | None:
    """The expression of a derived table or CTE in the same FROM that a column names."""
    select = column.find_ancestor(exp.Select)
    origin = select.args.get("from_") if select is not None else None
    if select is None or origin is None:
        return None
    for source in [origin.this, *(j.this for j in select.args.get("joins") or [])]:
        if column.table and source.alias_or_name.lower() != column.table.lower():
            continue
        query: exp.Expr | None = source.this if isinstance(source, exp.Subquery) else None
        if isinstance(source, exp.Table):
            ctes = [c for c in select.root().find_all(exp.CTE) if c.alias.lower() == source.name.lower()]
            query = ctes[0].this if len(ctes) == 1 else None
        if isinstance(query, exp.Select):
            for item in query.expressions:
                if isinstance(item, exp.Alias) and item.alias.lower() == column.name.lower():
                    return _bare(item.this)
    return None


def _limit_without_order(reading: _Reading) -> Iterator[Finding]:
    for node in reading.all:
        if not isinstance(node, (exp.Select, exp.SetOperation)):
            continue
        limit = node.args.get("limit") or node.args.get("fetch")
        if limit is None or node.args.get("order") is not None or isinstance(node.parent, exp.Exists):
            continue
        count = limit.expression if isinstance(limit, exp.Limit) else limit.args.get("count")
        if isinstance(count, exp.Literal) and count.name == "0":
            continue
        if isinstance(node, exp.Select) and _is_one_row(node, reading):
            continue
        yield Finding(
            "limit_without_order",
            "LIMIT without ORDER BY returns whichever rows come first; say by what to order",
            span_of(node),
        )


def _is_one_row(select: exp.Select, reading: _Reading) -> bool:
    origin = select.args.get("from_")
    if origin is None:
        return True
    if select.args.get("group") is None:
        parts = [n for e in select.expressions for n in _within(e, lambda n: not isinstance(n, exp.Window))]
        if any(
            _call(n, "count", "sum", "avg", "min", "max", "total") and len(n.expressions) < 2 for n in parts
        ):
            return True
    inner = origin.this
    if isinstance(inner, exp.Subquery) and inner.args.get("limit") is None and not select.args.get("joins"):
        ordered = inner.this.args.get("order") if isinstance(inner.this, exp.Query) else None
        if ordered is not None:
            return True
    if id(inner) not in reading.keys or select.args.get("joins"):
        return False
    sources = {inner.alias_or_name.lower(): reading.tables[reading.keys[id(inner)]]}
    _, fixed = _joined(select, sources)
    return any(_is_unique(table, fixed.get(label, frozenset())) for label, table in sources.items())


_RULES: tuple[Callable[[_Reading], Iterator[Finding]], ...] = (
    _double_counting,
    _integer_division,
    _not_in_null,
    _outer_join_undone,
    _date_range,
    _sum_of_ratio,
    _limit_without_order,
)
