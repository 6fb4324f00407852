"""What an adapter costs a question is measured without touching the registry that it comes from."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.generation.embedded import shipped_path
from sqlgen.registry import ADAPTER_FILE
from sqlgen.training.switching import main, measure


def test_the_same_weights_under_another_name_answer_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.executescript("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT)")
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    settings = Settings(db=url, home=tmp_path / "home")
    manifest = json.loads((shipped_path() / "manifest.json").read_text())
    asked = tmp_path / "questions.txt"
    asked.write_text('How many customers are there?\n{"question": "Names of all customers"}\n')
    monkeypatch.setenv("SQLGEN_HOME", str(settings.home))
    with pytest.raises(UsageError, match="no adapter is in force"):
        main(["--db", url, "--questions", str(asked)])
    with sqlgen.connect(url, settings=settings) as database, database.adapters.scratch() as made:
        shutil.copytree(shipped_path(), made / "weights")
        (made / "weights" / "manifest.json").write_text(json.dumps(manifest | {"adapter": "mine"}))
        (made / ADAPTER_FILE).write_bytes(b"matrices")
        base = {"name": manifest["name"], "version": manifest["version"]}
        entry = database.adapters.add(made, {"base": base})
    found = measure(settings, entry, ["How many customers are there?"], rounds=1)
    assert found["adapter"] == entry.id
    assert (found["sql_length_ratio"], found["alike"], len(found["switch_ms"])) == (1.0, 1, 5)
    assert found["shipped_ms"] > 0
    assert found["ratio"] == found["ratio_alike"] > 0
    main(["--db", url, "--questions", str(asked), "--adapter", entry.id[:6], "--rounds", "1"])
    assert json.loads(capsys.readouterr().out)["questions"] == 2
    with sqlgen.connect(url, settings=settings) as database:
        assert database.adapters.current() is None
        assert [known.id for known in database.adapters.entries()] == [entry.id]
