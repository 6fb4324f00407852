"""What a query really reads: every name of the tree followed to a table, a CTE, an alias or a fault.

Scopes are walked as the engines walk them: a CTE is seen only where it is seen there, a qualified name never means a
CTE, and a name that leads nowhere is a fault, not a guess. Matching names means the engine's rule: PostgreSQL folds
what is not quoted and then compares exactly; the others ignore case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlglot import exp
from sqlglot.errors import ErrorLevel

from sqlgen.sql.functions import load_functions
from sqlgen.sql.parse import Span, Statement, is_dual, nodes, span_of
from sqlgen.types import Catalog, Dialect, Table

__all__ = ["CatalogNames", "Fault", "Reads", "nearest", "resolve"]

_DEFAULT_SCHEMA: Mapping[Dialect, str] = {
    "sqlite": "main",
    "duckdb": "main",
    "postgres": "public",
    "mysql": "",
}
_SYSTEM_SCHEMAS = frozenset(
    {"pg_catalog", "information_schema", "mysql", "performance_schema", "sys", "temp", "system"}
)
_ROWIDS: Mapping[Dialect, frozenset[str]] = {
    "sqlite": frozenset({"rowid", "oid", "_rowid_"}),
    "duckdb": frozenset({"rowid"}),
    "postgres": frozenset(),
    "mysql": frozenset(),
}
# For names of results alone: what the writer lacks is no matter here, and nothing is logged.
_QUIET: Mapping[str, Any] = {
    "comments": False,
    "normalize_functions": False,
    "unsupported_level": ErrorLevel.IGNORE,
}
_UNITS = frozenset(
    """microsecond second minute hour day week month quarter year sql_tsi_second sql_tsi_minute sql_tsi_hour
    sql_tsi_day sql_tsi_week sql_tsi_month sql_tsi_quarter sql_tsi_year date time datetime timestamp""".split()
)
_UNIT_FIRST = frozenset({"timestampdiff", "timestampadd", "get_format"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A name that leads nowhere, or to a place that is closed."""

    rule: str
    message: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Reads:
    """Table keys and ``table_key.column`` names that a query reads, in order of first use; and the faults."""

    tables: tuple[str, ...]
    columns: tuple[str, ...]
    faults: tuple[Fault, ...]


_ANY = "*"
"""Among the names of a result: whatever the data makes of it."""


class CatalogNames:
    """A catalog folded for one dialect: built once per catalog, then looked up."""

    __slots__ = ("columns", "database", "default", "dialect", "tables", "types")

    def __init__(self, catalog: Catalog, dialect: Dialect) -> None:
        self.dialect = dialect
        # MySQL tells databases apart by case.
        self.database = catalog.database if dialect == "mysql" else self._fold(catalog.database)
        self.default = _DEFAULT_SCHEMA[dialect] or self._fold(self.database)
        self.tables: dict[tuple[str, str], list[Table]] = {}
        self.columns: dict[str, dict[str, str]] = {}
        self.types: set[str] = set()
        for table in catalog.tables:
            key = (self._fold(table.schema or ""), self._fold(table.name))
            self.tables.setdefault(key, []).append(table)
            self.columns[table.key] = {self._fold(c.name): c.name for c in table.columns}
            self.types.update(re.sub(r"\W+", "", c.type.lower()) for c in table.columns)

    def _fold(self, name: str) -> str:
        return name if self.dialect == "postgres" else name.lower()

    def find(self, schema: str, name: str, folded_schema: str, folded_name: str) -> Table | None:
        """The table of this name; where several differ by case alone, the one spelt exactly so."""
        found = self.tables.get((folded_schema, folded_name))
        in_default = folded_schema == self.default or (
            self.dialect == "duckdb" and folded_schema == self.database
        )
        if self.dialect == "mysql":
            in_default = schema == self.database
        if found is None and folded_schema and in_default:
            found = self.tables.get(("", folded_name))
        if not found:
            return None
        return next((t for t in found if t.name == name), found[0] if len(found) == 1 else None)

    def names(self) -> list[str]:
        """Every table key."""
        return [t.key for tables in self.tables.values() for t in tables]


class _Source:
    """Something that stands in FROM: its name, its columns in order, and where each comes from."""

    __slots__ = ("columns", "is_open", "key", "label", "name", "rowids", "schema")

    def __init__(
        self,
        label: str,
        name: str,
        columns: dict[str, str | None],
        *,
        key: str | None = None,
        schema: str = "",
        is_open: bool = False,
        rowids: frozenset[str] = frozenset(),
    ) -> None:
        self.label = label
        self.name = name
        self.columns = columns
        self.key = key
        self.schema = schema
        self.is_open = is_open
        self.rowids = rowids


@dataclass(slots=True)
class _Scope:
    parent: _Scope | None
    ctes: dict[str, tuple[str, list[str]]]
    sources: list[_Source] = field(default_factory=list)
    merged: set[str] = field(default_factory=set)
    natural: bool = False
    aliases: set[str] = field(default_factory=set)
    aliases_seen: bool = False
    conditions: list[exp.Expr] = field(default_factory=list)


