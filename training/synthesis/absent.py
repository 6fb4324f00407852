"""Those with none: outer joins that keep them, anti-joins that find them, and sets of both kinds."""

from __future__ import annotations

import re

from sqlgen.sql.form import needed_tables
from sqlgen.training.synthesis.common import SHOW, bare_core, having_children, labels, numeric, verb_of
from sqlgen.training.synthesis.subjects import NOT_ADDITIVE, Entity, Field, Link
from sqlgen.training.synthesis.wording import article, people_words, plural
from sqlgen.training.synthesis.writer import START, Condition, Piece, Unfit, Writer

__all__ = ["missing_side", "outer_joins", "sets"]

_EVEN = (
    "(including those without any|including those with none|even those with none|also those without any|including {e} without {c}|"
    "even if they have none|with 0 for those without any|keep those with none|also {e} that have no {c}|including {e} with no {c})"
)


def outer_joins(w: Writer) -> tuple[str, list[Piece]]:
    """Everything of one table with a count, a sum or the names of what belongs to it."""
    if w.chance(0.25):
        return _optional_parent(w)
    entity, link = having_children(w, lambda x: x.child.key is not None)
    child = link.child
    conditions = [w.own_condition(entity)] if w.chance(0.25) else []
    said, where = w.subject(entity, conditions)
    things, noun = plural(w.noun(child)), w.noun(entity)
    keys: list[Piece] = [(entity.key or entity.label[0]).token]
    items = labels(w, entity)
    even = w.pick(_EVEN.format(e=plural(entity.noun), c=things))
    even = w.rng.choice(
        (f", {even}", f" ({even})".replace("(", "⟦").replace(")", "⟧"), f" - {even}", f", {even}")
    )
    additive = [f for f in numeric(child) if not NOT_ADDITIVE.search(f.words)]
    draw = w.rng.random()
    number: list[Piece] = ["count", child.key.token] if child.key else []
    if draw < 0.62:
        text = w.pick(
            f"({SHOW} (all |every one of the |the |){said} (with|and) (their|the) number of {things}|(number "
            f"of|count of) {things} (for each|per|for every) {noun}|"
            f"how many {things} does (each|every) {noun} have|{SHOW} (each|every) {noun} (and|with) (the|"
            f"its|their) (number|count) of {things}|"
            f"for (each|every) {noun}, how many {things} (are there|do we have))"
        )
        if conditions and said not in text:
            text = w.pick(f"{SHOW} (all |the |){said} (with|and) (their|the) (number|count) of {things}")
        text += even
        order: list[Piece] = []
        if w.chance(0.2):
            text += w.pick("(, most first|, highest count first|, sorted by the count from high to low)")
            order = [*number, "desc"]
        return text, _whole(w, entity, link, items + number, where, keys, order)
    if draw < 0.82 and additive:
        f = w.rng.choice(additive)
        total: list[Piece] = ["sum", f.token]
        words = f"total {w.words(f)}".replace("total total", "total")
        zero = w.chance(0.5)
        if zero:
            total = ["coalesce", *total, "0"]
            even = w.pick(
                f"(, 0 for those without any {things}|, with zero where there are no {things}|, zero if there "
                f"are none|, 0 if no {things})"
            )
        text = w.pick(
            f"({SHOW} (all |the |){said} (with|and) (the|their) {words} of (their |){things}|{words} of "
            f"{things} (for each|for every|per) {noun}|"
            f"{SHOW} every {noun} and the {words} of (its|their|the) {things})"
        )
        if conditions and said not in text:
            text = f"list all {said} with the {words} of their {things}"
        return text + even, _whole(w, entity, link, items + total, where, keys, [])
    shown = [f.token for f in child.label] if child.label else []
    if not shown:
        raise Unfit("nothing to show")
    even = even.replace("with 0 for those without any", "also those without any")
    text = w.pick(
        f"({SHOW} (all |the |){said} (with|and|together with) (their|the names of their) {things}|{SHOW} "
        f"all {said} and, where there are any, their {things})"
    )
    text += "" if "where there are" in text else even
    if "names" in text and not re.search("name|title", child.label[0].words):
        raise Unfit("no names")
    return text, _whole(w, entity, link, [*items, *shown], where, [], [])


