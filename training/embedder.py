"""Static word vectors for retrieval, distilled from MiniLM: one forward pass per vocabulary entry.

    python -m sqlgen.training.embedder --out sqlgen/models/shipped

Each word piece is encoded alone, mean-pooled, reduced by PCA and stored as int8 with one scale a
row; texts are weighted means (smooth inverse frequency, Arora et al. 2017, with ranks by Zipf's
law since the vocabulary is sorted by frequency). The method follows Model2Vec.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertModel

from sqlgen.training.prepare import base_model_path

__all__ = ["distil", "main"]


def distil(base: Path, *, dimensions: int = 128) -> dict[str, np.ndarray]:
    """vectors int8 [V, dimensions], scale float32 [V], weights float32 [V]."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    encoder = BertModel.from_pretrained(base, add_pooling_layer=False).eval()
    rows = []
    with torch.no_grad():
        for start in range(0, size, 512):
            piece = torch.arange(start, min(start + 512, size))[:, None]
            ids = torch.cat([torch.full_like(piece, 101), piece, torch.full_like(piece, 102)], dim=1)
            rows.append(encoder(ids).last_hidden_state.mean(1).float().numpy())
    table = np.concatenate(rows)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    centred = table - table.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    reduced = centred @ axes[:, ::-1][:, :dimensions]
    scale = np.abs(reduced).max(1) / 127
    scale[scale == 0] = 1.0
    probability = 1 / (np.arange(size) + 2)
    probability /= probability.sum()
    return {
        "vectors": np.rint(reduced / scale[:, None]).astype(np.int8),
        "scale": scale.astype(np.float32),
        "weights": (1e-3 / (1e-3 + probability)).astype(np.float32),
    }


def main() -> None:
    """Write embedder.npz."""
    cli = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    cli.add_argument("--out", type=Path, required=True)
    args = cli.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    np.savez(args.out / "embedder.npz", **distil(base_model_path()))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
