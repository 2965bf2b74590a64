"""Measures as cached stages over real working copies."""

import numpy as np
import pytest
from audio_kit import clip_of, copy_of, silence, talk, tone

from prep.measures import level
from prep.measures.base import Check
from prep.recordings import Recordings, View
from prep.stage import apply


def test_a_measure_is_taken_once_and_kept(tmp_path, store, listening):
    copy = copy_of(tmp_path, np.concatenate([tone(2.0, 24_000, 1000.0, 0.1), silence(2.0, 24_000)]))
    clips = [clip_of(copy, 0, 2, "a"), clip_of(copy, 2, 4, "b")]
    calls = []

    def measure(view):
        calls.append(view.clip.key)
        return level.measure(view)

    with Recordings(listening, store) as recordings:
        first = apply(Check("level", "1", measure, recordings), clips, store)
        again = apply(Check("level", "1", measure, recordings), clips, store)
        apply(Check("level", "2", measure, recordings), clips[:1], store)
    assert calls == ["a", "b", "a"]
    assert again == first
    assert first[0].measures["lufs"] == pytest.approx(-23.0, abs=0.1)
    assert dict(first[1].measures) == {"lufs": None, "peak_dbfs": None}
    assert first[0].stages == ("level@1",)


def test_recordings_read_what_was_asked_for_across_files(tmp_path, store, listening):
    samples = [talk(2.0, 24_000, seed=seed) for seed in (1, 2)]
    copies = [copy_of(tmp_path, each) for each in samples]
    with Recordings(listening, store) as recordings:
        for i in (0, 1, 0, 0):
            view = View(clip_of(copies[i], 0.5, 1.5), recordings)
            assert np.abs(view.samples - samples[i][12_000:36_000]).max() <= 2**-23
            assert view.track.n_samples == 48_000
            assert view.track.level_db[100] == pytest.approx(
                10 * np.log10(np.mean(samples[i][24_000:24_240].astype(float) ** 2)), abs=0.1
            )
