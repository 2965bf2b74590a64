"""One voice or more in a clip: from the recording's turns, and once more from the clip's own sound.

Two witnesses, since either can fail: the turns know to the frame who talks and where two talk at once, but a voice that
segmentation took for the same one is lost to them; embeddings of windows inside the clip hear that it is another voice,
to about a second. Speech over speech is the turns' to find; see `benchmarks/results/purity.md` for what each catches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prep.audio import Samples, resample
from prep.clip import Measures
from prep.models.campplus import RATE_HZ, Embedder, unit
from prep.recordings import View
from prep.span import Span
from prep.stages.turns import FIRST_S, FRAME_S, Floats, Turns

WINDOW_S = 1.5
"""Shorter windows tell voices apart less well, longer ones blur a one-second voice."""
HOP_S = 0.5
SLIP_S = 0.2
"""Less talk than this in a clip is a slip of the segmentation, not a speaker."""
APART = 2
"""Windows left out on both sides of a stretch before it is compared with the rest: they share sound with it."""
LONGEST = 8
"""A foreign stretch is looked for up to this many windows long (5 s); a longer one is as well seen from the rest."""


@dataclass(frozen=True)
class Shares:
    """Seconds of a clip.

    Args:
        speech_s: in which anybody talks.
        overlap_s: in which two or more do.
        alone_s: in which each speaker talks alone, `(n_speakers,)`.
        talk_s: in which each talks at all, `(n_speakers,)`.
    """

    speech_s: float
    overlap_s: float
    alone_s: Floats
    talk_s: Floats


def shares(turns: Turns, start: int, stop: int) -> Shares:
    """Who talks how long in the samples `[start, stop)` of a working copy."""
    at, active = turns.steps
    edges = np.clip(at, start, stop)
    lengths = np.diff(edges) / turns.rate_hz
    here = active[:-1] * lengths[:, None]
    n = active[:-1].sum(1)
    return Shares(
        float(lengths[n > 0].sum()),
        float(lengths[n > 1].sum()),
        here[n == 1].sum(0).astype(np.float32),
        here.sum(0).astype(np.float32),
    )


def measure(view: View, turns: Turns, embedder: Embedder) -> Measures:
    """Five values about the voices of a clip, see `purity`."""
    return purity(view.samples, view.clip.span, turns, embedder)


def purity(samples: Samples, span: Span, turns: Turns, embedder: Embedder) -> Measures:
    """Five values about the voices of a clip.

    - `n_speakers`: speakers of the recording who talk for 0.2 s or more in the clip. Good: 1.
    - `overlap_ratio`: mean probability that two talk at once, over the frames in which anybody does, 0..1 (pyannote
      segmentation; see `overlap_ratio`). Good: under 0.01; a second of overlap in ten is about 0.08.
    - `speaker_purity`: seconds in which the main speaker talks alone / seconds in which anybody does, 0..1. Good: 1.
    - `speaker_agreement`: the lowest cosine between the mean embedding of any stretch of the clip (1.5-5 s) and that of
      the rest of it, -1..1 (CAM++; see `agreement`). Good: over 0.4 (197 of 200 clips of one voice); with another voice
      put in the median is 0.04.
      A clip too short to compare (under 3.5 s) is compared with its main speaker's mean over the recording.
    - `speaker_margin`: cosine of the clip's mean embedding with its main speaker's mean over the recording, less that
      with the nearest other speaker (0 where there is none), -2..2. Good: over 0.3; near 0 it is not clear whose it is.

    All but `n_speakers` are None where nobody talks; `n_speakers` is then 0. The main speaker is who talks alone for
    longest in the clip. The last two are also None where the main speaker never talks alone for 0.2 s.
    """
    parts = by_turns(span, turns)
    unknown: Measures = {**parts, "speaker_agreement": None, "speaker_margin": None}
    if parts["overlap_ratio"] is None:  # nobody talks
        return unknown
    main = int(shares(turns, span.start, span.stop).alone_s.argmax())
    found = voices(talk(samples, turns, span.start), turns.rate_hz, embedder)
    if not turns.centroids[main].any() or not found.any():
        return unknown
    return {
        **parts,
        "speaker_agreement": agreement(found, turns.centroids[main]),
        "speaker_margin": margin(found, turns.centroids, main),
    }


def by_turns(span: Span, turns: Turns) -> Measures:
    """The three values of `purity` that the recording's turns tell alone: `n_speakers` and two ratios; cheap."""
    said = shares(turns, span.start, span.stop)
    if said.speech_s <= 0:
        return {"n_speakers": 0, "overlap_ratio": None, "speaker_purity": None}
    return {
        "n_speakers": int((said.talk_s >= SLIP_S).sum()),
        "overlap_ratio": overlap_ratio(turns, span.start, span.stop),
        "speaker_purity": float(said.alone_s.max()) / said.speech_s,
    }


