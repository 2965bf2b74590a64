"""Make the finished file of a window: join, pad, fade, level, and say every edit that was done."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from prep.audio import Samples, resample
from prep.clip import WorkingCopy
from prep.measures.level import loudness_lufs, true_peak_dbtp
from prep.measures.snr import DIGITAL_SILENCE_DB
from prep.recordings import Recordings
from prep.stages.fit import JOIN_S, TONE_S, Window, lasting_quiet
from prep.stages.listen import FRAME_S

JOIN_MS = round(1000 * JOIN_S)
FADE_MS = 10


@dataclass(frozen=True)
class RenderSpec:
    """How a finished file sounds.

    Args:
        rate_hz: of the file.
        lufs: integrated loudness aimed at (EBU R128: -23), limited by the peak.
        peak_dbtp: true peak never exceeded.
    """

    rate_hz: int = 24_000
    lufs: float = -23.0
    peak_dbtp: float = -1.0


@dataclass(frozen=True)
class Rendered:
    """A finished file's samples, float32 `(n,)` at `rate_hz`, and what was done, in order."""

    samples: Samples
    rate_hz: int
    edits: tuple[dict[str, Any], ...]


def render(window: Window, recordings: Recordings, spec: RenderSpec) -> Rendered:
    """The finished file of a window."""
    copy = window.clips[0].copy
    rate = copy.span.rate_hz
    edits: list[dict[str, Any]] = []
    parts = [recordings.read(copy, span.start, span.stop) for span in window.spans]
    sound = _segment(parts[0], rate)
    for before, after, part in zip(window.spans, window.spans[1:], parts[1:], strict=False):
        edits.append(
            {"edit": "squeeze_pause", "source_s": before.end_s, "removed_s": (after.start - before.stop) / rate}
        )
        sound = sound.append(_segment(part, rate), crossfade=JOIN_MS)
    sound = _padded(sound, window, room_tone(copy, recordings), rate, edits)
    sound = sound.fade_in(FADE_MS).fade_out(FADE_MS)
    edits.append({"edit": "fade", "seconds": FADE_MS / 1000})
    samples = resample(_samples(sound), rate, spec.rate_hz)
    if spec.rate_hz != rate:
        edits.append({"edit": "resample", "from_hz": rate, "to_hz": spec.rate_hz})
    edits += upsampled(copy, spec.rate_hz)
    gain_db = _gain_db(samples, spec)
    edits.append({"edit": "gain", "db": round(gain_db, 2)})
    return Rendered(np.asarray(samples * np.float32(10 ** (gain_db / 20)), np.float32), spec.rate_hz, tuple(edits))


def upsampled(copy: WorkingCopy, to_hz: int) -> list[dict[str, Any]]:
    """The edit of a recording whose native rate is lower than the file's; empty where it is not, or unknown."""
    native_hz = copy.facts.get("native_rate_hz")
    if native_hz is None or native_hz >= to_hz:
        return []
    return [{"edit": "upsampled", "native_hz": native_hz, "to_hz": to_hz}]


def room_tone(copy: WorkingCopy, recordings: Recordings) -> Samples:
    """The quietest 0.2 s of the recording's quiet frames; empty when no quiet stretch is that long.

    The quietest, since a pad must lie as far under the speech as an edge has to; the longest is often a breath.
    Digital silence is not room tone unless the recording has nothing else.
    """
    track = recordings.track(copy)
    n, every = int(TONE_S / FRAME_S), lasting_quiet(track)
    if not every.any():
        return np.zeros(0, np.float32)
    level = np.convolve(10 ** (track.level_db.astype(np.float64) / 10), np.ones(n) / n, "valid")
    real = every & (level > 10 ** (DIGITAL_SILENCE_DB / 10))
    usable = real if real.any() else every
    at = int(np.argmin(np.where(usable, level, np.inf))) * track.frame
    return recordings.read(copy, at, at + n * track.frame)


def _padded(sound: Any, window: Window, tone: Samples, rate: int, edits: list[dict[str, Any]]) -> Any:
    for where, seconds in (("start", window.pad_before_s), ("end", window.pad_after_s)):
        if seconds * rate < 1 or not len(tone):
            continue
        n = int(seconds * rate) + JOIN_MS * rate // 1000
        # Back and forth rather than round and round: a loop's seam clicks and hums.
        there_and_back = np.concatenate([tone, tone[::-1]])
        pad = _segment(np.resize(there_and_back, n), rate)
        sound = pad.append(sound, crossfade=JOIN_MS) if where == "start" else sound.append(pad, crossfade=JOIN_MS)
        edits.append({"edit": "pad_room_tone", "where": where, "seconds": round(seconds, 3)})
    return sound


def _segment(samples: Samples, rate: int) -> Any:
    """Pydub sound of 32-bit samples: 16 would round twice."""
    data = np.round(np.clip(samples.astype(np.float64), -1.0, 1.0) * (2**31 - 1)).astype(np.int32)
    return _audio_segment()(data.tobytes(), sample_width=4, frame_rate=rate, channels=1)


@cache
def _audio_segment() -> Any:
    """Pydub's class; its import warns of a missing system ffmpeg, which is never used here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
    return AudioSegment


def _samples(sound: Any) -> Samples:
    return np.asarray(np.frombuffer(sound.raw_data, np.int32) / np.float64(2**31), np.float32)


def _gain_db(samples: Samples, spec: RenderSpec) -> float:
    """Gain to the loudness aimed at, less what the true peak forbids; 0 for silence."""
    lufs, peak = loudness_lufs(samples, spec.rate_hz), true_peak_dbtp(samples)
    if lufs is None or peak is None:
        return 0.0
    return min(spec.lufs - lufs, spec.peak_dbtp - peak - 0.05)
