"""How fast a server's log is read: a PostgreSQL log of any size is made and imported.

    python -m sqlgen.training.reading [--megabytes 1024]

The entries are those of a shop's server: queries of many shapes with other literals each time, prepared statements with
their parameters, connections, errors, checkpoints. Prints one JSON document: megabytes per second of the whole import,
of reading alone and of fingerprinting alone (over the first 50 MB), and the most memory held.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlgen.training.logs.formats import open_reader
from sqlgen.training.logs.ingest import BLOCK, import_log
from sqlgen.training.logs.redact import skeletons
from sqlgen.training.logs.store import LogStore

__all__ = ["entries", "main", "measure"]

_TABLES = ("orders", "customers", "products", "payments", "shipments", "stores", "returns", "reviews")
_COLUMNS = ("status", "city", "channel", "total", "created_at", "quantity", "rating", "segment", "price")
_PART = 50_000_000
_SHAPES = 1000


def entries(seed: int = 1) -> Iterator[str]:
    """Endless entries of a server's log (``log_line_prefix = '%m [%p] %u@%d '``).

    >>> first = next(entries())
    >>> first.endswith("\\n"), "@shop LOG:  " in first
    (True, True)
    """
    rng = random.Random(seed)
    templates = [_template(rng).split("?") for _ in range(_SHAPES)]
    second = 0
    while True:
        second += rng.random() < 0.2
        day, rest = divmod(second, 86_400)
        at = f"2026-{1 + day // 28 % 12:02d}-{1 + day % 28:02d} {rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
        head = (
            f"{at}.{rng.randrange(1000):03d} UTC [{4000 + rng.randrange(60)}] user{rng.randrange(25)}@shop "
        )
        kind = rng.random()
        if kind < 0.04:
            yield f"{head}LOG:  connection authorized: user=user1 database=shop\n"
        elif kind < 0.06:
            yield f'{head}ERROR:  relation "orderz" does not exist at character 15\n{head}STATEMENT:  SELECT * FROM orderz\n'
        elif kind < 0.2:
            table, column = rng.choice(_TABLES), rng.choice(_COLUMNS)
            yield (
                f"{head}LOG:  execute <unnamed>: SELECT {column} FROM {table} WHERE id = $1\n"
                f"{head}DETAIL:  parameters: $1 = '{rng.randrange(10**7)}'\n"
            )
        else:
            first, *others = rng.choice(templates)
            said = first + "".join(f"{rng.randrange(10**6)}{part}" for part in others)
            yield f"{head}LOG:  duration: {rng.random() * 40:.3f} ms  statement: {said}\n"


def _template(rng: random.Random) -> str:
    """A statement with ``?`` for its literals."""
    one, other = rng.sample(_TABLES, 2)
    columns = rng.sample(_COLUMNS, 3)
    where = " AND ".join(
        rng.choice((f"{column} = '?'", f"{column} > ?", f"{column} IN (?, ?)"))
        for column in columns[: rng.randrange(1, 4)]
    )
    if rng.random() < 0.2:
        return f"UPDATE {one} SET {columns[0]} = '?' WHERE {where}"
    if rng.random() < 0.5:
        return f"SELECT {', '.join(columns)} FROM {one} WHERE {where} ORDER BY {columns[0]} LIMIT ?"
    return (
        f"SELECT a.{columns[0]}, COUNT(*) FROM {one} AS a\n\tJOIN {other} AS b ON b.{one}_id = a.id\n"
        f"\tWHERE {where} GROUP BY a.{columns[0]}"
    )


def measure(size: int, folder: Path) -> dict[str, Any]:
    """Make a log of ``size`` bytes in ``folder``, import it, and read and fingerprint its first part alone."""
    path = folder / "postgresql.log"
    made, source = 0, entries()
    with path.open("w", encoding="utf-8") as file:
        while made < size:
            made += file.write(next(source))
    wall, cpu = time.monotonic(), time.process_time()
    with LogStore(folder / "logs.sqlite") as store:
        done = import_log(store, path, format="postgres-stderr", dialect="postgres")
        statements = store.status()["statements"]
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with path.open("rb") as log:
        part = log.read(min(_PART, size))
    began = time.process_time()
    reader, found, at = open_reader("postgres-stderr", {}, array=False), [], 0
    while at < len(part):
        block = part[at : at + BLOCK]
        used, events = reader.read(block, at + BLOCK >= len(part))
        found += [event.sql for event in events.events]
        at += used
    reading = time.process_time() - began
    began = time.process_time()
    skeletons(found, "postgres")
    printing = time.process_time() - began
    return {
        "megabytes": round(made / 1e6), "entries": done.entries, "malformed": done.bad, "runs": done.kept,
        "statements": statements, "seconds": round(wall, 1), "mb_per_s": round(made / 1e6 / wall, 1),
        "mb_per_cpu_s": round(made / 1e6 / cpu, 1), "reading_mb_per_cpu_s": round(len(part) / 1e6 / reading, 1),
        "fingerprinting_mb_per_cpu_s": round(sum(map(len, found)) / 1e6 / printing, 1), "peak_mb": round(peak),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure once and print."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--megabytes", type=int, default=1024, help="of the log")
    args = cli.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sqlgen-log-") as folder:
        print(json.dumps(measure(args.megabytes * 10**6, Path(folder))))


if __name__ == "__main__":
    main()
