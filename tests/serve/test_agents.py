"""The MCP server through the SDK's own client: in memory, over HTTP behind the door, and over stdio."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

import sqlgen
from sqlgen.generation.scripted import ScriptedGenerator
from sqlgen.policy import read_policy
from sqlgen.serve.agents import make_server
from sqlgen.serve.app import create_app
from sqlgen.serve.keys import LOCAL
from sqlgen.serve.room import Room
from sqlgen.serve.service import Service
from sqlgen.serve.settings import digest_of, read_serve

Made = Callable[..., Any]
TOOLS = ["ask", "check", "feedback", "run", "search_schema"]


@pytest.fixture
def server(shop: str, generator: ScriptedGenerator, tmp_path: Path) -> Iterator[Any]:
    settings = sqlgen.Settings(home=tmp_path / "home")
    room = Room(1, 4, timeout_s=30)
    with sqlgen.connect(shop, settings=settings, generator=generator) as database:
        service = Service(database, settings)
        yield make_server(lambda: service, lambda: room, caller=LOCAL)
        room.close()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_every_tool_in_memory(server: Any, mode: str) -> None:
    async def walk() -> None:
        async with Client(server, mode=mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert sorted(tools) == TOOLS
            assert all(tool.description and tool.annotations for tool in tools.values())
            assert tools["run"].annotations.read_only_hint is True
            answer = await call(client, "ask", question="How many orders?")
            assert (answer["status"], answer["rows"]) == ("answered", [[4]])
            found = await call(client, "search_schema", question="orders by region", k=1)
            assert found["tables"][0]["name"] == "orders"
            assert (await call(client, "check", sql="DELETE FROM orders"))["verdict"] == "reject"
            ran = await call(client, "run", sql="SELECT id FROM orders ORDER BY id", max_rows=2)
            assert (ran["rows"], ran["truncated"]) == ([[1], [2]], True)
            assert (await call(client, "run", sql="DELETE FROM orders"))["status"] == "rejected"
            said = await call(client, "feedback", answer_id=answer["answer_id"], verdict="right")
            assert said["verdict"] == "right"

    asyncio.run(walk())


def test_bad_arguments_and_errors_are_told_as_errors(server: Any) -> None:
    async def walk() -> None:
        async with Client(server) as client:
            for name, arguments, said in [
                ("ask", {"question": "   "}, "the question is empty"),
                ("feedback", {"answer_id": "0" * 32, "verdict": "right"}, "no answer of yours"),
                ("run", {"sql": "SELECT 1", "max_rows": 0}, "max_rows"),
            ]:
                result = await client.call_tool(name, arguments)
                assert result.is_error, name
                assert said in result.content[0].text

    asyncio.run(walk())


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


def test_over_http_each_key_keeps_its_row_filter(
    shop: str, generator: ScriptedGenerator, policy: Any, tmp_path: Path
) -> None:
    settings = sqlgen.Settings(home=tmp_path / "home", policy=read_policy(policy))
    keys = {
        name: {"hash": digest_of(name), "context": {"region": region}}
        for name, region in (("anna", "EU"), ("bob", "US"))
    }
    opening = partial(sqlgen.connect, shop, settings=settings, generator=generator)
    app = create_app(opening, settings, read_serve({"keys": keys}))

    async def counted(key: str) -> Any:
        http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url="http://localhost",
            headers={"authorization": f"Bearer {key}"},
        )
        async with http, Client(streamable_http_client("http://localhost/mcp", http_client=http)) as client:
            assert sorted(tool.name for tool in (await client.list_tools()).tools) == TOOLS
            ran = await call(client, "run", sql="SELECT COUNT(*) FROM orders WHERE region = 'US' OR 1 = 1")
            answer = await call(client, "ask", question="How many orders?")
            return ran["rows"], answer["rows"]

    async def walk() -> None:
        async with app.router.lifespan_context(app):
            assert await counted("anna") == ([[3]], [[3]])
            assert await counted("bob") == ([[1]], [[1]])
            transport = httpx2.ASGITransport(app=app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
                body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
                assert (await http.post("/mcp", json=body)).status_code == 401

    asyncio.run(walk())


def test_over_stdio_with_the_shipped_model(shop: str, tmp_path: Path) -> None:
    environment = {**os.environ, "SQLGEN_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "sqlgen", "mcp", "--db", shop]
    parameters = StdioServerParameters(
        command=command[0], args=command[1:], env=environment, cwd=str(tmp_path)
    )

    async def walk() -> None:
        async with asyncio.timeout(60), Client(parameters) as client:
            assert sorted(tool.name for tool in (await client.list_tools()).tools) == TOOLS
            answer = await call(client, "ask", question="How many orders are there?")
            assert (answer["status"], answer["rows"]) == ("answered", [[4]])
            assert (await call(client, "run", sql="DROP TABLE orders"))["status"] == "rejected"

    asyncio.run(walk())
