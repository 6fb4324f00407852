"""Corrections without people: a model is asked questions whose SQL is known, and put right where it is wrong.

    python -m sqlgen.training.recipes.practice --model hf:CHECKPOINT --rows learn.jsonl --out corrections.jsonl --most 200

Every answer and every correction goes through the product's history, in ``--home``; what is written are the rows that
``sqlgen.training.prompts --corrections`` makes of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from sqlgen.config import Settings
from sqlgen.generation import load_generator
from sqlgen.pipeline import connect
from sqlgen.training.prompts import correction_rows
from sqlgen.training.rewards import Judge

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask, correct, and write the corrections."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--model", required=True)
    cli.add_argument("--rows", type=Path, required=True)
    cli.add_argument("--most", type=int, default=200, help="questions")
    cli.add_argument("--home", type=Path, default=Path("practice"))
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args(arguments)
    rows = [json.loads(line) for line in args.rows.read_text("utf-8").splitlines()][: args.most]
    settings = Settings(home=args.home, beams=1)
    generator = load_generator(args.model)
    found = []
    with Judge(settings) as judge:
        for db in dict.fromkeys(row["db"] for row in rows):
            with connect(db, settings=settings, generator=generator) as database:
                for row in (row for row in rows if row["db"] == db):
                    text = row["prompt"][-1]["content"]
                    answer = database.ask(text.rpartition("\nQuestion: ")[2].removesuffix("\nSQL:"))
                    if answer.sql and not judge.worth(answer.sql, row["gold"], db).right:
                        database.history.judge(answer.id, "corrected", row["gold"])
                found += list(correction_rows(database))
    args.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), "utf-8")
    print(len(found), "corrections of", len(rows), "answers")


if __name__ == "__main__":
    main()
