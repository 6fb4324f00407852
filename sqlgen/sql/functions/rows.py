"""How many rows a query could make of little or nothing: recursion that does not end, joins without a condition.

Only what the text shows counts: literals, numbers of arms, joins that nothing connects. How large tables are is the
engine's to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlglot import exp

from sqlgen.sql.functions import load_functions
from sqlgen.sql.functions.sizes import JOINING, Sizes, is_collecting
from sqlgen.sql.parse import Statement, nodes
from sqlgen.types import Dialect

__all__ = ["MAX_ROWS_OF_PRODUCT", "MAX_STEPS", "multiplied", "runaway"]

MAX_ROWS_OF_PRODUCT = 100_000_000
"""Most rows that joining without a condition may give."""
MAX_STEPS = 10_000_000
"""Most steps of a recursive query whose bound is a literal."""

# A table that nothing connects counts as this many rows: four of them may be multiplied, five may not.
_TABLE = 100.0
_RECURSION = 1_000.0
# Sources that count as more rows are connected by an equality alone; others by any condition that names both.
_LARGE = 10_000.0
_MOST = 1e30


def multiplied(statement: Statement) -> bool:
    """True if a query in ``statement`` multiplies what it reads past MAX_ROWS_OF_PRODUCT rows."""
    counting = load_functions(statement.dialect).series
    selects = [p for p in statement.parts if isinstance(p, exp.Select) and p.args.get("joins")]
    if not any(c.name in counting for c in statement.calls) and not any(_is_loose(s) for s in selects):
        return False
    return _Rows(statement.dialect).largest(statement.parts) > MAX_ROWS_OF_PRODUCT


def _is_loose(select: exp.Select) -> bool:
    """True if so many sources stand side by side that tables alone could pass the bound."""
    bare = [
        j
        for j in select.args["joins"]
        if not any(j.args.get(k) for k in ("using", "method")) and not _has_equality(j.args.get("on"))
    ]
    if len(bare) < 3:
        return False
    where = select.args.get("where")
    return where is None or all(
        any(isinstance(n, exp.Column) and n.args.get("table") is not None for n in nodes(c))
        for c in _conjuncts(where.this)
        if isinstance(c, exp.EQ)
    )


def _has_equality(condition: exp.Expr | None) -> bool:
    return condition is not None and any(
        isinstance(c, exp.EQ) and any(isinstance(n, exp.Column) for n in nodes(c))
        for c in _conjuncts(condition)
    )


@dataclass(slots=True)
class _Part:
    name: str
    rows: float


class _Rows:
    def __init__(self, dialect: Dialect) -> None:
        self.sizes = Sizes(dialect)
        self.peak = 0.0

    def largest(self, parts: list[exp.Expr]) -> float:
        for node in parts:
            # Queries inside expressions are not reached from their outer query's FROM.
            if isinstance(node, exp.Query) and not isinstance(node.parent, (exp.From, exp.Join, exp.CTE)):
                self.query(node, {}, 0)
        return self.peak

    def query(self, node: exp.Expr, outer: Mapping[str, float], depth: int) -> float:
        if depth > 60:
            return _TABLE
        ctes = dict(outer)
        clause = node.args.get("with_")
        for cte in clause.expressions if clause is not None else ():
            name = cte.alias.lower()
            again = any(isinstance(n, exp.Table) and n.name.lower() == name for n in nodes(cte.this))
            rows = self.query(cte.this, {**ctes, name: _RECURSION}, depth + 1)
            ctes[name] = max(rows, _RECURSION) if again else rows
        if isinstance(node, exp.SetOperation):
            rows = self.set_operation(node, ctes, depth)
        elif isinstance(node, exp.Subquery):
            rows = self.query(node.this, ctes, depth + 1) if isinstance(node.this, exp.Query) else _TABLE
        elif isinstance(node, exp.Values):
            rows = float(len(node.expressions))
        elif isinstance(node, exp.Select):
            rows = self.select(node, ctes, depth)
        else:
            rows = _TABLE
        return min(rows, self.limit(node))

    def set_operation(self, node: exp.Expr, ctes: Mapping[str, float], depth: int) -> float:
        # Left-deep chains of many arms are walked, not recursed into.
        rows = 0.0
        while isinstance(node, exp.SetOperation):
            rows += self.query(node.expression, ctes, depth + 1)
            node = node.this
            if node.args.get("with_") is not None:
                break
        return rows + self.query(node, ctes, depth + 1)

    def limit(self, node: exp.Expr) -> float:
        limit = node.args.get("limit")
        count = limit.args.get("expression") or limit.args.get("count") if limit is not None else None
        return self.sizes.magnitude(count) if isinstance(count, exp.Literal) else _MOST

    def select(self, node: exp.Select, ctes: Mapping[str, float], depth: int) -> float:
        parts: list[_Part] = []
        joins: list[exp.Expr] = []
        conditions: list[exp.Expr] = []
        origin = node.args.get("from_")
        everything = False
        for join in [origin, *(node.args.get("joins") or []), *(node.args.get("laterals") or [])]:
            if join is None:
                continue
            kind = f"{join.args.get('kind') or ''} {join.args.get('side') or ''}".upper()
            if "SEMI" in kind or "ANTI" in kind:
                continue
            joins.append(join)
            self.parts(
                join.this if isinstance(join, (exp.From, exp.Join)) else join, ctes, parts, conditions, depth
            )
            everything |= bool(join.args.get("using") or join.args.get("method"))
            if isinstance(join, exp.Join) and join.args.get("on") is not None:
                conditions.append(join.args["on"])
        for clause in ("where", "qualify"):
            if node.args.get(clause) is not None:
                conditions.append(node.args[clause].this)
        rows = max((p.rows for p in parts), default=1.0) if everything else self.product(parts, conditions)
        kept = max((self.kept(w, rows) for i in node.expressions for w in _windows(i)), default=1.0)
        self.peak = max(self.peak, rows, rows * kept)
        rows *= max(
            (self.sizes.elements(c) for i in node.expressions for c in _counting(i, self.sizes)), default=1.0
        )
        self.peak = max(self.peak, rows)
        grouped = node.args.get("group") is not None
        aggregated = any(
            (isinstance(n, exp.Anonymous) and n.name.lower() in self.sizes.functions.aggregates)
            or isinstance(n, (exp.Max, exp.Min, exp.GroupConcat))
            for i in node.expressions
            for n in nodes(i)
            if not isinstance(n.parent, (exp.Window, exp.Filter)) or not n.find_ancestor(exp.Window)
        )
        return 1.0 if aggregated and not grouped else rows

    def kept(self, window: exp.Expr, rows: float) -> float:
        """The rows that a window goes through again for each of its rows: a frame that literals make wide, or all that a
        collecting function has seen."""
        frame = window.args.get("spec")
        if frame is not None and frame.args.get("kind") == "ROWS":
            ends = [e for e in (frame.args.get("start"), frame.args.get("end")) if isinstance(e, exp.Literal)]
            if ends:
                return min(rows, sum(self.sizes.magnitude(e) for e in ends))
        return rows if any(is_collecting(n) for n in nodes(window.this)) else 1.0

    def parts(
        self,
        node: exp.Expr,
        ctes: Mapping[str, float],
        parts: list[_Part],
        conditions: list[exp.Expr],
        depth: int,
    ) -> None:
        if isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Query):
            # Brackets around joined tables.
            self.parts(node.this, ctes, parts, conditions, depth)
            return
        name, rows = node.alias_or_name.lower(), _TABLE
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            rows = ctes.get(node.name.lower(), _TABLE) if node.args.get("db") is None else _TABLE
        elif isinstance(node, exp.Table):
            rows = max((self.sizes.elements(c) for c in _counting(node, self.sizes)), default=_TABLE)
            name = name or node.this.name.lower()
        elif isinstance(node, exp.Unnest):
            rows = max((self.sizes.elements(e) for e in node.expressions), default=_TABLE)
        elif isinstance(node, exp.Values):
            rows = float(len(node.expressions))
        elif isinstance(node, exp.Subquery):
            rows = self.query(node, ctes, depth + 1)
        elif isinstance(node, exp.Lateral):
            # What a lateral query reads may depend on each row before it.
            rows = self.query(node.this, ctes, depth + 1) if isinstance(node.this, exp.Query) else 1.0
        parts.append(_Part(name, rows))
        for join in node.args.get("joins") or []:
            self.parts(join.this, ctes, parts, conditions, depth)
            if join.args.get("on") is not None:
                conditions.append(join.args["on"])

    def product(self, parts: list[_Part], conditions: list[exp.Expr]) -> float:
        """The largest source of each group that conditions connect, multiplied."""
        group = list(range(len(parts)))
        places: dict[str, list[int]] = {}
        for place, part in enumerate(parts):
            places.setdefault(part.name, []).append(place)
        for condition in conditions:
            for conjunct in _conjuncts(condition):
                columns = [n for n in nodes(conjunct) if isinstance(n, exp.Column)]
                if any(c.args.get("table") is None for c in columns):
                    # A name without its table may belong to any of them.
                    touched = list(range(len(parts)))
                else:
                    touched = sorted({p for c in columns for p in places.get(c.table.lower(), ())})
                equal = isinstance(conjunct, (exp.EQ, exp.NullSafeEQ, exp.In))
                if not equal:
                    touched = [p for p in touched if parts[p].rows <= _LARGE]
                if len(touched) > 1:
                    joined = {group[p] for p in touched}
                    group = [min(joined) if g in joined else g for g in group]
        rows = 1.0
        for head in set(group):
            rows = min(_MOST, rows * max(parts[p].rows for p, g in enumerate(group) if g == head))
        return rows


def _counting(node: exp.Expr, sizes: Sizes) -> Iterator[exp.Expr]:
    """Counting calls in ``node`` that are not inside a query of their own."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, exp.Query):
            continue
        if isinstance(part, exp.Anonymous) and part.name.lower() in sizes.functions.series:
            yield part
        for value in part.args.values():
            stack += [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, exp.Expr)]


