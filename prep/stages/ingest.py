"""Source -> working copies: decoded once, on one timeline, with what resampling would hide measured before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from prep.audio import Block, CopyWriter, Decoder, Resampler, Samples
from prep.clip import Source, WorkingCopy
from prep.errors import BadAudio
from prep.span import Span
from prep.stages.channels import ChannelStats, Plan, decide
from prep.store import Store, digest

MIN_RATE_HZ, MAX_RATE_HZ = 2_000, 768_000
LOOK_S = 30.0
LOOK_BYTES = 64 << 20
CLIP_LEVEL = 0.99
CLIP_RUN = 3
"""Clipped = at least 3 consecutive samples at 0.99 of full scale or more (audio-data-quality-toolkit's rule)."""
BIN_S = 0.1
PEAK_FRAME_S = 0.02
PEAK_FRAMES = 4
"""True peak is sought in the four loudest 20 ms of each second: oversampling everything halves ingest's speed."""


@dataclass(frozen=True)
class Ingest:
    """Settings of ingest.

    Args:
        rate_hz: of the working copy.
        channels: `auto`, `mix`, `split` or a number from 1.
        stream: which audio track, from 0.
        max_duration_s: a longer decoded length is refused (a small file can decode to years of silence).
        min_duration_s: a shorter one holds nothing to use.
    """

    rate_hz: int = 24_000
    channels: str = "auto"
    stream: int = 0
    max_duration_s: float = 86_400.0
    min_duration_s: float = 0.01

    name: str = field(default="ingest", init=False)
    version: str = field(default="1", init=False)


def ingest(source: Source, settings: Ingest, store: Store) -> tuple[WorkingCopy, ...]:
    """Working copies of a source, from the store where it has them.

    Raises:
        BadAudio: the source cannot be read or decodes to nothing usable.
    """
    key = digest(source.sha256, asdict(settings))
    known = store.get(key)
    if known is not None and all(store.blob_path(copy["key"], ".flac").exists() for copy in known):
        return tuple(_copy(source, facts, store) for facts in known)
    made = _decode(source, settings, store, key)
    store.put(key, made)
    return tuple(_copy(source, facts, store) for facts in made)


def _copy(source: Source, made: dict[str, Any], store: Store) -> WorkingCopy:
    path = store.blob_path(made["key"], ".flac")
    span = Span(0, made["n_samples"], made["rate_hz"])
    return WorkingCopy(source, made["key"], path, made["channel"], span, made["facts"])


def _decode(source: Source, settings: Ingest, store: Store, key: str) -> list[dict[str, Any]]:
    """Decode by a plan made from the beginning; where the whole recording speaks for another plan, decode again."""
    plans, stats, made = _pass(source, settings, store, None)
    wanted = decide(stats, settings.channels)
    if wanted != plans:
        for temporary, *_ in made:
            temporary.unlink()
        plans, stats, made = _pass(source, settings, store, wanted)
    out = []
    for plan, (temporary, n_samples, facts) in zip(plans, made, strict=True):
        copy_key = digest(key, plan.label)
        store.adopt(temporary, copy_key, ".flac")
        facts |= _channel_facts(stats)
        out.append(
            {
                "key": copy_key,
                "channel": plan.label,
                "n_samples": n_samples,
                "rate_hz": settings.rate_hz,
                "facts": facts,
            }
        )
    return out


def _channel_facts(stats: ChannelStats) -> dict[str, Any]:
    power_db = [round(10 * float(np.log10(max(p, 1e-20))), 1) for p in stats.power] if stats.n_channels > 1 else []
    correlation = round(stats.correlation(0, 1), 3) if stats.n_channels == 2 else None
    return {"channel_power_dbfs": power_db, "channel_correlation": correlation}


Made = list[tuple[Path, int, dict[str, Any]]]


def _pass(
    source: Source, settings: Ingest, store: Store, plans: tuple[Plan, ...] | None
) -> tuple[tuple[Plan, ...], ChannelStats, Made]:
    with ExitStack() as stack:
        decoder = stack.enter_context(Decoder(source.path, settings.stream, source.name))
        blocks = _checked(decoder, settings)
        first, stats = _look(blocks)
        used = plans or decide(stats, settings.channels)
        tracks = [stack.enter_context(_Track(plan, store, settings.rate_hz)) for plan in used]
        stats = ChannelStats(stats.n_channels)
        for block in _chain(first, blocks):
            samples = _fold(block.samples, stats.n_channels)
            stats.add(samples, block.rate_hz)
            for track in tracks:
                track.add(samples, block.rate_hz)
        if decoder.stats.decoded_s < settings.min_duration_s:
            raise BadAudio(source.name, f"holds only {decoder.stats.decoded_s:.4f} s of audio")
        facts = _source_facts(decoder)
        return used, stats, [(path, n, facts | own) for path, n, own in (track.finish() for track in tracks)]


def _source_facts(decoder: Decoder) -> dict[str, Any]:
    probe, stats = asdict(decoder.probe), asdict(decoder.stats)
    total_s = decoder.stats.decoded_s + decoder.stats.gap_s
    return {**probe, **stats, "gap_ratio": decoder.stats.gap_s / total_s if total_s else 0.0}


def _checked(decoder: Decoder, settings: Ingest) -> Iterator[Block]:
    total_s = 0.0
    for block in decoder.blocks():
        if not MIN_RATE_HZ <= block.rate_hz <= MAX_RATE_HZ:
            raise BadAudio(decoder.name, f"sample rate {block.rate_hz} Hz; {MIN_RATE_HZ}-{MAX_RATE_HZ} Hz are read")
        total_s += len(block.samples) / block.rate_hz
        if total_s > settings.max_duration_s:
            raise BadAudio(
                decoder.name,
                f"decodes to more than {settings.max_duration_s / 3600:g} h (ingest.max_duration_s)",
            )
        yield block


def _look(blocks: Iterator[Block]) -> tuple[list[Block], ChannelStats]:
    """The first half minute, held in memory to choose channels by."""
    first: list[Block] = []
    n_bytes, seconds = 0, 0.0
    for block in blocks:
        first.append(block)
        n_bytes += block.samples.nbytes
        seconds += len(block.samples) / block.rate_hz
        if seconds >= LOOK_S or n_bytes >= LOOK_BYTES:
            break
    stats = ChannelStats(max(block.samples.shape[1] for block in first))
    for block in first:
        stats.add(_fold(block.samples, stats.n_channels), block.rate_hz)
    return first, stats


def _fold(samples: Samples, n_channels: int) -> Samples:
    """A stretch with another channel count than the recording's: its mean on every channel."""
    if samples.shape[1] == n_channels:
        return samples
    return np.repeat(samples.mean(axis=1, keepdims=True), n_channels, axis=1)


def _chain(first: list[Block], rest: Iterator[Block]) -> Iterator[Block]:
    while first:
        yield first.pop(0)
    yield from rest


class _Track:
    """One working copy in the making: chosen channels -> native measures -> resampled -> FLAC."""

    def __init__(self, plan: Plan, store: Store, rate_hz: int) -> None:
        self._plan = plan
        self._used = [c for c, weight in enumerate(plan.weights) if weight]
        self._rate_hz = rate_hz
        self.path = store.new_blob(".flac")
        self._writer = CopyWriter(self.path, rate_hz)
        self._resampler: Resampler | None = None
        self._native_hz = 0
        self._native = NativeMeter()
        self._done = False

    def __enter__(self) -> _Track:
        return self

    def __exit__(self, *error: object) -> None:
        if not self._done:
            self._writer.close()
            self.path.unlink(missing_ok=True)

    def add(self, samples: Samples, rate_hz: int) -> None:
        """Add native samples `(n, channels)`."""
        if self._resampler is None or rate_hz != self._native_hz:
            self._flush()
            self._native_hz, self._resampler = rate_hz, Resampler(rate_hz, self._rate_hz, 1)
        self._native.add(samples if len(self._used) == samples.shape[1] else samples[:, self._used], rate_hz)
        self._writer.write(self._resampler.push(self._plan.apply(samples)[:, None])[:, 0])

    def _flush(self) -> None:
        if self._resampler is not None:
            self._writer.write(self._resampler.push(np.zeros((0, 1), np.float32), last=True)[:, 0])

    def finish(self) -> tuple[Path, int, dict[str, Any]]:
        """Close the file; its path, length in samples and native measures."""
        self._flush()
        self._writer.close()
        self._done = True
        return (
            self.path,
            self._writer.n_samples,
            self._native.facts() | {"resample_overs": self._writer.n_overs},
        )


class NativeMeter:
    """Facts about decoded samples before resampling: peak, true peak, overs, where it clips."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self.peak = 0.0
        self.true_peak = 0.0
        self.overs = 0
        self.clipped = 0
        self.bins: dict[int, float] = {}
        self._tail: Samples | None = None

    def add(self, samples: Samples, rate_hz: int) -> None:
        """Add `(n, channels)` at the native rate."""
        peak = float(max(samples.max(), -samples.min())) if samples.size else 0.0
        self.peak = max(self.peak, peak)
        self._look_between(samples, int(rate_hz * PEAK_FRAME_S))
        self._count_clipped(samples, rate_hz, peak)
        if peak > 1.0:
            self.overs += int((np.abs(samples) > 1.0).sum())
        self.at_s += len(samples) / rate_hz

    def _look_between(self, samples: Samples, frame: int) -> None:
        """Oversample only where a higher true peak can be: the loudest frames within 3 dB of the one known."""
        if not len(samples):
            return
        starts = np.arange(0, len(samples), max(frame, 1))
        peaks = np.maximum.reduceat(np.abs(samples).max(axis=1), starts)
        for at in np.argsort(-peaks)[:PEAK_FRAMES]:
            if peaks[at] * 1.41 <= self.true_peak:
                return
            near = samples[max(0, starts[at] - 64) : starts[at] + frame + 64]
            self.true_peak = max(self.true_peak, true_peak(near))

    def _count_clipped(self, samples: Samples, rate_hz: int, peak: float) -> None:
        """Count runs, also those a block's edge cuts: the last samples of a block are looked at again with the next."""
        before, self._tail = self._tail, samples[-(CLIP_RUN - 1) :]
        if before is None or before.shape[1] != samples.shape[1]:
            before = samples[:0]
        if max(peak, float(np.abs(before).max(initial=0.0))) < CLIP_LEVEL:
            return
        flat: npt.NDArray[np.bool_] = np.asarray(clipped_mask(np.concatenate([before, samples])).any(axis=1))
        flat[: len(before)] &= ~np.asarray(clipped_mask(before).any(axis=1))
        where = np.flatnonzero(flat) - len(before)
        self.clipped += len(where)
        bins, counts = np.unique(((self.at_s + where / rate_hz) / BIN_S).astype(int), return_counts=True)
        for at, count in zip(bins.tolist(), counts.tolist(), strict=True):
            self.bins[at] = self.bins.get(at, 0.0) + count / rate_hz

    def facts(self) -> dict[str, Any]:
        """Scalars, and `clipped_bins`: pairs (100 ms bin, clipped seconds in it)."""
        return {
            "sample_peak_dbfs": _db(self.peak),
            "true_peak_dbtp": _db(self.true_peak),
            "overs": self.overs,
            "clipped_samples": self.clipped,
            "clipped_bins": [[at, seconds] for at, seconds in sorted(self.bins.items())],
        }


def clipped_mask(samples: Samples) -> npt.NDArray[np.bool_]:
    """Samples in runs of `CLIP_RUN` or more at `CLIP_LEVEL` or above with one sign, per channel; shape as given."""
    out = np.zeros(samples.shape, bool)
    for sign in (1.0, -1.0):
        high = samples * sign >= CLIP_LEVEL
        run = high.copy()
        for lag in range(1, CLIP_RUN):
            run[lag:] &= high[:-lag]
            run[:lag] = False
        out |= run
        for lag in range(1, CLIP_RUN):
            out[:-lag] |= run[lag:]
    return out


def true_peak(samples: Samples) -> float:
    """Largest magnitude between samples, 4x oversampled (ITU-R BS.1770-4, annex 2); linear, >= the sample peak.

    Args:
        samples: `(n,)` or `(n, channels)`; empty gives 0.
    """
    if not samples.size:
        return 0.0
    from scipy.signal import resample_poly  # a second to import

    up = resample_poly(samples, 4, 1, axis=0)
    return float(max(np.abs(up).max(), np.abs(samples).max()))


def _db(value: float) -> float | None:
    return round(20 * float(np.log10(value)), 2) if value > 0 else None
