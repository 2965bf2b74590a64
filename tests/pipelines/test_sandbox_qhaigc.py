"""The sandbox's Qhaigc held against the vendor's own document, byte by byte, without our client."""

import io
import json

import httpx
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_kit import wav

from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings

# "Example response" of the Qhaigc "Create voice model" document, as printed
DOCUMENTED_ANSWER = """{
  "model_name": "私人助手",
  "public": false,
  "description": "仅限本人使用的语音模型"
}"""
AUTH = {"Authorization": "Bearer sk-sandbox"}


@pytest.fixture(scope="module")
def sandbox():
    with running() as here:
        yield here


@pytest.fixture
def api(sandbox):
    sandbox.books.reset()
    with httpx.Client(base_url=sandbox.base_url("qhaigc"), headers=AUTH, trust_env=False) as client:
        yield client


def part(name: str, value: bytes, file: str = "", kind: str = "") -> bytes:
    """One multipart part, written by hand."""
    head = f'--bound\r\nContent-Disposition: form-data; name="{name}"'
    head += f'; filename="{file}"' if file else ""
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return head.encode() + b"\r\n\r\n" + value + b"\r\n"


def documented_body(description: str = "My personal assistant voice") -> bytes:
    """What the document's `requests.post(url, headers=headers, files=files, data=data)` puts on the wire."""
    return b"".join(
        [
            part("name", "私人助手".encode()),
            part("description", description.encode()),
            part("reference_texts", "你好,我是你的语音助手".encode()),
            part("reference_texts", "有什么可以帮你的".encode()),
            part("public", b"false"),
            part("contact_email", b"user@example.com"),
            part("audio_files", wav(seed=1), "sample1.wav", "audio/wav"),
            part("audio_files", wav(seed=2), "sample2.wav", "audio/wav"),
            b"--bound--\r\n",
        ]
    )


def post(api: httpx.Client, body: bytes, kind: str = "multipart/form-data; boundary=bound") -> httpx.Response:
    return api.post("/v1/voice/model", content=body, headers={"Content-Type": kind})


def fields(**changes):
    """httpx's own form, for what the document leaves open; a change of None leaves a field out."""
    good = {
        "name": "Ann",
        "reference_texts": ["one", "two"],
        "public": "false",
        "contact_email": "user@example.com",
    }
    return {key: value for key, value in (good | changes).items() if value is not None}


def files(*clips: bytes):
    clips = clips or (wav(seed=1), wav(seed=2))
    return [("audio_files", (f"s{n}.wav", clip, "audio/wav")) for n, clip in enumerate(clips)]


def test_the_documented_request_gets_the_documented_answer(api):
    documented = json.loads(DOCUMENTED_ANSWER)
    answer = post(api, documented_body(documented["description"]))
    assert answer.status_code == 200
    assert answer.json() == documented
    assert list(answer.json()) == list(documented)


def test_the_documented_python_call_itself(sandbox):
    requests = pytest.importorskip("requests")
    sandbox.books.reset()
    clips = [io.BytesIO(wav(seed=1)), io.BytesIO(wav(seed=2))]
    url = sandbox.base_url("qhaigc") + "/v1/voice/model"
    headers = {"Authorization": "Bearer sk-sandbox"}
    files = [
        ("audio_files", ("sample1.wav", clips[0], "audio/wav")),
        ("audio_files", ("sample2.wav", clips[1], "audio/wav")),
    ]
    data = {
        "name": "私人助手",
        "description": "My personal assistant voice",
        "reference_texts": ["你好,我是你的语音助手", "有什么可以帮你的"],
        "public": "false",
        "contact_email": "user@example.com",
    }
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(url, headers=headers, files=files, data=data)
    assert answer.json() == {
        "model_name": "私人助手",
        "public": False,
        "description": "My personal assistant voice",
    }


