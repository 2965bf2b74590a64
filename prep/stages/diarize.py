"""Who speaks when in a whole recording: segmentation windows, voices, clusters; kept as one small file.

1. Segmentation looks at 10 s at a time, every ~5 s, and of each look only the middle is believed (at the ends of the
   recording also the rim). It knows up to three local speakers and where two of them talk at once.
2. What a local speaker says alone in one middle is a *unit*; 1.5 s of it are embedded, in one piece
   where they can be had.
3. Units are clustered over the recording by the cosine of their embeddings (average linkage, a threshold): the
   clusters are the speakers. Units too short to be trusted join the nearest one.

Memory: one window of samples, and 192 half-precision numbers for each unit (an hour: under 1 MB). At most
`BLOCK_UNITS` units are clustered at a time, then the clusters of all blocks: small matrices at any length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from prep.audio import CopyReader, Resampler, Samples
from prep.clip import WorkingCopy
from prep.models.campplus import Embedder, unit
from prep.models.pyannote_segmentation import N_FRAMES, RATE_HZ, REACH, STEP, WINDOW, Segmenter, decoded, overlap_of
from prep.parallel import batched, ordered
from prep.span import rescale
from prep.stage import settings_of
from prep.stages.turns import Floats, Ints, Turns, joined, pack, runs, unpack
from prep.store import Store, digest, write_atomic

HOP_FRAMES = 296  # 5.0 s: every frame lies in the middle of one window
RIM_FRAMES = (N_FRAMES - HOP_FRAMES) // 2
FRAME_S = STEP / RATE_HZ
BLOCK_UNITS = 1500
BATCH = 4  # windows per call of the segmentation: a fifth faster than one by one
SHORTEST_S = 0.2  # less speech says nothing about whose it is


class Networks(Protocol):
    """The two networks, opened when first asked for."""

    @property
    def segmenter(self) -> Segmenter:
        """Who speaks when in 10 s."""
        ...

    @property
    def embedder(self) -> Embedder:
        """Which voice it is."""
        ...


@dataclass(frozen=True)
class Turning:
    """Settings, part of the key of what is found.

    Args:
        networks: opened only when a recording is not in the store.
        segmentation, embedding: digests of the two networks.
        same_voice: mean cosine between two clusters' units from which they are one voice; chosen on labelled
            recordings, see `benchmarks/results/diarization.md`.
        unit_s: least speech of a unit that may found a cluster.
        gap_s: a shorter silence inside one speaker's talk does not end the turn; turn_s: a shorter turn is dropped.
        piece_s: longest stretch embedded of a unit. More, in several pieces, costs up to twice the time of all and
            errs no less on labelled recordings.
        threads: that listen to one recording.
    """

    networks: Networks = field(metadata={"key": False})
    segmentation: str
    embedding: str
    same_voice: float = 0.38
    unit_s: float = 0.8
    gap_s: float = 0.5
    turn_s: float = 0.1
    piece_s: float = 1.5
    threads: int = field(default=1, metadata={"key": False})
    version: str = "2"


def turns(copy: WorkingCopy, settings: Turning, store: Store) -> Turns:
    """The turns of a working copy, from the store where it has them.

    Raises:
        ModelError: a network is needed and cannot be had.
    """
    path = store.blob_path(digest(copy.key, "turns", settings_of(settings)), ".npz")
    if not path.exists():
        with CopyReader(copy.path) as reader:
            write_atomic(path, pack(turns_of(reader.blocks(10.0), reader.rate_hz, settings)))
    return unpack(path.read_bytes())


def turns_of(blocks: Iterable[Samples], rate_hz: int, settings: Turning) -> Turns:
    """The turns of a signal that comes in blocks of `(n,)` float32; no samples give no turns."""
    gathered = _Gathered(settings)
    n_samples = 0

    def resampled() -> Iterator[Samples]:
        nonlocal n_samples
        resampler = Resampler(rate_hz, RATE_HZ, 1)
        for block in blocks:
            n_samples += len(block)
            yield resampler.push(block[:, None])[:, 0]
        yield resampler.push(np.zeros((0, 1), np.float32), last=True)[:, 0]

    networks = settings.networks
    networks.segmenter, networks.embedder  # noqa: B018  opened here, not by several threads at once
    groups = batched(windows(resampled()), BATCH)
    for heard in ordered(lambda group: _listened(group, settings), groups, settings.threads):
        for window in heard:
            gathered.add(*window)
    return gathered.finish(n_samples, rate_hz)


def windows(blocks: Iterable[Samples]) -> Iterator[tuple[Samples, int, slice]]:
    """Cut a stream at 16 kHz into segmentation windows.

    Gives samples `(n <= WINDOW,)`, the frame at which they begin, and which of their frames to believe: the middle
    `HOP_FRAMES`, at either end of the recording all up to it. Every frame is believed exactly once.
    """
    waiting, at = np.zeros(0, np.float32), 0
    for block in blocks:
        waiting = np.concatenate([waiting, block])
        while len(waiting) > WINDOW:  # more than one window: this one is not the last
            yield waiting[:WINDOW], at, slice(RIM_FRAMES if at else 0, RIM_FRAMES + HOP_FRAMES)
            waiting, at = waiting[HOP_FRAMES * STEP :], at + HOP_FRAMES
    if len(waiting):
        yield waiting, at, slice(RIM_FRAMES if at else 0, N_FRAMES)


@dataclass(frozen=True)
class _Unit:
    """What one local speaker says in the believed middle of a window; frames are those of the recording.

    Args:
        runs: first and last frame + 1 of each stretch.
        alone_s: seconds in which nobody else talks.
        piece: first and last frame + 1 of what was embedded; None where too little was said alone.
        vector: `(192,)`, of it.
    """

    runs: list[tuple[int, int]]
    alone_s: float
    piece: tuple[int, int] | None
    vector: Floats | None


def _listened(group: Sequence[tuple[Samples, int, slice]], settings: Turning) -> list[tuple[list[_Unit], Floats]]:
    """Of each window the units, and the probability of overlap in each of its believed frames."""
    every = settings.networks.segmenter.probs_of([window for window, *_ in group])
    return [
        (_units(window, first, believed, decoded(probs[believed]) > 0, settings), overlap_of(probs[believed]))
        for (window, first, believed), probs in zip(group, every, strict=True)
    ]


def _units(
    window: Samples, first: int, believed: slice, active: npt.NDArray[np.bool_], settings: Turning
) -> list[_Unit]:
    begin = believed.start
    alone = active & (active.sum(1, keepdims=True) == 1)
    units = []
    for local in np.flatnonzero(active.any(0)):
        said = [(first + begin + a, first + begin + b) for a, b in runs(active[:, local])]
        frames = begin + np.flatnonzero(alone[:, local])
        piece, vector = _embedded(window, first, frames, settings)
        units.append(_Unit(said, len(frames) * FRAME_S, piece, vector))
    return units


def _embedded(
    window: Samples, first: int, frames: Ints, settings: Turning
) -> tuple[tuple[int, int] | None, Floats | None]:
    """What of these frames of a window is embedded, and the embedding.

    The middle of the longest stretch; where none is long enough, of all of them put end to end.
    """
    if len(frames) * FRAME_S < SHORTEST_S:
        return None, None
    longest = max(joined(frames), key=lambda part: part[1] - part[0])
    size = int(settings.piece_s * RATE_HZ)
    if (longest[1] - longest[0]) * STEP >= size:
        frames = np.arange(*longest)
    offset = (REACH - STEP) // 2  # a frame's share of the signal lies around its centre
    said = np.concatenate([window[offset + STEP * a : offset + STEP * b] for a, b in joined(frames)])
    size = min(len(said), size)
    start = (len(said) - size) // 2
    last = frames[min((start + size) // STEP, len(frames) - 1)]
    vector = settings.networks.embedder.embed(said[start : start + size])
    return (first + int(frames[min(start // STEP, len(frames) - 1)]), first + int(last) + 1), vector


class _Gathered:
    """What one pass over a recording leaves: turns of local speakers and their voices."""

    def __init__(self, settings: Turning) -> None:
        self._settings = settings
        self._runs: list[tuple[int, int, int]] = []  # first frame, last frame + 1, unit
        self._pieces: list[tuple[int, int, int]] = []  # first frame, last frame + 1, unit
        self._vectors: list[npt.NDArray[np.float16]] = []
        self._alone_s: list[float] = []
        self._overlap: list[npt.NDArray[np.uint8]] = []

    def add(self, units: Sequence[_Unit], overlap: Floats) -> None:
        """One window's."""
        self._overlap.append(np.round(255 * overlap).astype(np.uint8))
        for unit_ in units:
            number = len(self._alone_s)
            self._alone_s.append(unit_.alone_s)
            self._runs += [(a, b, number) for a, b in unit_.runs]
            if unit_.piece is not None and unit_.vector is not None:
                self._pieces.append((*unit_.piece, number))
                self._vectors.append(unit_.vector[None].astype(np.float16))

    def finish(self, n_samples: int, rate_hz: int) -> Turns:
        """Cluster the units and write the turns down."""
        vectors = np.concatenate([np.zeros((0, 192), np.float16), *self._vectors]).astype(np.float32)
        owner = np.array([unit_id for *_, unit_id in self._pieces], int)
        alone_s = np.array(self._alone_s, np.float32)
        means = np.zeros((len(alone_s), vectors.shape[1]), np.float32)
        np.add.at(means, owner, vectors)
        labels = cluster(unit(means), alone_s, self._settings.same_voice, self._settings.unit_s)
        overlap = np.concatenate([np.zeros(0, np.uint8), *self._overlap]).astype(np.float32) / np.float32(255)
        return _written(self._runs, labels, self._pieces, vectors, overlap, n_samples, rate_hz, self._settings)


