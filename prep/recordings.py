"""Working copies opened for reading: one file and one track at a time, shared by all measures of a worker."""

from __future__ import annotations

import threading
from functools import cached_property
from types import TracebackType
from typing import cast

from prep.audio import CopyReader, Samples
from prep.clip import Clip, WorkingCopy
from prep.stages.listen import Listen, Track, listen
from prep.store import Store


class _Open:
    """What one thread has open: the last working copy's reader, and the last samples read."""

    def __init__(self) -> None:
        self.reader: tuple[str, CopyReader] | None = None
        self.samples: tuple[tuple[str, int, int], Samples] | None = None


class Recordings:
    """Keeps the last working copy's track, and for each thread its reader and the last samples; a context manager.

    Args:
        settings: of listening.
        store: where tracks are kept.
    """

    def __init__(self, settings: Listen, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._track: tuple[str, Track] | None = None
        self._listening = threading.Lock()
        self._own = threading.local()
        self._opened: list[_Open] = []

    def __enter__(self) -> Recordings:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the open files, if any; no thread may be reading."""
        for opened in self._opened:
            _close(opened)
        self._opened.clear()
        self._own = threading.local()

    def track(self, copy: WorkingCopy) -> Track:
        """The speech and level track of a working copy."""
        with self._listening:
            if self._track is None or self._track[0] != copy.key:
                self._track = (copy.key, listen(copy, self._settings, self._store))
            return self._track[1]

    def read(self, copy: WorkingCopy, start: int, stop: int) -> Samples:
        """Samples `[start, stop)` of a working copy, float32 `(n,)`, clamped to it."""
        mine = self._mine()
        where = (copy.key, start, stop)
        if mine.samples is None or mine.samples[0] != where:
            if mine.reader is None or mine.reader[0] != copy.key:
                _close(mine)
                mine.reader = (copy.key, CopyReader(copy.path))
            mine.samples = (where, mine.reader[1].read(start, stop))
        return mine.samples[1]

    def _mine(self) -> _Open:
        if not hasattr(self._own, "open"):
            self._own.open = _Open()
            self._opened.append(self._own.open)
        return cast(_Open, self._own.open)


def _close(opened: _Open) -> None:
    if opened.reader is not None:
        opened.reader[1].__exit__(None, None, None)
        opened.reader = None


class View:
    """What a measure may look at: the clip, its samples (read when first asked for), its recording's track."""

    def __init__(self, clip: Clip, recordings: Recordings) -> None:
        self.clip = clip
        self._recordings = recordings

    @cached_property
    def samples(self) -> Samples:
        """The clip's samples at the working rate, float32 `(n,)`."""
        return self._recordings.read(self.clip.copy, self.clip.span.start, self.clip.span.stop)

    @property
    def track(self) -> Track:
        """The recording's track."""
        return self._recordings.track(self.clip.copy)

    def around(self, least_s: float) -> Samples:
        """The clip's samples, or where it is shorter, `least_s` of its recording around it, as far as there is any."""
        span = self.clip.span.widened(int(least_s * self.clip.span.rate_hz), self.clip.copy.span.n_samples)
        if span == self.clip.span:
            return self.samples
        return self._recordings.read(self.clip.copy, span.start, span.stop)
