"""Fetch a piece of speech from the address a vendor gave: without the key, since it may lie elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from prep.errors import ProviderFailure, Refused, Retryable
from prep.providers.base import Speech
from prep.providers.http import LOOPBACK, Backoff, by_status, foreign_errors

MAX_SPEECH_BYTES = 200_000_000
NOT_AUDIO = ("application/json", "text/html", "text/plain", "application/xml", "text/xml")


def fetch_audio(vendor: str, url: str, client: httpx.Client, backoff: Backoff, base_url: str) -> Speech:
    """The audio at `url`.

    Raises:
        Refused: no http(s) address, one on this machine though the vendor is not, gone, or no audio.
        Retryable: it cannot be fetched now.
    """
    host, vendors_host = (urlsplit(address).hostname or "" for address in (url, base_url))
    # storage behind vendors gives plain http too; no key travels, but it must not lead back to this machine
    usable = urlsplit(url).scheme in ("http", "https") and host and (host not in LOOPBACK or vendors_host in LOOPBACK)
    if not usable:
        raise Refused(ProviderFailure(vendor, "the address it gave for the speech cannot be used"))
    result: Speech = backoff.retrying(Retryable)(_once, vendor, url, client)
    return result


def _once(vendor: str, url: str, client: httpx.Client) -> Speech:
    with foreign_errors(vendor, creates=False):
        answer = client.get(url, follow_redirects=False)
        data = answer.content
    if not answer.is_success:
        said = f"the speech cannot be fetched: {answer.reason_phrase}"
        raise by_status(ProviderFailure(vendor, said, "", answer.status_code, fix="speak it again; links expire"))
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not data or len(data) > MAX_SPEECH_BYTES or media_type in NOT_AUDIO:
        raise Refused(ProviderFailure(vendor, f"{media_type or 'nothing'} instead of audio at the address it gave"))
    return Speech(data, media_type)
