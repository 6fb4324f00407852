"""Definitions that an adapter brings: in force, cited and gone with it."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.generation.embedded import shipped_path
from sqlgen.knowledge import Term
from sqlgen.pipeline import Database
from sqlgen.registry import ADAPTER_FILE

BASE = ("base", "1")
MAJOR = Term("major city", "population > 150000", ("big town",), source="learned from the log")


def add_adapter(database: Database, *terms: Term) -> str:
    """An adapter that changes nothing but what words mean."""
    content = repr(terms).encode()
    name = hashlib.sha256(content).hexdigest()[:12]
    with database.adapters.scratch() as made:
        shutil.copytree(shipped_path(), made / "weights")
        manifest = made / "weights" / "manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "adapter": name}))
        (made / ADAPTER_FILE).write_bytes(content)
        lineage = {"base": {"name": BASE[0], "version": BASE[1]}, "terms": [asdict(term) for term in terms]}
        return database.adapters.add(made, lineage).id


@pytest.fixture
def world(tmp_path: Path) -> str:
    with closing(sqlite3.connect(tmp_path / "world.db")) as connection:
        connection.executescript(
            "CREATE TABLE city (name TEXT PRIMARY KEY, population INTEGER);"
            "INSERT INTO city VALUES ('Oslo', 700000), ('Bergen', 290000), ('Voss', 15000);"
        )
    return f"sqlite:///{tmp_path / 'world.db'}"


def test_a_definition_comes_and_goes_with_its_adapter(world: str, tmp_path: Path) -> None:
    with sqlgen.connect(world, settings=Settings(home=tmp_path / "home")) as database:
        name = add_adapter(database, MAJOR)
        assert database.retrieve("which are major cities?").terms == ()
        database.adapters.promote(name, BASE)
        (term,) = database.retrieve("which are major cities?").terms
        assert (term.hint, term.source) == (
            "major city refers to population > 150000",
            "learned from the log",
        )
        assert database.retrieve("which are the big towns?").terms[0].name == "major city"
        answer = database.ask("How many major cities are there?")
        assert "150000" in answer.sql
        assert [row[0] for row in answer.result.rows] == [2]
        assert "major city" in {c.name for c in answer.citations}
        database.adapters.rollback()
        assert database.retrieve("which are major cities?").terms == ()


def test_what_people_define_goes_before_what_was_learned(world: str, tmp_path: Path) -> None:
    with sqlgen.connect(world, settings=Settings(home=tmp_path / "home")) as database:
        database.adapters.promote(add_adapter(database, MAJOR), BASE)
        database.knowledge.add(Term("major city", "a population of more than 500000"))
        (term,) = database.retrieve("which are major cities?").terms
        assert term.hint == "major city refers to a population of more than 500000"
