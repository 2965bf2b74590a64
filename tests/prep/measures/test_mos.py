"""Which samples DNSMOS hears for a clip, and what comes out as measures."""

import numpy as np
import pytest
from audio_kit import bare_copy, clip_of, copy_of, talk

from prep.measures.mos import Mos, measure_clip, to_16k
from prep.models.dnsmos import WINDOW, Scores
from prep.models.registry import cache_root, ensure, weight
from prep.recordings import Recordings
from prep.span import Span
from prep.stage import apply

RATE_HZ = 24_000
WIDE = 216_240
"""9.01 s at 24 kHz."""


class Listener:
    """Stands for the networks; remembers what it was given."""

    def score(self, samples, starts):
        self.samples, self.starts = samples, starts
        return Scores(3.0, 3.5, 4.0, 3.6)


@pytest.mark.parametrize(
    ("start", "stop", "n_samples", "expected"),
    [
        (480_000, 576_000, 2_000_000, (419_880, 419_880 + WIDE)),  # centred
        (24_000, 96_000, 2_000_000, (0, WIDE)),  # near the beginning
        (1_900_000, 1_990_000, 2_000_000, (2_000_000 - WIDE, 2_000_000)),  # near the end
        (10_000, 50_000, 100_000, (0, 100_000)),  # the whole recording is shorter
        (100_000, 500_000, 2_000_000, (100_000, 500_000)),  # longer than a window
    ],
    ids=["middle", "beginning", "end", "short recording", "long clip"],
)
def test_a_short_clip_is_heard_in_its_surroundings(start, stop, n_samples, expected):
    around = Span(start, stop, RATE_HZ).widened(WIDE, n_samples)
    assert (around.start, around.stop) == expected


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_a_window_of_any_rate_is_one_window(rate_hz):
    around = Span(rate_hz * 20, rate_hz * 22, rate_hz).widened(-(-WINDOW * rate_hz // 16_000), rate_hz * 60)
    assert len(to_16k(np.zeros(around.n_samples, np.float32), around)) == WINDOW


def test_the_recording_around_is_what_is_heard(tmp_path, store, listening):
    samples = talk(30.0, RATE_HZ)
    listener = Listener()
    with Recordings(listening, store) as recordings:
        found = measure_clip(clip_of(copy_of(tmp_path, samples), 14.0, 16.0), recordings, listener)
    assert found == {"dnsmos_ovrl": 3.0, "dnsmos_sig": 3.5, "dnsmos_bak": 4.0, "dnsmos_p808": 3.6}
    assert listener.starts == (0,)
    middle = samples[round((15 - 4.505) * RATE_HZ) :][:WIDE]
    expected = to_16k(middle, Span(0, WIDE, RATE_HZ))
    np.testing.assert_allclose(listener.samples, expected, atol=1e-5)


def test_a_recording_shorter_than_a_window_is_repeated(tmp_path, store, listening):
    listener = Listener()
    with Recordings(listening, store) as recordings:
        measure_clip(clip_of(copy_of(tmp_path, talk(3.0, RATE_HZ)), 0.5, 2.5), recordings, listener)
    assert len(listener.samples) == WINDOW
    np.testing.assert_array_equal(listener.samples[48_000:96_000], listener.samples[:48_000])


def test_a_copy_without_samples_is_unknown(store, listening):
    class Nothing:
        def read(self, copy, start, stop):
            return np.zeros(0, np.float32)

    found = measure_clip(clip_of(bare_copy()), Nothing(), Listener())
    assert set(found.values()) == {None}


@pytest.mark.model
def test_as_a_stage(tmp_path, store, listening):
    entry = weight("dnsmos")
    copy = copy_of(tmp_path, talk(12.0, RATE_HZ))
    with Recordings(listening, store) as recordings:
        stage = Mos(recordings, ensure(entry, cache=cache_root()), entry.digest)
        (clip,) = apply(stage, [clip_of(copy, 2.0, 5.0)], store)
    assert set(clip.measures) == {"dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808"}
    assert all(0.5 < value < 5 for value in clip.measures.values())
    assert clip.stages == ("mos@1",)
