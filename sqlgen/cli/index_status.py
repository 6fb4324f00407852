"""``sqlgen index status``: what the index holds, whether it fits the schema, and which queries the schema broke."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sqlgen.cli.shared import connected, db_option, example, schema_options
from sqlgen.errors import UsageError
from sqlgen.files import read_text
from sqlgen.types import Dialect

if TYPE_CHECKING:
    from sqlgen.drift import Broken
    from sqlgen.pipeline import Database

__all__ = ["status"]


@click.command(
    epilog=example(
        "sqlgen index status --db sqlite:///shop.db",
        "sqlgen index status --db sqlite:///shop.db --queries golden.jsonl",
    )
)
@db_option
@schema_options
@click.option(
    "--queries",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help='More queries to hold against the schema: lines {"id", "sql"}.',
)
@click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print."
)
def status(
    db: str | None, schema_file: Path | None, dialect: Dialect | None, queries: Path | None, format_: str
) -> int:
    """Say what the index holds and whether it fits the schema; builds nothing.

    Names the verified queries, terms, metrics and logged statements that the schema no longer allows, and what a
    renamed table or column would make of them.
    """
    from sqlgen.cli import present, terminal

    more = [] if queries is None else _read(queries)
    with connected(db, schema_file, dialect) as database:
        found = database.index_status()
        more += _logged(database)
        is_known = any(entry.item for entry in database.knowledge.entries())
        broken = database.drift(more) if is_known or more else []
    if format_ == "json":
        click.echo(present.json_text({**found, "drift": [asdict(one) for one in broken]}))
        return 0
    terminal.print_pairs({**found, "drift": _summary(broken)})
    for one in broken:
        print()
        pairs = {one.kind: one.id, "why": one.why, "sql": one.sql}
        terminal.print_pairs({**pairs, "proposal": one.proposal} if one.proposal else pairs)
    return 0


def _logged(database: Database) -> list[tuple[str, str]]:
    """Statements of imported logs that the schema no longer allows."""
    from sqlgen.training.logs.pairs import collect, log_path

    if not log_path(database).exists():
        return []
    from sqlgen.cli.progress import ProgressBar

    with ProgressBar() as bar:
        return list(collect(database, bar).drifted)


def _summary(broken: list[Broken]) -> str:
    if not broken:
        return "none"
    proposed = sum(bool(one.proposal) for one in broken)
    return f"{len(broken)} no longer fit the schema, {proposed} of them with a checked proposal"


def _read(path: Path) -> list[tuple[str, str]]:
    found = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            found.append((str(raw.get("id", number)), raw["sql"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(
                f'line {number} of {path} is not like {{"id": "a", "sql": "SELECT 1"}}'
            ) from None
        if not isinstance(found[-1][1], str):
            raise UsageError(f'line {number} of {path} has no text under "sql"')
    return found
