"""Cut a working copy into clips at pauses; the clips tile it, so every second is in exactly one.

1. Speech regions from the track, with hysteresis (Silero's 0.5 / 0.35, 100 ms silence, 30 ms pad: F1 0.941 on other
   recordings of the development set's kind).
2. Pauses between regions. A pause is cut where it is deepest: in the middle of its quietest 160 ms.
3. Between long pauses, the cuts that bring the clips nearest to the ideal length, by dynamic programming.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from prep.stages.listen import FRAME_S, Track
from prep.stages.turns import runs

MIN_SILENCE_TILE_S = 0.3
"""A pause that would leave a shorter tile of its own is cut like any other."""
PART_REACH_S = 5.0
CHANGE_REACH_S = 0.2
"""A change of speaker is known to about this much; a pause so near is where it is."""
MIN_EDGE_QUIET_S = 0.08
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Segmenting:
    """Settings; all seconds.

    Args:
        min_s, ideal_s, max_s: clip length wished for.
        hard_max_s: never longer; 30 s without a pause is cut by force at the quietest place.
        cut_pause_s: a shorter pause stays inside a clip.
        long_pause_s: a longer one becomes a clip of its own (no speech), less `keep_pause_s` left at each neighbour.
        on_prob, off_prob, min_silence_s, pad_s, min_speech_s: hysteresis of the speech regions.
    """

    min_s: float = 2.0
    ideal_s: float = 8.0
    max_s: float = 15.0
    hard_max_s: float = 30.0
    cut_pause_s: float = 0.3
    long_pause_s: float = 2.0
    keep_pause_s: float = 0.4
    on_prob: float = 0.5
    off_prob: float = 0.35
    min_silence_s: float = 0.15
    pad_s: float = 0.02
    min_speech_s: float = 0.1


@dataclass(frozen=True)
class Pause:
    """A stretch without speech, in samples of the working copy.

    Args:
        start, stop: between the regions (or a region and the recording's end).
        quiet_start, quiet_stop: its longest stretch that is quiet (see `Track.quiet`); empty when equal.
        cut: where to cut it, inside the quiet stretch where there is one.
    """

    start: int
    stop: int
    quiet_start: int
    quiet_stop: int
    cut: int

    @property
    def n_samples(self) -> int:
        """Length in samples."""
        return self.stop - self.start

    @property
    def n_quiet(self) -> int:
        """Length of its quiet stretch in samples."""
        return self.quiet_stop - self.quiet_start


@dataclass(frozen=True)
class Piece:
    """One tile: samples `[start, stop)`, whether it was made for speech, and whether an edge was forced."""

    start: int
    stop: int
    speech: bool
    forced: bool = False


def regions(prob: npt.NDArray[np.float32], settings: Segmenting) -> list[tuple[int, int]]:
    """Speech regions as frame ranges `[first, stop)`, padded, sorted, not touching; none for silence."""
    on, off = prob >= settings.on_prob, prob < settings.off_prob
    found = [run for run in _hysteresis(on, off)]
    merged = merge(found, int(settings.min_silence_s / FRAME_S))
    kept = [(a, b) for a, b in merged if b - a >= settings.min_speech_s / FRAME_S]
    pad = int(settings.pad_s / FRAME_S)
    return merge([(max(0, a - pad), min(len(prob), b + pad)) for a, b in kept], 1)


def _hysteresis(on: Bools, off: Bools) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    ons, offs = np.flatnonzero(on), np.flatnonzero(off)
    at = 0
    while True:
        i = int(np.searchsorted(ons, at))
        if i == len(ons):
            return out
        start = int(ons[i])
        j = int(np.searchsorted(offs, start))
        stop = int(offs[j]) if j < len(offs) else len(on)
        out.append((start, stop))
        at = stop


def merge(runs: Sequence[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Ranges sorted by their start, those less than `gap` apart (or one inside another) made one."""
    out: list[tuple[int, int]] = []
    for a, b in runs:
        if out and a - out[-1][1] < gap:
            out[-1] = (out[-1][0], max(b, out[-1][1]))
        else:
            out.append((a, b))
    return out


def pauses(track: Track, settings: Segmenting) -> list[Pause]:
    """Every stretch between speech regions, the ends of the recording included, in order."""
    found = regions(track.prob, settings)
    edges = [0, *(frame for run in found for frame in run), len(track.prob)]
    gaps = [(edges[i], edges[i + 1]) for i in range(0, len(edges), 2) if edges[i + 1] > edges[i]]
    return [_pause(track, a, b) for a, b in gaps]


def _pause(track: Track, first: int, stop: int) -> Pause:
    # Quiet may begin a little inside the padded region; a decaying vowel is not quiet, a breath may be.
    found = runs(track.quiet[first:stop])
    a, b = max(found, key=lambda run: run[1] - run[0], default=(0, 0))
    deepest = (
        _deepest(track.level_db[first:stop], a, b) if b > a else _deepest(track.level_db[first:stop], 0, stop - first)
    )
    frame, end = track.frame, track.n_samples
    return Pause(
        start=first * frame,
        stop=end if stop >= len(track.prob) else stop * frame,
        quiet_start=(first + a) * frame,
        quiet_stop=min((first + b) * frame, end),
        cut=min((first + deepest) * frame, end),
    )


def _deepest(level_db: npt.NDArray[np.float32], a: int, b: int) -> int:
    """Middle of the quietest 160 ms of frames `[a, b)` (of all of it when shorter)."""
    n = int(0.16 / FRAME_S)
    if b - a <= n:
        return (a + b) // 2
    sums = np.convolve(10 ** (level_db[a:b].astype(np.float64) / 10), np.ones(n), "valid")
    return a + int(np.argmin(sums)) + n // 2


def tile(
    track: Track,
    settings: Segmenting,
    part: tuple[int, int] | None = None,
    changes: Sequence[tuple[int, int]] = (),
) -> list[Piece]:
    """Tiles of the whole working copy, in order; pieces without speech only when none is found.

    Args:
        track: of the working copy.
        settings: lengths and thresholds.
        part: samples `[start, stop)` the user asked for; tiles do not cross its ends, which are moved inwards to the
            nearest pause when one is within 5 s.
        changes: stretches `[earliest, latest]` in each of which a tile must end (a change of speaker); in a pause
            where one has its cut there, else at the quietest place, as a forced cut.
    """
    found = pauses(track, settings)
    cuts = {_change_mark(found, track, *change) for change in changes}
    marks = sorted(
        {0, track.n_samples, *(_part_marks(found, track, part) if part else ()), *(mark for mark, _ in cuts)}
    )
    forced = {mark for mark, in_pause in cuts if not in_pause}
    pieces = (piece for start, stop in pairwise(marks) for piece in _tile(track, found, start, stop, settings))
    return [
        replace(piece, forced=True) if forced & {piece.start, piece.stop} and piece.speech else piece
        for piece in pieces
    ]


def _change_mark(found: Sequence[Pause], track: Track, earliest: int, latest: int) -> tuple[int, bool]:
    """Where a tile ends for a change of speaker, and whether that is in a pause."""
    reach = int(CHANGE_REACH_S * track.rate_hz)
    near = [pause for pause in found if earliest - reach <= pause.cut <= latest + reach]
    if near:
        return max(near, key=lambda pause: pause.n_samples).cut, True
    return (_quietest(track, earliest, latest) if latest - earliest > track.frame else (earliest + latest) // 2), False


def _part_marks(found: list[Pause], track: Track, part: tuple[int, int]) -> tuple[int, int]:
    start, stop = max(0, part[0]), min(track.n_samples, part[1])
    reach = int(PART_REACH_S * track.rate_hz)
    found = [p for p in found if p.n_quiet >= MIN_EDGE_QUIET_S * track.rate_hz]
    first = min((p.cut for p in found if start <= p.cut <= min(stop, start + reach)), default=start)
    last = max((p.cut for p in found if max(first, stop - reach) < p.cut <= stop), default=stop)
    return first, last


def _tile(track: Track, found: list[Pause], start: int, stop: int, settings: Segmenting) -> list[Piece]:
    """Tiles of `[start, stop)`: long pauses become tiles of their own, the stretches between are cut at short ones."""
    keep = settings.keep_pause_s * track.rate_hz
    out: list[Piece] = []
    at = start
    for pause in found:
        if pause.stop <= start or pause.start >= stop:
            continue
        first = start if pause.start <= start else _leave(pause, pause.start, +keep)
        last = stop if pause.stop >= stop else _leave(pause, pause.stop, -keep)
        long_enough = pause.n_samples >= settings.long_pause_s * track.rate_hz or first == start or last == stop
        whole = first == start and last == stop
        if not whole and (not long_enough or last - first < MIN_SILENCE_TILE_S * track.rate_hz):
            continue
        out += _speech(track, found, at, first, settings)
        out += _silence(first, last, int(settings.hard_max_s * track.rate_hz))
        at = last
    return out + _speech(track, found, at, stop, settings)


def _leave(pause: Pause, edge: int, keep: float) -> int:
    """A cut `keep` samples inside the pause, moved into its quiet stretch where that is possible."""
    at = int(edge + keep)
    if pause.n_quiet <= 0:
        return at
    margin = min(pause.n_quiet // 2, abs(int(keep)) // 2)
    return min(max(at, pause.quiet_start + margin), pause.quiet_stop - margin)


def _silence(start: int, stop: int, longest: int) -> list[Piece]:
    if stop <= start:
        return []
    n = math.ceil((stop - start) / longest)
    marks = [start + (stop - start) * i // n for i in range(n + 1)]
    return [Piece(a, b, speech=False) for a, b in pairwise(marks)]


def _speech(track: Track, all_pauses: list[Pause], start: int, stop: int, settings: Segmenting) -> list[Piece]:
    """Tiles of a stretch between long pauses."""
    if stop <= start:
        return []
    inside = [p for p in all_pauses if start < p.cut < stop]
    cuts = {p.cut: p.n_samples / track.rate_hz for p in inside if p.n_samples >= settings.cut_pause_s * track.rate_hz}
    forced = _forced(track, start, stop, cuts, inside, settings)
    marks = [start, *sorted(cuts | dict.fromkeys(forced, 0.0)), stop]
    chosen = _best_cuts(marks, cuts, track.rate_hz, settings)
    return [Piece(a, b, True, a in forced or b in forced) for a, b in pairwise(chosen)]


def _forced(
    track: Track, start: int, stop: int, cuts: dict[int, float], inside: list[Pause], settings: Segmenting
) -> set[int]:
    """Cuts where no pause is long enough within the hard maximum: the longest short one, else the quietest place."""
    longest = int(settings.hard_max_s * track.rate_hz)
    least = int(settings.min_s * track.rate_hz)
    forced: set[int] = set()
    marks = [start, *sorted(cuts), stop]
    for a, b in pairwise(marks):
        while b - a > longest:
            reach = (a + max(least, longest // 3), min(a + longest, b - least))
            short = [p for p in inside if reach[0] <= p.cut < reach[1]]
            a = max(short, key=lambda p: p.n_samples).cut if short else _quietest(track, *reach)
            forced.add(a)
    return forced


def _quietest(track: Track, start: int, stop: int) -> int:
    frames = track.frames(start, stop)
    return int(frames.start + _deepest(track.level_db[frames], 0, frames.stop - frames.start)) * track.frame


def _best_cuts(marks: list[int], pause_s: dict[int, float], rate: int, settings: Segmenting) -> list[int]:
    """The subset of marks (first and last always in it) with the least total cost."""
    best = [0.0] + [math.inf] * (len(marks) - 1)
    back = [0] * len(marks)
    for i in range(1, len(marks)):
        for j in range(i - 1, -1, -1):
            seconds = (marks[i] - marks[j]) / rate
            if seconds > settings.hard_max_s and j < i - 1:
                break
            cost = best[j] + _cost(seconds, settings) + 0.4 * math.exp(-pause_s.get(marks[i], 9.0) / 0.4)
            if cost < best[i]:
                best[i], back[i] = cost, j
    chosen = [len(marks) - 1]
    while chosen[-1]:
        chosen.append(back[chosen[-1]])
    return [marks[i] for i in reversed(chosen)]


def _cost(seconds: float, settings: Segmenting) -> float:
    off = (seconds - settings.ideal_s) / settings.ideal_s
    outside = 4.0 * (seconds < settings.min_s) + 4.0 * (seconds > settings.max_s)
    return off * off + outside
