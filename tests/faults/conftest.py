"""A shop on each engine and the command line as a process of its own, for faults to be injected into."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

SCRIPTED = """
import sys, json, sqlgen.generation
from sqlgen.generation import ScriptedGenerator
script = json.loads(sys.argv.pop(1))
sqlgen.generation.load_generator = lambda name="shipped": ScriptedGenerator(script)
from sqlgen.cli import main
sys.exit(main(sys.argv[1:]))
"""
SCRIPT = {
    "How many?": ["SELECT COUNT(*) AS n FROM orders"],
    "All?": ["SELECT id, note FROM orders ORDER BY id"],
    "Slow?": [
        "SELECT COUNT(*) FROM orders AS a JOIN orders AS b ON a.id < b.id JOIN orders AS c ON b.id < c.id "
        "JOIN orders AS d ON c.id <> d.id"
    ],
}


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def require_one_line(self, code: int, *words: str) -> None:
        """The failure is one clear line with this exit code and these words, and no traceback."""
        assert self.code == code, self
        lines = [line for line in self.err.splitlines() if line]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        assert "Traceback" not in self.err
        assert "this is a bug" not in self.err
        for word in words:
            assert word in lines[0], self.err


Ask = Callable[..., Outcome]


@pytest.fixture
def sqlgen_process(isolated_environment: Path) -> Ask:
    """Run the command line with a scripted model in a process; ``before`` is shell to run first."""
    import json

    def run(
        *argv: str, script: dict[str, list[str]] | None = None, before: str = "", **environment: str
    ) -> Outcome:
        line = [sys.executable, "-c", SCRIPTED, json.dumps(script or SCRIPT), *argv]
        if before:
            line = ["bash", "-c", f'{before}; exec "$@"', "bash", *line]
        done = subprocess.run(
            line,
            capture_output=True,
            timeout=120,
            env={**os.environ, **environment},
            check=False,
        )
        return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


def fill(engine: sa.Engine, rows: int = 2000) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER PRIMARY KEY, note VARCHAR(200))"))
        table = sa.table("orders", sa.column("id"), sa.column("note"))
        values = [{"id": i, "note": f"note number {i} " + "x" * 60} for i in range(rows)]
        connection.execute(sa.insert(table).values(values[: rows // 2]))
        connection.execute(sa.insert(table).values(values[rows // 2 :]))


@pytest.fixture
def sqlite_shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.sqlite"
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.pool.NullPool)
    fill(engine)
    return path


@pytest.fixture
def duckdb_shop(tmp_path: Path) -> Path:
    import duckdb

    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE orders AS SELECT range::INTEGER AS id, 'note number ' || range || ' ' || repeat('x', 60) "
            "AS note FROM range(20000)"
        )
    return path


@pytest.fixture
def postgres_shop(new_postgres_database: Callable[[], str]) -> str:
    url = new_postgres_database()
    engine = sa.create_engine(url)
    fill(engine)
    engine.dispose()
    return url


@pytest.fixture
def mariadb_shop(new_mariadb_database: Callable[[], str]) -> str:
    url = new_mariadb_database()
    engine = sa.create_engine(url)
    fill(engine)
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", "duckdb", "postgres", "mariadb"])
def shop_url(request: pytest.FixtureRequest) -> str:
    """The shop on every engine in turn."""
    shop: Any = request.getfixturevalue(f"{request.param}_shop")
    return shop if isinstance(shop, str) else f"{request.param}:///{shop}"
