"""Windows: random recordings in, every promise of a vendor file checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prep.clip import Clip, Reason, Source, Word, WorkingCopy
from prep.span import Span
from prep.stages.fit import JOIN_S, FitSpec, Window, windows
from prep.stages.listen import Track
from prep.stages.segment import Segmenting, pauses, tile

RATE = 24_000
SPEC = FitSpec(min_s=10.5, ideal_s=15.0, max_s=29.5)


def track_of_talk(talk: list[tuple[float, float]]) -> Track:
    """A track of (speech seconds, pause seconds) pairs, speech at -20 dBFS, pauses at -60."""
    prob = np.concatenate([[0.0] * 50, *([1.0] * round(s * 100) + [0.0] * round(p * 100) for s, p in talk)])
    return Track(prob.astype(np.float32), np.where(prob > 0.5, -20, -60).astype(np.float32), len(prob) * 240, RATE)


def clips_of(track: Track, settings: Segmenting | None = None) -> list[Clip]:
    copy = WorkingCopy(
        Source("a", Path("a"), "0" * 64), "k", Path("a.flac"), "mono", Span(0, track.n_samples, RATE), {}
    )
    out = []
    for piece in tile(track, settings or Segmenting()):
        speech = float((track.prob[piece.start // 240 : piece.stop // 240] >= 0.5).sum()) * 0.01
        measures = {"speech_s": speech, "snr_db": 40.0, "lufs": -20.0}
        clip = Clip(copy, Span(piece.start, piece.stop, RATE), f"c{piece.start}", measures)
        out.append(clip if piece.speech else clip.with_reasons((Reason("speech_ratio", 0.0, 0.3),)))
    return out


def found(talk: list[tuple[float, float]], spec: FitSpec = SPEC) -> tuple[list[Window], Track, list[Clip]]:
    track = track_of_talk(talk)
    clips = clips_of(track)
    return windows(clips, pauses(track, Segmenting()), track, spec), track, clips


TALK = st.lists(
    st.tuples(st.floats(0.4, 9.0), st.floats(0.12, 4.0)).map(lambda pair: (round(pair[0], 2), round(pair[1], 2))),
    min_size=1,
    max_size=14,
)


@given(TALK)
def test_every_window_keeps_every_promise(talk):
    pool, track, _ = found(talk)
    for window in pool:
        kept = sum(span.duration_s for span in window.spans) - JOIN_S * (len(window.spans) - 1)
        assert window.duration_s == pytest.approx(kept + window.pad_before_s + window.pad_after_s)
        assert SPEC.min_s <= window.duration_s <= SPEC.max_s
        assert all(a.stop < b.start for a, b in zip(window.spans, window.spans[1:], strict=False))
        # both ends and both sides of every join lie in quiet; all speech between the ends is kept
        inside = np.zeros(len(track.prob), bool)
        for span in window.spans:
            for edge in (span.start // 240, span.stop // 240 - 1):
                assert track.prob[edge] < 0.5
            inside[span.start // 240 : -(-span.stop // 240)] = True
        first, last = window.spans[0].start // 240, window.spans[-1].stop // 240
        speech = track.prob[first:last] >= 0.5
        assert inside[first:last][speech].all()


@given(TALK)
def test_no_pause_inside_is_longer_than_allowed(talk):
    pool, track, _ = found(talk)
    for window in pool:
        kept = np.concatenate([track.prob[s.start // 240 : s.stop // 240] for s in window.spans])
        voiced = np.flatnonzero(kept >= 0.5)
        gaps = np.diff(voiced) * 0.01
        assert gaps.max(initial=0.0) <= SPEC.max_pause_s + 0.12


def test_a_rejected_clip_is_in_no_window():
    track = track_of_talk([(6.0, 0.6)] * 8)
    clips = clips_of(track)
    bad = clips[3]
    judged = [clip.with_reasons((Reason("snr_db", 3.0, 15.0, "dB"),)) if clip is bad else clip for clip in clips]
    pool = windows(judged, pauses(track, Segmenting()), track, SPEC)
    assert pool
    assert all(window.speech & bad.span is None for window in pool)
    assert any(window.speech & bad.span for window in windows(clips, pauses(track, Segmenting()), track, SPEC))


def test_too_little_speech_gives_no_window():
    assert found([(4.0, 0.5), (4.0, 0.5)])[0] == []


def test_a_window_is_joined_across_a_long_pause_by_squeezing_it():
    pool, _, _ = found([(6.0, 3.5), (6.0, 1.0)])
    assert pool
    assert all(len(window.spans) >= 2 for window in pool)
    assert pool[0].duration_s == pytest.approx(6.0 + 0.8 + 6.0 + 0.5, abs=0.3)


def test_an_unsqueezable_pause_is_allowed_or_not_by_the_limit():
    talk = [(6.0, 1.5), (6.0, 1.0)]
    track = track_of_talk(talk)
    # the long pause is never quiet, the ends are
    middle = slice(50 + 600 - 5, 50 + 600 + 155)
    level = track.level_db.copy()
    level[middle] = np.where(track.prob[middle] < 0.5, -34, -20)
    noisy = replace(track, level_db=level)
    everything = pauses(noisy, Segmenting())
    counts = [
        len(windows(clips_of(noisy), everything, noisy, replace(SPEC, longest_pause_s=limit)))
        for limit in (None, 2.0, 1.0)
    ]
    assert counts[0] == counts[1] > 0
    assert counts[2] == 0


def test_continuous_speech_is_as_long_as_asked_for():
    talk = [(4.0, 0.6), (4.0, 0.6), (4.0, 0.3), (3.0, 0.6)]
    assert found(talk, replace(SPEC, min_speech_s=6.9))[0]
    assert found(talk, replace(SPEC, min_speech_s=8.0))[0] == []
    three = found(talk, replace(SPEC, min_speech_s=5.0))[0]
    ends = 0.5 + 4 + 0.6 + 4 + 0.6 + 4 + 0.3 + 3  # the long stretch is the last one: all windows reach it
    assert three
    assert all(abs(window.speech.stop / RATE - ends) < 0.2 for window in three)


def test_long_windows_do_not_multiply_but_the_only_one_stays():
    wide = FitSpec(min_s=5.0, ideal_s=10.0, max_s=290.0)
    pool = found([(4.0, 0.6)] * 40, wide)[0]
    assert max(window.duration_s for window in pool) <= 20.0
    (only,) = found([(58.0, 0.6)], replace(wide, ideal_s=20.0, min_s=50.0))[0]
    assert only.duration_s > 50.0


def test_missing_quiet_is_asked_for_as_a_pad():
    pool, _, _ = found([(5.0, 0.34), (5.5, 0.34), (5.0, 0.34), (5.0, 0.6)])
    assert all(0.0 <= window.pad_before_s <= SPEC.pad_s for window in pool)
    lead = {round(w.pad_before_s + (w.speech.start - w.spans[0].start) / RATE, 2) for w in pool}
    assert all(value >= SPEC.pad_s - 0.01 for value in lead)


def test_no_pad_is_counted_where_the_recording_has_nothing_to_make_it_of():
    track = track_of_talk([(6.0, 0.12)] * 3)
    everything = pauses(track, Segmenting())
    assert any(w.pad_before_s or w.pad_after_s for w in windows(clips_of(track), everything, track, SPEC))
    restless = replace(track, level_db=np.where(np.arange(len(track.prob)) % 19 == 0, -25, track.level_db))
    pool = windows(clips_of(track), everything, restless, SPEC)
    assert pool
    assert not any(w.pad_before_s or w.pad_after_s for w in pool)


def test_words_of_a_window_are_those_whose_middle_lies_inside():
    pool, _, clips = found([(6.0, 0.6), (6.0, 0.6), (6.0, 0.6)])
    window = min(pool, key=lambda w: w.duration_s)
    start, stop = window.spans[0].start_s, window.spans[-1].end_s
    words = (
        Word(" before", start - 0.4, start - 0.1, 1.0),
        Word(" in", start + 0.3, start + 0.5, 1.0),
        Word(" last", stop - 0.5, stop - 0.3, 1.0),
        Word(" after", stop + 0.1, stop + 0.2, 1.0),
    )
    clip = replace(clips[0], words=words)
    assert [word.word for word in window.words([clip])] == [" in", " last"]


def test_quieter_rooms_and_better_lengths_score_higher():
    pool, _, _ = found([(6.0, 0.6)] * 6)
    best = max(pool, key=lambda window: window.score)
    assert abs(best.duration_s - SPEC.ideal_s) == pytest.approx(
        min(abs(window.duration_s - SPEC.ideal_s) for window in pool), abs=1.0
    )
