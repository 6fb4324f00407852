"""The service under load: rate, waiting time, memory, a flood of questions, an end in the middle of it.

python -m sqlgen.eval.load [--seconds 60] [--clients 32] [--workers 2] [--scale 1]

Starts ``sqlgen serve`` over the demo shop and asks its golden questions over HTTP: first from so many clients for so
long, each with the next question as soon as it has an answer; then more at once than there is room for; then
again until SIGTERM ends the service in mid-load. Prints one table; ends with 1 where a target is missed.
Clients run on the same cores as the service. Linux only.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlgen.eval.metrics import percentile
from sqlgen.history import History

__all__ = ["Line", "Seen", "main", "measure"]

# What, its figure, the target, and whether that was met.
Line = tuple[str, str, str, bool]

_ACCEPTED = (200,)
_TURNED_AWAY = (0, 503)


@dataclass(slots=True)
class Seen:
    """What clients saw: one status and time a request (0 for no response), and the ids of the answers they got."""

    statuses: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    answered: int = 0

    def slowest_ms(self, status: int) -> float:
        """The longest time until a response with this status; 0.0 where there was none."""
        times = [t for s, t in zip(self.statuses, self.times_s, strict=True) if s == status]
        return 1000 * max(times, default=0.0)


class _Clients:
    """Threads that ask, each over one connection of its own."""

    def __init__(self, port: int, questions: Sequence[str]) -> None:
        self._port = port
        self._questions = itertools.cycle(questions)
        self._lock = threading.Lock()

    def run(
        self, count: int, goes_on: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None
    ) -> Seen:
        """Let ``count`` clients ask while ``goes_on``, at least once each, and until they are turned away."""
        seen = Seen()
        threads = [threading.Thread(target=self._ask_on, args=(seen, goes_on)) for _ in range(count)]
        for thread in threads:
            thread.start()
        meanwhile()
        for thread in threads:
            thread.join()
        return seen

    def _ask_on(self, seen: Seen, goes_on: Callable[[], bool]) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)) as connection:
            while True:
                with self._lock:
                    body = json.dumps({"question": next(self._questions)})
                began = time.perf_counter()
                status, text = _sent(connection, "POST", "/ask", body)
                spent_s = time.perf_counter() - began
                with self._lock:
                    seen.statuses.append(status)
                    seen.times_s.append(spent_s)
                    if status in _ACCEPTED:
                        document = json.loads(text)
                        seen.ids.add(document["answer_id"])
                        seen.answered += document["status"] == "answered"
                if status in _TURNED_AWAY or not goes_on():
                    return


def _sent(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> tuple[int, bytes]:
    """Status and body of a response; status 0 where there was none."""
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


@contextmanager
def _served(db: str, home: Path, workers: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [
        sys.executable,
        "-P",
        "-m",
        "sqlgen",
        "serve",
        "--db",
        db,
        "--port",
        "0",
        "--workers",
        str(workers),
    ]
    log = home / "serve.log"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, stderr=errors, text=True, cwd=home, env={**os.environ, "SQLGEN_HOME": str(home)}
        )
    try:
        while (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text("utf-8"))) is None:
            if process.poll() is not None:
                raise RuntimeError(f"the service ended: {log.read_text('utf-8')}")
            time.sleep(0.1)
        port, ready = int(found[1]), 0
        # Whichever worker takes the call: all of them, once so many in a row are ready.
        while ready < 20 * workers:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
                ready = ready + 1 if _sent(connection, "GET", "/ready")[0] == 200 else 0
            time.sleep(0.02)
        yield process, port
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _cost(parent: int) -> tuple[float, float]:
    """Resident MiB and processor seconds so far of the service's processes, its workers and what they start included."""
    pids, mib, cpu_s = [parent], 0.0, 0.0
    while pids:
        place = Path(f"/proc/{pids.pop()}")
        try:
            mib += int(re.findall(r"VmRSS:\s+(\d+)", (place / "status").read_text())[0]) / 1024
            user, system = (place / "stat").read_text().rpartition(")")[2].split()[11:13]
            cpu_s += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
            for task in (place / "task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        except (OSError, IndexError):
            # It has ended meanwhile.
            continue
    return mib, cpu_s


def _kept(home: Path) -> set[str]:
    """The ids of all answers in the history."""
    with closing(History(home)) as history:
        return {line.id for line in history.lines()}


def measure(
    db: str, home: Path, questions: Sequence[str], *, seconds: float, clients: int, workers: int, flood: int
) -> list[Line]:
    """Put the service over ``db`` under load, with ``flood`` questions at once among it; ``home`` keeps its history."""
    with _served(db, home, workers) as (process, port):
        asking = _Clients(port, questions)
        # Every worker has answered before time is taken.
        asking.run(clients, lambda: False)

        began, cost_before, memory_mib = time.monotonic(), _cost(process.pid), list[float]()

        def goes_on() -> bool:
            return time.monotonic() < began + seconds

        def watch() -> None:
            while goes_on():
                memory_mib.append(_cost(process.pid)[0])
                time.sleep(min(1.0, seconds / 8))

        steady = asking.run(clients, goes_on, watch)
        took_s, asked = time.monotonic() - began, len(steady.times_s)
        cpu_ms = 1000 * (_cost(process.pid)[1] - cost_before[1]) / asked
        flooded = asking.run(flood, lambda: False)
        before_end = _kept(home)
        stop = threading.Timer(min(3.0, seconds), process.send_signal, (signal.SIGTERM,))
        stop.start()
        last = asking.run(clients, lambda: True)
        code = process.wait(120)
    lost = _kept(home) - before_end - last.ids

    half = max(1, len(memory_mib) // 2)
    before, after = statistics.median(memory_mib[:half]), statistics.median(memory_mib[half:])
    rate, p95_s = steady.answered / took_s, percentile(steady.times_s, 95)
    refused = Counter(flooded.statuses)
    at_once_ms = flooded.slowest_ms(429)
    return [
        ("answered questions a second", f"{rate:.1f} of {asked / took_s:.1f} asked", ">= 12", rate >= 12),
        ("median, p95 of a question", f"{percentile(steady.times_s, 50):.2f} s, {p95_s:.2f} s", "p95 < 4 s", p95_s < 4),
        ("processor time of a question", f"{cpu_ms:.0f} ms", "", True),
        ("questions without answer", str(asked - len(steady.ids)), "0", asked == len(steady.ids)),
        ("memory, first and second half", f"{before:.0f} MiB, {after:.0f} MiB", "< +5 %", after < 1.05 * before),
        (f"status of {refused.total()} at once", str(dict(refused)), "200 or 429", set(refused) == {200, 429}),
        ("slowest refusal", f"{at_once_ms:.0f} ms", "< 1000 ms", at_once_ms < 1000),
        ("ended by SIGTERM in mid-load", f"{len(last.ids)} answered, {len(lost)} lost", "0 lost", not lost),
        ("exit code of the service", str(code), "0", code == 0),
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    from sqlgen.demo import build_retail, retail_goldens
    from sqlgen.serve.settings import ServeSettings

    cli = argparse.ArgumentParser(
        prog="python -m sqlgen.eval.load", description=(__doc__ or "").split("\n\n")[0]
    )
    cli.add_argument("--seconds", type=float, default=60)
    cli.add_argument("--clients", type=int, default=32)
    cli.add_argument("--workers", type=int, default=2)
    cli.add_argument("--scale", type=float, default=1, help="of the demo shop")
    args, limits = cli.parse_args(arguments), ServeSettings()
    with tempfile.TemporaryDirectory(prefix="sqlgen-load-", ignore_cleanup_errors=True) as place:
        build_retail(Path(place) / "shop.db", scale=args.scale)
        found = measure(
            f"sqlite:///{place}/shop.db",
            Path(place),
            [golden.question for golden in retail_goldens()],
            seconds=args.seconds,
            clients=args.clients,
            workers=args.workers,
            flood=args.workers * (limits.running + limits.waiting) + 100,
        )
    for what, figure, target, is_met in found:
        print(
            f"{what:<32}{figure:<32}{target:<12}{'ok' if is_met else 'MISSED'}"
            if target
            else f"{what:<32}{figure}"
        )
    return 0 if all(line[3] for line in found) else 1


if __name__ == "__main__":
    sys.exit(main())
