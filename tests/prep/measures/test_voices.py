"""Persons across recordings: grouping, ids, what is never joined."""

import itertools

import numpy as np
import pytest

from prep.measures.voices import Talker, name_of, similarity, voices_of


def print_of(angle_deg, dims=8):
    """A unit vector at an angle in the plane of the first two dimensions."""
    out = np.zeros(dims, np.float32)
    out[0], out[1] = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return out


def talker(recording, number, seconds, angle):
    return Talker(recording, number, seconds, print_of(angle))


ANN = [talker("r1", 0, 60.0, 0), talker("r2", 1, 30.0, 10)]
BOB = [talker("r2", 0, 40.0, 90), talker("r3", 0, 5.0, 85)]


def test_who_is_who():
    found = voices_of([*ANN, *BOB], 0.5)
    assert [(voice.id, voice.speech_s) for voice in found] == [("A", 90.0), ("B", 45.0)]
    assert [t.recording for t in found[0].talkers] == ["r1", "r2"]
    assert similarity(found[0].print, print_of(3.3)) > 0.999  # weighted by seconds


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_same_in_any_order(order):
    talkers = [*ANN, *BOB]
    assert voices_of([talkers[i] for i in order], 0.5) == voices_of(talkers, 0.5)


def test_two_speakers_of_one_recording_are_two_persons_however_alike():
    found = voices_of([talker("r1", 0, 10.0, 0), talker("r1", 1, 9.0, 1)], 0.5)
    assert len(found) == 2


def test_without_a_voiceprint_a_person_of_their_own():
    missing = Talker("r4", 0, 100.0, np.zeros(8, np.float32))
    found = voices_of([*ANN, missing], 0.1)
    assert [(voice.id, len(voice.talkers)) for voice in found] == [("A", 1), ("B", 2)]
    assert not found[0].print.any()


def test_nobody():
    assert voices_of([], 0.5) == ()


def test_ids_go_on_after_z():
    assert [name_of(n) for n in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


def test_equal_minutes_are_told_apart_by_recording():
    found = voices_of([talker("r2", 0, 10.0, 90), talker("r1", 0, 10.0, 0)], 0.5)
    assert [voice.talkers[0].recording for voice in found] == ["r1", "r2"]
