"""Collecting a model's candidates and fitting what chooses among them."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sqlgen.generation import ScriptedGenerator
from sqlgen.generation.choice import FEATURES, Chooser, Trial
from sqlgen.training.boosting import Recipe, boost, to_document
from sqlgen.training.choice import Case, collect, fit, main, measure, read_case, read_cases, tune, write_case
from sqlgen.types import Column, ForeignKey, RetrievedContext, Table, TableSlice, ValueMatch

SMALL = Recipe(trees=20, depth=2, rate=0.3, penalty=1.0, weight=1.0, columns=1.0, rows=1.0)
SHOP = Table(
    "orders",
    (
        Column("id", "", "number", primary_key=True),
        Column("customer", "", "number"),
        Column("city", "", "text"),
    ),
    "sales",
    (ForeignKey(("customer",), "", ()),),
)
CONTEXT = RetrievedContext((TableSlice(SHOP, 1.0, ""),), (ValueMatch("sales.orders", "city", "Oslo", 3, 7),))


def cases(count: int, model: str = "m") -> list[Case]:
    """The first candidate is right unless it finds nothing; then the second is."""
    chance = random.Random(count)
    made = []
    for number in range(count):
        empty, answerable = chance.random() < 0.4, chance.random() < 0.9
        first = Trial("SELECT id FROM orders", -0.3, state="ran", group=0, rows=0 if empty else 4, width=1)
        second = Trial(
            "SELECT city FROM orders", -1.0 - chance.random(), state="ran", group=1, rows=4, width=1
        )
        right = (not empty and answerable, empty and answerable)
        absent = 0.05 if answerable else 0.8
        made.append(
            Case(f"db{number % 6}", "spider", "which id?", CONTEXT, (first, second), right, absent, answerable,
                 (model, "1"))
        )  # fmt: skip
    return made


def test_trees_learn_a_step_and_an_interaction() -> None:
    chance = np.random.default_rng(0)
    rows = chance.random((3000, 4))
    right = ((rows[:, 1] > 0.5) ^ (rows[:, 2] > 0.3)).astype(float)
    trees = boost(rows, right, np.ones(3000), SMALL)
    fresh = chance.random((1000, 4))
    expected = (fresh[:, 1] > 0.5) ^ (fresh[:, 2] > 0.3)
    assert ((trees.score(fresh) > 0) == expected).mean() > 0.95


def test_trees_survive_the_way_through_json() -> None:
    rows = np.random.default_rng(1).random((400, 3))
    trees = boost(rows, (rows[:, 0] > 0.4).astype(float), np.ones(400), SMALL)
    again = type(trees).of(json.loads(json.dumps(to_document(trees), allow_nan=False)))
    assert np.allclose(trees.score(rows), again.score(rows), atol=1e-3)


def test_a_case_survives_the_way_through_a_file(tmp_path: Path) -> None:
    made = cases(3)
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(write_case(case) + "\n" for case in made))
    assert read_cases(path) == made
    assert read_case(write_case(made[0])) == made[0]


def test_what_is_fitted_chooses_better_than_the_likeliest_and_knows_how_well() -> None:
    document = json.loads(json.dumps(fit(cases(400), recipe=SMALL), allow_nan=False))
    assert document["model"] == "m"
    assert document["features"] == list(FEATURES)
    found = measure(document, cases(300))
    assert found["first"] < 0.75
    assert found["chosen"] > 0.95
    assert found["calibration_error"] < 0.1
    kept_back = found["thresholds"]["0.50"]
    assert kept_back["right_kept"] > 0.9
    assert kept_back["unanswerable_kept_back"] > 0.9


def test_another_model_gets_its_own_curve_and_keeps_the_trees() -> None:
    document = fit(cases(200), recipe=SMALL)
    tuned = tune(document, cases(150, "other"))
    assert (tuned["model"], document["model"]) == ("other", "m")
    assert tuned["run"]["leaves"] == document["run"]["leaves"]
    assert tuned["run"]["offset"] != document["run"]["offset"]
    Chooser.of(tuned)


def test_cases_of_two_models_are_refused() -> None:
    with pytest.raises(Exception, match="one model"):
        fit([*cases(20), *cases(20, "other")], recipe=SMALL)


def test_the_commands_fit_tune_and_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "cases.jsonl", tmp_path / "choice.json"
    data.write_text("".join(write_case(case) + "\n" for case in cases(60)))
    monkeypatch.setattr("sqlgen.training.choice.RECIPE", SMALL)
    for arguments in (
        ["fit", "--data", str(data), "--out", str(out), "--threshold", "0.2"],
        ["tune", "--choice", str(out), "--data", str(data), "--out", str(out)],
        ["measure", "--choice", str(out), "--data", str(data)],
    ):
        monkeypatch.setattr("sys.argv", ["choice", *arguments])
        main()
    assert json.loads(out.read_text())["threshold"] == 0.2
    assert '"chosen"' in capsys.readouterr().out


@pytest.fixture
def databases(tmp_path: Path) -> Path:
    for name, schema in (
        (
            "shop",
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT); INSERT INTO orders VALUES (1, 'Oslo')",
        ),
        (
            "zoo",
            "CREATE TABLE animals (id INTEGER PRIMARY KEY, species TEXT); INSERT INTO animals VALUES (7, 'owl')",
        ),
    ):
        (tmp_path / name).mkdir()
        with closing(sqlite3.connect(tmp_path / name / f"{name}.sqlite")) as connection:
            connection.executescript(schema)
    return tmp_path


def test_collecting_runs_every_candidate_and_asks_what_cannot_be_answered(databases: Path) -> None:
    rows = [
        ("spider", {"db_id": "shop", "question": "City of orders?", "query": "SELECT city FROM orders"}),
        (
            "spider",
            {"db_id": "zoo", "question": "Species of animals?", "query": "SELECT species FROM animals"},
        ),
        ("spider", {"db_id": "zoo", "question": "Broken?", "query": "SELECT nothing FROM nowhere"}),
        ("syn", {"db_id": "elsewhere", "SpiderSynQuestion": "?", "question": "?", "query": "SELECT 1"}),
    ]
    generator = ScriptedGenerator(
        {"City of orders?": ["SELECT id FROM orders", "SELECT orders.city FROM orders", "SELECT x FROM y"]}
    )
    found = list(collect(generator, rows, ["shop", "zoo"], databases, databases / "home"))
    case = next(c for c in found if c.database == "shop" and c.answerable)
    assert [trial.state for trial in case.trials] == ["ran", "ran"]
    assert case.right == (False, True)
    assert case.model == ("scripted", "1")
    assert {c.source for c in found if not c.answerable} <= {"foreign", "missing"}
    assert not any(any(c.right) for c in found if not c.answerable)
    assert sum(c.answerable for c in found) == 2


def test_the_databases_for_measuring_are_refused(databases: Path) -> None:
    with pytest.raises(ValueError, match="measuring"):
        next(collect(ScriptedGenerator({}), [], ["world_1"], databases, databases / "home"))