def _whole(
    w: Writer,
    entity: Entity,
    link: Link,
    items: list[Piece],
    where: list[Piece],
    keys: list[Piece],
    order: list[Piece],
) -> list[Piece]:
    tables = {entity.place, link.child.place}
    if needed_tables([("t", k) for k in sorted(tables)], w.domain.context) != tables:
        raise Unfit("the joins would go another way")
    if len(w.required) > 1:
        raise Unfit("too many tables")
    w.required |= tables
    return bare_core(items, ["all", ("t", entity.place)], where, group=keys, order=order)


def _optional_parent(w: Writer) -> tuple[str, list[Piece]]:
    """Rows with the name of a parent that some of them lack."""

    def loose(link: Link) -> bool:
        return link.column.filled < link.column.rows and bool(link.parent.label) and not link.parent.verbal

    entity = w.entity(lambda e: bool(e.label or e.having("date")) and any(loose(x) for x in e.parents))
    link = w.rng.choice([x for x in entity.parents if loose(x)])
    nouns, parent = plural(w.noun(entity)), w.noun(link.parent)
    w.subject(entity, [])
    w.required.add(link.parent.place)
    if needed_tables([("t", k) for k in sorted(w.required)], w.domain.context) != w.required:
        raise Unfit("the joins would go another way")
    own = labels(w, entity)
    text = w.pick(
        f"({SHOW} all {nouns} (with|and) their {parent}(, | - |, )(including those without {article(parent)}|"
        f"also those without {article(parent)}|even if they have none|"
        f"including {nouns} without any {parent}|whether or not they have one)|{SHOW} (every|each) {w.noun(entity)} "
        f"(with|and) its {parent}(, if any|, if there is one| where there is one))"
    )
    return text, bare_core([*own, *(f.token for f in link.parent.label)], ["all", ("t", entity.place)])


