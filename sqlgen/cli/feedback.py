"""``sqlgen feedback`` and ``sqlgen history``: what was answered, and what people say of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from sqlgen.cli.shared import EXIT_CODES, connected, db_option, example, say, stdin_text
from sqlgen.config import load_settings
from sqlgen.errors import UsageError
from sqlgen.types import Rejection

__all__ = ["feedback", "history"]

_format = click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print."
)


@click.command(
    epilog=example("sqlgen feedback last --right", 'sqlgen feedback 3f2a --sql "SELECT COUNT(*) FROM orders"')
)
@db_option
@_format
@click.argument("answer_id")
@click.option("--right", "verdict", flag_value="right", help="The answer is right.")
@click.option("--wrong", "verdict", flag_value="wrong", help="The answer is wrong.")
@click.option("--sql", help="The right SQL; - reads it from stdin. Exit code 3 when it is refused.")
def feedback(db: str | None, format_: str, answer_id: str, verdict: str | None, sql: str | None) -> int:
    """Mark the answer ANSWER_ID (the beginning of it, or last) right or wrong, or give the right SQL.

    SQL that is right answers its question from the next time on, and is what retraining learns from.
    """
    if (verdict is None) == (sql is None):
        raise UsageError("give one of --right, --wrong and --sql")
    if sql == "-":
        sql = stdin_text("the SQL")
    from sqlgen.cli import present
    from sqlgen.history import History

    settings = load_settings({"db": db})
    store = History(settings.home)
    try:
        line = store.find(answer_id)
    finally:
        store.close()
    # The history holds no password, so a database that needs one has to be named.
    known = settings.db or (None if "***" in line.url else line.url)
    with connected(known, None, None) as database:
        outcome: Any = None
        if sql is not None:
            outcome = database.correct(line, sql)
        elif verdict == "right":
            database.accept(line)
        else:
            database.reject(line)
    if isinstance(outcome, Rejection):
        document = {
            "answer_id": line.id,
            "verdict": "rejected",
            "findings": [{"rule": f.rule, "message": f.message} for f in outcome.findings],
        }
        if format_ == "json":
            click.echo(present.json_text(document))
        say("rejected: " + "; ".join(f.message for f in outcome.findings))
        return EXIT_CODES["rejected"]
    said = "corrected" if sql is not None else verdict
    if format_ == "json":
        click.echo(present.json_text({"answer_id": line.id, "question": line.question, "verdict": said}))
    else:
        click.echo(present.one_line(f"{said}: {line.question}"))
    return 0


@click.group(epilog=example("sqlgen history list --limit 20"))
def history() -> None:
    """The answers given so far, without their rows, and the verdicts on them."""


@history.command(name="list", epilog=example("sqlgen history list --judged --format json"))
@_format
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="N at most."
)
@click.option("--judged", is_flag=True, help="Only those with a verdict.")
def list_(format_: str, limit: int, judged: bool) -> int:
    """Answers, newest first."""
    from sqlgen.cli import present, terminal
    from sqlgen.history import History

    store = History(load_settings().home)
    try:
        lines = list(store.lines(limit=limit, judged=judged))
    finally:
        store.close()
    if format_ == "json":
        document = [line.to_dict() for line in lines]
        click.echo(present.json_text(document))
    elif lines:
        rows = [
            [
                line.id[:8],
                datetime.fromtimestamp(line.at).isoformat(" ", "seconds"),
                line.database,
                line.status,
                line.verdict or "",
                round(line.confidence, 2),
                line.question,
            ]
            for line in lines
        ]
        terminal.print_rows(["id", "when", "database", "status", "verdict", "confidence", "question"], rows)
    else:
        say("no answer yet; sqlgen ask --help")
    return 0
