"""What happened to a schema between two looks: which tables and columns have another name now.

A rename leaves traces: a table that went and one that came with the same columns; a column that went and one
that came in the same table, of the same type, at the same place or with the same cells or comment. Two
possible successors mean none.
"""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from sqlgen.files import write_whole
from sqlgen.types import Catalog, Column, Table

__all__ = ["Renames", "before", "find_renames", "read_renames", "remember_renames", "successors"]

_log = logging.getLogger(__name__)
_SAME_COLUMNS = 0.75
_SAME_CELLS = 0.5
_SURE = 2.0
_KEPT = 200
_Named = TypeVar("_Named", Table, Column)


@dataclass(frozen=True, slots=True)
class Renames:
    """New names from one look to the next: (old key, new key) of tables, (new table key, old, new) of columns."""

    tables: tuple[tuple[str, str], ...] = ()
    columns: tuple[tuple[str, str, str], ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.tables or self.columns)


def find_renames(old: Catalog, new: Catalog) -> Renames:
    """The renames that explain what went and what came from ``old`` to ``new``.

    >>> def shop(table, column): return Catalog("sqlite", (Table(table, (
    ...     Column("id", "INTEGER", "number"), Column(column, "TEXT", "text"))),))
    >>> find_renames(shop("orders", "state"), shop("orders", "status"))
    Renames(tables=(), columns=(('orders', 'state', 'status'),))
    >>> find_renames(shop("orders", "state"), shop("purchases", "state"))
    Renames(tables=(('orders', 'purchases'),), columns=())
    """
    before_keys = {table.key: table for table in old.tables}
    after_keys = {table.key: table for table in new.tables}
    gone = [table for key, table in before_keys.items() if key not in after_keys]
    came = [table for key, table in after_keys.items() if key not in before_keys]
    tables = tuple((a.key, b.key) for a, b in _pairs(gone, came, _table_likeness, _SAME_COLUMNS))
    columns = []
    moved = dict(tables)
    for key, table in before_keys.items():
        now = after_keys.get(moved.get(key, key))
        if now is not None:
            columns += [(now.key, a.name, b.name) for a, b in _renamed_columns(table, now)]
    return Renames(tables, tuple(columns))


def _renamed_columns(old: Table, new: Table) -> list[tuple[Column, Column]]:
    before_names, after_names = {c.name for c in old.columns}, {c.name for c in new.columns}
    gone = [c for c in old.columns if c.name not in after_names]
    came = [c for c in new.columns if c.name not in before_names]
    if not gone or not came:
        return []
    place = {c.name: n for n, c in enumerate(old.columns)}
    now = {c.name: n for n, c in enumerate(new.columns)}

    def likeness(a: Column, b: Column) -> float:
        if a.type != b.type or a.primary_key != b.primary_key:
            return 0.0
        same_place = place[a.name] == now[b.name]
        same_cells = _overlap(a.values, b.values) >= _SAME_CELLS if a.values and b.values else same_place
        if a.values and b.values and not same_cells:
            return 0.0
        said = 1.0 if a.comment and a.comment == b.comment else 0.0
        close = difflib.SequenceMatcher(None, a.name.lower(), b.name.lower()).ratio()
        return 1.5 * same_place + 1.5 * same_cells + said + close

    return _pairs(gone, came, likeness, _SURE)


def _pairs(
    gone: Sequence[_Named], came: Sequence[_Named], likeness: Callable[[_Named, _Named], float], least: float
) -> list[tuple[_Named, _Named]]:
    """Each of ``gone`` with the one of ``came`` that is most like it, where neither has an equal alternative."""
    scores = {(i, j): likeness(a, b) for i, a in enumerate(gone) for j, b in enumerate(came)}
    found = []
    for (i, j), score in scores.items():
        rivals = [s for (k, m), s in scores.items() if (k == i) != (m == j)]
        if score >= least and score > max(rivals, default=0.0):
            found.append((gone[i], came[j]))
    return found


def _table_likeness(a: Table, b: Table) -> float:
    if a.is_view != b.is_view:
        return 0.0
    return _overlap([(c.name, c.type) for c in a.columns], [(c.name, c.type) for c in b.columns])


def _overlap(a: Iterable[object], b: Iterable[object]) -> float:
    first, second = set(a), set(b)
    return len(first & second) / max(1, len(first | second))


def before(catalog: Catalog, renames: Sequence[Renames]) -> Catalog:
    """``catalog`` with the names that its tables and columns had before ``renames`` (oldest first) happened."""
    for one in reversed(renames):
        old_names = {(key, new): old for key, old, new in one.columns}
        old_keys = {new: old for old, new in one.tables}
        tables = []
        for table in catalog.tables:
            columns = tuple(
                replace(c, name=old_names.get((table.key, c.name), c.name)) for c in table.columns
            )
            key = old_keys.get(table.key)
            name = table.name if key is None else key.removeprefix(f"{table.schema}." if table.schema else "")
            tables.append(replace(table, name=name, columns=columns))
        catalog = replace(catalog, tables=tuple(tables))
    return catalog


def successors(renames: Sequence[Renames]) -> tuple[dict[str, str], dict[tuple[str, str], str]]:
    """Where names of old lead to after all of ``renames``: of tables by key, of columns by (old key, name).

    >>> first = Renames((("a", "b"),), (("b", "x", "y"),))
    >>> successors([first, Renames((), (("b", "y", "z"),))])
    ({'a': 'b'}, {('a', 'x'): 'z'})
    """
    tables: dict[str, str] = {}
    columns: dict[tuple[str, str], str] = {}
    for one in renames:
        moved = dict(one.tables)
        reached = set(tables.values())
        tables = {old: moved.get(now, now) for old, now in tables.items()}
        tables.update({old: new for old, new in moved.items() if old not in reached})
        origin = {now: old for old, now in tables.items()}
        changed = {(origin.get(key, key), old): new for key, old, new in one.columns}
        for (key, first), now_named in list(columns.items()):
            columns[key, first] = changed.pop((key, now_named), now_named)
        columns.update(changed)
    return tables, columns


def remember_renames(path: Path, renames: Renames) -> None:
    """Add to the renames kept at ``path``, in one move; the latest 200 stay."""
    kept = [*read_renames(path), renames][-_KEPT:]
    text = json.dumps([asdict(one) for one in kept])
    write_whole(path, text)


def read_renames(path: Path) -> list[Renames]:
    """The renames kept at ``path``, oldest first; none when there is no such file or it is damaged."""
    try:
        raw = json.loads(path.read_text("ascii"))
        return [
            Renames(tuple((a, b) for a, b in one["tables"]), tuple((t, a, b) for t, a, b in one["columns"]))
            for one in raw
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("the renames in %s cannot be read (%s); they are forgotten", path, error)
        return []
