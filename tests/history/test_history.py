"""The history: append-only, shared by processes, whole after a crash."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sqlgen.errors import StoreUnusable, UsageError
from sqlgen.history import History
from sqlgen.journal import Journal
from sqlgen.types import Answer, Citation, ModelInfo, Question, Result, ResultColumn


def answer(identity: str, text: str = "How many?", **more: object) -> Answer:
    fields: dict[str, object] = {
        "question": Question(text, "sqlite", id=identity),
        "status": "answered",
        "sql": "SELECT 1",
        "dialect": "sqlite",
        "model": ModelInfo("m", "1", "ad"),
        "id": identity,
        "result": Result((ResultColumn("secret"),), (("row value",),)),
        "confidence": 0.5,
        "citations": (Citation("table", "orders", "name", 1.0),),
        "timings_ms": {"total": 1.26},
        **more,
    }
    return Answer(**fields)  # type: ignore[arg-type]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def test_a_line_holds_what_retraining_needs_and_no_rows(history: History) -> None:
    history.add(
        answer("ab12cd"),
        database="shop-1",
        url="sqlite:///x",
        context="f1",
        written="SELECT 1 -- w",
        user="ann",
    )
    (line,) = history.lines()
    assert (line.question, line.sql, line.written, line.context, line.user) == (
        "How many?", "SELECT 1", "SELECT 1 -- w", "f1", "ann",
    )  # fmt: skip
    assert (line.model, line.tables, line.timings_ms) == ("m 1+ad", ("orders",), {"total": 1.3})
    assert abs(line.at - time.time()) < 60
    assert (line.verdict, line.final_sql, line.judged_at) == (None, "", None)
    assert b"row value" not in b"".join(p.read_bytes() for p in history.path.parent.iterdir())


def test_the_last_verdict_counts(history: History) -> None:
    history.add(answer("ab12cd"), database="d", url="", context="")
    history.judge("ab12cd", "wrong")
    assert history.find("ab12").verdict == "wrong"
    assert history.find("ab12").final_sql == ""
    history.judge("ab12cd", "corrected", "SELECT 2", user="bo")
    line = history.find("last")
    assert (line.verdict, line.final_sql) == ("corrected", "SELECT 2")
    assert line.judged_at is not None
    assert [x.id for x in history.lines(judged=True)] == ["ab12cd"]


def test_lines_come_newest_first_and_of_one_database(history: History) -> None:
    for n in range(5):
        history.add(answer(f"id{n:04}", f"q{n}"), database=f"d{n % 2}", url="", context="")
    assert [x.question for x in history.lines(limit=2)] == ["q4", "q3"]
    assert [x.question for x in history.lines(database="d1")] == ["q3", "q1"]
    assert list(history.lines(judged=True)) == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("zzzz", "no answer begins"),
        ("aa00", "several answers"),
        ("a", "no answer id"),
        ("'; --", "no answer id"),
    ],
)
def test_an_unknown_answer_is_named(history: History, wanted: str, words: str) -> None:
    with pytest.raises(UsageError, match="history is empty"):
        history.find("last")
    for identity in ("aa0001", "aa0002"):
        history.add(answer(identity), database="d", url="", context="")
    with pytest.raises(UsageError, match=words):
        history.find(wanted)


def test_a_cut_file_is_set_aside(history: History) -> None:
    for n in range(200):
        history.add(answer(f"id{n:04}", "q" * 500), database="d", url="", context="")
    history.close()
    whole = history.path.read_bytes()
    history.path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(StoreUnusable, match="damaged-1"):
        list(history.lines())
    assert list(history.lines()) == []
    history.add(answer("fresh1"), database="d", url="", context="")
    assert [x.id for x in history.lines()] == ["fresh1"]


WRITER = """
import sys
from pathlib import Path
from sqlgen.history import History
from sqlgen.journal import Journal
from sqlgen.types import Answer, ModelInfo, Question
history, name, count = History(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for n in range(count):
    made = Answer(Question("q", "sqlite"), "answered", "SELECT 1", "sqlite", ModelInfo("m", "1"), f"{name}{n:06}")
    history.add(made, database="d", url="", context="")
    print(n, flush=True)
"""


def start(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_several_processes_lose_no_line(tmp_path: Path) -> None:
    writers = [start(tmp_path, name, 40) for name in "abc"]
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    lines = list(History(tmp_path).lines())
    assert len({x.id for x in lines}) == 120


def test_a_file_that_another_process_makes_at_this_moment_is_no_stranger(tmp_path: Path) -> None:
    made, looking = (
        Journal(tmp_path / "j", schema="CREATE TABLE t (a)", mark=7, what="it") for _ in range(2)
    )

    class Slow(sqlite3.Connection):
        """Between its first look at the file and the next, the other process makes the tables."""

        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            found = super().execute(*arguments).fetchall()
            if not (tmp_path / "j-wal").exists():
                with made.writing():
                    pass
            kept = sqlite3.connect(":memory:").cursor()
            return kept.execute("SELECT ?", found[0]) if found else kept

    with closing(sqlite3.connect(tmp_path / "j", factory=Slow, isolation_level=None)) as connection:
        looking._prepare(connection)
    made.close()
    with looking.reading() as ours:
        assert ours is not None
        assert ours.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)
    looking.close()


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_kill_at_any_point_keeps_every_line_that_was_told(tmp_path: Path) -> None:
    rng = random.Random(3)
    told = 0
    for name in "abcdef":
        writer = start(tmp_path, name, 1_000_000)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.1))
        os.kill(writer.pid, signal.SIGKILL)
        told += 1 + len(writer.stdout.read().splitlines())
        writer.stdout.close()
        writer.wait()
        history = History(tmp_path)
        assert len(list(history.lines())) >= told - 1
        history.close()
