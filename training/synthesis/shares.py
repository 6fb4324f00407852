"""Counts side by side, percentages and rates, ratios of measures and differences of aggregates."""

from __future__ import annotations

import re

from sqlgen.training.synthesis.common import (
    SHOW,
    aggregate_of,
    apart,
    having_children,
    labels,
    main_condition,
    numeric,
    state,
    state_field,
    states,
    that,
    verb_of,
)
from sqlgen.training.synthesis.subjects import NOT_ADDITIVE, Entity, Field
from sqlgen.training.synthesis.wording import plural
from sqlgen.training.synthesis.writer import START, Group, Piece, Unfit, Writer

__all__ = ["arithmetic_on_rows", "counts_side_by_side", "differences", "shares"]

_RATES = {
    "cancelled": "cancellation", "canceled": "cancellation", "returned": "return", "resolved": "resolution",
    "delivered": "delivery", "completed": "completion", "approved": "approval", "rejected": "rejection",
    "passed": "pass", "failed": "failure", "delayed": "delay", "lost": "loss", "defaulted": "default",
    "terminated": "termination", "declined": "decline", "accepted": "acceptance", "no show": "no-show",
    "late": "late", "scrapped": "scrap", "withdrawn": "withdrawal", "hired": "hiring", "damaged": "damage",
    "refunded": "refund", "expired": "expiry", "renewed": "renewal", "converted": "conversion", "overdue": "overdue",
    "missed": "miss", "fragile": "fragile", "shipped": "shipping", "graduated": "graduation", "sold": "sell-through",
    "recovered": "recovery", "diverted": "diversion", "settled": "settlement", "denied": "denial", "won": "win",
    "vacant": "vacancy", "occupied": "occupancy", "readmitted": "readmission", "escalated": "escalation",
    "dropped": "drop", "certified": "certification",
}  # fmt: skip
_PAIRS: tuple[tuple[str, str, str, str], ...] = (
    # first, second, name of first - second, name of 100 * (first - second) / first
    (r"\b(selling price|unit price|list price|price|ticket price)$", r"\b(cost|unit cost|standard cost)$",
     "(margin|profit per unit|markup|gross margin)", "(margin in percent|percentage margin|profit margin percentage|margin %)"),
    (r"\bplanned (quantity|output|hours)$", r"\b(produced quantity|actual output|actual hours)$",
     "(shortfall|gap between {a} and {b})", "(shortfall in percent|percentage shortfall)"),
    (r"^(amount|total charge|claimed amount|invoiced amount|fee due)$", r"\b(paid amount|paid|approved amount|fee paid)$",
     "(open amount|outstanding amount|unpaid amount)", "(outstanding share in percent|unpaid percentage)"),
    (r"\bmaximum \w+$", r"\bminimum \w+$", "(range|spread|difference between {a} and {b})", "(spread in percent of the {a})"),
    (r"^(budget|planned cost)$", r"^(actual cost|spend|spent amount|amount spent)$",
     "(remaining budget|budget left|difference between {a} and {b})", "(remaining budget in percent)"),
    (r"^(revenue|income)$", r"^(expenses|operating cost|cost)$", "(profit|net result)", "(profit margin|margin in percent)"),
    (r"^capacity$", r"^(passengers|attendance|enrolled|occupied beds|seats sold)$", "(free capacity|unused capacity|empty seats)",
     "(unused capacity in percent)"),
)  # fmt: skip
_RATIOS: tuple[tuple[str, str, str], ...] = (
    (r"^clicks$", r"^impressions$", "100 (click-through rate|CTR|click rate|percentage of impressions clicked)"),
    (r"^spend$", r"^clicks$", "(cost per click|spend per click)"),
    (r"^likes$", r"^views$", "(likes per view|ratio of likes to views)"),
    (r"^fuel used$", r"^distance$", "(fuel used per unit of distance|fuel consumption per distance)"),
    (r"^(seats sold|passengers|attendance|occupied beds)$", r"^(capacity|beds)$",
     "100 (occupancy|utilisation|load factor|occupancy rate|capacity utilisation)"),
    (r"^list price$", r"^living area$", "(price per square metre|list price per unit of living area|price per area)"),
    (r"^(total price|total fare)$", r"^(nights|distance)$", "({a} per {b1}|average {a} per {b1})"),
    (r"^produced quantity$", r"^planned quantity$", "100 (yield|completion percentage|output as a percentage of plan)"),
)  # fmt: skip


