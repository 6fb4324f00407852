"""The command line as a process of its own: pipes, terminals, locales, signals."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SCRIPTED = """
import sys, sqlgen.generation
from sqlgen.generation import ScriptedGenerator
script = {
    "Who?": ["SELECT name, city FROM customers ORDER BY id"],
    "Many?": ["SELECT i, 'some text to fill the pipe' AS words FROM numbers"],
    "Slow?": ["SELECT COUNT(*) FROM numbers AS a JOIN numbers AS b ON a.i < b.i JOIN numbers AS c ON b.i < c.i"],
    "Wide?": ["SELECT " + ", ".join(f"{n} AS column_{n}" for n in range(30)) + " FROM orders LIMIT 1"],
}
sqlgen.generation.load_generator = lambda name="shipped": ScriptedGenerator(script)
from sqlgen.cli import main
sys.exit(main(sys.argv[1:]))
"""


def command(*argv: str) -> list[str]:
    return [sys.executable, "-c", SCRIPTED, *argv]


def run_process(*argv: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*argv), capture_output=True, env={**os.environ, **environment}, timeout=60, check=False
    )


def run_on_terminal(columns: int, *argv: str, **environment: str) -> str:
    import fcntl
    import pty
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color", **environment}
    env.pop("COLUMNS", None)
    process = subprocess.Popen(command(*argv), stdin=child, stdout=child, stderr=child, env=env)
    os.close(child)
    printed = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([parent], [], [], 0.5)
        if ready:
            try:
                block = os.read(parent, 65536)
            except OSError:
                break
            if not block:
                break
            printed += block
        elif process.poll() is not None:
            break
    process.wait(10)
    os.close(parent)
    return printed.decode("utf-8")


def plain(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.parametrize("columns", [60, 120])
def test_a_terminal_gets_colour_and_lines_that_fit(shop: str, columns: int) -> None:
    printed = run_on_terminal(columns, "ask", "--db", shop, "Who?")
    assert "\x1b[" in printed
    lines = plain(printed).splitlines()
    assert any("Oslo" in line for line in lines)
    assert any("Cy\\x1b[31m" in line for line in lines)
    assert max(map(len, lines)) <= columns


def test_columns_that_do_not_fit_become_one_block_per_row(shop: str) -> None:
    lines = plain(run_on_terminal(60, "ask", "--db", shop, "Wide?")).splitlines()
    assert any(line.split() == ["column_29", "29"] for line in lines)


def test_no_color_is_respected(shop: str) -> None:
    printed = run_on_terminal(80, "ask", "--db", shop, "Who?", NO_COLOR="1")
    assert "\x1b[3" not in printed
    assert "\x1b[9" not in printed
    assert "Oslo" in printed


def test_a_pipe_gets_plain_text(shop: str) -> None:
    done = run_process("ask", "--db", shop, "Who?")
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert done.stderr == b""


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
def test_a_poor_locale_does_no_harm(shop: str, environment: dict[str, str]) -> None:
    for format_ in ("table", "json", "csv"):
        done = run_process("ask", "--db", shop, "--format", format_, "Who?", **environment)
        assert done.returncode == 0, done.stderr
        assert b"Oslo" in done.stdout


def test_a_reader_that_leaves_is_no_error(numbers: str) -> None:
    argv = command("ask", "--db", numbers, "--format", "csv", "--max-rows", "100000", "Many?")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""
    assert process.returncode in (0, 141)


def test_ctrl_c_ends_with_130_and_one_line(numbers: str) -> None:
    # A shell that starts this in the background has the signal ignored, and children inherit that.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    argv = [sys.executable, "-c", listening + SCRIPTED, "ask", "--db", numbers, "--timeout", "60", "Slow?"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            time.sleep(3)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.decode().strip() == "error: interrupted"
    assert out == b""


def test_an_unexpected_exception_is_one_line_and_debug_shows_where(shop: str) -> None:
    code = SCRIPTED.replace("ScriptedGenerator(script)\n", "1 / 0\n")
    argv = [sys.executable, "-c", code, "ask", "--db", shop, "Who?"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "ZeroDivisionError" in done.stderr
    assert "SQLGEN_DEBUG=1" in done.stderr
    debug = subprocess.run(
        argv, capture_output=True, text=True, env={**os.environ, "SQLGEN_DEBUG": "1"}, check=False
    )
    assert "Traceback" in debug.stderr


def test_module_and_script_are_the_same_command(shop: str, tmp_path: Path) -> None:
    done: Any = subprocess.run(
        [sys.executable, "-m", "sqlgen", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("sqlgen ")
