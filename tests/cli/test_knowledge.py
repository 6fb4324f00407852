"""``sqlgen knowledge``, ``feedback`` and ``history`` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Outcome, Run

Check = Callable[[Outcome, int, Sequence[str]], None]


def test_add_list_remove_and_undo(run: Run, shop: str) -> None:
    added = run(
        "knowledge",
        "add",
        "metric",
        "takings",
        "SUM(orders.total)",
        "--filter",
        "orders.total > 5",
        "--db",
        shop,
    )
    assert (added.code, added.out) == (0, "kept metric:takings\n")
    assert (
        run(
            "knowledge", "add", "term", "big order", "above 50", "--sql", "orders.total > 50", "--db", shop
        ).code
        == 0
    )
    listed = json.loads(run("knowledge", "list", "--db", shop, "--format", "json").out)
    assert [(e["id"], e["kind"], e["sql"]) for e in listed] == [
        ("metric:takings", "metric", "SUM(orders.total)"),
        ("term:big-order", "term", "orders.total > 50"),
    ]
    assert "metric:takings" in run("knowledge", "list", "--kind", "metric", "--db", shop).out
    assert run("knowledge", "remove", "big order", "--db", shop).out == "removed term:big-order\n"
    assert run("knowledge", "undo", "--db", shop).out == "added term:big-order\n"
    history = json.loads(run("knowledge", "list", "--history", "--db", shop, "--format", "json").out)
    assert [(c["change"], c["action"], c["undoes"]) for c in history] == [
        (4, "added", 3), (3, "removed", None), (2, "added", None), (1, "added", None),
    ]  # fmt: skip


def test_a_verified_query_answers_from_the_next_question_on(run: Run, shop: str) -> None:
    kept = run(
        "knowledge", "add", "query", "How many orders?", "SELECT 7 AS n", "--db", shop, "--format", "json"
    )
    assert json.loads(kept.out)["verdict"] == "allow"
    document = json.loads(run("ask", "--db", shop, "--format", "json", "how many ORDERS").out)
    assert (document["rows"], document["confidence"]) == ([[7]], 0.99)
    assert document["citations"][0] == {
        "kind": "query",
        "name": "How many orders?",
        "source": "added",
        "score": 1.0,
    }
    found = json.loads(run("retrieve", "--db", shop, "--format", "json", "orders, how many?").out)
    assert [q["sql"] for q in found["queries"]] == ["SELECT 7 AS n"]


def test_what_validation_refuses_is_not_kept(run: Run, shop: str) -> None:
    refused = run("knowledge", "add", "query", "Q?", "DELETE FROM orders", "--db", shop, "--format", "json")
    assert refused.code == 3
    assert json.loads(refused.out)["findings"][0]["rule"]
    assert refused.err.startswith("rejected: ")
    assert run("knowledge", "add", "metric", "m", "SUM(orders.nope)", "--db", shop).code == 3
    assert run("knowledge", "list", "--db", shop).err == "nothing yet; sqlgen knowledge add --help\n"


def test_import_reports_what_was_taken_and_what_was_not(run: Run, shop: str, tmp_path: Path) -> None:
    file = tmp_path / "schema.yml"
    file.write_text(
        "models:\n- name: orders\n  description: Orders\n  columns:\n  - {name: total, description: Money}\n"
        "- {name: nowhere, description: Not here}\n"
    )
    done = run("knowledge", "import", str(file), "--db", shop)
    assert (done.code, done.out) == (0, "description: 2 added\n")
    assert done.err == "skipped description:nowhere: this database has no nowhere\n"
    document = json.loads(run("knowledge", "import", str(file), "--db", shop, "--format", "json").out)
    assert document["counts"] == {"description": {"unchanged": 2}}
    assert document["skipped"][0]["what"] == "description:nowhere"


def test_a_folder_of_knowledge(run: Run, shop: str, tmp_path: Path) -> None:
    folder = tmp_path / "domain"
    folder.mkdir()
    (folder / "queries.jsonl").write_text('{"question": "How many orders?", "sql": "SELECT 8"}')
    assert json.loads(
        run("ask", "--db", shop, "--knowledge", str(folder), "--format", "json", "How many orders?").out
    )["rows"] == [[8]]
    assert json.loads(run("ask", "--db", shop, "--format", "json", "How many orders?").out)["rows"] == [[3]]


def test_documents(run: Run, shop: str, tmp_path: Path) -> None:
    file = tmp_path / "guide.md"
    file.write_text("# Guide\n## Orders\nHow many orders there are is counted daily.")
    assert run("knowledge", "add", "document", str(file), "--db", shop).out == "kept document:guide\n"
    document = json.loads(run("ask", "--db", shop, "--format", "json", "How many orders?").out)
    assert ("document", "Guide > Guide > Orders") in {(c["kind"], c["name"]) for c in document["citations"]}


def ask(run: Run, shop: str, question: str) -> dict[str, Any]:
    return json.loads(run("ask", "--db", shop, "--format", "json", question).out)


def test_feedback_acts_on_the_next_question(run: Run, shop: str) -> None:
    answer = ask(run, shop, "Who?")
    refused = run(
        "feedback",
        answer["answer_id"],
        "--sql",
        "SELECT nobody FROM customers",
        "--db",
        shop,
        "--format",
        "json",
    )
    assert refused.code == 3
    assert json.loads(refused.out)["findings"]
    # The database is known from the history.
    corrected = run("feedback", answer["answer_id"][:8], "--sql", "SELECT city FROM customers")
    assert (corrected.code, corrected.out) == (0, "corrected: Who?\n")
    again = ask(run, shop, "who")
    assert (again["sql"], again["confidence"]) == ("SELECT city FROM customers", 0.99)
    assert run("feedback", "last", "--wrong", "--format", "json").code == 0
    assert ask(run, shop, "Who?")["model"]["name"] == "scripted"
    assert run("feedback", "last", "--right").out == "right: Who?\n"
    assert ask(run, shop, "Who?")["model"]["name"] == "verified query"


def test_history_lists_answers_and_verdicts(run: Run, shop: str) -> None:
    assert run("history", "list").err == "no answer yet; sqlgen ask --help\n"
    answer = ask(run, shop, "How many orders?")
    ask(run, shop, "Margin?")
    run("feedback", answer["answer_id"], "--right", "--db", shop)
    lines = json.loads(run("history", "list", "--format", "json").out)
    assert [(x["question"], x["status"], x["verdict"]) for x in lines] == [
        ("Margin?", "rejected", None),
        ("How many orders?", "answered", "right"),
    ]
    assert lines[1]["final_sql"] == answer["sql"]
    assert "rows" not in lines[1]
    assert "How many orders?" in run("history", "list", "--judged").out
    assert "Margin?" not in run("history", "list", "--judged").out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["feedback", "last", "--right"], ["history is empty"]),
        (["feedback", "last"], ["--right", "--wrong", "--sql"]),
        (["feedback", "last", "--right", "--sql", "SELECT 1"], ["one of"]),
        (["knowledge", "remove", "term:none"], ["there is no", "knowledge list"]),
        (["knowledge", "undo"], ["no change"]),
        (["knowledge", "add", "term", "??", "x"], ["no word"]),
        (["knowledge", "add", "document", "nowhere.md"], ["cannot read nowhere.md"]),
        (["knowledge", "import", "nowhere.yml"], ["cannot read nowhere.yml"]),
        (["knowledge", "import", "x.pdf"], ["x.pdf", "no known kind"]),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(
    run: Run,
    shop: str,
    assert_one_line: Check,
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    words: list[str],
) -> None:
    monkeypatch.setenv("SQLGEN_DB", shop)
    assert_one_line(run(*argv), 2, words)


def test_another_databases_answer_is_refused(
    run: Run, shop: str, numbers: str, tmp_path: Path, assert_one_line: Check
) -> None:
    answer = ask(run, shop, "How many orders?")
    other = tmp_path / "other.sqlite"
    other.write_bytes(Path(shop.removeprefix("sqlite:///")).read_bytes())
    outcome = run("feedback", answer["answer_id"], "--right", "--db", f"sqlite:///{other}")
    assert_one_line(outcome, 2, ["another database"])


@pytest.mark.parametrize(
    "command",
    [
        ["knowledge"],
        ["knowledge", "add", "metric"],
        ["knowledge", "import"],
        ["feedback"],
        ["history", "list"],
    ],
)
def test_help_has_an_example(run: Run, command: list[str]) -> None:
    outcome = run(*command, "--help")
    assert outcome.code == 0
    assert "Example:" in outcome.out
