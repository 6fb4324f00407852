"""Questions that a database can't answer, made from those that another one can."""

from __future__ import annotations

import random
from dataclasses import replace

from sqlgen.catalog.naming import natural_name
from sqlgen.generation.codes import with_codes
from sqlgen.sql.form import needed_tables
from sqlgen.training.corpora import Example
from sqlgen.types import RetrievedContext

__all__ = ["make_unanswerable"]

_FORM = ("unanswerable",)
_VAGUE = frozenset("id name type code date number key no nr of the a".split())


def _words(text: str) -> set[str]:
    return {w.rstrip("s") for w in natural_name(text).lower().split()} - _VAGUE


def _said(context: RetrievedContext) -> set[str]:
    """The telling words of all names in a context."""
    return {
        word
        for piece in context.tables
        for name in (piece.table.name, *(c.name for c in piece.table.columns))
        for word in _words(name)
    }


def make_unanswerable(example: Example, other: Example, rng: random.Random) -> Example | None:
    """``example``'s question where its data is missing, or None when something like it is there.

    Either over the context of ``other``, a question of another database, or over its own without
    the tables, or the column, that it names.
    """
    context = example.context
    asked = {w.rstrip("s") for w in example.question.lower().replace("?", " ").split()}
    tables = needed_tables(example.form, context)
    if not tables or "unanswerable" in example.form:
        return None
    if rng.random() < 0.5:
        if other.database == example.database:
            return None
        needed = {w for i in tables for w in _words(context.tables[i].table.name)} & asked
        if not needed or needed & _said(other.context):
            return None
        fresh = replace(other.context, values=())
        return replace(example, context=with_codes(fresh), form=_FORM)
    columns = [(t[1], t[2]) for t in example.form if isinstance(t, tuple) and t[0] == "c" and len(t) == 3]
    if not columns:
        return None
    i, j = rng.choice(columns)
    name = context.tables[i].table.columns[j].name
    lost = _words(name)
    if not lost or not lost <= asked:
        return None
    keep_table = len(context.tables) == 1 or rng.random() < 0.6
    slices = []
    for k, piece in enumerate(context.tables):
        if k == i and not keep_table:
            continue
        kept = tuple(c for c in piece.table.columns if not _words(c.name) & lost)
        keys = tuple(f for f in piece.table.foreign_keys if set(f.columns) <= {c.name for c in kept})
        slices.append(replace(piece, table=replace(piece.table, columns=kept, foreign_keys=keys)))
    if not slices or any(not s.table.columns for s in slices):
        return None
    fresh = RetrievedContext(tuple(slices))
    # Another name that says the same would make the question answerable after all.
    if lost & _said(fresh):
        return None
    known = {(s.table.key, c.name) for s in slices for c in s.table.columns}
    values = tuple(m for m in context.values if (m.table, m.column) in known)
    return replace(example, context=replace(fresh, values=values), form=_FORM)
