"""The knowledge of one database in a SQLite file: every change is kept, listed and reversible."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlgen.errors import UsageError
from sqlgen.journal import Journal
from sqlgen.knowledge.items import Item, from_body, item_id, kind_of, to_body

__all__ = ["Change", "KnowledgeStore"]

Action = Literal["added", "replaced", "removed", "unchanged"]

_MARK = 0x53474B31
_SCHEMA = """
CREATE TABLE items (id TEXT PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL, change INTEGER NOT NULL);
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, batch INTEGER NOT NULL, at REAL NOT NULL, who TEXT NOT NULL,
    why TEXT NOT NULL, item TEXT NOT NULL, kind TEXT NOT NULL, before TEXT, after TEXT, undoes INTEGER
)
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history: what happened to which item, when (seconds since 1970) and why.

    Changes of one command share a ``batch``; ``undoes`` is the batch that this one took back.
    """

    batch: int
    at: float
    who: str
    why: str
    item: str
    action: Action
    undoes: int | None = None


class KnowledgeStore:
    """What people added for one database, in the file at ``path``; nothing is made before the first change.

    >>> import tempfile
    >>> from sqlgen.knowledge.items import Term
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = KnowledgeStore(Path(folder) / "knowledge.sqlite")
    ...     done = store.put([Term("churn", "customers who left")])
    ...     held = [item.name for _, item in store.items()]
    ...     undone = store.undo(); left = store.items(); store.close()
    >>> done, held, undone, left
    ([('term:churn', 'added')], ['churn'], [('term:churn', 'removed')], [])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal = Journal(path, schema=_SCHEMA, mark=_MARK, what="the knowledge")

    def close(self) -> None:
        """Free the file."""
        self._journal.close()

    def version(self) -> int:
        """A number that grows with every change; 0 for none."""
        with self._journal.reading() as connection:
            if connection is None:
                return 0
            return int(connection.execute("SELECT COALESCE(MAX(id), 0) FROM changes").fetchone()[0])

    def items(self) -> list[tuple[str, Item]]:
        """All items with their ids, oldest change first."""
        with self._journal.reading() as connection:
            if connection is None:
                return []
            rows = connection.execute("SELECT id, kind, body FROM items ORDER BY change, id").fetchall()
        return [(identity, from_body(kind, body)) for identity, kind, body in rows]

    def changes(self, limit: int = 200) -> list[Change]:
        """The latest changes, newest first."""
        with self._journal.reading() as connection:
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT batch, at, who, why, item, before IS NULL, after IS NULL, undoes FROM changes "
                "ORDER BY id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [
            Change(b, at, who, why, i, _action(new, gone), u) for b, at, who, why, i, new, gone, u in rows
        ]

    def put(self, items: Iterable[Item], *, who: str = "", why: str = "add") -> list[tuple[str, Action]]:
        """Add items, or replace those of the same name, all or none; returns what became of each."""
        wanted = [(item_id(item), kind_of(item), to_body(item)) for item in items]
        return self._change([(i, kind, _becomes(body)) for i, kind, body in wanted], who, why)

    def remove(self, names: Sequence[str], *, who: str = "", why: str = "remove") -> list[tuple[str, Action]]:
        """Remove items by id or by a name that only one has; UsageError when one is not there."""
        held = self.items()
        doomed = [_find(name, held) for name in names]
        return self._change([(i, kind_of(item), _becomes(None)) for i, item in doomed], who, why)

    def undo(self, batch: int | None = None, *, who: str = "") -> list[tuple[str, Action]]:
        """Take back the changes of ``batch``, or of the latest that was not taken back yet.

        UsageError when there is none, or when an item was changed again since.
        """
        with self._journal.reading() as connection:
            rows = (
                []
                if connection is None
                else connection.execute(
                    "SELECT batch, item, kind, before, after, undoes FROM changes ORDER BY id DESC"
                ).fetchall()
            )
        undone = {row[5] for row in rows}
        if batch is None:
            batch = next((b for b, *_, undoes in rows if undoes is None and b not in undone), None)
        if batch is None:
            raise UsageError("there is no change to take back")
        mine = [row for row in rows if row[0] == batch]
        if not mine:
            raise UsageError(f"there is no change {batch}; sqlgen knowledge list --history shows them")
        if batch in undone:
            raise UsageError(f"change {batch} was taken back already")

        def back(after: str | None, before: str | None, item: str) -> Callable[[str | None], str | None]:
            def restore(now: str | None) -> str | None:
                if now != after:
                    raise UsageError(f"{item} was changed again after change {batch}; take that back first")
                return before

            return restore

        steps = [(item, kind, back(after, before, item)) for _, item, kind, before, after, _ in mine]
        return self._change(steps, who, f"undo {batch}", undoes=batch)

    def _change(
        self,
        steps: Sequence[tuple[str, str, Callable[[str | None], str | None]]],
        who: str,
        why: str,
        undoes: int | None = None,
    ) -> list[tuple[str, Action]]:
        if not steps:
            return []
        done: list[tuple[str, Action]] = []
        with self._journal.writing() as connection:
            batch = int(connection.execute("SELECT COALESCE(MAX(batch), 0) + 1 FROM changes").fetchone()[0])
            for identity, kind, decide in steps:
                row = connection.execute("SELECT body FROM items WHERE id = ?", (identity,)).fetchone()
                before = None if row is None else str(row[0])
                after = decide(before)
                if before == after:
                    done.append((identity, "unchanged"))
                    continue
                cursor = connection.execute(
                    "INSERT INTO changes (batch, at, who, why, item, kind, before, after, undoes) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (batch, time.time(), who, why, identity, kind, before, after, undoes),
                )
                connection.execute("DELETE FROM items WHERE id = ?", (identity,))
                if after is not None:
                    connection.execute(
                        "INSERT INTO items VALUES (?, ?, ?, ?)", (identity, kind, after, cursor.lastrowid)
                    )
                done.append((identity, _action(before is None, after is None)))
        return done


def _becomes(body: str | None) -> Callable[[str | None], str | None]:
    return lambda _: body


def _action(is_new: bool, is_gone: bool) -> Action:
    return "removed" if is_gone else "added" if is_new else "replaced"


def _find(name: str, held: Sequence[tuple[str, Item]]) -> tuple[str, Item]:
    exact = [pair for pair in held if pair[0] == name]
    found = exact or [pair for pair in held if _name(pair[1]).casefold() == name.strip().casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{name!r} could be {' or '.join(i for i, _ in found)}; give the id")
    raise UsageError(
        f"there is no {json.dumps(name, ensure_ascii=False)}; sqlgen knowledge list shows the ids"
    )


def _name(item: Item) -> str:
    return getattr(item, "name", "") or getattr(item, "question", "")
