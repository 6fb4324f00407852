"""The client of model servers, against a server that does all that servers should not."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

import sqlgen
from sqlgen.cli import main
from sqlgen.config import Settings
from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.generation import load_generator
from sqlgen.generation.http import HttpGenerator
from sqlgen.types import Column, Question, RetrievedContext, Table, TableSlice

ORDERS = Table("orders", (Column("id", "INTEGER", "number"), Column("city", "TEXT", "text")))
CONTEXT = RetrievedContext((TableSlice(ORDERS, 1.0, ""),))
QUESTION = Question("How many orders?", "sqlite")
SQL = "SELECT COUNT(*) FROM orders"
SECRET = "sk-do-not-tell"


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the behaviour of its server; keeps what it was asked."""

    server: Any

    def do_GET(self) -> None:
        self.reply(self.server.models)

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append((self.body, dict(self.headers)))
            number = len(self.server.asked)
        self.server.behaviour(self, number)

    def reply(self, document: Any, status: int = 200, **headers: str) -> None:
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def event(self, **choice: Any) -> None:
        self.wfile.write(b"data: " + json.dumps({"choices": [{"index": 0, **choice}]}).encode() + b"\n\n")
        self.wfile.flush()

    def answer(self, text: str = SQL, logprob: float | None = -0.25) -> None:
        self.begin_stream()
        half = len(text) // 2
        for piece in (text[:half], text[half:]):
            logprobs = None if logprob is None else {"content": [{"token": piece, "logprob": logprob}]}
            self.event(delta={"content": piece}, logprobs=logprobs, finish_reason=None)
        self.event(delta={}, finish_reason="stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.behaviour: Callable[[Handler, int], None] = lambda handler, _: handler.answer()
        self.models: Any = {"data": [{"id": "tiny", "owned_by": "somebody"}]}
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what some of these tests are about."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


def ask(server: Server, **options: str) -> Any:
    return HttpGenerator(server.url, "tiny", options).generate(QUESTION, CONTEXT)


def test_an_answer_is_streamed_with_its_log_probability(server: Server) -> None:
    generator = load_generator(f"http:{server.url}/v1#tiny")
    (candidate,) = generator.generate(QUESTION, CONTEXT)
    assert (candidate.sql, candidate.logprob, candidate.model) == (SQL, -0.5, "tiny")
    body, _ = server.asked[0]
    assert body["temperature"] == 0
    assert "(city:TEXT)" in body["messages"][-1]["content"]
    assert "structured_outputs" not in body


def test_a_server_that_does_not_stream_or_tell_probabilities_is_understood(server: Server) -> None:
    message = {"message": {"content": f"```sql\n{SQL};\n```"}, "finish_reason": "stop"}
    server.behaviour = lambda handler, _: handler.reply({"choices": [message]})
    (candidate,) = ask(server)
    assert candidate.sql == SQL
    assert math.isnan(candidate.logprob)


def test_prose_instead_of_a_query_is_no_candidate(server: Server) -> None:
    server.behaviour = lambda handler, _: handler.answer("I am afraid I cannot help with that.")
    assert ask(server) == ()


def test_vllm_is_sent_the_grammar(server: Server) -> None:
    server.models = {"data": [{"id": "tiny", "owned_by": "vllm"}]}
    ask(server)
    grammar = server.asked[0][0]["structured_outputs"]["grammar"]
    assert '"city"' in grammar


def test_the_key_goes_to_the_server_and_into_no_message(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SQLGEN_API_KEY", SECRET)
    ask(server)
    assert server.asked[0][1]["Authorization"] == f"Bearer {SECRET}"
    server.behaviour = lambda handler, _: handler.reply({"error": {"message": f"bad key {SECRET}"}}, 401)
    with pytest.raises(ModelUnavailable, match="SQLGEN_API_KEY") as caught:
        ask(server)
    assert SECRET not in str(caught.value) + caplog.text + repr(Settings(model=f"http:{server.url}#tiny"))


def stall(handler: Handler, _: int) -> None:
    handler.server.released.wait(20)


def stall_in_stream(handler: Handler, _: int) -> None:
    handler.begin_stream()
    handler.event(delta={"content": "SELECT"})
    handler.server.released.wait(20)


def trickle(handler: Handler, _: int) -> None:
    handler.begin_stream()
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b"d")
        handler.wfile.flush()


@pytest.mark.parametrize("behaviour", [stall, stall_in_stream, trickle])
def test_a_server_that_stalls_is_given_up_at_the_deadline(
    server: Server, behaviour: Callable[[Handler, int], None]
) -> None:
    server.behaviour = behaviour
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"did not finish within 0\.[45]"):
        ask(server, timeout_s="0.5")
    assert time.monotonic() - began < 3


def cut_off(handler: Handler, _: int) -> None:
    handler.begin_stream()
    handler.event(delta={"content": "SELECT COUNT(*) FROM"})
    handler.close_connection = True


def no_json(handler: Handler, _: int) -> None:
    handler.reply(b"<html>It works!</html>")


