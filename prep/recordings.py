"""Working copies opened for reading: one file and one track at a time, shared by all measures of a worker."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType

from prep.audio import CopyReader, Samples
from prep.clip import Clip, WorkingCopy
from prep.stages.listen import Listen, Track, listen
from prep.store import Store


class Recordings:
    """Keeps the last working copy's reader and track, and the last samples read; a context manager.

    Args:
        settings: of listening.
        store: where tracks are kept.
    """

    def __init__(self, settings: Listen, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._track: tuple[str, Track] | None = None
        self._reader: tuple[str, CopyReader] | None = None
        self._samples: tuple[tuple[str, int, int], Samples] | None = None

    def __enter__(self) -> Recordings:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the open file, if any."""
        if self._reader is not None:
            self._reader[1].__exit__(None, None, None)
            self._reader = None

    def track(self, copy: WorkingCopy) -> Track:
        """The speech and level track of a working copy."""
        if self._track is None or self._track[0] != copy.key:
            self._track = (copy.key, listen(copy, self._settings, self._store))
        return self._track[1]

    def read(self, copy: WorkingCopy, start: int, stop: int) -> Samples:
        """Samples `[start, stop)` of a working copy, float32 `(n,)`, clamped to it."""
        where = (copy.key, start, stop)
        if self._samples is None or self._samples[0] != where:
            if self._reader is None or self._reader[0] != copy.key:
                self.close()
                self._reader = (copy.key, CopyReader(copy.path))
            self._samples = (where, self._reader[1].read(start, stop))
        return self._samples[1]


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
