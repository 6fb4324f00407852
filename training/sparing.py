"""An adapter that acts on what a database's own questions stir in the model and spares what all others stir.

The change D of a linear layer is replaced by D', which does to own inputs nearly what D does and to general ones
nearly nothing: D' minimises ``E_own |D'x - Dx|^2 + w E_general |D'x|^2``, so ``D' = D C (C + w G)^-1`` with the second
moments C and G of the layer's inputs (regression means, Jin et al. 2023, of the tuned and of the shipped weights).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from peft.tuners.lora import LoraLayer
from torch.utils.hooks import RemovableHandle

from sqlgen.training.batches import Batch
from sqlgen.training.model import SqlgenModel

__all__ = ["adapted_layers", "input_moments", "spared", "without_adapter"]

# Of a batch, for each layer: neighbouring tokens are much alike, and the widest layers' moments cost as much as the model.
_TOKENS = 512
# Of the mean square of own inputs, added in every direction: where hardly an input was seen the change stays small.
_RIDGE = 1e-2
_OF_INPUT = ("cross_attention.k_proj", "cross_attention.v_proj", "pointer_key")


def adapted_layers(model: SqlgenModel) -> dict[str, LoraLayer]:
    """The layers that carry an adapter, by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, LoraLayer)}


@contextmanager
def without_adapter(model: SqlgenModel) -> Iterator[None]:
    """The shipped model, in evaluation mode, for as long as it lasts."""
    layers, was = adapted_layers(model).values(), model.training
    model.eval()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        model.train(was)


def input_moments(model: SqlgenModel, batches: Iterable[Batch]) -> dict[str, torch.Tensor]:
    """For each adapted layer the mean of ``x x^T`` [D, D] over its inputs x [D] in the shipped model; padding is left out."""
    layers = adapted_layers(model)
    sums: dict[str, torch.Tensor] = {}
    seen = dict.fromkeys(layers, 0)
    real: dict[bool, torch.Tensor] = {}

    def note(name: str) -> RemovableHandle:
        reads_input = name.startswith("encoder.") or name.endswith(_OF_INPUT)

        def hook(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            x = given[0][real[reads_input]].float()
            x = x[:: -(-len(x) // _TOKENS)]
            # Rounded to half precision the small directions, which tell own from general, would drown.
            with torch.autocast("cpu", enabled=False):
                sums[name] = x.T @ x + sums.get(name, 0.0)
            seen[name] += len(x)

        return model.get_submodule(name).register_forward_pre_hook(hook)

    hooks = [note(name) for name in layers]
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16), without_adapter(model):
            for batch in batches:
                real = {True: batch["attention_mask"].bool(), False: batch["labels"] != -100}
                model(**{key: tensor for key, tensor in batch.items() if key != "labels"})
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total / max(1, seen[name]) for name, total in sums.items()}


def spared(
    down: Mapping[str, torch.Tensor],
    own: Mapping[str, torch.Tensor],
    general: Mapping[str, torch.Tensor],
    weight: float,
) -> dict[str, torch.Tensor]:
    """LoRA's matrices A [R, D] by layer, each times ``C (C + weight G)^-1``; D = B A becomes the D' of the module's text.

    >>> a, c, g = torch.ones(1, 2), torch.diag(torch.tensor([1.0, 1.0])), torch.diag(torch.tensor([0.0, 1.0]))
    >>> [round(x, 2) for x in spared({"q": a}, {"q": c}, {"q": g}, 3.0)["q"][0].tolist()]
    [0.99, 0.25]
    """
    found = {}
    for name, matrix in down.items():
        mine = own[name].double()
        size = len(mine)
        both = mine + weight * general[name].double()
        both += _RIDGE * mine.trace() / size * torch.eye(size, dtype=torch.float64)
        found[name] = torch.linalg.solve(both, mine @ matrix.double().T).T.float()
    return found
