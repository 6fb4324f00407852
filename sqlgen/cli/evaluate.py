"""``sqlgen eval``: measure a suite, compare two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sqlgen.cli.shared import LIMIT_REACHED, embedder_option, example, say
from sqlgen.config import load_settings
from sqlgen.errors import UsageError

__all__ = ["eval_"]


@click.command(
    name="eval",
    epilog=example(
        "sqlgen eval retail",
        "sqlgen eval dev --suite-format spider --questions dev.json --tables tables.json --databases DIR",
        "sqlgen eval retail --perturb typos --seed 1",
        "sqlgen eval golden.yaml --db sqlite:///shop.db --junit out.xml --fail-under 0.9",
        "sqlgen eval compare before.jsonl after.jsonl",
    ),
)
@click.argument("suite", nargs=-1, metavar="[SUITE | compare A B]")
@click.option(
    "--suite-format",
    type=click.Choice(("spider", "bird", "kaggledbqa", "jsonl", "yaml")),
    help="How the suite is written.",
)
@click.option("--questions", type=click.Path(path_type=Path), metavar="FILE", help="The suite's questions.")
@click.option("--tables", type=click.Path(path_type=Path), metavar="FILE", help="The suite's tables.json.")
@click.option("--databases", type=click.Path(path_type=Path), metavar="DIR", help="Its databases.")
@click.option("--report", type=click.Path(path_type=Path), metavar="DIR", help="Write a report there.")
@click.option("--predictions", type=click.Path(path_type=Path), metavar="FILE", help="One line per question.")
@click.option(
    "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML for a CI system."
)
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Exit with 6 when fewer answers are right, or, comparing, when the second run is worse.",
)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="N questions, spread evenly over the suite."
)
@click.option(
    "--mode",
    type=click.Choice(("hybrid", "retrieval-only", "finetune-only", "base")),
    default="hybrid",
    show_default=True,
    help="Which parts take part.",
)
@click.option("--test-suite", metavar="DIR", help="Further instances of the databases, DIR/<db_id>/*.sqlite.")
@click.option(
    "--unanswerable", type=int, metavar="N", help="Ask N questions of databases that can't answer them."
)
@click.option("--retrieval", is_flag=True, help="Measure retrieval alone.")
@click.option("--per-database", is_flag=True, help="With --retrieval: the right database is known.")
@click.option("--stages", is_flag=True, help="With --retrieval: what each step of ranking adds.")
@click.option("--union", is_flag=True, help="All databases as one catalog: the right one is not told.")
@click.option(
    "--perturb",
    type=click.Choice(("abbreviate", "synonyms", "typos", "drop-keys", "ambiguous")),
    help="Ask a harder suite: shortened names, other words, slips of the keyboard, no foreign keys, two readings.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="What --perturb is drawn with."
)
@click.option("--db", metavar="URL", help="The database of golden questions.")
@click.option("--model", metavar="NAME", help="Which model writes the SQL.")
@embedder_option
@click.option("--beams", type=click.IntRange(1, 16), metavar="N", help="Candidates that the model writes.")
@click.option(
    "--format", "format_", type=click.Choice(("table", "json")), default="table", help="How to print."
)
def eval_(suite: tuple[str, ...], format_: str, fail_under: float | None, **options: Any) -> int:
    """Measure answers (or, with --retrieval, retrieval alone) on SUITE, questions with known SQL.

    SUITE is one that comes with the package (default: retail) or a file. "compare A B" compares the predictions
    or reports of two runs.
    """
    from sqlgen.cli import present
    from sqlgen.cli.progress import ProgressBar
    from sqlgen.eval import render_summary, run_from_options

    if suite[:1] == ("compare",):
        return _compare(suite[1:], format_, fail_under)
    if len(suite) > 1:
        raise UsageError(f"one suite at a time, not {' and '.join(suite)}")
    if fail_under is not None and (options["retrieval"] or options["unanswerable"] is not None):
        raise UsageError(
            "--fail-under needs answers with known SQL; leave --retrieval and --unanswerable out"
        )
    settings = load_settings({"model": options.pop("model"), "embedder": options.pop("embedder")})
    with ProgressBar() as bar:
        name = suite[0] if suite else "retail"
        figures = run_from_options(name, **options, settings=settings, progress=bar)
    click.echo(present.json_text(figures) if format_ == "json" else render_summary(figures))
    if fail_under is not None and figures["execution_accuracy"] < fail_under:
        say(f"{figures['execution_accuracy']:.3f} right is under {fail_under:g}")
        return LIMIT_REACHED
    return 0


def _compare(runs: tuple[str, ...], format_: str, fail_under: float | None) -> int:
    from sqlgen.cli import present
    from sqlgen.eval.compare import compare_runs, read_predictions, render_comparison

    if len(runs) != 2:
        raise UsageError("compare takes two runs: predictions files or report folders")
    before, after = (read_predictions(Path(run)) for run in runs)
    figures = compare_runs(before, after)
    click.echo(present.json_text(figures) if format_ == "json" else render_comparison(figures))
    worse = figures["verdict"] == "worse" or (fail_under or 0) > figures["after"]
    return LIMIT_REACHED if fail_under is not None and worse else 0
