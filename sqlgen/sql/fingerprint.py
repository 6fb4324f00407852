"""What statements of a query log have in common, and what each of them is: the part of log reading that parses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from sqlgen.sql.form import FormToken, Inexpressible, form_to_sql, tree_to_form
from sqlgen.types import Catalog, Column, Dialect, RetrievedContext, Table

__all__ = [
    "Unusable", "chatter", "check_log_dialect", "fingerprint", "form_of", "literals", "periods", "prepare", "says_again",
]  # fmt: skip


class Unusable(ValueError):
    """A statement that can't become a pair; the message says why in a few words."""


@dataclass(frozen=True, slots=True)
class _Names:
    """The catalog's tables and columns by folded name."""

    tables: dict[str, Table]

    @classmethod
    def of(cls, catalog: Catalog) -> _Names:
        return cls({t.name.lower(): t for t in catalog.tables})

    def column(self, node: exp.Column, tree: exp.Expr) -> Column | None:
        aliases = {t.alias_or_name.lower(): t.name.lower() for t in tree.find_all(exp.Table)}
        wanted = (
            [aliases.get(node.table.lower(), "")] if node.table else list(dict.fromkeys(aliases.values()))
        )
        for name in wanted:
            table = self.tables.get(name)
            for column in table.columns if table else ():
                if column.name.lower() == node.name.lower():
                    return column
        return None


def check_log_dialect(name: str) -> bool:
    """Whether SQL of this dialect can be read.

    >>> check_log_dialect("tsql"), check_log_dialect("basic")
    (True, False)
    """
    return name in sqlglot.Dialects._value2member_map_ and name != ""


def _parse(sql: str, dialect: str) -> exp.Expr:
    try:
        trees = [tree for tree in sqlglot.parse(sql, dialect=dialect) if tree is not None]
    except (SqlglotError, RecursionError, ValueError) as error:
        raise Unusable("does not parse") from error
    if len(trees) != 1:
        raise Unusable("several statements" if trees else "empty")
    if not isinstance(trees[0], exp.Query):
        raise Unusable("not a query")
    return trees[0]


def prepare(sql: str, dialect: Dialect, catalog: Catalog, *, written: str | None = None) -> str:
    """One statement of a log as a query of this database: no comments, no schema names, no parameters left open.

    ``written`` is the dialect of the log where it is another one. A parameter gets a value that its column holds.
    Raises Unusable.

    >>> from sqlgen.types import Column, Table
    >>> pets = Catalog("sqlite", (Table("pets", (Column("name", "TEXT", "text", values=("Rex",)),)),))
    >>> prepare("select p.name from public.pets p where p.name = $1 -- one", "sqlite", pets, written="postgres")
    "SELECT p.name FROM pets AS p WHERE p.name = 'Rex'"
    """
    if _TEMPLATE.search(sql):
        raise Unusable("a template, not a statement")
    tree = _parse(sql, written or dialect)
    names = _Names.of(catalog)
    for node in tree.walk():
        node.comments = None
        if (
            isinstance(node, exp.Table)
            and node.args.get("db") is not None
            and node.name.lower() in names.tables
        ):
            known = names.tables[node.name.lower()]
            if known.schema is None:
                node.set("db", None)
                node.set("catalog", None)
    _fill(tree, names)
    try:
        # What the dialect has no words for would mean something else in it.
        return tree.sql(dialect=dialect, comments=False, unsupported_level=ErrorLevel.RAISE)
    except (SqlglotError, RecursionError, ValueError) as error:
        raise Unusable("does not translate") from error


_TEMPLATE = re.compile(r"##\w[^#\n]*##|\{\{[^{}\n]+\}\}|\$\{\w+\}")


def _fill(tree: exp.Expr, names: _Names) -> None:
    for hole in list(tree.find_all(exp.Placeholder, exp.Parameter)):
        if hole.parent is None or (
            isinstance(hole, exp.Placeholder) and isinstance(hole.parent, exp.Parameter)
        ):
            continue
        parent = hole.parent
        if isinstance(parent, exp.Limit):
            hole.replace(exp.Literal.number(10))
            continue
        if isinstance(parent, exp.Offset):
            parent.pop()
            continue
        beside = parent.this if parent.this is not hole else parent.args.get("expression")
        column = names.column(beside, tree) if isinstance(beside, exp.Column) else None
        if column is None or not isinstance(parent, exp.Predicate):
            raise Unusable("parameters without values")
        value = column.values[0] if column.values else column.minimum
        if value is None:
            raise Unusable("parameters without values")
        number = column.kind == "number"
        hole.replace(exp.Literal.number(value) if number else exp.Literal.string(str(value)))


