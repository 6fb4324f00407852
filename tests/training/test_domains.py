"""Single-domain sets: split as their authors split them, over a database in which the queries find something."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the train extra")

from sqlgen.errors import UsageError
from sqlgen.training.curve import main, table_of
from sqlgen.training.domains import plant, prepare, split_of

SCHEMA = (
    'CREATE TABLE "author" ("authorid" integer primary key, "authorname" varchar(50));'
    'CREATE TABLE "writes" ("paperid" integer, "authorid" integer);'
    'CREATE TABLE "paper" ("paperid" integer primary key, "title" text, "year" integer, "venueid" integer);'
)
JOINED = (
    "SELECT DISTINCT P.TITLE FROM AUTHOR AS A , WRITES AS W , PAPER AS P WHERE A.AUTHORNAME = "
    '"Ada" AND W.AUTHORID = A.AUTHORID AND P.PAPERID = W.PAPERID AND P.YEAR > 2010'
)


def sentence(text: str, **variables: str) -> dict[str, Any]:
    return {"text": text, "variables": variables}


def entry(split: str, sql: str, *sentences: dict[str, Any]) -> dict[str, Any]:
    return {"query-split": split, "sql": [sql], "sentences": list(sentences)}


def write_database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SCHEMA)
    return path


def test_the_split_is_the_authors_and_variables_are_filled_in() -> None:
    parts = split_of(
        [
            entry(
                "train", 'SELECT "name0" ;', sentence("who is name0 ?", name0="Ada"), sentence("WHO IS ADA ?")
            ),
            entry("dev", "SELECT 1", sentence("one ?")),
            entry("test", "SELECT 2", sentence("two ?")),
            entry("9", "SELECT 3", sentence("three ?")),
            entry("exclude", "SELECT 4", sentence("four ?")),
        ]
    )
    assert sorted(r["question"] for r in parts["train"]) == ["one ?", "who is Ada ?"]
    assert {r["sql"] for r in parts["train"]} == {'SELECT "Ada"', "SELECT 1"}
    assert sorted(r["question"] for r in parts["test"]) == ["three ?", "two ?"]


def test_rows_are_planted_for_queries_that_find_nothing(tmp_path: Path) -> None:
    path = write_database(tmp_path / "d.sqlite")
    like = 'SELECT TITLE FROM PAPER WHERE TITLE LIKE "%parsing%" AND YEAR BETWEEN 2001 AND 2004'
    inside = 'SELECT COUNT(*) FROM AUTHOR WHERE AUTHORNAME IN ( "Bo" , "Cy" )'
    never = "SELECT TITLE FROM PAPER WHERE YEAR < 3 AND YEAR > 5"
    planted = plant(path, [JOINED, like, inside, never, "SELECT nothing FROM nowhere", JOINED])
    assert (planted.queries, planted.before, planted.after, planted.failing) == (5, 0, 3, 1)
    with closing(sqlite3.connect(path)) as db:
        assert len(db.execute(JOINED).fetchall()) == 2
        before = db.execute("SELECT COUNT(*) FROM paper").fetchone()
    assert plant(path, [JOINED, like]).before == 2
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT COUNT(*) FROM paper").fetchone() == before


def test_a_set_is_prepared_or_refused_with_the_cause(tmp_path: Path) -> None:
    database = write_database(tmp_path / "d.sqlite")
    questions = tmp_path / "q.json"
    questions.write_text(
        json.dumps(
            [
                entry("train", JOINED, sentence("Ada's papers")),
                entry("test", JOINED, sentence("papers by Ada")),
            ]
        )
    )
    main(
        [
            "prepare",
            "--questions",
            str(questions),
            "--database",
            str(database),
            "--out",
            str(tmp_path / "out"),
        ]
    )
    assert json.loads((tmp_path / "out" / "test.jsonl").read_text())["question"] == "papers by Ada"
    with closing(sqlite3.connect(database)) as untouched:
        assert untouched.execute("SELECT COUNT(*) FROM author").fetchone() == (0,)
    questions.write_text(json.dumps([entry("train", "SELECT x FROM y", sentence("what"))]))
    with pytest.raises(UsageError, match="take another instance"):
        prepare(questions, database, tmp_path / "out")
    questions.write_text("[3]")
    with pytest.raises(UsageError, match="no set of questions"):
        prepare(questions, database, tmp_path / "out")


def test_points_of_a_curve_are_shown_with_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    point = {
        "set": "a", "count": 50, "given": 50, "sql_only": False, "tests": 40, "before": 0.1, "after": 0.3, "gain": 0.2,
        "interval_90": [0.1, 0.3], "general": [0.5, 0.45], "passed": False, "seconds": 90,
    }  # fmt: skip
    points = [point, point | {"set": "b", "gain": 0.4, "after": 0.5}, point | {"count": 0, "given": 120}]
    lines = table_of(points).splitlines()
    assert "| mean of 2 | 50 |  | 10.0 % | 40.0 % | +30.0 | | -5.0 | |" in lines
    assert "| a | all (120) | 40 | 10.0 % | 30.0 % | +20.0 (+10.0 to +30.0) | refused | -5.0 | 1.5 |" in lines
    path = tmp_path / "curve.jsonl"
    path.write_text("".join(json.dumps(p) + "\n" for p in points))
    main(["show", str(path)])
    assert capsys.readouterr().out.splitlines() == lines
    path.write_text("[")
    with pytest.raises(UsageError, match="line 1 is no point"):
        main(["show", str(path)])
