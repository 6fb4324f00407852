"""Whatever is changed around a question, it means the same."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from sqlgen.sql.form import form_to_sql
from sqlgen.training.augment import QUIET, Noise, augment, cores_of
from sqlgen.training.corpora import Example
from sqlgen.training.names import apply_renaming, rename_tables
from sqlgen.training.slips import Spoken, add_filler, lower_case, make_typos, reword, strip_ending
from sqlgen.training.synonyms import build_synonyms, load_synonyms
from sqlgen.types import Column, ColumnKind, ForeignKey, RetrievedContext, Table, TableSlice, ValueMatch


def column(name: str, kind: ColumnKind = "text", *, key: bool = False) -> Column:
    return Column(name, kind, kind, primary_key=key)


def key(name: str, target: str, to: str, *, inferred: bool = False) -> ForeignKey:
    return ForeignKey((name,), target, (to,), inferred)


TABLES = (
    Table("customers", (column("customer_id", "number", key=True), column("customer_name"), column("city"),
                        column("date_of_birth", "date"), column("manager_id", "number")),
          foreign_keys=(key("manager_id", "customers", "customer_id"),)),
    Table("orders", (column("order_id", "number", key=True), column("buyer_id", "number"),
                     column("payer_id", "number"), column("order_date", "date"), column("total_amount", "number"),
                     column("status")),
          foreign_keys=(key("buyer_id", "customers", "customer_id"), key("payer_id", "customers", "customer_id"))),
    Table("OrderItems", (column("item_id", "number", key=True), column("order_ref", "number"),
                         column("product_ref", "number"), column("quantity", "number")),
          foreign_keys=(key("order_ref", "orders", "order_id"),
                        key("product_ref", "products", "product_id", inferred=True))),
    Table("products", (column("product_id", "number", key=True), column("product_title"), column("price", "number"),
                       column("category"))),
    Table("audit", (column("entry"), column("happened", "date"), column("note"))),
)  # fmt: skip
PLAIN = RetrievedContext(tuple(TableSlice(t, 1.0, "") for t in TABLES))
PARIS = replace(
    PLAIN,
    values=(
        ValueMatch("customers", "city", "Paris", 21, 26),
        ValueMatch("products", "product_title", "paris", 21, 26, 0.8),
        ValueMatch("orders", "status", "x", -1, -1, 0.0),
    ),
)


def example(question: str, context: RetrievedContext, *form: object) -> Example:
    return Example(question, context, tuple(form), "made", "shop")  # type: ignore[arg-type]


EXAMPLES = (
    example("How many orders are there?", PLAIN, "select", "count", "*", "from", ("t", 1)),
    example("Which customers from Paris paid more than 300 in total?", PARIS,
            "select", ("c", 0, 1), "from", "via", ("c", 1, 2), "where", ("c", 0, 2), "=", ("v", 0), "and",
            ("c", 1, 4), ">", ("q", 42, 45)),
    example("Titles and quantities that customers in Ulm bought", PLAIN,
            "select", ("c", 3, 1), ("c", 2, 3), "where", ("c", 0, 2), "=", ("q", 40, 43)),
    example("Customers and their managers since 2020", PLAIN,
            "select", ("c", 0, 1), "other", ("c", 0, 1), "where", ("c", 0, 3), ">=", ("q", 35, 39)),
    example("Orders above the average of their customer", PLAIN,
            "select", ("c", 1, 0), "where", ("c", 1, 4), ">", "[", "select", "avg", ("c", 1, 4), "where",
            ("c", 1, 1), "=", "outer", ("c", 1, 1), "]"),
    example("Products that nobody from Rome ordered or that cost 5", PLAIN,
            "select", ("c", 3, 1), "where", ("c", 3, 0), "not_in", "[", "select", ("c", 2, 2), "where",
            ("c", 0, 2), "=", ("q", 26, 30), "]", "or", ("c", 3, 2), "=", ("q", 52, 53)),
    example("Running total of amounts by month", PLAIN,
            "select", "by_month", ("c", 1, 3), "sum", "sum", ("c", 1, 4), "over", "(", "order", "by_month",
            ("c", 1, 3), "asc", ")", "group", "by_month", ("c", 1, 3)),
    example("Average number of orders per customer", PLAIN,
            "with", "[", "select", ("c", 1, 1), "count", "*", "group", ("c", 1, 1), "]", "select", "avg", "#2"),
    example("Show me all cats", PLAIN, "unanswerable"),
)  # fmt: skip
OTHER = Example(
    "Which films are long?",
    RetrievedContext(
        (
            TableSlice(Table("films", (column("film_code", key=True), column("minutes", "number"))), 1.0, ""),
            TableSlice(
                Table(
                    "screenings",
                    (column("film"), column("hall")),
                    foreign_keys=(key("film", "films", "film_code"),),
                ),
                1.0,
                "",
            ),
        ),
        (ValueMatch("screenings", "hall", "A", -1, -1, 0.0),),
    ),
    ("select", ("c", 0, 0), "where", ("c", 0, 1), ">", "100"),
    "made",
    "cinema",
)
LOUD = replace(Noise(**dict.fromkeys(Noise.__slots__, 0.5)), spare_keys=0.3, inferred_keys=0.2, said_keys=0.2)


def with_origins(context: RetrievedContext) -> RetrievedContext:
    """The context with every name noted where augmentation leaves it alone."""
    return replace(
        context,
        tables=tuple(
            replace(
                s,
                table=replace(
                    s.table,
                    comment=s.table.name,
                    columns=tuple(replace(c, comment=c.name) for c in s.table.columns),
                ),
            )
            for s in context.tables
        ),
    )


def restored(context: RetrievedContext) -> RetrievedContext:
    """The context under its noted names."""
    names = {s.table.name: s.table.comment for s in context.tables}
    columns = {(s.table.name, c.name): c.comment for s in context.tables for c in s.table.columns}

    def table(old: Table) -> Table:
        return replace(
            old,
            name=old.comment,
            columns=tuple(replace(c, name=c.comment) for c in old.columns),
            foreign_keys=tuple(
                replace(
                    k,
                    columns=tuple(columns[old.name, c] for c in k.columns),
                    target=names[k.target],
                    target_columns=tuple(columns[k.target, c] for c in k.target_columns),
                )
                for k in old.foreign_keys
            ),
        )

    return replace(context, tables=tuple(replace(s, table=table(s.table)) for s in context.tables))


def sql_of(example: Example) -> str:
    if example.form == ("unanswerable",):
        return "none"
    return form_to_sql(example.form, example.context, example.question, "sqlite")


def noted(example: Example) -> Example:
    return replace(example, context=with_origins(example.context))


def spans_of(example: Example) -> list[str]:
    return [example.question[t[1] : t[2]] for t in example.form if t[0] == "q" and len(t) == 3]  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("before", EXAMPLES, ids=lambda e: e.question[:20])
def test_the_meaning_stays(before: Example, seed: int) -> None:
    rng = random.Random(seed)
    after = augment(noted(before), rng, LOUD, noted(OTHER))
    tables = {s.table.key: s.table for s in after.context.tables}
    assert len(tables) == len(after.context.tables)
    for table in tables.values():
        names = [c.name.lower() for c in table.columns]
        assert len(set(names)) == len(names)
        for k in table.foreign_keys:
            assert all(table.column(c) for c in k.columns)
            assert all(tables[k.target].column(c) for c in k.target_columns)
    for match in after.context.values:
        assert tables[match.table].column(match.column) is not None
        if match.start >= 0:
            said = after.question[match.start : match.end]
            assert said.lower() == match.value.lower()
    # A look-up that missed its value leaves it to the question.
    assert [w for w in spans_of(after) if w != "Paris"] == spans_of(before)
    unnamed = replace(after, context=restored(after.context))
    assert sql_of(unnamed) == sql_of(before)
    # The new names say the same query as well.
    assert sql_of(after).count("JOIN") == sql_of(before).count("JOIN")


def test_each_kind_of_noise_is_asked_for_alone() -> None:
    before = noted(EXAMPLES[1])
    names = [(s.table.name, *(c.name for c in s.table.columns)) for s in before.context.tables]
    for kind in ("abbreviate", "synonyms", "affixes"):
        after = [augment(before, random.Random(seed), replace(QUIET, **{kind: 1.0})) for seed in range(20)]  # type: ignore[arg-type]
        assert {a.question for a in after} == {before.question}
        assert any(
            [(s.table.name, *(c.name for c in s.table.columns)) for s in a.context.tables] != names
            for a in after
        )
    for kind in ("typos", "reword", "lower", "ending", "filler"):
        after = [augment(before, random.Random(seed), replace(QUIET, **{kind: 1.0})) for seed in range(20)]  # type: ignore[arg-type]
        assert {a.context.tables for a in after} == {before.context.tables}
        assert any(a.question != before.question for a in after)
    assert augment(before, random.Random(1), QUIET) == before


def test_keys_that_are_needed_stay_or_are_said() -> None:
    before = EXAMPLES[2]
    for asked in (before, EXAMPLES[0]):
        spare = [augment(asked, random.Random(s), replace(QUIET, spare_keys=1.0)) for s in range(6)]
        assert {sql_of(a) for a in spare} == {sql_of(asked)}
    assert not any(s.table.foreign_keys for s in spare[0].context.tables)
    said = augment(before, random.Random(0), replace(QUIET, said_keys=1.0))
    assert not any(s.table.foreign_keys for s in said.context.tables)
    assert said.form.count("on") == 3
    assert sql_of(said) == sql_of(before)


def test_distractors_come_whole_and_never_to_what_cannot_be_answered() -> None:
    noise = replace(QUIET, distractors=1.0)
    after = augment(EXAMPLES[0], random.Random(0), noise, OTHER)
    assert {s.table.name for s in after.context.tables} >= {"films", "screenings"}
    assert [m.value for m in after.context.values] == ["A"]
    assert augment(EXAMPLES[-1], random.Random(0), noise, OTHER) == EXAMPLES[-1]
    # A table that the question could mean as well stays out.
    asks = replace(EXAMPLES[0], question="How many film orders are there?")
    named = augment(asks, random.Random(0), noise, OTHER)
    assert "films" not in {s.table.name for s in named.context.tables}


def test_a_missed_look_up_makes_a_literal_a_span() -> None:
    after = augment(EXAMPLES[1], random.Random(0), replace(QUIET, unseen_values=1.0))
    assert ("q", 21, 26) in after.form
    assert [m.value for m in after.context.values] == ["x"]
    assert sql_of(after) == sql_of(EXAMPLES[1])


def test_wrong_matches_never_fall_on_a_column_of_the_form() -> None:
    for seed in range(30):
        after = augment(EXAMPLES[1], random.Random(seed), replace(QUIET, false_values=1.0))
        fresh = after.context.values[len(EXAMPLES[1].context.values) :]
        assert fresh
        assert not {(m.table, m.column) for m in fresh} & {
            ("customers", "city"),
            ("customers", "customer_name"),
        }


def test_cores_know_their_own_tables() -> None:
    outer, inner = cores_of(EXAMPLES[4].form)
    assert (outer.used, inner.used) == ([1, 1, 1], [1, 1])
    [core] = cores_of(EXAMPLES[6].form)
    assert EXAMPLES[6].form[core.insert_at] == "group"


def test_noise_by_default_leaves_most_examples_readable() -> None:
    rng = random.Random(4)
    renamed = respelled = 0
    for _ in range(400):
        after = augment(EXAMPLES[1], rng)
        names = {s.table.name for s in after.context.tables} | {
            c.name for s in after.context.tables for c in s.table.columns
        }
        known = {t.name for t in TABLES} | {c.name for t in TABLES for c in t.columns}
        renamed += not names <= known
        respelled += after.question != EXAMPLES[1].question
    assert 0.25 < renamed / 400 < 0.45
    assert 0.15 < respelled / 400 < 0.40


def test_new_names_are_distinct_and_seeded() -> None:
    for seed in range(50):
        renaming = rename_tables(TABLES, random.Random(seed), abbreviations=1.0, synonyms=0.5, affixes=1.0)
        assert renaming == rename_tables(
            TABLES, random.Random(seed), abbreviations=1.0, synonyms=0.5, affixes=1.0
        )
        after = apply_renaming(TABLES, renaming)
        assert len({t.name.lower() for t in after}) == len(TABLES)
        assert [len(t.columns) for t in after] == [len(t.columns) for t in TABLES]


def test_spans_survive_every_slip() -> None:
    text = "Show customers from Paris and Bonn born after 12 May 1999?"
    said = ["Paris", "Bonn", "12 May 1999"]
    spans = [(text.index(w), text.index(w) + len(w)) for w in said]
    for seed in range(200):
        rng = random.Random(seed)
        spoken = Spoken(text, spans)
        reword(spoken, {"customer"}, rng)
        lower_case(spoken)
        strip_ending(spoken)
        add_filler(spoken, rng)
        make_typos(spoken, rng, 3)
        assert [spoken.text[a:b] for a, b in spoken.spans] == said
        assert all(b <= c for (_, b), (c, _) in pairwise(spoken.spans))


def test_definitions_behind_the_question_stay() -> None:
    spoken = Spoken("How many ACTIVE customers? | Active: status is LIVE", [])
    lower_case(spoken)
    strip_ending(spoken)
    make_typos(spoken, random.Random(1), 5)
    assert spoken.text.endswith(" | Active: status is LIVE")
    assert "?" not in spoken.text


def test_synonyms_are_few_words_in_lower_case() -> None:
    words = load_synonyms()
    assert len(words) > 500
    assert "client" in words["customer"]
    assert all(w == w.lower() and w not in others and others for w, others in words.items())


def test_synonyms_are_near_and_spoken() -> None:
    import numpy as np

    place = {"film": (1.0, 0.0), "movie": (0.9, 0.436), "flick": (0.9, 0.436), "skin": (0.0, 1.0)}
    built = build_synonyms(
        {"film": 9},
        {"movie": 9, "skin": 9, "flick": 1},
        iter([("n", ("film", "movie", "flick", "skin"), ())]),
        {},
        lambda words: np.array([place[w] for w in words], dtype=np.float32),
    )
    assert built["film"] == "movie"
