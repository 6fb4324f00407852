"""The MCP server: what an agent may do, under the same policy, limits and checks as everybody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from pydantic import Field
from starlette.routing import BaseRoute

from sqlgen.errors import SqlgenError
from sqlgen.serve.door import CALLER
from sqlgen.serve.keys import Caller
from sqlgen.serve.room import Overloaded, Room, TooSlow
from sqlgen.serve.service import Service

__all__ = ["http_routes", "make_server"]

PATH = "/mcp"
_ROWS = 100
_INSTRUCTIONS = (
    "Answers questions about one SQL database. Ask in plain words with `ask`; it writes, checks and runs the SQL. "
    "Look at `confidence` and `warnings` before you use the rows. `search_schema` says which tables and columns a "
    "question is about; `check` says whether SQL may run; `run` runs it if it may. Only reading is possible."
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_LEARNS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
Made = TypeVar("Made")
Sql = Annotated[
    str, Field(description="One statement, a query, in the database's dialect.", max_length=60_000)
]
QuestionText = Annotated[str, Field(description="A question in plain words.", max_length=8192)]
AnswerId = Annotated[str, Field(description="From an answer of yours.", pattern="^[0-9a-f]{8,64}$")]
Rows = Annotated[int, Field(description="Rows at most.", ge=1, le=10_000)]


def make_server(
    service: Callable[[], Service], room: Callable[[], Room], *, caller: Caller | None = None
) -> MCPServer[Any]:
    """The server over a service that may be opened later than this is made.

    All that is asked comes from ``caller``; without one, from whom the door let in with each HTTP request.
    """
    server: MCPServer[Any] = MCPServer("sqlgen", instructions=_INSTRUCTIONS, log_level="WARNING")

    async def worked(work: Callable[[], Made]) -> Made:
        try:
            return await room().take(work)
        except (SqlgenError, Overloaded, TooSlow) as error:
            raise ToolError(str(error)) from None

    def who(context: Context[Any, Any]) -> Caller:
        if caller is not None:
            return caller
        request: Any = context.request_context.request
        found: Caller = request.scope[CALLER]
        return found

    @server.tool(annotations=_READS)
    async def ask(
        question: QuestionText,
        context: Context,
        max_rows: Rows = _ROWS,
        follows: Annotated[
            list[AnswerId],
            Field(description="Answers that the question goes on from, oldest first.", max_length=20),
        ] = [],  # noqa: B006  never changed; the SDK reads the default
    ) -> dict[str, Any]:
        """Answer a question: status, SQL, rows, confidence, warnings, citations, and an answer_id for feedback."""
        asker = who(context)
        return await worked(
            lambda: service().ask(asker, question, max_rows=max_rows, follows=follows).to_dict()
        )

    @server.tool(annotations=_READS)
    async def search_schema(
        question: QuestionText,
        context: Context,
        k: Annotated[int, Field(description="Tables at most.", ge=1, le=50)] = 5,
    ) -> dict[str, Any]:
        """The tables, columns, values, terms and past queries that a question is about, best first."""
        asker = who(context)
        return await worked(lambda: service().retrieve(asker, question, k))

    @server.tool(annotations=_READS)
    async def check(sql: Sql, context: Context) -> dict[str, Any]:
        """Whether SQL may run here, without running it: verdict allow or reject, and the findings."""
        asker = who(context)
        return await worked(lambda: service().check(asker, sql))

    @server.tool(annotations=_READS)
    async def run(sql: Sql, context: Context, max_rows: Rows = _ROWS) -> dict[str, Any]:
        """Check SQL and, if it may run, its rows."""
        asker = who(context)
        return await worked(lambda: service().run(asker, sql, max_rows=max_rows))

    @server.tool(annotations=_LEARNS)
    async def feedback(
        answer_id: AnswerId,
        context: Context,
        verdict: Literal["right", "wrong"] | None = None,
        sql: Sql | None = None,
    ) -> dict[str, Any]:
        """Say that an answer is right or wrong, or give its right SQL; it counts from the next question on."""
        asker = who(context)
        return await worked(lambda: service().feedback(asker, answer_id, verdict=verdict, sql=sql))

    return server


def http_routes(server: MCPServer[Any]) -> Sequence[BaseRoute]:
    """The routes of streamable HTTP, without sessions, so that any worker process may take any request."""
    # The door has looked at host, origin, key and size.
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    return app.routes
