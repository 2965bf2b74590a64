"""Results as text for people and as documents for machines."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from pipelines.console import print_json, table
from pipelines.doctor import Finding
from pipelines.likeness import Likeness
from pipelines.prepare import PrepareResult
from pipelines.upload import RulesBroken, UploadResult, check_row
from pipelines.vendors import Vendor
from pipelines.vendorset import VendorSet
from pipelines.words import clock, fix, what
from prep.errors import ConfigError, OutcomeUnknown, PrepError, ProviderError, Refused, Retryable
from prep.models import registry
from prep.providers.base import RuleCheck, Voice
from prep.providers.limits import VendorLimit
from prep.store import Store

VOICES_NOTE = "voices not checked (speakers.turns=false): make sure that one person speaks in a set"


def prepare_document(result: PrepareResult, report: Path) -> dict[str, Any]:
    """What `prepare --json` prints."""
    return {
        "out": str(result.out),
        "complete": result.complete,
        "voices": list(result.voices),
        "kept_s": result.seconds("kept"),
        "rejected_s": result.seconds("rejected"),
        "rejected_by_reason_s": result.funnel(),
        "sources": result.sources,
        "sets": [{"path": str(made.path), **made.document} for made in result.sets],
        "manifest": str(result.out / "manifest.jsonl"),
        "report": str(report),
        **result.run,
    }


def prepare_text(result: PrepareResult, report: Path, verbose: bool) -> None:
    """Sets as tables, the account of seconds, what failed, where things are."""
    for made in result.sets:
        _set_text(made, verbose)
    kept, rejected = result.seconds("kept"), result.seconds("rejected")
    typer.echo(f"\nkept {kept:.1f} s, rejected {rejected:.1f} s of {kept + rejected:.1f} s")
    for check, seconds in result.funnel().items():
        advice = f"  -> {fix(check)}" if fix(check) else ""
        typer.echo(f"  {seconds:8.1f} s  {what(check)} ({check}){advice}")
    for source in result.sources:
        if source["status"] == "failed":
            typer.echo(f"failed: {source['source']}: {source['error']}")
    for source in result.sources:
        for note in source.get("notes", []):
            typer.echo(f"note: {source['source']}: {note}")
    skipped = sum(source["status"] == "skipped" for source in result.sources)
    typer.echo(f"skipped: {skipped} file(s) that are no recordings by their names" if skipped else "", nl=bool(skipped))
    _voices_text(result.voices)
    typer.echo(f"manifest: {result.out / 'manifest.jsonl'}\nreport:   {report}")


def _voices_text(voices: Sequence[Mapping[str, Any]]) -> None:
    """Who was heard, for how long and where to listen; whose clips are used is marked."""
    if not voices:
        typer.echo(VOICES_NOTE)
    for row in voices:
        mark = "*" if row["wanted"] else " "
        where = f", listen: {row['sample']}" if row["sample"] else ""
        typer.echo(
            f"voice {row['voice']}{mark} {row['speech_s'] / 60:.1f} min in {len(row['recordings'])} file(s){where}"
        )
    if any(row["wanted"] for row in voices) and len(voices) > 1:
        typer.echo("(* whose clips are used; --speaker chooses another)")


def _set_text(made: VendorSet, verbose: bool) -> None:
    state = "complete" if made.satisfied else "NOT complete"
    typer.echo(f"\n{made.vendor}: set {state}, {len(made.document['clips'])} file(s), {made.path}")
    rows = [clip_line(clip) for clip in made.document["clips"]]
    if rows:
        table(rows, list(rows[0]))
    for clip in made.document["clips"]:
        for warning in clip["warnings"]:
            typer.echo(f"  warning: {clip['file']}: {warning_line(warning)}")
    for problem in made.document["problems"]:
        if problem["rule"] == "candidate":
            if verbose:
                typer.echo(f"  tried {problem['measured']}: {problem['fix']}")
        else:
            unit = problem["unit"]
            typer.echo(f"  {problem['rule']}: {problem['measured']} of {problem['limit']} {unit}. {problem['fix']}")


def warning_line(warning: dict[str, Any]) -> str:
    """A warning of `set.json` in one line."""
    return "{rule}: {measured} of {limit} {unit}. {fix}".format(**warning)


def clip_line(clip: dict[str, Any]) -> dict[str, str]:
    """One file of a set as a table row."""
    spans = ", ".join(f"{clock(span['start_s'])}-{clock(span['end_s'])}" for span in clip["spans"])
    measures, agreement = clip["measures"], clip["text_agreement"]
    figures = [f"SNR {measures['snr_db']} dB", f"{measures['lufs']} LUFS", f"peak {measures['peak_dbtp']} dBTP"]
    figures += [f"text differs {100 * agreement:.0f} %"] if agreement is not None else []
    return {
        "clip": f"{clip['file']}\n{clip['duration_s']:.1f} s",
        "source": f"{Path(clip['source']).name}\n{spans}",
        "text": (clip["text"] or "-") + (" [needs review]" if clip["needs_review"] else "") + _unsure(clip),
        "measured, and why chosen": ", ".join(figures) + "\n" + "; ".join(clip["why"]),
    }


def _unsure(clip: dict[str, Any]) -> str:
    return f" [check by ear: {', '.join(clip['unsure_words'])}]" if clip["unsure_words"] else ""


def upload_document(vendor: str, end: UploadResult | PrepError) -> dict[str, Any]:
    """What `upload --json` prints for one vendor; `error` is there where it did not end well."""
    if isinstance(end, PrepError):
        checks = end.checks if isinstance(end, RulesBroken) else ()
        failure = asdict(end.failure) if isinstance(end, ProviderError) else None
        state = FAILED_STATES.get(type(end), "failed")
        error = {"state": state, "ok": False, "error": str(end), "failure": failure}
        return {"vendor": vendor, **error, "checks": [check_row(check) for check in checks]}
    return {
        "vendor": vendor,
        "state": end.state,
        "ok": end.ok,
        "checks": [check_row(check) for check in end.checks],
        "plan": end.plan,
        "receipt": end.receipt,
        "hosted_files_left": list(end.left),
    }


FAILED_STATES: dict[type[PrepError], str] = {
    OutcomeUnknown: "unknown",
    Retryable: "try-again",
    Refused: "refused",
    RulesBroken: "rules-broken",
    ConfigError: "not-started",
}


def upload_code(end: UploadResult | PrepError) -> int:
    """The exit code one vendor's upload asks for."""
    if isinstance(end, PrepError):
        return 2 if isinstance(end, ConfigError) else 1
    return 0 if end.ok else 1


