"""``sqlgen logs``: query logs in, pairs of question and SQL out, and a queue to look at them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from sqlgen.cli.shared import connected, db_option, example, say, schema_options
from sqlgen.errors import UsageError
from sqlgen.files import write_whole
from sqlgen.types import Dialect, Rejection

if TYPE_CHECKING:
    from sqlgen.pipeline import Database
    from sqlgen.training.logs.ingest import Imported
    from sqlgen.training.logs.pairs import LogPair, Mined
    from sqlgen.training.logs.review import Queue

__all__ = ["logs"]

_FORMATS = (
    "auto", "postgres-stderr", "postgres-csv", "postgres-json", "pg-stat-statements", "mysql-general", "mysql-slow",
    "bigquery", "snowflake", "databricks", "redshift", "jsonl", "csv",
)  # fmt: skip
_format = click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print."
)


@click.group(epilog=example("sqlgen logs import --db sqlite:///shop.db queries.jsonl"))
def logs() -> None:
    """Query logs as training material: import, look through, write out as pairs."""


@logs.command(
    "import",
    epilog=example(
        "sqlgen logs import --db postgresql://localhost/shop /var/log/postgresql/*.log",
        "sqlgen logs import --db sqlite:///shop.db --format jsonl queries.jsonl.gz",
    ),
)
@db_option
@schema_options
@click.option(
    "--format",
    "log_format",
    type=click.Choice(_FORMATS),
    default="auto",
    show_default=True,
    help="Of the files.",
)
@click.option(
    "--written-in",
    metavar="DIALECT",
    help="Dialect of the SQL where it isn't the database's (tsql, bigquery, …).",
)
@click.option(
    "--prefix", metavar="TEXT", help="PostgreSQL's log_line_prefix, where the usual ones don't fit."
)
@click.option("--output", type=click.Choice(("table", "json")), default="table", help="How to print.")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    help="Seconds to wait for another import.",
)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def import_(
    db: str | None,
    schema_file: Path | None,
    dialect: Dialect | None,
    log_format: str,
    written_in: str | None,
    prefix: str | None,
    output: str,
    wait_s: float,
    files: tuple[Path, ...],
) -> int:
    """Read query logs FILES (.gz too). What was read before is passed over, under whatever name."""
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.sql.fingerprint import check_log_dialect
    from sqlgen.training.logs.ingest import import_log
    from sqlgen.training.logs.pairs import log_path
    from sqlgen.training.logs.store import LogStore

    if written_in is not None and not check_log_dialect(written_in):
        raise UsageError(
            f"unknown dialect {written_in!r}; give one that sqlglot knows, such as tsql or bigquery"
        )
    done: list[Imported] = []
    with (
        connected(db, schema_file, dialect) as database,
        LogStore(log_path(database)) as store,
        ProgressBar() as bar,
    ):
        for path in files:
            found = import_log(
                store,
                path,
                format=log_format,
                dialect=written_in or database.dialect,
                prefix=prefix,
                progress=bar,
                wait_s=wait_s,
            )
            done.append(found)
            bar.close()
            if output == "table":
                _say_import(found)
        malformed = [row for row in store.malformed() if row[0] in {f.name for f in done if f.bad}]
    if output == "json":
        from sqlgen.cli import present

        click.echo(present.json_text({"files": [_document(f) for f in done]}))
    for name, line, reason, text in malformed[-5:]:
        say(f"{name}, line {line}: {reason}: {text[:80]}")
    return 0


def _document(done: Imported) -> dict[str, Any]:
    return {
        "name": done.name,
        "format": done.format,
        "bytes": done.bytes,
        "lines": done.lines,
        "entries": done.entries,
        "kept": done.kept,
        "malformed": done.bad,
        "seen_bytes": done.seen,
        "skipped": dict(done.skipped),
        "note": done.note,
    }


def _say_import(done: Imported) -> None:
    from sqlgen.cli import present

    left = ", ".join(f"{count:,} {why}" for why, count in done.skipped.most_common())
    line = (
        f"{present.one_line(done.name)}: {done.format}, {done.entries:,} entries, {done.kept:,} queries kept"
    )
    line += f"; left out: {left}" if left else ""
    line += f"; {done.bad:,} malformed" if done.bad else ""
    line += f" ({done.note})" if done.note else ""
    click.echo(line)


@logs.command(epilog=example("sqlgen logs pairs --db sqlite:///shop.db --out pairs.jsonl"))
@db_option
@schema_options
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write them there, not to stdout."
)
@click.option("--reviewed", is_flag=True, help="Only what a person accepted or edited.")
def pairs(
    db: str | None, schema_file: Path | None, dialect: Dialect | None, out: Path | None, reviewed: bool
) -> int:
    """Make pairs of question and SQL, as JSON lines, of the imported logs and the judged answers."""
    with connected(db, schema_file, dialect) as database:
        mined, name = _mined(database)
        chosen = [p for p in mined.pairs if not reviewed or p.source == "reviewed"]
        lines = [json.dumps(p.to_dict(name), ensure_ascii=False) + "\n" for p in chosen]
    if out is None:
        for line in lines:
            click.echo(line, nl=False)
    else:
        _write(out, lines)
    left = mined.left_out()
    say(f"{len(chosen):,} pairs of {mined.fingerprints:,} fingerprints" + (f"; {left}" if left else ""))
    return 0


def _mined(database: Database) -> tuple[Mined, str]:
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.training.logs.pairs import collect, log_path

    with ProgressBar() as bar:
        return collect(database, bar), log_path(database).parent.name


def _write(path: Path, lines: list[str]) -> None:
    """In one move, so that a file is whole or not there."""
    try:
        write_whole(path, "".join(lines))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


@logs.command(epilog=example("sqlgen logs review --db sqlite:///shop.db"))
@db_option
@schema_options
@click.option("--every", is_flag=True, help="All wordings, not the best one of each statement.")
def review(db: str | None, schema_file: Path | None, dialect: Dialect | None, every: bool) -> int:
    """Look through the pairs: accept, edit, reject, skip, undo, quit. Each decision is kept at once."""
    from sqlgen.training.logs.pairs import log_path
    from sqlgen.training.logs.review import Queue
    from sqlgen.training.logs.store import LogStore

    with connected(db, schema_file, dialect) as database:
        mined, _ = _mined(database)
        with LogStore(log_path(database)) as store:
            _walk(Queue(store, [*mined.proposed, *mined.pairs], every=every), database)
    return 0


def _walk(queue: Queue, database: Database) -> None:
    number = 0
    while (pair := queue.current) is not None:
        _show(pair, number + 1, number + len(queue))
        try:
            answer = click.prompt(_asks(), type=str).strip().lower()[:1]
        except click.Abort:
            answer = "q"
        if answer == "q":
            break
        if answer == "u":
            if queue.undo():
                number -= 1
            else:
                click.echo("nothing to undo")
        elif answer == "e":
            number += _edit(queue, pair, database)
        elif answer in ("a", "r", "s"):
            {"a": queue.accept, "r": queue.reject, "s": queue.skip}[answer]()
            number += 1
        else:
            click.echo("a, e, r, s, u or q, please")
    click.echo(f"{len(queue)} left" if len(queue) else "no pair is left to look at")


def _asks() -> str:
    """What can be answered, on one line of this terminal."""
    whole = "[a]ccept [e]dit [r]eject [s]kip [u]ndo [q]uit"
    return whole if len(whole) + 2 < get_terminal_size().columns else "a e r s u q"


def _edit(queue: Queue, pair: LogPair, database: Database) -> int:
    question = _changed("question", pair.question)
    sql = _changed("SQL", " ".join(pair.sql.split()))
    checked = database.check(sql)
    if isinstance(checked, Rejection):
        click.echo(f"not kept: {checked.findings[0].message}")
        return 0
    queue.edit(question, checked.sql)
    return 1


def _changed(what: str, text: str) -> str:
    """``text`` after a person changed it: in its place on a terminal, typed anew in a pipe, where nothing keeps it."""
    try:
        import readline
    except ImportError:
        readline = None  # type: ignore[assignment]
    if readline is None or not sys.stdin.isatty():
        return str(click.prompt(what, default=text)).strip()
    readline.set_startup_hook(lambda: readline.insert_text(text))
    try:
        return str(click.prompt(what, default=text, show_default=False)).strip()
    finally:
        readline.set_startup_hook(None)


def _show(pair: LogPair, number: int, total: int) -> None:
    from sqlgen.cli import terminal

    times = "once" if pair.runs == 1 else f"{pair.runs:,} times"
    click.echo()
    terminal.aside(f"{number} of {total}, ran {times}, question: {pair.source}")
    terminal.heading(pair.question)
    terminal.print_sql(pair.sql)


@logs.command(epilog=example("sqlgen logs status --db sqlite:///shop.db", "sqlgen logs status --malformed"))
@db_option
@schema_options
@click.option("--malformed", is_flag=True, help="Show what could not be read, with line numbers.")
@_format
def status(
    db: str | None, schema_file: Path | None, dialect: Dialect | None, malformed: bool, format_: str
) -> int:
    """What was imported, and what became of it."""
    from sqlgen.cli import present, terminal
    from sqlgen.training.logs.pairs import log_path
    from sqlgen.training.logs.store import LogStore

    with connected(db, schema_file, dialect) as database, LogStore(log_path(database)) as store:
        found = store.status()
        bad = list(store.malformed()) if malformed else []
    if format_ == "json":
        if malformed:
            found["malformed"] = [
                dict(zip(("file", "line", "reason", "text"), row, strict=True)) for row in bad
            ]
        click.echo(present.json_text(found))
        return 0
    if malformed:
        for name, line, reason, text in bad:
            click.echo(f"{present.one_line(name)}:{line}: {reason}: {present.one_line(text)[:120]}")
        return 0
    rows = [
        [f["name"], f["format"], f["bytes"], f["lines"], f["entries"], f["kept"], f["malformed"]]
        for f in found["files"]
    ]
    terminal.print_rows(["file", "format", "bytes", "lines", "entries", "queries", "malformed"], rows)
    decided = ", ".join(f"{count} {action}" for action, count in found["decisions"].items()) or "none"
    click.echo(f"{found['statements']:,} statements, run {found['runs']:,} times; decisions: {decided}")
    return 0
