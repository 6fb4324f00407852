"""Names of tables and columns as other people would have written them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from sqlgen.catalog.naming import natural_name, short_forms
from sqlgen.training.synonyms import synonyms_of
from sqlgen.types import Table

__all__ = ["Renaming", "abbreviate", "apply_renaming", "rename_tables"]

_TABLE_PREFIXES = ("tbl_", "t_", "tbl", "dim_", "fact_", "stg_", "app_", "v_", "m_", "x_")
_TABLE_SUFFIXES = ("_tbl", "_data", "_info", "_tab", "_t", "_list", "_records", "_master", "_1", "_2", "2")
_COLUMN_SUFFIXES = ("_1", "1", "_col", "_fld", "_val", "_2", "_x")


@dataclass(frozen=True, slots=True)
class Renaming:
    """New names: of tables by key, of columns by (table key, name). What is missing keeps its name."""

    tables: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[tuple[str, str], str] = field(default_factory=dict)


@lru_cache(maxsize=50_000)
def _shorter(word: str) -> tuple[str, ...]:
    """The ways to shorten a word, the usual ones first; none for a short word."""
    listed = short_forms()
    found = list(listed.get(word, ()))
    stem = word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else ""
    if not found and stem in listed:
        found = [f"{short}s" for short in listed[stem]]
    if len(word) >= 5 and word.isascii() and word.isalpha():
        bare = word[0] + re.sub(r"[aeiou]", "", word[1:])
        if 2 < len(bare) < len(word):
            found += [bare, re.sub(r"(.)\1", r"\1", bare)[:4]]
        if len(word) >= 6:
            found += [word[:4], word[:3]]
    return tuple(dict.fromkeys(f for f in found if f))


def abbreviate(word: str, rng: random.Random) -> str:
    """A shorter spelling of a word, or the word where it has none.

    >>> abbreviate("quantity", random.Random(1)) != "quantity", abbreviate("age", random.Random(1))
    (True, 'age')
    """
    ways = _shorter(word)
    if not ways:
        return word
    # The usual way three times in four.
    return ways[0] if rng.random() < 0.5 else rng.choice(ways[:3] if rng.random() < 0.5 else ways)


def _title(words: Sequence[str]) -> str:
    return "".join(w[:1].upper() + w[1:] for w in words)


_STYLES: tuple[tuple[float, Callable[[Sequence[str]], str]], ...] = (
    (0.40, "_".join),
    (0.14, lambda w: w[0] + _title(w[1:])),
    (0.16, _title),
    (0.14, lambda w: "_".join(w).upper()),
    (0.08, "".join),
    (0.05, lambda w: "".join(w).upper()),
    (0.03, " ".join),
)


class _Namer:
    """The habits of one invented author: what is drawn once holds for the whole schema."""

    def __init__(
        self,
        rng: random.Random,
        *,
        abbreviations: float,
        synonyms: float,
        affixes: float,
        avoid: frozenset[str],
    ) -> None:
        self.rng = rng
        self.abbreviations = abbreviations
        self.synonyms = synonyms
        self.avoid = avoid
        self.words: dict[str, list[str]] = {}
        self.given: set[str] = set()
        draw = rng.random
        self.initials = abbreviations > 0 and draw() < 0.5
        self.style = (
            rng.choices([s for _, s in _STYLES], [w for w, _ in _STYLES])[0] if draw() < 0.5 else None
        )
        self.prefix = rng.choice(_TABLE_PREFIXES) if draw() < affixes else ""
        self.suffix = rng.choice(_TABLE_SUFFIXES) if not self.prefix and draw() < 0.4 * affixes else ""
        self.own_prefix = draw() < 0.5 * affixes
        self.strip = not self.own_prefix and draw() < affixes
        self.numbered = 0.15 * affixes

    def word(self, word: str) -> list[str]:
        found = self.words.get(word)
        if found is None:
            found = [word]
            if self.synonyms and self.rng.random() < self.synonyms:
                found = self.synonym(word).split()
            if self.abbreviations:
                found = [
                    abbreviate(w, self.rng) if self.rng.random() < self.abbreviations else w for w in found
                ]
            self.words[word] = found
        return found

    def synonym(self, word: str) -> str:
        """Another word that no other name of the schema says."""
        plural = len(word) > 3 and word.endswith("s") and not synonyms_of(word)
        others = [o for o in synonyms_of(word[:-1] if plural else word) if o not in self.avoid | self.given]
        if not others:
            return word
        other = others[0] if self.rng.random() < 0.5 else self.rng.choice(others)
        self.given.add(other)
        return other + "s" if plural and not other.endswith("s") else other

    def spell(self, words: list[str], original: str) -> str:
        """A name of ``words`` in the author's style, or in that of the original."""
        if not words:
            return original
        if self.style is not None:
            return self.style(words)
        if "_" in original:
            text = "_".join(words)
            return text.upper() if original.isupper() else text
        if " " in original:
            return " ".join(words)
        if original.isupper():
            return "".join(words).upper()
        if not original.islower():
            return _title(words) if original[:1].isupper() else words[0] + _title(words[1:])
        return "_".join(words)

    def table(self, name: str) -> tuple[str, list[str]]:
        words = [new for word in natural_name(name).split() for new in self.word(word)]
        return self.prefix + self.spell(words, name) + self.suffix, words

    def column(self, name: str, owner: str, owned: Sequence[str]) -> str:
        said = natural_name(name)
        if self.initials and " " in said and said in short_forms() and self.rng.random() < self.abbreviations:
            return self.spell([short_forms()[said][0]], name)
        old = said.split()
        if self.strip and len(old) > 1 and old[0] in (owner, owner.rstrip("s")) and self.rng.random() < 0.8:
            old = old[1:]
        words = [new for word in old for new in self.word(word)]
        if (
            self.own_prefix
            and owned
            and words[0].rstrip("s") not in (owned[0].rstrip("s"), owner.rstrip("s"))
        ):
            words = [owned[0].rstrip("s") if len(owned[0]) > 3 else owned[0], *words]
        elif self.initials and len(old) > 2 and self.rng.random() < 0.12:
            words = ["".join(w[0] for w in old)]
        text = self.spell(words, name)
        return text + self.rng.choice(_COLUMN_SUFFIXES) if self.rng.random() < self.numbered else text


