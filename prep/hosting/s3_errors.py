"""What an S3 storage's refusals mean, and what to do about them.

The library gives its errors as text: one line with the HTTP status and the storage's XML, then a dump. Only the
status, `<Code>` and `<Message>` are taken from it; the rest can echo the request, session token included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from prep.errors import ProviderError, ProviderFailure, Refused, Retryable
from prep.hosting.base import VENDOR
from prep.providers.http import by_status

FIXES: Mapping[str, str] = {
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID, and that the endpoint belongs to the storage that made the key",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_S3_ADDRESSING_STYLE",
    "AccessDenied": "give this key the right to put, get and delete objects below the prefix",
    "NoSuchBucket": "make the bucket first, or check its name, the endpoint and AWS_S3_ADDRESSING_STYLE",
    "RequestTimeTooSkewed": "set this machine's clock",
    "ExpiredToken": "get new temporary keys",
    "InvalidToken": "unset AWS_SESSION_TOKEN or get new temporary keys",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "SecondLevelDomainForbidden": "set AWS_S3_ADDRESSING_STYLE=virtual",
    "PathStyleDomainForbidden": "set AWS_S3_ADDRESSING_STYLE=virtual",
    "PublicEndpointForbidden": "use a bucket outside mainland China or a domain of your own bound to the bucket "
    "(docs/hosting.md, Alibaba OSS)",
}
"""S3 error code -> what to do. The last three are Alibaba's and Tencent's own."""

_TROUBLES = (
    ("dns error", "its name cannot be resolved"),
    ("Connection refused", "connection refused"),
    ("timed out", "no answer in time"),
    ("TimedOut", "no answer in time"),
    ("ertificate", "its TLS certificate is not trusted"),
)
_DUMP = "\n\nDebug source:"


def translated(text: str, bucket: str, redact: Callable[[str], str]) -> ProviderError:
    """The library's error text as `Refused` (the storage's own no) or `Retryable` (408, 429, 5xx, no answer).

    Without a status it is `Retryable`, save for the redirect that S3 answers for a wrong region.
    """
    head = text.split(_DUMP, 1)[0]
    status = re.search(r"status code: (\d{3})", head)
    if status is None:
        return _no_status(head, text)
    code = _tag(head, "Code")
    message = redact(_tag(head, "Message") or "no reason given")[:300]
    fix = FIXES.get(code, "")
    if not fix and status[1] in ("301", "307", "308"):
        fix = "set AWS_REGION and the endpoint to the bucket's own"
    return by_status(ProviderFailure(VENDOR, f"bucket {bucket}: {message}", redact(code)[:60], int(status[1]), fix=fix))


def _no_status(head: str, text: str) -> ProviderError:
    if "redirect" in head:
        fix = "set AWS_REGION and the endpoint to the bucket's own"
        return Refused(ProviderFailure(VENDOR, "the storage answers with a redirect", fix=fix))
    words = next(
        (words for mark, words in _TROUBLES if mark in text), "the connection broke or the answer is unreadable"
    )
    fix = "check the network and AWS_ENDPOINT_URL_S3"
    return Retryable(ProviderFailure(VENDOR, f"the storage cannot be reached: {words}", fix=fix))


def _tag(text: str, name: str) -> str:
    found = re.search(rf"<{name}>([^<]*)</{name}>", text)
    return found[1].strip() if found else ""
