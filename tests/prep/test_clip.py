"""Clips are values: what is added to one never shows in another."""

import pickle
from dataclasses import FrozenInstanceError

import pytest
from audio_kit import bare_copy, clip_of

from prep.clip import Reason

LOUD = Reason("lufs", -10.0, -16.0, "LUFS")
NOISY = Reason("snr_db", 12.0, 20.0, "dB")


def test_measures_are_added_to_a_copy_and_later_ones_win():
    first = clip_of(bare_copy()).with_measures({"snr_db": 12.0, "lufs": None})
    second = first.with_measures({"lufs": -20.0})
    assert dict(first.measures) == {"snr_db": 12.0, "lufs": None}
    assert dict(second.measures) == {"snr_db": 12.0, "lufs": -20.0}


def test_measures_cannot_be_changed_from_either_side():
    given = {"snr_db": 12.0}
    clip = clip_of(bare_copy()).with_measures(given)
    given["snr_db"] = 99.0
    assert clip.measures["snr_db"] == 12.0
    with pytest.raises(TypeError, match="assignment"):
        clip.measures["snr_db"] = 99.0


def test_reasons_are_appended_and_the_first_stays_first():
    clip = clip_of(bare_copy())
    rejected = clip.with_reasons((LOUD,)).with_reasons((NOISY,))
    assert clip.alive
    assert not rejected.alive
    assert rejected.reasons == (LOUD, NOISY)


def test_a_clip_is_frozen():
    with pytest.raises(FrozenInstanceError):
        clip_of(bare_copy()).text = "other"


def test_a_clip_travels_between_processes():
    clip = clip_of(bare_copy()).with_measures({"snr_db": 12.0})
    assert pickle.loads(pickle.dumps(clip)) == clip
