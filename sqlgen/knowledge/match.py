"""Which terms, metrics and documents a question speaks of."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlgen.knowledge.items import Document, Term, Verified
from sqlgen.types import TermMatch, VerifiedQuery

__all__ = [
    "Named",
    "Passage",
    "find_named",
    "match_documents",
    "match_terms",
    "similar_queries",
    "split_document",
    "stem",
]

_WORD = re.compile(r"\w+")
_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$", re.M)
_FENCE = re.compile(r"^(?:```|~~~).*?^(?:```|~~~)[^\n]*$", re.M | re.S)
_PASSAGE_CHARS = 1200
_K1, _B = 1.2, 0.6
_PASSAGES = 2
_QUERIES = 3
# A passage or query with less of the question's weight than this is left out.
_PASSAGE_SHARE, _QUERY_SHARE = 0.5, 0.6
COMMON = frozenset(
    "a about all an and any are as at be by did do does for from had has have how i in is it its list many me much of on or our "
    "out per show tell that the their there these they this to us was we were what when where which who will with you".split()
)


@dataclass(frozen=True, slots=True)
class Named:
    """A term and where the question says it, ``question[start:end]``; ``said`` is the name that was said."""

    term: Term
    start: int
    end: int
    said: str

    @property
    def score(self) -> float:
        """1 for the name itself, 0.9 for a synonym."""
        return 1.0 if self.said == self.term.name else 0.9


def stem(word: str) -> str:
    """A word without the endings of its inflection, good enough to compare with.

    >>> [stem(w) for w in ("Orders", "companies", "churned", "churning", "boxes", "stopped", "class")]
    ['order', 'company', 'churn', 'churn', 'box', 'stop', 'class']
    """
    word = word.lower()
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 4 and re.search("[aeiouy]", root):
            return root[:-1] if root[-1] == root[-2] and root[-1] not in "ls" else root.removesuffix("e")
    return word.removesuffix("e") if len(word) > 5 else word


@lru_cache(maxsize=20_000)
def _stems(name: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in _WORD.findall(name))


def find_named(question: str, terms: Iterable[Term]) -> tuple[Named, ...]:
    """The terms that the question names, in its order; where two overlap, the longer name counts.

    Inflection does not matter: "active customers" names "active customer".

    >>> terms = [Term("revenue", "…"), Term("net revenue", "…"), Term("repeat customer", "…", ("returning buyer",))]
    >>> [(n.term.name, n.said) for n in find_named("Net revenue of returning buyers", terms)]
    [('net revenue', 'net revenue'), ('repeat customer', 'returning buyer')]
    """
    words = [(stem(m.group()), m.start(), m.end()) for m in _WORD.finditer(question)]
    places: dict[str, list[int]] = {}
    for i, (word, _, _) in enumerate(words):
        places.setdefault(word, []).append(i)
    found: list[tuple[int, bool, int, Named]] = []
    for number, term in enumerate(terms):
        for name in (term.name, *term.synonyms):
            spoken = _stems(name)
            for i in places.get(spoken[0], ()) if spoken else ():
                if tuple(word for word, _, _ in words[i : i + len(spoken)]) == spoken:
                    last = i + len(spoken) - 1
                    named = Named(term, words[i][1], words[last][2], name)
                    found.append((-len(spoken), name != term.name, -number, named))
    # The longest first, a name before a synonym, the latest added before an older one.
    found.sort(key=lambda f: (f[0], f[1], f[2], f[3].start))
    kept: list[Named] = []
    for *_, named in found:
        if all(named.end <= k.start or k.end <= named.start for k in kept) and all(
            k.term is not named.term for k in kept
        ):
            kept.append(named)
    return tuple(sorted(kept, key=lambda n: n.start))


def match_terms(question: str, terms: Iterable[Term]) -> tuple[TermMatch, ...]:
    """The terms that the question names, longest name first.

    >>> [m.name for m in match_terms("Net revenue by month", [Term("net revenue", "…"), Term("AOV", "…")])]
    ['net revenue']
    """
    named = sorted(find_named(question, terms), key=lambda n: n.start - n.end)
    return tuple(
        TermMatch(
            "metric" if n.term.is_metric else "term",
            n.term.name,
            f"{n.term.definition} SQL: {n.term.sql}" if n.term.sql else n.term.definition,
            n.term.source,
            n.score,
        )
        for n in named
    )


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document under its headings."""

    document: str
    heading: str
    text: str
    source: str


