"""Any server that speaks the OpenAI chat completions: vLLM, transformers serve, llama.cpp, Ollama.

The answer is streamed. One deadline holds for a question with all its retries; a watchdog closes the connection at
it, so that a server that stalls, or trickles, holds nobody up. The key comes from ``SQLGEN_API_KEY`` and goes to this
server alone.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from sqlgen.errors import ModelUnavailable, UsageError
from sqlgen.generation.constraint import sql_grammar
from sqlgen.generation.prompt import chat_prompt, sql_of_reply
from sqlgen.types import Candidate, ModelInfo, Question, RetrievedContext

__all__ = ["HttpGenerator"]

_KEY = "SQLGEN_API_KEY"
_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.25
_MAX_TOKENS = 512
_MAX_BYTES = 2**20
_OPTIONS = ("timeout_s", "constrain")
_BROKEN = (OSError, http.client.HTTPException, ValueError)


class _Passing(Exception):
    """A failure that may pass: worth another attempt. ``pause_s`` is what the server asked for."""

    def __init__(self, message: str, pause_s: float = 0.0) -> None:
        super().__init__(message)
        self.pause_s = pause_s


class HttpGenerator:
    """A ``Generator`` behind a server. Safe to share between threads; holds no connection between questions.

    ``url`` is the server's base, with or without ``/v1``. Options: ``timeout_s``, the seconds that one question may
    take (60); ``constrain`` (auto: where the server is vLLM; on; off), which sends the grammar as structured output.
    """

    def __init__(self, url: str, model: str, options: Mapping[str, str] | None = None) -> None:
        chosen = {"timeout_s": "60", "constrain": "auto", **(options or {})}
        for key in chosen:
            if key not in _OPTIONS:
                raise UsageError(f"unknown option {key!r} of http:; known: {', '.join(_OPTIONS)}")
        parts = urlsplit(url)
        try:
            self._timeout_s = float(chosen["timeout_s"])
            self._port = parts.port
        except ValueError:
            raise UsageError(f"http: has a timeout_s or a port that is no number: {url}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise UsageError(f"{parts.hostname or url} is not the address of a server; write http:URL#NAME")
        if not 0 < self._timeout_s <= 3600 or chosen["constrain"] not in ("auto", "on", "off"):
            raise UsageError("http: takes timeout_s above 0 to 3600, and constrain=auto, on or off")
        self._secure, self._host = parts.scheme == "https", parts.hostname
        self._place = f"{parts.scheme}://{parts.netloc}"
        path = parts.path.rstrip("/")
        self._path = path if path.endswith("/v1") else path + "/v1"
        self._constrain: bool | None = {"on": True, "off": False}.get(chosen["constrain"])
        self.info = ModelInfo(model, self._place)

    def count_tokens(self, text: str) -> int:
        """An estimate, as the server's vocabulary is not here: a token for every four letters begun."""
        return -(-len(text) // 4)

    def generate(
        self, question: Question, context: RetrievedContext, *, beams: int = 4
    ) -> tuple[Candidate, ...]:
        """The server's one answer, or nothing where it holds no query. Its log-probability is NaN if unsaid.

        Raises ModelUnavailable when the server is down, refuses, stalls, breaks off or makes no sense.
        """
        if not context.tables:
            return ()
        deadline = time.monotonic() + self._timeout_s
        body: dict[str, Any] = {
            "model": self.info.name,
            "messages": chat_prompt(question, context),
            "temperature": 0,
            "max_tokens": _MAX_TOKENS,
            "stream": True,
            "logprobs": True,
        }
        if self._is_constrained(deadline):
            body["structured_outputs"] = {"grammar": sql_grammar(context, question.dialect)}
        text, logprob, reason = self._persist(lambda: self._complete(body, deadline), deadline)
        sql = sql_of_reply(text)
        if not sql or reason == "length":
            return ()
        return (Candidate(sql, logprob, self.info.name, self.info.version),)

    def _is_constrained(self, deadline: float) -> bool:
        """Whether the server takes a grammar; asked once."""
        if self._constrain is None:
            listed = self._persist(lambda: self._list(deadline), deadline)
            self._constrain = any(isinstance(m, dict) and m.get("owned_by") == "vllm" for m in listed)
        return self._constrain

    def _persist(self, attempt: Any, deadline: float) -> Any:
        """What ``attempt`` returns, tried anew after failures that may pass."""
        pause_s = _FIRST_PAUSE_S
        for last in (False,) * (_ATTEMPTS - 1) + (True,):
            try:
                return attempt()
            except _Passing as error:
                wait_s = max(pause_s * (1 + random.random()), error.pause_s)
                if last or time.monotonic() + wait_s >= deadline:
                    raise ModelUnavailable(f"the model server {self._place} {error}") from error
            time.sleep(wait_s)
            pause_s *= 2

    def _list(self, deadline: float) -> list[Any]:
        """The models that the server names; empty where it does not say."""
        with _Exchange(self, "GET", "/models", None, deadline) as reply:
            if reply.status != 200:
                return []
            document = reply.document()
        listed = document.get("data") if isinstance(document, dict) else None
        return listed if isinstance(listed, list) else []

    def _complete(self, body: Mapping[str, Any], deadline: float) -> tuple[str, float, str]:
        """Text, log-probability (NaN if unsaid) and finish reason of one answer."""
        with _Exchange(self, "POST", "/chat/completions", body, deadline) as reply:
            if reply.status != 200:
                self._refuse(reply)
            if "event-stream" not in reply.kind:
                return _read_whole(reply.document())
            pieces, total, count, reason = [], 0.0, 0, ""
            for event in reply.events():
                choice = _first_choice(event)
                if choice is None:
                    continue
                delta = choice.get("delta")
                content = delta.get("content") if isinstance(delta, dict) else None
                if isinstance(content, str):
                    pieces.append(content)
                added, number = _logprob_of(choice)
                total, count = total + added, count + number
                reason = choice.get("finish_reason") or reason
            if not reason:
                raise _Passing("broke off in the middle of its answer")
        return "".join(pieces), total if count else math.nan, str(reason)

    def _refuse(self, reply: _Exchange) -> None:
        status = reply.status
        if status in (401, 403):
            raise ModelUnavailable(
                f"the model server {self._place} wants another key (status {status}); set {_KEY}"
            )
        said = reply.complaint()
        if status in (408, 409, 425, 429) or status >= 500:
            raise _Passing(f"failed with status {status}{said}", reply.pause_s())
        raise ModelUnavailable(
            f"the model server {self._place} refused the model {self.info.name!r} (status {status}){said}"
        )


class _Exchange:
    """One request and its reply, within a deadline: whatever goes wrong is a _Passing of one line."""

    def __init__(
        self, server: HttpGenerator, method: str, path: str, body: Mapping[str, Any] | None, deadline: float
    ) -> None:
        self._left_s = max(0.001, deadline - time.monotonic())
        self._late = False
        self._socket: socket.socket | None = None
        self._reply: Any = None
        connect = http.client.HTTPSConnection if server._secure else http.client.HTTPConnection
        self._connection = connect(server._host, server._port, timeout=self._left_s)
        self._request = (method, server._path + path, body)
        self._watchdog = threading.Timer(self._left_s, self._break_off)
        self._watchdog.daemon = True

    def __enter__(self) -> _Exchange:
        method, path, body = self._request
        headers = {"Accept": "text/event-stream, application/json", "Content-Type": "application/json"}
        if os.environ.get(_KEY):
            headers["Authorization"] = f"Bearer {os.environ[_KEY]}"
        self._watchdog.start()
        try:
            self._connection.connect()
            # The reply takes the connection's socket over, and the watchdog needs it.
            self._socket = self._connection.sock
            self._connection.request(method, path, None if body is None else json.dumps(body), headers)
            self._reply = self._connection.getresponse()
        except _BROKEN as error:
            self._close()
            raise self._fault(error) from error
        self.status, self.kind = self._reply.status, self._reply.headers.get_content_type()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def document(self) -> Any:
        """The whole reply as JSON."""
        try:
            return json.loads(self._read())
        except (ValueError, RecursionError) as error:
            raise _Passing("answered with something that is not JSON") from error

    def events(self) -> Iterator[Any]:
        """The streamed documents, up to the end mark or the end of the stream."""
        spent = 0
        while True:
            try:
                line = self._reply.readline(_MAX_BYTES)
            except _BROKEN as error:
                raise self._fault(error) from error
            spent += len(line)
            if self._late:
                raise self._fault(TimeoutError())
            if not line:
                return
            if spent > _MAX_BYTES:
                raise _Passing("answered with more than a mebibyte")
            field, _, value = line.partition(b":")
            if field != b"data":
                continue
            if value.strip() == b"[DONE]":
                return
            try:
                yield json.loads(value)
            except (ValueError, RecursionError) as error:
                raise _Passing("streamed something that is not JSON") from error

    def complaint(self) -> str:
        """What the server says went wrong, in a few words."""
        try:
            document = json.loads(self._read())
        except (ValueError, RecursionError, _Passing):
            return ""
        error = document.get("error", document) if isinstance(document, dict) else document
        said = error.get("message", error.get("detail")) if isinstance(error, dict) else error
        return f": {' '.join(said.split())[:160]}" if isinstance(said, str) and said.strip() else ""

    def pause_s(self) -> float:
        """The seconds that the server asks to wait."""
        try:
            return min(3600.0, max(0.0, float(self._reply.headers.get("Retry-After", "0"))))
        except ValueError:
            return 0.0

    def _read(self) -> bytes:
        try:
            raw: bytes = self._reply.read(_MAX_BYTES + 1)
        except _BROKEN as error:
            raise self._fault(error) from error
        if self._late:
            raise self._fault(TimeoutError())
        if len(raw) > _MAX_BYTES:
            raise _Passing("answered with more than a mebibyte")
        return raw

    def _fault(self, error: Exception) -> _Passing:
        if self._late or isinstance(error, TimeoutError):
            return _Passing(f"did not finish within {self._left_s:.3g} s")
        if isinstance(error, ConnectionRefusedError):
            return _Passing("is not there (connection refused); start it, or look at its address")
        if isinstance(error, socket.gaierror):
            return _Passing("has an address that is not known; look at its name, and at the network")
        if isinstance(error, ssl.SSLError):
            return _Passing(f"speaks no TLS that can be trusted ({error.reason})")
        return _Passing(f"broke the connection off ({type(error).__name__})")

    def _break_off(self) -> None:
        self._late = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        self._watchdog.cancel()
        if self._reply is not None:
            self._reply.close()
        self._connection.close()
        if self._socket is not None:
            self._socket.close()


def _first_choice(document: Any) -> dict[str, Any] | None:
    """The first choice of a document; None for one that has none, as the last may."""
    if not isinstance(document, dict):
        raise _Passing("answered with something that is no chat completion")
    if isinstance(document.get("error"), (dict, str)):
        raise _Passing("reported an error in the middle of its answer")
    choices = document.get("choices")
    if not isinstance(choices, list) or (choices and not isinstance(choices[0], dict)):
        raise _Passing("answered with something that is no chat completion")
    return choices[0] if choices else None


def _read_whole(document: Any) -> tuple[str, float, str]:
    """A reply that was not streamed."""
    choice = _first_choice(document)
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict) or not isinstance(message.get("content"), str):
        raise _Passing("answered with something that is no chat completion")
    total, count = _logprob_of(choice)
    return message["content"], total if count else math.nan, str(choice.get("finish_reason") or "stop")


def _logprob_of(choice: Mapping[str, Any]) -> tuple[float, int]:
    """The sum and the number of the log-probabilities that a choice names."""
    logprobs = choice.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(tokens, list):
        return 0.0, 0
    found = [
        t["logprob"] for t in tokens if isinstance(t, dict) and isinstance(t.get("logprob"), (int, float))
    ]
    return float(sum(found)), len(found)
