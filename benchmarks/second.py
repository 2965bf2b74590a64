"""What a second hearing is worth: how well doubt points at wrong texts (faster-whisper base, int8).

Every clip of asr/ under 30 s is heard as `transcribe` hears it, and again in two ways: greedy as it is, and greedy
shifted by 0.3 s of silence (`Recogniser.hear(again=True)`). Error is WER, or CER where characters are compared. It is
worth having where doubt goes with error: the mean error of the clips it points at, of the others, and the correlation.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np

from benchmarks.inputs import data_root
from benchmarks.report import Table
from prep.audio import Decoder, Resampler, Samples
from prep.models.registry import cache_root, ensure
from prep.models.whisper import RATE_HZ, Whisper
from prep.stages.transcribe import SURE, text_confidence
from prep.text import error_rate

MAX_S = 30.0


@dataclass(frozen=True)
class Row:
    """One clip: error of the first hearing, its confidence, and how far the other hearings are from it."""

    error: float
    confidence: float
    greedy: float
    shifted: float


def run() -> list[Table]:
    """Hear every clip three times; about as long as the audio on one core."""
    folder = data_root() / "asr"
    weights = ensure("faster-whisper-base", cache=cache_root())
    whisper, greedy = (Whisper(weights, "cpu", "int8", 1, beams) for beams in (5, 1))
    rows = []
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        for clip in csv.DictReader(file):
            samples = _read(folder / clip["file"])
            if len(samples) <= MAX_S * RATE_HZ:
                rows.append(_row(samples, clip["transcript"], clip["language"], whisper, greedy))
    return [_doubt(rows), _correlation(rows)]


def _row(samples: Samples, truth: str, language: str, whisper: Whisper, greedy: Whisper) -> Row:
    first = whisper.hear(samples, language)
    others = (greedy.hear(samples, language), whisper.hear(samples, language, again=True))
    apart = (error_rate(first.text, other.text, language) for other in others)
    return Row(error_rate(truth, first.text, language), text_confidence(first.words), *apart)


def _doubt(rows: list[Row]) -> Table:
    table = []
    for least in (0.7, 0.8, SURE, 0.9):
        doubted = [row.error for row in rows if row.confidence < least]
        rest = [row.error for row in rows if row.confidence >= least]
        share = 100 * len(doubted) / len(rows)
        table.append((f"{least:g}", f"{len(doubted)} ({share:.0f} %)", _percent(doubted), _percent(rest)))
    columns = ("confidence under", "clips heard twice", "their mean error", "that of the others")
    return Table(f"Where the first hearing is not sure, n = {len(rows)}", columns, table, f"Chosen: {SURE:g}.")


def _correlation(rows: list[Row]) -> Table:
    error = [row.error for row in rows]
    signs = {
        "1 - confidence of the first hearing": [1 - row.confidence for row in rows],
        "distance to a greedy hearing": [row.greedy for row in rows],
        "distance to a greedy hearing shifted by 0.3 s": [row.shifted for row in rows],
    }
    table = [(name, f"{np.corrcoef(values, error)[0, 1]:.2f}") for name, values in signs.items()]
    return Table("Correlation with the error of the text", ("sign", "r"), table)


def _percent(values: list[float]) -> str:
    return f"{100 * float(np.mean(values)):.1f} %" if values else "-"


def _read(path) -> Samples:
    with Decoder(path) as decoder:
        parts, resampler = [], None
        for block in decoder.blocks():
            resampler = resampler or Resampler(block.rate_hz, RATE_HZ, 1)
            parts.append(resampler.push(block.samples.mean(axis=1, keepdims=True)))
        parts.append(resampler.push(np.zeros((0, 1), np.float32), last=True))
    return np.concatenate(parts)[:, 0]
