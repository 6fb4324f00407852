"""Wrong predictions that fool evaluators with a common mistake: none is right here, and gold always is."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqlgen.eval import GoldQuestion, Suite, run_suite
from sqlgen.eval.suite import SuiteDatabase
from sqlgen.generation import ScriptedGenerator
from sqlgen.sql.ddl import catalog_from_ddl
from sqlgen.sql.exact_match import exact_set_match

CASES: list[dict[str, str]] = yaml.safe_load(
    (Path(__file__).parents[1] / "fixtures" / "eval" / "fooled.yaml").read_text("utf-8")
)
DDL = """
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT, credit REAL);
CREATE TABLE purchase (
    id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customer (id), item TEXT, amount REAL, quantity INTEGER,
    bought DATE
);
"""
FIRST = """
INSERT INTO customer VALUES (1, 'Ann', 'Oslo', 10.0), (2, 'Bob', 'Lima', NULL), (3, 'Cid', 'Oslo', 0.0),
    (4, 'Dee', 'Rome', 10.0), (5, 'Ann', 'Rome', 25.5), (6, 'Eve', NULL, 3.0), (7, 'eve', 'Lima', 7.25);
INSERT INTO purchase VALUES (1, 1, 'pen', 1.5, 2, '2024-01-05'), (2, 1, 'ink', 3.0, 1, '2024-01-05'),
    (3, 2, 'pen', 1.5, 4, '2024-02-10'), (4, 4, 'cup', 8.0, 1, '2024-02-11'), (5, 4, 'cup', 8.0, 1, '2024-03-01'),
    (6, 5, 'pen', 1.55, 10, '2024-03-02'), (7, 7, 'mug', NULL, 3, '2024-03-03'), (8, NULL, 'cup', 8.0, 2, '2024-12-31');
"""
SECOND = """
INSERT INTO customer VALUES (1, 'Fay', 'Rome', 12.0), (2, 'Gus', 'Rome', 3.0), (5, 'Hal', 'Lima', 5.0),
    (9, 'Ivy', 'Lima', NULL), (10, 'Jon', 'Lima', 40.0), (11, 'Kim', 'Oslo', 10.5);
INSERT INTO purchase VALUES (1, 1, 'cup', 2.0, 5, '2024-12-15'), (2, 1, 'mug', 9.0, 5, '2024-12-31'),
    (4, 2, 'mug', 1.0, 2, '2024-01-01'), (9, 5, 'pen', 8.5, 5, '2024-05-05');