def test_the_new_name_stands_in_both_lists_and_speaks(api):
    post(api, documented_body())
    row = {"name": "私人助手", "public": "private", "description": "My personal assistant voice"}
    for path in ("/v1/audio/voices", "/v1/voice/models/list"):
        assert api.get(path).json() == {"success": True, "voice_characters": [row], "total": 1}
    said = api.post("/v1/audio/speech", json={"model": "qhai-tts", "input": "你好", "voice": "私人助手"})
    assert said.headers["content-type"] == "audio/mpeg"
    with soundfile.SoundFile(io.BytesIO(said.content)) as sound:
        assert sound.format == "MP3"
        assert sound.frames / sound.samplerate == pytest.approx(10.5, abs=0.1)


@pytest.mark.parametrize(("form", "container"), [("wav", "WAV"), ("mp3", "MP3"), ("opus", "OGG")])
def test_speech_formats(api, form, container):
    post(api, documented_body())
    body = {"model": "qhai-tts", "input": "x", "voice": "私人助手", "response_format": form, "speed": 1.2}
    with soundfile.SoundFile(io.BytesIO(api.post("/v1/audio/speech", json=body).content)) as sound:
        assert sound.format == container


def test_wav_speech_is_the_first_clip_as_enrolled(api):
    post(api, documented_body())
    body = {"model": "qhai-tts", "input": "x", "voice": "私人助手", "response_format": "wav"}
    said, _ = soundfile.read(io.BytesIO(api.post("/v1/audio/speech", json=body).content), dtype="int16")
    sent, _ = soundfile.read(io.BytesIO(wav(seed=1)), dtype="int16")
    assert (said == sent).all()


