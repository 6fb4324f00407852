"""Every command, every format, every exit code."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from sqlgen.cli.commands import root


def commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name, command in root.commands.items():
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
    return found


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_help_has_an_example(run: Any, path: tuple[str, ...]) -> None:
    outcome = run(*path, "--help")
    assert outcome.code == 0
    assert re.search(r"Example:\n\s+sqlgen \w+", outcome.out)
    assert outcome.err == ""


def test_version(run: Any) -> None:
    assert re.match(r"sqlgen [\d(]", run("--version").out)


def test_ask_prints_sql_rows_and_what_they_rest_on(run: Any, shop: str) -> None:
    outcome = run("ask", "--db", shop, "How", "many", "orders?")
    assert outcome.code == 0
    assert "COUNT(*) AS n\nFROM orders" in outcome.out
    assert re.search(r"^n\n-\n3\n\(1 row\)$", outcome.out, re.MULTILINE)
    assert "rests on  orders" in outcome.out
    assert "confidence 0.90" in outcome.out
    assert outcome.err == ""
    assert "\x1b" not in outcome.out


def test_ask_json_is_one_document(run: Any, shop: str) -> None:
    outcome = run("ask", "--db", shop, "--format", "json", "Who?")
    document = json.loads(outcome.out)
    assert document["status"] == "answered"
    assert document["rows"][0] == ["Ann", "Oslo"]
    assert document["rows"][2][1] is None
    assert document["row_count"] == 3
    assert document["dialect"] == "sqlite"
    assert outcome.err == ""


def test_ask_csv_guards_formulas_and_escapes(run: Any, shop: str) -> None:
    rows = list(csv.reader(io.StringIO(run("ask", "--db", shop, "--format", "csv", "Who?").out)))
    assert rows == [["name", "city"], ["Ann", "Oslo"], ["'=1+1", "Rome"], ["Cy\\x1b[31m", ""]]


def test_ask_markdown_and_table_escape_what_a_terminal_could_misread(run: Any, shop: str) -> None:
    for format_ in ("markdown", "table"):
        out = run("ask", "--db", shop, "--format", format_, "Who?").out
        assert "Cy\\x1b[31m" in out
        assert "\x1b" not in out
    assert "| name | city |" in run("ask", "--db", shop, "--format", "markdown", "Who?").out


@pytest.mark.parametrize("flags", [("--sql-only",), ("--format", "sql")])
def test_sql_only_prints_the_sql_and_executes_nothing(run: Any, shop: str, flags: tuple[str, ...]) -> None:
    outcome = run("ask", "--db", shop, *flags, "Broken?")
    assert outcome.code == 0
    assert outcome.out.startswith("SELECT ABS(")
    assert len(outcome.out.splitlines()) == 1


def test_dry_run_writes_sql_and_no_rows(run: Any, shop: str) -> None:
    document = json.loads(run("ask", "--db", shop, "--dry-run", "--format", "json", "Who?").out)
    assert document["status"] == "answered"
    assert document["row_count"] is None
    assert "(3 rows)" not in run("ask", "--db", shop, "--dry-run", "Who?").out


def test_explain_shows_candidates_and_what_was_retrieved(run: Any, shop: str) -> None:
    out = run("ask", "--db", shop, "--explain", "Who?").out
    assert "verdict" in out
    assert "allow" in out
    assert "tokens" in out
    document = json.loads(run("ask", "--db", shop, "--explain", "--format", "json", "Who?").out)
    assert {t["name"] for t in document["context"]["tables"]} == {"customers", "orders"}


def test_rejected_is_3_with_findings(run: Any, shop: str) -> None:
    outcome = run("ask", "--db", shop, "Margin?")
    assert outcome.code == 3
    assert outcome.out == ""
    assert "margin" in outcome.err
    document = json.loads(run("ask", "--db", shop, "--format", "json", "Margin?").out)
    assert document["status"] == "rejected"
    assert document["candidates"][0]["verdict"] == "reject"
    assert "margin" in document["findings"][0]["message"]


def test_abstained_is_4(run: Any, shop: str) -> None:
    outcome = run("ask", "--db", shop, "What is love?")
    assert outcome.code == 4
    assert outcome.err.startswith("abstained: ")
    document = json.loads(run("ask", "--db", shop, "--format", "json", "What is love?").out)
    assert document["status"] == "abstained"


def test_a_query_that_the_database_refuses_is_5(run: Any, shop: str) -> None:
    outcome = run("ask", "--db", shop, "Broken?")
    assert outcome.code == 5
    assert "overflow" in outcome.err
    assert outcome.out == ""
    assert json.loads(run("ask", "--db", shop, "--format", "json", "Broken?").out)["status"] == "error"


def test_a_time_limit_is_6(run: Any, numbers: str) -> None:
    outcome = run("ask", "--db", numbers, "--timeout", "0.3", "--format", "json", "Endless?")
    assert outcome.code == 6
    assert outcome.err.startswith("error: ")
    assert json.loads(outcome.out)["status"] == "error"


def test_max_rows_cuts_and_says_so(run: Any, shop: str) -> None:
    assert "the first 2 rows; more exist" in run("ask", "--db", shop, "--max-rows", "2", "Who?").out
    outcome = run("ask", "--db", shop, "--max-rows", "2", "--format", "csv", "Who?")
    assert len(outcome.out.splitlines()) == 3
    assert "more exist" in outcome.err


def test_the_database_may_come_from_the_environment_or_the_file(
    run: Any, shop: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sqlgen.toml").write_text(f'db = "{shop}"\n')
    assert run("ask", "How many orders?").code == 0
    (tmp_path / "sqlgen.toml").unlink()
    monkeypatch.setenv("SQLGEN_DB", shop)
    assert run("ask", "How many orders?").code == 0


def test_the_question_may_come_from_stdin(run: Any, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"How many orders?\n")))
    assert run("ask", "--db", shop, "-").code == 0


def test_retrieve(run: Any, shop: str) -> None:
    document = json.loads(run("retrieve", "--db", shop, "--format", "json", "people in Oslo").out)
    assert document["tables"][0]["name"] == "customers"
    assert set(document["tables"][0]) >= {"name", "score", "reason", "columns"}
    assert document["values"][0]["value"] == "Oslo"
    assert set(document) >= {"tables", "values", "terms", "queries", "tokens"}
    assert "customers" in run("retrieve", "--db", shop, "people").out
    assert run("retrieve", "--db", shop, "--format", "csv", "people").out.startswith(
        "table,score,reason,columns"
    )


def test_check(run: Any, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("check", "--db", shop, "SELECT name FROM customers").out.startswith("allow\n")
    outcome = run("check", "--db", shop, "SELECT nope FROM customers")
    assert outcome.code == 3
    assert "nope" in outcome.out
    document = json.loads(run("check", "--db", shop, "--format", "json", "SELECT name FROM customers").out)
    assert document["verdict"] == "allow"
    assert document["columns"] == ["customers.name"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"DROP TABLE customers")))
    assert run("check", "--db", shop, "-").code == 3


def test_check_a_batch(run: Any, shop: str, tmp_path: Path) -> None:
    lines = [
        json.dumps({"id": 1, "sql": "SELECT name FROM customers"}).encode(),
        b"",
        b"{not json",
        json.dumps({"id": "b", "sql": "DROP TABLE customers"}).encode(),
        json.dumps({"id": 3}).encode(),
        b"[1]",
        b"\xff\xfe",
        json.dumps({"id": 4, "sql": "SELECT 1", "dialect": "klingon"}).encode(),
        json.dumps({"id": 5, "sql": "SELECT 1", "dialect": "postgres"}).encode(),
        b"[" * 100_000,
        json.dumps({"id": 6, "sql": "SELECT " + "(" * 5000 + "1" + ")" * 5000}).encode(),
        json.dumps({"id": 7, "sql": "SELECT COUNT(*) FROM orders", "dialect": "sqlite"}).encode(),
    ]
    path = tmp_path / "batch.jsonl"
    path.write_bytes(b"\n".join(lines))
    outcome = run("check", "--db", shop, "--batch", str(path))
    assert outcome.code == 3
    documents = [json.loads(line) for line in outcome.out.splitlines()]
    assert [d["id"] for d in documents] == [1, None, "b", 3, None, None, 4, 5, None, 6, 7]
    assert [d["verdict"] for d in documents] == ["allow"] + ["reject"] * 9 + ["allow"]
    assert all(d["findings"] for d in documents if d["verdict"] == "reject")
    assert documents[1]["findings"][0]["message"].startswith("line 3: not JSON")


def test_check_against_a_schema_file_takes_any_dialect(run: Any, tmp_path: Path) -> None:
    ddl, batch = tmp_path / "schema.sql", tmp_path / "batch.jsonl"
    ddl.write_text("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20));")
    dialects = ("sqlite", "duckdb", "postgres", "mysql")
    batch.write_text(
        "\n".join(json.dumps({"id": d, "sql": "SELECT name FROM t", "dialect": d}) for d in dialects)
    )
    outcome = run("check", "--schema-file", str(ddl), "--dialect", "postgres", "--batch", str(batch))
    assert outcome.code == 0
    assert [json.loads(line)["verdict"] for line in outcome.out.splitlines()] == ["allow"] * 4
    assert run("check", "--schema-file", str(ddl), "SELECT nope FROM t").code == 3


def test_ask_with_a_schema_file_writes_sql(run: Any, tmp_path: Path) -> None:
    ddl = tmp_path / "schema.sql"
    ddl.write_text("CREATE TABLE orders (id INTEGER PRIMARY KEY);")
    outcome = run(
        "ask", "--schema-file", str(ddl), "--dialect", "duckdb", "--format", "json", "How many orders?"
    )
    document = json.loads(outcome.out)
    assert (document["status"], document["dialect"], document["rows"]) == ("answered", "duckdb", [])


def test_index(run: Any, shop: str) -> None:
    assert json.loads(run("index", "status", "--db", shop, "--format", "json").out)["state"] == "missing"
    assert json.loads(run("index", "build", "--db", shop, "--format", "json").out)["tables"] == 2
    assert "current" in run("index", "status", "--db", shop).out
    with sqlite3.connect(shop.removeprefix("sqlite:///")) as connection:
        connection.execute("CREATE TABLE extra (id INTEGER)")
    connection.close()
    assert "stale" in run("index", "status", "--db", shop).out
    assert json.loads(run("index", "refresh", "--db", shop, "--format", "json").out)["tables"] == 3


def test_non_ascii_survives(run: Any, shop: str) -> None:
    outcome = run("ask", "--db", shop, "--format", "json", "Ünïcode ☂?")
    document = json.loads(outcome.out)
    assert document["rows"] == [["ü☂"]]
    assert document["columns"][0]["name"] == "ключ"
    assert "ключ" in run("ask", "--db", shop, "Ünïcode ☂?").out
