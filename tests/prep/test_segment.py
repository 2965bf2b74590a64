"""Cutting at pauses: the tiles cover everything, and the cuts lie where nobody speaks."""

from itertools import pairwise

import numpy as np
import pytest
from audio_kit import track_of
from hypothesis import given
from hypothesis import strategies as st

from prep.stages.segment import Segmenting, pauses, regions, tile

SPEECH, PAUSE = (0.95, -20.0), (0.05, -60.0)
HARD_MAX = 30 * 24_000


def spoken(*seconds):
    """A track of speech and pauses in turn, speech first; 0 leaves a part out."""
    return track_of([(n_s, *(PAUSE if i % 2 else SPEECH)) for i, n_s in enumerate(seconds) if n_s])


def tiles_s(track, settings=None):
    return [
        (piece.start / track.rate_hz, piece.stop / track.rate_hz) for piece in tile(track, settings or Segmenting())
    ]


def check_cover(pieces, n_samples, hard_max=HARD_MAX):
    assert pieces[0].start == 0
    assert pieces[-1].stop == n_samples
    assert all(a.stop == b.start for a, b in pairwise(pieces))
    assert all(0 < piece.stop - piece.start <= hard_max for piece in pieces)


parts = st.tuples(
    st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 8.0, 15.0, 31.0, 75.0]),
    st.sampled_from([0.0, 0.2, 0.4, 0.6, 1.0]),
    st.sampled_from([-120.0, -60.0, -40.0, -25.0, -15.0]),
)


@given(st.lists(parts, min_size=1, max_size=25), st.integers(0, 239))
def test_tiles_cover_everything_once_and_none_is_too_long(made, cut_off):
    track = track_of(made)
    track = track_of(made, n_samples=track.n_samples - cut_off)
    check_cover(tile(track, Segmenting()), track.n_samples)


@given(st.lists(parts, min_size=1, max_size=15), st.floats(0, 60), st.floats(0.1, 60))
def test_tiles_cover_everything_around_a_part_and_do_not_cross_its_ends(made, start_s, n_s):
    track = track_of(made)
    part = (round(start_s * 24_000), round((start_s + n_s) * 24_000))
    if part[0] >= track.n_samples:
        return
    pieces = tile(track, Segmenting(), part)
    check_cover(pieces, track.n_samples)
    marks = [0, *(piece.stop for piece in pieces)]
    stop = min(part[1], track.n_samples)
    assert any(part[0] <= mark <= part[0] + 48_000 for mark in marks)
    assert any(stop - 48_000 <= mark <= stop for mark in marks)


@given(st.lists(parts, min_size=1, max_size=15))
def test_other_lengths_are_kept_to(made):
    settings = Segmenting(min_s=1.0, ideal_s=4.0, max_s=8.0, hard_max_s=10.0)
    track = track_of(made)
    check_cover(tile(track, settings), track.n_samples, 10 * 24_000)


@given(st.lists(st.floats(3.0, 9.0), min_size=1, max_size=8), st.floats(0.4, 1.5))
def test_cuts_lie_in_pauses_and_only_there(lengths, pause_s):
    seconds = [x for n_s in lengths for x in (n_s, pause_s)][:-1]
    track = spoken(*seconds)
    marks = np.cumsum([0, *(round(x, 2) for x in seconds)])
    for piece in tile(track, Segmenting()):
        assert not piece.forced
        if piece.stop != track.n_samples:
            i = int(np.searchsorted(marks, piece.stop / 24_000, side="right"))
            assert i % 2 == 0  # in the second, fourth, ... part


def test_a_pause_is_cut_in_the_middle_of_its_quietest_160_ms():
    track = track_of([(7, 0.95, -20), (0.3, 0.05, -50), (0.16, 0.05, -70), (0.2, 0.05, -50), (7, 0.95, -20)])
    assert tiles_s(track) == [(0, 7.38), (7.38, 14.66)]


def test_an_even_pause_is_cut_inside_the_margins():
    (cut,) = {stop for _, stop in tiles_s(spoken(7, 0.6, 7))} - {14.6}
    assert 7.08 <= cut <= 7.52


def test_short_pauses_stay_inside():
    assert tiles_s(spoken(4, 0.25, 4)) == [(0, 8.25)]


def test_clips_come_near_the_ideal_length():
    track = spoken(*[2.0, 0.5] * 19, 2.0)  # pauses every 2.5 s
    lengths = [stop - start for start, stop in tiles_s(track)]
    assert len(lengths) == 6
    assert all(7 <= length <= 10.5 for length in lengths)


