"""`s3://BUCKET/PREFIX`: any S3 storage; the vendor gets a presigned GET URL, the bucket stays private.

Endpoint, region and keys come from the usual AWS variables, and from the mapping that is passed in alone: what
the library would read from the process environment by itself is overridden. `AWS_S3_ADDRESSING_STYLE`:

    virtual   https://BUCKET.endpoint/key   AWS, Alibaba OSS, Tencent COS
    path      https://endpoint/BUCKET/key   MinIO, SeaweedFS, Cloudflare R2, Qiniu Kodo
    cname     https://endpoint/key          the endpoint is a domain of the user's own, bound to the bucket
    auto      (default) virtual for AWS itself and hosts known to take nothing else, path for all others
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import httpx
import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from prep.errors import ConfigError, Retryable
from prep.hosting.base import Hosted, checked_name, checked_url, new_name, shown
from prep.hosting.check import is_public
from prep.hosting.s3_errors import translated
from prep.providers.account import Secret
from prep.providers.http import LOOPBACK, Backoff

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Credential

T = TypeVar("T")

LINK_LIFE = timedelta(hours=2)
"""How long a presigned URL opens. Vendors may read up to an hour after the submit (vendor notes, section 0);
twice that covers a queue, and a link that leaks is dead the same day."""

WRITE_IT = "write --hosting s3://BUCKET/PREFIX, for example s3://voices/samples"
STYLE = "AWS_S3_ADDRESSING_STYLE"
STYLES = ("auto", "virtual", "path", "cname")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")

VIRTUAL_ONLY = (".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com", ".myqcloud.com")
"""Hosts that take no path style: Alibaba OSS "only virtual hosted-style URLs" (API overview, read 2026), Tencent
COS for buckets made after 2024-01-01 (document 436/75050, read 2026), AWS advises against it."""

ANY_REGION = "us-east-1"
"""Signed where an endpoint is given without a region: what S3 clones expect by default."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True)
class Keys:
    """Who asks; shows no secret in its repr."""

    access_key_id: str
    secret: Secret
    token: Secret | None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Keys:
        """From the AWS variables; ConfigError names the missing ones."""
        needed = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        missing = [name for name in needed if not environ.get(name, "").strip()]
        if missing:
            raise ConfigError(f"--hosting s3: set the environment variable {' and '.join(missing)}")
        token = environ.get("AWS_SESSION_TOKEN", "").strip()
        return cls(
            Secret(environ[needed[0]], needed[0]).reveal(),
            Secret(environ[needed[1]], needed[1]),
            Secret(token, "AWS_SESSION_TOKEN") if token else None,
        )

    def redact(self, text: str) -> str:
        """`text` without secret and token: storages echo what they were sent."""
        text = self.secret.redact(text)
        return self.token.redact(text) if self.token else text


@dataclass(frozen=True)
class Bucket:
    """Where: `endpoint` with the bucket in it where `virtual`, `prefix` without slashes at its ends."""

    name: str
    prefix: str
    endpoint: str
    region: str
    virtual: bool


class S3Host:
    """A prefix in a bucket; `prep.hosting.base.Host` says what each method promises.

    Not for use inside a running event loop: `put` and `remove` run one of their own.
    """

    removable = True

    def __init__(self, bucket: Bucket, keys: Keys, backoff: Backoff) -> None:
        self.spec = f"s3://{bucket.name}/{bucket.prefix}".rstrip("/")
        self._bucket = bucket
        self._keys = keys
        self._backoff = backoff
        self._store = _store(bucket, keys)

    @property
    def promise(self) -> str:
        """Who can read a clip, how long, and how it goes away."""
        hours = LINK_LIFE.total_seconds() / 3600
        return (
            f"Whoever has the link can read the clip in {self.spec} for {hours:g} hours; "
            "the object stays until it is removed, which deletes it."
        )

    def place(self, data: bytes, suffix: str) -> str:
        """A fresh object key below the prefix; see `Host`."""
        name = new_name(suffix)
        return f"{self._bucket.prefix}/{name}" if self._bucket.prefix else name

    def put(self, key: str, data: bytes, media_type: str) -> Hosted:
        """Write the object in one request with its Content-Type, and sign a URL that opens for `LINK_LIFE`.

        Raises:
            ConfigError: the key was not made by `place`.
            Refused, Retryable: in the storage's own words, without keys.
        """
        self._own(key)
        attributes = {"Content-Type": media_type}
        # not in parts: S3 clones differ most there, and one clip is a few megabytes
        self._try(lambda: obstore.put_async(self._store, key, data, attributes=attributes, use_multipart=False))
        return Hosted(self.spec, key, self._sign(key), self.removable)

    def remove(self, key: str) -> None:
        """Delete the object; in a bucket with versions, older versions stay."""
        self._own(key)
        self._try(lambda: obstore.delete_async(self._store, key))

    def close(self) -> None:
        """Nothing to give back: connections end with the object."""

    def _sign(self, key: str) -> str:
        return obstore.sign(self._store, "GET", key, LINK_LIFE)

    def _own(self, key: str) -> None:
        head, _, name = key.rpartition("/")
        if head != self._bucket.prefix:
            raise ConfigError(f"{key[:80]!r} is not below {self.spec}; it is left alone")
        checked_name(name)

    def _try(self, work: Callable[[], Awaitable[T]]) -> T:
        result: T = self._backoff.retrying(Retryable)(self._once, work)
        return result

    def _once(self, work: Callable[[], Awaitable[T]]) -> T:
        async def running() -> T:
            return await work()

        try:
            return asyncio.run(running())  # the library's blocking calls hold back Ctrl-C until they return
        except (BaseError, FileNotFoundError, ValueError) as error:
            text = str(error)
        # raised outside of `except`: the library's text can echo a session token, so it must not be chained
        raise translated(text, self._bucket.name, self._keys.redact)


