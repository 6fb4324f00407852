"""What ``sqlgen.generation.choice`` decides with: a model's own candidates collected, then trees fitted to them.

    python -m sqlgen.training.choice collect --model DIR --data SHARDS --corpora DIR --out FILE.jsonl
    python -m sqlgen.training.choice fit --data FILE.jsonl --out choice.json
    python -m sqlgen.training.choice tune --choice choice.json --data OTHER.jsonl --out choice.json
    python -m sqlgen.training.choice measure --choice choice.json --data OTHER.jsonl

Material are training databases that the model never saw. Each question goes through the stages that ``ask``
goes through, and what every candidate finds is compared with what the corpus's query finds. Beside questions
that the database can answer stand such that it can't: asked of another database, or with a column that the
answer needs taken out of sight.

``tune`` keeps the trees and fits the curve of the confidence anew: for a model that few databases were kept
from, with trees fitted to one that was trained without many.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.execution.compare import results_equal
from sqlgen.generation import Generator
from sqlgen.generation.choice import FEATURES, Chooser, Trial, features_of
from sqlgen.generation.embedded import EmbeddedGenerator
from sqlgen.pipeline import Database, connect
from sqlgen.pipeline.walk import set_apart
from sqlgen.sql.order import is_ordered
from sqlgen.training.boosting import Floats, Ints, Recipe, boost, to_document
from sqlgen.training.corpora import HELD_OUT
from sqlgen.training.prepare import load_shards, split_databases
from sqlgen.trees import Trees
from sqlgen.types import (
    Column,
    ForeignKey,
    Limits,
    Question,
    Result,
    ResultColumn,
    RetrievedContext,
    Table,
    TableSlice,
    ValidatedQuery,
    ValueMatch,
)

__all__ = ["Case", "collect", "fit", "main", "measure", "read_case", "read_cases", "tune", "write_case"]

RECIPE = Recipe(trees=150, depth=4, rate=0.08, penalty=10.0)
# What a question that the database can't answer counts beside one that it can.
UNANSWERABLE = 0.5
_BEAMS = 8
_RIVALS_S = 10.0
_LIMITS = Limits(timeout_s=2.0, max_rows=20_000)
# Of the questions of a database, so many more that it can't answer.
_FOREIGN = 0.1
_MISSING = 0.25


@dataclass(frozen=True, slots=True)
class Case:
    """One question of one database, the model's candidates and which of them are right."""

    database: str
    source: str
    question: str
    context: RetrievedContext
    trials: tuple[Trial, ...]
    right: tuple[bool, ...]
    p_unanswerable: float
    answerable: bool
    model: tuple[str, str]


# -- collecting ----------------------------------------------------------------------------------


def collect(
    generator: Generator,
    rows: Sequence[tuple[str, dict[str, Any]]],
    names: Sequence[str],
    databases: Path,
    home: Path,
) -> Iterator[Case]:
    """Cases of the databases ``names`` from (source, row in Spider's form) pairs."""
    if HELD_OUT & set(names):
        raise ValueError("the databases of the development split are for measuring only")
    pool = [question_of(row) for source, row in rows if row["db_id"] in names and source == "spider"]
    for name in names:
        chance = random.Random(name)
        path = databases / name / f"{name}.sqlite"
        asked = {question_of(row).lower(): (source, row) for source, row in rows if row["db_id"] == name}
        with connect(
            f"sqlite:///{path.absolute()}", settings=Settings(home=home), generator=generator
        ) as database:
            for source, row in asked.values():
                question, sql = question_of(row), row["query"]
                gold = _gold(path, sql)
                if gold is None:
                    continue
                context = database.retrieve(question)
                if not context.tables:
                    continue
                right = (gold, is_ordered(sql, "sqlite"))
                yield _case(database, generator, name, source, question, context, right)
                verdict = database.check(sql)
                if source == "spider" and isinstance(verdict, ValidatedQuery) and chance.random() < _MISSING:
                    cut = _without_a_column(context, verdict, chance)
                    if cut is not None:
                        yield _case(database, generator, name, "missing", question, cut)
            others = [question for question in pool if question.lower() not in asked]
            for question in chance.sample(others, min(len(others), max(3, int(_FOREIGN * len(asked))))):
                context = database.retrieve(question)
                if context.tables:
                    yield _case(database, generator, name, "foreign", question, context)


def question_of(row: dict[str, Any]) -> str:
    """The question of a row of Spider or of Spider-Syn."""
    return str(row.get("SpiderSynQuestion") or row["question"]).strip()


