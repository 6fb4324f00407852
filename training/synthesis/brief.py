"""Requests as they are typed: telegraphic, conversational, with half sentences."""

from __future__ import annotations

import re

from sqlgen.training.synthesis.common import apart, labels, numeric
from sqlgen.training.synthesis.subjects import NOT_ADDITIVE, Entity
from sqlgen.training.synthesis.wording import people_words, plural, slip
from sqlgen.training.synthesis.writer import PLACES, UNITS, Condition, Piece, Unfit, Writer

__all__ = ["brief", "talk"]

_HELLO = (
    "(could you tell me|can you tell me|i'd like to know|i would like to know|please tell me|tell "
    "me|do you know|i was wondering|any idea|i need to know|"
    "hey, can you tell me|hi, could you tell me|quick question:|we need to know|can you find out|"
    "could you check|let me know|help me find out|i want to know)"
)
_NEED = (
    "(need|i need|i'd like|i would like|we need|please give me|could you give me|can you get me|"
    "could you pull|can you send me|i want|i'm looking for|looking for|"
    "can i get|could i have|could i get|may i have|please send me|let me see|i want to see|would "
    "like to see|please pull|can you show me|could you show me|"
    "hey, i need|hi, please give me|just give me|get me|for my report i need|for a presentation "
    "i need|please prepare|quickly show me|any chance to see|)"
)
_END = "(||||||, please| please|, thanks| thanks| asap| - thanks|, thank you| for me| for a report| for the meeting|, if possible)"


def _value(w: Writer, entity: Entity) -> tuple[str, str, Condition]:
    """A cell said without its column: (before the noun, after the noun, its condition)."""
    fields = [f for f in entity.having("category") if f not in entity.label and 1 < f.distinct < 60]
    chains = [
        c for c in w.domain.chains(entity, 2) if len(c[-1].parent.label) == 1 and not c[-1].parent.verbal
    ]
    tables = {entity.place}
    if chains and (not fields or w.chance(0.4)):
        chain = w.rng.choice(chains)
        parent = chain[-1].parent
        places = [x for x in parent.having("category") if PLACES.search(x.words)]
        f = w.rng.choice(places) if places and w.chance(0.3) else parent.label[0]
        tables |= {x.parent.place for x in chain}
    else:
        f = w.any_of(fields)
    text = w.cell(f)
    if not re.fullmatch(r"[A-Za-z][A-Za-z .&'-]{1,24}", text):
        raise Unfit("no plain word")
    value, token = w.named(f, text)
    condition = Condition("", "", [f.token, "=", token], tables, fields={id(f)})
    return value, value, condition


def _when(w: Writer, entity: Entity) -> tuple[str, Condition]:
    dates = entity.having("date")
    f = dates[0] if dates else None
    if f is None or not w.is_main_date(f, entity):
        raise Unfit("no date")
    said, body, _ = w.when(f, plain=True)
    said = re.sub(r"^(in|during|for|within|from|on|over) (the )?", "", said) if w.chance(0.7) else said
    return said, Condition(said, "", [f.token, *body], {entity.place}, fields={id(f)})


def _total(w: Writer, entity: Entity) -> tuple[str, list[Piece]]:
    made = w.product(entity)
    if made and w.chance(0.8):
        return w.pick("(revenue|sales|turnover|revenue|total sales|total revenue)"), ["sum", *made]
    additive = [f for f in numeric(entity) if not NOT_ADDITIVE.search(f.words)]
    if additive and w.chance(0.7):
        f = w.rng.choice(additive)
        words = w.words(f)
        return w.pick(f"(total {words}|{words} total|sum of {words}|total {words}|overall {words})").replace(
            "total total", "total"
        ), ["sum", f.token]
    f = w.any_of(numeric(entity))
    return w.pick(f"(average|avg|mean|avg.) {w.words(f)}"), ["avg", f.token]


