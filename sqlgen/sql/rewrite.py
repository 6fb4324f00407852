"""A policy in the tree: what a statement would read against it, and every scan of a guarded table rewritten.

A scan of a guarded table becomes a derived table of the same name that selects the visible columns, masked where the
policy says so, from the rows that its filters let through. Nothing outside it can see more, whatever way it names
things: a star, a whole row, NATURAL, COLUMNS(), UNPIVOT, a lateral reference. What would read a hidden column is
refused beforehand nevertheless, because the engine's own error or, worse, another column of that name would be the
answer.

A filtered scan ends with a LIMIT or OFFSET that changes nothing but that no engine moves a condition past: otherwise a
condition that fails on a cell (a cast, a division) could be tried on rows that the filter excludes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache

from sqlglot import exp

from sqlgen.policy import Mask, Protection, Value
from sqlgen.sql.parse import Statement, Unreadable, nodes, parse, scan, span_of
from sqlgen.sql.scope import CatalogNames, Fault
from sqlgen.sql.trace import Refused, Trace, is_output, trace
from sqlgen.sql.views import MAX_VIEW_DEPTH, view_query
from sqlgen.types import Dialect, Table

__all__ = ["forget_excluded", "objections", "protect"]

_BARRIER: Mapping[Dialect, str] = {
    "sqlite": "LIMIT -1",
    "duckdb": "OFFSET 0",
    "postgres": "OFFSET 0",
    "mysql": "LIMIT 18446744073709551615",
}
# What a scan may carry into the derived table, and what stays outside; anything else is refused.
_INSIDE = ("only", "sample", "hints", "indexed", "partition")
_OUTSIDE = ("joins", "laterals", "pivots")


# --- what is refused ---------------------------------------------------------------------------------------


def objections(statement: Statement, protection: Protection, names: CatalogNames) -> list[Fault]:
    """What ``statement`` reads that the policy closes; ``names`` are those of the whole catalog.

    The tree is left as it is. No finding says more than the statement itself does.
    """
    copy = Statement(statement.tree.copy(), statement.dialect)
    walk = trace(copy, names)
    found: list[Fault] = []
    for node, key in walk.scans:
        if protection.is_closed(key):
            found.append(Fault("denied_table", f"table `{node.name}` is closed by the policy", span_of(node)))
    for origin, every in walk.uses.items():
        readers = [r for r in every if not _reads_nothing(r)]
        if not readers:
            continue
        key, column = protection.part_of(origin)
        if column in protection.hidden.get(key, ()):
            found.append(_denied(next(iter(readers)), column))
        elif column in protection.masks.get(key, {}) and protection.strict:
            found += [_masked(r, column) for r in readers if not is_output(r)][:1]
    with_hidden = [node for node, key in walk.scans if key in protection.hidden]
    if with_hidden:
        found += _by_place(copy, protection, walk)
    return list(dict.fromkeys(found))


def _reads_nothing(reader: exp.Expr | None) -> bool:
    """True for the star of EXISTS (SELECT * ...), and for a name in ORDER BY that an output bears."""
    if isinstance(reader, exp.Star):
        item = reader.parent if isinstance(reader.parent, exp.Column) else reader
        return isinstance(item.parent, exp.Select) and isinstance(item.parent.parent, exp.Exists)
    if isinstance(reader, exp.Column) and not reader.table and isinstance(reader.parent, exp.Ordered):
        order = reader.parent.parent
        select = order.parent if order is not None else None
        return isinstance(select, exp.Select) and any(
            isinstance(e, exp.Alias) and e.alias.lower() == reader.name.lower() for e in select.expressions
        )
    return False


def _denied(reader: exp.Expr | None, column: str) -> Fault:
    named = isinstance(reader, exp.Column) and reader.name.lower() == column.lower()
    if named and reader is not None:
        return Fault("denied_column", f"column `{column}` is closed by the policy", span_of(reader))
    what = "`*`" if isinstance(reader, exp.Star) else "this"
    return Fault(
        "denied_column",
        f"{what} would read columns that the policy closes; name the columns that you need",
        span_of(reader) if reader is not None else None,
    )


def _masked(reader: exp.Expr | None, column: str) -> Fault:
    return Fault(
        "masked_column",
        f"column `{column}` is masked by the policy: it may be selected, but nothing may be filtered, joined, grouped "
        "or ordered by it",
        span_of(reader) if reader is not None else None,
    )


def _by_place(copy: Statement, protection: Protection, walk: Trace) -> Iterator[Fault]:
    """Columns that are named by their place or by a pattern: nothing may depend on what is hidden."""
    for node in nodes(copy.tree):
        if type(node).__name__ == "PositionalColumn":
            yield Fault("denied_column", "a column cannot be named by its place here: the policy closes some")
        elif isinstance(node, exp.Anonymous) and node.name.lower() == "columns":
            yield Fault(
                "denied_column",
                "COLUMNS() would read columns that the policy closes; name the columns that you need",
                span_of(node),
            )
    for scanned, key in walk.scans:
        alias = scanned.args.get("alias")
        renamed = len(alias.args.get("columns") or []) if alias is not None else 0
        hidden = protection.hidden.get(key, frozenset())
        table = protection.catalog.table(key)
        if table is not None and any(c.name in hidden for c in table.columns[:renamed]):
            yield Fault(
                "denied_column",
                "columns cannot be renamed by their place here: the policy closes some",
                span_of(scanned),
            )


def forget_excluded(statement: Statement, protection: Protection, visible: CatalogNames) -> None:
    """Take hidden columns out of ``* EXCLUDE (...)``: what remains of the table does not have them."""
    hidden = {c.lower() for columns in protection.hidden.values() for c in columns}
    shown = {c for columns in visible.columns.values() for c in columns}
    for star in [n for n in nodes(statement.tree) if isinstance(n, exp.Star) and n.args.get("except_")]:
        kept = [e for e in star.args["except_"] if e.name.lower() not in hidden or e.name.lower() in shown]
        star.set("except_", kept or None)


# --- what is rewritten -------------------------------------------------------------------------------------


def protect(
    statement: Statement, protection: Protection, visible: CatalogNames, full: CatalogNames
) -> list[Fault]:
    """Rewrite every scan of a guarded table, in place; faults where that cannot be done faithfully.

    >>> from sqlgen.policy import Policy, bind
    >>> from sqlgen.sql.parse import render
    >>> from sqlgen.types import Catalog, Column
    >>> table = Table("t", (Column("a", "INT", "number"), Column("b", "INT", "number")))
    >>> rule = bind(Policy(row_filters=(("t", "b = :b"),), context=(("b", 7),)), Catalog("sqlite", (table,)))
    >>> statement = parse(scan("SELECT a FROM t AS x", "sqlite"))
    >>> names = CatalogNames(rule.catalog, "sqlite")
    >>> protect(statement, rule, names, names), render(statement)
    ([], 'SELECT a FROM (SELECT "a" FROM t WHERE b = 7 LIMIT -1) AS x')
    """
    try:
        if not _rewrite(statement, protection, visible, full, MAX_VIEW_DEPTH):
            return []
    except Refused as refusal:
        return [refusal.fault]
    # A rowid, an index hint, a name with its schema: what the derived table does not have is found here.
    walk = trace(Statement(statement.tree.copy(), statement.dialect), full)
    return [Fault("policy", f"with the policy in force: {f.message}", f.span) for f in walk.faults]


def _rewrite(
    statement: Statement,
    protection: Protection,
    names: CatalogNames,
    full: CatalogNames,
    depth: int,
    taken: frozenset[str] = frozenset(),
) -> bool:
    """``taken``: names of common table expressions around, which the policy's own SQL must not mean."""
    walk = trace(statement, names)
    guarded = [(node, key) for node, key in walk.scans if protection.guards(key)]
    if not guarded:
        return False
    if depth == 0:
        raise Refused("the views below this one are nested too deeply for the policy")
    taken |= _cte_names(statement.tree)
    inside = {id(n) for n in nodes(statement.tree)}
    needed = None if _needs_all(statement.tree, guarded) else set(walk.columns)
    schemas: dict[str, str] = {}
    if statement.dialect == "postgres":
        for node, key in guarded:
            _group_by_all(node, key, protection)
    for node, key in guarded:
        if id(node) not in inside:
            raise Refused("a table under a policy cannot be read in this way", node)
        _wrap(node, key, protection, full, needed, depth, taken)
        if node.args.get("db") is not None:
            schemas[walk.fold(node.this)] = walk.fold(node.args["db"])
    if schemas:
        _drop_schemas(statement.tree, schemas, walk)
    return True


