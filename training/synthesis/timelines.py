"""Metrics by day, month or hour; rows and metrics of a span of time; two spans side by side."""

from __future__ import annotations

import re
from datetime import date, timedelta

from sqlgen.sql.periods import parse_period
from sqlgen.training.synthesis.subjects import Field
from sqlgen.training.synthesis.timed import (
    ADVERBS,
    BUCKETS,
    Dated,
    Scene,
    dated,
    did,
    glued,
    measured,
    of_group,
    scene,
    span,
    subjects,
)
from sqlgen.training.synthesis.wording import join_words, people_words, period_text, plural
from sqlgen.training.synthesis.writer import LIST, START, Group, Metric, Piece, Unfit, Writer

__all__ = ["periods", "time_buckets", "two_periods"]

_PARTS: dict[str, str] = {
    "hour": "(hour of the day|hour of day|hour|time of day)",
    "weekday": "(day of the week|weekday|day of week)",
    "month": "(month of the year|calendar month)",
    "quarter": "quarter of the year",
    "day": "day of the month",
}


def time_buckets(w: Writer) -> tuple[str, list[Piece]]:
    """A metric by a unit of time, alone or with a category, its best units, units beyond a number."""
    draw = w.rng.random()
    if draw < 0.42:
        return _by_unit(w)
    if draw < 0.64:
        return _by_unit_and_group(w)
    if draw < 0.78:
        return _by_part(w)
    if draw < 0.9:
        return _best_units(w)
    return _units_beyond(w)


def _unit(w: Writer, d: Dated, units: tuple[str, ...] = tuple(BUCKETS)) -> str:
    """A unit of which the column has several."""
    try:
        days = (date.fromisoformat(str(d.field.high)[:10]) - date.fromisoformat(str(d.field.low)[:10])).days
    except ValueError:
        raise Unfit("no date") from None
    sizes = {"by_month": 30, "by_quarter": 91, "year": 365, "by_week": 7, "by_day": 1}
    weights = {"by_month": 9.0, "by_quarter": 4.0, "year": 5.0, "by_week": 2.5, "by_day": 2.0}
    fit = [u for u in units if days > 2 * sizes[u]]
    if not fit:
        raise Unfit("all at one time")
    return w.rng.choices(fit, [weights[u] for u in fit])[0]


def _spans_for(unit: str) -> tuple[tuple[str, ...], float]:
    """Spans of time that have several of a unit, and how often one is said."""
    return {"by_month": (("year", "year", "half"), 0.4), "by_quarter": (("year",), 0.35), "year": (("year",), 0.12),
            "by_week": (("quarter", "year", "half"), 0.55), "by_day": (("month", "month", "quarter"), 0.9)}[unit]  # fmt: skip


def _bare(phrase: str) -> str:
    return re.sub(r"^(the |total number of |number of |count of |# of )", "", phrase)


def _series(w: Writer) -> tuple[Dated, str, Scene, str]:
    """(dated rows, unit, scene, the words of a date that has to be named)."""
    d = dated(w)
    unit = _unit(w, d)
    sizes, rate = _spans_for(unit)
    s = scene(w, d, spans=rate, units=sizes)
    words = d.field.words
    of = "" if d.main else w.pick(f" of (the |){words}" if words.endswith("date") else f" of {words}")
    return d, unit, s, of