def brief(w: Writer) -> tuple[str, list[Piece]]:
    """Key words only."""
    entity = w.entity(lambda e: e.rows > 8)
    draw = w.rng.random()
    nouns = plural(w.noun(entity))
    conditions: list[Condition] = []
    pre = post = ""
    if w.chance(0.5):
        try:
            pre, post, condition = _value(w, entity)
            conditions.append(condition)
            w.required |= condition.tables
            if w.chance(0.5):
                pre = ""
            else:
                post = ""
        except Unfit:
            w.cells.clear()
            pre = post = ""
    when = ""
    if w.chance(0.3):
        when, condition = _when(w, entity)
        conditions.append(condition)
    where: list[Piece] = []
    for condition in conditions:
        where += [*(["and"] if where else []), *condition.form]
    w.required.add(entity.place)
    subject = " ".join(x for x in (pre, nouns) if x)
    tail = " ".join(x for x in (post, when) if x)
    tail = f" {tail}" if tail else ""
    comma = w.pick("(||,)") if tail else ""
    if draw < 0.22:
        count = w.pick(
            f"({subject} count{comma}{tail}|count {subject}{comma}{tail}|no. of {subject}{tail}|# {subject}{tail}|"
            f"number of {subject}{tail}|how many {subject}{tail}|{subject} total number{tail}|total {subject}{tail})"
        )
        if count.startswith("total") and w.chance(0.6):
            count = f"number of {subject}{tail}"
        return count, w.core(["count", "*"], where)
    if draw < 0.34:
        if not entity.label:
            raise Unfit("a table without a name")
        text = w.pick(
            f"({subject}{comma}{tail}|list {subject}{tail}|{subject} list{tail}|all {subject}{tail}|show "
            f"{subject}{tail}|{subject} names{tail})"
        )
        if text.endswith(f"names{tail}") and "name" not in entity.label[0].words:
            text = f"all {subject}{tail}"
        if not conditions and text == subject:
            text = f"all {subject}"
        return text, w.core(labels(w, entity), where)
    if draw < 0.5:
        name, form = _total(w, entity)
        head = f"{pre} {name}".strip() if pre else name
        if "revenue" not in name and "sales" not in name and "turnover" not in name:
            head = w.pick(f"({name} {subject}|{name} of {subject}|{subject} {name}|{name}, {subject})")
        return w.pick(f"({head}{tail}|{head}{comma}{tail}|{head}{tail}?)"), w.core(form, where)
    if draw < 0.62 and entity.having("date"):
        f = entity.having("date")[0]
        unit = w.rng.choice(("by_month", "year", "by_quarter", "by_week", "by_day"))
        per, adverb = (w.pick(x) for x in UNITS[unit])
        if when or not w.is_main_date(f, entity):
            raise Unfit("two periods")
        counted: tuple[str, list[Piece]] = (f"{subject}", ["count", "*"])
        name, form = counted if w.chance(0.5) else _total(w, entity)
        if form[0] != "count" and conditions:
            name = f"{pre} {name}".strip()
        text = w.pick(
            f"({name} (by|per) {per}{tail}|{adverb} {name}{tail}|{name} {adverb}{tail}|{name}{tail} by {per})"
        )
        return text, w.core(
            [unit, f.token, *form], where, group=[unit, f.token], order=[unit, f.token, "asc"]
        )
    group = w.group(entity)
    apart(w, group, entity, conditions)
    if draw < 0.8:
        if w.chance(0.5):
            name, form = _total(w, entity)
            if not re.search("revenue|sales|turnover", name) and w.chance(0.5):
                name = f"{name} {subject}" if pre else name
            elif pre:
                name = f"{pre} {name}"
            if pre and pre not in name:
                name = f"{name} {subject}"
        else:
            name, form = subject, ["count", "*"]
            if people_words(entity.noun) and re.search("employee|staff|worker", entity.noun) and not pre:
                name = w.pick("(headcount|head count|number of employees|staff count)")
            else:
                name = w.pick(
                    f"({subject}|number of {subject}|# {subject}|{subject} count|count of {subject})"
                )
        text = w.pick(
            f"({name} (by|per|by) {group.noun}{tail}|{name}{tail} (by|per) {group.noun}|{group.noun} {name}{tail}|"
            f"{name} / {group.noun}{tail}|{name} for each {group.noun}{tail})"
        )
        if text.startswith(f"{group.noun} ") and ("count" not in text or form[0] != "count"):
            text = f"{name} per {group.noun}{tail}"
        return text, w.core([*group.items, *form], where, group=group.keys)
    plain: tuple[str, list[Piece]] = (subject, ["count", "*"])
    name, form = plain if w.chance(0.5) else _total(w, entity)
    if pre and pre not in name:
        name = f"{name} {subject}"
    if form == ["count", "*"]:
        name = w.pick(f"(number of {subject}|{subject}|# of {subject}|{subject} count)")
    top = w.chance(0.85)
    _, shown, token = w.limit()
    order: list[Piece] = [*form, "desc" if top else "asc"]
    if w.chance(0.25) and top:
        text = w.pick(
            f"(best {group.noun} by {name}{tail}|{group.noun} with (most|highest) {name}{tail}|#1 {group.noun} "
            f"by {name}{tail}|top {group.noun} by {name}{tail})"
        )
        if form != ["count", "*"] or "number" in name or "count" in name or "#" in name:
            text = text.replace("with most", "with highest")
        elif "with highest" in text:
            text = text.replace("with highest", "with most")
        w.cells[-1:] = [] if not isinstance(token, str) else w.cells[-1:]
        return text, w.core(group.items, where, group=group.keys, order=order, limit="1")
    text = w.pick(
        f"({'top' if top else 'bottom'} {shown} {group.nouns} by {name}{tail}|{'top' if top else 'bottom'} "
        f"{shown} {group.nouns} {name}{tail}|{'best' if top else 'worst'} {shown} {group.nouns} by {name}{tail}|"
        f"{shown} {'highest' if top else 'lowest'} {group.nouns} by {name}{tail})"
    )
    return text, w.core(group.items, where, group=group.keys, order=order, limit=token)


