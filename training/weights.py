"""The shipped int8 graphs read back into the torch model, and written again with changed matrices.

Training goes on from what ships, not from a checkpoint that only its makers have.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper

from sqlgen.errors import ModelUnavailable
from sqlgen.sql.form import KEYWORDS
from sqlgen.training.model import SqlgenConfig, SqlgenModel

__all__ = ["load_exported", "write_changed"]

Floats = npt.NDArray[np.float32]
_GRAPHS = ("encoder", "decoder")
_PREFIX = "model."


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A quantised weight: the names of its parts in a graph, and whether it stands transposed there."""

    quantised: str
    scale: str
    zero: str
    transposed: bool


class _Graph:
    """One exported graph and where torch's parameters are in it."""

    def __init__(self, path: Path) -> None:
        try:
            self.model = onnx.load(path)
        except (OSError, ValueError, onnx.onnx_cpp2py_export.checker.ValidationError) as error:
            raise ModelUnavailable(f"{path} cannot be read: {error}") from error
        graph = self.model.graph
        self.parts = {i.name: i for i in graph.initializer}
        self.matrices: dict[str, _Matrix] = {}
        readers: dict[str, list[Any]] = {}
        makers: dict[str, Any] = {}
        for node in graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
            for name in node.output:
                makers[name] = node
        for node in graph.node:
            if node.op_type == "DequantizeLinear" and node.input[1].startswith(_PREFIX):
                weight = node.input[1].removesuffix("_scale")
                self.matrices[weight.removeprefix(_PREFIX)] = _Matrix(
                    f"{weight}_quantized", node.input[1], node.input[2], False
                )
            elif node.op_type == "MatMulInteger" and node.input[1] in self.parts:
                bias = self._bias_after(node, readers)
                if bias is not None:
                    stem = node.input[1].removesuffix("_quantized")
                    weight = bias.removeprefix(_PREFIX).removesuffix("bias") + "weight"
                    self.matrices[weight] = _Matrix(node.input[1], f"{stem}_scale", node.input[3], True)

    def _bias_after(self, node: Any, readers: dict[str, list[Any]]) -> str | None:
        """The bias that is added to what a matrix gives: its name tells whose matrix it is."""
        while node.op_type != "Add":
            followers = readers.get(node.output[0], ())
            if len(followers) != 1:
                return None
            node = followers[0]
        return next((name for name in node.input if name.startswith(_PREFIX)), None)

    def array(self, name: str) -> npt.NDArray[Any]:
        return np.asarray(numpy_helper.to_array(self.parts[name]))

    def weight(self, matrix: _Matrix) -> Floats:
        """The matrix as torch has it."""
        quantised, scale, zero = (self.array(n) for n in (matrix.quantised, matrix.scale, matrix.zero))
        full = (quantised.astype(np.float32) - zero.astype(np.float32)) * scale.astype(np.float32)
        return np.ascontiguousarray(full.T if matrix.transposed else full, dtype=np.float32)

    def put(self, matrix: _Matrix, weight: Floats) -> None:
        """Store a changed matrix in 8 bits, signed if it was, one scale a column, as the export does."""
        full = weight.T if matrix.transposed else weight
        per_column = self.array(matrix.scale).ndim == 1
        low = np.minimum(full.min(0) if per_column else full.min(), 0)
        high = np.maximum(full.max(0) if per_column else full.max(), 0)
        scale = np.maximum((high - low) / 255, 1e-12).astype(np.float32)
        zero = np.clip(np.round(-low / scale), 0, 255).astype(np.uint8)
        quantised = np.clip(np.round(full / scale) + zero, 0, 255).astype(np.uint8)
        if self.array(matrix.zero).dtype == np.int8:
            quantised, zero = ((part ^ np.uint8(0x80)).view(np.int8) for part in (quantised, zero))
        for name, value in ((matrix.quantised, quantised), (matrix.scale, scale), (matrix.zero, zero)):
            self.parts[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))


def load_exported(folder: Path) -> SqlgenModel:
    """The torch model of exported int8 weights, without dropout; ModelUnavailable when they are not what they say."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
        if manifest["keywords"] != list(KEYWORDS):
            raise ModelUnavailable(f"the weights in {folder} belong to another version of sqlgen")
        state: dict[str, torch.Tensor] = {}
        for name in _GRAPHS:
            graph = _Graph(folder / f"{name}.onnx")
            for part in graph.parts.values():
                if part.name.startswith(_PREFIX) and part.data_type == onnx.TensorProto.FLOAT:
                    state[part.name.removeprefix(_PREFIX)] = torch.from_numpy(graph.array(part.name).copy())
            for weight, matrix in graph.matrices.items():
                state[weight] = torch.from_numpy(graph.weight(matrix))
    except (OSError, KeyError, ValueError) as error:
        raise ModelUnavailable(f"the weights in {folder} cannot be read: {error}") from error
    layers = int(manifest["layers"])
    size = int(manifest["hidden_size"])
    words = state["encoder.embeddings.word_embeddings.weight"]
    inner = state["encoder.encoder.layer.0.intermediate.dense.weight"]
    encoder = {
        "vocab_size": words.size(0),
        "hidden_size": size,
        "num_hidden_layers": 1 + max(int(n.split(".")[3]) for n in state if n.startswith("encoder.encoder.")),
        "num_attention_heads": 12,
        "intermediate_size": inner.size(0),
        "max_position_embeddings": state["encoder.embeddings.position_embeddings.weight"].size(0),
        "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0,
    }
    config = SqlgenConfig(
        keywords=len(KEYWORDS),
        hidden_size=size,
        decoder_layers=layers,
        decoder_heads=int(manifest["heads"]),
        decoder_ff=state["layers.0.up_proj.weight"].size(0),
        max_output=int(manifest["max_output"]),
        # An adapter is held to what these weights say: with dropout the divergence would never be nil.
        dropout=0.0,
        encoder=encoder,
    )
    model = SqlgenModel(config)
    wanted = {n for n, _ in model.named_parameters()}
    if missing := sorted(wanted - set(state)):
        raise ModelUnavailable(f"the weights in {folder} lack {', '.join(missing[:3])}")
    model.load_state_dict({n: v for n, v in state.items() if n in wanted}, strict=False)
    return model


def write_changed(base: Path, changes: Mapping[str, Floats], out: Path, *, adapter: str) -> None:
    """The weights in ``base`` with ``changes`` added to their matrices, as a folder that can be loaded.

    ``changes`` are by torch's parameter names; ModelUnavailable when ``base`` has no such matrix.
    """
    out.mkdir(parents=True, exist_ok=True)
    left = dict(changes)
    manifest = json.loads((base / "manifest.json").read_text("utf-8"))
    for name in _GRAPHS:
        graph = _Graph(base / f"{name}.onnx")
        for weight, matrix in graph.matrices.items():
            if (change := left.pop(weight, None)) is not None:
                graph.put(matrix, graph.weight(matrix) + change)
        raw = graph.model.SerializeToString()
        (out / f"{name}.onnx").write_bytes(raw)
        manifest["sha256"][f"{name}.onnx"] = hashlib.sha256(raw).hexdigest()
    if left:
        raise ModelUnavailable(f"the weights in {base} have no {next(iter(left))}")
    manifest["adapter"] = adapter
    for name in ("tokenizer.json", "choice.json"):
        if (base / name).exists():
            shutil.copyfile(base / name, out / name)
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
