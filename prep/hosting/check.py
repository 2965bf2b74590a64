"""Fetch a hosted clip the way a vendor does, before a vendor is told of it.

Source of the rules: the project's vendor notes, section 0 (assumed there, as no vendor states all of them): a
plain GET without credentials, ASCII URL, no redirect, the right Content-Type and Content-Length. A vendor's own
refusal comes late and says little ("audio invalid"); this one comes early and names the cause.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
import time
from contextlib import closing
from pathlib import PurePosixPath
from typing import NoReturn
from urllib.parse import urlsplit

import httpx

from prep.errors import ConfigError, ProviderFailure, Refused, Retryable
from prep.hosting.base import VENDOR, Hosted, checked_url, without_query
from prep.providers.http import Backoff, by_status, open_client, retry_after_s

TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=10.0, pool=10.0)
"""Seconds; a vendor waits no longer."""

FETCH_S = 120.0
"""Seconds for the whole file: a server that drips bytes would hold a vendor, too."""

FORMATS = (
    (("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"), (".wav",)),
    (("audio/mpeg", "audio/mp3"), (".mp3",)),
    (("audio/mp4", "audio/x-m4a", "audio/m4a"), (".m4a", ".mp4")),
    (("audio/flac", "audio/x-flac"), (".flac",)),
    (("audio/ogg", "application/ogg"), (".ogg", ".opus")),
)
"""Media types that mean the same, and the file name endings that go with them."""

_HOME = (".local", ".localhost", ".internal", ".lan", ".home.arpa")


def is_public(url: str) -> bool:
    """Whether a machine elsewhere on the internet could reach the URL's host, judged by its spelling alone.

    False for loopback, private, link-local and reserved addresses (in any spelling), for `localhost`, names
    without a dot, `.local`, `.internal`, `.lan`, `.home.arpa`, and for what is no URL. No name is looked up: a
    public name may still lead to a private address.
    """
    try:
        host = (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return False
    address = _address(host)
    if address is not None:
        return address.is_global and not address.is_multicast
    return "." in host and not host.endswith(_HOME)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        if not re.fullmatch(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+)){0,3}", host):
            return None
        try:  # `127.1` and `2130706433` are spellings that resolvers take
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def verify(
    hosted: Hosted,
    data: bytes,
    media_type: str,
    client: httpx.Client | None = None,
    backoff: Backoff | None = None,
) -> None:
    """Fetch `hosted.url` without credentials and hold the answer against the file.

    At most `len(data) + 1` bytes are kept. A URL that only this machine reaches is fine here: ask `is_public`
    before it is given to a vendor.

    Raises:
        Refused: the URL or the answer breaks a rule; the failure names what was found, the rule and the fix.
        Retryable: no answer, 408, 429 or 5xx, after all tries of `backoff`.
    """
    _check_url(hosted, media_type)
    own = open_client(hosted.url) if client is None else None
    try:
        (backoff or Backoff()).retrying(Retryable)(_fetch_once, own or client, hosted.url, data, media_type)
    finally:
        if own is not None:
            own.close()


def _check_url(hosted: Hosted, media_type: str) -> None:
    url = hosted.url
    if not url:
        _refuse("no URL is known for this clip any more", "the URL is not kept", "upload the clip again")
    try:
        path = checked_url(url, "the URL").path
    except ConfigError as error:
        _refuse(str(error), "an ASCII http(s) URL without credentials in it", "give another URL")
    endings = next((endings for types, endings in FORMATS if media_type in types), ())
    if endings and PurePosixPath(path).suffix.lower() not in endings:
        fix = "give the file that ending; some vendors judge by the name"
        _refuse(f"{without_query(url)} does not end in {' or '.join(endings)}", f"a {media_type} file", fix)


def _fetch_once(client: httpx.Client, url: str, data: bytes, media_type: str) -> None:
    # identity: Content-Length then counts the file's own bytes
    request = client.build_request("GET", url, headers={"Accept-Encoding": "identity"}, timeout=TIMEOUT)
    for name in ("Authorization", "Cookie"):  # a caller's client may have its own
        request.headers.pop(name, None)
    try:
        answer = client.send(request, stream=True, auth=None, follow_redirects=False)
        with closing(answer):
            _check_head(answer, without_query(url), data, media_type)
            _check_bytes(answer, without_query(url), data)
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        words = f"{type(error).__name__}: {str(error)[:150]}".rstrip(": ")
        fix = "check that the server runs, is reachable from here and sends the whole file"
        raise Retryable(
            ProviderFailure(VENDOR, f"{without_query(url)} cannot be fetched ({words})", fix=fix)
        ) from error


def _check_head(answer: httpx.Response, where: str, data: bytes, media_type: str) -> None:
    status = answer.status_code
    if status != 200:
        raise _wrong_status(answer, where)
    found = answer.headers.get("content-type", "")
    plain = found.partition(";")[0].strip().lower()
    same = next((types for types, _ in FORMATS if media_type in types), (media_type,))
    if plain not in same:
        said = f"Content-Type {found!r}" if found else "no Content-Type"
        _refuse(f"{where} comes with {said}", f"it must be {media_type}", f"have the server send {media_type}", status)
    length = answer.headers.get("content-length")
    if length is None:
        fix = "have the server send the length (no chunked or compressed answer)"
        _refuse(f"{where} comes without Content-Length", "the length must be stated", fix, status)
    if length.strip() != str(len(data)):
        rule = f"it must be the file's {len(data)} bytes"
        _refuse(f"{where} has Content-Length {length[:20]}", rule, "upload the clip again", status)


def _wrong_status(answer: httpx.Response, where: str) -> Refused | Retryable:
    status, rule = answer.status_code, "a plain GET must answer 200"
    message, fix = f"{where} answers {status} {answer.reason_phrase}".rstrip(), "open the link without logging in"
    if answer.has_redirect_location or 300 <= status < 400:
        target = without_query(answer.headers.get("location", ""))
        message = f"{where} answers with a redirect (to {target[:200] or 'nowhere'})"
        fix = "give the final link; vendors do not follow redirects"
    elif status == 404:
        fix = "check that the web server shows the folder, or the bucket and key of the link"
    elif status in (401, 403):
        fix = "let the link be opened without credentials; a presigned link may have run out"
    error = by_status(ProviderFailure(VENDOR, message, "", status, rule, fix))
    return Retryable(error.failure, retry_after_s(answer)) if isinstance(error, Retryable) else Refused(error.failure)


def _check_bytes(answer: httpx.Response, where: str, data: bytes) -> None:
    began_s = time.monotonic()
    body = bytearray()
    for part in answer.iter_raw():
        body += part[: len(data) + 1 - len(body)]
        if len(body) > len(data):
            break
        if time.monotonic() - began_s > FETCH_S:
            fix = "use a faster server"
            raise Retryable(ProviderFailure(VENDOR, f"{where} takes more than {FETCH_S:g} s to fetch", fix=fix))
    if hashlib.sha256(body).digest() != hashlib.sha256(data).digest():
        rule = "the vendor must get exactly the finished clip"
        fix = "upload this very file; no server may change it on the way"
        _refuse(f"{where} gives other bytes than the file ({len(body)} of {len(data)})", rule, fix, answer.status_code)


def _refuse(message: str, rule: str, fix: str, status: int = 0) -> NoReturn:
    raise Refused(ProviderFailure(VENDOR, message, "", status, rule, fix))
