"""How costs grow: with tables, rows, context, log and callers, each beside the least that this machine could need.

python -m sqlgen.eval.growth [--parts tables rows context log callers] [--out DIR] [--tables 10 100 1000 10000] ...

Every point is measured here and so is its floor: for retrieval one dense product of a query with a vector a table;
for rows the bare engine running the same query on the same file; for context the multiply-adds of one pass of the
encoder at four times the speed of numpy's own float32 product; for a log reading its lines as JSON; for callers the
processor time that one question takes, on all cores. Prints one JSON document; with --out growth.json, growth.md and
growth.svg are written, after every part.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from sqlgen.config import Settings
from sqlgen.eval.metrics import percentile
from sqlgen.eval.report import provenance, write_text

__all__ = ["callers", "context", "exponent", "log", "main", "plot_of", "rows", "table_of", "tables"]

Point = dict[str, float]
_DIMENSIONS = 256
_QUERY = "SELECT grp, COUNT(*), SUM(amount) FROM item WHERE amount > 500 GROUP BY grp"
_ASKED = "How many item and what amount above 500 for each grp?"


def _times_ms(work: Callable[[], Any], rounds: int) -> list[float]:
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spent.append(1000 * (time.perf_counter() - began))
    return spent


def _median_ms(work: Callable[[], Any], rounds: int) -> float:
    return round(statistics.median(_times_ms(work, rounds)), 4)


def _least_ms(work: Callable[[], Any], rounds: int) -> float:
    """For floors: the quickest round, whatever else the machine did meanwhile."""
    return round(min(_times_ms(work, rounds)), 6)


def exponent(points: Sequence[Point], x: str, y: str) -> float | None:
    """The slope of log ``y`` over log ``x``: 1 grows like x, 0 not at all; None with fewer than two points.

    >>> exponent([{"n": 10, "ms": 2.0}, {"n": 1000, "ms": 20.0}], "n", "ms")
    0.5
    """
    pairs = [(math.log(p[x]), math.log(max(p[y], 1e-9))) for p in points]
    if len(pairs) < 2:
        return None
    mean_x, mean_y = (sum(p[k] for p in pairs) / len(pairs) for k in (0, 1))
    spread = sum((a - mean_x) ** 2 for a, _ in pairs)
    return round(sum((a - mean_x) * (b - mean_y) for a, b in pairs) / spread, 3) if spread else None


def tables(counts: Sequence[int], folder: Path, rounds: int = 30) -> list[Point]:
    """Build and ask an index of so many tables, fifteen columns each."""
    from sqlgen.eval.scale import make_catalog, make_questions, read_names, values_of
    from sqlgen.pipeline.model import load_embedder
    from sqlgen.retrieval import open_index

    names, embedder = read_names(), load_embedder()
    found = []
    for count in counts:
        catalog = make_catalog(names, tables=count, columns=15 * count)
        asked = [text for text, _ in make_questions(catalog, values_of(names), rounds)]
        began = time.perf_counter()
        with open_index(
            catalog, folder / f"{count}.sqlite", values=values_of(names), embedder=embedder
        ) as index:
            built_s = time.perf_counter() - began
            index.retrieve(asked[0], count_tokens=_tokens)
            queue = iter(asked)
            spent = _median_ms(lambda: index.retrieve(next(queue), count_tokens=_tokens), rounds)  # noqa: B023
        vectors = np.random.default_rng(0).standard_normal((count, _DIMENSIONS)).astype(np.float32)
        floor = _least_ms(lambda: vectors @ vectors[0], rounds)  # noqa: B023
        found.append({"tables": count, "query_ms": spent, "floor_ms": floor, "build_s": round(built_s, 3)})
    return found


def _tokens(text: str) -> int:
    return len(text) // 4 + 1


def rows(counts: Sequence[int], folder: Path, rounds: int = 5) -> list[Point]:
    """Ask a table of so many rows for an aggregate over all of it, with the query given."""
    import sqlgen
    from sqlgen.generation import ScriptedGenerator

    found = []
    for count in counts:
        path = folder / f"rows{count}.sqlite"
        with closing(sqlite3.connect(path)) as db:
            db.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")
            db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, grp TEXT, amount INTEGER)")
            db.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                "INSERT INTO item SELECT i, 'group ' || (i % 12), (i * 7919) % 1000 FROM n",
                (count,),
            )
            db.commit()
            floor = _least_ms(lambda: db.execute(_QUERY).fetchall(), rounds)
        settings = Settings(home=folder / "home", history=False, timeout_s=300)
        script = ScriptedGenerator({_ASKED: [_QUERY]})
        with sqlgen.connect(f"sqlite:///{path}", settings=settings, generator=script) as database:
            began = time.perf_counter()
            reply = database.ask(_ASKED)
            first_s = time.perf_counter() - began
            if reply.result is None or not reply.result.rows:
                raise RuntimeError(f"no rows came back: {reply.status} {reply.message}")
            spent = _median_ms(lambda: database.ask(_ASKED), rounds)
        path.unlink()
        found.append({"rows": count, "ask_ms": spent, "floor_ms": floor, "first_s": round(first_s, 3)})
    return found


def context(budgets: Sequence[int], rounds: int = 10) -> list[Point]:
    """Let the shipped model write over contexts of so many word pieces."""
    from sqlgen.eval.modes import fixed_context
    from sqlgen.eval.scale import make_catalog, read_names
    from sqlgen.generation.embedded import EmbeddedGenerator, shipped_path
    from sqlgen.types import Question

    model = EmbeddedGenerator.load()
    catalog = make_catalog(read_names(), tables=400, columns=3200)
    manifest = json.loads((shipped_path() / "manifest.json").read_text("utf-8"))
    words = len(json.loads((shipped_path() / "tokenizer.json").read_text("utf-8"))["model"]["vocab"])
    # int8: a byte is a weight, near enough; those of the words are looked up and not multiplied.
    weights = (shipped_path() / "encoder.onnx").stat().st_size - words * manifest["hidden_size"]
    square = np.ones((1024, 1024), dtype=np.float32)
    # A register holds four int8 where it holds one float32.
    per_s = 4 * 2 * 1024**3 / (_least_ms(lambda: square @ square, 20) / 1000)
    found = []
    for budget in budgets:
        held = fixed_context(catalog, model.count_tokens, token_budget=budget)
        table = held.tables[0].table
        asked = Question(f"How many {table.name.replace('_', ' ')} are there?", "sqlite")
        model.generate(asked, held)
        spent = _median_ms(lambda: model.generate(asked, held), rounds)  # noqa: B023
        floor = 1000 * 2 * weights * held.token_count / per_s
        found.append({"pieces": held.token_count, "generate_ms": spent, "floor_ms": round(floor, 3)})
    return found


def log(counts: Sequence[int], folder: Path) -> list[Point]:
    """Import logs of so many statements, no two alike in their literals."""
    from sqlgen.training.logs.ingest import import_log
    from sqlgen.training.logs.store import LogStore

    found = []
    for count in counts:
        path = folder / f"log{count}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for n in range(count):
                sql = f"SELECT grp, SUM(amount) FROM item WHERE amount > {n} AND id < {n * 3} GROUP BY grp"
                file.write(json.dumps({"sql": sql, "user": f"u{n % 9}"}) + "\n")

        def read(path: Path = path) -> int:
            with path.open(encoding="utf-8") as file:
                return sum(len(json.loads(line)) for line in file)

        floor_s = _least_ms(read, 3) / 1000
        with LogStore(folder / f"log{count}" / "logs.sqlite") as store:
            began = time.perf_counter()
            import_log(store, path, format="jsonl", dialect="sqlite")
            spent_s = time.perf_counter() - began
        found.append({"statements": count, "import_s": round(spent_s, 3), "floor_s": round(floor_s, 7)})
    return found


def callers(counts: Sequence[int], folder: Path, questions: int = 64) -> list[Point]:
    """Ask the demo shop from so many threads at once, ``questions`` in all."""
    import sqlgen
    from sqlgen.demo import build_retail, retail_goldens

    path = folder / "shop.sqlite"
    build_retail(path, scale=0.1)
    asked = [g.question for g in retail_goldens()][:questions]
    asked = (asked * (1 + questions // len(asked)))[:questions]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: list[Point] = []
    with sqlgen.connect(
        f"sqlite:///{path}", settings=Settings(home=folder / "home", history=False)
    ) as database:
        for text in asked[:4]:
            database.ask(text)

        def one(text: str) -> float:
            began = time.perf_counter()
            database.ask(text)
            return 1000 * (time.perf_counter() - began)

        began = time.process_time()
        for text in asked[:16]:
            one(text)
        each_s = (time.process_time() - began) / min(16, len(asked))
        for count in counts:
            with ThreadPoolExecutor(count) as pool:
                began = time.perf_counter()
                spent = list(pool.map(one, asked))
                took = time.perf_counter() - began
            found.append(
                {
                    "callers": count,
                    "per_s": round(len(asked) / took, 2),
                    "ceiling_per_s": round(cores / each_s, 2),
                    "p50_ms": percentile(spent, 50),
                    "p95_ms": percentile(spent, 95),
                }
            )
    return found


# Name of a part: what grows, what is measured, its floor (for callers the ceiling).
_AXES = {
    "tables": ("tables", "query_ms", "floor_ms"),
    "rows": ("rows", "ask_ms", "floor_ms"),
    "context": ("pieces", "generate_ms", "floor_ms"),
    "log": ("statements", "import_s", "floor_s"),
    "callers": ("callers", "per_s", "ceiling_per_s"),
}


def plot_of(parts: Mapping[str, Sequence[Point]]) -> str:
    """One panel a part, both axes logarithmic: what was measured, and its floor dashed."""
    wide, high, left, top = 250, 170, 58, 30
    total = max(1, len(parts)) * (wide + left + 20)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {high + top + 46}" role="img" '
        'font-family="system-ui, sans-serif" font-size="11">',
        "<title>How costs grow, and the floor of each</title>",
        f'<rect width="{total}" height="{high + top + 46}" fill="#fff"/>',
    ]
    for n, (name, points) in enumerate(parts.items()):
        x, y, floor = _AXES[name]
        start = left + n * (wide + left + 20)
        xs = [math.log10(p[x]) for p in points]
        ys = [math.log10(max(p[k], 1e-6)) for p in points for k in (y, floor)]
        low, up = math.floor(min(ys)), math.ceil(max(ys)) if max(ys) > math.floor(min(ys)) else min(ys) + 1

        def across(value: float, xs: list[float] = xs, start: int = start) -> float:
            span = max(xs) - min(xs)
            return start + (wide * (math.log10(value) - min(xs)) / span if span else wide / 2)

        def down(value: float, low: float = low, up: float = up) -> float:
            return top + high * (1 - (math.log10(max(value, 1e-6)) - low) / (up - low))

        for k in range(int(low), int(up) + 1):
            at = down(10.0**k)
            out.append(f'<path d="M{start} {at:.1f}h{wide}" stroke="#ddd"/>')
            out.append(
                f'<text x="{start - 5}" y="{at + 4:.1f}" text-anchor="end" fill="#555">{10.0**k:g}</text>'
            )
        for key, style in (
            (y, 'stroke="#2e6bb0" stroke-width="2"'),
            (floor, 'stroke="#888" stroke-dasharray="4 3"'),
        ):
            line = " ".join(f"{across(p[x]):.1f},{down(p[key]):.1f}" for p in points)
            out.append(f'<polyline points="{line}" fill="none" {style}/>')
        for p in points:
            out.append(f'<circle cx="{across(p[x]):.1f}" cy="{down(p[y]):.1f}" r="3" fill="#2e6bb0"/>')
            out.append(
                f'<text x="{across(p[x]):.1f}" y="{top + high + 16}" text-anchor="middle" fill="#555">{p[x]:g}</text>'
            )
        out.append(
            f'<text x="{start}" y="18" fill="#222">{y.replace("_", " ")} by {x}; dashed: {floor.replace("_", " ")}</text>'
        )
    return "".join(out) + "</svg>\n"


def table_of(parts: Mapping[str, Sequence[Point]]) -> str:
    """Markdown: a table a part, what was measured beside its floor, and the power of the size that both grow with.

    >>> print(table_of({"log": [{"statements": 10, "import_s": 0.2, "floor_s": 0.1}]}))
    | statements | import s | floor s | ratio |
    |---|---|---|---|
    | 10 | 0.2 | 0.1 | 2 |
    <BLANKLINE>
    """
    lines: list[str] = []
    for name, points in parts.items():
        x, y, floor = _AXES[name]
        titles = [title.replace("_", " ") for title in (x, y, floor, "ratio")]
        lines += ["| " + " | ".join(titles) + " |", "|---|---|---|---|"]
        lines += [f"| {p[x]:,} | {p[y]:.4g} | {p[floor]:.4g} | {p[y] / p[floor]:,.3g} |" for p in points]
        grows = [exponent(points, x, key) for key in (y, floor)]
        lines += [f"| grows with the power | {grows[0]} | {grows[1]} | |"] if None not in grows else []
        lines.append("")
    return "\n".join(lines)


def _document(parts: Mapping[str, Sequence[Point]]) -> dict[str, Any]:
    return {
        "parts": parts,
        "exponents": {name: exponent(points, *_AXES[name][:2]) for name, points in parts.items()},
        "floor_exponents": {
            name: exponent(points, _AXES[name][0], _AXES[name][2]) for name, points in parts.items()
        },
        "provenance": provenance({}),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts asked for and print their points."""
    cli = argparse.ArgumentParser(prog="python -m sqlgen.eval.growth", description=__doc__.split("\n\n")[0])
    cli.add_argument("--parts", nargs="+", choices=list(_AXES), default=list(_AXES))
    cli.add_argument("--out", type=Path, metavar="DIR")
    defaults: dict[str, list[int]] = {
        "tables": [10, 100, 1000, 10_000],
        "rows": [10**3, 10**4, 10**5, 10**6, 10**7],
        "context": [60, 120, 240, 440],
        "log": [100, 1000, 10_000, 100_000],
        "callers": [1, 2, 4, 8, 16, 32, 64],
    }
    for name, points in defaults.items():
        cli.add_argument(f"--{name}", type=int, nargs="+", default=points, metavar="N")
    cli.add_argument("--questions", type=int, default=64, help="asked by all callers together")
    args = cli.parse_args(arguments)
    found: dict[str, list[Point]] = {}
    with tempfile.TemporaryDirectory(prefix="sqlgen-growth-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        for name in args.parts:
            print(f"measuring {name}", file=sys.stderr)
            if name == "context":
                found[name] = context(args.context)
            elif name == "callers":
                found[name] = callers(args.callers, folder, args.questions)
            else:
                found[name] = {"tables": tables, "rows": rows, "log": log}[name](getattr(args, name), folder)
            document = _document(found)
            if args.out is not None:
                # After every part: the last ones take minutes.
                write_text(args.out / "growth.json", json.dumps(document, indent=1) + "\n")
                write_text(args.out / "growth.md", table_of(found))
                write_text(args.out / "growth.svg", plot_of(found))
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
