"""The sandbox really opens what it is sent, and answers with sound that was really there."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass, field
from typing import Any

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
    coding: str = ""
    """Of a WAV file as libsndfile names it, e.g. `PCM_16`; else empty."""

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
    if container(data) != "wav":
        raise NotSound("is not a RIFF/WAVE file")
    return _by_soundfile(data)


def decode(data: bytes) -> Sound:
    """Decode WAV or MP3, or the first sound track of an MP4 family file (mp4, mov, m4a), to the last frame.

    Raises:
        NotSound: none of these, damaged, without sound, empty, or longer than ten minutes.
    """
    kind = container(data)
    if kind == "mp4":
        return _by_av(data)
    if kind:
        return _by_soundfile(data)
    raise NotSound("is neither WAV, MP3 nor MP4")


def container(data: bytes) -> str:
    """`wav`, `mp3` or `mp4` by the first bytes; empty for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE6 == 0xE2):  # a frame of layer III
        return "mp3"
    return "mp4" if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") else ""


def _by_soundfile(data: bytes) -> Sound:
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.frames > MAX_SECONDS * file.samplerate:
                raise NotSound(f"is longer than {MAX_SECONDS:g} s")
            samples = file.read(dtype="float32", always_2d=True)
            rate_hz, coding = int(file.samplerate), str(file.subtype)
    except soundfile.LibsndfileError as error:
        raise NotSound(f"cannot be decoded ({error.error_string})") from error
    if not len(samples):
        raise NotSound("holds no audio")
    return Sound(samples, rate_hz, coding if container(data) == "wav" else "")


def _by_av(data: bytes) -> Sound:
    import av

    parts: list[np.ndarray[Any, np.dtype[Any]]] = []
    try:
        with av.open(io.BytesIO(data), "r", format="mov") as file:
            if not file.streams.audio:
                raise NotSound("has no sound track")
            track = file.streams.audio[0]
            rate_hz, n_frames = int(track.rate), 0
            planar = av.AudioResampler(format="fltp", rate=rate_hz)
            for frame in file.decode(track):
                for part in planar.resample(frame):
                    parts.append(part.to_ndarray().T)
                    n_frames += len(parts[-1])
                if n_frames > MAX_SECONDS * rate_hz:
                    raise NotSound(f"is longer than {MAX_SECONDS:g} s")
            parts += [part.to_ndarray().T for part in planar.resample(None)]
    except NotSound:
        raise
    except (av.FFmpegError, ValueError) as error:
        raise NotSound(f"cannot be decoded ({error})") from error
    if not parts:
        raise NotSound("holds no audio")
    return Sound(np.ascontiguousarray(np.concatenate(parts), np.float32), rate_hz)


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


@functools.cache
def tone(frequency_hz: float, seconds: float = 1.0) -> bytes:
    """A WAV file of one soft tone, 24 kHz mono: stands where a vendor would have synthesised."""
    at_s = np.arange(round(24000 * seconds)) / 24000
    samples = (0.1 * np.sin(2 * np.pi * frequency_hz * at_s)).astype(np.float32)
    return encode(Sound(samples[:, None], 24000), "wav")