def other_json(handler: Handler, _: int) -> None:
    handler.reply({"choices": "none"})


def torn_event(handler: Handler, _: int) -> None:
    handler.begin_stream()
    handler.wfile.write(b"data: {nonsense\n\n")


def error_in_stream(handler: Handler, _: int) -> None:
    handler.begin_stream()
    handler.wfile.write(b'data: {"error": {"message": "CUDA out of memory"}}\n\n')


def no_http(handler: Handler, _: int) -> None:
    handler.wfile.write(b"220 mail.example.com ESMTP\r\n\r\n")


def endless(handler: Handler, _: int) -> None:
    handler.begin_stream()
    for _ in range(40):
        handler.event(delta={"content": "x" * 50_000})


def busy(handler: Handler, _: int) -> None:
    handler.reply({"error": {"message": "too\nmany requests"}}, 429)


def unknown_model(handler: Handler, _: int) -> None:
    handler.reply({"error": {"message": "no such model"}}, 404)


@pytest.mark.parametrize(
    ("behaviour", "said", "attempts"),
    [
        (cut_off, "in the middle", 3),
        (no_json, "not JSON", 3),
        (other_json, "no chat completion", 3),
        (torn_event, "not JSON", 3),
        (error_in_stream, "reported an error", 3),
        (no_http, "broke the connection off", 3),
        (endless, "mebibyte", 3),
        (busy, "status 429: too many requests", 3),
        (unknown_model, "refused the model 'tiny'.*no such model", 1),
    ],
)
def test_each_failure_is_one_line(
    server: Server,
    behaviour: Callable[[Handler, int], None],
    said: str,
    attempts: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sqlgen.generation.http._FIRST_PAUSE_S", 0.01)
    server.behaviour = behaviour
    with pytest.raises(ModelUnavailable, match=said) as caught:
        ask(server)
    assert "\n" not in str(caught.value)
    assert len(server.asked) == attempts


def test_a_failure_that_passes_is_tried_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlgen.generation.http._FIRST_PAUSE_S", 0.01)

    def recover(handler: Handler, number: int) -> None:
        if number == 1:
            handler.reply({}, 503, Retry_After="0.2")
        elif number == 2:
            cut_off(handler, number)
        else:
            handler.answer()

    server.behaviour = recover
    began = time.monotonic()
    assert ask(server)[0].sql == SQL
    assert time.monotonic() - began >= 0.2
    assert len(server.asked) == 3


def test_a_server_that_is_down_ends_the_command_with_7(
    tmp_path: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sqlgen.generation.http._FIRST_PAUSE_S", 0.01)
    schema = tmp_path / "schema.sql"
    schema.write_text("CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT);")
    model = "http:http://127.0.0.1:9#tiny"
    assert main(["ask", "--schema-file", str(schema), "--model", model, "How many orders?"]) == 7
    message = capsys.readouterr().err.strip()
    assert "connection refused" in message
    assert message.count("\n") == 0


def test_a_question_goes_all_the_way(server: Server, tmp_path: Any) -> None:
    schema = tmp_path / "schema.sql"
    schema.write_text("CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT);")
    settings = Settings(model=f"http:{server.url}#tiny", home=tmp_path)
    with sqlgen.connect(schema_file=schema, settings=settings) as db:
        reply = db.ask("How many orders?")
    assert (reply.status, reply.sql, reply.model.name) == ("answered", SQL, "tiny")
    assert reply.confidence == pytest.approx(math.exp(-0.5))


def test_many_questions_at_once_keep_their_order_and_cost_little(server: Server) -> None:
    def count(handler: Handler, _: int) -> None:
        number = handler.body["messages"][-1]["content"].rsplit("number ", 1)[1].split()[0]
        handler.answer(f"SELECT {number} FROM orders")

    server.behaviour = count
    generator = HttpGenerator(server.url, "tiny")
    found: dict[int, str] = {}

    def one(n: int) -> None:
        (candidate,) = generator.generate(Question(f"number {n}", "sqlite"), CONTEXT)
        found[n] = candidate.sql

    threads = [threading.Thread(target=one, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {n: f"SELECT {n} FROM orders" for n in range(64)}


@pytest.mark.parametrize(
    "name",
    ["http:localhost:8000#m", "http:http://h:8000", "http:http://h:x#m", "http:http://me:pw@h#m",
     "http:http://h#m?timeout_s=0", "http:http://h#m?timeout=3", "http:http://h#m?constrain=maybe"],
)  # fmt: skip
def test_a_name_of_a_wrong_form_is_wrong_usage(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_generator(name)
    assert "pw" not in str(caught.value)


@pytest.mark.benchmark(timer=time.thread_time)
def test_what_the_client_itself_costs(server: Server, benchmark: Any) -> None:
    """Processor time of the asking thread, from the question to its candidate."""
    generator = HttpGenerator(server.url, "tiny")
    (candidate,) = benchmark(generator.generate, QUESTION, CONTEXT)
    assert candidate.sql == SQL
