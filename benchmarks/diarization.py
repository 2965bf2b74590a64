"""Diarization error on the labelled files of `data/speakers/diarization`, beside senko.

Error = (missed + false alarm + confused) / reference speech, pooled over files by time, scored on 10 ms frames, overlap
included, speakers mapped one to one per file so that most time agrees. With collar 0.25 the quarter second on both
sides of every reference edge is not scored. Ours is one thread; senko (its own defaults for a CPU) may take all cores.
Name the Python of an environment that has senko in VOXPREP_SENKO_PYTHON to have it measured in the same run.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import inputs
from benchmarks.report import Missing, Table
from prep.audio import read_mono, write_wav16
from prep.models.campplus import CamPlusPlus, open_campplus
from prep.models.pyannote_segmentation import PyannoteSegmentation, open_segmentation
from prep.models.registry import cache_root
from prep.stages.diarize import Turning, turns_of

STEP_S = 0.01
COLLARS_S = (0.25, 0.0)
SAME_VOICE = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
Turn = tuple[float, float, str]
SENKO = """
import json, sys, time
t = time.perf_counter()
import soundfile, senko
diarizer = senko.Diarizer(device="cpu", quiet=True)
loaded, out = time.perf_counter() - t, {}
for file in sys.argv[2:]:
    samples, rate_hz = soundfile.read(file, dtype="float32")
    t, cpu = time.perf_counter(), time.process_time()
    result = diarizer.diarize_samples(samples, rate_hz)
    turns = [(float(s["start"]), float(s["end"]), s["speaker"]) for s in (result or {}).get("merged_segments", [])]
    out[file] = {"turns": turns, "wall_s": time.perf_counter() - t, "cpu_s": time.process_time() - cpu}
