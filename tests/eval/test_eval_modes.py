"""The four modes: who reads the live schema, who an old one, and which model each of them measures."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.eval import load_suite, run_suite
from sqlgen.eval.modes import MODES, check_mode, fix_schema, fixed_context
from sqlgen.eval.options import run_from_options
from sqlgen.generation import ScriptedGenerator
from sqlgen.generation.embedded import shipped_path
from sqlgen.registry import ADAPTER_FILE
from sqlgen.types import Candidate, Catalog, Column, ForeignKey, ModelInfo, Question, RetrievedContext, Table


class Reader:
    """Writes a query over the first table that it is shown, and remembers what it was shown."""

    def __init__(self, adapter: str | None = None) -> None:
        self.info = ModelInfo("reader", "1", adapter)
        self.seen: list[RetrievedContext] = []

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        self.seen.append(context)
        return (Candidate(f"SELECT count(*) FROM {context.tables[0].table.name}", -0.1, "reader", "1"),)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def table(name: str, *columns: str, target: str = "") -> Table:
    keys = (ForeignKey((columns[-1],), target, ("id",)),) if target else ()
    made = tuple(Column(c, "TEXT", "text", "a comment", values=("x", "y")) for c in columns)
    return Table(name, made, foreign_keys=keys, comment="a table")


def test_a_fixed_schema_is_whole_or_cut_by_whole_tables() -> None:
    catalog = Catalog(
        "sqlite", (table("a", "id", "x"), table("b", "id", "a_id", target="a"), table("c", "id"))
    )
    whole = fixed_context(catalog, lambda text: 1)
    assert [s.table.name for s in whole.tables] == ["a", "b", "c"]
    assert (whole.token_count, whole.omitted) == (16, ())
    assert not any(c.values or c.comment for s in whole.tables for c in s.table.columns)
    assert not any(s.table.comment for s in whole.tables)
    assert whole.tables[1].table.foreign_keys
    cut = fixed_context(catalog, lambda text: 1, first=["c", "b"], token_budget=11)
    assert [s.table.name for s in cut.tables] == ["c", "b"]
    assert cut.omitted == ("a",)
    # A key that leaves the context would point at nothing.
    assert not cut.tables[1].table.foreign_keys


@pytest.mark.parametrize("mode", MODES)
def test_only_retrieval_sees_a_table_that_came_later(mode: Any, spider_files: Any, tmp_path: Path) -> None:
    path = tmp_path / "garage.sqlite"
    shutil.copy(spider_files.databases / "garage" / "garage.sqlite", path)
    golden = tmp_path / "golden.jsonl"
    golden.write_text('{"question": "How many wheels are there?", "sql": "SELECT count(*) FROM wheel"}\n')
    model = Reader("made-up" if mode in ("finetune-only", "hybrid") else None)
    settings = Settings(home=tmp_path / "home", history=False)
    with sqlgen.connect(f"sqlite:///{path}", settings=settings, generator=model) as database:
        then = fixed_context(database.catalog, model.count_tokens)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE wheel (id INTEGER PRIMARY KEY, car_id INTEGER); INSERT INTO wheel VALUES (1, 1)"
        )
    suite = load_suite(str(golden), db=f"sqlite:///{path}")
    report = run_suite(suite, generator=model, mode=mode, fixed={"garage": then})
    names = {s.table.name for s in model.seen[0].tables}
    live = mode in ("retrieval-only", "hybrid")
    assert ("wheel" in names) is live
    assert report.outcomes[0].correct is live
    assert report.mode == mode
    # Without a schema from before, the one of today is fixed.
    again = run_suite(suite, generator=model, mode=mode)
    assert "wheel" in {s.table.name for s in model.seen[-1].tables}
    assert len(again.outcomes) == 1


def test_what_is_stale_is_refused_and_never_run(spider_files: Any, tmp_path: Path) -> None:
    path = tmp_path / "garage.sqlite"
    shutil.copy(spider_files.databases / "garage" / "garage.sqlite", path)
    settings = Settings(home=tmp_path / "home", history=False)
    script = ScriptedGenerator({"Power?": ["SELECT power FROM car"]})
    with sqlgen.connect(f"sqlite:///{path}", settings=settings, generator=script) as database:
        fix_schema(database, fixed_context(database.catalog, script.count_tokens))
        assert database.ask("Power?").status == "answered"
        with closing(sqlite3.connect(path)) as db:
            db.execute("ALTER TABLE car RENAME COLUMN power TO horsepower")
        assert database.ask("Power?").status == "rejected"


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_measures_its_own_kind_of_model(mode: Any, spider_files: Any) -> None:
    suite = load_suite("spider", **spider_files.options)
    wrong = Reader("made-up" if mode in ("base", "retrieval-only") else None)
    if mode == "hybrid":
        check_mode(mode, wrong)
        return
    with pytest.raises(UsageError, match=r"needs an adapter|has the adapter"):
        run_suite(suite, generator=wrong, mode=mode, limit=1)


def test_without_an_adapter_finetune_only_says_what_to_do(spider_files: Any, tmp_path: Path) -> None:
    golden = tmp_path / "golden.yaml"
    golden.write_text("- {question: How many cars, sql: SELECT count(*) FROM car}\n")
    url = f"sqlite:///{spider_files.databases}/garage/garage.sqlite"
    settings = Settings(home=tmp_path / "home")
    with pytest.raises(UsageError, match="sqlgen train"):
        run_from_options(str(golden), db=url, mode="finetune-only", settings=settings)
    figures = run_from_options(str(golden), db=url, mode="base", settings=settings)
    assert (figures["mode"], figures["execution_accuracy"]) == ("base", 1.0)


def test_terms_stay_out_where_retrieval_does(spider_files: Any, tmp_path: Path) -> None:
    glossary = tmp_path / "glossary.toml"
    glossary.write_text('[[terms]]\nname = "fast"\ndefinition = "quicker than most"\n')
    suite = load_suite("spider", **spider_files.options)
    suite = replace(
        suite, questions=(replace(suite.questions[1], text="How many fast cars?"),), glossary=glossary
    )
    for mode, held in (("retrieval-only", 1), ("base", 0)):
        model = Reader()
        run_suite(suite, generator=model, mode=mode)  # type: ignore[arg-type]
        assert len(model.seen[0].terms) == held


def test_the_adapter_in_force_is_what_is_measured(spider_files: Any, tmp_path: Path) -> None:
    path = tmp_path / "garage.sqlite"
    shutil.copy(spider_files.databases / "garage" / "garage.sqlite", path)
    golden = tmp_path / "golden.yaml"
    golden.write_text(
        "database: garage.sqlite\nquestions: [{question: How many cars, sql: SELECT count(*) FROM car}]\n"
    )
    settings = Settings(home=tmp_path / "home")
    manifest = json.loads((shipped_path() / "manifest.json").read_text())
    with sqlgen.connect(f"sqlite:///{path}", settings=settings) as database:
        registry = database.adapters
        with registry.scratch() as made:
            shutil.copytree(shipped_path(), made / "weights")
            (made / "weights" / "manifest.json").write_text(json.dumps(manifest | {"adapter": "mine"}))
            (made / ADAPTER_FILE).write_bytes(b"matrices")
            base = {"name": manifest["name"], "version": manifest["version"]}
            entry = registry.add(made, {"base": base})
        registry.promote(entry.id, (manifest["name"], manifest["version"]))
    used = {
        mode: run_from_options(str(golden), mode=mode, settings=settings)["provenance"]["model"]["adapter"]
        for mode in MODES
    }
    assert used == {"base": None, "retrieval-only": None, "finetune-only": "mine", "hybrid": "mine"}
