"""From a log file into the log store: in blocks, each kept together with how far it came.

A file is known by its content, not its name: whatever of it was read before, under any name or compressed, is passed
over. A checkpoint is the hash of everything up to it, so that a changed file is a new file.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from sqlgen.errors import LimitReached, StoreUnusable, UsageError
from sqlgen.lock import exclusive
from sqlgen.training.logs.events import MAX_RECORD, Found
from sqlgen.training.logs.formats import DIALECT_OF, detect, looks_like_json, open_reader
from sqlgen.training.logs.redact import redact, skeletons
from sqlgen.training.logs.store import MAX_EXAMPLES, MAX_USERS, Checkpoint, LogStore, Tally

__all__ = ["Imported", "import_log"]

BLOCK = 16 * 2**20
"""Bytes read at once; a batch of the store is one block."""
MAX_SQL = 100_000
"""Statements longer than this, in bytes, are counted and left out: no validation takes them."""
_READS = re.compile(
    rb"\s*+(?:(?:--[^\n]*+\n|/\*.*?\*/|#[^\n]*+\n)\s*+)*+[(\s]*+(?:select|with|values|table|from)\b",
    re.I | re.S,
)


@dataclass(slots=True)
class Imported:
    """What one import did. ``kept`` counts runs of statements, ``bad`` malformed records, ``seen`` bytes read before."""

    name: str
    format: str
    bytes: int = 0
    lines: int = 0
    entries: int = 0
    kept: int = 0
    bad: int = 0
    seen: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    note: str = ""


@dataclass(slots=True)
class _Runs:
    """How often a statement ran in a block, when, by whom and with which texts."""

    count: int = 0
    first_at: bytes = b""
    last_at: bytes = b""
    users: set[bytes] = field(default_factory=set)
    texts: dict[tuple[bytes, str, str], None] = field(default_factory=dict)


class _Stream:
    """A log's bytes, unpacked if need be; a cut archive ends where it was cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut = False
        self._raw = path.open("rb")
        packed = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        self._file: IO[bytes] = gzip.GzipFile(fileobj=self._raw) if packed else self._raw  # type: ignore[assignment]

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self.cut = True
            return b""

    @property
    def done(self) -> int:
        """How far the file itself was read, for the progress bar."""
        return self._raw.tell()

    def close(self) -> None:
        self._raw.close()


