"""What an index holds, whatever keeps it: the searches, and how a catalog becomes rows.

Two stores keep it: a SQLite file (``sqlite_store``) and a PostgreSQL database that servers share
(``postgres_store``). Both hold

- documents: names, comments and sampled values of tables and columns, found by their words;
- cells: normal form of a value -> column, original spelling; and keys under which misspelt words are found;
- vectors of tables and columns, where an embedder was given;
- slots: which table has which numbers, with a digest of what the index took from it.

Numbers are given once and never again: a table that changed gets new ones, what stood under the old ones is
dead until the next build as a whole. So a reader that still holds the old slots reads what it always read.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from sqlgen.catalog.naming import natural_name
from sqlgen.errors import DatabaseError
from sqlgen.retrieval.embedder import Embedder
from sqlgen.retrieval.values import MAX_VALUE_CHARS, initials_of, normalise_value, typo_keys
from sqlgen.types import Catalog, Column, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "COLUMN_COMMENT",
    "COLUMN_NAME",
    "COLUMN_VALUES",
    "DEFAULT_BUDGET",
    "FORMAT_VERSION",
    "SCHEMA_NAME",
    "TABLE_COMMENT",
    "TABLE_NAME",
    "BrokenStore",
    "Budget",
    "IndexStore",
    "Meta",
    "Plan",
    "Progress",
    "Slot",
    "Source",
    "Store",
    "Values",
    "Writer",
    "build",
    "can_update",
    "plan_update",
    "serves",
    "slot_key",
    "table_digests",
    "update",
]

Progress = Callable[[int, int, str], None]
Values = Callable[[Table, Column, int], Iterable[str]]

FORMAT_VERSION: Final = 2
TABLE_NAME, TABLE_COMMENT, SCHEMA_NAME, COLUMN_NAME, COLUMN_COMMENT, COLUMN_VALUES = range(6)

_COMMENT_CHARS = 1000
_SAMPLE_VALUES = 50
_SAMPLE_CHARS = 2000
_VECTOR_VALUES = 4
_EMBED_BATCH = 2048
_CELL_BATCH = 5000
# Beyond this many distinct values of a column, initials say too little.
_INITIALS_VALUES = 2000
# A build as a whole costs less than an update of so much, and leaves nothing dead.
_UPDATE_SHARE = 0.3
_DEAD_SHARE = 0.25
_DEAD_COLUMNS = 1000


class BrokenStore(Exception):
    """An open index can no longer be read: opened again, it may be."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a build may take from the database: distinct values per column, and in all.

    When the columns together would pass ``total_values``, each gets its share of what is left.
    ``typo_words`` is the number of distinct words for which misspellings are recognised.
    """

    column_values: int = 20_000
    total_values: int = 2_000_000
    typo_words: int = 200_000


DEFAULT_BUDGET: Final = Budget()


@dataclass(frozen=True, slots=True)
class Meta:
    """What an index says about itself.

    ``content`` digests the catalog that it holds; ``scope`` names what may enter it (policy, columns opted
    out); ``next_table`` and ``next_column`` are the first numbers that were never given.
    """

    format_version: int
    fingerprint: str
    content: str
    scope: str
    embedder: str
    values_read: bool
    tables: int
    columns: int
    values: int
    built_at: str
    next_table: int
    next_column: int

    @classmethod
    def read(cls, raw: Mapping[str, str]) -> Meta:
        """From texts by name; KeyError or ValueError when something is missing or no number."""
        return cls(
            format_version=int(raw["format_version"]),
            fingerprint=raw["fingerprint"],
            content=raw["content"],
            scope=raw["scope"],
            embedder=raw["embedder"],
            values_read=raw["values_read"] == "1",
            tables=int(raw["tables"]),
            columns=int(raw["columns"]),
            values=int(raw["values"]),
            built_at=raw["built_at"],
            next_table=int(raw["next_table"]),
            next_column=int(raw["next_column"]),
        )


@dataclass(frozen=True, slots=True)
class Slot:
    """The numbers of one table: its own, and those of its columns from ``first_column`` on."""

    key: str
    digest: bytes
    number: int
    first_column: int
    columns: int
    values: int


class Store(Protocol):
    """The searches that ranking is made of. Safe between threads."""

    def search(self, words: Sequence[str], limit: int) -> list[list[tuple[int, int]]]:
        """For each word the (kind, number) of the texts that hold it or its inflections, by kind and number.

        A word brings at most ``limit`` texts. Words are letters and digits; none is read as an operator.
        """
        ...

    def search_columns(self, word: str, first: int, last: int) -> list[int]:
        """The numbers of the columns from ``first`` to ``last`` whose names hold ``word``."""
        ...

    def cells(self, normals: Sequence[str], limit: int) -> list[tuple[str, int, str]]:
        """(normal form, column number, value) of cells with one of these normal forms, at most ``limit``."""
        ...


class IndexStore(Store, Protocol):
    """An index that is kept somewhere: ``place`` is a path, or a URL without its password; None in memory."""

    meta: Meta
    place: str | None
    size_bytes: int

    def slots(self) -> list[Slot]:
        """The tables that are there, in no order."""
        ...

    def near_words(self, keys: Sequence[int]) -> list[tuple[int, str]]:
        """(key, word) for the words of cells that are kept under one of these keys (``values.typo_keys``)."""
        ...

    def vectors(self, kind: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers, shape (n,), and vectors, shape (n, d), of tables (TABLE_NAME) or columns (COLUMN_NAME)."""
        ...

    def close(self) -> None:
        """Give back all connections. Closing twice is fine."""
        ...