def _windows(node: exp.Expr) -> Iterator[exp.Expr]:
    """Windows in ``node`` that are not inside a query of their own."""
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, exp.Window):
            yield part
        if not isinstance(part, exp.Query):
            for value in part.args.values():
                stack += [
                    v for v in (value if isinstance(value, list) else [value]) if isinstance(v, exp.Expr)
                ]


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    stack = [condition]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.And):
            stack += [node.this, node.expression]
        elif isinstance(node, exp.Paren):
            stack.append(node.this)
        else:
            yield node


def runaway(statement: Statement) -> Iterator[tuple[str, str]]:
    """Recursive queries that have nothing that ends them soon, as far as the text shows.

    Gives (name, "endless") where nothing does, (name, "long") where a literal does after more than MAX_STEPS, and
    (name, "doubles") where each step puts a text of the step before twice into its own.
    """
    if "With" not in statement.kinds:
        return
    sizes = Sizes(statement.dialect)
    for clause in statement.parts:
        if not isinstance(clause, exp.With):
            continue
        for cte in clause.expressions:
            if isinstance(cte.this, exp.SetOperation):
                fault = _recursion_fault(cte, clause, statement.dialect, sizes)
                if fault:
                    yield cte.alias, fault


def _recursion_fault(cte: exp.Expr, clause: exp.Expr, dialect: Dialect, sizes: Sizes) -> str:
    own, body = cte.alias.lower(), cte.this
    arm = body.expression
    while isinstance(arm, exp.Subquery):
        arm = arm.this
    if not isinstance(arm, exp.Select):
        return ""
    read = [t for t in nodes(arm) if isinstance(t, exp.Table) and isinstance(t.this, exp.Identifier)]
    if all(t.name.lower() != own for t in read):
        return ""
    if any(_doubles(item) for item in arm.expressions):
        return "doubles"
    if any(t.name.lower() != own for t in read) or len(arm.args.get("joins") or []) > 0:
        return _fan_fault(body, arm, own, sizes)
    inside = _literal_limit(body, sizes)
    if inside is not None and dialect != "postgres":
        return "long" if inside > MAX_STEPS else ""
    # PostgreSQL and SQLite make rows as they are asked for.
    if dialect in ("postgres", "sqlite") and _asks_for_few(clause.parent, own, sizes):
        return ""
    conditions = [arm.args[k].this for k in ("where", "having", "qualify") if arm.args.get(k) is not None]
    conditions += [j.args["on"] for j in arm.args.get("joins") or [] if j.args.get("on") is not None]
    growth = _growth(cte, arm)
    verdict = "endless"
    for conjunct in (c for condition in conditions for c in _conjuncts(condition)):
        ends = _ends(conjunct, growth, sizes)
        if ends == "":
            return ""
        verdict = ends if ends == "long" else verdict
    return verdict


