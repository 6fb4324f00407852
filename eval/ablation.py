"""What each half of the hybrid is worth, before and after the schema changes: four modes on the same questions.

python -m sqlgen.eval.ablation --out DIR [--domains retail subscriptions museum] [--folds 2] [--minutes 2.5]

Each domain's questions are cut into folds by the fingerprint of their SQL. Adapters are trained on the other folds,
as ``sqlgen train`` does, for ``--minutes`` each; a question is answered by an adapter that never saw it or its like.
An adapter learns each pair over both inputs that it will meet: what retrieval hands over, and the fixed schema.
Then columns are renamed, a table is added and cells get new values (``suites/<domain>/change.toml``). The same
questions, with new ones about what is new, are asked again of what was trained and fixed before. DIR gets
ablation.json, ablation.md, ablation.svg and ablation.html, and one file a domain, which a second run with the
same options and weights takes up. Needs pip install 'sqlgen[train]'.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.eval.modes import MODES, fixed_context
from sqlgen.eval.report import provenance, write_text
from sqlgen.eval.runner import Progress, run_suite
from sqlgen.eval.suite import GoldQuestion, Suite, SuiteDatabase, load_suite
from sqlgen.types import Catalog, RetrievedContext, ValidatedQuery

if TYPE_CHECKING:
    from sqlgen.generation import Generator
    from sqlgen.training.adapt import Recipe

__all__ = ["DOMAINS", "KINDS", "Domain", "Options", "main", "measure", "open_domain"]

DOMAINS = ("retail", "subscriptions", "museum")
# What a question is about once the schema has changed.
KINDS = {
    "same": "untouched",
    "old words": "columns renamed, asked as before",
    "renamed": "columns renamed, asked by the new names",
    "added": "about the added table",
    "values": "about new values",
}
_SUITES = Path(__file__).parent / "suites"
_OTHER_TABLES, _OTHER_COLUMNS = 80, 900


@dataclass(frozen=True, slots=True)
class Options:
    """How a domain is measured; ``minutes`` is the wall time of one adapter, ``limit`` the most questions asked."""

    folds: int = 2
    minutes: float = 2.5
    passes: int = 16
    threads: int = 2
    seed: int = 1
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """A database before and after its schema changed, and what is asked of each.

    ``kinds`` says of each question of ``after`` what it is about, by id: one of ``KINDS``.
    """

    name: str
    before: Suite
    after: Suite
    kinds: Mapping[str, str]
    left_out: int
    script: Sequence[str]


def open_domain(name: str, folder: Path, limit: int | None = None) -> Domain:
    """Build both databases of a domain in ``folder``; UsageError for a name that has no change.toml."""
    from sqlgen.catalog import load_catalog, open_engine
    from sqlgen.sql.renaming import renamed

    path = _SUITES / name / "change.toml"
    if not path.is_file():
        known = sorted(p.parent.name for p in _SUITES.glob("*/change.toml"))
        raise UsageError(f"no domain {name!r} to change; known: {', '.join(known)}")
    told = tomllib.loads(path.read_text("utf-8"))
    first, then = folder / f"{name}.sqlite", folder / f"{name}-after.sqlite"
    suite = _build(name, first)
    renames: dict[tuple[str, str], str] = {}
    script: list[str] = []
    for place, new in told["rename"].items():
        table, _, column = place.partition(".")
        renames[table, column] = new
        script.append(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "{new}"')
    script.append(told["change"]["script"])
    then.write_bytes(first.read_bytes())
    _change(then, script)
    engine = open_engine(f"sqlite:///{first.absolute()}")
    try:
        old = load_catalog(engine, sample_values=0)
    finally:
        engine.dispose()
    questions, carried, kinds = [], [], dict[str, str]()
    for question in suite.sample(limit):
        plain = [renamed(sql, "sqlite", old, {}, {}) for sql in question.gold]
        fresh = [renamed(sql, "sqlite", old, {}, renames) for sql in question.gold]
        if any(sql is None for sql in fresh):
            continue
        question = replace(question, db_id=name, dialects={})
        questions.append(question)
        carried.append(replace(question, gold=tuple(str(sql) for sql in fresh)))
        kinds[question.id] = "same" if fresh == plain else "old words"
    asked = (
        told["questions"] if limit is None else told["questions"][:: max(1, len(told["questions"]) // limit)]
    )
    for number, entry in enumerate(asked):
        gold = (entry["sql"],) if isinstance(entry["sql"], str) else tuple(entry["sql"])
        carried.append(GoldQuestion(f"after-{number}", entry["question"], name, gold))
        kinds[f"after-{number}"] = entry["kind"]
    before = replace(suite, name=name, questions=tuple(questions), databases={name: _place(name, first)})
    after = replace(before, questions=tuple(carried), databases={name: _place(name, then)})
    return Domain(name, before, after, kinds, len(suite.sample(limit)) - len(questions), script)


def _place(name: str, path: Path) -> SuiteDatabase:
    return SuiteDatabase(name, f"sqlite:///{path.absolute()}", path)


def _change(path: Path, script: Sequence[str]) -> None:
    with closing(sqlite3.connect(path)) as db:
        for statement in script:
            db.executescript(statement)
        db.commit()


def _build(name: str, path: Path) -> Suite:
    """The database of a domain and its questions."""
    from sqlgen.demo import DOMAINS as BUILT
    from sqlgen.demo import build_domain

    if name in BUILT:
        build_domain(name, path)
        return load_suite(name)
    from sqlgen.eval.scale import make_catalog, read_names, write_database
    from sqlgen.training.authored import read_authored

    own = read_authored(_SUITES / name / "domain.json")
    taken = {table.name.lower() for table in own.catalog.tables}
    others = make_catalog(read_names(), tables=_OTHER_TABLES, columns=_OTHER_COLUMNS)
    tables = [table for table in others.tables if table.name.lower() not in taken]
    half = len(tables) // 2
    # Half of the other tables on either side, so that no order of the catalog favours the domain's own.
    write_database(Catalog("sqlite", tuple(tables[:half])), path)
    with closing(own.connection), closing(sqlite3.connect(path)) as db:
        db.executescript("\n".join(own.connection.iterdump()))
    write_database(Catalog("sqlite", tuple(tables[half:])), path)
    questions = tuple(GoldQuestion(f"q{n}", q, name, (sql,)) for n, (q, sql) in enumerate(own.pairs, 1))
    return Suite(name, questions, {})


# --- training ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Trained:
    weights: Path
    seconds: float
    steps: int
    pairs: int
    dropped: Mapping[str, int]
    fixed: RetrievedContext


def fold_of(question: GoldQuestion, folds: int) -> int:
    """The fold of a question: statements that differ in literals alone share it."""
    from sqlgen.sql.fingerprint import Unusable, fingerprint

    try:
        key = fingerprint(question.gold[0], "sqlite")
    except Unusable:
        key = question.gold[0]
    return int(hashlib.sha256(f"fold {key}".encode()).hexdigest()[:8], 16) % folds


class _FixedView:
    """A database as ``examples_of`` reads it, but for retrieval, which always hands over one context."""

    def __init__(self, database: Any, context: RetrievedContext) -> None:
        self.dialect, self.catalog, self.check = database.dialect, database.catalog, database.check
        self._context = context

    def retrieve(self, _: str) -> RetrievedContext:
        return self._context


def _train(
    suite: Suite, learn: Sequence[GoldQuestion], out: Path, settings: Settings, recipe: Recipe, replay: Sequence[Any],
    general: Generator, tell: Progress,
) -> _Trained:  # fmt: skip
    from sqlgen.generation.embedded import shipped_path
    from sqlgen.pipeline import connect
    from sqlgen.training.adapt import adapt, changes_of
    from sqlgen.training.pairs import Pair, examples_of
    from sqlgen.training.weights import write_changed

    pairs = [Pair(q.text, q.gold[0], 1.0, q.id) for q in learn]
    dropped: Counter[str] = Counter()
    (place,) = suite.databases.values()
    with connect(place.url, settings=settings, generator=general, terms=suite.terms()) as database:
        read: Counter[str] = Counter()
        for pair in pairs:
            checked = database.check(pair.sql)
            if isinstance(checked, ValidatedQuery):
                read.update(checked.tables)
        fixed = fixed_context(
            database.catalog, general.count_tokens, first=[key for key, _ in read.most_common()]
        )
        views: list[Any] = [database, _FixedView(database, fixed)]
        found = [example for view in views for _, example in examples_of(view, pairs, dropped)]
    if not found:
        raise UsageError(f"none of the {len(pairs)} pairs of {suite.name!r} can be learned from")
    out.mkdir(parents=True)
    began = time.perf_counter()
    learned = adapt(
        shipped_path(), [(example, 1.0) for example in found], [], replay, out / "adapter.safetensors", recipe=recipe,
        progress=lambda step, total, what: tell(step, total, f"{suite.name}: {what}"),
    )  # fmt: skip
    write_changed(shipped_path(), changes_of(out / "adapter.safetensors"), out / "weights", adapter=out.name)
    seconds = time.perf_counter() - began
    return _Trained(out / "weights", seconds, learned.steps, len(pairs), dict(dropped), fixed)


# --- measuring ---------------------------------------------------------------------------------------------


def measure(domain: Domain, folder: Path, options: Options, tell: Progress) -> dict[str, Any]:
    """Both phases of a domain in all four modes: one row a question and mode, and what updates cost."""
    from sqlgen.generation.embedded import EmbeddedGenerator
    from sqlgen.pipeline import connect
    from sqlgen.training.adapt import Recipe
    from sqlgen.training.retrain import replay_examples

    settings = Settings(home=folder / "home", history=False)
    general = EmbeddedGenerator.load()
    recipe = Recipe(
        passes=options.passes, budget_minutes=options.minutes, threads=options.threads, seed=options.seed
    )
    tell(0, 1, f"{domain.name}: general examples against forgetting")
    replay = replay_examples(options.seed)
    folds = {q.id: fold_of(q, options.folds) for q in domain.before.questions}
    # The new questions are dealt out: no adapter has seen any of them.
    new = [q.id for q in domain.after.questions if q.id not in folds]
    folds |= {name: number % options.folds for number, name in enumerate(new)}
    trained = [
        _train(
            domain.before, [q for q in domain.before.questions if folds[q.id] != fold], folder / f"{domain.name}-{fold}",
            settings, replace(recipe, seed=options.seed + fold), replay, general, tell,
        )
        for fold in range(options.folds)
    ]  # fmt: skip
    adapters = [EmbeddedGenerator.load(one.weights) for one in trained]
    (place,) = domain.before.databases.values()
    with connect(place.url, settings=settings, generator=general) as database:
        plain = fixed_context(database.catalog, general.count_tokens)
    rows: list[dict[str, Any]] = []
    for phase, suite in (("before", domain.before), ("after", domain.after)):
        for mode in MODES:
            for fold in range(options.folds):
                asked = tuple(q for q in suite.questions if folds[q.id] == fold)
                if not asked:
                    continue
                tuned = mode in ("finetune-only", "hybrid")
                report = run_suite(
                    replace(suite, questions=asked), generator=adapters[fold] if tuned else general, mode=mode,
                    settings=settings, home=folder / "runs", fixed={domain.name: trained[fold].fixed if tuned else plain},
                    progress=_told(tell, f"{domain.name} {phase}: {mode}"),
                )  # fmt: skip
                rows += [
                    {
                        "domain": domain.name, "phase": phase, "mode": mode, "id": o.id, "correct": o.correct,
                        "kind": domain.kinds[o.id] if phase == "after" else "", "status": o.status, "failure": o.failure,
                        "gold_error": o.gold_error, "latency_ms": round(o.latency_ms, 1), "sql": o.sql,
                    }
                    for o in report.outcomes
                ]  # fmt: skip
    return {
        "domain": domain.name,
        "tables": len(plain.tables) + len(plain.omitted),
        "tables_in_fixed_schema": len(plain.tables),
        "left_out": domain.left_out,
        "adapters": [
            {
                "seconds": round(one.seconds, 1),
                "steps": one.steps,
                "pairs": one.pairs,
                "dropped": dict(one.dropped),
            }
            for one in trained
        ],
        "update": _update_cost(domain, folder, general)
        | {"adapter_s": round(max(one.seconds for one in trained), 1)},
        "rows": rows,
    }


def _told(tell: Progress, what: str) -> Progress:
    return lambda done, total, _: tell(done, total, what)


def _update_cost(domain: Domain, folder: Path, general: Generator) -> dict[str, float]:
    """Seconds that retrieval takes to read a database for the first time, and to see the changed schema."""
    from sqlgen.pipeline import connect

    (place,) = domain.before.databases.values()
    live = folder / f"{domain.name}-live.sqlite"
    assert place.path is not None
    live.write_bytes(place.path.read_bytes())
    settings = Settings(home=folder / "live", history=False)
    question = domain.after.questions[-1].text
    began = time.perf_counter()
    with connect(f"sqlite:///{live.absolute()}", settings=settings, generator=general) as database:
        database.retrieve(question)
        first_s = time.perf_counter() - began
        _change(live, domain.script)
        began = time.perf_counter()
        database.retrieve(question)
        update_s = time.perf_counter() - began
    return {"index_s": round(first_s, 3), "retrieval_s": round(update_s, 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the domains that have no file in ``--out`` yet, then write table and plot over all."""
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.eval.ablation_report import write_ablation
    from sqlgen.generation.embedded import shipped_path

    cli = argparse.ArgumentParser(prog="python -m sqlgen.eval.ablation", description=__doc__.split("\n\n")[0])
    cli.add_argument("--out", type=Path, required=True, metavar="DIR")
    cli.add_argument("--domains", nargs="+", default=list(DOMAINS), metavar="NAME")
    for name, default in asdict(Options()).items():
        kind = int if name == "limit" else type(default)
        cli.add_argument(f"--{name}", type=kind, default=default, metavar="N")
    args = cli.parse_args(arguments)
    options = Options(**{name: getattr(args, name) for name in asdict(Options())})
    if options.folds < 2:
        cli.error("--folds has to be 2 or more: an adapter is measured on what it did not see")
    manifest = json.loads((shipped_path() / "manifest.json").read_text("utf-8"))
    made_by = {"options": asdict(options), "model": manifest["version"]}
    found = []
    with ProgressBar() as bar:
        for name in args.domains:
            file = args.out / f"{name}.json"
            if file.is_file() and (held := json.loads(file.read_text("utf-8"))) == held | made_by:
                found.append(held)
                continue
            with tempfile.TemporaryDirectory(prefix="sqlgen-ablation-", ignore_cleanup_errors=True) as place:
                clock = time.perf_counter()
                domain = open_domain(name, Path(place), options.limit)
                result = measure(domain, Path(place), options, bar) | made_by
                result |= {"git": provenance({})["git"], "seconds": round(time.perf_counter() - clock, 1)}
                write_text(file, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
                found.append(result)
    about = provenance({}, seconds=round(sum(d["seconds"] for d in found), 1), options=asdict(options))
    print(write_ablation(args.out, found, about))
    return 0


if __name__ == "__main__":
    sys.exit(main())
