"""Faults around sqlgen: its own files, the disk, kill -9, two at once, the model, memory, folders, locale, clock."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import sqlgen
from sqlgen.generation import ScriptedGenerator
from sqlgen.types import Candidate

ARGUMENTS = ("ask", "--format", "json", "How many?", "--db")


def own_files(home: Path) -> dict[str, Path]:
    return {path.name: path for path in home.rglob("*") if path.is_file()}


def line(*argv: str) -> list[str]:
    """The command line with a scripted model, to be started by a test itself."""
    script = {"How many?": ["SELECT COUNT(*) AS n FROM orders"], "All?": ["SELECT id, note FROM orders"]}
    program = (
        "import sys, json, sqlgen.generation\nfrom sqlgen.generation import ScriptedGenerator\n"
        "script = json.loads(sys.argv.pop(1))\n"
        "sqlgen.generation.load_generator = lambda name='shipped': ScriptedGenerator(script)\n"
        "from sqlgen.cli import main\nsys.exit(main(sys.argv[1:]))\n"
    )
    return [sys.executable, "-c", program, json.dumps(script), *argv]


def rows_of(outcome: Any) -> Any:
    assert outcome.code == 0, outcome
    return json.loads(outcome.out)["rows"]


# -- 8: own files damaged ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["index.sqlite", "catalog.json"])
@pytest.mark.parametrize("damage", ["flips", "half", "empty", "noise", "rename in text"])
def test_8_a_damaged_own_file_is_never_believed(
    sqlgen_process: Any, sqlite_shop: Path, isolated_environment: Path, name: str, damage: str
) -> None:
    url = f"sqlite:///{sqlite_shop}"
    assert rows_of(sqlgen_process(*ARGUMENTS, url)) == [[2000]]
    file = own_files(isolated_environment)[name]
    body = bytearray(file.read_bytes())
    if damage == "flips":
        chance = random.Random(8)
        for _ in range(64):
            body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    elif damage == "half":
        del body[len(body) // 2 :]
    elif damage == "empty":
        body.clear()
    elif damage == "noise":
        body = bytearray(b"\x00\xffnoise" * 500)
    else:
        body = bytearray(bytes(body).replace(b"orders", b"ordera"))
    file.write_bytes(bytes(body))
    assert rows_of(sqlgen_process(*ARGUMENTS, url)) == [[2000]]


# -- 9: a full disk ------------------------------------------------------------------------------


def test_9_files_that_may_not_grow(
    sqlgen_process: Any, sqlite_shop: Path, isolated_environment: Path
) -> None:
    url = f"sqlite:///{sqlite_shop}"
    outcome = sqlgen_process(*ARGUMENTS, url, before="ulimit -f 1")
    assert rows_of(outcome) == [[2000]]
    assert "cannot be written" in outcome.err
    for name, file in own_files(isolated_environment).items():
        assert file.stat().st_size or not name.startswith(("index.sqlite-", "catalog")), name
    assert rows_of(sqlgen_process(*ARGUMENTS, url)) == [[2000]]


@pytest.mark.parametrize("format_", ["table", "json", "csv", "markdown"])
def test_9_output_to_a_full_device(sqlite_shop: Path, format_: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            line("ask", "--db", f"sqlite:///{sqlite_shop}", "--format", format_, "All?"),
            stdout=full, stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count(b"\n") <= 2
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"bug" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting a small disk takes root")
def test_9_a_small_disk(sqlgen_process: Any, sqlite_shop: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        (disk / "filler").write_bytes(b"x" * 40_000)
        outcome = sqlgen_process(*ARGUMENTS, f"sqlite:///{sqlite_shop}", SQLGEN_HOME=str(disk))
        assert rows_of(outcome) == [[2000]]
        for file in disk.rglob("*.json"):
            assert json.loads(file.read_text("ascii").partition("\n")[2])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# -- 10, 13: killed while building, two builders at once -----------------------------------------


def test_10_a_kill_at_any_moment_leaves_a_usable_state(
    sqlite_shop: Path, isolated_environment: Path, sqlgen_process: Any
) -> None:
    url = f"sqlite:///{sqlite_shop}"
    started = time.monotonic()
    assert sqlgen_process("index", "build", "--db", url).code == 0
    whole = time.monotonic() - started
    for step in range(10):
        process = subprocess.Popen(
            line("index", "build", "--db", url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(whole * (0.3 + 0.07 * step))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert rows_of(sqlgen_process(*ARGUMENTS, url)) == [[2000]]
    assert sqlgen_process("index", "build", "--db", url).code == 0
    left = {p.name for p in own_files(isolated_environment).values()}
    assert {"catalog.json", "index.sqlite"} <= left
    assert [name for name in left if name.endswith("-journal")] == []


def test_13_two_builders_at_once(sqlite_shop: Path, sqlgen_process: Any) -> None:
    url = f"sqlite:///{sqlite_shop}"
    builders = [
        subprocess.Popen(
            line("index", "build", "--db", url), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(3)
    ]
    for builder in builders:
        _, err = builder.communicate(timeout=120)
        assert builder.returncode == 0, err
    assert rows_of(sqlgen_process(*ARGUMENTS, url)) == [[2000]]


# -- 22: a model that misbehaves -----------------------------------------------------------------

OUTPUTS = {
    "empty": "",
    "blank": " \n\t ",
    "prose": "I'm sorry, but I cannot help with that request. Here is what I'd do instead: count the orders.",
    "repetition": "SELECT " + "COUNT(*), " * 20_000,
    "endless parentheses": "SELECT " + "(" * 5_000 + "1",
    "two statements": "SELECT COUNT(*) FROM orders; DROP TABLE orders",
    "other dialect": "SELECT TOP 5 [id] FROM orders",
    "a megabyte": "SELECT '" + "x" * 1_000_000 + "' FROM orders",
    "fence in fence": "```sql\n```sql\nSELECT COUNT(*) FROM orders\n```\n```",
    "cut token": "SELECT note FROM orders WHERE note = '\udce2\udc98",
    "NUL": "SELECT 1\x00; DROP TABLE orders",
    "replacement characters": "SELECT � FROM orders",
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_22_what_is_no_query_is_refused_and_said(sqlite_shop: Path, name: str) -> None:
    before = sqlite_shop.read_bytes()
    script = {"How many?": [OUTPUTS[name]]}
    with sqlgen.connect(f"sqlite:///{sqlite_shop}", generator=ScriptedGenerator(script)) as db:
        started = time.monotonic()
        reply = db.ask("How many?")
        assert time.monotonic() - started < 20
        assert reply.status in ("rejected", "abstained")
        assert reply.result is None
        assert reply.message
        assert "\n" not in reply.message
        json.dumps(reply.to_dict(), allow_nan=False)
    assert sqlite_shop.read_bytes() == before


def test_22_a_good_candidate_behind_bad_ones_answers(sqlite_shop: Path) -> None:
    script = {"How many?": [*list(OUTPUTS.values())[:3], "SELECT COUNT(*) FROM orders"]}
    with sqlgen.connect(f"sqlite:///{sqlite_shop}", generator=ScriptedGenerator(script)) as db:
        reply = db.ask("How many?")
    assert reply.status == "answered"
    assert reply.result is not None
    assert reply.result.rows == ((2000,),)


@pytest.mark.parametrize("logprob", [float("nan"), float("inf"), -1e308, 5.0])
def test_22_odd_probabilities_do_no_harm(sqlite_shop: Path, logprob: float) -> None:
    class Odd:
        info = ScriptedGenerator({}).info
        count_tokens = staticmethod(len)

        def generate(self, *_: object, **__: object) -> list[Candidate]:
            return [Candidate("SELECT COUNT(*) FROM orders", logprob, "odd", "1")]

    with sqlgen.connect(f"sqlite:///{sqlite_shop}", generator=Odd()) as db:  # type: ignore[arg-type]
        document = db.ask("How many?").to_dict()
    json.dumps(document, allow_nan=False)
    assert 0 <= document["confidence"] <= 1


# -- 23: the model's files -----------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    from sqlgen.generation.embedded import shipped_path

    folder = tmp_path / "weights"
    shutil.copytree(shipped_path(), folder)
    return folder


def ask_with(weights: Path, shop: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    line = [
        sys.executable,
        "-m",
        "sqlgen",
        "ask",
        "--db",
        f"sqlite:///{shop}",
        "--model",
        str(weights),
        "How many orders?",
    ]
    if before:
        line = ["bash", "-c", f'{before}; exec "$@"', "bash", *line]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)


def test_23_a_missing_or_damaged_file_of_the_model_is_named(weights: Path, sqlite_shop: Path) -> None:
    files = sorted(p for p in weights.iterdir() if p.suffix in (".onnx", ".json"))
    assert files
    largest = max(files, key=lambda p: p.stat().st_size)
    body = largest.read_bytes()
    flipped = bytearray(body)
    flipped[len(body) // 2] ^= 0x55
    for content in (None, body[: len(body) // 2], b"", bytes(flipped)):
        largest.unlink()
        if content is not None:
            largest.write_bytes(content)
        done = ask_with(weights, sqlite_shop)
        assert done.returncode == 7, (content and len(content), done)
        assert done.stderr.count("\n") == 1, done.stderr
        assert "Traceback" not in done.stderr
        largest.write_bytes(body)
    assert ask_with(weights, sqlite_shop).returncode in (0, 4)


@pytest.mark.parametrize("kilobytes", [150_000, 300_000, 400_000, 500_000])
def test_23_too_little_memory_is_said(weights: Path, sqlite_shop: Path, kilobytes: int) -> None:
    done = ask_with(weights, sqlite_shop, before=f"ulimit -v {kilobytes}")
    assert done.returncode in (0, 1, 4, 6, 7)
    if done.returncode not in (0, 4):
        assert "memory" in done.stderr.lower()
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


# -- 26: folders, locale, clock ------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"TZ": "Asia/Kathmandu"},
        {"TZ": "nonsense"},
        {"PYTHONIOENCODING": "ascii"},
        {"HOME": "/proc/nowhere", "XDG_DATA_HOME": "", "SQLGEN_HOME": "{tmp}"},
        {"TERM": "dumb", "COLUMNS": "1"},
    ],
    ids=lambda e: ",".join(e),
)
def test_26_odd_surroundings_work(
    sqlgen_process: Any, sqlite_shop: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment = {k: v.replace("{tmp}", str(tmp_path / "home")) for k, v in environment.items()}
    assert rows_of(sqlgen_process(*ARGUMENTS, f"sqlite:///{sqlite_shop}", **environment)) == [[2000]]


def test_26_a_home_that_cannot_be_written_says_what_to_set(sqlgen_process: Any, sqlite_shop: Path) -> None:
    outcome = sqlgen_process(*ARGUMENTS, f"sqlite:///{sqlite_shop}", HOME="/proc/nowhere", XDG_DATA_HOME="")
    assert outcome.code == 2
    assert "SQLGEN_HOME" in outcome.err
    assert "Traceback" not in outcome.err


def test_26_a_working_folder_that_is_gone(sqlgen_process: Any, sqlite_shop: Path, tmp_path: Path) -> None:
    before = f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir {tmp_path}/gone"
    outcome = sqlgen_process("ask", "--db", f"sqlite:///{sqlite_shop}", "How many?", before=before)
    outcome.require_one_line(2, "working directory")
