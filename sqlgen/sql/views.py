"""Views under a policy: what they show of the tables below them, from the definitions that the engine keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from sqlglot import exp

from sqlgen.policy import Mask, Protection
from sqlgen.sql.parse import Statement, Unreadable, nodes, parse, scan
from sqlgen.sql.scope import CatalogNames
from sqlgen.sql.trace import Refused, Trace, is_output, trace
from sqlgen.types import Dialect, Table

__all__ = ["MAX_VIEW_DEPTH", "view_query", "views_closed"]

MAX_VIEW_DEPTH = 8
"""How deep views over views are followed."""


def view_query(text: str, table: Table, dialect: Dialect, schema: str) -> exp.Expr:
    """The query of a view from its definition, its outputs named as the view's columns are."""
    query, renamed = _parsed_view(text, dialect)
    query = query.copy()
    if schema:
        for node in nodes(query):
            # MySQL writes the database before every name.
            if isinstance(node, (exp.Table, exp.Column)) and node.text("db") == schema and dialect == "mysql":
                node.set("db", None)
                node.set("catalog", None)
    first: exp.Expr = query
    while isinstance(first, (exp.SetOperation, exp.Subquery)):
        first = first.this
    if not isinstance(first, exp.Select):
        raise Refused(f"the definition of the view `{table.name}` is of a kind that the policy cannot follow")
    stars = [e for e in first.expressions if isinstance(e, exp.Star) or isinstance(e.this, exp.Star)]
    if not stars and len(first.expressions) == len(table.columns):
        for item, column in zip(list(first.expressions), table.columns, strict=True):
            cell = item.this if isinstance(item, exp.Alias) else item
            named = exp.to_identifier(column.name, quoted=True)
            item.replace(exp.Alias(this=cell.copy(), alias=named))
    elif not stars or renamed:
        raise Refused(f"the columns of the view `{table.name}` do not fit its definition")
    return query


@lru_cache(maxsize=256)
def _parsed_view(text: str, dialect: Dialect) -> tuple[exp.Expr, bool]:
    try:
        tree = parse(scan(text, dialect)).tree
    except Unreadable:
        raise Refused("the definition of a view cannot be read") from None
    renamed = False
    if isinstance(tree, exp.Create):
        renamed = isinstance(tree.this, exp.Schema) and bool(tree.this.expressions)
        tree = tree.expression
    if not isinstance(tree, exp.Query):
        raise Refused("the definition of a view is no query")
    tree.pop()
    return tree, renamed


def views_closed(protection: Protection, definitions: Mapping[str, str]) -> Protection:
    """Carry the policy of tables over to the views that read them; ``definitions`` by table key.

    A view over a closed table is closed, and so is one whose definition is not known or cannot be followed. A column
    of a view that shows a hidden one is hidden; a view that uses a hidden column in any other way is closed. A view
    over filtered or masked tables is inlined where it is read, so that their rules hold inside it.
    """
    views = {t.key: t for t in protection.catalog.tables if t.is_view}
    dialect = protection.catalog.dialect
    open_ = replace(protection, pending=frozenset())
    spread = _Views(open_, definitions, views, CatalogNames(protection.catalog, dialect))
    for key in views:
        spread.settle(key)
    return spread.protection.settled()