def missing_side(w: Writer) -> tuple[str, list[Piece]]:
    """Those that have none, or none of a kind; listed, counted, per group."""
    entity, link = having_children(w)
    child = link.child
    inside: list[Condition] = []
    if w.chance(0.55):
        dates = child.having("date")
        inside = (
            [w.about_date(dates[0], child, plain=True)] if dates and w.chance(0.5) else w.conditions(child, 1)
        )
    if any(entity.place in c.tables for c in inside):
        raise Unfit("back to itself")
    w.required = set()
    things, inner = w.subject(child, inside)
    deep = w.required
    loose = link.column.filled < link.column.rows
    test: list[Piece]
    if loose and len(deep) == 1:
        inner = [
            link.column.token,
            "=",
            "outer",
            link.target.token,
            *(["and", *_closed(inner)] if inner else []),
        ]
        test = ["not_exists", "[", *bare_core(["*"], () if inner else [("t", child.place)], inner), "]"]
    elif loose:
        raise Unfit("keys that are missing")
    else:
        test = [link.target.token, "not_in", "[", *w.core([link.column.token], inner, required=deep), "]"]
    w.required = set()
    conditions = [w.own_condition(entity)] if w.chance(0.25) else []
    said, where = w.subject(entity, conditions)
    full: list[Piece] = [*_closed(where), *(["and"] if where else []), *test]
    people = people_words(entity.noun)
    who = "who" if people else "that"
    if inside:
        post = w.pick(
            f"(without (any |){things}|{who} (have|had) no {things}|{who} (do not|don't) have any {things}|"
            f"with no {things}|lacking {things})"
        )
        pred = w.pick(f"(have no {things}|had no {things}|do not have any {things}|don't have {things})")
        _, undone = verb_of(w, entity, child)
        if (
            undone != f"had any {plural(child.noun)}"
            and inside[0].form[0] in [f.token for f in child.having("date")]
            and re.match(r"(in|during|on|since|before|after) ", inside[0].post or "")
        ):
            when = inside[0].post
            post = w.pick(
                f"(who did not {_now(undone)} {when}|who have not {undone} {when}|who didn't {_now(undone)} {when})"
            )
            pred = w.pick(f"(did not|didn't) {_now(undone)} {when}")
    else:
        _, undone = verb_of(w, entity, child)
        post = w.pick(
            f"(without (any |){things}|{who} have never {undone}|{who} never {undone}|with zero {things}|"
            f"with no {things}|{who} have yet to get {article(child.noun)}|{who} do not have a single {child.noun})"
        )
        post = post.replace("have yet to get", "do not have")
        pred = w.pick(
            f"(have never {undone}|have no {things}|have not {undone} (yet|)|do not have a single {child.noun}|"
            f"haven't {undone})"
        ).replace(" )", ")")
    glue = (
        " and "
        if conditions and conditions[0].post and not conditions[0].pre and re.match("who|that", post)
        else " "
    )
    draw = w.rng.random()
    if draw < 0.32:
        text = w.pick(
            f"(how many {said}{glue}{post} are there|number of {said}{glue}{post}|count (the |){said}{glue}{post}|"
            f"{START} the number of {said}{glue}{post})"
        )
        if not conditions and w.chance(0.5):
            text = f"how many {said} {pred}"
        return text, w.core(["count", "*"], full)
    if draw < 0.42 and entity.having("category") and not conditions:
        f = w.any_of([x for x in entity.having("category") if x not in entity.label and x.distinct > 1])
        text = w.pick(
            f"(number of {said} {post} (per|by) {w.words(f)}|how many {said} {pred} per {w.words(f)}|count "
            f"(the |){said} {post} by {w.words(f)})"
        )
        return text, w.core([f.token, "count", "*"], full, group=[f.token])
    items = labels(w, entity)
    text = w.pick(f"({SHOW} (all |the |){said}{glue}{post}|{said}{glue}{post}|(which|what) {said} {pred})") if not conditions else w.pick(
        f"({SHOW} (all |the |){said}{glue}{post}|{said}{glue}{post})"
    )  # fmt: skip
    if w.chance(0.15):
        others = [
            f
            for f in entity.fields
            if f.role in ("category", "text", "measure", "date") and f.token not in items
        ]
        if others:
            f = w.rng.choice(others)
            text = w.pick(f"{SHOW} the {_names(entity)} and {w.words(f)} of (all |){said}{glue}{post}")
            items.append(f.token)
    return text, w.core(items, full)


def _names(entity: Entity) -> str:
    return " and ".join(f.words for f in entity.label)


def _now(done: str) -> str:
    """ "ordered anything" → "order anything"."""
    past = {"bought": "buy", "paid": "pay", "had": "have", "made": "make", "written": "write"}
    first, _, rest = done.partition(" ")
    present = past.get(first) or re.sub(
        r"(order|book|review|donat)ed$", lambda m: m[1] + ("e" if m[1] == "donat" else ""), first
    )
    return f"{present} {rest}"


def _closed(where: list[Piece]) -> list[Piece]:
    return ["(", *where, ")"] if "or" in where else list(where)


