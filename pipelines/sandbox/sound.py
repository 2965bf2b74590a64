"""The sandbox really opens what it is sent, and answers with sound that was really there."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
import soundfile

BLOCK = 65536  # frames; libsndfile 1.2.2 can crash on a long Vorbis/Opus write in one call
OUTPUT = {"wav": ("WAV", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III"), "opus": ("OGG", "OPUS")}
MEDIA_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "opus": "audio/ogg"}
MAX_SECONDS = 600.0


class NotSound(ValueError):
    """The bytes cannot be decoded, or not be written in the wished-for format; says why."""


@dataclass(frozen=True)
class Sound:
    """Decoded audio: float32 `(frames, channels)` in [-1, 1] at `rate_hz`."""

    samples: np.ndarray[tuple[int, int], np.dtype[np.float32]] = field(repr=False)
    rate_hz: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[1])


def decode_wav(data: bytes) -> Sound:
    """Decode a RIFF/WAVE file to its last frame.

    Raises:
        NotSound: not RIFF/WAVE, damaged, empty, or longer than ten minutes.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise NotSound("is not a RIFF/WAVE file")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.frames > MAX_SECONDS * file.samplerate:
                raise NotSound(f"is longer than {MAX_SECONDS:g} s")
            samples = file.read(dtype="float32", always_2d=True)
            rate_hz = int(file.samplerate)
    except soundfile.LibsndfileError as error:
        raise NotSound(f"cannot be decoded ({error.error_string})") from error
    if not len(samples):
        raise NotSound("holds no audio")
    return Sound(samples, rate_hz)


def encode(sound: Sound, form: str) -> bytes:
    """Encode as `wav` (16-bit), `mp3` or `opus`; NotSound where the format cannot hold this rate."""
    container, subtype = OUTPUT[form]
    out = io.BytesIO()
    try:
        with soundfile.SoundFile(out, "w", sound.rate_hz, sound.channels, format=container, subtype=subtype) as file:
            for start in range(0, len(sound.samples), BLOCK):
                file.write(sound.samples[start : start + BLOCK])
    except soundfile.LibsndfileError as error:
        raise NotSound(f"{form} cannot hold {sound.rate_hz} Hz, {sound.channels} channels") from error
    return out.getvalue()
