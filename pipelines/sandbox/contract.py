"""What the OpenAPI document says of calls whose bodies the sandbox reads itself, and the pieces all routers share."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.responses import Response

from pipelines.sandbox.body import Malformed
from pipelines.sandbox.settings import Books, Served

Json = dict[str, Any]
Refusals = dict[int | str, dict[str, Any]]

_MEANINGS = {
    400: "bad request",
    401: "bad key",
    403: "not allowed",
    404: "no such thing",
    429: "no credit, too fast or too many",
}


class Refused(Exception):
    """A refusal on its way out of a call, ready as an answer."""

    def __init__(self, answer: Response) -> None:
        super().__init__(answer.status_code)
        self.answer = answer


def keyed(malformed: Callable[[Malformed], Response]) -> APIRouter:
    """A router whose calls may raise `Refused` and `Malformed`; `malformed` words the latter as the vendor does.

    They are documented to take a bearer key; each checks it itself, in its vendor's words.
    """

    class Route(APIRoute):
        """A call that may raise a refusal."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            """The call, its refusals turned into answers."""
            call = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await call(request)
                except Refused as refused:
                    return refused.answer
                except Malformed as error:
                    return malformed(error)

            return answer

    return APIRouter(route_class=Route, dependencies=[Depends(HTTPBearer(auto_error=False))])


def refusals(*statuses: int) -> Refusals:
    """The error statuses of a call, for its documentation."""
    return {status: {"description": _MEANINGS[status]} for status in statuses}


def json_body(model: type[BaseModel]) -> Json:
    """`openapi_extra` of a call that takes this JSON body; schemas are written out, so no reference can dangle."""
    schema = model.model_json_schema()
    media = {"schema": _inlined(schema, schema.get("$defs", {}))}
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


def form_body(schema: Json) -> Json:
    """`openapi_extra` of a call that takes this multipart form."""
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def query(name: str, schema: Json, required: bool = False) -> Json:
    """One query parameter, for `openapi_extra={"parameters": [...]}`."""
    return {"name": name, "in": "query", "required": required, "schema": schema}


def _inlined(schema: Any, defs: Json) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, defs) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(defs[schema["$ref"].rpartition("/")[2]], defs)
    return {key: _inlined(value, defs) for key, value in schema.items() if key != "$defs"}


def serve_audio(router: APIRouter, books: Books, vendor: str, no_such: Callable[[], Response]) -> None:
    """Add `GET /audio/{name}`: files of this vendor, without a key, as links a vendor hands out."""

    @router.api_route("/audio/{name}", methods=["GET"], responses=refusals(404), name=f"{vendor} audio")
    async def audio(name: str) -> Response:
        """A file made or taken by the sandbox."""
        served = books.files.get(f"{vendor}/{name}")
        if served is None:
            return no_such()
        return Response(served.data, media_type=served.media_type, headers={"X-Content-Type-Options": "nosniff"})

    router.add_api_route("/audio/{name}", audio, methods=["HEAD"], include_in_schema=False)


def hand_out(books: Books, vendor: str, base: str, name: str, served: Served) -> str:
    """Keep a file and give its URL; `base` is what `base_of` says."""
    books.files[f"{vendor}/{name}"] = served
    return f"{base}{vendor}/audio/{name}"


def base_of(request: Request) -> str:
    """`http://127.0.0.1:PORT/` as this client wrote it."""
    return str(request.base_url)
