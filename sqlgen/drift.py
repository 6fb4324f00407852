"""Queries that people vouched for, held against the schema as it is now: which broke, and what they would be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlgen.catalog.drift import Renames, before, successors
from sqlgen.sql.renaming import renamed
from sqlgen.types import Catalog, Dialect, Rejection, ValidatedQuery

__all__ = ["Broken", "broken_queries", "proposal_for"]


@dataclass(frozen=True, slots=True)
class Broken:
    """A query that the schema no longer allows. ``proposal`` is it under new names, checked; '' without one."""

    id: str
    kind: str
    sql: str
    why: str
    proposal: str = ""


def broken_queries(
    queries: Iterable[tuple[str, str, str]],
    check: Callable[[str], ValidatedQuery | Rejection],
    catalog: Catalog,
    dialect: Dialect,
    renames: Sequence[Renames],
) -> list[Broken]:
    """Those of ``queries``, each (id, kind, SQL), that ``check`` rejects, with proposals that it allows."""
    broken = []
    for identity, kind, sql in queries:
        outcome = check(sql)
        if isinstance(outcome, Rejection):
            why = outcome.findings[0].message
            proposal = proposal_for(sql, check, catalog, dialect, renames)
            broken.append(Broken(identity, kind, sql, why, proposal))
    return broken


def proposal_for(
    sql: str,
    check: Callable[[str], ValidatedQuery | Rejection],
    catalog: Catalog,
    dialect: Dialect,
    renames: Sequence[Renames],
) -> str:
    """``sql`` as it is written after the latest, the two latest, … all of ``renames``: the first that is allowed."""
    for count in range(1, len(renames) + 1):
        some = renames[-count:]
        text = renamed(sql, dialect, before(catalog, some), *successors(some))
        if text is not None and isinstance(check(text), ValidatedQuery):
            return text
    return ""
