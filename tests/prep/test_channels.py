"""Which channel, or mix of channels, is the recording."""

import numpy as np
import pytest
from audio_kit import noise, silence, talk, tone

from prep.errors import ConfigError
from prep.stages.channels import ChannelStats, Plan, decide

RATE_HZ = 16_000


def stats_of(*channels, block_s=1.0):
    samples = np.stack(channels, axis=1).astype(np.float32)
    stats = ChannelStats(len(channels))
    n = round(block_s * RATE_HZ)
    for at in range(0, len(samples), n):
        stats.add(samples[at : at + n], RATE_HZ)
    return stats


def labels(*channels, mode="auto"):
    return [plan.label for plan in decide(stats_of(*channels), mode)]


def turns(first: bool):
    """One party of a talk: 4 s on, 4 s off."""
    on = talk(4.0, RATE_HZ, 110.0 if first else 200.0, seed=1 if first else 2)
    off = noise(4.0, RATE_HZ, 1e-3, seed=3 if first else 4)
    return np.concatenate([on, off] * 3 if first else [off, on] * 3)


VOICE = talk(12.0, RATE_HZ)


def test_mono():
    assert decide(stats_of(VOICE)) == (Plan("mono", (1.0,)),)


def test_dual_mono_is_mixed():
    (plan,) = decide(stats_of(VOICE, VOICE))
    assert plan == Plan("mix", (0.5, 0.5))
    assert np.array_equal(plan.apply(np.stack([VOICE, VOICE], axis=1)), VOICE)


@pytest.mark.parametrize("gain", [1.0, 0.8])
def test_opposite_phase_takes_one_channel(gain):
    assert labels(VOICE, -gain * VOICE) == ["1"]
    assert labels(-gain * VOICE, VOICE) == (["1"] if gain == 1 else ["2"])


@pytest.mark.parametrize("hiss", [0.0, 1e-4])
def test_a_dead_side_is_left_out(hiss):
    dead = noise(12.0, RATE_HZ, hiss) if hiss else silence(12.0, RATE_HZ)
    assert labels(VOICE, dead) == ["1"]
    assert labels(dead, VOICE) == ["2"]


def test_two_parties_are_split():
    assert labels(turns(True), turns(False)) == ["1", "2"]


def test_two_parties_are_split_though_one_is_far_quieter_and_leaks_into_the_other():
    a, b = turns(True), turns(False)
    assert labels(a + 0.02 * b, 0.2 * b + 0.004 * a) == ["1", "2"]


def test_one_person_before_two_microphones_is_mixed():
    near, late = VOICE + noise(12.0, RATE_HZ, 0.003, 5), np.roll(VOICE, 40) + noise(12.0, RATE_HZ, 0.003, 6)
    assert labels(near, 0.7 * late) == ["mix"]


def test_wide_stereo_with_one_loudness_curve_is_mixed():
    beat = np.abs(np.sin(2 * np.pi * 0.9 * np.arange(12 * RATE_HZ) / RATE_HZ)) ** 3 + 0.01
    assert labels(beat * noise(12.0, RATE_HZ, seed=1), beat * noise(12.0, RATE_HZ, seed=2)) == ["mix"]


def test_a_voice_in_the_centre_of_surround_is_taken_alone():
    quiet = [silence(12.0, RATE_HZ)] * 5
    assert labels(*quiet[:2], VOICE, *quiet[2:]) == ["3"]


def test_surround_with_several_live_channels_is_a_mix_of_them():
    rest = [silence(12.0, RATE_HZ)] * 3
    (plan,) = decide(stats_of(VOICE, VOICE, VOICE, *rest))
    assert plan.label == "mix"
    assert plan.weights == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0, 0, 0))


def test_silence_is_one_copy_of_the_first_channel():
    assert labels(silence(3.0, RATE_HZ), silence(3.0, RATE_HZ)) == ["1"]


def test_what_the_user_asks_for_is_done():
    assert labels(VOICE, VOICE, mode="2") == ["2"]
    assert labels(VOICE, VOICE, mode="split") == ["1", "2"]
    assert labels(turns(True), turns(False), mode="mix") == ["mix"]
    assert labels(VOICE, -VOICE, mode="mix") == ["mix"]
    assert labels(VOICE, mode="split") == ["mono"]


@pytest.mark.parametrize("mode", ["0", "3", "left", "", "-1", "1,2"])
def test_a_mode_that_is_none_is_a_usage_error(mode):
    with pytest.raises(ConfigError, match="--channels"):
        decide(stats_of(VOICE, VOICE), mode)


def test_the_choice_does_not_depend_on_the_blocks():
    a, b = turns(True), turns(False)
    whole, small = stats_of(a, b, block_s=24.0), stats_of(a, b, block_s=0.37)
    assert small.correlation(0, 1) == pytest.approx(whole.correlation(0, 1), abs=1e-4)
    assert small.power == pytest.approx(whole.power, rel=1e-4)
    assert decide(small) == decide(whole)


def test_correlation_and_mix_loss_of_known_signals():
    sine, cosine = tone(2.0, RATE_HZ, 100.0), tone(2.0, RATE_HZ, 100.0, phase=np.pi / 2)
    assert stats_of(sine, sine).correlation(0, 1) == pytest.approx(1.0, abs=1e-5)
    assert stats_of(sine, -0.5 * sine).correlation(0, 1) == pytest.approx(-1.0, abs=1e-5)
    assert stats_of(sine, cosine).correlation(0, 1) == pytest.approx(0.0, abs=1e-3)
    assert stats_of(sine, silence(2.0, RATE_HZ)).correlation(0, 1) == 0.0
    assert stats_of(sine, sine).mix_loss_db([0, 1]) == pytest.approx(0.0, abs=1e-3)
    assert stats_of(sine, cosine).mix_loss_db([0, 1]) == pytest.approx(-3.01, abs=0.01)
    assert stats_of(sine, -sine).mix_loss_db([0, 1]) < -60
