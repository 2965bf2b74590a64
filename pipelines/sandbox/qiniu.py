"""Qiniu xrobo's voice clones as documented ("音色克隆API", with its newer revision and "quota", 2026).

Slots are made with `model_id` (the older body) or with `language` and `tier` (the newer one). HTTP status and body
`code` are equal in refusals. What is wrong with the clip shows as the state `Failed`. No answer is documented for
an account without credit: a poor key works like a good one, but its quotas are used up, so that training a `pro`
slot is refused with 400. Other accounts' slots do not exist for a key (404).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from pipelines.sandbox import jobs
from pipelines.sandbox.body import Body, Malformed, bearer, read_json, whole_number
from pipelines.sandbox.clips import as_wav, opened, require_length, require_voice
from pipelines.sandbox.contract import Refused, base_of, hand_out, json_body, keyed, query, refusals, serve_audio
from pipelines.sandbox.fetch import NotAUrl, fetch, http_url
from pipelines.sandbox.jobs import Job, Unfit
from pipelines.sandbox.settings import Books, Served, Settings

MIN_S, MAX_S = 10.0, 60.0
MAX_NAME = 20
FREE = ("zh", "en")
PRO = (*FREE, "ja", "ko", "es", "pt", "id", "de", "fr", "ar", "hi", "it", "tr", "yue")
N_PRO_TRAININGS = 5
"""What the `pro` package of a good key holds."""
EXPIRES = 4_102_444_800  # 2100-01-01


class Create(Body):
    """Body of the creation: `model_id`, or `language` and `tier` (one is enough)."""

    model_id: str | None = Field(default=None, json_schema_extra={"enum": ["QN_ACV"]})
    language: str | None = None
    tier: Literal["free", "pro"] | None = None


class Train(Body):
    """Body of the training; without `key` it only renames."""

    name: str = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_NAME})
    key: str | None = None


@dataclass
class Slot:
    """A voice slot; `job` is its last training, whose end the next query takes over."""

    id: str
    owner: str
    name: str
    language: str = ""
    tier: str = ""
    state: Literal["Init", "Training", "Success", "Failed"] = "Init"
    demo_url: str = ""
    base: str = ""
    job: Job | None = field(default=None, repr=False)

    def row(self) -> dict[str, str]:
        """The slot as the vendor writes it; `tier` only where it was made with the newer body."""
        names = ("id", "name", "language", "demo_url", "state", *(["tier"] if self.tier else []))
        return {name: getattr(self, name) for name in names}


def refusal(status: int, message: str) -> Response:
    """A refusal in the vendor's envelope; its code is the HTTP status."""
    return JSONResponse({"code": status, "msg": message, "reqid": _reqid(), "data": None}, status_code=status)


def build(settings: Settings, books: Books) -> APIRouter:
    """The routes; slots live in `books.stores["qiniu"]`, by id."""
    router = keyed(lambda error: refusal(400, str(error)))
    slots: dict[str, Slot] = books.stores.setdefault("qiniu", {})

    def own(owner: str, id: str) -> Slot:
        slot = slots.get(id)
        if slot is None or slot.owner != owner:
            raise Refused(refusal(404, "音色不存在"))
        return slot

    @router.post("/v1/voice-clones", openapi_extra=json_body(Create), responses=refusals(400, 401))
    async def create(request: Request) -> Response:
        """Make an empty slot."""
        owner = _owner(request, settings)
        wish = await read_json(request, Create, settings.strict)
        _check_slot(wish)
        newer = wish.language is not None or wish.tier is not None
        slot_id = secrets.token_hex(16)
        slot = Slot(slot_id, owner, f"复刻音色-{slot_id[-5:]}")
        if newer:
            slot.language, slot.tier = wish.language or "zh", wish.tier or "free"
        slots[slot_id] = slot
        return _fine(slot.row())

    @router.put("/v1/voice-clones/{id}", openapi_extra=json_body(Train), responses=refusals(400, 401, 404))
    async def train(request: Request, id: str) -> Response:
        """Train a slot on the clip behind a URL, or, without one, rename it."""
        owner = _owner(request, settings)
        wish = await read_json(request, Train, settings.strict)
        _check_training(wish)
        slot = own(owner, id)
        await _settle(slot, books)
        if wish.key:
            if slot.state == "Training":
                raise Malformed("is refused while the voice is being trained", "key")
            if slot.tier == "pro" and _pro_used(books, owner, settings) >= N_PRO_TRAININGS:
                raise Refused(refusal(400, "quota exceeded: linxi:api:voice_clone (pro)"))
            slot.state, slot.base = "Training", base_of(request)
            slot.job = _begin(slot, wish.key, settings, books)
        slot.name = wish.name
        return _fine(slot.row())

    @router.get("/v1/voice-clones/{id}", responses=refusals(401, 404))
    async def one(request: Request, id: str) -> Response:
        """Query one slot."""
        slot = own(_owner(request, settings), id)
        await _settle(slot, books)
        return _fine(slot.row())

    @router.get("/v1/voice-clones", responses=refusals(401))
    async def listing(request: Request) -> Response:
        """List this account's slots in every state."""
        owner = _owner(request, settings)
        mine = [slot for slot in list(slots.values()) if slot.owner == owner]
        for slot in mine:
            await _settle(slot, books)
        return _fine({"voices": [slot.row() for slot in mine]})

    @router.delete("/v1/voice-clones/{id}", responses=refusals(401, 403, 404))
    async def delete(request: Request, id: str) -> Response:
        """Delete a slot for good; a paid one cannot be deleted."""
        slot = own(_owner(request, settings), id)
        if slot.tier == "pro":
            raise Refused(refusal(403, "a paid voice cannot be deleted"))
        del slots[id]
        return _fine({})

    limit = query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 100})
    page = {"parameters": [query("resource_type", {"type": "integer", "enum": [1]}), limit]}

    @router.get("/v1/quotas", openapi_extra=page, responses=refusals(400, 401))
    async def quotas(request: Request) -> Response:
        """List the account's packages, in one page."""
        owner = _owner(request, settings)
        whole_number(request, "resource_type", 1, 1, 1)
        rows = _quotas(books, owner, settings)[: whole_number(request, "limit", 100, 1, 100)]
        return _fine({"quotas": rows, "next_cursor": ""})

    open_router = APIRouter()
    open_router.include_router(router)
    serve_audio(open_router, books, "qiniu", partial(refusal, 404, "no such file"))
    return open_router


