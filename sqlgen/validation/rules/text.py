"""The text itself: not empty, not too long, not too deep, made of tokens. Also reads off a plain EXPLAIN."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["text"]


def text(draft: Draft) -> Iterator[Finding]:
    """Scanning raises what is wrong with the text."""
    _ = draft.scan
    yield from ()
