"""A recursive query must be able to end, and soon."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.sql.functions.rows import MAX_STEPS, runaway
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["recursion"]


def recursion(draft: Draft) -> Iterator[Finding]:
    """An arm that reads only itself needs a condition or a limit that ends it."""
    for name, fault in runaway(draft.statement):
        if fault == "doubles":
            yield Finding("endless", f"each step of the recursive query `{name}` doubles a text")
        elif fault == "endless":
            yield Finding("endless", f"the recursive query `{name}` has no condition that ends it")
        else:
            yield Finding("endless", f"the recursive query `{name}` may take more than {MAX_STEPS:,} steps")