def test_a_long_pause_is_a_clip_of_its_own_without_speech():
    pieces = tile(spoken(6, 5, 6), Segmenting())
    assert [(piece.start / 24_000, piece.stop / 24_000, piece.speech) for piece in pieces] == [
        (0, pytest.approx(6.43, abs=0.02), True),
        (pytest.approx(6.43, abs=0.02), pytest.approx(10.57, abs=0.02), False),
        (pytest.approx(10.57, abs=0.02), 17, True),
    ]


def test_silence_at_both_ends_is_set_apart():
    pieces = tile(spoken(0, 3, 6, 3), Segmenting())
    assert [piece.speech for piece in pieces] == [False, True, False]
    assert pieces[1].start / 24_000 == pytest.approx(2.57, abs=0.02)
    assert pieces[1].stop / 24_000 == pytest.approx(9.43, abs=0.02)


def test_speech_without_a_pause_is_cut_by_force():
    pieces = tile(spoken(40), Segmenting())
    check_cover(pieces, 40 * 24_000)
    assert len(pieces) == 2
    assert all(piece.forced and piece.speech for piece in pieces)


def test_thirty_seconds_without_a_pause_need_no_force():
    (piece,) = tile(spoken(30), Segmenting())
    assert (piece.start, piece.stop, piece.forced) == (0, HARD_MAX, False)


def test_force_takes_the_longest_short_pause():
    pieces = tile(spoken(14, 0.15, 6, 0.25, 20), Segmenting())
    assert [piece.stop / 24_000 for piece in pieces] == [pytest.approx(20.275, abs=0.1), 40.4]


def test_force_takes_the_quietest_place_where_there_is_no_pause_at_all():
    track = track_of([(18, 0.95, -20), (0.16, 0.95, -34), (22, 0.95, -20)])
    assert tiles_s(track)[0][1] == pytest.approx(18.08, abs=0.02)


@pytest.mark.parametrize(
    "n_s",
    [0.01, 0.29, 0.3, 1.0, 29.99, 30.0, 100.0],
)
def test_a_recording_without_speech_is_tiled_without(n_s):
    track = track_of([(n_s, *PAUSE)])
    pieces = tile(track, Segmenting())
    check_cover(pieces, track.n_samples)
    assert not any(piece.speech for piece in pieces)
    assert len(pieces) == -(-track.n_samples // HARD_MAX)


@pytest.mark.parametrize("n_s", [0.01, 0.05, 0.2, 1.0])
def test_a_very_short_recording_is_one_clip(n_s):
    assert tiles_s(spoken(n_s)) == [(0, n_s)]


def test_speech_to_the_last_sample():
    track = track_of([(3, *PAUSE), (6, *SPEECH)], n_samples=9 * 24_000 - 100)
    assert tile(track, Segmenting())[-1].stop == 9 * 24_000 - 100


def test_a_part_is_cut_out_at_the_pauses_near_its_ends():
    track = spoken(6, 1, 6, 1, 6, 1, 6)
    pieces = tile(track, Segmenting(), (5 * 24_000, 21 * 24_000))
    marks = {piece.stop / 24_000 for piece in pieces}
    assert any(6 <= mark <= 7 for mark in marks)
    assert any(20 <= mark <= 21 for mark in marks)


# Regions


def frames_of(*prob):
    return regions(np.array(prob, np.float32), Segmenting(pad_s=0.0, min_silence_s=0.02, min_speech_s=0.02))


def test_speech_begins_at_the_upper_threshold_and_ends_at_the_lower():
    assert frames_of(0.4, 0.5, 0.6, 0.4, 0.36, 0.3, 0.4, 0.3) == [(1, 5)]


def test_a_short_dip_is_no_end_and_a_blip_no_beginning():
    assert frames_of(0.9, 0.9, 0.1, 0.9, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1) == [(0, 5)]


def test_padding_stays_inside_and_joins_what_touches():
    prob = np.array([0.9] * 20 + [0.1] * 12 + [0.9] * 20 + [0.1] * 5, np.float32)
    assert regions(prob, Segmenting(min_silence_s=0.1, pad_s=0.03)) == [(0, 23), (29, 55)]
    assert regions(prob, Segmenting(min_silence_s=0.1, pad_s=0.06)) == [(0, 57)]


def test_no_speech_no_regions_and_one_pause():
    track = track_of([(2, *PAUSE)])
    assert regions(track.prob, Segmenting()) == []
    (pause,) = pauses(track, Segmenting())
    assert (pause.start, pause.stop) == (0, 48_000)


@given(st.lists(parts, min_size=1, max_size=20))
def test_pauses_are_in_order_with_cuts_inside(made):
    track = track_of(made)
    found = pauses(track, Segmenting())
    assert all(a.stop < b.start for a, b in pairwise(found))
    for pause in found:
        assert pause.start <= pause.cut <= pause.stop
        assert pause.start <= pause.quiet_start <= pause.quiet_stop <= pause.stop
