"""Which of a model's candidates to answer with, and how sure to be of it.

The likeliest query is not always the right one, but the right one is mostly among the candidates. What
came of running them, and how the words of the question fit the query, tells them apart: gradient boosted
trees score every candidate, the best score wins, and a logistic curve turns it into a probability. The
trees are fitted by ``sqlgen.training.choice`` to one model's candidates on databases that this model never
saw, and count for that model only.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sqlgen.catalog.naming import natural_name
from sqlgen.errors import ModelUnavailable
from sqlgen.generation.embedded import shipped_path
from sqlgen.trees import Trees
from sqlgen.types import ModelInfo, Result, RetrievedContext, ValidatedQuery

__all__ = [
    "FEATURES",
    "Choice",
    "Chooser",
    "Judge",
    "Trial",
    "doubt_of",
    "features_of",
    "load_chooser",
    "trial_of",
]


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate that passed validation, and what came of running it.

    ``tables`` and ``columns`` are what validation found it to read. Trials whose results are equal share a
    ``group`` (0, 1, …; -1 unless it ran). ``rows`` and ``width`` count the result; ``distinct`` is the share of
    different rows; ``is_blank`` says that it is one row of nothing but NULL and zero.
    """

    sql: str
    logprob: float
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    state: Literal["ran", "failed", "not run"] = "not run"
    group: int = -1
    rows: int = 0
    width: int = 0
    distinct: float = 1.0
    is_blank: bool = False
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The trial to answer with, how likely it is right (0 to 1), and what speaks against it: "" or a clause."""

    index: int
    confidence: float
    doubt: str = ""


_ROWS_COUNTED = 1000
_ROWS_COMPARED = 200


def trial_of(
    query: ValidatedQuery,
    logprob: float,
    result: Result | None = None,
    *,
    group: int = -1,
    state: Literal["ran", "failed", "not run"] = "not run",
) -> Trial:
    """The trial of a query: with its result it ran, else ``state`` says what it did."""
    if result is None:
        return Trial(query.sql, logprob, query.tables, query.columns, state)
    some = [tuple(map(repr, row)) for row in result.rows[:_ROWS_COMPARED]]
    return Trial(
        query.sql,
        logprob,
        query.tables,
        query.columns,
        "ran",
        group,
        min(len(result.rows), _ROWS_COUNTED),
        len(result.columns),
        len(set(some)) / max(1, len(some)),
        len(result.rows) == 1 and not any(result.rows[0]),
        result.truncated or len(result.rows) > _ROWS_COUNTED,
    )


# -- the question --------------------------------------------------------------------------------

_WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)?")
_NUMBER_WORDS = {
    word: str(n)
    for n, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_STOP = frozenset(
    "a about all also an and any are as at be been by can did do does each every find for from get give has have having "
    "how i if in into is it its list many me more most much named name names of on one only or our out over per please "
    "return s shall show so some than that the their them then there these they this those to under up us was we were "
    "what when where whether which who whom whose will with within would you your number total average maximum minimum "
    "different distinct order ordered sorted sort descending ascending least greatest highest lowest largest smallest "
    "less fewer not no never without both either least count sum id ids".split()
)
_ORDER_BY = re.compile(
    r"(?:sort|order|rank|arrang|list)\w*(?: \w+){0,3}? (?:by|according to)(?: the)?(?: \w+ing)?(?: order)?(?: of)?(?: the)? ([\w ]+)"
    r"|(?:order|alphabetical(?:ly)?) (?:of|by) (?:the )?([\w ]+)"
)
# What the question may ask for, by its words: one flag each.
_ASKS = {
    "count": r"\bhow many\b|\bnumber of\b|\bcount\b|\bamount of\b|\bnum\b",
    "average": r"\baverage|\bmean\b|\bavg\b|\btypical",
    "sum": r"\btotal|\bsum\b|\boverall\b|\baltogether\b|\bcombined\b",
    "most": r"\bmost\b|\bhighest\b|\blargest\b|\bbiggest\b|\bmaximum\b|\bmax\b|\bgreatest\b|\blongest\b|\boldest\b"
    r"|\blatest\b|\btop\b|\bbest\b|\bnewest\b|\bmost recent",
    "least": r"\bleast\b|\blowest\b|\bsmallest\b|\bminimum\b|\bmin\b|\bfewest\b|\bshortest\b|\byoungest\b"
    r"|\bearliest\b|\bworst\b|\bcheapest\b",
    "each": r"\beach\b|\bevery\b|\bper\b|\bfor all\b|\bby (?:each|every)\b",
    "different": r"\bdifferent\b|\bdistinct\b|\bunique\b|\bvarious\b",
    "order": r"\bsort|\border(?:ed)? (?:by|of|in)\b|\bordered\b|\balphabetic|\blexico|\bin order\b|\brank|\barrange",
    "down": r"\bdescending|\bfrom (?:high|large|most|old|z)|\bdecreasing|\breverse",
    "not": r"\bnot\b|\bno\b|n't\b|\bnever\b|\bwithout\b|\bexclud|\bexcept|\bother than\b|\bneither\b|\bnone\b",
    "both": r"\bboth\b|\band also\b|\bas well as\b",
    "or": r"\bor\b|\beither\b",
    "more": r"\bmore than\b|\babove\b|\bover\b|\bgreater\b|\blarger\b|\bhigher than\b|\bat least\b|\bafter\b|\bexceed"
    r"|\bolder\b|\blonger\b|\bbigger\b|\bor more\b",
    "less": r"\bless than\b|\bbelow\b|\bunder\b|\bsmaller\b|\blower than\b|\bat most\b|\bbefore\b|\bfewer\b"
    r"|\byounger\b|\bshorter\b|\bor less\b",
    "between": r"\bbetween\b|\bfrom \d+\S* to\b",
    "part": r"\bcontain|\bsubstring|\binclud|\bstart|\bbegin|\bend(?:s|ing)? (?:with|in)\b|\bletter|\blike\b",
    "id": r"\bids?\b|\bidentif",
    "name": r"\bnames?\b",
}
_ASKED = {name: re.compile(pattern) for name, pattern in _ASKS.items()}


@lru_cache(maxsize=4096)
def _stem(word: str) -> str:
    """A word without its commonest endings: near enough to tell "cities" and "city" from "county".

    >>> _stem("cities"), _stem("classes"), _stem("named"), _stem("status")
    ('citi', 'class', 'nam', 'statu')
    """
    for ending in ("ings", "ing", "ies", "ied", "es", "ed", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + ("i" if ending in ("ies", "ied", "y") else "")
    return word


@lru_cache(maxsize=8192)
def _stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _WORD.findall(natural_name(text)))


class _Scene:
    """What is known of a question before any candidate is looked at."""

    def __init__(self, question: str, context: RetrievedContext) -> None:
        lower = question.lower()
        self.lower = lower
        self.asks = {name: bool(pattern.search(lower)) for name, pattern in _ASKED.items()}
        words = [_NUMBER_WORDS.get(w, w) for w in _WORD.findall(lower)]
        self.length = len(words)
        self.numbers = {_plain(w) for w in words if w[0].isdigit()}
        self.spoken = [_stem(w) for w in words]
        self.stems = set(self.spoken)
        self.first = {stem: k / len(words) for k, stem in reversed(list(enumerate(self.spoken)))}
        self.content = {_stem(w) for w in words if w not in _STOP and not w[0].isdigit() and len(w) > 2}
        quoted = re.findall(r"\"([^\"]+)\"|“([^”]+)”|(?<!\w)'([^']+)'(?!\w)", question)
        self.quoted = [next(filter(None, groups)).lower() for groups in quoted]
        # One entry a mention: the spellings that the same words of the question match.
        mentions: dict[tuple[int, int], set[str]] = {}
        self.homes: dict[str, set[str]] = {}
        for match in context.values:
            if match.start < 0:
                continue
            mentions.setdefault((match.start, match.end), set()).add(match.value.lower())
            self.homes.setdefault(match.value.lower(), set()).add(match.column.lower())
        self.mentions = list(mentions.values())
        self.table_stems = {piece.table.key: _stems(piece.table.name) for piece in context.tables}
        self.column_stems = {
            f"{piece.table.key}.{column.name}": _stems(column.name)
            for piece in context.tables
            for column in piece.table.columns
        }
        self.keys = {
            f"{piece.table.key}.{name}"
            for piece in context.tables
            for name in (
                *(c.name for c in piece.table.columns if c.primary_key),
                *(c for key in piece.table.foreign_keys for c in key.columns),
            )
        }
        self.named = {name for name, stems in self.column_stems.items() if stems and stems <= self.stems}
        self.wide = max(1, len(self.column_stems))
        # "savings balance" or "name of the ship": a column said together with its table.
        said = [
            stem
            for w, stem in zip(words, self.spoken, strict=True)
            if w not in ("of", "the", "a", "all", "s")
        ]
        beside = {frozenset(pair) for pair in pairwise(said)}
        self.paired = {
            f"{piece.table.key}.{column.name}"
            for piece in context.tables
            for column in piece.table.columns
            if any(
                frozenset((a, b)) in beside
                for a in self.table_stems[piece.table.key]
                - self.column_stems[f"{piece.table.key}.{column.name}"]
                for b in self.column_stems[f"{piece.table.key}.{column.name}"]
            )
        }
        sought = _ORDER_BY.search(lower)
        self.sought = (
            {_stem(w) for w in _WORD.findall(sought.group(1) or sought.group(2))[:4]}
            if sought
            else set[str]()
        )

    @cached_property
    def sayable(self) -> set[str]:
        """Content words that some name of the context has."""
        known: set[str] = set().union(*self.table_stems.values(), *self.column_stems.values())
        return self.content & known


def _plain(number: str) -> str:
    """A number as text that equals itself: 05, 5 and 5.0 are one."""
    value = float(number)
    return str(int(value)) if value.is_integer() else str(value)


# -- the query -----------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\d+(?:\.\d+)?|\w+|<>|!=|<=|>=|[^\s\w]", re.UNICODE
)


class _Query:
    """What the text of a query shows without a parser: its words, literals and outermost select list."""

    def __init__(self, sql: str) -> None:
        tokens = _TOKEN.findall(sql)
        self.length = len(tokens)
        self.words = Counter(
            t.upper() for t in tokens if t[0].isalpha() or t in ("<>", "!=", "<", ">", "<=", ">=")
        )
        self.strings = [t[1:-1].replace("''", "'").lower() for t in tokens if t[0] == "'"]
        # (name, literal) of conditions such as city = 'Oslo'.
        self.tests = [
            (name.strip('"`').lower(), text[1:-1].replace("''", "'").lower())
            for name, sign, text in zip(tokens, tokens[1:], tokens[2:], strict=False)
            if sign == "=" and text[0] == "'"
        ]
        self.order = self._after(tokens, "ORDER")
        self.numbers = {_plain(t) for t in tokens if t[0].isdigit()}
        self.limit = 0
        depth = items = 0
        listing = True
        self.head: list[str] = []
        self.deepest = 0
        for place, token in enumerate(tokens):
            upper = token.upper()
            if token == "(":
                depth += 1
                self.deepest = max(self.deepest, depth)
            elif token == ")":
                depth -= 1
            elif upper == "LIMIT" and place + 1 < len(tokens) and tokens[place + 1].isdigit():
                self.limit = int(tokens[place + 1])
            elif upper == "FROM" and depth == 0:
                listing = False
            if listing:
                items += token == "," and depth == 0
                prefix = place + 1 < len(tokens) and tokens[place + 1] == "."
                if not prefix and (token[0].isalpha() or token[0] in '"`*'):
                    self.head.append(token.strip('"`'))
        self.items = items + 1

    @staticmethod
    def _after(tokens: list[str], word: str) -> list[str]:
        """Names behind the last ``word``, up to LIMIT or a bracket that closes."""
        places = [k for k, token in enumerate(tokens) if token.upper() == word]
        names: list[str] = []
        for k in range(places[-1] + 2 if places else len(tokens), len(tokens)):
            if tokens[k].upper() == "LIMIT" or tokens[k] == ")":
                break
            dotted = k + 1 < len(tokens) and tokens[k + 1] == "."
            if not dotted and tokens[k].upper() not in _HEAD_WORDS and tokens[k][0].isalpha():
                names.append(tokens[k])
        return names

    def has(self, *words: str) -> bool:
        return any(self.words[word] for word in words)


@lru_cache(maxsize=512)
def _read(sql: str) -> _Query:
    return _Query(sql)


# -- features ------------------------------------------------------------------------------------


# Log-probabilities below it are all the same; NaN counts as it, too.
_LEAST = -100.0


def _log(value: float) -> float:
    return math.log(max(value, 1e-6))


def features_of(question: str, context: RetrievedContext, trials: Sequence[Trial]) -> list[list[float]]:
    """One row of ``FEATURES`` a trial; trials stand best first."""
    scene = _Scene(question, context)
    trials = [replace(trial, logprob=min(0.0, max(_LEAST, trial.logprob))) for trial in trials]
    shared = _shared(scene, trials)
    return [
        [*{**shared, **_standing(i, trials), **_fit(scene, trial), **_outcome(scene, i, trials)}.values()]
        for i, trial in enumerate(trials)
    ]


def _shared(scene: _Scene, trials: Sequence[Trial]) -> dict[str, float]:
    """The same for all candidates of a question: these tell how sure to be, not which to take."""
    weights = [math.exp(min(0.0, t.logprob)) for t in trials]
    total = sum(weights) or 1e-9
    entropy = -sum(w / total * _log(w / total) for w in weights)
    live = [t for t in trials if t.state == "ran"]
    return {
        "candidates": len(trials),
        "mass": total,
        "entropy": entropy,
        "first_logprob": trials[0].logprob,
        "first_margin": trials[0].logprob - trials[1].logprob if len(trials) > 1 else 5.0,
        "groups": len({t.group for t in live}),
        "fruitful": sum(t.rows > 0 and not t.is_blank for t in live) / max(1, len(live)),
        "question_length": scene.length,
        "schema_columns": scene.wide,
        "known_words": len(scene.sayable) / max(1, len(scene.content)),
        "mentions": len(scene.mentions),
        **{f"asks_{name}": float(asked) for name, asked in scene.asks.items()},
    }


def _standing(i: int, trials: Sequence[Trial]) -> dict[str, float]:
    """How the model itself ranks the candidate."""
    trial = trials[i]
    others = [t.logprob for j, t in enumerate(trials) if j != i]
    return {
        "logprob": trial.logprob,
        "rank": i,
        "margin": trial.logprob - max(others, default=trial.logprob - 5.0),
        "behind": trials[0].logprob - trial.logprob,
    }


def _fit(scene: _Scene, trial: Trial) -> dict[str, float]:
    """How the words of the question fit the text of the query."""
    query, asks = _read(trial.sql), scene.asks
    used = set(trial.columns)
    used_stems: set[str] = set().union(
        *(scene.column_stems.get(c, frozenset()) for c in used),
        *(scene.table_stems.get(t, frozenset()) for t in trial.tables),
    )
    values = [text for text in query.strings if text]
    value_stems = {_stem(w) for text in values for w in _WORD.findall(text)}
    explained = used_stems | value_stems
    unnamed_tables = [t for t in trial.tables if not scene.table_stems.get(t, frozenset()) & scene.stems]
    bare = [
        t
        for t in unnamed_tables
        if not any(c.startswith(t + ".") and c not in scene.keys for c in used)
    ]  # fmt: skip
    plain = [c for c in used if c not in scene.keys]
    strange = [c for c in plain if not scene.column_stems.get(c, frozenset()) & scene.stems]
    head = [_stems(word) for word in query.head if word.upper() not in _HEAD_WORDS]
    named_used = {c for c in scene.named if c in used}
    named_stems = {scene.column_stems[c] for c in named_used}
    missed = {scene.column_stems[c] for c in scene.named if c not in used} - named_stems
    head_places = [min(scene.first[x] for x in stems & scene.stems) for stems in head if stems & scene.stems]
    head_stems: set[str] = set().union(*head)
    tail_places = [
        min(scene.first[x] for x in stems & scene.stems)
        for stems in (scene.column_stems.get(c, frozenset[str]()) for c in plain)
        if stems & scene.stems and not stems <= head_stems
    ]
    by_column: dict[str, set[str]] = {}
    for name, text in query.tests:
        by_column.setdefault(name, set()).add(text)
    order_stems: set[str] = set().union(*(_stems(name) for name in query.order))
    asked_up = float(asks["most"]) - float(asks["least"])
    n_count = query.words["COUNT"]
    extremes = query.words["MAX"] + query.words["MIN"]
    sorted_down, sorted_up = query.words["DESC"], query.words["ORDER"] - query.words["DESC"]
    compares_up = query.words[">"] + query.words[">="]
    compares_down = query.words["<"] + query.words["<="]
    negations = query.words["NOT"] + query.words["EXCEPT"] + query.words["<>"] + query.words["!="]
    return {
        "length": query.length,
        "per_token": trial.logprob / max(1, query.length),
        "joins": query.words["JOIN"],
        "tables": len(trial.tables),
        "selects": query.words["SELECT"],
        "depth": query.deepest,
        "items": query.items,
        "values_unused": sum(not any(v in mention for v in values) for mention in scene.mentions),
        "values_used": len(values),
        "values_spoken": sum(v.strip("%") in scene.lower for v in values),
        "values_repeated": len(query.strings) - len(set(query.strings)),
        "values_misplaced": sum(
            text in scene.homes and name not in scene.homes[text] for name, text in query.tests
        ),
        "values_guessed": sum(text not in scene.homes for _, text in query.tests),
        "values_crossed": sum(len(texts) > 1 for texts in by_column.values())
        * float(not query.has("OR", "UNION", "INTERSECT", "EXCEPT", "IN", "EXISTS")),
        "quotes_unused": sum(not any(text in v or v in text for v in values) for text in scene.quoted),
        "numbers_unused": len(scene.numbers - query.numbers - {_plain(v) for v in values if v.isdecimal()}),
        "numbers_strange": len(query.numbers - scene.numbers - {"1"}),
        "limit": min(query.limit, 20),
        "limit_spoken": float(query.limit > 1 and str(query.limit) in scene.numbers),
        "words_covered": len(scene.content & explained) / max(1, len(scene.content)),
        "words_missed": len((scene.content & scene.sayable) - explained),
        "columns_named": len(named_used),
        "columns_missed": len(missed),
        "columns_strange": len(strange),
        "columns_used": len(plain),
        "tables_unnamed": len(unnamed_tables),
        "tables_bare": len(bare),
        "tables_missed": sum(
            bool(stems) and stems <= scene.stems and t not in trial.tables
            for t, stems in scene.table_stems.items()
        ),
        "head_named": sum(bool(stems & scene.stems) for stems in head) / max(1, len(head)),
        "head_unnamed": sum(not stems & scene.stems for stems in head),
        "head_id": float(any("id" in stems for stems in head)) - float(asks["id"]),
        "head_name": float(any("nam" in stems or "name" in stems for stems in head)) - float(asks["name"]),
        "head_place": sum(head_places) / len(head_places) if head_places else 0.5,
        "tail_place": sum(tail_places) / len(tail_places) if tail_places else 1.0,
        "head_last": max(head_places, default=0.5),
        "pairs_used": len(scene.paired & used),
        "pairs_missed": len(scene.paired - used),
        "order_fit": len(scene.sought & order_stems) - float(bool(scene.sought)),
        "polarity": asked_up * (sorted_down - sorted_up + query.words["MAX"] - query.words["MIN"]),
        "count_asked": float(asks["count"]) - float(n_count > 0),
        "has_count": n_count,
        "average_asked": float(asks["average"]) - float(query.has("AVG")),
        "sum_asked": float(asks["sum"]) - float(query.has("SUM")),
        "most_asked": float(asks["most"]) - float(query.has("MAX") or sorted_down > 0),
        "least_asked": float(asks["least"]) - float(query.has("MIN") or sorted_up > 0),
        "extreme_asked": float(asks["most"] or asks["least"]) - float(extremes + query.words["ORDER"] > 0),
        "has_extreme": extremes,
        "each_asked": float(asks["each"]) - float(query.has("GROUP")),
        "has_group": query.words["GROUP"],
        "has_having": query.words["HAVING"],
        "different_asked": float(asks["different"]) - float(query.has("DISTINCT")),
        "has_distinct": query.words["DISTINCT"],
        "order_asked": float(asks["order"]) - float(query.has("ORDER")),
        "has_order": query.words["ORDER"],
        "down_asked": float(asks["down"]) - float(sorted_down > 0),
        "not_asked": float(asks["not"]) - float(negations > 0),
        "both_asked": float(asks["both"]) - float(query.has("INTERSECT")),
        "has_intersect": query.words["INTERSECT"],
        "or_asked": float(asks["or"]) - float(query.has("OR", "UNION", "IN")),
        "has_or": query.words["OR"] + query.words["UNION"],
        "more_asked": float(asks["more"]) - float(compares_up > 0),
        "less_asked": float(asks["less"]) - float(compares_down > 0),
        "between_asked": float(asks["between"])
        - float(query.has("BETWEEN") or bool(compares_up and compares_down)),
        "part_asked": float(asks["part"]) - float(query.has("LIKE", "ILIKE", "INSTR")),
        "has_where": query.words["WHERE"],
    }


_HEAD_WORDS = frozenset("SELECT DISTINCT AS COUNT SUM AVG MIN MAX AND OR CAST ROUND ASC DESC".split())


def _outcome(scene: _Scene, i: int, trials: Sequence[Trial]) -> dict[str, float]:
    """What came of running the candidate, alone and beside the others. All zero when nothing ran."""
    trial = trials[i]
    if trial.state != "ran":
        return dict.fromkeys(_OUTCOME, 0.0)
    mass: dict[int, float] = {}
    best: dict[int, float] = {}
    for other in trials:
        if other.state == "ran":
            mass[other.group] = mass.get(other.group, 0.0) + math.exp(min(0.0, other.logprob))
            best[other.group] = max(best.get(other.group, -1e9), other.logprob)
    others = [value for group, value in mass.items() if group != trial.group]
    own = [j for j, t in enumerate(trials) if t.state == "ran" and t.group == trial.group]
    fruitful = [t for t in trials if t.state == "ran" and t.rows > 0 and not t.is_blank]
    top = next((t for t in trials if t.state == "ran"), trial)
    return {
        "votes": len(own),
        "vote_share": mass[trial.group] / (sum(mass.values()) or 1e-9),
        "group_margin": _log(mass[trial.group]) - _log(max(others, default=1e-6)),
        "group_mass": _log(mass[trial.group]),
        "leads_group": float(own[0] == i),
        "rows": math.log1p(trial.rows),
        "width": trial.width,
        "width_to_first": trial.width - top.width,
        "rows_to_first": math.log1p(trial.rows) - math.log1p(top.rows),
        "is_empty": float(trial.rows == 0),
        "is_blank": float(trial.is_blank),
        "is_single": float(trial.rows == 1),
        "is_distinct": trial.distinct,
        "barren": float(bool(fruitful) and (trial.rows == 0 or trial.is_blank)),
        "single_asked": float(scene.asks["most"] or scene.asks["least"]) * float(trial.rows > 1),
        "truncated": float(trial.truncated),
    }


_OUTCOME = (
    "votes vote_share group_margin group_mass leads_group rows width width_to_first rows_to_first is_empty is_blank "
    "is_single is_distinct barren single_asked truncated"
).split()
_EMPTY = _Scene("", RetrievedContext(()))
FEATURES: tuple[str, ...] = (
    *_shared(_EMPTY, [Trial("", 0.0)]),
    *_standing(0, [Trial("", 0.0)]),
    *_fit(_EMPTY, Trial("", 0.0)),
    *_OUTCOME,
)
"""The names of what ``features_of`` gives, in its order."""


# -- the decision --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Trees that score candidates, and the logistic curve from the best score to a probability.

    The curve adds up ``slope`` times the score, ``absent`` times the log-probability that the database can
    answer at all, and ``offset``.
    """

    trees: Trees
    slope: float
    absent: float
    offset: float

    @classmethod
    def of(cls, document: dict[str, Any]) -> Judge:
        """From what ``json`` reads; ValueError or KeyError when it is something else."""
        curve = (float(document[name]) for name in ("slope", "absent", "offset"))
        return cls(Trees.of(document), *curve)

    def confidence(self, score: float, p_unanswerable: float) -> float:
        """How likely the candidate of this score is right, 0 to 1."""
        x = self.slope * score + self.absent * math.log(max(1e-6, 1.0 - p_unanswerable)) + self.offset
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, x))))


