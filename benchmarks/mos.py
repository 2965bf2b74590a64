"""DNSMOS beside speechmos 0.0.1.1: the same numbers, what they cost, what noise does to them, and short clips.

Both run in one process, one after the other on each recording, and take turns at going first. "Per core" is processor
time over all threads: speechmos lets ONNX Runtime take every core, voxprep takes one thread. `pip install --no-deps
speechmos==0.0.1.1` installs the peer.
"""

from __future__ import annotations

import importlib
import importlib.util
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import Took, peak_mb, run_python, time_once
from benchmarks.inputs import data_root, read_all
from benchmarks.report import Missing, Table, at_least, at_most
from benchmarks.snr import LEVELS_DB, mix, noise_of, talks
from benchmarks.snr import RATE_HZ as MIX_HZ
from prep.audio import Samples, resample
from prep.models.dnsmos import RATE_HZ, WINDOW, Dnsmos, Scores, fill_window, spread_starts
from prep.models.registry import cache_root, ensure

NAMES = ("ovrl", "sig", "bak", "p808")
FILES = (
    "asr/librispeech/1688-142285-0000.flac",
    "asr/librispeech/1688-142285-0001.flac",
    "long/ljspeech_LJ001.flac",
    "long/columbia_2003.wma",
    "noise/ambient/coffee-shop.ogg",
    "noise/ambient/pink-noise.ogg",
    "noise/music/guitar_44k.wav",
)
LONGEST_S = 15
NOISES = ("ambient/white-noise.ogg", "ambient/coffee-shop.ogg", "home/doing_the_dishes.flac")
N_TALKS = 6
OVRL_LIMITS = (2.2, 2.5, 2.8, 3.0)
SHORT_S = (2.0, 4.0, 6.0)


def _peer() -> Any:
    if importlib.util.find_spec("speechmos") is None:
        raise Missing("needs the peer: pip install --no-deps speechmos==0.0.1.1")
    return importlib.import_module("speechmos.dnsmos")


def _ours() -> Dnsmos:
    return Dnsmos(ensure("dnsmos", cache=cache_root()))


def _read(name: str, at_most_s: int = LONGEST_S) -> Samples:
    samples = read_all(data_root() / name, RATE_HZ).mean(axis=1)
    return np.ascontiguousarray(samples[: at_most_s * RATE_HZ], np.float32)


