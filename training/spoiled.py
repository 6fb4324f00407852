"""Logs spoiled on purpose: how much of it is told before anything is learned from them, and what the gate says.

    python -m sqlgen.training.spoiled --data SETS/geography --pairs 150 --share 0.3
    python -m sqlgen.training.spoiled --data SETS/geography --kinds exchanged constant --train --budget-minutes 3

The first pairs of a set's train part are spoiled in one way each time, imported as a log and looked through as
``sqlgen train`` does it. Prints one JSON document for each kind.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp

from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.eval.runner import scratch_home
from sqlgen.generation.embedded import shipped_path
from sqlgen.pipeline import Database, connect
from sqlgen.training.adapt import Recipe
from sqlgen.training.doubts import doubts_of
from sqlgen.training.logs.ingest import import_log
from sqlgen.training.logs.pairs import collect, log_path
from sqlgen.training.logs.store import LogStore
from sqlgen.training.pairs import Pair, examples_of, pairs_of, read_pairs
from sqlgen.training.retrain import retrain
from sqlgen.types import Catalog, ValidatedQuery

__all__ = ["KINDS", "spoil"]

Rows = list[tuple[str, str]]
"""Questions with SQL."""


def _exchanged(rows: Rows, numbers: Sequence[int], catalog: Catalog, rng: random.Random) -> Rows:
    return [(rows[n][0], rows[m][1]) for n, m in zip(numbers, [*numbers[1:], numbers[0]], strict=True)]


def _words(rows: Rows, numbers: Sequence[int], catalog: Catalog, rng: random.Random) -> Rows:
    words = sorted({word for question, _ in rows for word in question.split()})
    return [(" ".join(rng.choices(words, k=len(rows[n][0].split()))), rows[n][1]) for n in numbers]


def _column(rows: Rows, numbers: Sequence[int], catalog: Catalog, rng: random.Random) -> Rows:
    return [(rows[n][0], _with_other_column(rows[n][1], catalog, rng)) for n in numbers]


def _with_other_column(sql: str, catalog: Catalog, rng: random.Random) -> str:
    """``sql`` with every mention of one column replaced by another of its table; the same if none can be."""
    tree = sqlglot.parse_one(sql, dialect="sqlite")
    read = {table.name.lower() for table in tree.find_all(exp.Table)}
    others = {
        column.name.lower(): [c.name for c in table.columns if c.name != column.name]
        for table in catalog.tables
        if table.name.lower() in read
        for column in table.columns
    }
    named = sorted({c.name.lower() for c in tree.find_all(exp.Column)} & {n for n in others if others[n]})
    if not named:
        return sql
    chosen = rng.choice(named)
    other = rng.choice(others[chosen])
    for column in tree.find_all(exp.Column):
        if column.name.lower() == chosen:
            column.set("this", exp.to_identifier(other))
    return tree.sql("sqlite")


def _constant(rows: Rows, numbers: Sequence[int], catalog: Catalog, rng: random.Random) -> Rows:
    def literals(sql: str) -> list[exp.Literal]:
        tree = sqlglot.parse_one(sql, dialect="sqlite")
        return [node for node in tree.find_all(exp.Literal) if not isinstance(node.parent, exp.Limit)]

    pool = sorted({(node.is_string, node.name) for _, sql in rows for node in literals(sql)})
    found = []
    for n in numbers:
        question, sql = rows[n]
        for node in literals(sql):
            others = [text for is_string, text in pool if is_string == node.is_string and text != node.name]
            if others:
                other = rng.choice(others)
                sql = sql.replace(
                    node.sql("sqlite"), exp.Literal(this=other, is_string=node.is_string).sql("sqlite")
                )
        found.append((question, sql))
    return found


KINDS: dict[str, Callable[[Rows, Sequence[int], Catalog, random.Random], Rows]] = {
    "exchanged": _exchanged,
    "words": _words,
    "column": _column,
    "constant": _constant,
}
"""SQL exchanged among pairs; questions of random words; another column of the table; other constants."""


def spoil(rows: Rows, kind: str, share: float, catalog: Catalog, seed: int = 1) -> tuple[Rows, set[int]]:
    """``rows`` with a ``share`` of them spoiled in one of KINDS, and the numbers of those that it changed.

    >>> rows = [(f"question {n}", f"SELECT {n}") for n in range(10)]
    >>> spoiled, numbers = spoil(rows, "exchanged", 0.3, Catalog("sqlite", ()))
    >>> len(numbers), sorted(sql for _, sql in spoiled) == sorted(sql for _, sql in rows)
    (3, True)
    """
    rng = random.Random(seed)
    numbers = rng.sample(range(len(rows)), round(share * len(rows)))
    made = dict(zip(numbers, KINDS[kind](rows, numbers, catalog, rng), strict=True))
    return [made.get(n, row) for n, row in enumerate(rows)], {n for n in numbers if made[n] != rows[n]}


def _imported(database: Database, rows: Rows, folder: Path) -> list[Pair]:
    path = folder / "log.jsonl"
    path.write_text("".join(json.dumps({"question": q, "sql": sql}) + "\n" for q, sql in rows), "utf-8")
    with LogStore(log_path(database)) as store:
        import_log(store, path, format="jsonl", dialect=database.dialect)
    return pairs_of(collect(database))


def measure(data: Path, kind: str, count: int, share: float, recipe: Recipe | None) -> dict[str, Any]:
    """What is doubted of a spoiled log; with a ``recipe`` also what the gate says of an adapter trained on it."""
    url = f"sqlite:///{(data / 'database.sqlite').absolute()}"
    with scratch_home() as home:
        settings = Settings(db=url, home=home)
        with connect(url, settings=settings) as database:
            read = read_pairs([data / "train.jsonl"], "sqlite")[:count]
            # As validation reads it: a text in double quotes is a constant.
            given = [
                (p.question, c.sql) for p in read if isinstance(c := database.check(p.sql), ValidatedQuery)
            ]
            rows, numbers = spoil(given, kind, share, database.catalog) if share else (given, set())
            pairs = _imported(database, rows, home)
            spoiled = {rows[n][0] for n in numbers}
            if recipe is not None:
                done = retrain(database, settings, pairs, recipe=recipe, promote=False)
                assert done.gate.doubts is not None
                doubts, dropped = done.gate.doubts, done.dropped
                verdict = {
                    "passed": done.gate.passed, "reasons": done.gate.reasons, "steps": done.learned.steps,
                    "sets": {c.name: [round(c.before, 3), round(c.after, 3)] for c in done.gate.comparisons},
                }  # fmt: skip
            else:
                left_out: Counter[str] = Counter()
                foreign: list[Pair] = []
                fit = list(examples_of(database, pairs, left_out, foreign))
                doubts, dropped, verdict = doubts_of(shipped_path(), fit, foreign, 1), left_out, {}
    doubted = [pair.question for pair, _ in doubts.pairs]
    # An import may write the values that a question leaves out behind it.
    told = sum(any(question.startswith(q.rstrip(".?! ")) for q in spoiled) for question in doubted)
    return {
        "set": data.name, "kind": kind if share else "none", "pairs": len(pairs), "spoiled": len(spoiled),
        "looked_at": doubts.looked_at, "doubted": len(doubted), "doubted_rightly": told, "share": round(doubts.share, 3),
        "why": dict(Counter(why for _, why in doubts.pairs)), "left_out": dict(dropped), **verdict,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure some kinds on some sets."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--data", type=Path, required=True, nargs="+")
    cli.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    cli.add_argument("--pairs", type=int, default=150)
    cli.add_argument("--share", type=float, default=0.3, help="of the pairs, 0 for a log as it is")
    cli.add_argument("--train", action="store_true", help="train and compare as well")
    cli.add_argument("--budget-minutes", type=float, default=8.0)
    cli.add_argument("--threads", type=int, default=2)
    args = cli.parse_args(arguments)
    if not 0 <= args.share <= 1:
        raise UsageError("a share lies between 0 and 1")
    recipe = (
        replace(Recipe(), budget_minutes=args.budget_minutes, threads=args.threads) if args.train else None
    )
    for data in args.data:
        for kind in args.kinds if args.share else args.kinds[:1]:
            print(json.dumps(measure(data, kind, args.pairs, args.share, recipe)), flush=True)


if __name__ == "__main__":
    main()
