"""What a run found out: one outcome per question, the figures over them, and how they are written down."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sqlgen.errors import UsageError
from sqlgen.eval.metrics import calibration, percentile, risk_coverage, share, wilson
from sqlgen.types import Finding

__all__ = ["Outcome", "Report", "provenance", "render_summary", "write_predictions", "write_report"]

_LEVELS = ("easy", "medium", "hard", "extra", "unknown")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question, answered and judged. ``failure`` is empty when the answer is right.

    ``gold`` is the accepted answer that the prediction was compared with: the one it equals, else the
    first that runs. ``valid`` says that the final SQL passed validation and the engine executed it.
    ``suite_correct`` says that the answer is right on every further instance of the database as well,
    None where that was not asked; ``suite_correct_published`` the same with DISTINCT left out of answer and gold, as the
    published evaluator does unless told otherwise (Zhong et al. 2020). ``gold_rows`` and ``rows`` are the first rows of
    both results, as text, where the answer is wrong. ``asked`` says that the answer offers another reading;
    ``readings`` how many of those that an ambiguous question has are shown, None for other questions.
    """

    id: str
    db_id: str
    question: str
    gold: str
    sql: str
    correct: bool
    confidence: float
    status: str
    latency_ms: float
    exact_match: bool
    valid: bool
    difficulty: str
    failure: str = ""
    message: str = ""
    gold_error: str = ""
    gold_refused: tuple[Finding, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    suite_correct: bool | None = None
    suite_correct_published: bool | None = None
    family: str = ""
    gold_rows: tuple[tuple[str, ...], ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    asked: bool = False
    readings: int | None = None

    def prediction(self) -> dict[str, Any]:
        """The line of a predictions file."""
        return {
            "id": self.id,
            "db_id": self.db_id,
            "question": self.question,
            "gold": self.gold,
            "sql": self.sql,
            "correct": self.correct,
            "confidence": round(self.confidence, 6),
            "status": self.status,
            "latency_ms": round(self.latency_ms, 3),
            "exact_match": self.exact_match,
            "suite_correct": self.suite_correct,
            "suite_correct_published": self.suite_correct_published,
            "asked": self.asked,
            "difficulty": self.difficulty,
            "failure": self.failure,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The outcomes of a run in the order of the suite, and where the run came from."""

    suite: str
    outcomes: tuple[Outcome, ...]
    mode: str = "hybrid"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The figures as one JSON document.

        Every share is over all questions of the run, those with a gold error included: they count as
        wrong and are listed in ``gold_errors``. ``accuracy_when_answered`` alone is over the questions
        that were answered. Intervals are Wilson's at 95 %.
        """
        outcomes = self.outcomes
        count = len(outcomes)
        refused = [o for o in outcomes if o.gold_refused]
        judged = [(o.confidence, o.correct) for o in outcomes]
        curve = risk_coverage(judged)
        tested = [o for o in outcomes if o.suite_correct is not None]
        return {
            "suite": self.suite,
            "mode": self.mode,
            **_accuracy(outcomes),
            "valid_sql_rate": share(sum(o.valid for o in outcomes), count),
            "coverage": share(sum(o.status == "answered" for o in outcomes), count),
            "accuracy_when_answered": share(
                sum(o.correct for o in outcomes), sum(o.status == "answered" for o in outcomes)
            ),
            "intervals": {
                "execution_accuracy": list(wilson(sum(o.correct for o in outcomes), count)),
                "exact_match": list(wilson(sum(o.exact_match for o in outcomes), count)),
                "valid_sql_rate": list(wilson(sum(o.valid for o in outcomes), count)),
            },
            "test_suite_accuracy": share(sum(bool(o.suite_correct) for o in tested), len(tested))
            if tested
            else None,
            "test_suite_accuracy_published": share(
                sum(bool(o.suite_correct_published) for o in tested), len(tested)
            )
            if tested
            else None,
            "accuracy_at_80_coverage": curve["accuracy_at_80"],
            "aurc": curve["aurc"],
            "calibration": calibration(judged),
            "risk_coverage": curve["curve"],
            "readings": _readings(outcomes),
            "latency_ms": _latency(outcomes),
            "stages_ms": _stages(outcomes),
            "by_difficulty": _grouped(outcomes, lambda o: o.difficulty, _LEVELS),
            "by_database": _grouped(outcomes, lambda o: o.db_id),
            "by_family": _grouped([o for o in outcomes if o.family], lambda o: o.family),
            "failures_by_kind": dict(Counter(o.failure for o in outcomes if o.failure).most_common()),
            "gold_errors": [
                {"id": o.id, "gold": o.gold, "error": o.gold_error} for o in outcomes if o.gold_error
            ],
            "gold_refused": {
                "count": len(refused),
                "queries": [
                    {"id": o.id, "gold": o.gold, "findings": [f.message for f in o.gold_refused]}
                    for o in refused
                ],
            },
            "provenance": dict(self.provenance),
        }


def _accuracy(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "count": len(outcomes),
        "execution_accuracy": share(sum(o.correct for o in outcomes), len(outcomes)),
        "exact_match": share(sum(o.exact_match for o in outcomes), len(outcomes)),
    }


def _readings(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How often a second reading is offered, and what becomes of the questions that have two or more."""
    split = [o for o in outcomes if o.readings is not None]
    both = sum((o.readings or 0) > 1 for o in split)
    one = sum(o.readings == 1 and o.status == "answered" for o in split)
    return {
        "asked": share(sum(o.asked for o in outcomes), len(outcomes)),
        "ambiguous": len(split),
        "both_offered": share(both, len(split)),
        "interval": list(wilson(both, len(split))),
        "declined": share(sum(o.status != "answered" for o in split), len(split)),
        "one_given": share(one, len(split)),
    }


def _latency(outcomes: Sequence[Outcome]) -> dict[str, float]:
    times = [o.latency_ms for o in outcomes]
    return {"p50": percentile(times, 50), "p95": percentile(times, 95)}


def _stages(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    times: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        for stage, spent in outcome.timings_ms.items():
            times[stage].append(spent)
    return {stage: {"p50": percentile(v, 50), "p95": percentile(v, 95)} for stage, v in times.items()}


def _grouped(
    outcomes: Iterable[Outcome], key: Callable[[Outcome], str], order: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[key(outcome)].append(outcome)
    names = [name for name in order if name in groups] if order else sorted(groups)
    return {name: _accuracy(groups[name]) for name in names}


def provenance(data: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Where figures come from: code, data, versions, machine. ``data`` are hashes by role."""
    packages = ("sqlgen", "sqlglot", "sqlalchemy", "onnxruntime", "numpy", "tokenizers")
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": _git_hash(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "machine": {"cores": _cores(), "system": sys.platform},
        "data_sha256": dict(data),
        **more,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_hash() -> str | None:
    """The commit of the source tree this runs from, with ``+`` when it has changes; None when installed."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def write_predictions(path: Path, report: Report) -> None:
    """One JSON line per question, in the order of the suite."""
    lines = [json.dumps(outcome.prediction(), ensure_ascii=False) for outcome in report.outcomes]
    write_text(path, "\n".join(lines) + "\n")


def write_report(folder: Path, figures: Mapping[str, Any], report: Report | None = None) -> None:
    """Write report.json and summary.md into ``folder``; of a run of answers, its page and predictions too."""
    from sqlgen.eval.page import page_of

    write_text(folder / "report.json", json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    write_text(folder / "summary.md", f"# {figures['suite']}\n\n```\n{render_summary(figures)}\n```\n")
    if report is not None:
        write_predictions(folder / "predictions.jsonl", report)
        write_text(folder / "report.html", page_of(report, figures))


def write_text(path: Path, text: str) -> None:
    """Write a file whole: beside its place first, then moved. UsageError when it cannot be written."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, "utf-8", errors="backslashreplace")
        part.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def render_summary(figures: Mapping[str, Any]) -> str:
    """The figures of a run, of answers or of retrieval, for a person at a terminal."""
    lines = [f"suite      {figures['suite']}, {figures['count']:,} questions"]
    if figures.get("kind") == "unanswerable":
        low, high = figures["interval"]
        lines.append(
            f"abstained  {_percent(figures['abstained'])} of questions that the database can't answer "
            f"({_percent(low)} to {_percent(high)} at 95 %)"
        )
        return "\n".join(lines)
    if figures.get("kind") == "union":
        low, high = figures["interval"]
        lines += [
            f"execution  {_percent(figures['execution_accuracy'])} right ({_percent(low)} to {_percent(high)} at 95 %)",
            f"database   {_percent(figures['right_database'])} asked the right one",
        ]
        return "\n".join(lines)
    if "recall" in figures:
        return "\n".join(lines + _retrieval_lines(figures))
    low, high = figures["intervals"]["execution_accuracy"]
    lines += [
        f"execution  {_percent(figures['execution_accuracy'])} right "
        f"({_percent(low)} to {_percent(high)} at 95 %)",
        f"exact      {_percent(figures['exact_match'])} the same clauses as the gold SQL",
        f"valid      {_percent(figures['valid_sql_rate'])} passed validation and ran",
        f"coverage   {_percent(figures['coverage'])} answered, "
        f"{_percent(figures['accuracy_when_answered'])} of these right",
        f"latency    {figures['latency_ms']['p50']:.0f} ms median, {figures['latency_ms']['p95']:.0f} ms p95",
    ]
    if figures.get("test_suite_accuracy") is not None:
        lines.append(
            f"test suite {_percent(figures['test_suite_accuracy'])} right on every instance, "
            f"{_percent(figures['test_suite_accuracy_published'])} with DISTINCT left out, as published"
        )
    if figures.get("accuracy_at_80_coverage") is not None:
        lines.append(
            f"confidence {_percent(figures['accuracy_at_80_coverage'])} right of the surest 80 %, "
            f"calibration error {figures['calibration']['ece']:.3f}"
        )
    if figures["readings"]["ambiguous"]:
        told = figures["readings"]
        low, high = told["interval"]
        lines.append(
            f"ambiguous  {_percent(told['both_offered'])} of {told['ambiguous']} questions with several readings got two "
            f"({_percent(low)} to {_percent(high)} at 95 %), {_percent(told['declined'])} declined, "
            f"{_percent(told['one_given'])} given one alone"
        )
    for title in ("difficulty", "database", "family"):
        groups = figures[f"by_{title}"]
        if len(groups) > 1:
            lines += ["", f"{title:<32}{'count':>7}{'execution':>11}{'exact':>9}"]
            lines += [
                f"{name:<32}{group['count']:>7}{_percent(group['execution_accuracy']):>11}"
                f"{_percent(group['exact_match']):>9}"
                for name, group in groups.items()
            ]
    if figures["failures_by_kind"]:
        lines += ["", "wrong because of"]
        lines += [f"{kind:<32}{count:>7}" for kind, count in figures["failures_by_kind"].items()]
    if figures["gold_errors"]:
        lines += ["", f"{len(figures['gold_errors'])} gold queries do not run; they count as wrong:"]
        lines += [f"  {entry['id']}: {entry['error']}" for entry in figures["gold_errors"][:10]]
    if figures["gold_refused"]["count"]:
        lines += ["", f"validation refuses the gold SQL of {figures['gold_refused']['count']} questions"]
    return "\n".join(lines)


def _retrieval_lines(figures: Mapping[str, Any]) -> list[str]:
    depths = list(figures["recall"])
    rows = [("recall", "recall"), ("complete recall", "complete_recall"), ("precision", "precision")]
    rows.append(("column recall", "column_recall"))
    head = f"{'at most tables':<18}" + "".join(f"{depth:>9}" for depth in depths)
    body = [
        f"{title:<18}" + "".join(f"{_percent(figures[key][depth]):>9}" for depth in depths)
        for title, key in rows
    ]
    latency = figures["latency_ms"]
    stages = [
        line
        for key, title in (
            ("complete_recall", "complete recall"),
            ("recall", "recall"),
            ("precision", "precision"),
        )
        if "stages" in figures
        for line in (
            "",
            f"{title:<18}" + "".join(f"{depth:>9}" for depth in depths),
            *(
                f"{row['stage']:<18}" + "".join(f"{_percent(row[key][depth]):>9}" for depth in depths)
                for row in figures["stages"]
            ),
        )
    ]
    return [
        f"catalog    {figures['tables']:,} tables, {figures['scope']}",
        f"latency    {latency['p50']:.1f} ms median, {latency['p95']:.1f} ms p95",
        "",
        head,
        *body,
        "",
        f"within the token budget: all gold tables for {_percent(figures['in_budget']['complete_recall'])}, "
        f"{_percent(figures['in_budget']['column_recall'])} of gold columns",
        *stages,
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
