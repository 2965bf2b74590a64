"""The sample talk satisfies every vendor's set; each file measured as a stranger measures it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from vendor_kit import NAMES, WITH_TEXT, changed

from pipelines.build import Session
from pipelines.config import load
from pipelines.prepare import PrepareJob, PrepareResult, prepare
from pipelines.vendors import load_vendor
from prep.audio import read_header, read_mono, resample
from prep.models.ear import Ear
from prep.models.registry import cache_root
from prep.stages.listen import track_of
from prep.stages.segment import Segmenting, pauses

TALK = Path(__file__).parents[2] / "sample_data" / "talk.mp4"
WITHOUT = [name for name in NAMES if name not in WITH_TEXT]


@pytest.fixture(scope="module")
def silent_sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrepareResult]:
    """Sets for every vendor that takes no text; hearing anything fails the run."""
    out = tmp_path_factory.mktemp("silent")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "recogniser", _deaf)
        made = prepare(PrepareJob([str(TALK)], WITHOUT, out), load(), cache_root(), lambda _: None)
    yield made
    shutil.rmtree(out)


def _deaf(session: Session) -> None:
    pytest.fail("a vendor without text opened the recogniser")


@pytest.fixture(scope="module")
def texted_sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrepareResult]:
    out = tmp_path_factory.mktemp("texted")
    yield prepare(PrepareJob([str(TALK)], WITH_TEXT, out), load(), cache_root(), lambda _: None)
    shutil.rmtree(out)


@pytest.fixture(scope="module")
def talk_16k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("low") / "talk_16k.flac"
    with av.open(str(TALK)) as container:
        rate_hz = container.streams.audio[0].rate
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    soundfile.write(path, resample(samples.astype(np.float32), rate_hz, 16_000), 16_000, subtype="PCM_16")
    return path


def measured(path: Path, ear: Ear) -> dict[str, Any]:
    """A finished file as a stranger measures it, by rule."""
    data = path.read_bytes()
    header = read_header(data)
    samples, rate_hz = read_mono(path)
    heard_hz = 24_000
    track = track_of([resample(samples, rate_hz, heard_hz)], heard_hz, ear)
    found = [p for p in pauses(track, Segmenting()) if p.start > 0 and p.stop < track.n_samples]
    long_ones = [p for p in found if p.n_samples > 0.5 * heard_hz]
    starts = [0, *(p.stop for p in long_ones)]
    stops = [*(p.start for p in long_ones), track.n_samples]
    return {
        "clip_s": header.duration_s,
        "speech_s": max(b - a for a, b in zip(starts, stops, strict=True)) / heard_hz,
        "pause_s": max((p.n_samples for p in found), default=0) / heard_hz,
        "sample_rate": header.rate_hz,
        "channels": header.channels,
        "format": header.container,
        "encoding": header.subtype,
        "bytes": len(data),
        "base64_bytes": 22 + 4 * -(-len(data) // 3),
    }


def check_set(result: PrepareResult, name: str, ear: Ear, rate_hz: int = 24_000) -> list[dict[str, Any]]:
    vendor = load_vendor(name)
    (made,) = (s for s in result.sets if s.vendor == name)
    clips = made.document["clips"]
    assert made.satisfied
    assert made.document["problems"] == []
    files = [measured(made.path.parent / clip["file"], ear) for clip in clips]
    whole = {"clips": len(files), "total_s": sum(file["clip_s"] for file in files)}
    for values in [*files, whole]:
        asked = [limit for limit in vendor.limit if limit.rule in values]
        assert [(limit.rule, values[limit.rule]) for limit in asked if not limit.allows(values[limit.rule])] == []
    for file, clip in zip(files, clips, strict=True):
        assert (file["format"], file["encoding"], file["channels"]) == ("WAV", "PCM_16", 1)
        assert file["sample_rate"] == rate_hz
        assert vendor.target.min_s <= file["clip_s"] <= vendor.target.max_s
        assert file["pause_s"] <= vendor.target.max_pause_s + 0.15
        assert file["bytes"] == 44 + 2 * round(file["clip_s"] * rate_hz) == clip["bytes"]
        assert (clip["text"] is not None) == (vendor.text == "required")
    return list(clips)


@pytest.mark.parametrize("name", WITHOUT)
def test_the_sample_satisfies_vendors_without_text(name: str, silent_sets: PrepareResult, ear: Ear) -> None:
    assert all(clip["warnings"] == [] for clip in check_set(silent_sets, name, ear))


@pytest.mark.model
@pytest.mark.parametrize("name", WITH_TEXT)
def test_the_sample_satisfies_vendors_with_text(name: str, texted_sets: PrepareResult, ear: Ear) -> None:
    for clip in check_set(texted_sets, name, ear):
        assert clip["warnings"] == []
        assert clip["text_agreement"] <= 0.05
        assert clip["text"]


def test_a_16_khz_recording_is_upsampled_for_qwen_and_says_so(talk_16k: Path, tmp_path: Path, ear: Ear) -> None:
    result = prepare(PrepareJob([str(talk_16k)], ["qwen", "cosyvoice"], tmp_path), load(), cache_root(), lambda _: None)
    (clip,) = check_set(result, "qwen", ear)
    (warning,) = clip["warnings"]
    assert (warning["rule"], warning["measured"], warning["limit"], warning["unit"]) == (
        "native_sample_rate",
        16_000,
        24_000,
        "Hz",
    )
    assert "upsampling adds nothing" in warning["fix"]
    assert {"edit": "upsampled", "native_hz": 16_000, "to_hz": 24_000} in clip["edits"]
    (allowed,) = check_set(result, "cosyvoice", ear, rate_hz=16_000)
    assert allowed["warnings"] == []
    assert all(edit["edit"] != "upsampled" for edit in allowed["edits"])


@pytest.mark.model
def test_a_16_khz_recording_is_written_as_it_is_for_qhaigc(talk_16k: Path, tmp_path: Path, ear: Ear) -> None:
    result = prepare(PrepareJob([str(talk_16k)], ["qhaigc"], tmp_path), load(), cache_root(), lambda _: None)
    clips = check_set(result, "qhaigc", ear, rate_hz=16_000)
    assert [clip["warnings"] for clip in clips] == [[]] * 3


def test_a_set_too_short_in_all_says_how_much_is_lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("VOXPREP_VENDORS", str(own))
    changed(own, "fish", "total_s", "min = 150.0; max = 260.0")
    result = prepare(PrepareJob([str(TALK)], ["fish"], tmp_path / "out"), load(), cache_root(), lambda _: None)
    (made,) = result.sets
    assert not made.satisfied
    assert len(made.document["clips"]) >= 3
    (row,) = [row for row in made.document["problems"] if row["rule"] == "total_s"]
    assert 50 < row["measured"] < 83
    assert (row["limit"], row["unit"]) == (150.0, "s")
    assert f"{150 - row['measured']:.1f} s more" in row["fix"]
