"""Pairs whose SQL has nothing to do with their question: a spoiled log is told before it is learned from.

A pair fits when the words of its question make its SQL likelier than the same input with those words masked:
pointwise mutual information (Church and Hanks 1990), measured with the shipped model. Values that the SQL takes
from the question stay readable in both.

What that can't tell, a wrong column of the right table, the retrained model can, of pairs that it did not learn: most of a
log is right, and what contradicts it stands out (as in confident learning, Northcutt et al. 2021). It is asked as well
about what the shipped model doubts.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

from sqlgen.generation.encode import COLUMN_MARKS, TABLE_MARK, PieceCache
from sqlgen.sql.form import KEYWORDS
from sqlgen.training.batches import Encoding, collate, encode_example
from sqlgen.training.corpora import Example
from sqlgen.training.model import SqlgenModel
from sqlgen.training.pairs import Pair
from sqlgen.training.weights import load_exported

__all__ = ["CONFLICT", "Doubts", "doubts_of", "evidence_of", "objections_of", "rivals_of", "second_opinion"]

_MASK = 103
_BATCH = 16
MOST = 200
# Of three public sets some 4 % of the pairs lie below this; of the same pairs with SQL exchanged, as far as their values
# stand in the question at all, three quarters (training/RUNS.md).
AGAINST = -8.0
# Of pairs that were not learned, the retrained model finds another column this much likelier (nats) where the column
# is wrong, and hardly ever where it is right (training/RUNS.md).
RIVAL = 4.0
_AGAINST = "the question's words speak against the SQL"
CONFLICT = "question and SQL name different values"
# Above this a doubt of the shipped model is no longer one of the retrained model's: it lay above for four of six good pairs
# of a far domain and for none of ten spoiled ones (training/RUNS.md).
CLEARED = -4.0
# Fewer doubted pairs that were not learned say nothing of the others.
_FEWEST = 4


def evidence_of(model: SqlgenModel, examples: Sequence[Example], cache: PieceCache) -> list[float | None]:
    """For each example the log-odds (nats) that its question's words speak for its form; None if it is too long.

    About zero when question and SQL have nothing to do with each other, below when the words speak against it.
    """
    found: list[float | None] = [None] * len(examples)
    rows = [
        (number, row)
        for number, example in enumerate(examples)
        if (row := encode_example(example, cache, model.config.max_output)) is not None
    ]
    rows.sort(key=lambda r: len(r[1][0]))
    model.eval()
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        said = _logprobs(model, [row for _, row in part])
        unsaid = _logprobs(model, [_masked(row) for _, row in part])
        for (number, _), one, other in zip(part, said, unsaid, strict=True):
            found[number] = one - other
    return found


def rivals_of(model: SqlgenModel, examples: Sequence[Example], cache: PieceCache) -> list[float | None]:
    """For each example by how many nats another column of its table is likelier, where that is worst in its form.

    None where it is too long or has no column with others beside it.
    """
    found: list[float | None] = [None] * len(examples)
    rows = [
        (number, row, rivals)
        for number, example in enumerate(examples)
        if (row := encode_example(example, cache, model.config.max_output)) is not None
        and (rivals := list(_rivals(row)))
    ]
    rows.sort(key=lambda r: len(r[1][0]))
    model.eval()
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        batch = collate([row for _, row, _ in part])
        del batch["labels"]
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            scores = model(**batch).float()
        for (number, _, rivals), said in zip(part, scores, strict=True):
            found[number] = max(
                float(said[step, others].max() - said[step, own]) for step, own, others in rivals
            )
    return found


def _rivals(row: Encoding) -> Iterator[tuple[int, int, list[int]]]:
    """Each step at which a form names a column: (step, output id, ids of the other columns of that table)."""
    ids, question_end, pointable, target = row
    tables: dict[int, int] = {}
    table = 0
    for place in pointable:
        if place >= question_end:
            table += ids[place] == TABLE_MARK
            if ids[place] in COLUMN_MARKS:
                tables[place] = table
    for step, said in enumerate(target[1:]):
        place = said - len(KEYWORDS)
        others = [len(KEYWORDS) + p for p, t in tables.items() if t == tables.get(place) and p != place]
        if others:
            yield step, said, others


def _masked(row: Encoding) -> Encoding:
    """The input without the words of the question that the output doesn't take over."""
    ids, question_end, pointable, target = row
    pointed = {t - len(KEYWORDS) for t in target}
    hidden = [
        _MASK if 0 < p < question_end - 1 and p not in pointed else piece for p, piece in enumerate(ids)
    ]
    return hidden, question_end, pointable, target