def sets(w: Writer) -> tuple[str, list[Piece]]:
    """One but not another, both, either: by what belongs to a row, or of the values of two tables."""
    draw = w.rng.random()
    if draw < 0.25:
        return _shared_values(w)
    entity, link = having_children(w)
    if link.column.filled < link.column.rows:
        raise Unfit("keys that are missing")
    a, b, kind = _two_kinds(w, entity, link)
    nouns = plural(w.noun(entity))
    key = link.target.token
    people = people_words(entity.noun)
    who = "who" if people else "that"
    draw = w.rng.random()
    one: list[Piece] = [key, "in", "[", *a[1], "]"]
    form: list[Piece]
    if draw < 0.4:
        form = [*one, "and", key, "not_in", "[", *b[1], "]"]
        post = w.pick(
            f"({who} {kind} {a[0]} but not {b[0]}|{who} {kind} {a[0]} but never {b[0]}|{who} {kind} {a[0]} "
            f"and not {b[0]}|{who} {kind} {a[0]} without {b[0]})"
        )
        if kind in ("have", "had"):
            post = w.pick(
                f"({who} {kind} {a[0]} but (no|not any) {b[0]}|with {a[0]} but (without|no) {b[0]}|{who} {kind} "
                f"{a[0]} and no {b[0]})"
            )
    elif draw < 0.8:
        form = [*one, "and", key, "in", "[", *b[1], "]"]
        post = w.pick(
            f"({who} {kind} both {a[0]} and {b[0]}|{who} {kind} {a[0]} as well as {b[0]}|{who} {kind} {a[0]} "
            f"and also {b[0]}|{who} {kind} {a[0]} and {b[0]}, both)"
        )
        post = post.replace(f"{b[0]}, both", f"{b[0]}")  # keep it plain
        if "both" not in post and "as well" not in post and "also" not in post:
            post = f"{who} {kind} both {a[0]} and {b[0]}"
    else:
        form = [*one, "or", key, "in", "[", *b[1], "]"]
        post = w.pick(
            f"({who} {kind} {a[0]} or {b[0]}|{who} {kind} either {a[0]} or {b[0]}|{who} {kind} {a[0]} or {b[0]} ⟦or both⟧)"
        )
    w.required = set()
    w.subject(entity, [])
    if w.chance(0.35):
        text = w.pick(
            f"(how many {nouns} are there {post}|number of {nouns} {post}|count (the |){nouns} {post}|{START} "
            f"the number of {nouns} {post})"
        )
        if post.startswith(who) and w.chance(0.5):
            text = f"how many {nouns} {post.removeprefix(who + ' ')}"
        return text, w.core(["count", "*"], form)
    text = w.pick(f"({SHOW} (all |the |){nouns} {post}|(which|what) are the {nouns} {post}|{nouns} {post})")
    if post.startswith(who) and w.chance(0.35):
        text = f"which {nouns} {post.removeprefix(who + ' ')}"
    return text, w.core(labels(w, entity), form)


def _two_kinds(
    w: Writer, entity: Entity, link: Link
) -> tuple[tuple[str, list[Piece]], tuple[str, list[Piece]], str]:
    """Two things a row may have or have bought, each with the query of the keys, and the verb."""
    child = link.child
    ups = [
        x for x in child.parents
        if x.parent is not entity and len(x.parent.label) == 1 and x.parent.label[0].samples and not x.parent.verbal
    ]  # fmt: skip
    lower: Field | None = None
    path = [child.place]
    if not ups or w.chance(0.3):
        found = [
            (y, z) for y in child.children if not y.child.verbal for z in y.child.parents
            if z.parent not in (entity, child) and len(z.parent.label) == 1 and not z.parent.verbal
        ]  # fmt: skip
        if found and w.chance(0.7):
            y, z = w.rng.choice(found)
            lower, path = z.parent.label[0], [child.place, y.child.place, z.parent.place]
            ups = []
    if ups and w.chance(0.7):
        up = w.rng.choice(ups)
        lower, path = up.parent.label[0], [child.place, up.parent.place]
    if lower is None:
        own = [f for f in child.having("category") if 2 <= f.distinct <= 12 and f not in child.label]
        lower = w.any_of(own)
    other = w.domain.entities[lower.table]
    x, y2 = w.cell(lower), w.cell(lower)
    if x == y2:
        raise Unfit("same cell twice")
    names = [child.noun, *(w.domain.entities[k].noun for k in path[1:-1])]
    bought = (
        people_words(entity.noun) and other is not child and re.search("order|sale|purchase", " ".join(names))
        and re.search("product|item|book|article|category|brand", other.noun)
    )  # fmt: skip
    results: list[tuple[str, list[Piece]]] = []
    for cell in (x, y2):
        value, token = w.named(lower, cell)
        sub = w.core([link.column.token], [lower.token, "=", token], required=set(path))
        if other is child:
            said = w.pick(f"({value} {plural(child.noun)}|{plural(child.noun)} with {lower.words} {value})") if (
                re.fullmatch(r"[A-Za-z][a-z]+( [a-z]+)?", cell) and re.search("status|type|stage|category|level|class", lower.words)
            ) else f"{plural(child.noun)} with {lower.words} {value}"  # fmt: skip
        elif bought:
            said = value if "category" not in other.noun else f"{value} {w.pick('(products|items)')}"
            said = value if "brand" in other.noun or (w.chance(0.4) and "product" in other.noun) else said
        else:
            said = w.pick(
                f"({plural(child.noun)} (for|with) {other.noun} {value}|{plural(child.noun)} with the {other.noun} {value})"
            )
        results.append((said, sub))
    return results[0], results[1], w.pick("(bought|ordered|purchased)") if bought else "have"


