"""What the provider tests share: a vendor that answers by path, samples, and the limits as shipped."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

from pipelines.vendors import load_vendor
from prep.providers import open_provider, provider_class
from prep.providers.account import Account, Secret
from prep.providers.base import EnrolRequest, Provider, SampleFile
from prep.providers.http import Backoff
from prep.providers.limits import VendorLimit
from prep.providers.notes import Notes

KEY = "sk-test-key"
TOKEN = "0123456789abcdef0123456789abcdef"
PATIENT = Backoff(start_s=0, settle_s=0, sleep=lambda _: None)
Answer = httpx.Response | Callable[[httpx.Request], httpx.Response]

__all__ = ["KEY", "TOKEN", "Answers", "Notes", "limits_of", "request_of", "sample", "wav"]


@functools.cache
def wav(
    seconds: float = 10.5, rate_hz: int = 24000, channels: int = 1, kind: str = "PCM_16", form: str = "WAV"
) -> bytes:
    """A file of a constant; enough for what only reads headers."""
    out = io.BytesIO()
    samples = 0.1 * np.ones((round(seconds * rate_hz), channels), np.float32)
    soundfile.write(out, samples, rate_hz, format=form, subtype=kind)
    return out.getvalue()


def sample(data: bytes | None = None, text: str = "words", name: str = "a.wav", **facts: Any) -> SampleFile:
    """A sample whose pauses are known and fine, unless `facts` say otherwise."""
    from dataclasses import replace

    made = SampleFile.of(Path(name), wav() if data is None else data, text)
    return replace(made, **{"longest_pause_s": 0.4, "longest_speech_s": 5.0, "text_confidence": 0.95, **facts})


def request_of(*samples: SampleFile, name: str = "Ann", by_url: bool = True, **options: str) -> EnrolRequest:
    """A request of an attempt whose token is `TOKEN`."""
    return EnrolRequest(name, samples, options, TOKEN, by_url)


@functools.cache
def limits_of(vendor: str) -> tuple[VendorLimit, ...]:
    """The limits as shipped."""
    return load_vendor(vendor).limit


class Answers:
    """A vendor: the first answer whose path (`METHOD /end/of/path`) fits; keeps what was asked.

    An answer may be a list: one after the other, the last one again and again.
    """

    def __init__(self, vendor: str, answers: dict[str, Answer | list[Answer]] | None = None, **wire: str) -> None:
        self.vendor = vendor
        self.answers = answers or {}
        self.wire = wire
        self.asked: list[httpx.Request] = []

    def handle(self, asked: httpx.Request) -> httpx.Response:
        """Answer by path."""
        self.asked.append(asked)
        for place, given in self.answers.items():
            method, _, path = place.rpartition(" ")
            if asked.url.path.endswith(path) and method in ("", asked.method):
                answer = (given.pop(0) if len(given) > 1 else given[0]) if isinstance(given, list) else given
                return answer(asked) if callable(answer) else answer
        return httpx.Response(404, json={"error": {"message": "no such path"}})

    def account(self, key: str | None = KEY, pair: tuple[str, str] | None = None) -> Account:
        """An account at the vendor's own address."""
        url = next(iter(provider_class(self.vendor).capabilities.regions.values()))
        secrets = (Secret(pair[0]), Secret(pair[1])) if pair else None
        variable = f"VOXPREP_{self.vendor.upper()}_API_KEY"
        return Account(self.vendor, url, Secret(key) if key else None, variable, secrets, self.wire)

    def open(self, account: Account | None = None, limits: tuple[VendorLimit, ...] | None = None) -> Provider:
        """Our client on this vendor."""
        client = httpx.Client(transport=httpx.MockTransport(self.handle))
        return open_provider(account or self.account(), client, PATIENT, limits or limits_of(self.vendor))
