"""Judge a finished file as a stranger would: from its own samples, knowing nothing of where it came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prep.audio import Samples, resample
from prep.measures.level import loudness_lufs, true_peak_dbtp
from prep.models.ear import Ear
from prep.models.whisper import RATE_HZ, Heard
from prep.stages.listen import FRAME_S, track_of
from prep.text import error_rate, same_ends

Hear = Callable[[Samples], Heard]
"""Decode a whole file at 16 kHz."""
MIN_EDGE_S = 0.08
MAX_TEXT_ERROR = 0.05
MAX_PEAK_DBTP = -1.0


@dataclass(frozen=True)
class Verdict:
    """What a finished file turned out to be.

    Args:
        lead_quiet_s, tail_quiet_s: quiet (20 dB under its speech, speech probability < 0.5) at its ends.
        lufs, peak_dbtp: loudness and true peak; None for silence.
        heard: its own text; empty where it was not decoded.
        text_agreement: WER (CER for zh, ja, ko) of what was heard against the text; None where not decoded.
        same_ends: whether first and last words agree; None where not decoded.
        double_of: where a take of this file was already taken for the set; empty where none was.
    """

    lead_quiet_s: float
    tail_quiet_s: float
    lufs: float | None
    peak_dbtp: float | None
    heard: str = ""
    text_agreement: float | None = None
    same_ends: bool | None = None
    double_of: str = ""

    @property
    def faults(self) -> list[str]:
        """Why the file cannot be used, in words; empty when it can."""
        out = []
        if self.double_of:
            out.append(f"holds the same take as {self.double_of}, which is in the set already")
        if min(self.lead_quiet_s, self.tail_quiet_s) < MIN_EDGE_S:
            out.append(f"an edge has {1000 * min(self.lead_quiet_s, self.tail_quiet_s):.0f} ms of quiet, 80 are needed")
        if self.text_agreement is not None and self.text_agreement > MAX_TEXT_ERROR:
            out.append(f"decoded by itself {100 * self.text_agreement:.0f} % of its text differs, at most 5 % may")
        if self.same_ends is False:
            out.append("decoded by itself it begins or ends with another word")
        if self.peak_dbtp is not None and self.peak_dbtp > MAX_PEAK_DBTP:
            out.append(f"true peak {self.peak_dbtp:.1f} dBTP, at most -1 is allowed")
        return out


def verify(samples: Samples, rate_hz: int, text: str | None, language: str, ear: Ear, hear: Hear) -> Verdict:
    """Measure a finished file, and decode it when it carries a text."""
    track = track_of([samples], rate_hz, ear)
    quiet = track.quiet
    lead, tail = _lead(list(quiet)), _lead(list(quiet[::-1]))
    level = (loudness_lufs(samples, rate_hz), true_peak_dbtp(samples))
    if text is None:
        return Verdict(lead, tail, *level)
    heard = hear(resample(samples, rate_hz, RATE_HZ)).text
    agreement = error_rate(text, heard, language)
    return Verdict(lead, tail, *level, heard, agreement, same_ends(text, heard, language))


def _lead(quiet: list[bool]) -> float:
    return next((i for i, flag in enumerate(quiet) if not flag), len(quiet)) * FRAME_S