def resolve(statement: Statement, names: CatalogNames) -> Reads:
    """Follow every name of ``statement``. In place: names of MySQL get the catalog's case, and in SQLite a double-quoted
    value becomes the literal that the engine would make of it.

    >>> from sqlgen.sql.parse import parse, scan
    >>> from sqlgen.types import Column
    >>> catalog = Catalog("sqlite", (Table("t", (Column("a", "INT", "number"),)),))
    >>> reads = resolve(parse(scan("SELECT A, b FROM T", "sqlite")), CatalogNames(catalog, "sqlite"))
    >>> reads.tables, reads.columns, reads.faults[0].message
    (('t',), ('t.a',), 'no column `b`')
    """
    walk = _Walk(statement, names)
    walk.query(statement.tree, None, {})
    walk.overlooked(statement.tree)
    return Reads(tuple(walk.tables), tuple(walk.columns), tuple(walk.faults))


class _Walk:
    def __init__(self, statement: Statement, names: CatalogNames) -> None:
        self.dialect: Dialect = statement.dialect
        self.names = names
        self.functions = load_functions(self.dialect)
        self.tables: dict[str, None] = {}
        self.columns: dict[str, None] = {}
        self.faults: list[Fault] = []
        self.seen: set[int] = set()

    def overlooked(self, tree: exp.Expr) -> None:
        """A table or query that stands where nothing above looked is refused."""
        for node in nodes(tree):
            if isinstance(node, exp.Table) and node.arg_key == "indexed":
                continue
            if isinstance(node, (exp.Table, exp.Select)) and id(node) not in self.seen:
                self.fault("unsupported", "a table or query stands where it cannot be followed", node)

    # Names

    def fold(self, name: exp.Expr | str | None) -> str:
        if name is None:
            return ""
        if isinstance(name, str):
            return name.lower()
        if self.dialect == "postgres" and name.args.get("quoted"):
            return name.name
        return name.name.lower()

    def fault(self, rule: str, message: str, node: exp.Expr | None = None) -> None:
        if len(self.faults) < 20:
            self.faults.append(Fault(rule, message, span_of(node) if node is not None else None))

    # Queries

    def query(
        self,
        node: exp.Expr,
        outer: _Scope | None,
        ctes: dict[str, tuple[str, list[str]]],
        first: Callable[[list[str]], dict[str, tuple[str, list[str]]]] | None = None,
    ) -> list[str]:
        """Resolve a query, give its output names. ``first`` hears the names of the first arm, and gives what the
        other arms see besides."""
        spine: list[tuple[exp.Expr, dict[str, tuple[str, list[str]]]]] = []
        while True:
            ctes = self.with_clause(node, outer, ctes)
            spine.append((node, ctes))
            if not isinstance(node, (exp.SetOperation, exp.Subquery)) or isinstance(node.this, exp.Table):
                break
            node = node.this
        output = self.leaf(node, outer, ctes)
        recursive: dict[str, tuple[str, list[str]]] = {}
        for branch, seen in reversed(spine):
            if branch is node:
                continue
            if isinstance(branch, exp.SetOperation):
                if first is not None:
                    recursive, first = first(output), None
                self.query(branch.expression, outer, {**seen, **recursive})
            self.modifiers_of_output(branch, output, outer, seen)
        return output

    def leaf(self, node: exp.Expr, outer: _Scope | None, ctes: dict[str, tuple[str, list[str]]]) -> list[str]:
        if isinstance(node, exp.Select):
            return self.select(node, outer, ctes)
        if isinstance(node, exp.Values):
            return list(self.values(node, _Scope(outer, ctes)))
        if isinstance(node, exp.Subquery):
            scope = _Scope(outer, ctes)
            self.source(node.this, scope)
            return [c for s in scope.sources for c in s.columns]
        if isinstance(node, exp.Pivot) and self.dialect == "duckdb":
            return self.pivot_query(node, _Scope(outer, ctes))
        self.fault("unsupported", f"a query of the kind {type(node).__name__} is not supported here", node)
        return []

    def pivot_query(self, node: exp.Pivot, scope: _Scope) -> list[str]:
        """DuckDB's PIVOT t ON .. USING .. GROUP BY .. and UNPIVOT t ON .. INTO NAME .. VALUE .."""
        self.source(node.this, scope)
        for source in scope.sources:
            for origin in source.columns.values():
                self.read(origin)
        for part in ("expressions", "using", "group"):
            clause = node.args.get(part)
            for piece in clause if isinstance(clause, list) else [clause]:
                if isinstance(piece, exp.Expr):
                    self.expr(piece, scope)
        made = (
            [self.fold(c) for c in nodes(node.args["into"]) if isinstance(c, exp.Identifier)]
            if node.args.get("into")
            else []
        )
        # The columns of a PIVOT are values of the data: only the engine knows them.
        return [c for s in scope.sources for c in s.columns] + (made or [_ANY])

    def with_clause(
        self, node: exp.Expr, outer: _Scope | None, ctes: dict[str, tuple[str, list[str]]]
    ) -> dict[str, tuple[str, list[str]]]:
        clause = node.args.get("with_")
        if clause is None:
            return ctes
        seen = dict(ctes)
        recursive = bool(clause.args.get("recursive")) or self.dialect == "sqlite"
        for cte in clause.expressions:
            alias = cte.args["alias"]
            name = self.fold(alias.this)
            renamed = [self.fold(c) for c in alias.args.get("columns") or []]

            def entry(
                output: list[str], name: str = name, alias: exp.Expr = alias, renamed: list[str] = renamed
            ) -> dict[str, tuple[str, list[str]]]:
                return {name: (alias.name, renamed + output[len(renamed) :])}

            before = {k: v for k, v in seen.items() if k != name} if recursive else seen
            output = self.query(cte.this, outer, before, entry if recursive else None)
            seen.update(entry(output))
            for extra in ("search", "cycle", "key_expressions"):
                if cte.args.get(extra):
                    self.fault(
                        "unsupported", f"{extra.upper()} in a common table expression is not supported", cte
                    )
        return seen

    def modifiers_of_output(
        self, node: exp.Expr, output: list[str], outer: _Scope | None, ctes: dict[str, tuple[str, list[str]]]
    ) -> None:
        scope = _Scope(outer, ctes, [_Source("", "", dict.fromkeys(output))])
        for part in ("order", "limit", "offset", "fetch"):
            if (clause := node.args.get(part)) is not None:
                self.expr(clause, scope)

    def select(
        self, node: exp.Select, outer: _Scope | None, ctes: dict[str, tuple[str, list[str]]]
    ) -> list[str]:
        self.seen.add(id(node))
        scope = _Scope(outer, ctes)
        if (origin := node.args.get("from_")) is not None:
            self.source(origin.this, scope)
        for join in node.args.get("joins") or []:
            self.join(join, scope)
        for lateral in node.args.get("laterals") or []:
            self.source(lateral, scope)
        for condition in scope.conditions:
            self.expr(condition, scope)
        reusable = self.dialect == "duckdb"
        scope.aliases_seen = reusable
        output: list[str] = []
        aliases: list[str] = []
        for item in node.expressions:
            names = self.projection(item, scope)
            output += names
            if isinstance(item, exp.Alias):
                aliases.append(self.fold(item.args["alias"]))
                if reusable:
                    scope.aliases.add(aliases[-1])
            elif isinstance(item, exp.Aliases):
                aliases += [self.fold(a) for a in item.expressions]
            elif self.dialect != "mysql":
                aliases += [n for n in names if n]
        scope.aliases.update(aliases)
        everywhere = self.dialect in ("sqlite", "duckdb")
        for part, seen in (
            ("distinct", everywhere),
            ("where", everywhere),
            ("group", True),
            ("having", self.dialect != "postgres"),
            ("windows", everywhere),
            ("qualify", everywhere),
            ("order", True),
            ("limit", False),
            ("offset", False),
            ("fetch", False),
            ("sample", False),
        ):
            clause = node.args.get(part)
            scope.aliases_seen = seen
            for piece in clause if isinstance(clause, list) else [clause]:
                if isinstance(piece, exp.Expr):
                    self.expr(piece, scope)
        if node.args.get("pivots"):
            self.fault("unsupported", "PIVOT is not supported here", node)
        return output

    def projection(self, item: exp.Expr, scope: _Scope) -> list[str]:
        if isinstance(item, exp.Star):
            return self.star(item, scope, scope.sources)
        if isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
            return self.qualified_star(item, scope)
        self.expr(item, scope)
        if isinstance(item, exp.Aliases):
            return [self.fold(a) for a in item.expressions]
        return [self.output_name(item)]

    def output_name(self, item: exp.Expr) -> str:
        """The name that the engine gives to a column of the result."""
        if isinstance(item, exp.Alias):
            return self.fold(item.args["alias"])
        if isinstance(item, exp.Column):
            return self.fold(item.this)
        if isinstance(item, exp.Dot):
            return self.fold(item.expression) if isinstance(item.expression, exp.Identifier) else ""
        if self.dialect != "postgres":
            return _squeeze(item.sql(dialect=self.dialect, **_QUIET))
        while isinstance(
            item, (exp.Paren, exp.Window, exp.Filter, exp.WithinGroup, exp.Collate, exp.AtTimeZone)
        ):
            item = item.this
        if isinstance(item, exp.Cast):
            inner = self.output_name(item.this)
            return inner if inner and inner != "?column?" else item.args["to"].sql(dialect="postgres").lower()
        if isinstance(item, exp.Column):
            return self.fold(item.this)
        if isinstance(item, exp.Subquery):
            query = item.unnest()
            return (
                self.output_name(query.selects[0]) if isinstance(query, exp.Select) and query.selects else ""
            )
        if isinstance(item, exp.Anonymous):
            return item.name.lower()
        if isinstance(item, exp.Bracket):
            return self.output_name(item.this)
        if isinstance(item, exp.Func):
            return _FUNC_NAMES.get(type(item).__name__, item.sql_name().lower())
        return "?column?"

    def star(self, star: exp.Expr, scope: _Scope, sources: list[_Source]) -> list[str]:
        if not sources:
            self.fault("unknown_column", "* needs a FROM clause", star)
        skipped = {
            self.fold(e.this if isinstance(e, exp.Column) else e) for e in star.args.get("except_") or []
        }
        output: list[str] = []
        for source in sources:
            for name, origin in source.columns.items():
                if name in scope.merged and name in output:
                    self.read(origin)
                    continue
                if name in skipped:
                    continue
                self.read(origin)
                output.append(name)
        known = {n for s in sources for n in s.columns}
        if not any(s.is_open for s in sources):
            for name in sorted(skipped - known):
                self.fault("unknown_column", f"no column `{name}` to exclude", star)
        for part in ("replace", "rename"):
            for piece in star.args.get(part) or []:
                self.expr(piece, scope)
                if part == "rename" and isinstance(piece, exp.Alias):
                    output.append(self.fold(piece.args["alias"]))
        return output

    def qualified_star(self, item: exp.Column, scope: _Scope) -> list[str]:
        wanted = self.fold(item.args.get("table"))
        schema = self.fold(item.args.get("db"))
        level: _Scope | None = scope
        while level is not None:
            for source in level.sources:
                if source.name == wanted and (not schema or self.same_schema(source, schema)):
                    self.relabel(item, source)
                    return self.star(item.this, _Scope(level, scope.ctes), [source])
            level = level.parent
        if self.dialect == "duckdb" and not schema and self.lookup(wanted, scope) is not None:
            return []
        self.fault("unknown_table", f"no table or alias `{item.table}` in this query", item)
        return []

    # Sources

    def join(self, join: exp.Expr, scope: _Scope) -> None:
        before = len(scope.sources)
        self.source(join.this, scope)
        method = str(join.args.get("method") or "").upper()
        if "NATURAL" in method:
            scope.natural = True
            left = {c for s in scope.sources[:before] for c in s.columns}
            shared = {c for s in scope.sources[before:] for c in s.columns} & left
            scope.merged |= shared
            for source in scope.sources:
                for name in shared:
                    self.read(source.columns.get(name))
        for name in join.args.get("using") or []:
            column = self.fold(name.this if isinstance(name, exp.Column) else name)
            scope.merged.add(column)
            sides = (scope.sources[:before], scope.sources[before:])
            for side in sides:
                holders = [s for s in side if column in s.columns]
                for holder in holders:
                    self.read(holder.columns[column])
                if not holders and not any(s.is_open for s in side):
                    known = [c for s in side for c in s.columns]
                    self.fault("unknown_column", _missing("column", name.name, known), name)
        if (condition := join.args.get("on")) is not None:
            if self.dialect == "sqlite":
                # SQLite lets a condition name tables that are joined further on.
                scope.conditions.append(condition)
            else:
                self.expr(condition, scope)
        if (condition := join.args.get("match_condition")) is not None:
            self.expr(condition, scope)

    def source(self, node: exp.Expr, scope: _Scope) -> None:
        """Add what ``node`` brings into FROM."""
        start = len(scope.sources)
        alias = node.args.get("alias")
        if isinstance(node, exp.Table):
            self.table(node, scope)
        elif isinstance(node, exp.Subquery):
            self.derived(node, scope)
        elif isinstance(node, exp.Values):
            scope.sources.append(self.aliased(alias, "", self.values(node, scope)))
        elif isinstance(node, exp.Unnest):
            self.unnest(node, scope)
        elif isinstance(node, exp.Lateral):
            self.lateral(node, scope)
        elif isinstance(node, exp.Paren):
            self.source(node.this, scope)
        elif isinstance(node, (exp.Select, exp.SetOperation)):
            output = self.query(node, scope if self.dialect == "duckdb" else scope.parent, scope.ctes)
            scope.sources.append(self.aliased(alias, "", dict.fromkeys(output)))
        else:
            self.fault("unsupported", f"{type(node).__name__} cannot be read like a table here", node)
        for join in node.args.get("joins") or []:
            self.join(join, scope)
        for lateral in node.args.get("laterals") or []:
            self.source(lateral, scope)
        for pivot in node.args.get("pivots") or []:
            self.pivot(pivot, scope, start)

    def aliased(
        self, alias: exp.Expr | None, name: str, columns: dict[str, str | None], **more: object
    ) -> _Source:
        label = alias.name if alias is not None and alias.name else name
        folded = self.fold(alias.this) if alias is not None and alias.this is not None else self.fold(name)
        renamed = (
            [
                self.fold(c.this if isinstance(c, exp.ColumnDef) else c)
                for c in (alias.args.get("columns") or [])
            ]
            if alias is not None
            else []
        )
        if renamed:
            origins = list(columns.items())
            columns = {new: (origins[i][1] if i < len(origins) else None) for i, new in enumerate(renamed)}
            columns.update(origins[len(renamed) :])
        return _Source(label, folded, columns, **more)  # type: ignore[arg-type]

    def table(self, node: exp.Table, scope: _Scope) -> None:
        self.seen.add(id(node))
        if node.args.get("rows_from"):
            columns: dict[str, str | None] = {}
            for part in node.args["rows_from"]:
                inner = _Scope(scope, scope.ctes)
                self.source(part, inner)
                columns.update({c: None for s in inner.sources for c in s.columns})
            if node.args.get("ordinality"):
                columns["ordinality"] = None
            scope.sources.append(self.aliased(node.args.get("alias"), "", columns))
            return
        name, schema, database = node.this, node.args.get("db"), node.args.get("catalog")
        dotted = isinstance(name, exp.Dot) and not isinstance(name.expression, exp.Anonymous)
        if dotted or any(p is not None and not isinstance(p, exp.Identifier) for p in (schema, database)):
            self.fault("unknown_table", "a name of a table has empty or too many parts", node)
            self.unknown(node, scope)
            return
        if not isinstance(name, exp.Identifier):
            self.function_source(node, name, scope)
            return
        alias = node.args.get("alias")
        folded = self.fold(name)
        if self.dialect == "mysql" and is_dual(node):
            return
        if schema is None and (cte := scope.ctes.get(folded)) is not None:
            label, output = cte
            if self.dialect == "mysql" and name.name != label:
                name.set("this", label)
            scope.sources.append(self.aliased(alias, name.name, dict.fromkeys(output), key=None))
            if alias is None or alias.this is None:
                scope.sources[-1].name = folded
            return
        if database is not None and (
            self.dialect == "mysql" or not self.names.database or self.fold(database) != self.names.database
        ):
            self.fault(
                "unknown_table", f"no table `{_dotted(node)}`: names of another database are closed", node
            )
            self.unknown(node, scope)
            return
        folded_schema = self.fold(schema)
        if folded_schema in _SYSTEM_SCHEMAS or folded_schema.startswith("pg_") or self.is_system(folded):
            self.fault("system_table", f"the system table `{_dotted(node)}` is closed", node)
            self.unknown(node, scope)
            return
        found = self.names.find(schema.name if schema is not None else "", name.name, folded_schema, folded)
        if found is None:
            self.fault(
                "unknown_table", _missing("table", _dotted(node), self.names.names(), tables=True), node
            )
            self.unknown(node, scope)
            return
        if self.dialect == "mysql" and name.name != found.name:
            name.set("this", found.name)
        self.tables.setdefault(found.key)
        origin = {fold: f"{found.key}.{column}" for fold, column in self.names.columns[found.key].items()}
        source = self.aliased(
            alias,
            found.name,
            dict(origin),
            key=found.key,
            schema=folded_schema or (self.fold_plain(found.schema) if found.schema else self.names.default),
            rowids=frozenset() if found.is_view else _ROWIDS[self.dialect],
        )
        if alias is None or alias.this is None:
            source.name = folded
        scope.sources.append(source)

    def fold_plain(self, name: str) -> str:
        return name if self.dialect == "postgres" else name.lower()

    def unknown(self, node: exp.Table, scope: _Scope) -> None:
        """Stand in for a table that is not there, so that its columns bring no further findings."""
        scope.sources.append(self.aliased(node.args.get("alias"), node.name, {}, is_open=True))

    def is_system(self, folded: str) -> bool:
        if self.dialect == "sqlite":
            return folded.startswith(("sqlite_", "pragma_")) or folded in ("dbstat", "sqlite_schema")
        if self.dialect == "postgres":
            return folded.startswith("pg_")
        if self.dialect == "duckdb":
            return folded.startswith(("duckdb_", "pragma_", "sqlite_", "pg_"))
        return False

    def derived(self, node: exp.Subquery, scope: _Scope) -> None:
        alias = node.args.get("alias")
        if isinstance(node.this, (exp.Table, exp.Unnest, exp.Lateral)) or (
            isinstance(node.this, exp.Subquery)
            and (node.this.args.get("joins") or node.this.args.get("alias"))
        ):
            # Parentheses around joined tables: what is inside stays visible unless it gets a name.
            if alias is None:
                self.source(node.this, scope)
                return
            inner = _Scope(scope.parent, scope.ctes)
            self.source(node.this, inner)
            for condition in inner.conditions:
                self.expr(condition, inner)
            columns = {c: o for s in inner.sources for c, o in s.columns.items()}
            scope.sources.append(
                self.aliased(alias, "", columns, is_open=any(s.is_open for s in inner.sources))
            )
            return
        # DuckDB lets a derived table see its neighbours without LATERAL.
        outer = scope if self.dialect == "duckdb" else scope.parent
        output = self.query(node, outer, scope.ctes)
        scope.sources.append(self.aliased(alias, "", dict.fromkeys(output)))

    def lateral(self, node: exp.Lateral, scope: _Scope) -> None:
        alias, inner = node.args.get("alias"), node.this
        if isinstance(inner, exp.Subquery):
            output = self.query(inner, scope, scope.ctes)
            scope.sources.append(self.aliased(alias, "", dict.fromkeys(output)))
        elif isinstance(inner, exp.Unnest):
            self.unnest(inner, scope, alias, bool(node.args.get("ordinality")))
        else:
            self.function_source(node, inner, scope)

    def unnest(
        self, node: exp.Unnest, scope: _Scope, alias: exp.Expr | None = None, ordinality: bool = False
    ) -> None:
        for item in node.expressions:
            self.expr(item, scope)
        alias = node.args.get("alias") or alias
        own = alias.name if alias is not None and alias.name else "unnest"
        if self.dialect == "postgres" and len(node.expressions) == 1:
            columns: dict[str, str | None] = {
                self.fold(alias.this) if alias is not None and alias.this else own: None
            }
        elif self.dialect == "postgres":
            columns = {f"unnest{i}" if i else "unnest": None for i in range(len(node.expressions))}
        else:
            columns = {f"unnest{i}" if i else "unnest": None for i in range(len(node.expressions))}
            if alias is not None and not alias.args.get("columns"):
                columns[self.fold(alias.this)] = None
        offset = node.args.get("offset")
        renamed = alias is not None and bool(alias.args.get("columns"))
        if isinstance(offset, exp.Identifier) and renamed:
            # WITH ORDINALITY AS t(value, place): the last name of the list is kept apart.
            scope.sources.append(self.aliased(alias, own, columns))
            scope.sources[-1].columns[self.fold(offset)] = None
            return
        if offset or ordinality:
            columns["ordinality"] = None
        nested = any(isinstance(i, (exp.Column, exp.Dot)) or i.find(exp.Struct) for i in node.expressions)
        is_open = (
            self.dialect == "duckdb" and nested and not (alias is not None and alias.args.get("columns"))
        )
        scope.sources.append(self.aliased(alias, own, columns, is_open=is_open))

    def function_source(self, node: exp.Expr, call: exp.Expr, scope: _Scope) -> None:
        self.expr(call, scope)
        alias = node.args.get("alias")
        if isinstance(call, exp.JSONTable):
            made = [self.fold(c.this) for c in nodes(call) if isinstance(c, exp.JSONColumnDef) and c.this]
            scope.sources.append(self.aliased(alias, "", dict.fromkeys(made)))
            return
        if isinstance(call, exp.Dot):
            call = call.expression
        name = call.name.lower() if isinstance(call, exp.Anonymous) else ""
        known = self.functions.tables.get(name)
        if known is None:
            self.fault("function", f"`{name or type(call).__name__}` cannot be read like a table", node)
            return
        own = alias.name if alias is not None and alias.name else name
        folded = self.fold(alias.this) if alias is not None and alias.this is not None else name
        columns: dict[str, str | None] = {}
        for column in known:
            columns[folded if column == "*" else column] = None
        if len(columns) == 1:
            columns.setdefault(name)
            if self.dialect == "postgres":
                columns = {folded: None, **columns} if name != folded else columns
        renamed = alias is not None and alias.args.get("columns")
        if renamed and len(known) == 1:
            columns = {}
        if node.args.get("ordinality"):
            columns["ordinality"] = None
        source = self.aliased(alias, own, columns)
        if node.args.get("ordinality"):
            source.columns.setdefault("ordinality")
        scope.sources.append(source)

    def values(self, node: exp.Values, scope: _Scope) -> dict[str, str | None]:
        width = 1
        for row in node.expressions:
            self.expr(row, scope)
            width = len(row.expressions) if isinstance(row, exp.Tuple) else 1
        prefix, first = ("col", 0) if self.dialect == "duckdb" else ("column", 1)
        return {f"{prefix}{i + first}": None for i in range(width)}

    def pivot(self, node: exp.Expr, scope: _Scope, start: int) -> None:
        inner = _Scope(scope.parent, scope.ctes, scope.sources[start:])
        unpivot = bool(node.args.get("unpivot"))
        made: list[str] = []
        for part in node.args.get("fields") or []:
            if isinstance(part, exp.In):
                for piece in part.expressions if unpivot else [part.this]:
                    self.expr(piece.this if isinstance(piece, exp.PivotAlias) else piece, inner)
                made += [self.fold(part.this.this if isinstance(part.this, exp.Column) else part.this)]
        if unpivot:
            made += [self.fold(e.this if isinstance(e, exp.Column) else e) for e in node.expressions]
        else:
            for piece in node.expressions:
                self.expr(piece, inner)
            if isinstance(group := node.args.get("group"), exp.Expr):
                self.expr(group, inner)
        kept: dict[str, str | None] = {c: o for s in inner.sources for c, o in s.columns.items()}
        for origin in kept.values():
            self.read(origin)
        kept.update(dict.fromkeys(made))
        del scope.sources[start:]
        scope.sources.append(self.aliased(node.args.get("alias"), "", kept, is_open=not unpivot))

    # Expressions

    def expr(self, node: exp.Expr, scope: _Scope) -> None:
        """Resolve the columns under ``node``; queries inside it see ``scope`` from within."""
        stack = [node]
        while stack:
            part = stack.pop()
            if isinstance(part, exp.Column):
                if isinstance(part.this, exp.Star):
                    self.qualified_star(part, scope)
                else:
                    self.column(part, scope)
                continue
            if isinstance(part, (exp.Identifier, exp.DataType, exp.Literal, exp.Var)):
                continue
            if isinstance(part, (exp.Query, exp.Values)) or (
                isinstance(part, exp.Subquery) and not isinstance(part.this, exp.Table)
            ):
                self.query(part, scope, scope.ctes)
                continue
            if isinstance(part, (exp.Alias, exp.Collate)):
                stack.append(part.this)
                continue
            if isinstance(part, exp.Comprehension):
                variables = {
                    self.fold(i): None for i in nodes(part.expression) if isinstance(i, exp.Identifier)
                }
                stack.append(part.args["iterator"])
                inner = _Scope(scope, scope.ctes, [_Source("", "", dict(variables))])
                self.expr(part.this, inner)
                if part.args.get("condition") is not None:
                    self.expr(part.args["condition"], inner)
                continue
            if isinstance(part, exp.Lambda):
                variables = {
                    self.fold(i): None
                    for e in part.expressions
                    for i in nodes(e)
                    if isinstance(i, exp.Identifier)
                }
                self.expr(part.this, _Scope(scope, scope.ctes, [_Source("", "", dict(variables))]))
                continue
            if isinstance(part, exp.Dot):
                left = part.this
                if isinstance(left, exp.Identifier):
                    self.dotted(part, left, scope)
                elif isinstance(part.expression, (exp.Identifier, exp.Star)):
                    self.field(part, scope)
                stack += [p for p in (left, part.expression) if not isinstance(p, exp.Identifier)]
                continue
            if isinstance(part, exp.Star):
                for name in ("except_", "replace", "rename"):
                    stack += part.args.get(name) or []
                if not isinstance(part.parent, (exp.Anonymous, exp.Count)) or self.dialect == "duckdb":
                    for source in scope.sources:
                        if not isinstance(part.parent, exp.Anonymous) or part.parent.name.lower() != "count":
                            for origin in source.columns.values():
                                self.read(origin)
                continue
            if isinstance(part, exp.PropertyEQ):
                # A named argument or the field of a struct; elsewhere := would assign.
                if not isinstance(part.parent, (exp.Anonymous, exp.Struct)) or part.this.find(exp.Query):
                    self.fault("unsupported", ":= stands where it names no argument", part)
                stack.append(part.expression)
                continue
            if isinstance(part, exp.PositionalColumn):
                for source in scope.sources:
                    for origin in source.columns.values():
                        self.read(origin)
                continue
            if (
                isinstance(part, exp.Anonymous)
                and part.name.lower() in _UNIT_FIRST
                and self.dialect == "mysql"
            ):
                arguments = part.expressions
                if arguments and isinstance(arguments[0], exp.Column) and arguments[0].name.lower() in _UNITS:
                    arguments = arguments[1:]
                stack += arguments
                continue
            if isinstance(part, exp.TableSample):
                continue
            for value in part.args.values():
                if isinstance(value, exp.Expr):
                    stack.append(value)
                elif isinstance(value, list):
                    stack += [v for v in value if isinstance(v, exp.Expr)]

    def dotted(self, dot: exp.Dot, left: exp.Identifier, scope: _Scope) -> None:
        if isinstance(dot.expression, exp.Anonymous) and self.dialect == "postgres":
            return
        if self.lookup(self.fold(left), scope) is None and not self.source_named(self.fold(left), scope):
            self.fault("unknown_column", self.no_column(left.name, scope), left)

    def field(self, dot: exp.Dot, scope: _Scope) -> None:
        """``(x).field``. PostgreSQL also reads it as a call of ``field``, so there it must be a known column."""
        if self.dialect == "duckdb":
            return
        left, name = dot.this.unnest(), self.fold(dot.expression)
        known: Iterable[str] = ()
        if isinstance(left, exp.Column) and left.args.get("table") is None:
            source = self.source_named(self.fold(left.this), scope)
            known = source.columns if source is not None else ()
        elif isinstance(left, exp.Anonymous):
            known = self.functions.tables.get(left.name.lower(), ())
        if name not in known and not (isinstance(dot.expression, exp.Star) and known):
            self.fault("unknown_column", _missing("field", dot.expression.name, known), dot.expression)

    def source_named(self, name: str, scope: _Scope) -> _Source | None:
        level: _Scope | None = scope
        while level is not None:
            for source in level.sources:
                if source.name == name and name:
                    return source
            level = level.parent
        return None

    def read(self, origin: str | None) -> None:
        if origin is not None:
            self.columns.setdefault(origin)

    def same_schema(self, source: _Source, schema: str) -> bool:
        return source.key is not None and source.schema == schema

    def relabel(self, column: exp.Column, source: _Source) -> None:
        qualifier = column.args.get("table")
        if (
            self.dialect == "mysql"
            and qualifier is not None
            and qualifier.name != source.label
            and source.label
        ):
            qualifier.set("this", source.label)

    def lookup(self, name: str, scope: _Scope, node: exp.Expr | None = None) -> str | None:
        """Where an unqualified name leads: an origin, "" for what is made in the query, None for nowhere."""
        level: _Scope | None = scope
        while level is not None:
            holders = [s for s in level.sources if name in s.columns]
            if holders:
                for holder in holders[: None if name in level.merged else 1]:
                    self.read(holder.columns[name])
                merged = level.natural or name in level.merged
                aliased = level.aliases_seen and name in level.aliases
                if len(holders) > 1 and node is not None and not merged and not aliased:
                    owners = " and ".join(f"`{h.label}`" for h in holders[:3])
                    self.fault(
                        "ambiguous_column", f"column `{node.name}` is in {owners}; say which one", node
                    )
                return holders[0].columns[name] or ""
            if any(s.is_open or _ANY in s.columns or name in s.rowids for s in level.sources):
                return ""
            if level.aliases_seen and name in level.aliases:
                return ""
            level = level.parent
        return None

    def column(self, node: exp.Column, scope: _Scope) -> None:
        qualifier = node.args.get("table")
        if qualifier is None:
            name = self.fold(node.this)
            if self.lookup(name, scope, node) is not None:
                return
            if self.whole_row(name, node, scope) or self.squeezed(node, scope) or self.in_table(node, scope):
                return
            if self.as_literal(node, scope):
                return
            self.fault("unknown_column", self.no_column(node.name, scope), node)
            return
        parts = [
            p for p in (node.args.get("catalog"), node.args.get("db"), qualifier, node.this) if p is not None
        ]
        folded = [self.fold(p) for p in parts]
        # Ways to read a dotted name: [schema.]table.column[.field...], or column.field in DuckDB.
        for skip in (0, 1):
            if len(parts) < 2 + skip or (len(parts) > 2 + skip and self.dialect != "duckdb"):
                continue
            level: _Scope | None = scope
            while level is not None:
                for source in level.sources:
                    if source.name != folded[skip] or (skip and not self.same_schema(source, folded[0])):
                        continue
                    column = folded[skip + 1]
                    if (
                        column in source.columns
                        or source.is_open
                        or _ANY in source.columns
                        or column in source.rowids
                    ):
                        self.read(source.columns.get(column))
                        if not skip:
                            self.relabel(node, source)
                        return
                    if self.dialect != "duckdb":
                        near = _missing(
                            "column", f"{parts[skip].name}.{parts[skip + 1].name}", list(source.columns)
                        )
                        self.fault("unknown_column", near, node)
                        return
                level = level.parent
        if self.dialect == "duckdb" and self.has_fields(folded[0], scope):
            return
        owner = parts[-2].name
        if self.source_named(folded[-2], scope) is not None:
            self.fault("unknown_column", self.no_column(node.name, scope, owner), node)
        else:
            self.fault("unknown_table", f"no table or alias `{owner}` in this query", node)

    def has_fields(self, name: str, scope: _Scope) -> bool:
        """True if a column may hold a struct, so that ``column.field`` makes sense."""
        origin = self.lookup(name, scope)
        if not origin:
            return origin is not None
        key, _, column = origin.rpartition(".")
        for tables in self.names.tables.values():
            for table in tables:
                for known in table.columns if origin.startswith(table.key + ".") else ():
                    if f"{table.key}.{known.name}" == origin:
                        return bool(re.search(r"struct|map|union|json|variant|row", known.type, re.I))
        return bool(key and column) and False

    def whole_row(self, name: str, node: exp.Column, scope: _Scope) -> bool:
        """``SELECT e FROM employees e`` reads every column of ``e``."""
        if self.dialect not in ("postgres", "duckdb") and not isinstance(node.parent, exp.Match):
            return False
        source = self.source_named(name, scope)
        if source is None:
            return False
        for origin in source.columns.values():
            self.read(origin)
        return True

    def in_table(self, node: exp.Column, scope: _Scope) -> bool:
        """SQLite's ``x IN some_table`` reads the table."""
        if (
            self.dialect != "sqlite"
            or not isinstance(node.parent, exp.In)
            or node.parent.args.get("field") is not node
        ):
            return False
        inner = _Scope(None, scope.ctes)
        self.table(exp.Table(this=node.this.copy()), inner)
        for origin in (o for s in inner.sources for o in s.columns.values()):
            self.read(origin)
        return True

    def squeezed(self, node: exp.Column, scope: _Scope) -> bool:
        """A quoted name may be the text of an unnamed expression, as in ``"count(*)"``."""
        if self.dialect == "postgres" or not node.this.args.get("quoted"):
            return False
        return self.lookup(_squeeze(node.name), scope) is not None

    def as_literal(self, node: exp.Column, scope: _Scope) -> bool:
        """SQLite takes a double-quoted name that is no column for text. Only where text is plainly meant: beside a real
        column in a comparison or a call, or as the result of a CASE; elsewhere it would hide a misspelt column."""
        if self.dialect != "sqlite" or not node.this.args.get("quoted"):
            return False
        parent = node.parent
        while isinstance(parent, exp.Paren):
            parent = parent.parent
        text = False
        if isinstance(parent, (exp.Binary, exp.In, exp.Between, exp.Anonymous, exp.Func)) and not (
            isinstance(parent, exp.Anonymous) and parent.name.lower() in self.functions.aggregates
        ):
            others = [
                c
                for c in nodes(parent)
                if isinstance(c, exp.Column)
                and c is not node
                and self.lookup(self.fold(c.this), scope) is not None
            ]
            text = bool(others)
        if isinstance(parent, exp.In) and parent.this is node:
            text = False
        if isinstance(parent, (exp.If, exp.Case)):
            text = parent.this is not node
        if not text:
            return False
        node.replace(exp.Literal.string(node.name))
        return True

    def no_column(self, name: str, scope: _Scope, owner: str = "") -> str:
        known: dict[str, None] = {}
        level: _Scope | None = scope
        while level is not None:
            for source in level.sources:
                if not owner or source.name == owner.lower():
                    known.update(
                        dict.fromkeys(o.rpartition(".")[2] if o else c for c, o in source.columns.items())
                    )
            level = level.parent
        return _missing("column", f"{owner}.{name}" if owner else name, list(known))


