"""`prepare`: recordings in, the best sample set for each vendor out, with a manifest that accounts for every second."""

from __future__ import annotations

import datetime
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.build import Session
from pipelines.config import Config, load_vendor
from pipelines.people import People, chosen, only, people_of, reference, told, with_speakers, write_voices
from pipelines.process import Recording, SourceResult, language_of, not_run, process, transcribed, with_clips
from pipelines.sources import Given, expand, source_of
from pipelines.vendorset import Job, VendorSet, make_set, write_set
from prep.audio import write_flac16
from prep.clip import Clip
from prep.errors import ConfigError
from prep.manifest import Row, clip_id, clip_row, failed_row, write_jsonl, write_parquet
from prep.parallel import ordered
from prep.stages.select import Selection
from prep.store import fill_atomic

Say = Callable[[str], None]


@dataclass(frozen=True)
class PrepareJob:
    """What was asked for.

    Args:
        sources: files, folders, `file@12:31-14:00`.
        vendors: names; empty = manifest only.
        out: made if missing; an earlier run's output there is replaced.
        clips: files per set; None = the vendor's target.
        text: transcribe every usable clip, not only those a set needs.
        speaker: whose voice: a file, a part of one, or a voice of an earlier run; empty = who speaks most.
    """

    sources: Sequence[str]
    vendors: Sequence[str]
    out: Path
    clips: int | None = None
    text: bool = False
    speaker: str = ""


@dataclass(frozen=True)
class PrepareResult:
    """What was made: rows and sources as written, and each vendor's set."""

    out: Path
    rows: list[Row]
    sources: list[dict[str, Any]]
    sets: list[VendorSet]
    run: Mapping[str, str]
    voices: Sequence[Mapping[str, Any]] = ()
    people: People = field(default_factory=People)

    @property
    def complete(self) -> bool:
        """Every set satisfied and every source read."""
        return all(s.satisfied for s in self.sets) and all(s["status"] != "failed" for s in self.sources)

    def seconds(self, status: str) -> float:
        """Seconds of clips with a status."""
        return float(sum(row["duration_s"] for row in self.rows if row["status"] == status))

    def funnel(self) -> dict[str, float]:
        """Rejected seconds by primary reason, largest first; their sum is all that was rejected."""
        totals: dict[str, float] = defaultdict(float)
        for row in self.rows:
            if row["status"] == "rejected":
                totals[row["primary_reason"]] += row["duration_s"]
        return dict(sorted(totals.items(), key=lambda item: -item[1]))


def prepare(job: PrepareJob, config: Config, cache: Path, say: Say, fetching: Any = None) -> PrepareResult:
    """Run it all.

    Raises:
        ConfigError: anything that can be known to be wrong before the first file is opened.
        ModelError: weights cannot be had.
    """
    jobs = [_vendor_job(name, job, config) for name in job.vendors]
    given = expand(job.sources)
    if not given:
        raise ConfigError("nothing to do: no files in what was given")
    _check_out(job.out)
    with Session(config, cache, fetching) as session:
        wanted = reference(job.speaker, job.out, session, say) if job.speaker else None
        results = [_one(item, session, say, f"{i}/{len(given)}") for i, item in enumerate(given, 1)]
        recordings = [recording for result in results for recording in result.recordings]
        people = people_of(recordings, session)
        results = [
            replace(result, recordings=tuple(with_speakers(r, session, people) for r in result.recordings))
            for result in results
        ]
        recordings = [recording for result in results for recording in result.recordings]
        people = chosen(people, wanted, config.speakers)
        say(told(people))
        sets = [_set(vendor_job, recordings, people, session, say) for vendor_job in jobs]
        recordings = [_with_heard(recording, sets) for recording in recordings]
        if job.text:
            recordings = [_all_text(recording, session, say) for recording in recordings]
        voices = write_voices(job.out, people, recordings, session)
        return replace(_write(job, config, results, recordings, sets, session, say), voices=voices, people=people)


def _set(job: Job, recordings: Sequence[Recording], people: People, session: Session, say: Say) -> VendorSet:
    if people.problem is not None:
        return write_set(job, Selection(), problem=people.problem)
    return make_set(
        job, [only(recording, people.wanted) for recording in recordings], session, say, bool(people.wanted)
    )


def _vendor_job(name: str, job: PrepareJob, config: Config) -> Job:
    vendor = load_vendor(name)
    return Job(vendor, vendor.set_spec(config, job.clips, job.text), job.out / "vendors" / name)


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is not a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written to: {error.strerror}") from error


def _one(given: Given, session: Session, say: Say, count: str) -> SourceResult:
    source = source_of(given)
    if isinstance(source, SourceResult):
        if not source.skipped:
            say(f"[{count}] {given.name}: failed: {source.error}")
        return source
    say(f"[{count}] {given.name}: decoding and measuring")
    result = process(source, session)
    if result.error is not None:
        say(f"[{count}] {given.name}: failed: {result.error}")
        return result
    usable = sum(clip.span.duration_s for r in result.recordings for clip in r.clips if clip.alive)
    total = sum(r.copy.span.duration_s for r in result.recordings)
    say(f"[{count}] {given.name}: {usable:.0f} of {total:.0f} s usable")
    return result


def _with_heard(recording: Recording, sets: Sequence[VendorSet]) -> Recording:
    heard = [clip for s in sets for clip in s.selection.heard.values() if clip.copy.key == recording.copy.key]
    return with_clips(recording, [replace(clip, copy=recording.copy) for clip in heard])


