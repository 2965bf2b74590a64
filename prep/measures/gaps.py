"""Audio that was missing in the file and is silence in the working copy."""

from __future__ import annotations

from prep.clip import Measures
from prep.recordings import View


def measure(view: View) -> Measures:
    """`gap_ratio` (0..1): share of the clip that ingest filled because the decoder gave nothing there. Good: 0."""
    span = view.clip.span
    gaps = view.clip.copy.facts.get("gaps", [])
    missing = sum(max(0.0, min(span.end_s, at + length) - max(span.start_s, at)) for at, length in gaps)
    return {"gap_ratio": missing / span.duration_s}
