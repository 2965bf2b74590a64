"""Signal checks: every measure in `prep/measures` over the clips of one recording.

Speed is per core: seconds of clips per second of processor time. The first table runs them as the pipeline does, each
clip through all of them, with an empty store; the second shows where the time goes. The recording's track is there
already: listening is measured by itself (listen.md).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from threadpoolctl import threadpool_limits

import prep.measures
from benchmarks.clock import time_runs
from benchmarks.listen import working_copy
from benchmarks.report import Table, at_least, median_of
from prep.clip import Clip, WorkingCopy
from prep.measures.base import Check, Measure
from prep.models.ear import ear_digest, open_ear
from prep.models.registry import cache_root
from prep.recordings import Recordings, View
from prep.span import Span
from prep.stage import apply_all
from prep.stages.listen import Listen
from prep.stages.segment import Segmenting, tile
from prep.store import Store

MINUTES = 20.0
SPEED_BUDGET = 200.0
N_RUNS = 3


def measures() -> dict[str, Measure]:
    """Every module in `prep.measures` whose `measure` needs no more than a view: no network."""
    names = [found.name for found in pkgutil.iter_modules(prep.measures.__path__)]
    modules = {name: importlib.import_module(f"prep.measures.{name}") for name in names}
    found = {name: module.measure for name, module in modules.items() if hasattr(module, "measure")}
    return {name: measure for name, measure in found.items() if len(inspect.signature(measure).parameters) == 1}


@dataclass(frozen=True)
class Bench:
    """Clips of one recording, and how to read them."""

    copy: WorkingCopy
    clips: Sequence[Clip]
    recordings: Recordings

    @property
    def seconds(self) -> float:
        """Of audio in all clips."""
        return self.copy.span.duration_s

    def all_stages(self) -> None:
        """All measures as stages, clip by clip, with an empty store."""
        checks = [Check(name, "1", measure, self.recordings) for name, measure in measures().items()]
        with tempfile.TemporaryDirectory() as folder, threadpool_limits(1, "blas"):
            apply_all(checks, self.clips, Store(Path(folder)))

    def one(self, measure: Measure) -> None:
        """One measure on every clip, reading included where it reads."""
        for clip in self.clips:
            measure(View(clip, self.recordings))

    def read(self) -> None:
        """Only read the samples of every clip."""
        for clip in self.clips:
            self.recordings.read(clip.copy, clip.span.start, clip.span.stop)


def _bench(folder: Path, recordings: Recordings, copy: WorkingCopy) -> Bench:
    pieces = tile(recordings.track(copy), Segmenting())
    spans = [Span(piece.start, piece.stop, copy.span.rate_hz) for piece in pieces]
    return Bench(copy, [Clip(copy, span, f"{copy.key}-{span.start}") for span in spans], recordings)


def _speeds(bench: Bench, work: object) -> list[float]:
    return [bench.seconds / took.cpu_s for took in time_runs(work, N_RUNS)]  # type: ignore[arg-type]


def run() -> list[Table]:
    """All tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = working_copy(folder, MINUTES)
        ear = open_ear(cache_root())
        settings = Listen(lambda: ear, ear_digest())
        with Recordings(settings, Store(folder / "tracks")) as recordings:
            bench = _bench(folder, recordings, copy)
            bench.all_stages()  # warm: imports, the track
            whole = _speeds(bench, bench.all_stages)
            parts = {"(reading the clips)": _speeds(bench, bench.read)} | {
                name: _speeds(bench, partial(bench.one, measure)) for name, measure in measures().items()
            }
    verdict = at_least(statistics.median(whole), SPEED_BUDGET)[1:]
    columns = ("work", "x real time per core: median (range)")
    return [
        Table(
            f"All signal checks over {MINUTES:.0f} min in {len(bench.clips)} clips",
            (*columns, "budget", ""),
            [(f"{len(parts) - 1} measures as stages", median_of(whole), *verdict)],
        ),
        Table(
            "One by one",
            (*columns, "ms per minute of audio"),
            [(name, median_of(speeds), f"{60_000 / statistics.median(speeds):.1f}") for name, speeds in parts.items()],
            "A measure that looks at samples has reading them in its time.",
        ),
    ]
