"""Definitions that a log takes for granted: "major city" goes with ``population > 150000``, and no question says 150000.

A condition whose values the question does not name can only be known. Where questions with the same words carry the
same condition again and again, and questions without those words don't, the words are a term and the condition is
its meaning: an association rule (Agrawal, Imielinski and Swami 1993) from words to a condition.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from sqlgen.knowledge import Term
from sqlgen.knowledge.match import COMMON, stem
from sqlgen.sql.form import number_said
from sqlgen.sql.parse import Unreadable, nodes, parse, scan
from sqlgen.sql.scope import CatalogNames
from sqlgen.sql.trace import trace
from sqlgen.types import Catalog, Dialect

__all__ = ["Unsaid", "columns_of", "conditions_of", "find_definitions"]

SOURCE = "learned from the log"
_WORD = re.compile(r"\w+")
# What these mean is another value tomorrow.
_PASSING = frozenset(
    map(stem, "last this current today yesterday past previous next recent latest ago now".split())
)
_LONGEST = 3
# Questions that carry words and condition together, and the share of those with the words that carry the condition.
_SUPPORT, _CONFIDENCE = 3, 0.8
# A condition that so many of the other questions carry too is a habit of the database, and no meaning of the words.
_HABIT = 0.2
_COMPARED: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=", exp.Like: "LIKE",
}  # fmt: skip
_TURNED = {"=": "=", "<>": "<>", ">": "<", ">=": "<=", "<": ">", "<=": ">="}


@dataclass(frozen=True, slots=True)
class Unsaid:
    """A condition ``column sign value`` of a query, ``column`` being ``table_key.column``."""

    column: str
    sign: str
    value: str
    is_text: bool

    def said_as(self, columns: Counter[str]) -> str:
        """The condition as a definition puts it; the table goes where ``columns`` has the column's name once."""
        table, _, name = self.column.rpartition(".")
        shown = name if columns[name.lower()] == 1 else f"{table.rpartition('.')[2]}.{name}"
        return f"{shown} {self.sign} " + (f"'{self.value}'" if self.is_text else self.value)


def columns_of(sql: str, catalog: Catalog, dialect: Dialect) -> tuple[exp.Expr, dict[int, str]]:
    """A query's tree, and by the ``id`` of its nodes the column ("table_key.column") that each of them reads.

    Raises Unreadable. The nodes live as long as the tree is held.
    """
    statement = parse(scan(sql, dialect))
    uses = trace(statement, CatalogNames(catalog, dialect)).uses
    return statement.tree, {id(reader): origin for origin, readers in uses.items() for reader in readers}


def conditions_of(sql: str, catalog: Catalog, dialect: Dialect) -> Iterator[Unsaid]:
    """The conditions of a query that hold one column against one value and must all be met; none of what can't be read.

    >>> from sqlgen.types import Column, Table
    >>> world = Catalog("sqlite", (Table("city", (Column("population", "INTEGER", "number"),)),))
    >>> [(c.column, c.sign, c.value) for c in conditions_of("SELECT 1 FROM city c WHERE 150 < c.population", world, "sqlite")]
    [('city.population', '>', '150')]
    """
    try:
        tree, origins = columns_of(sql, catalog, dialect)
    except Unreadable:
        return
    for node in nodes(tree):
        sign = _COMPARED.get(type(node))
        if sign is None or not _must_hold(node):
            continue
        column, other = node.this, node.args.get("expression")
        if isinstance(other, exp.Column):
            column, other, sign = other, column, _TURNED.get(sign, "")
        if (
            isinstance(column, exp.Column)
            and isinstance(other, exp.Literal)
            and sign
            and id(column) in origins
        ):
            yield Unsaid(origins[id(column)], sign, other.name, bool(other.is_string))


def _must_hold(node: exp.Expr) -> bool:
    above = node.parent
    while isinstance(above, (exp.And, exp.Paren)):
        above = above.parent
    return isinstance(above, exp.Where)


def find_definitions(
    pairs: Iterable[tuple[str, str]], catalog: Catalog, dialect: Dialect, known: Sequence[Term] = ()
) -> tuple[Term, ...]:
    """Terms that ``pairs`` of question and SQL take for granted, the most frequent first; none that ``known`` defines.

    Words stand for a condition when at least three questions with them carry it, four fifths of all questions with
    them do, and at most one in five of the others.

    >>> from sqlgen.types import Column, Table
    >>> world = Catalog("sqlite", (Table("city", (Column("name", "TEXT", "text"), Column("population", "INTEGER", "number"))),))
    >>> large, any_ = "SELECT name FROM city WHERE population > 150000", "SELECT name FROM city"
    >>> asked = ["list major cities", "which cities are major?", "name the major ones", "list cities", "all cities", "cities"]
    >>> [(t.name, t.definition) for t in find_definitions(zip(asked, [large] * 3 + [any_] * 3), world, "sqlite")]
    [('major', 'population > 150000')]
    """
    questions: dict[str, tuple[tuple[str, ...], set[Unsaid]]] = {}
    for question, sql in pairs:
        words = tuple(stem(word) for word in _WORD.findall(question.lower()))
        held = questions.setdefault(question.lower(), (words, set()))[1]
        if _PASSING.isdisjoint(words):
            held |= {c for c in conditions_of(sql, catalog, dialect) if not _is_said(c, question)}
    spoken = [(_phrases(words), held) for words, held in questions.values()]
    with_phrase = Counter(phrase for phrases, _ in spoken for phrase in phrases)
    with_condition = Counter(condition for _, held in spoken for condition in held)
    columns = Counter(column.name.lower() for table in catalog.tables for column in table.columns)
    taken = {_stems(name) for term in known for name in (term.name, *term.synonyms)}
    found: list[tuple[int, Term]] = []
    for condition, count in with_condition.most_common():
        if count < _SUPPORT:
            break
        left = [phrases for phrases, held in spoken if condition in held]
        names: list[tuple[str, ...]] = []
        while len(left) >= _SUPPORT:
            together = Counter(phrase for phrases in left for phrase in phrases)
            fitting = [
                phrase
                for phrase, both in together.items()
                if both >= _SUPPORT
                and both >= _CONFIDENCE * with_phrase[phrase]
                and count - both <= _HABIT * (len(spoken) - with_phrase[phrase])
            ]
            if not fitting:
                break
            best = max(fitting, key=lambda p: (together[p], together[p] / with_phrase[p], len(p), p))
            names.append(best)
            left = [phrases for phrases in left if best not in phrases]
        names = [name for name in names if name not in taken]
        taken |= set(names)
        if names:
            meaning = condition.said_as(columns)
            first, *others = (" ".join(name) for name in names)
            found.append((count - len(left), Term(first, meaning, tuple(others), source=SOURCE)))
    return tuple(term for _, term in sorted(found, key=lambda f: -f[0]))


def _stems(name: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in _WORD.findall(name.lower()))


def _phrases(words: Sequence[str]) -> frozenset[tuple[str, ...]]:
    """The runs of up to three words that begin and end with one that says something."""
    return frozenset(
        tuple(words[start : start + length])
        for length in range(1, _LONGEST + 1)
        for start in range(len(words) - length + 1)
        if words[start] not in COMMON and words[start + length - 1] not in COMMON
    )


def _is_said(condition: Unsaid, question: str) -> bool:
    value = condition.value.strip("% ").lower()
    return not value or value in question.lower() or number_said(question, value) is not None
