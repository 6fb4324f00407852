"""Questions about averages of groups, ranks, the best but one, and comparisons of two named things."""

from __future__ import annotations

import re

from sqlgen.training.synthesis.common import (
    ASK,
    ORDINALS,
    SHOW,
    aggregate_of,
    apart,
    bare_core,
    having_children,
    labels,
    numeric,
)
from sqlgen.training.synthesis.subjects import MONEY, NOT_ADDITIVE, Entity, Field
from sqlgen.training.synthesis.wording import article, people_words, plural
from sqlgen.training.synthesis.writer import START, SUPERLATIVE, UNITS, Group, Piece, Unfit, Writer

__all__ = ["averages", "ranks", "versus"]

_KIND = re.compile(
    r"\b(category|department|genre|city|country|type|class|region|level|position|specialty|title|language|trade|sector|"
    r"industry|segment|grade|line|brand|species|nationality|role)$"
)
_MORE = "(above|higher than|greater than|more than|over|larger than)"
_LESS = "(below|lower than|less than|smaller than|under)"


def averages(w: Writer) -> tuple[str, list[Piece]]:
    draw = w.rng.random()
    if draw < 0.3:
        return _within(w)
    if draw < 0.5:
        return _beyond(w)
    if draw < 0.78:
        return _of_groups(w)
    return _above_groups(w)


def _measure(w: Writer) -> tuple[Entity, Field]:
    entity = w.entity(lambda e: bool(numeric(e)) and bool(e.label) and e.rows > 5)
    return entity, w.rng.choice(numeric(entity))


def _within(w: Writer) -> tuple[str, list[Piece]]:
    """Rows above the average, or at the extreme, of their own group."""
    entity, f = _measure(w)
    groups: list[tuple[Field, str]] = [
        (x.column, w.noun(x.parent)) for x in entity.parents if not x.parent.verbal
    ]
    groups += [
        (c, w.words(c))
        for c in entity.having("category")
        if c not in entity.label and 1 < c.distinct < 20 and _KIND.search(c.words)
    ]
    if not groups:
        raise Unfit("no group")
    key, noun = w.rng.choice(groups)
    nouns = plural(w.noun(entity))
    w.subject(entity, [])
    words = w.words(f)
    people = people_words(entity.noun)
    own = "their" if people or w.chance(0.6) else "the same"
    extreme = w.chance(0.4)
    up = w.chance(0.7)
    word = ("max" if up else "min") if extreme else "avg"
    inner = bare_core([word, f.token], (), [key.token, "=", "outer", key.token])
    test: list[Piece] = [f.token, "=" if extreme else ">" if up else "<", "[", *inner, "]"]
    if extreme:
        degree = w.pick("(highest|largest|highest)" if up else "(lowest|smallest|lowest)")
        verb = w.pick("(with|that have)") if not people else w.pick("(with|who have)")
        post = w.pick(
            f"({verb} the {degree} {words} (in|of|within|among all in) {own} {noun}|whose {words} is the "
            f"{degree} (in|of|within) {own} {noun})"
        )
    else:
        more = w.pick(_MORE if up else _LESS)
        post = w.pick(
            f"(whose {words} is {more} the average (of|in|for|within) {own} {noun}|with {article(words)} "
            f"{more} (the average of|the average for|the average in) "
            f"{own} {noun}|with {words} {more} {own} {noun} average|whose {words} is {more} the average {words} (in|of|for) {own} {noun})"
        )
        if re.search(r"salary|income|pay|wage", f.words) and people and w.chance(0.5):
            post = w.pick(
                f"who earn {'more' if up else 'less'} than (the average (of|in)|the average {words} (of|in|for)) {own} {noun}"
            )
        if re.search(r"price|cost|fee", f.words) and w.chance(0.4) and not people and w.words(f) == f.words:
            post = w.pick(
                f"{'more expensive' if up else 'cheaper'} than (the average (of|in|for)|average in) {own} {noun}"
            )
            if len([x for x in numeric(entity) if MONEY.search(x.words)]) > 1:
                raise Unfit("which price")
    many_words = words.endswith("s") and not words.endswith("ss")
    post = post.replace(" is ", " are ") if many_words and post.startswith("whose") else post
    if w.chance(0.2):
        return w.pick(
            f"(how many {nouns} are there {post}|number of {nouns} {post}|count (the |){nouns} {post})"
        ), w.core(["count", "*"], test)
    text = w.pick(f"({SHOW} (all |the |){nouns} {post}|(which|what) are the {nouns} {post}|{nouns} {post})")
    items = labels(w, entity)
    if w.chance(0.2):
        items.append(f.token)
        text += w.pick(f"( and their|, with their| and show their) {words}")
    return text, w.core(items, test)


