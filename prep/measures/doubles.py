"""The same take twice among many clips: shifted, louder, through another codec; not the same voice or text again.

Fingerprints after Haitsma and Kalker (2002): of each 0.26 s, whether the difference of neighbouring bands grows or
falls, 32 bits between 300 and 3400 Hz. Level cancels, codecs keep most bits, and a second reading of the same words
by the same voice shares no more of them than chance.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prep.audio import resample
from prep.recordings import View

RATE_HZ = 8_000
WINDOW, HOP = 2048, 200
HOP_S = HOP / RATE_HZ
EDGES_HZ = np.geomspace(300, 3400, 34)
KEYS = ((0, 20), (12, 20))
"""(first bit, bits) of a frame's code that must agree exactly somewhere for two clips to be compared at all."""
COMMON = 40
"""A key that more frames than this have is no sign of anything, and comparing them all would be quadratic."""
MIN_VOTES = 2
MIN_SHARED_S = 1.0
MAX_BIT_ERROR = 0.32
Codes = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Double:
    """Two clips that hold the same take.

    Args:
        first, second: names of the clips, in the order given.
        shift_s: how much later the same sound is in `second`.
        shared_s: seconds of speech compared.
        bit_error: share of bits that differ: 0 for identical samples, 0.5 for unrelated ones.
        shared_ratio: `shared_s` over the speech of the shorter clip, at most 1.
    """

    first: str
    second: str
    shift_s: float
    shared_s: float
    bit_error: float
    shared_ratio: float


def fingerprint(view: View) -> str:
    """A clip's codes, base64 of little-endian uint32, one per 25 ms; 0 where there is no speech. Empty if too short."""
    samples = resample(view.samples, view.clip.span.rate_hz, RATE_HZ)
    if len(samples) < WINDOW + HOP:
        return ""
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32))
    power = spectrum.real**2 + spectrum.imag**2
    edges = np.rint(EDGES_HZ * WINDOW / RATE_HZ).astype(int)
    bands = np.log(np.add.reduceat(power, edges, axis=1)[:, :-1] + 1e-12)
    rising = np.diff(np.diff(bands, axis=1), axis=0) > 0
    codes = np.packbits(rising, axis=1, bitorder="little").view("<u4")[:, 0]
    middles = (np.arange(1, len(codes) + 1) * HOP + WINDOW // 2) / RATE_HZ
    at = ((view.clip.span.start_s + middles) / 0.01).astype(int)
    speech = view.track.prob[np.minimum(at, len(view.track.prob) - 1)] >= 0.5
    return base64.b64encode(np.where(speech, codes, 0).astype("<u4").tobytes()).decode()


def read_codes(text: str) -> Codes:
    """The codes in a fingerprint."""
    return np.frombuffer(base64.b64decode(text), "<u4").astype(np.uint32)


def find_doubles(fingerprints: Mapping[str, str], max_bit_error: float = MAX_BIT_ERROR) -> list[Double]:
    """Pairs of clips that hold the same take, by name, each pair once; near-linear in their number.

    Only pairs whose codes agree exactly in 20 bits, twice at one shift, are compared frame by frame. Overlap of less
    than a second of speech, and clips with less, are not judged.
    """
    names = list(fingerprints)
    codes = [read_codes(fingerprints[name]) for name in names]
    best: dict[tuple[int, int], Double] = {}
    for first, second, shift in candidates(codes):
        found = compare(codes[first], codes[second], shift)
        if found is None or found[0] > max_bit_error:
            continue
        error, n_shared = found
        n_least = min(int((codes[i] != 0).sum()) for i in (first, second))
        ratio = min(1.0, n_shared / n_least)
        double = Double(names[first], names[second], shift * HOP_S, n_shared * HOP_S, error, ratio)
        if (first, second) not in best or error < best[first, second].bit_error:
            best[first, second] = double
    return [best[pair] for pair in sorted(best)]


def compare(first: Codes, second: Codes, shift: int) -> tuple[float, int] | None:
    """(share of differing bits, frames compared) where `second` runs `shift` frames later; None under a second."""
    a, b = first[max(0, -shift) :], second[max(0, shift) :]
    n = min(len(a), len(b))
    both = (a[:n] != 0) & (b[:n] != 0)
    n_both = int(both.sum())
    if n_both * HOP_S < MIN_SHARED_S:
        return None
    differing = np.bitwise_count(a[:n][both] ^ b[:n][both])
    return float(differing.mean()) / 32, n_both


def candidates(codes: Sequence[Codes]) -> list[tuple[int, int, int]]:
    """(first, second, shift in frames) of pairs that agree exactly in a key at least `MIN_VOTES` times at one shift."""
    clip = np.concatenate([np.full(len(one), i) for i, one in enumerate(codes)] or [np.zeros(0, np.int64)])
    frame = np.concatenate([np.arange(len(one)) for one in codes] or [np.zeros(0, np.int64)])
    code = np.concatenate([*codes, np.zeros(0, np.uint32)])
    some = code != 0
    votes = [_meetings(clip[some], frame[some], (code[some] >> first) & ((1 << n) - 1)) for first, n in KEYS]
    rows, counts = np.unique(np.concatenate(votes), axis=0, return_counts=True)
    return [(int(a), int(b), int(shift)) for a, b, shift in rows[counts >= MIN_VOTES]]


def _meetings(clip: npt.NDArray[np.int64], frame: npt.NDArray[np.int64], key: Codes) -> npt.NDArray[np.int64]:
    """Rows (first clip, second clip, shift) of all frames of different clips with one key."""
    order = np.argsort(key, kind="stable")  # within a key the clips stay in order
    clip, frame, key = clip[order], frame[order], key[order]
    n_same = np.diff(np.append(np.flatnonzero(np.diff(key, prepend=-1.0)), len(key)))
    rare = np.repeat(n_same <= COMMON, n_same)
    clip, frame, key = clip[rare], frame[rare], key[rare]
    rows = []
    for lag in range(1, COMMON):
        if lag >= len(key):
            break
        meet = (key[lag:] == key[:-lag]) & (clip[lag:] != clip[:-lag])
        if not meet.any() and not (key[lag:] == key[:-lag]).any():
            break
        shift = frame[lag:][meet] - frame[:-lag][meet]
        rows.append(np.stack([clip[:-lag][meet], clip[lag:][meet], shift], axis=1))
    return np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)
