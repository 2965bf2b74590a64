"""Uploads under faults and kills: a thousand enrolments, each from first try to its end.

Each enrolment runs one to four times with up to three planned faults (429, 5xx, garbage, cut, slow, answers that
never come, before and after the commit) and kills (`os._exit` at any point an upload passes), then until it ends. Wrong
would be: two voices (302.AI: two tasks), an end other than ready or unknown, unknown where the vendor has a look-up,
a leaked slot, a hosted file left, somebody else's voice or slot touched, a key in a file.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.report import Table

N = 1000
TESTS = Path(__file__).parents[1] / "tests"


def run() -> list[Table]:
    """Run them all; takes about half an hour."""
    sys.path[:0] = [str(TESTS / "pipelines"), str(TESTS)]
    from storm import COLUMNS, many, rows

    began = time.perf_counter()
    storms = many(N)
    seconds = time.perf_counter() - began
    note = (
        f"{seconds / N:.1f} s each. 302.AI has no look-up: a task whose answer was lost stays `unknown` and is never"
        " sent again, as promised."
    )
    return [Table(f"{N} enrolments, seeds 0 to {N - 1}", COLUMNS, rows(storms), note)]
