"""302.AI's Higgs Audio V2 as documented ("Higgs Audio V2" product page, 2026): clips and texts in, speech out.

The product page hides the four paths; those here are placeholders after a sibling API of the vendor. A task does
not synthesise: a clone task's result is its first reference clip, a smart voice task's a tone. A poor key is
refused every creation with 429 and `err_code` -10006; uploads and queries cost nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, Response

from pipelines.sandbox import jobs
from pipelines.sandbox.body import Body, Malformed, bearer, read_form, read_json
from pipelines.sandbox.clips import as_wav, opened
from pipelines.sandbox.contract import (
    Refused,
    base_of,
    form_body,
    hand_out,
    json_body,
    keyed,
    query,
    refusals,
    serve_audio,
)
from pipelines.sandbox.fetch import NotAUrl, fetch, http_url
from pipelines.sandbox.jobs import Job, Unfit, now_ms
from pipelines.sandbox.settings import Books, Served, Settings
from pipelines.sandbox.sound import tone

CLONE, SMART, UPLOAD = "/302/higgs_audio/voice_clone/task", "/302/higgs_audio/smart_voice/task", "/302/upload-file"
TAG = re.compile(r"\[SPEAKER([0-9]+)\]")
PAID, KEY, PARAMETER, OTHER = -10006, -10001, -10003, -10000
CHINESE = {PAID: "额度已用完", KEY: "无效的API密钥", PARAMETER: "参数错误", OTHER: "服务异常"}
MEDIA_TYPES = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
}


class Sampling(Body):
    """The three sampling fields of both creations; ranges include their ends."""

    input_text: str = Field(json_schema_extra={"minLength": 1})
    temperature: float | None = Field(default=1, ge=0, le=1.5)
    top_k: int | None = Field(default=50, ge=-1, le=100)
    top_p: float | None = Field(default=0.95, ge=0.1, le=1)


class Clone(Sampling):
    """Body of a clone task: clips and their texts, in one order."""

    ref_audio_links: list[str] = Field(min_length=1)
    ref_audio_text: list[str] = Field(min_length=1)


class Smart(Sampling):
    """Body of a smart voice task."""

    is_multi_speaker: bool
    system_prompt: str | None = None


@dataclass
class Task:
    """One task; `kind` is the path it was made under, `audio_url` empty until it went well."""

    task_id: str
    kind: str
    owner: str
    base: str
    job: Job = field(repr=False)
    audio_url: str = ""


def refusal(status: int, message: str) -> Response:
    """A refusal in the vendor's envelope, with the code that is nearest to an HTTP status."""
    code = {401: KEY, 429: OTHER}.get(status, OTHER if status >= 500 else PARAMETER)
    return _refused(status, code, message)


