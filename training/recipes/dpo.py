"""DPO on corrections of the product's history: what the model wrote is rejected, what somebody put in its place chosen.

    python -m sqlgen.training.prompts --db URL --corrections --out corrections.jsonl
    accelerate launch --config_file training/recipes/accelerate/one_gpu.yaml -m sqlgen.training.recipes.dpo \\
        --model_name_or_path NAME --rows corrections.jsonl --output_dir adapter --use_peft --lora_target_modules all-linear

All options are those of TRL's DPOConfig and ModelConfig, and of ``Rows``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset
from trl import DPOConfig, DPOTrainer, ModelConfig, TrlParser, get_peft_config, get_quantization_config

__all__ = ["main"]


@dataclass
class Rows:
    """What to prefer."""

    rows: list[str] = field(metadata={"help": "Files of rows with prompt, chosen and rejected."})
    watch: list[str] = field(
        default_factory=list, metadata={"help": "Corrections that are measured, not learned."}
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the checkpoint or the adapter, its tokenizer and the curve to ``--output_dir``."""
    given, training, model = TrlParser((Rows, DPOConfig, ModelConfig)).parse_args_and_config(arguments)
    training.model_init_kwargs = {
        "dtype": model.dtype,
        "attn_implementation": model.attn_implementation,
        "revision": model.model_revision,
    }
    trainer = DPOTrainer(
        model=model.model_name_or_path,
        args=training,
        train_dataset=read_rows(given.rows),
        eval_dataset=read_rows(given.watch) if given.watch else None,
        quantization_config=get_quantization_config(model),
        peft_config=get_peft_config(model),
    )
    if given.watch:
        trainer.log_metrics("before", trainer.evaluate(metric_key_prefix="before"))
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    if given.watch:
        trainer.log_metrics("after", trainer.evaluate(metric_key_prefix="after"))
    trainer.save_model(training.output_dir)
    trainer.save_state()


def read_rows(paths: Sequence[str]) -> Dataset:
    """The prompts with both answers of files."""
    found = [json.loads(line) for path in paths for line in Path(path).read_text("utf-8").splitlines()]
    return Dataset.from_list([{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in found])


if __name__ == "__main__":
    main()
