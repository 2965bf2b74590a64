"""Qwen's voice enrolment and speech as documented ("创建克隆音色", "Error codes", Alibaba Model Studio, 2026).

One path creates, lists and deletes; a voice is there at once. Creating reads the audio: see `enrolment`. Speech
does not synthesise: its link leads to the clip as it was enrolled (first channel), whatever the text. A poor key
is refused every call with 400 `Arrearage`.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from pipelines.sandbox.body import Body, Malformed, bearer, read_json
from pipelines.sandbox.contract import Refused, base_of, hand_out, json_body, keyed, refusals, serve_audio
from pipelines.sandbox.enrolment import Enrolment, Refusal, enrolled
from pipelines.sandbox.settings import Books, Served, Settings

BASE = "/api/v1"
MODEL = "qwen-voice-enrollment"
REALTIME = ("qwen3-tts-vc-realtime-2026-01-15", "qwen3-tts-vc-realtime-2025-11-27")
TARGETS = (*REALTIME, "qwen3-tts-vc-2026-01-22")
LANGUAGES = ("zh", "en", "de", "it", "pt", "es", "ja", "ko", "fr", "ru")
NAME = re.compile(r"[A-Za-z0-9_]{1,16}")
MAX_PAGE = 1_000_000
LINK_S = 24 * 3600
CODES = {401: "InvalidApiKey", 404: "NotFound", 429: "Throttling.RateQuota", 503: "ModelUnavailable"}


class Audio(Body):
    """The clip: a data URL, or a URL without authentication."""

    data: str


class Input(Body):
    """What all actions take; which fields are needed depends on `action`."""

    action: Literal["create", "list", "delete"]
    target_model: str | None = Field(default=None, json_schema_extra={"enum": list(TARGETS)})
    preferred_name: str | None = Field(default=None, json_schema_extra={"pattern": f"^{NAME.pattern}$"})
    audio: Audio | None = None
    text: str | None = None
    language: str | None = Field(default=None, json_schema_extra={"enum": list(LANGUAGES)})
    page_index: int = Field(default=0, ge=0, le=MAX_PAGE)
    page_size: int = Field(default=10, ge=0, le=MAX_PAGE)
    voice: str | None = None


class Model(Body):
    """The model alone: it is looked at before anything else."""

    model: str


class Customization(Body):
    """Body of the enrolment call."""

    model: str
    input: Input


class SpeechInput(Body):
    """What is to be said."""

    text: str
    voice: str
    language_type: str | None = None


class SpeechRequest(Body):
    """Body of the speech call."""

    model: str
    input: SpeechInput


@dataclass(frozen=True)
class Voice:
    """An enrolled voice; `audio` is a WAV file."""

    voice: str
    owner: str
    target_model: str
    language: str
    created: str
    audio: bytes = field(repr=False)

    def row(self) -> dict[str, str]:
        """The voice as the list shows it."""
        row = {"voice": self.voice, "target_model": self.target_model, "language": self.language}
        return row | {"gmt_create": self.created, "gmt_modified": self.created}


def refusal(status: int, message: str) -> Response:
    """A refusal in the vendor's envelope, with the code that is nearest to an HTTP status."""
    return _refused(status, CODES.get(status, "InternalError" if status >= 500 else "InvalidParameter"), message)


def build(settings: Settings, books: Books) -> APIRouter:
    """The routes; voices live in `books.stores["qwen"]`, by name, oldest first."""
    router = keyed(lambda error: _refused(400, "InvalidParameter", str(error)))
    books.stores.setdefault("qwen", {})

    @router.post(
        BASE + "/services/audio/tts/customization",
        openapi_extra=json_body(Customization),
        responses=refusals(400, 401, 404),
    )
    async def customization(request: Request) -> Response:
        """Create, list or delete voices, by `input.action`."""
        owner = _owner(request, settings)
        model = (await read_json(request, Model, settings.strict)).model
        if model != MODEL:
            raise Refused(_refused(404, "ModelNotFound", f"Model {model} does not exist."))
        wish = (await read_json(request, Customization, settings.strict)).input
        if wish.action == "create":
            return await _create(wish, owner, settings, books)
        return _list(wish, owner, books) if wish.action == "list" else _delete(wish, owner, books)

    @router.post(
        BASE + "/services/aigc/multimodal-generation/generation",
        openapi_extra=json_body(SpeechRequest),
        responses=refusals(400, 401, 404),
    )
    async def speech(request: Request) -> Response:
        """Speak with an enrolled voice: a link to the clip as enrolled."""
        owner = _owner(request, settings)
        wish = await read_json(request, SpeechRequest, settings.strict)
        voice = _voice_for(wish, owner, books)
        said_id = f"audio_{uuid4()}"
        link = hand_out(books, "qwen", base_of(request), f"{said_id}.wav", Served(voice.audio, "audio/wav"))
        audio = {"url": link, "data": "", "id": said_id, "expires_at": int(time.time()) + LINK_S}
        return _fine({"finish_reason": "stop", "audio": audio}, {"characters": len(wish.input.text)})

    open_router = APIRouter()
    open_router.include_router(router)
    serve_audio(open_router, books, "qwen", partial(refusal, 404, "no such file"))
    return open_router


