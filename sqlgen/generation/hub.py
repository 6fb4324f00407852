"""Checkpoints that transformers loads, with peft adapters, on the CPU or one or several GPUs.

The only file outside training that imports torch, transformers and peft; all of them inside functions.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.generation.constraint import sql_grammar
from sqlgen.generation.prompt import chat_prompt, sql_of_reply
from sqlgen.types import Candidate, ModelInfo, Question, RetrievedContext

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from torch import Tensor

__all__ = ["GrammarProcessor", "HubGenerator", "chat_text"]

_MAX_OUTPUT = 512
# Seconds that a request to the hub may take before it counts as failed; set only where the user has not.
_HUB_TIMEOUT_S = "10"
_OPTIONS = {
    "constrain": ("auto", "on", "off"),
    "quantize": ("none", "4bit", "8bit"),
    "device": None,
    "dtype": ("auto", "float32", "bfloat16", "float16"),
}


class HubGenerator:
    """A ``Generator`` over a causal or sequence-to-sequence checkpoint. One question at a time on the device.

    ``name`` is a folder or a name on the hub, ``adapter`` one of a peft adapter. Options: ``constrain`` (auto: where
    llguidance is installed), ``quantize`` (4bit and 8bit need bitsandbytes), ``device`` (a torch device; auto spreads
    over what is there) and ``dtype``. Raises ModelUnavailable when something is missing or damaged.
    """

    def __init__(
        self, name: str, adapter: str | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        chosen = _checked(dict(options or {}))
        self.info = ModelInfo(name, "hub", adapter)
        self._lock = threading.Lock()
        self._model, self._tokenizer = _load(name, adapter, chosen)
        self._grammars: LLTokenizer | None = None
        if chosen["constrain"] != "off":
            self._grammars = _grammar_tokenizer(self._model, self._tokenizer, chosen["constrain"] == "on")

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text`` in this model's vocabulary."""
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        """Candidates by log-probability, best first; equal SQL comes once.

        With a constraint every candidate reads retrieved tables and columns only; one that the length limit cut off
        is left out.
        """
        if not context.tables:
            return ()
        grammar = sql_grammar(context, question.dialect) if self._grammars is not None else ""
        found: dict[str, Candidate] = {}
        for text, logprob in self._write(chat_text(self._tokenizer, question, context), grammar, beams):
            sql = sql_of_reply(text)
            if sql and sql not in found:
                found[sql] = Candidate(sql, logprob, self.info.name, self.info.version)
        return tuple(found.values())

    def _write(self, prompt: str, grammar: str, beams: int) -> list[tuple[str, float]]:
        import torch

        model, tokenizer = self._model, self._tokenizer
        # A chat template writes the special tokens itself.
        encoded = tokenizer(prompt, return_tensors="pt", add_special_tokens=not tokenizer.chat_template)
        encoded = {k: v.to(model.device) for k, v in encoded.items() if k in ("input_ids", "attention_mask")}
        start = 1 if model.config.is_encoder_decoder else encoded["input_ids"].shape[1]
        processors = []
        if grammar and self._grammars is not None:
            processors.append(GrammarProcessor(self._grammars, grammar, start, tokenizer.eos_token_id))
        try:
            with self._lock, torch.inference_mode():
                out = model.generate(
                    **encoded,
                    max_new_tokens=_MAX_OUTPUT,
                    num_beams=beams,
                    num_return_sequences=beams,
                    do_sample=False,
                    **({"length_penalty": 0.0, "early_stopping": True} if beams > 1 else {}),
                    return_dict_in_generate=True,
                    output_scores=True,
                    logits_processor=processors,
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                )
        except (RuntimeError, ValueError, IndexError) as error:
            raise ModelUnavailable(f"the model {self.info.name} failed: {_first_line(error)}") from error
        scores = _logprobs(out, start, beams, tokenizer.eos_token_id)
        finished = []
        for sequence, score in zip(out.sequences[:, start:], scores, strict=True):
            tokens = sequence.tolist()
            if tokenizer.eos_token_id in tokens and not math.isnan(score):
                kept = tokens[: tokens.index(tokenizer.eos_token_id)]
                finished.append((tokenizer.decode(kept, skip_special_tokens=True), score))
        return sorted(finished, key=lambda pair: -pair[1])


