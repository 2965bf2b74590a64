"""validate() finds every planted fault, and rows survive the way to disk and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from prep.clip import Clip, Reason, Source, WorkingCopy
from prep.manifest import Row, clip_row, failed_row, read_jsonl, validate, write_jsonl, write_parquet
from prep.span import Span

RATE = 24_000
RUN = {"run_id": "r", "config_sha256": "c"}
COPY = WorkingCopy(Source("a.wav", Path("a.wav"), "f" * 64), "k", Path("a.flac"), "mono", Span(0, 3 * RATE, RATE), {})
SOURCES = [
    {"source": "a.wav", "status": "processed", "channel": "mono", "sample_rate": RATE, "duration_s": 3.0},
    {"source": "b.wav", "status": "failed", "channel": None},
]


def rows() -> list[Row]:
    clips = [Clip(COPY, Span(i * RATE, (i + 1) * RATE, RATE), f"c{i}", {"snr_db": 30.0 - 20 * i}) for i in range(3)]
    clips[1] = clips[1].with_reasons((Reason("snr_db", 10.0, 15.0, "dB"), Reason("lufs", -60.0, -50.0, "LUFS")))
    clips[2] = clips[2].with_reasons((Reason("snr_db", None, 15.0, "dB"),))
    out = [clip_row(clip, RUN, [], None, ["n_speakers"]) for clip in clips]
    return [*out, failed_row(None, "b.wav", "is empty", RUN)]


def test_a_sound_manifest_has_no_faults():
    assert validate(rows(), SOURCES) == []


@pytest.mark.parametrize(
    ("index", "change", "words"),
    [
        (0, {"status": "lost"}, "status 'lost'"),
        (0, {"end_s": 0.5}, "in no clip or in two"),
        (1, {"start_s": 0.9}, "in no clip or in two"),
        (0, {"end_s": 0.0}, "times"),
        (0, {"status": "rejected"}, "rejected without"),
        (1, {"status": "kept"}, "kept with reasons"),
        (1, {"primary_reason": "lufs"}, "not the first reason"),
        (1, {"chosen_for": ["qhaigc"]}, "chosen though rejected"),
        (1, {"not_run": ["snr_db"]}, "though it was not run"),
        (0, {"clip_id": "same"}, ""),
        (3, {"error": None}, "failed without an error"),
        (3, {"start_s": 0.0}, "failed with times"),
        (3, {"source": "c.wav"}, "not given"),
    ],
)
def test_each_planted_fault_is_found(index: int, change: dict[str, Any], words: str) -> None:
    planted = rows()
    planted[index] |= change
    if "clip_id" in change:
        planted[1]["clip_id"] = change["clip_id"]
        words = "stands 2 times"
    assert any(words in fault for fault in validate(planted, SOURCES))


def test_a_missing_row_is_found():
    assert any("1.000 s to 2.000 s" in fault for fault in validate([rows()[0], *rows()[2:]], SOURCES))


def test_rows_come_back_from_disk(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "m.jsonl", rows())
    assert read_jsonl(tmp_path / "m.jsonl") == rows()
    write_parquet(tmp_path / "m.parquet", rows())
    table = pd.read_parquet(tmp_path / "m.parquet")
    assert list(table["status"]) == ["kept", "rejected", "rejected", "failed"]
    assert table["measures.snr_db"][0] == 30.0


def test_a_name_that_is_not_unicode_survives(tmp_path: Path) -> None:
    name = b"\xff.wav".decode("utf-8", "surrogateescape")
    write_jsonl(tmp_path / "m.jsonl", [failed_row(None, name, "is empty", RUN)])
    (row,) = read_jsonl(tmp_path / "m.jsonl")
    assert row["error"] == "is empty"
    write_parquet(tmp_path / "m.parquet", [failed_row(None, name, "is empty", RUN)])


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"a": 1}\n[broken\n')
    with pytest.raises(ValueError, match=r"m\.jsonl:2"):
        read_jsonl(tmp_path / "m.jsonl")
