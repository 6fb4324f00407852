"""A schema that changes under what people know: reported, with proposals that work."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

import sqlgen
from sqlgen.cli import main
from sqlgen.config import Settings


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Orders of customers."""
    path = tmp_path / "shop.db"
    change(
        path,
        "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT)",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, xyz TEXT, total REAL)",
        "INSERT INTO customers VALUES (1, 'Ann', 'Oslo')",
        "INSERT INTO orders VALUES (1, 1, 'open', 9.5), (2, 1, 'paid', 3)",
    )
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.fixture
def db(shop: Path, tmp_path: Path) -> Iterator[sqlgen.Database]:
    with sqlgen.connect(str(shop), settings=Settings(home=tmp_path / "home")) as database:
        yield database


def test_a_renamed_column_breaks_and_mends_a_verified_query(db: sqlgen.Database, shop: Path) -> None:
    db.knowledge.add_query("How many open orders?", "SELECT count(*) FROM orders WHERE xyz = 'open'")
    db.knowledge.add_query("Where do people live?", "SELECT city FROM customers")
    db.retrieve("orders")
    assert db.drift() == []
    change(shop, "ALTER TABLE orders RENAME COLUMN xyz TO status")
    (broken,) = db.drift()
    assert broken.kind == "verified query"
    assert "xyz" in broken.why
    assert broken.proposal == "SELECT count(*) FROM orders WHERE status = 'open'"
    # and once more, a table this time
    change(shop, "ALTER TABLE orders RENAME TO sales")
    (broken,) = db.drift()
    assert broken.proposal == "SELECT count(*) FROM sales WHERE status = 'open'"
    change(shop, "ALTER TABLE sales DROP COLUMN status")
    (broken,) = db.drift()
    assert broken.proposal == ""


def test_queries_given_are_looked_at_too(db: sqlgen.Database, shop: Path) -> None:
    db.retrieve("orders")
    change(shop, "ALTER TABLE customers RENAME COLUMN city TO town")
    found = db.drift([("a", "SELECT city FROM customers"), ("b", "SELECT name FROM customers")])
    assert [(b.id, b.proposal) for b in found] == [("a", "SELECT town FROM customers")]


def test_a_rename_between_two_processes_is_seen(shop: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with sqlgen.connect(str(shop), settings=settings) as database:
        database.retrieve("orders")
    change(shop, "ALTER TABLE customers RENAME TO clients")
    with sqlgen.connect(str(shop), settings=settings) as database:
        (broken,) = database.drift([("a", "SELECT city FROM customers")])
    assert broken.proposal == "SELECT city FROM clients"


def test_a_build_from_scratch_sees_a_rename(db: sqlgen.Database, shop: Path) -> None:
    db.retrieve("orders")
    change(shop, "ALTER TABLE customers RENAME TO clients")
    db.refresh()
    (broken,) = db.drift([("a", "SELECT city FROM customers")])
    assert broken.proposal == "SELECT city FROM clients"


def test_a_renamed_column_keeps_its_description(db: sqlgen.Database, shop: Path) -> None:
    from sqlgen.knowledge import Description

    db.knowledge.add(Description("orders.xyz", "whether the parcel is paid for"))

    def described() -> dict[str, str]:
        pieces = db.retrieve("which parcels are paid for").tables
        return {f"{p.table.key}.{c.name}": c.comment for p in pieces for c in p.table.columns if c.comment}

    assert described() == {"orders.xyz": "whether the parcel is paid for"}
    change(shop, "ALTER TABLE orders RENAME COLUMN xyz TO abc")
    assert described() == {"orders.abc": "whether the parcel is paid for"}
    change(shop, "ALTER TABLE orders RENAME TO purchases")
    assert described() == {"purchases.abc": "whether the parcel is paid for"}


def test_index_status_tells_of_drift(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SQLGEN_DB", str(shop))
    golden = tmp_path / "golden.jsonl"
    golden.write_text(json.dumps({"id": "cities", "sql": "SELECT city FROM customers"}) + "\n")
    assert CliRunner().invoke(root(), ["index", "build"]).exit_code == 0
    change(shop, "ALTER TABLE customers RENAME COLUMN city TO town")
    run = CliRunner().invoke(root(), ["index", "status", "--queries", str(golden), "--format", "json"])
    report = json.loads(run.stdout)
    assert report["state"] == "stale"
    assert [(b["id"], b["proposal"]) for b in report["drift"]] == [("cities", "SELECT town FROM customers")]
    shown = CliRunner().invoke(root(), ["index", "status", "--queries", str(golden)]).stdout
    assert "1 no longer fit the schema, 1 of them with a checked proposal" in shown
    assert "SELECT town FROM customers" in shown


@pytest.mark.parametrize("line", ["{", '{"id": 1}', "[]", '{"sql": 5}'])
def test_a_bad_line_is_named(
    shop: Path, tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jsonl").write_text(line)
    arguments = ["index", "status", "--db", str(shop), "--queries", str(tmp_path / "bad.jsonl")]
    assert main(arguments) == 2
    assert "line 1 of" in capsys.readouterr().err


def root() -> object:
    from sqlgen.cli.commands import root as command

    return command
