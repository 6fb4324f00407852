"""The walk of a question when something was fitted to choose among the candidates."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import sqlgen
from sqlgen.generation import ScriptedGenerator
from sqlgen.generation.choice import FEATURES, Chooser
from sqlgen.types import Candidate

OVERFLOW = "SELECT ABS(-9223372036854775807 - id) FROM orders"
SCRIPT = {
    "Orders of Oslo?": [
        "SELECT id FROM orders WHERE city = 'oslo'",
        "SELECT id FROM orders WHERE city = 'Oslo'",
        "SELECT id FROM orders WHERE city LIKE 'Oslo'",
    ],
    "Broken first?": [OVERFLOW, "SELECT id FROM orders"],
    "Broken all?": [OVERFLOW],
    "Which salary?": ["SELECT id FROM orders WHERE city = 'nowhere'"],
}


def chooser(feature: str = "rows", cut: float = 0.5, threshold: float = 0.0) -> Chooser:
    """Scores 2 above the cut and -2 up to it, whatever else the candidate is like."""
    part = {
        "base": 0.0, "features": [[FEATURES.index(feature)]], "thresholds": [[cut]], "leaves": [[-2.0, 2.0]],
        "slope": 1.0, "absent": 1.0, "offset": 0.0,
    }  # fmt: skip
    return Chooser.of({"run": part, "unrun": part, "threshold": threshold})


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT);"
            "INSERT INTO orders VALUES (1, 'Oslo'), (2, 'Rome'), (3, 'Oslo')"
        )
    return f"sqlite:///{path}"


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[Chooser | None]:
    """What the pipeline finds fitted to the model; a test may put another in."""
    box: list[Chooser | None] = [chooser()]
    monkeypatch.setattr("sqlgen.pipeline.database.load_chooser", lambda info: box[0])
    return box


class Absent(ScriptedGenerator):
    """Says, beside its script, how likely nothing in the database answers."""

    def __init__(self, logprob: float) -> None:
        super().__init__(SCRIPT)
        self.logprob = logprob

    def generate(self, *arguments: Any, **options: Any) -> tuple[Candidate, ...]:
        found = super().generate(*arguments, **options)
        return (*found, Candidate("", self.logprob, "scripted", "1", "unanswerable"))


def test_the_results_decide_which_candidate_answers(shop: str, fitted: list[Chooser | None]) -> None:
    with sqlgen.connect(shop, generator=ScriptedGenerator(SCRIPT)) as database:
        answer = database.ask("Orders of Oslo?")
        assert answer.status == "answered"
        assert "'Oslo'" in answer.sql
        assert answer.result is not None
        assert answer.result.rows == ((1,), (3,))
        assert answer.confidence == pytest.approx(0.8808, abs=1e-4)
        unrun = database.ask("Orders of Oslo?", execute=False)
        assert unrun.sql == SCRIPT["Orders of Oslo?"][0]
        assert unrun.result is None


def test_equal_results_are_seen_as_equal(shop: str, fitted: list[Chooser | None]) -> None:
    fitted[0] = chooser("votes", 1.5)
    with sqlgen.connect(shop, generator=ScriptedGenerator(SCRIPT)) as database:
        assert database.ask("Orders of Oslo?").sql == SCRIPT["Orders of Oslo?"][1]


def test_what_the_database_refuses_gives_way_or_is_an_error(shop: str, fitted: list[Chooser | None]) -> None:
    with sqlgen.connect(shop, generator=ScriptedGenerator(SCRIPT)) as database:
        assert database.ask("Broken first?").sql == "SELECT id FROM orders"
        broken = database.ask("Broken all?")
        assert broken.status == "error"
        assert broken.findings[0].rule == "execution"


def test_below_the_fitted_threshold_it_abstains_and_says_why(shop: str, fitted: list[Chooser | None]) -> None:
    fitted[0] = chooser(threshold=0.3)
    with sqlgen.connect(shop, generator=ScriptedGenerator(SCRIPT)) as database:
        assert database.ask("Orders of Oslo?").status == "answered"
        answer = database.ask("Which salary?")
    assert answer.status == "abstained"
    assert answer.sql == ""
    assert "'salary'" in answer.message
    assert answer.confidence == pytest.approx(0.1192, abs=1e-4)
    settings = sqlgen.Settings(min_confidence=0.0)
    with sqlgen.connect(shop, settings=settings, generator=ScriptedGenerator(SCRIPT)) as database:
        answer = database.ask("Which salary?")
    assert answer.status == "answered"
    assert "not sure" in answer.message


def test_a_model_that_finds_the_question_unanswerable_is_believed(
    shop: str, fitted: list[Chooser | None]
) -> None:
    with sqlgen.connect(shop, generator=Absent(-0.1)) as database:
        answer = database.ask("Orders of Oslo?")
        assert answer.status == "abstained"
        assert "does not seem to hold" in answer.message
        assert all(candidate.sql for candidate, _ in answer.candidates)
        assert database.ask("What else?").status == "abstained"
    with sqlgen.connect(shop, generator=Absent(-1.5)) as database:
        unsure = database.ask("Orders of Oslo?")
    with sqlgen.connect(shop, generator=Absent(-9.0)) as database:
        sure = database.ask("Orders of Oslo?")
    assert unsure.status == sure.status == "answered"
    assert unsure.confidence < sure.confidence


def test_rivals_get_little_time_and_the_first_gets_all(
    shop: str, fitted: list[Chooser | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlgen.connect(shop, generator=ScriptedGenerator(SCRIPT)) as database:
        driver = database._driver.get()
        given = []

        class Recorder:
            def execute(self, query: Any, limits: Any) -> Any:
                given.append(limits.timeout_s)
                return driver.execute(query, limits)

            def close(self) -> None:
                driver.close()

        monkeypatch.setattr(database._driver, "get", Recorder)
        database.ask("Orders of Oslo?", timeout_s=20)
    assert given[0] == 20
    assert len(given) == 3
    assert all(seconds <= 1 for seconds in given[1:])


def test_a_limit_that_the_first_reaches_is_reported(shop: str, fitted: list[Chooser | None]) -> None:
    from sqlgen.errors import LimitReached

    # Each join has a condition, so that no rule foresees how many rows come of it.
    endless = "SELECT COUNT(*) FROM orders AS o0" + "".join(
        f" JOIN orders AS o{n} ON o{n}.id <> o{n - 1}.id" for n in range(1, 30)
    )
    generator = ScriptedGenerator(
        {"Endless?": [endless, "SELECT id FROM orders"], "Rival?": ["SELECT id FROM orders", endless]}
    )
    with sqlgen.connect(shop, generator=generator) as database:
        with pytest.raises(LimitReached):
            database.ask("Endless?", timeout_s=0.3)
        assert database.ask("Rival?").sql == "SELECT id FROM orders"


def test_without_anything_fitted_the_likeliest_wins(shop: str, fitted: list[Chooser | None]) -> None:
    fitted[0] = None
    with sqlgen.connect(shop, generator=ScriptedGenerator(SCRIPT)) as database:
        assert database.ask("Broken first?").confidence == pytest.approx(0.3329, abs=1e-3)