def _beyond(w: Writer) -> tuple[str, list[Piece]]:
    """Rows beyond an aggregate of others, or beyond one that is named."""
    entity, f = _measure(w)
    nouns = plural(w.noun(entity))
    words = w.words(f)
    up = w.chance(0.7)
    more = w.pick("(higher|larger|greater|more)" if up else "(lower|smaller|less)")
    w.required = set()
    if len(entity.label) == 1 and entity.label[0].distinct > 0.95 * entity.label[0].filled and w.chance(0.5):
        name = entity.label[0]
        value, token = w.named(name, w.cell(name))
        sub = bare_core([f.token], (), [name.token, "=", token])
        post = w.pick(
            f"(with {{m}} {words} than {value}|whose {words} is {{m}} than that of {value}|with {{m}} {words} than {value}|"
            f"whose {words} is {{m}} than the {words} of {value})"
        )
    else:
        condition = w.own_condition(entity)
        if id(f) in condition.fields:
            raise Unfit("the same column twice")
        kind = w.rng.choice(("max", "avg", "avg", "min"))
        one, _ = w.subject(entity, [condition], noun=nouns)
        word = (
            ("max" if up else "min")
            if kind == "max"
            else ("min" if up else "max")
            if kind == "min"
            else "avg"
        )
        sub = bare_core([word, f.token], (), condition.form)
        rest = {"max": f"(all|every one of the|any of the) {one}", "avg": f"the average (of|for|{words} of) {one}",
                "min": f"at least one of the {one}"}[kind]  # fmt: skip
        post = w.pick(f"(with {{m}} {words} than {rest}|whose {words} is {{m}} than (that of |){rest})")
        post = post.replace("that of the average", "the average")
    post = post.format(m=more)
    w.required = set()
    w.subject(entity, [])
    test: list[Piece] = [f.token, ">" if up else "<", "[", *sub, "]"]
    if w.chance(0.3):
        text = w.pick(f"(how many {nouns} are there {post}|number of {nouns} {post})")
        if post.startswith("with ") and w.chance(0.4):
            text = f"how many {nouns} have {post.removeprefix('with ')}"
        return text, w.core(["count", "*"], test)
    text = w.pick(f"({SHOW} (all |the |){nouns} {post}|(which|what) are the {nouns} {post}|{nouns} {post})")
    return text, w.core(labels(w, entity), test)