def _by_unit(w: Writer) -> tuple[str, list[Piece]]:
    d, unit, s, of = _series(w)
    metric = measured(
        w,
        d.entity,
        s,
        counts=0.42,
        extremes=w.chance(0.2),
        kinds=("sum", "avg", "count", "max", "min", "distinct"),
    )
    phrase, late = metric.phrase, s.late
    second: Metric | None = None
    if w.chance(0.16):
        second = w.metric(d.entity, s.said, counts=0.3, extremes=False)
        if second.form == metric.form:
            raise Unfit("the same metric twice")
        phrase = f"{phrase} and {second.phrase}"
    name, adverb = BUCKETS[unit], w.pick(ADVERBS[unit])
    counting = metric.form == ["count", "*"] and second is None
    verb = (
        did(w, d.field, d.entity) if counting and d.event and d.owner is d.entity and not s.conditions else ""
    )
    options = [
        f"{phrase} (by|per|for each|for every|in each) {name}{of}{late}",
        f"{START} the {phrase} (by|per|for each|in each|for every|grouped by|broken down by|split by|aggregated by) {name}{of}{late}",
        f"{LIST} the {phrase} (by|per|for every|for each) {name}{of}{late}",
        f"break (the |){phrase} down by {name}{of}{late}",
        f"{START} the {phrase}{late} (by|per|for each|for every) {name}{of}",
        f"{phrase}{late} (by|per) {name}{of}",
        f"for (each|every) {name}{of}{late}, (show|give me|what is|what was|list) the {phrase}",
        f"what was the {phrase} (in each|in every|for each|per) {name}{of}{late}",
        f"i (want to see|need|would like to see) the {phrase} (per|by|for each) {name}{of}{late}",
    ]
    if late.startswith((" in ", " during ", " between ", " from ", " last ", " this ")) and not of:
        options += [f"{late[1:]}, what was the {phrase} (by|per|in each|for each) {name}"] * 2
    if not of:
        many = second is not None
        options += [
            f"{adverb} {_bare(phrase) if counting else phrase}{late}",
            f"{START} the {adverb} {phrase}{late}",
            f"(show|show me|give me|list|plot|i need) (the |){adverb} {phrase}{late}",
            f"how did (the |our |){phrase} (develop|change|evolve) (by {name}|{name} by {name}|"
            f"from {name} to {name}|on a {adverb} basis){late}",
            f"(development|evolution|trend) of (the |){phrase} (by {name}|{name} by {name}|per {name}){late}",
            f"(how (does|do)|how did) (the |){phrase} (change|vary|develop) from {name} to {name}{late}".replace(
                "(does|do)", "do" if many else "does"
            ),
            f"{phrase} (over time|as a time series) (by|per) {name}{late}",
            f"{adverb} (breakdown|overview|report|summary|figures) of (the |){phrase}{late}",
            f"{phrase}{late}, {name} by {name}",
            f"{phrase}{late} on a {adverb} basis",
        ]
    if counting:
        options += [
            f"how many {s.said}{verb} (were there|are there|did we have|do we have|) (per|each|by|in each|for each|"
            f"every) {name}{of}{late}",
            f"{s.said}{verb} (per|by) {name}{of}{late}",
            f"number of {s.said}{verb} (per|by|in each) {name}{of}{late}",
            f"count (of |the |){s.said}{verb} (per|by|for each) {name}{of}{late}",
            f"how many {s.said}{verb} (per|each) {name}{of}{late}",
        ]
    if metric.form[0] == "sum" and len(metric.form) > 2 and second is None and not s.conditions and not of:
        options += [
            f"how much (revenue|turnover) did we (make|generate|have) (each|per|every|by) {name}{late}"
        ] * 2
    bucket: list[Piece] = [unit, d.field.token]
    items = [*bucket, *metric.form, *(second.form if second else [])]
    text = w.pick(w.rng.choice(options))
    order: list[Piece] = [*bucket, "asc"]
    if w.chance(0.06):
        text, order = text + w.pick("(, newest first|, latest first|, most recent first)"), [*bucket, "desc"]
    return text, w.core(items, s.where, group=bucket, order=order)


def _by_unit_and_group(w: Writer) -> tuple[str, list[Piece]]:
    d, unit, s, of = _series(w)
    if unit == "by_day":
        raise Unfit("too fine")
    group = of_group(w, d, s)
    metric = measured(w, d.entity, s, counts=0.4, group=group)
    phrase, late, name, adverb = metric.phrase, s.late, BUCKETS[unit], w.pick(ADVERBS[unit])
    bucket: list[Piece] = [unit, d.field.token]
    if w.chance(0.35):
        text = w.pick(
            f"({phrase} (by|per) {group.noun} and {name}{of}{late}|{START} the {phrase} (by|per|"
            f"for each) {group.noun} and {name}{of}{late}|"
            f"for each {group.noun}, (show|give me|what was) the {phrase} (by|per) {name}{of}{late}|"
            f"{LIST} the {phrase} of each {group.noun} (by|per) {name}{of}{late}|"
            f"how did the {phrase} of each {group.noun} develop by {name}{of}{late})"
        ).replace(f"{phrase} of each", f"{phrase} for each" if " of " in phrase else f"{phrase} of each")
        order = [x for item in group.items for x in (item, "asc")]
        return text, w.core(
            [*group.items, *bucket, *metric.form],
            s.where,
            group=[*group.keys, *bucket],
            order=[*order, *bucket, "asc"],
        )
    options = [
        f"{phrase} (by|per) {name}{of} and {group.noun}{late}",
        f"{START} the {phrase} (by|per|for each|for every) {name}{of} and {group.noun}{late}",
        f"{LIST} the {phrase} (by|per|grouped by|broken down by|split by) {name}{of} and {group.noun}{late}",
        f"for each {name}{of} and {group.noun}{late}, (show|what is|give me) the {phrase}",
        f"{phrase} (by|per) {name}{of}{late}, (split|broken down|separated|grouped) by {group.noun}",
    ]
    if not of:
        options += [
            f"{adverb} {phrase} (by|per|for each|split by|broken down by) {group.noun}{late}",
            f"(show|show me|give me|list|plot|what is|what was) the {adverb} {phrase} (by|per|for each|for every|"
            f"of each) {group.noun}{late}".replace(
                "|of each", "" if " of " in phrase or metric.counting else "|of each"
            ),
            f"{adverb} (breakdown|overview) of {phrase} by {group.noun}{late}",
        ]
    return w.pick(w.rng.choice(options)), w.core(
        [*bucket, *group.items, *metric.form], s.where, group=[*bucket, *group.keys], order=[*bucket, "asc"]
    )


