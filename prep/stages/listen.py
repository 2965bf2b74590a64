"""Listen once to a working copy: speech, music and level over time, kept as one small track.

All that later steps ask about speech, pauses, noise, edges and music is read off this track; an hour is 2 MB.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from prep.audio import CopyReader, Resampler, Samples
from prep.clip import WorkingCopy
from prep.models.ear import KINDS, Ear
from prep.store import Store, digest, write_atomic

FRAME_S = 0.01
SILENT_DB = -120.0
QUIET_BELOW_DB = 20.0
"""An edge is quiet this far under the speech around it."""
CLICK_BELOW_DB = 10.0
QUIET_FRAMES = 8
PROBS = ("prob", "singing", "music")
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Track:
    """Frames of 10 ms over one working copy.

    Args:
        prob: speech probability 0..1 per frame.
        level_db: RMS per frame, dBFS, never under `SILENT_DB`.
        n_samples: of the working copy.
        rate_hz: of the working copy.
        singing, music: probabilities 0..1 per frame, also under speech; empty where nobody listened for them.
    """

    prob: Floats
    level_db: Floats
    n_samples: int
    rate_hz: int
    singing: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    music: Floats = field(default_factory=lambda: np.zeros(0, np.float32))

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
    """Settings of listening.

    Args:
        ear: gives the networks, which are opened only when a recording is not in the store.
        weights_sha256: digest of the networks.
        threads: that listen to one recording.
    """

    ear: Callable[[], Ear] = field(metadata={"key": False})
    weights_sha256: str
    threads: int = field(default=1, metadata={"key": False})
    version: str = "2"


def listen(copy: WorkingCopy, settings: Listen, store: Store) -> Track:
    """The track of a working copy, from the store where it has it."""
    path = store.blob_path(digest(copy.key, "listen", settings.version, settings.weights_sha256), ".npz")
    if not path.exists():
        with CopyReader(copy.path) as reader:
            track = track_of(reader.blocks(10.0), reader.rate_hz, settings.ear(), settings.threads)
        probs = {name: np.round(getattr(track, name) * 255).astype(np.uint8) for name in PROBS}
        buffer = io.BytesIO()
        np.savez(buffer, level_db=track.level_db.astype(np.float16), **probs)  # type: ignore[arg-type, unused-ignore]
        write_atomic(path, buffer.getvalue())
    with np.load(path) as saved:
        loaded = {name: saved[name].astype(np.float32) / 255 for name in PROBS}
        level_db = saved["level_db"].astype(np.float32)
        return Track(level_db=level_db, n_samples=copy.span.n_samples, rate_hz=copy.span.rate_hz, **loaded)


def track_of(blocks: Iterable[Samples], rate_hz: int, ear: Ear, threads: int = 1) -> Track:
    """The track of a signal that comes in blocks of `(n,)` float32; all but the last a multiple of 10 ms long."""
    levels: list[Floats] = []
    n_samples = 0

    def resampled() -> Iterator[Samples]:
        nonlocal n_samples
        resampler = Resampler(rate_hz, ear.rate_hz, 1)
        for block in blocks:
            n_samples += len(block)
            levels.append(frame_levels_db(block, int(rate_hz * FRAME_S)))
            yield resampler.push(block[:, None])[:, 0]
        yield resampler.push(np.zeros((0, 1), np.float32), last=True)[:, 0]

    kinds = ear.hear(resampled(), threads)
    level_db = np.concatenate([np.zeros(0, np.float32), *levels])
    # resampled, the rest of a frame may be gone or have become one
    at = np.minimum(np.arange(len(level_db)), max(0, len(kinds) - 1))
    kinds = kinds[at] if len(kinds) else np.zeros((len(level_db), len(KINDS)), np.float32)
    return Track(kinds[:, 0], level_db, n_samples, rate_hz, kinds[:, 1], kinds[:, 2])


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
