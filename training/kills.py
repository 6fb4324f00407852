"""``kill -9`` at random points of the real commands: import, train, promote and roll back.

    python -m sqlgen.training.kills --log docs/retail_log.jsonl [--kills 20] [--parts import train promote rollback]

Works on a small demo shop in a folder of its own. One process stays connected all the while and asks a question after
each kill: its answer must be that of the model in force before or of the one that the command brings into force. Then
the command is repeated, training every fifth time only, as each further run goes on from where the last was killed.
Prints one JSON document for each command; the exit code is 1 when anything was torn or could not be repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlgen
from sqlgen import demo
from sqlgen.config import Settings
from sqlgen.errors import SqlgenError
from sqlgen.pipeline import Database
from sqlgen.registry import ADAPTER_FILE
from sqlgen.training.adapt import changes_of
from sqlgen.training.logs.pairs import log_path
from sqlgen.training.logs.store import LogStore

__all__ = ["main"]

_QUESTION = "How many customers are there?"
_REPEATS = 50
_EVERY = 5


@dataclass
class _Place:
    """The shop, its settings, and what each model in force answered when nobody was killed."""

    url: str
    home: Path
    database: Database
    log: Path
    answers: dict[str | None, str] = field(default_factory=dict)

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sqlgen", *argv],
            env={**os.environ, "SQLGEN_HOME": str(self.home), "SQLGEN_DB": self.url},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def in_force(self) -> str | None:
        current = self.database.adapters.current()
        return current.id if current else None

    def faults(self) -> list[str]:
        """What is wrong with the models and with an answer as they are now."""
        found = []
        try:
            for entry in self.database.adapters.entries():
                changes_of(entry.folder / ADAPTER_FILE)
            current = self.in_force()
            answer = self.database.ask(_QUESTION)
        except SqlgenError as error:
            return [f"{type(error).__name__}: {error}"]
        if (answer.model.adapter or None) != current:
            found.append(f"{current} is in force, {answer.model.adapter} answers")
        if answer.sql != self.answers.setdefault(current, answer.sql):
            found.append(f"{current} answers {answer.sql}")
        return found


@dataclass
class _Part:
    """A command, what comes before each run, the model that it may bring into force, what is wrong once it is through.

    ``once``: it isn't repeated where it had its effect before it was killed, as the next run has another.
    """

    argv: Callable[[], Sequence[str]]
    reset: Callable[[], None]
    aim: Callable[[], str | None]
    wrong: Callable[[], str]
    every: int = 1
    once: bool = False


def _run(place: _Place, argv: Sequence[str]) -> str:
    """A command to its end; its last line of complaint, "" when it had none."""
    process = place.start(*argv)
    _, said = process.communicate()
    return f"{process.returncode}: {said.decode()[-300:].strip()}" if process.returncode else ""


def _killed(place: _Place, part: _Part, kills: int, rng: random.Random) -> dict[str, Any]:
    part.reset()
    began = time.monotonic()
    faults = [text for text in (_run(place, part.argv()), part.wrong()) if text]
    whole = time.monotonic() - began
    points: list[float] = []
    missed = new = 0
    while len(points) < kills and missed < 2 * kills:
        part.reset()
        before, argv = place.in_force(), part.argv()
        process = place.start(*argv)
        point = rng.uniform(0.0, whole)
        try:
            process.wait(point)
        except subprocess.TimeoutExpired:
            process.kill()
            points.append(round(point / whole, 2))
        else:
            missed += 1
        process.communicate()
        faults += place.faults()
        after = place.in_force()
        new += after != before
        if after not in (before, part.aim()):
            faults.append(f"{before} was in force, {after} is")
        if len(points) % part.every == 0 and not (part.once and after == part.aim()):
            faults += [text for text in (_run(place, argv), part.wrong(), *place.faults()) if text]
    return {
        "kills": len(points), "too_late": missed, "new_in_force": new, "whole_s": round(whole, 1),
        "points": sorted(points), "faults": faults,
    }  # fmt: skip


def _parts(place: _Place, budget_minutes: float) -> dict[str, _Part]:
    registry = place.database.adapters
    entries = place.log.read_text("utf-8").count("\n")
    seeds = iter(range(1, 1000))
    seed = [0]

    def forget() -> None:
        for left in log_path(place.database).parent.glob("logs.sqlite*"):
            left.unlink()

    def uncounted() -> str:
        with LogStore(log_path(place.database)) as store:
            runs = store.status()["runs"]
        return "" if runs == entries else f"{runs} of {entries} entries are counted"

    def begin() -> None:
        """Another seed once a training is through, so that there is something to train."""
        if not any((registry.folder / "runs").glob("*.pt")):
            seed[0] = next(seeds)

    def train() -> Sequence[str]:
        return ["train", "--budget-minutes", str(budget_minutes), "--threads", "1", "--seed", str(seed[0])]

    def newest() -> str | None:
        kept = registry.entries()
        return kept[-1].id if kept else None

    def unpromote() -> None:
        while place.in_force() is not None:
            registry.rollback()

    def promote() -> None:
        unpromote()
        registry.promote(str(newest()), registry.entries()[-1].base)

    def not_in_force(aim: Callable[[], str | None]) -> Callable[[], str]:
        return lambda: "" if place.in_force() == aim() else f"{place.in_force()} is in force"

    return {
        "import": _Part(lambda: ["logs", "import", str(place.log)], forget, place.in_force, uncounted),
        "train": _Part(train, begin, newest, lambda: "" if newest() else "no adapter was kept", _EVERY),
        "promote": _Part(
            lambda: ["models", "promote", str(newest())], unpromote, newest, not_in_force(newest)
        ),
        "rollback": _Part(
            lambda: ["models", "rollback"], promote, lambda: None, not_in_force(lambda: None), once=True
        ),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill each command some times and print what came of it."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument(
        "--log", type=Path, required=True, help="of questions with SQL about the demo shop, JSONL"
    )
    cli.add_argument("--kills", type=int, default=20)
    names = ("import", "train", "promote", "rollback")
    cli.add_argument("--parts", nargs="+", choices=names, default=names)
    cli.add_argument("--budget-minutes", type=float, default=0.1)
    cli.add_argument("--seed", type=int, default=1)
    args = cli.parse_args(arguments)
    torn = False
    with tempfile.TemporaryDirectory(prefix="sqlgen-kills-") as name:
        folder = Path(name)
        demo.build_retail(folder / "shop.sqlite", scale=0.01)
        url, home = f"sqlite:///{folder / 'shop.sqlite'}", folder / "home"
        log = folder / "log.jsonl"
        log.write_text(args.log.read_text("utf-8") * _REPEATS, "utf-8")
        with sqlgen.connect(url, settings=Settings(db=url, home=home)) as database:
            place = _Place(url, home, database, log)
            parts = _parts(place, args.budget_minutes)
            _run(place, parts["import"].argv())
            for part in args.parts:
                if part in ("promote", "rollback") and not database.adapters.entries():
                    parts["train"].reset()
                    _run(place, parts["train"].argv())
                found = _killed(place, parts[part], args.kills, random.Random(args.seed))
                torn |= bool(found["faults"])
                print(json.dumps({"command": part, **found}), flush=True)
    return int(torn)


if __name__ == "__main__":
    sys.exit(main())
