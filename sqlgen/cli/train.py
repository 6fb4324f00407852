"""``sqlgen train`` and ``sqlgen models``: retraining on a database's own questions, and its adapters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sqlgen.cli.shared import connected, db_option, example, say, settings_of
from sqlgen.errors import UsageError

if TYPE_CHECKING:
    from sqlgen.pipeline import Database
    from sqlgen.registry import Entry, Registry
    from sqlgen.training.pairs import Pair
    from sqlgen.training.retrain import Retrained

__all__ = ["models", "train"]

_format = click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True
)


@click.command(
    epilog=example("sqlgen train --db sqlite:///shop.db --pairs pairs.jsonl --golden golden.jsonl")
)
@db_option
@click.option(
    "--pairs",
    "pair_files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help='A JSONL file of {"question", "sql"}, as "sqlgen logs pairs" writes it; may be repeated.',
)
@click.option(
    "--golden",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Golden questions (JSONL) on which the candidate must not fall.",
)
@click.option("--budget-minutes", type=click.FloatRange(0.05, 1440), default=8.0, show_default=True)
@click.option(
    "--passes",
    type=click.IntRange(1, 1000),
    default=40,
    show_default=True,
    help="Over the pairs, at most.",
)
@click.option(
    "--rank", type=click.IntRange(1, 64), default=16, show_default=True, help="Of the adapter's matrices."
)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True)
@click.option(
    "--margin",
    type=click.FloatRange(0, 100),
    default=1.0,
    show_default=True,
    help="Points that golden and general questions may fall.",
)
@click.option(
    "--promote/--no-promote", default=True, help="Bring the adapter into force when it wins the gate."
)
@click.option(
    "--report", type=click.Path(file_okay=False, path_type=Path), help="Write gate.html and gate.json there."
)
@_format
def train(
    db: str | None,
    pair_files: tuple[Path, ...],
    golden: Path | None,
    budget_minutes: float,
    passes: int,
    rank: int,
    seed: int,
    threads: int,
    margin: float,
    promote: bool,
    report: Path | None,
    format_: str,
) -> int:
    """Retrain on a database's own questions: a new adapter, promoted if it measures better.

    Without --pairs it learns from imported logs ("sqlgen logs import") and judged answers ("sqlgen feedback").

    A fifth of the pairs (of fewer than 400, three tenths) is kept apart to compare on. Exit code 0 says that the
    comparison was made, whatever it said. A run that was stopped goes on when repeated. Needs pip install 'sqlgen[train]'.
    """
    _need_training()
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.eval.suite import load_suite
    from sqlgen.training.adapt import Recipe
    from sqlgen.training.gate import page_of
    from sqlgen.training.pairs import read_pairs
    from sqlgen.training.retrain import retrain

    with connected(db, None, None) as database:
        pairs = read_pairs(pair_files, database.dialect) if pair_files else _collected(database)
        if not pairs:
            raise UsageError(
                "no pairs to learn from; give --pairs FILE, import a log ('sqlgen logs import') or correct answers "
                "('sqlgen feedback')"
            )
        settings = settings_of({}, db)
        url = str(settings.db)
        suite = None
        if golden is not None:
            suite = load_suite("golden", format="jsonl", questions=golden, db=url)
        recipe = Recipe(
            rank=rank,
            alpha=2 * rank,
            passes=passes,
            budget_minutes=budget_minutes,
            seed=seed,
            threads=threads,
        )
        with ProgressBar() as progress:
            done = retrain(
                database, settings, pairs, recipe=recipe, golden=suite, margin=margin / 100, promote=promote,
                progress=progress,
            )  # fmt: skip
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        (report / "gate.html").write_text(page_of(done.gate, done.entry.lineage), "utf-8")
        (report / "gate.json").write_text(json.dumps(done.gate.to_dict(), indent=1) + "\n", "utf-8")
    click.echo(json.dumps(_document(done)) if format_ == "json" else _text(done))
    return 0


def _collected(database: Database) -> list[Pair]:
    """What the logs and the judged answers of a database taught."""
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.training.logs.pairs import collect
    from sqlgen.training.pairs import pairs_of

    with ProgressBar() as progress:
        mined = collect(database, progress)
    if left := mined.left_out():
        say(left)
    return pairs_of(mined)


def _need_training() -> None:
    from importlib.util import find_spec

    missing = [
        name for name in ("torch", "peft", "onnx", "safetensors", "transformers") if find_spec(name) is None
    ]
    if missing:
        raise UsageError(f"retraining needs {', '.join(missing)}; pip install 'sqlgen[train]'")


def _document(done: Retrained) -> dict[str, Any]:
    return {
        "adapter": done.entry.id,
        "promoted": done.promoted,
        "gate": done.gate.to_dict(),
        "pairs": dict(done.pairs),
        "dropped": dict(done.dropped),
        "definitions": list(done.entry.lineage.get("terms", ())),
        "adapter_bytes": done.adapter_bytes,
        "training": dict(done.entry.lineage["training"]),
    }


def _text(done: Retrained) -> str:
    lines = [
        f"{'set':10} {'questions':>9} {'before':>8} {'after':>8} {'difference, 90 % interval':>30} {'won':>5} {'lost':>5}"
    ]
    for c in done.gate.comparisons:
        span = f"{100 * c.gain:+.1f} ({100 * c.low:+.1f} to {100 * c.high:+.1f})"
        lines.append(
            f"{c.name:10} {c.count:9d} {100 * c.before:6.1f} % {100 * c.after:6.1f} % {span:>30} {len(c.won):5d} {len(c.lost):5d}"
        )
    learned = done.learned
    lines.append("")
    lines.append(
        f"learned from {done.pairs['learn']} pairs in {learned.seconds:.0f} s ({learned.steps} steps; {learned.stopped})"
    )
    for term in done.entry.lineage.get("terms", ()):
        names = ", ".join(map(repr, (term["name"], *term["synonyms"])))
        lines.append(f"learned   that {names} means {term['definition']}")
    if done.dropped:
        causes = sorted(done.dropped.items(), key=lambda item: -item[1])
        lines.append(f"left out  {', '.join(f'{count:,} {why}' for why, count in causes)}")
    if any("unknown_" in why for why in done.dropped):
        lines.append(
            "          'sqlgen index status --queries FILE' says what a rename would make of unknown names"
        )
    if blank := done.gate.comparisons[0].as_sql:
        lines.append(
            f"{blank} of the held-out queries find nothing here: compared by their clauses, not their rows"
        )
    for reason in done.gate.reasons:
        lines.append(f"refused   {reason}")
    for remark in done.gate.remarks:
        lines.append(f"note      {remark}")
    state = "is in force; 'sqlgen models rollback' goes back" if done.promoted else "is kept and not in force"
    lines.append(f"adapter {done.entry.id} ({done.adapter_bytes / 1e6:.1f} MB) {state}")
    return "\n".join(lines)


@click.group(epilog=example("sqlgen models list --db sqlite:///shop.db"))
def models() -> None:
    """The adapters of a database: list, show, compare, promote, go back, remove."""


def _row(entry: Entry, current: str | None) -> dict[str, Any]:
    gate = entry.gate or {"passed": None, "sets": []}
    own = next(iter(gate["sets"]), None)
    return {
        "id": entry.id,
        "in_force": entry.id == current,
        "created": datetime.fromtimestamp(entry.created, UTC).isoformat(timespec="seconds"),
        "base": " ".join(entry.base),
        "pairs": entry.lineage.get("data", {}).get("pairs"),
        "passed": gate["passed"],
        "before": own and own["before"],
        "after": own and own["after"],
    }


@models.command("list", epilog=example("sqlgen models list --db sqlite:///shop.db --format json"))
@db_option
@_format
def list_(db: str | None, format_: str) -> int:
    """All adapters of a database, oldest first."""
    with connected(db, None, None) as database:
        registry = database.adapters
        current = registry.current()
        rows = [_row(e, current.id if current else None) for e in registry.entries()]
    if format_ == "json":
        click.echo(json.dumps({"current": current.id if current else None, "adapters": rows}))
        return 0
    click.echo(
        f"{'':2}{'adapter':12}  {'created (UTC)':25}  {'pairs':>6}  {'own before':>10}  {'after':>6}  gate"
    )
    for row in rows:
        mark = "*" if row["in_force"] else " "
        before, after = (f"{100 * v:.1f} %" if v is not None else "" for v in (row["before"], row["after"]))
        gate = "passed" if row["passed"] else "refused" if row["passed"] is not None else ""
        click.echo(
            f"{mark} {row['id']:12}  {row['created']:25}  {row['pairs'] or '':>6}  {before:>10}  {after:>6}  {gate}"
        )
    if current is None:
        click.echo("* the shipped model is in force")
    return 0


@models.command(epilog=example("sqlgen models show 3f2a --db sqlite:///shop.db"))
@click.argument("adapter")
@db_option
def show(adapter: str, db: str | None) -> int:
    """An adapter's lineage and gate report, as JSON."""
    with connected(db, None, None) as database:
        entry = database.adapters.get(adapter)
    click.echo(json.dumps({"id": entry.id, "lineage": dict(entry.lineage), "gate": entry.gate}, indent=1))
    return 0


