"""Models that write SQL behind one protocol."""

from __future__ import annotations

from sqlgen.generation.protocol import Generator
from sqlgen.generation.scripted import ScriptedGenerator

__all__ = ["Generator", "ScriptedGenerator", "load_generator"]


def load_generator(name: str = "shipped") -> Generator:
    """The generator of this name, or in this folder; ModelUnavailable when its weights cannot be used.

    See ``sqlgen.generation.names`` for the names of others than the shipped one.
    """
    from pathlib import Path

    from sqlgen.errors import ModelUnavailable
    from sqlgen.generation.embedded import EmbeddedGenerator

    if name == "shipped":
        return EmbeddedGenerator.load()
    if (Path(name) / "manifest.json").is_file():
        return EmbeddedGenerator.load(Path(name))
    from sqlgen.generation.names import named_generator

    generator = named_generator(name)
    if generator is None:
        raise ModelUnavailable(
            f"no model {name!r}; the one that ships is 'shipped', a folder holds one that you exported, "
            "and hf:NAME, http:URL#NAME and cascade:FIRST,BIGGER name others"
        )
    return generator
