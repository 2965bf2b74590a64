"""Before and around an upload: the dry run, the doctor, the consent in the manifest, several vendors at once."""

import io
import json

import httpx
import pandas
import pytest
import soundfile
from sandbox_kit import speech, talk, written
from upload_kit import (
    BY_URL,
    VENDORS,
    creates,
    environment,
    good_run,
    job,
    served,
    wav,
    where,
    wire,
    write_consent,
    write_set,
)

from pipelines import cli
from pipelines.doctor import examine
from pipelines.sampleset import listened
from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings
from pipelines.upload import upload
from pipelines.voices import Where, Wire
from prep.manifest import read_jsonl, write_jsonl
from prep.providers.base import SampleFile


@pytest.fixture(scope="module")
def server():
    with running(Settings(train_s=0.02, retry_after_s=0)) as here:
        yield here


@pytest.fixture
def sandbox(server):
    server.books.reset()
    return server


@pytest.fixture
def www(tmp_path):
    with served(tmp_path / "www") as spec:
        yield spec


def no_network():
    """A network that fails the test when it is used."""

    def answer(asked):
        raise AssertionError(f"{asked.method} {asked.url} was sent")

    return httpx.MockTransport(answer)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_dry_run_says_every_rule_and_the_plan_and_sends_nothing(tmp_path, www, vendor):
    hosting = www if vendor in BY_URL else ""
    wish = job(good_run(tmp_path, vendor), vendor=vendor, consent=None, dry_run=True, hosting=hosting)
    result = upload(wish, Wire({"VOXPREP_AI302_CLONE_PATH": "/302/real"}, no_network()))
    assert result.ok, [str(check) for check in result.checks if check.blocks]
    limits = [check for check in result.checks if check.source]
    assert len(limits) >= 3
    assert all("2026-11-21" in check.source for check in limits)
    plan = result.plan
    n_files = 2 if vendor == "qhaigc" else 1
    assert (len(plan["files"]), len(plan["requests"]) >= 2) == (n_files, True)
    assert plan["audio_bytes"] == sum(path.stat().st_size for path in (tmp_path / "vendors" / vendor).glob("*.wav"))
    assert plan["published_cost"]
    assert plan["hosting"].startswith("dir:") if vendor in BY_URL else plan["hosting"] == "none needed"
    assert list((tmp_path / "www").iterdir()) == []


@pytest.mark.parametrize("vendor", BY_URL)
def test_a_dry_run_without_hosting_says_what_is_lacking(tmp_path, vendor):
    result = upload(job(good_run(tmp_path, vendor), vendor=vendor, dry_run=True), Wire({}, no_network()))
    broken = {check.rule: check for check in result.checks if check.blocks}
    assert "dir:PATH=URL" in broken["hosting"].fix
    assert "clip1.wav" in broken["hosting"].fix


def test_a_dry_run_of_qwen_says_whether_the_text_goes_along(tmp_path):
    run = good_run(tmp_path, "qwen")
    result = upload(job(run, vendor="qwen", dry_run=True), Wire({}, no_network()))
    assert "the text is sent" in result.plan["requests"][1]
    path = run / "vendors/qwen/set.json"
    listing = json.loads(path.read_text(encoding="utf-8"))
    listing["clips"][0]["measures"]["text_confidence"] = 0.6
    path.write_text(json.dumps(listing), encoding="utf-8")
    unsure = upload(job(run, vendor="qwen", dry_run=True), Wire({}, no_network()))
    assert "its confidence is 0.60, at least 0.8 is needed" in unsure.plan["requests"][1]


def test_an_upsampled_clip_is_told_of_and_does_not_stop(tmp_path):
    run = good_run(tmp_path, "qwen")
    path = run / "vendors/qwen/set.json"
    listing = json.loads(path.read_text(encoding="utf-8"))
    warning = {"rule": "native_sample_rate", "measured": 16000, "limit": 24000, "unit": "Hz", "fix": "record at 24 kHz"}
    listing["clips"][0]["warnings"] = [warning]
    path.write_text(json.dumps(listing), encoding="utf-8")
    result = upload(job(run, vendor="qwen", dry_run=True), Wire({}, no_network()))
    (note,) = [check for check in result.checks if check.rule == "native_sample_rate"]
    assert (note.ok, note.blocks, note.measured, note.fix) == (False, False, 16000, "record at 24 kHz")
    assert result.ok


def test_pauses_are_heard_in_the_very_bytes(tmp_path):
    """Two stretches of speech, three seconds of silence between: over the two that Qwen advises against."""
    import numpy as np

    words = talk()[: 24_000 * 6]
    sound = np.concatenate([words, np.zeros(24_000 * 3, np.float32), words])
    heard = listened(SampleFile.of(tmp_path / "a.wav", written(sound, 24_000, "WAV", "PCM_16")))
    assert 3.0 <= heard.longest_pause_s < 4.5  # and what quiet the words themselves end with
    assert 1.0 < heard.longest_speech_s <= 6.2
    run = write_set(tmp_path, [written(sound, 24_000, "WAV", "PCM_16")], "qwen")
    result = upload(job(run, vendor="qwen", dry_run=True), Wire({}, no_network()))
    (pause,) = [check for check in result.checks if check.rule == "longest pause inside"]
    assert (pause.ok, pause.limit) == (False, "at most 2")


