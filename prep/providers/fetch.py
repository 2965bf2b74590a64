"""Fetch a piece of speech from the address a vendor gave: without the key, since it may lie elsewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from prep.errors import ProviderFailure, Refused, Retryable
from prep.hosting.check import is_public
from prep.providers.base import Speech
from prep.providers.http import Backoff, by_status, foreign_errors

MAX_SPEECH_BYTES = 200_000_000
NOT_AUDIO = ("application/json", "text/html", "text/plain", "application/xml", "text/xml")


def fetch_audio(vendor: str, url: str, client: httpx.Client, backoff: Backoff, base_url: str) -> Speech:
    """The audio at `url`.

    Raises:
        Refused: no http(s) address, one on this machine or network though the vendor is not, gone, or no audio.
        Retryable: it cannot be fetched now.
    """
    if not _usable(url, base_url):
        raise Refused(ProviderFailure(vendor, "the address it gave for the speech cannot be used"))
    result: Speech = backoff.retrying(Retryable)(_once, vendor, url, client)
    return result


def _usable(url: str, base_url: str) -> bool:
    """Storage behind vendors gives plain http too; no key travels, but it must not lead back to this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and (is_public(url) or not is_public(base_url))


def _once(vendor: str, url: str, client: httpx.Client) -> Speech:
    with foreign_errors(vendor, creates=False), client.stream("GET", url, follow_redirects=False) as answer:
        data = _body(answer) if answer.is_success else b""
    if not answer.is_success:
        said = f"the speech cannot be fetched: {answer.reason_phrase}"
        raise by_status(ProviderFailure(vendor, said, "", answer.status_code, fix="speak it again; links expire"))
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if len(data) > MAX_SPEECH_BYTES:
        raise Refused(ProviderFailure(vendor, f"more than {MAX_SPEECH_BYTES} bytes at the address it gave"))
    if not data or media_type in NOT_AUDIO:
        raise Refused(ProviderFailure(vendor, f"{media_type or 'nothing'} instead of audio at the address it gave"))
    return Speech(data, media_type)


def _body(answer: httpx.Response) -> bytes:
    """The body, given up where it is too long: a stream need not end."""
    data = bytearray()
    for part in answer.iter_bytes():
        data += part
        if len(data) > MAX_SPEECH_BYTES:
            break
    return bytes(data)
