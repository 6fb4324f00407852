"""Is the retrained model better? A comparison that an adapter has to win before it is promoted.

Three sets: held-out pairs of this database, its golden questions, and a general set that no training saw. On each,
the model in force and the candidate answer the same questions; the differences are resampled (paired bootstrap,
Efron and Tibshirani 1993).
"""

from __future__ import annotations

import html
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlgen.config import Settings
from sqlgen.eval.report import Outcome
from sqlgen.eval.runner import run_suite
from sqlgen.eval.suite import GoldQuestion, Suite, SuiteDatabase
from sqlgen.generation import Generator
from sqlgen.training.authored import authored_folder, is_general, read_authored
from sqlgen.training.pairs import Pair

__all__ = ["Comparison", "GateReport", "compare", "general_suite", "judge", "own_suite", "page_of"]

_RESAMPLES = 4000
# A gain that more resamples than these don't show may be luck.
_CHANCE = 0.1
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One set: shares of right answers before and after, the 90 % interval of the difference, what changed.

    ``chance`` is the share of resamples in which nothing was gained.
    """

    name: str
    count: int
    before: float
    after: float
    low: float
    high: float
    chance: float
    won: tuple[Mapping[str, str], ...]
    lost: tuple[Mapping[str, str], ...]

    @property
    def gain(self) -> float:
        """Difference of the shares, from -1 to 1."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class GateReport:
    """The sets compared, whether the candidate may be promoted, and why (not)."""

    comparisons: tuple[Comparison, ...]
    passed: bool
    reasons: tuple[str, ...]
    margin: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "passed": self.passed,
            "reasons": list(self.reasons),
            "margin": self.margin,
            "sets": [
                {
                    "name": c.name, "count": c.count, "before": round(c.before, 4), "after": round(c.after, 4),
                    "gain": round(c.gain, 4), "chance": round(c.chance, 4), "interval_90": [round(c.low, 4), round(c.high, 4)],
                    "won": list(c.won), "lost": list(c.lost),
                }
                for c in self.comparisons
            ],
        }  # fmt: skip


def own_suite(pairs: Sequence[Pair], url: str, name: str = "own") -> Suite:
    """Pairs of a live database as a suite."""
    questions = tuple(
        GoldQuestion(f"{name}-{n}", pair.question, "own", (pair.sql,)) for n, pair in enumerate(pairs, 1)
    )
    return Suite(name, questions, {"own": SuiteDatabase("own", url=url)})


def general_suite(folder: Path, count: int = 120) -> Suite:
    """Questions kept from all training, over businesses of their own, as SQLite files in ``folder``."""
    questions: list[GoldQuestion] = []
    databases: dict[str, SuiteDatabase] = {}
    for path in sorted(authored_folder().glob("*.json")):
        one = read_authored(path)
        place = folder / f"{one.name}.sqlite"
        with closing(one.connection) as source, closing(sqlite3.connect(place)) as copy:
            source.commit()
            source.backup(copy)
        databases[one.name] = SuiteDatabase(one.name, url=f"sqlite:///{place}", path=place)
        questions += [
            GoldQuestion(f"{one.name}-{n}", question, one.name, (sql,))
            for n, (question, sql) in enumerate(one.pairs, 1)
            if is_general(question) and not _is_relative(question)
        ]
    random.Random(7).shuffle(questions)
    return Suite("general", tuple(questions[:count]), databases)


def _is_relative(question: str) -> bool:
    """Whether the answer depends on the day it is asked."""
    lowered = question.lower()
    return any(
        word in lowered
        for word in ("last ", "this ", "past ", "today", "yesterday", "current", "ago", "so far")
    )


def compare(name: str, before: Sequence[Outcome], after: Sequence[Outcome], seed: int = 1) -> Comparison:
    """The same questions answered twice.

    >>> from sqlgen.eval.report import Outcome
    >>> right = Outcome("1", "d", "q", "g", "s", True, 1.0, "answered", 1.0, True, True, "easy")
    >>> compare("own", [right], [right]).gain
    0.0
    """
    pairs = list(zip(before, after, strict=True))
    steps = [int(b.correct) - int(a.correct) for a, b in pairs]
    rng = random.Random(seed)
    count = len(steps)
    means = sorted(sum(rng.choices(steps, k=count)) / count for _ in range(_RESAMPLES)) if count else [0.0]
    return Comparison(
        name,
        count,
        sum(a.correct for a, _ in pairs) / count if count else 0.0,
        sum(b.correct for _, b in pairs) / count if count else 0.0,
        means[int(0.05 * (len(means) - 1))],
        means[int(0.95 * (len(means) - 1))],
        sum(m <= 0 for m in means) / len(means),
        tuple(_changed(a, b) for a, b in pairs if b.correct and not a.correct),
        tuple(_changed(a, b) for a, b in pairs if a.correct and not b.correct),
    )


