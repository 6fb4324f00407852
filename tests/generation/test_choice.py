"""Choosing among candidates: what the features see, what the trees decide, what the file may hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sqlgen.errors import ModelUnavailable
from sqlgen.generation.choice import (
    FEATURES,
    Chooser,
    Trial,
    doubt_of,
    features_of,
    load_chooser,
    trial_of,
)
from sqlgen.generation.embedded import shipped_path
from sqlgen.trees import Trees
from sqlgen.types import (
    Column,
    ForeignKey,
    ModelInfo,
    Result,
    ResultColumn,
    RetrievedContext,
    Table,
    TableSlice,
    ValueMatch,
)
from sqlgen.validation import validate

SINGERS = Table(
    "singer",
    (
        Column("id", "INTEGER", "number", primary_key=True),
        Column("name", "TEXT", "text"),
        Column("home_town", "TEXT", "text"),
        Column("age", "INTEGER", "number"),
    ),
)
SONGS = Table(
    "song",
    (Column("singer_id", "INTEGER", "number"), Column("title", "TEXT", "text")),
    foreign_keys=(ForeignKey(("singer_id",), "singer", ("id",)),),
)
CONTEXT = RetrievedContext(
    (TableSlice(SINGERS, 1.0, ""), TableSlice(SONGS, 0.5, "")),
    (ValueMatch("singer", "home_town", "Oslo", 29, 33),),
)


def features(question: str, sql: str, **rest: Any) -> dict[str, float]:
    trial = Trial(sql, -0.5, **rest)
    return dict(zip(FEATURES, features_of(question, CONTEXT, [trial])[0], strict=True))


@pytest.mark.parametrize(
    ("question", "good", "bad", "name"),
    [
        ("How many singers?", "SELECT COUNT(*) FROM singer", "SELECT name FROM singer", "count_asked"),
        ("Average age?", "SELECT AVG(age) FROM singer", "SELECT age FROM singer", "average_asked"),
        ("All different towns", "SELECT DISTINCT home_town FROM singer", "SELECT home_town FROM singer",
         "different_asked"),
        ("Singers per town", "SELECT COUNT(*) FROM singer GROUP BY home_town", "SELECT COUNT(*) FROM singer",
         "each_asked"),
        ("Who is not from there?", "SELECT name FROM singer WHERE NOT home_town = 'x'",
         "SELECT name FROM singer WHERE home_town = 'x'", "not_asked"),
        ("The two oldest singers", "SELECT name FROM singer ORDER BY age DESC LIMIT 2",
         "SELECT name FROM singer ORDER BY age DESC", "numbers_unused"),
        ("Names of singers from home town Oslo", "SELECT name FROM singer WHERE home_town = 'Oslo'",
         "SELECT name FROM singer", "values_unused"),
        ("Names of singers from home town Oslo", "SELECT name FROM singer WHERE home_town = 'Oslo'",
         "SELECT name FROM singer WHERE name = 'Oslo'", "values_misplaced"),
        ("From Oslo or Rome", "SELECT name FROM singer WHERE home_town = 'Oslo' OR home_town = 'Rome'",
         "SELECT name FROM singer WHERE home_town = 'Oslo' AND home_town = 'Rome'", "values_crossed"),
        ("Names, sorted by the age", "SELECT name FROM singer ORDER BY age ASC",
         "SELECT name FROM singer ORDER BY name ASC", "order_fit"),
    ],
)  # fmt: skip
def test_a_word_that_the_query_leaves_out_shows(question: str, good: str, bad: str, name: str) -> None:
    assert features(question, good)[name] == 0
    assert features(question, bad)[name] != 0


def test_the_direction_of_an_order_is_held_against_the_question() -> None:
    up, down = (f"SELECT name FROM singer ORDER BY age {way} LIMIT 1" for way in ("ASC", "DESC"))
    assert (
        features("Who is the youngest?", up)["polarity"] > features("Who is the youngest?", down)["polarity"]
    )
    assert features("Who is the oldest?", up)["polarity"] < features("Who is the oldest?", down)["polarity"]


def test_names_of_the_question_count_when_they_are_read() -> None:
    read = features("titles of singers", "SELECT title FROM song", tables=("song",), columns=("song.title",))
    assert (read["columns_named"], read["columns_missed"], read["tables_missed"]) == (1, 0, 1)
    other = features(
        "titles of singers", "SELECT age FROM singer", tables=("singer",), columns=("singer.age",)
    )
    assert (other["columns_named"], other["columns_missed"], other["columns_strange"]) == (0, 1, 1)


def test_the_outermost_select_list_is_told_from_what_is_inside() -> None:
    sql = "SELECT a, (SELECT MAX(b), c FROM t) FROM t WHERE d IN (SELECT e, f FROM u)"
    assert features("", sql)["items"] == 2
    assert features("", sql)["selects"] == 3


def test_equal_results_vote_together() -> None:
    trials = [
        Trial("SELECT 1", -1.0, state="ran", group=0, rows=3, width=1),
        Trial("SELECT 2", -1.2, state="ran", group=1, rows=2, width=1),
        Trial("SELECT 3", -1.3, state="ran", group=1, rows=2, width=1),
        Trial("SELECT 4", -9.0, state="failed"),
    ]
    rows = [dict(zip(FEATURES, row, strict=True)) for row in features_of("x", CONTEXT, trials)]
    assert [row["votes"] for row in rows] == [1, 2, 2, 0]
    assert rows[1]["vote_share"] > 0.5 > rows[0]["vote_share"] > 0
    assert rows[1]["leads_group"] == 1
    assert rows[2]["leads_group"] == 0


def test_features_are_finite_for_the_strangest_input() -> None:
    strange = [
        Trial("", float("-inf")),
        Trial("'", -1e9, state="failed"),
        Trial("SELECT 'a'' b', \"x\"\"y\", `z` FROM t LIMIT 5 -- ä", 0.0, state="ran", group=0),
    ]
    for question in ("", "?", "0 007 1.50", "“” '' \"", "ß" * 500):
        rows = np.array(features_of(question, RetrievedContext(()), strange))
        assert rows.shape == (3, len(FEATURES))
        assert np.isfinite(rows).all()


def test_a_trial_sums_up_its_result() -> None:
    from sqlgen.types import Catalog

    query = validate("SELECT name FROM singer", Catalog("sqlite", (SINGERS,)), "sqlite")
    assert not hasattr(query, "findings")
    columns = (ResultColumn("name"),)
    trial = trial_of(query, -1.0, Result(columns, (("a",), ("a",), ("b",), (None,))), group=2)  # type: ignore[arg-type]
    assert (trial.state, trial.group, trial.rows, trial.width, trial.distinct) == ("ran", 2, 4, 1, 0.75)
    assert trial.columns == ("singer.name",)
    assert trial_of(query, -1.0, Result(columns, ((0,),))).is_blank  # type: ignore[arg-type]
    assert not trial_of(query, -1.0, Result(columns, ())).is_blank  # type: ignore[arg-type]
    many = trial_of(query, -1.0, Result(columns, (("x",),) * 5000))  # type: ignore[arg-type]
    assert (many.rows, many.truncated) == (1000, True)
    assert trial_of(query, -1.0, state="failed").state == "failed"  # type: ignore[arg-type]


def test_trees_walk_left_at_a_threshold_and_right_above_it() -> None:
    trees = Trees(
        np.array([[0, 1, 1]]), np.array([[0.5, 1.0, np.inf]]), np.array([[1.0, 2.0, 3.0, 4.0]]), base=10.0
    )
    rows = np.array([[0.5, 1.0], [0.0, 1.5], [0.6, 99.0], [9.0, -1.0]])
    assert trees.score(rows).tolist() == [11.0, 12.0, 13.0, 13.0]


def document(feature: str, *, sign: float = 1.0, threshold: float = 0.0) -> dict[str, Any]:
    """A choice that looks at one feature: above a half it is good."""
    tree = {
        "base": 0.0,
        "features": [[FEATURES.index(feature)]],
        "thresholds": [[0.5]],
        "leaves": [[-2.0 * sign, 2.0 * sign]],
    }
    part = {**tree, "slope": 1.0, "absent": 1.0, "offset": 0.0}
    return {
        "format": 1, "model": "m", "version": "1", "features": list(FEATURES), "threshold": threshold,
        "run": part, "unrun": part,
    }  # fmt: skip


def test_the_best_score_wins_and_what_failed_never_does() -> None:
    chooser = Chooser.of(document("rows"))
    trials = [
        Trial("SELECT 1", -0.1, state="ran", group=0, rows=0, width=1),
        Trial("SELECT 2", -2.0, state="ran", group=1, rows=9, width=1),
        Trial("SELECT 3", -3.0, state="failed", rows=9),
    ]
    choice = chooser.choose("x", CONTEXT, trials)
    assert choice.index == 1
    assert choice.confidence == pytest.approx(0.8808, abs=1e-4)
    assert chooser.choose("x", CONTEXT, [trials[2], trials[0]]).index == 1
    assert chooser.choose("x", CONTEXT, [replace(t, state="not run") for t in trials]).index == 0


def test_a_model_that_says_the_database_cannot_answer_is_less_sure() -> None:
    chooser = Chooser.of(document("rows"))
    trials = [Trial("SELECT 2", -2.0, state="ran", group=0, rows=9, width=1)]
    sure = [chooser.choose("x", CONTEXT, trials, p).confidence for p in (0.0, 0.5, 0.99, 1.0)]
    assert sure == sorted(sure, reverse=True)
    assert sure[0] > 0.8
    assert sure[-1] < 0.1


def test_a_doubt_names_the_words_that_nothing_explains() -> None:
    trial = Trial("SELECT name FROM singer WHERE home_town = 'Oslo'", -1.0)
    assert doubt_of("Which singers from Oslo have a salary?", CONTEXT, trial).endswith("called 'salary'")
    assert doubt_of("How many singers are from the home town Oslo?", CONTEXT, trial) == ""


def test_a_file_counts_for_its_own_model_only(tmp_path: Path) -> None:
    assert load_chooser(ModelInfo("m", "1"), tmp_path) is None
    (tmp_path / "choice.json").write_text(json.dumps(document("rows", threshold=0.2)))
    loaded = load_chooser(ModelInfo("m", "1"), tmp_path)
    assert loaded is not None
    assert loaded.threshold == 0.2
    assert load_chooser(ModelInfo("m", "2"), tmp_path) is None
    assert load_chooser(ModelInfo("other", "1"), tmp_path) is None


@pytest.mark.parametrize(
    "change",
    [
        {"features": ["a"]},
        {"format": 2},
        {"run": {}},
        {"threshold": "x"},
        {"unrun": {**document("rows")["unrun"], "leaves": [[1.0]]}},
    ],
)
def test_a_damaged_file_is_reported(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "choice.json").write_text(json.dumps(document("rows") | change))
    with pytest.raises(ModelUnavailable, match=r"choice\.json"):
        load_chooser(ModelInfo("m", "1"), tmp_path)
    (tmp_path / "choice.json").write_text("[")
    with pytest.raises(ModelUnavailable, match="damaged"):
        load_chooser(ModelInfo("m", "1"), tmp_path)


def test_what_ships_fits_the_weights_that_ship() -> None:
    if not (shipped_path() / "choice.json").exists():
        pytest.skip("no choice.json ships")
    manifest = json.loads((shipped_path() / "manifest.json").read_text())
    chooser = load_chooser(ModelInfo(manifest["name"], manifest["version"]))
    assert chooser is not None
    assert 0 <= chooser.threshold < 0.5
