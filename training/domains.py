"""Single-domain sets of questions with SQL: their splits, and a database in which their queries find something.

The sets of Finegan-Dollak et al. (2018) come with databases that hold few of the values that their queries ask
for: most gold results are empty, and a wrong query that finds nothing as well would pass for right. For each query
that finds nothing, ``plant`` adds rows that answer it.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlgen.errors import UsageError

__all__ = ["Planted", "plant", "prepare", "split_of"]

_WITNESSES = 2
_SECONDS = 2.0
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Planted:
    """How many different queries there were, how many found something before and after, how many don't run."""

    queries: int
    before: int
    after: int
    failing: int


def split_of(document: Sequence[dict[str, Any]], seed: int = 1) -> dict[str, list[dict[str, str]]]:
    """ "train" and "test" pairs of a set in the authors' form, split by query as its authors do.

    In sets that are cut in ten folds the last two are the test. Each question comes once; the order is shuffled.
    """
    parts: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    seen: set[str] = set()
    for entry in document:
        split = str(entry["query-split"])
        if split == "exclude":
            continue
        for sentence in entry["sentences"]:
            question, sql = sentence["text"], entry["sql"][0]
            for name, value in sentence["variables"].items():
                question, sql = question.replace(name, value), sql.replace(name, value)
            if question.lower() in seen:
                continue
            seen.add(question.lower())
            row = {"question": question, "sql": sql.strip().rstrip("; ")}
            parts["test" if split in ("test", "8", "9") else "train"].append(row)
    for rows in parts.values():
        random.Random(seed).shuffle(rows)
    return parts


