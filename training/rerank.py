"""Fit the reranker of tables to questions of training databases.

    python -m sqlgen.training.rerank collect --corpora data --out cases.npz
    python -m sqlgen.training.rerank measure --data cases.npz
    python -m sqlgen.training.rerank fit --data cases.npz --out sqlgen/retrieval/rerank.json

Every training question is put to one catalog of all databases of its corpus (Spider's without the development
split, as asked and with people's synonyms; BIRD's, whose tables come without rows) and, for Spider, to its own
database alone. A case is what ranking found out about each of the best tables, and which of them the gold
SQL reads. ``measure`` counts on the databases kept back from the sentence encoder and fits to the others.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sqlgen.config import Settings
from sqlgen.eval.retrieval import gold_reads, open_each, open_union, union_catalog
from sqlgen.eval.suite import GoldQuestion, Suite, load_suite
from sqlgen.pipeline.model import load_embedder
from sqlgen.retrieval import Index, open_index
from sqlgen.retrieval.ranking import DEFAULT_WEIGHTS
from sqlgen.retrieval.rerank import CANDIDATES, FEATURES, Evidence, features_of
from sqlgen.training.boosting import Floats, Ints, Recipe, boost, to_document
from sqlgen.training.corpora import HELD_OUT, bird_catalogs, kept_back
from sqlgen.trees import Trees
from sqlgen.types import Catalog

__all__ = ["RECIPE", "Cases", "collect", "fit", "measure", "read_cases", "write_cases"]

RECIPE = Recipe(trees=150, depth=4, rate=0.1, weight=20.0)
_DEPTHS = (3, 5, 10)
_WORDLESS = 4
"""Of so many questions one is asked without vectors: an index may have none."""
Asked = tuple[str, str, frozenset[str]]
"""A question, its database, and the keys of its gold tables in the catalog that it is put to."""


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Rows of all candidates, best first within a question: features [n, F], whether gold, number of the question.

    ``missing`` says of each question how many gold tables are not among its candidates, ``group`` and
    ``database`` where it is from.
    """

    rows: Floats
    right: Floats
    question: Ints
    missing: Ints
    group: list[str]
    database: list[str]


def collect(index: Index, asked: Iterable[Asked], group: str) -> Cases:
    """The cases of questions put to one index; a question without gold tables is left out."""
    rows: list[list[float]] = []
    right: list[bool] = []
    question: list[int] = []
    missing: list[int] = []
    databases: list[str] = []
    seen: list[Evidence] = []
    for text, database, gold in asked:
        if not gold:
            continue
        weights = DEFAULT_WEIGHTS
        if len(databases) % _WORDLESS == 0:
            weights = replace(weights, vector=0.0)
        seen.clear()
        index.rank(text, limit=1, weights=weights, rerank=False, study=seen.append)
        if not seen:
            continue
        found = features_of(seen[0])
        keys = [index.catalog.tables[table].key for table in seen[0].order[:CANDIDATES]]
        rows += [list(row.values()) for row in found]
        right += [key in gold for key in keys]
        question += [len(databases)] * len(found)
        missing.append(len(gold - set(keys)))
        databases.append(database)
    return Cases(
        np.array(rows, dtype=float).reshape(-1, len(FEATURES)),
        np.array(right, dtype=float),
        np.array(question, dtype=np.int64),
        np.array(missing, dtype=np.int64),
        [group] * len(databases),
        databases,
    )


def together(parts: Sequence[Cases]) -> Cases:
    """All cases, questions numbered through."""
    first = np.cumsum([0, *(len(part.missing) for part in parts)])
    return Cases(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.question + n for part, n in zip(parts, first, strict=False)]),
        np.concatenate([part.missing for part in parts]),
        [name for part in parts for name in part.group],
        [name for part in parts for name in part.database],
    )


def write_cases(path: Path, cases: Cases) -> None:
    """Keep cases in a compressed numpy file."""
    np.savez_compressed(
        path,
        rows=cases.rows.astype(np.float32),
        right=cases.right,
        question=cases.question,
        missing=cases.missing,
        group=np.array(cases.group),
        database=np.array(cases.database),
        features=np.array(FEATURES),
    )


def read_cases(path: Path) -> Cases:
    """What ``write_cases`` kept; ValueError when the features have changed since."""
    with np.load(path, allow_pickle=False) as kept:
        if kept["features"].tolist() != FEATURES:
            raise ValueError(f"{path} holds other features; collect again")
        return Cases(
            kept["rows"].astype(float),
            kept["right"],
            kept["question"],
            kept["missing"],
            kept["group"].tolist(),
            kept["database"].tolist(),
        )


def complete_recall(
    cases: Cases, scores: Floats, asked: np.ndarray[Any, np.dtype[np.bool_]]
) -> dict[int, float]:
    """Of the questions marked in ``asked`` the share with all gold tables among the best 3, 5 and 10 by ``scores``."""
    order = np.lexsort((-scores, cases.question))
    start = np.searchsorted(cases.question, np.arange(len(cases.missing)))
    place = np.arange(len(order)) - start[cases.question[order]]
    found = {}
    for depth in _DEPTHS:
        late = np.bincount(
            cases.question[order], cases.right[order] * (place >= depth), minlength=len(cases.missing)
        )
        found[depth] = round(float(np.mean((late[asked] == 0) & (cases.missing[asked] == 0))), 4)
    return found


