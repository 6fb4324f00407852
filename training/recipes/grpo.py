"""GRPO on rows of ``sqlgen.training.prompts``: the reward is the product's own judgement of what a query finds.

    accelerate launch --config_file training/recipes/accelerate/one_gpu.yaml -m sqlgen.training.recipes.grpo \\
        --model_name_or_path merged --rows learn.jsonl --output_dir adapter --use_peft --lora_target_modules all-linear \\
        --num_generations 8 --per_device_train_batch_size 32 --max_completion_length 256 --learning_rate 1e-6

All options are those of TRL's GRPOConfig and ModelConfig, and of ``Rows``. A reply earns 0.1 when it parses, 0.2 more when
it passes validation and 1 more when its result equals the gold's on the live database (``sqlgen.training.rewards``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, ModelConfig, TrlParser, get_peft_config, get_quantization_config

from sqlgen.training.rewards import WEIGHTS, Judge

__all__ = ["main"]


@dataclass
class Rows:
    """What to try on."""

    rows: list[str] = field(metadata={"help": "Files of rows with prompt, gold and db."})
    db: str | None = field(
        default=None, metadata={"help": "The database, in place of the one that each row names."}
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the checkpoint or the adapter, its tokenizer and the curve to ``--output_dir``."""
    given, training, model = TrlParser((Rows, GRPOConfig, ModelConfig)).parse_args_and_config(arguments)
    training.reward_weights = list(WEIGHTS)
    training.model_init_kwargs = {
        "dtype": model.dtype,
        "attn_implementation": model.attn_implementation,
        "revision": model.model_revision,
    }
    lines = [json.loads(line) for path in given.rows for line in Path(path).read_text("utf-8").splitlines()]
    rows = [{"prompt": row["prompt"], "gold": row["gold"], "db": given.db or row["db"]} for row in lines]
    with Judge() as judge:
        trainer = GRPOTrainer(
            model=model.model_name_or_path,
            reward_funcs=[judge.parses, judge.names, judge.right],
            args=training,
            train_dataset=Dataset.from_list(rows),
            quantization_config=get_quantization_config(model),
            peft_config=get_peft_config(model),
        )
        trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
        trainer.save_model(training.output_dir)
        trainer.save_state()


if __name__ == "__main__":
    main()
