"""Ask every question of a suite through the pipeline that users ask, and judge the answers."""

from __future__ import annotations

import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlgen.config import Settings
from sqlgen.errors import ConnectionFailed, DatabaseError, LimitReached, UsageError
from sqlgen.eval.gold import GoldAnswers, GoldResult
from sqlgen.eval.metrics import why_wrong
from sqlgen.eval.modes import WITHOUT_RETRIEVAL, Mode, check_mode, fix_schema, fixed_context
from sqlgen.eval.perturb import Perturbation, perturb_suite, restore_names
from sqlgen.eval.report import Outcome, Report, provenance
from sqlgen.eval.suite import GoldQuestion, Suite, SuiteDatabase
from sqlgen.execution.compare import results_equal
from sqlgen.generation import Generator
from sqlgen.sql.exact_match import exact_set_match, hardness
from sqlgen.types import Answer, Catalog, Dialect, Limits, Result, RetrievedContext

if TYPE_CHECKING:
    from sqlgen.knowledge import Term
    from sqlgen.pipeline import Database
    from sqlgen.training.names import Renaming

__all__ = ["Mode", "Progress", "run_suite", "scratch_home", "suite_url"]

Progress = Callable[[int, int, str], None]

_DISTINCT = re.compile(r"""('(?:[^']|'')*'|"[^"]*")|\bdistinct\s*""", re.IGNORECASE)
# Far above what a question needs, so that results are compared whole.
_MAX_ROWS = 200_000


def run_suite(
    suite: Suite,
    *,
    generator: Generator,
    limit: int | None = None,
    mode: Mode = "hybrid",
    beams: int | None = None,
    settings: Settings | None = None,
    home: Path | None = None,
    progress: Progress | None = None,
    perturb: Perturbation | None = None,
    seed: int = 0,
    test_suite: Path | None = None,
    fixed: Mapping[str, RetrievedContext] | None = None,
    terms: Sequence[Term] = (),
) -> Report:
    """Ask the questions of ``suite`` and report how many answers are right.

    Indexes, catalogs and demo databases go to ``home``, else to a folder that is removed at the end;
    the suite's own folders are only read. Latency is the wall time of one ``ask`` with its index built
    and its model loaded. ``limit`` spreads over the suite. ``progress(done, total, what)`` is called
    before each question. ``test_suite`` is a folder ``<db_id>/*.sqlite`` of further instances of the
    databases, on which right answers are compared again (Zhong et al. 2020). ``perturb`` asks a changed
    suite, drawn with ``seed``, see ``sqlgen.eval.perturb``. ``mode`` says which parts take part
    (``sqlgen.eval.modes``); where retrieval doesn't, ``fixed`` is the schema that the model reads, by ``db_id``,
    as it stood once, and the schema as it stands where nothing is given. ``terms`` come to those of the suite.
    Raises UsageError for a mode that this model has not, or what cannot be perturbed, and whatever keeps
    the run from going on: ConnectionFailed, ModelUnavailable.
    """
    check_mode(mode, generator)
    settings = Settings() if settings is None else settings
    if mode in WITHOUT_RETRIEVAL:
        settings = replace(settings, knowledge=None)
    settings = replace(
        settings,
        db=None,
        history=False,
        max_rows=_MAX_ROWS,
        beams=settings.beams if beams is None else beams,
    )
    questions = suite.sample(limit)
    by_database: dict[str, list[int]] = defaultdict(list)
    for position, question in enumerate(questions):
        by_database[question.db_id].append(position)
    outcomes: dict[int, Outcome] = {}
    with nullcontext(home) if home is not None else scratch_home() as folder:
        settings = replace(settings, home=folder)
        if perturb is not None:
            suite = perturb_suite(replace(suite, questions=questions), perturb, seed=seed, home=folder)
            questions = suite.questions
            by_database.clear()
            for position, question in enumerate(questions):
                by_database[question.db_id].append(position)
        for db_id, positions in by_database.items():
            place = suite.databases[db_id]
            with _open(suite, place, settings, generator, test_suite, mode, terms) as judge:
                if mode in WITHOUT_RETRIEVAL:
                    known = (fixed or {}).get(db_id)
                    fix_schema(
                        judge.database, known or fixed_context(judge.database.catalog, generator.count_tokens)
                    )
                for position in positions:
                    if progress is not None:
                        progress(len(outcomes), len(questions), db_id)
                    outcomes[position] = judge.outcome(questions[position])
    if progress is not None:
        progress(len(questions), len(questions), "done")
    info = generator.info
    came_from = provenance(
        suite.hashes(by_database),
        licence=suite.licence,
        source=suite.source,
        suite=suite.edition(),
        model={"name": info.name, "version": info.version, "adapter": info.adapter},
        settings={
            "beams": settings.beams,
            "token_budget": settings.token_budget,
            "min_confidence": settings.min_confidence,
            "timeout_s": settings.timeout_s,
            "limit": limit,
            "perturb": perturb,
            "seed": None if perturb is None else seed,  # None: nothing is drawn at random
        },
    )
    ordered = tuple(outcomes[position] for position in range(len(questions)))
    return Report(suite.name, ordered, mode, came_from)