def _by_part(w: Writer) -> tuple[str, list[Piece]]:
    """By hour, weekday, month of the year: the cycle of a day, week or year."""
    d = dated(w)
    timed = any(
        re.search(r"[T ]\d\d:[0-5]\d", str(x)) and not str(x).endswith("00:00:00") for x in d.field.samples
    )
    part = w.rng.choice(
        ("hour", "hour", "weekday") if timed else ("weekday", "weekday", "month", "quarter", "day")
    )
    s = scene(w, d, spans=0.3, units=("year",))
    metric = measured(w, d.entity, s, counts=0.6)
    name, late = w.pick(_PARTS[part]), s.late
    bucket: list[Piece] = [part, d.field.token]
    counting = metric.form == ["count", "*"]
    verb = (
        did(w, d.field, d.entity)
        if counting and d.event and d.main and d.owner is d.entity and not s.conditions
        else ""
    )
    of = "" if d.main else f" of {d.field.words}"
    phrase = metric.phrase
    best = w.chance(0.72)
    if w.chance(0.45):
        most = w.pick("(most|highest number of)" if best else "(fewest|lowest number of)")
        thing = f"{most} {s.said}{verb}" if counting else f"{'highest' if best else 'lowest'} {phrase}"
        on = {"hour": "(at which hour|at what hour|in which hour)",
        "weekday": "(on which day of the week|on which weekday|on what day of the week)",
              "month": "in which (month of the year|calendar month)", "quarter": "in which quarter of the year",
              "day": "on which day of the month"}[part]  # fmt: skip
        options = [
            f"(which|what) {name}{of} (has|had|sees) the {thing}{late}",
            f"(what is|find|show) the {name}{of} with the {thing}{late}",
            f"{on} do we (have|see|get) the {thing}{late}"
            if not of
            else f"which {name}{of} has the {thing}{late}",
        ]
        if counting and not of and best and not s.conditions:
            options += [
                f"what (is|was) the busiest {name} for {s.said}{late}",
                f"{on} are (the |)most {s.said}{verb or ' recorded'}{late}",
            ]
        return w.pick(w.rng.choice(options)), w.core(
            bucket, s.where, group=bucket, order=[*metric.form, "desc" if best else "asc"], limit="1"
        )
    options = [
        f"{phrase}{verb} (by|per) {name}{of}{late}",
        f"{START} the {phrase}{verb} (by|per|for each) {name}{of}{late}",
        f"how does the {phrase}{verb} (vary|differ|change) by {name}{of}{late}",
        f"{LIST} the {phrase}{verb} for (each|every) {name}{of}{late}",
    ]
    if counting:
        options += [
            f"how many {s.said}{verb} (are there|do we have|) (per|for each|on each|by) {name}{of}{late}".replace(
                "|on each", "|on each" if part in ("weekday", "day") else ""
            ),
            f"how are (the |our |){s.said} (distributed|"
            f"spread) over the {plural(name) if part != 'hour' else 'hours of the day'}{of}{late}".replace(
                "day of the weeks", "days of the week"
            ),
            f"{s.said}{verb} by {name}{of}{late}",
        ]
    return w.pick(w.rng.choice(options)), w.core(
        [*bucket, *metric.form], s.where, group=bucket, order=[*bucket, "asc"]
    )


