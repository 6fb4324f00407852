"""The resolver with its nodes kept: which node scans which table, which node reads which column."""

from __future__ import annotations

from sqlglot import exp

from sqlgen.sql.parse import Statement, span_of
from sqlgen.sql.scope import CatalogNames, Fault, _Scope, _Source, _Walk

__all__ = ["Refused", "Trace", "is_output", "trace"]


class Trace(_Walk):
    """The resolver, with the nodes that scan base tables and the nodes that read their columns kept."""

    def __init__(self, statement: Statement, names: CatalogNames) -> None:
        super().__init__(statement, names)
        self.scans: list[tuple[exp.Table, str]] = []
        self.uses: dict[str, list[exp.Expr | None]] = {}
        self.reader: exp.Expr | None = None

    def table(self, node: exp.Table, scope: _Scope) -> None:
        """A base table, CTE or function in FROM."""
        before = len(scope.sources)
        super().table(node, scope)
        self.scans += [(node, s.key) for s in scope.sources[before:] if s.key is not None]

    def column(self, node: exp.Column, scope: _Scope) -> None:
        """A named column."""
        outer, self.reader = self.reader, node
        super().column(node, scope)
        self.reader = outer

    def star(self, star: exp.Expr, scope: _Scope, sources: list[_Source]) -> list[str]:
        """All columns, but for those excluded."""
        outer, self.reader = self.reader, star
        names = super().star(star, scope, sources)
        self.reader = outer
        return names

    def read(self, origin: str | None) -> None:
        """Note who reads ``origin``; None where no node of its own does (a join, a PIVOT)."""
        super().read(origin)
        if origin is not None:
            self.uses.setdefault(origin, []).append(self.reader)


def trace(statement: Statement, names: CatalogNames) -> Trace:
    """Follow every name of ``statement``, in place as ``scope.resolve`` does."""
    walk = Trace(statement, names)
    walk.query(statement.tree, None, {})
    walk.overlooked(statement.tree)
    return walk


def is_output(reader: exp.Expr | None) -> bool:
    """True if a column only ever becomes an output: of the statement, or of a query that is read from."""
    if reader is None:
        return False
    node: exp.Expr = reader
    while (parent := node.parent) is not None:
        key = node.arg_key
        if isinstance(parent, exp.Select) and key not in (
            "expressions",
            "from_",
            "joins",
            "with_",
            "laterals",
        ):
            return False
        if isinstance(parent, exp.SetOperation) and key not in ("this", "expression", "with_"):
            return False
        if isinstance(parent, exp.Join) and key != "this":
            return False
        node = parent
    return True


class Refused(Exception):
    """The policy cannot be carried into this statement; ``fault`` says why."""

    def __init__(self, message: str, node: exp.Expr | None = None, rule: str = "policy") -> None:
        super().__init__(message)
        self.fault = Fault(rule, message, span_of(node) if node is not None else None)