_FUNC_NAMES = {
    "Case": "case",
    "If": "case",
    "Exists": "exists",
    "Array": "array",
    "GroupConcat": "string_agg",
    "StrPosition": "position",
    "CurrentDate": "current_date",
    "CurrentTimestamp": "current_timestamp",
    "CurrentTime": "current_time",
    "Extract": "extract",
    "Substring": "substring",
    "Trim": "btrim",
}


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text).lower()


def _dotted(table: exp.Table) -> str:
    return ".".join(
        p.name for p in (table.args.get("catalog"), table.args.get("db"), table.this) if p is not None
    )


def _missing(what: str, name: str, known: Iterable[str], *, tables: bool = False) -> str:
    near = nearest(name if tables else name.rpartition(".")[2], known)
    hint = "; nearest: " + ", ".join(f"`{n}`" for n in near) if near else ""
    return f"no {what} `{name}`{hint}"


def nearest(name: str, known: Iterable[str], count: int = 2) -> list[str]:
    """The known names most like ``name``: by letters and by the words they share.

    >>> nearest("custmer_name", ["id", "customer_name", "name_of_shop"])
    ['customer_name', 'name_of_shop']
    """
    words, pairs = _words(name), _pairs(name)

    def score(candidate: str) -> float:
        other, others = _words(candidate), _pairs(candidate)
        overlap = len(words & other) / len(words | other) if words | other else 0.0
        alike = 2 * len(pairs & others) / (len(pairs) + len(others))
        return max(alike, 0.4 * bool(overlap) + 0.6 * overlap)

    ranked = sorted(((score(k), k) for k in list(known)[:2000] if k), key=lambda pair: (-pair[0], pair[1]))
    return [k for s, k in ranked[:count] if s >= 0.25]


def _pairs(name: str) -> set[str]:
    padded = f" {name.lower()} "
    return {padded[i : i + 2] for i in range(len(padded) - 1)}


def _words(name: str) -> set[str]:
    return {w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+", name)}
