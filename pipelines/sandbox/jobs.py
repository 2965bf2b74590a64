"""Trainings and tasks that run behind an answered call, in a thread each, and how they look to a query."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

MAX_AT_ONCE = 4
_places = threading.BoundedSemaphore(MAX_AT_ONCE)  # fetching and decoding; waiting for the end takes no place


class Unfit(Exception):
    """What was sent cannot be used; the message is the reason the vendor gives."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `reason` is empty where it went well, and `audio` is then what it made (a WAV file)."""

    reason: str
    audio: bytes = field(repr=False, default=b"")
    at_ms: int = 0


@dataclass
class Job:
    """Work in the background; `ended` gets its `Outcome` (or its error: a bug)."""

    train_s: float
    ended: Future[Outcome] = field(default_factory=Future)
    shown: bool = False

    async def look(self) -> Outcome | None:
        """What a query sees: None while it runs. At `train_s` 0 this waits for the end instead."""
        if self.train_s == 0:
            await asyncio.wait([asyncio.wrap_future(self.ended)])
        if not self.ended.done() or (self.train_s > 0 and not self.shown):
            self.shown = True
            return None
        return self.ended.result()

    @property
    def live(self) -> bool:
        """Whether it still runs, whatever queries were shown."""
        return not self.ended.done()


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def start(
    work: Callable[[], bytes],
    train_s: float,
    over: threading.Event,
    begun: Callable[[], None] | None = None,
    ended: Callable[[Outcome], None] | None = None,
) -> Job:
    """Run `work` (returns audio or raises `Unfit`) in a thread; the job ends `train_s` after this call at the earliest.

    Args:
        work: the fetching and checking.
        train_s: how long the job is to take, seconds.
        over: once set, the job ends at once, and badly.
        begun: called in the thread before the work.
        ended: called in the thread after the outcome is known to queries; they then need not have seen it run.
    """
    job, began = Job(train_s), time.monotonic()

    def run() -> None:
        outcome: Outcome | None = None
        try:
            if begun:
                begun()
            with _places:
                outcome = _outcome(work)
        finally:
            if outcome is None:  # a bug, on its way to stderr: the next query must meet it too
                job.ended.set_exception(RuntimeError("a job of the sandbox broke"))
        if over.wait(max(0.0, train_s - (time.monotonic() - began))):
            job.ended.set_result(Outcome("the sandbox was reset", at_ms=now_ms()))
            return
        final = Outcome(outcome.reason, outcome.audio, now_ms())
        job.shown = job.shown or ended is not None
        job.ended.set_result(final)
        if ended:
            ended(final)

    job.ended.set_running_or_notify_cancel()  # a query that is given up must not cancel the job
    threading.Thread(target=run, daemon=True, name="sandbox-job").start()
    return job


def _outcome(work: Callable[[], bytes]) -> Outcome:
    try:
        return Outcome("", work())
    except Unfit as unfit:
        return Outcome(str(unfit))
