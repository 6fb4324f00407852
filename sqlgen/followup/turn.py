"""What a turn of a conversation asks: an edit of the query before, the same with the model's help, or something new."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlgen.catalog.naming import natural_name
from sqlgen.followup.names import column_named, content_words, singular, table_words
from sqlgen.sql.edit import NotEditable, QueryEdit
from sqlgen.sql.form.words import number_of
from sqlgen.sql.parse import Unreadable
from sqlgen.sql.periods import parse_between, parse_period
from sqlgen.types import Catalog, Dialect, ValueMatch

__all__ = ["Turn", "merged", "understand"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn understood. ``sql`` is the query before as edited, "" where that cannot be done by rule.

    ``in_full`` is the question with what it refers to, for a model and for the history. ``rewritten`` is the turn
    alone with nouns in place of pronouns. ``declined`` says why there is no answer; ``is_new`` that
    the turn stands alone.
    """

    in_full: str
    sql: str = ""
    rewritten: str = ""
    declined: str = ""
    is_new: bool = False


_WHY = re.compile(
    r"^(?:(?:but|and|so|ok(?:ay)?|hm+)[, ]+)*(?:why\b|how come\b|what(?:'s| is| was) the (?:reason|cause)|"
    r"what (?:caused|explains|made|led)\b|"
    r"(?:can you |please )?explain (?:why|this|that|the)\b)",
    re.I,
)
_AHEAD = re.compile(r"\b(?:forecast|predict|will (?:it|they|we|sales|revenue)|should (?:we|i))\b", re.I)
_NO_REASON = (
    "the data says what happened, not why; ask for a figure to compare with, for example by month, "
    "by category or against another year"
)
_NO_FORECAST = "the data says what happened, not what will or should; ask for a figure of the past"

