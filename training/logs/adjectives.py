"""What English calls much and little of a measure: a good restaurant, long rivers, the longest of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlgen.catalog import natural_name
from sqlgen.types import Column, Table

__all__ = ["Adjectives", "adjectives_of", "superlatives_of"]


@dataclass(frozen=True, slots=True)
class Adjectives:
    """Words for rows by a measure that they have much or little of.

    ``much`` and ``little`` need their noun (a big city), those ``alone`` don't (something good). ``most`` and ``least``
    are the superlatives.
    """

    much: tuple[str, ...] = ()
    little: tuple[str, ...] = ()
    much_alone: tuple[str, ...] = ()
    little_alone: tuple[str, ...] = ()
    most: tuple[str, ...] = ()
    least: tuple[str, ...] = ()


# A measure's last word; what an earlier one of the same table is called, a later one is not.
_MEASURES: tuple[tuple[str, Adjectives], ...] = (
    (
        "area|size|capacity",
        Adjectives(("big", "large", "major"), ("small",), most=("largest", "biggest"), least=("smallest",)),
    ),
    (
        "population|inhabitants|residents",
        Adjectives(
            ("major", "big", "large"), ("minor", "small"),
            most=("largest", "biggest", "most populous"), least=("smallest", "least populous"),
        ),
    ),
    (
        "rating|score|stars|grade",
        Adjectives(
            much_alone=("good", "well rated", "top rated"), little_alone=("bad", "poorly rated"),
            most=("best", "highest rated"), least=("worst", "lowest rated"),
        ),
    ),
    (
        "price|cost|fee|rent",
        Adjectives(
            much_alone=("expensive",), little_alone=("cheap", "inexpensive"),
            most=("most expensive",), least=("cheapest", "least expensive"),
        ),
    ),
    (
        "length|distance|duration",
        Adjectives(("long", "major"), ("short",), most=("longest",), least=("shortest",)),
    ),
    (
        "height|elevation|altitude",
        Adjectives(("tall", "high"), ("low",), most=("highest", "tallest"), least=("lowest",)),
    ),
    ("depth", Adjectives(("deep",), ("shallow",), most=("deepest",), least=("shallowest",))),
    ("weight|mass", Adjectives(("heavy",), ("light",), most=("heaviest",), least=("lightest",))),
    (
        "salary|wage|income",
        Adjectives(
            much_alone=("well paid",), little_alone=("badly paid",),
            most=("best paid", "highest paid"), least=("worst paid", "lowest paid"),
        ),
    ),
    ("speed|velocity", Adjectives(("fast",), ("slow",), most=("fastest",), least=("slowest",))),
    ("age", Adjectives(("old",), ("young",), most=("oldest",), least=("youngest",))),
    ("birth date|date of birth|birthday|birth year", Adjectives(most=("youngest",), least=("oldest",))),
)  # fmt: skip
_DATED = Adjectives(most=("latest", "most recent"), least=("earliest", "first"))
_ALL = (*(words for _, words in _MEASURES), _DATED)
_BOUND = re.compile(r"\b(min|max|minimum|maximum|lowest|highest)\b")


def adjectives_of(column: str) -> Adjectives | None:
    """The words for a column of this name; None where English has none.

    >>> adjectives_of("unit_price").most
    ('most expensive',)
    """
    place = _measure(natural_name(column).lower())
    return None if place is None else _ALL[place]


def _measure(name: str) -> int | None:
    """Which measure a natural name stands for."""
    if _BOUND.search(name):
        return None
    return next(
        (n for n, (pattern, _) in enumerate(_MEASURES) if re.search(rf"\b(?:{pattern})$", name)), None
    )


def superlatives_of(table: Table, column: Column, most: bool) -> tuple[str, ...]:
    """What the row with the most (or least) in a column is called; no word that another column has a better claim to.

    >>> columns = Column("area", "REAL", "number"), Column("population", "INT", "number")
    >>> state, city = Table("state", columns), Table("city", columns[1:])
    >>> superlatives_of(state, columns[1], True), superlatives_of(city, columns[1], True)
    (('most populous',), ('largest', 'biggest', 'most populous'))
    """

    def place_of(one: Column) -> int | None:
        place = _measure(natural_name(one.name).lower())
        return len(_MEASURES) if place is None and one.kind == "date" else place

    place = place_of(column)
    if place is None:
        return ()
    others = [p for c in table.columns if c != column and (p := place_of(c)) is not None and p <= place]
    taken = {word for p in others for word in (_ALL[p].most if most else _ALL[p].least)}
    return tuple(word for word in (_ALL[place].most if most else _ALL[place].least) if word not in taken)