def _gold(path: Path, sql: str) -> Result | None:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            db.text_factory = lambda raw: raw.decode(errors="replace")
            cursor = db.execute(sql)
            rows = cursor.fetchmany(_LIMITS.max_rows + 1)
            columns = tuple(ResultColumn(entry[0]) for entry in cursor.description)
    except sqlite3.Error:
        return None
    kept = tuple(map(tuple, rows[: _LIMITS.max_rows]))
    return Result(columns, kept, len(rows) > _LIMITS.max_rows)


def _without_a_column(
    context: RetrievedContext, query: ValidatedQuery, chance: random.Random
) -> RetrievedContext | None:
    """The context without a column that ``query`` reads and that is no key; None when it reads only keys."""
    plain = [
        (piece.table.key, column.name)
        for piece in context.tables
        for column in piece.table.columns
        if f"{piece.table.key}.{column.name}" in query.columns
        and not column.primary_key
        and not any(column.name in key.columns for key in piece.table.foreign_keys)
    ]
    if not plain:
        return None
    table, gone = chance.choice(plain)
    tables = tuple(
        replace(
            piece,
            table=replace(piece.table, columns=tuple(c for c in piece.table.columns if c.name != gone)),
        )
        if piece.table.key == table
        else piece
        for piece in context.tables
    )
    values = tuple(match for match in context.values if (match.table, match.column) != (table, gone))
    return replace(context, tables=tables, values=values)


def _case(
    database: Database, generator: Generator, name: str, source: str, question: str, context: RetrievedContext,
    gold: tuple[Result, bool] | None = None,
) -> Case:  # fmt: skip
    """Generates, validates and runs as ``ask`` does. ``gold`` is the right result and whether its order counts."""
    found = generator.generate(Question(question, database.dialect), context, beams=_BEAMS)
    queries, p_unanswerable = set_apart(found)
    allowed, _, _ = database.walk.judge(queries, database.catalog, {})
    trials, outcomes = database.contest.compare(allowed, _LIMITS, True, rivals_s=_RIVALS_S)
    right = tuple(
        gold is not None and isinstance(outcome, Result) and results_equal(gold[0], outcome, ordered=gold[1])
        for outcome in outcomes
    )
    info = generator.info
    return Case(
        name, source, question, context, tuple(trials), right, p_unanswerable, gold is not None, (info.name, info.version)
    )  # fmt: skip


def write_case(case: Case) -> str:
    """A line of JSON; of the context only what features read."""
    tables = [
        {
            "key": piece.table.key,
            "name": piece.table.name,
            "columns": [[column.name, column.kind, column.primary_key] for column in piece.table.columns],
            "keys": [list(key.columns) for key in piece.table.foreign_keys],
        }
        for piece in case.context.tables
    ]
    values = [[m.table, m.column, m.value, m.start, m.end] for m in case.context.values]
    trials = [{**asdict(trial), "right": right} for trial, right in zip(case.trials, case.right, strict=True)]
    rest = {
        name: getattr(case, name)
        for name in ("database", "source", "question", "p_unanswerable", "answerable", "model")
    }
    return json.dumps({**rest, "tables": tables, "values": values, "trials": trials})


def read_case(line: str) -> Case:
    """What ``write_case`` wrote."""
    found = json.loads(line)
    slices = []
    for entry in found.pop("tables"):
        columns = tuple(Column(name, "", kind, primary_key=key) for name, kind, key in entry["columns"])
        keys = tuple(ForeignKey(tuple(names), "", ()) for names in entry["keys"])
        schema = entry["key"].removesuffix(entry["name"]).removesuffix(".") or None
        slices.append(TableSlice(Table(entry["name"], columns, schema, keys), 1.0, ""))
    values = tuple(ValueMatch(*match) for match in found.pop("values"))
    trials = found.pop("trials")
    right = tuple(trial.pop("right") for trial in trials)
    for trial in trials:
        trial["tables"], trial["columns"] = tuple(trial["tables"]), tuple(trial["columns"])
    found["model"] = tuple(found["model"])
    return Case(
        context=RetrievedContext(tuple(slices), values),
        trials=tuple(Trial(**trial) for trial in trials),
        right=right,
        **found,
    )


def read_cases(path: Path) -> list[Case]:
    """All cases of a file that ``collect`` wrote."""
    with path.open(encoding="utf-8") as lines:
        return [read_case(line) for line in lines]


# -- fitting -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Features of all trials of all cases: ``question`` numbers the cases, ``eligible`` marks what may be chosen."""

    cases: Sequence[Case]
    rows: Floats
    right: Floats
    question: Ints
    eligible: npt.NDArray[np.bool_]


