"""Mixed-clip detection: clips of one voice, with a second of another voice put in, or talked over.

Every clip is 5-10 s cut from a recording of one person (`data/speakers/single` and `data/asr`) at 16 kHz. `inserted`:
1-4 s of another person's speech, at the level of the clip +-3 dB, replaces a stretch of it. `overlapped`: 1-4 s of
another person's speech is added at -5..10 dB (clip's speech over the added speech). All drawn from one seed; speakers
are split in two halves, told apart below. The defaults were set with the curves of both halves in sight, so neither is
unseen data.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import inputs
from benchmarks.diarization import Networks, settings
from benchmarks.report import Table
from prep.audio import Samples, read_mono, resample
from prep.measures.purity import purity
from prep.span import Span
from prep.stages.diarize import turns_of

RATE_HZ = 16_000
N_CLIPS = {"pure": 200, "inserted": 150, "overlapped": 150}
SEED = 4
FRAME = 160
LIMITS = {
    "overlap_ratio": (None, 0.05),
    "speaker_purity": (0.9, None),
    "speaker_agreement": (0.35, None),
}
"""Defaults, (lowest, highest) allowed. `n_speakers` is told and not judged: a slip of 0.2 s is no second voice."""
FALSE_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1)
AIMS = {"pure": "<= 2 %", "inserted": ">= 97 %", "overlapped": ">= 90 %"}
Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Mixed:
    """One clip, what it is, whose it is, and the other voice's stretch in seconds (0, 0 for none)."""

    kind: str
    half: int
    samples: Samples
    files: tuple[str, ...]
    other_s: tuple[float, float] = (0.0, 0.0)
    level_db: float = 0.0


def voices() -> dict[str, list[str]]:
    """Files of one voice, by speaker, relative to the data folder."""
    root, found = inputs.data_root(), defaultdict(list)
    for folder in ("speakers", "asr"):
        with open(root / folder / "manifest.csv", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                alone = folder == "asr" or row["file"].startswith("single/")
                if alone and row["speaker"] and float(row["duration_s"]) >= 5.5:
                    found[row["speaker"]].append(f"{folder}/{row['file']}")
    return {speaker: sorted(files) for speaker, files in sorted(found.items())}


def mixtures() -> list[Mixed]:
    """All clips, always the same."""
    rng, people = np.random.default_rng(SEED), voices()
    halves = [list(people)[i::2] for i in (0, 1)]
    return [
        _mixed(kind, half, halves[half], people, rng)
        for kind, n in N_CLIPS.items()
        for half in (0, 1)
        for _ in range(n // 2)
    ]


def _mixed(kind: str, half: int, names: list[str], people: dict[str, list[str]], rng: np.random.Generator) -> Mixed:
    one, two = (names[i] for i in rng.choice(len(names), 2, replace=False))
    file = people[one][rng.integers(len(people[one]))]
    whole = _read(file)
    n = int(min(rng.uniform(5, 10), len(whole) / RATE_HZ) * RATE_HZ)
    at = int(rng.integers(len(whole) - n + 1))
    clip = whole[at : at + n].copy()
    if kind == "pure":
        return Mixed(kind, half, clip, (file,))
    other_file = people[two][rng.integers(len(people[two]))]
    other = _spoken(_read(other_file), int(rng.uniform(1, 4) * RATE_HZ), rng)
    begin = int(rng.integers(len(clip) - len(other) + 1))
    level_db = rng.uniform(-3, 3) if kind == "inserted" else rng.uniform(-5, 10)
    other = other * np.float32(_speech_rms(clip) / _speech_rms(other) * 10 ** (-level_db / 20))
    fade = np.minimum(1, np.minimum(np.arange(1, len(other) + 1), np.arange(len(other), 0, -1)) / FRAME).astype(
        np.float32
    )
    under = clip[begin : begin + len(other)]
    clip[begin : begin + len(other)] = other * fade + under * (1 - fade if kind == "inserted" else 1)
    stretch = (begin / RATE_HZ, (begin + len(other)) / RATE_HZ)
    return Mixed(kind, half, clip / max(1.0, np.abs(clip).max()), (file, other_file), stretch, float(level_db))


def _read(file: str) -> Samples:
    samples, rate_hz = read_mono(inputs.data_root() / file)
    return samples if rate_hz == RATE_HZ else resample(samples, rate_hz, RATE_HZ)


def _loud(samples: Samples) -> np.ndarray:
    """Frames within 30 dB of the loudest tenth."""
    power = np.square(samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME), dtype=np.float64).mean(1)
    return power > np.quantile(power, 0.9) * 1e-3


def _speech_rms(samples: Samples) -> float:
    power = np.square(samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME), dtype=np.float64).mean(1)
    return float(np.sqrt(power[_loud(samples)].mean()))


