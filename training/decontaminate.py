"""Questions that are measured with are not trained on: find them in training material, leave them out.

    python -m sqlgen.training.decontaminate --data DATA [--spider DIR] [--golden FILE ...] [--write]

An example leaks when its question is one that is measured with, but for case and punctuation; when
the two share most of their telling words and the skeleton of their SQL; or when it stands over the
tables of a measured database and has the skeleton of one of its answers. Shards are only rewritten
with ``--write``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import pickle
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sqlgen.errors import UsageError
from sqlgen.sql.form import Inexpressible, form_to_sql
from sqlgen.training.corpora import HELD_OUT, Example

__all__ = [
    "Leaks", "Measured", "main", "measured_of_golden", "measured_of_repository", "measured_of_spider",
    "plain_question", "sql_skeleton", "without_leaks",
]  # fmt: skip

NEAR, SAME_TABLES = 0.8, 0.8
_SILENT = frozenset(
    "a an the of in on at to for by from with and or is are was were be been has have had do does did what which "
    "who whom whose when where how there that this these those it its their our we us you i me my please can could "
    "would tell show list find give return display get all each every any".split()
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A question that is measured with, the answers it accepts, and the tables of its database."""

    question: str
    answers: tuple[str, ...]
    tables: frozenset[str] = frozenset()


def plain_question(text: str) -> str:
    """The words of a question, without case and punctuation; definitions behind " | " do not count.

    >>> plain_question("How many  Orders, please? | order: a sale")
    'how many orders please'
    """
    return " ".join(re.findall(r"[^\W_]+", text.partition(" | ")[0].lower()))


def _telling(plain: str) -> frozenset[str]:
    words = (w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w for w in plain.split())
    return frozenset(w for w in words if w not in _SILENT)


@lru_cache(maxsize=100_000)
def sql_skeleton(sql: str) -> str:
    """SQL without its names and literals, '' where it cannot be read; two that differ only there are equal.

    >>> sql_skeleton("SELECT T1.a FROM t AS T1 WHERE T1.b = 'x'") == sql_skeleton("SELECT c FROM u WHERE d = 5")
    True
    """
    try:
        tree = sqlglot.parse_one(sql, dialect="sqlite")
    except (SqlglotError, RecursionError):
        return ""

    def bare(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and not isinstance(node.this, exp.Star):
            return exp.column("c")
        if isinstance(node, exp.Table):
            return exp.to_table("t")
        if isinstance(node, exp.Literal):
            return exp.Literal.string("v")
        return node.this if isinstance(node, exp.Alias) else node

    for join in tree.find_all(exp.Join):
        # How an equality is turned says nothing.
        join.set("on", None)
        join.set("using", None)
        join.set("kind", None)
    return tree.transform(bare).sql(dialect="sqlite")


@dataclass(slots=True)
class Leaks:
    """Looks examples up among the questions that are measured with."""

    measured: list[Measured]
    plain: dict[str, Measured] = field(default_factory=dict)
    by_word: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    telling: list[frozenset[str]] = field(default_factory=list)
    schemas: dict[frozenset[str], set[str]] = field(default_factory=lambda: defaultdict(set))

    def __post_init__(self) -> None:
        for number, one in enumerate(self.measured):
            plain = plain_question(one.question)
            self.plain.setdefault(plain, one)
            self.telling.append(_telling(plain))
            for word in self.telling[-1]:
                self.by_word[word].append(number)
            if len(one.tables) > 1:
                self.schemas[one.tables] |= {sql_skeleton(sql) for sql in one.answers}

    def kind(self, example: Example) -> str | None:
        """Why an example leaks ("question", "near question" or "schema"), None where it does not."""
        plain = plain_question(example.question)
        if plain in self.plain:
            return "question"
        words = _telling(plain)
        shared = Counter(number for word in words for number in self.by_word.get(word, ()))
        near = [n for n, count in shared.items() if count >= NEAR * len(words | self.telling[n])]
        tables = frozenset(s.table.name.lower() for s in example.context.tables)
        schemas = [t for t in self.schemas if len(tables & t) >= SAME_TABLES * len(tables | t)]
        if not near and not schemas:
            return None
        try:
            sql = form_to_sql(example.form, example.context, example.question, "sqlite")
        except Inexpressible:
            return None
        skeleton = sql_skeleton(sql)
        if any(skeleton == sql_skeleton(answer) for n in near for answer in self.measured[n].answers):
            return "near question"
        return "schema" if any(skeleton in self.schemas[t] for t in schemas) else None


def without_leaks(
    examples: Iterable[Example], leaks: Leaks, found: Counter[str] | None = None
) -> Iterator[Example]:
    """Those that do not leak; ``found`` counts the others by kind."""
    for example in examples:
        kind = leaks.kind(example)
        if kind is None:
            yield example
        elif found is not None:
            found[kind] += 1


def measured_of_golden(path: Path) -> list[Measured]:
    """The questions of a golden file, one JSON object a line; tables are those that the answers name."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    answers = [(row["sql"],) if isinstance(row["sql"], str) else tuple(row["sql"]) for row in rows]
    tables = frozenset(name for accepted in answers for sql in accepted for name in _tables(sql))
    return [Measured(row["question"], accepted, tables) for row, accepted in zip(rows, answers, strict=True)]


def _tables(sql: str) -> set[str]:
    try:
        tree = sqlglot.parse_one(sql, dialect="sqlite")
    except SqlglotError:
        return set()
    made = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    return {table.name.lower() for table in tree.find_all(exp.Table)} - made


def measured_of_repository() -> list[Measured]:
    """The golden questions, and their paraphrases, of the schemas that come with the package."""
    import sqlgen.schemas

    folder = Path(str(sqlgen.schemas.__file__)).parent
    return [one for path in sorted(folder.glob("*/golden*.jsonl")) for one in measured_of_golden(path)]


def measured_of_spider(folder: Path) -> list[Measured]:
    """Spider's development split: read to keep it out."""
    entries = json.loads((folder / "tables.json").read_text("utf-8"))
    tables = {e["db_id"]: frozenset(n.lower() for n in e["table_names_original"]) for e in entries}
    return [
        Measured(row["question"], (row["query"],), tables[row["db_id"]])
        for row in json.loads((folder / "dev.json").read_text("utf-8"))
        if row["db_id"] in HELD_OUT
    ]


def main() -> None:
    """Say what leaks in each shard; with ``--write``, take it out."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--data", type=Path, required=True, help="folder of *.pkl.gz shards")
    cli.add_argument("--spider", type=Path, help="folder with dev.json and tables.json")
    cli.add_argument(
        "--golden", type=Path, action="append", default=[], help="a golden file, may be repeated"
    )
    cli.add_argument("--write", action="store_true", help="rewrite the shards without what leaks")
    args = cli.parse_args()
    measured = [*measured_of_repository(), *(m for path in args.golden for m in measured_of_golden(path))]
    if args.spider:
        measured += measured_of_spider(args.spider)
    leaks = Leaks(measured)
    paths = sorted(args.data.glob("*.pkl.gz"))
    if not paths:
        raise UsageError(f"no shards in {args.data}")
    for path in paths:
        found: Counter[str] = Counter()
        with gzip.open(path, "rb") as source:
            rows = pickle.load(source)
        kept = list(without_leaks(rows, leaks, found))
        print(path.name, len(rows), "examples", dict(found) or "none leaks", flush=True)
        if args.write and len(kept) < len(rows):
            with gzip.open(path, "wb", compresslevel=3) as out:
                pickle.dump(kept, out)


if __name__ == "__main__":
    main()