def _tail(w: Writer, entity: Entity, conditions: list, rate: float) -> tuple[str, Group | None]:  # type: ignore[type-arg]
    """(" by region", its group) at ``rate``, else nothing."""
    if not w.chance(rate):
        return "", None
    group = w.group(entity)
    apart(w, group, entity, conditions)
    return w.pick(f" (by|per|for each|by|per) {group.noun}"), group


def _close(
    w: Writer, items: list[Piece], where: list[Piece], group: Group | None, order: list[Piece] | None = None
) -> list[Piece]:
    if group is None:
        return w.core(items, where)
    return w.core([*group.items, *items], where, group=group.keys, order=order)


def counts_side_by_side(w: Writer) -> tuple[str, list[Piece]]:
    """How many are this and how many are that, in one row or one per group."""
    entity = w.entity(lambda e: bool(e.having("category")))
    f = state_field(w, entity)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    draw = w.rng.random()
    plain = plural(w.noun(entity))
    said, where = w.subject(entity, conditions, noun=plain)
    measures = [m for m in numeric(entity) if not NOT_ADDITIVE.search(m.words)]
    if conditions and (conditions[0].post or draw > 0.7):
        nouns, extra = plain, f" {conditions[0].post}" if conditions[0].post and not conditions[0].pre else ""
        if conditions[0].pre:
            raise Unfit("two adjectives")
    else:
        nouns, extra = said, ""
    if extra and not re.match(r" (in|from|by|of|for|since|before|after|during|on|between)\b", extra):
        raise Unfit("too heavy")
    tail, group = _tail(w, entity, conditions, 0.6)
    apart_fields = group.field if group else None
    if apart_fields is f:
        raise Unfit("grouped by what is counted")
    if draw < 0.18:
        one = states(w, entity, f, 1, nouns)[0]
        text = w.pick(
            f"((total |)number of {nouns}{extra} and how many of them {one.pred}{tail}|how many {nouns}{extra} are there"
            f"{tail} and how many of them {one.pred}|{SHOW} the (total |)number of {nouns}{extra} and the number of {one.noun}{tail}|"
            f"count all {nouns}{extra} and the {one.noun} among them{tail})"
        )
        return text, _close(w, ["count", "*", "count", "if", "(", *one.form, ")", "*"], where, group)
    both = states(w, entity, f, 3 if f.distinct > 2 and w.chance(0.2) else 2, nouns)
    if draw < 0.34 and measures:
        m = w.rng.choice(measures)
        words = w.words(m)
        word, adjective = aggregate_of(w, True)
        a, b = both[:2]
        text = w.pick(
            f"({START} the {adjective} {words} of {a.noun} and of {b.noun}{extra}{tail}|{adjective} {words} of {a.noun} "
            f"(vs|versus|compared to) {b.noun}{extra}{tail}|compare the {adjective} {words} of {a.noun} and {b.noun}{extra}{tail}|"
            f"{adjective} {words} for {a.noun} and {adjective} {words} for {b.noun}{extra}{tail})"
        )
        items: list[Piece] = []
        for s in (a, b):
            items += [word, "if", "(", *s.form, ")", m.token]
        return text, _close(w, items, where, group)
    items = []
    for s in both:
        items += ["count", "if", "(", *s.form, ")", "*"]
    listed = (
        f"{both[0].noun}, {both[1].noun} and {both[2].noun}"
        if len(both) == 3
        else f"{both[0].noun} and {both[1].noun}"
    )
    preds = " and how many ".join([both[0].pred, *(s.pred for s in both[1:])])
    options = (
        f"(how many {nouns}{extra} {preds}{tail}|number of {both[0].noun} and number of "
        f"{' and number of '.join(s.noun for s in both[1:])}{extra}{tail}|count {listed}{extra} separately{tail}|"
        f"{SHOW} the counts of {listed}{extra} (side by side|in separate columns|next to each other){tail}"
    )
    if len(both) == 2:
        options += (
            f"|{both[0].noun} (vs|versus|vs.) {both[1].noun}{extra}{tail}|compare the number of {both[0].noun} (with|and|to) "
            f"(the number of |){both[1].noun}{extra}{tail}"
        )
    text = w.pick(options + ")")
    if group is not None and w.chance(0.25):
        text = w.pick(
            f"for (each|every) {group.noun}, (show|give|count|list) the number of {' and the number of '.join(s.noun for s in both)}{extra}"
        ) if w.chance(0.6) else w.pick(f"for (each|every) {group.noun}, how many {nouns}{extra} {preds}")  # fmt: skip
    return text, _close(w, items, where, group)


