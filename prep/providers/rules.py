"""Hold a request against a vendor's limits, rule by rule, on the very bytes that would be sent."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from prep.providers.base import EnrolRequest, RuleCheck, SampleFile, Value
from prep.providers.limits import Rule, VendorLimit, highest

DATA_URL_HEAD = "data:audio/wav;base64,"
HASH_LETTERS = 4
JOINERS = "[\u200c\u200d]"
"""Never printed, yet part of Persian and Indic words and of many emoji."""


def base64_length(n_bytes: int) -> int:
    """Bytes of a data URL that carries `n_bytes` of WAV: its head, and four letters for every three bytes."""
    return len(DATA_URL_HEAD) + 4 * ((n_bytes + 2) // 3)


@dataclass(frozen=True)
class _Way:
    """How one rule is measured and named; `low` and `high` are the fixes for too little and too much."""

    label: str
    measure: Callable[[SampleFile], Value]
    low: str = ""
    high: str = ""
    low_label: str = ""
    high_label: str = ""


AGAIN = "run `voxprep prepare --for {vendor}` again"
_FILE_WAYS: Mapping[Rule, _Way] = {
    "clip_s": _Way(
        "length",
        lambda s: s.duration_s,
        f"join clips or take a longer one: {AGAIN}",
        f"take a shorter part: {AGAIN}",
        "shortest length",
        "longest length",
    ),
    "speech_s": _Way(
        "speech without a pause", lambda s: s.longest_speech_s, f"choose a part with fewer pauses: {AGAIN}", AGAIN
    ),
    "pause_s": _Way("longest pause inside", lambda s: s.longest_pause_s, AGAIN, f"{AGAIN}; it squeezes pauses"),
    "sample_rate": _Way("sample rate", lambda s: s.sample_rate, AGAIN, AGAIN),
    "channels": _Way("mono", lambda s: s.channels, AGAIN, AGAIN),
    "format": _Way("file format", lambda s: s.encoding.partition(" ")[0] or "not audio", AGAIN, AGAIN),
    "encoding": _Way("sample encoding", lambda s: s.encoding.partition(" ")[2] or "not audio", AGAIN, AGAIN),
    "bytes": _Way("file size", lambda s: s.n_bytes, AGAIN, f"take a shorter part: {AGAIN}"),
    "base64_bytes": _Way(
        "size as base64",
        lambda s: base64_length(s.n_bytes),
        AGAIN,
        f"take a shorter part ({AGAIN}), or let it be fetched: --hosting",
    ),
    "text_chars": _Way(
        "text of the clip",
        lambda s: len(s.text.strip()),
        "transcribe it: every clip needs its exact words",
        "take a shorter part",
    ),
}


def judge(
    request: EnrolRequest, limits: Sequence[VendorLimit], vendor: str, sent_name: str, skip: frozenset[Rule]
) -> tuple[RuleCheck, ...]:
    """Every limit against the request: its own first, then file by file.

    `sent_name` is the name the vendor would see; `skip` has the rules that do not apply to how this request
    travels (`base64_bytes` for a URL, say). A rule whose value nobody measured is broken: unknown is not
    good.
    """
    checks = [_name_given(request)]
    for limit in limits:
        if limit.rule not in skip:
            checks += _of_request(limit, request, vendor, sent_name)
    for sample in request.samples:
        for limit in limits:
            if limit.rule in _FILE_WAYS and limit.rule not in skip:
                checks.append(_of_file(limit, sample, vendor))
    return tuple(checks)


def _name_given(request: EnrolRequest) -> RuleCheck:
    name = request.name.strip()
    shown = re.sub(JOINERS, "", name).strip()
    good = bool(shown) and shown.isprintable()
    return RuleCheck("voice name given", good, name, "not empty, printable", fix="give one with --name")


def _of_request(limit: VendorLimit, request: EnrolRequest, vendor: str, sent_name: str) -> list[RuleCheck]:
    samples = request.samples
    more = f"{AGAIN}, with more or longer recordings".format(vendor=vendor)
    if limit.rule == "clips":
        return [
            _check(limit, "number of clips", len(samples), "clips", f"{AGAIN}; it chooses them".format(vendor=vendor))
        ]
    if limit.rule == "total_s":
        lengths = [s.duration_s for s in samples]
        known = None if None in lengths else round(sum(length or 0.0 for length in lengths), 3)
        return [_check(limit, "length of all clips", known, "s", more)]
    if limit.rule == "total_bytes":
        return [_check(limit, "size of all clips", sum(s.n_bytes for s in samples), "bytes", "use fewer clips")]
    named = f"give another --name; this one would be sent as {sent_name!r}"
    if limit.rule == "name_chars":
        return [_check(limit, "length of the voice name", len(sent_name), "letters", named)]
    if limit.rule == "name_pattern":
        return [_check(limit, "letters of the voice name", sent_name, "", named)]
    return []


def _of_file(limit: VendorLimit, sample: SampleFile, vendor: str) -> RuleCheck:
    way = _FILE_WAYS[limit.rule]
    measured = way.measure(sample)
    low = isinstance(measured, float | int) and limit.min is not None and measured < limit.min
    label = (way.low_label or way.label) if limit.min is not None and limit.max is None else ""
    label = label or ((way.high_label or way.label) if limit.min is None and limit.max is not None else way.label)
    fix = (way.low if low else way.high or way.low).format(vendor=vendor)
    return replace(_check(limit, label, measured, limit.unit, fix), where=sample.path.name)


def _check(limit: VendorLimit, label: str, measured: Value, unit: str, fix: str) -> RuleCheck:
    source = f"{limit.source}, {limit.date} ({limit.confidence})"
    shown = limit.words.removesuffix(f" {limit.unit}") if limit.unit else limit.words
    return RuleCheck(label, limit.allows(measured), measured, shown, unit, fix, advised=not limit.blocks, source=source)


def options_known(options: Mapping[str, str], known: Mapping[str, str]) -> RuleCheck:
    """Whether every option is one of the vendor's own."""
    unknown = sorted(set(options) - set(known))
    names = ", ".join(known) or "none"
    return RuleCheck("options known", not unknown, ", ".join(unknown), names, fix=f"use only: {names}")


def shortened(name: str, most: int | None) -> str:
    """The name itself, or its beginning and four letters of its digest where it has more than `most` letters.

    The digest keeps two long names with the same beginning apart. Letters are Unicode code points.
    """
    if most is None or len(name) <= most:
        return name
    mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LETTERS]
    return f"{name[: most - HASH_LETTERS - 1].rstrip()}_{mark}"


def name_within(name: str, limits: Sequence[VendorLimit]) -> str:
    """The name as it can be sent under the vendor's `name_chars`; equal to it wherever that is allowed."""
    most = highest(tuple(limits), "name_chars")
    return shortened(name, int(most) if most is not None else None)


def ascii_slug(name: str) -> str:
    """Latin letters, digits and underscores of a name, accents taken off; empty where it has none."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_").lower()
