"""The literals of a query, each with the column that it is compared with, and the query with others in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlglot import exp

from sqlgen.sql.parse import nodes, parse, render, scan
from sqlgen.types import Dialect

__all__ = ["QueryLiteral", "literals_of", "with_literals"]


@dataclass(frozen=True, slots=True)
class QueryLiteral:
    """A literal's text, whether it is a string or a count of rows, and the column that it is compared with ("" for none)."""

    text: str
    is_string: bool
    column: str
    is_limit: bool = False


def literals_of(sql: str, dialect: Dialect) -> tuple[QueryLiteral, ...]:
    """The literals of a query in no order; raises Unreadable for what is none.

    >>> literals_of("SELECT a FROM t WHERE b = 'x'", "sqlite")
    (QueryLiteral(text='x', is_string=True, column='b', is_limit=False),)
    """
    tree = parse(scan(sql, dialect)).tree
    found = []
    for node in nodes(tree):
        if isinstance(node, exp.Literal):
            above = node.parent
            column = ""
            if isinstance(above, (exp.EQ, exp.NEQ)):
                other = above.expression if above.this is node else above.this
                column = other.name if isinstance(other, exp.Column) else ""
            elif isinstance(above, exp.In) and isinstance(above.this, exp.Column):
                column = above.this.name
            found.append(
                QueryLiteral(
                    node.name,
                    bool(node.is_string),
                    column,
                    isinstance(above, (exp.Limit, exp.Offset, exp.Fetch)),
                )
            )
    return tuple(found)


def with_literals(sql: str, dialect: Dialect, others: Mapping[tuple[str, bool], str]) -> str:
    """The query with literals replaced: (text, is_string) -> the new text.

    >>> with_literals("SELECT a FROM t WHERE b = 'x' LIMIT 5", "sqlite", {("x", True): "it's", ("5", False): "3"})
    "SELECT a FROM t WHERE b = 'it''s' LIMIT 3"
    """
    statement = parse(scan(sql, dialect))
    for node in list(nodes(statement.tree)):
        if isinstance(node, exp.Literal):
            new = others.get((node.name, bool(node.is_string)))
            if new is not None:
                node.replace(exp.Literal.string(new) if node.is_string else exp.Literal.number(new))
    return render(statement)
