"""One vendor's set: pick the recording, select, write the files and `set.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.build import Session
from pipelines.process import Recording, closely_heard, language_of, transcribed
from pipelines.vendors import Vendor
from prep.audio import read_mono, resample, write_wav16
from prep.clip import Clip, Reason
from prep.manifest import clip_id
from prep.measures.doubles import Double, find_doubles, fingerprint
from prep.recordings import View
from prep.stages.fit import Window, windows
from prep.stages.render import Rendered, render
from prep.stages.segment import pauses
from prep.stages.select import Choice, Scored, Selection, SetSpec, select
from prep.stages.verify import Verdict, verify
from prep.store import file_sha256, fill_atomic, write_atomic

Say = Callable[[str], None]
Takes = dict[str, str]
"""Fingerprints of what the set has, by where it is from."""
MOST_SHARED = 0.5
"""A clip more of whose speech than this is in the set already is no other clip."""
NEEDS_REVIEW = frozenset({"zh", "yue", "ja", "ko", "th"})
"""Languages whose text from the base model is to be read by a person (zh: CER 0.13-0.20 measured)."""


@dataclass(frozen=True)
class VendorSet:
    """A vendor's set as written; `document` is the content of `set.json`."""

    vendor: str
    path: Path
    document: dict[str, Any]
    selection: Selection
    chosen: frozenset[str] = field(default=frozenset())

    @property
    def satisfied(self) -> bool:
        """Whether the vendor's set is complete."""
        return bool(self.document["satisfied"])


@dataclass(frozen=True)
class Job:
    """What to make for one vendor."""

    vendor: Vendor
    spec: SetSpec
    folder: Path


def make_set(
    job: Job, recordings: Sequence[Recording], session: Session, say: Say, one_voice: bool = False
) -> VendorSet:
    """The best set one recording can give; failing that, one from all of them, where they are known to be one voice.

    One recording first, since its files share microphone and room. Recordings are tried in order of what their windows
    promise, until a set is full; failing that the one that has most is kept.
    """
    best = Selection()
    found = ranked(job, recordings, session)
    for pool in _pools([pool for _, pool in found], job.spec, one_voice):
        names = sorted({window.clips[0].copy.source.name for window in pool})
        say(f"{job.vendor.vendor}: {len(pool)} candidates in {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}")
        takes: Takes = {}
        listen = _listener(recordings, session, say, job.spec.text, takes)
        chosen = select(pool, job.spec, listen, _finisher(job, session, say, takes))
        if not best.choices or _worth(chosen, job.spec) > _worth(best, job.spec):
            best = chosen
        if job.spec.full(len(chosen.choices), chosen.total_s):
            break
    return write_set(job, best, any_windows=bool(found))


def _pools(found: Sequence[list[Window]], spec: SetSpec, one_voice: bool) -> Iterator[list[Window]]:
    """What to choose from, in order: recordings by themselves, those only that could fill a set, then all together."""
    together = one_voice and len(found) > 1
    yield from (pool for pool in found if not together or _could_fill(pool, spec))
    if together:
        yield [window for pool in found for window in pool]


def _could_fill(pool: Sequence[Window], spec: SetSpec) -> bool:
    apart = _apart(pool, spec.wanted)
    return spec.full(len(apart), sum(window.duration_s for window in apart))


def _worth(selection: Selection, spec: SetSpec) -> tuple[bool, int]:
    n = len(selection.choices)
    return spec.met(n, selection.total_s), n


def ranked(job: Job, recordings: Sequence[Recording], session: Session) -> list[tuple[Recording, list[Window]]]:
    """Recordings that have windows at all, the most promising first; the same bytes only once."""
    found: list[tuple[float, int, Recording, list[Window]]] = []
    for number, recording in enumerate(recordings):
        if any(recording.copy.key == other.copy.key for _, _, other, _ in found):
            continue
        track = session.recordings.track(recording.copy)
        pool = windows(
            recording.clips, pauses(track, session.config.segmenting), track, job.vendor.fit_spec(job.spec.most)
        )
        if pool:
            promise = sum(window.score for window in _apart(pool, job.spec.wanted))
            found.append((-promise, number, recording, pool))
    return [(recording, pool) for _, _, recording, pool in sorted(found, key=lambda item: item[:2])]


def _apart(pool: Sequence[Window], wanted: int) -> list[Window]:
    """The best windows that do not overlap, as many as are wanted."""
    taken: list[Window] = []
    for window in sorted(pool, key=lambda w: -w.score):
        if len(taken) < wanted and not any(window.overlaps(other) for other in taken):
            taken.append(window)
    return taken


def _listener(
    recordings: Sequence[Recording], session: Session, say: Say, text: bool, takes: Takes
) -> Callable[[Sequence[Clip]], list[Clip]]:
    """Closely hears clips, and transcribes them where a text is wanted, each in its recording's language.

    Not those whose take is in the set already.
    """
    of_copy = {recording.copy.key: recording for recording in recordings}
    languages: dict[str, str] = {}

    def listen(clips: Sequence[Clip]) -> list[Clip]:
        new = [_unless_double(clip, takes, session) for clip in clips]
        if not text:
            return closely_heard(new, session)
        out: list[Clip] = []
        for clip in new:
            key = clip.copy.key
            if not clip.alive:
                out.append(clip)
                continue
            if key not in languages:
                languages[key] = language_of(of_copy[key], session)
            say(f"transcribing {clip.span.duration_s:.0f} s ({languages[key]})")
            out += transcribed([clip], languages[key], session)
        return out

    return listen


