"""The routes of a server. An error is one line of JSON, {"error": "..."}."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response

from kerasdl.deploy.serving import requests
from kerasdl.deploy.serving.batching import Batcher
from kerasdl.deploy.serving.inputs import Inputs
from kerasdl.deploy.serving.limits import Limits, Refused
from kerasdl.deploy.serving.metrics import Metrics
from kerasdl.deploy.serving.served import Served, cores

PAGE = Path(__file__).with_name("page.html")
SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy":
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' blob: data:; "
        "connect-src 'self'"}
logger = logging.getLogger(__name__)


REQUESTS = {"required": True, "content": {
    "application/json": {"schema": {"type": "object", "minProperties": 1, "maxProperties": 1, "properties": {
        "rows": {"type": "array", "description": "of a table, each an object or a list of values"},
        "texts": {"type": "array", "items": {"type": "string"}},
        "instances": {"type": "array", "description": "nested lists as the model takes them, not rows of a table"}}}},
    "multipart/form-data": {"schema": {"type": "object", "properties": {
        "file": {"type": "array", "items": {"type": "string", "format": "binary"}}}}},
    **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/*", *requests.ENDINGS)}}}
ANSWERS = {"description": "the answers, in the order of the examples", "content": {"application/json": {"schema": {
    "type": "object", "properties": {"predictions": {"type": "array", "items": {"type": "object", "properties": {
        "example": {"type": "string"},
        "answers": {"type": "array", "items": {"type": "object", "properties": {
            "class": {"type": ["string", "null"]}, "value": {"type": ["number", "null"]}}}},
        "chosen": {"type": "array", "items": {"type": "string"}}}}}}}}}}
PREDICT = {
    "summary": "Predict", "operationId": "predict", "requestBody": REQUESTS,
    "description": "Answer for images, rows, texts, series or arrays.",
    "parameters": [{"name": "top", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 3},
                    "description": "how many classes to name"}],
    "responses": {"200": ANSWERS, **{str(code): {"description": HTTPStatus(code).phrase, "content": {
        "application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}}}
        for code in (400, 408, 413, 415, 422, 500, 503, 504)}}}


def build(served: Served, threads: int | None = None, most: int = 32, wait: float = 0.002,
          limits: Limits | None = None, resize: bool = False, unknown: str = "refuse") -> FastAPI:
    """Return the application that answers for an export.

    Args:
        served: the export.
        threads: of the model; None: as many as there are cores.
        most: examples of a batch.
        wait: seconds that a batch waits for requests which are being read.
        limits: what a request may cost.
        resize, unknown: as in Inputs.

    Raises:
        UserError: the file does not run.
    """
    limits, metrics = limits or Limits(), Metrics()
    inputs, call = Inputs(served.run.data, limits, resize, unknown), served.opened(threads or cores())
    pool = ThreadPoolExecutor(cores(), "read")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.batcher = Batcher(call, most, wait, limits.waiting, metrics.batch)
        metrics.waiting.set_function(lambda: app.state.batcher.queued)
        app.state.worker = asyncio.create_task(app.state.batcher.run())
        yield
        app.state.worker.cancel()
        app.state.batcher.close()
        pool.shutdown(cancel_futures=True)

    app = FastAPI(title=f"kerasdl: {served.run.recipe.name}", docs_url=None, redoc_url=None, lifespan=lifespan,
                  redirect_slashes=False,  # to an address without the prefix of a proxy
                  description=f"Answers of {served.run.path.name}, {served.about['format']}.")

    async def predict(request: Request) -> Response:
        batcher, began, top = app.state.batcher, time.perf_counter(), top_of(request)
        body = await requests.body_of(request, limits)
        try:
            async with asyncio.timeout(limits.seconds):
                with batcher.expected():
                    examples = await requests.examples_of(request, body, inputs, pool)
                outputs = await batcher.submit(examples.x)
        except TimeoutError:
            raise Refused(504, f"No answer within {limits.seconds:g} seconds.") from None
        found = [{"example": name, **answer} for name, answer in
                 zip(examples.names, served.answers(outputs, top, examples.words), strict=True)]
        metrics.seconds.observe(time.perf_counter() - began)
        return Response(json.dumps({"predictions": found}), media_type="application/json")

    # Starlette's own route: FastAPI's takes as long for a request as all else here together. See `described`.
    app.add_route("/predict", predict, methods=["POST"])

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """Return what is served, and what a request may hold."""
        return about(served, inputs, limits)

    @app.get("/healthz")
    async def healthz() -> Response:
        """Say whether the model answers: it has answered once, and what gathers its batches runs."""
        if app.state.worker.done():
            raise Refused(503, "The server does not answer any more. Start it again.")
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", response_class=Response)
    async def measured() -> Response:
        """Return counters in the form of Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/report", response_class=HTMLResponse)
    async def report() -> Response:
        """Return the run's report."""
        file = report_of(served)
        if file is None:
            raise Refused(404, "The run has no report.html. Write it with: kerasdl report RUN")
        return HTMLResponse(await asyncio.to_thread(file.read_bytes), headers=SAFE)

    @app.get("/", response_class=HTMLResponse)
    async def page() -> Response:
        """Return a page to try the model."""
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=SAFE)

    add_errors(app)
    app.add_middleware(Counted, metrics=metrics, paths={getattr(route, "path", "") for route in app.routes})
    app.add_middleware(Head)
    app.openapi = described(app)  # type: ignore[method-assign]  # FastAPI's way to extend its schema
    return app