class Chooser:
    """Parameters of one model's ``choice.json``: how to choose, and below what to abstain.

    ``threshold`` is the confidence below which an answer is rather kept back, where nobody set another.
    """

    def __init__(self, run: Judge, unrun: Judge, threshold: float) -> None:
        self._run = run
        self._unrun = unrun
        self.threshold = threshold

    @classmethod
    def of(cls, document: dict[str, Any]) -> Chooser:
        """From what ``json`` reads; ValueError or KeyError when it is something else."""
        return cls(Judge.of(document["run"]), Judge.of(document["unrun"]), float(document["threshold"]))

    def choose(
        self, question: str, context: RetrievedContext, trials: Sequence[Trial], p_unanswerable: float = 0.0
    ) -> Choice:
        """The trial to answer with. ``trials`` stand best first; once any ran, only such are chosen.

        ``p_unanswerable`` is the model's own probability that the database can't answer.
        """
        ran = any(trial.state == "ran" for trial in trials)
        judge = self._run if ran else self._unrun
        scores = judge.trees.score(np.array(features_of(question, context, trials)))
        for i, trial in enumerate(trials):
            if ran and trial.state != "ran":
                scores[i] = -np.inf
        index = int(scores.argmax())
        confidence = judge.confidence(float(scores[index]), p_unanswerable)
        return Choice(index, confidence, doubt_of(question, context, trials[index]))


