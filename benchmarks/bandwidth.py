"""Effective bandwidth: speech that was recorded in less than it claims, with and without hiss, beside true full band.

Full band is speech recorded at 22 kHz or more, in stretches of 2, 4 and 8 s. The same stretches taken down to 8 or
16 kHz and up again are the fakes. Hiss is white, added after. Found = at most 4.25 or 8.25 kHz; a false alarm = full
band measured under the gate.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from benchmarks.clock import time_once
from benchmarks.inputs import data_root, read_all
from benchmarks.report import Table, at_least, at_most
from benchmarks.snr import RATE_HZ, Made, track, view
from prep.audio import Samples
from prep.measures.bandwidth import measure
from prep.stages.listen import Track

LENGTHS_S = (2.0, 4.0, 8.0)
EVERY_S = 10.0
GATE_HZ = 8500.0
SLACK_HZ = 250.0
PEER_DB = 50.0
FULL_BAND = ("asr/ljspeech", "asr/long_read", "long/columbia_2003.wma")
HISS_DBFS = (None, -70.0, -60.0, -50.0)
RESAMPLERS = ("HQ", "LQ", "QQ")


@dataclass(frozen=True)
class Stretch:
    """A stretch of full-band speech."""

    name: str
    samples: Samples
    heard: Track


def stretches() -> list[Stretch]:
    """Stretches of each length, one after another, from each full-band recording (its first 40 s)."""
    root = data_root()
    files = [
        file
        for name in FULL_BAND
        for file in ([root / name] if (root / name).is_file() else sorted((root / name).iterdir()))
    ]
    found = []
    for file in files:
        samples = np.ascontiguousarray(read_all(file, RATE_HZ)[: 40 * RATE_HZ, 0])
        for length_s in LENGTHS_S:
            n, step = int(length_s * RATE_HZ), int(EVERY_S * RATE_HZ)
            for at in range(0, len(samples) - n + 1, step):
                found.append(Stretch(file.name, samples[at : at + n], track(samples[at : at + n])))
    return found


def through(samples: Samples, rate_hz: int, quality: str = "HQ") -> Samples:
    """Down to a lower rate and up again; up by the resampler of that quality."""
    low = soxr.resample(samples, RATE_HZ, rate_hz, quality="HQ")
    return np.asarray(soxr.resample(low, rate_hz, RATE_HZ, quality=quality), np.float32)


def with_hiss(samples: Samples, dbfs: float | None, seed: int = 3) -> Samples:
    """White noise of that RMS added; None adds none."""
    if dbfs is None:
        return samples
    hiss = np.random.default_rng(seed).standard_normal(len(samples)) * 10 ** (dbfs / 20)
    return np.asarray(samples + hiss, np.float32)


def peer_hz(samples: Samples) -> float:
    """The usual estimate (NeMo Curator, SDP): highest bin within 50 dB of the loudest, mean spectrum, 512 points."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 512)[::256]
    power = np.mean(np.abs(np.fft.rfft(frames * np.hanning(512))) ** 2, axis=0)
    level = 10 * np.log10(power + 1e-15)
    return float(np.flatnonzero(level > level.max() - PEER_DB)[-1] * RATE_HZ / 512)


Signal = tuple[Samples, Track | None]
"""Samples, and where they are speech: as heard before they were spoilt, which is not what is measured here."""


def _ours(made: Signal) -> float | None:
    return measure(view(*made))["bandwidth_hz"]  # type: ignore[arg-type]


def _found(values: Sequence[float | None], limit_hz: float) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * sum(value <= limit_hz for value in known) / len(known):.1f} % of {len(known)}"


def _alarms(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(value < GATE_HZ for value in known)} of {len(known)}"


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    low, middle, high = np.percentile(known, [1, 50, 99])
    return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"


def _row(label: str, made: Sequence[Signal], judge: Callable[[Sequence[float | None]], str]) -> tuple[str, ...]:
    ours, peer = [_ours(one) for one in made], [peer_hz(samples) for samples, _ in made]
    return (label, judge(ours), _spread(ours), judge(peer), _spread(peer))


def _label(dbfs: float | None) -> str:
    return "no hiss" if dbfs is None else f"hiss {dbfs:g} dBFS"