def _flag(w: Writer, entity: Entity) -> Field | None:
    flags = [f for f in entity.having("bool") if re.fullmatch(r"[a-z]+", f.words) and f.words in _RATES]
    return w.rng.choice(flags) if flags else None


def _part(w: Writer, entity: Entity, nouns: str) -> tuple[str, str, list[Piece], set[int], str]:
    """A part of the rows: (noun phrase, predicate, condition, its fields, name of its rate or "")."""
    if w.chance(0.45) and entity.having("category"):
        f = state_field(w, entity)
        s = state(w, entity, f, str(w.rng.choice(f.samples)), nouns)
        rate = _RATES.get(s.text.lower(), "")
        return s.noun, s.pred, s.form, {id(f)}, rate
    flag = _flag(w, entity)
    if flag and w.chance(0.5):
        return (
            f"{flag.words} {nouns}",
            f"are {flag.words}",
            [flag.token, "=", "1"],
            {id(flag)},
            _RATES[flag.words],
        )
    condition = main_condition(w, entity)
    noun, _ = w.subject(entity, [condition], noun=nouns)
    return noun, condition.pred, condition.form, condition.fields, ""


def shares(w: Writer) -> tuple[str, list[Piece]]:
    """What percentage of the rows fulfils a condition, overall or per group; also of sums."""
    draw = w.rng.random()
    if draw < 0.14:
        return _share_with_children(w)
    if draw < 0.26:
        return _share_of_sum(w)
    entity = w.entity(lambda e: e.rows > 10)
    nouns = plural(w.noun(entity))
    noun, pred, form, fields, _ = _part(w, entity, nouns)
    before = w.rng.choices((0, 1), (4, 1))[0]
    conditions = w.conditions(entity, before)
    if any(fields & c.fields for c in conditions):
        raise Unfit("the same column twice")
    w.required = set()
    said, where = w.subject(entity, conditions, noun=nouns)
    tail, group = _tail(w, entity, conditions, 0.45)
    if group is not None and group.field is not None and id(group.field) in fields:
        raise Unfit("grouped by what is counted")
    who = that(entity.noun, pred)
    fraction = w.chance(0.18)
    name = w.pick("(fraction|proportion|fraction)" if fraction else
                  "(percentage|percentage|percentage|share|percent)")  # fmt: skip
    counted: list[Piece] = ["count", "if", "(", *form, ")", "*", "/", "count", "*"]
    if not fraction:
        counted = ["100", "*", *counted]
    if name == "percent":
        options = (
            f"(what percent of {said} {pred}{tail}|how many percent of {said} {pred}{tail}|what percent "
            f"of (all |the |our |){said} {pred}{tail}"
            f"|percent of {said} {who}{tail})"
        )
    else:
        options = (
            f"(what {name} of (the |all |our |){said} {pred}{tail}|{START} the {name} of {said} {who}{tail}|{name} of {said} {who}"
            f"{tail}|{START} the {name} of {said} {who}{tail})"
        )
        if not conditions:
            options = options[:-1] + f"|{START} the {name} of {noun} (among|in) all {nouns}{tail})"
    text = w.pick(options)
    rounded = ""
    if not fraction and w.chance(0.14):
        places, rounded = w.rng.choice(
            (("2", "two decimals"), ("1", "one decimal"), ("2", "two decimal places"), ("2", "2 decimals"),
             ("0", "a whole number"), ("1", "1 decimal place"))
        )  # fmt: skip
        counted = ["round", "{", *counted, "}", places]
        rounded = w.pick(f"(, rounded to {rounded}| rounded to {rounded}| ⟦rounded to {rounded}⟧)")
    if group is not None and w.chance(0.4):
        return _ranked_share(w, group, said, pred, who, name, counted, where, rounded)
    return text + rounded, _close(w, counted, where, group)


