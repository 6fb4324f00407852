"""What docs/asking.md shows works on the demo shop, with the shipped model."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path

import pytest

from sqlgen import demo
from sqlgen.cli import main
from sqlgen.cli.shell import Shell

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "asking.md").read_text("utf-8")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    demo.build_retail(tmp_path / "shop.db", scale=0.01)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shop.db"


@pytest.mark.usefixtures("shop")
def test_the_conversation_in_python() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    known: dict[str, object] = {}
    exec(block, known)
    answer = known["answer"]
    sql = answer.sql  # type: ignore[attr-defined]
    assert answer.status == "answered"  # type: ignore[attr-defined]
    for part in ("'Germany'", "-Q", "'2024-01-01'", "LIMIT 3"):
        assert part in sql
    assert "2025" not in sql.replace("'2025-01-01'", "")


def test_the_shell_reads_a_file(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = next(b for b in re.findall(r"```sh\n(.*?)```", PAGE, re.S) if "questions.txt" in b)
    piped = next(line for line in block.splitlines() if "<" in line)
    argv = shlex.split(piped.split("<")[0])[1:]
    text = "How many orders per month in 2025?\nonly in Germany\n\\chart\n\\why\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert main(argv) == 0
    printed = capsys.readouterr().out
    assert "reads as  counts orders by month of order date, in 2025, only country 'Germany'" in printed


def test_every_command_of_the_shell_is_on_the_page(shop: Path) -> None:
    import sqlgen

    with sqlgen.connect(f"sqlite:///{shop}") as database:
        for name in Shell(database).names:
            assert re.search(rf"`\\{name}\b", PAGE), name
