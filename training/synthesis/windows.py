"""The first of each group, ranks, running totals, moving averages, changes against the period before."""

from __future__ import annotations

import re
from dataclasses import replace

from sqlgen.training.synthesis.common import numeric
from sqlgen.training.synthesis.subjects import MONEY, NOT_ADDITIVE, Entity
from sqlgen.training.synthesis.timed import (
    ADVERBS,
    BUCKETS,
    Dated,
    Scene,
    dated,
    measured,
    of_group,
    scene,
    two_groups,
)
from sqlgen.training.synthesis.wording import people_words, plural, spell_out
from sqlgen.training.synthesis.writer import LIST, START, SUPERLATIVE, Group, Piece, Unfit, Writer

__all__ = ["first_of_each", "over_time", "ranked", "shares_within"]


_PLACE = re.compile(
    r"\b(category|genre|department|faculty|ward|group|region|class|programme|city|country|state|county|town|district|province|location|store|shop|branch|"
    r"warehouse|hotel|plant|office|school|museum|depot|club|team|league|sector|industry|division|segment|area|line|brand|institute|site|restaurant|farm|"
    r"channel|agency|station|wing|court|community|project|course|continent|hometown|neighbourhood|season|organisation|company)$"
)


def first_of_each(w: Writer) -> tuple[str, list[Piece]]:
    """The N best of every group, by a total or by a column."""
    return _totals_of_each(w) if w.chance(0.58) else _rows_of_each(w)


def _holds_rows(group: Group) -> bool:
    """Whether things are in it: in a category, not in a customer."""
    if group.entity is not None:
        return bool(_PLACE.search(group.entity.noun))
    return group.field is not None and bool(_PLACE.search(group.field.words))


def _per(w: Writer, group: Group) -> str:
    if _holds_rows(group):
        return w.pick(f"(per|for each|in each|of each|within each|of every|in every|for every) {group.noun}")
    return w.pick(f"(per|for each|for every|by|for each) {group.noun}")


def _count(w: Writer) -> tuple[int, str, Piece]:
    """How many of each group: (number, its words with a blank before the noun, its token)."""
    if w.chance(0.3):
        return 1, "", "1"
    count, shown, token = w.limit()
    return count, shown, token or str(count)


