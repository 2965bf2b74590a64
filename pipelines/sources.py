"""From what the user typed to sources: files, folders, `file@12:31-14:00`. Everything given is accounted for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.process import SourceResult
from prep.audio import looks_like_text
from prep.clip import Source
from prep.errors import ConfigError
from prep.store import file_sha256

TIME = r"(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:\.\d+)?)"
PART = re.compile(rf"^(?P<file>.+)@{TIME}-{TIME}$", re.DOTALL)
TEXTS = frozenset(
    {".txt", ".lab", ".srt", ".vtt", ".csv", ".tsv", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".md", ".rst"}
    | {".html", ".htm", ".xml", ".rttm", ".textgrid", ".log", ".ini", ".cfg", ".sh", ".py"}
)
NOT_MEDIA = TEXTS | {".jpg", ".jpeg", ".png", ".gif", ".webp", ".pdf", ".parquet", ".xlsx", ".sqlite", ".zip", ".npz"}
"""Skipped inside folders (texts beside audio, pictures); a file named outright is always tried."""


@dataclass(frozen=True)
class Given:
    """One file to work on: the name shown, its path, the stretch asked for."""

    name: str
    path: Path
    part: tuple[float, float] | None = None
    skipped: bool = False


def expand(texts: Sequence[str]) -> list[Given]:
    """Files in the order given, folders walked by name; the same file given twice counts once.

    Raises:
        ConfigError: something given does not exist, or a time range is not one.
    """
    out: dict[tuple[Path, tuple[float, float] | None], Given] = {}
    for text in texts:
        for given in _expand_one(text):
            out.setdefault((given.path, given.part), given)
    return list(out.values())


def _expand_one(text: str) -> Iterator[Given]:
    path = Path(text)
    if path.is_dir():
        yield from _walk(path)
    elif os.path.lexists(path):
        yield Given(text, path)
    else:
        yield _part_of(text)


def _part_of(text: str) -> Given:
    match = PART.match(text)
    if match is None or not Path(match["file"]).exists():
        raise ConfigError(f"{text}: no such file or folder")
    h1, m1, s1, h2, m2, s2 = match.groups()[1:]
    start, end = _seconds(h1, m1, s1), _seconds(h2, m2, s2)
    if end <= start:
        raise ConfigError(f"{text}: the range ends before it begins")
    return Given(text, Path(match["file"]), (start, end))


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)


def _walk(folder: Path) -> Iterator[Given]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            path = Path(root) / name
            yield Given(str(path), path, skipped=path.suffix.lower() in NOT_MEDIA and _is_as_named(path))


def _is_as_named(path: Path) -> bool:
    """Whether a file with a text's or picture's name is one: a recording named .txt holds bytes no text does."""
    if path.suffix.lower() not in TEXTS:
        return True
    try:
        with path.open("rb") as file:
            return looks_like_text(file.read(4096))
    except OSError:
        return False  # tried, and then said why it cannot be read


def source_of(given: Given) -> Source | SourceResult:
    """The source with its digest, or the result that says why it cannot be read."""
    if given.skipped:
        return SourceResult(given.name, None, error="not a recording by its name", skipped=True)
    try:
        if not given.path.is_file():
            return SourceResult(given.name, None, error="is not a regular file")
        return Source(given.name, given.path, file_sha256(given.path), given.part)
    except OSError as error:
        return SourceResult(given.name, None, error=f"cannot be read: {error.strerror or error}")
