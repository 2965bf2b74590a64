"""The whole road at each of the five vendors, against the sandbox: enrolled, listed, spoken with, deleted."""

import base64
import json
import shlex

import httpx
import pytest
import soundfile
from upload_kit import BY_URL, KEY, VENDORS, creates, good_run, job, served, voices, where, wire

from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings
from pipelines.upload import upload
from pipelines.voices import Saying, delete_voice, list_voices, say, show_voice
from prep.errors import ConfigError, Refused
from prep.providers.base import NotOffered


@pytest.fixture(scope="module")
def server():
    with running(Settings(train_s=0.02, hang_s=0.2, retry_after_s=0)) as here:
        yield here


@pytest.fixture
def sandbox(server):
    server.books.reset()
    return server


@pytest.fixture
def www(tmp_path):
    with served(tmp_path / "www") as spec:
        yield spec


def enrolled(sandbox, run, vendor, www, name="Ann", **options):
    hosting = www if vendor in BY_URL else ""
    changes = {"options": options} if options else {}
    return upload(job(good_run(run, vendor), name, vendor, hosting=hosting, **changes), wire(sandbox))


def asked(sandbox, method, ending):
    """The recorded requests of a call, as they came."""
    return [one for one in sandbox.books.requests if one.method == method and one.path.endswith(ending)]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_voice_is_made_once_and_nothing_is_left_behind(sandbox, tmp_path, www, vendor):
    result = enrolled(sandbox, tmp_path, vendor, www)
    assert (result.state, result.left) == ("enrolled", ())
    assert creates(sandbox, vendor) == 1
    assert list((tmp_path / "www").iterdir()) == []
    receipt = json.loads((tmp_path / "vendors" / vendor / "receipt.json").read_text(encoding="utf-8"))
    assert receipt == result.receipt
    assert receipt["voice_id"]
    assert receipt["name"] == "Ann"
    assert receipt["hosted_files_left"] == []
    assert receipt["consent"]["speaker"] == "Ann"
    again = enrolled(sandbox, tmp_path, vendor, www)
    assert (again.state, again.receipt, creates(sandbox, vendor)) == ("already", receipt, 1)


@pytest.mark.parametrize("vendor", ["kling", "qiniu", "qwen"])
def test_listed_shown_and_deleted(sandbox, tmp_path, www, vendor):
    voice_id = enrolled(sandbox, tmp_path, vendor, www).receipt["voice_id"]
    place = where(sandbox, vendor)
    (voice,) = list_voices(place)
    assert (voice.voice_id, voice.status) == (voice_id, "ready")
    assert show_voice(place, voice_id) == voice
    assert delete_voice(place, voice_id) is True
    assert list_voices(place) == ()
    assert delete_voice(place, voice_id) is False
    with pytest.raises(Refused, match="voxprep voices list"):
        show_voice(place, voice_id)


def test_kling_presets_are_listed_apart(sandbox):
    presets = list_voices(where(sandbox, "kling"), presets=True)
    assert presets
    assert {voice.detail["owned_by"] for voice in presets} == {"kling"}
    assert list_voices(where(sandbox, "kling")) == ()
    with pytest.raises(Refused, match="1201"):
        where_delete(sandbox, presets[0].voice_id)


def where_delete(sandbox, voice_id):
    """Straight to the vendor: our client does not send a delete for a voice that is not ours."""
    with where(sandbox, "kling").open() as provider:
        provider._http.send("POST", "/v1/general/delete-voices", lambda answer: None, json={"voice_id": voice_id})


@pytest.mark.parametrize("vendor", ["qiniu", "qwen", "qhaigc"])
def test_no_presets_where_there_is_no_such_list(sandbox, vendor):
    with pytest.raises(NotOffered):
        list_voices(where(sandbox, vendor), presets=True)


@pytest.mark.parametrize(("vendor", "words"), [("kling", "videos"), ("qiniu", "demo")])
def test_where_a_voice_cannot_speak_it_says_what_can_be_done(sandbox, tmp_path, vendor, words):
    with pytest.raises(NotOffered, match=words):
        say(where(sandbox, vendor), Saying("v", "Hello", tmp_path / "hello.wav"))


