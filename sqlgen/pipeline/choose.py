"""Which of the allowed candidates answers: they are run, compared by what they find, and judged."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from sqlgen.audit import current_entry
from sqlgen.config import Settings
from sqlgen.errors import LimitReached, QueryFailed, SqlgenError
from sqlgen.pipeline.once import Once
from sqlgen.types import Candidate, Finding, Limits, Result, RetrievedContext, ValidatedQuery

if TYPE_CHECKING:
    from sqlgen.execution import Driver
    from sqlgen.generation.choice import Chooser, Trial

__all__ = ["Allowed", "Confirm", "Contest", "confidence_of"]

_EXECUTIONS = 4
# Seconds for all candidates after the first that ran.
_RIVALS_S = 0.5


def confidence_of(candidate: Candidate) -> float:
    """How likely the model holds this very query for right: its probability, 0 to 1.

    On training databases that the model had not seen, that figure told right from wrong better than
    the candidate's share among its rivals did, and matched the share of right answers.

    >>> confidence_of(Candidate("SELECT 1", 0.0, "m", "1"))
    1.0
    """
    return 0.0 if math.isnan(candidate.logprob) else math.exp(min(0.0, candidate.logprob))


@dataclass(frozen=True, slots=True)
class Allowed:
    """A candidate that validation let pass; ``doubt`` says what speaks against it, if anything."""

    candidate: Candidate
    query: ValidatedQuery
    confidence: float
    doubt: str = ""
    # The query as the model wrote it, with stand-ins, is what the chooser was fitted to judge.
    seen: ValidatedQuery | None = None
    used: frozenset[str] = frozenset()
    written: str = ""


class Confirm(Protocol):
    """Is asked, in one line, whether a costly query shall run."""

    def __call__(self, question: str, /) -> bool: ...


class Contest:
    """Runs candidates within their limits and picks one, by the chooser of the model where it has one."""

    def __init__(self, settings: Settings, driver: Once, chooser: Once, confirm: Confirm | None) -> None:
        self._settings = settings
        self._driver = driver
        self._chooser = chooser
        self.confirm = confirm

    def choose(
        self,
        text: str,
        context: RetrievedContext,
        allowed: Sequence[Allowed],
        limits: Limits,
        execute: bool,
        p_unanswerable: float,
    ) -> tuple[Allowed | None, Result | None, tuple[Finding, ...]]:
        """The allowed candidate to answer with, its confidence settled, and its result."""
        chooser = self._chooser.get()
        if chooser is None:
            return self.take_likeliest(allowed, limits, execute)
        trials, outcomes = self.compare(allowed, limits, execute)
        if execute and not any(isinstance(outcome, Result) for outcome in outcomes):
            return None, None, tuple(outcome for outcome in outcomes if isinstance(outcome, Finding))
        choice = chooser.choose(text, context, trials, p_unanswerable)
        chosen = replace(allowed[choice.index], confidence=choice.confidence, doubt=choice.doubt)
        outcome = outcomes[choice.index]
        return chosen, outcome if isinstance(outcome, Result) else None, ()

    def compare(
        self, allowed: Sequence[Allowed], limits: Limits, execute: bool, rivals_s: float = _RIVALS_S
    ) -> tuple[list[Trial], list[Result | Finding | None]]:
        """The candidates as a chooser sees them, and what each found, or why it failed."""
        from sqlgen.generation.choice import trial_of

        outcomes: list[Result | Finding | None] = [None] * len(allowed)
        if execute:
            outcomes = self._run_rivals(allowed, limits, rivals_s)
        results = [outcome if isinstance(outcome, Result) else None for outcome in outcomes]
        trials = [
            trial_of(
                attempt.seen or attempt.query,
                attempt.candidate.logprob,
                result,
                group=group,
                state="failed" if isinstance(outcome, Finding) else "not run",
            )
            for attempt, result, outcome, group in zip(
                allowed, results, outcomes, _groups(results), strict=True
            )
        ]
        return trials, outcomes

    def wanted_confidence(self) -> float:
        """Below this an answer is kept back: what the user set, else what was measured for this model."""
        if self._settings.min_confidence is not None:
            return self._settings.min_confidence
        chooser: Chooser | None = self._chooser.get()
        return 0.0 if chooser is None else chooser.threshold

    def _run_rivals(
        self, allowed: Sequence[Allowed], limits: Limits, rivals_s: float
    ) -> list[Result | Finding | None]:
        """What each candidate finds, or why it failed; None for those that there was no time for.

        The first that runs has all the time it was given. The others are only there to compare with.
        """
        driver: Driver = self._driver.get()
        found: list[Result | Finding | None] = []
        began, is_rival = time.perf_counter(), False
        for attempt in allowed:
            if is_rival and time.perf_counter() - began > rivals_s:
                found.append(None)
                continue
            timeout_s = min(limits.timeout_s, rivals_s) if is_rival else limits.timeout_s
            try:
                found.append(self.run(driver, attempt.query, replace(limits, timeout_s=timeout_s)))
                began, is_rival = began if is_rival else time.perf_counter(), True
            except QueryFailed as error:
                found.append(Finding("execution", str(error)))
            except LimitReached as error:
                if not is_rival:
                    raise
                found.append(Finding("execution", str(error)))
        return found

    def run(self, driver: Driver, query: ValidatedQuery, limits: Limits) -> Result:
        """The query's rows, if its planner lets it run; what ran is noted for the audit log."""
        note = self.require_cheap(driver, query, limits)
        began = time.perf_counter()
        try:
            result = driver.execute(query, limits)
        except SqlgenError as error:
            current_entry().add_run(query.sql, type(error).__name__, None, time.perf_counter() - began)
            raise
        current_entry().add_run(query.sql, "ok", len(result.rows), result.elapsed_s)
        return replace(result, notes=(*result.notes, note)) if note else result

    def run_again(self, query: ValidatedQuery, limits: Limits) -> Result:
        """The rows of one more query, as ``run`` gives them."""
        return self.run(self._driver.get(), query, limits)

    def require_cheap(self, driver: Driver, query: ValidatedQuery, limits: Limits) -> Finding | None:
        """LimitReached for a query that the planner finds too costly; a note when it may run all the same."""
        settings = self._settings
        if settings.max_estimated_rows is None and settings.max_cost is None:
            return None
        from sqlgen.execution.cost import excess

        estimate = driver.estimate(query, limits)
        if estimate is None:
            return None
        over = excess(estimate, settings.max_estimated_rows, settings.max_cost)
        if not over:
            return None
        if settings.on_estimate == "run" or (
            settings.on_estimate == "ask" and self.confirm is not None and self.confirm(f"{over}; run it?")
        ):
            return Finding("cost", over)
        raise LimitReached(f"{over}; narrow the question, or raise the limit", "cost")

    def take_likeliest(
        self, allowed: Sequence[Allowed], limits: Limits, execute: bool
    ) -> tuple[Allowed | None, Result | None, tuple[Finding, ...]]:
        """The likeliest candidate that runs: the rule for models that no chooser was fitted to.

        People mostly ask about what is there: a candidate that finds nothing gives way to the next one
        that finds something, if the model holds that for nearly as likely.
        """
        if not execute or allowed[0].confidence < (self._settings.min_confidence or 0.0):
            return allowed[0], None, ()
        driver: Driver = self._driver.get()
        failures: list[Finding] = []
        best: tuple[float, Allowed, Result] | None = None
        for attempt in allowed[:_EXECUTIONS]:
            if best is not None and attempt.confidence <= best[0]:
                break
            try:
                result = self.run(driver, attempt.query, limits)
            except QueryFailed as error:
                failures.append(Finding("execution", str(error)))
                continue
            except LimitReached:
                if best is None:
                    raise
                continue
            weight = attempt.confidence * _found(result)
            if best is None or weight > best[0]:
                best = (weight, attempt, result)
        if best is None:
            return None, None, tuple(failures)
        return best[1], best[2], ()


def _groups(results: Sequence[Result | None]) -> list[int]:
    """A number for each result that equal ones share; -1 for None."""
    from sqlgen.execution.compare import results_equal

    seen: list[Result] = []
    numbers = []
    for result in results:
        if result is None:
            numbers.append(-1)
            continue
        number = next((k for k, other in enumerate(seen) if results_equal(other, result)), len(seen))
        if number == len(seen):
            seen.append(result)
        numbers.append(number)
    return numbers


def _found(result: Result) -> float:
    """How much a result counts: less when it is empty, or one row of nothing but NULL and zero.

    Both figures were chosen on training databases that the model had not seen.
    """
    if not result.rows:
        return 0.3
    return 0.5 if len(result.rows) == 1 and not any(result.rows[0]) else 1.0
