"""The sandbox's outer layers: which hosts it answers, how much it reads, and what goes wrong on request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from pipelines.sandbox.settings import FAULTS, Books, Recorded, Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Refusal = Callable[[str, int, str], Response]
"""(path, status, message) -> the refusal as the vendor of that path words it."""

HEADER = "x-sandbox-fault"
N_PARTS = 10
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


class Guard:
    """ASGI layer: answers loopback names only (no web page reaches it by DNS), reads a bounded body, records it."""

    def __init__(self, app: App, settings: Settings, books: Books, refusal: Refusal) -> None:
        self._app = app
        self._books = books
        self._most = settings.max_body_bytes
        self._refusal = refusal

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Refuse a foreign host (400) or a body that is too large (413), else pass the call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")
        if not is_loopback(host):
            refused = self._refusal(scope["path"], 400, f"host {host!r} is not this machine's loopback")
            await refused(scope, receive, send)
            return
        body = await read_body(receive, self._most)
        if body is None:
            refused = self._refusal(scope["path"], 413, f"the request is larger than {self._most} bytes")
            await refused(scope, receive, send)
            return
        if not scope["path"].startswith("/_sandbox"):
            self._books.record(recorded(scope, body))
        await self._app(scope, replay(body, receive), send)


def recorded(scope: Message, body: bytes) -> Recorded:
    """The request as the books keep it: the key blotted out."""
    headers = {name: "***" if name == "authorization" else value for name, value in Headers(scope=scope).items()}
    query = scope.get("query_string", b"").decode("latin-1")
    return Recorded(scope["method"], scope["path"], query, MappingProxyType(headers), body)


def is_loopback(host: str) -> bool:
    """Whether a Host header, with or without a port, names this machine's loopback."""
    try:
        return (urlsplit(f"//{host}").hostname or "") in LOOPBACK_NAMES
    except ValueError:
        return False


async def read_body(receive: Receive, most: int) -> bytes | None:
    """The body, or None where it is larger than `most` bytes; the rest is dropped, up to 16 times that."""
    body, dropped = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        part = message.get("body", b"")
        if len(body) + len(part) > most:
            dropped += len(body) + len(part)
            body.clear()
        elif not dropped:
            body += part
        if not message.get("more_body", False) or dropped > 16 * most:
            return None if dropped else bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once, then whatever the connection says (its end)."""
    parts = [body]

    async def again() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return await receive()

    return again


class Faults:
    """ASGI layer: makes a call go wrong when a planned fault or its own `X-Sandbox-Fault` says so."""

    def __init__(self, app: App, settings: Settings, books: Books, refusal: Refusal) -> None:
        self._app = app
        self._settings = settings
        self._books = books
        self._refusal = refusal

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the call on, or let it go wrong."""
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await self._app(scope, receive, send)
            return
        wish = Headers(scope=scope).get(HEADER)
        fault = self._books.draw(scope["method"], scope["path"]) or wish
        if fault is None:
            await self._app(scope, receive, send)
        elif fault not in FAULTS:
            refused = self._refusal(scope["path"], 400, f"{HEADER}: one of {', '.join(FAULTS)}, not {fault!r}")
            await refused(scope, receive, send)
        elif fault.isdigit():
            await self._answer_instead(int(fault), scope, receive, send)
        else:
            await self._spoil(fault, scope, receive, send)

    async def _answer_instead(self, status: int, scope: Message, receive: Receive, send: Send) -> None:
        answer = self._refusal(scope["path"], status, f"the sandbox was asked for a {status}")
        if status == 429:
            answer.headers["retry-after"] = str(self._settings.retry_after_s)
        await answer(scope, receive, send)

    async def _spoil(self, fault: str, scope: Message, receive: Receive, send: Send) -> None:
        kept = _Kept()
        if fault != "hang-before":
            await self._app(scope, receive, kept)
        half = kept.body[: len(kept.body) // 2]
        if fault == "garbage":
            await Response(half, media_type="application/json")(scope, receive, send)
        elif fault == "slow":
            await trickle(kept, send, self._settings.slow_s)
        else:
            if fault != "cut":
                await until_gone(receive, self._settings.hang_s)
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % (len(kept.body) + 1))]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": half, "more_body": True})
            # returning with the body unfinished makes the server close the connection


class _Kept:
    """Takes the place of `send` and keeps the answer."""

    def __init__(self) -> None:
        self.start: Message = {}
        self.body = b""

    async def __call__(self, message: Message) -> None:
        """Keep one part of the answer."""
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.body += message.get("body", b"")


async def trickle(answer: _Kept, send: Send, seconds: float) -> None:
    """Send an answer whole, its body in ten parts spread over `seconds`."""
    await send(answer.start)
    step = -(-len(answer.body) // N_PARTS) or 1
    for n in range(N_PARTS):
        await asyncio.sleep(seconds / N_PARTS)
        part = answer.body[n * step : (n + 1) * step]
        await send({"type": "http.response.body", "body": part, "more_body": n + 1 < N_PARTS})


async def until_gone(receive: Receive, most_s: float) -> None:
    """Wait until the client has hung up, at most `most_s` seconds."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    try:
        await asyncio.wait_for(gone(), most_s)
    except TimeoutError:
        return


def plain_refusal(status: int, message: str) -> Response:
    """What is said outside any vendor's paths."""
    return JSONResponse({"error": message}, status_code=status)
