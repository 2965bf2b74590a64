"""Put a clip somewhere a vendor can GET it: an S3 bucket, a served folder, 302.AI, or a link of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import cast

import httpx

from prep.errors import ConfigError
from prep.hosting.base import Host, Hosted, NotRemovable, shown
from prep.providers.http import Backoff

__all__ = ["KINDS", "Host", "Hosted", "NotRemovable", "open_hosting"]

Opener = Callable[[str, Mapping[str, str], httpx.Client | None, Backoff], Host]

KINDS: Mapping[str, str] = {
    "s3": "s3://BUCKET/PREFIX (any S3 storage; endpoint and keys from the AWS_... variables)",
    "dir": "dir:PATH=URL (a folder that a web server shows at URL)",
    "ai302": "ai302 (302.AI's upload endpoint; cannot be deleted)",
    "url": "url:https://... (a link you made yourself)",
}
"""Scheme -> how it is written, for messages and help."""

_MODULES = {"s3": "s3", "dir": "folder", "ai302": "ai302", "url": "link"}


def open_hosting(
    spec: str, environ: Mapping[str, str], client: httpx.Client | None = None, backoff: Backoff | None = None
) -> Host:
    """Open the place that a `--hosting` text names; sends nothing.

    Args:
        spec: one of `KINDS`.
        environ: where keys, endpoint and region are looked up.
        client: for the kinds that speak HTTP themselves (`ai302`); the caller closes it. S3 has its own.
        backoff: when passing troubles are tried again.

    Raises:
        ConfigError: the text is malformed, or a key, endpoint or folder is missing; says what to write.
    """
    scheme = spec.partition(":")[0]
    if scheme not in _MODULES:
        raise ConfigError(f"--hosting {shown(spec)!r} is not known; write one of: " + "; ".join(KINDS.values()))
    module = import_module(f"prep.hosting.{_MODULES[scheme]}")
    return cast(Opener, module.open_host)(spec, environ, client, backoff or Backoff())
