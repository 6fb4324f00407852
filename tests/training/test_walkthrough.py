"""The commands of docs/retraining.md, on a small demo shop, with seconds for training instead of minutes."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra")

import sqlgen
from sqlgen import demo
from sqlgen.cli import main
from sqlgen.config import Settings
from sqlgen.eval.suite import Suite
from sqlgen.training.pairs import examples_of, read_pairs, role_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "retraining.md"


@pytest.fixture
def commands() -> list[list[str]]:
    lines = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.S)[0].splitlines()
    return [
        words[1:] for line in lines if (words := shlex.split(line, comments=True)) and words[0] == "sqlgen"
    ]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    demo.build_retail(tmp_path / "shop.db", scale=0.01)
    monkeypatch.setenv("SQLGEN_DB", url)
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return url


def test_the_log_of_the_walk_through_can_be_learned_from(shop: str, tmp_path: Path) -> None:
    dropped: Counter[str] = Counter()
    with sqlgen.connect(shop, settings=Settings(home=tmp_path / "home")) as database:
        pairs = read_pairs([ROOT / "docs" / "retail_log.jsonl"], "sqlite")
        roles = Counter(role_of(pair.key) for pair, _ in examples_of(database, pairs, dropped))
    assert not dropped
    assert roles["learn"] >= 30
    assert roles["gate"] >= 10


def test_the_walk_through_is_true(
    commands: list[list[str]],
    shop: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sqlgen.training.retrain.general_suite", lambda folder: Suite("general", (), {}))
    monkeypatch.setattr("sqlgen.training.retrain.replay_examples", lambda seed: [])
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    assert [argv[0] for argv in commands] == ["demo", "ask", "logs", "logs", "train", "models", "ask"]
    for argv in commands[1:]:
        quick = [
            "0.05" if before == "--budget-minutes" else word
            for before, word in zip(["", *argv], argv, strict=False)
        ]
        quick += ["--threads", "1"] if argv[0] == "train" else []
        status = main(quick)
        said = capsys.readouterr()
        # The shipped model may not be sure of a word that it never met.
        assert status in ((0, 4) if argv[0] == "ask" else (0,)), (argv, said.err)
    report = json.loads((tmp_path / "gate" / "gate.json").read_text())
    assert report["sets"][0]["count"] >= 10
    assert (tmp_path / "gate" / "gate.html").stat().st_size > 1000
    assert main(["models", "list", "--format", "json"]) == 0
    (adapter,) = json.loads(capsys.readouterr().out)["adapters"]
    assert main(["models", "promote", adapter["id"]]) == 0
    capsys.readouterr()
    assert main(["ask", "--format", "json", "takings by channel"]) in (0, 4)
    assert json.loads(capsys.readouterr().out)["model"]["adapter"] == adapter["id"]
    assert main(["models", "rollback"]) == 0
    assert "the shipped model is in force" in capsys.readouterr().out
