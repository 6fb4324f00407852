"""Does the model know when a database cannot answer? Questions put to the wrong database."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlgen.catalog.naming import natural_name
from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.eval.metrics import percentile, share, wilson
from sqlgen.eval.report import provenance
from sqlgen.eval.suite import Suite
from sqlgen.generation import Generator
from sqlgen.types import Catalog, ValidatedQuery

__all__ = ["misplaced_questions", "run_unanswerable"]

_VAGUE = frozenset("id name type code date number key no nr of the a details description".split())


def _words(text: str) -> set[str]:
    return {word.rstrip("s") for word in natural_name(text).lower().split()} - _VAGUE


def misplaced_questions(
    suite: Suite, catalogs: dict[str, Catalog], count: int, seed: int = 0
) -> Iterator[tuple[str, str]]:
    """``count`` pairs (question, database that can't answer it), the same for the same seed.

    A question fits when it names a table that its gold answer reads, and no table or column of the other
    database has a word in common with those tables.
    """
    from sqlgen.validation import validate

    rng = random.Random(seed)
    said = {
        name: {
            word
            for table in catalog.tables
            for text in (table.name, *(column.name for column in table.columns))
            for word in _words(text)
        }
        for name, catalog in catalogs.items()
    }
    questions = list(suite.questions)
    rng.shuffle(questions)
    found = 0
    for question in questions:
        if found == count:
            return
        verdict = validate(question.gold[0], catalogs[question.db_id], "sqlite")
        if not isinstance(verdict, ValidatedQuery):
            continue
        asked = {word.rstrip("s") for word in question.text.lower().replace("?", " ").split()}
        needed = {word for table in verdict.tables for word in _words(table)}
        others = [name for name in catalogs if name != question.db_id and not needed & said[name]]
        if needed & asked and others:
            found += 1
            yield question.text, rng.choice(others)


def run_unanswerable(
    suite: Suite,
    *,
    generator: Generator,
    count: int,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Any = None,
) -> dict[str, Any]:
    """Ask ``count`` misplaced questions and report how many the product abstains from.

    Raises UsageError when the suite's databases don't yield a single one.
    """
    from sqlgen.catalog import load_catalog, open_engine
    from sqlgen.eval.runner import scratch_home, suite_url
    from sqlgen.pipeline import connect

    with scratch_home() as home:
        settings = replace(Settings() if settings is None else settings, db=None, home=home)
        urls = {name: suite_url(place, home) for name, place in suite.databases.items()}
        used = {question.db_id for question in suite.questions}
        catalogs: dict[str, Catalog] = {}
        for name in sorted(used):
            engine = open_engine(urls[name])
            catalogs[name] = load_catalog(engine, sample_values=0)
            engine.dispose()
        pairs = sorted(misplaced_questions(suite, catalogs, count, seed), key=lambda pair: pair[1])
        if not pairs:
            raise UsageError("no question of this suite is out of place in another of its databases")
        statuses: list[str] = []
        confidences: list[float] = []
        opened, database = "", None
        try:
            for number, (text, name) in enumerate(pairs):
                if progress is not None:
                    progress(number, len(pairs), name)
                if name != opened or database is None:
                    if database is not None:
                        database.close()
                    database, opened = connect(urls[name], settings=settings, generator=generator), name
                answer = database.ask(text)
                statuses.append(answer.status)
                confidences.append(answer.confidence)
        finally:
            if database is not None:
                database.close()
    abstained = sum(status != "answered" for status in statuses)
    return {
        "suite": suite.name,
        "kind": "unanswerable",
        "count": len(pairs),
        "abstained": share(abstained, len(pairs)),
        "interval": list(wilson(abstained, len(pairs))),
        "confidence": {"p50": percentile(confidences, 50), "p90": percentile(confidences, 90)},
        "provenance": provenance(suite.hashes(used), seed=seed, licence=suite.licence, source=suite.source),
    }
