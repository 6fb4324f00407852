"""The commands. Each returns its exit code; errors travel as exceptions to ``main``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sqlgen.cli import index_status
from sqlgen.cli.evaluate import eval_
from sqlgen.cli.feedback import feedback, history
from sqlgen.cli.knowledge import knowledge
from sqlgen.cli.logs import logs
from sqlgen.cli.serve import mcp, serve
from sqlgen.cli.shared import (
    DIALECTS,
    EXIT_CODES,
    LIMIT_REACHED,
    combined,
    connected,
    db_option,
    embedder_option,
    example,
    format_option,
    say,
    schema_options,
    settings_of,
    stdin_text,
    words_of,
)
from sqlgen.cli.shell import shell
from sqlgen.cli.train import models, train
from sqlgen.errors import SqlgenError, UsageError
from sqlgen.export import finding_document
from sqlgen.types import Dialect, Finding, Rejection, ValidatedQuery

if TYPE_CHECKING:
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.pipeline import Database, Reply

__all__ = ["root"]

answer_options = combined(
    format_option,
    click.option("--sql-only", is_flag=True, help="Print the SQL alone; nothing is executed."),
    click.option("--dry-run", is_flag=True, help="Write and check the SQL, execute nothing."),
    click.option("--explain", is_flag=True, help="Say what was retrieved and what became of each candidate."),
    click.option(
        "--chart", is_flag=True, help="Show the chart that fits; its Vega-Lite specification with json."
    ),
    click.option("--model", metavar="NAME", help="Which model writes the SQL."),
    embedder_option,
    click.option(
        "--knowledge",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="A folder of terms, metrics, queries, documents.",
    ),
    click.option("--max-rows", type=int, metavar="N", help="Rows at most (1000)."),
    click.option(
        "--timeout", "timeout_s", type=float, metavar="SECONDS", help="Seconds a query may run (30)."
    ),
    click.option("--today", metavar="DATE", help='The day that "last month" refers to (today).'),
    click.option("--beams", type=int, metavar="N", help="Candidates that the model writes (4)."),
    click.option("--min-confidence", type=float, metavar="P", help="Abstain below this confidence (0 to 1)."),
)


def _version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from importlib import metadata

    try:
        version = metadata.version("sqlgen")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"sqlgen {version}")
    context.exit(0)


@click.group(
    name="sqlgen",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example("sqlgen demo", 'sqlgen ask --db sqlite:///shop.db "How many orders came in last month?"'),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
def root() -> None:
    """Ask a database in plain words; get checked, read-only SQL and its answer.

    \b
    Exit codes: 0 answered, 2 wrong usage, 3 rejected by validation, 4 abstained,
    5 database error, 6 a limit reached, 7 model unavailable, 1 anything else.
    """


# --- ask and demo ------------------------------------------------------------------------------------------


@root.command(epilog=example('sqlgen ask --db sqlite:///shop.db "Which five products sold best in 2025?"'))
@db_option
@schema_options
@answer_options
@click.argument("question", nargs=-1, required=True)
def ask(
    db: str | None,
    schema_file: Path | None,
    dialect: Dialect | None,
    question: tuple[str, ...],
    **options: Any,
) -> int:
    """Answer QUESTION with SQL, its result and what both rest on. A lone - reads it from stdin."""
    text = words_of(question)
    with connected(db, schema_file, dialect, options) as database:
        reply = _answer(database, text, options)
    _print_reply(reply, options)
    return _exit_code(reply)


@root.command(epilog=example("sqlgen demo", 'sqlgen demo "How many customers live in Berlin?"'))
@answer_options
@click.argument("question", nargs=-1)
def demo(question: tuple[str, ...], **options: Any) -> int:
    """Answer QUESTION about the demo shop, or a short tour of questions.

    The demo database is built on first use.
    """
    from sqlgen import demo as shop
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.knowledge import Term
    from sqlgen.pipeline import connect

    settings = settings_of(options, None)
    text = words_of(question) if question else None
    with ProgressBar() as bar:
        path = shop.ensure_demo(bar, home=settings.home)
    terms = [
        Term(
            term.name,
            term.definition,
            term.synonyms,
            term.kind == "metric",
            term.sql,
            "retail glossary",
            term.tables,
            dialects=tuple(term.dialects.items()),
        )
        for term in shop.retail_glossary()
    ]
    url = f"sqlite:///{path}"
    with ProgressBar() as bar, connect(url, settings=settings, terms=terms, progress=bar) as database:
        if text is None:
            asked = {golden.id: golden.question for golden in shop.retail_goldens()}
            return _tour(database, [asked[key] for key in shop.tour()], options, bar)
        reply = _answer(database, text, options)
    _print_reply(reply, options)
    return _exit_code(reply)


def _exit_code(reply: Reply) -> int:
    """A result that a limit has cut is no whole answer."""
    is_cut = reply.result is not None and reply.result.truncated
    return LIMIT_REACHED if is_cut else EXIT_CODES[reply.status]


def _tour(database: Database, questions: list[str], options: dict[str, Any], bar: ProgressBar) -> int:
    from sqlgen.cli import present, terminal

    replies = []
    for number, text in enumerate(questions, start=1):
        reply = _answer(database, text, options)
        bar.close()
        replies.append(reply)
        if options["format_"] == "json":
            continue
        if options["format_"] == "table":
            terminal.heading(f"{number}. {text}")
        _print_reply(reply, options)
        click.echo()
    if options["format_"] == "json":
        click.echo(present.json_text([reply.to_dict() for reply in replies]))
    return next((code for reply in replies if (code := EXIT_CODES[reply.status])), 0)


def _answer(database: Database, text: str, options: dict[str, Any]) -> Reply:
    try:
        return _ask(database, text, options)
    except UsageError:
        raise
    except SqlgenError as error:
        if options["format_"] == "json":
            _print_error_document(database, text, error)
        raise


def _ask(database: Database, text: str, options: dict[str, Any]) -> Reply:
    writes_only = options["dry_run"] or options["sql_only"] or options["format_"] == "sql"
    return database.ask(text, execute=not writes_only)


def _print_reply(reply: Reply, options: dict[str, Any]) -> None:
    from sqlgen.cli import present, terminal

    format_ = "sql" if options["sql_only"] and options["format_"] != "json" else options["format_"]
    if format_ == "json":
        document = reply.to_dict()
        if options["explain"]:
            from sqlgen.export import context_document

            document["context"] = context_document(reply.context) if reply.context else None
        if options["chart"]:
            document["chart"] = reply.chart()
        click.echo(present.json_text(document))
        return
    if reply.status != "answered":
        terminal.print_unanswered(reply)
    elif format_ == "sql" or (reply.result is None and format_ != "table"):
        click.echo(present.safe_text(reply.sql, keep="\n\t"))
    elif format_ == "table":
        terminal.print_answer(reply, chart=options["chart"])
    elif reply.result is not None:
        _print_rows([c.name for c in reply.result.columns], reply.result.rows, format_)
        for finding in reply.findings:
            say(f"warning: {finding.message}{' (--max-rows N)' if finding.rule == 'rows' else ''}")
    if options["explain"]:
        terminal.print_explanation(reply)


def _print_rows(names: list[str], rows: Any, format_: str) -> None:
    from sqlgen.cli import present

    if format_ == "csv":
        click.echo(present.csv_text(names, rows), nl=False)
    elif format_ == "markdown":
        click.echo(present.markdown_text(names, rows), nl=False)
    else:
        from sqlgen.cli import terminal

        terminal.print_rows(names, rows)


def _print_error_document(database: Database, text: str, error: SqlgenError) -> None:
    from sqlgen.cli import present

    document = {
        "question": text,
        "status": "error",
        "sql": "",
        "dialect": database.dialect,
        "columns": [],
        "rows": [],
        "row_count": None,
        "truncated": False,
        "confidence": 0.0,
        "citations": [],
        "candidates": [],
        "findings": [{"rule": type(error).__name__, "message": present.one_line(str(error)), "span": None}],
        "message": present.one_line(str(error)),
    }
    click.echo(present.json_text(document))


# --- retrieve and check ------------------------------------------------------------------------------------


@root.command(epilog=example('sqlgen retrieve --db sqlite:///shop.db --k 3 "late shipments by carrier"'))
@db_option
@schema_options
@format_option
@embedder_option
@click.option("--k", type=click.IntRange(1, 1000), help="Tables at most; else what the model's budget holds.")
@click.argument("question", nargs=-1, required=True)
def retrieve(
    db: str | None,
    schema_file: Path | None,
    dialect: Dialect | None,
    format_: str,
    embedder: str | None,
    k: int | None,
    question: tuple[str, ...],
) -> int:
    """Show what retrieval would hand the model for QUESTION, with scores and reasons."""
    from sqlgen.cli import present, terminal
    from sqlgen.export import context_document

    text = words_of(question)
    if format_ == "sql":
        raise UsageError("retrieve has no SQL to print; use --format table, json, csv or markdown")
    with connected(db, schema_file, dialect, {"embedder": embedder}) as database:
        context = database.retrieve(text, k)
    if format_ == "json":
        click.echo(present.json_text(context_document(context)))
    elif format_ == "table":
        terminal.print_context(context)
    else:
        rows = [
            [piece.table.key, piece.score, piece.reason, ", ".join(c.name for c in piece.table.columns)]
            for piece in context.tables
        ]
        _print_rows(["table", "score", "reason", "columns"], rows, format_)
    return 0


@root.command(
    epilog=example(
        'sqlgen check --db sqlite:///shop.db "SELECT name FROM products"',
        "sqlgen check --schema-file shop.sql --dialect postgres --batch queries.jsonl",
        "sqlgen check --connection --db postgresql://reader@localhost/sales",
    )
)
@db_option
@schema_options
@click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print."
)
@click.option(
    "--batch",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='Lines {"id", "sql", "dialect"}; - is stdin.',
)
@click.option("--connection", is_flag=True, help="Say what this login could do beyond reading.")
@click.argument("sql", required=False)
def check(
    db: str | None,
    schema_file: Path | None,
    dialect: Dialect | None,
    format_: str,
    batch: Path | None,
    connection: bool,
    sql: str | None,
) -> int:
    """Validate SQL without running it; - reads it from stdin. Exit code 3 when it is rejected."""
    if [sql is not None, batch is not None, connection].count(True) != 1:
        raise UsageError("give one SQL statement (or - for stdin), --batch FILE, or --connection")
    if sql == "-":
        sql = stdin_text("the SQL")
    # With a schema file, each line of a batch may name its own dialect.
    with connected(db, schema_file, dialect) as database:
        if batch is not None:
            return _check_batch(database, batch)
        if connection:
            return _check_connection(database, format_)
        assert sql is not None
        return _check_one(database, sql, format_)


def _check_connection(database: Database, format_: str) -> int:
    from sqlgen.cli import present, terminal

    report = database.inspect_login()
    if format_ == "json":
        document = {
            "dialect": report.dialect,
            "user": report.user,
            "server": report.server,
            "reads_only": report.reads_only,
            "risks": [{"rule": risk.rule, "message": risk.message} for risk in report.risks],
        }
        click.echo(present.json_text(document))
    else:
        terminal.print_login(report)
    return 0


def _check_one(database: Database, sql: str, format_: str) -> int:
    from sqlgen.cli import present, terminal

    outcome = database.check(sql)
    if format_ == "json":
        click.echo(present.json_text(_verdict(outcome, database.dialect)))
    else:
        terminal.print_verdict(outcome)
    return EXIT_CODES["rejected"] if isinstance(outcome, Rejection) else 0


def _verdict(outcome: Any, dialect: str) -> dict[str, Any]:
    if isinstance(outcome, Rejection):
        return {
            "verdict": "reject",
            "findings": [finding_document(f) for f in outcome.findings],
            "sql": outcome.sql,
            "dialect": dialect,
        }
    return {
        "verdict": "allow",
        "findings": [],
        "warnings": _warnings(outcome),
        "sql": outcome.sql,
        "dialect": outcome.dialect,
        "tables": list(outcome.tables),
        "columns": list(outcome.columns),
    }


def _warnings(outcome: ValidatedQuery) -> list[dict[str, str]]:
    return [{"rule": w.rule, "message": w.message} for w in outcome.warnings]


def _check_batch(database: Database, path: Path) -> int:
    from sqlgen.cli import present

    code = 0
    for number, line in _lines(path):
        identity, outcome = _check_line(database, number, line)
        if isinstance(outcome, Rejection):
            code = EXIT_CODES["rejected"]
            verdict, findings, warnings = "reject", outcome.findings, []
        else:
            verdict, findings, warnings = "allow", (), _warnings(outcome)
        document = {
            "id": identity,
            "verdict": verdict,
            "findings": [finding_document(f) for f in findings],
            "warnings": warnings,
        }
        click.echo(present.json_text(document, indent=None))
    return code


def _check_line(database: Database, number: int, line: bytes) -> tuple[Any, Any]:
    def refuse(message: str) -> Rejection:
        return Rejection("", (Finding("input", f"line {number}: {message}"),))

    try:
        entry = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError:
        return None, refuse("not UTF-8 text")
    except json.JSONDecodeError as error:
        return None, refuse(f"not JSON ({error.msg})")
    except RecursionError:
        return None, refuse("not JSON that can be read (nested too deep)")
    if not isinstance(entry, dict):
        return None, refuse('not an object like {"id": 1, "sql": "SELECT 1"}')
    identity, sql, dialect = entry.get("id"), entry.get("sql"), entry.get("dialect")
    if not isinstance(sql, str):
        return identity, refuse('no text under "sql"')
    if dialect is not None and dialect not in DIALECTS:
        return identity, refuse(f"unknown dialect {dialect!r}; known: {', '.join(DIALECTS)}")
    return identity, database.check(sql, dialect=dialect)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    if str(path) == "-":
        yield from _numbered(sys.stdin.buffer)
        return
    try:
        with path.open("rb") as file:
            yield from _numbered(file)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _numbered(lines: Any) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


# --- index -------------------------------------------------------------------------------------------------


@root.group(epilog=example("sqlgen index status --db sqlite:///shop.db"))
def index() -> None:
    """The retrieval index of a database: build, refresh, status."""


def _index_command(name: str, help_: str, work: Callable[[Database], dict[str, object]]) -> None:
    @index.command(name, help=help_, epilog=example(f"sqlgen index {name} --db sqlite:///shop.db"))
    @db_option
    @schema_options
    @embedder_option
    @click.option(
        "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print."
    )
    def run(
        db: str | None, schema_file: Path | None, dialect: Dialect | None, embedder: str | None, format_: str
    ) -> int:
        from sqlgen.cli import present, terminal

        with connected(db, schema_file, dialect, {"embedder": embedder}) as database:
            status = work(database)
        if format_ == "json":
            click.echo(present.json_text(status))
        else:
            terminal.print_pairs(status)
        return 0


_index_command(
    "build", "Read the schema and its values anew and build the index from scratch.", lambda db: db.refresh()
)
_index_command(
    "refresh",
    "Bring the index up to date with the schema; does nothing when it fits.",
    lambda db: db.refresh(rebuild=False),
)
index.add_command(index_status.status)


# --- commands with a file of their own ---------------------------------------------------------------------

root.add_command(eval_)
root.add_command(feedback)
root.add_command(history)
root.add_command(knowledge)
root.add_command(train)
root.add_command(models)
root.add_command(shell)
root.add_command(logs)
root.add_command(serve)
root.add_command(mcp)
