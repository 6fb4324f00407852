"""A teacher's answers become pairs only where something else finds the same rows."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.generation.scripted import ScriptedGenerator
from sqlgen.pipeline import Database
from sqlgen.training import distill
from sqlgen.training.pairs import read_pairs

SUM = "SELECT SUM(amount) FROM orders"


@pytest.fixture
def url(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "shop.sqlite") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT, amount REAL)")
        connection.execute("INSERT INTO orders VALUES (1, 'Ulm', 10), (2, 'Bonn', 5), (3, 'Ulm', 5)")
    connection.close()
    return f"sqlite:///{tmp_path / 'shop.sqlite'}"


def opened(stack: ExitStack, url: str, home: Path, answers: dict[str, Sequence[str]]) -> Database:
    settings = Settings(home=home, history=False)
    return stack.enter_context(sqlgen.connect(url, settings=settings, generator=ScriptedGenerator(answers)))


def test_two_models_have_to_find_the_same_rows(url: str, tmp_path: Path) -> None:
    teacher = {
        "total of the orders": [SUM],
        "orders per city": ["SELECT city, COUNT(*) FROM orders GROUP BY city"],
        "largest order": ["SELECT MAX(amount) FROM orders"],
        "orders of Rome": ["SELECT COUNT(*) FROM orders WHERE city = 'Rome'"],
    }
    second = {
        "total of the orders": ["SELECT COUNT(*) FROM orders", "SELECT TOTAL(amount) FROM orders"],
        "orders per city": ["SELECT COUNT(id), city FROM orders GROUP BY city ORDER BY city"],
        "largest order": ["SELECT amount FROM orders ORDER BY amount LIMIT 1", "SELECT salary FROM orders"],
        "orders of Rome": ["SELECT COUNT(*) FROM orders WHERE city = 'Rome'"],
    }
    dropped: Counter[str] = Counter()
    with ExitStack() as stack:
        pair = [opened(stack, url, tmp_path / str(k), said) for k, said in enumerate((teacher, second))]
        lines = list(distill.agree_on_questions(*pair, [*teacher, "average order"], dropped))
    assert [(line["question"], line["sql"]) for line in lines] == [
        ("total of the orders", SUM),
        ("orders per city", "SELECT city, COUNT(*) FROM orders GROUP BY city"),
    ]
    assert dropped == {"no agreement": 1, "finds nothing": 1, "the teacher: abstained": 1}


def test_logged_sql_is_kept_where_its_words_lead_back_to_its_rows(url: str, tmp_path: Path) -> None:
    dropped: Counter[str] = Counter()
    logged = [
        ("the sum of amount", "SELECT TOTAL(amount) FROM orders"),
        ("the cities", "SELECT city FROM orders"),
    ]
    with ExitStack() as stack:
        said = {"the sum of amount": [SUM], "the cities": ["SELECT DISTINCT city FROM orders"]}
        lines = list(distill.agree_on_log(opened(stack, url, tmp_path / "home", said), logged, dropped))
    assert [(line["question"], line["sql"]) for line in lines] == [logged[0]]
    assert dropped == {"no agreement": 1}


def test_the_command_writes_pairs_that_training_takes(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text('{"question": "total of the orders"}\nlargest order\n\n', "utf-8")
    answers = {"total of the orders": [SUM], "largest order": ["SELECT MAX(amount) FROM orders"]}
    monkeypatch.setattr("sqlgen.generation.load_generator", lambda name: ScriptedGenerator(answers))
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    out = tmp_path / "pairs.jsonl"
    flags = [
        "--db",
        url,
        "--teacher",
        "big",
        "--second",
        "other",
        "--questions",
        str(asked),
        "--out",
        str(out),
    ]
    assert distill.main(flags) == 0
    assert "2 pairs" in capsys.readouterr().out
    pairs = read_pairs([out], "sqlite")
    assert [(p.question, p.sql) for p in pairs] == [(q, sqls[0]) for q, sqls in answers.items()]
    assert len({p.key for p in pairs}) == 2
    assert [json.loads(line)["source"] for line in out.read_text().splitlines()] == ["distilled"] * 2


def test_a_line_without_a_question_is_named(tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").write_text('{"sql": "SELECT 1"}\n', "utf-8")
    with pytest.raises(UsageError, match="line 1"):
        distill.read_questions(tmp_path / "asked.jsonl")
