"""A question for a query that has none: the query's form put into words, in several wordings.

The form (``sqlgen.sql.form``) is easier to say than a tree: joins and aliases are gone, a month is one value. The words
are the catalog's: natural names of tables and columns, their descriptions where these are short, names of metrics. Half
of the wordings are brief, as people are: they ask for publications in VLDB after 2000, not for titles of publications
whose conference name is VLDB and year is more than 2000. No draw is made: the same query has the same questions
everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlgen.catalog import natural_name
from sqlgen.sql.fingerprint import Unusable, form_of, literals, periods, says_again
from sqlgen.sql.form import (
    AGGREGATES,
    COMPARISONS,
    DATE_PARTS,
    ITEMS,
    NUMBERS,
    RANKS,
    SET_OPERATIONS,
    SHIFTS,
    SPANS,
    UNARY,
    FormToken,
    Inexpressible,
)
from sqlgen.training.logs.adjectives import superlatives_of
from sqlgen.training.synthesis.wording import plural, singular
from sqlgen.types import Catalog, Column, Dialect, RetrievedContext, TableSlice

__all__ = ["STYLES", "realise"]

STYLES = 8
"""How many wordings there are; a query that can't be said briefly has half of them."""
_FULL = 4


class _Unsayable(Exception):
    """The words for this construct are missing."""


@dataclass(frozen=True, slots=True)
class _Phrase:
    """An expression in words. ``rows``: it counts rows, and names them itself."""

    text: str
    aggregate: bool = False
    kind: str = "other"
    column: tuple[int, int] | None = None
    rows: bool = False


@dataclass(slots=True)
class _Core:
    """One SELECT, in words."""

    main: int
    items: list[_Phrase] = field(default_factory=list)
    distinct: bool = False
    everything: bool = False
    where: str = ""
    free: str = ""
    far: bool = False
    best: str = ""
    best_free: str = ""
    group: list[_Phrase] = field(default_factory=list)
    having: str = ""
    order: list[tuple[_Phrase, bool]] = field(default_factory=list)
    limit: str = ""
    offset: str = ""
    per: list[_Phrase] = field(default_factory=list)
    preserved: int | None = None
    where_at: int = 0

    @property
    def narrowed(self) -> bool:
        return bool(self.where or self.free or self.best)


def realise(
    sql: str,
    dialect: Dialect,
    catalog: Catalog,
    tables: Iterable[str],
    metrics: Mapping[str, str] | None = None,
    habits: Collection[frozenset[str]] = (),
) -> tuple[str, ...]:
    """Questions that ``sql`` answers, the plainest first; none where the form or the words for it are missing.

    ``tables`` are the keys of the tables that it reads, ``metrics`` names of metrics by their SQL, ``habits`` columns
    ("table_key.column") that go unsaid in brief wordings when just these are listed. A wording is kept
    when the query's form over it renders to the same SQL as over the bare values, so that every value is in it.

    >>> from sqlgen.types import Table
    >>> pets = Table("pets", (Column("name", "TEXT", "text"), Column("age", "INT", "number")))
    >>> realise("SELECT AVG(age) FROM pets WHERE name = 'Rex'", "sqlite", Catalog("sqlite", (pets,)), ["pets"])[0]
    'What is the average age of pets whose name is Rex?'
    """
    wanted = set(tables)
    context = RetrievedContext(tuple(TableSlice(t, 1.0, "") for t in catalog.tables if t.key in wanted))
    values = literals(sql, dialect)
    named = periods(values)
    within = {day for pair in named for day in pair}
    tries = [
        _listed([*named.values(), *(v for v in values if v not in within)]),
        _listed([*named.values(), *values]),
        _listed(values),
    ]
    for bare in dict.fromkeys(tries):
        again = says_again(sql, dialect, context, bare)
        if again is not None:
            break
    else:
        return ()
    form = form_of(sql, dialect, context, bare)
    known = _metrics(metrics or {}, dialect, context)
    found: dict[str, None] = {}
    for style in range(STYLES):
        try:
            question = _Speaker(form, context, bare, style, known, habits).question()
        except (_Unsayable, IndexError):
            continue
        if says_again(sql, dialect, context, question) == again:
            found[question] = None
    return tuple(found)


def _listed(values: Sequence[str]) -> str:
    return " | ".join(values)


def _metrics(
    metrics: Mapping[str, str], dialect: Dialect, context: RetrievedContext
) -> dict[tuple[FormToken, ...], str]:
    found: dict[tuple[FormToken, ...], str] = {}
    for sql, name in metrics.items():
        for piece in context.tables:
            try:
                values = _listed(literals(f"SELECT {sql}", dialect))
                form = form_of(f"SELECT {sql} FROM {piece.table.name}", dialect, context, values)
            except (Inexpressible, Unusable):
                continue
            rest = form[1 : form.index("from")] if "from" in form else form[1:]
            if not any(isinstance(t, tuple) and t[0] == "q" for t in rest):
                found.setdefault(tuple(rest), name)
    return found


