"""Which channel, or mix of channels, is the recording: measured over all of it, recorded as a decision.

A plain mean silences opposite-phase stereo exactly and lets a dead channel cost 6 dB; a two-party call mixed down
puts two people on top of each other. So the choice is made from energies and correlations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prep.audio import Samples
from prep.errors import ConfigError

DEAD_DB = -25.0
"""A channel this far under the loudest carries crosstalk and hiss, not the speaker."""
CANCEL_DB = -6.0
"""A mix losing more than this against the mean of its parts is cancelling (in-phase: 0 dB, unrelated: -3 dB)."""
APART_SAMPLES = 0.35
APART_ENVELOPE = 0.25
"""Two-party split: waveforms and loudness curves both hardly related. Stereo music and spaced microphones hear the
same events at the same time, so their loudness curves rise together even where the waveforms do not match."""
FRAME_S = 0.1
SILENT_POWER = 1e-10


@dataclass(frozen=True)
class Plan:
    """One working copy to make: its label in the manifest, and a weight per native channel."""

    label: str
    weights: tuple[float, ...]

    def apply(self, samples: Samples) -> Samples:
        """`(n, channels)` -> `(n,)`."""
        if len(self.weights) == 1:
            return samples[:, 0]
        return np.asarray(samples @ np.asarray(self.weights, np.float32), np.float32)


class ChannelStats:
    """Running sums over a recording: cross powers of all channels, and per-frame powers of the first two live ones."""

    def __init__(self, n_channels: int) -> None:
        self.n_channels = n_channels
        self.n_samples = 0
        self._cross = np.zeros((n_channels, n_channels))
        self._envelopes: list[np.ndarray[tuple[int, int], np.dtype[np.float32]]] = []

    def add(self, samples: Samples, rate_hz: int) -> None:
        """Add `(n, channels)`; a block's rest shorter than a frame is left out of the envelope only."""
        self.n_samples += len(samples)
        if self.n_channels == 1:
            return
        self._cross += samples.T @ samples  # float32 over a second, summed in float64
        frame = max(1, int(rate_hz * FRAME_S))
        n = len(samples) // frame
        if n:
            frames = samples[: n * frame].reshape(n, frame, self.n_channels)
            self._envelopes.append(np.einsum("nfc,nfc->nc", frames, frames, dtype=np.float32) / frame)

    @property
    def power(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Mean power per channel."""
        return np.asarray(np.diag(self._cross) / max(1, self.n_samples))

    def correlation(self, a: int, b: int) -> float:
        """Normalised waveform correlation of two channels at lag 0, -1..1; 0 where one is silent."""
        norm = float(np.sqrt(self._cross[a, a] * self._cross[b, b]))
        return float(self._cross[a, b]) / norm if norm > 0 else 0.0

    def envelope_correlation(self, a: int, b: int) -> float:
        """Correlation of the two loudness curves (dB, 100 ms frames, floor 50 dB under the louder's peak)."""
        if not self._envelopes:
            return 0.0
        power = np.concatenate(self._envelopes)[:, [a, b]]
        floor = max(float(power.max()) * 1e-5, SILENT_POWER)
        curves = 10 * np.log10(np.maximum(power, floor))
        if len(curves) < 10 or float(curves.std(axis=0).min()) < 1e-6:
            return 0.0
        return float(np.corrcoef(curves.T)[0, 1])

    def mix_loss_db(self, live: list[int]) -> float:
        """Power of the mean of the channels against the mean of their powers, dB; 0 = identical channels."""
        pick = np.ix_(live, live)
        mixed = float(self._cross[pick].sum()) / len(live) ** 2
        single = float(np.diag(self._cross)[live].mean())
        return 10 * float(np.log10(max(mixed, 1e-30) / max(single, 1e-30)))


def decide(stats: ChannelStats, mode: str = "auto") -> tuple[Plan, ...]:
    """The working copies a recording needs.

    Args:
        stats: over the whole recording.
        mode: `auto`, `mix`, `split`, or a channel number from 1.

    Raises:
        ConfigError: the mode is none of these, or names a channel that is not there.
    """
    n = stats.n_channels
    if mode.isdigit():
        if not 1 <= int(mode) <= n:
            raise ConfigError(f"--channels {mode}: the recording has {n} channel(s)")
        return (_single(int(mode) - 1, n),)
    if mode not in {"auto", "mix", "split"}:
        raise ConfigError(f"--channels {mode}: use auto, mix, split or a channel number")
    if n == 1:
        return (Plan("mono", (1.0,)),)
    live = _live(stats)
    if mode == "split":
        return tuple(_single(channel, n) for channel in live)
    if mode == "mix":
        return (_mix(list(range(n)), n),)
    if len(live) == 1:
        return (_single(live[0], n),)
    if len(live) == 2 and _two_party(stats, live[0], live[1]):
        return tuple(_single(channel, n) for channel in live)
    if stats.mix_loss_db(live) < CANCEL_DB:
        return (_single(int(np.argmax(stats.power)), n),)
    return (_mix(live, n),)


def _live(stats: ChannelStats) -> list[int]:
    power = stats.power
    loudest = float(power.max())
    if loudest <= SILENT_POWER:
        return [0]
    return [c for c in range(stats.n_channels) if power[c] >= loudest * 10 ** (DEAD_DB / 10)]


def _two_party(stats: ChannelStats, a: int, b: int) -> bool:
    related = abs(stats.correlation(a, b)) >= APART_SAMPLES
    return not related and stats.envelope_correlation(a, b) < APART_ENVELOPE


def _single(channel: int, n: int) -> Plan:
    return Plan(str(channel + 1), tuple(float(c == channel) for c in range(n)))


def _mix(live: list[int], n: int) -> Plan:
    return Plan("mix", tuple(1.0 / len(live) if c in live else 0.0 for c in range(n)))
