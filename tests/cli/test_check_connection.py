"""``sqlgen check --connection``, limits and the audit log at the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def test_the_rights_of_a_login_are_printed(run: Any, shop: str) -> None:
    outcome = run("check", "--connection", "--db", shop)
    assert outcome.code == 0
    assert "writable_file" in outcome.out
    document = json.loads(run("check", "--connection", "--db", shop, "--format", "json").out)
    assert document["dialect"] == "sqlite"
    assert document["reads_only"] is False
    assert [risk["rule"] for risk in document["risks"]] == ["writable_file"]


def test_a_superuser_is_warned_of(run: Any, postgres_url: str) -> None:
    outcome = run("check", "--connection", "--db", postgres_url)
    assert outcome.code == 0
    assert "superuser" in outcome.out


def test_connection_stands_alone(run: Any, assert_one_line: Any, shop: str) -> None:
    assert_one_line(run("check", "--connection", "--db", shop, "SELECT 1"), 2, ["--connection"])
    assert_one_line(run("check", "--db", shop), 2, ["--connection", "--batch"])


def test_a_cut_result_ends_with_six_and_says_so(run: Any, shop: str) -> None:
    outcome = run("ask", "--db", shop, "--max-rows", "2", "Who?")
    assert outcome.code == 6
    assert "more exist" in outcome.out
    outcome = run("ask", "--db", shop, "--max-rows", "2", "--format", "csv", "Who?")
    assert outcome.code == 6
    assert "more exist" in outcome.err
    outcome = run("ask", "--db", shop, "--max-rows", "2", "--format", "json", "Who?")
    document = json.loads(outcome.out)
    assert (outcome.code, document["truncated"], document["findings"][0]["rule"]) == (6, True, "rows")
    assert run("ask", "--db", shop, "--max-rows", "3", "Who?").code == 0


def test_time_is_a_limit_too(run: Any, assert_one_line: Any, numbers: str) -> None:
    assert_one_line(run("ask", "--db", numbers, "--timeout", "0.3", "Endless?"), 6, ["0.3 s"])


@pytest.mark.parametrize(("policy", "code"), [("refuse", 6), ("ask", 6), ("run", 0)])
def test_the_planner_s_estimate_decides(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: str, code: int
) -> None:
    import duckdb

    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE customers AS SELECT range AS id, 'x' AS name, 'y' AS city FROM range(5000)"
        )
    monkeypatch.setenv("SQLGEN_MAX_ESTIMATED_ROWS", "100")
    monkeypatch.setenv("SQLGEN_ON_ESTIMATE", policy)
    outcome = run("ask", "--db", f"duckdb:///{path}", "--max-rows", "6000", "Who?")
    assert outcome.code == code
    assert "the planner expects 5,000 rows" in outcome.out + outcome.err
    assert ("(5000 rows)" in outcome.out) is (code == 0)


def test_no_answer_without_the_audit_log(
    run: Any, assert_one_line: Any, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLGEN_AUDIT_LOG", "/dev/full")
    assert_one_line(run("ask", "--db", shop, "How many orders?"), 2, ["audit log", "/dev/full"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("ON_ESTIMATE", "maybe"), ("MAX_COST", "cheap"), ("MAX_MEMORY_MIB", "1"), ("AUDIT_QUESTION", "no")],
)
def test_settings_that_make_no_sense(
    run: Any, assert_one_line: Any, shop: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SQLGEN_{name}", value)
    assert_one_line(run("ask", "--db", shop, "How many orders?"), 2, [name.lower(), value])