def test_kling_request_field_by_field(sandbox, tmp_path, www):
    result = enrolled(sandbox, tmp_path, "kling", www, "Ann Müller", callback_url="http://127.0.0.1:9/cb")
    (create,) = asked(sandbox, "POST", "/v1/general/custom-voices")
    body = json.loads(create.body)
    url = body.pop("voice_url")
    token = body.pop("external_task_id")
    assert body == {"voice_name": "Ann Müller", "callback_url": "http://127.0.0.1:9/cb"}
    assert url.startswith(www.partition("=")[2])
    assert url.endswith(".wav")
    assert token.startswith("voxprep-")
    assert create.headers["content-type"] == "application/json"
    query = asked(sandbox, "GET", f"/v1/general/custom-voices/{token}")
    assert len(query) == 1  # looked up before it was sent
    call = result.receipt["say"]["call"]
    assert json.loads(shlex.split(call)[-1])["voice_list"] == [{"voice_id": result.receipt["voice_id"]}]


def test_kling_from_a_video_needs_no_set(sandbox, tmp_path):
    wish = job(tmp_path, "Ann", "kling", options={"video_id": "sandbox-video"})
    assert upload(wish, wire(sandbox)).state == "enrolled"
    (create,) = asked(sandbox, "POST", "/v1/general/custom-voices")
    assert set(json.loads(create.body)) == {"voice_name", "video_id", "external_task_id"}
    other = upload(job(tmp_path, "Ann", "kling", options={"video_id": "sandbox-video-2"}), wire(sandbox))
    assert (other.state, creates(sandbox, "kling")) == ("enrolled", 2)


def test_qiniu_requests_field_by_field(sandbox, tmp_path, www):
    enrolled(sandbox, tmp_path, "qiniu", www, "我的专属音色")
    (slot,) = asked(sandbox, "POST", "/v1/voice-clones")
    assert json.loads(slot.body) == {"model_id": "QN_ACV"}
    (voice,) = list_voices(where(sandbox, "qiniu"))
    (train,) = asked(sandbox, "PUT", f"/v1/voice-clones/{voice.voice_id}")
    body = json.loads(train.body)
    assert body.pop("key").startswith(www.partition("=")[2])
    assert body == {"name": "我的专属音色"}
    assert voice.detail["language"] == "zh"


def test_qiniu_renamed_without_training(sandbox, tmp_path, www):
    voice_id = enrolled(sandbox, tmp_path, "qiniu", www).receipt["voice_id"]
    with where(sandbox, "qiniu").open() as provider:
        assert provider.rename(voice_id, "Bob").name == "Bob"
    assert [voice.name for voice in list_voices(where(sandbox, "qiniu"))] == ["Bob"]


def test_qwen_request_field_by_field(sandbox, tmp_path):
    result = enrolled(sandbox, tmp_path, "qwen", "", "Ann", language="en")
    (create,) = [one for one in sandbox.books.requests if json.loads(one.body)["input"]["action"] == "create"]
    body = json.loads(create.body)
    audio = body["input"].pop("audio")
    name = body["input"].pop("preferred_name")
    text = json.loads((tmp_path / "vendors/qwen/set.json").read_text())["clips"][0]["text"]
    assert body == {
        "model": "qwen-voice-enrollment",
        "input": {"action": "create", "target_model": "qwen3-tts-vc-2026-01-22", "text": text, "language": "en"},
    }
    head, _, encoded = audio["data"].partition(",")
    assert head == "data:audio/wav;base64"
    assert base64.b64decode(encoded) == (tmp_path / "vendors/qwen/clip1.wav").read_bytes()
    assert name in result.receipt["voice_id"]
    assert result.receipt["detail"]["target_model"] == "qwen3-tts-vc-2026-01-22"


