"""Examples to padded batches: augmentation, encoding, length buckets."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sqlgen.generation.encode import PieceCache, encode, form_to_ids
from sqlgen.sql.form import KEYWORDS, FormToken, needed_tables
from sqlgen.training.corpora import Example
from sqlgen.training.unanswerable import make_unanswerable
from sqlgen.types import TableSlice

__all__ = ["Batch", "augment", "collate", "encode_example", "stream_batches"]

_MASK = 103
UNANSWERABLE = 0.08

Encoding = tuple[list[int], int, list[int], list[int]]
Batch = dict[str, Tensor]


def augment(example: Example, rng: random.Random) -> Example:
    """The same question over a shuffled schema, with some tables and columns nobody needs taken out."""
    context, form = example.context, example.form
    needed = needed_tables(form, context)
    columns = {(t[1], t[2]) for t in form if isinstance(t, tuple) and t[0] == "c" and len(t) == 3}
    values = {t[1] for t in form if isinstance(t, tuple) and t[0] == "v"}
    said = {(context.values[k].table, context.values[k].column) for k in values}
    needed |= {i for i, s in enumerate(context.tables) if any(s.table.key == t for t, _ in said)}
    drop_table = rng.choice((0.0, 0.0, rng.random()))
    drop_column = rng.choice((0.0, 0.0, rng.random() * 0.6))
    tables = [i for i in range(len(context.tables)) if i in needed or rng.random() >= drop_table]
    rng.shuffle(tables)
    slices: list[TableSlice] = []
    place: dict[tuple[int, int], tuple[int, int]] = {}
    for new, old in enumerate(tables):
        table = context.tables[old].table
        keys = {c for k in table.foreign_keys for c in k.columns}
        kept = [
            j
            for j, c in enumerate(table.columns)
            if (old, j) in columns
            or c.primary_key
            or c.name in keys
            or (table.key, c.name) in said
            or rng.random() >= drop_column
        ]
        if rng.random() < 0.5:
            rng.shuffle(kept)
        place.update({(old, j): (new, k) for k, j in enumerate(kept)})
        slices.append(
            replace(context.tables[old], table=replace(table, columns=tuple(table.columns[j] for j in kept)))
        )
    names = {(s.table.key, c.name) for s in slices for c in s.table.columns}
    matches = [
        k
        for k, m in enumerate(context.values)
        if (m.table, m.column) in names and (k in values or rng.random() > 0.05)
    ]
    spot = {old: new for new, old in enumerate(matches)}
    where = {old: new for new, old in enumerate(tables)}

    def move(token: FormToken) -> FormToken:
        if isinstance(token, str) or token[0] == "q":
            return token
        if token[0] == "t":
            return ("t", where[token[1]])
        if token[0] == "v":
            return ("v", spot[token[1]])
        return ("c", *place[token[1], token[2]])  # type: ignore[misc]

    fresh = replace(context, tables=tuple(slices), values=tuple(context.values[k] for k in matches))
    return replace(example, context=fresh, form=tuple(move(t) for t in form))


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
    """Tensors padded to the longest row; labels are -100 where there is nothing to learn."""
    length, steps = max(len(r[0]) for r in rows), max(len(r[3]) for r in rows)
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
            if rng.random() < UNANSWERABLE and (other := rng.choice(sources[which][0])):
                example = make_unanswerable(example, other, rng) or example
            row = encode_example(augment(example, rng), cache, max_output)
            if row is not None:
                pool.append(forget_words(row, rng))
        pool.sort(key=lambda r: len(r[0]))
        chunks = [pool[i : i + batch] for i in range(0, len(pool), batch)]
        rng.shuffle(chunks)
        for chunk in chunks:
            yield collate(chunk)