_COMPARE: dict[str, tuple[str, ...]] = {
    "=": ("is", "is", "is", "is"),
    "!=": ("is not", "isn't", "is not", "is other than"),
    "<": ("is less than", "is below", "is under", "is smaller than"),
    ">": ("is more than", "is above", "is over", "is greater than"),
    "<=": ("is at most", "is no more than", "is at most", "does not exceed"),
    ">=": ("is at least", "is no less than", "is at least", "is at least"),
    "like": ("is like",),
    "not_like": ("is not like",),
    "contains": ("contains", "contains", "includes", "has in it"),
    "not_contains": ("does not contain", "doesn't contain", "does not include", "does not contain"),
    "starts": ("starts with", "begins with", "starts with", "begins with"),
    "ends": ("ends with", "ends in", "ends with", "ends with"),
}  # fmt: skip
_COMPARE_DATE: dict[str, tuple[str, ...]] = {
    "=": ("is in", "is in", "is in", "falls in"),
    "!=": ("is not in",),
    "<": ("is before", "is earlier than", "is before", "is prior to"),
    ">": ("is after", "is later than", "is after", "is after"),
    "<=": ("is up to", "is no later than", "is until", "is not after"),
    ">=": ("is on or after", "is from", "is since", "is not before"),
}
_AGGREGATE = {
    "sum": ("total", "sum of the", "total", "overall"),
    "avg": ("average", "average", "mean", "average"),
    "min": ("lowest", "minimum", "smallest", "lowest"),
    "max": ("highest", "maximum", "largest", "highest"),
}
_EXTREMES = {
    "min": ("lowest", "minimum", "smallest", "least"),
    "max": ("highest", "maximum", "largest", "most", "greatest"),
}
_SUPERLATIVE = tuple(f"the {said} " for word in ("min", "max") for said in _AGGREGATE[word])
_DATES = {"min": ("earliest", "first"), "max": ("latest", "most recent")}
_TRUTH = {"1": True, "true": True, "0": False, "false": False}
_NULL = {
    "is_null": ("is missing", "is empty", "is missing", "is not known"),
    "not_null": ("is known", "is not empty", "is known", "is not missing"),
}
_LINKS = {
    "union": ("together with", "or", "and also", "plus"),
    "union_all": ("together with", "and all", "and also", "plus"),
    "intersect": ("that are also among", "and at the same time", "which are also", "also found among"),
    "except": ("but not", "except", "without", "leaving out"),
}
_MANY = {
    "=": "exactly {}",
    "!=": "not {}",
    ">": "more than {}",
    "<": "fewer than {}",
    ">=": "at least {}",
    "<=": "at most {}",
}
# Conditions without the name of their column.
_FREE_NAME = (
    " of {value}",
    " in the {value} {noun}",
    " by {noun} {value}",
    " from {value}",
    " in {value}",
    " by {value}",
)
_FREE_OWN = (" of {value}", " for {value}")
_FREE_ROW = (" called {value}", " named {value}", " {value}")
_FREE_TEXT = (" in {value}", " that are {value}", " with {value}", " for {value}")
# By what a column names: a place, what something is about, somebody.
_FREE_OF: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (
        re.compile(
            r"\b(?:city|town|village|state|province|county|country|nation|region|continent|district|borough|"
            r"neighbou?rhood|location|place|municipality|island)(?: name)?$"
        ),
        (" in {value}", " of {value}", " in {value}", " located in {value}"),
    ),
    (
        re.compile(r"\b(?:street|road|avenue)(?: name)?$"),
        (" on {value}", " in {value}", " on {value}", " of {value}"),
    ),
    (
        re.compile(r"\b(?:key ?word|key ?phrase|topic|subject|theme|tag)(?: name)?$"),
        (" about {value}", " on {value}", " about {value}", " on the {noun} {value}"),
    ),
    (
        re.compile(
            r"\b(?:author|writer|director|producer|actor|person|artist|singer|composer|customer|client|user|"
            r"employee|student|teacher|instructor|player|manager)(?: name)?$"
        ),
        (" by {value}", " of {value}", " by {noun} {value}", " of {value}"),
    ),
)
_FREE_PART = (" about {value}", " with {value}", " containing {value}", " on {value}")
_FREE_TIME = {"=": "in", "<": "before", ">": "after", "<=": "until", ">=": "since"}
_NAMES = {"name", "title", "label", "full name", "first name", "last name"}
_ARITHMETIC = {"+": "plus", "-": "minus", "*": "times", "/": "divided by"}
_UNARY = {
    "lower": "{} in lower case",
    "upper": "{} in upper case",
    "length": "length of the {}",
    "abs": "absolute {}",
    "to_number": "{}",
}
_PARTS = {
    "by_quarter": "quarter",
    "by_month": "month",
    "by_week": "week",
    "by_day": "day",
    "weekday": "weekday",
}
_STOPS = {"]", ")", "where", "group", "having", "order", "limit", "from", *SET_OPERATIONS}


