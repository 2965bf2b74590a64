"""Time as integer samples: `Span` and `rescale`, the only place where rates are converted.

Seconds as floats drift (0.1 + 0.2) and need tolerances; samples do not. Seconds appear in configs, reports and
vendor limits only.
"""

from __future__ import annotations

from dataclasses import dataclass


def rescale(n_samples: int, from_hz: int, to_hz: int) -> int:
    """Convert a sample count or position between rates: floor(n * to / from + 1/2), in integers.

    This is also soxr's output length for n input samples (600 of 600 cases measured), so a resampled recording
    and its rescaled spans agree to the sample.

    Raises:
        ValueError: a rate is not positive.
    """
    if from_hz <= 0 or to_hz <= 0:
        raise ValueError(f"rates must be positive, got {from_hz} and {to_hz}")
    return (2 * n_samples * to_hz + from_hz) // (2 * from_hz)


def samples_of(seconds: float, rate_hz: int) -> int:
    """Nearest sample position for a time in seconds (half away from zero for positives)."""
    return int(seconds * rate_hz + 0.5)


@dataclass(frozen=True, order=True)
class Span:
    """Half-open interval `[start, stop)` of samples at `rate_hz`; never empty.

    Raises:
        ValueError: not 0 <= start < stop, or rate_hz <= 0.
    """

    start: int
    stop: int
    rate_hz: int

    def __post_init__(self) -> None:
        if self.rate_hz <= 0 or not 0 <= self.start < self.stop:
            raise ValueError(f"not a span: [{self.start}, {self.stop}) at {self.rate_hz} Hz")

    @classmethod
    def from_s(cls, start_s: float, end_s: float, rate_hz: int) -> Span:
        """Span nearest to two times in seconds."""
        return cls(samples_of(start_s, rate_hz), samples_of(end_s, rate_hz), rate_hz)

    @property
    def n_samples(self) -> int:
        """Length in samples, at least 1."""
        return self.stop - self.start

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate_hz

    @property
    def start_s(self) -> float:
        """Start in seconds."""
        return self.start / self.rate_hz

    @property
    def end_s(self) -> float:
        """End in seconds (exclusive)."""
        return self.stop / self.rate_hz

    def widened(self, least: int, n_samples: int) -> Span:
        """The span, or where it is shorter than `least` samples, that many around it inside `[0, n_samples)`.

        Centred where there is room, else moved inwards; all there is where that is less.
        """
        missing = least - self.n_samples
        if missing <= 0:
            return self
        start = max(0, min(self.start - missing // 2, n_samples - least))
        return Span(start, min(n_samples, start + least), self.rate_hz)

    def sub(self, start: int, stop: int) -> Span:
        """Span `[start, stop)` counted from this span's start; must lie inside it.

        Raises:
            ValueError: it does not.
        """
        if not 0 <= start < stop <= self.n_samples:
            raise ValueError(f"[{start}, {stop}) is not inside {self}")
        return Span(self.start + start, self.start + stop, self.rate_hz)

    def to(self, rate_hz: int) -> Span:
        """The same time at another rate, each end rounded to the nearest sample, kept at least 1 sample long."""
        start = rescale(self.start, self.rate_hz, rate_hz)
        return Span(start, max(start + 1, rescale(self.stop, self.rate_hz, rate_hz)), rate_hz)

    def __and__(self, other: Span) -> Span | None:
        """Overlap of two spans, or None.

        Raises:
            ValueError: the rates differ.
        """
        if self.rate_hz != other.rate_hz:
            raise ValueError(f"rates differ: {self.rate_hz} and {other.rate_hz} Hz")
        start, stop = max(self.start, other.start), min(self.stop, other.stop)
        return Span(start, stop, self.rate_hz) if start < stop else None

    def __contains__(self, position: int) -> bool:
        """Whether a sample position lies inside."""
        return self.start <= position < self.stop
