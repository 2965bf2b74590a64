"""Every vendor's limits: as published, obeyed whatever the target says, changed without code, shown with sources."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from vendor_kit import BY_HAND, NAMES, UPLOADING, WITH_TEXT, changed

from pipelines import cli
from pipelines.config import load
from pipelines.toml import configs_folder
from pipelines.vendors import Vendor, load_vendor, vendor_names
from prep.errors import ConfigError
from prep.providers.limits import VendorLimit, highest, lowest

# rule, min, max, one_of or pattern, kind, confidence: as the fact sheet has them
HARD, SOFT, STOP = "hard", "advised", "advised, stops"
DOC, HIGH, MEDIUM, LOW, OWN = "documented", "high", "medium", "low", "assumed"
WAV_OWN = ("format", None, None, ("WAV",), SOFT, OWN)
PCM_OWN = ("encoding", None, None, ("PCM_16",), SOFT, OWN)
HZ_OWN = ("sample_rate", None, None, (24000,), SOFT, OWN)
MONO_OWN = ("channels", None, 1, (), SOFT, OWN)
TEN_MB_OWN = ("bytes", None, 10_000_000, (), SOFT, OWN)
VALUES: dict[str, list[tuple[Any, ...]]] = {
    "qhaigc": [
        ("clips", 2, 3, (), HARD, DOC),
        ("clip_s", 10, None, (), STOP, DOC),
        ("clip_s", None, 30, (), SOFT, OWN),
        ("format", None, None, ("WAV",), HARD, DOC),
        PCM_OWN,
        ("sample_rate", None, None, (16000, 24000), STOP, DOC),
        ("channels", None, 1, (), STOP, DOC),
        TEN_MB_OWN,
        ("text_chars", 1, None, (), HARD, OWN),
        ("say_chars", None, 4096, (), HARD, MEDIUM),
    ],
    "kling": [
        ("clips", 1, 1, (), HARD, DOC),
        ("clip_s", 5, 30, (), HARD, DOC),
        ("format", None, None, ("WAV", "MP3", "MP4", "MOV"), HARD, DOC),
        PCM_OWN,
        HZ_OWN,
        MONO_OWN,
        ("name_chars", 1, 20, (), HARD, DOC),
    ],
    "qiniu": [
        ("clips", 1, 1, (), HARD, DOC),
        ("clip_s", 10, 60, (), SOFT, DOC),
        WAV_OWN,
        PCM_OWN,
        HZ_OWN,
        MONO_OWN,
        TEN_MB_OWN,
        ("name_chars", 1, 20, (), HARD, DOC),
    ],
    "qwen": [
        ("clips", 1, 1, (), HARD, DOC),
        ("clip_s", 10, 20, (), SOFT, HIGH),
        ("clip_s", None, 60, (), HARD, HIGH),
        ("speech_s", 3, None, (), HARD, HIGH),
        ("pause_s", None, 2, (), SOFT, HIGH),
        ("format", None, None, ("WAV", "MP3", "M4A"), HARD, DOC),
        ("encoding", None, None, ("PCM_16",), HARD, HIGH),
        ("sample_rate", 24000, None, (), HARD, HIGH),
        ("channels", None, 1, (), SOFT, HIGH),
        ("bytes", None, 9_999_999, (), HARD, HIGH),
        ("base64_bytes", None, 9_999_999, (), HARD, DOC),
        ("name_pattern", None, None, "^[A-Za-z0-9_]{1,16}$", HARD, DOC),
    ],
    "ai302": [
        ("clips", 1, None, (), HARD, DOC),
        ("clip_s", 5, 20, (), SOFT, OWN),
        WAV_OWN,
        PCM_OWN,
        HZ_OWN,
        MONO_OWN,
        TEN_MB_OWN,
        ("text_chars", 1, None, (), HARD, DOC),
    ],
    "elevenlabs": [
        ("clips", 1, None, (), HARD, HIGH),
        ("clip_s", 5, None, (), HARD, LOW),
        ("total_s", None, 180, (), HARD, LOW),
        ("best_total_s", 60, 120, (), SOFT, LOW),
        ("format", None, None, ("MP3", "WAV", "OGG", "WEBM", "M4A", "FLAC", "MP4"), HARD, MEDIUM),
        ("bytes", None, 10_000_000, (), HARD, MEDIUM),
    ],
    "minimax": [
        ("clips", 1, 1, (), HARD, HIGH),
        ("clip_s", 10, 300, (), HARD, HIGH),
        ("best_s", 30, 120, (), SOFT, OWN),
        ("format", None, None, ("MP3", "M4A", "WAV"), HARD, HIGH),
        ("bytes", None, 20_000_000, (), HARD, HIGH),
        ("name_chars", 8, 256, (), HARD, HIGH),
        ("name_pattern", None, None, "^[A-Za-z][A-Za-z0-9_-]{6,254}[A-Za-z0-9]$", HARD, HIGH),
        ("text_chars", None, 200, (), SOFT, HIGH),
        ("say_chars", None, 1000, (), HARD, HIGH),
    ],
    "fish": [
        ("clips", 1, 20, (), HARD, MEDIUM),
        ("clip_s", 10, 30, (), SOFT, HIGH),
        ("total_s", None, 270, (), HARD, MEDIUM),
        ("channels", None, 1, (), SOFT, HIGH),
    ],
    "cartesia": [
        ("clips", 1, 1, (), HARD, HIGH),
        ("clip_s", 3, 10, (), HARD, LOW),
        ("best_s", 5, 5, (), SOFT, HIGH),
        ("format", None, None, ("FLAC", "MP3", "OGG", "WAV", "WEBM"), HARD, HIGH),
        ("bytes", None, 5_000_000, (), HARD, LOW),
    ],
    "cosyvoice": [
        ("clips", 1, 1, (), HARD, HIGH),
        ("clip_s", 10, 20, (), SOFT, HIGH),
        ("clip_s", None, 60, (), HARD, HIGH),
        ("speech_s", 5, None, (), HARD, HIGH),
        ("pause_s", None, 2, (), SOFT, OWN),
        ("format", None, None, ("WAV", "MP3", "M4A"), HARD, HIGH),
        ("encoding", None, None, ("PCM_16",), HARD, HIGH),
        ("sample_rate", 16000, None, (), HARD, HIGH),
        ("channels", None, 1, (), SOFT, HIGH),
        ("bytes", None, 10_000_000, (), HARD, HIGH),
        ("name_pattern", None, None, "^[a-z0-9]{1,10}$", HARD, HIGH),
    ],
    "siliconflow": [
        ("clips", 1, 1, (), HARD, HIGH),
        ("clip_s", None, 30, (), HARD, OWN),
        ("best_s", 8, 10, (), SOFT, OWN),
        ("format", None, None, ("MP3", "WAV", "PCM", "OPUS"), SOFT, OWN),
        ("text_chars", 1, None, (), HARD, HIGH),
    ],
}
CLAMPS = {  # files, least, ideal and most seconds of each, least and most of all together
    "qhaigc": (3, 10.5, 15, 29.5, 0, None),
    "kling": (1, 5.5, 20, 29.5, 0, None),
    "qiniu": (1, 10.5, 30, 59.5, 0, None),
    "qwen": (1, 10, 15, 20, 0, None),
    "ai302": (1, 5, 10, 20, 0, None),
    "elevenlabs": (3, 10.5, 30, 56.5, 30, 170),
    "minimax": (1, 10.5, 60, 290, 0, None),
    "fish": (3, 10, 20, 30, 0, 260),
    "cartesia": (1, 3, 5, 9.5, 0, None),
    "cosyvoice": (1, 10, 15, 20, 0, None),
    "siliconflow": (1, 5, 9, 29, 0, None),
}
HARD_SECONDS = {  # of one file; (total) of all, (speech) without a pause
    "qhaigc": (None, None),
    "kling": (5, 30),
    "qiniu": (None, None),
    "qwen": (3, 60),
    "ai302": (None, None),
    "elevenlabs": (5, 180),
    "minimax": (10, 300),
    "fish": (None, 270),
    "cartesia": (3, 10),
    "cosyvoice": (5, 60),
    "siliconflow": (None, 30),
}


def facts(limit: VendorLimit) -> tuple[Any, ...]:
    kind = STOP if limit.kind == "advised" and limit.blocks else limit.kind
    return (limit.rule, limit.min, limit.max, limit.pattern or limit.one_of, kind, limit.confidence)


def test_these_vendors_are_shipped() -> None:
    assert vendor_names() == NAMES
    assert [name for name in NAMES if load_vendor(name).upload] == UPLOADING
    assert [name for name in NAMES if load_vendor(name).text == "required"] == WITH_TEXT
    assert [name for name in NAMES if load_vendor(name).text == "optional"] == ["fish", "minimax", "qwen"]


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_documents(name: str) -> None:
    assert [facts(limit) for limit in load_vendor(name).limit] == VALUES[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_limit_says_where_it_is_from_and_the_target_is_the_fact_sheets(name: str) -> None:
    vendor = load_vendor(name)
    t = vendor.target
    assert all(limit.source and limit.date == "2026-11-21" for limit in vendor.limit)
    assert vendor.limits_version == "2026-11-21"
    assert vendor.console
    assert (t.clips, t.min_s, t.ideal_s, t.max_s, t.min_total_s, t.max_total_s) == CLAMPS[name]
    assert (t.rate_hz, t.max_pause_s) == (24_000, 0.8)


@pytest.mark.parametrize("name", NAMES)
def test_hard_seconds_are_those_of_the_comparison(name: str) -> None:
    limits = tuple(limit for limit in load_vendor(name).limit if limit.kind == "hard")
    low = lowest(limits, "clip_s") or lowest(limits, "speech_s")
    high = highest(limits, "clip_s") or highest(limits, "total_s")
    assert (low, high) == HARD_SECONDS[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_target_lies_inside_the_limits(name: str) -> None:
    vendor = load_vendor(name)
    t, limits = vendor.target, vendor.limit
    whole_s = t.max_total_s or t.clips * t.max_s
    seconds = {"clip_s": (t.min_s, t.ideal_s, t.max_s), "best_s": (t.ideal_s,), "best_total_s": (t.ideal_s * t.clips,)}
    made: dict[str, tuple[Any, ...]] = {
        **seconds,
        "clips": (t.clips,),
        "total_s": (t.min_total_s, whole_s),
        "sample_rate": (t.rate_hz,),
        "pause_s": (t.max_pause_s,),
        "speech_s": (t.ideal_s,),
        "bytes": (44 + 2 * t.rate_hz * t.max_s,),
        "base64_bytes": (22 + 4 * (44 + 2 * t.rate_hz * t.max_s) / 3,),
        "format": ("WAV",),
        "encoding": ("PCM_16",),
        "channels": (1,),
    }
    broken = [(x.rule, value) for x in limits for value in made.get(x.rule, ()) if not x.allows(value)]
    assert broken == []


# ---- a changed limit needs no code


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("VOXPREP_VENDORS", str(folder))
    return folder


def test_changed_seconds_change_every_file(own: Path) -> None:
    spec = changed(own, "kling", "clip_s", "min = 8.0; max = 12.0").fit_spec()
    assert (spec.min_s, spec.ideal_s, spec.max_s) == pytest.approx((8.01, 11.99, 11.99))


def test_changed_advice_counts_as_much(own: Path) -> None:
    spec = changed(own, "qiniu", "clip_s", "min = 20.0; max = 25.0").fit_spec()
    assert (spec.min_s, spec.ideal_s, spec.max_s) == pytest.approx((20.01, 24.99, 24.99))


def test_what_works_best_moves_the_ideal_alone(own: Path) -> None:
    before = load_vendor("minimax").fit_spec()
    spec = changed(own, "minimax", "best_s", "min = 80.0; max = 90.0").fit_spec()
    assert (spec.min_s, spec.ideal_s, spec.max_s) == (before.min_s, 80.0, before.max_s)
    assert changed(own, "elevenlabs", "best_total_s", "max = 60.0").fit_spec().ideal_s == 20.0


def test_a_smaller_total_means_fewer_files_or_shorter_ones(own: Path) -> None:
    vendor = changed(own, "fish", "total_s", "max = 25.0")
    spec = vendor.set_spec(load(), None, text=False)
    assert spec.max_total_s == pytest.approx(24.95)
    assert spec.wanted == 2
    with pytest.raises(ConfigError, match=r"fish\.toml: 3 file\(s\) of at least"):
        vendor.set_spec(load(), 3, text=False)


def test_a_least_total_is_asked_of_the_set_and_of_a_lone_file(own: Path) -> None:
    assert changed(own, "fish", "total_s", "min = 45.0").set_spec(load(), None, text=False).min_total_s == 45.0
    kling = changed(own, "kling", "total_s", "min = 12.0")
    assert kling.fit_spec().min_s == 12.0
    elevenlabs = changed(own, "elevenlabs", "total_s", "min = 45.0")
    assert elevenlabs.fit_spec().min_s == 10.5
    assert elevenlabs.fit_spec(elevenlabs.set_spec(load(), 1, text=False).most).min_s == 45.0


def test_changed_number_of_files(own: Path) -> None:
    assert changed(own, "qhaigc", "clips", "min = 5; max = 6").set_spec(load(), None, text=True).wanted == 5
    assert changed(own, "qhaigc", "clips", "max = 1").set_spec(load(), None, text=True).wanted == 1


def test_changed_pause_and_continuous_speech(own: Path) -> None:
    spec = changed(own, "qwen", "pause_s", "max = 0.5").fit_spec()
    assert spec.max_pause_s == pytest.approx(0.4)
    assert spec.longest_pause_s == pytest.approx(0.4)
    assert changed(own, "qwen", "speech_s", "min = 8.0").fit_spec().min_speech_s == pytest.approx(8.1)


def test_changed_rate(own: Path) -> None:
    render = load().render
    assert changed(own, "qwen", "sample_rate", "min = 32000").render_spec(render).rate_hz == 32_000
    assert changed(own, "qwen", "sample_rate", "min = 30000").render_spec(render).rate_hz == 30_000
    assert changed(own, "kling", "sample_rate", "one_of = [16000, 44100]").render_spec(render).rate_hz == 44_100
    with pytest.raises(ConfigError, match=r"kling\.toml: target\.rate_hz is 24000, at most 16000 Hz"):
        changed(own, "kling", "sample_rate", "one_of = [8000, 16000]")


@pytest.mark.parametrize(
    ("name", "native_hz", "written_hz"),
    [
        ("qhaigc", 16_000, 16_000),
        ("qhaigc", 44_100, 24_000),
        ("qhaigc", 8_000, 24_000),
        ("qwen", 16_000, 24_000),
        ("cosyvoice", 16_000, 16_000),
        ("cosyvoice", 8_000, 24_000),
        ("minimax", 22_050, 22_050),
        ("kling", None, 24_000),
    ],
)
def test_a_lower_native_rate_is_written_where_it_is_allowed(name: str, native_hz: int | None, written_hz: int) -> None:
    assert load_vendor(name).render_spec(load().render, native_hz).rate_hz == written_hz


def test_changed_bytes_shorten_files(own: Path) -> None:
    spec = changed(own, "kling", "bytes", "max = 480044").fit_spec()  # ten seconds of 24 kHz mono 16-bit WAV
    assert spec.max_s == pytest.approx(10.0, abs=0.02)
    assert spec.max_s < 10.0
    assert changed(own, "fish", "total_bytes", "max = 1_440_900").max_total_s == pytest.approx(30.0, abs=0.1)


def test_changed_base64_bytes_shorten_files(own: Path) -> None:
    spec = changed(own, "qwen", "base64_bytes", "max = 768_022").fit_spec()  # 576,000 bytes of WAV
    assert spec.max_s == pytest.approx((576_000 - 44) / 48_000, abs=0.02)
    assert 22 + 4 * -(-(44 + int(spec.max_s * 48_000)) // 3) <= 768_022


@pytest.mark.parametrize(
    ("rule", "values", "words"),
    [
        ("clip_s", "min = 20.0; max = 10.0", "at least 20.01 s and at most 9.99 s"),
        ("clip_s", "max = 4.0", "at least 5.5 s and at most 3.99 s"),
        ("bytes", "max = 1000", "at least 5.5 s"),
        ("clips", "min = 3; max = 2", "at least 3 and at most 2"),
        ("sample_rate", "min = 48000; max = 24000", "no rate at all"),
        ("total_s", "max = 5.0", "at least 5.5 s and at most 4.95 s"),
        ("format", 'one_of = ["MP3"]', "limit on format"),
        ("channels", "min = 2; max = 2", None),
    ],
)
def test_what_cannot_be_met_names_its_file(own: Path, rule: str, values: str, words: str | None) -> None:
    if words is None:  # advice on what voxprep cannot write is no reason to stop
        assert changed(own, "kling", rule, values)
        return
    with pytest.raises(ConfigError, match=re.escape(words)) as raised:
        changed(own, "kling", rule, values)
    assert str(own / "kling.toml") in str(raised.value)


def test_an_own_vendor_is_for_preparing_only(own: Path) -> None:
    text = (configs_folder() / "vendors" / "kling.toml").read_text("utf-8")
    (own / "mine.toml").write_text(text.replace('vendor = "kling"', 'vendor = "mine"'), "utf-8")
    assert vendor_names() == sorted([*NAMES, "mine"])
    assert not load_vendor("mine").upload
    (own / "wrong.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match="the file's name says 'wrong'"):
        load_vendor("wrong")


def test_an_own_file_replaces_a_shipped_one(own: Path) -> None:
    text = (configs_folder() / "vendors" / "qhaigc.toml").read_text("utf-8")
    newer = text.replace('limits_version = "2026-11-21"', 'limits_version = "2027-02-03"')
    (own / "qhaigc.toml").write_text(newer, "utf-8")
    vendor = load_vendor("qhaigc")
    assert (vendor.limits_version, vendor.upload) == ("2027-02-03", True)
    assert vendor_names() == NAMES


def test_a_missing_folder_of_own_vendors_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOXPREP_VENDORS", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match=r"VOXPREP_VENDORS names .*nowhere"):
        vendor_names()


# ---- `voxprep limits`


def test_limits_are_readable_in_100_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert cli.run(["limits"]) == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 100
    assert shown.count("prepare and upload") == len(UPLOADING)
    assert shown.count("prepare only; upload by hand: ") == len(BY_HAND)
    for part in ("16000 or 24000 Hz", "stops an upload", "by API", "2026-11-21", "(documented)", "0.03 PTC"):
        assert part in shown


def test_limits_as_json_are_the_whole_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["limits", "qwen", "--json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert Vendor.model_validate(document) == load_vendor("qwen")
