"""Voices at a vendor: open one from the environment, list, show, speak, delete."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from pipelines.sampleset import read_samples, read_set
from pipelines.vendors import load_vendor
from prep.errors import ConfigError
from prep.hosting import open_hosting
from prep.hosting.check import is_public, verify
from prep.providers import open_provider, provider_class
from prep.providers.account import Account, Secret
from prep.providers.ai302 import SMART
from prep.providers.base import EnrolRequest, Provider, RuleCheck, SampleFile, Speech, Voice
from prep.providers.http import LOOPBACK, Backoff, checked_base_url, open_client
from prep.providers.notes import Notes


@dataclass(frozen=True)
class Wire:
    """How to reach vendors: where keys and addresses come from, the transport (None = network), retries."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    transport: httpx.BaseTransport | None = None
    backoff: Backoff = field(default_factory=Backoff)


def account_for(vendor: str, base_url: str | None = None, wire: Wire | None = None, region: str = "") -> Account:
    """The account.

    The address is `base_url`, else VOXPREP_<VENDOR>_BASE_URL, else that of `region` or VOXPREP_<VENDOR>_REGION,
    else the vendor's first; the key VOXPREP_<VENDOR>_API_KEY, else the vendor's own variable, else a pair of
    VOXPREP_<VENDOR>_ACCESS_KEY and _SECRET_KEY.

    Raises:
        ConfigError: no such vendor or region, an address that cannot be used, a key with letters no key has.
    """
    environ = (wire or Wire()).environ
    known = provider_class(vendor).capabilities
    prefix = f"VOXPREP_{vendor.upper()}"
    region = region or environ.get(f"{prefix}_REGION") or next(iter(known.regions))
    if region not in known.regions:
        raise ConfigError(f"{vendor} has no region {region!r}; there are: {', '.join(known.regions)}")
    url = base_url or environ.get(f"{prefix}_BASE_URL") or known.regions[region]
    variable = next((name for name in (f"{prefix}_API_KEY", *known.key_variables) if environ.get(name)), "")
    settings = {name: environ.get(f"{prefix}_{name.upper()}", "") for name in known.settings}
    return Account(
        vendor,
        checked_base_url(url),
        Secret(environ[variable], variable) if variable else None,
        variable or f"{prefix}_API_KEY",
        None if variable else _pair(environ, prefix),
        {name: value for name, value in settings.items() if value},
    )


def _pair(environ: Mapping[str, str], prefix: str) -> tuple[Secret, Secret] | None:
    names = (f"{prefix}_ACCESS_KEY", f"{prefix}_SECRET_KEY")
    given = [Secret(environ[name], name) for name in names if environ.get(name)]
    if len(given) == 1:
        raise ConfigError(f"of {names[0]} and {names[1]} only one is set; both are needed")
    return (given[0], given[1]) if given else None


@contextmanager
def connect(account: Account, wire: Wire | None = None) -> Iterator[Provider]:
    """Open the vendor for this account, held to its limits; the connection is closed at the end."""
    wire = wire or Wire()
    with open_client(account.base_url, wire.transport) as client:
        yield open_provider(account, client, wire.backoff, load_vendor(account.vendor).limit)


@dataclass(frozen=True)
class Where:
    """Which vendor, where, and how to get there."""

    vendor: str
    base_url: str | None = None
    region: str = ""
    wire: Wire = field(default_factory=Wire)

    @contextmanager
    def open(self) -> Iterator[Provider]:
        """The vendor, with a key; ConfigError where there is none."""
        account = account_for(self.vendor, self.base_url, self.wire, self.region)
        if not account.has_key:
            account.needed_key()
        with connect(account, self.wire) as provider:
            yield provider

    @property
    def is_here(self) -> bool:
        """Whether the vendor is on this machine: a sandbox."""
        account = account_for(self.vendor, self.base_url, self.wire, self.region)
        return (urlsplit(account.base_url).hostname or "") in LOOPBACK


def list_voices(where: Where, presets: bool = False) -> tuple[Voice, ...]:
    """Every voice the account sees at the vendor; ProviderError or ConfigError where it cannot be asked."""
    with where.open() as provider:
        return provider.list(presets)


