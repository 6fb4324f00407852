"""What a question costs, stage by stage. Times decide nothing here.

``pytest tests/test_benchmarks.py --benchmark-enable --benchmark-only`` prints the table.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

import sqlgen
from sqlgen.config import Settings
from sqlgen.demo import build_retail, retail_goldens
from sqlgen.generation import load_generator
from sqlgen.generation.protocol import Generator
from sqlgen.pipeline import Database
from sqlgen.types import Question, ValidatedQuery
from sqlgen.validation import validate

QUESTIONS = [g.question for g in retail_goldens()][::6]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator()


@pytest.fixture(scope="module")
def shop(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("bench")
    build_retail(folder / "retail.sqlite")
    settings = Settings(home=folder)
    with sqlgen.connect(
        f"sqlite:///{folder / 'retail.sqlite'}", settings=settings, generator=generator
    ) as db:
        db.ask(QUESTIONS[0])
        yield db


def test_retrieve(benchmark: Any, shop: Database) -> None:
    questions = cycle(QUESTIONS)
    context = benchmark(lambda: shop.retrieve(next(questions)))
    assert context.tables


def test_generate(benchmark: Any, shop: Database, generator: Generator) -> None:
    pairs = cycle([(Question(q, "sqlite"), shop.retrieve(q)) for q in QUESTIONS])
    assert benchmark(lambda: generator.generate(*next(pairs))) is not None


def test_validate(benchmark: Any, shop: Database) -> None:
    statements = cycle([g.sql for g in retail_goldens()])
    catalog = shop.catalog
    assert isinstance(benchmark(lambda: validate(next(statements), catalog, "sqlite")), ValidatedQuery)


def test_whole_question(benchmark: Any, shop: Database) -> None:
    questions = cycle(QUESTIONS)
    assert benchmark(lambda: shop.ask(next(questions))).sql is not None


def test_whole_process(benchmark: Any, shop: Database, tmp_path: Path) -> None:
    build_retail(tmp_path / "shop.sqlite", scale=0.1)
    command = [sys.executable, "-m", "sqlgen", "ask", "--db", str(tmp_path / "shop.sqlite"), QUESTIONS[0]]
    subprocess.run(command, check=True, capture_output=True)
    benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=5)


def test_import(benchmark: Any) -> None:
    command = [sys.executable, "-c", "import sqlgen"]
    benchmark.pedantic(lambda: subprocess.run(command, check=True), rounds=5)
