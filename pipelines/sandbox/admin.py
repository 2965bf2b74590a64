"""The sandbox's own calls, below `/_sandbox`: plan what goes wrong, look inside, forget."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from pipelines.sandbox.contract import refusals
from pipelines.sandbox.faults import plain_refusal
from pipelines.sandbox.settings import Books, Fault, PlannedFault, Recorded, VendorName

MAX_SHOWN = 2048
"""Longer bodies of recorded requests are left out of `GET /_sandbox/requests`."""


class FaultWish(BaseModel):
    """Body of `POST /_sandbox/faults`: the next `times` calls of `method` below `path` go wrong."""

    model_config = ConfigDict(extra="forbid")

    fault: Fault
    path: str = "/"
    method: str = "*"
    times: int = Field(default=1, ge=1, le=1000)


class OutcomeWish(BaseModel):
    """Body of `POST /_sandbox/outcomes`: the next `times` trainings of `vendor` fail with `reason`."""

    model_config = ConfigDict(extra="forbid")

    vendor: VendorName
    reason: str
    times: int = Field(default=1, ge=1, le=1000)


def build(books: Books) -> APIRouter:
    """The routes; they take no key, since the sandbox is on loopback only."""
    router = APIRouter(prefix="/_sandbox")

    @router.post("/faults", responses=refusals(400))
    async def plan_fault(wish: FaultWish) -> Response:
        """Let coming calls go wrong."""
        books.plan(PlannedFault(wish.fault, wish.path, wish.method, wish.times))
        return JSONResponse({"planned": wish.model_dump()})

    @router.post("/outcomes", responses=refusals(400))
    async def plan_outcome(wish: OutcomeWish) -> Response:
        """Let coming trainings and tasks fail for a reason (Qwen and Qhaigc: refuse coming creations)."""
        books.fail_next(wish.vendor, wish.reason, wish.times)
        return JSONResponse({"planned": wish.model_dump()})

    @router.post("/reset")
    async def reset() -> Response:
        """Forget everything; running tasks are stopped."""
        books.reset()
        return JSONResponse({"reset": True})

    @router.get("/state")
    async def state() -> Response:
        """What the sandbox holds: voices (Kling and 302.AI: tasks) by vendor, calls by path."""
        voices = {vendor: sorted(store) for vendor, store in books.stores.items()}
        return JSONResponse({"voices": voices, "calls": dict(books.calls)})

    @router.get("/requests")
    async def requests() -> Response:
        """The last requests, newest last; without keys, uploaded files and long bodies."""
        return JSONResponse({"requests": [shown(request) for request in list(books.requests)]})

    return router


def shown(request: Recorded) -> dict[str, Any]:
    """A request as JSON: `body` is text, or None for multipart and for what is longer than `MAX_SHOWN` bytes."""
    text = re.sub(r";base64,[A-Za-z0-9+/=]*", ";base64,...", request.body.decode("utf-8", "replace"))
    multipart = request.headers.get("content-type", "").lower().startswith("multipart/")
    return {
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": dict(request.headers),
        "n_bytes": len(request.body),
        "body": None if multipart or len(text.encode()) > MAX_SHOWN else text,
    }


async def unreadable(request: Request, error: Exception) -> Response:
    """422 for a body of the sandbox's own calls that is none; what was sent is not repeated (NaN is no JSON)."""
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
    return plain_refusal(422, f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}")