def upload_text(vendor: str, result: UploadResult) -> None:
    """Every rule in a dry run, else the broken ones and advice not followed; then the plan, or the receipt."""
    for check in result.checks:
        if result.state == "dry-run" or not check.ok:
            typer.echo(f"  {_mark(check)} {check}")
    kept = sum(check.ok for check in result.checks)
    typer.echo(f"  {kept} of {len(result.checks)} rules kept")
    typer.echo(f"{vendor}: {STATES[result.state]}")
    if result.receipt:
        _receipt_text(result.receipt, result.left)
    else:
        _plan_text(result.plan)


def _plan_text(plan: Mapping[str, Any]) -> None:
    for name, value in plan.items():
        if isinstance(value, list):
            typer.echo(f"  {name}:" + ("" if value else " none"))
            for line in value:
                typer.echo(f"    {line}")
        elif value != "":
            typer.echo(f"  {name}: {value}")


def _receipt_text(receipt: Mapping[str, Any], left: Sequence[str]) -> None:
    """What a person needs of the receipt; all of it is in the file."""
    for name in ("name", "sent_name", "voice_id", "attempt", "ready_at"):
        if name != "sent_name" or receipt["sent_name"] != receipt["name"]:
            typer.echo(f"  {name}: {receipt[name]}")
    for name, value in receipt["detail"].items():
        if value and name != "handle":
            typer.echo(f"  {name}: {value}")
    for line in left or receipt["hosted_files_left"]:
        typer.echo(f"  left behind: {line}")
    typer.echo(f"  speak: {receipt['say']['voxprep']}")
    typer.echo(f"  or:    {receipt['say']['call']}")


STATES = {
    "dry-run": "dry run, nothing was sent",
    "enrolled": "ready",
    "adopted": "ready; an upload that was interrupted, or whose answer was lost, had made it",
    "already": "ready already, nothing was sent (to make another voice of this set, give another --name)",
}


def _mark(check: RuleCheck) -> str:
    return "ok  " if check.ok else "note" if check.advised else "NOT "