def peer_starts(n_samples: int) -> tuple[int, ...]:
    """The windows speechmos takes: one a second, and never the one that would end in the last second."""
    return tuple(i * RATE_HZ for i in range(int(n_samples // RATE_HZ - 9.01) + 1))


def _looped(samples: Samples) -> Samples:
    """Doubled until it fills a window, as speechmos does."""
    while len(samples) < WINDOW:
        samples = np.concatenate([samples, samples])
    return samples


def _values(scores: Scores) -> list[float]:
    return [getattr(scores, name) for name in NAMES]


@dataclass(frozen=True)
class Pair:
    """One stretch of a recording through both: the peer, ours at its windows, ours at ours."""

    name: str
    samples: Samples
    peer: Any
    ours: Dnsmos

    @property
    def starts(self) -> tuple[int, ...]:
        """The peer's windows."""
        return peer_starts(len(_looped(self.samples)))

    def work(self, how: str) -> list[float]:
        """OVRL, SIG, BAK and P.808 one way: `peer`, `equal` (the same windows) or `default`."""
        if how == "peer":
            theirs = self.peer.run(self.samples, RATE_HZ)
            return [float(theirs[f"{name}_mos"]) for name in NAMES]
        if how == "equal":
            return _values(self.ours.score(_looped(self.samples), self.starts))
        filled = fill_window(self.samples)
        return _values(self.ours.score(filled, spread_starts(len(filled))))

    def timed(self, how: str) -> Took:
        """What `work` took."""
        return time_once(lambda: self.work(how))


def _agreement(pairs: Sequence[Pair]) -> Table:
    rows, worst = [], 0.0
    for pair in pairs:
        theirs, equal, default = (np.array(pair.work(how)) for how in HOW)
        off = np.abs(equal - theirs)
        worst = max(worst, float(off.max()))
        n_default = len(spread_starts(len(fill_window(pair.samples))))
        seconds = f"{len(pair.samples) / RATE_HZ:.1f}"
        cells = [f"{value:.5f}" for value in off]
        rows.append(
            (pair.name, seconds, str(len(pair.starts)), *cells, str(n_default), f"{default[0] - theirs[0]:+.3f}")
        )
    _, budget, verdict = at_most(worst, 0.01, "")
    return Table(
        "Agreement with speechmos, absolute difference",
        ("recording", "s", "windows", "OVRL", "SIG", "BAK", "P.808", "our windows", "OVRL at them"),
        rows,
        f"At the same windows the largest difference is {worst:.5f} (aim {budget}: {verdict}).",
    )


def _speed_row(seconds: float, pairs: Sequence[Pair]) -> tuple[str, ...]:
    took: dict[str, list[Took]] = {how: [] for how in HOW}
    for i, pair in enumerate(pairs):
        for how in HOW if i % 2 else HOW[::-1]:
            took[how].append(pair.timed(how))
    cpu = {how: sum(one.cpu_s for one in took[how]) for how in HOW}
    wall = {how: sum(one.wall_s for one in took[how]) for how in HOW}
    equal = at_least(cpu["peer"] / cpu["equal"], 1.4, digits=2)
    default = at_least(cpu["peer"] / cpu["default"], 4.0, digits=2)
    total = sum(len(pair.samples) for pair in pairs) / RATE_HZ
    return (
        f"{seconds:g} s",
        str(len(pairs)),
        *(f"{total / cpu[how]:.1f}" for how in HOW),
        equal[0],
        equal[2],
        default[0],
        default[2],
        f"{wall['peer'] / wall['default']:.2f}x",
    )


def _speed(peer: Any, ours: Dnsmos) -> Table:
    rows = []
    for seconds in SPEED_S:
        pairs = [Pair(name, _read(name, 90)[: int(seconds * RATE_HZ)], peer, ours) for name in SPEED_FILES]
        rows.append(_speed_row(seconds, [pair for pair in pairs if len(pair.samples) >= seconds * RATE_HZ]))
    return Table(
        "Speed in one paired run, x real time per core",
        (
            "clips of",
            "n",
            "speechmos",
            "voxprep, the same windows",
            "voxprep, its own windows",
            "same windows (aim >= 1.4x)",
            "",
            "own windows (aim >= 4x)",
            " ",
            "own windows, on the wall",
        ),
        rows,
        "speechmos scores a window each second of audio, and repeats what is shorter than a window until it is two; "
        "voxprep's own windows are the fewest that cover a clip. The clips of 4 and 8 s are repeated here too (a run "
        "has what lies around them, at the same cost). A minute stands for scoring whole recordings.",
    )


HOW = ("peer", "equal", "default")
SPEED_FILES = ("long/ljspeech_LJ001.flac", "long/columbia_2003.wma")
SPEED_S = (4.0, 8.0, 12.0, 15.0, 30.0, 60.0)


def _noisy_scores(ours: Dnsmos) -> list[list[float]]:
    """OVRL of each talk and noise at each level."""
    rng = np.random.default_rng(5)
    chosen = talks(("ljspeech", "harvard", "librispeech"))
    rows = []
    for talk in chosen[:: max(1, len(chosen) // N_TALKS)][:N_TALKS]:
        for name in NOISES:
            noise = noise_of(name)
            mixed = [resample(mix(talk, noise, level, rng), MIX_HZ, RATE_HZ) for level in LEVELS_DB]
            rows.append([ours.score(fill_window(samples), (0,)).ovrl for samples in mixed])
    return rows


def _noise(ours: Dnsmos) -> Table:
    scores = np.array(_noisy_scores(ours))
    steps = np.diff(scores, axis=1)
    rows = []
    for level, column in zip(LEVELS_DB, scores.T, strict=True):
        passes = [f"{100 * np.mean(column >= limit):.0f} %" for limit in OVRL_LIMITS]
        rows.append((f"{level:g}", f"{column.mean():.2f}", f"{column.std():.2f}", *passes))
    falls = [float(-step) for step in steps.ravel() if step < 0]
    mean_rises = bool((np.diff(scores.mean(axis=0)) > 0).all())
    return Table(
        f"OVRL under noise: {len(scores)} pairs of talk and noise",
        ("SNR, dB", "mean OVRL", "spread (1 sd)", *(f"passes >= {limit:g}" for limit in OVRL_LIMITS)),
        rows,
        f"The mean {'rises at every step' if mean_rises else 'DOES NOT rise at every step'}; of {steps.size} single "
        f"steps of 5 dB {len(falls)} fall, the largest by {max(falls, default=0.0):.2f}.",
    )


def _short(ours: Dnsmos) -> Table:
    samples = _read("long/ljspeech_LJ001.flac", 90)
    rows = []
    for length_s in SHORT_S:
        n = int(length_s * RATE_HZ)
        centres = range(10 * RATE_HZ, 80 * RATE_HZ, 12 * RATE_HZ)
        looped = [ours.score(fill_window(samples[at - n // 2 : at + n // 2]), (0,)).ovrl for at in centres]
        around = [ours.score(samples[at - WINDOW // 2 :][:WINDOW], (0,)).ovrl for at in centres]
        whole = statistics.mean(around)
        rows.append(
            (
                f"{length_s:g} s",
                str(len(looped)),
                *(f"{statistics.mean(values):.2f} ({statistics.pstdev(values):.2f})" for values in (looped, around)),
                f"{statistics.mean(looped) - whole:+.2f}",
            )
        )
    return Table(
        "Short clips of one studio reading, OVRL: mean (1 sd)",
        ("clip", "n", "looped, as speechmos does", "in its surroundings, as voxprep does", "looping adds"),
        rows,
    )


def print_memory(folder: str) -> None:
    """For a process of its own: MB gained by opening and running the networks."""
    before = peak_mb()
    Dnsmos(Path(folder)).score(np.zeros(WINDOW, np.float32), (0,))
    print(peak_mb() - before)


def _memory() -> Table:
    code = "import sys; from benchmarks.mos import print_memory; print_memory(sys.argv[1])"
    mb = float(run_python(code, str(ensure("dnsmos", cache=cache_root()))))
    return Table("Memory", ("work", "MB gained"), [("open both networks, score one window", f"{mb:.0f}")])


def run() -> list[Table]:
    """All tables."""
    peer, ours = _peer(), _ours()
    warm = _read(FILES[0], 10)
    peer.run(warm, RATE_HZ)
    ours.score(warm, (0,))
    pairs = [Pair(name, _read(name), peer, ours) for name in FILES]
    return [_agreement(pairs), _speed(peer, ours), _noise(ours), _short(ours), _memory()]
