"""`prepare` on real recordings: conservation, limits, edges, texts, exit codes, and a second run that does nothing."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipelines import cli
from pipelines.config import load
from pipelines.sources import expand
from pipelines.vendors import load_vendor, vendor_names
from prep.audio import read_mono
from prep.errors import ConfigError
from prep.manifest import read_jsonl, validate
from prep.models.ear import Ear
from prep.stages.listen import track_of

SAMPLES = Path(__file__).parents[2] / "sample_data"


def _json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = cli.run([*arguments, "--json", "-q"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.data
def test_every_file_of_media_is_accounted_for(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = _json(["prepare", str(data / "media"), "--out", str(tmp_path)], capsys)
    assert code == 1
    rows = read_jsonl(tmp_path / "manifest.jsonl")
    assert validate(rows, document["sources"]) == []
    files = {str(path) for path in (data / "media").rglob("*") if path.is_file()}
    assert {source["source"] for source in document["sources"]} == files
    status = {source["source"]: source["status"] for source in document["sources"]}
    with (data / "media" / "manifest.csv").open(encoding="utf-8") as table:
        wanted = {str(data / "media" / row["file"]): row["expect"] for row in csv.DictReader(table)}
    assert [name for name, expect in wanted.items() if expect == "ok" and status[name] != "processed"] == []
    refused = [name for name, expect in wanted.items() if expect in {"reject", "no_audio"}]
    assert [name for name in refused if status[name] == "processed"] == []


@pytest.mark.data
@pytest.mark.model
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rate_hz"),
    [
        ("asr/long_read/en_sonnet_1.mp3", 24_000),
        ("asr/long_read/en_sonnet_2.mp3", 24_000),
        ("asr/long_read/en_sonnet_3.mp3", 24_000),
        ("long/columbia_2003.wma", 24_000),
        ("long/ljspeech_LJ001.flac", 16_000),  # its native rate, which the vendor takes
    ],
)
def test_single_speaker_recordings_give_a_set(
    name: str, rate_hz: int, data: Path, ear: Ear, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = _json(["prepare", str(data / name), "--for", "qhaigc", "--out", str(tmp_path)], capsys)
    assert code == 0
    made = document["sets"][0]
    assert made["satisfied"]
    assert 2 <= len(made["clips"]) <= 3
    for clip in made["clips"]:
        info = soundfile.info(tmp_path / "vendors" / "qhaigc" / clip["file"])
        assert (info.samplerate, info.channels, info.subtype) == (rate_hz, 1, "PCM_16")
        assert 10.5 <= info.duration <= 29.5
        assert clip["text_agreement"] <= 0.05
        samples, rate_hz = read_mono(tmp_path / "vendors" / "qhaigc" / clip["file"])
        quiet = track_of([samples], rate_hz, ear).quiet
        assert quiet[:8].all()
        assert quiet[-8:].all()
    assert validate(read_jsonl(tmp_path / "manifest.jsonl"), document["sources"]) == []


@pytest.mark.data
@pytest.mark.model
def test_mandarin_is_recognised_simplified_and_marked(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = data / "asr" / "mandarin" / "zh_long.wav"
    _json(["prepare", str(source), "--text", "--out", str(tmp_path), "--set", "edge_quiet_ms.min=0"], capsys)
    text = "".join(row["text"] or "" for row in read_jsonl(tmp_path / "manifest.jsonl"))
    rows = read_jsonl(tmp_path / "manifest.jsonl")
    assert {row["language"] for row in rows if row["text"]} == {"zh"}
    assert len(text) > 10
    assert not set(text) & set("們這個說時會對為國學")  # traditional forms of common words


@pytest.mark.model
def test_second_run_decodes_and_recognises_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prepare", str(SAMPLES / "talk.mp4"), "--for", "qhaigc", "--out", str(tmp_path)]
    _json(arguments, capsys)
    first = read_jsonl(tmp_path / "manifest.jsonl")
    started = time.monotonic()
    _json(arguments, capsys)
    assert time.monotonic() - started < 60  # no budget, only proof that it does not hang
    second = read_jsonl(tmp_path / "manifest.jsonl")
    for row in [*first, *second]:
        row.pop("run_id")
    assert first == second


def test_a_part_of_a_file_rejects_the_rest_with_that_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, document = _json(["prepare", f"{SAMPLES / 'talk.mp4'}@0:20-0:50", "--out", str(tmp_path)], capsys)
    rows = read_jsonl(tmp_path / "manifest.jsonl")
    kept = [row for row in rows if row["status"] == "kept"]
    assert kept
    assert all(row["start_s"] >= 20 and row["end_s"] <= 50 for row in kept)
    assert {row["primary_reason"] for row in rows if row["status"] == "rejected"} == {"part"}
    assert validate(rows, document["sources"]) == []


def test_the_same_bytes_under_two_names_get_rows_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.wav", "b.wav"):
        shutil.copy(SAMPLES / "one_side.wav", tmp_path / name)
    _, document = _json(
        ["prepare", str(tmp_path / "a.wav"), str(tmp_path / "b.wav"), "--out", str(tmp_path / "o")], capsys
    )
    rows = read_jsonl(tmp_path / "o" / "manifest.jsonl")
    assert validate(rows, document["sources"]) == []
    assert len(rows) == 2
    assert len({row["clip_id"] for row in rows}) == 2


def test_a_recording_under_a_texts_name_is_tried_and_a_text_is_not(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Meeting at noon.")
    shutil.copy(SAMPLES / "phone.mp3", tmp_path / "memo.txt")
    given = {item.path.name: item.skipped for item in expand([str(tmp_path)])}
    assert given == {"notes.txt": True, "memo.txt": False}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prepare", "missing.wav", "--out", "o"], "missing.wav: no such file"),
        (["prepare", "SILENT", "--for", "nobody", "--out", "o"], "unknown vendor 'nobody'"),
        (["prepare", "SILENT", "--for", "qhaigc", "--clips", "9", "--out", "o"], "takes 2 to 3"),
        (["prepare", "SILENT", "--out", "o", "--set", "snr.min=3"], "snr"),
        (["prepare", "SILENT", "--out", "o", "--set", "snr_db.min=loud"], "gates.snr_db.min"),
        (["prepare", "SILENT", "--out", "o", "--channels", "left"], "ingest.channels"),
        (["prepare", "SILENT@0:30-0:10", "--out", "o"], "ends before it begins"),
        (["prepare"], "SRC"),
        (["limits", "nobody"], "unknown vendor"),
    ],
)
def test_bad_usage_is_exit_2_and_says_what(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    silent = str(SAMPLES / "silent.wav")
    assert cli.run([part.replace("SILENT", silent) for part in arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "o" / "manifest.jsonl").exists()


def test_an_unmet_set_is_exit_1_and_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = _json(["prepare", str(SAMPLES / "silent.wav"), "--for", "qhaigc", "--out", str(tmp_path)], capsys)
    assert code == 1
    (problem,) = document["sets"][0]["problems"]
    assert (problem["rule"], problem["measured"], problem["limit"]) == ("clips", 0, 2)
    assert "10.5 s" in problem["fix"]


def test_every_shipped_config_builds() -> None:
    config = load()
    for name in vendor_names():
        vendor = load_vendor(name)
        spec = vendor.set_spec(config, None, text=True)
        assert vendor.least_clips <= spec.wanted
        assert vendor.target.min_s < vendor.target.ideal_s < vendor.target.max_s


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"segment\.idle_s"):
        load(None, ["segment.idle_s=3"])


def test_long_recording_is_never_a_whole_array(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten minutes of tone decode, measure and account in one pass; no clip exceeds the hard maximum."""
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.flac"
    with soundfile.SoundFile(path, "w", 16_000, 1, format="FLAC") as file:
        for _ in range(600):
            file.write((0.01 * rng.standard_normal(16_000)).astype(np.float32))
    _, document = _json(["prepare", str(path), "--out", str(tmp_path / "o")], capsys)
    rows = read_jsonl(tmp_path / "o" / "manifest.jsonl")
    assert validate(rows, document["sources"]) == []
    assert max(row["duration_s"] for row in rows) <= 30.0
    assert sum(row["duration_s"] for row in rows) == pytest.approx(600.0)


