"""A finished sample set as it lies on disk: `set.json`, the bytes of its files, and whether they are as prepared."""

from __future__ import annotations

import shlex
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from prep.audio import read_mono
from prep.errors import ConfigError
from prep.models import registry
from prep.models.ear import Ear, open_ear
from prep.providers.base import RuleCheck, SampleFile
from prep.stages.listen import track_of
from prep.stages.segment import Segmenting, pauses

MAX_FILE_BYTES = 200_000_000
"""A file larger than this is not read at all; no vendor takes a tenth of it."""
SPEECH_BREAK_S = 0.5
"""A longer pause ends a stretch of continuous speech; vendors ask for such stretches and give no number."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Note(_Model):
    """A rule that is broken (`problems`), or one to know of (`warnings`)."""

    rule: str
    measured: float | str | None = None
    limit: float | str | None = None
    unit: str = ""
    fix: str = ""


class SetClip(_Model):
    """One file of a set."""

    file: str
    clip_ids: tuple[str, ...] = ()
    bytes: int
    sha256: str
    text: str | None = None
    language: str = ""
    measures: dict[str, float | None] = {}
    warnings: tuple[Note, ...] = ()


class SampleSet(_Model):
    """What `set.json` says."""

    vendor: str
    satisfied: bool
    problems: tuple[Note, ...] = ()
    clips: tuple[SetClip, ...]


def set_folder(directory: Path, vendor: str) -> Path:
    """Where a vendor's `set.json`, its audio files and the receipt lie in a run folder."""
    return directory / "vendors" / vendor


def read_set(directory: Path, vendor: str) -> SampleSet:
    """The set a run made for a vendor.

    Raises:
        ConfigError: none there, one that cannot be read, one for another vendor, or one that names files
        outside its folder.
    """
    folder = set_folder(directory, vendor)
    path = folder / "set.json"
    try:
        listing = SampleSet.model_validate_json(path.read_bytes())
    except OSError as error:
        hint = f"run `voxprep prepare ... --for {vendor} --out {shlex.quote(str(directory))}` first"
        raise ConfigError(f"{path} cannot be read ({error.strerror}); {hint}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(str(step) for step in first['loc'])}: {first['msg']}") from error
    if listing.vendor != vendor:
        raise ConfigError(f"{path} is a set for {listing.vendor}, not for {vendor}")
    for clip in listing.clips:
        if not (folder.resolve() / clip.file).resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{path} names {clip.file!r}, which lies outside its folder")
    return listing


def read_samples(
    directory: Path, listing: SampleSet, listen: bool
) -> tuple[tuple[SampleFile, ...], tuple[RuleCheck, ...]]:
    """The files with their bytes in memory, and what is to be said of the set and of them.

    `listen`: also find the pauses in them (Silero VAD), for vendors that have rules about these.
    """
    unmet = [
        RuleCheck(row.rule, False, row.measured, row.limit, row.unit, row.fix, "set.json") for row in listing.problems
    ]
    again = f"run `voxprep prepare --for {listing.vendor}` with more or better recordings"
    checks = [RuleCheck("set satisfied", listing.satisfied, str(listing.satisfied).lower(), "true", fix=again), *unmet]
    samples = []
    for clip in listing.clips:
        sample = _sample(set_folder(directory, listing.vendor), clip)
        checks += _unchanged(clip, sample, listing.vendor)
        checks += [
            RuleCheck(note.rule, False, note.measured, note.limit, note.unit, note.fix, clip.file, advised=True)
            for note in clip.warnings
        ]
        samples.append(listened(sample) if listen else sample)
    return tuple(samples), tuple(checks)


def _sample(folder: Path, clip: SetClip) -> SampleFile:
    """The file; without bytes where it is missing or absurdly large, which `_unchanged` then reports."""
    path = folder / clip.file
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
    except OSError:
        data = b""
    sample = SampleFile.of(Path(clip.file), data, clip.text or "")
    return replace(sample, text_confidence=clip.measures.get("text_confidence"))


def _unchanged(clip: SetClip, sample: SampleFile, vendor: str) -> list[RuleCheck]:
    fix = f"the file was changed or lost since it was prepared; run `voxprep prepare --for {vendor}` again"
    same_size = sample.n_bytes == clip.bytes
    same = sample.sha256 == clip.sha256
    return [
        RuleCheck("size as prepared", same_size, sample.n_bytes, clip.bytes, "bytes", fix, clip.file),
        RuleCheck("bytes as prepared", same, sample.sha256, clip.sha256, "sha256", fix, clip.file),
    ]


def listened(sample: SampleFile) -> SampleFile:
    """The sample with its longest pause and its longest stretch of speech; as it is where it is no audio."""
    if sample.duration_s is None or not sample.data:
        return sample
    samples, rate_hz = read_mono(sample.data)
    track = track_of([samples], rate_hz, _ear())
    every = pauses(track, Segmenting())
    inside = [pause for pause in every if pause.start > 0 and pause.stop < track.n_samples]
    breaks = [
        (pause.start, pause.stop) for pause in every if pause not in inside or _breaks(pause.start, pause.stop, rate_hz)
    ]
    ends = [0, *(edge for both in breaks for edge in both), track.n_samples]
    stretches = [stop - start for start, stop in zip(ends[::2], ends[1::2], strict=True)]
    longest_pause = max((pause.n_samples for pause in inside), default=0)
    return replace(
        sample, longest_pause_s=longest_pause / rate_hz, longest_speech_s=max(stretches, default=0) / rate_hz
    )


def _breaks(start: int, stop: int, rate_hz: int) -> bool:
    return stop - start > SPEECH_BREAK_S * rate_hz


@cache
def _ear() -> Ear:
    return open_ear(registry.cache_root())