def cluster(vectors: Floats, seconds: Floats, same_voice: float, unit_s: float) -> Ints:
    """Which voice each unit is: labels `(n,)` of `(n, dims)` unit vectors, -1 where a unit has none (zeros).

    Average linkage on the cosine over units of at least `unit_s`; the others join the voice they are nearest to. In a
    recording without any unit that long, all of them found voices.
    """
    labels = np.full(len(vectors), -1, np.int64)
    known = np.flatnonzero(vectors.any(1))
    firm = known[seconds[known] >= unit_s] if (seconds[known] >= unit_s).any() else known
    n_voices = 0
    for at in range(0, len(firm), BLOCK_UNITS):
        block = firm[at : at + BLOCK_UNITS]
        labels[block] = n_voices + _linked(vectors[block], same_voice)
        n_voices = int(labels[block].max()) + 1
    if len(firm) > BLOCK_UNITS:
        sums = np.stack([vectors[labels == voice].mean(0) for voice in range(n_voices)])
        labels[firm] = _linked(unit(sums), same_voice)[labels[firm]]
    rest = np.setdiff1d(known, firm)
    if len(rest):
        means = unit(np.stack([vectors[labels == voice].sum(0) for voice in range(labels.max() + 1)]))
        labels[rest] = (vectors[rest] @ means.T).argmax(1)
    return labels


