"""Clipped time in a clip, from the bins that ingest counted."""

import pytest
from audio_kit import Seen, bare_copy, clip_of, copy_of, silence, source_of, tone, track_of, write_pcm

from prep.measures.clipping import measure
from prep.stages.ingest import Ingest, ingest


def ratio(bins, start_s, end_s):
    clip = clip_of(bare_copy(clipped_bins=bins), start_s, end_s)
    return measure(Seen(clip, silence(0, 24_000), track_of([(1, 0, -60)])))["clipped_ratio"]


def test_clipped_time_over_length():
    assert ratio([[12, 0.01], [13, 0.03], [99, 0.1]], 1.0, 5.0) == pytest.approx(0.01)


def test_nothing_clipped_is_0():
    assert ratio([], 0, 5) == 0
    assert measure(Seen(clip_of(bare_copy()), silence(0, 24_000), track_of([(1, 0, -60)]))) == {"clipped_ratio": 0}


def test_bins_outside_do_not_count_and_those_at_the_edges_do():
    bins = [[9, 0.05], [10, 0.05], [19, 0.05], [20, 0.05]]
    assert ratio(bins, 1.0, 2.0) == pytest.approx(0.1)
    assert ratio(bins, 0.95, 2.05) == pytest.approx(0.2 / 1.1)


def test_never_more_than_all():
    assert ratio([[10, 0.1]], 1.04, 1.06) == 1.0


def test_a_clipped_sine_fails_and_its_clean_part_does_not(store, tmp_path):
    samples = tone(6.0, 16_000, 200.0, 0.5)
    samples[32_000:64_000] = tone(2.0, 16_000, 200.0, 2.0).clip(-1, 1)
    (copy,) = ingest(source_of(write_pcm(tmp_path / "x.wav", samples, 16_000)), Ingest(), store)

    def of(start_s, end_s):
        seen = Seen(clip_of(copy, start_s, end_s), silence(0, 24_000), track_of([(1, 0, -60)]))
        return measure(seen)["clipped_ratio"]

    assert of(2.0, 4.0) == pytest.approx(2 / 3, abs=0.03)  # |2 sin| > 0.99 for 67 % of the time
    assert of(0.0, 2.0) == of(4.0, 6.0) == 0


def test_a_copy_without_the_fact_is_not_clipped(tmp_path):
    clip = clip_of(copy_of(tmp_path, silence(1, 24_000)))
    assert measure(Seen(clip, silence(0, 24_000), track_of([(1, 0, -60)])))["clipped_ratio"] == 0
