"""Whether a clip's edges lie in a pause."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, buzz, clip_of, noise, silence, track_of

from prep.audio import read_mono, resample
from prep.measures.edges import measure, quiet_around_s, voiced_ratio

RATE_HZ = 24_000
SPEECH, PAUSE = (0.95, -20.0), (0.05, -60.0)
TRACK = track_of([(0.2, *PAUSE), (4, *SPEECH), (0.3, *PAUSE), (4, *SPEECH), (0.1, *PAUSE)])


def quiet_ms(start_s, end_s, track=TRACK):
    clip = clip_of(bare_copy(track.n_samples), start_s, end_s)
    return measure(Seen(clip, silence(end_s - start_s, RATE_HZ), track))["edge_quiet_ms"]


def test_the_whole_pause_an_edge_lies_in_counts():
    assert quiet_ms(0.1, 4.3) == pytest.approx(200)
    assert quiet_ms(4.4, 8.55) == pytest.approx(100)


@pytest.mark.parametrize("position_s", [4.2, 4.25, 4.35, 4.49])
def test_it_does_not_matter_where_in_the_pause_the_cut_is(position_s):
    assert quiet_around_s(TRACK, round(position_s * RATE_HZ)) == pytest.approx(0.3)


def test_an_edge_in_speech_has_none():
    assert quiet_ms(1.0, 4.3) == 0
    assert quiet_ms(0.1, 3.0) == 0


def test_the_worse_edge_counts():
    assert quiet_ms(0.0, 8.55) == pytest.approx(100)


def ends(track, start_s, end_s):
    clip = clip_of(bare_copy(track.n_samples), start_s, end_s)
    return measure(Seen(clip, silence(end_s - start_s, RATE_HZ), track))


def test_a_recordings_own_ends_are_not_cuts_and_are_judged_by_their_level():
    measured = ends(TRACK, 0.0, 8.6)
    assert "edge_quiet_ms" not in measured
    assert measured["own_end_below_db"] == pytest.approx(40.0, abs=0.1)
    assert "own_end_below_db" not in ends(TRACK, 4.3, 8.55)


def test_a_recording_that_breaks_off_in_speech_shows_it():
    track = track_of([(0.2, *PAUSE), (4, *SPEECH)])
    assert ends(track, 0.0, 4.2)["own_end_below_db"] == pytest.approx(0.0, abs=0.1)
    assert ends(track, 0.1, 4.2)["own_end_below_db"] == pytest.approx(0.0, abs=0.1)


def test_a_tightly_trimmed_recording_is_no_broken_one():
    track = track_of([(0.01, *PAUSE), (4, *SPEECH), (0.03, *PAUSE)])
    assert ends(track, 0.0, 4.04)["own_end_below_db"] == pytest.approx(40.0, abs=0.1)


def test_a_recording_without_speech_has_no_edges_to_call_safe():
    track = track_of([(4, *PAUSE)])
    assert quiet_ms(1.0, 3.0, track) == 0
    assert ends(track, 0.0, 4.0)["own_end_below_db"] == 0.0


def test_silent_edges_are_not_voiced():
    assert voiced_ratio(np.concatenate([silence(0.5, RATE_HZ), buzz(2, RATE_HZ), silence(0.5, RATE_HZ)]), RATE_HZ) == 0
    assert voiced_ratio(silence(1, RATE_HZ), RATE_HZ) == 0
    assert voiced_ratio(silence(0, RATE_HZ), RATE_HZ) == 0
    assert voiced_ratio(silence(0.004, RATE_HZ), RATE_HZ) == 0


@pytest.mark.data
@pytest.mark.parametrize("cut", ["head", "tail"])
def test_an_edge_in_a_word_is_voiced(data, cut):
    samples, rate_hz = read_mono(data / "asr" / "ljspeech" / "LJ001-0001.wav")
    voice = resample(samples, rate_hz, RATE_HZ)
    loud = voice[round(2.0 * RATE_HZ) : round(3.0 * RATE_HZ)]
    level = np.convolve(np.abs(loud), np.ones(2400) / 2400, "valid")
    at = round(2.0 * RATE_HZ) + int(np.argmax(level)) + 1200
    part = voice[at:] if cut == "head" else voice[:at]
    assert voiced_ratio(part, RATE_HZ) > 0.9


def test_soft_noise_is_not_voiced():
    assert voiced_ratio(noise(2.0, RATE_HZ, 1e-4), RATE_HZ) == 0