def test_qwen_by_url(sandbox, tmp_path, www):
    result = upload(job(good_run(tmp_path, "qwen"), vendor="qwen", hosting=www), wire(sandbox))
    (create,) = [one for one in sandbox.books.requests if b'"create"' in one.body]
    assert json.loads(create.body)["input"]["audio"]["data"].startswith("http://127.0.0.1:")
    assert (result.state, list((tmp_path / "www").iterdir())) == ("enrolled", [])


def test_qwen_speaks_with_the_model_the_voice_was_made_for(sandbox, tmp_path):
    voice_id = enrolled(sandbox, tmp_path, "qwen", "").receipt["voice_id"]
    out = say(where(sandbox, "qwen"), Saying(voice_id, "Hello", tmp_path / "hello.wav"))
    assert soundfile.info(out).duration == pytest.approx(12.0)
    realtime = enrolled(sandbox, tmp_path, "qwen", "", "Bob", target_model="qwen3-tts-vc-realtime-2026-01-15")
    assert realtime.receipt["detail"]["target_model"] == "qwen3-tts-vc-realtime-2026-01-15"
    with pytest.raises(NotOffered, match="WebSocket"):
        say(where(sandbox, "qwen"), Saying(realtime.receipt["voice_id"], "Hello", tmp_path / "hello.wav"))


def test_ai302_request_field_by_field_and_its_preview(sandbox, tmp_path, www):
    result = enrolled(sandbox, tmp_path, "ai302", www, "Ann", input_text="Good morning.", top_k="-1", temperature="0.7")
    (create,) = asked(sandbox, "POST", "/302/higgs_audio/voice_clone/task")
    body = json.loads(create.body)
    (link,) = body.pop("ref_audio_links")
    assert link.startswith(www.partition("=")[2])
    text = json.loads((tmp_path / "vendors/ai302/set.json").read_text())["clips"][0]["text"]
    assert body == {"input_text": "Good morning.", "ref_audio_text": [text], "top_k": -1, "temperature": 0.7}
    assert soundfile.info(tmp_path / "vendors/ai302/preview.wav").duration > 5.0
    assert shlex.split(result.receipt["say"]["voxprep"])[:4] == ["voxprep", "voices", "say", "--provider"]


def test_ai302_speaks_with_a_set_with_two_and_from_a_description(sandbox, tmp_path):
    ann, bob = good_run(tmp_path / "ann", "ai302"), good_run(tmp_path / "bob", "ai302")
    place = where(sandbox, "ai302")
    say(place, Saying(str(ann), "Hello", tmp_path / "a.wav"))
    text = "[SPEAKER0] Hello.\n[SPEAKER1] Hello to you."
    say(place, Saying(f"{ann},{bob}", text, tmp_path / "b.wav"))
    one, two = (json.loads(asked.body) for asked in asked(sandbox, "POST", "/voice_clone/task"))
    assert (len(one["ref_audio_links"]), len(two["ref_audio_links"])) == (1, 2)
    assert all("/ai302/" in link for link in two["ref_audio_links"])  # through the vendor's own upload
    prompt = "Generate audio following instruction.\n<|scene_desc_start|>\nA quiet room.\n<|scene_desc_end|>"
    say(place, Saying("smart", "Hello", tmp_path / "c.wav", {"system_prompt": prompt}))
    (smart,) = asked(sandbox, "POST", "/smart_voice/task")
    assert json.loads(smart.body) == {"is_multi_speaker": False, "input_text": "Hello", "system_prompt": prompt}
    assert all((tmp_path / f"{name}.wav").stat().st_size > 10_000 for name in "abc")
    with pytest.raises(ConfigError, match="speakers in the text"):
        say(place, Saying(str(ann), text, tmp_path / "d.wav"))


@pytest.mark.parametrize("what", [list_voices, lambda place: delete_voice(place, "x")])
def test_ai302_keeps_no_voices_and_says_so(sandbox, what):
    with pytest.raises(NotOffered, match="the sample set is the voice"):
        what(where(sandbox, "ai302"))


