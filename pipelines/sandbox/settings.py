"""What the sandbox is told, and what it keeps: settings (frozen) and the books (the only state)."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Fault = Literal["429", "500", "502", "503", "garbage", "cut", "hang-before", "hang-after"]
"""What can go wrong on request.

429, 500, 502, 503   answered instead of the call (429 with Retry-After); nothing is carried out
garbage              carried out, then half a JSON document with status 200
cut                  carried out, then the connection closes in the middle of the answer
hang-before          never carried out, never answered
hang-after           carried out, never answered: the lost answer
"""

FAULTS: tuple[str, ...] = get_args(Fault)


@dataclass(frozen=True)
class Settings:
    """How the sandbox behaves.

    `strict` also refuses what vendors only advise against (Qhaigc: clips under 10 s, stereo, other rates).
    `hang_s` is how long an unanswered request is held (seconds), `retry_after_s` what a 429 asks for (whole
    seconds).
    """

    keys: tuple[str, ...] = ("sk-sandbox",)
    strict: bool = True
    max_body_bytes: int = 64_000_000
    hang_s: float = 600.0
    retry_after_s: int = 1


@dataclass
class Books:
    """The sandbox's memory: each vendor's own store, counts of calls, and faults waiting for their call."""

    stores: dict[str, Any] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    faults: list[PlannedFault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

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

    def reset(self) -> None:
        """Forget voices, counts and faults."""
        with self.lock:
            self.calls.clear()
            self.faults.clear()
            for store in self.stores.values():
                store.clear()


@dataclass
class PlannedFault:
    """The next `left` calls of `method` (* = any) whose path starts with `path` go wrong."""

    fault: Fault
    path: str = "/"
    method: str = "*"
    left: int = 1
