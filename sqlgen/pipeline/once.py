"""A value made once for all who ask for it, in the background if that helps."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

__all__ = ["Once"]

_LAST_WAIT_S = 5.0
_started: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


@atexit.register
def _wait_for_started() -> None:
    """A library that is still loading when the interpreter ends takes the whole process down."""
    for thread in list(_started):
        thread.join(_LAST_WAIT_S)


class Once:
    """A value made once, in the background when asked to; a failure is raised and tried anew next time."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._future: Future[Any] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to make it in the background."""
        future, is_new = self._claim()
        if not is_new:
            return
        thread = threading.Thread(target=self._run, args=(future,), daemon=True)
        try:
            thread.start()
            _started.add(thread)
        except RuntimeError:
            # No memory, or no room for one more thread: whoever asks for it makes it, or is told why not.
            self._run(future)

    def get(self) -> Any:
        """The value, made here and now unless that has begun already."""
        future, is_new = self._claim()
        if is_new:
            self._run(future)
        try:
            return future.result()
        except Exception:
            with self._lock:
                if self._future is future:
                    self._future = None
            raise

    def made(self) -> Any:
        """The value if it was ever begun and came to be, else None."""
        with self._lock:
            future = self._future
        return None if future is None or future.exception() is not None else future.result()

    def _claim(self) -> tuple[Future[Any], bool]:
        with self._lock:
            is_new = self._future is None
            if self._future is None:
                self._future = Future()
            return self._future, is_new

    def _run(self, future: Future[Any]) -> None:
        try:
            future.set_result(self._make())
        except BaseException as error:  # noqa: BLE001  raised again by get() in the asker's thread
            future.set_exception(error)