def top_of(request: Request) -> int:
    """Return how many classes to name."""
    text = request.query_params.get("top", "3")
    if not text.isdecimal() or not 1 <= (top := int(text[:9])):
        raise Refused(422, f"top is a whole number from 1. Received: {text[:40]!r}.")
    return top


def described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """Return what describes the application with /predict, whose requests have too many forms for a Python type."""
    own = app.openapi

    def openapi() -> dict[str, Any]:
        found = own()
        found["paths"].setdefault("/predict", {"post": PREDICT})
        return found

    return openapi


def report_of(served: Served) -> Path | None:
    """Return the run's report; None if there is none, or one that leads out of the run's folder.

    A snapshot in Hugging Face's cache has links to `blobs` two folders up.
    """
    home = served.run.path.resolve()
    file, blobs = (home / "report.html").resolve(), home.parent.parent / "blobs"
    inside = file.parent == home or home.parent.name == "snapshots" and file.parent == blobs
    return file if file.is_file() and inside else None


def about(served: Served, inputs: Inputs, limits: Limits) -> dict[str, Any]:
    """Return what a client has to know."""
    facts = served.about
    columns = {name: inputs.facts["columns"].get(name) for name in inputs.columns}
    return {"recipe": facts["recipe"], "objective": facts["objective"], "kind": facts["kind"],
            "format": facts["format"], "quantize": facts["quantize"], "shape": served.shape,
            "input": "a value for each of `columns`" if columns else facts["input"]["is"],
            "classes": facts["classes"], **({"numbers": facts["numbers"]} if facts.get("numbers") else {}),
            "columns": columns,
            "separator": inputs.dialect.separator(served.run.recipe.data), "source": inputs.reading.get("source"),
            "report": report_of(served) is not None,
            "limits": {"megabytes": limits.megabytes, "examples": limits.examples, "megapixels": limits.megapixels,
                       "seconds": limits.seconds}}


def add_errors(app: FastAPI) -> None:
    """Answer every error with one line."""
    def line(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"error": why}, status, headers)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return line(error.status, str(error), error.headers)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        what = {404: f"There is no {request.url.path[:100]} here.",
                405: f"{request.method} is not what {request.url.path[:100]} takes."}
        return line(error.status_code, what.get(error.status_code, str(error.detail)), dict(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return line(400, "The sender closed the connection.")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        logger.warning("%s %s failed: %s: %s", request.method, request.url.path, type(error).__name__, error)
        return line(500, "The server failed on this request. Its log says why.")


class Head:
    """Answer HEAD as GET, where the server leaves the body out."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope | {"method": "GET"} if scope.get("method") == "HEAD" else scope, receive, send)


class Counted:
    """Count the answers by path and status. Middleware of ASGI itself: Starlette's own costs every request a task."""

    def __init__(self, app: Any, metrics: Metrics, paths: Collection[str]):
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"] if scope["path"] in self.paths else "other"  # a label of each would fill memory
                self.metrics.requests.labels(path, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, counted)
