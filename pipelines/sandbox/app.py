"""The sandbox as an ASGI app and as a server on loopback."""

from __future__ import annotations

import html
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from pipelines.sandbox import qhaigc
from pipelines.sandbox.faults import Faults, Guard, plain_refusal
from pipelines.sandbox.settings import Books, Fault, PlannedFault, Settings
from prep.errors import ConfigError

HOST = "127.0.0.1"
"""The sandbox is never served on another address."""


@dataclass(frozen=True)
class VendorApi:
    """One vendor's part of the sandbox."""

    build: Callable[[Settings, Books], APIRouter]
    refusal: Callable[[int, str], Response]


VENDORS: dict[str, VendorApi] = {"qhaigc": VendorApi(qhaigc.build, qhaigc.refusal)}
"""Vendor name (also the path it is mounted under) -> its API."""


class FaultWish(BaseModel):
    """Body of `POST /_sandbox/faults`: the next `times` calls of `method` below `path` go wrong."""

    model_config = ConfigDict(extra="forbid")

    fault: Fault
    path: str = "/"
    method: str = "*"
    times: int = Field(default=1, ge=1, le=1000)


def create_app(settings: Settings | None = None, books: Books | None = None) -> FastAPI:
    """The app; its `state.books` (the argument, where given) lets a caller in this process look inside."""
    settings, books = settings or Settings(), books or Books()
    app = FastAPI(
        title="voxprep sandbox",
        description="Vendors' voice APIs on loopback. Faults: header X-Sandbox-Fault, POST /_sandbox/faults.",
        docs_url=None,
        redoc_url=None,
    )
    app.state.books = books
    for name, vendor in VENDORS.items():
        app.include_router(vendor.build(settings, books), prefix=f"/{name}", tags=[name])
    app.include_router(_admin(books), tags=["sandbox"])
    app.add_exception_handler(HTTPException, _no_such_call)
    app.add_api_route("/docs", lambda: HTMLResponse(docs_page(app)), include_in_schema=False)
    app.add_middleware(Faults, settings=settings, books=books, refusal=refusal_for)
    app.add_middleware(Guard, settings=settings, refusal=refusal_for)
    return app


def refusal_for(path: str, status: int, message: str) -> Response:
    """A refusal as the vendor of this path words it."""
    vendor = VENDORS.get(path.strip("/").partition("/")[0])
    return vendor.refusal(status, message) if vendor else plain_refusal(status, message)


async def _no_such_call(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    return refusal_for(request.url.path, status, f"{request.method} {request.url.path}: no such call")


def _admin(books: Books) -> APIRouter:
    router = APIRouter(prefix="/_sandbox")

    @router.post("/faults")
    async def plan_fault(wish: FaultWish) -> Response:
        """Let coming calls go wrong."""
        books.plan(PlannedFault(wish.fault, wish.path, wish.method, wish.times))
        return JSONResponse({"planned": wish.model_dump()})

    @router.post("/reset")
    async def reset() -> Response:
        """Forget voices, counts and faults."""
        books.reset()
        return JSONResponse({"reset": True})

    @router.get("/state")
    async def state() -> Response:
        """What the sandbox holds: voices by vendor, calls by path."""
        voices = {vendor: sorted(store) for vendor, store in books.stores.items()}
        return JSONResponse({"voices": voices, "calls": dict(books.calls)})

    return router


def docs_page(app: FastAPI) -> str:
    """The OpenAPI document as one plain page that needs no network (the usual viewers load from a CDN)."""
    rows = []
    for path, calls in app.openapi()["paths"].items():
        for method, call in calls.items():
            body = ", ".join(call.get("requestBody", {}).get("content", {})) or "-"
            cells = (method.upper(), path, call.get("description", ""), body)
            rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    head = f"<title>{app.title}</title><h1>{app.title}</h1><p>{html.escape(app.description)}</p>"
    link = "<p>OpenAPI: <a href='/openapi.json'>/openapi.json</a></p>"
    return f"<!doctype html><meta charset=utf-8>{head}{link}<table border=1 cellpadding=6>{table}</table>"


@dataclass(frozen=True)
class Running:
    """A sandbox that answers now: `url` without a path, and its books."""

    url: str
    books: Books
    settings: Settings

    def base_url(self, vendor: str) -> str:
        """What VOXPREP_<VENDOR>_BASE_URL is to be."""
        return f"{self.url}/{vendor}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point voxprep at this sandbox."""
        return {
            f"VOXPREP_{vendor.upper()}_{name}": value
            for vendor in VENDORS
            for name, value in (("BASE_URL", self.base_url(vendor)), ("API_KEY", self.settings.keys[0]))
        }


@contextmanager
def running(settings: Settings | None = None, port: int = 0) -> Iterator[Running]:
    """Serve in a thread of this process while the body runs; port 0 takes a free one.

    Raises:
        ConfigError: the port is taken.
    """
    settings, books = settings or Settings(), Books()
    with bound(port) as listener:
        server = uvicorn.Server(_config(create_app(settings, books)))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        try:
            yield Running(f"http://{HOST}:{listener.getsockname()[1]}", books, settings)
        finally:
            server.should_exit = True
            thread.join()


def serve(port: int = 8765, settings: Settings | None = None, say: Callable[[str], None] | None = None) -> None:
    """Serve until Ctrl-C; first says (prints, at once) the environment to use, one `export` line per vendor.

    Raises:
        ConfigError: the port is taken.
    """
    settings, books, say = settings or Settings(), Books(), say or partial(print, flush=True)
    with bound(port) as listener:
        here = Running(f"http://{HOST}:{listener.getsockname()[1]}", books, settings)
        say(f"sandbox on {here.url} (documentation: {here.url}/docs); voices are forgotten when it ends")
        for vendor in VENDORS:
            prefix = f"VOXPREP_{vendor.upper()}_"
            pairs = [f"{name}={value}" for name, value in here.environment.items() if name.startswith(prefix)]
            say("export " + " ".join(pairs))
        uvicorn.Server(_config(create_app(settings, books))).run([listener])


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(app, http="h11", loop="asyncio", log_level="critical", lifespan="off",
                          timeout_graceful_shutdown=1)  # fmt: skip


@contextmanager
def bound(port: int) -> Iterator[socket.socket]:
    """A listening socket on loopback; ConfigError where the port is taken or not to be had."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"port {port} on {HOST} cannot be used ({error}); name another with --port") from error
        listener.listen(128)
        yield listener
