"""Loudness and peaks of a clip."""

from __future__ import annotations

import numpy as np

from prep.audio import Samples
from prep.clip import Measures
from prep.recordings import View
from prep.stages.ingest import true_peak

BLOCK_S = 0.4


def loudness_lufs(samples: Samples, rate_hz: int) -> float | None:
    """Integrated loudness, LUFS (ITU-R BS.1770-4: K-weighting, 400 ms blocks, gates at -70 LUFS and -10 LU).

    Args:
        samples: mono `(n,)`, full scale = 1.
        rate_hz: their rate.

    Returns:
        None for less than one block, and where every block lies under the absolute gate (silence).
    """
    if len(samples) <= BLOCK_S * rate_hz:
        return None
    import pyloudnorm  # a second: it brings all of scipy.signal

    with np.errstate(divide="ignore", invalid="ignore"):  # log10(0) inside it on silence; the result is -inf
        value = float(pyloudnorm.Meter(rate_hz).integrated_loudness(np.asarray(samples, np.float64)))
    return value if np.isfinite(value) else None


def true_peak_dbtp(samples: Samples) -> float | None:
    """True peak, dBTP (BS.1770-4 annex 2, 4x oversampled); None for silence."""
    peak = true_peak(samples)
    return 20 * float(np.log10(peak)) if peak > 0 else None


def measure(view: View) -> Measures:
    """`lufs` and `peak_dbfs` of the clip at the working rate; the source's own true peak is a fact of its source."""
    peak = float(np.abs(view.samples).max()) if len(view.samples) else 0.0
    peak_dbfs = 20 * float(np.log10(peak)) if peak > 0 else None
    return {"lufs": loudness_lufs(view.samples, view.clip.span.rate_hz), "peak_dbfs": peak_dbfs}
