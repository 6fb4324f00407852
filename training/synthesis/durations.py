"""Days between two dates, ages and years of service, days since a date; the first and the last of something."""

from __future__ import annotations

import random
import re
from datetime import date, timedelta

from sqlgen.training.synthesis.common import bare_core, labels
from sqlgen.training.synthesis.subjects import Entity, Field, Link
from sqlgen.training.synthesis.timed import EVENT, dated, day_after, glued, happenings, relative, span
from sqlgen.training.synthesis.wording import article, people_words, plural, spell_out
from sqlgen.training.synthesis.writer import LIST, START, Condition, Group, Piece, Unfit, Writer

__all__ = ["ages", "durations", "firsts_and_lasts", "inactive"]

# What a start and an end are called, what lies between them, and "from ... to ..." in verbs.
_SPANS: tuple[tuple[str, str, str, str], ...] = (
    (r"^order", r"^ship", "(processing time|time to ship|fulfilment time|handling time)", "from order to shipment"),
    (r"^ship", r"^deliver", "(delivery time|transit time|shipping time)", "from shipment to delivery"),
    (r"^order", r"^deliver", "(delivery time|lead time)", "from order to delivery"),
    (r"^order", r"^finish|complet", "(completion time|lead time|production time)", "from order to completion"),
    (r"^order", r"^expected", "(expected lead time|planned lead time)", "from order to the expected date"),
    (r"check in|arrival", r"check out|departure", "(length of stay|stay|duration of stay)", "from check-in to check-out"),
    (r"admi", r"discharge", "(length of stay|hospital stay|duration of stay)", "from admission to discharge"),
    (r"^opening", r"^closing", "(duration|running time|length)", "from opening to closing"),
    (r"^open(ed)?\b", r"clos", "(resolution time|time to close|handling time)", "from opening to closing"),
    (r"report", r"complet|resol|repair|fix", "(resolution time|time to resolve|repair time)", "from report to resolution"),
    (r"receiv", r"resol|complet", "(resolution time|response time|handling time)", "from receipt to resolution"),
    (r"^claim", r"settl", "(settlement time|time to settle|handling time)", "from claim to settlement"),
    (r"filed", r"clos", "(duration|length)", "from filing to closing"),
    (r"invoice|issue|bill", r"paid", "(payment time|time to pay|time to payment)", "from invoice to payment"),
    (r"invoice|issue|bill", r"due", "(payment term|payment period)", "from invoice to due date"),
    (r"issue", r"expir", "(validity|validity period|period of validity)", "from issue to expiry"),
    (r"^loan", r"return", "(loan period|loan duration|borrowing time)", "from loan to return"),
    (r"pickup", r"return", "(rental duration|rental period|length of rental)", "from pickup to return"),
    (r"^hire|joined", r"left|terminat|end", "(tenure|time with the company|length of service)", ""),
    (r"purchase|bought|acquired", r"sold|retire", "(time in service|holding period|service life)", ""),
    (r"commission|install|activ", r"retire|deactiv", "(time in service|lifetime|service life)", ""),
    (r"start|begin|launch|opening", r"^end|finish|complet|deadline|closing|actual end", "(duration|length|running time)",
     "from start to end"),
    (r"planned|scheduled|expected", r"actual", "(delay|deviation)", "from the planned to the actual date"),
)  # fmt: skip
_DUE = re.compile(r"^due|deadline|^expected|^planned|scheduled")
_DONE = re.compile(r"^paid|return|complet|finish|deliver|^actual|closed|settled")
_SERVICE: tuple[tuple[str, str, str], ...] = (
    (r"hire", "(years of service|years with the company|years at the company|seniority in years|years employed)",
     "(have been (with us|with the company|employed)|have worked (here|for us|for the company))"),
    (r"joined|membership|enrolled", "(years since joining|years with us|years of membership|years as a member)",
     "(have been (with us|members|registered)|joined us)"),
    (r"signup|regist|first gift|first", "(years since signing up|years with us|years as a customer)", "have been (with us|registered)"),
    (r"^open|^found|^establish|^commission", "(years in operation|years since opening|age in years)",
     "have been (open|operating|running|in operation)"),
    (r"install|purchase|acquired|delivered", "(years in service|age in years|years in use)", "have been (in service|in use)"),
    (r"publish|release|launch", "(years since release|age in years|years on the market)", "have been out"),
    (r"licen[sc]e", "(years with a licence|years licensed)", "have had (a|their) licence"),
    (r"creat", "(years since creation|age in years)", "have existed"),
)  # fmt: skip