def _totals_of_each(w: Writer) -> tuple[str, list[Piece]]:
    d = _facts(w)
    s = scene(w, d, filters=0.2, spans=0.28)
    outer, inner = two_groups(w, d, s)
    metric = measured(w, d.entity, s, counts=0.42, kinds=("sum", "count", "avg"))
    count, shown, token = _count(w)
    up = w.chance(0.85)
    phrase, late, g = metric.phrase, s.late, inner
    counting = metric.form == ["count", "*"]
    nouns = g.noun if count == 1 else g.nouns
    degree = ("most" if up else "fewest") if counting else ("highest" if up else "lowest")
    thing = f"{degree} {s.said if counting else phrase}"
    word = "top" if up else "bottom"
    by = w.pick(f"(by|in terms of|by|based on|ranked by) {phrase}")
    inside = "(in|within|for)" if _holds_rows(outer) else "for"
    each, sold = _per(w, outer), bool(re.search(r"product|item|article|book|dish|drug|medication", g.noun))
    if count == 1:
        options = [
            f"(which|what) {nouns} (has|had) the {thing} {inside} (each|every) {outer.noun}{late}",
            f"for (each|every) {outer.noun}, (which|what) {nouns} (has|had) the {thing}{late}",
            f"{LIST} the {nouns} with the {thing} {each}{late}",
            f"the {nouns} with the {thing} {each}{late}",
            f"{word} {nouns} {each} {by}{late}",
            f"{'(best|number one|leading|top)' if up else '(worst|weakest)'} {nouns} {each} {by}{late}",
        ]
        if people_words(g.noun):
            options.append(f"who (has|had) the {thing} {inside} (each|every) {outer.noun}{late}")
    else:
        options = [
            f"{word} {shown} {nouns} {each} {by}{late}",
            f"{LIST} the {word} {shown} {nouns} {each} {by}{late}",
            f"{LIST} the {shown} {nouns} with the {thing} {each}{late}",
            f"for (each|every) {outer.noun}, {LIST} the {word} {shown} {nouns} {by}{late}",
            f"for (each|every) {outer.noun}, (show|list|give me|find) the {shown} {nouns} with the {thing}{late}",
            f"(what|which|who) are the {word} {shown} {nouns} {each} {by}{late}",
            f"(which|what) {shown} {nouns} (have|had) the {thing} {inside} (each|every) {outer.noun}{late}",
            f"{LIST} the {shown} {'(best|leading|strongest)' if up else '(worst|weakest)'} {nouns} {each} {by}{late}",
        ]
        if not people_words(g.noun):
            options = [o.replace("(what|which|who)", "(what|which)") for o in options]
    form: list[Piece] = list(metric.form)
    if sold and up and w.product(d.entity) and w.chance(0.4):
        quantity = next(f for f in d.entity.fields if f.token == w.product(d.entity)[1])  # type: ignore[index]
        form = ["sum", quantity.token]
        n = f"{shown} " if shown else ""
        options = [
            f"{LIST} the {n}(best-selling|best selling|top-selling|most sold) {nouns} {each}{late}",
            f"{n}(best-selling|top-selling|best selling) {nouns} {each}{late}",
            f"(which|what) are the {n}(best-selling|top-selling) {nouns} {each}{late}" if count > 1
            else f"which {nouns} (sells|sold) best in each {outer.noun}{late}",
            f"for each {outer.noun}, (show|list) the {n}{nouns} with the most units sold{late}",
        ]  # fmt: skip
        if s.conditions:
            raise Unfit("a condition unsaid")
    text = w.pick(w.rng.choice(options))
    core = w.core(
        [*outer.items, *inner.items, *form], s.where, group=[*outer.keys, *inner.keys],
        order=[*form, "desc" if up else "asc"], limit=token,
    )  # fmt: skip
    return text, [*core, "per", *outer.keys]


def _facts(w: Writer) -> Dated:
    """Rows of several parents, with a date where they have one."""

    def wide(e: Entity) -> bool:
        return len(e.parents) + len(e.having("category")) > 1 and len(w.domain.chains(e)) > 0

    if w.chance(0.75):
        d = dated(w, wide, parents=0.35)
        # What only lasts is counted as a whole, without a span of time.
        return d if d.event else replace(d, event=True, main=False)
    entity = w.entity(lambda e: e.rows > 15 and wide(e))
    return Dated(entity, w.any_of(entity.fields), False, {entity.place}, entity)


def _grouped_rows(w: Writer) -> tuple[Entity, Group]:
    """A named table and something coarse that its rows fall into."""
    entity = w.entity(lambda e: bool(e.label) and e.rows > 9 and bool(e.parents or e.having("category")))
    group = w.group(entity)
    size = group.field.distinct if group.field else group.entity.rows if group.entity else 0
    if (
        (group.field and group.field.role == "bool")
        or not 1 < size <= 25
        or (group.field and group.field in entity.label)
    ):
        raise Unfit("no coarse group")
    w.required |= group.tables
    return entity, group