def _changed(before: Outcome, after: Outcome) -> dict[str, str]:
    return {"question": before.question, "gold": before.gold, "before": before.sql, "after": after.sql}


def judge(
    suites: Sequence[Suite],
    current: Generator,
    candidate: Generator,
    *,
    settings: Settings,
    margin: float,
    progress: Progress | None = None,
) -> GateReport:
    """Compare on all suites; the first is the one to win, the others may fall by ``margin`` at most.

    The first is won when it rises and nine of ten resamples rise too.
    """
    found: list[Comparison] = []
    total = 2 * sum(len(s.questions) for s in suites)
    done = 0
    for suite in suites:
        reports = []
        for generator in (current, candidate):

            def tell(part: int, _: int, what: str, base: int = done, name: str = suite.name) -> None:
                if progress is not None:
                    progress(base + part, total, f"gate: {name}")

            reports.append(run_suite(suite, generator=generator, settings=settings, progress=tell))
            done += len(suite.questions)
        found.append(compare(suite.name, reports[0].outcomes, reports[1].outcomes))
    return decide(found, margin)


def decide(found: Sequence[Comparison], margin: float) -> GateReport:
    """Whether the first set is won and none of the others lost."""
    reasons = []
    first = found[0]
    if first.count == 0:
        reasons.append(f"{first.name}: no held-out pairs to compare on; give more pairs")
    elif first.gain <= 0:
        reasons.append(
            f"{first.name}: {_percent(first.before)} before, {_percent(first.after)} after: no better"
        )
    elif first.chance > _CHANCE:
        reasons.append(
            f"{first.name}: the gain of {100 * first.gain:.1f} points on {first.count} questions may be chance"
        )
    for other in found[1:]:
        if other.count and other.gain < -margin:
            reasons.append(
                f"{other.name}: falls from {_percent(other.before)} to {_percent(other.after)}, "
                f"more than the margin of {100 * margin:.1f} points"
            )
    return GateReport(tuple(found), not reasons, tuple(reasons), margin)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def page_of(report: GateReport, lineage: Mapping[str, Any]) -> str:
    """One self-contained HTML page: verdict, sets, every question that changed, lineage."""
    esc = html.escape
    rows = "".join(
        f"<tr><td>{esc(c.name)}<td>{c.count}<td>{_percent(c.before)}<td>{_percent(c.after)}"
        f"<td>{100 * c.gain:+.1f} ({100 * c.low:+.1f} to {100 * c.high:+.1f})<td>{len(c.won)}<td>{len(c.lost)}"
        for c in report.comparisons
    )
    changed = "".join(
        f"<h3>{esc(c.name)}: {what}</h3>"
        + "".join(
            f"<details><summary>{esc(q['question'])}</summary><dl><dt>gold<dd><code>{esc(q['gold'])}</code>"
            f"<dt>before<dd><code>{esc(q['before'])}</code><dt>after<dd><code>{esc(q['after'])}</code></dl></details>"
            for q in questions
        )
        for c in report.comparisons
        for what, questions in (("wrong before, right now", c.won), ("right before, wrong now", c.lost))
        if questions
    )
    verdict = "The candidate passed the gate." if report.passed else "The candidate was refused."
    why = "".join(f"<li>{esc(reason)}" for reason in report.reasons)
    made = "".join(f"<tr><th scope=row>{esc(str(k))}<td>{esc(str(v))}" for k, v in lineage.items())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>sqlgen gate report</title><style>:root{color-scheme:light dark}"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.3rem .8rem;border-bottom:1px solid #8886;text-align:left}"
        "code{white-space:pre-wrap}</style>"
        f"<h1>Gate report</h1><p><strong>{verdict}</strong></p><ul>{why}</ul>"
        "<table><tr><th>set<th>questions<th>before<th>after<th>difference in points (90 % interval)<th>won<th>lost"
        f"{rows}</table>{changed}<h2>Lineage</h2><table>{made}</table></html>\n"
    )
