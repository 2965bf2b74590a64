"""The same take twice: made signals, and real recordings through codecs."""

import numpy as np
import pytest
from audio_kit import Seen, bare_copy, clip_of, decode, noise, silence, track_of, write_coded

from prep.audio import read_mono, resample
from prep.measures.doubles import MAX_BIT_ERROR, compare, find_doubles, fingerprint, read_codes

RATE_HZ = 24_000


def chirps(n_s, seed, rate_hz=RATE_HZ):
    """Voice-like sound that never repeats: notes of random pitch and length, with harmonics."""
    rng = np.random.default_rng(seed)
    parts = []
    while sum(map(len, parts)) < n_s * rate_hz:
        times = np.arange(int(rng.uniform(0.08, 0.3) * rate_hz)) / rate_hz
        pitch, slide = rng.uniform(90, 250), rng.uniform(-200, 200)
        gains = rng.uniform(0, 1, 20)
        turns = pitch * times + slide * times**2
        parts.append(np.hanning(len(times)) * sum(g * np.sin(2 * np.pi * k * turns) for k, g in enumerate(gains, 1)))
    return (0.05 * np.concatenate(parts)[: int(n_s * rate_hz)]).astype(np.float32)


def printed(samples, rate_hz=RATE_HZ, prob=0.9):
    track = track_of([(len(samples) / rate_hz + 0.1, prob, -20)], rate_hz)
    return fingerprint(Seen(clip_of(bare_copy(max(1, len(samples)), rate_hz)), samples, track))


@pytest.fixture(scope="module")
def prints():
    return {f"clip{i}": printed(chirps(6.0, i)) for i in range(12)}


def pairs(prints):
    return [(found.first, found.second) for found in find_doubles(prints)]


def test_different_clips_are_no_doubles(prints):
    assert pairs(prints) == []


def test_the_same_samples_are_one_with_no_bit_wrong(prints):
    (found,) = find_doubles(prints | {"again": prints["clip3"]})
    assert (found.first, found.second, found.shift_s, found.bit_error) == ("clip3", "again", 0.0, 0.0)
    assert found.shared_ratio == 1.0


def test_shifted_quieter_and_noisy(prints):
    later = 0.1 * chirps(6.0, 5)[round(1.013 * RATE_HZ) :]
    (found,) = find_doubles(prints | {"again": printed(later + noise(len(later) / RATE_HZ, RATE_HZ, 3e-4))})
    assert (found.first, found.second) == ("clip5", "again")
    assert found.shift_s == pytest.approx(-1.0, abs=0.03)
    assert found.bit_error < MAX_BIT_ERROR


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_at_another_rate(prints, rate_hz):
    again = resample(chirps(6.0, 7), RATE_HZ, rate_hz)
    assert pairs(prints | {"again": printed(again, rate_hz)}) == [("clip7", "again")]


def test_a_stretch_shared_by_two_cuts(prints):
    whole = chirps(10.0, 40)
    cuts = {"early": printed(whole[: 6 * RATE_HZ]), "late": printed(whole[3 * RATE_HZ :])}
    (found,) = find_doubles(prints | cuts)
    assert found.shared_s == pytest.approx(3.0, abs=0.4)
    assert 0.3 < found.shared_ratio < 0.6


@pytest.mark.parametrize(
    "samples", [silence(0.0, RATE_HZ), silence(0.1, RATE_HZ), silence(5.0, RATE_HZ)], ids=["none", "tiny", "silence"]
)
def test_what_has_no_speech_is_nobodys_double(prints, samples):
    empty = printed(samples, prob=0.0)
    assert pairs(prints | {"a": empty, "b": empty}) == []


def test_nothing_at_all():
    assert find_doubles({}) == []
    assert find_doubles({"one": printed(chirps(3.0, 1))}) == []


def test_too_little_in_common_is_not_judged():
    codes = read_codes(printed(chirps(4.0, 1)))
    assert compare(codes, codes, 0) is not None
    assert compare(codes, codes, len(codes) - 10) is None


@pytest.mark.data
def test_real_takes_through_codecs_and_other_takes_of_the_voice(data, tmp_path):
    prints, copies = {}, {}
    for path in sorted((data / "asr" / "ljspeech").glob("*.wav")):
        samples, rate_hz = read_mono(path)
        samples = resample(samples[: 8 * rate_hz], rate_hz, RATE_HZ)
        prints[path.name] = printed(samples)
        coded = write_coded(
            tmp_path / f"{path.stem}.mp3", samples[RATE_HZ // 4 :], RATE_HZ, "libmp3lame", bits_per_s=48_000
        )
        decoded, _, _ = decode(coded)
        copies[f"{path.name} again"] = printed(np.ascontiguousarray(decoded[:, 0]))
    assert pairs(prints) == []
    assert set(pairs(prints | copies)) == {(name, f"{name} again") for name in prints}
