"""HTTP/1.1 as uvicorn speaks it, with an end to clients that send their headers one byte at a time."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["SharedSocket", "TimedProtocol"]


class SharedSocket(socket.socket):
    """What several processes listen at: each takes one connection a turn, where asyncio's would take all that wait.

    Clients keep their connections, so those of one burst would all stay with whichever process woke first.
    """

    def __init__(self, bound: socket.socket) -> None:
        super().__init__(bound.family, bound.type, bound.proto, fileno=bound.detach())
        self._has_taken = False

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, and BlockingIOError after it, as if no other waited."""
        self._has_taken = not self._has_taken
        if not self._has_taken:
            raise BlockingIOError
        return super().accept()

    def __reduce__(self) -> tuple[type[SharedSocket], tuple[socket.socket]]:
        # multiprocessing takes a plain one; it has to stay open until the process has begun.
        self._plain = socket.fromfd(self.fileno(), self.family, self.type, self.proto)
        return type(self), (self._plain,)


class TimedProtocol(H11Protocol):
    """Closes a connection on which no whole request head arrived within the keep-alive time."""

    _too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what arrived; wait on where it is no whole head yet."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._too_late is None:
            self._expect_head()

    def on_response_complete(self) -> None:
        """Between two requests uvicorn's own time limit counts."""
        self._stop_waiting()
        super().on_response_complete()

    def _expect_head(self) -> None:
        self._too_late = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None