def _finisher(job: Job, session: Session, say: Say, takes: Takes) -> Callable[[Scored], tuple[Rendered, Verdict]]:
    def finish(scored: Scored) -> tuple[Rendered, Verdict]:
        native_hz = scored.clips[0].copy.facts.get("native_rate_hz")
        rendered = render(scored.window, session.recordings, job.vendor.render_spec(session.config.render, native_hz))
        scratch = job.folder / "candidate.wav"
        job.folder.mkdir(parents=True, exist_ok=True)
        write_wav16(scratch, rendered.samples, rendered.rate_hz)
        samples, rate_hz = read_mono(scratch)  # judged as it will be sent, rounding and all
        sha256 = file_sha256(scratch)
        scratch.unlink()
        if rate_hz % 100:  # a track's frames are whole samples
            samples, rate_hz = resample(samples, rate_hz, session.config.ingest.rate_hz), session.config.ingest.rate_hz
        text, language = (scored.text, scored.clips[0].language) if job.spec.text else (None, "")
        verdict = verify(samples, rate_hz, text, language, session.ear, lambda s: session.hear(s, language, sha256))
        own = {_where(clip): fingerprint(View(clip, session.recordings)) for clip in scored.clips}
        verdict = replace(verdict, double_of=next((pair.first for pair in _doubles(own, takes)), ""))
        if not verdict.faults:
            takes.update(own)
        say(f"candidate {scored.window.speech.start_s:.1f}-{scored.window.speech.end_s:.1f} s: {outcome(verdict)}")
        return rendered, verdict

    return finish


def _where(clip: Clip) -> str:
    return f"{clip.copy.source.name} at {clip.span.start_s:.1f} s"


def _unless_double(clip: Clip, takes: Takes, session: Session) -> Clip:
    """The clip, with a reason where most of its speech is a take that the set has."""
    if not takes:
        return clip
    pairs = _doubles({_where(clip): fingerprint(View(clip, session.recordings))}, takes)
    shared = max((pair.shared_ratio for pair in pairs), default=0.0)
    return clip.with_reasons((Reason("double", shared, MOST_SHARED),)) if shared > MOST_SHARED else clip


def _doubles(own: Mapping[str, str], takes: Takes) -> list[Double]:
    """Takes of the set (`first`) that some of these clips (`second`) hold too."""
    return [pair for pair in find_doubles({**takes, **own}) if pair.first in takes and pair.second in own]


def outcome(verdict: Verdict) -> str:
    """A verdict in a few words."""
    return "; ".join(verdict.faults) if verdict.faults else "passes"


