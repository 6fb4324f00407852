"""What a log without questions takes for granted: thresholds that its queries repeat, columns that they list together.

``find_definitions`` goes by the words of questions. Where a log has none, a threshold on a measure that several
statements repeat, and to which there is hardly any other on that column, stands for the adjective that English has for
much or little of it: restaurants with ``rating > 2.5`` are the good ones. And columns that are listed together wherever
one of them is are how a restaurant is shown: nobody asks for its house number and name. Written questions say it so, too.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlgen.catalog import natural_name
from sqlgen.knowledge import Term
from sqlgen.sql.fingerprint import fingerprint
from sqlgen.sql.parse import Unreadable
from sqlgen.training.logs.adjectives import adjectives_of
from sqlgen.training.logs.definitions import SOURCE, Unsaid, columns_of, conditions_of
from sqlgen.training.logs.realise import realise
from sqlgen.training.synthesis.wording import plural, singular
from sqlgen.types import Catalog, Dialect, Table

__all__ = ["Convention", "find_conventions", "find_habits", "said_by", "said_by_habit"]

# Statements that repeat the threshold (fewer, when these differ in more than values), and its share of all thresholds
# in that direction on the column.
_SUPPORT, _DIFFERENT, _SHARE = 3, 2, 0.8
_MUCH, _LITTLE = (">", ">="), ("<", "<=")
# Different listings with just these columns, and their share of those with any of them.
_LISTINGS, _USUAL = 3, 0.65
_WORDINGS = 4


@dataclass(frozen=True, slots=True)
class Convention:
    """A threshold that a log takes for granted, the term that stands for it, and whose rows it narrows."""

    condition: Unsaid
    term: Term
    table: Table


def find_conventions(
    statements: Iterable[str], catalog: Catalog, dialect: Dialect, known: Sequence[Term] = ()
) -> tuple[Convention, ...]:
    """Thresholds that different ``statements`` (SQL) repeat, the most frequent first; none whose name ``known`` has.

    That all else in a statement changes and the threshold stays is what tells it from a value that somebody asked for.
    Two tables with the same adjective have it with their nouns only.

    >>> from sqlgen.types import Column
    >>> food = Table("food", (Column("name", "TEXT", "text"), Column("rating", "REAL", "number")))
    >>> asked = [f"SELECT name FROM food WHERE rating > 2.5 LIMIT {n}" for n in range(3)]
    >>> (found,) = find_conventions(asked, Catalog("sqlite", (food,)), "sqlite")
    >>> found.term.name, found.term.definition
    ('good', 'rating > 2.5')
    """
    holders: dict[Unsaid, set[str]] = defaultdict(set)
    for sql in statements:
        for condition in conditions_of(sql, catalog, dialect):
            if condition.sign in (*_MUCH, *_LITTLE) and not condition.is_text:
                holders[condition].add(sql)
    on_column: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for condition, held in holders.items():
        on_column[condition.column, condition.sign in _MUCH] |= held
    tables = {table.key: table for table in catalog.tables}
    columns = Counter(column.name.lower() for table in catalog.tables for column in table.columns)
    found: list[tuple[Unsaid, tuple[str, ...], list[str]]] = []
    for condition, held in sorted(holders.items(), key=lambda k: (-len(k[1]), k[0].column)):
        if not _is_repeated(held, dialect) or len(held) < _SHARE * len(
            on_column[condition.column, condition.sign in _MUCH]
        ):
            continue
        table = tables.get(condition.column.rpartition(".")[0])
        if table is not None and (words := _words(condition)):
            alone, bound = words
            noun = singular(natural_name(table.name))
            found.append((condition, alone, [f"{word} {noun}" for word in (*alone, *bound)]))
    shared = Counter(word for _, alone, _ in found for word in alone)
    taken = {name.lower() for term in known for name in (term.name, *term.synonyms)}
    made = []
    for condition, alone, with_noun in found:
        names = [n for n in (*(w for w in alone if shared[w] == 1), *with_noun) if n not in taken]
        if names:
            taken |= set(names)
            term = Term(names[0], condition.said_as(columns), tuple(names[1:]), source=SOURCE)
            made.append(Convention(condition, term, tables[condition.column.rpartition(".")[0]]))
    return tuple(made)


def _is_repeated(statements: Collection[str], dialect: Dialect) -> bool:
    return len(statements) >= _SUPPORT or (
        len(statements) >= _DIFFERENT and len({fingerprint(sql, dialect) for sql in statements}) >= _DIFFERENT
    )


def find_habits(statements: Iterable[str], catalog: Catalog, dialect: Dialect) -> tuple[frozenset[str], ...]:
    """Columns ("table_key.column") that different ``statements`` (SQL) list together, and seldom otherwise.

    Only whole listings of at least two bare columns count, in whatever order.

    >>> from sqlgen.types import Column
    >>> pets = Table("pets", tuple(Column(name, "TEXT", "text") for name in ("name", "race", "home")))
    >>> listed = [f"SELECT race, name FROM pets WHERE {rest}" for rest in ("home = 'Rome'", "race = 'cat'", "name > 'B'")]
    >>> [sorted(habit) for habit in find_habits(listed, Catalog("sqlite", (pets,)), "sqlite")]
    [['pets.name', 'pets.race']]
    """
    listings = {sql: listed for sql in set(statements) if (listed := _listed(sql, catalog, dialect))}
    shapes: dict[frozenset[str], set[str]] = defaultdict(set)
    for sql, listed in listings.items():
        shapes[listed].add(fingerprint(sql, dialect))
    found = []
    for listed, different in shapes.items():
        touched = sum(len(other) for columns, other in shapes.items() if columns & listed)
        if len(listed) > 1 and len(different) >= _LISTINGS and len(different) >= _USUAL * touched:
            found.append(listed)
    return tuple(sorted(found, key=sorted))


def _listed(sql: str, catalog: Catalog, dialect: Dialect) -> frozenset[str]:
    """The columns that a statement lists; none when it lists anything else or groups."""
    try:
        tree, origins = columns_of(sql, catalog, dialect)
    except Unreadable:
        return frozenset()
    if not isinstance(tree, exp.Select) or tree.args.get("group"):
        return frozenset()
    items = [item.unalias() for item in tree.expressions]
    if not all(id(item) in origins for item in items):
        return frozenset()
    return frozenset(origins[id(item)] for item in items)


def said_by_habit(
    habits: Collection[frozenset[str]], sql: str, catalog: Catalog, dialect: Dialect, tables: Iterable[str]
) -> tuple[str, ...]:
    """Questions for ``sql`` that leave unsaid what is usually listed; none where it lists something else.

    >>> from sqlgen.types import Column
    >>> pets = Table("pets", tuple(Column(name, "TEXT", "text") for name in ("name", "race", "home")))
    >>> world = Catalog("sqlite", (pets,))
    >>> listed = "SELECT race, name FROM pets WHERE home = 'Rome'"
    >>> said_by_habit([frozenset({"pets.name", "pets.race"})], listed, world, "sqlite", ["pets"])[1]
    'What are the pets that are Rome?'
    """
    if not habits:
        return ()
    tables = tuple(tables)
    plain = realise(sql, dialect, catalog, tables)
    return tuple(q for q in realise(sql, dialect, catalog, tables, habits=habits) if q not in plain)


def _words(condition: Unsaid) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    words = adjectives_of(condition.column.rpartition(".")[2])
    if words is None:
        return None
    return (words.much_alone, words.much) if condition.sign in _MUCH else (words.little_alone, words.little)


def said_by(
    convention: Convention,
    sql: str,
    catalog: Catalog,
    dialect: Dialect,
    tables: Iterable[str],
    habits: Collection[frozenset[str]] = (),
) -> Iterator[str]:
    """Questions for ``sql`` that say the convention's adjective and leave its threshold out; none where it has none.

    >>> from sqlgen.types import Column
    >>> food = Table("food", (Column("name", "TEXT", "text"), Column("city", "TEXT", "text"), Column("rating", "REAL", "number")))
    >>> world = Catalog("sqlite", (Table("spots", food.columns),))
    >>> sql = "SELECT name FROM spots WHERE city = 'Rome' AND rating > 2.5"
    >>> (good,) = find_conventions([f"{sql} LIMIT {n}" for n in range(3)], world, "sqlite")
    >>> next(said_by(good, sql, world, "sqlite", ["spots"]))
    'Show the name of all good spots whose city is Rome.'
    """
    without = _without(sql, convention, dialect)
    if without is None:
        return
    adjective = convention.term.name.split()[0] if " " in convention.term.name else convention.term.name
    noun = natural_name(convention.table.name).lower()
    # Rows of the table, no column named after it.
    own = (natural_name(column.name).lower() for column in convention.table.columns)
    columns = "|".join(re.escape(name.removeprefix(f"{singular(noun)} ")) for name in own)
    nouns = "|".join(map(re.escape, (plural(noun), noun, singular(noun))))
    pattern = re.compile(rf"\b(?:{nouns})\b(?! (?:{columns})s?\b)", re.I)
    questions = realise(without, dialect, catalog, tables, habits=habits)
    # The plainest wording and brief ones.
    for question in dict.fromkeys((*questions[:1], *questions[1 - _WORDINGS :])):
        said, count = pattern.subn(lambda m: f"{adjective} {m[0].lower()}", question, count=1)
        if count:
            yield said[0].upper() + said[1:]


def _without(sql: str, convention: Convention, dialect: Dialect) -> str | None:
    """``sql`` without the convention's condition; None where it isn't one of those that all must hold."""
    try:
        tree = sqlglot.parse_one(sql, dialect=dialect)
    except SqlglotError:
        return None
    name, sign = convention.condition.column.rpartition(".")[2].lower(), convention.condition.sign
    types = {">": exp.GT, ">=": exp.GTE, "<": exp.LT, "<=": exp.LTE}[sign]
    gone = False
    for where in tree.find_all(exp.Where):
        parts = list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
        kept = [
            part
            for part in parts
            if not (
                isinstance(part, types)
                and isinstance(part.this, exp.Column)
                and part.this.name.lower() == name
                and part.expression.name == convention.condition.value
            )
        ]
        if len(kept) == len(parts):
            continue
        gone = True
        if kept:
            where.set("this", exp.and_(*kept, copy=False))
        else:
            where.pop()
    return tree.sql(dialect) if gone else None
