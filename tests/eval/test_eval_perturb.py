"""A perturbed suite has the same answers, and is the same for the same seed."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sqlgen.errors import UsageError
from sqlgen.eval import load_suite, run_from_options, run_suite
from sqlgen.eval.perturb import copy_database, perturb_suite, restore_names
from sqlgen.eval.suite import SuiteDatabase
from sqlgen.generation import ScriptedGenerator
from sqlgen.training.names import Renaming


def answers_of(suite: Any) -> dict[str, list[str]]:
    """Gold for every question, in the names of the database that is asked."""
    found = {}
    for question in suite.questions:
        renaming = suite.databases[question.db_id].renaming or Renaming()
        names = {old.lower(): new for old, new in renaming.tables.items()}
        names |= {old.lower(): new for (_, old), new in renaming.columns.items()}
        words = re.findall(r"'[^']*'|\w+|\W", question.gold[0])
        found[question.text] = ["".join(names.get(word.lower(), word) for word in words)]
    return found


@pytest.mark.parametrize("kind", ["abbreviate", "synonyms", "typos", "drop-keys"])
def test_gold_stays_right(spider_files: Any, tmp_path: Path, kind: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    changed = perturb_suite(suite, kind, seed=3, home=tmp_path / "made")
    assert changed == perturb_suite(suite, kind, seed=3, home=tmp_path / "made")
    report = run_suite(changed, generator=ScriptedGenerator(answers_of(changed)), home=tmp_path / "run")
    figures = report.to_dict()
    assert figures["execution_accuracy"] == 1.0
    assert figures["exact_match"] == 1.0


def test_typos_leave_what_the_answers_quote(spider_files: Any, tmp_path: Path) -> None:
    suite = load_suite("spider", **spider_files.options)
    changed = perturb_suite(suite, "typos", seed=1, home=tmp_path)
    asked = {q.id: q.text for q in suite.questions}
    assert any(q.text != asked[q.id] for q in changed.questions)
    for question in changed.questions:
        for literal in re.findall(r"'([^']*)'", question.gold[0]):
            assert (literal in asked[question.id]) == (literal in question.text)


def test_synonyms_replace_words_of_the_schema(spider_files: Any, tmp_path: Path) -> None:
    suite = load_suite("spider", **spider_files.options)
    changed = perturb_suite(suite, "synonyms", seed=1, home=tmp_path)
    said = " ".join(q.text for q in changed.questions)
    assert "How many cars" not in said
    assert changed.databases == suite.databases


def test_a_copy_has_other_names_and_the_same_rows(tmp_path: Path) -> None:
    source, target = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    with closing(sqlite3.connect(source)) as db:
        db.executescript(
            "CREATE TABLE maker (id INTEGER PRIMARY KEY, name TEXT NOT NULL);"
            'CREATE TABLE "car model" (code TEXT, maker_id INTEGER REFERENCES maker, power REAL,'
            " PRIMARY KEY (code, maker_id));"
            "INSERT INTO maker VALUES (1, 'Ox'); INSERT INTO \"car model\" VALUES ('a', 1, 2.5), ('b', 9, NULL);"
        )
    renaming = Renaming({"maker": "mkr"}, {("maker", "name"): "nm", ("car model", "maker_id"): "mkr id"})
    copy_database(source, target, renaming)
    with closing(sqlite3.connect(target)) as db:
        assert db.execute("SELECT nm FROM mkr").fetchall() == [("Ox",)]
        assert db.execute('SELECT * FROM "car model"').fetchall() == [("a", 1, 2.5), ("b", 9, None)]
        [key] = db.execute('PRAGMA foreign_key_list("car model")')
        assert key[2:4] == ("mkr", "mkr id")
        assert [row[5] for row in db.execute('PRAGMA table_info("car model")')] == [1, 2, 0]
    copy_database(source, target, Renaming(), keys=False)
    with closing(sqlite3.connect(target)) as db:
        assert db.execute('PRAGMA foreign_key_list("car model")').fetchall() == []


def test_names_that_stand_for_two_things_are_not_turned_back() -> None:
    renaming = Renaming({}, {("a", "name"): "nm", ("b", "number"): "nm", ("b", "order date"): "od"})
    assert restore_names('SELECT nm, "od" FROM b', renaming) == 'SELECT nm, "order date" FROM b'


def test_what_cannot_be_perturbed_is_said(spider_files: Any, tmp_path: Path) -> None:
    suite = load_suite("spider", **spider_files.options)
    elsewhere = {name: SuiteDatabase(name, "postgresql://host/db") for name in suite.databases}
    with pytest.raises(UsageError, match="copies SQLite files"):
        perturb_suite(replace(suite, databases=elsewhere), "drop-keys", home=tmp_path)
    with pytest.raises(UsageError, match="unknown perturbation"):
        perturb_suite(suite, "upside-down", home=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--perturb needs answers"):
        run_from_options("spider", retrieval=True, perturb="typos", **spider_files.options)


def test_the_report_says_what_was_done(spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    report = run_suite(suite, generator=ScriptedGenerator({}), limit=2, perturb="drop-keys", seed=5)
    figures = report.to_dict()
    assert figures["suite"] == "spider (drop-keys, seed 5)"
    settings = report.provenance["settings"]
    assert (settings["perturb"], settings["seed"]) == ("drop-keys", 5)


def test_measuring_needs_no_torch() -> None:
    code = "import sys, sqlgen.eval.perturb; sys.exit('torch' in sys.modules)"
    # -P: the installed package, and not the folder of that name in a checkout.
    asked = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, timeout=120, check=False)
    assert asked.returncode == 0, asked.stderr


def test_a_name_said_shortly_has_two_right_readings(tmp_path: Path) -> None:
    path = tmp_path / "trips.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE trip (id INTEGER PRIMARY KEY, start_date DATE, end_date DATE, driver TEXT);"
            "INSERT INTO trip VALUES (1, '2024-01-01', '2024-02-01', 'Ann'), (2, '2024-01-05', '2024-01-06', 'Bo');"
        )
    golden = tmp_path / "golden.yaml"
    golden.write_text(
        "database: trips.sqlite\n"
        "questions:\n"
        "- {id: a, question: 'What is the latest start date?', sql: SELECT max(start_date) FROM trip}\n"
        "- {id: b, question: 'Which drivers are there?', sql: SELECT driver FROM trip}\n"
        "- {id: c, question: 'Drivers by start date and end date?', sql: 'SELECT driver FROM trip ORDER BY start_date, end_date'}\n"
    )
    suite = load_suite(str(golden))
    changed = perturb_suite(suite, "ambiguous", home=tmp_path)
    (question,) = changed.questions
    assert question.text == "What is the latest date?"
    assert question.gold == ("SELECT max(start_date) FROM trip", "SELECT max(end_date) FROM trip")
    for reading in question.gold:
        report = run_suite(
            suite, generator=ScriptedGenerator({question.text: [reading]}), perturb="ambiguous"
        )
        assert [o.correct for o in report.outcomes] == [True]
    plain = replace(suite, questions=suite.questions[1:])
    with pytest.raises(UsageError, match="could be taken for another"):
        perturb_suite(plain, "ambiguous", home=tmp_path)
