"""Questions as people in a hurry type them: slips, other words, no capitals, a "please" around them."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Sequence
from typing import TypeAlias

from sqlgen.training.synonyms import synonyms_of

__all__ = ["Span", "Spoken", "add_filler", "lower_case", "make_typos", "reword", "strip_ending"]

Span: TypeAlias = tuple[int, int]
Change: TypeAlias = tuple[int, int, str]

_WORD = re.compile(r"[A-Za-z]{4,}")
_NEAR = {
    "a": "sqz", "b": "vgn", "c": "xvd", "d": "sfe", "e": "wrd", "f": "dgr", "g": "fht", "h": "gju", "i": "uok",
    "j": "hkn", "k": "jli", "l": "kop", "m": "nk", "n": "bmh", "o": "ipl", "p": "ol", "q": "wa", "r": "etf",
    "s": "adw", "t": "ryg", "u": "yij", "v": "cbf", "w": "qes", "x": "zcs", "y": "tuh", "z": "xas",
}  # fmt: skip
_ORDERS = frozenset("show list find give return display get count compute calculate retrieve tell".split())
_BEFORE_ORDER = (
    "please ",
    "can you ",
    "could you ",
    "could you please ",
    "pls ",
    "i want you to ",
    "hi, ",
    "ok, ",
)
_BEFORE_QUESTION = (
    "can you tell me ", "could you tell me ", "please tell me ", "tell me ", "do you know ", "i'd like to know ",
    "i want to know ", "hey, ", "hi, ", "so, ", "quick question: ", "just wondering, ",
)  # fmt: skip
_ASKING = frozenset("what which who whose how where when".split())
_AFTER = (" please", ", please", " thanks", ", thanks", ", thank you", " pls", " for me", " asap")


class Spoken:
    """A question under change, and the places in it that mean something.

    ``spans`` are (start, end) in characters; no change touches what is inside them, and they move
    with the text. Behind " | " stand definitions that nobody types: they stay as well.
    """

    def __init__(self, text: str, spans: Sequence[Span]) -> None:
        self.text = text
        self.spans = list(spans)

    @property
    def end(self) -> int:
        """Where the definitions begin, or the length."""
        cut = self.text.find(" | ")
        return len(self.text) if cut < 0 else cut

    def free(self, start: int, end: int) -> bool:
        """Whether a change of [start, end) would leave all spans and definitions as they are."""
        return end <= self.end and all(end <= a or b <= start for a, b in self.spans)

    def words(self) -> list[re.Match[str]]:
        """Words of four letters and more outside spans."""
        return [m for m in _WORD.finditer(self.text, 0, self.end) if self.free(*m.span())]

    def change(self, changes: Sequence[Change]) -> None:
        """Replace [start, end) by a text for each change; they must not overlap."""
        out, at = [], 0
        for start, end, new in sorted(changes):
            out += [self.text[at:start], new]
            at = end
        moved = []
        for a, b in self.spans:
            # What is put in at the edge of a span stays outside it.
            before = sum(len(new) - (end - start) for start, end, new in changes if end <= a)
            inside = sum(len(new) - (end - start) for start, end, new in changes if start < b)
            moved.append((a + before, b + inside))
        self.text, self.spans = "".join([*out, self.text[at:]]), moved


def make_typos(spoken: Spoken, rng: random.Random, count: int = 1) -> None:
    """At most ``count`` words get two letters swapped, one dropped, doubled or hit beside its key.

    >>> question = Spoken("List the singers from Paris", [(22, 27)])
    >>> make_typos(question, random.Random(2))
    >>> question.text != "List the singers from Paris", question.text[slice(*question.spans[0])]
    (True, 'Paris')
    """
    words = spoken.words()
    changes: list[Change] = []
    for match in rng.sample(words, min(count, len(words))):
        word = match[0]
        at = rng.randrange(1, len(word) - 1)
        kind = rng.randrange(4)
        here, following = word[at], word[at + 1]
        if kind == 0 and here != following:
            new = following + here
        elif kind == 1:
            new = following
        elif kind == 2:
            new = here * 2 + following
        else:
            new = rng.choice(_NEAR.get(here, "e")) + following
        changes.append((match.start() + at, match.start() + at + 2, new))
    spoken.change(changes)


def lower_case(spoken: Spoken) -> None:
    """All in lower case, but for the spans.

    >>> question = Spoken("Who is from Paris", [(12, 17)])
    >>> lower_case(question)
    >>> question.text
    'who is from Paris'
    """
    capitals = re.finditer(r"[A-Z]+", spoken.text[: spoken.end])
    spoken.change([(*m.span(), m[0].lower()) for m in capitals if spoken.free(*m.span())])


def strip_ending(spoken: Spoken) -> None:
    """Without the final question mark or full stop."""
    found = re.search(r"\s*[?.!]+$", spoken.text[: spoken.end])
    if found and spoken.free(*found.span()):
        spoken.change([(*found.span(), "")])


def add_filler(spoken: Spoken, rng: random.Random) -> None:
    """Polite or idle words before or after the question."""
    first = re.match(r"[A-Za-z']+", spoken.text)
    if first is None:
        return
    word = first[0].lower()
    if rng.random() < 0.25:
        end = len(spoken.text[: spoken.end].rstrip("?.! "))
        spoken.change([(end, end, rng.choice(_AFTER))])
        return
    if word not in _ORDERS | _ASKING:
        return
    before = rng.choice(_BEFORE_ORDER if word in _ORDERS else _BEFORE_QUESTION)
    if rng.random() < 0.5:
        before = before[0].upper() + before[1:]
    changes: list[Change] = [(0, 0, before)]
    if spoken.free(0, 1):
        changes = [(0, 1, before + word[0])]
    spoken.change(changes)


def reword(spoken: Spoken, names: Collection[str], rng: random.Random, share: float = 1.0) -> int:
    """Words that name something of the schema, replaced by words that the schema does not use.

    ``names`` are the words of its names, in lower case and the singular; each occurrence changes
    with the chance ``share``. Returns how many did.

    >>> question = Spoken("How many customers are there?", [])
    >>> reword(question, {"customer"}, random.Random(1)), "customers" in question.text
    (1, False)
    """
    changes: list[Change] = []
    for match in spoken.words():
        word = match[0].lower()
        stem = word[:-1] if word.endswith("s") and word not in names else word
        if stem not in names or rng.random() >= share:
            continue
        others = [o for o in synonyms_of(stem) if o not in names and o + "s" not in names]
        if not others:
            continue
        other = others[0] if rng.random() < 0.6 else rng.choice(others)
        if stem != word and not other.endswith("s"):
            other = other[:-1] + "ies" if re.search(r"[^aeiou]y$", other) else other + "s"
        if match[0][0].isupper():
            other = other[0].upper() + other[1:]
        changes.append((*match.span(), other))
    spoken.change(changes)
    return len(changes)