def test_ctrl_c_is_130_and_says_that_work_is_kept(tmp_path: Path) -> None:
    """The command as a process of its own, interrupted while it works."""
    command = [sys.executable, "-m", "pipelines.cli", "prepare", str(SAMPLES), "--out", str(tmp_path), "--text"]
    running = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, preexec_fn=_default_interrupt
    )
    assert running.stderr is not None
    first = running.stderr.readline()
    running.send_signal(signal.SIGINT)
    rest = running.communicate(timeout=60)[1]
    assert "decoding" in first
    assert "interrupted" in rest
    assert running.returncode == 130


def _default_interrupt() -> None:
    """A test runner in the background ignores SIGINT, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_clips_follow_the_limits_of_the_latest_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["prepare", str(SAMPLES / "long_pauses.webm"), "--out", str(tmp_path)]
    _json(arguments, capsys)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "clips").iterdir()}
    _json([*arguments, "--set", "duration_s.min=3.5"], capsys)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "clips").iterdir()}
    kept = {f"{row['clip_id']}.flac" for row in read_jsonl(tmp_path / "manifest.jsonl") if row["status"] == "kept"}
    assert set(after) == kept
    assert 0 < len(after) < len(before)
    assert all(before[name] == stamp for name, stamp in after.items())


@pytest.mark.model
def test_opinion_scores_are_asked_for_and_not_by_default(tmp_path: Path) -> None:
    source = str(SAMPLES / "mandarin.m4a")
    assert cli.run(["prepare", source, "--out", str(tmp_path), "-q", "--set", "mos.on=true"]) == 0
    kept = [row for row in read_jsonl(tmp_path / "manifest.jsonl") if row["status"] == "kept"]
    assert kept
    assert all(2.5 < row["measures"]["dnsmos_ovrl"] < 4.0 for row in kept)
    assert cli.run(["prepare", source, "--out", str(tmp_path), "-q"]) == 0
    again = read_jsonl(tmp_path / "manifest.jsonl")
    assert all("dnsmos_ovrl" in row["not_run"] for row in again)
