"""Augmentation keeps the meaning; batches hold what the model needs."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs the train extra")

from sqlgen.generation.encode import PieceCache, encode, form_to_ids
from sqlgen.generation.grammar import Grammar, accepts
from sqlgen.sql.form import form_to_sql
from sqlgen.training.augment import QUIET
from sqlgen.training.batches import augment, collate, encode_example, stream_batches
from sqlgen.training.corpora import HELD_OUT, Example, spider_examples


def test_augmented_examples_say_the_same_sql(examples: list[Example]) -> None:
    rng = random.Random(3)
    noise = replace(QUIET, shuffle=1.0, tables=0.5, columns=0.5, values=0.5)
    for example in examples:
        expected = form_to_sql(example.form, example.context, example.question, "sqlite")
        shapes = set()
        for _ in range(40):
            fresh = augment(example, rng, noise)
            shapes.add(tuple(s.table.key for s in fresh.context.tables))
            assert form_to_sql(fresh.form, fresh.context, fresh.question, "sqlite") == expected
        assert len(shapes) > 1


def test_encoded_examples_are_sayable(examples: list[Example], cache: PieceCache) -> None:
    for example in examples:
        encoded = encode(example.question, example.context, cache)
        grammar = Grammar(encoded, example.context, example.question, loose=False)
        assert accepts(grammar, form_to_ids(example.form, encoded))


def test_collate_pads_and_masks(examples: list[Example], cache: PieceCache) -> None:
    rows = [row for e in examples if (row := encode_example(e, cache, 96))]
    batch = collate(rows)
    assert batch["labels"].shape == batch["output_ids"].shape
    for i, (ids, question_end, places, target) in enumerate(rows):
        assert batch["attention_mask"][i].sum() == len(ids)
        assert batch["segments"][i, :question_end].sum() == 0
        assert batch["pointable"][i].nonzero().flatten().tolist() == places
        assert batch["labels"][i][batch["labels"][i] >= 0].tolist() == target[1:]


def test_collate_makes_few_shapes(examples: list[Example], cache: PieceCache) -> None:
    rows = [row for e in examples if (row := encode_example(e, cache, 96))]
    longest = [*rows[0][:3], [0] * 96]
    for batch in (collate(rows[:1]), collate(rows), collate([longest])):
        assert batch["input_ids"].shape[1] % 32 == 0
        assert batch["labels"].shape[1] % 8 == 0
        assert batch["labels"].shape[1] <= 96


def test_too_long_outputs_are_left_out(examples: list[Example], cache: PieceCache) -> None:
    assert encode_example(examples[3], cache, 5) is None


def test_stream_is_seeded(examples: list[Example], cache: PieceCache) -> None:
    def first(seed: int) -> list[int]:
        stream = stream_batches([(examples, 1.0)], cache, batch=4, max_output=96, seed=seed)
        return next(stream)["input_ids"].flatten().tolist()

    assert first(1) == first(1)
    assert first(1) != first(2)


def test_held_out_databases_never_become_examples(examples: list[Example]) -> None:
    rows = [{"db_id": name, "question": "how many?", "query": "SELECT 1"} for name in HELD_OUT]
    assert list(spider_examples(rows, {}, "spider")) == []
    assert len(HELD_OUT) == 20
