"""Is the retrained model better? A comparison that an adapter has to win before it is promoted.

Three sets: held-out pairs of this database, its golden questions, and a general set that no training saw. On each,
the model in force and the candidate answer the same questions; the differences are resampled (paired bootstrap,
Efron and Tibshirani 1993). Where the right query finds nothing on this database, a wrong one that finds nothing
either would pass for right: there the queries themselves are compared, by their clauses.
"""

from __future__ import annotations

import html
import random
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.config import Settings
from sqlgen.errors import DatabaseError, LimitReached
from sqlgen.eval.report import Outcome
from sqlgen.eval.runner import run_suite
from sqlgen.eval.suite import GoldQuestion, Suite, SuiteDatabase
from sqlgen.generation import Generator
from sqlgen.knowledge import Term
from sqlgen.training.authored import authored_folder, is_general, read_authored
from sqlgen.training.doubts import Doubts
from sqlgen.training.pairs import Pair
from sqlgen.types import Rejection

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = [
    "Comparison",
    "GateReport",
    "Held",
    "answers_to",
    "compare",
    "general_suite",
    "judge",
    "own_suite",
    "page_of",
    "with_doubts",
]

_RESAMPLES = 4000
# A gain that more resamples than these don't show may be luck.
_CHANCE = 0.1
# Of the pairs; more that don't fit their question, and the log is no teacher.
_SPOILED = 0.2
# Of the pairs; two values that contradict each other are no matter of likelihood, and good logs have hardly any (training/RUNS.md).
_CONFLICTING = 0.1
# Of the held-out pairs; an adapter of a good log objects to few of them.
_OBJECTED = 0.15
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One set: shares of right answers before and after, the 90 % interval of the difference, what changed.

    ``chance`` is the share of resamples in which nothing was gained, ``as_sql`` counts the questions whose right
    query finds nothing, so that the queries were compared and not their results.
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
    as_sql: int = 0

    @property
    def gain(self) -> float:
        """Difference of the shares, from -1 to 1."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class GateReport:
    """The sets compared, whether the candidate may be promoted, why (not), and what else is to be said."""

    comparisons: tuple[Comparison, ...]
    passed: bool
    reasons: tuple[str, ...]
    margin: float
    doubts: Doubts | None = None
    objections: Doubts | None = None
    remarks: tuple[str, ...] = ()

    @property
    def won(self) -> bool:
        """Whether the first set is won, whatever the others say."""
        return not decide(self.comparisons[:1], self.margin).reasons

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "passed": self.passed,
            "reasons": list(self.reasons),
            "remarks": list(self.remarks),
            "margin": self.margin,
            "doubtful": self.doubts and self.doubts.to_dict(),
            "objected": self.objections and self.objections.to_dict(),
            "sets": [
                {
                    "name": c.name, "count": c.count, "before": round(c.before, 4), "after": round(c.after, 4),
                    "gain": round(c.gain, 4), "chance": round(c.chance, 4), "interval_90": [round(c.low, 4), round(c.high, 4)],
                    "compared_as_sql": c.as_sql, "won": list(c.won), "lost": list(c.lost),
                }
                for c in self.comparisons
            ],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """A suite, the ids of its questions whose right query finds nothing, and whether it asks the database retrained for."""

    suite: Suite
    blank: frozenset[str] = frozenset()
    is_own: bool = False


def own_suite(database: Database, pairs: Iterable[tuple[Pair, str]], url: str, name: str = "own") -> Held:
    """Pairs of a live database as a suite; with each the same SQL as the model would write it, "" if it can't."""
    questions: list[GoldQuestion] = []
    blank: set[str] = set()
    for number, (pair, said) in enumerate(pairs, 1):
        id_, sql = f"{name}-{number}", pair.sql
        if _finds_nothing(database, pair.sql):
            blank.add(id_)
            sql = said or pair.sql
        questions.append(GoldQuestion(id_, pair.question, "own", (sql,)))
    suite = Suite(name, tuple(questions), {"own": SuiteDatabase("own", url=url)})
    return Held(suite, frozenset(blank), is_own=True)


def _finds_nothing(database: Database, sql: str) -> bool:
    """Whether the result is empty, or one row of nothing but NULL and zero."""
    try:
        found = database.run(sql, max_rows=2)
    except (DatabaseError, LimitReached):
        return False
    return not isinstance(found, Rejection) and (
        not found[1].rows or (len(found[1].rows) == 1 and not any(found[1].rows[0]))
    )


def general_suite(folder: Path) -> Suite:
    """All questions kept from training, over businesses of their own, as SQLite files in ``folder``."""
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
    return Suite("general", tuple(questions), databases)


def _is_relative(question: str) -> bool:
    """Whether the answer depends on the day it is asked."""
    lowered = question.lower()
    return any(
        word in lowered
        for word in ("last ", "this ", "past ", "today", "yesterday", "current", "ago", "so far")
    )


def compare(
    name: str,
    before: Sequence[Outcome],
    after: Sequence[Outcome],
    seed: int = 1,
    blank: frozenset[str] = frozenset(),
) -> Comparison:
    """The same questions answered twice; those in ``blank`` are right when the SQL has the same clauses.

    >>> from sqlgen.eval.report import Outcome
    >>> right = Outcome("1", "d", "q", "g", "s", True, 1.0, "answered", 1.0, True, True, "easy")
    >>> compare("own", [right], [right]).gain
    0.0
    """
    before, after = (
        [replace(o, correct=o.exact_match) if o.id in blank else o for o in outcomes]
        for outcomes in (before, after)
    )
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
        sum(o.id in blank for o in before),
    )


