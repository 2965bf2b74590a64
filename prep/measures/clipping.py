"""Clipped samples: at full scale, counted before resampling smoothed them over, and flat tops below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from prep.audio import Samples
from prep.clip import Clip, Measures
from prep.recordings import View
from prep.stages.ingest import BIN_S

FLAT_RUN = 3
NEAR_EXTREME = 0.98
QUIETEST_CLIP = 0.05
"""Below -26 dBFS nothing clips; equal samples there are coarse quantisation."""
STEP_DB, DEPTH_DB = 0.25, 6.0
MIN_PILED = 24
PILED_OVER = 2.0


def measure(view: View) -> Measures:
    """`clipped_ratio`, `flat_top_ratio` (0..1): clipped time in the clip / its length.

    `clipped_ratio`: runs at full scale (`prep.stages.ingest.CLIP_RUN`). Clean speech has 0; above 0.001 the
    distortion is heard. Counted in 100 ms bins of the source, so a clip's edge may count up to 100 ms of its
    neighbour.
    `flat_top_ratio`: tops cut off at any level, as by a clipped recording that was turned down later. From the
    source's own samples where ingest counted them (`flat_bins`), else from how samples pile up at one level in the
    working copy (`piled_up`). Clean speech has 0; above 0.001 the distortion is heard. Where the recording was
    resampled its cut tops ring, and piling up alone finds 8 of 10 clips with 1 % of the samples cut, 3 of 10 with
    0.3 %; the source's own samples show 9 of 10 down to 0.1 %. A limiter that holds speech against its ceiling
    looks the same.
    """
    clip, facts = view.clip, view.clip.copy.facts
    flat = _binned(clip, facts["flat_bins"]) if "flat_bins" in facts else piled_up(view.samples)
    return {"clipped_ratio": _binned(clip, facts.get("clipped_bins", [])), "flat_top_ratio": flat}


def _binned(clip: Clip, bins: Sequence[Sequence[float]]) -> float:
    span = clip.span
    seconds = sum(value for at, value in bins if (at + 1) * BIN_S > span.start_s and at * BIN_S < span.end_s)
    return min(1.0, seconds / span.duration_s)


def flat_tops(samples: Samples) -> npt.NDArray[np.bool_]:
    """Samples in runs of 3 or more equal ones within 2 % of the stretch's extreme of that sign, `(n,)`.

    For decoded samples before any resampling, a second or more at a time; the extreme itself must reach -26 dBFS.
    """
    out = np.zeros(len(samples), bool)
    if len(samples) < FLAT_RUN:
        return out
    for sign in (1.0, -1.0):
        signed = samples * np.float32(sign)
        top = float(signed.max())
        if top < QUIETEST_CLIP:
            continue
        high = signed >= NEAR_EXTREME * top
        same = (signed[1:] == signed[:-1]) & high[1:]
        run = same[1:] & same[:-1]
        for lag in range(FLAT_RUN):
            out[lag : len(run) + lag] |= run
    return out


def piled_up(samples: Samples) -> float:
    """Share of samples (0..1) that pile up at one level near the extremes, beyond what the levels below let expect.

    Fewer and fewer samples of a waveform reach higher and higher levels. Clipping puts the missing ones on one level:
    a bump in the histogram of magnitudes (0.25 dB steps, the top 6 dB, each sign by itself) that is at least twice as
    high as what lies below it. After resampling the bump is wider and lies under the highest peak.
    """
    return min(1.0, sum(_piled(samples * np.float32(sign)) for sign in (1.0, -1.0)) / max(1, len(samples)))


def _piled(signed: Samples) -> float:
    top = float(signed.max(initial=0.0))
    if top < QUIETEST_CLIP:
        return 0.0
    high = signed[signed > top * 10 ** (-2 * DEPTH_DB / 20)]
    below_db = -20 * np.log10(high / np.float32(top))
    counts = np.bincount((below_db / STEP_DB).astype(np.int64))[::-1].astype(float)  # from quiet to loud
    n_top, wide = int(DEPTH_DB / STEP_DB), 3
    if len(counts) < 2 * n_top:
        return 0.0
    sums = np.convolve(counts, np.ones(wide), "valid")  # three steps: 0.75 dB
    bumps = sums[-n_top:]
    before = np.array([sums[i - 2 * wide : i - wide + 1].max() for i in range(len(sums) - n_top, len(sums))])
    excess = np.where(bumps > PILED_OVER * before, bumps - before, 0.0)
    best = float(excess.max(initial=0.0))
    return best if best >= MIN_PILED else 0.0


def flat_bins(samples: Samples, rate_hz: int, at_s: float) -> Mapping[int, float]:
    """Seconds of flat tops by 100 ms bin of the timeline, for ingest to add up: `{bin: seconds}`."""
    where = np.flatnonzero(flat_tops(samples))
    bins, n = np.unique(((at_s + where / rate_hz) / BIN_S).astype(int), return_counts=True)
    return dict(zip(bins.tolist(), (n / rate_hz).tolist(), strict=True))
