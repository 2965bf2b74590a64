"""Time in integer samples: laws of `rescale` and of `Span`."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.span import Span, rescale, samples_of

rates = st.sampled_from([8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000, 7, 1])
counts = st.integers(0, 10 * 3600 * 192_000)


@st.composite
def spans(draw, rate_hz=24_000):
    start = draw(st.integers(0, 1000))
    return Span(start, start + draw(st.integers(1, 1000)), rate_hz)


@given(counts, rates, rates)
def test_rescale_is_the_exact_fraction_rounded_half_up(n, a, b):
    assert rescale(n, a, b) == math.floor(Fraction(n * b, a) + Fraction(1, 2))


@given(counts, counts, rates, rates)
def test_rescale_keeps_order(m, n, a, b):
    assert (rescale(min(m, n), a, b)) <= rescale(max(m, n), a, b)


@given(counts, rates, rates)
def test_rescale_there_and_back_is_within_half_a_coarse_sample(n, a, b):
    back = rescale(rescale(n, a, b), b, a)
    assert abs(back - n) <= (0 if b >= a else Fraction(a, 2 * b) + Fraction(1, 2))


@given(counts, rates)
def test_rescale_to_the_same_rate_changes_nothing(n, a):
    assert rescale(n, a, a) == n


def test_rescale_examples():
    assert rescale(44_100, 44_100, 24_000) == 24_000
    assert rescale(1, 48_000, 24_000) == 1  # 0.5 goes up
    assert rescale(1, 44_100, 16_000) == 0
    assert rescale(10 * 3600 * 44_100 + 1, 44_100, 24_000) == 10 * 3600 * 24_000 + 1


@pytest.mark.parametrize(("a", "b"), [(0, 8000), (8000, 0), (-1, 8000)])
def test_rescale_refuses_rates_that_are_not_positive(a, b):
    with pytest.raises(ValueError, match="positive"):
        rescale(1, a, b)


def test_samples_of_is_the_nearest_sample():
    assert samples_of(0.1 + 0.2, 10) == 3
    assert samples_of(0.25, 10) == 3
    assert samples_of(0.2499, 10) == 2


@pytest.mark.parametrize(
    ("start", "stop", "rate_hz"), [(0, 0, 8000), (5, 4, 8000), (-1, 4, 8000), (0, 1, 0), (0, 1, -8000)]
)
def test_what_is_no_span_is_refused(start, stop, rate_hz):
    with pytest.raises(ValueError, match="not a span"):
        Span(start, stop, rate_hz)


def test_a_span_in_seconds():
    span = Span.from_s(1.5, 2.25, 24_000)
    assert (span.start, span.stop) == (36_000, 54_000)
    assert (span.start_s, span.end_s, span.duration_s, span.n_samples) == (1.5, 2.25, 0.75, 18_000)


def test_a_span_holds_its_start_and_not_its_stop():
    span = Span(3, 5, 8000)
    assert [position in span for position in (2, 3, 4, 5)] == [False, True, True, False]


@given(spans(), spans())
def test_overlap_is_symmetric_and_is_the_common_samples(a, b):
    common = sorted(set(range(a.start, a.stop)) & set(range(b.start, b.stop)))
    assert a & b == b & a
    assert (a & b) == (Span(common[0], common[-1] + 1, a.rate_hz) if common else None)


@given(spans())
def test_a_span_overlaps_itself_wholly(a):
    assert a & a == a


def test_overlap_at_different_rates_is_refused():
    with pytest.raises(ValueError, match="rates differ"):
        Span(0, 5, 8000) & Span(0, 5, 16_000)


@given(spans(), st.data())
def test_sub_lies_inside_and_counts_from_the_start(a, more):
    start = more.draw(st.integers(0, a.n_samples - 1))
    stop = more.draw(st.integers(start + 1, a.n_samples))
    part = a.sub(start, stop)
    assert part & a == part
    assert (part.start - a.start, part.n_samples) == (start, stop - start)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 11), (3, 3), (4, 2)])
def test_sub_outside_is_refused(start, stop):
    with pytest.raises(ValueError, match="not inside"):
        Span(100, 110, 8000).sub(start, stop)


@given(st.lists(st.integers(48, 5000), min_size=2, max_size=8), rates.filter(lambda r: r >= 8000))
def test_spans_that_tile_still_tile_at_another_rate(lengths, rate_hz):
    marks = [sum(lengths[:i]) for i in range(len(lengths) + 1)]
    moved = [Span(a, b, 48_000).to(rate_hz) for a, b in pairwise(marks)]
    assert all(a.stop == b.start for a, b in pairwise(moved))
    assert (moved[0].start, moved[-1].stop) == (0, rescale(marks[-1], 48_000, rate_hz))


def test_a_single_sample_stays_a_span_at_a_lower_rate():
    assert Span(1, 2, 48_000).to(8000) == Span(0, 1, 8000)


def test_spans_sort_by_time():
    assert sorted([Span(5, 6, 8), Span(0, 9, 8), Span(0, 2, 8)]) == [Span(0, 2, 8), Span(0, 9, 8), Span(5, 6, 8)]
