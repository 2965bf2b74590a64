"""DNSMOS against speechmos's own numbers, and its front end against librosa."""

import numpy as np
import onnxruntime
import pytest
from audio_kit import noise, talk

from prep.audio import read_mono, resample
from prep.models.dnsmos import MELS, P835, RATE_HZ, WINDOW, Dnsmos, fill_window, log_mel, mel_bank, spread_starts
from prep.models.registry import cache_root, ensure

SPEECHMOS = {
    # speechmos 0.0.1.1 on its own windows (1 s hop) over the first n seconds: file -> n, OVRL, SIG, BAK, P.808
    "long/ljspeech_LJ001.flac": (12, 3.2553, 3.5657, 3.9697, 4.1405),
    "asr/librispeech/1688-142285-0000.flac": (15, 2.7697, 3.1731, 3.6919, 3.8163),
    "noise/ambient/white-noise.ogg": (10, 1.0745, 1.1810, 1.1666, 2.1143),
}


@pytest.fixture(scope="module")
def networks():
    return Dnsmos(ensure("dnsmos", cache=cache_root()))


def speechmos_starts(n_samples):
    n_windows = int(np.floor(n_samples / RATE_HZ) - 9.01) + 1
    return tuple(i * RATE_HZ for i in range(n_windows) if i * RATE_HZ + WINDOW <= n_samples)


def at_16k(path, n_s):
    samples, rate_hz = read_mono(path)
    return resample(samples, rate_hz, RATE_HZ)[: n_s * RATE_HZ]


def as_tuple(scores):
    return scores.ovrl, scores.sig, scores.bak, scores.p808


@pytest.mark.data
@pytest.mark.model
@pytest.mark.parametrize("name", SPEECHMOS)
def test_equal_to_what_speechmos_said(data, networks, name):
    n_s, *expected = SPEECHMOS[name]
    samples = at_16k(data / name, n_s)
    assert as_tuple(networks.score(samples, speechmos_starts(len(samples)))) == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_speechmos_itself(networks, seed):
    speechmos = pytest.importorskip("speechmos.dnsmos", reason="pip install --no-deps speechmos==0.0.1.1")
    samples = talk(9.5 + seed, RATE_HZ, seed=seed) + noise(9.5 + seed, RATE_HZ, 0.003 * seed, seed)
    theirs = speechmos.run(samples, RATE_HZ)
    expected = [theirs[f"{name}_mos"] for name in ("ovrl", "sig", "bak", "p808")]
    assert as_tuple(networks.score(samples, speechmos_starts(len(samples)))) == pytest.approx(expected, abs=0.01)


@pytest.mark.model
def test_windows_that_share_their_work_score_as_if_alone(networks):
    samples = talk(20.0, RATE_HZ) + noise(20.0, RATE_HZ, 0.003)
    starts = (0, 3200, 3333, 16_000, 16_480, 32_000, 100_013, len(samples) - WINDOW)
    together = list(networks._p835.raw(samples, starts))
    alone = [next(networks._p835.raw(samples[start:], (0,))) for start in starts]
    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.model
def test_cut_in_two_the_network_says_the_same():
    path = ensure("dnsmos", cache=cache_root()) / "sig_bak_ovr.onnx"
    samples = talk(11.0, RATE_HZ)
    whole = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    starts = (0, 320, 16_000, 20_001)
    expected = [whole.run(None, {"input_1": samples[None, start : start + WINDOW]})[0][0] for start in starts]
    np.testing.assert_allclose(list(P835(path.read_bytes()).raw(samples, starts)), expected, atol=1e-4)


@pytest.mark.model
def test_more_noise_is_worse(networks):
    speech = talk(9.01, RATE_HZ, noise_rms=0.0)
    scores = [networks.score(speech + noise(9.01, RATE_HZ, rms), (0,)).bak for rms in (0.001, 0.01, 0.1)]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.model
def test_silence_has_finite_and_poor_scores(networks):
    scores = as_tuple(networks.score(np.zeros(WINDOW, np.float32), (0,)))
    assert np.isfinite(scores).all()
    assert scores[0] < 2.5


@pytest.mark.slow
def test_the_mel_bank_is_librosas():
    librosa = pytest.importorskip("librosa")
    theirs = librosa.filters.mel(sr=RATE_HZ, n_fft=321, n_mels=MELS)
    np.testing.assert_allclose(mel_bank().T, theirs, atol=1e-7)


@pytest.mark.slow
def test_the_log_mel_is_librosas():
    librosa = pytest.importorskip("librosa")
    samples = talk(9.0, RATE_HZ)
    mel = librosa.feature.melspectrogram(y=samples, sr=RATE_HZ, n_fft=321, hop_length=160, n_mels=MELS)
    theirs = (librosa.power_to_db(mel, ref=np.max) + 40) / 40
    np.testing.assert_allclose(log_mel(samples), theirs.T, atol=1e-3)


def test_log_mel_of_silence_and_shape():
    mel = log_mel(np.zeros(WINDOW - 160, np.float32))
    assert mel.shape == (900, MELS)
    assert np.isfinite(mel).all()


@pytest.mark.parametrize(
    ("n_samples", "starts"),
    [(WINDOW, (0,)), (WINDOW + 1, (0, 0)), (2 * WINDOW, (0, 144_000)), (2 * WINDOW + 10, (0, 72_000, 144_000))],
)
def test_the_fewest_windows_that_cover_all(n_samples, starts):
    assert spread_starts(n_samples) == starts


def test_a_short_signal_is_repeated_and_a_long_one_is_not():
    short = np.arange(1000, dtype=np.float32)
    filled = fill_window(short)
    assert len(filled) == WINDOW
    np.testing.assert_array_equal(filled[1000:2000], short)
    assert len(fill_window(np.zeros(WINDOW + 5, np.float32))) == WINDOW + 5
