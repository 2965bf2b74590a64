"""What the upload tests share: audio, a finished run folder, a consent file, a quick way to the sandbox."""

from __future__ import annotations

import functools
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pipelines.sandbox.app import Running
from pipelines.upload import UploadJob
from pipelines.voices import Wire
from prep.providers.http import Backoff

KEY = "sk-sandbox"
MAIL = {"contact_email": "user@example.com"}
TEXTS = ("The first clip says this.", "The second clip says that.", "A third one.")


@functools.cache
def wav(seconds: float = 10.5, rate_hz: int = 24000, channels: int = 1, seed: int = 0, kind: str = "PCM_16") -> bytes:
    """A WAV file of quiet noise."""
    rng = np.random.default_rng(seed)
    samples = 0.1 * rng.standard_normal((round(seconds * rate_hz), channels)).astype(np.float32)
    out = io.BytesIO()
    soundfile.write(out, samples, rate_hz, format="WAV", subtype=kind)
    return out.getvalue()


def write_set(run: Path, audio: list[bytes], **changes: Any) -> Path:
    """A run folder with a Qhaigc set of these clips; `changes` replace keys of set.json."""
    folder = run / "vendors" / "qhaigc"
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
                "text": TEXTS[number],
            }
        )
    listing = {"vendor": "qhaigc", "limits_version": "1", "satisfied": True, "problems": [], "clips": rows}
    (folder / "set.json").write_text(json.dumps(listing | changes), encoding="utf-8")
    return run


def good_run(run: Path) -> Path:
    """A run folder whose set keeps every rule."""
    return write_set(run, [wav(seed=1), wav(seed=2)])


def write_consent(folder: Path, extra: str = "") -> Path:
    """A consent file that covers everything; `extra` is more TOML."""
    path = folder / "consent.toml"
    words = 'speaker = "Ann"\nstatement = "I agree."\ngiven_by = "Ann"\ndate = 2026-01-02\npurpose = "tests"\n'
    path.write_text(words + extra, encoding="utf-8")
    return path


QUICK = Backoff(start_s=0.001, cap_s=0.002)


def wire(here: Running, **environ: str) -> Wire:
    """The way to this sandbox, with retries that do not wait."""
    return Wire(environ={**here.environment, **environ}, backoff=QUICK)


def job(run: Path, name: str = "Ann", **changes: Any) -> UploadJob:
    """An upload of the good set, with a consent file beside it."""
    consent = changes.pop("consent") if "consent" in changes else write_consent(run)
    return UploadJob(run, "qhaigc", name, consent, **{"options": MAIL, **changes})


def creates(here: Running) -> int:
    """How many create calls reached the sandbox."""
    return here.books.calls["POST /qhaigc/v1/voice/model"]


def voices(here: Running) -> list[str]:
    """The names the sandbox holds."""
    return sorted(here.books.stores["qhaigc"])
