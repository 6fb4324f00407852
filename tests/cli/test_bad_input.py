"""Bad input: one line that says what is wrong, the documented exit code, no traceback."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sqlgen.errors import ModelUnavailable

QUESTION = "How many orders?"


@pytest.mark.parametrize("command", [("ask",), ("retrieve",), ("check",)])
def test_unknown_scheme(run: Any, assert_one_line: Any, command: tuple[str, ...]) -> None:
    assert_one_line(run(*command, "--db", "klingon://host/db", QUESTION), 5, ["klingon", "sqlite"])


def test_missing_file_is_not_created(run: Any, assert_one_line: Any, tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    assert_one_line(run("ask", "--db", f"sqlite:///{path}", QUESTION), 5, ["none.sqlite"])
    assert not path.exists()


def test_file_that_is_no_database(run: Any, assert_one_line: Any, tmp_path: Path) -> None:
    path = tmp_path / "noise.sqlite"
    path.write_bytes(bytes(range(256)) * 40)
    assert_one_line(run("ask", "--db", f"sqlite:///{path}", QUESTION), 5, ["noise.sqlite"])


def with_password(url: str, password: str) -> str:
    changed = sa.make_url(url).set(username="sqlgen_nobody", password=password)
    return changed.render_as_string(hide_password=False)


def test_wrong_password_mariadb(run: Any, assert_one_line: Any, mariadb_url: str) -> None:
    outcome = run("ask", "--db", with_password(mariadb_url, "geheim-123"), QUESTION)
    assert_one_line(outcome, 5, ["password"])
    assert "geheim-123" not in outcome.err


def test_wrong_user_postgres(run: Any, assert_one_line: Any, postgres_url: str) -> None:
    outcome = run("ask", "--db", with_password(postgres_url, "geheim-123"), QUESTION)
    assert_one_line(outcome, 5, ["sqlgen_nobody"])
    assert "geheim-123" not in outcome.err


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_server_down(run: Any, assert_one_line: Any, scheme: str) -> None:
    outcome = run("ask", "--db", f"{scheme}://ann:geheim-123@127.0.0.1:1/sales", QUESTION)
    assert_one_line(outcome, 5, ["127.0.0.1"])
    assert "geheim-123" not in outcome.err


def test_empty_file(run: Any, assert_one_line: Any, tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    path.touch()
    assert_one_line(run("ask", "--db", f"sqlite:///{path}", QUESTION), 5, ["table"])


def test_database_without_tables(run: Any, assert_one_line: Any, tmp_path: Path) -> None:
    path = tmp_path / "bare.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (x); DROP TABLE t;")
    assert_one_line(run("ask", "--db", f"sqlite:///{path}", QUESTION), 5, ["table"])


@pytest.mark.parametrize("server", ["postgres", "mariadb"])
def test_server_database_without_tables(
    run: Any, assert_one_line: Any, request: pytest.FixtureRequest, server: str
) -> None:
    url = request.getfixturevalue(f"new_{server}_database")()
    assert_one_line(run("ask", "--db", url, QUESTION), 5, ["table"])


@pytest.mark.parametrize("command", ["ask", "retrieve"])
@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("word " * 20_000, "8,192"),
        ("a\x00b", "no text"),
        ("a\udcffb", "no text"),
    ],
    ids=["empty", "blank", "100 kB", "NUL", "bytes"],
)
def test_bad_question(
    run: Any, assert_one_line: Any, shop: str, command: str, question: str, says: str
) -> None:
    assert_one_line(run(command, "--db", shop, question), 2, [says])


def test_binary_garbage_as_sql_is_rejected(run: Any, shop: str) -> None:
    for garbage in ("\x00\x01\x02", "\udcff\udcfe", "�" * 50, "''''''('", ";;;;"):
        outcome = run("check", "--db", shop, garbage)
        assert outcome.code == 3
        assert outcome.out.startswith("reject")
        assert outcome.err == ""


def test_unreadable_index_is_rebuilt(run: Any, shop: str, isolated_environment: Path) -> None:
    assert run("ask", "--db", shop, QUESTION).code == 0
    (index,) = isolated_environment.rglob("index.sqlite")
    index.write_bytes(b"\x00\xffnoise" * 500)
    outcome = run("ask", "--db", shop, QUESTION)
    assert outcome.code == 0
    assert "3" in outcome.out


def test_missing_weights(run: Any, assert_one_line: Any, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str = "shipped") -> None:
        raise ModelUnavailable("the weights of 'shipped' are missing; install sqlgen again")

    monkeypatch.setattr("sqlgen.generation.load_generator", missing)
    assert_one_line(run("ask", "--db", shop, QUESTION), 7, ["weights", "install"])


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (MemoryError(), 6, "not enough memory"),
        (RuntimeError("can't start new thread"), 6, "not enough memory"),
        (RuntimeError("can't start"), 1, "unexpected RuntimeError"),
        (ValueError("can't start new thread"), 1, "unexpected ValueError"),
    ],
)
def test_too_little_memory_is_told_from_a_bug(
    run: Any,
    assert_one_line: Any,
    shop: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
    says: str,
) -> None:
    def fail(_: str = "shipped") -> None:
        raise error

    monkeypatch.setattr("sqlgen.generation.load_generator", fail)
    assert_one_line(run("ask", "--db", shop, QUESTION), code, [says])


def test_unknown_model(run: Any, assert_one_line: Any, shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert_one_line(run("ask", "--db", shop, "--model", "gpt-99", QUESTION), 7, ["gpt-99", "shipped"])


@pytest.mark.parametrize(
    "command", [("ask",), ("demo",), ("retrieve",), ("check",), ("index", "status"), ("eval",)]
)
def test_unknown_format(run: Any, assert_one_line: Any, command: tuple[str, ...]) -> None:
    assert_one_line(run(*command, "--format", "xml", QUESTION), 2, ["xml", "json", "--help"])


def test_unknown_command_and_option(run: Any, assert_one_line: Any) -> None:
    assert_one_line(run("frobnicate"), 2, ["frobnicate"])
    assert_one_line(run("ask", "--frobnicate", QUESTION), 2, ["frobnicate"])
    assert_one_line(run("ask"), 2, ["QUESTION"])


def test_no_database_named(run: Any, assert_one_line: Any) -> None:
    assert_one_line(run("ask", QUESTION), 2, ["--db", "SQLGEN_DB"])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("CREATE TABLE a (id INT);\nCREATE TABLE b (id INT, name TEXT\n", ["line 2"]),
        ("this is no DDL (", ["line 1"]),
    ],
)
def test_schema_file_that_does_not_parse(
    run: Any, assert_one_line: Any, tmp_path: Path, text: str, where: list[str]
) -> None:
    path = tmp_path / "schema.sql"
    path.write_text(text)
    outcome = run("check", "--schema-file", str(path), "--dialect", "sqlite", "SELECT 1")
    assert_one_line(outcome, 2, ["schema.sql", "column", *where])


def test_schema_file_that_is_missing_binary_or_a_second_database(
    run: Any, assert_one_line: Any, tmp_path: Path, shop: str
) -> None:
    missing, binary = tmp_path / "none.sql", tmp_path / "binary.sql"
    binary.write_bytes(b"\xff\xfe\x00")
    assert_one_line(run("ask", "--schema-file", str(missing), QUESTION), 2, ["none.sql"])
    assert_one_line(run("ask", "--schema-file", str(binary), QUESTION), 2, ["binary.sql", "UTF-8"])
    assert_one_line(run("ask", "--schema-file", str(binary), "--db", shop, QUESTION), 2, ["not both"])


@pytest.mark.parametrize(
    "flags",
    [
        ("--max-rows", "0"),
        ("--timeout", "-1"),
        ("--beams", "99"),
        ("--min-confidence", "7"),
        ("--max-rows", "x"),
    ],
)
def test_limits_that_make_no_sense(run: Any, assert_one_line: Any, shop: str, flags: tuple[str, str]) -> None:
    assert_one_line(run("ask", "--db", shop, *flags, QUESTION), 2, [flags[1]])


def test_bad_settings(
    run: Any, assert_one_line: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sqlgen.toml").write_text("max_row = 3\n")
    assert_one_line(run("ask", QUESTION), 2, ["max_row", "max_rows", "sqlgen.toml"])
    (tmp_path / "sqlgen.toml").unlink()
    monkeypatch.setenv("SQLGEN_DATABASE", "x")
    assert_one_line(run("ask", QUESTION), 2, ["SQLGEN_DATABASE"])


def test_a_home_that_cannot_be_made(
    run: Any, assert_one_line: Any, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "file" / "home"))
    assert_one_line(run("ask", "--db", shop, QUESTION), 2, ["SQLGEN_HOME"])


def test_check_wants_one_of_sql_and_batch(run: Any, assert_one_line: Any, shop: str) -> None:
    assert_one_line(run("check", "--db", shop), 2, ["--batch"])
    assert_one_line(run("check", "--db", shop, "--batch", "none.jsonl"), 2, ["none.jsonl"])


def test_the_dialect_of_another_database(run: Any, assert_one_line: Any, shop: str) -> None:
    assert_one_line(run("ask", "--db", shop, "--dialect", "mysql", QUESTION), 2, ["sqlite", "mysql"])