"""
CATALOG = catalog_from_ddl(DDL, "sqlite")
Rows = Sequence[tuple[Any, ...]]


def bag_of(change: Callable[[Any], Any]) -> Callable[[Rows, Rows], bool]:
    def equal(gold: Rows, got: Rows) -> bool:
        return Counter(tuple(map(change, r)) for r in gold) == Counter(tuple(map(change, r)) for r in got)

    return equal


def columns(rows: Rows) -> list[Any]:
    return [Counter(column) for column in zip(*rows, strict=True)]


def without_null(rows: Rows) -> Any:
    return Counter(row for row in rows if None not in row)


def text(change: Callable[[str], str]) -> Callable[[Any], Any]:
    return lambda cell: change(cell) if isinstance(cell, str) else cell


# Each makes one mistake that an evaluator in use makes or has made.
MISTAKEN: dict[str, Callable[[Rows, Rows], bool]] = {
    "set": lambda gold, got: set(gold) == set(got),
    "first row": lambda gold, got: gold[0] == got[0],
    "contains gold": lambda gold, got: set(gold) <= set(got),
    "within gold": lambda gold, got: set(got) <= set(gold),
    "no order": lambda gold, got: Counter(gold) == Counter(got),
    "sorted cells": lambda a, b: Counter(tuple(sorted(r)) for r in a) == Counter(tuple(sorted(r)) for r in b),
    "column bags": lambda gold, got: columns(gold) == columns(got),
    "cells of a row as a set": lambda a, b: [set(r) for r in a] == [set(r) for r in b],
    "printed rows": lambda a, b: [" ".join(map(str, r)) for r in a] == [" ".join(map(str, r)) for r in b],
    "flattened": lambda gold, got: sorted(c for r in gold for c in r) == sorted(c for r in got for c in r),
    "extra columns": lambda gold, got: all(column in columns(got) for column in columns(gold)),
    "missing columns": lambda gold, got: all(column in columns(gold) for column in columns(got)),
    "first cell": lambda gold, got: gold[0][0] == got[0][0],
    "NULL is empty": bag_of(lambda cell: "" if cell is None else cell),
    "NULL is zero": bag_of(lambda cell: 0 if cell is None else cell),
    "cells as text": bag_of(str),
    "one decimal": bag_of(lambda cell: round(cell, 1)),
    "whole numbers": bag_of(int),
    "case": bag_of(text(str.lower)),
    "blanks": bag_of(text(str.strip)),
    "rows with NULL dropped": lambda gold, got: without_null(gold) == without_null(got),
    "both empty": lambda gold, got: list(gold) == list(got),
    "nothing is nothing": lambda a, b: not any(c for r in a for c in r) and not any(c for r in b for c in r),
    "luck": lambda gold, got: Counter(gold) == Counter(got),
}


@pytest.fixture(scope="module")
def instances(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database and, in ``more/fooled/``, a second instance of it."""
    folder = tmp_path_factory.mktemp("fooled")
    (folder / "more" / "fooled").mkdir(parents=True)
    for path, rows in ((folder / "fooled.sqlite", FIRST), (folder / "more" / "fooled" / "b.sqlite", SECOND)):
        with closing(sqlite3.connect(path)) as db:
            db.executescript(DDL + rows)
    return folder


def suite_of(folder: Path) -> Suite:
    path = folder / "fooled.sqlite"
    questions = tuple(
        GoldQuestion(str(n), f"customer purchase {n}", "fooled", (case["gold"],))
        for n, case in enumerate(CASES)
    )
    return Suite("fooled", questions, {"fooled": SuiteDatabase("fooled", f"sqlite:///{path}", path, CATALOG)})


def test_the_list_is_long_and_holds_every_mistake() -> None:
    assert len({(case["gold"], case["wrong"]) for case in CASES}) == len(CASES) >= 60
    assert {case["by"] for case in CASES} == {*MISTAKEN, "clauses without values"}


def test_each_fools_an_evaluator_with_that_mistake(instances: Path) -> None:
    with closing(sqlite3.connect(instances / "fooled.sqlite")) as db:
        for case in CASES:
            gold, got = (db.execute(case[side]).fetchall() for side in ("gold", "wrong"))
            if case["by"] == "clauses without values":
                assert exact_set_match(case["gold"], case["wrong"], CATALOG, "sqlite"), case
            else:
                assert MISTAKEN[case["by"]](gold, got), case


def test_none_of_them_is_right(instances: Path) -> None:
    suite = suite_of(instances)
    answers = {q.text: [case["wrong"]] for q, case in zip(suite.questions, CASES, strict=True)}
    report = run_suite(suite, generator=ScriptedGenerator(answers), test_suite=instances / "more")
    for outcome, case in zip(report.outcomes, CASES, strict=True):
        # It ran: what was compared were rows, and no message.
        assert outcome.valid, (case, outcome.message)
        assert outcome.correct is (case["by"] == "luck"), case
        assert outcome.suite_correct is False, case
    assert report.to_dict()["test_suite_accuracy"] == 0


def test_gold_is_right_on_every_metric(instances: Path) -> None:
    suite = suite_of(instances)
    answers = {q.text: list(q.gold) for q in suite.questions}
    figures = run_suite(suite, generator=ScriptedGenerator(answers), test_suite=instances / "more").to_dict()
    assert figures["execution_accuracy"] == figures["valid_sql_rate"] == figures["coverage"] == 1.0
    assert figures["exact_match"] == figures["test_suite_accuracy"] == 1.0
