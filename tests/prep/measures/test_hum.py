"""Mains hum of known level under noise and under speech."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, noise, silence, talk, tone, track_of

from prep.measures.hum import measure

RATE_HZ = 24_000


def of(samples, rate_hz=RATE_HZ):
    track = track_of([(1, 0, -60)], rate_hz)
    return measure(Seen(clip_of(bare_copy(max(1, len(samples)), rate_hz)), samples, track))


def hum(n_s, hz, dbfs, rate_hz=RATE_HZ, n_harmonics=4):
    parts = [tone(n_s, rate_hz, hz * k, 1.0 / k, phase=k) for k in range(1, n_harmonics + 1)]
    total = np.sum(parts, axis=0, dtype=np.float64)
    return (total * 10 ** (dbfs / 20) / np.sqrt(np.mean(total**2))).astype(np.float32)


@pytest.mark.parametrize("hz", [50.0, 60.0, 49.87, 60.1])
def test_level_of_hum_in_noise(hz):
    found = of(hum(6.0, hz, -45) + noise(6.0, RATE_HZ, 1e-3))
    assert found["hum_dbfs"] == pytest.approx(-45, abs=1.5)
    assert found["hum_db"] > 3


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100, 48_000])
def test_other_rates(rate_hz):
    assert of(hum(5.0, 50.0, -40, rate_hz) + noise(5.0, rate_hz, 1e-3), rate_hz)["hum_dbfs"] == pytest.approx(
        -40, abs=1.5
    )


def test_under_speech():
    speech = talk(8.0, RATE_HZ, 118.0)
    assert of(speech + hum(8.0, 50.0, -40))["hum_db"] > 0 > of(speech)["hum_db"]


def test_noise_alone_has_none():
    assert of(noise(8.0, RATE_HZ, 0.01))["hum_db"] < -5


def test_what_nobody_hears_does_not_count():
    assert of(hum(8.0, 50.0, -90) + noise(8.0, RATE_HZ, 1e-5))["hum_db"] < -15


def test_a_tone_elsewhere_is_no_hum():
    assert of(tone(8.0, RATE_HZ, 82.4, 0.05) + noise(8.0, RATE_HZ, 1e-3))["hum_db"] < 0


@pytest.mark.parametrize("samples", [silence(5.0, RATE_HZ), silence(0.0, RATE_HZ), noise(0.5, RATE_HZ)])
def test_unknown(samples):
    assert of(samples) == {"hum_db": None, "hum_dbfs": None}


def test_digital_silence_between_does_not_hide_it():
    samples = hum(8.0, 50.0, -40) + noise(8.0, RATE_HZ, 1e-3)
    samples[RATE_HZ * 2 : RATE_HZ * 4] = 0
    assert of(samples)["hum_dbfs"] == pytest.approx(-40, abs=2)


@pytest.mark.data
def test_real_studio_speech_has_none(data):
    from prep.audio import read_mono

    samples, rate_hz = read_mono(data / "asr" / "ljspeech" / "LJ001-0001.wav")
    assert of(samples, rate_hz)["hum_db"] < 0
