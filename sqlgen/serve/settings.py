"""The table [serve] of sqlgen.toml: how the service listens, what it bears, and who holds a key."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlgen.config import nearest
from sqlgen.errors import ConfigError
from sqlgen.policy import Value, bound_values

__all__ = ["Key", "ServeSettings", "digest_of", "new_key", "read_serve"]

_KEY_MARK = "sqlgen_"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Key:
    """Who holds a key: ``digest`` is all that is kept of it, ``context`` are the values for row filters.

    ``rate_per_minute`` overrides the service's; without ``feedback`` no verdict is taken from this holder.
    """

    name: str
    digest: str
    context: tuple[tuple[str, Value], ...] = ()
    rate_per_minute: float | None = None
    feedback: bool = True


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What [serve] may set.

    ``running`` questions are worked on at a time in each worker process and ``waiting`` may wait; one more
    is refused at once. ``rate_per_minute`` bounds the requests of one key over all workers. The head of a
    request has to arrive within ``idle_timeout_s``, its body of at most ``max_body_bytes`` within
    ``read_timeout_s``, and the answer is given up after ``answer_timeout_s``; on SIGTERM what was accepted
    has ``shutdown_s`` to end. ``hosts`` are the names under which the service may be addressed,
    ``cors_origins`` the origins of other pages that may call it.

    >>> ServeSettings().cors_origins, ServeSettings().keys
    ((), ())
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    running: int = 2
    waiting: int = 64
    rate_per_minute: float | None = None
    max_body_bytes: int = 65_536
    idle_timeout_s: int = 10
    read_timeout_s: float = 10.0
    answer_timeout_s: float = 60.0
    shutdown_s: int = 60
    hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()


def new_key() -> str:
    """A key that nobody can guess: 256 random bits."""
    return _KEY_MARK + secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """What is kept of a key. It is random, so that one round of SHA-256 tells nothing of it.

    >>> digest_of("sqlgen_x")[:14]
    'sha256:2411b77'
    """
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def read_serve(raw: Mapping[str, Any]) -> ServeSettings:
    """The settings of a [serve] table; ConfigError names what is wrong with it.

    >>> read_serve({"waiting": 8, "keys": {"anna": {"hash": digest_of("k"), "context": {"region": "EU"}}}}).keys[0].name
    'anna'
    """
    known = {f.name for f in fields(ServeSettings)}
    changes: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in known:
            raise ConfigError(f"unknown setting {name!r} in [serve]; {nearest(name, known)}")
        try:
            changes[name] = _READERS[name](value)
        except ValueError as error:
            raise ConfigError(f"setting {name!r} in [serve]: {error}") from None
    return replace(ServeSettings(), **changes)


def _number(least: float, most: float, *, whole: bool = False) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not is_number or not least <= float(value) <= most:
            raise ValueError(
                f"{value!r} is not a {'whole ' if whole else ''}number from {least:g} to {most:g}"
            )
        number: float = value
        return number

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) and v.strip() for v in value):
        raise ValueError(f'{value!r} is no list of texts like ["bi.example.org"]')
    return tuple(v.strip().rstrip("/") for v in value)


def _keys(value: Any) -> tuple[Key, ...]:
    if not isinstance(value, Mapping):
        raise ValueError("it is made of tables like [serve.keys.anna]")
    found = tuple(_key(name, raw) for name, raw in value.items())
    if len({key.digest for key in found}) < len(found):
        raise ValueError("two keys have the same hash; give each holder a key of its own")
    return found


def _key(name: str, raw: Any) -> Key:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a key; use letters, digits, - and _")
    if not isinstance(raw, Mapping):
        raise ValueError(f"{name!r} is no table like [serve.keys.{name}]")
    known = ("hash", "context", "rate_per_minute", "feedback")
    for part in raw:
        if part not in known:
            raise ValueError(f"{name!r} has an unknown part {part!r}; {nearest(part, known)}")
    digest, feedback = raw.get("hash"), raw.get("feedback", True)
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(
            f"{name!r} needs a hash as 'sqlgen serve key {name}' prints it, never the key itself"
        )
    if not isinstance(feedback, bool):
        raise ValueError(f"{name!r}: feedback is true or false")
    context = raw.get("context", {})
    if not isinstance(context, Mapping):
        raise ValueError(f'{name!r}: context is a table like {{ user_region = "EU" }}')
    rate = raw.get("rate_per_minute")
    return Key(name, digest, bound_values(context), None if rate is None else _rate(rate), feedback)


_rate = _number(0.1, 1e6)
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "host": _text,
    "port": _number(0, 65_535, whole=True),
    "workers": _number(1, 256, whole=True),
    "running": _number(1, 256, whole=True),
    "waiting": _number(0, 100_000, whole=True),
    "rate_per_minute": _rate,
    "max_body_bytes": _number(1_000, 2**30, whole=True),
    "idle_timeout_s": _number(1, 3_600, whole=True),
    "read_timeout_s": _number(0.05, 3_600),
    "answer_timeout_s": _number(0.05, 86_400),
    "shutdown_s": _number(1, 86_400, whole=True),
    "hosts": _texts,
    "cors_origins": _texts,
    "keys": _keys,
}
