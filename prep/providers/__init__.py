"""Vendors, by name. A new vendor is one file here plus one line below; it loads when asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prep.errors import ConfigError

if TYPE_CHECKING:
    import httpx

    from prep.providers.base import Account, Provider
    from prep.providers.http import Backoff

    Opener = Callable[[Account, httpx.Client, Backoff], Provider]
    """What a provider class is when called."""


def _qhaigc() -> type[Provider]:
    from prep.providers.qhaigc import Qhaigc

    return Qhaigc


PROVIDERS: dict[str, Callable[[], type[Provider]]] = {"qhaigc": _qhaigc}
"""Vendor name -> function that imports and returns its class."""


def provider_class(vendor: str) -> type[Provider]:
    """The class for a vendor.

    Raises:
        ConfigError: no such vendor; the message lists those there are.
    """
    if vendor not in PROVIDERS:
        raise ConfigError(f"no vendor named {vendor!r}; there are: {', '.join(sorted(PROVIDERS))}")
    return PROVIDERS[vendor]()


def open_provider(vendor: str, account: Account, client: httpx.Client, backoff: Backoff) -> Provider:
    """A vendor opened for one account over one HTTP client (which stays the caller's to close)."""
    opener: Opener = provider_class(vendor)
    return opener(account, client, backoff)