def _best_units(w: Writer) -> tuple[str, list[Piece]]:
    d, unit, s, of = _series(w)
    metric = measured(w, d.entity, s, counts=0.45)
    name, late, phrase = BUCKETS[unit], s.late, metric.phrase
    bucket: list[Piece] = [unit, d.field.token]
    counting = metric.form == ["count", "*"]
    up = w.chance(0.75)
    high = w.pick("(most|highest number of)" if up else "(fewest|lowest number of)") if counting else w.pick(
        "(highest|highest|best|strongest)" if up else "(lowest|lowest|weakest)"
    )  # fmt: skip
    if not counting and metric.form[0] != "sum":
        high = "highest" if up else "lowest"
    thing = f"{high} {s.said if counting else phrase}"
    items: list[Piece] = list(bucket)
    if w.chance(0.5):
        options = [
            f"(which|what) {name}{of} (had|has|saw) the {thing}{late}",
            f"{LIST} the {name}{of} with the {thing}{late}",
            f"when (was|were) (the |our |){phrase} (the |){'highest' if up else 'lowest'}{late}? (give|show) the {name}{of}"
            if not counting
            else f"in which {name}{of} did we (have|see|record|get) the {thing}{late}",
        ]
        if late.startswith(" in ") and not of:
            options += [
                f"in which {name} of {late[4:].removeprefix('the ')} did we have the {thing}".replace(
                    " of the year ", " of "
                )
            ]
        text = w.pick(w.rng.choice(options)).replace("our the", "our")
        if w.chance(0.2) and "?" not in text:
            text += (
                w.pick("(, and how much was it|, and what was it)")
                if not counting
                else w.pick("( and how many|, and how many were there)")
            )
            items += metric.form
        limit: Piece = "1"
    else:
        _, shown, limit = w.limit()  # type: ignore[assignment]
        word = w.pick("(top|best|strongest)" if up else "(bottom|weakest|worst)")
        if counting or metric.form[0] != "sum":
            word = "top" if up else "bottom"
        text = w.pick(
            f"({LIST} the {word} {shown} {name}s{of} by {phrase}{late}|{word} {shown} {name}s{of} by {phrase}{late}|"
            f"(which|what) {shown} {name}s{of} (had|have) the {thing}{late}|{LIST} the {shown} {name}s{of} with the {thing}{late})"
        )
        if w.chance(0.2):
            text += w.pick("( and the (values|figures)|, with the (values|numbers))")
            items += metric.form
    return text, w.core(
        items, s.where, group=bucket, order=[*metric.form, "desc" if up else "asc"], limit=limit
    )


def _units_beyond(w: Writer) -> tuple[str, list[Piece]]:
    """Units of time whose metric is beyond a number."""
    d, unit, s, of = _series(w)
    metric = measured(w, d.entity, s, counts=0.55, kinds=("count", "sum", "avg"))
    name, late = BUCKETS[unit], s.late
    counting = metric.form == ["count", "*"]
    if counting:
        low = max(
            2,
            d.entity.rows
            // {"by_month": 24, "by_quarter": 8, "year": 3, "by_week": 100, "by_day": 400}[unit],
        )
        value, token = w.number(w.rng.randrange(2, low + 4), plain=True)
    else:
        f = next((f for f in d.entity.fields if f.token in metric.form), None)
        if f is None or len(metric.form) != 2:
            raise Unfit("no threshold")
        size = w.threshold(f) * (w.rng.choice((1, 2, 5, 10)) if metric.form[0] == "sum" else 1)
        value, token = w.number(size, f)
    op, more = w.rng.choice(
        (
            (">", "(more than|over)"),
            (">", "(more than|above)"),
            (">=", "at least"),
            ("<", "(fewer than|less than)" if counting else "(less than|below)"),
        )
    )
    more = w.pick(more)
    bucket: list[Piece] = [unit, d.field.token]
    items: list[Piece] = list(bucket)
    if counting:
        text = w.pick(
            f"((in which|which) {name}s{of} had {more} {value} {s.said}{late}|{LIST} (the |all |"
            f"){name}s{of} with {more} {value} {s.said}{late}|"
            f"{name}s{of}{late} (with|that had) {more} {value} {s.said}|on how many)"
        )
        if text == "on how many":
            text = w.pick(f"{name}s{of}{late} where the number of {s.said} was {more} {value}")
        text = re.sub(r"^in which (\w+) had", r"in which \1 were there", text)
    else:
        text = w.pick(
            f"((in which|which) {name}s{of} (was|had) the {metric.phrase} {more} {value}{late}|{LIST} (the |all |"
            f"){name}s{of} where the {metric.phrase} "
            f"was {more} {value}{late}|{name}s{of} with {metric.phrase} {more} {value}{late})"
        )
        text = re.sub(
            r"^(in which|which) (\w+)(.*?) had the (.*?) (more|over|above|at|less|below)",
            r"which \2\3 had \4 of \5",
            text,
        )
        text = (
            re.sub(r"^which (\w+) was the", r"in which \1 was the", text)
            .replace(" of above ", " above ")
            .replace(" of below ", " below ")
        )
        text = text.replace(" of over ", " over ")
        if w.chance(0.25):
            items += metric.form
            text += w.pick("( and how much it was|, with the amount| and the value)")
    return text, w.core(
        items, s.where, group=bucket, having=[*metric.form, op, token], order=[*bucket, "asc"]
    )


