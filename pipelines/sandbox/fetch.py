"""Getting audio from the URL a client names, as a vendor's server would: no redirects, bounded size and time."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from pipelines.sandbox.jobs import Unfit
from pipelines.sandbox.settings import Settings

MAX_URL = 2048


class NotAUrl(ValueError):
    """The string is no usable http(s) URL; says why."""


def http_url(text: str) -> SplitResult:
    """Take an http(s) URL apart.

    Raises:
        NotAUrl: another scheme, no host, blanks or control characters in it, not ASCII, or over 2048 characters.
    """
    if len(text) > MAX_URL or not re.fullmatch(r"[!-~]+", text):
        raise NotAUrl("must be an ASCII URL without blanks, at most 2048 characters long")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise NotAUrl(f"is not a URL ({error})") from error
    if parts.scheme not in ("http", "https") or not host:
        raise NotAUrl("must be an http(s) URL")
    return parts


def is_local(parts: SplitResult) -> bool:
    """Whether the URL names this machine or its private networks, by an address in any spelling or a local name."""
    host = (parts.hostname or "").rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        pass  # a name, or a short spelling such as 127.1
    try:
        return not ipaddress.ip_address(socket.inet_aton(host)).is_global
    except OSError:
        return host in ("", "localhost") or host.endswith((".localhost", ".local"))


def fetch(url: str, settings: Settings) -> bytes:
    """The bytes behind a URL; blocks.

    Raises:
        Unfit: not http(s), not reachable within `fetch_timeout_s`, not status 200 (a redirect is none), empty, cut
            short, or larger than `max_fetch_bytes`.
    """
    try:
        parts = http_url(url)
        local = is_local(parts)
    except NotAUrl as error:
        raise Unfit(f"the URL {error}") from error
    if local and not settings.allow_local_hosts:
        raise Unfit("the URL cannot be reached: it names a private host")
    try:
        # a proxy has no way to this machine's loopback; without TLS, loading the certificates is time lost
        return _read(url, settings, {"trust_env": not local, "verify": parts.scheme == "https"})
    except httpx.HTTPError as error:
        raise Unfit(f"the URL cannot be fetched ({type(error).__name__}: {error})") from error
    except (httpx.InvalidURL, UnicodeError) as error:  # a host that is no name: found when it is looked up
        raise Unfit(f"the URL cannot be fetched ({error})") from error


def _read(url: str, settings: Settings, how: Mapping[str, Any]) -> bytes:
    until = time.monotonic() + settings.fetch_timeout_s
    body = bytearray()
    with (
        httpx.Client(follow_redirects=False, timeout=settings.fetch_timeout_s, **how) as client,
        client.stream("GET", url) as got,
    ):
        if got.status_code != 200:
            raise Unfit(f"the URL answered with HTTP status {got.status_code}")
        for part in got.iter_bytes():
            body += part
            if len(body) > settings.max_fetch_bytes:
                raise Unfit(f"the file is larger than {settings.max_fetch_bytes} bytes")
            if time.monotonic() > until:
                raise Unfit(f"the file took longer than {settings.fetch_timeout_s:g} s")
    if not body:
        raise Unfit("the file is empty")
    return bytes(body)
