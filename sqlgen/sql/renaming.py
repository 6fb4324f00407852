"""A query under the new names of tables and columns."""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from sqlgen.sql.parse import Unreadable, parse, render, scan
from sqlgen.sql.scope import CatalogNames
from sqlgen.sql.trace import trace
from sqlgen.types import Catalog, Dialect

__all__ = ["renamed"]


def renamed(
    sql: str,
    dialect: Dialect,
    old: Catalog,
    tables: Mapping[str, str],
    columns: Mapping[tuple[str, str], str],
) -> str | None:
    """``sql``, written for ``old``, with the new names; None when it does not fit ``old``, or can't be renamed.

    ``tables`` maps keys of ``old`` to new keys in the same schema, ``columns`` (key of ``old``, name) to new
    names. What is joined with USING or by its name alone cannot be renamed on one side.

    >>> from sqlgen.types import Column, Table
    >>> old = Catalog("sqlite", (Table("orders", (Column("state", "TEXT", "text"),)),))
    >>> renamed("SELECT o.state FROM orders o", "sqlite", old, {"orders": "sales"}, {("orders", "state"): "status"})
    'SELECT o.status FROM sales AS o'
    """
    try:
        statement = parse(scan(sql, dialect))
    except Unreadable:
        return None
    walk = trace(statement, CatalogNames(old, dialect))
    if walk.faults:
        return None
    wanted = {f"{key}.{name}": new for (key, name), new in columns.items()}
    short = {table.key: table.name for table in old.tables}
    for origin, readers in walk.uses.items():
        key, _, name = origin.rpartition(".")
        if origin in wanted:
            if not all(isinstance(node, exp.Column) for node in readers):
                return None
            for node in readers:
                assert isinstance(node, exp.Column)
                if node.name.lower() == name.lower():
                    before = node.this
                    node.set("this", _identifier(wanted[origin], before))
                    if _is_read_by_name(node):
                        node.replace(named := exp.Alias(alias=before))
                        named.set("this", node)
        if key in tables:
            for node in readers:
                if isinstance(node, exp.Column) and node.table.lower() == short[key].lower():
                    node.set("table", _identifier(_last(tables[key]), node.args["table"]))
    for scanned, key in walk.scans:
        if key in tables:
            scanned.set("this", _identifier(_last(tables[key]), scanned.this))
    return render(statement)


def _is_read_by_name(node: exp.Expr) -> bool:
    """True for an output of a derived table, a CTE or a set operation: the query around it knows its name alone."""
    inside = (exp.From, exp.Join, exp.CTE, exp.SetOperation)
    select = node.parent
    return (
        isinstance(select, exp.Select)
        and node.arg_key == "expressions"
        and select.find_ancestor(*inside) is not None
    )


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _identifier(name: str, before: exp.Expr) -> exp.Identifier:
    quoted = bool(before.args.get("quoted")) or not (name.isascii() and name.replace("_", "a").isalnum())
    return exp.Identifier(this=name, quoted=quoted or name != name.lower())