def tabulate(cases: Sequence[Case], *, run: bool) -> Trials:
    """The trials of ``cases`` that have any; without ``run`` as if nothing had been executed."""
    cases = [
        case for case in cases if case.trials and (not run or any(t.state == "ran" for t in case.trials))
    ]
    rows: list[list[float]] = []
    right: list[bool] = []
    question: list[int] = []
    eligible: list[bool] = []
    for number, case in enumerate(cases):
        trials = case.trials if run else [Trial(t.sql, t.logprob, t.tables, t.columns) for t in case.trials]
        rows += features_of(case.question, case.context, trials)
        right += case.right
        question += [number] * len(trials)
        eligible += [not run or trial.state == "ran" for trial in trials]
    return Trials(cases, np.array(rows), np.array(right, dtype=float), np.array(question), np.array(eligible))


def chosen(table: Trials, scores: Floats) -> tuple[Floats, Floats]:
    """For each case the best score, and whether the trial that has it is right."""
    scores = np.where(table.eligible, scores, -np.inf)
    starts = np.searchsorted(table.question, np.arange(len(table.cases) + 1))
    best = np.array([a + int(scores[a:b].argmax()) for a, b in pairwise(starts)], dtype=np.int64)
    return scores[best], table.right[best]


def fit(cases: Sequence[Case], *, folds: int = 4, recipe: Recipe | None = None) -> dict[str, Any]:
    """The document of ``choice.json`` for the model that the cases are of.

    The curve is fitted to scores of cases that the trees behind them did not see, by databases.
    """
    recipe = RECIPE if recipe is None else recipe
    document: dict[str, Any] = {**_of_model(cases), "format": 1, "features": list(FEATURES), "threshold": 0.0}
    for part, run in (("run", True), ("unrun", False)):
        table = tabulate(cases, run=run)
        names = sorted({case.database for case in table.cases})
        random.Random(0).shuffle(names)
        fold = np.array([names.index(case.database) % folds for case in table.cases])[table.question]
        weights = _weights(table)
        scores = np.zeros(len(table.rows))
        for k in range(folds):
            seen = fold != k
            trees = boost(table.rows[seen], table.right[seen], weights[table.question][seen], recipe)
            scores[~seen] = trees.score(table.rows[~seen])
        trees = boost(table.rows, table.right, weights[table.question], recipe)
        document[part] = {**to_document(trees), **curve(table, *chosen(table, scores))}
    return document


def tune(document: dict[str, Any], cases: Sequence[Case]) -> dict[str, Any]:
    """The same trees for another model, with curves of its own."""
    tuned = {**document, **_of_model(cases)}
    for part, run in (("run", True), ("unrun", False)):
        table = tabulate(cases, run=run)
        scores = Trees.of(document[part]).score(table.rows)
        tuned[part] = {**document[part], **curve(table, *chosen(table, scores))}
    return tuned


def _of_model(cases: Sequence[Case]) -> dict[str, str]:
    models = {case.model for case in cases}
    if len(models) != 1:
        raise UsageError(f"cases of one model are needed, not of {len(models)}")
    name, version = models.pop()
    return {"model": name, "version": version}


def _weights(table: Trials) -> Floats:
    return np.where([case.answerable for case in table.cases], 1.0, UNANSWERABLE)


def curve(table: Trials, scores: Floats, right: Floats) -> dict[str, float]:
    """``Judge``'s slope, absent and offset by logistic regression, held back a little from 1, 1 and 0."""
    absent = np.array([case.p_unanswerable for case in table.cases])
    inputs = np.column_stack([scores, np.log(np.maximum(1e-6, 1 - absent)), np.ones(len(scores))])
    prior = np.array([1.0, 1.0, 0.0])
    weights, found = _weights(table), prior.copy()
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(inputs @ found, -30, 30)))
        slope = inputs.T @ (weights * (p - right)) + 2.0 * (found - prior)
        bend = (inputs * (weights * p * (1 - p))[:, None]).T @ inputs + 2.0 * np.eye(3)
        found = found - np.linalg.solve(bend, slope)
    return {name: round(float(x), 5) for name, x in zip(("slope", "absent", "offset"), found, strict=True)}


# -- measuring -----------------------------------------------------------------------------------