def durations(w: Writer) -> tuple[str, list[Piece]]:
    """Days between two dates of a row, or of a row and its parent: averages, extremes, rows beyond a number."""
    draw = w.rng.random()
    if draw < 0.14:
        return _late(w)
    if draw < 0.3:
        return _waiting(w)
    entity, name, between, route = _stretch(w)
    kept = set(w.required)
    conditions = w.conditions(entity, 1, dates=False) if w.chance(0.35) else []
    nouns = plural(w.noun(entity))
    said, where = w.subject(entity, conditions, noun=nouns)
    w.required |= kept
    unit = w.pick("(| in days| in days|, in days)")
    draw = w.rng.random()
    if draw < 0.36:
        return _average_stretch(w, entity, conditions, said, where, name, between, route, unit)
    noun = w.noun(entity)
    items = labels(w, entity)
    take = f"take {route}" if route else f"have between {name}"
    if draw < 0.56:
        number = w.rng.choice((1, 2, 3, 5, 7, 7, 10, 14, 20, 30, 30, 45, 60, 90, 100, 180, 365))
        word = spell_out(number)
        shown, token = (word, str(number)) if word and w.chance(0.3) else w.literal(str(number))
        op, more = w.rng.choice(
            (
                (">", "more than"),
                (">", "longer than"),
                (">", "over"),
                (">=", "at least"),
                ("<", "less than"),
                ("<=", "at most"),
            )
        )
        days = "day" if number == 1 else "days"
        options = [
            f"{said} with (a |an |){name} of {more.replace('longer', 'more')} {shown} {days}",
            f"{said} where the {name} (was|is) {more} {shown} {days}",
            f"{said} whose {name} (exceeds|is above) {shown} {days}"
            if op == ">"
            else f"{said} whose {name} is {more} {shown} {days}",
        ]
        if route:
            options += [f"{said} that took {more} {shown} {days} {route}"] * 2
        text = w.pick(w.rng.choice(options))
        text = _articles(text, name)
        test = glued(where, [*between, op, token])
        if w.chance(0.4):
            return w.pick(f"(how many {text}|number of {text}|count (the |all |){text}|how many {text})").replace(
                "that took", "took"
            ) if text.startswith(said + " that took") and w.chance(0.5) else w.pick(f"(number of {text}|count (the |all |){text})"), w.core(
                ["count", "*"], test
            )  # fmt: skip
        return w.pick(f"({LIST} (all |the |){text}|{text}|which {text})") if " that took" not in text else w.pick(
            f"({LIST} (all |the |){text}|which {text.replace(' that took', ' took')})"
        ), w.core(items, test)  # fmt: skip
    if draw < 0.72:
        form = [*items, *between]
        options = [
            f"{LIST} the {name} of (each|every) {noun}{unit}",
            f"{LIST} (all |the |){said} (with|and) their {name}{unit}",
            f"(how many days|how long) did each {noun} {take.replace('have between', 'have as')}"
            if route
            else f"{name} (of|for) each {noun}{unit}",
            f"{name} per {noun}{unit}",
        ]
        if conditions:
            options = [options[1]]
        return w.pick(w.rng.choice(options)), w.core(form, where)
    where = glued(where, _known(between))
    up = w.chance(0.75)
    degree = "longest" if up else "shortest"
    direction: Piece = "desc" if up else "asc"
    if w.chance(0.5):
        text = w.pick(
            f"(which {w.noun(entity)} (had|has) the {degree} {name}|"
            f"{LIST} the {entity.noun} with the {degree} {name}|"
            f"which {entity.noun} took the {degree} {route or name})"
            if not conditions
            else f"(which of the {said} had the {degree} {name}|{LIST} the one of the {said} with the {degree} {name})"
        ).replace(f"took the {degree} {name}", f"had the {degree} {name}").replace(f"took the {degree}", f"took {degree}")  # fmt: skip
        return text, w.core(items, where, order=[*between, direction], limit="1")
    _, shown, token2 = w.limit()
    text = w.pick(
        f"({LIST} the {shown} {said} with the {degree} {name}|{shown} {said} with the {degree} {name}|"
        f"which {shown} {said} had the {degree} {name})"
    )
    if w.chance(0.3):
        items = [*items, *between]
        text += w.pick("( and the number of days|, with the number of days| and how long it was in days)")
    return text, w.core(items, where, order=[*between, direction], limit=token2)


def _articles(text: str, name: str) -> str:
    text = text.replace(f"with a {name}", f"with {article(name)}").replace(
        f"with an {name}", f"with {article(name)}"
    )
    return text


def _known(between: list[Piece]) -> list[Piece]:
    """Rows whose second date is known: an open one has no length, and would come first or last."""
    return [between[2], "not_null"]


def _average_stretch(
    w: Writer, entity: Entity, conditions: list[Condition], said: str, where: list[Piece],
    name: str, between: list[Piece], route: str, unit: str,
) -> tuple[str, list[Piece]]:  # fmt: skip
    word, adjective = w.rng.choice(
        (
            ("avg", "(average|average|mean)"),
            ("avg", "average"),
            ("avg", "average"),
            ("max", "(longest|maximum)"),
            ("min", "(shortest|minimum)"),
        )
    )
    adjective = w.pick(adjective)
    of = w.pick(f" (of|for|of) {said}") if conditions or w.chance(0.6) else ""
    form: list[Piece] = [word, *between]
    by, late = "", ""
    items: list[Piece] = []
    keys: list[Piece] | None = None
    order: list[Piece] | None = None
    dates = happenings(entity)
    main = dates[0] if dates and EVENT.search(entity.noun) and w.is_main_date(dates[0], entity) else None
    if w.chance(0.4):
        if main and w.chance(0.3):
            bucket = w.rng.choice(("by_month", "year", "by_quarter"))
            keys = [bucket, main.token]
            items, order = list(keys), [*keys, "asc"]
            by = w.pick(
                f" (by|per|for each) {({'by_month': 'month', 'year': 'year', 'by_quarter': 'quarter'})[bucket]}"
            )
        else:
            group = _group_beside(w, entity, conditions)
            items, keys = list(group.items), list(group.keys)
            by = w.pick(f" (by|per|for each|for every) {group.noun}")
            if w.chance(0.25):
                up = w.chance(0.6)
                text = w.pick(
                    f"(which|what) {group.noun} has the {'longest' if up else 'shortest'} average {name}{of}"
                )
                known = glued(where, _known(between))
                return text, w.core(
                    items, known, group=keys, order=["avg", *between, "desc" if up else "asc"], limit="1"
                )
    elif main and w.chance(0.3):
        period = span(w, main)
        where = glued(where, [main.token, *period.body])
        late = f" {period.text}"
    options = [
        f"{START} the {adjective} {name}{of}{by}{late}{unit}",
        f"{adjective} {name}{of}{by}{late}{unit}",
        f"what (is|was) the {adjective} {name}{of}{by}{late}{unit}",
    ]
    if word == "avg":
        options += [f"how long is the {name}{of} on average{by}{late}"]
        if route:
            options += [
                f"how (long|many days) does it take {route}{of} on average{by}{late}",
                f"how many days (pass|go by|are there) {route}{of} on average{by}{late}",
                f"on average, how (long|many days) does it take {route}{of}{by}{late}",
                f"average (number of days|time in days) {route}{of}{by}{late}",
            ]
    if word == "avg" and w.chance(0.1):
        form = ["round", "avg", *between, "1"]
        return w.pick(options[1]) + w.pick(
            "(, rounded to one decimal| rounded to one decimal place|, with one decimal)"
        ), w.core([*items, *form], where, group=keys, order=order)
    return w.pick(w.rng.choice(options)), w.core([*items, *form], where, group=keys, order=order)


def _group_beside(w: Writer, entity: Entity, conditions: list[Condition]) -> Group:
    group = w.group(entity)
    if any(
        c.tables & group.tables - {entity.place} or (group.field and id(group.field) in c.fields)
        for c in conditions
    ):
        raise Unfit("the same parent twice")
    w.required |= group.tables
    return group


