"""Reading what a client sends: keys, JSON and multipart bodies; every fault becomes a `Malformed` with its field."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

Model = TypeVar("Model", bound="Body")


class Malformed(ValueError):
    """What was sent is wrong; `field` is its dotted name, empty where the body as a whole cannot be read."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


class Body(BaseModel):
    """A JSON body: types are not converted ("1" is no number), fields nobody knows are ignored as vendors do."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")


def bearer(request: Request) -> str | None:
    """The token of an `Authorization: Bearer` header; None without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def read_json(request: Request, model: type[Model], strict: bool) -> Model:
    """The body as a `model`.

    Raises:
        Malformed: no JSON object, a wrong or missing field (named), or, where `strict`, another Content-Type.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if strict and kind != "application/json":
        raise Malformed("Content-Type must be application/json")
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise Malformed(first["msg"], ".".join(str(step) for step in first["loc"])) from error


def whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A query parameter; the last one counts where it is repeated.

    Raises:
        Malformed: not digits, or outside `least`..`most`.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise Malformed(f"must be a whole number from {least} to {most}", name)
    return int(text)


@asynccontextmanager
async def read_form(request: Request) -> AsyncIterator[FormData]:
    """The multipart form, its files closed at the end.

    Raises:
        Malformed: another Content-Type, or a body that cannot be read.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Malformed("Content-Type must be multipart/form-data")
    _check_complete(request.headers["content-type"], await request.body())
    try:
        form = await request.form(max_files=20, max_fields=50)
    except HTTPException as error:
        raise Malformed(f"the multipart body cannot be read: {error.detail}") from error
    except ValueError as error:  # e.g. a charset that cannot decode
        raise Malformed(f"the multipart body cannot be read: {error}") from error
    try:
        yield form
    finally:
        await form.close()


def _check_complete(content_type: str, body: bytes) -> None:
    """Refuse a body without its closing boundary; Starlette takes it for whole and leaks the open part."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary or b"\r\n--" + boundary + b"--" not in b"\r\n" + body:
        raise Malformed("the multipart body cannot be read: its closing boundary is missing")
