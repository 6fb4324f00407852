"""Literals that would make one call build gigabytes or count to a trillion are refused."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.sql.functions.sizes import MAX_ROWS_OF_SERIES, MAX_SIZE, oversized
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["sizes"]


def sizes(draft: Draft) -> Iterator[Finding]:
    """Engines cannot interrupt some of these calls, so they must not start."""
    for call in draft.statement.calls:
        fault = oversized(call, draft.dialect)
        if fault == "value":
            yield Finding(
                "too_large",
                f"`{call.name}` could build more than {MAX_SIZE:,} characters or elements",
                call.span,
            )
        elif fault == "rows":
            yield Finding(
                "too_large", f"`{call.name}` could count more than {MAX_ROWS_OF_SERIES:,} rows", call.span
            )
        elif fault == "template":
            yield Finding(
                "too_large", f"`{call.name}` needs a literal template with widths below 1,000", call.span
            )