def _ranked_share(
    w: Writer, group: Group, said: str, pred: str, who: str, name: str, counted: list[Piece], where: list[Piece], rounded: str
) -> tuple[str, list[Piece]]:  # fmt: skip
    if rounded:
        raise Unfit("rounded for nothing")
    top = w.chance(0.75)
    degree = w.pick("(highest|largest)" if top else "(lowest|smallest)")
    name = name.replace("percent", "percentage") if name == "percent" else name
    draw = w.rng.random()
    order: list[Piece] = [*counted, "desc" if top else "asc"]
    if draw < 0.4:
        text = w.pick(
            f"((which|what) {group.noun} has the {degree} {name} of {said} {who}|{group.noun} with the {degree} {name} of "
            f"{said} {who}|(find|show|name) the {group.noun} with the {degree} {name} of {said} {who})"
        )
        return text, w.core(group.items, where, group=group.keys, order=order, limit="1")
    if draw < 0.6:
        _, shown, token = w.limit()
        text = w.pick(
            f"({'top' if top else 'bottom'} {shown} {group.nouns} by {name} of {said} {who}|{SHOW} the {shown} {group.nouns} "
            f"with the {degree} {name} of {said} {who})"
        )
        return text, w.core(group.items, where, group=group.keys, order=order, limit=token)
    if draw < 0.8 and counted[0] == "100":
        shown, limit = w.literal(w.rng.choice(("10", "20", "25", "30", "40", "50", "60", "75")))
        percent = w.pick(f"({shown}%|{shown} percent|{shown} %)")
        text = w.pick(
            f"({SHOW} (the |)|in which |){group.nouns} where (over|more than|at least) {percent} of (the |all |){said} {pred}"
        )
        text = text.replace("in which ", "").strip()
        op = ">=" if "at least" in text else ">"
        return text, w.core(group.items, where, group=group.keys, having=[*counted, op, limit])
    text = w.pick(
        f"({START} the {name} of {said} {who} (by|per|for each) {group.noun}, {degree} first|{name} of {said} {who} (by|per) {group.noun}"
        f", (sorted|ordered) {'descending' if top else 'ascending'})"
    )
    return text, w.core([*group.items, *counted], where, group=group.keys, order=order)


def rates(w: Writer) -> tuple[str, list[Piece]]:
    """Rates that have a name: cancellation rate, pass rate."""
    entity = w.entity(lambda e: e.rows > 10 and bool(_rated_fields(e)))
    f, cell = w.rng.choice(_rated_fields(entity))
    if f.role == "bool":
        form: list[Piece] = [f.token, "=", "1"]
        name = f"{_RATES[f.words]} rate"
    else:
        # The name of a rate is another word than its value, which must be said as well.
        shown, token = w.named(f, cell)
        form = [f.token, "=", token]
        name = f"{_RATES[cell.lower()]} rate"
        name += w.pick(f" ⟦(share of {shown}|% {shown}|{f.words} {shown}|percent {shown}|{shown} / all)⟧")
    conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    nouns = plural(w.noun(entity))
    said, where = w.subject(entity, conditions, noun=nouns)
    counted: list[Piece] = ["100", "*", "count", "if", "(", *form, ")", "*", "/", "count", "*"]
    tail, group = _tail(w, entity, conditions, 0.65)
    if group is not None and group.field is f:
        raise Unfit("grouped by what is counted")
    of = f" (of|for|among) {said}" if conditions or w.chance(0.35) else ""
    if group is not None and w.chance(0.4):
        top = w.chance(0.7)
        degree = w.pick(
            "(highest|worst|highest)" if top and "fail" in name else "highest" if top else "lowest"
        )
        one = w.chance(0.6)
        if one:
            text = w.pick(
                f"((which|what) {group.noun} has the {degree} {name}{of}|{group.noun} with the {degree} {name}{of}|"
                f"(find|show) the {group.noun} with the {degree} {name}{of})"
            )
            limit: Piece | None = "1"
        else:
            _, shown, limit = w.limit()
            text = w.pick(
                f"({'top' if top else 'bottom'} {shown} {group.nouns} by {name}{of}|the {shown} {group.nouns} "
                f"with the {degree} {name}{of})"
            )
        order: list[Piece] = [*counted, "desc" if top else "asc"]
        return text, w.core(group.items, where, group=group.keys, order=order, limit=limit)
    text = w.pick(
        f"({START} the {name}{of}{tail}|{name}{of}{tail}|what is our {name}{of}{tail}|how high is the {name}{of}{tail})"
    )
    return text, _close(w, counted, where, group)


