"""Qhaigc's API as documented ("Create voice model", 2026): create, both list paths, speech; no delete.

Refusals come in the order and the envelope of the emulator contract; strict mode also refuses what the
document only advises against. Speech does not synthesise: it returns the first clip of the voice as it was
enrolled, whatever the text and the speed, in the format asked for. Nothing is documented for an account without
credit: a poor key works like a good one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, Response

from pipelines.sandbox.body import bearer, read_form
from pipelines.sandbox.contract import Refused, form_body, json_body, keyed, refusals
from pipelines.sandbox.settings import Books, Settings
from pipelines.sandbox.sound import MEDIA_TYPES, NotSound, Sound, decode_wav, encode

RATES_HZ = (16000, 24000)
MIN_S = 10.0
CODES = {
    400: "invalid_request_error",
    401: "invalid_api_key",
    429: "rate_limit_exceeded",
    500: "server_error",
}

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["name", "audio_files", "reference_texts"],
    "properties": {
        "name": {"type": "string"},
        "audio_files": {
            "type": "array",
            "minItems": 2,
            "maxItems": 3,
            "items": {"type": "string", "format": "binary"},
        },
        "reference_texts": {"type": "array", "minItems": 2, "maxItems": 3, "items": {"type": "string"}},
        "public": {"type": "string", "enum": ["true", "false"], "default": "false"},
        "description": {"type": "string"},
        "contact_email": {"type": "string", "description": 'required when public is "false"'},
    },
}


class SpeechRequest(BaseModel):
    """Body of the speech call; `speed` is checked and, in the sandbox, without effect."""

    model: Literal["qhai-tts"]
    input: Annotated[str, StringConstraints(min_length=1, max_length=4096)]
    voice: str
    response_format: Literal["mp3", "wav", "opus"] = "mp3"
    speed: float = Field(default=1.0, gt=0, le=4, allow_inf_nan=False)


@dataclass(frozen=True)
class Enrolled:
    """A voice the sandbox holds."""

    name: str
    owner: str
    public: bool
    description: str
    sound: Sound
    texts: tuple[str, ...]


def refusal(status: int, message: str) -> Response:
    """A refusal in the vendor's envelope."""
    code = CODES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    kind = "invalid_request_error" if status < 500 else "server_error"
    body = {"error": {"message": message, "type": kind, "code": code}}
    return JSONResponse(body, status_code=status)


def build(settings: Settings, books: Books) -> APIRouter:
    """The routes; voices live in `books.stores["qhaigc"]`, by name."""
    router = keyed(lambda error: refusal(400, str(error)))
    voices: dict[str, Enrolled] = books.stores.setdefault("qhaigc", {})

    @router.post("/v1/voice/model", openapi_extra=form_body(_FORM), responses=refusals(400, 401))
    async def create(request: Request) -> Response:
        """Create a voice from two or three clips and their texts."""
        owner = _owner(request, settings)
        async with read_form(request) as parts:
            voice = await _enrolled(parts, owner, voices, settings.strict)
        if (reason := books.draw_failure("qhaigc")) is not None:
            raise Wrong(reason)
        voices[voice.name] = voice
        answer = {"model_name": voice.name, "public": voice.public, "description": voice.description}
        return JSONResponse(answer)

    @router.get("/v1/audio/voices", responses=refusals(401))
    @router.get("/v1/voice/models/list", responses=refusals(401))
    async def listing(request: Request) -> Response:
        """List the voices this key may use."""
        rows = [_row(voice) for voice in _usable(voices, _owner(request, settings))]
        return JSONResponse({"success": True, "voice_characters": rows, "total": len(rows)})

    @router.post("/v1/audio/speech", openapi_extra=json_body(SpeechRequest), responses=refusals(400, 401))
    async def speech(request: Request) -> Response:
        """Speak: the sandbox returns the voice's first clip as enrolled."""
        owner = _owner(request, settings)
        wish = _speech_request(await request.body())
        voice = next((voice for voice in _usable(voices, owner) if voice.name == wish.voice), None)
        if voice is None:
            raise Wrong(f"voice: no voice named {wish.voice!r}")
        try:
            return Response(encode(voice.sound, wish.response_format), media_type=MEDIA_TYPES[wish.response_format])
        except NotSound as error:
            raise Wrong(f"response_format: {error}") from error

    return router


