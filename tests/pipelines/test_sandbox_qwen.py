"""The sandbox's Qwen held against the vendor's own document, with raw requests and without our client."""

import base64
import json
import re
import time
import uuid

import numpy as np
import pytest
from sandbox_kit import AUTH, POOR, RATE_HZ, SAID, client, hosting, speech, spoken, talk, wav, written

from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings
from pipelines.sandbox.speech import spans

PATH = "/services/audio/tts/customization"
SPEAK = "/services/aigc/multimodal-generation/generation"
REALTIME, DIRECT = "qwen3-tts-vc-realtime-2026-01-15", "qwen3-tts-vc-2026-01-22"
# request and answer as the document "创建克隆音色" prints them
PRINTED_REQUEST = """{
"model": "qwen-voice-enrollment",
"input": {
"action": "create",
"target_model": "qwen3-tts-vc-realtime-2026-01-15",
"preferred_name": "guanyu",
"audio": {
"data": "https://xxx.wav"
}
}
}"""
PRINTED_ANSWER = """{
"output": {
"voice": "qwen-tts-vc-guanyu-voice-20250812105009984-838b",
"target_model": "qwen3-tts-vc-realtime-2026-01-15"
},
"usage": {
"count": 1
},
"request_id": "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
}"""
OTHER = {"Authorization": "Bearer sk-other"}


@pytest.fixture(scope="module")
def sandbox():
    with running(Settings(keys=("sk-sandbox", "sk-other"), fetch_timeout_s=0.5)) as here:
        yield here


@pytest.fixture(scope="module")
def host():
    with hosting() as here:
        yield here


@pytest.fixture(scope="module")
def http(sandbox):
    with client(sandbox.base_url("qwen")) as here:
        yield here


@pytest.fixture
def api(sandbox, http):
    sandbox.books.reset()
    http.headers.update(AUTH)
    return http


def data_url(data, kind="audio/wav"):
    """As the document's Python example makes it."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def create(api, data=None, model="qwen-voice-enrollment", **changes):
    """The printed request with audio that is really there; a change of None leaves a field out."""
    asked = json.loads(PRINTED_REQUEST)["input"] | {"audio": {"data": data or data_url(speech())}} | changes
    return api.post(PATH, json={"model": model, "input": {k: v for k, v in asked.items() if v is not None}})


def act(api, action, **fields):
    return api.post(PATH, json={"model": "qwen-voice-enrollment", "input": {"action": action, **fields}})


def refused(answer):
    """Status and code, after making sure of the vendor's envelope."""
    assert set(answer.json()) == {"request_id", "code", "message"}
    assert uuid.UUID(answer.json()["request_id"])
    return answer.status_code, answer.json()["code"]


def voice_names(api):
    return [row["voice"] for row in act(api, "list", page_size=100).json()["output"]["voice_list"]]


def test_the_base_url_ends_as_the_vendors(sandbox):
    assert sandbox.base_url("qwen") == sandbox.url + "/qwen/api/v1"


def test_the_printed_request_gets_the_printed_answer(api, host):
    request = json.loads(PRINTED_REQUEST)
    request["input"]["audio"]["data"] = host.put("xxx.wav", speech())
    answer = api.post(PATH, json=request)
    printed = json.loads(PRINTED_ANSWER)
    assert answer.status_code == 200
    assert list(answer.json()) == list(printed)
    output = answer.json()["output"]
    assert re.fullmatch(r"qwen-tts-vc-guanyu-voice-\d{17}-[0-9a-f]{4}", output["voice"])
    assert list(output)[:2] == list(printed["output"])
    assert output["target_model"] == printed["output"]["target_model"]
    assert output["fallback_mode"] is False
    assert answer.json()["usage"] == printed["usage"]
    assert uuid.UUID(answer.json()["request_id"])


@pytest.mark.parametrize(("form", "kind"), [("wav", "audio/wav"), ("mp3", "audio/mpeg"), ("m4a", "audio/mp4")])
def test_the_three_formats(api, form, kind):
    assert create(api, data_url(spoken(form), kind)).status_code == 200


