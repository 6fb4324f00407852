"""Casts lead to types that hold values: no object identifiers, no types of unknown making, no giant widths."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlgen.sql.functions import load_functions
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["types"]

_MAX_WIDTH = 65_535
"""Widest length a type may name, in characters, bits or elements."""

_CLOSED = frozenset({"OBJECT_IDENTIFIER", "UNKNOWN", "XML", "NAME"})


def types(draft: Draft) -> Iterator[Finding]:
    """A type that sqlglot does not know passes if the dialect's list names it or a column of the catalog has it."""
    listed = load_functions(draft.dialect).types
    for kind, text, sizes in draft.statement.data_types():
        if kind in _CLOSED:
            yield Finding("type", f"type {text} is not allowed")
        elif kind == "USERDEFINED" and not (
            re.sub(r"\(.*", "", text.lower()) in listed
            or re.sub(r"\W+", "", text.lower()) in draft.names.types
        ):
            yield Finding("type", f"type {text} is not known")
        elif any(size > _MAX_WIDTH for size in sizes):
            yield Finding("type", f"type {text} is wider than {_MAX_WIDTH:,}")
