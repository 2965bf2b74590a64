"""Constant offset."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, silence, talk, track_of

from prep.measures.dc import measure

RATE_HZ = 24_000


def of(samples):
    return measure(Seen(clip_of(bare_copy(max(1, len(samples)))), samples, track_of([(1, 0, -60)])))["dc_offset"]


@pytest.mark.parametrize("offset", [0.05, -0.05])
def test_an_offset_is_found_under_speech(offset):
    assert of(talk(5.0, RATE_HZ) + np.float32(offset)) == pytest.approx(0.05, abs=1e-3)


def test_speech_and_silence_have_none():
    assert of(talk(5.0, RATE_HZ)) < 1e-3
    assert of(silence(1.0, RATE_HZ)) == 0


def test_one_sample_and_none():
    assert of(np.array([0.25], np.float32)) == 0.25
    assert of(silence(0.0, RATE_HZ)) is None