def _spoken(samples: Samples, n: int, rng: np.random.Generator) -> Samples:
    """`n` samples, a stretch drawn from those whose speech is at least 90 % of the most there is, and 1 s at least."""
    sums = np.concatenate([[0], np.cumsum(_loud(samples))])
    width = n // FRAME
    share = sums[width:] - sums[:-width]
    starts = np.flatnonzero(share >= max(0.9 * share.max(), min(100, share.max())))
    start = int(rng.choice(starts)) * FRAME
    return samples[start : start + n]


def broken(values: Values, names: Sequence[str] = tuple(LIMITS)) -> bool:
    """Whether a clip breaks one of these limits; unknown breaks it."""
    return any(_breaks(values[name], *LIMITS[name]) for name in names)


def _breaks(value: float | None, low: float | None, high: float | None) -> bool:
    return value is None or (low is not None and value < low) or (high is not None and value > high)


def measured(clips: Sequence[Mixed]) -> list[Values]:
    """The measures of each clip, taken as a recording of its own: nothing is known of its speaker beyond it."""
    networks = Networks()
    turning = settings(networks)
    found = []
    for clip in clips:
        turns = turns_of([clip.samples], RATE_HZ, turning)
        found.append(purity(clip.samples, Span(0, len(clip.samples), RATE_HZ), turns, networks.embedder))
    return found


def _share(clips: Sequence[Mixed], hits: Sequence[bool], kind: str, halves: tuple[int, ...]) -> str:
    picked = [hit for clip, hit in zip(clips, hits, strict=True) if clip.kind == kind and clip.half in halves]
    return f"{100 * sum(picked) / len(picked):.1f}"


def _rejected(clips: Sequence[Mixed], values: Sequence[Values]) -> Table:
    rows = []
    ways = {"all limits": tuple(LIMITS), **{name: (name,) for name in LIMITS}}
    for way, names in ways.items():
        hits = [broken(value, names) for value in values]
        limit = "" if way == "all limits" else " ".join(f"{v:g}" for v in LIMITS[way] if v is not None)
        for label, halves in (("first half", (0,)), ("second half", (1,)), ("both", (0, 1))):
            if way == "all limits" or label == "both":
                rows.append((way, limit, label, *(_share(clips, hits, kind, halves) for kind in N_CLIPS)))
    n = {kind: sum(clip.kind == kind for clip in clips) for kind in N_CLIPS}
    columns = (f"{kind} (n={n[kind]}; aim {AIMS[kind]}), %" for kind in N_CLIPS)
    return Table("Rejected at the defaults", ("by", "limit", "voices", *columns), rows)


def _curve(clips: Sequence[Mixed], values: Sequence[Values]) -> Table:
    """What each measure alone catches at several shares of pure clips rejected."""
    rows = []
    for name, (low, _) in LIMITS.items():
        sign = 1 if low is None else -1
        worst = np.array([np.inf if value[name] is None else sign * float(value[name] or 0.0) for value in values])
        pure = np.array([clip.kind == "pure" for clip in clips])
        for share in FALSE_SHARES:
            limit = float(np.quantile(worst[pure], 1 - share, method="higher"))
            hits = [bool(hit) for hit in worst > limit]
            caught = (_share(clips, hits, kind, (0, 1)) for kind in N_CLIPS)
            rows.append((name, f"{sign * limit:.3f}", *caught))
    return Table("Curves, one measure at a time, both halves", ("measure", "limit", *N_CLIPS), rows)


def _lengths(clips: Sequence[Mixed], values: Sequence[Values]) -> Table:
    rows = []
    for kind in ("inserted", "overlapped"):
        for low, high in ((1, 1.5), (1.5, 2), (2, 3), (3, 4)):
            picked = [
                broken(value)
                for clip, value in zip(clips, values, strict=True)
                if clip.kind == kind and low <= clip.other_s[1] - clip.other_s[0] < high
            ]
            rows.append((kind, f"{low:g}-{high:g}", str(len(picked)), f"{100 * np.mean(picked):.1f}"))
    return Table("Caught by length of the other voice", ("kind", "s", "n", "%"), rows)


def _missed(clips: Sequence[Mixed], values: Sequence[Values]) -> Table:
    wrong = [(clip, value) for clip, value in zip(clips, values, strict=True) if broken(value) == (clip.kind == "pure")]
    rows = [
        (
            clip.kind,
            " + ".join(clip.files),
            "{:.1f}-{:.1f}".format(*clip.other_s),
            f"{len(clip.samples) / RATE_HZ:.1f}",
            f"{clip.level_db:.0f}",
            *("-" if value[name] is None else f"{value[name]:.2f}" for name in LIMITS),
        )
        for clip, value in wrong
    ]
    columns = ("kind", "files", "other voice, s", "clip, s", "level, dB", *LIMITS)
    return Table("Every clip judged wrongly", columns, rows)


def run() -> list[Table]:
    """All tables."""
    clips = mixtures()
    values = measured(clips)
    files = sorted({file for clip in clips for file in clip.files})
    known = Table("Files", ("n", "files"), [(str(len(files)), ", ".join(files))])
    return [_rejected(clips, values), _curve(clips, values), _lengths(clips, values), _missed(clips, values), known]
