"""What the families about time share: dated rows, spans of time, buckets and what is measured in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from sqlgen.sql.periods import parse_period
from sqlgen.training.synthesis.subjects import Entity, Field
from sqlgen.training.synthesis.wording import people_words, period_text, plural, spell_out
from sqlgen.training.synthesis.writer import DATE_VERBS, Condition, Group, Metric, Piece, Unfit, Writer

__all__ = ["ADVERBS", "BUCKETS", "EVENT", "Dated", "Scene", "Span", "dated", "day_after", "did", "excluding", "glued", "happenings",
           "measured", "of_group", "relative", "scene", "span", "subjects", "two_groups"]  # fmt: skip

BUCKETS: dict[str, str] = {
    "by_month": "month", "by_quarter": "quarter", "year": "year", "by_week": "week", "by_day": "day"
}  # fmt: skip
ADVERBS: dict[str, str] = {
    "by_month": "monthly", "by_quarter": "quarterly", "year": "(yearly|annual)", "by_week": "weekly", "by_day": "daily"
}  # fmt: skip
_NOT_MAIN = re.compile(r"birth|dob|^end|due|expir|clos|last|update|modified|until|valid|deadline|retire|left")
EVENT = re.compile(
    r"\b(order|purchase|sale|payment|transaction|visit|appointment|booking|reservation|rental|trip|shipment|delivery|invoice|bill|ticket|claim|donation|"
    r"event|exam|match|game|call|reading|harvest|loan|trade|review|rating|admission|test|prescription|repair|incident|accident|defect|outage|fault|post|"
    r"reply|message|commit|deployment|build|hearing|enrolment|enrollment|fine|damage|return|refund|transfer|viewing|report|complaint|request|session|log|"
    r"entry|citation|experiment|flight|shift|inspection|treatment|attendance|usage|use|gift|grant|remittance|run|race|vote|job|sheet|diagnosis|service|"
    r"movement|charge|withdrawal|deposit|exhibition|performance|concert|check|activity|expense|order item|result|score)$"
)
_NEWCOMERS = re.compile(r"sign|regist|join|creat|hire|first gift|enrol|since")
_MONTHS = "January February March April May June July August September October November December".split()
# (words before the literal, the literal): N is a number, U a unit, M a month, Q a quarter, H a half.
_RELATIVE: tuple[tuple[str, str, float], ...] = (
    ("(in|over|during|within|for|from) the ", "(last|last|past|previous) N Us", 9),
    ("", "last U", 4),
    ("(in|during|over) the ", "(previous|past|last) U", 2),
    ("", "this U", 4),
    ("(in|during|for) the ", "current U", 1.5),
    ("", "(U to date|UTD)", 1.5),
    ("", "(this U so far|so far this U|this U to date)", 1),
    ("in the ", "(last N full|last N complete|previous N calendar) Us", 0.7),
    ("in ", "Q (of |)(last|this) year", 0.7),
    ("in ", "M (of |)(last|this) year", 0.7),
    ("in the ", "H half of (last|this) year", 0.5),
    ("in ", "(last |)M", 0.7),
    ("", "(today|yesterday)", 0.6),
    ("in the ", "U before last", 0.3),
    ("in the ", "last couple of Us", 0.4),
    ("in the ", "last (full|complete|calendar) U", 0.5),
    ("in the ", "(trailing|rolling) N Us", 0.3),
)


@dataclass(slots=True)
class Dated:
    """Rows of ``entity`` with a date of theirs or of a parent; ``main``: it needs no name.

    ``event``: the rows happened on that date, so that a date alone says which; else they have to be
    said with what they did, as "hired".
    """

    entity: Entity
    field: Field
    main: bool
    tables: set[int]
    owner: Entity
    event: bool = True


@dataclass(slots=True)
class Span:
    """A span of time: what is said after the thing, and the test after the column."""

    text: str
    body: list[Piece]


@dataclass(slots=True)
class Scene:
    """What a question speaks of: the rows said in the plural, their WHERE, and what follows at the end."""

    said: str
    where: list[Piece]
    late: str
    nouns: str
    conditions: list[Condition] = field(default_factory=list)
    spanned: bool = False
    event: bool = True


def happenings(entity: Entity) -> list[Field]:
    """Dates on which rows came to be, the first of them first."""
    return [f for f in entity.having("date") if not _NOT_MAIN.search(f.words) and f.filled > 5]


def dated(
    w: Writer, test: Callable[[Entity], bool] = lambda _: True, *, rows: int = 15, parents: float = 0.3
) -> Dated:
    """Rows that happened at some time, or that belong to what did."""
    above: dict[int, list[tuple[Field, set[int], Entity]]] = {}
    for e in w.domain.entities:
        if e.rows <= rows or e.verbal or not test(e) or happenings(e):
            continue
        for chain in w.domain.chains(e, 2):
            parent = chain[-1].parent
            if (
                not parent.verbal
                and not people_words(parent.noun)
                and happenings(parent)
                and EVENT.search(parent.noun)
            ):
                tables = {e.place, *(x.parent.place for x in chain)}
                above.setdefault(e.place, []).append((happenings(parent)[0], tables, parent))
    if above and w.chance(parents):
        place = w.rng.choice(sorted(above))
        f, tables, owner = w.rng.choice(above[place])
        w.required |= tables
        return Dated(w.domain.entities[place], f, True, tables, owner)
    lasting = w.chance(0.2)
    entity = w.entity(
        lambda e: (
            e.rows > rows and bool(happenings(e)) and bool(EVENT.search(e.noun)) is not lasting and test(e)
        )
    )
    dates = happenings(entity)
    f = dates[0] if w.chance(0.85) else w.rng.choice(dates)
    return Dated(entity, f, f is dates[0] or w.is_main_date(f, entity), {entity.place}, entity, not lasting)


def day_after(w: Writer, f: Field, days: int = 60) -> date:
    """A reference date soon after the last date of a column."""
    try:
        last = date.fromisoformat(str(f.high)[:10])
    except ValueError:
        raise Unfit("no date") from None
    return last + timedelta(days=w.rng.randrange(1, days))


def relative(w: Writer, day: date) -> tuple[str, str, date]:
    """(words before, a period seen from a reference date, that date); the period holds ``day``."""
    for _ in range(60):
        head, phrase, _ = w.rng.choices(_RELATIVE, [x[2] for x in _RELATIVE])[0]
        unit = w.rng.choices(("day", "week", "month", "quarter", "year"), (3, 3, 6, 2, 5))[0]
        reach = {"day": 5, "week": 20, "month": 70, "quarter": 200, "year": 700}[unit]
        today = day + timedelta(days=w.rng.randrange(reach))
        many = {"day": (7, 10, 14, 30, 30, 45, 60, 90, 180, 365), "week": (2, 3, 4, 6, 8, 12),
                "month": (2, 3, 6, 6, 9, 12, 12, 18, 24), "quarter": (2, 3, 4), "year": (2, 3, 5, 10)}  # fmt: skip
        count = w.rng.choice(many[unit])
        if "N" in phrase and unit == "day":
            today = day + timedelta(days=w.rng.randrange(count))
            if "calendar" in phrase:
                continue
        said = w.pick(phrase)
        number = spell_out(count) if w.chance(0.25) else None
        quarter = (day.month + 2) // 3
        if "UTD" in said and unit not in ("year", "month", "quarter"):
            continue
        if unit == "day" and re.search(r"\bU\b", said):
            continue
        said = said.replace("UTD", f"{w.rng.choice((unit[0].upper(), unit[0]))}TD".upper())
        said = re.sub(r"\bN\b", number or str(count), said)
        said = re.sub(r"\bUs\b", f"{unit}s", said)
        said = re.sub(r"\bU\b", unit, said)
        said = re.sub(r"\bM\b", _MONTHS[day.month - 1], said)
        said = re.sub(r"\bQ\b", f"Q{quarter}", said)
        said = re.sub(r"\bH\b", "first" if day.month < 7 else "second", said)
        period = parse_period(said, today)
        if period and period[0] <= day < period[1] and day <= today:
            return w.pick(head), said, today
    raise Unfit("no relative period")


def span(
    w: Writer, f: Field, *, units: Sequence[str] = (), closed: bool = False, relatives: float = 0.3
) -> Span:
    """A span of time that holds some row of ``f``; ``closed``: with a beginning and an end."""
    day = w.day(f)
    if w.today is None and w.chance(relatives):
        head, said, today = relative(w, day)
        w.today = today
        shown, token = w.literal(said)
        return Span(f"{head}{shown}", ["=", token])
    chosen = units or (
        "year",
        "year",
        "year",
        "year",
        "half",
        "quarter",
        "quarter",
        "month",
        "month",
        "month",
        "day",
        "week",
    )
    unit = w.rng.choice(chosen)
    draw = w.rng.random()
    if draw < 0.18:
        return _between(w, f, day)
    if unit == "week":
        week = day.isocalendar()
        said, head = w.rng.choice(
            (
                (f"week {week.week} of {week.year}", "in "),
                (f"week of {day.isoformat()}", "in the "),
                (f"{week.year}-W{week.week:02d}", "in "),
            )
        )
        shown, token = w.literal(said)
        return Span(head + shown, ["=", token])
    if unit == "half" and w.chance(0.5):
        half = 1 if day.month < 7 else 2
        shown, token = w.literal(
            w.rng.choice((f"H{half} {day.year}", f"H{half} of {day.year}", f"{day.year} H{half}"))
        )
    else:
        shown, token = w.period(day, unit, w.rng)
    if draw < 0.36 and not closed and unit not in ("half", "week"):
        op, head = w.rng.choice(
            ((">=", "since"), (">=", "since"), (">=", "(from|starting) {p} onwards"), (">=", "since (the start|the beginning) of"),
             ("<", "before"), ("<", "prior to"), (">", "after"), ("<=", "(until|up to|through) the end of"), ("<=",
              "up to and including"))
        )  # fmt: skip
        head = w.pick(head)
        if unit == "day" and " of" in head:
            head, op = "since", ">="
        return Span(head.format(p=shown) if "{p}" in head else f"{head} {shown}", [op, token])
    if unit == "day":
        return Span(f"on {shown}", ["=", token])
    head = w.pick("(in|in|in|in|in|during|during|for|within|over)")
    if unit == "year" and w.chance(0.12):
        head = w.pick("(in the year|in the course of|throughout|during the year|over the course of)")
    return Span(f"{head} {shown}", ["=", token])


def _between(w: Writer, f: Field, day: date) -> Span:
    first, last = sorted((day, w.day(f)))
    unit = w.rng.choice(("year", "month", "month", "quarter", "day"))
    starts = {"year": 4, "month": 7, "quarter": 7, "day": 10}[unit]
    if first.isoformat()[:starts] == last.isoformat()[:starts] or (
        unit == "quarter" and (first.year, (first.month - 1) // 3) == (last.year, (last.month - 1) // 3)
    ):
        raise Unfit("empty period")
    if unit == "month" and first.year == last.year and w.chance(0.6):
        one, a = w.literal(_MONTHS[first.month - 1])
        two, b = w.literal(f"{_MONTHS[last.month - 1]} {last.year}")
    else:
        seed = w.rng.random()
        one, a = w.literal(period_text(first, unit, type(w.rng)(seed)).removeprefix("the "))
        two, b = w.literal(period_text(last, unit, type(w.rng)(seed)).removeprefix("the "))
    said = w.pick(
        f"(between {one} and {two}|from {one} to {two}|from {one} (through|until|till) {two}|between {one} and {two})"
    )
    if said.startswith("from") and re.search(r"\d{4}-\d\d", said) and w.chance(0.3):
        said = f"{one} to {two}"
    return Span(said, ["between", a, b])


def excluding(w: Writer, entity: Entity, nouns: str) -> tuple[str, list[Piece], Field]:
    """("excluding cancelled orders", its condition, its column)."""
    found = [
        f
        for f in entity.having("category")
        if re.search(r"\b(status|stage|type|outcome|result)$", f.words) and 2 < f.distinct <= 12
    ]
    f = w.any_of(found)
    text = w.cell(f)
    if not re.fullmatch(r"[A-Za-z]+(?:[ -][A-Za-z]+)?", text) or text.lower().startswith(
        ("in ", "on ", "no ")
    ):
        raise Unfit("no plain word")
    value, token = w.named(f, text)
    said = w.pick(
        f"(, excluding {value} (ones|{nouns})| excluding {value} {nouns}|, without the {value} ones|, not counting {value} {nouns}|"
        f", ignoring {value} {nouns}|, leaving out {value} {nouns}|, except {value} ones)"
    )
    return said, [f.token, "!=", token], f


def scene(
    w: Writer, d: Dated, *, filters: float = 0.35, spans: float = 0.4, excluded: float = 0.07,
    units: Sequence[str] = (), closed: bool = False,
) -> Scene:  # fmt: skip
    """Choose filters and a span of time for the rows of ``d``."""
    kept = set(w.required)
    conditions, nouns, said, where = subjects(w, d, filters)
    w.required |= kept
    late, spanned = "", False
    if w.chance(spans) and d.main:
        period = span(w, d.field, units=units, closed=closed)
        where = [*where, *(["and"] if where else []), d.field.token, *period.body]
        late, spanned = f" {period.text}", True
    elif w.chance(excluded) and not conditions:
        said_too, form, _ = excluding(w, d.entity, nouns)
        where = [*where, *(["and"] if where else []), *form]
        late = said_too
    return Scene(said, where, late, nouns, conditions, spanned, d.event)


def subjects(w: Writer, d: Dated, filters: float) -> tuple[list[Condition], str, str, list[Piece]]:
    """(conditions, the plural noun, it with the conditions, their form) of dated rows."""
    conditions = w.conditions(d.entity, 1, dates=False) if w.chance(filters) else []
    nouns = plural(w.noun(d.entity))
    if d.event:
        said, where = w.subject(d.entity, conditions, noun=nouns)
        return conditions, nouns, said, where
    if any(not c.pre for c in conditions):
        raise Unfit("no room for what rows did")
    verb = did(w, d.field, d.entity)
    if _NEWCOMERS.search(d.field.words) and w.chance(0.5):
        nouns, verb = f"new {nouns}", ""
    elif not verb or not d.main:
        raise Unfit("nothing that rows did")
    said, where = w.subject(d.entity, conditions, noun=nouns)
    return conditions, nouns, f"{said}{verb}", where


def measured(
    w: Writer, entity: Entity, s: Scene, *, counts: float = 0.4, extremes: bool = False, group: Group | None = None,
    kinds: Sequence[str] = ("sum", "avg", "count", "max", "min"),
) -> Metric:  # fmt: skip
    """A metric whose phrase says what it is about."""
    counts = counts if s.event else 0.85
    for _ in range(8):
        metric = w.metric(entity, s.said, counts=counts, extremes=extremes, group=group)
        if metric.form[0] in kinds and not ("distinct" in metric.form and "distinct" not in kinds):
            break
    else:
        raise Unfit("no such metric")
    metric.phrase = re.sub(r"^sum of ", "total ", metric.phrase) if w.chance(0.7) else metric.phrase
    if s.said not in metric.phrase and (
        s.conditions or not s.event or w.chance(0.35) or not _plain_enough(w, entity, metric)
    ):
        metric.phrase = w.pick(f"{metric.phrase} (of|for|from|of) {s.said}")
    return metric


def _plain_enough(w: Writer, entity: Entity, metric: Metric) -> bool:
    """Whether no other table of the database has a column of the same name."""
    used = [x for x in metric.form if isinstance(x, tuple)]
    own = [f for f in entity.fields if f.token in used]
    others = {f.words for e in w.domain.entities if e is not entity for f in e.having("measure")}
    return not any(f.words in others for f in own) or len(used) > 1


def of_group(w: Writer, d: Dated, s: Scene) -> Group:
    """Something to split the rows by that no condition fixes; its tables become required."""
    group = _group(w, d, s)
    w.required |= group.tables
    return group


def _group(w: Writer, d: Dated, s: Scene) -> Group:
    group = w.group(d.entity)
    f = group.field
    if f is not None and (
        f.role == "bool" or f in d.entity.label or any(id(f) in c.fields for c in s.conditions)
    ):
        raise Unfit("grouped by what is fixed")
    if f is not None and {str(x).lower() for x in f.samples} <= {
        "yes",
        "no",
        "y",
        "n",
        "0",
        "1",
        "true",
        "false",
    }:
        raise Unfit("no category")
    if any(c.tables & group.tables - {d.entity.place} for c in s.conditions):
        raise Unfit("the same parent twice")
    if any(x in s.where for x in group.items if isinstance(x, tuple)):
        raise Unfit("grouped by what is fixed")
    if group.entity is not None and not group.entity.label:
        raise Unfit("a table without a name")
    return group


def two_groups(w: Writer, d: Dated, s: Scene) -> tuple[Group, Group]:
    """A coarse group and a finer one with a name: category and product, region and customer."""
    for _ in range(12):
        try:
            outer, inner = _group(w, d, s), _group(w, d, s)
        except Unfit:
            continue
        if inner.entity is None or outer.items == inner.items or outer.entity is inner.entity:
            continue
        size = outer.field.distinct if outer.field else outer.entity.rows if outer.entity else 0
        if not 1 < size <= 25 or size >= inner.entity.rows:
            continue
        if outer.field is not None and outer.field.table == inner.entity.place:
            outer.noun = w.words(outer.field)
            outer.nouns = plural(outer.noun)
        w.required |= outer.tables | inner.tables
        return outer, inner
    raise Unfit("no two groups")


def did(w: Writer, f: Field, entity: Entity) -> str:
    """ " placed", " who signed up": what rows did on a date, or nothing."""
    verb = next((v for pattern, v in DATE_VERBS if re.search(pattern, f.words)), "")
    if not verb:
        return ""
    verb = w.pick(verb)
    if re.match(r"with|due|held|schedul|happen|that (end|finish)", verb):
        return ""
    if verb.startswith("who ") and not people_words(entity.noun):
        return ""
    return f" {verb}"


def glued(*parts: Sequence[Piece]) -> list[Piece]:
    """Conditions joined by "and", without the empty ones."""
    form: list[Piece] = []
    for part in parts:
        if part:
            form += [*(["and"] if form else []), *part]
    return form
