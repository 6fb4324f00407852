"""All databases of a suite as one catalog: questions answered end to end without saying which database is meant."""

from __future__ import annotations

import re
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.config import Settings
from sqlgen.eval.gold import GoldAnswers
from sqlgen.eval.metrics import share, wilson
from sqlgen.eval.report import provenance
from sqlgen.eval.retrieval import union_index
from sqlgen.eval.runner import Progress, scratch_home
from sqlgen.eval.suite import Suite
from sqlgen.execution.compare import results_equal
from sqlgen.types import Limits, Question

if TYPE_CHECKING:
    from sqlgen.generation import Generator

__all__ = ["run_union", "unqualified"]

_TRIED = 4


def run_union(
    suite: Suite,
    *,
    generator: Generator,
    limit: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Execution accuracy when every table of every database is a candidate.

    The context comes from one index over all databases, tables told apart by a schema that is called like
    their database. The first candidate that validates and runs on the database it names is the answer; candidates
    are not weighed by their results. ``right_database`` is the share of answers over the gold's database.
    """
    from sqlgen.execution import open_driver

    settings = Settings() if settings is None else settings
    limits = Limits(timeout_s=settings.timeout_s, max_rows=200_000)
    questions = suite.sample(limit)
    right = found = 0
    by_database: dict[str, list[bool]] = defaultdict(list)
    with (
        scratch_home() as home,
        union_index(suite, replace(settings, db=None, home=home), progress) as (index, opened),
        ExitStack() as stack,
    ):
        golds = {}
        for db_id in {question.db_id for question in suite.questions} & opened.keys():
            engine, catalog = opened[db_id]
            driver = stack.enter_context(open_driver(engine, "sqlite"))
            path = Path(engine.url.database) if engine.url.database else None
            golds[db_id] = GoldAnswers(driver, catalog, "sqlite", limits, path)
        for number, question in enumerate(questions):
            if progress is not None:
                progress(number, len(questions), question.db_id)
            context = index.retrieve(
                question.asked,
                token_budget=settings.token_budget,
                count_tokens=generator.count_tokens,
            )
            asked = Question(question.asked, "sqlite", today=settings.today)
            schemas = {s.table.schema or "" for s in context.tables}
            correct = place = False
            for candidate in generator.generate(asked, context, beams=settings.beams)[:_TRIED]:
                meant = next(
                    (d for d in sorted(schemas, key=len, reverse=True) if f"{d}." in candidate.sql), None
                )
                if candidate.finish_reason == "unanswerable" or meant is None or meant not in golds:
                    continue
                got = golds[meant].get(unqualified(candidate.sql, meant))
                if got.result is None or got.refused:
                    continue
                place = meant == question.db_id
                if place:
                    accepted = [
                        golds[meant].get(sql, question.ordered) for sql in question.accepted("sqlite")
                    ]
                    correct = any(
                        g.result is not None and results_equal(g.result, got.result, ordered=g.ordered)
                        for g in accepted
                    )
                break
            right += correct
            found += place
            by_database[question.db_id].append(correct)
    count = len(questions)
    return {
        "kind": "union",
        "suite": f"{suite.name} (one catalog of {len(index.catalog.tables):,} tables)",
        "count": count,
        "execution_accuracy": share(right, count),
        "interval": list(wilson(right, count)),
        "right_database": share(found, count),
        "by_database": {name: share(sum(rows), len(rows)) for name, rows in sorted(by_database.items())},
        "provenance": provenance(suite.hashes(by_database), licence=suite.licence, source=suite.source),
    }


def unqualified(sql: str, schema: str) -> str:
    """SQL without a schema before its tables; what else is called so keeps its name.

    >>> unqualified("SELECT pets.cat.name FROM pets.cat WHERE x = 'pets.cat'", "pets")
    "SELECT cat.name FROM cat WHERE x = 'pets.cat'"
    """
    prefix = re.compile(rf"(?<![\w.\"])(?:\"{re.escape(schema)}\"|{re.escape(schema)})\.(?=[\w\"])")
    pieces = re.split(r"('(?:[^']|'')*')", sql)
    return "".join(piece if k % 2 else prefix.sub("", piece) for k, piece in enumerate(pieces))
