"""Music and singing of a clip: what is counted, and the sample data."""

from pathlib import Path

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, copy_of, silence, source_of, track_of

from prep.audio import read_mono, resample
from prep.measures import music
from prep.measures.base import Check
from prep.recordings import Recordings, View
from prep.stage import apply
from prep.stages.ingest import Ingest, ingest
from prep.stages.listen import Track

RATE_HZ = 24_000
SAMPLES = Path(__file__).parents[3] / "sample_data"


def heard(probs, singing, start_s=0.0, end_s=None):
    """The measures of a stretch of a recording with these probabilities per 10 ms."""
    n = len(probs) * 240
    flat = np.zeros(len(probs), np.float32)
    track = Track(flat, flat - 30, n, RATE_HZ, np.float32(singing), np.float32(probs))
    clip = clip_of(bare_copy(n), start_s, n / RATE_HZ if end_s is None else end_s)
    return music.measure(Seen(clip, silence(0, RATE_HZ), track))


@pytest.fixture
def recordings(listening, store):
    with Recordings(listening, store) as opened:
        yield opened


@pytest.mark.parametrize(("start_s", "end_s", "ratio"), [(4, 8, 0.25), (3.5, 5.5, 0), (0, 3, 1), (0, 10, 0.4)])
def test_the_share_of_the_clip_counts_not_what_lies_around(start_s, end_s, ratio):
    probs = np.zeros(1000)
    probs[:300] = 0.51
    probs[600:700] = 1.0
    probs[500:550] = 0.5  # not over
    assert heard(probs, np.zeros(1000), start_s, end_s)["music_ratio"] == pytest.approx(ratio)


def test_singing_is_counted_by_itself():
    assert heard(np.zeros(100), np.repeat([0.9, 0.1], 50)) == {"music_ratio": 0.0, "singing_ratio": 0.5}


def test_a_tiny_clip_has_a_value():
    assert heard(np.ones(100), np.zeros(100), 0.5, 0.501)["music_ratio"] == 1.0


def test_a_track_nobody_listened_to_for_music_is_unknown():
    track = track_of([(1, 0.9, -20)])
    seen = Seen(clip_of(bare_copy(24_000)), silence(1, RATE_HZ), track)
    assert music.measure(seen) == {"music_ratio": None, "singing_ratio": None}


@pytest.mark.data
def test_music_under_a_voice_is_found_and_the_voice_alone_is_none(tmp_path, recordings, store, data):
    voice, rate_hz = read_mono(data / "asr" / "ljspeech" / "LJ001-0001.wav")
    voice = resample(voice, rate_hz, RATE_HZ)
    guitar, rate_hz = read_mono(data / "noise" / "music" / "acoustic_guitar.wav")
    guitar = np.resize(resample(guitar, rate_hz, RATE_HZ), len(voice))
    quieter = guitar * np.std(voice) / np.std(guitar) * 10 ** (-10 / 20)
    clips = [clip_of(copy_of(tmp_path, x.astype(np.float32))) for x in (voice, voice + quieter)]
    alone, mixed = apply(Check("music", "2", music.measure, recordings), clips, store)
    assert alone.measures["music_ratio"] < 0.02
    assert mixed.measures["music_ratio"] > 0.8
    assert mixed.stages[-1] == "music@2"


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
def test_sample_data(recordings, store, name, musical):
    copies = ingest(source_of(SAMPLES / name), Ingest(), store)
    found = music.measure(View(clip_of(copies[0]), recordings))
    assert (found["music_ratio"] > 0.5) if musical else (found["music_ratio"] < 0.05)
    assert found["singing_ratio"] < 0.3
