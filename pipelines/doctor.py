"""`doctor`: what this machine and this account have and lack, in plain words."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prep.errors import PrepError
from prep.models import registry

NEEDED_DISK_GB = 2.0
PACKAGES = (
    "av",
    "soxr",
    "soundfile",
    "faster-whisper",
    "ctranslate2",
    "onnxruntime",
    "librosa",
    "pydub",
    "webrtcvad-wheels",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `fix` says what to do when it is not ok."""

    what: str
    ok: bool
    found: str
    fix: str = ""


def examine(vendor: str | None, base_url: str | None) -> list[Finding]:
    """All findings: machine, packages, weights, and with a vendor its key and a free call."""
    cache = registry.cache_root()
    out = [Finding("Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    out += [Finding("CPU cores", True, str(os.cpu_count()))]
    out += [_disk(cache), *(_package(name) for name in PACKAGES), *_weights(cache)]
    return out + (list(_account(vendor, base_url)) if vendor else [])


def _disk(cache: Path) -> Finding:
    there = next(path for path in (cache, *cache.parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    fix = "" if free_gb >= NEEDED_DISK_GB else f"free some space, or set VOXPREP_CACHE to a larger disk than {cache}"
    return Finding("disk for the cache", free_gb >= NEEDED_DISK_GB, f"{free_gb:.1f} GB free at {cache}", fix)


def _package(name: str) -> Finding:
    try:
        return Finding(f"package {name}", True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(f"package {name}", False, "not installed", "install voxprep again")


def _weights(cache: Path) -> Iterator[Finding]:
    for name in ("silero-vad-v6", "faster-whisper-base"):
        weight = registry.weight(name)
        here = registry.locate(name, None, cache) is not None
        size = f"{weight.n_bytes / 1e6:.0f} MB"
        yield Finding(f"weights {name}", True, "here" if here else f"not here yet: {size} will be fetched at first use")


def _account(vendor: str, base_url: str | None) -> Iterator[Finding]:
    from pipelines.voices import account_for, list_voices

    account = account_for(vendor, base_url)
    yield Finding(f"{vendor} address", True, account.base_url)
    if account.key is None:
        yield Finding(f"{vendor} key", False, "none", f"set {account.key_variable}")
        return
    yield Finding(f"{vendor} key", True, f"set in {account.key_variable}")
    try:
        n_voices = len(list_voices(vendor, base_url))
    except PrepError as error:
        yield Finding(f"{vendor} account", False, str(error), "see the vendor's own words")
        return
    yield Finding(f"{vendor} account", True, f"answers; {n_voices} voice(s)")