@pytest.mark.parametrize("vendor", ["kling", "qiniu", "ai302"])
def test_training_that_fails_is_cleaned_up_and_tried_again_as_a_new_attempt(sandbox, tmp_path, www, vendor):
    sandbox.books.fail_next(vendor, "more than one voice in the sample")
    with pytest.raises(Refused) as caught:
        enrolled(sandbox, tmp_path, vendor, www)
    if vendor != "qiniu":  # its document has no field for a reason
        assert "more than one voice in the sample" in str(caught.value)
    assert "Fix: " in str(caught.value)
    assert list((tmp_path / "www").iterdir()) == []
    if vendor == "qiniu":
        assert voices(sandbox, "qiniu") == []
    again = enrolled(sandbox, tmp_path, vendor, www)
    assert (again.state, again.receipt["attempt"], creates(sandbox, vendor)) == ("enrolled", 2, 2)


def test_a_ledger_that_was_lost_costs_no_second_voice_where_the_vendor_knows_our_token(sandbox, tmp_path, www):
    for vendor in ("kling", "qwen"):
        first = enrolled(sandbox, tmp_path, vendor, www)
        (tmp_path / "uploads.sqlite").unlink()
        again = enrolled(sandbox, tmp_path, vendor, www)
        assert (again.state, again.receipt["voice_id"]) == ("adopted", first.receipt["voice_id"])
        assert creates(sandbox, vendor) == 1


def test_a_pair_of_keys_signs_tokens(sandbox, tmp_path, www):
    environ = {**wire(sandbox).environ, "VOXPREP_KLING_ACCESS_KEY": "ak-sandbox"}
    environ |= {"VOXPREP_KLING_SECRET_KEY": "sk-sandbox-secret"}
    del environ["VOXPREP_KLING_API_KEY"]
    from pipelines.voices import Wire

    signed = Wire(environ, backoff=wire(sandbox).backoff)
    result = upload(job(good_run(tmp_path, "kling"), vendor="kling", hosting=www), signed)
    assert result.state == "enrolled"
    assert len(list_voices(where(sandbox, "kling"))) == 1  # the same account as the key's
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"sk-sandbox-secret" not in path.read_bytes()


def test_the_sandbox_hosts_for_a_rehearsal(sandbox, tmp_path):
    result = upload(job(good_run(tmp_path, "kling"), vendor="kling", hosting="ai302"), wire(sandbox))
    assert result.state == "enrolled"
    assert len(result.left) == 1
    assert "cannot be removed" in result.left[0]
    assert len(result.receipt["hosted_files_left"]) == 1


def test_the_receipts_call_speaks_with_another_client(sandbox, tmp_path):
    words = shlex.split(enrolled(sandbox, tmp_path, "qwen", "").receipt["say"]["call"])
    headers = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
    headers["Authorization"] = headers["Authorization"].replace("$VOXPREP_QWEN_API_KEY", KEY)
    with httpx.Client(trust_env=False) as client:
        said = client.post(words[2], headers=headers, content=words[words.index("-d") + 1].encode())
        audio = client.get(said.json()["output"]["audio"]["url"])
    assert audio.headers["content-type"] == "audio/wav"


def test_other_options_that_make_another_voice_are_not_passed_over_in_silence(sandbox, tmp_path):
    enrolled(sandbox, tmp_path, "qwen", "", target_model="qwen3-tts-vc-2026-01-22")
    with pytest.raises(ConfigError, match=r"was made .* with target_model=qwen3-tts-vc-2026-01-22.*another --name"):
        enrolled(sandbox, tmp_path, "qwen", "", target_model="qwen3-tts-vc-realtime-2026-01-15")
    assert creates(sandbox, "qwen") == 1


def test_ai302_a_folder_that_is_none_is_not_taken_for_a_task(sandbox, tmp_path):
    with pytest.raises(ConfigError, match="no run folder"):
        say(where(sandbox, "ai302"), Saying(str(tmp_path / "none"), "Hello", tmp_path / "a.wav"))