def open_host(spec: str, environ: Mapping[str, str], client: httpx.Client | None, backoff: Backoff) -> S3Host:
    """Open `s3://BUCKET/PREFIX`; the prefix may be absent.

    Raises:
        ConfigError: malformed, keys missing, neither endpoint nor region, or an endpoint that cannot be used.
    """
    name, prefix = _place(spec)
    keys = Keys.of(environ)
    endpoint = _first(environ, ENDPOINTS).rstrip("/")
    region = _first(environ, REGIONS)
    if not endpoint and not region:
        raise ConfigError(
            "--hosting s3: set AWS_ENDPOINT_URL_S3 to your storage's S3 address (https://...), or AWS_REGION for AWS"
        )
    style = environ.get(STYLE, "").strip().lower() or "auto"
    if style not in STYLES:
        raise ConfigError(f"{STYLE}={style!r} is not known; write one of {', '.join(STYLES)}")
    if not endpoint:
        if style == "cname":
            raise ConfigError(f"{STYLE}=cname needs AWS_ENDPOINT_URL_S3: the domain that is bound to the bucket")
        endpoint = f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    address, virtual = _address(name, endpoint, style)
    return S3Host(Bucket(name, prefix, address, region or ANY_REGION, virtual), keys, backoff)


def _place(spec: str) -> tuple[str, str]:
    name, _, prefix = spec.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/")
    if not spec.startswith("s3://") or not _BUCKET.fullmatch(name):
        raise ConfigError(f"--hosting {shown(spec)!r} names no bucket; {WRITE_IT}")
    steps = set(prefix.split("/"))
    if prefix and (not _PREFIX.fullmatch(prefix) or steps & {".", ".."}):
        raise ConfigError(f"--hosting {shown(spec)!r}: use letters, digits, . _ - and / in the prefix; {WRITE_IT}")
    return name, prefix


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name].strip() for name in names if environ.get(name, "").strip()), "")


def _address(bucket: str, endpoint: str, style: str) -> tuple[str, bool]:
    """The endpoint with the bucket in it where it belongs, and whether it names the bucket."""
    parts = checked_url(endpoint, "AWS_ENDPOINT_URL_S3")
    host = parts.hostname or ""
    if parts.path or parts.query:
        raise ConfigError(f"AWS_ENDPOINT_URL_S3 must be a bare address like https://{host}, without bucket or path")
    if parts.scheme == "http" and is_public(endpoint):
        raise ConfigError(f"AWS_ENDPOINT_URL_S3 {endpoint!r} would send the recording in the clear; use https")
    if style == "cname":
        return endpoint, True
    # a certificate for *.host does not cover a bucket name with a dot
    if style == "path" or (style == "auto" and not (host.endswith(VIRTUAL_ONLY) and "." not in bucket)):
        return endpoint, False
    bound = host.startswith(f"{bucket}.")  # some consoles show the address with the bucket in it
    return endpoint if bound else f"{parts.scheme}://{bucket}.{parts.netloc}", True


def _store(bucket: Bucket, keys: Keys) -> S3Store:
    def credential() -> S3Credential:
        token = keys.token.reveal() if keys.token else None
        secret = keys.secret.reveal()
        return {"access_key_id": keys.access_key_id, "secret_access_key": secret, "token": token, "expires_at": None}

    config: S3Config = {
        "endpoint": bucket.endpoint,
        "region": bucket.region,
        "virtual_hosted_style_request": bucket.virtual,
        "skip_signature": False,  # left out, these two would be read from the process environment
        "unsigned_payload": False,
        "disable_bulk_delete": True,  # one DELETE per object: clones differ in the checksums of the bulk call
    }
    try:
        return S3Store(
            bucket.name,
            config=config,
            credential_provider=credential,
            client_options=_client_options(bucket.endpoint),
            retry_config={"max_retries": 0},  # `Backoff` does it, by the same rule as everywhere
        )
    except (BaseError, ValueError) as error:
        raise ConfigError(f"--hosting s3: {keys.redact(str(error))[:200]}") from None


def _client_options(endpoint: str) -> ClientConfig:
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": "10s",
        "timeout": "180s",
    }
    host = urlsplit(endpoint).hostname or ""
    if host in LOOPBACK:  # a proxy that is named and always passed by: the only way to switch those of the system off
        options.update({"proxy_url": endpoint, "proxy_excludes": host})
    return options
