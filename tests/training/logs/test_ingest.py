"""Into the store: nothing lost, nothing twice, whatever happens in between."""

from __future__ import annotations

import gzip
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

from sqlgen.errors import LimitReached, UsageError
from sqlgen.lock import exclusive
from sqlgen.training.logs import ingest
from sqlgen.training.logs.ingest import import_log
from sqlgen.training.logs.store import LogStore


def lines(count: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    shapes = ["SELECT a FROM t WHERE b = {}", "SELECT b FROM t WHERE a = 'x{}'", "SELECT c FROM u LIMIT {}"]
    return [
        f"2024-03-{draw.randint(1, 28):02d} 10:00:00.000 UTC [{draw.randint(1, 9)}] u{draw.randint(1, 3)}@shop LOG:  "
        f"duration: 1.0 ms  statement: {draw.choice(shapes).format(draw.randint(0, 999))}\n"
        for _ in range(count)
    ]


def counts(store: LogStore) -> Counter[str]:
    """Runs by the beginning of the statement."""
    return Counter({e.sql.split(" FROM")[0]: e.count for e in store.examples()})


def expected(rows: list[str]) -> Counter[str]:
    return Counter(row.split("statement: ")[1].split(" FROM")[0] for row in rows)


def add(store: LogStore, path: Path) -> ingest.Imported:
    return import_log(store, path, dialect="postgres")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "BLOCK", 2000)


def test_a_log_is_counted_by_statement_with_users_and_times(store: LogStore, tmp_path: Path) -> None:
    rows = lines(300)
    log = tmp_path / "a.log"
    log.write_text("".join(rows))
    done = add(store, log)
    assert (done.entries, done.kept, done.bad) == (300, 300, 0)
    assert counts(store) == expected(rows)
    examples = store.examples()
    assert {e.users for e in examples} == {3}
    assert max(e.last_at for e in examples) == max(row[:19] for row in rows)
    # a few texts of each statement, not all of them
    assert all(count <= 5 for count in Counter(e.statement for e in examples).values())
    assert b"u1" not in store.path.read_bytes()


def test_the_same_content_adds_nothing_under_any_name(store: LogStore, tmp_path: Path) -> None:
    rows = lines(200)
    (tmp_path / "a.log").write_text("".join(rows))
    (tmp_path / "b.log.1.gz").write_bytes(gzip.compress("".join(rows).encode()))
    add(store, tmp_path / "a.log")
    for name in ("a.log", "b.log.1.gz"):
        again = add(store, tmp_path / name)
        assert (again.kept, again.entries) == (0, 0)
        assert "imported before" in again.note
    assert counts(store) == expected(rows)
    assert len(store.status()["files"]) == 1


@pytest.mark.parametrize("cut", [1, 40, 63, 130, 3001, 9000])
def test_a_log_that_grows_is_read_on_from_where_it_ended(store: LogStore, tmp_path: Path, cut: int) -> None:
    rows = lines(100)
    text = "".join(rows)
    log = tmp_path / "a.log"
    log.write_text(text[:cut] if cut > 60 else "")
    add(store, log)
    for end in (cut, cut + 500, cut + 501, len(text)):
        log.write_text(text[:end])
        if end > 60:
            add(store, log)
    assert counts(store) == expected(rows)
    (file,) = [f for f in store.status()["files"] if f["bytes"]]
    assert (file["entries"], file["kept"], file["malformed"], file["bytes"]) == (100, 100, 0, len(text))


def test_an_older_copy_of_a_log_adds_nothing(store: LogStore, tmp_path: Path) -> None:
    rows = lines(200)
    (tmp_path / "a.log").write_text("".join(rows))
    (tmp_path / "old.log").write_text("".join(rows[:130]))
    add(store, tmp_path / "a.log")
    assert add(store, tmp_path / "old.log").kept == 0
    assert counts(store) == expected(rows)


def test_a_log_that_begins_like_another_is_read_from_where_they_part(store: LogStore, tmp_path: Path) -> None:
    rows, others = lines(200), lines(200, seed=2)
    (tmp_path / "a.log").write_text("".join(rows))
    add(store, tmp_path / "a.log")
    (tmp_path / "b.log").write_text("".join(others))
    add(store, tmp_path / "b.log")
    (tmp_path / "c.log").write_text("".join([*rows, *lines(50, seed=3)]))
    add(store, tmp_path / "c.log")
    assert counts(store) == expected(rows) + expected(others) + expected(lines(50, seed=3))


def test_order_of_malformed_lines_and_their_numbers(store: LogStore, tmp_path: Path) -> None:
    rows = lines(60)
    rows.insert(10, "not a log line, password=hunter2\n")
    rows.insert(40, "x\x00y\n")
    log = tmp_path / "a.log"
    log.write_text("".join(rows))
    done = add(store, log)
    assert done.bad == 2
    assert [(line, reason) for _, line, reason, _ in store.malformed()] == [
        (11, "no entry begins here"),
        (41, "no entry begins here"),
    ]
    assert "hunter2" not in next(store.malformed())[3]
    assert done.kept == 60