@contextmanager
def scratch_home() -> Iterator[Path]:
    """A folder for one run, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="sqlgen-eval-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def suite_url(place: SuiteDatabase, home: Path) -> str:
    """The URL of a suite's database; a demo domain is built in ``home`` first."""
    if not place.demo:
        return place.url
    from sqlgen.demo import build_domain

    path = home / f"{place.demo}.sqlite"
    if not path.exists():
        build_domain(place.demo, path)
    return f"sqlite:///{path.absolute()}"


@contextmanager
def _open(
    suite: Suite,
    place: SuiteDatabase,
    settings: Settings,
    generator: Generator,
    test_suite: Path | None = None,
    mode: Mode = "hybrid",
    terms: Sequence[Term] = (),
) -> Iterator[_Judge]:
    from sqlgen.catalog import load_catalog, open_engine
    from sqlgen.execution import open_driver
    from sqlgen.knowledge import Description
    from sqlgen.pipeline import connect

    url = suite_url(place, settings.home)
    terms = (*terms, *suite.terms()) if mode not in WITHOUT_RETRIEVAL else ()
    engine = open_engine(url)
    asked = open_engine(place.asked_url) if place.asked_url else engine
    try:
        with connect(asked, settings=settings, generator=generator, terms=terms) as database:
            if mode not in WITHOUT_RETRIEVAL:
                for name, text in place.descriptions.items():
                    database.knowledge.add(Description(name, text, "suite"))
            database.warm()
            database.refresh(rebuild=False)
            limits = Limits(timeout_s=settings.timeout_s, max_rows=settings.max_rows)
            path = Path(engine.url.database) if database.dialect == "sqlite" and engine.url.database else None
            catalog = database.catalog if asked is engine else load_catalog(engine)
            with open_driver(engine, database.dialect) as driver, ExitStack() as instances:
                gold = GoldAnswers(driver, catalog, database.dialect, limits, path)
                judge = _Judge(database, gold, place.catalog or catalog, place.renaming)
                if test_suite is not None:
                    files = sorted((test_suite / place.id).glob("*.sqlite"))
                    judge.instances = [instances.enter_context(_instance(file, limits)) for file in files]
                yield judge
    finally:
        asked.dispose()
        engine.dispose()


@contextmanager
def _instance(path: Path, limits: Limits) -> Iterator[GoldAnswers]:
    """Another instance of a database, ready to run gold and predicted SQL alike."""
    from sqlgen.catalog import load_catalog, open_engine
    from sqlgen.execution import open_driver

    engine = open_engine(f"sqlite:///{path.absolute()}")
    try:
        with open_driver(engine, "sqlite") as driver:
            yield GoldAnswers(driver, load_catalog(engine, sample_values=0), "sqlite", limits, path)
    finally:
        engine.dispose()


