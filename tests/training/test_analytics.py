"""Questions about time, ranks and comparisons: what each family yields over small business databases."""

from __future__ import annotations

import random
import sqlite3
from datetime import date

import pytest
from tokenizers import Tokenizer

from sqlgen.generation.embedded import shipped_path
from sqlgen.generation.encode import PieceCache, encode, form_to_ids
from sqlgen.generation.grammar import Grammar, accepts
from sqlgen.sql.form import KEYWORDS, form_to_sql
from sqlgen.sql.periods import parse_period
from sqlgen.training.corpora import Example, read_sqlite
from sqlgen.training.synthesis.analytics import ANALYTICS
from sqlgen.training.synthesis.families import FAMILIES
from sqlgen.training.synthesis.subjects import Domain, read_domain
from sqlgen.training.synthesis.timed import relative
from sqlgen.training.synthesis.writer import Unfit, Writer
from sqlgen.training.synthesize import business_domains, synthesize

# Words of the form that a family cannot do without, one of each group.
MARKS = {
    "time buckets": {"by_month", "by_quarter", "by_week", "by_day", "year", "month", "weekday", "hour", "quarter", "day"},
    "periods": {"where"},
    "two periods": {"if", "not_in"},
    "durations": {"days_between", ">", "<="},
    "ages": {"years_between"},
    "first of each": {"per"},
    "ranked": {"rank", "dense_rank", "row_number", "ntile", "avg"},
    "over time": {"over"},
    "shares within": {"share"},
    "firsts and lasts": {"min", "max", "limit"},
    "inactive": {"not_in", "in", "max"},
}  # fmt: skip


@pytest.fixture(scope="module")
def domains() -> list[Domain]:
    return list(business_domains(7, seed=21))


@pytest.fixture(scope="module")
def cache() -> PieceCache:
    tokenizer = Tokenizer.from_file(str(shipped_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return PieceCache(tokenizer)


@pytest.fixture
def only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The one family that the generator knows during a test."""
    name = str(request.param)
    for known in list(FAMILIES):
        monkeypatch.delitem(FAMILIES, known)
    monkeypatch.setitem(FAMILIES, name, ANALYTICS[name])
    return name


@pytest.mark.parametrize("only", sorted(ANALYTICS), indirect=True)
def test_a_family_yields_pairs_that_run(only: str, domains: list[Domain], cache: PieceCache) -> None:
    pairs = list(synthesize(domains, 12, seed=4))
    assert len({e.question for _, e in pairs}) == 12
    for family, example in pairs:
        assert family == only
        assert all(token in KEYWORDS for token in example.form if isinstance(token, str))
        assert MARKS[only] & set(example.form), example.question
        _check(example)
        encoded = encode(example.question, example.context, cache)
        grammar = Grammar(encoded, example.context, example.question, loose=True)
        assert accepts(grammar, form_to_ids(example.form, encoded)), example.question


def _check(example: Example) -> None:
    for dialect in ("sqlite", "duckdb", "postgres", "mysql"):
        sql = form_to_sql(example.form, example.context, example.question, dialect, today=date(2024, 6, 1))
        assert "CROSS JOIN" not in sql
    assert "⟦" not in example.question
    assert "|" not in example.question.partition(" | ")[0]


@pytest.mark.parametrize("only", ["two periods", "first of each"], indirect=True)
def test_only_tables_that_matter_are_named(only: str, domains: list[Domain]) -> None:
    """A group that was drawn and given up leaves no table behind."""
    for _, example in synthesize(domains, 25, seed=9):
        named = [t for t in example.form if not isinstance(t, str) and t[0] == "t"]
        sources = example.form.index("from") if "from" in example.form else 0
        assert not named or len(named) <= 2, example.question
        assert not sources or example.form[sources + 1] == named[0] or only == "two periods"


def test_relative_periods_hold_their_day(domains: list[Domain]) -> None:
    writer = Writer(domains[0], random.Random(3))
    said = set()
    for number in range(150):
        day = date(2023, 1 + number % 12, 1 + number % 28)
        _, text, today = relative(writer, day)
        period = parse_period(text, today)
        assert period is not None
        assert period[0] <= day < period[1], (text, day, today)
        said.add(text.split()[0])
    assert {"last", "this", "past"} <= said


def test_a_database_without_dates_has_no_such_questions() -> None:
    script = "CREATE TABLE city (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO city VALUES (1, 'Rome'), (2, 'Bonn');"
    catalog, values = read_sqlite(script, "towns")
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    domain = read_domain("towns", catalog, values, connection, {}, random.Random(0))
    connection.close()
    for name in ("time buckets", "durations", "ages", "firsts and lasts"):
        with pytest.raises(Unfit):
            ANALYTICS[name][1](Writer(domain, random.Random(1)))
