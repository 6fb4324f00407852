"""What an adapter keeps of its changes, and where."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from peft import LoraConfig, inject_adapter_in_model  # noqa: E402

from sqlgen.generation.encode import PieceCache  # noqa: E402
from sqlgen.training.batches import Batch, collate, encode_example  # noqa: E402
from sqlgen.training.corpora import Example  # noqa: E402
from sqlgen.training.model import SqlgenModel  # noqa: E402
from sqlgen.training.sparing import adapted_layers, input_moments, spared, without_adapter  # noqa: E402

LAYERS = ["query", "dense", "q_proj", "k_proj", "up_proj", "pointer_key", "pointer_input"]


@pytest.fixture
def batches(examples: list[Example], cache: PieceCache) -> list[Batch]:
    rows = [row for e in examples if (row := encode_example(e, cache, 96))]
    return [collate(rows[:1]), collate(rows[1:])]


@pytest.fixture
def adapted(tiny: SqlgenModel) -> SqlgenModel:
    torch.manual_seed(1)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=LAYERS), tiny)
    with torch.no_grad():
        for layer in adapted_layers(tiny).values():
            layer.lora_B["default"].weight.normal_(std=0.03)
    return tiny.eval()


def inputs_of(model: SqlgenModel, name: str, batch: Batch) -> torch.Tensor:
    """What one layer reads at the real positions of a batch, [N, D]."""
    caught: list[torch.Tensor] = []
    hook = adapted_layers(model)[name].register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    with torch.no_grad(), without_adapter(model):
        model(**{key: tensor for key, tensor in batch.items() if key != "labels"})
    hook.remove()
    of_input = caught[0].shape[1] == batch["input_ids"].shape[1]
    return caught[0][batch["attention_mask"].bool() if of_input else batch["labels"] != -100]


def test_moments_are_of_what_the_shipped_model_reads_at_real_positions(
    adapted: SqlgenModel, batches: list[Batch]
) -> None:
    moments = input_moments(adapted, batches)
    assert set(moments) == set(adapted_layers(adapted))
    assert {name.rpartition(".")[2] for name in moments} == set(LAYERS)
    for name, moment in moments.items():
        x = torch.cat([inputs_of(adapted, name, batch) for batch in batches])
        expected = x.T @ x / len(x)
        assert (moment - expected).norm() < 0.02 * expected.norm(), name
        # What moments rounded to half precision don't keep: no direction has less than nothing.
        sizes = torch.linalg.eigvalsh(moment.double())
        assert sizes.min() > -1e-6 * sizes.max(), name


def test_no_other_change_serves_own_and_general_inputs_better() -> None:
    torch.manual_seed(2)
    own, general = (torch.randn(40, 6) @ torch.randn(6, 6) for _ in range(2))
    a, b = torch.randn(2, 6), torch.randn(5, 2)

    def cost(found: torch.Tensor) -> float:
        off = ((own @ (found - a).T @ b.T) ** 2).sum(1).mean()
        moved = ((general @ found.T @ b.T) ** 2).sum(1).mean()
        return float(off + 3.0 * moved)

    moments = [{"layer": x.T @ x / len(x)} for x in (own, general)]
    best = spared({"layer": a}, moments[0], moments[1], 3.0)["layer"]
    others = [best + 0.05 * torch.randn_like(best) for _ in range(50)]
    assert cost(best) < min(cost(a), cost(0 * a), *map(cost, others))


def test_the_more_is_spared_the_less_a_layer_does_to_general_inputs(
    adapted: SqlgenModel, batches: list[Batch]
) -> None:
    for name, layer in adapted_layers(adapted).items():
        learned, up = (layer.lora_A["default"].weight.detach(), layer.lora_B["default"].weight.detach())
        own, general = (inputs_of(adapted, name, batch) for batch in batches)
        moments = [{name: x.T @ x / len(x)} for x in (own, general)]
        kept = [spared({name: learned}, *moments, weight)[name] for weight in (0.0, 0.5, 8.0)]
        moved = [float((general @ matrix.T @ up.T).norm()) for matrix in kept]
        assert moved[0] > moved[1] > moved[2], name
        assert float((own @ (kept[0] - learned).T @ up.T).norm()) < 0.1 * float(
            (own @ learned.T @ up.T).norm()
        )
