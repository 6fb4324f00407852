"""What is refused before it costs anything: too much, too large, too slow, from elsewhere."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from sqlgen.generation.scripted import ScriptedGenerator
from sqlgen.serve.door import Door
from sqlgen.serve.keys import KeyRing
from sqlgen.serve.room import Overloaded, Rates, Room, TooSlow
from sqlgen.serve.settings import ServeSettings, digest_of

Open = Callable[..., Any]


# --- room and rates ---------------------------------------------------------------------------------------


@pytest.fixture
def small_room() -> Iterator[Room]:
    room = Room(1, 1, timeout_s=0.3)
    yield room
    room.close()


def test_one_more_than_there_is_room_for_is_refused_at_once(small_room: Room) -> None:
    release = threading.Event()
    running, waiting = (small_room.submit(lambda: release.wait(10)) for _ in range(2))
    began = time.perf_counter()
    with pytest.raises(Overloaded) as refused:
        small_room.submit(lambda: None)
    assert time.perf_counter() - began < 0.1
    assert refused.value.retry_after_s >= 1
    release.set()
    assert (running.result(5), waiting.result(5)) == (True, True)
    assert small_room.submit(lambda: 7).result(5) == 7
    assert small_room.inside == 0


def test_what_waits_too_long_never_begins(small_room: Room) -> None:
    release = threading.Event()
    began: list[str] = []
    small_room.submit(lambda: release.wait(10))
    with pytest.raises(TooSlow, match=r"0\.3 s"):
        asyncio.run(small_room.take(lambda: began.append("late")))
    release.set()
    small_room.close()
    assert began == []
    assert small_room.inside == 0


def test_work_that_fails_gives_its_place_back(small_room: Room) -> None:
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            small_room.submit(lambda: 1 / 0).result(5)
    assert small_room.inside == 0


def test_a_rate_is_shared_by_all_who_open_the_file(tmp_path: Path) -> None:
    one, other = Rates(tmp_path), Rates(tmp_path)
    for rates in (one, other, one):
        rates.take("anna", 3, now=1000.0)
    with pytest.raises(Overloaded, match="3 requests") as refused:
        other.take("anna", 3, now=1000.0)
    assert refused.value.retry_after_s == 21
    other.take("bob", 3, now=1000.0)
    other.take("anna", 3, now=1020.5)
    with pytest.raises(Overloaded):
        one.take("anna", 3, now=1020.6)
    one.close()
    other.close()


# --- the service -------------------------------------------------------------------------------------------


class Blocking(ScriptedGenerator):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__({"How many orders?": ["SELECT COUNT(*) FROM orders"]})
        self.release = threading.Event()
        self.began = threading.Semaphore(0)

    def generate(self, *arguments: Any, **options: Any) -> Any:
        self.began.release()
        assert self.release.wait(20)
        return super().generate(*arguments, **options)


class TestOverload:
    @pytest.fixture
    def generator(self) -> Blocking:
        return Blocking()

    def test_a_full_house_says_so_at_once_and_loses_nobody(self, opened: Open, generator: Blocking) -> None:
        body = {"question": "How many orders?"}
        with opened({"running": 1, "waiting": 2}) as client, ThreadPoolExecutor(3) as pool:
            while client.get("/ready").status_code != 200:
                time.sleep(0.01)
            accepted = [pool.submit(client.post, "/ask", json=body)]
            assert generator.began.acquire(timeout=10)
            accepted += [pool.submit(client.post, "/ask", json=body) for _ in range(2)]
            while "sqlgen_inside 3.0" not in client.get("/metrics").text:
                time.sleep(0.01)
            for url in ("/ask", "/ask/stream"):
                began = time.perf_counter()
                refused = client.post(url, json=body)
                assert time.perf_counter() - began < 1
                assert (refused.status_code, refused.json()["error"]) == (429, "TooMany")
                assert int(refused.headers["retry-after"]) >= 1
            assert client.get("/health").status_code == 200
            generator.release.set()
            assert [a.result(20).json()["rows"] for a in accepted] == [[[4]]] * 3

    def test_an_answer_that_takes_too_long_is_given_up(self, opened: Open, generator: Blocking) -> None:
        with opened({"answer_timeout_s": 0.2}) as client:
            late = client.post("/ask", json={"question": "How many orders?"})
            assert (late.status_code, late.json()["error"]) == (504, "TooSlow")
            generator.release.set()


def test_each_key_has_its_own_rate(opened: Open) -> None:
    keys = {name: {"hash": digest_of(name)} for name in ("anna", "bob")}
    keys["bob"] = {**keys["bob"], "rate_per_minute": 1}  # type: ignore[dict-item]
    with opened({"rate_per_minute": 3, "keys": keys}) as client:

        def statuses(key: str, count: int) -> list[int]:
            headers = {"authorization": f"Bearer {key}"}
            return [client.get("/models", headers=headers).status_code for _ in range(count)]

        assert statuses("anna", 4) == [200, 200, 200, 429]
        assert statuses("bob", 2) == [200, 429]
        refused = client.get("/models", headers={"authorization": "Bearer anna"})
        assert 1 <= int(refused.headers["retry-after"]) <= 21


def test_malformed_oversized_and_strange_requests(opened: Open) -> None:
    json_type = {"content-type": "application/json"}
    with opened({"max_body_bytes": 1000}) as client:
        large = client.post("/ask", content=b'{"question": "' + b"x" * 1000 + b'"}', headers=json_type)
        assert (large.status_code, large.json()["error"]) == (413, "TooLarge")
        pieces = client.post("/ask", content=iter([b"x" * 600, b"x" * 600]), headers=json_type)
        assert pieces.status_code == 413
        for content in (
            b"{",
            b"[]",
            b'{"question": 7}',
            b'{"question": ""}',
            b'{"other": "x"}',
            b"\xff\xfe",
            b"NaN",
        ):
            bad = client.post("/ask", content=content, headers=json_type)
            assert (bad.status_code, bad.json()["status"]) == (422, "error"), content
        assert client.post("/ask", json={"question": "a\x00b"}).status_code == 422
        assert (
            client.post("/ask", content=b"question=x", headers={"content-type": "text/plain"}).status_code
            == 415
        )
        assert client.post("/ask", data={"question": "x"}).status_code == 415
        for url in (
            "/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/static/../page.html",
            "/page.html",
            "/sqlgen.toml",
        ):
            assert client.get(url).status_code == 404, url
        assert client.request("TRACE", "/ask").status_code == 405
        assert client.get("/history?limit=0").status_code == 422
        assert client.get("/history?limit=x").status_code == 422


def test_pages_of_other_origins_and_names_are_refused(opened: Open) -> None:
    with opened() as client:
        for origin in (
            "https://evil.example",
            "null",
            "http://localhost:81",
            "http://localhost.evil.example",
        ):
            assert client.get("/history", headers={"origin": origin}).status_code == 403, origin
        own = client.get("/history", headers={"origin": "http://localhost"})
        assert own.status_code == 200
        assert "access-control-allow-origin" not in own.headers
        # a name that a foreign page lets point here
        assert client.get("/history", headers={"host": "evil.example"}).status_code == 421
        assert client.get("/history", headers={"host": "127.0.0.1:8000"}).status_code == 200
        assert client.get("/history", headers={"host": "[::1]:8000"}).status_code == 200


def test_listed_hosts_and_origins_are_served(opened: Open) -> None:
    serve = {"hosts": ["bi.example"], "cors_origins": ["https://pages.example"]}
    with opened(serve) as client:
        assert client.get("/history", headers={"host": "bi.example"}).status_code == 200
        assert client.get("/history", headers={"host": "127.0.0.1"}).status_code == 421
        allowed = client.get("/history", headers={"host": "bi.example", "origin": "https://pages.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://pages.example"


def test_a_body_that_trickles_is_given_up(tmp_path: Path) -> None:
    settings = ServeSettings(read_timeout_s=0.1)
    sent: list[Message] = []

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("nothing of it may reach the service")

    async def trickle() -> Message:
        await asyncio.sleep(0.03)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/ask", "headers": headers}
    door = Door(never, settings=settings, keys=KeyRing(()), rates=Rates(tmp_path))
    asyncio.run(door(scope, trickle, send))
    assert sent[0]["status"] == 408


def test_an_error_that_nobody_expected_tells_nothing_of_itself(
    opened: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import sqlgen

    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("secret of the house")

    with opened() as client:
        monkeypatch.setattr(sqlgen.Database, "check", fail)
        response = client.post("/check", json={"sql": "SELECT 1"})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "secret of the house" in caplog.text
    assert isinstance(client, TestClient)
