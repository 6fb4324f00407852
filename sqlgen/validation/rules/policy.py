"""Nothing is read that the policy closes: no table, no column, and no masked column but as an output."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.sql.rewrite import forget_excluded, objections
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["policy"]


def policy(draft: Draft) -> Iterator[Finding]:
    """Resolved against the whole catalog, so that a closed name is told from one that does not exist."""
    if draft.protection is None or draft.whole is None:
        return
    offset = draft.scan.start
    for fault in objections(draft.statement, draft.protection, draft.whole):
        span = (fault.span[0] + offset, fault.span[1] + offset) if fault.span else None
        yield Finding(fault.rule, fault.message, span)
    forget_excluded(draft.statement, draft.protection, draft.names)
