"""Questions and SQL written by hand over made-up businesses: ``training/authored/<domain>.json``.

Each file holds ``ddl`` (one CREATE TABLE a line), ``cells`` (what stands in a column, in the words of
``synthesis.schemas``: ``"orders.status": "pick open|paid"``), ``today`` and ``pairs`` of question and SQL in
SQLite's dialect. Rows are made from a seed; keys follow from the DDL.

    python -m sqlgen.training.authored training/authored/clinic.json

says which pairs don't run, return nothing, or say what the form can't. One pair in five is kept from
training: with these a retrained model shows that it has unlearned nothing (``training.gate``). Those in
``authored/further`` came later and teach the shipped model only, so that the gate's jury stays what it was.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import sqlglot
from sqlglot.errors import SqlglotError

from sqlgen.errors import UsageError
from sqlgen.generation.codes import with_codes
from sqlgen.sql.form import Inexpressible, form_to_sql, tree_to_form
from sqlgen.training.corpora import Example, Values, context_of, read_sqlite
from sqlgen.training.synthesis.schemas import make_cell
from sqlgen.types import Catalog

__all__ = [
    "Authored",
    "Part",
    "authored_examples",
    "authored_folder",
    "further_folder",
    "is_general",
    "main",
    "read_authored",
]

Part = Literal["training", "general"]

_FEW, _MANY = 40, 400


@dataclass(frozen=True, slots=True)
class Authored:
    """One business with rows, and what is asked of it."""

    name: str
    connection: sqlite3.Connection
    catalog: Catalog
    values: Values
    today: date
    pairs: tuple[tuple[str, str], ...]


def read_authored(path: Path) -> Authored:
    """A file of pairs with its database, in memory; UsageError says what is wrong with it."""
    try:
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path.name} is not JSON: {error}") from None
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(";\n".join(told["ddl"]))
    except sqlite3.Error as error:
        raise UsageError(f"{path.name}: {error}") from None
    today = date.fromisoformat(told["today"])
    _fill(connection, told["cells"], today, random.Random(path.stem), path.name)
    catalog, values = read_sqlite("\n".join(connection.iterdump()), path.stem)
    return Authored(path.stem, connection, catalog, values, today, tuple((q, s) for q, s in told["pairs"]))


def authored_folder() -> Path:
    """Where the files that came with the package lie."""
    return Path(__file__).resolve().parent / "authored"


def further_folder() -> Path:
    """Where those lie that only the shipped model learns from: not in a package, no jury of an adapter's."""
    return authored_folder() / "further"


def is_general(question: str) -> bool:
    """Whether a question is kept from training."""
    return zlib.crc32(question.encode()) % 5 == 0


def _fill(db: sqlite3.Connection, cells: dict[str, str], today: date, rng: random.Random, name: str) -> None:
    """Rows for every table, parents first; a table that others refer to gets fewer."""
    tables = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")]
    keys = {
        t: {r[3].lower(): (r[2], r[4]) for r in db.execute(f'PRAGMA foreign_key_list("{t}")')} for t in tables
    }
    parents = {p.lower() for t in tables for p, _ in keys[t].values() if p.lower() != t.lower()}
    first, days = date(today.year - 2, today.month, 1), (today - date(today.year - 2, today.month, 1)).days
    for table in tables:
        columns = db.execute(f'PRAGMA table_info("{table}")').fetchall()
        count = _FEW if table.lower() in parents else _MANY
        if table.lower() in parents and any(p.lower() != table.lower() for p, _ in keys[table].values()):
            count = 3 * _FEW
        rows: list[list[object]] = []
        single = sum(bool(c[5]) for c in columns) == 1
        for number in range(1, count + 1):
            row: list[object] = []
            for _, column, declared, _, _, primary in columns:
                kind = cells.get(f"{table}.{column}", "")
                if column.lower() in keys[table]:
                    parent, target = keys[table][column.lower()]
                    loose = "?" in kind
                    if parent.lower() == table.lower():
                        row.append(None if number < 4 else rng.randrange(1, number))
                    elif loose and rng.random() < 0.2:
                        row.append(None)
                    else:
                        known = [r[0] for r in db.execute(f'SELECT "{target or column}" FROM "{parent}"')]
                        if not known:
                            raise UsageError(f"{name}: {parent} must stand before {table}")
                        row.append(known[int(len(known) * 0.92 * rng.random() ** 1.5)])
                elif primary and single and not kind:
                    row.append(number if "INT" in declared.upper() else f"{table[:2].upper()}{number:04d}")
                elif not kind:
                    raise UsageError(f'{name}: cells lack "{table}.{column}"')
                else:
                    try:
                        row.append(make_cell(kind, rng, first, days))
                    except (ValueError, IndexError) as error:
                        raise UsageError(f'{name}: "{table}.{column}": {error}') from None
            rows.append(row)
        marks = ", ".join("?" * len(columns))
        db.executemany(f'INSERT OR IGNORE INTO "{table}" VALUES ({marks})', rows)