@pytest.mark.parametrize(
    "body",
    [
        {"input": "x", "voice": "Ann"},
        {"model": "other", "input": "x", "voice": "Ann"},
        {"model": "qhai-tts", "input": "", "voice": "Ann"},
        {"model": "qhai-tts", "input": " ", "voice": "Ann"},
        {"model": "qhai-tts", "input": "x" * 4097, "voice": "Ann"},
        {"model": "qhai-tts", "input": "x", "voice": "nobody"},
        {"model": "qhai-tts", "input": "x", "voice": "Ann", "response_format": "flac"},
        {"model": "qhai-tts", "input": "x", "voice": "Ann", "speed": 0},
        [],
    ],
)
def test_speech_refusals(api, body):
    api.post("/v1/voice/model", data=fields(), files=files())
    answer = api.post("/v1/audio/speech", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request_error"


@pytest.mark.parametrize("header", [None, "Bearer sk-wrong", "sk-sandbox", "Basic sk-sandbox", "Bearer"])
@pytest.mark.parametrize("call", ["POST /v1/voice/model", "GET /v1/audio/voices", "POST /v1/audio/speech"])
def test_wrong_key(api, header, call):
    api.headers.pop("authorization")
    method, path = call.split()
    answer = api.request(method, path, headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


REFUSED = {
    "name is required": (fields(name=None), files()),
    "name must be given once": (fields(name=["Ann", "Bob"]), files()),
    "audio_files: two or three files are required, got 1": (fields(), files(wav())),
    "audio_files: two or three files are required, got 4": (fields(), files(*[wav()] * 4)),
    "audio_files[2] is not a RIFF/WAVE file": (fields(), files(wav(), b"ID3 not a wav")),
    "audio_files[1] cannot be decoded": (fields(), files(b"RIFF\x10\0\0\0WAVEjunk", wav())),
    "audio_files[1] must be a .wav file": (fields(), [("audio_files", ("a.mp3", wav()))] * 2),
    "1 texts for 2 audio_files": (fields(reference_texts=["one"]), files()),
    "reference_texts: 3 texts": (fields(reference_texts=["one", "two", "three"]), files()),
    "reference_texts must not be blank": (fields(reference_texts=["one", " "]), files()),
    "reference_texts is not an array": (fields(reference_texts=["[1, 2]"]), files()),
    "public must be": (fields(public="yes"), files()),
    "contact_email is required": (fields(contact_email=None), files()),
    "lasts 9.99 s; at least 10 s": (fields(), files(wav(), wav(9.99))),
    "mono is required": (fields(), files(wav(channels=2), wav())),
    "16000 or 24000 Hz is required": (fields(), files(wav(rate_hz=44100), wav())),
}


@pytest.mark.parametrize("message", REFUSED)
def test_refusals_name_the_field(api, message):
    data, clips = REFUSED[message]
    answer = api.post("/v1/voice/model", data=data, files=clips)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert answer.json()["error"]["code"] == "invalid_request_error"
    assert api.get("/v1/audio/voices").json()["total"] == 0


def test_checks_come_in_the_contracts_order(api):
    """Everything is wrong at once; each repair uncovers the next refusal."""
    worst = {"data": {"name": "", "public": "maybe"}, "files": files(b"no")}
    steps = [
        ("name", {"data": {"name": "Ann", "public": "maybe"}}),
        ("two or three", {"files": files(b"no", b"no")}),
        ("RIFF", {"files": files(wav(5), wav(5))}),
        ("reference_texts", {"data": {"name": "Ann", "public": "maybe", "reference_texts": ["a", "b"]}}),
        ("public", {"data": {"name": "Ann", "public": "false", "reference_texts": ["a", "b"]}}),
        ("contact_email", {"data": fields()}),
        ("at least 10 s", {"files": files()}),
    ]
    for word, repair in steps:
        assert word in api.post("/v1/voice/model", **worst).json()["error"]["message"]
        worst |= repair
    assert api.post("/v1/voice/model", **worst).status_code == 200


def test_a_name_is_used_once(api):
    assert post(api, documented_body()).status_code == 200
    again = post(api, documented_body())
    assert again.status_code == 400
    assert "already exists" in again.json()["error"]["message"]


def test_public_needs_no_mail_and_texts_may_be_one_json_array(api):
    data = fields(public="true", contact_email=None, reference_texts='["one", "two"]')
    assert api.post("/v1/voice/model", data=data, files=files()).json()["public"] is True
    assert api.get("/v1/audio/voices").json()["voice_characters"][0]["public"] == "public"


def test_there_is_no_delete(api):
    assert api.delete("/v1/voice/model").status_code in (404, 405)
    assert "no such call" in api.delete("/v1/voice/model/Ann").json()["error"]["message"]


def test_lenient_takes_what_is_only_advised_against():
    with running(Settings(strict=False)) as here, httpx.Client(headers=AUTH, trust_env=False) as client:
        url = here.base_url("qhaigc") + "/v1/voice/model"
        clips = files(wav(2), wav(2, channels=2, rate_hz=44100))
        assert client.post(url, data=fields(), files=clips).status_code == 200


def test_keys_do_not_share_private_voices():
    with running(Settings(keys=("sk-a", "sk-b"))) as here, httpx.Client(trust_env=False) as client:
        base, b = here.base_url("qhaigc"), {"Authorization": "Bearer sk-b"}
        client.post(
            f"{base}/v1/voice/model",
            data=fields(),
            files=files(),
            headers={"Authorization": "Bearer sk-a"},
        )
        assert client.get(f"{base}/v1/audio/voices", headers=b).json()["total"] == 0
        again = client.post(f"{base}/v1/voice/model", data=fields(), files=files(), headers=b)
        assert again.status_code == 400


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "text/plain",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=bound; charset=undefined",
        "multipart/form-data; boundary=bound; charset=nonsense",
        "multipart/form-data; boundary=" + "b" * 300,
    ],
)
def test_odd_content_types_never_break_it(api, kind):
    assert post(api, documented_body(), kind).status_code in (200, 400)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    junk=st.binary(max_size=300),
    cut=st.integers(0, 2000),
    path=st.sampled_from(["/v1/voice/model", "/v1/audio/speech"]),
    kind=st.sampled_from(["multipart/form-data; boundary=bound", "application/json", "x"]),
)
def test_no_bytes_make_a_500(api, junk, cut, path, kind):
    body = documented_body()[:cut] + junk
    answer = api.post(path, content=body, headers={"Content-Type": kind})
    assert 400 <= answer.status_code < 500
