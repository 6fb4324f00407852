"""A quick model with a bigger one behind it: who is asked, and whose answer it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.generation import ScriptedGenerator, load_generator
from sqlgen.generation.cascade import Cascade
from sqlgen.types import Candidate, ModelInfo, Question, RetrievedContext


class Bigger(ScriptedGenerator):
    """Counts what it is asked."""

    def __init__(self, sql: str) -> None:
        super().__init__({})
        self.sql = sql
        self.asked: list[str] = []
        self.info = ModelInfo("bigger", "1")

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        self.asked.append(question.text)
        return (Candidate(self.sql, -0.05, "bigger", "1"),)


SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) FROM orders"],
    "Which orders?": ["SELECT nothing FROM orders"],
}


@pytest.mark.parametrize(
    ("question", "threshold", "by"),
    [
        ("How many orders?", 0.5, "scripted"),
        ("How many orders?", 0.95, "bigger"),
        ("Which orders?", 0.0, "bigger"),
        ("What about orders?", 0.0, "bigger"),
    ],
)
def test_the_bigger_one_is_asked_where_the_first_is_not_sure(
    question: str, threshold: float, by: str, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.sql"
    schema.write_text("CREATE TABLE orders (id INTEGER PRIMARY KEY);")
    bigger = Bigger("SELECT MAX(id) FROM orders")
    cascade = Cascade(ScriptedGenerator(SCRIPT), bigger, threshold)
    with sqlgen.connect(schema_file=schema, settings=Settings(home=tmp_path), generator=cascade) as db:
        reply = db.ask(question)
    assert (reply.status, reply.model.name) == ("answered", by)
    assert bigger.asked == ([question] if by == "bigger" else [])
    assert reply.sql == ("SELECT MAX(id) FROM orders" if by == "bigger" else "SELECT COUNT(*) FROM orders")


def test_a_name_makes_a_cascade_of_two_models() -> None:
    cascade = load_generator("cascade@0.7:shipped,http:http://127.0.0.1:9#tiny")
    assert isinstance(cascade, Cascade)
    assert (cascade.threshold, cascade.bigger.info.name) == (0.7, "tiny")
    assert cascade.info == cascade.first.info


def test_the_curve_reports_cost_against_accuracy() -> None:
    from sqlgen.eval.cascade import cost_curve

    def outcome(
        id: str, correct: bool, confidence: float, latency_ms: float, status: str = "answered"
    ) -> Any:
        return SimpleNamespace(
            id=id, correct=correct, confidence=confidence, latency_ms=latency_ms, status=status
        )

    first = [
        outcome("a", True, 0.9, 10),
        outcome("b", False, 0.4, 10),
        outcome("c", False, 0.0, 10, "abstained"),
    ]
    bigger = [outcome("a", False, 0.9, 100), outcome("b", True, 0.9, 100), outcome("c", True, 0.9, 100)]
    points = cost_curve(first, bigger, (0.0, 0.5, 1.0))
    assert [round(3 * p.asked) for p in points] == [1, 2, 3]
    assert [round(3 * p.accuracy) for p in points] == [2, 3, 2]
    assert [round(p.latency_ms, 1) for p in points] == [43.3, 76.7, 110.0]
    with pytest.raises(ValueError, match="same questions"):
        cost_curve(first, bigger[:2])