def test_the_newest_is_listed_first_in_pages(api):
    names = [create(api, preferred_name=f"n{n}").json()["output"]["voice"] for n in range(3)]
    first = act(api, "list", page_index=0, page_size=2).json()
    assert [row["voice"] for row in first["output"]["voice_list"]] == [names[2], names[1]]
    assert {name: first["output"][name] for name in ("page_index", "page_size", "total_count")} == {
        "page_index": 0,
        "page_size": 2,
        "total_count": 3,
    }
    assert first["usage"] == {"count": 0}
    row = first["output"]["voice_list"][0]
    assert set(row) == {"voice", "target_model", "language", "gmt_create", "gmt_modified"}
    assert abs(time.mktime(time.strptime(row["gmt_create"], "%Y-%m-%d %H:%M:%S")) - time.mktime(time.gmtime())) < 60
    second = act(api, "list", page_index=1, page_size=2).json()["output"]["voice_list"]
    assert [row["voice"] for row in second] == names[:1]
    assert len(act(api, "list").json()["output"]["voice_list"]) == 3
    assert act(api, "list", page_size=0).json()["output"]["voice_list"] == []


@pytest.mark.parametrize(
    "pages", [{"page_index": -1}, {"page_size": -1}, {"page_size": 1_000_001}, {"page_index": "0"}]
)
def test_bad_pages(api, pages):
    assert refused(act(api, "list", **pages)) == (400, "InvalidParameter")


def test_delete(api):
    name = create(api).json()["output"]["voice"]
    other = api.post(
        PATH, json={"model": "qwen-voice-enrollment", "input": {"action": "delete", "voice": name}}, headers=OTHER
    )
    assert refused(other) == (400, "BadRequest.VoiceNotFound")
    gone = act(api, "delete", voice=name).json()
    assert (gone["output"], gone["usage"]) == ({"voice": name}, {"count": 0})
    again = act(api, "delete", voice=name)
    assert refused(again) == (400, "BadRequest.VoiceNotFound")
    assert again.json()["message"] == f"Voice '{name}' not found."
    assert refused(act(api, "delete")) == (400, "InvalidParameter")


def test_accounts_do_not_see_each_other(api):
    create(api)
    api.headers.update(OTHER)
    assert voice_names(api) == []


def test_every_creation_makes_another_voice(api):
    assert len({create(api).json()["output"]["voice"] for _ in range(3)}) == len(voice_names(api)) == 3


@pytest.mark.parametrize("header", [None, "", "Bearer sk-wrong", "Basic sk-sandbox", "Bearer"])
@pytest.mark.parametrize("path", [PATH, SPEAK])
def test_wrong_keys(api, header, path):
    api.headers.pop("authorization")
    answer = api.post(path, json={}, headers={} if header is None else {"Authorization": header})
    assert refused(answer) == (401, "InvalidApiKey")
    assert answer.json()["message"] == "Invalid API-key provided."


def test_without_credit_everything_is_refused(api):
    api.headers.update(POOR)
    for answer in (create(api), act(api, "list"), api.post(SPEAK, json={})):
        assert refused(answer) == (400, "Arrearage")


@pytest.mark.parametrize("model", ["qwen-voice-design", "voice-enrollment", ""])
def test_another_model_does_not_exist(api, model):
    assert refused(create(api, model=model)) == (404, "ModelNotFound")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"model": "qwen-voice-enrollment"}', b"\xff", b"NaN"])
def test_bodies_that_are_none(api, content):
    for path in (PATH, SPEAK):
        answer = api.post(path, content=content, headers={"Content-Type": "application/json"})
        assert refused(answer) == (400, "InvalidParameter")


def test_json_must_be_said_to_be_json(api):
    answer = api.post(PATH, content=PRINTED_REQUEST, headers={"Content-Type": "text/plain"})
    assert refused(answer) == (400, "InvalidParameter")


TINY = base64.b64encode(b"RIFF").decode()


