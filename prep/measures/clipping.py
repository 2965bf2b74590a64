"""Clipped samples, counted on the decoded samples before resampling smoothed them over."""

from __future__ import annotations

from prep.clip import Measures
from prep.recordings import View
from prep.stages.ingest import BIN_S


def measure(view: View) -> Measures:
    """`clipped_ratio` (0..1): clipped time in the clip / its length; see `prep.stages.ingest.CLIP_RUN`.

    Clean speech has 0; above 0.001 the distortion is heard. Counted in 100 ms bins of the source, so a clip's edge
    may count up to 100 ms of its neighbour.
    """
    span = view.clip.span
    bins = view.clip.copy.facts.get("clipped_bins", [])
    seconds = sum(value for at, value in bins if (at + 1) * BIN_S > span.start_s and at * BIN_S < span.end_s)
    return {"clipped_ratio": min(1.0, seconds / span.duration_s)}
