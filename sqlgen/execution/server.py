"""What the drivers of servers share: connections of their own, and the client's own deadline."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy.exc

from sqlgen.errors import ConnectionFailed, LimitReached
from sqlgen.execution.driver import raise_failure
from sqlgen.types import Limits

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.pool import PoolProxiedConnection

__all__ = ["GONE", "Sessions", "Watch"]

GONE = "the database server is gone or cannot be reached; the next query connects anew"

# the server's own timeout comes first; these are for a server that doesn't keep it, or is out of reach
_CANCEL_AFTER_S = 0.25
_CUT_AFTER_S = 0.7
# a driver holds a whole row before anybody can weigh it, so what the process grows by is watched meanwhile
POLL_S = 0.02
ROW_BYTES = 128 * 2**20
MAX_SESSIONS = 8


def resident_bytes() -> int:
    """Memory of this process that is in use now; 0 where the system doesn't tell."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


class Watch:
    """Within the block, calls ``cancel`` and then ``cut`` when they are due, in a thread of its own.

    They are due when the time is up, or when the process has grown by ``max_growth`` bytes: a single row
    may be larger than memory. Both must be safe to call from another thread and raise nothing. ``expired``
    tells whether the first was due before the block ended, ``swollen`` whether for the memory; the
    connection may not be used again then.
    """

    def __init__(
        self,
        timeout_s: float,
        cancel: Callable[[], None],
        cut: Callable[[], None],
        max_growth: int | None = None,
    ) -> None:
        self._timeout_s, self._cancel, self._cut = timeout_s, cancel, cut
        self._max_growth = max_growth
        self._done = threading.Event()
        self._lock = threading.Lock()
        self.expired = self.swollen = False
        self._thread = threading.Thread(target=self._wait, name="sqlgen-watch", daemon=True)

    def require_in_time(self, limits: Limits) -> None:
        """LimitReached when the block ended by itself and yet too late; the connection is of no use then."""
        if self.expired:
            raise_failure("bytes" if self.swollen else "time", "", limits)

    def _wait(self) -> None:
        if self._ends_in_time():
            return
        with self._lock:
            if self._done.is_set():
                return
            self.expired = True
        # in a thread of its own: on a dead network asking hangs as well
        threading.Thread(target=self._cancel, name="sqlgen-cancel", daemon=True).start()
        if self.swollen or not self._done.wait(_CUT_AFTER_S - _CANCEL_AFTER_S):
            self._cut()

    def _ends_in_time(self) -> bool:
        deadline = time.monotonic() + self._timeout_s + _CANCEL_AFTER_S
        if self._max_growth is None:
            return self._done.wait(self._timeout_s + _CANCEL_AFTER_S)
        bound = resident_bytes() + self._max_growth
        while (left := deadline - time.monotonic()) > 0:
            if self._done.wait(min(POLL_S, left)):
                return True
            if resident_bytes() > bound:
                self.swollen = True
                return False
        return False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._done.set()


class Sessions:
    """A pool of connections made the way an engine makes them, apart from the engine's own.

    So the caller's sessions keep their settings and transactions whatever happens here.
    """

    def __init__(self, engine: Engine) -> None:
        self._pool = engine.pool.recreate()
        self._dbapi_error: Any = engine.dialect.loaded_dbapi.Error
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(MAX_SESSIONS)

    @contextmanager
    def slot(self, limits: Limits) -> Iterator[None]:
        """One of the sessions that may be busy at a time; LimitReached when none gets free in time."""
        if not self._slots.acquire(timeout=limits.timeout_s):
            raise LimitReached(
                f"{MAX_SESSIONS} queries were running for all of {limits.timeout_s:g} s; try again later",
                "time",
            )
        try:
            yield
        finally:
            self._slots.release()

    def take(self) -> PoolProxiedConnection:
        """A pooled or new connection; ConnectionFailed when there is none to be had."""
        try:
            return self._pool.connect()
        except (self._dbapi_error, sqlalchemy.exc.SQLAlchemyError, OSError):
            raise ConnectionFailed(GONE) from None

    def renew(self) -> None:
        """Forget the idle connections: after a server went away none of them is of use."""
        with self._lock:
            stale, self._pool = self._pool, self._pool.recreate()
        stale.dispose()

    def close(self) -> None:
        """Close the idle connections; one in use is closed when it comes back."""
        self.renew()
