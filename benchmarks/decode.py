"""Decoding and resampling: speed, and what resampling leaves of tones it should keep or remove.

Speed is per core: seconds of audio per second of processor time. Tones are at half of full scale; an alias is what
is left at the new rate of a tone above its Nyquist frequency, a loss what a tone below it has lost.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np
import scipy.signal

from benchmarks import inputs
from benchmarks.clock import time_once, time_runs
from benchmarks.report import Table, at_least, at_most, median_of
from prep.audio import Decoder, Resampler, Samples, resample
from prep.clip import Source
from prep.stages.ingest import Ingest, ingest
from prep.store import Store

MINUTES = 20.0
TO_HZ = 24_000
SPEED_BUDGET, ALIAS_BUDGET_DB, LOSS_BUDGET_DB = 1000.0, -100.0, 0.1
FILES = (("AAC stereo", "aac", 2), ("MP3 stereo", "libmp3lame", 2), ("AAC mono", "aac", 1))
ALIAS_AT, LOSS_AT = (1.02, 1.10, 1.25), 0.9

Resample = Callable[[Samples, int, int], Samples]


def decode_resample(path: Path) -> float:
    """Decode, mix to mono, resample in a stream; seconds of audio that came out."""
    n_samples = 0
    with Decoder(path) as decoder:
        resampler = None
        for block in decoder.blocks():
            resampler = resampler or Resampler(block.rate_hz, TO_HZ, 1)
            n_samples += len(resampler.push(block.samples.mean(axis=1, keepdims=True)))
        if resampler is not None:
            n_samples += len(resampler.push(np.zeros((0, 1), np.float32), last=True))
    return n_samples / TO_HZ


def ffmpeg_only(path: Path) -> None:
    """Demux and decode through PyAV, each frame thrown away: what no code of ours can beat."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        for packet in container.demux(stream):
            stream.decode(packet)


def decode_only(path: Path) -> None:
    """Decode and throw away."""
    with Decoder(path) as decoder:
        for _ in decoder.blocks():
            pass


def ingest_once(path: Path, folder: Path) -> None:
    """All of ingest into an empty store: decoding, channel choice, native measures, resampling, FLAC."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        ingest(Source("talk", path, "0"), Ingest(rate_hz=TO_HZ, channels="mix"), Store(Path(store)))


def _speeds(folder: Path) -> Table:
    rows = []
    for label, codec, n_channels in FILES:
        path = inputs.long_talk(folder, MINUTES, codec, n_channels)
        seconds = decode_resample(path)
        kinds: tuple[tuple[str, Callable[[], object], bool], ...] = (
            ("FFmpeg alone", partial(ffmpeg_only, path), False),
            ("prep's decoder", partial(decode_only, path), False),
            ("decode + mix + resample", partial(decode_resample, path), True),
            ("whole ingest", partial(ingest_once, path, folder), False),
        )
        for kind, work, has_budget in kinds:
            speeds = [seconds / took.cpu_s for took in time_runs(work, 3)]
            verdict = at_least(statistics.median(speeds), SPEED_BUDGET)[1:] if has_budget else ("-", "-")
            rows.append((label, kind, median_of(speeds), *verdict))
    return Table(
        f"Speed, {MINUTES:.0f} min of 44.1 kHz at 64 kbit/s a channel to {TO_HZ / 1000:g} kHz mono",
        ("file", "work", "x real time per core: median (range)", "budget", ""),
        rows,
        "FFmpeg alone decodes frames and throws them away: the ceiling on this machine. Whole ingest adds true peak, "
        "clipping and channel statistics at the native rate, and the FLAC working copy.",
    )


def tone(freq_hz: float, rate_hz: int, seconds: float = 4.0) -> Samples:
    """Sine at half of full scale, `(n,)`."""
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * freq_hz * at)).astype(np.float32)


def level_db(method: Resample, freq_hz: float, from_hz: int) -> float:
    """Level after resampling against before, dB; the ends, where filters ring, are left out."""
    before = tone(freq_hz, from_hz)
    after = method(before, from_hz, TO_HZ).astype(np.float64)
    middle = after[len(after) // 8 : -len(after) // 8]
    ratio = np.sqrt(np.mean(middle**2)) / np.sqrt(np.mean(before.astype(np.float64) ** 2))
    return 20 * float(np.log10(max(ratio, 1e-10)))


def _scipy(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    common = math.gcd(from_hz, to_hz)
    return np.asarray(scipy.signal.resample_poly(samples, to_hz // common, from_hz // common), np.float32)


def _pydub(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
    pcm = np.round(samples * 32767).astype(np.int16).tobytes()
    segment = AudioSegment(data=pcm, sample_width=2, frame_rate=from_hz, channels=1).set_frame_rate(to_hz)
    return np.array(segment.get_array_of_samples(), np.float32) / 32767


def _librosa(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    import librosa

    return np.asarray(librosa.resample(samples, orig_sr=from_hz, target_sr=to_hz), np.float32)


def stream(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """`prep.audio.Resampler`, fed a second at a time."""
    resampler = Resampler(from_hz, to_hz, 1)
    parts = [resampler.push(samples[at : at + from_hz, None]) for at in range(0, len(samples), from_hz)]
    return np.concatenate([*parts, resampler.push(np.zeros((0, 1), np.float32), last=True)])[:, 0]


METHODS: dict[str, Resample] = {
    "prep.audio.Resampler": stream,
    "prep.audio.resample": resample,
    "librosa.resample": _librosa,
    "scipy resample_poly": _scipy,
    "pydub set_frame_rate": _pydub,
}


def _tones(from_hz: int) -> Table:
    nyquist_hz = TO_HZ / 2
    noise = inputs.room_tone(60 * from_hz, 1)[:, 0]
    rows = []
    for name, method in METHODS.items():
        aliases = [level_db(method, k * nyquist_hz, from_hz) for k in ALIAS_AT]
        loss = -level_db(method, LOSS_AT * nyquist_hz, from_hz)
        speed = 60 / statistics.median(
            took.cpu_s for took in (time_once(partial(method, noise, from_hz, TO_HZ)) for _ in range(3))
        )
        met = {at_most(max(aliases), ALIAS_BUDGET_DB, "")[2], at_most(loss, LOSS_BUDGET_DB, "")[2]} == {"met"}
        verdict = ("met" if met else "MISSED") if name.startswith("prep.") else "(peer)"
        rows.append((name, *(f"{alias:z.1f}" for alias in aliases), f"{loss:z.3f}", f"{speed:,.0f}x", verdict))
    return Table(
        f"{from_hz / 1000:g} -> {TO_HZ / 1000:g} kHz",
        (
            "method",
            *(f"alias at {k:.2f} Nyquist, dB" for k in ALIAS_AT),
            f"loss at {LOSS_AT} Nyquist, dB",
            "mono speed",
            "",
        ),
        rows,
        f"Budget: alias <= {ALIAS_BUDGET_DB:g} dB, loss <= {LOSS_BUDGET_DB:g} dB. A negative loss is a gain "
        "(for pydub: images beside the tone). pydub works on 16-bit samples.",
    )


def run() -> list[Table]:
    """All tables."""
    with tempfile.TemporaryDirectory() as folder:
        return [_speeds(Path(folder)), _tones(48_000), _tones(44_100)]
