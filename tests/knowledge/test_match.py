"""Which knowledge a question names."""

from __future__ import annotations

import pytest

from sqlgen.knowledge import (
    Document,
    Term,
    Verified,
    find_named,
    match_documents,
    match_terms,
    normal_question,
    similar_queries,
)
from sqlgen.knowledge.match import split_document

TERMS = [
    Term("active customer", "…", ("live account",)),
    Term("customer", "…"),
    Term("revenue", "…", ("turnover",), True),
    Term("churned company", "…"),
    Term("AOV", "…", (), True),
]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many Active Customers are there?", ["active customer"]),
        ("active, paying customers", ["customer"]),
        ("customers that are active customers", ["customer", "active customer"]),
        ("turnover of live accounts", ["revenue", "active customer"]),
        ("churning companies by aov", ["churned company", "AOV"]),
        ("revenues", ["revenue"]),
        ("prerevenue inactive customership", []),
        ("", []),
    ],
)
def test_terms_are_found_by_words_longest_first(question: str, expected: list[str]) -> None:
    assert [n.term.name for n in find_named(question, TERMS)] == expected


def test_the_place_is_where_the_question_says_it() -> None:
    text = "Total of live accounts"
    named = find_named(text, TERMS)[0]
    assert text[named.start : named.end] == "live accounts"
    assert named.score == 0.9


def test_of_two_terms_of_one_name_the_later_counts() -> None:
    terms = [Term("lead", "old", source="folder"), Term("lead", "new", source="added")]
    assert [n.term.source for n in find_named("leads", terms)] == ["added"]


def test_matches_carry_definition_and_sql() -> None:
    term = Term("revenue", "money", (), True, "SUM(o.t)", "f.toml")
    (match,) = match_terms("revenue?", [term])
    assert (match.kind, match.text, match.source) == ("metric", "money SQL: SUM(o.t)", "f.toml")


def test_a_document_is_cut_at_headings_outside_of_code() -> None:
    text = "intro\n\n# One\n\n```\n# no heading\n```\n\n## Two\n" + "\n\n".join(["word " * 100] * 6)
    passages = split_document(Document("Guide", text))
    assert [p.heading for p in passages][:3] == ["", "One", "One > Two"]
    assert all(p.text in text for p in passages)
    assert sum(p.heading == "One > Two" for p in passages) == 3


def test_documents_are_found_by_what_they_say() -> None:
    text = "# Refund policy\nGoods come back within 30 days.\n\n# Loyalty\nPoints are worth one cent each."
    passages = split_document(Document("Handbook", text, "handbook.md"))
    (found,) = match_documents("How much is a loyalty point worth?", passages)
    assert (found.kind, found.name, found.source) == ("document", "Handbook > Loyalty", "handbook.md")
    assert match_documents("How many employees work in Berlin?", passages) == ()


def test_similar_queries_share_most_words_both_ways() -> None:
    verified = [
        Verified("Which customers have no orders?", "SELECT 1"),
        Verified("Average salary per department", "SELECT 2", ("mean pay by department",)),
    ]
    assert [q.sql for q in similar_queries("customers with no orders", verified)] == ["SELECT 1"]
    assert [q.sql for q in similar_queries("the mean pay per department", verified)] == ["SELECT 2"]
    assert similar_queries("list of products", verified) == ()


def test_the_normal_form_keeps_what_matters() -> None:
    assert normal_question("Show me the orders!") == normal_question("orders")
    for a, b in (
        ("orders from Oslo", "orders to Oslo"),
        ("how many orders", "orders"),
        ("more than 1.5", "more than 15"),
        ("customers with orders", "customers without orders"),
        ("total > 5", "total < 5"),
        ("below -5", "below 5"),
    ):
        assert normal_question(a) != normal_question(b)
    assert normal_question("Which?") == ("which",)
