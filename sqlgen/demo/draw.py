"""What the generators of demo rows share: reproducible randomness, dates, money, careless typing.

All randomness is PCG64's uniform doubles, and everything drawn from them uses integer arithmetic,
comparisons and running sums, so that rows are the same on every platform.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Ints: TypeAlias = NDArray[np.int64]

__all__ = [
    "END_DATE",
    "LAST_DAY",
    "START_DATE",
    "Draw",
    "as_money",
    "ascii_letters",
    "careless_texts",
    "day_of",
    "free_texts",
    "iso_days",
    "keep_where",
]

START_DATE = date(2023, 1, 1)
END_DATE = date(2025, 12, 31)
LAST_DAY = (END_DATE - START_DATE).days


class Draw:
    """Randomness for one table: independent of the other tables, equal on every platform."""

    def __init__(self, seed: int, stream: int) -> None:
        import numpy as np

        self._np = np
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream]))).random

    def uniform(self, n: int) -> Floats:
        return self._random(n)

    def below(self, limit: int, n: int) -> Ints:
        """Integers in [0, limit)."""
        return (self._random(n) * limit).astype(self._np.int64)

    def choose(self, weights: Sequence[float] | Floats, n: int) -> Ints:
        """Positions in ``weights``, each as often as its weight says."""
        np = self._np
        edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        picked: Ints = np.searchsorted(edges, self._random(n) * edges[-1], side="right").astype(np.int64)
        return picked

    def choose_among_first(self, edges: Floats, counts: Ints) -> Ints:
        """For each count k, a position below k, by the running sum ``edges`` of weights."""
        np = self._np
        limits = edges[counts - 1]
        picked: Ints = np.searchsorted(edges, self._random(len(counts)) * limits, side="right")
        bounded: Ints = np.minimum(picked, counts - 1)
        return bounded


def day_of(text: str) -> int:
    """Days from START_DATE to an ISO date."""
    return (date.fromisoformat(text) - START_DATE).days


def iso_days(days: Ints) -> list[str]:
    import numpy as np

    return np.datetime_as_string(np.datetime64(START_DATE, "D") + days).tolist()  # type: ignore[no-any-return]


def as_money(cents: Ints) -> list[float]:
    return cast("list[float]", (cents / 100).tolist())


def keep_where(keep: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """``values`` with None where ``keep`` is false."""
    return [value if kept else None for kept, value in zip(keep, values, strict=True)]


def careless_texts(texts: Sequence[str], picks: Sequence[int], habits: Sequence[int]) -> list[str]:
    """Texts as people type them: stray spaces, odd capitals. ``habits`` are in [0, 10)."""
    typed: list[str] = []
    for pick, habit in zip(picks, habits, strict=True):
        text = texts[pick]
        if habit == 0:
            text = text.upper()
        elif habit == 1:
            text = f"  {text}"
        elif habit == 2:
            text = f"{text} "
        elif habit == 3:
            text = text.replace(" ", "  ", 1)
        elif habit == 4:
            text = text[:1].swapcase() + text[1:]
        typed.append(text)
    return typed


def ascii_letters(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z]", "", plain.lower())


def free_texts(draw: Draw, texts: Sequence[str], n: int, *, share: float) -> list[str | None]:
    """Free text for about ``share`` of n rows, None for the rest."""
    import numpy as np

    here = np.flatnonzero(draw.uniform(n) < share)
    typed = careless_texts(
        texts, draw.below(len(texts), len(here)).tolist(), draw.below(10, len(here)).tolist()
    )
    remarks: list[str | None] = [None] * n
    for position, text in zip(here.tolist(), typed, strict=True):
        remarks[position] = text
    return remarks
