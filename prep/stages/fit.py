"""Windows of a recording that could become one vendor file: pure geometry on clips, pauses and words.

A window begins after one pause and ends before another, its edges lie in quiet, every clip it touches is usable, and
with its long pauses squeezed it is as long as the vendor wants. Its text is exactly the words inside.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prep.clip import Clip, Word
from prep.span import Span
from prep.stages.listen import FRAME_S, Track
from prep.stages.segment import Pause

MIN_QUIET_S = 0.08
"""An edge is safe in at least this much quiet (design section 3)."""
JOIN_S = 0.01
"""Two kept stretches overlap by this much where they are joined."""
TONE_S = 0.2
"""Pads are made of a stretch of the recording's own quiet at least this long; without one there are none."""
SPEECH_PAUSE_S = 0.4
"""A longer pause ends a stretch of continuous speech; vendors mean half a second, ears differ by a tenth."""
MUCH_LONGER = 2.0
"""Times the ideal length: from here on nearness to it scores nothing."""


@dataclass(frozen=True)
class FitSpec:
    """What one file for a vendor must be; all seconds.

    Args:
        min_s, ideal_s, max_s: length of the finished file.
        max_pause_s: a longer pause inside is squeezed to this.
        pad_s: quiet before the first and after the last word.
        min_pause_s: windows begin and end at pauses at least this long.
        longest_pause_s: a pause that cannot be squeezed to this keeps out every window around it; None = any may stay.
        min_speech_s: some stretch without a pause over `SPEECH_PAUSE_S` is at least this long.
    """

    min_s: float
    ideal_s: float
    max_s: float
    max_pause_s: float = 0.8
    pad_s: float = 0.25
    min_pause_s: float = 0.3
    longest_pause_s: float | None = None
    min_speech_s: float = 0.0


@dataclass(frozen=True)
class Window:
    """A candidate: what is kept of one working copy, in order.

    Args:
        spans: kept stretches, pads included, pauses between them squeezed.
        speech: from the first to the last speech region, samples.
        pad_before_s, pad_after_s: quiet still missing at the ends, to be filled with the recording's room tone.
        clips: the manifest clips it touches, in order.
        duration_s: of the finished file, joins taken off.
        score: by signal alone; higher is better.
    """

    spans: tuple[Span, ...]
    speech: Span
    pad_before_s: float
    pad_after_s: float
    clips: tuple[Clip, ...]
    duration_s: float
    score: float

    def overlaps(self, other: Window) -> bool:
        """Whether both hold some of the same recording."""
        same = self.clips[0].copy.key == other.clips[0].copy.key
        return same and (self.speech & other.speech) is not None

    def words(self, clips: Sequence[Clip]) -> tuple[Word, ...]:
        """The words of (transcribed) clips whose middle lies in the window's speech, half a pad allowed for."""
        start_s, end_s = self.spans[0].start_s, self.spans[-1].end_s
        return tuple(w for c in clips for w in c.words if start_s <= (w.start_s + w.end_s) / 2 < end_s)


def windows(clips: Sequence[Clip], all_pauses: Sequence[Pause], track: Track, spec: FitSpec) -> list[Window]:
    """Every window of one working copy, in order of time; from one beginning none much over the ideal but the first.

    Args:
        clips: all its tiles in order, judged.
        all_pauses: all its pauses in order (`segment.pauses`), the recording's ends included where they are quiet.
        track: its track.
        spec: what is wanted.
    """
    rate, can_pad = track.rate_hz, bool(lasting_quiet(track).any())
    edges = [i for i, pause in enumerate(all_pauses) if _is_edge(pause, spec, track)]
    starts = [clip.span.start for clip in clips]
    out: list[Window] = []
    for n, i in enumerate(edges):
        first, n_before = all_pauses[i], len(out)
        for j in edges[n + 1 :]:
            last = all_pauses[j]
            if last.start <= first.stop:
                continue
            speech, inside = Span(first.stop, last.start, rate), all_pauses[i + 1 : j]
            spans, *pads = _spans(first, last, inside, spec, rate)
            before_s, after_s = pads if can_pad else (0.0, 0.0)
            seconds = sum(span.duration_s for span in spans) - JOIN_S * (len(spans) - 1) + before_s + after_s
            touched = _usable(clips[bisect_right(starts, speech.start) - 1 : bisect_left(starts, speech.stop)])
            if seconds > spec.max_s or touched is None or not _pauses_allowed(inside, spec, rate):
                break
            if seconds > MUCH_LONGER * spec.ideal_s and len(out) > n_before:
                break  # hours of windows of up to five minutes would fill the memory, and none would be chosen
            if seconds >= spec.min_s and _speaks_on(speech, inside, spec):
                score = _score(touched, seconds, spec)
                out.append(Window(spans, speech, before_s, after_s, touched, seconds, score))
    return out