_REFERS = re.compile(
    r"\b(?:those|these|them|they|their|theirs|it|its|ones?|there|the same|that (?:list|result|one)|he|she|"
    r"his|her|him|such|"
    r"of (?:which|whom)|the (?:result|results|list|above|previous|first one|last one))\b",
    re.I,
)
_GOES_ON = re.compile(
    r"^(?:and|but|or|now|also|only|just|then|what about|how about|what if|instead|same|except|without|"
    r"excluding|by|per|for|in|from|"
    r"with|sort|order them|order by|order it|rank|group|split|break|top|first|last|how many\??$|show only|"
    r"limit|reverse|since|before|after|"
    r"not|no|which ones?|who else|include|add|remove|drop|exclude|filter|narrow|restrict|between|over|above|"
    r"below|under|at least|at most)\b",
    re.I,
)
_LEAD = re.compile(
    r"^(?:(?:and|but|or|now|then|so|ok(?:ay)?|please|also|thanks|great|well|what about|how about|what if|"
    r"instead|same (?:thing )?|can you|could you|"
    r"i want|i need|let's|lets)\b[, :]*)+",
    re.I,
)
_COUNT = re.compile(
    r"^(?:tell me |show me |give me |what is |what's )?(?:(?:how many(?: (?:of (?:them|these|those)|"
    r"are there|is that|is it|were there|do we have|exist|rows?|results?|"
    r"in total|altogether|in all|of them are there))*)|(?:count (?:them|these|those|it|the (?:rows|"
    r"results)))|(?:(?:the |their )?(?:total )?(?:number|count)(?: of (?:them|these|those|rows|results))?))"
    r"(?: (?:are there|in total|altogether|in all))?\s*[?.!]*$",
    re.I,
)
_TOP = re.compile(
    r"^(?:(?:show|give|list|keep|limit|only|just|the|me|to|it|them|us) )*(?:(?P<end>top|first|best|highest|"
    r"largest|biggest|bottom|last|lowest|worst|smallest) )"
    r"?(?P<n>\d+|one|two|three|four|five|six|seven|eight|nine|ten|twenty)(?: (?P<after>best|highest|largest|"
    r"lowest|worst|smallest))?"
    r"(?: (?:rows?|results?|ones?|of (?:them|these|those)|[a-z]+s))?(?: (?:only|please))?\s*[?.!]*$",
    re.I,
)
_LOW = frozenset("bottom lowest worst smallest".split())
_SORT = re.compile(
    r"^(?:(?:please|can you|now|then) )*(?:sort|order|rank|arrange|list|show|give|"
    r"display)(?:ed)?(?: me)?(?: (?:them|these|those|it|the (?:results?|list|rows)|this|that))?"
    r"(?:,? (?:sorted|ordered|ranked|arranged))?(?: (?:by|in(?: the)? order of|according to|on|"
    r"based on))(?: the| their| its)? (?P<by>.+?)\s*[?.!]*$",
    re.I,
)
_DIRECTION = re.compile(
    r"[, ]*\b(?:in |from )?(?:(?P<down>desc(?:ending)?|reverse|highest(?: to lowest| first)?|"
    r"largest(?: to smallest| first)?|most(?: to least| first)?|newest(?: first)?|latest(?: first)?|z to a|"
    r"high to low)|"
    r"(?P<up>asc(?:ending)?|alphabetical(?:ly)?|lowest(?: to highest| first)?|smallest(?: to largest|"
    r" first)?|least(?: to most| first)?|oldest(?: first)?|earliest(?: first)?|a to z|low to high))(?: order)?\s*$",
    re.I,
)
_ALPHABET = re.compile(
    r"^(?:sort|order|list|show|put|arrange)(?: (?:them|these|those|"
    r"it))?(?: in)? alphabetical(?:ly)?(?: order)?\s*[?.!]*$",
    re.I,
)
_REVERSE = re.compile(
    r"^(?:(?:sort|order|show|put|list)(?: (?:them|these|those|it))? )?(?:in |the )?(?:reversed?|"
    r"the other way (?:round|around)|opposite|descending|ascending)(?: (?:order|it|them))?\s*[?.!]*$",
    re.I,
)
_GROUP = re.compile(
    r"^(?:(?:show|give|break|split|group|divide|count|me|it|them|that|this|those|these|the|result|results|"
    r"numbers?|figures?|down|up|now|same|please|have|as|also|a|breakdown) )*"
    r"(?:by|per|for each|for every|grouped by|in each) (?P<by>[\w' ]+?)(?P<how>(?: (?:instead|too|as well|"
    r"also|now|please))*)\s*[?.!]*$",
    re.I,
)
_UNITS = {u: u for u in ("year", "quarter", "month", "week", "day")} | {
    "calendar month": "month", "date": "day", "yearly": "year", "monthly": "month", "weekly": "week", "daily": "day", "quarterly": "quarter"
}  # fmt: skip
_ADVERB = re.compile(
    r"^(?:and |now |show |make |it |them |that |as )*(?P<unit>yearly|quarterly|monthly|weekly|"
    r"daily)(?: (?:instead|please))*\s*[?.!]*$",
    re.I,
)
_SHOW = re.compile(
    r"^(?:(?:please|also|now|then|and|can you|could you) )*(?:(?P<more>include|add|append)|show|list|give|"
    r"tell|find|display|return|what (?:is|are|was|were)|what's|who (?:is|are)|get|provide)"
    r"(?: me| us)?(?P<also> also| too)?(?: the| their| its| his| her| all| all the| all their)* (?P<what>.+?)"
    r"(?P<of> (?:of|for|to|about) (?:them|these|those|it|each(?: of them| one)?|all of them|the (?:results?|"
    r"list)|that|this))?(?P<too> too| as well| also)?\s*[?.!]*$",
    re.I,
)
_OWN = re.compile(r"\b(?:their|its|his|her|them|those|these|it|each)\b", re.I)
_SUPERLATIVE = re.compile(
    r"^(?:which|what|who)(?: (?:one|ones|of (?:them|these|those)|among them|[a-z]+))?(?: (?:has|have|had|is|"
    r"are|was|were|got|with|shows?))?(?: the)? "
    r"(?P<end>most|highest|largest|biggest|greatest|maximum|best|top|longest|least|lowest|smallest|fewest|"
    r"minimum|worst|shortest)"
    r"(?: (?:one|ones|of (?:them|these|those)|value|number|count|(?:number|amount) of (?P<of>[\w ]+)|"
    r"(?P<what>[\w ]+)))?\s*[?.!]*$",
    re.I,
)
_FEW = frozenset("least lowest smallest fewest minimum worst shortest".split())
_COMPARISON = re.compile(
    r"(?P<op>more than or equal to|greater than or equal to|less than or equal to|more than|greater than|"
    r"larger than|bigger than|higher than|older than|longer than|"
    r"heavier than|over|above|exceeding|at least|no less than|less than|fewer than|lower than|smaller than|"
    r"younger than|shorter than|lighter than|under|below|at most|no more than|"
    r"up to|equal to|exactly|>=|<=|>|<|=)\s*(?P<n>[$€£]?-?\d[\d,]*(?:\.\d+)?\s*(?:k|m|thousand|million)?\b)",
    re.I,
)
_OPS = {
    "more than or equal to": ">=", "greater than or equal to": ">=", "less than or equal to": "<=",
    "at least": ">=", "no less than": ">=", "at most": "<=", "no more than": "<=", "up to": "<=", "equal to": "=", "exactly": "=",
    ">=": ">=", "<=": "<=", ">": ">", "<": "<", "=": "=",
} | dict.fromkeys("more than|greater than|larger than|bigger than|higher than|older than|longer than|"
                  "heavier than|over|above|exceeding".split("|"), ">") | dict.fromkeys(
    "less than|fewer than|lower than|smaller than|younger than|shorter than|lighter than|under|below".split("|"), "<"
)  # fmt: skip
_MEASURED = {
    "older": "age",
    "younger": "age",
    "longer": "length",
    "shorter": "length",
    "heavier": "weight",
    "lighter": "weight",
}
_NEGATION = re.compile(
    r"\b(?:not|except|excluding|exclude|without|other than|no|isn't|aren't|don't|remove|drop|but not|"
    r"leave out|ignore)\b",
    re.I,
)
_WORDS = re.compile(r"[^\W_]+(?:[.'’&/-][^\W_]+)*|[<>=]+")
_LOCATING = frozenset(
    "only just those these ones live lives living located based placed come comes made made sold bought "
    "happened born called named "
    "filter narrow restrict limit keep include limited result results rows whose where when while during within inside "
    "belong belonging do know you'd ship shipped going not except excluding exclude without other than no "
    "remove drop ignore leave "
    "since before after until between through new".split()
)


