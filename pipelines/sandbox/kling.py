"""Kling's custom voices as documented ("Custom Voice", "Authentication", "Callback Protocol", Kling API, 2026).

A key in the header, or a JWT signed with `Settings.kling_pair`. What is wrong with a request shows at once, what is
wrong with the clip shows in the task. A `video_id` names a video Kling made; the sandbox knows those of
`Settings.kling_videos` (which sound as a tone) and fails the task of any other. A poor key is refused every creation
with 429/1102 (queries and deletion cost nothing). Lists are newest first.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import SplitResult
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from pipelines.sandbox import jobs, webhook
from pipelines.sandbox.body import Body, Malformed, bearer, read_json, whole_number
from pipelines.sandbox.clips import as_wav, opened, require_length, require_voice
from pipelines.sandbox.contract import Refused, base_of, hand_out, json_body, keyed, query, refusals, serve_audio
from pipelines.sandbox.fetch import NotAUrl, fetch, http_url, is_local
from pipelines.sandbox.jobs import Job, Outcome, Unfit, now_ms
from pipelines.sandbox.settings import Books, Served, Settings
from pipelines.sandbox.sound import tone
from pipelines.sandbox.tokens import BadToken, verified

Row = TypeVar("Row")
MIN_S, MAX_S = 5.0, 30.0
VIDEO_HZ = 200.0
MAX_NAME = 20
SUFFIXES = (".mp3", ".wav", ".mp4", ".mov")
PRESETS = ("Calm narrator", "Bright friend", "Old storyteller")
CREATED = ("task_id", "task_info", "task_status", "created_at", "updated_at")
CODES = {401: (401, 1000), 404: (404, 1202), 405: (404, 1202), 429: (429, 1302), 503: (503, 5001)}


class Create(Body):
    """Body of the creation; exactly one source, empty counts as absent."""

    voice_name: str = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_NAME})
    voice_url: str | None = None
    video_id: str | None = None
    callback_url: str | None = None
    external_task_id: str | None = None


class Delete(Body):
    """Body of the deletion."""

    voice_id: str


@dataclass
class Task:
    """One creation; `voice` is empty before the end, after a failure, and after the voice was deleted."""

    task_id: str
    owner: str
    name: str
    external_id: str
    base: str
    created_ms: int
    books: Books = field(repr=False)
    job: Job = field(init=False, repr=False)
    voice: dict[str, str] | None = None
    outcome: Outcome | None = None

    @property
    def status(self) -> str:
        """What its outcome is called."""
        return "failed" if self.outcome and self.outcome.reason else "succeed"

    def settle(self, outcome: Outcome) -> None:
        """Take the outcome, once: a later deletion must not bring the voice back."""
        with self.books.lock:
            if self.outcome is not None:
                return
            self.outcome = outcome
            if outcome.reason:
                return
            voice_id = f"8{self.task_id[-11:]}"
            link = hand_out(self.books, "kling", self.base, f"{voice_id}.wav", Served(outcome.audio, "audio/wav"))
            creator = str(zlib.crc32(self.owner.encode()))
            self.voice = {"voice_id": voice_id, "voice_name": self.name, "trial_url": link, "owned_by": creator}

    def row(self, status: str) -> dict[str, Any]:
        """The task as the vendor writes it, in this status."""
        cost = "0.05" if status == "succeed" else "0"
        return {
            "task_id": self.task_id,
            "task_status": status,
            "task_info": {"external_task_id": self.external_id},
            "created_at": self.created_ms,
            "updated_at": self.outcome.at_ms if self.outcome else self.created_ms,
            "task_status_msg": self.outcome.reason if self.outcome else "",
            "task_result": {"voices": [self.voice] if self.voice else []},
            "final_unit_deduction": cost,
            "final_balance_deduction": {"quota": cost, "list_price": cost},
        }


def refusal(status: int, message: str) -> Response:
    """A refusal in the vendor's envelope, with the code that is nearest to an HTTP status."""
    return _refused(*CODES.get(status, (status, 5000 if status >= 500 else 1200)), message)


