"""Examples as other databases and other people would have put them: the same meaning, said otherwise."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlgen.catalog.naming import natural_name
from sqlgen.sql.form import SET_OPERATIONS, FormToken, is_number
from sqlgen.sql.form.joins import Place, Step, connect_twice
from sqlgen.training.corpora import Example
from sqlgen.training.names import apply_renaming, rename_tables
from sqlgen.training.slips import Spoken, add_filler, lower_case, make_typos, reword, strip_ending
from sqlgen.types import RetrievedContext, Table, TableSlice, ValueMatch

__all__ = ["QUIET", "Core", "Noise", "augment", "cores_of", "steps_of"]

_SHORT_COLUMNS, _MOST_COLUMNS, _MOST_VALUES = 40, 70, 16
_STOP = frozenset(
    "the and for from with that have has are was were what which who how many much list show find give each all "
    "than more less most least their there between number name names total average".split()
)


@dataclass(frozen=True, slots=True)
class Noise:
    """How often each kind of change is made: the share of examples, from 0 to 1.

    ``tables`` and ``columns``: some that nobody needs are left out. ``abbreviate``, ``synonyms``,
    ``affixes``: names of the schema are renamed. ``typos``, ``reword``, ``lower``, ``ending``,
    ``filler``: the question. ``spare_keys``: foreign keys that the form does not need go,
    ``inferred_keys``: all of these that were inferred, ``said_keys``: those that it needs too, and
    the form says the equality. ``distractors``: tables of another database come in. ``values``:
    matches that the form does not use go, ``unseen_values``: all matches go, ``false_values``: wrong
    ones come in.
    """

    shuffle: float = 1.0
    tables: float = 0.33
    columns: float = 0.33
    abbreviate: float = 0.17
    synonyms: float = 0.13
    affixes: float = 0.14
    typos: float = 0.10
    reword: float = 0.06
    lower: float = 0.08
    ending: float = 0.06
    filler: float = 0.05
    spare_keys: float = 0.10
    inferred_keys: float = 0.03
    said_keys: float = 0.04
    distractors: float = 0.15
    values: float = 0.30
    unseen_values: float = 0.03
    false_values: float = 0.12


QUIET = Noise(**dict.fromkeys(Noise.__slots__, 0.0))
"""No change at all; ``replace(QUIET, typos=1.0)`` asks for one kind."""


@dataclass(slots=True)
class Core:
    """What joins the tables of one SELECT: the arguments of ``connect_twice``."""

    used: list[int]
    seconds: list[int]
    via: list[Place]
    other_via: list[Place]
    on: list[tuple[Place, Place]]
    preserved: int | None = None
    # Where in the form an equality can be said, and whether the SELECT has a FROM there already.
    insert_at: int = 0
    has_from: bool = False

    def steps(self, context: RetrievedContext) -> list[Step]:
        """How the tables are joined over ``context``."""
        used = self.used if self.preserved is None else [self.preserved, *self.used]
        if len(set(used)) == 1 and not self.seconds:
            return [Step(used[0], None)]
        return connect_twice(
            used, list(dict.fromkeys(self.seconds)), context, self.via, self.other_via, self.on
        )


_CLAUSES = frozenset(("where", "group", "having", "order", "limit", "]", *SET_OPERATIONS))


def cores_of(form: Sequence[FormToken]) -> list[Core]:
    """The SELECTs of a form, each with the tables that it uses itself.

    >>> [core.used for core in cores_of(["select", ("c", 0, 1), "from", ("t", 2)])]
    [[0, 2]]
    """
    found: list[Core] = []
    stack: list[Core | None] = [None]
    depths = [0]
    part, before = "", ""
    pending: Place | None = None
    for at, token in enumerate(form):
        core = stack[-1]
        if isinstance(token, str):
            depths[-1] += (token == "(") - (token == ")")
            if token == "[":
                stack.append(None)
                depths.append(0)
            elif token == "select":
                core = Core([], [], [], [], [])
                found.append(core)
                stack[-1] = core
                part = "items"
            elif core is not None and part and not depths[-1] and (token in _CLAUSES or token == "from"):
                if token == "from":
                    core.has_from = True
                else:
                    core.insert_at = at
                part = "from" if token == "from" else ""
            if token == "]":
                stack.pop()
                depths.pop()
                # A query in the items ends inside them; elsewhere the SELECT around it is past its FROM.
                outer = stack[-1]
                part = "items" if outer is not None and not outer.insert_at else ""
            before = token
            continue
        if core is not None and token[0] == "c":
            place = (token[1], token[2])  # type: ignore[misc]
            if part == "from":
                if before == "via":
                    core.via.append(place)
                elif before == "other":
                    core.other_via.append(place)
                elif pending is None:
                    pending = place
                    continue
                else:
                    core.on.append((pending, place))
                    pending = None
            elif before == "outer":
                if (parent := next((c for c in reversed(stack[:-1]) if c is not None), None)) is not None:
                    parent.used.append(place[0])
            else:
                core.used.append(place[0])
                if before == "other":
                    core.seconds.append(place[0])
        elif core is not None and token[0] == "t":
            if before == "all":
                core.preserved = token[1]
            else:
                core.used.append(token[1])
        before = ""
    for core in found:
        core.insert_at = core.insert_at or len(form)
    return found


def steps_of(form: Sequence[FormToken], context: RetrievedContext) -> list[list[Step]]:
    """How each SELECT of a form joins its tables."""
    return [core.steps(context) for core in cores_of(form)]


def augment(
    example: Example, rng: random.Random, noise: Noise | None = None, other: Example | None = None
) -> Example:
    """The same question, asked by somebody else of a database that somebody else drew up.

    The form means the same: over the changed context it joins and selects the same columns, and its
    spans name the same words. ``other`` is an example of another database, for distractors.
    """
    noise = noise or Noise()
    fresh = _reshape(example, rng, noise)
    if other is not None and rng.random() < noise.distractors:
        fresh = _distract(fresh, other, rng)
    fresh = _unkey(fresh, rng, noise)
    fresh = _revalue(fresh, rng, noise)
    fresh = _rename(fresh, rng, noise)
    return _respell(fresh, rng, noise)


def _points(form: Iterable[FormToken]) -> tuple[set[Place], set[int]]:
    """The columns and the values that a form points at."""
    columns = {(t[1], t[2]) for t in form if isinstance(t, tuple) and t[0] == "c" and len(t) == 3}
    return columns, {t[1] for t in form if isinstance(t, tuple) and t[0] == "v"}


def _move(
    form: Iterable[FormToken],
    *,
    tables: Mapping[int, int] | None = None,
    columns: Mapping[Place, Place] | None = None,
    values: Mapping[int, FormToken] | None = None,
    spans: Mapping[tuple[int, int], tuple[int, int]] | None = None,
) -> tuple[FormToken, ...]:
    """The form with its pointers moved."""
    out: list[FormToken] = []
    for token in form:
        if isinstance(token, tuple):
            if token[0] == "t" and tables is not None:
                token = ("t", tables[token[1]])
            elif token[0] == "c" and columns is not None:
                token = ("c", *columns[token[1], token[2]])  # type: ignore[misc]
            elif token[0] == "v" and values is not None:
                token = values[token[1]]
            elif token[0] == "q" and spans is not None:
                token = ("q", *spans[token[1], token[2]])  # type: ignore[misc]
        out.append(token)
    return tuple(out)


def _reshape(example: Example, rng: random.Random, noise: Noise) -> Example:
    """Tables and columns in another order, some of those that nobody needs left out."""
    context = example.context
    joined = steps_of(example.form, context)
    needed = {step.table for steps in joined for step in steps}
    columns, used_values = _points(example.form)
    said = {(context.values[k].table, context.values[k].column) for k in used_values}
    needed |= {i for i, s in enumerate(context.tables) if any(s.table.key == t for t, _ in said)}
    drop_table = rng.random() if rng.random() < noise.tables else 0.0
    drop_column = rng.random() * 0.6 if rng.random() < noise.columns else 0.0
    shuffled = rng.random() < noise.shuffle
    order = [i for i in range(len(context.tables)) if i in needed or rng.random() >= drop_table]
    order = order or list(range(len(context.tables)))
    if shuffled:
        rng.shuffle(order)
    staying = {context.tables[i].table.key for i in order}
    slices: list[TableSlice] = []
    place: dict[Place, Place] = {}
    targets = {
        (k.target, c) for i in order for k in context.tables[i].table.foreign_keys for c in k.target_columns
    }
    for new, old in enumerate(order):
        table = context.tables[old].table
        # As in retrieval, keys that lead out of the context are not shown.
        foreign = tuple(k for k in table.foreign_keys if k.target in staying)
        keys = {c for k in foreign for c in k.columns}
        kept = [
            j
            for j, c in enumerate(table.columns)
            if (old, j) in columns
            or c.primary_key
            or c.name in keys
            or (table.key, c.name) in said
            or (table.key, c.name) in targets
            or rng.random() >= drop_column
        ]
        if shuffled and rng.random() < 0.5:
            rng.shuffle(kept)
        place.update({(old, j): (new, k) for k, j in enumerate(kept)})
        thinner = replace(table, columns=tuple(table.columns[j] for j in kept), foreign_keys=foreign)
        slices.append(replace(context.tables[old], table=thinner))
    names = {(s.table.key, c.name) for s in slices for c in s.table.columns}
    drop_value = rng.random() * 0.5 if rng.random() < noise.values else 0.0
    matches = [
        k
        for k, m in enumerate(context.values)
        if (m.table, m.column) in names and (k in used_values or rng.random() >= drop_value)
    ]
    form = _move(
        example.form,
        tables={old: new for new, old in enumerate(order)},
        columns=place,
        values={old: ("v", new) for new, old in enumerate(matches)},
    )
    fresh = replace(context, tables=tuple(slices), values=tuple(context.values[k] for k in matches))
    return _if_same(example, replace(example, context=fresh, form=form), joined, order, place)


def _if_same(
    example: Example,
    fresh: Example,
    joined: Sequence[Sequence[Step]],
    order: Sequence[int],
    place: Mapping[Place, Place],
) -> Example:
    """``fresh`` if it joins as ``example`` does (``joined``), else that: order and keys can decide it."""
    where = {old: new for new, old in enumerate(order)}

    def moved(step: Step) -> Step | None:
        try:
            return replace(
                step,
                table=where[step.table],
                other=None if step.other is None else where[step.other],
                pairs=tuple(
                    (place[step.table, a][1], place[step.other, b][1])
                    for a, b in step.pairs
                    if step.other is not None
                ),
            )
        except KeyError:
            return None

    before = [[moved(s) for s in steps] for steps in joined]
    return fresh if before == steps_of(fresh.form, fresh.context) else example


def _alike(example: Example, fresh: Example) -> Example:
    """``fresh`` if its tables, in their places, are joined as those of ``example``, else that."""
    same = steps_of(example.form, example.context) == steps_of(fresh.form, fresh.context)
    return fresh if same else example


def _with_tables(example: Example, tables: Iterable[Table]) -> Example:
    slices = [
        replace(piece, table=table) for piece, table in zip(example.context.tables, tables, strict=True)
    ]
    return replace(example, context=replace(example.context, tables=tuple(slices)))


def _words(name: str) -> set[str]:
    return {w.rstrip("s") for w in natural_name(name).split() if len(w) > 2}


def _distract(example: Example, other: Example, rng: random.Random) -> Example:
    """Tables of another database in between, as retrieval would hand them where it is not sure."""
    mine, theirs = example.context, other.context
    width = sum(len(s.table.columns) for s in mine.tables)
    if example.database == other.database or width > _SHORT_COLUMNS or "unanswerable" in example.form:
        return example
    asked = {w.rstrip("s?,.!'") for w in example.question.lower().split()}
    barred = asked.union(*(_words(s.table.name) for s in mine.tables))
    found: list[TableSlice] = []
    for piece in rng.sample(theirs.tables, min(4, len(theirs.tables))):
        width += len(piece.table.columns)
        # A table of the same name could answer the question as well.
        if width <= _MOST_COLUMNS and not _words(piece.table.name) & barred:
            found.append(piece)
    if not found:
        return example
    keys = {s.table.key for s in found}
    if len(keys | {s.table.key for s in mine.tables}) < len(mine.tables) + len(found):
        return example
    found = [
        replace(
            s,
            table=replace(s.table, foreign_keys=tuple(k for k in s.table.foreign_keys if k.target in keys)),
        )
        for s in found
    ]
    slices = [*mine.tables, *found]
    order = list(range(len(slices)))
    rng.shuffle(order)
    where = {old: new for new, old in enumerate(order)}
    place = {
        (i, j): (where[i], j) for i, piece in enumerate(mine.tables) for j in range(len(piece.table.columns))
    }
    # Codes come with their column, whatever is asked.
    codes = tuple(m for m in theirs.values if m.start < 0 and m.table in keys)
    form = _move(example.form, tables=where, columns=place)
    fresh = replace(mine, tables=tuple(slices[i] for i in order), values=(*mine.values, *codes))
    joined = steps_of(example.form, mine)
    return _if_same(example, replace(example, context=fresh, form=form), joined, order, place)


def _unkey(example: Example, rng: random.Random, noise: Noise) -> Example:
    """Foreign keys that nobody declared in the changed database."""
    draw = rng.random()
    if draw < noise.said_keys:
        return _say_keys(example)
    draw -= noise.said_keys
    if draw >= noise.spare_keys + noise.inferred_keys:
        return example
    share = rng.random()
    if share < 0.3:
        share = 1.0
    needed = {
        example.context.tables[s.table].table.key
        for steps in steps_of(example.form, example.context)
        for s in steps
    }
    tables = []
    for piece in example.context.tables:
        kept = tuple(
            k
            for k in piece.table.foreign_keys
            if {piece.table.key, k.target} <= needed
            or (rng.random() >= share if draw < noise.spare_keys else not k.inferred)
        )
        tables.append(replace(piece.table, foreign_keys=kept))
    return _alike(example, _with_tables(example, tables))


def _say_keys(example: Example) -> Example:
    """No foreign key at all, and each SELECT says by which equalities it joins."""
    cores = cores_of(example.form)
    joined = [core.steps(example.context) for core in cores]
    form = list(example.form)
    # Keys also say on what a derived table is joined.
    if "with" in form or not any(len(steps) > 1 for steps in joined):
        return example
    for core, steps in sorted(zip(cores, joined, strict=True), key=lambda pair: -pair[0].insert_at):
        rest = steps[1:]
        if (
            any(s.second or s.other is None or len(s.pairs) != 1 for s in rest)
            or core.other_via
            or core.seconds
        ):
            return example
        said = {frozenset(pair) for pair in core.on}
        new: list[FormToken] = []
        for step in rest:
            a = (step.table, step.pairs[0][0])
            b = (step.other or 0, step.pairs[0][1])
            if frozenset((a, b)) not in said:
                new += ["on", ("c", *b), ("c", *a)]  # type: ignore[list-item]
        if new:
            form[core.insert_at : core.insert_at] = new if core.has_from else ["from", *new]
    bare = [replace(s.table, foreign_keys=()) for s in example.context.tables]
    fresh = replace(_with_tables(example, bare), form=tuple(t for t in form))
    return _alike(example, fresh)


def _revalue(example: Example, rng: random.Random, noise: Noise) -> Example:
    """Without the matches that the look-up may miss, with some that mean nothing."""
    context = example.context
    if context.values and rng.random() < noise.unseen_values:
        example = _unsee(example)
        context = example.context
    if rng.random() >= noise.false_values or sum(m.start >= 0 for m in context.values) >= _MOST_VALUES:
        return example
    columns, _ = _points(example.form)
    places = [
        (s.table.key, c.name)
        for i, s in enumerate(context.tables)
        for j, c in enumerate(s.table.columns)
        if c.kind == "text" and (i, j) not in columns and not c.primary_key
    ]
    known = {(m.table, m.column) for m in context.values}
    places = [p for p in places if p not in known]
    if not places:
        return example
    literals = [(m.value, m.start, m.end, m.score) for m in context.values if m.start >= 0]
    spoken = Spoken(example.question, [])
    words = spoken.words()
    for match in rng.sample(words, min(2, len(words))):
        word = match[0]
        if word.lower() not in _STOP:
            value = word.capitalize() if rng.random() < 0.5 else word.lower()
            literals.append((value, *match.span(), 0.8))
    fresh = [
        ValueMatch(table, column, *rng.choice(literals))
        for table, column in rng.sample(places, min(len(places), rng.choice((1, 1, 2))))
        if literals
    ]
    return replace(example, context=replace(context, values=(*context.values, *fresh)))


def _unsee(example: Example) -> Example:
    """No look-up of values: the form's literals are spans of the question, where they say the same."""
    context = example.context
    kinds = {(s.table.key, c.name): c.kind for s in context.tables for c in s.table.columns}
    _, used = _points(example.form)
    spans: dict[int, FormToken] = {}
    kept: list[ValueMatch] = []
    for k, match in enumerate(context.values):
        said = example.question[match.start : match.end] if match.start >= 0 else ""
        if k not in used and match.start >= 0:
            continue
        plain = kinds.get((match.table, match.column)) == "text" and not is_number(said)
        if k in used and said == match.value and plain:
            spans[k] = ("q", match.start, match.end)
        else:
            spans[k] = ("v", len(kept))
            kept.append(match)
    return replace(
        example, context=replace(context, values=tuple(kept)), form=_move(example.form, values=spans)
    )


