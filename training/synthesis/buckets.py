"""Classes that a question defines: labels by thresholds or values, listed or counted."""

from __future__ import annotations

import re

from sqlgen.training.synthesis.common import aggregate_of, labels, main_condition, numeric, state, state_field
from sqlgen.training.synthesis.subjects import NOT_ADDITIVE, Field
from sqlgen.training.synthesis.wording import number_text, plural
from sqlgen.training.synthesis.writer import Piece, Unfit, Writer

__all__ = ["buckets"]

_BANDS: tuple[tuple[str, str], ...] = (
    (
        r"\b(price|cost|fee|rent|rate|fare|charge)$",
        "cheap|medium|expensive,budget|standard|premium,low|mid|high,cheap|fair|expensive",
    ),
    (r"\b(salary|income|bonus|pay)$", "low|middle|high,junior|mid|senior,low|average|high"),
    (
        r"\b(amount|total|value|budget|balance|spend|revenue)$",
        "small|medium|large,low|medium|high,minor|normal|major",
    ),
    (r"^age$", "young|middle-aged|old,young|adult|senior"),
    (r"\b(duration|length|distance|minutes|hours|nights|days)$", "short|medium|long,short|normal|long"),
    (r"\bweight$", "light|medium|heavy"),
    (r"\b(rating|score|gpa|grade|satisfaction)\b", "poor|average|good,bad|ok|great,low|medium|high"),
    (
        r"\b(capacity|area|size|beds|seats|employees|population|attendees|quantity|stock level|rows)$",
        "small|medium|large,low|normal|high",
    ),
    (r"", "low|medium|high,low|normal|high,small|medium|large"),
)


def _names(w: Writer, f: Field, count: int) -> list[str]:
    sets = next(found for pattern, found in _BANDS if re.search(pattern, f.words))
    chosen = w.rng.choice(sets.split(",")).split("|")
    names = chosen if count == 3 else [chosen[0], chosen[2]]
    return names


def _quoted(w: Writer, name: str, quote: str) -> tuple[str, Piece]:
    shown, token = w.literal(name)
    return f"{quote}{shown}{quote}", token


def _bands(w: Writer, f: Field) -> tuple[str, list[Piece]]:
    """("'low' (below 20), 'medium' (20 to 50) and 'high' (above 50)", the case)."""
    count = 3 if w.chance(0.6) else 2
    names = _names(w, f, count)
    quote = w.rng.choice(("'", '"', "", "'"))
    shown = [_quoted(w, n, quote) for n in names]
    cuts = sorted({w.threshold(f) for _ in range(6)})
    if len(cuts) < count - 1 or (f.high is not None and cuts[0] <= f.low):
        raise Unfit("no thresholds")
    if count == 2:
        cut = w.rng.choice(cuts)
        value, token = w.number(cut, f)
        plain = number_text(cut, w.rng, plain=True)
        if w.chance(0.5):
            form: list[Piece] = [
                "case",
                "when",
                f.token,
                ">",
                token,
                "then",
                shown[1][1],
                "else",
                shown[0][1],
                "end",
            ]
            text = w.pick(
                f"({shown[1][0]} (if|when) {f.words} (is above|is over|is more than|exceeds|>) {value} and {shown[0][0]} otherwise|"
                f"{shown[1][0]} (above|over) {value}, (else|otherwise) {shown[0][0]}|{shown[1][0]} ⟦{f.words} "
                f"over {value}⟧ or {shown[0][0]})"
            )
        else:
            form = ["case", "when", f.token, "<", token, "then", shown[0][1], "else", shown[1][1], "end"]
            text = w.pick(
                f"({shown[0][0]} (if|when) {f.words} is (below|under|less than) {value} and {shown[1][0]} otherwise|"
                f"{shown[0][0]} (under|below) {value}, (else|otherwise) {shown[1][0]}|{shown[0][0]} ⟦under {value}⟧ "
                f"(or|and) {shown[1][0]} ⟦{plain} and (more|above|up)⟧)"
            )
        return text, form
    low, high = sorted(w.rng.sample(cuts, 2))
    first, a = w.number(low, f)
    second, b = w.number(high, f)
    plain = number_text(low, w.rng, plain=True)
    last = number_text(high, w.rng, plain=True)
    inclusive = w.chance(0.3)
    op = "<=" if inclusive else "<"
    form = [
        "case",
        "when",
        f.token,
        op,
        a,
        "then",
        shown[0][1],
        "when",
        f.token,
        op,
        b,
        "then",
        shown[1][1],
        "else",
        shown[2][1],
        "end",
    ]
    if inclusive:
        text = w.rng.choice(
            (
                f"{shown[0][0]} (up to {first}), {shown[1][0]} (up to {second}) and {shown[2][0]} (above)",
                f"{shown[0][0]} up to {first}, {shown[1][0]} up to {second} and {shown[2][0]} above that",
                f"{shown[0][0]} ({first} or less), {shown[1][0]} ({second} or less), {shown[2][0]} (the rest)",
            )
        )
    else:
        text = w.rng.choice(
            (
                f"{shown[0][0]} (under {first}), {shown[1][0]} (under {second}) and {shown[2][0]} (the rest)",
                f"{shown[0][0]} (below {first}), {shown[1][0]} ({plain} to below {second}) and {shown[2][0]} ({last} and above)",
                f"{shown[0][0]} below {first}, {shown[1][0]} below {second} and {shown[2][0]} from {last} on",
                f"{shown[0][0]} if less than {first}, {shown[1][0]} if less than {second}, otherwise {shown[2][0]}",
                f"{shown[0][0]} (< {first}), {shown[1][0]} (< {second}), {shown[2][0]} (>= {last})",
            )
        )
    return text, form


