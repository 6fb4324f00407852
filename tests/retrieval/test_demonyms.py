"""A country's adjective finds the country's cell."""

from __future__ import annotations

import pytest

from sqlgen.retrieval.demonyms import COUNTRIES
from sqlgen.retrieval.values import choose_matches, normalise_value, question_ngrams


def found(question: str, cells: list[str]) -> list[str]:
    hits = [
        ("customers", "country", cell, start, end)
        for gram, start, end in question_ngrams(question)
        for cell in cells
        if normalise_value(cell) == gram
    ]
    return [match.value for match in choose_matches(hits, question)]


@pytest.mark.parametrize(
    ("question", "cell"),
    [
        ("How many German customers?", "Germany"),
        ("customers in the US", "United States"),
        ("South Korean suppliers", "South Korea"),
        ("British and french singers", "United Kingdom"),
        ("Which clients are Kiwi?", "New Zealand"),
    ],
)
def test_an_adjective_means_its_country(question: str, cell: str) -> None:
    assert cell in found(question, [cell, "Elsewhere"])


def test_a_pronoun_is_no_country() -> None:
    assert found("tell us about them", ["United States", "US"]) == []


def test_the_table_reads_whole() -> None:
    assert len(COUNTRIES) > 130
    assert all(names and all(name == name.strip() != "" for name in names) for names in COUNTRIES.values())
