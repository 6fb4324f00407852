"""Which column a few words mean, among those of a query and of what it can be joined with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlgen.catalog.naming import natural_name
from sqlgen.types import Catalog, Column, Table

__all__ = ["column_named", "content_words", "singular", "table_words"]

_WORD = re.compile(r"[^\W_]+(?:'[a-z]+)?")
_IDLE = frozenset(
    "a an the of in on at to for from by with and or is are was were be been has have had do does did as also too "
    "please now then just only show list give get tell find display return see me us i we you want need like can could would "
    "what which who whom whose that this these those it its them they their one ones there here all each every any so ok okay "
    "but how about instead again same thing things let's lets let out up value values those's what's per".split()
)


def singular(word: str) -> str:
    """A plural as its singular, roughly.

    >>> singular("cities"), singular("boxes"), singular("orders"), singular("status")
    ('city', 'box', 'order', 'status')
    """
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def content_words(text: str) -> tuple[str, ...]:
    """The words that say something, as singulars.

    >>> content_words("Show me their first names, please")
    ('first', 'name')
    """
    words = [w.removesuffix("'s") for w in _WORD.findall(text.lower().replace("’", "'"))]
    return tuple(singular(w) for w in words if w not in _IDLE)


def table_words(table: Table) -> frozenset[str]:
    """The words of a table's name, as singulars."""
    return frozenset(singular(w) for w in natural_name(table.name).split())


def column_named(
    words: Sequence[str],
    catalog: Catalog,
    near: Sequence[str],
    *,
    kinds: Iterable[str] = (),
    preferred: Sequence[str] = (),
) -> str | None:
    """The one column (``table_key.column``) that ``words`` name among the tables ``near``, nearest table first; None for none.

    ``preferred`` columns win where several fit.

    >>> from sqlgen.types import Table
    >>> pets = Table("pets", (Column("pet_name", "TEXT", "text"), Column("birth_date", "DATE", "date")))
    >>> column_named(("name",), Catalog("sqlite", (pets,)), ["pets"]), column_named(("owner",), Catalog("sqlite", (pets,)), ["pets"])
    ('pets.pet_name', None)
    """
    wanted = tuple(words)
    if not wanted:
        return None
    wished = frozenset(kinds)
    best: list[tuple[int, int, str]] = []
    for distance, key in enumerate(near):
        table = catalog.table(key)
        if table is None:
            continue
        for column in table.columns:
            if wished and column.kind not in wished:
                continue
            rank = _fit(wanted, column, table)
            if rank is not None:
                name = f"{key}.{column.name}"
                best.append((rank - (3 if name in preferred else 0), distance, name))
    if not best:
        return None
    best.sort()
    first = best[0]
    rivals = [b for b in best if b[:2] == first[:2]]
    return first[2] if len(rivals) == 1 else None


def _fit(wanted: tuple[str, ...], column: Column, table: Table) -> int | None:
    """How well words name a column: 0 exactly, more for less; None: they don't."""
    said = tuple(singular(w) for w in natural_name(column.name).split())
    own = table_words(table)
    if wanted == said or " ".join(wanted) == column.name.lower():
        return 0
    bare = tuple(w for w in said if w not in own)
    asked = tuple(w for w in wanted if w not in own)
    if asked and asked == bare:
        return 1 if asked == wanted else 2
    if set(wanted) == set(said):
        return 2
    if asked and len(said) > 1 and asked == said[-len(asked) :] and not column.primary_key:
        return 4
    if (
        asked
        and len(said) > 1
        and asked == said[: len(asked)]
        and said[-1] in ("name", "date", "title", "amount", "number")
    ):
        return 5
    return None
