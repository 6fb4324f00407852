"""What an adapter costs a question: how long a running process takes to change to it, and how long it answers since.

    python -m sqlgen.training.switching --db URL --questions FILE [--adapter ID] [--rounds 3]

Two connections of one process answer the same questions by turns, one with the shipped model, one with the adapter (by
default the one in force); the registry itself is left as it is. An adapter may write longer queries than the shipped model,
which takes longer: the ratio is given as well for the questions that both answer with equally long ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlgen.config import Settings, load_settings
from sqlgen.errors import UsageError
from sqlgen.eval.runner import scratch_home
from sqlgen.files import read_text
from sqlgen.pipeline import Database, connect
from sqlgen.registry import Entry

__all__ = ["main", "measure"]

_SWITCHES = 5
# Queries whose lengths differ by less, in characters, are equally long.
_ALIKE = 0.1


def measure(settings: Settings, entry: Entry, questions: Sequence[str], rounds: int = 3) -> dict[str, Any]:
    """Medians and ratios over ``questions``, each asked ``rounds`` times of both models; times in milliseconds."""
    with scratch_home() as home:
        shipped = connect(settings.db, settings=replace(settings, home=home / "shipped"))
        adapted = connect(settings.db, settings=replace(settings, home=home / "adapted"))
        with shipped, adapted:
            with adapted.adapters.scratch() as made:
                shutil.copytree(entry.folder, made, dirs_exist_ok=True)
                known = adapted.adapters.add(made, entry.lineage, entry.gate)
            adapted.adapters.promote(known.id, known.base)
            for database in (shipped, adapted):
                database.ask(questions[0])
            times: list[tuple[list[float], list[float]]] = [([], []) for _ in questions]
            lengths = [(0, 0)] * len(questions)
            for turn in range(rounds):
                for number, question in enumerate(questions):
                    sizes = [0, 0]
                    # Whoever goes second finds the caches warm.
                    for which in (0, 1) if (turn + number) % 2 else (1, 0):
                        spent, sizes[which] = _asked((shipped, adapted)[which], question)
                        times[number][which].append(spent)
                    lengths[number] = sizes[0], sizes[1]
            switches = [_switch(adapted, known, questions[n % len(questions)]) for n in range(_SWITCHES)]
    pairs = [(statistics.median(one), statistics.median(other)) for one, other in times]
    alike = [
        pair for pair, (one, other) in zip(pairs, lengths, strict=True)
        if one and other and abs(one - other) <= _ALIKE * max(one, other)
    ]  # fmt: skip
    return {
        "adapter": known.id, "questions": len(questions), "rounds": rounds,
        "switch_ms": [round(spent, 1) for spent in sorted(switches)],
        "shipped_ms": round(statistics.median(one for one, _ in pairs), 1),
        "adapted_ms": round(statistics.median(other for _, other in pairs), 1),
        "ratio": _ratio(pairs), "sql_length_ratio": _ratio(lengths),
        "alike": len(alike), "ratio_alike": _ratio(alike),
    }  # fmt: skip


def _asked(database: Database, question: str) -> tuple[float, int]:
    """Milliseconds that an answer took, and the length of its SQL."""
    began = time.perf_counter()
    answer = database.ask(question)
    return 1000 * (time.perf_counter() - began), len(answer.sql or "")


def _switch(database: Database, entry: Entry, question: str) -> float:
    """By how many milliseconds the first answer after a promotion takes longer than the same one again."""
    database.adapters.rollback()
    database.ask(question)
    database.adapters.promote(entry.id, entry.base)
    first, _ = _asked(database, question)
    again, _ = _asked(database, question)
    return first - again


def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    total = sum(one for one, _ in pairs)
    return round(sum(other for _, other in pairs) / total, 3) if total else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure once and print one JSON document."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--db", required=True, metavar="URL")
    cli.add_argument("--questions", type=Path, required=True, help="one question a line, or JSON lines")
    cli.add_argument("--adapter", metavar="ID", help="the one in force, if it isn't given")
    cli.add_argument("--rounds", type=int, default=3)
    args = cli.parse_args(arguments)
    lines = [line for line in read_text(args.questions).splitlines() if line.strip()]
    questions = [json.loads(line)["question"] if line.startswith("{") else line for line in lines]
    if not questions or args.rounds < 1:
        raise UsageError("give one question at least, and one round")
    settings = load_settings({"db": args.db})
    with connect(args.db, settings=settings) as database:
        entry = database.adapters.get(args.adapter) if args.adapter else database.adapters.current()
    if entry is None:
        raise UsageError("no adapter is in force for this database; name one with --adapter")
    print(json.dumps(measure(settings, entry, questions, args.rounds)))


if __name__ == "__main__":
    main()
