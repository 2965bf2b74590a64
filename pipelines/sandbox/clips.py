"""Checks of a fetched clip that several vendors' trainings share."""

from __future__ import annotations

from pipelines.sandbox.jobs import Unfit
from pipelines.sandbox.sound import NotSound, Sound, decode, encode
from pipelines.sandbox.speech import speech_of

MIN_SPEECH_S = 0.5
"""A clip with less speech has no voice in it."""


def opened(data: bytes, name: str = "the audio") -> Sound:
    """The decoded clip; Unfit where it cannot be decoded."""
    try:
        return decode(data)
    except NotSound as error:
        raise Unfit(f"{name} {error}") from error


def require_length(sound: Sound, least_s: float, most_s: float) -> None:
    """Unfit where the clip does not last `least_s` to `most_s` seconds, both included."""
    if not least_s <= sound.seconds <= most_s:
        raise Unfit(f"the audio lasts {sound.seconds:.2f} s; {least_s:g} to {most_s:g} s is required")


def require_voice(sound: Sound) -> None:
    """Unfit where there are not even `MIN_SPEECH_S` seconds of speech."""
    if speech_of(sound).total_s < MIN_SPEECH_S:
        raise Unfit("no human voice is heard in the audio")


def as_wav(sound: Sound) -> bytes:
    """A WAV file of the clip, to listen to; Unfit where that format cannot hold it."""
    try:
        return encode(sound, "wav")
    except NotSound as error:
        raise Unfit(f"the audio {error}") from error
