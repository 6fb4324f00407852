"""What is measured with is found in training material, and nothing else is."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from sqlgen.training import decontaminate
from sqlgen.training.corpora import HELD_OUT, Example
from sqlgen.training.decontaminate import (
    Leaks,
    Measured,
    measured_of_golden,
    measured_of_repository,
    measured_of_spider,
    sql_skeleton,
    without_leaks,
)
from sqlgen.types import Column, RetrievedContext, Table, TableSlice

BOATS = RetrievedContext(
    tuple(
        TableSlice(Table(name, (Column("id", "INT", "number"), Column(word, "TEXT", "text"))), 1.0, "")
        for name, word in (("boats", "colour"), ("harbours", "town"))
    )
)
MEASURED = [
    Measured("How many boats are red?", ("SELECT count(*) FROM boat WHERE hue = 'red'",)),
    Measured(
        "Which towns have a harbour?",
        ("SELECT town FROM harbours ORDER BY town", "SELECT DISTINCT town FROM harbours"),
        frozenset({"boats", "harbours"}),
    ),
]
RED = ("select", "count", "*", "where", ("c", 0, 1), "=", ("q", 19, 22))
CLEAN = Example("colours of all boats", BOATS, ("select", ("c", 0, 1), "limit", "3"), "x", "x")
# question, form, how it leaks
PLANTED = [
    ("how many boats are red", RED, "question"),
    ("Show how many boats red is?", (*RED[:-1], ("q", 20, 23)), "near question"),
    ("Every port's place", ("select", "distinct", ("c", 1, 1)), "schema"),
]


@pytest.mark.parametrize(("question", "form", "kind"), PLANTED)
def test_planted_leaks_are_found(question: str, form: tuple[str, ...], kind: str) -> None:
    planted = Example(question, BOATS, form, "x", "x")
    found: Counter[str] = Counter()
    assert list(without_leaks([CLEAN, planted, CLEAN], Leaks(MEASURED), found)) == [CLEAN, CLEAN]
    assert found == {kind: 1}


def test_alike_is_not_the_same() -> None:
    leaks = Leaks(MEASURED)
    # The same words over another query, the same query over other tables.
    other = Example(
        "Show how many boats red is?", BOATS, ("select", "count", "*", "from", ("t", 0)), "x", "x"
    )
    assert leaks.kind(other) is None
    lakes = tuple(replace(s, table=replace(s.table, name=s.table.name + "_of_lakes")) for s in BOATS.tables)
    elsewhere = Example("Every port's place", RetrievedContext(lakes), PLANTED[2][1], "x", "x")  # type: ignore[arg-type]
    assert leaks.kind(elsewhere) is None


def test_skeletons_forget_names_aliases_and_literals() -> None:
    one = "SELECT T1.name, count(*) AS n FROM a AS T1 JOIN b AS T2 ON T1.id = T2.a_id WHERE T2.x > 5 GROUP BY T1.name"
    two = "SELECT u.word, COUNT(*) FROM u JOIN w ON w.u = u.k WHERE w.y > 'z' GROUP BY u.word"
    assert sql_skeleton(one) == sql_skeleton(two) != ""
    assert sql_skeleton(one) != sql_skeleton(two.replace(">", "<"))
    assert sql_skeleton("SELECT FROM WHERE (") == ""


def test_every_golden_question_of_the_repository_would_be_caught() -> None:
    measured = measured_of_repository()
    assert len(measured) > 100
    leaks = Leaks(measured)
    assert all(leaks.kind(replace(CLEAN, question=m.question.upper() + " !")) == "question" for m in measured)
    assert leaks.kind(CLEAN) is None


def test_golden_files_and_spider_are_read(tmp_path: Path) -> None:
    golden = tmp_path / "golden.jsonl"
    golden.write_text(
        '{"question": "q", "sql": ["WITH d AS (SELECT 1 FROM a) SELECT * FROM d", "SELECT 1 FROM B"]}\n'
    )
    [one] = measured_of_golden(golden)
    assert one.tables == {"a", "b"}
    assert len(one.answers) == 2
    name = sorted(HELD_OUT)[0]
    (tmp_path / "tables.json").write_text(json.dumps([{"db_id": name, "table_names_original": ["A", "b"]}]))
    (tmp_path / "dev.json").write_text(json.dumps([{"db_id": name, "question": "q", "query": "SELECT 1"}]))
    assert measured_of_spider(tmp_path) == [Measured("q", ("SELECT 1",), frozenset({"a", "b"}))]


def test_the_command_reports_and_only_then_removes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shard, golden = tmp_path / "made.pkl.gz", tmp_path / "golden.jsonl"
    planted = Example(PLANTED[0][0], BOATS, RED, "x", "x")
    shard.write_bytes(gzip.compress(pickle.dumps([CLEAN, planted])))
    golden.write_text('{"question": "How many boats are red?", "sql": "SELECT 1"}\n')

    def run(*more: str) -> list[Example]:
        monkeypatch.setattr(sys, "argv", ["x", "--data", str(tmp_path), "--golden", str(golden), *more])
        decontaminate.main()
        rows: list[Example] = pickle.loads(gzip.decompress(shard.read_bytes()))
        return rows

    assert len(run()) == 2
    assert "2 examples {'question': 1}" in capsys.readouterr().out
    assert run("--write") == [CLEAN]
    run()
    assert "none leaks" in capsys.readouterr().out
