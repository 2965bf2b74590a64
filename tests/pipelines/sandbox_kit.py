"""What the sandbox tests share: clips of real speech and of noise, a host for them, a way to ask until the end."""

from __future__ import annotations

import functools
import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import numpy.typing as npt
import soundfile

AUTH = {"Authorization": "Bearer sk-sandbox"}
POOR = {"Authorization": "Bearer sk-sandbox-poor"}
MAIL = {"contact_email": "user@example.com"}
TALK = Path(__file__).parents[2] / "sample_data" / "talk.mp4"
RATE_HZ = 24_000
SAID = "The first clip says this and a little more, so that it lasts for a while when somebody reads it aloud."
"""A text as long as ten seconds of speech."""


@functools.cache
def wav(seconds: float = 10.5, rate_hz: int = 24000, channels: int = 1, seed: int = 0, kind: str = "PCM_16") -> bytes:
    """A WAV file of quiet noise."""
    rng = np.random.default_rng(seed)
    samples = 0.1 * rng.standard_normal((round(seconds * rate_hz), channels)).astype(np.float32)
    return written(samples, rate_hz, "WAV", kind)


@functools.cache
def talk() -> npt.NDArray[np.float32]:
    """The talk of the sample data, 24 kHz mono: 82 s of sentences and pauses."""
    with av.open(str(TALK)) as file:
        to_mono = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
        parts = [part.to_ndarray()[0] for frame in file.decode(audio=0) for part in to_mono.resample(frame)]
    return np.concatenate(parts)


@functools.cache
def speech(seconds: float = 12.0, rate_hz: int = RATE_HZ, form: str = "WAV", kind: str = "PCM_16") -> bytes:
    """A file of real speech, the talk over and over. A rate other than 24 kHz is only declared: it sounds odd."""
    samples = talk()
    n = round(seconds * rate_hz)
    return written(np.resize(samples, n), rate_hz, form, kind)


def written(samples: npt.NDArray[np.float32], rate_hz: int, form: str, kind: str) -> bytes:
    """A file of these samples."""
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format=form, subtype=kind)
    return out.getvalue()


@functools.cache
def spoken(form: str, seconds: float = 12.0) -> bytes:
    """Real speech as `wav`, `mp3`, `m4a`, `mp4` or `mov`."""
    if form == "wav":
        return speech(seconds)
    if form == "mp3":
        return speech(seconds, form="MP3", kind="MPEG_LAYER_III")
    out = io.BytesIO()
    with av.open(out, "w", format={"m4a": "ipod"}.get(form, form)) as file:
        stream = file.add_stream("aac", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(talk()[None, : round(seconds * RATE_HZ)], format="fltp", layout="mono")
        frame.sample_rate = RATE_HZ
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return out.getvalue()


@dataclass
class Host:
    """A public place for clips, on loopback: `url` without a path, files by path, and what was POSTed to it."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    posts: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    def put(self, name: str, data: bytes) -> str:
        """Host a file and give its URL."""
        self.files[f"/{name}"] = data
        return f"{self.url}/{name}"


@contextmanager
def hosting() -> Iterator[Host]:
    """Serve while the body runs. `/moved` redirects to the first file, `/slow` sends a byte every 50 ms."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = host.files.get(self.path)
            if self.path == "/moved.wav":
                self.answer(302, b"", Location=next(iter(host.files), "/"))
            elif self.path == "/slow.wav":
                self.trickle()
            else:
                self.answer(404 if data is None else 200, data or b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            host.posts.append((dict(self.headers.items()), body))
            self.answer(200, b"")

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def trickle(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b"R")
                    time.sleep(0.05)
            except OSError:  # the reader has hung up
                return

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    host = Host(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def client(base_url: str = "", **headers: str) -> Iterator[httpx.Client]:
    """A raw client with the good key; no TLS is loaded for it, which would take most of a test's time."""
    with httpx.Client(base_url=base_url, headers={**AUTH, **headers}, trust_env=False, verify=False) as http:
        yield http


def until(ready: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Ask again and again until the answer is true; gives the last answer."""
    end = time.monotonic() + seconds
    while not (answer := ready()) and time.monotonic() < end:
        time.sleep(0.01)
    return answer
