"""Speech probability and level over time."""

import numpy as np
import pytest
from audio_kit import copy_of, noise, silence, talk, tone, track_of

from prep.audio import read_mono, resample
from prep.models.vad import SileroStream, open_silero
from prep.stages.listen import (
    SILENT_DB,
    Listen,
    frame_levels_db,
    listen,
    power_db,
    speech_level_db,
)
from prep.stages.listen import track_of as track_of_blocks


@pytest.fixture(scope="module")
def session(silero_path):
    return open_silero(silero_path)


def heard_in_blocks(session, samples, block):
    stream = SileroStream(session)
    parts = [stream.push(samples[at : at + block]) for at in range(0, len(samples), block)]
    return np.concatenate([*parts, stream.push(samples[:0], last=True)])


@pytest.mark.parametrize("block", [1, 63, 511, 512, 513, 5000, 16_001])
def test_speech_heard_in_blocks_is_the_whole(session, block):
    samples = talk(1.5 if block == 1 else 6.0, 16_000, noise_rms=0.01)
    whole = SileroStream(session).push(samples, last=True)
    got = heard_in_blocks(session, samples, block)
    assert len(whole) == -(-len(samples) // 512)
    assert got == pytest.approx(whole, abs=2e-6)
    assert whole.std() > 0.001  # not one number throughout


def test_no_sound_gives_no_frames(session):
    assert len(SileroStream(session).push(silence(0, 16_000), last=True)) == 0


@pytest.mark.data
def test_speech_is_heard_where_it_is(session, data):
    voice, rate_hz = read_mono(data / "media" / "formats" / "jfk_f32.wav")
    samples = np.concatenate([noise(3.0, 16_000, 1e-3), resample(voice, rate_hz, 16_000), noise(3.0, 16_000, 1e-3)])
    prob = SileroStream(session).push(samples, last=True)
    step = 512 / 16_000
    assert prob[: int(2.9 / step)].max() < 0.3
    assert prob[-int(2.5 / step) :].max() < 0.3
    assert np.mean(prob[int(3.0 / step) : int(10.9 / step)] >= 0.5) > 0.5  # slow, with long pauses


@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
@pytest.mark.parametrize("n", [1, 239, 240, 241, 24_000, 24_001, 245_003])
def test_a_track_has_a_frame_for_every_10_ms_begun(tmp_path, store, listening, rate_hz, n):
    copy = copy_of(tmp_path, noise(n / rate_hz, rate_hz)[:n], rate_hz)
    track = listen(copy, listening, store)
    assert len(track.prob) == len(track.level_db) == -(-n // (rate_hz // 100))
    assert (track.n_samples, track.rate_hz, track.frame) == (n, rate_hz, rate_hz // 100)


def test_levels_are_those_of_the_samples(tmp_path, store, listening):
    samples = np.concatenate([tone(1.0, 24_000, 1000.0, 0.5), silence(1.0, 24_000), tone(1.0, 24_000, 1000.0, 0.01)])
    track = listen(copy_of(tmp_path, samples), listening, store)
    assert track.level_db[:100] == pytest.approx(-9.03, abs=0.05)
    assert track.level_db[100:200] == pytest.approx(SILENT_DB)
    assert track.level_db[200:] == pytest.approx(-43.01, abs=0.05)


def test_the_rest_shorter_than_a_frame_has_its_own_level():
    levels = frame_levels_db(np.concatenate([np.full(480, 0.1), np.full(10, 1.0)]).astype(np.float32), 240)
    assert levels == pytest.approx([-20, -20, 0], abs=1e-4)


def test_a_track_made_in_blocks_is_the_whole(ear):
    samples = talk(20.0, 24_000)
    whole = track_of_blocks([samples], 24_000, ear)
    small = track_of_blocks([samples[at : at + 2400] for at in range(0, len(samples), 2400)], 24_000, ear)
    assert np.array_equal(whole.level_db, small.level_db)
    for name in ("prob", "singing", "music"):
        assert getattr(small, name) == pytest.approx(getattr(whole, name), abs=1e-4)
    assert whole.prob.std() > 0.01


def test_threads_change_nothing(ear):
    blocks = np.split(talk(60.0, 24_000), 6)
    one, two = (track_of_blocks(blocks, 24_000, ear, threads) for threads in (1, 2))
    for name in ("prob", "singing", "music", "level_db"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_the_track_of_a_recording_is_made_once(tmp_path, store, listening):
    def gone():
        raise LookupError("no such weights")

    copy = copy_of(tmp_path, talk(2.0, 24_000))
    first = listen(copy, listening, store)
    again = listen(copy, Listen(gone, listening.weights_sha256, threads=2), store)
    for name in ("prob", "level_db", "singing", "music"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    with pytest.raises(LookupError, match="no such weights"):
        listen(copy, Listen(gone, "other weights"), store)


def test_digital_silence_is_no_speech_and_no_quiet(tmp_path, store, listening):
    track = listen(copy_of(tmp_path, silence(5.0, 24_000)), listening, store)
    assert track.prob.max() < 0.5
    assert track.level_db == pytest.approx(SILENT_DB)
    assert not track.quiet.any()


# What is read off a track


def test_frames_lie_wholly_inside():
    track = track_of([(1.0, 0, -60)])
    assert track.frames(0, 24_000) == slice(0, 100)
    assert track.frames(1, 24_000 - 1) == slice(1, 99)
    assert track.frames(250, 260) == slice(2, 3)  # at least one


def test_power_is_averaged_not_decibels():
    assert power_db(np.array([0.0, -100.0], np.float32)) == pytest.approx(-3.01, abs=0.01)
    assert power_db(np.zeros(0, np.float32)) == SILENT_DB


def test_the_level_of_speech_is_that_of_the_speech_near():
    track = track_of([(10, 0.9, -20), (20, 0.1, -70), (10, 0.9, -40)])
    level = speech_level_db(track)
    assert level[500] == pytest.approx(-20, abs=0.01)
    assert level[-500] == pytest.approx(-40, abs=0.01)
    overall = 10 * np.log10((10**-2 + 10**-4) / 2)
    assert level[2000] == pytest.approx(overall, abs=0.01)  # none within 5 s: all the recording's


def test_without_speech_there_is_no_level_to_be_under():
    assert np.isposinf(speech_level_db(track_of([(3, 0.2, -20)]))).all()


def quiet_frames(*parts):
    return np.flatnonzero(track_of(parts).quiet)


def test_quiet_is_20_db_under_speech():
    assert quiet_frames((2, 0.9, -20), (0.5, 0.1, -45), (2, 0.9, -20)).tolist() == list(range(200, 250))
    assert quiet_frames((2, 0.9, -20), (0.5, 0.1, -35), (2, 0.9, -20)).size == 0


def test_quiet_is_no_speech_however_soft():
    assert quiet_frames((2, 0.9, -20), (0.5, 0.6, -60), (2, 0.9, -20)).size == 0


def test_quiet_lasts_80_ms():
    assert quiet_frames((2, 0.9, -20), (0.07, 0.1, -60), (2, 0.9, -20)).size == 0
    assert quiet_frames((2, 0.9, -20), (0.08, 0.1, -60), (2, 0.9, -20)).tolist() == list(range(200, 208))


def test_a_click_breaks_a_quiet_stretch():
    found = quiet_frames((2, 0.9, -20), (0.2, 0.1, -70), (0.01, 0.1, -25), (0.2, 0.1, -70), (2, 0.9, -20))
    assert found.tolist() == [*range(200, 220), *range(221, 241)]
