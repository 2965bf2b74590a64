"""Kling's two signatures: the tokens we sign, and the callbacks it signs.

Sources: Kling "Authentication" and "Callbacks" pages (2026, high confidence); the fields of callbacks likewise,
`voices` under `task_result` by analogy with what they print for images and videos.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prep.errors import PrepError
from prep.providers.account import Secret

TOKEN_LIFE_S = 1800
TOKEN_BACKDATED_S = 5
REFRESH_AT = 0.8
CALLBACK_FRESH_S = 300.0
WEBHOOK_PREFIX = "whsec_"


class Tokens:
    """Signs tokens of 30 minutes with a pair of keys, a new one when 80 % of that is over; called for each request.

    Claims as documented: `iss` the access key, `exp` now + 1800 s, `nbf` now - 5 s.
    """

    def __init__(self, access: Secret, secret: Secret, now: Callable[[], float] = time.time) -> None:
        self._access, self._secret, self._now = access, secret, now
        self._token: Secret | None = None
        self._until = 0.0

    def __call__(self) -> Secret:
        """A token that is valid now."""
        now = self._now()
        if self._token is None or now >= self._until:
            self._token = Secret(sign(self._access.reveal(), self._secret.reveal(), int(now)), "the signed token")
            self._until = now + REFRESH_AT * TOKEN_LIFE_S
        return self._token

    def renew(self) -> None:
        """Forget the token: the vendor says that it has expired."""
        self._token = None


def sign(access: str, secret: str, now_s: int) -> str:
    """A Kling token, JWT HS256 (RFC 7519) over `iss`, `exp`, `nbf`, made at `now_s` (Unix seconds)."""
    import jwt  # late: only accounts with a pair of keys need it

    claims = {"iss": access, "exp": now_s + TOKEN_LIFE_S, "nbf": now_s - TOKEN_BACKDATED_S}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of keys under 32 bytes; how long its keys are is Kling's to say
        return str(jwt.encode(claims, secret, algorithm="HS256"))


class BadCallback(PrepError):
    """A callback that Kling did not sign, that is too old, or that cannot be read; answer it with a 4xx."""


@dataclass(frozen=True)
class Callback:
    """One change of a task, as Kling tells of it.

    Args:
        webhook_id: the same for a repeated delivery: do each only once.
        task_id, external_task_id: Kling's own id and ours.
        status: `submitted`, `processing`, `succeed` or `failed` (also `succeeded` from newer calls).
        message: the reason of a failure.
        voices: the finished voices that are still there, as Kling writes them (`voice_id`, `voice_name`, or `id`,
            `name`).
    """

    webhook_id: str
    task_id: str
    external_task_id: str
    status: str
    message: str
    voices: tuple[Mapping[str, Any], ...]


def verify_callback(headers: Mapping[str, str], body: bytes, secret: str, now_s: float | None = None) -> Callback:
    """Check a callback's signature and age, and read it.

    Args:
        headers: of the request; `webhook-id`, `webhook-timestamp`, `webhook-signature` in any case.
        body: as it came, byte for byte.
        secret: the Webhook Secret of the Kling console, `whsec_...`.
        now_s: Unix seconds; None = now.

    Raises:
        BadCallback: no or a wrong signature, more than 300 s old or early, or no JSON object.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        webhook_id, stamp, signatures = (given[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
        age_s = abs((time.time() if now_s is None else now_s) - float(int(stamp)))
        key = base64.b64decode(secret.removeprefix(WEBHOOK_PREFIX), validate=True)
    except KeyError as error:
        raise BadCallback(f"the callback has no {error.args[0]} header") from error
    except (ValueError, OverflowError, binascii.Error) as error:
        raise BadCallback("the callback's timestamp or the webhook secret cannot be read") from error
    if not key:  # anybody can sign with nothing
        raise BadCallback("the webhook secret is empty")
    if age_s > CALLBACK_FRESH_S:
        raise BadCallback(f"the callback is {age_s:.0f} s off; {CALLBACK_FRESH_S:.0f} s are allowed")
    signed = hmac.new(key, f"{webhook_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    wanted = "v1," + base64.b64encode(signed).decode()
    if not any(hmac.compare_digest(wanted.encode(), item.encode()) for item in signatures.split()):
        raise BadCallback("the callback's signature is not Kling's")
    return _callback(webhook_id, body)


def _callback(webhook_id: str, body: bytes) -> Callback:
    """Both forms: that of the older calls (`task_id`, ...) and that of the newer ones (`id`, ...)."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadCallback("the callback is no JSON") from error
    if not isinstance(said, dict):
        raise BadCallback("the callback is no JSON object")
    info, result = said.get("task_info"), said.get("task_result")
    rows = (result or {}).get("voices") if isinstance(result, dict) else said.get("outputs")
    voices = [row for row in (rows if isinstance(rows, list) else []) if isinstance(row, dict)]
    return Callback(
        webhook_id,
        str(said.get("task_id") or said.get("id") or ""),
        str((info or {}).get("external_task_id") or "")
        if isinstance(info, dict)
        else str(said.get("external_id") or ""),
        str(said.get("task_status") or said.get("status") or ""),
        str(said.get("task_status_msg") or said.get("message") or ""),
        tuple(row for row in voices if row.get("type", "voice") == "voice" and row.get("status") != "deleted"),
    )