def _all_text(recording: Recording, session: Session, say: Say) -> Recording:
    silent = [clip for clip in recording.clips if clip.alive and clip.text is None]
    if not silent:
        return recording
    language = language_of(recording, session)
    seconds = sum(clip.span.duration_s for clip in silent)
    say(f"{recording.copy.source.name}: transcribing {seconds:.0f} s ({language})")
    return with_clips(recording, transcribed(silent, language, session))


def _write(
    job: PrepareJob,
    config: Config,
    results: Sequence[SourceResult],
    recordings: Sequence[Recording],
    sets: list[VendorSet],
    session: Session,
    say: Say,
) -> PrepareResult:
    run = {"config_sha256": config.sha256, "run_id": _run_id()}
    say("writing clips and manifest")
    files = _write_clips(job.out, recordings, session)
    chosen = {name: [s.vendor for s in sets if name in _chosen_ids(s)] for name in files}
    rows = [
        clip_row(clip, run, chosen.get(clip_id(clip), []), files.get(clip_id(clip)), not_run(clip))
        for recording in recordings
        for clip in recording.clips
    ]
    rows += [failed_row(r.source, r.name, r.error or "", run) for r in results if r.error and not r.skipped]
    sources = [row for result in results for row in source_rows(result)]
    write_jsonl(job.out / "manifest.jsonl", rows)
    write_parquet(job.out / "manifest.parquet", rows)
    write_parquet(job.out / "sources.parquet", sources)
    return PrepareResult(job.out, rows, sources, sets, run)


def _chosen_ids(made: VendorSet) -> set[str]:
    return {name for clip in made.document["clips"] for name in clip["clip_ids"]}


def _run_id() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}"


def _write_clips(out: Path, recordings: Sequence[Recording], session: Session) -> dict[str, str]:
    """Usable clips as 16-bit FLAC under `clips/`, by clip id.

    An id names one stretch of one file's bytes, so a file that an earlier run wrote whole is left as it is; those of
    clips no longer usable are removed.
    """
    folder = out / "clips"
    folder.mkdir(parents=True, exist_ok=True)
    files = {clip_id(c): f"clips/{clip_id(c)}.flac" for recording in recordings for c in recording.clips if c.alive}
    there = {path.name for path in folder.glob("*.flac")}
    for name in there - {Path(file).name for file in files.values()}:
        (folder / name).unlink()
    missing = [c for recording in recordings for c in recording.clips if c.alive and f"{clip_id(c)}.flac" not in there]
    for _ in ordered(
        lambda clip: _write_clip(folder / f"{clip_id(clip)}.flac", clip, session), missing, session.threads
    ):
        pass
    return files


def _write_clip(path: Path, clip: Clip, session: Session) -> None:
    samples = session.recordings.read(clip.copy, clip.span.start, clip.span.stop)
    fill_atomic(path, lambda temporary: write_flac16(temporary, samples, clip.span.rate_hz))


def source_rows(result: SourceResult) -> list[dict[str, Any]]:
    """One row per working copy, or one for a source that gave none."""
    if not result.recordings:
        status = "skipped" if result.skipped else "failed"
        sha256 = result.source.sha256 if result.source else None
        return [
            {"source": result.name, "source_sha256": sha256, "status": status, "error": result.error, "channel": None}
        ]
    return [_source_row(recording) for recording in result.recordings]


SHORT_BY_S = 1.0


def source_notes(facts: Mapping[str, Any]) -> list[str]:
    """What is odd about a source that could be read, as `check: words`."""
    out = []
    declared = facts["declared_s"]
    if declared is not None and facts["decoded_s"] < min(declared - SHORT_BY_S, 0.95 * declared):
        out.append(f"shorter_than_declared: {facts['decoded_s']:.1f} s decoded of {declared:.1f} s declared")
    if facts["decode_errors"]:
        out.append(f"decode_errors: {facts['decode_errors']} damaged packets")
    if facts["n_gaps"]:
        out.append(f"gaps: {facts['gap_s']:.2f} s of audio is missing in {facts['n_gaps']} place(s)")
    if facts["native_rate_hz"] < 16_000:
        out.append(f"narrow_band: recorded at {facts['native_rate_hz']} Hz, nothing above half of that is in it")
    if facts["timestamp_jumps"]:
        out.append(f"timestamp_jumps: the clock of the file jumps {facts['timestamp_jumps']} time(s)")
    return out


def voices_note(recording: Recording) -> list[str]:
    """That more than one voice speaks in a recording, as a note."""
    heard = sorted({clip.speaker for clip in recording.clips if clip.speaker})
    return [f"two_speakers: {len(heard)} voices speak in it: {', '.join(heard)}"] if len(heard) > 1 else []


def _source_row(recording: Recording) -> dict[str, Any]:
    copy = recording.copy
    facts = {k: v for k, v in copy.facts.items() if k not in {"clipped_bins", "gaps"}}
    kept = sum(clip.span.duration_s for clip in recording.clips if clip.alive)
    head = {"source": copy.source.name, "source_sha256": copy.source.sha256, "status": "processed", "error": None}
    return {
        **head,
        "channel": copy.channel,
        "sample_rate": copy.span.rate_hz,
        "duration_s": copy.span.duration_s,
        "kept_s": kept,
        "notes": source_notes(facts) + voices_note(recording),
        **facts,
    }
