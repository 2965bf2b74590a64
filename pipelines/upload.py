"""Upload a finished sample set: check the very bytes, rule by rule, host them if need be, then enrol, once.

Order: usage (vendor, address, key, consent file), then the set and its files, then the hosting, then every rule
of the vendor, then the ledger. A dry run stops after the plan: it sends nothing and needs neither key nor
consent.
"""

from __future__ import annotations

import datetime
import json
import unicodedata
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pipelines.receipt import keep_preview, note_consent, plan_of, receipt_of, write_receipt
from pipelines.sampleset import SampleSet, read_samples, read_set, set_folder
from pipelines.vendors import Vendor, load_vendor
from pipelines.voices import Wire, account_for, connect
from prep.errors import ConfigError, PrepError
from prep.hosting import KINDS, open_hosting
from prep.hosting.check import verify
from prep.providers import PROVIDERS, provider_class
from prep.providers.account import Account
from prep.providers.base import EnrolRequest, Provider, RuleCheck
from prep.providers.consent import Consent
from prep.providers.consent import read as read_consent
from prep.providers.enrol import enrol_once
from prep.providers.http import LOOPBACK
from prep.providers.ledger import Ledger, Plan
from prep.providers.publish import Publisher


class RulesBroken(PrepError):
    """The set, or a file in it, breaks a rule; nothing was sent. `checks` has every rule, kept or broken."""

    def __init__(self, checks: tuple[RuleCheck, ...]) -> None:
        broken = [check for check in checks if check.blocks]
        super().__init__("nothing was sent: " + "; ".join(str(check) for check in broken))
        self.checks = checks


@dataclass(frozen=True)
class UploadJob:
    """One upload as asked for; `directory` is the run folder that has `vendors/VENDOR/set.json`.

    `options` are the vendor's own fields; `region` among them chooses the address. `hosting` is the
    `--hosting` text, or empty.
    """

    directory: Path
    vendor: str
    name: str
    consent: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    dry_run: bool = False
    hosting: str = ""

    @property
    def set_folder(self) -> Path:
        """Where `set.json`, its audio files and the receipt lie."""
        return set_folder(self.directory, self.vendor)

    @property
    def voice_name(self) -> str:
        """The name without blanks around it, Unicode composed, so that it equals what a vendor echoes."""
        return unicodedata.normalize("NFC", self.name.strip())

    @property
    def own_options(self) -> dict[str, str]:
        """The vendor's own fields, without the region."""
        return {key: value for key, value in self.options.items() if key != "region"}

    @property
    def instead(self) -> str:
        """What stands for the set, where the vendor takes something else and it was given."""
        if self.vendor not in PROVIDERS:
            return ""
        option = provider_class(self.vendor).capabilities.instead_of_set
        return self.options.get(option, "") if option else ""


