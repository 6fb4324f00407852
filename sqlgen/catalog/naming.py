"""Names as people would say them: split, and written out where they are abbreviated.

``words.txt.gz`` holds English words (Open English WordNet, CC BY 4.0) and in how many public schemas
other than those kept for measuring each was seen; ``abbreviations.txt`` the usual short forms.
"""

from __future__ import annotations

import gzip
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Hearer", "natural_name", "short_forms"]

_BOUNDARY = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d{2})|[\s_\-./]+")
_WORD = re.compile(r"[a-z]+")
_VOWELS = re.compile(r"[aeiou]")
# Short forms of one listed word that stand for other ones as often.
_OPEN = frozenset(
    "id rev res ref std inv pos sup un f l co sp tm pt per adj int exp ind ins auth mi cal".split()
)
# Two letters that names are run together with.
_TINY_PARTS = frozenset("id no dt nm cd of by at is to in".split())
_ACRONYMS = frozenset(
    "css dns dvd fps ftp gps html http https jpg ltd mph mrs ms pdf png rgb rss sms sql ssn tv url xml".split()
)


class _Lexicon(NamedTuple):
    # Words, with the number of schemas that use them; 0: usual English, -1: rare English.
    words: Mapping[str, int]
    shorts: Mapping[str, tuple[str, ...]]
    skeletons: Mapping[str, str]