@models.command(epilog=example("sqlgen models diff 3f2a 77b0 --db sqlite:///shop.db"))
@click.argument("first")
@click.argument("second")
@db_option
def diff(first: str, second: str, db: str | None) -> int:
    """What differs in the lineage of two adapters."""
    with connected(db, None, None) as database:
        one, two = (_flat(database.adapters.get(name).lineage) for name in (first, second))
    for key in sorted(one.keys() | two.keys()):
        if one.get(key) != two.get(key):
            click.echo(f"{key}: {one.get(key)} -> {two.get(key)}")
    return 0


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{key}.")
        else:
            found[above + key] = value
    return found


@models.command(epilog=example("sqlgen models promote 3f2a --db sqlite:///shop.db"))
@click.argument("adapter")
@db_option
def promote(adapter: str, db: str | None) -> int:
    """Bring an adapter into force; processes that answer already take it up with their next question."""
    from sqlgen.generation.embedded import EmbeddedGenerator

    with connected(db, None, None) as database:
        entry = _checked_promotion(database.adapters, adapter, EmbeddedGenerator)
    refused = entry.gate is not None and not entry.gate["passed"]
    click.echo(f"adapter {entry.id} is in force" + ("; the gate had refused it" if refused else ""))
    return 0


def _checked_promotion(registry: Registry, adapter: str, generator: Any) -> Entry:
    info = generator.load().info
    # Damaged weights must not come into force.
    generator(registry.get(adapter).weights, verify=True)
    return registry.promote(adapter, (info.name, info.version))


@models.command(epilog=example("sqlgen models rollback --db sqlite:///shop.db"))
@db_option
def rollback(db: str | None) -> int:
    """Go back to the adapter before, or to the shipped model."""
    with connected(db, None, None) as database:
        entry = database.adapters.rollback()
    click.echo(f"adapter {entry.id} is in force" if entry else "the shipped model is in force")
    return 0


@models.command(epilog=example("sqlgen models prune --keep 3 --db sqlite:///shop.db"))
@click.option("--keep", type=click.IntRange(0), default=3, show_default=True, help="The newest that stay.")
@db_option
def prune(keep: int, db: str | None) -> int:
    """Remove old adapters; the one in force and the one before it stay."""
    with connected(db, None, None) as database:
        gone = database.adapters.prune(keep)
    click.echo(f"removed {len(gone)} adapters" + (f": {', '.join(gone)}" if gone else ""))
    return 0