@dataclass
class _Scene:
    """What a turn is understood from."""

    text: str
    before: str
    edit: Callable[[], QueryEdit]
    catalog: Catalog
    values: Sequence[ValueMatch]
    today: date
    near: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)


def understand(
    text: str,
    history: Sequence[tuple[str, str]],
    catalog: Catalog,
    dialect: Dialect,
    *,
    values: Sequence[ValueMatch] = (),
    today: date | None = None,
) -> Turn:
    """What ``text`` asks after the questions and queries of ``history``, oldest first.

    ``values`` are the cells that ``text`` was matched with.

    >>> from sqlgen.types import Column, Table
    >>> orders = Table("orders", (Column("id", "INT", "number"), Column("city", "TEXT", "text")))
    >>> told = [("How many orders?", "SELECT COUNT(*) FROM orders")]
    >>> oslo = ValueMatch("orders", "city", "Oslo", 8, 12)
    >>> understand("only in Oslo", told, Catalog("sqlite", (orders,)), "sqlite", values=[oslo]).sql
    "SELECT COUNT(*) FROM orders WHERE city = 'Oslo'"
    >>> understand("why so few?", told, Catalog("sqlite", (orders,)), "sqlite").declined[:27]
    'the data says what happened'
    """
    before, sql = history[-1]
    said = " ".join(text.split())
    if _WHY.match(said):
        return Turn(said, declined=_NO_REASON)
    if _AHEAD.search(said):
        return Turn(said, declined=_NO_FORECAST)
    in_full = joined(before, said)
    try:
        first = QueryEdit(sql, catalog, dialect)
        near = _near(first, catalog)
        read = first.read_columns()
    except (Unreadable, NotEditable):
        goes_on = bool(_REFERS.search(said) or _GOES_ON.match(said))
        return Turn(in_full if goes_on else said, is_new=not goes_on)
    scene = _Scene(
        said,
        before,
        lambda: QueryEdit(sql, catalog, dialect),
        catalog,
        values,
        today or date.today(),
        near,
        read,
    )
    for rule in _RULES:
        try:
            edit = rule(scene)
            if edit is not None:
                return Turn(in_full, sql=edit.sql())
        except (NotEditable, Unreadable):
            continue
    if not (_REFERS.search(said) or _GOES_ON.match(said)):
        return Turn(said, is_new=True)
    return Turn(in_full, rewritten=_with_nouns(said, near))


