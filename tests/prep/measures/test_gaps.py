"""Missing audio in a clip."""

import pytest
from audio_kit import Seen, bare_copy, clip_of, silence, source_of, talk, track_of, write_coded

from prep.measures.gaps import measure
from prep.stages.ingest import Ingest, ingest


def ratio(copy, start_s, end_s):
    return measure(Seen(clip_of(copy, start_s, end_s), silence(0, 24_000), track_of([(1, 0, -60)])))["gap_ratio"]


def test_gaps_count_by_the_part_inside():
    copy = bare_copy(gaps=[[1.0, 0.5], [4.5, 1.0], [8.0, 0.1]])
    assert ratio(copy, 0, 5) == pytest.approx(0.2)
    assert ratio(copy, 1.25, 1.5) == pytest.approx(1.0)
    assert ratio(copy, 5.0, 6.0) == pytest.approx(0.5)
    assert ratio(copy, 2.0, 4.0) == 0


def test_no_gaps_is_0():
    assert ratio(bare_copy(), 0, 5) == 0


def test_a_dropped_second_fails_where_it_was(store, tmp_path):
    path = write_coded(
        tmp_path / "x.mkv", talk(6.0, 48_000), 48_000, "libopus", lambda i, at_s: None if 100 <= i < 150 else at_s
    )
    (copy,) = ingest(source_of(path), Ingest(), store)
    assert copy.span.duration_s == pytest.approx(6.0, abs=0.03)
    assert ratio(copy, 2.0, 4.0) == pytest.approx(0.5, abs=0.01)
    assert ratio(copy, 3.1, 6.0) == 0
    assert copy.facts["gap_ratio"] == pytest.approx(1 / 6, abs=0.005)
