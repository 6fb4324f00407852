"""What is missing, and what is made of cells: full names, initials, lengths, rounding, defaults, order."""

from __future__ import annotations

import re

from sqlgen.training.synthesis.common import (
    ASK,
    SHOW,
    aggregate_of,
    apart,
    bare_core,
    having_children,
    labels,
    numeric,
    role_of,
)
from sqlgen.training.synthesis.subjects import NOT_ADDITIVE, Entity, Field
from sqlgen.training.synthesis.wording import article, join_words, people_words, plural, spell_out
from sqlgen.training.synthesis.writer import START, Condition, Piece, Unfit, Writer

__all__ = ["distinct_counts", "havings", "missing", "orderings", "texts"]

# What an empty date says about a row: pattern of the column, still without it, already with it.
_OPEN: tuple[tuple[str, str, str], ...] = (
    (r"^ship",
     "(not yet shipped|not shipped yet|that have not been shipped|that haven't shipped yet|still "
        "waiting to be shipped|unshipped)",
     "(already shipped|that have been shipped)"),
    (r"^deliver",
     "(not yet delivered|not delivered yet|that have not been delivered|still to be delivered|undelivered)",
     "(already delivered|that have been delivered)"),
    (r"^discharge",
     "(not yet discharged|without a discharge|still in the hospital|that have not been discharged)",
     "(already discharged|that have ended in a discharge)"),
    (r"^clos",
     "(still open|not yet closed|that have not been closed|that are still open|not closed)",
     "(already closed|that have been closed)"),
    (r"^finish",
     "(not yet finished|still unfinished|that are not finished|not finished yet)",
     "(already finished|that have been finished)"),
    (r"^complet",
     "(not yet completed|still incomplete|that have not been completed|not completed yet)",
     "(already completed|that have been completed)"),
    (r"^paid",
     "(not yet paid|still unpaid|that have not been paid|unpaid)",
     "(already paid|that have been paid)"),
    (r"^return",
     "(not yet returned|not returned yet|that have not been returned|still out)",
     "(already returned|that have been returned)"),
    (r"^end",
     "(still running|without an end date|that have not ended|that have no end date|still ongoing|"
        "not yet ended)",
     "(that have ended|already ended|with an end date)"),
    (r"^(left|exit|leaving|termination)",
     "(who have not left|still with us|without a leaving date)",
     "(who have left|who are gone)"),
    (r"^resol",
     "(not yet resolved|still unresolved|that have not been resolved|unresolved)",
     "(already resolved|that have been resolved)"),
    (r"^(sold|sale)",
     "(not yet sold|still unsold|that have not been sold|unsold)",
     "(already sold|that have been sold)"),
    (r"^last (login|seen|visit)",
     "(who have never logged in|without a last login|that never logged in)",
     "(who have logged in at least once|with a last login)"),
    (r"^deadline",
     "(without a deadline|with no deadline)",
     "(with a deadline|that have a deadline)"),
    (r"^approv",
     "(not yet approved|waiting for approval|that have not been approved)",
     "(already approved|that have been approved)"),
    (r"^settle",
     "(not yet settled|still open|that have not been settled)",
     "(already settled)"),
    (r"^depart|^actual (departure|arrival)",
     "(not yet departed|that have not departed)",
     "(already departed)"),
)  # fmt: skip


def _empties(entity: Entity) -> list[Field]:
    return [
        f
        for f in entity.fields
        if 0 < f.filled < f.rows and f.role not in ("other", "key") and "id" not in f.words.split()
    ]


def _open_words(w: Writer, f: Field, entity: Entity, empty: bool) -> str:
    words = w.words(f)
    if f.role == "date":
        for pattern, still, done in _OPEN:
            if re.search(pattern, f.words):
                post = w.pick(still if empty else done)
                if re.search(r"login", f.words) and not people_words(entity.noun):
                    break
                if not people_words(entity.noun):
                    post = post.replace("who ", "that ")
                return post
    if empty:
        return w.pick(
            f"(without {article(words)}|without any {words}|with no {words}|that have no {words}|missing "
            f"{article(words)}|lacking {article(words)}|"
            f"where {words} is (missing|empty|null|unknown|not set|blank)|whose {words} is (missing|unknown|"
            f"not known|empty|not recorded)|with (missing|empty) {words})"
        )
    return w.pick(
        f"(with {article(words)}|that have {article(words)}|where {words} is (set|known|not null|filled "
        f"in|not empty)|with {article(words)} on file)"
    )