def _stretch(w: Writer) -> tuple[Entity, str, list[Piece], str]:
    """(rows, what lies between two dates of theirs, its form, "from ... to ...")."""
    found: list[tuple[Entity, Field, Field, str, str]] = []
    for entity in w.domain.entities:
        if entity.verbal or entity.rows < 6:
            continue
        dates = [f for f in entity.having("date") if not re.search("birth|dob", f.words)]
        for name_a, name_b, name, route in _SPANS:
            a = next((f for f in dates if re.search(name_a, f.words)), None)
            b = next((f for f in dates if re.search(name_b, f.words) and f is not a), None)
            if a and b:
                found.append((entity, a, b, name, route))
    if found and w.chance(0.8):
        entity, a, b, name, route = w.rng.choice(found)
        w.required = {entity.place}
        between: list[Piece] = ["days_between", a.token, b.token]
        if w.chance(0.25):
            return entity, _numbered(w, f"{a.words} and {b.words}"), between, ""
        return (
            entity,
            w.pick(name),
            between,
            route if w.chance(0.8) or not route else f"from {a.words} to {b.words}",
        )
    links: list[tuple[Link, Field, Field]] = []
    for entity in w.domain.entities:
        for link in entity.parents:
            if entity.verbal or link.parent.verbal or not EVENT.search(link.parent.noun):
                continue
            if happenings(entity) and happenings(link.parent):
                links.append((link, happenings(link.parent)[0], happenings(entity)[0]))
    if not links:
        raise Unfit("no two dates")
    link, a, b = w.rng.choice(links)
    w.required = {link.child.place, link.parent.place}
    first = (
        f"{link.parent.noun} {a.words}" if not a.words.startswith(link.parent.noun.split()[-1]) else a.words
    )
    second = (
        f"{link.child.noun} {b.words}" if not b.words.startswith(link.child.noun.split()[-1]) else b.words
    )
    return link.child, _numbered(w, f"the {first} and the {second}"), ["days_between", a.token, b.token], ""


def _numbered(w: Writer, two: str) -> str:
    return w.pick(f"(time between {two}|time between {two}|gap between {two}|interval between {two})")


def _late(w: Writer) -> tuple[str, list[Piece]]:
    """Rows done after they were due, or in time; how many days late."""
    found = [
        (e, a, b)
        for e in w.domain.entities
        if not e.verbal
        for a in e.having("date")
        for b in e.having("date")
        if _DUE.search(a.words) and _DONE.search(b.words) and a is not b
    ]
    if not found:
        raise Unfit("nothing due")
    entity, due, done = w.rng.choice(found)
    w.required = {entity.place}
    nouns = plural(w.noun(entity))
    verb = {"paid": "paid", "return": "returned", "complet": "completed", "finish": "finished", "deliver": "delivered", "actual": "done",
            "closed": "closed", "settled": "settled"}[_DONE.search(done.words)[0]]  # type: ignore[index]  # fmt: skip
    late = w.chance(0.75)
    draw = w.rng.random()
    if draw < 0.25:
        form: list[Piece] = ["avg", "days_between", due.token, done.token]
        text = w.pick(
            f"({START} the average (delay|lateness) of late {nouns} (in days|)|"
            f"how many days late are late {nouns} on average|by how many days are {nouns} late on average)"
        )
        if "by how many" in text:
            text = f"by how many days are late {nouns} overdue on average"
        return text, w.core(form, [done.token, ">", due.token])
    post = w.pick(
        f"({verb} (after|later than) (the|their) {due.words}|{verb} late|{verb} too late)"
        if late
        else f"({verb} (on time|in time|by the {due.words})|{verb} (no later than|on or before) the {due.words})"
    )
    test: list[Piece] = [done.token, ">" if late else "<=", due.token]
    if draw < 0.45:
        group = _group_beside(w, entity, [])
        return w.pick(
            f"(how many {nouns} were {post} (by|per|for each) {group.noun}|number of {nouns} {post} (by|per) {group.noun})"
        ), w.core([*group.items, "count", "*"], test, group=group.keys)
    if draw < 0.72:
        return w.pick(
            f"(how many {nouns} were {post}|number of {nouns} {post}|count (the |){nouns} {post})"
        ), w.core(["count", "*"], test)
    items = labels(w, entity)
    if late and w.chance(0.35):
        text = w.pick(
            f"{LIST} (the |all |){nouns} {post} (with|and) (the number of days|how many days) they were late"
        )
        return text, w.core([*items, "days_between", due.token, done.token], test)
    return w.pick(
        f"({LIST} (the |all |){nouns} {post}|which {nouns} were {post}|{nouns} that were {post})"
    ), w.core(items, test)


