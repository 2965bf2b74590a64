"""Listening: speech, singing, music and levels over a working copy (`listen`), then pauses and cuts (`tile`).

Speed is per core: seconds of audio per second of processor time, reading the FLAC included. Memory is what a fresh
process with the model loaded gains over one that has only imported the code.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import inputs
from benchmarks.clock import peak_mb, run_python, time_once, time_runs
from benchmarks.report import Table, at_least, median_of
from prep.audio import CopyReader
from prep.clip import Source, WorkingCopy
from prep.models.ear import open_ear
from prep.models.registry import cache_root
from prep.stages.ingest import Ingest, ingest
from prep.stages.listen import Track, track_of
from prep.stages.segment import Segmenting, tile
from prep.store import Store

MINUTES = 20.0
BLOCKS_S = (5.0, 10.0, 30.0)
IN_USE_S = 10.0
SPEED_BUDGET = 300.0


def working_copy(folder: Path, minutes: float) -> WorkingCopy:
    """A working copy of `minutes` of one voice."""
    path = inputs.long_talk(folder, minutes, "aac", 2)
    (copy,) = ingest(Source("talk", path, "0"), Ingest(channels="mix"), Store(folder / "store"))
    return copy


def listen_once(path: Path, block_s: float) -> Track:
    """The track of a working copy, in blocks of `block_s`, with a newly opened network."""
    with CopyReader(path) as reader:
        return track_of(reader.blocks(block_s), reader.rate_hz, open_ear(cache_root()))


def print_memory(path: str, block_s: str) -> None:
    """For a process of its own: MB gained by listening to a file."""
    before = peak_mb()
    listen_once(Path(path), float(block_s))
    print(peak_mb() - before)


def _memory_mb(path: Path, block_s: float) -> float:
    code = "import sys; from benchmarks.listen import print_memory; print_memory(*sys.argv[1:])"
    return float(run_python(code, str(path), str(block_s)))


def _row(name: str, copy: WorkingCopy, short: WorkingCopy, block_s: float) -> tuple[str, ...]:
    speeds = [copy.span.duration_s / took.cpu_s for took in time_runs(partial(listen_once, copy.path, block_s), 3)]
    verdict = at_least(statistics.median(speeds), SPEED_BUDGET)[1:] if block_s == IN_USE_S else ("-", "-")
    memory = [f"{_memory_mb(path, block_s):.0f}" for path in (short.path, copy.path)]
    return (name, median_of(speeds), *verdict, *memory)


def run() -> list[Table]:
    """All tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("long", "short"):
            (folder / part).mkdir()
        copy, short = working_copy(folder / "long", MINUTES), working_copy(folder / "short", MINUTES / 5)
        rows = [_row(f"listen, {block:g} s blocks", copy, short, block) for block in BLOCKS_S]
        track = listen_once(copy.path, IN_USE_S)
    cuts = time_once(partial(tile, track, Segmenting()))
    rows.append(("tile", f"{copy.span.duration_s / cuts.cpu_s:,.0f}", "-", "-", "-", "-"))
    return [
        Table(
            f"Segmentation of {MINUTES:.0f} min at 24 kHz",
            (
                "work",
                "x real time per core: median (range)",
                "budget",
                "",
                f"memory, {MINUTES / 5:.0f} min file, MB",
                f"memory, {MINUTES:.0f} min file, MB",
            ),
            rows,
            f"voxprep listens in {IN_USE_S:g} s blocks; memory must be flat: the same for both lengths.",
        )
    ]