def missing(w: Writer) -> tuple[str, list[Piece]]:
    """Rows whose cell is empty: listed, counted, per group, beside those that have one."""
    if w.chance(0.25):
        return _coalesced(w)
    entity = w.entity(lambda e: bool(_empties(e)))
    f = w.rng.choice(_empties(entity))
    empty = w.chance(0.75)
    post = _open_words(w, f, entity, empty)
    test: list[Piece] = [f.token, "is_null" if empty else "not_null"]
    condition = Condition(post, "", test, {entity.place}, fields={id(f)})
    more = w.conditions(entity, 1) if w.chance(0.2) else []
    if any(id(f) in c.fields or (c.post and not c.pre) for c in more):
        raise Unfit("too much said")
    nouns = plural(w.noun(entity))
    if re.fullmatch(r"un[a-z]+|(still|already) [a-z]+", post) and " " not in post:
        condition.pre, condition.post = post, ""
        if more:
            raise Unfit("two adjectives")
    draw = w.rng.random()
    if draw < 0.17:
        said, where = w.subject(entity, more, noun=nouns)
        words = w.words(f)
        counted: list[Piece] = ["count", "if", "(", *test, ")", "*"]
        name = w.pick("(percentage|share)")
        text = w.pick(
            f"({START} the {name} of {said} {post}|what {name} of {said} (are|is) {post}|{name} of {said} {post})"
        )
        if not re.match(r"(still|not yet|already|without|with|missing|un)", post):
            text = re.sub(r"what (percentage|share) of (.*?) (are|is) ", r"\1 of \2 ", text)
        if words in text or f.role == "date":
            return text, w.core(["100", "*", *counted, "/", "count", "*"], where)
        raise Unfit("odd words")
    said, where = w.subject(entity, [*more, condition], noun=nouns)
    if draw < 0.45:
        text = w.pick(
            f"(how many {said} are there|how many {said} do we have|number of {said}|count (the |all |){said}|"
            f"{START} the number of {said}|how many {said})"
        )
        if text == f"how many {said}" and condition.post and not more:
            text = f"how many {nouns} {_pred(post)}"
        return text, w.core(["count", "*"], where)
    if draw < 0.65 and (entity.parents or entity.having("category")):
        group = w.group(entity)
        apart(w, group, entity, [*more, condition])
        text = w.pick(
            f"(number of {said} (per|by|for each) {group.noun}|how many {said} (are there |)(per|for each|"
            f"in each|by) {group.noun}|{SHOW} (the |){group.nouns} (with|and) (their|the) number of {said}|"
            f"{said} (per|by) {group.noun})"
        )
        if w.chance(0.3):
            text = w.pick(f"which {group.noun} has the most {said}")
            return text, w.core(group.items, where, group=group.keys, order=["count", "*", "desc"], limit="1")
        return text, w.core([*group.items, "count", "*"], where, group=group.keys)
    if not entity.label:
        raise Unfit("a table without a name")
    text = w.pick(
        f"({SHOW} (all |the |all the |){said}|(which|what) are the {said}|{said}|are there any {said})"
    )
    items = labels(w, entity)
    others = [
        x
        for x in entity.fields
        if x.role in ("category", "measure", "date", "text") and x.token not in items and x is not f
    ]
    if others and w.chance(0.25) and not text.startswith(("are", "which", "what")):
        x = w.rng.choice(others)
        text = w.pick(f"{SHOW} (all |the |){said}(, with their|, and their|, along with their) {w.words(x)}")
        items.append(x.token)
    return text, w.core(items, where)


def _pred(post: str) -> str:
    """ "that have been shipped" → "have been shipped"; "still open" → "are still open"."""
    said = re.sub(r"^(that|who) ", "", post)
    if said != post:
        return said
    return f"are {post}" if re.match(r"still|not|already|un|waiting", post) else post


