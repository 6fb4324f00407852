"""What an adapter's training holds on to."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from peft import LoraConfig, inject_adapter_in_model  # noqa: E402

from sqlgen.generation.encode import PieceCache  # noqa: E402
from sqlgen.training.adapt import loss_of, parts_of  # noqa: E402
from sqlgen.training.batches import Batch, collate, encode_example  # noqa: E402
from sqlgen.training.corpora import Example  # noqa: E402
from sqlgen.training.model import SqlgenModel  # noqa: E402


@pytest.fixture
def batch(examples: list[Example], cache: PieceCache) -> Batch:
    return collate([row for e in examples if (row := encode_example(e, cache, 96))])


@pytest.fixture
def adapted(tiny: SqlgenModel) -> SqlgenModel:
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["q_proj", "up_proj", "query"]), tiny)
    for name, parameter in tiny.named_parameters():
        parameter.requires_grad = "lora_" in name
    return tiny


def general(batch: Batch, flags: list[bool]) -> Batch:
    return batch | {"replay": torch.tensor(flags)}


def test_general_rows_cost_nothing_until_the_model_moves_away(adapted: SqlgenModel, batch: Batch) -> None:
    only_general = general(batch, [True] * 4)
    assert loss_of(adapted, only_general).item() == pytest.approx(0.0, abs=1e-3)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.5)
    moved = loss_of(adapted, only_general)
    assert moved.item() > 0.01
    moved.backward()
    assert any(
        p.grad is not None and p.grad.abs().sum() > 0 for n, p in adapted.named_parameters() if "lora_B" in n
    )


def test_own_rows_are_learned_by_their_labels(adapted: SqlgenModel, batch: Batch) -> None:
    own = loss_of(adapted, general(batch, [False] * 4))
    mixed = loss_of(adapted, general(batch, [False, False, True, True]))
    assert own.item() > mixed.item() > 0


def test_parts_make_the_same_loss_as_the_whole(adapted: SqlgenModel, batch: Batch) -> None:
    whole = general(batch, [False, True, False, True])
    parts = list(parts_of(whole, tokens=2 * whole["input_ids"].shape[1]))
    assert len(parts) == 2
    together = sum(loss_of(adapted, part).item() * share for part, share in parts)
    assert together == pytest.approx(loss_of(adapted, whole).item(), rel=1e-2)
