"""Questions and schemas as the model reads them, and its output as form tokens.

One encoder for training and for use. The input is::

    [CLS] question pieces [SEP] (table marker, name pieces,
        (column marker, name pieces, (value marker, value pieces)*)*)*

A marker's id tells what it marks: a table, a column of some kind with or without a key, a value.
An output id below ``len(KEYWORDS)`` is a keyword; above, it points at an input position: a marker
stands for its table, column or value, and two question pieces for the span from one to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sqlgen.catalog.naming import Hearer
from sqlgen.types import RetrievedContext, Table

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "COLUMN_MARKS",
    "MAX_INPUT",
    "MAX_QUESTION",
    "TABLE_MARK",
    "Encoded",
    "PieceCache",
    "Slot",
    "encode",
    "form_to_ids",
    "ids_to_form",
    "with_hints",
]

MAX_INPUT = 512
MAX_QUESTION = 160
_HINTS = 2

_CLS, _SEP = 101, 102
TABLE_MARK, _VALUE = 1, 2
_COLUMN = {"text": 3, "number": 6, "date": 9, "bool": 12, "other": 15}
COLUMN_MARKS = range(3, 18)

Slot: TypeAlias = "tuple[str, int] | tuple[str, int, int] | None"


@dataclass(frozen=True, slots=True)
class Encoded:
    """Input ids and, for each position, what pointing at it means (None: not pointable).

    A slot is ("q", start, end) in characters of the question, ("t", table), ("c", table, column)
    or ("v", value), counted as in the context.
    """

    ids: tuple[int, ...]
    slots: tuple[Slot, ...]
    question_end: int


class PieceCache:
    """Word pieces of names, remembered: schemas repeat from question to question."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._pieces: dict[str, tuple[int, ...]] = {}

    def pieces(self, text: str) -> tuple[int, ...]:
        """The ids of ``text`` without special tokens."""
        found = self._pieces.get(text)
        if found is None:
            if len(self._pieces) > 200_000:
                self._pieces.clear()
            found = tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)
            self._pieces[text] = found
        return found


def with_hints(question: str, hints: Sequence[str]) -> str:
    """A question with definitions behind it, two at most, the way the model learned to read them.

    >>> with_hints("How many active customers?", ["active customer: status is 'live'"])
    "How many active customers? | active customer: status is 'live'"
    """
    return " | ".join([question, *hints[:_HINTS]])


def _key_columns(table: Table) -> set[str]:
    return {column for key in table.foreign_keys for column in key.columns}


def encode(question: str, context: RetrievedContext, cache: PieceCache, *, by_name: bool = True) -> Encoded:
    """The model's input for ``question`` over ``context``, at most MAX_INPUT positions.

    Whatever does not fit is left out whole, last tables first; retrieval's budget makes that rare.
    Tables stand in the order of their names, so that engines whose retrieval scores differ agree;
    ``by_name=False`` keeps the context's order, for training on shuffled schemas.
    """
    spoken = cache.tokenizer.encode(question, add_special_tokens=False)
    ids = [_CLS, *spoken.ids[:MAX_QUESTION], _SEP]
    slots: list[Slot] = [None, *(("q", s, e) for s, e in spoken.offsets[:MAX_QUESTION]), None]
    question_end = len(ids)
    values: dict[tuple[str, str], list[int]] = {}
    for k, match in enumerate(context.values):
        values.setdefault((match.table, match.column), []).append(k)

    heard = Hearer(question)
    blocks: dict[int, list[tuple[int, Slot, tuple[int, ...]]]] = {}
    room = MAX_INPUT - len(ids)
    for i, piece in enumerate(context.tables):
        block = _block(i, piece.table, values, context, cache, heard, room)
        if not block:
            break
        blocks[i] = block
        room -= sum(1 + len(pieces) for _, _, pieces in block)
    tables = [piece.table for piece in context.tables]
    order = sorted(blocks, key=lambda i: (tables[i].name.lower(), tables[i].key)) if by_name else list(blocks)
    for i in order:
        for marker, slot, pieces in blocks[i]:
            ids += [marker, *pieces]
            slots += [slot, *[None] * len(pieces)]
    return Encoded(tuple(ids), tuple(slots), question_end)