def _of_groups(w: Writer) -> tuple[str, list[Piece]]:
    """The average, most or least of what is counted or added up per group."""
    draw = w.rng.random()
    word = w.rng.choice(("avg", "avg", "avg", "max", "min"))
    if draw < 0.3:
        entity = w.entity(lambda e: bool(e.having("date")) and e.rows > 20)
        date = entity.having("date")[0]
        if re.search("birth|end|close|due", date.words):
            raise Unfit("no date to count by")
        unit = w.rng.choice(("by_month", "by_month", "by_day", "year", "by_week", "by_quarter"))
        key: list[Piece] = [unit, date.token]
        per = UNITS[unit][0].strip("()").split("|")[0]
    else:
        kids = [
            e
            for e in w.domain.entities
            if any(not x.parent.verbal for x in e.parents) and not e.verbal and e.rows > 20
        ]
        entity = w.any_of_entities(kids)
        links = [x for x in entity.parents if not x.parent.verbal and x.column.filled == x.column.rows]
        if not links:
            raise Unfit("no parent")
        link = w.rng.choice(links)
        key, per = [link.column.token], w.noun(link.parent)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (2.2, 1))[0])
    nouns = plural(w.noun(entity))
    said, where = w.subject(entity, conditions, noun=nouns)
    additive = [f for f in numeric(entity) if not NOT_ADDITIVE.search(f.words)]
    made = w.product(entity)
    if (additive or made) and w.chance(0.35):
        if made and (not additive or w.chance(0.6)):
            inner: list[Piece] = ["sum", *made]
            thing = w.pick("(revenue|sales|turnover)")
        else:
            f = w.any_of(additive)
            inner, thing = ["sum", f.token], f"total {w.words(f)}".replace("total total", "total")
        thing = thing + (f" of {said}" if conditions or w.chance(0.3) else "")
        plain = False
    else:
        inner, thing, plain = ["count", "*"], said, True
    if word == "avg":
        text = w.pick(
            f"({START} the average number of {thing} per {per}|how many {thing} (are there |does {article(per)} "
            f"have |)per {per} on average|"
            f"average number of {thing} (per|for each) {per}|on average, how many {thing} (are there per {per}|does {article(per)} have)|"
            f"{START} the mean number of {thing} (per|for each) {per}|how many {thing} does (an average|the average|a typical) {per} have)"
            if plain
            else f"({START} the average {thing} per {per}|average {thing} per {per}|on average, how much {thing} (is there |)per {per}|"
            f"{START} the average {thing} that {article(per)} has)"
        )
        text = text.replace(f"does {article(per)} have per {per}", f"are there per {per}").replace(
            "an average the", "an average"
        )
        text = re.sub(r"does (a|an) (month|day|year|week|quarter) have", r"are there in \1 \2", text)
        text = re.sub(
            r"does (an average|the average|a typical) (month|day|year|week|quarter) have",
            r"are there in \1 \2",
            text,
        )
        text = re.sub(r"that (a|an) (month|day|year|week|quarter) has", r"in \1 \2", text)
    else:
        most = word == "max"
        degree = "(largest|highest|maximum|greatest)" if most else "(smallest|lowest|minimum)"
        text = w.pick(
            f"({START} the {degree} number of {thing} (in one|in a single|of any|for a single|of one) {per}|"
            f"{degree} number of {thing} (of a|in any|per) {per})"
            if plain
            else f"({START} the {degree} {thing} (of|for) (any|a single|one) {per}|{degree} {thing} of (any|one) {per})"
        ).replace(" of a a", " of an a")
    derived = w.core([*key, *inner], where, group=key)
    if w.chance(0.1) and word == "avg":
        text += w.pick("(, rounded to two decimals|, to two decimals|, rounded to 2 decimal places)")
        return text, ["with", "[", *derived, "]", "select", "round", "avg", "#2", "2"]
    return text, ["with", "[", *derived, "]", "select", word, "#2"]


