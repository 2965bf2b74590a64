"""Music and singing in a clip, also under speech; read off the recording's track."""

from __future__ import annotations

import numpy as np

from prep.clip import Measures
from prep.recordings import View

AT_PROB = 0.5


def measure(view: View) -> Measures:
    """`music_ratio`, `singing_ratio`: share of the clip's 10 ms frames whose probability is over 0.5, 0..1.

    Probabilities are those of an audio event network (FireRedVAD's, 16 kHz), which hears the clip as it stands in its
    recording, with the speech of 16 s brought to -35 dBFS (`prep.models.ear`). Clean speech has 0; over 0.1 there is
    something musical under it. Good for both: 0. None only where the recording has no samples.

    What it hears: instruments and songs, also under speech; what it can't: anything above 8 kHz; a bed more than 20 dB
    under the speech was not measured. By itself it takes thunder, bleating and a full restaurant for music. Singing is
    the weaker of the two: what it makes of rap, chant or a song over instruments was not measured. How much of each is
    found, and what clean speech has: benchmarks/results/music.md.
    """
    track = view.track
    inside = track.frames(view.clip.span.start, view.clip.span.stop)
    music, singing = track.music[inside], track.singing[inside]
    if not len(music):
        return {"music_ratio": None, "singing_ratio": None}
    return {"music_ratio": float(np.mean(music > AT_PROB)), "singing_ratio": float(np.mean(singing > AT_PROB))}
