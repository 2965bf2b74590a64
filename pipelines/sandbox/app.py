"""The sandbox as an ASGI app and as a server on loopback."""

from __future__ import annotations

import html
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from pipelines.sandbox import admin, ai302, kling, qhaigc, qiniu, qwen
from pipelines.sandbox.faults import Faults, Guard, plain_refusal
from pipelines.sandbox.settings import Books, Settings
from prep.errors import ConfigError

HOST = "127.0.0.1"
"""The sandbox is never served on another address."""


@dataclass(frozen=True)
class VendorApi:
    """One vendor's part of the sandbox."""

    build: Callable[[Settings, Books], APIRouter]
    refusal: Callable[[int, str], Response]
    base_path: str = ""
    """What the vendor's base URL ends in."""


VENDORS: dict[str, VendorApi] = {
    "qhaigc": VendorApi(qhaigc.build, qhaigc.refusal),
    "kling": VendorApi(kling.build, kling.refusal),
    "qiniu": VendorApi(qiniu.build, qiniu.refusal),
    "qwen": VendorApi(qwen.build, qwen.refusal, qwen.BASE),
    "ai302": VendorApi(ai302.build, ai302.refusal),
}
"""Vendor name (also the path it is mounted under) -> its API."""


def create_app(settings: Settings | None = None, books: Books | None = None) -> FastAPI:
    """The app; its `state.books` (the argument, where given) lets a caller in this process look inside."""
    settings, books = settings or Settings(), books or Books()
    app = FastAPI(
        title="voxprep sandbox",
        description="Vendors' voice APIs on loopback. Faults: header X-Sandbox-Fault, POST /_sandbox/faults.",
        redirect_slashes=False,  # a vendor's path is what it is
        docs_url=None,
        redoc_url=None,
    )
    app.state.books = books
    for name, vendor in VENDORS.items():
        app.include_router(vendor.build(settings, books), prefix=f"/{name}", tags=[name])
    app.include_router(admin.build(books), tags=["sandbox"])
    app.add_exception_handler(HTTPException, _no_such_call)
    app.add_exception_handler(RequestValidationError, admin.unreadable)
    app.add_api_route("/docs", lambda: HTMLResponse(docs_page(app)), include_in_schema=False)
    app.add_middleware(Faults, settings=settings, books=books, refusal=refusal_for)
    app.add_middleware(Guard, settings=settings, books=books, refusal=refusal_for)
    return app


def refusal_for(path: str, status: int, message: str) -> Response:
    """A refusal as the vendor of this path words it."""
    vendor = VENDORS.get(path.strip("/").partition("/")[0])
    return vendor.refusal(status, message) if vendor else plain_refusal(status, message)


async def _no_such_call(request: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (400, str(error))
    what = "no such call" if status in (404, 405) else detail
    return refusal_for(request.url.path, status, f"{request.method} {request.url.path}: {what}")


def docs_page(app: FastAPI) -> str:
    """The OpenAPI document as one plain page that needs no network (the usual viewers load from a CDN)."""
    rows = []
    for path, calls in app.openapi()["paths"].items():
        for method, call in calls.items():
            cells = [html.escape(text) for text in (method.upper(), path, call.get("description", ""))]
            cells += [_body_cell(call), html.escape(", ".join(call["responses"]))]
            rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    head = f"<title>{app.title}</title><h1>{app.title}</h1><p>{html.escape(app.description)}</p>"
    link = "<p>OpenAPI: <a href='/openapi.json'>/openapi.json</a></p>"
    names = "<tr><th>method<th>path<th>what it does<th>body<th>statuses</tr>"
    return f"<!doctype html><meta charset=utf-8>{head}{link}<table border=1 cellpadding=6>{names}{table}</table>"


def _body_cell(call: dict[str, Any]) -> str:
    """The body's types, each with its schema folded away; `-` for none."""
    kinds = call.get("requestBody", {}).get("content", {})
    schemas = [(kind, html.escape(json.dumps(media["schema"], indent=1))) for kind, media in kinds.items()]
    return (
        "".join(f"<details><summary>{kind}</summary><pre>{schema}</pre></details>" for kind, schema in schemas) or "-"
    )


@dataclass(frozen=True)
class Running:
    """A sandbox that answers now: `url` without a path, and its books."""

    url: str
    books: Books
    settings: Settings

    def base_url(self, vendor: str) -> str:
        """What VOXPREP_<VENDOR>_BASE_URL is to be."""
        return f"{self.url}/{vendor}{VENDORS[vendor].base_path}"

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
            books.over.set()
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
        access, secret = settings.kling_pair
        say(f"kling also takes tokens signed with the access key {access} and the secret key {secret}")
        say("vendors that only take URLs: rehearse with --hosting ai302")
        uvicorn.Server(_config(create_app(settings, books))).run([listener])


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(app, http="h11", loop="asyncio", log_level="critical", lifespan="off",
                          timeout_graceful_shutdown=1)  # fmt: skip


@contextmanager
def bound(port: int) -> Iterator[socket.socket]:
    """A listening socket on loopback; ConfigError where the port is taken or not to be had."""
    # the protocol is named because asyncio only then sends small answers at once (TCP_NODELAY)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"port {port} on {HOST} cannot be used ({error}); name another with --port") from error
        listener.listen(128)
        yield listener