def _rated_fields(entity: Entity) -> list[tuple[Field, str]]:
    found: list[tuple[Field, str]] = [(f, "1") for f in entity.having("bool") if f.words in _RATES]
    for f in entity.having("category"):
        found += [(f, cell) for cell in sorted({str(s) for s in f.samples}) if cell.lower() in _RATES]
    return found


def _share_with_children(w: Writer) -> tuple[str, list[Piece]]:
    entity, link = having_children(w)
    inside = w.conditions(link.child, w.rng.choices((0, 1), (2, 1))[0])
    if any(entity.place in c.tables for c in inside):
        raise Unfit("back to itself")
    w.required = set()
    things, inner = w.subject(link.child, inside)
    sub = w.core([link.column.token], inner, required=w.required)
    w.required = set()
    nouns = plural(w.noun(entity))
    _, where = w.subject(entity, [])
    negative = w.chance(0.25)
    done, undone = verb_of(w, entity, link.child)
    if inside:
        pred = f"have no {things}" if negative else w.pick(f"have (any |at least one of the |){things}").replace(
            "at least one of the", "any"
        )  # fmt: skip
    else:
        pred = w.pick(f"(have no {things}|have never {undone})") if negative else w.pick(
            f"(have {done}|have any {things}|have {things})"
        )  # fmt: skip
    cond: list[Piece] = [link.target.token, "not_in" if negative else "in", "[", *sub, "]"]
    if negative and link.column.filled < link.column.rows:
        raise Unfit("keys that are missing")
    fraction = w.chance(0.12)
    counted: list[Piece] = ["count", "if", "(", *cond, ")", "*", "/", "count", "*"]
    name = "fraction" if fraction else w.pick("(percentage|share|percentage)")
    text = w.pick(
        f"(what {name} of (the |all |our |){nouns} {pred}|{START} the {name} of {nouns} {that(entity.noun, pred)}|"
        f"{name} of {nouns} {that(entity.noun, pred)})"
    )
    return text, w.core([*([] if fraction else ["100", "*"]), *counted], where)


def _share_of_sum(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(numeric(e)) and e.rows > 10)
    made = w.product(entity)
    additive = [f for f in numeric(entity) if not NOT_ADDITIVE.search(f.words)]
    if made and (w.chance(0.5) or not additive):
        total, words = made, w.pick("(revenue|sales|turnover)")
    else:
        f = w.any_of(additive)
        total, words = [f.token], w.words(f)
    deep = bool(entity.parents) and w.chance(0.5)
    condition = w.parent_condition(entity) if deep else main_condition(w, entity)
    nouns = plural(w.noun(entity))
    said, _ = w.subject(entity, [condition], noun=nouns)
    tail, group = _tail(w, entity, [condition], 0.3)
    if group is not None and deep:
        raise Unfit("two parents")
    items: list[Piece] = ["100", "*", "sum", "if", "(", *condition.form, ")", *total, "/", "sum", *total]
    words = words.removeprefix("total ")
    text = w.pick(
        f"(what (percentage|share|percent) of (the |)(total |overall |){words} (comes from|is from|stems from|is due to) {said}{tail}|"
        f"{START} the (percentage|share) of (total |){words} (that comes from|coming from|from) {said}{tail}|"
        f"{words} (share|percentage) of {said}{tail}|(percentage|share) of (total |){words} from {said}{tail})"
    )
    w.required |= condition.tables
    return text, _close(w, items, [], group)


