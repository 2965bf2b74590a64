"""Builders of audio, files, tracks and clips for the tests: everything is made, nothing is patched."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile

from prep.audio import CopyWriter, Decoder, DecodeStats, Samples
from prep.clip import Clip, Source, WorkingCopy
from prep.span import Span
from prep.stages.listen import FRAME_S, Track

DATA = Path(os.environ.get("VOXPREP_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
"""The shared recordings, beside the project."""
Stamp = Callable[[int, float], float | None]
"""(packet index, true time in s) -> time to write in s, or None to leave the packet out."""


def seconds(n_s: float, rate_hz: int) -> npt.NDArray[np.float64]:
    return np.arange(round(n_s * rate_hz)) / rate_hz


def tone(n_s: float, rate_hz: int, hz: float = 440.0, amplitude: float = 0.5, phase: float = 0.0) -> Samples:
    return (amplitude * np.sin(2 * np.pi * hz * seconds(n_s, rate_hz) + phase)).astype(np.float32)


def noise(n_s: float, rate_hz: int, rms: float = 0.1, seed: int = 1) -> Samples:
    return (rms * np.random.default_rng(seed).standard_normal(round(n_s * rate_hz))).astype(np.float32)


def silence(n_s: float, rate_hz: int) -> Samples:
    return np.zeros(round(n_s * rate_hz), np.float32)


def buzz(n_s: float, rate_hz: int, pitch_hz: float = 120.0, amplitude: float = 0.3) -> Samples:
    """A voice-like hum: harmonics up to 4 kHz under two formants, with a little vibrato."""
    t = seconds(n_s, rate_hz)
    turns = pitch_hz * t + 0.3 * np.sin(2 * np.pi * 5 * t)
    out = np.zeros(len(t))
    for k in range(1, int(min(4000, 0.45 * rate_hz) / pitch_hz) + 1):
        hz = k * pitch_hz
        gain = np.exp(-(((hz - 600) / 300) ** 2)) + 0.5 * np.exp(-(((hz - 1500) / 400) ** 2)) + 0.02
        out += gain * np.sin(2 * np.pi * k * turns)
    return (amplitude * out / max(1e-9, np.abs(out).max())).astype(np.float32)


def talk(n_s: float, rate_hz: int, pitch_hz: float = 120.0, seed: int = 1, noise_rms: float = 1e-3) -> Samples:
    """Speech-like: buzz in syllables of random length and loudness over a little noise."""
    rng = np.random.default_rng(seed)
    envelope = np.zeros(round(n_s * rate_hz))
    at = 0
    while at < len(envelope):
        n = int(rng.uniform(0.12, 0.35) * rate_hz)
        part = np.hanning(n) * rng.uniform(0.4, 1.0)
        envelope[at : at + n] = part[: len(envelope) - at]
        at += n + int(rng.choice([0.02, 0.05, 0.3], p=[0.6, 0.25, 0.15]) * rate_hz)
    return (buzz(n_s, rate_hz, pitch_hz) * envelope + noise(n_s, rate_hz, noise_rms, seed)).astype(np.float32)


def with_marker(samples: Samples, at_s: float, rate_hz: int, n_s: float = 0.1) -> Samples:
    """A copy in which a loud 1 kHz burst begins at `at_s`."""
    out = samples.copy()
    burst = tone(n_s, rate_hz, 1000.0, 0.9)
    start = round(at_s * rate_hz)
    out[start : start + len(burst)] = burst
    return out


def onset_s(samples: Samples, rate_hz: int, level: float = 0.45, after_s: float = 0.0) -> float:
    """Time of the first sample at `level` or louder."""
    start = round(after_s * rate_hz)
    return (start + int(np.argmax(np.abs(samples[start:]) >= level))) / rate_hz


def level_dbfs(samples: Samples) -> float:
    return 10 * float(np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-30))


def write_pcm(path: Path, samples: Samples, rate_hz: int, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


def write_coded(
    path: Path,
    samples: Samples,
    rate_hz: int,
    codec: str,
    stamp: Stamp | None = None,
    video: bool = False,
    bits_per_s: int = 96_000,
) -> Path:
    """Encode mono `(n,)`; the container follows from the name. `video` adds a small picture stream from 0 s."""
    with av.open(str(path), "w") as container:
        pictures: Any = None
        if video:
            pictures = container.add_stream("mpeg4", rate=5)
            pictures.width = pictures.height = 32
            pictures.pix_fmt = "yuv420p"
        stream: Any = container.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = bits_per_s
        if pictures is not None:
            for i in range(int(5 * len(samples) / rate_hz)):
                picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
                picture.pts, picture.time_base = i, Fraction(1, 5)
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        for i, packet in enumerate(_packets(stream, samples, rate_hz)):
            if stamp is not None:
                true_s = float(packet.pts * packet.time_base)
                wished_s = stamp(i, true_s)
                if wished_s is None:
                    continue
                packet.pts = packet.dts = round(wished_s / packet.time_base)
            container.mux(packet)
    return path


def _packets(stream: Any, samples: Samples, rate_hz: int) -> list[Any]:
    packets: list[Any] = []
    for at in range(0, len(samples), rate_hz):
        block = np.ascontiguousarray(samples[None, at : at + rate_hz])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, at, Fraction(1, rate_hz)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def decode(path: Path, stream: int = 0) -> tuple[Samples, int, DecodeStats]:
    """A whole file `(n, channels)`, its rate, and what was counted."""
    with Decoder(path, stream) as decoder:
        blocks = list(decoder.blocks())
        (rate_hz,) = {block.rate_hz for block in blocks}
        return np.concatenate([block.samples for block in blocks]), rate_hz, decoder.stats


def source_of(path: Path, name: str | None = None) -> Source:
    return Source(name or path.name, path, hashlib.sha256(path.read_bytes()).hexdigest())


def copy_of(folder: Path, samples: Samples, rate_hz: int = 24_000, **facts: Any) -> WorkingCopy:
    """A working copy on disk with the given facts."""
    key = hashlib.sha256(samples.tobytes() + str(rate_hz).encode()).hexdigest()[:32]
    path = folder / f"{key}.flac"
    writer = CopyWriter(path, rate_hz)
    writer.write(samples)
    writer.close()
    return WorkingCopy(
        Source("made.wav", folder / "made.wav", key * 2), key, path, "mono", Span(0, len(samples), rate_hz), facts
    )


def bare_copy(n_samples: int = 240_000, rate_hz: int = 24_000, key: str = "c0", **facts: Any) -> WorkingCopy:
    """A working copy without a file, for what never reads samples."""
    source = Source("made.wav", Path("made.wav"), "0" * 64)
    return WorkingCopy(source, key, Path("none.flac"), "mono", Span(0, n_samples, rate_hz), facts)


def clip_of(copy: WorkingCopy, start_s: float = 0.0, end_s: float | None = None, key: str = "k0") -> Clip:
    rate_hz = copy.span.rate_hz
    stop = copy.span.stop if end_s is None else round(end_s * rate_hz)
    return Clip(copy, Span(round(start_s * rate_hz), stop, rate_hz), key)


@dataclass(frozen=True)
class Seen:
    """What a measure sees (see `prep.recordings.View`), given outright."""

    clip: Clip
    samples: Samples
    track: Track

    def around(self, least_s: float) -> Samples:
        """The clip is all there is."""
        return self.samples


Part = tuple[float, float, float]
"""(seconds, speech probability, level in dBFS)"""


def track_of(parts: Sequence[Part], rate_hz: int = 24_000, n_samples: int | None = None) -> Track:
    """A hand-built track; `n_samples` may end inside the last frame."""
    n_frames = [round(n_s / FRAME_S) for n_s, _, _ in parts]
    prob = np.repeat(np.array([p for _, p, _ in parts], np.float32), n_frames)
    level = np.repeat(np.array([db for _, _, db in parts], np.float32), n_frames)
    total = len(prob) * int(rate_hz * FRAME_S)
    return Track(prob, level, total if n_samples is None else n_samples, rate_hz)
