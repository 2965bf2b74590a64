"""Loudness against EBU Tech 3341, and peaks."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, noise, silence, tone, track_of

from prep.measures.level import loudness_lufs, measure, true_peak_dbtp


def sine(n_s, lufs, rate_hz=48_000):
    """A mono 1 kHz sine of a loudness: 0 dBFS reads -3.01 LUFS in one channel (BS.1770)."""
    return tone(n_s, rate_hz, 1000.0, 10 ** ((lufs + 3.01) / 20))


def seen(samples, rate_hz=24_000):
    return Seen(clip_of(bare_copy(max(1, len(samples)), rate_hz)), samples, track_of([(1, 0, -60)]))


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("lufs", [-23.0, -33.0, -16.0])
def test_a_sine_has_its_loudness(rate_hz, lufs):
    assert loudness_lufs(sine(10, lufs, rate_hz), rate_hz) == pytest.approx(lufs, abs=0.1)


@pytest.mark.parametrize(
    "steps",
    [
        [(10, -36), (60, -23), (10, -36)],
        [(10, -72), (10, -36), (60, -23), (10, -36), (10, -72)],
        [(20, -26), (20.1, -20), (20, -26)],
    ],
    ids=["3341 case 3", "3341 case 4", "3341 case 5"],
)
def test_gated_loudness(steps):
    samples = np.concatenate([sine(n_s, lufs) for n_s, lufs in steps])
    assert loudness_lufs(samples, 48_000) == pytest.approx(-23, abs=0.1)


def test_pauses_do_not_lower_the_loudness():
    samples = np.concatenate([sine(5, -23), silence(20, 48_000)])
    assert loudness_lufs(samples, 48_000) == pytest.approx(-23, abs=0.3)


@pytest.mark.parametrize("samples", [silence(5, 24_000), noise(5, 24_000, 1e-6), tone(0.3, 24_000), silence(0, 24_000)])
def test_silence_and_less_than_a_block_have_none(samples):
    assert measure(seen(samples))["lufs"] is None


def test_peaks():
    samples = silence(1, 24_000)
    samples[[10, 20]] = 0.25, -0.5
    assert measure(seen(samples))["peak_dbfs"] == pytest.approx(-6.02, abs=0.01)
    assert measure(seen(silence(1, 24_000)))["peak_dbfs"] is None
    assert measure(seen(silence(0, 24_000)))["peak_dbfs"] is None


def test_true_peak_between_samples():
    between = tone(0.5, 48_000, 12_000.0, 0.5, np.pi / 4)
    assert true_peak_dbtp(between[1000:-1000]) == pytest.approx(-6.02, abs=0.2)
    assert true_peak_dbtp(silence(1, 24_000)) is None