def _waiting(w: Writer) -> tuple[str, list[Piece]]:
    """Days from a date of a row to the reference date."""
    d = dated(w, parents=0)
    entity, f = d.entity, d.field
    w.today = day_after(w, f, 40)
    noun, nouns = w.noun(entity), plural(w.noun(entity))
    back: list[Piece] = ["days_between", f.token, "today"]
    open_end = next(
        (
            x
            for x in entity.having("date")
            if re.search(r"clos|resol|complet|finish|paid|return|^end|settl|left|retire", x.words)
            and x.filled < x.rows
        ),
        None,
    )
    draw = w.rng.random()
    w.required = {entity.place}
    items = labels(w, entity)
    verb = next((v for p, v in (("order", "placed"), ("open", "opened"), ("creat", "created"), ("report", "reported"),
    ("invoice|bill|issue", "issued"),
                                ("publish", "published"), ("ship", "shipped"), ("receiv", "received"), ("fil",
                                 "filed")) if re.search(p, f.words)), "")  # fmt: skip
    if open_end is not None and draw < 0.45:
        state = w.pick("(open|still open|unfinished|pending|not yet closed)")
        word = next((v for p, v in (("clos", "closed"), ("resol", "resolved"), ("complet", "completed"), ("finish",
        "finished"), ("paid", "paid"),
                                    ("return", "returned"), ("settl", "settled"), ("left", ""), ("retire", ""), ("end",
                                     "")) if re.search(p, open_end.words)), "")  # fmt: skip
        if not word:
            raise Unfit("not something open")
        where: list[Piece] = [open_end.token, "is_null"]
        state = (
            f"not yet {word}"
            if w.chance(0.6)
            else "open"
            if word in ("closed", "resolved")
            else f"un{word}"
            if word in ("paid", "finished", "resolved")
            else f"not {word}"
        )
        adjective = f"{nouns} (that are |){state}" if state.startswith("not") else f"{state} {nouns}"
        adjective = w.pick(adjective)
        if w.chance(0.4):
            return w.pick(f"({START} the average age of {adjective} in days|how many days (old|"
            f"pending) are {adjective} on average|average (age|waiting time) in days of {adjective})"), w.core(
                ["avg", *back], where
            )  # fmt: skip
        shown, token = _many_days(w)
        test = [*where, "and", *back, ">", token]
        text = w.pick(
            f"({adjective} (for|since) more than {shown} days|{adjective} that are (more than {shown} days old|"
            f"older than {shown} days)|{adjective} older than {shown} days)"
        )
        text = text.replace("since more than", "for more than").replace(
            "that are open that are", "open that are"
        )
        if w.chance(0.45):
            return w.pick(f"(how many {text} are there|number of {text}|count (the |){text})"), w.core(
                ["count", "*"], test
            )
        return w.pick(f"({LIST} (the |all |){text}|{text})"), w.core(items, test)
    if people_words(entity.noun):
        raise Unfit("people have an age")
    if draw < 0.6:
        text = w.pick(
            f"(how many days ago was each {noun} {verb}|{LIST} (all |the |"
            f"){nouns} and how many days ago they were {verb}|{LIST} {nouns} with the number of days since (their|"
            f"the) {f.words})"
            if verb
            else f"({LIST} {nouns} with the number of days since (their|the) {f.words}|how many days (have passed|"
            f"are there) since the {f.words} of each {noun})"
        )
        return text, w.core([*items, *back])
    if draw < 0.72:
        text = w.pick(
            f"(how many days ago was the (last|latest|most recent) {noun}{' ' + verb if verb else ''}|"
            f"how many days (have passed|is it|has it been) since the (last|most recent) {noun}|"
            f"days since the (last|latest|most recent) {noun})"
        )
        return text, w.core(["days_between", "max", f.token, "today"])
    shown, token = _many_days(w)
    post = w.pick(f"((that are |)(older than {shown} days|more than {shown} days old))") if not verb else w.pick(
        f"({verb} more than {shown} days ago|that were {verb} more than {shown} days ago|older than {shown} days)"
    )  # fmt: skip
    test = [*back, ">", token]
    if w.chance(0.3):
        post = f"{verb or 'with ' + article(f.words)} (less|fewer) than {shown} days ago"
        post, test = w.pick(post), [*back, "<", token]
    if w.chance(0.45):
        return w.pick(f"(how many {nouns} (are|were) {post}|number of {nouns} {post}|count (the |){nouns} {post})").replace(
            "were that are ", "are "
        ).replace("are that are ", "are ").replace("were that were", "were").replace("are that were",
        "were").replace("are with", "are there with").replace(
            "were with", "were there with"
        ), w.core(["count", "*"], test)  # fmt: skip
    return w.pick(f"({LIST} (the |all |){nouns} {post}|{nouns} {post})"), w.core(items, test)


def _many_days(w: Writer) -> tuple[str, Piece]:
    return w.literal(
        str(w.rng.choice((7, 10, 14, 20, 30, 30, 30, 45, 60, 60, 90, 90, 100, 180, 365, 500, 1000)))
    )


def ages(w: Writer) -> tuple[str, list[Piece]]:
    """Ages of people in years, and years of service, membership, operation."""
    w.today = date(w.rng.randrange(2023, 2027), w.rng.randrange(1, 13), w.rng.randrange(1, 28))
    births = [
        (e, f)
        for e in w.domain.entities
        if not e.verbal
        for f in e.having("date")
        if re.search("birth|dob", f.words)
    ]
    if births and w.chance(0.62):
        return _ages(w, *w.rng.choice(births))
    served = [
        (e, f, s)
        for e in w.domain.entities
        if not e.verbal and e.label
        for f in e.having("date")
        if not re.search("birth|dob", f.words)
        for s in _SERVICE
        if re.search(s[0], f.words)
    ]
    if not served:
        raise Unfit("no date to count years from")
    entity, f, (_, name, pred) = w.rng.choice(served)
    w.today = day_after(w, f, 900)
    return _service(w, entity, f, w.pick(name), w.pick(pred))


def _years(w: Writer, low: int, high: int) -> tuple[int, str, Piece]:
    number = w.rng.randrange(low, high)
    word = spell_out(number)
    if word and w.chance(0.35):
        return number, word, str(number)
    shown, token = w.literal(str(number))
    return number, shown, token