def lasting_quiet(track: Track) -> npt.NDArray[np.bool_]:
    """Per frame whether `TONE_S` of quiet begins there; shorter than the track by that stretch, or empty."""
    n = int(TONE_S / FRAME_S)
    if len(track.quiet) < n:
        return np.zeros(0, np.bool_)
    return np.asarray(np.convolve(track.quiet, np.ones(n), "valid") > n - 0.5)


def _left(pause: Pause, spec: FitSpec, rate: int) -> int:
    """Samples of a pause that stay in the finished file."""
    cut = _squeeze(pause, int(spec.max_pause_s * rate))
    return pause.n_samples - (cut[1] - cut[0] if cut else 0)


def _pauses_allowed(inside: Sequence[Pause], spec: FitSpec, rate: int) -> bool:
    most = spec.longest_pause_s
    return most is None or all(_left(pause, spec, rate) <= most * rate for pause in inside)


def _speaks_on(speech: Span, inside: Sequence[Pause], spec: FitSpec) -> bool:
    """Whether some stretch between two longer pauses is as long as continuous speech has to be."""
    if not spec.min_speech_s:
        return True
    rate = speech.rate_hz
    ends = [pause for pause in inside if _left(pause, spec, rate) > SPEECH_PAUSE_S * rate]
    starts = [speech.start, *(pause.stop for pause in ends)]
    stops = [*(pause.start for pause in ends), speech.stop]
    return max(b - a for a, b in zip(starts, stops, strict=True)) >= spec.min_speech_s * rate


def _is_edge(pause: Pause, spec: FitSpec, track: Track) -> bool:
    at_end = pause.start == 0 or pause.stop == track.n_samples
    long_enough = pause.n_samples >= spec.min_pause_s * track.rate_hz or at_end
    return long_enough and pause.n_quiet >= MIN_QUIET_S * track.rate_hz


def _usable(touched: Sequence[Clip]) -> tuple[Clip, ...] | None:
    """The clips of a stretch, or None when one that holds speech is rejected; speechless tiles do not count."""
    spoken = [clip for clip in touched if (clip.measures.get("speech_s") or 0.0) > 0.0]
    return tuple(spoken) if spoken and all(clip.alive for clip in spoken) else None


def _spans(
    first: Pause, last: Pause, inside: Sequence[Pause], spec: FitSpec, rate: int
) -> tuple[tuple[Span, ...], float, float]:
    """Kept stretches and the pads still missing."""
    pad = int(spec.pad_s * rate)
    start = max(first.stop - pad, first.quiet_start)
    stop = min(last.start + pad, last.quiet_stop)
    # The quiet may begin only some way into the pause (a decaying room); all up to there is kept.
    start, stop = min(start, first.stop - 1), max(stop, last.start + 1)
    before = max(0, pad - _quiet_lead(first, start)) / rate
    after = max(0, pad - _quiet_tail(last, stop)) / rate
    marks = [start]
    for pause in inside:
        cut = _squeeze(pause, int(spec.max_pause_s * rate))
        marks += cut or []
    marks.append(stop)
    spans = tuple(Span(a, b, rate) for a, b in zip(marks[::2], marks[1::2], strict=True))
    return spans, before, after


def _quiet_lead(pause: Pause, start: int) -> int:
    return max(0, min(pause.quiet_stop, pause.stop) - start)


def _quiet_tail(pause: Pause, stop: int) -> int:
    return max(0, stop - max(pause.quiet_start, pause.start))


def _squeeze(pause: Pause, longest: int) -> list[int] | None:
    """What to take out of a pause inside a window: the middle of its quiet stretch, so both joins lie in quiet."""
    extra = pause.n_samples - longest
    room = pause.n_quiet - int(0.1 * longest)
    take = min(extra, room)
    if take <= 0:
        return None
    middle = (pause.quiet_start + pause.quiet_stop) // 2
    return [middle - take // 2, middle - take // 2 + take]


def _score(clips: Sequence[Clip], seconds: float, spec: FitSpec) -> float:
    """0..1: noise 0.4, nearness to the ideal length 0.3, share of speech 0.15, evenness of level 0.15."""
    snr = min((clip.measures.get("snr_db") or 0.0) for clip in clips)
    loud = [clip.measures.get("lufs") or -70.0 for clip in clips]
    speech = sum(clip.measures.get("speech_s") or 0.0 for clip in clips) / sum(c.span.duration_s for c in clips)
    near = max(0.0, 1.0 - abs(seconds - spec.ideal_s) / spec.ideal_s)
    even = max(0.0, 1.0 - (max(loud) - min(loud)) / 10.0)
    return 0.4 * min(1.0, max(0.0, (snr - 10.0) / 30.0)) + 0.3 * near + 0.15 * speech + 0.15 * even
