"""The seam between the pipeline and whatever writes SQL."""

from __future__ import annotations

from typing import Protocol

from sqlgen.types import Candidate, ModelInfo, Question, RetrievedContext

__all__ = ["Generator"]


class Generator(Protocol):
    """Writes SQL for a question, from what retrieval handed over and nothing else."""

    @property
    def info(self) -> ModelInfo:
        """Name, version and adapter, as every answer names them."""

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        """At most ``beams`` candidates, best first; empty when nothing well-formed was found."""

    def count_tokens(self, text: str) -> int:
        """How many word pieces ``text`` costs in the model's input."""