def split_document(document: Document) -> tuple[Passage, ...]:
    """Cut Markdown at its headings, and long sections at blank lines, never inside a paragraph.

    >>> [p.heading for p in split_document(Document("Guide", "# Sales\\nintro\\n\\n## Refunds\\ntext"))]
    ['Sales', 'Sales > Refunds']
    """
    fenced = [match.span() for match in _FENCE.finditer(document.text)]
    headings = [
        match
        for match in _HEADING.finditer(document.text)
        if not any(a <= match.start() < b for a, b in fenced)
    ]
    sections: list[tuple[str, str]] = [("", document.text[: headings[0].start() if headings else None])]
    path: list[tuple[int, str]] = []
    for k, match in enumerate(headings):
        level = len(match.group(1))
        path = [(depth, title) for depth, title in path if depth < level] + [(level, match.group(2))]
        end = headings[k + 1].start() if k + 1 < len(headings) else len(document.text)
        sections.append((" > ".join(title for _, title in path), document.text[match.end() : end]))
    passages = []
    for heading, text in sections:
        piece = ""
        for paragraph in re.split(r"\n\s*\n", text.strip()):
            if piece and len(piece) + len(paragraph) > _PASSAGE_CHARS:
                passages.append(Passage(document.name, heading, piece, document.source))
                piece = ""
            piece = f"{piece}\n\n{paragraph}" if piece else paragraph
        if piece.strip():
            passages.append(Passage(document.name, heading, piece, document.source))
    return tuple(passages)


def match_documents(question: str, passages: Sequence[Passage]) -> tuple[TermMatch, ...]:
    """The passages that speak of what the question asks, best first, by BM25; at most two.

    A passage must hold half of the weight of the question's words, and two of them if it has two.
    """
    asked = _content(question)
    texts = [_content(f"{p.document} {p.heading} {p.heading} {p.text}") for p in passages]
    scores = _bm25(asked, texts)
    best = sorted(range(len(passages)), key=lambda i: (-scores[i][0], i))[:_PASSAGES]
    return tuple(
        TermMatch(
            "document",
            f"{passages[i].document} > {passages[i].heading}"
            if passages[i].heading
            else passages[i].document,
            passages[i].text,
            passages[i].source,
            round(scores[i][1], 4),
        )
        for i in best
        if scores[i][1] >= _PASSAGE_SHARE and scores[i][2] >= min(2, len(set(asked)))
    )


def similar_queries(question: str, verified: Sequence[Verified]) -> tuple[VerifiedQuery, ...]:
    """The verified queries whose question says most of what this one says, best first; at most three."""
    asked = _content(question)
    pairs = [(wording, v) for v in verified for wording in (v.question, *v.wordings)]
    texts = [_content(wording) for wording, _ in pairs]
    scores = _bm25(asked, texts)
    best: dict[int, tuple[float, VerifiedQuery]] = {}
    for (_, v), text, (_, share, _) in zip(pairs, texts, scores, strict=True):
        both = len(set(asked) & set(text))
        score = min(share, both / max(1, len(set(text))))
        if score >= _QUERY_SHARE and score > best.get(id(v), (0.0,))[0]:
            best[id(v)] = (score, VerifiedQuery(v.question, v.sql, v.source, round(score, 4)))
    found = sorted(best.values(), key=lambda pair: -pair[0])
    return tuple(query for _, query in found[:_QUERIES])


@lru_cache(maxsize=20_000)
def _content(text: str) -> tuple[str, ...]:
    """The stems of the words of a text that say something."""
    words = [word for word in _WORD.findall(text.lower()) if word not in COMMON]
    return tuple(stem(word) for word in words)


@lru_cache(maxsize=20_000)
def _counted(text: tuple[str, ...]) -> Counter[str]:
    return Counter(text)


def _bm25(asked: Sequence[str], texts: Sequence[Sequence[str]]) -> list[tuple[float, float, int]]:
    """For each text: its BM25 score, its share of the question's weight, and how many of its words it has."""
    counts = [_counted(tuple(text)) for text in texts]
    held = {word: sum(word in count for count in counts) for word in set(asked)}
    total = len(texts)
    mean = sum(map(len, texts)) / max(1, total) or 1.0
    weight = {w: math.log(1 + (total - held[w] + 0.5) / (held[w] + 0.5)) for w in set(asked)}
    # Ordered, so that equal questions score equally in every process.
    words = sorted(weight)
    whole = sum(weight[w] for w in words) or 1.0
    scores = []
    for text, count in zip(texts, counts, strict=True):
        norm = _K1 * (1 - _B + _B * len(text) / mean)
        there = [w for w in words if count[w]]
        scores.append(
            (
                sum(weight[w] * count[w] * (_K1 + 1) / (count[w] + norm) for w in there),
                sum(weight[w] for w in there) / whole,
                len(there),
            )
        )
    return scores