def _rows_of_each(w: Writer) -> tuple[str, list[Piece]]:
    entity, group = _grouped_rows(w)
    f = w.any_of([x for x in numeric(entity) if not re.search(r"\byear\b", x.words)])
    kept = set(w.required)
    conditions = w.conditions(entity, 1 if w.chance(0.18) else 0)
    if (
        any(id(x) in c.fields for c in conditions for x in entity.label)
        or any(id(f) in c.fields or c.tables & group.tables - {entity.place} for c in conditions)
        or (group.field and any(id(group.field) in c.fields for c in conditions))
    ):
        raise Unfit("the same column twice")
    count, shown, token = _count(w)
    noun = w.noun(entity)
    said, where = w.subject(entity, conditions, noun=noun if count == 1 else plural(noun))
    w.required |= kept
    up = w.chance(0.75)
    words = w.words(f)
    degree = w.pick("(highest|highest|largest|greatest)" if up else "(lowest|lowest|smallest)")
    adjective = next((w.pick(a if up else b) for p, a, b in SUPERLATIVE if re.search(p, f.words)), "")
    if adjective in ("biggest", "largest", "highest", "smallest") or (
        "paid" in adjective and not people_words(entity.noun)
    ):
        adjective = ""
    if sum(bool(MONEY.search(x.words)) for x in numeric(entity)) > 1 and re.search(
        "expens|cheap|price|cost", adjective
    ):
        adjective = ""
    each = _per(w, group)
    inside = "(in|within|for)" if _holds_rows(group) else "for"
    n = f"{shown} " if shown else ""
    verb = "have" if count > 1 else "has"
    options = [
        f"{LIST} the {n}{said} with the {degree} {words} {each}",
        f"{n}{said} with the {degree} {words} {each}"
        if count > 1
        else f"the {said} with the {degree} {words} {each}",
        f"for (each|every) {group.noun}, (which|what) {n}{said} {verb} the {degree} {words}",
        f"for (each|every) {group.noun}, {LIST} the {n}{said} with the {degree} {words}",
        f"(which|what) {n}{said} {verb} the {degree} {words} {inside} (each|every) {group.noun}",
    ]
    if count > 1:
        word = "top" if up else "bottom"
        options += [
            f"{word} {n}{said} (by|in terms of) {words} {each}",
            f"{LIST} the {word} {n}{said} {each} (by|based on|ordered by) {words}",
        ]
    if adjective:
        options += [f"{LIST} the {n}{adjective} {said} {each}", f"{n}{adjective} {said} {each}",
                    f"what (is|are) the {n}{adjective} {said} {each}".replace("(is|are)", "are" if count > 1 else "is")]  # fmt: skip
    text = w.pick(w.rng.choice(options))
    label = [x.token for x in w.label(entity)]
    if group.items[0] in label:
        raise Unfit("grouped by its name")
    core = w.core(
        [*group.items, *label, f.token], where, order=[f.token, "desc" if up else "asc"], limit=token
    )
    return text, [*core, "per", *group.keys]


def ranked(w: Writer) -> tuple[str, list[Piece]]:
    """A rank or a quantile beside each row or group."""
    draw = w.rng.random()
    if draw < 0.4:
        return _rank_groups(w)
    return _rank_rows(w)


def _rank_groups(w: Writer) -> tuple[str, list[Piece]]:
    d = _facts(w)
    s = scene(w, d, filters=0.2, spans=0.3)
    metric = measured(w, d.entity, s, counts=0.4, kinds=("sum", "count", "avg"))
    up = w.chance(0.88)
    direction: Piece = "desc" if up else "asc"
    phrase, late = metric.phrase, s.late
    if w.chance(0.3):
        outer, inner = two_groups(w, d, s)
        text = w.pick(
            f"(rank the {inner.nouns} (within|in|of) each {outer.noun} by {phrase}{late}|"
            f"rank of each {inner.noun} (within|in) its {outer.noun} by {phrase}{late}|"
            f"{LIST} the rank of each {inner.noun} (within|in) (its|the) {outer.noun} by {phrase}{late}|"
            f"for each {outer.noun}, rank the {inner.nouns} by {phrase}{late}|"
            f"{LIST} {inner.nouns} with their {phrase}{late} and their rank within the {outer.noun})"
        )
        items = [*outer.items, *inner.items]
        over: list[Piece] = ["over", "(", "per", *outer.keys, "order", *metric.form, "desc", ")"]
        return text, w.core([*items, *metric.form, "rank", *over], s.where, group=[*outer.keys, *inner.keys])
    group = of_group(w, d, s)
    if group.entity is not None and not group.entity.label:
        raise Unfit("no name")
    low = "" if up else w.pick("( from lowest to highest|, lowest first| in ascending order)")
    if w.chance(0.18):
        count, names = w.rng.choice(
            ((4, "quartile"), (4, "quartile"), (10, "decile"), (5, "quintile"), (3, "third"), (0, ""))
        )
        if count:
            token: Piece = str(count)
            text = w.pick(
                f"({LIST} the {names} of each {group.noun} by {phrase}{late}|(divide|split|"
                f"group) the {group.nouns} into {names}s by {phrase}{late}|"
                f"which {names} is each {group.noun} in by {phrase}{late})"
            )
        else:
            number = w.rng.choice((3, 4, 5, 6, 8))
            shown, token = (spell_out(number) or "", str(number)) if w.chance(0.4) else w.literal(str(number))
            text = w.pick(
                f"((divide|split) the {group.nouns} into {shown} (equal|equally large|equal-sized) (groups|parts|"
                f"buckets) by {phrase}{late})"
            )
        form: list[Piece] = ["ntile", token, "over", "(", "order", *metric.form, "desc", ")"]
        return text, w.core([*group.items, *metric.form, *form], s.where, group=group.keys)
    word: Piece = "rank"
    extra = ""
    if w.chance(0.12):
        word, extra = (
            "dense_rank",
            w.pick("( without gaps|, dense ranking| using a dense rank|, no gaps in the ranks)"),
        )
    text = w.pick(
        f"(rank (the |all |){group.nouns} by {phrase}{late}{low}|(show|give me) a ranking of (the |all |"
        f"){group.nouns} by {phrase}{late}{low}|"
        f"{LIST} {group.nouns} with (their|the) {phrase}{late} and (their|the) rank{low}|{group.noun} ranking by {phrase}{late}{low}|"
        f"how do the {group.nouns} rank by {phrase}{late}{low}|what is the rank of each {group.noun} by {phrase}{late}{low}|"
        f"ranking of (the |all |){group.nouns} by {phrase}{late}{low}|{LIST} the {phrase} and rank of each {group.noun}{late}{low})"
    )
    over = ["over", "(", "order", *metric.form, direction, ")"]
    return text + extra, w.core(
        [*group.items, *metric.form, word, *over], s.where, group=group.keys, order=[*metric.form, direction]
    )