def joined(before: str, said: str) -> str:
    """A question and what goes on from it as one.

    >>> joined("How many orders per month?", "Only in Germany.")
    'How many orders per month, only in Germany?'
    """
    first, rest = before.rstrip(" ?.!"), said.strip().rstrip("?.!")
    rest = rest[:1].lower() + rest[1:] if rest[1:2].islower() else rest
    return f"{first}, {rest}?"


def merged(before: str, candidate: str, catalog: Catalog, dialect: Dialect) -> str | None:
    """A query for the turn alone, with what the query before asked laid on it; None where they don't fit.

    >>> from sqlgen.types import Column, Table
    >>> c = Catalog("sqlite", (Table("t", (Column("a", "INT", "number"), Column("b", "INT", "number"))),))
    >>> merged("SELECT a FROM t WHERE b > 3", "SELECT b FROM t", c, "sqlite")
    'SELECT b FROM t WHERE b > 3'
    """
    try:
        first, second = QueryEdit(before, catalog, dialect), QueryEdit(candidate, catalog, dialect)
        first.absorb(second)
        return first.sql()
    except (NotEditable, Unreadable):
        return None


def _near(edit: QueryEdit, catalog: Catalog) -> list[str]:
    """Tables of the query, then those that its rows refer to, nearest first."""
    keys = list(edit.tables)
    for key in keys:
        table = catalog.table(key)
        keys += [f.target for f in (table.foreign_keys if table else ()) if f.target not in keys]
    return list(dict.fromkeys(keys))


# --- the rules: each gives the edited query, or None where the turn is not of its kind -----------------------


def _counted(scene: _Scene) -> QueryEdit | None:
    if not _COUNT.match(_LEAD.sub("", scene.text)):
        return None
    edit = scene.edit()
    edit.count()
    return edit


def _first(scene: _Scene) -> QueryEdit | None:
    m = _TOP.match(_LEAD.sub("", scene.text))
    if m is None:
        return None
    rows = number_of(m["n"])
    if rows is None or not 0 < int(rows) <= 100_000:
        return None
    end = (m["end"] or m["after"] or "").lower()
    if not end and not re.match(r"(?:only|just|limit|show|keep|give|the|list)\b", scene.text, re.I):
        return None
    edit = scene.edit()
    if end and end != "first" and not edit.ranked():
        raise NotEditable("nothing says what is best")
    edit.limit(int(rows), lowest=end in _LOW or (end == "last"))
    return edit


def _sorted(scene: _Scene) -> QueryEdit | None:
    text = _LEAD.sub("", scene.text)
    if _REVERSE.match(text):
        edit = scene.edit()
        edit.reverse()
        return edit
    if _ALPHABET.match(text):
        edit = scene.edit()
        names = [c for c in scene.read if _kind(scene, c) == "text"]
        if not names:
            raise NotEditable("no text to sort by")
        edit.order_by(names[0])
        return edit
    m = _SORT.match(text)
    if m is None:
        return None
    by, descending = m["by"], False
    way = _DIRECTION.search(" " + by)
    if way is not None:
        by, descending = (" " + by)[: way.start()].strip(), bool(way["down"])
    edit = scene.edit()
    words = content_words(by)
    if not words and way is not None:
        edit.order_by(None, descending=descending)
        return edit
    if words in (("number",), ("count",), ("total",), ("amount",), ("sum",), ("figure",)) or (
        words[:1] == ("number",) and edit.has_figures
    ):
        edit.order_by(None, descending=descending if way else True)
        return edit
    column = column_named(words, scene.catalog, scene.near, preferred=scene.read)
    if column is None:
        return None
    edit.order_by(column, descending=descending)
    return edit