def write_set(
    job: Job, selection: Selection, any_windows: bool = False, problem: Mapping[str, Any] | None = None
) -> VendorSet:
    """Write the chosen files and `set.json`; files of an earlier set in the folder are removed.

    `any_windows` says whether there was anything to choose from, `problem` why nothing was even tried.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    for old in job.folder.glob("clip_*.wav"):
        old.unlink()
    clips = [_write_clip(job, number, choice) for number, choice in enumerate(selection.choices, 1)]
    total_s = sum(clip["duration_s"] for clip in clips)
    document = {
        "vendor": job.vendor.vendor,
        "limits_version": job.vendor.limits_version,
        "satisfied": job.spec.met(len(clips), total_s),
        "voices": sorted(
            {clip.speaker for choice in selection.choices for clip in choice.scored.clips if clip.speaker}
        ),
        "problems": [dict(problem)]
        if problem
        else _too_short(job.spec, total_s) + _problems(job, selection, any_windows),
        "clips": clips,
    }
    path = job.folder / "set.json"
    write_atomic(path, (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "backslashreplace"))
    chosen = frozenset(clip.key for choice in selection.choices for clip in choice.scored.clips)
    return VendorSet(job.vendor.vendor, path, document, selection, chosen)


def _write_clip(job: Job, number: int, choice: Choice) -> dict[str, Any]:
    scored, window = choice.scored, choice.scored.window
    path = job.folder / f"clip_{number}.wav"
    fill_atomic(path, lambda temporary: write_wav16(temporary, choice.rendered.samples, choice.rendered.rate_hz))
    copy = scored.clips[0].copy
    return {
        "file": path.name,
        "clip_ids": [clip_id(clip) for clip in scored.clips],
        "source": copy.source.name,
        "channel": copy.channel,
        "spans": [{"start_s": round(span.start_s, 4), "end_s": round(span.end_s, 4)} for span in window.spans],
        "edits": list(choice.rendered.edits),
        "warnings": _warnings(choice.rendered),
        "duration_s": len(choice.rendered.samples) / choice.rendered.rate_hz,
        "sample_rate": choice.rendered.rate_hz,
        "channels": 1,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "text": scored.text if job.spec.text else None,
        "language": scored.clips[0].language,
        "needs_review": scored.clips[0].language in NEEDS_REVIEW,
        "unsure_words": [word.word.strip() for word in scored.words if word.unsure] if job.spec.text else [],
        "text_agreement": choice.verdict.text_agreement,
        "measures": _measures(choice),
        "why": why(choice, job),
        "next_best": _next_best(choice.next_best),
    }


def _measures(choice: Choice) -> dict[str, float | None]:
    verdict, clips = choice.verdict, choice.scored.clips
    snr = [clip.measures.get("snr_db") for clip in clips]
    known = [value for value in snr if value is not None]
    return {
        "snr_db": round(min(known), 1) if len(known) == len(snr) and known else None,
        "lufs": None if verdict.lufs is None else round(verdict.lufs, 2),
        "peak_dbtp": None if verdict.peak_dbtp is None else round(verdict.peak_dbtp, 2),
        "lead_quiet_s": round(verdict.lead_quiet_s, 3),
        "tail_quiet_s": round(verdict.tail_quiet_s, 3),
        "text_confidence": round(choice.scored.confidence, 3),
        "score": round(choice.scored.total, 3),
    }


def why(choice: Choice, job: Job) -> list[str]:
    """Why a file was chosen, in words."""
    scored, verdict, values = choice.scored, choice.verdict, _measures(choice)
    fit = job.vendor.fit_spec(job.spec.most)
    out = [
        f"{scored.window.duration_s:.1f} s long, wanted {fit.min_s:.4g} to {fit.max_s:.4g} s, ideal {fit.ideal_s:.4g} s"
    ]
    out.append(f"speech {values['snr_db']:g} dB over the noise" if values["snr_db"] is not None else "noise unknown")
    out.append(f"edges in quiet: {verdict.lead_quiet_s:.2f} s before, {verdict.tail_quiet_s:.2f} s after")
    if verdict.text_agreement is not None:
        out.append(f"decoded by itself, {100 * (1 - verdict.text_agreement):.0f} % of its words agree with the text")
    if scored.sentence == 1.0:
        out.append("begins and ends with a whole sentence")
    return out


def _next_best(scored: Scored | None) -> dict[str, Any] | None:
    if scored is None:
        return None
    speech = scored.window.speech
    return {"start_s": round(speech.start_s, 3), "end_s": round(speech.end_s, 3), "score": round(scored.total, 3)}


def _warnings(rendered: Rendered) -> list[dict[str, Any]]:
    """What a file is to be used with care for: sound of a lower rate than the file, recorded so or worked on so."""
    by_name = {edit["edit"]: edit for edit in rendered.edits}
    native, worked = by_name.get("upsampled"), by_name.get("resample")
    fix = "upsampling adds nothing that was not recorded; give a recording made at"
    if native:
        fix = f"{fix} {native['to_hz']} Hz or more, not one converted to it"
        return [_warning("native_sample_rate", native["native_hz"], native["to_hz"], fix)]
    if worked and worked["from_hz"] < worked["to_hz"]:
        fix = f"prepare it again with --set ingest.rate_hz={worked['to_hz']}"
        return [_warning("working_sample_rate", worked["from_hz"], worked["to_hz"], fix)]
    return []


def _warning(rule: str, measured_hz: int, limit_hz: int, fix: str) -> dict[str, Any]:
    return {"rule": rule, "measured": measured_hz, "limit": limit_hz, "unit": "Hz", "fix": fix}


def _too_short(spec: SetSpec, total_s: float) -> list[dict[str, Any]]:
    """What a set lacks in seconds of all files together."""
    if total_s >= spec.min_total_s:
        return []
    lacking_s = spec.min_total_s - total_s
    fix = f"record or give at least {lacking_s:.1f} s more of clear speech of one voice"
    return [{"rule": "total_s", "measured": round(total_s, 3), "limit": spec.min_total_s, "unit": "s", "fix": fix}]


def _problems(job: Job, selection: Selection, any_windows: bool) -> list[dict[str, Any]]:
    """What an unmet or short set lacks, in words and numbers."""
    n, low = len(selection.choices), job.vendor.fit_spec(job.spec.most).min_s
    if n >= job.spec.wanted:
        return []
    fix = f"record or give {job.spec.wanted - n} more stretch(es) of at least {low:.4g} s of clear speech of one voice"
    if not any_windows:
        fix = f"no recording has {low:.4g} s of usable speech in one stretch; the drop reasons in the manifest say why"
    rule = "clips" if n < job.spec.least else "clips wanted"
    limit = job.spec.least if n < job.spec.least else job.spec.wanted
    out: list[dict[str, Any]] = [{"rule": rule, "measured": n, "limit": limit, "unit": "files", "fix": fix}]
    for scored, faults in selection.failed[:5]:
        where = f"{scored.window.speech.start_s:.1f}-{scored.window.speech.end_s:.1f} s"
        out.append({"rule": "candidate", "measured": where, "limit": None, "unit": "", "fix": "; ".join(faults)})
    return out