def _rank_rows(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.label) and bool(numeric(e)) and e.rows > 5)
    f = w.any_of(numeric(entity))
    nouns = plural(w.noun(entity))
    words = w.words(f)
    w.required = {entity.place}
    label = [x.token for x in w.label(entity)]
    up = w.chance(0.85)
    direction: Piece = "desc" if up else "asc"
    low = "" if up else w.pick("( from lowest to highest|, the lowest first| in ascending order)")
    draw = w.rng.random()
    if draw < 0.2:
        count, names = w.rng.choice(((4, "quartile"), (4, "quartile"), (10, "decile"), (5, "quintile")))
        text = w.pick(
            f"({LIST} (each|every) {entity.noun} with its {words} {names}|(divide|split) (the |all |){nouns} into {names}s by {words}|"
            f"(which|what) {words} {names} is each {entity.noun} in|assign (each|every) {entity.noun} to a {names} by {words})"
        )
        return text, w.core([*label, f.token, "ntile", str(count), "over", "(", "order", f.token, "asc", ")"])
    if draw < 0.62:
        group = w.group(entity)
        if group.items[0] in label or (group.field and group.field.role == "bool"):
            raise Unfit("grouped by its name")
        w.required |= group.tables
        own = "their" if people_words(entity.noun) else w.pick("(its|the)")
        if w.chance(0.3):
            gap = w.pick(
                f"({LIST} (each|every) {entity.noun}'s {words} and the average {words} (of|in) {own} {group.noun}|"
                f"{LIST} {nouns} with their {words} next to the average of {own} {group.noun}|"
                f"{LIST} {nouns}, their {words} and the {group.noun} average)"
            )
            return gap, w.core([*label, f.token, "avg", f.token, "over", "(", "per", *group.keys, ")"])
        if w.chance(0.3):
            gap = w.pick(
                f"(how far is the {words} of each {entity.noun} from the average of {own} {group.noun}|"
                f"{LIST} the difference between each {entity.noun}'s {words} and the average {words} (of|in) {own} {group.noun}|"
                f"{LIST} {nouns} with how much their {words} (differs|deviates) from the {group.noun} average)"
            )
            return gap, w.core([*label, f.token, "-", "avg", f.token, "over", "(", "per", *group.keys, ")"])
        text = w.pick(
            f"(rank (the |all |){nouns} by {words} within (each|{own}) {group.noun}{low}|"
            f"{LIST} the rank of each {entity.noun} by {words} (within|in) {own} {group.noun}{low}|"
            f"for (each|every) {group.noun}, rank the {nouns} by {words}{low}|rank {nouns} by {words} (per|"
            f"for each|in each) {group.noun}{low}|"
            f"{words} rank of each {entity.noun} within {own} {group.noun}{low})"
        )
        word: Piece = "rank"
        if w.chance(0.12):
            word, text = w.rng.choice(
                (("dense_rank", f"{text}, without gaps"), ("row_number", text.replace("rank", "number", 1)))
            )
            if word == "row_number" and not text.startswith("number"):
                raise Unfit("numbers are given, not ranks")
        over: list[Piece] = ["over", "(", "per", *group.keys, "order", f.token, direction, ")"]
        return text, w.core([*group.items, *label, f.token, word, *over])
    conditions = w.conditions(entity, 1 if w.chance(0.35) else 0)
    if any(id(x) in c.fields for c in conditions for x in (f, *entity.label)):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, conditions, noun=nouns)
    text = (
        w.pick(
            f"(rank (the |all |){said} by {words}{low}|ranking of (the |all |){said} by {words}{low}|(show|"
            f"give me) a ranking of (the |){said} by {words}{low}|"
            f"{LIST} (the |){said} with their {words} and rank{low}|{LIST} the {words} rank of (each {entity.noun}|all {said}){low}|"
            f"{said} ranked by {words}, with their rank{low})"
        )
        if not conditions
        else w.pick(
            f"(rank (the |all |){said} by {words}{low}|{LIST} (the |){said} with their {words} and rank by {words}{low})"
        )
    )
    over = ["over", "(", "order", f.token, direction, ")"]
    word = "rank"
    if w.chance(0.1):
        word, text = "dense_rank", text + w.pick("( without gaps|, dense ranking)")
    return text, w.core([*label, f.token, word, *over], where, order=[f.token, direction])