@dataclass(frozen=True)
class UploadResult:
    """`state`: `dry-run`, `enrolled`, `adopted` (made by an upload whose answer was lost), or `already`.

    `checks` has every rule. `plan` says what would be, or was, sent. `receipt` is None after a dry run. `left`
    tells of hosted files that are still there, one sentence each.
    """

    state: Literal["dry-run", "enrolled", "adopted", "already"]
    checks: tuple[RuleCheck, ...]
    plan: Mapping[str, Any]
    receipt: Mapping[str, Any] | None = None
    left: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No rule is broken (advice aside)."""
        return not any(check.blocks for check in self.checks)


def upload(
    job: UploadJob,
    wire: Wire | None = None,
    observe: Callable[[str], None] = lambda point: None,
    today: datetime.date | None = None,
) -> UploadResult:
    """Check and enrol; see the module's docstring for the order.

    `observe` is told of each point passed (`planned`, `look:begun`, `create:begun`, ..., `ready`, `receipt`).
    `today` is the day the consent is held against; None = the local date.

    Raises:
        ConfigError: key, consent, set, hosting or address missing or wrong.
        RulesBroken: the set or a file breaks a rule (a dry run returns them instead).
        LedgerBusy: another upload works on this folder.
        ProviderError: what the vendor said; OutcomeUnknown where nobody can tell whether the voice was made.
    """
    wire, vendor = wire or Wire(), vendor_to_upload(job)
    account = account_for(job.vendor, job.base_url, wire, job.options.get("region", ""))
    consent = None if job.dry_run else _usable_consent(job, account, today or datetime.date.today())
    listing = None if job.instead else read_set(job.directory, job.vendor)
    request, checks = read_request(job, vendor, listing)
    with connect(account, wire) as provider:
        checks += _consent_recording(job, consent, request)
        by_url = bool(job.hosting) and "url" in provider.capabilities.delivery and listing is not None
        request = replace(request, by_url=by_url)
        checks += provider.validate(request)
        plan = plan_of(account, provider, vendor, request, _hosting(job, wire) if by_url else "")
        lacking = provider.capabilities.needs_url and listing is not None and not by_url
        if job.dry_run or consent is None:
            place = RuleCheck(
                "hosting", not lacking, job.hosting or "none", "one", fix=_no_hosting(job, vendor, listing)
            )
            return UploadResult("dry-run", (*checks, place) if provider.capabilities.needs_url else checks, plan)
        if lacking:
            raise ConfigError(_no_hosting(job, vendor, listing))
        if any(check.blocks for check in checks):
            raise RulesBroken(checks)
        job.directory.mkdir(parents=True, exist_ok=True)  # there may be none yet where no set is needed
        ledger_plan = Plan(job.vendor, account.fingerprint, request, consent.summary, job.instead)
        with Ledger.open(job.directory / "uploads.sqlite", observe) as ledger:
            result = _enrolled(job, wire, account, provider, ledger, ledger_plan, checks, plan)
        note_consent(job.directory, _clip_ids(listing), consent.summary)
        observe("consent")
    return result


def vendor_to_upload(job: UploadJob) -> Vendor:
    """The vendor, if voxprep can enrol there; ConfigError says where its files go by hand otherwise."""
    vendor = load_vendor(job.vendor)
    if not vendor.upload or job.vendor not in PROVIDERS:
        files = f"take the files in {job.set_folder} to {vendor.console}"
        raise ConfigError(f"{vendor.title}: voxprep prepares samples for it and does not upload; {files}")
    return vendor


def _enrolled(
    job: UploadJob,
    wire: Wire,
    account: Account,
    provider: Provider,
    ledger: Ledger,
    plan: Plan,
    checks: tuple[RuleCheck, ...],
    shown: Mapping[str, Any],
) -> UploadResult:
    here = (urlsplit(account.base_url).hostname or "") in LOOPBACK
    open_host = partial(open_hosting, environ=wire.environ, backoff=wire.backoff)
    check = partial(verify, backoff=wire.backoff)
    publisher = Publisher(job.hosting if plan.request.by_url else "", open_host, public=not here, check=check)
    before = ledger.latest(plan)
    enrolment = enrol_once(provider, ledger, plan, wire.backoff, publisher)
    _check_same_voice(job, provider, enrolment.receipt)
    text = enrolment.receipt or receipt_of(job.directory, shown, provider, enrolment, plan, ledger, publisher.left)
    if not enrolment.receipt:
        ledger.keep_receipt(enrolment, text)
    write_receipt(job.set_folder / "receipt.json", text)
    ledger.observe("receipt")
    if not provider.capabilities.keeps_voices:
        keep_preview(job.set_folder, provider, enrolment.voice_id)
    already = before is not None and before.state == "ready"
    state: Literal["enrolled", "adopted", "already"] = (
        "already" if already else "adopted" if enrolment.adopted else "enrolled"
    )
    return UploadResult(state, checks, shown, json.loads(text), tuple(publisher.left))


def _check_same_voice(job: UploadJob, provider: Provider, receipt: str) -> None:
    """The voice that is there must be the one that was asked for now.

    Raises:
        ConfigError: it was made with other options, of those that make another voice.
    """
    made = json.loads(receipt)["options"] if receipt else job.own_options
    other = [name for name in provider.capabilities.shaping if made.get(name) != job.own_options.get(name)]
    if other:
        was = ", ".join(f"{name}={made.get(name) or 'the default'}" for name in other)
        raise ConfigError(
            f"{job.vendor}: {job.voice_name!r} was made of these samples with {was}, and that cannot be changed;"
            " give another --name to make another voice"
        )


def _usable_consent(job: UploadJob, account: Account, today: datetime.date) -> Consent:
    if not account.has_key:
        account.needed_key()
    if job.consent is None:
        raise ConfigError("an upload needs a consent record: --consent FILE; make one with `voxprep consent new`")
    consent = read_consent(job.consent)
    refused = consent.check(job.vendor, today)
    if refused:
        raise ConfigError(f"{job.consent}: {'; '.join(refused)}")
    return consent


def _consent_recording(job: UploadJob, consent: Consent | None, request: EnrolRequest) -> tuple[RuleCheck, ...]:
    """Whether the consent's recording, where it has one, is of the voice and the words; loads models only then."""
    if consent is None or job.consent is None or consent.recording is None or not request.samples:
        return ()
    from pipelines.build import Session
    from pipelines.config import load
    from pipelines.likeness import check_recording
    from prep.models.registry import cache_root

    with Session(load(), cache_root()) as session:
        return check_recording(consent, job.consent, request.samples, session)


def read_request(
    job: UploadJob, vendor: Vendor, listing: SampleSet | None
) -> tuple[EnrolRequest, tuple[RuleCheck, ...]]:
    """The request with the bytes to be sent in memory, and what is to be said of the set and its files."""
    if listing is None:
        return EnrolRequest(job.voice_name, (), job.own_options), ()
    listen = any(limit.rule in ("pause_s", "speech_s") for limit in vendor.limit)
    samples, checks = read_samples(job.directory, listing, listen)
    return EnrolRequest(job.voice_name, samples, job.own_options), checks


def _hosting(job: UploadJob, wire: Wire) -> str:
    """Where samples will be hosted, who can read them there and for how long; ConfigError where they cannot be."""
    with closing(open_hosting(job.hosting, wire.environ, backoff=wire.backoff)) as host:
        return f"{host.spec}: {host.promise}"


def _no_hosting(job: UploadJob, vendor: Vendor, listing: SampleSet | None) -> str:
    files = ", ".join(str(job.set_folder / clip.file) for clip in (listing.clips if listing else ()))
    return (
        f"{vendor.title} takes samples only by URL: add --hosting with one of {'; '.join(KINDS.values())};"
        f" or give {files} to {vendor.console} yourself"
    )


def _clip_ids(listing: SampleSet | None) -> frozenset[str]:
    return frozenset(name for clip in listing.clips for name in clip.clip_ids) if listing else frozenset()


def check_row(check: RuleCheck) -> dict[str, Any]:
    """One rule as a JSON-ready dict, `blocks` included."""
    return {**asdict(check), "blocks": check.blocks}
