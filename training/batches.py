"""Examples to padded batches: augmentation, encoding, length buckets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sqlgen.generation.encode import PieceCache, encode, form_to_ids
from sqlgen.sql.form import KEYWORDS
from sqlgen.training.augment import augment
from sqlgen.training.corpora import Example
from sqlgen.training.unanswerable import make_unanswerable

__all__ = ["Batch", "augment", "collate", "encode_example", "stream_batches"]

_MASK = 103
_LENGTHS = 32
_STEPS = 8
UNANSWERABLE = 0.08

Encoding = tuple[list[int], int, list[int], list[int]]
Batch = dict[str, Tensor]


def encode_example(example: Example, cache: PieceCache, max_output: int) -> Encoding | None:
    """(input ids, question end, pointable positions, output ids), or None when it does not fit."""
    encoded = encode(example.question, example.context, cache, by_name=False)
    try:
        target = form_to_ids(example.form, encoded)
    except ValueError:
        return None
    if len(target) > max_output:
        return None
    pointable = [p for p, slot in enumerate(encoded.slots) if slot is not None]
    return list(encoded.ids), encoded.question_end, pointable, target


def collate(rows: Sequence[Encoding]) -> Batch:
    """Tensors padded to the longest row, rounded up; labels are -100 where there is nothing to learn.

    For every new shape torch's CPU kernels are prepared anew and kept, tens of megabytes a shape.
    """
    length = _LENGTHS * -(-max(len(r[0]) for r in rows) // _LENGTHS)
    steps = _STEPS * -(-(max(len(r[3]) for r in rows) - 1) // _STEPS) + 1
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask, segments = torch.zeros_like(ids), torch.ones_like(ids)
    pointable = torch.zeros(len(rows), length, dtype=torch.bool)
    output = torch.zeros(len(rows), steps, dtype=torch.long)
    labels = torch.full((len(rows), steps), -100)
    for i, (source, question_end, places, target) in enumerate(rows):
        ids[i, : len(source)] = torch.tensor(source)
        mask[i, : len(source)] = 1
        segments[i, :question_end] = 0
        pointable[i, places] = True
        output[i, : len(target)] = torch.tensor(target)
        labels[i, : len(target) - 1] = torch.tensor(target[1:])
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "segments": segments,
        "pointable": pointable,
        "output_ids": output[:, :-1],
        "labels": labels[:, :-1],
    }


def forget_words(row: Encoding, rng: random.Random) -> Encoding:
    """Some pieces of the question that the output doesn't point at, masked in some examples."""
    if rng.random() < 0.6:
        return row
    ids, question_end, pointable, target = row
    pointed = {t - len(KEYWORDS) for t in target}
    ids = [
        _MASK if 0 < p < question_end - 1 and p not in pointed and rng.random() < 0.08 else piece
        for p, piece in enumerate(ids)
    ]
    return ids, question_end, pointable, target


def stream_batches(
    sources: Sequence[tuple[Sequence[Example], float]],
    cache: PieceCache,
    *,
    batch: int,
    max_output: int,
    seed: int,
) -> Iterator[Batch]:
    """Endless batches; each source is drawn in its share, without repeats inside a pass over it."""
    rng = random.Random(seed)
    decks: list[list[Example]] = [[] for _ in sources]
    shares = [share for _, share in sources]
    while True:
        pool: list[Encoding] = []
        while len(pool) < batch * 16:
            which = rng.choices(range(len(sources)), shares)[0]
            if not decks[which]:
                decks[which] = list(sources[which][0])
                rng.shuffle(decks[which])
            example = decks[which].pop()
            other = rng.choice(sources[which][0])
            if rng.random() < UNANSWERABLE:
                example = make_unanswerable(example, other, rng) or example
            row = encode_example(augment(example, rng, other=other), cache, max_output)
            if row is not None:
                pool.append(forget_words(row, rng))
        pool.sort(key=lambda r: len(r[0]))
        chunks = [pool[i : i + batch] for i in range(0, len(pool), batch)]
        rng.shuffle(chunks)
        for chunk in chunks:
            yield collate(chunk)