def periods(w: Writer) -> tuple[str, list[Piece]]:
    """Rows, counts, totals and groups of a span of time."""
    d = dated(w)
    if not d.main:
        raise Unfit("no date to speak of")
    kept = set(w.required)
    conditions, nouns, said, where = subjects(w, d, 0.3)
    w.required |= kept
    period = span(w, d.field, relatives=0.5)
    where = glued(where, [d.field.token, *period.body])
    s = Scene(said, where, f" {period.text}", nouns, conditions, True, d.event)
    draw = w.rng.random()
    if draw < 0.3:
        return _counted(w, d, s)
    if draw < 0.55:
        return _totalled(w, d, s)
    if draw < 0.8:
        return _split(w, d, s)
    return _listed(w, d, s)


def _front(late: str) -> bool:
    return late.startswith(
        (" in ", " during ", " between ", " from ", " last ", " this ", " over ", " within ", " since ")
    )


def _counted(w: Writer, d: Dated, s: Scene) -> tuple[str, list[Piece]]:
    own = d.owner is d.entity
    verb = did(w, d.field, d.entity) if own and d.event and not s.conditions else ""
    links = [x for x in d.entity.parents if not x.parent.verbal and x.parent.label]
    if links and d.event and w.chance(0.25) and not s.conditions:
        link = w.rng.choice(links)
        things = plural(w.noun(link.parent))
        options = [
            f"how many (different|distinct|unique) {things} (had|have) {s.said}{s.late}",
            f"(number|count) of (different|distinct|unique) {things} with {s.said}{s.late}",
            f"how many {things} had at least one {d.entity.noun}{s.late}",
        ]
        if people_words(link.parent.noun):
            options.append(
                f"how many active {things} (were there|did we have){s.late}, counting those with {s.said}"
            )
        return w.pick(w.rng.choice(options)), w.core(["count", "distinct", link.column.token], s.where)
    options = [
        f"how many {s.said}{verb} (were there|did we have|are there|do we have|){s.late}",
        f"how many {s.said} (were|got) {verb.strip()}{s.late}"
        if verb.endswith("ed") and " who" not in verb
        else f"how many {s.said}{s.late}",
        f"number of {s.said}{verb}{s.late}",
        f"{START} the (number|count|total number) of {s.said}{verb}{s.late}",
        f"count (the |all |){s.said}{verb}{s.late}",
        f"{s.said}{verb}{s.late}, how many (were there|are there)",
        f"total {s.said}{s.late}",
    ]
    if _front(s.late):
        options.append(f"{s.late[1:]}, how many {s.said} (were there|did we have)")
    return w.pick(w.rng.choice(options)), w.core(["count", "*"], s.where)


def _totalled(w: Writer, d: Dated, s: Scene) -> tuple[str, list[Piece]]:
    metric = measured(w, d.entity, s, counts=0, extremes=True)
    if metric.counting:
        raise Unfit("nothing to add up")
    phrase = metric.phrase
    options = [
        f"{START} the {phrase}{s.late}",
        f"{phrase}{s.late}",
        f"what (was|is) (the |our |){phrase}{s.late}",
        f"(show|show me|give me|calculate|find) the {phrase}{s.late}",
        f"i need the {phrase}{s.late}",
    ]
    if metric.form[0] == "sum":
        options.append(f"how (high|large) was the {phrase}{s.late}")
        if len(metric.form) > 2 and not s.conditions:
            options += [
                f"how much (revenue|turnover) did we (make|generate){s.late}",
                f"how much did we sell{s.late} in total",
            ]
            options[-1] = f"how much did we (make|earn) from {s.said}{s.late}"
    if _front(s.late):
        options.append(f"{s.late[1:]}, what was the {phrase}")
    items = list(metric.form)
    if w.chance(0.15):
        second = w.metric(d.entity, s.said, counts=0.5, extremes=False)
        if second.form == metric.form:
            raise Unfit("the same metric twice")
        options = [
            f"{START} the {phrase} and the {second.phrase}{s.late}",
            f"{phrase} and {second.phrase}{s.late}",
        ]
        items += second.form
    return w.pick(w.rng.choice(options)), w.core(items, s.where)


