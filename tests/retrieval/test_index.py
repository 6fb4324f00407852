"""Building, opening, refreshing and surviving."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from sqlgen.errors import IndexUnusable, QueryFailed
from sqlgen.lock import exclusive
from sqlgen.retrieval import Budget, default_index_path, open_index
from sqlgen.retrieval.sqlite_store import open_file
from sqlgen.retrieval.store import FORMAT_VERSION
from sqlgen.types import Catalog, Column, Table

from .conftest import count_words

BUILD = """
import os, signal, sys, time
from pathlib import Path
from sqlgen.retrieval import index, open_index, sqlite_store as store
from sqlgen.types import Catalog, Column, Table

die_at, path, fingerprint, changes = sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4]
tables = tuple(
    Table(f"table_{i}", (Column("id", "INTEGER", "number"), Column("name", "TEXT", "text")), comment=comment)
    for i in range(6)
    for comment in ["" if changes == "one table" and i else fingerprint]
)

def die(*ignored):
    os.kill(os.getpid(), signal.SIGKILL)

def progress(done, total, what):
    if die_at == f"progress {done}":
        die()
    if die_at == "interrupt" and done == 3:
        raise KeyboardInterrupt
    if die_at == "slow":
        print("building", flush=True)
        time.sleep(0.2)

if die_at == "replace":
    os.replace = die
if die_at == "sum":
    store._checksum = die
if die_at == "fsync":
    os.fsync = die
if die_at == "after":
    store._sync_folder = die
values = lambda table, column, limit: [f"{table.name} value {n}" for n in range(500)]
with open_index(Catalog("sqlite", tables, fingerprint), path, values=values, progress=progress) as built:
    print("done", built.status()["fingerprint"], flush=True)