def rename_tables(
    tables: Sequence[Table],
    rng: random.Random,
    *,
    abbreviations: float = 0.0,
    synonyms: float = 0.0,
    affixes: float = 0.0,
) -> Renaming:
    """New names for all tables and columns; two things never get one name.

    ``abbreviations`` and ``synonyms`` are the shares of the words of names that change, ``affixes``
    is the chance of each habit such as ``tbl_`` before every table.
    """
    said = frozenset(
        part
        for table in tables
        for name in (table.name, *(c.name for c in table.columns))
        for word in natural_name(name).split()
        for part in (word, word.rstrip("s"))
    )
    namer = _Namer(rng, abbreviations=abbreviations, synonyms=synonyms, affixes=affixes, avoid=said)
    renamed: dict[str, str] = {}
    columns: dict[tuple[str, str], str] = {}
    # An old name may come back only on what had it, so that nobody takes one thing for another.
    taken = {t.name.lower() for t in tables}
    for table in tables:
        new, words = namer.table(table.name)
        if new.lower() == table.name.lower() or new.lower() not in taken:
            taken.add(new.lower())
            renamed[table.key] = new
        own = {c.name.lower() for c in table.columns}
        owner = natural_name(table.name)
        for column in table.columns:
            fresh = namer.column(column.name, owner, words)
            if fresh.lower() == column.name.lower() or fresh.lower() not in own:
                own.add(fresh.lower())
                columns[table.key, column.name] = fresh
    return Renaming(renamed, columns)


def apply_renaming(tables: Sequence[Table], renaming: Renaming) -> tuple[Table, ...]:
    """The tables under their new names, foreign keys on both sides included."""
    keys = {t.key: (f"{t.schema}." if t.schema else "") + renaming.tables.get(t.key, t.name) for t in tables}
    names = renaming.columns
    found = []
    for table in tables:
        key = table.key
        columns = tuple(
            replace(c, name=new) if (new := names.get((key, c.name), c.name)) != c.name else c
            for c in table.columns
        )
        foreign = tuple(
            replace(
                k,
                columns=tuple(names.get((key, c), c) for c in k.columns),
                target=keys.get(k.target, k.target),
                target_columns=tuple(names.get((k.target, c), c) for c in k.target_columns),
            )
            for k in table.foreign_keys
        )
        name = renaming.tables.get(key, table.name)
        found.append(replace(table, name=name, columns=columns, foreign_keys=foreign))
    return tuple(found)
