"""Effective bandwidth: up to which frequency the voice rises above the recording's own noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from prep.audio import Samples
from prep.clip import Measures
from prep.recordings import View
from prep.stages.listen import Track

FRAME_S, HOP_S = 0.04, 0.04
BAND_HZ = 250.0
LOUD_SHARE, MIN_LOUD = 0.05, 3
MIN_SPEECH_FRAMES = 10
MIN_PAUSE_FRAMES = 5
OVER_QUIET_DB = 10.0
"""Steady noise in 250 Hz has its loudest twentieth of frames 6 dB over its quietest tenth; speech 20 to 60 dB."""
OVER_PAUSE_DB = 6.0
UNDER_LOUDEST_DB = 60.0
"""What lies further under the loudest band is not heard: a resampler's images and rounding."""
Powers = npt.NDArray[np.float64]


def measure(view: View) -> Measures:
    """`bandwidth_hz`: the upper edge of the highest 250 Hz band in which speech stands out of the noise, Hz.

    Hiss fills every band, but only the voice comes and goes: a band counts where the mean of its loudest 5 % of
    speech frames (40 ms) lies 10 dB over its quietest tenth of all frames, 6 dB over the middle of the pauses, and no
    more than 60 dB under the loudest band; and where two of the three bands below count too, so that a lone whistle
    is not bandwidth. From 0 to half the working rate; at 24 kHz the resampler ends at 11.25 kHz, which stands for all
    above. Telephone speech has 3500 to 4000, 16 kHz recordings 7500 to 8000, full-band speech 9000 and more. Cheap
    resampling (cubic, linear) leaves images of the voice above the old band, which count as bandwidth. None with less
    than 0.4 s of speech.
    """
    rate_hz = view.clip.span.rate_hz
    powers, speech, pause = _frames(view.samples, rate_hz, view.track, view.clip.span.start)
    if speech.sum() < MIN_SPEECH_FRAMES:
        return {"bandwidth_hz": None}
    return {"bandwidth_hz": BAND_HZ * top_band(powers, speech, pause)}


def _frames(
    samples: Samples, rate_hz: int, track: Track, start: int
) -> tuple[Powers, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Band powers per frame `(frames, bands)`, and which frames are speech and which are surely not."""
    n, hop = int(rate_hz * FRAME_S), int(rate_hz * HOP_S)
    if len(samples) < n:
        return np.zeros((0, 1)), np.zeros(0, bool), np.zeros(0, bool)
    window = np.hanning(n).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, n)[::hop]
    spectrum = np.fft.rfft(frames * window)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float64) / float((window**2).sum()) / n
    # n / rate_hz = 40 ms: a bin is 25 Hz and a band is ten of them, from the bin on its lower edge.
    per_band = round(BAND_HZ * n / rate_hz)
    n_bands = (power.shape[1] - 1) // per_band
    bands = power[:, : n_bands * per_band].reshape(len(power), n_bands, per_band).sum(axis=2)
    middle = (start + np.arange(len(bands)) * hop + n // 2) // track.frame
    prob = track.prob[np.minimum(middle, len(track.prob) - 1)]
    return bands, prob >= 0.5, prob < 0.3


def top_band(powers: Powers, speech: npt.NDArray[np.bool_], pause: npt.NDArray[np.bool_]) -> int:
    """How many bands, from the lowest on, reach up to the highest that carries speech; 0 where none does.

    Args:
        powers: `(frames, bands)`, linear.
        speech: frames that are speech; at least `MIN_LOUD`.
        pause: frames that are not; too few are no witness.
    """
    n_loud = max(MIN_LOUD, round(LOUD_SHARE * int(speech.sum())))
    loud_db = _db(np.sort(powers[speech], axis=0)[-n_loud:].mean(axis=0))
    alive = loud_db >= _db(np.percentile(powers, 10, axis=0)) + OVER_QUIET_DB
    alive &= loud_db >= loud_db.max() - UNDER_LOUDEST_DB
    if pause.sum() >= MIN_PAUSE_FRAMES:
        alive &= loud_db >= _db(np.median(powers[pause], axis=0)) + OVER_PAUSE_DB
    below = np.concatenate([np.ones(3), alive.astype(float)])
    supported = alive & (below[:-3] + below[1:-2] + below[2:-1] >= 2)
    return int(np.flatnonzero(supported)[-1]) + 1 if supported.any() else 0


def _db(power: Powers) -> Powers:
    return np.asarray(10 * np.log10(power + 1e-15))
