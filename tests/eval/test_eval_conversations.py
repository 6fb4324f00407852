"""Conversations measured: each turn judged by what it finds, going on from the product's own answers."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sqlgen.errors import UsageError
from sqlgen.eval.conversations import main, measure, read_interactions
from sqlgen.generation import ScriptedGenerator

TURNS = [
    ("Who is there?", "SELECT name FROM people"),
    ("how many are there?", "SELECT COUNT(*) FROM people"),
    ("What is the moon made of?", "SELECT age FROM people"),
]
GOAL = ("How many people?", "SELECT COUNT(*) FROM people")


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    (tmp_path / "db" / "town").mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / "db" / "town" / "town.sqlite")) as connection:
        connection.executescript(
            "CREATE TABLE people (name TEXT, age INTEGER); INSERT INTO people VALUES ('Ann', 3), ('Bo', 4);"
        )
    told = [{"utterance": question, "query": sql} for question, sql in TURNS]
    goal = {"utterance": GOAL[0], "query": GOAL[1]}
    path = tmp_path / "told.json"
    documents = [{"database_id": "town", "interaction": turns, "final": goal} for turns in (told, told[:2])]
    path.write_text(json.dumps(documents))
    return path


def test_question_and_interaction_accuracy(suite: Path, tmp_path: Path) -> None:
    model = ScriptedGenerator(
        {"Who is there?": ["SELECT name FROM people"], GOAL[0]: ["SELECT 2 AS n FROM people LIMIT 1"]}
    )
    report = measure(read_interactions(suite), tmp_path / "db", generator=model, home=tmp_path / "home")
    assert (report["questions"], report["question_accuracy"]) == (5, 0.8)
    assert (report["interactions"], report["interaction_accuracy"]) == (2, 0.5)
    assert report["single_turn_accuracy"] == 1.0
    assert report["by_turn"] == {
        "1": {"count": 2, "accuracy": 1.0},
        "2": {"count": 2, "accuracy": 1.0},
        "3": {"count": 1, "accuracy": 0.0},
    }
    assert report["by_way"]["later: edited query"] == {"count": 2, "accuracy": 1.0}


def test_what_cannot_be_read_is_said_in_one_line(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('[{"interaction": []}]')
    with pytest.raises(UsageError, match="database_id"):
        read_interactions(bad)
    assert main(["--questions", str(suite), "--databases", str(tmp_path)]) == 2
    assert "no database" in capsys.readouterr().err
