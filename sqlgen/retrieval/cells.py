"""The cells that a question could mean: as spelt, misspelt, or by their initials.

A question's word that no cell holds is corrected to the words of cells that are one letter away (two in long
words). A corrected word alone must be no usual English word, as those are meant as they stand; in a name of
several words ("Untied Kingdom") the others vouch for it. The whole value must be said in any case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product

from sqlgen.catalog.naming import _is_english as is_english
from sqlgen.retrieval.store import IndexStore
from sqlgen.retrieval.values import edits, typo_keys, undoubled

__all__ = ["find_cells"]

_LONG = 8
_ALONE = 5
_CORRECTIONS = 3
_WRONG_WORDS = 2
_WORDS_LOOKED_UP = 40
# Neighbours under one key beyond which a word is no typo of any.
_CROWD = 200


def find_cells(store: IndexStore, normals: Sequence[str], limit: int) -> list[tuple[str, int, str]]:
    """(normal form, column number, value) of cells that these normal forms of a question's n-grams mean.

    The normal form is the one asked for, also where the cell's own differs from it.
    """
    if not store.meta.values:
        return []
    plain = [n for n in normals if not n.endswith("^")]
    rows = store.cells(plain, limit)
    by_initials = {n[:-1]: n for n in normals if n.endswith("^")}
    if by_initials:
        found = store.cells(list(by_initials), limit)
        rows += [(by_initials[n], number, value) for n, number, value in found if value.isupper()]
    hit = {normal for normal, _, _ in rows}
    corrected = _corrected([n for n in plain if n not in hit and not n.startswith("^")], store, hit)
    if corrected:
        for normal, number, value in store.cells(list(corrected), limit):
            rows += [(asked, number, value) for asked in corrected[normal]]
    return rows[:limit]


def _corrected(normals: Sequence[str], store: IndexStore, hit: set[str]) -> dict[str, list[str]]:
    """Normal form of a cell, perhaps -> the normal forms of the question that it may be meant by."""
    said = dict.fromkeys(word for normal in normals for word in normal.split())
    near = _near([word for word in said if word not in hit][:_WORDS_LOOKED_UP], store)
    meant: dict[str, list[str]] = defaultdict(list)
    for normal in normals:
        words = normal.split()
        wrong = sum(word in near for word in words)
        if not 0 < wrong <= _WRONG_WORDS:
            continue
        if len(words) == 1 and (len(words[0]) < _ALONE or is_english(words[0])):
            continue
        for spelling in product(*(near.get(word, [word]) for word in words)):
            meant[" ".join(spelling)].append(normal)
    return meant


def _near(words: Sequence[str], store: IndexStore) -> dict[str, list[str]]:
    """Words that no cell holds -> the words of cells that they may be misspellings of, nearest first."""
    keys = {word: typo_keys(word) for word in words}
    kept: dict[int, list[str]] = defaultdict(list)
    for key, word in store.near_words(sorted({key for some in keys.values() for key in some})):
        kept[key].append(word)
    near: dict[str, list[str]] = {}
    for word, own in keys.items():
        others = {other for key in own for other in kept[key]}
        if not others or word in others or len(others) > _CROWD:
            continue
        most = 2 if len(word) >= _LONG else 1
        ranked = sorted((_distance(word, other, most), other) for other in others)
        least = ranked[0][0]
        if least <= most:
            near[word] = [other for distance, other in ranked if distance == least][:_CORRECTIONS]
    return near


def _distance(word: str, other: str, most: int) -> int:
    """Edits, where doubled letters written once cost one edit in all."""
    return min(edits(word, other, most), 1 + edits(undoubled(word), undoubled(other), most - 1))
