"""What the commands share: options, settings, the database of a command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from sqlgen.config import Settings, load_settings
from sqlgen.errors import UsageError
from sqlgen.types import Dialect

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = [
    "DIALECTS", "EXIT_CODES", "FORMATS", "LIMIT_REACHED", "combined", "connected", "db_option", "embedder_option", "example",
    "format_option", "say", "schema_options", "settings_of", "stdin_text", "words_of",
]  # fmt: skip

LIMIT_REACHED = 6
EXIT_CODES = {"answered": 0, "rejected": 3, "abstained": 4, "error": 5}
FORMATS = ("table", "json", "csv", "markdown", "sql")
DIALECTS = get_args(Dialect)
Command = TypeVar("Command", bound=Callable[..., Any])


def example(*lines: str) -> str:
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def combined(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


db_option = click.option(
    "--db", metavar="URL", help="Database to ask: a SQLAlchemy URL or a file. Else SQLGEN_DB or sqlgen.toml."
)
schema_options = combined(
    click.option(
        "--schema-file", metavar="DDL", type=click.Path(path_type=Path), help="A DDL file, no database."
    ),
    click.option(
        "--dialect", type=click.Choice(DIALECTS), help="SQL dialect; needed with --schema-file only."
    ),
)
embedder_option = click.option(
    "--embedder",
    metavar="NAME",
    help="For the index: a sentence-transformers model, or a folder that sqlgen.training.sentences wrote.",
)
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print.",
)


def say(message: str) -> None:
    from sqlgen.cli import present

    click.echo(present.one_line(message), err=True)


def settings_of(options: dict[str, Any], db: str | None) -> Settings:
    flags = {
        key: options.get(key)
        for key in (
            "model",
            "max_rows",
            "timeout_s",
            "beams",
            "min_confidence",
            "today",
            "knowledge",
            "embedder",
        )
    }
    return load_settings({**flags, "db": db})


def words_of(question: tuple[str, ...]) -> str:
    from sqlgen.pipeline import check_question

    return check_question(stdin_text("the question") if question == ("-",) else " ".join(question))


def stdin_text(what: str) -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} on stdin is not UTF-8 text") from error


def _confirm(question: str) -> bool:
    """A person's yes; without a terminal there is none."""
    from sqlgen.cli import present

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return click.confirm(present.one_line(question), default=False, err=True)


@contextmanager
def connected(
    db: str | None,
    schema_file: Path | None,
    dialect: Dialect | None,
    options: dict[str, Any] | None = None,
) -> Iterator[Database]:
    """The database of a command, with a progress bar that clears itself."""
    if db is not None and schema_file is not None:
        raise UsageError("give --db or --schema-file, not both")
    settings = settings_of(options or {}, db)
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.pipeline import connect

    with (
        ProgressBar() as bar,
        connect(
            schema_file=schema_file, dialect=dialect, settings=settings, progress=bar, confirm=_confirm
        ) as database,
    ):
        yield database
