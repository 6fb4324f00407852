"""From logged statements to pairs of question and SQL, with weights.

Nothing is run: a statement is parsed, checked by the product's own validation against the live catalog, and put into
words. What was made of an example is kept until the catalog or the rules change.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlgen.sql.fingerprint import Unusable, chatter, fingerprint, literals, prepare
from sqlgen.sql.form import number_said
from sqlgen.sql.periods import without_moving
from sqlgen.training.logs.realise import realise
from sqlgen.training.logs.redact import redact
from sqlgen.training.logs.store import Example, LogStore
from sqlgen.training.logs.titles import title_of
from sqlgen.types import Catalog, Dialect, Rejection, ValueMatch

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = ["LogPair", "Mined", "Source", "collect", "log_path", "mine", "names_other_values", "weight_of"]

Source = Literal["log", "title", "written", "reviewed", "history", "renamed"]
"""Where a question comes from: the log itself, a title or comment, our own words, a reviewer, an answered question;
"renamed" where the SQL was put under the schema's new names, which a reviewer has to accept."""

_RULES = "4"
_BATCH = 100
MAX_PAIRS = 16
"""Pairs of one fingerprint with questions that we wrote; questions of people are not counted."""
Wordings = list[tuple[str, str]]
"""Questions that were written for one SQL text, each with that text."""
MAX_ASKED = 50
MAX_SHARE = 0.05
"""The share of all weight that one fingerprint may have, where there are at least twenty of them."""
_TRUST: dict[Source, float] = {
    "log": 1.0, "title": 1.0, "written": 0.5, "reviewed": 1.5, "history": 1.5, "renamed": 1.0,
}  # fmt: skip
_UNKNOWN = ("validation: unknown_table", "validation: unknown_column")
_GONE = "the schema no longer has what it names"
_JUDGED = {"right": "accepted", "corrected": "corrected", "wrong": "rejected"}
_VERDICTS = {"accepted": 1.5, "corrected": 2.0, "": 1.0}


@dataclass(frozen=True, slots=True)
class LogPair:
    """A question and its SQL in the database's dialect. ``runs`` counts all statements of the fingerprint.

    ``fingerprint`` is also the split key: pairs that share it never stand on both sides of a split.
    """

    question: str
    sql: str
    weight: float
    source: Source
    fingerprint: str
    runs: int = 1

    @property
    def id(self) -> str:
        """16 hexadecimal digits by which a reviewer's decision finds the pair again."""
        return hashlib.sha256(f"{self.sql}\0{self.question}".encode()).hexdigest()[:16]

    def to_dict(self, db: str) -> dict[str, Any]:
        """The line of a pairs file."""
        return {
            "question": self.question,
            "sql": self.sql,
            "db": db,
            "weight": round(self.weight, 3),
            "source": self.source,
            "fingerprint": self.fingerprint,
            "split": self.fingerprint,
        }


@dataclass(frozen=True, slots=True)
class Mined:
    """All pairs, heaviest fingerprint first, and what was left out: runs of statements by cause.

    ``drifted`` are statements, (id, SQL), that name what the schema no longer has; where a rename explains it,
    ``proposed`` has pairs under the new names, for a reviewer.
    """

    pairs: tuple[LogPair, ...]
    dropped: Mapping[str, int]
    fingerprints: int
    drifted: tuple[tuple[str, str], ...] = ()
    proposed: tuple[LogPair, ...] = ()

    def left_out(self) -> str:
        """What was left out, in words; "" when nothing was."""
        told = ", ".join(f"{n:,} {why}" for why, n in sorted(self.dropped.items(), key=lambda i: -i[1]))
        where = "" if not self.drifted else "; 'sqlgen index status' names what the schema broke"
        mend = f", 'sqlgen logs review' proposes {len(self.proposed):,} pairs" if self.proposed else ""
        return f"runs left out: {told}{where}{mend}" if told else ""


