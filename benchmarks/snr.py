"""Signal-to-noise ratio: real noises mixed into real speech at known levels, against what `snr_db` says.

The truth is mean speech power where the clean speech has speech, over mean power of the noise added, dB. Speech is
taken only from recordings whose own quietest tenth of frames lies 40 dB under their speech, so that what was added
is the noise. Everything is seeded; the track is made from the mixture, as in a run.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.clock import time_once
from benchmarks.inputs import data_root, read_all
from benchmarks.report import Table, at_most
from prep.audio import Samples
from prep.clip import Clip, Source, WorkingCopy
from prep.measures.snr import measure
from prep.models.ear import Ear, open_ear
from prep.models.registry import cache_root
from prep.span import Span
from prep.stages.listen import Track, track_of

RATE_HZ = 24_000
LEVELS_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, 25.0)
GATE_DB = 15.0
OWN_SNR_DB = 40.0
SPEECH_S, SPEECH_MAX_S = 3.0, 15.0
NOISES = (
    "ambient/rain.ogg",
    "ambient/waves.ogg",
    "ambient/boat.ogg",
    "ambient/city.ogg",
    "ambient/coffee-shop.ogg",
    "ambient/fireplace.ogg",
    "ambient/pink-noise.ogg",
    "ambient/white-noise.ogg",
    "ambient/train.ogg",
    "ambient/wind.ogg",
    "home/doing_the_dishes.flac",
    "home/exercise_bike.flac",
)
STEADY = ("ambient/rain.ogg", "ambient/boat.ogg", "ambient/pink-noise.ogg", "ambient/white-noise.ogg")


@dataclass(frozen=True)
class Talk:
    """A clean recording: its samples, and where it has speech."""

    name: str
    samples: Samples
    track: Track

    @property
    def speech_power(self) -> float:
        """Mean power of its speech frames, linear."""
        power = 10 ** (self.track.level_db.astype(np.float64) / 10)
        return float(power[self.track.prob >= 0.5].mean())


@dataclass(frozen=True)
class Made:
    """What a measure may look at, without a file: see `prep.recordings.View`."""

    clip: Clip
    samples: Samples
    track: Track

    def around(self, least_s: float) -> Samples:
        """The clip is all there is."""
        return self.samples


@cache
def _ear() -> Ear:
    return open_ear(cache_root())


def track(samples: Samples) -> Track:
    """Speech and level of `(n,)` samples at `RATE_HZ`, as a run would have them."""
    return track_of([samples], RATE_HZ, _ear())


def view(samples: Samples, heard: Track | None = None) -> Made:
    """A view of a whole recording that has no file; `heard` saves listening to it."""
    source = Source("made.wav", Path("made.wav"), "0" * 64)
    copy = WorkingCopy(source, "made", Path("none"), "mono", Span(0, len(samples), RATE_HZ), {})
    return Made(Clip(copy, copy.span, "made"), samples, heard or track(samples))


def own_snr_db(heard: Track) -> float:
    """Speech level over the quietest tenth of frames, dB; low where there is no speech."""
    speech = heard.prob >= 0.5
    if speech.mean() < 0.3:
        return 0.0
    level = 10 * np.log10(np.mean(10 ** (heard.level_db[speech].astype(np.float64) / 10)))
    return float(level - np.percentile(heard.level_db, 10))


def talks(folders: Sequence[str], own_db: float = OWN_SNR_DB) -> list[Talk]:
    """Clean clips of the shared set, 3 to 15 s, mono at 24 kHz."""
    root = data_root() / "asr"
    with open(root / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"].split("/")[0] in folders]
    names = [row["file"] for row in rows if SPEECH_S <= float(row["duration_s"]) <= SPEECH_MAX_S]
    found = []
    for name in names:
        samples = np.ascontiguousarray(read_all(root / name, RATE_HZ)[:, 0])
        heard = track(samples)
        if own_snr_db(heard) >= own_db:
            found.append(Talk(name, samples, heard))
    return found


def noise_of(name: str) -> Samples:
    """A noise of the shared set, mono at 24 kHz."""
    return np.ascontiguousarray(read_all(data_root() / "noise" / name, RATE_HZ).mean(axis=1), np.float32)


def mix(talk: Talk, noise: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    """Speech with a random stretch of noise under it, the noise's mean power over the stretch set to the level."""
    n = len(talk.samples)
    long = np.resize(noise, max(len(noise), n + 1))
    start = int(rng.integers(0, len(long) - n))
    part = long[start : start + n]
    power = float(np.mean(part.astype(np.float64) ** 2))
    gain = (talk.speech_power / 10 ** (snr_db / 10) / max(power, 1e-20)) ** 0.5
    mixed = talk.samples + np.float32(gain) * part
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())), np.float32)