def differences(w: Writer) -> tuple[str, list[Piece]]:
    """The difference or ratio of two aggregates."""
    entity = w.entity(lambda e: bool(numeric(e)) and e.rows > 8)
    f = w.rng.choice(numeric(entity))
    words = w.words(f)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    draw = w.rng.random()
    nouns = plural(w.noun(entity))
    if draw < 0.4 or not entity.having("category"):
        said, where = w.subject(entity, conditions, noun=nouns)
        tail, group = _tail(w, entity, conditions, 0.45)
        which = w.rng.choice((("max", "min"), ("max", "min"), ("max", "avg"), ("avg", "min")))
        name = {"max": "(highest|maximum|largest)", "min": "(lowest|minimum|smallest)", "avg": "average"}
        a, b = (w.pick(name[x]) for x in which)
        of = w.pick(f"( of {said}| among {said}| for {said})") if conditions or not w.chance(0.3) else ""
        text = w.pick(
            f"({START} the (difference|gap) between the {a} and (the |){b} {words}{of}{tail}|(difference|"
            f"gap) between {a} and {b} {words}{of}{tail}|"
            f"how far apart are the {a} and the {b} {words}{of}{tail}|{a} minus {b} {words}{of}{tail})"
        )
        if which == ("max", "min") and w.chance(0.25):
            text = w.pick(
                f"({START} the (range|spread) of {words}{of} ⟦(max minus min|highest minus lowest)⟧{tail})"
            )
        return text, _close(w, [which[0], f.token, "-", which[1], f.token], where, group)
    category = state_field(w, entity)
    if any(id(category) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, [])
    left, right = states(w, entity, category, 2, nouns)
    tail, group = _tail(w, entity, [], 0.3)
    if group is not None and group.field is category:
        raise Unfit("grouped by what is counted")
    if draw < 0.65:
        word, adjective = aggregate_of(w, not NOT_ADDITIVE.search(f.words))
        one: list[Piece] = [word, "if", "(", *left.form, ")", f.token]
        two: list[Piece] = [word, "if", "(", *right.form, ")", f.token]
        if w.chance(0.25):
            text = w.pick(
                f"({START} the ratio of the {adjective} {words} of {left.noun} to that of {right.noun}{tail}|how many "
                f"times higher is the {adjective} "
                f"{words} of {left.noun} than that of {right.noun}{tail})"
            )
            return text, _close(w, [*one, "/", *two], where, group)
        text = w.pick(
            f"(how much (higher|more) is the {adjective} {words} of {left.noun} than (of|that of) {right.noun}{tail}|"
            f"{START} the difference in {adjective} "
            f"{words} between {left.noun} and {right.noun}{tail}|(by how much does|how much does) the {adjective} "
            f"{words} of {left.noun} exceed that of {right.noun}{tail})"
        )
        return text, _close(w, [*one, "-", *two], where, group)
    one = ["count", "if", "(", *left.form, ")", "*"]
    two = ["count", "if", "(", *right.form, ")", "*"]
    if w.chance(0.4):
        text = w.pick(
            f"({START} the ratio of {left.noun} to {right.noun}{tail}|how many {left.noun} (are there |)for (each|"
            f"every) {right.noun}{tail}|ratio of {left.noun} to {right.noun}{tail}"
            f"|ratio between {left.noun} and {right.noun}{tail})"
        )
        if re.search(r"for (each|every)", text.replace(tail, "")):
            text = f"ratio of {left.noun} to {right.noun}{tail}"
        return text, _close(w, [*one, "/", *two], where, group)
    text = w.pick(
        f"(how many more {left.noun} than {right.noun} (are there|do we have){tail}|{START} the difference "
        f"between the number of {left.noun} and (the number of |)"
        f"{right.noun}{tail}|number of {left.noun} minus number of {right.noun}{tail})"
    )
    return text, _close(w, [*one, "-", *two], where, group)


