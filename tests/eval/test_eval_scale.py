"""The generator of large catalogs, the measurement on one of them, and readers beside a writer."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from sqlgen.eval import scale, stress


def test_a_made_catalog_has_the_size_asked_for() -> None:
    catalog = scale.make_catalog(scale.read_names(), tables=300, columns=4500)
    assert len(catalog.tables) == len({t.key.lower() for t in catalog.tables}) == 300
    assert sum(len(t.columns) for t in catalog.tables) == 4500
    assert all(len({c.name.lower() for c in t.columns}) == len(t.columns) for t in catalog.tables)
    keys = [(t, k) for t in catalog.tables for k in t.foreign_keys]
    assert len(keys) > 150
    assert all(t.column(k.columns[0]) and catalog.table(k.target) for t, k in keys)
    assert catalog == scale.make_catalog(scale.read_names(), tables=300, columns=4500)


def test_names_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "tables.json").write_text(
        json.dumps(
            [
                {
                    "table_names_original": ["Singer"],
                    "column_names_original": [[-1, "*"], [0, "Song_Name"], [0, "Age"]],
                }
            ]
        )
    )
    line = {"table": "ORDERS", "ddl": 'create TABLE ORDERS (\n\t"Id" NUMBER(38,0),\n\t"Name" VARCHAR(10)\n);'}
    (tmp_path / "ddl.jsonl").write_text(json.dumps(line))
    names = scale.read_names([tmp_path / "tables.json", tmp_path / "ddl.jsonl"])
    assert names.tables == (("Singer", ("Song_Name", "Age")), ("ORDERS", ("id", "name")))


def test_a_made_catalog_becomes_a_database(tmp_path: Path) -> None:
    catalog = scale.make_catalog(scale.read_names(), tables=20, columns=200)
    scale.write_database(catalog, tmp_path / "wide.sqlite")
    with sqlite3.connect(tmp_path / "wide.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone() == (
            20,
        )
    connection.close()


def test_the_measurement_reports_all_it_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.main(["--tables", "60", "--columns", "700", "--questions", "20", "--database"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["tables"], report["columns"]) == (60, 700)
    assert report["found_in_ten"] > 0.8
    assert report["query_ms"]["p50"] <= report["query_ms"]["p95"]
    assert 0 < report["visible_s"] < 30
    assert 0 < report["database_visible_s"] < 30


def test_the_tables_of_a_database_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shop.sqlite"
    scale.write_database(scale.make_catalog(scale.read_names(), tables=20, columns=200), path)
    assert scale.main(["--url", f"sqlite:///{path}", "--questions", "10"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["tables"], report["columns"]) == (20, 200)
    assert 0 < report["build_s"] < 30
    with pytest.raises(SystemExit):
        scale.main(["--url", f"sqlite:///{path}", "--database"])


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_readers_beside_a_writer_see_whole_indexes(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--seconds", "4", "--readers", "12", "--processes", "2", "--kills", "3"]
    if kind == "postgres":
        options += ["--store", request.getfixturevalue("new_postgres_database")()]
    code = stress.main(options)
    report = json.loads(capsys.readouterr().out)
    assert report["concurrency"]["faults"] == report["kills"]["faults"] == []
    assert code == 0
    assert report["concurrency"]["questions"] > 20
    assert report["concurrency"]["versions_written"] >= 2
    assert report["concurrency"]["versions_taken_up"] >= 2
    assert report["kills"]["kills"] == 3