def _linked(vectors: Floats, same_voice: float) -> Ints:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    apart = np.clip(1 - vectors.astype(np.float64) @ vectors.T, 0, 2)
    np.fill_diagonal(apart, 0)
    tree = linkage(squareform(apart, checks=False), "average")
    return np.asarray(fcluster(tree, 1 - same_voice, "distance") - 1, np.int64)


def _written(
    spoken: list[tuple[int, int, int]],
    labels: Ints,
    pieces: list[tuple[int, int, int]],
    vectors: Floats,
    overlap: Floats,
    n_samples: int,
    rate_hz: int,
    settings: Turning,
) -> Turns:
    """Turns of numbered speakers out of runs of units."""
    labels = _placed(spoken, labels)
    found: list[tuple[int, int, int]] = []
    for voice in np.unique(labels):
        mine = sorted((a, b) for a, b, unit_id in spoken if labels[unit_id] == voice)
        others = np.array([(a, b) for a, b, unit_id in spoken if labels[unit_id] != voice], np.int64).reshape(-1, 2)
        found += [(a, b, int(voice)) for a, b in _bridged(mine, others, settings)]
    said = np.array([sum(b - a for a, b, voice in found if voice == v) for v in range(labels.max(initial=-1) + 1)])
    order = [int(v) for v in np.argsort(-said, kind="stable") if said[v] > 0]
    number = {voice: i for i, voice in enumerate(order)}
    rows = sorted((a, b, number[voice]) for a, b, voice in found)
    of_piece = np.array([number.get(int(labels[unit_id]), -1) for *_, unit_id in pieces], np.int64)
    centroids = np.zeros((len(order), vectors.shape[1]), np.float32)
    np.add.at(centroids, of_piece[of_piece >= 0], vectors[of_piece >= 0])
    place = _places(n_samples, rate_hz)
    return Turns(
        place([a for a, *_ in rows]),
        place([b for _, b, _ in rows]),
        np.array([voice for *_, voice in rows], np.int64),
        unit(centroids),
        (said[order] * FRAME_S).astype(np.float32) if order else np.zeros(0, np.float32),
        place([a for a, *_ in pieces]),
        place([b for _, b, _ in pieces]),
        of_piece,
        vectors,
        overlap,
        n_samples,
        rate_hz,
    )


