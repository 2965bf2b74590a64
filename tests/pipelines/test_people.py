"""Whose clips a set is made of: the main voice, the one asked for, ties, and who is not there."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from pipelines import cli
from pipelines.config import SpeakersConfig
from pipelines.people import People, Wanted, chosen, only, told
from pipelines.process import Recording
from prep.clip import Clip, Reason, Source, WorkingCopy
from prep.manifest import read_jsonl, validate
from prep.measures.voices import Talker, voices_of
from prep.span import Span
from prep.stages.segment import merge

SAMPLES = Path(__file__).parents[2] / "sample_data"
LIMITS = SpeakersConfig()


def print_of(angle_deg):
    out = np.zeros(4, np.float32)
    out[0], out[1] = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return out


def people(*seconds):
    """Voices 80 degrees apart from each other."""
    talkers = [Talker(f"r{n}", 0, s, print_of(80 * n)) for n, s in enumerate(seconds)]
    return People(voices_of(talkers, 0.5))


def test_who_speaks_most_is_taken():
    found = chosen(people(60.0, 30.0), None, LIMITS)
    assert (found.wanted, found.problem) == ("A", None)
    assert told(found) == "voices: A 1.0 min *, B 0.5 min (* whose clips are used)"


def test_a_near_tie_chooses_nobody_and_names_the_flag():
    found = chosen(people(60.0, 50.0), None, LIMITS)
    assert found.wanted == ""
    assert found.problem["rule"] == "main voice"
    assert "--speaker A or --speaker B" in found.problem["fix"]
    assert (found.problem["measured"], found.problem["limit"]) == (0.83, 0.8)


def test_the_voice_asked_for_is_taken_though_it_speaks_less():
    found = chosen(people(60.0, 59.0, 5.0), Wanted("ref.wav", print_of(160)), LIMITS)
    assert (found.wanted, round(found.similarity, 3), found.problem) == ("C", 1.0, None)


def test_a_voice_that_is_not_there_is_said_with_the_best_that_is():
    found = chosen(people(60.0), Wanted("ref.wav", print_of(85)), LIMITS)
    assert found.wanted == ""
    assert "ref.wav is not heard in these recordings; the most similar voice is A" in found.problem["fix"]
    assert found.problem["measured"] == pytest.approx(np.cos(np.radians(85)), abs=1e-3)


def test_without_turns_nobody_is_chosen_and_nothing_is_wrong():
    assert chosen(People(), None, LIMITS) == People()


def test_clips_of_others_are_out_of_bounds_for_a_set_and_stay_as_they_were_for_the_manifest():
    copy = WorkingCopy(Source("a", None, "0"), "k", None, "mono", Span(0, 30, 10), {})
    clips = tuple(
        Clip(copy, Span(10 * n, 10 * n + 10, 10), str(n), speaker=name, reasons=reasons)
        for n, (name, reasons) in enumerate([("A", ()), ("B", ()), ("", ())])
    )
    masked = only(Recording(copy, clips), "A").clips
    assert [clip.alive for clip in masked] == [True, False, True]
    assert masked[1].reasons == (Reason("other_voice", None, None),)
    assert only(Recording(copy, clips), "").clips == clips


@pytest.mark.parametrize(
    ("stretches", "joined"),
    [
        ([], []),
        ([(10, 20)], [(10, 20)]),
        ([(10, 20), (23, 25)], [(10, 25)]),
        ([(10, 20), (30, 35)], [(10, 20), (30, 35)]),
        ([(10, 30), (12, 15), (18, 20)], [(10, 30)]),
    ],
)
def test_changes_close_together_are_one(stretches, joined):
    assert merge(stretches, 5) == joined


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """`prepare` on the recording with two voices."""
    out = tmp_path_factory.mktemp("two")
    code = cli.run(["prepare", str(SAMPLES / "two_voices.flac"), "--for", "kling", "--out", str(out), "-q"])
    return out, code


@pytest.mark.model
def test_no_clip_spans_a_change_of_speaker_and_both_voices_are_named(two):
    out, _ = two
    rows = read_jsonl(out / "manifest.jsonl")
    assert {row["speaker"] for row in rows if row["status"] == "kept"} == {"A", "B"}
    turns = [(0.5, 2.825, "A"), (3.248, 6.79, "B"), (18.179, 20.973, "B"), (21.407, 24.44, "A")]
    for start, end, voice in turns:
        inside = [row for row in rows if row["start_s"] < end - 0.3 and row["end_s"] > start + 0.3]
        assert {row["speaker"] for row in inside} == {voice}, (start, end)
    voices = json.loads((out / "voices.json").read_text())
    assert [row["voice"] for row in voices] == ["A", "B"]
    assert all((out / row["sample"]).is_file() for row in voices)


@pytest.mark.model
def test_speaker_by_reference_by_letter_and_one_who_is_not_there(two, tmp_path, capsys):
    out, _ = two
    sample = str(SAMPLES / "two_voices.flac")
    base = ["prepare", sample, "--for", "kling", "--json", "-q"]
    code = cli.run([*base, "--speaker", f"{sample}@0:18.2-0:21.0", "--out", str(tmp_path / "b")])
    document = json.loads(capsys.readouterr().out)
    assert [row["voice"] for row in document["voices"] if row["wanted"]] == ["B"]
    assert code == 1  # B never speaks for 5.5 s on end
    cli.run([*base, "--speaker", "A", "--out", str(out)])
    document = json.loads(capsys.readouterr().out)
    assert [row["voice"] for row in document["voices"] if row["wanted"]] == ["A"]
    assert cli.run([*base, "--speaker", str(SAMPLES / "mandarin.m4a"), "--out", str(tmp_path / "c")]) == 1
    document = json.loads(capsys.readouterr().out)
    (problem,) = document["sets"][0]["problems"]
    assert problem["rule"] == "speaker"
    assert "not heard in these recordings" in problem["fix"]
    assert cli.run([*base, "--speaker", "Z", "--out", str(tmp_path / "d")]) == 2
    assert "no such file, nor a voice of an earlier run" in capsys.readouterr().err


@pytest.mark.model
def test_without_turns_voices_are_not_checked(tmp_path, capsys):
    sample = str(SAMPLES / "two_voices.flac")
    cli.run(["prepare", sample, "--out", str(tmp_path), "--set", "speakers.turns=false", "-q"])
    assert "voices not checked" in capsys.readouterr().out
    assert {row["speaker"] for row in read_jsonl(tmp_path / "manifest.jsonl")} == {None}


@pytest.mark.model
def test_every_second_is_still_in_one_clip(two):
    out, _ = two
    rows = read_jsonl(out / "manifest.jsonl")
    import pandas

    sources = pandas.read_parquet(out / "sources.parquet").to_dict("records")
    assert validate(rows, sources) == []


def test_memos_of_one_voice_make_one_set_where_none_is_long_enough(tmp_path, capsys):
    """Three memos with one sample each: each by itself is an unmet set, together they are the vendor's three."""
    sentences = tomllib.loads((SAMPLES / "expected.toml").read_text("utf-8"))["talk.mp4"]["speech"]
    samples, rate_hz = talk_samples()
    memos = []
    for n, (first, last) in enumerate([(0, 2), (4, 5), (6, 9)]):
        start, stop = sentences[first]["start_s"] - 0.3, sentences[last]["end_s"] + 0.3
        memos.append(tmp_path / f"memo_{n}.wav")
        soundfile.write(memos[-1], samples[int(start * rate_hz) : int(stop * rate_hz)], rate_hz, subtype="PCM_16")
    out = tmp_path / "out"
    assert cli.run(["prepare", *map(str, memos), "--for", "qhaigc", "--out", str(out), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (made,) = document["sets"]
    assert made["satisfied"]
    assert sorted(clip["source"] for clip in made["clips"]) == [str(memo) for memo in memos]
    assert made["voices"] == ["A"]
    assert validate(read_jsonl(out / "manifest.jsonl"), document["sources"]) == []


def test_the_same_take_in_two_files_is_in_a_set_once(tmp_path, capsys):
    """The second memo is the first one, quieter and cut later: other bytes, another recording, the same take."""
    sentences = tomllib.loads((SAMPLES / "expected.toml").read_text("utf-8"))["talk.mp4"]["speech"]
    samples, rate_hz = talk_samples()
    start, stop = (int(at * rate_hz) for at in (sentences[0]["start_s"] - 0.3, sentences[2]["end_s"] + 0.3))
    for name, sound in (("a.wav", samples[start:stop]), ("b.wav", 0.7 * samples[start - 1000 : stop])):
        soundfile.write(tmp_path / name, sound, rate_hz, subtype="PCM_16")
    files, out = [str(tmp_path / name) for name in ("a.wav", "b.wav")], tmp_path / "out"
    assert cli.run(["prepare", *files, "--for", "qhaigc", "--out", str(out), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert len(document["sets"][0]["clips"]) == 1
    rows = read_jsonl(out / "manifest.jsonl")
    doubles = [row for row in rows if row["primary_reason"] == "double"]
    assert {row["source"] for row in doubles} < set(files)
    assert all(row["reasons"][0]["measured"] > 0.9 and row["text"] is None for row in doubles)
    assert validate(rows, document["sources"]) == []


def talk_samples():
    with av.open(str(SAMPLES / "talk.mp4")) as container:
        rate_hz = container.streams.audio[0].rate
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)]), rate_hz
