"""How retrieval bears a large catalog: 10,000 tables and 150,000 columns unless told otherwise.

python -m sqlgen.eval.scale [--tables N] [--columns N] [--names FILE ...] [--store PLACE] [--questions N]
python -m sqlgen.eval.scale --url URL [--store PLACE] [--questions N]

Names are drawn from the words that public schemas use (the vocabulary that ships), or from ``--names``: Spider's
``tables.json``, or lines ``{"table", "ddl"}``, gzipped or not; ``--url`` takes the tables and values of a database
of your own instead. Prints one JSON document: seconds (on the clock, of processors) and peak memory of the build,
size of the index, milliseconds of a query (median and 95th percentile), seconds until a changed table is found,
of the index alone (``visible_s``) and, with ``--database``, of a SQLite database with all these tables behind
``sqlgen.connect`` (``database_visible_s``).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.types import Catalog, Column, ColumnKind, ForeignKey, Table

if TYPE_CHECKING:
    from sqlgen.retrieval import SharedStore

__all__ = ["Names", "main", "make_catalog", "make_questions", "read_names", "values_of", "write_database"]

_KINDS: tuple[tuple[ColumnKind, str], ...] = (("text", "TEXT"), ("number", "INTEGER"), ("date", "DATE"))
_KIND_ENDINGS: dict[str, ColumnKind] = {
    **dict.fromkeys(
        ("id", "number", "count", "amount", "total", "price", "year", "quantity", "rate"), "number"
    ),
    **dict.fromkeys(("date", "time", "day", "at", "on", "timestamp"), "date"),
}
_DDL_COLUMN = re.compile(r'^\s*"?(\w+)"?\s+(NUMBER|FLOAT|VARCHAR|DATE|TIMESTAMP\w*|BOOLEAN|VARIANT)', re.M)
_VALUES_PER_COLUMN = 12
_WIDEST = 1000


@dataclass(frozen=True, slots=True)
class Names:
    """What names are drawn from: whole tables (name, columns), and words to tell copies apart and fill cells."""

    tables: tuple[tuple[str, tuple[str, ...]], ...]
    words: tuple[str, ...]


def _vocabulary() -> tuple[str, ...]:
    raw = gzip.decompress((files("sqlgen.catalog") / "words.txt.gz").read_bytes()).decode("ascii")
    counted = [line.split("\t") for line in raw.splitlines() if "\t" in line]
    return tuple(word for word, count in counted if int(count) >= 3 and len(word) > 2)


def read_names(paths: Sequence[Path] = (), *, seed: int = 0) -> Names:
    """The names of the files; without any, tables put together from the words that public schemas use."""
    words = _vocabulary()
    tables: list[tuple[str, tuple[str, ...]]] = []
    for path in paths:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
        tables += _spider_tables(json.loads(text)) if text.lstrip().startswith("[") else _ddl_tables(text)
    if not tables:
        rng = random.Random(seed)
        ends = ("id", "name", "code", "date", "status", "type", "count", "amount", "year", "description")
        for _ in range(4000):
            name = "_".join(rng.sample(words, rng.choice((1, 2, 2, 3))))
            columns = [f"{rng.choice(words)}_{rng.choice(ends)}" for _ in range(rng.randint(4, 26))]
            tables.append((name, tuple(dict.fromkeys(["id", *columns]))))
    usable = (table for table in tables if not table[0].lower().startswith("sqlite_"))
    return Names(tuple(dict.fromkeys(usable)), words)


def _spider_tables(schemas: Sequence[dict[str, Any]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for schema in schemas:
        for number, table in enumerate(schema["table_names_original"]):
            yield table, tuple(name for owner, name in schema["column_names_original"] if owner == number)


def _ddl_tables(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in text.splitlines():
        raw = json.loads(line)
        columns = tuple(dict.fromkeys(name.lower() for name, _ in _DDL_COLUMN.findall(raw["ddl"])))
        if columns:
            yield raw["table"], columns


def make_catalog(names: Names, *, tables: int = 10_000, columns: int = 150_000, seed: int = 0) -> Catalog:
    """A catalog of exactly so many tables and columns, most tables joined to one or two earlier ones."""
    rng = random.Random(seed)
    made: list[Table] = []
    taken: set[str] = set()
    left = columns
    for i in range(tables):
        base, own = rng.choice(names.tables)
        name = base
        while name.lower() in taken:
            name = f"{base}_{rng.choice(names.words)}"
            base = name if name.lower() in taken and len(name) < 50 else base
        taken.add(name.lower())
        wanted = max(2, left // (tables - i))
        most = (
            left
            if i == tables - 1
            else max(2, min(_WIDEST, rng.randint(wanted // 3, 2 * wanted - wanted // 3)))
        )
        cut = list(dict.fromkeys(c.lower() for c in own))[:most]
        keys = []
        for target in rng.sample(made, min(len(made), rng.choice((0, 1, 1, 2)))):
            column = f"{target.name.lower()}_id"
            if column not in cut:
                cut.append(column)
                keys.append(ForeignKey((column,), target.key, (target.columns[0].name,)))
        # What the drawn table lacks comes from the words, so that the total is met.
        while len(cut) < min(wanted, _WIDEST) and (i > 0.9 * tables or rng.random() < 0.9):
            extra = f"{rng.choice(names.words)}_{rng.choice(names.words)}"
            if extra not in cut:
                cut.append(extra)
        left -= len(cut)
        made.append(
            Table(name, tuple(_column(c, n == 0) for n, c in enumerate(cut)), foreign_keys=tuple(keys))
        )
    return Catalog("sqlite", tuple(made), f"made-{tables}-{columns}-{seed}")


def _column(name: str, first: bool) -> Column:
    kind = _KIND_ENDINGS.get(name.rpartition("_")[2], "number" if first else "text")
    return Column(name, dict(_KINDS)[kind], kind, primary_key=first)


def values_of(names: Names) -> Callable[[Table, Column, int], list[str]]:
    """A source of values: a few short texts for each column, the same at every call."""

    def values(table: Table, column: Column, limit: int) -> list[str]:
        rng = random.Random(f"{table.key}.{column.name}")
        count = min(limit, _VALUES_PER_COLUMN)
        return [" ".join(rng.sample(names.words, rng.choice((1, 1, 2)))).title() for _ in range(count)]

    return values


def make_questions(
    catalog: Catalog, values: Callable[[Table, Column, int], list[str]], count: int, *, seed: int = 1
) -> list[tuple[str, str]]:
    """Questions, each with the key of the table that it is about."""
    from sqlgen.catalog import natural_name

    rng = random.Random(seed)
    asked = []
    for _ in range(count):
        table = rng.choice(catalog.tables)
        first, second = (natural_name(rng.choice(table.columns).name) for _ in range(2))
        texts = [c for c in table.columns if c.kind == "text"]
        name = natural_name(table.name)
        column = rng.choice(texts) if texts and rng.random() < 0.5 else None
        found = values(table, column, _VALUES_PER_COLUMN) if column is not None else ()
        if column is not None and found:
            value = rng.choice(found)
            text = f"How many {name} have the {natural_name(column.name)} {value}, and what is their {first}?"
        else:
            text = f"Show the {first} and the average {second} of each of the {name} of last year"
        asked.append((text, table.key))
    return asked


def write_database(catalog: Catalog, path: Path) -> None:
    """A SQLite database with these tables, one row each."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for table in catalog.tables:
            columns = ", ".join(
                f'"{c.name}" {c.type}{" PRIMARY KEY" if c.primary_key else ""}' for c in table.columns
            )
            connection.execute(f'CREATE TABLE "{table.name}" ({columns})')
            cells = (
                "1" if c.kind == "number" else "2024-05-01" if c.kind == "date" else "red"
                for c in table.columns
            )
            marks = ", ".join("?" * len(table.columns))
            connection.execute(f'INSERT INTO "{table.name}" VALUES ({marks})', tuple(cells))
        connection.commit()