def show_voice(where: Where, voice_id: str) -> Voice:
    """One voice; Refused where the vendor has none of that id."""
    with where.open() as provider:
        return provider.show(voice_id)


def delete_voice(where: Where, voice_id: str) -> bool:
    """Remove one voice: False where it was not there; NotOffered, with the way by hand, where there is no such call."""
    with where.open() as provider:
        return provider.delete(voice_id)


@dataclass(frozen=True)
class Saying:
    """What to say with which voice, and the file to write, whose ending names the format by default.

    For a vendor that keeps no voices (302.AI) `voice_id` is a run folder with a set for it, several folders
    joined by commas for several speakers, a finished task, or `smart`; `hosting` is where the clips are put.
    """

    voice_id: str
    text: str
    out: Path
    options: Mapping[str, str] = field(default_factory=dict)
    hosting: str = "ai302"

    @property
    def all_options(self) -> dict[str, str]:
        """The options, with the format taken from the file's ending where none was given."""
        ending = self.out.suffix.lstrip(".").lower()
        return {"response_format": ending, **self.options} if ending else dict(self.options)


def say(where: Where, saying: Saying) -> Path:
    """Speak and write the vendor's audio, byte for byte, to `saying.out`; returns it.

    Raises:
        ConfigError: a text, format or folder that will not do.
        ProviderError: the vendor refused or did not answer.
    """
    if not saying.out.parent.is_dir():
        raise ConfigError(f"{saying.out.parent} is no folder to write {saying.out.name} in")
    with where.open() as provider:
        folders = [] if provider.capabilities.keeps_voices else _folders(saying)
        if folders:
            speech = _say_like(where, provider, folders, saying)
        else:
            speech = provider.say(saying.voice_id, saying.text, saying.all_options)
    saying.out.write_bytes(speech.data)
    return saying.out


def _folders(saying: Saying) -> list[Path]:
    """The run folders named; none for `smart`, and for a finished task, which says what it says."""
    if saying.voice_id == SMART:
        return []
    parts = [Path(part.strip()) for part in saying.voice_id.split(",")]
    if all(part.is_dir() for part in parts):
        return parts
    if saying.text.strip():
        raise ConfigError(
            f"{saying.voice_id!r} is no run folder with a sample set (several: A,B), nor {SMART!r};"
            " of a finished task's id give an empty text: it says what it said"
        )
    return []


def _say_like(where: Where, provider: Provider, folders: list[Path], saying: Saying) -> Speech:
    """A new piece of speech from the clips of sample sets, one set per speaker, in order."""
    samples: list[SampleFile] = []
    checks: list[RuleCheck] = []
    for folder in folders:
        listing = read_set(folder, where.vendor)
        found, said = read_samples(folder, listing, listen=False)
        samples += found[:1] if len(folders) > 1 else found
        checks += [check for check in said if check.blocks]
    options = {key: value for key, value in saying.options.items() if key != "response_format"}
    request = EnrolRequest("say", tuple(samples), {**options, "input_text": saying.text}, by_url=True)
    checks += [check for check in provider.validate(request) if check.blocks and check.rule != "number of clips"]
    if checks:
        raise ConfigError("nothing was sent: " + "; ".join(str(check) for check in checks))
    with _published(where, saying.hosting, samples) as published:
        voice = provider.enrol(replace(request, samples=published), Notes())
        return provider.say(voice.handle, saying.text, {})


@contextmanager
def _published(where: Where, spec: str, samples: list[SampleFile]) -> Iterator[tuple[SampleFile, ...]]:
    """The samples where the vendor can fetch them; taken away again at the end, where that is possible."""
    keys = []
    with closing(open_hosting(spec, where.wire.environ, None, where.wire.backoff)) as host:
        try:
            out = []
            for sample in samples:
                placed = host.put(host.place(sample.data, sample.path.suffix), sample.data, "audio/wav")
                keys.append(placed.key)
                if not where.is_here and not is_public(placed.url):
                    raise ConfigError(f"{spec}: the clips would be seen only on this machine; name another --hosting")
                verify(placed, sample.data, "audio/wav", backoff=where.wire.backoff)
                out.append(replace(sample, url=placed.url))
            yield tuple(out)
        finally:
            for key in keys if host.removable else []:
                host.remove(key)