def build(settings: Settings, books: Books) -> APIRouter:
    """The routes; tasks live in `books.stores["kling"]`, by task id."""
    router = keyed(_malformed)
    tasks: dict[str, Task] = books.stores.setdefault("kling", {})
    pages = {
        "parameters": [
            query("pageNum", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 1}),
            query("pageSize", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 30}),
        ]
    }

    @router.post("/v1/general/custom-voices", openapi_extra=json_body(Create), responses=refusals(400, 401, 429))
    async def create(request: Request) -> Response:
        """Make a voice from the clip behind a URL: answers at once, the task goes on."""
        owner = _owner(request, settings)
        if owner in settings.poor_keys:
            raise _wrong(429, 1102, "Account balance not enough")
        wish = await read_json(request, Create, settings.strict)
        _check(wish, settings)
        mine = [task for task in tasks.values() if task.owner == owner]
        if wish.external_task_id and any(task.external_id == wish.external_task_id for task in mine):
            raise _wrong(400, 1201, "external_task_id already exists")
        if sum(task.job.live for task in mine) >= settings.kling_live_tasks:
            raise _wrong(429, 1303, "parallel task over resource pack limit")
        task = _begin(wish, owner, base_of(request), settings, books)
        return _fine({name: value for name, value in task.row("submitted").items() if name in CREATED})

    @router.get("/v1/general/custom-voices/{id:path}", responses=refusals(400, 401, 404))
    async def one(request: Request, id: str) -> Response:
        """Query one task by its task id or by the external task id."""
        owner = _owner(request, settings)
        task = next((t for t in tasks.values() if t.owner == owner and id in (t.task_id, t.external_id)), None)
        if task is None or not id:
            raise _wrong(404, 1203, f"task {id} does not exist")
        return _fine(await _current(task))

    @router.get("/v1/general/custom-voices", openapi_extra=pages, responses=refusals(400, 401))
    async def listing(request: Request) -> Response:
        """List this account's tasks, newest first."""
        owner = _owner(request, settings)
        mine = [task for task in reversed(tasks.values()) if task.owner == owner]
        return _fine([await _current(task) for task in _page(request, mine)])

    @router.get("/v1/general/presets-voices", openapi_extra=pages, responses=refusals(400, 401))
    async def presets(request: Request) -> Response:
        """List the vendor's own voices."""
        _owner(request, settings)
        return _fine(_page(request, [_preset(n, base_of(request), books) for n in range(len(PRESETS))]))

    @router.post("/v1/general/delete-voices", openapi_extra=json_body(Delete), responses=refusals(400, 401))
    async def delete(request: Request) -> Response:
        """Delete one of this account's own voices; its task stays, with no voice in it."""
        owner = _owner(request, settings)
        wish = await read_json(request, Delete, settings.strict)
        for task in tasks.values():
            if task.owner == owner and task.voice and task.voice["voice_id"] == wish.voice_id:
                task.voice = None
                return _fine({"task_id": task.task_id, "task_status": "succeed"})
        raise _wrong(400, 1201, f"voice_id {wish.voice_id} is not one of your custom voices")

    open_router = APIRouter()
    open_router.include_router(router)
    serve_audio(open_router, books, "kling", partial(refusal, 404, "no such file"))
    return open_router


def _malformed(error: Malformed) -> Response:
    return _refused(400, 1201 if error.field else 1200, str(error))


def _wrong(status: int, code: int, message: str) -> Refused:
    return Refused(_refused(status, code, message))


def _refused(status: int, code: int, message: str) -> Response:
    return JSONResponse({"code": code, "message": message, "request_id": str(uuid4())}, status_code=status)


def _fine(data: Any) -> Response:
    return JSONResponse({"code": 0, "message": "SUCCEED", "request_id": str(uuid4()), "data": data})