def _placed(spoken: list[tuple[int, int, int]], labels: Ints) -> Ints:
    """Labels with the units that say nothing by themselves (-1) given to a voice.

    It is the one heard nearest in time that does not talk at the same moment; where there is none, a voice of its own
    that all such units share: somebody talks over the only speaker.
    """
    runs_of = {
        int(u): np.array([(a, b) for a, b, unit_id in spoken if unit_id == u]) for u in np.flatnonzero(labels < 0)
    }
    known = np.array([(a, b, labels[u]) for a, b, u in spoken if labels[u] >= 0], np.int64).reshape(-1, 3)
    nobody = labels.max(initial=-1) + 1
    out = labels.copy()
    for unit_id, own in runs_of.items():
        gaps = np.maximum(known[:, None, 0] - own[None, :, 1], own[None, :, 0] - known[:, None, 1]).min(
            1, initial=1 << 40
        )
        free = ~np.isin(known[:, 2], known[gaps < 0, 2])
        out[unit_id] = known[free, 2][gaps[free].argmin()] if free.any() else nobody
    return out


def _bridged(spoken: list[tuple[int, int]], others: Ints, settings: Turning) -> list[tuple[int, int]]:
    """Runs of one speaker, frames: short gaps in which nobody else talks are closed, then short runs dropped."""
    out: list[tuple[int, int]] = []
    for a, b in spoken:
        last = out[-1][1] if out else a
        short = bool(out) and (a - last) * FRAME_S < settings.gap_s
        if short and not ((others[:, 0] < a) & (others[:, 1] > last)).any():
            out[-1] = (out[-1][0], max(b, last))
        else:
            out.append((a, b))
    return [(a, b) for a, b in out if (b - a) * FRAME_S >= settings.turn_s]


def _places(n_samples: int, rate_hz: int) -> Callable[[list[int]], Ints]:
    """Frames to samples: a frame's share of the signal begins 360 samples (at 16 kHz) after 270 times its number."""
    last = rescale(n_samples, rate_hz, RATE_HZ) - REACH

    def place(frames: list[int]) -> Ints:
        at = [
            0 if g <= 0 else n_samples if STEP * g > last else rescale(360 + STEP * g, RATE_HZ, rate_hz) for g in frames
        ]
        return np.minimum(np.array(at, np.int64), n_samples)

    return place