def measure(document: dict[str, Any], cases: Sequence[Case], *, run: bool = True) -> dict[str, Any]:
    """What a document does on cases that it was not fitted to.

    Accuracy over the answerable questions for the likeliest candidate and for the chosen one, at which coverage
    which accuracy, the expected calibration error in ten bins; and for thresholds of the confidence the
    share of right answers still given and of unanswerable questions kept back.
    """
    chooser = Chooser.of(document)
    answers: list[tuple[float, bool, bool]] = []
    first = best = 0
    for case in cases:
        first += case.answerable and bool(case.right) and case.right[0]
        best += case.answerable and any(case.right)
        if not case.trials:
            answers.append((0.0, False, case.answerable))
            continue
        trials = (
            case.trials if run else tuple(Trial(t.sql, t.logprob, t.tables, t.columns) for t in case.trials)
        )
        choice = chooser.choose(case.question, case.context, trials, case.p_unanswerable)
        answers.append((choice.confidence, case.right[choice.index], case.answerable))
    known = sorted((a for a in answers if a[2]), key=lambda a: -a[0])
    absent = [confidence for confidence, _, answerable in answers if not answerable]
    count, right = len(known), sum(a[1] for a in known)

    def covered(part: float) -> float:
        kept = known[: max(1, int(part * count))]
        return round(sum(a[1] for a in kept) / len(kept), 4)

    bins = [[a for a in known if min(9, int(10 * a[0])) == k] for k in range(10)]
    gaps = (abs(sum(a[0] for a in part) - sum(a[1] for a in part)) for part in bins)
    return {
        "count": count,
        "first": round(first / count, 4),
        "best": round(best / count, 4),
        "chosen": round(right / count, 4),
        "coverage": {f"{part:.1f}": covered(part) for part in (1.0, 0.9, 0.8, 0.7, 0.5)},
        "calibration_error": round(sum(gaps) / count, 4),
        "bins": [
            [
                len(part),
                round(sum(a[0] for a in part) / len(part), 3),
                round(sum(a[1] for a in part) / len(part), 3),
            ]
            for part in bins
            if part
        ],
        "thresholds": {
            f"{t:.2f}": {
                "right_kept": round(sum(a[1] for a in known if a[0] >= t) / max(1, right), 4),
                "wrong_kept_back": round(sum(not a[1] for a in known if a[0] < t) / max(1, count - right), 4),
                "unanswerable_kept_back": round(sum(c < t for c in absent) / max(1, len(absent)), 4),
            }
            for t in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
        },
    }


def main() -> None:
    """Collect cases, fit to them, tune the curves, or measure."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    steps = cli.add_subparsers(dest="step", required=True)
    step = steps.add_parser("collect", help="ask the questions of databases that the model never saw")
    step.add_argument("--model", type=Path, required=True)
    step.add_argument("--data", type=Path, required=True, help="the shards that it was trained on")
    step.add_argument("--corpora", type=Path, required=True)
    step.add_argument("--out", type=Path, required=True)
    step.add_argument("--count", type=int, default=8, help="databases kept from training")
    step.add_argument("--seed", type=int, default=7, help="which they were")
    for name, text in (
        ("fit", "trees and curves"),
        ("tune", "curves for another model"),
        ("measure", "print"),
    ):
        step = steps.add_parser(name, help=text)
        step.add_argument("--data", type=Path, required=True, nargs="+")
        step.add_argument("--choice", type=Path, required=name != "fit", help="a choice.json to start from")
        step.add_argument("--out", type=Path, required=name != "measure")
        step.add_argument("--threshold", type=float, help="keep answers back below this confidence")
    args = cli.parse_args()
    if args.step == "collect":
        _collect(args)
        return
    cases = [case for path in args.data for case in read_cases(path)]
    document = json.loads(args.choice.read_text()) if args.choice else {}
    if args.step == "measure":
        for run in (True, False):
            print(json.dumps({"run": run, **measure(document, cases, run=run)}, indent=1))
        return
    document = fit(cases) if args.step == "fit" else tune(document, cases)
    if args.threshold is not None:
        document["threshold"] = args.threshold
    args.out.write_text(json.dumps(document, separators=(",", ":")) + "\n")


def _collect(args: argparse.Namespace) -> None:
    kept, _ = split_databases({"spider": load_shards(args.data)["spider"]}, seed=args.seed, count=args.count)
    names = sorted({example.database for example in kept})
    rows: list[tuple[str, dict[str, Any]]] = []
    for source, path in (("spider", "spider/train_spider.json"), ("syn", "spider_syn/train.json")):
        rows += [(source, row) for row in json.loads((args.corpora / path).read_text())]
    generator = EmbeddedGenerator.load(args.model)
    with tempfile.TemporaryDirectory() as home, args.out.open("w", encoding="utf-8") as out:
        for case in collect(generator, rows, names, args.corpora / "spider" / "database", Path(home)):
            out.write(write_case(case) + "\n")


if __name__ == "__main__":
    main()
