"""The queue of pairs that nobody has looked at yet, and what a person says of each."""

from __future__ import annotations

from collections.abc import Sequence

from sqlgen.training.logs.pairs import LogPair
from sqlgen.training.logs.store import LogStore

__all__ = ["Queue"]


class Queue:
    """Pairs in order of weight, one per fingerprint unless ``every``; a decision is kept at once.

    So it can be left at any time, and goes on where it was.
    """

    def __init__(self, store: LogStore, pairs: Sequence[LogPair], *, every: bool = False) -> None:
        self._store = store
        decided = store.decisions()
        seen: set[str] = set()
        self._waiting: list[LogPair] = []
        for pair in pairs:
            if pair.source == "reviewed" or pair.id in decided:
                seen.add(pair.fingerprint)
            elif every or pair.fingerprint not in seen:
                seen.add(pair.fingerprint)
                self._waiting.append(pair)
        self._done: list[tuple[LogPair, bool]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def current(self) -> LogPair | None:
        """The pair to look at, or None at the end."""
        return self._waiting[0] if self._waiting else None

    def accept(self) -> None:
        """The question and the SQL belong together."""
        self._decide("accept")

    def reject(self) -> None:
        """They don't; the pair is left out from now on."""
        self._decide("reject")

    def edit(self, question: str, sql: str) -> None:
        """They do after a change."""
        pair = self._waiting[0]
        self._store.decide(pair.id, "edit", question, sql)
        self._pass(True)

    def skip(self) -> None:
        """Later."""
        self._pass(False)

    def undo(self) -> bool:
        """Go back by one; the decision about it, if there was one, is taken back. False at the beginning."""
        if not self._done:
            return False
        pair, decided = self._done.pop()
        if decided:
            self._store.undo()
        self._waiting.insert(0, pair)
        return True

    def _decide(self, action: str) -> None:
        pair = self._waiting[0]
        self._store.decide(pair.id, "accept" if action == "accept" else "reject")
        self._pass(True)

    def _pass(self, decided: bool) -> None:
        self._done.append((self._waiting.pop(0), decided))
