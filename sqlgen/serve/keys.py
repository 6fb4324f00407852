"""Who asks: the holders of keys, as sqlgen.toml names them at this moment."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlgen.config import reload_serve
from sqlgen.files import stamp_of
from sqlgen.policy import Value
from sqlgen.serve.settings import Key, digest_of, read_serve

__all__ = ["LOCAL", "Caller", "KeyRing", "presented_key"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``name`` is "" where no key is configured; ``context`` are the values for row filters."""

    name: str = ""
    context: tuple[tuple[str, Value], ...] = ()
    rate_per_minute: float | None = None
    may_judge: bool = True


LOCAL = Caller()


class KeyRing:
    """The configured keys, read again when ``file`` changes: a key that is taken out ends with the next request.

    Once there were keys, none at all means that nobody is let in, not that everybody is.
    """

    def __init__(self, keys: Sequence[Key], file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._stamp = stamp_of(self._file, "the keys")
        self._holders = _by_digest(keys)
        self.is_open = not keys

    def find(self, key: str | None) -> Caller | None:
        """Whose key this is, None for nobody's; the local caller where no key was ever configured."""
        holders = self._current()
        if self.is_open:
            return LOCAL
        # A look-up by digest takes the same time for every wrong key, and tells nothing of the right ones.
        return None if key is None else holders.get(digest_of(key))

    def _current(self) -> Mapping[str, Caller]:
        with self._lock:
            stamp = stamp_of(self._file, "the keys")
            if self._file is not None and stamp != self._stamp:
                keys = read_serve(reload_serve(self._file)).keys
                self._holders, self._stamp = _by_digest(keys), stamp
                self.is_open = self.is_open and not keys
            return self._holders


def _by_digest(keys: Sequence[Key]) -> dict[str, Caller]:
    return {k.digest: Caller(k.name, k.context, k.rate_per_minute, k.feedback) for k in keys}


def presented_key(header: str) -> str | None:
    """The key in an Authorization header: as a bearer, or as the password that a browser asks for.

    >>> presented_key("Bearer abc"), presented_key("Basic " + base64.b64encode(b"anna:abc").decode())
    ('abc', 'abc')
    >>> presented_key("Basic !"), presented_key("Digest abc"), presented_key("")
    (None, None, None)
    """
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() == "basic":
        try:
            said = base64.b64decode(rest.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return said.partition(":")[2] or None
    return None
