"""Word error rate of the manifest's texts against raw faster-whisper on the same seconds.

Every recording of asr/{long_read,ljspeech,librispeech} is prepared with `--text`. The truth is aligned by words to the
raw transcript of the whole file, which gives each true word a time; compared are the true words, the raw words and
ours inside the seconds that voxprep transcribed.
"""

from __future__ import annotations

import csv
import tempfile
from collections import defaultdict
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from benchmarks.inputs import data_root
from benchmarks.report import Table
from pipelines.build import Session
from pipelines.config import load
from pipelines.prepare import PrepareJob, prepare
from prep.audio import Decoder, Resampler
from prep.models.registry import cache_root
from prep.text import units

FOLDERS = ("long_read", "ljspeech", "librispeech")
Timed = list[tuple[str, float]]


def raw_words(path: Path, session: Session) -> Timed:
    """Words of the whole file by faster-whisper alone, each with its middle in seconds."""
    import numpy as np

    with Decoder(path) as decoder:
        parts, resampler = [], None
        for block in decoder.blocks():
            resampler = resampler or Resampler(block.rate_hz, 16_000, 1)
            parts.append(resampler.push(block.samples.mean(axis=1, keepdims=True)))
        parts.append(resampler.push(np.zeros((0, 1), np.float32), last=True))
    heard = session.recogniser().hear(np.concatenate(parts)[:, 0], "en")
    return timed(heard.words)


def timed(words) -> Timed:
    """Normalised units with the middle of the word they come from."""
    return [(unit, (w.start_s + w.end_s) / 2) for w in words for unit in units(w.word, "en")]


def truth_times(truth: list[str], raw: Timed) -> Timed:
    """Each true word with a time: its match's, or that of the nearest matched word before it."""
    out, at = [], raw[0][1] if raw else 0.0
    for op in Levenshtein.opcodes(truth, [word for word, _ in raw]):
        for i in range(op.src_start, op.src_end):
            j = min(op.dest_start + (i - op.src_start), max(op.dest_end - 1, op.dest_start), len(raw) - 1)
            at = raw[j][1] if j >= 0 else at
            out.append((truth[i], at))
    return out


def run() -> list[Table]:
    data = data_root()
    with (data / "asr" / "manifest.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["file"].split("/")[0] in FOLDERS]
    config = load()
    totals = defaultdict(lambda: [0, 0, 0, 0.0, 0.0])
    with tempfile.TemporaryDirectory() as out, Session(config, cache_root()) as session:
        files = [str(data / "asr" / row["file"]) for row in rows]
        result = prepare(PrepareJob(files, [], Path(out), text=True), config, cache_root(), lambda text: None)
        for row, file in zip(rows, files, strict=True):
            mine = [r for r in result.rows if r["source"] == file]
            clips = [r for r in mine if r["text"] is not None]
            raw = raw_words(Path(file), session)
            truth = truth_times(units(row["transcript"], "en"), raw)
            total = totals[row["file"].split("/")[0]]
            ours = [unit for clip in clips for unit in units(clip["text"], "en")]
            inside = [_inside(words, clips) for words in (truth, raw)]
            total[0] += len(inside[0])
            total[1] += Levenshtein.distance(inside[0], inside[1])
            total[2] += Levenshtein.distance(inside[0], ours)
            total[3] += sum(r["duration_s"] for r in mine)
            total[4] += sum(r["duration_s"] for r in clips)
    pooled = [sum(total[i] for total in totals.values()) for i in range(5)]
    rows = []
    for name, (n, a, b, whole, used) in [*totals.items(), ("pooled", pooled)]:
        rows.append((name, f"{whole:.0f}", f"{used:.0f}", str(n), f"{100 * a / n:.1f} %", f"{100 * b / n:.1f} %"))
    points = 100 * (pooled[2] - pooled[1]) / pooled[0]
    verdict = "met" if points <= 1 else "MISSED"
    note = f"Budget: pooled WER at most 1 point over raw. Difference: {points:+.1f} points ({verdict})."
    columns = ("set", "seconds", "transcribed", "true words", "raw faster-whisper WER", "voxprep WER")
    return [Table("Texts, truth aligned by words", columns, rows, note)]


def _inside(words: Timed, clips) -> list[str]:
    return [word for word, at in words if any(clip["start_s"] <= at < clip["end_s"] for clip in clips)]