@pytest.mark.parametrize(
    "changes",
    [
        {"action": None},
        {"action": "query"},
        {"action": "CREATE"},
        {"target_model": None},
        {"target_model": "qwen3-tts"},
        {"preferred_name": None},
        {"preferred_name": ""},
        {"preferred_name": "guan-yu"},
        {"preferred_name": "关羽"},
        {"preferred_name": "a" * 17},
        {"preferred_name": "guanyu\n"},
        {"audio": None},
        {"audio": {}},
        {"audio": {"data": ""}},
        {"audio": "https://xxx.wav"},
        {"language": "English"},
        {"language": ""},
        {"text": 1},
        {"data": "file:///a.wav"},
        {"data": "a.wav"},
        {"data": TINY},
        {"data": f"data:audio/flac;base64,{TINY}"},
        {"data": f"data:audio/wav,{TINY}"},
        {"data": f"data:;base64,{TINY}"},
        {"data": f"data:audio/wav;codecs=1;base64,{TINY}"},
        {"data": f"DATA:audio/wav;base64,{TINY}"},
        {"data": "data:audio/wav;base64,"},
        {"data": "data:audio/wav;base64"},
        {"data": f"data:audio/wav;base64,{TINY[:-1]}"},
        {"data": f"data:audio/wav;base64,{TINY[:4]}\n{TINY[4:]}"},
        {"data": "data:audio/wav;base64,UklGR_-="},
        {"data": "data:audio/wav;base64," + "A" * 10_000_000},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_bad_parameters(api, changes):
    assert refused(create(api, **changes)) == (400, "InvalidParameter")
    assert voice_names(api) == []


def test_just_under_ten_million_characters_are_looked_at(api):
    """It then fails for what is in it."""
    assert refused(create(api, "data:audio/wav;base64," + "A" * 9_999_996)) == (400, "Audio.DecoderError")


@pytest.mark.parametrize("name", ["gone.wav", "moved.wav", "slow.wav", "empty.wav"])
def test_links_that_cannot_be_fetched(api, host, name):
    host.put("empty.wav", b"")
    assert refused(create(api, f"{host.url}/{name}")) == (400, "BadRequest.InputDownloadFailed")


def test_nobody_listens_at_the_link(api):
    assert refused(create(api, "http://127.0.0.1:1/a.wav")) == (400, "BadRequest.InputDownloadFailed")


def test_a_vendor_does_not_reach_loopback(host):
    with running(Settings(allow_local_hosts=False)) as here, client(here.base_url("qwen")) as api:
        assert refused(create(api, host.put("a.wav", speech()))) == (400, "BadRequest.InputDownloadFailed")


def test_a_file_behind_a_link_may_have_ten_million_bytes(api, host):
    answer = create(api, host.put("big.wav", b"RIFF" + bytes(10_000_000)))
    assert refused(answer) == (400, "InvalidParameter")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"junk", "audio/wav"),
        (speech()[:40], "audio/wav"),
        (speech(), "audio/mpeg"),
        (spoken("mp3"), "audio/wav"),
        (speech(kind="FLOAT"), "audio/wav"),
        (spoken("m4a")[:3000], "audio/mp4"),
    ],
)
def test_what_cannot_be_decoded(api, data, kind):
    assert refused(create(api, data_url(data, kind))) == (400, "Audio.DecoderError")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (speech(12, 16000), "Audio.AudioRateError"),
        (speech(12, 23999), "Audio.AudioRateError"),
        (speech(61), "Audio.DurationLimitError"),
        (speech(60.01), "Audio.DurationLimitError"),
        (speech(2.5), "Audio.PreprocessError"),
        (wav(10.0), "Audio.PreprocessError"),
        (written(np.zeros(240_000, np.float32), 24000, "WAV", "PCM_16"), "Audio.PreprocessError"),
    ],
)
def test_what_is_wrong_with_the_clip(api, data, code):
    answer = create(api, data_url(data))
    assert refused(answer) == (400, code)
    if code == "Audio.PreprocessError":
        assert answer.json()["message"] == "No segments meet minimum duration requirement"


@pytest.mark.parametrize("data", [speech(60), speech(12, 48000)])
def test_the_limits_themselves_are_good(api, data):
    assert create(api, data_url(data)).status_code == 200


def test_rate_is_looked_at_before_length_and_length_before_speech(api):
    assert refused(create(api, data_url(wav(61, 16000)))) == (400, "Audio.AudioRateError")
    assert refused(create(api, data_url(wav(61)))) == (400, "Audio.DurationLimitError")


def test_stereo_is_taken_and_its_first_channel_kept(api):
    left = talk()[: 12 * RATE_HZ]
    clip = written(np.stack([left, 0 * left], axis=1), RATE_HZ, "WAV", "PCM_16")
    silent_first = written(np.stack([0 * left, left], axis=1), RATE_HZ, "WAV", "PCM_16")
    assert create(api, data_url(clip)).status_code == 200
    assert refused(create(api, data_url(silent_first))) == (400, "Audio.PreprocessError")


