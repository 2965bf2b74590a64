"""What a benchmark hands back, and how it looks: Markdown tables with the machine they were measured on."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("av", "soxr", "numpy", "scipy", "librosa", "onnxruntime", "ctranslate2", "faster-whisper")


class Missing(Exception):
    """Something the benchmark needs is not on this machine; says what, and how to get it."""


@dataclass(frozen=True)
class Table:
    """One table; cells are text already."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def markdown(self) -> str:
        """The table as GitHub Markdown, columns padded so that it reads well in a terminal too."""
        widths = [max(len(row[i]) for row in (self.columns, *self.rows)) for i in range(len(self.columns))]
        lines = [
            _line(self.columns, widths),
            _line(["-" * width for width in widths], widths),
            *(_line(row, widths) for row in self.rows),
        ]
        return "\n".join([f"## {self.title}", "", *lines, *(["", self.note] if self.note else [])])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


def at_least(value: float, budget: float, unit: str = "x", digits: int = 0) -> tuple[str, str, str]:
    """Value, budget and verdict, where more is better."""
    return f"{value:,.{digits}f}{unit}", f">= {budget:,g}{unit}", "met" if value >= budget else "MISSED"


def at_most(value: float, budget: float, unit: str, digits: int = 1) -> tuple[str, str, str]:
    """Value, budget and verdict, where less is better."""
    return f"{value:,.{digits}f}{unit}", f"<= {budget:,g}{unit}", "met" if value <= budget else "MISSED"


def median_of(values: Sequence[float]) -> str:
    """How a median is quoted: `1,234 (1,100-1,300, n=5)`."""
    middle = statistics.median(values)
    return f"{middle:,.0f} ({min(values):,.0f}-{max(values):,.0f}, n={len(values)})"


def machine() -> str:
    """One line: cores, processor, system, Python, library versions, date."""
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in LIBRARIES)
    return (
        f"{_cores()} cores, {_processor()}, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {libraries}; {datetime.date.today().isoformat()}; load {load()}"
    )


def load() -> str:
    """Processes that wanted a core, over the last 5 minutes: more than there are cores, and times are too long."""
    return f"{os.getloadavg()[1]:.1f}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def write(name: str, about: str, tables: Sequence[Table]) -> Path:
    """Write `results/NAME.md`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    parts = [f"# {name}", about.strip(), f"Measured on: {machine()}", *(table.markdown() for table in tables)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path