def over_time(w: Writer) -> tuple[str, list[Piece]]:
    """Running totals, moving averages, the period before, growth."""
    d = dated(w)
    if not d.main:
        raise Unfit("no date to speak of")
    unit = w.rng.choices(tuple(BUCKETS), (10, 3, 5, 2.5, 2))[0]
    s = scene(w, d, filters=0.25, spans=0.25 if unit != "by_day" else 0.8,
              units=("year",) if unit != "by_day" else ("month", "quarter"), excluded=0.04)  # fmt: skip
    draw = w.rng.random()
    if draw < 0.34:
        return _running(w, d, s, unit)
    if draw < 0.54:
        return _moving(w, d, s, unit)
    return _changes(w, d, s, unit)


def _running(w: Writer, d: Dated, s: Scene, unit: str) -> tuple[str, list[Piece]]:
    metric = measured(w, d.entity, s, counts=0.42, kinds=("sum", "count"))
    name, adverb, late = BUCKETS[unit], w.pick(ADVERBS[unit]), s.late
    phrase = re.sub(r"^(total|overall|combined|sum of) ", "", metric.phrase)
    bucket: list[Piece] = [unit, d.field.token]
    items: list[Piece] = []
    keys: list[Piece] = []
    order: list[Piece] = [*bucket, "asc"]
    by = ""
    if w.chance(0.25):
        group = of_group(w, d, s)
        by = w.pick(f" (for each|per|of each|for every) {group.noun}")
        items, keys = list(group.items), list(group.keys)
        order = [*(x for item in items for x in (item, "asc")), *order]
    over: list[Piece] = ["over", "(", *(["per", *keys] if keys else []), "order", *bucket, "asc", ")"]
    text = w.pick(
        f"((running|cumulative|running) total of (the |){phrase} (by|per|for each) {name}{by}{late}|"
        f"{START} the (running|cumulative) total of (the |){phrase} (by|per) {name}{by}{late}|"
        f"cumulative {phrase} (by|per|over the) {name}{by}{late}|{START} the cumulative {phrase} (by|per|for each) {name}{by}{late}|"
        f"{adverb} {phrase}{by}{late} (with|and|together with) (a|the) running total|"
        f"how does the {phrase} (add up|accumulate) {name} by {name}{by}{late}|"
        f"running sum of (the |){phrase} (by|per) {name}{by}{late}|accumulated {phrase} by {name}{by}{late}|"
        f"{START} the {adverb} {phrase} and (its|the) running total{by}{late}|(show|"
        f"give me) how the {phrase} accumulates from {name} to {name}{by}{late})"
    ).replace(f"over the {name}", f"by {name}")
    return text, w.core(
        [*items, *bucket, *metric.form, "sum", *metric.form, *over],
        s.where,
        group=[*keys, *bucket],
        order=order,
    )


