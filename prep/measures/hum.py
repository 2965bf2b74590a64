"""Mains hum: steady lines at 50 or 60 Hz and their harmonics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from prep.audio import Samples
from prep.clip import Measures
from prep.recordings import View

MAINS_HZ = (50.0, 60.0)
DRIFT_HZ, DRIFT_STEP_HZ = 0.2, 0.02
"""A grid holds its frequency to 0.2 Hz; the tenth harmonic then lies 2 Hz off."""
N_HARMONICS = 10
LOW_HZ = 1600
BLOCK_S = 0.04
MIN_S = 1.0
NEAR_HZ, FAR_HZ = 4.0, 20.0
AROUND_HZ = 50.0
FLOOR_POWER = 1e-10
HEARD_POWER = 10**-6.5
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """Power of a sine at each bin, if the signal were one `(bins,)`; noise of `width_hz` falls into a bin."""

    power: Floats
    step_hz: float
    width_hz: float


def measure(view: View) -> Measures:
    """`hum_db`, `hum_dbfs`: power of the mains lines over the noise around them, dB, and by itself, dBFS.

    One spectrum over the whole clip below 0.8 kHz, each 40 ms weighted by the inverse of its power, so that pauses
    and quiet frames tell and speech does not; power of the lines at 1 to 10 times 50 or 60 Hz (+- 0.2 Hz), whichever
    stands out more, over that of the noise in the 50 Hz around each line (median of the bins 4 to 20 Hz away), or over
    -65 dBFS where that is less: in a silent room a line at -90 dBFS stands out too, and nobody hears it. Without hum
    `hum_db` lies between -40 and -1; above 0 dB the hum is heard. It ends near 10 dB, since the skirts of strong lines
    are noise to it; `hum_dbfs` then is right within 1 dB. None for less than 1 s and for digital silence. A steady
    musical tone on such a frequency counts as hum.
    """
    spectrum = low_spectrum(view.samples, view.clip.span.rate_hz)
    if spectrum is None:
        return {"hum_db": None, "hum_dbfs": None}
    line, noise = max((lines(spectrum, mains) for mains in MAINS_HZ), key=lambda pair: pair[0] / pair[1])
    return {"hum_db": 10 * float(np.log10(line / noise)), "hum_dbfs": 10 * float(np.log10(line))}


def low_spectrum(samples: Samples, rate_hz: int) -> Spectrum | None:
    """Weighted spectrum below 0.8 kHz; None where there is nothing to weigh."""
    factor = max(1, rate_hz // LOW_HZ)
    block, low_hz = round(BLOCK_S * rate_hz / factor), rate_hz / factor
    n_blocks = len(samples) // (factor * block)
    if n_blocks < MIN_S / BLOCK_S:
        return None
    low = samples[: n_blocks * block * factor].reshape(-1, factor).mean(axis=1, dtype=np.float64)
    low -= low.mean()
    power = (low**2).reshape(n_blocks, block).mean(axis=1)
    heard = power > FLOOR_POWER
    if not heard.any():
        return None
    # Digital silence holds neither noise nor hum: it must not outweigh what was recorded.
    weights = np.where(heard, 1 / np.maximum(power, np.percentile(power[heard], 10)), 0.0)
    smooth = np.interp(np.arange(len(low)), (np.arange(n_blocks) + 0.5) * block, weights)
    smooth /= smooth.sum()
    n_fft = 2 ** math.ceil(math.log2(2 * len(low)))
    turns = 2 * np.fft.rfft(low * smooth, n_fft)
    return Spectrum(np.abs(turns) ** 2 / 2, low_hz / n_fft, float((smooth**2).sum() * low_hz))


def lines(spectrum: Spectrum, mains_hz: float) -> tuple[float, float]:
    """Power of the harmonics of one mains frequency, and of what they must rise above; both > 0."""
    order = np.arange(1, N_HARMONICS + 1)
    n_steps = round(DRIFT_HZ / DRIFT_STEP_HZ)
    drifts = mains_hz + np.arange(-n_steps, n_steps + 1) * DRIFT_STEP_HZ
    powers = spectrum.power[np.rint(drifts[:, None] * order / spectrum.step_hz).astype(np.int64)].sum(axis=1)
    away = np.arange(NEAR_HZ, FAR_HZ, 2 * spectrum.step_hz)
    near = mains_hz * order[:, None] + np.concatenate([-away, away])
    middle = np.median(spectrum.power[np.rint(near / spectrum.step_hz).astype(np.int64)], axis=1)
    floor = float(middle.sum() / np.log(2))  # of an exponential distribution the median is ln 2 of the mean
    noise = max(floor * AROUND_HZ / spectrum.width_hz, HEARD_POWER)
    return max(float(powers.max()) - floor, 1e-4 * noise), noise
