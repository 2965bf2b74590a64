"""What Qwen finds out about a clip before it enrols it ("创建克隆音色", "Error codes", Alibaba Model Studio, 2026).

The checks, in order: data URL or link, decoding, sample rate, length, speech, transcript. The transcript is compared
with what `Settings.hear` hears; without that, its length is compared with what can be said in so much speech.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from pipelines.sandbox.fetch import NotAUrl, fetch, http_url
from pipelines.sandbox.jobs import Unfit
from pipelines.sandbox.settings import Settings
from pipelines.sandbox.sound import NotSound, Sound, container, decode, encode
from pipelines.sandbox.speech import speech_of
from prep.text import UNSPACED, error_rate, units

CONTAINERS = {"audio/wav": "wav", "audio/mpeg": "mp3", "audio/mp4": "mp4"}
MAX_ENCODED = 10_000_000
"""Base64 characters must be fewer; a file behind a link may have as many bytes. 10 MB is read as decimal."""
MIN_RATE_HZ = 24_000
MAX_S = 60.0
MIN_SPEECH_S = 3.0
MIN_UNITS_PER_S, MAX_UNITS_PER_S = 0.5, 10.0
"""Words, or characters of scripts without spaces, per second of speech: people say 2 to 4 words, 3 to 7 characters."""
MAX_ERROR_RATE = 0.5
"""Edits per word (or character) of the transcript at which it is another text."""
NO_SEGMENTS = "No segments meet minimum duration requirement"
NO_MATCH = "The text does not match the audio"
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


class Refusal(Exception):
    """Why a clip is refused: the vendor's code, and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Enrolment:
    """What a client sent: a data URL or a link, and what it says about it."""

    data: str = field(repr=False)
    text: str | None = None
    language: str | None = None


@dataclass(frozen=True)
class Clip:
    """An accepted clip as a WAV file (first channel); `fallback` is the vendor's reason for a poor one, or empty."""

    audio: bytes = field(repr=False)
    fallback: str = ""


def enrolled(wish: Enrolment, settings: Settings) -> Clip:
    """Check a clip as the vendor does; blocks for as long as fetching and listening take.

    Raises:
        Refusal: the first check that fails.
    """
    data, kind = _given(wish.data, settings)
    sound = _opened(data, kind, settings.strict)
    if sound.rate_hz < MIN_RATE_HZ:
        raise Refusal("Audio.AudioRateError", f"The sample rate {sound.rate_hz} Hz is below {MIN_RATE_HZ} Hz")
    if sound.seconds > MAX_S:
        raise Refusal("Audio.DurationLimitError", f"The audio lasts {sound.seconds:.2f} s, over {MAX_S:g} s")
    speech = speech_of(sound)
    if speech.total_s < MIN_SPEECH_S:
        raise Refusal("Audio.PreprocessError", NO_SEGMENTS)
    if wish.text is not None and wish.text.strip() and not _matches(wish, data, speech.total_s, settings):
        raise Refusal("Audio.PreprocessError", NO_MATCH)
    first = Sound(sound.samples[:, :1], sound.rate_hz)
    return Clip(encode(first, "wav"), "" if speech.longest_s >= MIN_SPEECH_S else "no_merged_segments")


def _given(text: str, settings: Settings) -> tuple[bytes, str]:
    """The bytes, and the container they are said to be (empty for a link)."""
    if text[:5].lower() == "data:":
        return _unpacked(text)
    try:
        http_url(text)
    except NotAUrl as error:
        raise Refusal("InvalidParameter", f"input.audio.data: neither a data URL nor a link; it {error}") from error
    try:
        data = fetch(text, settings)
    except Unfit as error:
        raise Refusal("BadRequest.InputDownloadFailed", f"Failed to download the audio: {error}") from error
    if len(data) > MAX_ENCODED:
        raise Refusal("InvalidParameter", f"input.audio.data: the file is larger than {MAX_ENCODED} bytes")
    return data, ""


def _unpacked(text: str) -> tuple[bytes, str]:
    head, comma, encoded = text.partition(",")
    kind = CONTAINERS.get(head[len("data:") :].removesuffix(";base64"))
    if not comma or kind is None or not head.startswith("data:") or not head.endswith(";base64"):
        raise Refusal("InvalidParameter", f"input.audio.data: one of data:({'|'.join(CONTAINERS)});base64,…")
    if len(encoded) >= MAX_ENCODED:
        raise Refusal("InvalidParameter", f"input.audio.data: {MAX_ENCODED} base64 characters or more")
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal("InvalidParameter", f"input.audio.data: not base64 ({error})") from error
    if not data:
        raise Refusal("InvalidParameter", "input.audio.data: no audio in it")
    return data, kind


def _opened(data: bytes, kind: str, strict: bool) -> Sound:
    try:
        sound = decode(data)
    except NotSound as error:
        raise Refusal("Audio.DecoderError", f"The audio {error}") from error
    if strict and kind and container(data) != kind:
        raise Refusal("Audio.DecoderError", f"The audio is {container(data)}, not {kind}")
    if strict and sound.coding not in ("", "PCM_16"):
        raise Refusal("Audio.DecoderError", f"WAV must be 16-bit, not {sound.coding}")
    return sound


def _matches(wish: Enrolment, data: bytes, speech_s: float, settings: Settings) -> bool:
    text = wish.text or ""
    language = wish.language or ("zh" if _CJK.search(text) else "en")
    if settings.hear is not None:
        return error_rate(text, settings.hear(data), language) <= MAX_ERROR_RATE
    spaced = _CJK.sub(r" \g<0> ", text) if language in UNSPACED else text
    n_units = len(units(spaced, "en"))  # words among characters count as words
    return MIN_UNITS_PER_S <= n_units / speech_s <= MAX_UNITS_PER_S