def _refused(status: int, code: str, message: str) -> Response:
    return JSONResponse({"request_id": str(uuid4()), "code": code, "message": message}, status_code=status)


def _fine(output: dict[str, Any], usage: dict[str, int]) -> Response:
    return JSONResponse({"output": output, "usage": usage, "request_id": str(uuid4())})


def _owner(request: Request, settings: Settings) -> str:
    owner = settings.account(bearer(request) or "")
    if owner is None:
        raise Refused(_refused(401, "InvalidApiKey", "Invalid API-key provided."))
    if owner in settings.poor_keys:
        message = "Access denied, please make sure your account is in good standing."
        raise Refused(_refused(400, "Arrearage", message))
    return owner


async def _create(wish: Input, owner: str, settings: Settings, books: Books) -> Response:
    if wish.target_model not in TARGETS:
        raise Malformed(f"must be one of {', '.join(TARGETS)}", "input.target_model")
    if wish.preferred_name is None or not NAME.fullmatch(wish.preferred_name):
        raise Malformed("must be 1 to 16 letters, digits and underscores", "input.preferred_name")
    if wish.audio is None or not wish.audio.data:
        raise Malformed("is required", "input.audio.data")
    if wish.language is not None and wish.language not in LANGUAGES:
        raise Malformed(f"must be one of {', '.join(LANGUAGES)}", "input.language")
    if (reason := books.draw_failure("qwen")) is not None:
        raise Refused(_refused(400, "Audio.PreprocessError", reason))
    try:
        clip = await run_in_threadpool(enrolled, Enrolment(wish.audio.data, wish.text, wish.language), settings)
    except Refusal as error:
        raise Refused(_refused(400, error.code, str(error))) from error
    now = datetime.now(UTC)
    stamp = now.strftime("%Y%m%d%H%M%S") + f"{now.microsecond // 1000:03d}"
    name = f"qwen-tts-vc-{wish.preferred_name}-voice-{stamp}-{secrets.token_hex(2)}"
    created = now.strftime("%Y-%m-%d %H:%M:%S")
    voice = Voice(name, owner, wish.target_model, wish.language or "", created, clip.audio)
    books.stores["qwen"][name] = voice
    output = {"voice": name, "target_model": voice.target_model, "fallback_mode": bool(clip.fallback)}
    return _fine(output | ({"fallback_reason": clip.fallback} if clip.fallback else {}), {"count": 1})


def _list(wish: Input, owner: str, books: Books) -> Response:
    mine = [voice.row() for voice in reversed(books.stores["qwen"].values()) if voice.owner == owner]
    first = wish.page_index * wish.page_size
    pages = {"page_index": wish.page_index, "page_size": wish.page_size, "total_count": len(mine)}
    return _fine({"voice_list": mine[first : first + wish.page_size], **pages}, {"count": 0})


def _delete(wish: Input, owner: str, books: Books) -> Response:
    if not wish.voice:
        raise Malformed("is required", "input.voice")
    voice = books.stores["qwen"].get(wish.voice)
    if voice is None or voice.owner != owner:
        raise Refused(_refused(400, "BadRequest.VoiceNotFound", f"Voice '{wish.voice}' not found."))
    del books.stores["qwen"][wish.voice]
    return _fine({"voice": wish.voice}, {"count": 0})


def _voice_for(wish: SpeechRequest, owner: str, books: Books) -> Voice:
    if wish.model not in TARGETS:
        raise Refused(_refused(404, "ModelNotFound", f"Model {wish.model} does not exist."))
    if wish.model in REALTIME:
        raise Malformed("is a realtime model: it speaks over WebSocket only", "model")
    if not wish.input.text.strip():
        raise Malformed("must not be blank", "input.text")
    voice: Voice | None = books.stores["qwen"].get(wish.input.voice)
    if voice is None or voice.owner != owner:
        raise Malformed(f"no voice {wish.input.voice!r}", "input.voice")
    if voice.target_model != wish.model:
        raise Malformed(f"the voice was enrolled for {voice.target_model}", "model")
    return voice