def prepare(questions: Path, database: Path, out: Path) -> Planted:
    """``train.jsonl``, ``test.jsonl`` and ``database.sqlite`` in ``out`` from a set and one of its databases.

    Raises UsageError when the files are not what they should be, or most queries don't run on the database.
    """
    try:
        parts = split_of(json.loads(questions.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{questions} is no set of questions: {error}") from None
    out.mkdir(parents=True, exist_ok=True)
    place = out / "database.sqlite"
    shutil.copyfile(database, place)
    place.chmod(0o644)
    planted = plant(place, [row["sql"] for rows in parts.values() for row in rows])
    if planted.failing > planted.queries / 2:
        raise UsageError(
            f"{planted.failing} of {planted.queries} queries don't run on {database.name}; take another instance of the database"
        )
    for name, rows in parts.items():
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return planted


def plant(path: Path, statements: Iterable[str], seed: int = 1) -> Planted:
    """Add rows to the SQLite file at ``path`` until queries that found nothing find something, where that can be."""
    queries = list(dict.fromkeys(statements))
    chance = random.Random(seed)
    before = after = failing = 0
    with closing(sqlite3.connect(path)) as db:
        db.text_factory = lambda raw: raw.decode(errors="replace")
        layout = _Layout(db)
        empty = []
        for sql in queries:
            found = _finds(db, sql)
            before += bool(found)
            failing += found is None
            if found is False:
                empty.append(sql)
        for sql in empty:
            for _ in range(_WITNESSES):
                for table, row in _witness(sql, layout, chance):
                    names = ", ".join(f'"{name}"' for name in row)
                    marks = ", ".join("?" * len(row))
                    db.execute(f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({marks})', [*row.values()])
        db.commit()
        after = sum(bool(_finds(db, sql)) for sql in queries)
    return Planted(len(queries), before, after, failing)


def _finds(db: sqlite3.Connection, sql: str) -> bool | None:
    """Whether a query finds more than nothing or one row of NULL and zero; None when it doesn't run in time."""
    began = time.monotonic()
    db.set_progress_handler(lambda: time.monotonic() - began > _SECONDS, 10_000)
    try:
        rows = db.execute(sql).fetchmany(2)
    except sqlite3.Error:
        return None
    finally:
        db.set_progress_handler(None, 0)
    return len(rows) > 1 or (bool(rows) and any(rows[0]))


class _Layout:
    """Tables with the types of their columns and their keys, and the numbers that are free as new keys."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.columns: dict[str, dict[str, str]] = {}
        self.keys: dict[str, list[str]] = {}
        self.next = 1_000_000
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            facts = db.execute(f'PRAGMA table_info("{table}")').fetchall()
            self.columns[table.lower()] = {fact[1].lower(): fact[2].lower() for fact in facts}
            self.keys[table.lower()] = [fact[1].lower() for fact in facts if fact[5]]

    def is_text(self, place: Place) -> bool:
        kind = self.columns[place[0]][place[1]]
        return "char" in kind or "text" in kind or not kind

    def fresh(self) -> int:
        self.next += 1
        return self.next


def _witness(sql: str, layout: _Layout, chance: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """One row for each table that a query names, so joined and filled that its conditions hold, where they can."""
    try:
        tree = sqlglot.parse_one(sql, dialect="mysql")  # its double quotes are strings
    except SqlglotError:
        return []
    names = {t.alias_or_name.lower(): t.name.lower() for t in tree.find_all(exp.Table)}
    names = {alias: table for alias, table in names.items() if table in layout.columns}

    def place_of(node: exp.Expr | None) -> Place | None:
        if not isinstance(node, exp.Column):
            return None
        column = node.name.lower()
        owners = (
            [node.table.lower()]
            if node.table
            else [a for a, t in names.items() if column in layout.columns[t]]
        )
        alias = owners[0] if owners else ""
        return (alias, column) if alias in names and column in layout.columns[names[alias]] else None

    first: dict[Place, Place] = {}

    def root(place: Place) -> Place:
        while place in first:
            place = first[place]
        return place

    wanted: dict[Place, Any] = {}
    for node in tree.find_all(exp.EQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Like, exp.Between):
        left = place_of(node.this)
        if left is None:
            continue
        right = place_of(node.args.get("expression"))
        if right is not None and isinstance(node, exp.EQ):
            if root(left) != root(right):
                first[root(left)] = root(right)
        elif (value := _value_for(node, chance)) is not None and not isinstance(node.parent, exp.Not):
            wanted.setdefault(left, value)
    given: dict[Place, Any] = {}
    for place, value in wanted.items():
        given.setdefault(root(place), value)
    rows = []
    for alias, table in names.items():
        row = {}
        for column in layout.columns[table]:
            group = root((alias, column))
            if group not in given:
                is_key = column in layout.keys[table] or column.endswith("id") or group != (alias, column)
                if layout.is_text((table, column)):
                    given[group] = f"{column} {layout.fresh() if is_key else chance.randrange(40)}"
                else:
                    given[group] = layout.fresh() if is_key else chance.randrange(1, 60)
            row[column] = given[group]
        rows.append((table, row))
    return rows


def _value_for(node: exp.Expr, chance: random.Random) -> Any:
    """A value for which a comparison holds; None when it is with no literal."""
    if isinstance(node, exp.In):
        node_values = [v for v in node.expressions if isinstance(v, exp.Literal)]
        return _plain(chance.choice(node_values)) if node_values else None
    if isinstance(node, exp.Between):
        low = node.args.get("low")
        return _plain(low) if isinstance(low, exp.Literal) else None
    literal = node.args.get("expression")
    if not isinstance(literal, exp.Literal):
        return None
    value = _plain(literal)
    if isinstance(node, exp.Like):
        return re.sub(r"[%_]", "", str(value))
    if isinstance(value, str) or isinstance(node, exp.EQ | exp.GTE | exp.LTE):
        return value
    step = chance.randrange(1, 4)
    return value + step if isinstance(node, exp.GT) else value - step


def _plain(literal: exp.Literal) -> Any:
    if literal.is_string:
        return str(literal.this)
    number = float(literal.this)
    return int(number) if number.is_integer() else number