@dataclass(frozen=True)
class Trial:
    """One mixture: what was made and what was measured."""

    talk: str
    noise: str
    true_db: float
    found_db: float | None


def trials(found: Sequence[Talk], noises: Sequence[str], levels: Sequence[float]) -> Iterator[Trial]:
    """Every talk with every noise, levels in turn; seeded."""
    rng = np.random.default_rng(4)
    sounds = {name: noise_of(name) for name in noises}
    for talk in found:
        for name in noises:
            for level in rng.choice(levels, 3, replace=False):
                samples = mix(talk, sounds[name], float(level), rng)
                yield Trial(talk.name, name, float(level), measure(view(samples))["snr_db"])  # type: ignore[arg-type]


def _errors(rows: Sequence[Trial]) -> list[float]:
    return [row.found_db - row.true_db for row in rows if row.found_db is not None]


def _summary(label: str, rows: Sequence[Trial]) -> tuple[str, ...]:
    errors = _errors(rows)
    unknown = f"{100 * (1 - len(errors) / len(rows)):.0f} %"
    if not errors:
        return (label, str(len(rows)), unknown, "-", "-", "-", "-")
    size = np.abs(errors)
    return (
        label,
        str(len(rows)),
        unknown,
        f"{statistics.median(size):.1f}",
        f"{np.median(errors):+.1f}",
        f"{np.percentile(errors, 10):+.1f} to {np.percentile(errors, 90):+.1f}",
        f"{np.percentile(size, 95):.1f}",
    )


def _gate_row(rows: Sequence[Trial], level: float) -> tuple[str, ...]:
    at = [row for row in rows if row.true_db == level]
    passed = [row for row in at if row.found_db is not None and row.found_db >= GATE_DB]
    unknown = [row for row in at if row.found_db is None]
    refused = len(at) - len(passed) - len(unknown)
    return (f"{level:g}", str(len(at)), *(f"{100 * n / len(at):.0f} %" for n in (len(passed), refused, len(unknown))))


def run() -> list[Table]:
    """All tables."""
    found = talks(("ljspeech", "harvard", "librispeech", "multilingual", "spontaneous"))
    rows = list(trials(found, NOISES, LEVELS_DB))
    steady = [row for row in rows if row.noise in STEADY]
    views = [view(talk.samples) for talk in found]
    cost = time_once(lambda: [measure(one) for one in views])  # type: ignore[arg-type]
    seconds = sum(len(talk.samples) for talk in found) / RATE_HZ
    columns = ("mixtures", "n", "unknown", "median abs. error, dB", "bias, dB", "10-90 %, dB", "95 % of abs., dB")
    verdict = at_most(statistics.median(np.abs(_errors(rows))), 2.0, " dB")
    return [
        Table("Error over all mixtures", (*columns, "budget", ""), [(*_summary("all", rows), *verdict[1:])]),
        Table(
            "By level",
            columns,
            [_summary(f"{level:g} dB", [row for row in rows if row.true_db == level]) for level in LEVELS_DB],
        ),
        Table(
            "By noise",
            columns,
            [
                _summary("steady ones", steady),
                *(_summary(name, [row for row in rows if row.noise == name]) for name in NOISES),
            ],
        ),
        Table(
            f"The gate at {GATE_DB:g} dB",
            ("true SNR, dB", "n", "passes", "refused", "unknown (refused too, with that reason)"),
            [_gate_row(rows, level) for level in LEVELS_DB],
            "Nothing unknown ever becomes a good number: without 0.1 s of non-speech nearby the value is None.",
        ),
        Table(
            "Cost",
            ("work", "x real time per core"),
            [("snr_db, the track at hand", f"{seconds / max(cost.cpu_s, 1e-9):,.0f}")],
            f"{len(found)} recordings of {seconds / 60:.1f} min: {', '.join(talk.name for talk in found)}.",
        ),
    ]
