"""Stages measure, gates judge, `apply` runs a stage over clips through the store.

A stage is a frozen dataclass whose fields are its settings: they, its version and its weights' digest make the key
of every result, so a changed setting never meets an old answer. Limits are not settings: gates are pure, cost
nothing and can be asked again with other limits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any, Protocol

from prep.clip import Clip, Measures, Reason
from prep.parallel import ordered
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
    """Run one stage over the clips that are alive; see `apply_all`. `on_done` is told each clip worked on."""
    return apply_all([stage], clips, store, on_done)


def apply_all(
    stages: Sequence[Stage],
    clips: Sequence[Clip],
    store: Store,
    on_done: Callable[[Clip], None] | None = None,
    threads: int = 1,
) -> list[Clip]:
    """Run stages over the clips that are alive; the others pass through untouched.

    Each clip goes through all of them before the next one does, so that it is read once. Results come from the store
    where it has them (one entry per working copy and stage); a model is opened only when one is missing. What is
    worked out is saved as it goes, so that an interruption costs seconds. With `threads`, several clips are worked on
    at a time: the stages' work must allow that.

    Raises:
        ValueError: a stage returned another number of results than it was given clips.
    """
    alive = [clip for clip in clips if clip.alive]
    runs = [_Run(stage, alive, store) for stage in stages]
    _work([run for run in runs if run.missing], alive, on_done, threads)
    out = list(clips)
    for run in runs:
        out = [run.merged(clip) if clip.alive else clip for clip in out]
    return out


class _Run:
    """One stage over these clips: what the store has, and what is missing."""

    def __init__(self, stage: Stage, alive: Sequence[Clip], store: Store) -> None:
        self.stage = stage
        self._store, self._mark = store, fingerprint(stage)
        self._packs = {key: store.get(digest(key, self._mark)) or {} for key in {clip.copy.key for clip in alive}}
        self.missing = {_id(clip) for clip in alive if clip.key not in self._packs[clip.copy.key]}
        self._unsaved: set[str] = set()

    def take(self, clip: Clip, result: dict[str, Any]) -> None:
        """One clip's result."""
        self._packs[clip.copy.key][clip.key] = result
        self._unsaved.add(clip.copy.key)

    def save(self) -> None:
        """Keep what was worked out."""
        for key in sorted(self._unsaved):
            self._store.put(digest(key, self._mark), self._packs[key])
        self._unsaved.clear()

    def merged(self, clip: Clip) -> Clip:
        """The clip with the stage's result in it."""
        merged = self.stage.merge(clip, self._packs[clip.copy.key][clip.key])
        return replace(merged, stages=(*clip.stages, f"{self.stage.name}@{self.stage.version}"))


def _work(runs: Sequence[_Run], alive: Sequence[Clip], on_done: Callable[[Clip], None] | None, threads: int) -> None:
    todo = {_id(clip): clip for clip in alive if any(_id(clip) in run.missing for run in runs)}
    saved_at = time.monotonic()
    with ExitStack() as opened:
        works = [(run, opened.enter_context(run.stage.open())) for run in runs]

        def work_out(clip: Clip) -> list[tuple[_Run, dict[str, Any]]]:
            return [(run, _only(work([clip]))) for run, work in works if _id(clip) in run.missing]

        try:
            for clip, results in zip(todo.values(), ordered(work_out, todo.values(), threads), strict=True):
                for run, result in results:
                    run.take(clip, result)
                if time.monotonic() - saved_at > SAVE_EVERY_S:
                    _save(runs)
                    saved_at = time.monotonic()
                if on_done is not None:
                    on_done(clip)
        finally:
            _save(runs)


def _id(clip: Clip) -> tuple[str, str]:
    return clip.copy.key, clip.key


def _only(results: list[dict[str, Any]]) -> dict[str, Any]:
    (result,) = results
    return result


def _save(runs: Sequence[_Run]) -> None:
    for run in runs:
        run.save()


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