def _moving(w: Writer, d: Dated, s: Scene, unit: str) -> tuple[str, list[Piece]]:
    metric = measured(w, d.entity, s, counts=0.42, kinds=("sum", "count"))
    name, adverb, late = BUCKETS[unit], w.pick(ADVERBS[unit]), s.late
    bucket: list[Piece] = [unit, d.field.token]
    count = w.rng.choice({"by_month": (3, 3, 3, 6, 12, 2, 4), "by_quarter": (2, 4, 4, 3), "year": (2, 3, 5, 3),
                          "by_week": (4, 4, 8, 3, 12), "by_day": (7, 7, 14, 30, 5, 3)}[unit])  # fmt: skip
    word = spell_out(count)
    shown, token = (word, str(count)) if word and w.chance(0.35) else w.literal(str(count))
    total = w.chance(0.15)
    what = "(rolling|moving) (total|sum)" if total else "(moving|rolling) average"
    phrase = metric.phrase
    text = w.pick(
        f"({shown}-{name} {what} of (the |){adverb} {phrase}{late}|{shown}-{name} {what} of (the |"
        f"){phrase}{late}|{START} the {shown}-{name} {what} of (the |){phrase}{late}|"
        f"{what} of (the |){phrase} over {shown} {name}s{late}|"
        f"{adverb} {phrase} with a {shown}-{name} {what}{late}|{START} the {adverb} {phrase} and (its|"
        f"the) {shown}-{name} {what}{late}|"
        f"{what} of (the |){adverb} {phrase} over (the last|the past) {shown} {name}s{late}|"
        f"smooth the {adverb} {phrase} with a {shown}-{name} {what}{late})"
    )
    if total:
        text = text.replace("smooth the", "show the")
    over: list[Piece] = ["over", "(", "order", *bucket, "asc", "rows", token, ")"]
    return text, w.core(
        [*bucket, *metric.form, "sum" if total else "avg", *metric.form, *over],
        s.where,
        group=bucket,
        order=[*bucket, "asc"],
    )


