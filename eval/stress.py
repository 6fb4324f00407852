"""Many readers beside one writer, and a writer that is killed: is every answer that of one whole index?

python -m sqlgen.eval.stress [--store URL] [--seconds 60] [--readers 200] [--processes 4] [--kills 20]

Version v of a catalog differs from version v - 1 in one table, whose column names say which version it is. A
writer refreshes the index from version to version; readers in several processes ask for that table, in the index
that they hold and in newer ones that they take up, and compare what they get with the version that the index claims.
Then builds and refreshes are killed (SIGKILL) at random points; what is left must be the old index or the new
one, whole. Prints one JSON document; the exit code is 1 when anything was torn, missing or failed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlgen.errors import SqlgenError
from sqlgen.retrieval import Index, SharedStore, open_index, read_status
from sqlgen.types import Catalog, Column, Table

__all__ = ["main"]

Place = Path | SharedStore
_TABLES = 60
_MARKED = 30
_WORDS = (
    "amber birch cedar daisy ember flint grove hazel iris jade kelp lotus maple nectar olive poppy".split()
)


def _catalog_of(version: int) -> Catalog:
    """Sixty tables; the columns of the one in the middle, and its cells, say which version it is."""
    tables = [
        Table(
            f"{_WORDS[n % 16]}_{n}",
            tuple(Column(f"{w}_{n}", "TEXT", "text", values=(w,)) for w in _WORDS[:6]),
        )
        for n in range(_TABLES)
    ]
    marks = tuple(
        Column(f"mark{version}x{n}", "TEXT", "text", values=(f"Cell {version}",))
        for n in range(1 + version % 3)
    )
    tables[_MARKED] = replace(tables[_MARKED], name="marker", columns=(tables[_MARKED].columns[0], *marks))
    return Catalog("sqlite", tuple(tables), str(version))


def _count_tokens(text: str) -> int:
    return len(text) // 4 + 1


def fault_of(index: Index, version: int) -> str:
    """What is wrong with an answer of this index, in words; '' when nothing is."""
    context = index.retrieve(
        f"marker mark{version}x0 of cell {version} amber", token_budget=200, count_tokens=_count_tokens
    )
    marker = next((piece.table for piece in context.tables if piece.table.name == "marker"), None)
    if marker is None:
        return f"version {version}: no table found"
    if f"mark{version}x0" not in {column.name for column in marker.columns}:
        return f"version {version}: the table has {[c.name for c in marker.columns]}"
    if f"Cell {version}" not in {match.value for match in context.values}:
        return f"version {version}: no cell found"
    if len(index.rank("amber", limit=_TABLES)) != _TABLES:
        return f"version {version}: tables are missing"
    return ""


def _open(place: Place) -> tuple[Index, int] | None:
    """The index as it is now, whatever its version; None when a newer one came in between."""
    status = read_status(place)
    if status is None:
        return None
    version = int(str(status["fingerprint"]))
    if isinstance(place, SharedStore):
        from sqlgen.retrieval.postgres_store import open_shared

        store: Any = open_shared(place.url, place.name)
    else:
        from sqlgen.retrieval.sqlite_store import open_file

        store = open_file(place)
    if store is None or store.meta.fingerprint != str(version):
        if store is not None:
            store.close()
        return None
    return Index(_catalog_of(version), store, None, reopen=lambda: store), version


def _read(place: Place, threads: int, seconds: float, ready: Any, results: Any) -> None:
    """A process of readers: threads that ask, while the index is taken up anew again and again."""
    ready.wait()
    until = time.time() + seconds
    lock = threading.Lock()
    faults: list[str] = []
    counts = {"questions": 0, "versions": 0}
    held: list[tuple[Index, int]] = []

    def ask() -> None:
        while time.time() < until:
            with lock:
                index, version = held[-1]
            try:
                fault = fault_of(index, version)
            except Exception as error:  # noqa: BLE001  any failure of a reader is what is looked for
                fault = f"{type(error).__name__}: {error}"
            with lock:
                counts["questions"] += 1
                if fault and len(faults) < 20:
                    faults.append(fault)

    while not held:
        found = _open(place)
        if found is not None:
            held.append(found)
    workers = [threading.Thread(target=ask) for _ in range(threads)]
    for worker in workers:
        worker.start()
    while time.time() < until:
        time.sleep(0.2)
        found = _open(place)
        if found is None:
            continue
        if found[1] == held[-1][1]:
            found[0].close()
            continue
        with lock:
            held.append(found)
            counts["versions"] += 1
    for worker in workers:
        worker.join()
    for index, _ in held:
        index.close()
    results.put((counts, faults))


def _write(place: Place, first: int, seconds: float, pause_s: float, ready: Any, done: Any) -> None:
    if ready is not None:
        ready.wait()
    until = time.time() + seconds
    version = first
    while time.time() < until:
        version += 1
        # Every seventh time as a whole.
        open_index(_catalog_of(version), place, rebuild=version % 7 == 0).close()
        if done is not None:
            done.value = version
        time.sleep(pause_s)


def readers_and_writer(place: Place, *, seconds: float, readers: int, processes: int) -> dict[str, Any]:
    """Run ``readers`` threads in ``processes`` processes beside one writer."""
    fork = multiprocessing.get_context("spawn")
    open_index(_catalog_of(0), place).close()
    results = fork.Queue()
    written = fork.Value("i", 0)
    share = [readers // processes + (n < readers % processes) for n in range(processes)]
    # Processes take a while to begin on a busy machine; the seconds count from when all of them have.
    ready = fork.Barrier(sum(threads > 0 for threads in share) + 1, timeout=120)
    workers = [
        fork.Process(target=_read, args=(place, threads, seconds, ready, results))
        for threads in share
        if threads
    ]
    writer = fork.Process(target=_write, args=(place, 0, seconds, 0.3, ready, written))
    for process in (*workers, writer):
        process.start()
    totals = {"questions": 0, "versions": 0}
    faults: list[str] = []
    for _ in workers:
        counts, own = results.get(timeout=seconds + 300)
        faults += own
        totals = {key: totals[key] + counts[key] for key in totals}
    for process in (*workers, writer):
        process.join()
    if writer.exitcode:
        faults.append(f"the writer ended with {writer.exitcode}")
    return {
        "readers": readers,
        "seconds": seconds,
        "questions": totals["questions"],
        "versions_written": written.value,
        "versions_taken_up": totals["versions"],
        "faults": faults,
    }


def kills(place: Place, *, count: int, seed: int = 0) -> dict[str, Any]:
    """Kill a writer at ``count`` random points and look at what is left each time."""
    fork = multiprocessing.get_context("spawn")
    rng = random.Random(seed)
    open_index(_catalog_of(0), place).close()
    faults: list[str] = []
    version, seen = 0, []
    for _ in range(count):
        done = fork.Value("i", version)
        writer = fork.Process(target=_write, args=(place, version, 60.0, 0.0, None, done))
        writer.start()
        while done.value == version and writer.is_alive():
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, 0.25))
        os.kill(writer.pid or 0, 9)
        writer.join()
        finished = done.value
        try:
            found = _open(place)
        except SqlgenError as error:
            faults.append(f"after version {finished}: {error}")
            continue
        if found is None:
            faults.append(f"after version {finished}: no index")
            continue
        index, version = found
        # What was finished is there, or the one that was in the works.
        if version not in (finished, finished + 1):
            faults.append(f"after version {finished}: the index has version {version}")
        fault = fault_of(index, version)
        index.close()
        if fault:
            faults.append(fault)
        seen.append(version - finished)
    return {"kills": count, "new_was_complete": sum(seen), "faults": faults}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both and print what came of them."""
    parser = argparse.ArgumentParser(
        prog="python -m sqlgen.eval.stress", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--store", help="a PostgreSQL URL; default: a SQLite file in a temporary folder")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sqlgen-stress-") as folder:
        place: Place = Path(folder) / "index.sqlite"
        if options.store:
            place = SharedStore(options.store, "stress")
        report = {
            "concurrency": readers_and_writer(
                place, seconds=options.seconds, readers=options.readers, processes=options.processes
            ),
            "kills": kills(place, count=options.kills),
        }
    print(json.dumps(report, indent=1))
    return 1 if report["concurrency"]["faults"] or report["kills"]["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