# Words that no schema would hold: naming them would help nobody.
_CONNECTING = frozenset(
    "about above across after again against along also although among around because before behind below beside between both "
    "can could currently done during either ever except few first further get had has his her him hers himself into its itself "
    "just last late later latest least less live lives long made make makes many may might most much must neither never next "
    "now off often one once only other others our out over own per please possible same see several she since some someone "
    "still such than their them then there they through time times together too twice two under until upon use used uses "
    "using very via want was way were while whole will within without would yet you your".split()
)


def doubt_of(question: str, context: RetrievedContext, trial: Trial) -> str:
    """Words of the question that neither a name of the context nor a literal of the query explains; "" if none."""
    scene = _Scene(question, context)
    known: set[str] = set().union(*scene.table_stems.values(), *scene.column_stems.values())
    known |= {_stem(word) for text in _read(trial.sql).strings for word in _WORD.findall(text)}
    strange = [
        word
        for word in dict.fromkeys(re.findall(r"[a-z]+", scene.lower))
        if _stem(word) in scene.content and _stem(word) not in known and word not in _CONNECTING
    ]
    if not strange:
        return ""
    return "nothing found that is called " + " or ".join(f"{word!r}" for word in strange[:3])


def load_chooser(model: ModelInfo, folder: Path | None = None) -> Chooser | None:
    """What was fitted to this model, from ``folder`` (the shipped weights' by default); None where nothing was.

    Raises ModelUnavailable for a file that is damaged.
    """
    path = (folder or shipped_path()) / "choice.json"
    try:
        document = json.loads(path.read_text())
        if [document["model"], document["version"]] != [model.name, model.version]:
            return None
        if document["format"] != 1 or document["features"] != list(FEATURES):
            raise ModelUnavailable(f"{path} belongs to another version of sqlgen; reinstall the package")
        return Chooser.of(document)
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelUnavailable(f"{path} is damaged; reinstall sqlgen") from error