def _coalesced(w: Writer) -> tuple[str, list[Piece]]:
    """A column with a word or a zero in place of what is missing."""
    entity = w.entity(lambda e: bool(e.label) and bool(_empties(e)))
    found = [
        f
        for f in _empties(entity)
        if f.role in ("text", "category", "long", "measure") and f.token not in labels(w, entity)
    ]
    f = w.any_of(found)
    words = w.words(f)
    said, where = w.subject(entity, [w.own_condition(entity)] if w.chance(0.2) else [])
    default: Piece
    if f.role == "measure":
        if w.chance(0.35):
            word, adjective = aggregate_of(w, False)
            text = w.pick(
                f"({START} the {adjective} {words} of {said}, (counting|treating) missing (values|ones) as (0|"
                f"zero)|{adjective} {words} of {said} with missing values as (0|zero))"
            )
            return text, w.core([word, "coalesce", f.token, "0"], where)
        text = w.pick(
            f"({SHOW} (all |the |){said} (with|and) their {words}, (0|zero) (if|when|where) (missing|it "
            f"is missing|empty|there is none)|{SHOW} (all |){said} with {words}, (using|showing) 0 for missing "
            "values)"
        )
        return text, w.core([*labels(w, entity), "coalesce", f.token, "0"], where)
    shown, default = w.literal(
        w.pick("(unknown|none|n/a|missing|not given|no " + f.words.split()[-1] + "|N/A|-)")
    )
    quote = w.rng.choice("'\"'")
    word = f"{quote}{shown}{quote}"
    text = w.pick(
        f"({SHOW} (all |the |){said} (with|and) their {words}, {word} (if|when|where) (missing|it is "
        f"missing|there is none|empty|null)|{SHOW} (all |){said} and {words}, (showing|with|using) {word} "
        f"(instead of empty values|for missing values|for those without one|when it is empty)|{SHOW} "
        f"(the |){said} with their {words} or {word} if (they have none|missing))"
    )
    return text, w.core([*labels(w, entity), "coalesce", f.token, default], where)


def _names(entity: Entity) -> tuple[Field, Field] | None:
    first = next((f for f in entity.fields if f.words.endswith("first name")), None)
    last = next((f for f in entity.fields if f.words.endswith(("last name", "surname"))), None)
    return (first, last) if first and last else None