def _peak_mib() -> float:
    import resource

    scale = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def _changed(catalog: Catalog, fingerprint: str) -> Catalog:
    table = catalog.tables[len(catalog.tables) // 2]
    columns = (*table.columns, Column("zyzzyva_weight", "INTEGER", "number"))
    tables = tuple(replace(table, columns=columns) if t is table else t for t in catalog.tables)
    return replace(catalog, tables=tables, fingerprint=fingerprint)


def measure(
    catalog: Catalog,
    values: Callable[[Table, Column, int], list[str]],
    questions: Sequence[tuple[str, str]],
    place: Path | SharedStore,
    progress: Callable[[int, int, str], None] | None,
) -> dict[str, Any]:
    """Build, ask and change an index at ``place``."""
    from sqlgen.eval.metrics import percentile
    from sqlgen.pipeline.model import load_embedder
    from sqlgen.retrieval import open_index

    embedder = load_embedder()

    def count_tokens(text: str) -> int:
        return len(text) // 4 + 1

    before = _peak_mib()
    began, began_cpu = time.perf_counter(), time.process_time()
    with open_index(catalog, place, values=values, embedder=embedder, progress=progress) as index:
        built_s, built_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
        status = index.status()
        peak = _peak_mib()
        began = time.perf_counter()
        index.retrieve(questions[0][0], count_tokens=count_tokens)
        first_ms = 1000 * (time.perf_counter() - began)
        spent, cpu, found = [], [], 0
        for text, gold in questions:
            began, began_cpu = time.perf_counter(), time.process_time()
            context = index.retrieve(text, count_tokens=count_tokens)
            spent.append(1000 * (time.perf_counter() - began))
            cpu.append(1000 * (time.process_time() - began_cpu))
            found += any(piece.table.key == gold for piece in context.tables)
    changed = _changed(catalog, "changed")
    began, began_cpu = time.perf_counter(), time.process_time()
    with open_index(changed, place, values=values, embedder=embedder) as index:
        best = index.retrieve("zyzzyva weight", count_tokens=count_tokens).tables[0].table.key
        visible_s = time.perf_counter() - began
    visible_cpu_s = time.process_time() - began_cpu
    if best != changed.tables[len(changed.tables) // 2].key:
        raise RuntimeError(f"the changed table was not found, but {best}")
    return {
        "tables": status["tables"],
        "columns": status["columns"],
        "values": status["values"],
        "build_s": round(built_s, 2),
        "build_cpu_s": round(built_cpu_s, 2),
        "memory_before_mib": round(before),
        "memory_peak_mib": round(peak),
        "index_mib": round(int(str(status["bytes"])) / 2**20, 1),
        "first_query_ms": round(first_ms, 1),
        "query_ms": {"p50": round(percentile(spent, 50), 2), "p95": round(percentile(spent, 95), 2)},
        "query_cpu_ms": {"p50": round(percentile(cpu, 50), 2), "p95": round(percentile(cpu, 95), 2)},
        "found_in_ten": round(found / len(questions), 3),
        "visible_s": round(visible_s, 3),
        "visible_cpu_s": round(visible_cpu_s, 3),
    }


def measure_database(catalog: Catalog, folder: Path) -> dict[str, Any]:
    """The same change made by ALTER TABLE in a SQLite database, seen through ``sqlgen.connect``."""
    import sqlgen
    from sqlgen.config import Settings

    path = folder / "wide.sqlite"
    write_database(catalog, path)
    with sqlgen.connect(f"sqlite:///{path}", settings=Settings(home=folder / "home")) as database:
        began = time.perf_counter()
        database.retrieve(catalog.tables[0].name)
        read_s = time.perf_counter() - began
        table = catalog.tables[len(catalog.tables) // 2].name
        with closing(sqlite3.connect(path)) as writer:
            writer.execute(f'ALTER TABLE "{table}" ADD COLUMN zyzzyva_weight INTEGER')
            writer.commit()
        began = time.perf_counter()
        best = database.retrieve("zyzzyva weight").tables[0].table.name
        visible_s = time.perf_counter() - began
        if best != table:
            raise RuntimeError(f"the changed table was not found, but {best}")
        spent = []
        for _ in range(5):
            began = time.perf_counter()
            database.retrieve("zyzzyva weight")
            spent.append(1000 * (time.perf_counter() - began))
    return {
        "database_read_s": round(read_s, 2),
        "database_visible_s": round(visible_s, 3),
        "database_query_ms": round(sorted(spent)[2], 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement and print it."""
    parser = argparse.ArgumentParser(prog="python -m sqlgen.eval.scale", description=__doc__.split("\n\n")[0])
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=150_000)
    parser.add_argument("--names", type=Path, nargs="*", default=[])
    parser.add_argument("--store", help="a PostgreSQL URL; default: a SQLite file in a temporary folder")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument(
        "--database", action="store_true", help="measure a SQLite database of this size as well"
    )
    parser.add_argument("--url", help="a database whose own tables are measured instead of made ones")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.url and options.database:
        parser.error("--database writes made tables; leave it out with --url")
    values: Callable[[Table, Column, int], list[str]]
    if options.url:
        from sqlgen.catalog import distinct_values, load_catalog, open_engine

        engine = open_engine(options.url)
        catalog, values = load_catalog(engine), partial(distinct_values, engine)
    else:
        names = read_names(options.names, seed=options.seed)
        catalog = make_catalog(names, tables=options.tables, columns=options.columns, seed=options.seed)
        values = values_of(names)
    questions = make_questions(catalog, values, options.questions)
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.retrieval import SharedStore

    with tempfile.TemporaryDirectory(prefix="sqlgen-scale-") as folder, ProgressBar() as bar:
        file = Path(folder) / "index.sqlite"
        place = SharedStore(options.store, "scale") if options.store else file
        report = measure(catalog, values, questions, place, bar)
        if options.database:
            report |= measure_database(catalog, Path(folder))
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