class _Speaker:
    def __init__(
        self,
        tokens: Sequence[FormToken],
        context: RetrievedContext,
        spoken: str,
        style: int,
        metrics: Mapping[tuple[FormToken, ...], str],
        habits: Collection[frozenset[str]],
    ) -> None:
        self.tokens = tokens
        self.context = context
        self.spoken = spoken
        self.style = style
        self.brief = style >= _FULL
        self.free = False
        self.metrics = metrics
        self.habits = habits
        self.at = 0
        self.cores: list[_Core] = []
        self.derived: list[str] = []
        self.inner: _Core | None = None
        self.apart = False
        self.frame = ""

    # -- tokens ------------------------------------------------------------------------------------------

    def peek(self) -> FormToken:
        return self.tokens[self.at] if self.at < len(self.tokens) else "</s>"

    def take(self) -> FormToken:
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, *words: str) -> str | None:
        token = self.peek()
        if isinstance(token, str) and token in words:
            self.at += 1
            return token
        return None

    def need(self, word: str) -> None:
        if not self.accept(word):
            raise _Unsayable(word)

    def pick(self, words: Sequence[str]) -> str:
        return words[self.style % len(words)]

    # -- names -------------------------------------------------------------------------------------------

    def noun(self, table: int, many: bool = True) -> str:
        name = natural_name(self.context.tables[table].table.name)
        return plural(singular(name)) if many else singular(name)

    def column_of(self, place: tuple[int, int]) -> Column:
        return self.context.tables[place[0]].table.columns[place[1]]

    def name(self, place: tuple[int, int]) -> str:
        column = self.column_of(place)
        comment = column.comment.strip().rstrip(".").lower()
        if self.style % 2 and comment and len(comment.split()) <= 4 and comment.replace(" ", "").isalpha():
            return comment
        own = natural_name(column.name)
        main = self.cores[-1].main if self.cores else place[0]
        noun = self.noun(place[0], many=False)
        crowded = self.apart and own in (
            "name",
            "id",
            "title",
            "code",
            "type",
            "status",
            "date",
            "description",
        )
        if (place[0] != main or crowded) and not own.startswith(noun):
            return f"{noun} {own}"
        return own

    def used(self) -> set[int]:
        """The tables that the form names at all."""
        return {t[1] for t in self.tokens if isinstance(t, tuple) and t[0] in ("c", "t")}

    def main(self, start: int) -> int:
        """The table whose rows a core is about: the first listed column's, or the child-most where rows are counted."""
        depth = 0
        used: list[int] = []
        listed: list[tuple[int, int]] = []
        grouped = False
        head = True
        k = start
        inside_aggregate = False
        while k < len(self.tokens):
            token = self.tokens[k]
            if isinstance(token, str):
                if token == "[":
                    depth += 1
                elif token == "]":
                    depth -= 1
                    if depth < 0:
                        break
                elif depth == 0 and token in SET_OPERATIONS:
                    break
                elif depth == 0 and token in ("from", "where", "group", "having", "order", "limit"):
                    head = False
                    grouped |= token == "group"
                elif depth == 0 and token in AGGREGATES:
                    inside_aggregate = True
            elif token[0] in ("c", "t") and depth == (self.tokens[k - 1] == "outer"):
                if token[1] not in used:
                    used.append(token[1])
                if depth == 0 and head and len(token) == 3 and not inside_aggregate:
                    listed.append((token[1], token[2]))
                inside_aggregate = False
            k += 1
        if not used:
            raise _Unsayable("no table")
        if listed and not grouped:
            return listed[0][0] if (thing := self.habitual(listed)) is None else thing
        keys = {t: self.context.tables[t].table.key for t in used}
        above = {t: self.ancestors(keys[t]) for t in used}
        children = [t for t in used if not any(keys[t] in above[o] for o in used if o != t)]
        return (children or used)[0]

    def habitual(self, places: Sequence[tuple[int, int]]) -> int | None:
        """The table whose rows are meant when just these columns are listed, by habit."""
        keys = {f"{self.context.tables[t].table.key}.{self.column_of((t, c)).name}" for t, c in places}
        if keys not in self.habits:
            return None
        named = [place for place in places if self.is_name(place)]
        keyed = [place for place in places if self.column_of(place).primary_key]
        return next((table for table, _ in named + keyed), None)

    def groups(self) -> bool:
        """Whether the core that begins here has groups."""
        depth = 0
        for token in self.tokens[self.at :]:
            if token in ("[", "("):
                depth += 1
            elif token in ("]", ")"):
                depth -= 1
            elif token == "group" and depth == 0:
                return True
            if depth < 0 or (depth == 0 and token in SET_OPERATIONS):
                return False
        return False

    def ancestors(self, key: str) -> set[str]:
        """The tables that the rows of this one refer to, at any distance."""
        tables = {piece.table.key: piece.table for piece in self.context.tables}
        found: set[str] = set()
        waiting = [key]
        while waiting:
            table = tables.get(waiting.pop())
            fresh = {k.target for k in table.foreign_keys} - found if table else set()
            found |= fresh
            waiting += fresh
        return found

    # -- sentences ---------------------------------------------------------------------------------------

    def question(self) -> str:
        if self.peek() == "unanswerable":
            raise _Unsayable("unanswerable")
        text = self.query(whole=True)
        if self.at < len(self.tokens):
            raise _Unsayable(str(self.peek()))
        text = " ".join(text.split())
        return text[0].upper() + text[1:]

    def query(self, whole: bool) -> str:
        core = self.core()
        if self.peek() not in SET_OPERATIONS:
            return self.sentence(core) if whole else self.as_noun(core)
        parts, words = [self.as_noun(core)], []
        while word := self.accept(*SET_OPERATIONS):
            words.append(word)
            core = self.core()
            parts.append(self.as_noun(replace(core, order=[], limit="")))
        joined = parts[0]
        for word, part in zip(words, parts[1:], strict=True):
            joined += f" {self.pick(_LINKS[word])} the {part}"
        joined += self.ordering(core)
        return (
            f"{self.pick(('Show the', 'What are the', 'List the', 'Give the'))} {joined}{'?' if self.style % 4 == 1 else '.'}"
            if whole
            else joined
        )

    def core(self) -> _Core:
        if self.accept("with"):
            self.need("[")
            inner = self.core()
            if self.peek() in SET_OPERATIONS:
                raise _Unsayable("a set operation in WITH")
            self.need("]")
            tail = f" per {_and([g.text for g in inner.group])}" if inner.group else ""
            tail += self.of_rows(inner) if inner.narrowed else ""
            self.derived = [p.text + (tail if p.aggregate else "") for p in inner.items]
            if inner.limit or (inner.having and not inner.group):
                raise _Unsayable("a limited WITH")
            self.inner = inner
        self.need("select")
        try:
            main = self.main(self.at)
        except _Unsayable:
            if not self.derived:
                raise
            main = -1
        core = _Core(main)
        self.cores.append(core)
        outside, self.apart = self.apart, len(self.used()) > 1 and self.groups()
        core.distinct = bool(self.accept("distinct"))
        while not (isinstance(self.peek(), str) and self.peek() in {*_STOPS, "</s>"}):
            core.items.append(self.item(core))
        if self.accept("from"):
            while not (isinstance(self.peek(), str) and self.peek() in (_STOPS - {"from"}) | {"</s>"}):
                if self.accept("all"):
                    core.preserved = self.pointer()[0]
                elif word := self.accept("via", "other", "on"):
                    self.take()
                    if word == "on":
                        self.take()
                else:
                    self.pointer()
        if self.accept("where"):
            core.where_at = self.at
            around, self.free = self.free, self.brief and not self.has_or()
            core.where = self.condition()
            self.free = around
        if self.accept("group"):
            while not (isinstance(self.peek(), str) and self.peek() in {*_STOPS, "</s>"}):
                core.group.append(self.expr())
        if self.accept("having"):
            core.having = self.condition()
        if self.accept("order"):
            core.order = self.orders()
        if self.accept("limit"):
            core.limit = self.value()
            if self.accept("offset"):
                core.offset = self.value()
            if self.accept("per"):
                while not (
                    isinstance(self.peek(), str) and self.peek() in {"]", ")", *SET_OPERATIONS, "</s>"}
                ):
                    core.per.append(self.expr())
        if core.best and (
            core.group or core.having or core.order or core.everything or any(p.aggregate for p in core.items)
        ):
            core.free, core.best = core.best_free + core.free, ""
        self.cores.pop()
        self.apart = outside
        return core

    def pointer(self) -> tuple[int, int]:
        token = self.take()
        if not isinstance(token, tuple) or token[0] not in ("t", "c"):
            raise _Unsayable(str(token))
        return token[1], token[2] if len(token) == 3 else -1

    def orders(self) -> list[tuple[_Phrase, bool]]:
        out = []
        while not (
            isinstance(self.peek(), str)
            and self.peek() in {"]", ")", "limit", "rows", *SET_OPERATIONS, "</s>"}
        ):
            phrase = self.expr()
            out.append((phrase, self.take() == "desc"))
        return out

    def item(self, core: _Core) -> _Phrase:
        token = self.peek()
        if token == "*" or (isinstance(token, tuple) and token[0] == "t"):
            self.take()
            core.everything = True
            return _Phrase(self.pick(("all details", "everything", "all columns", "all information")))
        for size in range(12, 0, -1):
            known = self.metrics.get(tuple(self.tokens[self.at : self.at + size]))
            if known is not None:
                self.at += size
                return _Phrase(known, True, "number")
        return self.expr()

    def nouns(self, core: _Core, many: bool = True) -> str:
        if core.main >= 0:
            return self.noun(core.main, many)
        inner = self.inner
        place = inner.group[0].column if inner is not None and len(inner.group) == 1 else None
        if inner is None or place is None:
            return "groups"
        what = self.counted(place) if self.is_key(place) else plural(natural_name(self.column_of(place).name))
        among = f" among {self.noun(inner.main)}{self.whose(inner)}" if inner.narrowed else ""
        return f"{what}{self.having(inner)}{among}"

    def whose(self, core: _Core) -> str:
        if not core.where:
            return core.free
        if core.where.startswith(("that ", "with ")):
            return f"{core.free} {core.where}"
        if self.style % 4 == 2:
            # with city Berlin and price over 5
            return f"{core.free} with {core.where.replace(' is not ', ' other than ').replace(' is ', ' ')}"
        return f"{core.free} {self.pick(('whose', 'where the', 'whose', 'where'))} {core.where}"

    def of_rows(self, core: _Core) -> str:
        if core.best:
            return f" of the {core.best} {self.nouns(core, many=False)}{self.whose(core)}"
        return f" of {self.nouns(core)}{self.whose(core)}"

    def best(self, main: int, phrase: _Phrase, most: bool) -> str:
        """What the row of a table with the most, or least, of a measure is called: longest; "" where its column says it."""
        place = phrase.column
        # Every other brief wording names the column.
        if not self.brief or self.style % 2 or place is None or place[0] != main:
            return ""
        words = superlatives_of(self.context.tables[main].table, self.column_of(place), most)
        return words[self.style // 2 % len(words)] if words else ""

    def as_noun(self, core: _Core) -> str:
        """A core as part of a sentence: "average price of products whose ..."."""
        text = _and([p.text for p in core.items])
        if core.distinct:
            text = f"different {text}"
        if core.limit and core.order:
            phrase, down = core.order[0]
            many = "" if core.limit == "1" else f"{core.limit} "
            rows = self.nouns(core, core.limit != "1")
            best = self.best(core.main, phrase, down) if len(core.order) == 1 else ""
            text += (
                f" of the {many}{best} {rows}{self.whose(core)}"
                if best
                else f" of the {many}{rows}{self.whose(core)} with the {self.extreme(phrase, down)}"
            )
        elif all(p.rows for p in core.items) and core.items:
            text += self.whose(core)
        elif core.main >= 0:
            text += self.of_rows(core)
        if core.group:
            text += f" per {_and([g.text for g in core.group])}"
        if core.having:
            text += self.having(core)
        return text

    @staticmethod
    def having(core: _Core) -> str:
        if core.having.startswith("there are "):
            return f" with {core.having.removeprefix('there are ')}"
        return f", only where the {core.having}" if core.having else ""

    def extreme(self, phrase: _Phrase, down: bool) -> str:
        if phrase.rows and phrase.text.startswith("number of "):
            return ("most " if down else "fewest ") + phrase.text.removeprefix("number of ")
        if self.brief and phrase.text.endswith((" number", " count")):
            # the most citations, not the highest citation number
            return ("most " if down else "fewest ") + plural(phrase.text.rpartition(" ")[0])
        if phrase.kind == "date":
            return self.pick(("latest", "most recent") if down else ("earliest", "first")) + f" {phrase.text}"
        if phrase.text.partition(" ")[0] in _EXTREMES["max" if down else "min"]:
            return phrase.text
        return (
            self.pick(("highest", "largest", "greatest", "highest") if down else ("lowest", "smallest"))
            + f" {phrase.text}"
        )

    def ordering(self, core: _Core) -> str:
        if not core.order:
            return f", {core.limit} at most" if core.limit else ""
        parts = []
        for phrase, down in core.order:
            if phrase.kind == "text":
                way = "in reverse alphabetical order" if down else "alphabetically"
            elif phrase.kind == "date":
                way = "latest first" if down else "earliest first"
            else:
                way = self.pick(("from highest to lowest", "descending", "highest first") if down
                                else ("from lowest to highest", "ascending", "lowest first"))  # fmt: skip
            parts.append(f"{phrase.text} {way}")
        text = f", {self.pick(('sorted by', 'ordered by', 'sorted by', 'in order of'))} {_and(parts)}"
        if core.limit:
            text += f", the first {core.limit} only"
        if core.offset:
            text += f" after skipping {core.offset}"
        return text

    def sentence(self, core: _Core) -> str:
        if core.per or core.offset:
            return self.per_group(core)
        if core.group or any(p.aggregate for p in core.items):
            return self.grouped(core) if core.group else self.scalar(core)
        return self.listing(core)

    def per_group(self, core: _Core) -> str:
        if not core.per:
            things = self.as_noun(replace(core, limit="", order=[]))
            return f"{self.pick(('Show', 'List', 'Give', 'Return'))} the {things}{self.ordering(core)}."
        best = (
            f"{core.limit} {self.nouns(core)}"
            if not core.group
            else f"{core.limit} {_and([g.text for g in core.group if g not in core.per] or ['rows'])}"
        )
        way = f"with the {self.extreme(*core.order[0])}" if core.order else ""
        per = _and([p.text for p in core.per])
        each = self.pick(("For each", "Within each", "Per", "For every"))
        verb = self.pick(("show", "what are", "list", "give"))
        things = _and([p.text for p in core.items])
        end = "?" if self.style % 4 == 1 else "."
        return f"{each} {per}, {verb} the {best} {way}{self.whose(core)} with {things}{end}"

    def listing(self, core: _Core) -> str:
        things = _and([p.text for p in core.items])
        if core.limit != "1" and self.style % 2 and not core.everything:
            things = _and([plural(p.text) if p.column is not None else p.text for p in core.items])
        if core.distinct:
            things = f"{self.pick(('different', 'distinct', 'unique', 'distinct'))} {things}"
        nouns, whose = self.nouns(core), self.whose(core)
        if self.brief and (meant := self.meant(core)):
            return self.brief_listing(core, meant)
        if core.best or (
            core.limit == "1"
            and len(core.order) == 1
            and not core.everything
            and (best := self.best(core.main, *core.order[0]))
        ):
            rows = f"{core.best or best} {self.nouns(core, many=False)}{whose}"
            return self.pick((
                f"What is the {things} of the {rows}?",
                f"Show the {things} of the {rows}.",
                f"{things} of the {rows}",
                f"Tell me the {things} of the {rows}.",
            ))  # fmt: skip
        if core.limit and core.order:
            phrase, down = core.order[0]
            extreme = self.extreme(phrase, down)
            rest = self.then(core)
            if core.limit == "1":
                one = self.nouns(core, many=False)
                if core.everything:
                    return self.pick(
                        (
                            f"Which {one}{whose} has the {extreme}{rest}?",
                            f"Show the {one} with the {extreme}{whose}{rest}.",
                        )
                    )
                return self.pick((
                    f"What is the {things} of the {one} with the {extreme}{rest}{whose}?",
                    f"Show the {things} of the {one}{whose} that has the {extreme}{rest}.",
                    f"{things} of the {one} with the {extreme}{rest}{whose}",
                    f"Which {one}{whose} has the {extreme}{rest}? Give the {things}.",
                ))  # fmt: skip
            return self.pick((
                f"What are the {things} of the {core.limit} {nouns} with the {extreme}{rest}{whose}?",
                f"Show the {things} of the {'top' if down else 'bottom'} {core.limit} {nouns} by {phrase.text}{rest}{whose}.",
                f"{core.limit} {nouns}{whose} with the {extreme}{rest}: {things}",
                f"List the {things} for the {core.limit} {nouns}{whose} that have the {extreme}{rest}.",
            ))  # fmt: skip
        order = self.ordering(core)
        if core.free and not (core.where or core.far or core.everything) and len(core.items) == 1:
            # the highest point in Texas, of whatever table
            return self.pick((
                f"What is the {things}{whose}{order}?",
                f"Show the {things}{whose}{order}.",
                f"{things}{whose}{order}",
                f"Tell me the {things}{whose}{order}.",
            ))  # fmt: skip
        if core.everything:
            return self.pick((
                f"Show {things} of the {nouns}{whose}{order}.",
                f"Which {nouns} are there{whose}{order}?",
                f"List all {nouns}{whose}{order}",
                f"Give me {things} on {nouns}{whose}{order}.",
            ))  # fmt: skip
        return self.pick((
            f"Show the {things} of all {nouns}{whose}{order}.",
            f"What are the {things} of {nouns}{whose}{order}?",
            f"List the {things} for {nouns}{whose}{order}.",
            f"{things} of the {nouns}{whose}{order}",
        ))  # fmt: skip

    def meant(self, core: _Core) -> str:
        """What is listed when only names or keys of one table are, or the usual columns: its rows."""
        places = [p.column for p in core.items if p.column is not None]
        if not places or len(places) < len(core.items):
            return ""
        if (thing := self.habitual(places)) is not None:
            return self.noun(thing)
        if not all(self.is_key(place) or self.is_name(place) for place in places):
            return ""
        nouns = {self.counted(place) if self.is_key(place) else self.noun(place[0]) for place in places}
        return nouns.pop() if len(nouns) == 1 else ""

    def brief_listing(self, core: _Core, nouns: str) -> str:
        whose, order = self.whose(core), self.ordering(core)
        best = core.best or (
            self.best(core.main, *core.order[0]) if core.limit and len(core.order) == 1 else ""
        )
        if best and core.limit in ("", "1"):
            rows = f"{best} {singular(nouns)}{whose}"
            return self.pick((
                f"What is the {rows}?",
                f"Which is the {rows}?",
                f"{rows}",
                f"Give me the {rows}.",
            ))  # fmt: skip
        if best:
            return self.pick((
                f"What are the {core.limit} {best} {nouns}{whose}?",
                f"Show the {core.limit} {best} {nouns}{whose}.",
                f"{core.limit} {best} {nouns}{whose}",
                f"Give me the {core.limit} {best} {nouns}{whose}.",
            ))  # fmt: skip
        if core.limit and core.order:
            phrase, down = core.order[0]
            extreme, rest = self.extreme(phrase, down), self.then(core)
            if core.limit == "1":
                one = singular(nouns)
                return self.pick((
                    f"What is the {one}{whose} with the {extreme}{rest}?",
                    f"Which {one}{whose} has the {extreme}{rest}?",
                    f"{one} with the {extreme}{rest}{whose}",
                    f"Give me the {one}{whose} that has the {extreme}{rest}.",
                ))  # fmt: skip
            return self.pick((
                f"What are the {core.limit} {nouns}{whose} with the {extreme}{rest}?",
                f"Show the {'top' if down else 'bottom'} {core.limit} {nouns}{whose} by {phrase.text}{rest}.",
                f"{core.limit} {nouns} with the {extreme}{rest}{whose}",
                f"Which {core.limit} {nouns}{whose} have the {extreme}{rest}?",
            ))  # fmt: skip
        return self.pick((
            f"Show me all {nouns}{whose}{order}.",
            f"What are the {nouns}{whose}{order}?",
            f"{nouns}{whose}{order}",
            f"Give me the {nouns}{whose}{order}.",
        ))  # fmt: skip

    def then(self, core: _Core) -> str:
        rest = [
            f"{'highest' if down else 'lowest'} {p.text}" if p.kind != "text" else p.text
            for p, down in core.order[1:]
        ]
        return f" (then by {_and(rest)})" if rest else ""

    def scalar(self, core: _Core) -> str:
        whose = self.whose(core)
        if (
            len(core.items) == 1
            and core.items[0].rows
            and core.items[0].text.startswith("number of ")
            and (self.brief or core.items[0].text == f"number of {self.nouns(core)}")
        ):
            nouns = core.items[0].text.removeprefix("number of ")
            return self.pick((
                f"How many {nouns}{whose} are there?",
                f"What is the number of {nouns}{whose}?",
                f"Count the {nouns}{whose}.",
                f"Number of {nouns}{whose}",
            ))  # fmt: skip
        things = _and([p.text for p in core.items])
        tail = whose if all(p.rows for p in core.items) or core.main < 0 else self.of_rows(core)
        return self.pick((
            f"What {'is' if len(core.items) == 1 else 'are'} the {things}{tail}?",
            f"Show the {things}{tail}.",
            f"{things}{tail}",
            f"Tell me the {things}{tail}.",
        ))  # fmt: skip

    def grouped(self, core: _Core) -> str:
        keys = {g.text for g in core.group}
        aggregates = [p for p in core.items if p.aggregate]
        plain = [p for p in core.items if not p.aggregate]
        shown = [p for p in plain if p.text in keys] or plain
        # Grouped by a key, shown by a name: people say the name.
        each = self.entity(shown or core.group) or _and([p.text for p in shown or core.group])
        extra = _and([p.text for p in plain if p not in shown])
        things = _and([p.text for p in aggregates])
        tail = ""
        if core.narrowed:
            counted = aggregates and all(p.rows for p in aggregates)
            tail = self.whose(core) if counted else f", counting only {self.nouns(core)}{self.whose(core)}"
            if aggregates and not counted:
                tail = self.of_rows(core)
        if extra:
            each += f" with {extra}"
        having = self.having(core)
        if core.limit and core.order:
            phrase, down = core.order[0]
            extreme, rest = self.extreme(phrase, down), self.then(core)
            beside = [p.text for p in aggregates if p.text != phrase.text]
            also = f" Show also the {_and(beside)}." if beside else ""
            where = f" among {self.nouns(core)}{self.whose(core)}" if core.narrowed else ""
            if core.limit == "1":
                also = f" Show it and the {things}." if aggregates else ""
                return self.pick((
                    f"Which {each} has the {extreme}{rest}{where}{having}?{also}",
                    f"What is the {each} with the {extreme}{rest}{where}{having}?{also}",
                    f"{each} with the {extreme}{rest}{where}{having}" + (f" and the {things}" if aggregates else ""),
                    f"Find the {each} that has the {extreme}{rest}{where}{having}.{also}",
                ))  # fmt: skip
            many = f"{core.limit} {plural(each) if ' and ' not in each else each}"
            with_ = f", with the {things}" if aggregates else ""
            return self.pick((
                f"Which {many} have the {extreme}{rest}{where}{having}{with_}?{'' if aggregates else also}",
                f"Show the {'top' if down else 'bottom'} {many} by {phrase.text}{rest}{where}{having}{with_}.",
                f"{many} with the {extreme}{rest}{where}{having}{with_}",
                f"What are the {many} with the {extreme}{rest}{where}{having}{with_}?",
            ))  # fmt: skip
        order = self.ordering(core)
        if not aggregates:
            where = f" among {self.nouns(core)}{self.whose(core)}" if core.narrowed else ""
            if having.startswith(" with ") and not order:
                many = plural(each) if " and " not in each else each
                have = having.removeprefix(" with ")
                return self.pick((
                    f"Which {many} have {have}{where}?",
                    f"Show the {many} that have {have}{where}.",
                    f"{many}{having}{where}",
                    f"What are the {many}{having}{where}?",
                ))  # fmt: skip
            return self.pick((
                f"Which {each} are there{where}{having}{order}?",
                f"Show the {each}{where}{having}{order}.",
                f"List each {each}{where}{having}{order}",
                f"What are the {each}{where}{having}{order}?",
            ))  # fmt: skip
        if having.startswith(" with "):
            each, having = each + having, ""
        return self.pick((
            f"For each {each}, show the {things}{tail}{having}{order}.",
            f"What is the {things}{tail} by {each}{having}{order}?",
            f"{things}{tail} per {each}{having}{order}",
            f"Show {each} and the {things}{tail} for each{having}{order}.",
        ))  # fmt: skip

    def entity(self, phrases: Sequence[_Phrase]) -> str:
        """What rows are grouped by when only names of them are shown: each customer, not each first and last name."""
        places = [p.column for p in phrases]
        if self.brief and len(places) == 1 and places[0] is not None and self.is_key(places[0]):
            return singular(self.counted(places[0]))
        if (
            (self.style % 2 == 0 and not self.brief)
            or any(place is None or not self.is_name(place) for place in places)
            or len({place[0] for place in places if place}) != 1
        ):
            return ""
        return self.noun(places[0][0], many=False)  # type: ignore[index]

    # -- expressions -------------------------------------------------------------------------------------

    def expr(self) -> _Phrase:
        left = self.prim()
        while word := self.accept("+", "-", "*", "/"):
            right = self.prim()
            left = self.combined(left, word, right)
        return left

    def combined(self, left: _Phrase, word: str, right: _Phrase) -> _Phrase:
        aggregate = left.aggregate or right.aggregate
        if word == "*" and left.text in ("1", "1.0"):
            return replace(right, rows=False)
        if word == "*" and left.text in ("100", "100.0") and aggregate:
            return _Phrase(f"percent of {right.text}", True, "number")
        if word == "/" and left.text.startswith("percent of "):
            part = left.text.removeprefix("percent of ")
            if right.rows and part.startswith(f"{right.text} where "):
                return _Phrase(f"percentage of {part.removeprefix('number of ')}", True, "number", rows=True)
            return _Phrase(f"{part} as a percentage of the {right.text.removeprefix('the ')}", True, "number")
        return _Phrase(f"{left.text} {_ARITHMETIC[word]} {right.text}", aggregate, "number")

    def prim(self) -> _Phrase:
        token = self.peek()
        if isinstance(token, tuple):
            if token[0] == "c":
                place = self.pointer()
                column = self.column_of(place)
                return _Phrase(self.name(place), kind=column.kind, column=place)
            return _Phrase(self.value())
        if token in NUMBERS:
            return _Phrase(self.value(), kind="number")
        if word := self.accept(*AGGREGATES):
            return self.windowed(self.aggregate(word))
        if word := self.accept(*DATE_PARTS):
            inner = self.prim()
            unit = _PARTS.get(word, word)
            alone = self.style % 2 == 0 and word.startswith("by_")
            return _Phrase(
                unit if alone else f"{unit} of the {inner.text}",
                kind="date" if word.startswith("by_") else "number",
            )
        if token in ITEMS:
            self.take()
            number = ITEMS.index(str(token))
            if number >= len(self.derived):
                raise _Unsayable("an item of nothing")
            return _Phrase(self.derived[number], kind="number")
        if self.accept("other"):
            inner = self.prim()
            return _Phrase(f"{self.role(inner.column)} {inner.text}", kind=inner.kind)
        if self.accept("outer"):
            inner = self.prim()
            return _Phrase(f"same {inner.text}", kind=inner.kind)
        if self.accept("{"):
            inner = self.expr()
            self.need("}")
            return inner
        if self.accept("["):
            text = self.query(whole=False)
            self.need("]")
            return _Phrase(f"the {text}", kind="number")
        if self.accept("today"):
            return _Phrase("today", kind="date")
        if word := self.accept(*SPANS):
            first, second = self.prim(), self.prim()
            return _Phrase(
                f"number of {word.split('_')[0]} from {first.text} to {second.text}",
                first.aggregate or second.aggregate,
                "number",
            )
        if word := self.accept(*UNARY):
            inner = self.prim()
            return replace(inner, text=_UNARY[word].format(inner.text), rows=False)
        if self.accept("round"):
            inner = self.prim()
            digits = self.value()
            return replace(inner, text=f"{inner.text} rounded to {digits} decimals", rows=False)
        if self.accept("left"):
            inner = self.prim()
            return replace(inner, text=f"first {self.value()} letters of the {inner.text}")
        if self.accept("coalesce"):
            inner = self.prim()
            default = self.prim()
            return replace(inner, text=f"{inner.text} ({default.text} where there is none)", rows=False)
        if self.accept("concat"):
            first, second = self.prim(), self.prim()
            return _Phrase(f"{first.text} and {second.text} in one", kind="text")
        if self.accept("case"):
            return self.case()
        if word := self.accept(*RANKS):
            per, order = self.over()
            return _Phrase(f"rank{f' within each {per}' if per else ''} by {order or 'order'}", kind="number")
        if self.accept("ntile"):
            size = self.value()
            per, order = self.over()
            return _Phrase(
                f"which of {size} equal groups by {order}{f' within each {per}' if per else ''}",
                kind="number",
            )
        if word := self.accept(*SHIFTS):
            inner = self.shifted()
            per, order = self.over()
            said = {
                "lag": "previous {}",
                "lead": "next {}",
                "change": "change of {} from the one before",
                "growth": "growth of {} in percent",
            }[word]
            return _Phrase(said.format(inner.text) + (f" within each {per}" if per else ""), True, "number")
        if self.accept("share"):
            inner = self.shifted()
            per = self.over()[0] if self.peek() == "over" else ""
            return _Phrase(
                f"share of the {inner.text} in percent{f' within each {per}' if per else ''}",
                inner.aggregate,
                "number",
            )
        raise _Unsayable(str(token))

    def shifted(self) -> _Phrase:
        word = self.accept(*AGGREGATES)
        return self.aggregate(word) if word else self.prim()

    def aggregate(self, word: str) -> _Phrase:
        condition = ""
        if self.accept("if"):
            self.need("(")
            condition = f" where the {self.condition()}"
            self.need(")")
        if word == "count" and self.accept("*"):
            core = self.cores[-1]
            return _Phrase(f"number of {self.nouns(core)}{condition}", True, "number", rows=not condition)
        distinct = bool(self.accept("distinct"))
        inner = self.shifted() if self.peek() in AGGREGATES else self.prim()
        if word == "count":
            if inner.column is not None and (
                self.is_key(inner.column) or (self.brief and self.is_name(inner.column))
            ):
                what = self.counted(inner.column)
                different = (
                    "different "
                    if distinct
                    and not self.brief
                    and inner.column[0] == self.cores[-1].main
                    and not self.column_of(inner.column).primary_key
                    else ""
                )
                return _Phrase(
                    f"number of {different}{what}{condition}",
                    True,
                    "number",
                    rows=not condition and not different,
                )
            many = plural(inner.text)
            return _Phrase(f"number of {'different ' if distinct else ''}{many}{condition}", True, "number")
        if inner.kind == "date" and word in _DATES:
            return _Phrase(f"{self.pick(_DATES[word])} {inner.text}{condition}", True, "date")
        different = "different " if distinct else ""
        said = self.pick(_AGGREGATE[word])
        if (word == "sum" and inner.text.startswith((f"{said} ", "total "))) or (
            word in _EXTREMES and inner.text.partition(" ")[0] in _EXTREMES[word]
        ):
            said = ""
        return _Phrase(
            f"{said} {different}{inner.text}{condition}".strip(),
            True,
            inner.kind if word in ("min", "max") else "number",
        )

    def role(self, place: tuple[int, int] | None) -> str:
        """What the second instance of a table is to the first: manager, parent."""
        table = self.context.tables[place[0]].table if place else None
        keys = (
            [k for k in table.foreign_keys if k.target == table.key and len(k.columns) == 1] if table else []
        )
        name = (
            natural_name(keys[0].columns[0]).removesuffix(" id").removesuffix(" number")
            if len(keys) == 1
            else ""
        )
        return name or "other"

    def is_key(self, place: tuple[int, int]) -> bool:
        return self.column_of(place).primary_key or self.target(place) is not None

    def target(self, place: tuple[int, int]) -> str | None:
        """The key of the table that a foreign key column refers to."""
        table = self.context.tables[place[0]].table
        name = table.columns[place[1]].name
        return next((k.target for k in table.foreign_keys if k.columns == (name,)), None)

    def is_child(self, place: tuple[int, int], parent: tuple[int, int]) -> bool:
        """Whether a column refers to the key of the table that the sentence is about."""
        key = self.context.tables[parent[0]].table.key
        own = self.column_of(parent).primary_key and self.cores[-1].main == parent[0]
        return own and self.target(place) == key

    def is_name(self, place: tuple[int, int]) -> bool:
        """Whether a column holds what rows of its table are called."""
        name, noun = natural_name(self.column_of(place).name), self.noun(place[0], many=False)
        return name in _NAMES or name in (noun, f"{noun} name", f"{noun} title")

    def counted(self, place: tuple[int, int]) -> str:
        table = self.context.tables[place[0]].table
        is_own = self.column_of(place).primary_key and sum(c.primary_key for c in table.columns) == 1
        if is_own or (self.target(place) is None and self.is_name(place)):
            return self.noun(place[0])
        target = self.target(place)
        named = next((i for i, s in enumerate(self.context.tables) if s.table.key == target), None)
        own = natural_name(self.column_of(place).name).removesuffix(" id")
        return self.noun(named) if named is not None else plural(own)

    def windowed(self, inner: _Phrase) -> _Phrase:
        if self.peek() != "over":
            return inner
        per, order = self.over()
        text = inner.text
        if order and self.frame:
            text = f"moving {text} over {self.frame} rows by {order}"
        elif order:
            text = f"running {text} by {order}"
        if per:
            text += f" within each {per}"
        elif not order:
            text = f"{text} over all"
        return _Phrase(text, inner.aggregate and not order, "number")

    def over(self) -> tuple[str, str]:
        """(partition, order) of a window in words; its frame is kept aside."""
        self.need("over")
        self.need("(")
        per: list[str] = []
        order: list[tuple[_Phrase, bool]] = []
        self.frame = ""
        if self.accept("per"):
            while not (isinstance(self.peek(), str) and self.peek() in (")", "order", "rows")):
                per.append(self.expr().text)
        if self.accept("order"):
            order = self.orders()
        if self.accept("rows"):
            self.frame = self.value()
        self.need(")")
        said = [
            f"{p.text}{' from highest to lowest' if down and p.kind != 'date' else ''}" for p, down in order
        ]
        return _and(per), _and(said)

    def case(self) -> _Phrase:
        parts = []
        aggregate = False
        while self.accept("when"):
            condition = self.condition()
            self.need("then")
            value = self.expr()
            aggregate |= value.aggregate
            parts.append(f"{value.text} if the {condition}")
        if self.accept("else"):
            value = self.expr()
            aggregate |= value.aggregate
            parts.append(f"otherwise {value.text}")
        self.need("end")
        return _Phrase(f"label ({', '.join(parts)})", aggregate, "text")

    def value(self) -> str:
        token = self.take()
        if isinstance(token, tuple):
            if token[0] == "q" and len(token) == 3:
                return self.spoken[token[1] : token[2]]
            if token[0] == "v":
                return self.context.values[token[1]].value
            raise _Unsayable("a column where a value belongs")
        return str(token)

    # -- conditions --------------------------------------------------------------------------------------

    def condition(self) -> str:
        out = self.predicate()
        while word := self.accept("and", "or"):
            part = self.predicate()
            out = f"{out} {word} {part}" if out and part else out or part
        return out

    def predicate(self) -> str:
        if self.accept("("):
            free, self.free = self.free, False
            inner = self.condition()
            self.free = free
            self.need(")")
            return f"either {inner}" if " or " in inner else inner
        if word := self.accept("exists", "not_exists"):
            self.need("[")
            inner_core = self.core()
            self.need("]")
            return f"that have {'' if word == 'exists' else 'no '}{self.nouns(inner_core)}{self.whose(inner_core)}"
        left = self.expr()
        word = self.accept(*COMPARISONS, "between", "in", "not_in", "is_null", "not_null")
        if word is None:
            raise _Unsayable(str(self.peek()))
        if word in ("is_null", "not_null"):
            return f"{left.text} {self.pick(_NULL[word])}"
        if word in ("in", "not_in"):
            return self.membership(left, word)
        if word == "between":
            low = self.operand()
            high = self.operand()
            if self.free and self.is_time(left):
                self.cores[-1].free += f" {self.pick(('between', 'from', 'between', 'from'))} {low} " + (
                    f"{self.pick(('and', 'to', 'and', 'to'))} {high}"
                )
                return ""
            return f"{left.text} is between {low} and {high}"
        right = self.peek()
        if right == "[" and word == "=" and self.free:
            start, said, far = self.at, self.cores[-1].free, self.cores[-1].far
            if not self.membership(left, "in"):
                return ""
            self.at, self.cores[-1].free, self.cores[-1].far = start, said, far
        among = right == "[" and word == "=" and self.free and self.same_rows()
        value = self.operand()
        if among and (rows := f" of {self.nouns(self.cores[-1])}") in value:
            value = value.partition(rows)[0] + rows
        if self.free and (said := self.said_freely(left, word, right, value)):
            self.cores[-1].free += said.rstrip()
            return ""
        if left.kind == "bool" and value.lower() in _TRUTH and word in ("=", "!="):
            return f"{left.text} is {'true' if _TRUTH[value.lower()] == (word == '=') else 'false'}"
        if (
            right == "outer"
            and word == "="
            and left.column is not None
            and (self.is_key(left.column) or self.at > 0)
        ):
            return "" if self.is_key(left.column) else f"{left.text} is the {value}"
        if left.rows and left.text.startswith("number of ") and word in _MANY and right != "[":
            return f"there are {_MANY[word].format(value)} {left.text.removeprefix('number of ')}"
        if left.kind == "date" and word in _COMPARE_DATE and right != "[":
            if word in ("=", "!=") and value[:4].isdigit() and len(value) >= 8:
                return f"{left.text} is {'not ' if word == '!=' else ''}{value}"
            return f"{left.text} {self.pick(_COMPARE_DATE[word])} {value}"
        if isinstance(right, tuple) and right[0] == "c" and word == "=" and left.column is not None:
            return f"{left.text} is the same as the {value}"
        return f"{left.text} {self.pick(_COMPARE[word])} {value}"

    def same_rows(self) -> bool:
        """Whether the query in brackets that begins here has all the other conditions of the one around it."""
        start = self.at + 1
        end = self.conditions(start)[1]
        wheres = [k for k in range(start, end) if self.tokens[k] == "where"]
        if len(wheres) != 1 or self.tokens[end] != "]":
            return False
        own = {c for c in self.conditions(self.cores[-1].where_at)[0] if "[" not in c}
        return own == self.conditions(wheres[0] + 1)[0]

    def conditions(self, start: int) -> tuple[set[tuple[FormToken, ...]], int]:
        """The conditions from there on, values as they are spoken, and where they end."""
        found: list[list[FormToken]] = [[]]
        depth, k = 0, start
        while k < len(self.tokens):
            token = self.tokens[k]
            depth += (token in ("[", "(")) - (token in ("]", ")"))
            if depth < 0 or (depth == 0 and k > start and token in _STOPS - {"]", ")", "where", "from"}):
                break
            if depth == 0 and token == "and":
                found.append([])
            else:
                found[-1].append(
                    self.spoken[token[1] : token[2]]
                    if isinstance(token, tuple) and token[0] == "q" and len(token) == 3
                    else token
                )
            k += 1
        return {tuple(c) for c in found if c}, k

    def has_or(self) -> bool:
        """Whether one of the conditions that begin here is enough."""
        depth = 0
        for token in self.tokens[self.at :]:
            if depth == 0 and (token in _STOPS or token == "or"):
                return token == "or"
            depth += (token in ("[", "(")) - (token in ("]", ")"))
        return False

    @staticmethod
    def is_time(phrase: _Phrase) -> bool:
        return phrase.column is not None and (phrase.kind == "date" or phrase.text.split()[-1] == "year")

    def said_freely(self, left: _Phrase, word: str, right: FormToken, value: str) -> str:
        """A condition as people add it to what they ask for, without its column: " in VLDB"; "" where it needs the name."""
        place = left.column
        nouns = f" of {self.nouns(self.cores[-1])}"
        if (
            right == "["
            and word == "="
            and value.startswith(_SUPERLATIVE)
            and value.endswith(left.text + nouns)
        ):
            with_ = f" with {value.removesuffix(nouns)}"
            most = value.removeprefix("the ").partition(" ")[0] in _EXTREMES["max"]
            if not self.cores[-1].best and (best := self.best(self.cores[-1].main, left, most)):
                self.cores[-1].best, self.cores[-1].best_free = best, with_
                # Said once all of the query is known; a blank tells that it was.
                return " "
            return with_
        if place is None or not ((isinstance(right, tuple) and right[0] in ("q", "v")) or right in NUMBERS):
            return ""
        if self.is_time(left):
            return f" {_FREE_TIME[word]} {value}" if word in _FREE_TIME else ""
        if left.kind == "number" and word in _MANY and left.text.endswith((" number", " count")):
            return f" with {_MANY[word].format(value)} {plural(left.text.rpartition(' ')[0])}"
        if left.kind != "text" or word not in ("=", "contains"):
            return ""
        own = place[0] == self.cores[-1].main
        self.cores[-1].far |= not own
        is_name = self.is_name(place)
        noun = self.noun(place[0], many=False) if is_name else natural_name(self.column_of(place).name)
        ways: Sequence[str] = _FREE_TEXT
        if word == "contains":
            ways = _FREE_PART
        elif is_name and own:
            alone = len(self.cores[-1].items) == 1 and not self.meant(self.cores[-1])
            ways = _FREE_OWN if alone else _FREE_ROW
        else:
            known = (ways for pattern, ways in _FREE_OF if pattern.search(noun))
            ways = next(known, _FREE_NAME if is_name else _FREE_TEXT)
        # Several in one question are told apart by more than their values.
        turn = self.style + len(self.cores[-1].free.split())
        return ways[turn % len(ways)].format(value=value, noun=noun)

    def operand(self) -> str:
        return self.expr().text

    def membership(self, left: _Phrase, word: str) -> str:
        if self.accept("["):
            start = self.at
            inner = self.core()
            if self.peek() in SET_OPERATIONS:
                raise _Unsayable("a set operation in IN")
            self.need("]")
            first = self.tokens[start + 1]
            if first == "distinct":
                first = self.tokens[start + 2]
            place = None
            if isinstance(first, tuple) and len(first) == 3 and first[0] == "c":
                place = first[1], first[2]
            plain = not (inner.group or inner.limit or inner.having)
            if plain and place is not None and left.column is not None and self.is_child(place, left.column):
                no = ("that have no", "that have never had any", "that have no", "that have no")
                have = "that have" if word == "in" else self.pick(no)
                return f"{have} {self.noun(place[0])}{self.whose(inner)}"
            if (
                self.free
                and plain
                and word == "in"
                and place is not None
                and (self.is_key(place) or self.is_name(place))
            ):
                at = f" {self.pick(('in', 'of'))} "
                if inner.best:
                    at += f"the {inner.best} {singular(self.counted(place))}"
                elif inner.free and self.style % 2:
                    at = ""
                else:
                    at += self.counted(place)
                self.cores[-1].free += at + self.whose(inner)
                return ""
            return f"{left.text} is {'' if word == 'in' else 'not '}among the {self.as_noun(inner)}"
        values = []
        while (isinstance(self.peek(), tuple) and self.peek()[0] in ("q", "v")) or self.peek() in NUMBERS:
            values.append(self.value())
        listed = ", ".join(values[:-1]) + (" or " if len(values) > 1 else "") + values[-1]
        return f"{left.text} is {'' if word == 'in' else 'not '}{self.pick(('one of ', '', '', 'one of '))}{listed}"


def _and(parts: Sequence[str]) -> str:
    parts = list(dict.fromkeys(parts))
    first = parts[0].split(" ")[0] if parts else ""
    if len(parts) > 1 and all(part.startswith(f"{first} ") and len(part.split()) < 5 for part in parts):
        # customer first name and customer last name
        parts = [parts[0], *(part.removeprefix(f"{first} ") for part in parts[1:])]
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + f" and {parts[-1]}" if parts else ""
