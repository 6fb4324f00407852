"""How much retraining gives with how many pairs: a learning curve per set, with intervals.

    python -m sqlgen.training.curve prepare --questions geography.json --database geography.sqlite --out SETS/geography
    python -m sqlgen.training.curve run --data SETS/geography SETS/scholar --out curve.jsonl
    python -m sqlgen.training.curve run --data SETS/geography --out curve.jsonl --sql-only
    python -m sqlgen.training.curve show curve.jsonl

``run`` trains on the first pairs of a set with ``retrain``, gate included, and asks the set's own test questions
before and after. What stands in the file already is passed over, so that a run can be repeated until it is whole.
``--sql-only`` takes the questions away, as in a log: they are written anew from the SQL.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.eval.report import Outcome
from sqlgen.eval.runner import run_suite, scratch_home
from sqlgen.generation.embedded import EmbeddedGenerator
from sqlgen.pipeline import Database, connect
from sqlgen.pipeline.model import terms_of
from sqlgen.training.adapt import Recipe
from sqlgen.training.domains import prepare
from sqlgen.training.gate import compare, own_suite
from sqlgen.training.logs.ingest import import_log
from sqlgen.training.logs.pairs import collect, log_path
from sqlgen.training.logs.store import LogStore
from sqlgen.training.pairs import Pair, examples_of, pairs_of, read_pairs, said_again
from sqlgen.training.retrain import retrain

__all__ = ["main", "measure", "table_of"]

COUNTS = (50, 100, 200, 500, 0)


def logged_pairs(database: Database, pairs: Sequence[Pair], folder: Path, sql_only: bool) -> list[Pair]:
    """``pairs`` as a log teaches them, with their questions or without, imported from a file in ``folder``."""
    path = folder / "statements.jsonl"
    rows = [{"sql": pair.sql} if sql_only else {"sql": pair.sql, "question": pair.question} for pair in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with LogStore(log_path(database)) as store:
        import_log(store, path, format="jsonl", dialect=database.dialect)
    return pairs_of(collect(database))


def measure(
    data: Path, count: int, *, recipe: Recipe, sql_only: bool = False, tests: int | None = None
) -> dict[str, Any]:
    """One point of a curve: ``count`` pairs of the set in ``data`` (0: all), before and after on its test questions."""
    url = f"sqlite:///{(data / 'database.sqlite').absolute()}"
    train, test = (read_pairs([data / f"{part}.jsonl"], "sqlite") for part in ("train", "test"))
    given = train[: count or None]
    began = time.monotonic()
    with scratch_home() as home:
        settings = Settings(db=url, home=home)
        with connect(url, settings=settings) as database:
            pairs = logged_pairs(database, given, home, sql_only)
            done = retrain(database, settings, pairs, recipe=recipe, promote=False)
            seconds = time.monotonic() - began
            terms = terms_of(done.entry)
            said = {
                pair: said_again(example, database.dialect)
                for pair, example in examples_of(database, test[:tests], terms=terms)
            }
            held = own_suite(database, [(pair, said.get(pair, "")) for pair in test[:tests]], url, "test")
            reports = [
                run_suite(
                    held.suite, generator=EmbeddedGenerator.load(weights), settings=settings, terms=words
                )
                for weights, words in ((None, ()), (done.entry.weights, terms))
            ]
    found = compare("test", reports[0].outcomes, reports[1].outcomes, blank=held.blank)
    own, objected = done.gate.comparisons[0], done.gate.objections
    assert objected is not None
    general = next(c for c in done.gate.comparisons if c.name == "general")
    return {
        "set": data.name, "count": count, "given": len(given), "sql_only": sql_only, "learn": done.pairs["learn"],
        "definitions": [f"{term.name}: {term.definition}" for term in terms],
        "tests": found.count, "compared_as_sql": found.as_sql, "before": round(found.before, 4), "after": round(found.after, 4),
        "gain": round(found.gain, 4), "interval_90": [round(found.low, 4), round(found.high, 4)],
        "abstained": [_abstained(report.outcomes) for report in reports],
        "general": [round(general.before, 4), round(general.after, 4)], "passed": done.gate.passed,
        "reasons": list(done.gate.reasons), "remarks": list(done.gate.remarks),
        "objected": [len(objected.pairs), objected.looked_at], "own": [own.count, round(own.before, 4), round(own.after, 4)],
        "seconds": round(seconds), "steps": done.learned.steps,
        "stopped": done.learned.stopped, "adapter_bytes": done.adapter_bytes,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }  # fmt: skip


def _abstained(outcomes: Sequence[Outcome]) -> int:
    return sum(o.status == "abstained" for o in outcomes)


def table_of(points: Sequence[dict[str, Any]]) -> str:
    """The points as a Markdown table, with a mean over the sets for each count.

    >>> point = {"set": "a", "count": 50, "given": 50, "sql_only": False, "before": 0.1, "after": 0.3, "gain": 0.2,
    ...     "interval_90": [0.1, 0.3], "general": [0.5, 0.5], "passed": True, "seconds": 60, "tests": 40}
    >>> print(table_of([point]).splitlines()[-1])
    | mean of 1 | 50 |  | 10.0 % | 30.0 % | +20.0 | | +0.0 | |
    """
    lines = [
        "| set | pairs | tests | before | after | gain, 90 % interval | gate | general | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[bool, int], list[dict[str, Any]]] = {}
    for point in points:
        groups.setdefault((point["sql_only"], point["count"]), []).append(point)
    for (sql_only, count), group in sorted(groups.items(), key=lambda g: (g[0][0], g[0][1] or 10**9)):
        what = f"{count or 'all'}{', SQL only' if sql_only else ''}"
        for p in sorted(group, key=lambda p: str(p["set"])):
            low, high = p["interval_90"]
            lines.append(
                f"| {p['set']} | {what} ({p['given']}) | {p['tests']} | {100 * p['before']:.1f} % | {100 * p['after']:.1f} % "
                f"| {100 * p['gain']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) | {'passed' if p['passed'] else 'refused'} "
                f"| {100 * (p['general'][1] - p['general'][0]):+.1f} | {p['seconds'] / 60:.1f} |"
            )
        before, after, gain = (sum(p[k] for p in group) / len(group) for k in ("before", "after", "gain"))
        fall = sum(p["general"][1] - p["general"][0] for p in group) / len(group)
        lines.append(
            f"| mean of {len(group)} | {what} |  | {100 * before:.1f} % | {100 * after:.1f} % | {100 * gain:+.1f} | "
            f"| {100 * fall:+.1f} | |"
        )
    return "\n".join(lines)


def read_points(path: Path) -> list[dict[str, Any]]:
    """What ``run`` wrote; none where there is no file yet. UsageError names a line that is none."""
    if not path.exists():
        return []
    points = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            points.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            raise UsageError(f"{path}, line {number} is no point of a curve; remove it") from None
    return points


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare a set, measure points of its curve, or print them."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    steps = cli.add_subparsers(dest="step", required=True)
    step = steps.add_parser("prepare", help="split a set and fill its database")
    step.add_argument("--questions", type=Path, required=True)
    step.add_argument("--database", type=Path, required=True)
    step.add_argument("--out", type=Path, required=True)
    step = steps.add_parser("run", help="measure")
    step.add_argument("--data", type=Path, required=True, nargs="+")
    step.add_argument("--out", type=Path, required=True)
    step.add_argument(
        "--counts", default=",".join(str(c or "all") for c in COUNTS), help="of pairs; all is every one"
    )
    step.add_argument("--sql-only", action="store_true", help="take the questions away")
    step.add_argument("--tests", type=int, help="ask only so many of the test questions")
    step.add_argument("--budget-minutes", type=float, default=8.0)
    step.add_argument("--passes", type=int, default=Recipe().passes)
    step.add_argument("--threads", type=int, default=2)
    step.add_argument("--seed", type=int, default=1)
    step = steps.add_parser("show", help="a table of what was measured")
    step.add_argument("file", type=Path)
    args = cli.parse_args(arguments)
    if args.step == "prepare":
        print(prepare(args.questions, args.database, args.out))
        return
    if args.step == "show":
        print(table_of(read_points(args.file)))
        return
    recipe = replace(
        Recipe(), budget_minutes=args.budget_minutes, passes=args.passes, threads=args.threads, seed=args.seed
    )
    for data in args.data:
        for count in (0 if word == "all" else int(word) for word in args.counts.split(",")):
            known = {(p["set"], p["count"], p["sql_only"]) for p in read_points(args.out)}
            if (data.name, count, args.sql_only) in known:
                continue
            point = measure(data, count, recipe=recipe, sql_only=args.sql_only, tests=args.tests)
            with args.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(point) + "\n")
            print(json.dumps(point), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