def _owner(request: Request, settings: Settings) -> str:
    """The account: of a key, or of `keys[0]` for a token signed with the pair."""
    if not request.headers.get("authorization", "").strip():
        raise _wrong(401, 1001, "Authorization is empty")
    token = bearer(request)
    if token is None:
        raise _wrong(401, 1002, "Authorization must be Bearer and a token")
    if settings.account(token):
        return token
    try:
        verified(token, settings.kling_pair)
    except BadToken as error:
        raise _wrong(401, error.code, str(error)) from error
    return settings.keys[0]


def _check(wish: Create, settings: Settings) -> None:
    if not wish.voice_name.strip() or len(wish.voice_name) > MAX_NAME:
        raise Malformed(f"must be 1 to {MAX_NAME} characters long", "voice_name")
    if bool(wish.voice_url) == bool(wish.video_id):
        raise Malformed("give exactly one of voice_url and video_id", "voice_url")
    if wish.voice_url:
        parts = _url(wish.voice_url, "voice_url")
        if is_local(parts) and not settings.allow_local_hosts:
            raise Malformed("must be a public URL", "voice_url")
        if PurePosixPath(parts.path).suffix.lower() not in SUFFIXES:
            raise Malformed(f"must name a file that ends in {', '.join(SUFFIXES)}", "voice_url")
    if wish.callback_url:
        _url(wish.callback_url, "callback_url")


def _url(text: str, field: str) -> SplitResult:
    try:
        return http_url(text)
    except NotAUrl as error:
        raise Malformed(str(error), field) from error


def _page(request: Request, rows: list[Row]) -> list[Row]:
    number, size = whole_number(request, "pageNum", 1, 1, 1000), whole_number(request, "pageSize", 30, 1, 1000)
    return rows[(number - 1) * size : number * size]


def _preset(number: int, base: str, books: Books) -> dict[str, Any]:
    voice_id = str(8_000_000_000 + number)
    link = hand_out(books, "kling", base, f"{voice_id}.wav", Served(tone(220.0 + 60 * number), "audio/wav"))
    voice = {"voice_id": voice_id, "voice_name": PRESETS[number], "trial_url": link, "owned_by": "kling"}
    return {
        "task_id": str(800_000_000_000_000_000 + number),
        "task_status": "succeed",
        "task_status_msg": "",
        "task_result": {"voices": [voice]},
        "created_at": 1_700_000_000_000,
        "updated_at": 1_700_000_000_000,
    }


def _begin(wish: Create, owner: str, base: str, settings: Settings, books: Books) -> Task:
    """Put the task into the books and start its work."""
    created_ms = now_ms()
    task_id = f"{created_ms}{books.number() % 100_000:05d}"
    task = Task(task_id, owner, wish.voice_name, wish.external_task_id or "", base, created_ms, books)
    reason, url = books.draw_failure("kling"), wish.callback_url

    def work() -> bytes:
        if reason is not None:
            raise Unfit(reason)
        if not wish.voice_url:
            if wish.video_id not in settings.kling_videos:
                raise Unfit(f"video_id {wish.video_id}: no such video")
            return tone(VIDEO_HZ, MIN_S)
        sound = opened(fetch(wish.voice_url, settings))
        require_length(sound, MIN_S, MAX_S)
        if settings.strict:
            require_voice(sound)
        return as_wav(sound)

    def tell(status: str) -> None:
        if url:
            webhook.send(url, task.row(status), str(uuid4().int % 10**10), settings)

    def begun() -> None:
        tell("submitted")
        tell("processing")

    def ended(outcome: Outcome) -> None:
        task.settle(outcome)
        tell(task.status)

    books.stores["kling"][task_id] = task
    task.job = jobs.start(work, settings.train_s, books.over, begun, ended if url else None)
    return task


async def _current(task: Task) -> dict[str, Any]:
    """The task as a query shows it."""
    outcome = await task.job.look()
    if outcome is None:
        return task.row("processing")
    task.settle(outcome)
    return task.row(task.status)
