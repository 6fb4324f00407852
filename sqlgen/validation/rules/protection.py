"""Every scan of a table that the policy guards is rewritten: hidden columns away, masks on, filtered rows only."""

from __future__ import annotations

from collections.abc import Iterator

from sqlgen.sql.rewrite import protect
from sqlgen.types import Finding
from sqlgen.validation.draft import Draft

__all__ = ["protection"]


def protection(draft: Draft) -> Iterator[Finding]:
    """After this rule the tree is what runs; warnings speak of what was written, so they are taken before."""
    _ = draft.reads, draft.warnings
    rules = draft.protection
    if rules is None or draft.whole is None:
        return
    guarded = [key for key in draft.reads.tables if rules.guards(key)]
    if draft.scan.explain and any(key in rules.filters or key in rules.inlined for key in guarded):
        yield Finding("policy", "a plan would tell about rows that the policy filters; ask without EXPLAIN")
        return
    offset = draft.scan.start
    for fault in protect(draft.statement, rules, draft.names, draft.whole):
        span = (fault.span[0] + offset, fault.span[1] + offset) if fault.span else None
        yield Finding(fault.rule, fault.message, span)
