"""Rows of the manifest: one per clip, kept or not, one per source that failed; written whole or not at all."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prep.clip import Clip, Source
from prep.store import digest, fill_atomic, write_atomic

Row = dict[str, Any]
STATUSES = ("kept", "rejected", "failed")


def clip_id(clip: Clip) -> str:
    """Stable id: the same audio under the same name has the same id in every run."""
    return digest(clip.copy.source.name, clip.key)[:12]


def clip_row(
    clip: Clip, run: Mapping[str, str], chosen_for: Sequence[str], audio: str | None, not_run: list[str]
) -> Row:
    """The row of a clip.

    Args:
        clip: judged.
        run: `config_sha256`, `run_id`, `consent_id`, `origin`, `licence`.
        chosen_for: vendors whose set uses it.
        audio: its file, relative to the manifest; None where none was written.
        not_run: measures never asked of it.
    """
    span, source = clip.span, clip.copy.source
    return {
        "clip_id": clip_id(clip),
        "source": source.name,
        "source_sha256": source.sha256,
        "start_s": span.start_s,
        "end_s": span.end_s,
        "duration_s": span.duration_s,
        "audio_filepath": audio,
        "sample_rate": span.rate_hz,
        "channel": clip.copy.channel,
        "speaker": clip.speaker or None,
        "language": clip.language or None,
        "text": clip.text,
        "words": [{**asdict(word), "word": word.word.strip()} for word in clip.words],
        "measures": {name: None if value is None else round(value, 4) for name, value in clip.measures.items()},
        "not_run": not_run,
        "status": "kept" if clip.alive else "rejected",
        "chosen_for": list(chosen_for),
        "primary_reason": clip.reasons[0].check if clip.reasons else None,
        "reasons": [asdict(reason) for reason in clip.reasons],
        "error": None,
        "stages": list(clip.stages),
        **_run_columns(run),
    }


def failed_row(source: Source | None, name: str, error: str, run: Mapping[str, str]) -> Row:
    """The row of a source that could not be read; times are null."""
    return {
        "clip_id": digest(name, error)[:12],
        "source": name,
        "source_sha256": source.sha256 if source else None,
        **dict.fromkeys(("start_s", "end_s", "duration_s", "audio_filepath", "sample_rate", "channel", "speaker")),
        "language": None,
        "text": None,
        "words": [],
        "measures": {},
        "not_run": [],
        "status": "failed",
        "chosen_for": [],
        "primary_reason": "unreadable",
        "reasons": [],
        "error": error,
        "stages": [],
        **_run_columns(run),
    }


def _run_columns(run: Mapping[str, str]) -> Row:
    return {name: run.get(name) for name in ("consent_id", "origin", "licence", "config_sha256", "run_id")}


def write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines, UTF-8, atomically."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    write_atomic(path, "".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace"))


def read_jsonl(path: Path) -> list[Row]:
    """Rows of a JSONL manifest.

    Raises:
        ValueError: a line is not a JSON object; names the line.
    """
    rows = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            rows.append(dict(json.loads(line)))
        except (json.JSONDecodeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}:{number}: not a manifest row: {error}") from error
    return rows


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """The same rows as Parquet; measures as columns `measures.NAME`, nested values as JSON text."""
    import pandas

    flat = [_flat(row) for row in rows]
    frame = pandas.DataFrame(flat)
    fill_atomic(path, lambda temporary: frame.to_parquet(temporary, index=False))


def _flat(row: Row) -> Row:
    out: Row = {}
    for name, value in row.items():
        if name == "measures":
            out |= {f"measures.{key}": float("nan") if v is None else v for key, v in value.items()}
        elif isinstance(value, (list, dict)):
            out[name] = json.dumps(value, ensure_ascii=False)
        else:
            out[name] = value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
    return out


def validate(rows: Sequence[Row], sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every way in which a manifest contradicts itself, in words; empty when it adds up.

    Args:
        rows: of the manifest.
        sources: one per file given: `source`, `status`, and per working copy `channel`, `duration_s`, `sample_rate`.
    """
    problems = [f"clip_id {name} stands {n} times" for name, n in Counter(r["clip_id"] for r in rows).items() if n > 1]
    for row in rows:
        problems += [f"{row['clip_id']}: {fault}" for fault in _row_faults(row)]
    tiles: dict[tuple[str, Any], list[Row]] = defaultdict(list)
    for row in rows:
        tiles[(row["source"], row["channel"])].append(row)
    for source in sources:
        problems += _tiling_faults(source, tiles.pop((source["source"], source.get("channel")), []))
    return problems + [f"{name}: rows of a source that was not given" for name, _ in tiles]


def _row_faults(row: Row) -> list[str]:
    if row["status"] not in STATUSES:
        return [f"status {row['status']!r}"]
    faults = []
    if row["status"] == "failed":
        faults += [] if row["error"] else ["failed without an error"]
        return faults + ([] if row["start_s"] is None else ["failed with times"])
    if not 0 <= row["start_s"] < row["end_s"]:
        faults.append(f"times {row['start_s']}-{row['end_s']}")
    if (row["status"] == "kept") != (not row["reasons"]):
        faults.append("kept with reasons, or rejected without")
    if row["reasons"] and row["primary_reason"] != row["reasons"][0]["check"]:
        faults.append("primary_reason is not the first reason")
    if row["chosen_for"] and row["status"] != "kept":
        faults.append("chosen though rejected")
    both = {reason["check"] for reason in row["reasons"]} & set(row["not_run"])
    return faults + [f"{name} is a reason though it was not run" for name in sorted(both)]


def _tiling_faults(source: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    name = source["source"]
    if source["status"] in {"failed", "skipped"}:
        wanted = int(source["status"] == "failed")
        return [] if len(rows) == wanted else [f"{name}: {source['status']} with {len(rows)} rows"]
    rate = source["sample_rate"]
    spans = sorted((round(row["start_s"] * rate), round(row["end_s"] * rate)) for row in rows)
    ends = [0, *(stop for _, stop in spans)]
    starts = [*(start for start, _ in spans), round(source["duration_s"] * rate)]
    return [
        f"{name}: {a / rate:.3f} s to {b / rate:.3f} s is in no clip or in two"
        for a, b in zip(ends, starts, strict=True)
        if a != b
    ]
