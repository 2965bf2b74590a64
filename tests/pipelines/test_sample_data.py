"""What sample_data/README.md says voxprep must say of each file, asked of the command itself."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import cli
from prep.audio import read_mono
from prep.manifest import read_jsonl, validate
from prep.text import error_rate

SAMPLES = Path(__file__).parents[2] / "sample_data"
EXPECTED: dict[str, Any] = tomllib.loads((SAMPLES / "expected.toml").read_text("utf-8"))

Run = Callable[[str], tuple[int, dict[str, Any], list[dict[str, Any]]]]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run `voxprep prepare FILE --for qhaigc --text` once per file; exit code, its JSON, its manifest."""
    known: dict[str, tuple[int, dict[str, Any], list[dict[str, Any]]]] = {}

    def run(name: str) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
        if name not in known:
            out = tmp_path_factory.mktemp(name.replace(".", "_"))
            known[name] = _prepare(name, out)
        return known[name]

    return run


def _prepare(name: str, out: Path) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    import contextlib
    import io

    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        code = cli.run(["prepare", str(SAMPLES / name), "--for", "qhaigc", "--text", "--json", "-q", "--out", str(out)])
    return code, json.loads(stdout.getvalue()), read_jsonl(out / "manifest.jsonl")


def _cases() -> list[Any]:
    cases = []
    for name, facts in EXPECTED.items():
        needs = facts["expect"].get("needs")
        marks = [pytest.mark.xfail(strict=True, reason=f"comes with {needs}")] if needs else []
        cases.append(pytest.param(name, id=name, marks=[pytest.mark.model, *marks]))
    return cases


@pytest.mark.parametrize("name", _cases())
def test_says_what_the_readme_says(name: str, runs: Run) -> None:
    facts, (code, document, rows) = EXPECTED[name], runs(name)
    expect = facts["expect"]
    kept = [row for row in rows if row["status"] == "kept"]
    named = {reason["check"] for row in rows for reason in row["reasons"]}
    named |= {note.split(":")[0] for source in document["sources"] for note in source.get("notes", [])}
    verdict = expect.get("verdict")
    if verdict == "set":
        assert code == 0
        assert document["complete"]
        assert len(document["sets"][0]["clips"]) == 3
    if verdict == "usable":
        assert kept
    if verdict in {"rejected", "no_speech"}:
        assert rows
        assert not kept
    if verdict == "no_speech":
        assert {row["primary_reason"] for row in rows} == {"speech_ratio"}
    if verdict == "failed":
        (row,) = rows
        assert (code, row["status"]) == (1, "failed")
        assert expect["cause"].replace("not audio", "text") in row["error"]
        assert row["source"].endswith(name)
    if "reason" in expect:
        assert expect["reason"] in named
    if "channel" in expect:
        assert {row["channel"] for row in rows} == {expect["channel"]}
    if "language" in expect:
        assert {row["language"] for row in rows if row["text"]} == {expect["language"]}


@pytest.mark.model
@pytest.mark.parametrize("name", list(EXPECTED))
def test_every_second_is_accounted_for(name: str, runs: Run) -> None:
    _, document, rows = runs(name)
    assert validate(rows, document["sources"]) == []
    for source in document["sources"]:
        if source["status"] == "processed":
            total = sum(row["duration_s"] for row in rows)
            assert total == pytest.approx(source["duration_s"], abs=1 / source["sample_rate"])
            assert source["decoded_s"] == pytest.approx(EXPECTED[name]["seconds"], abs=0.06)


@pytest.mark.model
def test_talk_gives_a_set_whose_files_are_what_set_json_says(runs: Run) -> None:
    _, document, rows = runs("talk.mp4")
    made = document["sets"][0]
    folder = Path(made["path"]).parent
    for clip in made["clips"]:
        samples, rate_hz = read_mono(folder / clip["file"])
        assert rate_hz == clip["sample_rate"] == 24_000
        assert len(samples) / rate_hz == clip["duration_s"]
        assert 10.5 <= clip["duration_s"] <= 29.5
        assert clip["measures"]["lead_quiet_s"] >= 0.08
        assert clip["measures"]["tail_quiet_s"] >= 0.08
        assert clip["measures"]["peak_dbtp"] <= -1.0
        peak_bound = clip["measures"]["peak_dbtp"] > -1.2  # then the peak, not the loudness, set the gain
        assert clip["measures"]["lufs"] == pytest.approx(-23.0, abs=0.2) or (
            peak_bound and clip["measures"]["lufs"] < -23.0
        )
        assert clip["text_agreement"] <= 0.05
    chosen = {name for clip in made["clips"] for name in clip["clip_ids"]}
    assert {row["clip_id"] for row in rows if row["chosen_for"]} == chosen


@pytest.mark.model
def test_text_of_talk_is_what_was_said(runs: Run) -> None:
    _, _, rows = runs("talk.mp4")
    said = " ".join(line["text"] for line in EXPECTED["talk.mp4"]["speech"])
    heard = " ".join(row["text"] for row in rows if row["text"])
    assert error_rate(said, heard, "en") <= 0.08


@pytest.mark.model
def test_cuts_fall_into_the_pauses(runs: Run) -> None:
    _, _, rows = runs("long_pauses.webm")
    lines = EXPECTED["long_pauses.webm"]["speech"]
    cuts = [row["start_s"] for row in rows][1:]
    for cut in cuts:
        assert not any(line["start_s"] - 0.05 < cut < line["end_s"] + 0.05 for line in lines), cut
    spoken = [row for row in rows if row["status"] == "kept"]
    assert len(spoken) == len(lines)


@pytest.mark.model
def test_bad_files_beside_a_good_one_cost_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ["cut_off.m4a", "not_audio.wav", "truncated.mp3", "silent.wav"]
    sources = [str(SAMPLES / name) for name in [*bad, "talk.mp4"]]
    code = cli.run(["prepare", *sources, "--for", "qhaigc", "--json", "-q", "--out", str(tmp_path)])
    document = json.loads(capsys.readouterr().out)
    assert code == 1  # two sources failed, and each is named
    assert document["sets"][0]["satisfied"]
    assert {Path(clip["source"]).name for clip in document["sets"][0]["clips"]} == {"talk.mp4"}
    failed = {Path(s["source"]).name: s["error"] for s in document["sources"] if s["status"] == "failed"}
    assert set(failed) == {"cut_off.m4a", "not_audio.wav"}
    assert "incomplete" in failed["cut_off.m4a"]
    assert "plain text" in failed["not_audio.wav"]
