"""Files that are written whole or not at all, and files that a person named."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sqlgen.errors import ConfigError, UsageError

__all__ = ["read_text", "stamp_of", "write_whole"]


def read_text(path: Path) -> str:
    """The text of a file that a person named, without the byte order mark that some editors put first.

    Raises UsageError, which says why it can't be read.

    >>> read_text(Path("nowhere.yaml"))
    Traceback (most recent call last):
    sqlgen.errors.UsageError: cannot read nowhere.yaml: No such file or directory
    """
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text") from error


def stamp_of(path: Path | None, what: str) -> tuple[int, int, int] | None:
    """Changes whenever a configuration file does, at the cost of one look; ConfigError names ``what`` it holds when it is gone.

    >>> stamp_of(None, "the keys") is None
    True
    """
    if path is None:
        return None
    try:
        stat = os.stat(path)
    except OSError as error:
        raise ConfigError(f"cannot read {what} in {path}: {error.strerror}") from error
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def write_whole(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Put ``text`` at ``path`` in one move, as UTF-8: a reader sees the old file or the new one. Raises OSError.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder) / "a.txt", "é")
    ...     (Path(folder) / "a.txt").read_text("utf-8"), len(os.listdir(folder))
    ('é', 1)
    """
    handle, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