class Writer(Protocol):
    """Takes the rows of an index in; nothing is to be seen before all are there."""

    def add_docs(self, docs: Sequence[tuple[int, int, str]]) -> None:
        """Texts as (kind, number, text), by kind and number."""
        ...

    def add_cells(self, cells: Sequence[tuple[str, int, str]]) -> None:
        """Values as (normal form, column number, value)."""
        ...

    def add_words(self, keys: Sequence[tuple[int, str]]) -> None:
        """Words of cells under their keys; what is there already is left."""
        ...

    def add_vectors(self, kind: int, first: int, rows: NDArray[np.float32]) -> None:
        """Vectors of tables or columns, numbered from ``first`` on."""
        ...

    def put_slots(self, slots: Sequence[Slot], gone: Sequence[str]) -> None:
        """The slots of tables that are new or changed, in place of older ones; and keys of tables gone."""
        ...

    def put_meta(self, meta: Mapping[str, str]) -> None:
        """All that ``Meta.read`` needs, in place of what was there."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """What an index is made from. ``warn`` is told what could not be read."""

    catalog: Catalog
    values: Values | None
    embedder: Embedder | None
    budget: Budget
    scope: str
    progress: Progress | None
    warn: Callable[[str], None]
    digests: Mapping[str, bytes]
    """Of each table of the catalog, by its slot key (``table_digests``)."""

    @property
    def content(self) -> str:
        """A digest of all that the index takes from the catalog, sampled values apart."""
        return hashlib.blake2b(b"".join(self.digests.values()), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Plan:
    """How an index becomes that of a new catalog: tables to write, keys that go, slots that stay."""

    write: tuple[Table, ...]
    gone: tuple[str, ...]
    kept: tuple[Slot, ...]


def table_digests(catalog: Catalog) -> dict[str, bytes]:
    """For each table, by its slot key, a digest of all that the index takes from it, sampled values apart.

    >>> a = Catalog("sqlite", (Table("t", (Column("a", "TEXT", "text"),)),))
    >>> b = Catalog("sqlite", (Table("t", (Column("b", "TEXT", "text"),)),))
    >>> table_digests(a) == table_digests(a), table_digests(a) == table_digests(b)
    (True, False)
    """
    digests = {}
    for table in catalog.tables:
        columns = [(c.name, c.kind, c.comment) for c in table.columns]
        text = repr((table.key, table.schema, table.name, table.comment, columns))
        raw = text.encode("utf-8", "backslashreplace")
        digests[slot_key(table)] = hashlib.blake2b(raw, digest_size=16).digest()
    return digests


def serves(meta: Meta, source: Source) -> bool:
    """Whether an index is that of ``source`` as it stands."""
    return (
        meta.scope == source.scope
        and meta.content == source.content
        and meta.fingerprint == _clean(source.catalog.fingerprint)
        and (source.embedder is None or meta.embedder == source.embedder.id)
        and (source.values is None or meta.values_read)
    )


def can_update(meta: Meta, source: Source) -> bool:
    """Whether what an index holds of unchanged tables is what a build would write."""
    embedder = "" if source.embedder is None else source.embedder.id
    return (meta.scope, meta.embedder, meta.values_read) == (
        source.scope,
        embedder,
        source.values is not None,
    )


def slot_key(table: Table) -> str:
    """The key of a table as text that any store takes: no lone surrogate, no NUL."""
    return table.key.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def plan_update(slots: Iterable[Slot], meta: Meta, source: Source) -> Plan | None:
    """What to write so that the index holds the catalog of ``source``; None when a build as a whole is better.

    A renamed table is one that went and one that came.
    """
    before = {slot.key: slot for slot in slots}
    tables = source.catalog.tables
    write, kept = [], []
    for table, (key, digest) in zip(tables, source.digests.items(), strict=True):
        slot = before.pop(key, None)
        if slot is not None and slot.digest == digest:
            kept.append(slot)
        else:
            write.append(table)
    live = sum(len(table.columns) for table in tables)
    added = sum(len(table.columns) for table in write)
    dead = meta.next_column + added - live
    if added > _UPDATE_SHARE * live or dead > max(_DEAD_COLUMNS, _DEAD_SHARE * live):
        return None
    return Plan(tuple(write), tuple(before), tuple(kept))


def build(writer: Writer, source: Source) -> None:
    """Write the whole index of ``source`` into an empty store."""
    tables = source.catalog.tables
    with _reading(source.values):
        slots = _write_tables(writer, source, tables, 0, 0, source.budget.total_values)
    writer.put_slots(slots, ())
    writer.put_meta(_meta(source, slots, slots))
    if source.progress:
        source.progress(len(tables) + 1, len(tables) + 1, "done")


def update(writer: Writer, source: Source, plan: Plan, meta: Meta) -> None:
    """Bring an index that ``plan`` was made for up to date."""
    used = sum(slot.values for slot in plan.kept)
    left = max(0, source.budget.total_values - used)
    with _reading(source.values):
        slots = _write_tables(writer, source, plan.write, meta.next_table, meta.next_column, left)
    writer.put_slots(slots, plan.gone)
    writer.put_meta(_meta(source, [*plan.kept, *slots], slots, meta))
    if source.progress:
        source.progress(len(plan.write) + 1, len(plan.write) + 1, "done")


def _reading(values: Values | None) -> AbstractContextManager[object]:
    """Values that keep a connection open do so while the tables are read."""
    return values if isinstance(values, AbstractContextManager) else nullcontext()


def _meta(
    source: Source, slots: Sequence[Slot], new: Sequence[Slot], before: Meta | None = None
) -> dict[str, str]:
    next_table = (0 if before is None else before.next_table) + len(new)
    next_column = (0 if before is None else before.next_column) + sum(s.columns for s in new)
    return {
        "format_version": str(FORMAT_VERSION),
        "fingerprint": _clean(source.catalog.fingerprint),
        "content": source.content,
        "scope": source.scope,
        "embedder": source.embedder.id if source.embedder else "",
        "values_read": str(int(source.values is not None)),
        "tables": str(len(slots)),
        "columns": str(sum(s.columns for s in slots)),
        "values": str(sum(s.values for s in slots)),
        "built_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "next_table": str(next_table),
        "next_column": str(next_column),
    }


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")


def _column_values(table: Table, column: Column, source: Source, limit: int) -> list[str]:
    """Distinct values worth a lookup, at most ``limit``; a column that cannot be read gives what it gave."""
    kept: list[str] = []
    values = source.values
    try:
        found = (
            values(table, column, limit) if values is not None and column.kind == "text" else column.values
        )
        for value in islice(found, limit):
            if isinstance(value, str) and 0 < len(value) <= MAX_VALUE_CHARS:
                kept.append(value)
    except DatabaseError as error:
        source.warn(f"values of {table.key}.{column.name} were not all read: {error}")
    return kept


class _Words:
    """The words of cells under the keys of their misspellings, up to a budget of words."""

    def __init__(self, writer: Writer, budget: int) -> None:
        self._writer = writer
        self._left = budget
        self._seen: set[str] = set()
        self._rows: list[tuple[int, str]] = []

    def add(self, normal: str) -> None:
        for word in normal.split():
            if word in self._seen or self._left <= 0:
                continue
            keys = typo_keys(word)
            if keys:
                self._seen.add(word)
                self._left -= 1
                self._rows += [(key, word) for key in keys]

    def flush(self) -> None:
        # By key: an index on them takes sorted rows fastest.
        self._writer.add_words(sorted(self._rows))


def _write_tables(
    writer: Writer, source: Source, tables: Sequence[Table], number: int, column_number: int, values_left: int
) -> list[Slot]:
    total = len(tables) + 1
    budget, embedder = source.budget, source.embedder
    text_columns_left = sum(c.kind == "text" for t in tables for c in t.columns)
    first_table, first_column = number, column_number
    table_texts: list[str] = []
    column_texts: list[str] = []
    docs: list[tuple[int, int, str]] = []
    cells: list[tuple[str, int, str]] = []
    words = _Words(writer, budget.typo_words)
    slots: list[Slot] = []
    for done, table in enumerate(tables):
        if source.progress:
            source.progress(done, total, table.key)
        name = _clean(natural_name(table.name))
        schema = _clean(natural_name(table.schema)) if table.schema else ""
        comment = _clean(table.comment[:_COMMENT_CHARS])
        docs += [(TABLE_NAME, number, name), (TABLE_COMMENT, number, comment), (SCHEMA_NAME, number, schema)]
        names = []
        slot_start, slot_values = column_number, 0
        for column in table.columns:
            column_name = _clean(natural_name(column.name))
            column_comment = _clean(column.comment[:_COMMENT_CHARS])
            limit = budget.column_values
            if column.kind == "text":
                limit = min(limit, max(_SAMPLE_VALUES, values_left // max(1, text_columns_left)))
                text_columns_left -= 1
            sample: list[str] = []
            sample_chars = kept = 0
            initials: dict[str, str] = {}
            values = _column_values(table, column, source, limit)
            for value in values:
                clean = _clean(value)
                if len(sample) < _SAMPLE_VALUES and sample_chars < _SAMPLE_CHARS:
                    sample.append(clean)
                    sample_chars += len(clean)
                normal = normalise_value(clean)
                # A value that does not survive the cleaning could not be found by its text again.
                if normal and clean == value:
                    cells.append((normal, column_number, value))
                    kept += 1
                    words.add(normal)
                    if len(values) <= _INITIALS_VALUES and (short := initials_of(value)):
                        # Initials that two values share mean neither.
                        initials[short] = "" if short in initials else value
            cells += [(short, column_number, value) for short, value in initials.items() if value]
            if len(cells) >= _CELL_BATCH:
                writer.add_cells(cells)
                cells = []
            slot_values += kept
            values_left = max(0, values_left - kept)
            docs += [
                (COLUMN_NAME, column_number, column_name),
                (COLUMN_COMMENT, column_number, column_comment),
                (COLUMN_VALUES, column_number, " ".join(sample)),
            ]
            if embedder:
                shown = " ".join(sample[:_VECTOR_VALUES])
                column_texts.append(f"{name} {column_name} {column_comment} {shown}".strip())
                names.append(column_name)
            column_number += 1
        if embedder:
            table_texts.append(f"{name} {comment} {' '.join(names)}".strip())
        key = slot_key(table)
        slots.append(Slot(key, source.digests[key], number, slot_start, len(table.columns), slot_values))
        number += 1
    if source.progress:
        source.progress(total - 1, total, "writing the index")
    writer.add_cells(cells)
    words.flush()
    # A full-text index takes rows fastest in the order of their ids: kind by kind.
    writer.add_docs(sorted((doc for doc in docs if doc[2]), key=lambda doc: doc[:2]))
    if embedder:
        for kind, first, texts in (
            (TABLE_NAME, first_table, table_texts),
            (COLUMN_NAME, first_column, column_texts),
        ):
            _add_vectors(writer, kind, first, texts, embedder)
    return slots


def _add_vectors(writer: Writer, kind: int, first: int, texts: Sequence[str], embedder: Embedder) -> None:
    import numpy as np

    for start in range(0, len(texts), _EMBED_BATCH):
        rows = np.asarray(embedder.embed(texts[start : start + _EMBED_BATCH]), dtype=np.float32)
        writer.add_vectors(kind, first + start, rows)
