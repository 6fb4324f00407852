"""Outer joins in the manner of the form, which has no condition of its own for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from sqlglot import exp

__all__ = ["without_conditions"]

_AGGREGATES = (exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max)


def without_conditions(
    select: exp.Select, columns_of: Callable[[exp.Table], Mapping[str, bool]]
) -> exp.Select:
    """The same query with what LEFT JOIN asks of its right side said elsewhere, where that can be.

    Aggregates of the right side take the condition into themselves; a row that is wanted because it has
    no partner is one whose key is not among the partners'. ``columns_of`` gives the names of a table's
    columns, in lower case, and whether each is the primary key.

    >>> import sqlglot
    >>> query = sqlglot.parse_one("SELECT a.n, COUNT(b.i) FROM a LEFT JOIN b ON b.k = a.i AND b.x = 1 GROUP BY a.n")
    >>> without_conditions(query, lambda table: dict.fromkeys("iknx", False)).sql()
    'SELECT a.n, COUNT(CASE WHEN b.x = 1 THEN b.i END) FROM a LEFT JOIN b ON b.k = a.i GROUP BY a.n'
    """
    for number, join in enumerate(select.args.get("joins") or []):
        if join.side == "LEFT" and isinstance(join.this, exp.Table) and len(_parts(join.args.get("on"))) > 1:
            changed = _Side(select.copy(), number, columns_of).changed()
            if changed is not None:
                return without_conditions(changed, columns_of)
    return select


class _Side:
    """The right side of one LEFT JOIN in a query that may be changed."""

    def __init__(
        self, select: exp.Select, number: int, columns_of: Callable[[exp.Table], Mapping[str, bool]]
    ) -> None:
        self.select = select
        self.joins: list[exp.Join] = select.args["joins"]
        self.join = self.joins[number]
        relations = [select.args["from_"].this, *(join.this for join in self.joins)]
        tables = [relation for relation in relations if isinstance(relation, exp.Table)]
        self.columns = {table.alias_or_name.lower(): columns_of(table) for table in tables}
        self.alias = self.join.this.alias_or_name.lower()

    def changed(self) -> exp.Select | None:
        """The query without conditions on this side, or None where they must stay."""
        parts = _parts(self.join.args["on"])
        keys = [part for part in parts if self.is_key(part)]
        asked = [part for part in parts if not self.is_key(part)]
        if not keys or not asked or not all(map(self.is_mine, asked)):
            return None
        uses = [c for c in self.uses() if self.join not in _above(c)]
        if any(isinstance(node, exp.Join) for use in uses for node in _above(use)):
            return None
        condition = exp.and_(*asked, copy=True)
        if len(uses) == 1 and self.is_missing(uses[0], keys):
            return self.as_set(uses[0], keys, condition)
        return self.as_aggregates(uses, keys, condition)

    def uses(self) -> Iterator[exp.Column]:
        for column in self.select.find_all(exp.Column):
            if self.owner(column) == self.alias:
                yield column

    def owner(self, column: exp.Column) -> str:
        if column.table:
            return column.table.lower()
        if column.find_ancestor(exp.Select) is not self.select:
            return ""
        homes = [alias for alias, names in self.columns.items() if column.name.lower() in names]
        return homes[0] if len(homes) == 1 else ""

    def is_key(self, part: exp.Expr) -> bool:
        if not (
            isinstance(part, exp.EQ)
            and isinstance(part.left, exp.Column)
            and isinstance(part.right, exp.Column)
        ):
            return False
        owners = {self.owner(part.left), self.owner(part.right)}
        return len(owners) == 2 and self.alias in owners and "" not in owners

    def is_mine(self, part: exp.Expr) -> bool:
        return part.find(exp.Query) is None and {self.owner(c) for c in part.find_all(exp.Column)} == {
            self.alias
        }

    def is_missing(self, use: exp.Column, keys: list[exp.Expr]) -> bool:
        """True for ``use`` IS NULL among the conditions that all must hold, of a column of the key."""
        test = use.parent
        where = self.select.args.get("where")
        return (
            isinstance(test, exp.Is)
            and isinstance(test.expression, exp.Null)
            and where is not None
            and any(part is test for part in _parts(where.this))
            and len(keys) == 1
            and self.is_set(use, keys[0])
        )

    def is_set(self, use: exp.Column, key: exp.Expr) -> bool:
        """True if ``use`` is never NULL where there is a partner: a column of the key."""
        name = use.name.lower()
        joined = {c.name.lower() for c in key.find_all(exp.Column) if self.owner(c) == self.alias}
        return name in joined or self.columns[self.alias].get(name, False)

    def as_set(self, use: exp.Column, keys: list[exp.Expr], condition: exp.Expr) -> exp.Select:
        mine, theirs = sorted(keys[0].find_all(exp.Column), key=lambda c: self.owner(c) != self.alias)
        partners = exp.select(mine.copy()).from_(self.join.this.copy()).where(condition)
        wanted = exp.Not(this=exp.In(this=theirs.copy(), query=exp.Subquery(this=partners)))
        assert use.parent is not None
        use.parent.replace(wanted)
        self.joins.remove(self.join)
        self.select.set("joins", self.joins)
        return self.select

    def as_aggregates(
        self, uses: list[exp.Column], keys: list[exp.Expr], condition: exp.Expr
    ) -> exp.Select | None:
        """The condition inside every aggregate of this side; None where something else reads it, or counts rows."""
        whole = [n for n in self.select.find_all(*_AGGREGATES) if n.find_ancestor(exp.Select) is self.select]
        if any(isinstance(node.this, exp.Star | exp.Literal) for node in whole) or not uses:
            return None
        found: dict[int, exp.Expr] = {}
        for use in uses:
            aggregate: exp.Expr | None = next((n for n in _above(use) if isinstance(n, _AGGREGATES)), None)
            if (
                aggregate is None
                or isinstance(aggregate.parent, exp.Window)
                or not any(aggregate is n for n in whole)
            ):
                return None
            found[id(aggregate)] = aggregate
        for aggregate in found.values():
            if not _narrow(aggregate, condition):
                return None
        self.join.set("on", exp.and_(*keys, copy=True))
        return self.select


def _narrow(aggregate: exp.Expr, condition: exp.Expr) -> bool:
    holder = aggregate.this if isinstance(aggregate.this, exp.Distinct) else aggregate
    value = holder.expressions[0] if isinstance(holder, exp.Distinct) else holder.this
    case = value if isinstance(value, exp.Case) else None
    if case is not None:
        default = case.args.get("default")
        harmless = default is None or (isinstance(aggregate, exp.Sum) and default.name == "0")
        if case.this is not None or len(case.args["ifs"]) != 1 or not harmless:
            return False
        branch = case.args["ifs"][0]
        branch.set("this", exp.and_(condition.copy(), branch.this.copy()))
        return True
    if isinstance(value, exp.If):
        return False
    value.replace(exp.Case(ifs=[exp.If(this=condition.copy(), true=value.copy())]))
    return True


def _parts(condition: exp.Expr | None) -> list[exp.Expr]:
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if condition is None:
        return []
    if not isinstance(condition, exp.And):
        return [condition]
    return [*_parts(condition.left), *_parts(condition.right)]


def _above(node: exp.Expr) -> list[exp.Expr]:
    found = []
    above = node.parent
    while above is not None:
        found.append(above)
        above = above.parent
    return found