def fingerprint(sql: str, dialect: Dialect) -> str:
    """16 hexadecimal digits, equal for statements that differ in literals, aliases, case and order of AND alone.

    >>> one = fingerprint("SELECT T1.name FROM pets AS T1 WHERE T1.age > 3 AND T1.kind IN ('a', 'b')", "sqlite")
    >>> one == fingerprint("select NAME from Pets where kind in ('c') and age > 40", "sqlite")
    True
    >>> one == fingerprint("SELECT name FROM pets WHERE age < 3 AND kind IN ('a')", "sqlite")
    False
    """
    tree = _parse(sql, dialect)
    aliases: dict[str, str] = {}
    seen: dict[str, int] = {}
    for table in tree.find_all(exp.Table, bfs=False):
        name = table.name.lower()
        if table.alias_or_name.lower() not in aliases:
            seen[name] = seen.get(name, 0) + 1
            aliases[table.alias_or_name.lower()] = name if seen[name] == 1 else f"{name}_{seen[name]}"
    alone = len(aliases) <= 1
    projected = {
        item.alias.lower(): number
        for select in tree.find_all(exp.Select)
        for number, item in enumerate(select.expressions, 1)
        if isinstance(item, exp.Alias)
    }

    def bare(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Literal | exp.Boolean):
            return exp.Placeholder()
        if isinstance(node, exp.Neg) and isinstance(node.this, exp.Placeholder | exp.Literal):
            return exp.Placeholder()
        if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            name = node.name.lower()
            if not node.table and name in projected:
                return exp.column(f"#{projected[name]}")
            owner = None if alone or not node.table else aliases.get(node.table.lower(), node.table.lower())
            return exp.column(name, table=owner)
        if isinstance(node, exp.Table):
            return exp.to_table(aliases[node.alias_or_name.lower()])
        if isinstance(node, exp.Alias) and isinstance(node.parent, exp.Select):
            inner: exp.Expr = node.this.transform(bare)
            return inner
        if (
            isinstance(node, exp.In)
            and node.expressions
            and all(isinstance(e, exp.Literal) for e in node.expressions)
        ):
            return exp.In(this=node.this.transform(bare), expressions=[exp.Placeholder()])
        return node

    plain = tree.transform(bare)
    for node in list(plain.find_all(exp.And)):
        if not isinstance(node.parent, exp.And):
            parts = sorted((part.copy() for part in node.flatten()), key=lambda part: str(part.sql()))
            ordered = exp.and_(*parts, copy=False)
            if node is plain:
                plain = ordered
            else:
                node.replace(ordered)
    return hashlib.sha256(plain.sql(comments=False).encode()).hexdigest()[:16]


_SYSTEM = re.compile(
    r"(?i)\b(?:information_schema|pg_catalog|pg_\w+|sqlite_master|sqlite_schema|performance_schema|mysql\.\w+|"
    r"version\(\)|current_(?:schema|database|setting|user)|@@\w+|duckdb_\w+)\b"
)
_GENERATED = re.compile(r"(?i)^(?:anon_\d+|\w+?\d+_\d*_?|col_\d+_\d+_|__\w+)$")


def chatter(sql: str, dialect: Dialect, catalog: Catalog) -> str:
    """Why nobody asked this query: what a driver, a tool or an object mapper sends by itself; empty if somebody may have.

    >>> from sqlgen.types import Column, Table
    >>> pets = Table("pets", (Column("id", "INT", "number", primary_key=True), Column("name", "TEXT", "text")))
    >>> shop = Catalog("sqlite", (pets,))
    >>> chatter('SELECT "pets"."id", "pets"."name" FROM "pets" WHERE "pets"."id" = 7 LIMIT 21', "sqlite", shop)
    'a row by its key'
    >>> chatter("SELECT name FROM pets WHERE name LIKE 'R%'", "sqlite", shop)
    ''
    """
    if _SYSTEM.search(sql):
        return "catalog or driver"
    tree = _parse(sql, dialect)
    names = _Names.of(catalog)
    tables = [t for t in tree.find_all(exp.Table) if t.name.lower() in names.tables]
    if not tables:
        return "" if tree.find(exp.Table) else "catalog or driver"
    select = tree if isinstance(tree, exp.Select) else None
    if select is None or select.args.get("group") or any(select.find_all(exp.AggFunc)):
        return ""
    items = [item.unalias() for item in select.expressions]
    if all(isinstance(item, exp.Literal | exp.Null | exp.Boolean) for item in items):
        return "a test for rows"
    aliases = [item.alias for item in select.expressions if isinstance(item, exp.Alias)]
    generated = len(aliases) == len(items) and all(
        _GENERATED.match(alias) or _is_mapped(alias, item) for alias, item in zip(aliases, items, strict=True)
    )
    where = select.args.get("where")
    keyed = where is not None and _only_keys(where.this, names)
    width = sum(len(names.tables[t.name.lower()].columns) for t in tables[:1])
    whole = any(item.is_star for item in items) or len(items) >= max(2, width)
    if keyed and (whole or generated):
        return "a row by its key"
    if generated and (where is None or keyed or len(items) >= 3):
        return "an object mapper's rows"
    return ""


def _is_mapped(alias: str, item: exp.Expr) -> bool:
    return (
        isinstance(item, exp.Column)
        and bool(item.table)
        and alias.lower() == f"{item.table}_{item.name}".lower()
    )