def texts(w: Writer) -> tuple[str, list[Piece]]:
    """Full names, initials, lengths, letter case, ends of words, and rounding."""
    draw = w.rng.random()
    if draw < 0.25:
        return _full_names(w)
    if draw < 0.42:
        return _rounded(w)
    entity = w.entity(lambda e: bool(e.having("text", "category")))
    fields = [
        f
        for f in entity.having("text", "category")
        if f.samples and not re.search("phone|email|code|number", f.words)
    ]
    f = next((x for x in fields if x in entity.label), None) if w.chance(0.75) else None
    f = f or w.any_of(fields)
    conditions = w.conditions(entity, 1) if w.chance(0.2) else []
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, conditions)
    words = w.words(f)
    noun = w.noun(entity)
    lengths = [len(str(s)) for s in f.samples]
    if draw < 0.66 and f not in entity.label and f.role == "category":
        raise Unfit("nobody asks how long that is")
    if draw < 0.54:
        long = w.chance(0.75)
        degree = w.pick("(longest|longest)" if long else "shortest")
        one = w.chance(0.6)
        _, shown, limit = w.limit() if not one else (1, "", "1")
        text = w.pick(
            f"((which|what) {noun} has the {degree} {words}|{ASK} the {noun} with the {degree} {words}|{noun} with the {degree} {words})"
            if one
            else f"({SHOW} the {shown} {said} with the {degree} {plural(words)}|the {shown} {said} with the {degree} {plural(words)})"
        )
        if one and conditions:
            raise Unfit("a condition unsaid")
        return text, w.core(
            labels(w, entity), where, order=["length", f.token, "desc" if long else "asc"], limit=limit
        )
    if draw < 0.66:
        cut = w.rng.choice(sorted(lengths))
        shown, token = (
            w.literal(str(cut)) if not spell_out(cut) or w.chance(0.6) else (spell_out(cut) or "", str(cut))
        )
        op, more = w.rng.choice(
            ((">", "(more than|over)"), ("<", "(fewer than|less than)"), (">=", "at least"), ("=", "exactly"))
        )
        post = w.pick(
            f"(whose {words} (has|is) {more} {shown} (characters|letters)|with {article(words)} of {more} "
            f"{shown} characters|where {words} is {more} {shown} characters long)"
        )
        post = re.sub(r"is (.*?) (characters|letters)$", r"has \1 \2", post) if "whose" in post else post
        test: list[Piece] = ["length", f.token, op, token]
        full: list[Piece] = [*where, *(["and"] if where else []), *test]
        if "or" in where:
            raise Unfit("two ways to read")
        glue = " and " if conditions and conditions[0].post and not conditions[0].pre else " "
        if w.chance(0.35):
            return w.pick(f"(how many {said}{glue}{post} are there|number of {said}{glue}{post})"), w.core(
                ["count", "*"], full
            )
        return w.pick(f"({SHOW} (all |the |){said}{glue}{post}|{said}{glue}{post})"), w.core(
            labels(w, entity), full
        )
    if draw < 0.76:
        letters: list[Piece] = ["left", f.token, "1"]
        if w.chance(0.3):
            text = w.pick(
                f"({SHOW} the (initial|first letter) of (each|every) {noun}'s {words}|{SHOW} the first letter "
                f"of the {words} of (each|all) {said})"
            )
            if "each" in text or ("every" in text and conditions):
                raise Unfit("a plural for one") if conditions else None or Unfit("odd words")
            return text, w.core(letters, where)
        text = w.pick(
            f"(number of {said} (by|per|for each) (first letter|initial letter|initial) of (the |their |"
            f"){words}|how many {said} (are there |)(per|for each) (initial|first letter) of the {words}|"
            f"count (the |){said} by the first letter of (the |their |){words})"
        )
        order: list[Piece] = []
        if w.chance(0.4):
            text, order = (
                text + w.pick("(, alphabetically|, in alphabetical order|, sorted by letter)"),
                [*letters, "asc"],
            )
        return text, w.core([*letters, "count", "*"], where, group=letters, order=order or None)
    if draw < 0.84:
        case = w.rng.choice(("lower", "length"))
        text = w.pick(
            f"({SHOW} the {plural(words)} of (all |the |){said} in (lower case|lowercase|small letters)|"
            f"{plural(words)} of {said}, (in lower case|lowercased))"
            if case == "lower"
            else f"({SHOW} the length of the {words} of (each|every) {noun}|{SHOW} (all |the |){said} (with|and)"
            f" (the length|the number of characters|number of characters) of their {words})"
        )
        if case == "lower":
            return text, w.core(["lower", f.token], where)
        if conditions and said not in text:
            raise Unfit("a condition unsaid")
        return text, w.core([*dict.fromkeys([*labels(w, entity)]), "length", f.token], where)
    if draw < 0.93:
        cell = str(w.rng.choice(f.samples))
        tail = w.rng.choice((cell[-1], cell[-2:], cell.split()[-1]))
        if not tail.isalpha():
            raise Unfit("no end")
        shown, token = w.literal(tail.lower() if len(tail) < 3 else tail)
        quoted = w.rng.choice(
            (
                f"'{shown}'",
                f'"{shown}"',
                shown if len(tail) > 2 else f"the letter {shown}" if len(tail) == 1 else f"'{shown}'",
            )
        )
        post = w.pick(
            f"(whose {words} ends (with|in)|with {article(words)} (ending|that ends) (in|with)) {quoted}"
        )
        full = [*where, *(["and"] if where else []), f.token, "ends", token]
        if "or" in where:
            raise Unfit("two ways to read")
        glue = " and " if conditions and conditions[0].post and not conditions[0].pre else " "
        if w.chance(0.4):
            return w.pick(
                f"(how many {said}{glue}{post} are there|number of {said}{glue}{post}|count (the |){said}{glue}{post})"
            ), w.core(["count", "*"], full)
        return w.pick(f"({SHOW} (all |the |){said}{glue}{post}|{said}{glue}{post})"), w.core(
            labels(w, entity), full
        )
    word = w.rng.choice(("avg", "max", "min"))
    text = w.pick(
        f"({START} the { {'avg': 'average', 'max': 'maximum', 'min': 'minimum'}[word] } length of (the "
        f"|){plural(words)} of (all |the |){said}|{ {'avg': 'average', 'max': 'longest', 'min': 'shortest'}[word] } "
        f"{words} length (of|for|among) {said})"
    )
    return text, w.core([word, "length", f.token], where)


