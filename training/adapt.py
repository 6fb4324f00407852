"""A LoRA adapter for one database, from its own questions and SQL, on the weights that ship.

The method is LoRA (Hu et al. 2021) with learning without forgetting (Li and Hoiem 2016): batches mix a database's own
pairs with general ones, on which the adapted model is held to what the shipped one says. The adapter is kept small;
merged weights run as fast as the shipped ones.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from sqlgen.errors import ModelUnavailable
from sqlgen.generation.encode import PieceCache
from sqlgen.training.augment import QUIET, Noise, augment
from sqlgen.training.batches import Batch, Encoding, collate, encode_example
from sqlgen.training.corpora import Example
from sqlgen.training.model import SqlgenModel
from sqlgen.training.sparing import adapted_layers, input_moments, spared, without_adapter
from sqlgen.training.train import accuracy
from sqlgen.training.weights import load_exported

__all__ = ["Learned", "Recipe", "adapt", "changes_of", "loss_of"]

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int, str], None]
# Every linear layer of encoder and decoder, by the last part of its name.
_TARGETS = (
    "query", "key", "value", "dense", "q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj",
    "pointer_query", "pointer_key", "pointer_input",
)  # fmt: skip
# A training holds about a third of a megabyte of activations for each.
_TOKENS_AT_ONCE = 1536
# Own and general examples whose inputs tell what to spare.
_SEEN = 250
# A database's own names stay as they are; people's questions may come in any order and with slips.
_OWN_NOISE = replace(
    QUIET, shuffle=1.0, tables=0.2, columns=0.2, typos=0.05, lower=0.1, ending=0.05, values=0.1
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an adapter is trained.

    ``passes`` over the own pairs at most, each time in one of its wordings, ``budget_minutes`` of wall time at most;
    ``replay`` is the share of general examples in a batch; training stops early when the watched pairs got no better
    for ``patience`` looks. ``sparing`` is how much a change of what a layer makes of general inputs counts against the
    same on own ones, once all is learned (``training.sparing``).
    """

    rank: int = 16
    alpha: int = 32
    learning_rate: float = 1e-3
    batch: int = 16
    replay: float = 0.4
    passes: int = 40
    budget_minutes: float = 8.0
    patience: int = 4
    seed: int = 1
    threads: int = 2
    sparing: float = 1.0


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of a training: steps made, examples seen, seconds spent, share of watched pairs before and after."""

    steps: int
    examples: int
    seconds: float
    watched_before: float
    watched_after: float
    stopped: str


def adapt(
    base: Path,
    own: Sequence[tuple[Example, float]],
    watch: Sequence[Example],
    replay: Sequence[Example],
    out: Path,
    *,
    recipe: Recipe,
    pairs: int | None = None,
    milder: Mapping[float, Path] | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Learned:
    """Train an adapter for the weights in ``base`` and write it to ``out`` (safetensors, half precision).

    ``milder`` says where else to write it, by how much it is to spare general inputs there in place of ``recipe.sparing``.
    ``own`` are examples with weights; they say ``pairs`` statements in other words (themselves, if that is not given). With ``checkpoint``
    a training that was killed goes on from there; the file stays, for the caller to remove once the adapter is safe.
    """
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    model = load_exported(base)
    lora = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=0.0,
        target_modules=list(_TARGETS),
        use_rslora=False,
    )
    inject_adapter_in_model(lora, model)
    # On a CPU a step with the fused kernel takes a third more (training/RUNS.md).
    model.encoder.set_attn_implementation("eager")
    trained = {n: p for n, p in model.named_parameters() if "lora_" in n}
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name in trained
    optimizer = torch.optim.AdamW(
        trained.values(), lr=recipe.learning_rate, weight_decay=0.0, betas=(0.9, 0.98)
    )
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    cache = PieceCache(tokenizer)
    rows = [r for e in watch if (r := encode_example(e, cache, model.config.max_output))]
    probes = [collate(rows[i : i + 16]) for i in range(0, len(rows), 16)]
    one = 1.5 / max(1, len(rows))
    total = max(20, recipe.passes * (pairs or len(own)) // max(1, round(recipe.batch * (1 - recipe.replay))))
    look = max(10, min(60, total // 12))
    state = _State.resume(checkpoint, model, optimizer, trained)
    if state is None:
        before = accuracy(model, probes, "cpu")
        kept = {n: p.detach().clone() for n, p in trained.items()}
        state = _State(0, 0, 0.0, before, before, before, 0, kept)
    rng = random.Random(f"{recipe.seed} {state.step}")
    batches = _batches(own, replay, cache, recipe, model.config.max_output, rng)
    began, stopped = time.monotonic() - state.spent, "all passes made"
    while state.step < total:
        spent = time.monotonic() - began
        if spent > recipe.budget_minutes * 60:
            stopped = "out of time"
            break
        left = min(1 - state.step / total, 1 - spent / (recipe.budget_minutes * 60))
        for group in optimizer.param_groups:
            group["lr"] = (
                recipe.learning_rate * min(1.0, (state.step + 1) / 20) * max(0.02, min(1.0, left / 0.7))
            )
        batch = next(batches)
        for part, share in parts_of(batch):
            (loss_of(model, part) * share).backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.seen += len(batch["labels"])
        if state.step % look == 0 or state.step == total:
            exact = accuracy(model, probes, "cpu") if probes else 0.0
            # Later is better, as the rate goes down, unless more than one watched pair was lost, which may be chance.
            if exact >= state.best - one:
                state.best, state.after, state.worse = max(state.best, exact), exact, 0
                state.kept = {n: p.detach().clone() for n, p in trained.items()}
            else:
                state.worse += 1
            state.spent = time.monotonic() - began
            state.save(checkpoint, optimizer, trained)
            if state.worse >= recipe.patience:
                stopped = "the watched pairs got no better"
                break
        if progress is not None:
            # Of the steps or of the time, whichever ends it: so that the time said to remain is that of the budget too.
            progress(
                round(1000 * (1 - left)), 1000, f"training: step {state.step}, watched {state.after:.2f}"
            )
    if progress is not None:
        progress(1000, 1000, "training: spare what is general")
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(state.kept[name])
    optimizer.state.clear()
    draw = random.Random(recipe.seed)
    own_inputs, general_inputs = (
        input_moments(model, _seen(examples, cache, model.config.max_output, draw))
        for examples in ([example for example, _ in own], replay)
    )
    for sparing, path in ((recipe.sparing, out), *(milder or {}).items()):
        _write(model, own_inputs, general_inputs, replace(recipe, sparing=sparing), path)
    seconds = time.monotonic() - began
    return Learned(state.step, state.seen, seconds, state.before, state.after, stopped)


_KEPT = ("step", "seen", "spent", "before", "best", "after", "worse", "kept")


@dataclass(slots=True)
class _State:
    step: int
    seen: int
    spent: float
    before: float
    best: float
    after: float
    worse: int
    kept: dict[str, torch.Tensor]

    @classmethod
    def resume(
        cls,
        path: Path | None,
        model: SqlgenModel,
        optimizer: torch.optim.Optimizer,
        trained: Mapping[str, torch.nn.Parameter],
    ) -> _State | None:
        """Where a killed training stood; None at the beginning, or when the checkpoint is of no use."""
        if path is None or not path.exists():
            return None
        try:
            saved = torch.load(path, weights_only=True)
            if set(saved["trained"]) != set(trained):
                return None
            optimizer.load_state_dict(saved["optimizer"])
        except (OSError, RuntimeError, KeyError, ValueError, EOFError):
            return None
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(saved["trained"][name])
        return cls(*(saved[k] for k in _KEPT))

    def save(
        self,
        path: Path | None,
        optimizer: torch.optim.Optimizer,
        trained: Mapping[str, torch.nn.Parameter],
    ) -> None:
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        facts = {k: getattr(self, k) for k in _KEPT}
        weights = {n: p.detach() for n, p in trained.items()}
        torch.save(facts | {"optimizer": optimizer.state_dict(), "trained": weights}, fresh)
        fresh.replace(path)


def _batches(
    own: Sequence[tuple[Example, float]],
    replay: Sequence[Example],
    cache: PieceCache,
    recipe: Recipe,
    max_output: int,
    rng: random.Random,
) -> Iterator[Batch]:
    """Endless batches of own and general examples."""
    examples, weights = [example for example, _ in own], [weight for _, weight in own]
    noisy = Noise()

    def draw() -> tuple[Encoding, bool]:
        while True:
            again = bool(replay) and rng.random() < recipe.replay
            example = (
                augment(rng.choice(replay), rng, noisy)
                if again
                else augment(rng.choices(examples, weights)[0], rng, _OWN_NOISE)
            )
            if (row := encode_example(example, cache, max_output)) is not None:
                return row, again

    while True:
        pool = sorted((draw() for _ in range(recipe.batch * 8)), key=lambda drawn: len(drawn[0][0]))
        chunks = [pool[i : i + recipe.batch] for i in range(0, len(pool), recipe.batch)]
        rng.shuffle(chunks)
        for chunk in chunks:
            yield collate([row for row, _ in chunk]) | {"replay": torch.tensor([again for _, again in chunk])}


def loss_of(model: SqlgenModel, batch: Batch) -> torch.Tensor:
    """Cross-entropy over own pairs; over general ones, the divergence from what the shipped model says to them.

    Learning without forgetting (Li and Hoiem 2016): the general pairs were learned already, it is the shipped model's
    whole distribution that is to be kept. Mean over output tokens.
    """
    again, labels = batch["replay"], batch["labels"]
    told = {name: tensor for name, tensor in batch.items() if name not in ("labels", "replay")}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(**told)
    known = labels != -100
    own = known & ~again[:, None]
    loss = F.cross_entropy(scores[own].float(), labels[own], reduction="sum")
    if again.any():
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16), without_adapter(model):
            shipped = model(**{name: tensor[again] for name, tensor in told.items()})
        kept = known[again]
        loss = loss + F.kl_div(
            scores[again][kept].float().log_softmax(-1),
            shipped[kept].float().log_softmax(-1),
            reduction="sum",
            log_target=True,
        )
    return loss / known.sum()


def parts_of(batch: Batch, tokens: int = _TOKENS_AT_ONCE) -> Iterator[tuple[Batch, float]]:
    """The batch in parts of about ``tokens`` input tokens, each with its share of the loss, to bound the memory.

    >>> import torch
    >>> rows = {"input_ids": torch.zeros(3, 4), "labels": torch.tensor([[1, 2], [1, -100], [1, -100]])}
    >>> [(len(part["labels"]), share) for part, share in parts_of(rows, 8)]
    [(2, 0.75), (1, 0.25)]
    """
    rows, length = batch["input_ids"].shape
    step = max(1, tokens // length)
    told = int((batch["labels"] != -100).sum())
    for start in range(0, rows, step):
        part = {name: tensor[start : start + step] for name, tensor in batch.items()}
        yield part, int((part["labels"] != -100).sum()) / told


def _seen(examples: Sequence[Example], cache: PieceCache, max_output: int, rng: random.Random) -> list[Batch]:
    """Some of the examples as they are, in batches."""
    some = rng.sample(examples, min(_SEEN, len(examples)))
    rows = [row for example in some if (row := encode_example(example, cache, max_output))]
    rows.sort(key=lambda row: len(row[0]))
    # The shapes of the training: torch keeps tens of megabytes for each new one.
    return [part for i in range(0, len(rows), 16) for part, _ in parts_of(collate(rows[i : i + 16]))]


def _write(
    model: SqlgenModel,
    own: Mapping[str, torch.Tensor],
    general: Mapping[str, torch.Tensor],
    recipe: Recipe,
    out: Path,
) -> None:
    def halves(which: str) -> dict[str, torch.Tensor]:
        return {
            n: model.get_parameter(f"{n}.lora_{which}.default.weight").detach() for n in adapted_layers(model)
        }

    down = halves("A")
    if general:
        down = spared(down, own, general, recipe.sparing)
    tensors = {f"{name}.A": matrix.half().contiguous() for name, matrix in down.items()}
    tensors |= {f"{name}.B": matrix.half().contiguous() for name, matrix in halves("B").items()}
    facts = {"scale": str(recipe.alpha / recipe.rank), "recipe": json.dumps(asdict(recipe))}
    save_file(tensors, out, facts)


def changes_of(adapter: Path) -> dict[str, Floats]:
    """What an adapter adds to each matrix, by torch's parameter names; ModelUnavailable when it is damaged."""
    try:
        tensors = load_file(adapter)
        with adapter.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            scale = float(json.loads(file.read(size))["__metadata__"]["scale"])
        return {
            f"{name[:-2]}.weight": (
                scale * (tensors[f"{name[:-2]}.B"].float() @ tensors[name].float())
            ).numpy()
            for name in tensors
            if name.endswith(".A")
        }
    except Exception as error:  # safetensors raises several, none of them public
        raise ModelUnavailable(f"the adapter {adapter} is damaged: {error}") from error