def _logprobs(model: SqlgenModel, rows: Sequence[Encoding]) -> list[float]:
    """Log-probability of each output, given its input."""
    batch = collate(rows)
    labels = batch.pop("labels")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(**batch)
    losses = F.cross_entropy(scores.float().transpose(1, 2), labels, ignore_index=-100, reduction="none")
    return [-float(total) for total in losses.sum(1)]


@dataclass(frozen=True, slots=True)
class Doubts:
    """How many of the pairs that were looked at don't fit their question, and which, with the cause."""

    looked_at: int
    pairs: tuple[tuple[Pair, str], ...]

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return len(self.pairs) / self.looked_at if self.looked_at else 0.0

    @property
    def conflicts(self) -> float:
        """Share of the pairs whose question and SQL name different values, from 0 to 1."""
        return sum(why == CONFLICT for _, why in self.pairs) / self.looked_at if self.looked_at else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        pairs = [{"question": pair.question, "sql": pair.sql, "why": why} for pair, why in self.pairs]
        return {"looked_at": self.looked_at, "pairs": pairs}


def doubts_of(base: Path, fit: Sequence[tuple[Pair, Example]], foreign: Sequence[Pair], seed: int) -> Doubts:
    """Judge pairs of a log: ``fit`` became examples, in ``foreign`` question and SQL name different values.

    At most ``MOST`` pairs are drawn.
    """
    drawn: list[tuple[Pair, Example | None]] = [*fit, *((pair, None) for pair in foreign)]
    random.Random(seed).shuffle(drawn)
    drawn = drawn[:MOST]
    examples = [example for _, example in drawn if example is not None]
    evidence = iter(evidence_of(load_exported(base), examples, _pieces(base)))
    found: list[tuple[Pair, str]] = []
    for pair, example in drawn:
        if example is None:
            found.append((pair, CONFLICT))
        elif (nats := next(evidence)) is not None and nats < AGAINST:
            found.append((pair, _AGAINST))
    return Doubts(len(drawn), tuple(found))


def second_opinion(doubts: Doubts, weights: Path, held: Sequence[tuple[Pair, Example]]) -> Doubts:
    """``doubts`` without those that a model, retrained on the rest of that log, no longer has about pairs it didn't learn.

    Of a domain far from all that it knows the shipped model takes good pairs for wrong ones; what others of the log teach
    makes them likely. Nobody learns to say exchanged SQL: where half of the doubts in ``held`` stand, all do.
    """
    doubted = {pair for pair, why in doubts.pairs if why == _AGAINST}
    again = [(pair, example) for pair, example in held if pair in doubted]
    if len(again) < _FEWEST:
        return doubts
    evidence = evidence_of(load_exported(weights), [example for _, example in again], _pieces(weights))
    stand = {
        pair for (pair, _), nats in zip(again, evidence, strict=True) if nats is not None and nats < CLEARED
    }
    if 2 * len(stand) >= len(again):
        return doubts
    return replace(
        doubts, pairs=tuple((pair, why) for pair, why in doubts.pairs if why != _AGAINST or pair in stand)
    )


def objections_of(weights: Path, held: Sequence[tuple[Pair, Example]], missed: Collection[int]) -> Doubts:
    """Judge pairs that the model in ``weights`` did not learn: it objects where another column fits far better.

    Only to pairs whose numbers are in ``missed``: where its answer is right, another column would do as well.
    """
    rivals = rivals_of(load_exported(weights), [example for _, example in held], _pieces(weights))
    why = "another column fits the question better"
    return Doubts(
        len(held),
        tuple(
            (pair, why)
            for number, ((pair, _), nats) in enumerate(zip(held, rivals, strict=True))
            if nats is not None and nats > RIVAL and number in missed
        ),
    )


def _pieces(folder: Path) -> PieceCache:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return PieceCache(tokenizer)