def overlap_ratio(turns: Turns, start: int, stop: int) -> float:
    """Mean probability of overlap over the frames of `[start, stop)` in which somebody talks; 0 where nobody does.

    The probability, not the decision: quiet talk under loud talk is seldom the likeliest class, yet it shows.
    """
    at, active = turns.steps
    centres = ((FIRST_S + FRAME_S * np.arange(len(turns.overlap))) * turns.rate_hz).astype(np.int64)
    inside = slice(*np.searchsorted(centres, [start, stop]))
    somebody = np.asarray(active.any(1))
    heard = somebody[np.searchsorted(at, centres[inside], "right") - 1]
    return float(turns.overlap[inside][heard].mean()) if heard.any() else 0.0


def talk(samples: Samples, turns: Turns, start: int) -> Samples:
    """The parts of a clip in which anybody talks, put end to end; a window of silence has a voice of its own."""
    at, active = turns.steps
    heard = np.clip(at - start, 0, len(samples))
    parts = [samples[heard[i] : heard[i + 1]] for i in np.flatnonzero(active[:-1].any(1))]
    return np.concatenate([samples[:0], *parts])


def voices(samples: Samples, rate_hz: int, embedder: Embedder) -> Floats:
    """Embeddings of 1.5 s windows every 0.5 s, `(n, 192)`; a shorter signal is one window; zeros are left out."""
    at_16k = samples if rate_hz == RATE_HZ else resample(samples, rate_hz, RATE_HZ)
    window, hop = int(WINDOW_S * RATE_HZ), int(HOP_S * RATE_HZ)
    starts = range(0, max(1, len(at_16k) - window + 1), hop)
    found = embedder.embed_windows(at_16k, min(window, len(at_16k)), starts)
    return np.asarray(found[found.any(1)])


def agreement(found: Floats, reference: Floats) -> float:
    """Lowest cosine between a stretch of windows and the rest of a clip's windows.

    min over stretches [a, b) of cos(sum of v_a..v_b-1, sum of the v outside [a - 2, b + 2)), each stretch 1 to 8
    windows long, at least two windows outside; v are the windows' unit embeddings in order. A clip with no such
    stretch: the lowest cosine of a window with `reference`.
    """
    n = len(found)
    sums = np.concatenate([np.zeros((1, found.shape[1])), np.cumsum(found, axis=0, dtype=np.float64)])
    lowest = [
        _cosine(sums[b] - sums[a], sums[-1] - sums[min(n, b + APART)] + sums[max(0, a - APART)])
        for a in range(n)
        for b in range(a + 1, min(n, a + LONGEST) + 1)
        if n - (min(n, b + APART) - max(0, a - APART)) >= 2
    ]
    return min(lowest) if lowest else float((found @ reference).min())


def margin(found: Floats, centroids: Floats, main: int) -> float:
    """Cosine of a clip's mean embedding with its main speaker's, less that with the nearest other's (0: no other)."""
    likeness = centroids @ unit(found.sum(0))
    others = np.delete(likeness, main)[np.delete(centroids.any(1), main)]
    return float(likeness[main] - max(0.0, others.max(initial=0.0)))


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / max(1e-12, float(np.linalg.norm(a) * np.linalg.norm(b))))
