"""The reranker: what it sees, that it only reorders, and that it is fitted and measured as it says."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest

from sqlgen.retrieval import Index, open_index
from sqlgen.retrieval.rerank import FEATURES, Evidence, Reranker, features_of, load_reranker
from sqlgen.training import rerank
from sqlgen.training.boosting import Recipe
from sqlgen.training.corpora import kept_back
from sqlgen.types import Catalog, Column, ForeignKey, Table


def table(schema: str, name: str, *columns: str, keys: tuple[ForeignKey, ...] = ()) -> Table:
    described = tuple(Column(column, "TEXT", "text") for column in columns)
    return Table(name, described, schema=schema, foreign_keys=keys)


CATALOG = Catalog(
    "sqlite",
    (
        table("school", "student", "name", "age"),
        table("school", "course", "title", "teacher"),
        table(
            "school",
            "enrolment",
            "student_id",
            "course_id",
            keys=(
                ForeignKey(("student_id",), "school.student", ("name",)),
                ForeignKey(("course_id",), "school.course", ("title",)),
            ),
        ),
        table("club", "student", "name", "locker"),
        table("club", "teacher", "name", "salary"),
    ),
    "f",
)
QUESTION = "Which student takes the course of which teacher?"


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return open_index(CATALOG, tmp_path / "index.sqlite")


def evidence_of(index: Index, question: str) -> Evidence:
    seen: list[Evidence] = []
    index.rank(question, rerank=False, study=seen.append)
    (evidence,) = seen
    return evidence


def test_every_feature_has_its_name_and_says_what_it_says(index: Index) -> None:
    evidence = evidence_of(index, QUESTION)
    rows = features_of(evidence)
    assert all(list(row) == FEATURES for row in rows)
    assert [row["place"] for row in rows] == list(range(len(rows)))
    by_key = {CATALOG.tables[i].key: row for i, row in zip(evidence.order, rows, strict=False)}
    assert by_key["school.student"]["namesakes"] == by_key["club.student"]["namesakes"] == 2
    assert by_key["school.enrolment"]["neighbours"] == by_key["school.enrolment"]["keys"] == 2
    assert by_key["school.course"]["schema_margin"] > 0 > by_key["club.teacher"]["schema_margin"]
    assert by_key["club.student"]["name_coverage"] == 1
    assert by_key["school.enrolment"]["name_worth"] == 0
    assert rows[0]["score_share"] == 1
    assert len(features_of(evidence, 2)) == 2


def test_trees_only_reorder_the_best_and_scores_never_rise(index: Index) -> None:
    evidence = evidence_of(index, QUESTION)
    # Trees that like late places best turn the order round.
    document = {
        "features": FEATURES,
        "tables": {
            "base": 0.0,
            "features": [[FEATURES.index("place")]] * 4,
            "thresholds": [[0.5], [1.5], [2.5], [3.5]],
            "leaves": [[0.0, 1.0]] * 4,
        },
    }
    reranker = Reranker.of(document)
    assert reranker.reorder(evidence) == list(reversed(evidence.order))
    for question in (QUESTION, "teacher salary", "?", "student"):
        plain, better = index.rank(question, rerank=False), index.rank(question)
        assert {s.table.key for s in plain} == {s.table.key for s in better}
        scores = [piece.score for piece in better]
        assert scores == sorted(scores, reverse=True) == [piece.score for piece in plain]


def test_what_ships_is_of_these_features_and_others_are_refused() -> None:
    assert load_reranker() is load_reranker()
    with pytest.raises(ValueError, match="fit it again"):
        Reranker.of({"features": FEATURES[:-1], "tables": {}})


def test_fitting_finds_what_tells_gold_tables_apart(index: Index, tmp_path: Path) -> None:
    """Gold is here whatever has two keys: the ranking knows nothing of that, the trees learn it."""
    asked = [
        (f"{word} {other}", f"d{n}", frozenset({"school.enrolment"}))
        for n, word in enumerate(("student", "course", "teacher", "name", "age", "title", "locker", "salary"))
        for other in ("name", "student id", "course id", "number", "first student")
    ]
    cases = rerank.collect(index, [*asked, ("nothing to find", "d0", frozenset())], "made up")
    assert len(cases.missing) == len(asked)
    rerank.write_cases(tmp_path / "cases.npz", cases)
    read = rerank.read_cases(tmp_path / "cases.npz")
    np.testing.assert_allclose(read.rows, cases.rows, rtol=1e-6)
    recipe = Recipe(trees=30, depth=2, rate=0.3, weight=1.0, columns=1.0)
    found = rerank.measure(read, recipe=recipe)["made up"]
    assert found["questions"] == sum(kept_back(database) for _, database, _ in asked) == 25
    assert found["reranked"][3] > found["ranked"][3]
    document = json.loads(json.dumps(rerank.fit(read, recipe)))
    evidence = evidence_of(index, "student name")
    best = Reranker.of(document).reorder(evidence)[0]
    assert CATALOG.tables[best].key == "school.enrolment"


def test_garbage_collection_is_as_it_was_after_a_question(index: Index) -> None:
    during = []
    index.rank("student", study=lambda _: during.append(gc.isenabled()))
    assert gc.isenabled()
    gc.disable()
    try:
        index.rank("student", study=lambda _: during.append(gc.isenabled()))
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert during == [False, False]