def _grouped(scene: _Scene) -> QueryEdit | None:
    text = _LEAD.sub("", scene.text)
    m = _GROUP.match(text) or _ADVERB.match(text)
    if m is None:
        return None
    how = (m.groupdict().get("how") or "").lower()
    by = (m.groupdict().get("by") or m.groupdict().get("unit") or "").strip().lower()
    also = "too" in how or "well" in how or "also" in how or bool(re.search(r"\balso\b", scene.text, re.I))
    unit = _UNITS.get(re.sub(r"^(?:the|a|calendar) ", "", by))
    edit = scene.edit()
    if edit.has_limit and not edit.has_figures:
        raise NotEditable("the query shows single rows")
    if unit is not None:
        column = column_named((unit,), scene.catalog, scene.near, preferred=scene.read)
        if column is not None and unit == "year":
            edit.group_by(column, also=also)
            return edit
        edit.group_by(_date_column(scene, edit), unit, also=also)
        return edit
    words = content_words(by)
    column = column_named(words, scene.catalog, scene.near, preferred=scene.read)
    if column is None:
        column = _name_of_table(words, scene)
    if column is None:
        return None
    edit.group_by(column, also=also)
    return edit


def _best(scene: _Scene) -> QueryEdit | None:
    """The one at an end of the order that the query has, or of a column."""
    m = _SUPERLATIVE.match(_LEAD.sub("", scene.text))
    if m is None:
        return None
    edit = scene.edit()
    few = m["end"].lower() in _FEW
    words = content_words(m["what"] or "")
    column = column_named(
        words, scene.catalog, scene.near[: len(edit.tables)], kinds=("number", "date"), preferred=scene.read
    )
    if column is not None and not edit.has_groups:
        edit.order_by(column, descending=not few)
        edit.limit(1)
        return edit
    if (words or m["of"]) and not edit.has_figures and not edit.is_sorted:
        return None
    if not edit.has_groups and not edit.ranked():
        return None
    edit.turn_order(descending=not few)
    edit.limit(1)
    return edit


def _shown(scene: _Scene) -> QueryEdit | None:
    """Other columns of the same rows."""
    text = re.sub(r"^(?:(?:and|but|now|then|so|ok(?:ay)?|please)\b[, ]*)+", "", scene.text, flags=re.I)
    m = _SHOW.match(text)
    if m is None:
        return None
    also = bool(m["more"] or m["also"] or m["too"] or re.match(r"also\b", text, re.I))
    if not (also or _OWN.search(text)):
        return None
    what = re.sub(r"\b(?:along with|together with|as well as|and|,)\b|,", "|", m["what"])
    columns = []
    edit = scene.edit()
    for part in what.split("|"):
        words = content_words(part)
        if not words:
            continue
        column = column_named(words, scene.catalog, scene.near, preferred=scene.read)
        if column is None:
            return None
        columns.append(column)
    if not columns:
        return None
    edit.show(columns, also=also)
    return edit


def _filtered(scene: _Scene) -> QueryEdit | None:
    """Only some of the rows: cells, figures and periods that the turn names, and nothing else that would say more."""
    text = scene.text
    goes_on = _GOES_ON.match(text) or _REFERS.search(text)
    if not goes_on and len(_WORDS.findall(text)) > 4:
        return None
    edit = scene.edit()
    left = [True] * len(text)
    done = 0
    negated = bool(_NEGATION.search(text))

    def take(start: int, end: int) -> None:
        nonlocal done
        done += 1
        left[start:end] = [False] * (end - start)

    for m in _COMPARISON.finditer(text):
        if _compared(scene, edit, m):
            take(m.start(), m.end())
    by_column: dict[str, list[str]] = {}
    spans: list[tuple[int, int]] = []
    for match in _chosen_values(scene, edit):
        if all(left[match.start : match.end]):
            if not any(s <= match.start and match.end <= e for s, e in spans):
                spans.append((match.start, match.end))
            by_column.setdefault(f"{match.table}.{match.column}", []).append(match.value)
    for start, end in spans:
        take(start, end)
    if negated and len(by_column) > 1:
        return None
    for column, cells in by_column.items():
        edit.filter(column, "!=" if negated else "=", cells)
    if not done or any(left):
        period = _period(text, left, scene.today)
        if period is not None:
            start, end, begins, ends = period
            _bounded(scene, edit, begins, ends, negated)
            take(start, end)
    rest = "".join(c if keep else " " for c, keep in zip(text, left, strict=True))
    subject = {
        w
        for key in scene.near[: len(edit.tables)]
        for t in [scene.catalog.table(key)]
        if t
        for w in table_words(t)
    }
    said = {w for c in by_column for w in natural_name(c.replace(".", " ")).split()}
    asked = set(content_words(scene.before))
    over = [
        w
        for w in content_words(_LEAD.sub("", rest))
        if w not in subject | asked and w not in _LOCATING and w not in {singular(s) for s in said}
    ]
    over = [w for w in over if not (done and w in _compared_words(scene))]
    return edit if done and not over else None


