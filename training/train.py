"""The recipe of the shipped model: one flat file, read top to bottom, the same on CPU and GPU.

    python -m sqlgen.training.train --data DATA --out RUN --budget-minutes 80

DATA holds ``*.pkl.gz`` shards written by ``sqlgen.training.prepare``; RUN gets checkpoints every
few minutes (``--resume`` goes on from the last), a log of loss and accuracy, and the final weights.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import BertModel

from sqlgen.generation.encode import PieceCache
from sqlgen.sql.form import KEYWORDS
from sqlgen.training.batches import Batch, collate, encode_example, stream_batches
from sqlgen.training.corpora import Example
from sqlgen.training.model import SqlgenConfig, SqlgenModel
from sqlgen.training.prepare import base_model_path, load_shards, split_databases
from sqlgen.training.weights import load_exported

__all__ = ["main"]


def main() -> None:
    """Train until the budget of minutes is used up."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--data", type=Path, required=True)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--mix", default="", help="shares of sources, e.g. spider=4,syn=3,bird=1")
    cli.add_argument("--budget-minutes", type=float, default=75)
    cli.add_argument("--batch", type=int, default=32)
    cli.add_argument("--lr-encoder", type=float, default=1.2e-4)
    cli.add_argument("--lr-decoder", type=float, default=5e-4)
    cli.add_argument("--decoder-layers", type=int, default=4)
    cli.add_argument("--checkpoint-minutes", type=float, default=5)
    cli.add_argument("--seed", type=int, default=1)
    cli.add_argument("--threads", type=int, default=2)
    cli.add_argument("--workers", type=int, default=0, help="processes that prepare batches")
    cli.add_argument(
        "--start", type=Path, help="weights to go on from: an earlier run's, or the shipped ones"
    )
    cli.add_argument("--resume", action="store_true")
    args = cli.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    # Model: MiniLM's weights in the encoder, its word embeddings frozen.
    base = base_model_path()
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    cache = PieceCache(tokenizer)
    encoder = BertModel.from_pretrained(base, add_pooling_layer=False)
    sizes = encoder.config.to_dict() | {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    model = SqlgenModel(
        SqlgenConfig(keywords=len(KEYWORDS), decoder_layers=args.decoder_layers, encoder=sizes)
    )
    model.encoder.load_state_dict(encoder.state_dict())
    if args.start:
        adopt(model, earlier_model(args.start))
    model.encoder.embeddings.word_embeddings.weight.requires_grad = False
    model.to(torch.device(device))  # type: ignore[arg-type]
    inner = [p for n, p in model.named_parameters() if n.startswith("encoder.") and p.requires_grad]
    outer = [p for n, p in model.named_parameters() if not n.startswith("encoder.")]
    optimizer = torch.optim.AdamW(
        [{"params": inner, "peak": args.lr_encoder}, {"params": outer, "peak": args.lr_decoder}],
        weight_decay=0.01,
        betas=(0.9, 0.98),
        fused=True,
    )
    average = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    step, seen, spent = 0, 0, 0.0
    checkpoint = args.out / "last.pt"
    if args.resume and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average = state["average"]
        step, seen, spent = state["step"], state["seen"], state["spent"]

    # Data: sources in their shares, some training databases kept back to watch.
    sources = load_shards(args.data)
    watched, sources = split_databases(sources, seed=7, count=8)
    shares = {k: float(v) for k, v in (pair.split("=") for pair in args.mix.split(",") if pair)}
    mix = [(rows, shares.get(name, 1.0) if shares else len(rows)) for name, rows in sources.items()]
    say(args.out, data={n: len(r) for n, r in sources.items()}, watched=len(watched), mix=args.mix)
    rows = [r for e in random.Random(3).sample(watched, min(320, len(watched)))
            if (r := encode_example(e, cache, model.config.max_output))]  # fmt: skip
    rows.sort(key=lambda r: len(r[0]))
    probes = [collate(rows[i : i + 32]) for i in range(0, len(rows), 32)]
    settings = {"batch": args.batch, "max_output": model.config.max_output}
    batches = feed(mix, cache, settings, args.seed * 1000 + step, args.workers)

    # Steps: warm-up, a plateau, then linearly down over the last 60 % of the budget.
    budget, began, saved, shown = args.budget_minutes * 60, time.time() - spent, time.time(), time.time()
    losses: list[float] = []
    while (elapsed := time.time() - began) < budget:
        left = 1 - elapsed / budget
        scale = min(1.0, (step + 1) / 200) * min(1.0, max(0.01, left / 0.6))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * scale
        batch = {k: v.to(device, non_blocking=True) for k, v in next(batches).items()}
        loss = loss_of(model, batch, device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + len(batch["labels"])
        losses.append(float(loss.detach()))
        if step % 4 == 0:
            weight = min(0.996, step / (step + 200))
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if parameter.requires_grad:
                        average[name].lerp_(parameter, 1 - weight)
        if time.time() - shown > 60:
            mean = sum(losses) / len(losses)
            say(args.out, minutes=round(elapsed / 60, 1), step=step, seen=seen, loss=round(mean, 4))
            losses, shown = [], time.time()
        if time.time() - saved > args.checkpoint_minutes * 60:
            save(checkpoint, model, optimizer, average, step, seen, time.time() - began)
            exact = accuracy(with_average(model, average), probes, device)
            say(args.out, minutes=round(elapsed / 60, 1), step=step, seen=seen, watched_exact=round(exact, 4))
            saved = time.time()
    save(checkpoint, model, optimizer, average, step, seen, time.time() - began)
    final = with_average(model, average)
    exact = accuracy(final, probes, device)
    final.save_pretrained(args.out / "final")
    (args.out / "final" / "tokenizer.json").write_bytes((base / "tokenizer.json").read_bytes())
    say(args.out, done=True, step=step, seen=seen, watched_exact=round(exact, 4), device=device)


def earlier_model(folder: Path) -> SqlgenModel:
    """The model in ``folder``: a run's final weights, or exported ones, which are all that a checkout holds."""
    exported = (folder / "manifest.json").exists()
    return load_exported(folder) if exported else SqlgenModel.from_pretrained(folder)


def adopt(model: SqlgenModel, earlier: SqlgenModel) -> None:
    """Take over earlier weights; words that came since keep their fresh rows."""
    known = earlier.config.keywords
    mine, theirs = model.state_dict(), earlier.state_dict()
    for name, value in theirs.items():
        if name in ("keyword_embedding.weight", "keyword_output.weight", "keyword_output.bias"):
            mine[name][:known] = value
        else:
            mine[name] = value
    # New words start unlikely, so that the first steps don't unlearn the old ones.
    mine["keyword_output.bias"][known:] = theirs["keyword_output.bias"].min() - 2
    model.load_state_dict(mine)


def feed(
    mix: list[tuple[list[Example], float]],
    cache: PieceCache,
    settings: dict[str, int],
    seed: int,
    workers: int,
) -> Iterator[Batch]:
    """Batches made here, or by worker processes when the device would wait for them."""
    if not workers:
        return stream_batches(mix, cache, seed=seed, **settings)
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Endless(IterableDataset[Batch]):
        def __iter__(self) -> Iterator[Batch]:
            info = get_worker_info()
            torch.set_num_threads(1)
            number = info.id if info else 0
            return stream_batches(mix, cache, seed=seed + 7919 * number, **settings)

    return iter(
        DataLoader(Endless(), batch_size=None, num_workers=workers, prefetch_factor=8, pin_memory=True)
    )


def loss_of(model: SqlgenModel, batch: Batch, device: str) -> torch.Tensor:
    """Mean cross-entropy of the next output token."""
    with torch.autocast(device, dtype=torch.bfloat16):
        scores = model(**{k: v for k, v in batch.items() if k != "labels"})
    return F.cross_entropy(scores.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=-100)


def accuracy(model: SqlgenModel, batches: list[Batch], device: str) -> float:
    """Share of outputs right at every token, given the gold prefix."""
    model.eval()
    right = total = 0
    with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16):
        for batch in batches:
            batch = {k: v.to(device) for k, v in batch.items()}
            scores = model(**{k: v for k, v in batch.items() if k != "labels"})
            labels = batch["labels"]
            right += int(((scores.argmax(-1) == labels) | (labels == -100)).all(1).sum())
            total += len(labels)
    model.train()
    return right / max(1, total)


def with_average(model: SqlgenModel, average: dict[str, torch.Tensor]) -> SqlgenModel:
    """A copy of the model that carries the averaged weights."""
    import copy

    twin = copy.deepcopy(model)
    twin.load_state_dict(average, strict=False)
    return twin


def save(
    path: Path,
    model: SqlgenModel,
    optimizer: torch.optim.Optimizer,
    average: dict[str, torch.Tensor],
    step: int,
    seen: int,
    spent: float,
) -> None:
    """Write a checkpoint whole or not at all."""
    fresh = path.with_suffix(".new")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average}
    torch.save(state | {"step": step, "seen": seen, "spent": spent}, fresh)
    fresh.replace(path)


def say(out: Path, **facts: object) -> None:
    """A line of the run's log, on the screen as well."""
    line = json.dumps(facts)
    print(line, flush=True)
    with (out / "log.jsonl").open("a") as log:
        log.write(line + "\n")


if __name__ == "__main__":
    main()
