"""Whose turn it is: some questions at a time, a bounded number waiting, and a rate for each key."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlgen.journal import Journal

__all__ = ["FILE", "Overloaded", "Rates", "Room", "TooSlow"]

FILE = "serve.sqlite"
_MARK = 0x53475231
_SCHEMA = "CREATE TABLE rates (name TEXT PRIMARY KEY, tokens REAL NOT NULL, at REAL NOT NULL)"
Made = TypeVar("Made")


class Overloaded(Exception):
    """There is no room now; ``retry_after_s`` says in whole seconds when to come again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooSlow(Exception):
    """The work took longer than a request may."""


class Room:
    """Runs blocking work in ``running`` threads while at most ``waiting`` more pieces wait.

    >>> room = Room(1, 0, timeout_s=5)
    >>> asyncio.run(room.take(lambda: 6 * 7))
    42
    >>> room.close()
    """

    def __init__(self, running: int, waiting: int, *, timeout_s: float) -> None:
        self._running = running
        self._places = running + waiting
        self._timeout_s = timeout_s
        self._pool = ThreadPoolExecutor(running, thread_name_prefix="sqlgen-serve")
        self._lock = threading.Lock()
        self._inside = 0
        self._usual_s = 0.2

    @property
    def inside(self) -> int:
        """How many pieces of work run or wait."""
        return self._inside

    def submit(self, work: Callable[[], Made]) -> Future[Made]:
        """Let ``work`` wait for its turn; Overloaded when there is no room left."""
        with self._lock:
            if self._inside >= self._places:
                wait_s = self._usual_s * (self._places - self._running + 1) / self._running
                raise Overloaded("too many questions at once; come again later", max(1, round(wait_s)))
            self._inside += 1
        context = contextvars.copy_context()
        future = self._pool.submit(context.run, self._timed, work)
        future.add_done_callback(self._leave)
        return future

    async def take(self, work: Callable[[], Made]) -> Made:
        """What ``work`` makes once its turn has come. Raises Overloaded, TooSlow, and what ``work`` raises."""
        return await self.result(self.submit(work))

    async def result(self, future: Future[Made]) -> Made:
        """What was submitted makes; work that has not begun when the time is up, or nobody waits any more, never does."""
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._timeout_s)
        except TimeoutError:
            # A time limit of the database is an error of its own, so this one is ours.
            raise TooSlow(
                f"no answer within {self._timeout_s:g} s; ask for less, or come again later"
            ) from None

    def close(self) -> None:
        """Wait for all that was submitted."""
        self._pool.shutdown(wait=True)

    def _timed(self, work: Callable[[], Made]) -> Made:
        began = time.perf_counter()
        try:
            return work()
        finally:
            self._usual_s += 0.1 * (time.perf_counter() - began - self._usual_s)

    def _leave(self, _: Future[Made]) -> None:
        with self._lock:
            self._inside -= 1


class Rates:
    """A bucket of tokens for each name, in a file under ``home`` that all worker processes share."""

    def __init__(self, home: Path) -> None:
        self._journal = Journal(home / FILE, schema=_SCHEMA, mark=_MARK, what="the file of request rates")

    def take(self, name: str, rate_per_minute: float, *, now: float | None = None) -> None:
        """Use one token of ``name``; Overloaded says in how many seconds the next one is there.

        A bucket holds a minute's tokens, so that short bursts pass.
        """
        now = time.time() if now is None else now
        most = max(1.0, rate_per_minute)
        with self._journal.writing() as connection:
            row = connection.execute("SELECT tokens, at FROM rates WHERE name = ?", (name,)).fetchone()
            tokens, at = row or (most, now)
            tokens = min(most, tokens + max(0.0, now - at) * rate_per_minute / 60)
            is_let_in = tokens >= 1
            connection.execute(
                "INSERT OR REPLACE INTO rates VALUES (?, ?, ?)", (name, tokens - is_let_in, now)
            )
        if not is_let_in:
            wait_s = (1 - tokens) * 60 / rate_per_minute
            raise Overloaded(f"more than {rate_per_minute:g} requests in a minute", int(wait_s) + 1)

    def close(self) -> None:
        """Free the file."""
        self._journal.close()