"""


def build(
    path: Path, die_at: str = "", fingerprint: str = "new", changes: str = "all tables"
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, die_at, str(path), fingerprint, changes],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def leftovers(path: Path) -> list[str]:
    return [p.name for p in path.parent.iterdir() if ".building-" in p.name]


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize("with_old", [False, True], ids=["first build", "rebuild"])
@pytest.mark.parametrize(
    "die_at", ["progress 0", "progress 3", "progress 6", "progress 7", "sum", "fsync", "replace", "after"]
)
def test_a_killed_build_leaves_the_old_index_or_none_or_the_new(
    tmp_path: Path, die_at: str, with_old: bool
) -> None:
    path = tmp_path / "index.sqlite"
    if with_old:
        out, err = build(path, fingerprint="old").communicate()
        assert "done old" in out, err
    process = build(path, die_at)
    process.communicate()
    assert process.returncode == -9
    if die_at == "after":
        expected: str | None = "new"
    else:
        expected = "old" if with_old else None
    if expected is None:
        assert not path.exists()
    else:
        store = open_file(path)
        assert store.meta.fingerprint == expected
        store.close()
    out, err = build(path).communicate()
    assert "done new" in out, err
    assert leftovers(path) == []
    open_file(path).close()


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
@pytest.mark.parametrize("die_at", ["progress 0", "progress 1", "progress 2", "sum", "fsync", "replace"])
def test_a_killed_update_leaves_the_old_index(tmp_path: Path, die_at: str) -> None:
    path = tmp_path / "index.sqlite"
    out, err = build(path, "", "old", "one table").communicate()
    assert "done old" in out, err
    process = build(path, die_at, "new", "one table")
    process.communicate()
    assert process.returncode == -9
    store = open_file(path)
    assert store.meta.fingerprint == "old"
    store.close()
    out, err = build(path, "", "new", "one table").communicate()
    assert "done new" in out, err
    assert leftovers(path) == []
    store = open_file(path)
    assert (store.meta.fingerprint, store.meta.tables, store.meta.next_table) == ("new", 6, 7)
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_kills_at_odd_moments_never_break_the_index(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    for n in range(5):
        process = build(path, fingerprint=f"print {n}")
        time.sleep(0.08 * (n + 1))
        process.kill()
        process.communicate()
        if path.exists():
            open_file(path).close()
    out, err = build(path).communicate()
    assert "done new" in out, err
    assert leftovers(path) == []


def test_an_interrupted_build_cleans_up_at_once(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    _, err = build(path, "interrupt").communicate()
    assert "KeyboardInterrupt" in err
    assert [p.name for p in tmp_path.iterdir()] == ["index.sqlite.lock"]


def test_the_second_builder_waits_and_uses_the_first_ones_index(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    first = build(path, "slow")
    assert first.stdout is not None
    assert first.stdout.readline() == "building\n"
    second = build(path, "slow")
    out, err = second.communicate()
    first.communicate()
    assert out == "done new\n", err
    assert first.returncode == second.returncode == 0


def test_threads_that_open_at_once_build_once(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    builds = []

    def open_it() -> None:
        with open_index(shop, path, progress=lambda done, total, what: builds.append(done)) as index:
            assert index.status()["tables"] == 5

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds == [0, 1, 2, 3, 4, 5, 6]


def test_the_lock_of_a_dead_process_does_not_block(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    process = build(path, "progress 3")
    process.communicate()
    (tmp_path / "index.sqlite.lock").touch()
    started = time.monotonic()
    open_index(shop, path).close()
    assert time.monotonic() - started < 60


def test_a_held_lock_gives_up_in_time(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with (
        exclusive(lock),
        pytest.raises(TimeoutError, match="another process"),
        exclusive(lock, timeout_s=0.1),
    ):
        pass


def damage_flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        damage_flip,
        lambda content: content[:200] + bytes([content[200] ^ 128]) + content[201:],
        lambda content: content[: len(content) // 2],
        lambda content: content[:50],
        lambda content: content + b"more",
        lambda content: bytes(len(content)),
        lambda content: b"",
        lambda content: b"not a database\n" * 1000,
    ],
    ids=["flip", "flip early", "half", "head", "longer", "zeros", "empty", "text"],
)
def test_a_damaged_file_is_built_anew(tmp_path: Path, shop: Catalog, damage: object) -> None:
    path = tmp_path / "index.sqlite"
    open_index(shop, path).close()
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(IndexUnusable):
        open_file(path)
    with open_index(shop, path) as index:
        assert index.retrieve("customers", count_tokens=count_words).tables[0].table.key == "customers"
    open_file(path).close()


def test_every_flipped_byte_is_seen(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    open_index(shop, path).close()
    content = path.read_bytes()
    for place in range(0, len(content), 997):
        path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        with pytest.raises(IndexUnusable):
            open_file(path)


def test_a_file_of_somebody_else_is_kept_aside(
    tmp_path: Path, shop: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "index.sqlite"
    for n in (1, 2):
        path.unlink(missing_ok=True)
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE precious (a)")
        connection.execute("INSERT INTO precious VALUES (?)", (n,))
        connection.commit()
        connection.close()
        open_index(shop, path).close()
    kept = {}
    for name in ("index.sqlite.broken", "index.sqlite.broken-2"):
        connection = sqlite3.connect(tmp_path / name)
        kept[name] = connection.execute("SELECT a FROM precious").fetchone()[0]
        connection.close()
    assert kept == {"index.sqlite.broken": 1, "index.sqlite.broken-2": 2}
    assert "is no index of sqlgen" in caplog.text


def test_another_format_version_is_built_anew(
    tmp_path: Path, shop: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index.sqlite"
    monkeypatch.setattr("sqlgen.retrieval.store.FORMAT_VERSION", 99)
    monkeypatch.setattr("sqlgen.retrieval.sqlite_store.FORMAT_VERSION", 99)
    open_index(shop, path).close()
    monkeypatch.undo()
    with pytest.raises(IndexUnusable, match="format 99"):
        open_file(path)
    with open_index(shop, path) as index:
        assert index.status()["format_version"] == FORMAT_VERSION
    assert not list(tmp_path.glob("*.broken*"))


def test_a_warm_index_is_not_built_again(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    open_index(shop, path).close()
    before = path.stat()
    calls: list[int] = []
    open_index(shop, path, progress=lambda done, total, what: calls.append(done)).close()
    assert calls == []
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    open_index(shop, path, rebuild=True, progress=lambda done, total, what: calls.append(done)).close()
    assert calls == [0, 1, 2, 3, 4, 5, 6]


def test_a_changed_schema_is_seen_at_the_next_opening(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    with open_index(shop, path) as old:
        invoices = Table("invoices", (Column("amount", "NUMERIC", "number"),))
        changed = replace(shop, tables=(*shop.tables, invoices), fingerprint="shop-2")
        with open_index(changed, path) as new:
            assert new.status()["fingerprint"] == "shop-2"
            assert new.rank("invoice amount")[0].table.key == "invoices"
        # Whoever has the old one open goes on with it.
        assert old.rank("customers")[0].table.key == "customers"


def test_a_change_that_the_fingerprint_missed_is_seen(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    open_index(shop, path).close()
    first = replace(shop.tables[4], comment="complaints of clients")
    with open_index(replace(shop, tables=(*shop.tables[:4], first)), path) as index:
        assert index.rank("complaints")[0].table.key == "notes"


def test_values_asked_for_later_are_read_then(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    open_index(shop, path).close()

    def values(table: Table, column: Column, limit: int) -> Iterable[str]:
        return ["Reykjavik"] if column.name == "city" else []

    with open_index(shop, path, values=values) as index:
        assert index.rank("sales in reykjavik")[0].table.key == "customers"
    # Without a source the values that are there stay.
    with open_index(shop, path) as index:
        assert index.status()["values"] == 1


def test_a_folder_that_cannot_be_written_gives_an_index_in_memory(
    tmp_path: Path, shop: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    with caplog.at_level(logging.WARNING, "sqlgen.retrieval"):
        index = open_index(shop, tmp_path / "file" / "index.sqlite")
    with index:
        assert "kept in memory" in caplog.text
        assert index.status()["path"] is None
        assert index.rank("products")[0].table.key == "products"
        threads = [threading.Thread(target=index.rank, args=("orders",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_a_full_disk_gives_an_index_in_memory(
    tmp_path: Path, shop: Catalog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with open_index(shop, tmp_path / "index.sqlite") as index:
        assert index.status()["path"] is None
    assert leftovers(tmp_path / "index.sqlite") == []


def test_a_folder_in_the_place_of_the_index_is_refused(tmp_path: Path, shop: Catalog) -> None:
    with pytest.raises(IndexUnusable, match="not a file"):
        open_index(shop, tmp_path)


def test_a_column_that_cannot_be_read_costs_only_its_values(
    tmp_path: Path, shop: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    def values(table: Table, column: Column, limit: int) -> Iterable[str]:
        if table.name == "orders":
            raise QueryFailed("permission denied for orders")
        return column.values

    with open_index(shop, tmp_path / "index.sqlite", values=values) as index:
        assert "permission denied" in caplog.text
        assert index.rank("Paris")[0].table.key == "customers"


def test_a_column_that_breaks_off_keeps_the_index(
    tmp_path: Path, shop: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    def values(table: Table, column: Column, limit: int) -> Iterable[str]:
        yield "Lima"
        raise QueryFailed("the connection was lost")

    with open_index(shop, tmp_path / "index.sqlite", values=values) as index:
        assert "connection was lost" in caplog.text
        assert index.status()["values"] == 5


def test_budgets_bound_what_is_read(tmp_path: Path, shop: Catalog) -> None:
    asked = []

    def values(table: Table, column: Column, limit: int) -> Iterable[str]:
        asked.append(limit)
        return (f"{column.name} {n}" for n in range(10**9))

    budget = Budget(column_values=70, total_values=240)
    with open_index(shop, tmp_path / "index.sqlite", values=values, budget=budget) as index:
        assert index.status()["values"] == sum(asked) <= 70 * 5
    assert max(asked) <= 70
    assert min(asked) >= 48


def test_long_values_are_skipped(tmp_path: Path, shop: Catalog) -> None:
    with open_index(
        shop, tmp_path / "index.sqlite", values=lambda table, column, limit: ["x" * 65, "", "Lima"]
    ) as index:
        assert index.status()["values"] == 5


def test_the_index_is_for_its_owner_alone(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "indexes" / "index.sqlite"
    open_index(shop, path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_index_that_breaks_while_open_is_built_anew(tmp_path: Path, make_catalog: object) -> None:
    path = tmp_path / "index.sqlite"
    catalog = make_catalog(300)  # type: ignore[operator]
    with open_index(catalog, path) as index:
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(os.urandom(size - 4096))
        first = catalog.tables[5].name
        assert index.rank(first)[0].table.name == first
        assert index.status()["tables"] == 300


def test_many_threads_read_at_once(tmp_path: Path, shop: Catalog) -> None:
    best: list[str] = []
    with open_index(shop, tmp_path / "index.sqlite") as index:

        def read() -> None:
            for _ in range(20):
                found = index.retrieve("orders of Ann Lee", token_budget=20, count_tokens=count_words)
                best.append(found.tables[0].table.key)

        threads = [threading.Thread(target=read) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # An error in a thread would leave its share out.
    assert best == [best[0]] * 320


def test_a_closed_index_says_so(tmp_path: Path, shop: Catalog) -> None:
    index = open_index(shop, tmp_path / "index.sqlite")
    index.close()
    index.close()
    with pytest.raises(IndexUnusable, match="closed"):
        index.rank("orders")


def test_status_tells_what_is_there(tmp_path: Path, shop: Catalog) -> None:
    path = tmp_path / "index.sqlite"
    with open_index(shop, path) as index:
        status = index.status()
    assert status["bytes"] == path.stat().st_size
    assert (status["tables"], status["columns"], status["values"]) == (5, 15, 7)
    assert status["fingerprint"] == "shop-1"
    assert str(status["built_at"]).endswith("Z")


def test_default_paths_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    path = default_index_path("postgresql://host/sales")
    assert path.parent == tmp_path / "home" / "indexes"
    assert "sales" not in path.name
    monkeypatch.delenv("SQLGEN_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_index_path("a").parent == tmp_path / "cache" / "sqlgen" / "indexes"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_index_path("a").parent == tmp_path / ".cache" / "sqlgen" / "indexes"
