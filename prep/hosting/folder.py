"""`dir:PATH=URL`: files are written into PATH, and a web server of the user's shows them at URL."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import httpx

from prep.errors import ConfigError, ProviderFailure, Refused
from prep.hosting.base import VENDOR, Hosted, checked_name, checked_url, new_name, shown
from prep.providers.http import Backoff

WRITE_IT = "write --hosting dir:PATH=URL, for example dir:/srv/voices=https://files.example.com/voices"

MODE = 0o644
"""The web server is another user than the one who uploads."""

_SPEC = re.compile(r"dir:(?P<path>.+?)=(?P<url>https?://.+)", re.IGNORECASE)


class FolderHost:
    """One folder and the URL it is seen at; `prep.hosting.base.Host` says what each method promises."""

    removable = True

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self.spec = f"dir:{folder}={url}"

    @property
    def promise(self) -> str:
        """Who can read a clip, how long, and how it goes away."""
        return (
            f"Whoever has the link can read the clip at {self._url}/ until it is removed, "
            "which deletes the file from the folder."
        )

    def place(self, data: bytes, suffix: str) -> str:
        """A fresh file name; see `Host`."""
        return new_name(suffix)

    def put(self, key: str, data: bytes, media_type: str) -> Hosted:
        """Write the file so that a reader sees all of it or nothing; the web server sets the media type.

        Raises:
            ConfigError: the key was not made by `place`.
            Refused: the folder cannot be written (gone, full, not allowed).
        """
        path = self._folder / checked_name(key)
        try:
            _write(path, data)
        except OSError as error:
            raise _refused(error, path, "make room in the folder and let this user write there") from error
        return Hosted(self.spec, key, f"{self._url}/{quote(key)}", self.removable)

    def remove(self, key: str) -> None:
        """Delete the file; see `Host`."""
        path = self._folder / checked_name(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _refused(error, path, "delete the file by hand") from error

    def close(self) -> None:
        """Nothing to give back."""


def open_host(spec: str, environ: Mapping[str, str], client: httpx.Client | None, backoff: Backoff) -> FolderHost:
    """Open `dir:PATH=URL`; the spec kept is absolute, so that a removal works from any folder.

    Raises:
        ConfigError: malformed, not a folder, not writable, or a URL that no vendor could be given.
    """
    found = _SPEC.fullmatch(spec)
    if not found:
        raise ConfigError(f"--hosting {shown(spec)!r} is not complete; {WRITE_IT}")
    if checked_url(found["url"], "the URL of --hosting dir:").query or "?" in found["url"]:
        raise ConfigError(f"the URL of --hosting {shown(spec)!r} must have no query; {WRITE_IT}")
    folder = Path(found["path"]).expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"--hosting dir: {folder} is not a folder; make it first, and let your web server show it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"--hosting dir: {folder} cannot be written by this user; change its permissions")
    return FolderHost(folder, found["url"].rstrip("/"))


def _write(path: Path, data: bytes) -> None:
    handle, part = tempfile.mkstemp(prefix=".voxprep-", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), MODE)
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        Path(part).unlink(missing_ok=True)
        raise


def _refused(error: OSError, path: Path, fix: str) -> Refused:
    return Refused(ProviderFailure(VENDOR, f"{path}: {error.strerror or type(error).__name__}", fix=fix))
