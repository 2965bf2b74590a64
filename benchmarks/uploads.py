"""Uploads under faults and kills: a thousand enrolments, each from first try to its end.

Each enrolment runs one to four times with up to three planned faults (429, 5xx, garbage, cut, slow, answers that
never come, before and after the commit) and kills (`os._exit` at any point an upload passes), then until it ends. Wrong
would be: two voices (302.AI: two tasks), an end other than ready or unknown, unknown where the vendor has a look-up,
a leaked slot, a hosted file left, somebody else's voice or slot touched, a key in a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.report import Table

N = 1000
AT_ONCE = 4
TESTS = Path(__file__).parents[1] / "tests"


def run() -> list[Table]:
    """Run them all, a quarter in each of four processes with a sandbox of its own."""
    sys.path[:0] = [str(TESTS / "pipelines"), str(TESTS)]
    from storm import COLUMNS, Storm, rows

    began, each = time.perf_counter(), N // AT_ONCE
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    quarters = [
        subprocess.Popen(
            [sys.executable, str(TESTS / "pipelines" / "storm.py"), str(each), str(quarter * each)],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        for quarter in range(AT_ONCE)
    ]
    storms = [Storm(**row) for quarter in quarters for row in json.loads(quarter.communicate()[0])]
    note = (
        f"{time.perf_counter() - began:.0f} s, {AT_ONCE} at a time. 302.AI has no look-up: a lost task stays"
        " `unknown` and is never sent again, as promised."
    )
    return [Table(f"{len(storms)} enrolments, seeds 0 to {N - 1}", COLUMNS, rows(storms), note)]