class GrammarProcessor:
    """Lets a model write only what a grammar allows: a logits processor for greedy, sampled and beam search.

    Rows are known by what they have written, so beams may be reordered. ``start`` is the length of the prompt.
    Raises ModelUnavailable when the grammar is not valid.
    """

    def __init__(self, tokenizer: LLTokenizer, grammar: str, start: int, eos: int) -> None:
        from llguidance import LLMatcher

        self._start, self._eos = start, eos
        matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(grammar), log_level=0)
        if matcher.is_error():
            raise ModelUnavailable(
                f"the grammar of this schema was refused: {_first_line(matcher.get_error())}"
            )
        self._matchers: dict[tuple[int, ...], LLMatcher] = {(): matcher}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores with every token forbidden that the grammar does not allow next."""
        import torch

        matchers: dict[tuple[int, ...], LLMatcher] = {}
        rows = [tuple(row[self._start :]) for row in input_ids.tolist()]
        allowed = np.zeros(scores.shape, dtype=np.bool_)
        for number, row in enumerate(rows):
            matcher = matchers.get(row) or self._advanced(row)
            if matcher is None or matcher.is_stopped():
                # Finished, or too much for the parser: nothing but the end may follow.
                allowed[number, self._eos] = True
                continue
            matchers[row] = matcher
            bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")
            width = min(len(bits), scores.shape[1])
            allowed[number, :width] = bits[:width]
        self._matchers = matchers
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), -math.inf)

    def _advanced(self, row: tuple[int, ...]) -> LLMatcher | None:
        """The matcher behind ``row``, from that of the row one token shorter; None when it has ended."""
        if not row:
            return self._matchers.get(())
        before = self._matchers.get(row[:-1])
        if before is None or row[-1] == self._eos:
            return None
        matcher = before.deep_copy()
        return matcher if matcher.consume_token(row[-1]) else None


def chat_text(tokenizer: Any, question: Question, context: RetrievedContext) -> str:
    """The prompt as one text, by the tokenizer's chat template where it has one."""
    turns = chat_prompt(question, context)
    if tokenizer.chat_template:
        return str(
            tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )
    return "\n".join(turn["content"] for turn in turns) + " "


def _logprobs(out: Any, start: int, beams: int, eos: int) -> list[float]:
    """The log-probability of each sequence, under the masked scores that it was chosen by."""
    if beams > 1:
        return [float(score) for score in out.sequences_scores]
    import torch

    total = 0.0
    for step, scores in enumerate(out.scores):
        token = int(out.sequences[0, start + step])
        total += float(torch.log_softmax(scores[0].float(), dim=-1)[token])
        if token == eos:
            break
    return [total]


def _checked(options: dict[str, str]) -> dict[str, str]:
    for key, value in options.items():
        if key not in _OPTIONS:
            raise UsageError(f"unknown option {key!r} of hf:; known: {', '.join(_OPTIONS)}")
        known = _OPTIONS[key]
        if known is not None and value not in known:
            raise UsageError(f"option {key}={value} of hf: is none of {', '.join(known)}")
    return {"constrain": "auto", "quantize": "none", "device": "auto", "dtype": "auto", **options}


def _load(name: str, adapter: str | None, options: Mapping[str, str]) -> tuple[Any, Any]:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", _HUB_TIMEOUT_S)
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", _HUB_TIMEOUT_S)
    try:
        import torch
        import transformers
        from safetensors import SafetensorError
    except ImportError as error:
        raise ModelUnavailable(
            f"hf:{name} needs {error.name}; install it with: pip install 'sqlgen[hub]'"
        ) from error
    if name.startswith(("/", "./", "../")) and not Path(name).is_dir():
        raise ModelUnavailable(f"no checkpoint in the folder {name}")
    transformers.utils.logging.disable_progress_bar()
    # The hub's client tells of each attempt; what came of them is told once, below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    arguments: dict[str, Any] = {"dtype": options["dtype"]}
    if options["device"] != "cpu" and (torch.cuda.is_available() or options["device"] != "auto"):
        arguments["device_map"] = options["device"]
    try:
        if options["quantize"] != "none":
            arguments["quantization_config"] = transformers.BitsAndBytesConfig(
                load_in_4bit=options["quantize"] == "4bit", load_in_8bit=options["quantize"] == "8bit"
            )
        config = transformers.AutoConfig.from_pretrained(name)
        kind = (
            transformers.AutoModelForSeq2SeqLM
            if config.is_encoder_decoder
            else transformers.AutoModelForCausalLM
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(name)
        model = kind.from_pretrained(name, **arguments)
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, adapter)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, ImportError, SafetensorError) as error:
        what = name if adapter is None else f"{name} with the adapter {adapter}"
        raise ModelUnavailable(f"cannot load {what}: {_first_line(error)}") from error
    if tokenizer.eos_token_id is None:
        raise ModelUnavailable(f"the tokenizer of {name} has no end-of-text token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.eval(), tokenizer


def _grammar_tokenizer(model: Any, tokenizer: Any, required: bool) -> LLTokenizer | None:
    try:
        from llguidance.hf import from_tokenizer
    except ImportError as error:
        if required:
            raise ModelUnavailable(
                "constrain=on needs llguidance; install it with: pip install 'sqlgen[hub]'"
            ) from error
        return None
    try:
        return from_tokenizer(
            tokenizer, n_vocab=max(model.config.get_text_config().vocab_size, len(tokenizer))
        )
    except ValueError as error:
        if required:
            raise ModelUnavailable(
                f"no constraint with this model's tokenizer: {_first_line(error)}"
            ) from error
        return None


def _first_line(error: object) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
