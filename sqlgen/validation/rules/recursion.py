"""A recursive query must be able to end."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.sql.scope import endless_recursion
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["recursion"]


def recursion(draft: Draft) -> Iterator[Finding]:
    """An arm that reads only itself, with no condition and no limit anywhere, never ends."""
    for name in endless_recursion(draft.statement):
        yield Finding("endless", f"the recursive query `{name}` has no condition that ends it")
