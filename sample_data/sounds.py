"""Generated sound: noises, a piece of music, filters and levels. Audio is float32 mono, full scale 1.0."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import signal

Audio = npt.NDArray[np.float32]

BEAT_S = 0.6
CHORDS_HZ = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (196.0, 261.6, 329.6), (196.0, 246.9, 293.7))
MELODY_HZ = (440.0, 523.3, 587.3, 659.3, 784.0)  # A minor pentatonic: fits over all four chords


def rms(audio: Audio) -> float:
    """Root mean square; 0 for an empty array."""
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if len(audio) else 0.0


def dbfs(audio: Audio) -> float:
    """Level in dB of rms against 1.0; -inf for silence."""
    return 20 * np.log10(rms(audio)) if rms(audio) else -np.inf


def at_level(audio: Audio, level_dbfs: float) -> Audio:
    """Scale a sound that is not silent to a level."""
    return (audio * (10 ** (level_dbfs / 20) / rms(audio))).astype(np.float32)


def noise(n_samples: int, rate_hz: int, seed: int, slope: float = 1.0) -> Audio:
    """Noise whose power falls as frequency to the `slope`: 0 white, 1 pink, 2 brown; none under 20 Hz."""
    white = np.fft.rfft(np.random.default_rng(seed).standard_normal(n_samples))
    hz = np.fft.rfftfreq(n_samples, 1 / rate_hz)
    shape = np.where(hz >= 20, np.maximum(hz, 20) ** (-slope / 2), 0)
    return np.fft.irfft(white * shape, n_samples).astype(np.float32)


def band(audio: Audio, rate_hz: int, low_hz: float, high_hz: float) -> Audio:
    """Keep one band, without moving anything in time."""
    sos = signal.butter(8, (low_hz, high_hz), "bandpass", fs=rate_hz, output="sos")
    return signal.sosfiltfilt(sos, audio).astype(np.float32)


def music(n_samples: int, rate_hz: int, seed: int) -> Audio:
    """Four chords in turn, a plucked melody and drums."""
    rng = np.random.default_rng(seed)
    out = np.zeros(n_samples, dtype=np.float32)
    for beat in range(int(n_samples / rate_hz / BEAT_S) + 1):
        start_s = beat * BEAT_S
        if beat % 4 == 0:
            add(out, pad(CHORDS_HZ[beat // 4 % 4], 4 * BEAT_S, rate_hz), start_s, rate_hz)
        note, off_beat = float(rng.choice(MELODY_HZ)), BEAT_S / 2 * rng.integers(2)
        add(out, pluck(note, rate_hz), start_s + off_beat, rate_hz)
        add(out, kick(rate_hz), start_s, rate_hz)
        add(out, hat(rate_hz, rng), start_s + BEAT_S / 2, rate_hz)
    return out


def add(out: Audio, part: Audio, start_s: float, rate_hz: int) -> None:
    """Mix `part` into `out` in place; what hangs over the end is dropped."""
    start = round(start_s * rate_hz)
    room = max(0, min(len(part), len(out) - start))
    out[start : start + room] += part[:room]


def times(length_s: float, rate_hz: int) -> npt.NDArray[np.float64]:
    return np.arange(round(length_s * rate_hz)) / rate_hz


def pad(notes_hz: tuple[float, ...], length_s: float, rate_hz: int) -> Audio:
    t = times(length_s, rate_hz)
    tone = sum(np.sin(2 * np.pi * hz * k * t) / k**1.5 for hz in notes_hz for k in range(1, 7))
    return (0.12 * tone * np.minimum(1, t / 0.2) * np.minimum(1, (length_s - t) / 0.2)).astype(np.float32)


def pluck(hz: float, rate_hz: int) -> Audio:
    t = times(0.8, rate_hz)
    tone = sum(np.sin(2 * np.pi * hz * k * t) * np.exp(-t * 5 * k) / k for k in range(1, 6))
    return (0.3 * tone * np.minimum(1, t / 0.003)).astype(np.float32)


def kick(rate_hz: int) -> Audio:
    t = times(0.25, rate_hz)
    turns = 50 * t + 4 * (1 - np.exp(-t * 30))  # from 170 Hz down to 50
    return (0.7 * np.sin(2 * np.pi * turns) * np.exp(-t * 14)).astype(np.float32)


def hat(rate_hz: int, rng: np.random.Generator) -> Audio:
    t = times(0.08, rate_hz)
    return (0.15 * np.diff(rng.standard_normal(len(t) + 1)) * np.exp(-t * 60)).astype(np.float32)