@cache
def short_forms() -> dict[str, tuple[str, ...]]:
    """Words, and a few whole names, with the ways that databases shorten them, the usual one first.

    >>> short_forms()["quantity"]
    ('qty', 'qnt')
    """
    found = {}
    for line in (files("sqlgen.catalog") / "abbreviations.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            word, _, shorts = line.partition(": ")
            found[word] = tuple(shorts.split())
    return found


@cache
def _lexicon() -> _Lexicon:
    words: dict[str, int] = {}
    raw = (files("sqlgen.catalog") / "words.txt.gz").read_bytes()
    for line in gzip.decompress(raw).decode("ascii").splitlines():
        word, _, count = line.partition("\t")
        words[word] = int(count or -1)
    shorts: dict[str, list[str]] = defaultdict(list)
    for word, ways in short_forms().items():
        for way in ways:
            shorts[way].append(word)
    bare: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for word, schemas in words.items():
        if schemas > 0 and len(word) >= 5:
            bare[_skeleton(word)].append((schemas, word))
    skeletons = {}
    for skeleton, found in bare.items():
        found.sort(reverse=True)
        # One word, or one that is much more usual in names than the next.
        if len(skeleton) >= 3 and (len(found) == 1 or found[0][0] >= 4 * found[1][0]):
            skeletons[skeleton] = found[0][1]
    return _Lexicon(words, {s: tuple(w) for s, w in shorts.items()}, skeletons)


def _skeleton(word: str) -> str:
    """A word without its vowels but a first one: ``customer`` as ``cstmr``."""
    return word[0] + _VOWELS.sub("", word[1:])


@lru_cache(maxsize=100_000)
def natural_name(identifier: str) -> str:
    """Split an identifier at underscores, punctuation and changes of case, and write usual short forms out.

    Lower case. What could stand for several words stays as it is; see ``Hearer``.

    >>> natural_name("stu_id"), natural_name("OrderLineID"), natural_name("Total Sales (USD)")
    ('student id', 'order line id', 'total sales (usd)')
    >>> natural_name("CUST_ADDR"), natural_name("ordertotal"), natural_name("prcdr_nm"), natural_name("st")
    ('customer address', 'order total', 'procedure name', 'st')
    """
    words = [word for word in _BOUNDARY.split(identifier) if word]
    return " ".join(map(_written_out, words)).lower() or identifier.lower()


@lru_cache(maxsize=100_000)
def _written_out(piece: str) -> str:
    word = piece.lower()
    lexicon = _lexicon()
    if len(word) < 2 or not word.isalpha() or not word.isascii() or _is_english(word):
        return word
    meant = lexicon.shorts.get(word, ())
    if len(meant) == 1 and word not in _OPEN:
        return meant[0]
    plural = lexicon.shorts.get(word[:-1], ()) if len(word) > 3 and word.endswith("s") else ()
    if not meant and len(plural) == 1 and word[:-1] not in _OPEN and word[:-1] not in lexicon.words:
        return plural[0] if plural[0].endswith("s") else plural[0] + "s"
    if meant or word in _ACRONYMS:
        return word
    if len(word) >= 3 and not _VOWELS.search(word[1:]):
        return lexicon.skeletons.get(word, word)
    return " ".join(_parts(word)) if len(word) >= 6 else word


def _is_english(word: str) -> bool:
    words = _lexicon().words
    stems = [word]
    if len(word) > 4:
        stems += [word.removesuffix("s"), word.removesuffix("est"), word.removesuffix("er")]
        stems += [word.removesuffix("es"), word.removesuffix("st"), word.removesuffix("r")]
    return any(stem in words for stem in stems)


def _parts(word: str) -> tuple[str, ...]:
    """The fewest words of names that ``word`` is run together from, the most usual ones; else the word."""
    lexicon = _lexicon()
    # By end: how many parts, how unusual the rarest, which.
    best: dict[int, tuple[int, int, tuple[str, ...]]] = {0: (0, 0, ())}
    for end in range(2, len(word) + 1):
        for start in range(max(0, end - 14), end - 1):
            if start not in best:
                continue
            piece = word[start:end]
            count = lexicon.words.get(piece, -1)
            short = lexicon.shorts.get(piece, ())
            if count >= (0 if len(piece) > 4 else 2 if len(piece) == 4 else 4):
                said, rarity = piece, -count
            elif len(short) == 1 and (len(piece) >= 3 or piece in _TINY_PARTS) and piece not in _OPEN:
                said, rarity = short[0], -3
            elif piece in _TINY_PARTS:
                said, rarity = piece, -3
            else:
                continue
            parts, rarest, before = best[start]
            found = (parts + 1, max(rarest, rarity) if parts else rarity, (*before, said))
            if end not in best or found < best[end]:
                best[end] = found
    parts, _, found_words = best.get(len(word), (0, 0, ()))
    return found_words if 2 <= parts <= 3 else (word,)


class Hearer:
    """Names as somebody hears them who has just heard a question: ``cst`` after "customers" is a customer.

    >>> heard = Hearer("Which stadiums lie in the state of Ohio?")
    >>> heard.name("stdm_nm"), heard.name("st_cd"), heard.name("cap")
    ('stadium name', 'state code', 'cap')
    """

    def __init__(self, question: str) -> None:
        self._words: dict[str, set[str]] = defaultdict(set)
        for word in _WORD.findall(question.lower()):
            if len(word) >= 4:
                self._words[word[0]].add(_singular(word))
        self._pieces: dict[str, str] = {}

    def name(self, identifier: str) -> str:
        """The natural name, with what is short for one word of the question written out as that word."""
        said = natural_name(identifier)
        if not self._words:
            return said
        return " ".join(self._pieces.get(w) or self._hear(w) for w in said.split())

    def _hear(self, piece: str) -> str:
        heard = piece
        if 2 <= len(piece) <= 8 and piece.isalpha() and piece not in _ACRONYMS:
            near = self._words.get(piece[0], set())
            lexicon = _lexicon()
            listed = {w for w in lexicon.shorts.get(piece, ()) if _singular(w) in near}
            if not listed and not _is_english(piece) and len(piece) >= 3:
                single = piece[:-1] if len(piece) > 3 and piece.endswith("s") else piece
                listed = {w for w in near if shortens(single, w) or shortens(piece, w)}
            if len(listed) == 1:
                heard = listed.pop()
        self._pieces[piece] = heard
        return heard


def shortens(short: str, word: str) -> bool:
    """Whether ``short`` is the beginning of a word or what is left of it without vowels.

    >>> shortens("dep", "department"), shortens("dprt", "department"), shortens("dot", "department")
    (True, True, False)
    """
    if not 3 <= len(short) <= len(word) - 2 or short[0] != word[0]:
        return False
    if word.startswith(short):
        return True
    bare = _skeleton(word)
    if _VOWELS.search(short[1:]) or 2 * len(short) < len(bare):
        return False
    rest = iter(bare)
    return all(letter in rest for letter in short)


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word