@contextmanager
def _opened(path: Path) -> Iterator[_Stream]:
    try:
        stream = _Stream(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        yield stream
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    finally:
        stream.close()


def import_log(
    store: LogStore,
    path: Path,
    *,
    format: str = "auto",
    dialect: str,
    prefix: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    wait_s: float = 60.0,
) -> Imported:
    """Read a log into the store. ``dialect`` is what a format that doesn't say it is written in.

    Raises UsageError when the file can't be read or its format can't be told, LimitReached when another import
    holds the store for longer than ``wait_s``.
    """
    store.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with exclusive(store.path.with_suffix(".lock"), timeout_s=wait_s):
            return _import(store, path, format, dialect, prefix, progress)
    except TimeoutError:
        raise LimitReached(
            "another import is running for this database; try again when it is done", "time"
        ) from None
    except OSError as error:
        raise StoreUnusable(f"the log store {store.path} cannot be used: {error.strerror}") from error


def _import(
    store: LogStore,
    path: Path,
    format: str,
    dialect: str,
    prefix: str | None,
    progress: Callable[[int, int, str], None] | None,
) -> Imported:
    known = store.checkpoints()
    with _opened(path) as stream:
        head = stream.read(BLOCK)
        point, older = (None, False) if not known else _seen(stream, head, known)
    if not head and not point:
        return Imported(path.name, format, note="the file is empty")
    if point is not None and older:
        found, _ = store.source(point.source)
        return Imported(path.name, found, seen=point.size, note="all of it was imported before")
    with _opened(path) as stream:
        work = _Import(store, stream, path, progress)
        if point is None:
            found = detect(head[:65536], path.name) if format == "auto" else format
            work.begin(found, DIALECT_OF.get(found, dialect), looks_like_json(head), prefix)
        else:
            found, written = store.source(point.source)
            work.go_on(point, found, written, prefix)
        work.run()
        return work.done


def _seen(stream: _Stream, head: bytes, known: list[Checkpoint]) -> tuple[Checkpoint | None, bool]:
    """The last checkpoint that this file passes, and whether nothing new can follow it."""
    waiting: dict[int, list[Checkpoint]] = {}
    for point in known:
        waiting.setdefault(point.source, []).append(point)
    digest, at, best = _hash(), 0, None
    block = head
    while waiting:
        target = min(points[0].size for points in waiting.values())
        while block and at < target:
            part = block[: target - at]
            digest.update(part)
            at += len(part)
            block = block[len(part) :] or stream.read(BLOCK)
        # A file that ends inside what was imported before is an older copy of it.
        if at < target:
            return best, best is not None and best.source in waiting
        value = digest.digest()
        for source, points in list(waiting.items()):
            if points[0].size != at:
                continue
            if points[0].digest != value:
                del waiting[source]
                continue
            best = points.pop(0)
            if not points:
                del waiting[source]
    return best, best is not None and not block and best.size == at


def _hash() -> Any:
    return hashlib.blake2b(digest_size=16)


class _Import:
    """One file on its way into the store."""

    def __init__(
        self, store: LogStore, stream: _Stream, path: Path, progress: Callable[[int, int, str], None] | None
    ) -> None:
        self.store = store
        self.stream = stream
        self.path = path
        self.progress = progress
        self.size = max(1, path.stat().st_size)
        self.digest = _hash()
        self.at = self.lines = 0
        self.undo: Checkpoint | None = None
        self.salt = store.salt()
        self.users: dict[bytes, bytes] = {}

    def begin(self, format: str, dialect: str, array: bool, prefix: str | None) -> None:
        self.reader = open_reader(format, {"json": array}, array=array, prefix=prefix)
        self.dialect = dialect
        self.source = self.store.new_source(self.path.name, format, dialect)
        self.done = Imported(self.path.name, format)

    def go_on(self, point: Checkpoint, format: str, dialect: str, prefix: str | None) -> None:
        self.reader = open_reader(
            format, dict(point.state), array=bool(point.state.get("json")), prefix=prefix
        )
        self.dialect = dialect
        self.source = point.source
        self.undo = point if point.tail < point.size or point.taken else None
        self.done = Imported(self.path.name, format, seen=point.tail)
        while self.at < point.tail:
            part = self.stream.read(min(BLOCK, point.tail - self.at))
            self.digest.update(part)
            self.at += len(part)
        self.lines = point.taken.get("#line", point.lines)

    def run(self) -> None:
        held = b""
        passing = False
        while True:
            data = self.stream.read(BLOCK)
            if not self.at and not held and data.startswith(b"\xef\xbb\xbf"):
                self.digest.update(data[:3])
                self.at, data = 3, data[3:]
            final = not data
            block = held + data if held else data
            if passing:
                start = self.reader.resume(block)
                if start < 0 and not final:
                    # The last line may be the beginning of a record that isn't whole yet.
                    start = max(0, block.rfind(b"\n"))
                    held = self._pass(block, start)
                    if len(held) > MAX_RECORD:
                        held = self._pass(held, len(held))
                    continue
                block = self._pass(block, len(block) if start < 0 else start)
                passing = False
            if final:
                self._last(block)
                break
            used, found = self.reader.read(block, False)
            held = block[used:]
            if len(held) > MAX_RECORD:
                found.bad.append((used, f"a record of more than {MAX_RECORD // 2**20} MB", held[:500]))
                passing = True
            if used or found.bad:
                self._keep(block[:used], found)
            if passing:
                held = self._pass(held, len(held))
            if self.progress is not None:
                self.progress(self.stream.done, self.size, f"reading {self.path.name}")
        if self.stream.cut:
            self.done.note = "the archive ends early; what it held up to there is imported"
        elif not self.done.entries + self.done.bad + self.done.seen and self.at <= 3:
            self.done.note = "the file is empty"

    def _pass(self, block: bytes, end: int) -> bytes:
        """Count bytes that are passed over; the rest."""
        part = block[:end]
        self.digest.update(part)
        self.at += len(part)
        self.lines += part.count(b"\n")
        return block[end:]

    def _keep(self, block: bytes, found: Found) -> None:
        tallies = self._tallies(found)
        bad = _numbered(found, block, self.lines)
        self._pass(block, len(block))
        point = Checkpoint(
            self.source, self.at, self.digest.digest(), self.lines, dict(self.reader.state), self.at, {}
        )
        self._add(point, tallies, found, bad)

    def _last(self, block: bytes) -> None:
        """The end of the file: what may still grow is remembered, to be taken back then."""
        tail, line, state = self.at, self.lines, dict(self.reader.state)
        _, found = self.reader.read(block, True)
        tallies = self._tallies(found)
        bad = _numbered(found, block, self.lines)
        self._pass(block, len(block))
        taken = {key.hex(): tally.count for key, tally in tallies.items()}
        if taken or found.bad or found.entries:
            taken |= {"#line": line, "#entries": found.entries, "#bad": len(found.bad)}
        point = Checkpoint(self.source, self.at, self.digest.digest(), self.lines, state, tail, taken)
        self._add(point, tallies, found, bad)

    def _add(
        self, point: Checkpoint, tallies: dict[bytes, Tally], found: Found, bad: list[tuple[int, str, str]]
    ) -> None:
        self.store.add(
            point,
            self.dialect,
            tallies,
            entries=found.entries,
            bad=bad,
            bad_count=len(found.bad),
            skipped=found.skipped,
            undo=self.undo,
        )
        if self.undo is not None:
            self.done.kept -= sum(
                number for key, number in self.undo.taken.items() if not key.startswith("#")
            )
            self.undo = None
        done = self.done
        done.bytes, done.lines = self.at, self.lines
        done.entries += found.entries
        done.kept += sum(tally.count for tally in tallies.values())
        done.bad += len(found.bad)
        done.skipped += found.skipped

    def _tallies(self, found: Found) -> dict[bytes, Tally]:
        """The events of a block by statement, whatever their literals."""
        texts = list({event.sql: None for event in found.events})
        reading = [sql for sql in texts if len(sql) <= MAX_SQL and _READS.match(sql)]
        by_shape: dict[bytes, _Runs] = {}
        by_text: dict[bytes, _Runs] = {}
        for sql, shape in zip(reading, skeletons(reading, self.dialect), strict=True):
            runs = by_shape.get(shape)
            if runs is None:
                runs = by_shape[shape] = _Runs()
            by_text[sql] = runs
        for sql, user, at, count, question, verdict in found.events:
            runs = by_text.get(sql)
            if runs is None:
                found.skipped["too long" if len(sql) > MAX_SQL else "not a query"] += count
                continue
            runs.count += count
            if at > runs.last_at:
                runs.last_at = at
            if at < runs.first_at or not runs.first_at:
                runs.first_at = at or runs.first_at
            runs.users.add(user)
            if question or len(runs.texts) < 2 * MAX_EXAMPLES:
                runs.texts[sql, question, verdict] = None
        found.events = []
        person = self.dialect.encode()[:16]
        return {
            hashlib.blake2b(shape, digest_size=16, person=person).digest(): Tally(
                runs.count,
                runs.first_at.decode("ascii", "replace"),
                runs.last_at.decode("ascii", "replace"),
                {self._user(user) for user in islice(filter(None, runs.users), MAX_USERS)},
                {
                    (sql.decode("utf-8", "replace").strip(), question, verdict): None
                    for sql, question, verdict in runs.texts
                },
            )
            for shape, runs in by_shape.items()
        }

    def _user(self, name: bytes) -> bytes:
        mark = self.users.get(name)
        if mark is None:
            if len(self.users) > 10_000:
                self.users.clear()
            mark = hashlib.blake2b(name[:200], digest_size=8, key=self.salt).digest()
            self.users[name] = mark
        return mark


def _numbered(found: Found, block: bytes, lines: int) -> list[tuple[int, str, str]]:
    """The malformed records with their line numbers, counted from 1."""
    out, at, line = [], 0, lines + 1
    for position, reason, text in found.bad[:1000]:
        if position > at:
            line += block.count(b"\n", at, position)
            at = position
        out.append((line, reason, redact(text[:500].decode("utf-8", "backslashreplace"))))
    return out
