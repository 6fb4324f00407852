"""The command line: the one boundary where an error becomes a message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence

from sqlgen.errors import SqlgenError

__all__ = ["main"]

_READER_GONE = 141
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors are one line on stderr, never a traceback.

    ``SQLGEN_DEBUG=1`` lets an unexpected exception through with its traceback.
    """
    import click

    from sqlgen.cli.commands import root

    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        code = root.main(args=None if argv is None else list(argv), prog_name="sqlgen", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "sqlgen"
        return _fail(f"{error.format_message()} See '{command} --help'.", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except SqlgenError as error:
        return _fail(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader has gone; what is left in the buffer must not raise once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _READER_GONE
    except SystemExit as error:
        # Outside of standalone mode, click ends the process itself with 1 for a broken pipe alone.
        return _READER_GONE if error.code == 1 else int(error.code or 0)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", 130)
    except Exception as error:
        if os.environ.get("SQLGEN_DEBUG", "") not in ("", "0"):
            raise
        if isinstance(error, OSError) and error.errno in _FULL:
            # what is left in the buffer must not fail once more at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail(*_explained(error))


def _explained(error: Exception) -> tuple[str, int]:
    """What to tell of an exception that is no error of ours, and the exit code."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"the output cannot be written ({error.strerror}); make room, or write somewhere else", 2
    no_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    if isinstance(error, MemoryError) or no_thread:
        return "there is not enough memory; free some, or raise the limit that this process runs under", 6
    if isinstance(error, ImportError):
        said = _first_line(error)
        return f"a library cannot be loaded ({said}); is the installation complete, and memory left?", 1
    what = f"unexpected {type(error).__name__}: {error}"
    return f"{what} (this is a bug; SQLGEN_DEBUG=1 shows where)", 1


def _first_line(error: BaseException) -> str:
    """The first line that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[
        :100
    ]


def _fail(message: str, code: int) -> int:
    from sqlgen.cli.present import one_line

    print(f"error: {one_line(message)}", file=sys.stderr)
    return code