def _changes(w: Writer, d: Dated, s: Scene, unit: str) -> tuple[str, list[Piece]]:
    metric = measured(w, d.entity, s, counts=0.4, kinds=("sum", "count", "avg"))
    name, adverb, late, phrase = BUCKETS[unit], w.pick(ADVERBS[unit]), s.late, metric.phrase
    bucket: list[Piece] = [unit, d.field.token]
    items: list[Piece] = []
    keys: list[Piece] = []
    order: list[Piece] = [*bucket, "asc"]
    by = ""
    if w.chance(0.2):
        group = of_group(w, d, s)
        by = w.pick(f" (for each|per|by|for every) {group.noun}")
        items, keys = list(group.items), list(group.keys)
        order = [*(x for item in items for x in (item, "asc")), *order]
    over: list[Piece] = ["over", "(", *(["per", *keys] if keys else []), "order", *bucket, "asc", ")"]
    before = w.pick(f"(the {name} before|the previous {name}|the prior {name}|the preceding {name})")
    draw = w.rng.random()
    if draw < 0.52:
        word: Piece = "growth"
        over_name = {"by_month": "(month-over-month|month over month|month on month|MoM|monthly)",
        "year": "(year-over-year|year over year|year on year|YoY|annual|yearly)",
                     "by_quarter": "(quarter-over-quarter|quarter over quarter|QoQ|quarterly)",
                     "by_week": "(week-over-week|week over week|weekly|WoW)",
                     "by_day": "(day-over-day|day over day|daily)"}[unit]  # fmt: skip
        text = w.pick(
            f"({over_name} growth (of|in) (the |){phrase}{by}{late}|{START} the {over_name} growth (rate |)(of|"
            f"in) (the |){phrase}{by}{late}|{over_name} (growth|change) (of|in) (the |){phrase} in (percent|"
            f"%){by}{late}|"
            f"by (how many percent|what percentage) did the {phrase} (grow|change) from {name} to {name}{by}{late}|"
            f"(percentage|percent) (change|growth) (of|in) (the |){phrase} (compared to|over|from|"
            f"versus) {before}{by}{late}|"
            f"how much did the {phrase} grow (each|every|per) {name} (in percent|"
            f"compared to {before} in percent){by}{late}|{adverb} {phrase}{by}{late} (with|and) the (percentage|"
            f"percent) (change|growth) (from|over|compared with) {before}|"
            f"{START} the growth rate of (the |){phrase} (per|by) {name}{by}{late}|"
            f"{phrase} growth {name} over {name}{by}{late} in percent)"
        )
    elif draw < 0.76:
        word = "change"
        text = w.pick(
            f"({START} the (change|difference) (of|in) (the |){phrase} (from|compared to|compared with|versus|"
            f"relative to) {before}{by}{late}|{adverb} {phrase}{by}{late} and the (change|difference) (from|to|"
            f"compared to) {before}|"
            f"by how much did the {phrase} (change|rise or fall) from {name} to {name}{by}{late}|(change|"
            f"difference) in (the |){phrase} from {name} to {name}{by}{late}|"
            f"{name}-by-{name} (change|difference) (of|in) (the |){phrase}{by}{late}|"
            f"for each {name}, how much more or less was the {phrase} than in {before}{by}{late})"
        )
    else:
        word = "lag"
        text = w.pick(
            f"({adverb} {phrase}{by}{late} (compared with|compared to|next to|alongside|versus) {before}|"
            f"{START} the {phrase} of each {name} (and|alongside|next to|together with) (that of |"
            f"the value of ){before}{by}{late}|"
            f"compare (the |){phrase} of each {name} (with|to) {before}{by}{late}|"
            f"{phrase} by {name}{by}{late} with the value of {before} (next to it|beside it|alongside)|"
            f"{START} the {phrase} per {name}{by}{late} and the {phrase} of {before})"
        )
    return text, w.core(
        [*items, *bucket, *metric.form, word, *metric.form, *over],
        s.where,
        group=[*keys, *bucket],
        order=order,
    )


