"""Literals that would make one call build gigabytes or one query count to a trillion are refused."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.sql.functions.rows import MAX_ROWS_OF_PRODUCT, multiplied
from sqlgen.sql.functions.sizes import MAX_ROWS_OF_SERIES, MAX_SIZE, oversized
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["sizes"]

_WORDS = {
    "value": f"`{{}}` could build more than {MAX_SIZE:,} characters or elements",
    "rows": f"`{{}}` could count more than {MAX_ROWS_OF_SERIES:,} rows",
    "template": "`{}` needs a template whose text and widths, below 1,000, can be told beforehand",
    "pattern": "{} would look through a text that was made very long, or for too many gaps",
}


def sizes(draft: Draft) -> Iterator[Finding]:
    """Engines cannot interrupt some of these calls, so they must not start."""
    for fault, name, span in oversized(draft.statement):
        yield Finding("too_large", _WORDS[fault].format(name), span)
    if multiplied(draft.statement):
        yield Finding(
            "too_large",
            f"what is joined without a condition could give more than {MAX_ROWS_OF_PRODUCT:,} rows",
        )