def _rename(example: Example, rng: random.Random, noise: Noise) -> Example:
    """The names of the schema as somebody else would have chosen them."""
    abbreviate, synonyms, affixes = (
        rng.random() < rate for rate in (noise.abbreviate, noise.synonyms, noise.affixes)
    )
    if not (abbreviate or synonyms or affixes):
        return example
    before = [s.table for s in example.context.tables]
    renaming = rename_tables(
        before,
        rng,
        abbreviations=rng.choice((0.4, 0.7, 1.0)) if abbreviate else 0.0,
        synonyms=rng.choice((0.3, 0.6)) if synonyms else 0.0,
        affixes=0.5 if affixes else 0.0,
    )
    after = apply_renaming(before, renaming)
    keys = {old.key: new.key for old, new in zip(before, after, strict=True)}
    values = tuple(
        replace(
            m,
            table=keys.get(m.table, m.table),
            column=renaming.columns.get((m.table, m.column), m.column),
        )
        for m in example.context.values
    )
    fresh = _with_tables(example, after)
    fresh = replace(fresh, context=replace(fresh.context, values=values))
    return _alike(example, fresh)


def _respell(example: Example, rng: random.Random, noise: Noise) -> Example:
    """The question as somebody else would have typed it."""
    typos, other, lower, ending, filler = (
        rng.random() < rate for rate in (noise.typos, noise.reword, noise.lower, noise.ending, noise.filler)
    )
    if not (typos or other or lower or ending or filler):
        return example
    context = example.context
    spans = [(t[1], t[2]) for t in example.form if isinstance(t, tuple) and t[0] == "q" and len(t) == 3]
    said = [(m.start, m.end) for m in context.values if m.start >= 0]
    spoken = Spoken(example.question, [*spans, *said])
    if other:
        names = {
            w
            for s in context.tables
            for name in (s.table.name, *(c.name for c in s.table.columns))
            for w in _words(name)
        }
        reword(spoken, names, rng, rng.choice((0.5, 1.0)))
    if lower:
        lower_case(spoken)
    if ending:
        strip_ending(spoken)
    if filler:
        add_filler(spoken, rng)
    if typos:
        make_typos(spoken, rng, rng.choice((1, 1, 2, 3)))
    moved = dict(zip([*spans, *said], spoken.spans, strict=True))
    values = tuple(
        replace(m, start=moved[m.start, m.end][0], end=moved[m.start, m.end][1]) if m.start >= 0 else m
        for m in context.values
    )
    form = _move(example.form, spans=moved)
    return replace(example, question=spoken.text, context=replace(context, values=values), form=form)
