"""Music and singing of a clip: what is counted, what the network is given, and the sample data."""

from pathlib import Path

import numpy as np
import pytest
from audio_kit import bare_copy, clip_of, copy_of, noise, silence, source_of, talk

from prep.audio import read_mono, resample
from prep.measures.music import SPEECH_DBFS, Music, measure_clip, scaled
from prep.models.aed import OmniKinds, open_aed
from prep.recordings import Recordings
from prep.stage import apply
from prep.stages.ingest import Ingest, ingest
from prep.stages.listen import Track, frame_levels_db

RATE_HZ = 24_000
SAMPLES = Path(__file__).parents[3] / "sample_data"


class Kinds:
    """Stands for the network: music where the signal is not zero; remembers what it was given."""

    rate_hz, hop = 16_000, 160

    def hear(self, samples):
        self.samples = samples
        n = -(-len(samples) // 160)
        loud = np.abs(np.pad(samples, (0, n * 160 - len(samples)))).reshape(n, 160).max(axis=1) > 1e-6
        return np.stack([0 * loud, 0 * loud, loud], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def kinds():
    return OmniKinds(open_aed())


@pytest.fixture
def recordings(listening, store):
    with Recordings(listening, store) as opened:
        yield opened


def test_the_share_of_the_clip_counts_not_what_lies_around(tmp_path, recordings):
    parts = [noise(3.0, RATE_HZ), silence(3.0, RATE_HZ), noise(1.0, RATE_HZ), silence(3.0, RATE_HZ)]
    copy = copy_of(tmp_path, np.concatenate(parts))
    found = [measure_clip(clip_of(copy, a, b), recordings, Kinds()) for a, b in ((4, 8), (3.5, 5.5), (0, 3))]
    assert [f["music_ratio"] for f in found] == pytest.approx([0.25, 0, 1], abs=0.02)
    assert [f["singing_ratio"] for f in found] == [0, 0, 0]


def test_a_clip_is_heard_with_what_lies_around_it(tmp_path, recordings):
    network = Kinds()
    copy = copy_of(tmp_path, noise(10.0, RATE_HZ))
    measure_clip(clip_of(copy, 4.0, 6.0), recordings, network)
    assert len(network.samples) == pytest.approx(5.2 * 16_000, abs=2)
    measure_clip(clip_of(copy, 0.0, 10.0), recordings, network)
    assert len(network.samples) == 10 * 16_000


@pytest.mark.parametrize("amplitude", [0.02, 0.2, 0.9])
def test_speech_is_brought_to_one_level(amplitude):
    samples = amplitude * talk(4.0, RATE_HZ)
    level = frame_levels_db(samples, 240)
    track = Track(np.where(np.arange(400) < 200, 0.9, 0.1).astype(np.float32), level, len(samples), RATE_HZ)
    got = scaled(samples, track, 0, len(samples))[: 2 * RATE_HZ]
    assert 10 * np.log10(np.mean(np.square(got, dtype=np.float64))) == pytest.approx(SPEECH_DBFS, abs=0.1)


def test_an_empty_room_is_not_made_loud():
    hiss = noise(2.0, RATE_HZ, 1e-5)
    track = Track(np.zeros(200, np.float32), frame_levels_db(hiss, 240), len(hiss), RATE_HZ)
    assert np.abs(scaled(hiss, track, 0, len(hiss))).max() == pytest.approx(np.abs(hiss).max() * 10**1.5, rel=1e-3)


def test_silence_has_no_music(tmp_path, recordings, kinds):
    copy = copy_of(tmp_path, silence(2.0, RATE_HZ))
    assert measure_clip(clip_of(copy), recordings, kinds) == {"music_ratio": 0.0, "singing_ratio": 0.0}


def test_a_tiny_clip_has_a_value(tmp_path, recordings, kinds):
    copy = copy_of(tmp_path, talk(2.0, RATE_HZ))
    found = measure_clip(clip_of(copy, 1.0, 1.001), recordings, kinds)
    assert found["music_ratio"] in (0.0, 1.0)


def test_no_samples_is_unknown():
    class Nothing:
        def read(self, copy, start, stop):
            return silence(0, RATE_HZ)

    clip = clip_of(bare_copy())
    assert measure_clip(clip, Nothing(), Kinds()) == {"music_ratio": None, "singing_ratio": None}


@pytest.mark.data
def test_music_under_a_voice_is_found_and_the_voice_alone_is_none(tmp_path, recordings, store, data):
    voice, rate_hz = read_mono(data / "asr" / "ljspeech" / "LJ001-0001.wav")
    voice = resample(voice, rate_hz, RATE_HZ)
    guitar, rate_hz = read_mono(data / "noise" / "music" / "acoustic_guitar.wav")
    guitar = np.resize(resample(guitar, rate_hz, RATE_HZ), len(voice))
    quieter = guitar * np.std(voice) / np.std(guitar) * 10 ** (-10 / 20)
    clips = [clip_of(copy_of(tmp_path, x.astype(np.float32))) for x in (voice, voice + quieter)]
    alone, mixed = apply(Music(recordings, None, "w"), clips, store)
    assert alone.measures["music_ratio"] < 0.02
    assert mixed.measures["music_ratio"] > 0.8
    assert mixed.stages[-1] == "music@1"


@pytest.mark.parametrize(
    ("name", "musical"),
    [
        ("music_under.opus", True),
        ("talk.mp4", False),
        ("one_side.wav", False),
        ("two_voices.flac", False),
        ("long_pauses.webm", False),
        ("mandarin.m4a", False),
        ("noisy_speech.flac", False),
        ("phone.mp3", False),
    ],
)
def test_sample_data(recordings, store, kinds, name, musical):
    copies = ingest(source_of(SAMPLES / name), Ingest(), store)
    found = measure_clip(clip_of(copies[0]), recordings, kinds)
    assert (found["music_ratio"] > 0.5) if musical else (found["music_ratio"] < 0.05)
    assert found["singing_ratio"] < 0.3