def weight_of(runs: int, users: int, age_days: float, verdict: str = "") -> float:
    """How much a fingerprint counts: frequency x recency x spread x verdict.

    ``(1 + log10(min(runs, 1000))) * max(1/4, 2 ** (-age / 180)) * (1 + log2(min(users, 16)) / 4) * verdict``, where age
    counts in days from the newest entry of the log, and an accepted answer has 1.5, a corrected one 2.

    >>> weight_of(1, 1, 0), weight_of(10_000, 1, 0), weight_of(1, 16, 180)
    (1.0, 4.0, 1.0)
    """
    frequency = 1 + math.log10(min(max(runs, 1), 1000))
    recency = max(0.25, 2 ** (-max(age_days, 0) / 180))
    spread = 1 + math.log2(min(max(users, 1), 16)) / 4
    return frequency * recency * spread * _VERDICTS.get(verdict, 1.0)


def log_path(database: Database) -> Path:
    """Where the log store of a database lies."""
    return database.adapters.folder.parent / "logs.sqlite"


def collect(database: Database, progress: Callable[[int, int, str], None] | None = None) -> Mined:
    """All pairs that are known of a database: of its imported logs, and of its answers that people judged."""
    metrics = {t.sql: t.name for t in database.knowledge.snapshot().terms if t.is_metric and t.sql}
    answers = [
        Example(-number, -number, line.final_sql or line.sql, line.question, _JUDGED[line.verdict], database.dialect, 1, 1,
                str(datetime.fromtimestamp(line.at, UTC))[:19])
        for number, line in enumerate(database.history.lines(database=database.identity, judged=True), 1)
        if line.verdict is not None and (line.final_sql or line.sql)
    ]  # fmt: skip
    with LogStore(log_path(database)) as store:
        return mine(store, database, answers=answers, metrics=metrics, progress=progress)