def _full_names(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: _names(e) is not None)
    both = _names(entity)
    if both is None:
        raise Unfit("no names")
    first, last = both
    full: list[Piece] = ["concat", first.token, last.token]
    conditions = w.conditions(entity, w.rng.choices((0, 1), (1, 1.5))[0])
    if any({id(first), id(last)} & c.fields for c in conditions):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, conditions)
    name = w.pick("(full name|full name|complete name)")
    draw = w.rng.random()
    others = [f for f in entity.fields if f.role in ("category", "measure", "date", "text") and f not in both]
    if draw < 0.45:
        text = w.pick(
            f"({SHOW} the {name}s of (all |the |){said}|{name}s of {said}|{SHOW} the (first and last name|"
            f"first name and last name) of (all |the |){said} (in one column|combined into one|joined as "
            "one column)|"
            f"{SHOW} (all |the |){said} with their {name}|what are the {name}s of (the |){said})"
        )
        return text, w.core(full, where)
    if draw < 0.75 and others:
        f = w.rng.choice(others)
        text = w.pick(
            f"({SHOW} the {name} and (the |){w.words(f)} of (all |the |each of the |){said}|{SHOW} (the "
            f"|){name}s and {plural(w.words(f))} of {said}|{SHOW} (all |){said}: {name} and {w.words(f)})"
        )
        return text, w.core([*full, f.token], where)
    links = [x for x in entity.children if not x.child.verbal]
    if links and draw < 0.9 and not conditions:
        child = w.rng.choice(links).child
        w.required |= {child.place}
        things = plural(w.noun(child))
        text = w.pick(
            f"({SHOW} the {name} of each {w.noun(entity)} and (the|their) number of {things}|{name} and "
            f"number of {things} (per|of each) {w.noun(entity)})"
        )
        if entity.key is None:
            raise Unfit("no key")
        return text, w.core([*full, "count", "*"], where, group=[entity.key.token])
    measures = numeric(entity)
    f = w.any_of(measures)
    text = w.pick(f"({ASK} the {name} of the {w.noun(entity)} with the highest {w.words(f)})")
    if conditions:
        raise Unfit("a condition unsaid")
    return text, w.core(full, where, order=[f.token, "desc"], limit="1")