json.dump({"load_s": loaded, "files": out}, open(sys.argv[1], "w"))
"""


class Networks:
    """Both networks, opened once."""

    @cached_property
    def segmenter(self) -> PyannoteSegmentation:
        """Who speaks when."""
        return open_segmentation(cache_root())

    @cached_property
    def embedder(self) -> CamPlusPlus:
        """Whose voice it is."""
        return open_campplus(cache_root())


@dataclass(frozen=True)
class Heard:
    """What a system said of each file, and what it took."""

    turns: dict[str, list[Turn]]
    load_s: float
    wall_s: float
    cpu_s: float


def labelled() -> list[tuple[Path, list[Turn]]]:
    """Recordings with an RTTM, and its turns."""
    root = inputs.data_root() / "speakers"
    found = []
    for rttm in sorted((root / "labels").glob("*.rttm")):
        fields = [line.split() for line in rttm.read_text("utf-8").splitlines() if line.startswith("SPEAKER")]
        (file,) = (root / "diarization").glob(f"{rttm.stem}.*")
        found.append((file, [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields]))
    return found


def errors(
    reference: Sequence[Turn], found: Sequence[Turn], duration_s: float, collar_s: float
) -> npt.NDArray[np.float64]:
    """Seconds missed, false, confused, and in the reference, `(4,)`."""
    from scipy.optimize import linear_sum_assignment

    n = round(duration_s / STEP_S)
    scored = np.ones(n, bool)
    for edge in [edge for start, stop, _ in reference for edge in (start, stop)] if collar_s else []:
        scored[max(0, round((edge - collar_s) / STEP_S)) : round((edge + collar_s) / STEP_S)] = False
    said, heard = _grid(reference, n)[scored], _grid(found, n)[scored]
    both = said.T.astype(int) @ heard.astype(int)
    right = both[linear_sum_assignment(-both)].sum()
    n_said, n_heard = said.sum(1), heard.sum(1)
    parts = np.maximum(n_said - n_heard, 0).sum(), np.maximum(n_heard - n_said, 0).sum()
    return np.array([*parts, np.minimum(n_said, n_heard).sum() - right, n_said.sum()]) * STEP_S


def _grid(turns: Sequence[Turn], n: int) -> npt.NDArray[np.bool_]:
    names = sorted({name for *_, name in turns})
    grid = np.zeros((n, len(names)), bool)
    for start, stop, name in turns:
        grid[round(start / STEP_S) : round(stop / STEP_S), names.index(name)] = True
    return grid


def settings(networks: Networks) -> Turning:
    """The defaults."""
    return Turning(networks, networks.segmenter.digest, networks.embedder.digest)


def ours(files: Sequence[Path], turning: Turning | None = None) -> Heard:
    """The turns voxprep finds, at the defaults unless told otherwise."""
    began = time.perf_counter()
    turning = turning or settings(Networks())
    load_s, turns = time.perf_counter() - began, {}
    audio = [read_mono(file) for file in files]
    began, cpu = time.perf_counter(), time.process_time()
    for file, (samples, rate_hz) in zip(files, audio, strict=True):
        found = turns_of([samples], rate_hz, turning)
        rows = zip(found.starts / rate_hz, found.stops / rate_hz, found.speakers, strict=True)
        turns[file.stem] = [(float(start), float(stop), str(speaker)) for start, stop, speaker in rows]
    return Heard(turns, load_s, time.perf_counter() - began, time.process_time() - cpu)


def senkos(files: Sequence[Path]) -> Heard:
    """Senko's turns, from its own environment.

    Raises:
        Missing: no such environment is named.
    """
    if not (python := os.environ.get("VOXPREP_SENKO_PYTHON")):
        raise Missing("not measured: VOXPREP_SENKO_PYTHON names no environment with senko")
    with tempfile.TemporaryDirectory() as name:
        waves = [Path(name) / f"{file.stem}.wav" for file in files]
        for file, wave in zip(files, waves, strict=True):
            write_wav16(wave, *read_mono(file))
        answer = Path(name) / "answer.json"
        subprocess.run([python, "-c", SENKO, str(answer), *map(str, waves)], check=True, capture_output=True)
        got = json.loads(answer.read_text("utf-8"))
    rows = got["files"].values()
    turns = {Path(file).stem: [tuple(turn) for turn in row["turns"]] for file, row in got["files"].items()}
    return Heard(turns, got["load_s"], sum(r["wall_s"] for r in rows), sum(r["cpu_s"] for r in rows))


def _rates(
    heard: Heard, known: Sequence[tuple[Path, list[Turn]]], collar_s: float
) -> dict[str, npt.NDArray[np.float64]]:
    seconds = {file.stem: len(samples) / rate_hz for file, _ in known for samples, rate_hz in [read_mono(file)]}
    return {file.stem: errors(turns, heard.turns[file.stem], seconds[file.stem], collar_s) for file, turns in known}


def _percent(parts: npt.NDArray[np.float64]) -> tuple[str, ...]:
    return tuple(f"{100 * value / parts[3]:.1f}" for value in (parts[:3].sum(), *parts[:3]))


def _thresholds(known: Sequence[tuple[Path, list[Turn]]]) -> Table:
    """What `same_voice` does to the error."""
    rows, networks = [], Networks()
    for same_voice in SAME_VOICE:
        heard = ours([file for file, _ in known], replace(settings(networks), same_voice=same_voice))
        sums = [np.sum(list(_rates(heard, known, collar_s).values()), axis=0) for collar_s in COLLARS_S]
        voices = sum(len({name for *_, name in turns}) for turns in heard.turns.values())
        rows.append((f"{same_voice:g}", *(_percent(parts)[0] for parts in sums), str(voices)))
    n_voices = sum(len({name for *_, name in turns}) for _, turns in known)
    default = Turning.__dataclass_fields__["same_voice"].default
    columns = ("same_voice", *(f"error, %, collar {collar_s:g}" for collar_s in COLLARS_S), "speakers found")
    return Table(
        "Curve of the clustering threshold", columns, rows, f"Default {default}; {n_voices} speakers in the labels."
    )


def run() -> list[Table]:
    """All tables."""
    known = labelled()
    files = [file for file, _ in known]
    total_s = sum(len(samples) / rate_hz for samples, rate_hz in map(read_mono, files))
    systems, note = {"voxprep": ours(files)}, ""
    try:
        systems["senko"] = senkos(files)
    except Missing as missing:
        note = f"senko: {missing}."
    rows, speed, each = [], [], []
    for name, heard in systems.items():
        for collar_s in COLLARS_S:
            per_file = _rates(heard, known, collar_s)
            rows.append((name, f"{collar_s:g}", *_percent(np.sum(list(per_file.values()), axis=0))))
        cost = f"{heard.load_s:.1f}", f"{heard.wall_s:.1f}", f"{heard.cpu_s:.1f}", f"{total_s / heard.cpu_s:.0f}"
        speed.append((name, *cost))
        for file, turns in known:
            counts = (len({name for *_, name in said}) for said in (turns, heard.turns[file.stem]))
            each.append((file.name, name, *map(str, counts), *_percent(per_file[file.stem])))
    columns = ("error, %", "missed", "false", "confused")
    return [
        Table(f"Error over {len(files)} files, {total_s:.0f} s", ("system", "collar, s", *columns), rows, note),
        Table("Time", ("system", "load, s", "wall, s", "processor, s", "x real time per core"), speed),
        _thresholds(known),
        Table("Each file, collar 0", ("file", "system", "speakers", "found", *columns), sorted(each)),
    ]
