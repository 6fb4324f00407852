"""The adapters of one database: kept by content, promoted and rolled back in one move.

A folder holds ``adapters/<id>/`` (the adapter, its lineage, its gate report and the merged weights) and
``current.json``, which names the one in force and those before it. Everything is written beside its
place and then moved there, so that a crash leaves the last good state.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlgen.errors import ConfigError, ModelUnavailable, UsageError
from sqlgen.files import write_whole
from sqlgen.lock import exclusive

__all__ = ["ADAPTER_FILE", "Entry", "Registry"]

ADAPTER_FILE = "adapter.safetensors"
_CARD = "adapter.json"
_POINTER = "current.json"
_FORMAT = 1
_LOCK_S = 10.0
_STALE_S = 2 * 86400.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One adapter: its id (of its content), when it came (seconds since 1970), and what is known of it.

    ``lineage`` says what it was made from and bound to: base name, version and digest, data, seeds,
    recipe; ``gate`` is the report of the comparison it had to win, or None.
    """

    id: str
    created: float
    lineage: Mapping[str, Any]
    gate: Mapping[str, Any] | None
    folder: Path

    @property
    def weights(self) -> Path:
        """The folder of merged weights that a generator loads."""
        return self.folder / "weights"

    @property
    def base(self) -> tuple[str, str]:
        """Name and version of the model it is bound to."""
        return str(self.lineage["base"]["name"]), str(self.lineage["base"]["version"])