def _compared_words(scene: _Scene) -> set[str]:
    return {
        singular(w)
        for m in _COMPARISON.finditer(scene.text)
        for c in [_compared_column(scene, m)]
        if c
        for w in natural_name(c.rpartition(".")[2]).split()
    } | {"year", "old", "dollar", "euro"}


def _compared_column(scene: _Scene, m: re.Match[str]) -> str | None:
    """The number column that a comparison speaks of: in the words before it, or after."""
    adjective = _MEASURED.get(m["op"].lower().split()[0])
    pieces = [scene.text[: m.start()], scene.text[m.end() :]]
    if adjective and not content_words(pieces[1]):
        pieces.insert(0, adjective)
    for piece in pieces:
        words = [w for w in content_words(_LEAD.sub("", piece)) if w not in _LOCATING]
        for size in range(min(3, len(words)), 0, -1):
            for start in range(len(words) - size + 1):
                found = column_named(
                    words[start : start + size],
                    scene.catalog,
                    scene.near,
                    kinds=("number",),
                    preferred=scene.read,
                )
                if found is not None:
                    return found
    return None


def _compared(scene: _Scene, edit: QueryEdit, m: re.Match[str]) -> bool:
    number = number_of(m["n"])
    if number is None:
        return False
    value = float(number) if "." in number else int(number)
    op = _OPS[m["op"].lower()]
    column = _compared_column(scene, m)
    if column is not None:
        edit.filter(column, op, [value])
        return True
    if edit.has_groups and edit.has_figures:
        edit.figures_above(op, value)
        return True
    numbers = [c for c in scene.read if _kind(scene, c) == "number" and not _is_key(scene, c)]
    if len(numbers) == 1:
        edit.filter(numbers[0], op, [value])
        return True
    return False


def _chosen_values(scene: _Scene, edit: QueryEdit) -> list[ValueMatch]:
    """For each run of words the cells of the one column that fits best: filtered before, of the query, near it."""
    before = edit.filtered_columns()
    found: dict[tuple[int, int], list[tuple[tuple[float, ...], ValueMatch]]] = {}
    said = set(content_words(scene.text))
    for match in scene.values:
        column = f"{match.table}.{match.column}"
        if match.table not in scene.near or match.score < 0.6:
            continue
        named = {singular(w) for w in natural_name(match.column).split()} & said
        rank = (
            0.0 if named else 1.0,
            0.0 if column in before else 1.0,
            float(scene.near.index(match.table)),
            -match.score,
            0.0 if column in scene.read else 1.0,
        )
        found.setdefault((match.start, match.end), []).append((rank, match))
    chosen: list[ValueMatch] = []
    for (start, end), ranked in sorted(found.items(), key=lambda item: item[0][0] - item[0][1]):
        if any(c.start <= start and end <= c.end for c in chosen):
            continue
        if number_of(scene.text[start:end]) is not None:
            continue
        ranked.sort(key=lambda r: (r[0], r[1].column, r[1].value))
        chosen.append(ranked[0][1])
    return chosen


def _period(text: str, left: list[bool], today: date) -> tuple[int, int, date | None, date | None] | None:
    """The longest run of words that names a period, with the bound that stands before it."""
    words = [(m.group(), m.start(), m.end()) for m in _WORDS.finditer(text) if all(left[m.start() : m.end()])]
    for size in range(min(7, len(words)), 0, -1):
        for i in range(len(words) - size + 1):
            start, end = words[i][1], words[i + size - 1][2]
            said = text[start:end]
            first = words[i][0].lower()
            between = re.fullmatch(r"(?:between|from) (.+?) (?:and|to|until|till) (.+)", said, re.I)
            if between:
                both = parse_between(between[1], between[2], today)
                if both:
                    return start, end, both[0], both[1]
            if first in ("since", "before", "after", "until", "from"):
                found = parse_period(said[len(first) :].strip(), today)
                if found is not None:
                    begins = {"since": found[0], "from": found[0], "after": found[1]}.get(first)
                    ends = {"before": found[0], "until": found[1]}.get(first)
                    return start, end, begins, ends
                continue
            found = parse_period(said, today)
            if found is not None and said.lower() not in ("may", "march", "second", "week", "day", "month"):
                return start, end, found[0], found[1]
    return None