def buckets(w: Writer) -> tuple[str, list[Piece]]:
    draw = w.rng.random()
    if draw < 0.2:
        return _yes_or_no(w)
    if draw < 0.3:
        return _renamed(w)
    entity = w.entity(lambda e: bool(numeric(e)) and e.rows > 8)
    f = w.rng.choice(numeric(entity))
    conditions = w.conditions(entity, w.rng.choices((0, 1), (4, 1))[0])
    if any(id(f) in c.fields for c in conditions):
        raise Unfit("the same column twice")
    said, where = w.subject(entity, conditions)
    bands, case = _bands(w, f)
    words = w.words(f)
    by = (
        ""
        if re.search(rf"\b{re.escape(f.words)}\b", bands)
        else w.pick(f" (by|based on|according to|by their) {words}")
    )
    # The labels may hold parentheses, which the choice of words must not read.
    if draw < 0.62 and entity.label:
        lead = w.pick(
            f"(classify|categorise|categorize|label|mark|bucket|flag|group|split) (all |the |){said}{by} (as|into|as) "
        )
        if "into" in lead and (" if " in bands or "otherwise" in bands):
            lead = lead.replace("into", "as")
        if re.match(r"(label|mark|flag)", lead):
            lead = lead.replace(" into ", " as ")
        if re.match(r"(group|split|bucket)", lead):
            lead = lead.replace(" as ", " into ")
            if " if " in bands or "otherwise" in bands or " when " in bands:
                lead = re.sub(r"^(group|split|bucket)", "classify", lead).replace(" into ", " as ")
        if w.chance(0.3):
            lead = w.pick(
                f"(for each {w.noun(entity)}, (show|say) whether it is |show (the |){said} with a {words} (class|"
                "band|category): "
            )
            if conditions or "for each" in lead:
                lead = w.pick(
                    f"(show|list|give me) (the |){said} with their {words} (class|band|category|level): "
                )
        return lead + bands, w.core([*labels(w, entity), *case], where)
    draw = w.rng.random()
    if draw < 0.65:
        lead = w.pick(
            f"(number of {said} (per|by) {words} (band|class|bucket|range|group): |count (the |){said} (by|"
            f"per) {words} (band|category|bucket|class): |"
            f"how many {said} (are there |)(per|in each) {words} (class|band|bucket|group): |group (the "
            f"|){said} by {words} and count them: |"
            f"distribution of {said} (by|over) {words}: |split {said} by {words} and count each group: )"
        )
        return lead + bands, w.core([*case, "count", "*"], where, group=case)
    others = [x for x in numeric(entity) if x is not f]
    other = w.any_of(others) if others and w.chance(0.8) else f
    word, adjective = aggregate_of(w, not NOT_ADDITIVE.search(other.words))
    lead = w.pick(
        f"({adjective} {w.words(other)} (of {said} |)(per|by) {words} (band|class|group|bucket): |"
        f"show the {adjective} {w.words(other)} of {said} (per|by|for each) {words} (band|class|range): )"
    )
    if conditions and plural(entity.noun) not in lead:
        raise Unfit("a condition unsaid")
    return lead + bands, w.core([*case, word, other.token], where, group=case)


