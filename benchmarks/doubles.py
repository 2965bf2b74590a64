"""The same take twice: clips of the shared set beside copies that were shifted, turned down, encoded or made noisy.

Every clip is compared with every other clip and with every copy. A hit is a copy found for its own clip; a false alarm
is any other pair. Among the clips are many of one voice; texts read twice by one voice are counted apart.
"""

from __future__ import annotations

import base64
import csv
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.clock import time_once
from benchmarks.inputs import data_root, encode, read_all
from benchmarks.report import Table
from benchmarks.snr import RATE_HZ, view
from prep.audio import Samples, resample
from prep.measures.doubles import MAX_BIT_ERROR, candidates, compare, find_doubles, fingerprint, read_codes

SHIFT_S = 0.3137
LIMITS = (0.2, 0.25, 0.28, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4)
MANY = 5_000
EVERY = 2


def clips() -> dict[str, Samples]:
    """Clips of 2 to 15 s, mono 24 kHz, from `asr` and from single speakers."""
    root = data_root()
    found = {}
    for folder in ("asr", "speakers"):
        with open(root / folder / "manifest.csv", encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if not row["file"].startswith(("diarization", "../"))]
        for row in rows:
            samples = read_all(root / folder / row["file"], RATE_HZ)[:, 0]
            if len(samples) >= 2 * RATE_HZ:
                found[f"{folder}/{row['file']}"] = np.ascontiguousarray(samples[: 15 * RATE_HZ])
    return dict(list(found.items())[::EVERY])


def _coded(samples: Samples, folder: Path, codec: str, suffix: str, bit_rate: int, rate_hz: int) -> Samples:
    path = encode(folder / f"x{suffix}", [resample(samples, RATE_HZ, rate_hz)[:, None]], rate_hz, codec, bit_rate)
    return np.ascontiguousarray(read_all(path, RATE_HZ)[:, 0])


def _noisy(samples: Samples, snr_db: float) -> Samples:
    rms = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) * 10 ** (-snr_db / 20)
    return np.asarray(samples + rms * np.random.default_rng(6).standard_normal(len(samples)), np.float32)


def _later(samples: Samples) -> Samples:
    return samples[round(SHIFT_S * RATE_HZ) :]


def makers(folder: Path) -> Mapping[str, Callable[[Samples], Samples]]:
    """Ways in which a take comes back."""
    return {
        "turned down 12 dB": lambda samples: samples * np.float32(0.25),
        f"cut {SHIFT_S} s later": _later,
        "MP3 64 kbit/s, cut later": lambda samples: _coded(
            _later(samples), folder, "libmp3lame", ".mp3", 64_000, 24_000
        ),
        "AAC 32 kbit/s, cut later": lambda samples: _coded(_later(samples), folder, "aac", ".m4a", 32_000, 24_000),
        "8 kHz, cut later": lambda samples: resample(resample(_later(samples), RATE_HZ, 8_000), 8_000, RATE_HZ),
        "noise 20 dB under, cut later": lambda samples: _noisy(_later(samples), 20.0),
        "noise 10 dB under, cut later": lambda samples: _noisy(_later(samples), 10.0),
    }


def _print(samples: Samples) -> str:
    return fingerprint(view(samples))  # type: ignore[arg-type]


def _same_text() -> set[frozenset[str]]:
    """Pairs of clips in which the same words are read."""
    with open(data_root() / "asr" / "manifest.csv", encoding="utf-8", newline="") as file:
        rows = [("asr/" + row["file"], row["transcript"].lower().strip(" .")) for row in csv.DictReader(file)]
    return {frozenset((a, b)) for a, said in rows for b, again in rows if a < b and said == again}


def _lowest_other(prints: Mapping[str, str]) -> tuple[float, int]:
    """Smallest bit error among all pairs of different clips that have a vote, and how many pairs were compared."""
    codes = [read_codes(text) for text in prints.values()]
    errors = [found[0] for a, b, shift in candidates(codes) if (found := compare(codes[a], codes[b], shift))]
    return min(errors, default=0.5), len(errors)


def run() -> list[Table]:
    """All tables."""
    found = clips()
    prints = {name: _print(samples) for name, samples in found.items()}
    views = [view(samples) for samples in found.values()]
    cost = time_once(lambda: [fingerprint(one) for one in views])  # type: ignore[arg-type]
    seconds = sum(map(len, found.values())) / RATE_HZ
    among = find_doubles(prints, 0.5)
    alarms = {limit: sum(one.bit_error <= limit for one in among) for limit in LIMITS}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for label, make in makers(Path(name)).items():
            copies = {f"copy of {clip}": _print(make(samples)) for clip, samples in found.items()}
            doubles = find_doubles(prints | copies, 0.5)
            true = {one.first: one for one in doubles if one.second == f"copy of {one.first}"}
            others = sum(one.bit_error <= MAX_BIT_ERROR and one.second != f"copy of {one.first}" for one in doubles)
            errors = [one.bit_error for one in true.values()] or [0.5]
            caught = [f"{sum(e <= limit for e in errors)}" for limit in LIMITS]
            rows.append(
                (label, str(len(found)), *caught, f"{np.median(errors):.2f}", f"{max(errors):.2f}", str(others))
            )
    rows.append(("no copies: pairs of different clips", str(len(found)), *map(str, alarms.values()), "-", "-", "-"))
    lowest, compared = _lowest_other(prints)
    texts = _same_text()
    hits = [one for one in among if frozenset((one.first, one.second)) in texts and one.bit_error <= MAX_BIT_ERROR]
    many = {f"{i}-{name}": _scrambled(text, i) for i in range(MANY // len(prints) + 1) for name, text in prints.items()}
    took = time_once(lambda: find_doubles(many))
    return [
        Table(
            "Found, by the largest bit error that counts as a double",
            ("copies", "clips", *(f"<= {limit:g}" for limit in LIMITS), "median", "largest", "wrong pairs"),
            rows,
            f"In use: {MAX_BIT_ERROR:g}. Among different clips {compared} pairs and shifts had a vote; the lowest bit "
            f"error is {lowest:.3f}. Pairs with the same words read again: {len(texts)}, taken for doubles: "
            f"{len(hits)}.",
        ),
        Table(
            "Cost",
            ("work", "measured"),
            [
                ("fingerprint, x real time per core", f"{seconds / cost.cpu_s:,.0f}"),
                (f"comparing {len(many):,} clips, s", f"{took.cpu_s:.1f}"),
            ],
            "The many are the clips with their bits turned over by one random pattern per round.",
        ),
    ]


def _scrambled(text: str, seed: int) -> str:
    codes = read_codes(text)
    mask = np.random.default_rng(seed).integers(1, 2**32, dtype=np.uint32)
    return base64.b64encode(np.where(codes != 0, codes ^ mask, 0).astype("<u4").tobytes()).decode()