def _group_by_all(node: exp.Table, key: str, protection: Protection) -> None:
    """PostgreSQL lets a primary key in GROUP BY stand for its whole row; of a derived table each column must be named."""
    table, select = protection.catalog.table(key), node.find_ancestor(exp.Select)
    group = select.args.get("group") if select is not None else None
    if (
        table is None
        or select is None
        or group is None
        or {k for k, v in group.args.items() if v} != {"expressions"}
    ):
        return
    label = node.alias_or_name
    columns = {c.name for c in table.columns}

    def is_own(column: exp.Expr) -> bool:
        return (
            isinstance(column, exp.Column)
            and column.name in columns
            and (not column.table or column.table == label)
            and column.find_ancestor(exp.Select) is select
        )

    grouped = {g.name for g in group.expressions if is_own(g)}
    primary = {c.name for c in table.columns if c.primary_key}
    if not primary or not primary <= grouped:
        return
    for part in (*select.expressions, select.args.get("having"), select.args.get("order")):
        for column in part.find_all(exp.Column) if part is not None else ():
            if is_own(column) and column.name not in grouped:
                grouped.add(column.name)
                group.append("expressions", column.copy())


def _needs_all(tree: exp.Expr, guarded: list[tuple[exp.Table, str]]) -> bool:
    """True if the columns that a statement reads cannot be counted on to be all that it needs."""
    for node in nodes(tree):
        if isinstance(node, exp.Star):
            counted = isinstance(node.parent, exp.Anonymous) and node.parent.name.lower() == "count"
            if not counted:
                return True
        if isinstance(node, exp.Anonymous) and node.name.lower() == "columns":
            return True
        if isinstance(node, exp.Join) and "NATURAL" in str(node.args.get("method") or "").upper():
            return True
        if type(node).__name__ in ("PositionalColumn", "Pivot"):
            return True
    return any(n.args.get("alias") is not None and n.args["alias"].args.get("columns") for n, _ in guarded)


