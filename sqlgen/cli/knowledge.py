"""``sqlgen knowledge``: terms, metrics, documents and verified queries of a database."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sqlgen.cli.shared import EXIT_CODES, combined, connected, db_option, example, say, schema_options
from sqlgen.types import Dialect, Rejection

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = ["knowledge"]

_KINDS = ("term", "metric", "document", "query", "description")
_SHOWN = 60
_place = combined(
    db_option,
    schema_options,
    click.option(
        "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print."
    ),
)
_synonyms = click.option(
    "--synonym", "synonyms", multiple=True, metavar="NAME", help="Another name; repeatable."
)
_table = click.option("--table", metavar="TABLE", help="The table whose rows it is about.")


@click.group(
    epilog=example(
        'sqlgen knowledge add metric "net sales" "SUM(orders.total)" --filter "orders.status = \'paid\'"',
        "sqlgen knowledge import dbt/target/manifest.json",
    )
)
def knowledge() -> None:
    """What people know beside the schema; a change holds from the next question on."""


@knowledge.group(epilog=example('sqlgen knowledge add term "active customer" "status is active"'))
def add() -> None:
    """Add a term, a metric, a document or a verified query, or replace the one of that name."""


@add.command(
    epilog=example(
        'sqlgen knowledge add term "open order" "not yet shipped" --sql "orders.shipped_on IS NULL"'
    )
)
@_place
@click.argument("name")
@click.argument("definition")
@click.option("--sql", default="", help="A condition on rows of a table, or a query for their keys.")
@_synonyms
@_table
def term(
    name: str, definition: str, sql: str, synonyms: tuple[str, ...], table: str | None, **place: Any
) -> int:
    """A word of the business: NAME and what it means, DEFINITION."""
    return _added(
        place, lambda db: db.knowledge.add_term(name, definition, sql=sql, synonyms=synonyms, table=table)
    )


@add.command(
    epilog=example(
        'sqlgen knowledge add metric revenue "SUM(orders.total)" --filter "orders.status = \'paid\'"'
    )
)
@_place
@click.argument("name")
@click.argument("sql")
@click.option("--definition", default="", help="What it means, in words.")
@click.option(
    "--filter", "filters", multiple=True, metavar="SQL", help="A condition on its rows; repeatable."
)
@_synonyms
@_table
def metric(
    name: str,
    sql: str,
    definition: str,
    filters: tuple[str, ...],
    synonyms: tuple[str, ...],
    table: str | None,
    **place: Any,
) -> int:
    """A figure: NAME and its SQL, an expression over one table and what that refers to."""
    return _added(
        place,
        lambda db: db.knowledge.add_metric(
            name, sql, definition=definition, synonyms=synonyms, table=table, filters=filters
        ),
    )


@add.command(epilog=example("sqlgen knowledge add document handbook.md"))
@_place
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What it is called; else its first heading.")
def document(file: Path, name: str | None, **place: Any) -> int:
    """A Markdown FILE, cited by its headings."""
    from sqlgen.knowledge import Document
    from sqlgen.knowledge.files import document_of

    made = document_of(file)
    if name:
        made = Document(name, made.text, made.source)
    return _added(place, lambda db: db.knowledge.add(made))


@add.command(epilog=example('sqlgen knowledge add query "How many orders?" "SELECT COUNT(*) FROM orders"'))
@_place
@click.argument("question")
@click.argument("sql")
@click.option("--wording", "wordings", multiple=True, help="The question in other words; repeatable.")
def query(question: str, sql: str, wordings: tuple[str, ...], **place: Any) -> int:
    """A QUESTION with its SQL: it answers that question from now on. Exit code 3 when the SQL is refused."""
    return _added(place, lambda db: db.knowledge.add_query(question, sql, wordings=wordings))


def _added(place: dict[str, Any], work: Callable[[Database], str | Rejection]) -> int:
    with _opened(place) as database:
        outcome = work(database)
    if isinstance(outcome, Rejection):
        findings = [f.message for f in outcome.findings]
        if place["format_"] == "json":
            _print(
                {
                    "verdict": "reject",
                    "findings": [{"rule": f.rule, "message": f.message} for f in outcome.findings],
                }
            )
        say("rejected: " + "; ".join(findings))
        return EXIT_CODES["rejected"]
    if place["format_"] == "json":
        _print({"id": outcome, "verdict": "allow"})
    else:
        click.echo(f"kept {outcome}")
    return 0


@knowledge.command(
    name="import",
    epilog=example("sqlgen knowledge import models/schema.yml", "sqlgen knowledge import schemas/retail"),
)
@_place
@click.argument("path", type=click.Path(path_type=Path))
def import_(path: Path, **place: Any) -> int:
    """Take over a file or a folder, in one change.

    \b
    .toml          terms and metrics ([[terms]]), or descriptions of tables
    .jsonl         verified queries: {"question", "sql", "wordings"}
    .md            a document
    .yml           dbt properties, MetricFlow semantic models and metrics
    manifest.json  a dbt manifest
    a folder       glossary.toml, metrics.toml, descriptions.toml, queries.jsonl, documents/, or a dbt project

    What the database does not have or refuses is left out, and the reason printed.
    """
    with _opened(place) as database:
        done = database.knowledge.import_from(path)
    counts: dict[str, dict[str, int]] = {}
    for identity, action in done.taken:
        actions = counts.setdefault(identity.partition(":")[0], {})
        actions[action] = actions.get(action, 0) + 1
    if place["format_"] == "json":
        _print(
            {
                "counts": counts,
                "taken": [{"id": i, "action": action} for i, action in done.taken],
                "skipped": [{"what": s.what, "why": s.why} for s in done.skipped],
            }
        )
        return 0
    for kind, actions in sorted(counts.items()):
        click.echo(f"{kind}: " + ", ".join(f"{n} {action}" for action, n in sorted(actions.items())))
    if not counts:
        click.echo("nothing was taken over")
    for skipped in done.skipped:
        say(f"skipped {skipped.what}: {skipped.why}")
    return 0


@knowledge.command(
    name="list", epilog=example("sqlgen knowledge list --kind metric", "sqlgen knowledge list --history")
)
@_place
@click.option("--kind", type=click.Choice(_KINDS), help="One kind only.")
@click.option("--history", is_flag=True, help="The changes instead, newest first.")
def list_(kind: Any, history: bool, **place: Any) -> int:
    """What is known: ids, names and what they mean, or with --history every change."""
    with _opened(place) as database:
        entries = database.knowledge.entries(kind)
        changes = database.knowledge.history() if history else ()
    if history:
        columns = ["change", "when", "action", "item", "why", "who"]
        rows = [[c.batch, _moment(c.at), c.action, c.item, c.why, c.who] for c in changes]
        if place["format_"] == "json":
            _print(
                [
                    dict(zip(columns, row, strict=True)) | {"undoes": c.undoes}
                    for row, c in zip(rows, changes, strict=True)
                ]
            )
            return 0
    else:
        columns = ["id", "name", "means", "source"]
        rows = [[e.id, *_shown(e.item), e.item.source] for e in entries]
        if place["format_"] == "json":
            from sqlgen.knowledge import kind_of, to_body

            _print(
                [
                    {
                        "id": e.id,
                        "kind": kind_of(e.item),
                        "stored": e.is_stored,
                        **json.loads(to_body(e.item)),
                    }
                    for e in entries
                ]
            )
            return 0
    from sqlgen.cli import terminal

    if rows:
        terminal.print_rows(columns, rows)
    else:
        say("nothing yet; sqlgen knowledge add --help")
    return 0


@knowledge.command(epilog=example("sqlgen knowledge remove term:open-order"))
@_place
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
def remove(ids: tuple[str, ...], **place: Any) -> int:
    """Remove items by id, or by a name that only one has."""
    with _opened(place) as database:
        done = database.knowledge.remove(*ids)
    return _told(place, done)


@knowledge.command(epilog=example("sqlgen knowledge undo", "sqlgen knowledge undo 12"))
@_place
@click.argument("change", type=int, required=False)
def undo(change: int | None, **place: Any) -> int:
    """Take back a CHANGE by its number, or the latest one."""
    with _opened(place) as database:
        done = database.knowledge.undo(change)
    return _told(place, done)


def _told(place: dict[str, Any], done: Any) -> int:
    if place["format_"] == "json":
        _print([{"id": identity, "action": action} for identity, action in done])
    else:
        for identity, action in done:
            click.echo(f"{action} {identity}")
    return 0


def _opened(place: dict[str, Any]) -> Any:
    dialect: Dialect | None = place["dialect"]
    return connected(place["db"], place["schema_file"], dialect)


def _print(document: Any) -> None:
    from sqlgen.cli import present

    click.echo(present.json_text(document))


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at).isoformat(" ", "seconds")


def _shown(item: Any) -> tuple[str, str]:
    name = getattr(item, "name", "") or item.question
    said = (getattr(item, part, "") for part in ("sql", "definition", "says", "text"))
    means = " ".join(next(filter(None, said), "").split())
    return name, means if len(means) <= _SHOWN else means[: _SHOWN - 1] + "…"
