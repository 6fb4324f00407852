"""The commands that docs/knowledge.md shows work on the demo shop."""

from __future__ import annotations

import re
import shlex
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
