"""A trained model to the files that ship: two ONNX graphs in int8, the tokenizer, a manifest.

python -m sqlgen.training.export --model RUN/final --out sqlgen/models/shipped
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from sqlgen.sql.form import KEYWORDS
from sqlgen.training.model import SqlgenModel

__all__ = ["DecoderStep", "EncoderWithKeys", "export", "main", "name_embedder", "write_graph"]


class EncoderWithKeys(nn.Module):
    """Ids and segments [1, L] to what every step reads: pointer keys and inputs, attention keys and values."""

    def __init__(self, model: SqlgenModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, segments: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        memory = self.model.encode(input_ids, torch.zeros(1, 1, 1, 1), segments)
        pairs = [layer.cross_attention.keys(memory) for layer in self.model.decoder]
        keys = torch.stack([k for k, _ in pairs])
        values = torch.stack([v for _, v in pairs])
        return self.model.pointer_key(memory), self.model.pointer_input(memory), keys, values


class DecoderStep(nn.Module):
    """One step for B beams over one encoded input.

    tokens [B], step [1], pointer keys and inputs [1, L, H], cross keys and values
    [layers, 1, heads, L, H/heads], past keys and values [layers, B, heads, T, H/heads] to
    scores [B, keywords + L] and the keys and values of T + 1 steps.
    """

    def __init__(self, model: SqlgenModel) -> None:
        super().__init__()
        self.model = model

    def attend(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        weights = (query @ keys.transpose(-1, -2) / math.sqrt(query.size(-1))).softmax(-1)
        return (weights @ values).transpose(1, 2).flatten(2)

    def forward(
        self,
        tokens: Tensor,
        step: Tensor,
        pointer_keys: Tensor,
        pointer_inputs: Tensor,
        cross_keys: Tensor,
        cross_values: Tensor,
        past_keys: Tensor,
        past_values: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        model, keywords = self.model, self.model.config.keywords
        spoken = model.keyword_embedding(tokens.clamp(max=keywords - 1))
        pointed = pointer_inputs[0].index_select(0, (tokens - keywords).clamp(min=0))
        x = torch.where((tokens < keywords)[:, None], spoken, pointed) + model.position_embedding(step)
        x = model.norm_input(x)[:, None]
        keys, values = [], []
        for i, layer in enumerate(model.decoder):
            inner = layer.norm_self(x)
            key, value = layer.self_attention.keys(inner)
            key, value = torch.cat([past_keys[i], key], 2), torch.cat([past_values[i], value], 2)
            keys.append(key)
            values.append(value)
            query = layer.self_attention.split(layer.self_attention.q_proj(inner))
            x = x + layer.self_attention.o_proj(self.attend(query, key, value))
            query = layer.cross_attention.split(layer.cross_attention.q_proj(layer.norm_cross(x)))
            x = x + layer.cross_attention.o_proj(self.attend(query, cross_keys[i], cross_values[i]))
            x = x + layer.down_proj(nn.functional.gelu(layer.up_proj(layer.norm_ff(x))))
        x = model.norm_output(x)
        pointers = model.pointer_query(x) @ pointer_keys.transpose(1, 2) / math.sqrt(x.size(-1))
        scores = torch.cat([model.keyword_output(x), pointers], dim=-1)[:, 0]
        return scores, torch.stack(keys), torch.stack(values)


def export(model: SqlgenModel, out: Path, *, version: str, quantized: bool = True) -> None:
    """Write encoder.onnx, decoder.onnx and manifest.json; the tokenizer is the caller's to copy."""
    out.mkdir(parents=True, exist_ok=True)
    model = model.eval()
    # One input is never padded: nothing to add to scores, no guard against rows that are all padding.
    model.encoder.set_attn_implementation("eager")
    config = model.config
    layers, heads, size = config.decoder_layers, config.decoder_heads, config.hidden_size
    beams, length, past = 3, 17, 5
    dim = torch.export.Dim
    L, B, T = dim("length", min=3, max=512), dim("beams", min=1, max=64), dim("past", min=0, max=512)
    ids = torch.randint(5, 1000, (1, length))
    cross = torch.randn(layers, 1, heads, length, size // heads)
    kept = torch.randn(layers, beams, heads, past, size // heads)
    flat = torch.randn(1, length, size)
    graphs = {
        "encoder": (
            EncoderWithKeys(model),
            (ids, torch.zeros_like(ids)),
            ["input_ids", "segments"],
            ["pointer_keys", "pointer_inputs", "cross_keys", "cross_values"],
            ({1: L}, {1: L}),
        ),
        "decoder": (
            DecoderStep(model),
            (torch.tensor([2, 90, 3]), torch.tensor([5]), flat, flat.clone(), cross, cross.clone(), kept, kept.clone()),
            ["tokens", "step", "pointer_keys", "pointer_inputs", "cross_keys", "cross_values", "past_keys",
             "past_values"],
            ["scores", "keys", "values"],
            ({0: B}, {}, {1: L}, {1: L}, {3: L}, {3: L}, {1: B, 3: T}, {1: B, 3: T}),
        ),
    }  # fmt: skip
    for name, parts in graphs.items():
        write_graph(*parts, out / f"{name}.onnx", quantized=quantized)
    files = {
        f"{name}.onnx": hashlib.sha256((out / f"{name}.onnx").read_bytes()).hexdigest()
        for name in sorted(graphs)
    }
    manifest = {
        "name": "sqlgen-minilm-pointer",
        "version": version,
        "format": 1,
        "layers": layers,
        "heads": heads,
        "hidden_size": size,
        "max_output": config.max_output,
        "keywords": list(KEYWORDS),
        "sha256": files,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    name_embedder(out)


def name_embedder(folder: Path) -> None:
    """Write the sum of embedder.onnx into the manifest, where ``folder`` holds both: it is the embedder's id."""
    embedder, manifest = folder / "embedder.onnx", folder / "manifest.json"
    if embedder.exists() and manifest.exists():
        named = json.loads(manifest.read_text("utf-8"))
        named["embedder"] = hashlib.sha256(embedder.read_bytes()).hexdigest()
        manifest.write_text(json.dumps(named, indent=1) + "\n", "utf-8")


def write_graph(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    shapes: tuple[dict[int, Any], ...],
    path: Path,
    *,
    quantized: bool = True,
) -> None:
    """Write one graph, in int8 unless told otherwise; ``shapes`` says which dimensions of its inputs vary."""
    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / "full.onnx"
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph.eval(), inputs, str(full), input_names=names, output_names=outputs,
                dynamic_shapes=shapes, dynamo=True, external_data=False, verbose=False, optimize=True,
            )  # fmt: skip
        if quantized:
            logging.getLogger().setLevel(logging.ERROR)
            # Signed is quickest with VNNI; sqlgen.graphs makes them unsigned where they would saturate.
            quantize_dynamic(
                full,
                path,
                weight_type=QuantType.QInt8,
                per_channel=True,
                extra_options={"WeightSymmetric": False},
            )
        else:
            path.write_bytes(full.read_bytes())
    strip_notes(path)


def strip_notes(path: Path) -> None:
    """Rewrite an ONNX file without what its exporter noted about where each node came from: paths of a machine."""
    model = onnx.load(path)
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        parts = [*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
        for part in (graph, *parts):
            part.ClearField("doc_string")
            part.ClearField("metadata_props")
        graphs += [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    onnx.save(model, path)


def main() -> None:
    """Export a trained model."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--model", type=Path, required=True)
    cli.add_argument("--out", type=Path, required=True)
    cli.add_argument("--version", default="0.1.0")
    cli.add_argument("--full-precision", action="store_true")
    args = cli.parse_args()
    model = SqlgenModel.from_pretrained(args.model)
    export(model, args.out, version=args.version, quantized=not args.full_precision)
    (args.out / "tokenizer.json").write_bytes((args.model / "tokenizer.json").read_bytes())
    print({p.name: p.stat().st_size for p in sorted(args.out.iterdir())})


if __name__ == "__main__":
    main()
