"""How much of a clip is speech, by the project's own Silero network."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.sandbox.sound import Sound
from prep.audio import resample
from prep.models.registry import cache_root, ensure
from prep.models.vad import SileroStream, open_silero

THRESHOLD = 0.5
MAX_PAUSE_S = 2.0
"""Speech goes on across a pause of this length (Qwen's document advises against longer ones)."""


@dataclass(frozen=True)
class Speech:
    """Seconds of speech altogether, and of the longest stretch without a pause over `MAX_PAUSE_S`."""

    total_s: float
    longest_s: float


def speech_of(sound: Sound) -> Speech:
    """Speech in the first channel; both values are 0 where there is none."""
    stream = SileroStream(_session())
    mono = np.ascontiguousarray(sound.samples[:, 0])
    probs = stream.push(resample(mono, sound.rate_hz, stream.rate_hz), last=True)
    return spans(probs >= THRESHOLD, stream.hop / stream.rate_hz)


def spans(speech: npt.NDArray[np.bool_], step_s: float) -> Speech:
    """The same from marked steps of `step_s` seconds."""
    at = np.flatnonzero(speech)
    if not len(at):
        return Speech(0.0, 0.0)
    breaks = np.flatnonzero(np.diff(at) > MAX_PAUSE_S / step_s + 1)
    first, last = at[np.r_[0, breaks + 1]], at[np.r_[breaks, len(at) - 1]]
    return Speech(len(at) * step_s, float((last - first + 1).max()) * step_s)


@functools.cache
def _session() -> Any:
    return open_silero(ensure("silero-vad-v6", cache=cache_root()))