def test_silence_and_no_audio_have_no_speech():
    assert listened(SampleFile.of("a.wav", b"nothing")).longest_speech_s is None
    silent = listened(SampleFile.of("a.wav", wav_of_silence()))
    assert silent.longest_speech_s == 0.0


def wav_of_silence():
    out = io.BytesIO()
    soundfile.write(out, [0.0] * 48_000, 24_000, format="WAV", subtype="PCM_16")
    return out.getvalue()


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_doctor_asks_the_account_something_free(sandbox, www, vendor):
    place = where(sandbox, vendor)
    found = {finding.what: finding for finding in examine(place, www if vendor in BY_URL else "")}
    assert "the key works" in found[f"{vendor} account"].found
    assert found[f"{vendor} account"].ok
    if vendor in BY_URL:
        (hosting,) = [finding for what, finding in found.items() if what.startswith("hosting")]
        assert hosting.ok
        assert "put, fetched and removed" in hosting.found
        assert "only on this machine" in hosting.found
    assert creates(sandbox, vendor) == 0


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_doctor_on_a_wrong_key(sandbox, vendor):
    wrong = wire(sandbox, **{f"VOXPREP_{vendor.upper()}_API_KEY": "sk-wrong"})
    found = {finding.what: finding for finding in examine(Where(vendor, wire=wrong))}
    assert not found[f"{vendor} account"].ok
    if vendor == "qwen":
        assert "or wrong region" in found["qwen account"].found
    assert "sk-wrong" not in str(found)


def test_the_doctor_without_key_hosting_or_paths(sandbox):
    found = {finding.what: finding for finding in examine(Where("kling", wire=Wire({})))}
    assert found["kling key"].fix == "set VOXPREP_KLING_API_KEY or KLING_API_KEY"
    assert not found["kling hosting"].ok
    assert found["kling address"].found == "https://api-singapore.klingai.com (region intl; --option region=intl or cn)"
    ai302 = {
        finding.what: finding
        for finding in examine(Where("ai302", wire=Wire({"AI302_API_KEY": "sk-real"}, no_network())))
    }
    assert "VOXPREP_AI302_CLONE_PATH" in ai302["ai302 account"].found


def test_the_doctor_on_a_hosting_that_cannot_be_seen(tmp_path):
    spec = f"dir:{tmp_path}=http://127.0.0.1:9"
    quick = Wire({}, backoff=wire_backoff())
    (finding,) = [one for one in examine(None, spec, quick) if one.what.startswith("hosting")]
    assert not finding.ok
    assert list(tmp_path.iterdir()) == []


def wire_backoff():
    from prep.providers.http import Backoff

    return Backoff(start_s=0.001, cap_s=0.002)


def test_the_consent_goes_into_the_manifest_and_the_ledger(sandbox, tmp_path):
    run = good_run(tmp_path)
    row = {"source": "a.wav", "status": "kept", "consent_id": None, "measures": {"snr_db": 20.0}, "text": "a"}
    write_jsonl(run / "manifest.jsonl", [{"clip_id": name, **row} for name in ("c0", "c1", "c9")])
    receipt = upload(job(run), wire(sandbox)).receipt
    rows = {row["clip_id"]: row for row in read_jsonl(run / "manifest.jsonl")}
    consent_id = receipt["consent"]["consent_id"]
    assert (rows["c0"]["consent_id"], rows["c1"]["consent_id"], rows["c9"]["consent_id"]) == (
        consent_id,
        consent_id,
        None,
    )
    assert rows["c0"]["meta"]["consent"]["speaker"] == "Ann"
    assert "meta" not in rows["c9"]
    table = pandas.read_parquet(run / "manifest.parquet").set_index("clip_id")
    assert table.loc["c0", "consent_id"] == consent_id


def test_one_vendor_that_refuses_does_not_stop_the_next(sandbox, tmp_path, capsys, monkeypatch):
    for name, value in environment(sandbox).items():
        monkeypatch.setenv(name, value)
    write_set(good_run(tmp_path), [wav(4.0), wav(4.5)], "qhaigc")
    write_set(tmp_path, [speech(12.0)], "qwen")
    call = ["upload", str(tmp_path), "--to", "qhaigc", "--to", "qwen", "--name", "Ann"]
    assert cli.run([*call, "--consent", str(write_consent(tmp_path)), "--json"]) == 1
    shown = capsys.readouterr()
    first, second = json.loads(shown.out)
    assert (first["vendor"], first["state"], first["ok"]) == ("qhaigc", "rules-broken", False)
    assert any(check["blocks"] for check in first["checks"])
    assert (second["vendor"], second["state"]) == ("qwen", "enrolled")
    assert "nothing was sent" in shown.err


def test_json_of_a_refusal_has_the_vendors_words_apart(sandbox, tmp_path, capsys, monkeypatch):
    for name, value in environment(sandbox, VOXPREP_QWEN_API_KEY="sk-sandbox-poor").items():
        monkeypatch.setenv(name, value)
    call = ["upload", str(good_run(tmp_path, "qwen")), "--to", "qwen", "--name", "Ann"]
    assert cli.run([*call, "--consent", str(write_consent(tmp_path)), "--json", "-q"]) == 1
    (document,) = json.loads(capsys.readouterr().out)
    assert document["state"] == "refused"
    assert document["failure"]["code"] == "Arrearage"
    assert document["failure"]["fix"]