def voices(found: Sequence[Voice], as_json: bool) -> None:
    """Voices at a vendor."""
    rows = [{"voice_id": v.voice_id, "name": v.name, "status": v.status, **v.detail} for v in found]
    if as_json:
        print_json(rows)
    elif rows:
        table(rows, list(dict.fromkeys(name for row in rows for name in row)))
    else:
        typer.echo("no voices")


def likeness(found: Sequence[Likeness], as_json: bool) -> None:
    """What a vendor's voice said, how like the set's voice, how like the words."""
    rows = [asdict(row) for row in found]
    if as_json:
        print_json(rows)
    else:
        table(rows, ["text", "heard", "error", "similarity", "dnsmos_ovrl", "file"])


def limits(vendors: Sequence[Vendor], as_json: bool) -> None:
    """Limits with their sources, what is made inside them, texts and cost."""
    if as_json:
        print_json([vendor.model_dump(mode="json") for vendor in vendors])
        return
    for vendor in vendors:
        road = "prepare and upload" if vendor.upload else f"prepare only; upload by hand: {vendor.console}"
        typer.echo(f"\n{vendor.vendor} ({vendor.title}; limits of {vendor.limits_version}; {vendor.file})")
        for line in (
            road,
            f"made: {_made(vendor)}",
            f"text: {TEXT_RULES[vendor.text]}",
            f"cost: {vendor.cost or 'none known'}",
        ):
            width = shutil.get_terminal_size().columns
            typer.echo(textwrap.fill(line, width, initial_indent="  ", subsequent_indent=" " * 8))
        rows = [_limit_row(limit) for limit in vendor.limit]
        if rows:
            table(rows, list(rows[0]))


TEXT_RULES = {
    "required": "the exact words of every file are required",
    "optional": "the exact words of a file may go along; --text asks for them",
    "none": "none is taken",
}


def _made(vendor: Vendor) -> str:
    fit, n = vendor.fit_spec(), vendor.target.clips
    total = [f"at least {vendor.min_total_s:g} s"] if vendor.min_total_s else []
    total += [f"at most {vendor.max_total_s:g} s"] if vendor.max_total_s else []
    return (
        f"{n} file{'s' if n > 1 else ''} of {fit.min_s:.4g} to {fit.max_s:.4g} s, best {fit.ideal_s:.4g} s"
        + (f", together {' and '.join(total)}" if total else "")
        + f"; {vendor.rate_hz} Hz mono 16-bit WAV, pauses up to {fit.max_pause_s:g} s"
    )


def _limit_row(limit: VendorLimit) -> dict[str, str]:
    stops = ",\nstops an upload" if limit.blocks and limit.kind == "advised" else ""
    source = f"{limit.source}, {limit.date} ({limit.confidence})"
    return {
        "rule": limit.rule,
        "limit": limit.words,
        "kind": limit.kind + stops,
        "from": source + (f"\n{limit.note}" if limit.note else ""),
    }


def models(as_json: bool) -> None:
    """Weights and whether they are here."""
    cache = registry.cache_root()
    rows = [
        {
            "name": weight.name,
            "role": weight.role,
            "MB": round(weight.n_bytes / 1e6, 1),
            "licence": weight.licence,
            "here": "yes" if registry.locate(weight.name, None, cache) else "no",
            "from": ", ".join(type(source).__name__.lower() for source in weight.sources),
            "digest": weight.digest[:12],
        }
        for weight in registry.entries()
    ]
    if as_json:
        print_json(rows)
    else:
        table(rows, list(rows[0]))


def cache(as_json: bool) -> None:
    """Bytes on disk."""
    root = registry.cache_root()
    rows = [
        {"what": what_, "MB": round(Store(root / name).size_bytes() / 1e6, 1), "where": str(root / name)}
        for what_, name in (("results and working copies", "store"), ("weights", "models"))
    ]
    if as_json:
        print_json(rows)
    else:
        table(rows, list(rows[0]))


def findings(found: Sequence[Finding], as_json: bool) -> None:
    """What doctor found."""
    if as_json:
        print_json([asdict(finding) for finding in found])
        return
    for finding in found:
        mark = "ok  " if finding.ok else "LACK"
        typer.echo(f"{mark} {finding.what}: {finding.found}" + (f"  -> {finding.fix}" if finding.fix else ""))
