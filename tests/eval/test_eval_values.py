"""The measurement of value matches counts what it says."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path

import pytest

from sqlgen.eval.values import literals, main, misspelt


def test_right_wrong_spelt_and_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "places"
    folder.mkdir()
    with sqlite3.connect(folder / "places.sqlite") as connection:
        connection.execute("CREATE TABLE places (country TEXT)")
        connection.executemany("INSERT INTO places VALUES (?)", [("Germany",), ("Norway",)])
    connection.close()
    items = [
        {
            "db_id": "places",
            "question": "Who lives in Germany?",
            "query": "SELECT 1 WHERE country = 'Germany'",
        },
        {"db_id": "places", "question": "Who lives in Norwey?", "query": "SELECT 1 WHERE country = 'Norway'"},
        {"db_id": "places", "question": "Not in Norway", "query": "SELECT count(*) FROM places"},
    ]
    (tmp_path / "q.json").write_text(json.dumps(items))
    assert main(["--questions", str(tmp_path / "q.json"), "--databases", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    asked = report["as asked"]
    assert (report["questions"], asked["literals"], asked["found"]) == (3, 2, 1.0)
    assert asked["matches"] == {"spelt": {"right": 1, "wrong": 1}, "guessed": {"right": 1, "wrong": 0}}
    assert report["misspelt"]["literals"] == 1
    assert report["misspelt"]["found"] == 1.0


def test_a_misspelling_changes_long_words_alone() -> None:
    rng = random.Random(3)
    for _ in range(200):
        said = misspelt("United Arab Emirates", rng)
        first, middle, last = said.split()
        assert middle == "Arab"
        assert first[0] + last[0] == "UE"
        assert abs(len(first) - 6) <= 1


def test_literals_are_strings_without_wildcards() -> None:
    assert literals("SELECT a FROM b WHERE c = \"x y\" OR d LIKE '%z' OR e = '3.5'") == {"x y", "z"}
