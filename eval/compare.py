"""Two runs of the same questions, compared: what changed, and whether it can be chance."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlgen.errors import UsageError
from sqlgen.files import read_text

__all__ = ["compare_runs", "mcnemar", "read_predictions", "render_comparison"]

_RESAMPLES = 4000
_SURE = 0.05


def read_predictions(path: Path) -> dict[str, dict[str, Any]]:
    """Lines of a predictions file, or of a report's folder, by question id.

    Raises UsageError naming file and line.
    """
    file = path / "predictions.jsonl" if path.is_dir() else path
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        try:
            row = json.loads(line)
            key = f"{row.get('db_id', '')}/{row['id']}"
            found[key] = {"correct": bool(row["correct"]), "question": str(row["question"]), **row}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(
                f"{file}, line {number} is no prediction; write one with 'sqlgen eval … --predictions FILE'"
            ) from None
    if not found:
        raise UsageError(f"{file} holds no predictions")
    return found


def mcnemar(lost: int, won: int) -> float:
    """Two-sided probability of so uneven a change by chance: the exact test of McNemar (1947).

    >>> mcnemar(0, 0), round(mcnemar(31, 0), 9), mcnemar(5, 5)
    (1.0, 1e-09, 1.0)
    """
    changed = lost + won
    tail: float = sum(math.comb(changed, k) for k in range(min(lost, won) + 1)) / 2**changed
    return min(1.0, 2 * tail)


def compare_runs(
    before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]], seed: int = 1
) -> dict[str, Any]:
    """The figures of a comparison over the questions that both runs hold; UsageError when they share none.

    ``verdict`` is "better", "worse" or "no difference": the exact test at 5 %. The interval is of the paired
    bootstrap at 95 % (Efron and Tibshirani 1993).
    """
    shared = [key for key in before if key in after and before[key]["question"] == after[key]["question"]]
    if not shared:
        raise UsageError("the two runs share no question; compare runs of one suite")
    steps = [int(after[k]["correct"]) - int(before[k]["correct"]) for k in shared]
    rng = random.Random(seed)
    count = len(steps)
    means = sorted(sum(rng.choices(steps, k=count)) / count for _ in range(_RESAMPLES))
    lost = [k for k, step in zip(shared, steps, strict=True) if step < 0]
    won = [k for k, step in zip(shared, steps, strict=True) if step > 0]
    p = mcnemar(len(lost), len(won))
    verdict = "no difference" if p > _SURE else "better" if len(won) > len(lost) else "worse"
    return {
        "count": count,
        "only_before": len(before) - count,
        "only_after": len(after) - count,
        "before": round(sum(before[k]["correct"] for k in shared) / count, 6),
        "after": round(sum(after[k]["correct"] for k in shared) / count, 6),
        "difference": round(sum(steps) / count, 6),
        "interval_95": [round(means[int(q * (_RESAMPLES - 1))], 6) for q in (0.025, 0.975)],
        "p": p,
        "verdict": verdict,
        "lost": [_changed(before[k], after[k]) for k in lost],
        "won": [_changed(before[k], after[k]) for k in won],
    }


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": before["id"],
        "db_id": before.get("db_id", ""),
        "question": before["question"],
        "gold": before.get("gold", ""),
        "before": before.get("sql", ""),
        "after": after.get("sql", ""),
    }


def render_comparison(figures: Mapping[str, Any], most: int = 10) -> str:
    """A comparison for a person at a terminal; ``most`` changed questions of each kind are shown."""
    low, high = figures["interval_95"]
    lines = [
        f"questions  {figures['count']:,} in both runs"
        + (f", {figures['only_before']} only before" if figures["only_before"] else "")
        + (f", {figures['only_after']} only after" if figures["only_after"] else ""),
        f"right      {100 * figures['before']:.1f} % before, {100 * figures['after']:.1f} % after",
        f"difference {100 * figures['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f} at 95 %), "
        f"p = {figures['p']:.3g}: {figures['verdict']}",
    ]
    for title, questions in (
        ("right before, wrong now", figures["lost"]),
        ("wrong before, right now", figures["won"]),
    ):
        if questions:
            lines += ["", f"{title}: {len(questions)}"]
            lines += [f"  {q['db_id']} {q['id']}: {q['question']}" for q in questions[:most]]
            if len(questions) > most:
                lines.append(f"  … and {len(questions) - most} more")
    return "\n".join(lines)
