"""Who speaks when in a whole recording: the value, and what is read off it; `diarize` works it out."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
FRAME_S = 270 / 16_000
"""Segmentation's frames; the first is centred 31 ms into the recording."""
FIRST_S = 495 / 16_000


@dataclass(frozen=True)
class Turns:
    """Who speaks when in one working copy. Positions are samples at `rate_hz`, half-open.

    Args:
        starts, stops, speakers: one entry per turn, `(n,)`, by start; turns of different speakers may overlap.
        centroids: `(n_speakers, 192)`, unit mean direction of what each says alone; zeros where nothing was embedded.
        speech_s: seconds each speaks in all, `(n_speakers,)`; speakers are numbered by it, the longest first.
        piece_starts, piece_stops, piece_speakers: first and last sample of each embedded piece (pauses and other
            speakers' words in between are cut out of it) and whose it is, `(m,)`.
        pieces: `(m, 192)`, unit vectors.
        overlap: probability that two talk at once, every `FRAME_S`, `(frames,)`.
        n_samples, rate_hz: of the working copy.
    """

    starts: Ints
    stops: Ints
    speakers: Ints
    centroids: Floats
    speech_s: Floats
    piece_starts: Ints
    piece_stops: Ints
    piece_speakers: Ints
    pieces: Floats
    overlap: Floats
    n_samples: int
    rate_hz: int

    @property
    def n_speakers(self) -> int:
        """Voices in the recording."""
        return len(self.centroids)

    @cached_property
    def steps(self) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Where anything changes: positions `(k,)` and who talks from each to the next, `(k, n_speakers)`."""
        at = np.unique(np.concatenate([[0, self.n_samples], self.starts, self.stops]))
        active = np.zeros((len(at), self.n_speakers), bool)
        for start, stop, speaker in zip(self.starts, self.stops, self.speakers, strict=True):
            active[np.searchsorted(at, start) : np.searchsorted(at, stop), speaker] = True
        return at, active


@dataclass(frozen=True)
class Change:
    """A place where a clip must end, samples: the best is `at`, anywhere in `[earliest, latest]` will do."""

    at: int
    earliest: int
    latest: int


def speaker_changes(turns: Turns) -> list[Change]:
    """Where a clip must end so that none spans a change of speaker, in order.

    Between the last word of one and the first of another any place will do, best the middle. Where somebody talks over
    another, the stretch of both begins and ends with a change, so that it becomes a clip of its own.
    """
    at, active = turns.steps
    changes: list[Change] = []
    before: npt.NDArray[np.bool_] | None = None
    since = 0
    for i in range(len(at) - 1):
        if not active[i].any():
            continue
        if before is not None and (before != active[i]).any():
            changes.append(Change((since + int(at[i])) // 2, since, int(at[i])))
        before, since = active[i], int(at[i + 1])
    return changes


def overlap_spans(turns: Turns) -> list[tuple[int, int]]:
    """Where two or more talk at once: half-open sample ranges, in order."""
    at, active = turns.steps
    return [(int(at[a]), int(at[b])) for a, b in runs(active.sum(1) > 1)]


def runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Half-open index ranges where a 1-D mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def joined(frames: Ints) -> list[tuple[int, int]]:
    """Half-open ranges of consecutive numbers in a sorted list."""
    ends = np.flatnonzero(np.diff(frames) > 1)
    firsts, lasts = np.concatenate([[0], ends + 1]), np.concatenate([ends, [len(frames) - 1]])
    return [(int(frames[a]), int(frames[b]) + 1) for a, b in zip(firsts, lasts, strict=True)]


def pack(turns: Turns) -> bytes:
    """As bytes to keep: an hour of talk is about 1 MB."""
    buffer = io.BytesIO()
    values = {name: getattr(turns, name) for name in turns.__dataclass_fields__}
    small = {"pieces": turns.pieces.astype(np.float16), "overlap": np.round(255 * turns.overlap).astype(np.uint8)}
    np.savez(buffer, **{**values, **small})
    return buffer.getvalue()


def unpack(data: bytes) -> Turns:
    """What `pack` wrote; embeddings come back at half precision."""
    with np.load(io.BytesIO(data)) as saved:
        values = {name: saved[name] for name in Turns.__dataclass_fields__}
    values |= {"pieces": values["pieces"].astype(np.float32), "overlap": values["overlap"].astype(np.float32) / 255}
    return Turns(**{**values, "n_samples": int(values["n_samples"]), "rate_hz": int(values["rate_hz"])})
