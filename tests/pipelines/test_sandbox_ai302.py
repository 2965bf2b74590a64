"""The sandbox's 302.AI held against the vendor's product page, with raw requests and without our client."""

import time
import uuid

import pytest
from sandbox_kit import AUTH, POOR, client, hosting, spoken, until, wav

from pipelines.sandbox.app import running
from pipelines.sandbox.settings import Settings

CLONE, SMART, UPLOAD = "/302/higgs_audio/voice_clone/task", "/302/higgs_audio/smart_voice/task", "/302/upload-file"
# examples as the product page "Higgs Audio V2" prints them
INPUT_TEXT = """The sun rises in the east and sets in the west.
This simple fact has been observed by humans for thousands of years."""
REF_TEXTS = [
    "\n\t\t\t\tThe device would work during the day as well,\n\t\t\t\tif you took steps to either block direct sunlight"
    " or point it away from the sun.\n\t\t\t\t",
    "\n\t\t\t\tMaintaining your ability to learn translates into increased marketability,\n\t\t\t\timproved career "
    "options and higher salaries.\n\t\t\t\t",
]
REF_NAMES = ["bd5d60fc61fc455e869bba2115ff1f60.wav", "5e3f614b436f4d21a55813bab3e4bf58.wav"]
SYSTEM_PROMPT = """Generate audio following instruction.
<|scene_desc_start|>
Audio is recorded from a quiet room.
<|scene_desc_end|>
"""
OTHER = {"Authorization": "Bearer sk-other"}


@pytest.fixture(scope="module")
def sandbox():
    with running(Settings(train_s=0.0, keys=("sk-sandbox", "sk-other"))) as here:
        yield here


@pytest.fixture(scope="module")
def host():
    with hosting() as here:
        for name in REF_NAMES:
            here.put(name, spoken("wav"))
        yield here


@pytest.fixture(scope="module")
def http(sandbox):
    with client(sandbox.base_url("ai302")) as here:
        yield here


@pytest.fixture
def api(sandbox, http):
    sandbox.books.reset()
    http.headers.update(AUTH)
    return http


def clone(api, host, **changes):
    """The printed example, its links led to the test's host; a change of None leaves a field out."""
    links = [f"{host.url}/{name}" for name in REF_NAMES]
    asked = {"input_text": INPUT_TEXT, "ref_audio_links": links, "ref_audio_text": REF_TEXTS} | changes
    return api.post(CLONE, json={name: value for name, value in asked.items() if value is not None})


def smart(api, **changes):
    asked = {"is_multi_speaker": False, "input_text": INPUT_TEXT, "system_prompt": SYSTEM_PROMPT} | changes
    return api.post(SMART, json=asked)


def task(api, made, path=CLONE):
    return api.get(path, params={"task_id": made.json()["task_id"]}).json()


def refused(answer):
    error = answer.json()["error"]
    assert set(error) == {"err_code", "message", "message_cn", "type"}
    return answer.status_code, error["err_code"]


def test_the_printed_clone_example(api, host):
    made = clone(api, host)
    assert made.status_code == 200
    assert uuid.UUID(made.json()["task_id"])
    assert made.json()["status"] == "pending"
    row = task(api, made)  # train_s 0: the first query shows the end
    assert set(row) == {"task_id", "status", "audio_url"}
    assert row["status"] == "success"
    result = api.get(row["audio_url"], headers={"Authorization": ""})
    assert result.headers["content-type"] == "audio/wav"
    assert result.content == spoken("wav")
    assert task(api, made) == row


def test_the_printed_smart_voice_example(api):
    made = smart(api)
    assert made.json()["status"] == "pending"
    row = task(api, made, SMART)
    assert row["status"] == "success"
    assert api.get(row["audio_url"]).content[:4] == b"RIFF"


def test_the_first_query_shows_processing(host):
    with running(Settings(train_s=0.05)) as here, client(here.base_url("ai302")) as api:
        made = clone(api, host)
        time.sleep(0.3)
        assert task(api, made) == {"task_id": made.json()["task_id"], "status": "processing"}
        assert until(lambda: task(api, made)["status"] == "success")


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "top_k": -1, "top_p": 0.1},
        {"temperature": 1.5, "top_k": 100, "top_p": 1},
        {"temperature": None, "top_k": None, "top_p": None},
    ],
)
def test_sampling_ranges_include_their_ends(api, host, fields):
    asked = {"input_text": "x", "ref_audio_links": [f"{host.url}/{REF_NAMES[0]}"], "ref_audio_text": ["x"], **fields}
    assert api.post(CLONE, json=asked).status_code == 200
    assert smart(api, **fields).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -0.01},
        {"temperature": 1.51},
        {"temperature": "1"},
        {"top_k": -2},
        {"top_k": 101},
        {"top_k": 1.5},
        {"top_p": 0},
        {"top_p": 0.09},
        {"top_p": 1.01},
        {"input_text": ""},
        {"input_text": " \n"},
        {"input_text": 1},
    ],
)
def test_fields_both_creations_share(api, host, fields):
    assert refused(clone(api, host, **fields)) == (400, -10003)
    assert refused(smart(api, **fields)) == (400, -10003)