_FAN = 1_000_000.0
"""Most rows that steps may make by joining what nothing connects with them."""


def _fan_fault(body: exp.Expr, arm: exp.Select, own: str, sizes: Sizes) -> str:
    """The same where the arm reads other rows as well: it ends with them, unless nothing ties them to the step before."""
    joins = arm.args.get("joins") or []
    if _literal_limit(body, sizes) is not None or _literal_limit(arm, sizes) is not None:
        return ""
    if any(j.args.get("using") or j.args.get("method") for j in joins):
        return ""
    conditions = [arm.args[k].this for k in ("where", "having", "qualify") if arm.args.get(k) is not None]
    conditions += [j.args["on"] for j in joins if j.args.get("on") is not None]
    conjuncts = [c for condition in conditions for c in _conjuncts(condition)]
    origin = arm.args.get("from_")
    sources = [s.this for s in [origin, *joins] if s is not None]
    mine = {s.alias_or_name.lower() for s in sources if isinstance(s, exp.Table) and s.name.lower() == own}
    bounds: list[float] = []
    for conjunct in conjuncts:
        columns = [n for n in nodes(conjunct) if isinstance(n, exp.Column)]
        if not columns:
            continue
        owners = {c.table.lower() for c in columns}
        if "" in owners or not owners & mine or len(owners) > 1:
            # A name without its table, a condition on the others alone, or one that ties both: it may end with the data.
            return ""
        bounds += [
            sizes.magnitude(n) for n in nodes(conjunct) if isinstance(n, exp.Literal) and not n.is_string
        ]
    if not bounds:
        return "endless"
    others = sum(not (isinstance(s, exp.Table) and s.name.lower() == own) for s in sources)
    return "long" if 2.0 ** (others * min(max(bounds), 100.0)) > _FAN else ""


