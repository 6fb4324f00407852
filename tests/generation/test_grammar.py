"""Whatever the automaton emits is SQL."""

from __future__ import annotations

import random

import numpy as np
import pytest
import sqlglot
from sqlglot import exp
from tokenizers import Tokenizer

from sqlgen.generation.embedded import shipped_path
from sqlgen.generation.encode import PieceCache, encode, form_to_ids, ids_to_form
from sqlgen.generation.grammar import END, START, Grammar, State, accepts
from sqlgen.sql.form import KEYWORDS, Inexpressible, form_to_sql
from sqlgen.types import Column, ForeignKey, RetrievedContext, Table, TableSlice, ValueMatch

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
    (Column("shop_id", "INT", "number"), Column("amount", "REAL", "number"), Column("open", "BOOL", "bool")),
    foreign_keys=(ForeignKey(("shop_id",), "shops", ("id",)),),
)
CONTEXT = RetrievedContext(
    (TableSlice(SHOPS, 1.0, ""), TableSlice(SALES, 1.0, "")), (ValueMatch("shops", "city", "Rome", 10, 14),)
)
QUESTION = "shops in  Rome with more than 12 sales since 2023"


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
        token = END if END in options and rng.random() < 0.2 else rng.choice(options)
        tokens.append(token)
        state = grammar.advance(state, token)
        if token == END:
            assert not state.stack
            return tokens
    return None


def test_random_walks_are_sql(cache: PieceCache) -> None:
    encoded = encode(QUESTION, CONTEXT, cache)
    grammar = Grammar(encoded, CONTEXT, QUESTION, loose=False)
    rng = random.Random(5)
    finished, reasons = 0, set[str]()
    for _ in range(1500):
        tokens = walk(grammar, rng, 60)
        if tokens is None:
            continue
        finished += 1
        form = ids_to_form(tokens, encoded)
        try:
            sql = form_to_sql(form, CONTEXT, QUESTION, "sqlite")
        except Inexpressible as error:
            reasons.add(str(error))
            continue
        tree = sqlglot.parse_one(sql, dialect="sqlite")
        for node in tree.find_all(exp.Sum, exp.Avg):
            names = {c.name for c in node.find_all(exp.Column)}
            assert not names & {"city", "opened", "open"}, sql
    assert finished > 300
    assert reasons <= {"no table", "arithmetic on a literal"}


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
BAD = [
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
