"""Clipped time in a clip, from the bins that ingest counted."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, copy_of, silence, source_of, tone, track_of, write_pcm

from prep.audio import resample
from prep.measures.clipping import flat_bins, flat_tops, measure
from prep.stages.ingest import Ingest, ingest


def ratio(bins, start_s, end_s):
    clip = clip_of(bare_copy(clipped_bins=bins), start_s, end_s)
    return measure(Seen(clip, silence(0, 24_000), track_of([(1, 0, -60)])))["clipped_ratio"]


def test_clipped_time_over_length():
    assert ratio([[12, 0.01], [13, 0.03], [99, 0.1]], 1.0, 5.0) == pytest.approx(0.01)


def test_nothing_clipped_is_0():
    assert ratio([], 0, 5) == 0
    assert measure(Seen(clip_of(bare_copy()), silence(0, 24_000), track_of([(1, 0, -60)]))) == {
        "clipped_ratio": 0,
        "flat_top_ratio": 0,
    }


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


def cut_off(n_s, rate_hz, share, gain=1.0):
    """Speech-like noise whose loudest share of samples was cut off, turned down afterwards, as 16-bit samples."""
    rng = np.random.default_rng(5)
    times = np.arange(int(n_s * rate_hz)) / rate_hz
    carrier = np.convolve(rng.standard_normal(len(times)), np.hanning(rate_hz // 800), "same")
    samples = carrier * (0.2 + np.abs(np.sin(2 * np.pi * 1.5 * times)))
    limit = np.quantile(np.abs(samples), 1 - share) if share else np.abs(samples).max()
    cut = np.clip(samples, -limit, limit) / limit * gain
    return (np.round(cut * 32767) / 32768).astype(np.float32)


def flat_top_ratio(samples, **facts):
    clip = clip_of(bare_copy(len(samples), **facts))
    return measure(Seen(clip, samples, track_of([(1, 0, -60)])))["flat_top_ratio"]


@pytest.mark.parametrize("gain", [0.9, 0.3, 0.1])
@pytest.mark.parametrize("share", [0.003, 0.02])
def test_flat_tops_below_full_scale_in_the_sources_own_samples(share, gain):
    flat = flat_tops(cut_off(5.0, 16_000, share, gain))
    assert flat.mean() == pytest.approx(share, rel=0.3)


@pytest.mark.parametrize(
    "samples", [cut_off(5.0, 16_000, 0.0, 0.5), tone(2, 16_000, 100, 0.5), tone(2, 8_000, 440, 0.01)]
)
def test_round_tops_are_not_flat(samples):
    assert flat_tops(samples).sum() <= 4
    assert flat_top_ratio(samples) == 0


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_samples_have_no_flat_tops(n):
    assert flat_tops(np.ones(n, np.float32)).sum() == 0
    assert flat_top_ratio(np.ones(max(1, n), np.float32)) == 0


def test_flat_tops_show_in_the_working_copy():
    for rate_hz in (16_000, 44_100):
        samples = resample(cut_off(8.0, rate_hz, 0.03, 0.4), rate_hz, 24_000)
        assert flat_top_ratio(samples) > 0.005


def test_bins_counted_by_ingest_come_first():
    assert flat_top_ratio(silence(2, 24_000), flat_bins=[[3, 0.02], [99, 0.5]]) == pytest.approx(0.01)


def test_bins_for_ingest():
    samples = np.concatenate([tone(0.5, 16_000, 200, 0.3), cut_off(0.5, 16_000, 0.05, 0.4)])
    bins = flat_bins(samples, 16_000, 10.0)
    assert min(bins) >= 105
    assert sum(bins.values()) == pytest.approx(0.025, rel=0.5)
