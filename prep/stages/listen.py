"""Listen once to a working copy: speech probability and level over time, kept as one small track.

All that later steps ask about speech, pauses, noise and edges is read off this track; an hour is 6 MB and 1 % of
the audio's own reading time.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from prep.audio import CopyReader, Resampler, Samples
from prep.clip import WorkingCopy
from prep.models.vad import SileroStream, SpeechStream, open_silero
from prep.store import Store, digest, write_atomic

FRAME_S = 0.01
SILENT_DB = -120.0
QUIET_BELOW_DB = 20.0
"""An edge is quiet this far under the speech around it."""
CLICK_BELOW_DB = 10.0
QUIET_FRAMES = 8
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """Frames of 10 ms over one working copy.

    Args:
        prob: speech probability 0..1 per frame (the network's 32 ms steps, each frame taking its step's value).
        level_db: RMS per frame, dBFS, never under `SILENT_DB`.
        n_samples: of the working copy.
        rate_hz: of the working copy.
    """

    prob: Floats
    level_db: Floats
    n_samples: int
    rate_hz: int

    @property
    def frame(self) -> int:
        """Samples per frame."""
        return int(self.rate_hz * FRAME_S)

    @cached_property
    def quiet(self) -> npt.NDArray[np.bool_]:
        """Frames in some 80 ms of mean level at least `QUIET_BELOW_DB` under the speech around, all of p < 0.5.

        The mean, not each frame: steady noise wobbles by several dB from one 10 ms to the next. But no frame of it
        may come within `CLICK_BELOW_DB` of the speech. A recording without any speech has none that could be under
        it: all False.
        """
        level = speech_level_db(self)
        power = 10 ** (self.level_db.astype(np.float64) / 10)
        allowed = (self.prob < 0.5) & (self.level_db <= level - CLICK_BELOW_DB) & np.isfinite(level)
        n = min(QUIET_FRAMES, len(power))
        if n == 0:
            return allowed
        mean_db = 10 * np.log10(np.convolve(power, np.ones(n) / n, "valid") + 1e-15)
        every = np.convolve(allowed, np.ones(n), "valid") > n - 0.5
        good = every & (mean_db <= level[: len(mean_db)] - QUIET_BELOW_DB)
        return np.asarray(np.convolve(good, np.ones(n), "full") > 0.5)

    def frames(self, start: int, stop: int) -> slice:
        """Frames that lie wholly inside the samples `[start, stop)`; at least one, if the track has any."""
        first = -(-start // self.frame)
        return slice(first, max(first + 1, stop // self.frame))


@dataclass(frozen=True)
class Listen:
    """Settings of listening; `weights_sha256` is the network's digest."""

    weights_path: Path = field(metadata={"key": False})
    weights_sha256: str
    version: str = "1"


def listen(copy: WorkingCopy, settings: Listen, store: Store) -> Track:
    """The track of a working copy, from the store where it has it."""
    path = store.blob_path(digest(copy.key, "listen", settings.version, settings.weights_sha256), ".npz")
    if not path.exists():
        track = _run(copy.path, SileroStream(open_silero(settings.weights_path)))
        buffer = io.BytesIO()
        np.savez(buffer, prob=np.round(track.prob * 255).astype(np.uint8), level=track.level_db.astype(np.float16))
        write_atomic(path, buffer.getvalue())
    with np.load(path) as saved:
        prob = saved["prob"].astype(np.float32) / 255
        return Track(prob, saved["level"].astype(np.float32), copy.span.n_samples, copy.span.rate_hz)


def _run(path: Path, stream: SpeechStream) -> Track:
    with CopyReader(path) as reader:
        return track_of(reader.blocks(10.0), reader.rate_hz, stream)


def track_of(blocks: Iterable[Samples], rate_hz: int, stream: SpeechStream) -> Track:
    """The track of a signal that comes in blocks of `(n,)` float32; all but the last a multiple of 10 ms long."""
    levels: list[Floats] = []
    probs: list[Floats] = []
    n_samples = 0
    resampler = Resampler(rate_hz, stream.rate_hz, 1)
    for block in blocks:
        n_samples += len(block)
        levels.append(frame_levels_db(block, int(rate_hz * FRAME_S)))
        probs.append(stream.push(resampler.push(block[:, None])[:, 0]))
    probs.append(stream.push(resampler.push(np.zeros((0, 1), np.float32), last=True)[:, 0], last=True))
    level_db, steps = np.concatenate(levels), np.concatenate(probs)
    at = np.minimum((np.arange(len(level_db)) + 0.5) * FRAME_S * stream.rate_hz / stream.hop, len(steps) - 1)
    return Track(steps[at.astype(int)], level_db, n_samples, rate_hz)


def frame_levels_db(samples: Samples, frame: int) -> Floats:
    """RMS of each full frame of `(n,)` samples, dBFS; a shorter rest counts as a frame of its own."""
    n = len(samples) // frame
    power = np.einsum("nf,nf->n", *(samples[: n * frame].reshape(n, frame),) * 2, dtype=np.float64) / frame
    if len(samples) % frame:
        power = np.append(power, np.mean(samples[n * frame :].astype(np.float64) ** 2))
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (SILENT_DB / 10))), np.float32)


def power_db(levels_db: Floats) -> float:
    """Mean power of frames, dB; `SILENT_DB` for none."""
    return 10 * float(np.log10(np.mean(10 ** (levels_db.astype(np.float64) / 10)))) if len(levels_db) else SILENT_DB


def speech_level_db(track: Track, around_s: float = 5.0) -> npt.NDArray[np.float64]:
    """Level of the speech around each frame: mean power of frames with p >= 0.5 within `around_s`, dBFS.

    Where none is near, the level of all the recording's speech; where it has none, +inf (nothing is quiet
    under no speech: such a recording has no edges to judge).
    """
    speech = track.prob >= 0.5
    if not speech.any():
        return np.full(len(track.prob), np.inf)
    power = np.where(speech, 10 ** (track.level_db.astype(np.float64) / 10), 0.0)
    reach = int(around_s / FRAME_S)
    sums, counts = _windowed(power, reach), _windowed(speech.astype(np.float64), reach)
    overall = power.sum() / speech.sum()
    near = np.where(counts >= 10, sums / np.maximum(counts, 1), overall)
    return np.asarray(10 * np.log10(np.maximum(near, 1e-12)))


def _windowed(values: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    return np.asarray(sums[np.minimum(at + reach + 1, len(values))] - sums[np.maximum(at - reach, 0)])
