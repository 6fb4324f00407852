"""A demo domain: what its files in ``schemas/`` say, and the generator of its rows."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from sqlgen.errors import UsageError
from sqlgen.types import Dialect

__all__ = ["Domain", "GlossaryTerm", "GoldenQuestion", "Progress", "Row", "Rows", "check_size", "read_file"]

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = dict[str, list[Row]]
Progress: TypeAlias = Callable[[int, int, str], None]


class GenerateRows(Protocol):
    """Makes all rows by table, parents first, columns in the order of ``schema.sql``."""

    def __call__(self, *, seed: int = ..., scale: float = ...) -> Rows: ...


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """A question with SQL that somebody vouched for.

    ``sql`` is in SQLite's dialect; ``dialects`` holds only those that have to differ. ``ordered`` says
    that the order of the rows is part of the answer.

    >>> GoldenQuestion("q", "How many orders?", "SELECT COUNT(*) FROM orders").sql_for("mysql")
    'SELECT COUNT(*) FROM orders'
    """

    id: str
    question: str
    sql: str
    dialects: Mapping[Dialect, str] = field(default_factory=dict)
    ordered: bool = False
    family: str = ""
    difficulty: Literal["easy", "medium", "hard", "extra"] = "easy"

    def sql_for(self, dialect: Dialect) -> str:
        """The SQL of this question in ``dialect``."""
        return self.dialects.get(dialect, self.sql)


@dataclass(frozen=True, slots=True)
class GlossaryTerm:
    """A word of the business. ``kind`` is metric (an aggregate), filter (a condition) or query."""

    name: str
    definition: str
    kind: Literal["metric", "filter", "query"]
    tables: tuple[str, ...]
    sql: str
    synonyms: tuple[str, ...] = ()
    dialects: Mapping[Dialect, str] = field(default_factory=dict)

    def sql_for(self, dialect: Dialect) -> str:
        """The SQL of this term in ``dialect``."""
        return self.dialects.get(dialect, self.sql)


@dataclass(frozen=True, slots=True)
class Domain:
    """A business with generated data. ``name`` is its folder in ``schemas/``.

    ``application_id`` marks a SQLite file as ours, so that nobody else's database is ever replaced;
    ``version`` is that of the rows.
    """

    name: str
    generate: GenerateRows
    application_id: int
    version: int

    def goldens(self) -> tuple[GoldenQuestion, ...]:
        """All golden questions, in the order of the file."""
        lines = read_file(self.name, "golden.jsonl").splitlines()
        return tuple(GoldenQuestion(**json.loads(line)) for line in lines if line)

    def glossary(self) -> tuple[GlossaryTerm, ...]:
        """The terms and metrics of the business."""
        terms: list[dict[str, Any]] = tomllib.loads(read_file(self.name, "glossary.toml"))["terms"]
        for term in terms:
            term.update(tables=tuple(term["tables"]), synonyms=tuple(term["synonyms"]))
        return tuple(GlossaryTerm(**term) for term in terms)

    def descriptions(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Table name to its description and the descriptions of its columns."""
        raw = tomllib.loads(read_file(self.name, "descriptions.toml"))
        return {table: (entry["description"], dict(entry["columns"])) for table, entry in raw.items()}


def read_file(domain: str, name: str) -> str:
    """The text of a file of a domain, installed or in the source tree."""
    source = Path(__file__).resolve().parents[2] / "schemas" / domain / name
    with suppress(ModuleNotFoundError):
        packaged = resources.files("sqlgen.schemas") / domain / name
        if packaged.is_file():
            return packaged.read_text("utf-8")
    return source.read_text("utf-8")


def check_size(seed: int, scale: float) -> None:
    """Raise UsageError unless ``scale`` is within 0.001 to 100 and ``seed`` is not negative."""
    if not 0.001 <= scale <= 100:
        raise UsageError(f"scale {scale} is not within 0.001 to 100")
    if seed < 0:
        raise UsageError(f"seed {seed} is negative; use 0 or more")
