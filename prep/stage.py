"""Stages measure, gates judge, `apply` runs a stage over clips through the store.

A stage is a frozen dataclass whose fields are its settings: they, its version and its weights' digest make the key
of every result, so a changed setting never meets an old answer. Limits are not settings: gates are pure, cost
nothing and can be asked again with other limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from prep.clip import Clip, Measures, Reason
from prep.store import Store, digest

Work = Callable[[Sequence[Clip]], list[dict[str, Any]]]
"""n clips in, n JSON results out, same order."""


class Stage(Protocol):
    """One step that learns something about each clip by itself; no result may depend on a clip's neighbours."""

    @property
    def name(self) -> str:
        """Short noun, unique; appears in a row's `stages`."""
        ...

    @property
    def version(self) -> str:
        """Changed whenever the same settings would give another result."""
        ...

    @property
    def weights(self) -> str:
        """Digest of the model's weights, empty for plain signal processing."""
        ...

    def open(self) -> AbstractContextManager[Work]:
        """Load what is needed (once per worker, only when something is not in the store) and give the work."""
        ...

    def merge(self, clip: Clip, result: dict[str, Any]) -> Clip:
        """The clip with the result in it."""
        ...


def settings_of(stage: Any) -> dict[str, Any]:
    """A stage's settings as JSON values, without paths and devices (fields whose metadata say `key=False`)."""
    hidden = {name for name, f in stage.__dataclass_fields__.items() if f.metadata.get("key") is False}
    return {name: getattr(stage, name) for name in stage.__dataclass_fields__ if name not in hidden}


def fingerprint(stage: Stage) -> str:
    """Identity of a stage: name, version, settings, weights."""
    return digest(stage.name, stage.version, settings_of(stage), stage.weights)


SAVE_EVERY_S = 2.0
"""How much work a kill may cost; each save rewrites one small file."""


def apply(
    stage: Stage, clips: Sequence[Clip], store: Store, on_done: Callable[[Clip], None] | None = None
) -> list[Clip]:
    """Run a stage over the clips that are alive; the others pass through untouched.

    Results come from the store where it has them (one entry per working copy and stage); the model is opened only
    when one is missing. What is worked out is saved as it goes, so that an interruption costs seconds.

    Raises:
        ValueError: the stage returned another number of results than it was given clips.
    """
    mark = fingerprint(stage)
    packs = {key: store.get(digest(key, mark)) or {} for key in {clip.copy.key for clip in clips if clip.alive}}
    missing = [clip for clip in clips if clip.alive and clip.key not in packs[clip.copy.key]]
    if missing:
        _work(stage, missing, packs, lambda key: store.put(digest(key, mark), packs[key]), on_done)
    label = f"{stage.name}@{stage.version}"
    return [_merged(stage, clip, packs[clip.copy.key][clip.key], label) if clip.alive else clip for clip in clips]


def _work(
    stage: Stage,
    missing: Sequence[Clip],
    packs: dict[str, dict[str, Any]],
    save: Callable[[str], None],
    on_done: Callable[[Clip], None] | None,
) -> None:
    unsaved: set[str] = set()
    saved_at = time.monotonic()
    try:
        with stage.open() as work:
            for clip in missing:
                (packs[clip.copy.key][clip.key],) = work([clip])
                unsaved.add(clip.copy.key)
                if time.monotonic() - saved_at > SAVE_EVERY_S:
                    _save_all(unsaved, save)
                    saved_at = time.monotonic()
                if on_done is not None:
                    on_done(clip)
    finally:
        _save_all(unsaved, save)


def _save_all(keys: set[str], save: Callable[[str], None]) -> None:
    for key in sorted(keys):
        save(key)
    keys.clear()


def _merged(stage: Stage, clip: Clip, result: Any, label: str) -> Clip:
    merged = stage.merge(clip, result)
    return replace(merged, stages=(*clip.stages, label))


@dataclass(frozen=True)
class Limit:
    """Bounds on one measure, inclusive; None = open."""

    measure: str
    unit: str = ""
    min: float | None = None
    max: float | None = None

    def broken_by(self, measures: Measures) -> Reason | None:
        """The reason a clip with these measures breaks this limit, or None.

        A measure that was taken and came out unknown breaks it; one never taken does not (see `Gate`).
        """
        value = measures[self.measure]
        if value is None or math.isnan(value):
            return Reason(self.measure, None, self.min if self.min is not None else self.max, self.unit)
        if self.min is not None and value < self.min:
            return Reason(self.measure, value, self.min, self.unit)
        if self.max is not None and value > self.max:
            return Reason(self.measure, value, self.max, self.unit)
        return None


@dataclass(frozen=True)
class Gate:
    """Judges clips by every limit whose measure was taken; pure."""

    limits: tuple[Limit, ...]

    def judge(self, clip: Clip) -> Clip:
        """The clip with *every* broken limit appended (in the order of the limits), unless already listed."""
        known = {reason.check for reason in clip.reasons}
        taken = [limit for limit in self.limits if limit.measure in clip.measures and limit.measure not in known]
        broken = [limit.broken_by(clip.measures) for limit in taken]
        return clip.with_reasons(tuple(reason for reason in broken if reason is not None))

    def judge_all(self, clips: Iterable[Clip]) -> list[Clip]:
        """`judge` for each, in order."""
        return [self.judge(clip) for clip in clips]
