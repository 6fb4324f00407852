"""The store of knowledge: every change listed and reversible, whole after a crash, shared by processes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from sqlgen.errors import StoreUnusable, UsageError
from sqlgen.knowledge import Document, KnowledgeStore, Term, Verified

CHURN = Term("churn", "customers who left")


@pytest.fixture
def store(tmp_path: Path) -> KnowledgeStore:
    return KnowledgeStore(tmp_path / "knowledge.sqlite")


def names(store: KnowledgeStore) -> list[str]:
    return [identity for identity, _ in store.items()]


def test_nothing_is_made_by_looking(store: KnowledgeStore) -> None:
    assert store.items() == []
    assert store.changes() == []
    assert store.version() == 0
    assert not store.path.exists()


def test_items_come_back_as_they_were_put(store: KnowledgeStore) -> None:
    items = [
        Term("net sales", "…", ("NS",), True, "SUM(o.t)", "f.toml", ("o",), ("o.x = 1",), (("mysql", "1"),)),
        Document("Guide", "# A\ntext"),
        Verified("How many?", "SELECT 1", ("count?",)),
    ]
    store.put(items)
    assert [item for _, item in store.items()] == items


def test_putting_the_same_again_is_no_change(store: KnowledgeStore) -> None:
    assert store.put([CHURN]) == [("term:churn", "added")]
    version = store.version()
    assert store.put([CHURN]) == [("term:churn", "unchanged")]
    assert store.version() == version
    assert store.put([Term("Churn", "another meaning")]) == [("term:churn", "replaced")]
    assert store.version() > version


def test_undo_takes_back_whole_batches_newest_first(store: KnowledgeStore) -> None:
    store.put([CHURN, Term("lead", "…")])
    store.put([Term("churn", "new")])
    store.remove(["term:lead"])
    assert store.undo() == [("term:lead", "added")]
    assert store.undo() == [("term:churn", "replaced")]
    assert dict(store.items())["term:churn"] == CHURN
    assert sorted(store.undo()) == [("term:churn", "removed"), ("term:lead", "removed")]
    assert store.items() == []
    with pytest.raises(UsageError, match="no change to take back"):
        store.undo()
    assert [(c.batch, c.undoes) for c in store.changes() if c.undoes] == [(6, 1), (6, 1), (5, 2), (4, 3)]


def test_undo_of_an_older_change_refuses_when_the_item_changed_since(store: KnowledgeStore) -> None:
    store.put([CHURN])
    store.put([Term("churn", "new")])
    with pytest.raises(UsageError, match="changed again after change 1"):
        store.undo(1)
    assert dict(store.items())["term:churn"] == Term("churn", "new")
    with pytest.raises(UsageError, match="there is no change 9"):
        store.undo(9)


def test_remove_takes_ids_and_names_and_refuses_the_rest(store: KnowledgeStore) -> None:
    store.put([CHURN, Term("churn", "…", is_metric=True, sql="1"), Term("lead", "…")])
    with pytest.raises(UsageError, match=r"metric:churn or term:churn|term:churn or metric:churn"):
        store.remove(["churn"])
    with pytest.raises(UsageError, match="there is no"):
        store.remove(["lead", "nothing"])
    assert len(names(store)) == 3
    store.remove(["LEAD", "metric:churn"])
    assert names(store) == ["term:churn"]


def test_a_damaged_file_is_set_aside_and_named(store: KnowledgeStore) -> None:
    store.put([CHURN])
    store.close()
    path = store.path
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    for tail in ("-wal", "-shm"):
        Path(f"{path}{tail}").unlink(missing_ok=True)
    with pytest.raises(StoreUnusable, match=r"knowledge\.sqlite\.damaged-1"):
        store.items()
    assert path.with_name("knowledge.sqlite.damaged-1").read_bytes().endswith(b"\xff")
    assert store.put([CHURN]) == [("term:churn", "added")]


def test_another_programs_database_is_left_alone(store: KnowledgeStore) -> None:
    connection = sqlite3.connect(store.path)
    connection.execute("CREATE TABLE theirs (i)")
    connection.close()
    before = store.path.read_bytes()
    with pytest.raises(StoreUnusable, match="another program"):
        store.put([CHURN])
    assert store.path.read_bytes() == before


def test_threads_and_two_stores_of_one_file_lose_nothing(tmp_path: Path) -> None:
    stores = [KnowledgeStore(tmp_path / "k.sqlite") for _ in range(2)]

    def work(n: int) -> None:
        stores[n % 2].put([Term(f"word {n}", "…")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    assert len(stores[0].items()) == 60
    assert len({c.batch for c in stores[1].changes(1000)}) == 60


def test_the_first_to_write_waits_for_another_that_begins(tmp_path: Path) -> None:
    path = tmp_path / "k.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        later = threading.Timer(0.3, other.execute, ("ROLLBACK",))
        later.start()
        store = KnowledgeStore(path)
        store.put([CHURN])
        later.join()
    assert len(names(store)) == 1


WRITER = """
import sys
from pathlib import Path
from sqlgen.knowledge import KnowledgeStore, Term
store = KnowledgeStore(Path(sys.argv[1]))
n = int(sys.argv[2])
while True:
    store.put([Term(f"pair {n} left", "x"), Term(f"pair {n} right", "x")])
    print(n, flush=True)
    n += 1
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_kill_at_any_point_leaves_whole_changes(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.sqlite"
    rng = random.Random(7)
    told = 0
    for k in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(100_000 * k)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        told += 1 + len(process.stdout.read().splitlines())
        process.stdout.close()
        process.wait()
        held = names(store := KnowledgeStore(path))
        store.close()
        lefts = {name.replace("left", "") for name in held if name.endswith("left")}
        rights = {name.replace("right", "") for name in held if name.endswith("right")}
        assert lefts == rights
        # What a writer was told is done is there.
        assert len(lefts) >= told - 1
