"""Pictures of clips: waveform over mel spectrogram, as PNG bytes."""

from __future__ import annotations

import io

import numpy as np

from prep.audio import Samples

N_FFT, HOP, N_MELS = 1024, 256, 80


def clip_picture(samples: Samples, rate_hz: int) -> bytes:
    """Waveform and mel spectrogram of `(n,)` samples, 640 x 220 px PNG; dB under the loudest, 70 dB deep."""
    import librosa
    from matplotlib.figure import Figure

    mel = librosa.feature.melspectrogram(y=samples, sr=rate_hz, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS)
    db = librosa.power_to_db(mel, ref=np.max, top_db=70)
    figure = Figure(figsize=(6.4, 2.2), dpi=100, layout="constrained")
    wave, spectrum = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    seconds = len(samples) / rate_hz
    low, high = envelope(samples, 640)
    wave.fill_between(np.linspace(0, seconds, len(low)), low, high, linewidth=0.4, color="#2b6cb0")
    wave.set_ylim(-1, 1)
    wave.set_yticks([])
    spectrum.imshow(db, origin="lower", aspect="auto", extent=(0, seconds, 0, N_MELS), cmap="magma")
    spectrum.set_yticks([])
    spectrum.set_xlabel("s", fontsize=8)
    for axes in (wave, spectrum):
        axes.tick_params(labelsize=7)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def envelope(samples: Samples, n: int) -> tuple[Samples, Samples]:
    """Least and greatest sample of each of (at most) `n` equal stretches; empty for empty."""
    parts = np.array_split(samples, min(n, max(1, len(samples)))) if len(samples) else []
    low = np.array([part.min() for part in parts], np.float32)
    return low, np.array([part.max() for part in parts], np.float32)