def arithmetic_on_rows(w: Writer) -> tuple[str, list[Piece]]:
    """Margins, ratios of two columns, and a column with a constant, per row or over all rows."""
    if w.chance(0.45):
        return _with_constant(w)
    entity = w.entity(lambda e: len(e.having("measure")) > 1)
    made = _pair(w, entity)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (2, 1))[0])
    nouns = plural(w.noun(entity))
    said, where = w.subject(entity, conditions, noun=nouns)
    name, (a, b), kind = made
    draw = w.rng.random()
    named = bool(entity.label)
    top: list[Piece]
    row: list[Piece]
    total: list[Piece]
    if kind == "minus":
        row, total = [a.token, "-", b.token], ["sum", "{", a.token, "-", b.token, "}"]
    elif kind == "margin":
        row = ["100", "*", "{", a.token, "-", b.token, "}", "/", a.token]
        total = ["100", "*", "{", "sum", a.token, "-", "sum", b.token, "}", "/", "sum", a.token]
    elif kind == "percent":
        row = ["100", "*", a.token, "/", b.token]
        total = ["100", "*", "sum", a.token, "/", "sum", b.token]
    else:
        row, total = [a.token, "/", b.token], ["sum", a.token, "/", "sum", b.token]
    if draw < 0.35 and named:
        text = w.pick(
            f"({SHOW} (the |){said} (with|and) their {name}|{START} the {name} of each {w.noun(entity)}|"
            f"{SHOW} the {name} (of|for) (all |the |){said})"
        )
        if conditions and "each" in text:
            text = w.pick(f"{SHOW} (the |){said} (with|and) their {name}")
        return text, w.core([*labels(w, entity), *row], where)
    if draw < 0.6 and named:
        one = w.chance(0.5)
        order: list[Piece] = [*row, "desc"]
        if one:
            text = w.pick(
                f"((which|what) {w.noun(entity)} has the (highest|best|largest) {name}|{entity.noun} with the highest {name})"
            )
            if conditions:
                raise Unfit("a condition unsaid")
            return text, w.core(labels(w, entity), where, order=order, limit="1")
        _, shown, token = w.limit()
        text = w.pick(
            f"(top {shown} {said} by {name}|{SHOW} the {shown} {said} with the highest {name}|{said} with "
            f"the {shown} highest {name}s)"
        )
        text = text.replace("%s", "%")
        if text.endswith("s") and "highest" in text and text.endswith(f"{name}s"):
            text = w.pick(f"top {shown} {said} by {name}")
        return text, w.core(labels(w, entity), where, order=order, limit=token)
    if draw < 0.75 and kind == "minus":
        text = w.pick(
            f"({START} the average {name} (of|for|across) (all |the |){said}|average {name} of {said})"
        )
        return text, w.core(["avg", "{", *row, "}"], where)
    tail, group = _tail(w, entity, conditions, 0.6)
    top = total
    overall = "(overall|total)" if kind == "minus" else "overall"
    text = w.pick(
        f"({START} the {overall} {name} (of|for|across) {said}{tail}|{overall} {name} (of|for) {said}{tail})"
    )
    return text, _close(w, top, where, group)


