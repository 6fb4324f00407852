"""The caller's side of the worker processes: start them ahead, use them, kill them, replace them."""

from __future__ import annotations

import marshal
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, NoReturn

from sqlgen.errors import ConnectionFailed, DatabaseError, QueryFailed, UsageError
from sqlgen.execution import worker as program
from sqlgen.execution.cost import Estimate, estimate_duckdb
from sqlgen.execution.driver import (
    Closing,
    check_limits,
    inferred_columns,
    one_line,
    raise_failure,
    require_query,
    result_of,
)
from sqlgen.types import Dialect, Limits, Result, ResultColumn, ValidatedQuery

__all__ = ["WorkerDriver"]

MAX_WORKERS = 4
START_S = 20.0
_KEPT_ENVIRONMENT = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",
    "TMPDIR",
    "TZ",
)


class Worker:
    """One child process with the database open. Used by one thread at a time."""

    def __init__(self, engine: str, target: str, scratch: str) -> None:
        path = [entry for entry in sys.path if entry]
        # the child sees no secrets of the environment; -S is safe because it gets the import path it needs
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", program.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ConnectionFailed(f"the worker process cannot start: {error.strerror}") from None
        self.owner_pid = os.getpid()
        self.ready = False
        self.out_of_time = False
        self._lock = threading.Lock()
        try:
            self._write(("open", engine, target, scratch, path))
        except EOFError:
            self.kill()
            raise ConnectionFailed(
                "the worker process cannot start; is the Python installation complete?"
            ) from None

    def run(self, request: tuple[Any, ...], deadline_s: float) -> Any:
        """Send a request and wait for its answer; kills the process when ``deadline_s`` passes.

        Raises EOFError when the process ended; ``out_of_time`` then says whether by our hand.
        """
        if not self.ready:
            answer = self._exchange(None, START_S)
            if answer[0] != "ready":
                self.kill()
                return answer
            self.ready = True
        return self._exchange(request, deadline_s)

    def next_frame(self, deadline_s: float) -> Any:
        """Wait for a further frame of a stream; otherwise like ``run``."""
        return self._exchange(None, deadline_s)

    def _write(self, value: Any) -> None:
        assert self.process.stdin is not None
        try:
            program.write_frame(self.process.stdin, value)  # type: ignore[arg-type]
        except OSError:
            raise EOFError from None

    def _exchange(self, request: tuple[Any, ...] | None, deadline_s: float) -> Any:
        assert self.process.stdout is not None
        busy = True

        def stop() -> None:
            with self._lock:
                if busy:
                    self.out_of_time = True
                    self.process.kill()

        alarm = threading.Timer(deadline_s, stop)
        alarm.daemon = True
        alarm.start()
        try:
            if request is not None:
                self._write(request)
            return program.read_frame(self.process.stdout)  # type: ignore[arg-type]
        except (KeyboardInterrupt, SystemExit):
            # the answer would be taken for that of the next query
            self.kill()
            raise
        finally:
            with self._lock:
                busy = False
            alarm.cancel()

    def kill(self) -> int:
        """End the process now; returns its exit status."""
        if self.owner_pid != os.getpid():
            return 0
        self.process.kill()
        return self._reap()

    def stop(self) -> None:
        """Let an idle process end by itself, or kill it."""
        if self.owner_pid != os.getpid():
            return
        try:
            if self.process.stdin is not None:
                self.process.stdin.close()
            self.process.wait(0.5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
        self._reap()

    def _reap(self) -> int:
        status = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        return status


def file_identity(path: str) -> tuple[int, int] | None:
    """Which file a path names now: a database that was replaced is another file."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_dev, state.st_ino


class _Workers:
    """The processes of one driver: idle ones are kept, the number in use is bounded."""

    def __init__(self, engine: str, path: str, target: str) -> None:
        self.engine, self.path, self.target = engine, path, target
        self.scratch = str(Path(tempfile.gettempdir()) / f"sqlgen-{os.getpid()}-{uuid.uuid4().hex[:12]}")
        self.idle: list[Worker] = []
        self.busy: set[Worker] = set()
        self.lock = threading.Lock()
        self.slots = threading.BoundedSemaphore(MAX_WORKERS)
        self.identity = file_identity(path)
        self.closed = False
        self.owner_pid = os.getpid()

    def start(self) -> Worker:
        return Worker(self.engine, self.target, self.scratch)

    def take(self) -> Worker:
        """An idle worker or a new one, already counted as busy."""
        stale: list[Worker] = []
        with self.lock:
            if self.owner_pid != os.getpid():
                # a forked child must not share pipes with its parent
                self.idle, self.busy, self.owner_pid = [], set(), os.getpid()
            identity = file_identity(self.path)
            if identity is None:
                raise ConnectionFailed("the database file is gone; check the path")
            if identity != self.identity:
                stale, self.idle, self.identity = self.idle, [], identity
            worker = self.idle.pop() if self.idle else None
            if worker is not None and worker.process.poll() is not None:
                stale.append(worker)
                worker = None
            if worker is not None:
                self.busy.add(worker)
        for old in stale:
            old.stop()
        if worker is None:
            worker = self.start()
            with self.lock:
                self.busy.add(worker)
        return worker

    def give_back(self, worker: Worker, *, usable: bool) -> None:
        with self.lock:
            self.busy.discard(worker)
            keep = usable and not self.closed
            if keep:
                self.idle.append(worker)
        if not keep:
            worker.kill()
            self.clean_scratch()

    def stop(self) -> None:
        with self.lock:
            self.closed = True
            idle, busy, self.idle, self.busy = self.idle, self.busy, [], set()
        for worker in idle:
            worker.stop()
        for worker in busy:
            worker.process.kill()
        self.clean_scratch()

    def clean_scratch(self) -> None:
        if not self.busy and self.owner_pid == os.getpid():
            shutil.rmtree(self.scratch, ignore_errors=True)


def _request(kind: str, sql: str, limits: Limits) -> tuple[Any, ...]:
    return (
        kind,
        sql,
        limits.timeout_s,
        limits.max_rows,
        limits.max_bytes,
        limits.max_cell_bytes,
        limits.max_memory_mib,
    )


def unpack(chunks: Iterable[bytes], plain: bool) -> tuple[tuple[Any, ...], ...]:
    """The rows of a worker's chunks."""
    rows = (row for chunk in chunks for row in marshal.loads(chunk))
    if plain:
        return tuple(rows)
    return tuple(tuple([program.decode(v) if type(v) in (tuple, list) else v for v in row]) for row in rows)


class WorkerDriver(Closing):
    """Runs queries on a database file in worker processes; up to four at a time, the others wait."""

    def __init__(self, dialect: Dialect, path: str, target: str) -> None:
        self.dialect: Dialect = dialect
        self._workers = _Workers(dialect, path, target)
        self._workers.idle.append(self._workers.start())
        # after these a process doesn't come back to the size it had; DuckDB's keeps what a long query took
        self._spoilt = frozenset({"memory", "time"} if dialect == "duckdb" else {"memory"})
        self._finalizer = weakref.finalize(self, self._workers.stop)

    def execute(self, query: ValidatedQuery, limits: Limits) -> Result:
        """See ``Driver.execute``; the wait for a free worker counts as time of the query."""
        sql = require_query(query, self.dialect)
        check_limits(limits)
        if self._workers.closed:
            raise UsageError("this connection is closed; open a new one")
        started = time.perf_counter()
        if not self._workers.slots.acquire(timeout=limits.timeout_s):
            raise_failure("time", "", limits)
        try:
            answer = self._ask(sql, limits)
        finally:
            self._workers.slots.release()
        if answer[0] == "failed":
            self._raise(answer[1], answer[2], limits)
        _, named, chunks, truncated, cut_cells, plain = answer
        rows = unpack(chunks, plain)
        if self.dialect == "sqlite":
            columns = inferred_columns([name for name, _ in named], rows)
        else:
            columns = tuple(ResultColumn(name, kind) for name, kind in named)
        return result_of(columns, rows, truncated, cut_cells, time.perf_counter() - started, limits)

    def estimate(self, query: ValidatedQuery, limits: Limits) -> Estimate | None:
        """See ``Driver.estimate``; SQLite's planner tells no figures."""
        sql = require_query(query, self.dialect)
        if self.dialect == "sqlite":
            return None
        return estimate_duckdb(lambda explain: self._explain(explain, limits), sql)

    def _explain(self, sql: str, limits: Limits) -> Any:
        answer = self._ask(sql, limits)
        if answer[0] == "failed":
            self._raise(answer[1], answer[2], limits)
        return unpack(answer[2], answer[5])[0][-1]

    def _parts(self, query: ValidatedQuery, limits: Limits) -> Generator[Any, None, None]:
        sql = require_query(query, self.dialect)
        if self._workers.closed:
            raise UsageError("this connection is closed; open a new one")
        if not self._workers.slots.acquire(timeout=limits.timeout_s):
            raise_failure("time", "", limits)
        worker = self._workers.take()
        usable = False
        deadline_s = limits.timeout_s + program.GRACE_S
        plain = True
        try:
            frame = worker.run(_request("stream", sql, limits), deadline_s)
            while frame[0] in ("columns", "chunk"):
                if frame[0] == "columns":
                    plain = frame[2]
                    yield tuple(ResultColumn(name, kind) for name, kind in frame[1])
                else:
                    yield unpack([frame[1]], plain)
                frame = worker.next_frame(deadline_s)
            usable = worker.ready and not (frame[0] == "failed" and frame[1] in self._spoilt)
            if frame[0] == "failed":
                self._raise(frame[1], frame[2], limits)
        except EOFError:
            _, kind, message = self._cause_of_end(worker)
            raise_failure(kind, message, limits)
        finally:
            self._workers.give_back(worker, usable=usable)
            self._workers.slots.release()

    def _ask(self, sql: str, limits: Limits) -> Any:
        request = _request("run", sql, limits)
        worker = self._workers.take()
        usable = False
        try:
            answer = worker.run(request, limits.timeout_s + program.GRACE_S)
            usable = worker.ready and not (answer[0] == "failed" and answer[1] in self._spoilt)
            return answer
        except EOFError:
            return self._cause_of_end(worker)
        finally:
            self._workers.give_back(worker, usable=usable)

    def _raise(self, kind: str, message: str, limits: Limits) -> NoReturn:
        if kind == "damaged":
            name = os.path.basename(self._workers.path)
            raise DatabaseError(
                f"the database file {name} is damaged or of another kind ({one_line(message)}); "
                "restore it from a backup"
            )
        raise_failure(kind, message, limits)

    def _cause_of_end(self, worker: Worker) -> tuple[str, str, str]:
        status = worker.kill()
        if self._workers.closed:
            raise QueryFailed("the connection was closed while the query ran") from None
        # SIGALRM is the worker's own alarm; SIGKILL and SIGABRT are how a process runs out of memory
        if worker.out_of_time or status == -14:
            return ("failed", "time", "")
        if status in (-9, -6):
            return ("failed", "memory", "")
        raise ConnectionFailed(
            "the worker process ended unexpectedly; the next query starts a new one"
        ) from None

    def close(self) -> None:
        """Stop the worker processes."""
        self._finalizer()
