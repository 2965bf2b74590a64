"""Voices at a vendor: open one from the environment, list, show, speak, delete."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from prep.errors import ConfigError
from prep.providers import open_provider, provider_class
from prep.providers.base import Account, Provider, Secret, Voice
from prep.providers.http import Backoff, checked_base_url, open_client


@dataclass(frozen=True)
class Wire:
    """How to reach vendors: where keys and addresses come from, the transport (None = network), retries."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    transport: httpx.BaseTransport | None = None
    backoff: Backoff = field(default_factory=Backoff)


def account_for(vendor: str, base_url: str | None = None, wire: Wire | None = None) -> Account:
    """The account; the address is `base_url`, else VOXPREP_<VENDOR>_BASE_URL, else the vendor's own.

    Raises:
        ConfigError: no such vendor, an address that cannot be used, a key with letters no key has.
    """
    environ = (wire or Wire()).environ
    default = provider_class(vendor).default_base_url
    prefix = f"VOXPREP_{vendor.upper()}"
    url = base_url or environ.get(f"{prefix}_BASE_URL") or default
    variable = f"{prefix}_API_KEY"
    key = environ.get(variable)
    return Account(vendor, checked_base_url(url), Secret(key, variable) if key else None, variable)


@contextmanager
def connect(account: Account, wire: Wire | None = None) -> Iterator[Provider]:
    """Open the vendor for this account; the connection is closed at the end."""
    wire = wire or Wire()
    with open_client(account.base_url, wire.transport) as client:
        yield open_provider(account.vendor, account, client, wire.backoff)


def list_voices(vendor: str, base_url: str | None = None, wire: Wire | None = None) -> tuple[Voice, ...]:
    """Every voice the account sees at the vendor; ProviderError or ConfigError where it cannot be asked."""
    with connect(account_for(vendor, base_url, wire), wire) as provider:
        return provider.list()


def show_voice(vendor: str, voice_id: str, base_url: str | None = None, wire: Wire | None = None) -> Voice:
    """One voice; Refused where the vendor has none of that id."""
    with connect(account_for(vendor, base_url, wire), wire) as provider:
        return provider.show(voice_id)


def delete_voice(vendor: str, voice_id: str, base_url: str | None = None, wire: Wire | None = None) -> None:
    """Remove one voice; NotOffered, with the way by hand, where the vendor has no such call."""
    with connect(account_for(vendor, base_url, wire), wire) as provider:
        provider.delete(voice_id)


@dataclass(frozen=True)
class Saying:
    """What to say with which voice, and the file to write, whose ending names the format by default."""

    voice_id: str
    text: str
    out: Path
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def all_options(self) -> dict[str, str]:
        """The options, with the format taken from the file's ending where none was given."""
        ending = self.out.suffix.lstrip(".").lower()
        return {"response_format": ending, **self.options} if ending else dict(self.options)


def say(vendor: str, saying: Saying, base_url: str | None = None, wire: Wire | None = None) -> Path:
    """Speak and write the vendor's audio, byte for byte, to `saying.out`; returns it.

    Raises:
        ConfigError: a text, format or folder that will not do.
        ProviderError: the vendor refused or did not answer.
    """
    if not saying.out.parent.is_dir():
        raise ConfigError(f"{saying.out.parent} is no folder to write {saying.out.name} in")
    with connect(account_for(vendor, base_url, wire), wire) as provider:
        speech = provider.say(saying.voice_id, saying.text, saying.all_options)
    saying.out.write_bytes(speech.data)
    return saying.out
