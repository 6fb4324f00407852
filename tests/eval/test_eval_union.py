"""Questions over all databases as one catalog."""

from __future__ import annotations

from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.eval import load_suite, render_summary, run_from_options
from sqlgen.eval.union import run_union, unqualified
from sqlgen.generation import ScriptedGenerator


@pytest.mark.parametrize(
    ("sql", "bare"),
    [
        ("SELECT library.book.title FROM library.book", "SELECT book.title FROM book"),
        ('SELECT "library".book.title FROM "library"."book"', 'SELECT book.title FROM "book"'),
        ("SELECT 'library.book' FROM library.book", "SELECT 'library.book' FROM book"),
        ("SELECT my_library.x FROM my_library", "SELECT my_library.x FROM my_library"),
    ],
)
def test_only_the_schema_before_a_name_goes(sql: str, bare: str) -> None:
    assert unqualified(sql, "library") == bare


def test_the_right_answer_over_the_right_database_counts(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    answers = {
        "How many authors are there?": ["SELECT count(*) FROM library.author"],
        "How many owners are there?": ["SELECT count(*) FROM library.author"],
    }
    known = {question for _, question, _, _ in spider_files.asked}
    first = next(q for q in suite.questions if q.gold[0] == "SELECT count(*) FROM author")
    assert first.text in known
    generator = ScriptedGenerator(
        answers | {first.text: ["SELECT broken FROM library.author", "SELECT count(*) FROM library.author"]}
    )
    figures = run_union(suite, generator=generator)
    assert figures["count"] == 12
    assert figures["execution_accuracy"] == pytest.approx(1 / 12, abs=1e-3)
    assert figures["right_database"] == pytest.approx(1 / 12, abs=1e-3)
    assert figures["by_database"] == {"garage": 0.0, "library": pytest.approx(1 / 7, abs=1e-3)}
    assert "asked the right one" in render_summary(figures)


def test_union_goes_with_no_other_measurement(spider_files: Any) -> None:
    with pytest.raises(UsageError, match="--union"):
        run_from_options("spider", **spider_files.options, union=True, retrieval=True)
