"""Time and memory of a piece of work."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Took:
    """Seconds on the wall, and seconds of processor over all threads: what "per core" is measured by."""

    wall_s: float
    cpu_s: float


def time_once(work: Callable[[], object]) -> Took:
    """Run once."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def time_runs(work: Callable[[], object], n_runs: int = 5) -> list[Took]:
    """Run several times, in this process."""
    return [time_once(work) for _ in range(n_runs)]


def peak_mb() -> float:
    """Largest resident memory of this process so far, MB (10^6 bytes).

    Linux's `ru_maxrss` is inherited from the process that started this one; `VmHWM` is not.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return rss / 1e6 if sys.platform == "darwin" else rss * 1024 / 1e6


def run_python(code: str, *args: str) -> str:
    """Standard output of `code` in a fresh Python, so that its memory is its own.

    Raises:
        RuntimeError: it failed; carries the end of what it said.
    """
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


@dataclass(frozen=True)
class Ran:
    """A command that ended: its exit code, time, and the peak memory of its largest process, MB."""

    code: int
    wall_s: float
    peak_mb: float
    stdout: str
    stderr: str


_WATCH = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, text=True)
wall_s = time.perf_counter() - start
rss = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
json.dump([done.returncode, wall_s, rss / 1e6, done.stdout, done.stderr], sys.stdout)
"""


def run_command(command: Sequence[str]) -> Ran:
    """Run a command under a small process of its own, whose children's memory is then the command's alone."""
    return Ran(*json.loads(run_python(_WATCH, *command)))