def _above_groups(w: Writer) -> tuple[str, list[Piece]]:
    """Groups whose count or sum is above that of the average group."""
    entity = w.entity(lambda e: bool(e.parents or e.having("category")) and e.rows > 10)
    group = w.group(entity)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
    said, where = w.subject(entity, conditions)
    apart(w, group, entity, conditions)
    metric = w.metric(entity, said, counts=0.5, group=group, extremes=False)
    if "distinct" in metric.form:
        raise Unfit("too much")
    up = w.chance(0.72)
    plain = metric.form == ["count", "*"]
    size = len(group.items)
    names: list[Piece] = [f"#{k + 1}" for k in range(size)]
    value = f"#{size + 1}"
    derived = w.core([*group.items, *metric.form], where, group=group.keys)
    form: list[Piece] = [
        "with", "[", *derived, "]", "select", *names, "where", value, ">" if up else "<", "[", "select", "avg", value, "]",
    ]  # fmt: skip
    phrase = metric.phrase if said in metric.phrase or not conditions else f"{metric.phrase} of {said}"
    if plain:
        more = "more" if up else "fewer"
        text = w.pick(
            f"((which|what) {group.nouns} have {more} {said} than (average|the average {group.noun}|the "
            f"average)|{SHOW} (the |all |){group.nouns} with {more} "
            f"{said} than (average|the average {group.noun}|the average per {group.noun})|{group.nouns} "
            f"with an {'above' if up else 'below'}-average number of {said}|"
            f"{SHOW} {group.nouns} whose number of {said} is {'above' if up else 'below'} (the |)average)"
        )
    else:
        more = w.pick(_MORE if up else _LESS)
        text = w.pick(
            f"((which|what) {group.nouns} have {article(phrase)} {more} (the average {group.noun}|the average "
            f"over all {group.nouns}|that of the average {group.noun})|"
            f"{SHOW} (the |all |){group.nouns} whose {phrase} is {more} the average (of all {group.nouns}|"
            f"across {group.nouns}|per {group.noun})|"
            f"{group.nouns} whose {phrase} is {more} the average {group.noun}'s)"
        ).replace("more than that", "higher than that")
    return text, form


def _row_order(w: Writer, entity: Entity) -> tuple[Field, bool, str, str]:
    """(measure or date, whether from the top, superlative or "", how it is said after "with")."""
    f = w.any_of([*numeric(entity), *entity.having("date", "year")])
    top = w.chance(0.72)
    adjective = ""
    if f.role in ("date", "year"):
        if re.search("birth|dob", f.words):
            adjective = "youngest" if top else "oldest"
        return f, top, adjective, f"{'latest' if top else 'earliest'} {w.words(f)}"
    for pattern, high, low in SUPERLATIVE:
        if re.search(pattern, f.words):
            adjective = w.pick(high if top else low)
            break
    if adjective in ("biggest", "largest", "highest", "smallest", "best rated") or (
        "paid" in adjective and not people_words(entity.noun)
    ):
        adjective = ""
    if (
        adjective in ("most expensive", "priciest", "cheapest")
        and len([x for x in numeric(entity) if MONEY.search(x.words)]) > 1
    ):
        adjective = ""
    return f, top, adjective, f"{'highest' if top else 'lowest'} {w.words(f)}"


def _ranked_groups(w: Writer) -> tuple[Group, str, str, list[Piece], list[Piece], bool, str]:
    """(group, noun phrase, "most orders", order, where, from the top, measure phrase)."""
    entity = w.entity(lambda e: bool(e.parents or e.having("category")) and e.rows > 10)
    group = w.group(entity)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
    said, where = w.subject(entity, conditions)
    apart(w, group, entity, conditions)
    metric = w.metric(entity, said, counts=0.6, group=group, extremes=False)
    top = w.chance(0.8)
    if metric.form == ["count", "*"]:
        degree = w.pick("(most|highest number of|largest number of)" if top else "(fewest|lowest number of)")
        best, phrase = f"{degree} {said}", f"number of {said}"
    else:
        phrase = metric.phrase if said in metric.phrase or not conditions else f"{metric.phrase} of {said}"
        best = f"{w.pick('(highest|largest)' if top else '(lowest|smallest)')} {phrase}"
    return group, said, best, [*metric.form, "desc" if top else "asc"], where, top, phrase