def _rounded(w: Writer) -> tuple[str, list[Piece]]:
    entity = w.entity(lambda e: bool(numeric(e)))
    f = w.rng.choice(numeric(entity))
    places, said_places = w.rng.choice(
        (("2", "two decimals"), ("2", "two decimal places"), ("2", "2 decimals"), ("2", "2 decimal places"),
         ("1", "one decimal"), ("1", "one decimal place"),
         ("0", "whole numbers"), ("0", "the nearest integer"), ("0", "a whole number"), ("3", "three decimals"))
    )  # fmt: skip
    said_places = w.pick(f"(rounded to|rounded to|, rounded to) {said_places}")
    conditions = w.conditions(entity, w.rng.choices((0, 1), (2, 1))[0])
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, conditions)
    words = w.words(f)
    if w.chance(0.7):
        word, adjective = aggregate_of(w, not NOT_ADDITIVE.search(f.words))
        value: list[Piece] = ["round", word, f.token, places]
        if w.chance(0.55):
            group = w.group(entity)
            apart(w, group, entity, conditions)
            of = f" of {said}" if conditions or w.chance(0.5) else ""
            text = w.pick(
                f"({START} the {adjective} {words}{of} (per|by|for each) {group.noun} {said_places}|{adjective} "
                f"{words}{of} (per|by) {group.noun} {said_places}|{SHOW} (the |){group.nouns} (with|and) their "
                f"{adjective} {words}{of} {said_places})"
            )
            return text.replace(" ,", ","), w.core([*group.items, *value], where, group=group.keys)
        text = w.pick(
            f"({START} the {adjective} {words} (of|for|across) (all |the |){said} {said_places}|{START} "
            f"the {adjective} {words} of {said} {said_places}|{adjective} {words} of {said} {said_places})"
        )
        return text.replace(" ,", ","), w.core(value, where)
    if not entity.label or not any(isinstance(s, float) and s != int(s) for s in f.samples):
        raise Unfit("nothing to round")
    if places not in ("0", "1"):
        places, said_places = (
            "0",
            w.pick("(rounded to whole numbers|rounded to the nearest integer|, rounded to full units)"),
        )
    text = w.pick(
        f"({SHOW} (all |the |){said} (with|and) their {words} {said_places}|{SHOW} the {words} of (all "
        f"|the |each of the |){said} {said_places})"
    )
    items = labels(w, entity) if f"their {words}" in text else []
    return text.replace(" ,", ","), w.core([*items, "round", f.token, places], where)


def distinct_counts(w: Writer) -> tuple[str, list[Piece]]:
    """How many different parents or values the rows have, overall or per group."""
    entity = w.entity(lambda e: bool(e.parents) and e.rows > 10)
    links = [x for x in entity.parents if not x.parent.verbal]
    if not links:
        raise Unfit("no parent")
    link = w.rng.choice(links)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (1, 2))[0])
    if any(link.parent.place in c.tables for c in conditions):
        raise Unfit("the same parent twice")
    said, where = w.subject(entity, conditions)
    parents = plural(role_of(w, link) or w.noun(link.parent))
    unique = w.pick("(different|distinct|unique)")
    values = [f for f in entity.having("category") if not any(id(f) in c.fields for c in conditions)]
    item: list[Piece] = ["count", "distinct", link.column.token]
    if values and w.chance(0.25):
        f = w.rng.choice(values)
        parents, item = plural(w.words(f)), ["count", "distinct", f.token]
        fixed = f
    else:
        fixed = link.column
    if w.chance(0.55):
        group = w.group(entity)
        apart(w, group, entity, conditions)
        if link.parent.place in group.tables or group.field is fixed:
            raise Unfit("grouped by what is counted")
        of = f" {w.pick('(in|among|of|with)')} {said}" if conditions or w.chance(0.3) else ""
        if w.chance(0.25):
            text = w.pick(
                f"((which|what) {group.noun} has the (most|highest number of) {unique} {parents}{of}|{group.noun} "
                f"with the most {unique} {parents}{of})"
            )
            return text, w.core(group.items, where, group=group.keys, order=[*item, "desc"], limit="1")
        text = w.pick(
            f"(number of {unique} {parents}{of} (per|by|for each|in each) {group.noun}|how many {unique} "
            f"{parents}{of} (are there |)(per|for each|in each) {group.noun}|{unique} {parents} (per|by)"
            f" {group.noun}{of}|{SHOW} (the |){group.nouns} (with|and) (their|the) number of {unique} {parents}{of})"
        )
        return text, w.core([*group.items, *item], where, group=group.keys)
    if people_words(link.parent.noun) and fixed is link.column:
        verb = (
            "placed"
            if "order" in entity.noun
            else "made"
            if re.search("payment|booking|donation|purchase", entity.noun)
            else "had"
        )
        text = w.pick(
            f"(how many {unique} {parents} (have |){verb} {said}|how many {unique} {parents} (are there "
            f"|)(in|among|behind) {said}|number of {unique} {parents} (in|with|who {verb}) {said})"
        )
    else:
        text = w.pick(
            f"(how many {unique} {parents} (are there |appear |)(in|among|across) {said}|number of {unique} "
            f"{parents} (in|across|among) {said}|count (the |){unique} {parents} (in|among|across) {said}|"
            f"how many {unique} {parents} do {said} (have|cover))"
        )
    return text, w.core(item, where)


