"""One builder at a time, across processes: an advisory lock that dies with its process."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["exclusive"]

_POLL_S = 0.05
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


def _try_lock(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Else a file system without locks: a build is atomic even so, only its work may be done twice.
        return error.errno not in _BUSY
    return True


@contextmanager
def exclusive(path: Path, *, timeout_s: float = 900.0) -> Iterator[None]:
    """Hold the lock file at ``path``, waiting for another holder up to ``timeout_s``.

    The operating system frees the lock of a process that died, so a leftover file never
    blocks; the file itself stays, for removing it would let two builders in. Polls, so that
    an interrupt is seen at once. Raises OSError when the file cannot be made, TimeoutError
    when the wait is over.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, exclusive(Path(folder) / "index.lock"):
    ...     "inside"
    'inside'
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has been building beside {path} for {timeout_s:.0f} s")
            time.sleep(_POLL_S)
        yield
    finally:
        # Closing frees the lock on every system.
        os.close(fd)
