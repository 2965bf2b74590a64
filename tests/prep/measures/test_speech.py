"""How much of a clip is speech."""

import pytest
from audio_kit import Seen, bare_copy, clip_of, silence, track_of

from prep.measures.speech import measure

TRACK = track_of([(3, 0.9, -20), (1, 0.1, -60), (4, 0.5, -20), (2, 0.49, -40)])


def of(start_s, end_s):
    return measure(Seen(clip_of(bare_copy(), start_s, end_s), silence(0, 24_000), TRACK))


def test_the_share_of_speech_frames():
    assert of(0, 10) == {"duration_s": 10, "speech_ratio": pytest.approx(0.7), "speech_s": pytest.approx(7)}
    assert of(2, 4) == {"duration_s": 2, "speech_ratio": pytest.approx(0.5), "speech_s": pytest.approx(1)}


def test_no_speech_and_all_speech():
    assert of(3, 4)["speech_ratio"] == 0
    assert of(8, 10)["speech_ratio"] == 0
    assert of(4, 8)["speech_ratio"] == 1


def test_a_clip_shorter_than_a_frame():
    assert of(1.0, 1.004) == {"duration_s": pytest.approx(0.004), "speech_ratio": 1, "speech_s": pytest.approx(0.004)}