@pytest.mark.parametrize(
    "changes",
    [
        {"input_text": None},
        {"ref_audio_links": None},
        {"ref_audio_text": None},
        {"ref_audio_links": [], "ref_audio_text": []},
        {"ref_audio_text": REF_TEXTS[:1]},
        {"ref_audio_text": ["one", " \t"]},
        {"ref_audio_text": "one"},
        {"ref_audio_links": "https://example.com/a.wav"},
        {"ref_audio_links": ["file:///a.wav", "https://example.com/a.wav"]},
        {"ref_audio_links": ["https://example.com/a.wav", "a.wav"]},
        {"ref_audio_links": ["https://example.com/a.wav", 1]},
        {"input_text": "[SPEAKER0] Hello.\n[SPEAKER2] Hello."},
        {"input_text": "[SPEAKER99999999999999999999999999] Hello."},
    ],
)
def test_bad_clone_bodies(api, host, sandbox, changes):
    assert refused(clone(api, host, **changes)) == (400, -10003)
    assert sandbox.books.stores["ai302"] == {}


def test_speaker_tags_count_from_zero_and_only_as_written(api, host):
    assert clone(api, host, input_text="[SPEAKER0] Hello.\n[SPEAKER1] Hello.").status_code == 200
    assert clone(api, host, input_text="[speaker7] is no tag.").status_code == 200


@pytest.mark.parametrize(
    ("multi", "text"), [(True, "Hello."), (False, "[SPEAKER0] Hello."), (None, "Hello."), ("false", "Hello.")]
)
def test_many_speakers_are_tagged(api, multi, text):
    assert refused(smart(api, is_multi_speaker=multi, input_text=text)) == (400, -10003)


def test_many_tagged_speakers(api):
    assert smart(api, is_multi_speaker=True, input_text="[SPEAKER0] Hi.\n[SPEAKER1] Hi.").status_code == 200


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"top_p": NaN}'])
@pytest.mark.parametrize("path", [CLONE, SMART])
def test_broken_json(api, content, path):
    answer = api.post(path, content=content, headers={"Content-Type": "application/json"})
    assert refused(answer) == (400, -10003)


@pytest.mark.parametrize("header", [None, "", "Bearer sk-wrong", "Basic sk-sandbox", "Bearer"])
@pytest.mark.parametrize(
    "call", [f"{method} {path}" for path in (CLONE, SMART) for method in ("GET", "POST")] + [f"POST {UPLOAD}"]
)
def test_wrong_keys(api, header, call):
    api.headers.pop("authorization")
    method, path = call.split()
    answer = api.request(method, path, headers={} if header is None else {"Authorization": header})
    assert refused(answer) == (401, -10001)


def test_without_credit_nothing_is_created(api, host):
    api.headers.update(POOR)
    for answer in (clone(api, host), smart(api)):
        assert refused(answer) == (429, -10006)
        assert "retry-after" not in answer.headers
    assert api.post(UPLOAD, files={"file": ("a.wav", wav(), "audio/wav")}).status_code == 200


def test_unknown_tasks(api, host):
    made = clone(api, host)
    for path, params, headers in (
        (CLONE, {"task_id": str(uuid.uuid4())}, {}),
        (SMART, {"task_id": made.json()["task_id"]}, {}),
        (CLONE, {"task_id": made.json()["task_id"]}, OTHER),
    ):
        assert refused(api.get(path, params=params, headers=headers)) == (404, -10003)
    assert refused(api.get(CLONE)) == (400, -10003)
    assert refused(api.get(CLONE, params={"task_id": ""})) == (400, -10003)


@pytest.mark.parametrize("second", ["gone.wav", "junk.wav", "moved.wav"])
def test_every_clip_is_fetched_and_decoded(api, host, second):
    host.put("junk.wav", b"junk")
    row = task(api, clone(api, host, ref_audio_links=[f"{host.url}/{REF_NAMES[0]}", f"{host.url}/{second}"]))
    assert row["status"] == "failed"
    assert row["message"]
    assert "audio_url" not in row


def test_a_planned_outcome_fails_the_next_task(api, host, sandbox):
    sandbox.books.fail_next("ai302", "out of memory")
    row = task(api, clone(api, host))
    assert (row["status"], row["message"]) == ("failed", "out of memory")
    assert task(api, clone(api, host))["status"] == "success"


@pytest.mark.parametrize(
    ("name", "kind"), [("a.wav", "audio/wav"), ("声.MP3", "audio/mpeg"), ("a.html", "application/octet-stream")]
)
def test_an_upload_is_served_as_it_came(api, name, kind):
    answer = api.post(UPLOAD, files={"file": (name, wav(), "text/html")})
    assert list(answer.json()) == ["code", "data", "message"]
    assert (answer.json()["code"], answer.json()["message"]) == (200, "success")
    assert answer.json()["data"].isascii()
    for method in ("GET", "HEAD"):
        got = api.request(method, answer.json()["data"], headers={"Authorization": ""})
        assert (got.status_code, got.headers["content-type"]) == (200, kind)
        assert int(got.headers["content-length"]) == len(wav())
        assert got.content == (wav() if method == "GET" else b"")


def test_uploads_can_be_cloned_from(api, host):
    links = [api.post(UPLOAD, files={"file": ("a.mp3", spoken("mp3"))}).json()["data"] for _ in range(2)]
    assert task(api, clone(api, host, ref_audio_links=links))["status"] == "success"


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {}},
        {"content": b"x"},
        {"files": {"clip": ("a.wav", b"x")}},
        {"files": [("file", ("a.wav", b"x")), ("file", ("b.wav", b"x"))]},
        {"files": {"other": b"x"}, "data": {"file": "text"}},
        {"content": b"--b\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    ],
)
def test_uploads_that_are_none(api, sent):
    assert refused(api.post(UPLOAD, **sent)) == (400, -10003)
