"""What a checkpoint's sampled answers earn on rows that it did not learn from, beside another's.

    python -m sqlgen.training.recipes.measure --rows watch.jsonl --before sft --after grpo --samples 4

Each question is answered ``--samples`` times at temperature 1 by both; the difference of the mean rewards, and of the
shares of right answers, is paired by question: a 95 % interval by resampling, and the chance of it by exchanging signs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sqlgen.training.rewards import Judge

__all__ = ["main", "paired", "sampled_rewards"]

Floats = npt.NDArray[np.float64]
_DRAWS = 10_000
_BATCH = 64


def sampled_rewards(
    name: str, rows: Sequence[dict[str, Any]], judge: Judge, samples: int, seed: int = 1
) -> Floats:
    """Per row the mean reward and the share of right answers among ``samples`` drawn ones."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(name).eval()
    texts = [
        tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)
        for row in rows
    ]
    found = []
    for start in range(0, len(rows), _BATCH):
        encoded = tokenizer(
            texts[start : start + _BATCH], return_tensors="pt", padding=True, add_special_tokens=False
        )
        with torch.inference_mode():
            out = model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                do_sample=True,
                top_k=0,
                max_new_tokens=96,
                num_return_sequences=samples,
                pad_token_id=tokenizer.pad_token_id,
            )
        replies = tokenizer.batch_decode(out[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        for number, row in enumerate(rows[start : start + _BATCH]):
            worths = [
                judge.worth(reply, row["gold"], row["db"])
                for reply in replies[number * samples : (number + 1) * samples]
            ]
            found.append((np.mean([w.reward for w in worths]), np.mean([w.right for w in worths])))
    return np.array(found, np.float64)


def paired(before: Floats, after: Floats, seed: int = 1) -> dict[str, float]:
    """Means, their difference, its 95 % interval, and how often exchanged signs give a difference as large.

    >>> figures = paired(np.zeros(50), np.array([0.0, 1.0] * 25))
    >>> figures["difference"], figures["low"] > 0.3, figures["p"] < 0.001
    (0.5, True, True)
    """
    rng = np.random.default_rng(seed)
    gains = after - before
    resampled = rng.choice(gains, (_DRAWS, len(gains))).mean(axis=1)
    signs = (rng.choice([-1.0, 1.0], (_DRAWS, len(gains))) * gains).mean(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return {
        "count": float(len(gains)),
        "before": float(before.mean()),
        "after": float(after.mean()),
        "difference": float(gains.mean()),
        "low": float(low),
        "high": float(high),
        "p": (1 + float((np.abs(signs) >= abs(gains.mean())).sum())) / (1 + _DRAWS),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison, a line of JSON each for the reward and the share of right answers."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--rows", type=Path, required=True)
    cli.add_argument("--before", required=True)
    cli.add_argument("--after", required=True)
    cli.add_argument("--samples", type=int, default=4)
    args = cli.parse_args(arguments)
    rows = [json.loads(line) for line in args.rows.read_text("utf-8").splitlines()]
    with Judge() as judge:
        before, after = (
            sampled_rewards(name, rows, judge, args.samples) for name in (args.before, args.after)
        )
    for column, what in enumerate(("reward", "right")):
        figures = paired(before[:, column], after[:, column])
        print(json.dumps({"of": what, **{key: round(value, 4) for key, value in figures.items()}}))


if __name__ == "__main__":
    main()
