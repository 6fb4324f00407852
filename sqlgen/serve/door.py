"""The door: what every request passes before anything of it is read or answered.

It asks for the right host, for a key, for a place in the key's rate, and for a body that is small and arrives
in time; it puts the headers on every response that keep a browser from doing more than it should.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sqlgen.errors import SqlgenError
from sqlgen.serve import metrics
from sqlgen.serve.keys import LOCAL, Caller, KeyRing, presented_key
from sqlgen.serve.room import Overloaded, Rates
from sqlgen.serve.settings import ServeSettings

__all__ = ["CALLER", "OPEN_PATH", "Door", "Refused", "problem"]

CALLER = "sqlgen.caller"
OPEN_PATH = "/health"
_log = logging.getLogger("sqlgen.serve")
_WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}
_NOTHING_RUNS = "default-src 'none'; frame-ancestors 'none'"


class Refused(Exception):
    """A request that the door turns away, with the status and the headers of the response."""

    def __init__(self, status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.headers = headers or {}


def problem(kind: str, message: str) -> dict[str, str]:
    """The document of everything that is no answer: what kind of error, and one line that says what to do."""
    return {"status": "error", "error": kind, "message": message}


class Door:
    """ASGI middleware around the whole service. ``keys`` and ``rates`` are shared by all of its requests."""

    def __init__(self, app: ASGIApp, *, settings: ServeSettings, keys: KeyRing, rates: Rates) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The service speaks HTTP alone; the lifespan has no caller.
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message["headers"])
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", _NOTHING_RUNS)
            await send(message)

        try:
            scope[CALLER] = await self._let_in(scope)
            receive = await self._whole_body(scope, receive)
        except Refused as refused:
            await _respond(send_marked, refused)
        else:
            await self._app(scope, receive, send_marked)
        finally:
            route = getattr(scope.get("route"), "path", "(other)")
            metrics.count_request(route, scope["method"], status, time.perf_counter() - began)

    async def _let_in(self, scope: Scope) -> Caller:
        if scope["path"] == OPEN_PATH:
            return LOCAL
        headers = Headers(scope=scope)
        self._check_host(headers)
        self._check_origin(headers)
        try:
            # A file is looked at, and perhaps read.
            caller = self._keys.find(presented_key(headers.get("authorization", "")))
            if caller is None:
                raise Refused(
                    401,
                    "KeyNeeded",
                    "this service answers holders of a key: send Authorization: Bearer KEY",
                    {
                        "www-authenticate": 'Basic realm="sqlgen: any name, the key as password", charset="UTF-8"'
                    },
                )
            rate = caller.rate_per_minute or self._settings.rate_per_minute
            if rate is not None:
                await asyncio.to_thread(self._rates.take, caller.name, rate)
        except Overloaded as full:
            raise Refused(429, "TooMany", str(full), {"retry-after": str(full.retry_after_s)}) from None
        except SqlgenError as error:
            _log.error("%s", error)
            raise Refused(
                503, type(error).__name__, "the service cannot tell who asks; see its log"
            ) from None
        return caller

    def _check_host(self, headers: Headers) -> None:
        """Without keys a page of another site could ask under a name of its own that it lets point here."""
        name = _host_name(headers.get("host", ""))
        listed = self._settings.hosts
        if name in listed:
            return
        if listed or (self._keys.is_open and name != "localhost" and not _is_address(name)):
            raise Refused(421, "WrongHost", f"this service is not {name!r}; add it to hosts under [serve]")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or origin in self._settings.cors_origins:
            return
        if urlsplit(origin).netloc != headers.get("host", ""):
            raise Refused(
                403, "WrongOrigin", "pages of another origin may not call this service (cors_origins)"
            )

    async def _whole_body(self, scope: Scope, receive: Receive) -> Receive:
        """The body read to its end, within its limits, and handed on in one piece."""
        if scope["method"] not in _WITH_BODY:
            return receive
        headers, most = Headers(scope=scope), self._settings.max_body_bytes
        too_large = Refused(
            413, "TooLarge", f"the request has more than {most:,} bytes", {"connection": "close"}
        )
        if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.read_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Refused(400, "Gone", "the request ended before its body did")
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise Refused(
                408,
                "TooSlow",
                f"the request did not arrive within {self._settings.read_timeout_s:g} s",
                {"connection": "close"},
            ) from None
        if body and headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "NotJson", "send JSON, with content-type: application/json")
        is_read = False

        async def replay() -> MutableMapping[str, Any]:
            nonlocal is_read
            if is_read:
                return await receive()
            is_read = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        return replay


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    return host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _respond(send: Send, refused: Refused) -> None:
    body = json.dumps(problem(refused.kind, str(refused))).encode("ascii")
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **refused.headers,
    }
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
