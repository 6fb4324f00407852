"""Does a query promise an order of its rows?"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlgen.types import Dialect

__all__ = ["is_ordered"]


def is_ordered(sql: str, dialect: Dialect) -> bool:
    """Whether the outermost query has an ORDER BY; False for text that does not parse.

    >>> is_ordered("SELECT name FROM singer ORDER BY age", "sqlite")
    True
    >>> is_ordered("SELECT name FROM (SELECT name FROM singer ORDER BY age)", "sqlite")
    False
    >>> is_ordered("SELECT a FROM t UNION SELECT a FROM u ORDER BY a", "sqlite")
    True
    """
    try:
        tree: exp.Expr | None = sqlglot.parse_one(sql, dialect=dialect)
    except (SqlglotError, RecursionError):
        return False
    while tree is not None:
        if tree.args.get("order") is not None:
            return True
        # Parentheses alone keep the order of what they hold.
        tree = tree.this if isinstance(tree, exp.Subquery | exp.Paren) else None
    return False
