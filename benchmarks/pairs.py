"""Same voice or not: CAM++ over the pairs of `data/speakers/pairs.csv`, also across channel and noise.

One embedding per file (at most its first 8 s), cosine of two. Equal error rate: where as many same pairs are under
the threshold as different pairs over it. For the harder rows the second file of each pair is changed: telephone band
(300-3400 Hz at 8 kHz), or a noise of `data/noise` added at an SNR over the whole file; the first stays as it is.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from benchmarks import inputs
from benchmarks.report import Table
from prep.audio import Samples, read_mono, resample
from prep.models.campplus import RATE_HZ, open_campplus
from prep.models.registry import cache_root

LONGEST_S = 8
NOISES_DB = (20.0, 10.0, 5.0)


def pairs() -> list[tuple[str, str, bool]]:
    """Files and whether one person speaks in both."""
    with open(inputs.data_root() / "speakers" / "pairs.csv", encoding="utf-8", newline="") as file:
        return [(row["file_a"], row["file_b"], row["same_speaker"] == "1") for row in csv.DictReader(file)]


@cache
def _read(file: str) -> Samples:
    samples, rate_hz = read_mono(inputs.data_root() / file)
    return (
        resample(samples, rate_hz, RATE_HZ)[: LONGEST_S * RATE_HZ]
        if rate_hz != RATE_HZ
        else samples[: LONGEST_S * RATE_HZ]
    )


def _telephone(samples: Samples, _: str) -> Samples:
    from scipy.signal import butter, sosfilt

    narrow = sosfilt(butter(6, (300, 3400), "band", fs=RATE_HZ, output="sos"), samples).astype(np.float32)
    return resample(resample(narrow, RATE_HZ, 8000), 8000, RATE_HZ)


def _noisy(snr_db: float) -> Callable[[Samples, str], Samples]:
    files = noises()

    def add(samples: Samples, name: str) -> Samples:
        noise = np.resize(_read(files[sum(name.encode()) % len(files)]), len(samples))
        power = [np.mean(np.square(part, dtype=np.float64)) for part in (samples, noise)]
        return samples + noise * np.float32(np.sqrt(power[0] / power[1] / 10 ** (snr_db / 10)))

    return add


def noises() -> list[str]:
    """Noise and music files without voices."""
    with open(inputs.data_root() / "noise" / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["contains_speech"] == "0" and not row["file"].startswith("rir")
        ]
    loud = [f"noise/{row['file']}" for row in rows if float(row["duration_s"]) > 2]
    return [file for file in loud if np.std(_read(file)) > 1e-3]


def equal_error(same: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Equal error rate 0..1 and its threshold."""
    at = np.unique(np.concatenate([same, other]))
    missed, false = (same[None] < at[:, None]).mean(1), (other[None] >= at[:, None]).mean(1)
    i = int(np.abs(missed - false).argmin())
    return float((missed[i] + false[i]) / 2), float(at[i])


def run() -> list[Table]:
    """All tables."""
    embedder, known = open_campplus(cache_root()), pairs()
    plain = {file: embedder.embed(_read(file)) for a, b, _ in known for file in (a, b)}
    changes: dict[str, Callable[[Samples, str], Samples] | None] = {"as they are": None, "telephone band": _telephone}
    changes |= {f"noise at {snr_db:g} dB": _noisy(snr_db) for snr_db in NOISES_DB}
    rows = []
    for name, change in changes.items():
        second = {b: embedder.embed(change(_read(b), b)) for _, b, _ in known} if change else plain
        scores = np.array([float(plain[a] @ second[b]) for a, b, _ in known])
        same = np.array([same for *_, same in known])
        rate, at = equal_error(scores[same], scores[~same])
        lows = np.quantile(scores[same], 0.05), np.quantile(scores[~same], 0.95)
        rows.append((name, f"{100 * rate:.1f}", f"{at:.2f}", *(f"{low:.2f}" for low in lows)))
    n_same = sum(same for *_, same in known)
    columns = ("second file", "equal error, %", "threshold", "5 % of same pairs under", "5 % of others over")
    files = ", ".join(sorted(plain))
    return [
        Table(
            f"{len(known)} pairs ({n_same} same, {len(known) - n_same} different) of {len(plain)} files",
            columns,
            rows,
            f"Files: {files}.\n\nNoises: {', '.join(noises())}.",
        )
    ]
