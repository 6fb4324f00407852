"""What ``sqlgen eval`` does with its options: load, run, write, return the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlgen.config import Settings, load_settings
from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.eval.report import Report, write_predictions, write_report
from sqlgen.eval.retrieval import run_retrieval
from sqlgen.eval.runner import Mode, Progress, run_suite
from sqlgen.eval.suite import SuiteFormat, load_suite
from sqlgen.generation import Generator, load_generator

__all__ = ["run_from_options"]


def run_from_options(
    suite: str,
    *,
    suite_format: SuiteFormat | None = None,
    questions: str | Path | None = None,
    tables: str | Path | None = None,
    databases: str | Path | None = None,
    db: str | None = None,
    limit: int | None = None,
    mode: Mode = "hybrid",
    beams: int | None = None,
    retrieval: bool = False,
    per_database: bool = False,
    report: str | Path | None = None,
    predictions: str | Path | None = None,
    settings: Settings | None = None,
    generator: Generator | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a suite and return its figures, as ``sqlgen eval SUITE --format json`` prints them.

    ``suite`` is the name of one that comes with the package or a file of questions. ``report`` is a folder
    for report.json, summary.md and predictions.jsonl; ``predictions`` a file of its own. ``generator``
    defaults to the model that the settings name. ``render_summary`` turns the figures into text.
    Raises UsageError for options that do not fit together or files that are not there.
    """
    if per_database and not retrieval:
        raise UsageError("--per-database belongs to --retrieval")
    if predictions is not None and retrieval:
        raise UsageError("--predictions needs answers; --retrieval writes none")
    settings = load_settings() if settings is None else settings
    loaded = load_suite(
        suite, format=suite_format, questions=questions, tables=tables, databases=databases, db=db
    )
    if retrieval:
        if generator is None:
            generator = _generator_if_there(settings)
        figures = run_retrieval(
            loaded,
            per_database=per_database,
            limit=limit,
            settings=settings,
            count_tokens=None if generator is None else generator.count_tokens,
            progress=progress,
        )
        if report is not None:
            write_report(Path(report), figures)
        return figures
    result: Report = run_suite(
        loaded,
        generator=load_generator(settings.model) if generator is None else generator,
        limit=limit,
        mode=mode,
        beams=beams,
        settings=settings,
        progress=progress,
    )
    figures = result.to_dict()
    if predictions is not None:
        write_predictions(Path(predictions), result)
    if report is not None:
        write_report(Path(report), figures, result)
    return figures


def _generator_if_there(settings: Settings) -> Generator | None:
    try:
        return load_generator(settings.model)
    except ModelUnavailable:
        return None