def _wrap(
    node: exp.Table,
    key: str,
    protection: Protection,
    full: CatalogNames,
    needed: set[str] | None,
    depth: int,
    taken: frozenset[str],
) -> None:
    known = {"this", "db", "catalog", "alias", *_INSIDE, *_OUTSIDE}
    odd = next((name for name, value in node.args.items() if value and name not in known), None)
    if odd is not None:
        raise Refused(f"{odd.upper()} is not supported on a table under a policy", node)
    if node.args.get("sample") and key in protection.filters:
        raise Refused("a sample of a filtered table would tell how many rows are hidden", node)
    table = protection.catalog.table(key)
    if table is None:
        raise Refused("a table under a policy cannot be read in this way", node)
    scanned = exp.Table(
        **{k: _copy(node.args[k]) for k in ("this", "db", "catalog", *_INSIDE) if node.args.get(k)}
    )
    source: exp.Expr = scanned
    if key in protection.inlined:
        if any(node.args.get(k) for k in _INSIDE):
            raise Refused("a view under a policy can only be read plainly", node)
        body = view_query(protection.inlined[key], table, full.dialect, protection.default_schema)
        hidden = protection.hidden.get(key, frozenset())
        if isinstance(body, exp.Select):
            body.set("expressions", [e for e in body.expressions if e.alias_or_name not in hidden])
        _keep_apart(body, taken, node)
        inner = Statement(body, full.dialect)
        _rewrite(inner, protection, full, full, depth - 1, taken)
        source = exp.Subquery(this=inner.tree, alias=exp.TableAlias(this=node.this.copy()))
    query = exp.Select(
        expressions=_outputs(table, protection, needed, full.dialect), from_=exp.From(this=source)
    )
    if key in protection.inlined and key not in protection.masks and key not in protection.filters:
        query = source.this
    conditions = [
        _condition(text, scanned, full, protection.context) for text in protection.filters.get(key, ())
    ]
    for condition in conditions:
        _keep_apart(condition, taken, node)
    if conditions:
        where = conditions[0]
        for other in conditions[1:]:
            where = exp.And(this=_in_parens(where), expression=_in_parens(other))
        query.set("where", exp.Where(this=where))
        for part, clause in _barrier(full.dialect):
            query.set(part, clause.copy())
    alias = node.args.get("alias")
    label = exp.TableAlias(
        this=alias.this.copy() if alias is not None and alias.this is not None else node.this.copy(),
        columns=[c.copy() for c in alias.args.get("columns") or []] if alias is not None else None,
    )
    derived = exp.Subquery(this=query, alias=label)
    for name in _OUTSIDE:
        if node.args.get(name):
            derived.set(name, list(node.args[name]))
    node.replace(derived)


