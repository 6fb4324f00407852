"""How long a question takes, beside a decoder of half a billion parameters on the same cores.

python -m sqlgen.eval.compare_speed --db URL --questions FILE [--rounds 5]

The decoder has the shape of Qwen2.5-0.5B and random weights: only its speed counts. It reads about 400
tokens and writes 40, greedily, with its cache, in bf16 under transformers. Rounds alternate, so that load
from outside meets both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["main", "random_decoder"]

_PROMPT, _WRITTEN = 400, 40


def random_decoder() -> Any:
    """A callable that generates once, and its number of parameters."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = Qwen2ForCausalLM(config)
    model = model.to(torch.bfloat16).eval()
    prompt = torch.randint(10, 100_000, (1, _PROMPT))

    def generate() -> None:
        with torch.inference_mode():
            model.generate(
                prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=_WRITTEN,
                min_new_tokens=_WRITTEN, do_sample=False, pad_token_id=0, eos_token_id=None,
            )  # fmt: skip

    return generate, sum(p.numel() for p in model.parameters())


def _spread(times_s: list[float]) -> dict[str, float]:
    return {
        "median": round(1000 * statistics.median(times_s), 1),
        "min": round(1000 * min(times_s), 1),
        "max": round(1000 * max(times_s), 1),
    }


def main() -> None:
    """Print the medians with their spread and the ratio as one JSON document."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--db", required=True, metavar="URL")
    cli.add_argument("--questions", type=Path, required=True, help="one question a line, or JSON lines")
    cli.add_argument("--rounds", type=int, default=5)
    cli.add_argument("--per-round", type=int, default=20, help="questions between two generations")
    args = cli.parse_args()
    import torch

    import sqlgen

    torch.set_num_threads(2)
    lines = [line for line in args.questions.read_text("utf-8").splitlines() if line.strip()]
    asked = [json.loads(line)["question"] if line.startswith("{") else line for line in lines]
    generate, parameters = random_decoder()
    ours: list[float] = []
    theirs: list[float] = []
    with sqlgen.connect(args.db) as database:
        database.ask(asked[0])
        generate()
        for round_number in range(args.rounds):
            for k in range(args.per_round):
                began = time.perf_counter()
                database.ask(asked[(round_number * args.per_round + k) % len(asked)])
                ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            generate()
            theirs.append(time.perf_counter() - began)
    document = {
        "sqlgen_ms": _spread(ours),
        "decoder_ms": _spread(theirs),
        "decoder": {"parameters": parameters, "prompt_tokens": _PROMPT, "new_tokens": _WRITTEN},
        "ratio": round(statistics.median(theirs) / statistics.median(ours), 1),
        "questions": len(ours),
        "generations": len(theirs),
    }
    json.dump(document, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