class Registry:
    """The adapters kept in ``folder``; nothing is made there before the first is added.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Registry(Path(folder)).entries(), Registry(Path(folder)).current()
    ((), None)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # -- reading -----------------------------------------------------------------------------------

    def entries(self) -> tuple[Entry, ...]:
        """All adapters, oldest first; what a crash left half-written is none."""
        found = []
        for card in sorted((self.folder / "adapters").glob(f"*/{_CARD}")):
            found.append(self._read(card.parent))
        return tuple(sorted(found, key=lambda e: (e.created, e.id)))

    def get(self, name: str) -> Entry:
        """The adapter whose id begins with ``name``; UsageError when none or several do."""
        found = [e for e in self.entries() if name and e.id.startswith(name)]
        if len(found) == 1:
            return found[0]
        what = "several adapters begin with" if found else "no adapter"
        raise UsageError(f"{what} {name!r}; 'sqlgen models list' shows them")

    def current(self) -> Entry | None:
        """The adapter in force, None for the shipped weights alone; ModelUnavailable when it is damaged."""
        chosen = self._pointer()["current"]
        if chosen is None:
            return None
        folder = self.folder / "adapters" / chosen
        if not (folder / _CARD).is_file():
            raise ModelUnavailable(
                f"the adapter {chosen} in force is gone; 'sqlgen models rollback' goes back"
            )
        return self._read(folder)

    def stamp(self) -> tuple[int, int]:
        """Changes whenever another adapter comes into force; costs one look at a file."""
        try:
            state = os.stat(self.folder / _POINTER)
        except OSError:
            return 0, 0
        return state.st_mtime_ns, state.st_ino

    def _read(self, folder: Path) -> Entry:
        try:
            card = json.loads((folder / _CARD).read_text("utf-8"))
            if card["format"] != _FORMAT:
                raise ModelUnavailable(f"the adapter in {folder} belongs to another version of sqlgen")
            return Entry(folder.name, float(card["created"]), card["lineage"], card.get("gate"), folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelUnavailable(f"the adapter in {folder} is damaged; remove that folder") from error

    def _pointer(self) -> dict[str, Any]:
        try:
            pointer = json.loads((self.folder / _POINTER).read_text("utf-8"))
            past = [None if p is None else str(p) for p in pointer["past"]]
            return {"current": pointer["current"], "past": past}
        except FileNotFoundError:
            return {"current": None, "past": []}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelUnavailable(
                f"{self.folder / _POINTER} is damaged; remove it to go back to the shipped model"
            ) from error

    # -- changing ----------------------------------------------------------------------------------

    def add(self, made: Path, lineage: Mapping[str, Any], gate: Mapping[str, Any] | None = None) -> Entry:
        """Take over a folder with ADAPTER_FILE and ``weights/``; what is known already is not kept twice.

        ``made`` must lie on the same disk; it is moved. Raises UsageError when parts are missing.
        """
        try:
            content = (made / ADAPTER_FILE).read_bytes()
        except OSError:
            raise UsageError(f"{made} holds no {ADAPTER_FILE}") from None
        if not (made / "weights" / "manifest.json").is_file():
            raise UsageError(f"{made} holds no merged weights")
        name = hashlib.sha256(content).hexdigest()[:12]
        place = self.folder / "adapters" / name
        with self._locked():
            if (place / _CARD).is_file():
                shutil.rmtree(made, ignore_errors=True)
                return self._read(place)
            shutil.rmtree(place, ignore_errors=True)
            card = {"format": _FORMAT, "created": time.time(), "lineage": lineage, "gate": gate}
            (made / _CARD).write_text(json.dumps(card, indent=1, default=str) + "\n", "utf-8")
            for path in (*made.rglob("*"), made):
                _sync(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(made, place)
            _sync(place.parent)
        return self._read(place)

    def promote(self, name: str, base: tuple[str, str]) -> Entry:
        """Bring an adapter into force; UsageError when it was made for another model than ``base``."""
        entry = self.get(name)
        if entry.base != base:
            raise UsageError(
                f"adapter {entry.id} was made for {' '.join(entry.base)}, installed is {' '.join(base)}; train it anew"
            )
        with self._locked():
            pointer = self._pointer()
            if pointer["current"] != entry.id:
                past = [*pointer["past"], pointer["current"]][-50:]
                self._point({"current": entry.id, "past": past})
        return entry

    def rollback(self) -> Entry | None:
        """Go back to what was in force before, None being the shipped weights; UsageError at the beginning."""
        with self._locked():
            pointer = self._pointer()
            past = list(pointer["past"])
            known = {e.id for e in self.entries()}
            while past:
                before = past.pop()
                if before is None or before in known:
                    self._point({"current": before, "past": past})
                    return None if before is None else self.get(before)
        raise UsageError("there is nothing to go back to: no adapter was ever promoted here")

    def prune(self, keep: int = 3) -> tuple[str, ...]:
        """Remove all adapters but the newest ``keep``, the one in force and the one before it."""
        with self._locked():
            pointer = self._pointer()
            entries = self.entries()
            spared = {pointer["current"], *pointer["past"][-1:], *(e.id for e in entries[-keep:] if keep)}
            gone = [e for e in entries if e.id not in spared]
            for entry in gone:
                # Without its card an adapter is none, so a crash in between leaves only litter.
                (entry.folder / _CARD).unlink()
                shutil.rmtree(entry.folder, ignore_errors=True)
        return tuple(e.id for e in gone)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A fresh folder on the registry's disk to make an adapter in; removed unless it was added."""
        place = self.folder / "scratch"
        try:
            place.mkdir(parents=True, exist_ok=True)
            for left in place.iterdir():
                # What a killed run left behind; a younger one may be at work.
                if time.time() - left.stat().st_mtime > _STALE_S:
                    shutil.rmtree(left, ignore_errors=True)
            made = Path(tempfile.mkdtemp(dir=place))
        except OSError as error:
            raise ConfigError(f"cannot write to {place}: {error.strerror}") from error
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _point(self, pointer: Mapping[str, Any]) -> None:
        write_whole(self.folder / _POINTER, json.dumps(pointer))
        _sync(self.folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, across processes."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with exclusive(self.folder / ".lock", timeout_s=_LOCK_S):
                yield
        except TimeoutError:
            raise ConfigError("another process is changing the adapters; try again when it is done") from None
        except OSError as error:
            raise ConfigError(f"cannot write to {self.folder}: {error.strerror}") from error


def _sync(path: Path) -> None:
    """Push a file or a folder's entries to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
