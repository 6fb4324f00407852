"""A small shop, a scripted model, and the command line called in this process."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from sqlgen.cli import main
from sqlgen.generation import ScriptedGenerator

SCHEMA = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), total NUMERIC);
INSERT INTO customers VALUES (1, 'Ann', 'Oslo'), (2, '=1+1', 'Rome'), (3, 'Cy' || char(27) || '[31m', NULL);
INSERT INTO orders VALUES (1, 1, 10.5), (2, 1, 4), (3, 2, 99);
"""
SCRIPT = {
    "How many orders?": ["SELECT COUNT(*) AS n FROM orders"],
    "Who?": ["SELECT name, city FROM customers ORDER BY id"],
    "Margin?": ["SELECT margin FROM orders"],
    "Wide?": ["SELECT " + ", ".join(f"{n} AS column_{n}" for n in range(30)) + " FROM orders LIMIT 1"],
    "Broken?": ["SELECT ABS(-9223372036854775807 - id) FROM orders"],
    "Endless?": [
        "SELECT COUNT(*) FROM numbers AS a JOIN numbers AS b ON a.i < b.i JOIN numbers AS c ON b.i < c.i"
    ],
    "Ünïcode ☂?": ["SELECT 'ü☂' AS \"ключ\" FROM orders LIMIT 1"],
}


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def shop(tmp_path: Path) -> str:
    path = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
    return f"sqlite:///{path}"


@pytest.fixture
def numbers(shop: str) -> str:
    """The shop with a table of 20,000 rows, enough to fill a pipe or, joined to itself, to take forever."""
    with closing(sqlite3.connect(shop.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("CREATE TABLE numbers (i INTEGER)")
        connection.executemany("INSERT INTO numbers VALUES (?)", ((i,) for i in range(20_000)))
    return shop


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Run:
    """Run one command line and hand back its exit code and what it printed."""
    monkeypatch.setattr("sqlgen.generation.load_generator", lambda _="shipped": ScriptedGenerator(SCRIPT))
    monkeypatch.chdir(tmp_path)

    def run_line(*argv: str) -> Outcome:
        capsys.readouterr()
        code = main(list(argv))
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run_line


@pytest.fixture
def assert_one_line() -> Callable[[Outcome, int, Sequence[str]], None]:
    """Check that a failure is one line on stderr, with the code, the words, and no traceback."""

    def check(outcome: Outcome, code: int, words: Sequence[str]) -> None:
        assert outcome.code == code, outcome
        lines = outcome.err.splitlines()
        assert len(lines) == 1, outcome.err
        assert lines[0].startswith("error: ")
        assert "Traceback" not in outcome.err
        for word in words:
            assert word in lines[0]
        assert outcome.out == ""

    return check