class Wrong(Refused):
    """A refusal on its way out."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(refusal(status, message))


def _owner(request: Request, settings: Settings) -> str:
    owner = settings.account(bearer(request) or "")
    if owner is None:
        raise Wrong("Invalid API key", 401)
    return owner


def _usable(voices: dict[str, Enrolled], owner: str) -> list[Enrolled]:
    return [voice for voice in voices.values() if voice.public or voice.owner == owner]


def _row(voice: Enrolled) -> dict[str, str]:
    label = "public" if voice.public else "private"
    return {"name": voice.name, "public": label, "description": voice.description}


async def _enrolled(form: FormData, owner: str, taken: dict[str, Enrolled], strict: bool) -> Enrolled:
    name = _one(form, "name").strip()
    if not name:
        raise Wrong("name is required")
    if name in taken:
        raise Wrong(f"name: a voice named {name!r} already exists")
    sounds = await _sounds(form.getlist("audio_files"))
    texts = _texts(form.getlist("reference_texts"), len(sounds))
    public = _one(form, "public") or "false"
    if public not in ("true", "false"):
        raise Wrong('public must be "true" or "false"')
    email = _one(form, "contact_email")
    if public == "false" and "@" not in email:
        raise Wrong("contact_email is required when public is false")
    for number, sound in enumerate(sounds if strict else [], start=1):
        _check_advice(number, sound)
    if name in taken:  # another request made it while this one was decoding
        raise Wrong(f"name: a voice named {name!r} already exists")
    return Enrolled(name, owner, public == "true", _one(form, "description"), sounds[0], texts)


def _one(form: FormData, field: str) -> str:
    values = form.getlist(field)
    if len(values) > 1 or not all(isinstance(value, str) for value in values):
        raise Wrong(f"{field} must be given once, as text")
    return str(values[0]) if values else ""


async def _sounds(parts: Sequence[UploadFile | str]) -> list[Sound]:
    if not 2 <= len(parts) <= 3:
        raise Wrong(f"audio_files: two or three files are required, got {len(parts)}")
    sounds = []
    for number, part in enumerate(parts, start=1):
        if isinstance(part, str) or not (part.filename or "").lower().endswith(".wav"):
            raise Wrong(f"audio_files[{number}] must be a .wav file")
        try:
            sounds.append(decode_wav(await part.read()))
        except NotSound as error:
            raise Wrong(f"audio_files[{number}] {error}") from error
    return sounds


def _texts(parts: Sequence[UploadFile | str], n_files: int) -> tuple[str, ...]:
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == 1 and texts[0].lstrip().startswith("["):  # one JSON array part is taken too
        try:
            texts = TypeAdapter(list[str]).validate_json(texts[0])
        except ValidationError as error:
            raise Wrong("reference_texts is not an array of strings") from error
    if len(texts) != n_files or len(parts) > max(len(texts), 1):
        raise Wrong(f"reference_texts: {len(texts)} texts for {n_files} audio_files; one each is required")
    if not all(text.strip() for text in texts):
        raise Wrong("reference_texts must not be blank")
    return tuple(texts)


def _check_advice(number: int, sound: Sound) -> None:
    if sound.seconds < MIN_S:
        raise Wrong(f"audio_files[{number}] lasts {sound.seconds:.2f} s; at least {MIN_S:g} s is required")
    if sound.channels != 1:
        raise Wrong(f"audio_files[{number}] has {sound.channels} channels; mono is required")
    if sound.rate_hz not in RATES_HZ:
        raise Wrong(f"audio_files[{number}] is at {sound.rate_hz} Hz; 16000 or 24000 Hz is required")


def _speech_request(body: bytes) -> SpeechRequest:
    try:
        wish = SpeechRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Wrong(f"{'.'.join(str(step) for step in first['loc']) or 'body'}: {first['msg']}") from error
    if not wish.input.strip():
        raise Wrong("input must not be blank")
    return wish