def _fakes(found: Sequence[Stretch]) -> list[tuple[str, ...]]:
    rows = []
    for rate_hz in (8_000, 16_000):
        for dbfs in HISS_DBFS:
            made = [(with_hiss(through(one.samples, rate_hz), dbfs), one.heard) for one in found]
            label = f"{rate_hz // 1000} kHz made 24 kHz, {_label(dbfs)}"
            rows.append(_row(label, made, lambda values, top=rate_hz / 2: _found(values, top + SLACK_HZ)))  # type: ignore[misc]
    return rows


def _whole(found: Sequence[Stretch]) -> list[tuple[str, ...]]:
    return [
        _row(f"full band, {_label(dbfs)}", [(with_hiss(one.samples, dbfs), one.heard) for one in found], _alarms)
        for dbfs in HISS_DBFS
    ]


def _resamplers(found: Sequence[Stretch]) -> list[tuple[str, ...]]:
    rows = []
    for quality in RESAMPLERS:
        for rate_hz in (8_000, 16_000):
            made = [(with_hiss(through(one.samples, rate_hz, quality), -60.0), one.heard) for one in found]
            rows.append(
                _row(
                    f"{rate_hz // 1000} kHz, up by soxr {quality}",
                    made,
                    lambda values, top=rate_hz / 2: _found(values, top + SLACK_HZ),  # type: ignore[misc]
                )
            )
    return rows


def _real() -> list[tuple[str, ...]]:
    root = data_root() / "asr"
    with open(root / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["duration_s"]) >= 2]
    out = []
    for rate_hz in (8_000, 16_000):
        files = [root / row["file"] for row in rows if int(row["sample_rate"]) == rate_hz]
        made: list[Signal] = [(with_hiss(np.ascontiguousarray(read_all(f, RATE_HZ)[:, 0]), -60.0), None) for f in files]
        judge = lambda values, top=rate_hz / 2: _found(values, top + SLACK_HZ)  # type: ignore[misc] # noqa: E731
        out.append(_row(f"recorded at {rate_hz // 1000} kHz, hiss -60 dBFS", made, judge))
    return out


def _budget(found: Sequence[Stretch]) -> list[tuple[str, ...]]:
    fakes = [
        (rate, _ours((with_hiss(through(one.samples, rate), -60.0), one.heard)))
        for one in found
        for rate in (8_000, 16_000)
    ]
    caught = [value <= rate / 2 + SLACK_HZ for rate, value in fakes if value is not None]
    alarms = [value < GATE_HZ for one in found if (value := _ours((one.samples, one.heard))) is not None]
    return [
        ("fakes with hiss at -60 dBFS found", str(len(caught)), *at_least(100 * float(np.mean(caught)), 99, " %", 1)),
        ("false alarms on full band", str(len(alarms)), *at_most(float(sum(alarms)), 0, "", 0)),
    ]


def run() -> list[Table]:
    """All tables."""
    found = stretches()
    views: list[Made] = [view(one.samples, one.heard) for one in found]
    cost = time_once(lambda: [measure(one) for one in views])  # type: ignore[arg-type]
    seconds = sum(len(one.samples) for one in found) / RATE_HZ
    columns = ("material", "judged right", "Hz: median (1-99 %)", "peak - 50 dB rule", "its Hz")
    alarms = ("material", f"under {GATE_HZ:,.0f} Hz", "Hz: median (1-99 %)", "peak - 50 dB rule", "its Hz")
    names = ", ".join(sorted({one.name for one in found}))
    return [
        Table("Against the aims", ("what", "n", "measured", "aim", ""), _budget(found)),
        Table("Fakes made of full-band speech", columns, _fakes(found), f"{len(found)} stretches of: {names}."),
        Table("True full band", alarms, _whole(found), "With loud hiss the top of a dull voice is truly covered."),
        Table("Recorded at a lower rate", columns, _real()),
        Table(
            "Brought up by other resamplers, hiss -60 dBFS", columns, _resamplers(found), "QQ is cubic interpolation."
        ),
        Table("Cost", ("work", "x real time per core"), [("bandwidth_hz", f"{seconds / cost.cpu_s:,.0f}")], ""),
    ]