def ranks(w: Writer) -> tuple[str, list[Piece]]:
    """The second best, places four to six, all but the best; of rows or of groups."""
    draw = w.rng.random()
    if draw < 0.2:
        return _of_best(w)
    if draw < 0.32:
        return _but_the_top(w)
    groups = w.chance(0.5)
    if groups:
        group, _, best, order, where, top, phrase = _ranked_groups(w)
        noun, nouns, items, keys = group.noun, group.nouns, list(group.items), list(group.keys)
        adjective = ""
    else:
        entity = w.entity(lambda e: bool(e.label) and e.rows > 8 and bool(numeric(e) or e.having("date")))
        conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
        f, top, adjective, best = _row_order(w, entity)
        if any(id(f) in c.fields for c in conditions):
            raise Unfit("the same column twice")
        noun = w.noun(entity)
        nouns, where = w.subject(entity, conditions, noun=plural(noun))
        if conditions:
            noun = nouns
        items, keys, order = labels(w, entity), [], [f.token, "desc" if top else "asc"]
        phrase = w.words(f)
    if draw < 0.62:
        place = w.rng.choice((1, 1, 1, 2, 3))
        said = ORDINALS[place] if w.chance(0.75) else f"{place + 1}{('nd', 'rd', 'th')[place - 1]}"
        if not groups and noun == nouns:
            raise Unfit("a plural for one")
        if adjective and w.chance(0.6):
            text = w.pick(
                f"({ASK} the {said} {adjective} {noun}|(which|what) is the {said} {adjective} {noun}|{said} {adjective} {noun})"
            )
        else:
            text = w.pick(
                f"((which|what) {noun} has the {said} {best}|{ASK} the {noun} with the {said} {best}|{noun} with the {said}-{best})"
            )
        return text, [*w.core(items, where, group=keys, order=order), "limit", "1", "offset", str(place)]
    if draw < 0.85:
        first = w.rng.choice((2, 3, 4, 4, 6, 11))
        count = w.rng.choice((2, 3, 3, 5, 10)) if first != 11 else 10
        last = first + count - 1
        nth = "st" if last % 10 == 1 and last != 11 else "th"
        if str(count) not in ("2", "3", "5", "10") or first - 1 > 20:
            raise Unfit("no such place")
        text = w.pick(
            f"({SHOW} the {nouns} ranked {first} to {last} by {phrase}|{nouns} (on|in) (places|positions|"
            f"ranks) {first} to {last} by {phrase}|"
            f"{SHOW} (places|ranks|positions) {first} through {last} of {nouns} by {phrase}|{nouns} ranked {first}-{last} by {phrase}|"
            f"the {first}{'nd' if first == 2 else 'rd' if first == 3 else 'th'} to {last}{nth} {nouns} by {phrase})"
        )
        if not top:
            text += (
                w.pick("(, lowest first|, smallest first|, ascending)")
                if not re.search("date|year", phrase)
                else ", earliest first"
            )
        return text, [
            *w.core(items, where, group=keys, order=order),
            "limit",
            str(count),
            "offset",
            str(first - 1),
        ]
    skipped, shown = w.literal(w.rng.choice(("3", "5", "10", "20")))
    taken, token = w.literal(w.rng.choice(("5", "10", "20")))
    text = w.pick(
        f"(skip the {'top' if top else 'bottom'} {skipped} {nouns} by {phrase} and (show|list|give me)"
        f" the next {taken}|{SHOW} the next {taken} {nouns} after the "
        f"{'top' if top else 'bottom'} {skipped} by {phrase}|{SHOW} {taken} {nouns} by {phrase}"
        f"{' (descending|highest first)' if top else ' ascending'}, "
        "(skipping|leaving out) the first "
        f"{skipped})"
    )
    return text, [*w.core(items, where, group=keys, order=order), "limit", token, "offset", shown]


def _but_the_top(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.label) and e.key is not None and 5 < e.rows < 300 and bool(numeric(e)))
    f, top, adjective, best = _row_order(w, entity)
    noun = w.noun(entity)
    nouns = plural(noun)
    w.subject(entity, [])
    if entity.key is None:
        raise Unfit("no key")
    one = w.chance(0.4)
    _, shown, token = w.limit() if not one else (1, "", "1")
    which = f"{adjective} " if adjective else ""
    ending = "" if adjective else f" with the {best}"
    text = w.pick(
        f"({SHOW} all {nouns} (except|but|apart from|other than) the {which}{'' if one else f'{shown} '}{'one' if one else ''}{ending}|"
        f"all {nouns} (except|but|without) the {'' if one else f'{shown} '}{which}{'one' if one else 'ones'}{ending})"
    )
    if not one:
        text = w.pick(
            f"({SHOW} all {nouns} (except|apart from|but|without) the {shown} {which or ''}{nouns if not which else 'ones'}{ending}|"
            f"all {nouns} but the {shown} {which}{'' if which else 'ones'}{ending})"
        )
    sub = bare_core([entity.key.token], (), order=[f.token, "desc" if top else "asc"], limit=[token or "1"])
    return text, w.core(labels(w, entity), [entity.key.token, "not_in", "[", *sub, "]"])