def havings(w: Writer) -> tuple[str, list[Piece]]:
    """Groups that pass two tests at once, or one on a sum or an average; and rows by EXISTS."""
    if w.chance(0.25):
        return _existing(w)
    entity = w.entity(lambda e: bool(e.parents or e.having("category")) and e.rows > 15)
    group = w.group(entity)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (3, 1))[0])
    said, where = w.subject(entity, conditions)
    apart(w, group, entity, conditions)
    measures = numeric(entity)
    f = w.any_of(measures)
    additive = not NOT_ADDITIVE.search(f.words)
    word, adjective = aggregate_of(w, additive)
    per = max(entity.rows // 12, 1)
    value = w.threshold(f)
    if word == "sum":
        value = round(value * w.rng.choice((2, 3, 5, max(per // 2, 2))), -len(str(int(abs(value) or 1))) + 1)
        value = int(value)
    number, token = w.number(value, f)
    up = w.chance(0.7)
    more = w.pick("(over|above|more than|greater than|at least)" if up else "(under|below|less than)")
    op = ">=" if more == "at least" else ">" if up else "<"
    second: list[Piece] = [word, f.token, op, token]
    phrase = f"{adjective} {w.words(f)}".replace("total total", "total")
    if w.chance(0.65):
        count = w.rng.choice((2, 3, 4, 5, 5, 10))
        shown, limit = (
            w.literal(str(count)) if w.chance(0.6) else (spell_out(count) or str(count), str(count))
        )
        op1, many = w.rng.choice(
            ((">", "more than"), (">=", "at least"), ("<", "fewer than"), (">=", "no fewer than"))
        )
        glue = w.pick("(and|and|but)") if up == (op1 != "<") else "but"
        text = w.pick(
            f"({SHOW} (the |){group.nouns} (with|having|that have) {many} {shown} {said} {glue} {article(phrase)} "
            f"{more} {number}|(which|what) {group.nouns} have {many} {shown} {said} {glue} {article(phrase)} "
            f"(of |){more} {number}|"
            f"{group.nouns} with {many} {shown} {said} {glue} {phrase} {more} {number})"
        )
        having: list[Piece] = ["count", "*", op1, limit, "and", *second]
    else:
        of = f" of {said}" if conditions or w.chance(0.6) else ""
        text = w.pick(
            f"({SHOW} (the |all |){group.nouns} whose {phrase}{of} is {more} {number}|(which|what) {group.nouns} "
            f"have {article(phrase)}{of} {more} {number}|{group.nouns} with {article(phrase)}{of} {more} "
            f"{number}|{group.nouns} where the {phrase}{of} is {more} {number})"
        )
        having = second
    items: list[Piece] = list(group.items)
    if w.chance(0.2):
        text += w.pick(
            f"(, and show (that|the) {adjective} {w.words(f)}|, with the {phrase}|, together with that {w.words(f)})"
        )
        items += [word, f.token]
    return text, w.core(items, where, group=group.keys, having=having)


def _existing(w: Writer) -> tuple[str, list[Piece]]:
    entity, link = having_children(w)
    child = link.child
    inside = w.conditions(child, 1)
    if any(entity.place in c.tables for c in inside) or any(len(c.tables) > 1 for c in inside):
        raise Unfit("back to itself")
    w.required = set()
    one, inner = w.subject(child, inside, noun=child.noun)
    if re.search(r"\b(are|have|were|that|which)\b", one):
        raise Unfit("a plural for one")
    w.required = set()
    nouns = plural(w.noun(entity))
    w.subject(entity, [])
    sub = bare_core(["*"], (), [link.column.token, "=", "outer", link.target.token, "and", *inner])
    who = "who" if people_words(entity.noun) else "that"
    post = w.pick(
        f"({who} have at least one {one}|with at least one {one}|having one or more {one}|for which "
        f"there is at least one {one}|for whom there is {article(one)})"
    )
    if "whom" in post and who != "who":
        post = post.replace("whom", "which")
    if "one or more" in post:
        post = f"with at least one {one}"
    test: list[Piece] = ["exists", "[", *sub, "]"]
    if w.chance(0.4):
        text = w.pick(
            f"(how many {nouns} are there {post}|number of {nouns} {post}|count (the |){nouns} {post}|how "
            f"many {nouns} have at least one {one})"
        )
        return text, w.core(["count", "*"], test)
    return w.pick(
        f"({SHOW} (all |the |){nouns} {post}|{nouns} {post}|(which|what) {nouns} have at least one {one})"
    ), w.core(labels(w, entity), test)


def _sorted_by(w: Writer, f: Field, ways: str) -> str:
    return f"{w.words(f)} {w.pick(ways)}".strip()


def orderings(w: Writer) -> tuple[str, list[Piece]]:
    """Lists sorted by more than one column, with limits and pages."""
    entity = w.entity(lambda e: bool(e.label) and len(e.having("category", "measure", "date", "year")) > 1)
    fields = [*entity.having("category"), *numeric(entity), *entity.having("date", "year")]
    fields = [f for f in fields if f not in entity.label]
    if len(fields) < 2:
        raise Unfit("too few columns")
    first, second = w.rng.sample(fields, 2)
    conditions = w.conditions(entity, w.rng.choices((0, 1), (1.2, 1))[0])
    if any({id(first), id(second)} & c.fields for c in conditions):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, conditions)
    order: list[Piece] = []
    parts: list[str] = []
    for f in (first, second):
        down = w.chance(0.4)
        order += [f.token, "desc" if down else "asc"]
        if f.role == "date":
            parts.append(
                _sorted_by(
                    w,
                    f,
                    "(descending|from newest to oldest|newest first|latest first)"
                    if down
                    else "(ascending|oldest first|)",
                )
            )
        elif f.role == "category":
            parts.append(f"{w.words(f)}{' descending' if down else w.pick('(| alphabetically| ascending|)')}")
        else:
            parts.append(
                _sorted_by(
                    w,
                    f,
                    "(descending|from high to low|highest first)"
                    if down
                    else "(ascending|from low to high|lowest first|)",
                )
            )
    if w.chance(0.25):
        name = entity.label[0]
        parts[1], order[2:] = f"{name.words}", [name.token, "asc"]
        second = name
    joined = w.pick(
        f"({parts[0]} and then (by |){parts[1]}|{parts[0]}, then (by |){parts[1]}|{parts[0]} and, within "
        f"the same {first.words}, by {parts[1]}|{parts[0]} and {parts[1]})"
    )
    items = labels(w, entity)
    shown = f"{SHOW} (all |the |){said}"
    draw = w.rng.random()
    if draw < 0.4:
        more = [f for f in (first, second) if f.token not in items]
        names = join_words([w.words(f) for f in more], w.rng)
        shown = f"{SHOW} (all |the |){said} with their {names}" if more else shown
        items += [f.token for f in more]
    text = w.pick(f"({shown}(, | )(sorted|ordered) by {joined}|{shown}, (sort by|order by) {joined})")
    form = w.core(items, where, order=order)
    if draw > 0.8:
        _, word, token = w.limit()
        text = w.pick(
            f"(the first {word} {said} (when |)(sorted|ordered) by {joined}|{SHOW} the first {word} {said} "
            f"(sorted|ordered) by {joined})"
        )
        form = [*w.core(labels(w, entity), where, order=order), "limit", token or "1"]
        if w.chance(0.35):
            page, size = w.rng.choice((2, 2, 3)), w.rng.choice((5, 10, 20))
            if size * (page - 1) > 20:
                raise Unfit("no such page")
            w.cells.pop()
            text = w.pick(
                f"((show|give me|list) page {page} of (the |){said} (sorted|ordered) by {joined}, {size} (per "
                f"page|rows per page|at a time)|page {page} of {said} ⟦{size} per page⟧, sorted by {joined})"
            )
            if isinstance(token, str):
                raise Unfit("a page needs a literal")
            form = [
                *w.core(labels(w, entity), where, order=order),
                "limit",
                str(size),
                "offset",
                str(size * (page - 1)),
            ]
    return text, form
