"""What a log without questions takes for granted: a threshold that its queries repeat is what people call good or major.

``find_definitions`` goes by the words of questions. Where a log has none, a threshold on a measure that several
statements repeat, and to which there is hardly any other on that column, stands for the adjective that English has for
much or little of it: restaurants with ``rating > 2.5`` are the good ones. Written questions say it so, too.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlgen.catalog import natural_name
from sqlgen.knowledge import Term
from sqlgen.training.logs.adjectives import adjectives_of
from sqlgen.training.logs.definitions import SOURCE, Unsaid, conditions_of
from sqlgen.training.logs.realise import realise
from sqlgen.training.synthesis.wording import plural, singular
from sqlgen.types import Catalog, Dialect, Table

__all__ = ["Convention", "find_conventions", "said_by"]

# Statements that repeat the threshold, and its share of all thresholds in that direction on the column.
_SUPPORT, _SHARE = 3, 0.8
_MUCH, _LITTLE = (">", ">="), ("<", "<=")
_WORDINGS = 2


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
        if len(held) < _SUPPORT or len(held) < _SHARE * len(
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


def _words(condition: Unsaid) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    words = adjectives_of(condition.column.rpartition(".")[2])
    if words is None:
        return None
    return (words.much_alone, words.much) if condition.sign in _MUCH else (words.little_alone, words.little)


def said_by(
    convention: Convention, sql: str, catalog: Catalog, dialect: Dialect, tables: Iterable[str]
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
    pattern = re.compile(
        rf"\b(?:{re.escape(plural(noun))}|{re.escape(noun)}|{re.escape(singular(noun))})\b", re.I
    )
    questions = realise(without, dialect, catalog, tables)
    # The plainest wording and the briefest.
    for question in dict.fromkeys((*questions[:1], *questions[-1:][: _WORDINGS - 1])):
        said, count = pattern.subn(lambda m: f"{adjective} {m[0]}", question, count=1)
        if count:
            yield said


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