def fit(cases: Cases, recipe: Recipe = RECIPE) -> dict[str, Any]:
    """The document of ``rerank.json``."""
    return {
        "features": FEATURES,
        "tables": to_document(_grown(cases, np.ones(len(cases.rows), bool), recipe)),
    }


def measure(cases: Cases, *, recipe: Recipe = RECIPE) -> dict[str, dict[str, Any]]:
    """Complete recall by group on the databases kept back, as ranked and as reranked by trees fitted to the others."""
    back = np.array([kept_back(name) for name in cases.database])
    scores = _grown(cases, ~back[cases.question], recipe).score(cases.rows)
    ranked = -cases.rows[:, FEATURES.index("place")]
    group = np.array(cases.group)
    return {
        name: {
            "questions": int(asked.sum()),
            "ranked": complete_recall(cases, ranked, asked),
            "reranked": complete_recall(cases, scores, asked),
        }
        for name in sorted(set(cases.group))
        if (asked := (group == name) & back).any()
    }


def _grown(cases: Cases, kept: np.ndarray[Any, np.dtype[np.bool_]], recipe: Recipe) -> Trees:
    rows = cases.rows[kept]
    return boost(rows, cases.right[kept], np.ones(len(rows)), recipe)


def _spider(corpora: Path, home: Path, count: int) -> Iterator[Cases]:
    root = corpora / "spider"
    suite = load_suite(
        "spider",
        format="spider",
        questions=root / "train_spider.json",
        tables=root / "tables.json",
        databases=root / "database",
    )
    kept = {name: place for name, place in suite.databases.items() if name not in HELD_OUT}
    suite = replace(suite, databases=kept)
    synonyms = json.loads((corpora / "spider_syn" / "train.json").read_text())
    questions = [q for q in suite.questions if q.db_id in kept]
    other = [GoldQuestion(f"syn-{n}", q["SpiderSynQuestion"], q["db_id"], (q["query"],))
             for n, q in enumerate(synonyms)]  # fmt: skip
    chance = random.Random(0)
    some = chance.sample(questions, count)
    for group, chosen, apart in (
        ("spider", some, False),
        ("spider-syn", chance.sample(other, count // 2), False),
        ("spider-alone", some[: count // 3], True),
    ):
        folder = home / ("alone" if apart else "union")
        folder.mkdir(exist_ok=True)
        yield from _of_suite(suite, chosen, group, Settings(home=folder), apart)


def _of_suite(
    suite: Suite, questions: Sequence[GoldQuestion], group: str, settings: Settings, apart: bool
) -> Iterator[Cases]:
    names = sorted({question.db_id for question in questions})
    opened = open_each(suite, names, settings) if apart else open_union(suite, names, settings)
    for name, catalog, index, prefix in opened:
        asked = ((q.text, name, _gold(q.gold[0], catalog, prefix)) for q in questions if q.db_id == name)
        yield collect(index, asked, group)


def _gold(sql: str, catalog: Catalog, prefix: str) -> frozenset[str]:
    return frozenset(prefix + key for key in gold_reads(sql, catalog, catalog.dialect)[0])


def _bird(corpora: Path, home: Path, count: int) -> Iterator[Cases]:
    root = corpora / "bird_train"
    catalogs = bird_catalogs(root)
    bad = set(json.loads((root / "train_gold_not_binding_idx.json").read_text()))
    rows = [row for n, row in enumerate(json.loads((root / "train.json").read_text())) if n not in bad]
    rows = [row for row in rows if row["db_id"] in catalogs]
    chosen = random.Random(0).sample(rows, min(count, len(rows)))
    with open_index(union_catalog(catalogs.items()), home / "bird.sqlite", embedder=load_embedder()) as index:
        asked = (
            (row["question"], row["db_id"], _gold(row["SQL"], catalogs[row["db_id"]], f"{row['db_id']}."))
            for row in chosen
        )
        yield collect(index, asked, "bird")


def main() -> None:
    """Collect cases, fit to them, or measure on databases that were not fitted to."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    steps = cli.add_subparsers(dest="step", required=True)
    step = steps.add_parser("collect", help="put training questions to the index")
    step.add_argument("--corpora", type=Path, required=True)
    step.add_argument("--out", type=Path, required=True)
    step.add_argument("--count", type=int, default=4000, help="questions of each corpus")
    for name, text in (("fit", "write the trees"), ("measure", "print what they do on other databases")):
        step = steps.add_parser(name, help=text)
        step.add_argument("--data", type=Path, required=True)
        if name == "fit":
            step.add_argument("--out", type=Path, required=True)
    args = cli.parse_args()
    if args.step == "collect":
        with tempfile.TemporaryDirectory() as home:
            parts = [
                *_spider(args.corpora, Path(home), args.count),
                *_bird(args.corpora, Path(home), args.count),
            ]
        write_cases(args.out, together([part for part in parts if len(part.missing)]))
    elif args.step == "measure":
        print(json.dumps(measure(read_cases(args.data)), indent=1))
    else:
        args.out.write_text(json.dumps(fit(read_cases(args.data)), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