def talk(w: Writer) -> tuple[str, list[Piece]]:
    """Whole sentences as people speak, with politeness, context and slips."""
    entity = w.entity(lambda e: e.rows > 8)
    conditions = w.conditions(entity, w.rng.choices((0, 1, 2), (1.5, 3, 0.7))[0])
    draw = w.rng.random()
    nouns = plural(w.noun(entity))
    said, where = w.subject(entity, conditions, noun=nouns)
    end = w.pick(_END)
    if draw < 0.3:
        text = w.pick(
            f"({_HELLO} how many {said} (there are|we have|are there|we currently have)|{_NEED} the (number|"
            f"count) of {said}|how many {said} do we (actually |currently |)have|"
            f"do you know how many {said} we have|what's the number of {said}|so how many {said} are there)"
        )
        form = w.core(["count", "*"], where)
    elif draw < 0.5 and entity.label:
        text = w.pick(
            f"({_NEED} (a list of|the list of|a list with|an overview of|) (all |the |all the |){said}|{_HELLO} "
            f"which {said} (we have|there are)|who are our {said}|which {said} do we have)"
        )
        if text.startswith("who") and not people_words(entity.noun):
            text = w.pick(f"{_NEED} (a list of|the list of) (all |){said}")
        if text.startswith(("need", "i need")) and w.chance(0.3):
            text = f"need {said}"
        form = w.core(labels(w, entity), where)
    elif draw < 0.72 and (entity.parents or entity.having("category")):
        group = w.group(entity)
        apart(w, group, entity, conditions)
        metric = w.metric(entity, said, counts=0.5, group=group, extremes=False)
        phrase = metric.phrase if said in metric.phrase or not conditions else f"{metric.phrase} of {said}"
        text = w.pick(
            f"({_NEED} the {phrase} (per|by|for each|broken down by|split by) {group.noun}|{_HELLO} (what|"
            f") the {phrase} (is |)(per|for each) {group.noun}|(a breakdown|a split) of the {phrase} by "
            f"{group.noun}|"
            f"{_NEED} a table with the {phrase} per {group.noun}|how does the {phrase} look (per|by) {group.noun})"
        )
        text = re.sub(
            r"(tell me|know|wondering|idea|check|out|question:)  ?the (.*?) (is )?(per|for each)",
            r"\1 what the \2 is \4",
            text,
        )
        form = w.core([*group.items, *metric.form], where, group=group.keys)
    elif draw < 0.86 and numeric(entity):
        metric = w.metric(entity, said, counts=0)
        ending = (
            ""
            if said in metric.phrase
            else f" {w.pick('(of|for|across)')} {w.pick('(all |the |our |)')}{said}"
        )
        text = w.pick(
            f"({_HELLO} what the {metric.phrase}{ending} is|{_NEED} the {metric.phrase}{ending}|what's our "
            f"{metric.phrase}{ending}|what would be the {metric.phrase}{ending})"
        )
        text = text.replace("our ", "the ", 1) if text.count("our ") > 1 else text
        form = w.core(metric.form, where)
    else:
        if not entity.label or not numeric(entity):
            raise Unfit("nothing to rank")
        f = w.rng.choice(numeric(entity))
        if any(id(f) in c.fields for c in conditions):
            raise Unfit("the same column twice")
        top = w.chance(0.75)
        _, shown, token = w.limit()
        text = w.pick(
            f"({_NEED} the {'top' if top else 'bottom'} {shown} {said} by {w.words(f)}|{_HELLO} which {shown} "
            f"{said} have the {'highest' if top else 'lowest'} {w.words(f)}|"
            f"{_NEED} the {shown} {said} with the {'highest' if top else 'lowest'} {w.words(f)})"
        )
        form = w.core(labels(w, entity), where, order=[f.token, "desc" if top else "asc"], limit=token)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"(wondering|any idea) (what|which|how)", r"\1 \2", text).replace(
        "i was wondering the", "i was wondering about the"
    )
    if not text.endswith((" is", "have")) or w.chance(0.5):
        text += end
    return slip(text, w.rng) if w.chance(0.12) else text, form
