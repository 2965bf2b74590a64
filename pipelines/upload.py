"""Upload a finished sample set: check the very bytes, rule by rule, then enrol the voice, once.

Order: usage (vendor, address, key, consent file), then the set and its files, then every rule of the
vendor, then the consent itself, then the ledger. A dry run stops after the rules: it sends nothing and
needs no key and no consent.
"""

from __future__ import annotations

import datetime
import json
import os
import shlex
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.voices import Wire, account_for, connect
from prep.errors import ConfigError, PrepError
from prep.providers.base import Account, EnrolRequest, Provider, RuleCheck, SampleFile
from prep.providers.consent import Consent
from prep.providers.consent import read as read_consent
from prep.providers.enrol import enrol_once
from prep.providers.ledger import Enrolment, Ledger, Plan

MAX_FILE_BYTES = 200_000_000
"""A file larger than this is not read at all; no vendor takes a tenth of it."""


class RulesBroken(PrepError):
    """The set, or a file in it, breaks a rule; nothing was sent. `checks` has every rule, kept or broken."""

    def __init__(self, checks: tuple[RuleCheck, ...]) -> None:
        broken = [check for check in checks if check.blocks]
        super().__init__("nothing was sent: " + "; ".join(str(check) for check in broken))
        self.checks = checks


@dataclass(frozen=True)
class UploadJob:
    """One upload as asked for; `directory` is the run folder that has `vendors/VENDOR/set.json`."""

    directory: Path
    vendor: str
    name: str
    consent: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    dry_run: bool = False

    @property
    def set_folder(self) -> Path:
        """Where `set.json`, its audio files and the receipt lie."""
        return self.directory / "vendors" / self.vendor

    @property
    def voice_name(self) -> str:
        """The name without blanks around it, Unicode composed, so that it equals what a vendor echoes."""
        return unicodedata.normalize("NFC", self.name.strip())


@dataclass(frozen=True)
class UploadResult:
    """`state`: `dry-run`, `enrolled`, `adopted` (made by an upload whose answer was lost), or `already`.

    `checks` has every rule. `plan` says what would be, or was, sent. `receipt` is None after a dry run.
    """

    state: Literal["dry-run", "enrolled", "adopted", "already"]
    checks: tuple[RuleCheck, ...]
    plan: Mapping[str, Any]
    receipt: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """No rule is broken (advice aside)."""
        return not any(check.blocks for check in self.checks)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Problem(_Model):
    rule: str
    measured: float | str | None = None
    limit: float | str | None = None
    unit: str = ""
    fix: str = ""


class _SetClip(_Model):
    file: str
    bytes: int
    sha256: str
    text: str | None = None