def shares_within(w: Writer) -> tuple[str, list[Piece]]:
    """Parts of a total in percent: of all, within a group, within a period, of each row."""
    d = _facts(w)
    s = scene(w, d, filters=0.22, spans=0.3)
    draw = w.rng.random()
    if draw < 0.16:
        return _row_share(w)
    metric = measured(w, d.entity, s, counts=0.4, kinds=("sum", "count"))
    phrase, late = (
        re.sub(r"^(total|overall|combined|number of|count of|total number of|# of) ", "", metric.phrase),
        s.late,
    )
    if metric.form == ["count", "*"]:
        phrase = f"number of {s.said}" if w.chance(0.3) else s.said
    how = w.pick("(in percent|in %|as a percentage|as percentages|)")
    how = f" {how}" if how else ""
    if draw < 0.5:
        outer, inner = two_groups(w, d, s)
        text = w.pick(
            f"({START} the (share|percentage) of each {inner.noun} in (the |){phrase} of its {outer.noun}{late}{how}|"
            f"(what|which) (share|percentage) of (the |){phrase} of each {outer.noun} comes from each {inner.noun}{late}|"
            f"{START} each {inner.noun}'s (share|percentage) of its {outer.noun}'s {phrase}{late}{how}|"
            f"share of (the |){phrase} by {inner.noun} within each {outer.noun}{late}{how}|"
            f"for each {outer.noun}, {START} the (share|percentage) of (the |){phrase} by {inner.noun}{late}{how})"
        )
        form: list[Piece] = ["share", *metric.form, "over", "(", "per", *outer.keys, ")"]
        return text, w.core([*outer.items, *inner.items, *form], s.where, group=[*outer.keys, *inner.keys])
    if draw < 0.68 and d.main and d.field.role == "date":
        unit = w.rng.choice(("by_month", "by_quarter", "year"))
        group = of_group(w, d, s)
        name = BUCKETS[unit]
        bucket: list[Piece] = [unit, d.field.token]
        text = w.pick(
            f"({START} the share of each {group.noun} in (the |){phrase} of each {name}{late}{how}|"
            f"{START} the {w.pick(ADVERBS[unit])} share of (the |){phrase} (by|per|"
            f"of each) {group.noun}{late}{how}|"
            f"what percentage of each {name}'s {phrase} (came|comes) from each {group.noun}{late}|share of (the |"
            f"){phrase} by {group.noun} within each {name}{late}{how})"
        )
        form = ["share", *metric.form, "over", "(", "per", *bucket, ")"]
        return text, w.core(
            [*bucket, *group.items, *form], s.where, group=[*bucket, *group.keys], order=[*bucket, "asc"]
        )
    group = of_group(w, d, s)
    text = w.pick(
        f"({START} the (share|percentage) of (the |){phrase} (by|per|for each) {group.noun}{late}{how}|(share|"
        f"percentage) of (the |)(total |){phrase} (by|per) {group.noun}{late}{how}|"
        f"what (percentage|share) of (the |)(total |){phrase} (comes from|falls on|belongs to|"
        f"is due to) each {group.noun}{late}|{START} how (the |){phrase} (is|"
        f"are) split by {group.noun}{late} in percent|"
        f"how much does each {group.noun} contribute to (the |)(total |){phrase}{late} in percent|"
        f"contribution of each {group.noun} to (the |)(total |){phrase}{late}{how}|percentage (breakdown|"
        f"split) of (the |){phrase} by {group.noun}{late})"
    )
    text = re.sub(
        r"\b(is|are) split",
        "is split" if not re.search(r"s( of| in|$)", phrase.split(" with ")[0]) else "are split",
        text,
    )
    items = list(group.items)
    order: list[Piece] | None = None
    if w.chance(0.25):
        text = w.pick(
            f"{LIST} (each|every) {group.noun} with (its|the) {metric.phrase}{late} and its (share|percentage) of the total"
        )
        items += metric.form
    elif w.chance(0.2):
        text += w.pick("(, largest share first|, highest first|, from highest to lowest)")
        order = ["share", *metric.form, "desc"]
    return text, w.core([*items, "share", *metric.form], s.where, group=group.keys, order=order)


def _row_share(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.label) and bool(numeric(e)) and e.rows > 3)
    f = w.any_of([x for x in numeric(entity) if not NOT_ADDITIVE.search(x.words)])
    words, noun = w.words(f), w.noun(entity)
    w.required = {entity.place}
    label: list[Piece] = [x.token for x in w.label(entity)]
    if w.chance(0.45):
        group = w.group(entity)
        if group.items[0] in label or (group.field and group.field.role == "bool"):
            raise Unfit("grouped by its name")
        w.required |= group.tables
        own = "their" if people_words(entity.noun) else "its"
        text = w.pick(
            f"({START} the share of each {noun} in the (total |){words} of {own} {group.noun} in percent|"
            f"{START} each {noun}'s (share|percentage) of the (total |){words} of {own} {group.noun}|"
            f"what percentage of the {words} of {own} {group.noun} does each {noun} have)"
        )
        return text, w.core([*label, "share", f.token, "over", "(", "per", *group.keys, ")"])
    text = w.pick(
        f"({START} the share of each {noun} in the total {words} in percent|"
        f"what percentage of the total {words} does each {noun} (have|account for|make up)|"
        f"{START} each {noun}'s (share|percentage) of the total {words}|"
        f"{LIST} {plural(noun)} with their percentage of the (total|overall) {words})"
    )
    return text, w.core([*label, "share", f.token])