def _split(w: Writer, d: Dated, s: Scene) -> tuple[str, list[Piece]]:
    group = of_group(w, d, s)
    metric = measured(w, d.entity, s, counts=0.45, group=group)
    phrase, late = metric.phrase, s.late
    counting = metric.form == ["count", "*"]
    if w.chance(0.45):
        one = w.chance(0.5)
        up = w.chance(0.8)
        _, shown, token = (1, "", "1") if one else w.limit()
        most = ("most" if up else "fewest") if counting else ("highest" if up else "lowest")
        thing = f"{most} {s.said if counting else phrase}"
        who = "who" if group.entity is not None and people_words(group.entity.noun) else f"which {group.noun}"
        word = "top" if up else "bottom"
        options = (
            [f"(which|what) {group.noun} had the {thing}{late}", f"{LIST} the {group.noun} with the {thing}{late}",
            f"{who} had the {thing}{late}"]
            if one
            else [f"{word} {shown} {group.nouns} by {phrase}{late}", f"{LIST} the {word} {shown} {group.nouns} by {phrase}{late}",
                  f"(which|what) {shown} {group.nouns} had the {thing}{late}",
                  f"(which|what) were the {word} {shown} {group.nouns} by {phrase}{late}",
                  f"{LIST} the {shown} {group.nouns} with the {thing}{late}"]
        )  # fmt: skip
        if _front(late):
            options.append(
                f"{late[1:]}, which {group.noun if one else f'{shown} {group.nouns}'} had the {thing}"
            )
        return w.pick(w.rng.choice(options)), w.core(
            group.items, s.where, group=group.keys, order=[*metric.form, "desc" if up else "asc"], limit=token
        )
    options = [
        f"{phrase} (by|per) {group.noun}{late}",
        f"{START} the {phrase} (by|per|for each|for every) {group.noun}{late}",
        f"{LIST} (each|every) {group.noun} (and|with) (its|the) {phrase}{late}",
        f"{LIST} the {phrase}{late} (by|per|for each) {group.noun}",
        f"how did the {phrase} (differ|vary) by {group.noun}{late}",
        f"break (the |){phrase}{late} down by {group.noun}",
    ]
    if counting:
        options += [
            f"how many {s.said} (were there|did we have) (per|for each|by) {group.noun}{late}",
            f"{s.said} (per|by) {group.noun}{late}",
        ]
    if _front(late):
        options.append(f"{late[1:]}, what was the {phrase} (per|by|for each) {group.noun}")
    return w.pick(w.rng.choice(options)), w.core([*group.items, *metric.form], s.where, group=group.keys)


def _listed(w: Writer, d: Dated, s: Scene) -> tuple[str, list[Piece]]:
    if d.owner is not d.entity:
        raise Unfit("a date of another")
    links = [x for x in d.entity.parents if x.parent.label and not x.parent.verbal]
    verb = did(w, d.field, d.entity) if d.event and not s.conditions else ""
    if links and d.event and w.chance(0.35):
        link = w.rng.choice(links)
        things = plural(w.noun(link.parent))
        that = "who" if people_words(link.parent.noun) else "that"
        w.required.add(link.parent.place)
        text = w.pick(
            f"((which|what) {things} had {s.said}{s.late}|{LIST} (the |all |){things} (with|{that} had) {s.said}{s.late}|"
            f"{things} with (at least one {d.entity.noun}|{s.said}){s.late})"
            if not s.conditions
            else f"((which|what) {things} had {s.said}{s.late}|{LIST} (the |all |){things} (with|{that} had) {s.said}{s.late})"
        )
        return text, w.core([f.token for f in link.parent.label], s.where, distinct=True)
    label: list[Piece] = [f.token for f in w.label(d.entity)]
    text = w.pick(
        f"({LIST} (all |the |){s.said}{verb}{s.late}|(which|what) (were the |){s.said} (were there|"
        f"did we have){s.late}|{s.said}{verb}{s.late}|"
        f"(which|what) (are|were) the {s.said}{verb}{s.late}|i need (all |the |){s.said}{verb}{s.late})"
    ).replace("were the ",
    "") if w.chance(0.5) else w.pick(f"({LIST} (all |the |){s.said}{verb}{s.late}|{s.said}{verb}{s.late})")  # fmt: skip
    others = [f for f in d.entity.having("measure", "category") if f.token not in label]
    if others and w.chance(0.3):
        extra = w.rng.sample(others, min(len(others), w.rng.choice((1, 2))))
        names = join_words([w.words(f) for f in extra], w.rng)
        text = w.pick(f"{LIST} (the |){s.said}{verb}{s.late} (with|together with|and) their {names}")
        return text, w.core([*label, *(f.token for f in extra)], s.where)
    return text, w.core(label, s.where)


