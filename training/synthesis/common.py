"""What the composed families share: picking tables, groups and states, and putting cores together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlgen.training.synthesis.subjects import Entity, Field, Link
from sqlgen.training.synthesis.wording import article, people_words, plural
from sqlgen.training.synthesis.writer import PLACES, Condition, Group, Piece, Unfit, Writer

__all__ = ["ASK", "KEY_TAIL", "ORDINALS", "SHOW", "State", "aggregate_of", "apart", "bare_core", "having_children", "labels",
           "main_condition", "numeric", "role_of", "state", "state_field", "states", "that", "verb_of"]  # fmt: skip

SHOW = (
    "(show|list|give|display|find|return|get|show me|give me|print|please list|i want|i need to see|can you show|pull|fetch|"
    "list out|return a list of|output|let me see)"
)
ASK = "(what is|what's|show|show me|give me|find|tell me|get|return|i need|)"
ORDINALS = ("first", "second", "third", "fourth", "fifth")
KEY_TAIL = re.compile(r" (id|code|key|number|no|nbr|ref)$")
_ADJECTIVES = re.compile(r"\b(status|state of|stage|gender|sex|condition|outcome|result)$")
_KINDS = re.compile(r"\b(type|kind|grade|line|segment|class|role|colour|color)$")
_DEGREES = re.compile(r"\b(priority|severity|level|importance|risk)$")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z]*(?:[ -][A-Za-z]+){0,2}")
_DID: tuple[tuple[str, str, str], ...] = (
    (r"^(purchase )?order$|purchase$|sale$", "placed (an order|at least one order)", "(ordered|bought) (anything|something)"),
    (r"payment$", "made (a|at least one) payment", "paid (anything|something)"),
    (r"(review|rating)$", "written (a|at least one) review", "reviewed (anything|something)"),
    (r"(booking|reservation)$", "made (a|at least one) booking", "booked (anything|something)"),
    (r"donation$", "made (a|at least one) donation", "donated (anything|something)"),
    (r"appointment$", "had (an|at least one) appointment", "had an appointment"),
)  # fmt: skip


@dataclass(slots=True)
class State:
    """One value of a column: a noun phrase in the plural, a predicate and a condition."""

    noun: str
    pred: str
    form: list[Piece]
    text: str


def labels(w: Writer, entity: Entity) -> list[Piece]:
    """The columns that name a row."""
    return [f.token for f in w.label(entity)]


def numeric(entity: Entity) -> list[Field]:
    """Measures that say something when compared or added."""
    return [
        f
        for f in entity.having("measure")
        if not re.search(r"latitude|longitude|^lat$|^long$|number$|^floor$|code", f.words)
    ]


def bare_core(
    items: Iterable[Piece], source: Iterable[Piece] = (), where: Iterable[Piece] = (), *, group: Iterable[Piece] = (),
    having: Iterable[Piece] = (), order: Iterable[Piece] = (), limit: Iterable[Piece] = (), distinct: bool = False,
) -> list[Piece]:  # fmt: skip
    """A core whose joins the caller answers for."""
    form: list[Piece] = ["select", *(["distinct"] if distinct else []), *items]
    for word, part in (("from", source), ("where", where), ("group", group), ("having", having), ("order", order),
                       ("limit", limit)):  # fmt: skip
        found = list(part)
        form += [word, *found] if found else []
    return form


def having_children(w: Writer, test: Callable[[Link], bool] = lambda _: True) -> tuple[Entity, Link]:
    """A named table, and a link of one that refers to it as what it is."""

    def fit(link: Link) -> bool:
        return not link.child.verbal and link.child.rows > 5 and not role_of(w, link) and test(link)

    entity = w.entity(lambda e: bool(e.label) and any(fit(x) for x in e.children))
    return entity, w.rng.choice([x for x in entity.children if fit(x)])


def role_of(w: Writer, link: Link) -> str:
    """What a key calls the row it refers to, where that isn't the row's own noun: "reviewer" of a developer."""
    words = KEY_TAIL.sub("", link.column.words)
    if not w.domain.made or words == link.parent.noun or len(words) < 3:
        return ""
    return words


def apart(w: Writer, group: Group, entity: Entity, conditions: Sequence[Condition]) -> None:
    """Take the tables of ``group``; Unfit when a condition already speaks of it."""
    if group.field is not None and (group.field in entity.label or group.field.role == "bool"):
        raise Unfit("grouped by a name or a flag")
    for condition in conditions:
        if condition.tables & group.tables - {entity.place}:
            raise Unfit("the same parent twice")
        if group.field is not None and id(group.field) in condition.fields:
            raise Unfit("grouped by what is fixed")
    w.required |= group.tables


def state_field(w: Writer, entity: Entity, *, exact: bool = False) -> Field:
    """A column of few values that rows are told apart by; ``exact``: its values are adjectives."""
    found = [
        f
        for f in entity.having("category")
        if 2 <= f.distinct <= 14 and f not in entity.label and _PLAIN.fullmatch(str(f.samples[0]))
    ]
    adjectives = [f for f in found if _ADJECTIVES.search(f.words)]
    if exact or (adjectives and w.chance(0.55)):
        found = adjectives
    return w.any_of(found)


def state(w: Writer, entity: Entity, f: Field, text: str, nouns: str) -> State:
    """Rows of ``entity`` whose ``f`` is ``text``: "paid orders", "are paid"."""
    if not _PLAIN.fullmatch(text) or not 1 < len(text) < 22:
        raise Unfit("no plain word")
    value, token = w.named(f, text)
    form: list[Piece] = [f.token, "=", token]
    words = f.words
    loose = re.match(r"(?i)(in|on|no|out|past|under) ", text)
    if _ADJECTIVES.search(words) and (text.islower() or re.search("status|stage", words)):
        if loose:
            noun, pred = f"{nouns} {value}", f"are {value}"
        else:
            noun, pred = f"{value} {nouns}", f"are {value}"
    elif _DEGREES.search(words) and len(words.split()) == 1 and not loose:
        noun = f"{value} {words} {nouns}" if words != "risk" else f"{value}-risk {nouns}"
        pred = f"have {value} {words}"
    elif _KINDS.search(words) and not loose:
        noun = w.pick(f"({value} {nouns}|{nouns} of {words} {value})")
        pred = f"(are of {words} {value}|have {words} {value})"
    elif PLACES.search(words):
        head = w.pick("(in|from)") if people_words(entity.noun) else "in"
        noun, pred = f"{nouns} {head} {value}", f"are {head} {value}"
    elif re.search(r"\b(method|channel|device|source)$", words):
        noun, pred = f"{nouns} (via|by|with {words}) {value}", f"have {article(words)} of {value}"
    else:
        noun, pred = f"{nouns} with {words} {value}", f"have {words} {value}"
    return State(w.pick(noun), w.pick(pred), form, text)


def states(w: Writer, entity: Entity, f: Field, count: int, nouns: str) -> list[State]:
    """``count`` different values of ``f``."""
    texts = sorted({str(s) for s in f.samples})
    if len(texts) < count:
        raise Unfit("too few values")
    return [state(w, entity, f, text, nouns) for text in w.rng.sample(texts, count)]


def main_condition(w: Writer, entity: Entity, avoid: Sequence[Condition] = ()) -> Condition:
    """A condition on the table's own columns that comes with a predicate."""
    condition = w.own_condition(entity)
    if any(condition.fields & other.fields for other in avoid):
        raise Unfit("the same column twice")
    if not condition.pred or ("not " in condition.pred and w.chance(0.6)):
        raise Unfit("no predicate")
    return condition


def that(noun: str, pred: str) -> str:
    """ "that have ..." or, of people, "who have ..."."""
    return f"{'who' if people_words(noun) else 'that'} {pred}"


def verb_of(w: Writer, entity: Entity, child: Entity) -> tuple[str, str]:
    """What having a row of ``child`` is called, after "have" and after "have not": done, not done."""
    noun = child.noun
    if people_words(entity.noun):
        for pattern, done, bare in _DID:
            if re.search(pattern, noun):
                return w.pick(done), w.pick(bare.replace("something", "anything"))
    return w.pick(
        f"({article(noun)}|at least one {noun}|one or more {plural(noun)})"
    ), f"had any {plural(noun)}"


def aggregate_of(w: Writer, additive: bool, *, extremes: bool = False) -> tuple[str, str]:
    """(keyword, adjective) of an aggregate that suits a column."""
    words = ["avg", "avg", *(["sum"] * 3 if additive else []), *(["max", "min"] if extremes else [])]
    word = w.rng.choice(words)
    adjective = {"sum": "(total|total|overall|combined)", "avg": "(average|average|mean)",
                 "max": "(highest|maximum|largest)", "min": "(lowest|minimum|smallest)"}[word]  # fmt: skip
    return word, w.pick(adjective)
