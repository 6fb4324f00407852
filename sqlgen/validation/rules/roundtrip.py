"""What runs reads back as what was examined."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.sql.parse import render, same_tree, same_words
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft, Rule
from sqlgen.validation.rules.functions import functions
from sqlgen.validation.rules.names import names
from sqlgen.validation.rules.shape import shape
from sqlgen.validation.rules.single import single
from sqlgen.validation.rules.sizes import sizes
from sqlgen.validation.rules.types import types

__all__ = ["roundtrip"]

_AGAIN: tuple[Rule, ...] = (single, shape, functions, types, sizes, names)


def roundtrip(draft: Draft) -> Iterator[Finding]:
    """The rendered text is the given one word for word, or it is read again. If its tree differs then, it must render to
    itself, pass the same rules and read the same tables and columns."""
    query = draft.query
    if same_words(draft.scan, query):
        return
    again = Draft(query, draft.names, draft.dialect, None)
    if (
        not again.scan.explain
        and again.scan.statements() == 1
        and same_tree(draft.statement, again.statement)
    ):
        return
    fault = next((f.message for rule in _AGAIN for f in rule(again)), None)
    if fault is None and again.scan.explain:
        fault = "it reads as EXPLAIN"
    if fault is None and render(again.statement) != query:
        fault = "it reads differently"
    if fault is None and set(again.reads.tables) != set(draft.reads.tables):
        fault = "it reads other tables"
    if fault is not None:
        yield Finding("not_rendered", f"this statement cannot be written back faithfully: {fault}")
