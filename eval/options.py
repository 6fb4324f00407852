"""What ``sqlgen eval`` does with its options: load, run, write, return the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlgen.config import Settings, load_settings
from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.eval.junit import junit_xml
from sqlgen.eval.perturb import Perturbation
from sqlgen.eval.report import Report, write_predictions, write_report, write_text
from sqlgen.eval.retrieval import run_retrieval
from sqlgen.eval.runner import Mode, Progress, run_suite
from sqlgen.eval.suite import Suite, SuiteFormat, load_suite
from sqlgen.eval.unanswerable import run_unanswerable
from sqlgen.eval.union import run_union
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
    stages: bool = False,
    union: bool = False,
    perturb: Perturbation | None = None,
    seed: int = 0,
    test_suite: str | Path | None = None,
    unanswerable: int | None = None,
    report: str | Path | None = None,
    predictions: str | Path | None = None,
    junit: str | Path | None = None,
    settings: Settings | None = None,
    generator: Generator | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run a suite and return its figures, as ``sqlgen eval SUITE --format json`` prints them.

    ``suite`` is the name of one that comes with the package or a file of questions. ``report`` is a folder
    for report.json, report.html, summary.md and predictions.jsonl; ``predictions`` a file of its own, ``junit``
    one of JUnit XML. ``generator``
    defaults to the model that the settings name. ``perturb`` changes questions or names, drawn with ``seed``
    (see ``sqlgen.eval.perturb``). ``union`` asks over one catalog of all databases. ``test_suite`` is a
    folder of further instances of the databases; ``unanswerable`` the number of questions put to databases that
    don't hold the answer. ``render_summary`` turns the figures into text.
    Raises UsageError for options that do not fit together or files that are not there.
    """
    if test_suite is not None and not Path(test_suite).is_dir():
        raise UsageError(f"no folder of instances at {test_suite}")
    if unanswerable is not None and (retrieval or perturb or predictions or test_suite):
        raise UsageError("--unanswerable measures abstaining alone; leave the other measurements out")
    if junit is not None and (retrieval or unanswerable is not None):
        raise UsageError("--junit needs answers with known SQL; leave --retrieval and --unanswerable out")
    if union and (retrieval or perturb or test_suite or unanswerable is not None or predictions or junit):
        raise UsageError("--union measures answers over one catalog; leave the other measurements out")
    if per_database and not retrieval:
        raise UsageError("--per-database belongs to --retrieval")
    if stages and not retrieval:
        raise UsageError("--stages belongs to --retrieval")
    if predictions is not None and retrieval:
        raise UsageError("--predictions needs answers; --retrieval writes none")
    if perturb is not None and retrieval:
        raise UsageError("--perturb needs answers; --retrieval measures none")
    settings = load_settings() if settings is None else settings
    loaded = load_suite(
        suite, format=suite_format, questions=questions, tables=tables, databases=databases, db=db
    )
    union = union or (loaded.union and not retrieval)
    if union and (perturb or test_suite or unanswerable is not None or predictions or junit):
        raise UsageError(
            f"suite {loaded.name!r} measures answers over one catalog; leave the other measurements out"
        )
    if retrieval:
        if generator is None:
            generator = _generator_if_there(settings)
        figures = run_retrieval(
            loaded,
            per_database=per_database,
            stages=stages,
            limit=limit,
            settings=settings,
            count_tokens=None if generator is None else generator.count_tokens,
            progress=progress,
        )
        if report is not None:
            write_report(Path(report), figures)
        return figures
    generator = _generator_of(mode, loaded, settings) if generator is None else generator
    if union:
        figures = run_union(loaded, generator=generator, limit=limit, settings=settings, progress=progress)
        if report is not None:
            write_report(Path(report), figures)
        return figures
    if unanswerable is not None:
        figures = run_unanswerable(
            loaded, generator=generator, count=unanswerable, seed=seed, settings=settings, progress=progress
        )
        if report is not None:
            write_report(Path(report), figures)
        return figures
    result: Report = run_suite(
        loaded,
        generator=generator,
        limit=limit,
        mode=mode,
        beams=beams,
        settings=settings,
        progress=progress,
        perturb=perturb,
        seed=seed,
        test_suite=None if test_suite is None else Path(test_suite),
    )
    figures = result.to_dict()
    if predictions is not None:
        write_predictions(Path(predictions), result)
    if junit is not None:
        write_text(Path(junit), junit_xml(result))
    if report is not None:
        write_report(Path(report), figures, result)
    return figures


def _generator_of(mode: Mode, suite: Suite, settings: Settings) -> Generator:
    """The model that the settings name; for what measures adapters, the one in force for the suite's database."""
    (place, *others) = suite.databases.values()
    if mode not in ("hybrid", "finetune-only") or settings.model != "shipped" or others or not place.url:
        return load_generator(settings.model)
    from sqlgen.pipeline import connect

    with connect(place.url, settings=settings) as database:
        entry = database.adapters.current()
    return load_generator("shipped" if entry is None else str(entry.weights))


def _generator_if_there(settings: Settings) -> Generator | None:
    try:
        return load_generator(settings.model)
    except ModelUnavailable:
        return None