def _block(
    i: int,
    table: Table,
    values: dict[tuple[str, str], list[int]],
    context: RetrievedContext,
    cache: PieceCache,
    heard: Hearer,
    room: int,
) -> list[tuple[int, Slot, tuple[int, ...]]]:
    """(marker, what it stands for, pieces of its name) of a table, its columns and values, within ``room``."""
    block: list[tuple[int, Slot, tuple[int, ...]]] = []

    def put(marker: int, slot: Slot, text: str) -> bool:
        nonlocal room
        pieces = cache.pieces(text)
        if 1 + len(pieces) > room:
            return False
        block.append((marker, slot, pieces))
        room -= 1 + len(pieces)
        return True

    if not put(TABLE_MARK, ("t", i), heard.name(table.name)):
        return []
    foreign = _key_columns(table)
    for j, column in enumerate(table.columns):
        marker = _COLUMN[column.kind] + (1 if column.primary_key else 2 if column.name in foreign else 0)
        if not put(marker, ("c", i, j), heard.name(column.name)):
            break
        for k in values.get((table.key, column.name), ()):
            put(_VALUE, ("v", k), context.values[k].value)
    return block


def form_to_ids(form: Sequence[str | tuple[str, int] | tuple[str, int, int]], encoded: Encoded) -> list[int]:
    """Output ids, with start and end marks; ValueError when something is not in the input.

    A span becomes two pointers: its first and its last piece.
    """
    from sqlgen.sql.form import KEYWORDS

    keyword = {word: k for k, word in enumerate(KEYWORDS)}
    place = {slot: p for p, slot in enumerate(encoded.slots) if slot is not None and slot[0] != "q"}
    out = [keyword["<s>"]]
    for token in form:
        if isinstance(token, str):
            out.append(keyword[token])
        elif token[0] == "q":
            _, start, end = token  # type: ignore[misc]
            inside = [
                p
                for p, slot in enumerate(encoded.slots[: encoded.question_end])
                if slot is not None and slot[1] < end and slot[2] > start  # type: ignore[misc]
            ]
            if not inside:
                raise ValueError("span outside the input")
            out += [len(KEYWORDS) + inside[0], len(KEYWORDS) + inside[-1]]
        elif token in place:
            out.append(len(KEYWORDS) + place[token])
        else:
            raise ValueError(f"{token!r} is not in the input")
    return [*out, keyword["</s>"]]


def ids_to_form(ids: Sequence[int], encoded: Encoded) -> list[str | tuple[str, int] | tuple[str, int, int]]:
    """Form tokens of output ids (start and end marks dropped); ValueError when malformed."""
    from sqlgen.sql.form import KEYWORDS

    out: list[str | tuple[str, int] | tuple[str, int, int]] = []
    opened: tuple[int, int] | None = None
    for number in ids:
        if number < len(KEYWORDS):
            if opened is not None:
                raise ValueError("span without an end")
            if KEYWORDS[number] not in ("<s>", "</s>"):
                out.append(KEYWORDS[number])
            continue
        slot = encoded.slots[number - len(KEYWORDS)]
        if slot is None:
            raise ValueError("pointer at nothing")
        if slot[0] != "q":
            if opened is not None:
                raise ValueError("span without an end")
            out.append(slot)
        elif opened is None:
            opened = (slot[1], slot[2])  # type: ignore[misc]
        else:
            if slot[2] < opened[1]:  # type: ignore[misc]
                raise ValueError("span ends before it starts")
            out.append(("q", opened[0], slot[2]))  # type: ignore[misc]
            opened = None
    if opened is not None:
        raise ValueError("span without an end")
    return out