def _in_parens(node: exp.Expr) -> exp.Expr:
    return node if isinstance(node, exp.Paren) else exp.Paren(this=node)


def _copy(value: object) -> object:
    if isinstance(value, exp.Expr):
        return value.copy()
    if isinstance(value, list):
        return [_copy(v) for v in value]
    return value


def _outputs(
    table: Table, protection: Protection, needed: set[str] | None, dialect: Dialect
) -> list[exp.Expr]:
    hidden = protection.hidden.get(table.key, frozenset())
    masks = protection.masks.get(table.key, {})
    found: list[exp.Expr] = []
    for column in table.columns:
        if column.name in hidden or (needed is not None and f"{table.key}.{column.name}" not in needed):
            continue
        name = exp.to_identifier(column.name, quoted=True)
        if column.name in masks:
            found.append(exp.Alias(this=_mask(name, masks[column.name], dialect), alias=name))
        else:
            found.append(exp.Column(this=name))
    return found or [exp.Alias(this=exp.Literal.number(1), alias=exp.to_identifier("present", quoted=True))]


_MASKS: Mapping[tuple[str, Dialect], str] = {
    # Keeps the column's type, as a bare NULL would not.
    **{("null", d): "CASE WHEN 1 = 0 THEN cell END" for d in _BARRIER},
    **{("text", d): "CASE WHEN cell IS NOT NULL THEN 'text' END" for d in _BARRIER},
    ("first", "sqlite"): "SUBSTR(CAST(cell AS TEXT), 1, 9) || '***'",
    ("first", "duckdb"): "SUBSTR(CAST(cell AS VARCHAR), 1, 9) || '***'",
    ("first", "postgres"): "SUBSTR(CAST(cell AS TEXT), 1, 9) || '***'",
    ("first", "mysql"): "CONCAT(LEFT(CAST(cell AS CHAR), 9), '***')",
    ("hash", "duckdb"): "SHA256(CAST(cell AS VARCHAR))",
    ("hash", "postgres"): "ENCODE(SHA256(CONVERT_TO(CAST(cell AS TEXT), 'UTF8')), 'hex')",
    ("hash", "mysql"): "SHA2(CAST(cell AS CHAR), 256)",
}
"""Masks with the column as ``cell``, the letters kept as 9 and the text as 'text'; what is NULL stays NULL."""


def _mask(name: exp.Identifier, mask: Mask, dialect: Dialect) -> exp.Expr:
    template = _MASKS.get((mask.kind, dialect))
    if template is None:
        raise Refused("SQLite has no hash function; mask this column with null, first or text")
    masked = _expression(template, dialect).copy()
    for node in list(nodes(masked)):
        if isinstance(node, exp.Column) and node.name == "cell":
            node.replace(exp.Column(this=name.copy()))
        elif isinstance(node, exp.Literal) and mask.kind == "first" and node.name == "9":
            node.replace(exp.Literal.number(mask.length))
        elif isinstance(node, exp.Literal) and mask.kind == "text" and node.name == "text":
            node.replace(exp.Literal.string(mask.text))
    return masked


@lru_cache(maxsize=64)
def _expression(text: str, dialect: Dialect) -> exp.Expr:
    found: exp.Expr = parse(scan(f"SELECT {text}", dialect)).tree.expressions[0]
    found.pop()
    return found


@lru_cache(maxsize=8)
def _barrier(dialect: Dialect) -> tuple[tuple[str, exp.Expr], ...]:
    tree = parse(scan(f"SELECT 1 {_BARRIER[dialect]}", dialect)).tree
    return tuple((part, tree.args[part]) for part in ("limit", "offset") if tree.args.get(part) is not None)