def _ages(w: Writer, entity: Entity, f: Field) -> tuple[str, list[Piece]]:
    w.required = {entity.place}
    age: list[Piece] = ["years_between", f.token, "today"]
    noun, nouns = w.noun(entity), plural(w.noun(entity))
    people = people_words(entity.noun)
    conditions = w.conditions(entity, 1, dates=False) if w.chance(0.3) else []
    said, where = w.subject(entity, conditions, noun=nouns)
    draw = w.rng.random()
    if draw < 0.16:
        if conditions:
            text = w.pick(f"({LIST} (the |all |){said} (with|and) their (age|current age|age in years))")
        else:
            text = w.pick(
                f"(how old is (each|every) {noun}|{LIST} (the |all |){nouns} (with|and) their (age|current age|"
                f"age in years)|{LIST} the age of (each|every) {noun}|"
                f"(how old are|what is the age of) (the |our |all |){nouns}|age of (each|every) {noun})"
            ).replace("what is the age of our", "what are the ages of our")
        return text, w.core([*labels(w, entity), *age], where)
    if draw < 0.42:
        word, adjective = w.rng.choice(
            (
                ("avg", "(average|mean)"),
                ("avg", "average"),
                ("avg", "average"),
                ("max", "(highest|maximum)"),
                ("min", "(lowest|minimum)"),
            )
        )
        adjective = w.pick(adjective)
        if w.chance(0.45):
            group = _group_beside(w, entity, conditions)
            text = w.pick(
                f"({START} the {adjective} age of {said} (by|per|for each) {group.noun}|{adjective} age of {said} (by|"
                f"per) {group.noun}|{adjective} {noun} age (by|per) {group.noun})"
                if not conditions
                else f"({START} the {adjective} age of {said} (by|per|for each) {group.noun}|{adjective} age of {said} (by|"
                f"per) {group.noun})"
            )
            return text, w.core([*group.items, word, *age], where, group=group.keys)
        text = w.pick(f"({START} the {adjective} age of (all |the |our |){said}|{adjective} age of {said}|"
        f"{adjective} {noun} age)") if not conditions else w.pick(
            f"({START} the {adjective} age of (all |the |){said}|{adjective} age of {said})"
        )  # fmt: skip
        if word == "avg" and w.chance(0.3):
            text = f"how old are {said} on average"
        return text, w.core([word, *age], where)
    if draw < 0.5:
        text = w.pick(
            f"(number of {said} by age|how many {said} are there (of each age|per age)|{said} by age|age distribution of {said})"
        )
        return text, w.core([*age, "count", "*"], where, group=age, order=[*age, "asc"])
    low, shown, token = _years(w, 18, 65) if people else _years(w, 1, 15)
    kind = w.rng.choice((">", ">", "<", "<", ">=", "between", "="))
    if kind == "between":
        high = low + w.rng.choice((5, 7, 10, 12, 15, 20))
        upper, top = w.literal(str(high))
        post = w.pick(
            f"(between {shown} and {upper} years old|aged {shown} to {upper}|aged between {shown} and {upper}|"
            f"between the ages of {shown} and {upper})"
        )
        test: list[Piece] = [*age, "between", token, top]
    else:
        post = w.pick({">": f"(older than {shown}|over {shown}|older than {shown} years|over the age of {shown}|"
        f"more than {shown} years old|above {shown} years of age)",
                       "<": f"(younger than {shown}|under {shown}|under the age of {shown}|less than {shown} years old|"
                       f"below {shown} years of age)",
                       ">=": f"(at least {shown} years old|{shown} or older|aged {shown} or over|{shown} years and older)",
                       "=": f"({shown} years old|aged {shown}|of age {shown})"}[kind])  # fmt: skip
        test = [*age, kind, token]
    if conditions and conditions[0].post and not conditions[0].pre:
        that = w.pick(f"(and {'who are ' if people else 'are '}|who are )" if people else "and that are ")
        full = f"{said} {that}{post}"
    else:
        full = (
            f"{said} {post}"
            if post.startswith("aged") or w.chance(0.4)
            else f"{said} {'who' if people else 'that'} are {post}"
        )
    test = glued(where, test)
    draw = w.rng.random()
    if draw < 0.45:
        text = w.pick(
            f"(how many {full} are there|number of {full}|count (the |){full})" if conditions or w
            .chance(0.5) else f"how many {nouns} are {post}"
        ).replace("who are ", "" if w.chance(0.3) and not conditions else "who are ")  # fmt: skip
        return text, w.core(["count", "*"], test)
    if draw < 0.6 and not conditions:
        group = _group_beside(w, entity, conditions)
        return w.pick(
            f"(how many {nouns} are {post} (in each|per|by) {group.noun}|number of {full} (by|per) {group.noun})"
        ), w.core([*group.items, "count", "*"], test, group=group.keys)
    text = w.pick(
        f"({LIST} (the |all |){full}|{full})" if conditions or w.chance(0.6) else f"which {nouns} are {post}"
    )
    items = labels(w, entity)
    if w.chance(0.2):
        return f"{text} with their age", w.core([*items, *age], test)
    return text, w.core(items, test)


def _service(w: Writer, entity: Entity, f: Field, name: str, pred: str) -> tuple[str, list[Piece]]:
    w.required = {entity.place}
    years: list[Piece] = ["years_between", f.token, "today"]
    noun, nouns = w.noun(entity), plural(w.noun(entity))
    people = people_words(entity.noun)
    if "company" in name and not people:
        raise Unfit("not of people")
    draw = w.rng.random()
    if draw < 0.26:
        text = w.pick(
            f"({LIST} (the |all |){nouns} (with|and) their {name}|"
            f"how many years has each {noun} {pred.removeprefix('have ').replace('members', 'a member')}|"
            f"{name} of (each|every) {noun}|"
            f"{LIST} the {name} of (each|every) {noun})"
        )
        if "joined us" in text:
            raise Unfit("joins once")
        return text, w.core([*labels(w, entity), *years])
    if draw < 0.46:
        group = _group_beside(w, entity, []) if w.chance(0.5) else None
        by = w.pick(f" (by|per|for each) {group.noun}") if group else ""
        name = name.removesuffix(" in years") if "age" not in name else name
        text = w.pick(
            f"({START} the average {name} of (the |our |all |){nouns}{by}|average {name} of {nouns}{by})"
        )
        return text, w.core(
            [*(group.items if group else []), "avg", *years], group=group.keys if group else None
        )
    number, shown, token = _years(w, 1, 8)
    op, more = w.rng.choice(
        ((">", "(more than|over|longer than)"), (">=", "at least"), ("<", "less than"), (">", "more than"))
    )
    more = w.pick(more)
    ys = "year" if number == 1 else "years"
    if "joined us" in pred:
        pred, more = "joined us", "more than"
        op = ">"
        tail = f"{more} {shown} {ys} ago"
    else:
        tail = f"for {more} {shown} {ys}"
    that = "who" if people else "that"
    test: list[Piece] = [*years, op, token]
    if w.chance(0.45):
        return w.pick(
            f"(how many {nouns} {pred} {tail}|number of {nouns} {that} {pred} {tail}|count (the |){nouns} {that} {pred} {tail})"
        ), w.core(["count", "*"], test)
    return w.pick(
        f"((which|what) {nouns} {pred} {tail}|{LIST} (the |all |){nouns} {that} {pred} {tail}|{nouns} {that} {pred} {tail})"
    ), w.core(labels(w, entity), test)


def firsts_and_lasts(w: Writer) -> tuple[str, list[Piece]]:
    """First and last dates, the most recent rows, the latest row of each group, newcomers by period."""
    draw = w.rng.random()
    if draw < 0.26:
        return _extreme_dates(w)
    if draw < 0.44:
        return _latest_rows(w)
    if draw < 0.66:
        return _latest_of_each(w)
    if draw < 0.8:
        return _since_last(w)
    return _newcomers(w)


