"""Models that write SQL behind one protocol."""

from __future__ import annotations

from sqlgen.generation.protocol import Generator
from sqlgen.generation.scripted import ScriptedGenerator

__all__ = ["Generator", "ScriptedGenerator", "load_generator"]


def load_generator(name: str = "shipped") -> Generator:
    """The generator of this name, or in this folder; ModelUnavailable when its weights cannot be used."""
    from pathlib import Path

    from sqlgen.errors import ModelUnavailable
    from sqlgen.generation.embedded import EmbeddedGenerator

    if name == "shipped":
        return EmbeddedGenerator.load()
    if (Path(name) / "manifest.json").is_file():
        return EmbeddedGenerator.load(Path(name))
    raise ModelUnavailable(
        f"no model {name!r}; the one that ships is 'shipped', and a folder holds one that you exported"
    )
