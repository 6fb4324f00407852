"""``sqlgen logs``: from a file to pairs, with a person in between."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pexpect
import pytest

from sqlgen.cli.present import cell_width

ROWS = (
    {
        "sql": "SELECT COUNT(*) FROM orders",
        "question": "How many sales?",
        "user": "ann",
        "time": "2024-05-01",
    },
    {"sql": "SELECT name FROM customers WHERE city = 'Oslo'"},
    {"sql": "SELECT MAX(total) FROM orders"},
    {"sql": "DELETE FROM orders"},
    {"sql": "SELECT nope FROM nowhere"},
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "queries.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + '{"sql": \n')
    return path


def test_import_says_what_it_found_and_what_not(run: Callable[..., Any], shop: str, log: Path) -> None:
    done = run("logs", "import", "--db", shop, str(log))
    assert done.code == 0
    assert (
        done.out == "queries.jsonl: jsonl, 6 entries, 4 queries kept; left out: 1 not a query; 1 malformed\n"
    )
    assert "queries.jsonl, line 6: not JSON" in done.err
    again = run("logs", "import", "--db", shop, "--output", "json", str(log))
    (file,) = json.loads(again.out)["files"]
    assert (file["kept"], file["note"]) == (0, "all of it was imported before")


def test_pairs_are_json_lines_on_stdout_or_a_file(
    run: Callable[..., Any], shop: str, log: Path, tmp_path: Path
) -> None:
    run("logs", "import", "--db", shop, str(log))
    done = run("logs", "pairs", "--db", shop)
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert {frozenset(line) for line in lines} == {
        frozenset({"question", "sql", "db", "weight", "source", "fingerprint", "split"})
    }
    assert {line["sql"] for line in lines} == {row["sql"] for row in ROWS[:3]}
    assert "runs left out: 1 validation: unknown_table" in done.err
    out = tmp_path / "pairs.jsonl"
    assert run("logs", "pairs", "--db", shop, "--out", str(out)).out == ""
    assert out.read_text() == done.out
    assert sorted(p.name for p in tmp_path.glob("pairs*")) == ["pairs.jsonl"]


def test_the_pairs_are_what_training_reads(
    run: Callable[..., Any], shop: str, log: Path, tmp_path: Path
) -> None:
    from sqlgen.training.pairs import read_pairs

    run("logs", "import", "--db", shop, str(log))
    run("logs", "pairs", "--db", shop, "--out", str(tmp_path / "pairs.jsonl"))
    read = read_pairs([tmp_path / "pairs.jsonl"], "sqlite")
    assert "How many sales?" in {pair.question for pair in read}
    assert len(read) == len((tmp_path / "pairs.jsonl").read_text().splitlines())


def test_review_takes_decisions_from_the_keyboard(
    run: Callable[..., Any], shop: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("logs", "import", "--db", shop, str(log))

    def typed(text: str) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return run("logs", "review", "--db", shop)

    first = typed("x\nu\na\nr\nu\nq\n")
    assert "1 of 3" in first.out
    assert "a, e, r, s, u or q, please" in first.out
    assert "nothing to undo" in first.out
    assert first.out.endswith("2 left\n")
    # What was accepted is gone from the queue; an edit with SQL that may not run is not kept.
    second = typed("e\nWhat?\nDELETE FROM orders\ne\nWhich one?\nSELECT MIN(total) FROM orders\n")
    assert "1 of 2" in second.out
    assert "not kept: " in second.out
    assert second.out.endswith("1 left\n")
    reviewed = run("logs", "pairs", "--db", shop, "--reviewed")
    lines = [json.loads(line) for line in reviewed.out.splitlines()]
    assert len(lines) == 2
    assert ("Which one?", "SELECT MIN(total) FROM orders") in {
        (line["question"], line["sql"]) for line in lines
    }
    assert json.loads(run("logs", "status", "--db", shop, "--format", "json").out)["decisions"] == {
        "accept": 1,
        "edit": 1,
    }
    assert typed("s\n").out.endswith("no pair is left to look at\n")


@pytest.mark.parametrize(("columns", "asks"), [(80, "[q]uit: "), (40, "a e r s u q: ")])
def test_review_in_a_terminal_has_colours_and_edits_in_place(
    run: Callable[..., Any], shop: str, log: Path, columns: int, asks: str
) -> None:
    log.write_text(json.dumps(ROWS[0]) + "\n")
    run("logs", "import", "--db", shop, str(log))
    child = pexpect.spawn(
        sys.executable,
        ["-P", "-m", "sqlgen", "logs", "review", "--db", shop],
        env={**os.environ, "TERM": "xterm-256color", "NO_COLOR": ""},
        dimensions=(24, columns),
        encoding="utf-8",
        timeout=120,
    )
    child.expect_exact(asks)
    assert "\x1b[1;36mHow many sales?" in child.before
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", child.before))
    assert max(map(cell_width, lines)) <= columns
    child.sendline("e")
    child.expect_exact("question: How many sales?")
    child.sendline(" Now?")
    child.expect_exact("SQL: SELECT COUNT(*)")
    child.sendline("")
    child.expect_exact("no pair is left to look at")
    child.expect(pexpect.EOF)
    (line,) = run("logs", "pairs", "--db", shop, "--reviewed").out.splitlines()
    assert json.loads(line)["question"] == "How many sales? Now?"


def test_what_the_schema_broke_is_left_out_and_mended_in_review(
    run: Callable[..., Any], shop: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("logs", "import", "--db", shop, str(log))
    assert "pairs of 3 fingerprints" in run("logs", "pairs", "--db", shop).err
    with closing(sqlite3.connect(shop.removeprefix("sqlite:///"))) as db:
        db.execute("ALTER TABLE orders RENAME COLUMN total TO amount")
        db.execute("ALTER TABLE customers DROP COLUMN city")
    left = run("logs", "pairs", "--db", shop)
    assert [json.loads(line)["sql"] for line in left.out.splitlines()] == ["SELECT COUNT(*) FROM orders"]
    assert "2 the schema no longer has what it names, 1 validation: unknown_table" in left.err
    assert "'sqlgen logs review' proposes " in left.err
    told = json.loads(run("index", "status", "--db", shop, "--format", "json").out)["drift"]
    assert {(one["sql"], one["proposal"]) for one in told} == {
        ("SELECT MAX(total) FROM orders", "SELECT MAX(amount) FROM orders"),
        ("SELECT name FROM customers WHERE city = 'Oslo'", ""),
    }
    monkeypatch.setattr("sys.stdin", io.StringIO("a\nq\n"))
    assert "SELECT MAX(amount)\nFROM orders" in run("logs", "review", "--db", shop).out
    mended = run("logs", "pairs", "--db", shop, "--reviewed")
    assert [json.loads(line)["sql"] for line in mended.out.splitlines()] == ["SELECT MAX(amount) FROM orders"]
    assert "1 the schema no longer has what it names" in mended.err


def test_status_shows_files_statements_and_malformed_lines(
    run: Callable[..., Any], shop: str, log: Path
) -> None:
    empty = run("logs", "status", "--db", shop)
    assert empty.code == 0
    assert "0 statements" in empty.out
    run("logs", "import", "--db", shop, str(log))
    done = run("logs", "status", "--db", shop)
    assert "queries.jsonl" in done.out
    assert "4 statements, run 4 times" in done.out
    assert run("logs", "status", "--db", shop, "--malformed").out.startswith("queries.jsonl:6: not JSON")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("gone.log",), "does not exist"),
        (("--format", "nonsense", "queries.jsonl"), "nonsense"),
        (("--written-in", "basic", "queries.jsonl"), "unknown dialect 'basic'"),
        (("diary.txt",), "cannot tell the format of diary.txt; give --format"),
    ],
)
def test_bad_input_is_one_line(
    run: Callable[..., Any], shop: str, log: Path, argv: tuple[str, ...], words: str
) -> None:
    (log.parent / "diary.txt").write_text("Dear diary,\nnothing happened.\n")
    done = run("logs", "import", "--db", shop, *argv)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.splitlines()) == 1


def test_other_dialects_are_translated(run: Callable[..., Any], shop: str, tmp_path: Path) -> None:
    log = tmp_path / "mssql.csv"
    log.write_text(
        'query,title\n"SELECT TOP 2 [name] FROM customers ORDER BY [city]",Two customers by city\n'
    )
    run("logs", "import", "--db", shop, "--written-in", "tsql", str(log))
    (line,) = run("logs", "pairs", "--db", shop).out.splitlines()
    pair = json.loads(line)
    assert pair["question"] == "Two customers by city"
    assert "LIMIT 2" in pair["sql"]
