"""`voxprep prepare` end to end: one hour of reading to a Qhaigc set, models on disk, store empty; then once more.

Time is on the wall, start of Python included. Memory is the largest process of the command.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import inputs
from benchmarks.clock import Ran, run_command
from benchmarks.report import Missing, Table, at_least, at_most
from pipelines.build import WEIGHTS
from prep.models.registry import cache_root, ensure

MINUTES = 60.0
VENDOR = "qhaigc"
SPEED_BUDGET, SPEED_AIM, PLAIN_BUDGET, PEAK_BUDGET_MB = 40.0, 100.0, 60.0, 1000.0
SECOND_SHARE, SECOND_S = 0.01, 2.0


def warm_cache(folder: Path) -> Path:
    """A cache that holds the weights and nothing else."""
    for name in WEIGHTS:
        ensure(name, cache=cache_root())
    models = cache_root() / "models"
    if models.is_dir():
        shutil.copytree(models, folder / "models", ignore=shutil.ignore_patterns("stamps", ".*"))
    for name in WEIGHTS:
        ensure(name, cache=folder)
    return folder


def prepare(path: Path, cache: Path, out: Path, *settings: str) -> Ran:
    """Run the command. Raises RuntimeError where it neither succeeded nor merely missed a set."""
    voxprep = Path(sys.executable).parent / "voxprep"
    command = [str(voxprep), "prepare", str(path), "--for", VENDOR, "--out", str(out), "--json", *settings]
    ran = run_command(["env", f"VOXPREP_CACHE={cache}", *command])
    if ran.code not in (0, 1):
        raise RuntimeError(f"voxprep prepare ended with {ran.code}: {ran.stderr[-2000:]}")
    return ran


def _set_state(out: Path) -> str:
    found = json.loads((out / "vendors" / VENDOR / "set.json").read_text(encoding="utf-8"))
    return f"{len(found['clips'])} clips, {'satisfied' if found['satisfied'] else 'NOT satisfied'}"


def run() -> list[Table]:
    """All tables."""
    if not (Path(sys.executable).parent / "voxprep").exists():
        raise Missing("the voxprep command is not installed in this environment")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = inputs.long_reading(folder, MINUTES)
        cache, out = warm_cache(folder / "cache"), folder / "out"
        first, second = prepare(path, cache, out), prepare(path, cache, out)
        state = _set_state(out)
        shutil.rmtree(cache / "store")
        plain = prepare(path, cache, folder / "plain", "--set", "speakers.turns=false")
    speed = 60 * MINUTES / first.wall_s
    limit_s = max(SECOND_SHARE * first.wall_s, SECOND_S)
    rows = [
        ("first run, with speaker checks", *at_least(speed, SPEED_BUDGET)),
        ("the same, wall", f"{first.wall_s:.1f} s", "-", "-"),
        ("the same, aim", *at_least(speed, SPEED_AIM)),
        ("without speaker checks", *at_least(60 * MINUTES / plain.wall_s, PLAIN_BUDGET)),
        ("peak memory", *at_most(first.peak_mb, PEAK_BUDGET_MB, " MB", 0)),
        ("second run, nothing changed", *at_most(second.wall_s, round(limit_s, 1), " s")),
        ("second run, peak memory", *at_most(second.peak_mb, PEAK_BUDGET_MB, " MB", 0)),
        ("the set", state, "-", "-"),
    ]
    return [
        Table(
            f"`prepare --for {VENDOR}` of {MINUTES:.0f} min (AAC, 24 kHz mono)", ("what", "value", "budget", ""), rows
        )
    ]