def _of_best(w: Writer) -> tuple[str, list[Piece]]:
    """Attributes of the one with the most, or what belongs to the best one."""
    entity, link = having_children(w)
    child = link.child
    noun = w.noun(entity)
    if w.chance(0.5):
        inside = w.conditions(child, w.rng.choices((0, 1), (3, 1))[0])
        if any(entity.place in c.tables for c in inside):
            raise Unfit("back to itself")
        things, where = w.subject(child, inside)
        w.required.add(entity.place)
        others = [
            f
            for f in entity.fields
            if f.role in ("category", "text", "measure", "date") and f not in entity.label
        ]
        if not others:
            raise Unfit("no columns")
        chosen = w.rng.sample(others, min(len(others), w.rng.choice((1, 1, 2))))
        top = w.chance(0.85)
        degree = w.pick("(most|highest number of)" if top else "(fewest|lowest number of)")
        words = " and ".join(w.words(f) for f in chosen)
        text = w.pick(
            f"(what is the {words} of the {noun} with the {degree} {things}|{words} of the {noun} (that "
            f"has|with) the {degree} {things}|{ASK} the {words} of the {noun} with the {degree} {things})"
        )
        if len(chosen) > 1:
            text = text.replace("what is", "what are").replace("what's", "what are")
        if entity.key is None:
            raise Unfit("no key")
        return text, w.core(
            [f.token for f in chosen],
            where,
            group=[entity.key.token],
            order=["count", "*", "desc" if top else "asc"],
            limit="1",
        )
    if not (child.label or child.key):
        raise Unfit("nothing to show")
    things = plural(w.noun(child))
    if w.chance(0.5) and (numeric(entity) or entity.having("date")):
        f, top, adjective, best = _row_order(w, entity)
        if entity.key is None:
            raise Unfit("no key")
        which = f"the {adjective} {noun}" if adjective else f"the {noun} with the {best}"
        sub = bare_core([entity.key.token], (), order=[f.token, "desc" if top else "asc"], limit=["1"])
    else:
        top = w.chance(0.85)
        degree = w.pick("(most|highest number of)" if top else "fewest")
        which = f"the {noun} with the {degree} {things}"
        sub = bare_core(
            [link.column.token],
            (),
            group=[link.column.token],
            order=["count", "*", "desc" if top else "asc"],
            limit=["1"],
        )
    w.required = set()
    w.subject(child, [])
    test: list[Piece] = [link.column.token, "=", "[", *sub, "]"]
    made = numeric(child)
    draw = w.rng.random()
    if draw < 0.3 and "with the" in which:
        return w.pick(
            f"how many {things} does {which} have"
        ) if things not in which else f"number of {things} of {which}", w.core(["count", "*"], test)
    if draw < 0.55 and made:
        f = w.rng.choice(made)
        word, adjective = aggregate_of(w, not NOT_ADDITIVE.search(f.words))
        return w.pick(
            f"{START} the {adjective} {w.words(f)} of (the |all |){things} (of|for) {which}"
        ), w.core([word, f.token], test)
    return w.pick(f"({SHOW} (all |the |){things} (of|for|belonging to) {which}|{things} of {which})"), w.core(
        labels(w, child), test
    )


