"""Content-addressed results and blobs: the key says what it is, never where the file lay.

Every put is: temporary file in the same folder, flush to disk, rename. A reader sees the old entry, the new one, or
none; never half of one. A result carries the digest of its own bytes, and one that does not match counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def digest(*parts: object) -> str:
    """Key from parts: sha256 over their canonical JSON, 32 hex digits."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, read in 1 MiB blocks.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file's contents in one step."""
    fill_atomic(path, lambda temporary: _write(temporary, data))


def fill_atomic(path: Path, fill: Callable[[Path], None]) -> None:
    """Have `fill` write a temporary file beside `path`, then rename it there; on an error nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        fill(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


class Store:
    """Results (JSON values) and blobs (files) under one folder.

    Args:
        root: made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, key: str) -> Any | None:
        """The stored value, or None when absent or damaged."""
        try:
            raw = self._result_path(key).read_bytes()
        except FileNotFoundError:
            return None
        head, _, body = raw.partition(b"\n")
        if head.decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
            return None
        return json.loads(body)

    def put(self, key: str, value: Any) -> None:
        """Store a JSON value under a key."""
        body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        write_atomic(self._result_path(key), hashlib.sha256(body).hexdigest().encode() + b"\n" + body)

    def blob_path(self, key: str, suffix: str) -> Path:
        """Where a blob of this key lies or would lie."""
        return self.root / "blobs" / key[:2] / f"{key}{suffix}"

    def new_blob(self, suffix: str) -> Path:
        """A temporary file inside the store for a blob whose key is known only at the end; see `adopt`."""
        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, suffix=suffix)
        os.close(handle)
        return Path(name)

    def adopt(self, temporary: Path, key: str, suffix: str) -> Path:
        """Move a finished temporary blob to its key, durably."""
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        path = self.blob_path(key, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        return path

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def _result_path(self, key: str) -> Path:
        return self.root / "results" / key[:2] / f"{key}.json"
