"""Misspelt cells and initials: what is found, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqlgen.retrieval import Index, open_index
from sqlgen.retrieval.values import edits, initials_of, typo_keys
from sqlgen.types import Catalog, Table

from .conftest import count_words, text

TABLE = Table(
    "places",
    (
        text("country", "United Kingdom", "United States", "Germany", "Mississippi", "Chad"),
        text("city", "New York City", "Los Angeles", "Lake Alfred", "Springfield", "Reading"),
        text("agency", "NASA", "FBI", "La"),
        text("status", "active", "Canceled order", "customer lost"),
        text("mail", "ann.smith@example.org", "x-17-b"),
    ),
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    path = tmp_path_factory.mktemp("cells") / "index.sqlite"
    return open_index(Catalog("sqlite", (TABLE,), "f"), Path(path))


def found(index: Index, question: str) -> dict[str, str]:
    context = index.retrieve(question, token_budget=1000, count_tokens=count_words)
    return {question[m.start : m.end]: m.value for m in context.values}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Untied Kingdom", "United Kingdom"),
        ("untied kingdom", "United Kingdom"),
        ("United Kindgom", "United Kingdom"),
        ("Unitd Kingdm", "United Kingdom"),
        ("Untied States", "United States"),
        ("Grmany", "Germany"),
        ("Misisipi", "Mississippi"),
        ("Springfeild", "Springfield"),
        ("NYC", "New York City"),
        ("N.Y.C.", "New York City"),
        ("National Aeronautics and Space Administration", "NASA"),
        ("cancelled order", "Canceled order"),
        ("the US", "United States"),
    ],
)
def test_what_was_meant_is_found(index: Index, said: str, meant: str) -> None:
    assert found(index, f"how many people live in {said} today?")[said] == meant


@pytest.mark.parametrize(
    "question",
    [
        "how many are reacting?",  # an English word, though one letter from Reading's neighbours
        "cities with a chat",  # too short to be Chad
        "LA",  # two values share these initials
        "What is the untied shoe?",
        "states united",
        "how many customers were lost",
        "kingdoms",
        "17",
    ],
)
def test_what_was_said_otherwise_is_left_alone(index: Index, question: str) -> None:
    assert found(index, question) in ({}, {"LA": "La"})


def test_a_guess_scores_below_a_spelling(index: Index) -> None:
    scores = {}
    for question in ("in Germany", "in germany", "in German cities", "in Grmany", "in NYC"):
        context = index.retrieve(question, count_tokens=count_words)
        scores[question] = context.values[0].score
    assert list(scores.values()) == [1.0, 0.95, 0.8, 0.6, 0.6]


def test_a_spelling_wins_over_a_guess(tmp_path: Path) -> None:
    table = Table("people", (text("name", "Marian", "Marion"),))
    with open_index(Catalog("sqlite", (table,), "f"), tmp_path / "i.sqlite") as index:
        assert found(index, "orders of Marion") == {"Marion": "Marion"}
        context = index.retrieve("orders of Marien", count_tokens=count_words)
        assert [m.value for m in context.values] == ["Marian"]


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("", "", 0),
        ("ab", "ba", 1),
        ("abc", "abd", 1),
        ("abc", "abcd", 1),
        ("kitten", "sitting", 3),
        ("abcd", "badc", 2),
    ],
)
def test_edits_count_swaps_as_one(a: str, b: str, distance: int) -> None:
    assert edits(a, b, 5) == edits(b, a, 5) == distance
    assert edits(a, b, 0) == min(distance, 1)


def test_one_edit_apart_shares_a_key() -> None:
    for wrong in ("untied", "unted", "uunited", "unitad", "nuited", "unite", "united"):
        assert set(typo_keys("united")) & set(typo_keys(wrong)), wrong
    assert not set(typo_keys("united")) & set(typo_keys("divided"))


@pytest.mark.parametrize(
    ("value", "short"),
    [
        ("New York City", "^nyc"),
        ("Bank of America", "^ba"),
        ("Paris", ""),
        ("new york", ""),
        ("A B C D E F", ""),
        ("x" * 70, ""),
        ("", ""),
    ],
)
def test_initials_are_those_of_names(value: str, short: str) -> None:
    assert initials_of(value) == short