def versus(w: Writer) -> tuple[str, list[Piece]]:
    """Two named groups side by side, the larger of the two, or how far they are apart."""
    entity = w.entity(lambda e: bool(e.parents or e.having("category")) and e.rows > 10)
    chains = [
        c for c in w.domain.chains(entity, 2) if len(c[-1].parent.label) == 1 and not c[-1].parent.verbal
    ]
    owns = [f for f in entity.having("category") if 2 <= f.distinct < 40 and f not in entity.label]
    if chains and (not owns or w.chance(0.6)):
        chain = w.rng.choice(chains)
        parent = chain[-1].parent
        f, noun = parent.label[0], w.noun(parent)
        w.required = {entity.place, *(x.parent.place for x in chain)}
        key: list[Piece] = [parent.key.token] if parent.key else [f.token]
    else:
        f = w.any_of(owns)
        noun, key = w.words(f), [f.token]
    required = set(w.required)
    one, two = w.cell(f), w.cell(f)
    if one == two or {one.lower(), two.lower()} & {"yes", "no", "y", "n"}:
        raise Unfit("nothing to compare")
    first, a = w.named(f, one)
    second, b = w.named(f, two)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
    if any(c.tables & required - {entity.place} or id(f) in c.fields for c in conditions):
        raise Unfit("the same parent twice")
    said, where = w.subject(entity, conditions)
    w.required |= required
    metric = w.metric(entity, said, counts=0.5, extremes=False)
    if "distinct" in metric.form:
        raise Unfit("too much")
    plain = metric.form == ["count", "*"]
    phrase = metric.phrase if said in metric.phrase or not conditions else f"{metric.phrase} of {said}"
    among: list[Piece] = [f.token, "in", a, b, *(["and", *where] if where else [])]
    draw = w.rng.random()
    pair = w.pick(f"({first} or {second}|{noun} {first} or {noun} {second})")
    if draw < 0.35:
        more = w.chance(0.8)
        order: list[Piece] = [*metric.form, "desc" if more else "asc"]
        if plain:
            text = w.pick(
                f"((which|what) {noun} has {'more' if more else 'fewer'} {said}, {pair}|who has {'more' if more else 'fewer'} "
                f"{said}, {first} or {second}|"
                f"does {pair} have {'more' if more else 'fewer'} {said}|which of {first} and {second} has {'more' if more else 'fewer'} "
                f"{said}|{pair}: which has {'more' if more else 'fewer'} {said})"
            )
        else:
            text = w.pick(
                f"((which|what) {noun} has the {'higher' if more else 'lower'} {phrase}, {pair}|does {pair} "
                f"have the {'higher' if more else 'lower'} {phrase}|"
                f"which of {first} and {second} has the {'higher' if more else 'lower'} {phrase})"
            )
        if text.startswith("who") and not people_words(noun):
            text = "which" + text[3:]
        return text, w.core([f.token], among, group=key, order=order, limit="1")
    if draw < 0.7:
        text = w.pick(
            f"(compare (the |){phrase} (of|for|between) {first} and {second}|{phrase} (for|of) {first} (and|"
            f"vs|versus|compared to) {second}|{first} vs {second}: {phrase}|"
            f"{START} the {phrase} for (each of |){first} and {second}|how do {first} and {second} compare (by|in|in terms of) {phrase})"
        )
        if not re.search("vs|versus|compare|each", text):
            text = w.pick(f"compare the {phrase} of {first} and {second}")
        return text, w.core([f.token, *metric.form], among, group=key)
    if any(isinstance(t, tuple) and t[0] == "c" for t in metric.form[1:]) or plain:
        head, rest = metric.form[0], metric.form[1:]
        gap: list[Piece] = [
            head, "if", "(", f.token, "=", a, ")", *rest, "-", head, "if", "(", f.token, "=", b, ")", *rest,
        ]  # fmt: skip
        text = (
            w.pick(
                f"(how many more {said} does {first} have than {second}|difference in the number of {said} between "
                f"{first} and {second})"
            )
            if plain
            else w.pick(
                f"(how much higher is the {phrase} of {first} than (that of|of) {second}|difference in {phrase} "
                f"between {first} and {second}|by how much does the {phrase} of {first} exceed that of {second})"
            )
        )
        return text, w.core(gap, where)
    raise Unfit("nothing to subtract")
