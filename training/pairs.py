"""Questions with SQL from people's own work, as examples over their own database."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import sqlglot
from sqlglot.errors import SqlglotError

from sqlgen.errors import UsageError
from sqlgen.files import read_text
from sqlgen.generation.codes import with_codes
from sqlgen.generation.encode import with_hints
from sqlgen.knowledge import Term, find_named
from sqlgen.retrieval.standins import set_scene
from sqlgen.sql.fingerprint import Unusable, fingerprint, literals
from sqlgen.sql.form import Inexpressible, form_to_sql, number_said, tree_to_form
from sqlgen.training.corpora import Example
from sqlgen.training.logs.conventions import Convention, said_by, said_by_habit
from sqlgen.training.logs.pairs import Mined, names_other_values
from sqlgen.training.logs.realise import realise
from sqlgen.types import Dialect, Rejection, RetrievedContext, Table, TableSlice, ValidatedQuery

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = [
    "Pair",
    "Role",
    "by_convention",
    "examples_of",
    "held_of",
    "in_other_words",
    "pairs_of",
    "read_pairs",
    "role_of",
    "said_again",
    "with_what_is_read",
]

Role = Literal["learn", "watch", "gate"]
_MOST_VALUES = 8
_MOST_WRITTEN = 16
_FEW = 400
_HELD = 0.2
_HELD_OF_FEW = 0.3
_WATCHED = 0.05


@dataclass(frozen=True, slots=True)
class Pair:
    """What was asked and the SQL that answers it; ``weight`` says how often it is drawn, 1 being usual.

    ``key`` is the fingerprint: statements that differ in literals only stand on one side of every split. ``is_written``:
    nobody asked it, the question was written for the statement.
    """

    question: str
    sql: str
    weight: float
    key: str
    is_written: bool = False


def role_of(key: str, held: float = _HELD) -> Role:
    """On which side of the split a key stands; a share ``held`` is kept for the gate, a twentieth watches the training.

    What a smaller share holds, a larger one holds too: an adapter in force never learned what the next is judged on
    because a log grew.
    """
    draw = int(hashlib.sha256(f"split {key}".encode()).hexdigest()[:8], 16) / 2**32
    return "gate" if draw < held else "watch" if draw >= 1 - _WATCHED else "learn"


def held_of(pairs: Sequence[Pair]) -> float:
    """The share of a log that is kept for the gate: more of a short one, whose jury would be a few questions.

    >>> held_of([Pair("q", "SELECT 1", 1.0, "k")] * 399), held_of([Pair("q", "SELECT 1", 1.0, "k")] * 400)
    (0.3, 0.2)
    """
    return _HELD_OF_FEW if len(pairs) < _FEW else _HELD


def read_pairs(paths: Iterable[Path], dialect: Dialect) -> list[Pair]:
    """Pairs of JSONL files, ``{"question", "sql"}`` and optionally ``weight`` and ``split`` (a key) a line.

    Raises UsageError naming file and line; the same question with the same SQL counts once.
    """
    found: dict[tuple[str, str], Pair] = {}
    for path in paths:
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                question, sql, weight = row["question"], row["sql"], float(row.get("weight", 1.0))
                if not (
                    isinstance(question, str) and isinstance(sql, str) and question.strip() and sql.strip()
                ):
                    raise ValueError("question and sql are texts")
                if not 0 < weight <= 1000:
                    raise ValueError("weight lies between 0 and 1000")
            except (ValueError, TypeError, KeyError) as error:
                raise UsageError(f"{path}, line {number} is no pair of question and sql: {error}") from None
            question, sql = question.strip(), sql.strip().rstrip("; \n")
            key = str(row.get("split") or _key(sql, dialect))
            found.setdefault(
                (question, sql), Pair(question, sql, weight, key, row.get("source") == "written")
            )
    return list(found.values())


def pairs_of(mined: Mined) -> list[Pair]:
    """What logs and judged answers taught, as pairs to learn from."""
    return [
        Pair(p.question, p.sql, max(p.weight, 1e-3), p.fingerprint, p.source == "written")
        for p in mined.pairs
    ]


def by_convention(
    database: Database,
    pairs: Sequence[Pair],
    conventions: Sequence[Convention],
    habits: Collection[frozenset[str]] = (),
) -> Iterator[Pair]:
    """Written pairs once more for each statement that carries a convention, which its question names, or lists by habit."""
    catalog, dialect = database.catalog, database.dialect
    for sql, pair in {pair.sql: pair for pair in pairs if pair.is_written}.items():
        checked = database.check(sql)
        if not isinstance(checked, ValidatedQuery):
            continue
        said = dict.fromkeys(said_by_habit(habits, sql, catalog, dialect, checked.tables))
        for convention in conventions:
            said |= dict.fromkeys(said_by(convention, sql, catalog, dialect, checked.tables, habits))
        for question in said:
            yield replace(pair, question=question)


def _key(sql: str, dialect: Dialect) -> str:
    try:
        return fingerprint(sql, dialect)
    except Unusable:
        # Left out later, where the cause can be counted.
        return hashlib.sha256(sql.encode()).hexdigest()[:16]


def examples_of(
    database: Database,
    pairs: Iterable[Pair],
    dropped: Counter[str] | None = None,
    foreign: list[Pair] | None = None,
    terms: Sequence[Term] = (),
) -> Iterator[tuple[Pair, Example]]:
    """Each pair over the context that retrieval hands the model for it, as far as the form can say it.

    Definitions of ``terms`` stand behind the question where it names them; so do values of the SQL that
    neither names, as no model could know them. ``dropped`` counts the others by cause; ``foreign`` gets those whose
    question names a value and whose SQL has only others.
    """
    dropped = Counter() if dropped is None else dropped
    dialect, catalog = database.dialect, database.catalog
    tables = {t.key: t for t in catalog.tables}
    for pair in pairs:
        checked = database.check(pair.sql)
        if isinstance(checked, Rejection):
            dropped[f"refused: {checked.findings[0].rule}"] += 1
            continue
        found = replace(database.retrieve(pair.question), terms=())
        # A definition with SQL is a column of its own when a question is asked; a pair's SQL doesn't know it.
        plain = [n for n in find_named(pair.question, terms) if not n.term.sql]
        hints = [term.hint for term in set_scene(pair.question, plain, found, catalog).found.terms]
        context = with_codes(with_what_is_read(found, checked, tables))
        for asked in _with_values(pair.question, hints, checked.sql, dialect, context):
            text = with_hints(asked, hints)
            try:
                form = tree_to_form(sqlglot.parse_one(checked.sql, dialect=dialect), context, text)
            except (Inexpressible, SqlglotError, AttributeError, RecursionError) as error:
                why = f"not sayable: {str(error).split(chr(39))[0][:40]}"
                continue
            yield replace(pair, question=asked), Example(text, context, tuple(form), "own", "own")
            break
        else:
            dropped[why] += 1
            if foreign is not None and names_other_values(
                pair.question, checked.sql, dialect, context.values
            ):
                foreign.append(pair)


def _with_values(
    question: str, hints: Sequence[str], sql: str, dialect: Dialect, context: RetrievedContext
) -> Iterator[str]:
    """``question``, then with the values behind it that only the query names.

    Not where it names other values: that pair is doubtful, and values behind it would hide this.
    """
    yield question
    said = with_hints(question, hints).lower()
    missing = [v for v in literals(sql, dialect) if v.lower() not in said and number_said(said, v) is None]
    if 0 < len(missing) < _MOST_VALUES and not names_other_values(question, sql, dialect, context.values):
        yield f"{question.rstrip('.?! ')} ({', '.join(missing)})"


def in_other_words(database: Database, pairs: Sequence[Pair]) -> list[Pair]:
    """The statements of ``pairs`` with questions written for them; all those of a fingerprint weigh as much as half its pairs."""
    weights: dict[str, float] = defaultdict(float)
    written: dict[str, dict[tuple[str, str], None]] = {}
    asked = {(pair.question, pair.sql) for pair in pairs}
    for pair in pairs:
        weights[pair.key] += pair.weight
        checked = database.check(pair.sql)
        if (
            not isinstance(checked, Rejection)
            and len(held := written.setdefault(pair.key, {})) < _MOST_WRITTEN
        ):
            said = realise(checked.sql, database.dialect, database.catalog, checked.tables)
            held.update(
                dict.fromkeys((question, pair.sql) for question in said if (question, pair.sql) not in asked)
            )
    return [
        Pair(question, sql, weights[key] / 2 / len(held), key)
        for key, held in written.items()
        for question, sql in held
    ]


def said_again(example: Example, dialect: Dialect) -> str:
    """The SQL of an example as the model would write it; "" when that goes wrong."""
    try:
        return form_to_sql(example.form, example.context, example.question, dialect)
    except (Inexpressible, ValueError, IndexError):
        return ""


def with_what_is_read(
    context: RetrievedContext, query: ValidatedQuery, tables: Mapping[str, Table]
) -> RetrievedContext:
    """``context`` with the tables and columns that a query reads and retrieval missed."""
    slices = []
    for piece in context.tables:
        whole = tables.get(piece.table.key, piece.table)
        kept = {c.name for c in piece.table.columns}
        missed = [c for c in whole.columns if c.name not in kept and f"{whole.key}.{c.name}" in query.columns]
        slices.append(replace(piece, table=replace(piece.table, columns=(*piece.table.columns, *missed))))
    held = {piece.table.key for piece in slices}
    slices += [TableSlice(tables[key], 0.0, "") for key in query.tables if key in tables and key not in held]
    return replace(context, tables=tuple(slices))
