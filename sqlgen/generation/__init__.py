"""Models that write SQL behind one protocol."""

from __future__ import annotations

from sqlgen.generation.protocol import Generator
from sqlgen.generation.scripted import ScriptedGenerator

__all__ = ["Generator", "ScriptedGenerator", "load_generator"]


def load_generator(name: str = "shipped") -> Generator:
    """The generator of this name; ModelUnavailable when its weights cannot be used."""
    from sqlgen.errors import ModelUnavailable
    from sqlgen.generation.embedded import EmbeddedGenerator

    if name != "shipped":
        raise ModelUnavailable(f"no model {name!r}; the one that ships is 'shipped'")
    return EmbeddedGenerator.load()
