"""Which generator a ``--model`` name stands for: ``shipped``, a folder, ``hf:``, ``http:`` or ``cascade:``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl

from sqlgen.errors import UsageError
from sqlgen.generation.cascade import DEFAULT_THRESHOLD, Cascade
from sqlgen.generation.protocol import Generator

__all__ = ["named_generator"]


def named_generator(name: str) -> Generator | None:
    """The generator of ``hf:NAME[+ADAPTER][?OPTIONS]``, ``http:URL#NAME[?OPTIONS]`` or
    ``cascade[@THRESHOLD]:FIRST,BIGGER``; None for any other name.

    Raises UsageError for a name of a wrong form, ModelUnavailable when it cannot be loaded.
    """
    kind, colon, rest = name.partition(":")
    if not colon:
        return None
    if kind == "hf":
        from sqlgen.generation.hub import HubGenerator

        place, options = _options(rest)
        checkpoint, adapter = _with_adapter(place)
        return HubGenerator(checkpoint, adapter, options)
    if kind in ("http", "https"):
        from sqlgen.generation.http import HttpGenerator

        # http:URL#NAME, and the plain URL as well.
        url = name if rest.startswith("//") else rest
        place, mark, model = url.partition("#")
        model, options = _options(model)
        if not mark or not model:
            raise UsageError(f"the model of {place} is missing; write http:URL#NAME")
        return HttpGenerator(place, model, options)
    if kind == "cascade" or kind.startswith("cascade@"):
        return _cascade(kind, rest)
    return None


def _cascade(kind: str, rest: str) -> Cascade:
    from sqlgen.generation import load_generator

    first, comma, bigger = rest.partition(",")
    if not comma or not first or not bigger:
        raise UsageError("a cascade has two models; write cascade:shipped,hf:NAME")
    try:
        threshold = float(kind.removeprefix("cascade").removeprefix("@") or DEFAULT_THRESHOLD)
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise UsageError(f"{kind} has no threshold from 0 to 1; write cascade@0.6:shipped,hf:NAME")
    return Cascade(load_generator(first), load_generator(bigger), threshold)


def _options(text: str) -> tuple[str, dict[str, str]]:
    place, _, query = text.partition("?")
    return place, dict(parse_qsl(query, keep_blank_values=True))


def _with_adapter(place: str) -> tuple[str, str | None]:
    if not place:
        raise UsageError("the checkpoint is missing; write hf:NAME or hf:NAME+ADAPTER")
    if Path(place).is_dir() or "+" not in place:
        return place, None
    checkpoint, _, adapter = place.rpartition("+")
    return checkpoint, adapter
