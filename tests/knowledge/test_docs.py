"""The commands that docs/knowledge.md shows work on the demo shop."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sqlgen import demo
from sqlgen.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "knowledge.md"


@pytest.fixture
def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    lines = blocks[0].replace("\\\n", " ").splitlines()
    return [
        words[1:] for line in lines if (words := shlex.split(line, comments=True)) and words[0] == "sqlgen"
    ]


def test_the_page_is_true(
    commands: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    demo.build_retail(tmp_path / "shop.db", scale=0.01)
    (tmp_path / "handbook.md").write_text("# Handbook\ntext")
    monkeypatch.setenv("SQLGEN_DB", f"sqlite:///{tmp_path / 'shop.db'}")
    monkeypatch.chdir(tmp_path)
    assert len(commands) == 8
    for argv in commands:
        assert main(argv) == 0, (argv, capsys.readouterr().err)
    capsys.readouterr()
    assert main(["knowledge", "list"]) == 0
    listed = capsys.readouterr().out
    for name in ("metric:revenue", "term:open-order", "term:repeat-customer", "document:handbook"):
        assert name in listed


def test_a_renamed_column_is_reported_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = tmp_path / "shop.db"
    demo.build_retail(shop, scale=0.01)
    monkeypatch.setenv("SQLGEN_DB", f"sqlite:///{shop}")
    monkeypatch.chdir(tmp_path)
    sql = "SELECT COUNT(*) FROM orders WHERE total_amount > 100"
    (tmp_path / "golden.jsonl").write_text(json.dumps({"id": "large-orders", "sql": sql}))
    (tmp_path / "descriptions.toml").write_text(
        '[orders]\ndescription = "purchases"\ncolumns.total_amount = "in dubloons"\n'
    )
    metric = ["knowledge", "add", "metric", "revenue", "SUM(orders.total_amount)"]
    assert main([*metric, "--filter", "orders.status <> 'cancelled'"]) == 0
    assert main(["knowledge", "import", "descriptions.toml"]) == 0
    assert main(["retrieve", "orders"]) == 0
    with closing(sqlite3.connect(shop)) as connection:
        connection.execute("ALTER TABLE orders RENAME COLUMN total_amount TO gross_amount")
        connection.commit()
    capsys.readouterr()
    assert main(["index", "status", "--queries", "golden.jsonl"]) == 0
    page = re.search(r"```console\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert page is not None
    shown = [line for line in page.group(1).splitlines() if line[:1] not in ("$", "…", "")]
    assert len(shown) == 9
    printed = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert [line for line in shown if " ".join(line.split()) not in printed] == []
    # the description went along
    assert main(["retrieve", "--format", "json", "in dubloons"]) == 0
    found = json.loads(capsys.readouterr().out)["tables"][0]
    assert (found["name"], found["reason"]) == ("orders", "description or sample matches 'dubloons'")


def test_the_shipped_folder_imports_into_the_demo_without_loss(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.build_retail(tmp_path / "shop.db", scale=0.01)
    folder = PAGE.parents[1] / "schemas" / "retail"
    assert main(["knowledge", "import", str(folder), "--db", f"sqlite:///{tmp_path / 'shop.db'}"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    for kind in ("description", "document", "metric", "query", "term"):
        assert f"{kind}: " in printed.out
