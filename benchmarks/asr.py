"""Speech recognition: speed and word error rate of faster-whisper base, by number format, threads and beam.

Each clip is decoded by itself at temperature 0 in its known language. WER pools the edits of all clips, both texts in
`prep.text`'s normal form. Speed on the wall depends on what else the machine does; per core is by processor time,
in which threads that wait for each other count too.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from benchmarks import inputs
from benchmarks.clock import Took, time_once
from benchmarks.report import Table
from prep.audio import Samples
from prep.models.registry import cache_root, ensure
from prep.models.whisper import RATE_HZ, Whisper
from prep.text import units

MODEL = "faster-whisper-base"
FOLDERS = ("librispeech", "ljspeech")
EVERY = 7
COMPUTE_TYPES, THREADS, BEAMS = ("int8", "float32"), (1, 2), (1, 5)


def transcribe(model: Whisper, clips: list[tuple[Samples, str]]) -> tuple[Took, float]:
    """Time to hear all clips, and their pooled WER."""
    heard: list[str] = []
    took = time_once(lambda: heard.extend(model.hear(samples, "en").text for samples, _ in clips))
    pairs = [(units(truth, "en"), units(text, "en")) for (_, truth), text in zip(clips, heard, strict=True)]
    edits = sum(Levenshtein.distance(truth, text) for truth, text in pairs)
    return took, edits / sum(len(truth) for truth, _ in pairs)


def _load(path: Path) -> Samples:
    return inputs.read_all(path, RATE_HZ)[:, 0]


def run() -> list[Table]:
    """All tables."""
    clips = [(_load(path), truth) for path, truth in inputs.transcribed(FOLDERS, EVERY)]
    folder = ensure(MODEL, cache=cache_root())
    seconds = sum(len(samples) for samples, _ in clips) / RATE_HZ
    rows = []
    for kind, threads, beam in itertools.product(COMPUTE_TYPES, THREADS, BEAMS):
        model = Whisper(folder, "cpu", kind, threads, beam)
        model.hear(clips[0][0], "en")  # warm
        took, rate = transcribe(model, clips)
        print(f"  {kind}, {threads} threads, beam {beam}: {took.wall_s:.0f} s", file=sys.stderr, flush=True)
        speeds = (f"{seconds / took.wall_s:.1f}x", f"{seconds / took.cpu_s:.1f}x")
        rows.append((kind, str(threads), str(beam), *speeds, f"{100 * rate:.2f} %"))
    n_words = sum(len(units(truth, "en")) for _, truth in clips)
    return [
        Table(
            f"{MODEL}, {len(clips)} clips of {' and '.join(FOLDERS)}, {seconds:.0f} s, {n_words} words",
            ("numbers", "threads", "beam", "x real time, wall", "per core", "WER"),
            rows,
            "voxprep's default: int8, beam 5. No budget of its own: `prepare` and `batch` have them.",
        )
    ]