def _followed(w: Writer) -> tuple[Entity, Link, Field]:
    """A named table whose rows are followed by dated ones: customers by orders."""
    found = [
        (link, happenings(link.child)[0])
        for e in w.domain.entities
        if e.label and not e.verbal and e.rows > 3
        for link in e.children
        if not link.child.verbal
        and link.child.rows > 9
        and happenings(link.child)
        and EVENT.search(link.child.noun)
    ]
    if not found:
        raise Unfit("nothing that follows")
    link, f = w.rng.choice(found)
    if not w.is_main_date(f, link.child):
        raise Unfit("no date to speak of")
    w.required = {link.parent.place, link.child.place}
    return link.parent, link, f


def _act(w: Writer, entity: Entity, child: Entity) -> tuple[str, str]:
    """What a row of ``child`` is as a deed of ``entity``: ("ordered", "order"), or nothing for it."""
    if not people_words(entity.noun):
        return "", ""
    for pattern, past, now in (("order|purchase|sale", "(ordered|ordered something|placed an order|bought something)",
    "order"), ("payment", "(paid|made a payment)", "pay"),
                               ("review|rating", "written a review", "write a review"), ("booking|reservation",
                                "(booked|made a booking)", "book"),
                               ("donation", "(donated|made a donation)", "donate"), ("appointment|visit",
                                f"had {article(child.noun)}", f"have {article(child.noun)}"),
                               ("rental", "rented (something|a vehicle)", "rent something"), ("loan", "taken out a loan",
                                "take out a loan"),
                               ("post$", "posted (something|)", "post something"), ("commit", "committed (something|)",
                                "commit")):  # fmt: skip
        if re.search(pattern, child.noun):
            return w.pick(past).strip(), now
    return "", ""


def _extreme_dates(w: Writer) -> tuple[str, list[Piece]]:
    entity, link, f = _followed(w)
    child = link.child
    last = w.chance(0.62)
    word = "max" if last else "min"
    adjective = w.pick("(last|latest|most recent)" if last else "(first|earliest)")
    thing = w.noun(child)
    _, now = _act(w, entity, child)
    when = f.words if f.words.startswith(child.noun.split()[-1]) and w.chance(0.5) else f"{thing} date"
    if w.chance(0.22):
        conditions = w.conditions(child, 1, dates=False) if w.chance(0.55) else []
        w.required = set()
        said, where = w.subject(child, conditions, noun=thing)
        text = w.pick(
            f"(when was the {adjective} {said}|date of the {adjective} {said}|what (is|"
            f"was) the date of the {adjective} {said}|on (which|what) (day|date) was the {adjective} {said})"
        )
        return text, w.core([word, f.token], where)
    noun, nouns = w.noun(entity), plural(w.noun(entity))
    keys: list[Piece] = [entity.key.token] if entity.key else labels(w, entity)
    items = labels(w, entity)
    if w.chance(0.2):
        text = w.pick(
            f"({LIST} the (first and last|first and the last|earliest and latest) {when} (of|for) each {noun}|"
            f"first and (last|latest) {when} (per|of each|by) {noun}|{LIST} (the |all |"
            f"){nouns} with the dates of their first and (last|latest) {thing})"
        )
        return text, w.core([*items, "min", f.token, "max", f.token], group=keys)
    conditions = w.conditions(child, 1, dates=False) if w.chance(0.16) else []
    if any(entity.place in c.tables for c in conditions):
        raise Unfit("the same parent twice")
    kept = set(w.required)
    said, where = w.subject(child, conditions, noun=thing)
    w.required |= kept
    options = [
        f"{LIST} the date of the {adjective} {said} (of|for) (each|every) {noun}",
        f"{LIST} (each|every) {noun} (with|and) the date of {'their' if people_words(entity.noun) else 'its'} {adjective} {said}",
        f"when was the {adjective} {said} of (each|every) {noun}",
        f"when did (each|every) {noun} have {'their' if people_words(entity.noun) else 'its'} {adjective} {said}",
        f"{LIST} {nouns} and when they had their {adjective} {said}",
        f"for (each|every) {noun}, when was the {adjective} {said}",
    ]
    if not conditions:
        options += [
            f"{adjective} {when} (per|by|of each|for each) {noun}",
            f"{LIST} the {adjective} {when} of (each|every) {noun}",
        ] * 2
        if now:
            options += [f"when did (each|every) {noun} {'last' if last else 'first'} {now}"] * 2
    return w.pick(w.rng.choice(options)), w.core([*items, word, f.token], where, group=keys)


def _latest_rows(w: Writer) -> tuple[str, list[Piece]]:
    d = dated(w, parents=0)
    if not d.main:
        raise Unfit("no date to speak of")
    entity, f = d.entity, d.field
    conditions = w.conditions(entity, 1, dates=False) if w.chance(0.6) else []
    last = w.chance(0.78)
    adjective = w.pick("(latest|most recent|newest|last)" if last else "(earliest|oldest|first)")
    if people_words(entity.noun):
        adjective = w.pick("(newest|most recent|newest)" if last else "(earliest|first)")
    one = w.chance(0.3)
    noun = w.noun(entity)
    said, where = w.subject(entity, conditions, noun=noun if one else plural(noun))
    order: list[Piece] = [f.token, "desc" if last else "asc"]
    items = labels(w, entity)
    if one:
        text = w.pick(f"(what (is|was) the {adjective} {said}|{LIST} the {adjective} {said}|which {noun} is the {adjective}|"
        f"the {adjective} {said})") if not conditions else w.pick(
            f"(what (is|was) the {adjective} {said}|{LIST} the {adjective} {said})"
        )  # fmt: skip
        token: Piece | None = "1"
    else:
        _, shown, token = w.limit()
        text = w.pick(
            f"({LIST} the {shown} {adjective} {said}|{LIST} the {adjective} {shown} {said}|"
            f"the {adjective} {shown} {said}|{shown} {adjective} {said}|(what|which) (are|"
            f"were) the {shown} {adjective} {said}|"
            f"{adjective} {shown} {said})"
        )
    extra = [
        x
        for x in entity.having("measure", "category")
        if x.token not in items and not any(id(x) in c.fields for c in conditions)
    ]
    draw = w.rng.random()
    own = "its" if one and not people_words(entity.noun) else "their"
    if draw < 0.2:
        items = [*items, f.token]
        text += (
            w.pick(f"( with {own} date| and {own} {f.words}|, with the {f.words})")
            if f.words.endswith("date")
            else f" and {own} {f.words}"
        )
    elif draw < 0.36 and extra:
        x = w.rng.choice(extra)
        items = [*items, x.token]
        text += w.pick(f"( with {own}| and {own}) ") + w.words(x)
    return text, w.core(items, where, order=order, limit=token)


