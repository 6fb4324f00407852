"""Gradient boosted trees as run time needs them: read from JSON, scored with numpy.

``sqlgen.training.boosting`` grows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Trees"]


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Gradient boosted trees of one depth, complete: node k has the children 2k + 1 and 2k + 2.

    ``features`` and ``thresholds`` are [trees, 2**depth - 1], ``leaves`` [trees, 2**depth]; a value above its
    threshold goes to the second child.
    """

    features: npt.NDArray[np.int64]
    thresholds: npt.NDArray[np.float64]
    leaves: npt.NDArray[np.float64]
    base: float = 0.0

    def score(self, rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The sum of the leaves that each row [n, features] falls into, and ``base``: [n]."""
        trees = np.arange(len(self.features))[None]
        place = np.zeros((len(rows), len(self.features)), dtype=np.int64)
        picked = np.arange(len(rows))[:, None]
        inner = self.features.shape[1]
        for _ in range((inner + 1).bit_length() - 1):
            above = rows[picked, self.features[trees, place]] > self.thresholds[trees, place]
            place = 2 * place + 1 + above
        scores: npt.NDArray[np.float64] = self.base + self.leaves[trees, place - inner].sum(axis=1)
        return scores

    @classmethod
    def of(cls, document: dict[str, Any]) -> Trees:
        """From what ``json`` reads. ValueError when the shapes don't fit, KeyError when a part is missing."""
        features = np.array(document["features"], dtype=np.int64)
        thresholds = np.array(
            [[np.inf if t is None else t for t in row] for row in document["thresholds"]], dtype=float
        )
        leaves = np.array(document["leaves"], dtype=float)
        if features.shape != thresholds.shape or leaves.shape != (len(features), features.shape[1] + 1):
            raise ValueError("trees of unequal shapes")
        return cls(features, thresholds, leaves, float(document["base"]))
