"""The guard: from text to a ValidatedQuery or a Rejection, by rules that stand in one tuple.

What passes is rendered again from its tree, without comments, and that text is what runs. A text is refused unless
everything in it is known: one statement, a query, kinds of nodes, functions, tables and columns.

EXPLAIN of an allowed query is allowed in its plain forms; ANALYZE, which would run the query unlimited, is not.
The guard does not bound time, memory or rows beyond what literals show; the driver does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from sqlgen.policy import Protection
from sqlgen.sql.parse import Unreadable
from sqlgen.sql.scope import CatalogNames
from sqlgen.types import Catalog, Dialect, Finding, Rejection, ValidatedQuery
from sqlgen.validation.draft import Draft, Rule
from sqlgen.validation.rules.comments import comments
from sqlgen.validation.rules.functions import functions
from sqlgen.validation.rules.names import names
from sqlgen.validation.rules.policy import policy
from sqlgen.validation.rules.protection import protection
from sqlgen.validation.rules.recursion import recursion
from sqlgen.validation.rules.roundtrip import roundtrip
from sqlgen.validation.rules.shape import shape
from sqlgen.validation.rules.single import single
from sqlgen.validation.rules.sizes import sizes
from sqlgen.validation.rules.text import text
from sqlgen.validation.rules.types import types

__all__ = ["RULES", "validate"]

RULES: tuple[Rule, ...] = (
    text,
    comments,
    single,
    shape,
    functions,
    types,
    sizes,
    recursion,
    policy,
    names,
    protection,
    roundtrip,
)
"""In this order; the first that objects ends the examination, so each may rely on those before it."""


_SURPRISES = (AttributeError, TypeError, KeyError, IndexError, ValueError, AssertionError)


def validate(
    sql: str,
    catalog: Catalog,
    dialect: Dialect,
    *,
    max_rows: int | None = None,
    protection: Protection | None = None,
) -> ValidatedQuery | Rejection:
    """Judge ``sql`` against ``catalog``. Never raises on any text.

    With ``max_rows`` the outermost query gets ``LIMIT max_rows + 1`` unless it has a smaller literal one, so that a
    driver can tell a whole result from a cut one. With a ``protection`` its own catalogs count, ``catalog`` does not.

    >>> from sqlgen.types import Column, Table
    >>> shop = Catalog("sqlite", (Table("orders", (Column("id", "INTEGER", "number"),)),))
    >>> validate("select ID from orders -- all", shop, "sqlite", max_rows=10).sql
    'SELECT ID FROM orders LIMIT 11'
    >>> validate("DELETE FROM orders", shop, "sqlite").findings[0].rule
    'not_a_query'
    """
    if not isinstance(sql, str):
        raise TypeError(f"sql must be str, not {type(sql).__name__}")
    try:
        return _examine(sql, catalog, dialect, max_rows, protection)
    except RecursionError:
        pass
    # The caller's own stack may be deep: once more on a fresh one, then it is the statement's fault.
    verdict: list[ValidatedQuery | Rejection] = []

    def again() -> None:
        try:
            verdict.append(_examine(sql, catalog, dialect, max_rows, protection))
        except RecursionError:
            verdict.append(
                Rejection(sql, (Finding("too_deep", "the statement nests too deeply to be read"),))
            )

    thread = threading.Thread(target=again, name="sqlgen-validate")
    thread.start()
    thread.join()
    return verdict[0]


def _examine(
    sql: str, catalog: Catalog, dialect: Dialect, max_rows: int | None, rules: Protection | None
) -> ValidatedQuery | Rejection:
    if rules is None:
        draft = Draft(sql, _names(catalog, dialect), dialect, max_rows)
    else:
        visible, whole = _names(rules.visible, dialect), _names(rules.catalog, dialect)
        draft = Draft(sql, visible, dialect, max_rows, rules, whole)
    for rule in RULES:
        try:
            findings = tuple(rule(draft))
        except Unreadable as fault:
            findings = (Finding(fault.rule, fault.message, fault.span),)
        except _SURPRISES:
            # What no rule expected is refused like everything else that is not known.
            findings = (Finding("not_followed", "this statement cannot be followed; write it more plainly"),)
        if findings:
            return Rejection(sql, findings)
    reads = draft.reads
    return ValidatedQuery(draft.canonical, dialect, reads.tables, reads.columns, draft.warnings)


_CACHE_SIZE = 64
_cache: OrderedDict[tuple[int, Dialect], tuple[Catalog, CatalogNames]] = OrderedDict()
_cache_lock = threading.Lock()


def _names(catalog: Catalog, dialect: Dialect) -> CatalogNames:
    """The folded names of a catalog, kept while the catalog is in use: it is frozen, so its identity is its content."""
    key = (id(catalog), dialect)
    with _cache_lock:
        kept = _cache.get(key)
        if kept is not None and kept[0] is catalog:
            _cache.move_to_end(key)
            return kept[1]
    names_of_catalog = CatalogNames(catalog, dialect)
    with _cache_lock:
        _cache[key] = (catalog, names_of_catalog)
        while len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    return names_of_catalog
