"""Whatever the automaton emits is SQL."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import sqlglot
from sqlglot import exp
from tokenizers import Tokenizer

from sqlgen.generation.embedded import shipped_path
from sqlgen.generation.encode import PieceCache, encode, form_to_ids, ids_to_form
from sqlgen.generation.grammar import END, START, Grammar, State, accepts
from sqlgen.sql.form import KEYWORDS, Inexpressible, form_to_sql
from sqlgen.types import Column, Dialect, ForeignKey, RetrievedContext, Table, TableSlice, ValueMatch

SHOPS = Table(
    "shops",
    (
        Column("id", "INT", "number", primary_key=True),
        Column("city", "TEXT", "text"),
        Column("opened", "DATE", "date"),
    ),
)
SALES = Table(
    "sales",
    (Column("shop_id", "INT", "number"), Column("amount", "REAL", "number"), Column("open", "BOOL", "bool"),
     Column("from_shop_id", "INT", "number"), Column("earlier_id", "INT", "number")),
    foreign_keys=(ForeignKey(("shop_id",), "shops", ("id",)), ForeignKey(("from_shop_id",), "shops", ("id",)),
                  ForeignKey(("earlier_id",), "sales", ("shop_id",))),
)  # fmt: skip
CONTEXT = RetrievedContext(
    (TableSlice(SHOPS, 1.0, ""), TableSlice(SALES, 1.0, "")), (ValueMatch("shops", "city", "Rome", 10, 14),)
)
QUESTION = "shops in  Rome with more than 12 sales since 2023"


# What brings a walk to its end, so that long ones don't dominate.
CLOSING = {KEYWORDS.index(w) for w in ("</s>", ")", "]", "}", "end", "then")}


@pytest.fixture(scope="module")
def cache() -> PieceCache:
    tokenizer = Tokenizer.from_file(str(shipped_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return PieceCache(tokenizer)


def walk(grammar: Grammar, rng: random.Random, limit: int) -> list[int] | None:
    state, tokens = State(), [START]
    while len(tokens) < limit:
        options = np.flatnonzero(grammar.allowed(state)).tolist()
        assert options
        closing = [t for t in options if t in CLOSING]
        hurry = 0.9 if len(tokens) > 25 else 0.3
        token = rng.choice(closing) if closing and rng.random() < hurry else rng.choice(options)
        tokens.append(token)
        state = grammar.advance(state, token)
        if token == END:
            assert not state.stack
            return tokens
    return None


@pytest.mark.parametrize("dialect", ["sqlite", "duckdb", "postgres", "mysql"])
def test_random_walks_are_sql(cache: PieceCache, dialect: Dialect) -> None:
    encoded = encode(QUESTION, CONTEXT, cache)
    grammar = Grammar(encoded, CONTEXT, QUESTION, loose=False)
    rng = random.Random(dialect)
    rendered, reasons = 0, Counter[str]()
    for _ in range(500):
        tokens = walk(grammar, rng, 90)
        form = ids_to_form(tokens, encoded) if tokens else ["unanswerable"]
        if form == ["unanswerable"]:
            continue
        try:
            sql = form_to_sql(form, CONTEXT, QUESTION, dialect)
        except Inexpressible as error:
            reasons[str(error)] += 1
            continue
        tree = sqlglot.parse_one(sql, dialect=dialect)
        assert isinstance(tree, exp.Query), sql
        for node in tree.find_all(exp.Sum, exp.Avg):
            assert not (isinstance(node.this, exp.Column) and node.this.name in ("city", "opened", "open")), (
                sql
            )
        rendered += 1
    assert rendered > 150
    # What no automaton over tokens sees: a query of constants alone, a key that no item of a union is.
    assert set(reasons) <= {
        "no table", "ORDER BY of a set operation over something that it does not select",
    }  # fmt: skip


GOOD = [
    ["select", ("c", 0, 1), "where", ("c", 0, 1), "=", ("v", 0)],
    ["select", ("c", 0, 1), "count", "*", "from", ("t", 1), "group", ("c", 0, 1), "having", "count", "*", ">",
     ("q", 30, 32), "order", "count", "*", "desc", "limit", "3"],
    ["select", "sum", "{", ("c", 1, 1), "*", ("c", 1, 0), "}", "where", ("c", 0, 2), ">=", ("q", 45, 49)],
    ["select", ("c", 0, 0), "where", ("c", 0, 0), "not_in", "[", "select", ("c", 1, 0), "]"],
    ["select", ("c", 0, 0), "intersect", "select", ("c", 1, 0), "where", ("c", 1, 1), ">", "[", "select", "avg",
     ("c", 1, 1), "]"],
    ["select", "by_month", ("c", 0, 2), "count", "*", "group", "by_month", ("c", 0, 2)],
]  # fmt: skip
GOOD += [
    ["select", ("c", 0, 1), "share", "sum", ("c", 1, 1), "group", ("c", 0, 1)],
    ["select", "100", "*", "count", "if", "(", ("c", 0, 1), "=", ("v", 0), ")", "*", "/", "count", "*"],
    ["select", ("c", 0, 1), "sum", ("c", 1, 1), "rank", "over", "(", "order", "sum", ("c", 1, 1), "desc", ")", "group", ("c", 0, 1)],
    ["select", "by_month", ("c", 0, 2), "sum", "sum", ("c", 1, 1), "over", "(", "order", "by_month", ("c", 0, 2), "asc", "rows", "3",
     ")", "group", "by_month", ("c", 0, 2)],
    ["with", "[", "select", ("c", 0, 1), "count", "*", "group", ("c", 0, 1), "]", "select", "#1", "where", "#2", ">", "[", "select",
     "avg", "#2", "]"],
    ["select", ("c", 0, 1), "where", "not_exists", "[", "select", "*", "where", ("c", 1, 0), "=", "outer", ("c", 0, 0), "]"],
    ["select", ("c", 0, 1), "other", ("c", 0, 1), "from", "via", ("c", 1, 0), "other", ("c", 1, 3)],
    ["select", ("c", 0, 1), "count", ("c", 1, 0), "from", "all", ("t", 0), "group", ("c", 0, 1)],
    ["select", ("c", 0, 1), "order", "sum", ("c", 1, 1), "desc", "limit", "3", "per", ("c", 0, 1)],
    ["select", "avg", "days_between", ("c", 0, 2), "today"],
    ["select", "case", "when", ("c", 1, 1), ">", "5", "then", ("q", 0, 5), "else", ("q", 20, 24), "end", "1", "-", ("c", 1, 1)],
    ["unanswerable"],
]  # fmt: skip
BAD = [
    ["select", "rank", ("c", 0, 0)],
    ["select", ("c", 0, 0), "where", "rank", "over", "(", "order", ("c", 0, 0), "asc", ")", "=", "1"],
    ["select", "sum", "sum", ("c", 1, 1)],
    ["select", ("c", 0, 1), ("c", 0, 1)],
    ["select", ("c", 0, 0), "where", ("c", 0, 0), "=", ("v", 0)],
    ["select", "outer", ("c", 0, 0)],
    ["select", "#1"],
    ["with", "[", "select", ("c", 0, 1), "]", "select", "#2"],
    ["with", "[", "select", "*", "]", "select", "#1"],
    ["select", ("c", 0, 0), "limit", "3", "per", ("c", 0, 1)],
    ["select", ("c", 0, 0), "order", ("c", 0, 0), "asc", "union", "select", ("c", 0, 0)],
    ["select", "unanswerable"],
    ["select", ("c", 0, 0), "where", ("c", 0, 2), "=", ("q", 0, 5)],
    ["select", "sum", ("c", 0, 1)],
    ["select", ("c", 0, 1), "where", "count", "*", ">", "3"],
    ["select", ("c", 0, 1), "having", "count", "*", ">", "3"],
    ["select", ("c", 0, 0), ("c", 0, 1), "union", "select", ("c", 0, 1)],
    ["select", ("c", 0, 0), "where", ("c", 0, 0), "in", "[", "select", ("c", 1, 0), ("c", 1, 1), "]"],
    ["select", ("c", 0, 0), "where", ("c", 0, 0), ">", ("v", 0)],
    ["select", ("c", 0, 0), "where", ("c", 0, 2), "like", ("q", 0, 5)],
    ["from", ("t", 0)],
]


@pytest.mark.parametrize("form", GOOD)
def test_accepts(form: list[str], cache: PieceCache) -> None:
    encoded = encode(QUESTION, CONTEXT, cache)
    grammar = Grammar(encoded, CONTEXT, QUESTION, loose=False)
    assert accepts(grammar, form_to_ids(form, encoded))


@pytest.mark.parametrize("form", BAD)
def test_refuses(form: list[str], cache: PieceCache) -> None:
    encoded = encode(QUESTION, CONTEXT, cache)
    grammar = Grammar(encoded, CONTEXT, QUESTION, loose=False)
    assert not accepts(grammar, form_to_ids(form, encoded))


def test_loose_sums_over_text(cache: PieceCache) -> None:
    encoded = encode(QUESTION, CONTEXT, cache)
    ids = form_to_ids(["select", "sum", ("c", 0, 1)], encoded)
    assert accepts(Grammar(encoded, CONTEXT, QUESTION, loose=True), ids)


def test_masks_cover_the_vocabulary(cache: PieceCache) -> None:
    encoded = encode(QUESTION, CONTEXT, cache)
    grammar = Grammar(encoded, CONTEXT, QUESTION, loose=False)
    assert grammar.allowed(State()).shape == (len(KEYWORDS) + len(encoded.slots),)
