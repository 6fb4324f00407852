"""Casts lead to types that hold values: no object identifiers, no types of unknown making, no giant widths."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["MAX_WIDTH", "types"]

MAX_WIDTH = 65_535
"""Widest length a type may name, in characters, bits or elements."""

_CLOSED = frozenset({"OBJECT_IDENTIFIER", "UNKNOWN", "XML", "NAME"})


def types(draft: Draft) -> Iterator[Finding]:
    """A type that sqlglot does not know passes only if a column of the catalog has it."""
    for kind, text, sizes in draft.statement.data_types():
        if kind in _CLOSED:
            yield Finding("type", f"type {text} is not allowed")
        elif kind == "USERDEFINED" and re.sub(r"\W+", "", text.lower()) not in draft.names.types:
            yield Finding("type", f"type {text} is not known")
        elif any(size > MAX_WIDTH for size in sizes):
            yield Finding("type", f"type {text} is wider than {MAX_WIDTH:,}")
