"""Conversations: questions that go on from the one before, asked in turn, each judged by what it finds.

``python -m sqlgen.eval.conversations --questions dev.json --databases DIR`` reads interactions as SParC (Yu et al. 2019)
writes them: ``[{"database_id", "interaction": [{"utterance", "query"}], "final": {"utterance", "query"}}]``. Each turn goes on
from the product's own answers, never from gold. Printed beside it: the same goals asked as single questions (``final``).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlgen.config import Settings
from sqlgen.errors import SqlgenError, UsageError
from sqlgen.eval.gold import GoldAnswers
from sqlgen.eval.runner import scratch_home
from sqlgen.execution import open_driver
from sqlgen.execution.compare import results_equal
from sqlgen.files import read_text
from sqlgen.generation import Generator, load_generator
from sqlgen.pipeline import Database, Reply, connect
from sqlgen.types import Limits

__all__ = ["Interaction", "main", "measure", "read_interactions"]

_MAX_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Interaction:
    """One conversation about one database: (question, gold SQL) in turn; ``goal`` says it all at once, if known."""

    database: str
    turns: tuple[tuple[str, str], ...]
    goal: tuple[str, str] | None = None


def read_interactions(path: Path) -> list[Interaction]:
    """Conversations in SParC's form; UsageError for what is none."""
    try:
        documents = json.loads(read_text(path))
        return [
            Interaction(
                d["database_id"],
                tuple((t["utterance"], t["query"]) for t in d["interaction"]),
                (d["final"]["utterance"], d["final"]["query"]) if d.get("final") else None,
            )
            for d in documents
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} holds no conversations: {error!r}") from error


def measure(
    interactions: Sequence[Interaction],
    databases: Path,
    *,
    generator: Generator,
    home: Path,
    settings: Settings | None = None,
    predictions: Any = None,
) -> dict[str, Any]:
    """Question and interaction accuracy, and the accuracy of the goals asked at once, in one document."""
    settings = replace(settings or Settings(), db=None, history=False, max_rows=_MAX_ROWS, home=home)
    by_database: dict[str, list[Interaction]] = defaultdict(list)
    for interaction in interactions:
        by_database[interaction.database].append(interaction)
    places: dict[int, list[bool]] = defaultdict(list)
    by_way: dict[str, list[bool]] = defaultdict(list)
    whole: list[bool] = []
    goals: list[bool] = []
    latencies_ms: list[float] = []
    for name, held in by_database.items():
        path = databases / name / f"{name}.sqlite"
        if not path.exists():
            raise UsageError(f"no database {path}")
        with ExitStack() as stack:
            database = stack.enter_context(
                connect(f"sqlite:///{path.absolute()}", settings=settings, generator=generator)
            )
            judge = _judge(stack, database, path)
            for interaction in held:
                right: list[bool] = []
                reply: Reply | None = None
                for question, gold in interaction.turns:
                    began = time.perf_counter()
                    found = _asked(database, question, reply)
                    latencies_ms.append(1000 * (time.perf_counter() - began))
                    is_right = _is_right(judge, gold, found)
                    places[len(right) + 1].append(is_right)
                    way = (
                        "none"
                        if found is None
                        else found.model.name
                        if found.status == "answered"
                        else found.status
                    )
                    by_way[f"{'first' if not right else 'later'}: {way}"].append(is_right)
                    right.append(is_right)
                    if predictions is not None:
                        line = {
                            "db_id": name,
                            "turn": len(right),
                            "question": question,
                            "gold": gold,
                            "sql": found.sql if found else "",
                            "model": found.model.name if found else "",
                            "status": found.status if found else "error",
                            "correct": is_right,
                        }
                        predictions.write(json.dumps(line) + "\n")
                    if found is not None and found.status == "answered":
                        reply = found
                whole.append(all(right))
                if interaction.goal is not None:
                    goals.append(
                        _is_right(judge, interaction.goal[1], _asked(database, interaction.goal[0], None))
                    )
    asked = [one for held in places.values() for one in held]
    latencies_ms.sort()
    return {
        "suite": "conversations",
        "interactions": len(whole),
        "questions": len(asked),
        "question_accuracy": _share(asked),
        "interaction_accuracy": _share(whole),
        "single_turn_accuracy": _share(goals) if goals else None,
        "by_turn": {
            str(turn): {"count": len(held), "accuracy": _share(held)} for turn, held in sorted(places.items())
        },
        "by_way": {
            way: {"count": len(held), "accuracy": _share(held)} for way, held in sorted(by_way.items())
        },
        "latency_ms": {"p50": _at(latencies_ms, 0.5), "p95": _at(latencies_ms, 0.95)},
    }


def _judge(stack: ExitStack, database: Database, path: Path) -> GoldAnswers:
    from sqlgen.catalog import load_catalog, open_engine

    engine = open_engine(f"sqlite:///{path.absolute()}")
    stack.callback(engine.dispose)
    driver = stack.enter_context(open_driver(engine, "sqlite"))
    catalog = load_catalog(engine, sample_values=0)
    return GoldAnswers(driver, catalog, database.dialect, Limits(timeout_s=30.0, max_rows=_MAX_ROWS), path)


def _asked(database: Database, question: str, before: Reply | None) -> Reply | None:
    try:
        return database.ask(question) if before is None else before.ask(question)
    except SqlgenError:
        return None


def _is_right(judge: GoldAnswers, gold: str, reply: Reply | None) -> bool:
    expected = judge.get(gold)
    if reply is None or reply.status != "answered" or reply.result is None or expected.result is None:
        return False
    if expected.result.truncated or reply.result.truncated:
        return False
    return results_equal(expected.result, reply.result, ordered=expected.ordered)


def _share(held: Sequence[bool]) -> float:
    return round(sum(held) / len(held), 4) if held else 0.0


def _at(held: Sequence[float], share: float) -> float:
    return round(held[min(len(held) - 1, int(share * len(held)))], 1) if held else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(prog="python -m sqlgen.eval.conversations", description=__doc__)
    parser.add_argument("--questions", type=Path, required=True, help="interactions as JSON")
    parser.add_argument("--databases", type=Path, required=True, help="folder of <id>/<id>.sqlite")
    parser.add_argument("--predictions", type=Path, help="write one line per question here")
    parser.add_argument("--limit", type=int, help="every n-th interaction, so that this many remain")
    parser.add_argument("--without", action="append", default=[], metavar="DB", help="leave a database out")
    options = parser.parse_args(arguments)
    try:
        interactions = [i for i in read_interactions(options.questions) if i.database not in options.without]
        if options.limit is not None:
            interactions = interactions[:: max(1, len(interactions) // options.limit)][: options.limit]
        with ExitStack() as stack:
            home = stack.enter_context(scratch_home())
            sink = stack.enter_context(options.predictions.open("w")) if options.predictions else None
            document = measure(
                interactions, options.databases, generator=load_generator(), home=home, predictions=sink
            )
    except SqlgenError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
