"""Cells that a question means: normal forms, question n-grams, and the choice among hits.

Training, the index and the run time share these functions, so that the model is trained on
exactly the value matches that it sees in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sqlgen.retrieval.demonyms import COUNTRIES
from sqlgen.types import ValueMatch

__all__ = ["MAX_VALUE_CHARS", "MAX_VALUE_WORDS", "choose_matches", "normalise_value", "question_ngrams"]

MAX_VALUE_CHARS = 64
MAX_VALUE_WORDS = 7

_WORD = re.compile(r"[^\W_]+(?:[.'’&@+#][^\W_]+)*")
_STOP = frozenset(
    "a an the of in on at to for by from with and or not is are was were be has have had do does did "
    "what which who whom whose when where how many much all each every any some no than more less most "
    "least show list find give return tell me us i you it its that this these those name names number "
    "total count average sum maximum minimum max min order".split()
)


def _words(text: str) -> list[tuple[str, int, int]]:
    return [(m.group().replace("’", "'"), m.start(), m.end()) for m in _WORD.finditer(text.lower())]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ses", "xes", "zes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _possessive(word: str) -> str:
    return word[:-2] if word.endswith("'s") else word


def normalise_value(text: str) -> str:
    """The form under which a cell is looked up; '' when the text is no candidate.

    >>> normalise_value("  United-States "), normalise_value("Electronics"), normalise_value("x" * 99)
    ('united state', 'electronic', '')
    """
    if len(text) > MAX_VALUE_CHARS:
        return ""
    words = [_singular(_possessive(w)) for w, _, _ in _words(text)]
    return "" if len(words) > MAX_VALUE_WORDS else " ".join(words)


def question_ngrams(question: str) -> list[tuple[str, int, int]]:
    """All (normal form, start, end) that a cell could match, longest first.

    Where a question says a country's adjective or short name, the country's names come before all.

    >>> question_ngrams("in Paris")[0], question_ngrams("Italian wines")[0]
    (('in paris', 0, 8), ('italy', 0, 7))
    """
    spoken = _words(question)
    words = [(_singular(_possessive(w)), s, e) for w, s, e in spoken]
    grams = [
        (normalise_value(name), part[0][1], part[-1][2])
        for size in (2, 1)
        for i in range(len(spoken) - size + 1)
        for part in (spoken[i : i + size],)
        for name in COUNTRIES.get(" ".join(w for w, _, _ in part), ())
    ]
    for size in range(min(MAX_VALUE_WORDS, len(words)), 0, -1):
        for i in range(len(words) - size + 1):
            part = words[i : i + size]
            if size == 1 and part[0][0] in _STOP:
                continue
            grams.append((" ".join(w for w, _, _ in part), part[0][1], part[-1][2]))
    return grams


def choose_matches(
    hits: Iterable[tuple[str, str, str, int, int]],
    question: str,
    *,
    per_column: int = 2,
    total: int = 16,
) -> tuple[ValueMatch, ...]:
    """Keep the best of ``hits``, each (table key, column, value, start, end).

    A longer span beats one inside it in the same column; an exact spelling beats a folded one;
    pure numbers are left to the question's own text. Best first, at most ``per_column`` values
    of a column and ``total`` in all.

    >>> choose_matches([("city", "name", "Paris", 3, 8)], "in Paris")[0].value
    'Paris'
    """
    scored = []
    for table, column, value, start, end in hits:
        said = question[start:end]
        if value.strip().replace(".", "", 1).isdigit():
            continue
        score = 1.0 if said == value else 0.95 if said.lower() == value.lower() else 0.8
        scored.append(ValueMatch(table, column, value, start, end, score))
    scored.sort(key=lambda m: (-(m.end - m.start), -m.score, m.table, m.column, m.value))
    kept: list[ValueMatch] = []
    taken: dict[tuple[str, str], int] = {}
    for match in scored:
        place = (match.table, match.column)
        if taken.get(place, 0) >= per_column or len(kept) >= total or _covered(match, kept):
            continue
        taken[place] = taken.get(place, 0) + 1
        kept.append(match)
    return tuple(kept)


def _covered(match: ValueMatch, kept: Sequence[ValueMatch]) -> bool:
    return any(
        k.start <= match.start
        and match.end <= k.end
        and (k.end - k.start > match.end - match.start or (k.table, k.column) == (match.table, match.column))
        and (k.score > 0.9 or (k.table, k.column) == (match.table, match.column))
        for k in kept
    )
