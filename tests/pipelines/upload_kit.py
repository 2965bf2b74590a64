"""What the upload tests share: audio, a finished run folder, a consent file, a web server, the sandbox at hand."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from sandbox_kit import SAID, speech

from pipelines.sandbox.app import Running
from pipelines.upload import UploadJob
from pipelines.voices import Where, Wire
from prep.providers.http import Backoff

KEY = "sk-sandbox"
MAIL = {"contact_email": "user@example.com"}
TEXTS = ("The first clip says this.", "The second clip says that.", "A third one.")
VENDORS = ("ai302", "kling", "qhaigc", "qiniu", "qwen")
BY_URL = ("ai302", "kling", "qiniu")
CREATES = {
    "ai302": "POST /ai302/302/higgs_audio/voice_clone/task",
    "kling": "POST /kling/v1/general/custom-voices",
    "qhaigc": "POST /qhaigc/v1/voice/model",
    "qiniu": "POST /qiniu/v1/voice-clones",
    "qwen": "POST /qwen/api/v1/services/audio/tts/customization",
}


@functools.cache
def wav(seconds: float = 10.5, rate_hz: int = 24000, channels: int = 1, seed: int = 0, kind: str = "PCM_16") -> bytes:
    """A WAV file of quiet noise."""
    rng = np.random.default_rng(seed)
    samples = 0.1 * rng.standard_normal((round(seconds * rate_hz), channels)).astype(np.float32)
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format="WAV", subtype=kind)
    return out.getvalue()


def write_set(run: Path, audio: list[bytes], whose: str = "qhaigc", **changes: Any) -> Path:
    """A run folder with a set of these clips for a vendor; `changes` replace keys of set.json."""
    folder = run / "vendors" / whose
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, data in enumerate(audio):
        (folder / f"clip{number + 1}.wav").write_bytes(data)
        rows.append(
            {
                "file": f"clip{number + 1}.wav",
                "clip_ids": [f"c{number}"],
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "text": TEXTS[number] if whose == "qhaigc" else SAID,
                "measures": {"text_confidence": 0.95},
            }
        )
    listing = {"vendor": whose, "limits_version": "1", "satisfied": True, "problems": [], "clips": rows}
    (folder / "set.json").write_text(json.dumps(listing | changes), encoding="utf-8")
    return run


def good_run(run: Path, vendor: str = "qhaigc") -> Path:
    """A run folder whose set keeps every rule of the vendor."""
    return write_set(run, [wav(seed=1), wav(seed=2)] if vendor == "qhaigc" else [speech(12.0)], vendor)


def write_consent(folder: Path, extra: str = "") -> Path:
    """A consent file that covers everything; `extra` is more TOML."""
    path = folder / "consent.toml"
    words = 'speaker = "Ann"\nstatement = "I agree."\ngiven_by = "Ann"\ndate = 2026-01-02\npurpose = "tests"\n'
    path.write_text(words + extra, encoding="utf-8")
    return path


QUICK = Backoff(start_s=0.001, cap_s=0.002, settle_s=0)


def environment(here: Running, **environ: str) -> dict[str, str]:
    """The sandbox's variables, and questions about training that come quickly."""
    polls = {f"VOXPREP_{vendor.upper()}_POLL_S": "0.01" for vendor in BY_URL}
    return {**here.environment, **polls, **environ}


def wire(here: Running, **environ: str) -> Wire:
    """The way to this sandbox, with retries that do not wait."""
    return Wire(environ=environment(here, **environ), backoff=Backoff(start_s=0.001, cap_s=0.02, settle_s=0))


def where(here: Running, vendor: str = "qhaigc") -> Where:
    """A vendor of this sandbox."""
    return Where(vendor, wire=wire(here))


def job(run: Path, name: str = "Ann", vendor: str = "qhaigc", **changes: Any) -> UploadJob:
    """An upload of the good set, with a consent file beside it."""
    consent = changes.pop("consent") if "consent" in changes else write_consent(run)
    options = MAIL if vendor == "qhaigc" else {}
    return UploadJob(run, vendor, name, consent, **{"options": options, **changes})


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """A folder shown by a web server on loopback: the `dir:PATH=URL` of it."""
    folder.mkdir(parents=True, exist_ok=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"dir:{folder}=http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def creates(here: Running, vendor: str = "qhaigc") -> int:
    """How many create calls reached the sandbox."""
    if vendor == "qwen":  # every call of it is a POST to one path
        return sum(b'"action":"create"' in asked.body.replace(b" ", b"") for asked in here.books.requests)
    return here.books.calls[CREATES[vendor]]


def voices(here: Running, vendor: str = "qhaigc") -> list[str]:
    """What the sandbox holds of a vendor, by its own keys."""
    return sorted(here.books.stores[vendor])