def build(settings: Settings, books: Books) -> APIRouter:
    """The routes; tasks live in `books.stores["ai302"]`, by task id."""
    router = keyed(lambda error: refusal(400, str(error)))
    tasks: dict[str, Task] = books.stores.setdefault("ai302", {})
    by_id = {"parameters": [query("task_id", {"type": "string"}, required=True)]}
    file_form = form_body(
        {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
    )

    def begun(request: Request, kind: str, owner: str, links: list[str]) -> Response:
        task_id = str(uuid4())
        job = _begin(links, settings, books)
        tasks[task_id] = Task(task_id, kind, owner, base_of(request), job)
        return JSONResponse({"task_id": task_id, "status": "pending", "created_at": now_ms() // 1000})

    async def shown(request: Request, kind: str) -> Response:
        owner, task_id = _owner(request, settings), request.query_params.get("task_id")
        if not task_id:
            raise Malformed("is required", "task_id")
        task = tasks.get(task_id)
        if task is None or (task.owner, task.kind) != (owner, kind):
            raise Refused(_refused(404, PARAMETER, "the task does not exist"))
        return JSONResponse(await _current(task, books))

    @router.post(CLONE, openapi_extra=json_body(Clone), responses=refusals(400, 401, 429))
    async def clone(request: Request) -> Response:
        """Speak a text with the voices of reference clips: answers at once, the task goes on."""
        owner = _owner(request, settings, paying=True)
        wish = await read_json(request, Clone, settings.strict)
        _check_clone(wish)
        return begun(request, CLONE, owner, wish.ref_audio_links)

    @router.get(CLONE, openapi_extra=by_id, responses=refusals(400, 401, 404))
    async def clone_task(request: Request) -> Response:
        """Query a clone task."""
        return await shown(request, CLONE)

    @router.post(SMART, openapi_extra=json_body(Smart), responses=refusals(400, 401, 429))
    async def smart(request: Request) -> Response:
        """Speak a text with described voices: answers at once, the task goes on."""
        owner = _owner(request, settings, paying=True)
        wish = await read_json(request, Smart, settings.strict)
        _check_text(wish.input_text)
        if wish.is_multi_speaker != bool(TAG.search(wish.input_text)):
            raise Malformed("must be true exactly where the text has [SPEAKERn] tags", "is_multi_speaker")
        return begun(request, SMART, owner, [])

    @router.get(SMART, openapi_extra=by_id, responses=refusals(400, 401, 404))
    async def smart_task(request: Request) -> Response:
        """Query a smart voice task."""
        return await shown(request, SMART)

    @router.post(UPLOAD, openapi_extra=file_form, responses=refusals(400, 401))
    async def upload(request: Request) -> Response:
        """Host one file; its link needs no key."""
        _owner(request, settings)
        async with read_form(request) as form:
            parts = form.getlist("file")
            if len(parts) != 1 or not isinstance(parts[0], UploadFile):
                raise Malformed("must be one file part", "file")
            data, suffix = await parts[0].read(), PurePosixPath(parts[0].filename or "").suffix.lower()
        known = suffix if suffix in MEDIA_TYPES else ""
        served = Served(data, MEDIA_TYPES.get(suffix, "application/octet-stream"))
        link = hand_out(books, "ai302", base_of(request), f"{uuid4().hex}{known}", served)
        return JSONResponse({"code": 200, "data": link, "message": "success"})

    open_router = APIRouter()
    open_router.include_router(router)
    serve_audio(open_router, books, "ai302", partial(refusal, 404, "no such file"))
    return open_router


def _refused(status: int, code: int, message: str) -> Response:
    error = {"err_code": code, "message": message, "message_cn": CHINESE[code], "type": "api_error"}
    return JSONResponse({"error": error}, status_code=status)


def _owner(request: Request, settings: Settings, paying: bool = False) -> str:
    owner = settings.account(bearer(request) or "")
    if owner is None:
        raise Refused(_refused(401, KEY, "invalid api key"))
    if paying and owner in settings.poor_keys:
        raise Refused(_refused(429, PAID, "the quota of this account is used up"))
    return owner


def _check_text(text: str) -> None:
    if not text.strip():
        raise Malformed("must not be blank", "input_text")


def _check_clone(wish: Clone) -> None:
    _check_text(wish.input_text)
    if len(wish.ref_audio_links) != len(wish.ref_audio_text):
        counts = f"{len(wish.ref_audio_text)} texts for {len(wish.ref_audio_links)} ref_audio_links"
        raise Malformed(f"{counts}; one each is required", "ref_audio_text")
    for number, link in enumerate(wish.ref_audio_links):
        try:
            http_url(link)
        except NotAUrl as error:
            raise Malformed(str(error), f"ref_audio_links.{number}") from error
    if not all(text.strip() for text in wish.ref_audio_text):
        raise Malformed("must not hold a blank text", "ref_audio_text")
    tags = [digits.lstrip("0") or "0" for digits in TAG.findall(wish.input_text)]
    highest = max((int(digits) if len(digits) < 9 else math.inf for digits in tags), default=-1)
    if highest >= len(wish.ref_audio_links):
        raise Malformed(
            f"speaks with [SPEAKER{highest}], but there are {len(wish.ref_audio_links)} clips", "input_text"
        )


def _begin(links: list[str], settings: Settings, books: Books) -> Job:
    reason = books.draw_failure("ai302")

    def work() -> bytes:
        if reason is not None:
            raise Unfit(reason)
        clips = [opened(fetch(link, settings), f"ref_audio_links.{n}") for n, link in enumerate(links)]
        return as_wav(clips[0]) if clips else tone(330.0)

    return jobs.start(work, settings.train_s, books.over)


async def _current(task: Task, books: Books) -> dict[str, Any]:
    """The task as a query shows it."""
    outcome = await task.job.look()
    if outcome is None:
        return {"task_id": task.task_id, "status": "processing"}
    if outcome.reason:
        return {"task_id": task.task_id, "status": "failed", "message": outcome.reason}
    if not task.audio_url:
        served = Served(outcome.audio, "audio/wav")
        task.audio_url = hand_out(books, "ai302", task.base, f"{task.task_id}.wav", served)
    return {"task_id": task.task_id, "status": "success", "audio_url": task.audio_url}