class _Views:
    def __init__(
        self,
        protection: Protection,
        definitions: Mapping[str, str],
        views: Mapping[str, Table],
        names: CatalogNames,
    ) -> None:
        self.protection = protection
        self.definitions = definitions
        self.views = views
        self.names = names
        self.done: set[str] = set()
        self.going: set[str] = set()

    def settle(self, key: str, depth: int = 0) -> None:
        if key in self.done:
            return
        self.done.add(key)
        self.going.add(key)
        try:
            if depth > MAX_VIEW_DEPTH or key not in self.definitions:
                raise Refused("not known")
            self._settle(self.views[key], self.definitions[key], depth)
        except (Refused, RecursionError):
            self._close(key)
        finally:
            self.going.discard(key)

    def _settle(self, view: Table, text: str, depth: int) -> None:
        query = view_query(text, view, self.names.dialect, self.protection.default_schema)
        walk = self._traced(query)
        if walk.faults:
            raise Refused("cannot be followed")
        below = {key for _, key in walk.scans}
        if below & self.going:
            raise Refused("reads itself")
        for key in below & self.views.keys():
            self.settle(key, depth + 1)
        protection = self.protection
        if below & protection.closed:
            raise Refused("closed below")
        if any(not is_output(r) for o in walk.uses if self._is(o, "masks") for r in walk.uses[o]):
            raise Refused("depends on a masked column")
        outputs = self._outputs(view, query)
        hidden, masks = self._shown(view, query, walk, outputs)
        masked = any(self._is(origin, "masks") for origin in walk.columns)
        inlined = any(k in protection.filters or k in protection.inlined for k in below)
        inlined = inlined or (masked and masks is None)
        if len(hidden) == len(view.columns):
            raise Refused("shows nothing else")
        if inlined:
            protection = replace(protection, inlined={**protection.inlined, view.key: text})
        elif masks:
            merged = {**masks, **protection.masks.get(view.key, {})}
            protection = replace(protection, masks={**protection.masks, view.key: merged})
        if hidden:
            merged_names = hidden | protection.hidden.get(view.key, frozenset())
            protection = replace(protection, hidden={**protection.hidden, view.key: merged_names})
        self.protection = protection

    def _shown(
        self, view: Table, query: exp.Expr, walk: Trace, outputs: list[exp.Expr] | None
    ) -> tuple[frozenset[str], dict[str, Mask] | None]:
        """The columns of the view that show a hidden one, and those that are a masked one; None where that is unclear.

        Refused where a hidden column does anything but become an output.
        """
        if not any(self._is(origin, part) for origin in walk.columns for part in ("hidden", "masks")):
            return frozenset(), {}
        is_plain = isinstance(query, exp.Select) and not query.args.get("distinct") and outputs is not None
        if not is_plain or self._reads(query, [exp.Literal.number(1)], "hidden"):
            if any(self._is(origin, "hidden") for origin in walk.columns):
                raise Refused("uses a hidden column")
            return frozenset(), None
        hidden: set[str] = set()
        masks: dict[str, Mask] | None = {}
        for column, output in zip(view.columns, outputs or [], strict=True):
            if self._reads(query, [output], "hidden"):
                hidden.add(column.name)
            masked = self._reads(query, [output], "masks")
            bare = output.this if isinstance(output, exp.Alias) else output
            if masked and len(masked) == 1 and isinstance(bare, exp.Column) and masks is not None:
                key, name = self.protection.part_of(masked[0])
                masks[column.name] = self.protection.masks[key][name]
            elif masked:
                masks = None
        return frozenset(hidden), masks

    def _outputs(self, view: Table, query: exp.Expr) -> list[exp.Expr] | None:
        """One expression for each column of the view; None where they cannot be told apart."""
        if not isinstance(query, exp.Select):
            return None
        outputs: list[exp.Expr] = []
        for item in query.expressions:
            star = item if isinstance(item, exp.Star) else item.this
            if not isinstance(star, exp.Star):
                outputs.append(item)
                continue
            count = len(view.columns) - len(query.expressions) + 1
            if any(star.args.values()) or count < 1:
                return None
            owner = item.args.get("table") if isinstance(item, exp.Column) else None
            outputs += [
                exp.Column(
                    this=exp.to_identifier(column.name, quoted=True),
                    table=owner.copy() if owner is not None else None,
                )
                for column in view.columns[len(outputs) : len(outputs) + count]
            ]
        return outputs if len(outputs) == len(view.columns) else None

    def _reads(self, query: exp.Expr, outputs: list[exp.Expr], part: str) -> list[str]:
        """Hidden or masked columns that the query reads when it has only these outputs."""
        alone = query.copy()
        alone.set("expressions", [output.copy() for output in outputs])
        walk = self._traced(alone)
        if walk.faults:
            raise Refused("cannot be followed")
        return [origin for origin in walk.columns if self._is(origin, part)]

    def _is(self, origin: str, part: str) -> bool:
        key, column = self.protection.part_of(origin)
        return column in getattr(self.protection, part).get(key, ())

    def _traced(self, query: exp.Expr) -> Trace:
        return trace(Statement(query.copy(), self.names.dialect), self.names)

    def _close(self, key: str) -> None:
        self.protection = replace(self.protection, closed=self.protection.closed | {key})
