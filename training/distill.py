"""A bigger model teaches the shipped one: questions without SQL and logged SQL become pairs where two agree on the rows.

    python -m sqlgen.training.distill --db URL --teacher 'http:http://gpu1:8000/v1#NAME' --questions asked.txt --out pairs.jsonl
    python -m sqlgen.training.distill --db URL --teacher hf:NAME --logs --out pairs.jsonl
    sqlgen train --db URL --pairs pairs.jsonl

A question is kept with the teacher's SQL when one of the other model's candidates, the shipped model's unless
``--second`` names another, finds the same rows; a logged statement is put into words, and kept with them when the
teacher's answer to these words finds what the statement finds. Results without a value agree with nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.config import load_settings
from sqlgen.errors import DatabaseError, LimitReached, SqlgenError, UsageError
from sqlgen.execution.compare import results_equal
from sqlgen.files import write_whole
from sqlgen.sql.fingerprint import fingerprint
from sqlgen.sql.order import is_ordered
from sqlgen.types import Rejection, Result

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = ["agree_on_log", "agree_on_questions", "main", "read_questions"]


def agree_on_questions(
    teacher: Database, second: Database, questions: Iterable[str], dropped: Counter[str] | None = None
) -> Iterator[dict[str, Any]]:
    """The lines of a pairs file for the questions that both models answer alike; ``dropped`` counts the others."""
    dropped = Counter() if dropped is None else dropped
    for question in questions:
        answer = teacher.ask(question)
        if answer.status != "answered" or answer.result is None:
            dropped[f"the teacher: {answer.status}"] += 1
        elif _is_blank(answer.result):
            dropped["finds nothing"] += 1
        elif any(
            _same(answer.sql, answer.result, candidate.sql, second)
            for candidate, verdict in second.ask(question).candidates
            if verdict == "allow"
        ):
            yield _line(question, answer.sql, teacher)
        else:
            dropped["no agreement"] += 1


def agree_on_log(
    teacher: Database, logged: Iterable[tuple[str, str]], dropped: Counter[str] | None = None
) -> Iterator[dict[str, Any]]:
    """The lines of a pairs file for logged SQL whose wording, a (question, SQL) each, leads the teacher to the same rows."""
    dropped = Counter() if dropped is None else dropped
    for question, sql in logged:
        answer = teacher.ask(question)
        if answer.status != "answered" or answer.result is None:
            dropped[f"the teacher: {answer.status}"] += 1
        elif _is_blank(answer.result):
            dropped["finds nothing"] += 1
        elif _same(answer.sql, answer.result, sql, teacher):
            yield _line(question, sql, teacher)
        else:
            dropped["no agreement"] += 1


def read_questions(path: Path) -> list[str]:
    """Questions of a file: one a line, as text or as JSON with the key ``question``; UsageError names a bad line."""
    found = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            text = json.loads(line)["question"] if line.lstrip().startswith("{") else line
        except (ValueError, KeyError) as error:
            raise UsageError(f"{path}, line {number} holds no question: {error}") from None
        if text.strip():
            found.append(text.strip())
    return list(dict.fromkeys(found))


def _same(sql: str, result: Result, other: str, database: Database) -> bool:
    try:
        outcome = database.run(other)
    except (DatabaseError, LimitReached):
        return False
    ordered = is_ordered(sql, database.dialect) and is_ordered(other, database.dialect)
    return not isinstance(outcome, Rejection) and results_equal(result, outcome[1], ordered=ordered)


def _is_blank(result: Result) -> bool:
    return all(cell is None or cell == 0 for row in result.rows for cell in row)


def _line(question: str, sql: str, database: Database) -> dict[str, Any]:
    key = fingerprint(sql, database.dialect)
    return {"question": question, "sql": sql, "weight": 1.0, "source": "distilled", "split": key}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a file of pairs and say what came of the rest."""
    from sqlgen.pipeline import connect
    from sqlgen.training.logs.pairs import collect

    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--db", required=True)
    cli.add_argument("--teacher", required=True, help="a name of --model")
    cli.add_argument("--second", default="shipped", help="the model that has to agree on questions")
    cli.add_argument("--questions", type=Path, nargs="*", default=[])
    cli.add_argument("--logs", action="store_true", help="of the logs that were imported for this database")
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args(arguments)
    dropped: Counter[str] = Counter()
    try:
        with ExitStack() as stack:
            settings = replace(load_settings(), history=False)
            teacher, second = (
                stack.enter_context(connect(args.db, settings=replace(settings, model=name)))
                for name in (args.teacher, args.second)
            )
            questions = [question for path in args.questions for question in read_questions(path)]
            lines = list(agree_on_questions(teacher, second, questions, dropped))
            if args.logs:
                logged = [(p.question, p.sql) for p in collect(teacher).pairs if p.source == "written"]
                lines += agree_on_log(teacher, logged, dropped)
    except (SqlgenError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_whole(args.out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    print(len(lines), "pairs;", "left out:", dict(dropped))
    return 0


if __name__ == "__main__":
    sys.exit(main())
