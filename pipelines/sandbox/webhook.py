"""Kling's callbacks ("Callback Protocol", Kling API documentation, 2026): signed, best effort, to loopback only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx

from pipelines.sandbox.fetch import NotAUrl, http_url
from pipelines.sandbox.settings import Settings

TIMEOUT_S = 2.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def signature(secret: str, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body` under the key in `secret` (`whsec_` and base64)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{webhook_id}.{timestamp_s}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def send(url: str, body: dict[str, Any], webhook_id: str, settings: Settings) -> None:
    """POST a callback; a host other than loopback, or one that does not answer, is passed over."""
    raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    now_s = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now_s),
        "webhook-signature": signature(settings.kling_webhook_secret, webhook_id, now_s, raw),
    }
    try:
        parts = http_url(url)
        if parts.hostname in LOOPBACK:
            with httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=parts.scheme == "https") as client:
                client.post(url, content=raw, headers=headers)
    except (NotAUrl, httpx.HTTPError, httpx.InvalidURL):
        return
