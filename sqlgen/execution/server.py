"""What the drivers of servers share: connections of their own, and the client's own deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy.exc

from sqlgen.errors import ConnectionFailed

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.pool import PoolProxiedConnection

__all__ = ["CANCEL_AFTER_S", "CUT_AFTER_S", "GONE", "Sessions", "Watch"]

GONE = "the database server is gone or cannot be reached; the next query connects anew"

# the server's own timeout comes first; these are for a server that doesn't keep it, or is out of reach
CANCEL_AFTER_S = 0.25
CUT_AFTER_S = 0.7


class Watch:
    """Within the block, calls ``cancel`` and then ``cut`` when they are due, in a thread of its own.

    Both must be safe to call from another thread and raise nothing. ``expired`` tells whether the
    first was due before the block ended; the connection may not be used again then.
    """

    def __init__(self, timeout_s: float, cancel: Callable[[], None], cut: Callable[[], None]) -> None:
        self._timeout_s, self._cancel, self._cut = timeout_s, cancel, cut
        self._done = threading.Event()
        self._lock = threading.Lock()
        self.expired = False
        self._thread = threading.Thread(target=self._wait, name="sqlgen-watch", daemon=True)

    def _wait(self) -> None:
        if self._done.wait(self._timeout_s + CANCEL_AFTER_S):
            return
        with self._lock:
            if self._done.is_set():
                return
            self.expired = True
        # in a thread of its own: on a dead network asking hangs as well
        threading.Thread(target=self._cancel, name="sqlgen-cancel", daemon=True).start()
        if not self._done.wait(CUT_AFTER_S - CANCEL_AFTER_S):
            self._cut()

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
