"""A generator that answers from a script: the fake behind the project's own tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlgen.types import Candidate, ModelInfo, Question, RetrievedContext

__all__ = ["ScriptedGenerator"]


class ScriptedGenerator:
    """Answers each known question with its scripted SQL, best first, and others with nothing.

    >>> fake = ScriptedGenerator({"how many?": ["SELECT 1", "SELECT 2"]})
    >>> [c.sql for c in fake.generate(Question("how many?", "sqlite"), RetrievedContext(()))]
    ['SELECT 1', 'SELECT 2']
    """

    def __init__(self, answers: Mapping[str, Sequence[str]]) -> None:
        self._answers = {question: tuple(sqls) for question, sqls in answers.items()}
        self.info = ModelInfo("scripted", "1")

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        """The script's candidates with log-probabilities -0.1, -1.1, -2.1 and so on."""
        sqls = self._answers.get(question.text, ())[:beams]
        return tuple(Candidate(sql, -0.1 - rank, "scripted", "1") for rank, sql in enumerate(sqls))

    def count_tokens(self, text: str) -> int:
        """Words, near enough for a fake."""
        return len(text.split())
