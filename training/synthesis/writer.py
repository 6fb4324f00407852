"""What families of questions are written with: nouns, conditions, groups, metrics, periods."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TypeAlias

from sqlgen.sql.form import FormToken, needed_tables
from sqlgen.training.synthesis.subjects import MONEY, NOT_ADDITIVE, Domain, Entity, Field, Link
from sqlgen.training.synthesis.wording import (
    article,
    expand,
    many,
    mark,
    number_text,
    people_words,
    period_text,
    plural,
    relative_period,
    say,
    spell_out,
    unmark,
)

__all__ = ["DATE_VERBS", "LIST", "PLACES", "START", "SUPERLATIVE", "UNITS",
           "Condition", "Draft", "Group", "Metric", "Piece", "Unfit", "Writer"]  # fmt: skip

Piece: TypeAlias = "FormToken | tuple[str, str, int]"


class Unfit(ValueError):
    """The database has nothing for this question, or the wording came out badly."""


@dataclass(slots=True)
class Draft:
    """A question with marked literals, its form with ("lit", "", k) in their places.

    ``cells[k]`` is (table key, column name, cell) when literal k is a cell, else None. ``flat``
    says that the answer lists rows, ``today`` what relative periods refer to.
    """

    text: str
    form: list[Piece]
    cells: list[tuple[str, str, str] | None]
    family: str
    today: date | None
    joined: bool
    hints: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Condition:
    post: str
    pred: str
    form: list[Piece]
    tables: set[int]
    pre: str = ""
    fields: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Group:
    noun: str
    nouns: str
    items: list[Piece]
    keys: list[Piece]
    tables: set[int]
    entity: Entity | None = None
    field: Field | None = None


@dataclass(slots=True)
class Metric:
    phrase: str
    form: list[Piece]
    tables: set[int]
    counting: bool
    high: str = "highest"
    low: str = "lowest"


_COMPARE: tuple[tuple[str, str], ...] = (
    (">", "(more than|over|above|greater than|higher than|exceeding|larger than|>|in excess of)"),
    (">=", "(at least|no less than|>=|a minimum of|not below)"),
    ("<", "(less than|under|below|lower than|smaller than|<)"),
    ("<=", "(at most|up to|no more than|<=|not exceeding|a maximum of)"),
)
_OWN_WORDS: tuple[tuple[str, str, str], ...] = (
    (r"\b(price|cost|fee)$", "(that cost|costing|priced at) {c}", "cost {c}"),
    (r"^age$", "aged {c}", "are {c} years old"),
    (r"^(salary|income|wage)$", "(who earn|earning|making|paid|with pay) {c}", "(earn|make) {c}"),
    (r"\bcapacity$", "that (can |)hold {c}", "can hold {c}"),
    (r"\b(weight)$", "weighing {c}", "weigh {c}"),
    (r"\b(duration|length|minutes)$", "lasting {c}", "last {c}"),
)
SUPERLATIVE: tuple[tuple[str, str, str], ...] = (
    (r"\b(price|cost|fee|rent|nightly rate|charge)$", "(most expensive|priciest|costliest)", "(cheapest|least expensive|lowest-priced)"),
    (r"^age$", "oldest", "youngest"),
    (r"^(birth date|date of birth|birthday|birthdate)$", "youngest", "oldest"),
    (r"^salary$", "(highest paid|best paid|top-earning|highest-earning)", "(lowest paid|worst paid)"),
    (r"\b(duration|length|distance|minutes|hours|nights)$", "longest", "shortest"),
    (r"\bweight$", "heaviest", "lightest"),
    (r"^height$", "tallest", "shortest"),
    (r"\b(area|size|capacity)$", "(largest|biggest)", "smallest"),
    (r"^population$", "(most populous|largest|most populated)", "(least populous|smallest)"),
    (r"\b(amount|total|order total|total price|value)$", "(biggest|largest|highest)", "smallest"),
    (r"\b(rating|score|satisfaction score)$", "(best rated|top rated|highest rated)", "(worst rated|lowest rated)"),
)  # fmt: skip
DATE_VERBS: tuple[tuple[str, str], ...] = (
    (r"order(ed)? (date|on|at|day)|^orderdate", "(placed|made|ordered|created|received)"),
    (r"hire", "(hired|taken on|recruited|who joined|who started|employed)"),
    (r"birth|^dob", "born"),
    (r"sign(up|ed)|regist", "(who signed up|who registered|registered)"),
    (r"joined|membership", "(who joined|joined)"),
    (r"creat", "created"),
    (r"ship", "shipped"),
    (r"deliver", "delivered"),
    (r"^invoice|issue", "(issued|sent out|written)"),
    (r"payment|paid", "(made|paid|received)"),
    (r"start|begin|commence", "(starting|that started|that began|beginning)"),
    (r"end( date)?$|finish|complet", "(ending|that ended|that finished)"),
    (r"open", "opened"),
    (r"clos", "closed"),
    (r"releas|launch", "(released|launched)"),
    (r"found", "(founded|established)"),
    (r"due", "due"),
    (r"publish", "published"),
    (r"admi(ssion|t)", "admitted"),
    (r"purchas|bought", "(purchased|bought)"),
    (r"rent", "rented"),
    (r"appoint|event|exam|trip|visit", "(that took place|held|scheduled|happening)"),
    (r"return", "returned"),
    (r"review|rated", "(written|posted|submitted)"),
    (r"donat", "(made|received|given)"),
    (r"listed", "listed"),
    (r"report", "reported"),
    (r"install", "installed"),
    (r"check in|arriv", "(starting|with arrival)"),
    (r"trade|transaction", "(made|executed|booked)"),
    (r"enrol", "enrolled"),
    (r"prescri", "(prescribed|written)"),
    (r"approv", "approved"),
)
PLACES = re.compile(
    r"\b(city|country|state|region|county|town|hometown|location|province|district|continent|destination city|area)\b"
)
UNITS = {
    "by_month": ("(month|calendar month)", "monthly"), "by_quarter": ("quarter", "quarterly"), "year": ("year", "(yearly|annual)"),
    "by_week": ("week", "weekly"), "by_day": ("day", "daily"), "weekday": ("(day of the week|weekday|day of week)", ""),
    "month": ("month of the year", ""),
}  # fmt: skip
START = "(what is|what's|show|show me|give me|find|tell me|get|calculate|compute|return|i need|)"
LIST = (
    "(show|list|give|display|find|return|get|show me|give me|tell me|list out|print|what are|please "
    "list|i want|i need to see|can you show|pull|fetch)"
)


_COINED = (
    "premium key strategic dormant loyal priority flagship at-risk VIP core legacy qualified standard delinquent hot cold "
    "engaged lapsed tier-one high-value low-touch critical regular special gold silver platinum trusted healthy struggling "
    "running open current live ongoing pending settled "
    "mature emerging heavy light top-tier bottom-tier eligible flagged green red seasonal prime"
).split()


_FIGURES = tuple(
    "GMV,KPI-1,throughput,volume,footprint,exposure,turnover,uptake,intake,burn,yield,TCV,run-rate,reach,effort,wallet,"
    "net value,book value,load index,activity score,total exposure,gross volume,unit economics".split(",")
)


class Writer:
    """Draws the parts of one question; ``coining`` is the rate of names whose meaning stands behind it."""

    coining = 0.13

    def __init__(self, domain: Domain, rng: random.Random) -> None:
        self.domain = domain
        self.rng = rng
        self.cells: list[tuple[str, str, str] | None] = []
        self.today: date | None = None
        self.required: set[int] = set()
        self.hints: list[str] = []
        self.coins: list[str] = []

    # -- small parts -----------------------------------------------------------------------------

    def pick(self, template: str) -> str:
        return expand(template, self.rng)

    def chance(self, rate: float) -> bool:
        return self.rng.random() < rate

    def literal(self, text: str, cell: tuple[str, str, str] | None = None) -> tuple[str, Piece]:
        self.cells.append(cell)
        number = len(self.cells) - 1
        return mark(number, text), ("lit", "", number)

    def entity(self, test: Callable[[Entity], bool]) -> Entity:
        fit = [e for e in self.domain.entities if e.rows > 1 and not e.verbal and test(e)]
        if not fit:
            raise Unfit("no such table")
        weights = [1 + 0.7 * len(e.parents) + 0.3 * len(e.children) for e in fit]
        return self.rng.choices(fit, weights)[0]

    def any_of(self, fields: list[Field]) -> Field:
        if not fields:
            raise Unfit("no such column")
        return self.rng.choice(fields)

    def any_of_entities(self, entities: list[Entity]) -> Entity:
        if not entities:
            raise Unfit("no such table")
        return self.rng.choice(entities)

    def noun(self, entity: Entity) -> str:
        return say(entity.noun, self.rng)

    def cell(self, f: Field) -> str:
        text = str(self.rng.choice(f.samples))
        if not text.strip() or len(text) > 40 or any(c in text for c in "\ue000\n\r\t()|{}"):
            raise Unfit("no cell to name")
        return text

    def named(self, f: Field, text: str) -> tuple[str, Piece]:
        table = self.domain.catalog.tables[f.table]
        said = text
        if self.chance(0.12):
            said = text.lower()
        shown, token = self.literal(said, (table.key, f.column.name, text))
        if self.chance(0.12):
            quote = self.rng.choice('"\'"')
            shown = f"{quote}{shown}{quote}"
        return shown, token

    def words(self, f: Field, owner: bool = False) -> str:
        """What a column is called: with its table's noun where ``owner``."""
        said = say(f.words, self.rng)
        entity = self.domain.entities[f.table]
        if owner and not said.startswith(entity.noun):
            return f"{say(entity.noun, self.rng, 0.1)} {said}"
        return said

    def label(self, entity: Entity) -> list[Field]:
        if entity.label:
            return entity.label
        if entity.key and self.chance(0.7):
            return [entity.key]
        raise Unfit("a table without a name")

    def threshold(self, f: Field) -> float:
        numbers = sorted(s for s in f.samples if isinstance(s, int | float))
        if len(numbers) < 2:
            raise Unfit("no numbers")
        value = numbers[self.rng.randrange(len(numbers) // 8, max(len(numbers) - len(numbers) // 8, 1))]
        if f.role == "year":
            return int(value)
        if isinstance(value, float) and abs(value) < 20:
            return round(value, 1)
        whole = round(value)
        if self.chance(0.75) and abs(whole) >= 20:
            step = 10 ** (len(str(abs(whole))) - 1)
            step = self.rng.choice((step, step // 2 or 1, step // 10 or 1))
            whole = round(whole / step) * step or whole
        return whole

    def number(self, value: float, f: Field | None = None, plain: bool = False) -> tuple[str, Piece]:
        shown, token = self.literal(
            number_text(value, self.rng, plain=plain or (f is not None and f.role == "year"))
        )
        if f is not None and MONEY.search(f.words) and not plain:
            draw = self.rng.random()
            shown = f"${shown}" if draw < 0.2 else f"{shown} (dollars|euros|USD)" if draw < 0.25 else shown
            shown = self.pick(shown) if "(" in shown else shown
        return shown, token

    # -- conditions ------------------------------------------------------------------------------

    def comparison(self, f: Field) -> tuple[str, list[Piece], bool]:
        """("more than 5", its form after the column, whether "with" must introduce it)."""
        if self.chance(0.12):
            a, b = sorted((self.threshold(f), self.threshold(f)))
            if a == b:
                raise Unfit("empty range")
            first, one = self.number(a, f, plain=True)
            second, two = self.number(b, f, plain=True)
            said = self.rng.choice(
                (
                    f"between {first} and {second}",
                    f"between {first} and {second}",
                    f"from {first} to {second}",
                )
            )
            return said, ["between", one, two], False
        value = self.threshold(f)
        shown, token = self.number(value, f)
        draw = self.rng.random()
        if draw < 0.1 and float(value).is_integer():
            return (
                self.rng.choice((f"of {shown}", f"equal to {shown}", f"of exactly {shown}")),
                ["=", token],
                False,
            )
        if draw < 0.2:
            return self.pick(f"{shown} or (more|higher|above)"), [">=", token], False
        if draw < 0.27:
            return self.pick(f"{shown} or (less|lower|below)"), ["<=", token], False
        op, words = self.rng.choices(_COMPARE, (4, 2, 3, 1))[0]
        return f"{self.pick(words)} {shown}", [op, token], False

    def about_number(self, f: Field, owner: str) -> tuple[str, str, list[Piece]]:
        """(phrase after a noun, predicate of a plural, form) for a number column."""
        said, body, _ = self.comparison(f)
        form: list[Piece] = [f.token, *body]
        words = self.words(f)
        if f.role == "year":
            value, token = self.number(self.threshold(f), f)
            op, head = self.rng.choice(
                (("=", "in"), ("=", "in"), ("=", "of"), (">", "after"), ("<", "before"), (">=", "since"))
            )
            form = [f.token, op, token]
            if f.words == "year":
                return f"{head} {value}", f"are {head if head != 'of' else 'from'} {value}", form
            return (
                f"with {words} {'of' if op == '=' else head} {value}",
                f"have {article(words)} {'of' if op == '=' else head} {value}",
                form,
            )
        if not owner and not said.startswith("of ") and self.chance(0.5):
            for pattern, post, pred in _OWN_WORDS:
                if re.search(pattern, f.words):
                    return self.pick(post).format(c=said), self.pick(pred).format(c=said), form
        if said.startswith("of "):
            return f"with {article(words)} {said}", f"have {article(words)} {said}", form
        post = self.pick(
            "(with {w} {c}|with {aw} {c}|with {aw} of {c}|with {w} {c}|whose {w} is {c}|where the {w} is "
            "{c}|having {w} {c}|that have {aw} {c}|"
            "where {w} {c}|{w} {c})"
        )
        if "exceed" in said or "maximum" in said or "minimum" in said or "excess" in said:
            post = "with {w} {c}"
        if many(words):
            post = post.replace(" is ", " are ")
        if re.match(r"(smaller|lower|higher|greater|larger|above|below|under|over|[<>])", said):
            post = post.replace("{aw} of {c}", "{aw} {c}")
        return (
            post.format(w=words, aw=article(words), c=said),
            self.pick("(have {aw} {c}|have {aw} of {c}|have {w} {c})").format(
                w=words, aw=article(words), c=said
            ),
            form,
        )

    def when(self, f: Field, *, plain: bool = False) -> tuple[str, list[Piece], bool]:
        """("in March 2024", form after the column, whether the period may stand before a noun)."""
        day = self.day(f)
        draw = self.rng.random()
        if draw < 0.2 and self.today is None and not re.search(r"birth|dob", f.words):
            said, self.today = relative_period(day, self.rng)
            the = said.startswith("the ")
            shown, token = self.literal(said.removeprefix("the "))
            if said in ("today", "yesterday"):
                return shown, ["=", token], False
            head = self.pick("(in|in|during|over|within)") if the else self.pick("(||in|during|from)")
            if not the and re.search(r"\d|two|three|four|five|six|ten|seven|nine|eight|twelve|eleven", said):
                head = self.pick("(in the|in the|over the|during the|within the)")
            if the and f"{said} ".startswith("the current"):
                head = "in"
            return f"{head} {'the ' if the else ''}{shown}".strip(), ["=", token], False
        unit = self.rng.choices(("year", "month", "quarter", "day", "half"), (10, 7, 4, 3, 1))[0]
        if draw < 0.32:
            other = self.day(f)
            first, last = sorted((day, other))
            if unit == "half" or period_text(first, unit, random.Random(0)) == period_text(
                last, unit, random.Random(0)
            ):
                raise Unfit("empty period")
            seed = self.rng.random()
            one, a = self.period(first, unit, random.Random(seed))
            two, b = self.period(last, unit, random.Random(seed))
            said = self.pick(
                f"(between {one} and {two}|between {one} and {two}|from {one} to {two}|from {one} through {two})"
            )
            return said, ["between", a, b], False
        shown, token = self.period(day, unit, self.rng)
        if draw < 0.68 or plain:
            head = "on" if unit == "day" else self.pick("(in|in|in|in|during|for|within|from)")
            return (
                f"{head} {shown}",
                ["=", token],
                unit in ("year", "month", "quarter") and "the " not in shown,
            )
        op, head = self.rng.choice(
            ((">=", "(since|from {p} on|from {p} onwards|starting from|starting in|as of|since the start of)"), (">=", "since"),
             ("<", "(before|prior to|earlier than|before)"), ("<", "before"),
             (">", "(after|later than|after)"), (">", "after"), ("<=", "(until|up to|through|no later than|by the end of)"))
        )  # fmt: skip
        head = self.pick(head)
        if "starting in" in head and unit == "day":
            head = "since"
        if unit == "day" and head in ("since the start of", "by the end of"):
            head = {"since the start of": "since", "by the end of": "up to"}[head]
        return head.format(p=shown) if "{p}" in head else f"{head} {shown}", [op, token], False

    def period(self, day: date, unit: str, rng: random.Random) -> tuple[str, Piece]:
        said = period_text(day, unit, rng)
        shown, token = self.literal(said.removeprefix("the "))
        return ("the " if said.startswith("the ") else "") + shown, token

    def day(self, f: Field) -> date:
        try:
            return date.fromisoformat(str(self.rng.choice(f.samples))[:10])
        except ValueError:
            raise Unfit("no date") from None

    def is_main_date(self, f: Field, entity: Entity) -> bool:
        dates = entity.having("date")
        return dates[0] is f or entity.noun.split()[-1] in f.words

    def about_date(self, f: Field, entity: Entity, *, plain: bool = False) -> Condition:
        said, body, before = self.when(f, plain=plain)
        form: list[Piece] = [f.token, *body]
        words = self.words(f)
        verb = next((v for pattern, v in DATE_VERBS if re.search(pattern, f.words)), "")
        verb = self.pick(verb) if verb else ""
        if verb.startswith("who ") and not people_words(entity.noun):
            verb = verb.removeprefix("who ")
            verb = "" if not verb.endswith("ed") else "that " + verb
        bare = re.sub(r"^(who|that) ", "", verb)
        pred = (
            f"were {bare} {said}"
            if bare and verb == bare and not bare.endswith("ing") and bare != "due"
            else (f"{bare} {said}" if verb != bare else f"have {article(words)} {said}")
        )
        if bare == "due":
            pred = f"are due {said}"
        condition = Condition("", pred, form, {entity.place}, fields={id(f)})
        if self.is_main_date(f, entity) and not f.words.startswith(("end", "due", "close")):
            draw = self.rng.random()
            if draw < 0.15 and before and said.startswith(("in ", "from ", "during ")):
                condition.pre = said.partition(" ")[2]
            elif verb and draw < 0.6:
                condition.post = f"{verb} {said}"
            elif (
                "birth" not in f.words
                and len(entity.having("date")) <= 3
                and draw < 0.85
                and self.eventful(entity)
            ):
                condition.post = said
        if not condition.post and not condition.pre:
            explicit = self.pick(
                "(with {w} {s}|with {aw} {s}|whose {w} is {s}|where the {w} is {s}|where {w} is {s}|by {w} {s})"
            )
            if not re.match(r"(in|on|before|after|between|prior|earlier|later|during|within) ", said):
                explicit = self.rng.choice(("with {w} {s}", "with {aw} {s}"))
            if verb and self.chance(0.5):
                explicit = "{v} {s}"
            condition.post = explicit.format(w=words, aw=article(words), s=said, v=verb)
        return condition

    def eventful(self, entity: Entity) -> bool:
        return not people_words(entity.noun) and bool(entity.parents)

    def about_cell(self, f: Field, entity: Entity) -> Condition:
        text = self.cell(f)
        words = self.words(f)
        condition = Condition("", "", [], {entity.place}, fields={id(f)})
        if self.chance(0.09) and f.distinct > 2:
            other = self.cell(f)
            if other == text:
                raise Unfit("same cell twice")
            first, one = self.named(f, text)
            second, two = self.named(f, other)
            condition.form = [f.token, "in", one, two]
            place = bool(PLACES.search(f.words))
            condition.post = self.pick(
                f"({'in|from' if place else f'with {words}|whose {words} is|where {words} is (either |)'}) {first} or {second}"
            )
            condition.pred = f"{'are in' if place else f'have the {words}'} {first} or {second}"
            return condition
        value, token = self.named(f, text)
        if self.chance(0.1) and f.distinct > 1:
            condition.form = [f.token, "!=", token]
            if PLACES.search(f.words) and self.chance(0.6):
                condition.post = self.pick(
                    f"(not in|outside|outside of|not from|not located in|except those in) {value}"
                )
                condition.pred = self.pick(f"are (not in|outside|not from) {value}")
            else:
                condition.post = self.pick(
                    f"(whose {words} is not|with {words} other than|with {words} not|where the {words} is not|where "
                    f"{words} is different from) {value}"
                )
                condition.pred = self.pick(
                    f"(have {article(words)} other than|do not have the {words}|don't have {words}) {value}"
                )
            return condition
        condition.form = [f.token, "=", token]
        options = [
            f"with {words} {value}",
            f"whose {words} is {value}",
            f"where the {words} is {value}",
            f"with the {words} {value}",
            f"having {words} {value}",
            f"where {words} = {value}",
            f"that have {words} {value}",
            f"with {value} as {words}",
        ]
        pred = [f"have the {words} {value}", f"have {value} as (their |)({words})"]
        lead = f.words
        if PLACES.search(lead):
            options += [
                f"in {value}",
                f"from {value}",
                f"in {value}",
                f"from {value}",
                f"in the {words} {value}",
                f"in the {words} of {value}",
                f"{'based' if people_words(entity.noun) else 'located'} in {value}",
            ]
            pred = [
                f"are in {value}",
                f"are from {value}",
                f"are (located|based) in {value}",
                f"come from {value}",
            ]
            if people_words(entity.noun):
                options += [f"living in {value}", f"who live in {value}"]
                pred += [f"live in {value}"] * 2
        elif f in entity.label:
            options += [f"named {value}", f"called {value}", f"with the name {value}"]
            pred = [f"are (named|called) {value}"]
        elif f.role == "category" and len(text) < 22:
            if re.search(
                r"\b(status|type|gender|sex|priority|size|color|colour|nationality|level|class|segment|stage|severity)\b",
                lead,
            ):
                if (
                    re.fullmatch(r"[A-Za-z][A-Za-z -]*", text)
                    and len(text) > 2
                    and not re.search(r"\b(on|in|for|by|up|changed|due|to)\b", text.lower())
                ):
                    condition.pre = value if self.chance(0.4) else ""
                options += [f"of {words} {value}", f"that are {value}", f"which are {value}"]
                pred += [f"are {value}"] * 3
            elif re.search(
                r"\b(category|department|genre|group|industry|sector|division|major|specialty|language|conference|league)\b",
                lead,
            ):
                options += [
                    f"in the {value} {words}",
                    f"in {value}",
                    f"in the {words} {value}",
                    f"from the {value} {words}",
                ]
                pred = [f"are in the {value} {words}", f"belong to the {value} {words}", f"belong to {value}"]
            elif re.search(r"\b(method|channel|device|currency|source|payment)\b", lead):
                options += [
                    f"by {value}",
                    f"via {value}",
                    f"in {value}" if "currency" in lead else f"through {value}",
                ]
        condition.post = self.pick(self.rng.choice(options))
        condition.pred = self.pick(self.rng.choice(pred))
        return condition

    def about_bool(self, f: Field, entity: Entity) -> Condition:
        words = re.sub(r"^(is|has) ", "", f.words)
        yes = self.chance(0.65)
        form: list[Piece] = [f.token, "=", "1" if yes else "0"]
        adjective = (
            f.words.split()[0] != "has"
            and " " not in words
            and re.search(r"(ed|ive|ile|ing|al|able|ous|public|late|beta|premium|private)$", words)
        )
        if adjective:
            pred = f"are {words}" if yes else f"are not {words}"
            condition = Condition(f"that {pred}", pred, form, {entity.place}, fields={id(f)})
            if yes and self.chance(0.6):
                condition.pre = words
            return condition
        pred = self.pick(
            f"(have {article(words)}|come with {article(words)})"
            if yes
            else f"(have no|do not have {article(words)}|don't have {article(words)})"
        )
        post = self.pick(
            f"(with {article(words)}|with {words}|that have {words})"
            if yes
            else f"(without {words}|without {article(words)}|with no {words})"
        )
        return Condition(post, pred, form, {entity.place}, fields={id(f)})

    def about_null(self, f: Field, entity: Entity) -> Condition:
        missing = self.chance(0.7)
        link = next((x for x in entity.parents if x.column is f), None)
        words = link.parent.noun if link else self.words(f)
        if missing:
            post = self.pick(
                f"(without {article(words)}|without any {words}|with no {words}|that have no {words}|missing "
                f"{article(words)}|where the {words} is (missing|empty|unknown|not set|null)|lacking {article(words)})"
            )
            pred = self.pick(
                f"(have no {words}|do not have {article(words)}|don't have {article(words)}|are missing {article(words)}|"
                f"lack {article(words)})"
            )
        else:
            post = self.pick(
                f"(with {article(words)}|that have {article(words)}|where the {words} is (known|set|not null|not empty|filled in))"
            )
            pred = f"have {article(words)}"
        return Condition(
            post, pred, [f.token, "is_null" if missing else "not_null"], {entity.place}, fields={id(f)}
        )

    def about_text(self, f: Field, entity: Entity) -> Condition:
        words = self.words(f)
        cell = str(self.rng.choice(f.samples))
        if self.chance(0.35):
            part = cell[: self.rng.choice((1, 1, 2, 3))].strip()
            if not part.isalpha():
                raise Unfit("no start")
            shown, token = self.literal(part)
            shown = self.rng.choice(
                (
                    shown,
                    f'"{shown}"',
                    f"'{shown}'",
                    f"the letter {shown}" if len(part) == 1 else f"the letters {shown}",
                )
            )
            verb, third = self.rng.choice((("start", "starts"), ("begin", "begins"), ("start", "starts")))
            post = self.pick(
                f"(whose {words} {third} with|with {article(words)} (that {third}|{verb}{'n' if verb == 'begin' else ''}ing|"
                f"{third[:-1]}{'n' if verb == 'begin' else ''}ing) with) {shown}"
            )
            return Condition(
                post,
                f"have {article(words)} that {third} with {shown}",
                [f.token, "starts", token],
                {entity.place},
                fields={id(f)},
            )
        parts = re.findall(r"[A-Za-z]{4,}", cell)
        if not parts:
            raise Unfit("no word")
        part = self.rng.choice(parts)
        shown, token = self.literal(part if self.chance(0.6) else part.lower())
        quoted = self.rng.choice(
            (shown, f'"{shown}"', f"'{shown}'", f"the word {shown}", f'the word "{shown}"')
        )
        negated = self.chance(0.1)
        if negated:
            post = self.pick(f"(whose {words} does not (contain|include|mention)|without) {quoted}")
            post = post if post.startswith("whose") else f"{post} in the {words}"
            return Condition(
                post,
                f"do not have {quoted} in the {words}",
                [f.token, "not_contains", token],
                {entity.place},
                fields={id(f)},
            )
        post = self.pick(
            f"(whose {words} (contains|includes|mentions)|with {quoted} in the|with {quoted} in (their|its)"
            f"|having {words} containing|with {article(words)} (containing|that contains|that includes|like)"
            ")"
        )
        post = f"{post} {words}" if post.endswith((" the", "their", "its")) else f"{post} {quoted}"
        return Condition(
            post,
            f"have {quoted} in (their|the) {words}".replace("(their|the)", "their"),
            [f.token, "contains", token],
            {entity.place},
            fields={id(f)},
        )

    def own_condition(self, entity: Entity, *, dates: bool = True) -> Condition:
        kinds: list[tuple[str, float]] = []
        cells = [f for f in entity.having("category", "text") if f.samples]
        numbers = entity.having("measure", "year")
        days = entity.having("date") if dates else []
        flags = entity.having("bool")
        empties = [f for f in entity.fields if 0 < f.filled < f.rows and f.role != "other"]
        texts = [f for f in entity.having("text", "long", "category") if f.samples]
        for name, found, weight in (
            ("cell", cells, 5),
            ("number", numbers, 3.5),
            ("date", days, 2.5),
            ("bool", flags, 1.5),
            ("null", empties, 0.7),
            ("text", texts, 0.6),
        ):
            if found:
                kinds.append((name, weight))
        if not kinds:
            raise Unfit("nothing to filter by")
        kind = self.rng.choices([k for k, _ in kinds], [w for _, w in kinds])[0]
        if kind == "cell":
            weights = [4 if f.role == "category" else 3 if f in entity.label else 1 for f in cells]
            return self.about_cell(self.rng.choices(cells, weights)[0], entity)
        if kind == "number":
            f = self.rng.choice(numbers)
            post, pred, form = self.about_number(f, "")
            return Condition(post, pred, form, {entity.place}, fields={id(f)})
        if kind == "date":
            return self.about_date(self.rng.choice(days), entity)
        if kind == "bool":
            return self.about_bool(self.rng.choice(flags), entity)
        if kind == "null":
            return self.about_null(self.rng.choice(empties), entity)
        return self.about_text(self.rng.choice(texts), entity)

    def parent_condition(self, entity: Entity) -> Condition:
        chains = [c for c in self.domain.chains(entity) if not c[-1].parent.verbal or len(c) == 1]
        if not chains:
            raise Unfit("no parent")
        chain = self.rng.choices(chains, [1 / len(c) for c in chains])[0]
        parent = chain[-1].parent
        tables = {entity.place, *(x.parent.place for x in chain)}
        noun = self.noun(parent)
        cells = [
            f for f in parent.label if len(parent.label) == 1 and f.samples and f.role in ("text", "category")
        ]
        if cells and self.chance(0.5):
            f = cells[0]
            value, token = self.named(f, self.cell(f))
            options = [
                f"of {noun} {value}",
                f"for {noun} {value}",
                f"for the {noun} {value}",
                f"whose {noun} is {value}",
                f"with {noun} {value}",
                f"of the {noun} {value}",
                f"belonging to {value}",
                f"for {value}",
                f"of {value}",
            ]
            if people_words(parent.noun) or re.search(
                r"company|supplier|vendor|carrier|brand|artist|band", parent.noun
            ):
                options += [f"by {value}", f"from {value}", f"by {noun} {value}", f"of {value}"]
            if re.search(
                r"category|genre|department|faculty|ward|group|type|region|class|programme", parent.noun
            ):
                options += [
                    f"in {value}",
                    f"in the {value} {noun}",
                    f"from the {value} {noun}",
                    f"in the {noun} {value}",
                    f"in {noun} {value}",
                ]
            if re.search(
                r"store|shop|branch|warehouse|hotel|plant|city|country|location|office|school|museum|stadium|depot",
                parent.noun,
            ):
                options += [f"at {value}", f"in {value}", f"from {value}", f"at the {value} {noun}"]
            pred = [
                f"are from {value}",
                f"belong to {value}",
                f"belong to the {noun} {value}",
                f"have {value} as (their |){noun}",
                f"are linked to {value}",
            ]
            return Condition(
                self.pick(self.rng.choice(options)),
                self.pick(self.rng.choice(pred)).replace("(their |)", ""),
                [f.token, "=", token],
                tables,
                fields={id(f)},
            )
        inner = self.own_condition(parent)
        nouns = plural(noun)
        pre = f"{inner.pre} " if inner.pre else ""
        post = f" {inner.post}" if inner.post and not inner.pre else ""
        link = self.pick(
            "(of|for|for|from|by|of)" if people_words(parent.noun) else "(of|for|from|for|in|with)"
        )
        options = [
            f"{link} {pre}{nouns}{post}",
            f"belonging to {pre}{nouns}{post}",
            f"whose {noun} {self.single(inner.pred)}",
            f"where the {noun} {self.single(inner.pred)}",
        ]
        return Condition(
            self.rng.choice(options), f"belong to {pre}{nouns}{post}", inner.form, tables, fields=inner.fields
        )

    @staticmethod
    def single(pred: str) -> str:
        """A predicate of a plural, said of one."""
        for plain, one in (
            ("are ", "is "),
            ("have ", "has "),
            ("were ", "was "),
            ("do not ", "does not "),
            ("don't ", "doesn't "),
        ):
            if pred.startswith(plain):
                return one + pred[len(plain) :].replace(" their ", " its ")
        first, _, rest = pred.partition(" ")
        if first.endswith("ed") or first in ("began", "can"):
            return pred
        return f"{first}s {rest}"

    def conditions(self, entity: Entity, count: int | None = None, *, dates: bool = True) -> list[Condition]:
        if count is None:
            count = self.rng.choices((0, 1, 2), (3, 5, 1.6))[0]
        found: list[Condition] = []
        for _ in range(count):
            deep = entity.parents and self.chance(0.45)
            try:
                new = self.parent_condition(entity) if deep else self.own_condition(entity, dates=dates)
            except Unfit:
                new = self.own_condition(entity, dates=dates)
            if any(new.fields & old.fields for old in found):
                raise Unfit("the same column twice")
            if any(new.tables & old.tables - {entity.place} for old in found):
                raise Unfit("the same parent twice")
            if found and found[0].pre and new.pre:
                raise Unfit("two adjectives")
            found.append(new)
        return found

    def subject(
        self, entity: Entity, conditions: list[Condition], *, noun: str | None = None
    ) -> tuple[str, list[Piece]]:
        """The noun phrase in the plural and the body of WHERE."""
        said = noun if noun is not None else plural(self.noun(entity))
        if noun is None and conditions and not conditions[0].pre and self.chance(self.coining):
            conditions = [self.coined(entity, conditions[0]), *conditions[1:]]
        pres = [c.pre for c in conditions if c.pre]
        posts = [c.post for c in conditions if not c.pre]
        text = " ".join([*pres, said]).strip()
        form: list[Piece] = []
        glue = " and "
        alternative = len(posts) == 2 and not pres and self.chance(0.12)
        if len(posts) == 2:
            if alternative:
                glue = " or "
            elif posts[0].split()[0] not in ("in", "from", "of", "for", "by") or posts[1].split()[0] in (
                "in",
                "from",
            ):
                glue = self.rng.choice((" and ", " and ", " and ", ", "))
            else:
                glue = " "
        text = f"{text} {glue.join(posts)}" if posts else text
        ordered = [c for c in conditions if c.pre] + [c for c in conditions if not c.pre]
        for i, condition in enumerate(ordered):
            if i:
                form.append("or" if alternative else "and")
            form += condition.form
            self.required |= condition.tables
        self.required.add(entity.place)
        return text, form

    def coined(self, entity: Entity, condition: Condition) -> Condition:
        """The condition under a name of the business, whose meaning stands behind the question."""
        if self.hints or condition.pre or condition.tables - {entity.place}:
            return condition
        name = self.rng.choice(_COINED)
        meaning = f"{plural(entity.noun)} {condition.post}"
        if len(condition.form) == 2 and condition.form[1] in ("is_null", "not_null") and self.chance(0.8):
            column = condition.form[0]
            if isinstance(column, tuple) and column[0] == "c":
                owner = self.domain.catalog.tables[column[1]]  # type: ignore[index]
                test = "IS NULL" if condition.form[1] == "is_null" else "IS NOT NULL"
                meaning = f"{owner.columns[column[2]].name} {test}"  # type: ignore[misc]
                meaning = meaning.lower() if self.chance(0.3) else meaning
        if len(condition.form) == 3 and self.chance(0.6):
            column, op, literal = condition.form
            if (
                isinstance(column, tuple)
                and column[0] == "c"
                and isinstance(literal, tuple)
                and op in ("=", "<", ">", "<=", ">=")
            ):
                owner = self.domain.catalog.tables[column[1]]  # type: ignore[index]
                cell = mark(literal[-1], self.shown(condition.post, literal[-1]))
                quoted = f"'{cell}'" if self.cells[literal[-1]] else cell
                meaning = f"{owner.columns[column[2]].name} {op} {quoted}"  # type: ignore[misc]
        template = "({n} {e} refers to {m}|{n} refers to {m}|{n}: {m}|{n} {e}: {m}|a {n} {e} is one of the {m}|{n} means {m})"
        self.hints.append(
            self.pick(template.replace("{m}", "\ue0ff"))
            .format(n=name, e=entity.noun)
            .replace("\ue0ff", meaning)
        )
        self.coins.append(name)
        return replace(condition, post="", pre=name)

    @staticmethod
    def shown(text: str, number: int) -> str:
        """The text of literal ``number`` in a phrase with marks."""
        return unmark(text)[0][slice(*unmark(text)[1][number])]

    # -- forms -----------------------------------------------------------------------------------

    def core(
        self, items: Iterable[Piece], where: list[Piece] | None = None, *, group: list[Piece] | None = None,
        having: list[Piece] | None = None, order: list[Piece] | None = None, limit: Piece | None = None, distinct: bool = False,
        required: set[int] | None = None,
    ) -> list[Piece]:  # fmt: skip
        items = list(items)
        said = list(where or [])
        if (
            any(
                said[n] in items and said[n + 1] == "="
                for n in range(len(said) - 1)
                if isinstance(said[n], tuple)
            )
            and not group
        ):
            shown = [x for x in items if isinstance(x, tuple)]
            if len(shown) == len([x for x in shown if x in said]) and "count" not in items:
                raise Unfit("shows what was asked")
        required = self.required if required is None else required
        head: list[Piece] = ["select", *(["distinct"] if distinct else []), *items]
        tail: list[Piece] = []
        for word, part in (("where", where), ("group", group), ("having", having), ("order", order)):
            if part:
                tail += [word, *part]
        if limit is not None:
            tail += ["limit", limit]
        used: list[FormToken] = []
        depth = 0
        for token in [*head, *tail]:
            depth += (token == "[") - (token == "]")
            if depth == 0 and isinstance(token, tuple) and token[0] in "tc":
                used.append(("t", int(token[1])))
        extra: list[Piece] = []
        for table in sorted(required):
            reached = needed_tables(used, self.domain.context) if used else set()
            if table not in reached:
                used.append(("t", table))
                extra.append(("t", table))
        if needed_tables(used, self.domain.context) != required:
            raise Unfit("the joins would go another way")
        return [*head, *(["from", *extra] if extra else []), *tail]

    def group(self, entity: Entity) -> Group:
        """Something to group ``entity``'s rows by: a category of its own or of a parent, or a parent itself."""
        options: list[tuple[str, Field | list[Link], float]] = [
            ("own", f, 2.0 if f.distinct < 30 else 0.6) for f in entity.having("category") if f.distinct > 1
        ]
        options += [("own", f, 0.5) for f in entity.having("bool", "year") if 1 < f.distinct < 60]
        for chain in self.domain.chains(entity):
            parent = chain[-1].parent
            if (parent.label or parent.key) and not parent.verbal:
                options.append(("parent", chain, (2.0 if parent.label else 0.3) / len(chain)))
            options += [("field", [*chain], 0.8 / len(chain))] if parent.having("category") else []
        if not options:
            raise Unfit("nothing to group by")
        kind, what, _ = self.rng.choices(options, [w for _, _, w in options])[0]
        if isinstance(what, Field):
            words = self.words(what)
            if what.role == "bool":
                words = f"{words} status" if self.chance(0.3) else words
            return Group(words, plural(words), [what.token], [what.token], {entity.place}, field=what)
        tables = {entity.place, *(x.parent.place for x in what)}
        parent = what[-1].parent
        if kind == "field":
            f = self.any_of(
                [f for f in parent.having("category") if f.distinct > 1 and f not in parent.label]
            )
            words = self.rng.choice((self.words(f, owner=True), self.words(f, owner=True), self.words(f)))
            return Group(words, plural(words), [f.token], [f.token], tables, field=f)
        noun = self.noun(parent)
        label = self.label(parent)
        keys = [parent.key.token] if parent.key else [f.token for f in label]
        if len(label) == 1 and label[0].unique and not parent.key:
            keys = [label[0].token]
        items: list[Piece] = [f.token for f in label]
        if self.chance(0.12) and parent.label:
            noun = (
                f"{noun} {say(label[0].words, self.rng)}"
                if len(label) == 1 and not label[0].words.startswith(noun)
                else noun
            )
        return Group(noun, plural(noun), items, list(keys), tables, entity=parent)

    def product(self, entity: Entity) -> list[Piece] | None:
        """{quantity * price} where ``entity`` has both."""
        quantity = next(
            (
                f
                for f in entity.having("measure")
                if re.search(r"\b(quantity|units sold|shares)$", f.words)
                and "stock" not in f.words
                and entity.parents
            ),
            None,
        )
        price = next(
            (f for f in entity.having("measure") if re.search(r"\b(price|unit cost)$", f.words)), None
        )
        return ["{", quantity.token, "*", price.token, "}"] if quantity and price else None

    def metric(
        self,
        entity: Entity,
        said: str,
        *,
        counts: float = 0.5,
        group: Group | None = None,
        extremes: bool = True,
    ) -> Metric:
        """A number about rows of ``entity``; ``said`` is the plural noun phrase, with conditions."""
        measures = [
            f
            for f in entity.having("measure")
            if not re.search(r"latitude|longitude|^lat$|^long$|number$|^floor$|code", f.words)
        ]
        made = self.product(entity)
        if made and self.chance(0.45):
            name = self.pick(
                "(revenue|sales|turnover|sales value|total sales|total revenue|total value|sales amount)"
            )
            return Metric(
                f"{name} from {said}" if self.chance(0.3) else name,
                ["sum", *made],
                {entity.place},
                False,
                "highest",
                "lowest",
            )
        if not measures or self.chance(counts):
            links = [
                x
                for x in entity.parents
                if not x.parent.verbal and not (group and x.parent.place in group.tables)
            ]
            if links and self.chance(0.12):
                link = self.rng.choice(links)
                phrase = (
                    f"number of {self.pick('(different|distinct|unique)')} {plural(self.noun(link.parent))} "
                    f"{self.pick('(in|among|across)')} {said}"
                )
                return Metric(
                    phrase, ["count", "distinct", link.column.token], {entity.place}, True, "most", "fewest"
                )
            phrase = self.pick(
                f"(number of {said}|number of {said}|number of {said}|count of {said}|total number of {said}|# of {said})"
            )
            return Metric(phrase, ["count", "*"], {entity.place}, True, "most", "fewest")
        f = self.rng.choice(measures)
        words = self.words(f)
        money = MONEY.search(f.words)
        additive = not NOT_ADDITIVE.search(f.words)
        word = self.rng.choices(
            ("sum", "avg", "max", "min"), (5 if additive else 0, 4, *((1.2, 1.2) if extremes else (0, 0)))
        )[0]
        adjective = self.pick(
            {"sum": "(total|total|total|overall|combined|sum of)", "avg": "(average|average|average|mean|avg)",
             "max": "(maximum|highest|max|largest|biggest)", "min": "(minimum|lowest|min|smallest)"}[word]
        )  # fmt: skip
        if (
            word == "sum"
            and money
            and re.search(r"\b(amount|total|price|sales)\b", f.words)
            and re.search("order|invoice|sale|transaction|payment|booking", entity.noun)
            and self.chance(0.3)
        ):
            adjective, words = "", self.pick("(revenue|sales|turnover|total revenue|total sales)")
        if words.startswith(("total ", "average ")) and adjective in ("total", "average"):
            words = words.partition(" ")[2]
        metric = Metric(f"{adjective} {words}".strip(), [word, f.token], {entity.place}, False)
        return self.coined_metric(metric, word, f) if self.chance(self.coining / 2) else metric

    def coined_metric(self, metric: Metric, word: str, f: Field) -> Metric:
        """A figure under a name of the business, whose meaning stands behind the question."""
        if self.hints or f.column.name.lower() in _FIGURES:
            return metric
        name = self.rng.choice(_FIGURES)
        said = self.rng.choice(
            (f"{word.upper()}({f.column.name})", f"{word}({f.column.name})", metric.phrase)
        )
        self.hints.append(
            self.pick("({n} refers to {m}|{n} means {m}|{n} = {m}|{n}: {m})").format(n=name, m=said)
        )
        self.coins.append(name)
        return replace(metric, phrase=name)

    def limit(self) -> tuple[int, str, Piece | None]:
        """(how many, its text with mark, its token); one has no text."""
        count = self.rng.choices(
            (1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20), (0, 1, 5, 1, 7, 0.5, 0.5, 0.5, 5, 0.7, 0.8)
        )[0]
        word = spell_out(count)
        if word and self.chance(0.35):
            return count, word, str(count)
        shown, token = self.literal(str(count))
        return count, shown, token
