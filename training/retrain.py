"""From pairs to a promoted adapter: train, merge, compare, keep, promote."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.config import Settings
from sqlgen.errors import UsageError
from sqlgen.eval.report import Outcome
from sqlgen.eval.suite import Suite
from sqlgen.generation.embedded import EmbeddedGenerator, shipped_path
from sqlgen.knowledge import Term
from sqlgen.pipeline.model import terms_of
from sqlgen.registry import ADAPTER_FILE, Entry
from sqlgen.training.adapt import Learned, Recipe, adapt, changes_of
from sqlgen.training.authored import authored_examples, authored_folder
from sqlgen.training.doubts import doubts_of, objections_of, second_opinion
from sqlgen.training.gate import GateReport, Held, answers_to, general_suite, judge, own_suite, with_doubts
from sqlgen.training.logs.conventions import find_conventions, find_habits
from sqlgen.training.logs.definitions import find_definitions
from sqlgen.training.pairs import (
    Pair,
    by_convention,
    examples_of,
    held_of,
    in_other_words,
    role_of,
    said_again,
)
from sqlgen.training.synthesize import business_domains, synthesize
from sqlgen.training.weights import write_changed

if TYPE_CHECKING:
    from sqlgen.pipeline import Database

__all__ = ["Retrained", "replay_examples", "retrain"]

_LEAST_PAIRS = 10
_MOST_JUDGED = 300
# How many times more general inputs are spared when an adapter forgot too much.
_MILDER = (2, 8)
_WORDINGS = 4
_SYNTHETIC = 400
_BUSINESSES = 16
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Retrained:
    """What came of it: the adapter, whether it is in force, the gate's report, what was learned from."""

    entry: Entry
    promoted: bool
    gate: GateReport
    learned: Learned
    pairs: Mapping[str, int]
    dropped: Mapping[str, int]
    adapter_bytes: int


def retrain(
    database: Database,
    settings: Settings,
    pairs: Sequence[Pair],
    *,
    recipe: Recipe,
    golden: Suite | None = None,
    margin: float = 0.01,
    promote: bool = True,
    progress: Progress | None = None,
) -> Retrained:
    """Train an adapter of the shipped weights on ``pairs`` of ``database`` and promote it if it wins the gate.

    A share of the statements, by ``Pair.key``, is kept for the gate (``held_of``) and a twentieth to watch the training.
    A run that was killed goes on when it is repeated with the same pairs and recipe. Raises UsageError when too few pairs
    can be learned from.
    """
    base, registry = shipped_path(), database.adapters
    manifest = json.loads((base / "manifest.json").read_text("utf-8"))
    dropped: Counter[str] = Counter()
    tell = progress or (lambda done, total, what: None)
    tell(0, 1, "read the pairs")
    foreign: list[Pair] = []
    known = database.knowledge.snapshot().terms
    held = held_of(pairs)
    teaching = [pair for pair in pairs if role_of(pair.key, held) == "learn"]
    terms = find_definitions(
        [(pair.question, pair.sql) for pair in teaching], database.catalog, database.dialect, known
    )
    unasked = [pair.sql for pair in teaching if pair.is_written]
    conventions = find_conventions(unasked, database.catalog, database.dialect, (*terms, *known))
    habits = find_habits(unasked, database.catalog, database.dialect)
    terms = (*terms, *(convention.term for convention in conventions))
    given, pairs = pairs, [*pairs, *by_convention(database, pairs, conventions, habits)]
    found = list(examples_of(database, pairs, dropped, foreign, (*terms, *known)))
    roles: dict[str, list[int]] = {"learn": [], "watch": [], "gate": []}
    for number, (pair, _) in enumerate(found):
        roles[role_of(pair.key, held)].append(number)
    # Statements without questions have many written ones: these would judge for longer than the training takes.
    if len(roles["gate"]) > _MOST_JUDGED:
        roles["gate"] = sorted(random.Random(recipe.seed).sample(roles["gate"], _MOST_JUDGED))
    if len(roles["learn"]) < _LEAST_PAIRS:
        why = "; ".join(f"{n} {what}" for what, n in dropped.most_common(3))
        raise UsageError(
            f"only {len(roles['learn'])} of {len(given)} pairs can be learned from, at least {_LEAST_PAIRS} are needed"
            + (f" ({why})" if why else "")
        )
    learned_from = [found[n] for n in roles["learn"]]
    said_otherwise = list(examples_of(database, in_other_words(database, [pair for pair, _ in learned_from])))
    data = hashlib.sha256(
        "\n".join(sorted(f"{p.question}\t{p.sql}\t{p.weight}" for p in given)).encode()
    ).hexdigest()
    bound = {"name": manifest["name"], "version": manifest["version"], "sha256": manifest["sha256"]}
    run = hashlib.sha256(json.dumps([data, asdict(recipe), bound]).encode()).hexdigest()[:16]
    checkpoint = registry.folder / "runs" / f"{run}.pt"
    with (
        registry.scratch() as made,
        registry.scratch() as spare,
        tempfile.TemporaryDirectory(prefix="sqlgen-gate-") as folder,
    ):
        milder = {times: Path(folder) / f"{times}.safetensors" for times in _MILDER}
        learned = adapt(
            base,
            [(example, pair.weight) for pair, example in (*learned_from, *said_otherwise)],
            [found[n][1] for n in roles["watch"]],
            replay_examples(recipe.seed),
            made / ADAPTER_FILE,
            recipe=recipe,
            pairs=_worth([pair for pair, _ in learned_from]),
            milder={times * recipe.sparing: path for times, path in milder.items()},
            checkpoint=checkpoint,
            progress=tell,
        )
        held_out = [(found[n][0], said_again(found[n][1], database.dialect)) for n in roles["gate"]]
        in_force = registry.current()
        suites = [own_suite(database, held_out, str(settings.db))]
        if golden is not None and golden.questions:
            suites.append(Held(replace(golden, name="golden"), is_own=True))
        suites.append(Held(general_suite(Path(folder))))
        report, kept, missed = _judged(made, spare, milder, in_force, suites, terms, settings, margin, tell)
        tell(0, 1, "look for pairs that don't fit")
        # A definition behind a question is new to the shipped model, which can't tell whether such a pair fits.
        plain = [(pair, example) for pair, example in found if example.question == pair.question]
        doubts = doubts_of(base, plain, foreign, recipe.seed)
        unlearned = [found[n] for n in roles["gate"]]
        doubts = second_opinion(doubts, made / "weights", unlearned)
        report = with_doubts(report, doubts, objections_of(made / "weights", unlearned, missed))
        counts = {role: len(numbers) for role, numbers in roles.items()}
        lineage = {
            "base": bound,
            "before": in_force.id if in_force else None,
            "data": {"sha256": data, "pairs": len(given), **counts, "dropped": dict(dropped)},
            "terms": [asdict(term) for term in terms],
            "recipe": asdict(recipe),
            "training": asdict(learned),
        }
        size = (kept / ADAPTER_FILE).stat().st_size
        entry = registry.add(kept, lineage, report.to_dict())
    checkpoint.unlink(missing_ok=True)
    wins = report.passed and promote
    if wins:
        registry.promote(entry.id, (manifest["name"], manifest["version"]))
    return Retrained(entry, wins, report, learned, counts, dict(dropped), size)


