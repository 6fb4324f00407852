"""The service as processes of its own: workers, signals, slow clients."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sqlgen.cli import main
from sqlgen.history import History
from sqlgen.serve.protocol import SharedSocket


@contextmanager
def served(
    shop: str, home: Path, *options: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running service and its URL; ready to answer."""
    command = [sys.executable, "-m", "sqlgen", "serve", "--db", shop, "--port", "0", *options]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
        env={**os.environ, "SQLGEN_HOME": str(home), **environment},
    )
    killer = threading.Timer(120, process.kill)
    killer.start()
    try:
        assert process.stderr is not None
        said = ""
        while (found := re.search(r"http://\S+", said)) is None:
            line = process.stderr.readline()
            assert line, f"the service ended: {said}"
            said += line
        while fetch(found[0] + "/ready")[0] != 200:
            time.sleep(0.1)
        yield process, found[0]
    finally:
        killer.cancel()
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def fetch(url: str, body: dict[str, Any] | None = None) -> tuple[int, str]:
    """Status and text of a response; status 0 where there was none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_two_workers_under_load_lose_no_accepted_question_on_sigterm(shop: str, tmp_path: Path) -> None:
    answers: list[str] = []
    others: set[int] = set()
    with served(shop, tmp_path, "--workers", "2") as (process, url):

        def keep_asking() -> None:
            while True:
                status, text = fetch(f"{url}/ask", {"question": "How many orders are there?"})
                if status != 200:
                    others.add(status)
                    return
                answers.append(json.loads(text)["answer_id"])

        clients = [threading.Thread(target=keep_asking) for _ in range(6)]
        for client in clients:
            client.start()
        while len(answers) < 10:
            time.sleep(0.05)
        counted = fetch(f"{url}/metrics")[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        for client in clients:
            client.join(30)
    history = History(tmp_path)
    kept = {line.id for line in history.lines()}
    history.close()
    # Everything that was worked on reached its client; whoever came later was not let in.
    assert kept == set(answers)
    assert others <= {0, 503}
    total = re.search(r'sqlgen_answers_total\{status="answered"\} (\d+)', counted)
    assert total is not None
    assert int(total[1]) >= 8


def test_of_connections_that_wait_a_worker_takes_one_a_turn() -> None:
    with SharedSocket(socket.create_server(("127.0.0.1", 0))) as listening:
        waiting = [socket.create_connection(listening.getsockname()) for _ in range(2)]
        for client in waiting:
            with client, listening.accept()[0] as taken:
                assert taken.getpeername() == client.getsockname()
            with pytest.raises(BlockingIOError):
                listening.accept()


def test_slow_and_strange_connections_are_closed(shop: str, tmp_path: Path) -> None:
    (tmp_path / "sqlgen.toml").write_text("[serve]\nread_timeout_s = 0.5\nidle_timeout_s = 1\n")
    with served(shop, tmp_path) as (process, url):
        port = int(url.rpartition(":")[2])

        def spoken(*pieces: bytes) -> bytes:
            """What comes back before the connection is closed."""
            with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
                for piece in pieces:
                    connection.sendall(piece)
                received = b""
                while block := connection.recv(65536):
                    received += block
                return received

        assert spoken() == b""
        assert spoken(b"GET /health HTTP/1.1\r\nHost: loc") == b""
        head = b"POST /ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        assert b" 408 " in spoken(head + b"Content-Length: 50\r\n\r\n{")
        assert b" 413 " in spoken(head + b"Content-Length: 99999999\r\n\r\n")
        assert b" 400 " in spoken(b"\x16\x03\x01 hello\r\n\r\n")
        assert b" 400 " in spoken(head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{")
        with suppress(ConnectionError):
            assert b" 400 " in spoken(b"GET /" + b"a" * 3_000_000)
        answered = spoken(
            b"GET /../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert b" 404 " in answered
        assert fetch(f"{url}/health")[0] == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_what_cannot_start_says_why(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def start(*options: str) -> tuple[int, str]:
        code = main(["serve", *options])
        return code, capsys.readouterr().err.splitlines()[-1]

    monkeypatch.setenv("SQLGEN_DB", shop)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = start("--port", str(port))
        assert (code, said) == (
            2,
            f"error: cannot listen at 127.0.0.1 port {port}: Address already in use; give another --port",
        )
    code, said = start("--host", "256.1.1.1")
    assert (code, "give another --host" in said) == (2, True)
    (tmp_path / "sqlgen.toml").write_text("[serve]\nwating = 3\n")
    assert start() == (2, "error: unknown setting 'wating' in [serve]; nearest: 'waiting'")
    monkeypatch.setenv("SQLGEN_DB", f"sqlite:///{tmp_path}/absent.db")
    (tmp_path / "sqlgen.toml").unlink()
    code, said = start()
    assert (code, "absent.db" in said) == (5, True)
