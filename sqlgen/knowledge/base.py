"""All that is known beside the schema: what was given, what a folder holds, what people added; the later counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlgen.errors import UsageError
from sqlgen.knowledge.files import Skipped, document_of, folder_files, read_knowledge
from sqlgen.knowledge.items import Description, Document, Item, ItemKind, Term, Verified, item_id, kind_of
from sqlgen.knowledge.match import Passage, split_document
from sqlgen.knowledge.store import Action, Change, KnowledgeStore
from sqlgen.types import Finding, Rejection

__all__ = ["Entry", "Imported", "Knowledge", "Snapshot"]

_MAX_TEXT = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """An item, its id, and whether it can be removed here (what comes from a folder is removed there)."""

    id: str
    item: Item
    is_stored: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import took over, each id with what became of it, and what it left out and why."""

    taken: tuple[tuple[str, Action], ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What holds for one question."""

    terms: tuple[Term, ...] = ()
    verified: tuple[tuple[str, Verified], ...] = ()
    passages: tuple[Passage, ...] = ()
    descriptions: tuple[Description, ...] = ()


class Knowledge:
    """The knowledge of one database, at ``db.knowledge``. A change holds from the next question on."""

    def __init__(
        self,
        path: Path,
        *,
        judge: Callable[[Item], Rejection | None],
        given: Iterable[Item] = (),
        folder: Path | None = None,
        who: str = "",
    ) -> None:
        self._store = KnowledgeStore(path)
        self._judge = judge
        self._given = tuple(given)
        self._folder = folder
        self._who = who
        self._lock = threading.Lock()
        self._state: tuple[object, ...] | None = None
        self._snapshot = Snapshot()
        self._filed: tuple[tuple[object, ...], list[Item]] | None = None

    def close(self) -> None:
        """Free the file."""
        self._store.close()

    # -- what is known -----------------------------------------------------------------------------

    def entries(self, kind: ItemKind | None = None) -> list[Entry]:
        """All items, or those of one kind; of two with the same id the one that counts."""
        entries = {item_id(item): Entry(item_id(item), item, False) for item in self._outside()}
        entries.update({i: Entry(i, item, True) for i, item in self._store.items()})
        return [e for e in entries.values() if kind is None or kind_of(e.item) == kind]

    def snapshot(self) -> Snapshot:
        """What holds now; made anew only when something changed."""
        with self._lock:
            state = (self._store.version(), self._signature())
            if state != self._state:
                items = [(e.id, e.item) for e in self.entries()]
                self._snapshot = Snapshot(
                    tuple(i for _, i in items if isinstance(i, Term)),
                    tuple((n, i) for n, i in items if isinstance(i, Verified)),
                    tuple(p for _, i in items if isinstance(i, Document) for p in split_document(i)),
                    tuple(i for _, i in items if isinstance(i, Description)),
                )
                self._state = state
            return self._snapshot

    def history(self, limit: int = 200) -> Sequence[Change]:
        """The latest changes, newest first."""
        return self._store.changes(limit)

    # -- changing it -------------------------------------------------------------------------------

    def add_term(
        self,
        name: str,
        definition: str,
        *,
        sql: str = "",
        synonyms: Iterable[str] = (),
        table: str | None = None,
    ) -> str | Rejection:
        """Add a term; ``sql`` is a condition on rows of ``table``, or a query for their keys.

        Returns its id, or why its SQL can't be used.
        """
        return self.add(_checked(Term(name, definition, tuple(synonyms), False, sql, "added", _one(table))))

    def add_metric(
        self,
        name: str,
        sql: str,
        *,
        definition: str = "",
        synonyms: Iterable[str] = (),
        table: str | None = None,
        filters: Iterable[str] = (),
    ) -> str | Rejection:
        """Add a metric: an SQL expression, the table whose rows it counts, and conditions on them."""
        if not sql.strip():
            raise UsageError("a metric needs SQL, an expression such as SUM(orders.total)")
        term = Term(
            name, definition or name, tuple(synonyms), True, sql, "added", _one(table), tuple(filters)
        )
        return self.add(_checked(term))

    def add_document(self, name: str | Path, text: str | None = None) -> str | Rejection:
        """Add a text in Markdown under a name, or the file at a path."""
        document = document_of(Path(name)) if text is None else Document(str(name), text, "added")
        return self.add(_checked(document))

    def add_query(
        self,
        question: str,
        sql: str,
        *,
        wordings: Iterable[str] = (),
        source: str = "added",
        why: str = "add",
    ) -> str | Rejection:
        """Add a verified query: from now on this question is answered by this SQL."""
        return self.add(_checked(Verified(question, sql, tuple(wordings), source)), why=why)

    def add(self, item: Item, *, why: str = "add") -> str | Rejection:
        """Add an item or replace the one of its id; a Rejection says why its SQL can't be used here."""
        refused = self._judge(item)
        if refused is not None:
            return refused
        return self._store.put([item], who=self._who, why=why)[0][0]

    def import_from(self, path: str | Path) -> Imported:
        """Take over a file or a folder, all in one change: see ``sqlgen knowledge import --help``.

        What the database does not have, or refuses, is left out with the reason.
        """
        path = Path(path)
        taken = read_knowledge(path)
        skipped = list(taken.skipped)
        good: dict[str, Item] = {}
        for item in taken.items:
            identity = item_id(item)
            try:
                item = _checked(item)
                refused = self._judge(item)
            except UsageError as error:
                refused = Rejection("", (Finding("knowledge", str(error)),))
            if refused is None:
                good[identity] = item
            else:
                skipped.append(Skipped(identity, "; ".join(f.message for f in refused.findings)))
        done = self._store.put(good.values(), who=self._who, why=f"import {path.name}")
        return Imported(tuple(done), tuple(skipped))

    def remove(self, *names: str) -> list[tuple[str, Action]]:
        """Remove items by id, or by a name that only one has."""
        return self._store.remove(names, who=self._who)

    def undo(self, batch: int | None = None) -> list[tuple[str, Action]]:
        """Take back a change by its number, or the latest."""
        return self._store.undo(batch, who=self._who)

    # -- from outside ------------------------------------------------------------------------------

    def _signature(self) -> tuple[object, ...]:
        if self._folder is None:
            return ()
        stats = [(path, path.stat()) for path in folder_files(self._folder)]
        return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)

    def _outside(self) -> list[Item]:
        if self._folder is None:
            return list(self._given)
        signature = self._signature()
        if self._filed is None or self._filed[0] != signature:
            self._filed = (signature, read_knowledge(self._folder).items)
        return [*self._given, *self._filed[1]]


def _one(table: str | None) -> tuple[str, ...]:
    return (table,) if table else ()


def _checked(item: Item) -> Item:
    """The item with clean texts; UsageError for what is empty or far too long."""
    if isinstance(item, Verified):
        wordings = tuple(w.strip() for w in item.wordings if w.strip())
        item = replace(
            item, question=item.question.strip(), sql=item.sql.strip().rstrip("; \n"), wordings=wordings
        )
        texts = {"question": item.question, "sql": item.sql}
    elif isinstance(item, Term):
        item = replace(item, name=" ".join(item.name.split()), definition=" ".join(item.definition.split()))
        texts = {"name": item.name, "definition": item.definition}
    else:
        texts = (
            {"name": item.name} if isinstance(item, Description) else {"name": item.name, "text": item.text}
        )
    for what, text in texts.items():
        if not text.strip():
            raise UsageError(f"a {kind_of(item)} needs a {what}")
        if len(text) > _MAX_TEXT:
            raise UsageError(f"this {what} has {len(text):,} characters; the limit is {_MAX_TEXT:,}")
    if isinstance(item, Term) and not any(map(str.isalnum, item.name)):
        raise UsageError(f"{item.name!r} holds no word that a question could name")
    return item
