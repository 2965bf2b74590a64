"""Blind C50 of speech through rooms whose C50 is known."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, copy_of, noise, silence, talk, track_of
from scipy.signal import fftconvolve

from prep.audio import read_mono, resample
from prep.measures.reverb import LOWEST_DB, decay_db_per_s, measure
from prep.recordings import Recordings, View

RATE_HZ = 24_000


def of(samples, rate_hz=RATE_HZ):
    return measure(
        Seen(clip_of(bare_copy(max(1, len(samples)), rate_hz)), samples, track_of([(1, 0.9, -20)], rate_hz))
    )["c50_db"]


def room(decay_s, direct_db, rate_hz=RATE_HZ):
    times = np.arange(int(1.3 * decay_s * rate_hz)) / rate_hz
    tail = np.random.default_rng(3).standard_normal(len(times)) * 10 ** (-3 * times / decay_s)
    tail *= (10 ** (-direct_db / 10) / (tail**2).sum()) ** 0.5
    tail[0] = 1
    split = int(0.05 * rate_hz)
    return tail, 10 * np.log10((tail[:split] ** 2).sum() / (tail[split:] ** 2).sum())


@pytest.fixture(scope="module")
def dry(data):
    samples, rate_hz = read_mono(data / "asr" / "ljspeech" / "LJ001-0001.wav")
    return resample(samples, rate_hz, RATE_HZ)


@pytest.mark.data
@pytest.mark.parametrize(("decay_s", "direct_db"), [(0.3, 6), (0.4, 0), (0.6, 3), (0.9, 0), (1.2, -3)])
def test_real_speech_in_made_rooms(dry, decay_s, direct_db):
    response, c50_db = room(decay_s, direct_db)
    assert of(fftconvolve(dry, response)[: len(dry)].astype(np.float32)) == pytest.approx(c50_db, abs=4)


@pytest.mark.data
def test_dry_speech_is_dry_at_any_level(dry):
    assert of(dry) > 18
    assert of(dry * np.float32(0.03)) == pytest.approx(of(dry), abs=0.5)


def test_known_slopes():
    falling = -200.0 * 0.01 * np.arange(20)
    levels = np.tile(np.concatenate([np.full(5, 0.0), falling])[:, None], (20, 8)) + 60
    assert decay_db_per_s(levels) == pytest.approx(200, rel=0.02)


@pytest.mark.parametrize(
    "samples", [silence(0.0, RATE_HZ), silence(5.0, RATE_HZ), noise(5.0, RATE_HZ), talk(0.1, RATE_HZ)]
)
def test_what_shows_no_decay_is_unknown(samples):
    assert of(samples) is None


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_other_rates_agree(rate_hz):
    assert of(talk(6.0, rate_hz), rate_hz) == pytest.approx(of(talk(6.0, RATE_HZ)), abs=3)


def test_a_cathedral_is_as_low_as_it_gets():
    response, _ = room(6.0, -20)
    speech = talk(6.0, RATE_HZ, noise_rms=0)
    found = of(fftconvolve(speech, response)[: len(speech)].astype(np.float32))
    assert found is None or LOWEST_DB <= found < 2


@pytest.mark.data
def test_a_short_clip_has_the_room_of_the_recording_around_it(dry, tmp_path, listening, store):
    """A word of 0.3 s says nothing of its room by itself; the 8 s around it do."""
    tail, _ = room(0.6, 0)
    copy = copy_of(tmp_path, fftconvolve(dry, tail)[: len(dry)].astype(np.float32) / 4)
    with Recordings(listening, store) as recordings:
        word = measure(View(clip_of(copy, 3.0, 3.3), recordings))["c50_db"]
        all_of_it = measure(View(clip_of(copy), recordings))["c50_db"]
    assert of(dry[3 * RATE_HZ : 3 * RATE_HZ + 7200]) is None
    assert word == pytest.approx(all_of_it, abs=2)
