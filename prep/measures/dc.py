"""Constant offset of the waveform."""

from __future__ import annotations

import numpy as np

from prep.clip import Measures
from prep.recordings import View


def measure(view: View) -> Measures:
    """`dc_offset` (0..1): magnitude of the clip's mean sample, full scale = 1; None for no samples.

    A sound recording has none: clean files lie under 0.001. Above 0.01 a broken sound card shows; it takes headroom
    and clicks wherever the clip is cut or joined. Resampling keeps it, so the working copy tells it as the file did.
    """
    samples = view.samples
    return {"dc_offset": abs(float(np.mean(samples, dtype=np.float64))) if len(samples) else None}
