"""How much of a clip is speech."""

from __future__ import annotations

import numpy as np

from prep.clip import Measures
from prep.recordings import View


def measure(view: View) -> Measures:
    """`speech_ratio` (0..1): share of 10 ms frames with speech probability >= 0.5; `speech_s`; `duration_s`.

    Read speech lies around 0.8, lively talk around 0.6; silence and noise at 0. The length is a measure like any
    other, so that one gate judges all.
    """
    span = view.clip.span
    prob = view.track.prob[view.track.frames(span.start, span.stop)]
    ratio = float(np.mean(prob >= 0.5)) if len(prob) else 0.0
    return {"duration_s": span.duration_s, "speech_ratio": ratio, "speech_s": ratio * span.duration_s}
