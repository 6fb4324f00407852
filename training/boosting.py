"""Gradient boosted trees in numpy, small enough to read: Newton steps on histograms.

Friedman (2001), "Greedy function approximation"; the gain with its penalty is that of Chen and Guestrin
(2016), "XGBoost".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sqlgen.trees import Trees

__all__ = ["Recipe", "boost", "to_document"]

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How many trees, how deep, and what holds them back."""

    trees: int = 200
    depth: int = 4
    rate: float = 0.06
    penalty: float = 5.0
    weight: float = 5.0
    columns: float = 0.5
    rows: float = 0.8
    bins: int = 32
    seed: int = 0


def boost(rows: Floats, right: Floats, weights: Floats, recipe: Recipe) -> Trees:
    """Trees whose score is the log-odds that a row [n, features] is right (0 or 1)."""
    share = float(np.average(right, weights=weights))
    base = float(np.log(share / (1 - share)))
    chance = np.random.default_rng(recipe.seed)
    cuts = [_cuts(column, recipe.bins) for column in rows.T]
    binned = np.stack(
        [np.searchsorted(cut, column) for cut, column in zip(cuts, rows.T, strict=True)], axis=1
    )
    scores = np.full(len(rows), base)
    grown: list[tuple[Ints, Floats, Floats]] = []
    for _ in range(recipe.trees):
        likely = 1 / (1 + np.exp(-scores))
        kept = chance.random(len(rows)) < recipe.rows
        columns = np.sort(chance.permutation(rows.shape[1])[: max(1, int(recipe.columns * rows.shape[1]))])
        gradient, curvature = (likely - right) * weights, likely * (1 - likely) * weights
        grown.append(_grow(binned[kept], cuts, gradient[kept], curvature[kept], columns, recipe))
        feature, threshold, leaf = grown[-1]
        scores = scores + Trees(feature[None], threshold[None], leaf[None]).score(rows)
    features, thresholds, leaves = (np.array(part) for part in zip(*grown, strict=True))
    return Trees(features, thresholds, leaves, base)


def to_document(trees: Trees) -> dict[str, Any]:
    """What ``Trees.of`` reads, figures rounded; a threshold that is never passed becomes None."""
    return {
        "base": round(trees.base, 6),
        "features": trees.features.tolist(),
        "thresholds": [
            [float(f"{t:.7g}") if np.isfinite(t) else None for t in row] for row in trees.thresholds
        ],
        "leaves": [[float(f"{leaf:.5g}") for leaf in row] for row in trees.leaves],
    }


def _cuts(column: Floats, bins: int) -> Floats:
    distinct = np.unique(column)
    if len(distinct) > bins:
        cuts: Floats = np.unique(np.quantile(column, np.linspace(0, 1, bins + 1)[1:-1]))
        return cuts
    return (distinct[1:] + distinct[:-1]) / 2


def _grow(
    binned: Ints, cuts: Sequence[Floats], gradient: Floats, curvature: Floats, columns: Ints, recipe: Recipe
) -> tuple[Ints, Floats, Floats]:
    """Features and thresholds of the inner nodes and values of the leaves, a level at a time."""
    inner = 2**recipe.depth - 1
    features, thresholds = np.zeros(inner, dtype=np.int64), np.full(inner, np.inf)
    edges = np.full(inner, recipe.bins + 1)
    node = np.zeros(len(binned), dtype=np.int64)
    seen, width = binned[:, columns], recipe.bins + 1
    for level in range(recipe.depth):
        first, nodes = 2**level - 1, 2**level
        cell = ((node - first)[:, None] * len(columns) + np.arange(len(columns))) * width + seen
        shape = (nodes, len(columns), width)

        def below(values: Floats, cell: Ints = cell, shape: tuple[int, int, int] = shape) -> Floats:
            spread = np.repeat(values, cell.shape[1])
            total = np.bincount(cell.ravel(), spread, int(np.prod(shape)))
            return total.reshape(shape).cumsum(axis=2)

        left_g, left_h = below(gradient), below(curvature)
        all_g, all_h = left_g[:, :1, -1:], left_h[:, :1, -1:]
        gain = _worth(left_g, left_h, recipe) + _worth(all_g - left_g, all_h - left_h, recipe)
        gain -= all_g**2 / (all_h + recipe.penalty)
        flat = np.nan_to_num(gain, neginf=-1.0).reshape(nodes, -1)
        for k, best in enumerate(flat.argmax(axis=1)):
            column, edge = divmod(int(best), width)
            feature = int(columns[column])
            if flat[k, best] > 1e-6 and edge < len(cuts[feature]):
                features[first + k] = feature
                thresholds[first + k] = cuts[feature][edge]
                edges[first + k] = edge
        node = 2 * node + 1 + (binned[np.arange(len(binned)), features[node]] > edges[node])
    leaf = node - inner
    total_g = np.bincount(leaf, gradient, inner + 1)
    total_h = np.bincount(leaf, curvature, inner + 1)
    return features, thresholds, -recipe.rate * total_g / (total_h + recipe.penalty)


def _worth(gradient: Floats, curvature: Floats, recipe: Recipe) -> Floats:
    """What a side of a split gains; minus infinity when too little lies on it."""
    return np.where(
        curvature < recipe.weight, -np.inf, gradient**2 / (np.maximum(curvature, 0) + recipe.penalty)
    )
