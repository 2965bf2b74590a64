"""What an upload leaves for its user: the plan before, the receipt after, the consent in the manifest."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.vendors import Vendor
from prep.manifest import read_jsonl, write_jsonl, write_parquet
from prep.providers.account import Account
from prep.providers.base import Capabilities, EnrolRequest, Provider, Voice
from prep.providers.ledger import Enrolment, Ledger, Plan
from prep.store import write_atomic


def plan_of(
    account: Account, provider: Provider, vendor: Vendor, request: EnrolRequest, hosting: str
) -> dict[str, Any]:
    """What an upload sends where, and what it costs: for a dry run to show; nothing in it is secret."""
    known = provider.capabilities
    delivery = "url" if request.by_url else known.delivery[0] if request.samples else "none"
    return {
        "vendor": account.vendor,
        "base_url": account.base_url,
        "name": request.name,
        "sent_name": provider.sent_name(request),
        "delivery": delivery,
        "hosting": hosting or ("none given" if delivery == "url" else "none needed"),
        "files": [sample.path.name for sample in request.samples],
        "audio_bytes": sum(sample.n_bytes for sample in request.samples),
        "audio_s": round(sum(sample.duration_s or 0.0 for sample in request.samples), 3),
        "requests": list(provider.plan(request)),
        "published_cost": vendor.cost or "none published",
        "can_be_deleted": known.can_delete,
        "delete_by_hand": known.delete_by_hand,
    }


def receipt_of(
    directory: Path,
    plan: Mapping[str, Any],
    provider: Provider,
    enrolment: Enrolment,
    ledger_plan: Plan,
    ledger: Ledger,
    left: Sequence[str],
) -> str:
    """The receipt as JSON text; it ends with the calls that speak with the new voice."""
    known, facts = provider.capabilities, _facts(ledger, ledger_plan, enrolment)
    name = facts.pop("name", "")
    voice = Voice(enrolment.voice_id, name, "ready", facts, facts.get("handle", ""))
    kept = [row for row in ledger.hosted(ledger_plan) if row.state in ("kept", "there")]
    document = {
        **plan,
        "sent_name": name if name and known.keeps_voices else plan["sent_name"],
        "voice_id": enrolment.voice_id,
        "detail": facts,
        "enrolment_id": enrolment.id,
        "attempt": enrolment.attempt,
        "adopted": enrolment.adopted,
        "ready_at": enrolment.updated_at,
        "account": ledger_plan.account,
        "consent": dict(ledger_plan.consent),
        "options": dict(ledger_plan.request.options),
        "sha256": ledger_plan.digests,
        "hosted_files_left": [*left, *(f"{row.spec}: {row.key}" for row in kept if not left)],
        "say": {
            "voxprep": _our_call(directory, known, voice, plan["vendor"]),
            "call": provider.say_call(voice),
        },
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _our_call(directory: Path, known: Capabilities, voice: Voice, vendor: str) -> str:
    """Our own command that speaks with the voice, or why there is none."""
    if not known.can_say:
        return known.say_by_hand
    whose = shlex.quote(voice.voice_id if known.keeps_voices else str(directory))
    formats = known.say_options.get("response_format", "")
    ending = "mp3" if "mp3" in formats else "wav"
    return f"voxprep voices say --provider {vendor} {whose} 'Hello, this is my voice.' --out hello.{ending}"


def _facts(ledger: Ledger, plan: Plan, enrolment: Enrolment) -> dict[str, str]:
    """What the vendor said of the voice."""
    steps = [row for row in ledger.steps(plan) if row.attempt == enrolment.attempt and row.step == "voice"]
    return dict(steps[-1].facts) if steps else {}


def note_consent(directory: Path, clip_ids: frozenset[str], consent: Mapping[str, str]) -> int:
    """Write a consent's id, and its summary under `meta`, into the manifest's rows of these clips.

    Returns how many rows changed; 0, and nothing is written, where there is no manifest or all is there.
    """
    path = directory / "manifest.jsonl"
    rows = read_jsonl(path) if path.is_file() else []
    changed = [row for row in rows if row["clip_id"] in clip_ids and row.get("consent_id") != consent["consent_id"]]
    for row in changed:
        row["consent_id"] = consent["consent_id"]
        row["meta"] = {**(row.get("meta") or {}), "consent": dict(consent)}
    if changed:
        write_jsonl(path, rows)
        write_parquet(directory / "manifest.parquet", rows)
    return len(changed)


def write_receipt(path: Path, text: str) -> None:
    """Write a receipt whole or not at all; the folder is made where there was no set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode("utf-8"))


def keep_preview(folder: Path, provider: Provider, task_id: str) -> Path:
    """The speech a finished task made, as `preview.wav` (or as what it is), fetched once: such links expire.

    Raises:
        ProviderError: it cannot be fetched; a later run of the same upload tries again.
    """
    known = sorted(folder.glob("preview.*"))
    if known:
        return known[0]
    speech = provider.say(task_id, "", {})
    path = folder / f"preview{ENDINGS.get(speech.media_type, '.wav')}"
    write_atomic(path, speech.data)
    return path


ENDINGS = {"audio/mpeg": ".mp3", "audio/ogg": ".ogg", "audio/mp4": ".m4a", "audio/flac": ".flac"}
