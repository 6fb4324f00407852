"""The terms and metrics that a question names, put where the model meets them.

A definition with SQL becomes one more column of the table that it is about, named as the question names it
(``sqlgen.sql.standins`` replaces it in what the model writes); one without is a hint behind the question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlgen.knowledge import Named
from sqlgen.sql.standins import YES, NotExpressible, StandIn, read_definition
from sqlgen.types import Catalog, Column, RetrievedContext, Table, TableSlice, TermMatch, ValueMatch

__all__ = ["Scene", "neutral_scene", "set_scene"]

_WIDE = 12
_PLAIN_WORDS = ("score", "points", "amount")


@dataclass(frozen=True, slots=True)
class Scene:
    """What the model gets: the question, the context with the stand-ins, and the catalog that knows them.

    ``found`` is the context without the stand-ins; ``notes`` say which definitions could not be used and why.
    """

    text: str
    context: RetrievedContext
    catalog: Catalog
    found: RetrievedContext
    stand_ins: tuple[StandIn, ...] = ()
    notes: tuple[str, ...] = ()


def set_scene(text: str, named: Sequence[Named], context: RetrievedContext, catalog: Catalog) -> Scene:
    """Put the named terms into the context: as stand-ins where they have SQL, else as hints."""
    stand_ins: list[StandIn] = []
    notes: list[str] = []
    terms: list[TermMatch] = []
    for n in named:
        term, said = n.term, text[n.start : n.end]
        sql = term.sql_for(catalog.dialect)
        hint = f"{term.name} refers to {term.definition}"
        if sql:
            try:
                definition = read_definition(sql, catalog, catalog.dialect, term.tables, term.filters)
                is_test = definition.shape in ("test", "members")
                column = _free_name(term.name if is_test else said, definition.tables[0], catalog, stand_ins)
                stand_ins.append(StandIn(term.name, definition.tables[0], column, definition))
                # Definitions of this kind are what the model was trained to read.
                hint = f"{said} refers to {column} = '{YES}'" if is_test else ""
            except NotExpressible as reason:
                notes.append(f"the definition of {term.name} cannot be used here: {reason}")
                hint = hint if sql[:6].upper() == "SELECT" else f"{term.name} refers to {sql}"
        meaning = f"{term.definition} SQL: {sql}" if sql else term.definition
        kind = "metric" if term.is_metric else "term"
        terms.append(TermMatch(kind, term.name, meaning, term.source, n.score, hint))  # type: ignore[arg-type]
    found = replace(context, terms=(*terms, *context.terms))
    return _with_stand_ins(text, found, catalog, found, stand_ins, notes)


def neutral_scene(scene: Scene, named: Sequence[Named]) -> Scene | None:
    """The scene with a plain word where the question names a figure, for a model that the name misled; None without one."""
    shown = {s.name: s for s in scene.stand_ins if s.definition.shape not in ("test", "members")}
    text = scene.text
    renamed: dict[str, StandIn] = {}
    for n in sorted(named, key=lambda n: -n.start):
        stand_in = shown.get(n.term.name)
        if stand_in is None:
            continue
        taken = {c.name for t in scene.catalog.tables for c in t.columns} | {
            s.column for s in renamed.values()
        }
        word = next((w for w in _PLAIN_WORDS if w not in taken and w not in text.lower()), "")
        if not word:
            return None
        text = f"{text[: n.start]}{word}{text[n.end :]}"
        renamed[stand_in.name] = replace(stand_in, column=word)
    if not renamed:
        return None
    gone = {(s.table, s.column) for s in scene.stand_ins}
    stand_ins = [renamed.get(s.name, s) for s in scene.stand_ins]
    bare_catalog = replace(scene.catalog, tables=tuple(_without(t, gone) for t in scene.catalog.tables))
    slices = tuple(replace(s, table=_without(s.table, gone)) for s in scene.context.tables)
    # Places of values in the text moved with it.
    context = replace(scene.context, tables=slices, values=_moved(scene, text))
    return _with_stand_ins(text, context, bare_catalog, scene.found, stand_ins, scene.notes)


def _moved(scene: Scene, text: str) -> tuple[ValueMatch, ...]:
    moved = []
    for match in scene.context.values:
        said = scene.text[match.start : match.end]
        start = text.find(said)
        if start >= 0:
            moved.append(replace(match, start=start, end=start + len(said)))
    return tuple(moved)


def _without(table: Table, gone: set[tuple[str, str]]) -> Table:
    return replace(table, columns=tuple(c for c in table.columns if (table.key, c.name) not in gone))


def _with_stand_ins(
    text: str,
    context: RetrievedContext,
    catalog: Catalog,
    found: RetrievedContext,
    stand_ins: Sequence[StandIn],
    notes: Sequence[str],
) -> Scene:
    if not stand_ins:
        return Scene(text, context, catalog, found, (), tuple(notes))
    columns: dict[str, list[Column]] = {}
    for stand_in in stand_ins:
        is_test = stand_in.definition.shape in ("test", "members")
        made = (
            Column(stand_in.column, "TEXT", "text", stand_in.name, values=(YES,))
            if is_test
            else Column(stand_in.column, "NUMERIC", "number", stand_in.name)
        )
        columns.setdefault(stand_in.table, []).append(made)

    def widened(table: Table) -> Table:
        return replace(table, columns=(*table.columns, *columns.get(table.key, ())))

    there = {piece.table.key: piece for piece in context.tables}
    first = [
        replace(there[key], table=widened(there[key].table))
        if key in there
        else _slice(catalog, key, widened)
        for key in columns
    ]
    # First, because an input that is full loses its last tables.
    rest = [piece for piece in context.tables if piece.table.key not in columns]
    widened_catalog = replace(
        catalog, tables=tuple(widened(t) if t.key in columns else t for t in catalog.tables)
    )
    shown = replace(context, tables=(*first, *rest))
    return Scene(text, shown, widened_catalog, found, tuple(stand_ins), tuple(notes))


def _slice(catalog: Catalog, key: str, widened: Callable[[Table], Table]) -> TableSlice:
    table = catalog.table(key)
    assert table is not None
    if len(table.columns) > _WIDE:
        joins = {name for k in table.foreign_keys for name in k.columns}
        joins |= {
            c for t in catalog.tables for k in t.foreign_keys if k.target == key for c in k.target_columns
        }
        table = replace(table, columns=tuple(c for c in table.columns if c.primary_key or c.name in joins))
    return TableSlice(widened(table), 1.0, "a definition is about it")


def _free_name(said: str, table: str, catalog: Catalog, others: Sequence[StandIn]) -> str:
    word = re.sub(r"\W+", "_", said.strip().lower()).strip("_") or "figure"
    word = f"n_{word}" if word[0].isdigit() else word
    held = catalog.table(table)
    taken = {c.name.lower() for c in held.columns} if held else set()
    taken |= {s.column for s in others}
    while word in taken:
        word += "_figure"
    return word
