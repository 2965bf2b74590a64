"""What flows through the pipeline: `Source`, `WorkingCopy`, `Clip`, `Reason`, `Word`. Values only, no samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from prep.span import Span

Measures = Mapping[str, float | None]
"""Measure name (with its unit) -> value; None = asked for and unknown, which is a reason, never good."""


@dataclass(frozen=True)
class Reason:
    """Why a clip was rejected: which check, what was measured, and the limit it broke.

    `measured` is None where the measure came out unknown. `limit` is the bound that was broken; `unit` is empty
    for plain numbers.
    """

    check: str
    measured: float | None
    limit: float | None
    unit: str = ""


@dataclass(frozen=True)
class Word:
    """One word as heard: source time in seconds, probability 0..1; `unsure` where a second hearing differs."""

    word: str
    start_s: float
    end_s: float
    prob: float
    unsure: bool = False


@dataclass(frozen=True)
class Source:
    """A recording as the user named it; `sha256` is of its bytes, `part` the wished-for stretch (None = all)."""

    name: str
    path: Path
    sha256: str
    part: tuple[float, float] | None = None


@dataclass(frozen=True)
class WorkingCopy:
    """One mono recording on the source's timeline, made by ingest.

    `path` is a 24-bit FLAC; `span` covers all of it, from the source's zero. `channel` says what it was made from
    (`mono`, `mix`, `1`, `2`, ...). `facts` are what was measured on the decoded samples before resampling.
    """

    source: Source
    key: str
    path: Path
    channel: str
    span: Span
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Clip:
    """A stretch of one working copy and all that is known of it; frozen, holds no samples.

    `key` identifies the audio (source bytes, channel, settings so far), never a path. `reasons` empty = alive.
    `not_run` names measures that were never asked of it.
    """

    copy: WorkingCopy
    span: Span
    key: str
    measures: Measures = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    language: str = ""
    text: str | None = None
    words: tuple[Word, ...] = ()
    speaker: str = ""
    stages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "measures", MappingProxyType(dict(self.measures)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Clips travel to worker processes; a read-only mapping does not pickle."""
        values = (getattr(self, f.name) for f in fields(self))
        return Clip, tuple(dict(v) if isinstance(v, MappingProxyType) else v for v in values)

    @property
    def alive(self) -> bool:
        """No reason against it so far."""
        return not self.reasons

    def with_measures(self, new: Measures) -> Clip:
        """Copy with measures added (a later value for the same name replaces the earlier)."""
        return replace(self, measures={**self.measures, **new})

    def with_reasons(self, new: tuple[Reason, ...]) -> Clip:
        """Copy with reasons appended; the first one ever added stays the primary one."""
        return replace(self, reasons=self.reasons + new)