class _Set(_Model):
    vendor: str
    satisfied: bool
    problems: tuple[_Problem, ...] = ()
    clips: tuple[_SetClip, ...]


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
        ConfigError: key, consent, set or address missing or wrong.
        RulesBroken: the set or a file breaks a rule (a dry run returns them instead).
        LedgerBusy: another upload works on this folder.
        ProviderError: what the vendor said; OutcomeUnknown where nobody can tell whether the voice was made.
    """
    account = account_for(job.vendor, job.base_url, wire)
    consent = None if job.dry_run else _usable_consent(job, account, today or datetime.date.today())
    request, checks = read_request(job)
    with connect(account, wire) as provider:
        checks += provider.validate(request)
        plan = _plan_of(account, provider, request)
        if job.dry_run or consent is None:
            return UploadResult("dry-run", checks, plan)
        if any(check.blocks for check in checks):
            raise RulesBroken(checks)
        backoff = (wire or Wire()).backoff
        ledger_plan = Plan(job.vendor, account.fingerprint, request, consent.summary)
        with Ledger.open(job.directory / "uploads.sqlite", observe) as ledger:
            before = ledger.latest(ledger_plan)
            enrolment = enrol_once(provider, ledger, ledger_plan, backoff)
            text = enrolment.receipt or _receipt(job, provider, account, ledger_plan, enrolment)
            if not enrolment.receipt:
                ledger.keep_receipt(enrolment, text)
            _write_atomically(job.set_folder / "receipt.json", text)
            observe("receipt")
    already = before is not None and before.state == "ready"
    state: Literal["enrolled", "adopted", "already"] = (
        "already" if already else "adopted" if enrolment.adopted else "enrolled"
    )
    return UploadResult(state, checks, plan, json.loads(text))


def _usable_consent(job: UploadJob, account: Account, today: datetime.date) -> Consent:
    account.needed_key()
    if job.consent is None:
        raise ConfigError("an upload needs a consent record: --consent FILE; make one with `voxprep consent new`")
    consent = read_consent(job.consent)
    refused = consent.check(job.vendor, today)
    if refused:
        raise ConfigError(f"{job.consent}: {'; '.join(refused)}")
    return consent


def read_request(job: UploadJob) -> tuple[EnrolRequest, tuple[RuleCheck, ...]]:
    """The request with the bytes to be sent in memory, and what is to be said of the set and its files.

    Raises:
        ConfigError: no set for this vendor, one that cannot be read, or one that names files outside its
        folder.
    """
    listing = _read_set(job)
    unmet = [
        RuleCheck(row.rule, False, row.measured, row.limit, row.unit, row.fix, where="set.json")
        for row in listing.problems
    ]
    fix = "" if listing.satisfied else f"run `voxprep prepare --for {job.vendor}` with more or better recordings"
    checks = [
        RuleCheck("set satisfied", listing.satisfied, str(listing.satisfied).lower(), "true", fix=fix),
        *unmet,
    ]
    samples = []
    for clip in listing.clips:
        sample = SampleFile.of(Path(clip.file), _read_clip(job, clip), clip.text or "")
        checks += _unchanged(clip, sample, job.vendor)
        samples.append(sample)
    return EnrolRequest(job.voice_name, tuple(samples), dict(job.options)), tuple(checks)


def _read_set(job: UploadJob) -> _Set:
    path = job.set_folder / "set.json"
    try:
        listing = _Set.model_validate_json(path.read_bytes())
    except OSError as error:
        hint = f"run `voxprep prepare ... --for {job.vendor} --out {shlex.quote(str(job.directory))}` first"
        raise ConfigError(f"{path} cannot be read ({error.strerror}); {hint}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(str(step) for step in first['loc'])}: {first['msg']}") from error
    if listing.vendor != job.vendor:
        raise ConfigError(f"{path} is a set for {listing.vendor}, not for {job.vendor}")
    return listing


def _read_clip(job: UploadJob, clip: _SetClip) -> bytes:
    """The file's bytes; empty where it is missing or absurdly large, which `_unchanged` then reports."""
    folder = job.set_folder.resolve()
    path = (folder / clip.file).resolve()
    if not path.is_relative_to(folder):
        raise ConfigError(f"{job.set_folder / 'set.json'} names {clip.file!r}, which lies outside its folder")
    try:
        return path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else b""
    except OSError:
        return b""


def _unchanged(clip: _SetClip, sample: SampleFile, vendor: str) -> list[RuleCheck]:
    fix = f"the file was changed or lost since it was prepared; run `voxprep prepare --for {vendor}` again"
    same_size = sample.n_bytes == clip.bytes
    same = sample.sha256 == clip.sha256
    return [
        RuleCheck("size as prepared", same_size, sample.n_bytes, clip.bytes, "bytes", fix, clip.file),
        RuleCheck("bytes as prepared", same, sample.sha256, clip.sha256, "sha256", fix, clip.file),
    ]


def _plan_of(account: Account, provider: Provider, request: EnrolRequest) -> dict[str, Any]:
    """What an upload sends: for a dry run to show."""
    return {
        "vendor": account.vendor,
        "base_url": account.base_url,
        "name": request.name,
        "delivery": provider.capabilities.delivery[0],
        "files": [sample.path.name for sample in request.samples],
        "audio_bytes": sum(sample.n_bytes for sample in request.samples),
        "audio_s": round(sum(sample.duration_s or 0.0 for sample in request.samples), 3),
        "can_be_deleted": provider.capabilities.can_delete,
        "delete_by_hand": provider.capabilities.delete_by_hand,
    }


def _receipt(job: UploadJob, provider: Provider, account: Account, plan: Plan, enrolment: Enrolment) -> str:
    call = f"voxprep voices say --provider {job.vendor} {shlex.quote(enrolment.voice_id)}"
    facts = {
        **_plan_of(account, provider, plan.request),
        "voice_id": enrolment.voice_id,
        "enrolment_id": enrolment.id,
        "attempt": enrolment.attempt,
        "adopted": enrolment.adopted,
        "ready_at": enrolment.updated_at,
        "account": plan.account,
        "consent": dict(plan.consent),
        "options": dict(plan.request.options),
        "sha256": plan.digests,
        "say": {
            "voxprep": f"{call} 'Hello, this is my voice.' --out hello.mp3",
            "curl": provider.say_call(enrolment.voice_id),
        },
    }
    return json.dumps(facts, ensure_ascii=False, indent=2) + "\n"


def _write_atomically(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def check_row(check: RuleCheck) -> dict[str, Any]:
    """One rule as a JSON-ready dict, `blocks` included."""
    return {**asdict(check), "blocks": check.blocks}
