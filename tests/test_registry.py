"""Adapters are kept by content, promoted and rolled back whole, whatever kills the process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.registry import ADAPTER_FILE, Entry, Registry

BASE = ("sqlgen-minilm-pointer", "0.2.0")


def add(registry: Registry, content: bytes, base: tuple[str, str] = BASE) -> Entry:
    with registry.scratch() as made:
        (made / ADAPTER_FILE).write_bytes(content)
        (made / "weights").mkdir()
        (made / "weights" / "manifest.json").write_text("{}")
        return registry.add(made, {"base": {"name": base[0], "version": base[1]}, "pairs": len(content)})


def test_the_same_adapter_is_kept_once_and_named_by_its_content(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    first, again, other = add(registry, b"one"), add(registry, b"one"), add(registry, b"two")
    assert first.id == again.id != other.id
    assert [e.id for e in registry.entries()] == [first.id, other.id]
    assert registry.get(first.id[:6]) == first
    assert not any((tmp_path / "models" / "scratch").iterdir())
    with pytest.raises(UsageError, match="no adapter"):
        registry.get("zz")


def test_promotion_and_rollback_walk_back_to_the_shipped_model(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first, second = add(registry, b"one"), add(registry, b"two")
    assert registry.current() is None
    before = registry.stamp()
    registry.promote(first.id, BASE)
    assert registry.stamp() != before
    registry.promote(second.id, BASE)
    registry.promote(second.id, BASE)
    assert registry.current() == second
    assert registry.rollback() == first
    assert registry.rollback() is None
    assert registry.current() is None
    with pytest.raises(UsageError, match="nothing to go back to"):
        registry.rollback()


def test_an_adapter_of_another_base_is_not_promoted(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    entry = add(registry, b"one", ("sqlgen-minilm-pointer", "0.1.0"))
    with pytest.raises(UsageError, match=r"made for .* 0\.1\.0, installed is .* 0\.2\.0"):
        registry.promote(entry.id, BASE)
    assert registry.current() is None


def test_pruning_spares_what_is_in_force_and_what_was(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    entries = [add(registry, bytes([n])) for n in range(6)]
    registry.promote(entries[0].id, BASE)
    registry.promote(entries[1].id, BASE)
    gone = registry.prune(keep=1)
    left = {e.id for e in registry.entries()}
    assert left == {entries[0].id, entries[1].id, max(entries, key=lambda e: (e.created, e.id)).id}
    assert len(gone) == 3
    assert registry.rollback() == entries[0]


def test_damage_is_said_and_never_guessed_around(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    entry = registry.promote(add(registry, b"one").id, BASE)
    (entry.folder / "adapter.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="damaged"):
        registry.current()
    (tmp_path / "current.json").write_text("[]")
    with pytest.raises(ModelUnavailable, match=r"current\.json is damaged"):
        registry.current()


def test_a_half_made_adapter_is_none(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with registry.scratch() as made, pytest.raises(UsageError, match="holds no"):
        registry.add(made, {})
    (tmp_path / "adapters" / "abc").mkdir(parents=True)
    assert registry.entries() == ()


def test_what_a_killed_run_left_is_cleared_after_days(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with registry.scratch() as made:
        old, young = made.parent / "old", made.parent / "young"
        old.mkdir()
        young.mkdir()
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    with registry.scratch():
        assert young.exists()
        assert not old.exists()


LOOP = """
import sys
from pathlib import Path
from sqlgen.registry import Registry
registry = Registry(Path(sys.argv[1]))
a, b = (e.id for e in registry.entries())
print("ready", flush=True)
while True:
    registry.promote(a, ("m", "1")); registry.promote(b, ("m", "1")); registry.rollback(); registry.rollback()
"""


def test_a_killed_promotion_leaves_one_state_or_the_other(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    known = {add(registry, b"one", ("m", "1")).id, add(registry, b"two", ("m", "1")).id}
    for number in range(20):
        process = subprocess.Popen([sys.executable, "-c", LOOP, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.002 + 0.0037 * number)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        current = registry.current()
        assert current is None or current.id in known
        registry.promote(min(known), ("m", "1"))
        assert json.loads((tmp_path / "current.json").read_text())["current"] == min(known)
