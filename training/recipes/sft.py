"""Supervised fine-tuning of a causal checkpoint on rows of ``sqlgen.training.prompts``; the loss is on the SQL alone.

    accelerate launch --config_file training/recipes/accelerate/one_gpu.yaml -m sqlgen.training.recipes.sft \\
        --model_name_or_path Qwen/Qwen2.5-Coder-1.5B-Instruct --rows learn.jsonl --watch watch.jsonl --output_dir adapter \\
        --use_peft --lora_r 16 --lora_alpha 32 --lora_target_modules all-linear --load_in_4bit --packing --max_length 4096

All options are those of TRL's SFTConfig and ModelConfig, and of ``Rows``. Without ``--use_peft`` all weights are trained;
``--load_in_4bit`` (QLoRA) needs bitsandbytes and a GPU. Then: ``--model hf:NAME+adapter``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets import Dataset
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser, get_peft_config, get_quantization_config

__all__ = ["main"]


@dataclass
class Rows:
    """What to learn from."""

    rows: list[str] = field(metadata={"help": "Files of rows with prompt and completion."})
    watch: list[str] = field(
        default_factory=list, metadata={"help": "Rows whose loss is reported, not learned."}
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the checkpoint or the adapter, its tokenizer and the curve to ``--output_dir``."""
    given, training, model = TrlParser((Rows, SFTConfig, ModelConfig)).parse_args_and_config(arguments)
    training.completion_only_loss = True
    training.model_init_kwargs = {
        "dtype": model.dtype,
        "attn_implementation": model.attn_implementation,
        "revision": model.model_revision,
    }
    trainer = SFTTrainer(
        model=model.model_name_or_path,
        args=training,
        train_dataset=read_rows(given.rows),
        eval_dataset=read_rows(given.watch) if given.watch else None,
        quantization_config=get_quantization_config(model),
        peft_config=get_peft_config(model),
    )
    trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
    trainer.save_model(training.output_dir)
    trainer.save_state()


def read_rows(paths: Sequence[str]) -> Dataset:
    """The prompts and completions of files."""
    found = [json.loads(line) for path in paths for line in Path(path).read_text("utf-8").splitlines()]
    return Dataset.from_list([{"prompt": row["prompt"], "completion": row["completion"]} for row in found])


if __name__ == "__main__":
    main()
