"""The model in force, what was fitted to it, and the sentence encoder of the index."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.pipeline.once import Once
from sqlgen.types import ModelInfo

if TYPE_CHECKING:
    from sqlgen.generation import Generator
    from sqlgen.generation.choice import Chooser
    from sqlgen.knowledge import Term
    from sqlgen.registry import Entry, Registry
    from sqlgen.retrieval.embedder import Embedder

__all__ = ["Model", "load_chooser", "load_embedder", "terms_of"]


class Model:
    """The generator in force: a given one, a named one, or the shipped one with the adapter of the registry.

    A promotion or a rollback is taken up by the next question; a question keeps the generator it began with.
    """

    def __init__(self, given: Generator | None, name: str, registry: Callable[[], Registry]) -> None:
        self._fixed = given is not None or name != "shipped"
        self._registry = registry
        self._stamp: tuple[int, int] | None = None
        self._learned: tuple[str, tuple[Term, ...]] = ("", ())
        self._lock = threading.Lock()
        self._once = Once(lambda: given if given is not None else _load_model(name))

    def start(self) -> None:
        """Begin to load it in the background."""
        self._in_force().start()

    def get(self) -> Any:
        """The generator, loaded here and now unless that has begun already."""
        return self._in_force().get()

    def terms_of(self, info: ModelInfo) -> tuple[Term, ...]:
        """What words mean, as the adapter of a generator learned it; none for one that is not in the registry."""
        if self._fixed or info.adapter is None:
            return ()
        with self._lock:
            if self._learned[0] != info.adapter:
                try:
                    entry = self._registry().get(info.adapter)
                except UsageError:
                    entry = None
                self._learned = info.adapter, terms_of(entry)
            return self._learned[1]

    def _in_force(self) -> Once:
        if self._fixed:
            return self._once
        with self._lock:
            stamp = self._registry().stamp()
            if stamp != self._stamp:
                self._once = Once(lambda: _load_shipped(self._registry()))
                self._stamp = stamp
            return self._once


def _load_model(name: str) -> Generator:
    from sqlgen.generation import load_generator

    return load_generator(name)


def _load_shipped(registry: Registry) -> Generator:
    entry = registry.current()
    return _load_model("shipped" if entry is None else str(entry.weights))


def terms_of(entry: Entry | None) -> tuple[Term, ...]:
    """What words mean, as an adapter learned it from the log; none without an adapter."""
    from sqlgen.knowledge import Term, from_body

    learned = () if entry is None else entry.lineage.get("terms", ())
    return tuple(term for body in learned if isinstance(term := from_body("term", body), Term))


def load_chooser(info: ModelInfo) -> Chooser | None:
    from sqlgen.generation import choice

    return choice.load_chooser(info)


def load_embedder(name: str | None = None) -> Embedder | None:
    """An encoder of sentences by name, else the one that ships, else None: then words do alone.

    A name is a folder that ``sqlgen.training.sentences`` wrote, or a sentence-transformers model. Raises
    ModelUnavailable when it cannot be loaded.
    """
    from sqlgen.retrieval.embedder import GraphEmbedder, SentenceEmbedder

    if name is None:
        return _shipped_embedder()
    if Path(name, "embedder.onnx").is_file():
        return GraphEmbedder(Path(name))
    return SentenceEmbedder(name)


@cache
def _shipped_embedder() -> Embedder | None:
    from sqlgen.generation.embedded import shipped_path
    from sqlgen.retrieval.embedder import GraphEmbedder

    try:
        return GraphEmbedder(shipped_path())
    except ModelUnavailable:
        return None
