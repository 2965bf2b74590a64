"""Speech quality as listeners would score it, by DNSMOS, in the clip's own surroundings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prep.audio import Samples, resample
from prep.clip import Clip, Measures
from prep.models.dnsmos import RATE_HZ, WINDOW, Dnsmos, fill_window, spread_starts
from prep.recordings import Recordings
from prep.span import Span
from prep.stage import Work

UNKNOWN: Measures = {"dnsmos_ovrl": None, "dnsmos_sig": None, "dnsmos_bak": None, "dnsmos_p808": None}


@dataclass(frozen=True)
class Mos:
    """DNSMOS as a stage; opens the networks once per worker.

    Args:
        recordings: where clips and what lies around them are read.
        folder: of the registry's weight `dnsmos`.
        weights: that weight's digest.
    """

    recordings: Recordings = field(metadata={"key": False})
    folder: Path = field(metadata={"key": False})
    weights: str
    name: str = field(default="mos", init=False)
    version: str = field(default="1", init=False)

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Load both networks."""
        networks = Dnsmos(self.folder)

        def work(clips: Sequence[Clip]) -> list[dict[str, Any]]:
            return [dict(measure_clip(clip, self.recordings, networks)) for clip in clips]

        yield work

    def merge(self, clip: Clip, result: dict[str, Any]) -> Clip:
        """The clip with the four scores."""
        return clip.with_measures(result)


def measure_clip(clip: Clip, recordings: Recordings, networks: Dnsmos) -> Measures:
    """`dnsmos_ovrl`, `dnsmos_sig`, `dnsmos_bak`, `dnsmos_p808`: predicted mean opinion scores, about 1 to 5.

    Networks and polynomials of Microsoft's DNSMOS P.835 (Reddy et al. 2022) and P.808, mean over the fewest windows
    of 9.01 s that cover the clip. A shorter clip is heard within the recording around it, centred where there is
    room; only where the whole recording is shorter is it repeated to fill the window. Made for speech at 16 kHz: what
    lies above 8 kHz is not heard. Clean studio speech has OVRL 3.2 to 3.6; Emilia kept 3.0 and more. None only for an
    empty clip.
    """
    around = clip.span.widened(-(-WINDOW * clip.span.rate_hz // RATE_HZ), clip.copy.span.n_samples)
    samples = to_16k(recordings.read(clip.copy, around.start, around.stop), around)
    if not len(samples):
        return UNKNOWN
    scores = networks.score(samples, spread_starts(len(samples)))
    return {f"dnsmos_{name}": value for name, value in asdict(scores).items()}


def to_16k(samples: Samples, span: Span) -> Samples:
    """At 16 kHz and at least a window long; empty stays empty."""
    at_16k = resample(samples, span.rate_hz, RATE_HZ)
    return fill_window(at_16k) if len(at_16k) else at_16k