def two_periods(w: Writer) -> tuple[str, list[Piece]]:
    """A metric in two spans of time: side by side, their difference, growth, who grew, who vanished."""
    d = dated(w)
    if not d.main:
        raise Unfit("no date to speak of")
    s = scene(w, d, filters=0.25, spans=0, excluded=0)
    (first, a), (second, b), prep = _two_spans(w, d.field)
    draw = w.rng.random()
    if draw < 0.16:
        return _vanished(w, d, (first, a), (second, b), prep)
    metric = measured(w, d.entity, s, counts=0.45, kinds=("sum", "count", "avg"))
    one, two = (_within(metric.form, d.field, x) for x in (a, b))
    phrase = metric.phrase
    if draw < 0.34:
        return _grew(w, d, s, metric, (first, one), (second, two), prep)
    group: Group | None = of_group(w, d, s) if w.chance(0.5) else None
    items: list[Piece] = list(group.items) if group else []
    by = w.pick(f" (by|per|for each|for every) {group.noun}") if group else ""
    if draw < 0.68:
        text = w.pick(
            f"(compare (the |){phrase} {prep}{first} (and|with|to) {prep}{second}{by}|"
            f"{phrase}{by} {prep}{first} (vs|versus|compared to|vs.) {second}|"
            f"{phrase} {prep}{first} and {prep}{second} side by side{by}|"
            f"{START} the {phrase} {prep}{first} and {prep}{second}{by}, side by side|"
            f"{START} the {phrase}{by} {prep}{first} compared (to|with) {second}|"
            f"{phrase}{by} for {first} and {second} in (separate|two|two separate) columns|"
            f"{phrase} {prep}{first} versus {second}{by}|{START} the {phrase}{by} once for {first} and once for {second}|"
            f"how does the {phrase}{by} {prep}{first} compare (to|with) {second})"
        )
        return text, w.core([*items, *one, *two], s.where, group=group.keys if group else None)
    percent = w.chance(0.6)
    gap: list[Piece] = [*two, "-", *one]
    if percent:
        text = w.pick(
            f"(by (what percentage|how many percent) did the {phrase} (change|grow|increase) from {first} to {second}{by}|"
            f"(percentage|percent) (change|growth|increase) (of|in) (the |){phrase} from {first} to {second}{by}|"
            f"{START} the growth (rate |)(of|in) (the |){phrase} from {first} to {second} in percent{by}|"
            f"growth of {phrase} {prep}{second} (compared to|over|versus|relative to) {first} (in percent|in %|as a percentage){by}|"
            f"how much did the {phrase} grow from {first} to {second} in (percent|%){by}|"
            f"{START} the percentage by which the {phrase} changed between {first} and {second}{by})"
        )
        form: list[Piece] = ["100", "*", "{", *gap, "}", "/", *one]
    else:
        text = w.pick(
            f"(by how much did the {phrase} (change|grow|increase|rise) from {first} to {second}{by}|"
            f"{START} the (difference|change) in {phrase} (between {first} "
            f"and {second}|from {first} to {second}){by}|(change|increase|difference) in {phrase} from {first} to {second}{by}|"
            f"{START} the difference between the {phrase} {prep}{second} and {prep}{first}{by}|"
            f"how much (more|higher) was the {phrase} {prep}{second} than {prep}{first}{by})"
        )
        text = text.replace("how much more was the", "how much higher was the")
        form = gap
    return text, w.core([*items, *form], s.where, group=group.keys if group else None)


def _two_spans(w: Writer, f: Field) -> tuple[tuple[str, list[Piece]], tuple[str, list[Piece]], str]:
    """Two spans of a kind, the earlier one first, and what precedes them."""
    day = w.day(f)
    draw = w.rng.random()
    if draw < 0.3:
        unit = w.rng.choice(("year", "year", "month", "month", "quarter", "week"))
        size = {"year": 365, "month": 30, "quarter": 91, "week": 7}[unit]
        w.today = day + timedelta(days=w.rng.randrange(size))
        now = w.rng.choice(("this", "this", "the current"))
        before = w.rng.choice(("last", "last", "the previous"))
        said = [(before, f"{before} {unit}"), (now, f"{now} {unit}")]
        found: list[tuple[str, list[Piece]]] = []
        for _, text in said:
            shown, token = w.literal(text.removeprefix("the "))
            found.append((f"{'the ' if text.startswith('the ') else ''}{shown}", ["=", token]))
        return found[0], found[1], ""
    unit = w.rng.choice(("year", "year", "year", "quarter", "month", "half"))
    if unit == "year" or w.chance(0.4):
        other = day.replace(year=day.year + w.rng.choice((-1, -1, 1)), day=min(day.day, 28))
    else:
        other = day + timedelta(days={"quarter": 91, "month": 30, "half": 182}[unit] * w.rng.choice((-1, 1)))
    first, last = sorted((day, other))
    seed = w.rng.random()
    texts = [period_text(x, unit, type(w.rng)(seed)) for x in (first, last)]
    if texts[0] == texts[1] or not _holds(f, texts):
        raise Unfit("one period")
    pair: list[tuple[str, list[Piece]]] = []
    for text in texts:
        shown, token = w.literal(text.removeprefix("the "))
        pair.append((f"{'the ' if text.startswith('the ') else ''}{shown}", ["=", token]))
    return pair[0], pair[1], "in "


