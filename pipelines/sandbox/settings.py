"""What the sandbox is told, and what it keeps: settings (frozen) and the books (the only state)."""

from __future__ import annotations

import base64
import itertools
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Fault = Literal["429", "500", "502", "503", "garbage", "cut", "slow", "hang-before", "hang-after"]
"""What can go wrong on request.

429, 500, 502, 503   answered instead of the call (429 with Retry-After); nothing is carried out
garbage              carried out, then the first half of the answer, as if it were whole, with status 200
cut                  carried out, then the connection closes in the middle of the answer
slow                 carried out, then the answer trickles in over `Settings.slow_s` seconds
hang-before          never carried out, never answered
hang-after           carried out, never answered: the lost answer
"""

FAULTS: tuple[str, ...] = get_args(Fault)
VendorName = Literal["qhaigc", "kling", "qiniu", "qwen", "ai302"]
N_RECORDED = 200
MAX_RECORDED_BYTES = 100_000_000
"""Bodies of recorded requests, together; the oldest requests go first."""


@dataclass(frozen=True)
class Settings:
    """How the sandbox behaves. Times are seconds, sizes bytes.

    Args:
        keys: good API keys; each is an account of its own.
        poor_keys: keys of accounts without credit; what each vendor then says stands in its module.
        kling_pair: Kling's access key and secret key; a JWT signed with it is the account of `keys[0]`.
        kling_webhook_secret: signs Kling's callbacks; `whsec_` and base64.
        kling_videos: ids of videos that Kling made, for `video_id`.
        kling_live_tasks: Kling tasks of one account that may run at once.
        strict: also refuse what vendors only advise against.
        allow_local_hosts: whether audio may be fetched from loopback; real vendors never reach it.
        train_s: how long a training or task takes. Above 0 at least one query shows it running; at 0 a query
            waits until the audio has been fetched and looked at, so that the first one shows the end.
        fetch_timeout_s: for one audio file, altogether.
        max_fetch_bytes: largest audio file fetched.
        hear: what is said in an audio file (its bytes), for Qwen's check of the transcript; None checks only
            that the text is as long as so much speech can be.
        max_body_bytes: largest request read.
        hang_s: how long an unanswered request is held.
        slow_s: how long a slow answer takes.
        retry_after_s: what a 429 asks for, whole seconds.
    """

    keys: tuple[str, ...] = ("sk-sandbox",)
    poor_keys: tuple[str, ...] = ("sk-sandbox-poor",)
    kling_pair: tuple[str, str] = ("ak-sandbox", "sk-sandbox-secret")
    kling_webhook_secret: str = "whsec_" + base64.b64encode(b"voxprep-sandbox-webhook-secret-1").decode()
    kling_videos: tuple[str, ...] = ("sandbox-video", "sandbox-video-2")
    kling_live_tasks: int = 5
    strict: bool = True
    allow_local_hosts: bool = True
    train_s: float = 2.0
    fetch_timeout_s: float = 20.0
    max_fetch_bytes: int = 64_000_000
    hear: Callable[[bytes], str] | None = None
    max_body_bytes: int = 64_000_000
    hang_s: float = 600.0
    slow_s: float = 3.0
    retry_after_s: int = 1

    def account(self, key: str) -> str | None:
        """The account of a key, good or poor (its own name); None for a key nobody has."""
        return key if key in self.keys or key in self.poor_keys else None


@dataclass(frozen=True)
class Recorded:
    """A request as it came; header names are lower case, the value of `authorization` is blotted out."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Served:
    """A file the sandbox hands out."""

    data: bytes = field(repr=False)
    media_type: str


@dataclass
class Books:
    """The sandbox's memory: each vendor's own store, files, requests, and what is to go wrong.

    `stores[vendor]` is a dict: Qhaigc's and Qwen's voices by name, Qiniu's slots by id, Kling's and 302.AI's
    tasks by task id. `files` are served below each vendor's `/audio/`, by name.
    """

    stores: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    faults: list[PlannedFault] = field(default_factory=list)
    outcomes: list[PlannedOutcome] = field(default_factory=list)
    requests: deque[Recorded] = field(default_factory=lambda: deque(maxlen=N_RECORDED))
    files: dict[str, Served] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)
    """Trainings that cost, by account (Qiniu's `pro` slots)."""
    over: threading.Event = field(default_factory=threading.Event)
    """Set when what runs now is to stop; a reset puts a new one in its place."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def plan(self, fault: PlannedFault) -> None:
        """Keep a fault for the calls it is meant for."""
        with self.lock:
            self.faults.append(fault)

    def draw(self, method: str, path: str) -> str | None:
        """The fault due for this call, if any; counts the call."""
        with self.lock:
            self.calls[f"{method} {path}"] += 1
            for fault in self.faults:
                if fault.left > 0 and fault.method in ("*", method) and path.startswith(fault.path):
                    fault.left -= 1
                    return fault.fault
        return None

    def fail_next(self, vendor: VendorName, reason: str, times: int = 1) -> None:
        """Let the vendor's next trainings fail with this reason (Qwen and Qhaigc: refuse the next creates)."""
        with self.lock:
            self.outcomes.append(PlannedOutcome(vendor, reason, times))

    def draw_failure(self, vendor: VendorName) -> str | None:
        """The reason for which this training of the vendor is to fail, if any; uses it up."""
        with self.lock:
            for outcome in self.outcomes:
                if outcome.vendor == vendor and outcome.left > 0:
                    outcome.left -= 1
                    return outcome.reason
        return None

    def record(self, request: Recorded) -> None:
        """Keep a request; the oldest go beyond `N_RECORDED` requests or `MAX_RECORDED_BYTES` of bodies."""
        with self.lock:
            self.requests.append(request)
            total = sum(len(kept.body) for kept in self.requests)
            while total > MAX_RECORDED_BYTES and len(self.requests) > 1:
                total -= len(self.requests.popleft().body)

    def number(self) -> int:
        """A number never given before, also across resets."""
        return next(self._numbers)

    def reset(self) -> None:
        """Forget voices, tasks (running ones are stopped), files, requests, counts, faults and outcomes."""
        with self.lock:
            self.over.set()
            self.over = threading.Event()
            for store in self.stores.values():
                store.clear()
            self.calls.clear()
            self.spent.clear()
            self.files.clear()
            self.faults.clear()
            self.outcomes.clear()
            self.requests.clear()


@dataclass
class PlannedFault:
    """The next `left` calls of `method` (* = any) whose path starts with `path` go wrong."""

    fault: Fault
    path: str = "/"
    method: str = "*"
    left: int = 1


@dataclass
class PlannedOutcome:
    """The next `left` trainings of this vendor fail for this reason."""

    vendor: VendorName
    reason: str
    left: int = 1