def _pair(w: Writer, entity: Entity) -> tuple[str, tuple[Field, Field], str]:
    measures = numeric(entity)
    found: list[tuple[str, tuple[Field, Field], str]] = []
    for high, low, gap, margin in _PAIRS:
        a = next((f for f in measures if re.search(high, f.words)), None)
        b = next((f for f in measures if re.search(low, f.words) and f is not a), None)
        if a and b:
            kind, words = ("minus", gap) if w.chance(0.6) else ("margin", margin)
            found.append((w.pick(words.format(a=a.words, b=b.words)), (a, b), kind))
    for top, bottom, words in _RATIOS:
        a = next((f for f in measures if re.search(top, f.words)), None)
        b = next((f for f in measures if re.search(bottom, f.words) and f is not a), None)
        if a and b:
            one = b.words.removesuffix("s")
            kind = "percent" if words.startswith("100 ") else "ratio"
            found.append(
                (w.pick(words.removeprefix("100 ").format(a=a.words, b=b.words, b1=one)), (a, b), kind)
            )
    if not found:
        measures = [f for f in measures if not NOT_ADDITIVE.search(f.words)]
        if len(measures) < 2 or w.chance(0.6):
            raise Unfit("no pair")
        a, b = w.rng.sample(measures, 2)
        kind = w.rng.choice(("ratio", "percent"))
        words = (
            f"ratio of {w.words(a)} to {w.words(b)}"
            if kind == "ratio"
            else f"{w.words(a)} as a percentage of {w.words(b)}"
        )
        return words, (a, b), kind
    return w.rng.choice(found)


def _with_constant(w: Writer) -> tuple[str, list[Piece]]:
    """A price with tax, a budget in thousands, minutes in hours."""
    entity = w.entity(lambda e: bool(e.label) and bool(numeric(e)))
    f = w.rng.choice(numeric(entity))
    words = w.words(f)
    money = re.search(r"\b(price|cost|fee|salary|rent|budget|rate|charge|fare|amount|income)$", f.words)
    form: list[Piece]
    if money and w.chance(0.75):
        shown, token = w.literal(
            w.rng.choice(("5", "10", "15", "20", "25", "8", "12", "3", "2.5", "19", "7"))
        )
        percent = w.pick(f"({shown}%|{shown} percent|{shown} %)")
        if w.chance(0.5):
            form = [f.token, "*", "{", "100", "+", token, "}", "/", "100"]
            name = w.pick(
                f"({words} (plus|increased by|raised by) {percent}|{words} with {percent} (added|tax added|on "
                f"top)|{words} after {'a' if shown[2:3] not in '8' else 'an'} "
                f"{percent} increase|{words} if it (rose|increased|went up) by {percent})"
            )
        else:
            form = [f.token, "*", "{", "100", "-", token, "}", "/", "100"]
            name = w.pick(
                f"({words} (minus|reduced by|lowered by|less) {percent}|{words} after a {percent} (discount|"
                f"reduction|cut)|{words} with {percent} off)"
            ).replace("a 8", "an 8")
    elif re.search(r"\bminutes$", f.words) or f.words == "duration":
        form, name = [f.token, "/", "60"], w.pick(f"({words} (in hours|converted to hours|divided by 60))")
        if f.words == "duration":
            name = f"{words} divided by 60"
    elif re.search(r"\bhours$", f.words):
        form, name = [f.token, "/", "24"], w.pick(f"({words} (in days|converted to days|divided by 24))")
    elif f.words in ("salary", "annual salary", "annual budget", "income", "yearly rent"):
        form, name = (
            [f.token, "/", "12"],
            w.pick(f"({words} (per month|divided by 12)|monthly {words.removeprefix('annual ')})"),
        )
    elif re.search(r"^(monthly|monthly fee|monthly rent|monthly budget|monthly income)\b", f.words):
        form, name = (
            [f.token, "*", "12"],
            w.pick(f"(yearly {words.removeprefix('monthly ')}|{words} (times 12|per year|over a year))"),
        )
    elif f.high and isinstance(f.high, int | float) and f.high > 5000:
        form, name = [f.token, "/", "1000"], w.pick(f"({words} in thousands|{words} divided by 1000)")
    else:
        raise Unfit("no constant for this")
    conditions = w.conditions(entity, w.rng.choices((0, 1), (2, 1))[0])
    said, where = w.subject(entity, conditions)
    text = w.pick(
        f"({SHOW} (the |){said} (with|and) their {name}|{START} the {name} (of|for) (all |each of the |the |){said})"
    )
    if w.chance(0.15) and "if it" not in name:
        text = w.pick(f"{START} the average {name} (of|for|across) {said}")
        return text, w.core(["avg", "{", *form, "}"], where)
    return text, w.core([*labels(w, entity), *form], where)
