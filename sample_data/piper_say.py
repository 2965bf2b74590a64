"""Speak lines with a Piper voice; run in the throwaway environment of `voices.py`, never in voxprep's.

stdin: `{"model": PATH, "seed": INT, "out": DIR, "lines": [TEXT, ...]}`. Writes `DIR/00000.npy`, ...
(float32, mono, at the voice's own rate, not normalised), one per line, in order.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from piper import PiperVoice, SynthesisConfig

# The voice's own scales, stated so that a new piper-tts cannot change them. The noise itself comes from ONNX
# Runtime's generator, which is seeded before the session is made.
SETTINGS = SynthesisConfig(noise_scale=0.667, noise_w_scale=0.8, length_scale=1.0, normalize_audio=False)


def main() -> None:
    """Speak every line of the job on stdin."""
    job = json.load(sys.stdin)
    onnxruntime.set_seed(job["seed"])
    voice = PiperVoice.load(job["model"])
    for index, text in enumerate(job["lines"]):
        chunks = [chunk.audio_float_array for chunk in voice.synthesize(text, SETTINGS)]
        np.save(Path(job["out"]) / f"{index:05d}.npy", np.concatenate(chunks))


if __name__ == "__main__":
    main()
