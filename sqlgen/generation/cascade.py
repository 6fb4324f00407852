"""A quick generator with a bigger one behind it, asked where the quick one's answer is not sure enough."""

from __future__ import annotations

from sqlgen.generation.protocol import Generator
from sqlgen.types import Candidate, ModelInfo, Question, RetrievedContext

__all__ = ["DEFAULT_THRESHOLD", "Cascade"]

DEFAULT_THRESHOLD = 0.6


class Cascade:
    """A ``Generator`` that writes as ``first`` does; the pipeline asks ``bigger`` below ``threshold``.

    The threshold is compared with the confidence of the answer, once its candidates have run.
    """

    def __init__(self, first: Generator, bigger: Generator, threshold: float = DEFAULT_THRESHOLD) -> None:
        self.first = first
        self.bigger = bigger
        self.threshold = threshold

    def asks_bigger(self, status: str, confidence: float) -> bool:
        """Whether an answer of the first leaves the question to the bigger one.

        >>> from sqlgen.generation.scripted import ScriptedGenerator
        >>> cascade = Cascade(ScriptedGenerator({}), ScriptedGenerator({}), 0.6)
        >>> cascade.asks_bigger("answered", 0.9), cascade.asks_bigger("answered", 0.5)
        (False, True)
        """
        return status != "answered" or confidence < self.threshold

    @property
    def info(self) -> ModelInfo:
        """That of the first."""
        return self.first.info

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        """The candidates of the first."""
        return self.first.generate(question, context, beams=beams)

    def count_tokens(self, text: str) -> int:
        """Word pieces of the first."""
        return self.first.count_tokens(text)