def _latest_of_each(w: Writer) -> tuple[str, list[Piece]]:
    entity, link, f = _followed(w)
    child = link.child
    last = w.chance(0.82)
    adjective = w.pick("(latest|most recent|last|newest)" if last else "(first|earliest)")
    noun = w.noun(entity)
    thing = w.noun(child)
    keys: list[Piece] = [entity.key.token] if entity.key else [link.column.token]
    order: list[Piece] = [f.token, "desc" if last else "asc"]
    shown_items = labels(w, entity)
    each = w.pick(f"(of|for) (each|every) {noun}")
    states = [x for x in child.having("category", "measure") if x not in child.label]
    draw = w.rng.random()
    if draw < 0.45 and states:
        x = w.rng.choice(states)
        words = w.words(x)
        text = w.pick(
            f"({LIST} the {words} of the {adjective} {thing} {each}|{words} of (the|"
            f"each {noun}'s) {adjective} {thing} {each}|what (is|"
            f"was) the {words} of the {adjective} {thing} {each}|"
            f"{LIST} (each|every) {noun} with the {words} of {'their' if people_words(entity.noun) else 'its'} {adjective} {thing})"
        ).replace(f"each {noun}'s {adjective} {thing} {each}", f"each {noun}'s {adjective} {thing}")  # fmt: skip
        if last and re.search("status|stage|result|condition|outcome", x.words) and w.chance(0.4):
            text = w.pick(
                f"(what is the (current|latest|most recent) {thing} {words} {each}|(latest|current|most recent) {thing} {words} {each})"
            )
        core = w.core([*shown_items, x.token], None, order=order, limit="1")
        return text, [*core, "per", *keys]
    items: list[Piece] = [*shown_items, *labels(w, child), f.token]
    if w.chance(0.5):
        text = w.pick(
            f"({LIST} the {adjective} {thing} {each}|the {adjective} {thing} {each}|what (is|"
            f"was) the {adjective} {thing} {each}|for (each|every) {noun}, {LIST} the {adjective} {thing}|"
            f"{adjective} {thing} (per|by) {noun})"
        ) + w.pick("(| with its date| and its date|, with the date)")
        core = w.core(items, None, order=order, limit="1")
    else:
        _, shown, token = w.limit()
        things = plural(thing)
        text = w.pick(
            f"({LIST} the {shown} {adjective} {things} {each}|the {adjective} {shown} {things} {each}|for (each|"
            f"every) {noun}, {LIST} the {shown} {adjective} {things}|{shown} {adjective} {things} (per|"
            f"of each) {noun})"
        ) + w.pick("(| with their dates|, with the date)")
        core = w.core(items, None, order=order, limit=token)
    return text, [*core, "per", *keys]


def _since_last(w: Writer) -> tuple[str, list[Piece]]:
    entity, link, f = _followed(w)
    child = link.child
    w.today = day_after(w, f, 60)
    noun, nouns = w.noun(entity), plural(w.noun(entity))
    thing = w.noun(child)
    keys: list[Piece] = [entity.key.token] if entity.key else labels(w, entity)
    back: list[Piece] = ["days_between", "max", f.token, "today"]
    last = w.pick("(last|latest|most recent)")
    own = "their" if people_words(entity.noun) else "its"
    items = labels(w, entity)
    if w.chance(0.6):
        text = w.pick(
            f"({LIST} the (number of days|days|time in days) since the {last} {thing} (of|for) (each|every) {noun}|"
            f"how many days ago was the {last} {thing} of (each|every) {noun}|days since the {last} {thing} (per|"
            f"by|for each) {noun}|"
            f"how many days (have passed|has it been) since (each|every) {noun}'s {last} {thing}|{LIST} (each|"
            f"every) {noun} (with|and) the (number of days|days) since {own} {last} {thing})"
        )
        return text, w.core([*items, *back], group=keys)
    if w.chance(0.5):
        text = w.pick(
            f"(for which {noun} (is|was) the {last} {thing} the longest ago|(which|"
            f"what) {noun} has gone the longest without {article(thing)}|"
            f"{LIST} the {noun} whose {last} {thing} is the longest ago)"
        ).replace("is the last", "was the last")
        return text, w.core(items, group=keys, order=["max", f.token, "asc"], limit="1")
    number = w.rng.choice((30, 30, 60, 60, 90, 90, 100, 120, 180, 365))
    shown, token = w.literal(str(number))
    text = w.pick(
        f"({LIST} (the |all |){nouns} whose {last} {thing} (is|was) more than {shown} days ago|(which|"
        f"what) {nouns} had their {last} {thing} more than {shown} days ago|"
        f"{nouns} whose {last} {thing} is (older than {shown} days|over {shown} days old))"
    )
    return text, w.core(items, group=keys, having=[*back, ">", token])


def _newcomers(w: Writer) -> tuple[str, list[Piece]]:
    """Who had their first row in a period, and how many of them by period."""
    entity, link, f = _followed(w)
    child = link.child
    nouns, thing = plural(w.noun(entity)), w.noun(child)
    first = w.chance(0.75)
    word: Piece = "min" if first else "max"
    adjective = "first" if first else w.pick("(last|latest|most recent)")
    keys: list[Piece] = [entity.key.token] if entity.key else labels(w, entity)
    that = "who" if people_words(entity.noun) else "that"
    if w.chance(0.42) and first:
        unit = w.rng.choice(("by_month", "by_month", "year", "by_quarter"))
        name = {"by_month": "month", "year": "year", "by_quarter": "quarter"}[unit]
        adverb = {"by_month": "monthly", "year": "yearly", "by_quarter": "quarterly"}[unit]
        text = w.pick(
            f"(how many {nouns} had their first {thing} in each {name}|"
            f"number of {nouns} by the {name} of their first {thing}|new {nouns} (per|by) {name}, by (date of |"
            f")(the |their |)first {thing}|"
            f"{adverb} number of {nouns} with their first {thing}|how many new {nouns} (were there|"
            f"did we get) (per|each) {name}, counted by first {thing}|"
            f"{START} the number of {nouns} per {name} of (the |their )first {thing})"
        )
        inner = bare_core([link.column.token, "min", f.token], (), (), group=[link.column.token])
        w.required = {child.place}
        return text, [
            "with", "[", *inner, "]", "select", unit, "#2", "count", "*", "group", unit, "#2", "order", unit, "#2", "asc",
        ]  # fmt: skip
    period = span(w, f, relatives=0.25)
    items = labels(w, entity)
    having: list[Piece] = [word, f.token, *period.body]
    text = w.pick(
        f"({LIST} (the |all |){nouns} whose {adjective} {thing} was {period.text}|(which|"
        f"what) {nouns} had their {adjective} {thing} {period.text}|"
        f"{LIST} {nouns} {that} had their {adjective} {thing} {period.text}|"
        f"{nouns} with their {adjective} {thing} {period.text})"
    )
    return text, w.core(items, group=keys, having=having)