def _drop_schemas(tree: exp.Expr, schemas: Mapping[str, str], walk: Trace) -> None:
    """``sales.orders.id`` is ``orders.id`` once ``sales.orders`` is a derived table called ``orders``."""
    for node in nodes(tree):
        if isinstance(node, exp.Column) and node.args.get("db") is not None:
            owner = walk.fold(node.args.get("table"))
            if schemas.get(owner) == walk.fold(node.args["db"]):
                node.set("db", None)
                node.set("catalog", None)


# --- conditions --------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _parsed_condition(text: str, dialect: Dialect) -> exp.Expr:
    try:
        tree = parse(scan(f"SELECT 1 WHERE {text}", dialect)).tree
    except Unreadable as fault:
        raise Refused(f"the policy has a row filter that cannot be read: {fault.message}") from None
    used = {name for name, value in tree.args.items() if value}
    if not isinstance(tree, exp.Select) or used != {"expressions", "where"}:
        raise Refused("the policy has a row filter that is more than a condition")
    found: exp.Expr = tree.args["where"].this
    return found


def _condition(text: str, scanned: exp.Table, full: CatalogNames, context: Mapping[str, Value]) -> exp.Expr:
    """The condition with every ``:name`` replaced by its value as a literal; it must make sense on its table alone."""
    condition = exp.Paren(this=_parsed_condition(text, full.dialect).copy())
    for node in [n for n in nodes(condition) if isinstance(n, (exp.Placeholder, exp.Parameter))]:
        name = node.name if isinstance(node, exp.Placeholder) else ""
        if not name.isidentifier():
            raise Refused("the policy has a row filter with a nameless parameter; write it as :name")
        if name not in context:
            raise Refused(
                f"the policy needs a value for `{name}`: give it as policy context", rule="policy_context"
            )
        value = context[name]
        if not isinstance(value, tuple):
            node.replace(_literal(value))
            continue
        parent = node.parent
        if not isinstance(parent, exp.In) or node.arg_key != "expressions":
            raise Refused(f"`{name}` is a list; the policy's row filter takes it only in IN (:{name})")
        items = [i for e in parent.expressions for i in (map(_literal, value) if e is node else [e])]
        # NULL is equal to nothing, so an empty list lets nothing through, negated or not.
        parent.set("expressions", items or [exp.Null()])
    body: exp.Expr = condition.this
    body.pop()
    alone = exp.Select(
        expressions=[exp.Literal.number(1)],
        from_=exp.From(
            this=exp.Table(**{k: _copy(scanned.args[k]) for k in ("this", "db") if scanned.args.get(k)})
        ),
        where=exp.Where(this=body.copy()),
    )
    faults = trace(Statement(alone, full.dialect), full).faults
    if faults:
        raise Refused(
            f"the policy's row filter of `{scanned.name}` does not fit the table: {faults[0].message}"
        )
    return body


def _cte_names(tree: exp.Expr) -> frozenset[str]:
    return frozenset(n.alias.casefold() for n in nodes(tree) if isinstance(n, exp.CTE))


def _keep_apart(trusted: exp.Expr, taken: frozenset[str], node: exp.Expr) -> None:
    """The policy's SQL is put into the query: no name that the query defines may catch one of its tables."""
    own = _cte_names(trusted)
    for table in nodes(trusted):
        if (
            isinstance(table, exp.Table)
            and table.args.get("db") is None
            and table.name.casefold() in taken - own
        ):
            raise Refused(
                f"`{table.name}` is a name that the policy uses itself; call the common table expression otherwise",
                node,
            )


def _literal(value: object) -> exp.Expr:
    if isinstance(value, bool):
        return exp.Boolean(this=value)
    if isinstance(value, (int, float, Decimal)):
        # Written out in full: no engine reads 1e300 as a decimal, and none needs to.
        number = exp.Literal.number(format(abs(Decimal(str(value))), "f"))
        return exp.Neg(this=number) if value < 0 else number
    if isinstance(value, datetime):
        return exp.Literal.string(value.isoformat(" "))
    if isinstance(value, date):
        return exp.Literal.string(value.isoformat())
    return exp.Literal.string(str(value))