def _yes_or_no(w: Writer) -> tuple[str, list[Piece]]:
    """Every row with one of two words, by a condition."""
    entity = w.entity(lambda e: bool(e.label))
    if entity.having("category") and w.chance(0.4):
        f = state_field(w, entity)
        s = state(w, entity, f, str(w.rng.choice(f.samples)), plural(entity.noun))
        pred, form = s.pred, s.form
    else:
        condition = main_condition(w, entity)
        pred, form = condition.pred, condition.form
    one = w.single(pred)
    if " their " in one:
        one = one.replace(" their ", " its ")
    nouns = plural(w.noun(entity))
    w.subject(entity, [])
    quote = w.rng.choice(("'", '"', "", "'"))
    yes, no = w.rng.choice((("yes", "no"), ("yes", "no"), ("Yes", "No"), ("Y", "N")))
    if yes == "Y":
        quote = quote or "'"
    a, b = _quoted(w, yes, quote), _quoted(w, no, quote)
    noun = w.noun(entity)
    text = w.pick(
        f"(list (the |all |){nouns} (with|and) {a[0]} if the {noun} {one} and {b[0]} otherwise|for each "
        f"{noun}, show {a[0]} if it {one}, (else|otherwise) "
        f"{b[0]}|show (all |){nouns} and whether they {pred} ⟦{a[0]} or {b[0]}⟧|show (all |){nouns} "
        f"and whether they {pred}: {a[0]} or {b[0]}|"
        f"list every {noun} with {a[0]} or {b[0]} depending on whether it {one})"
    )
    case: list[Piece] = ["case", "when", *form, "then", a[1], "else", b[1], "end"]
    return text, w.core([*labels(w, entity), *case], [])


def _renamed(w: Writer) -> tuple[str, list[Piece]]:
    """A code spelled out: two or three values of a column given other names."""
    entity = w.entity(lambda e: any(2 <= f.distinct <= 5 for f in e.having("category")))
    f = w.any_of([f for f in entity.having("category") if 2 <= f.distinct <= 5 and f not in entity.label])
    texts = sorted({str(s) for s in f.samples})
    if len(texts) < 2 or any(len(t) > 20 for t in texts):
        raise Unfit("too few values")
    known = w.rng.sample(texts, min(len(texts) - 1, 2))
    new = w.rng.sample(
        ("done", "open", "special", "standard", "group 1", "group 2", "internal", "external", "core", "main"),
        len(known),
    )
    rest, other = _quoted(w, w.rng.choice(("other", "rest", "else", "misc")), "'")
    pieces: list[str] = []
    case: list[Piece] = ["case"]
    for text, name in zip(known, new, strict=True):
        shown, token = w.named(f, text)
        said, label = _quoted(w, name, "'")
        pieces.append(f"{said} for {shown}")
        case += ["when", f.token, "=", token, "then", label]
    case += ["else", other, "end"]
    listed = f"{' and '.join(pieces)}, {rest} for (everything else|all others|the rest)"
    nouns = plural(w.noun(entity))
    w.subject(entity, [])
    words = w.words(f)
    if entity.label and w.chance(0.5):
        text = w.pick(f"(show|list) (the |){nouns} with a {words} label: {listed}")
        return text, w.core([*labels(w, entity), *case], [])
    text = w.pick(f"(count|number of) {nouns} by {words} group: {listed}")
    return text, w.core([*case, "count", "*"], [], group=case)
