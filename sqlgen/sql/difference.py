"""The one thing that two queries differ in, where it is one that a person could decide."""

from __future__ import annotations

from sqlglot import exp

from sqlgen.sql.parse import nodes, parse, scan
from sqlgen.sql.scope import CatalogNames
from sqlgen.sql.trace import trace
from sqlgen.types import Catalog, Dialect

__all__ = ["EACH", "EACH_DIFFERENT", "one_difference"]

EACH, EACH_DIFFERENT = "*", "distinct"


def one_difference(one: str, other: str, catalog: Catalog, dialect: Dialect) -> tuple[str, str] | None:
    """What two queries differ in: a column in place of another (``table_key.column``), or COUNT with DISTINCT (``EACH``
    and ``EACH_DIFFERENT``); None where they differ in nothing, in several things or in another kind. Raises Unreadable.

    >>> from sqlgen.types import Column, Table
    >>> c = Catalog("sqlite", (Table("t", (Column("a", "DATE", "date"), Column("b", "DATE", "date"))),))
    >>> one_difference("SELECT COUNT(*) FROM t WHERE a > '2025'", "SELECT COUNT(*) FROM t WHERE b > '2025'", c, "sqlite")
    ('t.a', 't.b')
    >>> one_difference("SELECT COUNT(a) FROM t", "SELECT COUNT(DISTINCT a) FROM t", c, "sqlite")
    ('*', 'distinct')
    >>> one_difference("SELECT a FROM t", "SELECT a FROM t LIMIT 3", c, "sqlite") is None
    True
    """
    first, mine = _read(one, catalog, dialect)
    second, theirs = _read(other, catalog, dialect)
    counted = _counted(first), _counted(second)
    if counted[0] != counted[1] and _shape(first) == _shape(second):
        return (EACH, EACH_DIFFERENT) if counted[1] > counted[0] else (EACH_DIFFERENT, EACH)
    found: set[tuple[str, str]] = set()
    left, right = list(nodes(first)), list(nodes(second))
    if len(left) != len(right):
        return None
    for a, b in zip(left, right, strict=True):
        if type(a) is not type(b):
            return None
        if isinstance(a, exp.Column):
            origins = mine.get(id(a), ""), theirs.get(id(b), "")
            if origins[0] != origins[1]:
                found.add(origins)
        elif isinstance(a, exp.Identifier):
            if not isinstance(a.parent, exp.Column) and a.name.casefold() != b.name.casefold():
                return None
        elif (
            isinstance(a, (exp.Literal, exp.Anonymous))
            and (a.name.casefold() != b.name.casefold() if isinstance(a, exp.Anonymous) else a.this != b.this)
        ) or (isinstance(a, exp.Ordered) and bool(a.args.get("desc")) != bool(b.args.get("desc"))):
            return None
    if len(found) != 1:
        return None
    pair = found.pop()
    kinds = [_kind(origin, catalog) for origin in pair]
    return pair if all(pair) and kinds[0] == kinds[1] != "" else None


def _read(sql: str, catalog: Catalog, dialect: Dialect) -> tuple[exp.Expr, dict[int, str]]:
    statement = parse(scan(sql, dialect))
    walk = trace(statement, CatalogNames(catalog, dialect))
    origins = {id(r): origin for origin, readers in walk.uses.items() for r in readers if r is not None}
    return statement.tree, origins


def _counted(tree: exp.Expr) -> int:
    return sum(isinstance(n, exp.Distinct) and isinstance(n.parent, exp.Anonymous) for n in nodes(tree))


def _shape(tree: exp.Expr) -> str:
    """The text of a tree with COUNT(DISTINCT x) as COUNT(x)."""
    copy = tree.copy()
    for node in [
        n for n in nodes(copy) if isinstance(n, exp.Distinct) and isinstance(n.parent, exp.Anonymous)
    ]:
        if node.expressions:
            node.replace(node.expressions[0])
    return copy.sql().casefold()


def _kind(origin: str, catalog: Catalog) -> str:
    key, _, name = origin.rpartition(".")
    table = catalog.table(key)
    column = table.column(name) if table else None
    return column.kind if column else ""
