"""Growth curves and peers: every part is measured, has a floor, and says what it left out. Times decide nothing here."""

from __future__ import annotations

import json
import sys
import types
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from sqlgen.eval import growth, peers


def test_every_part_has_points_and_a_floor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {
        "tables": (10, 20),
        "rows": (100, 1000),
        "context": (60, 120),
        "log": (20, 40),
        "callers": (1, 2),
    }
    options = [text for name, points in sizes.items() for text in (f"--{name}", *map(str, points))]
    assert growth.main([*options, "--questions", "4", "--out", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["parts"].keys() == sizes.keys() == document["exponents"].keys()
    for name, points in document["parts"].items():
        x, measured, floor = growth._AXES[name]
        assert len(points) == 2
        assert all(p[measured] > 0 and p[floor] > 0 for p in points), name
        assert points[0][x] < points[1][x]
        if name in ("rows", "log"):
            # The engine's own work and a bare read are part of ours.
            assert all(p[floor] < p[measured] for p in points)
    assert json.loads((tmp_path / "growth.json").read_text()) == document
    table = (tmp_path / "growth.md").read_text()
    assert table.count("| ratio |") == table.count("| grows with the power |") == len(sizes)
    assert "| 1,000 |" in table
    root = ET.fromstring((tmp_path / "growth.svg").read_text())
    assert len(root.findall("{*}polyline")) == 2 * len(sizes)


def test_the_exponent_of_a_straight_line() -> None:
    square = [{"n": n, "ms": n * n} for n in (1, 10, 100)]
    assert growth.exponent(square, "n", "ms") == 2.0
    assert growth.exponent([{"n": n, "ms": 7.0} for n in (1, 10)], "n", "ms") == 0.0
    assert growth.exponent(square[:1], "n", "ms") is None


def test_work_is_done_in_turns_and_first_use_is_not_measured() -> None:
    order: list[str] = []
    found = peers.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b"), "c": "why"}, 2)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert found["c"] == {"left out": "why"}
    assert found["a"]["min"] <= found["a"]["median"] <= found["a"]["max"]


def test_peers_that_are_not_installed_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bm25s", "vanna", "premsql"):
        monkeypatch.setitem(sys.modules, name, None)
    assert peers.main(["--tables", "20", "--rounds", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["retrieval_ms"]["bm25s"] == {"left out": "pip install bm25s"}
    assert document["retrieval_ms"]["sqlgen"]["found_in_ten"] > 0.5
    answering = document["answering_without_a_model_ms"]
    assert all("pip install" in answering[name]["left out"] for name in ("vanna", "premsql"))
    parsing = document["parsing_ms"]
    assert all(parsing[name]["median"] > 0 for name in ("sqlgen validates", "sqlglot parses"))


def test_a_peer_answers_with_the_sql_that_its_model_replied(monkeypatch: pytest.MonkeyPatch) -> None:
    class VannaBase:
        def __init__(self, config: Any = None) -> None:
            pass

        def generate_sql(self, question: str) -> str:
            prompt = [self.system_message(" ".join(self.get_related_ddl(question)))]  # type: ignore[attr-defined]
            assert "CREATE TABLE" in prompt[0]["content"]
            return str(self.submit_prompt(prompt).strip("`\n").removeprefix("sql\n"))  # type: ignore[attr-defined]

    made = types.ModuleType("vanna.legacy.base.base")
    made.VannaBase = VannaBase  # type: ignore[attr-defined]
    for name in ("vanna", "vanna.legacy", "vanna.legacy.base"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "vanna.legacy.base.base", made)
    answer = peers._vanna(["CREATE TABLE t (a TEXT)"], Path())
    assert answer("what?", "SELECT a FROM t") == "SELECT a FROM t"
