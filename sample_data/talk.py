"""Spoken lines on a timeline: where each lies, how loud it is, and what is true of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import sounds
import soxr
import voices

Audio = npt.NDArray[np.float32]
Facts = dict[str, Any]

EDGE_S = 0.5  # before the first line and after the last
SPEECH_DBFS = -26.0  # leaves the peaks of this voice about 3 dB


@dataclass(frozen=True)
class Line:
    """One spoken line: its place in the file in samples, half-open."""

    voice: str
    text: str
    audio: Audio
    start: int

    @property
    def stop(self) -> int:
        """The first sample after the line."""
        return self.start + len(self.audio)


@dataclass(frozen=True)
class Talk:
    """Lines on a timeline, and their sound: float32 mono, nothing else in it."""

    lines: tuple[Line, ...]
    rate_hz: int
    audio: Audio

    def facts(self) -> Facts:
        """What is true of the speech; overlaps of neighbouring lines included."""
        spans = [self.line_facts(line) for line in self.lines]
        overlaps = [[b["start_s"], a["end_s"]] for a, b in pairwise(spans) if b["start_s"] < a["end_s"]]
        facts: Facts = {"n_speakers": len({x.voice for x in self.lines}), "speech": spans}
        return facts | ({"overlap_s": overlaps} if overlaps else {})

    def line_facts(self, line: Line) -> Facts:
        """Where and what one line is."""
        start_s, end_s = self.seconds(line.start), self.seconds(line.stop)
        return {"start_s": start_s, "end_s": end_s, "voice": line.voice, "text": line.text}

    def spoken(self, audio: Audio) -> Audio:
        """The parts of `audio`, on the same timeline, that lie inside a line."""
        return np.concatenate([audio[line.start : line.stop] for line in self.lines])

    def seconds(self, sample: int) -> float:
        """Sample to seconds, to the millisecond."""
        return round(sample / self.rate_hz, 3)


def lay_out(spec: Mapping[str, Any], spoken: Sequence[Audio], rate_hz: int, seed: int) -> Talk:
    """Place the spoken lines of one file on a timeline, pauses between them, each voice at `SPEECH_DBFS`."""
    rng = np.random.default_rng(seed)
    lines: list[Line] = []
    stop = round(EDGE_S * rate_hz)
    for (voice, text, gap_s), audio in zip(script_lines(spec), spoken, strict=True):
        pause_s = rng.uniform(*spec["pause_s"])
        start = stop + round((pause_s if gap_s is None else gap_s) * rate_hz) if lines else stop
        lines.append(Line(voice, text, soxr.resample(audio, voices.RATE_HZ, rate_hz), start))
        stop = lines[-1].stop
    gains = {v: voice_gain([x.audio for x in lines if x.voice == v]) for v in {x.voice for x in lines}}
    mixed = np.zeros(stop + round(EDGE_S * rate_hz), dtype=np.float32)
    for line in lines:
        mixed[line.start : line.stop] += line.audio * gains[line.voice]
    return Talk(tuple(lines), rate_hz, mixed)


def voice_gain(lines: Sequence[Audio]) -> float:
    """The factor that brings a voice's lines together to `SPEECH_DBFS`."""
    return 10 ** (SPEECH_DBFS / 20) / sounds.rms(np.concatenate(lines))


def script_lines(spec: Mapping[str, Any]) -> list[tuple[str, str, float | None]]:
    """The lines of one file as `(voice, text, gap_s)`; empty where nobody speaks."""
    tables = [{"text": x} if isinstance(x, str) else x for x in spec.get("lines", [])]
    return [(x.get("voice", spec["voice"]), x["text"], x.get("gap_s")) for x in tables]
