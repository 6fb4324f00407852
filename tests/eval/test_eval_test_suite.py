"""Right by luck on one instance, and questions put to the wrong database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sqlgen.catalog import load_catalog, open_engine
from sqlgen.errors import UsageError
from sqlgen.eval import load_suite, render_summary, run_from_options, run_suite
from sqlgen.eval.unanswerable import misplaced_questions, run_unanswerable
from sqlgen.generation import ScriptedGenerator


@pytest.fixture
def instances(spider_files: Any, tmp_path: Path) -> Path:
    """One further library, in which a Norwegian was born in 1960 and nobody else in that decade."""
    folder = tmp_path / "suite" / "library"
    folder.mkdir(parents=True)
    with (
        closing(sqlite3.connect(spider_files.databases / "library" / "library.sqlite")) as source,
        closing(sqlite3.connect(folder / "second.sqlite")) as copy,
    ):
        source.backup(copy)
        copy.execute("UPDATE author SET country = 'Peru' WHERE id = 3")
        copy.commit()
    return tmp_path / "suite"


def test_luck_on_one_instance_is_found_out_on_another(spider_files: Any, instances: Path) -> None:
    answers = spider_files.gold_answers()
    answers["Which authors come from Norway?"] = ["SELECT name FROM author WHERE id IN (1, 3)"]
    suite = load_suite("spider", **spider_files.options)
    report = run_suite(suite, generator=ScriptedGenerator(answers), test_suite=instances)
    figures = report.to_dict()
    assert figures["execution_accuracy"] == 1.0
    assert figures["test_suite_accuracy"] == round(11 / 12, 6)
    assert [o.question for o in report.outcomes if not o.suite_correct] == ["Which authors come from Norway?"]
    assert "test suite" in render_summary(figures)


@pytest.mark.parametrize(
    ("sql", "strict", "published"),
    [
        ("SELECT DISTINCT name FROM author WHERE country = 'Norway'", True, True),
        ("SELECT country FROM author WHERE country = 'Norway'", False, False),
        # Right once no DISTINCT counts, and only then.
        (
            "SELECT name FROM author JOIN book ON author.id = book.author_id WHERE country = 'Norway'",
            False,
            False,
        ),
        ("SELECT DISTINCT name FROM author WHERE country = 'Norway' AND id < 3", False, False),
    ],
)
def test_the_published_evaluator_leaves_distinct_out(
    spider_files: Any, instances: Path, sql: str, strict: bool, published: bool
) -> None:
    answers = spider_files.gold_answers()
    answers["Which authors come from Norway?"] = [sql]
    suite = load_suite("spider", **spider_files.options)
    report = run_suite(suite, generator=ScriptedGenerator(answers), test_suite=instances)
    (found,) = (o for o in report.outcomes if o.question == "Which authors come from Norway?")
    assert (found.suite_correct, found.suite_correct_published) == (strict, published)


def test_a_lost_distinct_counts_and_is_not_counted_as_published(
    spider_files: Any, instances: Path, tmp_path: Path
) -> None:
    question, gold = "Which countries do authors come from?", "SELECT DISTINCT country FROM author"
    questions = tmp_path / "dev.json"
    questions.write_text(json.dumps([{"question": question, "query": gold, "db_id": "library"}]), "utf-8")
    suite = load_suite("spider", **spider_files.options | {"questions": questions})
    script = ScriptedGenerator({question: ["SELECT country FROM author"]})
    report = run_suite(suite, generator=script, test_suite=instances)
    (found,) = report.outcomes
    assert (found.correct, found.suite_correct, found.suite_correct_published) == (False, False, True)
    assert found.prediction()["suite_correct_published"] is True
    figures = report.to_dict()
    assert (figures["test_suite_accuracy"], figures["test_suite_accuracy_published"]) == (0.0, 1.0)


def test_without_further_instances_nothing_is_claimed(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    figures = run_suite(suite, generator=ScriptedGenerator(spider_files.gold_answers())).to_dict()
    assert figures["test_suite_accuracy"] is None


def test_a_folder_that_is_not_there(spider_files: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of instances"):
        run_from_options("spider", **spider_files.options, test_suite=tmp_path / "nowhere")


def test_confidence_is_measured(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    answers = spider_files.gold_answers()
    answers["How many cars are there?"] = ["SELECT count(*) FROM owner"]
    figures = run_suite(suite, generator=ScriptedGenerator(answers)).to_dict()
    assert figures["risk_coverage"][-1]["coverage"] == 1.0
    assert figures["risk_coverage"][-1]["accuracy"] == round(11 / 12, 4)
    assert 0 <= figures["calibration"]["ece"] <= 1
    assert sum(b["count"] for b in figures["calibration"]["bins"]) == 12


def test_misplaced_questions_have_no_counterpart_in_their_database(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    catalogs = {n: load_catalog(open_engine(suite.databases[n].url)) for n in ("library", "garage")}
    pairs = list(misplaced_questions(suite, catalogs, 20))
    assert pairs == list(misplaced_questions(suite, catalogs, 20))
    home = {q.text: q.db_id for q in suite.questions}
    assert pairs
    assert all(home[text] != name for text, name in pairs)
    assert ("How many cars are there?", "library") in pairs


def test_a_model_that_always_answers_abstains_never(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    script = {q.text: ["SELECT 1 FROM author", "SELECT 1 FROM owner"] for q in suite.questions}
    figures = run_unanswerable(suite, generator=ScriptedGenerator(script), count=6)
    assert figures["abstained"] == 0.0
    silent = run_unanswerable(
        suite, generator=ScriptedGenerator({q.text: [] for q in suite.questions}), count=6
    )
    assert silent["abstained"] == 1.0
    assert "abstained  100.0 %" in render_summary(silent)
