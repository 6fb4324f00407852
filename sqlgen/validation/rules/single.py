"""One statement per text; a trailing semicolon and comments are no second one."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["single"]


def single(draft: Draft) -> Iterator[Finding]:
    """Counted on tokens, before anything is parsed."""
    count = draft.scan.statements()
    if count == 0:
        yield Finding("empty", "there is no statement")
    elif count > 1:
        yield Finding("several_statements", f"{count} statements; only one is allowed", draft.scan.second())
