"""Effective bandwidth of made signals and of real speech that was brought up from lower rates."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, copy_of, noise, silence, track_of
from scipy.signal import firwin, lfilter

from prep.audio import read_mono, resample
from prep.measures.bandwidth import measure, top_band
from prep.recordings import Recordings, View

RATE_HZ = 24_000


def bursts(n_s, top_hz, rate_hz=RATE_HZ, rms=0.1):
    """Noise below `top_hz`, in bursts of 0.2 s, and where it sounds."""
    on = (np.arange(round(n_s * rate_hz)) // (rate_hz // 5)) % 2 == 0
    shaped = (
        noise(n_s, rate_hz, rms)
        if top_hz >= rate_hz / 2
        else lfilter(firwin(801, top_hz, fs=rate_hz), 1, noise(n_s, rate_hz, rms))
    )
    return (shaped * on).astype(np.float32)


def of(samples, rate_hz=RATE_HZ):
    parts = [(0.2, 0.95 if i % 2 == 0 else 0.02, -30) for i in range(round(len(samples) / rate_hz / 0.2))]
    seen = Seen(clip_of(bare_copy(len(samples), rate_hz)), samples, track_of(parts, rate_hz))
    return measure(seen)["bandwidth_hz"]


@pytest.mark.parametrize("hiss_dbfs", [-90, -70, -60])
@pytest.mark.parametrize("top_hz", [3000, 4000, 7000, 8000, 10_000])
def test_voice_in_hiss_of_all_frequencies(top_hz, hiss_dbfs):
    samples = bursts(4.0, top_hz) + noise(4.0, RATE_HZ, 10 ** (hiss_dbfs / 20), seed=8)
    assert of(samples) == pytest.approx(top_hz, abs=300)


def test_a_lone_whistle_is_not_bandwidth():
    times = np.arange(4 * RATE_HZ) / RATE_HZ
    whistle = 0.02 * np.sin(2 * np.pi * 10_125 * times) * np.sin(2 * np.pi * 0.35 * times) ** 2
    samples = (bursts(4.0, 4000) + noise(4.0, RATE_HZ, 1e-3, seed=8) + whistle).astype(np.float32)
    assert of(samples) == pytest.approx(4000, abs=300)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_other_working_rates(rate_hz):
    samples = bursts(4.0, 3000, rate_hz) + noise(4.0, rate_hz, 1e-3, seed=8)
    assert of(samples, rate_hz) == pytest.approx(3000, abs=300)


def test_steady_noise_called_speech_has_none():
    seen = Seen(clip_of(bare_copy(4 * RATE_HZ)), noise(4.0, RATE_HZ), track_of([(4, 0.9, -20)]))
    assert measure(seen) == {"bandwidth_hz": 0.0}


@pytest.mark.parametrize("n_s", [0.0, 0.01, 0.3])
def test_too_little_speech_is_unknown(n_s):
    seen = Seen(clip_of(bare_copy(240)), silence(n_s, RATE_HZ), track_of([(0.3, 0.9, -20)]))
    assert measure(seen) == {"bandwidth_hz": None}


def test_silence_is_unknown_where_nobody_speaks():
    seen = Seen(clip_of(bare_copy(96_000)), silence(4.0, RATE_HZ), track_of([(4, 0.0, -120)]))
    assert measure(seen) == {"bandwidth_hz": None}


def test_without_a_pause_the_quiet_frames_are_the_witness():
    powers = np.full((100, 8), 1e-6)
    powers[::3, :5] = 1e-2
    speech = np.ones(100, bool)
    assert top_band(powers, speech, ~speech) == 5


@pytest.mark.data
@pytest.mark.parametrize(
    ("through_hz", "low", "high"), [(8_000, 3_500, 4_250), (16_000, 7_000, 8_250), (22_050, 9_500, 12_000)]
)
def test_real_speech_brought_up_with_hiss(data, tmp_path, store, listening, through_hz, low, high):
    samples, rate_hz = read_mono(data / "asr" / "ljspeech" / "LJ001-0001.wav")
    down = resample(samples[: 8 * rate_hz], rate_hz, through_hz)
    up = resample(down, through_hz, RATE_HZ)
    with Recordings(listening, store) as recordings:
        copy = copy_of(tmp_path, up + noise(len(up) / RATE_HZ, RATE_HZ, 1e-3, seed=8))
        found = measure(View(clip_of(copy), recordings))["bandwidth_hz"]
    assert low <= found <= high
