"""Tables that meet themselves: managers, parent categories, pairs of equals, two keys to one table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlgen.training.synthesis.common import ASK, KEY_TAIL, SHOW, bare_core, labels, numeric
from sqlgen.training.synthesis.subjects import Entity, Field
from sqlgen.training.synthesis.wording import article, many, people_words, plural, spell_out
from sqlgen.training.synthesis.writer import PLACES, Piece, Unfit, Writer

__all__ = ["hierarchies", "pairs", "two_roles"]

_BELOW = {
    "manager": "(direct reports|reports|subordinates|people reporting to them|employees under them)",
    "boss": "(direct reports|subordinates)",
    "supervisor": "(direct reports|supervisees|subordinates)",
    "team lead": "(team members|direct reports)",
    "mentor": "mentees",
    "referrer": "referrals",
    "parent": "children",
    "head": "(subordinates|direct reports)",
}
_VERBS = {
    "manager": "manage",
    "boss": "manage",
    "supervisor": "supervise",
    "team lead": "lead",
    "mentor": "mentor",
    "referrer": "refer",
}


@dataclass(slots=True)
class Twin:
    """``key`` of ``entity`` refers to another row of it, its ``role``; ``below`` are those that refer to one row."""

    entity: Entity
    key: Field
    target: Field
    role: str
    below: str


def _field(entity: Entity, name: str) -> Field | None:
    return next((f for f in entity.fields if f.column.name == name), None)


def _twin(w: Writer) -> Twin:
    found: list[Twin] = []
    for entity in w.domain.entities:
        for key in entity.table.foreign_keys:
            if key.target != entity.table.key or len(key.columns) != 1 or not entity.label or entity.rows < 5:
                continue
            mine, theirs = _field(entity, key.columns[0]), _field(entity, key.target_columns[0])
            if mine is None or theirs is None:
                continue
            role = KEY_TAIL.sub("", mine.words)
            role = {"reports to": "manager", "parent": f"parent {entity.noun}", "referred by": "referrer", "managed by": "manager",
                    "supervised by": "supervisor", "reporting": "manager"}.get(role, role)  # fmt: skip
            if role == entity.noun or len(role) < 3:
                continue
            parent = role.startswith(("parent", "main", "super", "upper"))
            below = _BELOW.get(role) or (
                f"(sub-{entity.nouns}|child {entity.nouns}|{entity.nouns} below them)" if parent else ""
            )
            found.append(Twin(entity, mine, theirs, role, below))
    if not found:
        raise Unfit("no table with a key to itself")
    return w.rng.choice(found)


def _others(items: list[Piece]) -> list[Piece]:
    return [x for item in items for x in ("other", item)]


def hierarchies(w: Writer) -> tuple[str, list[Piece]]:
    t = _twin(w)
    entity, role = t.entity, t.role
    if w.chance(0.2) and role in ("manager", "parent category"):
        role = {"manager": w.pick("(boss|supervisor|line manager)"), "parent category": "parent category"}[
            role
        ]
    roles = plural(role)
    w.subject(entity, [])
    own = labels(w, entity)
    noun = w.noun(entity)
    nouns = plural(noun)
    people = people_words(entity.noun)
    who, their = ("who", "their") if people else ("that", "their")
    label = entity.label[0]
    draw = w.rng.random()
    if draw < 0.17:
        if w.chance(0.4):
            text = w.pick(
                f"({SHOW} (all |every |){nouns} (with|and) {their} {role}(, including those without one|, also "
                f"those without {article(role)}|, even if they have none|, if any| if they have one))"
            ).replace("every " + nouns, "every " + noun)
            return text, bare_core([*own, *_others(own)], ["all", ("t", entity.place)])
        text = w.pick(
            f"({SHOW} (all |the |){nouns} (with|and|together with) {their} {role}|{SHOW} (the |)names of {nouns} and {their} {roles}|"
            f"{SHOW} (each|every) {noun} (with|and) the name of {'their' if people else 'its'} {role}|who "
            f"is the {role} of (each|every) {noun})"
        )
        if (text.startswith("who") and not people) or ("name" in text and "name" not in label.words):
            text = f"list the {nouns} and their {role}"
        return text, bare_core([*own, *_others(own)])
    if draw < 0.3 and len(entity.label) == 1:
        value, token = w.named(label, w.cell(label))
        post = w.pick(
            f"(whose {role} is {value}|with {value} as {role}|that have {value} as {their} {role}|reporting to {value})"
        )
        if post.startswith("reporting") and "manage" not in t.role:
            post = f"whose {role} is {value}"
        test: list[Piece] = ["other", label.token, "=", token]
        if w.chance(0.35):
            return w.pick(
                f"(how many {nouns} are there {post}|number of {nouns} {post}|count (the |){nouns} {post})"
            ), bare_core(["count", "*"], (), test)
        return w.pick(
            f"({SHOW} (all |the |){nouns} {post}|{nouns} {post}|(which|what) are the {nouns} {post})"
        ), bare_core(own, (), test)
    if draw < 0.36 and len(entity.label) == 1:
        value, token = w.named(label, w.cell(label))
        text = w.pick(
            f"({'who' if people else 'what'} is the {role} of {value}|{ASK} the {role} of {value}|{value}'s {role})"
        )
        return text, bare_core(_others(own), (), [label.token, "=", token])
    if draw < 0.56 and t.below:
        return _counts_below(w, t, role, own)
    if draw < 0.74 and numeric(entity):
        return _against(w, t, role, own)
    if draw < 0.84:
        fields = [f for f in entity.having("category", "date") if f not in entity.label]
        f = w.any_of(fields)
        words = w.words(f)
        if f.role == "date":
            early = w.chance(0.5)
            test = [f.token, "<" if early else ">", "other", f.token]
            post = w.pick(
                f"(whose {words} is (before|earlier than)|with {article(words)} (before|earlier than)) that of {their} {role}"
            )
            post = post if early else post.replace("before", "after").replace("earlier", "later")
            if "hire" in f.words and people and w.chance(0.6):
                post = w.pick(
                    f"(hired|who were hired|who joined) {'before' if early else 'after'} {their} {role}"
                )
            if "birth" in f.words and people:
                post = f"who are {'older' if early else 'younger'} than {their} {role}"
        else:
            same = w.chance(0.6)
            test = [f.token, "=" if same else "!=", "other", f.token]
            post = w.pick(
                f"({who} have the same {words} as {their} {role}|with the same {words} as {their} {role}|whose "
                f"{words} is the same as that of {their} {role})"
                if same
                else f"({who} have a different {words} than {their} {role}|whose {words} differs from that of {their} "
                f"{role}|with a different {words} from {their} {role})"
            )
            if same and PLACES.search(f.words) and people:
                post = w.pick(f"who (live|are) in the same {words} as {their} {role}")
        if w.chance(0.3):
            return w.pick(
                f"(how many {nouns} are there {post}|number of {nouns} {post}|count (the |){nouns} {post})"
            ), bare_core(["count", "*"], (), test)
        return w.pick(
            f"({SHOW} (all |the |){nouns} {post}|(which|what) are the {nouns} {post}|{nouns} {post})"
        ), bare_core(own, (), test)
    if draw < 0.91:
        if t.key.filled == t.key.rows:
            raise Unfit("no top")
        test = [t.key.token, "is_null"]
        post = w.pick(
            f"(without {article(role)}|{who} have no {role}|with no {role}|{who} do not have {article(role)})"
        )
        if "manage" in t.role:
            post = w.pick(f"({post}|who report to nobody|who do not report to anyone)")
        if w.chance(0.3):
            return w.pick(f"(how many {nouns} are there {post}|number of {nouns} {post})"), bare_core(
                ["count", "*"], (), test
            )
        return w.pick(f"({SHOW} (all |the |){nouns} {post}|{nouns} {post})"), bare_core(own, (), test)
    verb = _VERBS.get(t.role)
    sub = bare_core(["*"], (), [t.key.token, "=", "outer", t.target.token])
    below = w.pick(t.below) if t.below else ""
    if w.chance(0.3):
        if not verb:
            text = w.pick(
                f"(how many (different |){roles} are there|how many {nouns} are (a |the |){role} of another "
                f"{noun})"
            ).replace(" a " + role, f" {article(role)}")
            return text, bare_core(["count", "distinct", t.key.token])
        text = w.pick(
            f"(how many {nouns} are {plural(t.role)}|how many (different |distinct |){roles} are there|how "
            f"many {nouns} {verb} (someone|others|somebody)|number of (different |){roles})"
        )
        return text, bare_core(["count", "distinct", t.key.token])
    if not verb and not below:
        raise Unfit("no verb")
    post = w.pick(
        f"(who {verb} (nobody|no one)|who do not {verb} anyone|who don't {verb} anybody)"
        if verb
        else f"(without {below}|with no {below}|that have no {below})"
    )
    if " them" in post:
        post = f"without {w.pick('(sub-|child )')}{entity.nouns}"
    return w.pick(
        f"({SHOW} (all |the |){nouns} {post}|(which|what) are the {nouns} {post}|{nouns} {post})"
    ), bare_core(own, (), ["not_exists", "[", *sub, "]"])


def _counts_below(w: Writer, t: Twin, role: str, own: list[Piece]) -> tuple[str, list[Piece]]:
    below = w.pick(t.below)
    people = people_words(t.entity.noun)
    roles = plural(role)
    keys: list[Piece] = ["other", t.target.token]
    items = _others(own)
    draw = w.rng.random()
    if draw < 0.35:
        text = w.pick(
            f"(how many {below} does each {role} have|number of {below} (per|by|for each|of each) {role}|"
            f"{SHOW} (all |the |){roles} (with|and) (their|the) number of {below}|"
            f"count (the |){below} (per|of each|by) {role}|{roles} and how many {below} they have)"
        )
        if " them" in text:
            text = f"number of {t.entity.nouns} per {role}"
        order: list[Piece] = []
        if w.chance(0.3):
            text += w.pick("(, most first|, highest first|, sorted by that number, descending)")
            order = ["count", "*", "desc"]
        return text, bare_core([*items, "count", "*"], group=keys, order=order)
    if " them" in below:
        below = "direct reports" if people else f"child {t.entity.nouns}"
    if draw < 0.65:
        one = w.chance(0.55)
        if one:
            text = w.pick(
                f"({'who' if people else f'which {role}'} has the most {below}|which {role} has the most {below}|"
                f"(find|show) the {role} with the (most|highest number of) {below}|{role} with the most {below})"
            )
            limit: Piece | None = "1"
        else:
            _, shown, limit = w.limit()
            text = w.pick(
                f"(top {shown} {roles} by number of {below}|{SHOW} the {shown} {roles} with the most {below})"
            )
        return text, bare_core(items, group=keys, order=["count", "*", "desc"], limit=[limit or "1"])
    least = w.rng.choice((2, 2, 2, 3, 3, 4, 5))
    shown, token = w.literal(str(least)) if w.chance(0.6) else (spell_out(least) or "", str(least))
    op, more = w.rng.choice(
        (
            (">", f"more than {shown}"),
            (">=", f"at least {shown}"),
            (">=", f"{shown} or more"),
            (">", f"over {shown}"),
        )
    )
    text = w.pick(
        f"((which|what) {roles} have {more} {below}|{SHOW} (the |){roles} with {more} {below}|{roles} "
        f"(with|having) {more} {below})"
    )
    return text, bare_core(items, group=keys, having=["count", "*", op, token])


def _against(w: Writer, t: Twin, role: str, own: list[Piece]) -> tuple[str, list[Piece]]:
    entity = t.entity
    f = w.rng.choice(numeric(entity))
    words = w.words(f)
    nouns = plural(w.noun(entity))
    people = people_words(entity.noun)
    w.required.add(entity.place)
    if w.chance(0.25):
        text = w.pick(
            f"(how much {'more' if people else 'higher'} (is|) the {words} of each {w.noun(entity)} than "
            f"that of their {role}|{SHOW} (the |){nouns} and the difference between their {words} and that "
            f"of their {role}|"
            f"{SHOW} (the |){nouns}, their {words} and the {words} of their {role})"
        )
        if text.endswith(f"of their {role}") and "difference" not in text and "each" not in text:
            return text, bare_core([*own, f.token, "other", f.token])
        if text.startswith("how much"):
            text = w.pick(
                f"for each {w.noun(entity)}, by how much does their {words} exceed that of their {role}"
            )
        return text, bare_core([*own, f.token, "-", "other", f.token])
    up = w.chance(0.7)
    more = "higher" if up else "lower"
    post = w.pick(
        f"(with a {more} {words} than their {role}|whose {words} is {more} than that of their {role}|"
        f"that have a {more} {words} than their {role}|"
        f"whose {words} {'exceeds' if up else 'is below'} that of their {role})"
    )
    if re.search("salary|income|wage", f.words) and people and w.chance(0.6):
        post = w.pick(f"who (earn|make) {'more' if up else 'less'} than their {role}")
    test: list[Piece] = [f.token, ">" if up else "<", "other", f.token]
    draw = w.rng.random()
    if draw < 0.3:
        return w.pick(
            f"(how many {nouns} are there {post}|number of {nouns} {post}|count (the |){nouns} {post})"
        ), bare_core(["count", "*"], (), test)
    text = w.pick(f"({SHOW} (all |the |){nouns} {post}|(which|what) are the {nouns} {post}|{nouns} {post})")
    if post.startswith("who ") and w.chance(0.4):
        text = f"which {nouns} {post.removeprefix('who ')}"
    if draw > 0.85:
        return text + f" and the name of that {role}" if "name" in entity.label[0].words else text, bare_core(
            [*own, *(_others(own) if "name" in entity.label[0].words else [])], (), test
        )  # fmt: skip
    return text, bare_core(own, (), test)


def pairs(w: Writer) -> tuple[str, list[Piece]]:
    """Pairs of rows that agree in a column, or those that agree with one that is named."""
    entity = w.entity(
        lambda e: bool(e.label) and e.key is not None and e.rows > 4 and bool(e.having("category", "text"))
    )
    key = entity.key
    if key is None:
        raise Unfit("no key")
    own = labels(w, entity)
    nouns = plural(w.noun(entity))
    fields = [f for f in entity.having("category", "year") if f not in entity.label]
    links = [x for x in entity.parents if not x.parent.verbal]
    w.subject(entity, [])
    people = people_words(entity.noun)
    who = "who" if people else "that"
    if w.chance(0.45) and len(entity.label) == 1:
        return _same_as(w, entity, own, nouns, who)
    if links and (not fields or w.chance(0.4)):
        link = w.rng.choice(links)
        f, words = link.column, w.noun(link.parent)
    else:
        f = w.any_of(fields)
        words = w.words(f)
    shown: list[Piece] = []
    text = w.pick(
        f"({SHOW} (all |the |)pairs of {nouns} (with|{who} have|{who} share|sharing) the same {words}|"
        f"pairs of {nouns} with the same {words}|(which|what) (pairs of |two ){nouns} have the same "
        f"{words}|"
        f"find (different |)pairs of {nouns} {who} have the same {words})"
    )
    if PLACES.search(f.words) and people and w.chance(0.5):
        text = w.pick(f"({SHOW} (all |the |)pairs of {nouns} (from|living in|in) the same {words})")
    if f.role != "key" and w.chance(0.3):
        text += w.pick(f"(, with the|, together with the|, and show the) {words}")
        shown = [f.token]
    conditions: list[Piece] = []
    if entity.rows > 25:
        others = [x for x in entity.having("category") if x is not f and x not in entity.label]
        if not others:
            raise Unfit("too many pairs")
        g = w.rng.choice(others)
        value, token = w.named(g, w.cell(g))
        text += w.pick(
            f"( and {w.words(g)} {value}|, both with {w.words(g)} {value}|, only where both have {w.words(g)} {value})"
        )
        conditions = ["and", g.token, "=", token, "and", "other", g.token, "=", token]
    test: list[Piece] = [key.token, "<", "other", key.token, *conditions]
    return text, bare_core([*own, *_others(own), *shown], ["other", f.token], test)


def _same_as(w: Writer, entity: Entity, own: list[Piece], nouns: str, who: str) -> tuple[str, list[Piece]]:
    name = entity.label[0]
    fields = [f for f in entity.having("category") if f is not name]
    links = [x for x in entity.parents if not x.parent.verbal]
    if links and (not fields or w.chance(0.5)):
        link = w.rng.choice(links)
        f, words = link.column, w.noun(link.parent)
    else:
        f = w.any_of(fields)
        words = w.words(f)
    if name.distinct < 0.95 * name.filled:
        raise Unfit("names that many have")
    value, token = w.named(name, w.cell(name))
    post = w.pick(
        f"({who} have the same {words} as {value}|with the same {words} as {value}|{who} share the {words} "
        f"(of|with) {value}|in the same {words} as {value})"
    )
    if post.startswith("in ") and not (
        PLACES.search(words) or re.search("department|category|branch|class|team|group|ward|faculty", words)
    ):
        post = f"with the same {words} as {value}"
    sub = bare_core([f.token], (), [name.token, "=", token])
    test: list[Piece] = [f.token, "=", "[", *sub, "]"]
    if w.chance(0.5):
        test += ["and", name.token, "!=", token]
        other = "other "
    else:
        other = ""
    if w.chance(0.3):
        return w.pick(
            f"(how many {other}{nouns} are there {post}|number of {other}{nouns} {post})"
        ), bare_core(["count", "*"], (), test)
    return w.pick(
        f"({SHOW} (all |the |){other}{nouns} {post}|(which|what) {other}{nouns} {_plain(post, who)}|"
        f"{other}{nouns} {post})"
    ), bare_core(own, (), test)


def _plain(post: str, who: str) -> str:
    if post.startswith(who):
        return post.removeprefix(f"{who} ")
    return f"are {post}" if post.startswith("in ") else post.replace("with", "have", 1)


@dataclass(slots=True)
class Double:
    """``owner`` has two keys to ``target``, in the order in which a form takes them."""

    owner: Entity
    target: Entity
    keys: tuple[Field, Field]
    roles: tuple[str, str]


def _double(w: Writer) -> Double:
    found = []
    by_key = {e.table.key: e for e in w.domain.entities}
    for owner in w.domain.entities:
        singles = sorted(
            (k for k in owner.table.foreign_keys if len(k.columns) == 1),
            key=lambda k: (k.inferred, k.columns),
        )
        for name in {k.target for k in singles} - {owner.table.key}:
            both = [k for k in singles if k.target == name]
            target = by_key.get(name)
            if len(both) != 2 or target is None or len(target.label) != 1 or owner.rows < 5 or owner.verbal:
                continue
            fields = [_field(owner, k.columns[0]) for k in both]
            if fields[0] is None or fields[1] is None:
                continue
            a, b = (_role(f, target) for f in fields if f)
            if a != b and a and b:
                found.append(Double(owner, target, (fields[0], fields[1]), (a, b)))
    if not found:
        raise Unfit("no two keys to one table")
    return w.rng.choice(sorted(found, key=lambda d: d.keys[0].words))


def _role(f: Field, target: Entity) -> str:
    """What a key calls the row it refers to: "home team", "origin airport"."""
    words = KEY_TAIL.sub("", f.words)
    return words if len(words) > 2 and words != target.noun else ""


def two_roles(w: Writer) -> tuple[str, list[Piece]]:
    d = _double(w)
    owner, target = d.owner, d.target
    name = target.label[0]
    swap = w.chance(0.5)
    # (role, column of the instance, how the instance is reached when it is the only one)
    sides: list[tuple[str, list[Piece], list[Piece]]] = [
        (d.roles[0], [name.token], []),
        (d.roles[1], ["other", name.token], ["via", d.keys[1].token]),
    ]
    one, two = (sides[1], sides[0]) if swap else (sides[0], sides[1])
    nouns = plural(w.noun(owner))
    w.required = {owner.place, target.place}
    reach: list[Piece] = [("t", owner.place)]
    extra = [
        f for f in owner.fields if f.role in ("date", "measure", "category", "text") and f not in owner.label
    ]
    draw = w.rng.random()
    mine: list[Piece] = [f.token for f in owner.label]
    if draw < 0.25:
        chosen = (
            w.rng.sample(extra, min(len(extra), w.rng.choice((1, 1, 2))))
            if extra and (not mine or w.chance(0.4))
            else []
        )
        if not mine and not chosen:
            raise Unfit("nothing to show")
        names = " and ".join(w.words(f) for f in chosen)
        if chosen:
            text = w.pick(
                f"({SHOW} the {one[0]}, {two[0]} and {names.replace(' and ', ', ')} of (each|every) {w.noun(owner)}|"
                f"{SHOW} (the |){one[0]}, (the |){two[0]} and {names.replace(' and ', ' and ')} (of|for) all "
                f"{nouns})"
            )
            items = [*one[1], *two[1], *(f.token for f in chosen)]
        else:
            text = w.pick(
                f"({SHOW} (all |the |){nouns} with their {one[0]} and {two[0]}|{SHOW} (all |the |){nouns} (and|"
                f"with) the names of {one[0]} and {two[0]})"
            )
            items = [*mine, *one[1], *two[1]]
        return text, bare_core(
            items, [] if any(t in items for t in [f.token for f in owner.fields]) else reach
        )
    first, second = w.cell(name), w.cell(name)
    source: list[Piece] = []
    between = re.search(r"origin|departure|from|source|sender|pickup|start", one[0]) and re.search(
        r"dest|arrival|to\b|receiv|target|recipient|dropoff|drop-off|end", two[0]
    )
    if draw < 0.5:
        if first == second:
            raise Unfit("same cell twice")
        a, x = w.named(name, first)
        if w.chance(0.45):
            # One side only: reached over its own key.
            source = one[2]
            said = w.pick(
                f"(with {one[0]} {a}|whose {one[0]} is {a}|with {a} as {one[0]}|where {a} is the {one[0]})"
            )
            if re.search("origin|departure|source|sender|pickup", one[0]):
                said = w.pick(f"(from {a}|{said})")
            elif re.search("dest|arriv|receiv|recipient|dropoff", one[0]):
                said = w.pick(f"(to {a}|{said})")
            test: list[Piece] = [name.token, "=", x]
        else:
            b, y = w.named(name, second)
            either = w.chance(0.4)
            if either:
                said = w.pick(
                    f"(with {a} as {one[0]} or {two[0]}|where {a} is (either |){one[0]} or {two[0]}|involving {a} "
                    f"⟦as {one[0]} or {two[0]}⟧)"
                )
                test = [*one[1], "=", x, "or", *two[1], "=", x]
                w.cells.pop()
            else:
                said = (
                    f"from {a} to {b}"
                    if between
                    else w.pick(
                        f"(with {one[0]} {a} and {two[0]} {b}|where {one[0]} is {a} and {two[0]} is {b}|with {a} as "
                        f"{one[0]} and {b} as {two[0]})"
                    )
                )
                test = [*one[1], "=", x, "and", *two[1], "=", y]
        if w.chance(0.5):
            text = w.pick(
                f"(how many {nouns} are there {said}|number of {nouns} {said}|count (the |){nouns} {said})"
            )
            return text, bare_core(["count", "*"], [*reach, *source], test)
        if mine:
            return w.pick(
                f"({SHOW} (all |the |){nouns} {said}|{nouns} {said}|(which|what) {nouns} are there {said})"
            ), bare_core(mine, source, test)
        f = w.any_of(extra)
        text = w.pick(
            f"({SHOW} the {w.words(f)} of (all |the |){nouns} {said}|{ASK} the {w.words(f)} of (all |the |){nouns} {said})"
        )
        return text, bare_core([f.token], source, test)
    if draw < 0.8:
        return _per_role(w, d, one, nouns, name)
    fields = [f for f in target.having("category") if f is not name and f.distinct > 1]
    if fields and w.chance(0.6):
        f = w.any_of(fields)
        same = w.chance(0.6)
        test = [f.token, "=" if same else "!=", "other", f.token]
        words = w.words(f)
        post = w.pick(
            f"(whose {one[0]} and {two[0]} are in the same {words}|where {one[0]} and {two[0]} have the "
            f"same {words}|with {one[0]} and {two[0]} in the same {words})"
            if same
            else f"(where {one[0]} and {two[0]} have (different {plural(words)}|a different {words})|whose {one[0]} "
            f"and {two[0]} differ in {words})"
        )
        if not PLACES.search(f.words):
            post = post.replace("are in the same", "have the same").replace(" in the same", " of the same")
    else:
        measures = numeric(target)
        f = w.any_of(measures)
        words = w.words(f)
        test = [*one[1][:-1], f.token, ">", *two[1][:-1], f.token]
        higher = f"more {words}" if many(words) else f"a higher {words}"
        post = w.pick(
            f"(where the {one[0]} has {higher} than the {two[0]}|whose {one[0]} has {higher} than its {two[0]})"
        )
    if w.chance(0.5) or not mine:
        return w.pick(
            f"(how many {nouns} are there {post}|number of {nouns} {post}|count (the |){nouns} {post})"
        ), bare_core(["count", "*"], reach, test)
    return w.pick(f"({SHOW} (all |the |){nouns} {post}|{nouns} {post})"), bare_core(mine, (), test)


def _per_role(
    w: Writer, d: Double, side: tuple[str, list[Piece], list[Piece]], nouns: str, name: Field
) -> tuple[str, list[Piece]]:
    """A count or an aggregate of the rows per row on one side."""
    role = side[0]
    key: list[Piece] = [d.target.key.token] if d.target.key else [name.token]
    measures = numeric(d.owner)
    if measures and w.chance(0.4):
        f = w.rng.choice(measures)
        metric: list[Piece] = ["avg", f.token]
        phrase = f"average {w.words(f)}"
    else:
        metric, phrase = ["count", "*"], f"number of {nouns}"
    where: list[Piece] = []
    if w.chance(0.25):
        condition = w.own_condition(d.owner)
        if not condition.post or condition.pre:
            raise Unfit("two adjectives")
        phrase = (
            f"number of {nouns} {condition.post}"
            if metric[0] == "count"
            else f"{phrase} of {nouns} {condition.post}"
        )
        where = condition.form
    w.required = {d.owner.place, d.target.place}
    said = any(isinstance(t, tuple) and t[0] == "c" and t[1] == d.owner.place for t in [*metric, *where])
    source: list[Piece] = [*([] if said else [("t", d.owner.place)]), *side[2]]
    if w.chance(0.4):
        top = w.chance(0.8)
        order: list[Piece] = [*metric, "desc" if top else "asc"]
        if w.chance(0.5):
            text = w.pick(
                f"((which|what) {role} has the {'highest' if top else 'lowest'} {phrase}|{role} with the {'highest' if top else 'lowest'} "
                f"{phrase})"
            )
            return text, bare_core([name.token], source, where, group=key, order=order, limit=["1"])
        _, shown, token = w.limit()
        text = w.pick(
            f"({'top' if top else 'bottom'} {shown} {plural(role)} by {phrase}|{SHOW} the {shown} {plural(role)} "
            f"with the {'highest' if top else 'lowest'} {phrase})"
        )
        return text, bare_core([name.token], source, where, group=key, order=order, limit=[token or "1"])
    text = w.pick(
        f"({ASK} the {phrase} (per|by|for each) {role}|{phrase} (per|by) {role}|{phrase} for each {role})"
    )
    return text, bare_core([name.token, *metric], source, where, group=key)
