"""One database in the hands of several people: whose rows, whose history."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import sqlgen
from sqlgen.generation.scripted import ScriptedGenerator
from sqlgen.policy import read_policy


@pytest.fixture
def database(
    shop: str, generator: ScriptedGenerator, policy: Mapping[str, object], tmp_path: Path
) -> Iterator[sqlgen.Database]:
    settings = sqlgen.Settings(
        home=tmp_path / "home", policy=read_policy(policy), audit_log=tmp_path / "audit.jsonl"
    )
    with sqlgen.connect(shop, settings=settings, generator=generator) as database:
        yield database


def test_each_sees_the_rows_of_its_own_context(database: sqlgen.Database) -> None:
    europe = database.on_behalf_of("anna", {"region": "EU"})
    america = database.on_behalf_of("bob", {"region": "US"})
    assert [a.ask("How many orders?").result.rows for a in (europe, america)] == [((3,),), ((1,),)]  # type: ignore[union-attr]
    assert database.ask("How many orders?").status == "rejected"


def test_history_and_audit_log_name_who_asked(database: sqlgen.Database, tmp_path: Path) -> None:
    database.on_behalf_of("anna", {"region": "EU"}).ask("How many orders?")
    database.on_behalf_of("bob", {"region": "US"}).ask("Show all orders")
    assert [line.question for line in database.history.lines(user="anna")] == ["How many orders?"]
    assert [line.user for line in database.history.lines(database=database.identity)] == ["bob", "anna"]
    audited = [json.loads(line)["user"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert audited == ["anna", "bob"]


def test_a_verdict_needs_no_value_for_a_filter_but_the_one_who_gives_it_has(
    database: sqlgen.Database,
) -> None:
    europe = database.on_behalf_of("anna", {"region": "EU"})
    europe.ask("How many orders?").correct("SELECT COUNT(id) AS orders FROM orders")
    answer = database.on_behalf_of("bob", {"region": "US"}).ask("How many orders?")
    assert answer.model.name == "verified query"
    assert answer.result is not None
    assert answer.result.rows == ((1,),)


def test_run_checks_and_filters(database: sqlgen.Database) -> None:
    europe = database.on_behalf_of("anna", {"region": "EU"})
    ran = europe.run("SELECT id FROM orders WHERE region = 'US' OR 1 = 1 ORDER BY id", max_rows=2)
    assert not isinstance(ran, sqlgen.Rejection)
    query, result = ran
    assert result.rows == ((1,), (2,))
    assert result.truncated
    assert "'EU'" in query.sql
    refused = europe.run("DELETE FROM orders")
    assert isinstance(refused, sqlgen.Rejection)
    assert isinstance(europe.run("SELECT salary FROM staff"), sqlgen.Rejection)


def test_stages_are_told_as_they_begin(database: sqlgen.Database) -> None:
    told: list[str] = []
    database.on_behalf_of("anna", {"region": "EU"}).ask("How many orders?", on_stage=told.append)
    assert list(dict.fromkeys(told)) == ["retrieve", "generate", "validate", "execute"]


def test_a_schema_file_has_nothing_to_run(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("CREATE TABLE t (a INT);")
    with (
        sqlgen.connect(schema_file=tmp_path / "a.sql") as database,
        pytest.raises(sqlgen.UsageError, match="schema file"),
    ):
        database.run("SELECT a FROM t")