def mine(
    store: LogStore,
    database: Database,
    *,
    answers: Sequence[Example] = (),
    metrics: Mapping[str, str] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Mined:
    """The pairs of a log store for this database as it is now; nothing is executed.

    ``answers`` are questions with judged answers, under ids below zero, as they are not of the store; ``metrics`` are
    names of metrics by their SQL.
    """
    catalog = database.catalog
    examples = [*answers, *store.examples()]
    mark = _mark(catalog, metrics or {})
    outcomes = store.mined(mark)
    todo = [e for e in examples if e.id not in outcomes]
    fresh: list[tuple[int, dict[str, Any]]] = []
    for number, example in enumerate(todo, 1):
        outcome = _study(example, database, catalog, metrics or {})
        if outcome.get("drop") in _UNKNOWN:
            outcome = _renamed(example, outcome, database, catalog, metrics or {})
        outcomes[example.id] = outcome
        if example.id >= 0:
            fresh.append((example.id, outcome))
        if len(fresh) >= _BATCH or number == len(todo):
            store.keep_mined(mark, fresh)
            fresh = []
        if progress is not None:
            progress(number, len(todo), "making pairs")
    return _weighed(examples, outcomes, store)


def _mark(catalog: Catalog, metrics: Mapping[str, str]) -> str:
    said = json.dumps([_RULES, catalog.fingerprint, sorted(metrics.items())])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _study(
    example: Example, database: Database, catalog: Catalog, metrics: Mapping[str, str]
) -> dict[str, Any]:
    """What becomes of one example, as plain data: ``drop`` says why it can't be a pair."""
    dialect = database.dialect
    if example.verdict == "rejected":
        return {"drop": "rejected by a person"}
    try:
        written = example.dialect if example.dialect != dialect else None
        sql = prepare(example.sql, dialect, catalog, written=written)
        if why := chatter(sql, dialect, catalog):
            return {"drop": why}
        checked = database.check(sql)
        if isinstance(checked, Rejection):
            return {"drop": f"validation: {checked.findings[0].rule}", "sql": sql}
        key = fingerprint(checked.sql, dialect)
    except Unusable as error:
        return {"drop": str(error)}
    found: dict[str, Any] = {"sql": redact(checked.sql), "key": key}
    asked = example.question or title_of(example.sql)
    if asked:
        found["asked"], found["source"] = asked, _source(example)
    if not example.question:
        found["written"] = list(realise(found["sql"], dialect, catalog, checked.tables, metrics))
    return found


def _renamed(
    example: Example,
    outcome: dict[str, Any],
    database: Database,
    catalog: Catalog,
    metrics: Mapping[str, str],
) -> dict[str, Any]:
    """What becomes of an example with an unknown name: the pair under new names, else why there is none.

    A table that is neither here nor renamed is another database's: a server's log holds those too.
    """
    was = outcome["sql"]
    now = database.renamed(was)
    if not now:
        return outcome if outcome["drop"] == _UNKNOWN[0] else {"drop": _GONE, "gone": was}
    question = example.question or title_of(example.sql)
    mended = replace(example, sql=now, dialect=database.dialect, question=question)
    return {**_study(mended, database, catalog, metrics), "gone": was}


def _source(example: Example) -> Source:
    return "history" if example.id < 0 else "log" if example.question else "title"


def names_other_values(question: str, sql: str, dialect: Dialect, matches: Iterable[ValueMatch]) -> bool:
    """Whether a question names values, as ``matches`` or as numbers, and its query has values, but none in common.

    Numbers of a time that moves, as in "the last 30 days", are no values: in a log such a time stands as dates.

    >>> names_other_values("Orders over 50", "SELECT id FROM orders WHERE total > 90", "sqlite", ())
    True
    >>> names_other_values("Orders over 1,500", "SELECT id FROM orders WHERE total > 1500", "sqlite", ())
    False
    """
    named = {match.value.lower() for match in matches} | set(re.findall(r"\d+", without_moving(question)))
    held = {value.lower() for value in literals(sql, dialect)}
    if not (named and held):
        return False
    if any(value in question.lower() or number_said(question, value) for value in held):
        return False
    return not named & (held | {number for value in held for number in re.findall(r"\d+", value)})


def _weighed(examples: Sequence[Example], outcomes: Mapping[int, dict[str, Any]], store: LogStore) -> Mined:
    dropped: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    users: dict[str, int] = {}
    last: dict[str, str] = {}
    verdicts: dict[str, str] = {}
    counted: set[tuple[int, str]] = set()
    lost: dict[int, str] = {}
    usable: set[int] = set()
    questions: dict[str, dict[tuple[str, str], Source]] = {}
    texts: dict[str, tuple[list[Wordings], list[Wordings]]] = defaultdict(lambda: ([], []))
    gone: Counter[str] = Counter()
    drifted: list[tuple[str, str]] = []
    # What was put under new names comes last: where the log has such a statement itself, that is the pair.
    for example in sorted(examples, key=lambda e: "gone" in outcomes[e.id]):
        outcome = outcomes[example.id]
        if is_gone := "gone" in outcome:
            drifted.append((f"log {example.id}, run {example.count} times", outcome["gone"]))
        if "drop" in outcome:
            lost.setdefault(example.statement, outcome["drop"])
            continue
        usable.add(example.statement)
        key = outcome["key"]
        if (example.statement, key) not in counted:
            counted.add((example.statement, key))
            runs[key] += example.count
            gone[key] += example.count * is_gone
            users[key] = max(users.get(key, 0), example.users)
            last[key] = max(last.get(key, ""), example.last_at)
        if _VERDICTS.get(example.verdict, 1.0) > _VERDICTS.get(verdicts.get(key, ""), 1.0):
            verdicts[key] = example.verdict
        mine = questions.setdefault(key, {})
        if "asked" in outcome and len(mine) < MAX_ASKED:
            mine.setdefault((outcome["asked"], outcome["sql"]), "renamed" if is_gone else outcome["source"])
        if found := outcome.get("written"):
            texts[key][is_gone].append([(question, outcome["sql"]) for question in found])
        elif not mine and key not in texts:
            dropped["no question can be written"] += example.count
    for key, (kept_up, outdated) in texts.items():
        most = len(questions[key]) + MAX_PAIRS
        for said in in_turn(kept_up or outdated):
            if len(questions[key]) < most:
                questions[key].setdefault(said, "written" if kept_up else "renamed")
    for example in {e.statement: e for e in examples}.values():
        if example.statement not in usable:
            dropped[lost[example.statement]] += example.count
    newest = max((text for text in last.values() if text), default="")
    weights = {
        key: weight_of(runs[key], users[key], _days(last[key], newest), verdicts.get(key, ""))
        for key, found in questions.items()
        if found
    }
    weights = _capped(weights)
    decided = store.decisions()
    pairs: list[LogPair] = []
    proposed: list[LogPair] = []
    for key in sorted(weights, key=lambda k: (-weights[k], k)):
        found = questions[key]
        share = weights[key] / math.sqrt(len(found))
        for (question, sql), source in found.items():
            pair = LogPair(question, sql, share * _TRUST[source], source, key, runs[key])
            after = _decided(pair, decided)
            if after is None:
                dropped["rejected in review"] += 1
            elif after.source == "renamed":
                proposed.append(after)
            else:
                pairs.append(after)
    kept = {pair.fingerprint for pair in pairs}
    proposed = [pair for pair in proposed if pair.fingerprint not in kept]
    for key in {pair.fingerprint for pair in proposed}:
        dropped[_GONE] += gone[key]
    return Mined(
        tuple(_with_mean_one(pairs)),
        dict(dropped),
        len(kept),
        tuple(drifted),
        tuple(_with_mean_one(proposed)),
    )


def in_turn(texts: Sequence[Wordings]) -> Wordings:
    """All wordings of some texts, one of each text by turns, each time the next wording: few hold many of both.

    >>> in_turn([[("a", "1"), ("b", "1")], [("a", "2"), ("b", "2")]])
    [('a', '1'), ('b', '2'), ('b', '1'), ('a', '2')]
    """
    found: dict[tuple[str, str], None] = {}
    for turn in range(max(map(len, texts), default=0)):
        for number, wordings in enumerate(texts):
            found[wordings[(turn + number) % len(wordings)]] = None
    return list(found)


def _days(text: str, newest: str) -> float:
    if not text or not newest:
        return 0.0
    try:
        return (datetime.fromisoformat(newest) - datetime.fromisoformat(text)).total_seconds() / 86400
    except ValueError:
        return 0.0


def _capped(weights: Mapping[str, float]) -> dict[str, float]:
    """No fingerprint above its share of all weight, so that no job that runs every minute drowns the rest."""
    if len(weights) < 1 / MAX_SHARE:
        return dict(weights)
    total = sum(weights.values())
    return {key: min(weight, MAX_SHARE * total) for key, weight in weights.items()}


def _decided(pair: LogPair, decided: Mapping[str, tuple[str, str, str]]) -> LogPair | None:
    decision = decided.get(pair.id)
    if decision is None:
        return pair
    action, question, sql = decision
    if action == "reject":
        return None
    boosted = pair.weight * _TRUST["reviewed"] / _TRUST[pair.source]
    return replace(
        pair, question=question or pair.question, sql=sql or pair.sql, source="reviewed", weight=boosted
    )


def _with_mean_one(pairs: Iterable[LogPair]) -> list[LogPair]:
    pairs = list(pairs)
    mean = sum(p.weight for p in pairs) / len(pairs) if pairs else 1.0
    return [replace(p, weight=min(10.0, max(0.05, p.weight / mean))) for p in pairs]