def _changed(before: Outcome, after: Outcome) -> dict[str, str]:
    return {"question": before.question, "gold": before.gold, "before": before.sql, "after": after.sql}


def answers_to(
    suites: Sequence[Held],
    generator: Generator,
    *,
    settings: Settings,
    terms: Sequence[Term] = (),
    progress: Progress | None = None,
    what: str = "",
) -> list[tuple[Outcome, ...]]:
    """What a model answers to each suite; ``terms`` are the definitions that go with it, on its own database alone."""
    total = sum(len(held.suite.questions) for held in suites)
    found: list[tuple[Outcome, ...]] = []
    for held in suites:
        done = sum(map(len, found))

        def tell(part: int, _: int, __: str, base: int = done, name: str = held.suite.name) -> None:
            if progress is not None:
                progress(base + part, total, f"gate: {name}, {what}")

        words = terms if held.is_own else ()
        report = run_suite(held.suite, generator=generator, settings=settings, progress=tell, terms=words)
        found.append(report.outcomes)
    return found


def judge(
    suites: Sequence[Held],
    before: Sequence[Sequence[Outcome]],
    after: Sequence[Sequence[Outcome]],
    margin: float,
) -> GateReport:
    """Compare two models on all suites; the first is the one to win, the others may fall by ``margin`` at most.

    The first is won when it rises and nine of ten resamples rise too.
    """
    return decide(
        [
            compare(held.suite.name, one, other, blank=held.blank)
            for held, one, other in zip(suites, before, after, strict=True)
        ],
        margin,
    )


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
        # A fall of just the margin is none beyond it, whatever the shares are rounded to.
        if other.count and other.gain < -margin - 1e-9:
            reasons.append(
                f"{other.name}: falls from {_percent(other.before)} to {_percent(other.after)}, "
                f"more than the margin of {100 * margin:.1f} points"
            )
    return GateReport(tuple(found), not reasons, tuple(reasons), margin)


def with_doubts(report: GateReport, doubts: Doubts, objections: Doubts) -> GateReport:
    """The report with what is doubtful in the log itself; too much of it and the candidate may not be promoted.

    What is learned from a spoiled log may measure well on the rest of that log. ``objections`` are those of the
    candidate to pairs that it did not learn.
    """
    report = replace(report, doubts=doubts, objections=objections)
    reasons = []
    if doubts.share > _SPOILED or doubts.conflicts > _CONFLICTING:
        reasons.append(
            f"in {len(doubts.pairs)} of {doubts.looked_at} pairs question and SQL don't fit ({_first(doubts)})"
        )
    if objections.share > _OBJECTED:
        reasons.append(
            f"the retrained model objects to {len(objections.pairs)} of {objections.looked_at} pairs that it didn't learn "
            f"({_first(objections)})"
        )
    if not reasons:
        return report
    said = f"log: {'; '.join(reasons)}; look through them ('sqlgen logs review', gate.html)"
    return replace(report, passed=False, reasons=(said, *report.reasons))


def _first(doubts: Doubts) -> str:
    pair, why = doubts.pairs[0]
    return f'for one "{pair.question}": {why}'


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def page_of(report: GateReport, lineage: Mapping[str, Any]) -> str:
    """One self-contained HTML page: verdict, sets, every question that changed, lineage."""
    esc = html.escape
    rows = "".join(
        f"<tr><td>{esc(c.name)}<td>{c.count}<td>{_percent(c.before)}<td>{_percent(c.after)}"
        f"<td>{100 * c.gain:+.1f} ({100 * c.low:+.1f} to {100 * c.high:+.1f})<td>{len(c.won)}<td>{len(c.lost)}<td>{c.as_sql}"
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
    doubtful = "".join(
        f"<h2>{title}: {len(doubts.pairs)} of {doubts.looked_at}</h2>"
        + "".join(
            f"<details><summary>{esc(pair.question)}</summary><dl><dt>{esc(why)}<dd><code>{esc(pair.sql)}</code></dl></details>"
            for pair, why in doubts.pairs
        )
        for title, doubts in (
            ("Pairs that don't fit", report.doubts),
            ("Pairs kept from learning that the candidate objects to", report.objections),
        )
        if doubts is not None and doubts.pairs
    )
    verdict = "The candidate passed the gate." if report.passed else "The candidate was refused."
    why = "".join(f"<li>{esc(reason)}" for reason in (*report.reasons, *report.remarks))
    made = "".join(f"<tr><th scope=row>{esc(str(k))}<td>{esc(str(v))}" for k, v in lineage.items())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>sqlgen gate report</title><style>:root{color-scheme:light dark}"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{padding:.3rem .8rem;border-bottom:1px solid #8886;text-align:left}"
        "code{white-space:pre-wrap}</style>"
        f"<h1>Gate report</h1><p><strong>{verdict}</strong></p><ul>{why}</ul>"
        "<table><tr><th>set<th>questions<th>before<th>after<th>difference in points (90 % interval)<th>won<th>lost<th>compared as SQL"
        f"{rows}</table>{changed}{doubtful}<h2>Lineage</h2><table>{made}</table></html>\n"
    )
