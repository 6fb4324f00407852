"""The model's input and output ids."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from sqlgen.generation.embedded import shipped_path
from sqlgen.generation.encode import MAX_INPUT, MAX_QUESTION, PieceCache, encode, form_to_ids, ids_to_form
from sqlgen.sql.form import KEYWORDS
from sqlgen.types import Column, RetrievedContext, Table, TableSlice, ValueMatch

PETS = Table(
    "petOwners",
    (Column("ownerId", "INT", "number", primary_key=True), Column("city_name", "TEXT", "text")),
)
CONTEXT = RetrievedContext(
    (TableSlice(PETS, 1.0, ""),), (ValueMatch("petOwners", "city_name", "New York", 14, 22),)
)


@pytest.fixture(scope="module")
def cache() -> PieceCache:
    tokenizer = Tokenizer.from_file(str(shipped_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return PieceCache(tokenizer)


def test_layout(cache: PieceCache) -> None:
    encoded = encode("how many in New York", CONTEXT, cache)
    words = [cache.tokenizer.id_to_token(i) for i in encoded.ids]
    assert words[:7] == ["[CLS]", "how", "many", "in", "new", "york", "[SEP]"]
    marks = [slot for slot in encoded.slots[encoded.question_end :] if slot]
    assert marks == [("t", 0), ("c", 0, 0), ("c", 0, 1), ("v", 0)]
    at = encoded.slots.index(("t", 0))
    assert words[at + 1 : at + 3] == ["pet", "owners"]


def test_markers_tell_kind_and_key(cache: PieceCache) -> None:
    encoded = encode("q", CONTEXT, cache)
    number, text = (encoded.ids[encoded.slots.index(("c", 0, j))] for j in (0, 1))
    assert number != text


def test_form_round_trip(cache: PieceCache) -> None:
    question = "how many in New York above 12,500?"
    encoded = encode(question, CONTEXT, cache)
    start = question.index("12,500")
    form = ["select", "count", "*", "where", ("c", 0, 1), "=", ("v", 0), "and", ("c", 0, 0), ">",
            ("q", start, start + 6)]  # fmt: skip
    ids = form_to_ids(form, encoded)
    assert ids_to_form(ids, encoded) == form


def test_malformed_output_is_refused(cache: PieceCache) -> None:
    encoded = encode("how many", CONTEXT, cache)
    for bad in ([len(KEYWORDS) + 1], [len(KEYWORDS) + 2, len(KEYWORDS) + 1], [len(KEYWORDS)]):
        with pytest.raises(ValueError):  # noqa: PT011
            ids_to_form(bad, encoded)
    with pytest.raises(ValueError, match="not in the input"):
        form_to_ids(["select", ("c", 3, 0)], encoded)


def test_bounds(cache: PieceCache) -> None:
    wide = Table("t", tuple(Column(f"some long column name {i}", "TEXT", "text") for i in range(400)))
    encoded = encode("word " * 500, RetrievedContext((TableSlice(wide, 1.0, ""),)), cache)
    assert encoded.question_end == MAX_QUESTION + 2
    assert len(encoded.ids) <= MAX_INPUT
    assert len(encoded.ids) == len(encoded.slots)
