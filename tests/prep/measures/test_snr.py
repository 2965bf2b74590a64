"""Signal-to-noise ratio against mixtures whose ratio is known."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, copy_of, noise, silence, talk, track_of

from prep.audio import read_mono, resample
from prep.measures.snr import measure
from prep.recordings import Recordings, View
from prep.stages.listen import Track, frame_levels_db, listen

RATE_HZ = 24_000


def seen(*parts, start_s=0.0, end_s=None):
    track = track_of(parts)
    return Seen(clip_of(bare_copy(track.n_samples), start_s, end_s), silence(0, RATE_HZ), track)


def heard(samples, speech):
    """A view of all of `samples`, speech where the frames of `speech` say so."""
    level = frame_levels_db(samples, 240)
    prob = np.where(speech, 0.95, 0.02).astype(np.float32)
    return Seen(clip_of(bare_copy(len(samples))), samples, Track(prob, level, len(samples), RATE_HZ))


@pytest.mark.parametrize("snr_db", [5.0, 15.0, 30.0, 45.0])
def test_bursts_in_noise_of_known_level(snr_db):
    on = np.repeat([1, 0] * 8, RATE_HZ // 2)
    bursts = (talk(8.0, RATE_HZ, noise_rms=0.0) * on).astype(np.float32)
    power = float(np.mean(np.square(bursts[on > 0], dtype=np.float64)))
    mixed = bursts + noise(8.0, RATE_HZ, (power / 10 ** (snr_db / 10)) ** 0.5, seed=9)
    assert measure(heard(mixed, on[::240] > 0))["snr_db"] == pytest.approx(snr_db, abs=1.0)


@pytest.mark.data
@pytest.mark.parametrize("snr_db", [10.0, 20.0, 30.0])
def test_real_speech_in_noise_of_known_level(data, tmp_path, store, listening, snr_db):
    samples, rate_hz = read_mono(data / "long" / "ljspeech_LJ001.flac")
    clean = resample(samples[: 20 * rate_hz], rate_hz, RATE_HZ)
    speech = listen(copy_of(tmp_path, clean), listening, store).prob >= 0.5
    power = float(np.mean(10 ** (frame_levels_db(clean, 240)[speech].astype(np.float64) / 10)))
    mixed = clean + noise(len(clean) / RATE_HZ, RATE_HZ, (power / 10 ** (snr_db / 10)) ** 0.5, seed=9)
    with Recordings(listening, store) as recordings:
        found = measure(View(clip_of(copy_of(tmp_path, mixed)), recordings))
    assert found["snr_db"] == pytest.approx(snr_db, abs=1.5)


def test_levels_make_the_ratio():
    assert measure(seen((3, 0.9, -20), (1, 0.1, -50), (3, 0.9, -20)))["snr_db"] == pytest.approx(30, abs=0.01)


def test_noise_as_loud_as_the_speech_fails_low_and_stays_finite():
    assert measure(seen((3, 0.9, -40), (1, 0.1, -40), (3, 0.9, -40)))["snr_db"] == pytest.approx(-30)


@pytest.mark.parametrize(
    "parts",
    [
        [(8, 0.9, -20)],  # no pause
        [(3, 0.9, -20), (0.14, 0.1, -50), (3, 0.9, -20)],  # 0.08 s is left of it beyond the guards
        [(3, 0.9, -20), (1, 0.1, -120), (3, 0.9, -20)],  # a pause a gate made
        [(8, 0.1, -50)],  # no speech
    ],
    ids=["no pause", "too short a pause", "digital silence", "no speech"],
)
def test_what_cannot_be_known_is_none(parts):
    assert measure(seen(*parts)) == {"snr_db": None}


def test_a_pause_near_the_clip_counts_and_a_far_one_does_not():
    parts = [(2, 0.9, -20), (1, 0.1, -50), (20, 0.9, -20)]
    assert measure(seen(*parts, start_s=4, end_s=9))["snr_db"] == pytest.approx(30, abs=0.01)
    assert measure(seen(*parts, start_s=12, end_s=18))["snr_db"] is None


def test_only_the_speech_of_the_clip_counts():
    parts = [(4, 0.9, -10), (1, 0.1, -60), (4, 0.9, -30)]
    assert measure(seen(*parts, start_s=4.5, end_s=9))["snr_db"] == pytest.approx(30, abs=0.01)