def inactive(w: Writer) -> tuple[str, list[Piece]]:
    """Those without a row in or since a span of time, and those with one."""
    entity, link, f = _followed(w)
    child = link.child
    nouns, things, thing = plural(w.noun(entity)), plural(w.noun(child)), w.noun(child)
    past, now = _act(w, entity, child)
    that = "who" if people_words(entity.noun) else "that"
    key = link.target.token
    draw = w.rng.random()
    conditions = w.conditions(entity, 1, dates=False) if w.chance(0.2) else []
    w.required = set()
    said, outer = w.subject(entity, conditions, noun=nouns)
    home = set(w.required)
    if draw < 0.2:
        return _last_before(w, entity, link, f, said, outer)
    since = draw < 0.45
    if since:
        unit = w.rng.choice(("year", "month", "month", "quarter", "day"))
        shown, token = w.period(w.day(f), unit, w.rng)
        when, body = f"since {shown}", [">=", token]
    else:
        head, phrase, today = relative(w, _late_day(f, w.rng)) if w.chance(0.6) else ("", "", None)
        if today is not None:
            w.today = today
            shown, token = w.literal(phrase)
            when, body = f"{head.replace('from', 'in').replace('for', 'in')}{shown}", ["=", token]
        else:
            period = span(w, f, relatives=0, closed=True)
            when, body = period.text, period.body
    inner = w.core([link.column.token], [f.token, *body], required={child.place})
    without = w.chance(0.72)
    if without:
        preds = [
            f"have (not had|had no) {things} {when}".replace("not had", "not had any"),
            f"have had no {things} {when}",
            f"had no {things} {when}",
        ]
        posts = [
            f"without (any |){things} {when}",
            f"without (a single|any) {thing} {when}".replace("any " + thing, things),
            f"with no {things} {when}",
            f"{that} had no {things} {when}",
        ]
        if past:
            preds += [
                f"have not {past} {when}",
                f"haven't {past} {when}",
                f"did not {now} anything {when}" if now == "order" else f"did not {now} {when}",
            ] * 2
            posts += [
                f"{that} have not {past} {when}",
                f"{that} did not {now} {when}",
                f"{that} haven't {past} {when}",
            ] * 2
        elif re.search("order item|order line|sale|invoice line", child.noun) and not people_words(
            entity.noun
        ):
            preds += [f"were not sold {when}"]
            posts += [f"not sold {when}", f"that were not sold {when}"]
        if since:
            posts.append(f"inactive {when} ⟦no {things}⟧")
            preds.append(f"have been inactive {when}, with no {things}")
    else:
        preds = [
            f"had (at least one {thing}|{things}|any {things}) {when}",
            f"have had (at least one {thing}|{things}) {when}",
        ]
        posts = [
            f"with (at least one {thing}|{things}) {when}",
            f"{that} had (at least one {thing}|{things}) {when}",
        ]
        if past:
            posts += [f"{that} have {past} {when}"]
            preds += [f"have {past} {when}"]
    test = glued(outer, [key, "not_in" if without else "in", "[", *inner, "]"])
    w.required = home
    count = w.chance(0.35)
    items: list[Piece] = ["count", "*"] if count else labels(w, entity)
    post, pred = w.pick(w.rng.choice(posts)), w.pick(w.rng.choice(preds))
    if conditions and conditions[0].post and not conditions[0].pre:
        full = f"{said} {post}" if post.startswith(("with", "who", "that", "not", "in")) else said
        full = f"{said} and {post}" if w.chance(0.5) and post.startswith(("with", "who", "that")) else full
        text = w.pick(
            f"(how many {full} are there|number of {full}|count (the |){full})"
            if count
            else f"({LIST} (the |all |){full}|{full})"
        )
    elif count:
        text = w.pick(
            f"(how many {said} {pred}|how many {said} {pred}|number of {said} {post}|count (the |all |){said} {post})"
        )
    else:
        text = w.pick(
            f"((which|what) {said} {pred}|{LIST} (the |all |){said} {post}|{said} {post}|which {said} {pred})"
        )
    form = w.core(items, test)
    w.required = home | {child.place}
    return text.replace("⟦", "(").replace("⟧", ")"), form


def _late_day(f: Field, rng: random.Random) -> date:
    """A day of the last tenth of a column's span."""
    try:
        low, high = (date.fromisoformat(str(x)[:10]) for x in (f.low, f.high))
    except ValueError:
        raise Unfit("no date") from None
    return high - timedelta(days=rng.randrange(max((high - low).days // 10, 1)))


def _last_before(
    w: Writer, entity: Entity, link: Link, f: Field, said: str, outer: list[Piece]
) -> tuple[str, list[Piece]]:  # fmt: skip
    """Those whose last row lies before a date."""
    w.required |= {link.child.place, entity.place}
    thing = w.noun(link.child)
    keys: list[Piece] = [entity.key.token] if entity.key else labels(w, entity)
    unit = w.rng.choice(("year", "month", "quarter", "day"))
    shown, token = w.period(w.day(f), unit, w.rng)
    last = w.pick("(last|latest|most recent)")
    text = w.pick(
        f"({LIST} (the |all |){said} whose {last} {thing} was before {shown}|(which|"
        f"what) {said} had their {last} {thing} before {shown}|{said} whose {last} {thing} (dates from before|"
        f"was before|is from before) {shown})"
    )
    return text, w.core(labels(w, entity), outer, group=keys, having=["max", f.token, "<", token])