def _only_keys(condition: exp.Expr, names: _Names) -> bool:
    keys = {
        (t.name.lower(), name.lower())
        for t in names.tables.values()
        for name in [c.name for c in t.columns if c.primary_key]
        + [c for k in t.foreign_keys for c in k.columns]
    }
    columns = {name for _, name in keys}
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    for part in parts:
        while isinstance(part, exp.Paren):
            part = part.this
        if (
            not isinstance(part, exp.EQ | exp.In)
            or part.args.get("query")
            or not isinstance(part.this, exp.Column)
        ):
            return False
        if part.this.name.lower() not in columns:
            return False
        if isinstance(part, exp.EQ) and not isinstance(part.expression, exp.Literal | exp.Column):
            return False
    return True


def literals(sql: str, dialect: Dialect) -> list[str]:
    """The values that a query names, without the wildcards of LIKE.

    >>> sorted(literals("SELECT a FROM t WHERE b LIKE '%x%' AND c > 3 LIMIT 5", "sqlite"))
    ['3', '5', 'x']
    """
    return list(dict.fromkeys(_values(_plain(_parse(sql, dialect)))))


def _values(tree: exp.Expr) -> Iterator[str]:
    for node in tree.find_all(exp.Literal, bfs=False):
        text = node.name
        if isinstance(node.parent, exp.Like | exp.ILike):
            text = text.strip("%")
        if isinstance(node.parent, exp.Neg):
            text = f"-{text}"
        if text.strip():
            yield text.strip()


def _plain(tree: exp.Expr) -> exp.Expr:
    """``tree`` with DATE '2024-03-01' as a plain text, as the form says it; '... 00:00:00' is a day."""

    def simple(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and _day(node.this.name):
            return exp.Literal.string(str(_day(node.this.name)))
        return node

    return tree.transform(simple)


def _day(text: str) -> date | None:
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:[ T]00:00(?::00(?:\.0+)?)?)?", text)
    try:
        return date.fromisoformat(found[1]) if found else None
    except ValueError:
        return None


_MONTHS = "January February March April May June July August September October November December".split()


def periods(values: list[str]) -> dict[tuple[str, str], str]:
    """Names for the months, quarters and years that two of the dates among ``values`` bound, by (first, end).

    >>> periods(["2024-03-01", "2024-04-01", "x"])
    {('2024-03-01', '2024-04-01'): 'March 2024'}
    """
    found: dict[tuple[str, str], str] = {}
    days = [(text, day) for text in values if (day := _day(text)) is not None]
    for first, start in days:
        for last, end in days:
            if start.day != 1 or end <= start:
                continue
            for stop in (end, end + timedelta(days=1)):
                months = (stop.year - start.year) * 12 + stop.month - start.month
                if stop.day != 1:
                    continue
                if months == 1:
                    found.setdefault((first, last), f"{_MONTHS[start.month - 1]} {start.year}")
                elif months == 3 and start.month % 3 == 1:
                    found.setdefault((first, last), f"Q{start.month // 3 + 1} {start.year}")
                elif months == 12 and start.month == 1:
                    found.setdefault((first, last), str(start.year))
    return found


def form_of(sql: str, dialect: Dialect, context: RetrievedContext, question: str) -> list[FormToken]:
    """The form of a query as an answer to ``question``; raises Inexpressible or Unusable."""
    try:
        return tree_to_form(_plain(_parse(sql, dialect)), context, question)
    except (AttributeError, KeyError, IndexError, RecursionError, SqlglotError, ValueError) as error:
        if isinstance(error, Inexpressible | Unusable):
            raise
        raise Inexpressible(type(error).__name__) from error


def says_again(sql: str, dialect: Dialect, context: RetrievedContext, question: str) -> str | None:
    """The SQL that the form of ``sql`` over ``question`` stands for, where that has the same form; else None.

    So every value is in the question, and the model's language holds the query without loss. Numbers are written
    without a needless ``.0``, so that two such texts can be compared.
    """
    try:
        form = form_of(sql, dialect, context, question)
        again = form_to_sql(form, context, question, dialect)
        second = form_of(again, dialect, context, question)
        same = _essence(second) == _essence(form) or form_to_sql(second, context, question, dialect) == again
    except (Inexpressible, Unusable, IndexError, KeyError, AttributeError):
        return None
    return re.sub(r"\b(\d+)\.0+\b", r"\1", again) if same else None


def _essence(form: list[FormToken]) -> list[FormToken]:
    """A form without needless brackets and with FROM in one order."""
    out: list[FormToken] = []
    opened: list[int | None] = []
    for token in form:
        if token == "by_day":
            continue
        if token == "(":
            kept = bool(out) and out[-1] in ("if", "over")
            opened.append(None if kept else len(out))
        elif token == ")" and opened:
            start = opened.pop()
            if start is not None and "or" not in out[start:]:
                del out[start]
                continue
        out.append(token)
        if len(out) > 1 and _is_table(out[-1]) and _is_table(out[-2]) and "from" in out:
            first = len(out) - 1
            while first and _is_table(out[first - 1]):
                first -= 1
            out[first:] = sorted(out[first:], key=str)
    return out


def _is_table(token: FormToken) -> bool:
    return isinstance(token, tuple) and token[0] == "t"