class _Judge:
    """Asks and judges the questions of one database."""

    def __init__(
        self, database: Database, gold: GoldAnswers, catalog: Catalog, renaming: Renaming | None = None
    ) -> None:
        self.database = database
        self.gold = gold
        self.catalog = catalog
        self.renaming = renaming
        self.instances: list[GoldAnswers] | None = None

    def right_everywhere(self, gold: GoldResult | None, sql: str) -> bool | None:
        """Whether an answer that is right here is right on all further instances; None: not asked."""
        if self.instances is None:
            return None
        return gold is not None and all(_alike(instance, gold, gold.sql, sql) for instance in self.instances)

    def right_as_published(self, gold: GoldResult, sql: str, everywhere: bool | None) -> bool | None:
        """``right_everywhere`` as the published evaluator counts by default: without DISTINCT, on either side."""
        bare = without_distinct(gold.sql), without_distinct(sql)
        if self.instances is None or bare == (gold.sql, sql):
            return everywhere
        return bool(sql) and all(_alike(place, gold, *bare) for place in (self.gold, *self.instances))

    def outcome(self, question: GoldQuestion) -> Outcome:
        dialect = self.database.dialect
        accepted = question.accepted(dialect)
        golds = [self.gold.get(sql, question.ordered) for sql in accepted]
        runnable = [gold for gold in golds if gold.result is not None]
        began = time.perf_counter()
        answer, failure, message = self._ask(question.asked)
        latency_ms = 1000 * (time.perf_counter() - began)
        match = next((gold for gold in runnable if _equal(gold, answer)), None)
        if match is not None:
            failure = ""
        elif not runnable:
            failure = "gold error"
        elif not failure:
            failure = _why_wrong(runnable[0], answer)
        compared = match or (runnable or golds)[0]
        sql = "" if answer is None else _without_row_limit(answer.sql)
        if self.renaming is not None:
            sql = restore_names(sql, self.renaming)
        everywhere = self.right_everywhere(match, sql)
        return Outcome(
            id=question.id,
            db_id=question.db_id,
            question=question.text,
            gold=compared.sql,
            sql=sql,
            correct=match is not None,
            confidence=0.0 if answer is None else answer.confidence,
            status="error" if answer is None else answer.status,
            latency_ms=latency_ms,
            exact_match=bool(sql)
            and any(exact_set_match(gold, sql, self.catalog, dialect) for gold in accepted),
            valid=answer is not None and answer.result is not None,
            difficulty=_hardness(accepted[0], self.catalog, dialect),
            failure=failure,
            message=message,
            gold_error="" if runnable else golds[0].error,
            gold_refused=next((gold.refused for gold in golds if gold.refused), ()),
            timings_ms={} if answer is None else dict(answer.timings_ms),
            suite_correct=everywhere,
            suite_correct_published=self.right_as_published(compared, sql, everywhere),
            family=question.family,
            asked=answer is not None and bool(answer.alternatives),
            readings=_readings(runnable, answer) if question.ambiguous else None,
            gold_rows=_shown(compared.result) if match is None else (),
            rows=_shown(answer.result if answer else None) if match is None else (),
        )

    def _ask(self, text: str) -> tuple[Answer | None, str, str]:
        """The answer, and what went wrong where there is no result to compare."""
        try:
            answer = self.database.ask(text)
        except ConnectionFailed:
            raise
        except LimitReached as error:
            return None, f"limit: {error.limit}", str(error)
        except (DatabaseError, UsageError) as error:
            kind = "engine error" if isinstance(error, DatabaseError) else "not asked"
            return None, kind, str(error)
        if answer.status == "error":
            return answer, "engine error", answer.message
        if answer.status != "answered":
            return answer, answer.status, answer.message
        return answer, "", answer.message


def _alike(place: GoldAnswers, gold: GoldResult, expected: str, sql: str) -> bool:
    """Whether both queries find the same in one instance; an instance where the gold does not run says nothing."""
    right = place.get(expected, gold.ordered)
    return right.result is None or _same(right, place.get(sql, gold.ordered).result)


def without_distinct(sql: str) -> str:
    """``sql`` with every DISTINCT left out.

    >>> without_distinct("SELECT COUNT(DISTINCT name) FROM t WHERE word = 'distinct'")
    "SELECT COUNT(name) FROM t WHERE word = 'distinct'"
    """
    return _DISTINCT.sub(lambda m: m[1] or "", sql)


def _equal(gold: GoldResult, answer: Answer | None) -> bool:
    return answer is not None and answer.status == "answered" and _same(gold, answer.result)


def _readings(golds: Sequence[GoldResult], answer: Answer | None) -> int | None:
    """How many of the readings that find different things the answer shows; None where all find the same."""
    apart: list[GoldResult] = []
    for gold in golds:
        if not any(_same(gold, known.result) for known in apart):
            apart.append(gold)
    if len(apart) < 2:
        return None
    shown: list[Result | None] = [] if answer is None else [answer.result]
    shown += [] if answer is None else [reading.result for reading in answer.alternatives]
    return sum(any(_same(gold, result) for result in shown) for gold in apart)


def _same(gold: GoldResult, result: Result | None) -> bool:
    # Of a result that was cut nobody can say what the rest holds.
    if gold.result is None or result is None or gold.result.truncated or result.truncated:
        return False
    return results_equal(gold.result, result, ordered=gold.ordered)


def _shown(result: Result | None, most: int = 5) -> tuple[tuple[str, ...], ...]:
    """The first rows of a result as text, wide cells cut."""
    rows = result.rows[:most] if result is not None else ()
    return tuple(tuple(str(cell)[:60] for cell in row[:8]) for row in rows)


def _why_wrong(gold: GoldResult, answer: Answer | None) -> str:
    if answer is None or answer.result is None or gold.result is None:
        return "no result"
    return why_wrong(gold.result, answer.result, ordered=gold.ordered)


def _without_row_limit(sql: str) -> str:
    """The model's SQL without the row limit that validation added for this run."""
    return sql.removesuffix(f" LIMIT {_MAX_ROWS + 1}")


def _hardness(sql: str, catalog: Catalog, dialect: Dialect) -> str:
    return hardness(sql, catalog, dialect) or "unknown"
