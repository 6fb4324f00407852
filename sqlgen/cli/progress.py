"""A progress bar on stderr for what takes over half a second; silent when stderr is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["ProgressBar"]

_PATIENCE_S = 0.5


class ProgressBar:
    """Call it as (done, total, label); leaving the ``with`` or ``close`` clears it."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._began: float | None = None
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, done: int, total: int, label: str, /) -> None:
        if not self._shown:
            return
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if self._progress is None:
            if now - self._began < _PATIENCE_S:
                return
            self._open()
        assert self._progress is not None
        assert self._task is not None
        from sqlgen.cli.present import one_line

        self._progress.update(self._task, completed=done, total=total, description=one_line(label)[:40])
        if done >= total:
            self.close()

    def close(self) -> None:
        """Take the bar off the screen; a later call shows a new one."""
        progress, self._progress, self._began = self._progress, None, None
        if progress is not None:
            progress.stop()

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("")
        self._progress.start()
