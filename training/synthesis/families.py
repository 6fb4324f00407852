"""Families of questions: each builds the text of a question and its form side by side."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from sqlgen.generation.encode import with_hints
from sqlgen.sql.form import needed_tables
from sqlgen.training.synthesis.analytics import ANALYTICS
from sqlgen.training.synthesis.composed import COMPOSED
from sqlgen.training.synthesis.subjects import MONEY, NOT_ADDITIVE, Domain, Entity, Field
from sqlgen.training.synthesis.wording import (
    article,
    join_words,
    people_words,
    plural,
    spell_out,
)
from sqlgen.training.synthesis.writer import (
    DATE_VERBS,
    LIST,
    START,
    SUPERLATIVE,
    UNITS,
    Draft,
    Group,
    Metric,
    Piece,
    Unfit,
    Writer,
)

__all__ = ["FAMILIES", "write"]


def _listing(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.fields))
    conditions = w.conditions(entity, w.rng.choices((0, 1, 2), (1.2, 6, 2.2))[0])
    draw = w.rng.random()
    if draw < 0.12:
        said, where = w.subject(entity, conditions)
        text = w.pick(
            f"{LIST} (all|all the|the|) (information|details|columns|data|fields|info|attributes) (about|of|for|on) (all|the|) {said}"
        )
        stars: list[Piece] = ["*"] if w.required == {entity.place} else [("t", entity.place)]
        return text, w.core(stars, where)
    fields = [f for f in entity.fields if f.role in ("text", "category", "measure", "date", "long", "year")]
    if draw < 0.4:
        label = w.label(entity)
        items: list[Piece] = [f.token for f in label]
        who = people_words(entity.noun)
        if conditions and len(conditions) == 1 and w.chance(0.5):
            w.subject(entity, conditions)
            noun, pred = plural(w.noun(entity)), conditions[0].pred
            text = w.pick(
                f"({'who are the' if who and pred.startswith('are ') and w.chance(0.3) else 'which'} {noun} (that |)"
                + f"{pred})"
            )
            text = text if text.startswith("who are") else w.pick(f"(which|which|what) {noun} {pred}")
            if text.startswith("who are"):
                text = f"which {noun} {pred}"
            return text, w.core(items, conditions[0].form)
        said, where = w.subject(entity, conditions)
        text = w.pick(
            f"({LIST} (all |all the |the |){said}|(which are|what are|list) the {said}|{said}|{LIST} the "
            f"names of (all |the |){said}|names of {said})"
        )
        if "names" in text and not re.search("name|title", label[0].words):
            raise Unfit("no names")
        return text, w.core(items, where)
    extra: list[Piece] = []
    parent_words: list[str] = []
    chains = [c for c in w.domain.chains(entity, 2) if c[-1].parent.label and not c[-1].parent.verbal]
    if chains and w.chance(0.3):
        chain = w.rng.choice(chains)
        parent = chain[-1].parent
        if w.chance(0.6):
            parent_words.append(
                w.rng.choice((w.noun(parent), f"{w.noun(parent)} {w.words(parent.label[0])}"))
            )
            extra += [f.token for f in parent.label]
        else:
            f = w.any_of([f for f in parent.fields if f.role in ("category", "text", "measure", "date")])
            parent_words.append(w.words(f, owner=True))
            extra.append(f.token)
        w.required |= {x.parent.place for x in chain}
    count = w.rng.choices((1, 2, 3), (5, 4, 1.5))[0]
    if not fields:
        raise Unfit("no columns")
    chosen = w.rng.sample(fields, min(count, len(fields)))
    if len(entity.label) == 1 and entity.label[0] not in chosen and w.chance(0.4):
        chosen[0] = entity.label[0]
    said, where = w.subject(entity, conditions)
    if w.chance(0.2) and entity.label and not set(entity.label) & set(chosen):
        names = join_words([w.words(f) for f in chosen] + parent_words, w.rng)
        text = w.pick(
            f"({LIST} (all |the |){said} (with|along with|together with|and) their {names}|{LIST} {said} and {names})"
        )
        return text, w.core([*(f.token for f in entity.label), *(f.token for f in chosen), *extra], where)
    many = w.chance(0.5)
    names = join_words(
        [
            plural(x) if many and not x.endswith("details") else x
            for x in [*(w.words(f) for f in chosen), *parent_words]
        ],
        w.rng,
    )
    text = w.pick(
        f"(what are the {names} of (all |all the |the |){said}|{LIST} the {names} of (all|all the|the|"
        f"each of the|) {said}|{LIST} (the |){names} for (all |the |){said}"
        f"|{names} of {said}|{names} for {said}|for (all |the |){said}, (show|list|give|what are) the "
        f"{names}|{said}: {names}|{LIST} {names} of {said})"
    )
    return text, w.core([*(f.token for f in chosen), *extra], where)


def _counting(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: True)
    conditions = w.conditions(entity)
    measures = entity.having("measure")
    if not measures or w.chance(0.5):
        if conditions and len(conditions) == 1 and w.chance(0.5):
            w.subject(entity, conditions)
            return f"how many {plural(w.noun(entity))} {conditions[0].pred}", w.core(
                ["count", "*"], conditions[0].form
            )
        distinct = [f for f in entity.having("category", "text") if f.distinct > 1]
        links = [x for x in entity.parents if not x.parent.verbal]
        if (distinct or links) and w.chance(0.18):
            said, where = w.subject(entity, conditions)
            if links and w.chance(0.5):
                link = w.rng.choice(links)
                things, token = plural(w.noun(link.parent)), link.column.token
            else:
                f = w.any_of(distinct)
                things, token = plural(w.words(f)), f.token
            text = w.pick(
                f"(how many (different|distinct|unique) {things} (are there |do we have |)(for|among|in|across|"
                f"of) (all |the |){said}|(number|count) of (distinct|unique|different) {things} (of|for|among|"
                f"in) {said}|how many (different|unique|distinct) {things} do (the |){said} have)"
            )
            return text, w.core(["count", "distinct", token], where)
        said, where = w.subject(entity, conditions)
        text = w.pick(
            f"(how many {said} are there|how many {said} (do we have|exist|are there in total|are in the "
            f"database)|how many {said}|count (the |all |){said}|number of {said}"
            f"|what is the (total |)number of {said}|{START} the (number|count|total number) of (all |)"
            f"{said}|total {said}|count of {said}|how many {said} are there|(give me|show|get) a count of "
            f"{said})"
        )
        return text, w.core(["count", "*"], where)
    said, where = w.subject(entity, conditions)
    if w.chance(0.16) and len(measures) > 0:
        f = w.rng.choice(measures)
        pair = w.rng.sample(
            (("avg", "average"), ("max", "maximum"), ("min", "minimum"), ("sum", "total")),
            w.rng.choice((2, 2, 3)),
        )
        if any(p == "sum" for p, _ in pair) and NOT_ADDITIVE.search(f.words):
            raise Unfit("no sum of that")
        items: list[Piece] = [x for p, _ in pair for x in (p, f.token)]
        names = join_words([n for _, n in pair], w.rng)
        return w.pick(
            f"({START} the|{START} the|) {names} {w.words(f)} (of|for|across) (all |all the |the |){said}"
        ), w.core(items, where)
    metric = w.metric(entity, said, counts=0)
    ending = (
        "" if said in metric.phrase else w.pick(f" (of|for|of|for|across|over) (all |all the |the |){said}")
    )
    text = w.pick(f"({START} the|{START} the|what was the|) {metric.phrase}{ending}")
    if metric.form[0] == "sum" and w.chance(0.15):
        text = w.pick(f"how much (is|was) the {metric.phrase}{ending}")
    return text, w.core(metric.form, where)


def _ordering(w: Writer, group: Group, metric: Metric) -> tuple[str, list[Piece] | None, Piece | None]:
    draw = w.rng.random()
    name = metric.phrase if not metric.counting else w.pick("(the count|count|number|that number|the number)")
    if draw < 0.55:
        return "", None, None
    if draw < 0.78:
        down = w.chance(0.7)
        text = w.pick(
            f"(, sorted by {name} (descending|in descending order|desc)|, (highest|largest) first|, from "
        "(highest to lowest|most to least|high to low)|, (ordered|sorted) from (highest to lowest|largest "
        f"to smallest)|, in descending order of {name}| in descending order)"
            if down else
            f"(, sorted by {name} (ascending|in ascending order)|, (lowest|smallest) first|, from (lowest "
        f"to highest|low to high)|, in ascending order of {name})"
        )  # fmt: skip
        return text, [*metric.form, "desc" if down else "asc"], None
    if draw < 0.9:
        return (
            w.pick(
                f"(, (sorted|ordered) (by {group.noun}|alphabetically|alphabetically by {group.noun})| in alphabetical order)"
            ),
            [*group.items[:1], "asc"],
            None,
        )
    _, shown, token = w.limit()
    return (
        w.pick(f"(, top {shown}|, top {shown} only|, only the top {shown}|, limit {shown}| - top {shown})"),
        [*metric.form, "desc"],
        token,
    )


def _grouping(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.parents or e.having("category")))
    group = w.group(entity)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (2.2, 1))[0])
    if group.field and any(id(group.field) in c.fields for c in conditions):
        raise Unfit("grouped by what is fixed")
    if any(c.tables & group.tables - {entity.place} for c in conditions):
        raise Unfit("the same parent twice")
    said, where = w.subject(entity, conditions)
    w.required |= group.tables
    if w.chance(0.22):
        minimum = w.rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 10))
        shown, token = (spell_out(minimum) or "", str(minimum)) if w.chance(0.4) else w.literal(str(minimum))
        if minimum == 1 and w.chance(0.5):
            op, words, token = ">=", "at least one", "1"
            if conditions:
                raise Unfit("one of many")
            said = entity.noun
        else:
            op, words = w.rng.choice(
                (
                    (">", f"more than {shown}"),
                    (">=", f"at least {shown}"),
                    (">", f"over {shown}"),
                    (">=", f"{shown} or more"),
                    ("<", f"fewer than {shown}"),
                    ("=", f"exactly {shown}"),
                )
            )
        measure = entity.having("measure")
        if measure and w.chance(0.3):
            f = w.rng.choice(measure)
            metric = Metric(f"average {w.words(f)}", ["avg", f.token], set(), False)
            value, number = w.number(w.threshold(f), f)
            op, more = w.rng.choice(
                ((">", "(above|over|greater than|higher than)"), ("<", "(below|under|less than)"))
            )
            text = w.pick(
                f"((which|what) {group.nouns} have an {metric.phrase} of {said} {more} {value}|{LIST} (the "
                f"|){group.nouns} (with an|whose) {metric.phrase} of {said} (is |){more} {value}|{group.nouns} "
                f"where the {metric.phrase} of {said} is {more} {value})"
            )
            text = (
                text.replace("with an ", "with ").replace("whose average", "with average")
                if " is " not in text
                else text.replace("with an average", "whose average")
            )
            return text, w.core(group.items, where, group=group.keys, having=[*metric.form, op, number])
        text = w.pick(
            f"((which|what) {group.nouns} have {words} {said}|{LIST} (all |the |){group.nouns} (with|having|"
            f"that have|that have had) {words} {said}|{group.nouns} with {words} {said}"
            f"|find {group.nouns} (having|with) {words} {said}|which {group.nouns} have {words} {said})"
        )
        items: list[Piece] = group.items
        if w.chance(0.15):
            text, items = (
                w.pick(f"{LIST} (the |){group.nouns} with {words} {said} and the number of {said}"),
                [*group.items, "count", "*"],
            )
        return text, w.core(items, where, group=group.keys, having=["count", "*", op, token])
    metric = w.metric(entity, said, group=group)
    phrase = metric.phrase
    if said not in phrase and (conditions or w.chance(0.35)):
        phrase = w.pick(f"{phrase} (of|for|of) {said}")
    ending, order, limit = _ordering(w, group, metric)
    second: Metric | None = None
    if w.chance(0.12):
        second = w.metric(entity, said, counts=0.3, group=group)
        if second.form == metric.form:
            second = None
        else:
            phrase = f"{phrase} and {w.pick('(the |)')}{second.phrase}"
    alone = metric.form == ["count", "*"] and second is None
    draw = w.rng.random()
    if alone and draw < 0.45:
        text = w.pick(
            f"(how many {said} (are there|do we have|) (per|for each|in each|by|for every) {group.noun}|"
            f"how many {said} does each {group.noun} have|{said} (per|by) {group.noun}|count (of |the |)"
            f"{said} (by|per|for each) {group.noun}"
            f"|for each {group.noun}, how many {said} (are there|do we have)|{LIST} (each|every) {group.noun} "
            f"and (the|its|their) number of {said}|{LIST} {group.nouns} (with|and) (their|the) (number "
            f"of|count of) {said})"
        )
    else:
        text = w.pick(
            f"({START} the {phrase} (per|by|for each|for every|of each|in each|grouped by|broken down by|"
            f"split by|across) {group.noun}|{phrase} (per|by) {group.noun}|{phrase} (by|per|for each) {group.noun}|"
            f"for (each|every) {group.noun}, {START} the {phrase}"
            f"|{LIST} {group.nouns} (and|with|along with) (their|the) {phrase}|{LIST} (each|every) {group.noun} "
            f"(and|with) (its|the) {phrase}|what is the {phrase} (for each|per|by|in each) {group.noun}|"
            f"break down (the |){phrase} by {group.noun}|how does the {phrase} (differ|vary|compare) (by|"
            f"across|between) {group.nouns}|{phrase} for (all|the different|the various|each of the) {group.nouns})"
        ).replace(f" by {group.nouns}", f" by {group.noun}")
    return text + ending, w.core(
        [*group.items, *metric.form, *(second.form if second else [])],
        where,
        group=group.keys,
        order=order,
        limit=limit,
    )


def _superlative(w: Writer) -> tuple[str, list[Piece]]:
    if w.chance(0.42):
        return _best_row(w)
    return _best_group(w)


def _best_row(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.having("measure", "date", "year")) and bool(e.label or e.key))
    f = w.any_of(
        [f for f in entity.having("measure", "date", "year") if not re.search("latitude|longitude", f.words)]
    )
    conditions = w.conditions(entity, w.rng.choices((0, 1), (2.2, 1))[0])
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    one = w.chance(0.5)
    label = w.label(entity)
    noun = w.noun(entity)
    said, where = w.subject(entity, conditions, noun=noun if one else plural(noun))
    top = w.chance(0.68)
    words = w.words(f)
    adjective = ""
    if f.role in ("date", "year"):
        birth = re.search(r"birth|dob", f.words)
        if birth:
            adjective = "youngest" if top else "oldest"
        elif w.is_main_date(f, entity) if f.role == "date" else True:
            adjective = w.pick("(latest|most recent|newest|last)" if top else "(earliest|first|oldest)")
            if people_words(entity.noun):
                adjective = w.pick("(newest|most recent)" if top else "(earliest|first)")
        with_it = w.pick(
            f"with the {'(latest|most recent|newest)' if top else '(earliest|oldest|first)'} {words}"
        )
    else:
        for pattern, high, low in SUPERLATIVE:
            if re.search(pattern, f.words):
                adjective = w.pick(high if top else low)
                break
        if (
            adjective in ("biggest", "largest", "highest", "smallest")
            and len(entity.having("measure")) > 2
            and not MONEY.search(f.words)
        ):
            adjective = ""
        if "paid" in adjective and not people_words(entity.noun):
            adjective = ""
        with_it = w.pick(
            f"with the {'(highest|highest|largest|greatest|biggest|maximum|most)' if top else '(lowest|lowest|smallest|least|minimum)'} "
            f"{words}"
        )
    other = (
        w.rng.sample(
            [
                x
                for x in entity.fields
                if x.role in ("category", "text", "measure", "date") and x not in label and x is not f
            ],
            1,
        )
        if w.chance(0.25) and len(entity.fields) > 3
        else []
    )
    items: list[Piece] = [x.token for x in (other or label)]
    of = f"the {join_words([w.words(x) for x in other], w.rng)} of " if other else ""
    order: list[Piece] = [f.token, "desc" if top else "asc"]
    if one:
        who = people_words(entity.noun) and w.chance(0.4) and not other
        if adjective and w.chance(0.6):
            text = w.pick(
                f"({'who is the' if who else '(what is|which is|find|show|show me|give me|return) ' + of + 'the'} "
                f"{adjective} {said}|{'who is the' if who else 'what is ' + of + 'the'} {adjective} {said}|{of}the "
                f"{adjective} {said})"
            )
        elif other:
            text = w.pick(f"(what is|find|show|give|return) {of}the {said} {with_it}")
        else:
            asked = (
                f"{'who' if who and not conditions else f'which {said}'} has {with_it.removeprefix('with ')}"
            )
            text = w.pick(
                f"((which|what) {said} has the {with_it.removeprefix('with the ')}|(find|show|show me|what is|"
                f"give me|return) the {said} {with_it}|{said} {with_it}|{asked})"
            )
        if w.chance(0.15) and not other and f.role == "measure":
            items = [*items, f.token]
            text = w.pick(f"(what is|show|find) the {said} {with_it} and (its|the|that) {words}")
        return text, w.core(items, where, order=order, limit="1")
    _, shown, token = w.limit()
    if adjective and w.chance(0.5):
        text = w.pick(
            f"({LIST} {of}the {shown} {adjective} {said}|(what are|which are) {of}the {shown} {adjective} "
            f"{said}|{shown} {adjective} {said}|{LIST} {of}the top {shown} {adjective} {said})"
        )
    else:
        text = w.pick(
            f"({LIST} {of}the (top |){shown} {said} {with_it}|{LIST} {of}the {'top' if top else 'bottom'} "
            f"{shown} {said} by {words}|{'top' if top else 'bottom'} {shown} {said} by {words}|which {shown} "
            f"{said} have the {with_it.removeprefix('with the ')}|what are {of}the {shown} {said} {with_it})"
        )
    if w.chance(0.2) and not other:
        items = [*items, f.token]
        text = w.pick(f"{text} (and|with|together with|along with) their {words}")
    return text, w.core(items, where, order=order, limit=token)


def _best_group(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.parents or e.having("category")))
    group = w.group(entity)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (2.2, 1))[0])
    if any(c.tables & group.tables - {entity.place} for c in conditions) or (
        group.field and any(id(group.field) in c.fields for c in conditions)
    ):
        raise Unfit("the same parent twice")
    said, where = w.subject(entity, conditions)
    w.required |= group.tables
    metric = w.metric(entity, said, counts=0.6, group=group, extremes=False)
    top = w.chance(0.78)
    form: list[Piece] = list(metric.form)
    order: list[Piece] = [*form, "desc" if top else "asc"]
    one = w.chance(0.55)
    phrase = (
        metric.phrase
        if metric.counting or not conditions
        else w.pick(f"{metric.phrase} (of|from|for) {said}")
    )
    if phrase == metric.phrase and not metric.counting and w.chance(0.3) and said not in phrase:
        phrase = w.pick(f"{metric.phrase} (of|from) {said}")
    plain = form == ["count", "*"]
    degree = (
        w.pick(
            "(most|highest number of|largest number of|greatest number of|most)"
            if top
            else "(fewest|lowest number of|smallest number of|least|fewest)"
        )
        if plain
        else w.pick("(highest|largest|greatest|biggest|most)" if top else "(lowest|smallest|least)")
    )
    thing = said if plain else phrase.removeprefix("the ")
    if not plain and not metric.counting:
        degree = w.pick("(highest|largest|highest|biggest)" if top else "(lowest|smallest|lowest)")
    who = group.entity is not None and people_words(group.entity.noun)
    items = list(group.items)
    show = w.chance(0.2)
    if one:
        if plain and top and group.field is not None and group.tables == {entity.place} and w.chance(0.35):
            text = w.pick(
                f"(what is the|which is the|find the|show the) (most common|most frequent|most popular) {group.noun} "
                f"(of|for|among|across) (all |the |){said}"
            )
        elif plain and top and group.entity is not None and not conditions and w.chance(0.12):
            text = w.pick(
                f"(which is the|what is the|find the) most popular {group.noun} by number of {said}"
            )
        else:
            text = w.pick(
                f"((which|what|which) {group.noun} has the {degree} {thing}|(find|show|what is|give me|return|"
                f"name) the {group.noun} with the {degree} {thing}|{group.noun} with the {degree} {thing}|"
                f"{'who has the' if who else 'which ' + group.noun + ' has'} {degree} {thing})"
            )
        if show:
            text = w.pick(
                f"{text} and (how many|what is the number)" if plain else f"{text}, and how much is it"
            )
            items += form
        return text, w.core(items, where, group=group.keys, order=order, limit="1")
    _, shown, token = w.limit()
    word = "top" if top else "bottom"
    best = (
        "(best|best-selling|best selling|top selling)"
        if (top and "sales" in phrase) or "revenue" in phrase
        else word
    )
    text = w.pick(
        f"({LIST} the {word} {shown} {group.nouns} by {phrase}|{word} {shown} {group.nouns} by {phrase}|"
        f"{LIST} the {shown} {group.nouns} with the {degree} {thing}|(which|what) {shown} {group.nouns} "
        f"have the {degree} {thing}|(what are|which are) the {word} {shown} {group.nouns} (by|in terms "
        f"of|based on|ranked by) {phrase}|(which|what) are the {word} {shown} {group.nouns} by {phrase}|"
        f"{shown} {group.nouns} with the {degree} {thing}"
        + (f"|{LIST} the {shown} {best} {group.nouns} by {phrase})" if best != word and top else ")")
    )
    if show:
        text = w.pick(f"{text} (and|with|along with) (the|their) {'counts' if plain else metric.phrase}")
        items += form
    return text, w.core(items, where, group=group.keys, order=order, limit=token)


def _subqueries(w: Writer) -> tuple[str, list[Piece]]:
    draw = w.rng.random()
    if draw < 0.3:
        return _never(w)
    if draw < 0.55:
        return _through(w)
    if draw < 0.78:
        return _average(w)
    return _both(w)


_NEVER_VERBS: tuple[tuple[str, str], ...] = (
    (r"order|purchase", "(ordered anything|placed an order|ordered|bought anything|made a purchase)"),
    (r"payment", "(paid|made a payment)"),
    (r"review", "(written a review|been reviewed)"),
    (r"rental", "rented anything"),
    (r"booking|reservation", "(booked|made a booking)"),
    (r"donation", "(donated|made a donation)"),
)


def _through(w: Writer) -> tuple[str, list[Piece]]:
    """Rows by the children they have, or by what they are tied to through other tables."""
    entity = w.entity(lambda e: bool(e.children) and bool(e.label or e.key))
    if w.chance(0.5):
        link = w.rng.choice(entity.children)
        if link.child.verbal:
            raise Unfit("no noun")
        inside = w.conditions(link.child, w.rng.choices((0, 1, 2), (1, 5, 0.6))[0])
        if any(entity.place in c.tables for c in inside):
            raise Unfit("back to itself")
        things, where = w.subject(link.child, inside)
        w.required.add(entity.place)
        posts = (
            "(with|that have|having|who have) {t}"
            if people_words(entity.noun)
            else "(with|that have|having) {t}"
        )
        pred = "have {t}"
    else:
        others = [
            e
            for e in w.domain.entities
            if e is not entity and not e.verbal and e.label and e.children and e.rows > 1
        ]
        other = w.any_of_entities(others)
        path = needed_tables([("t", entity.place), ("t", other.place)], w.domain.context)
        between = [w.domain.entities[k] for k in path - {entity.place, other.place}]
        if not 1 <= len(between) <= 3 or any(
            len(c) and c[-1].parent is other for c in w.domain.chains(entity)
        ):
            raise Unfit("not tied")
        if any(c[-1].parent is entity for c in w.domain.chains(other)):
            raise Unfit("not tied")
        noun = w.noun(other)
        w.required = set(path)
        names = " ".join(e.noun for e in between)
        if (
            re.search("order|sale|purchase|invoice", names)
            and people_words(entity.noun)
            and re.search("product|item|track|book|article", other.noun)
        ):
            posts, pred = (
                "who (bought|ordered|purchased|have bought|have ordered) {t}",
                "(bought|ordered|purchased|have bought) {t}",
            )
        elif people_words(entity.noun) and re.search("course|class|programme|subject", other.noun):
            posts, pred = (
                "(who take|taking|who took|enrolled in|in) {t}",
                "(take|are enrolled in|took|have taken) {t}",
            )
        else:
            posts, pred = (
                "(with|that have|having|related to|linked to|that are tied to) {t}",
                "(have|are linked to|are related to) {t}",
            )
        if len(other.label) == 1 and w.chance(0.55):
            f = other.label[0]
            value, token = w.named(f, w.cell(f))
            things, where = w.pick(f"({value}|the {noun} {value}|{noun} {value})"), [f.token, "=", token]
        else:
            condition = w.own_condition(other)
            kept = set(w.required)
            things, where = w.subject(other, [condition])
            w.required |= kept
    said = plural(w.noun(entity))
    post = w.pick(posts).format(t=things) if not ("{" in things or "(" in things) else ""
    if not post:
        raise Unfit("odd words")
    if w.chance(0.3):
        key: list[Piece] = [(entity.key or w.label(entity)[0]).token]
        text = w.pick(
            f"(how many {said} {post} are there|how many {said} {w.pick(pred).format(t=things)}|number of "
            f"{said} {post}|count (the |){said} {post})"
        )
        return text, w.core(["count", "distinct", *key], where)
    text = w.pick(
        f"({LIST} (the |all |){said} {post}|(which|what) {said} {w.pick(pred).format(t=things)}|{said} "
        f"{post}|which {said} {w.pick(pred).format(t=things)})"
    )
    return text, w.core([f.token for f in w.label(entity)], where, distinct=True)


def _never(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.children) and bool(e.label or e.key))
    link = w.rng.choice(entity.children)
    child = link.child
    inside = w.conditions(child, w.rng.choices((0, 1), (2.5, 1))[0]) if not child.verbal else []
    w.required = set()
    if any(entity.place in c.tables for c in inside):
        raise Unfit("back to itself")
    things, inner_where = w.subject(child, inside)
    deep = w.required
    inner = w.core([link.column.token], inner_where, required=deep)
    w.required = set()
    conditions = w.conditions(entity, w.rng.choices((0, 1), (4, 1))[0])
    said, where = w.subject(entity, conditions)
    form: list[Piece] = [
        *where,
        *(["and"] if where else []),
        link.target.token,
        "not_in",
        "[",
        *inner,
        "]",
    ]
    counting = w.chance(0.25)
    items: list[Piece] = ["count", "*"] if counting else [f.token for f in w.label(entity)]
    verb = next((v for p, v in _NEVER_VERBS if re.search(p, child.noun)), "") if not inside else ""
    if child.verbal:
        raise Unfit("no noun")
    options = [
        f"have no {things}",
        f"do not have any {things}",
        f"don't have any {things}",
        f"have never had any {things}",
        f"are without any {things}",
    ]
    posts = [
        f"without any {things}",
        f"with no {things}",
        f"that have no {things}",
        f"that do not have any {things}",
        f"without {things}",
        f"that don't have {things}",
    ]
    if verb and people_words(entity.noun):
        verb = w.pick(verb)
        if not verb.startswith("been"):
            options += [f"have never {verb}", f"haven't {verb}"] * 2
            posts += [f"who (have |)never {verb}", f"who have not {verb}", f"who haven't {verb} yet"] * 2
    elif (
        not inside
        and re.search("order item|order detail|order line|sale|invoice line", child.noun)
        and re.search("product|item|track", entity.noun)
    ):
        options += ["have never been sold", "have not been sold", "have never been ordered"] * 2
        posts += [
            "that have never been sold",
            "that have not been sold",
            "never sold",
            "that nobody ordered",
        ] * 2
    post, pred = w.pick(w.rng.choice(posts)), w.pick(w.rng.choice(options))
    glue = " and " if conditions and conditions[0].post and not conditions[0].pre else " "
    if conditions and glue == " and ":
        text = f"{said} and {post}" if re.match(r"that|who|with", post) else f"{said} {post}"
    else:
        text = f"{said} {post}"
    if counting:
        text = (
            w.pick(f"(how many {text} are there|number of {text}|count (the |){text})")
            if w.chance(0.5) or conditions
            else f"how many {said} {pred}"
        )
    elif w.chance(0.5) and not conditions:
        text = w.pick(f"(which|what|which) {said} {pred}")
    else:
        text = w.pick(
            f"({LIST} (all |the |){text}|{text}|(which|what) are the {text}|{LIST} the names of {text})"
        )
        if "names of" in text and not re.search("name|title", entity.label[0].words if entity.label else ""):
            raise Unfit("no names")
    return text, w.core(items, form)


def _average(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.having("measure")) and bool(e.label or e.key))
    f = w.any_of(entity.having("measure"))
    conditions = w.conditions(entity, w.rng.choices((0, 1), (4, 1))[0])
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, conditions)
    up = w.chance(0.65)
    words = w.words(f)
    more = w.pick(
        "(above|higher than|greater than|more than|over|larger than|exceeding)"
        if up
        else "(below|lower than|less than|smaller than|under)"
    )
    test: list[Piece] = [f.token, ">" if up else "<", "[", "select", "avg", f.token, "]"]
    form: list[Piece] = [*where, *(["and"] if where else []), *test]
    tail = w.pick(
        f"(with {article(words)} {more} (the |)average|whose {words} is {more} (the |)average|with {more}-average "
        f"{words}|with {words} {more} the average {words}|that have {article(words)} {more} the average|"
        f"whose {words} is {more} the average {words} of all {plural(entity.noun)})"
    )
    tail = re.sub(r"is exceeding", "exceeds", tail)
    if not re.match(r"with (above|below)", tail):
        tail = re.sub(r"-average (.*)", r" average \1", tail) if "-average" in tail else tail
    if re.search(r"with \w+ than average|with (over|under|exceeding) average", tail):
        tail = f"with {words} {more} average"
    said = f"{said} and" if conditions and conditions[0].post and not conditions[0].pre else said
    if w.chance(0.25):
        text = w.pick(
            f"(how many {said} {tail} are there|count (the |){said} {tail}|number of {said} {tail})"
        )
        return text, w.core(["count", "*"], form)
    label = w.label(entity)
    items: list[Piece] = [x.token for x in label]
    text = w.pick(f"({LIST} (all |the |){said} {tail}|{said} {tail}|(which|what) are the {said} {tail})")
    if w.chance(0.25):
        items.append(f.token)
        text += w.pick(f"( and their|, along with their| and show their) {words}")
    return text, w.core(items, form)


def _both(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(
        lambda e: bool(e.parents or e.having("category")) and bool(e.having("measure", "category"))
    )
    group = w.group(entity)
    first = w.own_condition(entity)
    second = w.own_condition(entity)
    if (
        not group.field
        or any(id(group.field) in c.fields for c in (first, second))
        or first.form == second.form
    ) and (group.entity is None or not group.entity.label):
        raise Unfit("nothing to combine")
    w.required = set()
    noun = plural(w.noun(entity))
    one, a = w.subject(entity, [first], noun=noun)
    two, b = w.subject(entity, [second], noun=noun)
    required = {entity.place} | group.tables
    cores = [w.core(group.items, x, required=required) for x in (a, b)]
    kind = w.rng.choice(("intersect", "intersect", "except", "union"))
    w.required = required
    text = {
        "intersect": f"((which|what) {group.nouns} have both {one} and {two}|{LIST} (the |){group.nouns} (that have|"
        f"with|having) both {one} and {two}|{LIST} the {group.nouns} (shared by|common to) {one} and "
        f"{two}|{group.nouns} with {one} as well as {two})",
        "except": f"((which|what) {group.nouns} have {one} but (no|not any) {two}|{LIST} (the |){group.nouns} "
        f"(with|that have) {one} but (no|not|without) {two}|{group.nouns} (with|that have) {one} but "
        f"no {two})",
        "union": f"({LIST} (the |all |){group.nouns} (with|that have|of) {one} or {two}|(which|what) {group.nouns} "
        f"have {one} or {two}|{group.nouns} of {one} or of {two})",
    }[kind]
    return w.pick(text), [*cores[0], kind, *cores[1]]


def _dated_entity(w: Writer) -> tuple[Entity, Field]:
    entity = w.entity(lambda e: bool(e.having("date")) and e.rows > 5)
    dates = entity.having("date")
    return entity, dates[0] if w.chance(0.65) else w.rng.choice(dates)


def _dates(w: Writer) -> tuple[str, list[Piece]]:
    draw = w.rng.random()
    if draw < 0.42:
        return _in_time(w)
    if draw < 0.58:
        return _grouped_in_time(w)
    return _over_time(w)


def _in_time(w: Writer) -> tuple[str, list[Piece]]:
    """A list, count or aggregate of the rows of a period."""
    entity, f = _dated_entity(w)
    condition = w.about_date(f, entity)
    conditions = [condition]
    if w.chance(0.28):
        more = w.conditions(entity, 1, dates=False)[0]
        if id(f) in more.fields or (condition.pre and more.pre):
            raise Unfit("the same column twice")
        conditions = [more, condition] if not more.pre else [condition, more]
    said, where = w.subject(entity, conditions)
    draw = w.rng.random()
    if draw < 0.32:
        if len(conditions) == 1 and w.chance(0.5):
            return f"how many {plural(w.noun(entity))} {condition.pred}", w.core(["count", "*"], where)
        text = w.pick(
            f"(how many {said} (were there|are there|did we have|do we have|)|how many {said}|number of "
            f"{said}|count (the |){said}|(what is|what was) the (total |)number of {said}|{said} count|count "
            f"of {said}|total number of {said})"
        )
        return text, w.core(["count", "*"], where)
    if draw < 0.62 and entity.having("measure"):
        metric = w.metric(entity, said, counts=0)
        if (
            len(conditions) == 1
            and condition.post
            and not condition.post.startswith(("with", "whose", "where"))
            and w.chance(0.45)
        ):
            noun = plural(w.noun(entity))
            ending = (
                w.pick(f"( {condition.post}| {condition.post}| of {noun} {condition.post})")
                if self_explaining(w)
                else f" of {noun} {condition.post}"
            )
        else:
            ending = "" if said in metric.phrase else w.pick(f" (of|for|from) (all |the |){said}")
        text = w.pick(f"({START} the|what was the|how much was the|) {metric.phrase}{ending}")
        if text.startswith("how much") and metric.form[0] != "sum":
            text = text.replace("how much was", "what was")
        return text, w.core(metric.form, where)
    if draw < 0.68:
        return w.pick(
            f"{LIST} (all details|all information|everything|all data|details) (of|about|on|for) (the |){said}"
        ), w.core(["*"] if w.required == {entity.place} else [("t", entity.place)], where)
    label = w.label(entity)
    items: list[Piece] = [x.token for x in label]
    if w.chance(0.35):
        others = [
            x for x in entity.fields if x.role in ("text", "category", "measure", "date") and x not in label
        ]
        chosen = w.rng.sample(others, min(len(others), w.rng.choice((1, 2))))
        if not chosen:
            raise Unfit("no columns")
        names = join_words([w.words(x) for x in chosen], w.rng)
        text = w.pick(
            f"({LIST} the {names} of (all |the |){said}|{names} of {said}|what (are|were) the {names} of "
            f"(the |){said}|{LIST} {said} with their {names})"
        )
        items = [*items, *(x.token for x in chosen)] if "with their" in text else [x.token for x in chosen]
        return text, w.core(items, where)
    if len(conditions) == 1 and w.chance(0.45):
        return w.pick(f"(which|which|what) {plural(w.noun(entity))} {condition.pred}"), w.core(items, where)
    text = w.pick(
        f"({LIST} (all |the |all the |){said}|{said}|(which|what) (are|were) the {said}|{LIST} {said})"
    )
    return text, w.core(items, where)


def self_explaining(w: Writer) -> bool:
    """Whether no other table of the database has dates, so that a metric needs no noun."""
    return sum(bool(e.having("date") and e.having("measure")) for e in w.domain.entities) <= 3 or w.chance(
        0.2
    )


def _grouped_in_time(w: Writer) -> tuple[str, list[Piece]]:
    """A metric by a category or parent within a period, or the best of it."""
    entity, f = _dated_entity(w)
    group = w.group(entity)
    condition = w.about_date(f, entity)
    said, where = w.subject(entity, [condition])
    w.required |= group.tables
    metric = w.metric(entity, said, counts=0.45, group=group, extremes=False)
    post = condition.post if condition.post else ""
    floating = bool(post) and not post.startswith(("with", "whose", "where")) and self_explaining(w)
    phrase = metric.phrase
    late = ""
    if said not in phrase:
        if floating and w.chance(0.6):
            late = f" {post}"
        else:
            phrase = w.pick(f"{phrase} (of|for|from) {said}")
    if w.chance(0.3):
        one = w.chance(0.6)
        _, shown, token = w.limit() if not one else (1, "", "1")
        order: list[Piece] = [*metric.form, "desc"]
        if metric.form == ["count", "*"]:
            text = w.pick(
                f"((which|what) {group.noun} had the most {said}|(find|show) the {group.noun} with the most {said})"
                if one
                else f"({LIST} the top {shown} {group.nouns} by number of {said}|top {shown} {group.nouns} by {phrase}|"
                f"(which|what) {shown} {group.nouns} had the most {said})"
            )
        else:
            text = w.pick(
                f"((which|what) {group.noun} had the highest {phrase}{late}|{group.noun} with the (highest|largest)"
                f" {phrase}{late}|(what|which) was the {group.noun} with the highest {phrase}{late})"
                if one
                else f"({LIST} the top {shown} {group.nouns} by {phrase}{late}|top {shown} {group.nouns} by {phrase}{late}|"
                f"(who|what|which) were the top {shown} {group.nouns} by {phrase}{late})"
            )
            if text.startswith("who") and not (group.entity and people_words(group.entity.noun)):
                text = "which" + text[3:]
        return text, w.core(
            group.items, where, group=group.keys, order=order, limit=token if not one else "1"
        )
    text = w.pick(
        f"({START} the {phrase} (per|by|for each|broken down by|for every) {group.noun}{late}|{phrase} "
        f"(by|per) {group.noun}{late}|for each {group.noun}, (show|give|what was|what is) the {phrase}{late}|"
        f"{LIST} {group.nouns} (with|and) (their|the) {phrase}{late}|what was the {phrase} (by|per|"
        f"for each) {group.noun}{late})"
    )
    if metric.form == ["count", "*"] and w.chance(0.4):
        text = w.pick(
            f"(how many {said} (were there |are there |)(per|for each|by) {group.noun}|{said} (by|per) {group.noun}|"
            f"count {said} by {group.noun})"
        )
    ending, order2, limit = _ordering(w, group, metric)
    return text + ending, w.core(
        [*group.items, *metric.form], where, group=group.keys, order=order2, limit=limit
    )


def _over_time(w: Writer) -> tuple[str, list[Piece]]:
    """A metric by month, quarter, year, week, day or weekday, or the best of those."""
    entity, f = _dated_entity(w)
    conditions = []
    draw = w.rng.random()
    if draw < 0.3:
        condition = w.about_date(f, entity, plain=True)
        conditions = [condition]
    elif draw < 0.5:
        conditions = w.conditions(entity, 1, dates=False)
    main = w.is_main_date(f, entity)
    said, where = w.subject(entity, conditions)
    unit = w.rng.choices(list(UNITS), (9, 4, 6, 2, 2, 2, 1))[0]
    name, adverb = (w.pick(x) for x in UNITS[unit])
    bucket: list[Piece] = [unit, f.token]
    metric = w.metric(entity, said, counts=0.5, extremes=w.chance(0.3))
    phrase = metric.phrase
    if said not in phrase and (conditions or w.chance(0.5) or not self_explaining(w)):
        phrase = w.pick(f"{phrase} (of|for|from) {said}")
    by = ""
    if not main or len(entity.having("date")) > 2:
        by = w.pick(f" of (the |){f.words}" if f.words.endswith("date") else f" of {f.words}")
        adverb = ""
    plain = metric.form == ["count", "*"]
    verb = next((v for pattern, v in DATE_VERBS if re.search(pattern, f.words)), "")
    verb = re.sub(r"\bwho \w+( up)?\|?", "", verb) if verb else ""
    verb = w.pick(verb) if verb and not verb.endswith("|)") else ""
    if re.match(r"^(with|that|start|end|due|hap)", verb):
        verb = ""
    did = f" {verb}" if plain and verb and not conditions and w.chance(0.5) else ""
    if by and did and w.chance(0.7):
        by = ""
    if w.chance(0.22):
        best = w.chance(0.75)
        order: list[Piece] = [*metric.form, "desc" if best else "asc"]
        degree = (
            w.pick("(most|highest number of|largest number of)" if best else "(fewest|lowest number of)")
            if plain
            else ("highest" if best else "lowest")
        )
        what = f"{said}{did}" if plain else phrase
        text = w.pick(
            f"((which|what|in which|in what) {name}{by} (had|has|saw) the {degree} {what}|(find|show|what "
            f"was|what is) the {name}{by} with the {degree} {what}|{name}{by} with the {degree} {what})"
        )
        text = re.sub(r"^in (which|what) (.*?) (had|has|saw) the", r"\1 \2 \3 the", text) if not plain else re.sub(
            r"^in (which|what) (.*?) (had|has|saw) the (.*)$", r"in \1 \2 did we have the \4" if best else r"\1 \2 had the \4", text
        )  # fmt: skip
        if w.chance(0.15) and plain and best and not by and not did:
            text = w.pick(f"(what was|which was|what is) (the|our) busiest {name} for {said}")
        return text, w.core(bucket, where, group=bucket, order=order, limit="1")
    options = (
        f"({START} the {phrase}{did} (per|by|for each|in each|for every) {name}{by}|{phrase}{did} (by|"
        f"per) {name}{by}|{phrase}{did} (by|per|each) {name}{by}|for each {name}{by}, (show|what is|"
        f"give|what was) the {phrase}{did}|{LIST} the {phrase}{did} (by|per|grouped by|broken down "
        f"by|for each) {name}{by})"
    )
    if plain:
        options = (
            f"({options[1:-1]}|{said}{did} (per|by|each) {name}{by}|how many {said} (were there |are there "
            f"|){did} (per|in each|each|by) {name}{by}|how many {said}{did} (per|each) {name}{by}|number "
            f"of {said}{did} by {name}{by})"
        )
    if adverb and w.chance(0.4):
        short = (
            phrase.removeprefix("number of ")
            .removeprefix("count of ")
            .removeprefix("total number of ")
            .removeprefix("# of ")
            if plain
            else phrase.removeprefix("sum of ")
        )
        options = (
            f"({adverb} {short}|(show|show me|give me|get|plot|what are the|what is the|list) (the |){adverb} "
            f"{short}|{adverb} {'number of ' if plain else ''}{short}|{adverb} {short} trend|{adverb} breakdown "
            f"of {short}|{adverb} {phrase})"
        )
        options = options.replace("the the", "the")
    elif unit == "by_month" and not by and w.chance(0.2):
        options = (
            f"((show|show me|what is|plot|) the (trend|development|evolution) of (the |){phrase} (over time|"
            f"by month|month by month)|how (has|did) the {phrase} (develop|change|evolve) (over time|by "
            f"month|month over month|from month to month)|{phrase} (over time|month by month)|(the |){phrase} "
            "trend by month)"
        )
        options = options.replace("has the", "did the").replace("how (has|did)", "how did")
    elif unit == "year" and not by and w.chance(0.15):
        options = (
            f"(how did the {phrase} (change|develop) (over the years|from year to year|year by year)|{phrase} "
            "(over the years|year by year|each year|every year))"
        )
    text = w.pick(options)
    return re.sub(r"what are the (?=total|average|number)", "what is the ", text), w.core(
        [*bucket, *metric.form], where, group=bucket, order=[*bucket, "asc"]
    )


def _arithmetic(w: Writer) -> tuple[str, list[Piece]]:
    draw = w.rng.random()
    if draw < 0.4:
        entity = w.entity(lambda e: w.product(e) is not None)
        product: list[Piece] = w.product(entity) or []
        conditions = w.conditions(entity, w.rng.choices((0, 1), (2, 1))[0])
        said, where = w.subject(entity, conditions)
        name = w.pick(
            "(total revenue|revenue|total sales|sales|turnover|total sales value|total value|sales revenue|"
            "gross sales|total turnover|overall revenue|total amount)"
        )
        tail = w.pick(f"( of {said}| from {said}| for {said})") if conditions or w.chance(0.3) else ""
        if w.chance(0.3):
            return w.pick(
                f"({START} the {name}{tail}|{name}{tail}|how much {name.removeprefix('total ').removeprefix('overall ')} "
                f"did we make{tail}|what is our {name}{tail})"
            ), w.core(["sum", *product], where)
        group = w.group(entity)
        if any(
            c.tables & group.tables - {entity.place} or (group.field and id(group.field) in c.fields)
            for c in conditions
        ):
            raise Unfit("the same parent twice")
        w.required |= group.tables
        if w.chance(0.4):
            one = w.chance(0.4)
            _, shown, token = w.limit() if not one else (1, "", "1")
            text = w.pick(
                f"((which|what) {group.noun} (generated|made|brought in|has|had) the (most|highest) {name}{tail}|"
                f"{group.noun} with the highest {name}{tail}|(best-selling|top-selling|best selling) {group.noun} "
                f"by {name}{tail})"
                if one
                else f"(top {shown} {group.nouns} by {name}{tail}|{LIST} the top {shown} {group.nouns} by {name}{tail}|"
                f"{LIST} the {shown} (best-selling|top-selling|best selling|biggest) {group.nouns} by {name}{tail})"
            )
            return text, w.core(
                group.items, where, group=group.keys, order=["sum", *product, "desc"], limit=token
            )
        text = w.pick(
            f"({name}{tail} (by|per) {group.noun}|{START} the {name}{tail} (by|per|for each|broken down "
            f"by) {group.noun}|{LIST} {group.nouns} (with|and) their {name}{tail})"
        )
        return text, w.core([*group.items, "sum", *product], where, group=group.keys)
    pairs = (
        (
            r"\b(selling price|unit price|list price|price)$",
            r"\b(cost|unit cost|standard cost)$",
            "(margin|profit|difference between {a} and {b}|profit margin per unit|markup)",
        ),
        (
            r"\b(principal|amount|total charge)$",
            r"\b(paid amount)$",
            "(outstanding amount|open amount|unpaid amount|difference between {a} and {b})",
        ),
        (r"\bmaximum \w+$", r"\bminimum \w+$", "(range|difference between {a} and {b}|spread)"),
        (
            r"\bplanned quantity$",
            r"\bproduced quantity$",
            "(shortfall|missing quantity|difference between {a} and {b})",
        ),
        (r"", r"", "(difference between {a} and {b}|{a} minus {b})"),
    )
    if draw < 0.68:
        entity = w.entity(lambda e: len(e.having("measure")) > 1 and bool(e.label or e.key))
        found = None
        for high, low, words in pairs:
            a = next((f for f in entity.having("measure") if re.search(high, f.words)), None)
            b = next((f for f in entity.having("measure") if re.search(low, f.words) and f is not a), None)
            if a and b and (high or w.chance(0.3)):
                found = (a, b, words)
                break
        if not found:
            raise Unfit("nothing to subtract")
        a, b, words = found
        conditions = w.conditions(entity, w.rng.choices((0, 1), (2, 1))[0])
        said, where = w.subject(entity, conditions)
        name = w.pick(words).format(a=w.words(a), b=w.words(b))
        gap: list[Piece] = [a.token, "-", b.token]
        label: list[Piece] = [f.token for f in w.label(entity)]
        shape = w.rng.random()
        if shape < 0.35:
            return w.pick(
                f"({LIST} (the |){said} (with|and) their {name}|for each {entity.noun}, show the {name}" + ")"
            ) if not conditions else w.pick(f"{LIST} (the |){said} (with|and) their {name}"), w.core(
                [*label, *gap], where
            )
        if shape < 0.6:
            return w.pick(f"{START} the (average|mean) {name} (of|for|across) (all |the |){said}"), w.core(
                ["avg", "{", *gap, "}"], where
            )
        one = w.chance(0.5)
        _, shown, token = w.limit() if not one else (1, "", "1")
        text = w.pick(
            f"(which {w.noun(entity)} has the (highest|largest|biggest) {name}|what is the {entity.noun} "
            f"with the (largest|highest) {name})"
            if one
            else f"({LIST} the top {shown} {said} by {name}|{shown} {said} with the (highest|largest|biggest) {name})"
        )
        if one and conditions:
            raise Unfit("a condition unsaid")
        return text, w.core(label, where, order=[*gap, "desc"], limit=token)
    entity = w.entity(lambda e: bool(e.having("measure")) and bool(e.parents or len(e.having("measure")) > 1))
    measures = [f for f in entity.having("measure") if not NOT_ADDITIVE.search(f.words)]
    links = [x for x in entity.parents if not x.parent.verbal]
    conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
    said, where = w.subject(entity, conditions)
    made = w.product(entity)
    tail = f" for {said}" if conditions else ""
    if links and w.chance(0.55):
        link = w.rng.choice(links)
        if made and w.chance(0.6):
            total: list[Piece] = list(made)
            words = w.pick("(revenue|sales|sales value)")
        else:
            f = w.any_of(measures)
            total = [f.token]
            words = w.words(f)
        parent = w.noun(link.parent)
        ratio: list[Piece] = ["sum", *total, "/", "count", "distinct", link.column.token]
        if link.parent.noun.endswith("order") and w.chance(0.5) and len(total) > 1:
            text = w.pick(f"({START} the average order value{tail}|average order value{tail})")
        else:
            text = w.pick(
                f"({START} the (average |mean |)(total |){words} per {parent}{tail}|average {words} per {parent}{tail}|"
                f"how much {words} is there per {parent} on average{tail})"
            )
            if "average" not in text and "mean" not in text:
                text = text.replace(f"{words} per", f"average {words} per")
        return text, w.core(ratio, where)
    if len(measures) < 2:
        raise Unfit("no ratio")
    a, b = w.rng.sample(measures, 2)
    ratio = ["sum", a.token, "/", "sum", b.token]
    text = w.pick(
        f"({START} the ratio of (total |){w.words(a)} to (total |){w.words(b)}{tail}|total {w.words(a)} "
        f"divided by total {w.words(b)}{tail}|{START} the {w.words(a)} per {w.words(b)} overall{tail})"
    )
    if w.chance(0.35):
        group = w.group(entity)
        if any(
            c.tables & group.tables - {entity.place} or (group.field and id(group.field) in c.fields)
            for c in conditions
        ):
            raise Unfit("the same parent twice")
        w.required |= group.tables
        return w.pick(f"{text} (by|per|for each) {group.noun}"), w.core(
            [*group.items, *ratio], where, group=group.keys
        )
    return text, w.core(ratio, where)


def _distinct(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(e.having("category")))
    f = w.any_of(entity.having("category"))
    conditions = w.conditions(entity, w.rng.choices((0, 1), (2, 1))[0])
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, conditions)
    words = plural(w.words(f))
    kind = w.pick("(different|distinct|unique)")
    text = w.pick(
        f"((what|which) {kind} {words} (are there|do we have|exist|occur) (for|among|in|of) (the |all "
        f"|){said}|{LIST} (all |the |all the |){kind} {words} of (all |the |){said}|{kind} {words} "
        f"(of|for) {said}|what are the {kind} {words} of (the |all |){said}|which {words} do (the |)"
        f"{said} have"
        f"|what (kinds of |){words} are there (for|among) {said}|{LIST} {words} of {said} without duplicates|"
        f"what {kind} {words} do (our |the |){said} have|{LIST} the {kind} values of {f.words} for "
        f"{said})"
    )
    order: list[Piece] | None = None
    if w.chance(0.1):
        text, order = text + w.pick("( in alphabetical order|, sorted alphabetically)"), [f.token, "asc"]
    return text, w.core([f.token], where, distinct=True, order=order)


FAMILIES: dict[str, tuple[float, Callable[[Writer], tuple[str, list[Piece]]]]] = {
    "list": (3, _listing),
    "count": (4, _counting),
    "group": (4, _grouping),
    "superlative": (4, _superlative),
    "subquery": (3, _subqueries),
    "date": (5, _dates),
    "arithmetic": (1.5, _arithmetic),
    "distinct": (1, _distinct),
    **{name: (weight * 1.1, family) for name, (weight, family) in COMPOSED.items()},
    **{name: (weight * 1.1, family) for name, (weight, family) in ANALYTICS.items()},
}


def write(domain: Domain, family: str, rng: random.Random) -> Draft:
    """One question of ``family`` about ``domain``; raises Unfit when this draw leads nowhere."""
    writer = Writer(domain, rng)
    text, form = FAMILIES[family][1](writer)
    used = {token[-1] for token in form if isinstance(token, tuple) and token[0] == "lit"}
    if any(coin not in text for coin in writer.coins):
        raise Unfit("a name unsaid")
    whole = with_hints(text, writer.hints)
    shown = {ord(whole[i + 1]) - 0xE100 for i, c in enumerate(whole) if c == "\ue000"}
    if used != shown:
        raise Unfit("a literal unsaid")
    return Draft(text, form, writer.cells, family, writer.today, len(writer.required) > 1, writer.hints)
