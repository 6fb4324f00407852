"""A query with its columns in another order."""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlgen.types import Dialect

__all__ = ["turned"]


def turned(sql: str, dialect: Dialect = "sqlite") -> str:
    """The same query with the columns of its result in the opposite order; ``sql`` itself where there is nothing to turn.

    In a set operation every part is turned. A query that sorts or groups by the number of a column stays as it is.

    >>> turned("SELECT a, count(*) FROM t GROUP BY a")
    'SELECT COUNT(*), a FROM t GROUP BY a'
    """
    try:
        tree = sqlglot.parse_one(sql, dialect=dialect)
    except SqlglotError:
        return sql
    parts = list(_parts(tree))
    if any(_by_number(part) for part in [tree, *parts]) or all(len(p.expressions) < 2 for p in parts):
        return sql
    for part in parts:
        part.set("expressions", list(reversed(part.expressions)))
    return tree.sql(dialect=dialect)


def _parts(tree: exp.Expr) -> list[exp.Expr]:
    """The SELECTs whose columns are those of the result."""
    if isinstance(tree, exp.SetOperation):
        return [*_parts(tree.this), *_parts(tree.expression)]
    if isinstance(tree, exp.Paren | exp.Subquery):
        return _parts(tree.this)
    return [tree] if isinstance(tree, exp.Select) else []


def _by_number(part: exp.Expr) -> bool:
    keys = [o.this for o in (part.args.get("order") or exp.Order()).expressions]
    keys += (part.args.get("group") or exp.Group()).expressions
    return any(isinstance(key, exp.Literal) for key in keys)
