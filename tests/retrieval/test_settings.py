"""What settings say of the index: where it is kept, and whose values stay out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import sqlgen
from sqlgen.config import Settings, load_settings
from sqlgen.errors import ConfigError


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Customers with a city and an e-mail address."""
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, city TEXT, email TEXT)")
        connection.execute("INSERT INTO customers VALUES (1, 'Oslo', 'ann'), (2, 'Reykjavik', 'bob')")
    connection.close()
    return path


def matched(database: sqlgen.Database, question: str) -> list[str]:
    return [match.value for match in database.retrieve(question).values]


def test_servers_share_one_index(
    shop: Path, tmp_path: Path, new_postgres_database: Callable[[], str]
) -> None:
    url = new_postgres_database()
    for home in ("first", "second"):
        settings = Settings(home=tmp_path / home, index_store=url)
        with sqlgen.connect(str(shop), settings=settings) as database:
            status = database.index_status()
            assert status["state"] == ("missing" if home == "first" else "current")
            assert matched(database, "customers in Reykjavik") == ["Reykjavik"]
            assert database.index_status()["tables"] == 1
            assert str(database.index_status()["path"]).startswith("postgresql")
        assert not list((tmp_path / home).rglob("index.sqlite"))


def test_values_of_skipped_columns_stay_out(shop: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with sqlgen.connect(str(shop), settings=Settings(home=home)) as database:
        assert matched(database, "customers called ann in Oslo") == ["Oslo", "ann"]
    settings = Settings(home=home, skip_values=("*.E*",))
    with sqlgen.connect(str(shop), settings=settings) as database:
        assert matched(database, "customers called ann in Oslo") == ["Oslo"]
    for file in home.rglob("*"):
        if file.name in ("index.sqlite", "catalog.json"):
            assert b"Oslo" in file.read_bytes()
            assert b"bob" not in file.read_bytes()


def test_a_changed_table_keeps_the_samples_of_the_others(shop: Path, tmp_path: Path) -> None:
    with sqlgen.connect(str(shop), settings=Settings(home=tmp_path)) as database:
        assert matched(database, "customers in Oslo") == ["Oslo"]
        with sqlite3.connect(shop) as connection:
            connection.execute("CREATE TABLE colours (id INTEGER, colour TEXT)")
            connection.execute("INSERT INTO colours VALUES (1, 'Turquoise')")
        connection.close()
        assert matched(database, "turquoise things of customers in Oslo") == ["Turquoise", "Oslo"]


@pytest.mark.parametrize("value", ["email", 5, ["a"], [3]])
def test_a_pattern_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"skip_values.*no list of columns"):
        load_settings({"skip_values": value}, cwd=Path("/"), environ={})


def test_secrets_of_settings_are_not_shown() -> None:
    settings = load_settings({"index_store": "postgresql://ann:geheim@db/x"}, cwd=Path("/"), environ={})
    assert "geheim" not in repr(settings)
    assert "index_store=…" in repr(settings)