def test_speech_in_short_pieces_is_taken_with_a_warning(api):
    piece, pause = talk()[: 2 * RATE_HZ], np.zeros(3 * RATE_HZ, np.float32)
    clip = written(np.concatenate([piece, pause] * 4), RATE_HZ, "WAV", "PCM_16")
    output = create(api, data_url(clip)).json()["output"]
    assert (output["fallback_mode"], output["fallback_reason"]) == (True, "no_merged_segments")


def test_spans_join_across_two_seconds():
    marks = np.zeros(100, bool)
    assert spans(marks, 0.1).total_s == 0
    marks[[0, 1, 22, 60]] = True  # pauses of 2.0 and 3.7 s
    assert spans(marks, 0.1).total_s == pytest.approx(0.4)
    assert spans(marks, 0.1).longest_s == pytest.approx(2.3)


@pytest.mark.parametrize("text", [SAID, "", "  ", None])
def test_a_text_as_long_as_the_speech_passes(api, text):
    assert create(api, text=text, language="en").status_code == 200


@pytest.mark.parametrize(("text", "language"), [("No.", "en"), (SAID * 9, "en"), ("他" * 150, "zh"), ("他", None)])
def test_a_text_that_cannot_be_what_is_said(api, text, language):
    answer = create(api, text=text, language=language)
    assert refused(answer) == (400, "Audio.PreprocessError")
    assert "text" in answer.json()["message"]


def test_ears_compare_the_words():
    heard = []
    hears = Settings(hear=lambda data: heard.append(data) or "the first clip said this and more")
    with running(hears) as here, client(here.base_url("qwen")) as api:
        assert create(api, text="The first clip says this, and more.").status_code == 200
        assert refused(create(api, text="Something else is said here.")) == (400, "Audio.PreprocessError")
        assert create(api).status_code == 200  # nothing to compare
    assert heard == [speech()] * 2


def test_a_planned_outcome_refuses_the_next_creation(api, sandbox):
    sandbox.books.fail_next("qwen", "a second voice is heard", times=2)
    for _ in range(2):
        answer = create(api)
        assert refused(answer) == (400, "Audio.PreprocessError")
        assert answer.json()["message"] == "a second voice is heard"
    assert create(api).status_code == 200


def speak(api, voice, model=DIRECT, text="你好", **fields):
    return api.post(SPEAK, json={"model": model, "input": {"text": text, "voice": voice, **fields}})


def test_speech_is_a_link_to_the_clip(api):
    voice = create(api, target_model=DIRECT).json()["output"]["voice"]
    answer = speak(api, voice, language_type="Chinese")
    assert answer.status_code == 200
    assert list(answer.json()) == ["output", "usage", "request_id"]
    audio = answer.json()["output"]["audio"]
    assert answer.json()["output"]["finish_reason"] == "stop"
    assert set(audio) == {"url", "data", "id", "expires_at"}
    assert audio["data"] == ""
    assert audio["expires_at"] > time.time() + 3600
    assert answer.json()["usage"] == {"characters": 2}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/qwen/audio/" + audio["id"] + r"\.wav", audio["url"])
    got = api.get(audio["url"], headers={"Authorization": ""})
    assert got.headers["content-type"] == "audio/wav"
    assert got.content == speech()


def test_speech_refusals(api):
    voice = create(api, target_model=DIRECT).json()["output"]["voice"]
    realtime = create(api, target_model=REALTIME).json()["output"]["voice"]
    assert refused(speak(api, realtime)) == (400, "InvalidParameter")
    assert refused(speak(api, realtime, model=REALTIME)) == (400, "InvalidParameter")
    assert refused(speak(api, voice, model="qwen3-tts-flash")) == (404, "ModelNotFound")
    assert refused(speak(api, "nobody")) == (400, "InvalidParameter")
    assert refused(speak(api, voice, text=" ")) == (400, "InvalidParameter")
    api.headers.update(OTHER)
    assert refused(speak(api, voice)) == (400, "InvalidParameter")


def test_what_is_not_served_is_404(api, sandbox):
    assert refused(api.get(f"{sandbox.url}/qwen/audio/x.wav")) == (404, "NotFound")