def _reqid() -> str:
    return f"req_{secrets.token_hex(4)}"


def _fine(data: Any) -> Response:
    return JSONResponse({"code": 0, "msg": "", "reqid": _reqid(), "data": data})


def _owner(request: Request, settings: Settings) -> str:
    owner = settings.account(bearer(request) or "")
    if owner is None:
        raise Refused(refusal(401, "未授权访问"))
    return owner


def _check_slot(wish: Create) -> None:
    if wish.model_id is None and wish.language is None and wish.tier is None:
        raise Malformed("is required", "model_id")
    if wish.model_id not in (None, "QN_ACV"):
        raise Malformed('must be "QN_ACV"', "model_id")
    languages = PRO if wish.tier == "pro" else FREE
    if wish.language is not None and wish.language not in languages:
        raise Malformed(f"must be one of {', '.join(languages)}", "language")


def _check_training(wish: Train) -> None:
    if not wish.name.strip() or len(wish.name) > MAX_NAME:
        raise Malformed(f"must be 1 to {MAX_NAME} characters long", "name")
    if wish.key:
        try:
            http_url(wish.key)
        except NotAUrl as error:
            raise Malformed(str(error), "key") from error


def _begin(slot: Slot, url: str, settings: Settings, books: Books) -> Job:
    reason = books.draw_failure("qiniu")
    if slot.tier == "pro":
        books.spent[slot.owner] += 1

    def work() -> bytes:
        if reason is not None:
            raise Unfit(reason)
        sound = opened(fetch(url, settings))
        if settings.strict:
            require_length(sound, MIN_S, MAX_S)
            require_voice(sound)
        return as_wav(sound)

    return jobs.start(work, settings.train_s, books.over)


async def _settle(slot: Slot, books: Books) -> None:
    """Take over the end of the training, where this query may see it."""
    job = slot.job
    outcome = await job.look() if job else None
    if outcome is None or slot.job is not job or slot.state != "Training":
        return
    slot.state = "Failed" if outcome.reason else "Success"
    if not outcome.reason:
        slot.language = slot.language or "zh"
        name = f"{slot.id}-{books.number()}.wav"
        slot.demo_url = hand_out(books, "qiniu", slot.base, name, Served(outcome.audio, "audio/wav"))


def _pro_used(books: Books, owner: str, settings: Settings) -> int:
    return N_PRO_TRAININGS if owner in settings.poor_keys else books.spent[owner]


def _quotas(books: Books, owner: str, settings: Settings) -> list[dict[str, Any]]:
    n_free = sum(slot.owner == owner and slot.tier != "pro" for slot in books.stores["qiniu"].values())
    total = n_free if owner in settings.poor_keys else 100
    packages = (("free", n_free, total), ("pro", _pro_used(books, owner, settings), N_PRO_TRAININGS))
    return [
        {
            "id": f"quota_{kind}",
            "resource_type": "linxi:api:voice_clone",
            "resource_package": {"type": kind},
            "status": "active" if used < most else "exhausted",
            "usage_count": used,
            "total_count": most,
            "expired_time": EXPIRES,
        }
        for kind, used, most in packages
    ]