def _holds(f: Field, texts: list[str]) -> bool:
    """Whether each span has rows among the samples."""
    days = []
    for x in f.samples:
        try:
            days.append(date.fromisoformat(str(x)[:10]))
        except ValueError:
            return False
    spans = [parse_period(t, date(2024, 1, 1)) for t in texts]
    return all(p is not None and any(p[0] <= x < p[1] for x in days) for p in spans)


def _within(form: list[Piece], f: Field, body: list[Piece]) -> list[Piece]:
    return [form[0], "if", "(", f.token, *body, ")", *form[1:]]


def _grew(
    w: Writer, d: Dated, s: Scene, metric: Metric, first: tuple[str, list[Piece]], second: tuple[str, list[Piece]], prep: str
) -> tuple[str, list[Piece]]:  # fmt: skip
    """Groups whose metric was higher in one span than in the other."""
    group = of_group(w, d, s)
    up = w.chance(0.65)
    phrase = metric.phrase
    (one, a), (two, b) = first, second
    counting = metric.form[:1] == ["count"] and metric.form[-1] == "*"
    went = "(grow|increase|go up|rise)" if up else "(fall|decrease|go down|drop|decline)"
    more = (
        f"{'more' if up else 'fewer'} {s.said}" if counting else f"{'a higher' if up else 'a lower'} {phrase}"
    )
    text = w.pick(
        f"((which|what) {group.nouns} had {more} {prep}{two} than {prep}{one}|"
        f"(which|what) {group.nouns} had {'(a higher|higher)' if up else '(a lower|lower)'} {phrase} {prep}{two} than {prep}{one}|"
        f"{LIST} (the |all |){group.nouns} whose {phrase} was {'higher' if up else 'lower'} {prep}{two} than {prep}{one}|"
        f"{group.nouns} (with|"
        f"having) {'(increasing|growing|rising)' if up else '(decreasing|declining|falling)'} {phrase} from {one} to {two}|"
        f"for which {group.nouns} did the {phrase} {went} from {one} to {two})"
    )
    items = list(group.items)
    if w.chance(0.15):
        text += w.pick("(, with both values| and both figures|, and show both numbers)")
        items += [*a, *b]
    return text, w.core(items, s.where, group=group.keys, having=[*b, ">" if up else "<", *a])


def _vanished(
    w: Writer, d: Dated, first: tuple[str, list[Piece]], second: tuple[str, list[Piece]], prep: str
) -> tuple[str, list[Piece]]:
    """Those with rows in one span and none in the other."""
    entity = d.entity
    links = [
        x for x in entity.parents if x.parent.label and not x.parent.verbal and d.owner is entity and d.event
    ]
    if not links:
        raise Unfit("nobody")
    link = w.rng.choice(links)
    (one, a), (two, b) = first, second
    gone = w.chance(0.7)
    nouns, things = plural(w.noun(link.parent)), plural(w.noun(entity))
    that = "who" if people_words(link.parent.noun) else "that"
    x, y = ((one, a), (two, b)) if gone else ((two, b), (one, a))
    w.required = {entity.place}
    inner = [w.core([link.column.token], [d.field.token, *z[1]], required={entity.place}) for z in (x, y)]
    post = w.pick(
        f"(had {things} {prep}{x[0]} but (not|none) {prep}{y[0]}|"
        f"had {things} {prep}{x[0]} but no {things} {prep}{y[0]}|had at least one {entity.noun} "
        f"{prep}{x[0]} but (none|not one) {prep}{y[0]})"
    )
    if re.search("order|purchase", entity.noun) and people_words(link.parent.noun):
        post = w.pick(f"(ordered|bought something|placed an order) {prep}{x[0]} but not {prep}{y[0]}")
    count = w.chance(0.25)
    text = (
        w.pick(f"(how many {nouns} {post}|number of {nouns} {that} {post}|count the {nouns} {that} {post})")
        if count
        else w.pick(
            f"((which|what) {nouns} {post}|{LIST} (the |all |){nouns} {that} {post}|{nouns} {that} {post})"
        )
    )
    key = link.target.token
    items: list[Piece] = ["count", "*"] if count else [f.token for f in link.parent.label]
    w.required = {link.parent.place}
    where: list[Piece] = [key, "in", "[", *inner[0], "]", "and", key, "not_in", "[", *inner[1], "]"]
    form = w.core(items, where)
    w.required.add(entity.place)
    return text, form