def _shared_values(w: Writer) -> tuple[str, list[Piece]]:
    """Values that two tables share, such as cities with both customers and stores."""
    seen: dict[str, list[tuple[Entity, Field]]] = {}
    for entity in w.domain.entities:
        for f in entity.having("category", "text"):
            if not entity.verbal and re.search(
                r"^(city|country|name|last name|region|industry|hometown|currency)$", f.words
            ):
                seen.setdefault(f.words, []).append((entity, f))
    pairs = [(words, found) for words, found in seen.items() if len(found) > 1 and words != "name"]
    if not pairs:
        raise Unfit("nothing in common")
    words, found = w.rng.choice(pairs)
    (one, a), (two, b) = w.rng.sample(found, 2)
    x, y = plural(w.noun(one)), plural(w.noun(two))
    if x == y:
        raise Unfit("the same noun")
    many = plural(words)
    w.required = {one.place, two.place}
    kind = w.rng.choice(("union", "union", "intersect", "except", "union_all"))
    conditions = [w.own_condition(one)] if w.chance(0.2) else []
    w.required = set()
    x2, where = w.subject(one, conditions) if conditions else (x, [])
    if len(w.required) > 1 or any(id(a) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    text = w.pick(
        {
            "union": f"(all {many} of {x2} and {y} in one list|{SHOW} (all |the |){many} (where we have|with) {x2} "
            f"or {y}|{SHOW} the {many} of {x2} and of {y}, without duplicates|"
            f"combined list of the (different |distinct |){many} of {x2} and {y}|which {many} do (our |){x2} or {y} (come from|have))",
            "union_all": f"(all {many} of {x2} and {y} in one list, (including duplicates|keeping duplicates|with duplicates)"
            f"|{SHOW} the {many} of {x2} followed by those of {y}, "
            f"duplicates included)",
            "intersect": f"((which|what) {many} have both {x2} and {y}|{SHOW} (the |){many} (shared by|common to) {x2} "
            f"and {y}|{many} with both {x2} and {y}|"
            f"{SHOW} the {many} that appear for both {x2} and {y})",
            "except": f"((which|what) {many} have {x2} but no {y}|{SHOW} (the |){many} (with|that have) {x2} but (no|"
            f"without any) {y}|{many} of {x2} where there are no {y})",
        }[kind]
    )
    if words in ("last name", "currency", "industry", "name"):
        text = (
            text.replace("where we have", "of")
            .replace(" with ", " of ")
            .replace("(come from|have)", "have")
            .replace("come from", "have")
        )
        if kind in ("intersect", "except"):
            text = (
                f"which {many} appear for {'both ' if kind == 'intersect' else ''}{x2} {'and' if kind == 'intersect' else 'but not for'} "
                f"{y}"
            )
    w.required = {one.place, two.place}
    return text, [*bare_core([a.token], (), where), kind, *bare_core([b.token])]
