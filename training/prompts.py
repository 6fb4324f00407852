"""Pairs and corrections as what a general model reads and writes: rows that TRL's trainers take.

    python -m sqlgen.training.prompts --db URL --pairs pairs.jsonl --out rows.jsonl
    python -m sqlgen.training.prompts --db URL --corrections --out corrections.jsonl

The prompt is the one of ``sqlgen.generation.prompt``, over the tables that retrieval hands the model for the question,
so that a checkpoint trained on it is used unchanged with ``--model hf:``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot.errors import SqlglotError

from sqlgen.errors import SqlgenError
from sqlgen.files import write_whole
from sqlgen.generation.prompt import Message, chat_prompt
from sqlgen.sql.form import Inexpressible, form_to_sql, tree_to_form
from sqlgen.training.pairs import Pair, read_pairs, with_what_is_read
from sqlgen.types import Dialect, Question, Rejection, RetrievedContext, TableSlice, ValidatedQuery

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = ["correction_rows", "main", "pair_rows", "with_distractors"]

Row = dict[str, Any]


def pair_rows(
    database: Database,
    pairs: Iterable[Pair],
    db: str,
    *,
    distractors: float = 0.0,
    seed: int = 1,
    dropped: Counter[str] | None = None,
) -> Iterator[Row]:
    """``{"prompt", "completion", "gold", "db"}`` for each pair that passes validation; ``dropped`` counts the others.

    ``db`` is how a reward finds the database again, without a password. With probability ``distractors`` tables come
    in that retrieval did not find, and all tables are shuffled. The completion is the gold as the product writes SQL,
    where it can be said so.
    """
    rng = random.Random(seed)
    for pair in pairs:
        checked = database.check(pair.sql)
        if isinstance(checked, Rejection):
            if dropped is not None:
                dropped[checked.findings[0].rule] += 1
            continue
        context = _context(database, pair.question, [checked])
        if rng.random() < distractors:
            context = with_distractors(context, database.catalog.tables, rng)
        sql = _as_written(checked, context, pair.question, database.dialect)
        yield {
            "prompt": _prompt(database, pair.question, context),
            "completion": [Message(role="assistant", content=sql)],
            "gold": checked.sql,
            "db": db,
        }


def correction_rows(database: Database) -> Iterator[Row]:
    """``{"prompt", "chosen", "rejected"}`` for each answer of the history that somebody corrected."""
    for line in database.history.lines(database=database.identity, judged=True):
        wrong, right = (
            database.check(sql) for sql in (line.written or line.sql or "-", line.final_sql or "-")
        )
        if line.verdict != "corrected" or isinstance(wrong, Rejection) or isinstance(right, Rejection):
            continue
        context = _context(database, line.question, [wrong, right])
        yield {
            "prompt": _prompt(database, line.question, context),
            "chosen": [
                Message(
                    role="assistant", content=_as_written(right, context, line.question, database.dialect)
                )
            ],
            "rejected": [Message(role="assistant", content=wrong.sql)],
        }


def with_distractors(
    context: RetrievedContext, tables: Sequence[Any], rng: random.Random, most: int = 3
) -> RetrievedContext:
    """``context`` with up to ``most`` further tables of the database, in any order.

    >>> from sqlgen.types import Table
    >>> shop, staff = Table("shop", ()), Table("staff", ())
    >>> wider = with_distractors(RetrievedContext((TableSlice(shop, 1.0, ""),)), [shop, staff], random.Random(1))
    >>> sorted(piece.table.key for piece in wider.tables)
    ['shop', 'staff']
    """
    held = {piece.table.key for piece in context.tables}
    others = [table for table in tables if table.key not in held]
    more = rng.sample(others, rng.randint(min(1, len(others)), min(most, len(others))))
    slices = [*context.tables, *(TableSlice(table, 0.0, "") for table in more)]
    rng.shuffle(slices)
    return replace(context, tables=tuple(slices))


def _context(database: Database, question: str, read: Sequence[ValidatedQuery]) -> RetrievedContext:
    """What retrieval hands over, with what the queries read and without the answer itself."""
    tables = {table.key: table for table in database.catalog.tables}
    context = database.retrieve(question)
    for query in read:
        context = with_what_is_read(context, query, tables)
    return replace(context, queries=tuple(q for q in context.queries if q.question != question))


def _prompt(database: Database, question: str, context: RetrievedContext) -> list[Message]:
    return chat_prompt(Question(question, database.dialect), context)


def _as_written(query: ValidatedQuery, context: RetrievedContext, question: str, dialect: Dialect) -> str:
    try:
        form = tree_to_form(sqlglot.parse_one(query.sql, dialect=dialect), context, question)
        return form_to_sql(form, context, question, dialect)
    except (Inexpressible, SqlglotError, AttributeError, RecursionError, ValueError, IndexError):
        return query.sql


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a file of rows and say how many there are."""
    from sqlalchemy import make_url

    import sqlgen
    from sqlgen.catalog import masked_url

    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--db", required=True)
    cli.add_argument("--pairs", type=Path, nargs="*", default=[])
    cli.add_argument("--corrections", action="store_true", help="of the history, in place of pairs")
    cli.add_argument(
        "--distractors", type=float, default=0.3, help="share of rows with tables that don't matter"
    )
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args(arguments)
    dropped: Counter[str] = Counter()
    try:
        with sqlgen.connect(args.db) as database:
            rows = (
                correction_rows(database)
                if args.corrections
                else pair_rows(
                    database,
                    read_pairs(args.pairs, database.dialect),
                    masked_url(make_url(args.db)),
                    distractors=args.distractors,
                    seed=args.seed,
                    dropped=dropped,
                )
            )
            lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    except SqlgenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_whole(args.out, "".join(lines))
    print(len(lines), "rows", f"dropped {dict(dropped)}" if dropped else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
