"""A measure is one function in one file; `Check` makes a cached stage of it. Measures know no thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from prep.clip import Clip, Measures
from prep.recordings import Recordings, View
from prep.stage import Work

Measure = Callable[[View], Measures]


@dataclass(frozen=True)
class Check:
    """A measure as a stage; `version` changes whenever `measure` would give another value."""

    name: str
    version: str
    measure: Measure = field(metadata={"key": False})
    recordings: Recordings = field(metadata={"key": False})
    weights: str = ""

    @contextmanager
    def open(self) -> Iterator[Work]:
        """No model to load."""

        def work(clips: Sequence[Clip]) -> list[dict[str, Any]]:
            return [dict(self.measure(View(clip, self.recordings))) for clip in clips]

        yield work

    def merge(self, clip: Clip, result: dict[str, Any]) -> Clip:
        """The clip with the measured values."""
        return clip.with_measures(result)
