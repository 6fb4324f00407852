"""Every table and column exists; system schemas are closed."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["names"]


def names(draft: Draft) -> Iterator[Finding]:
    """Resolved scope by scope, as the engine would."""
    offset = draft.scan.start
    for fault in draft.reads.faults:
        span = (fault.span[0] + offset, fault.span[1] + offset) if fault.span else None
        yield Finding(fault.rule, fault.message, span)
