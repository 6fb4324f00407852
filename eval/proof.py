"""The evaluator judged by itself: gold must be right on every metric, with its columns in another order too.

python -m sqlgen.eval.proof [SUITE] [--questions FILE --tables FILE --databases DIR] [--test-suite DIR]

Each question of the suite is answered with its own gold SQL, then with the columns of that SQL turned round. Prints one
JSON document; the exit code is 1 unless every share is 1. Turned columns count in the exact set match as well, whose
definition knows no order of columns outside of nested queries.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlgen.eval.metrics import share
from sqlgen.eval.report import Outcome, Report
from sqlgen.eval.runner import Progress, run_suite
from sqlgen.eval.suite import GoldQuestion, Suite, load_suite
from sqlgen.generation import ScriptedGenerator
from sqlgen.sql.turned import turned

__all__ = ["answered_with", "main", "prove"]


def answered_with(
    suite: Suite,
    answer: Callable[[str], str],
    *,
    limit: int | None = None,
    test_suite: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """The report of a run in which each question is answered with ``answer`` of its first gold SQL."""
    questions = suite.sample(limit)
    groups: dict[str, list[GoldQuestion]] = defaultdict(list)
    for question in questions:
        groups[question.db_id].append(question)
    outcomes: dict[tuple[str, str], Outcome] = {}
    for db_id, asked in groups.items():
        if progress is not None:
            progress(len(outcomes), len(questions), db_id)
        # A question that two databases share has two answers, so each database has a script of its own. Those that
        # are asked twice of one database are told apart by their place.
        marked = tuple(replace(q, text=f"{q.text} ({n})", evidence="") for n, q in enumerate(asked))
        script = ScriptedGenerator({q.text: [answer(q.gold[0])] for q in marked})
        report = run_suite(replace(suite, questions=marked), generator=script, test_suite=test_suite)
        outcomes |= {(o.db_id, o.id): o for o in report.outcomes}
    ordered = tuple(outcomes[q.db_id, q.id] for q in questions)
    return Report(suite.name, ordered, provenance=report.provenance)


def prove(
    suite: Suite,
    *,
    limit: int | None = None,
    test_suite: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """The shares of both runs, what fell short, and whether all is as it has to be."""
    runs: dict[str, Any] = {}
    for name, change in (("gold", str), ("turned", turned)):
        report = answered_with(suite, change, limit=limit, test_suite=test_suite, progress=progress)
        figures = report.to_dict()
        keys = ["execution_accuracy", "exact_match", "valid_sql_rate", "coverage"]
        if test_suite is not None:
            keys.append("test_suite_accuracy")
        changed = sum(turned(o.gold) != o.gold for o in report.outcomes) if name == "turned" else 0
        runs[name] = {
            "count": figures["count"],
            **({"changed": changed} if name == "turned" else {}),
            **{key: figures[key] for key in keys},
            "short": [
                {"id": o.id, "db_id": o.db_id, "gold": o.gold, "sql": o.sql, "why": o.failure or o.message}
                for o in report.outcomes
                if not (o.correct and o.exact_match and o.valid and o.suite_correct is not False)
            ],
        }
    passed = all(share(r["count"] - len(r["short"]), r["count"]) == 1 for r in runs.values())
    return {"suite": suite.name, "passed": passed, **runs, "provenance": report.provenance}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both and print the shares."""
    cli = argparse.ArgumentParser(prog="python -m sqlgen.eval.proof", description=__doc__.split("\n\n")[0])
    cli.add_argument("suite", nargs="?", default="spider")
    for role in ("questions", "tables", "databases"):
        cli.add_argument(f"--{role}", type=Path)
    cli.add_argument("--test-suite", type=Path, metavar="DIR")
    cli.add_argument("--limit", type=int)
    args = cli.parse_args(arguments)
    from sqlgen.cli.progress import ProgressBar

    suite = load_suite(args.suite, questions=args.questions, tables=args.tables, databases=args.databases)
    with ProgressBar() as bar:
        found = prove(suite, limit=args.limit, test_suite=args.test_suite, progress=bar)
    print(json.dumps(found, indent=1, ensure_ascii=False))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