def test_personal_values_are_not_stored(store: LogStore, tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text(
        "{\"sql\": \"SELECT id FROM users WHERE mail = 'ann.lee@corp.org' AND note = '+49 170 1234567'\"}\n"
        '{"sql": "SELECT id FROM users WHERE ssn = \'123-45-6789\' AND card = 4111111111111111", '
        '"question": "Who is ann.lee@corp.org?"}\n'
    )
    add(store, log)
    kept = store.path.read_bytes() + (store.path.parent / "logs.sqlite-wal").read_bytes()
    for secret in (b"ann.lee", b"1234567", b"123-45", b"4111111111111111"):
        assert secret not in kept
    assert {e.question for e in store.examples()} == {"", "Who is person@example.com?"}


def test_a_record_of_many_megabytes_is_passed_over(
    store: LogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MAX_RECORD", 50_000)
    monkeypatch.setattr(ingest, "BLOCK", 8000)
    rows = lines(20)
    log = tmp_path / "a.log"
    log.write_text(
        "".join(rows[:10])
        + rows[0].rstrip("\n")
        + " x" * 100_000
        + "\n\t more" * 1000
        + "\n"
        + "".join(rows[10:])
    )
    done = add(store, log)
    assert done.bad == 1
    assert counts(store) == expected(rows)
    (kept,) = store.malformed()
    assert (kept[1], len(kept[3])) == (11, 500)


@pytest.mark.parametrize("name", ["empty.log", "bom.log", "nothing.gz"])
def test_an_empty_file_says_so(store: LogStore, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes({"empty.log": b"", "bom.log": b"\xef\xbb\xbf", "nothing.gz": gzip.compress(b"")}[name])
    assert import_log(store, path, format="jsonl", dialect="sqlite").note == "the file is empty"
    assert import_log(store, path, format="jsonl", dialect="sqlite").kept == 0


def test_a_cut_archive_gives_what_it_holds(store: LogStore, tmp_path: Path) -> None:
    rows = lines(500)
    packed = gzip.compress("".join(rows).encode())
    log = tmp_path / "a.log.gz"
    log.write_bytes(packed[: len(packed) // 2])
    done = add(store, log)
    assert "ends early" in done.note
    assert 50 < done.kept < 500
    log.write_bytes(packed)
    add(store, log)
    assert counts(store) == expected(rows)


def test_a_file_that_cannot_be_read_is_a_usage_error(store: LogStore, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*gone\.log: No such file"):
        add(store, tmp_path / "gone.log")


def test_a_second_import_is_refused_while_one_runs(store: LogStore, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("".join(lines(5)))
    store.path.parent.mkdir()
    with (
        exclusive(store.path.with_suffix(".lock")),
        pytest.raises(LimitReached, match="another import is running"),
    ):
        import_log(store, log, dialect="postgres", wait_s=0.1)
    assert add(store, log).kept == 5


_WORK = """
import sys
from pathlib import Path
from sqlgen.training.logs import ingest
from sqlgen.training.logs.store import LogStore
ingest.BLOCK = 20_000
with LogStore(Path(sys.argv[1])) as store:
    for name in sys.argv[2:]:
        ingest.import_log(store, Path(name), dialect="postgres")
"""


def process(*argv: object) -> subprocess.Popen[bytes]:
    # -P: the installed package, and not the folder of that name in a checkout.
    return subprocess.Popen([sys.executable, "-P", "-c", textwrap.dedent(_WORK), *map(str, argv)])


def test_two_imports_at_once_count_every_statement_once(tmp_path: Path) -> None:
    one, two, path = lines(3000), lines(3000, seed=2), tmp_path / "logs.sqlite"
    (tmp_path / "a.log").write_text("".join(one))
    (tmp_path / "b.log").write_text("".join(two))
    running = [process(path, tmp_path / "a.log", tmp_path / "b.log") for _ in range(2)]
    assert [p.wait() for p in running] == [0, 0]
    with LogStore(path) as store:
        assert counts(store) == expected(one) + expected(two)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_kill_at_any_point_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rows = lines(20_000)
    log, path = tmp_path / "a.log", tmp_path / "logs.sqlite"
    log.write_text("".join(rows))
    draw = random.Random(5)
    kills = 0
    began = 0.0
    for _ in range(20):
        work = process(path, log)
        # Wait until it writes, so that the blow falls inside the import.
        deadline = time.monotonic() + 20
        while not path.exists() and work.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        began = 0.15 if kills else 0.0
        time.sleep(began + draw.random() * 0.2)
        if work.poll() is None:
            work.send_signal(signal.SIGKILL)
            kills += 1
        work.wait()
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert kills >= 1
    assert process(path, log).wait() == 0
    with LogStore(path) as store:
        assert counts(store) == expected(rows)
        (file,) = store.status()["files"]
    assert file["kept"] == 20_000
