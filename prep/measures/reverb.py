"""How much room is heard: C50 estimated blindly from how fast speech sounds die away."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from prep.audio import Samples
from prep.clip import Measures
from prep.recordings import View

FRAME_S, HOP_S = 0.02, 0.01
EDGES_HZ = np.geomspace(300, 4000, 9)
SLOPE_FRAMES = 8
OVER_FLOOR_DB = 20.0
STEEPEST = 5
MIN_FRAMES, MIN_BANDS = 20, 4
SCALE_DB, OFFSET_DB = 19.8, -94.2
"""C50 = 19.8 ln(dB/s) - 94.2, fitted on 6 voices through 33 rooms; on 5 other voices it errs by 1.4 dB (median)."""
LOWEST_DB, DRY_DB = -5.0, 25.0
LEAST_S = 8.0
"""In less too few sounds may end: of 2 s of spontaneous talk in noisy rooms a fifth to a third are unknown, of 8 s one
in forty."""
Levels = npt.NDArray[np.float64]


def measure(view: View) -> Measures:
    """`c50_db`: estimated clarity index, dB: energy of the first 50 ms of the room's response over all that follows.

    A voice ends its sounds at 300 dB/s and faster; a room lets no band fall faster than the room itself does. In
    eight bands from 0.3 to 4 kHz: the steepest 5 % of slopes over 80 ms, of sounds at least 20 dB over the quietest
    twentieth of frames; the median of the bands gives C50 by a line in its logarithm. Rank correlation with the true
    C50 of real and made rooms 0.95, median error 1.4 dB (benchmarks/results/reverb.md). From -5 to 25 dB; 20 and more
    is dry, and there the voice itself is the limit: 25 stands for all above. Close microphones have 20 and more, a
    furnished room at arm's length 10 to 20, a meeting table 0 to 10. A clip under 8 s is measured with the recording
    around it: the room is the same. None where too few sounds rise 20 dB over noise.
    """
    slope = decay_db_per_s(band_levels_db(view.around(LEAST_S), view.clip.span.rate_hz))
    if slope is None:
        return {"c50_db": None}
    return {"c50_db": float(np.clip(SCALE_DB * np.log(max(slope, 1.0)) + OFFSET_DB, LOWEST_DB, DRY_DB))}


def band_levels_db(samples: Samples, rate_hz: int) -> Levels:
    """Levels `(frames, 8)` every 10 ms, dB; no frames for less than one."""
    n, hop = int(rate_hz * FRAME_S), int(rate_hz * HOP_S)
    if len(samples) < n:
        return np.zeros((0, len(EDGES_HZ) - 1))
    frames = np.lib.stride_tricks.sliding_window_view(samples, n)[::hop]
    edges = np.rint(EDGES_HZ * n / rate_hz).astype(int)
    turns = np.ascontiguousarray(frames) @ _bases(n, int(edges[0]), int(edges[-1]))
    power = turns[:, ::2] ** 2 + turns[:, 1::2] ** 2
    return np.asarray(10 * np.log10(np.add.reduceat(power, edges[:-1] - edges[0], axis=1) + 1e-10), np.float64)


@cache
def _bases(n: int, first: int, stop: int) -> npt.NDArray[np.float32]:
    """The bins `[first, stop)` of a Hann-windowed DFT as a matrix `(n, 2 * bins)`: half the time of all bins."""
    turns = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(first, stop)) / n) * np.hanning(n)[:, None]
    return np.ascontiguousarray(turns.astype(np.complex64)).view(np.float32)


def decay_db_per_s(levels_db: Levels) -> float | None:
    """How fast the fastest sounds die away, dB/s > 0, median over bands; None where too few can be seen to."""
    n = len(levels_db) - SLOPE_FRAMES + 1
    if n < MIN_FRAMES:
        return None
    steps = np.arange(SLOPE_FRAMES) - (SLOPE_FRAMES - 1) / 2
    weights = steps / (steps**2).sum() / HOP_S
    slopes = sum(weight * levels_db[i : i + n] for i, weight in enumerate(weights))
    loud = levels_db[:n] >= np.percentile(levels_db, 5, axis=0) + OVER_FLOOR_DB
    found = [
        float(np.percentile(np.asarray(slopes)[loud[:, band], band], STEEPEST))
        for band in range(levels_db.shape[1])
        if loud[:, band].sum() >= MIN_FRAMES
    ]
    return -float(np.median(found)) if len(found) >= MIN_BANDS and np.median(found) < 0 else None
