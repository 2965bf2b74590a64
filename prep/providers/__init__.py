"""Vendors, by name. A new vendor is one file here plus one line below; it loads when asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from prep.errors import ConfigError

if TYPE_CHECKING:
    import httpx

    from prep.providers.account import Account
    from prep.providers.base import Provider
    from prep.providers.http import Backoff
    from prep.providers.limits import VendorLimit

    Opener = Callable[[Account, httpx.Client, Backoff, Sequence[VendorLimit]], Provider]
    """What a provider class is when called."""

PROVIDERS: dict[str, str] = {
    "ai302": "Ai302",
    "kling": "Kling",
    "qhaigc": "Qhaigc",
    "qiniu": "Qiniu",
    "qwen": "Qwen",
}
"""Vendor name, which is also its module's -> its class."""


def provider_class(vendor: str) -> type[Provider]:
    """The class for a vendor.

    Raises:
        ConfigError: no such vendor; the message lists those there are.
    """
    if vendor not in PROVIDERS:
        raise ConfigError(f"no vendor named {vendor!r}; there are: {', '.join(sorted(PROVIDERS))}")
    module = importlib.import_module(f"prep.providers.{vendor}")
    return cast("type[Provider]", getattr(module, PROVIDERS[vendor]))


def open_provider(account: Account, client: httpx.Client, backoff: Backoff, limits: Sequence[VendorLimit]) -> Provider:
    """The account's vendor, held to these limits, over one HTTP client (which stays the caller's to close)."""
    opener: Opener = provider_class(account.vendor)
    return opener(account, client, backoff, limits)
