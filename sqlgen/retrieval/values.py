"""Cells that a question means: normal forms, misspellings, initials, and the choice among hits.

Training, the index and the run time share these functions, so that the model is trained on
exactly the value matches that it sees in use.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

from sqlgen.retrieval.demonyms import COUNTRIES
from sqlgen.types import ValueMatch

__all__ = [
    "MAX_VALUE_CHARS",
    "choose_matches",
    "edits",
    "initials_of",
    "normalise_value",
    "question_ngrams",
    "typo_keys",
    "undoubled",
]

MAX_VALUE_CHARS = 64
_MAX_VALUE_WORDS = 7

_WORD = re.compile(r"[^\W_]+(?:[.'’&@+#][^\W_]+)*")
_NAME = re.compile(r"[^\W\d_]+")
_CAPITALS = re.compile(r"(?<!\w)(?:[A-Z]{2,5}|(?:[A-Z]\.){2,5})(?!\w)")
_NAMED = re.compile(r"[A-Z][^\W\d_]+(?: (?:of |the |and )*[A-Z][^\W\d_]+){2,4}")
_SMALL = frozenset("of the and for de la du".split())
_VOWELS = re.compile("[aeiouyàáâäèéêëìíîïòóôöùúûü]")
_DOUBLED = re.compile(r"(.)\1+")
_TYPO_SHORTEST, _TYPO_LONG, _TYPO_LONGEST = 4, 7, 24
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
    return "" if len(words) > _MAX_VALUE_WORDS else " ".join(words)


def initials_of(value: str) -> str:
    """The form under which a value of several capitalised words is found by its initials, else ''.

    >>> initials_of("New York City"), initials_of("United States of America"), initials_of("red shoes")
    ('^nyc', '^usa', '')
    """
    if len(value) > MAX_VALUE_CHARS:
        return ""
    words = [w for w in _NAME.findall(value) if w.lower() not in _SMALL]
    if not 2 <= len(words) <= 5 or not all(w[0].isupper() for w in words):
        return ""
    return "^" + "".join(w[0] for w in words).lower()


def typo_keys(word: str) -> list[int]:
    """Numbers that a word shares with most of its misspellings; none for what is too short or no word.

    One for the word, one for each letter left out (two words one edit or one swap apart share one of
    these, after the symmetric deletes of SymSpell), and one for its consonants, doubled ones as one.

    >>> shared = set(typo_keys("untied")) & set(typo_keys("united"))
    >>> bool(shared), bool(set(typo_keys("misisipi")) & set(typo_keys("mississippi"))), typo_keys("id")
    (True, True, [])
    """
    if not _TYPO_SHORTEST <= len(word) <= _TYPO_LONGEST or not word.isalpha():
        return []
    forms = {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}
    if len(word) >= _TYPO_LONG:
        forms.add("~" + undoubled(word[0] + _VOWELS.sub("", word[1:])))
    return sorted(zlib.crc32(form.encode()) for form in forms)


def undoubled(word: str) -> str:
    """The word with doubled letters written once.

    >>> undoubled("mississippi")
    'misisipi'
    """
    return _DOUBLED.sub(r"\1", word)


def edits(a: str, b: str, most: int) -> int:
    """Letters added, lost, changed or swapped with the next between two words; more than ``most``: ``most`` + 1.

    >>> edits("untied", "united", 2), edits("pariss", "paris", 2), edits("paris", "london", 2)
    (1, 1, 3)
    """
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row = row, [i]
        for j, y in enumerate(b, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
        before = previous
    return min(row[-1], most + 1)


def question_ngrams(question: str) -> list[tuple[str, int, int]]:
    """All (normal form, start, end) that a cell could match, longest first.

    Where a question says a country's adjective or short name, the country's names come before all. Capitals
    also ask for a cell of these initials (``^nyc``), a name of several words for the cell of its initials
    (``nyc^``).

    >>> question_ngrams("in Paris")[0], question_ngrams("Italian wines")[0], question_ngrams("in NYC")[-1]
    (('in paris', 0, 8), ('italy', 0, 7), ('^nyc', 3, 6))
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
    for size in range(min(_MAX_VALUE_WORDS, len(words)), 0, -1):
        for i in range(len(words) - size + 1):
            part = words[i : i + size]
            if size == 1 and part[0][0] in _STOP:
                continue
            grams.append((" ".join(w for w, _, _ in part), part[0][1], part[-1][2]))
    return grams + _initial_grams(question)


def _initial_grams(question: str) -> list[tuple[str, int, int]]:
    grams = [
        ("^" + m.group().replace(".", "").lower(), m.start(), m.end()) for m in _CAPITALS.finditer(question)
    ]
    for run in _NAMED.finditer(question):
        words = [m for m in _NAME.finditer(question, run.start(), run.end()) if m.group() not in _SMALL]
        for size in range(3, len(words) + 1):
            for i in range(len(words) - size + 1):
                part = words[i : i + size]
                short = "".join(m.group()[0] for m in part).lower()
                grams.append((short + "^", part[0].start(), part[-1].end()))
    return grams


def choose_matches(
    hits: Iterable[tuple[str, str, str, int, int]],
    question: str,
    *,
    per_column: int = 2,
    total: int = 16,
) -> tuple[ValueMatch, ...]:
    """Keep the best of ``hits``, each (table key, column, value, start, end).

    A longer span beats one inside it in the same column; an exact spelling (1.0) beats another case (0.95),
    that an inflection or a country's adjective (0.8), that a misspelling or initials (0.6). Pure numbers are
    left to the question's own text. Best first, at most ``per_column`` values of a column and ``total``
    in all.

    >>> choose_matches([("city", "name", "Paris", 3, 8)], "in Paris")[0].value
    'Paris'
    """
    scored = []
    for table, column, value, start, end in hits:
        said = question[start:end]
        if value.strip().replace(".", "", 1).isdigit():
            continue
        score = _closeness(said, value)
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


def _closeness(said: str, value: str) -> float:
    if said == value:
        return 1.0
    if said.lower() == value.lower():
        return 0.95
    if normalise_value(said) == normalise_value(value) or value.lower() in COUNTRIES.get(said.lower(), ()):
        return 0.8
    return 0.6


def _covered(match: ValueMatch, kept: Sequence[ValueMatch]) -> bool:
    return any(
        k.start <= match.start
        and match.end <= k.end
        and (k.end - k.start > match.end - match.start or (k.table, k.column) == (match.table, match.column))
        and (k.score > 0.9 or (k.table, k.column) == (match.table, match.column))
        for k in kept
    )
