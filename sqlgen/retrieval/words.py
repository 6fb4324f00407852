"""The words of a question that a search can use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from sqlgen.catalog.naming import natural_name

__all__ = ["Term", "bound_question", "question_terms"]

_MAX_QUESTION_CHARS = 2000
_MAX_TERMS = 48

_WORD = re.compile(r"\w+")
_PART = re.compile(r"[^\W_]+")
_STOP_WORDS = """
a about above after all along also among an and any are as at be been before below between both but
by can could did do does doing done each either else every find for from get give given had has have
having he her his how i if in into is it its just know let like list many may me more most much must
my no not of off on one only or other our out over per please provide return s shall she should show
so some such t tell than that the their them then there these they this those through to under up us
using want was we were what when where whether which while who whom whose why will with within
without would you your
"""
_STOP = frozenset(_STOP_WORDS.split())


@dataclass(frozen=True, slots=True)
class Term:
    """One search word, where the question says it; ``text`` has letters and digits only."""

    text: str
    start: int
    end: int


def bound_question(text: str) -> str:
    """The first part of a question, safe to encode: offsets into it are offsets into ``text``.

    >>> len(bound_question("x" * 100_000)), bound_question("a\\udc80b\\x00c")
    (2000, 'a?b c')
    """
    return text[:_MAX_QUESTION_CHARS].encode("utf-8", "replace").decode("utf-8").replace("\x00", " ")


def question_terms(question: str) -> tuple[Term, ...]:
    """Distinct words without function words, identifiers split, neighbours also written as one.

    When nothing but function words was said, they are what is searched for.

    >>> [t.text for t in question_terms("How many order lines has each stuId?")]
    ['order', 'lines', 'student', 'id', 'orderlines', 'studentid']
    """
    words = []
    for match in _WORD.finditer(question):
        parts = _PART.findall(natural_name(match.group()))
        words += [Term(part, match.start(), match.end()) for part in parts]
    kept = [word for word in words if word.text not in _STOP] or words
    # "order line" also finds a table called orderline.
    joined = [
        Term(a.text + b.text, a.start, b.end)
        for a, b in pairwise(kept)
        if b.start - a.end <= 1 and len(a.text) > 1 and len(b.text) > 1
    ]
    distinct: dict[str, Term] = {}
    for term in kept[:_MAX_TERMS] + joined[:_MAX_TERMS]:
        distinct.setdefault(term.text, term)
    return tuple(distinct.values())