def _bounded(scene: _Scene, edit: QueryEdit, begins: date | None, ends: date | None, negated: bool) -> None:
    if negated:
        raise NotEditable("a period left out")
    year = _year_column(scene, edit)
    whole = (
        begins is not None
        and ends is not None
        and (begins.month, begins.day, ends.month, ends.day) == (1, 1, 1, 1)
    )
    if year is not None:
        if begins is not None and whole and ends is not None and ends.year == begins.year + 1:
            edit.filter(year, "=", [begins.year])
        elif begins is not None and ends is None:
            edit.filter(year, ">=", [begins.year])
        elif ends is not None and begins is None:
            edit.filter(year, "<", [ends.year])
        else:
            raise NotEditable("a year column takes whole years")
        return
    edit.within(_date_column(scene, edit), begins, ends)


def _year_column(scene: _Scene, edit: QueryEdit) -> str | None:
    """A number that holds years, where the query's tables have no date."""
    tables = [t for key in edit.tables if (t := scene.catalog.table(key)) is not None]
    if any(c.kind == "date" for t in tables for c in t.columns):
        return None
    years = [
        f"{t.key}.{c.name}"
        for t in tables
        for c in t.columns
        if natural_name(c.name).split()[-1:] == ["year"]
    ]
    return years[0] if len(years) == 1 else next((y for y in years if y in scene.read), None)


def _date_column(scene: _Scene, edit: QueryEdit) -> str:
    """The date that a period is about: the one that the query uses, else the only or first one of its tables."""
    used = edit.bucketed_column()
    if used:
        return used
    for column in [*edit.filtered_columns(), *scene.read]:
        if _kind(scene, column) == "date":
            return column
    for key in scene.near:
        table = scene.catalog.table(key)
        dates = [c for c in (table.columns if table else ()) if c.kind == "date"]
        if dates:
            best = next(
                (c for c in dates if table and table_words(table) & set(natural_name(c.name).split())),
                dates[0],
            )
            return f"{key}.{best.name}"
    raise NotEditable("no date to go by")


def _name_of_table(words: Sequence[str], scene: _Scene) -> str | None:
    """The column that names the rows of a table that words mean."""
    for key in scene.near:
        table = scene.catalog.table(key)
        if table is not None and set(words) == table_words(table):
            found = column_named(("name",), scene.catalog, [key], kinds=("text",))
            if found is not None:
                return found
    return None


def _kind(scene: _Scene, column: str) -> str:
    key, _, name = column.rpartition(".")
    table = scene.catalog.table(key)
    found = table.column(name) if table else None
    return found.kind if found else "other"


def _is_key(scene: _Scene, column: str) -> bool:
    key, _, name = column.rpartition(".")
    table = scene.catalog.table(key)
    found = table.column(name) if table else None
    return (
        found is None
        or found.primary_key
        or (table is not None and any(name in f.columns for f in table.foreign_keys))
    )


def _with_nouns(text: str, near: Sequence[str]) -> str:
    """The turn with the table's name where it says "those", "they" or "it"."""
    if not near:
        return text
    noun = natural_name(near[0].rpartition(".")[2])
    said = _LEAD.sub("", text) or text
    said = re.sub(r"^of (?:those|these|them|which)\b,?\s*", "", said, flags=re.I)
    said = re.sub(r"\b(?:which|what) ones?\b", f"which {noun}", said, flags=re.I)
    said = re.sub(
        r"\b(?:of|for|about|among) (?:those|these|them)(?: \w+s)?\b", f"of {noun}", said, flags=re.I
    )
    said = re.sub(r"\b(?:those|these)(?= \w+s\b)", "the", said, flags=re.I)
    said = re.sub(r"\b(?:they|them|those|these|it|ones?)\b", noun, said, flags=re.I)
    said = re.sub(r"\b(?:their|its|his|her)\b", f"{noun}", said, flags=re.I)
    return said[:1].upper() + said[1:]


_RULES: tuple[Callable[[_Scene], QueryEdit | None], ...] = (
    _counted,
    _first,
    _sorted,
    _grouped,
    _best,
    _shown,
    _filtered,
)
