"""The service's URLs: FastAPI over ``Service``. ``create_app`` makes it, ``from_environment`` for worker processes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from sqlgen.config import Settings, load_settings
from sqlgen.errors import (
    ConfigError,
    ConnectionFailed,
    EmptyDatabase,
    IndexUnusable,
    LimitReached,
    ModelUnavailable,
    SqlgenError,
    StoreUnusable,
)
from sqlgen.graphs import use_threads
from sqlgen.pipeline import Database, Reply, connect
from sqlgen.serve import metrics
from sqlgen.serve.door import CALLER, Door, problem
from sqlgen.serve.formats import ARROW, CSV, JSON, arrow_bytes, csv_bytes, wanted_type
from sqlgen.serve.keys import Caller, KeyRing
from sqlgen.serve.page import load_page
from sqlgen.serve.room import Overloaded, Rates, Room, TooSlow
from sqlgen.serve.service import NotFound, Service
from sqlgen.serve.settings import ServeSettings, read_serve

__all__ = ["create_app", "from_environment"]

_log = logging.getLogger("sqlgen.serve")
_KEEP_ALIVE_S = 15.0
_OUT_OF_ORDER = (ConfigError, ConnectionFailed, ModelUnavailable, IndexUnusable, StoreUnusable)
Made = TypeVar("Made")
QuestionText = Annotated[str, Field(min_length=1, max_length=8192, description="In plain words.")]
SqlText = Annotated[str, Field(min_length=1, max_length=60_000, description="One statement, a query.")]
AnswerId = Annotated[str, Field(pattern="^[0-9a-f]{8,64}$", description="From an answer of yours.")]
MaxRows = Annotated[int | None, Field(ge=1, le=1_000_000, description="Fewer rows than the service's limit.")]
TimeoutS = Annotated[
    float | None, Field(gt=0, le=86_400, description="Less time than the service's limit, in seconds.")
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AskBody(_Body):
    """A question, and the answers that it goes on from ("only in Germany"), oldest first.

    Without ``execute`` the answer has SQL and no rows; with ``chart`` a Vega-Lite specification, or null where none fits.
    """

    question: QuestionText
    follows: Annotated[list[AnswerId], Field(max_length=20)] = []
    execute: bool = True
    chart: bool = False
    max_rows: MaxRows = None
    timeout_s: TimeoutS = None


class CheckBody(_Body):
    """SQL to validate."""

    sql: SqlText


class RunBody(_Body):
    """SQL to validate and run."""

    sql: SqlText
    max_rows: MaxRows = None
    timeout_s: TimeoutS = None


class RetrieveBody(_Body):
    """A question, and how many tables to show at most."""

    question: QuestionText
    k: Annotated[int | None, Field(ge=1, le=1000)] = None


class FeedbackBody(_Body):
    """A verdict on an answer, or the right SQL: one of the two."""

    answer_id: AnswerId
    verdict: Literal["right", "wrong"] | None = None
    sql: SqlText | None = None


class Problem(BaseModel):
    """What comes instead of an answer: ``message`` is one line that says what is wrong and what to do."""

    status: Literal["error"] = "error"
    error: str
    message: str


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Not to be understood"},
    401: {"model": Problem, "description": "No key, or nobody's"},
    403: {"model": Problem, "description": "Another origin"},
    404: {"model": Problem, "description": "No such thing"},
    406: {"model": Problem, "description": "No such format"},
    408: {"model": Problem, "description": "Arrived too slowly"},
    413: {"model": Problem, "description": "Too large"},
    415: {"model": Problem, "description": "Not JSON"},
    421: {"model": Problem, "description": "Another host"},
    422: {"model": Problem, "description": "Asked for something that cannot be"},
    429: {"model": Problem, "description": "Too much at once; Retry-After says when to come again"},
    503: {"model": Problem, "description": "Out of order for now"},
    504: {"model": Problem, "description": "Took too long"},
}


def from_environment() -> FastAPI:
    """The service that sqlgen.toml and the environment describe; what each worker process runs."""
    settings = load_settings()
    # The cores are shared by the questions at work; a second thread for one of them costs more than it gives.
    use_threads(1)
    return create_app(partial(connect, settings=settings), settings)


def create_app(
    open_database: Callable[[], Database], settings: Settings, serve: ServeSettings | None = None
) -> FastAPI:
    """The service over the database that ``open_database`` opens when it starts, and closes when it ends.

    ``serve`` defaults to what ``settings`` hold. Raises ConfigError.
    """
    serve = read_serve(settings.serve) if serve is None else serve
    keys = KeyRing(serve.keys, settings.policy_file)
    rates = Rates(settings.home)
    page, page_policy = load_page()
    state = _State(serve)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            state.open(open_database, settings)
            stack.callback(state.close)
            stack.callback(rates.close)
            if agents is not None:
                await stack.enter_async_context(agents.session_manager.run())
            yield
        metrics.forget_process()

    app = FastAPI(
        title="sqlgen",
        description="Questions in plain words to checked, read-only SQL and its answer.",
        version=_version(),
        lifespan=lifespan,
        # The pages of documentation would load scripts from another host.
        docs_url=None,
        redoc_url=None,
        responses=_PROBLEMS,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    agents = _add_agents(app, state)
    app.add_middleware(Door, settings=serve, keys=keys, rates=rates)
    if serve.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(serve.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type"],
        )
    _add_errors(app)

    @app.get("/", include_in_schema=False)
    async def show_page() -> Response:
        return Response(
            page, media_type="text/html; charset=utf-8", headers={"content-security-policy": page_policy}
        )

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Is the process alive? The one URL that needs no key."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Are model, index and database ready to answer?"""
        problem_now = state.readiness()
        if problem_now is None:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "message": problem_now}, 503)

    @app.get("/metrics", response_class=Response)
    async def show_metrics() -> Response:
        """Figures in Prometheus' format, of all worker processes."""
        metrics.inside.set(state.room.inside)
        text = await asyncio.to_thread(metrics.exposition)
        return Response(text, media_type=metrics.CONTENT_TYPE_LATEST)

    @app.post("/ask")
    async def ask(request: Request, body: AskBody) -> Response:
        """Answer a question: as JSON like ``sqlgen ask --format json``, or its rows as CSV or Arrow (Accept)."""
        media = wanted_type(request.headers.get("accept", ""))
        if media is None:
            raise HTTPException(406, f"this answers as {JSON}, {CSV} or {ARROW}")
        work = _asking(state.service, _caller(request), body)
        return await state.room.take(lambda: _rendered(work(), media, body.chart))

    @app.post("/ask/stream", response_class=StreamingResponse)
    async def ask_stream(request: Request, body: AskBody) -> StreamingResponse:
        """Server-sent events: ``stage`` as each begins, then ``answer`` or ``error``, each with a JSON document."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

        def tell(stage: str) -> None:
            loop.call_soon_threadsafe(events.put_nowait, ("stage", {"stage": stage}))

        future = state.room.submit(_asking(state.service, _caller(request), body, tell))
        return StreamingResponse(
            _event_lines(state.room, future, events, body.chart),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    @app.post("/check")
    async def check(request: Request, body: CheckBody) -> dict[str, Any]:
        """May this SQL run? Like ``sqlgen check --format json``."""
        caller = _caller(request)
        return await state.room.take(lambda: state.service.check(caller, body.sql))

    @app.post("/run")
    async def run(request: Request, body: RunBody) -> dict[str, Any]:
        """Check SQL like any other query and, if it passes, run it."""
        caller = _caller(request)
        return await state.room.take(
            lambda: state.service.run(caller, body.sql, max_rows=body.max_rows, timeout_s=body.timeout_s)
        )

    @app.post("/retrieve")
    async def retrieve(request: Request, body: RetrieveBody) -> dict[str, Any]:
        """What retrieval would hand the model. Like ``sqlgen retrieve --format json``."""
        caller = _caller(request)
        return await state.room.take(lambda: state.service.retrieve(caller, body.question, body.k))

    @app.post("/feedback")
    async def feedback(request: Request, body: FeedbackBody) -> dict[str, Any]:
        """Say that one of your answers is right or wrong, or give its right SQL, which is checked first."""
        caller = _caller(request)
        return await state.room.take(
            lambda: state.service.feedback(caller, body.answer_id, verdict=body.verdict, sql=body.sql)
        )

    @app.get("/history")
    async def history(
        request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 50
    ) -> list[dict[str, Any]]:
        """Your own answers, newest first, without their rows."""
        caller = _caller(request)
        return await state.room.take(lambda: state.service.history(caller, limit))

    @app.get("/models")
    async def models(request: Request) -> dict[str, Any]:
        """The adapters of this database, their gate reports, and which one is in force."""
        caller = _caller(request)
        return await state.room.take(lambda: state.service.models(caller))

    @app.get("/schema")
    async def schema(request: Request) -> dict[str, Any]:
        """The tables and columns that you may see."""
        caller = _caller(request)
        return await state.room.take(lambda: state.service.schema(caller))

    @app.get("/knowledge")
    async def knowledge(request: Request) -> list[dict[str, Any]]:
        """Terms, metrics, documents, descriptions and verified queries."""
        caller = _caller(request)
        return await state.room.take(lambda: state.service.knowledge(caller))

    return app


class _State:
    """What lives as long as the service runs."""

    def __init__(self, serve: ServeSettings) -> None:
        self._serve = serve
        self._warming: Future[None] | None = None
        self.room: Room
        self.service: Service

    def open(self, open_database: Callable[[], Database], settings: Settings) -> None:
        serve = self._serve
        self.service = Service(open_database(), settings)
        self.room = Room(serve.running, serve.waiting, timeout_s=serve.answer_timeout_s)
        self._warming = self.room.submit(self.service.warm)

    def close(self) -> None:
        self.room.close()
        self.service.database.close()

    def readiness(self) -> str | None:
        """None when all is ready, else what is missing; what failed is tried once more."""
        warming = self._warming
        if warming is None or not warming.done():
            return "the model, the index and the database are being opened"
        failed = warming.exception()
        if failed is None:
            return None
        self._warming = self.room.submit(self.service.warm)
        _log.error("not ready: %s", failed)
        return str(failed) if isinstance(failed, SqlgenError) else "an unexpected error; see the log"


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


def _asking(
    service: Service, caller: Caller, body: AskBody, on_stage: Callable[[str], None] | None = None
) -> Callable[[], Reply]:
    return lambda: service.ask(
        caller,
        body.question,
        execute=body.execute,
        max_rows=body.max_rows,
        timeout_s=body.timeout_s,
        on_stage=on_stage,
        follows=body.follows,
    )


def _document(reply: Reply, chart: bool) -> dict[str, Any]:
    return {**reply.to_dict(), "chart": reply.chart()} if chart else reply.to_dict()


def _rendered(reply: Reply, media: str, chart: bool) -> Response:
    """The answer as the caller wants it; one without rows is JSON whatever was wanted, with status 422."""
    if media == JSON:
        return JSONResponse(_document(reply, chart))
    if reply.result is None:
        return JSONResponse(reply.to_dict(), 422)
    content = csv_bytes(reply.result) if media == CSV else arrow_bytes(reply.result)
    name = "charset=utf-8; header=present" if media == CSV else ""
    headers = {"x-answer-id": reply.id, "x-truncated": str(reply.result.truncated).lower()}
    return Response(content, media_type=f"{media}; {name}" if name else media, headers=headers)


async def _event_lines(
    room: Room, future: Future[Reply], events: asyncio.Queue[tuple[str, Any]], chart: bool
) -> AsyncIterator[str]:
    async def finish() -> tuple[str, Any]:
        try:
            return "answer", _document(await room.result(future), chart)
        except Exception as error:  # noqa: BLE001  told to the caller in the stream
            return "error", _explained(error)[1]

    ending = asyncio.create_task(finish())
    # Stages are told before the future ends, so nothing of them comes after it.
    ending.add_done_callback(lambda task: None if task.cancelled() else events.put_nowait(task.result()))
    try:
        while True:
            try:
                kind, document = await asyncio.wait_for(events.get(), _KEEP_ALIVE_S)
            except TimeoutError:
                yield ": still at work\n\n"
                continue
            yield f"event: {kind}\ndata: {json.dumps(document)}\n\n"
            if kind != "stage":
                return
    finally:
        ending.cancel()


def _add_errors(app: FastAPI) -> None:
    async def answer_problem(request: Request, error: Exception) -> JSONResponse:
        status, document, headers = _explained(error)
        return JSONResponse(document, status, headers)

    for kind in (SqlgenError, Overloaded, TooSlow, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer_problem)


def _explained(error: Exception) -> tuple[int, dict[str, str], dict[str, str] | None]:
    """Status, document and headers of an error; one that nobody expected tells nothing of itself."""
    kind, message = type(error).__name__, str(error)
    if isinstance(error, Overloaded):
        return 429, problem("TooMany", message), {"retry-after": str(error.retry_after_s)}
    if isinstance(error, TooSlow):
        return 504, problem(kind, message), None
    if isinstance(error, NotFound):
        return 404, problem(kind, message), None
    if isinstance(error, LimitReached):
        return 504 if error.limit == "time" else 422, problem(kind, message), None
    if isinstance(error, SqlgenError):
        status = 503 if isinstance(error, _OUT_OF_ORDER) else 409 if isinstance(error, EmptyDatabase) else 422
        return status, problem(kind, message), None
    if isinstance(error, RequestValidationError):
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        return 422, problem("UsageError", said[:1000]), None
    if isinstance(error, HTTPException):
        kind = {404: "NotFound", 405: "NoSuchMethod"}.get(error.status_code, "Refused")
        return error.status_code, problem(kind, str(error.detail)), dict(error.headers or {}) or None
    _log.error("unexpected %s", kind, exc_info=error)
    return 500, problem("Unexpected", "an unexpected error; the service's log says more"), None


def _add_agents(app: FastAPI, state: _State) -> Any:
    """Put the MCP server under /mcp where its SDK is installed; the server, or None."""
    try:
        from sqlgen.serve.agents import http_routes, make_server
    except ImportError:
        return None
    server = make_server(lambda: state.service, lambda: state.room)
    app.router.routes.extend(http_routes(server))
    return server


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("sqlgen")
    except metadata.PackageNotFoundError:
        return "0"
