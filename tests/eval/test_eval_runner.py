"""Runs from question to report, with the scripted model in place of weights."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlgen.errors import DatabaseError, LimitReached, UsageError
from sqlgen.eval import load_suite, render_summary, run_from_options, run_suite
from sqlgen.eval.gold import run_unchecked
from sqlgen.eval.report import Report
from sqlgen.generation import ScriptedGenerator
from sqlgen.types import Limits


def run(spider_files: Any, answers: Mapping[str, Sequence[str]], **options: Any) -> Report:
    suite = load_suite("spider", **spider_files.options)
    return run_suite(suite, generator=ScriptedGenerator(answers), **options)


def judged(spider_files: Any, question: str, sql: str) -> Any:
    """The outcome of one question when the model writes ``sql`` for it."""
    suite = load_suite("spider", **spider_files.options)
    suite = replace(suite, questions=tuple(q for q in suite.questions if q.text == question))
    (outcome,) = run_suite(suite, generator=ScriptedGenerator({question: [sql]})).outcomes
    return outcome


def test_gold_against_gold_is_perfect(spider_files: Any) -> None:
    figures = run(spider_files, spider_files.gold_answers()).to_dict()
    assert figures["count"] == 12
    for name in ("execution_accuracy", "exact_match", "valid_sql_rate", "coverage", "accuracy_when_answered"):
        assert figures[name] == 1.0, name
    assert figures["failures_by_kind"] == {}
    assert figures["gold_errors"] == []
    assert figures["gold_refused"] == {"count": 0, "queries": []}
    counts = {level: group["count"] for level, group in figures["by_difficulty"].items()}
    assert counts == {"easy": 6, "medium": 4, "hard": 1, "extra": 1}
    assert {name: group["count"] for name, group in figures["by_database"].items()} == {
        "garage": 5,
        "library": 7,
    }
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p95"]
    low, high = figures["intervals"]["execution_accuracy"]
    assert 0.7 < low < high == 1.0


def test_families_are_told_apart_where_the_suite_names_them(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    named = [replace(q, family="count" if "How many" in q.text else "") for q in suite.questions]
    generator = ScriptedGenerator(spider_files.gold_answers())
    figures = run_suite(replace(suite, questions=tuple(named)), generator=generator).to_dict()
    wanted = sum(q.family == "count" for q in named)
    assert {name: group["count"] for name, group in figures["by_family"].items()} == {"count": wanted}


def test_gold_with_its_columns_in_another_order_is_right(spider_files: Any) -> None:
    turned = {
        "How many books has each author written?": [
            "SELECT count(*), T1.name FROM author AS T1 JOIN book AS T2 ON T2.author_id = T1.id "
            "GROUP BY T1.id"
        ],
        "Mean price per country, for countries with more than one book?": [
            "SELECT avg(T2.price), T1.country FROM author AS T1 JOIN book AS T2 ON T1.id = T2.author_id "
            "GROUP BY T1.country HAVING count(*) > 1"
        ],
    }
    figures = run(spider_files, {**spider_files.gold_answers(), **turned}).to_dict()
    assert figures["execution_accuracy"] == figures["exact_match"] == 1.0


def test_wrong_answers_give_nothing(spider_files: Any) -> None:
    wrong = {
        question: ["SELECT id FROM author WHERE id = -1" if db == "library" else "SELECT id, id FROM owner"]
        for db, question, _, _ in spider_files.asked
    }
    # The one gold query without rows has one column: an empty answer with one column is right.
    wrong["Books that cost more than 100?"] = ["SELECT id, name FROM author WHERE id = -1"]
    figures = run(spider_files, wrong).to_dict()
    assert figures["execution_accuracy"] == 0.0
    assert figures["exact_match"] == 0.0
    assert figures["valid_sql_rate"] == 1.0
    assert figures["coverage"] == 1.0
    assert sum(figures["failures_by_kind"].values()) == 12
    assert figures["failures_by_kind"]["missing rows"] == 4


@pytest.mark.parametrize(
    ("question", "sql", "failure"),
    [
        ("List all book titles, newest first.", "SELECT title FROM book", "wrong order"),
        (
            "List all book titles, newest first.",
            "SELECT title FROM book ORDER BY year DESC LIMIT 3",
            "missing rows",
        ),
        ("Which authors come from Norway?", "SELECT name FROM author", "extra rows"),
        ("Which authors come from Norway?", "SELECT id, name FROM author", "wrong columns"),
        ("Which authors come from Norway?", "SELECT name FROM author WHERE id < 3", "wrong rows"),
        ("What is the power of every car?", "SELECT DISTINCT power FROM car", "wrong duplicates"),
        ("Books that cost more than 100?", "SELECT title FROM book", "extra rows"),
        ("How many cars are there?", "SELECT count(*) FROM nothing", "rejected"),
        ("How many cars are there?", "DROP TABLE car", "rejected"),
    ],
)
def test_why_answers_fail(spider_files: Any, question: str, sql: str, failure: str) -> None:
    outcome = judged(spider_files, question, sql)
    assert (outcome.failure, outcome.correct) == (failure, False)


@pytest.mark.parametrize(
    ("question", "sql"),
    [
        ("What is the power of every car?", "SELECT power FROM car ORDER BY power"),
        ("Books that cost more than 100?", "SELECT name FROM author WHERE id > 100"),
        (
            "How many books has each author written?",
            "SELECT count(*), a.name FROM book AS b JOIN author AS a ON a.id = b.author_id GROUP BY a.name",
        ),
    ],
)
def test_other_ways_to_be_right(spider_files: Any, question: str, sql: str) -> None:
    outcome = judged(spider_files, question, sql)
    assert (outcome.failure, outcome.correct, outcome.exact_match) == ("", True, False)


def test_an_abstention_is_no_valid_sql_and_not_covered(spider_files: Any) -> None:
    answers = spider_files.gold_answers()
    del answers["How many cars are there?"]
    figures = run(spider_files, answers).to_dict()
    assert figures["failures_by_kind"] == {"abstained": 1}
    assert figures["coverage"] == figures["valid_sql_rate"] == pytest.approx(11 / 12, abs=1e-6)
    assert figures["accuracy_when_answered"] == 1.0


def test_a_refused_candidate_gives_way_to_the_next(spider_files: Any) -> None:
    question = "How many cars are there?"
    answers = {
        **spider_files.gold_answers(),
        question: ["SELECT nothing FROM car", "SELECT count(*) FROM car"],
    }
    assert run(spider_files, answers).to_dict()["execution_accuracy"] == 1.0
    assert run(spider_files, answers, beams=1).to_dict()["failures_by_kind"] == {"rejected": 1}


def test_gold_that_does_not_run_counts_as_wrong_and_is_listed(spider_files: Any, tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    records = [
        {
            "id": "good",
            "question": "How many cars are there?",
            "sql": "SELECT count(*) FROM car",
            "db": "garage",
        },
        {
            "id": "bad",
            "question": "How many bikes are there?",
            "sql": "SELECT count(*) FROM bike",
            "db": "garage",
        },
    ]
    path.write_text("\n".join(map(json.dumps, records)), "utf-8")
    suite = load_suite(str(path), databases=spider_files.databases)
    answers = {record["question"]: ["SELECT count(*) FROM car"] for record in records}
    report = run_suite(suite, generator=ScriptedGenerator(answers))
    figures = report.to_dict()
    assert (figures["count"], figures["execution_accuracy"]) == (2, 0.5)
    assert figures["failures_by_kind"] == {"gold error": 1}
    assert [entry["id"] for entry in figures["gold_errors"]] == ["bad"]
    assert "bike" in figures["gold_errors"][0]["error"]
    assert figures["gold_refused"]["count"] == 1
    assert "1 gold queries do not run" in render_summary(figures)


def test_gold_that_validation_refuses_still_counts(spider_files: Any, tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    record = {
        "question": "How many rows does the schema have?",
        "sql": "SELECT count(*) FROM sqlite_master WHERE type = 'table'",
        "db": "garage",
    }
    path.write_text(json.dumps(record), "utf-8")
    suite = load_suite(str(path), databases=spider_files.databases)
    script = ScriptedGenerator({record["question"]: ["SELECT count(*) FROM owner"]})
    figures = run_suite(suite, generator=script).to_dict()
    assert figures["execution_accuracy"] == 1.0
    assert figures["gold_errors"] == []
    assert figures["gold_refused"]["count"] == 1
    assert figures["gold_refused"]["queries"][0]["findings"]


def test_any_accepted_answer_is_right(spider_files: Any, tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    accepted = ["SELECT model FROM car", "SELECT DISTINCT model FROM car"]
    path.write_text(json.dumps({"question": "Car models?", "sql": accepted, "db": "garage"}), "utf-8")
    suite = load_suite(str(path), databases=spider_files.databases)
    for sql in accepted:
        (outcome,) = run_suite(suite, generator=ScriptedGenerator({"Car models?": [sql]})).outcomes
        assert (outcome.correct, outcome.gold) == (True, sql)
    (outcome,) = run_suite(
        suite, generator=ScriptedGenerator({"Car models?": ["SELECT id FROM car"]})
    ).outcomes
    assert (outcome.correct, outcome.gold) == (False, accepted[0])


def test_ordered_can_be_said_by_the_suite(spider_files: Any, tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    backwards = ScriptedGenerator({"Cars?": ["SELECT id FROM car ORDER BY id DESC"]})
    for ordered, correct in ((False, True), (True, False), (None, False)):
        record = {
            "question": "Cars?",
            "sql": "SELECT id FROM car ORDER BY id",
            "db": "garage",
            "ordered": ordered,
        }
        path.write_text(json.dumps(record), "utf-8")
        suite = load_suite(str(path), databases=spider_files.databases)
        assert run_suite(suite, generator=backwards).outcomes[0].correct is correct


def test_nothing_is_written_beside_the_databases(spider_files: Any) -> None:
    folder = spider_files.questions.parent

    def state() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}

    before = state()
    for path in folder.rglob("*.sqlite"):
        os.chmod(path, 0o444)
    run(spider_files, spider_files.gold_answers())
    assert state() == before


def test_indexes_stay_in_the_home_that_was_given(spider_files: Any, tmp_path: Path) -> None:
    run(spider_files, spider_files.gold_answers(), home=tmp_path)
    assert len([p for p in tmp_path.rglob("*") if p.is_file()]) >= 2


def test_other_modes_say_what_they_need(spider_files: Any) -> None:
    with pytest.raises(UsageError, match="needs an adapter"):
        run(spider_files, {}, mode="finetune-only")


def test_progress_reaches_the_end(spider_files: Any) -> None:
    seen: list[tuple[int, int, str]] = []
    run(spider_files, {}, limit=4, progress=lambda done, total, what: seen.append((done, total, what)))
    assert [done for done, _, _ in seen] == [0, 1, 2, 3, 4]
    assert {total for _, total, _ in seen} == {4}


def test_run_from_options_writes_everything(spider_files: Any, tmp_path: Path) -> None:
    report, predictions = tmp_path / "report", tmp_path / "predictions.jsonl"
    figures = run_from_options(
        "spider",
        **spider_files.options,
        generator=ScriptedGenerator(spider_files.gold_answers()),
        report=report,
        predictions=predictions,
    )
    assert json.loads((report / "report.json").read_text("utf-8")) == figures
    assert (report / "predictions.jsonl").read_text("utf-8") == predictions.read_text("utf-8")
    assert "100.0 %" in (report / "summary.md").read_text("utf-8")
    lines = [json.loads(line) for line in predictions.read_text("utf-8").splitlines()]
    assert [line["question"] for line in lines] == [question for _, question, _, _ in spider_files.asked]
    wanted = ["id", "db_id", "question", "gold", "sql", "correct", "confidence", "status", "latency_ms"]
    assert list(lines[0])[: len(wanted)] == wanted
    assert lines[0]["status"] == "answered"
    assert lines[0]["gold"] == "SELECT count(*) FROM author"
    assert lines[0]["sql"].upper() == "SELECT COUNT(*) FROM AUTHOR"
    came_from = figures["provenance"]
    assert set(came_from["data_sha256"]) == {"database garage", "database library", "questions", "tables"}
    assert came_from["licence"] == "CC BY-SA 4.0"
    assert came_from["model"] == {"name": "scripted", "version": "1", "adapter": None}
    assert set(came_from["machine"]) == {"cores", "system"}


def test_a_report_that_cannot_be_written_is_a_usage_error(spider_files: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", "utf-8")
    with pytest.raises(UsageError, match="cannot write"):
        run_from_options(
            "spider",
            **spider_files.options,
            generator=ScriptedGenerator({}),
            limit=1,
            report=tmp_path / "taken",
        )


def test_options_that_do_not_fit_together(spider_files: Any) -> None:
    with pytest.raises(UsageError, match="--per-database belongs to --retrieval"):
        run_from_options("spider", **spider_files.options, per_database=True)
    with pytest.raises(UsageError, match="--retrieval writes none"):
        run_from_options("spider", **spider_files.options, retrieval=True, predictions="p.jsonl")


def test_the_summary_is_for_people(spider_files: Any) -> None:
    text = render_summary(run(spider_files, {}).to_dict())
    assert "12 questions" in text
    assert "0.0 % right" in text
    assert "abstained" in text
    assert "library" in text


class TestUncheckedGold:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "odd name?#%.sqlite"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE t (a, b)")
            connection.execute("INSERT INTO t VALUES (1, x'00ff'), (NULL, 2.5)")
            connection.execute("INSERT INTO t VALUES (3, CAST(x'41ff42' AS TEXT))")
        return path

    def test_values_come_back_as_they_are(self, path: Path) -> None:
        result = run_unchecked(path, "SELECT a, b FROM t", Limits())
        assert result.rows[:2] == ((1, b"\x00\xff"), (None, 2.5))
        assert result.rows[2] == (3, "A\N{REPLACEMENT CHARACTER}B")
        assert [column.name for column in result.columns] == ["a", "b"]
        assert run_unchecked(path, "SELECT a FROM t", Limits(max_rows=2)).truncated

    def test_it_only_reads(self, path: Path) -> None:
        with pytest.raises(DatabaseError, match="readonly"):
            run_unchecked(path, "DELETE FROM t", Limits())
        with pytest.raises(DatabaseError, match="no such table"):
            run_unchecked(path, "SELECT * FROM missing", Limits())

    def test_it_is_killed_when_time_is_up(self, path: Path) -> None:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(LimitReached) as caught:
            run_unchecked(path, endless, Limits(timeout_s=0.5))
        assert caught.value.limit == "time"
