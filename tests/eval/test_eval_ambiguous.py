"""Questions that can be read in several ways: what the answer does about it is measured."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sqlgen.demo import build_retail
from sqlgen.errors import UsageError
from sqlgen.eval import load_suite, render_summary, run_suite
from tests.conftest import Beams

SHIPPED = "SELECT COUNT(*) FROM shipment WHERE shipped > '2025-01-01'"
DELIVERED = "SELECT COUNT(*) FROM shipment WHERE delivered > '2025-01-01'"


def equally(*held: str) -> Beams:
    return Beams(*((sql, 1 / len(held)) for sql in held))


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as db:
        db.executescript(
            "CREATE TABLE shipment (id INTEGER PRIMARY KEY, shipped DATE, delivered DATE);"
            "INSERT INTO shipment VALUES (1, '2024-12-30', '2025-01-02'), (2, '2025-02-01', '2025-02-02');"
        )
    path = tmp_path / "golden.yaml"
    path.write_text(
        "database: shop.sqlite\n"
        "questions:\n"
        "- id: a\n"
        "  question: How many shipments since 2025?\n"
        "  ambiguous: true\n"
        f'  sql: ["{SHIPPED}", "{DELIVERED}"]\n'
        "- id: alike\n"
        "  question: How many shipments since 2025 are there?\n"
        "  ambiguous: true\n"
        f'  sql: ["{SHIPPED}", "SELECT COUNT(id) FROM shipment WHERE shipped > \'2025-01-01\'"]\n'
    )
    return path


@pytest.mark.parametrize(
    ("held", "both", "declined", "one"),
    [
        ((SHIPPED, DELIVERED), 1.0, 0.0, 0.0),
        ((DELIVERED,), 0.0, 0.0, 1.0),
        ((), 0.0, 1.0, 0.0),
        (("SELECT COUNT(*) FROM shipment WHERE id > 7",), 0.0, 0.0, 0.0),
    ],
)
def test_what_becomes_of_two_readings(
    golden: Path, held: tuple[str, ...], both: float, declined: float, one: float
) -> None:
    figures = run_suite(load_suite(str(golden)), generator=equally(*held)).to_dict()
    told = figures["readings"]
    # Readings that find the same need no question.
    assert told["ambiguous"] == 1
    assert (told["both_offered"], told["declined"], told["one_given"]) == (both, declined, one)
    assert told["asked"] == both
    assert f"ambiguous  {100 * both:.1f} % of 1 questions" in render_summary(figures)


def test_a_question_with_one_reading_is_not_counted(golden: Path) -> None:
    golden.write_text(golden.read_text("utf-8").replace("  ambiguous: true\n", ""))
    told = run_suite(load_suite(str(golden)), generator=equally(SHIPPED, DELIVERED)).to_dict()["readings"]
    assert told["ambiguous"] == 0
    # To ask all the same is told.
    assert told["asked"] == 1.0


def test_ambiguous_is_yes_or_no(golden: Path) -> None:
    golden.write_text(golden.read_text("utf-8").replace("ambiguous: true", "ambiguous: both"))
    with pytest.raises(UsageError, match="'ambiguous' has to be true or false"):
        load_suite(str(golden))


def test_the_readings_of_the_suite_find_different_things(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    build_retail(path, scale=0.1)
    suite = load_suite("ambiguous")
    assert len(suite.questions) >= 25
    with closing(sqlite3.connect(path)) as db:
        for question in suite.questions:
            assert question.ambiguous
            results = [json.dumps(sorted(map(str, db.execute(sql)))) for sql in question.gold]
            assert len(set(results)) == len(results) > 1, question.text