def _example(one: Authored, question: str, sql: str) -> Example:
    context = with_codes(context_of(one.catalog, one.values.match(question)))
    tree = sqlglot.parse_one(sql, dialect="sqlite")
    form = tree_to_form(tree, context, question, today=one.today)
    return Example(question, context, tuple(form), "authored", one.name)


def _said_again(one: Authored, example: Example) -> str:
    return form_to_sql(example.form, example.context, example.question, "sqlite", today=one.today)


def authored_examples(
    folder: Path,
    skipped: Counter[str] | None = None,
    *,
    part: Part = "training",
    names: Collection[str] | None = None,
) -> Iterator[Example]:
    """The pairs of a part whose form returns the rows of their SQL, of all businesses or of those named."""
    for path in sorted(folder.glob("*.json")):
        if names is not None and path.stem not in names:
            continue
        one = read_authored(path)
        with closing(one.connection):
            for question, sql in one.pairs:
                if is_general(question) is not (part == "general"):
                    continue
                fault, example = _judge(one, question, sql)
                if example is not None:
                    yield example
                elif skipped is not None:
                    skipped[f"{one.name}: {fault[:40]}"] += 1


def _judge(one: Authored, question: str, sql: str) -> tuple[str, Example | None]:
    """What is wrong with a pair, and its example when nothing is."""
    try:
        gold = one.connection.execute(sql).fetchall()
    except sqlite3.Error as error:
        return f"does not run: {error}", None
    if not gold or all(cell is None for row in gold for cell in row):
        return "returns nothing", None
    try:
        example = _example(one, question, sql)
        said = _said_again(one, example)
        rows = one.connection.execute(said).fetchall()
    except (Inexpressible, SqlglotError, AttributeError, sqlite3.Error) as error:
        return f"the form can't say it: {error}", None
    if _rounded(gold) != _rounded(rows):
        return f"the form says something else: {said}", None
    return "", example


def _rounded(rows: list[tuple[Any, ...]]) -> list[str]:
    """Rows without their order, numbers to six digits."""
    return sorted(repr([f"{float(c):.6g}" if isinstance(c, int | float) else c for c in row]) for row in rows)


def main() -> None:
    """Check files of pairs."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("files", type=Path, nargs="+")
    bad = 0
    for path in cli.parse_args().files:
        one = read_authored(path)
        good = 0
        for number, (question, sql) in enumerate(one.pairs, 1):
            fault, example = _judge(one, question, sql)
            good += example is not None
            if fault:
                print(f"{path.name} {number}: {question}\n    {sql}\n    {fault}")
        print(f"{path.name}: {good} of {len(one.pairs)} pairs are fit")
        bad += good < len(one.pairs)
    raise SystemExit(bool(bad))


if __name__ == "__main__":
    main()