def _doubles(item: exp.Expr) -> bool:
    """True for a text that is put together from one column twice."""
    for node in nodes(item):
        joins = isinstance(node, (exp.DPipe, exp.Concat)) or (
            isinstance(node, exp.Anonymous) and node.name.lower() in JOINING
        )
        if joins:
            names = [c.sql().lower() for c in nodes(node) if isinstance(c, exp.Column)]
            if len(names) > len(set(names)):
                return True
    return False


def _literal_limit(query: exp.Expr, sizes: Sizes) -> float | None:
    limit = query.args.get("limit")
    count = (limit.args.get("expression") or limit.args.get("count")) if limit is not None else None
    return sizes.magnitude(count) if isinstance(count, exp.Literal) else None


def _asks_for_few(query: exp.Expr | None, own: str, sizes: Sizes) -> bool:
    """True for SELECT .. FROM own LIMIT n, where nothing needs all rows first."""
    if not isinstance(query, exp.Select) or query.args.get("joins"):
        return False
    limit = _literal_limit(query, sizes)
    origin = query.args.get("from_")
    blocking = any(query.args.get(k) is not None for k in ("group", "having", "order", "distinct", "windows"))
    plain = not any(
        isinstance(n, exp.Window)
        or (isinstance(n, exp.Anonymous) and n.name.lower() in sizes.functions.aggregates)
        or isinstance(n, (exp.Max, exp.Min, exp.GroupConcat))
        for e in query.expressions
        for n in nodes(e)
    )
    from_own = origin is not None and isinstance(origin.this, exp.Table) and origin.this.name.lower() == own
    return limit is not None and limit <= MAX_STEPS and from_own and plain and not blocking


def _growth(cte: exp.Expr, arm: exp.Select) -> dict[str, float]:
    """Columns that each step moves by a literal: name to its size, negative where it falls."""
    names = [c.name for c in cte.args["alias"].args.get("columns") or []]
    first = cte.this.this
    while isinstance(first, (exp.SetOperation, exp.Subquery)):
        first = first.this
    if not names and isinstance(first, exp.Select):
        names = [e.alias_or_name for e in first.expressions]
    found: dict[str, float] = {}
    for name, item in zip(names, arm.expressions, strict=False):
        node = item.unalias().unnest()
        if isinstance(node, (exp.Add, exp.Sub, exp.Mul)):
            left, right = node.this, node.expression
            if isinstance(left, exp.Literal) and not isinstance(node, exp.Sub):
                left, right = right, left
            if (
                isinstance(left, exp.Column)
                and left.name.lower() == name.lower()
                and _number(right) is not None
            ):
                step = _number(right) or 0.0
                found[name.lower()] = -step if isinstance(node, exp.Sub) else step
    return found


def _number(node: exp.Expr) -> float | None:
    if isinstance(node, exp.Neg):
        inner = _number(node.this)
        return None if inner is None else -inner
    if isinstance(node, exp.Literal) and not node.is_string:
        try:
            return float(node.name)
        except ValueError:
            return None
    return None


def _ends(conjunct: exp.Expr, growth: Mapping[str, float], sizes: Sizes) -> str:
    """What a condition does for the end: "" it comes, "long" it comes late, "endless" this one does not bring it."""
    if not any(isinstance(n, exp.Column) for n in nodes(conjunct)):
        return "endless"
    if isinstance(conjunct, (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NEQ)):
        left, right, up = conjunct.this, conjunct.expression, isinstance(conjunct, (exp.LT, exp.LTE))
        if not any(isinstance(n, exp.Column) for n in nodes(left)):
            left, right, up = right, left, not up
        if any(isinstance(n, (exp.Column, exp.Query)) for n in nodes(right)):
            return ""
        bound = sizes.magnitude(right)
        step = growth.get(left.name.lower()) if isinstance(left, exp.Column) else None
        if isinstance(conjunct, exp.NEQ):
            return "long" if step and bound / abs(step) > MAX_STEPS else ""
        if step is not None and (step > 0) != up:
            return "endless"
        if up and bound / max(abs(step or 1.0), 1e-9) > MAX_STEPS and bound < _MOST:
            return "long"
    return ""