def _worth(pairs: Sequence[Pair]) -> int:
    """As how many pairs they count: the wordings written for one statement as a few of them, however many there are."""
    written = Counter(pair.key for pair in pairs if pair.is_written)
    return sum(not pair.is_written for pair in pairs) + sum(min(n, _WORDINGS) for n in written.values())


def _judged(
    made: Path,
    spare: Path,
    milder: Mapping[int, Path],
    in_force: Entry | None,
    suites: Sequence[Held],
    terms: Sequence[Term],
    settings: Settings,
    margin: float,
    tell: Progress,
) -> tuple[GateReport, Path, frozenset[int]]:
    """Compare the adapter in ``made`` with what is in force; where what is kept lies, and what ``made`` got wrong.

    For one that wins on its own questions and falls elsewhere the ``milder`` ones are compared, in ``spare``.
    """

    def answers(model: EmbeddedGenerator, words: Sequence[Term], what: str) -> list[tuple[Outcome, ...]]:
        return answers_to(suites, model, settings=settings, terms=words, progress=tell, what=what)

    before = answers(
        EmbeddedGenerator.load(in_force.weights if in_force else None), terms_of(in_force), "before"
    )
    after = answers(_merged(made), terms, "after")
    report = judge(suites, before, after, margin)
    blank = suites[0].blank
    missed = frozenset(
        number for number, o in enumerate(after[0]) if not (o.exact_match if o.id in blank else o.correct)
    )
    if report.passed or not report.won:
        return report, made, missed
    tried = [f"as trained, {why}" for why in report.reasons]
    for times, adapter in milder.items():
        shutil.copyfile(adapter, spare / ADAPTER_FILE)
        how = f"general inputs spared {times} times as much"
        milder_report = judge(suites, before, answers(_merged(spare), terms, f"after, {how}"), margin)
        # What general accuracy is bought back with has to leave most of what was won.
        if milder_report.passed and milder_report.comparisons[0].gain >= report.comparisons[0].gain / 2:
            return replace(milder_report, remarks=(how, *tried)), spare, missed
        left = milder_report.reasons or (
            f"own: only {100 * milder_report.comparisons[0].gain:+.1f} points are left",
        )
        tried += [f"{how}, {why}" for why in left]
    return replace(report, remarks=tuple(tried[len(report.reasons) :])), made, missed


def _merged(folder: Path) -> EmbeddedGenerator:
    """The shipped model with the adapter in ``folder``, written there."""
    name = hashlib.sha256((folder / ADAPTER_FILE).read_bytes()).hexdigest()[:12]
    write_changed(shipped_path(), changes_of(folder / ADAPTER_FILE), folder / "weights", adapter=name)
    return EmbeddedGenerator.load(folder / "weights")


def replay_examples(seed: int) -> list[Any]:
    """General examples against forgetting: authored ones of some businesses, and made ones over random businesses."""
    made = synthesize(list(business_domains(8, seed=seed)), _SYNTHETIC, seed=seed)
    stems = sorted(path.stem for path in authored_folder().glob("*.json"))
    names = random.Random(seed).sample(stems, min(_BUSINESSES, len(stems)))
    examples = [*authored_examples(authored_folder(), names=names), *(example for _, example in made)]
    random.Random(seed).shuffle(examples)
    return examples
