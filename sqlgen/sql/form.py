"""The form that the small model writes: SQL with pointers in place of names and literals.

A form is a sequence of tokens: keywords (``KEYWORDS``), tables ``("t", i)``, columns
``("c", i, j)``, matched values ``("v", k)`` and question spans ``("q", start, end)``, where i, j
and k count in a ``RetrievedContext`` and spans in characters of the question. Its grammar::

    query  := core (("union" | "intersect" | "except") core)*
    core   := "select" ["distinct"] item+ ["from" (table | "via" column)+] ["where" cond]
              ["group" expr+] ["having" cond] ["order" (expr ("asc" | "desc"))+] ["limit" value]
    item   := expr | "*" | table                        a table as an item is all its columns
    cond   := pred (("and" | "or") pred)*               "and" binds closer
    pred   := "(" cond ")" | expr compare operand | expr "between" operand operand
            | expr ("in" | "not_in") ("[" query "]" | value+)
            | expr ("is_null" | "not_null") | ("exists" | "not_exists") "[" query "]"
    expr   := prim (("+" | "-" | "*" | "/") prim)*
    prim   := aggregate ["distinct"] prim | "count" "*" | datepart prim | column | value
            | "{" expr "}" | "[" query "]"

FROM is derived: the tables of the columns that a core uses, connected along the foreign keys;
``from`` names only tables that no column implies, ``via`` a foreign key column that the default
path would not take. So a form cannot use a column whose table is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TypeAlias

import sqlglot
from sqlglot import exp

from sqlgen.sql.periods import parse_period
from sqlgen.types import Column, ColumnKind, Dialect, RetrievedContext

__all__ = [
    "KEYWORDS",
    "FormToken",
    "Inexpressible",
    "form_to_sql",
    "form_to_tree",
    "is_number",
    "needed_tables",
    "tree_to_form",
]

FormToken: TypeAlias = "str | tuple[str, int] | tuple[str, int, int]"

AGGREGATES = ("count", "sum", "avg", "min", "max")
DATE_PARTS = ("year", "month", "day", "weekday", "by_quarter", "by_month", "by_week", "by_day")
COMPARISONS = (
    "=",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "like",
    "not_like",
    "contains",
    "not_contains",
    "starts",
    "ends",
)
SET_OPERATIONS = ("union", "intersect", "except")
NUMBERS = tuple(str(n) for n in range(21))
KEYWORDS: tuple[str, ...] = (
    "<s>", "</s>", "select", "distinct", "from", "via", "where", "group", "having", "order", "limit",
    "asc", "desc", "and", "or", "(", ")", "[", "]", "{", "}", "*", "+", "-", "/",
    *COMPARISONS, "between", "in", "not_in", "is_null", "not_null", "exists", "not_exists",
    *SET_OPERATIONS, *AGGREGATES, *DATE_PARTS, *NUMBERS,
)  # fmt: skip


class Inexpressible(ValueError):
    """SQL that the form cannot say, or a form that is no SQL; the message says which part."""


# -- joins ---------------------------------------------------------------------------------------

_Edge: TypeAlias = tuple[int, int, tuple[tuple[int, int], ...], bool]


def _edges(context: RetrievedContext) -> list[_Edge]:
    """(owner, target, ((owner column, target column), ...), inferred), in an order free of table order."""
    places = {s.table.key: i for i, s in enumerate(context.tables)}
    names = [{c.name: j for j, c in enumerate(s.table.columns)} for s in context.tables]
    edges: list[tuple[tuple[bool, str, str, tuple[str, ...]], _Edge]] = []
    for i, piece in enumerate(context.tables):
        for key in piece.table.foreign_keys:
            t = places.get(key.target)
            if t is None or t == i:
                continue
            pairs = list(zip(key.columns, key.target_columns, strict=True))
            if all(a in names[i] and b in names[t] for a, b in pairs):
                columns = tuple((names[i][a], names[t][b]) for a, b in pairs)
                rank = (key.inferred, piece.table.key, key.target, key.columns)
                edges.append((rank, (i, t, columns, key.inferred)))
    return [edge for _, edge in sorted(edges, key=lambda e: e[0])]


def _connect(
    tables: Sequence[int], context: RetrievedContext, via: Iterable[tuple[int, int]] = ()
) -> list[tuple[int, int | None, tuple[tuple[int, int], ...]]]:
    """Join steps (table, joined to, ((its column, the other's), ...)): a tree over ``tables``.

    Each next table is reached over the shortest path of foreign keys from those already in.
    """
    preferred = set(via)
    edges = _edges(context)
    edges.sort(key=lambda e: not any((e[0], a) in preferred for a, _ in e[2]))
    steps: list[tuple[int, int | None, tuple[tuple[int, int], ...]]] = []
    inside: list[int] = []
    waiting = list(dict.fromkeys(tables))
    while waiting:
        if not inside:
            inside.append(waiting[0])
            steps.append((waiting.pop(0), None, ()))
            continue
        came: dict[int, tuple[int, tuple[tuple[int, int], ...]] | None] = dict.fromkeys(inside)
        frontier, found = list(inside), None
        while frontier and found is None:
            nxt: list[int] = []
            for here in frontier:
                for owner, target, pairs, _ in edges:
                    if owner == here and target not in came:
                        came[target] = (here, tuple((b, a) for a, b in pairs))
                        nxt.append(target)
                    elif target == here and owner not in came:
                        came[owner] = (here, pairs)
                        nxt.append(owner)
            found = next((t for t in waiting if t in came), None)
            frontier = nxt
        if found is None:
            steps.append(next(
                (step for t in waiting if (step := _namesake(t, inside, context))), (waiting[0], None, ())
            ))  # fmt: skip
            inside.append(steps[-1][0])
            waiting.remove(steps[-1][0])
            continue
        path = []
        here = found
        while (hop := came[here]) is not None:
            path.append((here, hop[0], hop[1]))
            here = hop[0]
        for table, other, pairs in reversed(path):
            steps.append((table, other, pairs))
            inside.append(table)
            if table in waiting:
                waiting.remove(table)
    return steps


def _namesake(
    table: int, inside: Sequence[int], context: RetrievedContext
) -> tuple[int, int, tuple[tuple[int, int], ...]] | None:
    """Without a foreign key: a column of the same telling name and kind, if there is just one."""
    mine = {c.name.lower(): (j, c.kind) for j, c in enumerate(context.tables[table].table.columns)}
    for other in inside:
        shared = [
            (mine[c.name.lower()][0], j)
            for j, c in enumerate(context.tables[other].table.columns)
            if c.name.lower() in mine and mine[c.name.lower()][1] == c.kind and c.name.lower() not in _GENERIC
        ]
        telling = [p for p in shared if context.tables[other].table.columns[p[1]].name.lower().endswith("id")]
        if len(shared) == 1 or len(telling) == 1:
            return table, other, tuple((telling or shared)[:1])
    return None


_GENERIC = frozenset("id name type status date year description comment note notes code title".split())


def needed_tables(form: Iterable[FormToken], context: RetrievedContext) -> set[int]:
    """The tables that a form names and those on the way between them.

    >>> needed_tables(["select", "count", "*", "from", ("t", 0)], RetrievedContext(()))
    {0}
    """
    named = dict.fromkeys(token[1] for token in form if isinstance(token, tuple) and token[0] in "tc")
    return {table for table, _, _ in _connect(list(named), context)}


# -- SQL to form ---------------------------------------------------------------------------------

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
_ARITHMETIC_NODES: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}


def tree_to_form(tree: exp.Expr, context: RetrievedContext, question: str) -> list[FormToken]:
    """The form of a query over ``context`` as an answer to ``question``.

    Raises Inexpressible, naming the construct, where the form has no way to say it.

    >>> from sqlgen.types import Column, Table, TableSlice
    >>> pets = Table("pets", (Column("name", "TEXT", "text"), Column("age", "INT", "number")))
    >>> context = RetrievedContext((TableSlice(pets, 1.0, ""),))
    >>> tree_to_form(sqlglot.parse_one("SELECT name FROM pets WHERE age > 30"), context, "older than 30")
    ['select', ('c', 0, 0), 'where', ('c', 0, 1), '>', ('q', 11, 13)]
    """
    return _Linearizer(context, question).query(tree)


class _Scope:
    def __init__(self, aliases: dict[str, int], tables: list[int]) -> None:
        self.aliases = aliases
        self.tables = tables
        self.used: list[int] = []
        self.select: dict[str, exp.Expr] = {}


class _Linearizer:
    def __init__(self, context: RetrievedContext, question: str) -> None:
        self.context = context
        self.question = question
        self.lowered = question.lower()
        self.tables = {s.table.name.lower(): i for i, s in enumerate(context.tables)}
        self.columns = [{c.name.lower(): j for j, c in enumerate(s.table.columns)} for s in context.tables]

    def query(self, node: exp.Expr) -> list[FormToken]:
        if isinstance(node, exp.Subquery) and not node.args.get("alias"):
            node = node.this
        if node.args.get("with_") or node.args.get("with"):
            raise Inexpressible("WITH")
        if isinstance(node, exp.SetOperation):
            if node.args.get("order") or node.args.get("limit"):
                raise Inexpressible("ORDER BY over a set operation")
            name = type(node).__name__.lower()
            if node.args.get("distinct") is False:
                raise Inexpressible("set operation with ALL")
            if isinstance(node.right, exp.SetOperation):
                raise Inexpressible("nested set operation")
            return [*self.query(node.left), name, *self.query(node.right)]
        if not isinstance(node, exp.Select):
            raise Inexpressible(type(node).__name__)
        return self.core(node)

    def core(self, node: exp.Select) -> list[FormToken]:
        source = node.args.get("from_") or node.args.get("from")
        if source is None:
            raise Inexpressible("no FROM")
        joins = node.args.get("joins") or []
        scope = _Scope({}, [])
        for relation in [source.this, *(j.this for j in joins)]:
            if not isinstance(relation, exp.Table):
                raise Inexpressible("derived table")
            table = self.tables.get(relation.name.lower())
            if table is None:
                raise Inexpressible(f"unknown table {relation.name}")
            if table in scope.tables:
                raise Inexpressible("self-join")
            scope.tables.append(table)
            scope.aliases[(relation.alias or relation.name).lower()] = table
            scope.aliases.setdefault(relation.name.lower(), table)
        gold_edges: list[tuple[tuple[int, int], tuple[int, int]]] = []
        for join in joins:
            if join.side in ("LEFT", "RIGHT", "FULL") or join.args.get("using"):
                raise Inexpressible("outer join")
            condition = join.args.get("on")
            for part in (
                condition.flatten() if isinstance(condition, exp.And) else [condition] if condition else []
            ):
                gold_edges.append(self.edge(part, scope))
        where = node.args.get("where")
        condition = where.this if where else None
        if condition is not None and len(gold_edges) < len(scope.tables) - 1:
            condition = self.take_edges(condition, scope, gold_edges)
        for projection in node.expressions:
            if projection.alias:
                scope.select[projection.alias.lower()] = projection.unalias()

        out: list[FormToken] = ["select"]
        if distinct := node.args.get("distinct"):
            if distinct.args.get("on"):
                raise Inexpressible("DISTINCT ON")
            out.append("distinct")
        for projection in node.expressions:
            out += self.item(projection, scope)
        tail: list[FormToken] = []
        if condition is not None:
            tail += ["where", *self.condition(condition, scope)]
        if group := node.args.get("group"):
            if any(v for k, v in group.args.items() if k != "expressions"):
                raise Inexpressible("grouping sets")
            tail.append("group")
            for part in group.expressions:
                tail += self.expr(self.alias_target(part, scope), scope)
        if having := node.args.get("having"):
            tail += ["having", *self.condition(having.this, scope)]
        if order := node.args.get("order"):
            tail.append("order")
            for part in order.expressions:
                tail += self.expr(self.alias_target(part.this, scope), scope)
                tail.append("desc" if part.args.get("desc") else "asc")
        if limit := node.args.get("limit"):
            tail += ["limit", *self.literal(limit.expression.name, None)]
        for unsupported in ("offset", "windows", "qualify", "laterals"):
            if node.args.get(unsupported):
                raise Inexpressible(unsupported)
        return [*out, *self.extra(scope, gold_edges), *tail]

    def extra(
        self, scope: _Scope, gold_edges: list[tuple[tuple[int, int], tuple[int, int]]]
    ) -> list[FormToken]:
        gold, used = set(scope.tables), list(dict.fromkeys(scope.used))
        named: list[int] = []
        rest = [t for t in scope.tables if t not in used]
        while True:
            steps = _connect(used + named, self.context)
            reached = {t for t, _, _ in steps}
            missing = [t for t in rest if t not in reached and t not in named]
            if reached == gold:
                break
            if missing:
                named.append(missing[0])
            elif reached - gold and (more := [t for t in rest if t not in named]):
                named.append(more[0])
            else:
                break
        wanted = {frozenset((a, b)) for a, b in gold_edges}
        via: list[FormToken] = []
        for table, other, pairs in steps:
            if other is None:
                continue
            mine = {frozenset(((table, a), (other, b))) for a, b in pairs}
            theirs = [e for e in gold_edges if {e[0][0], e[1][0]} == {table, other}]
            if not theirs or mine <= wanted:
                continue
            owners = {(i, a) for i, _, pairs_, _ in _edges(self.context) for a, _ in pairs_}
            key = next((end for edge in theirs for end in edge if end in owners), None)
            if key is None:
                raise Inexpressible("join without a foreign key")
            via += ["via", ("c", *key)]
        body: list[FormToken] = [("t", t) for t in named]
        return ["from", *body, *via] if body or via else []

    def edge(self, part: exp.Expr, scope: _Scope) -> tuple[tuple[int, int], tuple[int, int]]:
        if (
            isinstance(part, exp.EQ)
            and isinstance(part.left, exp.Column)
            and isinstance(part.right, exp.Column)
        ):
            return self.resolve(part.left, scope), self.resolve(part.right, scope)
        raise Inexpressible("join condition")

    def take_edges(
        self,
        condition: exp.Expr,
        scope: _Scope,
        edges: list[tuple[tuple[int, int], tuple[int, int]]],
    ) -> exp.Expr | None:
        kept: list[exp.Expr] = []
        for part in condition.flatten() if isinstance(condition, exp.And) else [condition]:
            if (
                isinstance(part, exp.EQ)
                and isinstance(part.left, exp.Column)
                and isinstance(part.right, exp.Column)
            ):
                try:
                    a, b = self.resolve(part.left, scope), self.resolve(part.right, scope)
                except Inexpressible:
                    kept.append(part)
                    continue
                if a[0] != b[0]:
                    edges.append((a, b))
                    continue
            kept.append(part)
        return exp.and_(*kept, copy=True) if kept else None

    def alias_target(self, node: exp.Expr, scope: _Scope) -> exp.Expr:
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in scope.select:
            return scope.select[node.name.lower()]
        return node

    def resolve(self, node: exp.Column, scope: _Scope) -> tuple[int, int]:
        name = node.name.lower()
        if node.table:
            table = scope.aliases.get(node.table.lower())
            if table is None:
                raise Inexpressible("correlated column")
            if name not in self.columns[table]:
                raise Inexpressible(f"unknown column {node.name}")
            return table, self.columns[table][name]
        for table in scope.tables:
            if name in self.columns[table]:
                return table, self.columns[table][name]
        raise Inexpressible(f"unknown column {node.name}")

    def item(self, node: exp.Expr, scope: _Scope) -> list[FormToken]:
        node = node.unalias()
        if isinstance(node, exp.Star):
            return ["*"]
        if isinstance(node, exp.Column) and isinstance(node.this, exp.Star):
            table = scope.aliases.get(node.table.lower())
            if table is None:
                raise Inexpressible("star of an unknown table")
            scope.used.append(table)
            return [("t", table)]
        return self.expr(node, scope)

    def expr(self, node: exp.Expr, scope: _Scope, column: Column | None = None) -> list[FormToken]:
        if isinstance(node, exp.Alias):
            node = node.this
        if isinstance(node, exp.Binary) and type(node) in _ARITHMETIC_NODES:
            op = _ARITHMETIC_NODES[type(node)]
            return [*self.term(node.left, scope, op, False), op, *self.term(node.right, scope, op, True)]
        return self.prim(node, scope, column)

    def term(self, node: exp.Expr, scope: _Scope, op: str, right: bool) -> list[FormToken]:
        while isinstance(node, exp.Paren):
            node = node.this
        if type(node) in _ARITHMETIC_NODES and (right or op in "*/"):
            return ["{", *self.expr(node, scope), "}"]
        return self.expr(node, scope)

    def prim(self, node: exp.Expr, scope: _Scope, column: Column | None = None) -> list[FormToken]:
        if isinstance(node, exp.Paren):
            return (
                ["{", *self.expr(node.this, scope), "}"]
                if type(node.this) in _ARITHMETIC_NODES
                else self.prim(node.this, scope, column)
            )
        if isinstance(node, exp.Subquery | exp.Select | exp.SetOperation):
            return ["[", *self.query(node), "]"]
        if type(node) in _AGGREGATE_NODES:
            name, inner = _AGGREGATE_NODES[type(node)], node.this
            if isinstance(inner, exp.Star):
                return [name, "*"]
            if node.args.get("expressions"):
                raise Inexpressible("aggregate of several arguments")
            if isinstance(inner, exp.Distinct):
                if len(inner.expressions) != 1:
                    raise Inexpressible("COUNT DISTINCT of several columns")
                return [name, "distinct", *self.argument(inner.expressions[0], scope)]
            return [name, *self.argument(inner, scope)]
        if isinstance(node, exp.Column):
            try:
                table, place = self.resolve(node, scope)
            except Inexpressible:
                if not node.table and node.this.args.get("quoted"):
                    return self.literal(node.name, column)
                raise
            scope.used.append(table)
            return [("c", table, place)]
        if isinstance(node, exp.Literal):
            return self.literal(node.this, column)
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal):
            return self.literal("-" + node.this.this, column)
        raise Inexpressible(type(node).__name__)

    def argument(self, node: exp.Expr, scope: _Scope) -> list[FormToken]:
        while isinstance(node, exp.Paren):
            node = node.this
        if type(node) in _ARITHMETIC_NODES:
            return ["{", *self.expr(node, scope), "}"]
        return self.prim(node, scope)

    def condition(self, node: exp.Expr, scope: _Scope) -> list[FormToken]:
        if isinstance(node, exp.Paren):
            inner = node.this
            body = self.condition(inner, scope)
            return ["(", *body, ")"] if isinstance(inner, exp.And | exp.Or) else body
        if isinstance(node, exp.And | exp.Or):
            word = "and" if isinstance(node, exp.And) else "or"
            return [*self.condition(node.left, scope), word, *self.condition(node.right, scope)]
        return self.predicate(node, scope)

    def predicate(self, node: exp.Expr, scope: _Scope) -> list[FormToken]:
        negated = False
        while isinstance(node, exp.Not | exp.Paren):
            negated ^= isinstance(node, exp.Not)
            node = node.this
        if isinstance(node, exp.Binary) and type(node) in _COMPARE_NODES:
            op = _COMPARE_NODES[type(node)]
            left, right = node.left, node.right
            if self.is_literal(left, scope) and not self.is_literal(right, scope):
                left, right, op = right, left, _FLIPPED[op]
            if negated:
                if op not in ("=", "!="):
                    raise Inexpressible("NOT over an order comparison")
                op = "!=" if op == "=" else "="
            column = self.column_of(left, scope)
            return [*self.expr(left, scope), op, *self.expr(right, scope, column)]
        if isinstance(node, exp.Like):
            if not self.is_literal(node.expression, scope):
                raise Inexpressible("LIKE of an expression")
            return [*self.expr(node.this, scope), *self.like(node.expression.name, negated)]
        if isinstance(node, exp.Between):
            if negated:
                raise Inexpressible("NOT BETWEEN")
            column = self.column_of(node.this, scope)
            low, high = node.args["low"], node.args["high"]
            body = [*self.expr(low, scope, column), *self.expr(high, scope, column)]
            return [*self.expr(node.this, scope), "between", *body]
        if isinstance(node, exp.In):
            head = [*self.expr(node.this, scope), "not_in" if negated else "in"]
            if query := node.args.get("query"):
                return [*head, "[", *self.query(query), "]"]
            column = self.column_of(node.this, scope)
            for part in node.expressions:
                head += self.expr(part, scope, column)
            return head
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return [*self.expr(node.this, scope), "not_null" if negated else "is_null"]
        if isinstance(node, exp.Exists):
            return ["not_exists" if negated else "exists", "[", *self.query(node.this), "]"]
        raise Inexpressible(type(node).__name__)

    def is_literal(self, node: exp.Expr, scope: _Scope) -> bool:
        if isinstance(node, exp.Column) and not node.table and node.this.args.get("quoted"):
            return not any(node.name.lower() in self.columns[t] for t in scope.tables)
        return isinstance(node, exp.Literal)

    def column_of(self, node: exp.Expr, scope: _Scope) -> Column | None:
        if isinstance(node, exp.Column):
            try:
                table, place = self.resolve(node, scope)
            except Inexpressible:
                return None
            return self.context.tables[table].table.columns[place]
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

    def literal(self, text: str, column: Column | None) -> list[FormToken]:
        folded = text.strip().lower()
        found = [k for k, match in enumerate(self.context.values) if match.value.strip().lower() == folded]
        if found:
            same = [k for k in found if column is not None and self.context.values[k].column == column.name]
            exact = [k for k in same or found if self.context.values[k].value == text]
            return [("v", (exact or same or found)[0])]
        for variant in (folded, folded.removesuffix(".0"), folded.rstrip("%")):
            if variant and (m := re.search(rf"(?<!\w){re.escape(variant)}(?!\w)", self.lowered)):
                return [("q", m.start(), m.end())]
        if folded in NUMBERS:
            return [folded]
        if len(folded) > 1 and (at := self.lowered.find(folded)) >= 0:
            return [("q", at, at + len(folded))]
        raise Inexpressible(f"literal {text!r} not in the question")


# -- form to SQL ---------------------------------------------------------------------------------

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
_NUMBER_WORDS = {
    word: i
    for i, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split()
    )
} | {"once": 1, "twice": 2, "dozen": 12, "hundred": 100, "thousand": 1000, "million": 1000000}
_SCALE = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "billion": 1e9, "hundred": 1e2, "%": 1}

_DATE_SQL: dict[str, dict[str, str]] = {
    "sqlite": {
        "year": "CAST(STRFTIME('%Y', x) AS INTEGER)",
        "month": "CAST(STRFTIME('%m', x) AS INTEGER)",
        "day": "CAST(STRFTIME('%d', x) AS INTEGER)",
        "weekday": "CAST(STRFTIME('%w', x) AS INTEGER)",
        "by_quarter": "STRFTIME('%Y', x) || '-Q' || ((CAST(STRFTIME('%m', x) AS INTEGER) + 2) / 3)",
        "by_month": "STRFTIME('%Y-%m', x)",
        "by_week": "DATE(x, 'weekday 0', '-6 days')",
        "by_day": "DATE(x)",
    },
    "duckdb": {
        "year": "YEAR(x)",
        "month": "MONTH(x)",
        "day": "DAY(x)",
        "weekday": "DAYOFWEEK(x)",
        "by_quarter": "STRFTIME(x, '%Y') || '-Q' || QUARTER(x)",
        "by_month": "STRFTIME(x, '%Y-%m')",
        "by_week": "STRFTIME(DATE_TRUNC('WEEK', x), '%Y-%m-%d')",
        "by_day": "STRFTIME(x, '%Y-%m-%d')",
    },
    "postgres": {
        "year": "CAST(EXTRACT(YEAR FROM x) AS INT)",
        "month": "CAST(EXTRACT(MONTH FROM x) AS INT)",
        "day": "CAST(EXTRACT(DAY FROM x) AS INT)",
        "weekday": "CAST(EXTRACT(DOW FROM x) AS INT)",
        "by_quarter": "TO_CHAR(x, 'YYYY-\"Q\"Q')",
        "by_month": "TO_CHAR(x, 'YYYY-MM')",
        "by_week": "TO_CHAR(DATE_TRUNC('WEEK', x), 'YYYY-MM-DD')",
        "by_day": "TO_CHAR(x, 'YYYY-MM-DD')",
    },
    "mysql": {
        "year": "YEAR(x)",
        "month": "MONTH(x)",
        "day": "DAYOFMONTH(x)",
        "weekday": "DAYOFWEEK(x) - 1",
        "by_quarter": "CONCAT(YEAR(x), '-Q', QUARTER(x))",
        "by_month": "DATE_FORMAT(x, '%Y-%m')",
        "by_week": "DATE_FORMAT(DATE_SUB(x, INTERVAL WEEKDAY(x) DAY), '%Y-%m-%d')",
        "by_day": "DATE_FORMAT(x, '%Y-%m-%d')",
    },
}


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
    def __init__(self) -> None:
        self.used: list[int] = []
        self.via: list[tuple[int, int]] = []
        self.columns: list[tuple[exp.Column, int]] = []


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

    def name(self, text: str) -> exp.Identifier:
        safe = bool(_SAFE.fullmatch(text) if self.dialect == "postgres" else _SAFE.fullmatch(text.lower()))
        return exp.to_identifier(text, quoted=not safe or text.lower() in _RESERVED)

    def table(self, i: int) -> exp.Table:
        table = self.context.tables[i].table
        return exp.Table(this=self.name(table.name), db=self.name(table.schema) if table.schema else None)

    def query(self) -> exp.Query:
        tree: exp.Query = self.core()
        while word := self.accept(*SET_OPERATIONS):
            node = {"union": exp.Union, "intersect": exp.Intersect, "except": exp.Except}[word]
            tree = node(this=tree, expression=self.core(), distinct=True)
        return tree

    def core(self) -> exp.Select:
        self.take("select")
        core = _Core()
        self.cores.append(core)
        select = exp.Select()
        if self.accept("distinct"):
            select.set("distinct", exp.Distinct())
        items: list[exp.Expr] = []
        while not (isinstance(self.peek(), str) and self.peek() in _AFTER_ITEMS):
            items.append(self.item(core))
        if not items:
            raise Inexpressible("nothing selected")
        if self.accept("from"):
            while True:
                if self.accept("via"):
                    core.via.append(self.pointer("c"))
                elif isinstance(self.peek(), tuple) and self.peek()[0] == "t":
                    core.used.append(self.pointer("t")[0])
                else:
                    break
        if self.accept("where"):
            select.set("where", exp.Where(this=self.condition()))
        groups: list[exp.Expr] = []
        if self.accept("group"):
            while not (isinstance(self.peek(), str) and self.peek() in _AFTER_GROUP):
                groups.append(self.expr()[0])
        if self.accept("having"):
            select.set("having", exp.Having(this=self.condition()))
        orders: list[exp.Ordered] = []
        if self.accept("order"):
            while not (isinstance(self.peek(), str) and self.peek() in _AFTER_ORDER):
                key = self.expr()[0]
                desc = self.take("asc", "desc") == "desc"
                orders.append(exp.Ordered(this=key, desc=desc, nulls_first=not desc))
            select.set("order", exp.Order(expressions=orders))
        if self.accept("limit"):
            select.set("limit", exp.Limit(expression=self.value("number")))
        if groups:
            # An engine that holds to the standard refuses bare columns beside a GROUP BY.
            said = {g.sql() for g in groups}
            for part in [*items, *(o.this for o in orders)]:
                if (
                    not part.find(exp.AggFunc)
                    and not part.is_star
                    and part.find(exp.Column)
                    and part.sql() not in said
                ):
                    said.add(part.sql())
                    groups.append(self.twin(part))
            select.set("group", exp.Group(expressions=groups))
        select.set("expressions", items)
        self.cores.pop()
        self.attach(select, core)
        return select

    def attach(self, select: exp.Select, core: _Core) -> None:
        steps = _connect(core.used, self.context, core.via)
        if not steps:
            raise Inexpressible("no table")
        select.set("from_", exp.From(this=self.table(steps[0][0])))
        joins = []
        for table, other, pairs in steps[1:]:
            on = None
            if other is not None:
                mine, theirs = self.context.tables[table].table, self.context.tables[other].table
                on = exp.and_(
                    *(
                        exp.EQ(this=self.qualified(theirs.columns[b].name, other),
                               expression=self.qualified(mine.columns[a].name, table))
                        for a, b in pairs
                    )
                )  # fmt: skip
            joins.append(exp.Join(this=self.table(table), on=on, kind=None if on else "CROSS"))
        if joins:
            select.set("joins", joins)
            for column, table in core.columns:
                for part in ("table", "db"):
                    column.set(part, self.table(table).args["this" if part == "table" else "db"])

    def qualified(self, name: str, table: int) -> exp.Column:
        source = self.table(table)
        return exp.Column(this=self.name(name), table=source.this, db=source.args.get("db"))

    def pointer(self, kind: str) -> tuple[int, int]:
        token = self.take()
        if not isinstance(token, tuple) or token[0] != kind:
            raise Inexpressible(f"{token!r} where a pointer belongs")
        return (token[1], token[2] if len(token) > 2 else 0)

    def item(self, core: _Core) -> exp.Expr:
        if self.accept("*"):
            return exp.Star()
        token = self.peek()
        if isinstance(token, tuple) and token[0] == "t":
            table = self.pointer("t")[0]
            core.used.append(table)
            column = exp.Column(this=exp.Star(), table=self.table(table).this)
            return column
        return self.expr()[0]

    def expr(self) -> tuple[exp.Expr, ColumnKind]:
        left, kind = self.prim()
        while op := self.accept("+", "-", "*", "/"):
            right, _ = self.prim()
            kind = "number"
            if op == "/":
                left = exp.Div(
                    this=exp.Cast(this=left, to=exp.DataType.build("double")),
                    expression=exp.Nullif(this=right, expression=exp.Literal.number(0)),
                )
            else:
                left = {"+": exp.Add, "-": exp.Sub, "*": exp.Mul}[op](this=left, expression=right)
        return left, kind

    def prim(self) -> tuple[exp.Expr, ColumnKind]:
        token = self.peek()
        if isinstance(token, tuple):
            if token[0] == "c":
                table, place = self.pointer("c")
                if not self.cores:
                    raise Inexpressible("column outside a query")
                column = self.context.tables[table].table.columns[place]
                node = exp.Column(this=self.name(column.name))
                self.cores[-1].used.append(table)
                self.cores[-1].columns.append((node, table))
                return node, column.kind
            return self.value("text"), "text"
        if token in NUMBERS:
            return self.value("number"), "number"
        if word := self.accept(*AGGREGATES):
            return self.aggregate(word)
        if word := self.accept(*DATE_PARTS):
            inner, _ = self.prim()
            template = sqlglot.parse_one(_DATE_SQL[self.dialect][word], dialect=self.dialect)
            return self.fill(template, inner), "text" if word.startswith("by_") else "number"
        if self.accept("{"):
            node_, kind = self.expr()
            self.take("}")
            return exp.Paren(this=node_), kind
        if self.accept("["):
            tree = self.query()
            self.take("]")
            return exp.Subquery(this=tree), "number"
        raise Inexpressible(f"{token!r} where an expression belongs")

    def fill(self, template: exp.Expr, inner: exp.Expr) -> exp.Expr:
        """Put ``inner`` in place of each x; the first keeps its identity, the others follow it."""
        holes = [c for c in template.find_all(exp.Column) if c.name == "x"]
        for hole in holes[1:]:
            twin = inner.copy()
            for mine, copy in zip(inner.find_all(exp.Column), twin.find_all(exp.Column), strict=True):
                owner = next((t for c, t in self.cores[-1].columns if c is mine), None)
                if owner is not None:
                    self.cores[-1].columns.append((copy, owner))
            hole.replace(twin)
        holes[0].replace(inner)
        return exp.Paren(this=template) if isinstance(template, exp.Binary) else template

    def aggregate(self, word: str) -> tuple[exp.Expr, ColumnKind]:
        node = {"count": exp.Count, "sum": exp.Sum, "avg": exp.Avg, "min": exp.Min, "max": exp.Max}[word]
        if word == "count" and self.accept("*"):
            return exp.Count(this=exp.Star(), big_int=True), "number"
        distinct = self.accept("distinct")
        inner, kind = self.prim()
        if isinstance(inner, exp.Paren):
            inner = inner.this
        body = exp.Distinct(expressions=[inner]) if distinct else inner
        return node(this=body), kind if word in ("min", "max") else "number"

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
        while (isinstance(self.peek(), tuple) and self.peek()[0] in "vq") or self.peek() in NUMBERS:
            values.append(self.value(kind))
        if not values:
            raise Inexpressible("IN of nothing")
        return exp.In(this=left, expressions=values)

    def between(self, left: exp.Expr, kind: ColumnKind) -> exp.Expr:
        if kind == "date" and isinstance(self.peek(), tuple) and self.peek()[0] in "vq":
            first, second = self.text(), self.text()
            low, high = parse_period(first, self.today), parse_period(second, self.today)
            if low and high:
                return self.range(left, low[0], high[1])
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

    def twin(self, node: exp.Expr) -> exp.Expr:
        twin = node.copy()
        for mine, copy in zip(node.find_all(exp.Column), twin.find_all(exp.Column), strict=True):
            owner = next((t for c, t in self.cores[-1].columns if c is mine), None)
            if owner is not None:
                self.cores[-1].columns.append((copy, owner))
        return twin

    def compare(self, left: exp.Expr, op: str, kind: ColumnKind) -> exp.Expr:
        token = self.peek()
        bucket = isinstance(left, exp.Expr) and kind == "text" and not isinstance(left, exp.Column)
        if isinstance(token, tuple) and token[0] in "vq" and (kind == "date" or bucket):
            text = self.text()
            period = parse_period(text, self.today)
            if period and kind == "date":
                return self.compare_period(left, op, *period)
            if period and bucket:
                text = self.bucket_text(left, period[0])
            right: exp.Expr = exp.Literal.string(text)
        else:
            right = self.operand(kind)
        node = {"=": exp.EQ, "!=": exp.NEQ, "<": exp.LT, ">": exp.GT, "<=": exp.LTE, ">=": exp.GTE}[op]
        return node(this=left, expression=right)

    def bucket_text(self, left: exp.Expr, start: date) -> str:
        text = left.sql(dialect=self.dialect)
        if "Q" in text:
            return f"{start.year}-Q{(start.month + 2) // 3}"
        return start.isoformat() if "%d" in text or "DD" in text or "DATE(" in text else f"{start:%Y-%m}"

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
        token = self.peek()
        if (isinstance(token, tuple) and token[0] in "vq") or token in NUMBERS:
            value = self.value(kind)
            if self.peek() not in ("+", "-", "*", "/"):
                return value
            raise Inexpressible("arithmetic on a literal")
        return self.expr()[0]

    def text(self) -> str:
        token = self.take()
        if token in NUMBERS:
            return str(token)
        if isinstance(token, tuple) and token[0] == "v":
            return self.context.values[token[1]].value
        if isinstance(token, tuple) and token[0] == "q" and len(token) == 3:
            return self.question[token[1] : token[2]]
        raise Inexpressible(f"{token!r} where a value belongs")

    def value(self, kind: ColumnKind) -> exp.Expr:
        matched = isinstance(self.peek(), tuple) and self.peek()[0] == "v"
        text = self.text()
        if kind == "text" or matched:
            if kind == "number" and (number := _number(text)) is not None:
                return exp.Literal.number(number)
            return exp.Literal.string(text)
        if kind == "bool":
            truth = text.strip().lower() in ("1", "true", "yes", "t", "y")
            return exp.Boolean(this=truth) if self.dialect != "sqlite" else exp.Literal.number(int(truth))
        number = _number(text)
        if number is not None and kind in ("number", "other"):
            return exp.Literal.number(number)
        return exp.Literal.string(text)


_AFTER_ITEMS = {"</s>", "]", "from", "where", "group", "having", "order", "limit", *SET_OPERATIONS}
_AFTER_GROUP = {"</s>", "]", "having", "order", "limit", *SET_OPERATIONS}
_AFTER_ORDER = {"</s>", "]", "limit", *SET_OPERATIONS}


def is_number(text: str) -> bool:
    """Whether a span of a question says a number.

    >>> is_number("1,500"), is_number("twelve"), is_number("Paris")
    (True, True, False)
    """
    return _number(text) is not None


def _number(text: str) -> str | None:
    """The number that ``text`` says, in SQL's spelling, or None.

    >>> _number("1,500"), _number("three"), _number("$2.5k"), _number("many")
    ('1500', '3', '2500', None)
    """
    folded = text.strip().lower().lstrip("$€£").replace(",", "")
    if folded in _NUMBER_WORDS:
        return str(_NUMBER_WORDS[folded])
    m = re.fullmatch(r"([-+]?\d+(?:\.\d+)?|[-+]?\.\d+)\s*(k|thousand|m|million|billion|hundred|%)?", folded)
    if m is None:
        return None
    if m[2] is None or m[2] == "%":
        return m[1].lstrip("+")
    value = float(m[1]) * _SCALE[m[2]]
    return str(int(value)) if value.is_integer() else str(value)
