"""Reverberation: dry speech through rooms whose C50 is known, against what `c50_db` says.

Rooms: the impulse responses of the shared set, as they are and with their tails shortened, and made ones (a direct
sound and exponentially decaying noise, 0.2 to 1.2 s, the tail 6 dB over to 12 dB under the direct sound). True C50 is
of the response alone; what room the dry speech already has is not in it. The line from decay to C50 was fitted on some
of these recordings in an earlier set of rooms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve
from scipy.stats import spearmanr

from benchmarks.clock import time_once
from benchmarks.inputs import data_root, read_all
from benchmarks.report import Table
from benchmarks.snr import RATE_HZ, Talk, noise_of, talks, view
from prep.audio import Samples
from prep.measures.reverb import DRY_DB, measure

N_TALKS = 8
DECAYS_S = (0.2, 0.3, 0.4, 0.6, 0.8, 1.2)
DIRECT_DB = (-6.0, 0.0, 6.0, 12.0)
RANGES_DB = ((-10, 2), (2, 6), (6, 10), (10, 15), (15, 20), (20, 60))
GATE_DB = 8.0
NOISES_DB = (None, 30.0, 20.0, 15.0)
Response = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Room:
    """A room's impulse response, direct sound first, and its C50."""

    name: str
    response: Response
    c50_db: float


def c50_db(response: Response) -> float:
    """Energy up to 50 ms after the direct sound (ISO 3382), over what follows, dB."""
    direct = int(np.argmax(np.abs(response)))
    split = direct + int(0.05 * RATE_HZ)
    early, late = float((response[:split] ** 2).sum()), float((response[split:] ** 2).sum())
    return 10 * float(np.log10(early / max(late, 1e-12)))


def rooms() -> list[Room]:
    """Real ones, real ones with shortened tails, and made ones."""
    rng, found = np.random.default_rng(1), []
    for path in sorted((data_root() / "noise" / "rir").glob("*.wav")):
        samples = read_all(path, RATE_HZ)[:, 0].astype(np.float64)
        direct = int(np.argmax(np.abs(samples)))
        response = samples[max(0, direct - 48) : direct + int(1.5 * RATE_HZ)] / np.abs(samples).max()
        for extra_db_per_s in (0.0, 100.0, 300.0):
            tail = np.arange(len(response)) / RATE_HZ
            shorter = response * 10 ** (-extra_db_per_s * tail / 20)
            found.append(Room(f"{path.stem}, {extra_db_per_s:g} dB/s faster", shorter, c50_db(shorter)))
    for decay_s in DECAYS_S:
        for direct_db in DIRECT_DB:
            response = _made(decay_s, direct_db, rng)
            found.append(Room(f"made, {decay_s:g} s, direct {direct_db:+g} dB", response, c50_db(response)))
    return found


def _made(decay_s: float, direct_db: float, rng: np.random.Generator) -> Response:
    times = np.arange(int((1.2 * decay_s + 0.1) * RATE_HZ)) / RATE_HZ
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / decay_s)
    tail[: int(0.0025 * RATE_HZ)] = 0
    tail *= (10 ** (-direct_db / 10) / float((tail**2).sum())) ** 0.5
    tail[0] = 1
    return np.asarray(tail)


@dataclass(frozen=True)
class Trial:
    """One voice in one room."""

    room: Room
    snr_db: float | None
    found_db: float | None


def _in_room(talk: Talk, room: Room, noise: Samples, snr_db: float | None) -> Samples:
    wet = fftconvolve(talk.samples.astype(np.float64), room.response)[: len(talk.samples)]
    wet *= 0.1 / float(np.sqrt(np.mean(wet**2)))
    if snr_db is not None:
        part = np.resize(noise, len(wet)).astype(np.float64)
        wet += part * (0.1 / float(np.sqrt(np.mean(part**2))) * 10 ** (-snr_db / 20))
    return wet.astype(np.float32)


def _c50(samples: Samples, talk: Talk) -> float | None:
    return measure(view(samples, talk.track))["c50_db"]  # type: ignore[arg-type]


def trials(found: Sequence[Talk]) -> list[Trial]:
    """Every voice in every room; noise under every third."""
    noise, places, out = noise_of("ambient/pink-noise.ogg"), rooms(), []
    for i, talk in enumerate(found):
        for j, room in enumerate(places):
            for snr_db in NOISES_DB if (i + j) % 3 == 0 else NOISES_DB[:1]:
                out.append(Trial(room, snr_db, _c50(_in_room(talk, room, noise, snr_db), talk)))
    return out


def _row(label: str, rows: Sequence[Trial]) -> tuple[str, ...]:
    known = [(min(row.room.c50_db, DRY_DB), row.found_db) for row in rows if row.found_db is not None]
    if len(known) < 3:
        return (label, str(len(rows)), f"{len(rows) - len(known)}", "-", "-", "-", "-")
    true, got = np.array(known, float).T
    error = got - true
    return (
        label,
        str(len(rows)),
        f"{100 * (1 - len(known) / len(rows)):.0f} %",
        f"{spearmanr(true, got).statistic:.2f}",
        f"{np.median(np.abs(error)):.1f}",
        f"{np.mean(error):+.1f}",
        f"{np.percentile(np.abs(error), 90):.1f}",
    )


def _gate(rows: Sequence[Trial]) -> list[tuple[str, ...]]:
    out = []
    for low, high in RANGES_DB:
        some = [row for row in rows if low <= row.room.c50_db < high]
        passed = [row for row in some if row.found_db is not None and row.found_db >= GATE_DB]
        if some:
            out.append((f"{low} to {high}", str(len(some)), f"{100 * len(passed) / len(some):.0f} %"))
    return out


def run() -> list[Table]:
    """All tables."""
    every = talks(("ljspeech", "harvard", "librispeech", "multilingual"))
    found = every[:: max(1, len(every) // N_TALKS)][:N_TALKS]
    rows = trials(found)
    quiet = [row for row in rows if row.snr_db is None]
    views = [view(talk.samples, talk.track) for talk in found]
    cost = time_once(lambda: [measure(one) for one in views])  # type: ignore[arg-type]
    seconds = sum(len(talk.samples) for talk in found) / RATE_HZ
    dry = [value for one in views if (value := measure(one)["c50_db"]) is not None]  # type: ignore[arg-type]
    columns = ("material", "n", "unknown", "rank correlation", "median abs. error, dB", "bias, dB", "90 % of abs., dB")
    real = [row for row in quiet if not row.room.name.startswith("made")]
    return [
        Table(
            "Estimated against true C50 (true above 25 dB counts as 25)",
            columns,
            [
                _row("all, quiet", quiet),
                _row("real rooms as they are", [row for row in real if row.room.name.endswith(", 0 dB/s faster")]),
                _row("real rooms, tails shortened", [row for row in real if ", 0 dB/s" not in row.room.name]),
                _row("made rooms", [row for row in quiet if row.room.name.startswith("made")]),
                *(_row(f"pink noise at {db:g} dB", [r for r in rows if r.snr_db == db]) for db in NOISES_DB if db),
            ],
            f"Dry as recorded: {min(dry):.1f} to {max(dry):.1f} dB, median {np.median(dry):.1f}, {len(dry)} voices.",
        ),
        Table(f"A gate at {GATE_DB:g} dB", ("true C50, dB", "n", "passes"), _gate(quiet)),
        Table("Cost", ("work", "x real time per core"), [("c50_db", f"{seconds / cost.cpu_s:,.0f}")]),
    ]
